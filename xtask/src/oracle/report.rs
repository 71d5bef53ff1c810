//! `docs/exactness.md`: figures, and what each class of disagreement is. Dated by servers and seed, not by machine.

use super::interference::Compared;
use super::judge::Tally;
use super::locks::Locked;

/// What became of one corpus on one server.
pub(crate) struct Line {
    pub(crate) corpus: String,
    pub(crate) release: String,
    /// Of what is generated.
    pub(crate) seed: Option<u64>,
    pub(crate) tally: Tally,
}

const HEAD: &str = "\
# Exactness

What Gatepost says that a query touches, against what PostgreSQL checks. Written by `make oracle`; run it to write it again.

PostgreSQL's verdict does not come from trees: two roles of a throwaway server, one that may read and write everything, one that
may do nothing, run `EXPLAIN` of each query, which checks privileges as the query itself would.

- Granted exactly what Gatepost names, the second role must be let through: else something is **under-reported**. What
  row-level-security policies read is among it: Gatepost reports it, though its own policy is not asked about it. Every
  column of every relation of the database, catalogs included, is protected at once, and INSERT, UPDATE, DELETE and EXECUTE as well.
- Granted everything but one of the things that Gatepost names, it must be refused (42501): else that one is over-reported.

| column | |
|---|---|
| queries | asked about |
| accepted | PostgreSQL accepts them of the role that may do everything; all else is about these |
| agreed | privileges that Gatepost names and PostgreSQL checks |
| untouched | columns that neither touches |
| dropped | named by Gatepost and by the server's own tree, but the planner removed what needs them before the check: counts as neither |
| inlined | queries of which more is checked only because the planner puts the body of an SQL function in place of its call. Gatepost names the function: whoever may execute it may do what it does |
| over | queries of which Gatepost names more |
| under | queries of which it names less |
| unknown | queries of which it can't say what they touch, and refuses |

";

const INTERFERENCE: &str = "\
## Non-interference

The stronger question, of lineage: generated queries are run twice, in the same state but for the values of all columns of their tables that
Gatepost says they don't depend on (those that they only name, `idle`, included; NULLs come and go). The whole answer must be the same
but for the order of its rows: columns, rows, errors.

| PostgreSQL | queries run | columns changed | of them idle | **answers that changed** |
|---|--:|--:|--:|--:|
";

const LOCKS: &str = "\
## Two locks

A policy allows everything but one column, for each column in turn that a query of the corpus touches. *Decided*: pairs of a query and such a column that
Gatepost's decision refuses, asked over a superuser's connection. *Denied*: the same pairs, refused with 42501 by PostgreSQL alone, with no gateway before
it, as a role that has just what `policy::grants` derives from the policy. *Dropped*: the planner removed what would be checked; the role holds nothing
on the column, as the server says itself. **Open**: what one of the locks let through. **Narrow**: what PostgreSQL refuses the role that has all
that a policy which allows everything is worth. Masked columns are granted, since the gateway must read them: for them there is one lock.

| corpus | PostgreSQL | queries | columns left out | decided | denied | dropped | **open** | **narrow** |
|---|---|--:|--:|--:|--:|--:|--:|--:|
";

const TAIL: &str = "\
Corpora: *Spider* is the development set of Spider (Yu et al. 2018, CC BY-SA 4.0), which is not part of this repository. *Analytics* is
`xtask/src/oracle/analytics/`. *Generated* is what `xtask/src/oracle/generate/` makes of the seed. *Regression SQL* is PostgreSQL's own suite, of
Debian's source package, replayed by psql; each statement is asked about before it runs, on its own connection and in its own transaction. *Other
statements* are its utility statements that the server carried out: what is counted is whether Gatepost understands them.

`make test` asks about a sample on every run and fails on the first under-report (`xtask/src/oracle/tests.rs`).
";

impl Line {
    /// Shows each finding with its query.
    pub(crate) fn show_findings(&self) {
        let tally = &self.tally;
        for (what, found) in [("UNDER", &tally.under), ("over", &tally.over), ("unknown", &tally.unknown)] {
            for (query, why) in found {
                eprintln!("{what}, {} on {}: {why}\n    {}", self.corpus, self.release, query.trim());
            }
        }
    }
}

/// Writes the report.
pub(crate) fn write(
    lines: &[Line],
    interfered: &[(String, Compared)],
    locked: &[(&str, String, Locked)],
) -> String {
    let mut text = HEAD.to_owned();
    text += "| corpus | PostgreSQL | queries | accepted | agreed | untouched | dropped | inlined | over | **under** | unknown | over + unknown |\n";
    text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for Line { corpus, release, seed, tally } in lines {
        let seed = seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        let share = percent(tally.over.len() + tally.unknown.len(), tally.accepted);
        text += &format!(
            "| {corpus}{seed} | {release} | {} | {} | {} | {} | {} | {} | {} | **{}** | {} | {share} |\n",
            tally.asked,
            tally.accepted,
            tally.agreed,
            tally.untouched,
            tally.dropped,
            tally.inlined,
            tally.over.len(),
            tally.under.len(),
            tally.unknown.len(),
        );
    }
    let sum = |of: fn(&Tally) -> usize| lines.iter().map(|line| of(&line.tally)).sum::<usize>();
    let (over, unknown, accepted) = (sum(|t| t.over.len()), sum(|t| t.unknown.len()), sum(|t| t.accepted));
    text += &format!(
        "\nIn all {accepted} accepted queries: {} under-reported, {over} over-reported, {unknown} unknown ({}).\n\n",
        sum(|t| t.under.len()),
        percent(over + unknown, accepted)
    );
    text += &classes(lines);
    text += &interference(interfered);
    text += &locks(locked);
    text += TAIL;
    text
}

fn interference(interfered: &[(String, Compared)]) -> String {
    if interfered.is_empty() {
        return String::new();
    }
    let mut text = INTERFERENCE.to_owned();
    for (release, compared) in interfered {
        text += &format!(
            "| {release} | {} | {} | {} | **{}** |\n",
            compared.queries,
            compared.columns,
            compared.idle,
            compared.changed.len()
        );
    }
    text + "\n"
}

fn locks(locked: &[(&str, String, Locked)]) -> String {
    if locked.is_empty() {
        return String::new();
    }
    let mut text = LOCKS.to_owned();
    for (corpus, release, Locked { queries, columns, decided, denied, dropped, open, narrow }) in locked {
        let (open, narrow) = (open.len(), narrow.len());
        text += &format!(
            "| {corpus} | {release} | {queries} | {columns} | {decided} | {denied} | {dropped} | **{open}** | **{narrow}** |\n"
        );
    }
    text + "\n"
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    // Hundredths, rounded up: what is there does not round to nothing.
    let hundredths = (part * 10_000).div_ceil(whole);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// Why each class is there: part of what is said, and what that means.
const MEANINGS: &[(&str, &str)] = &[
    (
        "is ambiguous",
        "a condition of CREATE TABLE ... INHERITS on a column that the parent has too: Gatepost's question about it names the column twice",
    ),
    (
        "does not exist",
        "CREATE TABLE whose partition key uses the row type of the table itself, which isn't there yet",
    ),
];

fn classes(lines: &[Line]) -> String {
    let mut rows = String::new();
    type Of = fn(&Tally) -> &[(String, String)];
    let kinds: [(&str, Of); 3] =
        [("under", |t| &t.under), ("over", |t| &t.over), ("unknown", |t| &t.unknown)];
    for (kind, of) in kinds {
        let found: Vec<_> = lines.iter().flat_map(|line| of(&line.tally).to_vec()).collect();
        for (why, count) in Tally::reasons(&found) {
            let meaning = MEANINGS.iter().find(|(part, _)| why.contains(part));
            let meaning = meaning.map_or("not explained yet", |(_, meaning)| meaning);
            rows += &format!("| {kind} | {} | {count} | {meaning} |\n", why.replace('|', "\\|"));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "What they are, with names and numbers left out:\n\n| | what is said | queries | why |\n|---|---|--:|---|\n{rows}\n"
    )
}
