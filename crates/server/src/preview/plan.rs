//! What the planner would do with the statement of a request, by a plain EXPLAIN with its parameters. Runs nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use approval::{Ask, Number, shown};
use audit::Time;
use schemars::JsonSchema;
use serde::Serialize;

use super::second::{Second, Whom, database};
use super::text::{Run, runs};
use super::{NotShown, Previews, tables};
use crate::gateway::Gateway;
use crate::upstream::{Bound, QueryLimits};

/// How long the server may plan.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const LIMITS: QueryLimits =
    QueryLimits { rows_max: 10_000, bytes_max: 4 << 20, timeout: Duration::from_secs(8) };

/// A plan.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Plan {
    /// EXPLAIN's lines, with everything marked that is marked in texts: they hold what the statement says.
    pub lines: Vec<Vec<Run>>,
    /// Whether costs and numbers of rows are told. They are not where the statement touches columns that the requester sees masked: the
    /// planner knows values.
    pub estimates: bool,
    /// When it was asked for, RFC 3339. What a session does later may be planned otherwise.
    pub at: String,
}

/// Returns the plan of a request's statement, as it was when it was first asked for.
pub(crate) async fn plan(gateway: &Arc<Gateway>, number: Number, ask: &Ask) -> Result<Arc<Plan>, NotShown> {
    let previews: &Arc<Previews> = &gateway.previews;
    let turn = previews.planning.acquire().await;
    let _turn = turn.map_err(|error| NotShown::Gateway(error.to_string()))?;
    // Somebody else may have asked meanwhile.
    if let Some(plan) = previews.known_plan(number.0) {
        return Ok(plan);
    }
    let mut second = Second::open(gateway, &ask.database, Whom::of(gateway, ask)).await?;
    let plan = Arc::new(explain(&mut second, ask).await?);
    second.close().await;
    previews.keep_plan(number.0, &plan);
    Ok(plan)
}

async fn explain(second: &mut Second, ask: &Ask) -> Result<Plan, NotShown> {
    // SECURITY: read only, and never committed: nothing that planning may run can write.
    let milliseconds = STATEMENT_TIMEOUT.as_millis();
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout TO {milliseconds}; \
         SET LOCAL lock_timeout TO 1000; SET LOCAL idle_in_transaction_session_timeout TO 20000"
    );
    second.run(&begin).await.map_err(database)?;
    let (examined, bounds) = second.examine_asked(ask).await?;
    let mut stops = examined.planning(&second.probe.catalog()).map_err(NotShown::Impossible)?;
    let types = tables::types_query(examined.made_types(), &BTreeSet::new());
    stops.extend(tables::types_stop(&second.run(&types).await.map_err(database)?));
    if let [first, ..] = stops.as_slice() {
        return Err(NotShown::Impossible(format!("planning it could already run something: {first}")));
    }
    second.is_same(ask, &examined, &bounds)?;
    let masked = ask.touches.iter().any(|touch| touch.mask.is_some());
    let options = if masked { "FORMAT TEXT, COSTS OFF" } else { "FORMAT TEXT" };
    let sql = format!("EXPLAIN ({options}) {}", ask.statement.text);
    let mut lines = Vec::new();
    let bound = Bound { sql: &sql, types: &bounds.types, values: &bounds.values };
    let line = |row: Vec<Option<Vec<u8>>>| {
        let text = row.into_iter().next().flatten().unwrap_or_default();
        lines.push(runs(shown::plain(&String::from_utf8_lossy(&text))));
    };
    second.probe.upstream().run_bound(bound, LIMITS, line).await.map_err(database)?;
    second.run("ROLLBACK").await.map_err(database)?;
    Ok(Plan { lines, estimates: !masked, at: Time::from(SystemTime::now()).to_string() })
}
