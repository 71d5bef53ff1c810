//! The wire crate from outside: every message both ways, streams cut anywhere, hostile bytes, SCRAM against a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking; clippy.toml's exemption doesn't reach helpers outside #[test]"
)]

mod backend;
mod channel_binding;
mod frontend;
mod hostile;
mod scram;
mod stream;

use wire::frame::{self, Frame};

/// The one frame that `out` holds.
#[track_caller]
fn only_frame(out: &[u8]) -> Frame<'_> {
    let frame = frame::next(out, usize::MAX).unwrap().expect("a whole message");
    assert_eq!(frame.raw.len(), out.len(), "bytes after the message");
    frame
}

/// Text that a C string can hold.
fn c_string() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..=255_u8, 0..40)
}

/// A list of values, some NULL, some empty.
fn values() -> impl proptest::strategy::Strategy<Value = Vec<Option<Vec<u8>>>> {
    let value = proptest::collection::vec(proptest::num::u8::ANY, 0..40);
    proptest::collection::vec(proptest::option::of(value), 0..20)
}
