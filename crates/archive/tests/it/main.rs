//! Every kind of store that can be had here does the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on has nothing better to do than panic"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use archive::{Archive, Kind, Put, Trial};
use bytes::Bytes;
use config::SecretRef;
use config::{AzureCredentials, ObjectPlace, ObjectStore, S3Credentials, S3Keys};
use model::Secret;
use testkit::s3::S3;
use testkit::scratch::Scratch;

fn folder(path: &Path) -> ObjectStore {
    let place = ObjectPlace::Folder(path.to_owned());
    ObjectStore { name: "here".to_owned(), place, prefix: String::new(), endpoint: None, ca: None }
}

fn s3(endpoint: String, bucket: &str, prefix: &str) -> ObjectStore {
    let credentials = S3Credentials::Keys(Box::new(S3Keys {
        access_key_id: SecretRef::Env("I".to_owned()),
        secret_access_key: SecretRef::Env("K".to_owned()),
        session_token: None,
    }));
    let place = ObjectPlace::S3 { bucket: bucket.to_owned(), region: "eu-central-1".to_owned(), credentials };
    ObjectStore {
        name: "s3".to_owned(),
        place,
        prefix: prefix.to_owned(),
        endpoint: Some(endpoint),
        ca: None,
    }
}

fn secrets(texts: &[&str]) -> Vec<Secret<String>> {
    texts.iter().map(|text| Secret::new((*text).to_owned())).collect()
}

/// What holds of every store.
async fn suite(archive: &Archive) {
    assert_eq!(archive.trial("1").await.unwrap(), Trial::Deleted);
    assert_eq!(archive.list("", 10).await.unwrap(), []);
    assert_eq!(archive.put_new("a/one", Bytes::from_static(b"first")).await.unwrap(), Put::Stored);
    assert_eq!(archive.put_new("a/one", Bytes::from_static(b"second")).await.unwrap(), Put::AlreadyThere);
    assert_eq!(archive.get("a/one", 100).await.unwrap(), "first");
    archive.put("a/one", Bytes::from_static(b"third one")).await.unwrap();
    assert_eq!(archive.get("a/one", 100).await.unwrap(), "third one");
    assert!(matches!(archive.get("a/one", 8).await.unwrap_err().kind(), Kind::TooLarge(8)));
    assert_eq!(archive.range("a/one", 6..9).await.unwrap(), "one");
    assert_eq!(archive.range("a/one", 6..900).await.unwrap(), "one");
    assert!(archive.range("a/one", 900..901).await.is_err());

    // Larger than two parts.
    let block: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut upload = archive.upload("b/large").unwrap();
    for _ in 0..18 {
        upload.write(&block).await.unwrap();
    }
    assert_eq!(archive.head("b/large").await.unwrap(), None, "nothing is there before it is whole");
    assert_eq!(upload.finish().await.unwrap(), 18 * 1_000_003);
    assert_eq!(archive.head("b/large").await.unwrap().unwrap().bytes, 18 * 1_000_003);
    let read = archive.get("b/large", 100_000_000).await.unwrap();
    assert!(read.chunks(block.len()).all(|chunk| chunk == block));
    let mut upload = archive.upload("b/small").unwrap();
    upload.write(b"x").await.unwrap();
    assert_eq!(upload.finish().await.unwrap(), 1);
    let mut upload = archive.upload("b/never").unwrap();
    upload.write(&vec![0; 9 << 20]).await.unwrap();
    upload.abort().await.unwrap();

    let keys = |entries: Vec<archive::Entry>| entries.into_iter().map(|it| it.key).collect::<Vec<_>>();
    assert_eq!(keys(archive.list("", 10).await.unwrap()), ["a/one", "b/large", "b/small"]);
    assert_eq!(keys(archive.list("b", 10).await.unwrap()), ["b/large", "b/small"]);
    assert!(matches!(archive.list("", 2).await.unwrap_err().kind(), Kind::TooMany(2)));
    assert!(archive.list("a", 10).await.unwrap()[0].modified > 1_600_000_000_000);

    archive.delete("b/large").await.unwrap();
    archive.delete("b/large").await.unwrap();
    assert_eq!(archive.head("b/large").await.unwrap(), None);
    assert!(matches!(archive.get("b/large", 10).await.unwrap_err().kind(), Kind::NotFound));
    for bad in ["", "/a", "a/", "a//b", "../x", "a/../../x", "a\\b", "a b", "é", "a\0", &"x".repeat(1000)] {
        let refused = archive.put(bad, Bytes::new()).await.unwrap_err();
        assert!(matches!(refused.kind(), Kind::BadKey), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_an_object_store() {
    let scratch = Scratch::new("archive");
    let path = scratch.path().join("deep/archive");
    let archive = Archive::open(&folder(&path), &[]).unwrap();
    suite(&archive).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    // What another process left half written is no object.
    fs::write(path.join("a/one#7"), b"half").unwrap();
    assert_eq!(archive.list("a", 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_speaks_like_s3_is_an_object_store() {
    let server = S3::start(&["evidence", "bare"]);
    let keys = secrets(&["AKIATEST\n", "secret"]);
    let archive = Archive::open(&s3(server.endpoint(), "evidence", "gatepost/one"), &keys).unwrap();
    suite(&archive).await;
    assert!(server.request("GET /evidence/gatepost/one/a/one").ends_with("third one"));
    suite(&Archive::open(&s3(server.endpoint(), "bare", ""), &keys).unwrap()).await;

    let nowhere = Archive::open(&s3(server.endpoint(), "nothing", ""), &keys).unwrap();
    let told = nowhere.put("a", Bytes::new()).await.unwrap_err().to_string();
    assert!(told.starts_with("object store \"s3\", object \"a\": ") && !told.contains('<'), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_is_told_in_bounded_time() {
    let port = testkit::process::free_port();
    let archive =
        Archive::open(&s3(format!("http://127.0.0.1:{port}"), "evidence", ""), &secrets(&["i", "k"]))
            .unwrap();
    let told = archive.put("a", Bytes::new()).await.unwrap_err();
    assert!(matches!(told.kind(), Kind::Other(_)), "{told}");
}

#[test]
fn a_wrong_key_is_not_repeated() {
    let google = ObjectStore {
        place: ObjectPlace::Gcs {
            bucket: "b".to_owned(),
            service_account: Some(SecretRef::Env("G".to_owned())),
        },
        ..folder(Path::new("/"))
    };
    let azure = ObjectStore {
        place: ObjectPlace::Azure {
            account: "a".to_owned(),
            container: "c".to_owned(),
            credentials: AzureCredentials::Key(SecretRef::Env("A".to_owned())),
        },
        ..folder(Path::new("/"))
    };
    for store in [google, azure] {
        let told = Archive::open(&store, &secrets(&["hunter2!"])).unwrap_err().to_string();
        assert!(told.contains("key") && !told.contains("hunter2"), "{told}");
        assert!(Archive::open(&store, &[]).unwrap_err().to_string().ends_with("a secret is missing"));
    }
}
