//! Where a secret is to be found; never the secret itself. Fetches nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aws::Aws;
use crate::vault::{Vault, is_path};

/// Where a secret is to be found when a session needs it. Safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable of the gateway.
    Env(String),
    /// `file:PATH`: a file's content, without one newline at its end.
    File(PathBuf),
    /// `exec:COMMAND`: what a command prints, without one newline at its end.
    Exec(ExecCommand),
    /// `vault:PATH#FIELD`: a field of what Vault's API has at a path.
    Vault(VaultRef),
    /// `aws:rds-iam`: a token for the upstream that is logged in to, signed for its user.
    AwsRdsIam(Arc<Aws>),
}

/// A field of a secret in Vault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VaultRef {
    // INVARIANT: is_path(&path), and field is not empty.
    path: String,
    field: String,
    server: Arc<Vault>,
}

impl VaultRef {
    /// Returns the path below `/v1/`, mount included: plain segments, none of them `.` or `..`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the field's name.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns where it is to be asked for.
    pub fn server(&self) -> &Arc<Vault> {
        &self.server
    }

    /// Returns whether both are at one place, so that one answer has both.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.path == other.path && self.server == other.server
    }
}

/// The servers that references may name; each is `None` where the file has no such section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// `[vault]`.
    pub vault: Option<Arc<Vault>>,
    /// `[aws]`.
    pub aws: Option<Arc<Aws>>,
}

/// A command and its arguments; run without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecCommand {
    // INVARIANT: split_words(&text) == words, and words is not empty.
    text: String,
    words: Vec<String>,
    folder: PathBuf,
}

impl ExecCommand {
    /// Returns the program, looked for in `PATH` unless it has a slash.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Returns the arguments after the program.
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Returns the folder to run it in: that of the configuration file.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Why a text refers to no secret. Says nothing of the text: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefError {
    /// Operator: the value itself was written, or an unknown kind of reference.
    #[error(
        "must say where the secret is, not what it is: \"env:NAME\", \"file:PATH\", \"exec:COMMAND\", \"vault:PATH#FIELD\" or \"aws:rds-iam\""
    )]
    Literal,
    /// Operator: nothing follows the colon.
    #[error("has nothing after \"{0}:\"; write {1}")]
    Empty(&'static str, &'static str),
    /// Operator: the name could never be set.
    #[error("names an environment variable with \"=\" or a zero byte in it")]
    BadVariable,
    /// Operator: a quote in a command is not closed.
    #[error("has a quote or backslash in its command that is not closed")]
    OpenQuote,
    /// Operator: no path of Vault's API and a field.
    #[error(
        "is no \"vault:PATH#FIELD\", with the path as in the API: \"vault:secret/data/app#password\" (KV version 2), \"vault:kv/app#password\" (version 1), \"vault:database/creds/app#username\""
    )]
    BadVault,
    /// Operator: there is one kind of secret at AWS.
    #[error("must be \"aws:rds-iam\"; no other secret is fetched from AWS")]
    BadAws,
    /// Operator: the section that says where that server is, is missing.
    #[error(
        "needs a section [{0}], which says where and as whom to ask; it can't stand in that section itself"
    )]
    NoServer(&'static str),
}

impl SecretRef {
    /// Reads a reference to what needs no server; `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// [`SecretRefError`]: operator; never holds the text.
    pub fn parse(text: &str, base: &Path) -> Result<Self, SecretRefError> {
        Self::parse_with(text, base, &Servers::default())
    }

    /// Reads a reference, which may be to something on one of those servers.
    ///
    /// # Errors
    /// [`SecretRefError`]: operator; never holds the text.
    pub fn parse_with(text: &str, base: &Path, servers: &Servers) -> Result<Self, SecretRefError> {
        let (kind, rest) = text.split_once(':').ok_or(SecretRefError::Literal)?;
        match kind {
            "env" if rest.is_empty() => Err(SecretRefError::Empty("env", "\"env:NAME\"")),
            "env" if rest.contains(['=', '\0']) => Err(SecretRefError::BadVariable),
            "env" => Ok(Self::Env(rest.to_owned())),
            "file" if rest.is_empty() => Err(SecretRefError::Empty("file", "\"file:PATH\"")),
            "file" => Ok(Self::File(crate::resolve(base, rest))),
            "exec" => {
                let words = split_words(rest).ok_or(SecretRefError::OpenQuote)?;
                if words.first().is_none_or(String::is_empty) {
                    return Err(SecretRefError::Empty("exec", "\"exec:COMMAND\""));
                }
                Ok(Self::Exec(ExecCommand { text: rest.to_owned(), words, folder: base.to_owned() }))
            }
            "vault" => {
                let (path, field) = rest.split_once('#').ok_or(SecretRefError::BadVault)?;
                let path = path.strip_prefix('/').unwrap_or(path);
                if !path.contains('/')
                    || !is_path(path)
                    || field.is_empty()
                    || field.contains(char::is_control)
                {
                    return Err(SecretRefError::BadVault);
                }
                let server = servers.vault.clone().ok_or(SecretRefError::NoServer("vault"))?;
                Ok(Self::Vault(VaultRef { path: path.to_owned(), field: field.to_owned(), server }))
            }
            "aws" if rest != "rds-iam" => Err(SecretRefError::BadAws),
            "aws" => servers.aws.clone().map(Self::AwsRdsIam).ok_or(SecretRefError::NoServer("aws")),
            _ => Err(SecretRefError::Literal),
        }
    }
}

impl fmt::Display for SecretRef {
    /// Writes the reference as the file has it, with its path as it was resolved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Exec(command) => write!(f, "exec:{}", command.text),
            Self::Vault(VaultRef { path, field, server: _ }) => write!(f, "vault:{path}#{field}"),
            Self::AwsRdsIam(_) => f.write_str("aws:rds-iam"),
        }
    }
}

/// Splits as a POSIX shell splits words (IEEE 1003.1, 2.2 Quoting), but expands nothing: `$`, `` ` `` and `*` are
/// themselves. Returns `None` where a quote is not closed.
fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => match rest.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(rest.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::{SecretRef, SecretRefError, split_words};
    use std::path::{Path, PathBuf};

    fn check(text: &str, words: &[&str]) {
        assert_eq!(split_words(text).unwrap(), words, "{text}");
    }

    #[test]
    fn words_are_split_as_a_shell_does_without_expansion() {
        check("pass show db/app", &["pass", "show", "db/app"]);
        check("  a\tb  ", &["a", "b"]);
        check(r#"a 'b c' "d \"e\" \n" f\ g"#, &["a", "b c", r#"d "e" \n"#, "f g"]);
        check("a '' b", &["a", "", "b"]);
        check("echo $HOME * `id`", &["echo", "$HOME", "*", "`id`"]);
        for open in ["a 'b", "a \"b", "a \\"] {
            assert_eq!(split_words(open), None, "{open}");
        }
    }

    #[test]
    fn a_literal_is_no_reference_and_is_not_repeated() {
        for text in ["hunter2", "hunter2:x", "http://hunter2", "", "ENV:X"] {
            let error = SecretRef::parse(text, Path::new("/etc")).unwrap_err();
            assert_eq!(error, SecretRefError::Literal);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let path = |text| SecretRef::parse(text, Path::new("/etc/gatepost")).unwrap();
        assert_eq!(path("file:tls/key"), SecretRef::File(PathBuf::from("/etc/gatepost/tls/key")));
        assert_eq!(path("file:/run/key"), SecretRef::File(PathBuf::from("/run/key")));
    }
}
