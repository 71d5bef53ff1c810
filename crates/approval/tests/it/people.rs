//! People and requests for tests.

use std::time::Duration;

use approval::{
    Ask, Binding, BundleRef, Delegation, Group, Members, Number, Request, Stamp, Statement, Wait, Who,
};

pub(crate) const HOLD: Duration = Duration::from_secs(300);
pub(crate) const USE_WITHIN: Duration = Duration::from_secs(3600);

pub(crate) fn who(subject: &str, groups: &[&str]) -> Who {
    Who {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
        owner: None,
        on_behalf_of: None,
    }
}

/// An agent of dana's that acts for erin.
pub(crate) fn agent() -> Who {
    Who {
        owner: Some("dana@example.com".to_owned()),
        on_behalf_of: Some("corp:erin".to_owned()),
        ..who("agent", &["dba", "privacy"])
    }
}

pub(crate) fn group(name: &str, members: Members, quorum: u32) -> Group {
    let name = name.to_owned();
    Group { name, members, quorum, reason_required: false, count_rows: None, break_glass: None }
}

pub(crate) fn any(groups: &[&str]) -> Members {
    Members::Any(groups.iter().map(ToString::to_string).collect())
}

pub(crate) fn all(groups: &[&str]) -> Members {
    Members::All(groups.iter().map(ToString::to_string).collect())
}

pub(crate) fn ask(needs: Vec<Group>, wait: Wait) -> Ask {
    Ask {
        requester: agent(),
        database: "shop".to_owned(),
        session: Some("5e".to_owned()),
        client: None,
        application_name: None,
        statement: Statement {
            text: "DELETE FROM tickets".to_owned(),
            runs: None,
            command: "DELETE".to_owned(),
            parameters: Vec::new(),
            pattern: false,
        },
        touches: Vec::new(),
        rules: Vec::new(),
        why: "delete needs approval".to_owned(),
        bundle: BundleRef { name: "shop".to_owned(), version: "1".to_owned(), hash: "00".to_owned() },
        binding: Binding::of(&[b"exact"]),
        pattern: Some(Binding::of(&[b"pattern"])),
        needs,
        wait,
        hold: HOLD,
        uses: 1,
        use_within: USE_WITHIN,
        purpose: None,
    }
}

pub(crate) fn open(ask: Ask, now: Stamp) -> Request {
    let until = now.after(ask.hold);
    Request::open(Number(1), ask, "gateway".to_owned(), now, until)
}

pub(crate) fn delegation(from: &Who, to: &str, now: Stamp) -> Delegation {
    let until = now.after(Duration::from_secs(24 * 3600));
    Delegation::new("d".to_owned(), (from.clone(), to), None, until, "away", now).unwrap()
}
