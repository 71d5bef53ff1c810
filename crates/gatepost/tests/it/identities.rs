//! Identities that are more than a subject with groups: tokens in the shape of the issuers that make them, on their way through
//! a whole gateway, as docs/guide/identities.md shows them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use testkit::client::{Connect, Message, Refused};
use testkit::http::{Answer, Signer, issuer};
use testkit::postgres::Version;
use testkit::scratch::Scratch;
use testkit::tls::{Authority, Certified, SanType, client_params};

use crate::clients::run_psql;
use crate::stage::{Gate, Setup, Shop, authority};

/// Returns the time in seconds since 1970, as claims have it.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Writes a bundle of these rules; the manifest declares the claims.
fn bundle(home: &Scratch, claims: &[&str], rules: &str) -> std::path::PathBuf {
    let manifest = format!("name = \"shop\"\nversion = \"1\"\nclaims = {claims:?}\n");
    home.write("bundle/bundle.toml", manifest);
    home.write("bundle/rules.cedar", rules);
    home.path().join("bundle")
}

fn refused(connect: &Connect) -> Message {
    match connect.try_open() {
        Err(Refused::Error(message)) => message,
        Err(Refused::Io(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("the client got in"),
    }
}

/// Returns the SQLSTATE of each statement, empty if it succeeds; of all of them, if there is no session at all.
fn tried(connect: &Connect, statements: &[&str]) -> Vec<String> {
    match connect.try_open() {
        Ok(mut session) => {
            statements.iter().map(|sql| crate::flight::sqlstate(&session.query(sql))).collect()
        }
        Err(why) => statements.iter().map(|_| why.sqlstate()).collect(),
    }
}

/// What a token of the tests' own issuers says, before it is made to look like somebody's.
fn plain(issuer: &str, subject: &str) -> Value {
    json!({"iss": issuer, "sub": subject, "aud": "gatepost", "iat": now(), "nbf": now(), "exp": now() + 300})
}

fn with(mut claims: Value, further: Value) -> Value {
    claims.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    claims
}

/// The worked example "On behalf of".
const BEHALF: &str = r#"
permit (principal in Group::"assistants", action in Action::"Read", resource in Schema::"shop.public")
when { principal has on_behalf_of && principal.on_behalf_of like "corp:*@support.example.com" };
"#;

#[test]
fn an_agent_that_acts_for_somebody_is_decided_and_recorded_with_both() {
    let signer = Signer::new("1");
    let corp = issuer(&signer);
    let home = Scratch::new("behalf");
    let gate = Setup {
        issuers: vec![("corp".into(), corp.url())],
        policy: bundle(&home, &[], BEHALF),
        ..Setup::default()
    }
    .start(Shop::new(Version::V15));
    let token = |subject: &str, act: Value| {
        let further = json!({"groups": ["assistants"], "act": act, "jti": format!("token for {subject}")});
        signer.sign(&with(plain(&corp.url(), subject), further))
    };
    let act = json!({"sub": "assistant-1", "act": {"sub": "portal"}});

    let mut ada = gate.connect_with(&token("ada@support.example.com", act.clone())).user("x").open();
    assert_eq!(ada.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    assert_eq!(ada.rows("SELECT current_setting('gatepost.on_behalf_of')"), "corp:ada@support.example.com");
    let record = gate.statement("SELECT name");
    assert_eq!(record["identity"]["subject"], "assistant-1");
    let party = json!({"issuer": "corp", "subject": "ada@support.example.com"});
    assert_eq!(record["identity"]["on_behalf_of"], party);
    let started = gate.audit(&["--event", "session_started"]).remove(0);
    assert_eq!(started["identity"]["on_behalf_of"], party);
    assert_eq!(started["prior_actors"], json!([{"issuer": "corp", "subject": "portal"}]));

    // The same agent for somebody else: another scope, though the shape of the statement is known by now.
    let mut bob = gate.connect_with(&token("bob@sales.example.com", act)).user("x").open();
    let answer = bob.query("SELECT name FROM customers WHERE id = 1");
    assert_eq!(crate::flight::sqlstate(&answer), "42501");
    // And for nobody at all.
    let alone = with(plain(&corp.url(), "assistant-1"), json!({"groups": ["assistants"]}));
    let mut alone = gate.connect_with(&signer.sign(&alone)).user("x").open();
    assert_eq!(crate::flight::sqlstate(&alone.query("SELECT name FROM customers WHERE id = 1")), "42501");

    gate.statements("SELECT name", 3);
    let found = |who: &str| gate.audit(&["--on-behalf-of", who, "--text", "SELECT name"]).len();
    assert_eq!(
        [found("ada@support.example.com"), found("corp:ada@support.example.com"), found("assistant-1")],
        [1, 1, 0]
    );
    assert_eq!(gate.audit(&["--identity", "corp:assistant-1", "--text", "SELECT name"]).len(), 3);

    let foreign = json!({"sub": "admin", "iss": "https://other.example"});
    refused(&gate.connect_with(&token("ada@support.example.com", foreign)).user("x"));
    let reason = gate.events("authentication_failed", 1)[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("actor is of issuer"), "{reason}");

    let explain = |behalf: &str| {
        let sql = "SELECT name FROM customers";
        let ran = gate.run(&[
            "policy",
            "explain",
            "--as",
            "corp:assistant-1",
            "--on-behalf-of",
            behalf,
            "--groups",
            "assistants",
            "--sql",
            sql,
        ]);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
        ran.stdout
    };
    let said = explain("corp:ada@support.example.com");
    assert!(said.contains("on behalf of corp:ada@support.example.com") && said.contains("allow"), "{said}");
    assert!(explain("corp:bob@sales.example.com").contains("deny"));
}

/// Further sections for a gateway that asks for certificates; files are in its folder.
const CERTIFICATES: &str = r#"
[[issuer]]
name    = "agents"
kind    = "certificate"
subject = "cn"
ca      = "agents-ca.crt"
crl     = "agents.crl"
members = { support-agents = ["agent-*"] }

[[issuer]]
name         = "mesh"
kind         = "spiffe"
trust_domain = "example.org"
bundle       = "file:bundle.json"
audience     = "gatepost"
members      = { support-agents = ["spiffe://example.org/ns/support/*"] }

[[auth]]
match  = { user = "token-*", database = "*" }
method = "token"

[[auth]]
match  = { user = "mesh-only", database = "*" }
method = "certificate"
issuer = "mesh"

[[auth]]
match  = { user = "*", database = "*" }
method = "certificate"
"#;

const WEB: &str = "spiffe://example.org/ns/support/sa/web";

/// A gateway with both kinds of certificates, and who issues them.
struct Mesh {
    gate: Gate,
    agents: Authority,
    workloads: Authority,
    signer: Signer,
    corp: Signer,
    _issuer: testkit::http::Server,
    url: String,
}

/// Returns a trust bundle in SPIFFE's form.
fn trust_bundle(workloads: &Authority, signer: &Signer) -> String {
    let der = CertificateDer::from_pem_slice(workloads.certificate().as_bytes()).unwrap();
    let x5c = base64::engine::general_purpose::STANDARD.encode(&der);
    json!({"spiffe_sequence": 1, "keys": [{"use": "x509-svid", "kty": "EC", "x5c": [x5c]}, signer.jwk("jwt-svid")]})
        .to_string()
}

impl Mesh {
    fn start() -> Self {
        let (agents, workloads) = (Authority::new("agents"), Authority::new("workloads"));
        let (signer, corp) = (Signer::new("mesh-1"), Signer::new("1"));
        let issuer = issuer(&corp);
        let home = Scratch::new("gatepost");
        home.write("agents-ca.crt", agents.certificate());
        home.write("agents.crl", agents.revoke(&[99]));
        home.write("bundle.json", trust_bundle(&workloads, &signer));
        let setup = Setup {
            issuers: vec![("corp".into(), issuer.url())],
            sections: CERTIFICATES.into(),
            ..Setup::default()
        };
        let gate = setup.start_in(home, Shop::new(Version::V15));
        let url = issuer.url();
        Self { gate, agents, workloads, signer, corp, _issuer: issuer, url }
    }

    fn show(&self, certified: &Certified) -> Connect {
        self.gate.connect_with("").certificate(authority().certificate(), certified)
    }

    /// Replaces a file in the gateway's folder, as those who write such files do.
    fn replace(&self, name: &str, text: &str) {
        let home = self.gate.gateway.home();
        fs::write(home.join("new"), text).unwrap();
        fs::rename(home.join("new"), home.join(name)).unwrap();
    }
}

fn reason(mesh: &Mesh, connect: &Connect, user: &str) -> String {
    let message = refused(&connect.clone().user(user));
    assert_eq!(message.field(b'C'), "28000");
    let records = mesh.gate.audit(&["--event", "authentication_failed"]);
    let record = records.iter().rev().find(|record| record["user"] == user).unwrap();
    record["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_certificate_is_an_identity_and_nothing_is_asked() {
    let mesh = Mesh::start();
    let agent = mesh.agents.client("agent-7", None, 7);
    let mut session = mesh.show(&agent).user("whoever").open();
    assert_eq!(session.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    let record = mesh.gate.statement("SELECT name");
    assert_eq!(record["identity"]["subject"], "agent-7");
    assert_eq!(record["identity"]["groups"], json!(["support-agents"]));
    let id = record["identity"]["token_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(mesh.gate.audit(&["--event", "session_started"])[0]["method"], "certificate");

    // Stock clients; libpq would refuse to be asked for anything.
    let home = mesh.gate.gateway.home();
    fs::write(home.join("agent.crt"), &agent.certificate).unwrap();
    fs::write(home.join("agent.key"), &agent.key).unwrap();
    fs::set_permissions(home.join("agent.key"), PermissionsExt::from_mode(0o600)).unwrap();
    let mut environment = mesh.gate.libpq("nobody");
    environment.retain(|(name, _)| *name != "PGPASSWORD");
    environment.push(("PGSSLCERT", home.join("agent.crt").display().to_string()));
    environment.push(("PGSSLKEY", home.join("agent.key").display().to_string()));
    environment.push(("PGREQUIREAUTH", "none".into()));
    let ran = run_psql(&environment, "SELECT current_setting('gatepost.identity')");
    assert_eq!(ran.stdout.trim(), "agents:agent-7", "{ran:#?}");

    // Revoked by its fingerprint, and kept out by it.
    let ran = mesh.gate.run(&["sessions", "kill", "--token-id", &id, "--block-for", "1h"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let last = session.until(b'E').pop().unwrap();
    assert_eq!(last.field(b'C'), "57P01", "{last:?}");
    assert_eq!(refused(&mesh.show(&agent).user("blocked")).field(b'C'), "28000");
    mesh.show(&mesh.agents.client("agent-7", None, 7)).user("x").open();
    let agent = mesh.agents.client("agent-7", None, 7);

    // SPIFFE.
    let web = mesh.workloads.client("web", Some(WEB), 1);
    let mut session = mesh.show(&web).user("whoever").open();
    assert_eq!(session.rows("SELECT current_setting('gatepost.identity')"), format!("mesh:{WEB}"));
    mesh.show(&web).user("mesh-only").open();
    assert!(reason(&mesh, &mesh.show(&agent), "mesh-only").contains("no issuer that is accepted here"));

    // Whoever has a certificate, even one of nobody's, can still come with a token.
    let stranger = Authority::new("agents");
    let token = mesh.corp.sign(&with(plain(&mesh.url, "ada"), json!({"groups": ["support-agents"]})));
    let own = stranger.client("agent-7", None, 7);
    let connect = |certified: &Certified, token: &str| {
        mesh.gate.connect_with(token).certificate(authority().certificate(), certified)
    };
    let mut session = connect(&own, &token).user("token-1").open();
    assert_eq!(session.rows("SELECT current_setting('gatepost.identity')"), "corp:ada");

    // A token may be bound to it (RFC 8705).
    let der = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
    let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha256(&der));
    let bound = mesh.corp.sign(&with(
        plain(&mesh.url, "ada"),
        json!({"groups": ["support-agents"], "cnf": {"x5t#S256": digest}}),
    ));
    connect(&own, &bound).user("token-2").open();
    assert!(reason(&mesh, &connect(&agent, &bound), "token-3").contains("bound to another certificate"));
    assert!(reason(&mesh, &mesh.gate.connect_with(&bound), "token-4").contains("showed none"));
}

/// SHA-256 by the tool that an operator would use.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-binary"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn every_wrong_certificate_is_told_the_same_and_the_reason_is_on_record() {
    let mesh = Mesh::start();
    let expired = {
        let mut params = client_params("agent-7", None, 7);
        params.not_after = params.not_before;
        mesh.agents.issue_as(&params)
    };
    let two = {
        let mut params = client_params("web", Some(WEB), 1);
        params.subject_alt_names.push(SanType::URI("spiffe://example.org/ns/support/db".try_into().unwrap()));
        mesh.workloads.issue_as(&params)
    };
    let cases = [
        ("nothing", None, "showed no certificate"),
        ("a stranger's", Some(Authority::new("agents").client("agent-7", None, 7)), "not valid"),
        ("an expired one", Some(expired), "CertExpired"),
        ("a revoked one", Some(mesh.agents.client("agent-9", None, 99)), "CertRevoked"),
        (
            "another trust domain's, of this one's authority",
            Some(mesh.workloads.client("x", Some("spiffe://evil.example/web"), 2)),
            "UnknownIssuer",
        ),
        (
            "this trust domain's, of another authority",
            Some(mesh.agents.client("agent-7", Some(WEB), 3)),
            "UnknownIssuer",
        ),
        ("two SPIFFE IDs", Some(two), "UnknownIssuer"),
    ];
    let mut told = Vec::new();
    for (user, certified, why) in &cases {
        let connect = match certified {
            Some(certified) => mesh.show(certified),
            None => mesh.gate.connect_with("").tls(authority().certificate()),
        };
        let said = reason(&mesh, &connect, user);
        assert!(said.contains(why), "{user}: {said}");
        told.push(refused(&connect.user("again")));
    }
    for message in &told {
        assert_eq!(message, &told[0]);
    }
}

#[test]
fn what_ends_a_certificate_ends_its_sessions() {
    let mesh = Mesh::start();
    let agent = mesh.agents.client("agent-7", None, 7);
    let other = mesh.agents.client("agent-8", None, 8);
    let web = mesh.workloads.client("web", Some(WEB), 1);
    let short = {
        let mut params = client_params("agent-1", None, 1);
        params.not_after = (SystemTime::now() + Duration::from_secs(2)).into();
        mesh.agents.issue_as(&params)
    };
    let mut sessions = [&agent, &web, &short].map(|certified| mesh.show(certified).user("x").open());
    let mut stays = mesh.show(&other).user("x").open();
    mesh.replace("agents.crl", &mesh.agents.revoke(&[99, 7]));
    // The trust domain has another authority from now on.
    mesh.replace("bundle.json", &trust_bundle(&Authority::new("workloads"), &mesh.signer));
    assert!(reason(&mesh, &mesh.show(&agent), "revoked").contains("CertRevoked"));
    assert!(reason(&mesh, &mesh.show(&web), "replaced").contains("not valid"));
    for session in &mut sessions {
        let last = session.until(b'E').pop().unwrap();
        assert_eq!(last.field(b'C'), "57P01", "{last:?}");
    }
    assert_eq!(stays.rows("SELECT 1"), "1");
    // What can't be read counts for nothing.
    mesh.replace("agents.crl", "damaged");
    assert!(reason(&mesh, &mesh.show(&other), "unknown").contains("can't be used"));
}

#[test]
fn a_jwt_svid_is_believed_of_its_trust_domain_only() {
    let mesh = Mesh::start();
    let svid = |signer: &Signer, sub: &str, aud: &str| {
        let token = signer.sign(&json!({"sub": sub, "aud": [aud], "exp": now() + 300}));
        mesh.gate.connect_with(&token)
    };
    let mut session = svid(&mesh.signer, WEB, "gatepost").user("token-1").open();
    assert_eq!(session.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    assert_eq!(session.rows("SELECT current_setting('gatepost.identity')"), format!("mesh:{WEB}"));
    for (user, connect, why) in [
        ("token-a", svid(&mesh.signer, "spiffe://evil.example/web", "gatepost"), "is not configured"),
        ("token-b", svid(&mesh.signer, WEB, "payroll"), "audience is"),
        ("token-c", svid(&mesh.corp, WEB, "gatepost"), "no key with id"),
        ("token-d", svid(&mesh.signer, "web", "gatepost"), "\"iss\" is missing"),
    ] {
        let said = reason(&mesh, &connect, user);
        assert!(said.contains(why), "{user}: {said}");
    }
    // The mesh's key is no key of the company's.
    let foreign = mesh.signer.sign(&plain(&mesh.url, "admin"));
    assert!(reason(&mesh, &mesh.gate.connect_with(&foreign), "token-e").contains("no key with id"));
}

/// The worked example "Kubernetes".
const PODS: &str = r#"
permit (principal in Group::"prod", action in Action::"Read", resource in Schema::"shop.public")
when { principal.claims has namespace && principal.claims.namespace == "prod"
    && principal.claims has account && principal.claims.account == "web" };
"#;

#[test]
fn a_pod_is_known_by_its_service_account() {
    // As the API server does: keys for those with the cluster's CA and a token of their own, and an issuer whose URL is no address.
    let signer = Signer::new("k8s");
    let keys = json!({"keys": [signer.jwk("sig")]});
    let cluster = Authority::new("kubernetes");
    let server = testkit::http::Server::start_tls(
        &cluster.issue(&["localhost", "127.0.0.1"]),
        move |request| match (request.path.as_str(), request.header("authorization")) {
            ("/openid/v1/jwks", "Bearer the-gateways-own") => Answer::json(&keys),
            ("/openid/v1/jwks", _) => Answer::status(403),
            _ => Answer::status(404),
        },
    );
    const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
    let home = Scratch::new("gatepost");
    home.write("cluster-ca.crt", cluster.certificate());
    let own = home.write("own-token", "the-gateways-own\n");
    fs::set_permissions(own, PermissionsExt::from_mode(0o600)).unwrap();
    let issuer_keys = format!(
        "jwks = \"{}/openid/v1/jwks\"\nca = \"cluster-ca.crt\"\nbearer = \"file:own-token\"\n\
         attributes = {{ namespace = \"/kubernetes.io/namespace\", account = \"/kubernetes.io/serviceaccount/name\", \
         pod = \"/kubernetes.io/pod/name\" }}\n\
         members = {{ prod = [\"system:serviceaccount:prod:*\"] }}\n",
        server.url()
    );
    let bundles = Scratch::new("pods");
    let gate = Setup {
        issuers: vec![("cluster".into(), ISSUER.into())],
        issuer_keys,
        policy: bundle(&bundles, &["namespace", "account", "pod"], PODS),
        ..Setup::default()
    }
    .start_in(home, Shop::new(Version::V15));
    // The shape of a projected token (Kubernetes 1.30, `kubectl create token --audience gatepost`).
    let token = |namespace: &str, account: &str| {
        signer.sign(&json!({
            "aud": ["gatepost"], "exp": now() + 3600, "iat": now(), "nbf": now(), "iss": ISSUER,
            "jti": "2e8b1d6c-0a39-4ba9-9a0e-9b1d1f1a4c55",
            "kubernetes.io": {
                "namespace": namespace,
                "node": {"name": "node-1", "uid": "6bb2b1c8-4ec2-4b26-a2ab-0b1c0fb5a3f5"},
                "pod": {"name": "web-5d4f8c7b9-x2x7k", "uid": "0c4bd9a5-3f0c-4a34-8a3c-7f3f3d8dfb52"},
                "serviceaccount": {"name": account, "uid": "9d1c1c43-91ff-4bd5-9b62-6f3d8f1f0c11"},
            },
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        }))
    };
    let mut web = gate.connect_with(&token("prod", "web")).user("x").open();
    assert_eq!(web.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    let record = gate.audit(&["--event", "session_started"]).remove(0);
    assert_eq!(record["identity"]["subject"], "system:serviceaccount:prod:web");
    assert_eq!(record["identity"]["attributes"]["pod"], "web-5d4f8c7b9-x2x7k");
    for (namespace, account) in [("prod", "batch"), ("staging", "web"), ("prodx", "web")] {
        let connect = gate.connect_with(&token(namespace, account)).user("x");
        assert_eq!(
            tried(&connect, &["SELECT name FROM customers WHERE id = 1"]),
            ["42501"],
            "{namespace}/{account}"
        );
    }
    let ran = gate.run(&["check", "--connect"]);
    assert!(ran.stdout.contains("1 keys at https://127.0.0.1"), "{ran:#?}");
}

/// The worked example "GitHub Actions".
const DEPLOYMENTS: &str = r#"
permit (principal in Group::"acme/shop", action in Action::"Read", resource in Schema::"shop.public");

@id("deployments-write")
permit (principal in Group::"acme/shop", action in [Action::"insert", Action::"update"], resource in Schema::"shop.public")
when { principal.claims has environment && principal.claims.environment == "production"
    && principal.claims has ref && principal.claims.ref == "refs/heads/main"
    && principal.claims has workflow
    && principal.claims.workflow == "acme/shop/.github/workflows/deploy.yml@refs/heads/main" };
"#;

#[test]
fn only_a_protected_environments_workflow_writes() {
    let signer = Signer::new("gh");
    let actions = issuer(&signer);
    let home = Scratch::new("actions");
    let gate = Setup {
        issuers: vec![("github".into(), actions.url())],
        issuer_keys: "groups = \"repository\"\nattributes = { ref = \"ref\", environment = \"environment\", \
             workflow = \"job_workflow_ref\", event = \"event_name\", run = \"run_id\" }\n"
            .into(),
        policy: bundle(&home, &["ref", "environment", "workflow", "event", "run"], DEPLOYMENTS),
        ..Setup::default()
    }
    .start(Shop::new(Version::V15));
    // The shape that GitHub documents for its tokens ("About security hardening with OpenID Connect").
    let token = |further: Value| {
        let claims = json!({
            "jti": "example-id", "sub": "repo:acme/shop:environment:production", "environment": "production",
            "aud": "gatepost", "ref": "refs/heads/main", "sha": "example-sha", "repository": "acme/shop",
            "repository_owner": "acme", "actor_id": "12", "repository_visibility": "private",
            "repository_id": "74", "repository_owner_id": "65", "run_id": "example-run-id", "run_number": "10",
            "run_attempt": "2", "runner_environment": "github-hosted", "actor": "octocat", "workflow": "deploy",
            "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "ref_type": "branch",
            "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
            "iss": actions.url(), "nbf": now(), "exp": now() + 900, "iat": now(),
        });
        signer.sign(&with(claims, further))
    };
    const WRITE: &str = "UPDATE customers SET name = 'Bo Dahl' WHERE id = 1";
    let tried = |further: Value| {
        let connect = gate.connect_with(&token(further)).user("x");
        tried(&connect, &["SELECT name FROM customers WHERE id = 1", WRITE])
    };
    assert_eq!(tried(json!({})), ["", ""]);
    let rules = gate.statement("UPDATE customers")["decision"]["rules"].to_string();
    assert!(rules.contains("deployments-write"), "{rules}");
    for further in [
        json!({"environment": "staging", "sub": "repo:acme/shop:environment:staging"}),
        json!({"environment": null, "sub": "repo:acme/shop:ref:refs/heads/main"}),
        json!({"ref": "refs/heads/feature"}),
        json!({"job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/feature"}),
        json!({"job_workflow_ref": "evil/shop/.github/workflows/deploy.yml@refs/heads/main"}),
    ] {
        assert_eq!(tried(further.clone()), ["", "42501"], "{further}");
    }
    // A fork is another repository, and so another group.
    assert_eq!(
        tried(json!({"repository": "evil/shop", "sub": "repo:evil/shop:environment:production"})),
        ["42501", "42501"]
    );
}

/// Returns the lines of an `[[issuer]]` that is asked about tokens.
fn introspection(url: &str) -> String {
    format!(
        "subject = \"client_id\"\nintrospection = {{ url = \"{url}\", client_id = \"analyst\", \
         client_secret = \"env:ASKER_SECRET\", every = \"1s\" }}\n"
    )
}

#[test]
fn an_opaque_token_counts_until_it_is_revoked() {
    let provider = testkit::oidc::Provider::start();
    let gate = Setup {
        issuers: vec![("corp".into(), provider.issuer())],
        issuer_keys: introspection(&format!("{}/token/introspection", provider.issuer())),
        environment: vec![("ASKER_SECRET".into(), "secret".into())],
        ..Setup::default()
    }
    .start(Shop::new(Version::V15));
    let token = |agent: &str| provider.token_for(agent, "https://gatepost.test/opaque?ttl=600");
    let [one, other, unasked] = [(); 3].map(|()| token("support-agent"));
    assert!(!one.contains('.'), "{one}");
    let mut session = gate.connect_with(&one).user("x").open();
    assert_eq!(session.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    assert_eq!(session.rows("SELECT current_setting('gatepost.identity')"), "corp:support-agent");
    let mut stays = gate.connect_with(&other).user("x").open();
    provider.revoke("support-agent", &one);
    let last = session.until(b'E').pop().unwrap();
    assert_eq!(last.field(b'C'), "57P01", "{last:?}");
    assert_eq!(refused(&gate.connect_with(&one).user("revoked")).field(b'C'), "28000");
    assert_eq!(stays.rows("SELECT 1"), "1");
    for text in ["swordfish", "a.b", "with space"] {
        assert_eq!(refused(&gate.connect_with(text).user("wrong")).field(b'C'), "28000");
    }
    // Without an answer nobody gets in, and nobody stays: the grace is none.
    provider.stop();
    let last = stays.until(b'E').pop().unwrap();
    assert_eq!(last.field(b'C'), "57P01", "{last:?}");
    assert_eq!(refused(&gate.connect_with(&unasked).user("down")).field(b'C'), "28000");
    let records = gate.audit(&["--event", "authentication_failed"]);
    let said = |user: &str| {
        let record = records.iter().find(|record| record["user"] == user).unwrap();
        record["reason"].as_str().unwrap().to_owned()
    };
    assert!(said("revoked").contains("not active"), "{}", said("revoked"));
    assert!(said("down").contains("unavailable"), "{}", said("down"));
    let log = gate.gateway.log();
    for secret in [&one, &other, &unasked] {
        assert!(!format!("{records:?}{log}").contains(secret.as_str()), "a token is kept");
    }
}

#[test]
fn a_server_that_answers_anyhow_lets_nobody_in() {
    let signer = Signer::new("1");
    let corp = issuer(&signer);
    let url = corp.url();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, iss) = (asked.clone(), url.clone());
    let server = testkit::http::Server::start(move |request| {
        seen.lock().unwrap().push((request.header("authorization").to_owned(), request.body.clone()));
        let good = json!({"active": true, "sub": "ada", "client_id": "ada", "aud": "gatepost", "exp": now() + 300, "groups": ["support-agents"]});
        let token = request.body.split(['=', '&']).nth(1).unwrap_or_default();
        match token {
            "good" => Answer::json(&good),
            "inactive" => Answer::json(&json!({"active": false})),
            "anothers" => Answer::json(&with(good, json!({"iss": "https://evil.example"}))),
            "elsewhere" => Answer::json(&with(good, json!({"aud": "payroll"}))),
            "huge" => Answer::json(&with(good, json!({"padding": "x".repeat(2 << 20)}))),
            "slow" => Answer { delay: Duration::from_secs(8), ..Answer::json(&good) },
            "moved" => Answer {
                status: 307,
                headers: vec![("Location".into(), format!("{iss}/jwks"))],
                ..Answer::json(&good)
            },
            "broken" => Answer::status(500),
            "text" => Answer { body: b"active".to_vec(), ..Answer::json(&good) },
            // Tokens that say something by themselves.
            text if text.contains('.') => {
                Answer::json(&json!({"active": true, "client_id": "somebody-else"}))
            }
            _ => Answer::json(&json!({"active": false})),
        }
    });
    let gate = Setup {
        issuers: vec![("corp".into(), url.clone())],
        issuer_keys: introspection(&format!("{}/introspect", server.url())),
        environment: vec![("ASKER_SECRET".into(), "s3cret/with:odd".into())],
        ..Setup::default()
    }
    .start(Shop::new(Version::V15));
    let mut session = gate.connect_with("good").user("x").open();
    assert_eq!(session.rows("SELECT current_setting('gatepost.identity')"), "corp:ada");
    let basic = base64::engine::general_purpose::STANDARD.encode("analyst:s3cret%2Fwith%3Aodd");
    assert_eq!(
        asked.lock().unwrap()[0],
        (format!("Basic {basic}"), "token=good&token_type_hint=access_token".to_owned())
    );
    for (token, why) in [
        ("inactive", "not active"),
        ("anothers", "issuer is"),
        ("elsewhere", "audience is"),
        ("huge", "more than"),
        ("slow", "did not answer"),
        ("moved", "redirects"),
        ("broken", "status 500"),
        ("text", "not valid JSON"),
    ] {
        let message = refused(&gate.connect_with(token).user(token));
        assert_eq!(message.field(b'C'), "28000", "{token}");
        let records = gate.audit(&["--event", "authentication_failed"]);
        let record = records.iter().find(|record| record["user"] == token).unwrap();
        assert!(record["reason"].as_str().unwrap().contains(why), "{token}: {}", record["reason"]);
    }
    // A signed token is asked about too, and the answer must be about it.
    let signed = signer.sign(&with(plain(&url, "x"), json!({"client_id": "ada"})));
    refused(&gate.connect_with(&signed).user("signed"));
    let last = gate.audit(&["--event", "authentication_failed"]).pop().unwrap();
    assert!(last["reason"].as_str().unwrap().contains("another subject"), "{last}");
    // Somebody else's signed token is nobody's business to ask about, and a flood of one token is one question.
    let before = asked.lock().unwrap().iter().filter(|(_, body)| !body.starts_with("token=good")).count();
    let foreign = Signer::new("1").sign(&with(plain(&url, "x"), json!({"client_id": "ada"})));
    refused(&gate.connect_with(&foreign).user("forged"));
    for _ in 0..10 {
        refused(&gate.connect_with("flood").user("flood"));
    }
    let after = asked.lock().unwrap().iter().filter(|(_, body)| !body.starts_with("token=good")).count();
    assert!(after - before <= 2, "{} questions", after - before);
}
