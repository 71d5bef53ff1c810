//! Vault's API, against the double of `testkit`: what is read, what is asked how often, and what an error says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::{SecretRef, Servers, VaultMethod};
use serde_json::json;
use testkit::vault::{Role, Vault};

use crate::secrets::{credentials, resolve};

/// Two references to one server, as a configuration with a section `[vault]` has them.
struct Section(Arc<config::Vault>);

impl Section {
    fn new(vault: &Vault, method: VaultMethod) -> Self {
        let (address, timeout) = (vault.url(), Duration::from_secs(2));
        Self(Arc::new(config::Vault { address, namespace: None, ca: None, method, timeout }))
    }

    fn given(vault: &Vault, token: &str) -> Self {
        Self::new(vault, VaultMethod::Token { token: printed(token) })
    }

    fn reference(&self, text: &str) -> SecretRef {
        let servers = Servers { vault: Some(self.0.clone()), aws: None };
        SecretRef::parse_with(text, Path::new("/"), &servers).unwrap()
    }

    async fn get(&self, text: &str) -> Result<String, String> {
        let secret = resolve(&self.reference(text)).await;
        secret.map(|secret| secret.expose().clone()).map_err(|error| oidc::chain(&error))
    }
}

fn printed(text: &str) -> SecretRef {
    SecretRef::parse(&format!("exec:printf %s {text}"), Path::new("/")).unwrap()
}

fn vault() -> Vault {
    Vault::start(Box::new(|_| {}))
}

fn upstream() -> config::Upstream {
    config::Upstream {
        host: config::Host::Name("db.internal".to_owned()),
        port: 5432,
        database: "app".to_owned(),
        tls: config::UpstreamTls::VerifyFull(config::Roots::System),
    }
}

/// Waits, without a fixed time, until something that happens elsewhere has happened.
async fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn both_versions_of_kv_are_read() {
    let vault = vault();
    vault.put_v1("kv/team/app", json!({ "password": "one", "data": "d", "metadata": "m", "port": 5432 }));
    vault.put_v2("secret/data/app", json!({ "password": "two", "empty": "" }));
    let section = Section::given(&vault, Vault::ROOT);
    assert_eq!(section.get("vault:kv/team/app#password").await.as_deref(), Ok("one"));
    assert_eq!(section.get("vault:kv/team/app#data").await.as_deref(), Ok("d"), "a field may have any name");
    assert_eq!(section.get("vault:secret/data/app#password").await.as_deref(), Ok("two"));
    vault.put_v2("secret/data/app", json!({ "password": "three", "empty": "" }));
    assert_eq!(
        section.get("vault:secret/data/app#password").await.as_deref(),
        Ok("three"),
        "nothing is kept"
    );

    let told = section.get("vault:secret/data/app#pasword").await.unwrap_err();
    assert!(told.contains("has no text \"pasword\"; there are \"empty\", \"password\""), "{told}");
    let told = section.get("vault:kv/team/app#port").await.unwrap_err();
    assert!(told.contains("has no text \"port\""), "{told}");
    let told = section.get("vault:secret/data/app#empty").await.unwrap_err();
    assert!(told.ends_with("is empty"), "{told}");
    let told = section.get("vault:secret/app#password").await.unwrap_err();
    assert!(told.contains("versioned K/V") && told.contains("secret/data/app"), "{told}");
    for secret in ["one", "two", "three"] {
        assert!(!told.contains(&format!("\"{secret}\"")), "{told}");
    }
}

#[tokio::test]
async fn a_login_is_made_once_and_again_when_its_token_is_refused() {
    let vault = vault();
    vault.put_v1("kv/app", json!({ "password": "one" }));
    vault.login("approle", json!({ "role_id": "the-role", "secret_id": "the-secret-id" }), 3600);
    vault.login("k8s/prod", json!({ "role": "gatepost", "jwt": "the.jwt.itself" }), 3600);
    let methods = [
        VaultMethod::AppRole {
            mount: "approle".to_owned(),
            role_id: printed("the-role"),
            secret_id: Some(printed("the-secret-id")),
        },
        VaultMethod::Jwt {
            mount: "k8s/prod".to_owned(),
            role: "gatepost".to_owned(),
            jwt: printed("the.jwt.itself"),
        },
    ];
    for (method, login) in methods.into_iter().zip(["POST auth/approle/login", "POST auth/k8s/prod/login"]) {
        let section = Section::new(&vault, method);
        for _ in 0..3 {
            assert_eq!(section.get("vault:kv/app#password").await.as_deref(), Ok("one"));
        }
        assert_eq!(vault.count(login), 1, "one login serves many");
        vault.revoke_tokens();
        // A token that was got just now is believed to be what it is; an older one may have been revoked.
        tokio::time::sleep(super::KEPT_MIN).await;
        assert_eq!(section.get("vault:kv/app#password").await.as_deref(), Ok("one"));
        assert_eq!(vault.count(login), 2);
    }
    let wrong = VaultMethod::AppRole {
        mount: "approle".to_owned(),
        role_id: printed("the-role"),
        secret_id: Some(printed("a-wrong-secret-id")),
    };
    let told = Section::new(&vault, wrong).get("vault:kv/app#password").await.unwrap_err();
    assert!(
        told.contains("refuses the gateway's login at \"auth/approle/login\" (status 400): invalid role"),
        "{told}"
    );
    assert!(!told.contains("wrong-secret"), "{told}");
}

#[tokio::test]
async fn a_token_is_renewed_while_it_is_used_and_revoked_after() {
    let vault = vault();
    let role = Role { creation: String::new(), revocation: String::new(), ttl: 60, max_ttl: 600 };
    vault.role("database/creds/app", role);
    vault.login("approle", json!({ "role_id": "the-role" }), 3);
    let method =
        VaultMethod::AppRole { mount: "approle".to_owned(), role_id: printed("the-role"), secret_id: None };
    let section = Section::new(&vault, method);
    let [user, password] =
        ["username", "password"].map(|it| section.reference(&format!("vault:database/creds/app#{it}")));
    let credentials =
        credentials(&user, Some(&password), &upstream()).await.unwrap_or_else(|e| panic!("{e}"));
    until("the token is renewed", || vault.count("POST auth/token/renew-self") >= 2).await;
    assert_eq!(vault.open_leases().len(), 1);
    drop(credentials);
    until("the lease is revoked", || vault.open_leases().is_empty()).await;
    until("the token is revoked when nobody needs it", || vault.tokens().is_empty()).await;
    assert_eq!(vault.count("POST auth/token/revoke-self"), 1);
}

#[tokio::test]
async fn user_and_password_come_from_one_lease_that_ends_with_its_holder() {
    let vault = vault();
    let role = Role { creation: String::new(), revocation: String::new(), ttl: 2, max_ttl: 600 };
    vault.role("database/creds/app", role.clone());
    let section = Section::given(&vault, Vault::ROOT);
    let [user, password] =
        ["username", "password"].map(|it| section.reference(&format!("vault:database/creds/app#{it}")));
    let held = credentials(&user, Some(&password), &upstream()).await.unwrap_or_else(|e| panic!("{e}"));
    let pair = (held.user.expose().clone(), held.password.as_ref().unwrap().expose().clone());
    assert_eq!(vault.credentials(), [pair], "one lease was made, and both are of it");
    until("the lease is renewed", || vault.count("PUT sys/leases/renew") >= 2).await;
    assert_eq!(vault.open_leases().len(), 1);
    drop(held);
    until("the lease is revoked", || vault.open_leases().is_empty()).await;
    assert_eq!(vault.count("PUT sys/leases/revoke"), 1);

    // Half of a pair is refused, and what was made for it is gone at once.
    for half in
        [resolve(&user).await.err(), credentials(&user, Some(&printed("other")), &upstream()).await.err()]
    {
        let told = half.unwrap().to_string();
        assert!(told.contains("both from the same path"), "{told}");
        until("the lease is revoked", || vault.open_leases().is_empty()).await;
    }

    // One that can't be renewed beyond its largest TTL says so before it ends.
    vault.role("database/creds/app", Role { max_ttl: 3, ..role });
    let held = credentials(&user, Some(&password), &upstream()).await.unwrap_or_else(|e| panic!("{e}"));
    let lease = held.lease.as_ref().unwrap();
    tokio::time::timeout(Duration::from_secs(5), lease.ended()).await.unwrap();
}

#[tokio::test]
async fn a_namespace_is_named_and_a_wrong_one_found_out() {
    let vault = vault();
    vault.put_v1("kv/app", json!({ "password": "one" }));
    vault.require_namespace("teams/a");
    let section = Section::given(&vault, Vault::ROOT);
    assert!(section.get("vault:kv/app#password").await.unwrap_err().contains("no handler for route"));
    let named = config::Vault { namespace: Some("teams/a".to_owned()), ..(*section.0).clone() };
    assert_eq!(Section(Arc::new(named)).get("vault:kv/app#password").await.as_deref(), Ok("one"));
}

#[tokio::test]
async fn what_vault_can_do_wrong_is_said_and_secrets_are_not() {
    let vault = vault();
    let section = Section::given(&vault, Vault::ROOT);
    let huge = format!("{{\"data\":\"{}\"}}", "x".repeat(300_000));
    let echo = format!("{{\"errors\":[\"bad token {} \\n\\u001b[31m\"]}}", Vault::ROOT);
    let cases: [(u16, &str, &str); 8] = [
        (503, "{\"errors\":[\"Vault is sealed\"]}", "is sealed or not ready (status 503): Vault is sealed"),
        (307, "{}", "redirects (status 307), and redirects are not followed"),
        (200, "hello", "something else than Vault does"),
        (200, "{\"data\":null}", "something else than Vault does"),
        (200, &huge, "more than 262144 bytes"),
        (500, "{\"errors\":[\"1 error occurred\"]}", "with status 500: 1 error occurred"),
        (403, "{\"errors\":[\"permission denied\"]}", "denies \"kv/app\" (status 403): permission denied"),
        (400, &echo, "with status 400: bad token *** \\n\\u{1b}[31m"),
    ];
    for (status, body, expected) in cases {
        vault.answer(Some((status, body)));
        let told = section.get("vault:kv/app#password").await.unwrap_err();
        assert!(told.contains(expected), "{status}: {told}");
        assert!(!told.contains(Vault::ROOT), "{told}");
    }
    vault.fall_silent();
    let told = section.get("vault:kv/app#password").await.unwrap_err();
    assert!(told.contains("did not answer within 2000 ms"), "{told}");
}
