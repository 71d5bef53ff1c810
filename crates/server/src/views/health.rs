//! How the gateway itself is. Knows no sessions.

use schemars::JsonSchema;
use serde::Serialize;

use super::indexed::IndexHealth;
use super::overview::Incident;

/// How the gateway is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Health {
    /// Its version.
    pub version: String,
    /// When it was started, RFC 3339.
    pub started: String,
    /// Whether clients are welcome.
    pub ready: bool,
    /// Why not, and what is amiss besides.
    pub reasons: Vec<String>,
    /// The audit journal.
    pub journal: JournalHealth,
    /// The index of the journal; `None`: there is to be none.
    pub index: Option<IndexHealth>,
    /// The store that gateways share.
    pub store: StoreHealth,
    /// Databases.
    pub upstreams: Vec<UpstreamHealth>,
    /// Issuers.
    pub issuers: Vec<IssuerHealth>,
    /// Certificates that the gateway shows.
    pub certificates: Vec<CertificateHealth>,
    /// When the configuration was read again last, or refused; `None`: not since counts began.
    pub configuration: Option<Incident>,
    /// Whether views have read all of the journal that they are made from.
    pub views_complete: bool,
}

/// How the audit journal is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct JournalHealth {
    /// Why records can't be kept at present.
    pub fault: Option<String>,
    /// The last record that has left the process.
    pub written: u64,
    /// The last record that is on disk.
    pub durable: u64,
    /// Records between the two.
    pub lag: u64,
    /// Records that views have not read yet.
    pub views_lag: u64,
    /// Bytes that are free where it is; `None`: that can't be found out.
    pub disk_free: Option<u64>,
    /// Bytes that there are.
    pub disk_total: Option<u64>,
}

/// How the store of approvals is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StoreHealth {
    /// Why it doesn't answer; statements that need approval are refused then.
    pub fault: Option<String>,
    /// Messages that wait to be sent; `None`: it doesn't answer.
    pub outbox: Option<u64>,
    /// Gateways that share it and have shown signs of life.
    pub gateways: Option<usize>,
}

/// How logins to a database go.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UpstreamHealth {
    /// The database as clients name it.
    pub database: String,
    /// When a session got its connection last, RFC 3339.
    pub last_good: Option<String>,
    /// When one did not, RFC 3339.
    pub last_bad: Option<String>,
    /// Why not.
    pub why: Option<String>,
    /// Whether the last one that is known failed.
    pub failing: bool,
}

/// What is known of an issuer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct IssuerHealth {
    /// Its name in the configuration.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Keys that are known of it; `None`: none were had yet.
    pub keys: Option<usize>,
    /// How old they are, in seconds.
    pub keys_age_s: Option<u64>,
    /// Whether they are in a file, which is read when it changes.
    pub from_file: bool,
}

/// A certificate that the gateway shows.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CertificateHealth {
    /// The key in the configuration.
    pub what: String,
    /// Its end, RFC 3339; `None`: it can't be read.
    pub ends: Option<String>,
    /// Days until then, negative if it is past.
    pub days: Option<i64>,
}

/// Returns how many bytes are free and how many there are where a folder is.
pub(crate) fn disk(folder: &std::path::Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}
