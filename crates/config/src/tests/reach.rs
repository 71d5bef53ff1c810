//! Whom the gateway asks, and how safe the way there is.

use super::{DATABASE, ISSUER, check_line, database, parse};

#[test]
fn issuers_are_https_unique_and_asymmetric() {
    let issuer = |lines: &str| format!("[[issuer]]\naudience = \"a\"\n{lines}\n{DATABASE}");
    let cases = [
        (
            "name = \"c\"\nurl = \"http://idp.example.com\"",
            "4:7: error: \"http://idp.example.com\" must be https; http is for loopback only",
        ),
        (
            "name = \"c:d\"\nurl = \"https://i\"",
            "3:8: error: the name \"c:d\" must be without colons and spaces",
        ),
        (
            "name = \"c\"\nurl = \"https://i\"\nalgorithms = [\"RS256\", \"HS256\"]",
            "5:24: error: algorithm \"HS256\" is not accepted: whoever checks it could also sign; known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ),
        (
            "name = \"c\"\nurl = \"https://i\"\nleeway = \"1h\"",
            "5:10: error: \"leeway\" must be from 0ms to 5m",
        ),
        (
            "name = \"c\"\nurl = \"https://i\"\ngroups = \"a..b\"",
            "5:10: error: claim \"a..b\" has an empty name; write it like \"groups\", \"realm_access.roles\" or \"/a.b/c\"",
        ),
    ];
    for (lines, expected) in cases {
        check_line(&issuer(lines), &format!("gatepost.toml:{expected}"));
    }
    let twice = format!("{ISSUER}{ISSUER}{DATABASE}");
    check_line(&twice, "gatepost.toml:5:1: error: two [[issuer]] have the name \"corp\"; give each its own");
    let dev = parse(&issuer("name = \"dev\"\nurl = \"http://127.0.0.1:9000\"")).unwrap();
    assert_eq!(dev.issuers[0].url, "http://127.0.0.1:9000", "iss is compared as written");
    assert_eq!(dev.warnings.len(), 1);
}

#[test]
fn upstreams_are_verified_unless_they_are_local() {
    let upstream = |url: &str| {
        let login = "login = { kind = \"static\", user = \"env:U\" }";
        parse(&database(&format!("name = \"app\"\nupstream = \"{url}\"\n{login}")))
    };
    let good = [
        (
            "postgres://db.internal",
            "postgres://db.internal:5432/app?sslmode=verify-full&sslrootcert=system",
            0,
        ),
        ("postgresql://db:99/x", "postgres://db:99/x?sslmode=verify-full&sslrootcert=system", 0),
        ("postgres://localhost/x", "postgres://localhost:5432/x?sslmode=disable", 0),
        ("postgres://[::1]:5/x", "postgres://[::1]:5/x?sslmode=disable", 0),
        ("postgres://10.0.0.1/x?sslmode=disable", "postgres://10.0.0.1:5432/x?sslmode=disable", 1),
        ("postgres://h/x?sslmode=require", "postgres://h:5432/x?sslmode=require", 1),
        (
            "postgres://h/x?sslmode=verify-ca&sslrootcert=ca.pem",
            "postgres://h:5432/x?sslmode=verify-ca&sslrootcert=/etc/gatepost/ca.pem",
            0,
        ),
        ("postgres:///x?host=/run/pg&port=5433", "postgres:///x?host=/run/pg&port=5433&sslmode=disable", 0),
        ("postgres://%2Frun%2Fpg/a%20b", "postgres:///a%20b?host=/run/pg&port=5432&sslmode=disable", 0),
    ];
    for (url, expected, warnings) in good {
        let config = upstream(url).expect(url);
        assert_eq!(config.databases[0].upstream.to_string(), expected);
        assert_eq!(config.warnings.len(), warnings, "{url}");
        assert_eq!(
            upstream(expected).expect(url).databases,
            config.databases,
            "what is printed reads the same"
        );
    }
    let bad = [
        (
            "postgres://h/x?sslmode=prefer",
            "sslmode \"prefer\" would fall back to plain text unnoticed; write disable, require, verify-ca or verify-full",
        ),
        (
            "postgres://h/x?sslmode=on",
            "the sslmode is unknown; write disable, require, verify-ca or verify-full",
        ),
        (
            "postgres://h/x?sslmode=require&sslrootcert=ca",
            "sslrootcert is of no use with sslmode require; write sslmode=verify-full",
        ),
        ("postgres:///x?host=/run&sslmode=require", "a Unix socket has no TLS; leave sslmode out"),
        (
            "postgres:///x",
            "\"upstream\" names no host; a Unix socket is \"postgres:///DBNAME?host=/run/postgresql\"",
        ),
        ("postgres://a,b/x", "\"upstream\" must name one host"),
        ("mysql://h/x", "\"upstream\" must begin with postgres://"),
        ("postgres://u@h/x", "\"upstream\" must hold no user or password; name them in \"login\""),
        ("postgres://h/x?host=i", "\"upstream\" has two hosts"),
        ("postgres://h/x%zz", "\"upstream\" has a bad \"%\" in it"),
        (
            "postgres://h/x?connect_timeout=3",
            "\"upstream\" has a parameter \"connect_timeout\" that is not available; known are host, port, sslmode, sslrootcert",
        ),
        (
            "postgres://h/x?hunter2=3",
            "\"upstream\" has a parameter that is not available; known are host, port, sslmode, sslrootcert",
        ),
        ("postgres://h:0/x", "\"upstream\" must have a port from 1 to 65535"),
        ("postgres://h/x?sslmode=", "\"upstream\" has \"sslmode\" twice or without a value"),
    ];
    for (url, expected) in bad {
        let error = upstream(url).expect_err(url);
        assert_eq!(
            error.lines().next(),
            Some(format!("gatepost.toml:3:12: error: {expected}").as_str()),
            "{url}"
        );
    }
}
