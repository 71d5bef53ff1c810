// What the databases hold, as policies speak of it: relations, columns, tags, and who read them.

import { get } from '../api.js';
import { count, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, failure, heading, loading, since, time } from '../parts.js';
import { page as listOf } from '../shapes.js';

function readers(list, relation) {
  return h('ul', { class: 'compact' }, list.map((one) => h('li', null, h('div', { class: 'compact-link' }, h('span', { class: 'compact-head' },
    h('a', { href: `/audit?${new URLSearchParams({ identity: one.identity, relation })}` }, h('bdi', null, one.identity)),
    h('span', { class: 'note' }, [one.reads ? `${count(one.reads)} read` : null, one.masked ? `${count(one.masked)} masked` : null, one.writes ? `${count(one.writes)} changed` : null].filter(Boolean).join(', ')),
    one.refused ? h('span', { class: 'badge v-deny' }, `${count(one.refused)} refused`) : null, since(one.last))))));
}

function column(it, relation) {
  return h('li', null, h('span', { class: 'mono' }, h('bdi', null, it.name)),
    h('span', { class: 'tags' }, it.tags.map((word) => h('span', { class: 'badge v-mask' }, word))),
    h('span', { class: 'note' }, it.mask ? `masked: ${it.mask}` : ''),
    it.readers?.length ? h('details', { class: 'column-readers' }, h('summary', null, several(it.readers.length, 'reader')), readers(it.readers, relation)) : h('span'));
}

function relation(it) {
  const name = `${it.schema}.${it.name}`;
  const tagged = it.columns.filter((one) => one.tags.length).length;
  return h('li', null, h('details', { class: 'relation', 'data-row': name },
    h('summary', null, h('span', { class: 'relation-name mono' }, h('bdi', null, name)), h('span', { class: 'tag' }, it.kind), h('span', { class: 'note' }, several(it.columns.length, 'column'), tagged ? `, ${count(tagged)} tagged` : ''), h('span', { class: 'relation-readers note' }, it.users ? [several(it.users, 'identity', 'identities'), it.last_used ? [', ', since(it.last_used)] : null] : 'not used')),
    h('div', { class: 'relation-body' },
      h('ul', { class: 'columns' }, it.columns.map((one) => column(one, name))),
      h('h3', null, 'Who used it'),
      it.readers.length ? readers(it.readers, name) : h('p', { class: 'note' }, 'Nobody, as far as counts go back.'))));
}

/** The page. */
export async function data({ place, params, query, signal, go }) {
  const all = listOf(await get(['data'], {}, signal)).items;
  if (!params.database && all.length === 1) { go(`/data/${encodeURIComponent(all[0].name)}`, { replace: true }); return; }
  if (!params.database) {
    fill(place, heading('Data', { lead: 'What is in each database, and who read it.' }), all.length ? h('div', { class: 'stats' }, all.map((it) => h('a', { class: 'stat', href: `/data/${encodeURIComponent(it.name)}` }, h('span', { class: 'stat-icon' }, icon('data')), h('span', { class: 'stat-word' }, h('bdi', null, it.name)), h('span', { class: 'stat-note' }, it.known ? `${several(it.relations, 'relation')}, ${count(it.tagged)} tagged` : 'not read yet')))) : empty('data', 'No database is served'));
    return;
  }
  const list = h('ul', { class: 'relations card' });
  const foot = h('div', { class: 'inbox-foot' });
  const asked = { text: query.get('text') ?? '', tag: query.get('tag') ?? '', used: query.get('used') ?? '' };
  let shown = [];
  const load = async (after) => {
    const it = await get(['data', params.database], { ...asked, after, limit: 100 }, signal);
    shown = after ? shown.concat(it.items) : it.items;
    fill(list, shown.length ? shown.map(relation) : h('li', null, it.known ? empty('search', 'Nothing is like that') : empty('data', 'Nothing is known of this database yet', 'Its catalog is read when the first session logs in.')));
    fill(foot, it.next ? h('button', { type: 'button', class: 'button', 'data-key': 'more', onclick: () => load(it.next).catch((error) => fill(foot, failure(error))) }, 'Show more') : null);
    return it;
  };
  fill(list, h('li', null, loading(3)));
  const it = await load();
  const submit = (event) => {
    event.preventDefault();
    const pairs = [...new FormData(event.target)].filter(([, value]) => value);
    go(`/data/${encodeURIComponent(params.database)}${pairs.length ? `?${new URLSearchParams(pairs)}` : ''}`);
  };
  fill(place, heading(h('bdi', null, params.database), { eyebrow: all.length > 1 ? h('a', { href: '/data' }, icon('back'), 'Data') : 'Data', lead: it.since ? ['Who read what, since ', time(it.since), '.'] : 'Relations, their columns and tags.' }),
    h('form', { class: 'filters', role: 'search', onsubmit: submit },
      h('div', { class: 'field' }, h('label', { for: 'd-text' }, 'Relation or column'), h('input', { id: 'd-text', name: 'text', type: 'search', 'data-search': '', value: asked.text, autocomplete: 'off' })),
      h('div', { class: 'field' }, h('label', { for: 'd-tag' }, 'Tag'), h('select', { id: 'd-tag', name: 'tag' }, ['', ...(it.tags ?? [])].map((word) => h('option', { value: word, selected: word === asked.tag }, word || 'any')))),
      h('div', { class: 'field' }, h('label', { for: 'd-used' }, 'Use'), h('select', { id: 'd-used', name: 'used' }, [['', 'any'], ['true', 'somebody used it']].map(([value, word]) => h('option', { value, selected: value === asked.used }, word)))),
      h('button', { type: 'submit', class: 'button' }, icon('search'), 'Search')),
    list, foot);
}
