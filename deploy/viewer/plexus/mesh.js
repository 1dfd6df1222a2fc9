// What the mesh offers to the page: the models of a series, and jobs. All of it is asked from the page's own origin.

export class Refused extends Error {}

async function asked(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...options });
  } catch {
    throw new Refused('Plexus does not answer. Is the network there?');
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Refused(said.detail || `Plexus answered ${answer.status}.`);
  }
  return said;
}

const post = (path, body) =>
  asked(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

/** The models whose rule selects a series. */
export const modelsOf = async ({ study, series }) =>
  (await asked(`/models?${new URLSearchParams({ study, series })}`)).models;

/** What a model would take beside a series, and what else fits: for each of its further inputs. */
export const inputsOf = async (model, { study, series }) =>
  (await asked(`/models/${model}/inputs?${new URLSearchParams({ study, series })}`)).inputs;

/** Ask for a run; `again` makes it also where it has been made. Gives the job. */
export const run = async (model, { study, series }, inputs, again) =>
  (await post('/jobs', { model, study, series, inputs, force: again })).jobs[0];

export const cancel = job => post(`/jobs/${job.id}/cancel`, {});

/** The jobs of a study as they are, then each as it changes, until the function that this gives is called. */
export function follow(study, heard, connected) {
  const source = new EventSource(`/jobs/events?${new URLSearchParams({ study })}`);
  source.addEventListener('job', event => heard(JSON.parse(event.data)));
  source.onopen = () => connected(true);
  source.onerror = () => connected(false); // it tries again by itself
  return () => source.close();
}
