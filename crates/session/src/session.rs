//! One connection, from its StartupMessage to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use audit::{Event, IdentityForm, SessionStarted};
use identity::Proven;
use model::{ClientAddr, Identity, Method, ScramKeys, SessionId};
use policy::Bundle;
use querytree::ServerVersion;
use recording::{Kept, What};
use wire::backend::{TransactionStatus, encode};
use wire::error::{ErrorFields, Severity};
use wire::scram::ChannelBinding;
use wire::sqlstate;
use wire::startup::Startup;

use crate::activity::{self, Activity, State};
use crate::authenticate::{self, Authenticating, Discovery, Failed, Progress};
use crate::authorize::{self, Quotes};
use crate::catalog::Catalog;
use crate::effect::{Effect, Keep, Outbox};
use crate::held::Holdings;
use crate::input::{Blocked, Candidate, Credential, Input, Now, UpstreamFailure, UpstreamReady};
use crate::mode::{Modes, PARAMETER};
use crate::names::Names;
use crate::namespace::{Namespace, OpNumber};
use crate::quota::Quota;
use crate::record::Ledger;
use crate::refuse;
use crate::running::{Running, Turn, Waiting};
use crate::scope::Scope;
use crate::shared::Database;
use crate::shown::Shown;
use crate::startup::{self, Parameters};
use crate::stop::Stop;
use crate::tape::{Recorder, Taken, Tape};
use crate::trace::{Sample, Tracing};

/// What a session starts with.
pub struct Opening {
    /// Its own.
    pub id: SessionId,
    /// Where the client is.
    pub client: ClientAddr,
    /// Protocol and cipher of the client's TLS, if it uses it.
    pub tls: Option<String>,
    /// What the client sent.
    pub startup: Startup,
    /// How it must authenticate.
    pub method: Method,
    /// What an OAUTHBEARER client is told.
    pub discovery: Discovery,
    /// What SCRAM can bind to: the hash of our own certificate, where the client uses TLS.
    pub channel_binding: ChannelBinding,
    /// The database and its bundle; `None` if no such database is served, which the client learns when it is
    /// somebody.
    pub target: Option<(Arc<Database>, Arc<Bundle>)>,
    /// Which statements are traced: [`Effect::Trace`]. `None`: none is.
    pub sample: Option<Sample>,
    /// Who records it, if somebody does: [`Session::take_tape`].
    pub recorder: Option<Recorder>,
}

/// One connection as a state machine. See the crate's documentation.
pub struct Session {
    opening: Facts,
    stage: Stage,
    /// Of a session that is over.
    last_tape: Option<Box<Tape>>,
}

struct Facts {
    id: SessionId,
    client: ClientAddr,
    tls: Option<String>,
    user: String,
    database_name: String,
    method: Method,
    target: Option<(Arc<Database>, Arc<Bundle>)>,
    sample: Option<Sample>,
    recorder: Option<Recorder>,
    parameters: Parameters,
    ledger: Ledger,
    /// Whether a legacy account's deadline is near.
    nearly_over: bool,
}

enum Stage {
    Authenticating(Authenticating),
    Connecting(Credential, Box<Quota>),
    Running(Box<Running>),
    Closed,
}

impl Session {
    /// Starts a session; its first bytes are in `out`.
    pub fn new(opening: Opening, out: &mut Outbox) -> Self {
        let Opening {
            id,
            client,
            tls,
            startup,
            method,
            discovery,
            channel_binding,
            target,
            sample,
            recorder,
        } = opening;
        let read = startup::parameters(&startup);
        let facts = Facts {
            id,
            client,
            tls,
            user: startup.user().to_owned(),
            database_name: startup.database().to_owned(),
            method,
            target,
            sample,
            recorder,
            parameters: Parameters::default(),
            ledger: Ledger::default(),
            nearly_over: false,
        };
        let mut session = Self { opening: facts, stage: Stage::Closed, last_tape: None };
        let event = Event::Connected { session: id, client, tls: session.opening.tls.as_deref() }.encode();
        session.append(event, out);
        match read {
            Ok(parameters) => {
                session.opening.parameters = parameters;
                let user = session.opening.user.clone();
                let begun = Authenticating::begin(method, discovery, user, channel_binding, out);
                session.stage = Stage::Authenticating(begun);
            }
            Err(error) => {
                let text = error.to_string();
                let fields = ErrorFields::new(Severity::Fatal, sqlstate::INVALID_PARAMETER_VALUE, &text);
                session.fail(Failed { error: fields, reason: Some(text) }, out);
            }
        }
        session
    }

    /// Advances by one input and appends what the shell must do.
    pub fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match &mut self.stage {
            Stage::Running(running) => {
                running_input(running, now, input, out);
                if running.closed {
                    self.last_tape = running.tape.take();
                    self.stage = Stage::Closed;
                }
            }
            Stage::Authenticating(_) => self.authenticating(now, input, out),
            Stage::Connecting(..) => self.connecting(now, input, out),
            Stage::Closed => {}
        }
    }

    /// Returns what was taken down since, to be recorded. Where the session is over, too.
    pub fn take_tape(&mut self) -> Option<Taken> {
        match &mut self.stage {
            Stage::Running(running) => running.tape.as_mut()?.take(),
            Stage::Closed => self.last_tape.take().and_then(|mut tape| tape.take()),
            Stage::Authenticating(_) | Stage::Connecting(..) => None,
        }
    }

    /// When `Input::Deadline` is due next, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Connecting(credential, _) => Some(credential.expires),
            Stage::Running(running) => Some(running.deadline()),
            Stage::Authenticating(_) | Stage::Closed => None,
        }
    }

    /// Whether more bytes from the client can be taken.
    pub fn wants_client(&self) -> bool {
        match &self.stage {
            Stage::Running(running) => {
                let limits = &running.database.settings.limits;
                let waits = running.waiting.is_some() || running.script.is_some() || running.may_hold_back();
                // What waits for nothing waits for the rest of a message.
                let max =
                    if waits { limits.upstream_backlog_bytes_max } else { limits.message_bytes_max + 5 };
                running.client_in.len() < max
            }
            Stage::Authenticating(_) | Stage::Connecting(..) => true,
            Stage::Closed => false,
        }
    }

    /// Whether more bytes from the upstream can be taken.
    pub fn wants_upstream(&self) -> bool {
        match &self.stage {
            Stage::Running(running) => {
                running.upstream_in.len() < running.database.settings.limits.client_backlog_bytes_max
                    || !running.held_back()
            }
            Stage::Authenticating(_) | Stage::Connecting(..) | Stage::Closed => false,
        }
    }

    /// Whether these bytes from the client complete a message that may take long to read: a large statement.
    pub fn is_much_from_client(&self, bytes: &[u8]) -> bool {
        match &self.stage {
            Stage::Running(running) if running.client_passing == 0 && running.client_skipping == 0 => {
                completes_much(&running.client_in, bytes)
            }
            _ => false,
        }
    }

    /// Whether these bytes from the upstream complete a message that may take long to read: a large tree.
    pub fn is_much_from_upstream(&self, bytes: &[u8]) -> bool {
        match &self.stage {
            Stage::Running(running) => match &running.waiting {
                Some(Waiting::Answer(inquiry)) => {
                    inquiry.tree_bytes() >= MUCH_BYTES || completes_much(&running.upstream_in, bytes)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// What it does just now.
    pub fn activity(&self) -> Activity {
        let state = match &self.stage {
            Stage::Running(running) => return activity::of(running),
            Stage::Authenticating(_) => State::Authenticating,
            Stage::Connecting(..) => State::Connecting,
            Stage::Closed => State::Ended,
        };
        let application_name = self.opening.parameters.application_name.clone();
        Activity { state, statements: 0, application_name }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Whether the session is logged in on both sides.
    pub fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    fn append(&mut self, event: audit::Encoded, out: &mut Outbox) {
        let ticket = self.opening.ledger.issue();
        out.effects.push(Effect::AppendAudit { ticket, keep: Keep::Written, event });
    }

    fn authenticating(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let Stage::Authenticating(authenticating) = &mut self.stage else { return };
        match input {
            Input::ClientBytes(bytes) => match authenticating.client_bytes(now, bytes, out) {
                Ok(Progress::Waits) => {}
                Ok(Progress::Proven(proven, candidate)) => self.proven(now, *proven, &candidate, out),
                Ok(Progress::Over(identity)) => self.over(&identity, out),
                Err(failed) => self.fail(failed, out),
            },
            Input::VerifierFound(candidate) if authenticating.is_searching() => {
                if let Err(failed) = authenticating.found(candidate, out) {
                    self.fail(failed, out);
                }
            }
            Input::VerifierFound(_) => {}
            Input::CredentialVerified(Ok(credential)) if authenticating.is_checking() => {
                self.verified(now, credential, None, out);
            }
            Input::CredentialVerified(Ok(_)) => {}
            Input::CredentialVerified(Err(failure)) => {
                let reason = failure.reason.clone();
                let refused = authenticating.refused(&failure, out);
                self.record_failure(&reason, out);
                if let Err(failed) = refused {
                    self.fail(Failed { reason: None, ..failed }, out);
                }
            }
            Input::Blocked(blocked) => self.blocked(&blocked, out),
            Input::ClientClosed => self.close(out),
            Input::Revoked(reason) => {
                self.fail(Failed { error: refuse::termination(&reason), reason: Some(reason) }, out);
            }
            Input::Drain => {
                let reason = "the gateway is shutting down".to_owned();
                self.fail(Failed { error: refuse::termination(&reason), reason: Some(reason) }, out);
            }
            Input::PolicyChanged(bundle) => self.set_bundle(bundle),
            Input::Written(ticket) | Input::Durable(ticket) => self.opening.ledger.note_written(ticket),
            Input::JournalFailed(why) => self.unrecorded(&why, out),
            Input::UpstreamBytes(_)
            | Input::UpstreamClosed
            | Input::UpstreamReady(_)
            | Input::UpstreamFailed(_)
            | Input::CancelSent
            | Input::Approval { .. }
            | Input::CancelRequested
            | Input::Deadline => {}
        }
    }

    fn set_bundle(&mut self, bundle: Arc<Bundle>) {
        if let Some((_, current)) = &mut self.opening.target {
            *current = bundle;
        }
    }

    /// A legacy account is somebody.
    fn proven(&mut self, now: Now, proven: Proven, candidate: &Candidate, out: &mut Outbox) {
        let Proven { verified, keys, server_signature: _ } = proven;
        let left = verified.expires_at().duration_since(now.wall).unwrap_or_default();
        let near = now.wall.checked_add(candidate.warn_before);
        self.opening.nearly_over = candidate.until.is_some_and(|until| near.is_none_or(|near| until <= near));
        let Some(expires) = now.monotonic.checked_add(left) else { return self.expired(out) };
        let credential = Credential { verified: Box::new(verified), expires };
        self.verified(now, credential, Some(Box::new(keys)), out);
    }

    /// A legacy account is somebody, who may no longer come; after its proof it may know.
    fn over(&mut self, identity: &Identity, out: &mut Outbox) {
        let error = authenticate::over(identity);
        let reason = error.message().map(|text| String::from_utf8_lossy(text).into_owned());
        self.record_failure_of(Some(identity), &reason.unwrap_or_default(), out);
        self.fail(Failed { error, reason: None }, out);
    }

    fn verified(&mut self, now: Now, credential: Credential, keys: Option<Box<ScramKeys>>, out: &mut Outbox) {
        if credential.expires <= now.monotonic {
            return self.fail(
                Failed { error: authenticate::neutral(), reason: Some("the token has expired".to_owned()) },
                out,
            );
        }
        let Some((database, bundle)) = &self.opening.target else {
            let text = format!("database \"{}\" does not exist", self.opening.database_name);
            let error = ErrorFields::new(Severity::Fatal, sqlstate::INVALID_CATALOG_NAME, &text)
                .hint("The gateway serves the databases of its configuration.");
            return self.fail(Failed { error, reason: Some(text) }, out);
        };
        // Whom no rule speaks of gets no connection upstream, and costs no credential.
        let scope = Scope::new(
            &credential.verified,
            self.opening.parameters.application_name.as_deref().unwrap_or_default(),
            self.opening.client,
            self.opening.tls.is_some(),
            "",
            bundle,
        );
        if let Err(refusal) = authorize::admit(&scope, bundle, &database.settings, now.wall) {
            let text = refusal.to_string();
            let error = refusal.error().with(b'S', "FATAL").with(b'V', "FATAL");
            return self.fail(Failed { error, reason: Some(text) }, out);
        }
        let quota = match Quota::enter(&scope, bundle, database, now) {
            Ok(quota) => Box::new(quota),
            Err(reached) => {
                let event = Event::LimitExceeded {
                    session: self.opening.id,
                    statement: None,
                    identity: &IdentityForm(credential.verified.identity()).render(),
                    database: &database.settings.name,
                    limit: reached.limit,
                    group: reached.group.as_deref(),
                    sqlstate: reached.state().as_str(),
                    reason: reached.message(),
                }
                .encode();
                self.append(event, out);
                return self.fail(Failed { error: reached.error(), reason: None }, out);
            }
        };
        let mut parameters = std::mem::take(&mut self.opening.parameters.upstream);
        if !bundle.approvers().is_empty() && parameters.iter().all(|(name, _)| name != PARAMETER) {
            // So that SHOW has something to show.
            parameters.push((PARAMETER.to_owned(), self.opening.parameters.mode.as_str().to_owned()));
        }
        let identity = Box::new(credential.verified.identity().clone());
        let expires_at = credential.verified.expires_at();
        out.effects.push(Effect::Connect { parameters, identity, expires_at, keys });
        self.stage = Stage::Connecting(credential, quota);
    }

    fn connecting(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let Stage::Connecting(credential, _) = &self.stage else { return };
        match input {
            Input::UpstreamReady(ready) => {
                if credential.expires <= now.monotonic {
                    return self.expired(out);
                }
                self.start(now, *ready, out);
            }
            Input::UpstreamFailed(failure) => self.unreached(&failure, out),
            Input::ClientBytes(_) => {
                let what = "message before authentication was complete";
                self.fail(
                    Failed { error: refuse::protocol_violation(what), reason: Some(what.to_owned()) },
                    out,
                );
            }
            Input::Blocked(blocked) => self.blocked(&blocked, out),
            Input::ClientClosed => self.close(out),
            Input::Deadline => self.expired(out),
            Input::Revoked(reason) => {
                self.fail(Failed { error: refuse::termination(&reason), reason: Some(reason) }, out);
            }
            Input::Drain => {
                let reason = "the gateway is shutting down".to_owned();
                self.fail(Failed { error: refuse::termination(&reason), reason: Some(reason) }, out);
            }
            Input::PolicyChanged(bundle) => self.set_bundle(bundle),
            Input::Written(ticket) | Input::Durable(ticket) => self.opening.ledger.note_written(ticket),
            Input::JournalFailed(why) => self.unrecorded(&why, out),
            Input::UpstreamBytes(_)
            | Input::UpstreamClosed
            | Input::CancelSent
            | Input::Approval { .. }
            | Input::CancelRequested
            | Input::CredentialVerified(_)
            | Input::VerifierFound(_) => {}
        }
    }

    /// The client did prove who it is: that there is no connection for it is an event of its own.
    fn unreached(&mut self, failure: &UpstreamFailure, out: &mut Outbox) {
        let Stage::Connecting(credential, _) = &self.stage else { return };
        let event = Event::UpstreamFailed {
            session: self.opening.id,
            client: self.opening.client,
            identity: &IdentityForm(credential.verified.identity()).render(),
            database: &self.opening.database_name,
            reason: &failure.reason,
            sqlstate: failure.sqlstate.as_deref(),
        }
        .encode();
        self.append(event, out);
        let error = ErrorFields::new(
            Severity::Fatal,
            sqlstate::CANNOT_CONNECT_NOW,
            format!("the database behind \"{}\" can't be reached", self.opening.database_name),
        )
        .hint("Try again later; the operator finds the reason in the gateway's log.");
        self.fail(Failed { error, reason: None }, out);
    }

    /// Refuses somebody by name: who they are is proven, so that they may know why.
    fn blocked(&mut self, blocked: &Blocked, out: &mut Outbox) {
        let Blocked { identity, reason } = blocked;
        self.record_failure_of(Some(identity), reason, out);
        let error = ErrorFields::new(Severity::Fatal, sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, reason)
            .hint("Ask the operators of the gateway.");
        self.fail(Failed { error, reason: None }, out);
    }

    fn expired(&mut self, out: &mut Outbox) {
        let reason = refuse::time_is_over(self.opening.method).to_owned();
        self.fail(Failed { error: refuse::termination(&reason), reason: Some(reason) }, out);
    }

    fn unrecorded(&mut self, why: &str, out: &mut Outbox) {
        let error = ErrorFields::new(
            Severity::Fatal,
            sqlstate::IO_ERROR,
            "connection refused: its audit record can't be kept",
        )
        .hint("Tell the operator of the gateway; it resumes when the journal can be written again.");
        self.fail(Failed { error, reason: Some(format!("journal: {why}")) }, out);
    }

    fn start(&mut self, now: Now, ready: UpstreamReady, out: &mut Outbox) {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        let (Stage::Connecting(credential, mut quota), Some((database, bundle))) =
            (stage, self.opening.target.clone())
        else {
            return;
        };
        let UpstreamReady {
            parameters,
            process_id,
            cancel_key,
            version_major,
            name_scope,
            alike_since,
            catalog,
        } = ready;
        let Some(version) = ServerVersion::from_major(version_major) else {
            let text = format!("PostgreSQL {version_major} is not a version that Gatepost can read");
            let error = ErrorFields::new(Severity::Fatal, sqlstate::FEATURE_NOT_SUPPORTED, &text)
                .hint("Supported are PostgreSQL 14 to 18.");
            return self.fail(Failed { error, reason: Some(text) }, out);
        };
        encode::authentication_ok(&mut out.client);
        for (name, value) in &parameters {
            // Came in a message of the same form.
            let _ = encode::parameter_status(&mut out.client, name.as_bytes(), value.as_bytes());
        }
        let _ = encode::backend_key_data(&mut out.client, process_id, &cancel_key);
        let application_name = self.opening.parameters.application_name.clone();
        let scope = Scope::new(
            &credential.verified,
            application_name.as_deref().unwrap_or_default(),
            self.opening.client,
            self.opening.tls.is_some(),
            &name_scope,
            &bundle,
        );
        // A policy may have come into force in the meantime.
        quota.change(&scope, &bundle, &database);
        let event = Event::SessionStarted(SessionStarted {
            session: self.opening.id,
            client: self.opening.client,
            identity: credential.verified.identity(),
            method: credential.verified.method().as_str(),
            user: &self.opening.user,
            database: &database.settings.name,
            application_name: application_name.as_deref().unwrap_or_default(),
            backend_pid: process_id,
            bundle: bundle.name(),
            bundle_version: bundle.version(),
            bundle_hash: &hex::encode(bundle.hash()),
            expires_at: Some(credential.verified.expires_at().into()),
            prior_actors: credential.verified.prior_actors(),
        })
        .encode();
        self.append(event, out);
        if self.opening.nearly_over {
            self.warn_of_deadline(credential.verified.identity(), &database.settings.name, out);
        }
        encode::ready_for_query(&mut out.client, TransactionStatus::Idle);
        let form = IdentityForm(credential.verified.identity()).render();
        let tape = self.opening.recorder.take().map(|recorder| {
            let server_version = parameters.iter().find(|(name, _)| name == "server_version");
            let identity = credential.verified.identity();
            let terms = bundle.recording(&identity.groups);
            let opening = recording::Opening {
                session: self.opening.id,
                journal: recorder.journal,
                gateway: recorder.gateway,
                began: now
                    .wall
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
                kept: if terms.kept == policy::Recording::Results { Kept::Results } else { Kept::Statements },
                identity: identity.to_string(),
                on_behalf_of: identity.on_behalf_of.as_ref().map(ToString::to_string),
                groups: identity.groups.iter().cloned().collect(),
                database: database.settings.name.clone(),
                application_name: application_name.clone().unwrap_or_default(),
                server_version: server_version.map(|(_, version)| version.clone()).unwrap_or_default(),
                rows_max: terms.rows,
                bytes_max: terms.bytes,
            };
            Box::new(Tape::begin(terms, opening, now, out.client.len()))
        });
        let running = Running {
            id: self.opening.id,
            expires: credential.expires,
            database,
            bundle,
            scope,
            form,
            client: self.opening.client,
            application_name,
            version,
            catalog,
            overlay: Catalog::default(),
            overlay_of: (0, 0),
            overlay_since: now.monotonic,
            overlay_private: false,
            ledger: std::mem::take(&mut self.opening.ledger),
            names: Names::default(),
            holdings: Holdings::default(),
            statements: Namespace::default(),
            openers: Vec::new(),
            portals: Namespace::default(),
            ops: VecDeque::new(),
            deferred: VecDeque::new(),
            op_last: OpNumber::default(),
            waiting: None,
            skipping: false,
            pipeline_open: false,
            pipeline_bound: false,
            script: None,
            bracket_error: false,
            copy_in: None,
            copy_broken: None,
            copy_out: None,
            status: TransactionStatus::Idle,
            shown: Shown::default(),
            quotes: Quotes::Nothing,
            text_unsafe: None,
            quota: *quota,
            stop: Stop::begun(now.monotonic),
            opened_spent: Arc::default(),
            client_in: Vec::new(),
            client_passing: 0,
            client_skipping: 0,
            upstream_in: Vec::new(),
            upstream_passing: 0,
            upstream_drops: false,
            statement_last: 0,
            bytes_out: 0,
            defining: false,
            naming_roles: false,
            alike_since,
            draining: false,
            asked_last: 0,
            mode: Modes::begun(self.opening.parameters.mode),
            tracing: self.opening.sample.take().map(|sample| Box::new(Tracing::new(sample))),
            tape,
            leaving: None,
            closed: false,
        };
        self.stage = Stage::Running(Box::new(running));
    }

    /// A legacy account's last day is near: client, audit and log are told, at each of its logins.
    fn warn_of_deadline(&mut self, identity: &Identity, database: &str, out: &mut Outbox) {
        encode::notice_response(&mut out.client, &authenticate::nearly_over(identity));
        let event = Event::LegacyAccountEnds {
            session: self.opening.id,
            client: self.opening.client,
            identity: &IdentityForm(identity).render(),
            database,
            until: identity.attributes.get(authenticate::UNTIL).map(String::as_str).unwrap_or_default(),
            owner: identity.attributes.get("owner").map(String::as_str),
        }
        .encode();
        self.append(event, out);
        out.effects.push(Effect::AccountEnds { identity: Box::new(identity.clone()) });
    }

    fn record_failure(&mut self, reason: &str, out: &mut Outbox) {
        self.record_failure_of(None, reason, out);
    }

    fn record_failure_of(&mut self, identity: Option<&Identity>, reason: &str, out: &mut Outbox) {
        let event = Event::AuthenticationFailed {
            session: self.opening.id,
            client: self.opening.client,
            user: Some(&self.opening.user),
            database: Some(&self.opening.database_name),
            method: Some(self.opening.method.as_str()),
            reason,
            issuer: identity.map(|identity| identity.issuer.as_str()),
            subject: identity.map(|identity| identity.subject.as_str()),
        }
        .encode();
        self.append(event, out);
    }

    /// Ends a session that has not begun.
    fn fail(&mut self, failed: Failed, out: &mut Outbox) {
        let Failed { error, reason } = failed;
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.record_failure(&reason, out);
        }
        encode::error_response(&mut out.client, &error);
        self.close(out);
    }

    fn close(&mut self, out: &mut Outbox) {
        self.stage = Stage::Closed;
        out.effects.push(Effect::Close);
    }
}

/// Reading a message of this size takes about a millisecond: parsing a statement takes some 30 ns a byte and more.
const MUCH_BYTES: usize = 32 << 10;

/// Whether a message of much more than a few bytes is complete when `bytes` are added to what is there.
fn completes_much(there: &[u8], bytes: &[u8]) -> bool {
    let all = there.len() + bytes.len();
    if all < MUCH_BYTES {
        return false;
    }
    let mut begin: Vec<u8> = there.iter().take(5).copied().collect();
    begin.extend(bytes.iter().take(5_usize.saturating_sub(begin.len())));
    match wire::frame::header(&begin) {
        Ok(Some(header)) => header.len >= MUCH_BYTES && header.len <= all,
        Ok(None) | Err(_) => false,
    }
}

fn running_input(running: &mut Running, now: Now, input: Input<'_>, out: &mut Outbox) {
    if let Some(tape) = &mut running.tape {
        tape.turn(out.client.len());
    }
    let turn = &mut Turn { now, out };
    running_turn(running, input, turn);
    if let Some(tape) = &mut running.tape {
        tape.look(&turn.out.client, now.monotonic);
    }
}

fn running_turn(running: &mut Running, input: Input<'_>, turn: &mut Turn<'_>) {
    let now = turn.now;
    if now.monotonic >= running.expires && !matches!(input, Input::UpstreamClosed | Input::ClientClosed) {
        return running.terminate(refuse::time_is_over(running.scope.method()), turn);
    }
    running.stay_alike();
    match input {
        Input::ClientBytes(bytes) => running.feed_client(bytes, turn),
        Input::UpstreamBytes(bytes) => running.feed_upstream(bytes, turn),
        Input::ClientClosed => running.client_gone(turn),
        Input::UpstreamClosed => {
            let error = ErrorFields::new(
                Severity::Fatal,
                sqlstate::CONNECTION_FAILURE,
                "the database server closed the connection unexpectedly",
            );
            running.fail(&error, "the upstream has gone", turn);
        }
        Input::Written(ticket) => running.ledger.note_written(ticket),
        Input::Durable(ticket) => running.ledger.note_durable(ticket),
        Input::JournalFailed(why) => running.journal_lost(&why, turn),
        Input::PolicyChanged(bundle) => running.scope_changed(bundle, turn),
        Input::Revoked(reason) => running.terminate(&reason, turn),
        Input::CancelSent => running.cancel_sent(),
        Input::Drain => {
            running.draining = true;
            if running.is_held() {
                // A restart doesn't wait for approvers.
                running.terminate("the gateway is shutting down", turn);
            }
        }
        Input::Approval { asked, answer } => running.approval_answered(asked, *answer, turn),
        Input::CancelRequested => {
            running.tape_happened(What::CancelRequested, turn);
            running.cancel_hold(turn);
        }
        Input::Deadline
        | Input::CredentialVerified(_)
        | Input::VerifierFound(_)
        | Input::Blocked(_)
        | Input::UpstreamReady(_)
        | Input::UpstreamFailed(_) => {}
    }
    if !running.closed {
        running.pump(turn);
    }
    if !running.closed {
        running.watch_hold(turn);
        running.watch_time(turn);
    }
}
