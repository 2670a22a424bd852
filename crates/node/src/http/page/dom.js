// Creates elements in such a way that nothing from a record can be more than text: every string becomes a text node or
// an attribute value, never markup. No code of the page parses HTML; the policy that the page is served with forbids it
// too.

const SVG = 'http://www.w3.org/2000/svg';

// Characters that are invisible or change the direction of text, which could make a name look like another one.
const DECEPTIVE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** Returns a text from a record for display, with deceptive characters spelled out. */
export function plain(text) {
  return String(text).replace(DECEPTIVE, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'title' || name === 'aria-label') element.setAttribute(name, plain(value));
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== undefined && child !== null && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(plain(child))));
}

/** Creates an HTML element: `h('a', { href, class }, 'text', other)`. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** Creates an SVG element. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Replaces the content of `element` by `children`. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/**
 * Updates the children of `parent` to match `items`. Elements of unchanged items are kept, with their focus and
 * expanded parts. `key` returns the name of an item, `make` creates its element.
 */
export function keep(parent, items, key, make) {
  const had = (parent.kept ??= new Map());
  const kept = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const said = JSON.stringify(item);
    let entry = had.get(name);
    if (!entry || entry.said !== said) {
      const element = make(item);
      if (entry) {
        const focused = entry.element.contains(document.activeElement);
        if (at === entry.element) at = element;
        entry.element.replaceWith(element);
        if (focused) element.querySelector('a, button')?.focus();
      }
      entry = { element, said };
    }
    kept.set(name, entry);
    if (entry.element === at) at = at.nextElementSibling;
    else parent.insertBefore(entry.element, at);
  }
  for (const [name, entry] of had) if (!kept.has(name)) entry.element.remove();
  parent.kept = kept;
}

/** Announces a text to screen readers. */
export function say(text) {
  const place = document.getElementById('say');
  if (place.textContent !== text) place.textContent = text;
}

/** Creates a notice: `kind` is `info` or `bad`. */
export const notice = (kind, ...children) => h('p', { class: `notice ${kind}`, role: kind === 'bad' ? 'alert' : undefined }, ...children);

/** Creates the placeholder for something that is being loaded. */
export const loading = (what) => h('p', { class: 'notice info loading' }, `Loading ${what} …`);

/** Creates a button that copies the result of `text`. */
export function copyButton(label, text) {
  const button = h('button', { type: 'button' }, label);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Copying failed: select it by hand';
    }
    say(button.textContent);
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}
