//! Logins of people with a browser: begun, finished, found again, and ended. Knows no cookie, and no HTTP.
//!
//! What a browser holds is never kept: only digests are, so that whoever reads the store can log in as nobody. PKCE's verifier and the
//! nonce follow from what the browser holds, so the store hasn't them either.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use approval::{Stamp, Who};
use audit::Event;
use hmac::{Hmac, Mac as _};
use identity::Origin;
use model::{ClientAddr, Identity, Party, Secret};
use oidc::{Asked, CodeError, CodeFlow};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::BrowserSession;
use subtle::ConstantTimeEq as _;

use super::{Control, Roles};
use crate::{cancel, trust};

/// How long somebody may take at the issuer.
const ATTEMPT: Duration = Duration::from_secs(600);
/// How often it is written down that somebody is still there.
const TOUCH: Duration = Duration::from_secs(30);
/// Where the issuer sends browsers back to.
const CALLBACK: &str = "/login/callback";

/// A login that has begun.
pub struct Begun {
    /// Where the browser is to go.
    pub url: String,
    /// What the browser is to bring along when it comes back.
    pub secret: Secret<String>,
    /// For how long that is of use.
    pub seconds: u64,
}

/// What a browser brings back from the issuer.
#[derive(Clone, Copy)]
pub struct Returned<'a> {
    /// As it was sent along.
    pub state: &'a str,
    /// The authorization code.
    pub code: Option<&'a str>,
    /// Or why there is none (RFC 6749 4.1.2.1).
    pub error: Option<&'a str>,
    /// Which issuer says so (RFC 9207).
    pub iss: Option<&'a str>,
    /// [`Begun::secret`].
    pub secret: Option<&'a Secret<String>>,
    /// [`Browser`]'s id of an earlier login, which this one replaces.
    pub earlier: Option<&'a Secret<String>>,
}

/// Somebody has logged in.
pub struct LoggedIn {
    /// Names the login; for the browser alone.
    pub id: Secret<String>,
    /// What was asked for when it began: a path.
    pub to: String,
    /// For how long.
    pub seconds: u64,
}

/// A browser's login that counts.
#[derive(Clone)]
pub struct Browser {
    /// Whose it is, as the issuer said when it began.
    pub identity: Identity,
    /// Where the issuer says they can be written to.
    pub email: Option<String>,
    /// What requests must show that change something.
    pub csrf: Secret<String>,
    /// When it ends at the latest.
    pub until: SystemTime,
    /// When it ends if nothing is done with it.
    pub idle_until: SystemTime,
    digest: String,
}

/// Why nobody is logged in. For the journal; the browser is told less.
#[derive(Debug, thiserror::Error)]
pub enum LoginRefused {
    /// The configuration has no `[console]`.
    #[error("nobody logs in here with a browser: the configuration has no [console]")]
    NotOffered,
    /// Nothing is known of it: it took too long, was used before, was begun by another browser, or never.
    #[error("no such login is under way: {0}")]
    Unknown(&'static str),
    /// The issuer says no.
    #[error("the issuer answers with the error {0:?}")]
    Denied(String),
    /// The issuer can't be asked, or is not as it should be.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// They are kept out.
    #[error("{by} is kept out by block {block}")]
    Blocked {
        /// Who.
        by: String,
        /// The block.
        block: String,
    },
    /// Their groups give no role.
    #[error("{0} is in no group of [operators]")]
    NoRole(String),
    /// The store, or the system.
    #[error("it can't be kept: {0}")]
    Unkept(String),
    /// The journal.
    #[error("it can't be recorded: {0}")]
    Unrecorded(#[from] journal::JournalError),
}

/// What is kept of a login under way.
#[derive(Debug, Serialize, Deserialize)]
struct Attempt {
    /// The digest of what the browser holds.
    holder: String,
    to: String,
    issuer_url: String,
    client_id: String,
    redirect_uri: String,
}

/// What is kept of a login.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    issuer: String,
    issuer_url: String,
    client_id: String,
    subject: String,
    name: Option<String>,
    email: Option<String>,
    groups: BTreeSet<String>,
    attributes: BTreeMap<String, String>,
    on_behalf_of: Option<(String, String)>,
    /// `sub` of the token, whatever claim the subject is.
    subjects: Vec<String>,
    sid: Option<String>,
    issued: Option<Stamp>,
    opened: Stamp,
    seen: Stamp,
    ends: Stamp,
}

impl Control {
    /// Whether people log in with a browser.
    pub fn logs_in(&self) -> bool {
        self.gateway.live().login.is_some()
    }

    fn login(&self) -> Result<(Arc<CodeFlow>, config::Console, String), LoginRefused> {
        let live = self.gateway.live();
        let (Some(flow), Some(console), Some(url)) = (&live.login, &live.config.console, self.public_url())
        else {
            return Err(LoginRefused::NotOffered);
        };
        Ok((flow.clone(), console.clone(), url.join(CALLBACK)))
    }

    /// Begins a login; `to` is where the browser will want to go afterwards.
    ///
    /// # Errors
    /// [`LoginRefused`]: see there.
    pub async fn begin_login(&self, to: &str) -> Result<Begun, LoginRefused> {
        let (flow, console, redirect_uri) = self.login()?;
        let (secret, state) = (random()?, random()?);
        let attempt = Attempt {
            holder: digest(secret.expose()),
            to: to.to_owned(),
            issuer_url: flow.issuer().url().to_owned(),
            client_id: console.client_id.clone(),
            redirect_uri,
        };
        // First, so that an issuer that is down costs no room in the store.
        let (scope, nonce, verifier) =
            (console.scopes.join(" "), derived(&secret, b"nonce"), derived(&secret, b"verifier"));
        let asked = Asked {
            redirect_uri: &attempt.redirect_uri,
            scope: &scope,
            state: state.expose(),
            nonce: nonce.expose(),
            verifier: &verifier,
        };
        let url = flow.authorization_url(asked).await?;
        let document = serde_json::to_string(&attempt).map_err(unkept)?;
        let now = Stamp::from(SystemTime::now());
        let store = &self.gateway.store;
        store
            .begin_login(&digest(state.expose()), &document, now.after(ATTEMPT), now)
            .await
            .map_err(unkept)?;
        Ok(Begun { url, secret, seconds: ATTEMPT.as_secs() })
    }

    /// Finishes a login with what the browser brings back. Whatever becomes of it, it can't be finished again.
    ///
    /// # Errors
    /// [`LoginRefused`]: see there.
    pub async fn finish_login(
        &self,
        returned: Returned<'_>,
        client: Option<SocketAddr>,
    ) -> Result<LoggedIn, LoginRefused> {
        let (flow, console, redirect_uri) = self.login()?;
        let now = SystemTime::now();
        let store = &self.gateway.store;
        let taken = store.take_login(&digest(returned.state), now.into()).await.map_err(unkept)?;
        let document = taken.ok_or(LoginRefused::Unknown("its state is not known, or not any more"))?;
        let attempt: Attempt = serde_json::from_str(&document).map_err(unkept)?;
        // SECURITY: else somebody could have another's browser log in as themselves.
        let secret = returned.secret.ok_or(LoginRefused::Unknown("the browser has not begun it"))?;
        if !bool::from(digest(secret.expose()).as_bytes().ct_eq(attempt.holder.as_bytes())) {
            return Err(LoginRefused::Unknown("another browser has begun it"));
        }
        let now_asked = (flow.issuer().url(), console.client_id.as_str(), redirect_uri.as_str());
        if now_asked != (&attempt.issuer_url, &attempt.client_id, &attempt.redirect_uri) {
            return Err(LoginRefused::Unknown("the configuration has changed since"));
        }
        if let Some(error) = returned.error {
            return Err(LoginRefused::Denied(error.chars().take(80).collect()));
        }
        let code = returned.code.ok_or_else(|| LoginRefused::Denied("no code".to_owned()))?;
        let (verified, email) = flow
            .redeem(
                oidc::Returned {
                    code,
                    iss: returned.iss,
                    redirect_uri: &redirect_uri,
                    verifier: &derived(secret, b"verifier"),
                    nonce: derived(secret, b"nonce").expose(),
                },
                now,
            )
            .await?;
        let who = (verified.identity().clone(), verified.origin().clone());
        let opened = self.open_login(who, email, (&flow, &console), client, now).await?;
        if let Some(earlier) = returned.earlier {
            // What it held is not needed any more; if that can't be removed, it ends by itself.
            if let Err(error) = store.remove_browser_session(&digest(earlier.expose())).await {
                tracing::warn!(%error, "an earlier login can't be removed");
            }
        }
        Ok(LoggedIn { to: attempt.to, ..opened })
    }

    async fn open_login(
        &self,
        (identity, origin): (Identity, Origin),
        email: Option<String>,
        (flow, console): (&CodeFlow, &config::Console),
        client: Option<SocketAddr>,
        now: SystemTime,
    ) -> Result<LoggedIn, LoginRefused> {
        let by = identity.to_string();
        let roles = self.roles(&identity);
        if !roles.any() {
            return Err(LoginRefused::NoRole(by));
        }
        let opened = Stamp::from(now);
        let kept = Kept {
            issuer: identity.issuer.clone(),
            issuer_url: flow.issuer().url().to_owned(),
            client_id: console.client_id.clone(),
            subject: identity.subject.clone(),
            name: identity.name.clone(),
            email,
            groups: identity.groups.clone(),
            attributes: identity.attributes.clone(),
            on_behalf_of: identity.on_behalf_of.clone().map(|it| (it.issuer, it.subject)),
            subjects: origin.subjects.clone(),
            sid: origin.session.clone(),
            issued: origin.issued_at.map(Stamp::from),
            opened,
            seen: opened,
            ends: opened.after(console.session),
        };
        if let Some(block) = self.gateway.trust.blocks_out(&kept.who(), now) {
            return Err(LoginRefused::Blocked { by, block: block.id });
        }
        let store = &self.gateway.store;
        store.seen(&Who::from(&identity), kept.email.as_deref(), opened).await.map_err(unkept)?;
        // SECURITY: a new one each time, so that nobody can know it who had the browser before.
        let id = random()?;
        self.gateway.record(&Event::LoggedIn {
            by: &by,
            client: client.map(ClientAddr),
            issuer_session: kept.sid.as_deref(),
            roles: &roles.names(),
            until: SystemTime::from(kept.ends).into(),
        })?;
        let session = BrowserSession {
            digest: digest(id.expose()),
            person: by,
            sid: kept.sid.as_ref().map(|sid| format!("{}:{sid}", identity.issuer)),
            expires: kept.expires(console.idle),
            document: serde_json::to_string(&kept).map_err(unkept)?,
        };
        store.put_browser_session(&session, opened).await.map_err(unkept)?;
        Ok(LoggedIn { id, to: String::new(), seconds: console.session.as_secs() })
    }

    /// Finds a login, and keeps it from ending for idleness. `None`: there is none that counts.
    ///
    /// # Errors
    /// The store's, in words: nobody is let in.
    pub async fn browser(&self, id: &Secret<String>) -> Result<Option<Browser>, String> {
        self.browser_by(&digest(id.expose()), Touch::Use).await
    }

    /// Finds a login again, without its being used; for what goes on for long.
    ///
    /// # Errors
    /// The store's, in words.
    pub async fn browser_again(&self, browser: &Browser) -> Result<Option<Browser>, String> {
        self.browser_by(&browser.digest, Touch::Look).await
    }

    async fn browser_by(&self, digest: &str, touch: Touch) -> Result<Option<Browser>, String> {
        let now = SystemTime::now();
        let stamp = Stamp::from(now);
        let store = &self.gateway.store;
        let failed = |error: store::StoreError| oidc::chain(&error);
        let Some(session) = store.browser_session(digest, stamp).await.map_err(failed)? else {
            return Ok(None);
        };
        let mut kept: Kept = serde_json::from_str(&session.document).map_err(|error| error.to_string())?;
        let console = match self.still_counts(&kept, now) {
            Ok(console) => console,
            Err(reason) => {
                store.remove_browser_session(digest).await.map_err(failed)?;
                self.record_logout(&session.person, &reason, 1);
                return Ok(None);
            }
        };
        // A shorter time of a changed configuration holds at once.
        if stamp >= kept.expires(console.idle) || stamp >= kept.opened.after(console.session) {
            store.remove_browser_session(digest).await.map_err(failed)?;
            return Ok(None);
        }
        if touch == Touch::Use && stamp >= kept.seen.after(TOUCH.min(console.idle / 4)) {
            kept.seen = stamp;
            let document = serde_json::to_string(&kept).map_err(|error| error.to_string())?;
            let session = BrowserSession { expires: kept.expires(console.idle), document, ..session };
            if !store.replace_browser_session(&session).await.map_err(failed)? {
                // Ended meanwhile.
                return Ok(None);
            }
        }
        let until = kept.ends.min(kept.opened.after(console.session));
        Ok(Some(Browser {
            identity: kept.who().identity,
            email: kept.email.clone(),
            csrf: Secret::new(csrf(digest)),
            until: until.into(),
            idle_until: kept.expires(console.idle).into(),
            digest: digest.to_owned(),
        }))
    }

    /// Returns by what configuration a login still counts, or why it doesn't.
    fn still_counts(&self, kept: &Kept, now: SystemTime) -> Result<config::Console, String> {
        let live = self.gateway.live();
        let console = live.config.console.as_ref().filter(|it| it.client_id == kept.client_id);
        let issuer =
            live.config.issuers.iter().find(|it| it.name == kept.issuer && it.url == kept.issuer_url);
        let (Some(console), Some(_)) = (console.filter(|it| it.issuer == kept.issuer), issuer) else {
            return Err("nobody logs in by that issuer any more".to_owned());
        };
        let who = kept.who();
        if let Some(block) = self.gateway.trust.blocks_out(&who, now) {
            return Err(format!("kept out by block {}: {}", block.id, block.reason));
        }
        if !Roles::of(&live.config.operators, &who.identity).any() {
            return Err("no group gives a role any more".to_owned());
        }
        Ok(console.clone())
    }

    /// Ends a login.
    ///
    /// # Errors
    /// The store's, in words: it goes on.
    pub async fn log_out(&self, browser: &Browser) -> Result<(), String> {
        let store = &self.gateway.store;
        store.remove_browser_session(&browser.digest).await.map_err(|error| oidc::chain(&error))?;
        self.record_logout(&browser.identity.to_string(), "logout", 1);
        Ok(())
    }

    /// Ends all logins of somebody: `issuer:subject`.
    ///
    /// # Errors
    /// The store's, in words.
    pub(super) async fn log_out_all(&self, person: &str, reason: &str) -> Result<(), String> {
        let store = &self.gateway.store;
        let logins = store.remove_browser_sessions_of(person).await.map_err(|error| oidc::chain(&error))?;
        self.record_logout(person, reason, logins);
        Ok(())
    }

    /// Ends the logins that an issuer has withdrawn. Where the store can't do it, the block of this gateway does.
    pub(super) async fn log_out_withdrawn(
        &self,
        issuer: &str,
        subject: Option<&str>,
        session: Option<&str>,
        reason: &str,
    ) {
        let store = &self.gateway.store;
        let ended = match (session, subject) {
            (Some(sid), _) => store
                .remove_browser_sessions_of_sid(&format!("{issuer}:{sid}"))
                .await
                .map(|logins| self.record_logout(&format!("{issuer}:sid={sid}"), reason, logins))
                .map_err(|error| oidc::chain(&error)),
            (None, Some(subject)) => self.log_out_all(&format!("{issuer}:{subject}"), reason).await,
            (None, None) => Ok(()),
        };
        if let Err(error) = ended {
            tracing::error!(error, "logins that an issuer ended could not be removed");
        }
    }

    /// SECURITY: taking trust away does not wait for the journal to heal.
    fn record_logout(&self, by: &str, reason: &str, logins: u64) {
        if logins == 0 {
            return;
        }
        self.record_or_go_on(&Event::LoggedOut { by, reason, logins }, &mut Vec::new());
    }
}

/// Whether a login is used, or only looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    Use,
    Look,
}

impl Kept {
    fn expires(&self, idle: Duration) -> Stamp {
        self.seen.after(idle).min(self.ends)
    }

    fn who(&self) -> trust::Who {
        let identity = Identity {
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            name: self.name.clone(),
            groups: self.groups.clone(),
            attributes: self.attributes.clone(),
            token_id: None,
            on_behalf_of: self.on_behalf_of.clone().map(|(issuer, subject)| Party { issuer, subject }),
        };
        let origin = Origin {
            subjects: self.subjects.clone(),
            session: self.sid.clone(),
            issued_at: self.issued.map(SystemTime::from),
        };
        trust::Who { identity, origin, method: "browser", expires_at: self.ends.into() }
    }
}

/// 256 random bits.
fn random() -> Result<Secret<String>, LoginRefused> {
    cancel::random::<32>().map(|bytes| Secret::new(hex::encode(bytes))).map_err(unkept)
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// What follows from what the browser holds, and can't be led back to it.
fn derived(secret: &Secret<String>, purpose: &[u8]) -> Secret<String> {
    Secret::new(mac(secret.expose(), purpose))
}

/// The token that shows a request to come from a page of the gateway: it follows from the login, and nobody else can know it.
fn csrf(digest: &str) -> String {
    mac(digest, b"csrf")
}

fn mac(key: &str, purpose: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(purpose);
    hex::encode(mac.finalize().into_bytes())
}

fn unkept(error: impl std::error::Error) -> LoginRefused {
    LoginRefused::Unkept(oidc::chain(&error))
}
