//! A store in PostgreSQL: the suite on the oldest and newest common version, outages, and servers that are not as they should be.

use std::time::Duration;

use approval::State;
use store::{Change, Location, Password, Postgres, Probe, Store, StoreError, Tls, probe};
use testkit::postgres::{Cluster, Options, Version};

use crate::suite::told;
use crate::{request, suite};

fn at(cluster: &Cluster, user: &str, database: &str) -> Location {
    Location::Postgres(Postgres {
        host: "127.0.0.1".to_owned(),
        port: cluster.port(),
        database: database.to_owned(),
        user: user.to_owned(),
        password: Password::none(),
        tls: Tls::Disable,
    })
}

/// A role that owns one database and may do nothing else.
fn database(cluster: &Cluster) {
    cluster.psql("CREATE ROLE keeper LOGIN");
    cluster.fresh_database("control", "keeper");
}

async fn holds(version: Version) {
    let cluster = Cluster::plain(version);
    database(&cluster);
    suite::holds(at(&cluster, "keeper", "control")).await;
    let public = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(cluster.psql_in("control", public), "0", "only in a schema of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_15_holds_the_suite() {
    holds(Version::V15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_18_holds_the_suite() {
    holds(Version::V18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_gateways_make_one_schema() {
    let cluster = Cluster::plain(Version::V15);
    database(&cluster);
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..6 {
        opening.spawn(Store::open(at(&cluster, "keeper", "control")));
    }
    for opened in opening.join_all().await {
        assert_eq!(opened.unwrap().health().trouble, None);
    }
    assert_eq!(cluster.psql_in("control", "SELECT count(*) FROM gatepost.schema_version"), "1");
}

/// Waits until a store can be used, or can't.
async fn becomes(store: &Store, usable: bool) {
    let waiting = async {
        while store.health().trouble.is_none() != usable {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "{:?}", store.health());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_refuses_at_once_and_heals_and_has_everything_read_again() {
    let mut cluster = Cluster::plain(Version::V15);
    database(&cluster);
    let store = Store::open(at(&cluster, "keeper", "control")).await.unwrap();
    let number = request(&store, "SELECT 1", State::Open).await;
    let mut changes = store.changes();
    cluster.stop();
    becomes(&store, false).await;
    let asked = std::time::Instant::now();
    let refused = store.request(number).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert!(store.health().errors > 0);
    // A gateway that starts meanwhile starts, and refuses.
    let late = Store::open(at(&cluster, "keeper", "control")).await.unwrap();
    assert!(late.open_request(&crate::ask("x"), "gw", approval::Stamp(1), approval::Stamp(2)).await.is_err());
    assert!(matches!(probe(&at(&cluster, "keeper", "control")).await, Err(StoreError::Unavailable { .. })));
    cluster.resume();
    becomes(&store, true).await;
    becomes(&late, true).await;
    told(&mut changes, Change::Everything).await;
    assert!(store.request(number).await.unwrap().is_some());
    assert!(request(&late, "SELECT 2", State::Open).await > number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_ended_comes_back() {
    let cluster = Cluster::plain(Version::V18);
    database(&cluster);
    let store = Store::open(at(&cluster, "keeper", "control")).await.unwrap();
    let other = Store::open(at(&cluster, "keeper", "control")).await.unwrap();
    let mut changes = store.changes();
    cluster.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'control'");
    told(&mut changes, Change::Everything).await;
    becomes(&other, true).await;
    let number = request(&other, "SELECT 1", State::Open).await;
    told(&mut changes, Change::Request { number, version: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_on_disk_although_the_database_does_not_care() {
    // The kit's clusters have synchronous_commit off.
    let cluster = Cluster::plain(Version::V15);
    database(&cluster);
    let store = Store::open(at(&cluster, "keeper", "control")).await.unwrap();
    for _ in 0..5 {
        request(&store, "SELECT 1", State::Open).await;
        let behind =
            "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() FROM pg_stat_activity LIMIT 1";
        assert_eq!(cluster.psql(behind), "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_as_they_should_be_are_told_apart() {
    let cluster = Cluster::plain(Version::V18);
    database(&cluster);
    cluster.psql("CREATE ROLE guest LOGIN");
    let guest = at(&cluster, "guest", "control");
    let refused = Store::open(guest.clone()).await.err().unwrap();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    assert!(refused.to_string().contains("needs CREATE on the database"), "{refused}");
    assert!(matches!(probe(&guest).await, Err(StoreError::ReadOnly { .. })));

    let keeper = at(&cluster, "keeper", "control");
    assert!(matches!(probe(&keeper).await, Ok(Probe { schema: None, .. })));
    assert_eq!(
        cluster.psql_in("control", "SELECT to_regnamespace('gatepost') IS NULL"),
        "t",
        "looking made a schema"
    );
    cluster.psql_in("control", "CREATE SCHEMA gatepost; CREATE TABLE gatepost.requests (a int)");
    let refused = Store::open(keeper.clone()).await.err().unwrap();
    assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused}");

    cluster.psql_in("control", "DROP SCHEMA gatepost CASCADE");
    drop(Store::open(keeper.clone()).await.unwrap());
    let Ok(found) = probe(&keeper).await else { panic!("not found") };
    assert_eq!(found.schema, Some(1));
    assert!(found.server.starts_with("PostgreSQL 18"), "{found:?}");
    cluster.psql_in("control", "INSERT INTO gatepost.schema_version (version) VALUES (999)");
    let refused = Store::open(keeper.clone()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found: 999, .. }), "{refused}");

    // What may pass is waited for: roles and databases come and go.
    let nobody = Store::open(at(&cluster, "nobody", "control")).await.unwrap();
    assert!(nobody.health().trouble.unwrap().contains("nobody"));
    let nowhere = Store::open(at(&cluster, "keeper", "nowhere")).await.unwrap();
    assert!(nowhere.health().trouble.unwrap().contains("nowhere"));

    cluster.psql_in("control", "DROP SCHEMA gatepost CASCADE");
    cluster.psql("ALTER DATABASE control SET default_transaction_read_only = on");
    let refused = Store::open(keeper).await.err().unwrap();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_proves_the_server_and_a_changed_password_is_fetched_again() {
    use std::sync::{Arc, Mutex};
    let hba = "hostssl all all all scram-sha-256";
    let mut cluster =
        Cluster::start(Version::V18, Options { ssl: true, hba: Some(hba.to_owned()), ..Options::default() });
    database(&cluster);
    cluster.psql("ALTER ROLE keeper PASSWORD 'first'");
    let current = Arc::new(Mutex::new("first"));
    let fetched = current.clone();
    let password = Password::new(move || {
        let password = *fetched.lock().unwrap();
        async move { Ok(Some(model::Secret::new(password.to_owned()))) }
    });
    let authority = cluster.authority().as_bytes().to_vec();
    let with = |host: &str, tls: Tls| {
        let Location::Postgres(plain) = at(&cluster, "keeper", "control") else { unreachable!() };
        Location::Postgres(Postgres { host: host.to_owned(), password: password.clone(), tls, ..plain })
    };
    let trusted = with("localhost", Tls::VerifyFull(authority));
    let untrusted = with("localhost", Tls::VerifyFull(Vec::new()));
    let plain = with("localhost", Tls::Disable);
    for location in [untrusted, plain] {
        let refused = probe(&location).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
        assert!(!format!("{refused:?} {location:?}").contains("first"));
    }
    let store = Store::open(trusted).await.unwrap();
    let number = request(&store, "SELECT 1", State::Open).await;
    cluster.psql("ALTER ROLE keeper PASSWORD 'second'");
    *current.lock().unwrap() = "second";
    cluster.stop();
    becomes(&store, false).await;
    cluster.resume();
    becomes(&store, true).await;
    assert!(store.request(number).await.unwrap().is_some());
}
