//! Holding a statement until approvers have answered: nothing of it goes upstream before, and what they agreed to is compared with what
//! would run then.
//!
//! A statement is held where it would be sent: a Query, a Bind, or an Execute that runs something else than was bound. What came before it
//! is answered first, so that it is known whether a transaction is open. When approvers agree, the statement goes the whole way again, from
//! its text on; only what comes out as the very thing that was asked about is decided with their approval.

use std::sync::Arc;
use std::time::{Duration, Instant};

use approval::{Answer, Ended, Number, Wait};
use model::Oid;
use wire::frontend::{Execute, encode};

use crate::analysis::Analysis;
use crate::approved::Approved;
use crate::asking::{self, About, Bindings, From, Needs};
use crate::authorize::{self, Judged};
use crate::effect::Effect;
use crate::evidence::{Executed, Parameters};
use crate::extended::{Binding, Portal};
use crate::forward::{self, Housekeeping};
use crate::mode::Mode;
use crate::namespace::OpNumber;
use crate::ops::{Bracket, Deferred, HiddenKind, OpKind};
use crate::refuse::Refusal;
use crate::running::{Running, Status, Turn, Waiting};
use crate::simple::Origin;
use crate::trace;
use crate::unapproved::{self, Unapproved, Why};

/// How much longer than approvers have the session waits to be told that their time is over.
const GRACE: Duration = Duration::from_secs(5);

/// A statement that is held.
pub(crate) struct Holding {
    job: Job,
    /// As it was when it was held.
    judged: Arc<Judged>,
    /// A limit that it is over, and who may lift it.
    limit: Option<Limit>,
    /// What was sent before it has been told to come to its end.
    nudged: bool,
    /// The hidden transaction of its script was ended for the time being.
    reopens: bool,
    asked: Option<Asked>,
}

/// A limit that approvers may lift.
pub(crate) struct Limit {
    /// By name.
    pub(crate) group: Arc<str>,
    /// What is over it.
    pub(crate) what: String,
}

/// What becomes of it when they agree.
pub(crate) enum Job {
    Run(Origin),
    Bind(Binding),
    /// Execute, as it came, of a portal that runs what another name stands for, or that was bound under another policy.
    Execute {
        raw: Vec<u8>,
        portal: Arc<Portal>,
    },
}

impl Job {
    /// The statement's text, and what it is bound to.
    fn shown(&self) -> (&str, Option<(&[Oid], &Parameters)>) {
        match self {
            Self::Run(origin) => (&origin.text, None),
            Self::Bind(Binding { prepared, parameters, .. }) => {
                (&prepared.text, Some((&prepared.param_types, parameters)))
            }
            Self::Execute { portal, .. } => (&portal.text, Some((&portal.param_types, &portal.parameters))),
        }
    }

    /// What approvers have agreed to before.
    fn approved(&self) -> Option<&Arc<Approved>> {
        match self {
            Self::Run(origin) => origin.approved.as_ref(),
            Self::Bind(binding) => binding.approved.as_ref(),
            Self::Execute { portal, .. } => portal.judged.approved.as_ref(),
        }
    }
}

struct Asked {
    asked: u64,
    number: Option<Number>,
    what: String,
    groups: Vec<String>,
    bindings: Bindings,
    epoch: u64,
    wait: Wait,
    /// Only what is approved already will do.
    at_once: bool,
    since: Instant,
    until: Instant,
}

impl Holding {
    /// The request, once there is one, and since when.
    pub(crate) fn request(&self) -> Option<(Option<Number>, Instant)> {
        self.asked.as_ref().map(|asked| (asked.number, asked.since))
    }
}

impl Running {
    /// Notes what a statement that is being sent does to what becomes of statements that are to be approved.
    pub(crate) fn propose_mode(&mut self, analysis: &Analysis, text: &str, op: OpNumber) {
        let limits = self.sql_limits();
        // Another text of the same shape may set another value.
        let value = || match sql::parse(text, limits).ok()?.pop()?.effect {
            sql::Effect::Set { value, .. } => Some(value),
            _ => None,
        };
        self.mode.propose(op, &analysis.effect, value);
    }

    /// What would run now and whose it is, for the comparison with what was approved.
    fn bindings(
        &self,
        text: &str,
        parameters: Option<(&[Oid], &Parameters)>,
        analysis: &Analysis,
    ) -> Bindings {
        let runs = self.stands_for(text, analysis);
        let names = self.names_now();
        self.about(text, runs.as_deref(), &names, parameters, analysis).bindings(&self.bundle)
    }

    fn about<'a>(
        &'a self,
        text: &'a str,
        runs: Option<&'a str>,
        names: &'a [u8],
        parameters: Option<(&'a [Oid], &'a Parameters)>,
        analysis: &'a Analysis,
    ) -> About<'a> {
        About {
            identity: self.scope.identity(),
            database: &self.database.settings.name,
            names,
            text,
            runs,
            param_types: parameters.map(|(types, _)| types).unwrap_or_default(),
            parameters: parameters.map(|(_, values)| values),
            analysis,
        }
    }

    /// What decides what names mean: the login's, as long as the session has set nothing else.
    fn names_now(&self) -> Vec<u8> {
        let mut names = self.scope.names().to_le_bytes().to_vec();
        if !self.names.shared() {
            names.extend(self.id.to_string().bytes());
            names.extend(self.names.generation().to_le_bytes());
        }
        names
    }

    /// The text behind a name that a statement runs.
    fn stands_for(&self, text: &str, analysis: &Analysis) -> Option<String> {
        if !analysis.session_bound {
            return None;
        }
        let statement = self.read_sql(text).ok()?.pop()?;
        match &statement.effect {
            sql::Effect::Execute { name, .. } => {
                self.statements.get(name.as_bytes()).map(|known| known.text.to_string())
            }
            sql::Effect::Fetch { name, .. } => {
                self.portals.get(name.as_bytes()).map(|known| known.text.to_string())
            }
            _ => None,
        }
    }

    /// The judgement with what approvers have agreed to, if that is what would run now; else as it is.
    pub(crate) fn with_approval(
        &self,
        judged: &Arc<Judged>,
        approved: Option<&Arc<Approved>>,
        text: &str,
        parameters: Option<(&[Oid], &Parameters)>,
        turn: &Turn<'_>,
    ) -> Arc<Judged> {
        match approved {
            Some(approved) if self.is_approved(approved, text, parameters, &judged.analysis) => {
                self.judge_with(&judged.analysis, Some(approved), turn.now)
            }
            _ => judged.clone(),
        }
    }

    /// Whether that is what approvers have agreed to.
    pub(crate) fn is_approved(
        &self,
        approved: &Approved,
        text: &str,
        parameters: Option<(&[Oid], &Parameters)>,
        analysis: &Analysis,
    ) -> bool {
        let bindings = self.bindings(text, parameters, analysis);
        approved.fits(&bindings, &self.bundle, self.database.epoch(), analysis.has_bodies())
    }

    /// Holds a statement.
    pub(crate) fn hold(&mut self, job: Job, judged: &Arc<Judged>, limit: Option<Limit>, turn: &mut Turn<'_>) {
        let judged = judged.clone();
        let holding = Holding { job, judged, limit, nudged: false, reopens: false, asked: None };
        self.waiting = Some(Waiting::Approval(Box::new(holding)));
        if self.deferred.is_empty() {
            self.drain_for_hold(turn);
        }
    }

    /// Asks approvers when what was sent before the statement has been answered.
    pub(crate) fn drain_for_hold(&mut self, turn: &mut Turn<'_>) {
        let Some(Waiting::Approval(holding)) = &mut self.waiting else { return };
        if holding.asked.is_some() {
            return;
        }
        if !std::mem::replace(&mut holding.nudged, true) {
            self.nudge(turn);
        }
        if self.ops.is_empty() && self.deferred.is_empty() && !self.is_cancelling() {
            self.ask_approvers(turn);
        }
    }

    /// Has the server answer what it was sent, and keep no lock of what was only parsed.
    fn nudge(&mut self, turn: &mut Turn<'_>) {
        if self.script.as_mut().is_some_and(crate::script::Script::suspend) {
            if let Some(Waiting::Approval(holding)) = &mut self.waiting {
                holding.reopens = true;
            }
            self.bracket(Bracket::Abandon, turn);
            return;
        }
        if !self.pipeline_open {
            return;
        }
        if self.status == Status::Idle && !self.pipeline_bound {
            forward::housekeeping(&mut turn.out.upstream, Housekeeping::Sync);
            let op = self.next_op(OpKind::Hidden(HiddenKind::Unlocked));
            self.ops.push_back(op);
        } else if !self.ops.is_empty() {
            let mut message = Vec::new();
            encode::flush(&mut message);
            self.dispatch(Deferred::Client { message, op: None }, turn);
        }
    }

    fn ask_approvers(&mut self, turn: &mut Turn<'_>) {
        let Some(Waiting::Approval(mut holding)) = self.waiting.take() else { return };
        if holding.judged.scope != self.scope.id() {
            // The policy has changed in the meantime.
            return self.go_on(*holding, None, turn);
        }
        let in_transaction = self.status != Status::Idle || self.pipeline_open;
        // Whoever asks takes as much of a minute as who runs.
        if let Err(refusal) = self.may_ask(&holding.judged.analysis.effect, turn) {
            return self.refuse_held(*holding, refusal, turn);
        }
        self.count_unparsed(turn);
        let ask = match self.to_ask(&holding, in_transaction, turn) {
            Ok(ask) => ask,
            Err(refusal) => return self.refuse_held(*holding, refusal, turn),
        };
        self.asked_last += 1;
        let asked = self.asked_last;
        let now = turn.now.monotonic;
        let until = now.checked_add(ask.hold + GRACE).unwrap_or(self.expires);
        holding.asked = Some(Asked {
            asked,
            number: None,
            what: ask.why.clone(),
            groups: ask.needs.iter().map(|group| group.name.clone()).collect(),
            bindings: Bindings { exact: ask.binding, pattern: ask.pattern },
            epoch: self.database.epoch(),
            wait: ask.wait,
            at_once: ask.hold.is_zero(),
            since: now,
            until,
        });
        turn.out.effects.push(Effect::AskApproval { asked, ask: Box::new(ask) });
        self.waiting = Some(Waiting::Approval(holding));
    }

    fn to_ask(
        &self,
        holding: &Holding,
        in_transaction: bool,
        turn: &Turn<'_>,
    ) -> Result<approval::Ask, Refusal> {
        let judged = &holding.judged;
        let what = match (judged.refusal(), &holding.limit) {
            (Some(Refusal::ApprovalRequired { what, .. }), _) => what.clone(),
            (_, Some(limit)) => limit.what.clone(),
            _ => String::new(),
        };
        let refuse =
            |why| Refusal::Unapproved(Box::new(Unapproved { what: what.clone(), number: None, why }));
        if self.status == Status::Failed {
            return Err(refuse(Why::Aborted));
        }
        let settings = &self.database.settings;
        let asker = self.scope.asker(settings, turn.now.wall);
        let weighed = authorize::weigh_for(&judged.analysis, &self.bundle, asker, judged.approved.as_deref());
        let needs = match &holding.limit {
            Some(limit) => Needs::of_limit(&self.bundle, &limit.group, limit.what.clone()),
            None => Needs::of(&weighed, &self.bundle),
        };
        let nobody =
            || refuse(Why::Unavailable("The policy names no group that could approve it.".to_owned()));
        let needs = needs.ok_or_else(nobody)?;
        let wait = match self.mode.now() {
            Mode::Async => Wait::Async,
            Mode::Wait => Wait::Held { in_transaction },
        };
        let (text, parameters) = holding.job.shown();
        let runs = self.stands_for(text, &judged.analysis);
        let names = self.names_now();
        let about = self.about(text, runs.as_deref(), &names, parameters, &judged.analysis);
        let from = From {
            session: Some(self.id.to_string()),
            client: Some(self.client.to_string()),
            application_name: self.application_name.clone(),
        };
        asking::ask(&about, &weighed, &needs, &self.bundle, from, wait).ok_or_else(nobody)
    }

    /// An answer of the approvers'.
    pub(crate) fn approval_answered(&mut self, asked: u64, answer: Answer, turn: &mut Turn<'_>) {
        match self.waiting.take() {
            Some(Waiting::Approval(mut holding)) => match holding.asked.take() {
                Some(known) if known.asked == asked => self.answered(*holding, known, answer, turn),
                other => {
                    holding.asked = other;
                    self.waiting = Some(Waiting::Approval(holding));
                }
            },
            // Of what was withdrawn, or given up.
            other => self.waiting = other,
        }
    }

    fn answered(&mut self, mut holding: Holding, mut asked: Asked, answer: Answer, turn: &mut Turn<'_>) {
        let settles = !matches!(&answer, Answer::Waiting(_)) || asked.at_once || asked.wait == Wait::Async;
        if settles {
            let (number, outcome) = trace::outcome(&answer);
            self.trace_held((asked.number.or(number), asked.since), outcome, turn);
            self.tape_hold(asked.number.or(number), outcome, turn);
        }
        let what = asked.what.clone();
        let refuse = |number, why| Refusal::Unapproved(Box::new(Unapproved { what, number, why }));
        let refusal = match answer {
            Answer::Waiting(waiting) if asked.at_once => {
                let (asked, why) = (asked.asked, Ended::Withdrawn);
                turn.out.effects.push(Effect::WithdrawApproval { asked, why });
                refuse(Some(waiting.number), Why::InTransaction(waiting.asked))
            }
            Answer::Waiting(waiting) if asked.wait == Wait::Async => {
                refuse(Some(waiting.number), Why::Pending(Box::new(waiting)))
            }
            Answer::Waiting(waiting) => {
                let notice = unapproved::held(&waiting, &asked.what);
                asked.number = Some(waiting.number);
                self.tape_hold(Some(waiting.number), "waiting", turn);
                holding.asked = Some(asked);
                self.waiting = Some(Waiting::Approval(Box::new(holding)));
                return self.notice(&notice, turn);
            }
            Answer::Granted(grant) => {
                let number = grant.number();
                let epoch = matches!(asked.wait, Wait::Held { .. }).then_some(asked.epoch);
                let before = holding.job.approved().cloned();
                let spent = Approved::spend(grant, &asked.bindings, before.as_deref(), &self.bundle, epoch);
                let before = before.filter(|before| before.is_for(&asked.bindings));
                match spent {
                    // SECURITY: what gives nothing new would be asked for again and again.
                    Some(approved) if before.is_some_and(|before| before.covers(&approved)) => {
                        let why = "What was approved before is not enough.".to_owned();
                        refuse(Some(number), Why::Unavailable(why))
                    }
                    Some(approved) => return self.release(holding, approved, turn),
                    None => {
                        let why = "Something else was approved.".to_owned();
                        refuse(Some(number), Why::Unavailable(why))
                    }
                }
            }
            Answer::Denied { number, by, message } => refuse(Some(number), Why::Denied { by, message }),
            Answer::Ended { number, why } => refuse(Some(number), Why::Ended(why)),
            Answer::Failed(_) if asked.at_once => refuse(None, Why::InTransaction(asked.groups)),
            Answer::Failed(why) => refuse(None, Why::Unavailable(why)),
        };
        self.refuse_held(holding, refusal, turn);
    }

    /// Approvers have agreed: the statement goes its whole way again.
    fn release(&mut self, holding: Holding, approved: Arc<Approved>, turn: &mut Turn<'_>) {
        self.go_on(holding, Some(approved), turn);
    }

    fn go_on(&mut self, holding: Holding, approved: Option<Arc<Approved>>, turn: &mut Turn<'_>) {
        if holding.reopens && self.script.as_mut().is_some_and(crate::script::Script::resume) {
            self.bracket(Bracket::Begin, turn);
        }
        // What it costs is asked again, with what it may cost now.
        match holding.job {
            Job::Run(origin) => self.simple_text(Origin { approved, costed: false, ..origin }, turn),
            Job::Bind(binding) => {
                self.bind_again(Binding { approved, costed: false, ..binding }, turn);
            }
            Job::Execute { raw, .. } => {
                let body = raw.get(wire::frame::HEADER_BYTES..).unwrap_or_default();
                // It was read before.
                if let Ok(execute) = Execute::parse(body) {
                    self.execute_with(&execute, &raw, approved.as_ref(), turn);
                }
            }
        }
    }

    /// The policy has changed: what approvers were asked under it is of no use any more.
    pub(crate) fn hold_again(&mut self, turn: &mut Turn<'_>) {
        if !matches!(&self.waiting, Some(Waiting::Approval(holding)) if holding.asked.is_some()) {
            return;
        }
        self.withdraw_hold(Ended::PolicyChanged, turn);
        if let Some(Waiting::Approval(holding)) = self.waiting.take() {
            self.go_on(*holding, None, turn);
        }
    }

    /// The client wants the statement no more.
    pub(crate) fn cancel_hold(&mut self, turn: &mut Turn<'_>) {
        self.end_hold(Ended::Cancelled, turn);
    }

    /// Refuses the statement that is held, if one is.
    fn end_hold(&mut self, why: Ended, turn: &mut Turn<'_>) {
        let Some(Waiting::Approval(holding)) = &self.waiting else { return };
        let Some(asked) = &holding.asked else { return };
        let unapproved = Unapproved { what: asked.what.clone(), number: asked.number, why: Why::Ended(why) };
        self.withdraw_hold(why, turn);
        if let Some(Waiting::Approval(holding)) = self.waiting.take() {
            self.refuse_held(*holding, Refusal::Unapproved(Box::new(unapproved)), turn);
        }
    }

    /// Has the request closed that somebody waits for. One that nobody waits for lives on.
    pub(crate) fn withdraw_hold(&mut self, why: Ended, turn: &mut Turn<'_>) {
        let Some(Waiting::Approval(holding)) = &mut self.waiting else { return };
        let Some(asked) = holding.asked.take() else { return };
        if asked.wait != Wait::Async {
            turn.out.effects.push(Effect::WithdrawApproval { asked: asked.asked, why });
        }
        self.trace_held((asked.number, asked.since), why.as_str(), turn);
        self.tape_hold(asked.number, why.as_str(), turn);
    }

    /// Of a held statement that the session's end leaves behind, what it was to be.
    pub(crate) fn held_judged(&self) -> Option<Arc<Judged>> {
        match &self.waiting {
            Some(Waiting::Approval(holding)) => Some(holding.judged.clone()),
            _ => None,
        }
    }

    /// When approvers' time is surely over.
    pub(crate) fn hold_until(&self) -> Option<Instant> {
        match &self.waiting {
            Some(Waiting::Approval(holding)) => holding.asked.as_ref().map(|asked| asked.until),
            _ => None,
        }
    }

    /// Ends a hold that nobody else has ended in time.
    pub(crate) fn watch_hold(&mut self, turn: &mut Turn<'_>) {
        if self.hold_until().is_some_and(|until| turn.now.monotonic >= until) {
            self.end_hold(Ended::Expired, turn);
        }
    }

    /// Whether approvers have been asked, and the answer is awaited.
    pub(crate) fn is_held(&self) -> bool {
        self.hold_until().is_some()
    }

    fn refuse_held(&mut self, holding: Holding, refusal: Refusal, turn: &mut Turn<'_>) {
        let Holding { job, judged, .. } = holding;
        let (text, parameters) = job.shown();
        let extended = parameters.is_some();
        let parameters = parameters.map(|(_, values)| values);
        let executed = Executed { judged: &judged, text, parameters, extended };
        self.record_statement(&executed, Some(&refusal), turn);
        match job {
            Job::Run(_) => self.refuse_simple(refusal, turn),
            Job::Bind(_) | Job::Execute { .. } => self.refuse_extended(refusal, None, turn),
        }
    }
}
