//! INSERT, UPDATE, DELETE, MERGE.

use super::relations::{RELATIONS, Relation, Ty};
use super::{Columns, Generator, Item, Scope};

impl Generator {
    /// Makes a statement that writes.
    pub(crate) fn write(&mut self) -> String {
        let returning = self.dice.percent(45);
        match self.dice.below(if self.version >= 15 { 9 } else { 7 }) {
            0..3 => self.insert(returning).0,
            3..5 => self.update(returning).0,
            5..7 => self.delete(returning).0,
            _ => self.merge(returning && self.version >= 17).0,
        }
    }

    /// Makes a statement for WITH that returns something.
    pub(crate) fn returning_write(&mut self) -> Option<(String, Columns)> {
        let (text, columns) = match self.dice.below(4) {
            0 => self.insert(true),
            1 => self.update(true),
            2 => self.delete(true),
            _ if self.version >= 17 => self.merge(true),
            _ => return None,
        };
        (!columns.is_empty()).then_some((text, columns))
    }

    fn target(&mut self) -> &'static Relation {
        loop {
            let relation = self.relation();
            if !relation.writable.is_empty() {
                return relation;
            }
        }
    }

    fn written(&mut self, relation: &Relation) -> Vec<(&'static str, Ty)> {
        let all = relation.writable.iter();
        let typed = all.filter_map(|name| relation.columns.iter().find(|(column, _)| column == name));
        let mut chosen: Vec<(&'static str, Ty)> = typed.copied().filter(|_| self.dice.percent(50)).collect();
        if chosen.is_empty() {
            chosen.push((relation.writable[0], Ty::Int));
        }
        chosen
    }

    fn returning(
        &mut self,
        alias: &str,
        relation: &'static Relation,
        scope: &Scope,
        merge: bool,
    ) -> (String, Columns) {
        match self.dice.below(6) {
            0 if !merge => {
                let columns = Item::relation(alias, relation).columns;
                return (format!(" RETURNING {alias}.*"), columns);
            }
            1 | 2 if self.version >= 18 => {
                let mut list = Vec::new();
                let mut columns = Vec::new();
                for (name, ty) in relation.columns.iter().take(3) {
                    let of = self.dice.word(&["old", "new"]);
                    let column = format!("r{}", self.number());
                    list.push(format!("{of}.{name} AS {column}"));
                    columns.push((column, *ty));
                }
                if self.dice.percent(30) {
                    return (
                        format!(
                            " RETURNING WITH (OLD AS o, NEW AS n) o, n.{}, (n).{}",
                            relation.columns[0].0, relation.columns[1].0
                        ),
                        Vec::new(),
                    );
                }
                return (format!(" RETURNING {}", list.join(", ")), columns);
            }
            3 if merge => return (" RETURNING merge_action()".to_owned(), Vec::new()),
            _ => {}
        }
        let types = self.types();
        let columns: Columns = types.iter().map(|ty| (format!("r{}", self.number()), *ty)).collect();
        let list: Vec<_> = columns
            .iter()
            .map(|(name, ty)| format!("{} AS {name}", self.expression(*ty, scope, 2)))
            .collect();
        (format!(" RETURNING {}", list.join(", ")), columns)
    }

    fn insert(&mut self, returning: bool) -> (String, Columns) {
        let relation = if self.dice.percent(6) {
            RELATIONS.iter().find(|r| r.name == "ruled").expect("listed")
        } else {
            self.target()
        };
        let columns =
            if relation.writable.is_empty() { relation.columns.to_vec() } else { self.written(relation) };
        let alias = format!("t{}", self.number());
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let types: Vec<_> = columns.iter().map(|(_, ty)| *ty).collect();
        let none = Scope::default();
        let mut list = names.join(", ");
        let source = match self.dice.below(8) {
            0 => {
                list = String::new();
                "DEFAULT VALUES".to_owned()
            }
            1..4 => {
                let row = |g: &mut Self| {
                    let values: Vec<_> = types.iter().map(|ty| g.expression(*ty, &none, 1)).collect();
                    format!("({})", values.join(", "))
                };
                if self.dice.percent(30) {
                    format!("VALUES {}, {}", row(self), row(self))
                } else {
                    format!("VALUES {}", row(self))
                }
            }
            _ => self.query(Some(&types), &none).0,
        };
        let list = if list.is_empty() { list } else { format!(" ({list})") };
        let mut text = format!("INSERT INTO {} AS {alias}{list} {source}", relation.name);
        let mut scope = Scope::default();
        scope.items.push(Item::relation(&alias, relation));
        if self.dice.percent(30)
            && let Some(key) = relation.key
        {
            let mut conflict = scope.clone();
            conflict.items.push(Item { system: false, ..Item::relation("excluded", relation) });
            if self.dice.percent(30) {
                text += " ON CONFLICT DO NOTHING";
            } else {
                let arbiter = if self.dice.percent(25) && relation.name != "account" {
                    format!("ON CONSTRAINT {}_pkey", relation.name)
                } else {
                    key.to_owned()
                };
                text += &format!(
                    " ON CONFLICT {arbiter} DO UPDATE SET {}",
                    self.assignments(relation, &conflict)
                );
                if self.dice.percent(40) {
                    text += &format!(" WHERE {}", self.condition(&conflict, 2));
                }
            }
        }
        self.finish(text, &alias, relation, &scope, returning)
    }

    fn assignments(&mut self, relation: &Relation, scope: &Scope) -> String {
        let columns = self.written(relation);
        if columns.len() >= 2 && self.dice.percent(25) && self.room() {
            let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
            let types: Vec<_> = columns.iter().map(|(_, ty)| *ty).collect();
            let body = self.subquery_of(&types, scope);
            return format!("({}) = {body}", names.join(", "));
        }
        let one = |g: &mut Self, (name, ty): &(&str, Ty)| {
            if *ty == Ty::Address && g.dice.percent(50) {
                return format!("{name}.city = {}", g.expression(Ty::Text, scope, 2));
            }
            format!("{name} = {}", g.expression(*ty, scope, 1))
        };
        columns.iter().map(|column| one(self, column)).collect::<Vec<_>>().join(", ")
    }

    fn update(&mut self, returning: bool) -> (String, Columns) {
        let relation = self.target();
        let alias = format!("t{}", self.number());
        let mut scope = Scope::default();
        scope.items.push(Item::relation(&alias, relation));
        let from = if self.dice.percent(35) { self.more(&mut scope) } else { String::new() };
        let from = if from.is_empty() { from } else { format!(" FROM {from}") };
        let set = self.assignments(relation, &scope);
        let mut text = format!("UPDATE {} AS {alias} SET {set}{from}", relation.name);
        if self.dice.percent(75) {
            text += &format!(" WHERE {}", self.condition(&scope, 1));
        }
        self.finish(text, &alias, relation, &scope, returning)
    }

    fn delete(&mut self, returning: bool) -> (String, Columns) {
        let relation = self.target();
        let alias = format!("t{}", self.number());
        let mut scope = Scope::default();
        scope.items.push(Item::relation(&alias, relation));
        let using = if self.dice.percent(35) { self.more(&mut scope) } else { String::new() };
        let using = if using.is_empty() { using } else { format!(" USING {using}") };
        let mut text = format!("DELETE FROM {} AS {alias}{using}", relation.name);
        if self.dice.percent(75) {
            text += &format!(" WHERE {}", self.condition(&scope, 1));
        }
        self.finish(text, &alias, relation, &scope, returning)
    }

    fn more(&mut self, scope: &mut Scope) -> String {
        let (text, more) = self.from(&Scope::default());
        scope.items.extend(more.items);
        text
    }

    fn merge(&mut self, returning: bool) -> (String, Columns) {
        let relation = loop {
            let relation = self.target();
            if relation.table && relation.name != "journal" {
                break relation;
            }
        };
        let alias = format!("t{}", self.number());
        let mut source = Scope::default();
        let using = self.more(&mut source);
        let mut both = source.clone();
        both.items.insert(0, Item::relation(&alias, relation));
        // One source item, so that ON has something to stand on.
        let on = match source.own_column(Ty::Int, &mut self.dice) {
            Some(column) => format!("{alias}.{} = {column}", relation.columns[0].0),
            None => self.condition(&both, 2),
        };
        let mut text = format!("MERGE INTO {} AS {alias} USING {using} ON {on}", relation.name);
        if source.items.len() > 1 && !using.contains(" JOIN ") {
            text = format!("MERGE INTO {} AS {alias} USING ({using}) ON {on}", relation.name);
        }
        if self.dice.percent(60) {
            let condition = if self.dice.percent(40) {
                format!(" AND {}", self.condition(&both, 2))
            } else {
                String::new()
            };
            let action = match self.dice.below(4) {
                0 => "DELETE".to_owned(),
                1 => "DO NOTHING".to_owned(),
                _ => format!("UPDATE SET {}", self.assignments(relation, &both)),
            };
            text += &format!(" WHEN MATCHED{condition} THEN {action}");
        }
        if self.version >= 17 && self.dice.percent(25) {
            let mut own = Scope::default();
            own.items.push(Item::relation(&alias, relation));
            text += &format!(" WHEN NOT MATCHED BY SOURCE AND {} THEN DELETE", self.condition(&own, 2));
        }
        let columns = self.written(relation);
        let values: Vec<_> = columns.iter().map(|(_, ty)| self.expression(*ty, &source, 2)).collect();
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        text +=
            &format!(" WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})", names.join(", "), values.join(", "));
        if returning {
            let (list, columns) = self.returning(&alias, relation, &both, true);
            return (text + &list, columns);
        }
        (text, Vec::new())
    }

    fn finish(
        &mut self,
        text: String,
        alias: &str,
        relation: &'static Relation,
        scope: &Scope,
        returning: bool,
    ) -> (String, Columns) {
        if !returning {
            return (text, Vec::new());
        }
        let (list, columns) = self.returning(alias, relation, scope, false);
        (text + &list, columns)
    }
}
