// Client of the processor's HTTP API (docs/api.md). Only this file sends requests.

const TOKEN = 'alerttrail.token';
const TRIES = 4;

/** A failed request. `status` is the HTTP status, or 0 if there was no response. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let askForToken = async () => null;

/** Sets the function that asks the user for the token: `ask(isWrong)` returns it. */
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
      throw new ApiError(0, 'The processor does not respond. Is it running and reachable from here?');
    }
    if (response.status === 401) {
      // Several requests may be refused at the same time; a token that another one got meanwhile is tried first.
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
    // The body is a proxy's page or empty, so only the status is known.
  }
  return `The processor responded with ${response.status} ${response.statusText}.`;
}

/** Keeps numbers of a row that JavaScript would format differently as they were sent, if the browser supports it. */
function exact(_, value, context) {
  const changed = typeof value === 'number' && context?.source !== undefined && String(value) !== context.source;
  return changed && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}

/** Returns whether a value of a row is a number that is kept as it was sent. */
export const isExact = (value) => JSON.isRawJSON?.(value) === true;

/** Lists alerts; returns the body of the response. */
export const alerts = async (filter, signal) => JSON.parse(await ask('alerts', filter, signal));

const of = (id) => `alerts/${encodeURIComponent(id)}`;

/** Returns one alert; the numbers of its row are kept as they were sent. */
export async function alert(id, tenant, signal) {
  const text = await ask(of(id), { tenant_id: tenant }, signal);
  return { ...JSON.parse(text), alert: JSON.parse(text, exact).alert };
}

/** Returns the parameters that select a result of an alert, `{ link, key }`; none for the query's. */
const by = (result) => ({ link: result?.link, correlation_id: result?.link && result.key });

/** Returns a page of its activities; the numbers of their rows are kept as they were sent. */
export async function activities(id, tenant, result, cursor, signal) {
  const text = await ask(`${of(id)}/activities`, { tenant_id: tenant, ...by(result), limit: 500, cursor }, signal);
  const rows = JSON.parse(text, exact).activities;
  const page = JSON.parse(text);
  page.activities.forEach((item, at) => (item.activity = rows[at].activity));
  return page;
}

/** Returns the explanation of an alert. */
export const explain = async (id, tenant, result, signal) => JSON.parse(await ask(`${of(id)}/explain`, { tenant_id: tenant, ...by(result) }, signal));

/** Returns the processor's status. */
export const status = async (signal) => JSON.parse(await ask('status', {}, signal));
