//! The reference page on what `policy explain` prints as JSON.

pub(super) fn page() -> String {
    let mut page = "\
# What `policy explain` prints as JSON

<!-- Printed by `gatepost docs-reference`; change `crates/server/src/probe/members.rs` instead. -->

`gatepost policy explain --format json` prints one such object, `--batch` one on each line. How to use it is in
[the guide](../guide/explain.md).

## A line that asks

| member | type | meaning |
|---|---|---|
| id | string or number | given back with the answer |
| sql | string | the text: one statement or several |
| search_path | string, may be left out | what could follow `SET search_path TO`; without it, the login's own |

Any other member makes the line invalid. Blank lines are skipped, and have no answer.

## `status`

| status | meaning |
|---|---|
| `understood` | everything below is known and complete; `decision` says what the policy makes of it |
| `error` | PostgreSQL itself refuses the text before it would run, with `error`: a wrong name, a wrong type, a syntax error. Privileges are not among it: they are checked when a statement runs, and nothing runs |
| `unknown` | Gatepost can't say what it touches, for the reason in `unknown`, and would refuse it |
| `invalid` | the line asks nothing: `reason` says why. Only in a batch |

## Comparing with PostgreSQL's privileges

PostgreSQL checks privilege P of column C of relation R for role X if an item of `relations` is R with `role` X and `checked`, and its
column C has P in `privileges`. It checks DELETE, TRUNCATE and the like of the relation itself. For P in `any_column`, the table's privilege or
that of any one column is enough in addition. Roles that own the relation, superusers and members of such roles pass every check.
PostgreSQL also checks USAGE of schemas while it looks names up, and EXECUTE of functions.

`ways` is what Gatepost's policy decides by. It may name columns that PostgreSQL doesn't check.

## Members

| member | type | meaning |
|---|---|---|
"
    .to_owned();
    for (path, kind, meaning) in server::probe::MEMBERS {
        page.push_str(&format!("| `{path}` | {kind} | {meaning} |\n"));
    }
    page
}
