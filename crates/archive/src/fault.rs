//! What can go wrong with an object store, told without what a server may repeat of what was sent.

use std::error::Error as _;
use std::fmt;

use object_store::Error;

/// What went wrong with an object, or with a store as a whole.
#[derive(Debug)]
pub struct Fault {
    store: String,
    key: String,
    kind: Kind,
}

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Operator: the store can't be used as it is configured.
    Config(String),
    /// Programmer: no key of ours looks like this.
    BadKey,
    /// There is no such object, or no such bucket.
    NotFound,
    /// Operator: the store doesn't let the gateway do that; or the object is locked.
    Refused,
    /// It is larger than whoever asked is ready to hold, in bytes.
    TooLarge(u64),
    /// There are more objects than whoever asked is ready to hold.
    TooMany(usize),
    /// Network, store or disk: may pass.
    Other(String),
}

impl Fault {
    pub(crate) fn new(store: &str, key: &str, kind: Kind) -> Self {
        Self { store: store.to_owned(), key: key.escape_debug().to_string(), kind }
    }

    pub(crate) fn of(store: &str, key: &str, error: Error) -> Self {
        let kind = match &error {
            Error::NotFound { .. } => Kind::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Kind::Refused,
            other => Kind::Other(line(other)),
        };
        Self::new(store, key, kind)
    }

    /// Returns what went wrong.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, key, kind } = self;
        write!(f, "object store \"{store}\"")?;
        if !key.is_empty() {
            write!(f, ", object \"{key}\"")?;
        }
        match kind {
            Kind::Config(wrong) => write!(f, ": {wrong}"),
            Kind::BadKey => f.write_str(": a key must be of letters, digits, \"-\", \"_\", \".\" and \"=\", with \"/\" between"),
            Kind::NotFound => f.write_str(": there is no such object, or no such bucket"),
            Kind::Refused => f.write_str(": the store does not allow it; look at its credentials and what they may do there, and whether the object is locked"),
            Kind::TooLarge(most) => write!(f, ": it has more than {most} bytes"),
            Kind::TooMany(most) => write!(f, ": there are more than {most} objects"),
            Kind::Other(what) => write!(f, ": {what}"),
        }
    }
}

impl std::error::Error for Fault {}

/// An error and its causes, in one line.
pub(crate) fn line(error: &Error) -> String {
    const LONGEST: usize = 300;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    // SECURITY: S3's answer to a wrong signature has the key's id and what was signed in it; answers are XML or HTML.
    let told = text.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
    told.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
