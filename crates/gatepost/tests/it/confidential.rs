//! People log in where the console is a confidential client: a certified OpenID provider takes its secret by the method that it offers, and
//! nothing else. The browser is played by hand, cookies and redirects included.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use testkit::oidc::Provider;
use testkit::postgres::Version;
use testkit::process::free_port;

use crate::http::{Answer, request};
use crate::stage::{Gate, Setup, Shop};

/// Of characters that Basic authentication must encode (RFC 6749 2.3.1), and forms as well.
const SECRET: &str = "p:a s%+s&=w/r~d";

/// Keeps the cookies of each host, as a browser does.
#[derive(Default)]
struct Browser {
    cookies: BTreeMap<SocketAddr, BTreeMap<String, String>>,
}

impl Browser {
    fn send(&mut self, to: SocketAddr, line: &str, body: &str) -> Answer {
        let jar = self.cookies.entry(to).or_default();
        let cookies =
            jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut headers = vec![("Cookie", cookies.as_str())];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let answer = request(to, line, &headers, body);
        for line in answer.said.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie: ")) {
            let pair = line.split_once(": ").unwrap().1.split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Asks for a page and goes where it is sent to, until a page is shown.
    fn go(&mut self, mut at: SocketAddr, mut path: String) -> (SocketAddr, String, Answer) {
        for _ in 0..12 {
            let answer = self.send(at, &format!("GET {path}"), "");
            let Some(to) = location(&answer) else { return (at, path, answer) };
            (at, path) = follow(at, &to);
        }
        panic!("no end of redirects");
    }
}

fn location(answer: &Answer) -> Option<String> {
    let line = answer.said.lines().find(|line| line.to_ascii_lowercase().starts_with("location: "))?;
    Some(line.split_once(": ").unwrap().1.to_owned())
}

fn follow(at: SocketAddr, to: &str) -> (SocketAddr, String) {
    match to.strip_prefix("http://") {
        Some(rest) => {
            let (host, path) = rest.split_once('/').unwrap();
            (host.parse().unwrap(), format!("/{path}"))
        }
        None => (at, to.to_owned()),
    }
}

/// Logs in, and returns where that ends and what the gateway says of who is there.
fn log_in(gate: &Gate) -> (String, Answer) {
    let mut browser = Browser::default();
    let gateway = gate.gateway.address("http").unwrap();
    let (at, path, form) = browser.go(gateway, "/login?to=/sessions".to_owned());
    assert!(form.status == 200 && form.body.contains("<form"), "{path}: {} {}", form.status, form.body);
    let sent = browser.send(at, &format!("POST {path}"), "name=lead");
    let (at, path) = follow(at, &location(&sent).expect("a redirect"));
    let (_, path, _) = browser.go(at, path);
    (path, browser.send(gateway, "GET /api/v1/me", ""))
}

fn start(method: &str, known: &str) -> Gate {
    let port = free_port();
    let public = format!("http://127.0.0.1:{port}");
    let provider =
        Provider::with_secret(&["lead=support-leads"], &format!("{public}/login/callback"), (SECRET, method));
    let setup = Setup {
        tls: false,
        listen_keys: format!("http = \"127.0.0.1:{port}\"\npublic_url = \"{public}\"\n"),
        issuers: vec![("corp".into(), provider.issuer())],
        sections:
            "[console]\nissuer = \"corp\"\nclient_id = \"console\"\nclient_secret = \"env:CONSOLE_SECRET\"\nscopes = [\"openid\", \"profile\"]\n\
                   [operators]\nviewer = \"corp:support-leads\"\n"
                .into(),
        environment: vec![("CONSOLE_SECRET".into(), known.into())],
        ..Setup::default()
    };
    let gate = setup.start(Shop::new(Version::V15));
    let (path, me) = log_in(&gate);
    if known == SECRET {
        assert_eq!((path.as_str(), me.status), ("/sessions", 200), "{method}: {}", gate.gateway.log());
        assert_eq!(me.json()["identity"], "corp:lead");
        assert_eq!(gate.events("logged_in", 1)[0]["by"], "corp:lead");
    } else {
        assert_eq!((path.as_str(), me.status), ("/?login=failed", 401), "{method}");
    }
    assert!(!gate.gateway.log().contains(known), "the secret is nobody's to read");
    gate
}

#[test]
fn a_confidential_client_shows_its_secret_by_the_method_that_the_provider_takes() {
    for method in ["client_secret_basic", "client_secret_post"] {
        drop(start(method, SECRET));
    }
}

#[test]
fn nobody_logs_in_by_a_client_with_another_secret() {
    start("client_secret_basic", "another-secret");
}
