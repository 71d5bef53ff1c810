//! One query, asked of both: what agrees, and what doesn't.

use std::collections::{BTreeMap, BTreeSet};

use model::{Oid, QualifiedName};
use serde_json::Value;

use super::claims::{Claim, Claims, Pick};
use super::server::{Named, Said, Server, literal, named_by_trees};

/// What became of one query.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// PostgreSQL does not accept it, whoever asks.
    Refused(String),
    /// PostgreSQL accepts it, Gatepost can't say what it touches.
    Unknown(String),
    /// Both have something to say.
    Compared(Compared),
}

/// What both say of one query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compared {
    /// Privileges that Gatepost names and PostgreSQL checks.
    pub(crate) agreed: usize,
    /// Named by Gatepost and by the server's own tree, but not checked: the planner has dropped what needs them.
    pub(crate) dropped: usize,
    /// Named by Gatepost alone.
    pub(crate) over: Vec<String>,
    /// Checked by PostgreSQL, and not named by Gatepost.
    pub(crate) under: Vec<String>,
    /// Checked by PostgreSQL only because the planner has put the body of a function in the place of its call.
    pub(crate) inlined: bool,
    pub(crate) claims: Claims,
}

/// How a query is asked about: what is run before each question, what after it, and whether functions are protected too.
pub(crate) struct Setting<'a> {
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
    pub(crate) functions: bool,
}

enum Try {
    /// Just what is claimed.
    Enough,
    /// All but one.
    Without(Claim),
    WithoutFunction(QualifiedName),
}

/// Gatepost asks as somebody who may read the catalog, and to whom row-level security applies.
const AS_READER: &str = "SELECT gatepost_oracle.open_schemas(); SET LOCAL ROLE gatepost_oracle_all";
const ACCEPTED: &str = "GPOK0";
const DENIED: &str = "42501";

/// Asks Gatepost about a text and PostgreSQL about the query in it; the same, unless it is a utility statement.
pub(crate) fn judge(server: &mut Server, text: &str, query: &str, setting: &Setting<'_>) -> Outcome {
    server.raw.query(&format!("{}; {AS_READER}", setting.before));
    let said = server.examine(text);
    // The examination may have left the transaction aborted.
    server.raw.query(&format!("{}; {}", setting.after, setting.before));
    let outcome = match said {
        Said::Unknown(why) => match server.ask(query, &[]) {
            Ok(answers) if answers.concat().starts_with(ACCEPTED) => Outcome::Unknown(why),
            Ok(answers) => Outcome::Refused(answers.concat()),
            Err(why) => Outcome::Refused(why),
        },
        Said::Claims(mut claims, trees) => {
            server.add_security(&mut claims, &trees);
            compare(server, query, *claims, &trees, setting.functions)
        }
    };
    server.raw.query(setting.after);
    outcome
}

/// Asks Gatepost alone; returns why it does not understand.
pub(crate) fn examine_only(server: &mut Server, text: &str, setting: &Setting<'_>) -> Option<String> {
    server.raw.query(&format!("{}; {AS_READER}", setting.before));
    let said = server.examine(text);
    server.raw.query(setting.after);
    match said {
        Said::Claims(..) => None,
        Said::Unknown(why) => Some(why),
    }
}

fn compare(server: &mut Server, query: &str, claims: Claims, trees: &[String], functions: bool) -> Outcome {
    let mut tries = vec![(Try::Enough, claims.just_enough(Pick::First))];
    if claims.privileges.iter().any(|claim| claim.column.is_none()) {
        tries.push((Try::Enough, claims.just_enough(Pick::Last)));
    }
    for claim in &claims.privileges {
        tries.push((Try::Without(claim.clone()), claims.all_but(claim)));
    }
    for function in claims.functions.iter().filter(|name| functions && name.schema != "pg_catalog") {
        let mut without = claims.clone();
        without.functions.remove(function);
        tries.push((Try::WithoutFunction(function.clone()), without.just_enough(Pick::First)));
    }
    let grants: Vec<Value> = tries.iter().map(|(_, grants)| grants.clone()).collect();
    let answers = match server.ask(query, &grants) {
        Ok(answers) => answers,
        Err(why) => return Outcome::Refused(why),
    };
    let Some((first, answers)) = answers.split_first().filter(|(first, _)| first.starts_with(ACCEPTED))
    else {
        return Outcome::Refused(answers.concat());
    };
    assert_eq!(answers.len(), tries.len(), "{first} {query}");
    let mut compared = Compared::default();
    let (mut not_checked, mut not_run) = (Vec::new(), Vec::new());
    for ((attempt, _), answer) in tries.iter().zip(answers) {
        let accepted = answer.starts_with(ACCEPTED);
        match attempt {
            Try::Enough if accepted => {}
            Try::Enough => compared.under.push(answer.clone()),
            Try::Without(claim) if accepted => not_checked.push(claim.clone()),
            Try::WithoutFunction(name) if accepted => not_run.push(name),
            Try::Without(_) | Try::WithoutFunction(_) if answer.starts_with(DENIED) => compared.agreed += 1,
            // Another error came first: nothing can be said.
            Try::Without(_) | Try::WithoutFunction(_) => compared.dropped += 1,
        }
    }
    if !compared.under.is_empty() && !functions {
        // Once more with functions that are called, not inlined.
        let grants: Vec<Value> =
            [Pick::First, Pick::Last].map(|pick| opaque(claims.just_enough(pick))).into();
        let answers = server.ask(query, &grants).unwrap_or_default();
        if answers.len() == 3 && answers.iter().all(|answer| answer.starts_with(ACCEPTED)) {
            compared.under.clear();
            compared.inlined = true;
        }
    }
    if !compared.under.is_empty() {
        compared.under.extend(missed(server, query, &claims));
    }
    if !(not_checked.is_empty() && not_run.is_empty()) {
        let named = named_by_trees(trees);
        for claim in not_checked {
            if names(server, &named, &claim) {
                compared.dropped += 1;
            } else {
                compared.over.push(describe(&claim, &claims));
            }
        }
        for function in not_run {
            if names_function(server, &named, function) {
                compared.dropped += 1;
            } else {
                compared.over.push(format!("EXECUTE on function {function}"));
            }
        }
    }
    compared.claims = claims;
    Outcome::Compared(compared)
}

fn opaque(grants: Value) -> Value {
    let mut items = grants.as_array().cloned().unwrap_or_default();
    items.push(serde_json::json!({ "opaque": true }));
    Value::from(items)
}

/// Finds which columns of the relations named are checked and not claimed.
fn missed(server: &mut Server, query: &str, claims: &Claims) -> Vec<String> {
    let mut found = Vec::new();
    let relations: BTreeSet<&QualifiedName> = claims.privileges.iter().map(|claim| &claim.relation).collect();
    for relation in relations {
        let name = model::quote_identifier(&relation.schema) + "." + &model::quote_identifier(&relation.name);
        let columns = server.raw.rows(&format!(
            "SELECT a.attname FROM pg_catalog.pg_attribute a WHERE NOT a.attisdropped \
             AND a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})",
            literal(&name)
        ));
        let mut everything = claims.clone();
        everything.privileges.extend("rawd".chars().map(|privilege| Claim {
            relation: relation.clone(),
            column: None,
            privilege,
        }));
        let candidates = columns.lines().flat_map(|column| {
            "raw".chars().map(|privilege| Claim {
                relation: relation.clone(),
                column: Some(column.to_owned()),
                privilege,
            })
        });
        let candidates: Vec<Claim> = candidates.filter(|claim| !claims.privileges.contains(claim)).collect();
        let tries: Vec<Value> = candidates.iter().map(|claim| everything.all_but(claim)).collect();
        let answers = server.ask(query, &tries).unwrap_or_default();
        let denied =
            candidates.iter().zip(answers.iter().skip(1)).filter(|(_, answer)| answer.starts_with(DENIED));
        let denied: Vec<String> = denied.map(|(claim, _)| describe(claim, claims)).collect();
        // If none may be lacking, it is another relation's.
        if denied.len() < candidates.len() {
            found.extend(denied);
        }
    }
    found
}

fn names(server: &mut Server, named: &Named, claim: &Claim) -> bool {
    let relation = model::quote_identifier(&claim.relation.schema)
        + "."
        + &model::quote_identifier(&claim.relation.name);
    let found = server.raw.rows(&format!(
        "SELECT c.oid, coalesce(a.attnum, 0) FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_attribute a \
         ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) {} \
         WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})",
        literal(claim.column.as_deref().unwrap_or_default()),
        literal(&relation),
    ));
    let Some((oid, number)) = found.split_once('|') else { return false };
    let (oid, number) = (Oid(oid.parse().expect("an OID")), number.parse::<i16>().expect("a number"));
    if claim.column.is_none() {
        return named.relations.contains(&(oid, claim.privilege));
    }
    named.columns.contains(&(oid, number, claim.privilege))
        || (number > 0 && named.columns.contains(&(oid, 0, claim.privilege)))
}

fn names_function(server: &mut Server, named: &Named, function: &QualifiedName) -> bool {
    let found = server.raw.rows(&format!(
        "SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.proname OPERATOR(pg_catalog.=) {}",
        literal(&function.name),
    ));
    found.lines().any(|oid| named.functions.contains(&Oid(oid.parse().expect("an OID"))))
}

fn describe(claim: &Claim, claims: &Claims) -> String {
    let privilege = match claim.privilege {
        'r' => "SELECT",
        'a' => "INSERT",
        'w' => "UPDATE",
        _ => "DELETE",
    };
    match &claim.column {
        None => format!("{privilege} on {}", claim.relation),
        Some(column) => {
            let ways = claims.ways.get(&(claim.relation.clone(), column.clone()));
            let ways =
                ways.map(|ways| ways.iter().copied().collect::<Vec<_>>().join(",")).unwrap_or_default();
            format!("{privilege} on {}.{column} ({ways})", claim.relation)
        }
    }
}

/// Everything that became of a corpus on one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Queries asked about.
    pub(crate) asked: usize,
    /// Queries that PostgreSQL does not accept, and its reason.
    pub(crate) refused: Vec<(String, String)>,
    /// Queries that PostgreSQL accepts.
    pub(crate) accepted: usize,
    /// Privileges that were agreed to be needed.
    pub(crate) agreed: usize,
    /// Privileges that were agreed not to be needed: those on all columns of the corpus's relations but the ones named.
    pub(crate) untouched: usize,
    pub(crate) dropped: usize,
    /// Queries of which PostgreSQL checks more because it inlines functions.
    pub(crate) inlined: usize,
    /// Queries, with what was over-reported.
    pub(crate) over: Vec<(String, String)>,
    pub(crate) under: Vec<(String, String)>,
    pub(crate) unknown: Vec<(String, String)>,
}

impl Tally {
    /// Adds what became of a query; `protected` is how many columns there are to be touched.
    pub(crate) fn add(&mut self, query: &str, outcome: &Outcome, protected: usize) {
        self.asked += 1;
        match outcome {
            Outcome::Refused(why) => self.refused.push((query.to_owned(), why.clone())),
            Outcome::Unknown(why) => {
                self.accepted += 1;
                self.unknown.push((query.to_owned(), why.clone()));
            }
            Outcome::Compared(compared) => {
                self.accepted += 1;
                self.agreed += compared.agreed;
                self.dropped += compared.dropped;
                self.inlined += usize::from(compared.inlined);
                self.untouched += protected.saturating_sub(compared.claims.ways.len());
                if !compared.over.is_empty() {
                    self.over.push((query.to_owned(), compared.over.join("; ")));
                }
                if !compared.under.is_empty() {
                    self.under.push((query.to_owned(), compared.under.join("; ")));
                }
            }
        }
    }

    /// Returns why queries are unknown, and how many for each reason, most frequent first.
    pub(crate) fn reasons(of: &[(String, String)]) -> Vec<(String, usize)> {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for (_, why) in of {
            *reasons.entry(without_names(why)).or_default() += 1;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(why, count)| (std::cmp::Reverse(*count), why.clone()));
        reasons
    }
}

/// Drops what differs from query to query: numbers, and names after a dot.
fn without_names(why: &str) -> String {
    let mut kept = String::new();
    for word in why.split(' ') {
        let dull = word.contains('.') || word.chars().any(|c| c.is_ascii_digit());
        kept.push_str(if dull { "*" } else { word });
        kept.push(' ');
    }
    kept.trim_end().to_owned()
}
