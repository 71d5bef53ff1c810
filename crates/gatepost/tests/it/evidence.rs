//! Evidence for auditors: `audit report --framework` and `--identity` on the journal of a gateway in front of a real PostgreSQL.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use testkit::postgres::Version;

use crate::approvals::Office;
use crate::stage::Gate;

/// The lines of a table's file, without its headings.
fn lines(dir: &Path, table: &str) -> Vec<String> {
    let text = fs::read_to_string(dir.join(format!("{table}.csv"))).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Runs the command lines that a page names for a table; gives how many records they print.
fn asked(gate: &Gate, page: &str, table: &str) -> usize {
    let (_, rest) = page.split_once(&format!("<h3 id=\"{table}\">")).unwrap();
    let (list, _) = rest.split_once("</ul>").unwrap();
    let queries = list.split("<code>gatepost ").skip(1).map(|it| it.split("</code>").next().unwrap());
    let run = |query: &str| {
        let mut words: Vec<&str> = query.split(' ').collect();
        words.extend(["--format", "json"]);
        let ran = gate.run(&words);
        assert_eq!(ran.status, Some(0), "{query}: {ran:#?}");
        serde_json::from_str::<Vec<Value>>(&ran.stdout).unwrap().len()
    };
    queries.map(run).sum()
}

#[test]
fn a_report_has_the_figures_that_its_queries_print() {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    let hostile = "SELECT name FROM customers WHERE ssn = '<script>alert(1)</script>'";
    for sql in ["SELECT id, name, email FROM customers WHERE id = 1", "SELECT count(*) FROM orders", hostile]
    {
        raw.query(sql);
    }
    gate.events("statement", 3);
    let ran = gate.run(&[
        "audit",
        "report",
        "--framework",
        "soc2",
        "--from",
        "1h",
        "--database",
        "shop",
        "--out",
        "soc2",
    ]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let dir = gate.gateway.home().join("soc2");
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("CC6.1") && page.contains("whole: ") && !page.contains("<script"), "{page}");
    for table in ["kinds", "identities", "policy-versions", "failed-logins"] {
        let (_, rest) = page.split_once(&format!("<h3 id=\"{table}\">")).unwrap();
        let (_, rest) = rest.split_once(" rows of ").unwrap();
        let records: usize = rest.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(records, asked(&gate, &page, table), "{table}");
    }
    let kinds = lines(&dir, "kinds");
    assert!(kinds.len() == 1 && kinds[0].starts_with("corp:support-agent,shop,SELECT,2,1,"), "{kinds:#?}");
    let sensitive = lines(&dir, "sensitive");
    assert!(
        sensitive.iter().any(|it| it.contains("public.customers.email") && it.contains("masked: ")),
        "{sensitive:#?}"
    );
    assert!(!sensitive.iter().any(|it| it.contains("ssn")), "it was refused: {sensitive:#?}");
    assert_eq!(lines(&dir, "refusals").len(), 1);
    assert_eq!(fs::metadata(dir.join("report.html")).unwrap().permissions().mode() & 0o777, 0o600);
    // Nothing is overwritten; a period without records has none; one that ends first is a mistake.
    assert_eq!(gate.run(&["audit", "report", "--framework", "soc2", "--out", "soc2"]).status, Some(1));
    let ran = gate.run(&["audit", "report", "--framework", "pci", "--to", "2020-01-01", "--out", "pci"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(lines(&gate.gateway.home().join("pci"), "kinds").is_empty());
    let ran = gate.run(&[
        "audit",
        "report",
        "--framework",
        "pci",
        "--from",
        "2020-01-02",
        "--to",
        "2020-01-01",
        "--out",
        "x",
    ]);
    assert_eq!(ran.status, Some(2), "{ran:#?}");
    // One agent's story.
    let ran = gate.run(&["audit", "report", "--identity", "corp:support-agent", "--out", "story"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let refused = lines(&gate.gateway.home().join("story"), "refused-statements");
    assert!(refused.len() == 1 && refused[0].contains("FROM customers"), "{refused:#?}");
    let ran = gate.run(&["audit", "report", "--identity", "corp:nobody", "--out", "nobody"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(lines(&gate.gateway.home().join("nobody"), "kinds").is_empty());
}

#[test]
fn approvals_stand_in_the_report_with_their_persons() {
    let office = Office::open();
    let delete = "DELETE FROM tickets WHERE id = 1";
    let number = office.ask(delete, &[]);
    office.approve_by_cli(number);
    assert_eq!(office.send(delete).stdout.trim(), "DELETE 1");
    office.gate.events("approval_used", 1);
    let ran = office.gate.run(&["audit", "report", "--framework", "iso27001", "--out", "iso"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let dir = office.gate.gateway.home().join("iso");
    let requests = lines(&dir, "approval-requests");
    assert!(
        requests.len() == 1 && requests[0].contains("corp:agent") && requests[0].contains(delete),
        "{requests:#?}"
    );
    let decisions = lines(&dir, "approval-decisions");
    for event in ["approval_voted", "approval_ended", "approval_used"] {
        assert!(
            decisions.iter().any(|it| it.contains(event) && it.contains("corp:")),
            "{event}: {decisions:#?}"
        );
    }
}
