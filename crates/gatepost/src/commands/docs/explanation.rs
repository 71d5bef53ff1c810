//! The reference page on what `policy explain` prints as JSON: each member, its type, its meaning. A test holds answers against it.

/// Path, type, meaning. `[]` stands for each item of an array.
#[rustfmt::skip]
const MEMBERS: &[(&str, &str, &str)] = &[
    ("schema", "number", "the version of this shape: 1; it goes up when a member goes away or changes its meaning, not when one is added"),
    ("line", "number or null", "the line that is answered, from 1; null outside a batch"),
    ("id", "string, number or null", "as the line gave it; null if it gave none that can be used"),
    ("status", "string", "`understood`, `error`, `unknown` or `invalid`, see above"),
    ("reason", "string", "only of `invalid` lines, which have nothing else: what is wrong with the line"),
    ("unknown", "object or null", "why it is not known what the text touches"),
    ("unknown.code", "string", "`not_understood`: a tree or text that Gatepost can't read. `unsupported`: a kind of statement or option that doesn't pass. `too_large`: over a limit of the configuration. `reserved`: a name that Gatepost keeps for itself. `encoding`: the text can't be sent. `session`: EXECUTE, FETCH and the like, of which only a session knows what they run. `depends`: an earlier statement of the text may change what names mean. `timeout`, `server`, `connection`: the server gave no answer"),
    ("unknown.reason", "string", "the same in words"),
    ("error", "object or null", "PostgreSQL's own refusal, before the statement would run"),
    ("error.sqlstate", "string", "five characters"),
    ("error.message", "string", "as the server words it"),
    ("error.position", "number or null", "in characters of the text, from 1"),
    ("kinds", "array of string", "command tags, one for each statement; none of an empty text"),
    ("commands", "array of string", "every command in it, each once: the kinds, then those of queries that it carries (EXPLAIN, COPY, PREPARE, ...), of WITH and of rules: a write that looks like a read has one here"),
    ("relations", "array of object", "one for each relation, role whose privileges are checked, and `checked`"),
    ("relations[].schema", "string or null", "`pg_temp` for a session's own temporary schema; null if the statement names none and the relation doesn't exist"),
    ("relations[].name", "string", "as in the catalog, without quotes"),
    ("relations[].kind", "string or null", "`table`, `partitioned table`, `view`, `materialized view`, `foreign table`, `sequence`, `index`, `composite type`, `toast table`; null if it doesn't exist"),
    ("relations[].oid", "number or null", "`pg_class.oid`"),
    ("relations[].exists", "boolean", "utility statements may name what isn't there"),
    ("relations[].temporary", "boolean", "only one session sees it"),
    ("relations[].checked_as", "string", "`invoker`: the role that runs the statement. `role`: a role that the query tree names, such as a view's owner"),
    ("relations[].role", "string", "that role's name; for the invoker, the login's"),
    ("relations[].checked", "boolean", "whether PostgreSQL checks these privileges when this statement runs; not so for the query of PREPARE or CREATE VIEW, and for expressions that are kept"),
    ("relations[].named_in", "array of string", "`statement` (or a rule), `view`, `security` (a row-level-security policy)"),
    ("relations[].views", "array of string", "the views, `schema.name`, in whose definitions it is named"),
    ("relations[].named_for", "array of string", "what a utility statement does with it: `truncate`, `drop`, `lock access exclusive`, ..."),
    ("relations[].privileges", "array of string", "what PostgreSQL checks of the relation or of the columns below: `SELECT`, `INSERT`, `UPDATE`, `DELETE`; for utility statements also `TRUNCATE`, `REFERENCES`, `TRIGGER`, `MAINTAIN`, `OWNER`, `GRANT OPTION`, and `LOCK` (any of those that LOCK TABLE takes for the mode)"),
    ("relations[].any_column", "array of string", "those of the privileges that are checked somewhere without a column being named (`count(*)`, row locks): there the table's privilege or any one column's is enough"),
    ("relations[].whole_row", "boolean", "it is used as a whole row: `columns` has all of its columns"),
    ("relations[].inherited", "boolean", "children and partitions are read or written too; PostgreSQL checks no privileges of theirs"),
    ("relations[].children", "array of string", "those, at any depth"),
    ("relations[].row_locks", "boolean", "FOR UPDATE and its kin"),
    ("relations[].row_security", "boolean", "a row-level-security policy, or the check of a view that is written through, applies"),
    ("relations[].columns", "array of object", "the columns that are used, by number"),
    ("relations[].columns[].name", "string", "as in the catalog"),
    ("relations[].columns[].number", "number", "`pg_attribute.attnum`; negative for system columns"),
    ("relations[].columns[].ways", "array of string", "how Gatepost reads its use: `output` (the value reaches the result), `filter` (it chooses, joins, sorts or groups rows, or is computed with), `copy` (it is written elsewhere), `insert`, `update`, `security` (a row-level-security policy reads it), `idle` (named and used for nothing)"),
    ("relations[].columns[].privileges", "array of string", "what PostgreSQL checks of it, as its tree says: `SELECT`, `INSERT`, `UPDATE`, `REFERENCES`"),
    ("relations[].columns[].whole_row", "boolean", "it is used as a part of the whole row"),
    ("relations[].columns[].sources", "array of object", "of a view's column: what it is made of, in views below and in tables"),
    ("relations[].columns[].sources[].relation", "string", "`schema.name`"),
    ("relations[].columns[].sources[].column", "string", "`*` is the whole row"),
    ("relations[].columns[].sources[].role", "string", "whose privileges it is read with"),
    ("relations[].columns[].sources[].bare", "boolean", "the value is that column's, unchanged"),
    ("functions", "array of object", "functions, procedures and aggregates that are called, those of operators and casts included"),
    ("functions[].schema", "string", ""),
    ("functions[].name", "string", ""),
    ("functions[].arguments", "string or null", "types, with commas between; null if it has gone since"),
    ("functions[].oid", "number", "`pg_proc.oid`"),
    ("functions[].class", "string", "what calling it can do: `harmless`, `names`, `internal`, `changes`, `reveals`, `server`, `runs_text`, `unknown`; see the policy guide"),
    ("functions[].reason", "string or null", "why it is in that class; null if it is harmless"),
    ("functions[].builtin", "boolean", "it came with the server"),
    ("functions[].security_definer", "boolean", "it runs with its owner's rights"),
    ("functions[].dynamic", "string", "whether it runs SQL text that it is given or makes: `yes` (its class is `runs_text`, or its body says EXECUTE), `no`, `unknown` (its body can't be read). Functions that it calls are not followed"),
    ("functions[].language", "string or null", "`pg_language.lanname`"),
    ("functions[].volatility", "string", "`immutable`, `stable` or `volatile`"),
    ("functions[].named_in", "array of string", "as for relations"),
    ("functions[].views", "array of string", "as for relations; PostgreSQL checks EXECUTE of the role that runs the statement all the same"),
    ("operators", "array of object", "operators that somebody made and whose function the tree doesn't name: of sorting, grouping, row comparison"),
    ("operators[].schema", "string", ""),
    ("operators[].name", "string", ""),
    ("operators[].operands", "string", "types of its sides"),
    ("operators[].oid", "number", "`pg_operator.oid`"),
    ("operators[].function", "string", "the function that it calls"),
    ("operators[].named_in", "array of string", "as for relations"),
    ("operators[].views", "array of string", "as for relations"),
    ("types", "array of object", "types that somebody made and whose own behaviour runs"),
    ("types[].name", "string", "with its schema"),
    ("types[].oid", "number", "`pg_type.oid`"),
    ("types[].kind", "string", "`base`, `composite`, `domain`, `enum`, `pseudo`, `range`, `multirange`"),
    ("types[].uses", "array of string", "`constraints` (a domain's), `input_output` (a cast by way of text), `comparison` (GREATEST, LEAST)"),
    ("types[].named_in", "array of string", "as for relations"),
    ("types[].views", "array of string", "as for relations"),
    ("sequences", "array of object", "sequences that identity columns advance; one in `nextval('s')` is an argument"),
    ("sequences[].schema", "string", ""),
    ("sequences[].name", "string", ""),
    ("sequences[].oid", "number", "`pg_class.oid`"),
    ("objects", "array of object", "what else a utility statement names or makes"),
    ("objects[].kind", "string", "as SQL calls it: `schema`, `role`, `view`, `index`, ..."),
    ("objects[].name", "string or null", "as the statement gives it; null: the current one, or all"),
    ("objects[].does", "string", "`create`, `drop`, `alter`, `grant`, `own`, ..."),
    ("output_to", "string or null", "where the result goes: `client`, `server` (a file or program of the server), `plan` (EXPLAIN: nowhere), `cursor`, `prepared`, `stored` (a table or materialized view), `view`; null if there are no columns, or several statements"),
    ("output", "array of object", "columns of the result; of several statements, see `statements`"),
    ("output[].name", "string", "as the client is told"),
    ("output[].type", "string or null", "null where the tree doesn't say"),
    ("output[].sources", "array of object", "columns that the value depends on; one read through a view is here as the view's and as what that is made of"),
    ("output[].sources[].relation", "string", "`schema.name`"),
    ("output[].sources[].column", "string", "`*` is the whole row"),
    ("output[].sources[].role", "string", "whose privileges it is read with"),
    ("output[].sources[].bare", "boolean", "the value is that column's, unchanged"),
    ("output[].mask", "string or null", "how the identity sees its values"),
    ("flags", "object", "facts about all of it"),
    ("flags.has_where", "boolean", "false if an UPDATE, DELETE or MERGE has no condition that reads its table, and for TRUNCATE"),
    ("flags.row_locks", "boolean", "FOR UPDATE and its kin"),
    ("flags.modifies_in_cte", "boolean", "WITH holds an INSERT, UPDATE, DELETE or MERGE"),
    ("flags.has_limit", "boolean", "there is a LIMIT or OFFSET"),
    ("flags.reads_only", "boolean", "nothing is changed or locked, and no function is called that could"),
    ("flags.changes_names", "boolean", "names may mean something else afterwards"),
    ("flags.further_results", "boolean", "a rule adds results, which `output` doesn't have"),
    ("flags.parameters", "number", "the highest `$n`"),
    ("decision", "object or null", "what the policy says; null where PostgreSQL itself refuses"),
    ("decision.verdict", "string", "`allow`, `hold` or `deny`; masks are in `output` and in the parts"),
    ("decision.approvers", "array of object", "who must approve, all of them"),
    ("decision.approvers[].name", "string", "as rules name them"),
    ("decision.approvers[].group", "string", "whose members may, in words: `a or b`, `a and b`"),
    ("decision.approvers[].quorum", "number", "how many of them must; of `all`, of each"),
    ("decision.approvers[].hold_seconds", "number", "how long it waits for them, shortened by the rules that ask"),
    ("decision.approvers[].members", "any", "the groups: `any`, of which one is enough, or `all`"),
    ("decision.approvers[].in_transaction", "string", "`refuse` or `hold`, by the group or the rules that ask"),
    ("decision.approvers[].hold_in_transaction_seconds", "number", "how long it waits there"),
    ("decision.approvers[].reason", "boolean", "an approval must say why"),
    ("decision.approvers[].count_rows_seconds", "number or null", "how long counting the rows may take; null: they aren't counted"),
    ("decision.approvers[].break_glass", "string or null", "the group that may have it run at once"),
    ("decision.approvers[].use_within_seconds", "number", "how long an approval may be used where nobody waits for it"),
    ("decision.refusal", "object or null", "the error that a client would get"),
    ("decision.refusal.sqlstate", "string", ""),
    ("decision.refusal.message", "string", ""),
    ("decision.refusal.detail", "string or null", "which rules decided"),
    ("decision.refusal.hint", "string or null", "what would help"),
    ("decision.parts", "array of object", "one for each touch: an action and what it is done to"),
    ("decision.parts[].action", "string", "see the policy guide"),
    ("decision.parts[].resource_type", "string", "`Database`, `Schema`, `Relation`, `Column`, `Function`"),
    ("decision.parts[].resource", "string", "as rules write it, the database's name first"),
    ("decision.parts[].verdict", "string", "`allow`, `mask`, `hold`, `deny`"),
    ("decision.parts[].mask", "any", "how the column is masked, as in the bundle; null if it isn't"),
    ("decision.parts[].approvers", "array of string", "who must approve it"),
    ("decision.parts[].rules", "array of object", "the rules that decided"),
    ("decision.parts[].rules[].id", "string", "`@id`, or file and line"),
    ("decision.parts[].rules[].file", "string", "in the bundle; `gatepost` for the gateway's own"),
    ("decision.parts[].rules[].line", "number", "from 1"),
    ("decision.parts[].rules[].forbid", "boolean", "it forbids"),
    ("decision.parts[].rules[].terms", "any", "what its `@hold` and `@in_transaction` say: `hold_seconds`, `in_transaction`; absent where it says nothing"),
    ("decision.parts[].help", "any", "what would make it pass: objects with `help` and what that kind of help says"),
    ("statements", "array of object", "only of a text of several statements: for each what would be told of it alone, all but `schema`, `line` and `id`. What is above is then the union: statuses and verdicts the strongest"),
];

pub(super) fn page() -> String {
    let mut page = "\
# What `policy explain` prints as JSON

<!-- Printed by `gatepost docs-reference`; change `crates/gatepost/src/commands/docs/explanation.rs` instead. -->

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
    for (path, kind, meaning) in MEMBERS {
        page.push_str(&format!("| `{path}` | {kind} | {meaning} |\n"));
    }
    page
}
