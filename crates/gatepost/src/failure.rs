//! How a command ends, and how that is told. Knows no command.

use std::error::Error;
use std::process::ExitCode;

use crate::logging;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Exit status 0.
    Success,
    /// Exit status 1: what was checked is not in order, and the command has said so.
    CheckFailed,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit: u8,
}

impl Failure {
    /// Exit status 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 1 }
    }

    /// Exit status 2: the arguments make no sense together.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 2 }
    }

    /// Exit status 1, with an error and all of its causes.
    pub(crate) fn caused(doing: &str, error: impl Error) -> Self {
        Self::new(format!("{doing}: {}", chain(&error)))
    }

    /// Exit status 1, with an error and all of its causes.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        Self::new(chain(error))
    }

    /// Says it on standard error, as a line of the log where that is read by machines.
    #[expect(clippy::print_stderr, reason = "errors belong there, and are never data")]
    pub(crate) fn report(&self) {
        if logging::is_json() {
            return tracing::error!(reason = self.message, "gatepost can't go on");
        }
        eprintln!("gatepost: {}", self.message);
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }
}

/// Writes an error and its causes, each once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
