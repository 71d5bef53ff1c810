//! A store in a file: the suite, and files that are not as they should be.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use approval::{Number, Stamp, State};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use store::{Location, Probe, Store, StoreError, probe};

use crate::{request, suite};

pub(crate) fn at(path: &Path) -> Location {
    Location::Sqlite(path.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_holds_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    suite::holds(at(&folder.path().join("store.db"))).await;
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/store.db");
    let store = Store::open(at(&path)).await.unwrap();
    request(&store, "SELECT 1", State::Open).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    drop(store);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let refused = Store::open(at(&path)).await.err().unwrap();
    assert!(matches!(refused, StoreError::Exposed { mode: 0o640, .. }), "{refused}");
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    assert_eq!(probe(&at(&path)).await.unwrap_err(), refused);
}

#[tokio::test]
async fn what_is_written_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let location = at(&path);
    assert!(matches!(probe(&location).await.unwrap(), Probe { schema: None, .. }));
    assert!(!path.exists(), "looking made a file");
    let store = Store::open(location.clone()).await.unwrap();
    let number = request(&store, "SELECT 1", State::Approved).await;
    drop(store);
    assert!(matches!(probe(&location).await.unwrap(), Probe { schema: Some(1), .. }));
    let store = Store::open(location).await.unwrap();
    assert_eq!(store.request(number).await.unwrap().unwrap().request.state, State::Approved);
    assert!(request(&store, "SELECT 2", State::Open).await > number);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(
        &text,
        "not a database, but long enough to have had a header of one hundred bytes: ".repeat(20),
    )
    .unwrap();
    let other = folder.path().join("other.db");
    sqlite3(&other, "CREATE TABLE t (a)").await;
    for path in [&text, &other] {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        let before = fs::read(path).unwrap();
        let refused = Store::open(at(path)).await.err().unwrap();
        assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused}");
        assert_eq!(probe(&at(path)).await.unwrap_err(), refused);
        assert_eq!(fs::read(path).unwrap(), before, "{path:?} was changed");
    }
    let refused = Store::open(at(folder.path())).await.err().unwrap();
    assert!(matches!(refused, StoreError::ReadOnly { .. } | StoreError::NotOurs { .. }), "{refused}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Store::open(at(&path)).await.unwrap());
    sqlite3(&path, "PRAGMA user_version = 999").await;
    let refused = Store::open(at(&path)).await.err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found: 999, .. }), "{refused}");
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(at(&path)).await.unwrap();
    let fill = "INSERT INTO outbox (channel, kind, number, made, state, next, attempts, body)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
        SELECT 'hook', 'x' || i, 1, 1, 'waiting', 1, 0, '{}' FROM n;
        INSERT INTO login_attempts (digest, expires, body)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) SELECT i, 100, '' FROM n";
    sqlite3(&path, fill).await;
    store.enqueue("hook", "x", Number(1), "{}", Stamp(1)).await.unwrap();
    assert_eq!(store.enqueue("hook", "x", Number(1), "{}", Stamp(1)).await.unwrap(), None);
    let full = store.enqueue("hook", "y", Number(1), "{}", Stamp(1)).await.unwrap_err();
    assert!(matches!(full, StoreError::Full { most: 10_000, .. }), "{full}");
    store.begin_login("a", "", Stamp(100), Stamp(1)).await.unwrap();
    let full = store.begin_login("b", "", Stamp(100), Stamp(1)).await.unwrap_err();
    assert!(matches!(full, StoreError::Full { most: 10_000, .. }), "{full}");
    // Those that are over make room.
    store.begin_login("b", "", Stamp(200), Stamp(100)).await.unwrap();
}

/// Runs SQL on a file, as another program would.
async fn sqlite3(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
