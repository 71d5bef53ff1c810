//! The tree over records that come one by one, some of which are not known: what is known of its roots at each size. What is missing is
//! taken from the tree's files, block by block, which a signed root then proves or not.

use std::collections::VecDeque;
use std::path::Path;

use checkpoint::{Frontier, Span, TreeHash};

use crate::tree::{BLOCK, Nodes};

/// So many blocks are remembered: a checkpoint's record may come as many records after what it is of.
const BLOCKS_MAX: usize = 4096;

pub(crate) struct Walk {
    nodes: Nodes,
    /// The last blocks, the one that is being filled last; the first is number `begins`.
    blocks: VecDeque<Block>,
    begins: u64,
    /// Blocks that are not as the tree's files have them.
    differ: Vec<u64>,
}

struct Block {
    /// The tree before it; `None` where that isn't known.
    before: Option<Frontier>,
    leaves: Vec<Option<TreeHash>>,
}

impl Walk {
    pub(crate) fn new(dir: &Path) -> Self {
        let first = Block { before: Some(Frontier::default()), leaves: Vec::new() };
        Self { nodes: Nodes::open(dir), blocks: VecDeque::from([first]), begins: 0, differ: Vec::new() }
    }

    /// Begins behind `leaves` leaves of which nothing is known but what the tree's files say.
    pub(crate) fn skip(&mut self, leaves: u64) {
        let block = leaves / BLOCK;
        self.begins = block;
        let before = self.stored_before(block);
        let unknown = usize::try_from(leaves % BLOCK).unwrap_or(0);
        self.blocks = VecDeque::from([Block { before, leaves: vec![None; unknown] }]);
    }

    fn stored_before(&self, block: u64) -> Option<Frontier> {
        Frontier::at(block.checked_mul(BLOCK)?, &mut |span| self.stored(span))
    }

    /// Finds a node by the tree's files alone.
    fn stored(&self, span: Span) -> Option<TreeHash> {
        if let Some(node) = self.nodes.stored(span) {
            return Some(node);
        }
        let height = span.height.checked_sub(1).filter(|height| *height >= 8)?;
        let left = self.stored(Span { height, index: span.index.checked_mul(2)? })?;
        Some(TreeHash::parent(left, self.stored(Span { height, index: span.index * 2 + 1 })?))
    }

    /// Adds the next leaf, or that it isn't known.
    pub(crate) fn push(&mut self, leaf: Option<TreeHash>) {
        let number = self.begins + u64::try_from(self.blocks.len()).unwrap_or(0).saturating_sub(1);
        let Some(block) = self.blocks.back_mut() else { return };
        block.leaves.push(leaf);
        if u64::try_from(block.leaves.len()).unwrap_or(0) < BLOCK {
            return;
        }
        let known: Option<Vec<TreeHash>> = block.leaves.iter().copied().collect();
        let before = block.before.clone();
        let computed = known.map(|leaves| {
            let mut frontier = Frontier::default();
            leaves.into_iter().for_each(|leaf| frontier.push_leaf(leaf));
            frontier.root()
        });
        let stored = self.nodes.stored(Span { height: 8, index: number });
        if computed.is_some() && stored.is_some() && computed != stored {
            self.differ.push(number);
        }
        let after = before.zip(computed.or(stored)).and_then(|(mut frontier, node)| {
            frontier.push(8, node)?;
            Some(frontier)
        });
        let after = after.or_else(|| self.stored_before(number.saturating_add(1)));
        self.blocks.push_back(Block { before: after, leaves: Vec::new() });
        if self.blocks.len() > BLOCKS_MAX {
            self.blocks.pop_front();
            self.begins += 1;
        }
    }

    /// Returns the root of the first `size` leaves; `None` where too little is known.
    pub(crate) fn root_at(&self, size: u64) -> Option<TreeHash> {
        let at = usize::try_from((size / BLOCK).checked_sub(self.begins)?).ok()?;
        let block = self.blocks.get(at)?;
        let mut frontier = block.before.clone()?;
        let leaves = block.leaves.get(..usize::try_from(size % BLOCK).ok()?)?;
        for leaf in leaves {
            frontier.push_leaf((*leaf)?);
        }
        Some(frontier.root())
    }

    /// Returns how many records the tree's files are of at least.
    pub(crate) fn stored_size(&self) -> u64 {
        self.nodes.stored_blocks().saturating_mul(BLOCK)
    }

    /// Narrows records `from..=to`, among which one was changed, to those that are not as the tree's files have them.
    pub(crate) fn differing(&self, from: u64, to: u64) -> (u64, u64) {
        let bounds = |block: &u64| (block * BLOCK + 1, (block + 1) * BLOCK);
        let mut within = self.differ.iter().map(bounds).filter(|(first, last)| *last >= from && *first <= to);
        match within.next() {
            Some((first, last)) => (first.max(from), last.min(to)),
            None => (from, to),
        }
    }
}
