//! `gatepost audit streams`: how far streams have come. Reads files, whether a gateway runs or not.

use std::path::Path;

use journal::reader::Reader;

use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

pub(crate) fn run(config: Option<&Path>, format: Format) -> Result<Status, Failure> {
    let config = settings::load(config)?;
    if config.streams.is_empty() {
        return Err(Failure::usage("the configuration has no [[stream]]".to_owned()));
    }
    let names = config.streams.iter().map(|it| it.name.as_str());
    let standings = server::outgoing::standings(&config.state, names).map_err(|error| Failure::of(&error))?;
    let last = match Reader::open_at_end(&config.journal.path) {
        Ok(reader) => reader.position().0.saturating_sub(1),
        Err(error) => return Err(Failure::of(&error)),
    };
    let mut rows = Vec::new();
    for (stream, (name, standing)) in config.streams.iter().zip(standings) {
        let (tone, state) = match &standing {
            Some(it) if it.error.is_some() => (Tone::Bad, "failing"),
            Some(_) => (Tone::Good, "delivers"),
            None => (Tone::Warning, "never ran"),
        };
        let required = if stream.required { "required" } else { "optional" };
        let standing = standing.unwrap_or_default();
        let since = standing.error_since.map(|since| format!("since {since}: ")).unwrap_or_default();
        rows.push(vec![
            Cell::new(name),
            Cell::new(stream.kind.as_str()),
            Cell::new(required),
            Cell::toned(tone, state),
            Cell::new(standing.position),
            Cell::new(last.saturating_sub(standing.position)),
            Cell::new(standing.delivered),
            Cell::new(standing.at),
            Cell::new(standing.error.map(|error| format!("{since}{error}")).unwrap_or_default()),
        ]);
    }
    let heads = ["stream", "kind", "receipt", "state", "position", "behind", "delivered", "at", "error"];
    let mut out = Out::new();
    out.table(format, &heads, &rows)?;
    out.flush()?;
    Ok(Status::Success)
}
