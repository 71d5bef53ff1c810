// Shows statements, parameters, plans and touches whole: the server says which runs of a text are comments or characters that
// deceive; nothing is guessed here, and nothing is cut.

import { h } from './h.js';
import { tag, verdict } from './parts.js';

/** Runs that deceive, and how many of them are told. */
const MARKED = {
  bidi: ['reorders what is read', 'reorder what is read'],
  invisible: ['can’t be seen', 'can’t be seen'],
  control: ['is a control character', 'are control characters'],
  look_alike: ['looks like another', 'look like others'],
  combining: ['sits on another', 'sit on others'],
  unassigned: ['means nothing yet', 'mean nothing yet'],
};

/** One run, split at its newlines. */
function pieces(run) {
  const kind = run.kind ?? 'plain';
  if (kind === 'plain') return run.text.split('\n').map((text) => h('span', null, text));
  if (kind === 'comment' || kind === 'string' || kind === 'keyword') return run.text.split('\n').map((text) => h('span', { class: `t-${kind}` }, text));
  // Letters that are written from right to left, in a place of their own.
  if (kind === 'right_to_left' && !run.code) return [h('bdi', { class: `mark mark-look_alike${run.in ? ` t-${run.in}` : ''}`, title: run.name ?? 'written from right to left' }, run.text)];
  // White space that pushes what follows out of sight.
  if (kind === 'space' && !run.code) return [h('span', { class: 'mark mark-look_alike', title: run.name }, run.name ?? 'blanks'), ...(run.text.includes('\n') ? [h('span')] : [])];
  const says = [run.code, run.name, run.like ? `looks like “${run.like}”` : MARKED[kind]?.[0]].filter(Boolean).join(' · ');
  const times = run.times > 1 ? ` ×${run.times}` : '';
  const seen = kind === 'look_alike' || kind === 'combining' ? [h('bdi', null, run.text), ` ${run.code}`, run.like ? ` not “${run.like}”` : null, times] : [run.code ?? run.name ?? 'hidden', times];
  const mark = h('span', { class: `mark mark-${kind}`, title: says }, seen);
  return run.text.includes('\n') ? [mark, h('span')] : [mark];
}

/** A text with its marks; `runs` as the API gives them, or a plain text. */
export function statement(runs, label = 'Statement') {
  const all = typeof runs === 'string' ? [{ kind: 'plain', text: runs }] : runs;
  const lines = [h('span', { class: 'ln' })];
  for (const run of all) {
    pieces(run).forEach((piece, at) => {
      if (at > 0) {
        lines.at(-1).append('\n');
        lines.push(h('span', { class: 'ln' }));
      }
      lines.at(-1).append(piece);
    });
  }
  const marks = all.filter((run) => MARKED[run.kind]);
  return [
    marks.length ? h('p', { class: 'warning', role: 'note' }, warnings(marks)) : null,
    h('pre', { class: `statement${lines.length > 1 ? ' numbered' : ''}`, dir: 'ltr', tabindex: 0, role: 'region', 'aria-label': label }, h('code', null, lines)),
  ];
}

function warnings(marks) {
  const words = [];
  for (const [kind, [one, many]] of Object.entries(MARKED)) {
    const found = marks.filter((run) => run.kind === kind).reduce((sum, run) => sum + (run.times ?? 1), 0);
    if (found > 0) words.push(found === 1 ? `1 character that ${one}` : `${found} characters that ${many}`);
  }
  return [h('strong', null, 'Look closely: '), 'this text has ', words.join(', '), '. They are marked.'];
}

/** A type without a name; the journal keeps none of parameters. */
function typeOf(oid) {
  if (oid === undefined || oid === null) return 'untyped';
  return oid === 0 ? 'unknown (decided by the server)' : `type ${oid}`;
}

/** Values bound to $1, $2, ... with their types. */
export function parameters(list) {
  return h('ol', { class: 'parameters' }, list.map((it, at) => {
    const value = it.value;
    const shown = value === null || value === 'null' ? h('span', { class: 'null' }, 'NULL')
      : typeof value === 'string' ? quoted(value)
        : value.text !== undefined ? quoted(value.text, it.text_shown ?? it.shown)
          : value.binary !== undefined ? [h('span', { class: 'muted' }, 'binary '), h('code', null, `\\x${value.binary}`)]
            : h('span', { class: 'muted' }, 'not kept');
    return h('li', null, h('span', { class: 'parameter-name mono' }, `$${at + 1}`), h('span', { class: 'tag mono' }, it.type_name ?? typeOf(it.type_oid)), h('div', { class: 'parameter-value' }, shown));
  }));
}

function quoted(value, runs) {
  return h('code', { dir: 'ltr' }, '\'', runs ? runs.map((run) => pieces(run).map((piece, at) => (at > 0 ? ['\n', piece] : piece))) : value, '\'');
}

/** What a statement touches, and what the policy says to each. */
export function touches(list) {
  return h('ul', { class: 'touches' }, list.map((it) => h('li', null,
    h('span', { class: 'touch-action mono' }, it.action),
    h('span', { class: 'touch-resource' }, h('bdi', null, it.resource), it.tags?.length ? [' ', it.tags.map((word) => tag(word))] : null),
    h('span', { class: 'touch-verdict' }, it.mask ? h('span', { class: 'note' }, `as ${it.mask}`) : null, verdict(it.verdict)),
    it.rules?.length ? h('span', { class: 'touch-rules note' }, it.rules.map((rule) => h('code', null, typeof rule === 'string' ? rule : rule.id)).flatMap((node, at) => (at > 0 ? [', ', node] : [node]))) : null)));
}

/** A rule, and where it stands. */
export function rules(list) {
  return h('ul', { class: 'rules' }, list.map((rule) => (typeof rule === 'string' ? h('li', null, h('code', null, rule))
    : h('li', null, h('code', { class: 'rule-id' }, rule.id), ' ', rule.forbid ? h('span', { class: 'badge v-deny' }, 'forbids') : null, rule.file ? h('span', { class: 'note' }, ` ${rule.file}${rule.line ? `:${rule.line}` : ''}`) : null))));
}

/** Runs within a line. */
export function inline(runs) {
  if (typeof runs === 'string') return runs;
  return runs.map((run) => pieces(run).map((piece, at) => (at > 0 ? [' ', piece] : piece)));
}

/** A query plan: lines, each a text or runs. */
export function plan(lines) {
  const text = lines.map((line, at) => [at > 0 ? '\n' : null, inline(line)]);
  return h('pre', { class: 'plan', dir: 'ltr', tabindex: 0, role: 'region', 'aria-label': 'Query plan' }, h('code', null, text));
}
