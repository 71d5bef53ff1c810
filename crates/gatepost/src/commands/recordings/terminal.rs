//! A terminal in raw mode, by termios: keys as they are pressed, and back to what it was whatever happens. Knows no recording.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::termios::{self, OptionalActions, Termios};

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
}

/// Standard input and output while a player has them.
pub(super) struct Terminal {
    before: Termios,
    keys: Receiver<Key>,
}

impl Terminal {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // Output as before: a line end goes back to the first column. ^C stays what it is.
        raw.output_modes = before.output_modes;
        raw.local_modes |= termios::LocalModes::ISIG;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        let (send, keys) = channel();
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            let mut bytes = [0; 64];
            while let Ok(read @ 1..) = input.read(&mut bytes) {
                for key in read_keys(bytes.get(..read).unwrap_or_default()) {
                    if send.send(key).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self { before, keys })
    }

    /// Waits for a key, no longer than `limit`. `Err`: nobody is there any more.
    pub(super) fn key(&self, limit: Option<Duration>) -> Result<Option<Key>, ()> {
        match limit {
            None => self.keys.recv().map(Some).map_err(|_| ()),
            Some(limit) => match self.keys.recv_timeout(limit) {
                Ok(key) => Ok(Some(key)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(()),
            },
        }
    }

    /// Returns its columns.
    pub(super) fn columns() -> usize {
        termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col).max(20))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        let _ = io::stdout().flush();
    }
}

/// Reads what a terminal sends for keys (xterm's and VT100's); what isn't known is no key.
fn read_keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let key = match first {
            0x1b => match after {
                [b'[' | b'O', code, more @ ..] => {
                    rest = more;
                    match code {
                        b'A' => Some(Key::Up),
                        b'B' => Some(Key::Down),
                        b'C' => Some(Key::Right),
                        b'D' => Some(Key::Left),
                        b'H' => Some(Key::Home),
                        b'F' => Some(Key::End),
                        b'1' | b'7' | b'4' | b'8' => {
                            rest = more.strip_prefix(b"~").unwrap_or(more);
                            Some(if matches!(code, b'1' | b'7') { Key::Home } else { Key::End })
                        }
                        _ => None,
                    }
                }
                _ => Some(Key::Escape),
            },
            b'\r' | b'\n' => Some(Key::Enter),
            0x7f | 0x08 => Some(Key::Backspace),
            _ => {
                let length = rest.iter().take_while(|byte| (0x80..0xc0).contains(*byte)).count();
                let whole = bytes.len() - rest.len() - 1;
                let text = bytes.get(whole..=whole + length).and_then(|it| std::str::from_utf8(it).ok());
                rest = rest.get(length..).unwrap_or_default();
                text.and_then(|text| text.chars().next()).filter(|c| !c.is_control()).map(Key::Char)
            }
        };
        keys.extend(key);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_terminals_send_them() {
        let read = |bytes: &str| read_keys(bytes.as_bytes());
        assert_eq!(read("a é"), [Key::Char('a'), Key::Char(' '), Key::Char('é')]);
        assert_eq!(read("\u{1b}[C\u{1b}OD\u{1b}[1~\u{1b}[F"), [Key::Right, Key::Left, Key::Home, Key::End]);
        assert_eq!(read("\r\u{7f}\u{1b}"), [Key::Enter, Key::Backspace, Key::Escape]);
        assert_eq!(read("\u{1}\u{1b}[Zq"), [Key::Char('q')]);
    }
}
