// What the databases hold, as policies speak of it: relations, columns, tags, and who read them.

import { get } from '../api.js';
import { count, several } from '../format.js';
import { fill, h } from '../h.js';
import { empty, heading, since } from '../parts.js';
import { page as listOf } from '../shapes.js';

async function databases(signal) {
  return listOf(await get(['policy'], {}, signal)).items.map((it) => it.database ?? it.name);
}

function relation(it) {
  const tagged = (it.columns ?? []).filter((column) => column.tags?.length);
  return h('li', null, h('details', { class: 'relation', 'data-row': it.name },
    h('summary', null, h('span', { class: 'relation-name mono' }, h('bdi', null, `${it.schema}.${it.name}`)), h('span', { class: 'tag' }, it.kind ?? 'table'), h('span', { class: 'note' }, several((it.columns ?? []).length, 'column'), tagged.length ? `, ${count(tagged.length)} tagged` : ''), h('span', { class: 'relation-readers note' }, it.readers?.length ? several(it.readers.length, 'reader') : '')),
    h('div', { class: 'relation-body' },
      h('ul', { class: 'columns' }, (it.columns ?? []).map((column) => h('li', null, h('span', { class: 'mono' }, h('bdi', null, column.name)), h('span', { class: 'note mono' }, column.type ?? ''), h('span', { class: 'tags' }, (column.tags ?? []).map((word) => h('span', { class: 'badge v-mask' }, word))), h('span', { class: 'note' }, column.mask ? `masked as ${column.mask}` : '')))),
      h('h3', null, 'Who used it'),
      it.readers?.length ? h('ul', { class: 'compact' }, it.readers.map((one) => h('li', null, h('div', { class: 'compact-link' }, h('span', { class: 'compact-head' }, h('a', { href: `/audit?${new URLSearchParams({ identity: one.identity, object: `${it.schema}.${it.name}` })}` }, h('bdi', null, one.identity)), h('span', { class: 'note' }, (one.actions ?? []).join(', ')), h('span', { class: 'number note' }, one.statements ? several(one.statements, 'statement') : ''), since(one.last)))))) : h('p', { class: 'note' }, 'Nobody, as far as the journal remembers.'))));
}

/** The page. */
export async function data({ place, params, signal, go }) {
  const names = await databases(signal);
  const chosen = params.database ?? names[0];
  if (!params.database && names.length === 1) { go(`/data/${encodeURIComponent(chosen)}`, { replace: true }); return; }
  const choice = names.length > 1 ? h('nav', { class: 'segments', 'aria-label': 'Database' }, names.map((name) => h('a', { href: `/data/${encodeURIComponent(name)}`, 'aria-current': name === params.database ? 'page' : null }, name))) : null;
  if (!params.database) {
    fill(place, heading('Data', { lead: 'Choose a database.', actions: choice }), names.length ? null : empty('data', 'No database is served'));
    return;
  }
  const it = await get(['data', params.database], {}, signal);
  const all = it.relations ?? listOf(it).items;
  const list = h('ul', { class: 'relations card' });
  const search = h('input', { type: 'search', 'data-search': '', 'aria-label': 'Search relations, columns and tags', placeholder: 'Relation, column, tag…', autocomplete: 'off' });
  const show = () => {
    const words = search.value.trim().toLowerCase();
    const found = all.filter((one) => !words || `${one.schema}.${one.name}`.toLowerCase().includes(words) || (one.columns ?? []).some((column) => column.name.toLowerCase().includes(words) || (column.tags ?? []).some((word) => word.includes(words))));
    fill(list, found.length ? found.slice(0, 400).map(relation) : h('li', null, empty('data', all.length ? 'Nothing is called that' : 'Nothing is known of this database yet', all.length ? null : 'The catalog is read when the first session logs in.')));
  };
  search.addEventListener('input', show);
  fill(place, heading(h('bdi', null, params.database), { eyebrow: 'Data', lead: all.length ? [several(all.length, 'relation'), it.catalog_at ? [', as the catalog was ', since(it.catalog_at)] : null, '.'] : null, actions: [choice, search] }), list);
  show();
}
