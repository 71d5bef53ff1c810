//! What stands in FROM, and what it brings into scope.

use super::relations::{RELATIONS, Relation, Ty};
use super::{Generator, Item, Scope};

impl Generator {
    /// Picks a relation that this version has.
    pub(crate) fn relation(&mut self) -> &'static Relation {
        loop {
            let relation = self.dice.of(RELATIONS);
            if relation.since <= self.version {
                return relation;
            }
        }
    }

    /// Makes a FROM list of one to three items; `outer` may be used by what is lateral.
    pub(crate) fn from(&mut self, outer: &Scope) -> (String, Scope) {
        let mut scope = outer.inner();
        let (mut text, item) = self.source(&scope);
        scope.items.push(item);
        let more = match self.dice.below(10) {
            0..5 => 0,
            5..9 => 1,
            _ => 2,
        };
        for _ in 0..more {
            self.join(&mut text, &mut scope);
        }
        (text, scope)
    }

    fn join(&mut self, text: &mut String, scope: &mut Scope) {
        let (right, item) = self.source(scope);
        if self.dice.percent(15) {
            // A later JOIN would bind more tightly.
            *text = format!("{text} CROSS JOIN {right}");
            scope.items.push(item);
            return;
        }
        // FULL JOIN needs a condition that can be merged or hashed.
        let kind = self.dice.word(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "JOIN", "LEFT JOIN", "FULL JOIN"]);
        let lateral = right.starts_with("LATERAL");
        let kind = if lateral && kind != "JOIN" { "LEFT JOIN" } else { kind };
        let shared = |scope: &Scope| -> Vec<String> {
            let [left] = scope.items.as_slice() else { return Vec::new() };
            let both = |name: &&(String, Ty)| item.columns.contains(name) && name.1.is_ordered();
            left.columns.iter().filter(both).map(|(name, _)| name.clone()).collect()
        };
        let shared = shared(scope);
        if let Some(name) = shared.first().filter(|_| self.dice.percent(45) && scope.items.len() == 1) {
            if self.dice.percent(25)
                && shared.len() == item.columns.iter().filter(|(n, _)| scope.has(n)).count()
            {
                *text = format!("{text} NATURAL {kind} {right}");
            } else if self.dice.percent(20) {
                *text = format!("{text} {kind} {right} USING ({name}) AS u{}", self.number());
            } else {
                *text = format!("{text} {kind} {right} USING ({name})");
            }
            let merged = item.columns.iter().find(|(column, _)| column == name).map(|(_, ty)| *ty);
            scope.items.push(item.clone());
            if let Some(ty) = merged {
                scope.items.push(Item::merged(name, ty));
            }
            return;
        }
        let (left_column, right_column) =
            (scope.own_column(Ty::Int, &mut self.dice), item.column(Ty::Int, &mut self.dice));
        let simple = match (left_column, right_column) {
            (Some(left), Some(right)) => format!("{left} = {right}"),
            _ => "true".to_owned(),
        };
        scope.items.push(item);
        let condition = if kind != "FULL JOIN" && self.dice.percent(30) {
            format!("{simple} AND {}", self.condition(scope, 3))
        } else {
            simple
        };
        *text = format!("{text} {kind} {right} ON {condition}");
    }

    /// Makes one item.
    fn source(&mut self, scope: &Scope) -> (String, Item) {
        let alias = format!("t{}", self.number());
        match self.dice.below(20) {
            0..3 if self.room() => {
                let lateral = !scope.items.is_empty() && self.dice.percent(50);
                let outer = if lateral { scope.clone() } else { scope.without_own() };
                let (query, columns) = self.query(None, &outer);
                let word = if lateral { "LATERAL " } else { "" };
                (format!("{word}({query}) AS {alias}"), Item::of(&alias, columns))
            }
            3 if !self.ctes.is_empty() => {
                let (name, columns) = self.dice.of(&self.ctes).clone();
                (format!("{name} AS {alias}"), Item::of(&alias, columns))
            }
            4 => self.function(&alias, scope),
            5 => {
                let row = |g: &mut Self| format!("({}, {})", g.literal(Ty::Int), g.literal(Ty::Text));
                let text = format!("(VALUES {}, {}) AS {alias} (id, label)", row(self), row(self));
                (text, Item::of(&alias, vec![("id".to_owned(), Ty::Int), ("label".to_owned(), Ty::Text)]))
            }
            _ => {
                let relation = self.relation();
                let item = Item::relation(&alias, relation);
                let name = relation.name;
                if relation.table && self.dice.percent(4) {
                    let text = format!(
                        "{name} AS {alias} TABLESAMPLE bernoulli (100 - {}) REPEATABLE (1)",
                        self.literal(Ty::Int)
                    );
                    return (text, item);
                }
                if self.dice.percent(6) {
                    let renamed: Vec<_> =
                        item.columns.iter().enumerate().map(|(i, (_, ty))| (format!("c{i}"), *ty)).collect();
                    let list: Vec<_> = renamed.iter().map(|(name, _)| name.as_str()).collect();
                    let text = format!("{name} AS {alias} ({})", list.join(", "));
                    return (text, Item { relation: None, ..Item::of(&alias, renamed) });
                }
                let only = if relation.table && self.dice.percent(10) { "ONLY " } else { "" };
                (format!("{only}{name} AS {alias}"), item)
            }
        }
    }

    fn function(&mut self, alias: &str, scope: &Scope) -> (String, Item) {
        let columns = |list: &[(&str, Ty)]| list.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect();
        let lateral = if self.dice.percent(50) { "LATERAL " } else { "" };
        match self.dice.below(9) {
            0 => {
                let argument = self.atom(Ty::Int, scope);
                let item =
                    Item { relation: Some("person"), ..Item::of(alias, columns(RELATIONS[0].columns)) };
                (format!("{lateral}people_older({argument}) AS {alias}"), item)
            }
            1 => {
                let argument = self.atom(Ty::Int, scope);
                (
                    format!("pairs({argument} % 5) AS {alias}"),
                    Item::of(alias, columns(&[("a", Ty::Int), ("b", Ty::Text)])),
                )
            }
            2 => {
                let of = self.atom(Ty::Texts, scope);
                let text = format!("{lateral}unnest({of}) WITH ORDINALITY AS {alias} (word, place)");
                (text, Item::of(alias, columns(&[("word", Ty::Text), ("place", Ty::Int)])))
            }
            3 => {
                let (of, to) = (self.atom(Ty::Texts, scope), self.atom(Ty::Int, scope));
                let text =
                    format!("ROWS FROM (unnest({of}), generate_series(1, {to} % 5)) AS {alias} (word, n)");
                (text, Item::of(alias, columns(&[("word", Ty::Text), ("n", Ty::Int)])))
            }
            4 => {
                let of = self.atom(Ty::Json, scope);
                let text = format!("jsonb_to_record({of}) AS {alias} (k int, list jsonb)");
                (text, Item::of(alias, columns(&[("k", Ty::Int), ("list", Ty::Json)])))
            }
            5 => {
                let (of, fallback) = (self.atom(Ty::Xml, scope), self.atom(Ty::Int, scope));
                let text = format!(
                    "XMLTABLE('//v' PASSING ({of}) COLUMNS a int PATH '@a' DEFAULT {fallback}, n FOR ORDINALITY, v text PATH '.') AS {alias}"
                );
                (text, Item::of(alias, columns(&[("a", Ty::Int), ("n", Ty::Int), ("v", Ty::Text)])))
            }
            6 if self.version >= 17 => {
                let (of, with) = (self.atom(Ty::Json, scope), self.atom(Ty::Int, scope));
                let text = format!(
                    "JSON_TABLE({of}, '$' PASSING {with} AS x COLUMNS (k int PATH '$.k' DEFAULT {with} ON EMPTY, \
                     NESTED PATH '$.list[*]' COLUMNS (e text PATH '$'))) AS {alias}"
                );
                (text, Item::of(alias, columns(&[("k", Ty::Int), ("e", Ty::Text)])))
            }
            _ => {
                let to = self.atom(Ty::Int, scope);
                let text = format!("{lateral}generate_series(1, {to} % 6) AS {alias} (n)");
                (text, Item::of(alias, columns(&[("n", Ty::Int)])))
            }
        }
    }
}
