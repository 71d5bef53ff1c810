//! What a database calls its objects, asked through a login's own connection. Knows which queries to run, not what their
//! answers mean.

use std::time::Duration;

use foldhash::HashSet;
use model::Oid;
use session::{Catalog, CatalogError, Row, Since};

use crate::upstream::{QueryError, QueryLimits, Upstream};

/// For a whole catalog: a hundred thousand tables of a hundred columns.
pub(crate) const LIMITS: QueryLimits =
    QueryLimits { rows_max: 10_000_000, bytes_max: 2 << 30, timeout: Duration::from_secs(120) };

/// Rows that are held before they are taken in.
const BATCH_ROWS: usize = 2_000;

/// Operators that came with the server are decided by the function that runs; only others need to be known
/// (`FirstNormalObjectId`, access/transam.h).
const OWN_OPERATORS: &str = "o.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid";

/// Why the catalog could not be read: the server's fault. The connection is to be given up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A query had no answer.
    #[error("the catalog can't be read")]
    Query(#[from] QueryError),
    /// An answer makes no sense.
    #[error("the catalog can't be understood")]
    Rows(#[from] CatalogError),
    /// The server's answer is no answer to what was asked.
    #[error("the server did not say what names mean for this login")]
    NameScope,
    /// The server is of a version whose catalog nobody has read.
    #[error("PostgreSQL of this version is not one that Gatepost can read; it reads 14 to 18")]
    Version,
    /// The server's answer is no list of OIDs.
    #[error("the server did not list its objects")]
    Oids,
}

/// Reads the catalog as of one moment. Of what has not changed since the snapshot `before`, nothing is read again. The connection must be
/// outside a transaction, and is so again.
///
/// # Errors
/// See [`LoadError`].
pub async fn load(upstream: &mut Upstream, before: Option<&Catalog>) -> Result<Catalog, LoadError> {
    // The client's own time limits are for its statements, not for this one.
    let transaction_timeout =
        if upstream.version_major >= 17 { "; SET LOCAL transaction_timeout TO 0" } else { "" };
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout TO 0; \
         SET LOCAL lock_timeout TO 0{transaction_timeout}"
    );
    upstream.query(&begin).await?;
    let since_rows = upstream.query(Catalog::SINCE_QUERY).await?;
    let (mut catalog, filters) = match before.and_then(|before| Some((before, before.since()?))) {
        Some((before, since)) if schemas_stand(upstream, since).await? => {
            (before.successor(), Filters::changed(since))
        }
        _ => (Catalog::default(), Filters::all()),
    };
    catalog.set_since(&since_rows)?;
    let mut relations = Batch::default();
    let query = Catalog::relations_query(&filters.relations);
    upstream.query_each(&query, LIMITS, |row| relations.add(row, &mut catalog)).await?;
    catalog.add_relations(&relations.rows)?;
    let mut functions = Vec::new();
    upstream
        .query_each(&Catalog::functions_query(&filters.functions), LIMITS, |row| {
            take_in(&mut functions, row, |rows| catalog.add_functions(rows))
        })
        .await?;
    catalog.add_functions(&functions)?;
    let mut operators = Vec::new();
    upstream
        .query_each(&Catalog::operators_query(OWN_OPERATORS), LIMITS, |row| {
            take_in(&mut operators, row, |rows| catalog.add_operators(rows))
        })
        .await?;
    catalog.add_operators(&operators)?;
    let mut definitions = Vec::new();
    upstream
        .query_each(&Catalog::definitions_query(Catalog::SNAPSHOT_DEFINITIONS), LIMITS, |row| {
            take_in(&mut definitions, row, |rows| catalog.add_definitions(rows))
        })
        .await?;
    catalog.add_definitions(&definitions)?;
    if before.is_some() {
        let relations = oids(upstream, "pg_catalog.pg_class").await?;
        let functions = oids(upstream, "pg_catalog.pg_proc").await?;
        catalog.retain(&relations, &functions);
    }
    upstream.query("COMMIT").await?;
    Ok(catalog)
}

/// Conditions on what is read.
struct Filters {
    relations: String,
    functions: String,
}

impl Filters {
    fn all() -> Self {
        Self { relations: Catalog::SNAPSHOT_RELATIONS.to_owned(), functions: "true".to_owned() }
    }

    fn changed(since: Since) -> Self {
        let newer = |table: &str, column: &str| {
            format!("SELECT x.{column} FROM pg_catalog.{table} x WHERE {}", since.changed("x"))
        };
        let changed = [
            newer("pg_class", "oid"),
            newer("pg_attribute", "attrelid"),
            newer("pg_inherits", "inhrelid"),
            newer("pg_attrdef", "adrelid"),
        ];
        Self {
            relations: format!("c.oid IN ({}) AND {}", changed.join(" UNION "), Catalog::SNAPSHOT_RELATIONS),
            functions: since.changed("p"),
        }
    }
}

/// Whether no schema was made or renamed, which changes the names of all that is in it.
async fn schemas_stand(upstream: &mut Upstream, since: Since) -> Result<bool, LoadError> {
    let query = format!("SELECT n.oid FROM pg_catalog.pg_namespace n WHERE {} LIMIT 1", since.changed("n"));
    Ok(upstream.query(&query).await?.is_empty())
}

/// What there is in a catalog.
async fn oids(upstream: &mut Upstream, catalog: &str) -> Result<HashSet<Oid>, LoadError> {
    let mut oids = HashSet::default();
    let take = |row: Row| {
        let oid = row.first().and_then(|oid| std::str::from_utf8(oid.as_deref()?).ok()?.parse().ok());
        oids.insert(Oid(oid.ok_or(LoadError::Oids)?));
        Ok::<(), LoadError>(())
    };
    upstream.query_each(&format!("SELECT x.oid FROM {catalog} x"), LIMITS, take).await?;
    Ok(oids)
}

/// Rows of relations: those of one relation, which are neighbours, must be taken in together.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
}

impl Batch {
    fn add(&mut self, row: Row, catalog: &mut Catalog) -> Result<(), LoadError> {
        let another = self.rows.last().is_some_and(|last| last.first() != row.first());
        if another && self.rows.len() >= BATCH_ROWS {
            catalog.add_relations(&self.rows)?;
            self.rows.clear();
        }
        self.rows.push(row);
        Ok(())
    }
}

fn take_in(
    batch: &mut Vec<Row>,
    row: Row,
    add: impl FnOnce(&[Row]) -> Result<(), CatalogError>,
) -> Result<(), LoadError> {
    batch.push(row);
    if batch.len() >= BATCH_ROWS {
        add(batch)?;
        batch.clear();
    }
    Ok(())
}

/// Says what decides, besides the catalog, which objects a statement's names mean for this login: who it is, where names
/// are looked for, and the settings that parse analysis reads. Logins with equal texts mean the same by the same names.
///
/// A login that was made for this session, and that has the rights of the role `stands_for` and no others, is said to be that
/// role. Then names must not be looked for in a schema of the login's own name, which others could make for one login and
/// not for another: `$user` is taken out of its `search_path`. (RESET puts it back, after which a session shares nothing.)
///
/// # Errors
/// See [`LoadError`].
pub async fn name_scope(upstream: &mut Upstream, stands_for: Option<&str>) -> Result<String, LoadError> {
    let mut row = name_facts(upstream).await?;
    let Some(stands_for) = stands_for else { return scope_of(&row) };
    let path = row.get(3).and_then(|path| std::str::from_utf8(path.as_deref()?).ok());
    if let Some(path) = path.and_then(without_user) {
        let set =
            format!("SELECT pg_catalog.set_config('search_path', {}, false)", model::quote_literal(&path));
        upstream.query(&set).await?;
        row = name_facts(upstream).await?;
    }
    // SECURITY: what was granted to this login alone, or is its own, would make its names mean what others' don't.
    let alone = upstream.query(OWN_RIGHTS).await?;
    if alone.is_empty() {
        for name in row.iter_mut().take(2) {
            *name = Some(stands_for.as_bytes().to_vec());
        }
    }
    scope_of(&row)
}

/// Has a row if the login has rights, objects or memberships beside its one membership.
const OWN_RIGHTS: &str = "SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) session_user AND (\
    EXISTS (SELECT FROM pg_catalog.pg_shdepend d WHERE d.refobjid OPERATOR(pg_catalog.=) r.oid \
        AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass) \
    OR (SELECT pg_catalog.count(*) FROM pg_catalog.pg_auth_members m \
        WHERE m.member OPERATOR(pg_catalog.=) r.oid) OPERATOR(pg_catalog.<>) 1)";

async fn name_facts(upstream: &mut Upstream) -> Result<Row, LoadError> {
    let mut rows = upstream
        .query(
            "SELECT current_user, session_user, pg_catalog.current_database(), \
             pg_catalog.current_setting('search_path'), \
             pg_catalog.current_schemas(true)::pg_catalog.text, \
             pg_catalog.current_setting('row_security'), \
             pg_catalog.current_setting('standard_conforming_strings'), \
             pg_catalog.current_setting('transform_null_equals')",
        )
        .await?;
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => Ok(row),
        _ => Err(LoadError::NameScope),
    }
}

/// Returns a `search_path` without `$user`, which stands for the schema with the login's name
/// (`preprocessNamespacePath`, catalog/namespace.c); `None` if it isn't in there.
fn without_user(path: &str) -> Option<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for c in path.chars() {
        quoted ^= c == '"';
        match names.last_mut() {
            Some(_) if c == ',' && !quoted => names.push(String::new()),
            Some(name) => name.push(c),
            None => {}
        }
    }
    let is_user = |name: &String| matches!(name.trim(), "\"$user\"" | "$user" | "$USER");
    names.iter().any(is_user).then(|| {
        let left: Vec<&str> = names.iter().filter(|name| !is_user(name)).map(|name| name.trim()).collect();
        left.join(", ")
    })
}

/// Joins the values so that no two rows give one text: each with its length before it.
fn scope_of(row: &Row) -> Result<String, LoadError> {
    let mut scope = String::new();
    for value in row {
        let value = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        let value = value.ok_or(LoadError::NameScope)?;
        scope.push_str(&format!("{}:{value},", value.len()));
    }
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_the_logins_name_is_taken_out_of_the_path() {
        for (path, left) in [
            ("\"$user\", public", Some("public")),
            ("public,$user ,\"a, b\"", Some("public, \"a, b\"")),
            ("\"$user\"", Some("")),
            ("public", None),
            ("\"a,$user\", public", None),
            ("\"x\"\"\", \"$user\"", Some("\"x\"\"\"")),
        ] {
            assert_eq!(without_user(path).as_deref(), left, "{path}");
        }
    }

    #[test]
    fn scopes_differ_where_any_value_does() {
        let scope = |values: &[&str]| {
            scope_of(&values.iter().map(|value| Some(value.as_bytes().to_vec())).collect()).unwrap()
        };
        assert_eq!(scope(&["app", "\"$user\", public"]), "3:app,15:\"$user\", public,");
        assert_ne!(scope(&["a,1:b", "c"]), scope(&["a", "b,1:c"]));
        assert_ne!(scope(&["", "a"]), scope(&["a", ""]));
        assert!(matches!(scope_of(&vec![None]), Err(LoadError::NameScope)));
        assert!(matches!(scope_of(&vec![Some(vec![0xff])]), Err(LoadError::NameScope)));
    }
}
