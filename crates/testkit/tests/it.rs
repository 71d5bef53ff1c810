//! The kit itself: clusters of every version, the raw client, the provider, and transcripts on PostgreSQL directly.

use std::path::Path;
use std::{env, fs, thread};

use testkit::client::Refused;
use testkit::oidc::Provider;
use testkit::postgres::{Cluster, Options, SUPERUSER, Version};
use testkit::{client, pt};
use wire::backend::tag;
use wire::startup::ProtocolVersion;

#[test]
fn every_version_starts_and_answers_on_tcp_and_socket() {
    for version in Version::ALL {
        let cluster = Cluster::plain(version);
        let number = cluster.psql("SELECT current_setting('server_version_num')::int / 10000");
        assert_eq!(number, version.major().to_string());
        let mut tcp = client::Connect::tcp(cluster.address()).user(SUPERUSER).database("postgres").open();
        assert_eq!(tcp.rows("SELECT 1, NULL, 'a' UNION ALL SELECT 2, 'x', 'b' ORDER BY 1"), "1||a\n2|x|b");
        assert_eq!(tcp.parameters["TimeZone"], "UTC");
    }
}

#[test]
fn cluster_keeps_data_and_port_over_a_restart_and_leaves_nothing_behind() {
    let mut cluster = Cluster::plain(Version::V15);
    cluster.psql("CREATE TABLE kept AS SELECT 7 AS n");
    let (port, pid) = (cluster.port(), cluster.pid().unwrap());
    cluster.stop();
    assert!(client::Connect::tcp(cluster.address()).stream().is_err());
    cluster.resume();
    assert_eq!((cluster.port(), cluster.psql("SELECT n FROM kept").as_str()), (port, "7"));
    assert_ne!(cluster.pid(), Some(pid));
    let (directory, pid) = (cluster.socket_dir().to_owned(), cluster.pid().unwrap());
    drop(cluster);
    assert!(!directory.exists() && !Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn cluster_outlives_the_thread_that_started_it() {
    let cluster = thread::spawn(|| Cluster::plain(Version::V15)).join().unwrap();
    // A signal that the thread's end had sent would arrive while these run.
    for _ in 0..50 {
        assert_eq!(cluster.psql("SELECT 1"), "1");
    }
}

#[test]
fn raw_client_authenticates_by_every_method_of_postgresql() {
    let hba = "host all plain all password\nhost all digest all md5\nhostssl all all all scram-sha-256";
    let options = Options { ssl: true, hba: Some(hba.into()), ..Options::default() };
    let cluster = Cluster::start(Version::V18, options);
    cluster.psql("CREATE ROLE plain LOGIN PASSWORD 'p'; CREATE ROLE scram LOGIN PASSWORD 'p'");
    cluster.psql("SET password_encryption = md5; CREATE ROLE digest LOGIN PASSWORD 'p'");
    let tcp = client::Connect::tcp(cluster.address()).database("postgres").password("p");
    let tls = |connect: client::Connect| connect.tls(cluster.authority());

    for connect in [
        tcp.clone().user("plain"),
        tcp.clone().user("digest"),
        tls(tcp.clone().user("scram")),
        tcp.clone().user("scram").direct_tls(cluster.authority()),
    ] {
        assert_eq!(connect.open().rows("SELECT 1"), "1");
    }
    let refused = tls(tcp.clone().user("scram").password("q")).try_open().err().unwrap();
    assert_eq!(refused.sqlstate(), "28P01");
    let refused = tcp.user("scram").try_open().err().unwrap();
    assert!(
        matches!(&refused, Refused::Error(message) if message.field(b'M').contains("no encryption")),
        "{refused:?}"
    );
}

#[test]
fn raw_client_negotiates_the_version() {
    for (version, negotiated, key_bytes) in [(Version::V15, true, 4), (Version::V18, false, 32)] {
        let cluster = Cluster::plain(version);
        let raw = cluster.socket(SUPERUSER, "postgres").version(ProtocolVersion::V3_2).open();
        assert_eq!((raw.negotiated.is_some(), raw.key.len()), (negotiated, key_bytes), "{version}");
    }
}

#[test]
fn provider_issues_tokens_and_rotates_keys() {
    let provider = Provider::with_clients(&["robot=a,b"]);
    assert_eq!(provider.token("robot").split('.').count(), 3);
    provider.rotate();
    assert_eq!(provider.fetches(), (0, 0));
}

/// Every transcript, on every version, twice: the file says what comes, and nothing in it varies.
///
/// With `GATEPOST_REWRITE=1` the files are rewritten with what PostgreSQL 15 says, and the others must agree.
#[test]
fn transcripts_are_what_postgresql_says() {
    let files = pt::transcripts();
    assert!(files.len() >= 25, "only {} transcripts", files.len());
    let rewrite = env::var_os("GATEPOST_REWRITE").is_some();
    let mut differences = Vec::new();
    for version in Version::ALL {
        let cluster = Cluster::plain(version);
        for file in &files {
            for _ in 0..2 {
                pt::prepare(&cluster, "pt");
                let found = pt::run(file, || cluster.socket(pt::ROLE, "pt").open());
                if rewrite && version == Version::V15 {
                    fs::write(file, &found).unwrap();
                }
                let expected = fs::read_to_string(file).unwrap();
                if let Some(difference) = pt::difference(&expected, &found) {
                    differences.push(format!("{version}: {}:{difference}", file.display()));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn transcript_that_waits_in_vain_says_what_came() {
    let cluster = Cluster::plain(Version::V15);
    pt::prepare(&cluster, "pt");
    let text = "send\nQuery {\"query\": \"SELECT 1\"}\nTerminate\n\nuntil\nCopyDone\n";
    let problem = pt::run_text(text, || cluster.socket(pt::ROLE, "pt").open()).unwrap_err();
    assert!(
        problem.starts_with("no CopyDone: connection closed") && problem.contains("SELECT 1"),
        "{problem}"
    );
}

#[test]
fn errors_reach_the_caller_as_messages() {
    let cluster = Cluster::plain(Version::V15);
    let messages = cluster.connect("postgres").query("SELECT 1/0");
    let tags: Vec<u8> = messages.iter().map(|message| message.tag).collect();
    assert_eq!(tags, [tag::ERROR_RESPONSE, tag::READY_FOR_QUERY]);
    assert_eq!(messages[0].field(b'C'), "22012");
}

#[test]
fn counted_bytes_are_those_of_the_messages() {
    let cluster = Cluster::plain(Version::V15);
    let mut raw = cluster.connect("postgres");
    let sql = "SELECT n, repeat('x', n % 5000) FROM generate_series(1, 5000) n";
    let bytes: usize = raw.query(sql).iter().map(|message| message.body.len() + 5).sum();
    assert_eq!(raw.count(sql), bytes as u64);
    assert_eq!(raw.rows("SELECT 'and it goes on'"), "and it goes on");
}
