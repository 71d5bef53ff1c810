//! Requests for tests.

use std::time::Duration;

use approval::{
    Ask, Binding, BundleRef, Group, Members, Number, Parameter, Request, RuleRef, Stamp, State, Statement, Touched,
    Value, Wait, Who,
};

/// An open request for that statement.
pub(crate) fn request(text: &str) -> Request {
    Request {
        number: Number(7),
        ask: ask(text),
        opened: Stamp(1_800_000_000_000),
        until: Stamp(1_800_000_900_000),
        gateway: "gw".to_owned(),
        state: State::Open,
        votes: Vec::new(),
        used: 0,
    }
}

fn ask(text: &str) -> Ask {
    let requester = Who {
        issuer: "corp".to_owned(),
        subject: "agent-7".to_owned(),
        name: Some("Agent Seven".to_owned()),
        groups: ["agents".to_owned()].into(),
        owner: Some("corp:olga".to_owned()),
        on_behalf_of: None,
    };
    Ask {
        requester,
        database: "shop".to_owned(),
        session: Some("00".repeat(16)),
        client: Some("127.0.0.1:5".to_owned()),
        application_name: Some("psql".to_owned()),
        statement: Statement {
            text: text.to_owned(),
            command: "DELETE".to_owned(),
            parameters: vec![Parameter {
                type_oid: 20,
                type_name: Some("int8".to_owned()),
                value: Value::Text("42".to_owned()),
            }],
            pattern: false,
        },
        touches: vec![Touched {
            action: "delete".to_owned(),
            resource: "table public.tickets".to_owned(),
            verdict: "hold".to_owned(),
            mask: None,
            rules: vec!["rule-1".to_owned()],
        }],
        rules: vec![RuleRef { id: "rule-1".to_owned(), file: "rules.cedar".to_owned(), line: 3, forbid: false }],
        why: "delete needs approval".to_owned(),
        bundle: BundleRef { name: "shop".to_owned(), version: "1".to_owned(), hash: "00".to_owned() },
        binding: Binding::of(&[text.as_bytes()]),
        needs: vec![Group {
            name: "dba".to_owned(),
            members: Members::Any(vec!["dba".to_owned()]),
            quorum: 2,
            reason_required: false,
            count_rows: None,
            break_glass: None,
        }],
        wait: Wait::Held { in_transaction: false },
        hold: Duration::from_secs(900),
        uses: 1,
        use_within: Duration::from_secs(60),
        purpose: None,
    }
}

/// A request in which everything that a stranger can choose is that text.
pub(crate) fn hostile(text: &str) -> Request {
    let mut request = request(text);
    let ask = &mut request.ask;
    for field in [&mut ask.requester.subject, &mut ask.database, &mut ask.why, &mut ask.statement.command] {
        text.clone_into(field);
    }
    for field in [&mut ask.requester.name, &mut ask.requester.owner, &mut ask.requester.on_behalf_of] {
        *field = Some(text.to_owned());
    }
    ask.application_name = Some(text.to_owned());
    ask.purpose = Some(text.to_owned());
    for touch in &mut ask.touches {
        text.clone_into(&mut touch.resource);
    }
    for rule in &mut ask.rules {
        text.clone_into(&mut rule.id);
    }
    for parameter in &mut ask.statement.parameters {
        parameter.value = Value::Text(text.to_owned());
    }
    request
}
