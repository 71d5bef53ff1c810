//! Signed HTTP requests, each with some events, a line of JSON for each. Knows no format.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use model::Secret;
use notifier::WebhookSecret;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::{Failure, Item, tls};

/// A receiver.
pub(crate) struct Http {
    client: reqwest::Client,
    url: String,
    secret: WebhookSecret,
}

impl Http {
    pub(crate) fn new(url: &str, secret: &Secret<String>, ca: Option<&Path>) -> Result<Self, Failure> {
        let trimmed = Secret::new(secret.expose().trim().to_owned());
        let secret =
            WebhookSecret::parse(&trimmed).map_err(|wrong| Failure::new(format!("the secret {wrong}")))?;
        Ok(Self { client: tls::http_client(ca)?, url: url.to_owned(), secret })
    }

    /// Sends events; they have arrived when the answer is 2xx. A batch that is sent again has the same id if it is the same.
    pub(crate) async fn take(&self, items: &[Item], journal: &str) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(()) };
        let id = format!("{journal}-{}-{}", first.mark.seq, last.mark.seq);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()).to_string();
        let mut body = String::with_capacity(items.iter().map(|item| item.line.len() + 1).sum());
        for item in items {
            body.push_str(&item.line);
            body.push('\n');
        }
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header("webhook-id", &id)
            .header("webhook-timestamp", &time)
            .header("webhook-signature", self.secret.sign(&id, &time, body.as_bytes()));
        answered(request.body(body)).await.map(drop)
    }
}

/// Sends a request, and returns the answer if its status is 2xx.
pub(crate) async fn answered(request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
    // SECURITY: an URL may have a secret in its query.
    let response = request.send().await.map_err(|error| Failure::of("no answer", &error.without_url()))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(refused(status)),
    }
}

fn refused(status: StatusCode) -> Failure {
    let code = status.as_u16();
    Failure::new(match code {
        300..=399 => format!(
            "the answer has status {code}, a redirect, which is not followed: configure the final URL"
        ),
        401 | 403 => format!("the answer has status {code}: the secret is not accepted there"),
        413 => format!("the answer has status {code}: it does not take so much at once"),
        _ => format!("the answer has status {code}"),
    })
}
