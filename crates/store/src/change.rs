//! What listeners are told of writes, by this gateway or another. Carries no data: whoever is told reads again.

use approval::Number;

/// Something has been written. May come twice; whoever lags behind the channel must take it as [`Change::Everything`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A request was opened, or has changed.
    Request {
        /// Which.
        number: Number,
        /// What [`Store::replace`](crate::Store::replace) must name; 1 as long as it has not changed.
        version: u64,
    },
    /// A delegation was made or ended.
    Delegations,
    /// A message is to be sent.
    Outbox,
    /// Anything may have changed: notices were missed, as while the store could not be reached.
    Everything,
}

impl Change {
    /// Writes what [`Change::parse`] reads.
    #[cfg(test)]
    pub(crate) fn text(self) -> String {
        match self {
            Self::Request { number, version } => format!("request {number} {version}"),
            Self::Delegations => "delegations".to_owned(),
            Self::Outbox => "outbox".to_owned(),
            Self::Everything => "everything".to_owned(),
        }
    }

    /// Reads what the schema's triggers write. What a later version may write is taken for everything.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("request"), Some(number), Some(version), None) => match (number.parse(), version.parse()) {
                (Ok(number), Ok(version)) => Self::Request { number: Number(number), version },
                _ => Self::Everything,
            },
            (Some("delegations"), None, ..) => Self::Delegations,
            (Some("outbox"), None, ..) => Self::Outbox,
            _ => Self::Everything,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change;
    use approval::Number;

    #[test]
    fn notices_read_back_and_the_unknown_means_everything() {
        for change in [
            Change::Request { number: Number(u64::MAX), version: 7 },
            Change::Delegations,
            Change::Outbox,
            Change::Everything,
        ] {
            assert_eq!(Change::parse(&change.text()), change);
        }
        for odd in [
            "",
            "request",
            "request 1",
            "request 1 x",
            "request -1 1",
            "request 1 1 1",
            "outbox 3",
            "weather",
        ] {
            assert_eq!(Change::parse(odd), Change::Everything, "{odd}");
        }
    }
}
