//! Browsers that are logged in, and log-ins under way. Both are found by the digest of a secret, never by the secret.

use approval::Stamp;

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// A browser that is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserSession {
    /// Of the cookie.
    pub digest: String,
    /// `issuer:subject` of whose it is.
    pub person: String,
    /// `issuer:sid` of its log-in at the issuer, where that said one, by which the issuer ends it.
    pub sid: Option<String>,
    /// Until when it counts.
    pub expires: Stamp,
    /// Whatever belongs to it.
    pub document: String,
}

/// Browsers that may be logged in at one time.
const BROWSER_SESSIONS_MAX: i64 = 100_000;
/// Log-ins that may be under way at one time.
const LOGIN_ATTEMPTS_MAX: i64 = 10_000;

impl Store {
    /// Keeps a session.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn put_browser_session(&self, session: &BrowserSession, now: Stamp) -> Result<(), StoreError> {
        let made = put!(
            self,
            sqlx::query_scalar::<_, String>(
                "INSERT INTO browser_sessions (digest, person, sid, expires, body) SELECT $1, $2, $3, $4, $5
             WHERE (SELECT count(*) FROM browser_sessions WHERE expires > $6) < $7 RETURNING digest",
            )
            .bind(&session.digest)
            .bind(&session.person)
            .bind(&session.sid)
            .bind(signed(session.expires.0))
            .bind(&session.document)
            .bind(signed(now.0))
            .bind(BROWSER_SESSIONS_MAX)
        )
        .map(first)?;
        let full = StoreError::Full { what: "sessions of browsers", most: unsigned(BROWSER_SESSIONS_MAX) };
        made.map(drop).ok_or(full)
    }

    /// Returns a session that counts at `now`.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn browser_session(
        &self,
        digest: &str,
        now: Stamp,
    ) -> Result<Option<BrowserSession>, StoreError> {
        let row: Option<(String, Option<String>, i64, String)> = ask!(
            self,
            sqlx::query_as(
                "SELECT person, sid, expires, body FROM browser_sessions WHERE digest = $1 AND expires > $2"
            )
            .bind(digest)
            .bind(signed(now.0))
        )
        .map(first)?;
        Ok(row.map(|(person, sid, expires, document)| {
            let (digest, expires) = (digest.to_owned(), Stamp(unsigned(expires)));
            BrowserSession { digest, person, sid, expires, document }
        }))
    }

    /// Writes expiry and document of a session. `false`: there is none, any more.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn replace_browser_session(&self, session: &BrowserSession) -> Result<bool, StoreError> {
        let written = put!(self, sqlx::query_scalar::<_, String>(
            "UPDATE browser_sessions SET expires = $1, body = $2 WHERE digest = $3 AND person = $4 RETURNING digest"
        )
        .bind(signed(session.expires.0))
        .bind(&session.document)
        .bind(&session.digest)
        .bind(&session.person)).map(first)?;
        Ok(written.is_some())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn remove_browser_session(&self, digest: &str) -> Result<(), StoreError> {
        run!(self, sqlx::query("DELETE FROM browser_sessions WHERE digest = $1").bind(digest)).map(drop)
    }

    /// Ends all sessions of somebody, and returns how many there were.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn remove_browser_sessions_of(&self, person: &str) -> Result<u64, StoreError> {
        let removed: Vec<String> = put!(
            self,
            sqlx::query_scalar("DELETE FROM browser_sessions WHERE person = $1 RETURNING digest")
                .bind(person)
        )?;
        Ok(removed.len() as u64)
    }

    /// Ends all sessions of a log-in at an issuer (`issuer:sid`), and returns how many there were.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn remove_browser_sessions_of_sid(&self, sid: &str) -> Result<u64, StoreError> {
        run!(self, sqlx::query("DELETE FROM browser_sessions WHERE sid = $1").bind(sid))
    }

    /// Keeps what a log-in needs when the browser comes back.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn begin_login(
        &self,
        digest: &str,
        document: &str,
        expires: Stamp,
        now: Stamp,
    ) -> Result<(), StoreError> {
        let made = put!(
            self,
            sqlx::query_scalar::<_, String>(
                "INSERT INTO login_attempts (digest, expires, body) SELECT $1, $2, $3
             WHERE (SELECT count(*) FROM login_attempts WHERE expires > $4) < $5 RETURNING digest",
            )
            .bind(digest)
            .bind(signed(expires.0))
            .bind(document)
            .bind(signed(now.0))
            .bind(LOGIN_ATTEMPTS_MAX)
        )
        .map(first)?;
        let full = StoreError::Full { what: "log-ins under way", most: unsigned(LOGIN_ATTEMPTS_MAX) };
        made.map(drop).ok_or(full)
    }

    /// Returns what was kept, once.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn take_login(&self, digest: &str, now: Stamp) -> Result<Option<String>, StoreError> {
        let row: Option<(i64, String)> = put!(
            self,
            sqlx::query_as("DELETE FROM login_attempts WHERE digest = $1 RETURNING expires, body")
                .bind(digest)
        )
        .map(first)?;
        Ok(row.filter(|(expires, _)| unsigned(*expires) > now.0).map(|(_, document)| document))
    }
}
