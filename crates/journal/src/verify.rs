//! Verification of a directory, a segment at a time. Needs no lock and no gateway.

use std::io;
use std::path::{Path, PathBuf};

use audit::{Anchor, Finding, Problem, Report, SegmentHeader, Seq, Start, Verifier};

use crate::layout;

/// Why a journal does not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not whole; says where.
    #[error("audit journal does not verify")]
    Found(#[from] Finding),
    /// It can't be read.
    #[error("can't read \"{}\"", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

/// Verifies every record of a journal, also while a gateway writes it: a record in the middle of being written may then be
/// reported as a torn tail, which [`Finding::is_recoverable`] tells.
///
/// # Errors
/// - [`VerifyError::Found`]: the first place where the chain is not whole.
/// - [`VerifyError::Io`]: the disk.
pub fn verify_dir(dir: &Path, start: Start, anchors: &[Anchor]) -> Result<Report, VerifyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| VerifyError::Io { path, error }
    };
    let mut verifier = Verifier::new(start, anchors);
    for name in layout::segments(dir).map_err(io(dir))? {
        let path = name.path(dir);
        let bytes = std::fs::read(&path).map_err(io(&path))?;
        if let Some(first) = SegmentHeader::parse(&bytes).ok().map(|header| header.first)
            && first != name.first
        {
            return Err(misnamed(name.file(), name.first, first).into());
        }
        verifier.segment(name.file(), &bytes)?;
    }
    Ok(verifier.finish()?)
}

fn misnamed(segment: String, seq: Seq, found: Seq) -> Finding {
    Finding { segment, offset: 0, seq, problem: Problem::Misplaced { found } }
}
