//! An event as the JSON of a generic webhook. Knows no signature, and no HTTP.

use approval::{Request, Stamp, State};
use audit::Time;
use config::NotifyStatement;
use serde_json::{Value, json};

use crate::letter::Event;

/// Returns the body: Standard Webhooks' `type`, `timestamp` and `data`. It is the same for each attempt.
pub(crate) fn body(
    event: Event,
    request: &Request,
    sent: NotifyStatement,
    console: Option<&str>,
    at: Stamp,
) -> Value {
    let ask = &request.ask;
    let words = match sent {
        NotifyStatement::None => None,
        NotifyStatement::Full => Some(&ask.statement),
    };
    let ended = match &request.state {
        State::Ended(why) => Some(why.as_str()),
        _ => None,
    };
    let state = match &request.state {
        State::Open => "open",
        State::Approved => "approved",
        State::Denied => "denied",
        State::Used => "used",
        State::Ended(_) => "ended",
    };
    let votes: Vec<_> = request
        .votes
        .iter()
        .map(|vote| {
            json!({
                "by": vote.by.to_string(), "for": vote.delegated_by.as_ref().map(ToString::to_string),
                "verdict": vote.verdict, "reason": vote.reason, "at": time(vote.at), "via": vote.via,
            })
        })
        .collect();
    json!({
        "type": format!("approval.{}", event.as_str()),
        "timestamp": time(at),
        "data": {
            "number": request.number,
            "binding": ask.binding,
            "state": state,
            "ended": ended,
            "opened": time(request.opened),
            "until": time(request.until),
            "requester": ask.requester.to_string(),
            "requester_name": ask.requester.name,
            "owner": ask.requester.owner,
            "on_behalf_of": ask.requester.on_behalf_of,
            "database": ask.database,
            "application_name": ask.application_name,
            "command": ask.statement.command,
            "statement": words.map(|it| &it.text),
            "runs": words.and_then(|it| it.runs.as_ref()),
            "parameters": words.map(|it| &it.parameters),
            "pattern": ask.statement.pattern,
            "touches": ask.touches.iter().map(|it| json!({"action": it.action, "resource": it.resource})).collect::<Vec<_>>(),
            "rules": ask.rules.iter().map(|it| &it.id).collect::<Vec<_>>(),
            "why": ask.why,
            "purpose": ask.purpose,
            "approvers": ask.needs.iter().map(|it| json!({"name": it.name, "quorum": it.quorum})).collect::<Vec<_>>(),
            "votes": votes,
            "link": console.map(|base| format!("{base}/approvals/{}", request.number)),
        },
    })
}

/// Returns the body of a test message.
pub(crate) fn test(channel: &str, at: Stamp) -> Value {
    json!({"type": "gatepost.test", "timestamp": time(at), "data": {"channel": channel}})
}

fn time(at: Stamp) -> String {
    Time::from(std::time::SystemTime::from(at)).to_string()
}

#[cfg(test)]
mod tests {
    use super::body;
    use crate::letter::Event;
    use crate::testdata::request;
    use approval::Stamp;
    use config::NotifyStatement;

    #[test]
    fn nothing_of_the_statement_is_in_a_body_that_is_not_to_have_it() {
        let request = request("DELETE FROM t WHERE name = 'canary' AND id = $1");
        let all = body(Event::Opened, &request, NotifyStatement::Full, None, Stamp(0));
        assert!(all.to_string().contains("canary") && all["data"]["parameters"][0]["value"]["text"] == "42");
        let none = body(Event::Opened, &request, NotifyStatement::None, Some("https://g.example"), Stamp(0));
        assert!(!none.to_string().contains("canary") && none["data"]["parameters"].is_null());
        assert_eq!(none["type"], "approval.opened");
        assert_eq!(none["timestamp"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(none["data"]["binding"], request.ask.binding.to_string());
        assert_eq!(none["data"]["link"], "https://g.example/approvals/7");
    }
}
