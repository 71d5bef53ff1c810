//! Chores of the repository: `cargo xtask bench` compares Gatepost with what else could stand in its place.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore that can't be done has nothing better to do than panic"
)]

mod bench;
mod functions;
mod oracle;
mod regress;
mod relay;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bench"] => bench::run(),
        ["bench", "shape"] => bench::run_shape(),
        ["bench", "catalog"] => bench::run_catalog(),
        ["bench", "index"] => bench::run_index(),
        ["bench", "logins"] => bench::run_logins(),
        ["functions", "--check", ref addresses @ ..] => {
            if !functions::run(&functions::Errand::Check, addresses) {
                return ExitCode::FAILURE;
            }
        }
        ["functions", "--update", ref addresses @ ..] => {
            functions::run(&functions::Errand::Update, addresses);
        }
        ["oracle", ref arguments @ ..] => return oracle::run(arguments),
        ["regress", ref arguments @ ..] if !arguments.is_empty() => regress::run(arguments),
        ["relay", listen, upstream] => relay::run(listen, upstream),
        _ => {
            eprintln!("usage: cargo xtask bench          compare, and write docs/benchmarks.md");
            eprintln!("       cargo xtask bench shape    only what a known shape costs; writes its section");
            eprintln!(
                "       cargo xtask bench catalog  only what a large catalog costs; writes its section"
            );
            eprintln!("       cargo xtask bench logins   only what a login costs; writes its section");
            eprintln!("       cargo xtask functions --check|--update [ADDRESS..]");
            eprintln!(
                "                                   compare the reviewed functions with servers, and with those at the addresses"
            );
            eprintln!(
                "       cargo xtask oracle ...     compare with what PostgreSQL checks, and write docs/exactness.md"
            );
            eprintln!("       cargo xtask regress [--control] [--version N] SUITE [FILE...]");
            eprintln!(
                "                                   run PostgreSQL's src/test/regress directly and through Gatepost"
            );
            eprintln!("       cargo xtask relay FROM TO   copy bytes between two addresses (bench uses it)");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
