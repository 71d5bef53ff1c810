//! `gatepost notify`: sends test messages. Needs no running gateway, and changes nothing.

use std::path::Path;

use config::Config;

use crate::args::Notify;
use crate::commands::check::{Finding, show};
use crate::failure::{Failure, Status};
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, command: Notify) -> Result<Status, Failure> {
    let Notify::Test { channel, format } = command;
    let config = settings::load(config)?;
    let chosen: Vec<_> =
        config.notify.iter().filter(|it| channel.as_ref().is_none_or(|name| *name == it.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = config.notify.iter().map(|it| it.name.as_str()).collect();
        return Err(Failure::usage(match (channel, names.is_empty()) {
            (Some(name), false) => {
                format!("there is no [[notify]] named \"{name}\"; there is {}", names.join(", "))
            }
            (_, true) | (None, false) => "the configuration has no [[notify]]".to_owned(),
        }));
    }
    let console = config.listen.public_url.as_ref().map(ToString::to_string);
    let mut findings = Vec::new();
    for it in chosen {
        let kind = it.kind.as_str();
        findings.push(match server::notices::test(it, console.as_deref()).await {
            Ok(()) => Finding::good(kind, &*it.name, "a test message was taken"),
            Err(failure) => Finding::failed(kind, &*it.name, failure.text),
        });
    }
    show(&findings, format)
}

/// Says what channels there are, and what can be known of them without sending anything.
pub(crate) async fn check(config: &Config, findings: &mut Vec<Finding>) {
    for channel in &config.notify {
        let kind = channel.kind.as_str();
        if let Err(wrong) = server::notices::check_signing(channel).await {
            findings.push(Finding::failed("notify", &*channel.name, wrong));
            continue;
        }
        let answers = match &channel.kind {
            config::NotifyKind::Slack { answers: Some(_), .. } => Some("slack"),
            config::NotifyKind::Webhook { answers: Some(_), .. } => Some("webhook"),
            _ => None,
        };
        let back = match (answers, &config.listen.public_url) {
            (None, _) => "nothing is decided by it".to_owned(),
            (Some(path), Some(url)) => {
                format!(
                    "decisions come to {}/notify/{path}/{}",
                    url.to_string().trim_end_matches('/'),
                    channel.name
                )
            }
            (Some(path), None) => {
                format!("decisions come to /notify/{path}/{} of [listen] http", channel.name)
            }
        };
        let statement = match channel.statement {
            config::NotifyStatement::Full => "statements leave by it",
            config::NotifyStatement::None => "no statement leaves by it",
        };
        let detail =
            format!("{kind}: {statement}, {back}; \"gatepost notify test {}\" sends a message", channel.name);
        findings.push(if answers.is_some() && config.listen.http.is_empty() {
            let detail = "decisions are to be taken from it, and there is no [listen] http to send them to";
            Finding::failed("notify", &*channel.name, detail)
        } else if config.listen.public_url.is_none() {
            Finding::warning(
                "notify",
                &*channel.name,
                format!("{detail}; messages have no link: there is no listen.public_url"),
            )
        } else {
            Finding::good("notify", &*channel.name, detail)
        });
    }
}
