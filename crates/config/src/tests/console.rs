//! `[console]` and `public_url`.

use super::*;

const ISSUER: &str = "[[issuer]]\nname = \"corp\"\nurl = \"https://idp.example\"\naudience = \"gatepost\"\n";
const DATABASE: &str = "[[database]]\nname = \"a\"\nupstream = \"postgres://h\"\npolicy = \"p\"\nlogin = { kind = \"static\", user = \"env:U\", password = \"env:P\" }\n";

fn with(listen: &str, console: &str) -> Result<Config, String> {
    let text = format!("[listen]\n{listen}\n{ISSUER}{DATABASE}{console}");
    Config::parse(&text, Path::new("/etc/gatepost")).map_err(|error| error.to_string())
}

#[test]
fn a_login_is_read_and_printed_as_it_was_meant() {
    let listen = "http = \"127.0.0.1:8432\"\npublic_url = \"http://127.0.0.1:8432/\"";
    let console = "[console]\nissuer = \"corp\"\nclient_id = \"console\"\nclient_secret = \"env:S\"\nscopes = [\"openid\", \"groups\"]\nidle = \"10m\"";
    let config = with(listen, console).unwrap();
    let read = config.console.as_ref().unwrap();
    assert_eq!((read.issuer.as_str(), read.client_id.as_str()), ("corp", "console"));
    assert_eq!(read.scopes, ["openid", "groups"]);
    assert_eq!((read.session.as_secs(), read.idle.as_secs()), (8 * 3600, 600));
    let url = config.listen.public_url.as_ref().unwrap();
    assert_eq!(
        (url.origin(), url.authority()),
        ("http://127.0.0.1:8432".to_owned(), "127.0.0.1:8432".to_owned())
    );
    assert_eq!(url.join("/login/callback"), "http://127.0.0.1:8432/login/callback");
    let printed = render_redacted(&config);
    let again = Config::parse(&printed, Path::new("/elsewhere")).map_err(|e| e.to_string()).unwrap();
    assert_eq!((again.console, again.listen), (config.console.clone(), config.listen.clone()), "{printed}");
}

#[test]
fn the_port_of_a_scheme_is_not_written_and_others_are() {
    for (written, origin, authority) in [
        ("https://gate.example:443", "https://gate.example", "gate.example"),
        ("https://gate.example:8443/", "https://gate.example:8443", "gate.example:8443"),
        ("http://[::1]:80", "http://[::1]", "[::1]"),
        ("https://GATE.Example", "https://gate.example", "gate.example"),
    ] {
        let config = with(&format!("public_url = \"{written}\""), "").unwrap();
        let url = config.listen.public_url.unwrap();
        assert_eq!((url.origin().as_str(), url.authority().as_str()), (origin, authority), "{written}");
    }
}

#[test]
fn a_url_that_would_leak_cookies_or_is_more_than_an_origin_is_refused() {
    for written in [
        "http://gate.example",
        "http://10.0.0.1:8432",
        "https://gate.example/console",
        "https://gate.example?x=1",
        "https://gate.example/#x",
        "https://user@gate.example",
        "ftp://gate.example",
        "gate.example",
        "javascript:alert(1)",
    ] {
        assert!(with(&format!("public_url = \"{written}\""), "").is_err(), "{written}");
    }
}

#[test]
fn a_login_needs_what_it_can_not_work_without() {
    let console = "[console]\nissuer = \"corp\"\nclient_id = \"console\"\n";
    let both = "http = \"127.0.0.1:8432\"\npublic_url = \"http://127.0.0.1:8432\"";
    for (listen, console, told) in [
        ("public_url = \"https://g.example\"", console, "[console] needs \"http\" in [listen]"),
        ("http = \"127.0.0.1:8432\"", console, "[console] needs \"public_url\" in [listen]"),
        (
            both,
            "[console]\nissuer = \"crop\"\nclient_id = \"c\"",
            "there is no [[issuer]] named \"crop\" to log in at",
        ),
        (both, "[console]\nissuer = \"corp\"", "[console] lacks \"client_id\""),
        (
            both,
            "[console]\nissuer = \"corp\"\nclient_id = \"c\"\nscopes = [\"profile\"]",
            "\"openid\" must be one of them",
        ),
        (
            both,
            "[console]\nissuer = \"corp\"\nclient_id = \"c\"\nsession = \"5s\"",
            "\"session\" must be from 1m to 30d",
        ),
    ] {
        let error = with(listen, console).unwrap_err();
        assert!(error.contains(told), "{told}: {error}");
    }
}
