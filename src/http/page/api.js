// The processor's HTTP API, as docs/api.md has it. Only this file fetches.

const TOKEN = 'alerttrail.token';
const TRIES = 4;

/** An answer that was none: `status` is the HTTP status, 0 where nobody answered. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let askForToken = async () => null;

/** Says how a token is had: `ask(isWrong)` gives one. */
export const onToken = (ask) => (askForToken = ask);

const wait = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

async function ask(path, parameters, signal) {
  const url = new URL(`api/v1/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== '') url.searchParams.set(name, value);
  }
  for (let tried = 1; ; tried += 1) {
    const token = sessionStorage.getItem(TOKEN);
    let response;
    try {
      response = await fetch(url, { headers: token ? { Authorization: `Bearer ${token}` } : {}, signal, cache: 'no-store' });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, 'The processor does not answer. Is it running, and is it reachable from here?');
    }
    if (response.status === 401) {
      // Several requests may meet the same refusal; what another one was given meanwhile is tried first.
      if (sessionStorage.getItem(TOKEN) === token) sessionStorage.setItem(TOKEN, await askForToken(token !== null));
      signal?.throwIfAborted();
      continue;
    }
    if (response.status === 429 && tried < TRIES) {
      await wait(250 * 2 ** tried, signal);
      continue;
    }
    if (response.ok) return response.text();
    throw new ApiError(response.status, await sentence(response));
  }
}

async function sentence(response) {
  try {
    const { error } = await response.json();
    if (typeof error === 'string' && error) return error;
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  return `The answer was ${response.status} ${response.statusText}.`;
}

/** Numbers of a row that JavaScript would spell otherwise are kept as they came, where the browser can. */
function exact(_, value, context) {
  const changed = typeof value === 'number' && context?.source !== undefined && String(value) !== context.source;
  return changed && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}

/** Whether a value of a row is a number that is kept as it came. */
export const isExact = (value) => JSON.isRawJSON?.(value) === true;

/** Alerts: the body of the answer. */
export const alerts = async (filter, signal) => JSON.parse(await ask('alerts', filter, signal));

const of = (id) => `alerts/${encodeURIComponent(id)}`;

/** One alert; its row has numbers as they came. */
export async function alert(id, tenant, signal) {
  const text = await ask(of(id), { tenant_id: tenant }, signal);
  return { ...JSON.parse(text), alert: JSON.parse(text, exact).alert };
}

/** A page of its activities; their rows have numbers as they came. */
export async function activities(id, tenant, cursor, signal) {
  const text = await ask(`${of(id)}/activities`, { tenant_id: tenant, limit: 500, cursor }, signal);
  const rows = JSON.parse(text, exact).activities;
  const page = JSON.parse(text);
  page.activities.forEach((item, at) => (item.activity = rows[at].activity));
  return page;
}

/** Why it was, or was not, answered as it was. */
export const explain = async (id, tenant, signal) => JSON.parse(await ask(`${of(id)}/explain`, { tenant_id: tenant }, signal));

/** The processor's status. */
export const status = async (signal) => JSON.parse(await ask('status', {}, signal));
