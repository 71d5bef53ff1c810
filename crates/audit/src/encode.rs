//! Events as canonical bytes. Field names and their order are part of the format: only ever added to, at the end.

use model::Identity;
use sha2::{Digest, Sha256};

use crate::decision::behalf;
use crate::event::{
    Code, Completion, Durability, Event, Outcome, Parameter, Protocol, SessionStarted, Statement,
};
use crate::json::{Object, object};

/// A parameter longer than this is cut; its full length and SHA-256 are stated.
pub const PARAMETER_BYTES_MAX: usize = 1024;

/// An event as canonical bytes, with their hash: everything that can be done outside the journal's lock.
#[derive(Clone, Debug)]
pub struct Encoded {
    // INVARIANT: `digest` is the SHA-256 of `payload`.
    pub(crate) code: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

impl Encoded {
    /// Returns the JSON text.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns the event's code.
    pub const fn code(&self) -> Code {
        Code(self.code)
    }
}

impl Event<'_> {
    /// Turns the event into bytes of its own.
    pub fn encode(&self) -> Encoded {
        let mut encoded = Encoded { code: 0, payload: Vec::with_capacity(1024), digest: [0; 32] };
        self.encode_into(&mut encoded);
        encoded
    }

    /// Turns the event into bytes in place of those that `encoded` held; allocates only to grow.
    pub fn encode_into(&self, encoded: &mut Encoded) {
        encoded.code = self.code().0;
        encoded.payload.clear();
        object(&mut encoded.payload, |o| {
            o.word("event", self.name());
            self.fields(o);
        });
        encoded.digest = Sha256::digest(&encoded.payload).into();
    }

    fn fields(&self, o: &mut Object<'_>) {
        match self {
            Self::GatewayStarted { version, config_hash } => {
                o.text("version", version).text("config_hash", config_hash)
            }
            Self::GatewayStopped { reason } => o.text("reason", reason),
            Self::PolicyLoaded { database, bundle, version, hash } => o
                .text("database", database)
                .text("bundle", bundle)
                .text("version", version)
                .text("hash", hash),
            Self::PolicyRefused { database, reason } => o.text("database", database).text("reason", reason),
            Self::Connected { session, client, tls } => {
                o.session(*session).plain("client", client).text_or_null("tls", *tls)
            }
            Self::AuthenticationFailed {
                session,
                client,
                user,
                database,
                method,
                reason,
                issuer,
                subject,
            } => o
                .session(*session)
                .plain("client", client)
                .text_or_null("user", *user)
                .text_or_null("database", *database)
                .text_or_null("method", *method)
                .text("reason", reason)
                .text_or_null("issuer", *issuer)
                .text_or_null("subject", *subject),
            Self::SessionStarted(started) => started.fields(o),
            Self::Statement(statement) => statement.fields(o),
            Self::Outcome(outcome) => outcome.fields(o),
            Self::Incident { session, statement, identity, database, kind, detail } => o
                .session_or_null(*session)
                .number_or_null("statement", *statement)
                .fragment_or_null("identity", *identity)
                .text_or_null("database", *database)
                .text("kind", kind)
                .text("detail", detail),
            Self::LimitExceeded {
                session,
                statement,
                identity,
                database,
                limit,
                group,
                sqlstate,
                reason,
            } => o
                .session(*session)
                .number_or_null("statement", *statement)
                .fragment("identity", identity)
                .text("database", database)
                .text("limit", limit)
                .text_or_null("group", *group)
                .text("sqlstate", sqlstate)
                .text("reason", reason),
            Self::Disconnected { session, client, identity, database, reason, statements, bytes } => o
                .session(*session)
                .plain("client", client)
                .fragment_or_null("identity", *identity)
                .text_or_null("database", *database)
                .text("reason", reason)
                .number("statements", *statements)
                .number("bytes", *bytes),
            Self::LegacyAccountEnds { session, client, identity, database, until, owner } => o
                .session(*session)
                .plain("client", client)
                .fragment("identity", identity)
                .text("database", database)
                .text("until", until)
                .text_or_null("owner", *owner),
            Self::ClockStepped { from, to } => o.plain("from", from).plain("to", to),
            Self::JournalRecovered { segment, offset, bytes, sha256, kept_as } => o
                .text("segment", segment)
                .number("offset", *offset)
                .number("bytes", *bytes)
                .text("sha256", sha256)
                .text("kept_as", kept_as),
            Self::JournalFaulted { operation, detail, first, last } => o
                .text("operation", operation)
                .text("detail", detail)
                .number("first", first.0)
                .number("last", last.0),
            Self::RoleMade { session, identity, database, role, scope, valid_until } => o
                .session_or_null(*session)
                .fragment_or_null("identity", *identity)
                .text("database", database)
                .text("role", role)
                .text("scope", scope)
                .plain("valid_until", valid_until),
            Self::RoleGiven { session, identity, database, role, scope } => o
                .session(*session)
                .fragment_or_null("identity", Some(identity))
                .text("database", database)
                .text("role", role)
                .text("scope", scope),
            Self::RoleGone { session, database, role, reason, owned } => o
                .session_or_null(*session)
                .text("database", database)
                .text("role", role)
                .text("reason", reason)
                .text("owned", owned),
            Self::RoleMoved { session, database, role, from, to } => o
                .session(*session)
                .text("database", database)
                .text("role", role)
                .text("from", from)
                .text("to", to),
            Self::UpstreamFailed { session, client, identity, database, reason, sqlstate } => o
                .session(*session)
                .plain("client", client)
                .fragment_or_null("identity", Some(identity))
                .text("database", database)
                .text("reason", reason)
                .text_or_null("sqlstate", *sqlstate),
            Self::SessionsEnded { by, selector, reason, sessions, block } => o
                .text("by", by)
                .text("selector", selector)
                .text("reason", reason)
                .texts("sessions", sessions.iter().map(ToString::to_string))
                .text_or_null("block", *block),
            Self::BlockAdded { by, block, selector, reason, until, issued_until } => o
                .text("by", by)
                .text("block", block)
                .text("selector", selector)
                .text("reason", reason)
                .plain_or_null("until", *until)
                .plain_or_null("issued_until", *issued_until),
            Self::BlockRemoved { by, block, selector } => {
                o.text("by", by).text("block", block).text("selector", selector)
            }
            Self::TrustEnded { issuer, kind, subject, issuer_session, token_id, sessions } => o
                .text("issuer", issuer)
                .text("kind", kind)
                .text_or_null("subject", *subject)
                .text_or_null("issuer_session", *issuer_session)
                .text("token_id", token_id)
                .texts("sessions", sessions.iter().map(ToString::to_string)),
            Self::ControlRefused { act, client, by, reason } => o
                .text("act", act)
                .plain_or_null("client", client.as_ref())
                .text_or_null("by", *by)
                .text("reason", reason),
            Self::ApprovalRequested(requested) => requested.fields(o),
            Self::ApprovalVoted(voted) | Self::BreakGlass(voted) => voted.fields(o),
            Self::ApprovalEnded(ended) => ended.fields(o),
            Self::ApprovalUsed(used) => used.fields(o),
            Self::ApprovalRefused(refused) => refused.fields(o),
            Self::Delegation(delegation) => delegation.fields(o),
            Self::LoggedIn { by, client, issuer_session, roles, until } => o
                .text("by", by)
                .plain_or_null("client", client.as_ref())
                .text_or_null("issuer_session", *issuer_session)
                .texts("roles", roles.iter().copied())
                .plain("until", until),
            Self::LoggedOut { by, reason, logins } => {
                o.text("by", by).text("reason", reason).number("logins", *logins)
            }
            Self::Notified(notified) => notified.fields(o),
            Self::NotificationFailed(failed) => failed.fields(o),
            Self::NotifyCallRefused(refused) => refused.fields(o),
            Self::RowsCounted(counted) => counted.fields(o),
            Self::StreamFailed { stream, reason, waiting } => {
                o.text("stream", stream).text("reason", reason).number("waiting", waiting.0)
            }
            Self::StreamRecovered { stream, delivered } => {
                o.text("stream", stream).number("delivered", delivered.0)
            }
            Self::StreamGap { stream, first, last } => {
                o.text("stream", stream).number("first", first.0).number("last", last.0)
            }
            Self::Integrity(it) => it.fields(o),
            Self::RecordingStarted(it) => it.fields(o),
            Self::RecordingAnchored(it) => it.fields(o),
            Self::RecordingEnded(it) => it.fields(o),
            Self::RecordingLost(it) => it.fields(o),
            Self::RecordingArchived(it) => it.fields(o),
            Self::ConfigurationReloaded { config_hash, detail } => {
                o.text_or_null("config_hash", *config_hash).text("detail", detail)
            }
        };
    }
}

impl SessionStarted<'_> {
    fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, client, identity, method, user, database, application_name, backend_pid, .. } =
            self;
        let Self { bundle, bundle_version, bundle_hash, expires_at, prior_actors, .. } = self;
        let Identity { issuer, subject, name, groups, attributes, token_id, on_behalf_of } = identity;
        o.session(*session)
            .plain("client", client)
            .object("identity", |o| {
                o.text("issuer", issuer)
                    .text("subject", subject)
                    .texts("groups", groups)
                    .text_or_null("token_id", token_id.as_deref())
                    .text_or_null("name", name.as_deref())
                    .map("attributes", attributes);
                if let Some(party) = on_behalf_of {
                    behalf(o, party);
                }
            })
            .text("method", method)
            .text("user", user)
            .text("database", database)
            .text("application_name", application_name)
            .plain_number("backend_pid", *backend_pid)
            .text("bundle", bundle)
            .text("bundle_version", bundle_version)
            .text("bundle_hash", bundle_hash)
            .plain_or_null("expires_at", *expires_at);
        if !prior_actors.is_empty() {
            o.list("prior_actors", *prior_actors, |out, party| {
                object(out, |o| {
                    o.text("issuer", &party.issuer).text("subject", &party.subject);
                });
            });
        }
        o
    }
}

impl Statement<'_> {
    fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, statement, identity, client, application_name, database, protocol, .. } = self;
        let Self { text, parameters, decision, verdict, refusal, durability, approval, .. } = self;
        let protocol = match protocol {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
        };
        let durability = match durability {
            Durability::Written => "written",
            Durability::Durable => "durable",
        };
        o.session(*session)
            .number("statement", *statement)
            .fragment("identity", identity)
            .plain("client", client)
            .text("application_name", application_name)
            .text("database", database)
            .word("protocol", protocol)
            .text("text", text)
            .list("parameters", *parameters, |out, parameter| parameter.write(out))
            .fragment("decision", decision)
            .word("verdict", verdict.as_str())
            .text_or_null("sqlstate", refusal.map(|r| r.sqlstate))
            .text_or_null("reason", refusal.map(|r| r.message))
            .word("durability", durability);
        match approval {
            Some(number) => o.number("approval", *number),
            None => o,
        }
    }
}

impl Parameter<'_> {
    /// Writes `null`, or an object with `text` or `hex`; a cut one also has the full `bytes` and `sha256`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (value, text) = match *self {
            Self::Null => return out.extend_from_slice(b"null"),
            Self::Withheld(length) => {
                return object(out, |o| {
                    o.number("withheld_bytes", count(length));
                });
            }
            Self::Text(value) => (value, std::str::from_utf8(value).ok()),
            Self::Binary(value) => (value, None),
        };
        object(out, |o| {
            match text {
                Some(text) => {
                    let end = text.floor_char_boundary(PARAMETER_BYTES_MAX);
                    o.text("text", text.get(..end).unwrap_or_default());
                }
                None => {
                    o.hex("hex", value.get(..PARAMETER_BYTES_MAX).unwrap_or(value));
                }
            }
            if value.len() > PARAMETER_BYTES_MAX {
                o.number("bytes", count(value.len())).hex("sha256", &Sha256::digest(value));
            }
        });
    }
}

impl Outcome<'_> {
    fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, statement, completion, rows, bytes, duration } = self;
        let (tag, sqlstate, lost) = match *completion {
            Completion::Completed(tag) => (Some(tag), None, None),
            Completion::Failed(sqlstate) => (None, Some(sqlstate), None),
            Completion::Lost(why) => (None, None, Some(why)),
        };
        o.session(*session)
            .number("statement", *statement)
            .text_or_null("tag", tag)
            .text_or_null("sqlstate", sqlstate)
            .text_or_null("lost", lost)
            .number("rows", *rows)
            .number("bytes", *bytes)
            .number("duration_us", u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
