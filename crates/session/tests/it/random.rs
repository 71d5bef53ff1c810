//! Seeded conversations. `SEED=n` runs one, `SEEDS=n` so many from 0, `STEPS=n` makes them longer, `ALL=1` goes on after
//! a failure and lists the seeds that fail.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use approval::Ended;
use session::Input;
use wire::frontend::Target;

use crate::harness::Harness;
use crate::on_large_stack;
use crate::rng::Rng;
use crate::server::Troubles;
use crate::statements::{Does, STATEMENTS, spec};

const STEPS: usize = 200;

#[test]
fn promises_hold_in_any_conversation() {
    on_large_stack(|| {
        let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let seeds = match number("SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("SEEDS").unwrap_or(300),
        };
        let steps = number("STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
        let (mut ran, mut refused, mut stopped) = (0, 0, 0);
        let (mut asked, mut let_through, mut withdrawn) = (0, 0, 0);
        let mut failures = Vec::new();
        let many = env::var("ALL").is_ok();
        for seed in seeds {
            let mut rng = Rng::new(seed);
            let limited = seed % 3 == 2;
            let first = Rng::new(seed.wrapping_mul(31) + 7);
            let mut harness = match seed % 6 {
                2 | 5 => Harness::limited(first),
                1 => Harness::held(first),
                4 if seed % 12 == 4 => Harness::held(first),
                4 => Harness::held_async(first),
                _ => Harness::new(first),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| converse(&mut harness, &mut rng, steps)));
            if let Err(panic) = outcome {
                if !many {
                    for line in &harness.story {
                        eprintln!("{line}");
                    }
                }
                eprintln!("^ seed {seed}; repeat with SEED={seed}");
                if !many {
                    resume_unwind(panic);
                }
                failures.push(seed);
            }
            assert!(!limited || harness.changed_policy || harness.client.rows_most <= 2, "seed {seed}");
            stopped += harness.client.heard.iter().filter(|(_, state)| state == "54000").count();
            asked += harness.approvals.asked;
            let_through += harness.approvals.let_through;
            withdrawn += harness.approvals.withdrawn.len();
            ran += harness.ran;
            refused += harness.refused;
        }
        assert!(failures.is_empty(), "seeds {failures:?}");
        // A conversation in which nothing happens proves nothing.
        let figures = format!(
            "{ran} statements ran, {refused} were refused, {stopped} stopped; {asked} asked, {let_through} let through, {withdrawn} withdrawn"
        );
        eprintln!("{figures}");
        let enough = ran > 1000 && refused > 300 && stopped > 50;
        let held = asked > 120 && let_through > 80 && withdrawn > 5;
        assert!(env::var("SEED").is_ok() || enough && held, "{figures}");
    });
}

/// The same conversations, all of them where much needs approval: nothing is let through twice, with other parameters, or before a grant.
#[test]
fn nothing_runs_but_what_was_approved_and_once() {
    on_large_stack(|| {
        let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let seeds = match number("SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("SEEDS").unwrap_or(60),
        };
        let (mut asked, mut let_through, mut withdrawn) = (0, 0, 0);
        for seed in seeds {
            let mut rng = Rng::new(seed.wrapping_mul(17) + 1_000_003);
            let first = Rng::new(seed.wrapping_mul(13) + 5);
            let mut harness = if seed % 4 == 3 { Harness::held_async(first) } else { Harness::held(first) };
            let outcome = catch_unwind(AssertUnwindSafe(|| converse(&mut harness, &mut rng, STEPS)));
            if let Err(panic) = outcome {
                for line in &harness.story {
                    eprintln!("{line}");
                }
                eprintln!("^ seed {seed}; repeat with SEED={seed}");
                resume_unwind(panic);
            }
            asked += harness.approvals.asked;
            let_through += harness.approvals.let_through;
            withdrawn += harness.approvals.withdrawn.len();
        }
        let figures = format!("{asked} asked, {let_through} let through, {withdrawn} withdrawn");
        eprintln!("{figures}");
        assert!(env::var("SEED").is_ok() || asked > 100 && let_through > 60 && withdrawn > 5, "{figures}");
    });
}

fn converse(harness: &mut Harness, rng: &mut Rng, steps: usize) {
    // Some conversations go well, so that long ones are among them.
    let calm = rng.chance(500);
    harness.server.troubles =
        if calm { Troubles::default() } else { Troubles { run_errors: 80, other_errors: 10, notices: 50 } };
    let mut speaker = Speaker { names: Vec::new(), open: false };
    for _ in 0..steps {
        step(harness, rng, &mut speaker, calm);
        if harness.session.is_closed() || harness.has_left() {
            break;
        }
    }
    if !harness.session.is_closed() {
        harness.settle();
    }
    if harness.session.is_closed() {
        assert_eq!(harness.closes, 1);
        while harness.step_server() {}
        harness.handle(Input::ClientBytes(b"Q\0\0\0\x0bSELECT\0"));
        harness.change_policy(1);
        assert!(harness.server.at_rest(), "a closed session goes on");
    }
}

/// Approvers say something, or the client cancels.
fn decide(harness: &mut Harness, rng: &mut Rng) {
    let answer = match rng.below(100) {
        0..30 => harness.approvals.waiting(),
        30..70 => harness.approvals.grant(),
        70..76 => harness.approvals.deny(),
        76..80 => harness.approvals.end(Ended::Expired),
        80..83 => harness.approvals.fail(),
        // Somebody has agreed to what was withdrawn before they could be told.
        83..93 => {
            let which = rng.below(harness.approvals.stale.len());
            harness.approvals.late(which)
        }
        _ => {
            harness.approvals.given_up();
            return harness.handle(Input::CancelRequested);
        }
    };
    harness.answer(answer);
}

fn step(harness: &mut Harness, rng: &mut Rng, speaker: &mut Speaker, calm: bool) {
    if harness.holds() && rng.chance(if harness.approvals.pending.is_some() { 200 } else { 20 }) {
        return decide(harness, rng);
    }
    match rng.below(100) {
        0..22 => speaker.speak(harness, rng),
        22..45 => {
            let count = if rng.chance(300) { 1 + rng.below(12) } else { usize::MAX };
            harness.deliver_client(count);
        }
        45..65 => {
            for _ in 0..1 + rng.below(12) {
                harness.step_server();
            }
        }
        65..80 => {
            let count = if rng.chance(300) { 1 + rng.below(40) } else { usize::MAX };
            harness.deliver_server(count);
        }
        80..87 => harness.acknowledge_written(1 + rng.below(harness.unwritten().max(1))),
        87..94 => harness.acknowledge_durable(1 + rng.below(harness.undurable().max(1))),
        94 => harness.change_policy(rng.below(2)),
        95 => harness.wait(Duration::from_millis(if rng.chance(50) { 31_000 } else { 50 })),
        96 if rng.chance(700) => drop(harness.deliver_cancel()),
        96 => harness.refresh_catalog(),
        97 if !calm => harness.fail_journal(),
        98 if !calm && rng.chance(100) => match rng.below(5) {
            0 => harness.client_leaves(),
            1 => harness.handle(Input::UpstreamClosed),
            2 => harness.handle(Input::Revoked("revoked".to_owned())),
            3 => {
                harness.elapsed += Duration::from_secs(900);
                harness.handle(Input::Deadline);
            }
            _ => {
                // Not a message: a length below that of the length itself.
                harness.outgoing.extend_from_slice(b"Q\0\0\0\x01");
                harness.run_approved();
                assert!(harness.session.is_closed() || harness.client.holding, "garbage is taken");
                if !harness.session.is_closed() {
                    harness.client_leaves();
                }
            }
        },
        99 if rng.chance(200) => harness.handle(Input::Drain),
        _ => {}
    }
}

/// A client that mostly knows what it is doing.
struct Speaker {
    /// Statement names and what they were last made with.
    names: Vec<(&'static str, &'static str)>,
    /// Messages of the extended protocol have been sent since the last Sync.
    open: bool,
}

const NAMES: &[&str] = &["", "s1", "s2"];
const PORTALS: &[&str] = &["", "c1"];

impl Speaker {
    fn text(rng: &mut Rng) -> &'static str {
        rng.pick(STATEMENTS).text
    }

    fn plain(rng: &mut Rng) -> &'static str {
        loop {
            let text = Self::text(rng);
            if spec(text).is_some_and(|spec| spec.does != Does::CopyIn) {
                return text;
            }
        }
    }

    fn speak(&mut self, harness: &mut Harness, rng: &mut Rng) {
        if harness.client.ended || harness.client.holding {
            return;
        }
        if harness.client.copying {
            if rng.chance(600) {
                harness.copy_data();
            } else {
                harness.copy_end(rng.chance(800));
                self.open = false;
            }
            return;
        }
        match rng.below(100) {
            0..22 => {
                if self.open && !rng.chance(100) {
                    self.sync(harness);
                }
                harness.query(Self::text(rng));
            }
            22..30 => {
                if self.open {
                    self.sync(harness);
                }
                let parts: Vec<&str> = (0..2 + rng.below(3)).map(|_| Self::text(rng)).collect();
                harness.query(&parts.join("; "));
            }
            30..50 => {
                self.whole(harness, rng);
                if rng.chance(800) {
                    self.sync(harness);
                }
            }
            50..54 if !harness.client.is_skipping() => {
                let text = crate::statements::COPY_IN;
                harness.close(Target::Statement, "cp");
                harness.parse("cp", text);
                harness.bind("", "cp", 0);
                harness.execute_copy("");
                self.open = true;
            }
            54..62 => self.parse(harness, rng),
            62..72 => self.bind(harness, rng),
            72..78 => {
                let target = if rng.chance(500) { Target::Statement } else { Target::Portal };
                let names = if target == Target::Statement { NAMES } else { PORTALS };
                harness.describe(target, rng.pick(names));
                self.open = true;
            }
            78..86 => {
                harness.execute(rng.pick(PORTALS), i32::from(rng.chance(300)));
                self.open = true;
            }
            86..90 => {
                let target = if rng.chance(500) { Target::Statement } else { Target::Portal };
                let names = if target == Target::Statement { NAMES } else { PORTALS };
                harness.close(target, rng.pick(names));
                self.open = true;
            }
            90..93 => harness.flush(),
            _ => self.sync(harness),
        }
    }

    fn sync(&mut self, harness: &mut Harness) {
        harness.sync();
        self.open = false;
    }

    fn whole(&mut self, harness: &mut Harness, rng: &mut Rng) {
        let text = Self::plain(rng);
        harness.parse("", text);
        harness.bind("", "", spec(text).map_or(0, |spec| spec.params));
        if rng.chance(500) {
            harness.describe(Target::Portal, "");
        }
        harness.execute("", 0);
        self.open = true;
    }

    fn parse(&mut self, harness: &mut Harness, rng: &mut Rng) {
        let name = rng.pick(NAMES);
        let text = Self::plain(rng);
        if rng.chance(500) {
            harness.close(Target::Statement, name);
        }
        harness.parse(name, text);
        self.names.retain(|(known, _)| *known != name);
        self.names.push((name, text));
        self.open = true;
    }

    fn bind(&mut self, harness: &mut Harness, rng: &mut Rng) {
        let name = rng.pick(NAMES);
        let text = self.names.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
        let count = spec(text).map_or(0, |spec| spec.params);
        let values: Vec<&str> = (0..count).map(|_| rng.pick(&["1", "2"])).collect();
        harness.bind_values(rng.pick(PORTALS), name, &values);
        self.open = true;
    }
}
