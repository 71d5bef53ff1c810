//! The console in a real browser: Debian's Chromium, driven by `browser/*.mjs`. What people do there is written down there.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use testkit::oidc::Provider;
use testkit::postgres::Version;
use testkit::process::{Process, free_port, guarded, node, tools};

use crate::clients::psql;
use crate::sample;
use crate::stage::{CLIENTS, Setup, Shop, repository};

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

#[test]
fn people_log_in_decide_and_what_waits_goes_on() {
    let port = free_port();
    let public = format!("http://127.0.0.1:{port}");
    let people = ["lead=support-leads", "admin=dba", "stranger="];
    let provider = Provider::with_people(&CLIENTS, &people, &format!("{public}/login/callback"));
    let setup = Setup {
        tls: false,
        listen_keys: format!("http = \"127.0.0.1:{port}\"\npublic_url = \"{public}\"\n"),
        issuers: vec![("corp".into(), provider.issuer())],
        sections: "[console]\nissuer = \"corp\"\nclient_id = \"console\"\nscopes = [\"openid\", \"profile\"]\n\
                   [operators]\nviewer = \"corp:support-leads\"\napprover = \"corp:support-leads\"\noperator = \"corp:dba\"\n\
                   auditor = \"corp:dba\"\n"
            .into(),
        ..Setup::default()
    };
    let gate = setup.start(Shop::new(Version::V15));
    let token = provider.token_for("support-agent", "https://gatepost.test/es256?ttl=3600");
    let address = gate.gateway.postgres();
    let environment = json!({
        "PGHOST": address.ip().to_string(), "PGPORT": address.port().to_string(), "PGDATABASE": "shop",
        "PGUSER": "support-agent", "PGPASSWORD": token, "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "20",
    });
    let program = psql(Version::V15, &Vec::new()).get_program().to_string_lossy().into_owned();
    let given =
        json!({ "base": public, "issuer": provider.issuer(), "psql": program, "environment": environment });
    script("whole.mjs", &[&given.to_string()]);

    let voted = gate.events("approval_voted", 3);
    assert!(voted.iter().any(|it| it.to_string().contains("one at a time, please")), "{voted:#?}");
    assert_eq!(
        gate.shop.sql("SELECT count(*) FROM tickets WHERE id IN (1, 2, 4)"),
        "1",
        "only what was approved is gone"
    );
}

#[test]
fn the_page_that_is_exported_plays_offline_and_asks_nobody() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("session.html");
    let (mut html, mut page) = replay::export::Html::begin(&sample::opening());
    for entry in sample::entries() {
        page += &html.entry(&entry);
    }
    std::fs::write(&file, page + &html.end()).unwrap();
    script("replay.mjs", &[&file.display().to_string()]);
}
