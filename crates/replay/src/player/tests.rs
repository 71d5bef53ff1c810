//! A player is driven by a clock that the test holds.

use proptest::prelude::*;
use recording::{Decision, Entry, Hold, Sent, What};
use wire::backend::TransactionStatus;
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn sent(refused: bool) -> What {
    let decision = Decision {
        verdict: if refused { "deny" } else { "allow" }.to_owned(),
        rules: Vec::new(),
        sqlstate: refused.then(|| "42501".to_owned()),
        approval: None,
        ..Decision::default()
    };
    What::Sent(Box::new(Sent {
        text: "x".to_owned(),
        parameters: Vec::new(),
        extended: false,
        decision,
        ..Sent::default()
    }))
}

fn ready() -> What {
    let mut bytes = Vec::new();
    encode::ready_for_query(&mut bytes, TransactionStatus::Idle);
    What::Received(bytes)
}

fn failed() -> What {
    let mut bytes = Vec::new();
    let fields = ErrorFields::new(Severity::Error, wire::sqlstate::SYNTAX_ERROR, "m");
    encode::error_response(&mut bytes, &fields);
    What::Received(bytes)
}

/// Statement 1 at 1 s with an answer at 2 s; 2 at 3 s is refused at once; 3 at 10 s waits and fails at 20 s; 4 at 60 s.
fn entries() -> Vec<Entry> {
    let waiting = Hold { request: 1, state: "waiting".to_owned(), message: None };
    let at = |seconds, statement, what| Entry { at: SECOND * seconds, statement, what };
    vec![
        at(1, 1, sent(false)),
        at(2, 1, ready()),
        at(3, 2, sent(true)),
        at(3, 2, failed()),
        at(10, 3, sent(false)),
        at(10, 3, What::Hold(waiting)),
        at(20, 3, failed()),
        at(60, 4, sent(false)),
        at(60, 4, ready()),
    ]
}

/// A player, its entries, and the time.
struct Driver {
    player: Player,
    entries: Vec<Entry>,
    now: Duration,
}

impl Driver {
    fn new(idle_max: Option<Duration>) -> Self {
        let entries = entries();
        let mut timeline = Timeline::default();
        entries.iter().for_each(|entry| timeline.add(entry));
        Self { player: Player::new(timeline, idle_max), entries, now: SECOND * 1000 }
    }

    /// Shows what is to be shown now; returns how long to wait then.
    fn run(&mut self) -> Poll {
        loop {
            let next = self.entries.get(usize::try_from(self.player.position()).unwrap()).map(|it| it.at);
            match self.player.poll(self.now, next) {
                Poll::Show => self.player.shown(self.now, next.unwrap()),
                other => return other,
            }
        }
    }

    fn act(&mut self, command: Command) -> (Done, u64, u64) {
        let done = self.player.act(self.now, command);
        self.run();
        (done, self.player.position(), self.player.clock().as_secs())
    }
}

#[test]
fn it_plays_in_time_and_rests_at_the_end() {
    let mut driver = Driver::new(None);
    assert_eq!(driver.run(), Poll::Rest);
    driver.act(Command::Toggle);
    let mut waits = Vec::new();
    while let Poll::Wait(wait) = driver.run() {
        waits.push((driver.player.position(), wait.as_secs()));
        driver.now += wait;
    }
    assert_eq!(waits, [(0, 1), (1, 1), (2, 1), (4, 7), (6, 10), (7, 40)]);
    assert_eq!((driver.player.position(), driver.player.is_playing()), (9, false));
}

#[test]
fn speed_and_idle_time_shorten_waits() {
    let mut driver = Driver::new(Some(SECOND * 2));
    driver.act(Command::Faster);
    driver.act(Command::Toggle);
    let mut total = Duration::ZERO;
    while let Poll::Wait(wait) = driver.run() {
        total += wait;
        driver.now += wait;
    }
    // 1 + 1 + 1 + 2 + 2 + 2 seconds, twice as fast.
    assert_eq!(total.as_millis(), 4500);
}

#[test]
fn a_pause_stops_the_clock_and_it_goes_on_from_there() {
    let mut driver = Driver::new(None);
    driver.act(Command::Toggle);
    driver.now += Duration::from_millis(400);
    driver.act(Command::Toggle);
    driver.now += SECOND * 100;
    assert_eq!(driver.run(), Poll::Rest);
    driver.act(Command::Toggle);
    assert_eq!(driver.run(), Poll::Wait(Duration::from_millis(600)));
}

#[test]
fn steps_show_statements_whole() {
    let mut driver = Driver::new(None);
    assert_eq!(driver.act(Command::PreviousStatement).0, Done::Nowhere);
    assert_eq!(driver.act(Command::NextStatement), (Done::Onward, 2, 2));
    assert_eq!(driver.act(Command::NextStatement), (Done::Onward, 4, 3));
    assert_eq!(driver.act(Command::NextStatement), (Done::Onward, 7, 20));
    assert_eq!(driver.act(Command::PreviousStatement), (Done::Again, 4, 3));
    assert_eq!(driver.act(Command::PreviousStatement), (Done::Again, 2, 2));
    assert_eq!(driver.act(Command::End), (Done::Onward, 9, 60));
    assert_eq!(driver.act(Command::NextStatement).0, Done::Nowhere);
    assert_eq!(driver.act(Command::Start), (Done::Again, 0, 0));
    assert_eq!(driver.act(Command::Statement(3)), (Done::Onward, 7, 20));
    assert_eq!(driver.act(Command::Statement(99)).0, Done::Nowhere);
}

#[test]
fn it_jumps_to_refusals_holds_and_errors() {
    let mut driver = Driver::new(None);
    assert_eq!(driver.act(Command::Next(Mark::Refusal)), (Done::Onward, 4, 3));
    assert_eq!(driver.act(Command::Next(Mark::Refusal)).0, Done::Nowhere);
    assert_eq!(driver.act(Command::Next(Mark::Hold)), (Done::Onward, 7, 20));
    driver.act(Command::Start);
    // The refusal's own error is none of the server's.
    assert_eq!(driver.act(Command::Next(Mark::Error)), (Done::Onward, 7, 20));
    assert_eq!(driver.act(Command::Previous(Mark::Refusal)), (Done::Again, 4, 3));
    assert_eq!(driver.act(Command::Previous(Mark::Refusal)).0, Done::Nowhere);
}

#[test]
fn seeking_lands_where_the_time_is() {
    let mut driver = Driver::new(None);
    assert_eq!(driver.act(Command::Seek(Duration::from_millis(2500))), (Done::Onward, 2, 2));
    assert_eq!(driver.act(Command::Seek(SECOND * 15)), (Done::Onward, 6, 15));
    assert_eq!(driver.act(Command::Back(SECOND * 12)), (Done::Again, 4, 3));
    assert_eq!(driver.act(Command::Forward(SECOND * 1000)), (Done::Onward, 9, 60));
    assert_eq!(driver.act(Command::Seek(Duration::ZERO)), (Done::Again, 0, 0));
    driver.act(Command::Seek(SECOND * 15));
    driver.act(Command::Toggle);
    assert_eq!(driver.run(), Poll::Wait(SECOND * 5));
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Toggle),
        Just(Command::Faster),
        Just(Command::Slower),
        (0..70_u64).prop_map(|it| Command::Seek(Duration::from_secs(it))),
        (0..9_u64).prop_map(Command::Show),
        (0..70_u64).prop_map(|it| Command::Back(Duration::from_secs(it))),
        Just(Command::NextStatement),
        Just(Command::PreviousStatement),
        Just(Command::Next(Mark::Error)),
        Just(Command::Previous(Mark::Refusal)),
        Just(Command::Start),
        Just(Command::End),
    ]
}

proptest! {
    #[test]
    fn any_commands_at_any_time_leave_it_within_the_recording(commands in proptest::collection::vec((command(), 0..5000_u64), 0..60)) {
        let mut driver = Driver::new(Some(SECOND * 2));
        for (command, passed) in commands {
            driver.now += Duration::from_millis(passed);
            driver.act(command);
            prop_assert!(driver.player.position() <= 9);
            prop_assert!(driver.player.clock() <= SECOND * 60);
            // What is shown is not later than the clock.
            let shown = usize::try_from(driver.player.position()).unwrap();
            if let Some(last) = shown.checked_sub(1) {
                prop_assert!(driver.entries[last].at <= driver.player.clock());
            }
        }
        driver.act(Command::End);
        prop_assert_eq!(driver.player.position(), 9);
    }
}
