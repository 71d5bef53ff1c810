//! Client certificates of every right and wrong kind, made here.

use identity::{
    Anchors, CertificateKind, CertificateRejection, CertificateRules, GroupedBy, NamedBy, RevocationLists,
    TrustBundle, peek_certificate, thumbprint, verify_certificate,
};
use model::Pattern;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, RevokedCertParams,
    SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;

use super::*;

const DAY: u64 = 86_400;
const WEB: &str = "spiffe://example.org/ns/prod/sa/web";

/// An authority, and how it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

type Change = fn(&mut CertificateParams);

fn validity(params: &mut CertificateParams, from: u64, until: u64) {
    let at = |seconds: u64| (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into();
    (params.not_before, params.not_after) = (at(from), at(until));
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, NOW - 100 * DAY, NOW + 100 * DAY);
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Makes an authority below it.
    fn below(&self, change: Change) -> Self {
        let (mut params, key) = (authority_params("intermediate"), KeyPair::generate().unwrap());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Issues a good X.509-SVID, changed.
    fn issue(&self, change: Change) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "agent-7");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "support-agents");
        params.subject_alt_names.push(SanType::URI(WEB.try_into().unwrap()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(7_u64));
        validity(&mut params, NOW - DAY, NOW + 3600);
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }

    fn revoke(&self, serial: u64, next_update: u64) -> String {
        let at = |seconds: u64| (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into();
        let params = CertificateRevocationListParams {
            this_update: at(NOW - DAY),
            next_update: at(next_update),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: at(NOW - 60),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn svid() -> CertificateRules {
    let kind = CertificateKind::Svid("example.org".parse().unwrap());
    let members = [("prod".to_owned(), vec![Pattern::new("spiffe://example.org/ns/prod/*")])].into();
    CertificateRules { name: "mesh".to_owned(), kind, members }
}

fn named(by: NamedBy) -> CertificateRules {
    let kind = CertificateKind::Named { by, groups: Some(GroupedBy::Unit) };
    CertificateRules { name: "agents".to_owned(), kind, ..svid() }
}

fn try_chain(
    chain: &[CertificateDer<'static>],
    rules: &CertificateRules,
    of: &Authority,
    revoked: Option<&str>,
) -> Result<Verified, CertificateRejection> {
    let anchors = Anchors::from_pem(of.pem.as_bytes()).unwrap();
    let revoked = revoked.map(|pem| RevocationLists::from_pem(pem.as_bytes()).unwrap());
    verify_certificate(chain, rules, &anchors, revoked.as_ref(), now())
}

fn kind_of(rejection: &CertificateRejection) -> String {
    format!("{rejection:?}").split([',', ' ', '{']).next().unwrap().trim_end_matches(')').to_owned()
}

#[test]
fn a_good_svid_is_its_workloads() {
    let root = Authority::new("root");
    let leaf = root.issue(|_| {});
    assert_eq!(peek_certificate(std::slice::from_ref(&leaf)).unwrap().to_string(), "example.org");
    let verified = try_chain(std::slice::from_ref(&leaf), &svid(), &root, None).unwrap();
    let identity = verified.identity();
    assert_eq!(identity.to_string(), format!("mesh:{WEB}"));
    assert_eq!(identity.groups.iter().collect::<Vec<_>>(), ["prod"]);
    let hex: String = thumbprint(&leaf).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(identity.token_id, Some(format!("sha256:{hex}")));
    assert_eq!(verified.method(), Method::Certificate);
    assert_eq!(
        verified.expires_at(),
        now() + Duration::from_secs(3601),
        "with the second of notAfter itself"
    );
}

#[test]
fn each_kind_of_name_can_be_the_agents() {
    let root = Authority::new("root");
    let leaf = root.issue(|params| {
        params.subject_alt_names.push(SanType::DnsName("Agent-7.example.org".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("agent-7@example.org".try_into().unwrap()));
    });
    for (by, subject) in [
        (NamedBy::Uri, WEB),
        (NamedBy::Dns, "agent-7.example.org"),
        (NamedBy::Email, "agent-7@example.org"),
        (NamedBy::CommonName, "agent-7"),
    ] {
        let verified = try_chain(std::slice::from_ref(&leaf), &named(by), &root, None).unwrap();
        assert_eq!(verified.identity().subject, subject);
        assert!(verified.identity().groups.contains("support-agents"), "{by:?}");
    }
}

#[test]
fn an_intermediates_end_is_the_sessions_too() {
    let root = Authority::new("root");
    let middle = root.below(|params| validity(params, NOW - DAY, NOW + 60));
    let chain = [middle.issue(|_| {}), middle.der.clone()];
    let verified = try_chain(&chain, &svid(), &root, None).unwrap();
    assert_eq!(verified.expires_at(), now() + Duration::from_secs(61));
    let alone = try_chain(&chain[..1], &svid(), &root, None).unwrap_err();
    assert_eq!(kind_of(&alone), "Invalid(UnknownIssuer");
}

#[test]
fn every_wrong_certificate_is_refused_for_its_own_reason() {
    let root = Authority::new("root");
    let cases: &[(&str, Change, &str)] = &[
        ("no URI", |p| p.subject_alt_names.clear(), "NoName(\"URI\""),
        (
            "another name only",
            |p| p.subject_alt_names = vec![SanType::DnsName("example.org".try_into().unwrap())],
            "NoName(\"URI\"",
        ),
        (
            "two URIs",
            |p| {
                p.subject_alt_names
                    .push(SanType::URI("spiffe://example.org/ns/prod/sa/db".try_into().unwrap()))
            },
            "SeveralNames(\"URI\"",
        ),
        (
            "two URIs, one no SPIFFE ID",
            |p| p.subject_alt_names.push(SanType::URI("https://example.org/".try_into().unwrap())),
            "SeveralNames(\"URI\"",
        ),
        (
            "another trust domain",
            |p| p.subject_alt_names = vec![SanType::URI("spiffe://evil.example/web".try_into().unwrap())],
            "WrongTrustDomain",
        ),
        (
            "a trust domain below ours",
            |p| p.subject_alt_names = vec![SanType::URI("spiffe://a.example.org/web".try_into().unwrap())],
            "WrongTrustDomain",
        ),
        (
            "the trust domain's own",
            |p| p.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())],
            "NoSpiffeId(Excerpt(\"spiffe://example.org\"",
        ),
        (
            "a path with dots",
            |p| {
                p.subject_alt_names = vec![SanType::URI("spiffe://example.org/ns/../web".try_into().unwrap())]
            },
            "NoSpiffeId(Excerpt(\"spiffe://example.org/ns/../web\"",
        ),
        (
            "an authority",
            |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "Invalid(CaUsedAsEndEntity",
        ),
        ("signs certificates", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign), "MaySign"),
        ("signs lists", |p| p.key_usages.push(KeyUsagePurpose::CrlSign), "MaySign"),
        ("no key usage", |p| p.key_usages.clear(), "MayNotSign"),
        ("encrypts only", |p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment], "MayNotSign"),
        (
            "for servers only",
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            "Invalid(RequiredEkuNotFoundContext(RequiredEkuNotFoundContext",
        ),
        ("expired", |p| validity(p, NOW - DAY, NOW - 1), "Invalid(CertExpired"),
        ("not yet", |p| validity(p, NOW + 1, NOW + DAY), "Invalid(CertNotValidYet"),
    ];
    try_chain(&[root.issue(|_| {})], &svid(), &root, None).expect("what the cases change");
    for (what, change, expected) in cases {
        let rejection = try_chain(&[root.issue(*change)], &svid(), &root, None).expect_err(what);
        assert_eq!(kind_of(&rejection), *expected, "{what}: {rejection}");
        assert!(!rejection.to_string().contains('\n'));
    }
    let none = try_chain(&[], &svid(), &root, None).unwrap_err();
    assert_eq!(kind_of(&none), "Missing");
    let stranger = Authority::new("root");
    let rejection = try_chain(&[stranger.issue(|_| {})], &svid(), &root, None).unwrap_err();
    assert!(matches!(rejection, CertificateRejection::Invalid(_)), "of the same name: {rejection}");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names.push(SanType::URI(WEB.try_into().unwrap()));
    let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    let rejection = try_chain(&[own], &svid(), &root, None).unwrap_err();
    assert!(matches!(rejection, CertificateRejection::Invalid(_)), "self-signed: {rejection}");
}

#[test]
fn names_must_be_one_and_readable() {
    let root = Authority::new("root");
    let check = |what: &str, by: NamedBy, change: Change, expected: &str| {
        let rejection = try_chain(&[root.issue(change)], &named(by), &root, None).expect_err(what);
        assert_eq!(kind_of(&rejection), expected, "{what}: {rejection}");
    };
    check("no DNS name", NamedBy::Dns, |_| {}, "NoName(\"DNS");
    check(
        "two DNS names",
        NamedBy::Dns,
        |p| {
            for name in ["a.example.org", "b.example.org"] {
                p.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
            }
        },
        "SeveralNames(\"DNS",
    );
    check("no e-mail address", NamedBy::Email, |_| {}, "NoName(\"e-mail");
    check(
        "a common name that forges a line",
        NamedBy::CommonName,
        |p| p.distinguished_name.push(DnType::CommonName, "agent\nadmin"),
        "BadText(\"common",
    );
    check(
        "a group that hides",
        NamedBy::Uri,
        |p| p.distinguished_name.push(DnType::OrganizationalUnitName, "dba\u{200b}"),
        "BadText(\"organizational",
    );
}

#[test]
fn an_authority_may_name_only_what_it_is_allowed_to() {
    let root = Authority::new("root");
    let middle = root.below(|p| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("team-a.example.org".into())];
        p.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    });
    let try_name = |change: Change| {
        let chain = [middle.issue(change), middle.der.clone()];
        try_chain(&chain, &named(NamedBy::Dns), &root, None)
    };
    try_name(|p| p.subject_alt_names = vec![SanType::DnsName("x.team-a.example.org".try_into().unwrap())])
        .unwrap();
    let rejection = try_name(|p| {
        p.subject_alt_names = vec![SanType::DnsName("x.team-b.example.org".try_into().unwrap())]
    })
    .unwrap_err();
    assert_eq!(kind_of(&rejection), "Invalid(NameConstraintViolation");
}

#[test]
fn what_is_revoked_or_covered_by_no_list_is_refused() {
    let root = Authority::new("root");
    let leaf = [root.issue(|_| {})];
    let try_list = |list: &str| try_chain(&leaf, &svid(), &root, Some(list)).map_err(|why| kind_of(&why));
    try_list(&root.revoke(8, NOW + DAY)).unwrap();
    assert_eq!(try_list(&root.revoke(7, NOW + DAY)).unwrap_err(), "Invalid(CertRevoked");
    assert_eq!(try_list(&root.revoke(8, NOW - 60)).unwrap_err(), "Invalid(CrlExpired");
    let other = Authority::new("other");
    assert_eq!(try_list(&other.revoke(8, NOW + DAY)).unwrap_err(), "Invalid(UnknownRevocationStatus");
    let namesake = Authority::new("root");
    assert!(try_list(&namesake.revoke(8, NOW + DAY)).is_err(), "signed by another of that name");
    // With an intermediate, both need to be covered.
    let middle = root.below(|p| p.serial_number = Some(SerialNumber::from(9_u64)));
    let chain = [middle.issue(|_| {}), middle.der.clone()];
    let of_both =
        |of_root: u64| format!("{}{}", middle.revoke(8, NOW + DAY), root.revoke(of_root, NOW + DAY));
    try_chain(&chain, &svid(), &root, Some(&of_both(1))).unwrap();
    try_chain(&chain, &svid(), &root, Some(&of_both(9))).expect_err("the intermediate is revoked");
    try_chain(&chain, &svid(), &root, Some(&middle.revoke(8, NOW + DAY))).expect_err("no list of the root");
}

#[test]
fn a_bundle_is_pem_or_spiffes_own() {
    let root = Authority::new("root");
    let read = |text: &str| TrustBundle::parse(text.as_bytes(), KeySetLimits::default());
    let pem = read(&root.pem).unwrap();
    assert_eq!((pem.anchors.unwrap().len(), pem.keys.len()), (1, 0));
    let x5c = base64::engine::general_purpose::STANDARD.encode(&root.der);
    let jwt = p256(json!({"use": "jwt-svid", "kid": "ec"}));
    let both = json!({"spiffe_sequence": 1, "keys": [{"use": "x509-svid", "kty": "EC", "x5c": [x5c]}, jwt, p256(json!({"kid": "plain"}))]});
    let both = read(&both.to_string()).unwrap();
    assert_eq!((both.anchors.unwrap().len(), both.keys.len()), (1, 1), "a key without use is for nothing");
    assert!(read(r#"{"keys":[]}"#).unwrap().anchors.is_none());
    for bad in [
        String::new(),
        "nothing".to_owned(),
        "{}".to_owned(),
        json!({"keys": [{"use": "x509-svid", "x5c": []}]}).to_string(),
        json!({"keys": [{"use": "x509-svid", "x5c": [x5c, x5c]}]}).to_string(),
        json!({"keys": [{"use": "x509-svid", "x5c": ["!"]}]}).to_string(),
        json!({"keys": [{"use": "x509-svid", "x5c": ["AAAA"]}]}).to_string(),
        root.pem.replace("MII", "AAA"),
    ] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_bound_token_is_good_only_with_its_certificate() {
    let root = Authority::new("root");
    let (own, other) = (thumbprint(&root.issue(|_| {})), thumbprint(&root.issue(|_| {})));
    let mut claims = claims();
    let encoded = URL_SAFE_NO_PAD.encode(own);
    claims["cnf"] = json!({"x5t#S256": encoded});
    let token = sign(&header(), &claims);
    let try_with = |token: &str, certificate| {
        let presented = identity::Presented { method: Method::Token, certificate };
        verify(token, &rules(), &all_keys(), presented, now()).map_err(|why| kind(&why))
    };
    try_with(&token, Some(own)).unwrap();
    assert_eq!(try_with(&token, None).unwrap_err(), "BoundToCertificate");
    assert_eq!(try_with(&token, Some(other)).unwrap_err(), "BoundToAnotherCertificate");
    for cnf in [
        json!({"x5t#S256": encoded, "jkt": "x"}),
        json!({"jkt": "x"}),
        json!({}),
        json!("x"),
        json!({"x5t#S256": [encoded]}),
    ] {
        claims["cnf"] = cnf.clone();
        assert_eq!(try_with(&sign(&header(), &claims), Some(own)).unwrap_err(), "BoundToKey", "{cnf}");
    }
    // The same bytes in another spelling are not the same.
    claims["cnf"] = json!({"x5t#S256": format!("{encoded}=")});
    assert_eq!(try_with(&sign(&header(), &claims), Some(own)).unwrap_err(), "BoundToAnotherCertificate");
}

#[test]
fn a_jwt_svid_is_its_workloads() {
    let mut rules = IssuerRules::new("mesh", "spiffe://example.org", vec!["gatepost".to_owned()]);
    rules.trust_domain = Some("example.org".parse().unwrap());
    rules.members = svid().members;
    let keys = TrustBundle::parse(
        json!({"keys": [p256(json!({"use": "jwt-svid", "kid": "ec"}))]}).to_string().as_bytes(),
        KeySetLimits::default(),
    )
    .unwrap()
    .keys;
    let claims = json!({"sub": WEB, "aud": ["gatepost"], "exp": NOW + 300});
    let header = json!({"alg": "ES256", "kid": "ec", "typ": "JOSE"});
    let verified = try_token(&sign(&header, &claims), &rules, &keys).unwrap();
    assert_eq!(verified.identity().to_string(), format!("mesh:{WEB}"));
    assert!(verified.identity().groups.contains("prod"));
    let unverified = peek(&sign(&header, &claims)).unwrap();
    assert_eq!(
        (unverified.issuer, unverified.trust_domain.unwrap().to_string()),
        (None, "example.org".to_owned())
    );
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &str)] = &[
        ("another trust domain", |c| c["sub"] = json!("spiffe://evil.example/web"), "WrongTrustDomain"),
        ("no SPIFFE ID", |c| c["sub"] = json!("web"), "WrongTrustDomain"),
        ("no path", |c| c["sub"] = json!("spiffe://example.org"), "WrongTrustDomain"),
        ("a path with dots", |c| c["sub"] = json!("spiffe://example.org/a/../web"), "WrongTrustDomain"),
        ("no audience", |c| drop(c.as_object_mut().unwrap().remove("aud")), "MissingClaim"),
        ("another audience", |c| c["aud"] = json!("other"), "WrongAudience"),
        ("no end", |c| drop(c.as_object_mut().unwrap().remove("exp")), "MissingClaim"),
    ];
    for (what, change, expected) in cases {
        let mut claims = claims.clone();
        change(&mut claims);
        rejects(what, &sign(&header, &claims), &rules, &keys, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_believed_and_none_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        static GOOD: LazyLock<(Authority, CertificateDer<'static>)> = LazyLock::new(|| {
            let root = Authority::new("root");
            let leaf = root.issue(|_| {});
            (root, leaf)
        });
        let (root, leaf) = &*GOOD;
        prop_assert!(try_chain(&[bytes.into()], &svid(), root, None).is_err());
        // One byte of a good one is another.
        let mut changed = leaf.to_vec();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != to);
        changed[at] = to;
        for rules in [svid(), named(NamedBy::CommonName)] {
            prop_assert!(try_chain(&[changed.clone().into()], &rules, root, None).is_err());
        }
        let _ = peek_certificate(&[changed.into()]);
    }

    #[test]
    fn any_bundle_text_is_read_or_refused_without_panic(text in "\\PC{0,200}|\\{\"keys\":\\[\\{\"use\":\"x509-svid\",\"x5c\":\\[\"[A-Za-z0-9+/=]{0,60}\"\\]\\}\\]\\}") {
        let _ = TrustBundle::parse(text.as_bytes(), KeySetLimits::default());
        let _ = RevocationLists::from_pem(text.as_bytes());
    }
}
