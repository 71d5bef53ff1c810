//! NATS JetStream: a message for each event, each confirmed. A message that is sent again has the same `Nats-Msg-Id`, by which a
//! stream leaves it out within its window for duplicates. Knows no format.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{ConnectOptions, HeaderMap};
use bytes::Bytes;
use config::NatsLogin;

use super::fetch;
use crate::{Failure, Item, Outside, tls};

/// An open connection.
pub(crate) struct Nats {
    context: jetstream::Context,
    subject: String,
}

impl Nats {
    pub(crate) async fn connect(
        url: &str,
        subject: &str,
        login: &NatsLogin,
        ca: Option<&Path>,
        timeout: Duration,
        outside: &dyn Outside,
    ) -> Result<Self, Failure> {
        let mut options = ConnectOptions::new()
            .name("gatepost")
            .connection_timeout(timeout)
            // Whoever opens it tries again.
            .max_reconnects(1)
            .ignore_discovered_servers();
        if url.starts_with("tls:") {
            options = options.require_tls(true).tls_client_config(tls::client(ca, None)?);
        }
        let text =
            async |reference| Ok::<_, Failure>(fetch(outside, reference).await?.expose().trim().to_owned());
        options = match login {
            NatsLogin::None => options,
            NatsLogin::User(user, password) => {
                options.user_and_password(text(user).await?, text(password).await?)
            }
            NatsLogin::Token(token) => options.token(text(token).await?),
            // SECURITY: the error may repeat what was read.
            NatsLogin::Credentials(credentials) => options
                .credentials(&text(credentials).await?)
                .map_err(|_| Failure::new("\"credentials\" are not what a .creds file holds"))?,
        };
        let client = options.connect(url).await.map_err(|error| Failure::of("NATS", &error))?;
        let mut context = jetstream::new(client);
        context.set_timeout(timeout);
        Ok(Self { context, subject: subject.to_owned() })
    }

    /// Publishes events; they have arrived when the stream has confirmed each.
    pub(crate) async fn take(&self, items: &[Item], journal: &str) -> Result<(), Failure> {
        let mut waiting = Vec::with_capacity(items.len());
        for item in items {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", format!("{journal}-{}", item.mark.seq));
            headers.insert("Gatepost-Event", item.event.as_str());
            let payload = Bytes::copy_from_slice(item.line.as_bytes());
            let sent = self.context.publish_with_headers(self.subject.clone(), headers, payload).await;
            waiting.push(sent.map_err(|error| Failure::of("NATS", &error))?);
        }
        for sent in waiting {
            let unconfirmed = |error| {
                Failure::of(
                    &format!("no stream has confirmed what was published to \"{}\"", self.subject),
                    &error,
                )
            };
            sent.await.map_err(unconfirmed)?;
        }
        Ok(())
    }
}
