//! One page that plays a recording by itself: no network, no other file. Knows HTML and Content Security Policy; its player is
//! `web/player.js`, the console's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use recording::{Entry, Opening};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use wire::backend::TransactionStatus;

use super::moment;
use crate::printer::{Printer, Style};
use crate::safe::{self, Brackets};

/// The player, an ECMAScript module.
pub(crate) const PLAYER: &str = include_str!("../../web/player.js");
/// How it looks.
pub(crate) const STYLE: &str = include_str!("../../web/player.css");
const BEGIN: &str = include_str!("../../web/page.js");
const PAGE_STYLE: &str = include_str!("../../web/page.css");

/// Pieces in one element: a parser takes it whole.
const PIECES_AT_ONCE: usize = 500;

/// Writes a recording as a page.
#[derive(Debug)]
pub struct Html {
    printer: Printer,
    pieces: usize,
}

impl Html {
    /// Begins; returns the page up to its data.
    // SECURITY: the policy allows the two inline elements by their digests, and nothing else: no other script, no request, no
    // form, no base. Text becomes text nodes only; `require-trusted-types-for` makes that the browser's rule, too.
    pub fn begin(opening: &Opening) -> (Self, String) {
        let (script, style) = (script(), format!("{PAGE_STYLE}\n{STYLE}"));
        let title = format!("{} at {}", opening.identity, opening.database);
        let groups = opening.groups.join(", ");
        let facts = [
            ("Identity", opening.identity.as_str()),
            ("On behalf of", opening.on_behalf_of.as_deref().unwrap_or_default()),
            ("Groups", groups.as_str()),
            ("Database", opening.database.as_str()),
            ("Application", opening.application_name.as_str()),
            ("Server", opening.server_version.as_str()),
            ("Gateway", opening.gateway.as_str()),
        ];
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src '{}'; style-src '{}'; \
             base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n<h1>Session of {}</h1>\n<dl>\n",
            digest(&script),
            digest(&style),
            escaped(&title),
            escaped(&title),
        );
        for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
            page.push_str(&format!("<div><dt>{name}</dt><dd><bdi>{}</bdi></dd></div>\n", escaped(value)));
        }
        let began = moment(opening, std::time::Duration::ZERO);
        page.push_str(&format!(
            "<div><dt>Began</dt><dd>{began}</dd></div>\n<div><dt>Session</dt><dd>{}</dd></div>\n</dl>\n\
             <div id=\"player\"></div>\n</main>\n<footer>Recorded by Gatepost: what the client was sent, after masking. Lines in \
             ⟦brackets⟧ are the recording's own. Keys: space plays and pauses, n and p step by statement, r, e, h go to the next refusal, \
             error, hold, / finds.</footer>\n<noscript>It needs JavaScript to play.</noscript>\n",
            opening.session,
        ));
        let printer = Printer::new(Style::Annotated, opening, TransactionStatus::Idle);
        (Self { printer, pieces: 0 }, page)
    }

    /// Returns what an entry adds.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let mut page = String::new();
        for piece in self.printer.print(entry) {
            let first = self.pieces.is_multiple_of(PIECES_AT_ONCE);
            if first {
                page.push_str(if self.pieces > 0 { "]</script>\n" } else { "" });
                page.push_str("<script type=\"application/json\">[");
            } else {
                page.push_str(",\n");
            }
            self.pieces += 1;
            let at = piece.at.as_micros() as f64 / 1000.0;
            let value = json!([at, piece.statement, piece.kind.as_str(), piece.text]);
            // SECURITY: without `<` nothing in it ends the element, or begins another.
            page.push_str(&safe::json(&value.to_string()).replace('<', "\\u003c"));
        }
        page
    }

    /// Returns the end of the page.
    pub fn end(self) -> String {
        let close = if self.pieces > 0 { "]</script>\n" } else { "" };
        format!("{close}<script type=\"module\">{}</script>\n</body>\n</html>\n", script())
    }
}

fn script() -> String {
    format!("{PLAYER}{BEGIN}")
}

/// A source of a policy: `sha256-...` (Content Security Policy Level 3, 2.3.1).
fn digest(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

/// Escapes text for an element or a quoted attribute.
fn escaped(text: &str) -> String {
    safe::word(text, Brackets::Theirs)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
