//! `gatepost docs-reference`: the reference pages, printed from what the program itself obeys.

mod explanation;

use std::fs;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};

use crate::args::Cli;
use crate::failure::{Failure, Status};

pub(crate) fn run(dir: &Path) -> Result<Status, Failure> {
    for (name, page) in pages() {
        let path = dir.join(name);
        fs::write(&path, page)
            .map_err(|error| Failure::caused(&format!("can't write \"{}\"", path.display()), error))?;
    }
    Ok(Status::Success)
}

/// Returns each page with its file's name.
pub(crate) fn pages() -> [(&'static str, String); 5] {
    [
        ("configuration.md", config::reference()),
        ("cli.md", command_line()),
        ("explain.md", explanation::page()),
        ("ocsf.md", ocsf::reference()),
        ("openapi.json", format!("{:#}\n", console::describe())),
    ]
}

fn command_line() -> String {
    let mut page = "\
# Command line

<!-- Printed by `gatepost docs-reference`; change `crates/gatepost/src/args.rs` instead. -->

Exit status: 0 success, 1 a failed check or other failure, 2 wrong usage. Data goes to standard output, everything else
to standard error. Colour is used on a terminal only, and not where `NO_COLOR` is set.

Commands find the configuration by `-c FILE`, then `GATEPOST_CONFIG`, then `./gatepost.toml`.
"
    .to_owned();
    let mut root = Cli::command();
    root.build();
    write_commands(&root, &mut Vec::new(), &mut page);
    page
}

fn write_commands(command: &Command, path: &mut Vec<String>, page: &mut String) {
    path.push(command.get_name().to_owned());
    if command.has_subcommands() {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            write_commands(below, path, page);
        }
    } else {
        write_command(command, &path.join(" "), page);
    }
    path.pop();
}

fn write_command(command: &Command, name: &str, page: &mut String) {
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    let places: Vec<_> = own
        .iter()
        .filter(|arg| arg.is_positional())
        .map(|arg| {
            let more =
                if arg.get_num_args().is_some_and(|range| range.max_values() > 1) { "..." } else { "" };
            if arg.is_required_set() {
                format!(" {}{more}", value(arg))
            } else {
                format!(" [{}{more}]", value(arg))
            }
        })
        .collect();
    page.push_str(&format!("\n## gatepost {}{}\n\n", name.trim_start_matches("gatepost "), places.concat()));
    page.push_str(&format!("{}.\n", sentence(command.get_about().map(ToString::to_string))));
    if own.is_empty() {
        return;
    }
    page.push_str("\n| argument | meaning | default |\n|---|---|---|\n");
    for arg in own {
        let help = sentence(arg.get_help().map(ToString::to_string)).replace('|', "\\|");
        let (help, stated) = match help.split_once(" [default: ") {
            Some((help, stated)) => (help.to_owned(), Some(stated.trim_end_matches(']').to_owned())),
            None => (help, None),
        };
        let written: Vec<_> =
            arg.get_default_values().iter().map(|it| format!("`{}`", it.to_string_lossy())).collect();
        let flag = !arg.get_action().takes_values();
        let default = stated.unwrap_or_else(|| if flag { "off".to_owned() } else { written.join(", ") });
        let default =
            if default.is_empty() && arg.is_required_set() { "required".to_owned() } else { default };
        page.push_str(&format!("| `{}` | {help} | {default} |\n", shown(arg)));
    }
}

fn shown(arg: &Arg) -> String {
    let mut names: Vec<String> = Vec::new();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let value = if values.is_empty() { value(arg) } else { values.join("\\|") };
    match names.is_empty() {
        true => value,
        false if arg.get_action().takes_values() => format!("{} {value}", names.join(", ")),
        false => names.join(", "),
    }
}

fn value(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn sentence(text: Option<String>) -> String {
    text.unwrap_or_default().replace('\n', " ").trim_end_matches('.').to_owned()
}
