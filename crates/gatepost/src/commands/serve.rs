//! `gatepost serve`: runs the gateway. All of it is in `server`.

use std::path::Path;

use crate::failure::{Failure, Status};
use crate::logging::{self, LogFormat};
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, log_format: LogFormat) -> Result<Status, Failure> {
    logging::start(log_format)?;
    let path = settings::path(config);
    let config = settings::load(config)?;
    tracing::info!(config = %path.display(), version = env!("CARGO_PKG_VERSION"), "gatepost starts");
    for warning in &config.warnings {
        tracing::warn!(config = %path.display(), "{warning}");
    }
    server::serve(config).await.map_err(|error| Failure::of(&error))?;
    Ok(Status::Success)
}
