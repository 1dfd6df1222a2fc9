// The panel: a card for each model, with a button to run it, how far it is, and its results.
import { hasEnded, standing } from './desk.js';

const STEPS = {
  deidentify: 'Being de-identified',
  quarantine: 'Waits for a person to look at its pixels, before it may leave',
  assemble: 'Being read',
  infer: 'Computing',
  encode: 'Writing the result',
  store: 'Storing the result',
};

const KINDS = {
  SEG: 'Segmentation',
  SR: 'Measurements',
  PM: 'Map',
  SC: 'Picture',
  GSPS: 'Markings',
  BLEND: 'Map over the images',
  PDF: 'Report',
  STL: 'Surface',
  KO: 'Key images',
};

const STYLE = `
  :host { display: block; height: 100%; overflow-y: auto; padding: 8px; box-sizing: border-box;
    color: hsl(var(--foreground, 0 0% 98%)); font-size: 13px; line-height: 1.4; }
  h2 { font-size: 13px; font-weight: 400; margin: 0 0 8px; color: hsl(var(--muted-foreground, 214 69% 81%)); }
  article { background: hsl(var(--popover, 219 90% 15%)); border-radius: 6px; padding: 10px; margin-bottom: 8px; }
  h3 { font-size: 14px; font-weight: 500; margin: 0; }
  p { margin: 4px 0; }
  .small { color: hsl(var(--muted-foreground, 214 69% 81%)); font-size: 12px; }
  .wrong { color: #ffb4a8; }
  progress { width: 100%; height: 6px; accent-color: hsl(var(--primary, 214 98% 60%)); }
  summary { cursor: pointer; color: hsl(var(--muted-foreground, 214 69% 81%)); font-size: 12px; }
  dl { margin: 6px 0; }
  dt { font-weight: 500; }
  dd { margin: 0; display: flex; justify-content: space-between; gap: 12px; }
  dd span + span { white-space: nowrap; }
  .row { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 6px; }
  .row:empty, dl:empty { display: none; }
  button { font: inherit; padding: 3px 10px; border-radius: 4px; border: 1px solid hsl(var(--primary, 214 98% 60%));
    background: none; color: inherit; cursor: pointer; }
  button.first { background: hsl(var(--primary, 214 98% 60%)); color: #000; }
  label { display: block; margin-top: 6px; }
  select { font: inherit; width: 100%; margin-top: 2px; padding: 3px; border-radius: 4px; color: inherit;
    background: hsl(var(--background, 219 90% 8%)); border: 1px solid hsl(var(--primary, 214 98% 60%)); }
  button:disabled { opacity: 0.4; cursor: default; }
  button:hover:enabled { filter: brightness(1.2); }
  button:focus-visible, select:focus-visible, summary:focus-visible { outline: 2px solid #fff; outline-offset: 2px; }
  [hidden] { display: none !important; }
`;

const make = (tag, values = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
};

const when = text => new Date(text).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });

/** A series that fits an input, in words. */
function seriesInWords({ study_date: date, series_description: described, modality, instances }) {
  const day = date && new Date(`${date}T00:00`).toLocaleDateString([], { dateStyle: 'medium' });
  return [day, described || modality, `${instances} images`].filter(Boolean).join(' · ');
}

const WHERE = { 'same-study': 'of this study', 'earlier-studies': 'of an earlier study' };

const named = (result, results) => {
  const same = results.filter(each => each.kind === result.kind);
  const name = KINDS[result.kind] || result.kind;
  return same.length > 1 ? `${name} ${same.indexOf(result) + 1}` : name;
};

/** What a job could not make beside its results, in words. */
const lacking = job =>
  (job.left_out || []).map(one => `. Without ${(KINDS[one.kind] || one.kind).toLowerCase()}: ${one.reason}`).join('');

/** How a job stands, in words. */
function said(job, beside = '') {
  switch (job.state) {
    case 'waiting':
      return job.not_before ? `Queued for ${when(job.not_before)}` : 'Queued';
    case 'claimed':
      return 'Taken by a performer outside';
    case 'completed':
      return `Done ${when(job.finished_at)}, by version ${job.model_version}${beside}${lacking(job)}`;
    case 'failed':
      return `Failed: ${job.reason}`;
    case 'cancelled':
      return 'Cancelled';
    default:
      return STEPS[job.step] || 'Running';
  }
}

/** What a model looks for. */
function purpose(model) {
  const marks = model.labels.map(label => label.name);
  const parts = [
    marks.length && `Marks: ${marks.length > 6 ? `${marks.length} structures` : marks.join(', ')}.`,
    model.measurements.length && `Measures: ${model.measurements.join(', ')}.`,
  ];
  return parts.filter(Boolean).join(' ') || model.task;
}

/** The card of one model. Its elements stay as it changes, so that the focus of the keyboard does. */
class Card {
  constructor(model, desk) {
    Object.assign(this, { model, desk });
    const button = (text, act, first = false) =>
      make('button', { type: 'button', textContent: text, className: first ? 'first' : '', onclick: act });
    this.state = make('p', { role: 'status' });
    this.note = make('p', { className: 'wrong', role: 'alert' });
    this.bar = make('progress', { ariaLabel: `Progress of ${model.title}` });
    this.run = button('Run', () => this.#once(() => desk.run(model)), true);
    this.again = button('Run again', () => this.#once(() => desk.run(model)));
    this.stop = button('Cancel', () => this.#once(() => desk.cancel(model, this.job)));
    this.inputs = make('div');
    this.lack = make('p', { className: 'wrong', role: 'status' });
    this.look = button('Look again', () => this.#once(() => desk.lookForInputs(model)));
    this.results = make('div', { className: 'row' });
    this.values = make('dl');
    this.older = make('details', {}, make('summary', { textContent: 'Superseded results' }), make('div'));
    const description = make('p', { textContent: model.description });
    const about = make('details', {}, make('summary', { textContent: 'About' }), description);
    about.hidden = !model.description;
    this.element = make(
      'article',
      { ariaLabel: model.title },
      make('h3', { textContent: model.title }),
      make('p', { className: 'small', textContent: `${model.name} ${model.version} · ${model.author}` }),
      make('p', { textContent: purpose(model) }),
      make('p', { className: 'small', textContent: model.intended_use }),
      about,
      this.state, this.bar, this.note, this.values, this.results,
      this.inputs, this.lack,
      make('div', { className: 'row' }, this.run, this.again, this.stop, this.look),
      this.older,
    );
    this.update();
  }

  // A button that is disabled loses the focus, so a second press is passed over instead.
  async #once(act) {
    if (this.busy) {
      return;
    }
    this.busy = true;
    await act();
    this.busy = false;
  }

  update() {
    const jobs = this.desk.jobsOf(this.model);
    const done = jobs.filter(job => job.state === 'completed');
    const stand = standing(done);
    const [job] = jobs;
    const focused = this.#actions().find(button => button.matches(':focus'));
    const running = Boolean(job) && !hasEnded(job);
    this.job = job;
    this.#write(this.state, job ? said(job, this.#beside(job)) : 'No result yet');
    this.state.classList.toggle('wrong', job?.state === 'failed');
    this.#write(this.note, this.desk.noteOf(this.model));
    this.note.hidden = !this.note.textContent;
    this.bar.hidden = !running;
    if (running && job.total > 1) {
      Object.assign(this.bar, { max: job.total, value: job.done });
    } else {
      this.bar.removeAttribute('value');
    }
    const lack = this.desk.lackOf(this.model);
    this.#offer();
    this.#write(this.lack, lack);
    this.lack.hidden = this.look.hidden = !lack || running;
    this.run.disabled = this.again.disabled = Boolean(lack) || !this.desk.inputsOf(this.model);
    this.run.hidden = running || done.length > 0;
    this.again.hidden = running || done.length === 0;
    this.stop.hidden = !running;
    this.#tell(done[0]);
    this.#list(this.results, stand);
    this.#list(this.older.lastChild, done.filter(each => !stand.includes(each)));
    this.older.hidden = done.length === stand.length;
    if (focused?.hidden) {
      this.#actions().find(button => !button.hidden && !button.disabled)?.focus();
    }
  }

  #actions() {
    return [this.run, this.again, this.stop, this.look];
  }

  // A live region speaks when it is written to, so only what is new is written.
  #write(element, text) {
    if (element.textContent !== text) {
      element.textContent = text;
    }
  }

  /** What a job took beside its series, in words. */
  #beside(job) {
    const known = (this.desk.inputsOf(this.model) || []).flatMap(input => input.candidates);
    const words = job.inputs.map(one => {
      const series = known.find(each => each.series_instance_uid === one.series_instance_uid);
      return series ? `${one.name} ${seriesInWords(series)}` : one.name;
    });
    return words.length ? `, with ${words.join(', ')}` : '';
  }

  /** What may be chosen. It is drawn anew where it is another, so that the focus stays. */
  #offer() {
    const inputs = this.desk.inputsOf(this.model) || [];
    const key = JSON.stringify(inputs);
    if (this.inputs.dataset.of === key) {
      return;
    }
    this.inputs.dataset.of = key;
    const option = each =>
      make('option', {
        value: each.series_instance_uid,
        textContent: `${seriesInWords(each)}${each.taken ? ' (its rule takes this)' : ''}`,
      });
    const chooser = input => {
      const none = input.required ? [] : [make('option', { value: '', textContent: 'Without' })];
      const select = make('select', {}, ...input.candidates.map(option), ...none);
      select.value = this.desk.takenBy(this.model, input)?.series_instance_uid ?? '';
      select.onchange = () => this.desk.choose(this.model, input, select.value);
      return select;
    };
    const what = input => `${input.name}, ${WHERE[input.from]}${input.required ? '' : ' (it can do without)'}`;
    this.inputs.replaceChildren(
      ...inputs.map(input =>
        input.candidates.length
          ? make('label', {}, `Beside it: ${what(input)}`, chooser(input))
          : make('p', { className: 'small', textContent: input.required ? `Beside it: ${what(input)}` : input.note })
      )
    );
  }

  /** What the report of a job says. */
  #tell(job) {
    const reports = (job?.results || []).filter(result => result.kind === 'SR');
    const groups = reports.flatMap(report => this.desk.viewer.valuesOf(report)).filter(group => group.values.length);
    const key = JSON.stringify(groups);
    if (this.values.dataset.of !== key) {
      this.values.dataset.of = key;
      const span = textContent => make('span', { textContent });
      const line = ({ what, value }) => make('dd', {}, span(what), ' ', span(value));
      const lines = ({ name, values }) => [make('dt', { textContent: name }), ...values.map(line)];
      this.values.replaceChildren(...groups.flatMap(lines));
    }
  }

  #list(place, jobs) {
    const several = place !== this.results || jobs.length > 1;
    const key = jobs.map(job => `${job.id}${several ? this.#beside(job) : ''}`).join();
    if (place.dataset.of === key) {
      return;
    }
    place.dataset.of = key;
    const shows = (result, job) =>
      make('button', {
        type: 'button',
        textContent: `Show ${named(result, job.results).toLowerCase()}`,
        onclick: () => this.desk.show(this.model, result),
      });
    const heading = job =>
      place === this.results ? this.#beside(job).replace(', with', 'With') : said(job, this.#beside(job));
    place.replaceChildren(
      ...jobs.flatMap(job => [
        ...(several ? [make('p', { className: 'small', textContent: heading(job) })] : []),
        ...job.results.map(result => shows(result, job)),
      ]),
    );
  }
}

/** Define the custom element that shows a desk. */
export function definePanel(name, desk) {
  if (customElements.get(name)) {
    return;
  }
  class Panel extends HTMLElement {
    #cards = [];
    #models = null;
    #update = () => this.update();

    constructor() {
      super();
      const style = new CSSStyleSheet();
      style.replaceSync(STYLE);
      this.head = make('h2', { role: 'status' });
      this.place = make('div');
      const root = this.attachShadow({ mode: 'open' });
      root.adoptedStyleSheets = [style];
      root.append(this.head, this.place);
      // OHIF has shortcuts of its own on these, and would take them from the buttons.
      const own = ({ key, target }) => ['Enter', ' '].includes(key) || target.matches('select');
      root.addEventListener('keydown', event => own(event) && event.stopPropagation());
    }

    connectedCallback() {
      desk.addEventListener('change', this.#update);
      desk.open();
      this.update();
    }

    disconnectedCallback() {
      desk.removeEventListener('change', this.#update);
      desk.close();
    }

    update() {
      const text = this.#words();
      if (this.head.textContent !== text) {
        this.head.textContent = text;
      }
      if (desk.models !== this.#models) {
        this.#models = desk.models;
        this.#cards = (desk.models || []).map(model => new Card(model, desk));
        this.place.replaceChildren(...this.#cards.map(card => card.element));
      }
      this.#cards.forEach(card => card.update());
    }

    #words() {
      if (!desk.target) {
        return 'Choose a viewport with images.';
      }
      const on = `For the series on screen: ${desk.target.label}`;
      if (desk.trouble) {
        return desk.trouble;
      }
      if (!desk.connected) {
        return 'The connection is lost; trying again.';
      }
      if (!desk.models) {
        return `${on} …`;
      }
      return desk.models.length ? on : `No model takes this series: ${desk.target.label}`;
    }
  }
  customElements.define(name, Panel);
}
