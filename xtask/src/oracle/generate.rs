//! Makes queries over a schema of its own: any number, the same for the same seed. Knows PostgreSQL's grammar, and nothing of what is
//! done with the queries.

pub(crate) mod dice;
mod expressions;
mod queries;
mod relations;
mod sources;
mod writes;

use dice::Dice;
use relations::{Relation, Ty};

/// The schema for a version.
pub(crate) fn schema(version: u32) -> String {
    let mut schema = include_str!("generate/schema.sql").to_owned();
    if version >= 15 {
        schema += include_str!("generate/schema_15.sql");
    }
    if version >= 18 {
        schema += include_str!("generate/schema_18.sql");
    }
    schema
}

/// Makes the query of that number.
pub(crate) fn statement(seed: u64, number: u64, version: u32) -> String {
    let mut generator = Generator::new(Dice::new(seed, number), version, true);
    if generator.dice.percent(22) { generator.write() } else { generator.query(None, &Scope::default()).0 }
}

/// Makes the query of that number, which only reads.
pub(crate) fn reading(seed: u64, number: u64, version: u32) -> String {
    Generator::new(Dice::new(seed, number), version, false).query(None, &Scope::default()).0
}

/// Names and types.
type Columns = Vec<(String, Ty)>;

/// A statement under way.
struct Generator {
    dice: Dice,
    version: u32,
    /// How many more sub-selects there may be.
    budget: usize,
    names: usize,
    ctes: Vec<(String, Columns)>,
    writes: bool,
}

impl Generator {
    fn new(mut dice: Dice, version: u32, writes: bool) -> Self {
        let budget = 2 + dice.below(5);
        Self { dice, version, budget, names: 0, ctes: Vec::new(), writes }
    }

    fn room(&self) -> bool {
        self.budget > 1
    }

    fn number(&mut self) -> usize {
        self.names += 1;
        self.names
    }
}

/// What one item of FROM brings.
#[derive(Clone, Debug)]
struct Item {
    /// Empty: of a column that USING merged.
    alias: String,
    columns: Columns,
    /// Whose rows it has.
    relation: Option<&'static str>,
    system: bool,
}

impl Item {
    fn of(alias: &str, columns: Columns) -> Self {
        Self { alias: alias.to_owned(), columns, relation: None, system: false }
    }

    fn relation(alias: &str, relation: &Relation) -> Self {
        let columns = relation.columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect();
        Self { relation: Some(relation.name), system: relation.table, ..Self::of(alias, columns) }
    }

    fn merged(name: &str, ty: Ty) -> Self {
        Self::of("", vec![(name.to_owned(), ty)])
    }

    fn column(&self, ty: Ty, dice: &mut Dice) -> Option<String> {
        let fit: Vec<_> = self.columns.iter().filter(|(_, column)| *column == ty).collect();
        if fit.is_empty() {
            return None;
        }
        let (name, _) = dice.of(&fit);
        if self.alias.is_empty() {
            return Some(name.clone());
        }
        // Functional notation.
        if self.relation.is_some() && dice.percent(3) {
            return Some(format!("{name}({})", self.alias));
        }
        Some(format!("{}.{name}", self.alias))
    }
}

/// What expressions may name.
#[derive(Clone, Debug, Default)]
struct Scope {
    items: Vec<Item>,
    outer: Vec<Item>,
    nested: bool,
}

impl Scope {
    fn of_relation(alias: &str, relation: &Relation) -> Self {
        Self { items: vec![Item::relation(alias, relation)], ..Self::default() }
    }

    /// The scope of a query within this one.
    fn inner(&self) -> Self {
        let outer = self.items.iter().chain(&self.outer).filter(|item| !item.alias.is_empty());
        Self { items: Vec::new(), outer: outer.cloned().collect(), nested: true }
    }

    /// What a sub-select in FROM sees that is not lateral.
    fn without_own(&self) -> Self {
        Self { items: Vec::new(), outer: self.outer.clone(), nested: true }
    }

    fn is_top(&self) -> bool {
        !self.nested
    }

    fn has(&self, name: &str) -> bool {
        self.items.iter().any(|item| item.columns.iter().any(|(column, _)| column == name))
    }

    fn own_column(&self, ty: Ty, dice: &mut Dice) -> Option<String> {
        let fit: Vec<_> = self
            .items
            .iter()
            .filter(|item| !item.alias.is_empty() && item.columns.iter().any(|(_, column)| *column == ty))
            .collect();
        if fit.is_empty() { None } else { dice.of(&fit).column(ty, dice) }
    }

    fn column(&self, ty: Ty, dice: &mut Dice) -> Option<String> {
        if dice.percent(2) && matches!(ty, Ty::Text | Ty::Int) {
            let table = self.items.iter().find(|item| item.system);
            if let Some(item) = table {
                return Some(match ty {
                    Ty::Text => format!("{}.tableoid::regclass::text", item.alias),
                    _ => format!("length({}.ctid::text)", item.alias),
                });
            }
        }
        let all = self.items.iter().chain(&self.outer);
        let fit: Vec<_> = all.filter(|item| item.columns.iter().any(|(_, column)| *column == ty)).collect();
        if fit.is_empty() {
            return None;
        }
        // What is near is used more.
        let own =
            fit.iter().take_while(|item| self.items.iter().any(|mine| mine.alias == item.alias)).count();
        let from = if own > 0 && !dice.percent(25) { &fit[..own] } else { &fit[..] };
        dice.of(from).column(ty, dice)
    }

    /// Returns the alias of something whose row is a value.
    fn whole_row(&self, dice: &mut Dice) -> Option<String> {
        let rows: Vec<_> = self.items.iter().filter(|item| !item.alias.is_empty()).collect();
        if rows.is_empty() { None } else { Some(dice.of(&rows).alias.clone()) }
    }

    /// Returns the alias of something that has a relation's rows.
    fn row_of(&self, relation: &str, dice: &mut Dice) -> Option<String> {
        let rows: Vec<_> = self.items.iter().filter(|item| item.relation == Some(relation)).collect();
        if rows.is_empty() { None } else { Some(dice.of(&rows).alias.clone()) }
    }

    /// Returns the alias of a relation whose rows can be locked.
    fn lockable(&self, dice: &mut Dice) -> Option<String> {
        let rows: Vec<_> = self.items.iter().filter(|item| item.relation.is_some()).collect();
        if rows.is_empty() { None } else { Some(dice.of(&rows).alias.clone()) }
    }
}
