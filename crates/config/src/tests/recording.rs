//! `[recording]`.

use std::path::Path;

use super::{parse, whole};
use crate::render_redacted;

#[test]
fn where_sessions_are_recorded_is_read_and_shown() {
    assert_eq!(parse(&whole("")).unwrap().recording, None);
    assert_eq!(parse(&whole("[recording]")).unwrap().recording.unwrap().recipients, [""; 0]);
    let config = parse(&whole(
        "[recording]\nrecipients = [\"age1abc2\"]\nbacklog = \"2 MiB\"\narchive = \"a\"\n\
         [[object_store]]\nname = \"a\"\nurl = \"file:archive\"\n",
    ))
    .unwrap();
    let recording = config.recording.clone().unwrap();
    assert_eq!(recording.path, Path::new("/etc/gatepost/data/recordings"));
    assert_eq!((recording.backlog, recording.archive.as_deref()), (2 << 20, Some("a")));
    let printed = render_redacted(&config);
    assert_eq!(parse(&printed).unwrap().recording, config.recording, "{printed}");
}

#[test]
fn a_key_or_a_store_that_is_none_is_told_and_no_secret_repeated() {
    for (rest, message) in [
        ("recipients = [\"AGE-SECRET-KEY-1XYZ\"]", "a recipient must be \"age1...\""),
        ("archive = \"b\"", "there is no [[object_store]] named \"b\""),
    ] {
        let error = parse(&whole(&format!("[recording]\n{rest}"))).unwrap_err().to_string();
        assert!(error.contains(message) && !error.contains("XYZ"), "{error}");
    }
}
