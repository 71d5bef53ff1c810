//! Destinations: one file for each kind. A sink takes events in order, and says what has arrived. Knows no journal.

mod file;
mod http;
mod nats;
mod otlp;
mod parquet;
mod syslog;

use std::time::Duration;

use config::{Stream, StreamKind};

use crate::item::Mark;
use crate::{Failure, Item, Outside};

/// What has arrived.
pub(crate) enum Settled {
    /// Everything that was taken.
    All,
    /// Nothing after this; `None`: nothing new.
    Through(Option<Mark>),
}

/// An open destination. After a failure it is dropped, and another opened.
pub(crate) enum Sink {
    File(file::Lines),
    Syslog(Box<syslog::Syslog>),
    Http(http::Http),
    Otlp(otlp::Otlp),
    Nats(nats::Nats),
    Parquet(Box<parquet::Files>),
}

impl Sink {
    /// Opens the destination of a stream.
    pub(crate) async fn open(stream: &Stream, outside: &dyn Outside) -> Result<Self, Failure> {
        let ca = stream.ca.as_deref();
        Ok(match &stream.kind {
            StreamKind::File { path, rotate_bytes, keep } => {
                Self::File(file::Lines::open(path, *rotate_bytes, *keep)?)
            }
            StreamKind::Syslog { host, port, tls, client } => {
                let key = match client {
                    Some((certificate, key)) => Some((certificate.as_path(), fetch(outside, key).await?)),
                    None => None,
                };
                Self::Syslog(Box::new(syslog::Syslog::connect((host, *port), *tls, ca, key).await?))
            }
            StreamKind::Http { url, secret } => {
                Self::Http(http::Http::new(url, &fetch(outside, secret).await?, ca)?)
            }
            StreamKind::Otlp { url, headers } => {
                let mut fetched = Vec::new();
                for (name, reference) in headers {
                    fetched.push((name.as_str(), fetch(outside, reference).await?));
                }
                Self::Otlp(otlp::Otlp::new(url, &fetched, ca)?)
            }
            StreamKind::Nats { url, subject, login } => {
                Self::Nats(nats::Nats::connect(url, subject, login, ca, stream.timeout, outside).await?)
            }
            StreamKind::Parquet { object_store, prefix, interval } => {
                Self::Parquet(Box::new(parquet::Files::new(object_store, prefix, *interval)))
            }
        })
    }

    /// Takes events. `journal`: the journal's name.
    pub(crate) async fn take(&mut self, items: &[Item], journal: &str) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.take(items),
            Self::Syslog(syslog) => syslog.take(items).await,
            Self::Http(http) => http.take(items, journal).await,
            Self::Otlp(otlp) => otlp.take(items, journal).await,
            Self::Nats(nats) => nats.take(items, journal).await,
            Self::Parquet(files) => files.take(items, journal),
        }
    }

    /// Says what has arrived. `ending`: what is gathered is to go now.
    pub(crate) async fn settle(&mut self, ending: bool, outside: &dyn Outside) -> Result<Settled, Failure> {
        match self {
            Self::File(_) | Self::Http(_) | Self::Otlp(_) | Self::Nats(_) => Ok(Settled::All),
            Self::Syslog(syslog) => syslog.settle(),
            Self::Parquet(files) => files.settle(ending, outside).await,
        }
    }

    /// How long settling may take at least.
    pub(crate) const fn patience(&self) -> Duration {
        match self {
            Self::Parquet(_) => Duration::from_secs(120),
            Self::File(_) | Self::Http(_) | Self::Otlp(_) | Self::Nats(_) | Self::Syslog(_) => Duration::ZERO,
        }
    }
}

async fn fetch(
    outside: &dyn Outside,
    reference: &config::SecretRef,
) -> Result<model::Secret<String>, Failure> {
    outside.secret(reference).await.map_err(Failure::new)
}
