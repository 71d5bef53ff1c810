// One request, as an approver must see it: whole. Decides nothing by itself: it asks, and shows the answer.

import { get, post } from '../api.js';
import { clock, count, moment, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { soon } from '../live.js';
import { countdown, drain, empty, facts, heading, question, section, since, standing, tag, time, toast, who } from '../parts.js';
import { page as listOf, request } from '../shapes.js';
import { inline, parameters, plan, rules, statement, touches } from '../shown.js';

const WAITS = {
  held: 'Its connection is held open; nothing has reached the database.',
  async: 'It was refused for now, and will be sent again.',
  before: 'It is asked for in advance.',
};

const ENDS = {
  expired: 'Nobody answered in time.', cancelled: 'The client cancelled the statement.', session_ended: 'The client has gone, or its session was ended.',
  policy_changed: 'The policy changed while it waited.', withdrawn: 'Whoever asked took it back.', lost: 'The gateway that held it has gone.',
};

/** The page. */
export async function approval(context) {
  const { place, params, signal, listen, keys, title } = context;
  const number = params.number;
  const load = async () => request(await get(['approvals', number], {}, signal));
  let it = await load();
  title(`#${it.number} ${it.statement.command}`);

  const head = h('div');
  const aside = h('aside', { class: 'decision', 'aria-label': 'Decision' });
  const story = h('div');
  const actions = {};

  const act = async (name, reason, done) => {
    await post(['approvals', number, name], reason ? { reason } : {});
    toast(done);
    await refresh();
  };
  actions.approve = () => decide('approve', { title: `Approve #${it.number}?`, confirm: 'Approve', done: `#${it.number} is approved`,
    words: h('p', null, 'It runs once, exactly as shown: ', h('strong', null, `${it.statement.command} on ${it.database}`), '.'),
    field: { label: it.needs.some((need) => need.reasonRequired) ? 'Why' : 'Why (if you like)', required: it.needs.some((need) => need.reasonRequired), hint: 'Goes into the audit trail.' } });
  actions.deny = () => decide('deny', { title: `Deny #${it.number}?`, confirm: 'Deny', danger: true, done: `#${it.number} is denied`,
    field: { label: 'What shall it be told?', hint: 'The agent gets these words with its error.', placeholder: 'Ask for one ticket at a time, please.' } });
  actions['break-glass'] = () => decide('break-glass', { title: `Break the glass for #${it.number}?`, confirm: 'Run it now', danger: true, done: `#${it.number} runs; it will be reviewed`,
    words: h('p', null, 'It runs at once, without the others. That is recorded loudly, and has to be reviewed afterwards.'),
    field: { label: 'Why now', required: true, hint: 'Goes into the audit trail, and to those who review.' } });
  actions.review = () => decide('review', { title: `Review #${it.number}`, confirm: 'I have looked at it', done: 'The review is recorded',
    field: { label: 'What you found', required: true, hint: 'Goes into the audit trail.' } });
  actions.withdraw = () => decide('withdraw', { title: `Take #${it.number} back?`, confirm: 'Take it back', danger: true, done: `#${it.number} is taken back` });

  const decide = (name, { done, ...asked }) => {
    const allowed = it.may[name];
    if (!allowed?.ok) {
      toast(allowed?.why ?? 'This can not be done now.', 'bad');
      return Promise.resolve(false);
    }
    return question({ ...asked, act: (reason) => act(name, reason, done) });
  };

  function showHead() {
    const open = it.state === 'open';
    fill(head, heading([h('span', { class: 'head-number' }, `#${it.number}`), ' ', `${it.statement.command} on `, h('bdi', null, it.database)], {
      eyebrow: h('a', { href: '/approvals', 'data-key': 'up' }, icon('back'), 'Approvals'),
      lead: [h('bdi', { class: 'asker' }, it.requester.name ?? `${it.requester.issuer}:${it.requester.subject}`), it.requester.on_behalf_of ? [' for ', h('bdi', { class: 'asker' }, it.requester.on_behalf_of)] : null, ': ', it.why],
      actions: [standing(it.state), open ? null : time(it.until)],
    }));
  }

  function showAside() {
    fill(aside, decisionCard(it, actions), whoCard(it), needsCard(it));
  }

  async function refresh() {
    const before = JSON.stringify(it);
    const fresh = await load();
    if (signal.aborted || JSON.stringify(fresh) === before) return;
    it = fresh;
    showHead();
    showAside();
    fill(story, history(it));
  }

  showHead();
  showAside();
  fill(story, history(it));
  fill(place, head, h('div', { class: 'request' },
    h('div', { class: 'request-main' },
      section('Statement', { note: it.statement.pattern ? 'A pattern: any literals and parameters may stand where these do' : `${several(new TextEncoder().encode(it.statement.text).length, 'byte')}, shown whole` }, statement(it.shown), it.legend.map((words) => h('p', { class: 'note' }, words))),
      it.runs ? section('Which runs', { note: 'By that name was prepared or declared' }, statement(it.runs)) : null,
      it.purpose ? section('Why it is wanted', { note: 'in the requester’s own words' }, h('blockquote', { class: 'purpose' }, it.purposeShown ? inline(it.purposeShown) : it.purpose)) : null,
      it.statement.parameters?.length ? section('Parameters', {}, parameters(it.statement.parameters)) : null,
      section('What it touches', { note: 'as PostgreSQL itself says' }, it.touches.length ? touches(it.touches) : empty('data', 'Nothing that has a name')),
      planCard(it, number, signal),
      rowsCard(it, number),
      sessionCard(it),
      beforeCard(it),
      story),
    aside));

  keys({
    a: { says: 'approve (asks first)', act: () => actions.approve() },
    d: { says: 'deny (asks first)', act: () => actions.deny() },
    u: { act: () => context.go('/approvals') },
  });
  const again = soon(() => refresh().catch((error) => signal.aborted || console.warn(error.message)), 200);
  listen((event) => { if (event.kind === 'resync' || (event.kind === 'approval' && String(event.data?.number) === String(number))) again(); });
}

function decisionCard(it, actions) {
  const button = (name, word, kind, picture, key) => h('button', { type: 'button', id: `act-${name}`, 'data-key': name, class: `button big ${kind}`, disabled: !it.may[name]?.ok, onclick: actions[name] }, icon(picture), word, key ? h('kbd', { 'aria-hidden': 'true' }, key) : null);
  if (it.state === 'open') {
    const blocked = ['approve', 'deny'].map((name) => it.may[name]).find((may) => may && !may.ok);
    return h('section', { class: 'card decide', 'aria-label': 'Decide' },
      h('div', { class: 'decide-time' }, icon('clock'), countdown(it.until), h('span', { class: 'note' }, 'left, until ', clock(it.until))),
      drain(moment(it.opened), moment(it.until)),
      h('div', { class: 'decide-buttons' }, button('deny', 'Deny', 'danger', 'cross', 'd'), button('approve', 'Approve', 'primary', 'check', 'a')),
      blocked ? h('p', { class: 'why-not', id: 'why-not' }, icon('warn'), h('span', null, blocked.why)) : null,
      it.may['break-glass']?.ok ? h('button', { type: 'button', id: 'act-break-glass', 'data-key': 'break-glass', class: 'button glass', onclick: actions['break-glass'] }, icon('glass'), 'Break the glass: run it now') : null,
      it.may.withdraw?.ok ? h('button', { type: 'button', id: 'act-withdraw', 'data-key': 'withdraw', class: 'button', onclick: actions.withdraw }, 'Take it back') : null,
      h('p', { class: 'note' }, WAITS[it.wait], it.inTransaction ? h('strong', { class: 'urgent' }, ' It holds locks: it waits inside a transaction.') : null));
  }
  const last = it.votes.at(-1);
  return h('section', { class: `card decided decided-${it.state}`, 'aria-label': 'Outcome', id: 'outcome' },
    h('p', { class: 'decided-word' }, standing(it.state)),
    last ? h('p', null, h('bdi', null, last.by.name ?? last.by.subject), last.reason ? [': ', h('q', null, last.reason)] : null) : null,
    ENDS[it.state] ? h('p', { class: 'note' }, ENDS[it.state]) : null,
    it.uses > 1 ? h('p', { class: 'note' }, `Used ${count(it.used)} of ${several(it.uses, 'time')}.`) : null,
    it.state === 'approved' ? h('p', { class: 'note' }, 'May be used for another ', countdown(it.until), '.') : null,
    it.may.review?.ok ? button('review', 'Review it', 'primary', 'check') : null,
    it.may.withdraw?.ok ? button('withdraw', 'Take it back', '', 'cross') : null);
}

function whoCard(it) {
  const asks = it.requester;
  return section('Who asks', { id: 'who' }, facts([
    ['Identity', who(asks)],
    ['On behalf of', asks.on_behalf_of ? h('bdi', { class: 'mono' }, asks.on_behalf_of) : null],
    ['Owner', asks.owner ? h('bdi', { class: 'mono' }, asks.owner) : null],
    ['Groups', asks.groups?.length ? h('span', { class: 'tags' }, asks.groups.map((group) => tag(group))) : null],
    ['Application', it.application ? h('bdi', null, it.application) : null],
    ['Client', it.client ? h('span', { class: 'mono' }, it.client) : null],
    ['Session', it.session ? h('a', { href: `/audit?session=${encodeURIComponent(it.session)}`, class: 'mono' }, `${it.session.slice(0, 12)}…`) : null],
    ['Asked', since(it.opened)],
  ]));
}

function needsCard(it) {
  return section('Who must agree', { id: 'needs' },
    h('ul', { class: 'need-list' }, it.needs.map((need) => h('li', null,
      h('div', { class: 'need-head' }, h('strong', null, need.name), h('span', { class: 'number' }, `${need.have} of ${need.wanted}`)),
      h('progress', { max: need.wanted, value: Math.min(need.have, need.wanted), 'aria-label': `${need.name}: ${need.have} of ${need.wanted}` }),
      h('p', { class: 'note' }, need.all ? `${need.quorum} of each of ` : `${need.quorum} of `, need.groups.join(need.all ? ' and ' : ' or '))))),
    h('h3', null, 'Asked by'), rules(it.rules),
    it.bundle ? h('p', { class: 'note' }, 'Bundle ', h('a', { href: `/policy/${encodeURIComponent(it.database)}` }, `${it.bundle.name} ${it.bundle.version}`), ' ', h('code', { title: it.bundle.hash }, it.bundle.hash?.slice(0, 12))) : null,
    it.undelivered.length ? h('p', { class: 'why-not' }, icon('warn'), h('span', null, `Not delivered yet: ${it.undelivered.map((one) => (typeof one === 'string' ? one : one.channel)).join(', ')}`)) : null);
}

function planCard(it, number, signal) {
  const place = h('div', null, h('p', { class: 'note' }, 'Asking PostgreSQL…'));
  const show = (got) => {
    fill(place, got.lines?.length ? plan(got.lines) : h('p', { class: 'note' }, got.error ?? 'There is no plan for this statement.'),
      got.estimates === false ? h('p', { class: 'note' }, 'Costs and numbers of rows are left out: the planner knows values that the requester sees masked.') : null);
  };
  if (it.plan) show(it.plan);
  else if (it.state === 'open') get(['approvals', number, 'plan'], {}, signal).then(show, (error) => { if (!signal.aborted) show({ error: error.message }); });
  else return null;
  return section('Plan', { note: 'EXPLAIN; an estimate' }, place);
}

function rowsCard(it, number) {
  if (it.state !== 'open' || !it.countable) return null;
  const answer = h('div', { class: 'rows-answer', role: 'status' });
  const button = h('button', { type: 'button', class: 'button', id: 'count-rows', onclick: async () => {
    button.disabled = true;
    fill(answer, 'Counting…');
    try {
      const got = await post(['approvals', number, 'count-rows']);
      const all = got.relations.flatMap((it) => [['deleted', it.deleted], ['updated', it.updated], ['inserted', it.inserted]].filter(([, rows]) => rows > 0).map(([word, rows]) => h('li', null, h('strong', { class: 'big-number' }, count(rows)), ` ${rows === 1 ? 'row' : 'rows'} ${word} in `, h('bdi', { class: 'mono' }, it.relation))));
      fill(answer, all.length ? h('ul', null, all) : 'No row would change.', h('p', { class: 'note' }, 'As of ', time(got.at), '.'), (got.notes ?? []).map((words) => h('p', { class: 'note' }, words)));
    } catch (error) {
      fill(answer, error.message);
    }
    button.disabled = false;
  } }, 'Count the rows');
  return section('How many rows', { note: 'runs it in a transaction that is rolled back' }, h('div', { class: 'rows-line' }, button, answer));
}

function sessionCard(it) {
  if (!it.sessionSoFar) return null;
  const { items } = listOf(it.sessionSoFar);
  return section('The session so far', { note: items.length ? several(items.length, 'statement') : null }, items.length ? lines(items) : empty('sessions', 'Nothing yet', 'This is the first thing that it does.'));
}

function beforeCard(it) {
  if (!it.approvedBefore) return null;
  const { items } = listOf(it.approvedBefore);
  return section('Asked before', { id: 'before', note: 'by the same identity' }, items.length ? h('ol', { class: 'timeline' }, items.map((raw) => {
    const same = raw.same_statement ? 'this very statement' : raw.same_shape ? 'the same but for literals' : null;
    return h('li', null, h('a', { href: `/approvals/${raw.number}` }, `#${raw.number}`), standing(raw.state), h('div', null, h('code', { class: 'snippet' }, h('bdi', null, inline(raw.text))), same ? tag(same) : null, raw.approved_by?.length ? h('span', { class: 'note' }, ` ${raw.approved_by.join(', ')}`) : null), time(raw.at));
  })) : empty('approvals', 'Nothing yet', 'This identity has never asked before.'));
}

function lines(items) {
  return h('ol', { class: 'so-far' }, items.map((one) => h('li', null,
    time(one.at), h('a', { href: `/audit/${one.seq}`, class: 'so-far-text' }, h('code', null, h('bdi', null, inline(one.text)), one.text_is_whole === false ? '…' : null)),
    h('span', { class: 'note' }, [one.result ?? one.sqlstate, one.rows === undefined || one.rows === null ? null : several(one.rows, 'row')].filter(Boolean).join(' · ')))));
}

const SAID = { approve: 'approved', deny: 'denied', break_glass: 'broke the glass', review: 'reviewed' };

function history(it) {
  const events = [h('li', null, time(it.opened), h('p', null, h('bdi', null, it.requester.name ?? it.requester.subject), ' asked'))];
  for (const vote of it.votes) {
    events.push(h('li', { class: `said-${vote.verdict}` }, time(vote.at), h('div', null,
      h('p', null, who(vote.by), ` ${SAID[vote.verdict] ?? vote.verdict}`, vote.delegated_by ? [' for ', who(vote.delegated_by)] : null, vote.via ? h('span', { class: 'note' }, ` by ${vote.via}`) : null, vote.counts_for?.length ? h('span', { class: 'note' }, `, counts for ${vote.counts_for.join(', ')}`) : null),
      vote.reason ? h('blockquote', { class: 'purpose' }, vote.reason) : null)));
  }
  if (ENDS[it.state]) events.push(h('li', null, time(it.until), h('p', null, ENDS[it.state])));
  return section('What happened', { id: 'story' }, h('ol', { class: 'timeline' }, events));
}
