//! Spans of what the gateway does, for a collector of OpenTelemetry. Decides nothing, and nothing waits for it.
//!
//! SECURITY: spans leave the gateway, to where fewer people are kept out. No text of a statement, no parameter, no value, no token, no identity, no
//! address of a client and nothing else that a client made up is in them. Names are those of the configuration and of the database's
//! catalog. The session's number leads to the audit, which has all that, for those who may read it.

mod request;
mod session;
mod statement;

use std::sync::Arc;
use std::time::Duration;

use model::SessionId;
use otlp::{Exporter, Ratio, Settings, Span, SpanIds, TraceId};

pub(crate) use self::request::RequestSpan;
pub(crate) use self::session::{At, SessionTrace, Step, To};
use crate::secrets;

/// At the end, for what waits to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// Makes spans and has them sent.
pub(crate) struct Traces {
    exporter: Exporter,
    sessions: Ratio,
    statements: Ratio,
}

impl Traces {
    /// Begins to send where that is configured. `instance`: which gateway it is.
    ///
    /// # Errors
    /// The operator's: what is wrong with `telemetry.otlp`.
    pub(crate) fn start(config: &config::Otlp, instance: &str) -> Result<Self, String> {
        let ca = match &config.ca {
            None => None,
            Some(path) => {
                Some(std::fs::read(path).map_err(|error| format!("ca: {}: {error}", path.display()))?)
            }
        };
        let headers = config.headers.clone();
        let settings = Settings {
            endpoint: config.endpoint.clone(),
            timeout: config.timeout,
            ca,
            resource: vec![
                ("service.name", config.service.clone()),
                ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
                ("service.instance.id", instance.to_owned()),
            ],
            headers: Box::new(move || {
                let headers = headers.clone();
                Box::pin(async move {
                    let mut fetched = Vec::new();
                    for (name, reference) in headers {
                        let secret = secrets::resolve(&reference).await;
                        fetched.push((name, secret.map_err(|error| oidc::chain(&error))?));
                    }
                    Ok(fetched)
                })
            }),
        };
        let exporter = Exporter::start(settings).map_err(|error| format!("ca: {}", error.0))?;
        Ok(Self {
            exporter,
            sessions: Ratio::new(config.sample.get()),
            statements: Ratio::new(config.sample_statements.get()),
        })
    }

    /// Begins the trace of a session, if it is one of those that have one.
    pub(crate) fn session(self: &Arc<Self>, id: SessionId, at: At) -> Option<Box<SessionTrace>> {
        // A session's number is random, and so is its trace's: they are the same.
        let trace = TraceId::new(id.0)?;
        self.sessions.takes(trace.lot()).then(|| Box::new(SessionTrace::new(self.clone(), trace, at)))
    }

    /// Returns which statements of a traced session are traced, by their numbers.
    fn sample(&self, lot: u64) -> Option<::session::Sample> {
        let statements = self.statements;
        if statements.is_none() {
            return None;
        }
        Some(Arc::new(move |number| statements.takes(SpanIds::new(lot.rotate_left(32) ^ number).number())))
    }

    fn send(&self, spans: Vec<Span>) {
        self.exporter.send(spans);
    }

    /// Returns what became of spans.
    pub(crate) fn counts(&self) -> &otlp::Counts {
        self.exporter.counts()
    }

    /// Sends what waits, within a few seconds.
    pub(crate) async fn close(&self) {
        self.exporter.close(FLUSH).await;
    }
}
