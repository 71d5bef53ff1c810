// Whether the gateway is well: what it relies on, and what it says of itself.

import { get } from '../api.js';
import { soon } from '../live.js';
import { bytes, count, duration } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, facts, heading, section, since } from '../parts.js';

function value(name, it) {
  if (it === null || it === undefined) return null;
  if (typeof it === 'boolean') return it ? 'yes' : 'no';
  if (typeof it === 'number') return /bytes/.test(name) ? bytes(it) : /(_ms|millis)$/.test(name) ? `${count(it)} ms` : /seconds$/.test(name) ? duration(it * 1000) : count(it);
  if (typeof it === 'string') return /(_at|^at|since|_on|started)$/.test(name) && !Number.isNaN(Date.parse(it)) ? since(it) : h('span', { class: 'break' }, it);
  if (Array.isArray(it)) return it.length && typeof it[0] === 'object' ? null : it.join(', ');
  return null;
}

const words = (name) => {
  const plain = name.replace(/_(ms|bytes|seconds|at)$/, '').replaceAll('_', ' ');
  return plain.charAt(0).toUpperCase() + plain.slice(1);
};

/** The page. */
export async function health({ place, signal, listen }) {
  const body = h('div');
  async function show() {
    const it = await get(['health'], {}, signal);
    const ready = it.ready !== false && !it.not_ready;
    const parts = it.parts ?? it.checks ?? [];
    fill(body,
      h('div', { class: `banner ${ready ? 'banner-good' : 'banner-bad'}` }, icon(ready ? 'check' : 'warn'), h('div', null, h('p', { class: 'banner-title' }, ready ? 'All is well' : 'Not ready'), h('p', null, ready ? 'The gateway takes connections.' : it.not_ready ?? it.why ?? 'Something that it relies on is missing.'))),
      parts.length ? h('ul', { class: 'checks card' }, parts.map((one) => h('li', null, h('span', { class: `dot dot-${one.ok === false || one.state === 'bad' ? 'bad' : one.state === 'warn' ? 'warn' : 'good'}` }), h('div', null, h('p', null, h('strong', null, one.name)), h('p', { class: 'note' }, one.says ?? one.detail ?? one.why ?? ''))))) : null,
      h('div', { class: 'grid spaced' }, Object.entries(it).filter(([name, one]) => !['parts', 'checks'].includes(name) && one && typeof one === 'object').map(([name, one]) => h('div', { class: 'half' }, section(words(name), { id: `x-${name}` },
        Array.isArray(one) ? (one.length ? h('div', { class: 'stack' }, one.map((each) => (typeof each === 'object' ? facts(Object.entries(each).map(([key, inner]) => [words(key), value(key, inner)])) : h('p', null, String(each))))) : empty('check', 'None')) : facts(Object.entries(one).map(([key, inner]) => [words(key), value(key, inner)])))))),
      section('Gateway', { id: 'gateway' }, facts(Object.entries(it).filter(([, one]) => one !== null && typeof one !== 'object').map(([key, one]) => [words(key), value(key, one)]))));
  }
  fill(place, heading('System'), body);
  await show();
  const again = soon(() => show().catch((error) => signal.aborted || console.warn(error.message)), 500);
  listen((event) => { if (['health', 'policy', 'resync'].includes(event.kind)) again(); });
  const timer = setInterval(again, 10_000);
  signal.addEventListener('abort', () => clearInterval(timer));
}
