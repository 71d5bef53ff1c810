//! Makes a client of what is configured. Asks nobody anything yet.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::{AzureCredentials, ObjectPlace, S3Credentials};
use model::Secret;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, Certificate, ClientOptions, Error, ObjectStore, RetryConfig};

use crate::fault::line;
use crate::{Archive, Fault, Kind};

/// Of one request, a part of 256 MiB included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often and how long a request is tried again; whoever calls tries again later.
const TRIES_AGAIN: usize = 3;
const TRYING: Duration = Duration::from_secs(30);

impl Archive {
    /// Makes a client of what is configured. `secrets` are those of [`config::ObjectStore::secrets`], in its order.
    ///
    /// # Errors
    /// [`Fault`]: operator; of kind [`Kind::Config`]: a secret, a file or a variable is not as it must be.
    pub fn open(store: &config::ObjectStore, secrets: &[Secret<String>]) -> Result<Self, Fault> {
        let wrong = |wrong: String| Fault::new(&store.name, "", Kind::Config(wrong));
        let client = || client(store).map_err(wrong);
        // SECURITY: what a builder says of a key may repeat it.
        let built = |error: Error| wrong(format!("can't be used as it is configured: {}", line(&error)));
        let secret = |index: usize| {
            let found = secrets.get(index).map(|secret| secret.expose().trim().to_owned());
            found.ok_or_else(|| wrong("a secret is missing".to_owned()))
        };
        let opened: Arc<dyn ObjectStore> = match &store.place {
            ObjectPlace::Folder(path) => Arc::new(folder(path).map_err(wrong)?),
            ObjectPlace::S3 { bucket, region, credentials } => {
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(region)
                    .with_client_options(client()?)
                    .with_retry(retry())
                    .with_allow_http(is_plain(store))
                    // A bucket with object lock takes nothing without one.
                    .with_checksum_algorithm(Checksum::SHA256);
                if let Some(endpoint) = &store.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                builder = match credentials {
                    S3Credentials::Keys(keys) => {
                        let keyed = builder.with_access_key_id(secret(0)?).with_secret_access_key(secret(1)?);
                        if keys.session_token.is_some() { keyed.with_token(secret(2)?) } else { keyed }
                    }
                    S3Credentials::WebIdentity => {
                        let (role, token) = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE");
                        builder
                            .with_config(AmazonS3ConfigKey::RoleArn, variable(role).map_err(wrong)?)
                            .with_config(
                                AmazonS3ConfigKey::WebIdentityTokenFile,
                                variable(token).map_err(wrong)?,
                            )
                    }
                    S3Credentials::Container => container(builder).map_err(wrong)?,
                    S3Credentials::Instance => builder,
                };
                Arc::new(builder.build().map_err(built)?)
            }
            ObjectPlace::Gcs { bucket, service_account } => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(bucket)
                    .with_client_options(client()?)
                    .with_retry(retry());
                if let Some(endpoint) = &store.endpoint {
                    builder = builder.with_base_url(endpoint);
                }
                if service_account.is_some() {
                    builder = builder.with_service_account_key(secret(0)?);
                }
                // SECURITY: its error repeats the key where that is no JSON.
                let told = |_: Error| {
                    wrong("\"service_account\" is no service account's key in JSON, or \"endpoint\" is no address".to_owned())
                };
                Arc::new(builder.build().map_err(told)?)
            }
            ObjectPlace::Azure { account, container, credentials } => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_account(account)
                    .with_container_name(container)
                    .with_client_options(client()?)
                    .with_retry(retry())
                    .with_allow_http(is_plain(store));
                if let Some(endpoint) = &store.endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                builder = match credentials {
                    AzureCredentials::Key(_) => builder.with_access_key(secret(0)?),
                    AzureCredentials::WebIdentity => builder
                        .with_client_id(variable("AZURE_CLIENT_ID").map_err(wrong)?)
                        .with_tenant_id(variable("AZURE_TENANT_ID").map_err(wrong)?)
                        .with_federated_token_file(variable("AZURE_FEDERATED_TOKEN_FILE").map_err(wrong)?),
                    AzureCredentials::Instance => builder,
                };
                let told = |_: Error| {
                    wrong("\"account_key\" is no key of Azure's, or \"endpoint\" is no address".to_owned())
                };
                Arc::new(builder.build().map_err(told)?)
            }
        };
        Ok(Self { name: Arc::from(&*store.name), prefix: Arc::from(&*store.prefix), store: opened })
    }
}

/// What is written there is on disk before a call returns.
fn folder(path: &Path) -> Result<LocalFileSystem, String> {
    // SECURITY: what is in it is as secret as the journal.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| format!("folder \"{}\" can't be made: {error}", path.display()))?;
    let opened = LocalFileSystem::new_with_prefix(path);
    Ok(opened.map_err(|error| format!("folder \"{}\": {}", path.display(), line(&error)))?.with_fsync(true))
}

/// As ECS or EKS tell it to the container.
fn container(builder: AmazonS3Builder) -> Result<AmazonS3Builder, String> {
    if let Ok(path) = std::env::var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Ok(builder.with_config(AmazonS3ConfigKey::ContainerCredentialsRelativeUri, path));
    }
    let full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .map_err(|_| "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor _FULL_URI is set".to_owned())?;
    let token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?;
    Ok(builder
        .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, full)
        .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, token))
}

fn variable(name: &str) -> Result<String, String> {
    let found = std::env::var(name).ok().filter(|value| !value.is_empty());
    found.ok_or_else(|| format!("{name} is not set in the environment of the gateway"))
}

/// On loopback only, by the configuration.
fn is_plain(store: &config::ObjectStore) -> bool {
    store.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"))
}

fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: TRIES_AGAIN, retry_timeout: TRYING }
}

fn client(store: &config::ObjectStore) -> Result<ClientOptions, String> {
    let mut options = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(is_plain(store));
    if let Some(path) = &store.ca {
        let told =
            |what: &dyn std::fmt::Display| format!("the authorities in \"{}\": {what}", path.display());
        let pem = fs::read(path).map_err(|error| told(&error))?;
        let all = Certificate::from_pem_bundle(&pem).map_err(|error| told(&error))?;
        if all.is_empty() {
            return Err(told(&"there is no certificate in it"));
        }
        options = all.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}
