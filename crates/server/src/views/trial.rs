//! Trying a policy: a statement explained as if somebody asked it. Executes nothing.

use std::collections::BTreeMap;

use model::{Identity, Party};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ViewError;

/// The longest text that is explained.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What is to be explained, and as whom.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainAs {
    /// The text: one statement or several.
    pub sql: String,
    /// As whom: `issuer:subject`; `None`: somebody in `groups`.
    pub identity: Option<String>,
    /// Its groups; `None`: those that it had when it was seen last.
    pub groups: Option<Vec<String>>,
    /// Claims that rules may look at; `None`: those that it had when it was seen last.
    pub attributes: Option<BTreeMap<String, String>>,
    /// For whom it acts: `issuer:subject`.
    pub on_behalf_of: Option<String>,
    /// Where names are looked for: schemas with commas between; `None`: as the gateway's own login does.
    pub search_path: Option<String>,
}

/// What is known of somebody from their last session.
pub(crate) struct Known {
    pub(crate) groups: Vec<String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl ExplainAs {
    /// Says who is supposed to ask. `known` looks somebody up.
    ///
    /// # Errors
    /// [`ViewError::Invalid`]: whoever asked.
    pub(crate) fn identity(&self, known: impl FnOnce(&str) -> Option<Known>) -> Result<Identity, ViewError> {
        if self.sql.len() > TEXT_BYTES_MAX {
            return Err(ViewError::Invalid(format!("sql is longer than {TEXT_BYTES_MAX} bytes")));
        }
        if self.identity.is_none() && self.groups.is_none() {
            return Err(ViewError::Invalid("say who asks: identity, groups, or both".to_owned()));
        }
        let known = self.identity.as_deref().and_then(known);
        let (groups, attributes) = known.map(|it| (it.groups, it.attributes)).unwrap_or_default();
        let Party { issuer, subject } = match &self.identity {
            Some(text) => party("identity", text)?,
            None => Party { issuer: "explain".to_owned(), subject: "anybody".to_owned() },
        };
        let on_behalf_of = self.on_behalf_of.as_deref().map(|it| party("on_behalf_of", it)).transpose()?;
        Ok(Identity {
            issuer,
            subject,
            name: None,
            groups: self.groups.clone().unwrap_or(groups).into_iter().filter(|it| !it.is_empty()).collect(),
            attributes: self.attributes.clone().unwrap_or(attributes),
            token_id: None,
            on_behalf_of,
        })
    }
}

fn party(name: &str, text: &str) -> Result<Party, ViewError> {
    let named = text.split_once(':').filter(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
    named
        .map(|(issuer, subject)| Party { issuer: issuer.to_owned(), subject: subject.to_owned() })
        .ok_or_else(|| ViewError::Invalid(format!("{name} {text:?} must be like corp:alice")))
}
