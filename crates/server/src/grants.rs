//! What can be granted in a database, asked through a connection that may see the catalog. Knows which queries to run, not what their
//! answers mean.

use std::sync::Arc;

use session::{Catalog, Grantable, Privileged};

use crate::catalog::{LIMITS, LoadError};
use crate::upstream::Upstream;

/// Reads what a snapshot of the catalog lacks for grants, as of one moment. The connection must be outside a transaction, and is so
/// again. What is younger than the snapshot is left out.
///
/// # Errors
/// See [`LoadError`]: the connection is to be given up.
pub async fn read(upstream: &mut Upstream, catalog: &Arc<Catalog>) -> Result<Grantable, LoadError> {
    let mut grantable = Grantable::new(catalog.clone(), upstream.version_major).ok_or(LoadError::Version)?;
    let transaction_timeout =
        if upstream.version_major >= 17 { "; SET LOCAL transaction_timeout TO 0" } else { "" };
    // With this search_path names of types are written with their schemas.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout TO 0; \
         SET LOCAL lock_timeout TO 0; SET LOCAL search_path TO pg_catalog{transaction_timeout}"
    );
    upstream.query(&begin).await?;
    for of in Privileged::all() {
        let add = |row| grantable.add(of, row).map_err(LoadError::from);
        upstream.query_each(&of.query(), LIMITS, add).await?;
    }
    upstream.query("COMMIT").await?;
    Ok(grantable)
}
