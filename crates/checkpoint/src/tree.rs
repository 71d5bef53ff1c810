//! Merkle trees as RFC 6962, section 2.1, has them: roots, proofs, and what is enough to go on. Knows hashes, not what they are of.
//!
//! A *span* is a complete subtree: the leaves from `index << height` to before `(index + 1) << height`. Whoever has trees hands in a
//! function that finds the hash of a span, or `None` where it isn't known.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The hash of a leaf, of an inner node, or of a root.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// Returns the hash of a leaf: SHA-256 of a zero byte and the leaf.
    pub fn leaf(data: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
    }

    /// Returns the hash of a node with two children.
    #[must_use]
    pub fn parent(left: Self, right: Self) -> Self {
        Self(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// Returns the root of a tree without leaves.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Reads base64.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for TreeHash {
    /// Writes base64, as checkpoints do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A complete subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// It has `1 << height` leaves.
    pub height: u8,
    /// Which of that height, from the left.
    pub index: u64,
}

impl Span {
    /// Returns the first leaf.
    pub const fn start(self) -> u64 {
        match self.index.checked_shl(self.height as u32) {
            Some(start) => start,
            None => u64::MAX,
        }
    }

    /// Returns how many leaves it has.
    pub const fn leaves(self) -> u64 {
        match 1u64.checked_shl(self.height as u32) {
            Some(leaves) => leaves,
            None => u64::MAX,
        }
    }

    /// Returns the leaf after the last.
    pub const fn end(self) -> u64 {
        self.start().saturating_add(self.leaves())
    }
}

/// Finds the hash of a span.
pub type Find<'a> = dyn FnMut(Span) -> Option<TreeHash> + 'a;

/// Returns the largest complete subtrees that lie in leaves `from..to`, from the left: as few as there can be.
pub fn cover(from: u64, to: u64) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = from;
    while at < to {
        let aligned = if at == 0 { 63 } else { at.trailing_zeros() };
        let fits = (to - at).ilog2();
        let height = aligned.min(fits);
        spans.push(Span { height: u8::try_from(height).unwrap_or(63), index: at >> height });
        at += 1 << height;
    }
    spans
}

/// The right edge of a growing tree: the roots of its largest complete subtrees. All that is needed to add leaves and to tell the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// INVARIANT: the hashes of `cover(0, size)`, with their heights, which fall.
    nodes: Vec<(u8, TreeHash)>,
}

impl Frontier {
    /// Returns how many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Finds the edge of the tree of the first `size` leaves; `None` where a hash isn't known.
    pub fn at(size: u64, find: &mut Find<'_>) -> Option<Self> {
        let nodes =
            cover(0, size).into_iter().map(|span| Some((span.height, find(span)?))).collect::<Option<_>>()?;
        Some(Self { size, nodes })
    }

    /// Adds a leaf, by its hash.
    pub fn push_leaf(&mut self, leaf: TreeHash) {
        let mut hash = leaf;
        let mut height = 0;
        while let Some(&(above, left)) = self.nodes.last()
            && above == height
        {
            self.nodes.pop();
            hash = TreeHash::parent(left, hash);
            height += 1;
        }
        self.nodes.push((height, hash));
        self.size = self.size.saturating_add(1);
    }

    /// Adds a complete subtree at once; `None`, and nothing is changed, unless the tree ends where such a subtree may begin.
    pub fn push(&mut self, height: u8, node: TreeHash) -> Option<()> {
        let leaves = 1u64.checked_shl(u32::from(height))?;
        if !self.size.is_multiple_of(leaves) {
            return None;
        }
        let size = self.size.checked_add(leaves)?;
        let (mut hash, mut height) = (node, height);
        while let Some(&(above, left)) = self.nodes.last()
            && above == height
        {
            self.nodes.pop();
            hash = TreeHash::parent(left, hash);
            height += 1;
        }
        self.nodes.push((height, hash));
        self.size = size;
        Some(())
    }

    /// Returns the tree's root.
    pub fn root(&self) -> TreeHash {
        let joined = self
            .nodes
            .iter()
            .rev()
            .map(|(_, hash)| *hash)
            .reduce(|right, left| TreeHash::parent(left, right));
        joined.unwrap_or_else(TreeHash::empty)
    }
}

/// Returns the root of the tree of the first `size` leaves; `None` where a hash isn't known.
pub fn root(size: u64, find: &mut Find<'_>) -> Option<TreeHash> {
    Frontier::at(size, find).map(|frontier| frontier.root())
}

/// Returns the hash of leaves `from..to` as the tree has it: `from` begins a complete subtree of at least as many leaves.
fn part(from: u64, to: u64, find: &mut Find<'_>) -> Option<TreeHash> {
    let leaves = to.checked_sub(from).filter(|leaves| *leaves > 0)?;
    if leaves.is_power_of_two() {
        let height = leaves.trailing_zeros();
        return find(Span { height: u8::try_from(height).ok()?, index: from >> height });
    }
    let middle = from + left_leaves(leaves);
    let left = part(from, middle, find)?;
    Some(TreeHash::parent(left, part(middle, to, find)?))
}

/// The largest power of two below `leaves`, which is more than 1.
const fn left_leaves(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The hashes that lead from a leaf to a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The leaf's place, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// From the leaf upwards.
    pub path: Vec<TreeHash>,
}

/// Proves that leaf `index` is in the tree of the first `size` leaves (RFC 6962, section 2.1.1). `None`: it isn't, or a hash isn't known.
pub fn inclusion(index: u64, size: u64, find: &mut Find<'_>) -> Option<Inclusion> {
    if index >= size {
        return None;
    }
    let mut path = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + left_leaves(to - from);
        if index < middle {
            path.push(part(middle, to, find)?);
            to = middle;
        } else {
            path.push(part(from, middle, find)?);
            from = middle;
        }
    }
    path.reverse();
    Some(Inclusion { index, size, path })
}

impl Inclusion {
    /// Returns the root of the tree in which the leaf is, if the path has the length that it must have (RFC 9162, section 2.1.3.2).
    pub fn root(&self, leaf: TreeHash) -> Option<TreeHash> {
        let mut last = self.size.checked_sub(1)?;
        let mut at = self.index;
        if at > last {
            return None;
        }
        let mut hash = leaf;
        for &beside in &self.path {
            if last == 0 {
                return None;
            }
            if at & 1 == 1 || at == last {
                hash = TreeHash::parent(beside, hash);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                hash = TreeHash::parent(hash, beside);
            }
            at >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(hash)
    }
}

/// The hashes that show that a tree is the beginning of a larger one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// How many leaves the smaller tree has; at least 1.
    pub from: u64,
    /// How many the larger one.
    pub to: u64,
    /// In the order of RFC 6962, section 2.1.2; none where both are one.
    pub path: Vec<TreeHash>,
}

/// Proves that the first `from` leaves are the beginning of the first `to`. `None`: `from` is 0 or over `to`, or a hash isn't known.
pub fn consistency(from: u64, to: u64, find: &mut Find<'_>) -> Option<Consistency> {
    if from == 0 || from > to {
        return None;
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, to);
    // Whether the subtree that is looked at begins with the whole smaller tree, whose root the verifier has.
    let mut known = true;
    while from != end {
        let middle = start + left_leaves(end - start);
        if from <= middle {
            path.push(part(middle, end, find)?);
            end = middle;
        } else {
            path.push(part(start, middle, find)?);
            start = middle;
            known = false;
        }
    }
    if !known {
        path.push(part(start, end, find)?);
    }
    path.reverse();
    Some(Consistency { from, to, path })
}

impl Consistency {
    /// Returns whether the tree with root `first` is the beginning of that with root `second` (RFC 9162, section 2.1.4.2).
    pub fn holds(&self, first: TreeHash, second: TreeHash) -> bool {
        self.check(first, second).is_some()
    }

    fn check(&self, first: TreeHash, second: TreeHash) -> Option<()> {
        if self.from == self.to {
            return (self.path.is_empty() && self.from > 0 && first == second).then_some(());
        }
        let mut path = self.path.iter().copied();
        let (mut at, mut last) = (self.from.checked_sub(1)?, self.to.checked_sub(1)?);
        if at >= last {
            return None;
        }
        while at & 1 == 1 {
            at >>= 1;
            last >>= 1;
        }
        let begin = if self.from.is_power_of_two() { first } else { path.next()? };
        let (mut smaller, mut larger) = (begin, begin);
        for hash in path {
            if last == 0 {
                return None;
            }
            if at & 1 == 1 || at == last {
                smaller = TreeHash::parent(hash, smaller);
                larger = TreeHash::parent(hash, larger);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                larger = TreeHash::parent(larger, hash);
            }
            at >>= 1;
            last >>= 1;
        }
        (last == 0 && smaller == first && larger == second).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Consistency, Frontier, Inclusion, Span, TreeHash, consistency, cover, inclusion, root};

    fn leaves(n: u64) -> Vec<TreeHash> {
        (0..n).map(|i| TreeHash::leaf(&i.to_be_bytes())).collect()
    }

    /// The definition of RFC 6962, section 2.1.
    fn by_definition(leaves: &[TreeHash]) -> TreeHash {
        match leaves {
            [] => TreeHash::empty(),
            [one] => *one,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                TreeHash::parent(by_definition(&leaves[..k]), by_definition(&leaves[k..]))
            }
        }
    }

    fn finder(leaves: &[TreeHash]) -> impl FnMut(Span) -> Option<TreeHash> {
        move |span: Span| {
            let (from, to) = (span.start() as usize, span.end() as usize);
            leaves.get(from..to).map(by_definition)
        }
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        // The tree of eight leaves that Certificate Transparency's implementations share as a test: its roots by size.
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::default();
        let hex = |hash: TreeHash| hash.0.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut roots = Vec::new();
        for leaf in data {
            frontier.push_leaf(TreeHash::leaf(leaf));
            roots.push(hex(frontier.root()));
        }
        assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(roots[1], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
        assert_eq!(roots[4], "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4");
        assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn a_frontier_agrees_with_the_definition_however_it_grew() {
        let leaves = leaves(70);
        let mut find = finder(&leaves);
        for size in 0..=70usize {
            let mut grown = Frontier::default();
            leaves[..size].iter().for_each(|leaf| grown.push_leaf(*leaf));
            assert_eq!(grown.root(), by_definition(&leaves[..size]));
            assert_eq!(Frontier::at(size as u64, &mut find), Some(grown.clone()));
            for from in 0..=size {
                let mut frontier = Frontier::at(from as u64, &mut find).unwrap();
                for span in cover(from as u64, size as u64) {
                    frontier.push(span.height, find(span).unwrap()).unwrap();
                }
                assert_eq!(frontier, grown);
            }
        }
        let mut odd = Frontier::default();
        odd.push_leaf(leaves[0]);
        assert_eq!(odd.push(1, leaves[1]), None);
        assert_eq!(odd.size(), 1);
    }

    #[test]
    fn every_proof_holds_and_only_for_what_it_proves() {
        let leaves = leaves(33);
        let mut find = finder(&leaves);
        for size in 1..=33u64 {
            let whole = root(size, &mut find).unwrap();
            for index in 0..size {
                let proof = inclusion(index, size, &mut find).unwrap();
                assert_eq!(proof.root(leaves[index as usize]), Some(whole));
                for other in (0..size).filter(|other| *other != index) {
                    assert_ne!(
                        Inclusion { index: other, ..proof.clone() }.root(leaves[index as usize]),
                        Some(whole)
                    );
                    assert_ne!(proof.root(leaves[other as usize]), Some(whole));
                }
                for at in 0..proof.path.len() {
                    let mut shorter = proof.clone();
                    shorter.path.remove(at);
                    assert_ne!(shorter.root(leaves[index as usize]), Some(whole));
                }
            }
            assert_eq!(inclusion(size, size, &mut find), None);
            for from in 1..=size {
                let before = root(from, &mut find).unwrap();
                let proof = consistency(from, size, &mut find).unwrap();
                assert!(proof.holds(before, whole));
                assert!(from == size || !proof.holds(whole, before));
                assert!(!proof.holds(before, leaves[0]) || size == 1);
                for other in (1..=size).filter(|other| *other != from) {
                    assert!(!Consistency { from: other, ..proof.clone() }.holds(before, whole));
                }
            }
        }
        assert_eq!(consistency(0, 3, &mut find), None);
        assert_eq!(consistency(4, 3, &mut find), None);
    }

    #[test]
    fn what_is_not_known_proves_nothing() {
        let leaves = leaves(8);
        let mut all = finder(&leaves);
        let mut without = |span: Span| if span.start() <= 2 && 2 < span.end() { None } else { all(span) };
        assert_eq!(root(8, &mut without), None);
        assert!(inclusion(3, 8, &mut without).is_none());
        assert!(inclusion(7, 8, &mut without).is_none());
        // The subtree that holds what is missing is enough for all beside it.
        let mut all = finder(&leaves);
        let mut without = |span: Span| if span.height < 2 && span.end() <= 4 { None } else { all(span) };
        assert!(inclusion(7, 8, &mut without).is_some());
    }

    proptest! {
        #[test]
        fn no_path_proves_a_leaf_that_is_not_there(index in 0u64..40, size in 0u64..40, path in proptest::collection::vec(any::<[u8; 32]>(), 0..8)) {
            let all = leaves(40);
            let mut find = finder(&all);
            let proof = Inclusion { index, size, path: path.iter().copied().map(TreeHash).collect() };
            let whole = root(size, &mut find).unwrap();
            prop_assert_ne!(proof.root(TreeHash::leaf(b"another")), Some(whole));
            let proof = Consistency { from: index, to: size, path: path.into_iter().map(TreeHash).collect() };
            prop_assert!(!proof.holds(TreeHash::leaf(b"another"), whole));
        }
    }
}
