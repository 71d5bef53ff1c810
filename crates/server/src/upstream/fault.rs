//! What can go wrong with a login, in words for operators; nothing of it is for clients but [`LoginError::neutral`].

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use wire::error::ErrorFields;
use wire::frame::FrameError;
use wire::scram::{ChooseError, ScramError};
use wire::sqlstate::SqlState;
use wire::startup::ProtocolVersion;
use wire::{EncodeError, MessageError};

use super::Target;
use crate::tls;

/// Characters of a server's text that are kept.
const TEXT_CHARS_MAX: usize = 500;

/// Why there is no login.
///
/// `Display` names the server and what happened, for logs and audit; the cause is `source()`. User and password are
/// nowhere in it.
#[derive(Debug)]
pub struct LoginError {
    target: String,
    pub(super) fault: LoginFault,
}

impl LoginError {
    /// `secrets` are taken out of what the server said: a PostgreSQL names the user, and a hostile server could repeat a
    /// password.
    pub(crate) fn new(target: &Target, mut fault: LoginFault, secrets: [&str; 2]) -> Self {
        let [user, password] = secrets;
        match &mut fault {
            LoginFault::Refused { message: text, .. }
            | LoginFault::Encoding(text)
            | LoginFault::Version(text) => {
                // SECURITY: before anything is cut or replaced, which could leave part of a secret unknown; and the
                // password first, since the user's name may be part of it.
                *text = printable(&without_word(&without(text, password), user));
            }
            _ => {}
        }
        Self { target: target.to_string(), fault }
    }

    /// Returns what went wrong.
    pub fn fault(&self) -> &LoginFault {
        &self.fault
    }

    /// Returns the server's own SQLSTATE, if it refused the login and gave one.
    pub fn sqlstate(&self) -> Option<SqlState> {
        match &self.fault {
            LoginFault::Refused { sqlstate, .. } => *sqlstate,
            _ => None,
        }
    }

    /// Returns the whole chain of causes in one line, and how to mend it where that is known; for operators.
    pub fn reason(&self) -> String {
        let mut reason = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            reason.push_str(": ");
            reason.push_str(&error.to_string());
            cause = error.source();
        }
        if let LoginFault::Tls(error) = &self.fault
            && let Some(advice) = tls::advice(error)
        {
            reason.push_str("; ");
            reason.push_str(advice);
        }
        reason
    }

    /// Returns what a client may be told: nothing of hosts, names or the server's text.
    pub fn neutral(&self) -> &'static str {
        match &self.fault {
            LoginFault::Lookup(_)
            | LoginFault::NoAddress
            | LoginFault::Connect(_)
            | LoginFault::Io(_)
            | LoginFault::Closed
            | LoginFault::TimedOut(_) => "the database can't be reached",
            LoginFault::TlsRefused(_) | LoginFault::TlsAnswer(_) | LoginFault::Tls(_) => {
                "the database can't be reached securely"
            }
            LoginFault::Refused { .. } => "the database refused the gateway's login",
            LoginFault::NoPassword(_)
            | LoginFault::OnlyKeys(_)
            | LoginFault::NoRandomness
            | LoginFault::ClearText
            | LoginFault::Method(_)
            | LoginFault::Mechanism(_)
            | LoginFault::Scram(_)
            | LoginFault::Downgrade(_)
            | LoginFault::Parameter(_)
            | LoginFault::Encode(_) => "the gateway can't log in to the database",
            LoginFault::Negotiation(_)
            | LoginFault::Unexpected { .. }
            | LoginFault::Missing(_)
            | LoginFault::CancelKey(..)
            | LoginFault::NotIdle
            | LoginFault::NotUtf8(_)
            | LoginFault::Encoding(_)
            | LoginFault::Version(_)
            | LoginFault::Frame(_)
            | LoginFault::Message(_)
            | LoginFault::TooMuch => "the database's answer can't be understood",
        }
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream {}: {}", self.target, self.fault)
    }
}

impl Error for LoginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// What went wrong with a login.
#[derive(Debug, thiserror::Error)]
pub enum LoginFault {
    /// Operator or network: the host's name can't be looked up.
    #[error("its name can't be looked up")]
    Lookup(#[source] io::Error),
    /// Operator or network: the name has no address.
    #[error("its name has no address")]
    NoAddress,
    /// Operator or network: nobody takes the connection.
    #[error("can't be connected to")]
    Connect(#[source] io::Error),
    /// Network, or the server ended.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The server ended the connection without a word.
    #[error("it closed the connection")]
    Closed,
    /// Server or network: not done in time.
    #[error("login took longer than {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Operator of the server, or somebody in between.
    #[error("it offers no TLS, and sslmode is {0}")]
    TlsRefused(&'static str),
    /// The server, or somebody in between.
    #[error("it answered SSLRequest with byte {0:#04x}")]
    TlsAnswer(u8),
    /// Operator (certificates), or somebody in between.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The server refused.
    #[error("it refused the login: {} {}", .sqlstate.map_or("(no SQLSTATE)".to_owned(), |state| state.to_string()), .message)]
    Refused {
        /// As sent; `None` if it is missing or none.
        sqlstate: Option<SqlState>,
        /// The server's text, shortened and without control characters.
        message: String,
    },
    /// Operator: a password is needed and none is configured.
    #[error("it asks for a password by {0}, and none is configured; add password to login")]
    NoPassword(&'static str),
    /// Operator of the server: an account whose password nobody here knows can only log in by SCRAM.
    #[error(
        "it asks for a password by {0}, and of a legacy account only SCRAM keys are known; let pg_hba.conf ask it for scram-sha-256"
    )]
    OnlyKeys(&'static str),
    /// The operating system.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// Operator, or somebody in between: a downgrade.
    #[error(
        "it asks for the password in clear text over an unprotected connection; use sslmode=verify-full, or SCRAM"
    )]
    ClearText,
    /// Operator of the server: a method we have no answer to.
    #[error("it asks for {0} authentication, which is not supported; let it ask for scram-sha-256")]
    Method(String),
    /// Operator, or somebody in between.
    #[error("no way to authenticate")]
    Mechanism(#[source] ChooseError),
    /// Operator (a wrong password), or a false server.
    #[error("SCRAM authentication failed")]
    Scram(#[source] ScramError),
    /// A false server, or somebody in between.
    #[error("it {0}")]
    Downgrade(&'static str),
    /// Our caller: a parameter that is the gateway's own, or twice.
    #[error("parameter \"{}\" can't be set from outside, or is set twice", .0.escape_debug())]
    Parameter(String),
    /// Our caller or operator: something can't be sent.
    #[error("the login can't be sent")]
    Encode(#[from] EncodeError),
    /// The server.
    #[error("it wants to speak protocol {0}, or refuses what was not asked for")]
    Negotiation(ProtocolVersion),
    /// The server.
    #[error("it sent a message of type {:?} {when}", char::from(*.tag))]
    Unexpected {
        /// The message's type.
        tag: u8,
        /// In which state.
        when: &'static str,
    },
    /// The server; perhaps it is no PostgreSQL.
    #[error("it did not send {0}")]
    Missing(&'static str),
    /// The server.
    #[error("it sent a cancel key of {0} bytes in protocol {1}")]
    CancelKey(usize, ProtocolVersion),
    /// The server.
    #[error("it began with a transaction open")]
    NotIdle,
    /// The server.
    #[error("its {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// The server; perhaps it is no PostgreSQL.
    #[error("its client_encoding is \"{0}\" though UTF8 was asked for")]
    Encoding(String),
    /// The server; perhaps it is no PostgreSQL.
    #[error("its server_version \"{0}\" has no number")]
    Version(String),
    /// The server.
    #[error("protocol violation")]
    Frame(#[source] FrameError),
    /// The server.
    #[error("protocol violation")]
    Message(#[from] MessageError),
    /// The server.
    #[error("it sends more than a login needs")]
    TooMuch,
}

impl LoginFault {
    pub(super) fn refused(error: ErrorFields) -> Self {
        Self::Refused { sqlstate: error.sqlstate(), message: text_of(&error) }
    }
}

/// Returns an error's severity and message as sent; texts that a server sends before it knows our encoding may be in any.
pub(super) fn text_of(error: &ErrorFields) -> String {
    let severity = String::from_utf8_lossy(error.severity().unwrap_or(b"ERROR"));
    let message = String::from_utf8_lossy(error.message().unwrap_or(b"(no message)"));
    format!("{severity}: {message}")
}

/// Why the next message can't be had.
#[derive(Debug)]
pub(super) enum ReadFault {
    Io(io::Error),
    Closed,
    Frame(FrameError),
    TooMuch,
}

impl From<FrameError> for ReadFault {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<ReadFault> for LoginFault {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            ReadFault::Io(error) => Self::Io(error),
            ReadFault::Closed => Self::Closed,
            ReadFault::Frame(error) => Self::Frame(error),
            ReadFault::TooMuch => Self::TooMuch,
        }
    }
}

/// Makes a server's text fit for a log line: one line, no control characters, not long.
pub(super) fn printable(text: &str) -> String {
    let mut out: String =
        text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

fn without(text: &str, secret: &str) -> String {
    if secret.is_empty() { text.to_owned() } else { text.replace(secret, "***") }
}

/// Takes a name out where it is a word of its own: a user may be called `a`.
fn without_word(text: &str, name: &str) -> String {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name).filter(|_| !name.is_empty()) {
        out.push_str(before);
        let inside = part_of_word(before.chars().next_back().or(out.chars().next_back()))
            || part_of_word(after.chars().next());
        out.push_str(if inside { name } else { "***" });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_taken_out_as_words_and_passwords_anywhere() {
        for (text, expected) in [
            ("role \"app\" does not exist", "role \"***\" does not exist"),
            ("user app, database appdb, app", "user ***, database appdb, ***"),
            ("app_ro app", "app_ro ***"),
            ("my_app", "my_app"),
            ("appapp", "appapp"),
        ] {
            assert_eq!(without_word(text, "app"), expected);
        }
        assert_eq!(without_word("text", ""), "text");
        assert_eq!(without("xhunter2y hunter2", "hunter2"), "x***y ***");
    }

    #[test]
    fn server_texts_can_not_forge_a_line() {
        assert_eq!(printable("a\nb\x1b[31mc\u{85}"), "a b [31mc ");
        assert_eq!(printable(&"ü".repeat(1000)), format!("{}…", "ü".repeat(500)));
    }

    #[test]
    fn no_part_of_a_secret_is_left() {
        let host = config::Host::Address("127.0.0.1".parse().unwrap());
        let tls = config::UpstreamTls::Disable;
        let target = Target::new(&config::Upstream { host, port: 1, database: "d".into(), tls }).unwrap();
        let check = |message: String| {
            let fault = LoginFault::Refused { sqlstate: None, message };
            let reason = LoginError::new(&target, fault, ["app", "app-hun\tter2"]).reason();
            assert!(!reason.contains("hun") && !reason.contains("app"), "{reason}");
        };
        check("FATAL: app-hun\tter2".to_owned());
        for filler in TEXT_CHARS_MAX - 20..TEXT_CHARS_MAX {
            check(format!("{} app-hun\tter2 app", "x".repeat(filler)));
        }
    }
}
