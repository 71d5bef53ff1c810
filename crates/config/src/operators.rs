//! `[operators]`: whose tokens may administer the gateway. Checks no token.

use std::fmt;

use crate::context::Context;
use crate::read::Table;

/// Groups by what they may do; whoever may do more is not listed twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators {
    /// May end sessions, make and remove blocks, and see everything.
    pub operator: Vec<IssuerGroup>,
    /// May see everything.
    pub auditor: Vec<IssuerGroup>,
    /// May see sessions and blocks.
    pub viewer: Vec<IssuerGroup>,
    /// May decide about requests for approval, where a bundle names a group of theirs for it.
    pub approver: Vec<IssuerGroup>,
    /// What their tokens must name in `aud`; `None`: what the issuer's tokens must name anyway.
    pub audience: Option<Vec<String>>,
}

/// A group of one issuer.
///
/// SECURITY: a bare name would let any issuer say who administers the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerGroup {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// As tokens name it.
    pub group: String,
}

impl fmt::Display for IssuerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.group)
    }
}

/// `known` holds the names of all issuers, `None` for one whose name is itself a problem.
pub(crate) fn read(
    table: &Table<'_>,
    known: &[Option<String>],
    context: &mut Context<'_>,
) -> Option<Operators> {
    let mut groups = |key: &str| match table.value(key, context) {
        None => Some(Vec::new()),
        Some(value) => {
            let mut groups = Vec::new();
            let mut complete = true;
            for (span, text) in value.strings(context)? {
                match group(&text, known) {
                    Ok(group) => groups.push(group),
                    Err(message) => {
                        context.error(span, message);
                        complete = false;
                    }
                }
            }
            complete.then_some(groups)
        }
    };
    let (operator, auditor, viewer) = (groups("operator"), groups("auditor"), groups("viewer"));
    let approver = groups("approver");
    let audience = match table.value("audience", context) {
        None => Some(None),
        Some(value) => {
            value.strings(context).map(|many| Some(many.into_iter().map(|(_, text)| text).collect()))
        }
    };
    let (operator, auditor, viewer, approver) = (operator?, auditor?, viewer?, approver?);
    Some(Operators { operator, auditor, viewer, approver, audience: audience? })
}

fn group(text: &str, known: &[Option<String>]) -> Result<IssuerGroup, String> {
    let Some((issuer, group)) = text.split_once(':').filter(|(_, group)| !group.is_empty()) else {
        return Err(format!("\"{text}\" must name the issuer too, as in \"corp:{text}\""));
    };
    if known.iter().any(|known| known.as_ref().is_none_or(|known| known == issuer)) {
        return Ok(IssuerGroup { issuer: issuer.to_owned(), group: group.to_owned() });
    }
    let names: Vec<_> = known.iter().flatten().map(|known| format!("\"{known}\"")).collect();
    Err(format!("there is no [[issuer]] named \"{issuer}\"; there is {}", names.join(", ")))
}
