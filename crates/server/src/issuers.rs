//! Turns what the configuration says of issuers into what verifies their tokens and certificates. Asks nobody.

use config::IssuerKind;
use identity::{CertificateKind, GroupedBy, NamedBy};
use oidc::KeysFrom;

use crate::secrets;
use crate::serve::ServeError;

/// Turns what the configuration says of issuers into what verifies their tokens.
pub fn issuers(configured: &[config::Issuer]) -> Result<Vec<oidc::IssuerConfig>, ServeError> {
    configured.iter().map(issuer).collect()
}

fn issuer(issuer: &config::Issuer) -> Result<oidc::IssuerConfig, ServeError> {
    let bad = |what: String| ServeError::IssuerRules(issuer.name.clone(), what);
    let mut rules = identity::IssuerRules::new(&issuer.name, &issuer.url, issuer.audience.clone());
    rules.authorized_parties = issuer.authorized_parties.clone().unwrap_or_default();
    rules.algorithms = issuer
        .algorithms
        .iter()
        .map(|algorithm| algorithm.as_str().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| bad("an algorithm is not known".to_owned()))?;
    let claim = |text: &str| text.parse::<identity::ClaimPath>().map_err(|error| bad(error.to_string()));
    rules.subject_claim = claim(&issuer.subject)?;
    rules.name_claim = claim(&issuer.display_name)?;
    rules.groups_claim = claim(&issuer.groups)?;
    for (name, path) in &issuer.attributes {
        rules.attributes.insert(name.clone(), claim(path)?);
    }
    rules.actor = match issuer.actor {
        config::Actor::Act => identity::Actor::Act,
        config::Actor::Ignore => identity::Actor::Ignore,
        config::Actor::Refuse => identity::Actor::Refuse,
    };
    rules.events_audiences = issuer.events_audience.clone().unwrap_or_default();
    rules.leeway = issuer.leeway;
    rules.lifetime_max = issuer.token_lifetime_max;
    let patterns = |subjects: &Vec<String>| subjects.iter().map(|it| model::Pattern::new(it)).collect();
    rules.members =
        issuer.members.iter().map(|(group, subjects)| (group.clone(), patterns(subjects))).collect();
    let certificates =
        |kind| identity::CertificateRules { name: issuer.name.clone(), kind, members: rules.members.clone() };
    let mut config = match &issuer.kind {
        IssuerKind::Oidc => oidc::IssuerConfig::new(rules),
        IssuerKind::Certificate { subject, groups } => {
            let by = match subject {
                config::CertificateName::Uri => NamedBy::Uri,
                config::CertificateName::Dns => NamedBy::Dns,
                config::CertificateName::Email => NamedBy::Email,
                config::CertificateName::CommonName => NamedBy::CommonName,
            };
            let groups = groups.map(|groups| match groups {
                config::CertificateGroups::Unit => GroupedBy::Unit,
                config::CertificateGroups::Organization => GroupedBy::Organization,
            });
            let certificates = certificates(CertificateKind::Named { by, groups });
            let ca = issuer.ca.clone().ok_or_else(|| bad("it has no authorities".to_owned()))?;
            let mut config = oidc::IssuerConfig::new(rules);
            config.certificates = Some(certificates);
            config.keys_from = KeysFrom::File(ca);
            config.revoked.clone_from(&issuer.crl);
            return Ok(config);
        }
        IssuerKind::Spiffe { trust_domain, bundle } => {
            let domain: identity::TrustDomain = trust_domain
                .parse()
                .map_err(|error: identity::BadSpiffeId| bad(format!("trust domain {error}")))?;
            let certificates = certificates(CertificateKind::Svid(domain.clone()));
            rules.trust_domain = Some(domain);
            // The standard has no actors, and whoever means one by the claim can't mean one of this trust domain for sure.
            rules.actor = identity::Actor::Refuse;
            let mut config = oidc::IssuerConfig::new(rules);
            config.certificates = Some(certificates);
            config.revoked.clone_from(&issuer.crl);
            config.keys_from = match bundle {
                config::Bundle::File(path) => KeysFrom::File(path.clone()),
                config::Bundle::Url(url) => KeysFrom::Bundle(url.clone()),
            };
            config
        }
    };
    if let Some(jwks) = &issuer.jwks {
        config.keys_from = KeysFrom::Jwks(jwks.clone());
    }
    config.introspection = issuer.introspection.as_ref().map(|it| oidc::Introspection {
        url: it.url.clone(),
        asker: match &it.asker {
            config::Asker::Client { id, secret } => {
                oidc::Asker::Client { id: id.clone(), secret: credential(secret) }
            }
            config::Asker::Bearer(bearer) => oidc::Asker::Bearer(credential(bearer)),
        },
        every: it.every,
        grace: it.grace,
    });
    config.bearer = issuer.bearer.as_ref().map(credential);
    config.ca_file.clone_from(&issuer.ca);
    Ok(config)
}

/// Makes what fetches a secret whenever it is needed.
pub(crate) fn credential(reference: &config::SecretRef) -> oidc::Credential {
    let fetched = reference.clone();
    oidc::Credential::new(reference.to_string(), move || {
        let reference = fetched.clone();
        async move { secrets::resolve(&reference).await.map_err(|error| oidc::chain(&error)) }
    })
}
