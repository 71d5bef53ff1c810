//! What a bundle's `[tags]` name, and what the database has: tags follow columns that are renamed, and somebody must be told.
//!
//! Knows catalogs and bundles; runs no query.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use audit::Event;
use model::QualifiedName;
use policy::{Bundle, TagPattern};
use session::{Catalog, Relation};

use crate::gateway::{Gateway, Served};

/// Lists the patterns in a bundle's `[tags]` that match no column: mistakes, or columns that have gone.
pub(crate) fn without_column<'b>(
    catalog: &Catalog,
    bundle: &'b Bundle,
) -> impl Iterator<Item = &'b TagPattern> {
    let mut schemas: HashMap<&str, HashMap<&str, Vec<&Relation>>> = HashMap::new();
    for (_, relation) in catalog.relations() {
        let QualifiedName { schema, name } = &relation.name;
        schemas.entry(schema).or_default().entry(name).or_default().push(relation);
    }
    let has = move |pattern: &TagPattern| {
        let Some(relations) = schemas.get(pattern.schema()) else { return false };
        let any =
            |relation: &&Relation| relation.columns.iter().any(|c| pattern.matches(&relation.name, &c.name));
        match pattern.relation() {
            Some(name) => relations.get(name).is_some_and(|relations| relations.iter().any(any)),
            None => relations.values().flatten().any(any),
        }
    };
    let missing: Vec<&TagPattern> = bundle.tag_patterns().iter().filter(|pattern| !has(pattern)).collect();
    missing.into_iter()
}

/// Keeps a snapshot that was begun at `taken`, when the epoch was `epoch`, and sees to it that tags follow what was renamed since the
/// one before it.
pub(crate) fn keep(
    served: &Served,
    bundle: &Bundle,
    mut catalog: Catalog,
    epoch: u64,
    taken: Instant,
) -> Arc<Catalog> {
    if let Some(before) = served.database.past() {
        let words = |relation: &_, column: &_| -> Vec<String> {
            bundle.tags(relation, column).into_iter().map(|tag| tag.as_str().to_owned()).collect()
        };
        catalog.succeed(&before, words);
    }
    let catalog = Arc::new(catalog);
    served.database.set_catalog(catalog.clone(), epoch, taken);
    catalog
}

/// Says, once for each and loudly, which columns that the bundle in force tags have gone or are called otherwise.
pub(crate) fn watch(gateway: &Gateway, served: &Served, catalog: &Catalog) {
    let bundle = served.bundle();
    for (kind, detail) in lost(catalog, &bundle) {
        if !served.tell_once(format!("{} {kind} {detail}", hex::encode(bundle.hash()))) {
            continue;
        }
        let database = served.config.name.as_str();
        tracing::error!(database, kind, detail, "what [tags] of the policy names isn't there any more");
        let event = Event::Incident {
            session: None,
            statement: None,
            identity: None,
            database: Some(database),
            kind,
            detail: &detail,
        };
        if let Err(error) = gateway.record(&event) {
            tracing::error!(%error, database, "that a tagged column has gone can't be recorded");
        }
    }
}

fn lost(catalog: &Catalog, bundle: &Bundle) -> Vec<(&'static str, String)> {
    let missing = without_column(catalog, bundle);
    let said = missing.map(|pattern| {
        let now: Vec<String> = catalog
            .renamed()
            .filter(|((relation, column), _)| pattern.matches(relation, column))
            .map(|(_, (relation, column))| format!("\"{relation}.{column}\""))
            .collect();
        if now.is_empty() {
            let what = format!("[tags] \"{pattern}\": no column matches any more, so nothing is masked by it");
            return ("tag_vanished", what);
        }
        let what = format!(
            "[tags] \"{pattern}\": the column is called {} now; its tags follow it until the policy is loaded again, which \
             will then be refused: mend the name",
            now.join(", ")
        );
        ("tag_renamed", what)
    });
    said.collect()
}
