//! Two locks, each by itself: every query of a corpus, and every column that it touches taken out of the policy.
//!
//! The first lock is Gatepost's decision, asked over a superuser's connection. The second is PostgreSQL's own check, of a role that has
//! what `policy::grants` derives from the same policy, with no gateway before it: whatever would be decided is let through. Each must refuse what the
//! policy leaves out, and the second must let through what it doesn't.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use model::{Identity, Method, QualifiedName};
use policy::grants::{self, Grants, Objects};
use policy::{Bundle, Context, Request, Resource, SessionFacts, StatementFacts, Touch, Verdict};
use session::{Grantable, Privileged};
use testkit::postgres::{Cluster, SUPERUSER};
use testkit::scratch::Scratch;

use super::corpus::{Corpus, Query};
use super::server::Server;

const DATABASE: &str = "oracle";
const ROLE: &str = "gatepost_oracle_scope";
const DENIED: &str = "42501";

/// What became of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Locked {
    /// Queries that PostgreSQL accepts of the role that has everything granted.
    pub(crate) queries: usize,
    /// Columns that they touch, each left out of the policy once.
    pub(crate) columns: usize,
    /// Pairs of a query and a column left out, refused by Gatepost's decision.
    pub(crate) decided: usize,
    /// The same pairs, refused by PostgreSQL.
    pub(crate) denied: usize,
    /// The same pairs, of which the planner removed what would be checked: nothing is read.
    pub(crate) dropped: usize,
    /// What a lock let through that it must not, with its query.
    pub(crate) open: Vec<(String, String)>,
    /// What PostgreSQL refused though the policy allows it.
    pub(crate) narrow: Vec<(String, String)>,
}

/// A query, and what it touches.
struct Read<'c> {
    query: &'c Query,
    touches: Vec<Touch>,
}

/// Asks both locks about every query of a corpus, in a database of its own; each `nth` column that is touched is left out once.
pub(crate) fn try_both(cluster: &Cluster, corpus: &Corpus, nth: usize) -> Locked {
    let database = format!("locks_{}", corpus.name.to_lowercase());
    cluster.fresh_database(&database, SUPERUSER);
    let mut server = Server::new(cluster.connect(&database), cluster.version(), super::bundle());
    server.raw.rows(&corpus.schema);
    server.raw.rows(&format!("DROP ROLE IF EXISTS {ROLE}; CREATE ROLE {ROLE}"));
    server.raw.rows(
        "DO $$ DECLARE s name; BEGIN FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' \
         AND nspname <> 'information_schema' LOOP EXECUTE format('REVOKE ALL ON SCHEMA %1$I FROM PUBLIC; \
         REVOKE ALL ON ALL ROUTINES IN SCHEMA %1$I FROM PUBLIC; \
         REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM PUBLIC', s); END LOOP; END $$",
    );
    server.load_catalog("c.relkind IN ('r','v','m','f','p','S','c')", "true");
    let mut locked = Locked::default();
    let read: Vec<Read<'_>> = corpus.queries.iter().filter_map(|query| read(&mut server, query)).collect();
    let columns: BTreeMap<String, Column> = read.iter().flat_map(columns_of).collect();
    let paths: Vec<&str> = columns.keys().map(String::as_str).collect();
    let (_folder, bundle) = policy_without(&paths);
    let objects = objects(&mut server, &bundle);
    let full = grants::derive(&bundle, &identity(None), &objects);
    give(&mut server, &full);
    // The second lock lets through what the policy allows.
    let accepted: Vec<&Read<'_>> = read
        .iter()
        .filter(|read| match plan(&mut server, read.query) {
            Ok(_) => true,
            Err(code) if code == DENIED && is_valid(&mut server, read.query) => {
                locked.narrow.push((said(read.query), "the role that has everything is refused".to_owned()));
                false
            }
            Err(_) => false,
        })
        .collect();
    locked.queries = accepted.len();
    let mut by_column: BTreeMap<String, Vec<&Read<'_>>> = BTreeMap::new();
    for read in &accepted {
        for column in columns_of(read).into_keys() {
            by_column.entry(column).or_default().push(read);
        }
    }
    for (column, queries) in by_column.iter().step_by(nth) {
        locked.columns += 1;
        let place = paths.binary_search(&column.as_str()).expect("a column of the policy");
        let who = identity(Some(place));
        let less = full.change_to(&grants::derive(&bundle, &who, &objects));
        server.raw.query("BEGIN");
        for sql in less.revoke.revocations(ROLE).into_iter().chain(less.grant.statements(ROLE)) {
            server.raw.rows(&sql);
        }
        let held = held(&mut server, &columns[column]);
        if !held.is_empty() {
            locked.open.push((column.clone(), format!("the role holds {held}")));
        }
        for read in queries {
            let pair = || (said(read.query), format!("without {column}"));
            match decide(&bundle, &who, &read.touches) {
                Verdict::Deny => locked.decided += 1,
                verdict => locked.open.push((pair().0, format!("{}: {verdict:?}", pair().1))),
            }
            server.raw.query("SAVEPOINT one");
            match plan(&mut server, read.query) {
                Err(code) if code == DENIED => locked.denied += 1,
                // Nothing of the column is granted, so nothing that is planned needs it.
                Ok(()) => locked.dropped += 1,
                other => locked.open.push((pair().0, format!("{}: PostgreSQL: {other:?}", pair().1))),
            }
            server.raw.query("ROLLBACK TO SAVEPOINT one");
        }
        server.raw.query("ROLLBACK");
    }
    // Or the role could not be made again for the next corpus.
    server.raw.rows(&format!("RESET ROLE; DROP OWNED BY {ROLE}"));
    locked
}

fn said(query: &Query) -> String {
    format!("{}: {}", query.name, query.sql)
}

fn identity(without: Option<usize>) -> Identity {
    let groups = without.map(|place| format!("without-{place}"));
    Identity {
        issuer: "oracle".to_owned(),
        subject: "agent".to_owned(),
        name: None,
        groups: groups.into_iter().chain(["everyone".to_owned()]).collect(),
        attributes: BTreeMap::new(),
        token_id: None,
        on_behalf_of: None,
    }
}

/// Makes a policy by which everyone may do everything, but that each group `without-N` may not touch the Nth of these columns.
fn policy_without(columns: &[&str]) -> (Scratch, Bundle) {
    let folder = Scratch::new("locks");
    folder.write("bundle.toml", "name = \"locks\"\nversion = \"1\"\n");
    let mut rules = "permit (principal in Group::\"everyone\", action, resource);\n".to_owned();
    for (place, path) in columns.iter().enumerate() {
        let path = path.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(
            rules,
            "forbid (principal in Group::\"without-{place}\", action, resource == Column::\"{path}\");"
        )
        .expect("a String");
    }
    folder.write("rules.cedar", rules);
    let bundle = policy::load(folder.path(), DATABASE).unwrap_or_else(|error| panic!("{error}"));
    (folder, bundle)
}

fn objects(server: &mut Server, bundle: &Bundle) -> Objects {
    let mut grantable =
        Grantable::new(server.catalog(), server.version.major()).expect("a version that is read");
    server.raw.query("BEGIN; SET LOCAL search_path TO pg_catalog");
    for of in Privileged::all() {
        for row in server.table(&of.query()) {
            grantable.add(of, row).expect("an answer");
        }
    }
    server.raw.query("ROLLBACK");
    grantable.objects(bundle, Instant::now())
}

fn give(server: &mut Server, grants: &Grants) {
    for statement in grants.statements(ROLE) {
        server.raw.rows(&statement);
    }
}

fn read<'c>(server: &mut Server, query: &'c Query) -> Option<Read<'c>> {
    server.raw.query(&format!("BEGIN; SET LOCAL search_path TO {}", query.search_path));
    let touches = server.touches(&query.sql);
    server.raw.query("ROLLBACK");
    touches.map(|touches| Read { query, touches })
}

/// A relation's name and a column's.
type Column = (QualifiedName, String);

/// The columns that a query touches, by how rules name them; PostgreSQL's own relations left out.
fn columns_of(read: &Read<'_>) -> BTreeMap<String, Column> {
    let own = |touch: &Touch| match &touch.resource {
        Resource::Column { facts, relation, column, .. } if !facts.system() => {
            Some((touch.resource.path(DATABASE), (relation.clone(), column.clone())))
        }
        _ => None,
    };
    read.touches.iter().filter_map(own).collect()
}

/// Which privileges PostgreSQL says that the role holds on a column.
fn held(server: &mut Server, (relation, column): &Column) -> String {
    let relation = model::quote_identifier(&relation.schema) + "." + &model::quote_identifier(&relation.name);
    let relation = super::server::literal(&relation);
    server.raw.rows(&format!(
        "SELECT coalesce(string_agg(p, ', '), '') FROM unnest('{{SELECT,INSERT,UPDATE,REFERENCES}}'::text[]) p \
         WHERE has_column_privilege('{ROLE}', {relation}::regclass, (SELECT a.attnum FROM pg_attribute a \
         WHERE a.attrelid = {relation}::regclass AND a.attname = {}), p)",
        super::server::literal(column)
    ))
}

fn decide(bundle: &Bundle, who: &Identity, touches: &[Touch]) -> Verdict {
    let context = Context {
        statement: StatementFacts { command: "SELECT", has_where: true, row_locks: false },
        session: SessionFacts {
            application_name: "oracle",
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: true,
            method: Method::Token,
        },
        now: SystemTime::UNIX_EPOCH,
        approved_by: &BTreeSet::new(),
    };
    policy::decide(bundle, &Request { identity: who, database: DATABASE, context, touches }).verdict
}

/// Has PostgreSQL plan a query as the role, and with that check its privileges; fails with the SQLSTATE.
fn plan(server: &mut Server, query: &Query) -> Result<(), String> {
    explain(server, query, &format!("SET LOCAL ROLE {ROLE}"))
}

fn is_valid(server: &mut Server, query: &Query) -> bool {
    explain(server, query, "RESET ROLE").is_ok()
}

fn explain(server: &mut Server, query: &Query, role: &str) -> Result<(), String> {
    server.raw.query(&format!(
        "BEGIN; SET LOCAL search_path TO {}; SET LOCAL statement_timeout TO '20s'; SAVEPOINT plan; {role}",
        query.search_path
    ));
    let messages = server.raw.query(&format!("EXPLAIN {}", query.sql));
    server.raw.query("ROLLBACK TO SAVEPOINT plan");
    match messages.iter().find(|message| message.tag == wire::backend::tag::ERROR_RESPONSE) {
        Some(error) => Err(error.field(b'C')),
        None => Ok(()),
    }
}

impl Server {
    /// Asks Gatepost what a query touches, inside the transaction that is open.
    pub(crate) fn touches(&mut self, sql: &str) -> Option<Vec<Touch>> {
        let bundle: Arc<Bundle> = super::bundle();
        let (examined, _) = self.examined(sql);
        examined.ok().map(|examined| examined.touches(&bundle))
    }
}
