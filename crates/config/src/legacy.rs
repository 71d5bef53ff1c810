//! `[[legacy]]` and `[passthrough]`: accounts that keep their passwords for a while. Checks no password.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use model::Method;

use crate::auth::{AuthMethod, AuthRule};
use crate::context::Context;
use crate::database::Database;
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use model::Pattern;

/// An account of the database that keeps its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// The role's name in the database.
    pub name: String,
    /// The databases that it may use. Never empty.
    pub databases: Vec<Pattern>,
    /// What its password is checked by; `None`: the database's `verifiers` is asked.
    pub verifier: Option<SecretRef>,
    /// The groups that policy sees.
    pub groups: Vec<String>,
    /// The last day on which it is let in.
    pub until: Option<Date>,
    /// Whom to ask about it.
    pub owner: Option<String>,
    /// What else policy sees; without `owner` and `until`.
    pub attributes: BTreeMap<String, String>,
}

/// How legacy accounts log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passthrough {
    /// The longest that a session may last.
    pub session_max: Duration,
    /// How long before its last day an account is warned.
    pub warn_before: Duration,
    /// How long a verifier is remembered.
    pub verifier_age_max: Duration,
    /// From what the answers to names without an account are made; `None`: from something random.
    pub mock_key: Option<SecretRef>,
}

/// A day of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
}

impl Date {
    /// Returns when the day is over: the beginning of the next.
    pub fn end(self) -> SystemTime {
        // Days from 0000-03-01, so that the leap day is the last of its year
        // (RFC 3339, appendix B has the same trick for days of the week).
        let (month, day) = (u64::from(self.month), u64::from(self.day));
        let years = u64::from(self.year) - u64::from(month < 3 && self.year > 0);
        let months = if month < 3 { month + 9 } else { month - 3 };
        let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1;
        // 719,468 days lie between 0000-03-01 and 1970-01-01.
        let days = (days + 1).saturating_sub(719_468);
        SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 3600)
    }
}

impl fmt::Display for Date {
    /// Writes `2027-03-31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Legacy {
    /// Returns whether it is the account of this name for this database.
    pub fn matches(&self, name: &str, database: &str) -> bool {
        self.name == name && self.databases.iter().any(|pattern| pattern.matches(database))
    }
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Legacy> {
    let name = table.value("name", context).and_then(|value| printable(&value, context));
    let databases = table.value("databases", context).and_then(|value| value.strings(context));
    let verifier = match table.value("verifier", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    let groups = match table.value("groups", context) {
        Some(value) => value.strings(context),
        None => Some(Vec::new()),
    };
    let until = match table.value("until", context) {
        Some(value) => value.date(context).map(Some),
        None => Some(None),
    };
    let owner = match table.value("owner", context) {
        Some(value) => printable(&value, context).map(Some),
        None => Some(None),
    };
    let attributes = table.value("attributes", context).and_then(|value| {
        let map = value.string_map(context)?;
        let own = ["owner", "until"].into_iter().find(|own| map.contains_key(*own));
        if let Some(own) = own {
            let message =
                format!("attribute \"{own}\" is there by itself, from the key of that name; remove it");
            context.error(value.span(), message);
        }
        own.is_none().then_some(map)
    });
    Some(Legacy {
        name: name?,
        databases: databases?.iter().map(|(_, text)| Pattern::new(text)).collect(),
        verifier: verifier?,
        groups: groups?.into_iter().map(|(_, group)| group).collect(),
        until: until?,
        owner: owner?,
        attributes: attributes?,
    })
}

fn printable(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    if text.chars().any(char::is_control) {
        let message = format!("\"{}\" has control characters in it", text.escape_debug());
        context.error(value.span(), message);
        return None;
    }
    Some(text)
}

/// Reports accounts that could never come, or whose password could never be checked.
pub(crate) fn check(
    accounts: &[(Range<usize>, Option<Legacy>)],
    rules: &[Option<AuthRule>],
    databases: &[(Range<usize>, Option<Database>)],
    context: &mut Context<'_>,
) {
    let passthrough = |rule: &&AuthRule| rule.method == AuthMethod::Accept(Method::Passthrough);
    if accounts.is_empty() {
        if rules.iter().flatten().any(|rule| passthrough(&rule)) {
            let message = "an [[auth]] rule has method = \"passthrough\", and there is no [[legacy]] account; add one, or remove the rule";
            context.error(0..0, message.to_owned());
        }
        return;
    }
    for (span, account) in accounts {
        let Some(account) = account else { continue };
        let name = &account.name;
        let served: Vec<&Database> = databases
            .iter()
            .filter_map(|(_, database)| database.as_ref())
            .filter(|database| account.matches(name, &database.name))
            .collect();
        if served.is_empty() && databases.iter().all(|(_, database)| database.is_some()) {
            context.warn(
                span.clone(),
                format!("legacy account \"{name}\" may use no [[database]] that there is"),
            );
        }
        if account.verifier.is_none()
            && let Some(lacking) = served.iter().find(|database| database.verifiers.is_none())
        {
            let message = format!(
                "legacy account \"{name}\" has no \"verifier\", and database \"{}\" no \"verifiers\" to ask; run \"gatepost legacy import\", or add one of them",
                lacking.name
            );
            context.error_at_secret(span.clone(), message);
        }
        let reaches = |rule: &AuthRule, database: &Database| {
            rule.user.iter().any(|pattern| pattern.matches(name))
                && rule.database.iter().any(|pattern| pattern.matches(&database.name))
        };
        let rules = || rules.iter().flatten().filter(passthrough);
        if let Some(closed) = served.iter().find(|database| !rules().any(|rule| reaches(rule, database))) {
            context.warn(
                span.clone(),
                format!(
                    "no [[auth]] rule with method = \"passthrough\" lets legacy account \"{name}\" into database \"{}\"",
                    closed.name
                ),
            );
        }
    }
}

pub(crate) fn passthrough(table: &Table<'_>, context: &mut Context<'_>) -> Option<Passthrough> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let mut time = |key: &str, least: u64, most: Duration| {
        let value = table.value(key, context)?;
        value.duration(Duration::from_secs(least)..=most, context)
    };
    let session_max = time("session_max", 60, YEAR);
    let warn_before = time("warn_before", 0, YEAR);
    let verifier_age_max = time("verifier_age_max", 0, Duration::from_secs(600));
    let mock_key = match table.value("mock_key", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    Some(Passthrough {
        session_max: session_max?,
        warn_before: warn_before?,
        verifier_age_max: verifier_age_max?,
        mock_key: mock_key?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Date;

    #[test]
    fn a_day_ends_where_the_next_begins() {
        for (year, month, day, seconds) in [
            (1970, 1, 1, 86_400),
            (1999, 12, 31, 946_684_800),
            (2000, 2, 28, 951_782_400),
            (2000, 2, 29, 951_868_800),
            (2027, 3, 31, 1_806_537_600),
            (2100, 2, 28, 4_107_542_400),
        ] {
            let end = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Date { year, month, day }.end(), end, "{year}-{month}-{day}");
        }
    }
}
