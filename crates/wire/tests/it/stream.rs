//! Streams cut anywhere: a byte at a time is all at once.

use proptest::prelude::*;
use wire::frame::{self, FrameError};
use wire::frontend::encode;
use wire::startup::{self, ProtocolVersion};

/// Walks a stream that arrives in the given pieces, and returns each message's tag and body.
fn walk<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    bytes_max: usize,
) -> (Vec<(u8, Vec<u8>)>, Option<FrameError>) {
    let (mut buffer, mut messages) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::next(&buffer, bytes_max) {
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
                Ok(Some(frame)) => {
                    assert_eq!(frame::header(&buffer).unwrap().unwrap().len, frame.raw.len());
                    messages.push((frame.tag, frame.body.to_vec()));
                    let used = frame.raw.len();
                    buffer.drain(..used);
                }
            }
        }
    }
    (messages, None)
}

proptest! {
    #[test]
    fn byte_at_a_time_equals_all_at_once(
        messages in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..12),
        cuts in proptest::collection::vec(1..40_usize, 1..20),
        bytes_max in 5..80_usize,
    ) {
        let mut stream = Vec::new();
        for (tag, body) in &messages {
            stream.push(*tag);
            stream.extend((body.len() as i32 + 4).to_be_bytes());
            stream.extend(body);
        }
        let whole = walk([&stream[..]], bytes_max);
        prop_assert_eq!(&walk(stream.chunks(1), bytes_max), &whole);
        let mut rest = &stream[..];
        let pieces: Vec<&[u8]> = cuts.iter().map(|cut| {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            piece
        }).collect();
        prop_assert_eq!(&walk(pieces.into_iter().chain([rest]), bytes_max), &whole);

        let expected: Vec<_> = messages.iter().take_while(|(_, body)| body.len() + 5 <= bytes_max).cloned().collect();
        prop_assert_eq!(whole.1.is_some(), expected.len() < messages.len());
        prop_assert_eq!(whole.0, expected);
    }

    #[test]
    fn broken_stream_breaks_at_the_same_byte(stream in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..80)) {
        let whole = walk([&stream[..]], 64);
        prop_assert_eq!(walk(stream.chunks(1), 64), whole);
    }
}

#[test]
fn startup_packet_is_whole_only_with_its_last_byte() {
    let mut out = Vec::new();
    encode::startup(&mut out, ProtocolVersion::V3_2, [("user", "a"), ("database", "b")]).unwrap();
    for cut in 0..out.len() {
        assert_eq!(startup::packet(&out[..cut]), Ok(None), "cut at {cut}");
    }
    let whole = startup::packet(&out).unwrap().unwrap();
    assert_eq!(whole.1, out.len());
    out.extend(b"Q\0\0\0\x05\0");
    assert_eq!(startup::packet(&out).unwrap().unwrap(), whole, "what follows is not its business");
}
