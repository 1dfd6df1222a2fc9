// What is known: the series on screen, the models for it, the jobs of its study. It tells the panel of every change.
import * as mesh from './mesh.js';

const ENDED = ['completed', 'failed', 'cancelled'];

export const hasEnded = job => ENDED.includes(job.state);

/** What a person chose: results of one model on one series with other choices lie beside each other. */
function lineOf(job) {
  const series = name => job.inputs.find(one => one.name === name)?.series_instance_uid;
  return JSON.stringify([job.model, job.series_instance_uid, [...job.chosen].sort().map(name => [name, series(name)])]);
}

/** Which of completed jobs, the newest first, still stand: those that no other one replaces. */
export function standing(done) {
  const replaced = new Set(done.map(job => job.supersedes));
  const lines = new Set();
  return done.filter(job => {
    const line = lineOf(job);
    const stands = !replaced.has(job.id) && !lines.has(line);
    lines.add(line);
    return stands;
  });
}

export class Desk extends EventTarget {
  target = null;
  models = null;
  trouble = '';
  connected = true;
  #jobs = new Map();
  #notes = new Map();
  #inputs = new Map();
  #chosen = new Map();
  #wanted = new Set();
  #watched = false;
  #study = '';
  #hangUp = () => {};
  #unwatch = () => {};

  constructor(viewer) {
    super();
    this.viewer = viewer;
  }

  /** The panel is on screen. */
  open() {
    this.#watched = true;
    const came = () => {
      this.#look();
      this.#supersede();
      this.#tell();
    };
    this.#unwatch = this.viewer.watch(() => this.#look(), came);
    this.#look();
  }

  /** The panel is not on screen any more; what was asked for is still shown when it comes. */
  close() {
    this.#watched = false;
    this.target = null;
    this.#unwatch();
    this.#rest();
  }

  /** The study is left. */
  leave() {
    this.#wanted.clear();
    this.close();
  }

  /** The jobs of a model on the series, the newest first. */
  jobsOf(model) {
    return this.#sorted(job => job.model === model.name && job.series_instance_uid === this.target?.series);
  }

  /** What went wrong with a model here, in words. */
  noteOf(model) {
    return this.#notes.get(this.#here(model)) || '';
  }

  /** What fits the further inputs of a model here; none for a model that takes one series, null while it is asked. */
  inputsOf(model) {
    return model.inputs.length ? this.#inputs.get(this.#here(model)) || null : [];
  }

  /** The series that an input takes here: as it was chosen ('' is for none), or by its rule. */
  takenBy(model, input) {
    const chosen = this.#chosen.get(`${this.#here(model)} ${input.name}`);
    return input.candidates.find(each => (chosen === undefined ? each.taken : each.series_instance_uid === chosen));
  }

  choose(model, input, series) {
    this.#chosen.set(`${this.#here(model)} ${input.name}`, series);
    this.#tell();
  }

  /** Why a model cannot run here, in words. */
  lackOf(model) {
    const lacks = (this.inputsOf(model) || []).find(input => input.required && !this.takenBy(model, input));
    return lacks ? `It cannot run yet: ${lacks.note || `choose a series for ${lacks.name}`}.` : '';
  }

  /** Ask anew what fits the further inputs of a model here. */
  async lookForInputs(model) {
    const { target } = this;
    const here = this.#here(model);
    await this.#trying(model, async () => this.#inputs.set(here, await mesh.inputsOf(model.name, target)));
  }

  // What is on screen is what runs: so a person's choice stays when another series comes.
  async run(model) {
    await this.#trying(model, async () => {
      const shown = (this.inputsOf(model) || []).filter(input => input.candidates.length);
      const taken = input => this.takenBy(model, input)?.series_instance_uid ?? '';
      const inputs = Object.fromEntries(shown.map(input => [input.name, taken(input)]));
      const job = await mesh.run(model.name, this.target, inputs, this.#asksAgain(model, inputs));
      this.#wanted.add(job.id);
      this.#follow(job.study_instance_uid);
      this.#hear(job);
    });
  }

  async cancel(model, job) {
    await this.#trying(model, async () => this.#hear(await mesh.cancel(job)));
  }

  async show(model, result) {
    await this.#trying(model, () => this.viewer.show(result));
  }

  /** Whether a run with these inputs is there: then it is made again. */
  #asksAgain(model, inputs) {
    const wanted = Object.values(inputs).filter(Boolean).length;
    const same = job => job.inputs.every(one => inputs[one.name] === one.series_instance_uid);
    return this.jobsOf(model).some(job => job.inputs.length === wanted && same(job));
  }

  #here(model) {
    return `${model.name} ${this.target?.series}`;
  }

  async #trying(model, act) {
    const key = this.#here(model);
    this.#notes.delete(key);
    try {
      await act();
    } catch (error) {
      this.#notes.set(key, error.message);
    }
    this.#tell();
  }

  async #look() {
    const target = this.viewer.target();
    if (target?.series === this.target?.series && !this.trouble) {
      return;
    }
    Object.assign(this, { target, models: null, trouble: '' });
    this.#tell();
    if (!target) {
      return;
    }
    this.#follow(target.study);
    try {
      const models = await mesh.modelsOf(target);
      if (target.series === this.target?.series) {
        this.models = models;
        models.filter(model => model.inputs.length).forEach(model => this.lookForInputs(model));
      }
    } catch (error) {
      this.trouble = error.message;
    }
    this.#tell();
  }

  #follow(study) {
    if (study === this.#study) {
      return;
    }
    this.#hangUp();
    this.#jobs.clear();
    this.#study = study;
    const heard = job => this.#hear(job);
    const connected = is => {
      this.connected = is;
      this.#tell();
    };
    this.#hangUp = mesh.follow(study, heard, connected);
  }

  /** A browser has few connections to a place: one is held only where something is waited for. */
  #rest() {
    if (!this.#watched && !this.#wanted.size) {
      this.#hangUp();
      this.#study = '';
    }
  }

  #hear(job) {
    const known = this.#jobs.get(job.id);
    if (known && hasEnded(known) && !hasEnded(job)) {
      return; // the answer to a request may come after the event that it caused
    }
    this.#jobs.set(job.id, job);
    const model = this.models?.find(each => each.name === job.model && each.inputs.length);
    if (!known && !hasEnded(job) && model && job.series_instance_uid === this.target?.series) {
      this.lookForInputs(model); // perhaps it came because a series did
    }
    if (hasEnded(job)) {
      this.#end(job);
    }
    this.#tell();
  }

  async #end(job) {
    const wanted = this.#wanted.delete(job.id);
    this.#rest();
    const model = { name: job.model };
    if (wanted && job.state === 'completed') {
      await this.#trying(model, async () => {
        await this.viewer.add(job.results);
        this.#supersede(); // what lies over the images goes before its successor comes
        const seg = job.results.find(result => result.kind === 'SEG');
        if (seg && this.viewer.target()?.series === job.series_instance_uid) {
          await this.viewer.show(seg);
        }
      });
    } else {
      this.#supersede();
    }
  }

  #supersede() {
    const done = this.#sorted(job => job.state === 'completed');
    const stand = standing(done);
    done.filter(job => !stand.includes(job)).forEach(job => this.viewer.supersede(job.results));
  }

  #sorted(which) {
    return [...this.#jobs.values()].filter(which).sort((a, b) => b.requested_at.localeCompare(a.requested_at));
  }

  #tell() {
    this.dispatchEvent(new Event('change'));
  }
}
