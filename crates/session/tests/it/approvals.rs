//! The approvers of a conversation: what they were asked, what they have granted, and whether what runs is just that.

use std::collections::BTreeSet;

use approval::{
    Act, Answer, Ask, Claimer, Ended, Number, Parameter, Request, Said, Stamp, Value, Wait, Waiting, Who,
};

use crate::server::Ran;
use crate::statements;

/// What was granted, to be used once.
struct Given {
    ask: Ask,
    spent: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Approvals {
    /// Asked and not answered for good; by the session's count.
    pub(crate) pending: Option<(u64, Ask)>,
    /// Withdrawn, or answered already.
    pub(crate) stale: Vec<(u64, Ask)>,
    pub(crate) withdrawn: Vec<Ended>,
    given: Vec<Given>,
    numbers: u64,
    pub(crate) asked: usize,
    pub(crate) let_through: usize,
}

fn nobody() -> Who {
    Who {
        issuer: "people".to_owned(),
        subject: "vera".to_owned(),
        name: None,
        email: None,
        groups: BTreeSet::from(["dbas".to_owned(), "dpos".to_owned()]),
        owner: None,
        on_behalf_of: None,
    }
}

impl Approvals {
    pub(crate) fn ask(&mut self, asked: u64, ask: Ask) {
        assert!(self.pending.is_none(), "asked twice at once");
        assert!(!ask.needs.is_empty() && !ask.touches.is_empty() && !ask.rules.is_empty(), "{ask:#?}");
        self.asked += 1;
        self.pending = Some((asked, ask));
    }

    /// A request of a client that doesn't wait lives on without it.
    pub(crate) fn given_up(&mut self) {
        self.stale.extend(self.pending.take_if(|(_, ask)| ask.wait == Wait::Async));
    }

    /// Whether a statement hangs.
    pub(crate) fn holds(&self) -> bool {
        self.pending.as_ref().is_some_and(|(_, ask)| ask.wait != Wait::Async)
    }

    pub(crate) fn withdraw(&mut self, asked: u64, why: Ended) {
        let (pending, ask) = self.pending.take().expect("nothing to withdraw");
        assert_eq!(pending, asked, "another ask is withdrawn");
        self.stale.push((asked, ask));
        self.withdrawn.push(why);
    }

    fn number(&mut self) -> Number {
        self.numbers += 1;
        Number(self.numbers)
    }

    pub(crate) fn waiting(&mut self) -> Option<(u64, Answer)> {
        let number = self.number();
        let (asked, ask) = self.pending.as_ref()?;
        let waiting = Waiting {
            number,
            asked: ask.needs.iter().map(|need| need.name.clone()).collect(),
            until: Stamp(1_800_000_600_000),
            link: Some("https://gatepost.example/approvals/1".to_owned()),
        };
        let asked = *asked;
        if ask.wait == Wait::Async || ask.hold.is_zero() {
            // Nobody waits any more.
            self.given_up();
        }
        Some((asked, Answer::Waiting(waiting)))
    }

    /// Whether it is, or has been, told that it waits.
    fn made(&mut self, ask: &Ask) -> Answer {
        let now = Stamp(1_800_000_000_000);
        let number = self.number();
        let mut request = Request::open(
            number,
            ask.clone(),
            "gateway".to_owned(),
            now,
            now.after(ask.hold.max(std::time::Duration::from_secs(1))),
        );
        request
            .act(Act::Approve, &nobody(), Said { reason: None, via: "test" }, &[], now)
            .expect("may approve");
        let requester = ask.requester.clone();
        let claimer = Claimer {
            requester: &requester,
            session: ask.session.as_deref(),
            bindings: (ask.binding, ask.pattern),
        };
        Answer::Granted(request.claim(&claimer, now).expect("is approved").written())
    }

    pub(crate) fn grant(&mut self) -> Option<(u64, Answer)> {
        let (asked, ask) = self.pending.take()?;
        let answer = self.made(&ask);
        self.stale.push((asked, ask.clone()));
        self.given.push(Given { ask, spent: false });
        Some((asked, answer))
    }

    pub(crate) fn deny(&mut self) -> Option<(u64, Answer)> {
        let number = self.number();
        let (asked, ask) = self.pending.take()?;
        self.stale.push((asked, ask));
        Some((
            asked,
            Answer::Denied { number, by: "people:vera".to_owned(), message: Some("not today".to_owned()) },
        ))
    }

    pub(crate) fn end(&mut self, why: Ended) -> Option<(u64, Answer)> {
        let number = self.number();
        let (asked, ask) = self.pending.take()?;
        self.stale.push((asked, ask));
        Some((asked, Answer::Ended { number, why }))
    }

    pub(crate) fn fail(&mut self) -> Option<(u64, Answer)> {
        let (asked, ask) = self.pending.take()?;
        self.stale.push((asked, ask));
        Some((asked, Answer::Failed("the store is down".to_owned())))
    }

    /// A grant that comes when nobody waits for it any more.
    pub(crate) fn late(&mut self, which: usize) -> Option<(u64, Answer)> {
        let (asked, ask) = self.stale.get(which)?.clone();
        Some((asked, self.made(&ask)))
    }

    /// What the server was made to run: where it needed approval, there must be a grant for this text, with these parameters, under the
    /// policy that was in force, that nothing else has used.
    pub(crate) fn check(&mut self, ran: &Ran, hash: &str) {
        let needs = ran.effective.iter().any(|spec| statements::held(spec));
        // What a cursor gives was approved with the cursor.
        let fetches =
            ran.effective.first().is_some_and(|spec| matches!(spec.does, statements::Does::Fetch { .. }));
        let prepares =
            ran.effective.first().is_some_and(|spec| matches!(spec.does, statements::Does::Prepare { .. }));
        if !needs || fetches || prepares {
            return;
        }
        self.let_through += 1;
        let inner = ran.effective.get(1).map(|spec| spec.text);
        let params: Vec<Value> = ran
            .params
            .iter()
            .map(|value| match value {
                Some(value) => Value::Text(String::from_utf8(value.clone()).unwrap()),
                None => Value::Null,
            })
            .collect();
        let fits = |given: &&mut Given| {
            let statement = &given.ask.statement;
            let values: Vec<&Value> =
                statement.parameters.iter().map(|Parameter { value, .. }| value).collect();
            !given.spent
                && statements::bare(&statement.text) == ran.text
                && values.into_iter().eq(&params)
                && given.ask.bundle.hash == hash
                && inner
                    .is_none_or(|inner| statement.runs.as_deref().is_some_and(|runs| runs.contains(inner)))
        };
        let given = self.given.iter_mut().find(fits);
        given
            .unwrap_or_else(|| panic!("P5: {:?} {params:?} ran without an approval of its own", ran.text))
            .spent = true;
    }
}
