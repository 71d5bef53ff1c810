// Small plots in SVG. Knows numbers, and says them to those who can't see them.

import { h, s } from './h.js';
import { clock, count } from './format.js';

const KINDS = [['allow', 'allowed'], ['mask', 'masked'], ['hold', 'held'], ['deny', 'refused']];
const [WIDTH, HEIGHT] = [600, 120];

/** Stacked bars over time: `[{at, allow, mask, hold, deny}]`. */
export function verdictBars(series) {
  const sums = series.map((it) => KINDS.reduce((sum, [kind]) => sum + (it[kind] ?? 0), 0));
  const top = Math.max(1, ...sums);
  const step = WIDTH / Math.max(1, series.length);
  const bars = series.map((it, at) => {
    let y = HEIGHT;
    const parts = KINDS.map(([kind]) => {
      const height = ((it[kind] ?? 0) / top) * (HEIGHT - 6);
      y -= height;
      return height > 0 ? s('rect', { class: `p-${kind}`, x: at * step + step * 0.12, y, width: step * 0.76, height: Math.max(height, 1.5) }) : null;
    });
    const words = KINDS.filter(([kind]) => it[kind]).map(([kind, word]) => `${it[kind]} ${word}`).join(', ') || 'nothing';
    return s('g', null, s('title', null, `${clock(it.at)}: ${words}`), s('rect', { class: 'p-none', x: at * step, y: 0, width: step, height: HEIGHT }), parts);
  });
  const totals = KINDS.map(([kind, word]) => [kind, word, series.reduce((sum, it) => sum + (it[kind] ?? 0), 0)]);
  const label = `Statements: ${totals.map(([, word, total]) => `${total} ${word}`).join(', ')}`;
  return h('figure', { class: 'plot' },
    s('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, s('line', { class: 'p-base', x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }), bars),
    series.length ? h('div', { class: 'plot-axis' }, h('span', null, clock(series[0].at).replace(/:\d\d( |$)/, '$1')), h('span', null, 'now')) : null,
    h('ul', { class: 'legend' }, totals.map(([kind, word, total]) => h('li', null, h('span', { class: `swatch s-${kind}` }), `${word} `, h('strong', { class: 'number' }, count(total))))));
}

/** A line without axes. */
export function spark(values, label) {
  const top = Math.max(1, ...values);
  const points = values.map((value, at) => `${(at / Math.max(1, values.length - 1)) * 100},${28 - (value / top) * 25}`).join(' ');
  return s('svg', { class: 'spark', viewBox: '0 0 100 30', preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, s('polyline', { points }));
}
