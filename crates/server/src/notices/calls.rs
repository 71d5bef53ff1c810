//! What comes back: a button of Slack's, a signed webhook. Says whether the call is what it claims to be; what follows from it, the desk says.

use std::net::SocketAddr;
use std::sync::Arc;

use approval::{Act, Number, Request, Who};
use audit::NotifyCallRefused;
use config::{Answers, Notify, NotifyKind};
use notifier::{
    Approvable, Decision, Event, Letter, Said, Sender, SlackHeaders, WINDOW, WebhookHeaders, WebhookSecret,
};

use super::{Notices, now};
use crate::control::Control;

/// A call.
pub struct Call<'a> {
    /// The channel that its path names.
    pub channel: &'a str,
    /// Where from.
    pub client: SocketAddr,
    /// A header's value, if it is there once and is text.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The body, as it came.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The HTTP status.
    pub status: u16,
    /// In words; empty: there is nothing to say.
    pub text: String,
}

/// Why a call is refused.
struct Refusal {
    status: u16,
    /// What the caller is told, where the reason is not for strangers.
    told: Option<&'static str>,
    reason: &'static str,
    detail: String,
}

impl Refusal {
    fn new(status: u16, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, told: None, reason, detail: detail.into() }
    }

    /// One that strangers learn nothing from.
    fn neutral(status: u16, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { told: Some("not accepted"), ..Self::new(status, reason, detail) }
    }
}

/// Of what a refusal is, for the record.
#[derive(Default)]
struct About<'a> {
    decision: Option<&'a Decision>,
}

impl Notices {
    fn refuse(&self, call: &Call<'_>, about: &About<'_>, refusal: &Refusal) -> Called {
        let act = match about.decision.map(|it| it.said) {
            Some(Said::Approve) => "approve",
            Some(Said::Deny) => "deny",
            None => "call",
        };
        let (channel, reason, detail) = (call.channel, refusal.reason, refusal.detail.as_str());
        tracing::info!(channel, client = %call.client, act, reason, "a call to a channel is refused");
        let channel: String = channel.chars().take(80).collect();
        self.note_call(NotifyCallRefused {
            channel: &channel,
            client: Some(&call.client.to_string()),
            act,
            approval: about.decision.map(|it| it.number.0),
            by: about.decision.map(|it| it.person.as_str()),
            reason,
            detail,
        });
        let text = refusal.told.map_or_else(|| refusal.detail.clone(), str::to_owned);
        Called { status: refusal.status, text }
    }

    /// Returns the channel and whose decisions are taken from it.
    fn answering(&self, call: &Call<'_>, kind: &str) -> Result<(Notify, Answers, String), Refusal> {
        let found = self.configured(call.channel).filter(|channel| channel.kind.as_str() == kind);
        let answers = found.and_then(|channel| match &channel.kind {
            NotifyKind::Slack { answers: Some(answers), .. } => {
                let (answers, workspace) = (answers.answers.clone(), answers.workspace.clone());
                Some((channel, answers, workspace))
            }
            NotifyKind::Webhook { answers: Some(answers), .. } => {
                let answers = answers.clone();
                Some((channel, answers, String::new()))
            }
            _ => None,
        });
        answers.ok_or_else(|| {
            Refusal::neutral(404, "unknown_channel", "there is no such channel that decisions are taken from")
        })
    }

    async fn secret(
        &self,
        call: &Call<'_>,
        answers: &Answers,
    ) -> Result<Arc<model::Secret<String>>, Refusal> {
        let secret = self.signing(call.channel, &answers.secret).await;
        secret.map_err(|detail| Refusal::neutral(503, "no_secret", detail))
    }

    /// Notes a call that is signed; refuses one that came before.
    async fn first_time(&self, call: &Call<'_>, kind: &str, id: &str) -> Result<(), Refusal> {
        // Older ones are refused for their age.
        let until = now().after(WINDOW * 2);
        match self.store.first_time(&format!("{kind}:{}", call.channel), id, until).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::new(409, "replayed", "it was heard before")),
            // SECURITY: what can't be known to be new is not heard.
            Err(error) => Err(Refusal::neutral(503, "store", oidc::chain(&error))),
        }
    }

    /// Finds the person behind an id of the channel's, with the groups of their last login.
    async fn person(
        &self,
        answers: &Answers,
        decision: &Decision,
        issuers: &[config::Issuer],
    ) -> Result<Who, Refusal> {
        let unknown = "nobody is known by that id here: an operator can name them in \"people\" of this channel's [[notify]]";
        let (issuer, subject) = answers
            .people
            .get(&decision.person)
            .ok_or_else(|| Refusal::new(403, "unknown_person", unknown))?;
        let log_in = match &self.console {
            Some(console) => format!("log in at {console} first, then try again"),
            None => "log in to the console first, then try again".to_owned(),
        };
        if !issuers.iter().any(|it| it.name == *issuer) {
            return Err(Refusal::new(
                403,
                "unknown_issuer",
                format!("issuer {issuer} is not believed any more"),
            ));
        }
        let person = self.store.person(issuer, subject).await;
        let person = person.map_err(|error| Refusal::neutral(503, "store", oidc::chain(&error)))?;
        let person = person.ok_or_else(|| {
            Refusal::new(403, "not_seen", format!("{issuer}:{subject} was never logged in here: {log_in}"))
        })?;
        if person.last_seen.after(answers.login_age_max) < now() {
            let detail = format!("the last login of {issuer}:{subject} is too long ago: {log_in}");
            return Err(Refusal::new(403, "login_too_old", detail));
        }
        Ok(person.who)
    }

    /// Finds the request that somebody was told of.
    async fn meant(&self, decision: &Decision) -> Result<Request, Refusal> {
        let kept = self.store.request(decision.number).await;
        let kept = kept.map_err(|error| Refusal::neutral(503, "store", oidc::chain(&error)))?;
        // SECURITY: with another store, numbers begin anew.
        let same = kept.filter(|kept| kept.request.ask.binding.to_string() == decision.binding);
        same.map(|kept| kept.request).ok_or_else(|| {
            Refusal::new(409, "other_request", format!("request {} is another one, or gone", decision.number))
        })
    }
}

impl Control {
    /// Hears what Slack says: who has pressed which button.
    pub async fn slack_call(&self, call: Call<'_>) -> Called {
        let notices = self.notices();
        let heard = async {
            let (channel, answers, workspace) = notices.answering(&call, "slack")?;
            let secret = notices.secret(&call, &answers).await?;
            let (timestamp, signature) =
                ((call.header)("x-slack-request-timestamp"), (call.header)("x-slack-signature"));
            let headers = SlackHeaders { timestamp: timestamp.as_deref(), signature: signature.as_deref() };
            let id = notifier::slack_verify(&secret, headers, call.body, now()).map_err(not_signed)?;
            notices.first_time(&call, "slack", &id).await?;
            let heard = notifier::interaction(call.body, &workspace)
                .map_err(|bad| Refusal::new(400, "not_understood", bad.to_string()))?;
            Ok((channel, answers, heard))
        };
        let (channel, answers, decision, respond) = match heard.await {
            Ok((channel, answers, Some((decision, respond)))) => (channel, answers, decision, respond),
            Ok((_, _, None)) => return Called { status: 200, text: String::new() },
            Err(refusal) => return notices.refuse(&call, &About::default(), &refusal),
        };
        let done = async {
            let who = notices.person(&answers, &decision, &self.issuers()).await?;
            let request = notices.meant(&decision).await?;
            let console = notices.console.as_deref();
            let letter = Letter::of(Event::Opened, &request, channel.statement, console, now());
            if let (Said::Approve, Approvable::No(why)) = (decision.said, letter.approvable())
                && super::is_open(&request)
            {
                let detail = format!("it can't be approved here: {why}");
                return Err(Refusal::new(403, "not_shown_whole", detail));
            }
            Ok(who)
        };
        let who = match done.await {
            Ok(who) => who,
            Err(refusal) => {
                let called = notices.refuse(&call, &About { decision: Some(&decision) }, &refusal);
                whisper(channel, respond, called.text);
                // Slack shows nothing of another status.
                return Called { status: 200, text: String::new() };
            }
        };
        match self.decide(&decision, &who, "slack").await {
            // Of a message that the gateway can replace itself, what is there follows from what has happened.
            Ok(request) => {
                let console = notices.console.clone();
                tokio::spawn(async move {
                    let event = if super::is_open(&request) { Event::Voted } else { Event::Decided };
                    let letter = Letter::of(event, &request, channel.statement, console.as_deref(), now());
                    if let Ok(sender) = Sender::new(&channel)
                        && let Err(failure) = sender.replace(&respond, &letter).await
                    {
                        tracing::info!(channel = channel.name, %failure, "a message in Slack is not replaced");
                    }
                });
            }
            Err(why) => whisper(channel, respond, format!("Request {}: {why}", decision.number)),
        }
        Called { status: 200, text: String::new() }
    }

    /// Hears a signed webhook that carries somebody's decision.
    pub async fn webhook_call(&self, call: Call<'_>) -> Called {
        let notices = self.notices();
        let heard = async {
            let (_, answers, _) = notices.answering(&call, "webhook")?;
            let secret = notices.secret(&call, &answers).await?;
            let secret = WebhookSecret::parse(&secret)
                .map_err(|wrong| Refusal::neutral(503, "no_secret", format!("the secret {wrong}")))?;
            let header = |name| (call.header)(name);
            let (id, timestamp, signature) =
                (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
            let headers = WebhookHeaders {
                id: id.as_deref(),
                timestamp: timestamp.as_deref(),
                signature: signature.as_deref(),
            };
            let id = secret.verify(headers, call.body, now()).map_err(not_signed)?.to_owned();
            notices.first_time(&call, "webhook", &id).await?;
            let decision = notifier::webhook_decision(call.body)
                .map_err(|bad| Refusal::new(400, "not_understood", bad.to_string()))?;
            Ok((answers, decision))
        };
        let (answers, decision) = match heard.await {
            Ok(heard) => heard,
            Err(refusal) => return notices.refuse(&call, &About::default(), &refusal),
        };
        let who = async {
            let who = notices.person(&answers, &decision, &self.issuers()).await?;
            notices.meant(&decision).await.map(|_| who)
        };
        let who = match who.await {
            Ok(who) => who,
            Err(refusal) => return notices.refuse(&call, &About { decision: Some(&decision) }, &refusal),
        };
        match self.decide(&decision, &who, "webhook").await {
            Ok(request) => Called {
                status: 200,
                text: format!("request {} is {}", request.number, request.state.as_str()),
            },
            Err(text) => Called { status: 409, text },
        }
    }

    /// Does it at the desk, which records both what is done and what is refused.
    async fn decide(&self, decision: &Decision, who: &Who, via: &'static str) -> Result<Request, String> {
        let act = match decision.said {
            Said::Approve => Act::Approve,
            Said::Deny => Act::Deny,
        };
        let number: Number = decision.number;
        self.act(number, who, via, act, decision.reason.as_deref())
            .await
            .map_err(|refused| oidc::chain(&refused))
    }
}

fn not_signed(bad: notifier::BadSignature) -> Refusal {
    use notifier::BadSignature::{Early, Forged, Header, Old, Senseless};
    let reason = match bad {
        Header(_) | Senseless(_) => "not_signed",
        Old(_) | Early(_) => "old",
        Forged => "forged",
    };
    Refusal::neutral(401, reason, bad.to_string())
}

/// Tells one person in Slack, while the call is answered.
fn whisper(channel: Notify, respond: String, text: String) {
    tokio::spawn(async move {
        if let Ok(sender) = Sender::new(&channel)
            && let Err(failure) = sender.whisper(&respond, &text).await
        {
            tracing::info!(channel = channel.name, %failure, "somebody in Slack is not answered");
        }
    });
}
