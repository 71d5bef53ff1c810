//! `gatepost serve`: runs the gateway. All of it is in `server`.

use std::path::Path;

use crate::failure::{Failure, Status};
use crate::logging::{self, LogFormat};
use crate::output::Out;
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, log_format: LogFormat) -> Result<Status, Failure> {
    logging::start(log_format)?;
    let path = settings::path(config);
    let config = settings::load(config)?;
    let memory = server::memory::protect();
    match (&memory.dumps, &memory.locked) {
        (Ok(()), Ok(())) => tracing::info!(%memory, "secrets in memory are protected"),
        _ => tracing::warn!(%memory, "secrets in memory are protected as far as the system allows"),
    }
    tracing::info!(config = %path.display(), version = env!("CARGO_PKG_VERSION"), "gatepost starts");
    for warning in &config.warnings {
        tracing::warn!(config = %path.display(), "{warning}");
    }
    server::serve(config, &path, console::start, announce).await.map_err(|error| Failure::of(&error))?;
    Ok(Status::Success)
}

/// Says on standard output that clients may come, and where: one line of JSON, for whoever started the gateway.
fn announce(ready: &server::Ready) {
    let addresses: Vec<String> = ready.postgres.iter().map(ToString::to_string).collect();
    tracing::info!(postgres = addresses.join(", "), "ready");
    let mut out = Out::new();
    let http: Vec<String> = ready.http.iter().map(ToString::to_string).collect();
    let line = serde_json::json!({
        "event": "ready", "postgres": addresses.first(), "listen": addresses, "http": http.first(), "listen_http": http,
    });
    // Nobody may be reading.
    let _ = out.line(&line.to_string()).and_then(|()| out.flush());
}
