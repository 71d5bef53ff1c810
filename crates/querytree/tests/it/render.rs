//! An `Access` as text with names, one line for each thing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Oid;
use querytree::{Access, Origin, Output, Relation, Rights, Source, Ways};

use crate::corpus::Corpus;

/// Renders everything that is not as it is for `SELECT 1`.
pub(crate) fn access(access: &Access, names: &Corpus) -> String {
    let Access {
        command,
        commands,
        relations,
        functions,
        operators,
        casts_via_io,
        domains,
        compared_types,
        sequences,
        output,
        side_outputs,
        view_columns,
        has_where,
        notifies,
        row_locks,
        modifies_in_cte,
        has_sublinks,
        has_limit,
        parameters,
        parameter_types,
        current_of,
        reg_constants,
    } = access;
    assert!(
        matches!(*command, querytree::Command::Nothing | querytree::Command::Utility)
            || commands.contains(command)
    );
    let mut text = format!("{command:?}").to_lowercase();
    for (flag, is_set) in [
        ("whole", !has_where),
        ("notifies", *notifies),
        ("locks", *row_locks),
        ("modifies in with", *modifies_in_cte),
        ("sublinks", *has_sublinks),
        ("limit", *has_limit),
    ] {
        if is_set {
            write!(text, "; {flag}").unwrap();
        }
    }
    assert!(parameter_types.iter().all(|(number, oid)| number <= parameters && oid.0 != 0));
    if *parameters > 0 {
        write!(text, "; {parameters} parameters").unwrap();
    }
    text.push('\n');
    for relation in relations {
        text += &relation_line(relation, names);
    }
    for output in output {
        text += &output_line("output", output, names);
    }
    for (number, outputs) in side_outputs.iter().enumerate() {
        for output in outputs {
            text += &output_line(&format!("side output {number}"), output, names);
        }
    }
    let mut views: Vec<_> = view_columns.iter().collect();
    views.sort_by_key(|((view, column), _)| (names.name("relation", view), *column));
    for ((view, column), sources) in views {
        writeln!(text, "view {}{}", column_name(*view, *column, names), sources_text(sources, names))
            .unwrap();
    }
    text += &uses("function", "function", functions, names);
    text += &uses("operator", "operator", operators, names);
    text += &uses("via io", "type", casts_via_io, names);
    text += &uses("domain", "type", domains, names);
    text += &uses("compares", "type", compared_types, names);
    for sequence in sequences {
        writeln!(text, "sequence {}", names.name("sequence", sequence)).unwrap();
    }
    for cursor in current_of {
        writeln!(text, "current of {cursor:?}").unwrap();
    }
    for (of, value) in reg_constants {
        // The value is another in every cluster.
        writeln!(
            text,
            "reg {} {}",
            names.name("type", of),
            if value.is_some() { "known" } else { "unknown" }
        )
        .unwrap();
    }
    text
}

fn rights_text(rights: Rights, names: &Corpus) -> String {
    match rights {
        Rights::Invoker => String::new(),
        Rights::AsUser(user) => format!(" as {}", names.name("role", user)),
    }
}

fn relation_line(relation: &Relation, names: &Corpus) -> String {
    let Relation {
        oid,
        relkind,
        rights,
        origin,
        select,
        insert,
        update,
        delete,
        locked,
        columns,
        selected,
        unnamed: _,
        inherited,
        security_quals,
    } = relation;
    let read = Ways::OUTPUT | Ways::FILTER | Ways::COPY | Ways::IDLE | Ways::SECURITY;
    let is_told = |column: &i16| columns.get(column).is_some_and(|ways| ways.intersects(read));
    assert!(
        selected.iter().all(is_told),
        "PostgreSQL checks a column that is not said to be read: {relation:?}"
    );
    let mut text =
        format!("{} {}{}:", char::from(*relkind), names.name("relation", oid), rights_text(*rights, names));
    for (word, is_set) in [
        ("select", select),
        ("insert", insert),
        ("update", update),
        ("delete", delete),
        ("locked", locked),
        ("inherited", inherited),
        ("secured", security_quals),
    ] {
        if *is_set {
            write!(text, " {word}").unwrap();
        }
    }
    for (column, ways) in columns {
        write!(text, "; {}={ways}", only_column(*oid, *column, names)).unwrap();
    }
    text + &origin_text(origin, names) + "\n"
}

fn origin_text(origin: &Origin, names: &Corpus) -> String {
    let Origin { statement, views, security } = origin;
    let mut text = if *statement { String::new() } else { " not in statement".to_owned() };
    for view in views {
        text += &format!(" in {}", names.name("relation", view));
    }
    if *security {
        text += " in security";
    }
    text
}

fn output_line(what: &str, output: &Output, names: &Corpus) -> String {
    let Output { name, type_oid, typmod, sources } = output;
    let typmod = if *typmod == -1 { String::new() } else { format!("/{typmod}") };
    let of = if type_oid.0 == 0 { "?".to_owned() } else { names.name("type", type_oid) };
    format!("{what} {name:?} {of}{typmod}{}\n", sources_text(sources, names))
}

fn sources_text(sources: &[Source], names: &Corpus) -> String {
    let mut text = String::new();
    let mut sources: Vec<_> = sources.iter().collect();
    sources.sort_by_key(|source| (names.name("relation", source.relation), source.column, source.rights));
    for source in sources {
        let Source { relation, column, rights, bare } = source;
        let bare = if *bare { "" } else { "~" };
        write!(text, " <- {bare}{}{}", column_name(*relation, *column, names), rights_text(*rights, names))
            .unwrap();
    }
    text
}

fn column_name(relation: Oid, column: i16, names: &Corpus) -> String {
    format!("{}.{}", names.name("relation", relation), only_column(relation, column, names))
}

fn only_column(relation: Oid, column: i16, names: &Corpus) -> String {
    match column {
        0 => "*".to_owned(),
        _ => names.name("column", format!("{relation} {column}")),
    }
}

fn uses(what: &str, kind: &str, uses: &BTreeMap<Oid, Origin>, names: &Corpus) -> String {
    let mut lines: Vec<_> = uses
        .iter()
        .map(|(oid, origin)| format!("{what} {}{}\n", names.name(kind, oid), origin_text(origin, names)))
        .collect();
    lines.sort();
    lines.concat()
}
