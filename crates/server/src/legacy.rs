//! Legacy accounts: whose proof is checked by which verifier, imported or asked for, and what a stranger is shown instead.
//!
//! Knows no protocol. What is told of an account is told to whoever has proved to be it; here, a stranger must cost and
//! look like an account.

mod import;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use identity::{Account, Userlist, mock_verifier, parse_verifier};
use model::{Identity, ScramVerifier, Secret, quote_literal};
use session::Candidate;
use sha2::{Digest, Sha256};

pub use self::import::{Found, ImportError, Outcome, Role, import};
use crate::gateway::Gateway;
use crate::secrets;
use crate::serve::ServeError;
use crate::upstream::{self, Target, Upstream};

/// A failed login makes its verifier be read again at most this often.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// Characters of a mock key, at least: as a mask's.
const MOCK_KEY_CHARS_MIN: usize = 32;

/// All legacy accounts.
pub(crate) struct Accounts {
    known: Vec<Known>,
    mock_key: Secret<[u8; 32]>,
    settings: config::Passthrough,
}

struct Known {
    config: config::Legacy,
    account: Account,
    /// By database.
    kept: parking_lot::Mutex<HashMap<String, Kept>>,
    /// Whoever fetches; others wait for what it finds.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Kept {
    taken: Instant,
    verifier: Result<ScramVerifier, String>,
}

impl Accounts {
    /// Takes the accounts as they are configured. Fetches no verifier.
    pub(crate) async fn new(config: &config::Config) -> Result<Self, ServeError> {
        let mock_key = match &config.passthrough.mock_key {
            Some(reference) => {
                let secret = secrets::resolve(reference).await;
                let secret = secret.map_err(|error| ServeError::Secret("passthrough.mock_key", error))?;
                if secret.expose().chars().count() < MOCK_KEY_CHARS_MIN {
                    return Err(ServeError::MockKey);
                }
                Secret::new(Sha256::digest(secret.expose()).into())
            }
            None => Secret::new(crate::cancel::random().map_err(|_| ServeError::NoRandomness)?),
        };
        let known = config.legacy.iter().map(|account| Known::new(account, &config.passthrough)).collect();
        Ok(Self { known, mock_key, settings: config.passthrough.clone() })
    }

    /// Returns what the proof of `user` is to be checked by. `None`: the system gives no random bytes.
    ///
    /// SECURITY: who is no account is given a mock, and one account's verifier is fetched all the same, so that it takes as
    /// long and has as many iterations.
    pub(crate) async fn find(&self, gateway: &Gateway, user: &str, database: &str) -> Option<Candidate> {
        let known = self.account(gateway, user, database);
        let fetched = match known.map(|known| (known, database)).or_else(|| self.decoy(gateway, user)) {
            Some((known, database)) => self.verifier(known, gateway, database).await,
            None => Err("there is no legacy account".to_owned()),
        };
        let nonce = crate::cancel::random::<24>().ok().map(hex::encode)?;
        let mock = |like| mock_verifier(self.mock_key.expose(), user, database, like);
        let (verifier, account, reason) = match (known, fetched) {
            (Some(known), Ok(verifier)) => (verifier, Some(known.account.clone()), String::new()),
            (Some(known), Err(why)) => {
                let account = known.config.name.as_str();
                tracing::warn!(
                    account,
                    database,
                    reason = why,
                    "the verifier of a legacy account can't be had"
                );
                (mock(None), None, format!("its verifier can't be had: {why}"))
            }
            (None, fetched) => {
                let reason = "there is no such legacy account for this database".to_owned();
                (mock(fetched.ok().as_ref()), None, reason)
            }
        };
        let until = account.as_ref().and_then(|account| account.until);
        let warn_before = self.settings.warn_before;
        Some(Candidate { verifier, account, until, warn_before, nonce, reason })
    }

    /// Takes care that the verifier is fetched again, since it did not do.
    ///
    /// SECURITY: of who is no account, the one that was fetched in its place: else the next attempt would be faster than an account's.
    pub(crate) fn forget(&self, gateway: &Gateway, user: &str, database: &str) {
        let known = self.account(gateway, user, database).map(|known| (known, database));
        let Some((known, database)) = known.or_else(|| self.decoy(gateway, user)) else { return };
        let mut kept = known.kept.lock();
        if kept.get(database).is_some_and(|kept| kept.taken.elapsed() >= FORGET_AFTER) {
            kept.remove(database);
        }
    }

    fn account(&self, gateway: &Gateway, user: &str, database: &str) -> Option<&Known> {
        let known = self.known.iter().find(|known| known.config.matches(user, database));
        known.filter(|_| gateway.databases.contains_key(database))
    }

    /// Chooses an account and a database of its to be fetched for a name that is none: always the same for the same name.
    fn decoy<'a>(&'a self, gateway: &'a Gateway, user: &str) -> Option<(&'a Known, &'a str)> {
        let hash = Sha256::new().chain_update(self.mock_key.expose()).chain_update(user).finalize();
        let number = hash.first_chunk().map_or(0, |bytes: &[u8; 4]| u32::from_be_bytes(*bytes));
        let at = usize::try_from(number).unwrap_or_default().checked_rem(self.known.len())?;
        let known = self.known.get(at)?;
        let databases = &gateway.config.databases;
        let database =
            databases.iter().find(|database| known.config.matches(&known.config.name, &database.name))?;
        Some((known, &database.name))
    }

    async fn verifier(
        &self,
        known: &Known,
        gateway: &Gateway,
        database: &str,
    ) -> Result<ScramVerifier, String> {
        let fresh = || {
            let kept = known.kept.lock().get(database).cloned();
            kept.filter(|kept| kept.taken.elapsed() < self.settings.verifier_age_max)
        };
        if let Some(kept) = fresh() {
            return kept.verifier;
        }
        let asked = Instant::now();
        let _turn = known.turn.lock().await;
        // What somebody else fetched since we asked is as good, however short it may be kept.
        let fetched = known.kept.lock().get(database).filter(|kept| kept.taken >= asked).cloned();
        if let Some(kept) = fetched {
            return kept.verifier;
        }
        let taken = Instant::now();
        let limit = gateway.config.limits.connect_timeout;
        let fetched = tokio::time::timeout(limit, known.fetch(gateway, database)).await;
        let verifier = fetched.unwrap_or_else(|_| Err(format!("not found within {limit:?}")));
        known.kept.lock().insert(database.to_owned(), Kept { taken, verifier: verifier.clone() });
        verifier
    }
}

impl Known {
    fn new(config: &config::Legacy, settings: &config::Passthrough) -> Self {
        let config::Legacy { name, groups, until, owner, attributes, databases: _, verifier: _ } = config;
        let mut attributes: BTreeMap<String, String> = attributes.clone();
        attributes.extend(owner.iter().map(|owner| ("owner".to_owned(), owner.clone())));
        attributes.extend(until.iter().map(|until| ("until".to_owned(), until.to_string())));
        let identity = Identity {
            issuer: Identity::LEGACY.to_owned(),
            subject: name.clone(),
            name: None,
            groups: groups.iter().cloned().collect(),
            attributes,
            token_id: None,
            on_behalf_of: None,
        };
        let until: Option<SystemTime> = until.map(config::Date::end);
        let account = Account { identity, until, session_max: settings.session_max };
        Self {
            config: config.clone(),
            account,
            kept: parking_lot::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Reads the verifier where the configuration says that it is; in words for operators if it isn't.
    async fn fetch(&self, gateway: &Gateway, database: &str) -> Result<ScramVerifier, String> {
        let name = &self.config.name;
        if let Some(reference) = &self.config.verifier {
            let secret = secrets::resolve(reference).await.map_err(|error| oidc::chain(&error))?;
            return read_verifier(&secret, name).map_err(|why| format!("secret \"{reference}\" {why}"));
        }
        let served = gateway.databases.get(database).ok_or("the database is not served")?;
        let verifiers = served.config.verifiers.as_ref();
        let verifiers = verifiers.ok_or("it is not imported, and the database has no \"verifiers\"")?;
        let limit = gateway.config.limits.connect_timeout;
        let mut reader = open(&served.config.upstream, &served.target, &verifiers.from, limit).await?;
        let query = verifiers.query.replace("$1", &quote_literal(name));
        let rows = reader.query(&query).await.map_err(|error| oidc::chain(&error))?;
        reader.terminate().await;
        let found = rows.first().and_then(|row| row.first()).and_then(Option::as_ref);
        let found = found.ok_or("the database keeps no password of it, or doesn't let it in")?;
        let text = std::str::from_utf8(found).map_err(|_| "the database's answer is not UTF-8")?;
        parse_verifier(text).map_err(|why| format!("what the database keeps {why}"))
    }
}

/// Looks whether an account's verifier is where the configuration says, and how many iterations it has; `None` if it isn't imported.
pub async fn inspect(account: &config::Legacy) -> Option<Result<u32, String>> {
    let reference = account.verifier.as_ref()?;
    Some(match secrets::resolve(reference).await {
        Ok(secret) => read_verifier(&secret, &account.name)
            .map(|verifier| verifier.iterations)
            .map_err(|why| format!("secret \"{reference}\" {why}")),
        Err(error) => Err(oidc::chain(&error)),
    })
}

/// Takes a verifier from a secret: it is one, or has a line for each account.
fn read_verifier(secret: &Secret<String>, name: &str) -> Result<ScramVerifier, String> {
    let text = secret.expose();
    if !text.starts_with(['"', ';', '\n', '\r']) {
        return parse_verifier(text).map_err(|why| why.to_string());
    }
    let list = Userlist::parse(text).map_err(|why| format!("can't be read: {why}"))?;
    let verifier = list.get(name).ok_or("has no line for it; run \"gatepost legacy import\" again")?;
    parse_verifier(verifier.expose()).map_err(|why| format!("has a line for it that {why}"))
}

/// Logs in with a credential that is not for sessions: one that may read verifiers.
pub(crate) async fn open(
    server: &config::Upstream,
    target: &Target,
    from: &config::SecretRef,
    limit: Duration,
) -> Result<Upstream, String> {
    let url = secrets::resolve(from).await.map_err(|error| oidc::chain(&error))?;
    let (user, password) =
        server.credential(url.expose()).map_err(|why| format!("secret \"{from}\" {why}"))?;
    let (user, password) = (Secret::new(user), password.map(Secret::new));
    let parameters = [("application_name".to_owned(), "gatepost".to_owned())];
    upstream::login(target, &user, password.as_ref(), &parameters, limit)
        .await
        .map_err(|error| error.reason())
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::read_verifier;

    #[test]
    fn a_verifier_stands_alone_or_in_a_line_of_its_account() {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let verifier = format!("SCRAM-SHA-256$4096:YWJj${key}:{key}");
        let check = |text: &str| {
            read_verifier(&Secret::new(text.to_owned()), "app").map(|verifier| verifier.iterations)
        };
        assert_eq!(check(&verifier), Ok(4096));
        assert_eq!(check(&format!("; of 2026\n\"other\" \"x\"\n\"app\" \"{verifier}\"\n")), Ok(4096));
        assert!(check("\"other\" \"x\"").unwrap_err().contains("no line for it"));
        assert!(check("\"app\" \"hunter2\"").unwrap_err().contains("is no SCRAM-SHA-256 verifier"));
        for text in ["hunter2", "\"app\" hunter2", ""] {
            assert!(!check(text).unwrap_err().contains("hunter2"));
        }
    }
}
