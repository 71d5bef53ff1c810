//! A letter as a Slack message of Block Kit. Knows no HTTP.
//!
//! SECURITY: strangers' text stands only in `text` elements of `rich_text` blocks and in `plain_text` objects, neither of which Slack parses for mentions, links or
//! mrkdwn (<https://docs.slack.dev/reference/block-kit/blocks/rich-text-block>); the one text that it does parse, that of the notification, is escaped.

use approval::{Binding, Number};
use serde_json::{Value, json};

use crate::letter::{Event, Letter};
use crate::shown::{Looks, Shown};

/// What of a statement, or of its parameters, is shown in Slack: as much as Slack documents for a text object of a section
/// (3000 characters, <https://docs.slack.dev/reference/block-kit/blocks/section-block>), and no more lines than can be taken in.
pub const LONGEST_SHOWN: usize = 3000;
const LINES_MAX: usize = 100;
/// <https://docs.slack.dev/reference/block-kit/blocks/header-block>.
const HEADER_CHARS_MAX: usize = 150;
/// A reason is kept and shown; so is what the desk takes.
const REASON_CHARS_MAX: u32 = 500;

/// What a button's `action_id` says, and where the reason stands.
pub(crate) const APPROVE: &str = "gatepost.approve";
pub(crate) const DENY: &str = "gatepost.deny";
pub(crate) const REASON: &str = "gatepost.reason";

/// Whether a request can be decided by what a message shows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approvable {
    /// All of it is shown, as it is.
    Yes,
    /// It can only be opened, for this reason.
    No(&'static str),
}

impl Letter {
    /// Returns whether the request can be approved in Slack: an approver must see all that will run.
    pub fn approvable(&self) -> Approvable {
        if let Some(why) = self.incomplete {
            return Approvable::No(why);
        }
        if self.open.is_none() || self.parts.is_empty() {
            return Approvable::No("it is over");
        }
        for (_, shown) in &self.parts {
            if fits(shown).is_none() {
                return Approvable::No("it is too long to be shown whole here");
            }
            if shown.looks == Looks::Otherwise {
                return Approvable::No("it has characters that can't be seen, or that may look like others");
            }
        }
        Approvable::Yes
    }
}

/// Whether decisions are taken from a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buttons {
    /// There is an endpoint that Slack may call.
    Offered,
    /// Only a link.
    None,
}

/// Returns the message, without the channel that it goes to.
pub(crate) fn message(letter: &Letter, buttons: Buttons) -> Value {
    let mut blocks = vec![header(&letter.title), facts(letter)];
    blocks.extend(letter.parts.iter().map(|(label, shown)| code(label, shown)));
    let mut actions = Vec::new();
    if let (Some((number, binding)), Buttons::Offered, Some(Event::Opened | Event::Voted)) =
        (letter.open, buttons, letter.event)
    {
        match letter.approvable() {
            Approvable::Yes => {
                blocks.push(reason(number));
                actions.extend(decide(number, binding));
            }
            Approvable::No(why) => {
                blocks.push(note(&format!("It can't be approved here: {why}. Open it in the console.")));
            }
        }
    }
    if let Some(link) = &letter.link {
        actions.push(json!({
            "type": "button", "action_id": "gatepost.open", "url": link,
            "text": {"type": "plain_text", "text": "Open", "emoji": false},
        }));
    }
    if !actions.is_empty() {
        blocks.push(json!({"type": "actions", "elements": actions}));
    }
    json!({
        "text": escaped(&letter.title), "blocks": blocks, "mrkdwn": false, "parse": "none", "link_names": false,
        "unfurl_links": false, "unfurl_media": false,
    })
}

/// Says something to one person only, in answer to a button.
pub(crate) fn whisper(text: &str) -> Value {
    json!({
        "response_type": "ephemeral", "replace_original": false, "text": escaped(text), "mrkdwn": false, "parse": "none",
        "blocks": [note(text)],
    })
}

/// Returns what a button says back: the request, and what it asks. Numbers begin anew with a new store; what is asked does not.
pub(crate) fn value(number: Number, binding: Binding) -> String {
    format!("{number}:{binding}")
}

fn header(title: &str) -> Value {
    json!({"type": "header", "text": {"type": "plain_text", "text": cut(title, HEADER_CHARS_MAX), "emoji": false}})
}

fn facts(letter: &Letter) -> Value {
    let mut elements = Vec::new();
    for (label, value) in &letter.facts {
        elements.push(json!({"type": "text", "text": format!("{label}: "), "style": {"bold": true}}));
        elements.push(json!({"type": "text", "text": format!("{value}\n")}));
    }
    json!({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]})
}

fn code(label: &str, shown: &Shown) -> Value {
    let whole = fits(shown);
    let text = match whole {
        Some(text) => text.to_owned(),
        None => beginning(&shown.text),
    };
    let label = match whole {
        Some(_) => format!("{label}:\n"),
        None => format!("{label}, only its beginning; it has {} characters:\n", shown.text.chars().count()),
    };
    // An empty text element is refused.
    let text = if text.is_empty() { " ".to_owned() } else { text };
    json!({"type": "rich_text", "elements": [
        {"type": "rich_text_section", "elements": [{"type": "text", "text": label, "style": {"bold": true}}]},
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]},
    ]})
}

/// Returns the text if all of it can be shown.
fn fits(shown: &Shown) -> Option<&str> {
    let text = shown.text.as_str();
    let whole = text.chars().count() <= LONGEST_SHOWN && text.lines().count() <= LINES_MAX;
    whole.then_some(text)
}

fn beginning(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').take(LINES_MAX).collect();
    cut(&lines.join("\n"), LONGEST_SHOWN)
}

fn reason(number: Number) -> Value {
    json!({
        "type": "input", "block_id": format!("{REASON}.{number}"), "optional": true,
        "label": {"type": "plain_text", "text": "Reason; of a denial, what the requester is told", "emoji": false},
        "element": {"type": "plain_text_input", "action_id": REASON, "max_length": REASON_CHARS_MAX},
    })
}

fn decide(number: Number, binding: Binding) -> [Value; 2] {
    let value = value(number, binding);
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    [
        json!({
            "type": "button", "action_id": APPROVE, "value": value, "style": "primary", "text": plain("Approve"),
            "confirm": {
                "title": plain(&format!("Approve request {number}?")), "confirm": plain("Approve"), "deny": plain("Back"),
                "text": plain("The statement runs once, as it is shown."),
            },
        }),
        json!({"type": "button", "action_id": DENY, "value": value, "style": "danger", "text": plain("Deny")}),
    ]
}

fn note(text: &str) -> Value {
    json!({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}]})
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Escapes what Slack reads in a text (<https://docs.slack.dev/messaging/formatting-message-text>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Approvable, Buttons, LONGEST_SHOWN, message, whisper};
    use crate::letter::{Event, Letter};
    use crate::testdata::{hostile, request};
    use approval::{Stamp, State};
    use config::NotifyStatement;
    use serde_json::Value;

    fn letter(text: &str) -> Letter {
        Letter::of(
            Event::Opened,
            &request(text),
            NotifyStatement::Full,
            Some("https://gate.example"),
            Stamp(0),
        )
    }

    /// Returns every object that has a `type`.
    fn objects<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("type").map(|_| value));
                map.values().for_each(|value| objects(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| objects(value, found)),
            _ => {}
        }
    }

    fn action_ids(value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        objects(value, &mut found);
        let ids = found.iter().filter(|object| object["type"] == "button");
        ids.map(|object| object["action_id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_is_shown_whole_can_be_approved_and_all_of_it_is_there() {
        let text = "DELETE FROM tickets WHERE id = $1 -- <b>*_~`\n";
        let message = message(&letter(text), Buttons::Offered);
        assert_eq!(action_ids(&message), ["gatepost.approve", "gatepost.deny", "gatepost.open"]);
        let all = message.to_string();
        assert!(all.contains(&serde_json::to_string(text).unwrap()), "{all}");
        assert!(all.contains("$1 int8 = '42'"), "{all}");
        for said in
            ["corp:agent-7", "shop", "rule-1 (rules.cedar:3)", "delete table public.tickets", "2 of dba"]
        {
            assert!(all.contains(said), "{said}: {all}");
        }
    }

    #[test]
    fn what_is_not_shown_whole_or_as_it_is_can_only_be_opened() {
        let long = format!("SELECT '{}'", "x".repeat(LONGEST_SHOWN));
        let lines = "SELECT 1\n".repeat(101);
        for text in [&*long, &*lines, "SELECT 1 --\u{202e}", "SELECT * FROM аccounts"] {
            let letter = letter(text);
            assert!(matches!(letter.approvable(), Approvable::No(_)), "{text:?}");
            assert_eq!(action_ids(&message(&letter, Buttons::Offered)), ["gatepost.open"], "{text:?}");
        }
        let request = request("SELECT 1");
        let letter_of = |request: &approval::Request, sent| {
            Letter::of(Event::Opened, request, sent, Some("https://gate.example"), Stamp(0))
        };
        let none = letter_of(&request, NotifyStatement::None);
        assert_eq!(action_ids(&message(&none, Buttons::Offered)), ["gatepost.open"]);
        assert_eq!(letter_of(&request, NotifyStatement::Full).approvable(), Approvable::Yes);
        let changed = |change: fn(&mut approval::Statement)| {
            let mut request = request.clone();
            change(&mut request.ask.statement);
            letter_of(&request, NotifyStatement::Full).approvable()
        };
        assert_ne!(changed(|it| it.runs = Some("x".repeat(LONGEST_SHOWN + 1))), Approvable::Yes);
        assert_ne!(changed(|it| it.pattern = true), Approvable::Yes);
        let strange = |it: &mut approval::Statement| {
            it.parameters[0].value = approval::Value::Text("4\u{202e}2".into())
        };
        assert_ne!(changed(strange), Approvable::Yes);
        let at_limit = format!("SELECT '{}'", "x".repeat(LONGEST_SHOWN - 9));
        assert_eq!(letter(&at_limit).approvable(), Approvable::Yes);
    }

    #[test]
    fn without_an_endpoint_or_once_decided_there_are_no_buttons() {
        assert_eq!(action_ids(&message(&letter("SELECT 1"), Buttons::None)), ["gatepost.open"]);
        let mut decided = request("SELECT 1");
        decided.state = State::Denied;
        let letter = Letter::of(Event::Decided, &decided, NotifyStatement::Full, None, Stamp(0));
        assert!(action_ids(&message(&letter, Buttons::Offered)).is_empty());
    }

    #[test]
    fn no_text_of_a_stranger_is_read_as_markup() {
        let strange = "<!channel> <@U1> <https://evil.example|click> *bold* @everyone & ```";
        let mut request = hostile(strange);
        request.ask.statement.text = strange.to_owned();
        let letter =
            Letter::of(Event::Opened, &request, NotifyStatement::Full, Some("https://g.example"), Stamp(0));
        let message = message(&letter, Buttons::Offered);
        let mut found = Vec::new();
        objects(&message, &mut found);
        for object in &found {
            let kind = object["type"].as_str().unwrap();
            assert!(
                [
                    "header",
                    "plain_text",
                    "rich_text",
                    "rich_text_section",
                    "rich_text_preformatted",
                    "text",
                    "input",
                    "plain_text_input",
                    "actions",
                    "button"
                ]
                .contains(&kind),
                "{kind} may be parsed for markup"
            );
            // The whole of an object's keys: nothing slipped in beside.
            if kind == "text" || kind == "plain_text" {
                let allowed = ["type", "text", "emoji", "style"];
                assert!(object.as_object().unwrap().keys().all(|key| allowed.contains(&&**key)));
            }
        }
        let notification = message["text"].as_str().unwrap();
        assert!(!notification.contains(['<', '>']), "{notification}");
        assert!(notification.contains("&lt;!channel&gt;"), "the database's name is in it: {notification}");
        assert_eq!((message["parse"].as_str(), message["mrkdwn"].as_bool()), (Some("none"), Some(false)));
        assert!(!whisper("<!here>")["text"].as_str().unwrap().contains('<'));
    }
}
