//! The console in a real browser: Debian's Chromium, driven by `browser/*.mjs`. What people do there is written down there.

use std::path::PathBuf;
use std::time::Duration;

use testkit::process::{Process, guarded, node, tools};

use crate::stage::repository;

/// A browser on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(400);

fn script(name: &str, arguments: &[&str]) {
    let chromium = PathBuf::from("/usr/bin/chromium");
    assert!(chromium.exists() && tools().join("browser/node_modules").exists(), "run `make setup`");
    // Ends with this process, and its browser with it.
    let mut command = guarded(node(), "TERM", None);
    command.arg(repository("crates/gatepost/tests/browser").join(name)).args(arguments);
    command.env("GATEPOST_TOOLS", tools());
    let mut running = Process::spawn(command).unwrap();
    let status = running.wait(LIMIT);
    assert!(status.is_some_and(|it| it.success()), "{name}: {status:?}; what it said is above");
}

#[test]
fn pages_are_accessible_fit_a_phone_and_show_strangers_text_as_text() {
    script("pages.mjs", &[&repository("crates/console/web").display().to_string()]);
}
