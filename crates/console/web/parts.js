// The parts that pages are made of: headings, badges, lists, states, questions. Knows no page and no API.

import { ago, clock, left, now, moment, whole } from './format.js';
import { fill, h, icon } from './h.js';

/** The head of a page. */
export function heading(title, { eyebrow, actions, lead } = {}) {
  return h('header', { class: 'head' },
    h('div', { class: 'head-text' },
      eyebrow ? h('p', { class: 'eyebrow' }, eyebrow) : null,
      h('h1', { tabindex: -1 }, title),
      lead ? h('p', { class: 'lead' }, lead) : null),
    actions ? h('div', { class: 'head-actions' }, actions) : null);
}

/** A part of a page with a heading of its own. */
export function section(title, { note, actions, id, kind } = {}, ...children) {
  const heading = `h-${id ?? title.toLowerCase().replace(/[^a-z]+/g, '-')}`;
  return h('section', { class: `card ${kind ?? ''}`, 'aria-labelledby': heading, id },
    h('div', { class: 'card-head' },
      h('h2', { id: heading }, title),
      note ? h('p', { class: 'note' }, note) : null,
      actions ? h('div', { class: 'card-actions' }, actions) : null),
    children);
}

const VERDICTS = { allow: 'allowed', mask: 'masked', hold: 'needs approval', deny: 'refused' };

/** A verdict as a word in its colour. */
export function verdict(name) {
  return h('span', { class: `badge v-${VERDICTS[name] ? name : 'none'}` }, VERDICTS[name] ?? name ?? 'undecided');
}

const STATES = {
  open: ['waits', 'hold'], approved: ['approved', 'allow'], denied: ['denied', 'deny'], used: ['approved, run', 'allow'],
  expired: ['expired', 'none'], cancelled: ['cancelled', 'none'], session_ended: ['session ended', 'none'],
  policy_changed: ['policy changed', 'none'], withdrawn: ['taken back', 'none'], lost: ['lost', 'none'],
};

/** The state of a request. */
export function standing(state) {
  const [word, colour] = STATES[state] ?? [state, 'none'];
  return h('span', { class: `badge v-${colour}` }, word);
}

/** A neutral word in a frame. */
export function tag(...content) {
  return h('span', { class: 'tag' }, content);
}

/** Name and list of values. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h('dl', { class: 'facts' }, shown.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
}

/** A time that says in full what it is, when asked. */
export function time(value, form = clock) {
  if (value === null || value === undefined) return null;
  return h('time', { datetime: new Date(moment(value)).toISOString(), title: whole(value) }, form(value));
}

/** A time as how long ago, kept true by `tick`. */
export function since(value) {
  const node = time(value, ago);
  node?.setAttribute('data-ago', moment(value));
  return node;
}

/** What is left of a time, kept true by `tick`. */
export function countdown(until, total) {
  const node = h('time', { class: 'countdown', 'data-until': moment(until), title: whole(until) }, left(until));
  if (total) node.dataset.total = total;
  urge(node);
  return node;
}

function urge(node) {
  const remains = Number(node.dataset.until) - now();
  node.classList.toggle('urgent', remains < 60_000);
}

/** Brings all times of the page up to date. */
export function tick() {
  for (const node of document.querySelectorAll('[data-until]')) {
    node.textContent = left(Number(node.dataset.until));
    urge(node);
  }
  for (const node of document.querySelectorAll('[data-ago]')) node.textContent = ago(Number(node.dataset.ago));
  for (const node of document.querySelectorAll('[data-drain]')) {
    const [from, to] = node.dataset.drain.split(' ').map(Number);
    node.value = Math.min(1, Math.max(0, (to - now()) / Math.max(1, to - from)));
  }
}

/** A bar that gets shorter until a time. */
export function drain(from, to) {
  return h('progress', { class: 'drain', max: 1, value: Math.min(1, Math.max(0, (to - now()) / Math.max(1, to - from))), 'data-drain': `${from} ${to}`, 'aria-label': 'time left' });
}

/** What is shown where there is nothing. */
export function empty(picture, title, ...words) {
  return h('div', { class: 'empty' }, h('div', { class: 'empty-icon' }, icon(picture)), h('p', { class: 'empty-title' }, title), words.length ? h('p', { class: 'note' }, words) : null);
}

/** What is shown while something is on its way. */
export function loading(rows = 4) {
  return h('div', { class: 'loading', role: 'status' }, h('span', { class: 'hidden' }, 'Loading'), Array.from({ length: rows }, () => h('div', { class: 'bone' })));
}

/** What is shown when something could not be had. */
export function failure(error, retry) {
  const words = { 403: 'You may not see this.', 404: 'There is nothing here.' }[error.status] ?? 'This could not be loaded.';
  return h('div', { class: 'failure', role: 'alert' }, icon('warn'), h('div', null, h('p', { class: 'failure-title' }, words), h('p', { class: 'note' }, error.message)),
    retry ? h('button', { type: 'button', class: 'button', onclick: retry }, 'Try again') : null);
}

/** A table; rows are lists of cells, or `{cells, href, key}`. On a phone each row becomes a block. */
export function table(caption, columns, rows) {
  return h('div', { class: 'table-frame' }, h('table', null, h('caption', { class: 'hidden' }, caption),
    h('thead', null, h('tr', null, columns.map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', null, rows.map((row) => {
      const { cells, href, key } = Array.isArray(row) ? { cells: row } : row;
      return h('tr', { 'data-href': href, 'data-row': key, class: href ? 'goes' : null },
        cells.map((cell, at) => h('td', { 'data-label': columns[at] }, cell)));
    }))));
}

/** Says something for a moment. */
export function toast(message, kind = 'plain') {
  const place = document.getElementById('toasts');
  if (!place) return;
  const node = h('div', { class: `toast toast-${kind}` }, icon(kind === 'bad' ? 'warn' : 'check'), h('span', null, message));
  place.append(node);
  setTimeout(() => node.remove(), kind === 'bad' ? 9000 : 5000);
}

/**
 * Asks before something is done. `field` asks for a text: `{label, required, hint, placeholder}`. `act` gets the text; what it throws is
 * shown, and the question stays. Resolves to whether it was done.
 */
export function question({ title, words, confirm, danger, field, act }) {
  return new Promise((resolve) => {
    const problem = h('p', { class: 'problem', role: 'alert' });
    const text = field ? h('textarea', { id: 'question-text', rows: 3, maxlength: 500, placeholder: field.placeholder ?? '', required: field.required, 'aria-describedby': 'question-hint' }) : null;
    const yes = h('button', { type: 'submit', class: `button big ${danger ? 'danger' : 'primary'}` }, confirm);
    const no = h('button', { type: 'button', class: 'button big', onclick: () => dialog.close() }, 'Cancel');
    let done = false;
    const submit = async (event) => {
      event.preventDefault();
      const given = text?.value.trim() ?? '';
      if (field?.required && !given) {
        fill(problem, 'A reason is needed here.');
        text.focus();
        return;
      }
      yes.disabled = true;
      try {
        await act(given);
        done = true;
        dialog.close();
      } catch (error) {
        fill(problem, error.message);
        yes.disabled = false;
      }
    };
    const dialog = h('dialog', { class: 'question', 'aria-labelledby': 'question-title', onclose: () => { dialog.remove(); resolve(done); } },
      h('form', { method: 'dialog', onsubmit: submit },
        h('h2', { id: 'question-title' }, title),
        words ? h('div', { class: 'question-words' }, words) : null,
        field ? [h('label', { for: 'question-text' }, field.label), text, h('p', { class: 'note', id: 'question-hint' }, field.hint ?? '')] : null,
        problem,
        h('div', { class: 'question-buttons' }, no, yes)));
    document.body.append(dialog);
    dialog.showModal();
    (text ?? yes).focus();
    text?.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) dialog.querySelector('form').requestSubmit(yes);
    });
  });
}

/** Who somebody is: the name, and `issuer:subject`, which is what counts. */
export function who(person) {
  if (!person) return h('span', { class: 'muted' }, 'nobody');
  if (typeof person === 'string') return h('span', { class: 'who mono' }, h('bdi', null, person));
  const id = `${person.issuer}:${person.subject}`;
  const link = `/identities/${encodeURIComponent(person.issuer)}/${encodeURIComponent(person.subject)}`;
  return h('a', { class: 'who', href: link }, person.name && person.name !== person.subject ? [h('bdi', { class: 'who-name' }, person.name), ' '] : null, h('bdi', { class: 'who-id mono' }, id));
}

/** A statement's beginning in a list. */
export function snippet(value) {
  return h('code', { class: 'snippet' }, h('bdi', null, value));
}
