//! A report as one HTML page: no script, no other file, good to print. Knows HTML and Content Security Policy; no events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::framework::{Framework, Part};
use crate::table::Table;

/// What a page says.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// What it is about: names and values, such as the period.
    pub facts: Vec<(&'static str, String)>,
    /// What a reader must know first: damage, what is missing.
    pub warnings: Vec<String>,
    /// Arranged for it.
    pub framework: Option<Framework>,
    /// In the order in which they stand.
    pub parts: Vec<(Part, Vec<Table>)>,
}

/// Rows of a table that the page shows; its CSV file has all.
const SHOWN_MAX: usize = 1000;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8888}\
body{font:14px/1.45 system-ui,sans-serif;margin:0 auto;max-width:78rem;padding:1.5rem}\
h1{font-size:1.6rem}h2{font-size:1.25rem;border-bottom:1px solid var(--line);margin-top:2.5rem}h3{font-size:1.05rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.85rem}\
th,td{border:1px solid var(--line);padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
code{font:12px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}\
.warning{border:2px solid #b00020;padding:.5rem 1rem;margin:.5rem 0}\
@media print{@page{size:A4 landscape;margin:12mm}:root{color-scheme:light}body{max-width:none;padding:0;font-size:10px}\
.scroll{overflow:visible}thead{display:table-header-group}tr{break-inside:avoid}h2,h3{break-after:avoid}nav{display:none}}";

/// Writes the page.
// SECURITY: whatever a record says becomes text; the policy allows the one style by its digest, and nothing else.
pub fn page(report: &Page) -> String {
    let Page { title, facts, warnings, framework, parts } = report;
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; \
         form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        title = escaped(title),
    );
    for warning in warnings {
        out.push_str(&format!("<p class=\"warning\" role=\"note\">{}</p>\n", escaped(warning)));
    }
    out.push_str("<dl>\n");
    for (name, value) in facts {
        out.push_str(&format!("<dt>{name}</dt><dd><bdi>{}</bdi></dd>\n", escaped(value)));
    }
    out.push_str("</dl>\n");
    if framework.is_some() {
        out.push_str(
            "<p>Controls are named where a part can serve as evidence for them. That is a mapping, and no statement that they are \
             met.</p>\n",
        );
    }
    contents(&mut out, parts);
    for (part, tables) in parts {
        out.push_str(&format!("<section>\n<h2>{}</h2>\n", part.title()));
        if let Some(framework) = framework {
            let controls = framework.controls(*part).join(", ");
            out.push_str(&format!("<p>{}: {}</p>\n", escaped(framework.title()), escaped(&controls)));
        }
        tables.iter().for_each(|table| write(&mut out, table));
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn contents(out: &mut String, parts: &[(Part, Vec<Table>)]) {
    out.push_str(
        "<h2>Figures</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">table</th><th scope=\"col\">rows</th>\
         <th scope=\"col\">records</th></tr></thead>\n<tbody>\n",
    );
    for table in parts.iter().flat_map(|(_, tables)| tables) {
        let Table { id, title, rows, records, .. } = table;
        out.push_str(&format!(
            "<tr><td><a href=\"#{id}\">{title}</a></td><td>{}</td><td>{records}</td></tr>\n",
            rows.len()
        ));
    }
    out.push_str("</tbody>\n</table></div>\n");
}

fn write(out: &mut String, table: &Table) {
    let Table { id, title, note, headings, rows, records, left_out, queries } = table;
    out.push_str(&format!("<h3 id=\"{id}\">{title}</h3>\n<p>{}</p>\n", escaped(note)));
    if *left_out > 0 {
        out.push_str(&format!(
            "<p class=\"warning\" role=\"note\">Not complete: {left_out} records found no room. Make the period shorter.</p>\n"
        ));
    }
    out.push_str(&format!("<p>{} rows of {records} records; <code>{id}.csv</code>", rows.len()));
    if rows.len() > SHOWN_MAX {
        out.push_str(&format!(", of which the first {SHOWN_MAX} stand here"));
    }
    out.push_str("</p>\n");
    if !rows.is_empty() {
        out.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
        headings.iter().for_each(|heading| out.push_str(&format!("<th scope=\"col\">{heading}</th>")));
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in rows.iter().take(SHOWN_MAX) {
            out.push_str("<tr>");
            row.iter().for_each(|cell| out.push_str(&format!("<td><bdi>{}</bdi></td>", escaped(cell))));
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table></div>\n");
    }
    out.push_str("<p>Made of the records that these print:</p>\n<ul>\n");
    queries.iter().for_each(|query| out.push_str(&format!("<li><code>{}</code></li>\n", escaped(query))));
    out.push_str("</ul>\n");
}

/// Escapes text for an element or a quoted attribute; what steers or hides is written out.
fn escaped(text: &str) -> String {
    audit::render::cell(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
