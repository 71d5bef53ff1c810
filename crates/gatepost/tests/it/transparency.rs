//! With a policy that allows everything the gateway can't be told from PostgreSQL: every transcript of the test kit reads the
//! same through it.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::client::Connect;
use testkit::postgres::Version;
use testkit::pt;

use crate::stage::{Gate, Setup, Shop, cluster, repository};

/// How many databases one gateway serves here: each has a policy of its own to load.
const BATCH: usize = 12;

fn database_of(file: &Path) -> String {
    format!("pt_{}", file.file_stem().unwrap().to_str().unwrap())
}

/// Starts a gateway that serves the database of each file under its own name.
fn serve(version: Version, files: &[PathBuf]) -> Gate {
    let cluster = cluster(version);
    let section = |file: &PathBuf| {
        let (name, port) = (database_of(file), cluster.port());
        format!(
            "[[database]]\nname = \"{name}\"\npolicy = \"policy\"\n\
             upstream = \"postgres://127.0.0.1:{port}/{name}?sslmode=verify-full&sslrootcert=upstream-ca.crt\"\n\
             login = {{ kind = \"static\", user = \"env:SHOP_USER\", password = \"env:SHOP_PASSWORD\" }}\n"
        )
    };
    let setup = Setup {
        policy: repository("crates/policy/testdata/allow-all"),
        sections: files[1..].iter().map(section).collect(),
        environment: vec![("SHOP_USER".into(), pt::ROLE.into()), ("SHOP_PASSWORD".into(), pt::ROLE.into())],
        ..Setup::default()
    };
    // The first is served as `shop`.
    setup.start(Shop { cluster, database: database_of(&files[0]) })
}

fn check(version: Version) {
    let cluster = cluster(version);
    let files = pt::transcripts();
    assert!(files.len() >= 25, "only {} transcripts", files.len());
    let mut differences = Vec::new();
    for batch in files.chunks(BATCH) {
        let mut expected = Vec::new();
        for file in batch {
            let database = database_of(file);
            pt::prepare(cluster, &database);
            let direct =
                Connect::tcp(cluster.address()).tls(cluster.authority()).user(pt::ROLE).password(pt::ROLE);
            expected.push(pt::run(file, || direct.clone().database(&database).open()));
            // Afresh, before the gateway has seen it.
            pt::prepare(cluster, &database);
        }
        let gate = serve(version, batch);
        for (number, (file, expected)) in batch.iter().zip(expected).enumerate() {
            let name = if number == 0 { "shop".to_owned() } else { database_of(file) };
            let connect = gate.connect_to("anybody", &name);
            let text = fs::read_to_string(file).unwrap();
            match pt::run_text(&text, || connect.open()) {
                Ok(found) => {
                    let difference = pt::difference(&expected, &found);
                    differences
                        .extend(difference.map(|difference| format!("{}:{difference}", file.display())));
                }
                Err(problem) => differences.push(format!("{}: {problem}", file.display())),
            }
        }
    }
    assert!(differences.is_empty(), "{version}:\n{}", differences.join("\n"));
}

#[test]
fn transcripts_read_the_same_through_the_gateway_as_on_postgresql_15() {
    check(Version::V15);
}

#[test]
fn transcripts_read_the_same_through_the_gateway_as_on_postgresql_18() {
    check(Version::V18);
}
