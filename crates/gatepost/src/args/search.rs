//! The arguments of searches over the index: `audit search`, `audit reindex`, `sessions search`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use index::Fingerprint;
use model::SessionId;

use super::{Filter, VERDICTS};
use crate::output::{Format, RecordFormat};

/// A journal and its index.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The journal's folder [default: that of the configuration]
    #[arg(long, value_name = "DIR", requires = "index")]
    pub(crate) journal: Option<PathBuf>,
    /// The index [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    pub(crate) index: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) filter: Filter,
    #[command(flatten)]
    pub(crate) statements: Statements,
    /// A group of whoever did it
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// The number of a request for approval
    #[arg(long, value_name = "NUMBER")]
    pub(crate) approval: Option<u64>,
    #[command(flatten)]
    pub(crate) period: Period,
    /// At most so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,
    /// How records are printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: RecordFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Period {
    /// Not before this: a time (2026-11-23T10:00:00Z), or how long ago (15m, 2h, 7d)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this: a time, or how long ago
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// What only statements have.
#[derive(Debug, Default, Args)]
pub(crate) struct Statements {
    /// A column that was touched: "schema.relation.column", or "relation.column"
    #[arg(long, value_name = "NAME")]
    pub(crate) column: Option<String>,
    /// A rule that determined the verdict, by its id
    #[arg(long, value_name = "ID")]
    pub(crate) rule: Option<String>,
    /// What the client was told, or the server said
    #[arg(long, value_name = "SQLSTATE")]
    pub(crate) sqlstate: Option<String>,
    /// What texts have in common that differ in literals alone, as JSON shows it
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The same, of a text as an example: statements that differ from it in literals alone
    #[arg(long, value_name = "SQL", conflicts_with = "fingerprint")]
    pub(crate) like: Option<String>,
    /// So many rows at least, returned or copied
    #[arg(long, value_name = "COUNT")]
    pub(crate) rows_min: Option<u64>,
    /// So many rows at most
    #[arg(long, value_name = "COUNT")]
    pub(crate) rows_max: Option<u64>,
    /// So long at least, from forwarding to the end: 500ms, 2s, 5m
    #[arg(long, value_name = "TIME", value_parser = took)]
    pub(crate) duration_min: Option<Duration>,
    /// So long at most
    #[arg(long, value_name = "TIME", value_parser = took)]
    pub(crate) duration_max: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Reindex {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Change nothing: say how the index stands, and read all of it; exit status 1 if it is damaged
    #[arg(long)]
    pub(crate) check: bool,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SessionSearch {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Who: "issuer:subject", or the subject alone
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) identity: Option<String>,
    /// For whom it acted: "issuer:subject", or the subject alone
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) on_behalf_of: Option<String>,
    /// A group of the identity
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// The database as clients name it
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// The session: 32 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = super::session)]
    pub(crate) session: Option<SessionId>,
    #[command(flatten)]
    pub(crate) period: Period,
    /// With so many refusals at least
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) refused: Option<u64>,
    /// With so many statements at least that were approved, or refused for want of approval
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) held: Option<u64>,
    /// With so many errors at least
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) failed: Option<u64>,
    /// That there is a recording of
    #[arg(long)]
    pub(crate) recorded: bool,
    /// With a statement that touched this relation: "schema.name", or the name alone
    #[arg(long, value_name = "NAME")]
    pub(crate) relation: Option<String>,
    /// With a statement about which this was decided
    #[arg(long, value_name = "VERDICT", value_parser = VERDICTS)]
    pub(crate) verdict: Option<String>,
    /// With a statement whose text contains this, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) statements: Statements,
    /// At most so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,
    /// How sessions are printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

fn took(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1.0e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let read = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    read.ok_or_else(|| "must be a time: 500ms, 2s, 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::took;

    #[test]
    fn times_have_units() {
        assert_eq!(took("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(took("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(took("2m"), Ok(Duration::from_secs(120)));
        for text in ["5", "s", "-1s", "NaNs", "infs"] {
            assert!(took(text).is_err(), "{text}");
        }
    }
}
