//! Stores over real files and real servers: one suite for both kinds, then what each can suffer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod crash;
mod postgres;
mod sqlite;
mod suite;

use std::collections::BTreeSet;
use std::time::Duration;

use approval::{
    Ask, Binding, BundleRef, Group, Members, Number, Stamp, State, Statement, Verdict, Vote, Wait, Who,
};

const HOUR: Duration = Duration::from_secs(3600);

fn who(subject: &str) -> Who {
    Who {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        name: None,
        groups: BTreeSet::from(["support".to_owned()]),
        owner: None,
        on_behalf_of: None,
        email: None,
    }
}

fn ask(text: &str) -> Ask {
    Ask {
        requester: who("agent-7"),
        database: "shop".to_owned(),
        session: None,
        client: None,
        application_name: None,
        statement: Statement {
            text: text.to_owned(),
            runs: None,
            command: "DELETE".to_owned(),
            parameters: Vec::new(),
            pattern: false,
        },
        touches: Vec::new(),
        rules: Vec::new(),
        why: "deletes from a guarded table".to_owned(),
        bundle: BundleRef { name: "shop".to_owned(), version: "1".to_owned(), hash: "00".to_owned() },
        binding: Binding::of(&[text.as_bytes()]),
        pattern: None,
        needs: vec![Group {
            name: "dba".to_owned(),
            members: Members::Any(vec!["dba".to_owned()]),
            quorum: 1,
            reason_required: false,
            count_rows: None,
            break_glass: None,
        }],
        wait: Wait::Held { in_transaction: false },
        hold: HOUR,
        uses: 1,
        use_within: HOUR,
        purpose: None,
    }
}

fn vote(subject: &str, verdict: Verdict) -> Vote {
    Vote {
        by: who(subject),
        delegated_by: None,
        verdict,
        reason: None,
        at: Stamp(2),
        via: "cli".to_owned(),
        counts_for: Vec::new(),
    }
}

/// Opens a request, and moves it to a state.
async fn request(store: &store::Store, text: &str, state: State) -> Number {
    let opened = store.open_request(&ask(text), "gw-1", Stamp(1), Stamp(1000)).await.unwrap();
    if state != State::Open {
        let mut kept = store.request(opened.number).await.unwrap().unwrap();
        kept.request.state = state;
        assert!(store.replace(&kept.request, kept.version).await.unwrap());
    }
    opened.number
}
