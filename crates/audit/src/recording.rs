//! Events about recordings of sessions, as fields. Knows no recording.

use model::SessionId;

use crate::json::Object;

/// See [`crate::Event::RecordingStarted`].
#[derive(Clone, Copy, Debug)]
pub struct RecordingStarted<'a> {
    /// The session.
    pub session: SessionId,
    /// The file's name.
    pub file: &'a str,
    /// `statements` or `results`.
    pub kept: &'a str,
    /// For how many recipients it is encrypted; 0: it isn't.
    pub recipients: u64,
    /// The link of its first frame, hex.
    pub hash: &'a str,
}

/// See [`crate::Event::RecordingAnchored`].
#[derive(Clone, Copy, Debug)]
pub struct RecordingAnchored<'a> {
    /// The session.
    pub session: SessionId,
    /// The file's name.
    pub file: &'a str,
    /// How many chunks it has so far.
    pub chunks: u64,
    /// The link of the last of them, hex: everything before it is bound by it.
    pub hash: &'a str,
}

/// See [`crate::Event::RecordingEnded`].
#[derive(Clone, Copy, Debug)]
pub struct RecordingEnded<'a> {
    /// The session.
    pub session: SessionId,
    /// The file's name.
    pub file: &'a str,
    /// `closed`, or `recovered` where the gateway ended before it could close it.
    pub how: &'a str,
    /// The link of its last frame, hex.
    pub hash: &'a str,
    /// Its bytes.
    pub bytes: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Rows that were left out, as the policy's limits say.
    pub rows_cut: u64,
    /// Bytes that were left out.
    pub bytes_cut: u64,
    /// Bytes at the end that were never a whole chunk, and are gone.
    pub torn: u64,
}

/// See [`crate::Event::RecordingLost`].
#[derive(Clone, Copy, Debug)]
pub struct RecordingLost<'a> {
    /// The session.
    pub session: SessionId,
    /// The file's name.
    pub file: &'a str,
    /// `backlog`, `disk`, ...
    pub why: &'a str,
    /// The operating system's words, if it had some.
    pub detail: &'a str,
    /// The last statement that is recorded; what comes after it isn't.
    pub statement: u64,
    /// What follows: `continue` or `stop`.
    pub then: &'a str,
}

/// See [`crate::Event::RecordingArchived`].
#[derive(Clone, Copy, Debug)]
pub struct RecordingArchived<'a> {
    /// The session.
    pub session: SessionId,
    /// The file's name.
    pub file: &'a str,
    /// The object store's name.
    pub archive: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of them, hex.
    pub sha256: &'a str,
}

impl RecordingStarted<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, file, kept, recipients, hash } = self;
        o.session(*session)
            .text("file", file)
            .text("kept", kept)
            .number("recipients", *recipients)
            .text("hash", hash)
    }
}

impl RecordingAnchored<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, file, chunks, hash } = self;
        o.session(*session).text("file", file).number("chunks", *chunks).text("hash", hash)
    }
}

impl RecordingEnded<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, file, how, hash, bytes, chunks, rows_cut, bytes_cut, torn } = self;
        o.session(*session)
            .text("file", file)
            .text("how", how)
            .text("hash", hash)
            .number("bytes", *bytes)
            .number("chunks", *chunks)
            .number("rows_cut", *rows_cut)
            .number("bytes_cut", *bytes_cut)
            .number("torn", *torn)
    }
}

impl RecordingLost<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, file, why, detail, statement, then } = self;
        o.session(*session)
            .text("file", file)
            .text("why", why)
            .text("detail", detail)
            .number("statement", *statement)
            .text("then", then)
    }
}

impl RecordingArchived<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { session, file, archive, key, bytes, sha256 } = self;
        o.session(*session)
            .text("file", file)
            .text("archive", archive)
            .text("key", key)
            .number("bytes", *bytes)
            .text("sha256", sha256)
    }
}
