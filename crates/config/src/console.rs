//! `[console]`: how people log in with a browser. Asks no issuer anything.

use std::time::Duration;

use crate::context::Context;
use crate::issuer::{Issuer, IssuerKind};
use crate::listen::Listen;
use crate::read::Table;
use crate::secret_ref::SecretRef;

/// How people log in with a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// The name of an `[[issuer]]` of kind OIDC, whose discovery document is asked for.
    pub issuer: String,
    /// By what name it knows the console.
    pub client_id: String,
    /// `None`: a public client.
    pub client_secret: Option<SecretRef>,
    /// What is asked for; `openid` is among them.
    pub scopes: Vec<String>,
    /// How long somebody stays logged in.
    pub session: Duration,
    /// The same for who does nothing.
    pub idle: Duration,
}

/// What the section says; what it refers to is checked by [`check`].
pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Console> {
    let issuer = table.value("issuer", context).and_then(|value| value.string(context));
    let client_id = table.value("client_id", context).and_then(|value| value.string(context));
    let client_secret = match table.value("client_secret", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    let scopes = table.value("scopes", context).and_then(|value| {
        let scopes: Vec<_> = value.strings(context)?.into_iter().map(|(_, text)| text).collect();
        // RFC 6749 3.3: anything but space, quotation mark and backslash of printable ASCII.
        let good = |scope: &String| scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !scopes.iter().any(|scope| scope == "openid") || !scopes.iter().all(good) {
            let message =
                "\"scopes\" is a list of words of printable ASCII, and \"openid\" must be one of them";
            context.error(value.span(), message.to_owned());
            return None;
        }
        Some(scopes)
    });
    let mut time = |key: &str| {
        let allowed = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600);
        table.value(key, context).and_then(|value| value.duration(allowed, context))
    };
    let (session, idle) = (time("session"), time("idle"));
    Some(Console {
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret?,
        scopes: scopes?,
        session: session?,
        idle: idle?,
    })
}

/// Reports what a login can't work without.
pub(crate) fn check<'i>(
    (table, console): (&Table<'_>, &Console),
    listen: Option<&Listen>,
    issuers: impl Iterator<Item = Option<&'i Issuer>>,
    context: &mut Context<'_>,
) {
    let mut error = |message: String| context.error_at_secret(table.span(), message);
    if let Some(listen) = listen {
        if listen.http.is_empty() {
            error("[console] needs \"http\" in [listen]".to_owned());
        }
        match &listen.public_url {
            None => error("[console] needs \"public_url\" in [listen]: logins come back there".to_owned()),
            // SECURITY: a browser would send the cookie of a login in the clear.
            Some(url) if listen.tls.is_some() && !url.is_https() => {
                error("\"public_url\" in [listen] must be https:, since [listen] has tls".to_owned());
            }
            Some(_) => {}
        }
    }
    let issuers: Vec<_> = issuers.collect();
    // One that could not be read may be the one.
    let known = issuers.iter().flatten().find(|issuer| issuer.name == console.issuer);
    match known {
        None if issuers.iter().any(Option::is_none) => {}
        None => error(format!("there is no [[issuer]] named \"{}\" to log in at", console.issuer)),
        Some(issuer) if !matches!(issuer.kind, IssuerKind::Oidc) => {
            error(format!("nobody can log in at issuer \"{}\": it is not of kind \"oidc\"", issuer.name));
        }
        Some(_) => {}
    }
}
