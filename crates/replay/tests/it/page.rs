//! The page that is exported, as a text: what a browser would run, ask for, or take for markup.

use replay::export::{Asciicast, Html, Jsonl};
use serde_json::Value;

use crate::sample::{HOSTILE, entries, opening};

fn page() -> String {
    let (mut html, mut page) = Html::begin(&opening());
    for entry in entries() {
        page += &html.entry(&entry);
    }
    page + &html.end()
}

#[test]
fn a_page_has_its_own_scripts_only_and_asks_nobody() {
    let page = page();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/replay.html"), &page).unwrap();
    assert_eq!(page.matches("<script").count(), 2, "its data and its player");
    assert_eq!(page.matches("</script").count(), 2);
    assert_eq!(page.matches("<style").count(), 1);
    for absent in [
        "<img",
        "\u{202e}",
        "\u{2028}",
        "\u{1b}",
        "href=",
        "url(",
        "@import",
        "import(",
        "innerHTML",
        "fetch(",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
    for address in page.split("://").skip(1) {
        assert!(address.starts_with("www.w3.org/2000/svg"), "{address:.60}");
    }
    let policy = page.split("content=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn an_asciicast_is_of_version_3() {
    let (mut cast, head) = Asciicast::begin(&opening());
    let mut lines = head;
    for entry in entries() {
        lines += &cast.entry(&entry);
    }
    assert!(lines.is_ascii() || !lines.chars().any(|c| audit::is_deceptive(c) && c != '\n'), "{lines}");
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/replay.cast"), &lines).unwrap();
    let mut lines = lines.lines();
    // The manual's page on asciicast v3: "Header" and "Event stream".
    let header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(header["version"], 3);
    assert!(header["term"]["cols"].is_u64() && header["term"]["rows"].is_u64(), "{header}");
    assert_eq!(header["timestamp"], 1_790_000_000);
    assert!(header["idle_time_limit"].is_number() && header["title"].is_string());
    let (mut total, mut codes) = (0.0, std::collections::BTreeMap::new());
    for line in lines {
        let (interval, code, data): (f64, String, String) = serde_json::from_str(line).unwrap();
        assert!(interval >= 0.0, "{line}");
        assert!(["o", "m", "x"].contains(&code.as_str()), "{line}");
        if code == "o" {
            assert!(!data.replace("\r\n", "").contains(['\n', '\r']), "{line}");
            // Only colours steer the terminal.
            for rest in data.split('\u{1b}').skip(1) {
                let sequence = rest.split_inclusive('m').next().unwrap();
                assert!(sequence.starts_with('[') && sequence.ends_with('m'), "{line}");
                assert!(
                    sequence.trim_matches(['[', 'm']).chars().all(|c| c.is_ascii_digit() || c == ';'),
                    "{line}"
                );
            }
        }
        total += interval;
        *codes.entry(code).or_insert(0) += 1;
    }
    assert!((total - 63.0_f64).abs() < 1e-6, "{total}");
    // Three statements, a hold that begins and ends, a refusal, an error.
    assert_eq!((codes["m"], codes.get("x")), (7, Some(&1)));
}

#[test]
fn json_lines_are_json_and_hold_everything() {
    let (mut jsonl, mut lines) = Jsonl::begin(&opening());
    for entry in entries() {
        lines += &jsonl.entry(&entry);
    }
    assert!(!lines.chars().any(|c| audit::is_deceptive(c) && c != '\n'));
    let values: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = values.iter().map(|value| value["kind"].as_str().unwrap()).collect();
    let expected = [
        "opening",
        "sent",
        "columns",
        "row",
        "row",
        "complete",
        "ready",
        "sent",
        "hold",
        "hold",
        "error",
        "ready",
        "sent",
        "error",
        "ready",
        "copy_in",
        "unreadable",
        "unreadable",
        "ended",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(values[1]["text"], format!("SELECT '{HOSTILE}'"));
    assert_eq!(values[3]["values"][0], HOSTILE);
    assert_eq!(values[4]["values"][0]["hex"], "fffe");
    assert_eq!((&values[1]["at"], &values[1]["statement"]), (&0.5.into(), &1.into()));
    assert_eq!(values[1]["time"], "2026-09-21T14:13:20.500000Z");
    assert_eq!(values[10]["hint"], HOSTILE);
}
