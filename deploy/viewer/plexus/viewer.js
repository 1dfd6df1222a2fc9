// What the panel needs of OHIF 3.13: the series on screen, a new series in the study browser, a result over the images.

import { groupsOf, isDrawable, list, valuesOf } from './report.js';

const NOT_SHOWN = '@ohif/extension-default.sopClassHandlerModule.not-supported-display-sets-handler';
const SUPERSEDED = 'Superseded: ';
/**
 * OHIF draws the measurements of a report over the images, and shows a black viewport when it cannot draw one of them,
 * such as the volume of a segment. Such a report is shown as text.
 */
function readable(set) {
  if (set.Modality === 'SR' && set.isImagingMeasurementReport) {
    const groups = groupsOf(set.instance);
    set.isImagingMeasurementReport = groups.length > 0 && groups.every(isDrawable);
  }
}

/**
 * A segmentation of a projection or a loop has neither spacing nor orientation (PS3.3 A.51.5.1): its frames name those
 * that they lie on. OHIF goes by the names as well, but breaks down where it looks for the others first.
 */
function placed(set) {
  const [shared] = list(set.Modality === 'SEG' && set.instance?.SharedFunctionalGroupsSequence);
  if (shared && !set.instance.FrameOfReferenceUID) {
    shared.PixelMeasuresSequence ??= { PixelSpacing: [1, 1], SliceThickness: 1 };
    shared.PlaneOrientationSequence ??= { ImageOrientationPatient: [1, 0, 0, 0, 1, 0] };
  }
}

/**
 * OHIF breaks down where a segmentation of a slide is opened, and waits for ever for a fractional one, if it is not
 * two-valued, as ours never are. They are listed as what cannot be shown.
 */
function refused(set) {
  const { SegmentationType, ContentCreatorName, TotalPixelMatrixColumns } = set.instance || {};
  const ours = JSON.stringify(ContentCreatorName || '').includes('Plexus^');
  if (set.Modality === 'SEG' && (TotalPixelMatrixColumns || (ours && SegmentationType === 'FRACTIONAL'))) {
    Object.assign(set, { unsupported: true, SOPClassHandlerId: NOT_SHOWN });
  }
}

export class Viewer {
  constructor(services, commands, extensions) {
    Object.assign(this, { services, commands, extensions });
    const sets = services.displaySetService;
    sets.subscribe(sets.EVENTS.DISPLAY_SETS_ADDED, ({ displaySetsAdded }) => {
      for (const set of displaySetsAdded) {
        [readable, placed, refused].forEach(prepare => prepare(set));
      }
    });
  }

  /** Call `changed` when another series may be on screen, and `came` when OHIF has got more series; gives its end. */
  watch(changed, came) {
    const { viewportGridService: grid, displaySetService: sets } = this.services;
    const events = ['ACTIVE_VIEWPORT_ID_CHANGED', 'GRID_STATE_CHANGED', 'VIEWPORTS_READY'];
    const subscriptions = [
      ...events.map(name => grid.subscribe(grid.EVENTS[name], changed)),
      sets.subscribe(sets.EVENTS.DISPLAY_SETS_ADDED, came),
    ];
    return () => subscriptions.forEach(each => each.unsubscribe());
  }

  /** The series in the active viewport, or null. Of an overlay, that which it lies on. */
  target() {
    const shown = this.#shown().map(uid => this.#displaySet(uid));
    const first = shown.find(set => set && !set.isOverlayDisplaySet) || shown[0];
    const source = this.#displaySet(first?.referencedDisplaySetInstanceUID) || first;
    if (!source?.SeriesInstanceUID) {
      return null;
    }
    const label = [source.Modality, source.SeriesDescription].filter(Boolean).join(' · ');
    return { study: source.StudyInstanceUID, series: source.SeriesInstanceUID, label };
  }

  /** Show results that are new to OHIF in the study browser. */
  async add(results) {
    const missing = new Map(results.filter(result => !this.#of(result)).map(each => [each.series_instance_uid, each]));
    const [source] = this.extensions.getActiveDataSource();
    for (const { study_instance_uid: study, series_instance_uid: series } of missing.values()) {
      this.#forget(source, study);
      await source.retrieve.series.metadata({ StudyInstanceUID: study, filters: { seriesInstanceUID: [series] } });
      this.#forget(source, study);
    }
  }

  /** Put a result on screen: a segmentation over its images, anything else in the active viewport. */
  async show(result) {
    await this.add([result]);
    const set = this.#of(result);
    if (!set || set.unsupported) {
      throw new Error('This viewer cannot open it.');
    }
    const viewportId = this.services.viewportGridService.getActiveViewportId();
    const uid = set.displaySetInstanceUID;
    if (result.kind === 'SEG' && this.#shown().includes(set.referencedDisplaySetInstanceUID)) {
      this.commands.runCommand('addDisplaySetAsLayer', { viewportId, displaySetInstanceUID: uid, removeFirst: true });
      return;
    }
    const viewportsToUpdate = this.services.hangingProtocolService.getViewportsRequireUpdate(viewportId, uid);
    this.commands.run('setDisplaySetsForViewports', { viewportsToUpdate });
  }

  /** What a report that OHIF holds says, group by group. */
  valuesOf(result) {
    return groupsOf(this.#of(result)?.instance).map(valuesOf);
  }

  /** Say in the study browser that results have been superseded, and take them from over the images. */
  supersede(results) {
    for (const result of results) {
      const set = this.#of(result);
      if (!set || set.SeriesDescription?.startsWith(SUPERSEDED)) {
        continue;
      }
      set.SeriesDescription = `${SUPERSEDED}${set.SeriesDescription || result.kind}`;
      const displaySetInstanceUID = set.displaySetInstanceUID;
      const viewportId = this.services.viewportGridService.getActiveViewportId();
      if (result.kind === 'SEG' && viewportId) {
        this.commands.runCommand('removeDisplaySetLayer', { viewportId, displaySetInstanceUID });
      }
      this.services.displaySetService.setDisplaySetMetadataInvalidated(displaySetInstanceUID, false);
    }
  }

  #shown() {
    const grid = this.services.viewportGridService;
    const viewportId = grid.getActiveViewportId();
    return (viewportId && grid.getDisplaySetsUIDsForViewport(viewportId)) || [];
  }

  #displaySet(uid) {
    return uid ? this.services.displaySetService.getDisplaySetByUID(uid) : undefined;
  }

  #of(result) {
    const sets = this.services.displaySetService.getDisplaySetsForSeries(result.series_instance_uid);
    const holds = set => [set, ...(set.instances || [])].some(each => each.SOPInstanceUID === result.sop_instance_uid);
    return sets.find(holds) || (sets.length === 1 ? sets[0] : undefined);
  }

  // OHIF keeps what it has once asked of a study, under a name that it does not use where it means to forget it.
  #forget(source, study) {
    source.deleteStudyMetadataPromise(`${source.getConfig().name}:${study}`);
  }
}
