//! A changed bundle, or certificate, is put in force without a restart, whole or not at all.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::Event;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::gateway::{Gateway, Served};
use crate::{probe, rotation, tags};

/// How long files must be quiet: editors and Kubernetes write several.
const QUIET: Duration = Duration::from_millis(200);

/// How long they may go on being written before they are read anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches the folders of all bundles. The watch ends when the result is dropped.
pub(crate) fn watch(gateway: &Arc<Gateway>) -> Option<RecommendedWatcher> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let folders: HashSet<PathBuf> =
        gateway.databases.values().map(|served| served.config.policy.clone()).collect();
    let files = rotation::Files::of(&gateway.config);
    // The watcher reports whole paths.
    let of_bundles: Vec<_> = folders.iter().filter_map(|folder| std::path::absolute(folder).ok()).collect();
    let beside = files.folders();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns =
            |path: &PathBuf| of_bundles.iter().any(|it| path.starts_with(it)) || files.may_change_with(path);
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(concerns)) {
            // The receiver ends only with the process.
            let _ = sender.send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "policy files can't be watched; SIGHUP reloads them");
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
            tracing::error!(%error, folder = %folder.display(), "certificates can't be watched; SIGHUP reloads them");
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

/// Loads every bundle and certificate again and puts those that changed in force.
pub(crate) async fn all(gateway: &Arc<Gateway>) {
    rotation::all(gateway).await;
    for served in gateway.databases.values() {
        one(gateway, served).await;
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
