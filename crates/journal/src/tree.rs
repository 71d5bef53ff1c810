//! The Merkle tree over the journal's records, as files beside the segments, so that neither starting nor proving reads all records.
//!
//! A leaf is a record's hash, which the segments hold. The files `tree-08`, `tree-16`, `tree-24`, `tree-32` hold the nodes of these
//! heights, 32 bytes each, from the left: of 256, 65 536, ... leaves. They can be made anew from the segments. What they say is
//! believed only as far as a signed root agrees.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use audit::{Hash, Kind, Seq};
use checkpoint::{Checkpoint, Frontier, Note, Span, TreeHash};

use crate::layout;
use crate::reader::{ReadError, Reader};

/// The heights that have files.
const HEIGHTS: [u8; 4] = [8, 16, 24, 32];

/// The leaves of a node of the lowest file, and the nodes under one of each higher file.
pub(crate) const BLOCK: u64 = 256;

const NODE_BYTES: u64 = 32;

/// Returns the leaf of a record.
pub(crate) fn leaf(hash: Hash) -> TreeHash {
    TreeHash::leaf(&hash.0)
}

/// Returns the file of the nodes of a height.
pub(crate) fn level_path(dir: &Path, height: u8) -> PathBuf {
    dir.join(format!("tree-{height:02}"))
}

/// Why there is no tree over the records.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The segments.
    #[error("can't make the tree over the audit records")]
    Read(#[from] ReadError),
    /// The tree's files.
    #[error("can't use \"{}\"", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Older segments are gone, and the tree's files don't say what was in them.
    #[error(
        "audit records before {0} are not in the journal's folder, and the files \"tree-…\" that stand for them are missing or damaged: put either back, or begin another folder"
    )]
    Missing(Seq),
    /// The records are not those that were signed.
    #[error(
        "the audit journal is not the one that checkpoint record {record} signed: run `gatepost audit verify`, keep the folder as evidence, and start with another one"
    )]
    NotAsSigned {
        /// The checkpoint's record.
        record: Seq,
    },
    /// A checkpoint's record holds no checkpoint.
    #[error("record {0} is no checkpoint, though it says so")]
    NotACheckpoint(Seq),
}

/// A checkpoint as the journal holds it; its signatures are not checked.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its record.
    pub record: Seq,
    /// The note.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
}

impl Recorded {
    pub(crate) fn parse(record: Seq, payload: &[u8]) -> Option<Self> {
        let note = Note::parse(std::str::from_utf8(payload).ok()?).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        Some(Self { record, note, checkpoint })
    }
}

/// Finds the last checkpoint that the journal holds, from its end back.
pub(crate) fn last_checkpoint(dir: &Path) -> Result<Option<Recorded>, TreeError> {
    let mut names = layout::segments(dir).map_err(|error| TreeError::Io { path: dir.to_owned(), error })?;
    let mut end = Seq(u64::MAX);
    while let Some(name) = names.pop() {
        let mut reader = Reader::open_from(dir, name.first)?;
        let mut found = None;
        while let Some(record) = reader.read()?.filter(|record| record.seq < end) {
            if record.kind == Kind::Checkpoint {
                found = Some((record.seq, Recorded::parse(record.seq, record.payload)));
            }
        }
        match found {
            Some((seq, None)) => return Err(TreeError::NotACheckpoint(seq)),
            Some((_, found)) => return Ok(found),
            None => end = name.first,
        }
    }
    Ok(None)
}

/// Finds nodes in the tree's files and leaves in the segments. Changes nothing.
pub(crate) struct Nodes {
    dir: PathBuf,
    levels: Vec<(u8, Option<File>)>,
    /// The leaves that were read last: of which block, and as many as there are.
    block: Option<(u64, Vec<Option<TreeHash>>)>,
    /// Why the last leaves could not be read.
    pub(crate) error: Option<ReadError>,
}

impl Nodes {
    pub(crate) fn open(dir: &Path) -> Self {
        let open = |height| (height, File::open(level_path(dir, height)).ok());
        let levels = HEIGHTS.into_iter().map(open).collect();
        Self { dir: dir.to_owned(), levels, block: None, error: None }
    }

    /// Finds the hash of a span.
    pub(crate) fn find(&mut self, span: Span) -> Option<TreeHash> {
        if let Some(stored) = self.stored(span) {
            return Some(stored);
        }
        let Some(below) = span.height.checked_sub(1) else { return self.leaf(span.index) };
        let left = self.find(Span { height: below, index: span.index.checked_mul(2)? })?;
        let right = self.find(Span { height: below, index: span.index.checked_mul(2)?.checked_add(1)? })?;
        Some(TreeHash::parent(left, right))
    }

    /// Finds a node of a height that has a file.
    pub(crate) fn stored(&self, span: Span) -> Option<TreeHash> {
        let (_, file) = self.levels.iter().find(|(height, _)| *height == span.height)?;
        let mut node = [0; 32];
        file.as_ref()?.read_exact_at(&mut node, span.index.checked_mul(NODE_BYTES)?).ok()?;
        // What a crash of the machine leaves, and no hash.
        (node != [0; 32]).then_some(TreeHash(node))
    }

    /// Returns how many nodes the lowest file has.
    pub(crate) fn stored_blocks(&self) -> u64 {
        let file = self.levels.first().and_then(|(_, file)| file.as_ref());
        file.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len() / NODE_BYTES)
    }

    fn leaf(&mut self, index: u64) -> Option<TreeHash> {
        let block = index / BLOCK;
        if self.block.as_ref().is_none_or(|(which, _)| *which != block) {
            match self.read_block(block) {
                Ok(leaves) => self.block = Some((block, leaves)),
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            }
        }
        let (_, leaves) = self.block.as_ref()?;
        leaves.get(usize::try_from(index % BLOCK).ok()?).copied().flatten()
    }

    fn read_block(&self, block: u64) -> Result<Vec<Option<TreeHash>>, ReadError> {
        let first = block.saturating_mul(BLOCK).saturating_add(1);
        let mut leaves = vec![None; usize::try_from(BLOCK).unwrap_or(0)];
        let mut reader = Reader::open_from(&self.dir, Seq(first))?;
        while let Some(record) = reader.read()? {
            let at = usize::try_from(record.seq.0.saturating_sub(first)).unwrap_or(usize::MAX);
            let Some(slot) = leaves.get_mut(at) else { break };
            *slot = Some(leaf(record.hash));
        }
        Ok(leaves)
    }
}

/// The tree of a journal that is being written.
pub(crate) struct Tree {
    dir: PathBuf,
    frontier: Frontier,
    levels: Vec<Level>,
}

struct Level {
    path: PathBuf,
    file: File,
    /// How many nodes are in the file, and those that wait to be written.
    written: u64,
    waiting: Vec<u8>,
    /// What is below the next node, so far.
    partial: Frontier,
}

impl Tree {
    /// Reads the tree of the records up to `to`, makes missing files, and checks what it finds against the last checkpoint.
    pub(crate) fn load(dir: &Path, to: u64) -> Result<(Self, Option<Recorded>), TreeError> {
        let last = last_checkpoint(dir)?;
        if last.is_some() {
            let mut tree = Self::open(dir)?;
            if tree.frontier.size() > 0 && tree.catch_up(to).is_ok() && tree.agrees(last.as_ref()) {
                return Ok((tree, last));
            }
            tracing::warn!("the tree over the audit records is made anew");
        }
        let mut tree = Self::empty(dir)?;
        tree.catch_up(to)?;
        if !tree.agrees(last.as_ref()) {
            let record = last.map_or(Seq(0), |last| last.record);
            return Err(TreeError::NotAsSigned { record });
        }
        Ok((tree, last))
    }

    /// Whether the records are those that the checkpoint is of.
    fn agrees(&mut self, last: Option<&Recorded>) -> bool {
        let Some(Recorded { checkpoint, .. }) = last else { return true };
        if checkpoint.size > self.frontier.size() || self.flush().is_err() {
            return false;
        }
        let mut nodes = Nodes::open(&self.dir);
        checkpoint::root(checkpoint.size, &mut |span| nodes.find(span)) == Some(checkpoint.root)
    }

    fn open_levels(dir: &Path) -> Result<Vec<Level>, TreeError> {
        let level = |height| {
            let path = level_path(dir, height);
            let open = || {
                let mut options = OpenOptions::new();
                let file =
                    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
                let written = file.metadata()?.len() / NODE_BYTES;
                Ok((file, written))
            };
            let (file, written) = open().map_err(|error| TreeError::Io { path: path.clone(), error })?;
            Ok(Level { path, file, written, waiting: Vec::new(), partial: Frontier::default() })
        };
        HEIGHTS.into_iter().map(level).collect()
    }

    fn empty(dir: &Path) -> Result<Self, TreeError> {
        let mut levels = Self::open_levels(dir)?;
        for level in &mut levels {
            level.file.set_len(0).map_err(|error| TreeError::Io { path: level.path.clone(), error })?;
            level.written = 0;
        }
        Ok(Self { dir: dir.to_owned(), frontier: Frontier::default(), levels })
    }

    /// Goes on from the files; the tree is empty where they don't fit each other.
    fn open(dir: &Path) -> Result<Self, TreeError> {
        let mut tree =
            Self { dir: dir.to_owned(), frontier: Frontier::default(), levels: Self::open_levels(dir)? };
        let nodes = Nodes::open(dir);
        let mut below: Option<u64> = None;
        for (level, height) in tree.levels.iter_mut().zip(HEIGHTS) {
            if let Some(below) = below {
                if level.written != below / BLOCK {
                    return Self::empty(dir);
                }
                for index in level.written * BLOCK..below {
                    let Some(node) = nodes.stored(Span { height: height.saturating_sub(8), index }) else {
                        return Self::empty(dir);
                    };
                    level.partial.push_leaf(node);
                }
            }
            below = Some(level.written);
        }
        let leaves = tree.levels.first().map_or(0, |level| level.written).saturating_mul(BLOCK);
        let mut nodes = Nodes::open(dir);
        match Frontier::at(leaves, &mut |span| nodes.stored(span).or_else(|| nodes.find(span))) {
            Some(frontier) => tree.frontier = frontier,
            None => return Self::empty(dir),
        }
        Ok(tree)
    }

    /// Adds the records up to `to` that the segments hold beyond the tree.
    pub(crate) fn catch_up(&mut self, to: u64) -> Result<(), TreeError> {
        if self.size() >= to {
            return Ok(());
        }
        let mut reader = Reader::open_from(&self.dir, Seq(self.size().saturating_add(1)))?;
        while self.size() < to
            && let Some(record) = reader.read()?
        {
            if record.seq.0 != self.size().saturating_add(1) {
                return Err(TreeError::Missing(record.seq));
            }
            let leaf = leaf(record.hash);
            self.push(leaf);
        }
        Ok(())
    }

    /// Returns how many records it is over.
    pub(crate) const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Returns its root.
    pub(crate) fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    /// Adds the next record.
    pub(crate) fn push(&mut self, leaf: TreeHash) {
        self.frontier.push_leaf(leaf);
        let mut node = leaf;
        for level in &mut self.levels {
            level.partial.push_leaf(node);
            if level.partial.size() < BLOCK {
                return;
            }
            node = level.partial.root();
            level.partial = Frontier::default();
            level.waiting.extend_from_slice(&node.0);
        }
    }

    /// Writes nodes that are complete. What is lost with a failure is made anew at the next start.
    pub(crate) fn flush(&mut self) -> Result<(), TreeError> {
        for level in &mut self.levels {
            if level.waiting.is_empty() {
                continue;
            }
            let offset = level.written.saturating_mul(NODE_BYTES);
            let written = level.file.write_all_at(&level.waiting, offset);
            written.map_err(|error| TreeError::Io { path: level.path.clone(), error })?;
            level.written += crate::tail::length(&level.waiting) / NODE_BYTES;
            level.waiting.clear();
        }
        Ok(())
    }
}
