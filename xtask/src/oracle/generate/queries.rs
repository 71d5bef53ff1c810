//! SELECT, VALUES, set operations, WITH.

use super::relations::Ty;
use super::{Columns, Generator, Scope};

const LISTED: &[Ty] = &[
    Ty::Int,
    Ty::Int,
    Ty::Text,
    Ty::Text,
    Ty::Text,
    Ty::Num,
    Ty::Num,
    Ty::Date,
    Ty::Bool,
    Ty::Json,
    Ty::Texts,
    Ty::Address,
    Ty::Mood,
    Ty::Xml,
];

impl Generator {
    /// Makes a query, of these types if it matters.
    pub(crate) fn query(&mut self, wanted: Option<&[Ty]>, outer: &Scope) -> (String, Columns) {
        self.budget = self.budget.saturating_sub(1);
        let known = self.ctes.len();
        let with = if self.budget > 0 && self.dice.percent(18) { self.with(outer) } else { String::new() };
        let (body, columns) = match self.dice.below(10) {
            0 if self.room() => self.set_operation(wanted, outer),
            _ => self.select(wanted, outer),
        };
        self.ctes.truncate(known);
        (with + &body, columns)
    }

    /// Makes a query in parentheses.
    pub(crate) fn subquery_of(&mut self, wanted: &[Ty], outer: &Scope) -> String {
        format!("({})", self.query(Some(wanted), outer).0)
    }

    pub(crate) fn scalar_subquery(&mut self, ty: Ty, outer: &Scope) -> String {
        let body = self.subquery_of(&[ty], outer);
        match body.strip_suffix(')') {
            Some(open) if !open.contains(" LIMIT ") => format!("{open} LIMIT 1)"),
            _ => format!("(SELECT x FROM {body} AS s (x) LIMIT 1)"),
        }
    }

    /// Makes WITH and its names.
    fn with(&mut self, outer: &Scope) -> String {
        let name = format!("w{}", self.number());
        let (text, columns) = match self.dice.below(8) {
            0 | 1 => return self.recursive(&name),
            2 if outer.is_top() && self.writes => {
                let Some((write, columns)) = self.returning_write() else { return String::new() };
                (write, columns)
            }
            _ => self.query(None, outer),
        };
        let how =
            if self.dice.percent(25) { self.dice.word(&["MATERIALIZED ", "NOT MATERIALIZED "]) } else { "" };
        let how = if text.starts_with("SELECT") || text.starts_with("WITH") { how } else { "" };
        let unused = self.dice.percent(10);
        if !unused {
            self.ctes.push((name.clone(), columns));
        }
        format!("WITH {name} AS {how}({text}) ")
    }

    fn recursive(&mut self, name: &str) -> String {
        let mut columns: Columns = vec![("id".to_owned(), Ty::Int), ("label".to_owned(), Ty::Text)];
        let none = Scope::default();
        let start = format!("SELECT id, name FROM person WHERE {}", {
            let scope = Scope::of_relation("person", &super::relations::RELATIONS[0]);
            self.condition(&scope, 2)
        });
        let union = self.dice.word(&["UNION", "UNION ALL"]);
        let step = match self.dice.below(3) {
            0 => format!("SELECT p.boss, r.label || p.ssn FROM {name} r JOIN person p ON p.id = r.id"),
            1 => format!(
                "SELECT p.id, p.email FROM person p, {name} r WHERE p.boss = r.id AND {}",
                self.condition(&none, 3)
            ),
            _ => format!(
                "SELECT r.id + 1, r.label FROM {name} r WHERE r.id < (SELECT max(a.person_id) FROM account a)"
            ),
        };
        let tail = match self.dice.below(3) {
            0 => {
                let how = self.dice.word(&["DEPTH", "BREADTH"]);
                format!(" SEARCH {how} FIRST BY id SET ord")
            }
            1 => {
                columns.push(("looped".to_owned(), Ty::Bool));
                " CYCLE id SET looped USING path".to_owned()
            }
            _ => String::new(),
        };
        self.ctes.push((name.to_owned(), columns));
        format!("WITH RECURSIVE {name} (id, label) AS ({start} {union} {step}){tail} ")
    }

    fn set_operation(&mut self, wanted: Option<&[Ty]>, outer: &Scope) -> (String, Columns) {
        let types = wanted.map_or_else(|| self.types(), <[Ty]>::to_vec);
        let types: Vec<Ty> =
            types.into_iter().map(|ty| if ty.is_ordered() { ty } else { Ty::Text }).collect();
        if wanted.is_some_and(|wanted| wanted != types) {
            return self.select(wanted, outer);
        }
        let (left, columns) = self.select(Some(&types), outer);
        let (right, _) = self.query(Some(&types), outer);
        let operator = self.dice.word(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"]);
        let order = if self.dice.percent(20) { " ORDER BY 1" } else { "" };
        (format!("({left}) {operator} ({right}){order}"), columns)
    }

    pub(crate) fn types(&mut self) -> Vec<Ty> {
        let count = 1 + self.dice.below(4);
        (0..count).map(|_| *self.dice.of(LISTED)).collect()
    }

    fn select(&mut self, wanted: Option<&[Ty]>, outer: &Scope) -> (String, Columns) {
        if self.dice.percent(3) {
            return self.values(wanted);
        }
        let (from, scope) = self.from(outer);
        let types = wanted.map_or_else(|| self.types(), <[Ty]>::to_vec);
        let condition = if self.dice.percent(55) {
            format!(" WHERE {}", self.condition(&scope, 1))
        } else {
            String::new()
        };
        match self.dice.below(10) {
            0 | 1 => self.grouped(&types, &from, &condition, &scope),
            2 => self.windowed(&types, &from, &condition, &scope),
            3 if wanted.is_none() => self.starred(&from, &condition, &scope),
            _ => {
                let list: Vec<String> = types.iter().map(|ty| self.expression(*ty, &scope, 1)).collect();
                let (items, columns) = self.named(&list, &types);
                let mut distinct = String::new();
                let mut tail = String::new();
                let ordered = types.iter().all(|ty| ty.is_ordered());
                match self.dice.below(12) {
                    0 if ordered => distinct = "DISTINCT ".to_owned(),
                    1 => {
                        let on = self.sorted(Ty::Int, &scope, 2);
                        distinct = format!("DISTINCT ON ({on}) ");
                        tail = format!(" ORDER BY {on}, {}", self.atom(Ty::Text, &scope));
                    }
                    2..5 => tail = format!(" ORDER BY {} NULLS FIRST", self.expression(Ty::Text, &scope, 2)),
                    _ => {}
                }
                if self.dice.percent(12) {
                    tail += &format!(" LIMIT {}", 1 + self.dice.below(9));
                }
                if self.dice.percent(5)
                    && outer.is_top()
                    && wanted.is_none()
                    && distinct.is_empty()
                    && self.writes
                {
                    tail += self.dice.word(&[" FOR UPDATE", " FOR SHARE", " FOR NO KEY UPDATE"]);
                    if let Some(alias) = scope.lockable(&mut self.dice) {
                        tail += &format!(" OF {alias}");
                    }
                }
                (format!("SELECT {distinct}{items} FROM {from}{condition}{tail}"), columns)
            }
        }
    }

    fn values(&mut self, wanted: Option<&[Ty]>) -> (String, Columns) {
        let types = wanted.map_or_else(|| self.types(), <[Ty]>::to_vec);
        let none = Scope::default();
        let row = |g: &mut Self| {
            let values: Vec<_> = types.iter().map(|ty| g.expression(*ty, &none, 2)).collect();
            format!("({})", values.join(", "))
        };
        let text = format!("VALUES {}, {}", row(self), row(self));
        let columns = types.iter().enumerate().map(|(i, ty)| (format!("column{}", i + 1), *ty)).collect();
        (text, columns)
    }

    fn named(&mut self, list: &[String], types: &[Ty]) -> (String, Columns) {
        let columns: Columns = types.iter().map(|ty| (format!("o{}", self.number()), *ty)).collect();
        let items: Vec<_> =
            list.iter().zip(&columns).map(|(item, (name, _))| format!("{item} AS {name}")).collect();
        (items.join(", "), columns)
    }

    /// `*` and its kin.
    fn starred(&mut self, from: &str, condition: &str, scope: &Scope) -> (String, Columns) {
        let item = scope.items[self.dice.below(scope.items.len())].clone();
        if item.alias.is_empty() {
            return (format!("SELECT * FROM {from}{condition}"), Vec::new());
        }
        match self.dice.below(4) {
            0 => (format!("SELECT {}.* FROM {from}{condition}", item.alias), item.columns),
            1 => (format!("SELECT ({}).* FROM {from}{condition}", item.alias), item.columns),
            2 => (format!("SELECT {} AS whole FROM {from}{condition}", item.alias), Vec::new()),
            _ if scope.items.len() == 1 => (format!("SELECT * FROM {from}{condition}"), item.columns),
            _ => (format!("SELECT * FROM {from}{condition}"), Vec::new()),
        }
    }

    fn grouped(&mut self, types: &[Ty], from: &str, condition: &str, scope: &Scope) -> (String, Columns) {
        let mut groups = Vec::new();
        let list: Vec<String> = types
            .iter()
            .map(|ty| {
                if ty.is_ordered() && self.dice.percent(45) {
                    let group = scope
                        .column(*ty, &mut self.dice)
                        .unwrap_or_else(|| format!("{}::{}", self.literal(*ty), ty.name()));
                    groups.push(group.clone());
                    group
                } else {
                    self.aggregate(*ty, scope)
                }
            })
            .collect();
        let (items, columns) = self.named(&list, types);
        let mut tail = String::new();
        if !groups.is_empty() {
            let all = groups.join(", ");
            tail = match self.dice.below(8) {
                0 => format!(" GROUP BY ROLLUP ({all})"),
                1 => format!(" GROUP BY CUBE ({all})"),
                2 => format!(" GROUP BY GROUPING SETS (({all}), ())"),
                3 => format!(" GROUP BY DISTINCT {all}, {}", self.sorted(Ty::Int, scope, 9)),
                _ => format!(" GROUP BY {all}"),
            };
        }
        if self.dice.percent(25) {
            let (left, right) = (self.aggregate(Ty::Int, scope), self.literal(Ty::Int));
            tail += &format!(" HAVING {left} > {right}");
        }
        if self.dice.percent(20) {
            tail += &format!(" ORDER BY {}", self.aggregate(Ty::Int, scope));
        }
        (format!("SELECT {items} FROM {from}{condition}{tail}"), columns)
    }

    fn windowed(&mut self, types: &[Ty], from: &str, condition: &str, scope: &Scope) -> (String, Columns) {
        let named = self.dice.percent(40).then(|| format!("n{}", self.number()));
        let list: Vec<String> = types
            .iter()
            .map(|ty| {
                if self.dice.percent(60) {
                    self.window(*ty, scope, named.as_deref())
                } else {
                    self.expression(*ty, scope, 2)
                }
            })
            .collect();
        let (items, columns) = self.named(&list, types);
        let window = named.map_or_else(String::new, |name| {
            format!(" WINDOW {name} AS ({})", self.window_definition(scope))
        });
        (format!("SELECT {items} FROM {from}{condition}{window}"), columns)
    }
}
