//! Expressions of a wanted type over what is in scope.

use super::relations::Ty;
use super::{Generator, Scope};

/// How deep expressions go.
const DEPTH_MAX: usize = 4;

impl Generator {
    /// Makes an expression of a type.
    pub(crate) fn expression(&mut self, ty: Ty, scope: &Scope, depth: usize) -> String {
        if depth >= DEPTH_MAX || self.dice.percent(35 + 12 * depth) {
            return self.atom(ty, scope);
        }
        match self.dice.below(14) {
            0 => self.case(ty, scope, depth + 1),
            1 => format!("coalesce({}, {})", self.expression(ty, scope, depth + 1), self.atom(ty, scope)),
            2 if ty.is_ordered() => {
                format!("nullif({}, {})", self.expression(ty, scope, depth + 1), self.atom(ty, scope))
            }
            3 if ty.is_ordered() && ty != Ty::Json && ty != Ty::Address && ty != Ty::Texts => {
                let name = self.dice.word(&["greatest", "least"]);
                format!("{name}({}, {})", self.expression(ty, scope, depth + 1), self.atom(ty, scope))
            }
            4 | 5 if self.room() => self.scalar_subquery(ty, scope),
            6 if self.room() && ty != Ty::Texts => {
                format!("(ARRAY{})[1]", self.subquery_of(&[ty], scope))
            }
            _ => self.computed(ty, scope, depth + 1),
        }
    }

    /// A column if there is one of that type, else a literal.
    pub(crate) fn atom(&mut self, ty: Ty, scope: &Scope) -> String {
        if !self.dice.percent(12)
            && let Some(column) = scope.column(ty, &mut self.dice)
        {
            return column;
        }
        if ty == Ty::Text
            && self.dice.percent(12)
            && let Some(address) = scope.column(Ty::Address, &mut self.dice)
        {
            return self.field(&address);
        }
        if self.dice.percent(4)
            && let Some(whole) = scope.whole_row(&mut self.dice)
        {
            match ty {
                Ty::Text => return format!("{whole}::text"),
                Ty::Json => return format!("to_jsonb({whole})"),
                Ty::Bool => return format!("({whole} IS NOT NULL)"),
                _ => {}
            }
        }
        self.literal(ty)
    }

    fn field(&mut self, address: &str) -> String {
        let field = self.dice.word(&["street", "city", "zip"]);
        match self.dice.below(3) {
            0 => format!("{field}({address})"),
            _ => format!("({address}).{field}"),
        }
    }

    /// Makes an expression that is no bare number, which ORDER BY and its kin take for a position.
    pub(crate) fn sorted(&mut self, ty: Ty, scope: &Scope, depth: usize) -> String {
        let key = self.expression(ty, scope, depth);
        if key.bytes().all(|b| b.is_ascii_digit()) { format!("({key} + 0)") } else { key }
    }

    pub(crate) fn literal(&mut self, ty: Ty) -> String {
        let n = self.dice.below(20);
        match ty {
            Ty::Int => n.to_string(),
            Ty::Num => format!("{n}.5"),
            Ty::Text => format!("'t{n}'::text"),
            Ty::Date => format!("date '2024-01-{:02}'", n + 1),
            Ty::Bool => self.dice.word(&["true", "false", "NULL::bool"]).to_owned(),
            Ty::Json => format!("'{{\"k\": {n}, \"list\": [1, {n}]}}'::jsonb"),
            Ty::Texts => format!("ARRAY['a{n}', 'b']"),
            Ty::Address => format!("ROW('s{n}', 'c', 'z')::address"),
            Ty::Mood => self.dice.word(&["'calm'::mood", "'glad'::mood"]).to_owned(),
            Ty::Xml => format!("'<r><v a=\"{n}\">1</v></r>'::xml"),
        }
    }

    fn case(&mut self, ty: Ty, scope: &Scope, depth: usize) -> String {
        let (then, otherwise) = (self.expression(ty, scope, depth), self.atom(ty, scope));
        if self.dice.percent(40) {
            let (of, is) = (self.atom(Ty::Int, scope), self.atom(Ty::Int, scope));
            return format!("CASE {of} WHEN {is} THEN {then} ELSE {otherwise} END");
        }
        format!("CASE WHEN {} THEN {then} ELSE {otherwise} END", self.condition(scope, depth))
    }

    fn computed(&mut self, ty: Ty, scope: &Scope, depth: usize) -> String {
        let pick = self.dice.below(9);
        match ty {
            Ty::Int => self.computed_int(pick, scope, depth),
            Ty::Num => {
                let a = self.expression(Ty::Num, scope, depth);
                match pick {
                    0 => format!("{a} + {}", self.atom(Ty::Int, scope)),
                    1 => format!("({a} * {})", self.atom(Ty::Num, scope)),
                    2 => format!("round({a}, 1)"),
                    3 => format!("abs({a} - {})", self.atom(Ty::Num, scope)),
                    4 => format!("{}::numeric", self.expression(Ty::Int, scope, depth)),
                    5 => format!("sqrt(abs({a}))::numeric"),
                    _ => format!("(- {a})"),
                }
            }
            Ty::Text => self.computed_text(pick, scope, depth),
            Ty::Date => {
                let a = self.atom(Ty::Date, scope);
                match pick {
                    0..3 => format!("{a} + {}", self.atom(Ty::Int, scope)),
                    3 => format!("({a} + interval '1 month')::date"),
                    4 => format!("date_trunc('year', {a})::date"),
                    _ => a,
                }
            }
            Ty::Bool => self.condition(scope, depth),
            Ty::Json => match pick {
                0 | 1 => format!(
                    "jsonb_build_object('a', {}, 'b', {})",
                    self.atom(Ty::Text, scope),
                    self.atom(Ty::Num, scope)
                ),
                2 => format!("to_jsonb({})", self.atom(Ty::Texts, scope)),
                3 => format!("{} -> 'list'", self.atom(Ty::Json, scope)),
                4 => format!("jsonb_path_query_first({}, '$.list[*] ? (@ > 2)')", self.atom(Ty::Json, scope)),
                5 if self.version >= 16 => {
                    format!("JSON_OBJECT('k': {} RETURNING jsonb)", self.atom(Ty::Text, scope))
                }
                6 if self.version >= 17 => {
                    format!("JSON_QUERY({}, '$.list' WITH WRAPPER)", self.atom(Ty::Json, scope))
                }
                _ => format!("{} || {}", self.atom(Ty::Json, scope), self.atom(Ty::Json, scope)),
            },
            Ty::Texts => match pick {
                0..3 => format!("ARRAY[{}, {}]", self.atom(Ty::Text, scope), self.atom(Ty::Text, scope)),
                3 => format!("{} || {}", self.atom(Ty::Texts, scope), self.atom(Ty::Text, scope)),
                4 => format!("({})[1:2]", self.atom(Ty::Texts, scope)),
                5 => format!("string_to_array({}, 'e')", self.atom(Ty::Text, scope)),
                _ => self.atom(Ty::Texts, scope),
            },
            Ty::Address => match pick {
                0..4 => format!(
                    "ROW({}, {}, 'z')::address",
                    self.atom(Ty::Text, scope),
                    self.atom(Ty::Text, scope)
                ),
                _ => self.atom(Ty::Address, scope),
            },
            Ty::Mood => match pick {
                0 => format!("enum_first({})", self.atom(Ty::Mood, scope)),
                _ => self.atom(Ty::Mood, scope),
            },
            Ty::Xml => match pick {
                0 => format!(
                    "xmlelement(name e, xmlattributes({} AS a), {})",
                    self.atom(Ty::Text, scope),
                    self.atom(Ty::Int, scope)
                ),
                1 => format!("xmlforest({} AS f)", self.atom(Ty::Text, scope)),
                2 => format!("xmlconcat({}, {})", self.atom(Ty::Xml, scope), self.atom(Ty::Xml, scope)),
                _ => self.atom(Ty::Xml, scope),
            },
        }
    }

    fn computed_int(&mut self, pick: usize, scope: &Scope, depth: usize) -> String {
        let a = self.expression(Ty::Int, scope, depth);
        match pick {
            0 => format!("({a} + {})", self.atom(Ty::Int, scope)),
            1 => format!("{a} % 7"),
            2 => format!("length({})", self.expression(Ty::Text, scope, depth)),
            3 => format!("doubled({a})"),
            4 => format!("extract(year FROM {})::int", self.atom(Ty::Date, scope)),
            5 => format!("cardinality({})", self.atom(Ty::Texts, scope)),
            6 => format!("({} ->> 'k')::int", self.atom(Ty::Json, scope)),
            7 if self.version >= 17 => format!(
                "JSON_VALUE({}, '$.k' RETURNING int DEFAULT {} ON ERROR)",
                self.atom(Ty::Json, scope),
                self.literal(Ty::Int)
            ),
            _ => format!("({})::int", self.expression(Ty::Num, scope, depth)),
        }
    }

    fn computed_text(&mut self, pick: usize, scope: &Scope, depth: usize) -> String {
        let a = self.expression(Ty::Text, scope, depth);
        match pick {
            0 => format!("{a} || {}", self.atom(Ty::Text, scope)),
            1 => format!("upper({a})"),
            2 => format!("shouted({a})"),
            3 => format!("{}::text", self.atom(Ty::Int, scope)),
            4 => format!("({} ->> 'a')", self.atom(Ty::Json, scope)),
            5 => format!("city_of({})", self.atom(Ty::Address, scope)),
            6 => format!("array_to_string({}, ',')", self.atom(Ty::Texts, scope)),
            7 => {
                let row = scope.row_of("person", &mut self.dice);
                row.map_or_else(
                    || format!("substr({a}, 1, 3)"),
                    |row| {
                        if self.dice.percent(50) {
                            format!("title_of({row})")
                        } else {
                            format!("({row}).title_of")
                        }
                    },
                )
            }
            _ => format!("format('%s-%s', {a}, {}) COLLATE \"C\"", self.atom(Ty::Int, scope)),
        }
    }

    /// Makes a condition.
    pub(crate) fn condition(&mut self, scope: &Scope, depth: usize) -> String {
        let next = depth + 1;
        if depth >= DEPTH_MAX {
            let ty = *self.dice.of(&[Ty::Int, Ty::Text, Ty::Num]);
            return format!("{} = {}", self.atom(ty, scope), self.atom(ty, scope));
        }
        let ty = *self.dice.of(&[Ty::Int, Ty::Int, Ty::Text, Ty::Num, Ty::Date, Ty::Mood]);
        match self.dice.below(16) {
            0 => format!("({} AND {})", self.condition(scope, next), self.condition(scope, next)),
            1 => format!("({} OR {})", self.condition(scope, next), self.condition(scope, next)),
            2 => format!("NOT ({})", self.condition(scope, next)),
            3 => format!("{} IS {}NULL", self.expression(ty, scope, next), self.dice.word(&["", "NOT "])),
            4 => format!(
                "{} BETWEEN {} AND {}",
                self.atom(ty, scope),
                self.atom(ty, scope),
                self.atom(ty, scope)
            ),
            5 => format!("{} LIKE {} || '%'", self.atom(Ty::Text, scope), self.atom(Ty::Text, scope)),
            6 => format!("{} IN ({}, {})", self.atom(ty, scope), self.literal(ty), self.atom(ty, scope)),
            7 if self.room() => {
                format!("{}EXISTS {}", self.dice.word(&["", "NOT "]), self.subquery_of(&[Ty::Int], scope))
            }
            8 if self.room() => {
                let not = self.dice.word(&["", "NOT "]);
                format!("{} {not}IN {}", self.atom(ty, scope), self.subquery_of(&[ty], scope))
            }
            9 if self.room() => {
                let quantity = self.dice.word(&["= ANY", "> ALL", "<> ALL", "< SOME"]);
                format!("{} {quantity} {}", self.atom(ty, scope), self.subquery_of(&[ty], scope))
            }
            10 => {
                let operator = self.dice.word(&["=", "<", ">=", "<>"]);
                let row = |g: &mut Self| format!("({}, {})", g.atom(ty, scope), g.atom(Ty::Int, scope));
                let (left, right) = (row(self), row(self));
                if self.room() && operator == "=" && self.dice.percent(40) {
                    return format!("{left} IN {}", self.subquery_of(&[ty, Ty::Int], scope));
                }
                format!("{left} {operator} {right}")
            }
            11 => format!("{} IS DISTINCT FROM {}", self.atom(ty, scope), self.atom(ty, scope)),
            12 => format!("{} = ANY ({})", self.atom(Ty::Text, scope), self.atom(Ty::Texts, scope)),
            13 => format!("{} @> '{{\"k\": 1}}'", self.atom(Ty::Json, scope)),
            14 if self.version >= 16 => format!("{} IS JSON", self.atom(Ty::Text, scope)),
            _ => {
                let operator = self.dice.word(&["=", "<", ">", "<=", "<>"]);
                format!(
                    "{} {operator} {}",
                    self.expression(ty, scope, next),
                    self.expression(ty, scope, next)
                )
            }
        }
    }

    /// Makes an aggregate of a type; its arguments see the scope.
    pub(crate) fn aggregate(&mut self, ty: Ty, scope: &Scope) -> String {
        let distinct = if self.dice.percent(15) { "DISTINCT " } else { "" };
        let call = match ty {
            Ty::Int => match self.dice.below(5) {
                0 => "count(*)".to_owned(),
                1 => format!("count({distinct}{})", self.expression(Ty::Text, scope, 2)),
                2 => format!("count({})", scope.whole_row(&mut self.dice).unwrap_or_else(|| "*".to_owned())),
                _ => format!(
                    "{}({})",
                    self.dice.word(&["max", "min", "bit_or"]),
                    self.expression(Ty::Int, scope, 2)
                ),
            },
            Ty::Num => match self.dice.below(6) {
                0 => format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {})", self.atom(Ty::Num, scope)),
                1 => format!("product({})", self.atom(Ty::Num, scope)),
                2 => format!("avg({distinct}{})", self.expression(Ty::Num, scope, 2)),
                _ => format!("sum({distinct}{})", self.expression(Ty::Num, scope, 2)),
            },
            Ty::Text => match self.dice.below(3) {
                0 => format!(
                    "string_agg({}, ',' ORDER BY {})",
                    self.atom(Ty::Text, scope),
                    self.atom(Ty::Int, scope)
                ),
                1 => format!("mode() WITHIN GROUP (ORDER BY {})", self.atom(Ty::Text, scope)),
                _ => format!("max({})", self.expression(Ty::Text, scope, 2)),
            },
            Ty::Bool => format!("bool_or({})", self.condition(scope, 3)),
            Ty::Json => match scope.whole_row(&mut self.dice) {
                Some(row) if self.dice.percent(30) => format!("jsonb_agg({row})"),
                _ => format!(
                    "jsonb_object_agg(coalesce({}, ''), {})",
                    self.atom(Ty::Text, scope),
                    self.atom(Ty::Int, scope)
                ),
            },
            Ty::Texts => format!(
                "array_agg({} ORDER BY {} DESC)",
                self.atom(Ty::Text, scope),
                self.atom(Ty::Int, scope)
            ),
            Ty::Date => format!("max({})", self.atom(Ty::Date, scope)),
            Ty::Mood => format!("min({})", self.atom(Ty::Mood, scope)),
            Ty::Xml => format!("xmlagg({})", self.atom(Ty::Xml, scope)),
            Ty::Address => return format!("(array_agg({}))[1]", self.atom(Ty::Address, scope)),
        };
        if self.dice.percent(15) {
            format!("{call} FILTER (WHERE {})", self.condition(scope, 3))
        } else {
            call
        }
    }

    /// Makes a window function's call of a type.
    pub(crate) fn window(&mut self, ty: Ty, scope: &Scope, named: Option<&str>) -> String {
        let call = match ty {
            Ty::Int => self.dice.word(&["row_number()", "rank()", "dense_rank()", "count(*)"]).to_owned(),
            Ty::Num if self.dice.percent(50) => format!("sum({})", self.atom(Ty::Num, scope)),
            _ => {
                let value = self.expression(ty, scope, 3);
                match self.dice.below(3) {
                    0 => format!("lag({value}, 1)"),
                    1 => format!("first_value({value})"),
                    _ => format!("last_value({value})"),
                }
            }
        };
        match named {
            Some(name) if self.dice.percent(60) => format!("{call} OVER {name}"),
            _ => format!("{call} OVER ({})", self.window_definition(scope)),
        }
    }

    pub(crate) fn window_definition(&mut self, scope: &Scope) -> String {
        let mut parts = Vec::new();
        if self.dice.percent(60) {
            parts.push(format!("PARTITION BY {}", self.expression(Ty::Text, scope, 3)));
        }
        parts.push(format!("ORDER BY {}", self.expression(Ty::Int, scope, 3)));
        if self.dice.percent(25) {
            parts.push("ROWS BETWEEN 1 PRECEDING AND CURRENT ROW".to_owned());
        } else if self.dice.percent(10) {
            parts.push("GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING EXCLUDE TIES".to_owned());
        }
        parts.join(" ")
    }
}
