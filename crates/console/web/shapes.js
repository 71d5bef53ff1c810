// The API's answers as pages use them. The one place that knows how they are written.

/** Of a state that is a word, or `{ended: why}`. */
function stateOf(state) {
  return typeof state === 'string' ? state : state?.ended ?? 'ended';
}

function waitOf(wait) {
  if (wait?.held) return { how: 'held', inTransaction: Boolean(wait.held.in_transaction) };
  return { how: wait ?? 'held', inTransaction: false };
}

/** Names of groups of which somebody must agree, and how many have. */
export function needOf(need, votes = []) {
  const all = need.members?.all;
  const groups = all ?? need.members?.any ?? [];
  const yes = votes.filter((vote) => vote.verdict === 'approve' && (vote.counts_for ?? []).includes(need.name));
  const each = all?.length > 1 ? all.length : 1;
  return { name: need.name, groups, all: Boolean(all) && all.length > 1, quorum: need.quorum ?? 1, wanted: need.wanted ?? (need.quorum ?? 1) * each, have: need.have ?? yes.length, reasonRequired: Boolean(need.reason_required), breakGlass: need.break_glass ?? null };
}

/** What somebody may do with a request: `{approve: {ok, why}, ...}`. */
function mayOf(may) {
  const acts = {};
  for (const [name, it] of Object.entries(may ?? {})) {
    acts[name.replace('_', '-')] = it === true || it === null || it?.ok === true || it?.allowed === true ? { ok: true } : { ok: false, why: typeof it === 'string' ? it : it?.why ?? it?.why_not ?? 'you may not' };
  }
  return acts;
}

/** A request for approval, of a list or whole. */
export function request(raw) {
  const whole = raw.request ?? raw;
  const ask = whole.ask ?? whole;
  // Of a list, where texts are not whole.
  const statement = ask.statement ?? { text: whole.text ?? '', command: whole.command ?? '', parameters: [] };
  const shown = raw.text_shown;
  const shownParameters = raw.parameters_shown ?? shown?.parameters?.map((it) => it.value);
  if (shownParameters) statement.parameters = (statement.parameters ?? []).map((it, at) => ({ ...it, text_shown: shownParameters[at] }));
  const wait = waitOf(ask.wait);
  const votes = whole.votes ?? [];
  return {
    number: whole.number, state: stateOf(whole.state), opened: whole.opened, until: whole.until, votes, used: whole.used ?? 0,
    requester: ask.requester, database: ask.database, session: ask.session, client: ask.client, application: ask.application_name,
    statement, touches: ask.touches ?? [], rules: ask.rules ?? [], why: ask.why, bundle: ask.bundle,
    needs: (ask.needs ?? []).map((need) => needOf(need, votes)), wait: wait.how, inTransaction: wait.inTransaction, uses: ask.uses ?? 1, purpose: ask.purpose, purposeShown: raw.purpose_shown,
    shown: shown?.text ?? shown ?? statement.text, legend: shown?.legend ?? [], runs: statement.runs ? (raw.runs_shown ?? statement.runs) : null, plan: raw.plan, sessionSoFar: raw.session_so_far ?? null, approvedBefore: raw.approved_before ?? null,
    may: mayOf(raw.may), countable: Boolean(raw.may?.count_rows ?? (ask.needs ?? []).some((need) => need.count_rows)), review: whole.review ?? 'none', undelivered: raw.undelivered ?? (raw.notifications ?? []).filter((it) => it.state === 'undelivered' || it.state === 'given_up').map((it) => it.channel),
  };
}

/** A list's entries and how to go on. */
export function page(answer) {
  return Array.isArray(answer) ? { items: answer, next: null } : { items: answer.items ?? [], next: answer.next ?? null };
}
