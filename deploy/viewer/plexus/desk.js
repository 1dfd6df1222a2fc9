// What is known: the series on screen, the models for it, the jobs of its study. It tells the panel of every change.
import * as mesh from './mesh.js';

const ENDED = ['completed', 'failed', 'cancelled'];

export const hasEnded = job => ENDED.includes(job.state);

export class Desk extends EventTarget {
  target = null;
  models = null;
  trouble = '';
  connected = true;
  #jobs = new Map();
  #notes = new Map();
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
    return this.#notes.get(`${model.name} ${this.target?.series}`) || '';
  }

  async run(model) {
    await this.#trying(model, async () => {
      const job = await mesh.run(model.name, this.target, this.jobsOf(model).length > 0);
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

  async #trying(model, act) {
    const key = `${model.name} ${this.target?.series}`;
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

  /** All results of a model on a series but the newest have been superseded. */
  #supersede() {
    const newest = new Set();
    const done = this.#sorted(job => job.state === 'completed');
    for (const { model, series_instance_uid: series, results } of done) {
      const one = `${model} ${series}`;
      if (newest.has(one)) {
        this.viewer.supersede(results);
      }
      newest.add(one);
    }
  }

  #sorted(which) {
    return [...this.#jobs.values()].filter(which).sort((a, b) => b.requested_at.localeCompare(a.requested_at));
  }

  #tell() {
    this.dispatchEvent(new Event('change'));
  }
}
