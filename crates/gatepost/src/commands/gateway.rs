//! The way from a command to a running gateway. Knows no command.

use std::path::Path;

use console::client::{Client, ClientError};
use model::Secret;
use serde_json::Value;

use crate::args::Running;
use crate::failure::Failure;
use crate::output::{Cell, Format, Out};
use crate::settings;

const TOKEN: &str = "GATEPOST_TOKEN";
const URL: &str = "GATEPOST_URL";
const AUTHORITY: &str = "GATEPOST_CA";

pub(crate) fn failed(error: ClientError) -> Failure {
    Failure::of(&error)
}

/// Chooses the way to the gateway: with a token over HTTP, else the local socket.
pub(crate) fn client(config: Option<&Path>, running: &Running) -> Result<Client, Failure> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let url = running.url.clone().or_else(|| variable(URL));
    let Some(token) = variable(TOKEN) else {
        if running.url.is_some() {
            return Err(Failure::usage(format!("--url needs a token in {TOKEN}")));
        }
        return Client::local(&settings::load(config)?.state).map_err(failed);
    };
    let url = match url {
        Some(url) => url,
        None => {
            let listen = settings::load(config)?.listen;
            let Some(address) = listen.http.first() else {
                let text =
                    format!("the configuration has no listen.http; name the gateway with --url or {URL}");
                return Err(Failure::new(text));
            };
            let scheme = if listen.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{address}")
        }
    };
    let authority = match running.ca.clone().or_else(|| variable(AUTHORITY).map(Into::into)) {
        Some(path) => {
            let read = std::fs::read(&path);
            Some(read.map_err(|error| Failure::caused(&format!("can't read {}", path.display()), error))?)
        }
        None => None,
    };
    Client::remote(&url, Secret::new(token), authority.as_deref()).map_err(failed)
}

/// Prints objects, as rows or as they are.
pub(crate) fn print(answer: &Value, headings: &[&str], format: Format) -> Result<(), Failure> {
    let items = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let cell = |item: &Value, heading: &&str| Cell::new(item.get(*heading).cloned().unwrap_or_default());
    let rows: Vec<Vec<Cell>> =
        items.iter().map(|item| headings.iter().map(|heading| cell(item, heading)).collect()).collect();
    Out::new().table(format, headings, &rows)
}
