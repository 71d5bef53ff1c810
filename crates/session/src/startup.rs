//! Which of a client's run-time parameters reach the upstream. A short list; everything else is refused by name.

use wire::startup::{OptionsError, Startup, options};

use crate::mode::{Mode, PARAMETER};

/// Parameters that may be set when connecting, in lower case.
///
/// `client_encoding` must be one that leaves UTF-8 alone; the gateway reads statements as UTF-8.
const ALLOWED: &[&str] = &[
    "application_name",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "gatepost.approval",
    "geqo",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "options",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "work_mem",
];

/// Why a connection's parameters are refused: the client's fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParameterError {
    /// `replication` asks for another protocol.
    #[error("replication connections are not passed by Gatepost")]
    Replication,
    /// Not on the list.
    #[error("parameter \"{0}\" can't be set when connecting through Gatepost; allowed are: {list}", list = allowed())]
    NotAllowed(String),
    /// The parameter may be set, but not to that.
    #[error("parameter \"{name}\" can't be \"{value}\" through Gatepost: {why}")]
    Value {
        /// Which.
        name: String,
        /// What the client sent.
        value: String,
        /// What it could be.
        why: &'static str,
    },
    /// `options` isn't a list of settings.
    #[error("options: {0}")]
    Options(#[from] OptionsError),
    /// The same parameter in two places with two values.
    #[error("parameter \"{0}\" is given twice")]
    Twice(String),
}

fn allowed() -> String {
    ALLOWED.join(", ")
}

/// What a connection asks for, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// To be sent upstream, `user` and `database` not among them.
    pub upstream: Vec<(String, String)>,
    /// For audit and policy.
    pub application_name: Option<String>,
    /// What is to become of statements that must be approved.
    pub(crate) mode: Mode,
}

/// Reads the parameters of a StartupMessage, those inside `options` included.
///
/// # Errors
/// [`ParameterError`]: the client's fault.
pub fn parameters(startup: &Startup) -> Result<Parameters, ParameterError> {
    let mut read = Parameters::default();
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" => {}
            // PostgreSQL reads it as a boolean or "database" (backend_startup.c); false is no replication at all.
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => return Err(ParameterError::Replication),
            "options" => {
                for (name, value) in options(value)? {
                    add(&mut read, &name, &value)?;
                }
            }
            name => add(&mut read, name, value)?,
        }
    }
    Ok(read)
}

fn add(read: &mut Parameters, name: &str, value: &str) -> Result<(), ParameterError> {
    let lower = name.to_ascii_lowercase();
    if lower == "replication" {
        return Err(ParameterError::Replication);
    }
    if ALLOWED.binary_search(&lower.as_str()).is_err() || lower == "options" {
        return Err(ParameterError::NotAllowed(name.to_owned()));
    }
    let refuse = |why| Err(ParameterError::Value { name: name.to_owned(), value: value.to_owned(), why });
    let folded: String =
        value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match lower.as_str() {
        // The server isn't asked for another encoding: it stays at UTF8, and SQL_ASCII means "as it is".
        "client_encoding" if matches!(folded.as_str(), "utf8" | "unicode" | "sqlascii" | "auto") => {
            return Ok(());
        }
        "client_encoding" => return refuse("the gateway reads statements as UTF8"),
        "standard_conforming_strings" if matches!(folded.as_str(), "on" | "true" | "yes" | "1") => {
            return Ok(());
        }
        "standard_conforming_strings" => return refuse("it must stay on"),
        PARAMETER => match Mode::read(value) {
            Some(mode) => read.mode = mode,
            None => return refuse("it is wait or async"),
        },
        "application_name" => read.application_name = Some(value.to_owned()),
        _ => {}
    }
    // As PostgreSQL, the last of several in `options` would win; two values for one name are more likely an attempt
    // to have one read and the other used.
    if read.upstream.iter().any(|(known, _)| *known == lower) {
        return Err(ParameterError::Twice(name.to_owned()));
    }
    read.upstream.push((lower, value.to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use wire::startup::ProtocolVersion;

    use super::*;

    fn check(pairs: &[(&str, &str)], expected: Result<&[(&str, &str)], &str>) {
        let parameters = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let startup = Startup { version: ProtocolVersion::V3_0, parameters, protocol_parameters: Vec::new() };
        match (super::parameters(&startup), expected) {
            (Ok(read), Ok(expected)) => {
                let read: Vec<_> = read.upstream.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                assert_eq!(read, expected);
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, expected) => panic!("{pairs:?}: {read:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn only_listed_parameters_pass_and_options_are_read_like_the_rest() {
        assert!(ALLOWED.is_sorted());
        check(&[("user", "a"), ("TimeZone", "UTC")], Ok(&[("timezone", "UTC")]));
        check(
            &[("options", "-c search_path=a,b --lock_timeout=5s")],
            Ok(&[("search_path", "a,b"), ("lock_timeout", "5s")]),
        );
        check(&[("options", "-c role=postgres")], Err("\"role\" can't be set"));
        check(&[("options", "-c replication=1")], Err("replication"));
        check(&[("replication", "database")], Err("replication"));
        check(&[("replication", "false")], Ok(&[]));
        check(&[("client_encoding", "SJIS")], Err("UTF8"));
        check(&[("client_encoding", "'utf-8'")], Ok(&[]));
        check(&[("options", "-c standard_conforming_strings=off")], Err("must stay on"));
        check(&[("session_preload_libraries", "x")], Err("can't be set"));
        check(&[("work_mem", "1MB"), ("options", "-c work_mem=2MB")], Err("given twice"));
    }
}
