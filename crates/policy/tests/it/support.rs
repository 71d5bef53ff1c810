//! Bundles, identities and touches in few words.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::{Identity, Method, Oid, QualifiedName};
use policy::{
    Action, Bundle, Context, Decision, Declared, FunctionFacts, FunctionSecurity, Language, LoadError,
    Persistence, RelationFacts, RelationKind, Request, Resource, SessionFacts, StatementFacts, Touch,
    Volatility,
};

pub(crate) fn shop() -> Bundle {
    policy::load(&root().join("../../examples/shop/policy/shop"), "shop").unwrap()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Writes files into a folder and loads it as the policy of database `app`.
pub(crate) fn load(files: &[(&str, &str)]) -> Result<Bundle, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("b");
    for (path, text) in files {
        let path = bundle.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    policy::load(&bundle, "app")
}

pub(crate) const PLAIN: &str = "name = \"b\"\nversion = \"1\"\n";

/// A bundle of one file of rules and a manifest that begins with name and version.
pub(crate) fn bundle(manifest: &str, rules: &str) -> Bundle {
    match load(&[("bundle.toml", &format!("{PLAIN}{manifest}")), ("b.cedar", rules)]) {
        Ok(bundle) => bundle,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn identity(groups: &[&str]) -> Identity {
    Identity {
        issuer: "corp".to_owned(),
        subject: "agent-1".to_owned(),
        name: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        attributes: std::collections::BTreeMap::new(),
        token_id: None,
        on_behalf_of: None,
    }
}

/// A statement and the session it comes in.
pub(crate) struct Asking {
    pub(crate) identity: Identity,
    pub(crate) has_where: bool,
    pub(crate) approved_by: BTreeSet<String>,
    pub(crate) address: IpAddr,
    pub(crate) now: SystemTime,
    pub(crate) database: &'static str,
}

impl Asking {
    pub(crate) fn by(groups: &[&str]) -> Self {
        Self {
            identity: identity(groups),
            has_where: true,
            approved_by: BTreeSet::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_268_800),
            database: "app",
        }
    }

    pub(crate) fn of(self, database: &'static str) -> Self {
        Self { database, ..self }
    }

    pub(crate) fn approved(mut self, by: &[&str]) -> Self {
        self.approved_by = by.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub(crate) fn request<'a>(&'a self, touches: &'a [Touch]) -> Request<'a> {
        Request {
            identity: &self.identity,
            database: self.database,
            context: Context {
                statement: StatementFacts { command: "SELECT", has_where: self.has_where, row_locks: false },
                session: SessionFacts {
                    application_name: "test",
                    client_address: self.address,
                    tls: true,
                    method: Method::Token,
                },
                now: self.now,
                approved_by: &self.approved_by,
            },
            touches,
        }
    }

    pub(crate) fn decide(&self, bundle: &Bundle, touches: &[Touch]) -> Decision {
        policy::decide(bundle, &self.request(touches))
    }
}

pub(crate) fn name(schema: &str, name: &str) -> QualifiedName {
    QualifiedName { schema: schema.to_owned(), name: name.to_owned() }
}

pub(crate) fn column(action: Action, relation: &str, column: &str) -> Touch {
    let (schema, relation) = relation.split_once('.').unwrap();
    let relation = name(schema, relation);
    let facts = RelationFacts::new(&relation, RelationKind::Table, Persistence::Permanent);
    Touch {
        action,
        resource: Resource::Column { relation, column: column.to_owned(), tags: Vec::new(), facts },
    }
}

pub(crate) fn relation(action: Action, relation: &str) -> Touch {
    let (schema, relation) = relation.split_once('.').unwrap();
    let name = name(schema, relation);
    let facts = RelationFacts::new(&name, RelationKind::Table, Persistence::Permanent);
    Touch { action, resource: Resource::Relation { name, facts } }
}

pub(crate) fn function(path: &str, volatility: Volatility) -> Touch {
    let (schema, function) = path.split_once('.').unwrap();
    declared(name(schema, function), None, volatility)
}

/// A built-in function with those argument types.
pub(crate) fn overload(function: &str, arguments: Option<&str>, volatility: Volatility) -> Touch {
    declared(name("pg_catalog", function), arguments, volatility)
}

fn declared(name: QualifiedName, arguments: Option<&str>, volatility: Volatility) -> Touch {
    let oid = if name.schema == "pg_catalog" { Oid(1) } else { Oid::FIRST_NORMAL };
    let facts = FunctionFacts::new(&Declared {
        name: &name,
        oid,
        arguments,
        language: Language::Internal,
        volatility,
        security: FunctionSecurity::Invoker,
    });
    Touch { action: Action::Execute, resource: Resource::Function { name, facts } }
}

pub(crate) fn database(action: Action) -> Touch {
    Touch { action, resource: Resource::Database }
}
