//! Where secrets are fetched from. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const VAULT: Section = Section {
    name: "vault",
    header: "[vault]",
    about: "A HashiCorp Vault or OpenBao server, for `vault:PATH#FIELD`; see [secrets](../guide/secrets.md). Which keys belong to which `method` is said with each.",
    keys: &[
        key(
            "address",
            "URL",
            Required,
            "`https://HOST:PORT`; `http:` only on loopback. Redirects are not followed.",
        ),
        key("namespace", "string", Absent("none"), "The namespace that all paths are in."),
        key(
            "ca",
            "path",
            Absent("only the system's"),
            "PEM file: certificates of authorities that are trusted for this server in addition to the system's.",
        ),
        key("timeout", "time", Toml("\"5s\""), "For one request. From 1s to 10s."),
        key(
            "method",
            "string",
            Required,
            "How the gateway gets its token: `token`, `approle`, `kubernetes` or `jwt`.",
        ),
        key(
            "mount",
            "string",
            Absent("the method's name"),
            "`approle`, `kubernetes`, `jwt`: where the auth method is enabled, below `auth/`.",
        ),
        key("token", "secret reference", Absent("not for this method"), "`token`: the token itself."),
        key("role_id", "secret reference", Absent("not for this method"), "`approle`: the role's ID."),
        key(
            "secret_id",
            "secret reference",
            Absent("none is sent, for roles that bind none"),
            "`approle`: the secret ID.",
        ),
        key("role", "string", Absent("not for this method"), "`kubernetes`, `jwt`: the role to log in as."),
        key(
            "jwt",
            "secret reference",
            Absent("`kubernetes`: the file where pods have the token of their service account"),
            "`kubernetes`, `jwt`: the token to show. Its file may be readable by everybody.",
        ),
    ],
    later: &[],
};

pub(crate) const AWS: Section = Section {
    name: "aws",
    header: "[aws]",
    about: "For `aws:rds-iam`, a database password that is signed anew for each login; see [secrets](../guide/secrets.md).",
    keys: &[
        key(
            "region",
            "string",
            Absent("that of the upstream's host name"),
            "The database's region, as `eu-central-1`.",
        ),
        key(
            "credentials",
            "string",
            Required,
            "Where AWS credentials come from; nothing else is asked. `environment`: `AWS_ACCESS_KEY_ID` and its kin. `profile`: the shared credentials file. `web-identity`: a role of STS, by `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE` (IRSA). `container`: ECS, or EKS Pod Identity. `instance`: the metadata service of EC2, version 2.",
        ),
        key("profile", "string", Absent("`default`"), "The profile in the shared credentials file."),
        key(
            "endpoint",
            "URL",
            Absent("AWS's own"),
            "Asked in place of STS (`web-identity`) or the metadata service (`instance`). `https:`, or `http:` on loopback.",
        ),
    ],
    later: &[],
};
