//! The binary from outside: exit status, standard output and standard error.

mod cli;
mod reference;
mod support;
