//! The player on a terminal: entries are printed when they are due, and keys lead elsewhere. What is due is `replay::Player`'s to say.

use std::io::Write as _;
use std::time::{Duration, Instant};

use recording::{Entry, Mark};
use replay::{Command, Done, Player, Poll, Printer, Style, Timeline, clock, coloured};
use wire::backend::TransactionStatus;

use super::tape::Tape;
use super::terminal::{Key, Terminal};
use crate::failure::{Failure, Status};

/// How far an arrow leads.
const STRIDE: Duration = Duration::from_secs(5);
/// While it plays, the clock is shown anew as often.
const REFRESH: Duration = Duration::from_millis(250);
/// Lines that are printed again after a jump back: what scrolled away further is not.
const LINES_MAX: usize = 400;
/// To the first column, and the rest of the screen erased (ECMA-48: CHA, ED).
const CLEAR_LINE: &str = "\r\u{1b}[J";
/// The screen, and what is above it (xterm's ED 3).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";
const HELP: &str = "space play/pause  n/p statement  r/e/h next refusal, error, hold (R/E/H previous)  \
                    arrows 5 s  +/- speed  / search  g statement  home/end  q quit";

/// Plays a recording until somebody has seen enough.
pub(super) fn run(mut tape: Tape, idle: Option<Duration>, from: Option<u64>) -> Result<Status, Failure> {
    let mut timeline = Timeline::default();
    while let Some(entry) = tape.next_entry()? {
        timeline.add(&entry);
    }
    let damaged = !tape.damage().is_empty();
    tape.rewind()?;
    let terminal = Terminal::open().map_err(|error| Failure::caused("can't take the terminal", error))?;
    let printer = Printer::new(Style::Annotated, tape.opening(), TransactionStatus::Idle);
    let mut stage = Stage {
        tape,
        printer,
        next: None,
        player: Player::new(timeline, idle),
        began: Instant::now(),
        held: Vec::new(),
        asking: None,
        said: if damaged { "not all of it could be read" } else { HELP }.to_owned(),
        wanted: String::new(),
        out: std::io::stdout(),
    };
    stage.write(CLEAR)?;
    stage.advance()?;
    let now = stage.now();
    if let Some(number) = from {
        stage.player.act(now, Command::Statement(number));
    } else {
        stage.player.act(now, Command::Toggle);
    }
    stage.play(&terminal)?;
    stage.write(&format!("{CLEAR_LINE}\n"))?;
    Ok(if damaged { Status::CheckFailed } else { Status::Success })
}

struct Stage {
    tape: Tape,
    printer: Printer,
    /// The entry that comes next.
    next: Option<Entry>,
    player: Player,
    began: Instant,
    /// What is printed when a jump has arrived.
    held: Vec<String>,
    /// What is being typed: a text to find, or a number.
    asking: Option<(char, String)>,
    said: String,
    /// What was searched last.
    wanted: String,
    out: std::io::Stdout,
}

impl Stage {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        written.map_err(|error| Failure::caused("can't write to the terminal", error))
    }

    fn advance(&mut self) -> Result<(), Failure> {
        self.next = self.tape.next_entry()?;
        Ok(())
    }

    fn play(&mut self, terminal: &Terminal) -> Result<(), Failure> {
        loop {
            let now = self.now();
            let next = self.next.as_ref().map(|entry| entry.at);
            let wait = match self.player.poll(now, next) {
                Poll::Show => {
                    self.show(now)?;
                    continue;
                }
                Poll::Wait(wait) => Some(wait.min(REFRESH)),
                Poll::Rest => None,
            };
            self.arrive()?;
            self.status()?;
            match terminal.key(wait) {
                Ok(None) => {}
                Ok(Some(key)) => {
                    if !self.key(key)? {
                        return Ok(());
                    }
                }
                Err(()) => return Ok(()),
            }
        }
    }

    /// Prints the next entry, or keeps it until a jump has arrived.
    fn show(&mut self, now: Duration) -> Result<(), Failure> {
        let Some(entry) = self.next.take() else { return Ok(()) };
        let jumping = self.player.is_jumping();
        for piece in self.printer.print(&entry) {
            let text = coloured(&piece);
            if jumping {
                self.held.push(text);
            } else {
                self.write(&format!("{CLEAR_LINE}{text}"))?;
            }
        }
        if self.held.len() > 2 * LINES_MAX {
            self.held.drain(..LINES_MAX);
        }
        self.player.shown(now, entry.at);
        self.advance()
    }

    /// Prints what was passed over, as much as there is room for.
    fn arrive(&mut self) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.held).concat();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let shown = lines.get(lines.len().saturating_sub(LINES_MAX)..).unwrap_or_default().concat();
        self.write(&format!("{CLEAR_LINE}{shown}"))
    }

    /// The line below: where it is, and what was said last.
    fn status(&mut self) -> Result<(), Failure> {
        let line = match &self.asking {
            Some((kind, typed)) => format!("{kind}{typed}"),
            None => {
                let state = if self.player.is_playing() { "playing" } else { "paused" };
                let (at, end) = (clock(self.player.clock()), clock(self.player.timeline().end()));
                format!("[{state} {at} / {end}  {}x]  {}", self.player.speed(), self.said)
            }
        };
        let line: String =
            audit::render::cell(&line).chars().take(Terminal::columns().saturating_sub(1)).collect();
        self.write(&format!("{CLEAR_LINE}\u{1b}[7m{line}\u{1b}[0m"))
    }

    /// Does what a key means; returns whether it goes on.
    fn key(&mut self, key: Key) -> Result<bool, Failure> {
        if let Some((kind, typed)) = self.asking.take() {
            self.typed(kind, typed, key)?;
            return Ok(true);
        }
        self.said.clear();
        let command = match key {
            Key::Char('q') | Key::Escape => return Ok(false),
            Key::Char('/' | 'g') => {
                self.asking = Some((if key == Key::Char('g') { '#' } else { '/' }, String::new()));
                return Ok(true);
            }
            Key::Char('?') => {
                HELP.clone_into(&mut self.said);
                return Ok(true);
            }
            Key::Char('N') => {
                self.find()?;
                return Ok(true);
            }
            Key::Char(' ') => Command::Toggle,
            Key::Char('n') | Key::Down | Key::Enter => Command::NextStatement,
            Key::Char('p') | Key::Up => Command::PreviousStatement,
            Key::Char('r') => Command::Next(Mark::Refusal),
            Key::Char('e') => Command::Next(Mark::Error),
            Key::Char('h') => Command::Next(Mark::Hold),
            Key::Char('R') => Command::Previous(Mark::Refusal),
            Key::Char('E') => Command::Previous(Mark::Error),
            Key::Char('H') => Command::Previous(Mark::Hold),
            Key::Char('+' | '=') => Command::Faster,
            Key::Char('-') => Command::Slower,
            Key::Right => Command::Forward(STRIDE),
            Key::Left => Command::Back(STRIDE),
            Key::Home => Command::Start,
            Key::End => Command::End,
            Key::Char(_) | Key::Backspace => return Ok(true),
        };
        let steps = !matches!(
            command,
            Command::Toggle | Command::Faster | Command::Slower | Command::Forward(_) | Command::Back(_)
        );
        if steps && self.player.is_playing() {
            let now = self.now();
            self.player.act(now, Command::Toggle);
        }
        self.act(command)?;
        Ok(true)
    }

    fn act(&mut self, command: Command) -> Result<(), Failure> {
        let now = self.now();
        match self.player.act(now, command) {
            Done::Onward => Ok(()),
            Done::Nowhere => {
                "there is none".clone_into(&mut self.said);
                Ok(())
            }
            Done::Again => self.again(),
        }
    }

    /// Begins again; what is shown is shown when the jump has arrived.
    fn again(&mut self) -> Result<(), Failure> {
        self.tape.rewind()?;
        self.printer = Printer::new(Style::Annotated, self.tape.opening(), TransactionStatus::Idle);
        self.held.clear();
        self.write(CLEAR)?;
        self.advance()
    }

    fn typed(&mut self, kind: char, mut typed: String, key: Key) -> Result<(), Failure> {
        match key {
            Key::Escape => return Ok(()),
            Key::Char(c) => typed.push(c),
            Key::Backspace => drop(typed.pop()),
            Key::Enter if kind == '#' => {
                return match typed.parse() {
                    Ok(number) => self.act(Command::Statement(number)),
                    Err(_) => {
                        "a statement's number is meant".clone_into(&mut self.said);
                        Ok(())
                    }
                };
            }
            Key::Enter => {
                self.wanted = typed.to_lowercase();
                return self.find();
            }
            _ => {}
        }
        self.asking = Some((kind, typed));
        Ok(())
    }

    /// Goes to the next entry that shows what was searched; from the beginning again at the end.
    fn find(&mut self) -> Result<(), Failure> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let here = self.player.position();
        let (mut first, mut after) = (None, None);
        let mut tape = self.tape.again()?;
        let mut printer = Printer::new(Style::Annotated, tape.opening(), TransactionStatus::Idle);
        let mut number = 0;
        while let Some(entry) = tape.next_entry()? {
            let found = printer.print(&entry).iter().any(|it| it.text.to_lowercase().contains(&self.wanted));
            if found {
                first = first.or(Some(number));
                if number >= here {
                    after = Some(number);
                    break;
                }
            }
            number += 1;
        }
        if self.player.is_playing() {
            let now = self.now();
            self.player.act(now, Command::Toggle);
        }
        match after.or(first) {
            Some(entry) => {
                format!("found; N finds the next \"{}\"", self.wanted).clone_into(&mut self.said);
                self.act(Command::Show(entry))
            }
            None => {
                "it is nowhere".clone_into(&mut self.said);
                Ok(())
            }
        }
    }
}
