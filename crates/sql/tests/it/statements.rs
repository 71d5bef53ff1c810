//! `testdata/*.txt`: a text, `----`, and what is read from it. `BLESS=1` writes what is read.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use sql::{Ask, Columns, Effect, Sql, Statement};

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Texts and what is expected of them.
pub(crate) fn cases(file: &str) -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for block in file.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let (text, expected) = block.split_once("\n----").unwrap_or((block, ""));
        cases.push((text.to_owned(), expected.trim().to_owned()));
    }
    cases
}

/// All texts of the test data.
pub(crate) fn texts() -> Vec<String> {
    let files = files().into_iter().map(|path| fs::read_to_string(path).unwrap());
    files.flat_map(|file| cases(&file).into_iter().map(|(text, _)| text)).collect()
}

fn columns(columns: &Columns) -> String {
    match columns {
        Columns::All => String::new(),
        Columns::Named(names) => format!("({})", names.join(", ")),
    }
}

fn text(sql: &Sql, message: &str) -> String {
    match sql {
        Sql::Slice { blank: None, .. } => format!("slice {:?}", sql.bare(message)),
        Sql::Slice { blank: Some(_), .. } => format!("blanked {:?}", sql.bare(message)),
        Sql::Made(made) => format!("made {made:?}"),
    }
}

fn ask(ask: &Ask, message: &str) -> String {
    let missing = |ok: &bool| if *ok { " if exists" } else { "" };
    match ask {
        Ask::Query { sql, role, parameters } => {
            let parameters =
                if parameters.is_empty() { String::new() } else { format!(" with {parameters:?}") };
            format!("query {role:?}{parameters} {}", text(sql, message))
        }
        Ask::Expression { sql, role } => format!("expression {role:?} {}", text(sql, message)),
        Ask::Relation { name, columns: named, touch, missing_ok } => {
            format!("relation {name}{} {touch:?}{}", columns(named), missing(missing_ok))
        }
        Ask::New { kind, name, temporary, replace } => {
            let temporary = if *temporary { " temporary" } else { "" };
            let replace = if *replace { " or replace" } else { "" };
            format!("new {} {name}{temporary}{replace}", kind.name())
        }
        Ask::Schema { name, touch, missing_ok } => {
            format!("schema {} {touch:?}{}", name.as_deref().unwrap_or("(creation)"), missing(missing_ok))
        }
        Ask::Routine { name, kind, args, touch, missing_ok } => {
            let args = args.as_ref().map_or("(any)".to_owned(), |args| format!("({})", args.join(", ")));
            format!("routine {kind:?} {name}{args} {touch:?}{}", missing(missing_ok))
        }
        Ask::Type { sql, touch, missing_ok } => format!("type {sql} {touch:?}{}", missing(missing_ok)),
        Ask::Object { kind, name, touch, missing_ok } => {
            format!("{} {} {touch:?}{}", kind.name(), name.join("."), missing(missing_ok))
        }
        Ask::Database { name, touch } => {
            format!("database {} {touch:?}", name.as_deref().unwrap_or("(this)"))
        }
        Ask::Role { name, touch } => format!("role {name:?} {touch:?}"),
        Ask::Setting { name, touch } => format!("setting {} {touch:?}", name.as_deref().unwrap_or("(all)")),
        Ask::Unsupported(what) => format!("unsupported: {what}"),
    }
}

fn render(statement: &Statement, message: &str) -> String {
    let mut out = statement.command.tag().to_owned();
    if !statement.takes_snapshot {
        out.push_str(" (no snapshot)");
    }
    if statement.effect != Effect::None {
        write!(out, "\n  effect {:?}", statement.effect).unwrap();
    }
    for one in &statement.asks {
        write!(out, "\n  {}", ask(one, message)).unwrap();
    }
    for secret in &statement.secrets {
        write!(out, "\n  secret {}", &message[secret.clone()]).unwrap();
    }
    out
}

fn read(message: &str) -> String {
    match crate::parse(message) {
        Ok(statements) if statements.is_empty() => "(nothing)".to_owned(),
        Ok(statements) => {
            statements.iter().map(|statement| render(statement, message)).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("error {:?} at {:?}", error.message, error.position),
    }
}

#[test]
fn statements_are_read_as_the_files_say() {
    crate::on_large_stack(|| {
        let bless = std::env::var_os("BLESS").is_some();
        let mut wrong = Vec::new();
        for path in files() {
            let file = fs::read_to_string(&path).unwrap();
            let mut blessed = String::new();
            for (text, expected) in cases(&file) {
                let found = read(&text);
                if found != expected {
                    wrong.push(format!("{text}\n---- expected\n{expected}\n---- found\n{found}\n"));
                }
                write!(blessed, "{text}\n----\n{found}\n\n").unwrap();
            }
            if bless {
                fs::write(&path, blessed.trim_end().to_owned() + "\n").unwrap();
            }
        }
        assert!(bless || wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    });
}
