//! `[telemetry]`: who may read the gateway's numbers. Sends nothing.

use std::fmt;

use crate::context::Context;
use crate::read::{Table, Value};

/// What monitoring may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Who may read `/metrics`.
    pub metrics: Metrics,
}

/// Who may read `/metrics`. Over the local socket it can be read in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nobody else.
    Local,
    /// Whoever has the role viewer or more, at `[listen] http`.
    Viewer,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Viewer => f.write_str("viewer"),
        }
    }
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Telemetry> {
    let metrics = table.value("metrics", context).and_then(|value| metrics(&value, context));
    Some(Telemetry { metrics: metrics? })
}

fn metrics(value: &Value<'_>, context: &mut Context<'_>) -> Option<Metrics> {
    let text = value.string(context)?;
    match text.as_str() {
        "local" => Some(Metrics::Local),
        "viewer" => Some(Metrics::Viewer),
        other => {
            context.error(value.span(), format!("metrics \"{other}\" is neither \"local\" nor \"viewer\""));
            None
        }
    }
}
