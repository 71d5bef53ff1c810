//! Where files go that must outlive the machine. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const OBJECT_STORE: Section = Section {
    name: "object_store",
    header: "[[object_store]]",
    about: "Where files are put that must outlive this machine; other tables name it. `gatepost archive test` writes, reads and deletes an object in each. Keys that mean nothing for a kind are refused.",
    keys: &[
        key("name", "string", Required, "Unique; lower-case letters, digits, `-` and `_`."),
        key(
            "url",
            "URL",
            Required,
            "`file:PATH`: a folder, made where it is missing, with mode 0700. `s3://BUCKET/PREFIX`: Amazon S3, or what speaks like it. `gs://BUCKET/PREFIX`: Google Cloud Storage. `az://ACCOUNT/CONTAINER/PREFIX`: Azure Blob Storage. The prefix may be left out.",
        ),
        key(
            "endpoint",
            "URL",
            Absent("the cloud's own"),
            "Where it is asked, for stores that speak like S3, and for others' emulators. `http:` only on loopback.",
        ),
        key("region", "string", Toml("\"us-east-1\""), "S3: the bucket's region."),
        key(
            "credentials",
            "string",
            Toml("\"keys\""),
            "`keys`: what the keys below say. `web-identity`: S3: `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`; Azure: `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`. `container`: S3: what ECS and EKS give a container. `instance`: the metadata service of the machine. One place, not a chain.",
        ),
        key(
            "access_key_id",
            "secret reference",
            Absent("S3 must have it with `keys`"),
            "S3: the access key's id.",
        ),
        key(
            "secret_access_key",
            "secret reference",
            Absent("S3 must have it with `keys`"),
            "S3: its secret.",
        ),
        key("session_token", "secret reference", Absent("it is no temporary key"), "S3: its session token."),
        key(
            "service_account",
            "secret reference",
            Absent("Google must have it with `keys`"),
            "Google: a service account's key, in JSON.",
        ),
        key(
            "account_key",
            "secret reference",
            Absent("Azure must have it with `keys`"),
            "Azure: the storage account's key.",
        ),
        key(
            "ca",
            "path",
            Absent("the system's authorities only"),
            "PEM file: authorities that are trusted besides.",
        ),
    ],
    later: &[],
};
