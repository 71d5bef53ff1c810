use super::*;
use sql::Strings;

const MAX: usize = 1 << 20;

fn probe(text: &str, scope: u128) -> Probe<'_> {
    Probe { shape: sql::shape::exact(text.as_bytes(), Strings::Standard), param_types: &[], scope }
}

impl<V> Memo<V> {
    fn has(&self, text: &str) -> bool {
        self.get(&probe(text, 0), 1).is_some()
    }

    /// What is counted is what there is, and everything is in exactly one clock.
    fn check(&self) {
        assert!(self.bytes() <= MAX);
        for shard in &self.shards {
            let shard = shard.lock();
            assert_eq!(shard.bytes, shard.entries.values().map(|entry| entry.bytes).sum::<usize>());
            assert_eq!(shard.bytes, shard.holdings.values().map(|holding| holding.bytes).sum::<usize>());
            let clocks: usize = shard.holdings.values().map(|holding| holding.clock.len()).sum();
            assert_eq!(clocks, shard.entries.len());
            for (holder, holding) in &shard.holdings {
                assert!(shard.by_size.contains(&(holding.bytes, *holder)));
                for hash in &holding.clock {
                    assert_eq!(shard.entries[hash].holder, *holder);
                }
            }
            assert_eq!(shard.by_size.len(), shard.holdings.len());
        }
    }
}

#[test]
fn a_hit_is_the_same_shape_and_scope_and_types() {
    let memo = Memo::new(MAX, 4);
    let value = Arc::new(7);
    let types = [Oid(23)];
    let of = |text, types, scope| Probe {
        shape: sql::shape::exact(text, Strings::Standard),
        param_types: types,
        scope,
    };
    memo.put(&of(b"SELECT $1", &types, 1), 1, &value, 8);
    assert!(memo.get(&of(b"SELECT $1", &types, 1), 2).is_some());
    assert!(memo.get(&of(b"SELECT $1", &types, 2), 1).is_none());
    assert!(memo.get(&of(b"SELECT $1", &[], 1), 1).is_none());
    assert!(memo.get(&of(b"SELECT $2", &types, 1), 1).is_none());
    let blanked = Shape { form: Form::Blanked, ..of(b"SELECT $1", &types, 1).shape };
    assert!(memo.get(&Probe { shape: blanked, ..of(b"", &types, 1) }, 1).is_none());
}

/// SECURITY: whoever finds two texts of one hash gets nothing by it.
#[test]
fn texts_of_one_hash_are_told_apart() {
    let mut shard = Shard::new(MAX);
    shard.put(42, &probe("SELECT harmless", 0), 1, Arc::new(1), 8);
    assert!(shard.get(42, &probe("SELECT harmful", 0), 1).is_none());
    shard.put(42, &probe("SELECT harmful", 0), 1, Arc::new(2), 8);
    assert_eq!(shard.get(42, &probe("SELECT harmful", 0), 1).as_deref(), Some(&2));
    assert!(shard.get(42, &probe("SELECT harmless", 0), 1).is_none());
}

#[test]
fn a_million_shapes_of_one_agent_stay_within_the_bound_and_leave_others_alone() {
    let memo = Memo::new(MAX, 4);
    let value = Arc::new(());
    let others: Vec<String> = (0..500).map(|n| format!("SELECT other_{n} FROM t")).collect();
    for (n, text) in others.iter().enumerate() {
        memo.put(&probe(text, 0), 1 + n as u128 % 5, &value, 100);
    }
    memo.check();
    for n in 0..1_000_000 {
        let text = format!("SELECT flood_{n} FROM t");
        memo.put(&probe(&text, 0), 99, &value, 100);
        // Used again and again, so that it looks as if it mattered.
        if n % 3 == 0 {
            memo.get(&probe(&text, 0), 99);
            memo.get(&probe(&text, 0), 99);
        }
        if n % 100_000 == 0 {
            memo.check();
        }
    }
    memo.check();
    assert!(memo.bytes() > MAX / 2);
    assert!(others.iter().all(|text| memo.has(text)), "somebody else's were given up");
    assert!(!memo.has("SELECT flood_0 FROM t") && memo.has("SELECT flood_999999 FROM t"));
}

#[test]
fn many_flooding_agents_each_have_a_share() {
    let memo = Memo::new(MAX, 1);
    let value = Arc::new(());
    for text in 0..100 {
        memo.put(&probe(&format!("SELECT quiet_{text}"), 0), 1, &value, 100);
    }
    for n in 0..100_000_u128 {
        memo.put(&probe(&format!("SELECT flood_{n}"), 0), 2 + n % 20, &value, 100);
    }
    memo.check();
    // A twentieth of the room is more than the quiet one needs.
    assert!((0..100).all(|text| memo.has(&format!("SELECT quiet_{text}"))));
}

#[test]
fn large_shapes_count_by_their_bytes_and_too_large_ones_are_not_kept() {
    let memo = Memo::new(MAX, 1);
    let value = Arc::new(());
    let long = |n: u32, bytes: usize| format!("SELECT {n} {}", "x".repeat(bytes));
    for n in 0..200 {
        memo.put(&probe(&long(n, MAX / 20), 0), 1, &value, 0);
        memo.check();
    }
    assert!(memo.has(&long(199, MAX / 20)) && !memo.has(&long(100, MAX / 20)));
    memo.put(&probe(&long(0, MAX / 16), 0), 1, &value, 0);
    memo.put(&probe("SELECT wide", 0), 1, &value, MAX / 16);
    assert!(!memo.has(&long(0, MAX / 16)) && !memo.has("SELECT wide"));
    assert!(memo.has(&long(199, MAX / 20)));
}

#[test]
fn what_another_uses_is_theirs_from_then_on() {
    let memo = Memo::new(MAX, 1);
    let value = Arc::new(());
    memo.put(&probe("SELECT shared", 0), 99, &value, 100);
    for n in 0..100_000 {
        if n % 1000 == 0 {
            assert!(memo.get(&probe("SELECT shared", 0), 1).is_some(), "{n}");
        }
        memo.put(&probe(&format!("SELECT flood_{n}"), 0), 99, &value, 100);
        if n == 50_000 {
            memo.check();
        }
    }
    // Not used any more, and yet there: it counts for the one who used it last.
    for n in 0..100_000 {
        memo.put(&probe(&format!("SELECT more_{n}"), 0), 99, &value, 100);
    }
    memo.check();
    assert!(memo.has("SELECT shared"));
}

#[test]
fn what_is_learnt_again_takes_the_place_of_what_was_known() {
    let memo = Memo::new(MAX, 1);
    for n in 0..10_000 {
        memo.put(&probe("SELECT 1", 0), n % 3, &Arc::new(n), n as usize % 500);
    }
    memo.check();
    assert_eq!(memo.get(&probe("SELECT 1", 0), 1).as_deref(), Some(&9_999));
    assert!(memo.bytes() < 2_000);
}
