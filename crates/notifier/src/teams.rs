//! A letter as an Adaptive Card for a Workflows webhook of Microsoft Teams. Knows no HTTP.
//!
//! Nothing is decided there: an `Action.OpenUrl` leads to the console. What a card of a webhook would send back is signed by nobody, so no button asks for it.
//!
//! SECURITY: strangers' text stands only in `TextRun`s, which aren't read as Markdown, as `TextBlock` and `FactSet` are
//! (<https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format>). Mentions need `msteams.entities`, which no card of ours has.

use serde_json::{Value, json};

use crate::letter::Letter;
use crate::shown::Shown;

/// Of a statement: a card with all around it stays below 28 KB, counted in UTF-16 as Teams does
/// (<https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>).
const SHOWN_UTF16_MAX: usize = 4000;

/// Returns the message.
pub(crate) fn message(letter: &Letter) -> Value {
    let mut body = vec![runs(vec![json!({
        "type": "TextRun", "text": letter.title, "weight": "Bolder", "size": "Large",
    })])];
    for (label, value) in &letter.facts {
        body.push(runs(vec![
            json!({"type": "TextRun", "text": format!("{label}: "), "weight": "Bolder"}),
            json!({"type": "TextRun", "text": value}),
        ]));
    }
    for (label, shown) in &letter.parts {
        body.extend(code(label, shown));
    }
    let actions: Vec<_> = letter
        .link
        .iter()
        .map(|link| json!({"type": "Action.OpenUrl", "title": "Open in Gatepost", "url": link}))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard", "version": "1.4", "msteams": {"width": "Full"},
                "body": body, "actions": actions,
            },
        }],
    })
}

fn code(label: &str, shown: &Shown) -> Vec<Value> {
    let mut units = 0;
    let text: String = shown
        .text
        .chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= SHOWN_UTF16_MAX
        })
        .collect();
    let label = if text.len() == shown.text.len() {
        format!("{label}:")
    } else {
        format!("{label}, only its beginning; it has {} characters:", shown.text.chars().count())
    };
    let mut blocks = vec![runs(vec![json!({"type": "TextRun", "text": label, "weight": "Bolder"})])];
    // A run knows no line ends.
    blocks.extend(text.split('\n').take(200).map(|line| {
        let line = if line.is_empty() { " " } else { line };
        runs(vec![json!({"type": "TextRun", "text": line, "fontType": "Monospace"})])
    }));
    blocks
}

fn runs(inlines: Vec<Value>) -> Value {
    json!({"type": "RichTextBlock", "inlines": inlines, "spacing": "Small"})
}

#[cfg(test)]
mod tests {
    use super::message;
    use crate::letter::{Event, Letter};
    use crate::testdata::{hostile, request};
    use approval::Stamp;
    use config::NotifyStatement;
    use serde_json::Value;

    fn kinds(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("type").map(|kind| kind.as_str().unwrap().to_owned()));
                map.values().for_each(|value| kinds(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| kinds(value, found)),
            _ => {}
        }
    }

    #[test]
    fn no_text_of_a_stranger_is_read_as_markdown_and_nothing_can_be_decided() {
        let strange = "[x](https://evil.example) **b** <at>everyone</at> {{DATE(2020-01-01)}}\n- list";
        let request = hostile(strange);
        let card = message(&Letter::of(
            Event::Opened,
            &request,
            NotifyStatement::Full,
            Some("https://g.example"),
            Stamp(0),
        ));
        let mut found = Vec::new();
        kinds(&card, &mut found);
        found.sort();
        found.dedup();
        assert_eq!(found, ["Action.OpenUrl", "AdaptiveCard", "RichTextBlock", "TextRun", "message"]);
        let card = &card["attachments"][0]["content"];
        assert_eq!(
            card["msteams"],
            serde_json::json!({"width": "Full"}),
            "no entities: nobody can be mentioned"
        );
        assert_eq!(card["actions"][0]["url"], "https://g.example/approvals/7");
    }

    #[test]
    fn a_card_stays_below_what_teams_takes() {
        for text in ["\u{10000}".repeat(100_000), "x\n".repeat(100_000), "\"".repeat(100_000)] {
            let mut request = hostile(&text);
            request.ask.statement.parameters.clear();
            let card = message(&Letter::of(Event::Opened, &request, NotifyStatement::Full, None, Stamp(0)))
                .to_string();
            let units = card.encode_utf16().count();
            assert!(units * 2 < 56 * 1024 && units < 28 * 1024, "{units}");
            assert!(card.contains("only its beginning"));
        }
        let whole =
            message(&Letter::of(Event::Opened, &request("SELECT 1"), NotifyStatement::Full, None, Stamp(0)));
        assert!(!whole.to_string().contains("only its beginning"));
    }
}
