//! What the rules of a bundle look at of who asks: identities that agree in it are one to them.
//!
//! Reads rules in their JSON form. What it doesn't understand looks at everything, which only makes scopes smaller.

use std::collections::BTreeSet;

use model::Identity;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::inquiry::Fault;
use super::rules::{Engine, Principals};
use super::value::Value;
use crate::schema;

/// What rules look at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Looks {
    groups: BTreeSet<String>,
    agents: BTreeSet<String>,
    attributes: BTreeSet<String>,
    /// Of `principal.claims`.
    claims: BTreeSet<String>,
    everything: bool,
}

impl Engine {
    /// Digests what the rules can see of an identity.
    pub(crate) fn see(
        &self,
        database: &str,
        identity: &Identity,
        claims: &[String],
        digest: &mut Sha256,
    ) -> Result<(), Fault> {
        let mut looks = Looks::default();
        for rule in &self.rules {
            match &rule.principal {
                Principals::Anyone => {}
                Principals::Group(group) => drop(looks.groups.insert(group.clone())),
                Principals::Agent(agent) => drop(looks.agents.insert(agent.clone())),
            }
            looks.walk(rule.json.get("conditions").unwrap_or(&Json::Null));
        }
        let agent = identity.to_string();
        let principal = self.principal(database, identity, claims)?;
        let mut put = |label: &str, text: &str| {
            for piece in [label, text] {
                digest.update((piece.len() as u64).to_be_bytes());
                digest.update(piece.as_bytes());
            }
        };
        for group in identity.groups.iter().filter(|g| looks.everything || looks.groups.contains(*g)) {
            put("group", group);
        }
        if looks.everything || looks.agents.contains(&agent) {
            put("agent", &agent);
        }
        for attribute in schema::AGENT_ATTRIBUTES {
            if *attribute != "claims" && (looks.everything || looks.attributes.contains(*attribute)) {
                put(attribute, &format!("{:?}", principal.attribute(attribute)));
            }
        }
        let held = principal.attribute("claims");
        for claim in claims {
            let looked = looks.everything || looks.attributes.contains("claims");
            if looked || looks.claims.contains(claim) {
                let has = held.has(claim) == Value::Bool(true);
                put("claim", claim);
                put(if has { "is" } else { "is not" }, &format!("{:?}", held.attribute(claim)));
            }
        }
        Ok(())
    }
}

impl Looks {
    fn walk(&mut self, json: &Json) {
        match json {
            Json::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Json::Object(_) if is_principal(json) => self.everything = true,
            Json::Object(fields) => {
                for (operator, operands) in fields {
                    if !self.takes(operator, operands) {
                        self.walk(operands);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    /// Notes what an operator looks at, if it is one that looks at the principal in a way that is understood.
    fn takes(&mut self, operator: &str, operands: &Json) -> bool {
        let Some(left) = operands.get("left") else { return false };
        let attribute = operands.get("attr").and_then(Json::as_str);
        match operator {
            "." | "has" if is_principal(left) => match attribute {
                Some(attribute) => self.attributes.insert(attribute.to_owned()),
                None => return false,
            },
            "." | "has" if is_claims(left) => match attribute {
                Some(claim) => self.claims.insert(claim.to_owned()),
                None => return false,
            },
            "is" if is_principal(left) => {
                return operands.get("in").is_none_or(|group| self.compared_with(group));
            }
            "in" | "==" | "!=" if is_principal(left) => {
                return operands.get("right").is_some_and(|right| self.compared_with(right));
            }
            _ => return false,
        };
        true
    }

    /// Notes the literals that the principal is compared with; false if there is anything else.
    fn compared_with(&mut self, json: &Json) -> bool {
        if let Some(members) = json.get("Set").and_then(Json::as_array) {
            return members.iter().all(|member| self.compared_with(member));
        }
        let entity = json.get("Value").and_then(|value| value.get("__entity"));
        let text = |key| entity.and_then(|e| e.get(key)).and_then(Json::as_str).map(str::to_owned);
        match (text("type").as_deref(), text("id")) {
            (Some("Group"), Some(id)) => self.groups.insert(id),
            (Some("Agent"), Some(id)) => self.agents.insert(id),
            _ => return false,
        };
        true
    }
}

fn is_principal(json: &Json) -> bool {
    json.get("Var").and_then(Json::as_str) == Some("principal")
}

fn is_claims(json: &Json) -> bool {
    json.get(".").is_some_and(|access| {
        access.get("left").is_some_and(is_principal)
            && access.get("attr").and_then(Json::as_str) == Some("claims")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn looks(condition: &Json) -> Looks {
        let mut looks = Looks::default();
        looks.walk(&json!([{ "kind": "when", "body": condition }]));
        looks
    }

    #[test]
    fn what_a_rule_looks_at_is_told_and_what_is_not_understood_is_everything() {
        let principal = json!({"Var": "principal"});
        let attribute = |of: &Json, name: &str| json!({".": {"left": of, "attr": name}});
        let group = json!({"Value": {"__entity": {"type": "Group", "id": "g"}}});
        let member = looks(&json!({"in": {"left": principal, "right": {"Set": [group]}}}));
        assert_eq!(member, Looks { groups: ["g".to_owned()].into(), ..Looks::default() });
        let claim = looks(&attribute(&attribute(&principal, "claims"), "team"));
        assert_eq!(claim, Looks { claims: ["team".to_owned()].into(), ..Looks::default() });
        let subject = looks(&json!({"!": {"arg": attribute(&principal, "subject")}}));
        assert_eq!(subject, Looks { attributes: ["subject".to_owned()].into(), ..Looks::default() });
        assert!(looks(&json!({"==": {"left": group, "right": principal}})).everything);
        assert!(looks(&json!({"in": {"left": principal, "right": {"Var": "resource"}}})).everything);
        assert!(looks(&json!({"Set": [principal]})).everything);
        assert_eq!(looks(&json!({"Var": "resource"})), Looks::default());
    }
}
