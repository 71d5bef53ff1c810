//! The command line: what may be written on it. Does nothing.

mod approvals;
mod archive;
pub(crate) mod evidence;
mod integrity;
mod recordings;
mod search;
pub(crate) mod traffic;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use model::SessionId;

pub(crate) use archive::Archive;
pub(crate) use search::{Files, Period, Reindex, Search, SessionSearch, Statements};

pub(crate) use approvals::{Approvals, Before, Decide, Delegations, ListRequests, OneRequest};
pub(crate) use integrity::{Keygen, Prove, Verify};

pub(crate) use recordings::{Export, ExportFormat, Recording, Replay, Show};

use crate::logging::LogFormat;
use crate::output::{Format, RecordFormat};

/// An identity-aware gateway for PostgreSQL.
///
/// Exit status: 0 success, 1 a failed check or other failure, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The configuration [default: $GATEPOST_CONFIG, then ./gatepost.toml]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway (a changed policy or SIGHUP: reload policies; SIGTERM: drain)
    Serve {
        /// How log lines are written to standard error; RUST_LOG filters them
        #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
        log_format: LogFormat,
    },
    /// Validate configuration, secrets, policies and their tests; with --connect, issuers and databases too
    Check {
        /// Also ask every issuer for its keys, log in to every database, and run the tests that have SQL
        #[arg(long)]
        connect: bool,
        /// How the findings are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Write a commented configuration and a starter policy; overwrites nothing
    Init {
        /// The folder to write to; made where it is missing
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Look at policy bundles
    #[command(subcommand)]
    Policy(Policy),
    /// Look at the live sessions of a running gateway, end them, and keep their owners out
    ///
    /// Asks over the gateway's local socket, as its user or root; or over HTTP, as whoever's token is in GATEPOST_TOKEN.
    #[command(subcommand)]
    Sessions(Sessions),
    /// Look after the channels by which approvers are told
    #[command(subcommand)]
    Notify(Notify),
    /// Look after the object stores
    #[command(subcommand)]
    Archive(Archive),
    /// See and decide what waits for approval
    #[command(subcommand)]
    Approvals(Approvals),
    /// Look at the audit trail; needs only its files
    #[command(subcommand)]
    Audit(Audit),
    /// Take over service accounts with their passwords, for a migration in phases
    #[command(subcommand)]
    Legacy(Legacy),
    /// Run an issuer that gives anyone any token; for trying out, never in production
    DevIssuer(DevIssuer),
    /// Print a token of the development issuer
    DevToken(DevToken),
    /// Write the reference pages on configuration and command line
    #[command(hide = true)]
    DocsReference {
        /// The folder to write to
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Load bundles, as serve would, and run their tests without SQL
    Check {
        #[command(flatten)]
        bundles: Bundles,
        /// How the findings are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Run the tests of bundles; about those with SQL the database is asked, and executes nothing
    Test {
        /// The database as clients name it [default: all]
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
        /// How the outcomes are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Say what the policy decides about a statement, why, and what would help; asks the database, executes nothing
    Explain(Explain),
    /// Print the least bundle that would have allowed what was done, with the statements that need each line; needs only the journal
    Suggest(traffic::Suggest),
    /// Say what recorded statements would meet under another bundle: newly refused, held, masked, allowed; exit status 1 on a difference
    Replay(traffic::Replay),
    /// Print the Cedar schema that the rules of a bundle are checked against
    Schema {
        #[command(flatten)]
        bundles: Bundles,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Notify {
    /// Send a test message by a channel, or by each, and say what came of it
    Test {
        /// The name of a [[notify]] [default: all]
        #[arg(value_name = "CHANNEL")]
        channel: Option<String>,
        /// How the outcomes are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Legacy {
    /// Copy the SCRAM verifiers of roles into a file that only its owner can read; never a password
    Import {
        /// The database as clients name it, whose server is read [default: the only one]
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
        /// Where the login is that may read pg_authid, as postgres://USER:PASSWORD@HOST:PORT/DBNAME: env:NAME, file:PATH or exec:COMMAND [default: the database's "verifiers"]
        #[arg(long, value_name = "REFERENCE")]
        admin: Option<String>,
        /// A role to import, * for any run of characters; may be repeated [default: all that can log in but superusers]
        #[arg(long = "user", value_name = "PATTERN")]
        users: Vec<String>,
        /// The file to write; verifiers of other roles that are in it stay
        #[arg(long, value_name = "FILE", default_value = "legacy-verifiers.txt")]
        file: PathBuf,
        /// How the outcome is printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Bundles {
    /// A bundle's folder [default: those of the configuration]
    #[arg(value_name = "BUNDLE")]
    pub(crate) folder: Option<PathBuf>,
    /// The database that the bundle is for [default: all; of a BUNDLE, the folder's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["sql", "batch", "grants"])))]
pub(crate) struct Explain {
    /// The database as clients name it [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Who asks; without --groups, in no group [default: explain:anybody, if --groups is given]
    #[arg(long = "as", value_name = "ISSUER:SUBJECT")]
    pub(crate) identity: Option<String>,
    /// For whom it asks, as a token with an actor says it
    #[arg(long, value_name = "ISSUER:SUBJECT")]
    pub(crate) on_behalf_of: Option<String>,
    /// The groups of who asks, with commas between; --as, --groups or both must be given
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub(crate) groups: Vec<String>,
    /// A further claim of who asks, as policy sees it; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    pub(crate) attributes: Vec<String>,
    /// The text, of one statement or several; "-" reads it from standard input
    #[arg(long, value_name = "TEXT")]
    pub(crate) sql: Option<String>,
    /// Many texts: lines of {"id", "sql", "search_path"?}, each answered by a line of JSON; "-" is standard input
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["search_path", "format"])]
    pub(crate) batch: Option<PathBuf>,
    /// Print what PostgreSQL would have to grant so that all that the policy could allow works, and no more
    #[arg(long, conflicts_with = "search_path")]
    pub(crate) grants: bool,
    /// The role that the grants are printed for
    #[arg(long, value_name = "ROLE", requires = "grants", default_value = "gatepost_scope")]
    pub(crate) role: String,
    /// Where names are looked up, as after SET search_path TO [default: the login's own]
    #[arg(long, value_name = "SCHEMAS")]
    pub(crate) search_path: Option<String>,
    /// How the explanation is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// Print the live sessions, oldest first
    List {
        #[command(flatten)]
        gateway: Running,
        /// How they are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Find sessions of whenever, the newest first, by what is known of them or of their statements; needs only files
    Search(Box<SessionSearch>),
    /// End sessions now: what runs is cancelled, what is open rolled back; exit status 1 if anything beside that failed
    Kill(Kill),
    /// Print whose session a recording is of, and what is in it; exit status 1 if not all of it can be read
    Show(Show),
    /// Play a recording in the terminal as psql would have shown it, or run it elsewhere and compare
    ///
    /// Keys: space plays and pauses; n and p step by statement; r, e, h lead to the next refusal, error, hold, R, E, H to the one before; the arrows 5 seconds on and back; + and - set the speed; / searches, N again; g goes to a statement by its number; q ends. With --against, exit status 1 if anything differs.
    Replay(Replay),
    /// Write a recording as JSON lines, an asciicast, an SQL script, or a page that plays by itself
    Export(Export),
    /// Look at who is kept out
    #[command(subcommand)]
    Blocks(Blocks),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["id", "identity", "group", "issuer", "token_id", "database"])))]
pub(crate) struct Kill {
    #[command(flatten)]
    pub(crate) gateway: Running,
    /// One session: 32 hexadecimal digits
    #[arg(value_name = "ID", value_parser = session)]
    pub(crate) id: Option<SessionId>,
    /// All of somebody, and of those who act on their behalf
    #[arg(long, value_name = "ISSUER:SUBJECT")]
    pub(crate) identity: Option<String>,
    /// All whose token names this group
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// All with tokens of this issuer, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: Option<String>,
    /// All with the token of this `jti`
    #[arg(long, value_name = "JTI")]
    pub(crate) token_id: Option<String>,
    /// All of a database, as clients name it
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Why; clients are told, and the audit keeps it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Refuse them for so long (30s, 15m, 2h, 7d), or "until-removed"; of one session, whose it is
    #[arg(long, value_name = "TIME", value_parser = block_for)]
    pub(crate) block_for: Option<BlockFor>,
    /// How what was done is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// For how long somebody is kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockFor {
    Time(Duration),
    UntilRemoved,
}

fn block_for(text: &str) -> Result<BlockFor, String> {
    if text == "until-removed" {
        return Ok(BlockFor::UntilRemoved);
    }
    lifetime(text).map(BlockFor::Time).map_err(|why| format!("{why}; or \"until-removed\""))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Blocks {
    /// Print the blocks that are in force
    List {
        #[command(flatten)]
        gateway: Running,
        /// How they are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Let them in again
    Remove {
        #[command(flatten)]
        gateway: Running,
        /// The block's id
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// A running gateway.
#[derive(Debug, Args)]
pub(crate) struct Running {
    /// Where its HTTP port is; needs GATEPOST_TOKEN [default: $GATEPOST_URL, then listen.http of the configuration]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// PEM file: authorities that are trusted for it beside the system's [default: $GATEPOST_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print the records that match
    Query {
        #[command(flatten)]
        journal: Journal,
        #[command(flatten)]
        filter: Filter,
        /// Not before this: a time (2026-11-23T10:00:00Z), or how long ago (15m, 2h, 7d)
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Before this: a time, or how long ago
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only the last so many that match
        #[arg(long, value_name = "COUNT")]
        last: Option<usize>,
        /// How records are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: RecordFormat,
    },
    /// Say how far each stream of audit events has come, and what is wrong with it
    Streams {
        /// How the streams are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Find records among months of them, the newest first
    Search(Box<Search>),
    /// Make the index anew that searches use; a running gateway makes its own anew
    Reindex(Reindex),
    /// Print the last records that match, then new ones as they come
    Tail {
        #[command(flatten)]
        journal: Journal,
        #[command(flatten)]
        filter: Filter,
        /// How many old records to begin with
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
        lines: usize,
        /// How records are printed; an array has an end, so "json" prints as "jsonl" does
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: RecordFormat,
    },
    /// Make evidence of the audit trail: for a framework, of one identity, or of the use of legacy accounts
    Report(evidence::Report),
    /// Check that no record was changed, removed or added, and who has signed that; needs files and public keys alone
    ///
    /// Exit status 1 if anything is wrong or missing, or if keys are given and none of them has signed.
    Verify(Verify),
    /// Prove that one record is in the journal, without the others: one JSON document, for `audit verify --proof`
    Prove(Prove),
    /// Make a key that signs the audit trail's checkpoints, and print its public key
    Keygen(Keygen),
}

#[derive(Debug, Args)]
pub(crate) struct Journal {
    /// The journal's folder [default: that of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
}

/// What records must match, all of it.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Who: "issuer:subject", or the subject alone
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) identity: Option<String>,
    /// For whom it was done: "issuer:subject", or the subject alone
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) on_behalf_of: Option<String>,
    /// The database as clients name it
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// A relation that was touched: "schema.name", or the name alone
    #[arg(long, value_name = "NAME")]
    pub(crate) relation: Option<String>,
    /// What was decided
    #[arg(long, value_name = "VERDICT", value_parser = VERDICTS)]
    pub(crate) verdict: Option<String>,
    /// What happened
    #[arg(long, value_name = "EVENT", value_parser = EVENTS)]
    pub(crate) event: Option<String>,
    /// The session: 32 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = session)]
    pub(crate) session: Option<SessionId>,
    /// Part of the statement's text, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

/// `audit::Verdict::as_str` of each.
const VERDICTS: [&str; 7] =
    ["allow", "mask", "hold", "deny", "observed-mask", "observed-hold", "observed-deny"];

/// `audit::Event::name` of each.
const EVENTS: [&str; 51] = [
    "gateway_started",
    "gateway_stopped",
    "policy_loaded",
    "policy_refused",
    "connected",
    "authentication_failed",
    "session_started",
    "disconnected",
    "statement",
    "outcome",
    "incident",
    "clock_stepped",
    "journal_recovered",
    "journal_faulted",
    "role_made",
    "role_given",
    "role_gone",
    "role_moved",
    "upstream_failed",
    "legacy_account_ends",
    "sessions_ended",
    "block_added",
    "block_removed",
    "trust_ended",
    "control_refused",
    "logged_in",
    "logged_out",
    "configuration_reloaded",
    "limit_exceeded",
    "approval_requested",
    "approval_voted",
    "approval_ended",
    "approval_used",
    "approval_refused",
    "delegation",
    "break_glass",
    "notified",
    "notification_failed",
    "notify_call_refused",
    "rows_counted",
    "recording_started",
    "recording_anchored",
    "recording_ended",
    "recording_lost",
    "recording_archived",
    "stream_failed",
    "stream_recovered",
    "stream_gap",
    "checkpoint",
    "signing_failed",
    "signing_key_changed",
];

fn session(text: &str) -> Result<SessionId, String> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
    number.map(SessionId).ok_or_else(|| "must be 32 hexadecimal digits".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct DevIssuer {
    /// The address to listen on; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9400")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) key: DevKey,
    /// The audience of tokens that ask for none
    #[arg(long, value_name = "AUDIENCE", default_value = "gatepost")]
    pub(crate) audience: String,
    /// How long tokens live that don't ask
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = lifetime)]
    pub(crate) lifetime: Duration,
    /// The groups of a subject, as SUBJECT=GROUP,GROUP; may be repeated
    #[arg(long = "groups", value_name = "SUBJECT=GROUPS")]
    pub(crate) groups: Vec<String>,
    /// How log lines are written to standard error; RUST_LOG filters them
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct DevToken {
    /// Whose token: its `sub`
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// Its groups, with commas between
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub(crate) groups: Vec<String>,
    /// Its display name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Its audience
    #[arg(long, value_name = "AUDIENCE", default_value = "gatepost")]
    pub(crate) audience: String,
    /// How long it lives
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = lifetime)]
    pub(crate) lifetime: Duration,
    /// A further claim; a value that is JSON is taken as such; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    pub(crate) claims: Vec<String>,
    /// The address that the development issuer listens on: tokens name it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9400")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) key: DevKey,
}

#[derive(Debug, Args)]
pub(crate) struct DevKey {
    /// The folder of the signing key, which dev-issuer and dev-token share; made where it is missing
    #[arg(long, value_name = "DIR", default_value = ".gatepost-dev")]
    pub(crate) key_dir: PathBuf,
}

/// Reads `30s`, `15m`, `2h`.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit, like 30s, 15m or 2h".to_owned();
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|it| *it > 0).map(Duration::from_secs).ok_or_else(wrong)
}
