//! `[[object_store]]`.

use std::path::Path;

use super::{check_line, parse, whole};
use crate::{AzureCredentials, Config, ObjectPlace, S3Credentials, render_redacted};

const KEYS: &str = "access_key_id = \"env:I\"\nsecret_access_key = \"env:K\"";

#[test]
fn every_kind_is_read_and_printed_again() {
    let config = parse(&whole(&format!(
        "[[object_store]]\nname = \"here\"\nurl = \"file:archive\"\n\
         [[object_store]]\nname = \"s3\"\nurl = \"s3://evidence/gatepost/one/\"\nregion = \"eu-central-1\"\n{KEYS}\nsession_token = \"env:T\"\n\
         [[object_store]]\nname = \"minio\"\nurl = \"s3://evidence\"\nendpoint = \"https://minio.example.com:9000/\"\ncredentials = \"instance\"\n\
         [[object_store]]\nname = \"pod\"\nurl = \"s3://evidence\"\ncredentials = \"web-identity\"\n\
         [[object_store]]\nname = \"google\"\nurl = \"gs://evidence/a\"\nservice_account = \"env:G\"\n\
         [[object_store]]\nname = \"azure\"\nurl = \"az://account/box/a\"\naccount_key = \"env:A\"\n\
         [[object_store]]\nname = \"managed\"\nurl = \"az://account/box\"\ncredentials = \"instance\"\n",
    )))
    .unwrap();
    let [here, s3, minio, pod, google, azure, managed] = &config.object_stores[..] else { panic!("seven") };
    assert_eq!(here.place, ObjectPlace::Folder(Path::new("/etc/gatepost/archive").to_owned()));
    assert_eq!(s3.prefix, "gatepost/one");
    assert_eq!(s3.secrets().len(), 3);
    assert!(
        matches!(&s3.place, ObjectPlace::S3 { bucket, region, .. } if bucket == "evidence" && region == "eu-central-1")
    );
    assert_eq!(minio.endpoint.as_deref(), Some("https://minio.example.com:9000"));
    assert!(matches!(&pod.place, ObjectPlace::S3 { credentials: S3Credentials::WebIdentity, .. }));
    assert!(matches!(&google.place, ObjectPlace::Gcs { service_account: Some(_), .. }));
    assert!(matches!(&azure.place, ObjectPlace::Azure { container, .. } if container == "box"));
    assert_eq!(azure.prefix, "a");
    assert!(matches!(&managed.place, ObjectPlace::Azure { credentials: AzureCredentials::Instance, .. }));
    let printed = render_redacted(&config);
    let again = Config::parse(&printed, Path::new("/elsewhere")).map_err(|e| e.to_string()).unwrap();
    assert_eq!(again.object_stores, config.object_stores, "{printed}");
}

#[test]
fn what_is_wrong_with_an_object_store_is_told() {
    let wrong = |rest: &str, told: &str| {
        check_line(
            &whole(&format!("[[object_store]]\nname = \"a\"\n{rest}")),
            &format!("gatepost.toml:{told}"),
        );
    };
    wrong(
        "url = \"ftp://a\"",
        "3:7: error: \"url\" must be \"file:PATH\", \"s3://BUCKET/PREFIX\", \"gs://BUCKET/PREFIX\" or \"az://ACCOUNT/CONTAINER/PREFIX\"",
    );
    for url in ["s3://u:p@b", "s3://b/../c", "s3://b//c", "s3://b?x", "az://only"] {
        wrong(
            &format!("url = \"{url}\"\n{KEYS}"),
            "3:7: error: \"url\" must be made of letters, digits, \"-\", \"_\", \".\" and \"=\" with \"/\" between, without user, port and \"?\"",
        );
    }
    wrong(
        "url = \"s3://b\"\naccess_key_id = \"env:I\"",
        "1:1: error: [[object_store]] lacks \"secret_access_key\" (secret reference)",
    );
    wrong(
        "url = \"file:a\"\nregion = \"a\"",
        "4:10: error: \"region\" means nothing for a store at \"file:\"; remove it",
    );
    wrong(
        "url = \"gs://b\"\ncredentials = \"container\"",
        "4:15: error: there are no credentials \"container\" at \"gs:\"",
    );
    wrong(
        &format!("url = \"s3://b\"\ncredentials = \"instance\"\n{KEYS}"),
        "5:17: error: \"access_key_id\" is for credentials = \"keys\" only; remove it",
    );
    wrong(
        &format!("url = \"s3://b\"\nendpoint = \"http://minio.example.com\"\n{KEYS}"),
        "4:12: error: \"http://minio.example.com\" must be https; http is for loopback only",
    );
    wrong(
        "url = \"s3://b\"\naccess_key_id = \"AKIAEXAMPLE\"\nsecret_access_key = \"env:K\"",
        "4:17: error: \"access_key_id\" must say where the secret is, not what it is: \"env:NAME\", \"file:PATH\", \"exec:COMMAND\", \"vault:PATH#FIELD\" or \"aws:rds-iam\"",
    );
}
