//! What every store must do, whichever kind it is.

use std::collections::BTreeSet;
use std::time::Duration;

use approval::{Delegation, Ended, Number, Request, Review, Stamp, State, Verdict};
use store::{BrowserSession, Change, Delivery, Keep, Location, RequestFilter, Standing, Store};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;

use crate::{HOUR, ask, request, vote, who};

/// Runs the whole suite on an empty store.
pub(crate) async fn holds(location: Location) {
    let first = Store::open(location.clone()).await.unwrap();
    let second = Store::open(location).await.unwrap();
    requests_keep_everything_and_their_numbers_count_up(&first).await;
    one_of_many_writers_wins_each_version(&first, &second).await;
    a_claim_is_made_once_however_many_try(&first, &second).await;
    numbers_are_given_once(&first, &second).await;
    filters_mean_what_they_say(&first).await;
    each_tells_the_other_of_changes(&first, &second).await;
    delegations_end(&first, &second).await;
    people_are_as_they_were_last(&first).await;
    browser_sessions_end(&first, &second).await;
    a_login_is_taken_once(&first, &second).await;
    messages_are_lent_to_one_sender(&first, &second).await;
    what_came_before_is_known(&first, &second).await;
    silent_gateways_are_found(&first).await;
    the_old_is_forgotten_and_nothing_else(&first).await;
    // A delegation and a browser session that were there already.
    assert_eq!(first.health().errors, 2, "{:?}", first.health());
    assert_eq!(first.health().trouble, None);
}

async fn requests_keep_everything_and_their_numbers_count_up(store: &Store) {
    let odd = "DELETE FROM \"t\u{202e}\" -- '\\ \u{0} \u{1F480} \n";
    let one = store.open_request(&ask(odd), "gw-1", Stamp(5), Stamp(u64::MAX)).await.unwrap();
    let two = store.open_request(&ask("SELECT 1"), "gw-1", Stamp(5), Stamp(6)).await.unwrap();
    assert_eq!((one.number, two.number), (Number(1), Number(2)));
    let kept = store.request(one.number).await.unwrap().unwrap();
    assert_eq!(kept.request, one);
    assert_eq!(kept.request.ask.statement.text, odd);
    assert_eq!(store.request(Number(99)).await.unwrap(), None);
    assert_eq!(store.request(Number(0)).await.unwrap(), None);
    assert!(!store.replace(&Request { number: Number(99), ..one }, 1).await.unwrap());
}

/// Many tasks each add a vote by reading and writing until it is in: none is lost, none is there twice.
async fn one_of_many_writers_wins_each_version(first: &Store, second: &Store) {
    const WRITERS: usize = 24;
    let number = request(first, "UPDATE t SET a = 1", State::Open).await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = if writer % 2 == 0 { first.clone() } else { second.clone() };
        tasks.spawn(async move {
            loop {
                let mut kept = store.request(number).await.unwrap().unwrap();
                kept.request.votes.push(vote(&format!("approver-{writer}"), Verdict::Approve));
                if store.replace(&kept.request, kept.version).await.unwrap() {
                    return;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let kept = second.request(number).await.unwrap().unwrap();
    let voters: BTreeSet<_> = kept.request.votes.iter().map(|vote| vote.by.subject.clone()).collect();
    assert_eq!((kept.request.votes.len(), voters.len()), (WRITERS, WRITERS));
    assert_eq!(kept.version, 1 + WRITERS as u64);
}

async fn a_claim_is_made_once_however_many_try(first: &Store, second: &Store) {
    for round in 0..5 {
        let number = request(first, &format!("claim {round}"), State::Approved).await;
        let mut tasks = JoinSet::new();
        for claimant in 0..16 {
            let store = if claimant % 2 == 0 { first.clone() } else { second.clone() };
            tasks.spawn(async move {
                let mut kept = store.request(number).await.unwrap().unwrap();
                if kept.request.state != State::Approved {
                    return false;
                }
                kept.request.state = State::Used;
                kept.request.used += 1;
                store.replace(&kept.request, kept.version).await.unwrap()
            });
        }
        let won = tasks.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
        assert_eq!(second.request(number).await.unwrap().unwrap().request.used, 1);
    }
}

async fn numbers_are_given_once(first: &Store, second: &Store) {
    let mut tasks = JoinSet::new();
    for opener in 0..20 {
        let store = if opener % 2 == 0 { first.clone() } else { second.clone() };
        tasks.spawn(async move {
            store.open_request(&ask("SELECT 2"), "gw-2", Stamp(1), Stamp(2)).await.unwrap().number
        });
    }
    let numbers: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(numbers.len(), 20);
}

async fn filters_mean_what_they_say(store: &Store) {
    let numbers = |kept: Vec<store::Kept>| kept.iter().map(|kept| kept.request.number).collect::<Vec<_>>();
    let mut other = ask("filtered");
    other.requester = who("somebody");
    other.database = "crm".to_owned();
    let theirs = store.open_request(&other, "gw-9", Stamp(1), Stamp(2)).await.unwrap().number;
    let open = request(store, "filtered", State::Open).await;
    let denied = request(store, "filtered", State::Denied).await;
    let ended = request(store, "filtered", State::Ended(Ended::Expired)).await;
    let binding = Some(other.binding);
    let filter = RequestFilter { binding, ..RequestFilter::default() };
    let of =
        |states: &[Standing]| RequestFilter { states: states.iter().copied().collect(), ..filter.clone() };
    for (filter, expected) in [
        (filter.clone(), vec![ended, denied, open, theirs]),
        (of(&[Standing::Open]), vec![open, theirs]),
        (of(&[Standing::Denied, Standing::Ended]), vec![ended, denied]),
        (of(&[Standing::Used]), vec![]),
        (RequestFilter { before: Some(denied), ..filter.clone() }, vec![open, theirs]),
        (RequestFilter { limit: Some(2), ..filter.clone() }, vec![ended, denied]),
        (RequestFilter { limit: Some(0), ..filter.clone() }, vec![]),
        (RequestFilter { requester: Some("corp:somebody".to_owned()), ..filter.clone() }, vec![theirs]),
        (RequestFilter { database: Some("crm".to_owned()), ..filter.clone() }, vec![theirs]),
        (RequestFilter { gateway: Some("gw-9".to_owned()), ..RequestFilter::default() }, vec![theirs]),
        (RequestFilter { gateway: Some("' OR 1 = 1 --".to_owned()), ..filter.clone() }, vec![]),
        (RequestFilter { review_due: true, ..filter.clone() }, vec![]),
    ] {
        assert_eq!(numbers(store.requests(&filter).await.unwrap()), expected, "{filter:?}");
    }
    let overdue = store.overdue(Stamp(2), 1000).await.unwrap();
    assert_eq!(overdue[0].request.until.0.min(2), 2);
    let overdue = numbers(overdue);
    assert!(
        overdue.contains(&theirs) && !overdue.contains(&open) && !overdue.contains(&denied),
        "{overdue:?}"
    );
    let mut kept = store.request(open).await.unwrap().unwrap();
    kept.request.review = Review::Due;
    assert!(store.replace(&kept.request, kept.version).await.unwrap());
    let review_due = RequestFilter { review_due: true, ..RequestFilter::default() };
    assert_eq!(numbers(store.requests(&review_due).await.unwrap()), [open]);
    assert_eq!(store.count_requests(&of(&[Standing::Denied, Standing::Open])).await.unwrap(), 3);
}

/// Waits for a notice; others may come before it.
pub(crate) async fn told(changes: &mut Receiver<Change>, awaited: Change) {
    let waiting = async { while changes.recv().await.unwrap() != awaited {} };
    let told = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(told.is_ok(), "nobody told of {awaited:?}");
}

async fn each_tells_the_other_of_changes(first: &Store, second: &Store) {
    let (mut here, mut there) = (first.changes(), second.changes());
    let number = request(first, "SELECT 3", State::Open).await;
    told(&mut here, Change::Request { number, version: 1 }).await;
    told(&mut there, Change::Request { number, version: 1 }).await;
    let kept = second.request(number).await.unwrap().unwrap();
    assert!(second.replace(&kept.request, kept.version).await.unwrap());
    told(&mut here, Change::Request { number, version: 2 }).await;
    told(&mut there, Change::Request { number, version: 2 }).await;
}

async fn delegations_end(first: &Store, second: &Store) {
    let mut changes = second.changes();
    let made = Delegation {
        id: "d-1".to_owned(),
        from: who("ana"),
        to: "corp:ben".to_owned(),
        groups: BTreeSet::from(["dba".to_owned()]),
        until: Stamp(100),
        reason: "holidays".to_owned(),
        made: Stamp(10),
        ended: None,
    };
    first.add_delegation(&made).await.unwrap();
    told(&mut changes, Change::Delegations).await;
    let later = Delegation { id: "d-2".to_owned(), until: Stamp(200), ..made.clone() };
    first.add_delegation(&later).await.unwrap();
    assert!(first.add_delegation(&later).await.is_err());
    assert_eq!(second.delegations(Stamp(99)).await.unwrap(), [made.clone(), later.clone()]);
    assert_eq!(second.delegations(Stamp(100)).await.unwrap(), std::slice::from_ref(&later));
    let ended = second.end_delegation("d-2", Stamp(50)).await.unwrap().unwrap();
    assert_eq!(ended, Delegation { ended: Some(Stamp(50)), ..later });
    told(&mut changes, Change::Delegations).await;
    assert_eq!(first.delegations(Stamp(60)).await.unwrap(), [made]);
    assert_eq!(first.end_delegation("d-2", Stamp(55)).await.unwrap(), None);
    assert_eq!(first.delegation("d-2").await.unwrap(), Some(ended));
}

async fn people_are_as_they_were_last(store: &Store) {
    let mut ana = who("ana");
    store.seen(&ana, Some("ana@example.org"), Stamp(10)).await.unwrap();
    ana.groups = BTreeSet::from(["dba".to_owned()]);
    store.seen(&ana, None, Stamp(20)).await.unwrap();
    store.seen(&who("ana"), None, Stamp(15)).await.unwrap();
    store.seen(&who("ben"), None, Stamp(30)).await.unwrap();
    let person = store.person("corp", "ana").await.unwrap().unwrap();
    assert_eq!((person.who, person.email.as_deref()), (ana, Some("ana@example.org")));
    assert_eq!((person.first_seen, person.last_seen), (Stamp(10), Stamp(20)));
    assert_eq!(store.person("other", "ana").await.unwrap(), None);
    let people: Vec<_> = store.people().await.unwrap().into_iter().map(|p| p.who.subject).collect();
    assert_eq!(people, ["ben", "ana"]);
}

async fn browser_sessions_end(first: &Store, second: &Store) {
    let session = |digest: &str, person: &str| BrowserSession {
        digest: digest.to_owned(),
        person: person.to_owned(),
        sid: Some(format!("corp:sid-of-{digest}")),
        expires: Stamp(100),
        document: "{}".to_owned(),
    };
    for (digest, person) in [("d1", "corp:ana"), ("d2", "corp:ana"), ("d3", "corp:ben"), ("d4", "corp:ben")] {
        first.put_browser_session(&session(digest, person), Stamp(1)).await.unwrap();
    }
    assert!(first.put_browser_session(&session("d3", "corp:mallory"), Stamp(1)).await.is_err());
    assert_eq!(second.browser_session("d3", Stamp(99)).await.unwrap(), Some(session("d3", "corp:ben")));
    assert_eq!(second.browser_session("d3", Stamp(100)).await.unwrap(), None);
    let moved = BrowserSession { expires: Stamp(200), ..session("d3", "corp:ben") };
    assert!(second.replace_browser_session(&moved).await.unwrap());
    assert_eq!(first.browser_session("d3", Stamp(150)).await.unwrap(), Some(moved.clone()));
    assert_eq!(second.remove_browser_sessions_of("corp:ana").await.unwrap(), 2);
    assert_eq!(first.browser_session("d1", Stamp(2)).await.unwrap(), None);
    assert_eq!(second.remove_browser_sessions_of_sid("corp:sid-of-d4").await.unwrap(), 1);
    assert_eq!(first.browser_session("d4", Stamp(2)).await.unwrap(), None);
    first.remove_browser_session("d3").await.unwrap();
    assert_eq!(second.browser_session("d3", Stamp(2)).await.unwrap(), None);
    assert!(!second.replace_browser_session(&moved).await.unwrap());
}

async fn a_login_is_taken_once(first: &Store, second: &Store) {
    first.begin_login("state", "nonce", Stamp(100), Stamp(1)).await.unwrap();
    let (one, two) = tokio::join!(first.take_login("state", Stamp(2)), second.take_login("state", Stamp(2)));
    let taken: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(taken, ["nonce"]);
    first.begin_login("late", "nonce", Stamp(100), Stamp(1)).await.unwrap();
    assert_eq!(second.take_login("late", Stamp(100)).await.unwrap(), None);
}

async fn messages_are_lent_to_one_sender(first: &Store, second: &Store) {
    let lease = Duration::from_millis(50);
    let about = Number(7);
    let mut changes = second.changes();
    for kind in ["opened", "decided", "ended"] {
        first.enqueue("slack", kind, about, "{}", Stamp(10)).await.unwrap();
    }
    told(&mut changes, Change::Outbox).await;
    assert_eq!(second.enqueue("slack", "opened", about, "other", Stamp(10)).await.unwrap(), None);
    assert_eq!(first.due("slack", Stamp(9), lease, 10).await.unwrap(), []);
    assert_eq!(first.due("mail", Stamp(10), lease, 10).await.unwrap(), [], "another channel's");
    let (one, two) =
        tokio::join!(first.due("slack", Stamp(10), lease, 10), second.due("slack", Stamp(10), lease, 10));
    let (one, two) = (one.unwrap(), two.unwrap());
    let mut lent: Vec<_> = one.iter().chain(&two).cloned().collect();
    lent.sort_by_key(|message| message.id);
    assert_eq!(
        lent.iter().map(|message| message.kind.as_str()).collect::<Vec<_>>(),
        ["opened", "decided", "ended"]
    );
    assert_eq!(first.count_waiting().await.unwrap(), 3);
    assert!(first.delivered(&lent[0], Some("C1 17.1")).await.unwrap());
    assert!(!first.delivered(&lent[0], None).await.unwrap());
    assert!(first.failed(&lent[1], Some(Stamp(100)), "503").await.unwrap());
    assert!(first.failed(&lent[2], None, "gone").await.unwrap());
    assert_eq!(second.due("slack", Stamp(99), lease, 10).await.unwrap(), []);
    let again = second.due("slack", Stamp(100), lease, 10).await.unwrap();
    assert_eq!(
        again.iter().map(|message| (message.attempts, message.error.as_deref())).collect::<Vec<_>>(),
        [(2, Some("503"))]
    );
    // The lease runs out: another sender has it, and the first can't say any more what became of it.
    let other = first.due("slack", Stamp(150), lease, 10).await.unwrap();
    assert!(!second.delivered(&again[0], None).await.unwrap());
    assert!(first.delivered(&other[0], None).await.unwrap());
    assert_eq!(second.messages_of(about).await.unwrap()[0].receipt.as_deref(), Some("C1 17.1"));
    let of: Vec<_> = second.messages_of(about).await.unwrap().into_iter().map(|m| m.delivery).collect();
    assert_eq!(of, [Delivery::Delivered, Delivery::Delivered, Delivery::GivenUp]);
}

async fn what_came_before_is_known(first: &Store, second: &Store) {
    let (one, two) =
        tokio::join!(first.first_time("slack", "id", Stamp(10)), second.first_time("slack", "id", Stamp(10)));
    assert_eq!(u8::from(one.unwrap()) + u8::from(two.unwrap()), 1);
    assert!(second.first_time("teams", "id", Stamp(10)).await.unwrap());
}

async fn silent_gateways_are_found(store: &Store) {
    store.beat("gw-1", Stamp(10)).await.unwrap();
    store.beat("gw-2", Stamp(10)).await.unwrap();
    store.beat("gw-2", Stamp(20)).await.unwrap();
    assert_eq!(store.silent_since(Stamp(20)).await.unwrap(), ["gw-1"]);
    store.forget_instance("gw-1").await.unwrap();
    assert_eq!(store.silent_since(Stamp(21)).await.unwrap(), ["gw-2"]);
}

async fn the_old_is_forgotten_and_nothing_else(store: &Store) {
    let keep = Keep { requests: HOUR };
    let hour = 3_600_000;
    // Times of the tests before are long ago; what is open, approved or to be reviewed is kept however old it is.
    let open = request(store, "old but open", State::Open).await;
    let approved = request(store, "old but approved", State::Approved).await;
    let glass = request(store, "old, to be reviewed", State::Used).await;
    let mut kept = store.request(glass).await.unwrap().unwrap();
    kept.request.review = Review::Due;
    assert!(store.replace(&kept.request, kept.version).await.unwrap());
    let old = request(store, "old", State::Denied).await;
    store.enqueue("slack", "denied", old, "{}", Stamp(1)).await.unwrap();
    let message = store.due("slack", Stamp(1), HOUR, 1).await.unwrap().pop().unwrap();
    assert!(store.delivered(&message, None).await.unwrap());
    store.sweep(keep, Stamp(1 + hour)).await.unwrap();
    assert!(store.request(old).await.unwrap().is_some(), "forgotten before its time");
    let swept = store.sweep(keep, Stamp(2 + hour)).await.unwrap();
    assert!(swept.requests > 0, "{swept:?}");
    assert_eq!(store.request(old).await.unwrap(), None);
    assert_eq!(store.messages_of(old).await.unwrap(), []);
    for number in [open, approved, glass] {
        assert!(store.request(number).await.unwrap().is_some(), "{number}");
    }
    assert_eq!(store.sweep(keep, Stamp(2 + hour)).await.unwrap(), store::Swept::default());
    let next = request(store, "new", State::Open).await;
    assert!(next > old, "a number came twice: {next}");
}
