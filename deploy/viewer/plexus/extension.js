// An extension of OHIF: the panel "AI models". OHIF imports this file because app-config.js names it.
import { Desk } from './desk.js';
import { definePanel } from './panel.js';
import { Viewer } from './viewer.js';

const ELEMENT = 'plexus-models';

// OHIF does not hand out its React, and a build of our own would be needed to have one. The panel is a custom element,
// and this is what React 18 knows an element by.
const reactElement = type => ({
  $$typeof: Symbol.for('react.element'),
  type,
  key: null,
  ref: null,
  props: {},
  _owner: null,
  _store: {},
});

let desk;

export default {
  id: 'plexus',
  preRegistration({ servicesManager, commandsManager, extensionManager }) {
    desk = new Desk(new Viewer(servicesManager.services, commandsManager, extensionManager));
    definePanel(ELEMENT, desk);
  },
  onModeExit() {
    desk.leave();
  },
  getPanelModule() {
    return [
      {
        name: 'models',
        iconName: 'icon-marker-labelmap',
        iconLabel: 'AI models',
        label: 'AI models',
        component: () => reactElement(ELEMENT),
      },
    ];
  },
};
