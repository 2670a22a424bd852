// Addresses within the page: #/alerts?status=open, #/alerts/<id>?tenant=…, #/status.

/** Parses the address: `view`, `id`, and `query` as URLSearchParams. */
export function current() {
  const hash = location.hash.slice(1) || '/alerts';
  const at = hash.indexOf('?');
  const [, view = '', ...rest] = (at < 0 ? hash : hash.slice(0, at)).split('/');
  const query = new URLSearchParams(at < 0 ? '' : hash.slice(at + 1));
  let id = null;
  try {
    id = rest.length > 0 && rest.join('/') !== '' ? decodeURIComponent(rest.join('/')) : null;
  } catch {
    return { view: 'unknown', id: null, query };
  }
  return { view, id, query };
}

/** Returns the address of the list with a filter. */
export function listAddress(filter) {
  const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
  return `#/alerts${query.size > 0 ? `?${query}` : ''}`;
}

/** Returns the address of one alert. */
export function alertAddress(id, tenant) {
  const query = tenant ? `?${new URLSearchParams({ tenant })}` : '';
  return `#/alerts/${encodeURIComponent(id)}${query}`;
}

/** Changes the address without navigating. */
export const rename = (address) => history.replaceState(null, '', address);
