//! Goes through records and fills the tables of a report. Knows the journal's events; no HTML, no files.

use std::collections::{BTreeMap, BTreeSet};

use audit::Time;
use serde_json::Value;

use crate::framework::Part;
use crate::record::{behalf, joined, list, names, ran, shown, text, who};
use crate::table::{Budget, Log, Table, Tally};

/// What a report is about.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Not before this; whole microseconds, as records are printed.
    pub since: Option<Time>,
    /// Before this.
    pub until: Option<Time>,
    /// Only this database, of events that are about one.
    pub database: Option<String>,
    /// Only what concerns this `issuer:subject`: its whole story.
    pub identity: Option<String>,
}

/// Events whose record says of which database they are.
const OF_A_DATABASE: [&str; 19] = [
    "policy_loaded",
    "policy_refused",
    "authentication_failed",
    "session_started",
    "disconnected",
    "statement",
    "incident",
    "role_made",
    "role_given",
    "role_gone",
    "role_moved",
    "upstream_failed",
    "limit_exceeded",
    "approval_requested",
    "approval_voted",
    "approval_ended",
    "approval_used",
    "break_glass",
    "rows_counted",
];

impl Scope {
    fn admits(&self, time: Time, event: &str, record: &Value) -> bool {
        let Self { since, until, database, identity: _ } = self;
        let other = |wanted: &String| OF_A_DATABASE.contains(&event) && text(record, "database") != wanted;
        since.is_none_or(|since| time >= since)
            && until.is_none_or(|until| time < until)
            && !database.as_ref().is_some_and(other)
    }

    /// Command lines that print the records of an event.
    fn queries(&self, event: &str, rest: &str) -> Vec<String> {
        let mut line = format!("gatepost audit query --event {event}");
        if let Some(database) = self.database.as_ref().filter(|_| OF_A_DATABASE.contains(&event)) {
            line.push_str(&format!(" --database {}", quoted(database)));
        }
        for (option, time) in [("since", self.since), ("until", self.until)] {
            if let Some(time) = time {
                line.push_str(&format!(" --{option} {time}"));
            }
        }
        let whose = match &self.identity {
            None => vec![String::new()],
            Some(who) => {
                let who = quoted(who);
                vec![format!(" --identity {who}"), format!(" --on-behalf-of {who}")]
            }
        };
        whose.into_iter().map(|whose| format!("{line}{whose}{rest}")).collect()
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/@".contains(c);
    if word.chars().all(plain) && !word.starts_with('-') && !word.is_empty() {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A table with a row for each record of some events.
struct Listed {
    part: Part,
    id: &'static str,
    title: &'static str,
    note: &'static str,
    events: &'static [&'static str],
    /// Heading and member; several members with | between.
    columns: &'static [(&'static str, &'static str)],
}

/// What people see of a break-glass is in two events: the use, and a vote that is a review.
const BREAK_GLASS: &str = "break_glass";

const LISTED: [Listed; 10] = [
    Listed {
        part: Part::Policy,
        id: "policy-versions",
        title: "Policies loaded and refused",
        note: "When each version came into force, or was refused. The journal knows the hash of what was loaded, not who wrote it: that is in the \
               bundle's version control. Sessions are decided by the version that their record names.",
        events: &["policy_loaded", "policy_refused", "configuration_reloaded", "gateway_started"],
        columns: &[
            ("database", "database"),
            ("bundle", "bundle"),
            ("version", "version"),
            ("hash", "hash|config_hash"),
            ("detail", "reason|detail"),
        ],
    },
    Listed {
        part: Part::Approvals,
        id: "approval-requests",
        title: "Requests for approval",
        note: "What was asked, by whom and why, and who had to agree.",
        events: &["approval_requested"],
        columns: &[
            ("approval", "approval"),
            ("requester", "identity"),
            ("owner", "owner"),
            ("database", "database"),
            ("statement", "text"),
            ("why", "why"),
            ("purpose", "purpose"),
            ("rules", "rules"),
            ("needs", "needs"),
            ("policy", "bundle_hash"),
        ],
    },
    Listed {
        part: Part::Approvals,
        id: "approval-decisions",
        title: "Decisions and their use",
        note: "Each vote with its person and reason, how each request ended, and each use. A request of before the period may end in it.",
        events: &["approval_voted", "approval_ended", "approval_used", "approval_refused"],
        columns: &[
            ("approval", "approval"),
            ("requester", "requester"),
            ("by", "by|persons"),
            ("in place of", "delegated_by"),
            ("what", "verdict|state|act|used"),
            ("reason", "reason|detail"),
            ("via", "via"),
            ("counts for", "counts_for|approved_by"),
        ],
    },
    Listed {
        part: Part::BreakGlass,
        id: "break-glass",
        title: "Break-glass uses and reviews",
        note: "",
        events: &[BREAK_GLASS],
        columns: &[
            ("approval", "approval"),
            ("requester", "requester"),
            ("database", "database"),
            ("by", "by"),
            ("what", "verdict"),
            ("reason", "reason"),
            ("via", "via"),
        ],
    },
    Listed {
        part: Part::Refusals,
        id: "limits",
        title: "Limits that were reached",
        note: "Statements and sessions that a limit of the policy stopped.",
        events: &["limit_exceeded"],
        columns: &[
            ("identity", "identity"),
            ("database", "database"),
            ("limit", "limit"),
            ("group", "group"),
            ("sqlstate", "sqlstate"),
            ("reason", "reason"),
            ("session", "session"),
        ],
    },
    Listed {
        part: Part::Administration,
        id: "acts",
        title: "Acts on the gateway",
        note: "Sessions ended, blocks, ends of trust, browser logins, delegations, counts of rows, reloads, and what was refused of these.",
        events: &[
            "sessions_ended",
            "block_added",
            "block_removed",
            "trust_ended",
            "control_refused",
            "logged_in",
            "logged_out",
            "delegation",
            "rows_counted",
            "configuration_reloaded",
        ],
        columns: &[
            ("by", "by|issuer"),
            ("on", "selector|subject|act|to|approval"),
            ("what", "what|kind|outcome|block"),
            ("reason", "reason|detail"),
            ("until", "until"),
            ("sessions", "sessions|logins"),
            ("from", "client"),
            ("roles", "roles|groups"),
        ],
    },
    Listed {
        part: Part::Administration,
        id: "roles",
        title: "PostgreSQL roles made for sessions",
        note: "Roles that the gateway made, gave out and dropped.",
        events: &["role_made", "role_given", "role_gone", "role_moved"],
        columns: &[
            ("identity", "identity"),
            ("database", "database"),
            ("role", "role"),
            ("scope", "scope|to"),
            ("valid until", "valid_until"),
            ("reason", "reason"),
            ("session", "session"),
        ],
    },
    Listed {
        part: Part::Incidents,
        id: "incidents",
        title: "Incidents",
        note: "What the gateway met that should not happen, and databases or streams that failed.",
        events: &["incident", "upstream_failed", "stream_failed", "notify_call_refused"],
        columns: &[
            ("identity", "identity|by"),
            ("database", "database"),
            ("kind", "kind|stream|channel|sqlstate"),
            ("detail", "detail|reason"),
            ("session", "session"),
        ],
    },
    Listed {
        part: Part::Integrity,
        id: "journal-events",
        title: "What happened to the journal",
        note: "Starts and stops, steps of the clock, recoveries after a crash, faults, and gaps of streams.",
        events: &[
            "gateway_started",
            "gateway_stopped",
            "clock_stepped",
            "journal_recovered",
            "journal_faulted",
            "stream_gap",
        ],
        columns: &[
            ("what", "version|reason|operation|segment|stream"),
            ("from", "from|offset|first"),
            ("to", "to|bytes|last"),
            ("detail", "detail|kept_as|config_hash"),
        ],
    },
    Listed {
        part: Part::Access,
        id: "sessions",
        title: "Sessions",
        note: "Each beginning and end.",
        events: &["session_started", "disconnected"],
        columns: &[
            ("identity", "identity"),
            ("database", "database"),
            ("session", "session"),
            ("from", "client"),
            ("method", "method"),
            ("application", "application_name"),
            ("policy", "bundle_hash"),
            ("reason", "reason"),
            ("statements", "statements"),
        ],
    },
];

/// Tallies, in the order of a part's tables.
#[derive(Default)]
struct Tallies {
    identities: Tally,
    objects: Tally,
    refused: Tally,
    logins: Tally,
    sensitive: Tally,
    legacy: Tally,
    kinds: Tally,
}

/// The figures of a report while they are made. Its memory is bounded; what finds no room is counted, and told.
pub struct Figures<'t> {
    scope: Scope,
    /// The tags of a column that the policy in force gives: database, relation, column.
    tags: &'t dyn Fn(&str, &str, &str) -> Vec<String>,
    budget: Budget,
    logs: BTreeMap<&'static str, Log>,
    refusals: Log,
    tallies: Tallies,
    /// Of the identity.
    sessions: BTreeSet<String>,
    glass_broken: BTreeSet<u64>,
    glass_reviewed: BTreeSet<u64>,
    last: u64,
}

impl<'t> Figures<'t> {
    /// Begins; `tags` gives the tags of a column: of a database, a relation as records name it, and a column.
    pub fn new(scope: Scope, tags: &'t dyn Fn(&str, &str, &str) -> Vec<String>) -> Self {
        Self {
            scope,
            tags,
            budget: Budget::default(),
            logs: BTreeMap::new(),
            refusals: Log::default(),
            tallies: Tallies::default(),
            sessions: BTreeSet::new(),
            glass_broken: BTreeSet::new(),
            glass_reviewed: BTreeSet::new(),
            last: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_budget(mut self, bytes: usize) -> Self {
        self.budget = Budget::of(bytes);
        self
    }

    /// The number of the last record that was taken.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Takes the next record of the journal; also those of before the period, which say whose a session is.
    pub fn take(&mut self, seq: u64, time: Time, record: &Value) {
        self.last = seq;
        let event = text(record, "event");
        let concerned = self.concerns(record);
        if !concerned || !self.scope.admits(time, event, record) {
            return;
        }
        for table in &LISTED {
            let review = table.events.contains(&BREAK_GLASS) && text(record, "verdict") == "review";
            if table.events.contains(&event) || review {
                let columns = table.columns.iter().map(|(_, path)| shown(record, path));
                let row = [seq.to_string(), time.to_string(), event.to_owned()].into_iter().chain(columns);
                let row: Vec<String> = row.collect();
                self.logs.entry(table.id).or_default().add(row, &mut self.budget);
            }
        }
        match event {
            "session_started" => self.session(time, record),
            "authentication_failed" => self.login_failed(time, record),
            "statement" => self.statement(seq, time, record),
            _ => self.glass(record),
        }
    }

    fn concerns(&mut self, record: &Value) -> bool {
        let Some(wanted) = &self.scope.identity else { return true };
        let session = text(record, "session");
        if names(record).contains(wanted) {
            let known = session.is_empty() || self.sessions.contains(session);
            if !known && self.budget.spend([&session.to_owned()]) {
                self.sessions.insert(session.to_owned());
            }
            return true;
        }
        !session.is_empty() && self.sessions.contains(session)
    }

    fn session(&mut self, time: Time, record: &Value) {
        let identity = record.get("identity").unwrap_or(&Value::Null);
        let (name, database) = (who(identity).unwrap_or_default(), text(record, "database").to_owned());
        let key = vec![
            name,
            behalf(identity),
            joined(identity, "groups"),
            text(record, "method").into(),
            database.clone(),
        ];
        self.tallies.identities.add(key, 0, [], time, &mut self.budget);
        if text(identity, "issuer") == model::Identity::LEGACY {
            let attribute =
                |name| identity.get("attributes").map_or_else(String::new, |all| text(all, name).into());
            let key =
                vec![text(identity, "subject").into(), database, attribute("owner"), attribute("until")];
            self.tallies.legacy.add(key, 0, [], time, &mut self.budget);
        }
    }

    fn login_failed(&mut self, time: Time, record: &Value) {
        let claimed = who(record).unwrap_or_default();
        let key = ["user", "database", "method", "reason"].map(|member| text(record, member).to_owned());
        let key = [claimed].into_iter().chain(key).collect();
        self.tallies.logins.add(key, 0, [], time, &mut self.budget);
    }

    fn glass(&mut self, record: &Value) {
        let Some(number) = record.get("approval").and_then(Value::as_u64) else { return };
        let set = match text(record, "verdict") {
            "break_glass" => &mut self.glass_broken,
            "review" => &mut self.glass_reviewed,
            _ => return,
        };
        set.insert(number);
    }

    fn statement(&mut self, seq: u64, time: Time, record: &Value) {
        let identity = record.get("identity").unwrap_or(&Value::Null);
        let name = who(identity).unwrap_or_default();
        let (database, ran) = (text(record, "database"), ran(record));
        let whose = [name.clone(), behalf(identity), database.to_owned()];
        let empty = Value::Null;
        let decision = record.get("decision").unwrap_or(&empty);
        let kind = vec![name.clone(), database.to_owned(), text(decision, "kind").to_owned()];
        self.tallies.kinds.add(kind, usize::from(!ran), [], time, &mut self.budget);
        for touch in list(decision, "touches") {
            let members = ["action", "kind", "name"].map(|member| text(touch, member).to_owned());
            let key = whose.iter().cloned().chain(members).collect();
            let columns = list(touch, "columns").filter_map(Value::as_str).map(str::to_owned);
            self.tallies.objects.add(key, usize::from(!ran), columns, time, &mut self.budget);
        }
        if ran {
            self.sensitive(time, &name, record, decision);
        } else {
            let said = ["verdict", "sqlstate", "reason"].map(|member| text(record, member).to_owned());
            let key = whose.iter().cloned().chain(said.clone()).collect();
            self.tallies.refused.add(key, 0, [], time, &mut self.budget);
            let row = [seq.to_string(), time.to_string()].into_iter().chain(whose).chain(said);
            let row = row.chain([text(record, "text").to_owned()]).collect();
            if self.scope.identity.is_some() {
                self.refusals.add(row, &mut self.budget);
            }
        }
    }

    /// Columns that have a tag now or had one then, or came masked.
    fn sensitive(&mut self, time: Time, name: &str, record: &Value, decision: &Value) {
        let database = text(record, "database");
        // SECURITY: where policy was only observed, what would have been masked came clear.
        let enforced = !text(record, "verdict").starts_with("observed-");
        let mask_of = |full: &str| {
            let mask = list(decision, "masks").find(|mask| text(mask, "column") == full);
            mask.map(|mask| text(mask, "mask").to_owned())
        };
        for touch in list(decision, "touches").filter(|touch| text(touch, "kind") == "relation") {
            let (relation, action) = (text(touch, "name"), text(touch, "action"));
            for column in list(touch, "columns").filter_map(Value::as_str) {
                let full = format!("{relation}.{column}");
                let mut tags: BTreeSet<String> =
                    (self.tags)(database, relation, column).into_iter().collect();
                let recorded = list(touch, "tags").filter(|tagged| text(tagged, "column") == column);
                tags.extend(
                    recorded.flat_map(|it| list(it, "tags")).filter_map(Value::as_str).map(str::to_owned),
                );
                let mask = mask_of(&full);
                if tags.is_empty() && mask.is_none() {
                    continue;
                }
                let how = match (action, mask) {
                    ("select", Some(mask)) if enforced => format!("masked: {mask}"),
                    ("select", Some(_)) => "clear (policy observed only)".to_owned(),
                    ("select", None) => "clear".to_owned(),
                    (other, _) => other.to_owned(),
                };
                let tags = tags.into_iter().collect::<Vec<_>>().join(", ");
                let key = vec![database.to_owned(), full, tags, name.to_owned(), how];
                self.tallies.sensitive.add(key, 0, [], time, &mut self.budget);
            }
        }
    }

    /// Ends; gives each part's tables.
    pub fn finish(mut self) -> Vec<(Part, Vec<Table>)> {
        let open = self.glass_broken.difference(&self.glass_reviewed).map(u64::to_string).collect::<Vec<_>>();
        let glass = format!(
            "{} requests were broken through; not reviewed in the period: {}. A review is another person's vote of that name.",
            self.glass_broken.len(),
            if open.is_empty() { "none".to_owned() } else { open.join(", ") }
        );
        let mut parts: BTreeMap<Part, Vec<Table>> = BTreeMap::new();
        let Self { scope, tallies, refusals, .. } = &mut self;
        counted(scope, std::mem::take(tallies), &mut parts);
        if scope.identity.is_some() {
            parts
                .entry(Part::Refusals)
                .or_default()
                .push(refused_statements(scope, std::mem::take(refusals)));
        }
        for listed in &LISTED {
            let Log { rows, left_out } = self.logs.remove(listed.id).unwrap_or_default();
            let mut queries: Vec<String> =
                listed.events.iter().flat_map(|event| self.scope.queries(event, "")).collect();
            let broken = listed.events.contains(&BREAK_GLASS);
            if broken {
                queries.extend(self.scope.queries("approval_voted", "  # those whose verdict is \"review\""));
            }
            let columns = listed.columns.iter().map(|(heading, _)| *heading);
            parts.entry(listed.part).or_default().push(Table {
                id: listed.id,
                title: listed.title,
                note: if broken { glass.clone() } else { listed.note.to_owned() },
                headings: ["record", "time", "event"].into_iter().chain(columns).collect(),
                records: rows.len() as u64 + left_out,
                rows,
                left_out,
                queries,
            });
        }
        parts.into_iter().collect()
    }
}

fn refused_statements(scope: &Scope, log: Log) -> Table {
    Table {
        id: "refused-statements",
        title: "Each refused statement",
        note: "As the journal has it.".to_owned(),
        headings: vec![
            "record",
            "time",
            "identity",
            "on behalf of",
            "database",
            "verdict",
            "sqlstate",
            "reason",
            "statement",
        ],
        records: log.rows.len() as u64 + log.left_out,
        rows: log.rows,
        left_out: log.left_out,
        queries: scope.queries("statement", "  # those with an sqlstate"),
    }
}

/// Makes the tables of what was counted.
fn counted(scope: &Scope, tallies: Tallies, parts: &mut BTreeMap<Part, Vec<Table>>) {
    let Tallies { identities, objects, refused, logins, sensitive, legacy, kinds } = tallies;
    let mut add = |part, id, title, note: &str, headings: &[&'static str], tally: Tally, queries| {
        let (records, left_out) = (tally.records, tally.left_out);
        let columns = headings.contains(&"columns");
        let counts = headings.iter().filter(|it| COUNTS.contains(it)).count();
        let headings = headings.iter().copied().chain(["first", "last"]).collect();
        let rows = tally.into_rows(columns, counts);
        let note = note.to_owned();
        parts.entry(part).or_default().push(Table {
            id,
            title,
            note,
            headings,
            rows,
            records,
            left_out,
            queries,
        });
    };
    let statements = || scope.queries("statement", "");
    let sessions = || scope.queries("session_started", "");
    let note = "Who began sessions, with which groups, how proven. What they could have touched is the policy's to say (`gatepost policy explain`).";
    let headings = ["identity", "on behalf of", "groups", "method", "database", "sessions"];
    add(Part::Access, "identities", "Identities and their sessions", note, &headings, identities, sessions());
    let note = "What statements touched: each object, action and the columns. A statement that touches several things counts for each; \"ran\" was sent to the database, \"refused\" was not.";
    let headings =
        ["identity", "on behalf of", "database", "action", "kind", "object", "columns", "ran", "refused"];
    add(Part::Access, "objects", "Objects, columns and actions", note, &headings, objects, statements());
    let headings = ["identity", "database", "statement", "ran", "refused"];
    add(Part::Access, "kinds", "Statements by kind", "Each statement once.", &headings, kinds, statements());
    let note = "Statements that were not sent to the database: refused by policy, not understood, held without approval, over a limit.";
    let headings = ["identity", "on behalf of", "database", "verdict", "sqlstate", "reason", "statements"];
    let queries = scope.queries("statement", "  # those with an sqlstate, or verdict deny or hold");
    add(Part::Refusals, "refusals", "Refused statements", note, &headings, refused, queries);
    let note = "Connections that proved no identity that is let in; who they are is what they said.";
    let headings = ["claimed", "user", "database", "method", "reason", "attempts"];
    let queries = scope.queries("authentication_failed", "");
    add(Part::Refusals, "failed-logins", "Failed logins", note, &headings, logins, queries);
    let note = "Columns with a tag or a mask that statements which ran touched. \"masked\" and \"clear\" is how they were read; other words are actions \
                (\"filter\": in a condition). Tags are those of the policy given to this report and of the record itself; what the policy called \
                them at the time is known only by its hash. Whether rows came is in the outcomes.";
    let headings = ["database", "column", "tags", "identity", "how", "statements"];
    add(
        Part::Sensitive,
        "sensitive",
        "Who touched sensitive columns",
        note,
        &headings,
        sensitive,
        statements(),
    );
    let note = "Sessions with a password of a legacy account. `gatepost audit report --migration` says more.";
    let headings = ["account", "database", "owner", "ends", "sessions"];
    add(Part::Legacy, "legacy", "Legacy accounts in use", note, &headings, legacy, sessions());
}

/// Headings of counts.
const COUNTS: [&str; 5] = ["sessions", "ran", "refused", "statements", "attempts"];
