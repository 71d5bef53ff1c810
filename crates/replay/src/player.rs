//! A player as a state machine: what is to be shown now, and until when to wait. Knows a timeline; no terminal and no clock: the
//! time is given to it.
//!
//! Whoever drives it holds the entries. It asks [`Player::poll`] what to do about the next one, tells [`Player::shown`] when it has shown
//! it, and passes on [`Command`]s; where one leads back, it is told to begin again and to show entries until it is there.

use std::time::Duration;

use recording::Mark;

use crate::timeline::Timeline;

/// How fast time may pass, as a factor in tenths.
const SPEEDS: [u32; 9] = [1, 2, 5, 10, 20, 50, 100, 500, 1000];
/// The speed as it was.
const NORMAL: usize = 3;

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Play, or pause.
    Toggle,
    /// The next faster speed.
    Faster,
    /// The next slower speed.
    Slower,
    /// To this time.
    Seek(Duration),
    /// So much on.
    Forward(Duration),
    /// So much back.
    Back(Duration),
    /// Until this entry is shown, from 0.
    Show(u64),
    /// The next statement, with all that it led to.
    NextStatement,
    /// Before the statement that was shown last.
    PreviousStatement,
    /// To this statement, with all that it led to.
    Statement(u64),
    /// To the next mark of this kind, with all that its statement led to.
    Next(Mark),
    /// To the one before.
    Previous(Mark),
    /// To the beginning.
    Start,
    /// To the end.
    End,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It goes on from where it is.
    Onward,
    /// What was shown is to be forgotten: it begins at entry 0.
    Again,
    /// There is no such place.
    Nowhere,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Show the next entry.
    Show,
    /// Wait for so long, or for a command.
    Wait(Duration),
    /// Wait for a command.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Since when, by whoever drives it, the recording's time runs from `clock` on.
    Playing {
        since: Duration,
    },
    Paused,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Player {
    timeline: Timeline,
    /// Entries that are shown.
    position: u64,
    /// The recording's time, as of the last entry or command.
    clock: Duration,
    /// Entries to show at once.
    target: u64,
    /// Where the clock is to stand when they are shown.
    landing: Option<Duration>,
    /// Whether entries that are not later than the clock are to be shown, too.
    catching_up: bool,
    state: State,
    speed: usize,
    idle_max: Option<Duration>,
}

impl Player {
    /// Makes one that stands at the beginning. Times in which nothing happens last no longer than `idle_max`.
    pub const fn new(timeline: Timeline, idle_max: Option<Duration>) -> Self {
        Self {
            timeline,
            position: 0,
            clock: Duration::ZERO,
            target: 0,
            landing: None,
            catching_up: false,
            state: State::Paused,
            speed: NORMAL,
            idle_max,
        }
    }

    /// Returns the marks.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Returns how many entries are shown.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Returns the recording's time.
    pub const fn clock(&self) -> Duration {
        self.clock
    }

    /// Returns whether it plays.
    pub const fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { .. })
    }

    /// Returns the speed, as a factor.
    pub fn speed(&self) -> f64 {
        f64::from(SPEEDS.get(self.speed).copied().unwrap_or(10)) / 10.0
    }

    /// Returns whether entries are being passed over on the way to a place.
    pub const fn is_jumping(&self) -> bool {
        self.position < self.target
    }

    /// Says what to do about the next entry, which is at `next`; `None` if there is none.
    pub fn poll(&mut self, now: Duration, next: Option<Duration>) -> Poll {
        let Some(next) = next else {
            self.state = State::Paused;
            return Poll::Rest;
        };
        if self.position < self.target {
            return Poll::Show;
        }
        self.catching_up &= next <= self.clock;
        if self.catching_up {
            return Poll::Show;
        }
        match self.state {
            State::Paused => Poll::Rest,
            State::Playing { since } => {
                let due = since.saturating_add(self.wait(next));
                match due.checked_sub(now) {
                    None | Some(Duration::ZERO) => Poll::Show,
                    Some(left) => Poll::Wait(left),
                }
            }
        }
    }

    /// How long it takes, at this speed, until the clock is at `next`.
    fn wait(&self, next: Duration) -> Duration {
        let gap = next.saturating_sub(self.clock);
        let gap = self.idle_max.map_or(gap, |max| gap.min(max));
        let tenths = SPEEDS.get(self.speed).copied().unwrap_or(10);
        gap.saturating_mul(10) / tenths.max(1)
    }

    /// Learns that the next entry, which is at `at`, was shown.
    pub fn shown(&mut self, now: Duration, at: Duration) {
        if let State::Playing { since } = self.state {
            // A jump starts the clock anew; else the time that passed too much is not passed on.
            let due = since.saturating_add(self.wait(at));
            let since = if self.position < self.target || self.catching_up { now } else { due.min(now) };
            self.state = State::Playing { since };
        }
        self.position += 1;
        self.clock = self.clock.max(at);
        if self.position >= self.target
            && let Some(landing) = self.landing.take()
        {
            self.clock = landing;
        }
    }

    /// Does what somebody wants.
    pub fn act(&mut self, now: Duration, command: Command) -> Done {
        self.run_clock(now);
        match command {
            Command::Toggle => {
                self.state = match self.state {
                    State::Playing { .. } => State::Paused,
                    State::Paused => State::Playing { since: now },
                };
                Done::Onward
            }
            Command::Faster => {
                self.speed = (self.speed + 1).min(SPEEDS.len() - 1);
                Done::Onward
            }
            Command::Slower => {
                self.speed = self.speed.saturating_sub(1);
                Done::Onward
            }
            Command::Seek(at) => self.seek(at),
            Command::Forward(by) => self.seek(self.clock.saturating_add(by)),
            Command::Back(by) => self.seek(self.clock.saturating_sub(by)),
            Command::Show(entry) => self.go(entry.saturating_add(1)),
            Command::NextStatement => self.next_of(Mark::Statement),
            Command::Next(mark) => self.next_of(mark),
            Command::PreviousStatement => {
                let begin = self.timeline.before(self.position).find(|it| it.mark == Mark::Statement);
                match begin.map(|it| it.entry) {
                    Some(entry) => self.go(entry),
                    None => Done::Nowhere,
                }
            }
            Command::Previous(mark) => self.previous_of(mark),
            Command::Statement(number) => {
                let found =
                    self.timeline.from(0).find(|it| it.statement == number && it.mark == Mark::Statement);
                match found.map(|it| it.entry) {
                    Some(entry) => self.go(self.end_of(entry)),
                    None => Done::Nowhere,
                }
            }
            Command::Start => self.go(0),
            Command::End => self.go(self.timeline.entries()),
        }
    }

    /// Lets the clock come to where it is now, so that what follows counts from there.
    fn run_clock(&mut self, now: Duration) {
        if let State::Playing { since } = self.state {
            let tenths = SPEEDS.get(self.speed).copied().unwrap_or(10);
            let passed = now.saturating_sub(since).saturating_mul(tenths) / 10;
            // Not past the next entry: it is shown when it is due, and idle time may be cut short.
            let passed = self.idle_max.map_or(passed, |max| passed.min(max));
            self.clock = self.clock.saturating_add(passed).min(self.timeline.end());
            self.state = State::Playing { since: now };
        }
    }

    /// The number of entries up to the next statement after the one that `entry` belongs to.
    fn end_of(&self, entry: u64) -> u64 {
        let next = self.timeline.from(entry + 1).find(|it| it.mark == Mark::Statement && it.entry > entry);
        next.map_or(self.timeline.entries(), |it| it.entry)
    }

    fn next_of(&mut self, mark: Mark) -> Done {
        let next = self.timeline.from(self.position).find(|it| it.mark == mark).map(|it| it.entry);
        match next {
            Some(entry) => self.go(self.end_of(entry)),
            None => Done::Nowhere,
        }
    }

    fn previous_of(&mut self, mark: Mark) -> Done {
        // The statement that was shown last, whole, is where it stands: the one before it is meant.
        let here = self.timeline.before(self.position).find(|it| it.mark == Mark::Statement);
        let here = here.map_or(0, |it| it.entry);
        let found = self.timeline.before(here).find(|it| it.mark == mark).map(|it| it.entry);
        match found {
            Some(entry) => self.go(self.end_of(entry)),
            None => Done::Nowhere,
        }
    }

    /// Seeks by time. Where entries are is known at marks only; those between are shown one by one until the time is reached.
    fn seek(&mut self, at: Duration) -> Done {
        let at = at.min(self.timeline.end());
        let back = at < self.clock;
        // Everything before the last mark that is not later.
        let marks = self.timeline.moments();
        let until = marks.partition_point(|moment| moment.at <= at).checked_sub(1);
        let entry = until.and_then(|it| marks.get(it)).map_or(0, |it| it.entry + 1);
        let entry = if at == self.timeline.end() { self.timeline.entries() } else { entry };
        let done = if back { self.again(entry) } else { self.go(entry.max(self.position)) };
        if self.position < self.target {
            self.landing = Some(at);
        } else {
            self.clock = at;
        }
        self.catching_up = true;
        done
    }

    fn go(&mut self, entries: u64) -> Done {
        self.landing = None;
        self.catching_up = false;
        if entries < self.position {
            return self.again(entries);
        }
        self.target = entries;
        Done::Onward
    }

    fn again(&mut self, entries: u64) -> Done {
        self.position = 0;
        self.clock = Duration::ZERO;
        self.target = entries;
        self.landing = None;
        self.catching_up = false;
        Done::Again
    }
}

#[cfg(test)]
mod tests;
