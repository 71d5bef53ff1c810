//! Audit events as classes of the Open Cybersecurity Schema Framework (OCSF) 1.8.0: <https://schema.ocsf.io/1.8.0/>.
//!
//! Knows the journal's events by their JSON and nothing else; pure. `TABLE` says which class and activity each event becomes: the mapping and
//! its reference page are made from it. What no attribute of a class is for stands in `unmapped` under its own name, so nothing is lost.

mod map;

use std::fmt::Write as _;

pub use map::event;

/// The version of the schema, in `metadata.version`.
pub const VERSION: &str = "1.8.0";

/// A class of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Base,
    DetectionFinding,
    AccountChange,
    Authentication,
    EntityManagement,
    ApplicationLifecycle,
    DatastoreActivity,
}

impl Class {
    /// Its number, its category's, and its name.
    pub(crate) const fn numbers(self) -> (u64, u64, &'static str) {
        match self {
            Self::Base => (0, 0, "Base Event"),
            Self::DetectionFinding => (2004, 2, "Detection Finding"),
            Self::AccountChange => (3001, 3, "Account Change"),
            Self::Authentication => (3002, 3, "Authentication"),
            Self::EntityManagement => (3004, 3, "Entity Management"),
            Self::ApplicationLifecycle => (6002, 6, "Application Lifecycle"),
            Self::DatastoreActivity => (6005, 6, "Datastore Activity"),
        }
    }
}

/// What an event becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The event's name in the journal.
    pub(crate) event: &'static str,
    pub(crate) class: Class,
    /// `activity_id`, and its caption; where it depends on the record, what it is otherwise.
    pub(crate) activity: (u64, &'static str),
    /// `severity_id`: 1 informational, 2 low, 3 medium, 4 high.
    pub(crate) severity: u64,
    /// `status_id`: 1 success, 2 failure; where it depends on the record, what it is otherwise.
    pub(crate) status: u64,
}

const fn row(
    event: &'static str,
    class: Class,
    activity: (u64, &'static str),
    severity: u64,
    status: u64,
) -> Row {
    Row { event, class, activity, severity, status }
}

const OTHER: (u64, &str) = (99, "Other");
const CREATE: (u64, &str) = (1, "Create");
const UPDATE: (u64, &str) = (3, "Update");
const LOGON: (u64, &str) = (1, "Logon");
const LOGOFF: (u64, &str) = (2, "Logoff");

/// Of what is no event.
pub(crate) const UNKNOWN: Row = row("", Class::Base, OTHER, 1, 1);

/// Every event that becomes more than a Base Event.
pub(crate) const TABLE: &[Row] = &[
    row("statement", Class::DatastoreActivity, OTHER, 1, 1),
    row("session_started", Class::Authentication, LOGON, 1, 1),
    row("authentication_failed", Class::Authentication, LOGON, 3, 2),
    row("disconnected", Class::Authentication, LOGOFF, 1, 1),
    row("upstream_failed", Class::Authentication, LOGON, 2, 2),
    row("logged_in", Class::Authentication, LOGON, 1, 1),
    row("logged_out", Class::Authentication, LOGOFF, 1, 1),
    row("legacy_account_ends", Class::Authentication, LOGON, 2, 1),
    row("role_made", Class::AccountChange, CREATE, 1, 1),
    row("role_gone", Class::AccountChange, (6, "Delete"), 1, 1),
    row("role_given", Class::AccountChange, (7, "Attach Policy"), 1, 1),
    row("role_moved", Class::AccountChange, OTHER, 1, 1),
    row("policy_loaded", Class::EntityManagement, UPDATE, 1, 1),
    row("policy_refused", Class::EntityManagement, UPDATE, 3, 2),
    row("configuration_reloaded", Class::EntityManagement, UPDATE, 1, 1),
    row("block_added", Class::EntityManagement, (12, "Suspend"), 2, 1),
    row("block_removed", Class::EntityManagement, (13, "Resume"), 2, 1),
    row("sessions_ended", Class::EntityManagement, (11, "Deactivate"), 2, 1),
    row("trust_ended", Class::EntityManagement, (9, "Disable"), 2, 1),
    row("approval_requested", Class::EntityManagement, CREATE, 1, 1),
    row("approval_voted", Class::EntityManagement, UPDATE, 1, 1),
    row("approval_ended", Class::EntityManagement, UPDATE, 1, 1),
    row("approval_used", Class::EntityManagement, (10, "Activate"), 1, 1),
    row("approval_refused", Class::EntityManagement, UPDATE, 3, 2),
    row("break_glass", Class::EntityManagement, (10, "Activate"), 4, 1),
    row("delegation", Class::EntityManagement, UPDATE, 1, 1),
    row("gateway_started", Class::ApplicationLifecycle, (3, "Start"), 1, 1),
    row("gateway_stopped", Class::ApplicationLifecycle, (4, "Stop"), 1, 1),
    row("incident", Class::DetectionFinding, CREATE, 4, 1),
    row("control_refused", Class::Base, OTHER, 3, 2),
    row("notify_call_refused", Class::Base, OTHER, 3, 2),
    row("limit_exceeded", Class::Base, OTHER, 2, 2),
    row("journal_faulted", Class::Base, OTHER, 4, 2),
    row("signing_failed", Class::Base, OTHER, 4, 2),
    row("stream_failed", Class::Base, OTHER, 4, 2),
    row("stream_gap", Class::Base, OTHER, 4, 2),
    row("recording_lost", Class::Base, OTHER, 4, 2),
    row("notification_failed", Class::Base, OTHER, 2, 2),
];

/// Returns the reference page of the mapping, in Markdown.
pub fn reference() -> String {
    let mut page = format!(
        "# Events in OCSF\n\n<!-- Printed by `gatepost docs-reference`; change `crates/ocsf/src/lib.rs` instead. -->\n\n\
         A stream with `format = \"ocsf\"` sends each event as a class of the [Open Cybersecurity Schema Framework]\
         (https://schema.ocsf.io/{VERSION}/) {VERSION}. The journal keeps [its own](audit-schema.md).\n\n\
         What no attribute is for stands in `unmapped`, under its name in the journal: nothing is lost. Every event has `metadata.uid`, the journal's \
         name and the record's number, by which a repetition is known; `metadata.sequence`, that number; `metadata.event_code`, its name in the \
         journal; and, if it is about a statement, `metadata.correlation_uid`, the session and the statement's number in it, by which the statement, its outcome \
         and its approvals belong together.\n\n\
         | event | class | activity | severity | status |\n|---|---|---|---|---|\n"
    );
    for Row { event, class, activity, severity, status } in TABLE {
        let (number, _, name) = class.numbers();
        let severity = ["", "informational", "low", "medium", "high"]
            .get(usize::try_from(*severity).unwrap_or(0))
            .unwrap_or(&"");
        let activity = match *event {
            "statement" => {
                "by what it touches: 7 Delete, 2 Update, 6 Create (insert), 4 Query, else 99 Other".to_owned()
            }
            _ => format!("{} {}", activity.0, activity.1),
        };
        let status = match (*event, *status) {
            ("statement", _) => "Failure if it was refused; `action_id` 2 Denied, else 1 Allowed",
            ("configuration_reloaded", _) => "Failure if it was refused",
            (_, 1) => "Success",
            (_, _) => "Failure",
        };
        // Nothing fails that is written to a string.
        let _written = writeln!(page, "| `{event}` | {number} {name} | {activity} | {severity} | {status} |");
    }
    page.push_str(
        "\nEvery other event is a Base Event (0), Other, informational. `disconnected` of a client that was never anybody is one too.\n\n\
         A statement that was refused has severity medium. Its `actor.user` is who acted, `actor.user.uid` is `issuer:subject`, and for whom stands in \
         `unmapped.on_behalf_of`; `database.name` is the database as clients name it, `table` the relation it touches if there is one, `query_info.query_string` its text.\n",
    );
    page
}

#[cfg(test)]
mod tests;
