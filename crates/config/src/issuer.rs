//! `[[issuer]]`: whose tokens are believed. Asks no issuer anything.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use model::Identity;
use url::Url;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;

/// Whose tokens or certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Unique; holds no `:`.
    pub name: String,
    /// What it is.
    pub kind: IssuerKind,
    /// Of kind OIDC exactly as written, since `iss` is compared byte for byte: `https`, or `http` on loopback. Of the others a name that
    /// is no URL of theirs. Unique.
    pub url: String,
    /// A token must name one of these. Empty: none is believed.
    pub audience: Vec<String>,
    /// Where its keys are; `None`: where discovery says.
    pub jwks: Option<String>,
    /// What the gateway shows where it asks for them.
    pub bearer: Option<SecretRef>,
    /// A token must name one of these in `azp` or, without it, `client_id`. Never empty; `None`: not looked at.
    pub authorized_parties: Option<Vec<String>>,
    /// The longest that a token may live from `iat` to `exp`.
    pub token_lifetime_max: Option<Duration>,
    /// The claim that names the agent, as `identity::ClaimPath` is written; so the other claims.
    pub subject: String,
    /// The claim with its groups.
    pub groups: String,
    /// The claim with a name for people.
    pub display_name: String,
    /// Further claims: from the name that policy sees to the claim.
    pub attributes: BTreeMap<String, String>,
    /// The signature algorithms that are believed. Never empty.
    pub algorithms: Vec<Algorithm>,
    /// What its claim `act` means.
    pub actor: Actor,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How it is asked about tokens, if it is.
    pub introspection: Option<Introspection>,
    /// Further groups, and the subjects that are in each.
    pub members: BTreeMap<String, Vec<String>>,
    /// PEM file: authorities that are trusted in addition to the system's. Of kind certificate, those of the certificates, and always
    /// there.
    pub ca: Option<PathBuf>,
    /// PEM file: lists of revoked certificates.
    pub crl: Option<PathBuf>,
    /// A logout token or security event must name one of these. Never empty; `None`: as `audience`.
    pub events_audience: Option<Vec<String>>,
    /// What OAUTHBEARER clients are told to ask for (RFC 7628 section 3.2.2, `scope`).
    pub scope: String,
}

/// Where an issuer is asked about tokens (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// `https`, or `http` on loopback.
    pub url: String,
    /// How the gateway shows who it is.
    pub asker: Asker,
    /// How often it is asked again while a session lives.
    pub every: Duration,
    /// For how long sessions live on without an answer.
    pub grace: Duration,
}

/// How the gateway shows an issuer who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// By HTTP Basic authentication.
    Client {
        /// The client's id.
        id: String,
        /// Its secret.
        secret: SecretRef,
    },
    /// By a token.
    Bearer(SecretRef),
}

/// What an issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// An OpenID Connect provider, or whoever else signs JWTs.
    Oidc,
    /// An authority of client certificates.
    Certificate {
        /// Which of their names is the agent's.
        subject: CertificateName,
        /// Where in them groups are.
        groups: Option<CertificateGroups>,
    },
    /// A SPIFFE trust domain.
    Spiffe {
        /// Its name.
        trust_domain: String,
        /// Where its trust bundle is.
        bundle: Bundle,
    },
}

/// Which name of a certificate is the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the key `subject`, which its reference explains")]
pub enum CertificateName {
    Uri,
    Dns,
    Email,
    CommonName,
}

/// Which part of a certificate's subject its groups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the key `groups`, which its reference explains")]
pub enum CertificateGroups {
    Unit,
    Organization,
}

/// Where a trust bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// In a file.
    File(PathBuf),
    /// At a URL: `https`, or `http` on loopback.
    Url(String),
}

impl IssuerKind {
    /// Returns the word that the file uses.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Certificate { .. } => "certificate",
            Self::Spiffe { .. } => "spiffe",
        }
    }

    /// Returns whether it may vouch for certificates.
    pub const fn takes_certificates(&self) -> bool {
        matches!(self, Self::Certificate { .. } | Self::Spiffe { .. })
    }
}

impl CertificateName {
    const ALL: [Self; 4] = [Self::Uri, Self::Dns, Self::Email, Self::CommonName];

    /// Returns the word that the file uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::CommonName => "cn",
        }
    }
}

impl CertificateGroups {
    const ALL: [Self; 2] = [Self::Unit, Self::Organization];

    /// Returns the word that the file uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "ou",
            Self::Organization => "o",
        }
    }
}

impl fmt::Display for Bundle {
    /// Writes it as the file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// What an issuer means by the claim `act`; see `identity::Actor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the key `actor`, which its reference explains")]
pub enum Actor {
    Act,
    Ignore,
    Refuse,
}

impl Actor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Act, Self::Ignore, Self::Refuse];

    /// Returns the word that the file uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Ignore => "ignore",
            Self::Refuse => "refuse",
        }
    }
}

/// A signature algorithm by its JWA name (RFC 7518, RFC 8037). There is none with a shared key, and no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Returns the value of a token's `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// More would make `exp` meaningless.
const LEEWAY_MAX: Duration = Duration::from_secs(300);
const LIFETIME: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(365 * 24 * 3600);

/// Keys that mean nothing for each kind.
const OF_TOKENS: [&str; 12] = [
    "introspection",
    "url",
    "jwks",
    "bearer",
    "authorized_parties",
    "token_lifetime_max",
    "display_name",
    "attributes",
    "algorithms",
    "actor",
    "scope",
    "audience",
];
const OF_SPIFFE: [&str; 2] = ["trust_domain", "bundle"];

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Issuer> {
    let kind = kind(table, context)?;
    let is_oidc = kind == IssuerKind::Oidc;
    let meaningless: Vec<&str> = match &kind {
        IssuerKind::Oidc => OF_SPIFFE.into_iter().chain(["crl"]).collect(),
        IssuerKind::Certificate { .. } => OF_TOKENS.into_iter().chain(OF_SPIFFE).chain(["leeway"]).collect(),
        IssuerKind::Spiffe { .. } => {
            let of_tokens = OF_TOKENS.into_iter().filter(|key| *key != "audience");
            of_tokens.chain(["subject", "groups"]).collect()
        }
    };
    for key in meaningless {
        if let Some(span) = table.written(key) {
            context
                .error(span, format!("\"{key}\" means nothing for an issuer of kind \"{}\"", kind.as_str()));
        }
    }
    let path_of_claim = |key: &str, default: &str, context: &mut Context<'_>| match table.value(key, context)
    {
        Some(value) if is_oidc => claim(&value, context),
        _ => Some(default.to_owned()),
    };
    let subject = path_of_claim("subject", "sub", context);
    let groups = path_of_claim("groups", "groups", context);
    let display_name = path_of_claim("display_name", "name", context);
    let scope = table.value("scope", context).and_then(|value| value.string(context));
    let name = table.value("name", context).and_then(|value| name(&value, context));
    let optional_url = |key: &str, context: &mut Context<'_>| match table.value(key, context) {
        Some(value) => url(&value, context).map(Some),
        None => Some(None),
    };
    let own_url = optional_url("url", context);
    let jwks = optional_url("jwks", context);
    let audience = match table.value("audience", context) {
        Some(value) => value.strings(context),
        None => Some(Vec::new()),
    };
    for key in ["url", "audience"] {
        if is_oidc && table.written(key).is_none() {
            table.lacks(key, context);
        }
    }
    let bearer = match table.value("bearer", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    let members = table.value("members", context).and_then(|value| value.lists_map(context));
    let attributes = table.value("attributes", context).and_then(|value| attributes(&value, context));
    let authorized_parties = match table.value("authorized_parties", context) {
        Some(value) => value.strings(context).map(Some),
        None => Some(None),
    };
    let token_lifetime_max = match table.value("token_lifetime_max", context) {
        Some(value) => value.duration(LIFETIME, context).map(Some),
        None => Some(None),
    };
    let algorithms = table.value("algorithms", context).and_then(|value| algorithms(&value, context));
    let actor = table.value("actor", context).and_then(|value| actor(&value, context));
    let leeway =
        table.value("leeway", context).and_then(|value| value.duration(Duration::ZERO..=LEEWAY_MAX, context));
    let file = |key: &str, context: &mut Context<'_>| match table.value(key, context) {
        Some(value) => value.path(PathKind::File, context).map(Some),
        None => Some(None),
    };
    let events_audience = match table.value("events_audience", context) {
        Some(value) => value.strings(context).map(Some),
        None => Some(None),
    };
    let introspection = match table.value("introspection", context) {
        Some(_) => {
            table.table("introspection", context).and_then(|table| introspection(&table, context)).map(Some)
        }
        None => Some(None),
    };
    let (ca, crl) = (file("ca", context), file("crl", context));
    let name = name?;
    let url = match &kind {
        IssuerKind::Oidc => own_url??,
        IssuerKind::Certificate { .. } => format!("certificate:{name}"),
        IssuerKind::Spiffe { trust_domain, .. } => format!("spiffe://{trust_domain}"),
    };
    Some(Issuer {
        name,
        kind,
        url,
        audience: audience?.into_iter().map(|(_, audience)| audience).collect(),
        jwks: jwks?,
        bearer: bearer?,
        authorized_parties: authorized_parties?
            .map(|parties| parties.into_iter().map(|(_, party)| party).collect()),
        token_lifetime_max: token_lifetime_max?,
        subject: subject?,
        groups: groups?,
        display_name: display_name?,
        attributes: attributes?,
        algorithms: algorithms?,
        actor: actor?,
        leeway: leeway?,
        introspection: introspection?,
        members: members?,
        ca: ca?,
        crl: crl?,
        events_audience: events_audience?
            .map(|audience| audience.into_iter().map(|(_, audience)| audience).collect()),
        scope: scope?,
    })
}

fn introspection(table: &Table<'_>, context: &mut Context<'_>) -> Option<Introspection> {
    let own_url = table.value("url", context).and_then(|value| url(&value, context));
    let mut secret = |key: &str| table.value(key, context).map(|value| value.secret(context));
    let (client_secret, bearer) = (secret("client_secret"), secret("bearer"));
    let mut time = |key: &str, least: u64| {
        let allowed = Duration::from_secs(least)..=Duration::from_secs(3600);
        table.value(key, context).and_then(|value| value.duration(allowed, context))
    };
    let (every, grace) = (time("every", 1), time("grace", 0));
    let id = table.value("client_id", context).map(|value| value.string(context));
    let asker = match (id, client_secret, bearer) {
        (Some(id), Some(secret), None) => Asker::Client { id: id?, secret: secret? },
        (None, None, Some(bearer)) => Asker::Bearer(bearer?),
        _ => {
            let message = "issuer.introspection needs \"client_id\" and \"client_secret\", or \"bearer\" and neither of them";
            context.error_at_secret(table.span(), message.to_owned());
            return None;
        }
    };
    Some(Introspection { url: own_url?, asker, every: every?, grace: grace? })
}

fn kind(table: &Table<'_>, context: &mut Context<'_>) -> Option<IssuerKind> {
    let value = table.value("kind", context)?;
    match value.string(context)?.as_str() {
        "oidc" => Some(IssuerKind::Oidc),
        "certificate" => {
            let subject = match table.value("subject", context) {
                Some(value) => word(&value, CertificateName::ALL, CertificateName::as_str, context),
                None => Some(CertificateName::Uri),
            };
            let groups = match table.value("groups", context) {
                Some(value) => {
                    word(&value, CertificateGroups::ALL, CertificateGroups::as_str, context).map(Some)
                }
                None => Some(None),
            };
            Some(IssuerKind::Certificate { subject: subject?, groups: groups? })
        }
        "spiffe" => {
            for key in OF_SPIFFE {
                if table.written(key).is_none() {
                    table.lacks(key, context);
                }
            }
            let trust_domain =
                table.value("trust_domain", context).and_then(|value| trust_domain(&value, context));
            let bundle = table.value("bundle", context).and_then(|value| bundle(&value, context));
            Some(IssuerKind::Spiffe { trust_domain: trust_domain?, bundle: bundle? })
        }
        other => {
            let message =
                format!("kind \"{other}\" is unknown; write \"oidc\", \"certificate\" or \"spiffe\"");
            context.error(value.span(), message);
            None
        }
    }
}

/// Reads one of some words.
fn word<T: Copy, const N: usize>(
    value: &Value<'_>,
    all: [T; N],
    as_str: impl Fn(T) -> &'static str,
    context: &mut Context<'_>,
) -> Option<T> {
    let text = value.string(context)?;
    let found = all.into_iter().find(|it| as_str(*it) == text);
    if found.is_none() {
        let known: Vec<_> = all.into_iter().map(|it| format!("\"{}\"", as_str(it))).collect();
        context.error(value.span(), format!("\"{text}\" is unknown here; write one of {}", known.join(", ")));
    }
    found
}

/// Reads what `identity::TrustDomain` would take, so that all else is refused with its line.
fn trust_domain(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    let fits = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    if text.len() > 255 || !text.bytes().all(fits) {
        let message = format!(
            "trust_domain \"{}\" must be of lower-case letters, digits, \".\", \"-\" and \"_\", as \"example.org\"",
            text.escape_debug()
        );
        context.error(value.span(), message);
        return None;
    }
    Some(text)
}

fn bundle(value: &Value<'_>, context: &mut Context<'_>) -> Option<Bundle> {
    let text = value.string(context)?;
    match text.strip_prefix("file:") {
        Some(path) => Some(Bundle::File(context.readable(value.span(), path, PathKind::File))),
        None => url(value, context).map(Bundle::Url),
    }
}

fn name(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let name = value.string(context)?;
    if name.contains(':') || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let message = format!("the name \"{}\" must be without colons and spaces", name.escape_debug());
        context.error(value.span(), message);
        return None;
    }
    if name == Identity::LEGACY {
        // SECURITY: its subjects would be taken for legacy accounts.
        let message = format!("the name \"{name}\" is that of legacy accounts' identities; choose another");
        context.error(value.span(), message);
        return None;
    }
    Some(name)
}

fn claim(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let path = value.string(context)?;
    match bad_path(&path) {
        None => Some(path),
        Some(why) => {
            context.error(value.span(), format!("claim \"{path}\" {why}"));
            None
        }
    }
}

fn actor(value: &Value<'_>, context: &mut Context<'_>) -> Option<Actor> {
    let word = value.string(context)?;
    let actor = Actor::ALL.into_iter().find(|actor| actor.as_str() == word);
    if actor.is_none() {
        let message = format!("actor \"{word}\" is unknown; write \"act\", \"ignore\" or \"refuse\"");
        context.error(value.span(), message);
    }
    actor
}

fn attributes(value: &Value<'_>, context: &mut Context<'_>) -> Option<BTreeMap<String, String>> {
    let attributes = value.string_map(context)?;
    for path in attributes.values() {
        if let Some(why) = bad_path(path) {
            context.error(value.span(), format!("claim \"{path}\" {why}"));
            return None;
        }
    }
    Some(attributes)
}

/// Says what `identity::ClaimPath` would refuse in a path, so that it is refused with its line.
fn bad_path(path: &str) -> Option<&'static str> {
    let names: Vec<&str> = match path.strip_prefix('/') {
        Some(pointer) if pointer.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) => {
            return Some("has a ~ that is neither ~0 nor ~1; a JSON pointer writes ~ as ~0 and / as ~1");
        }
        Some(pointer) => pointer.split('/').collect(),
        None if path.contains(':') => vec![path],
        None => path.split('.').collect(),
    };
    if names.iter().any(|name| name.is_empty()) {
        return Some("has an empty name; write it like \"groups\", \"realm_access.roles\" or \"/a.b/c\"");
    }
    (names.len() > 8).then_some("is deeper than 8 names")
}

fn url(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            context.error_at_secret(value.span(), format!("\"url\" is no URL: {error}"));
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        context.error_at_secret(value.span(), "\"url\" must hold no user or password".to_owned());
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
    let wrong = match url.scheme() {
        _ if url.query().is_some() || url.fragment().is_some() => {
            // OpenID Connect Discovery 1.0, section 3: "no query or fragment components".
            "must be without \"?\" and \"#\""
        }
        "https" => return Some(text),
        "http" if loopback => {
            context
                .warn(value.span(), format!("issuer \"{text}\" is asked without TLS; for development only"));
            return Some(text);
        }
        "http" => "must be https; http is for loopback only",
        _ => "must begin with https://",
    };
    context.error(value.span(), format!("\"{text}\" {wrong}"));
    None
}

fn algorithms(value: &Value<'_>, context: &mut Context<'_>) -> Option<Vec<Algorithm>> {
    let mut algorithms = Vec::new();
    let mut complete = true;
    for (span, text) in value.strings(context)? {
        match Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == text) {
            Some(algorithm) if algorithms.contains(&algorithm) => {}
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let known: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
                let why = match text.as_str() {
                    "HS256" | "HS384" | "HS512" => ": whoever checks it could also sign",
                    "none" => ": it would be no signature at all",
                    _ => "",
                };
                let message =
                    format!("algorithm \"{text}\" is not accepted{why}; known are {}", known.join(", "));
                context.error(span, message);
                complete = false;
            }
        }
    }
    complete.then_some(algorithms)
}
