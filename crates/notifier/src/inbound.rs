//! What somebody says by a button in Slack or by a signed webhook. Knows no signature (that is checked before), no person behind an id, and decides nothing.

use std::borrow::Cow;

use approval::Number;
use serde::Deserialize;
use serde_json::Value;

use crate::slack::{APPROVE, DENY, REASON};

/// Of a reason, in bytes: it is recorded, and shown to whoever asked.
const REASON_BYTES_MAX: usize = 2000;

/// Why a call that is signed is not understood: its sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCall(&'static str);

/// What somebody has said of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The person, as the channel names them.
    pub person: String,
    /// Which request.
    pub number: Number,
    /// What was asked when they were told of it, in hexadecimal.
    ///
    /// SECURITY: with a new store numbers begin anew; an old message must not approve another request.
    pub binding: String,
    /// What.
    pub said: Said,
    /// Why.
    pub reason: Option<String>,
}

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// Reads what Slack sends when somebody uses a message: a decision, and where to answer. `Ok(None)`: nothing follows from it, as from a link that was opened.
///
/// The body has one field, `payload` (<https://docs.slack.dev/reference/interaction-payloads/block_actions-payload>).
///
/// # Errors
/// [`BadCall`]: it is no such payload, or another workspace's.
pub fn interaction(body: &[u8], workspace: &str) -> Result<Option<(Decision, String)>, BadCall> {
    let mut payloads =
        url::form_urlencoded::parse(body).filter(|(name, _)| name == "payload").map(|(_, it)| it);
    let (Some(payload), None): (Option<Cow<'_, str>>, _) = (payloads.next(), payloads.next()) else {
        return Err(BadCall("it has no payload, or several"));
    };
    let payload: Value = serde_json::from_str(&payload).map_err(|_| BadCall("its payload is no JSON"))?;
    if payload.get("type").and_then(Value::as_str) != Some("block_actions") {
        return Ok(None);
    }
    let user = payload.get("user").ok_or(BadCall("it names no user"))?;
    // A user's id is unique only with its workspace; in shared channels others press buttons too.
    let team = user.get("team_id").or_else(|| payload.pointer("/team/id")).and_then(Value::as_str);
    if team != Some(workspace) {
        return Err(BadCall("its user is not of the workspace that the configuration names"));
    }
    let person = user.get("id").and_then(Value::as_str).ok_or(BadCall("it names no user"))?;
    let actions = payload.get("actions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let [action] = actions else { return Err(BadCall("it has not one action")) };
    let said = match action.get("action_id").and_then(Value::as_str) {
        Some(APPROVE) => Said::Approve,
        Some(DENY) => Said::Deny,
        _ => return Ok(None),
    };
    let value = action.get("value").and_then(Value::as_str).ok_or(BadCall("its button has no value"))?;
    let (number, binding) = value.split_once(':').ok_or(BadCall("its button is none of ours"))?;
    let number = Number(number.parse().map_err(|_| BadCall("its button is none of ours"))?);
    let reason = payload.pointer(&format!("/state/values/{REASON}.{number}/{REASON}/value"));
    let reason = reason.and_then(Value::as_str).map(str::to_owned);
    let respond = payload.get("response_url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let decision = Decision {
        person: person.to_owned(),
        number,
        binding: binding.to_owned(),
        said,
        reason: checked(reason)?,
    };
    Ok(Some((decision, respond)))
}

/// The body of a webhook that carries a decision.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    r#type: String,
    data: Data,
    /// When its sender says it was decided; the signature's time counts.
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    number: Number,
    binding: String,
    decision: Said,
    person: String,
    #[serde(default)]
    reason: Option<String>,
}

/// Reads a decision from the body of a webhook.
///
/// # Errors
/// [`BadCall`]: it is none.
pub fn webhook_decision(body: &[u8]) -> Result<Decision, BadCall> {
    let body: Body = serde_json::from_slice(body).map_err(|_| {
        BadCall("its body is not {\"type\": \"approval.decision\", \"data\": {\"number\", \"binding\", \"decision\", \"person\", \"reason\"}}")
    })?;
    if body.r#type != "approval.decision" {
        return Err(BadCall("its type is not approval.decision"));
    }
    let Data { number, binding, decision, person, reason } = body.data;
    Ok(Decision { person, number, binding, said: decision, reason: checked(reason)? })
}

fn checked(reason: Option<String>) -> Result<Option<String>, BadCall> {
    let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match reason {
        Some(text) if text.len() > REASON_BYTES_MAX => Err(BadCall("its reason is longer than 2000 bytes")),
        reason => Ok(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Said, interaction, webhook_decision};
    use approval::Number;
    use serde_json::{Value, json};

    fn form(payload: &Value) -> Vec<u8> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("payload", &payload.to_string()).finish().into_bytes()
    }

    fn pressed() -> Value {
        json!({
            "type": "block_actions",
            "user": {"id": "U1", "username": "alice", "team_id": "T1"},
            "team": {"id": "T1"},
            "actions": [{"type": "button", "action_id": "gatepost.approve", "value": "7:abcd"}],
            "state": {"values": {"gatepost.reason.7": {"gatepost.reason": {"type": "plain_text_input", "value": " fine "}}}},
            "response_url": "https://hooks.slack.com/actions/1",
        })
    }

    #[test]
    fn a_button_is_a_decision_of_that_person() {
        let (decision, url) = interaction(&form(&pressed()), "T1").unwrap().unwrap();
        let expected = Decision {
            person: "U1".into(),
            number: Number(7),
            binding: "abcd".into(),
            said: Said::Approve,
            reason: Some("fine".into()),
        };
        assert_eq!((decision, url.as_str()), (expected, "https://hooks.slack.com/actions/1"));
    }

    #[test]
    fn what_is_no_button_of_ours_decides_nothing() {
        let change = |pointer: &str, value: Value| {
            let mut payload = pressed();
            *payload.pointer_mut(pointer).unwrap() = value;
            interaction(&form(&payload), "T1")
        };
        assert_eq!(change("/type", json!("view_submission")), Ok(None));
        assert_eq!(change("/actions/0/action_id", json!("gatepost.open")), Ok(None));
        for (pointer, value) in [
            ("/user/team_id", json!("T2")),
            ("/user/id", json!(null)),
            ("/actions", json!([])),
            ("/actions/0/value", json!("7")),
            ("/actions/0/value", json!("-7:abcd")),
            ("/actions/0/value", json!("x:abcd")),
            (
                "/actions",
                json!([{"action_id": "gatepost.open"}, {"action_id": "gatepost.approve", "value": "7:abcd"}]),
            ),
            ("/state/values/gatepost.reason.7/gatepost.reason/value", json!("x".repeat(2001))),
        ] {
            assert!(change(pointer, value.clone()).is_err(), "{pointer} {value}");
        }
        let twice = [form(&pressed()), b"&".to_vec(), form(&pressed())].concat();
        assert!(interaction(&twice, "T1").is_err());
        assert!(interaction(b"", "T1").is_err() && interaction(b"payload=%7B", "T1").is_err());
    }

    #[test]
    fn a_webhook_s_decision_says_all_that_it_must_and_nothing_else() {
        let good = json!({"type": "approval.decision", "data": {
            "number": 7, "binding": "abcd", "decision": "deny", "person": "alice@example.com", "reason": "no"}});
        let decision = webhook_decision(good.to_string().as_bytes()).unwrap();
        assert_eq!((decision.said, decision.person.as_str()), (Said::Deny, "alice@example.com"));
        for pointer in ["number", "binding", "decision", "person"] {
            let mut lacks = good.clone();
            lacks["data"].as_object_mut().unwrap().remove(pointer);
            assert!(webhook_decision(lacks.to_string().as_bytes()).is_err(), "{pointer}");
        }
        let mut more = good.clone();
        more["data"]["groups"] = json!(["dba"]);
        assert!(webhook_decision(more.to_string().as_bytes()).is_err());
        let mut other = good;
        other["type"] = json!("approval.opened");
        assert!(webhook_decision(other.to_string().as_bytes()).is_err());
    }
}
