//! Any interleaving of votes, claims, deadlines and withdrawals by gateways that act on stale copies: what was promised of it holds.
//!
//! The store is a document with a version and compare-and-swap. Beside it stands a book of what truly happened, and what a grant needs
//! is counted again there in another way.

use std::collections::BTreeSet;
use std::time::Duration;

use approval::{
    Act, Binding, Claimer, Delegation, Ended, Group, Members, Request, Said, Stamp, State, Wait, Who,
};
use proptest::prelude::*;

use crate::people::{USE_WITHIN, agent, all, any, ask, delegation, group, open, who};

const GATEWAYS: usize = 2;
const START: Stamp = Stamp(1_000_000);

#[derive(Clone, Debug)]
enum Step {
    /// A gateway reads the document.
    Read(usize),
    /// A gateway lets somebody act upon what it read last.
    Act(usize, Act, usize),
    Claim(usize, bool),
    Expire(usize),
    End(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        8 => Just(Act::Approve),
        1 => Just(Act::Deny),
        1 => Just(Act::BreakGlass),
        1 => Just(Act::Review),
        1 => Just(Act::Withdraw)
    ];
    prop_oneof![
        6 => (0..GATEWAYS).prop_map(Step::Read),
        12 => (0..GATEWAYS, act, 0..people().len()).prop_map(|(at, act, who)| Step::Act(at, act, who)),
        6 => (0..GATEWAYS, any_bool()).prop_map(|(at, other)| Step::Claim(at, other)),
        1 => (0..GATEWAYS).prop_map(Step::Expire),
        1 => (0..GATEWAYS).prop_map(Step::End),
        2 => prop_oneof![Just(10_u64), Just(100), Just(USE_WITHIN.as_secs())].prop_map(Step::Wait),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.1)
}

/// Some have to do with who asks; `deputy` votes for `ann`, and `proxy` for `erin`, in whose name it is asked.
fn people() -> Vec<Who> {
    vec![
        agent(),
        who("erin", &["dba", "privacy", "oncall"]),
        Who { email: Some("dana@example.com".to_owned()), ..who("dana", &["dba", "privacy"]) },
        who("ann", &["dba", "privacy"]),
        who("bob", &["dba"]),
        who("cem", &["privacy"]),
        who("deputy", &[]),
        who("proxy", &[]),
        who("oscar", &["oncall"]),
        who("nobody", &["sales"]),
    ]
}

fn delegations() -> Vec<Delegation> {
    let from = |subject: &str| people().into_iter().find(|who| who.subject == subject).unwrap();
    vec![delegation(&from("ann"), "corp:deputy", START), delegation(&from("erin"), "corp:proxy", START)]
}

fn needs() -> impl Strategy<Value = Vec<Group>> {
    let entry = prop_oneof![
        (1..3_u32).prop_map(|quorum| group("dbas", any(&["dba"]), quorum)),
        (1..3_u32).prop_map(|quorum| group("either", any(&["dba", "privacy"]), quorum)),
        Just(group("both", all(&["dba", "privacy"]), 1)),
    ];
    prop::collection::vec((entry, prop::bool::ANY), 1..3).prop_map(|entries| {
        let named = entries.into_iter().enumerate().map(|(at, (mut group, glass))| {
            group.name = format!("{}{at}", group.name);
            group.break_glass = glass.then(|| "oncall".to_owned());
            group
        });
        named.collect()
    })
}

fn wait() -> impl Strategy<Value = (Wait, u32)> {
    prop_oneof![
        Just((Wait::Held { in_transaction: false }, 1)),
        Just((Wait::Async, 1)),
        (1..4_u32).prop_map(|uses| (Wait::Before, uses)),
    ]
}

/// Who can't possibly decide here.
fn stands_behind(who: &Who) -> bool {
    ["agent", "erin", "dana"].contains(&who.subject.as_str())
}

/// Whether these people, each in one place, fill all that is needed: by trying every assignment.
fn enough(needs: &[Group], voters: &[BTreeSet<String>]) -> bool {
    let mut places: Vec<Vec<String>> = Vec::new();
    for need in needs {
        let lots = match &need.members {
            Members::Any(groups) => vec![groups.clone()],
            Members::All(groups) => groups.iter().map(|group| vec![group.clone()]).collect(),
        };
        for lot in lots {
            places.extend((0..need.quorum).map(|_| lot.clone()));
        }
    }
    fn fill(places: &[Vec<String>], voters: &[BTreeSet<String>], taken: &mut Vec<bool>) -> bool {
        let Some((place, rest)) = places.split_first() else { return true };
        (0..voters.len()).any(|at| {
            if taken[at] || !place.iter().any(|group| voters[at].contains(group)) {
                return false;
            }
            taken[at] = true;
            let filled = fill(rest, voters, taken);
            taken[at] = false;
            filled
        })
    }
    fill(&places, voters, &mut vec![false; voters.len()])
}

/// What truly happened: only what the store took.
#[derive(Default)]
struct Book {
    approvals: Vec<(Who, BTreeSet<String>)>,
    glass: Option<Who>,
    over: bool,
    decided_at: Option<Stamp>,
    grants: u32,
}

struct World {
    stored: (Request, u64),
    read: Vec<(Request, u64)>,
    now: Stamp,
    book: Book,
}

impl World {
    fn swap(&mut self, at: usize, request: Request) -> bool {
        let version = self.read[at].1;
        if version != self.stored.1 {
            return false;
        }
        self.stored = (request, version + 1);
        true
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Read(at) => self.read[at] = self.stored.clone(),
            Step::Wait(seconds) => self.now = self.now.after(Duration::from_secs(seconds)),
            Step::Act(at, act, who) => self.act(at, act, &people()[who]),
            Step::Claim(at, other) => self.claim(at, other),
            Step::Expire(at) => {
                let mut request = self.read[at].0.clone();
                if request.expire(self.now) && self.swap(at, request) {
                    self.book.over = true;
                }
            }
            Step::End(at) => {
                let mut request = self.read[at].0.clone();
                if request.end(Ended::Lost, self.now) && self.swap(at, request) {
                    self.book.over = true;
                }
            }
        }
    }

    fn act(&mut self, at: usize, act: Act, by: &Who) {
        let mut request = self.read[at].0.clone();
        let said = Said { reason: Some("because"), via: "test" };
        if request.act(act, by, said, &delegations(), self.now).is_err() {
            assert_eq!(request, self.read[at].0, "a refused act changes nothing");
            return;
        }
        let decided = self.stored.0.state == State::Open && request.state == State::Approved;
        let vote = request.votes.last().cloned();
        if !self.swap(at, request) {
            return;
        }
        match act {
            Act::Approve => {
                let vote = vote.unwrap();
                let in_place_of = vote.delegated_by.clone().unwrap_or_else(|| by.clone());
                assert!(!stands_behind(by) && !stands_behind(&in_place_of), "{by} approved their own");
                for (known, _) in &self.book.approvals {
                    assert!(!known.is(&in_place_of), "{in_place_of} counts twice");
                }
                self.book.approvals.push((in_place_of, vote.groups().clone()));
            }
            Act::Deny => {
                assert!(!stands_behind(by));
                self.book.over = true;
            }
            Act::Withdraw => self.book.over = true,
            Act::BreakGlass => self.book.glass = Some(by.clone()),
            Act::Review => {
                assert!(!self.book.glass.as_ref().unwrap().is(by));
                assert!(!stands_behind(by));
            }
        }
        if decided {
            self.book.decided_at = Some(self.now);
        }
    }

    fn claim(&mut self, at: usize, other: bool) {
        let mut request = self.read[at].0.clone();
        let requester = agent();
        let binding = Binding::of(&[if other { b"other" } else { b"exact" }]);
        let claimer = Claimer { requester: &requester, session: Some("5e"), bindings: (binding, None) };
        let Ok(claim) = request.claim(&claimer, self.now) else { return };
        let needs = request.ask.needs.clone();
        let uses = request.ask.uses;
        if !self.swap(at, request) {
            // The use was not taken: the claim is worth nothing.
            return;
        }
        let grant = claim.written();
        self.book.grants += 1;
        assert!(!other && grant.binding() == binding, "another statement got through");
        assert!(self.book.grants <= uses, "more grants than uses");
        assert!(!self.book.over, "a grant after the end");
        let voters: Vec<_> = self.book.approvals.iter().map(|(_, groups)| groups.clone()).collect();
        assert!(self.book.glass.is_some() || enough(&needs, &voters), "a grant without a quorum");
        let decided = self.book.decided_at.expect("a grant before a decision");
        assert!(self.now < decided.after(USE_WITHIN), "a grant after its time");
        assert_eq!(grant.approved_by().len(), needs.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_grants_twice_or_without_a_quorum_or_too_late_or_to_oneself(
        needs in needs(),
        (wait, uses) in wait(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let ask = approval::Ask { uses, ..ask(needs, wait) };
        let request = open(ask, START);
        let stored = (request, 1);
        let read = vec![stored.clone(); GATEWAYS];
        let mut world = World { stored, read, now: START, book: Book::default() };
        for step in &steps {
            world.step(step);
        }
        // What is stored is read back as it was.
        let text = serde_json::to_string(&world.stored.0).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Request>(&text).unwrap(), &world.stored.0);
    }

    #[test]
    fn places_are_filled_as_trying_every_assignment_would(
        needs in needs(),
        voters in prop::collection::vec(0..people().len(), 0..6),
    ) {
        let mut request = open(ask(needs.clone(), Wait::Async), START);
        let mut counted: Vec<(Who, BTreeSet<String>)> = Vec::new();
        for at in voters {
            let by = people().swap_remove(at);
            let _refused = request.act(Act::Approve, &by, Said { reason: None, via: "t" }, &delegations(), START);
            if let Some(vote) = request.votes.last().filter(|_| request.votes.len() > counted.len()) {
                counted.push((by, vote.groups().clone()));
            }
            let groups: Vec<_> = counted.iter().map(|(_, groups)| groups.clone()).collect();
            prop_assert_eq!(request.state == State::Approved, enough(&needs, &groups));
        }
    }
}
