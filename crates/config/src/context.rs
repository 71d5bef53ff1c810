//! What reading a file carries along: its text, what went wrong, and how paths are meant. Knows no key.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Reveal, Severity};
use crate::secret_ref::Servers;

/// Whether files that the configuration names are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    MustBeReadable,
    NotLookedAt,
}

/// What a named path should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathKind {
    File,
    Folder,
}

pub(crate) struct Context<'t> {
    text: &'t str,
    base: &'t Path,
    files: Files,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    /// What secret references may name.
    pub(crate) servers: Servers,
    /// Sections of servers that are there and can't be read: that nothing can refer to them is no further problem.
    pub(crate) unreadable: Vec<&'static str>,
}

impl<'t> Context<'t> {
    pub(crate) fn new(text: &'t str, base: &'t Path, files: Files) -> Self {
        Self {
            text,
            base,
            files,
            problems: Vec::new(),
            warnings: Vec::new(),
            servers: Servers::default(),
            unreadable: Vec::new(),
        }
    }

    pub(crate) fn error(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem::at(Severity::Error, message, self.text, span, Reveal::Value));
    }

    /// Reports a value that may be a secret: it is not shown.
    pub(crate) fn error_at_secret(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem::at(Severity::Error, message, self.text, span, Reveal::NoValue));
    }

    pub(crate) fn syntax_error(&mut self, span: Option<Range<usize>>, message: &str) {
        let span = span.unwrap_or(self.text.len()..self.text.len());
        self.problems.push(Problem::at(
            Severity::Error,
            message.to_owned(),
            self.text,
            span,
            Reveal::Unparsed,
        ));
    }

    pub(crate) fn warn(&mut self, span: Range<usize>, message: String) {
        self.warnings.push(Problem::at(Severity::Warning, message, self.text, span, Reveal::Value));
    }

    /// Returns what the file means by a path, whether or not it is there.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        crate::resolve(self.base, path)
    }

    /// Returns the folder that relative paths are relative to.
    pub(crate) fn base(&self) -> &Path {
        self.base
    }

    /// Returns what the file means by a path, and reports it if it can't be read.
    pub(crate) fn readable(&mut self, span: Range<usize>, path: &str, kind: PathKind) -> PathBuf {
        let path = self.resolve(path);
        if self.files == Files::NotLookedAt {
            return path;
        }
        let outcome = match kind {
            PathKind::File => File::open(&path).and_then(|file| file.metadata()),
            PathKind::Folder => fs::read_dir(&path).and_then(|_| fs::metadata(&path)),
        };
        let wrong = match outcome {
            Err(error) => Some(format!("cannot be read: {error}")),
            Ok(found) if kind == PathKind::File && found.is_dir() => {
                Some("is a folder, not a file".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            self.error(span, format!("\"{}\" {wrong}", path.display()));
        }
        path
    }
}
