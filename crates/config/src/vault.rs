//! `[vault]`: a HashiCorp Vault or OpenBao server that `vault:` references are read from. Asks it nothing.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;

/// A Vault server, and who the gateway is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vault {
    /// `https`, or `http` on loopback; without query, fragment, user, and without a slash at its end.
    pub address: String,
    /// What `X-Vault-Namespace` says.
    pub namespace: Option<String>,
    /// PEM file: authorities that are trusted in addition to the system's.
    pub ca: Option<PathBuf>,
    /// How the gateway gets its token.
    pub method: VaultMethod,
    /// For one request.
    pub timeout: Duration,
}

/// How the gateway gets a token of Vault's. `mount` is where the auth method is enabled, without `auth/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VaultMethod {
    /// It is given one.
    Token {
        /// The token.
        token: SecretRef,
    },
    /// AppRole.
    AppRole {
        /// Where it is enabled.
        mount: String,
        /// The role's ID.
        role_id: SecretRef,
        /// `None` for roles with `bind_secret_id = false`.
        secret_id: Option<SecretRef>,
    },
    /// A JSON Web Token is shown: Kubernetes, or any issuer's.
    Jwt {
        /// Where it is enabled.
        mount: String,
        /// The role's name.
        role: String,
        /// The token; a file may be open to everybody, since whoever mounts it there chooses its mode.
        jwt: SecretRef,
    },
}

/// Where Kubernetes mounts the token of a pod's service account.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Vault> {
    let address = table.value("address", context).and_then(|value| address(&value, context));
    let namespace = optional(table, "namespace", context, |value, context| {
        let text = value.string(context)?;
        let trimmed = text.trim_matches('/');
        word(value, trimmed, context)
    });
    let ca = optional(table, "ca", context, |value, context| value.path(PathKind::File, context));
    let timeout = table.value("timeout", context).and_then(|value| value.duration(TIMEOUT, context));
    let method = method(table, context);
    Some(Vault { address: address?, namespace: namespace?, ca: ca?, method: method?, timeout: timeout? })
}

/// The keys that say who the gateway is, and the methods that know each.
const OF_METHODS: [(&str, &[&str]); 6] = [
    ("token", &["token"]),
    ("mount", &["approle", "kubernetes", "jwt"]),
    ("role_id", &["approle"]),
    ("secret_id", &["approle"]),
    ("role", &["kubernetes", "jwt"]),
    ("jwt", &["kubernetes", "jwt"]),
];

fn method(table: &Table<'_>, context: &mut Context<'_>) -> Option<VaultMethod> {
    let mount = optional(table, "mount", context, |value, context| {
        let text = value.string(context)?;
        word(value, text.trim_matches('/'), context)
    });
    let role = optional(table, "role", context, |value, context| value.string(context));
    let mut secret = |key: &str| optional(table, key, context, |value, context| value.secret(context));
    let [token, role_id, secret_id, jwt] = ["token", "role_id", "secret_id", "jwt"].map(&mut secret);
    let value = table.value("method", context)?;
    let name = value.string(context)?;
    if !["token", "approle", "kubernetes", "jwt"].contains(&name.as_str()) {
        let known = "\"token\", \"approle\", \"kubernetes\" or \"jwt\"";
        context.error(value.span(), format!("method \"{name}\" is unknown; write {known}"));
        return None;
    }
    for (key, methods) in OF_METHODS {
        if let Some(stray) = table.value(key, context)
            && !methods.contains(&name.as_str())
        {
            let message = format!("\"{key}\" is not for method \"{name}\"; remove it");
            context.error_at_secret(stray.span(), message);
        }
    }
    let mount = mount?.unwrap_or_else(|| name.clone());
    let mut lacking = |key: &str| {
        context.error(value.span(), format!("method \"{name}\" needs \"{key}\""));
    };
    Some(match name.as_str() {
        "token" => VaultMethod::Token { token: missing(token?, || lacking("token"))? },
        "approle" => VaultMethod::AppRole {
            mount,
            role_id: missing(role_id?, || lacking("role_id"))?,
            secret_id: secret_id?,
        },
        _ => {
            let pod = || (name == "kubernetes").then(|| SecretRef::File(SERVICE_ACCOUNT_TOKEN.into()));
            let role = missing(role?, || lacking("role"))?;
            VaultMethod::Jwt { mount, role, jwt: missing(jwt?.or_else(pod), || lacking("jwt"))? }
        }
    })
}

/// Tells if something is missing.
fn missing<T>(found: Option<T>, tell: impl FnOnce()) -> Option<T> {
    if found.is_none() {
        tell();
    }
    found
}

/// Reads what may be absent: `Some(None)` where it is.
pub(crate) fn optional<T>(
    table: &Table<'_>,
    key: &str,
    context: &mut Context<'_>,
    read: impl FnOnce(&Value<'_>, &mut Context<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match table.value(key, context) {
        Some(value) => read(&value, context).map(Some),
        None => Some(None),
    }
}

/// What goes into a path or a header as it is.
fn word(value: &Value<'_>, text: &str, context: &mut Context<'_>) -> Option<String> {
    if is_path(text) {
        return Some(text.to_owned());
    }
    context.error(
        value.span(),
        format!("\"{text}\" must be made of letters, digits, \"-\", \"_\", \".\" and \"/\""),
    );
    None
}

/// Returns whether a text can be (part of) a path of Vault's API, and means only itself in a URL.
pub(crate) fn is_path(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '@' | '=' | '+' | ',');
    // SECURITY: "." and ".." would be resolved by the URL parser, and lead elsewhere.
    text.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain))
}

/// Reads the URL of a server that secrets are sent to and come from: https, or http on loopback.
pub(crate) fn address(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    let Ok(url) = Url::parse(&text) else {
        context.error_at_secret(
            value.span(),
            format!("\"{}\" is no URL like \"https://HOST:PORT\"", value.name()),
        );
        return None;
    };
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        context.error_at_secret(
            value.span(),
            format!("\"{}\" must be without user, password, \"?\" and \"#\"", value.name()),
        );
        return None;
    }
    let loopback = match url.host() {
        // RFC 6761 section 6.3.
        Some(url::Host::Domain(name)) => {
            name.strip_suffix('.').unwrap_or(name).rsplit('.').next() == Some("localhost")
        }
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            context.error(value.span(), format!("\"{text}\" must be https; http is for loopback only"));
            return None;
        }
        _ => {
            context.error(value.span(), format!("\"{text}\" must begin with https://"));
            return None;
        }
    }
    Some(text.trim_end_matches('/').to_owned())
}
