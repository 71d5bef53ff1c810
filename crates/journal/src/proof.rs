//! Proofs that stand alone: that a record is in the journal, and that one checkpoint's journal is the beginning of another's. One JSON
//! document, which is verified with a public key and nothing else.

use std::path::Path;

use audit::{Code, Hash, Kind, Record, Seq, Time};
use checkpoint::{Checkpoint, Consistency, Distrust, Inclusion, NotANote, Note, TreeHash, Trust};
use serde::{Deserialize, Serialize};

use crate::reader::{ReadError, Reader};
use crate::tree::{Nodes, Recorded, leaf};

/// The format of the document. A released one never changes.
const RECORD_FORMAT: &str = "gatepost record proof 1";
const CONSISTENCY_FORMAT: &str = "gatepost consistency proof 1";

/// A proof, as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Proof {
    /// That a record is there.
    Record(RecordProof),
    /// That one journal is the beginning of another.
    Consistency(ConsistencyProof),
}

/// That a record is in the journal of which a checkpoint is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordProof {
    format: String,
    record: Proven,
    /// The hashes that lead from the record to the root, from below, in base64 (RFC 6962, section 2.1.1).
    path: Vec<String>,
    /// The checkpoint: a signed note.
    checkpoint: String,
    /// Checkpoints before it by which a key hands over to the next, for whoever has an older key.
    handovers: Vec<String>,
}

/// The record, with everything that its hash is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proven {
    seq: u64,
    /// For people; `time_ns` counts.
    time: String,
    /// Nanoseconds since 1970.
    time_ns: i64,
    kind: u8,
    code: u16,
    /// The hash of the record before, hex.
    previous: String,
    /// The record's hash, hex.
    hash: String,
    /// The record's bytes, which are text.
    payload: String,
}

/// That the journal of one checkpoint is the beginning of that of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    format: String,
    /// The hashes of RFC 6962, section 2.1.2, in base64.
    path: Vec<String>,
    /// The earlier checkpoint.
    from: String,
    /// The later.
    to: String,
    handovers: Vec<String>,
}

/// Why nothing is proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// There is no such record.
    #[error("there is no record {0} in the journal's folder")]
    NoRecord(Seq),
    /// No checkpoint covers it.
    #[error("record {seq} is covered by no checkpoint yet; the last one is of {signed} records")]
    Uncovered {
        /// The record.
        seq: Seq,
        /// What is covered.
        signed: u64,
    },
    /// There is no checkpoint of that size.
    #[error("there is no checkpoint of {0} records in the journal")]
    NoCheckpoint(u64),
    /// Hashes can't be found.
    #[error(
        "the hashes that lead to the checkpoint can't be found: records are missing, and the files \"tree-…\""
    )]
    Unknown,
    /// The journal is not the one that was signed.
    #[error("the journal is not the one that checkpoint record {0} signed; run `gatepost audit verify`")]
    NotAsSigned(Seq),
    /// A record is not text.
    #[error("record {0} is not text")]
    NotText(Seq),
    /// The segments.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disproof {
    /// It is not read.
    #[error("not a proof: {0}")]
    NotAProof(String),
    /// A note.
    #[error(transparent)]
    NotANote(#[from] NotANote),
    /// A checkpoint isn't believed.
    #[error("the checkpoint does not count: {0}")]
    Distrusted(#[from] Distrust),
    /// The record's hash is not that of the record.
    #[error("the record is not the one with this hash: it was changed")]
    Changed,
    /// The path leads elsewhere.
    #[error("the hashes do not lead to what was signed")]
    LeadsElsewhere,
    /// The checkpoints are of two journals.
    #[error("the checkpoints are of two journals: {0} and {1}")]
    TwoJournals(String, String),
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proved {
    /// The record was in the journal.
    Record {
        /// Which journal.
        origin: String,
        /// Its number.
        seq: Seq,
        /// Its time.
        time: Time,
        /// What it says.
        payload: String,
        /// How many records the checkpoint covers.
        size: u64,
    },
    /// One is the beginning of the other.
    Consistency {
        /// Which journal.
        origin: String,
        /// The smaller size.
        from: u64,
        /// The larger.
        to: u64,
    },
}

/// Proves that a record is in the journal, by the first checkpoint that covers it.
///
/// # Errors
/// [`ProveError`]: no checkpoint covers it yet, it isn't there, or the journal isn't whole.
pub fn prove(dir: &Path, seq: Seq) -> Result<Proof, ProveError> {
    let before = seq.0.checked_sub(1).ok_or(ProveError::NoRecord(seq))?;
    let mut reader = Reader::open_from(dir, seq)?;
    let (previous, record) = reader.read_linked()?.ok_or(ProveError::NoRecord(seq))?;
    if record.seq != seq {
        return Err(ProveError::NoRecord(seq));
    }
    let payload = std::str::from_utf8(record.payload).map_err(|_| ProveError::NotText(seq))?;
    let kind = if record.kind == Kind::Checkpoint { 2 } else { 1 };
    let record = Proven {
        seq: seq.0,
        time: record.time.to_string(),
        time_ns: record.time.0,
        kind,
        code: record.code.0,
        previous: previous.to_string(),
        hash: record.hash.to_string(),
        payload: payload.to_owned(),
    };
    let mut signed = 0;
    let recorded = loop {
        let Some(next) = reader.read()? else { return Err(ProveError::Uncovered { seq, signed }) };
        if next.kind == Kind::Checkpoint
            && let Some(recorded) = Recorded::parse(next.seq, next.payload)
        {
            signed = recorded.checkpoint.size;
            if signed >= seq.0 {
                break recorded;
            }
        }
    };
    let Checkpoint { size, root, .. } = recorded.checkpoint;
    let mut nodes = Nodes::open(dir);
    let found = checkpoint::inclusion(before, size, &mut |span| nodes.find(span));
    let proof = found.ok_or_else(|| nodes.error.take().map_or(ProveError::Unknown, ProveError::Read))?;
    let hash = record.hash.parse().map_err(|_| ProveError::Unknown)?;
    if proof.root(leaf(hash)) != Some(root) {
        return Err(ProveError::NotAsSigned(recorded.record));
    }
    Ok(Proof::Record(RecordProof {
        format: RECORD_FORMAT.to_owned(),
        record,
        path: proof.path.iter().map(ToString::to_string).collect(),
        checkpoint: recorded.note.to_string(),
        handovers: handovers(dir, size)?,
    }))
}

/// Proves that the journal of the checkpoint of `from` records is the beginning of that of `to` records, or of the last checkpoint.
///
/// # Errors
/// As [`prove`].
pub fn prove_consistency(dir: &Path, from: u64, to: Option<u64>) -> Result<Proof, ProveError> {
    let mut first = None;
    let mut second = None;
    let mut reader = crate::reader::open(dir)?;
    while let Some(record) = reader.read()? {
        let Some(it) = Some(record.kind)
            .filter(|kind| *kind == Kind::Checkpoint)
            .and_then(|_| Recorded::parse(record.seq, record.payload))
        else {
            continue;
        };
        if it.checkpoint.size == from && first.is_none() {
            first = Some(it.clone());
        }
        if to.is_none_or(|to| it.checkpoint.size == to) {
            second = Some(it);
        }
    }
    let first = first.ok_or(ProveError::NoCheckpoint(from))?;
    let second = second.ok_or(ProveError::NoCheckpoint(to.unwrap_or(from)))?;
    let mut nodes = Nodes::open(dir);
    let found = checkpoint::consistency(from, second.checkpoint.size, &mut |span| nodes.find(span));
    let proof = found.ok_or_else(|| nodes.error.take().map_or(ProveError::Unknown, ProveError::Read))?;
    if !proof.holds(first.checkpoint.root, second.checkpoint.root) {
        return Err(ProveError::NotAsSigned(second.record));
    }
    Ok(Proof::Consistency(ConsistencyProof {
        format: CONSISTENCY_FORMAT.to_owned(),
        path: proof.path.iter().map(ToString::to_string).collect(),
        from: first.note.to_string(),
        to: second.note.to_string(),
        handovers: handovers(dir, second.checkpoint.size)?,
    }))
}

/// Returns the checkpoints of up to `size` records by which keys hand over.
fn handovers(dir: &Path, size: u64) -> Result<Vec<String>, ReadError> {
    let mut found = Vec::new();
    let mut reader = crate::reader::open(dir)?;
    while reader.position() <= Seq(size)
        && let Some(record) = reader.read()?
    {
        if record.kind == Kind::Checkpoint
            && let Some(it) = Recorded::parse(record.seq, record.payload)
            && it.checkpoint.next_key.is_some()
        {
            found.push(it.note.to_string());
        }
    }
    Ok(found)
}

impl Proof {
    /// Writes the document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Verifies a document with public keys and nothing else.
    ///
    /// # Errors
    /// [`Disproof`]: whoever made it.
    pub fn verify(document: &str, trust: &Trust) -> Result<Proved, Disproof> {
        let proof: Self =
            serde_json::from_str(document).map_err(|error| Disproof::NotAProof(error.to_string()))?;
        match proof {
            Self::Record(proof) => proof.verify(trust.clone()),
            Self::Consistency(proof) => proof.verify(trust.clone()),
        }
    }
}

fn accept(trust: &mut Trust, note: &str) -> Result<Checkpoint, Disproof> {
    Ok(trust.accept(&Note::parse(note)?)?)
}

/// Follows the keys. A checkpoint of a stranger is no news: who has the newest key needs none of them.
fn follow(trust: &mut Trust, handovers: &[String], origin: &str) -> Result<(), Disproof> {
    for note in handovers {
        let note = Note::parse(note)?;
        if Checkpoint::parse(note.text()).is_ok_and(|it| it.origin != origin) {
            return Err(Disproof::NotAProof("a key hands over in another journal".to_owned()));
        }
        match trust.accept(&note) {
            Ok(_) | Err(Distrust::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn origin_of(note: &str) -> Result<String, Disproof> {
    let checkpoint = Checkpoint::parse(Note::parse(note)?.text()).map_err(Distrust::from)?;
    Ok(checkpoint.origin)
}

fn path(path: &[String]) -> Result<Vec<TreeHash>, Disproof> {
    let hashes = path.iter().map(|hash| TreeHash::from_base64(hash)).collect::<Option<_>>();
    hashes.ok_or_else(|| Disproof::NotAProof("a hash of the path is no hash".to_owned()))
}

impl RecordProof {
    fn verify(self, mut trust: Trust) -> Result<Proved, Disproof> {
        let Self { format, record, path: hashes, checkpoint, handovers } = self;
        if format != RECORD_FORMAT {
            return Err(Disproof::NotAProof(format!("the format \"{format}\" is not known here")));
        }
        follow(&mut trust, &handovers, &origin_of(&checkpoint)?)?;
        let Checkpoint { origin, size, root, .. } = accept(&mut trust, &checkpoint)?;
        let Proven { seq, time, time_ns, kind, code, previous, hash, payload } = record;
        let stated: Hash = hash.parse().map_err(|_| Disproof::Changed)?;
        let previous: Hash = previous.parse().map_err(|_| Disproof::Changed)?;
        let kind = match kind {
            1 => Kind::Event,
            2 => Kind::Checkpoint,
            other => Kind::Other(other),
        };
        let (seq, at) = (Seq(seq), Time(time_ns));
        let as_record =
            Record { seq, time: at, kind, code: Code(code), hash: stated, payload: payload.as_bytes() };
        // SECURITY: what a person reads must be what was hashed.
        if as_record.link(previous) != stated || time != at.to_string() {
            return Err(Disproof::Changed);
        }
        let index = seq.0.checked_sub(1).ok_or(Disproof::Changed)?;
        let inclusion = Inclusion { index, size, path: path(&hashes)? };
        if inclusion.root(leaf(stated)) != Some(root) {
            return Err(Disproof::LeadsElsewhere);
        }
        Ok(Proved::Record { origin, seq, time: at, payload, size })
    }
}

impl ConsistencyProof {
    fn verify(self, mut trust: Trust) -> Result<Proved, Disproof> {
        let Self { format, path: hashes, from, to, handovers } = self;
        if format != CONSISTENCY_FORMAT {
            return Err(Disproof::NotAProof(format!("the format \"{format}\" is not known here")));
        }
        let (origin, other) = (origin_of(&from)?, origin_of(&to)?);
        if origin != other {
            return Err(Disproof::TwoJournals(origin, other));
        }
        // Each by the keys of its time.
        let first = accept(&mut trust.clone(), &from);
        follow(&mut trust, &handovers, &origin)?;
        let first = first.or_else(|_| accept(&mut trust.clone(), &from))?;
        let second = accept(&mut trust, &to)?;
        let proof = Consistency { from: first.size, to: second.size, path: path(&hashes)? };
        if !proof.holds(first.root, second.root) {
            return Err(Disproof::LeadsElsewhere);
        }
        Ok(Proved::Consistency { origin, from: first.size, to: second.size })
    }
}
