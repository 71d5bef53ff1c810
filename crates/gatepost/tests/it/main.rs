//! The binary from outside: exit status, standard output and standard error.

#[cfg(test)]
mod audit_trail;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod support;
