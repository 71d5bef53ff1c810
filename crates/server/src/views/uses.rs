//! Who read which relation and column of late. Bounded: what was used longest ago is forgotten first.

use std::collections::HashMap;
use std::sync::Arc;

use audit::Time;
use journal::query::View;
use schemars::JsonSchema;
use serde::Serialize;

use super::shown;

/// Uses that are remembered: some 20 MB.
const USES_MAX: usize = 60_000;
/// Columns of one touch that are remembered; a statement over more is remembered by its relation.
const COLUMNS_MAX: usize = 200;

/// Actions by which values are read (`policy::Action`).
const READS: [&str; 3] = ["select", "filter", "copy"];

#[derive(Clone, PartialEq, Eq, Hash)]
struct UseKey {
    database: Arc<str>,
    relation: Arc<str>,
    /// Empty: the relation as a whole.
    column: Arc<str>,
    identity: Arc<str>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    reads: u64,
    writes: u64,
    masked: u64,
    refused: u64,
    last: Time,
}

/// What somebody did with a relation or a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReaderView {
    /// `issuer:subject`.
    pub identity: String,
    /// Statements that read it.
    pub reads: u64,
    /// Statements that changed it.
    pub writes: u64,
    /// Statements that read it and got it masked.
    pub masked: u64,
    /// Statements that wanted it and were refused.
    pub refused: u64,
    /// The last of these, RFC 3339.
    pub last: String,
}

/// What one identity did with one relation or column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UseView {
    /// The database as clients name it.
    pub database: String,
    /// `schema.name`.
    pub relation: String,
    /// One column; `None`: the relation as a whole.
    pub column: Option<String>,
    /// Statements that read it.
    pub reads: u64,
    /// Statements that changed it.
    pub writes: u64,
    /// Statements that read it and got it masked.
    pub masked: u64,
    /// Statements that wanted it and were refused.
    pub refused: u64,
    /// The last of these, RFC 3339.
    pub last: String,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Uses {
    uses: HashMap<UseKey, Use>,
    /// So that a name is kept once.
    words: HashMap<Arc<str>, ()>,
}

impl Uses {
    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some((known, ())) = self.words.get_key_value(word) {
            return known.clone();
        }
        let word: Arc<str> = word.into();
        self.words.insert(word.clone(), ());
        word
    }

    /// Takes in what a statement touches.
    pub(super) fn take(&mut self, time: Time, view: &View, identity: &str) {
        let (Some(database), Some(decision)) = (&view.database, &view.decision) else { return };
        let is_refused = view.sqlstate.is_some();
        let (database, identity) = (self.word(database), self.word(identity));
        for touch in decision.touches.iter().filter(|touch| touch.kind == "relation") {
            let reads = READS.contains(&touch.action.as_str());
            let relation = self.word(&touch.name);
            let columns = touch.columns.iter().take(COLUMNS_MAX).map(String::as_str);
            for column in std::iter::once("").chain(columns) {
                let masked = decision.masks.iter().any(|mask| {
                    let path = mask.column.strip_prefix(touch.name.as_str());
                    path.and_then(|path| path.strip_prefix('.'))
                        .is_some_and(|it| column.is_empty() || it == column)
                });
                let (relation, column) = (relation.clone(), self.word(column));
                let key = UseKey { database: database.clone(), relation, column, identity: identity.clone() };
                let used = self.uses.entry(key).or_default();
                used.last = used.last.max(time);
                let count = match (is_refused, reads) {
                    (true, _) => &mut used.refused,
                    (false, true) if masked => {
                        used.masked += 1;
                        &mut used.reads
                    }
                    (false, true) => &mut used.reads,
                    (false, false) => &mut used.writes,
                };
                *count += 1;
            }
        }
        if self.uses.len() > USES_MAX {
            self.forget_half();
        }
    }

    fn forget_half(&mut self) {
        let mut times: Vec<Time> = self.uses.values().map(|it| it.last).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        let mut left = USES_MAX / 2;
        self.uses.retain(|_, used| {
            let keep = used.last >= middle && left > 0;
            left -= usize::from(keep);
            keep
        });
        self.words.retain(|word, ()| Arc::strong_count(word) > 1);
    }

    /// Returns who used a relation, or a column of it; the latest first.
    pub(super) fn of(
        &self,
        database: &str,
        relation: &str,
        columns: &[&str],
    ) -> HashMap<String, Vec<ReaderView>> {
        let mut found: HashMap<String, Vec<(Time, ReaderView)>> = HashMap::new();
        for (key, used) in &self.uses {
            let wanted = key.column.is_empty() || columns.contains(&&*key.column);
            if &*key.database != database || &*key.relation != relation || !wanted {
                continue;
            }
            let Use { reads, writes, masked, refused, last } = *used;
            let identity = key.identity.to_string();
            let view = ReaderView { identity, reads, writes, masked, refused, last: shown(last) };
            found.entry(key.column.to_string()).or_default().push((last, view));
        }
        let newest = |mut views: Vec<(Time, ReaderView)>| {
            views.sort_by(|a, b| (b.0, &a.1.identity).cmp(&(a.0, &b.1.identity)));
            views.into_iter().map(|it| it.1).collect()
        };
        found.into_iter().map(|(column, views)| (column, newest(views))).collect()
    }

    /// Returns the relations of a database that were used, and the last time and by how many.
    pub(super) fn relations(&self, database: &str) -> HashMap<&str, (Time, usize)> {
        let mut found: HashMap<&str, (Time, usize)> = HashMap::new();
        for (key, used) in
            self.uses.iter().filter(|(key, _)| &*key.database == database && key.column.is_empty())
        {
            let (last, users) = found.entry(&key.relation).or_default();
            *last = (*last).max(used.last);
            *users += 1;
        }
        found
    }

    /// Returns what an identity used, the latest first.
    pub(super) fn by(&self, identity: &str, limit: usize) -> Vec<UseView> {
        let mut found: Vec<_> = self.uses.iter().filter(|(key, _)| &*key.identity == identity).collect();
        found.sort_by(|a, b| {
            (b.1.last, &a.0.relation, &a.0.column).cmp(&(a.1.last, &b.0.relation, &b.0.column))
        });
        found.truncate(limit);
        let view = |(key, used): (&UseKey, &Use)| {
            let Use { reads, writes, masked, refused, last } = *used;
            UseView {
                database: key.database.to_string(),
                relation: key.relation.to_string(),
                column: Some(key.column.to_string()).filter(|it| !it.is_empty()),
                reads,
                writes,
                masked,
                refused,
                last: shown(last),
            }
        };
        found.into_iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(relation: &str, action: &str, columns: &[&str], refused: bool) -> View {
        let masks = if columns.contains(&"email") {
            serde_json::json!([{"column": format!("{relation}.email"), "mask": "hash"}])
        } else {
            serde_json::json!([])
        };
        serde_json::from_value(serde_json::json!({
            "event": "statement", "database": "app", "sqlstate": refused.then_some("42501"),
            "decision": {"touches": [{"action": action, "kind": "relation", "name": relation, "columns": columns}], "masks": masks},
        }))
        .unwrap()
    }

    #[test]
    fn readers_are_told_apart_by_column_and_by_what_they_got() {
        let mut uses = Uses::default();
        uses.take(Time(5), &statement("public.t", "select", &["id", "email"], false), "corp:a");
        uses.take(Time(7), &statement("public.t", "select", &["id"], false), "corp:b");
        uses.take(Time(8), &statement("public.t", "delete", &[], false), "corp:b");
        uses.take(Time(9), &statement("public.t", "select", &["email"], true), "corp:c");
        let found = uses.of("app", "public.t", &["email"]);
        let whole: Vec<_> =
            found[""].iter().map(|it| (&*it.identity, it.reads, it.writes, it.masked, it.refused)).collect();
        assert_eq!(whole, [("corp:c", 0, 0, 0, 1), ("corp:b", 1, 1, 0, 0), ("corp:a", 1, 0, 1, 0)]);
        let email: Vec<_> =
            found["email"].iter().map(|it| (&*it.identity, it.reads, it.masked, it.refused)).collect();
        assert_eq!(email, [("corp:c", 0, 0, 1), ("corp:a", 1, 1, 0)]);
        assert!(!found.contains_key("id"));
        assert!(uses.of("other", "public.t", &[]).is_empty());
        assert_eq!(uses.relations("app")["public.t"], (Time(9), 3));
        assert_eq!(uses.by("corp:b", 1)[0].last, shown(Time(8)));
    }

    #[test]
    fn the_oldest_are_forgotten_first_and_names_with_them() {
        let mut uses = Uses::default();
        for n in 0..i64::try_from(USES_MAX).unwrap() + 10 {
            uses.take(Time(n), &statement(&format!("public.t{n}"), "select", &[], false), "corp:a");
        }
        assert!(uses.uses.len() <= USES_MAX && uses.words.len() <= uses.uses.len() + 4);
        assert!(uses.of("app", "public.t1", &[]).is_empty());
        assert_eq!(uses.of("app", &format!("public.t{USES_MAX}"), &[]).len(), 1);
    }
}
