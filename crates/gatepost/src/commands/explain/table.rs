//! An explanation for people. Knows what is told, not how it was found.

use model::Identity;
use policy::Bundle;
use policy::explain::Parts;
use server::probe::told::{CheckedAs, Column, Destination, Function, Place, Relation, Source};
use server::probe::{Status, Told};

use crate::failure::Failure;
use crate::output::{Cell, Format, Out, Tone};

/// Who asks, and by which policy.
pub(super) struct About<'a> {
    pub(super) identity: &'a Identity,
    pub(super) bundle: &'a Bundle,
}

pub(super) fn print(out: &mut Out, about: &About<'_>, told: &Told) -> Result<(), Failure> {
    let About { identity, bundle } = about;
    let groups: Vec<&str> = identity.groups.iter().map(String::as_str).collect();
    let groups = if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") };
    let hash: String = hex(&bundle.hash()).chars().take(12).collect();
    let behalf = identity.on_behalf_of.as_ref().map_or_else(String::new, |it| format!(" on behalf of {it}"));
    say(out, &format!("{identity}{behalf} ({groups}) on database {}", bundle.database()))?;
    say(out, &format!("policy {} version {} ({hash})", bundle.name(), bundle.version()))?;
    let limits = bundle.limits(identity);
    if !limits.is_empty() {
        say(out, &format!("limits: {}", limits.lines().join(", ")))?;
    }
    if told.statements.is_empty() {
        return one(out, told);
    }
    for (number, statement) in (1..).zip(&told.statements) {
        out.line("")?;
        say(out, &format!("statement {number} of {}", told.statements.len()))?;
        one(out, statement)?;
    }
    out.line("")?;
    say(out, &format!("all of them: {}", summary(told)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a line of which names in a database may be a part.
fn say(out: &mut Out, text: &str) -> Result<(), Failure> {
    out.line(&audit::render::cell(text))
}

fn summary(told: &Told) -> String {
    match (&told.status, &told.error, &told.unknown, &told.decision) {
        (Status::Error, Some(error), ..) => {
            format!("PostgreSQL refuses: {} ({})", error.message, error.sqlstate)
        }
        (Status::Unknown, _, Some(unknown), _) => format!("refused, not understood: {}", unknown.reason),
        (_, _, _, Some(decision)) => decision.verdict.to_owned(),
        _ => "not decided".to_owned(),
    }
}

fn one(out: &mut Out, told: &Told) -> Result<(), Failure> {
    let kinds = if told.commands.is_empty() { "statement".to_owned() } else { told.commands.join(", ") };
    say(out, &format!("{kinds}: {}", summary(told)))?;
    let flags = flags(told);
    if told.status == Status::Understood && !flags.is_empty() {
        say(out, &format!("({})", flags.join("; ")))?;
    }
    relations(out, told)?;
    functions(out, told)?;
    others(out, told)?;
    outputs(out, told)?;
    decision(out, told)
}

fn flags(told: &Told) -> Vec<&'static str> {
    let flags = &told.flags;
    [
        (!flags.has_where, "no WHERE that reads the table"),
        (flags.row_locks, "locks rows"),
        (flags.modifies_in_cte, "WITH changes data"),
        (flags.further_results, "a rule adds results"),
        (flags.changes_names, "names may mean something else after it"),
        (flags.reads_only && !told.kinds.is_empty(), "only reads"),
    ]
    .into_iter()
    .filter(|(is, _)| *is)
    .map(|(_, words)| words)
    .collect()
}

fn relations(out: &mut Out, told: &Told) -> Result<(), Failure> {
    if told.relations.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::new();
    // What the statement itself names first.
    let mut sorted: Vec<&Relation> = told.relations.iter().collect();
    sorted.sort_by_key(|relation| !relation.named_in.contains(&Place::Statement));
    for relation in sorted {
        let name = match &relation.schema {
            Some(schema) => format!("{schema}.{}", relation.name),
            None => relation.name.clone(),
        };
        let kind = relation.kind.unwrap_or(if relation.exists { "other" } else { "does not exist" });
        rows.push(vec![
            Cell::toned(Tone::Heading, name),
            Cell::new(kind),
            Cell::new(relation.privileges.join(", ")),
            Cell::new(relation_notes(relation)),
        ]);
        for column in &relation.columns {
            rows.push(vec![
                Cell::new(format!("  {}", column.name)),
                Cell::new(column.ways.join(", ")),
                Cell::new(column.privileges.join(", ")),
                Cell::new(column_notes(column)),
            ]);
        }
    }
    out.line("")?;
    out.table(Format::Table, &["relation, column", "kind, use", "PostgreSQL checks", "notes"], &rows)
}

fn relation_notes(relation: &Relation) -> String {
    let mut notes: Vec<String> = Vec::new();
    if relation.checked_as == CheckedAs::Role {
        notes.push(format!("with the rights of {}", relation.role));
    }
    if !relation.views.is_empty() {
        notes.push(format!("in view {}", relation.views.join(", ")));
    }
    if relation.named_in.contains(&Place::Security) {
        notes.push("in a row-level-security policy".to_owned());
    }
    if !relation.named_for.is_empty() {
        notes.push(relation.named_for.join(", "));
    }
    if !relation.checked {
        notes.push("not checked now".to_owned());
    }
    if !relation.any_column.is_empty() {
        notes.push(format!("{} of any column is enough where none is named", relation.any_column.join(", ")));
    }
    for (is, words) in [
        (relation.whole_row, "as a whole row"),
        (relation.row_locks, "rows are locked"),
        (relation.row_security, "row-level security or a view's check applies"),
    ] {
        notes.extend(is.then(|| words.to_owned()));
    }
    if !relation.children.is_empty() {
        notes.push(format!("with {}", relation.children.join(", ")));
    }
    notes.join("; ")
}

fn column_notes(column: &Column) -> String {
    if column.sources.is_empty() { String::new() } else { format!("from {}", sources(&column.sources)) }
}

fn sources(sources: &[Source]) -> String {
    let one = |source: &Source| {
        let computed = if source.bare { "" } else { " (computed)" };
        format!("{}.{}{computed}", source.relation, source.column)
    };
    sources.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn functions(out: &mut Out, told: &Told) -> Result<(), Failure> {
    let is_plain = |function: &&Function| {
        function.class == "harmless" && !function.security_definer && function.dynamic == "no"
    };
    let plain: Vec<&str> = told.functions.iter().filter(is_plain).map(|it| it.name.as_str()).collect();
    let rows: Vec<Vec<Cell>> = told
        .functions
        .iter()
        .filter(|function| !is_plain(function))
        .map(|function| {
            let arguments = function.arguments.as_deref().unwrap_or("?");
            let tone = if function.class == "harmless" { Tone::Plain } else { Tone::Warning };
            vec![
                Cell::new(format!("{}.{}({arguments})", function.schema, function.name)),
                Cell::toned(tone, function.class),
                Cell::new(function_notes(function)),
            ]
        })
        .collect();
    if !rows.is_empty() {
        out.line("")?;
        out.table(Format::Table, &["function", "class", "notes"], &rows)?;
    }
    if !plain.is_empty() {
        out.line("")?;
        say(out, &format!("harmless functions: {}", plain.join(", ")))?;
    }
    Ok(())
}

fn function_notes(function: &Function) -> String {
    let mut notes = Vec::new();
    notes.extend(function.reason.map(str::to_owned));
    if function.security_definer {
        notes.push("SECURITY DEFINER: runs with its owner's rights".to_owned());
    }
    match function.dynamic {
        "yes" => notes.push("dynamic: runs SQL text".to_owned()),
        "unknown" => notes.push("whether it runs SQL text can't be told".to_owned()),
        _ => {}
    }
    notes.extend(function.language.as_ref().filter(|_| !function.builtin).map(|it| format!("in {it}")));
    if !function.views.is_empty() {
        notes.push(format!("called in view {}", function.views.join(", ")));
    }
    notes.join("; ")
}

/// Operators, types, sequences and objects.
fn others(out: &mut Out, told: &Told) -> Result<(), Failure> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for it in &told.operators {
        let what = format!("operator {}.{} ({})", it.schema, it.name, it.operands);
        rows.push(vec![Cell::new(what), Cell::new(format!("calls {}", it.function))]);
    }
    for it in &told.types {
        let uses = it.uses.join(", ").replace("input_output", "input and output");
        rows.push(vec![Cell::new(format!("{} {}", it.kind, it.name)), Cell::new(format!("its {uses} run"))]);
    }
    for it in &told.sequences {
        let what = format!("sequence {}.{}", it.schema, it.name);
        rows.push(vec![Cell::new(what), Cell::new("advanced by an identity column")]);
    }
    for it in &told.objects {
        let what = format!("{} {}", it.kind, it.name.as_deref().unwrap_or("(current)"));
        rows.push(vec![Cell::new(what), Cell::new(it.does)]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.table(Format::Table, &["also named", "for"], &rows)
}

fn outputs(out: &mut Out, told: &Told) -> Result<(), Failure> {
    let Some(to) = told.output_to.filter(|_| !told.output.is_empty()) else { return Ok(()) };
    let goes = match to {
        Destination::Client => "result column",
        Destination::Server => "column for a file or program of the server",
        Destination::Plan => "column of the plan (not returned)",
        Destination::Cursor => "column that FETCH returns",
        Destination::Prepared => "column that EXECUTE returns",
        Destination::Stored => "column that is stored",
        Destination::View => "column of the view",
    };
    let row = |output: &server::probe::told::Output| {
        vec![
            Cell::new(output.name.clone()),
            Cell::new(output.type_name.clone().unwrap_or_default()),
            Cell::new(if output.sources.is_empty() {
                "no column".to_owned()
            } else {
                sources(&output.sources)
            }),
            output.mask.map_or_else(|| Cell::new(""), |mask| Cell::toned(Tone::Warning, mask)),
        ]
    };
    let rows: Vec<_> = told.output.iter().map(row).collect();
    out.line("")?;
    out.table(Format::Table, &[goes, "type", "from", "mask"], &rows)
}

fn decision(out: &mut Out, told: &Told) -> Result<(), Failure> {
    let Some(decision) = &told.decision else { return Ok(()) };
    out.line("")?;
    let mut verdict = format!("verdict: {}", decision.verdict);
    for approver in &decision.approvers {
        verdict += &format!(", needs {approver}");
    }
    say(out, &verdict)?;
    for approver in &decision.approvers {
        say(out, &format!("  {}: {}", approver.name, approver.terms()))?;
    }
    if let Some(refusal) = &decision.refusal {
        say(out, &format!("  {}: {}", refusal.sqlstate, refusal.message))?;
        for text in [&refusal.detail, &refusal.hint].into_iter().flatten().filter(|text| !text.is_empty()) {
            say(out, &format!("  {text}"))?;
        }
    }
    if !decision.parts.is_empty() {
        out.line("")?;
        out.text(&Parts(&decision.parts).to_string())?;
    }
    Ok(())
}
