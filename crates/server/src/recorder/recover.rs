//! Closes recordings that a gateway could not close. Knows what whole chunks are, not what is in them.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::SystemTime;

use audit::{Event, RecordingEnded, RecordingLost};
use journal::Journal;
use model::SessionId;
use recording::{Entry, KeyError, OpenError, Reader, Recipients, Recovered, What, WriteError, recover};

use super::RecordingError;
use super::spool::{Spool, file_name};

/// Why a recording stays open.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoverError {
    #[error("the file")]
    File(#[from] std::io::Error),
    #[error("its beginning")]
    Open(#[from] OpenError),
    #[error("its recipients")]
    Key(#[from] KeyError),
    #[error("its end")]
    Write(#[from] WriteError),
    #[error("the journal")]
    Journal(#[from] journal::JournalError),
}

/// Closes what the gateway before this one left open.
pub(super) fn all(spool: &Spool, journal: &Journal) -> Result<(), RecordingError> {
    let folder = |error| RecordingError::Folder(spool.path(SessionId(0)), error);
    for session in spool.at_rest().map_err(folder)? {
        match one(spool, journal, session, "the gateway ended") {
            Ok(()) => {}
            Err(RecoverError::Open(error @ OpenError::NoRecording)) => {
                // Not even its first frame is there.
                let (file, detail) = (file_name(session), error.to_string());
                let (why, then, statement) = ("damaged", "continue", 0);
                let lost = RecordingLost { session, file: &file, why, detail: &detail, statement, then };
                journal.append(&Event::RecordingLost(lost), SystemTime::now())?;
                journal.write()?;
                spool.put_aside(session).map_err(folder)?;
            }
            Err(RecoverError::Journal(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(%session, error = oidc::chain(&error), "a recording that was left open can't be closed");
            }
        }
    }
    Ok(())
}

/// Cuts a recording after its last whole chunk and closes it. One that is closed stays as it is.
pub(super) fn one(
    spool: &Spool,
    journal: &Journal,
    session: SessionId,
    why: &str,
) -> Result<(), RecoverError> {
    let mut file = OpenOptions::new().read(true).write(true).open(spool.path(session))?;
    let before = file.metadata()?.len();
    // For whom it was encrypted, it is encrypted to its end, whoever is configured now.
    let recipients = match Reader::open(&file, None)?.recipients() {
        [] => None,
        names => Some(Recipients::parse(names)?),
    };
    file.seek(SeekFrom::Start(0))?;
    let Some(recovered) = recover(&file, recipients)? else { return Ok(()) };
    let Recovered { mut writer, bytes, opening: _, last_at } = recovered;
    for what in [What::Gap { why: why.to_owned() }, What::Ended { why: why.to_owned() }] {
        writer.push(&Entry { at: last_at, statement: 0, what });
    }
    let mut end = Vec::new();
    let totals = writer.finish(&mut end)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes))?;
    file.write_all(&end)?;
    file.sync_all()?;
    let (name, hash) = (file_name(session), totals.hash.to_string());
    let ended = RecordingEnded {
        session,
        file: &name,
        how: "recovered",
        hash: &hash,
        bytes: totals.bytes,
        chunks: totals.chunks,
        rows_cut: totals.rows_cut,
        bytes_cut: totals.bytes_cut,
        torn: before.saturating_sub(bytes),
    };
    journal.append(&Event::RecordingEnded(ended), SystemTime::now())?;
    journal.write()?;
    Ok(())
}
