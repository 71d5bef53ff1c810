// Shortcuts, and the list of them. Knows no page: pages say what their keys do.

import { h, icon } from './h.js';

const EVERYWHERE = [
  ['?', 'this list'],
  ['g then o', 'overview'],
  ['g then a', 'approvals'],
  ['g then s', 'sessions'],
  ['g then l', 'audit log'],
  ['j, k', 'next, previous entry'],
  ['Enter', 'open the entry'],
  ['u', 'back to the list'],
  ['/', 'search'],
];

const PLACES = { o: '/', a: '/approvals', s: '/sessions', l: '/audit', i: '/identities', d: '/data', p: '/policy', h: '/health' };

let page = {};
let prefix = -Infinity;

/** Takes what the page's keys do: `{a: {says: 'approve', act}}`. */
export function pageKeys(keys) {
  page = keys ?? {};
}

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));
}

function rows() {
  return [...document.querySelectorAll('[data-row]')].filter((row) => row.checkVisibility());
}

/** Moves the focus among a page's entries. */
function step(by) {
  const all = rows();
  if (all.length === 0) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
  (next.matches('a,button') ? next : next.querySelector('a,button'))?.focus();
  next.scrollIntoView({ block: 'nearest' });
}

/** Shows the list of shortcuts. */
export function showKeys() {
  if (document.querySelector('dialog[open]')) return;
  const row = ([keys, says]) => h('div', null, h('dt', null, keys.split(' ').map((key) => /^(then|,)$/.test(key) ? ` ${key} ` : h('kbd', null, key.replace(/,$/, '')))), h('dd', null, says));
  const own = Object.entries(page).filter(([, it]) => it.says).map(([key, it]) => [key, it.says]);
  const dialog = h('dialog', { class: 'question', 'aria-labelledby': 'keys-title', onclose: () => dialog.remove() },
    h('h2', { id: 'keys-title' }, 'Shortcuts'),
    h('dl', { class: 'keys' }, [...own, ...EVERYWHERE].map(row)),
    h('div', { class: 'question-buttons' }, h('button', { type: 'button', class: 'button big', onclick: () => dialog.close() }, icon('cross'), 'Close')));
  document.body.append(dialog);
  dialog.showModal();
}

/** Listens to the keyboard. `go` opens a page of the console. */
export function start(go) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
    if (typing(event.target) || document.querySelector('dialog[open]')) return;
    // When it was pressed, not when a busy page came to hear of it.
    const chosen = event.timeStamp - prefix < 1500 ? PLACES[event.key] : undefined;
    prefix = -Infinity;
    if (chosen) go(chosen);
    else if (page[event.key]) page[event.key].act();
    else if (event.key === 'g') prefix = event.timeStamp;
    else if (event.key === 'j') step(1);
    else if (event.key === 'k') step(-1);
    else if (event.key === '?') showKeys();
    else if (event.key === '/') document.querySelector('[data-search]')?.focus();
    else return;
    event.preventDefault();
  });
}
