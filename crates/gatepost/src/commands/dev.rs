//! `gatepost dev-issuer` and `dev-token`: tokens for trying out. Never for production, and loud about it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use oidc::dev::{self, DevSettings, Grant};
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{DevIssuer, DevToken};
use crate::failure::{Failure, Status};
use crate::logging;
use crate::output::Out;

pub(crate) async fn issuer(arguments: DevIssuer) -> Result<Status, Failure> {
    let DevIssuer { listen, key, audience, lifetime, groups, log_format } = arguments;
    let groups = groups.iter().map(|text| subject_groups(text)).collect::<Result<BTreeMap<_, _>, _>>()?;
    logging::start(log_format)?;
    let key = dev::DevKey::open_or_create(&key.key_dir).map_err(|error| Failure::of(&error))?;
    let settings = DevSettings { audience, lifetime, groups };
    // Before the banner, so that whoever has read it can also stop it.
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| Failure::caused("can't wait for SIGTERM", error))?;
    let issuer = dev::DevIssuer::bind(listen, key, settings).await.map_err(|error| Failure::of(&error))?;
    let mut out = Out::new();
    out.text(&issuer.banner())?;
    out.flush()?;
    let stopped = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            // Where Ctrl-C can't be waited for there is still SIGTERM.
            Ok(()) = tokio::signal::ctrl_c() => {}
        }
    };
    issuer.run(stopped).await.map_err(|error| Failure::caused("development issuer stopped", error))?;
    Ok(Status::Success)
}

pub(crate) fn token(arguments: DevToken) -> Result<Status, Failure> {
    let DevToken { subject, groups, name, audience, lifetime, claims, listen, key } = arguments;
    let further = claims.iter().map(|text| claim(text)).collect::<Result<Map<_, _>, _>>()?;
    let grant = Grant { subject, audiences: vec![audience], groups, name, lifetime, further };
    let key = dev::DevKey::open_or_create(&key.key_dir).map_err(|error| Failure::of(&error))?;
    let url = dev::DevIssuer::url_at(listen);
    let token = dev::mint(&key, &url, &grant, SystemTime::now()).map_err(|error| Failure::of(&error))?;
    let mut out = Out::new();
    out.line(token.expose())?;
    out.flush()?;
    Ok(Status::Success)
}

fn subject_groups(text: &str) -> Result<(String, Vec<String>), Failure> {
    let wrong = || Failure::usage(format!("--groups \"{text}\" must be like alice=admins,readers"));
    let (subject, groups) =
        text.split_once('=').filter(|(subject, _)| !subject.is_empty()).ok_or_else(wrong)?;
    let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned);
    Ok((subject.to_owned(), groups.collect()))
}

fn claim(text: &str) -> Result<(String, Value), Failure> {
    let wrong = || Failure::usage(format!("--claim \"{text}\" must be like department=sales"));
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}
