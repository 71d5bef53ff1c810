//! `[[auth]]`: how which client presents its token. Checks no token.

use std::net::IpAddr;

use model::{Method, Pattern};

use crate::address::Cidr;
use crate::context::Context;
use crate::read::{Table, Value};

/// One rule; see [`Config::auth_rule`](crate::Config::auth_rule).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRule {
    /// The user name asked for must match one. Never empty.
    pub user: Vec<Pattern>,
    /// The database asked for must match one. Never empty.
    pub database: Vec<Pattern>,
    /// The client must be in one; `None` means anywhere.
    pub address: Option<Vec<Cidr>>,
    /// What is asked of the client then.
    pub method: AuthMethod,
    /// The names of the issuers whose tokens this rule accepts, never empty; `None` means all.
    ///
    /// SECURITY: a token of another issuer must be refused as if it were not valid.
    pub issuers: Option<Vec<String>>,
}

/// What is asked of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// A token, presented so.
    Accept(Method),
    /// Nothing: it is refused.
    Reject,
}

impl AuthMethod {
    /// Returns the word that the file uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept(method) => method.as_str(),
            Self::Reject => "reject",
        }
    }
}

impl AuthRule {
    pub(crate) fn token_for_everybody() -> Self {
        Self {
            user: vec![Pattern::new("*")],
            database: vec![Pattern::new("*")],
            address: None,
            method: AuthMethod::Accept(Method::Token),
            issuers: None,
        }
    }

    /// Returns whether the rule is about this client.
    pub fn matches(&self, user: &str, database: &str, client: IpAddr) -> bool {
        self.user.iter().any(|pattern| pattern.matches(user))
            && self.database.iter().any(|pattern| pattern.matches(database))
            && self.address.as_ref().is_none_or(|networks| networks.iter().any(|net| net.contains(client)))
    }

    /// Returns whether the rule accepts tokens of the issuer of this name.
    pub fn accepts_issuer(&self, name: &str) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.iter().any(|issuer| issuer == name))
    }
}

/// `known` holds the names of all issuers, `None` for one whose name is itself a problem.
pub(crate) fn read(
    table: &Table<'_>,
    known: &[Option<String>],
    context: &mut Context<'_>,
) -> Option<AuthRule> {
    let method = table.value("method", context).and_then(|value| method(&value, context));
    let issuers = match table.value("issuer", context) {
        Some(value) if method == Some(AuthMethod::Accept(Method::Passthrough)) => {
            let message =
                "\"issuer\" is of no use with method \"passthrough\", which takes no tokens; remove it";
            context.error(value.span(), message.to_owned());
            None
        }
        Some(value) => issuers(&value, known, context).map(Some),
        None => Some(None),
    };
    let matched = table.table("match", context)?;
    let mut patterns = |key: &str| {
        let strings = matched.value(key, context)?.strings(context)?;
        Some(strings.iter().map(|(_, text)| Pattern::new(text)).collect())
    };
    let user = patterns("user");
    let database = patterns("database");
    let address = match matched.value("address", context) {
        Some(value) => networks(&value, context).map(Some),
        None => Some(None),
    };
    Some(AuthRule { user: user?, database: database?, address: address?, method: method?, issuers: issuers? })
}

const METHODS: &str = "\"token\", \"oauthbearer\", \"certificate\", \"passthrough\" or \"reject\"";

fn method(value: &Value<'_>, context: &mut Context<'_>) -> Option<AuthMethod> {
    let word = value.string(context)?;
    let message = match word.as_str() {
        "token" => return Some(AuthMethod::Accept(Method::Token)),
        "oauthbearer" => return Some(AuthMethod::Accept(Method::OAuthBearer)),
        "certificate" => return Some(AuthMethod::Accept(Method::Certificate)),
        "passthrough" => return Some(AuthMethod::Accept(Method::Passthrough)),
        "reject" => return Some(AuthMethod::Reject),
        _ => format!("method \"{word}\" is unknown; write {METHODS}"),
    };
    context.error(value.span(), message);
    None
}

fn issuers(value: &Value<'_>, known: &[Option<String>], context: &mut Context<'_>) -> Option<Vec<String>> {
    let mut issuers = Vec::new();
    let mut complete = true;
    for (span, name) in value.strings(context)? {
        // Where an issuer could not be read, its name can't be said to be missing.
        if known.iter().any(|known| known.as_ref().is_none_or(|known| *known == name)) {
            issuers.push(name);
            continue;
        }
        let names: Vec<_> = known.iter().flatten().map(|known| format!("\"{known}\"")).collect();
        context
            .error(span, format!("there is no [[issuer]] named \"{name}\"; there is {}", names.join(", ")));
        complete = false;
    }
    complete.then_some(issuers)
}

fn networks(value: &Value<'_>, context: &mut Context<'_>) -> Option<Vec<Cidr>> {
    let mut networks = Vec::new();
    let mut complete = true;
    for (span, text) in value.strings(context)? {
        match Cidr::parse(&text) {
            Ok(network) => networks.push(network),
            Err(message) => {
                context.error(span, message);
                complete = false;
            }
        }
    }
    complete.then_some(networks)
}
