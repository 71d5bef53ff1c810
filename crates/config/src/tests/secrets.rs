//! No error shows a secret that should not be in the file.

use super::{DATABASE, check, database, parse, whole};
use crate::{Login, SecretRef, render_redacted};

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    check(
        &database(
            "name = \"app\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"env:U\", password = \"hunter2\" }",
        ),
        r#"
gatepost.toml:4:55: error: "password" must say where the secret is, not what it is: "env:NAME", "file:PATH", "exec:COMMAND", "vault:PATH#FIELD" or "aws:rds-iam"
   |
 4 | login = { kind = "…", user = "…", password = "…" }
   |                                              ^^^"#,
    );
    let leaks = [
        database(
            "name = \"a\"\nupstream = \"postgres://u:hunter2@h/a\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres://h/a?pasword=hunter2\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres:// :hunter2@h/a\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres://h/a?password=hunter2\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"bad\", user = \"hunter2\" }"),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin = \"hunter2\""),
        database(
            "name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = [\"hunter2\"] }",
        ),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = hunter2 }"),
        database(
            "name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"hunter2 }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"\\hunter2\" }",
        ),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin.user = \"\"\"\nthe \\hunter2\n\"\"\""),
        database("name = \"a\"\nupstream = postgres://u:hunter2@h"),
        whole("[mask]\nhash_key = \"hunter2\" # hunter2"),
        whole("[mask]\nhash_kex = \"hunter2\""),
        whole("[mask]\nkeys = { a = \"hunter2\", b = 1 }"),
        whole("[mask]\nhash_key = 'hunter2' 'hunter2'"),
        whole("[listen]\ntls = { certificate = 1, key = \"-----BEGIN hunter2\" }"),
        format!("{DATABASE}[[issuer]]\nname = \"c\"\nurl = \"https://me:hunter2@idp\"\naudience = \"a\""),
    ];
    for text in leaks {
        let error = parse(&text).expect_err("an error");
        assert!(!error.contains("hunter2"), "{text}\n{error}");
    }
}

/// One typing mistake anywhere in a file with secrets in it must neither show one nor break the reader.
#[test]
fn no_slip_of_the_pen_reveals_a_secret() {
    let text = database(
        "name = \"a\"\nupstream = \"postgres://u:hunter2hunter2@h/a\"\nlogin = { kind = \"static\", password = 'hunter2hunter2', user = \"hunter2hunter2\" }",
    ) + "[mask]\nhash_key = \"\"\"\nhunter2hunter2\nhunter2hunter2\"\"\"\n[listen.tls]\nkey = \"hunter2hunter2\"\n";
    let slips = ["", "\"", "'", "=", "\n", "#", "\\", "[", "]", "{", "}", ",", ".", " ", "\"\"\"", "é", "\0"];
    for (at, _) in text.char_indices() {
        for slip in slips {
            for replaced in [0, 1] {
                let mut slipped = text.clone();
                slipped.replace_range(at..at + replaced, slip);
                let error = parse(&slipped).expect_err("an error");
                assert!(!error.contains("nter2"), "{slipped}\n{error}");
            }
        }
    }
}

const VAULT: &str =
    "[vault]\naddress = \"https://vault.internal:8200/\"\nmethod = \"kubernetes\"\nrole = \"gatepost\"\n";

fn login(login: &str) -> String {
    database(&format!(
        "name = \"app\"\nupstream = \"postgres://x.abc.eu-central-1.rds.amazonaws.com\"\nlogin = {{ kind = \"static\", {login} }}"
    ))
}

#[test]
fn a_reference_to_vault_names_path_and_field() {
    let both =
        "user = \"vault:database/creds/app#username\", password = \"vault:database/creds/app#password\"";
    let config = parse(&format!("{}{VAULT}", login(both))).unwrap();
    let Login::Static { user: SecretRef::Vault(user), password: Some(SecretRef::Vault(password)) } =
        &config.databases[0].login
    else {
        panic!("{config:?}")
    };
    assert_eq!((user.path(), user.field(), password.field()), ("database/creds/app", "username", "password"));
    assert!(user.is_beside(password));
    assert_eq!(user.server().address, "https://vault.internal:8200");
    for bad in [
        "vault:secret/data/app",
        "vault:secret/data/app#",
        "vault:secret#a",
        "vault:secret/../sys/raw/x#a",
        "vault:secret/./x#a",
        "vault:secret//x#a",
        "vault:secret/data/%2e%2e/x#a",
        "vault:secret/data/x?version=1#a",
        "vault:secret/data/hunter2 x#a",
    ] {
        let error = parse(&format!("{}{VAULT}", login(&format!("user = \"{bad}\"")))).unwrap_err();
        assert!(error.contains("is no \"vault:PATH#FIELD\""), "{bad}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn references_to_servers_need_their_section_and_do_not_go_round_in_circles() {
    let line = |text: &str| parse(text).unwrap_err().lines().next().unwrap().to_owned();
    let told = line(&login("user = \"vault:kv/app#user\""));
    assert!(told.contains("\"user\" needs a section [vault]"), "{told}");
    let told = line(&login("user = \"env:U\", password = \"aws:rds-iam\""));
    assert!(told.contains("\"password\" needs a section [aws]"), "{told}");
    let circle = "[vault]\naddress = \"https://v\"\nmethod = \"token\"\ntoken = \"vault:kv/app#token\"\n";
    let told = line(&whole(circle));
    assert!(told.contains("can't stand in that section itself"), "{told}");
    // A section that can't be read is one problem, not one more for each reference.
    let broken = format!(
        "{}[vault]\naddress = \"http://vault.internal\"\nmethod = \"token\"\ntoken = \"env:T\"\n",
        login("user = \"vault:kv/app#user\"")
    );
    let told = parse(&broken).unwrap_err();
    assert_eq!(told.matches("error: ").count(), 1, "{told}");
    assert!(told.contains("must be https; http is for loopback only"), "{told}");
}

#[test]
fn each_method_of_vault_has_its_keys() {
    let vault = |keys: &str| parse(&whole(&format!("[vault]\naddress = \"http://127.0.0.1:8200\"\n{keys}")));
    for good in [
        "method = \"token\"\ntoken = \"file:t\"",
        "method = \"approle\"\nrole_id = \"env:R\"\nsecret_id = \"file:s\"\nmount = \"teams/approle/\"\nnamespace = \"a/b/\"",
        "method = \"approle\"\nrole_id = \"env:R\"",
        "method = \"kubernetes\"\nrole = \"r\"",
        "method = \"jwt\"\nrole = \"r\"\njwt = \"exec:get token\"",
    ] {
        let config = vault(good).unwrap();
        let printed = render_redacted(&config);
        let again = parse(&printed).unwrap();
        assert_eq!(render_redacted(&again), printed);
        assert_eq!(again.servers.vault.unwrap().namespace, config.servers.vault.unwrap().namespace);
    }
    for (bad, told) in [
        ("method = \"userpass\"", "is unknown"),
        ("method = \"token\"", "needs \"token\""),
        ("method = \"jwt\"\nrole = \"r\"", "needs \"jwt\""),
        ("method = \"kubernetes\"", "needs \"role\""),
        ("method = \"token\"\ntoken = \"env:T\"\nrole = \"x\"", "\"role\" is not for method \"token\""),
        ("method = \"approle\"\nrole_id = \"env:R\"\nmount = \"a/../b\"", "must be made of letters"),
    ] {
        let error = vault(bad).unwrap_err();
        assert!(error.contains(told), "{bad}: {error}");
    }
}

#[test]
fn a_token_of_aws_needs_a_server_that_is_checked() {
    let aws = "[aws]\ncredentials = \"web-identity\"\n";
    let password = "user = \"env:U\", password = \"aws:rds-iam\"";
    assert!(parse(&format!("{}{aws}", login(password))).is_ok());
    let open = login(password).replace("amazonaws.com", "amazonaws.com?sslmode=require");
    let error = parse(&format!("{open}{aws}")).unwrap_err();
    assert!(error.contains("needs TLS with a server whose certificate is checked"), "{error}");
    let error = parse(&format!("{}{aws}", login("user = \"aws:rds-iam\""))).unwrap_err();
    assert!(error.contains("a password, not a user"), "{error}");
    let error = parse(&format!("{}[aws]\ncredentials = \"chain\"\n", login(password))).unwrap_err();
    assert!(error.contains("are unknown"), "{error}");
}
