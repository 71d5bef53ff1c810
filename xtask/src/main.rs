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
mod relay;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bench"] => bench::run(),
        ["bench", "shape"] => bench::run_shape(),
        ["relay", listen, upstream] => relay::run(listen, upstream),
        _ => {
            eprintln!("usage: cargo xtask bench          compare, and write docs/benchmarks.md");
            eprintln!("       cargo xtask bench shape    only what a known shape costs; writes its section");
            eprintln!("       cargo xtask relay FROM TO   copy bytes between two addresses (bench uses it)");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
