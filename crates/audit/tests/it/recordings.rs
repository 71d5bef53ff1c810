//! Events about recordings.

use audit::{Event, RecordingAnchored, RecordingArchived, RecordingEnded, RecordingLost, RecordingStarted};
use model::SessionId;

#[track_caller]
fn check(event: Event<'_>, code: u16, expected: &str) {
    let encoded = event.encode();
    assert_eq!(encoded.code().0, code);
    assert_eq!(String::from_utf8_lossy(encoded.payload()), expected);
}

#[test]
fn what_becomes_of_a_recording_is_said_in_these_words() {
    let (session, file) = (SessionId(7), "7.gpr");
    let id = "\"session\":\"00000000000000000000000000000007\",\"file\":\"7.gpr\"";
    check(
        Event::RecordingStarted(RecordingStarted {
            session,
            file,
            kept: "results",
            recipients: 2,
            hash: "ab",
        }),
        100,
        &format!(
            "{{\"event\":\"recording_started\",{id},\"kept\":\"results\",\"recipients\":2,\"hash\":\"ab\"}}"
        ),
    );
    check(
        Event::RecordingAnchored(RecordingAnchored { session, file, chunks: 3, hash: "cd" }),
        101,
        &format!("{{\"event\":\"recording_anchored\",{id},\"chunks\":3,\"hash\":\"cd\"}}"),
    );
    let ended = RecordingEnded {
        session,
        file,
        how: "closed",
        hash: "ef",
        bytes: 10,
        chunks: 3,
        rows_cut: 4,
        bytes_cut: 5,
        torn: 0,
    };
    check(
        Event::RecordingEnded(ended),
        102,
        &format!(
            "{{\"event\":\"recording_ended\",{id},\"how\":\"closed\",\"hash\":\"ef\",\"bytes\":10,\"chunks\":3,\"rows_cut\":4,\"bytes_cut\":5,\"torn\":0}}"
        ),
    );
    let lost = RecordingLost { session, file, why: "disk", detail: "full\n", statement: 9, then: "stop" };
    check(
        Event::RecordingLost(lost),
        103,
        &format!(
            "{{\"event\":\"recording_lost\",{id},\"why\":\"disk\",\"detail\":\"full\\n\",\"statement\":9,\"then\":\"stop\"}}"
        ),
    );
    let archived = RecordingArchived { session, file, archive: "s3", key: "k", bytes: 10, sha256: "00" };
    check(
        Event::RecordingArchived(archived),
        104,
        &format!(
            "{{\"event\":\"recording_archived\",{id},\"archive\":\"s3\",\"key\":\"k\",\"bytes\":10,\"sha256\":\"00\"}}"
        ),
    );
}
