//! Corpora whose queries need no more than a schema and a search_path.

use std::path::{Path, PathBuf};
use std::{env, fs};

use testkit::postgres::{Cluster, Options, SUPERUSER, Version};

use super::judge::{Setting, Tally, judge};
use super::server::{ROLES, Server};

/// A query and where its names are looked up.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) search_path: String,
    pub(crate) sql: String,
}

/// A schema and the queries over it.
pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) schema: String,
    pub(crate) queries: Vec<Query>,
}

/// The public corpus's folder; from the environment, or beside the repository.
fn spider_folder() -> PathBuf {
    env::var_os("ORACLE_SPIDER").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/assets/spider-dev")),
        PathBuf::from,
    )
}

/// Reads the public corpus.
///
/// # Panics
/// It isn't there.
pub(crate) fn spider() -> Corpus {
    let folder = spider_folder();
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{path:?}: {error}; ORACLE_SPIDER names the folder of schema.sql and queries.jsonl")
        })
    };
    let queries = read("queries.jsonl");
    let queries = queries.lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Query { name: text("id"), search_path: format!("\"{}\"", text("search_path")), sql: text("sql") }
    });
    Corpus { name: "Spider", schema: read("schema.sql"), queries: queries.collect() }
}

/// Analytics in the manner of the common benchmarks: own schema, own queries.
pub(crate) fn analytics() -> Corpus {
    let queries = named_queries(include_str!("analytics/queries.sql"), "public");
    Corpus { name: "Analytics", schema: include_str!("analytics/schema.sql").to_owned(), queries }
}

/// Queries that were once misjudged.
#[cfg(test)]
pub(crate) fn findings(version: Version) -> Corpus {
    let queries = named_queries(include_str!("generate/findings.sql"), "public");
    Corpus { name: "Findings", schema: super::generate::schema(version.major()), queries }
}

/// That many generated queries.
pub(crate) fn generated(seed: u64, count: u64, version: Version) -> Corpus {
    let major = version.major();
    let query = |number: u64| Query {
        name: format!("seed {seed}, query {number}"),
        search_path: "public".to_owned(),
        sql: super::generate::statement(seed, number, major),
    };
    Corpus {
        name: "Generated",
        schema: super::generate::schema(major),
        queries: (0..count).map(query).collect(),
    }
}

/// Prints queries as `gatepost policy explain --batch` takes them.
pub(crate) fn print(corpus: &Corpus) {
    for Query { name, search_path, sql } in &corpus.queries {
        println!("{}", serde_json::json!({ "id": name, "search_path": search_path, "sql": sql }));
    }
}

/// Splits a file of queries: each after a line `-- name`.
fn named_queries(text: &str, search_path: &str) -> Vec<Query> {
    let parts = text.split("\n-- ").skip(1);
    parts
        .map(|part| {
            let (name, sql) = part.split_once('\n').expect("a name and a query");
            let sql = sql.trim().trim_end_matches(';').to_owned();
            Query { name: name.to_owned(), search_path: search_path.to_owned(), sql }
        })
        .collect()
}

/// Starts a cluster for the oracle.
pub(crate) fn cluster(version: Version) -> Cluster {
    let cluster = Cluster::start(version, Options::default().setting("log_min_messages", "fatal"));
    cluster.psql(ROLES);
    cluster
}

/// Makes a corpus's schema in a database of its own.
pub(crate) fn prepare(cluster: &Cluster, corpus: &Corpus) -> (Server, usize) {
    let database = corpus.name.to_lowercase();
    cluster.fresh_database(&database, SUPERUSER);
    let mut server = Server::new(cluster.connect(&database), cluster.version(), super::bundle());
    server.raw.rows(&corpus.schema);
    server.set_up();
    server.raw.rows("SELECT gatepost_oracle.close_functions(), gatepost_oracle.open_schemas()");
    server.load_catalog("c.relkind IN ('r','v','m','f','p','S','c')", "true");
    let protected = server.raw.rows(
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.oid >= 16384 AND c.relkind IN ('r','v','m','p','f')",
    );
    (server, protected.parse().expect("a number"))
}

/// Asks about every query of a corpus, in a database of its own.
pub(crate) fn ask(cluster: &Cluster, corpus: &Corpus) -> Tally {
    let (mut server, protected) = prepare(cluster, corpus);
    let mut tally = Tally::default();
    for query in &corpus.queries {
        let before = format!(
            "BEGIN; SET LOCAL search_path TO {}; SET LOCAL statement_timeout TO '20s'",
            query.search_path
        );
        let setting = Setting { before: &before, after: "ROLLBACK", functions: true };
        let outcome = judge(&mut server, &query.sql, &query.sql, &setting);
        tally.add(&format!("{}: {}", query.name, query.sql), &outcome, protected);
    }
    tally
}

/// Returns a path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
