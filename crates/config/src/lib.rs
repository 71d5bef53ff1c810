//! The configuration file: what may be written in it, and errors that say how to mend it.
//!
//! Reads one TOML text into [`Config`]. Knows files only to say that one is missing or can't be read; never
//! resolves a secret, opens a socket or loads a policy. Every key is in `keys.rs`, from which unknown keys,
//! defaults and `docs/reference/configuration.md` all follow.

mod address;
mod auth;
mod aws;
mod console;
mod context;
mod database;
mod index;
mod issuer;
mod keys;
mod legacy;
mod listen;
mod notify;
mod object_store;
mod operators;
mod problem;
mod quantity;
mod read;
mod recording;
mod redacted;
mod reference;
mod secret_ref;
mod sections;
mod signing;
mod store;
mod stream;
mod telemetry;
mod upstream;
mod vault;
mod words;

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Method;
use toml::de::DeTable;

pub use address::Cidr;
pub use auth::{AuthMethod, AuthRule};
pub use aws::{Aws, AwsCredentials};
pub use console::Console;
pub use database::{AtEnd, Database, Ephemeral, Login, Questions, Verifiers};
pub use index::Index;
pub use issuer::{
    Actor, Algorithm, Asker, Bundle, CertificateGroups, CertificateName, Introspection, Issuer, IssuerKind,
};
pub use legacy::{Date, Legacy, Passthrough};
pub use listen::{Listen, PublicUrl, Tls};
pub use notify::{
    Answers, Notify, NotifyEvent, NotifyKind, NotifyStatement, SlackAnswers, SlackWay, Smtp, SmtpTls,
};
pub use object_store::{AzureCredentials, ObjectPlace, ObjectStore, S3Credentials, S3Keys};
pub use operators::{IssuerGroup, Operators};
pub use problem::{ConfigError, Place, Problem, Severity};
pub use recording::Recording;
pub use redacted::render_redacted;
pub use reference::reference;
pub use secret_ref::{ExecCommand, SecretRef, SecretRefError, Servers, VaultRef};
pub use sections::{Durability, Journal, Limits, Mask};
pub use signing::{Key, OWN_KEY_FILE, Signer, Signing};
pub use store::{Store, StorePlace};
pub use stream::{NatsLogin, Stream, StreamBegin, StreamFormat, StreamKind, StreamStatement, SyslogTls};
pub use telemetry::{Metrics, Otlp, Share, Telemetry};
pub use upstream::{Host, Roots, Upstream, UpstreamTls};
pub use vault::{Vault, VaultMethod};

use context::{Context, Files};
use read::Table;

/// A configuration in which everything that can be known without the network has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[listen]`: where clients connect.
    pub listen: Listen,
    /// `[[issuer]]`: whose tokens are believed. Empty only where no rule takes tokens; names and URLs are unique.
    pub issuers: Vec<Issuer>,
    /// `[[database]]`: what a client may name as dbname. Never empty; names are unique.
    pub databases: Vec<Database>,
    /// `[[auth]]`, in order; one rule "token for everybody" where the file has none. Never empty.
    /// Ask it through [`Config::auth_rule`].
    pub auth: Vec<AuthRule>,
    /// `[[legacy]]`: accounts that keep their passwords for a while.
    /// Ask them through [`Config::legacy_account`].
    pub legacy: Vec<Legacy>,
    /// `[passthrough]`: how they log in.
    pub passthrough: Passthrough,
    /// `[journal]`: where the audit trail is kept.
    pub journal: Journal,
    /// `[index]`: the file by which records are found.
    pub index: Index,
    /// `[limits]`: what one client may cost.
    pub limits: Limits,
    /// `[mask]`: what mask functions need.
    pub mask: Mask,
    /// `[vault]`, `[aws]`: where secret references lead.
    pub servers: Servers,
    /// `[[notify]]`: where approvers are told of requests; names are unique.
    pub notify: Vec<Notify>,
    /// `[[object_store]]`: where files are put that must outlive this machine; names are unique.
    pub object_stores: Vec<ObjectStore>,
    /// `[[stream]]`: where audit events are sent; names are unique.
    pub streams: Vec<Stream>,
    /// `[recording]`: where sessions are recorded; `None`: they aren't.
    pub recording: Option<Recording>,
    /// `[operators]`: who may administer the gateway over HTTP.
    pub operators: Operators,
    /// `[state]`: the folder for what must outlive the gateway beside the journal. May not exist yet.
    pub state: PathBuf,
    /// `[store]`: what gateways share and must not forget.
    pub store: Store,
    /// `[telemetry]`: numbers and spans.
    pub telemetry: Telemetry,
    /// `[console]`: how people log in with a browser; `None`: they don't.
    pub console: Option<Console>,
    /// What is allowed but deserves a second look; `Display` gives one line for the log.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads and checks a file, and that every file it names can be read. Relative paths in it are relative to
    /// the folder that it is in.
    ///
    /// # Errors
    /// - [`ConfigError`]: operator; everything that is wrong with the file, not only the first thing.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| {
            let message = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "no such file; write one with \"gatepost init DIR\", or name it with -c".to_owned()
                }
                std::io::ErrorKind::InvalidData => "cannot be read: it is not UTF-8 text".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            ConfigError::new(path, vec![Problem::new(Severity::Error, message)])
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self::read(&text, path, folder.unwrap_or(Path::new(".")), Files::MustBeReadable)
    }

    /// Checks a text without looking at any file that it names; `base_dir` is what relative paths are relative to.
    ///
    /// # Errors
    /// - [`ConfigError`]: operator; everything that is wrong with the text.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, ConfigError> {
        Self::read(text, Path::new("gatepost.toml"), base_dir, Files::NotLookedAt)
    }

    /// Returns the database that a client named, by exact name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// Returns the object store of a name.
    pub fn object_store(&self, name: &str) -> Option<&ObjectStore> {
        self.object_stores.iter().find(|store| store.name == name)
    }

    /// Returns the first `[[auth]]` rule that matches, as pg_hba.conf does. `None` means: reject.
    ///
    /// SECURITY: where there are rules and none matches, the client is refused, as in pg_hba.conf.
    pub fn auth_rule(&self, user: &str, database: &str, client: IpAddr) -> Option<&AuthRule> {
        self.auth.iter().find(|rule| rule.matches(user, database, client))
    }

    /// Returns the legacy account of this name for a database: the first that matches.
    pub fn legacy_account(&self, name: &str, database: &str) -> Option<&Legacy> {
        self.legacy.iter().find(|account| account.matches(name, database))
    }

    fn read(text: &str, label: &Path, base: &Path, files: Files) -> Result<Self, ConfigError> {
        let mut context = Context::new(text, base, files);
        let (document, errors) = DeTable::parse_recoverable(text);
        // After a syntax error the parser invents and drops values: what follows from that is noise.
        if let Some(error) = errors.first() {
            context.syntax_error(error.span(), error.message());
        }
        let config = if errors.is_empty() { assemble(document.get_ref(), &mut context) } else { None };
        let Context { mut problems, warnings, .. } = context;
        problems.sort_by_key(Problem::position);
        match config {
            Some(config) if problems.is_empty() => Ok(Self { warnings, ..config }),
            _ => Err(ConfigError::new(label, problems)),
        }
    }
}

/// Reads all sections, so that one run reports all problems.
fn assemble(document: &DeTable<'_>, context: &mut Context<'_>) -> Option<Config> {
    let root = Table::root(document, context);
    // First, since secrets anywhere may refer to them.
    let servers = servers(&root, context);
    let listen = root.table("listen", context).and_then(|table| listen::read(&table, context));
    let issuers = root.tables("issuer", context);
    let mut issuers: Vec<_> =
        issuers.iter().map(|table| (table.span(), issuer::read(table, context))).collect();
    unique(&issuers, "[[issuer]]", "name", |issuer| &issuer.name, context);
    unique(&issuers, "[[issuer]]", "url", |issuer| &issuer.url, context);

    let known: Vec<_> = issuers.iter().map(|(_, issuer)| issuer.as_ref().map(|i| i.name.clone())).collect();
    let rules = root.tables("auth", context);
    let rules: Vec<_> = rules.iter().map(|table| auth::read(table, &known, context)).collect();
    let needs_issuer =
        |rule: &AuthRule| matches!(rule.method, AuthMethod::Accept(method) if method != Method::Passthrough);
    if root.written("issuer").is_none() && (rules.is_empty() || rules.iter().flatten().any(needs_issuer)) {
        context.error(0..0, "there is no [[issuer]]; at least one is needed".to_owned());
    }
    let databases = root.tables("database", context);
    let databases: Vec<_> =
        databases.iter().map(|table| (table.span(), database::read(table, context))).collect();
    unique(&databases, "[[database]]", "name", |database| &database.name, context);
    let accounts = root.tables("legacy", context);
    let accounts: Vec<_> =
        accounts.iter().map(|table| (table.span(), legacy::read(table, context))).collect();
    legacy::check(&accounts, &rules, &databases, context);
    let passthrough =
        root.table("passthrough", context).and_then(|table| legacy::passthrough(&table, context));
    let journal = root.table("journal", context).and_then(|table| sections::journal(&table, context));
    let limits = root.table("limits", context).and_then(|table| sections::limits(&table, context));
    let mask = root.table("mask", context).and_then(|table| sections::mask(&table, context));

    certificates(listen.as_ref(), &mut issuers, &rules, context);
    let notify = root.tables("notify", context);
    let notify: Vec<_> =
        notify.iter().map(|table| (table.span(), notify::read(table, &known, context))).collect();
    unique(&notify, "[[notify]]", "name", |channel| &channel.name, context);
    let object_stores = root.tables("object_store", context);
    let object_stores: Vec<_> =
        object_stores.iter().map(|table| (table.span(), object_store::read(table, context))).collect();
    unique(&object_stores, "[[object_store]]", "name", |store| &store.name, context);
    let stores: Vec<_> = object_stores.iter().map(|(_, it)| it.as_ref().map(|it| it.name.clone())).collect();
    let streams = root.tables("stream", context);
    let streams: Vec<_> =
        streams.iter().map(|table| (table.span(), stream::read(table, &stores, context))).collect();
    unique(&streams, "[[stream]]", "name", |stream| &stream.name, context);
    let recording = match root.written("recording") {
        None => Some(None),
        Some(_) => root.table("recording", context).and_then(|table| {
            let stores: Vec<_> =
                object_stores.iter().filter_map(|(_, store)| Some(store.as_ref()?.name.as_str())).collect();
            recording::read(&table, &stores, context).map(Some)
        }),
    };
    let operators = root.table("operators", context).and_then(|t| operators::read(&t, &known, context));
    let state = root.table("state", context).and_then(|table| {
        let path = table.value("path", context)?.string(context)?;
        Some(context.resolve(&path))
    });
    let index = root.table("index", context).and_then(|table| index::read(&table, state.as_deref(), context));
    let store = root.table("store", context).and_then(|table| store::read(&table, state.as_deref(), context));
    let telemetry = root.table("telemetry", context).and_then(|table| telemetry::read(&table, context));
    let console = match root.written("console") {
        None => Some(None),
        Some(_) => root.table("console", context).and_then(|table| {
            let read = console::read(&table, context)?;
            let all = issuers.iter().map(|(_, issuer)| issuer.as_ref());
            console::check((&table, &read), listen.as_ref(), all, context);
            Some(Some(read))
        }),
    };

    let auth = rules.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Config {
        listen: listen?,
        issuers: issuers.into_iter().map(|(_, issuer)| issuer).collect::<Option<_>>()?,
        databases: databases.into_iter().map(|(_, database)| database).collect::<Option<_>>()?,
        auth: if auth.is_empty() { vec![AuthRule::token_for_everybody()] } else { auth },
        legacy: accounts.into_iter().map(|(_, account)| account).collect::<Option<_>>()?,
        passthrough: passthrough?,
        journal: journal?,
        index: index?,
        limits: limits?,
        mask: mask?,
        servers,
        notify: notify.into_iter().map(|(_, channel)| channel).collect::<Option<_>>()?,
        object_stores: object_stores.into_iter().map(|(_, store)| store).collect::<Option<_>>()?,
        streams: streams.into_iter().map(|(_, stream)| stream).collect::<Option<_>>()?,
        recording: recording?,
        operators: operators?,
        state: state?,
        store: store?,
        telemetry: telemetry?,
        console: console?,
        warnings: Vec::new(),
    })
}

fn servers(root: &Table<'_>, context: &mut Context<'_>) -> Servers {
    let vault = root.table("vault", context).map(|table| vault::read(&table, context));
    let aws = root.table("aws", context).map(|table| aws::read(&table, context));
    for (section, unreadable) in [("vault", matches!(vault, Some(None))), ("aws", matches!(aws, Some(None)))]
    {
        if unreadable {
            context.unreadable.push(section);
        }
    }
    let servers = Servers { vault: vault.flatten().map(Arc::new), aws: aws.flatten().map(Arc::new) };
    context.servers = servers.clone();
    servers
}

/// Gives issuers of certificates their authorities, and reports what certificates can't work without.
fn certificates(
    listen: Option<&Listen>,
    issuers: &mut [(Range<usize>, Option<Issuer>)],
    rules: &[Option<AuthRule>],
    context: &mut Context<'_>,
) {
    // Where it could not be read, nothing can be said to be missing.
    let Some(listen) = listen else { return };
    let client_ca = listen.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
    for (span, issuer) in &mut *issuers {
        let Some(issuer) = issuer else { continue };
        if !matches!(issuer.kind, IssuerKind::Certificate { .. }) || issuer.ca.is_some() {
            continue;
        }
        issuer.ca = client_ca.cloned();
        if issuer.ca.is_none() {
            let message = format!("issuer \"{}\" needs \"ca\", or [listen] tls a \"client_ca\"", issuer.name);
            context.error_at_secret(span.clone(), message);
        }
    }
    let asks = |rule: &&AuthRule| rule.method == AuthMethod::Accept(model::Method::Certificate);
    for rule in rules.iter().flatten().filter(asks) {
        let vouches = |issuer: &Option<Issuer>| {
            issuer.as_ref().is_none_or(|it| it.kind.takes_certificates() && rule.accepts_issuer(&it.name))
        };
        let end = 0..0;
        if listen.tls.is_none() {
            context.error_at_secret(end, "method \"certificate\" needs [listen] tls".to_owned());
        } else if !issuers.iter().any(|(_, issuer)| vouches(issuer)) {
            let message = "method \"certificate\" needs an [[issuer]] of kind \"certificate\" or \"spiffe\" that its rule accepts";
            context.error_at_secret(end, message.to_owned());
        }
    }
}

/// Reports every item whose `key` repeats an earlier one's.
fn unique<T>(
    items: &[(Range<usize>, Option<T>)],
    header: &str,
    key: &str,
    of: impl Fn(&T) -> &String,
    context: &mut Context<'_>,
) {
    let mut seen = HashSet::new();
    for (span, item) in items {
        let Some(item) = item else { continue };
        if !seen.insert(of(item)) {
            context.error_at_secret(
                span.clone(),
                format!("two {header} have the {key} \"{}\"; give each its own", of(item)),
            );
        }
    }
}

/// Returns `path` as it is meant in a file that is in `base`.
fn resolve(base: &Path, path: &str) -> PathBuf {
    // `join` keeps an absolute path as it is; a leading "./" would only clutter messages.
    if base == Path::new(".") { PathBuf::from(path) } else { base.join(path) }
}

#[cfg(test)]
mod tests;
