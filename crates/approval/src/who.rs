//! People and agents as approvals name them, and the time. Proves nothing of anybody.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use model::Identity;
use serde::{Deserialize, Serialize};

/// Somebody who asks or decides: an [`Identity`] as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Unique within the issuer.
    pub subject: String,
    /// A display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Groups at that moment.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Who answers for it, if its credential says so (the attribute `owner`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// `issuer:subject` of whom it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

impl Who {
    /// Returns whether it is the same person or agent: names and groups may have changed.
    pub fn is(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

impl From<&Identity> for Who {
    fn from(identity: &Identity) -> Self {
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            name: identity.name.clone(),
            groups: identity.groups.clone(),
            owner: identity.attributes.get("owner").cloned(),
            on_behalf_of: identity.on_behalf_of.as_ref().map(ToString::to_string),
        }
    }
}

impl fmt::Display for Who {
    /// Writes `issuer:subject`, as for an [`Identity`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.subject)
    }
}

/// A moment: milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Returns the moment that is so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Stamp> for SystemTime {
    fn from(stamp: Stamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(stamp.0)
    }
}
