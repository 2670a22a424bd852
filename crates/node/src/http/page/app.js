// The frame of the page: selects the view, refreshes it, and handles colours, keys and the token.

import * as api from './api.js';
import { alertView } from './alert.js';
import { h, notice, put, say } from './dom.js';
import { listView } from './list.js';
import { current } from './router.js';
import { statusView } from './status.js';

const main = document.getElementById('main');
let view = null;
let timer = null;
let isLive = true;

function unknownView(root) {
  put(root, h('h1', {}, 'Not found'), notice('info', 'There is no page at this address. ', h('a', { href: '#/alerts' }, 'Show the alerts')));
  return { title: 'Not found', every: 0, refresh: async () => {}, stop() {} };
}

/** Returns the view for an address. */
function choose({ view: name, id, query }) {
  if (name === 'alerts' && id !== null) return alertView(main, id, query.get('tenant'));
  if (name === 'alerts') return listView(main, query);
  if (name === 'status') return statusView(main);
  return unknownView(main);
}

function show(isFirst) {
  clearTimeout(timer);
  view?.stop();
  const route = current();
  view = choose(route);
  document.title = `${view.title} · alerttrail`;
  for (const link of document.querySelectorAll('[data-nav]')) {
    if (link.dataset.nav === route.view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (!isFirst) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  refresh(view);
}

/** Refreshes a view, and again after its interval: one request at a time, none while the page is hidden. */
async function refresh(shown) {
  clearTimeout(timer);
  await shown.refresh();
  if (shown !== view) return;
  document.title = `${view.title} · alerttrail`;
  if (shown.every > 0) timer = setTimeout(() => isLive && !document.hidden && refresh(shown), shown.every);
}

function setUpLive() {
  const button = document.getElementById('live');
  button.addEventListener('click', () => {
    isLive = !isLive;
    button.setAttribute('aria-pressed', String(isLive));
    say(isLive ? 'Live' : 'Paused');
    if (isLive) refresh(view);
    else clearTimeout(timer);
  });
  document.addEventListener('visibilitychange', () => !document.hidden && isLive && refresh(view));
}

function setUpTheme() {
  const choice = document.getElementById('theme');
  const apply = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  choice.value = localStorage.getItem('alerttrail.theme') ?? '';
  apply(choice.value);
  choice.addEventListener('change', () => {
    localStorage.setItem('alerttrail.theme', choice.value);
    apply(choice.value);
  });
}

function setUpHelp() {
  const help = document.getElementById('help');
  const keysOn = document.getElementById('keys-on');
  keysOn.checked = localStorage.getItem('alerttrail.keys') !== 'off';
  keysOn.addEventListener('change', () => localStorage.setItem('alerttrail.keys', keysOn.checked ? 'on' : 'off'));
  document.getElementById('help-button').addEventListener('click', () => help.showModal());
  const actions = {
    '/': () => document.getElementById('search')?.focus(),
    '?': () => help.showModal(),
    a: () => (location.hash = '#/alerts'),
    s: () => (location.hash = '#/status'),
    j: () => step(1),
    k: () => step(-1),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keysOn.checked || document.querySelector('dialog[open]')) return;
    if (event.target.matches('input, select, textarea')) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Moves the focus to the next or previous row that can be opened. */
function step(by) {
  const stops = [...main.querySelectorAll('[data-stop]')];
  if (stops.length === 0) return;
  const at = stops.indexOf(document.activeElement);
  const next = stops[Math.min(stops.length - 1, Math.max(0, at + by))];
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}

/** Asks the user for the token once, even if several requests wait for it. */
function setUpToken() {
  const dialog = document.getElementById('token');
  const field = document.getElementById('token-field');
  let asked = null;
  dialog.addEventListener('cancel', (event) => event.preventDefault());
  api.onToken((isWrong) => {
    asked ??= new Promise((resolve) => {
      document.getElementById('token-error').textContent = isWrong ? 'The token is wrong.' : '';
      field.value = '';
      dialog.showModal();
      document.getElementById('token-form').addEventListener(
        'submit',
        (event) => {
          event.preventDefault();
          dialog.close();
          asked = null;
          resolve(field.value);
        },
        { once: true },
      );
    });
    return asked;
  });
}

setUpTheme();
setUpHelp();
setUpToken();
setUpLive();
addEventListener('hashchange', () => show(false));
show(true);
