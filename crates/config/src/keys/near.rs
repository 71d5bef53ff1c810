//! Which name a mistyped one was meant to be. Knows no key.

/// Returns the name that is nearest to a mistyped one, if any is near: at most half of it is wrong.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_lowercase();
    known
        .map(|candidate| (distance(&name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| distance * 2 <= candidate.chars().count().max(name.chars().count()))
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(from != to);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            let swapped =
                row > 0 && column > 0 && left.get(row - 1) == Some(to) && right.get(column - 1) == Some(from);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};
    use crate::keys::LIMITS;

    #[test]
    fn distance_counts_single_mistakes_as_one() {
        for (left, right, expected) in
            [("url", "url", 0), ("urk", "url", 1), ("ulr", "url", 1), ("ur", "url", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn nothing_is_near_to_nonsense() {
        let keys = || LIMITS.keys.iter().map(|key| key.name);
        assert_eq!(nearest("conections_max", keys()), Some("connections_max"));
        assert_eq!(nearest("Statement_Bytes_Max", keys()), Some("statement_bytes_max"));
        assert_eq!(nearest("zzz", keys()), None);
    }
}
