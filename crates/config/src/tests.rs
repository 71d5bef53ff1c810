//! Golden errors: what is wrong, where, and how to mend it, exactly as an operator sees it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::{AuthMethod, Config, Host, Login, SecretRef, UpstreamTls, render_redacted};

mod console;
mod notify;
mod object_store;
mod reach;
mod recording;
mod secrets;
mod store;
mod stream;

const ISSUER: &str =
    "[[issuer]]\nname = \"corp\"\nurl = \"https://idp.example.com\"\naudience = \"gatepost\"\n";
const DATABASE: &str = "[[database]]\nname = \"app\"\nupstream = \"postgres://db.internal/app\"\nlogin = { kind = \"static\", user = \"env:U\", password = \"env:P\" }\npolicy = \"policy/app\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/gatepost")).map_err(|error| error.to_string())
}

/// Puts `text` before a complete configuration, so that line 1 is the text's.
fn whole(text: &str) -> String {
    format!("{text}\n{ISSUER}{DATABASE}")
}

/// A database with some keys replaced or added; its keys begin on line 2.
fn database(lines: &str) -> String {
    format!("[[database]]\n{lines}\npolicy = \"p\"\n{ISSUER}")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let error = parse(text).expect_err("an error");
    assert_eq!(error, expected.trim_matches('\n'), "\n{error}");
}

/// As `check`, but only the first line of the error.
#[track_caller]
fn check_line(text: &str, expected: &str) {
    let error = parse(text).expect_err("an error");
    assert_eq!(error.lines().next().unwrap_or_default(), expected, "\n{error}");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    check(
        &whole("[listen]\npostgress = \"127.0.0.1:1\""),
        r#"
gatepost.toml:2:1: error: unknown key "postgress" in [listen]; the nearest known one is "postgres"
   |
 2 | postgress = "…"
   | ^^^^^^^^^"#,
    );
    check(
        &whole("audience = [\"x\"] # mine"),
        r#"
gatepost.toml:1:1: error: unknown key "audience" in the top level; it belongs in [[issuer]]
   |
 1 | audience = ["…"]
   | ^^^^^^^^"#,
    );
    check(
        &database(
            "name = \"app\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"env:U\", pasword = \"hunter2\" }",
        ),
        r#"
gatepost.toml:4:44: error: unknown key "pasword" in database.login; the nearest known one is "password"
   |
 4 | login = { kind = "…", user = "…", pasword = "…" }
   |                                   ^^^^^^^"#,
    );
    check_line(
        &whole("[mask]\nsalt = 1"),
        "gatepost.toml:2:1: error: unknown key \"salt\" in [mask]; known are \"hash_key\", \"keys\"",
    );
}

#[test]
fn certificates_need_somebody_who_vouches_for_them() {
    let tls = "[listen]\ntls = { certificate = \"c\", key = \"file:k\" }";
    let asks = "[[auth]]\nmethod = \"certificate\"";
    for (text, told) in [
        (asks.to_owned(), "method \"certificate\" needs [listen] tls"),
        (
            format!("{tls}\n{asks}"),
            "needs an [[issuer]] of kind \"certificate\" or \"spiffe\" that its rule accepts",
        ),
        ("[[issuer]]\nname = \"a\"\nkind = \"certificate\"".to_owned(), "issuer \"a\" needs \"ca\""),
        (
            "[[issuer]]\nname = \"a\"\nkind = \"spiffe\"\nbundle = \"file:b\"".to_owned(),
            "[[issuer]] lacks \"trust_domain\" (string)",
        ),
        (
            "[[issuer]]\nname = \"a\"\nkind = \"spiffe\"\ntrust_domain = \"A\"\nbundle = \"b\"".to_owned(),
            "trust_domain \"A\" must be of lower-case letters",
        ),
        (
            "[[issuer]]\nname = \"a\"\nkind = \"certificate\"\nca = \"c\"\nactor = \"act\"".to_owned(),
            "\"actor\" means nothing for an issuer of kind \"certificate\"",
        ),
        (
            "[[issuer]]\nname = \"a\"\nintrospection = { url = \"https://a\", client_id = \"x\" }".to_owned(),
            "needs \"client_id\" and \"client_secret\", or \"bearer\"",
        ),
        ("[[issuer]]\nname = \"a\"\nkind = \"saml\"".to_owned(), "kind \"saml\" is unknown"),
    ] {
        let error = parse(&whole(&text)).expect_err(told);
        assert!(error.contains(told), "{text}:\n{error}");
    }
    let all = r#"
[listen]
tls = { certificate = "c", key = "file:k", client_ca = "ca" }
[[issuer]]
name = "agents"
kind = "certificate"
subject = "dns"
groups = "ou"
crl = "crl"
members = { "a b" = ["x-*", "y"] }
[[issuer]]
name = "mesh"
kind = "spiffe"
trust_domain = "example.org"
bundle = "file:bundle"
audience = "gatepost"
[[issuer]]
name = "far"
kind = "spiffe"
trust_domain = "far.example"
bundle = "https://far.example/bundle"
[[issuer]]
name = "cluster"
url = "https://kubernetes.default.svc"
audience = "gatepost"
jwks = "https://10.0.0.1/jwks"
bearer = "file:token"
actor = "refuse"
introspection = { url = "https://idp.example/introspect", client_id = "gatepost", client_secret = "env:S", grace = "1m" }
[[auth]]
method = "certificate"
issuer = ["agents", "mesh"]
"#;
    let config = parse(&whole(all)).unwrap();
    let printed = render_redacted(&config);
    let mut again = Config::parse(&printed, Path::new("/elsewhere")).map_err(|e| e.to_string()).unwrap();
    again.warnings.clone_from(&config.warnings);
    assert_eq!(again, config, "{printed}");
}

#[test]
fn each_kind_of_login_has_its_own_keys() {
    let login =
        |login: &str| database(&format!("name = \"a\"\nupstream = \"postgres://h\"\nlogin = {{ {login} }}"));
    for (written, told) in [
        (
            "kind = \"passthrough\", password = \"env:P\"",
            "4:44: error: \"password\" without \"user\" is nobody's; add it",
        ),
        (
            "kind = \"passthrough\", pool = 1",
            "4:40: error: \"pool\" is not for login kind \"passthrough\"; remove it",
        ),
        (
            "kind = \"eternal\"",
            "4:18: error: login kind \"eternal\" is unknown; write kind = \"static\", \"ephemeral\" or \"passthrough\"",
        ),
        (
            "kind = \"ephemeral\"",
            "4:9: error: database.login lacks \"admin\" (secret reference), which kind \"ephemeral\" needs",
        ),
        (
            "kind = \"static\"",
            "4:9: error: database.login lacks \"user\" (secret reference), which kind \"static\" needs",
        ),
        (
            "kind = \"ephemeral\", admin = \"env:A\", password = \"env:B\"",
            "4:59: error: \"password\" is not for login kind \"ephemeral\"; remove it",
        ),
        (
            "kind = \"static\", user = \"env:A\", pool = 1",
            "4:51: error: \"pool\" is not for login kind \"static\"; remove it",
        ),
        (
            "kind = \"ephemeral\", admin = \"env:A\", at_end = \"keep\"",
            "4:57: error: at_end \"keep\" is unknown; write \"reassign\" or \"drop\"",
        ),
        (
            "kind = \"ephemeral\", admin = \"env:A\", pool = 101",
            "4:55: error: \"pool\" must be from 0 to 100",
        ),
        (
            "kind = \"ephemeral\", admin = \"env:A\", prefix = \"Gate-post\"",
            "4:57: error: the prefix \"Gate-post\" must be 1 to 16 lower-case letters, digits and \"_\", with a letter first, and not begin with \"pg_\"",
        ),
        (
            "kind = \"ephemeral\", admin = \"env:A\", sweep_interval = \"1ms\"",
            "4:65: error: \"sweep_interval\" must be from 1s to 1h",
        ),
    ] {
        check_line(&login(written), &format!("gatepost.toml:{told}"));
    }
    let config = parse(&login("kind = \"ephemeral\", admin = \"env:A\"")).unwrap();
    let printed = render_redacted(&config);
    assert!(
        printed.contains(
            "login = { kind = \"ephemeral\", admin = \"env:A\", at_end = \"reassign\", pool = 0, prefix = \"gatepost\", sweep_interval = \"1m\" }"
        ),
        "{printed}"
    );
    assert_eq!(parse(&printed).unwrap().databases, config.databases);
}

#[test]
fn an_admins_url_must_lead_to_the_upstream() {
    let config = parse(&database(
        "name = \"a\"\nupstream = \"postgres://db:5433/a\"\nlogin = { kind = \"ephemeral\", admin = \"env:A\" }",
    ))
    .unwrap();
    let upstream = &config.databases[0].upstream;
    let credential = upstream.credential("postgres://ro%40ot:p%3Aw@db:5433/else?sslmode=require").unwrap();
    assert_eq!(credential, ("ro@ot".to_owned(), Some("p:w".to_owned())));
    assert_eq!(upstream.credential("postgresql://root@db:5433").unwrap(), ("root".to_owned(), None));
    for (url, why) in [
        ("root hunter2", "is no URL like \"postgres://USER:PASSWORD@HOST:PORT/DBNAME\""),
        ("root:hunter2", "must begin with postgres://"),
        ("https://root:hunter2@db:5433", "must begin with postgres://"),
        ("postgres://:hunter2@db:5433", "names no user"),
        ("postgres://root:hunter2@db", "leads to another server than \"upstream\""),
        ("postgres://root:hunter2@other:5433", "leads to another server than \"upstream\""),
        ("postgres://root:hunter2%ff@db:5433", "has a bad \"%\" in it"),
    ] {
        let told = upstream.credential(url).unwrap_err();
        assert_eq!(told, why);
        assert!(!told.contains("hunter2"));
    }
}

#[test]
fn who_administers_is_a_group_of_an_issuer_and_http_needs_tls_off_loopback() {
    check_line(
        &whole("[operators]\noperator = \"oncall\""),
        "gatepost.toml:2:12: error: \"oncall\" must name the issuer too, as in \"corp:oncall\"",
    );
    check_line(
        &whole("[operators]\nviewer = [\"crop:oncall\"]"),
        "gatepost.toml:2:11: error: there is no [[issuer]] named \"crop\"; there is \"corp\"",
    );
    check_line(
        &whole("[listen]\nhttp = \"127.0.0.1:6432\""),
        "gatepost.toml:1:1: error: \"127.0.0.1:6432\" can't be both \"postgres\" and \"http\"; give each its own port",
    );
    check_line(
        &whole("[listen]\nhttp = \"0.0.0.0:8432\""),
        "gatepost.toml:2:8: error: \"0.0.0.0:8432\" can be reached from other hosts, whose clients need TLS; add tls = { certificate = \"…\", key = \"file:…\" } to [listen], or listen on 127.0.0.1",
    );
}

#[test]
fn what_is_missing_is_named() {
    check_line("[listen]", "gatepost.toml:1:1: error: there is no [[issuer]]; at least one is needed");
    check_line(
        &format!("{DATABASE}[[issuer]]\nname = \"corp\"\naudience = \"x\""),
        "gatepost.toml:6:1: error: [[issuer]] lacks \"url\" (URL)",
    );
    check_line(
        &format!("{DATABASE}[issuer]\nname = \"corp\""),
        "gatepost.toml:6:1: error: write [[issuer]] with two pairs of brackets, for a list of tables; this is a table",
    );
    check_line(
        &whole("[[listen]]\npostgres = \"127.0.0.1:1\""),
        "gatepost.toml:1:1: error: write [listen] with one pair of brackets: there is one such table",
    );
}

#[test]
fn all_problems_are_reported_in_the_order_of_the_file() {
    let text = "[limits]\nconnections_max = 0\n[listen]\npostgres = \"db\"\n[journal]\ndurability = \"none\"";
    let error = parse(&whole(text)).expect_err("an error");
    let places: Vec<_> = error.lines().filter_map(|line| line.strip_prefix("gatepost.toml:")).collect();
    assert_eq!(
        places,
        [
            "2:19: error: \"connections_max\" must be from 1 to 1000000",
            "4:12: error: \"db\" is no address to listen on; write an IP address and a port, like \"127.0.0.1:6432\" or \"[::1]:6432\"",
            "6:14: error: durability \"none\" is unknown; write \"written\" or \"sync\"",
        ]
    );
}

#[test]
fn broken_toml_says_where() {
    check(
        &whole("[limits]\nconnections_max = = 3"),
        r#"
gatepost.toml:2:19: error: extra `=`, expected nothing
   |
 2 | connections_max = = …
   |                   ^"#,
    );
    check_line(&whole("[listen]\n[listen]"), "gatepost.toml:2:2: error: duplicate key");
}

#[test]
fn a_wrong_type_or_value_says_what_is_right() {
    let limits = [
        ("connections_max = \"many\"", "2:19: error: \"connections_max\" must be a number, not a string"),
        ("message_bytes_max = \"16 megs\"", "2:21: error: \"16 megs\" is no size; write one like \"16 MiB\""),
        ("message_bytes_max = -1", "2:21: error: \"message_bytes_max\" must be from 1 KiB to 1 GiB"),
        (
            "connect_timeout = 10",
            "2:19: error: \"connect_timeout\" must be a time with its unit, like \"10s\", \"5m\" or \"1h\"",
        ),
        ("connect_timeout = \"1d\"", "2:19: error: \"connect_timeout\" must be from 1s to 10m"),
        (
            "statement_bytes_max = \"32 MiB\"",
            "2:23: error: \"statement_bytes_max\" must not be more than \"message_bytes_max\": a statement comes in one message",
        ),
    ];
    for (line, expected) in limits {
        check_line(&whole(&format!("[limits]\n{line}")), &format!("gatepost.toml:{expected}"));
    }
}

#[test]
fn clients_off_loopback_need_tls() {
    check_line(
        &whole("[listen]\npostgres = [\"127.0.0.1:6432\", \"0.0.0.0:6432\"]"),
        "gatepost.toml:2:31: error: \"0.0.0.0:6432\" can be reached from other hosts, whose clients need TLS; add tls = { certificate = \"…\", key = \"file:…\" } to [listen], or listen on 127.0.0.1",
    );
    let with =
        whole("[listen]\npostgres = \"0.0.0.0:6432\"\ntls = { certificate = \"c\", key = \"file:k\" }");
    assert!(parse(&with).unwrap().listen.tls.is_some());
    assert!(parse(&whole("[listen]\npostgres = [\"127.0.0.1:1\", \"[::1]:1\"]")).is_ok());
}

#[test]
fn masks_are_dropped_only_where_nothing_is_enforced() {
    let text = |lines: &str| whole("").replace("policy = ", &format!("{lines}\npolicy = "));
    check_line(
        &text("mask = false"),
        "gatepost.toml:10:8: error: mask = false needs enforce = false: to send masked columns in the clear is for observing only",
    );
    let observed = parse(&text("mask = false\nenforce = false")).unwrap();
    assert!(!observed.databases[0].enforce && !observed.databases[0].mask);
    assert_eq!(
        observed.warnings[0].to_string(),
        "line 11: database \"app\" is only observed: nothing is refused, and masked columns are sent in the clear"
    );
}

#[test]
fn the_first_auth_rule_that_matches_decides() {
    let rules = whole(
        r#"
[[auth]]
match = { user = "ci-*", address = ["10.0.0.0/8", "::1"] }
method = "oauthbearer"
issuer = "corp"
[[auth]]
match = { database = "app" }
method = "token"
[[auth]]
match = { user = "x" }
method = "reject""#,
    );
    let config = parse(&rules).unwrap();
    let ask = |user: &str, database: &str, address: &str| {
        let address: IpAddr = address.parse().unwrap();
        config.auth_rule(user, database, address).map_or("none", |rule| rule.method.as_str())
    };
    assert_eq!(ask("ci-1", "other", "10.9.9.9"), "oauthbearer");
    assert_eq!(ask("ci-1", "app", "11.0.0.1"), "token");
    assert_eq!(ask("x", "app", "::1"), "token");
    assert_eq!(ask("x", "other", "::1"), "reject");
    assert_eq!(ask("y", "other", "::1"), "none", "as in pg_hba.conf: no rule, no entry");
    assert!(config.auth[0].accepts_issuer("corp") && !config.auth[0].accepts_issuer("other"));
    assert!(config.auth[1].accepts_issuer("other"));

    let plain = parse(&whole("")).unwrap();
    let rule = plain.auth_rule("anyone", "anything", "192.0.2.1".parse().unwrap()).unwrap();
    assert_eq!(rule.method, AuthMethod::Accept(model::Method::Token));

    check_line(
        &whole("[[auth]]\nmethod = \"token\"\nissuer = [\"corp\", \"crop\"]"),
        "gatepost.toml:3:19: error: there is no [[issuer]] named \"crop\"; there is \"corp\"",
    );
    check_line(
        &whole("[[auth]]\nmethod = \"token\"\nmatch = { address = \"10.0.0.1/8\" }"),
        "gatepost.toml:3:21: error: \"10.0.0.1/8\" has bits set after its prefix; the network is \"10.0.0.0/8\"",
    );
}

#[test]
fn legacy_accounts_must_be_such_as_can_come() {
    const RULE: &str = "[[auth]]\nmethod = \"passthrough\"\n";
    let legacy = |keys: &str| whole(&format!("[[legacy]]\n{keys}\n{RULE}"));
    for (keys, told) in [
        (
            "name = \"a\"",
            "1:1: error: legacy account \"a\" has no \"verifier\", and database \"app\" no \"verifiers\" to ask; run \"gatepost legacy import\", or add one of them",
        ),
        ("name = \"a\"\nuntil = \"2027-03-31\"", "3:9: error: \"until\" must be written without quotes"),
        (
            "name = \"a\"\nuntil = 2027-03-31T10:00:00Z",
            "3:9: error: \"until\" must be a date without a time, like 2027-03-31",
        ),
        (
            "name = \"a\"\nattributes = { until = \"never\" }",
            "3:14: error: attribute \"until\" is there by itself, from the key of that name; remove it",
        ),
    ] {
        check_line(&legacy(keys), &format!("gatepost.toml:{told}"));
    }
    let literal = parse(&legacy("name = \"a\"\nverifier = \"SCRAM-SHA-256$4096:hunter2\"")).unwrap_err();
    assert!(
        literal.contains("\"verifier\" must say where the secret is") && !literal.contains("hunter2"),
        "{literal}"
    );
    // Who takes no tokens needs no issuer; who does, does.
    let alone = parse(&format!("[[legacy]]\nname = \"a\"\nverifier = \"env:V\"\n{RULE}{DATABASE}"));
    assert!(alone.unwrap().issuers.is_empty());
    check_line(
        &format!(
            "[[auth]]\nmethod = \"token\"\n{RULE}{DATABASE}[[legacy]]\nname = \"a\"\nverifier = \"env:V\""
        ),
        "gatepost.toml:1:1: error: there is no [[issuer]]; at least one is needed",
    );
    check_line(
        &whole(RULE),
        "gatepost.toml:1:1: error: an [[auth]] rule has method = \"passthrough\", and there is no [[legacy]] account; add one, or remove the rule",
    );
    check_line(
        &whole("[[auth]]\nmethod = \"passthrough\"\nissuer = \"corp\""),
        "gatepost.toml:3:10: error: \"issuer\" is of no use with method \"passthrough\", which takes no tokens; remove it",
    );
    check_line(
        &format!("{}{DATABASE}", ISSUER.replace("corp", "legacy")),
        "gatepost.toml:2:8: error: the name \"legacy\" is that of legacy accounts' identities; choose another",
    );
    let account = "name = \"a\"\nverifier = \"env:V\"";
    let config = parse(&legacy(account)).unwrap();
    assert!(config.warnings.is_empty());
    assert!(config.legacy_account("a", "app").is_some() && config.legacy_account("b", "app").is_none());
    let warned = |text: &str| parse(&whole(text)).unwrap().warnings[0].message.clone();
    assert_eq!(
        warned(&format!("[[legacy]]\n{account}")),
        "no [[auth]] rule with method = \"passthrough\" lets legacy account \"a\" into database \"app\""
    );
    assert_eq!(
        warned(&format!("[[legacy]]\n{account}\ndatabases = \"other\"\n{RULE}")),
        "legacy account \"a\" may use no [[database]] that there is"
    );
}

#[test]
fn a_small_file_gets_the_stated_defaults() {
    let config = parse(&whole("")).unwrap();
    assert_eq!(config.listen.postgres, ["127.0.0.1:6432".parse().unwrap()]);
    assert_eq!(config.journal.path, Path::new("/etc/gatepost/data/journal"));
    assert_eq!(config.limits.statement_bytes_max, 1 << 20);
    assert_eq!(config.issuers[0].algorithms.len(), 9);
    let app = config.database("app").unwrap();
    assert!(app.enforce && app.mask);
    assert_eq!(app.policy, Path::new("/etc/gatepost/policy/app"));
    assert_eq!(app.upstream.host, Host::Name("db.internal".to_owned()));
    assert!(matches!(app.upstream.tls, UpstreamTls::VerifyFull(_)));
    let Login::Static { user, password } = &app.login else { panic!("{:?}", app.login) };
    assert_eq!(
        (user, password.as_ref()),
        (&SecretRef::Env("U".to_owned()), Some(&SecretRef::Env("P".to_owned())))
    );
    assert!(config.database("App").is_none());
    assert!(config.warnings.is_empty());
}

#[test]
fn what_is_printed_is_the_same_configuration() {
    let text = r#"
[listen]
postgres = ["0.0.0.0:6432", "[::]:6432"]
tls = { certificate = "tls/c\"x.crt", key = "exec:pass show 'a b'" }
[[issuer]]
name = "dev"
url = "http://localhost:9000/"
audience = ["a", "b"]
authorized_parties = ["p"]
token_lifetime_max = "1h"
attributes = { team = "department", "cost centre" = "/x~0y/z" }
algorithms = ["ES256"]
leeway = "0s"
ca = "ca.pem"
[[database]]
name = "app"
upstream = "postgres:///a%2Fb?host=/run/pg"
login = { kind = "static", user = "file:u" }
policy = "p"
enforce = false
verifiers = "env:READER"
verifier_query = "SELECT auth.verifier($1)"
[[database]]
name = "old"
upstream = "postgres://localhost/old"
login = { kind = "passthrough", user = "file:u", password = "file:p" }
policy = "p"
[[auth]]
match = { address = "10.0.0.0/8" }
method = "token"
[[auth]]
method = "passthrough"
[[legacy]]
name = "bil\"ling"
databases = ["app", "x-*"]
verifier = "file:/run/verifiers"
groups = ["a", "b"]
until = 2027-03-31
owner = "the billing team"
attributes = { system = "erp" }
[passthrough]
session_max = "8h"
mock_key = "env:MOCK"
[limits]
drain_timeout = "90s"
message_bytes_max = 20000000
[mask]
hash_key = "file:/run/secrets/k"
keys = { partners = "env:PARTNERS", "a b" = "exec:pass x" }
[store]
url = "postgres://db.internal/control?sslrootcert=ca.pem"
user = "env:U"
password = "file:p"
keep = "30d"
[index]
path = "found.db"
enabled = false
[telemetry]
metrics = "local"
[telemetry.otlp]
endpoint = "https://otel.internal"
headers = { Authorization = "file:/run/secrets/otlp", "x-tenant" = "env:TENANT" }
sample = 1
sample_statements = 0.015
timeout = "5s"
ca = "otel.pem"
service = "gatepost-prod"
"#;
    let config = parse(&format!("{text}{ISSUER}")).unwrap();
    let printed = render_redacted(&config);
    let mut again = Config::parse(&printed, Path::new("/elsewhere")).map_err(|e| e.to_string()).unwrap();
    // The folder of a command is not part of its text; warnings are about lines.
    let Some(tls) = again.listen.tls.as_mut() else { panic!("tls") };
    tls.key = config.listen.tls.as_ref().unwrap().key.clone();
    again.mask.keys.insert("a b".to_owned(), config.mask.keys["a b"].clone());
    again.warnings.clone_from(&config.warnings);
    assert_eq!(again, config, "{printed}");
}

#[test]
fn every_key_is_read_and_has_a_default_that_is_accepted() {
    for section in crate::keys::SECTIONS {
        for key in section.keys {
            let text = match section.header {
                "listen.tls" => whole(&format!("[listen.tls]\n{} = 1979-05-27", key.name)),
                "database.login" => {
                    let kind = if matches!(key.name, "user" | "password") { "static" } else { "ephemeral" };
                    let kind = format!("login.kind = \"{kind}\"\n");
                    let kind = if key.name == "kind" { "" } else { &kind };
                    database(&format!("{kind}login.{} = 1979-05-27", key.name))
                }
                "[[issuer]]" if matches!(key.name, "trust_domain" | "bundle") => {
                    whole(&format!("[[issuer]]\nkind = \"spiffe\"\n{} = 1979-05-27", key.name))
                }
                "issuer.introspection" => {
                    whole(&format!("[[issuer]]\nintrospection.{} = 1979-05-27", key.name))
                }
                "[store]" if matches!(key.name, "user" | "password") => {
                    whole(&format!("[store]\nurl = \"postgres:///d?host=/s\"\n{} = 1979-05-27", key.name))
                }
                "telemetry.otlp" => whole(&format!("[telemetry.otlp]\n{} = 1979-05-27", key.name)),
                "auth.match" => whole(&format!("[[auth]]\nmatch.{} = 1979-05-27", key.name)),
                "[[notify]]" => {
                    let kind = match key.name {
                        "host" | "tls" | "user" | "password" | "from" | "to" => "email",
                        "url" | "secret" | "inbound_secret" => "webhook",
                        _ => "slack",
                    };
                    let kind =
                        if key.name == "kind" { String::new() } else { format!("kind = \"{kind}\"\n") };
                    // Keys that only count beside others.
                    let beside = match key.name {
                        "people" | "workspace" => "signing_secret = \"env:S\"\n",
                        "channel" => "token = \"env:T\"\n",
                        "user" => "password = \"env:P\"\n",
                        "password" => "user = \"env:U\"\n",
                        "login_age_max" => "signing_secret = \"env:S\"\npeople = { U1 = \"corp:a\" }\n",
                        _ => "",
                    };
                    whole(&format!("[[notify]]\n{kind}{beside}{} = 1979-05-27", key.name))
                }
                "[[stream]]" => {
                    let (kind, beside) = match key.name {
                        "host" | "tls" | "certificate" | "key" => ("syslog", "host = \"a\"\n"),
                        "url" | "secret" => ("http", ""),
                        "headers" => ("otlp", ""),
                        "subject" | "user" | "password" | "token" | "credentials" => ("nats", ""),
                        "object_store" | "prefix" | "interval" => ("parquet", ""),
                        _ => ("file", ""),
                    };
                    let beside = if key.name == "host" { "" } else { beside };
                    let kind =
                        if key.name == "kind" { String::new() } else { format!("kind = \"{kind}\"\n") };
                    whole(&format!("[[stream]]\n{kind}{beside}{} = 1979-05-27", key.name))
                }
                "[[object_store]]" => {
                    let url = if key.name == "url" { "" } else { "url = \"s3://b\"\n" };
                    whole(&format!("[[object_store]]\n{url}{} = 1979-05-27", key.name))
                }
                "[[legacy]]" if key.name == "until" => whole("[[legacy]]\nuntil = 1"),
                header => whole(&format!("{header}\n{} = 1979-05-27", key.name)),
            };
            let error = parse(&text).expect_err(key.name);
            let named = error.lines().any(|line| line.contains(&format!("\"{}\" must be", key.name)));
            assert!(named, "{} of {} is never read:\n{error}", key.name, section.header);
        }
    }
    assert!(parse(&whole("[[auth]]\nmethod = \"token\"\n[listen]\n[journal]\n[limits]\n[mask]")).is_ok());
}

#[test]
fn every_key_is_in_the_reference() {
    let page = crate::reference();
    for section in crate::keys::SECTIONS {
        assert!(page.contains(&format!("\n## `{}`\n", section.header)));
        for key in section.keys {
            assert!(page.contains(&format!("| `{}` | {} |", key.name, key.kind)), "{}", key.name);
        }
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    let missing = Config::load(&file).unwrap_err().to_string();
    assert!(
        missing.ends_with("no such file; write one with \"gatepost init DIR\", or name it with -c"),
        "{missing}"
    );

    fs::write(&file, whole("[listen]\ntls = { certificate = \"policy\", key = \"file:k\" }")).unwrap();
    fs::create_dir(folder.path().join("policy")).unwrap();
    let error = Config::load(&file).unwrap_err();
    let messages: Vec<_> = error.problems().iter().map(|problem| problem.message.as_str()).collect();
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(
        messages,
        [
            format!("\"{}\" is a folder, not a file", path("policy")),
            format!("\"{}\" cannot be read: No such file or directory (os error 2)", path("k")),
            format!("\"{}\" cannot be read: No such file or directory (os error 2)", path("policy/app")),
        ]
    );
    fs::create_dir(folder.path().join("policy/app")).unwrap();
    fs::write(&file, whole("")).unwrap();
    assert_eq!(Config::load(&file).unwrap().databases[0].policy, folder.path().join("policy/app"));
    fs::write(&file, b"\xff").unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().ends_with("cannot be read: it is not UTF-8 text"));
}
