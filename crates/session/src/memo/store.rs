//! A bounded store of what is known about shapes, shared by sessions. Knows nothing of what it keeps.
//!
//! **What is compared** is the shape itself, byte by byte, with the types of its parameters and the scope. The hash,
//! whose seed is drawn for each process, only says where to look.
//!
//! **Whose room it is**: every entry counts, by its bytes, for whoever brought it. When there is no room, the one who holds most
//! gives way, with what has not been used since it was last looked at (the clock algorithm, one clock for each holder). So
//! of N holders each can rely on an Nth of the room, whatever the others send; what somebody else used counts
//! for them from then on.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use model::Oid;
use parking_lot::Mutex;
use sql::shape::{Form, Shape};

/// Who brings and uses entries. Any number that names them.
pub type Holder = u128;

/// What an entry needs beside its key and its value: its place in the table and in its holder's clock.
const ENTRY_BYTES: usize = 256;

/// A shape in a scope, with its parameters' types.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// What the text is like.
    pub shape: Shape<'a>,
    /// As Parse gave them.
    pub param_types: &'a [Oid],
    /// For whom and what the answer holds.
    pub scope: u128,
}

/// See the module.
pub struct Memo<V> {
    seed: RandomState,
    shards: Box<[Mutex<Shard<V>>]>,
}

impl<V> Memo<V> {
    /// Makes an empty one of that size, in so many parts that are locked one by one.
    pub fn new(bytes_max: usize, shards: usize) -> Self {
        let shards = shards.max(1);
        let shard = || Mutex::new(Shard::new(bytes_max / shards));
        Self { seed: RandomState::default(), shards: (0..shards).map(|_| shard()).collect() }
    }

    fn hash(&self, probe: &Probe<'_>) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(probe.shape.bytes);
        probe.param_types.iter().for_each(|oid| hasher.write_u32(oid.0));
        (probe.shape.form, probe.param_types.len(), probe.scope).hash(&mut hasher);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard<V>>> {
        // The table's own places come from the low bits.
        self.shards.get((hash >> 48) as usize % self.shards.len())
    }

    /// Returns what is known, and notes that `holder` used it.
    pub fn get(&self, probe: &Probe<'_>, holder: Holder) -> Option<Arc<V>> {
        let hash = self.hash(probe);
        self.shard(hash)?.lock().get(hash, probe, holder)
    }

    /// Keeps a value of about so many bytes, unless it would take more than a sixteenth of a part.
    pub fn put(&self, probe: &Probe<'_>, holder: Holder, value: &Arc<V>, value_bytes: usize) {
        let hash = self.hash(probe);
        if let Some(shard) = self.shard(hash) {
            shard.lock().put(hash, probe, holder, value.clone(), value_bytes);
        }
    }

    /// How many bytes are counted at this moment.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }
}

/// Hashes come as keys: they need no hashing.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByHash<T> = HashMap<u64, T, std::hash::BuildHasherDefault<Ready>>;

struct Shard<V> {
    bytes_max: usize,
    // INVARIANT: the sum of all holdings' bytes, which are the sums of their entries'.
    bytes: usize,
    /// Of two shapes with one hash the later one is kept.
    entries: ByHash<Entry<V>>,
    holdings: HashMap<Holder, Holding>,
    // INVARIANT: has each holding once, with its bytes.
    by_size: BTreeSet<(usize, Holder)>,
}

struct Entry<V> {
    form: Form,
    text: Box<[u8]>,
    param_types: Box<[Oid]>,
    scope: u128,
    value: Arc<V>,
    bytes: usize,
    // INVARIANT: whose clock it is in.
    holder: Holder,
    used_by: Holder,
    used: bool,
}

#[derive(Default)]
struct Holding {
    bytes: usize,
    clock: VecDeque<u64>,
}

impl<V> Entry<V> {
    fn is(&self, probe: &Probe<'_>) -> bool {
        let Probe { shape, param_types, scope } = probe;
        self.scope == *scope
            && self.form == shape.form
            && *self.text == *shape.bytes
            && *self.param_types == **param_types
    }
}

impl<V> Shard<V> {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            entries: HashMap::default(),
            holdings: HashMap::new(),
            by_size: BTreeSet::new(),
        }
    }

    fn get(&mut self, hash: u64, probe: &Probe<'_>, holder: Holder) -> Option<Arc<V>> {
        let entry = self.entries.get_mut(&hash).filter(|entry| entry.is(probe))?;
        entry.used = true;
        entry.used_by = holder;
        Some(entry.value.clone())
    }

    fn put(&mut self, hash: u64, probe: &Probe<'_>, holder: Holder, value: Arc<V>, value_bytes: usize) {
        let Probe { shape, param_types, scope } = probe;
        let bytes = ENTRY_BYTES + shape.bytes.len() + size_of_val(*param_types) + value_bytes;
        if bytes > self.bytes_max / 16 {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&hash) {
            let of = entry.holder;
            let before = std::mem::replace(&mut entry.bytes, bytes);
            *entry = Entry {
                form: shape.form,
                text: shape.bytes.into(),
                param_types: (*param_types).into(),
                scope: *scope,
                value,
                bytes,
                holder: of,
                used_by: holder,
                used: true,
            };
            self.resize(of, before, bytes);
        } else {
            let entry = Entry {
                form: shape.form,
                text: shape.bytes.into(),
                param_types: (*param_types).into(),
                scope: *scope,
                value,
                bytes,
                holder,
                used_by: holder,
                used: false,
            };
            self.entries.insert(hash, entry);
            self.resize(holder, 0, bytes);
            if let Some(holding) = self.holdings.get_mut(&holder) {
                holding.clock.push_back(hash);
            }
        }
        while self.bytes > self.bytes_max && self.give_way().is_some() {}
    }

    /// Counts that an entry of `holder` has another size.
    fn resize(&mut self, holder: Holder, before: usize, after: usize) {
        let holding = self.holdings.entry(holder).or_default();
        self.by_size.remove(&(holding.bytes, holder));
        holding.bytes = holding.bytes + after - before;
        self.bytes = self.bytes + after - before;
        if holding.bytes == 0 {
            self.holdings.remove(&holder);
        } else {
            self.by_size.insert((holding.bytes, holder));
        }
    }

    /// Looks at one entry of whoever holds most: gives up what was not used since the last time.
    fn give_way(&mut self) -> Option<()> {
        let (_, holder) = *self.by_size.last()?;
        let hash = self.holdings.get_mut(&holder)?.clock.pop_front()?;
        let entry = self.entries.get_mut(&hash)?;
        let bytes = entry.bytes;
        if !std::mem::take(&mut entry.used) {
            self.entries.remove(&hash);
            self.resize(holder, bytes, 0);
            return Some(());
        }
        let user = entry.used_by;
        if user == holder {
            self.holdings.get_mut(&holder)?.clock.push_back(hash);
        } else {
            entry.holder = user;
            self.resize(holder, bytes, 0);
            self.resize(user, 0, bytes);
            self.holdings.get_mut(&user)?.clock.push_back(hash);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
