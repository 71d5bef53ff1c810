//! Sends letters: the only part of the crate that does I/O. Keeps no secret; whoever calls gives them for one message.
//!
//! SECURITY: no answer of the other side is repeated but for its status and Slack's error word, and no URL is: a webhook's is a secret.

use std::sync::Arc;
use std::time::Duration;

use approval::{Request, Stamp};
use config::{Notify, NotifyKind, SlackWay, Smtp, SmtpTls};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use model::Secret;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::letter::{Event, Letter};
use crate::signature::WebhookSecret;
use crate::{email, slack, teams, webhook};

/// For one attempt, from connecting to the last byte of the answer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Waiting that the other side asks for is taken for no longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Whose fault it is that a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The operator's: something in the configuration is to be mended.
    Operator,
    /// Of the other side or the network: it may be better later.
    Other,
}

/// Why a message did not arrive. Safe to show and to keep: no secret and nothing of a statement is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What happened, and how to mend it.
    pub text: String,
    /// Whose fault it is.
    pub whose: Whose,
    /// How long the other side wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    fn operator(text: impl Into<String>) -> Self {
        Self { text: text.into(), whose: Whose::Operator, retry_after: None }
    }

    fn other(text: impl Into<String>) -> Self {
        Self { text: text.into(), whose: Whose::Other, retry_after: None }
    }
}

/// Where a message arrived, by which it can be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Slack's channel.
    pub channel: String,
    /// Slack's time of the message, which names it.
    pub ts: String,
}

/// What a channel needs that is secret, fetched for a message.
#[derive(Default)]
pub struct Secrets {
    /// Slack's token; a webhook's URL, or what it is signed with; of a mail server the user.
    pub first: Option<Secret<String>>,
    /// Of a mail server the password.
    pub second: Option<Secret<String>>,
}

/// One message to one channel.
pub struct Outgoing<'a> {
    /// What it says.
    pub letter: &'a Letter,
    /// What it says in JSON, for a webhook; `None`: a test.
    pub about: Option<(Event, &'a Request)>,
    /// The same for each attempt.
    pub id: &'a str,
    /// The same for all messages about one request.
    pub thread: Option<&'a str>,
    /// What is replaced by it.
    pub replaces: Option<&'a Receipt>,
    /// Where the console is.
    pub console: Option<&'a str>,
}

/// A channel, ready to be sent by.
pub struct Sender {
    channel: Notify,
    http: reqwest::Client,
    ca: Option<Arc<Vec<u8>>>,
}

impl Sender {
    /// Makes it.
    ///
    /// # Errors
    /// The operator's: the file of authorities.
    pub fn new(channel: &Notify) -> Result<Self, Failure> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            // SECURITY: a redirect would take the message, and a webhook's signature, elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(ATTEMPT);
        let mut pem = None;
        if let Some(path) = &channel.ca {
            let bad =
                || Failure::operator(format!("{} has no PEM certificates that can be read", path.display()));
            let read = std::fs::read(path).map_err(|_| bad())?;
            let certificates = reqwest::Certificate::from_pem_bundle(&read).map_err(|_| bad())?;
            client = client.tls_certs_merge(certificates);
            pem = Some(Arc::new(read));
        }
        let http = client.build().map_err(|error| Failure::operator(format!("no HTTP client: {error}")))?;
        Ok(Self { channel: channel.clone(), http, ca: pem })
    }

    /// The channel.
    pub const fn channel(&self) -> &Notify {
        &self.channel
    }

    /// Sends a message; takes at most some 10 s.
    ///
    /// # Errors
    /// [`Failure`]: it has not arrived, or nobody knows whether it has.
    pub async fn send(
        &self,
        secrets: &Secrets,
        message: &Outgoing<'_>,
        now: Stamp,
    ) -> Result<Option<Receipt>, Failure> {
        match tokio::time::timeout(ATTEMPT + Duration::from_secs(1), self.attempt(secrets, message, now))
            .await
        {
            Ok(done) => done,
            Err(_) => Err(Failure::other(format!("no answer came within {} s", ATTEMPT.as_secs()))),
        }
    }

    async fn attempt(
        &self,
        secrets: &Secrets,
        message: &Outgoing<'_>,
        now: Stamp,
    ) -> Result<Option<Receipt>, Failure> {
        let first =
            || secrets.first.as_ref().ok_or_else(|| Failure::operator("its secret could not be fetched"));
        match &self.channel.kind {
            NotifyKind::Slack { way, api, answers } => {
                let buttons = if answers.is_some() { slack::Buttons::Offered } else { slack::Buttons::None };
                let body = slack::message(message.letter, buttons);
                match way {
                    SlackWay::Webhook { .. } => {
                        let url = webhook_url(first()?)?;
                        self.post(self.http.post(url).json(&body)).await.map(|_| None)
                    }
                    SlackWay::Bot { channel, .. } => {
                        self.bot(api, first()?, channel, body, message.replaces).await
                    }
                }
            }
            NotifyKind::Teams { .. } => {
                let url = webhook_url(first()?)?;
                self.post(self.http.post(url).json(&teams::message(message.letter))).await.map(|_| None)
            }
            NotifyKind::Email(smtp) => self.mail(smtp, secrets, message).await.map(|()| None),
            NotifyKind::Webhook { url, .. } => {
                let secret = WebhookSecret::parse(first()?)
                    .map_err(|wrong| Failure::operator(format!("the secret of the webhook {wrong}")))?;
                let body = match &message.about {
                    Some((event, request)) => {
                        let sent = self.channel.statement;
                        webhook::body(*event, request, sent, message.console, message.letter.at)
                    }
                    None => webhook::test(&self.channel.name, message.letter.at),
                };
                let (body, time) = (body.to_string(), (now.0 / 1000).to_string());
                let request = self
                    .http
                    .post(url)
                    .header(CONTENT_TYPE, "application/json")
                    .header("webhook-id", message.id)
                    .header("webhook-timestamp", &time)
                    .header("webhook-signature", secret.sign(message.id, &time, body.as_bytes()));
                self.post(request.body(body)).await.map(|_| None)
            }
        }
    }

    /// Answers Slack's button where it says that answers go, to that person only.
    ///
    /// SECURITY: only to Slack, or to where the configuration says that Slack is.
    ///
    /// # Errors
    /// [`Failure`]: as [`Sender::send`].
    pub async fn whisper(&self, respond: &str, text: &str) -> Result<(), Failure> {
        self.respond(respond, &slack::whisper(text)).await
    }

    /// Replaces the message that a button belongs to.
    ///
    /// # Errors
    /// [`Failure`]: as [`Sender::send`].
    pub async fn replace(&self, respond: &str, letter: &Letter) -> Result<(), Failure> {
        let mut body = slack::message(letter, slack::Buttons::Offered);
        if let Some(body) = body.as_object_mut() {
            body.insert("replace_original".to_owned(), Value::Bool(true));
        }
        self.respond(respond, &body).await
    }

    async fn respond(&self, respond: &str, body: &Value) -> Result<(), Failure> {
        let NotifyKind::Slack { api, .. } = &self.channel.kind else { return Ok(()) };
        let url = url::Url::parse(respond).ok().filter(|url| {
            let slack =
                url.scheme() == "https" && url.port().is_none() && url.host_str() == Some("hooks.slack.com");
            let configured = url::Url::parse(api).is_ok_and(|api| api.origin() == url.origin());
            slack || configured
        });
        let url =
            url.ok_or_else(|| Failure::other("the answer was to go to an address that is not Slack's"))?;
        self.post(self.http.post(url).json(body)).await.map(drop)
    }

    async fn bot(
        &self,
        api: &str,
        token: &Secret<String>,
        channel: &str,
        mut body: Value,
        replaces: Option<&Receipt>,
    ) -> Result<Option<Receipt>, Failure> {
        let mut set = |key: &str, value: &str| {
            body.as_object_mut().map(|body| body.insert(key.to_owned(), Value::String(value.to_owned())));
        };
        let method = match replaces {
            Some(receipt) => {
                set("channel", &receipt.channel);
                set("ts", &receipt.ts);
                "chat.update"
            }
            None => {
                set("channel", channel);
                "chat.postMessage"
            }
        };
        let request =
            self.http.post(format!("{api}/{method}")).bearer_auth(token.expose().trim()).json(&body);
        let answer: SlackAnswer = serde_json::from_slice(&self.post(request).await?)
            .map_err(|_| Failure::other("Slack's answer is no JSON"))?;
        if !answer.ok {
            return Err(slack_error(answer.error.as_deref().unwrap_or_default()));
        }
        match (answer.channel, answer.ts) {
            (Some(channel), Some(ts)) => Ok(Some(Receipt { channel, ts })),
            _ => Ok(None),
        }
    }

    /// Posts, and returns the answer's body if its status is 2xx.
    async fn post(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
        // SECURITY: an error's URL may be a secret.
        let failed = |error: reqwest::Error| Failure::other(chain(&error.without_url()));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        if !status.is_success() {
            return Err(Failure { retry_after, ..refused(status) });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Failure::other(format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        Ok(body)
    }

    async fn mail(&self, smtp: &Smtp, secrets: &Secrets, message: &Outgoing<'_>) -> Result<(), Failure> {
        let mail = email::message(message.letter, (&smtp.from, &smtp.to), (message.id, message.thread))
            .map_err(Failure::operator)?;
        let tls = || -> Result<TlsParameters, Failure> {
            let mut builder = TlsParameters::builder(smtp.host.clone());
            if let Some(pem) = &self.ca {
                let bad = |_| Failure::operator("the file of \"ca\" has a certificate that can't be used");
                for certificate in certificates(pem) {
                    builder = builder.add_root_certificate(Certificate::from_pem(&certificate).map_err(bad)?);
                }
            }
            builder.build().map_err(|error| Failure::operator(chain(&error)))
        };
        let tls = match smtp.tls {
            // SECURITY: required, never opportunistic: else whoever is between could strip it.
            SmtpTls::StartTls => Tls::Required(tls()?),
            SmtpTls::Implicit => Tls::Wrapper(tls()?),
            SmtpTls::None => Tls::None,
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .tls(tls)
            .timeout(Some(ATTEMPT));
        if let (Some(user), Some(password)) = (&secrets.first, &secrets.second) {
            transport =
                transport.credentials(Credentials::new(user.expose().clone(), password.expose().clone()));
        }
        transport.build().send(mail).await.map(drop).map_err(|error| smtp_error(&error))
    }
}

#[derive(Deserialize)]
struct SlackAnswer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

/// Splits a PEM file into its certificates, which the mail library takes one by one.
fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.split_inclusive(END).filter(|part| part.contains(END)).map(|part| part.as_bytes().to_vec()).collect()
}

fn webhook_url(secret: &Secret<String>) -> Result<url::Url, Failure> {
    let url = url::Url::parse(secret.expose().trim()).ok().filter(|url| {
        let loopback = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        url.scheme() == "https" || (url.scheme() == "http" && loopback)
    });
    url.ok_or_else(|| Failure::operator("the secret of \"webhook\" is no https URL"))
}

fn refused(status: StatusCode) -> Failure {
    let code = status.as_u16();
    match code {
        300..=399 => Failure::operator(format!(
            "it answered with status {code}, a redirect, which is not followed: configure the final URL"
        )),
        401 | 403 => {
            Failure::operator(format!("it answered with status {code}: the secret is not accepted there"))
        }
        404 | 410 => {
            Failure::operator(format!("it answered with status {code}: there is no such webhook (any more)"))
        }
        400 | 413 | 422 => {
            Failure::operator(format!("it answered with status {code}: it does not take such a message"))
        }
        429 => Failure::other("it answered with status 429: too many messages"),
        _ => Failure::other(format!("it answered with status {code}")),
    }
}

/// <https://docs.slack.dev/reference/methods/chat.postMessage#errors>.
fn slack_error(word: &str) -> Failure {
    // SECURITY: a word and nothing else, whoever answers.
    let plain =
        !word.is_empty() && word.len() <= 60 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let word = if plain { word } else { "no error word" };
    match word {
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            Failure::operator(format!("Slack says {word}: give \"token\" a valid bot token"))
        }
        "channel_not_found" | "not_in_channel" | "is_archived" => Failure::operator(format!(
            "Slack says {word}: \"channel\" must be the id of a channel that the bot was invited to"
        )),
        "missing_scope" => Failure::operator("Slack says missing_scope: the bot needs the scope chat:write"),
        "invalid_blocks" | "msg_too_long" | "msg_blocks_too_long" => {
            Failure::operator(format!("Slack says {word}: it does not take such a message"))
        }
        word => Failure::other(format!("Slack says {word}")),
    }
}

fn smtp_error(error: &lettre::transport::smtp::Error) -> Failure {
    // SECURITY: a mail server's words may repeat what was sent; its code says enough.
    if let Some(code) = error.status() {
        let code = u16::from(code);
        return match code {
            530 | 534 | 535 | 538 => Failure::operator(format!(
                "the mail server answered with {code}: it does not take this login; look at \"user\" and \"password\""
            )),
            550..=559 => Failure::operator(format!(
                "the mail server answered with {code}: it does not take this sender, these recipients or such a message"
            )),
            _ => Failure::other(format!("the mail server answered with {code}")),
        };
    }
    if error.is_client() {
        return Failure::operator(format!("{}; does it offer STARTTLS and AUTH?", chain(error)));
    }
    Failure::other(chain(error))
}

/// Returns an error and its causes in one line, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    crate::shown::line(&text, 300)
}

#[cfg(test)]
mod tests;
