//! The actor of a token (RFC 8693, section 4.1): who acts, for whom, and through whom before. Knows no signature.

use model::Party;
use serde_json::Value;

use crate::claims::{named, subject};
use crate::rejection::Excerpt;
use crate::{ClaimPath, IssuerRules, Rejection};

/// What an issuer means by the claim `act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Actor {
    /// What RFC 8693 says: whoever is in it acts, for the token's subject.
    #[default]
    Act,
    /// Something else: the claim isn't looked at, and the token's subject acts for itself.
    Ignore,
    /// A token that has it is refused.
    Refuse,
}

/// The most actors of one token, nested ones included.
const ACTORS_MAX: usize = 8;

/// Who acts by a token.
pub(crate) struct Acting<'c> {
    pub(crate) subject: String,
    /// The claims that describe who acts: the token's own, or those of its `act`.
    pub(crate) claims: &'c Value,
    /// For whom; the token's own subject.
    pub(crate) on_behalf_of: Option<Party>,
    /// Who acted before, latest first: information only (RFC 8693 4.1).
    pub(crate) prior: Vec<Party>,
}

/// Finds who acts.
///
/// SECURITY: an issuer is believed about its own identities only. If it could name another one's as the actor, it could make
/// tokens in that one's name; so an actor with a foreign `iss` is refused, whether or not that issuer is configured.
pub(crate) fn acting<'c>(claims: &'c Value, rules: &IssuerRules) -> Result<Acting<'c>, Rejection> {
    let own = subject(claims, rules, "")?;
    let act = match (rules.actor, claims.get("act")) {
        (_, None) | (Actor::Ignore, _) => {
            return Ok(Acting { subject: own, claims, on_behalf_of: None, prior: Vec::new() });
        }
        (Actor::Refuse, Some(_)) => return Err(Rejection::HasActor),
        (Actor::Act, Some(act)) => act,
    };
    let actor = party(act, rules)?;
    if actor.issuer != rules.name {
        return Err(Rejection::ForeignActor(Excerpt::of(&actor.issuer)));
    }
    let mut prior = Vec::new();
    let mut next = act.get("act");
    while let Some(act) = next {
        if prior.len() + 1 == ACTORS_MAX {
            return Err(Rejection::TooManyActors { actors_max: ACTORS_MAX });
        }
        prior.push(party(act, rules)?);
        next = act.get("act");
    }
    let on_behalf_of = Some(Party { issuer: actor.issuer, subject: own });
    Ok(Acting { subject: actor.subject, claims: act, on_behalf_of, prior })
}

/// Reads one actor. Its issuer is the configured name if it is the token's own, and else its `iss` as it is, which has a `:` and
/// so is nobody's name.
fn party(act: &Value, rules: &IssuerRules) -> Result<Party, Rejection> {
    if !act.is_object() {
        return Err(Rejection::BadClaim { claim: "act".to_owned(), expected: "an object" });
    }
    let subject = subject(act, rules, "act.")?;
    let issuer = match act.get("iss") {
        None => rules.name.clone(),
        Some(Value::String(iss)) if *iss == rules.issuer_url => rules.name.clone(),
        Some(Value::String(iss)) if iss.contains(':') => named(iss, &ClaimPath::top("act.iss"))?,
        Some(_) => {
            return Err(Rejection::BadClaim { claim: "act.iss".to_owned(), expected: "an issuer's URL" });
        }
    };
    Ok(Party { issuer, subject })
}
