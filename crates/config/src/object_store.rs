//! `[[object_store]]`: where files are put that must outlive this machine. Opens nothing, and fetches no secret.

use std::fmt;
use std::path::PathBuf;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::vault::{address, optional};
use crate::words::{name, one_of};

/// A place for objects: named byte strings that are written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStore {
    /// Unique; lower-case letters, digits, `-`, `_`.
    pub name: String,
    /// Where it is, and who the gateway is there.
    pub place: ObjectPlace,
    /// What every key begins with, without slashes at its ends; may be empty.
    // INVARIANT: its parts are neither empty nor "." nor "..".
    pub prefix: String,
    /// In place of the cloud's own: `https`, or `http` on loopback; without a slash at its end.
    pub endpoint: Option<String>,
    /// Authorities beside the system's.
    pub ca: Option<PathBuf>,
}

/// Where an object store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectPlace {
    /// A folder of this machine, which may not exist yet. Has no prefix, endpoint or authorities.
    Folder(PathBuf),
    /// Amazon S3, or what speaks like it.
    S3 {
        /// The bucket.
        bucket: String,
        /// Its region.
        region: String,
        /// Who the gateway is.
        credentials: S3Credentials,
    },
    /// Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// A service account's key, in JSON; `None`: the instance's own account.
        service_account: Option<SecretRef>,
    },
    /// Azure Blob Storage.
    Azure {
        /// The storage account.
        account: String,
        /// The container.
        container: String,
        /// Who the gateway is.
        credentials: AzureCredentials,
    },
}

/// Who the gateway is at S3. One place, not a chain: what is not configured is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Credentials {
    /// An access key.
    Keys(Box<S3Keys>),
    /// STS AssumeRoleWithWebIdentity, by `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`.
    WebIdentity,
    /// What ECS and EKS give a container, by `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `_FULL_URI`.
    Container,
    /// The instance's metadata service, version 2.
    Instance,
}

/// An access key of S3's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Keys {
    /// Its id.
    pub access_key_id: SecretRef,
    /// Its secret.
    pub secret_access_key: SecretRef,
    /// Where it is a temporary one.
    pub session_token: Option<SecretRef>,
}

/// Who the gateway is at Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureCredentials {
    /// The storage account's key.
    Key(SecretRef),
    /// Workload identity, by `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`.
    WebIdentity,
    /// The instance's managed identity.
    Instance,
}

impl ObjectStore {
    /// Returns every secret that is needed to open it.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match &self.place {
            ObjectPlace::S3 { credentials: S3Credentials::Keys(keys), .. } => {
                let S3Keys { access_key_id, secret_access_key, session_token } = &**keys;
                [access_key_id, secret_access_key].into_iter().chain(session_token).collect()
            }
            ObjectPlace::Gcs { service_account, .. } => service_account.iter().collect(),
            ObjectPlace::Azure { credentials: AzureCredentials::Key(key), .. } => vec![key],
            ObjectPlace::Folder(_) | ObjectPlace::S3 { .. } | ObjectPlace::Azure { .. } => Vec::new(),
        }
    }

    /// Returns the word of `credentials`; `None` for a folder.
    pub const fn credentials(&self) -> Option<&'static str> {
        match &self.place {
            ObjectPlace::Folder(_) => None,
            ObjectPlace::S3 { credentials: S3Credentials::Keys(_), .. }
            | ObjectPlace::Gcs { service_account: Some(_), .. }
            | ObjectPlace::Azure { credentials: AzureCredentials::Key(_), .. } => Some("keys"),
            ObjectPlace::S3 { credentials: S3Credentials::WebIdentity, .. }
            | ObjectPlace::Azure { credentials: AzureCredentials::WebIdentity, .. } => Some("web-identity"),
            ObjectPlace::S3 { credentials: S3Credentials::Container, .. } => Some("container"),
            ObjectPlace::S3 { credentials: S3Credentials::Instance, .. }
            | ObjectPlace::Gcs { service_account: None, .. }
            | ObjectPlace::Azure { credentials: AzureCredentials::Instance, .. } => Some("instance"),
        }
    }
}

impl fmt::Display for ObjectStore {
    /// Writes `url`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            ObjectPlace::Folder(path) => return write!(f, "file:{}", path.display()),
            ObjectPlace::S3 { bucket, .. } => write!(f, "s3://{bucket}")?,
            ObjectPlace::Gcs { bucket, .. } => write!(f, "gs://{bucket}")?,
            ObjectPlace::Azure { account, container, .. } => write!(f, "az://{account}/{container}")?,
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// Keys that only one kind of store has.
const OF_KINDS: [(&str, &[&str]); 9] = [
    ("endpoint", &["s3", "gs", "az"]),
    ("region", &["s3"]),
    ("credentials", &["s3", "gs", "az"]),
    ("access_key_id", &["s3"]),
    ("secret_access_key", &["s3"]),
    ("session_token", &["s3"]),
    ("service_account", &["gs"]),
    ("account_key", &["az"]),
    ("ca", &["s3", "gs", "az"]),
];

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<ObjectStore> {
    let name = table.value("name", context).and_then(|value| name(&value, context));
    let endpoint = optional(table, "endpoint", context, address);
    let region = table.value("region", context).and_then(|value| region(&value, context));
    let words = ["keys", "web-identity", "container", "instance"].map(|word| (word, word));
    let credentials = table.value("credentials", context).and_then(|value| one_of(&value, &words, context));
    let mut secret = |key: &str| optional(table, key, context, |value, context| value.secret(context));
    let keys = ["access_key_id", "secret_access_key", "session_token", "service_account", "account_key"];
    let keys = keys.map(&mut secret);
    let ca = optional(table, "ca", context, |value, context| value.path(PathKind::File, context));
    let url = table.value("url", context)?;
    let (kind, rest) = split(&url, context)?;
    for (key, kinds) in OF_KINDS {
        if let (false, Some(span)) = (kinds.contains(&kind), table.written(key)) {
            let message = format!("\"{key}\" means nothing for a store at \"{kind}:\"; remove it");
            context.error_at_secret(span, message);
        }
    }
    if kind == "file" {
        let path = context.resolve(&rest);
        let place = ObjectPlace::Folder(path);
        return Some(ObjectStore { name: name?, place, prefix: String::new(), endpoint: None, ca: None });
    }
    let words = segments(&url, &rest, if kind == "az" { 2 } else { 1 }, context)?;
    let (region, credentials) = (region?, credentials?);
    let chosen = Chosen { table, kind, credentials };
    let (place, used) = chosen.place(&words, region, keys, context)?;
    let prefix = words.get(used..).unwrap_or_default().join("/");
    Some(ObjectStore { name: name?, place, prefix, endpoint: endpoint?, ca: ca? })
}

/// What decides which keys there must be.
struct Chosen<'a, 't> {
    table: &'a Table<'t>,
    kind: &'a str,
    credentials: &'a str,
}

impl Chosen<'_, '_> {
    /// Returns the place, and how many words of the URL it took.
    fn place(
        &self,
        words: &[String],
        region: String,
        keys: [Option<Option<SecretRef>>; 5],
        context: &mut Context<'_>,
    ) -> Option<(ObjectPlace, usize)> {
        let [access_key_id, secret_access_key, session_token, service_account, account_key] = keys;
        let word = |index: usize| words.get(index).cloned();
        Some(match (self.kind, self.credentials) {
            ("s3", credentials) => {
                let credentials = match credentials {
                    "keys" => S3Credentials::Keys(Box::new(S3Keys {
                        access_key_id: self.needed("access_key_id", access_key_id?, context)?,
                        secret_access_key: self.needed("secret_access_key", secret_access_key?, context)?,
                        session_token: session_token?,
                    })),
                    "web-identity" => S3Credentials::WebIdentity,
                    "container" => S3Credentials::Container,
                    _ => S3Credentials::Instance,
                };
                if !matches!(credentials, S3Credentials::Keys(_)) {
                    self.stray(&["access_key_id", "secret_access_key", "session_token"], context);
                }
                (ObjectPlace::S3 { bucket: word(0)?, region, credentials }, 1)
            }
            ("gs", "keys") => {
                let key = self.needed("service_account", service_account?, context)?;
                (ObjectPlace::Gcs { bucket: word(0)?, service_account: Some(key) }, 1)
            }
            ("gs", "instance") => {
                self.stray(&["service_account"], context);
                (ObjectPlace::Gcs { bucket: word(0)?, service_account: None }, 1)
            }
            ("az", "keys") => {
                let key = AzureCredentials::Key(self.needed("account_key", account_key?, context)?);
                (ObjectPlace::Azure { account: word(0)?, container: word(1)?, credentials: key }, 2)
            }
            ("az", "web-identity" | "instance") => {
                self.stray(&["account_key"], context);
                let credentials = match self.credentials {
                    "instance" => AzureCredentials::Instance,
                    _ => AzureCredentials::WebIdentity,
                };
                (ObjectPlace::Azure { account: word(0)?, container: word(1)?, credentials }, 2)
            }
            (kind, credentials) => {
                let message = format!("there are no credentials \"{credentials}\" at \"{kind}:\"");
                context.error(self.table.written("credentials")?, message);
                return None;
            }
        })
    }

    fn needed(&self, key: &str, found: Option<SecretRef>, context: &mut Context<'_>) -> Option<SecretRef> {
        if found.is_none() {
            self.table.lacks(key, context);
        }
        found
    }

    fn stray(&self, keys: &[&str], context: &mut Context<'_>) {
        for key in keys {
            if let Some(span) = self.table.written(key) {
                let message = format!("\"{key}\" is for credentials = \"keys\" only; remove it");
                context.error_at_secret(span, message);
            }
        }
    }
}

fn region(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Some(text);
    }
    context.error(value.span(), format!("\"region\" must be one like \"eu-central-1\", not \"{text}\""));
    None
}

/// Returns the kind, and what follows.
fn split(url: &Value<'_>, context: &mut Context<'_>) -> Option<(&'static str, String)> {
    let text = url.string(context)?;
    for (kind, start) in [("file", "file:"), ("s3", "s3://"), ("gs", "gs://"), ("az", "az://")] {
        if let Some(rest) = text.strip_prefix(start).filter(|rest| !rest.is_empty()) {
            if kind == "file" && rest.starts_with("//") {
                break;
            }
            return Some((kind, rest.to_owned()));
        }
    }
    let message = "\"url\" must be \"file:PATH\", \"s3://BUCKET/PREFIX\", \"gs://BUCKET/PREFIX\" or \"az://ACCOUNT/CONTAINER/PREFIX\"";
    context.error_at_secret(url.span(), message.to_owned());
    None
}

/// Splits what follows the scheme; at least `least` words.
fn segments(url: &Value<'_>, rest: &str, least: usize, context: &mut Context<'_>) -> Option<Vec<String>> {
    let words: Vec<_> = rest.trim_end_matches('/').split('/').map(str::to_owned).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let good = |word: &String| !word.is_empty() && word != "." && word != ".." && word.chars().all(plain);
    if words.len() >= least && words.iter().all(good) {
        return Some(words);
    }
    let message = "\"url\" must be made of letters, digits, \"-\", \"_\", \".\" and \"=\" with \"/\" between, without user, port and \"?\"";
    context.error_at_secret(url.span(), message.to_owned());
    None
}
