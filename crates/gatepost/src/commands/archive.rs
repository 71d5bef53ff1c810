//! `gatepost archive`: tries object stores out. Needs no running gateway.

use std::path::Path;

use server::archives::Trial;

use crate::args::Archive;
use crate::commands::check::{Finding, show};
use crate::failure::{Failure, Status, chain};
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, command: Archive) -> Result<Status, Failure> {
    let Archive::Test { store, format } = command;
    let config = settings::load(config)?;
    let chosen: Vec<_> =
        config.object_stores.iter().filter(|it| store.as_ref().is_none_or(|name| *name == it.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = config.object_stores.iter().map(|it| it.name.as_str()).collect();
        return Err(Failure::usage(match (store, names.is_empty()) {
            (Some(name), false) => {
                format!("there is no [[object_store]] named \"{name}\"; there is {}", names.join(", "))
            }
            (_, true) | (None, false) => "the configuration has no [[object_store]]".to_owned(),
        }));
    }
    let mut findings = Vec::new();
    for it in chosen {
        findings.push(match server::archives::test(it).await {
            Ok(Trial::Deleted) => {
                Finding::good("object store", &*it.name, "an object was written, kept from being written over, read, found and deleted")
            }
            Ok(Trial::Kept) => Finding::warning(
                "object store",
                &*it.name,
                "an object was written, kept from being written over, read and found; it may not be deleted and stays there",
            ),
            Err(error) => Finding::failed("object store", &*it.name, chain(&error)),
        });
    }
    show(&findings, format)
}
