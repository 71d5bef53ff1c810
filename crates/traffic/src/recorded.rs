//! Reads statements back from the journal's records, as policy saw them. Knows the records' JSON; no files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use model::{Identity, Method, Party, QualifiedName};
use policy::{
    Action, Bundle, Context, Decision, FunctionClass, FunctionFacts, FunctionSecurity, Noted, Persistence,
    RelationFacts, RelationKind, Request, Resource, SessionFacts, StatementFacts, Touch, Volatility,
};
use serde_json::Value;

/// Sessions, and approvals, that are remembered at once.
const KNOWN_MAX: usize = 200_000;

/// What became of a statement when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// It ran, or was refused for something else than policy.
    Passed,
    /// It ran since these approver groups agreed.
    Approved(BTreeSet<String>),
    /// It ran although policy refused it, since policy was not enforced.
    Observed,
    /// It was held, and did not run.
    Held,
    /// It was refused.
    Refused,
}

impl Met {
    /// Whether it ran.
    pub const fn ran(&self) -> bool {
        matches!(self, Self::Passed | Self::Approved(_) | Self::Observed)
    }
}

/// Why a statement can't be decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unread {
    /// The gateway did not understand it, or refused it before it knew what it touches: what it touches is not recorded.
    NotUnderstood,
    /// Its record is of a form that isn't known.
    Form,
}

/// A statement as policy saw it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The record's number.
    pub seq: u64,
    /// When it was decided.
    pub time: SystemTime,
    /// The connection: 32 hexadecimal digits.
    pub session: String,
    /// Who.
    pub identity: Identity,
    /// The database as clients name it.
    pub database: String,
    /// PostgreSQL's command tag.
    pub command: String,
    /// The text with a `?` for each literal; `None` where it can't be read with certainty.
    pub text: Option<String>,
    /// What became of it.
    pub met: Met,
    /// The columns that came masked, as `schema.relation.column`.
    pub masked: BTreeSet<String>,
    /// Everything that it touched.
    pub touches: Vec<Touch>,
    /// Whether all that rules could see of it is in the record: records of Gatepost 0.1 before facts were kept lack some.
    pub exact: bool,
    has_where: bool,
    row_locks: bool,
    application_name: String,
    address: IpAddr,
    tls: bool,
    method: Method,
}

impl Recorded {
    /// Whether it is known to have chosen the rows that it changed.
    pub const fn has_where(&self) -> bool {
        self.exact && self.has_where
    }

    /// The same by somebody else, who came with a token over an encrypted connection.
    #[must_use]
    pub fn by_token(self, identity: Identity) -> Self {
        Self { identity, method: Method::Token, tls: true, ..self }
    }

    /// Asks a bundle about it as it was, at the time at which it was, with the agreement of these approver groups.
    pub fn decide(&self, bundle: &Bundle, approved_by: &BTreeSet<String>) -> Decision {
        policy::decide(
            bundle,
            &Request {
                identity: &self.identity,
                database: &self.database,
                context: Context {
                    statement: StatementFacts {
                        command: &self.command,
                        has_where: self.has_where,
                        row_locks: self.row_locks,
                    },
                    session: SessionFacts {
                        application_name: &self.application_name,
                        client_address: self.address,
                        tls: self.tls,
                        method: self.method,
                    },
                    now: self.time,
                    approved_by,
                },
                touches: &self.touches,
            },
        )
    }
}

/// What only the record of a session's beginning says.
#[derive(Clone)]
struct Began {
    name: Option<String>,
    attributes: BTreeMap<String, String>,
    method: Method,
    tls: bool,
}

/// Reads records in order, and remembers what later ones leave out. Its memory is bounded.
#[derive(Default)]
pub struct Recording {
    /// Whether a connection is encrypted.
    connected: HashMap<String, bool>,
    sessions: HashMap<String, Began>,
    approvals: HashMap<u64, BTreeSet<String>>,
}

impl Recording {
    /// Takes a record's payload; gives the statement, if it is the record of one.
    pub fn take(&mut self, seq: u64, time: SystemTime, record: &Value) -> Option<Result<Recorded, Unread>> {
        let session = text(record, "session");
        match text(record, "event") {
            "connected" => {
                bound(&mut self.connected);
                self.connected
                    .insert(session.to_owned(), record.get("tls").is_some_and(|tls| !tls.is_null()));
            }
            "session_started" => self.began(session, record),
            "disconnected" => {
                self.connected.remove(session);
                self.sessions.remove(session);
            }
            "approval_used" => {
                if let Some(number) = record.get("approval").and_then(Value::as_u64) {
                    bound(&mut self.approvals);
                    self.approvals.entry(number).or_default().extend(texts(record.get("approved_by")));
                }
            }
            "statement" => return Some(self.statement(seq, time, record)),
            _ => {}
        }
        None
    }

    fn began(&mut self, session: &str, record: &Value) {
        let identity = record.get("identity").unwrap_or(&Value::Null);
        let attributes = identity.get("attributes").and_then(Value::as_object).into_iter().flatten();
        let attributes =
            attributes.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let word = text(record, "method");
        let began = Began {
            name: identity.get("name").and_then(Value::as_str).map(str::to_owned),
            attributes: attributes.collect(),
            method: Method::ALL.into_iter().find(|method| method.as_str() == word).unwrap_or(Method::Token),
            tls: self.connected.get(session).copied().unwrap_or(false),
        };
        bound(&mut self.sessions);
        self.sessions.insert(session.to_owned(), began);
    }

    fn statement(&self, seq: u64, time: SystemTime, record: &Value) -> Result<Recorded, Unread> {
        let decision = record.get("decision").filter(|it| it.is_object()).ok_or(Unread::Form)?;
        let refused = text(record, "sqlstate");
        // SECURITY: without all that it touches, nothing can be said of it.
        let recorded = decision.get("touches").and_then(Value::as_array).filter(|all| !all.is_empty());
        if refused == "0A000" || refused == "42601" || recorded.is_none() {
            return Err(Unread::NotUnderstood);
        }
        let session = text(record, "session");
        let began = self.sessions.get(session);
        let mut exact = decision.get("has_where").is_some() && began.is_some();
        let mut touches = Vec::new();
        for touch in recorded.into_iter().flatten() {
            read_touch(touch, &mut touches, &mut exact).ok_or(Unread::Form)?;
        }
        let approval = record.get("approval").and_then(Value::as_u64);
        let approved = approval.and_then(|number| self.approvals.get(&number)).cloned();
        let met = match (text(record, "verdict"), refused.is_empty(), approved) {
            ("deny", _, _) => Met::Refused,
            ("hold", _, _) => Met::Held,
            (_, false, Some(_)) => Met::Held,
            (_, _, Some(by)) => Met::Approved(by),
            ("allow" | "mask" | "observed-mask", _, None) => Met::Passed,
            ("observed-deny" | "observed-hold", _, None) => Met::Observed,
            _ => return Err(Unread::Form),
        };
        let masks = decision.get("masks").and_then(Value::as_array).into_iter().flatten();
        let client = text(record, "client").parse::<SocketAddr>().ok();
        let flag =
            |name: &str, otherwise: bool| decision.get(name).and_then(Value::as_bool).unwrap_or(otherwise);
        Ok(Recorded {
            seq,
            time,
            session: session.to_owned(),
            identity: identity(record.get("identity").ok_or(Unread::Form)?, began),
            database: text(record, "database").to_owned(),
            command: text(decision, "kind").to_owned(),
            text: sql::without_literals(text(record, "text")),
            met,
            masked: masks.map(|mask| text(mask, "column").to_owned()).collect(),
            touches,
            exact,
            has_where: flag("has_where", true),
            row_locks: flag("row_locks", false),
            application_name: text(record, "application_name").to_owned(),
            address: client.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |client| client.ip()),
            tls: began.is_none_or(|began| began.tls),
            method: began.map_or(Method::Token, |began| began.method),
        })
    }
}

fn bound<K, V>(known: &mut HashMap<K, V>) {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned))
}

fn identity(recorded: &Value, began: Option<&Began>) -> Identity {
    let party = |value: &Value| Party {
        issuer: text(value, "issuer").to_owned(),
        subject: text(value, "subject").to_owned(),
    };
    let Party { issuer, subject } = party(recorded);
    Identity {
        issuer,
        subject,
        name: began.and_then(|began| began.name.clone()),
        groups: texts(recorded.get("groups")).collect(),
        attributes: began.map(|began| began.attributes.clone()).unwrap_or_default(),
        token_id: recorded.get("token_id").and_then(Value::as_str).map(str::to_owned),
        on_behalf_of: recorded.get("on_behalf_of").filter(|it| it.is_object()).map(party),
    }
}

/// Reads what is touched in one way under one name; one touch for each column. `None`: it is of a form that isn't known.
fn read_touch(recorded: &Value, touches: &mut Vec<Touch>, exact: &mut bool) -> Option<()> {
    let action = Action::from_word(text(recorded, "action"))?;
    let name = text(recorded, "name");
    let mut add = |resource: Resource| touches.push(Touch { action, resource });
    match text(recorded, "kind") {
        "database" => add(Resource::Database),
        "schema" => add(Resource::Schema { name: name.to_owned() }),
        "function" => {
            let name = qualified(recorded, name)?;
            let facts = function(recorded.get("function"), &name, exact);
            add(Resource::Function { name, facts });
        }
        "relation" => {
            let name = qualified(recorded, name)?;
            let kind = match recorded.get("relation_kind").and_then(Value::as_str) {
                None => RelationKind::Table,
                Some(word) => RelationKind::from_word(word)?,
            };
            let temporary = recorded.get("temporary").and_then(Value::as_bool).unwrap_or(false);
            let persistence = if temporary { Persistence::Temporary } else { Persistence::Permanent };
            let facts = RelationFacts::new(&name, kind, persistence);
            let columns: Vec<String> = texts(recorded.get("columns")).collect();
            if columns.is_empty() {
                add(Resource::Relation { name, facts });
                return Some(());
            }
            let inherited = recorded.get("tags").and_then(Value::as_array);
            for column in columns {
                let of = inherited.into_iter().flatten().find(|it| text(it, "column") == column);
                let tags = of.into_iter().flat_map(|it| texts(it.get("tags"))).collect();
                add(Resource::Column { relation: name.clone(), column, tags, facts });
            }
        }
        _ => return None,
    }
    Some(())
}

fn qualified(recorded: &Value, name: &str) -> Option<QualifiedName> {
    let (schema, name) = match recorded.get("schema").and_then(Value::as_str) {
        Some(schema) => (schema, name.strip_prefix(schema)?.strip_prefix('.')?),
        None => name.split_once('.')?,
    };
    Some(QualifiedName { schema: schema.to_owned(), name: name.to_owned() })
}

/// What isn't recorded of a function is taken as what can do most.
fn function(recorded: Option<&Value>, name: &QualifiedName, exact: &mut bool) -> FunctionFacts {
    let Some(recorded) = recorded else {
        *exact = false;
        return assumed(name);
    };
    let flag = |name: &str| recorded.get(name).and_then(Value::as_bool).unwrap_or(false);
    FunctionFacts::noted(Noted {
        builtin: flag("builtin"),
        dynamic: flag("dynamic"),
        volatility: Volatility::from_word(text(recorded, "volatility")).unwrap_or(Volatility::Volatile),
        security: if flag("definer") { FunctionSecurity::Definer } else { FunctionSecurity::Invoker },
        class: FunctionClass::from_word(text(recorded, "class")).unwrap_or(FunctionClass::Unknown),
    })
}

/// Of a name alone: the overload that can do most, as in a bundle's tests.
fn assumed(name: &QualifiedName) -> FunctionFacts {
    let builtin = name.schema == "pg_catalog";
    FunctionFacts::new(&policy::Declared {
        name,
        oid: if builtin { model::Oid(1) } else { model::Oid::FIRST_NORMAL },
        arguments: None,
        language: if builtin { policy::Language::Internal } else { policy::Language::Procedural },
        volatility: Volatility::Volatile,
        security: FunctionSecurity::Invoker,
    })
}
