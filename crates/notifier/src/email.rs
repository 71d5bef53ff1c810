//! A letter as an e-mail, in plain text and HTML. Knows no SMTP.
//!
//! A link is all that leads back: nothing is decided by an answer, and nothing by following the link.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::letter::Letter;
use crate::shown::{self, Shown};

/// Of a statement; a mail is read on a phone, and the console has all of it.
const SHOWN_CHARS_MAX: usize = 20_000;
const SUBJECT_CHARS_MAX: usize = 200;

/// Makes the message. `id` is the same for each attempt, so that a mail that came twice is seen as one; `thread` is that of the request.
///
/// # Errors
/// The operator's: an address that can't stand in a mail.
pub(crate) fn message(
    letter: &Letter,
    (from, to): (&str, &[String]),
    (id, thread): (&str, Option<&str>),
) -> Result<Message, String> {
    let mailbox = |text: &str| {
        text.parse::<Mailbox>().map_err(|error| format!("\"{text}\" is no mail address: {error}"))
    };
    let from = mailbox(from)?;
    let domain = from.email.domain().to_owned();
    let mut builder = Message::builder()
        .from(from)
        .subject(shown::line(&letter.title, SUBJECT_CHARS_MAX))
        .date(SystemTime::from(letter.at))
        .message_id(Some(format!("<{id}@{domain}>")))
        // RFC 3834: nobody's absence notice answers.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(thread) = thread {
        builder = builder.references(format!("<{thread}@{domain}>"));
    }
    for address in to {
        builder = builder.to(mailbox(address)?);
    }
    let part = |kind: ContentType, body: String| SinglePart::builder().header(kind).body(body);
    let body = MultiPart::alternative()
        .singlepart(part(ContentType::TEXT_PLAIN, plain(letter)))
        .singlepart(part(ContentType::TEXT_HTML, html(letter)));
    builder.multipart(body).map_err(|error| format!("the message can't be made: {error}"))
}

fn parts(letter: &Letter) -> impl Iterator<Item = (&'static str, String)> {
    letter.parts.iter().map(|(label, shown)| (*label, cut(shown)))
}

fn cut(shown: &Shown) -> String {
    let size = shown.text.chars().count();
    if size <= SHOWN_CHARS_MAX {
        return shown.text.clone();
    }
    let beginning: String = shown.text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{beginning}\n… only the beginning; it has {size} characters")
}

fn plain(letter: &Letter) -> String {
    let mut text = format!("{}\n\n", letter.title);
    for (label, value) in &letter.facts {
        text += &format!("{label}: {value}\n");
    }
    for (label, value) in parts(letter) {
        text += &format!("\n{label}:\n");
        // Each line is marked, so that none looks like one of ours.
        for line in value.split('\n') {
            text += &format!("  | {line}\n");
        }
    }
    if let Some(link) = &letter.link {
        text += &format!(
            "\nTo read it whole, and to decide: {link}\n(You log in there. Following the link decides nothing, nor does an answer to this mail.)\n"
        );
    }
    text
}

fn html(letter: &Letter) -> String {
    let mut html = format!("<!DOCTYPE html>\n<html><body>\n<h2>{}</h2>\n<table>\n", escaped(&letter.title));
    for (label, value) in &letter.facts {
        html += &format!(
            "<tr><th align=\"left\" valign=\"top\">{}</th><td>{}</td></tr>\n",
            escaped(label),
            escaped(value)
        );
    }
    html += "</table>\n";
    for (label, value) in parts(letter) {
        html += &format!("<p><b>{label}</b></p>\n<pre>{}</pre>\n", escaped(&value));
    }
    if let Some(link) = &letter.link {
        html += &format!(
            "<p><a href=\"{link}\">Read it whole, and decide</a></p>\n<p>You log in there. Following the link decides nothing, nor does an answer to this mail.</p>\n",
            link = escaped(link)
        );
    }
    html + "</body></html>\n"
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{html, message, plain};
    use crate::letter::{Event, Letter};
    use crate::testdata::{hostile, request};
    use approval::Stamp;
    use config::NotifyStatement;

    fn letter(text: &str) -> Letter {
        Letter::of(Event::Opened, &hostile(text), NotifyStatement::Full, Some("https://g.example"), Stamp(0))
    }

    #[test]
    fn no_text_of_a_stranger_makes_a_header_or_a_tag() {
        let strange = "x\r\nBcc: all@example.com\r\n\r\n<script>alert(1)</script><a href='https://evil.example'>y</a>\"";
        let letter = letter(strange);
        let made = message(
            &letter,
            ("Gatepost <g@example.com>", &["dba@example.com".to_owned()]),
            ("m1", Some("r7")),
        );
        let made = String::from_utf8(made.unwrap().formatted()).unwrap();
        let head = made.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(!head.contains("\r\nbcc:"), "{head}");
        assert_eq!(head.matches("\r\nto:").count() + usize::from(head.starts_with("to:")), 1, "{head}");
        assert!(
            head.contains("auto-submitted: auto-generated") && head.contains("message-id: <m1@example.com>")
        );
        let html = html(&letter);
        assert!(
            !html.contains("<script") && !html.contains("href='") && html.contains("&lt;script&gt;"),
            "{html}"
        );
        assert_eq!(html.matches("<a ").count(), 1, "only the link of ours");
    }

    #[test]
    fn a_statement_s_lines_can_t_pass_for_the_mail_s_own() {
        let letter = letter("SELECT 1\n\nTo read it whole, and to decide: https://evil.example");
        for line in plain(&letter).lines().filter(|line| line.contains("evil.example")) {
            assert!(line.starts_with("  | ") || line.contains("⟦U+000A⟧"), "{line}");
        }
    }

    #[test]
    fn without_its_statement_a_mail_has_nothing_of_it() {
        let request = request("DELETE FROM t WHERE name = 'canary'");
        let letter = Letter::of(Event::Opened, &request, NotifyStatement::None, None, Stamp(0));
        assert!(!plain(&letter).contains("canary") && !html(&letter).contains("canary"));
    }
}
