// The names that an alert's `Entities` give to ids. A key is often an id, such as that of an account, which says little to a reader.

/** The names of members that hold an id. A tenant's id is part of many entities and identifies none of them. */
const ID = /(id|guid|sid|url|path|upn|address)$/i;
const NO_ID = /^\$|tenant/i;

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value) => (typeof value === 'string' && value !== '' ? value : null);
const first = (entity, ...names) => names.map((name) => text(entity[name])).find((value) => value !== null) ?? null;

function parsed(value) {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

/** Returns the alert's entities as a list, without those that only refer to another one (`$ref`). */
function listOf(row) {
  const value = parsed(row?.Entities);
  const list = Array.isArray(value) ? value : [value];
  return list.map(parsed).filter((entity) => isObject(entity) && entity.$ref === undefined);
}

const typeOf = (entity) => (text(entity.Type) ?? '').toLowerCase();

const accountName = (entity) => {
  const name = text(entity.Name);
  const suffix = text(entity.UPNSuffix);
  return name && suffix && !name.includes('@') ? `${name}@${suffix}` : name;
};

function nameOf(entity) {
  switch (typeOf(entity)) {
    case 'account':
      return accountName(entity) ?? first(entity, 'UserPrincipalName', 'DisplayName');
    case 'ip':
      return first(entity, 'Address');
    case 'mailbox':
      return first(entity, 'MailboxPrimaryAddress', 'Upn', 'DisplayName');
    default:
      return first(entity, 'Name', 'HostName', 'DisplayName', 'Address', 'Url', 'Value');
  }
}

/** Returns the values by which records identify an entity. */
function idsOf(entity, byRef) {
  const ids = Object.entries(entity).filter(([name, value]) => ID.test(name) && !NO_ID.test(name) && text(value)).map(([, value]) => value);
  const [name, suffix] = [text(entity.Name), text(entity.UPNSuffix)];
  if (typeOf(entity) === 'account' && name && suffix) ids.push(JSON.stringify([name, suffix]));
  if (typeOf(entity) === 'file' && name) {
    const directory = text(entity.Directory);
    if (directory) ids.push(`${directory.replace(/[/\\]$/, '')}${directory.includes('\\') ? '\\' : '/'}${name}`);
    const hashes = Array.isArray(entity.FileHashes) ? entity.FileHashes : [];
    for (const hash of hashes.filter(isObject)) ids.push(text((hash.$ref === undefined ? hash : byRef.get(hash.$ref))?.Value));
  }
  return ids.filter((id) => id !== null);
}

/**
 * Returns a function from a key to the name of the entity that it identifies, or to null if no entity has this id or if several do. Ids are
 * compared in lower case, as the vendor writes them in both. A composite key is a list, whose parts are named one by one.
 */
export function namesOf(row) {
  const entities = listOf(row);
  const byRef = new Map(entities.map((entity) => [entity.$id, entity]));
  const names = new Map();
  for (const entity of entities) {
    const name = nameOf(entity);
    if (name === null) continue;
    for (const id of idsOf(entity, byRef)) {
      const known = names.get(id.toLowerCase());
      names.set(id.toLowerCase(), known === undefined || known === name ? name : null);
    }
  }
  const named = (key) => {
    const name = names.get(key.toLowerCase()) ?? null;
    return name !== null && name.toLowerCase() !== key.toLowerCase() ? name : null;
  };
  return (key) => {
    const whole = named(key);
    const parts = whole === null && key.startsWith('[') ? parsed(key) : null;
    if (!Array.isArray(parts) || !parts.every((part) => typeof part === 'string')) return whole;
    return parts.some((part) => named(part) !== null) ? parts.map((part) => named(part) ?? part).join(' · ') : null;
  };
}
