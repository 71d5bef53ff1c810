// Who decides in somebody's place while they are away.

import { get, post, remove } from '../api.js';
import { fill, h } from '../h.js';
import { soon } from '../live.js';
import { empty, heading, question, section, tag, time, toast, who } from '../parts.js';
import { page as listOf } from '../shapes.js';

/** Now and some hours, as <input type="datetime-local"> takes it. */
function later(hours) {
  const date = new Date(Date.now() + hours * 3_600_000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The page. */
export async function delegations({ place, me, signal, listen }) {
  const list = h('div');
  const problem = h('p', { class: 'problem', role: 'alert' });

  async function load() {
    const { items } = listOf(await get(['delegations'], {}, signal));
    fill(list, items.length ? h('ul', { class: 'delegations' }, items.map((it) => h('li', null,
      h('div', null,
        h('p', null, who(it.from), ' → ', h('bdi', { class: 'mono' }, it.to)),
        h('p', { class: 'tags' }, it.groups?.length ? it.groups.map((group) => tag(group)) : tag('all groups')),
        h('p', { class: 'note' }, 'until ', time(it.until), it.reason ? [' · ', h('bdi', null, it.reason)] : null)),
      it.from?.issuer === me.issuer && it.from?.subject === me.subject || (me.roles ?? []).includes('operator') ? h('button', { type: 'button', class: 'button small', 'data-key': `end-${it.id}`, onclick: () => end(it) }, 'End it') : null))) : empty('delegations', 'Nobody is away', 'A delegation lets somebody else decide for you until a time that you choose.'));
  }
  const end = (it) => question({ title: 'End this delegation?', confirm: 'End it', danger: true, act: async () => {
    await remove(['delegations', it.id]);
    toast('The delegation is over');
    await load();
  } });
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    fill(problem);
    try {
      await post(['delegations'], { to: given.to.trim(), groups: given.groups.split(/[\s,]+/).filter(Boolean), until: new Date(given.until).toISOString(), reason: given.reason.trim() || null });
      toast('Delegated');
      event.target.reset();
      await load();
    } catch (error) {
      fill(problem, error.message);
    }
  };
  const field = (id, label, props, hint) => h('div', { class: 'field' }, h('label', { for: `d-${id}` }, label), h('input', { id: `d-${id}`, name: id, autocomplete: 'off', 'aria-describedby': hint ? `d-${id}-hint` : null, ...props }), hint ? h('p', { class: 'note', id: `d-${id}-hint` }, hint) : null);
  fill(place, heading('I am away', { lead: 'Let somebody decide in your place, until a time.' }),
    h('div', { class: 'request' },
      h('div', { class: 'request-main' }, section('Who stands in for whom', { id: 'who-for-whom' }, list)),
      h('aside', { class: 'decision', 'aria-label': 'Delegate' }, section('Delegate', { id: 'delegate' }, h('form', { class: 'try', onsubmit: submit },
        field('to', 'To', { placeholder: 'issuer:subject', required: true }, 'Who decides for you. One person still counts once.'),
        field('groups', 'For your groups', { placeholder: (me.groups ?? []).join(', ') || 'all of them' }, 'Empty: all that you are in.'),
        field('until', 'Until', { type: 'datetime-local', required: true, value: later(24) }),
        field('reason', 'Why', { maxlength: 500 }),
        problem,
        h('button', { type: 'submit', class: 'button primary big', id: 'delegate-submit' }, 'Delegate'))))));
  await load();
  const again = soon(() => load().catch((error) => signal.aborted || console.warn(error.message)), 500);
  listen((event) => { if (['delegations', 'resync'].includes(event.kind)) again(); });
}
