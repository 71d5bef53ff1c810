//! Reads messages from an upstream, one at a time and within limits. Knows no message.

use tokio::io::{AsyncRead, AsyncReadExt};
use wire::frame::{self, Frame, FrameError};
use zeroize::Zeroizing;

use super::fault::ReadFault;

/// Bytes asked for at a time.
const CHUNK: usize = 16 * 1024;

/// What has been received.
pub(super) struct Inbox {
    // It holds a cancel key, so it is wiped.
    buf: Zeroizing<Vec<u8>>,
    // INVARIANT: everything before it was handed out.
    at: usize,
    message_bytes_max: usize,
    bytes_left: usize,
}

impl Inbox {
    /// `message_bytes_max` is for each message, `bytes_max` for all of them.
    pub(super) fn new(message_bytes_max: usize, bytes_max: usize) -> Self {
        Self::after(Vec::with_capacity(CHUNK), message_bytes_max, bytes_max)
    }

    /// Starts with what was already received.
    pub(super) fn after(received: Vec<u8>, message_bytes_max: usize, bytes_max: usize) -> Self {
        Self { buf: Zeroizing::new(received), at: 0, message_bytes_max, bytes_left: bytes_max }
    }

    /// Returns the next message, once it is whole. Dropped while waiting, it loses nothing.
    pub(super) async fn next<S>(&mut self, stream: &mut S) -> Result<Frame<'_>, ReadFault>
    where
        S: AsyncRead + Unpin,
    {
        let start = loop {
            match frame::next(self.buf.get(self.at..).unwrap_or_default(), self.message_bytes_max)? {
                Some(frame) => {
                    let len = frame.raw.len();
                    self.bytes_left = self.bytes_left.checked_sub(len).ok_or(ReadFault::TooMuch)?;
                    let start = self.at;
                    self.at += len;
                    break start;
                }
                None => self.fill(stream).await?,
            }
        };
        let whole = self.buf.get(start..self.at).unwrap_or_default();
        match frame::next(whole, self.message_bytes_max)? {
            Some(frame) => Ok(frame),
            None => Err(FrameError::Length { tag: 0, length: 0 }.into()),
        }
    }

    async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<(), ReadFault> {
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.reserve(CHUNK);
        match stream.read_buf(&mut *self.buf).await.map_err(ReadFault::Io)? {
            0 => Err(ReadFault::Closed),
            _ => Ok(()),
        }
    }

    /// Returns what was received after the last message that was handed out.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.buf.get(self.at..).unwrap_or_default().to_vec()
    }
}
