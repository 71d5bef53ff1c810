//! Tokens for RDS databases with IAM authentication, and the AWS credentials that sign them. One configured place is asked, and
//! nothing else: no chain that ends at a link-local address which nobody meant.
//!
//! Source: Amazon RDS User Guide, "IAM database authentication"; AWS SDKs and Tools Reference Guide, "Standardized credential
//! providers"; Amazon EC2 User Guide, "Use IMDSv2"; STS API Reference, "AssumeRoleWithWebIdentity".

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Aws, AwsCredentials, Host, Upstream};
use model::Secret;
use serde_json::Value;
use url::Url;

use super::SecretFault;
use super::http::{Answer, Http, HttpFault};
use super::local::{self, Mode};
use super::sigv4::{AwsKeys, EMPTY, Presigned};

/// The longest that RDS takes a token for, in seconds.
const EXPIRES_SECONDS: u32 = 900;
/// For one request; the instance's metadata service answers within milliseconds or not at all.
const TIMEOUT: Duration = Duration::from_secs(4);
const METADATA: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";
/// Where plain http is taken to be this host's own: ECS, and EKS Pod Identity.
const CONTAINER_ADDRESSES: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// Why there is no token: the operator's to mend, or AWS's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsFault {
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("a Unix socket is no RDS database")]
    Socket,
    #[error("the upstream's host name \"{0}\" doesn't say its region; set region in [aws]")]
    NoRegion(String),
    #[error("{0} is not set in the environment of the gateway; [aws] credentials = \"{1}\" needs it")]
    NotSet(&'static str, &'static str),
    #[error("the token file of AWS credentials can't be read: {0}")]
    Token(#[source] Box<SecretFault>),
    #[error("the shared credentials file can't be read: {0}")]
    File(#[source] Box<SecretFault>),
    #[error(
        "{0:?} has no profile \"{1}\" with aws_access_key_id and aws_secret_access_key; a profile that names a process or a role is not followed"
    )]
    Profile(PathBuf, String),
    #[error(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor http at this host, 169.254.170.2, 169.254.170.23 or fd00:ec2::23"
    )]
    ContainerUri,
    #[error("{server} gave no credentials (status {status})")]
    Refused { server: String, status: u16 },
    #[error("{0} answered with something else than credentials")]
    NoCredentials(String),
}

/// Makes the password of an RDS database for a user: good for 15 minutes, for any number of logins.
pub(super) async fn rds_token(
    aws: &Aws,
    upstream: &Upstream,
    user: &str,
) -> Result<Secret<String>, SecretFault> {
    token(aws, upstream, user, &variable).await.map_err(|fault| SecretFault::Aws(Box::new(fault)))
}

/// Where environment variables come from.
type Variables = dyn Fn(&str) -> Option<String> + Sync;

async fn token(
    aws: &Aws,
    upstream: &Upstream,
    user: &str,
    variables: &Variables,
) -> Result<Secret<String>, AwsFault> {
    let host = match &upstream.host {
        Host::Name(name) => name.clone(),
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
        Host::Socket(_) => return Err(AwsFault::Socket),
    };
    let region = match &aws.region {
        Some(region) => region.clone(),
        None => region_of(&host).ok_or_else(|| AwsFault::NoRegion(host.clone()))?,
    };
    let keys = keys(aws, &region, variables).await?;
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let request = Presigned {
        host: &format!("{host}:{}", upstream.port),
        path: "/",
        query: &[("Action", "connect"), ("DBUser", user)],
        region: &region,
        service: "rds-db",
        time: &time,
        expires_seconds: EXPIRES_SECONDS,
        payload: EMPTY,
    };
    Ok(request.url(&keys))
}

/// Returns the region in `NAME.ID.REGION.rds.amazonaws.com`.
fn region_of(host: &str) -> Option<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let rest =
        host.strip_suffix(".rds.amazonaws.com").or_else(|| host.strip_suffix(".rds.amazonaws.com.cn"))?;
    let (_, region) = rest.rsplit_once('.')?;
    Some(region.to_owned())
}

async fn keys(aws: &Aws, region: &str, variables: &Variables) -> Result<AwsKeys, AwsFault> {
    match &aws.credentials {
        AwsCredentials::Environment => environment(variables),
        AwsCredentials::Profile(name) => profile(name, variables).await,
        AwsCredentials::WebIdentity => web_identity(aws.endpoint.as_deref(), region, variables).await,
        AwsCredentials::Container => container(variables).await,
        AwsCredentials::Instance => instance(aws.endpoint.as_deref().unwrap_or(METADATA)).await,
    }
}

fn set(variables: &Variables, name: &'static str, kind: &AwsCredentials) -> Result<String, AwsFault> {
    variables(name).ok_or(AwsFault::NotSet(name, kind.as_str()))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn environment(variables: &Variables) -> Result<AwsKeys, AwsFault> {
    let kind = AwsCredentials::Environment;
    Ok(AwsKeys {
        access_key_id: set(variables, "AWS_ACCESS_KEY_ID", &kind)?,
        secret_access_key: Secret::new(set(variables, "AWS_SECRET_ACCESS_KEY", &kind)?),
        session_token: variables("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

async fn profile(name: &str, variables: &Variables) -> Result<AwsKeys, AwsFault> {
    let path = match variables("AWS_SHARED_CREDENTIALS_FILE") {
        Some(path) => PathBuf::from(path),
        None => {
            let home = variables("HOME").ok_or(AwsFault::NotSet("HOME", "profile"))?;
            Path::new(&home).join(".aws/credentials")
        }
    };
    let bytes = local::file(&path, Mode::Private).await.map_err(|fault| AwsFault::File(Box::new(fault)))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    read_profile(text, name).ok_or_else(|| AwsFault::Profile(path, name.to_owned()))
}

/// Reads a profile as AWS's tools do: sections in brackets, `key = value`, comments from `#` or `;` at a line's beginning.
fn read_profile(text: &str, name: &str) -> Option<AwsKeys> {
    let (mut inside, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.split(']').next().map(str::trim) == Some(name);
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsKeys {
        access_key_id: id?,
        secret_access_key: Secret::new(secret?),
        session_token: token.map(Secret::new),
    })
}

async fn web_identity(
    endpoint: Option<&str>,
    region: &str,
    variables: &Variables,
) -> Result<AwsKeys, AwsFault> {
    let kind = AwsCredentials::WebIdentity;
    let role = set(variables, "AWS_ROLE_ARN", &kind)?;
    let token = token_file(Path::new(&set(variables, "AWS_WEB_IDENTITY_TOKEN_FILE", &kind)?)).await?;
    let session = variables("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "gatepost".to_owned());
    // Partition of China: "AWS service endpoints", AWS General Reference.
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let regional = format!("https://sts.{region}.{domain}");
    let http = Http::new(endpoint.unwrap_or(&regional), None, TIMEOUT);
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", &role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token.expose()),
    ];
    let answer = http.send(|client| client.post(format!("{}/", http.server())).form(&form)).await?;
    let answer = succeeded(&http, answer)?;
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    let element = |name: &str| {
        // Keys and tokens are base64: nothing in them is escaped in XML.
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty() && !value.contains(['<', '&']))
    };
    let read = || {
        Some(AwsKeys {
            access_key_id: element("AccessKeyId")?,
            secret_access_key: Secret::new(element("SecretAccessKey")?),
            session_token: Some(Secret::new(element("SessionToken")?)),
        })
    };
    read().ok_or_else(|| AwsFault::NoCredentials(http.server().to_owned()))
}

async fn token_file(path: &Path) -> Result<Secret<String>, AwsFault> {
    let bytes = local::file(path, Mode::Mounted).await;
    bytes.and_then(|bytes| super::secret(&bytes)).map_err(|fault| AwsFault::Token(Box::new(fault)))
}

async fn container(variables: &Variables) -> Result<AwsKeys, AwsFault> {
    let url = match variables("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("{CONTAINER}/{}", path.trim_start_matches('/')),
        None => {
            let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
            container_url(&set(variables, name, &AwsCredentials::Container)?).ok_or(AwsFault::ContainerUri)?
        }
    };
    let token = match variables("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(token_file(Path::new(&path)).await?),
        None => variables("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
    };
    let origin = Url::parse(&url).map(|url| url.origin().ascii_serialization());
    let http = Http::new(&origin.unwrap_or_default(), None, TIMEOUT);
    let answer = http.send(|client| match &token {
        Some(token) => client.get(&url).header("Authorization", token.expose().as_str()),
        None => client.get(&url),
    });
    credentials(&http, answer.await?)
}

/// SECURITY: the URL comes from the environment, and takes a token along: plain http is for the addresses that AWS documents.
fn container_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none())?;
    let allowed =
        |ip: IpAddr| ip.is_loopback() || CONTAINER_ADDRESSES.iter().any(|known| known.parse() == Ok(ip));
    let fits = match (url.scheme(), url.host()?) {
        ("https", _) => true,
        ("http", url::Host::Ipv4(ip)) => allowed(IpAddr::V4(ip)),
        ("http", url::Host::Ipv6(ip)) => allowed(IpAddr::V6(ip)),
        ("http", url::Host::Domain(name)) => name == "localhost",
        _ => false,
    };
    fits.then(|| url.to_string())
}

async fn instance(endpoint: &str) -> Result<AwsKeys, AwsFault> {
    let http = Http::new(endpoint, None, TIMEOUT);
    let at = |path: &str| format!("{endpoint}/latest/{path}");
    let granted =
        http.send(|client| client.put(at("api/token")).header("X-aws-ec2-metadata-token-ttl-seconds", "60"));
    let granted = succeeded(&http, granted.await?)?;
    let token = super::secret(&granted.body).map_err(|_| AwsFault::NoCredentials(endpoint.to_owned()))?;
    let get = async |path: String| {
        let answer =
            http.send(|client| client.get(path).header("X-aws-ec2-metadata-token", token.expose().as_str()));
        answer.await
    };
    let list = "meta-data/iam/security-credentials/";
    let names = succeeded(&http, get(at(list)).await?)?;
    let name =
        std::str::from_utf8(&names.body).ok().and_then(|names| names.lines().next()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(AwsFault::NoCredentials(endpoint.to_owned()));
    }
    credentials(&http, get(at(&format!("{list}{name}"))).await?)
}

fn succeeded(http: &Http, answer: Answer) -> Result<Answer, AwsFault> {
    match answer.status {
        200 => Ok(answer),
        status => Err(AwsFault::Refused { server: http.server().to_owned(), status }),
    }
}

/// Reads what containers' and instances' endpoints answer.
fn credentials(http: &Http, answer: Answer) -> Result<AwsKeys, AwsFault> {
    let answer = succeeded(http, answer)?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let read = || {
        Some(AwsKeys {
            access_key_id: text("AccessKeyId")?,
            secret_access_key: Secret::new(text("SecretAccessKey")?),
            session_token: text("Token").map(Secret::new),
        })
    };
    read().ok_or_else(|| AwsFault::NoCredentials(http.server().to_owned()))
}

#[cfg(test)]
mod tests;
