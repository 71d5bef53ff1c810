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
    /// An address, where the issuer gives one (the attribute `email`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
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

    /// Returns whether nothing speaks against its being the same person: another issuer may know them by the same address.
    ///
    /// SECURITY: this only ever refuses. Nobody gets more by an address.
    pub fn is_same_person(&self, other: &Self) -> bool {
        let address = |who: &Self| who.email.as_deref().map(str::to_lowercase).filter(|it| !it.is_empty());
        self.is(other) || address(self).is_some_and(|known| address(other) == Some(known))
    }

    /// Returns what it has to do with somebody who asks, if anything: then it may not decide.
    pub fn relation(&self, requester: &Self) -> Option<Relation> {
        if self.is_same_person(requester) {
            return Some(Relation::Itself);
        }
        let human = requester.on_behalf_of.as_deref();
        if human.is_some_and(|human| self.is_named(human)) {
            return Some(Relation::ActedFor);
        }
        let owner = requester.owner.as_deref();
        if owner.is_some_and(|owner| self.is_named(owner)) {
            return Some(Relation::Owner);
        }
        if self.on_behalf_of.is_some() {
            return Some(Relation::ForAnother);
        }
        let mine = self.owner.as_deref()?;
        let theirs = requester.is_named(mine)
            || [human, owner].into_iter().flatten().any(|name| same_name(name, mine));
        theirs.then_some(Relation::Owned)
    }

    /// Whether an attribute or a claim could mean it: `issuer:subject`, the subject, the display name or the address.
    fn is_named(&self, name: &str) -> bool {
        let full = self.to_string();
        let own = [Some(full.as_str()), Some(&self.subject), self.name.as_deref(), self.email.as_deref()];
        own.into_iter().flatten().any(|own| same_name(own, name))
    }
}

/// Whether two ways to name somebody could mean the same: also where only one of them says the issuer.
fn same_name(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim().to_lowercase(), other.trim().to_lowercase());
    if one.is_empty() || other.is_empty() {
        return false;
    }
    let bare = |name: &str, full: &str| full.split_once(':').is_some_and(|(_, subject)| subject == name);
    one == other || bare(&one, &other) || bare(&other, &one)
}

/// Why somebody may not decide about what another asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It asks itself.
    Itself,
    /// Whoever asks acts for it.
    ActedFor,
    /// It answers for whoever asks.
    Owner,
    /// It acts for somebody: an agent has no vote.
    ForAnother,
    /// It belongs to whoever asks, or to the same owner.
    Owned,
}

impl From<&Identity> for Who {
    fn from(identity: &Identity) -> Self {
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            name: identity.name.clone(),
            email: identity.attributes.get("email").cloned(),
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
