//! Verifiers of many accounts in one text: a line `"name" "verifier"` for each, as PgBouncer's `auth_file` has them.
//!
//! Knows names and secrets as text; not where the text is kept.

use std::collections::BTreeMap;

use model::Secret;

/// What is wrong with such a text; nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserlistError {
    /// A line of another form.
    #[error("line {0} is not \"name\" \"verifier\", each in double quotes")]
    Line(usize),
    /// Two lines for one name.
    #[error("line {0} repeats the name of an earlier one")]
    Twice(usize),
}

/// Secrets by name.
#[derive(Clone, Default)]
pub struct Userlist(BTreeMap<String, Secret<String>>);

impl Userlist {
    /// Reads a text. Empty lines, and those that begin with `;`, are skipped.
    ///
    /// # Errors
    /// [`UserlistError`]: whoever keeps it.
    pub fn parse(text: &str) -> Result<Self, UserlistError> {
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with(';') {
                continue;
            }
            let read = || {
                let (name, rest) = quoted(line)?;
                let (secret, rest) = quoted(rest.trim_start())?;
                (rest.is_empty() && !name.is_empty()).then_some((name, Secret::new(secret)))
            };
            let (name, secret) = read().ok_or(UserlistError::Line(number))?;
            if list.0.insert(name, secret).is_some() {
                return Err(UserlistError::Twice(number));
            }
        }
        Ok(list)
    }

    /// Returns the secret of a name.
    pub fn get(&self, name: &str) -> Option<&Secret<String>> {
        self.0.get(name)
    }

    /// Puts a secret in the place of the former, if there was one.
    pub fn set(&mut self, name: &str, secret: Secret<String>) {
        self.0.insert(name.to_owned(), secret);
    }

    /// Writes what [`Userlist::parse`] reads, by name.
    pub fn render(&self) -> Secret<String> {
        let length =
            |(name, secret): (&String, &Secret<String>)| 2 * (name.len() + secret.expose().len()) + 6;
        // Of full size from the start: growing would leave an unwiped copy behind.
        let mut text = String::with_capacity(self.0.iter().map(length).sum());
        for (name, secret) in &self.0 {
            for (part, end) in [(name, ' '), (secret.expose(), '\n')] {
                text.push('"');
                part.chars().for_each(|c| if c == '"' { text.push_str("\"\"") } else { text.push(c) });
                text.push('"');
                text.push(end);
            }
        }
        Secret::new(text)
    }
}

/// Reads what stands in double quotes at the beginning; a quote inside is doubled. Returns it and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut read = String::with_capacity(rest.len());
    loop {
        let (part, after) = rest.split_once('"')?;
        read.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                read.push('"');
                rest = more;
            }
            None => return Some((read, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::{Userlist, UserlistError};

    #[test]
    fn what_is_written_is_read_again() {
        let mut list = Userlist::default();
        for (name, secret) in [("a", "x"), ("o\"dd name", "y\"z"), (";c", "")] {
            list.set(name, Secret::new(secret.to_owned()));
        }
        let text = list.render();
        let again = Userlist::parse(text.expose()).unwrap();
        for name in ["a", "o\"dd name", ";c"] {
            assert_eq!(again.get(name).unwrap().expose(), list.get(name).unwrap().expose());
        }
        assert!(again.get("b").is_none());
    }

    #[test]
    fn lines_of_another_form_are_refused_by_number_and_not_repeated() {
        for (text, expected) in [
            ("\"a\" \"x\"\n\n; note\nb x", UserlistError::Line(4)),
            ("\"a\"", UserlistError::Line(1)),
            ("\"a\" \"x\" y", UserlistError::Line(1)),
            ("\"a\" \"x", UserlistError::Line(1)),
            ("\"\" \"x\"", UserlistError::Line(1)),
            ("\"a\" \"x\"\n\"a\" \"y\"", UserlistError::Twice(2)),
        ] {
            assert_eq!(Userlist::parse(text).err(), Some(expected), "{text}");
        }
    }
}
