//! A changed bundle, certificate or configuration is put in force without a restart, whole or not at all.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::Event;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::gateway::{Gateway, Live, Served};
use crate::trust::{Kind, Selector};
use crate::{probe, rotation, serve, tags};

/// How long files must be quiet: editors and Kubernetes write several.
const QUIET: Duration = Duration::from_millis(200);

/// How long they may go on being written before they are read anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches the folders of all bundles, and the configuration's file. The watch ends when the result is dropped.
pub(crate) fn watch(gateway: &Arc<Gateway>) -> Option<RecommendedWatcher> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let folders: HashSet<PathBuf> =
        gateway.databases.values().map(|served| served.config.policy.clone()).collect();
    let files = rotation::Files::of(&gateway.config);
    // The watcher reports whole paths.
    let of_bundles: Vec<_> = folders.iter().filter_map(|folder| std::path::absolute(folder).ok()).collect();
    let mut beside: HashSet<PathBuf> = files.folders().into_iter().collect();
    let own = gateway.source.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    beside.insert(own.to_owned());
    let own = std::path::absolute(own).unwrap_or_default();
    let name = gateway.source.file_name().map(OsStr::to_owned).unwrap_or_default();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // In Kubernetes the file is a link through `..data`, which is what is replaced.
        let configures = |path: &PathBuf| {
            path.file_name().is_some_and(|it| it == name || it == "..data")
                && path.parent().is_some_and(|folder| folder == own)
        };
        let concerns = |path: &PathBuf| {
            of_bundles.iter().any(|it| path.starts_with(it))
                || files.may_change_with(path)
                || configures(path)
        };
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(concerns)) {
            // The receiver ends only with the process.
            let _ = sender.send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "changed files can't be noticed; SIGHUP reloads them");
            return None;
        }
    };
    for folder in folders {
        if let Err(error) = watcher.watch(&folder, RecursiveMode::Recursive) {
            tracing::error!(%error, folder = %folder.display(), "policy folder can't be watched; SIGHUP reloads it");
        }
    }
    for folder in beside {
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::error!(%error, folder = %folder.display(), "folder can't be watched; SIGHUP reloads its files");
        }
    }
    tokio::spawn(on_change(gateway.clone(), receiver));
    Some(watcher)
}

async fn on_change(gateway: Arc<Gateway>, mut changes: mpsc::UnboundedReceiver<()>) {
    while changes.recv().await.is_some() {
        let latest = Instant::now() + PATIENCE;
        while Instant::now() < latest
            && tokio::time::timeout(QUIET, changes.recv()).await.is_ok_and(|change| change.is_some())
        {
        }
        all(&gateway).await;
    }
}

/// Loads the configuration and every bundle again, and puts those that changed in force.
pub(crate) async fn all(gateway: &Arc<Gateway>) {
    // A signal and a changed file may come at once.
    let _one = gateway.reloading.lock().await;
    configuration(gateway).await;
    rotation::all(gateway).await;
    for served in gateway.databases.values() {
        one(gateway, served).await;
    }
}

/// Reads the configuration again, and puts in force what can change while the gateway runs.
async fn configuration(gateway: &Gateway) {
    let source = gateway.source.clone();
    // It looks at files, which may be on a slow disk.
    let read = tokio::task::spawn_blocking(move || config::Config::load(&source)).await;
    let before = gateway.live();
    let outcome = match read {
        Ok(Ok(config)) if config == *gateway.read.lock() => return,
        Ok(Ok(config)) => {
            changed(gateway, &before, config.clone()).inspect(|()| *gateway.read.lock() = config)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let Err(reason) = outcome else { return };
    tracing::error!(reason, "the changed configuration is refused; all stays as it was");
    if let Err(error) = gateway.record(&Event::ConfigurationReloaded { config_hash: None, detail: &reason }) {
        tracing::error!(%error, "that a configuration was refused can't be recorded");
    }
}

/// Puts a changed configuration in force.
fn changed(gateway: &Gateway, before: &Live, config: config::Config) -> Result<(), String> {
    let hash = hex::encode(Sha256::digest(config::render_redacted(&config)));
    let (changes, waiting) = difference(&before.config, &config);
    let config = merged(&gateway.config, config);
    let live = serve::live(&config, Some(before)).map_err(|error| oidc::chain(&error))?;
    let mut detail = if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") };
    detail.push_str(" changed");
    if !waiting.is_empty() {
        detail.push_str(&format!("; {} only with a restart", waiting.join(", ")));
        tracing::warn!(sections = waiting.join(", "), "changes that only a restart puts in force");
    }
    let event = Event::ConfigurationReloaded { config_hash: Some(&hash), detail: &detail };
    gateway.record(&event).map_err(|error| format!("it can't be recorded: {error}"))?;
    live.issuers.warm();
    gateway.go_live(live);
    gateway.notices.configure(config.notify.clone());
    tracing::info!(detail, "configuration is in force");
    end_untrusted(gateway, before, &config);
    Ok(())
}

/// Says which sections changed, and which of them can't while the gateway runs.
fn difference(old: &config::Config, new: &config::Config) -> (Vec<&'static str>, Vec<&'static str>) {
    let live_limits = |limits: &config::Limits| {
        (limits.authentication_timeout, limits.connect_timeout, limits.drain_timeout)
    };
    // All but the times.
    let others_are = with_times_of(&new.limits, &old.limits);
    let at_once = [
        ("[[issuer]]", old.issuers != new.issuers),
        ("[[auth]]", old.auth != new.auth),
        ("[operators]", old.operators != new.operators),
        ("[console]", old.console != new.console),
        ("[[notify]]", old.notify != new.notify),
        ("timeouts of [limits]", live_limits(&old.limits) != live_limits(&new.limits)),
    ];
    let at_start = [
        ("[listen]", old.listen != new.listen),
        ("[[database]]", old.databases != new.databases),
        ("[[legacy]]", old.legacy != new.legacy),
        ("[passthrough]", old.passthrough != new.passthrough),
        ("[journal]", old.journal != new.journal),
        ("[limits]", others_are != old.limits),
        ("[mask]", old.mask != new.mask),
        ("[state]", old.state != new.state),
        ("[store]", old.store != new.store),
        ("[[object_store]]", old.object_stores != new.object_stores),
        ("[[stream]]", old.streams != new.streams),
        ("[telemetry]", old.telemetry != new.telemetry),
    ];
    let named = |of: &[(&'static str, bool)]| of.iter().filter(|it| it.1).map(|it| it.0).collect();
    (named(&at_once), named(&at_start))
}

/// Returns limits whose timeouts, which can change at any time, are another's.
fn with_times_of(limits: &config::Limits, times: &config::Limits) -> config::Limits {
    config::Limits {
        authentication_timeout: times.authentication_timeout,
        connect_timeout: times.connect_timeout,
        drain_timeout: times.drain_timeout,
        ..limits.clone()
    }
}

/// Returns what is in force: of a changed configuration what can change, else what the gateway was started with.
fn merged(started: &config::Config, new: config::Config) -> config::Config {
    let config::Config { issuers, auth, operators, console, notify, limits, .. } = new;
    let limits = with_times_of(&started.limits, &limits);
    config::Config { issuers, auth, operators, console, notify, limits, ..started.clone() }
}

/// Ends the sessions that would not be let in any more.
fn end_untrusted(gateway: &Gateway, before: &Live, config: &config::Config) {
    for old in &before.config.issuers {
        // One of the same name elsewhere is another issuer.
        if config.issuers.iter().any(|new| (&new.name, &new.url) == (&old.name, &old.url)) {
            continue;
        }
        let reason = format!("issuer \"{}\" is no longer trusted", old.name);
        let selector = Selector::new(Kind::Issuer, &old.name);
        let found = gateway.trust.condemn(&[selector], None, &reason, Instant::now());
        tracing::info!(issuer = old.name, sessions = found.len(), "sessions of a removed issuer are ended");
        found.iter().for_each(|entry| entry.end(&reason));
    }
    if before.config.auth == config.auth {
        return;
    }
    for entry in gateway.trust.sessions() {
        let address = entry.client.0.ip().to_canonical();
        let rule = config.auth_rule(&entry.user, &entry.database, address);
        let admitted = match (rule, entry.who()) {
            (None, _) => false,
            (Some(rule), _) if *rule == *entry.rule => true,
            (Some(config::AuthRule { method: config::AuthMethod::Reject, .. }), _) => false,
            (Some(rule), Some(who)) => rule.accepts_issuer(&who.identity.issuer),
            // Not yet anybody, by a rule that is no more.
            (Some(_), None) => false,
        };
        if !admitted {
            entry.end("no [[auth]] rule of the gateway admits this connection any more");
        }
    }
}

async fn one(gateway: &Gateway, served: &Served) {
    let name = &served.config.name;
    let bundle = match policy::load(&served.config.policy, name) {
        Ok(bundle) => bundle,
        Err(error) => return refuse(gateway, name, &error.to_string()),
    };
    if bundle.hash() == served.bundle().hash() {
        return;
    }
    // SECURITY: a bundle whose tests can't be run is as good as one whose tests fail.
    let (epoch, taken) = (served.database.epoch(), Instant::now());
    let catalog = match probe::run_tests(&served.config, &bundle).await {
        Ok(catalog) => Some(catalog),
        // It has none, and what its tags name is seen at the next login.
        Err(probe::TestError::NoQuestions(0)) => None,
        Err(why) => return refuse(gateway, name, &oidc::chain(&why)),
    };
    let hash = hex::encode(bundle.hash());
    let event =
        Event::PolicyLoaded { database: name, bundle: bundle.name(), version: bundle.version(), hash: &hash };
    if let Err(error) = gateway.record(&event) {
        tracing::error!(%error, database = name, "the new policy is not put in force: that can't be recorded");
        return;
    }
    tracing::info!(database = name, version = bundle.version(), hash, "policy is in force");
    // Before the bundle: what its tags name is what these names stand for now, whatever becomes of the names.
    if let Some(catalog) = catalog {
        tags::keep(served, &bundle, Arc::unwrap_or_clone(catalog), epoch, taken);
        served.replace(bundle);
    } else {
        served.replace(bundle);
        served.database.catalog_changed();
    }
}

fn refuse(gateway: &Gateway, database: &str, reason: &str) {
    tracing::error!(database, reason, "the changed policy is refused; the one before it stays in force");
    if let Err(error) = gateway.record(&Event::PolicyRefused { database, reason }) {
        tracing::error!(%error, "that a policy was refused can't be recorded");
    }
}
