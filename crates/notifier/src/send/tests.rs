//! Sending to doubles of the other side.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};

use approval::Stamp;
use config::{Notify, NotifyEvent, NotifyKind, NotifyStatement, SlackWay, Smtp, SmtpTls};
use model::{Pattern, Secret};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use testkit::http::{Answer, Request, Server};
use testkit::scratch::Scratch;
use testkit::tls::{Authority, Certified};

use super::{Failure, Outgoing, Receipt, Secrets, Sender, Whose};
use crate::letter::{Event, Letter};
use crate::testdata::request;

fn channel(kind: NotifyKind) -> Notify {
    Notify {
        name: "c".to_owned(),
        kind,
        databases: vec![Pattern::new("*")],
        groups: Vec::new(),
        events: NotifyEvent::ALL.to_vec(),
        statement: NotifyStatement::Full,
        ca: None,
    }
}

fn reference() -> config::SecretRef {
    config::SecretRef::parse("env:UNUSED", &PathBuf::from("/")).unwrap()
}

/// What a server was asked.
fn heard(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (Server, Arc<Mutex<Vec<Request>>>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&all);
    let server = Server::start(move |request| {
        kept.lock().unwrap().push(request.clone());
        answer(request)
    });
    (server, all)
}

async fn send(sender: &Sender, first: &str, replaces: Option<&Receipt>) -> Result<Option<Receipt>, Failure> {
    let request = request("SELECT 'canary'");
    let letter = Letter::of(Event::Opened, &request, NotifyStatement::Full, None, Stamp(0));
    let secrets = Secrets { first: Some(Secret::new(first.to_owned())), second: None };
    let message = Outgoing {
        letter: &letter,
        about: Some((Event::Opened, &request)),
        id: "msg_1",
        thread: None,
        replaces,
        console: None,
    };
    sender.send(&secrets, &message, Stamp(1_614_265_330_000)).await
}

fn slack(api: String) -> Sender {
    let way = SlackWay::Bot { token: reference(), channel: "C1".to_owned() };
    Sender::new(&channel(NotifyKind::Slack { way, api, answers: None })).unwrap()
}

#[tokio::test]
async fn slack_s_message_is_posted_and_later_replaced() {
    let (server, heard) = heard(|_| Answer::json(&json!({"ok": true, "channel": "C1", "ts": "1.2"})));
    let sender = slack(format!("{}/api", server.url()));
    let receipt = send(&sender, "xoxb-1", None).await.unwrap().unwrap();
    assert_eq!(receipt, Receipt { channel: "C1".into(), ts: "1.2".into() });
    send(&sender, "xoxb-1", Some(&receipt)).await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(
        (heard[0].path.as_str(), heard[1].path.as_str()),
        ("/api/chat.postMessage", "/api/chat.update")
    );
    assert_eq!(heard[0].header("authorization"), "Bearer xoxb-1");
    let bodies: Vec<Value> = heard.iter().map(|it| serde_json::from_str(&it.body).unwrap()).collect();
    assert_eq!((&bodies[0]["channel"], &bodies[1]["ts"]), (&json!("C1"), &json!("1.2")));
}

#[tokio::test]
async fn a_failure_says_what_to_mend_and_repeats_nothing() {
    let (server, _) = heard(|request| match request.path.as_str() {
        "/a/chat.postMessage" => Answer::json(&json!({"ok": false, "error": "not_in_channel"})),
        "/b/chat.postMessage" => Answer::json(&json!({"ok": false, "error": "<script>canary</script>"})),
        "/c/chat.postMessage" => {
            let mut answer = Answer::status(429);
            answer.headers.push(("Retry-After".into(), "7".into()));
            answer.body = b"canary".to_vec();
            answer
        }
        _ => Answer::status(403),
    });
    let a = send(&slack(format!("{}/a", server.url())), "t", None).await.unwrap_err();
    assert_eq!(a.whose, Whose::Operator);
    assert!(a.text.contains("the id of a channel that the bot was invited to"), "{a}");
    let b = send(&slack(format!("{}/b", server.url())), "t", None).await.unwrap_err();
    assert_eq!(b.text, "Slack says no error word");
    let c = send(&slack(format!("{}/c", server.url())), "t", None).await.unwrap_err();
    assert_eq!((c.retry_after.unwrap().as_secs(), c.whose), (7, Whose::Other));
    let teams = Sender::new(&channel(NotifyKind::Teams { webhook: reference() })).unwrap();
    let url = format!("{}/canary-secret", server.url());
    let d = send(&teams, &url, None).await.unwrap_err();
    assert!(d.text.contains("403") && d.whose == Whose::Operator);
    drop(server);
    let e = send(&teams, &url, None).await.unwrap_err();
    for failure in [a, b, c, d, e] {
        assert!(!failure.text.contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn a_webhook_s_url_must_be_https_or_loopback_and_redirects_are_not_followed() {
    let (server, heard) = heard(|_| {
        let mut answer = Answer::status(307);
        answer.headers.push(("Location".into(), "http://127.0.0.1:1/elsewhere".into()));
        answer
    });
    let teams = Sender::new(&channel(NotifyKind::Teams { webhook: reference() })).unwrap();
    let redirected = send(&teams, &server.url(), None).await.unwrap_err();
    assert!(redirected.text.contains("a redirect, which is not followed"), "{redirected}");
    assert_eq!(heard.lock().unwrap().len(), 1);
    for url in ["http://example.com/x", "ftp://127.0.0.1/", "nonsense"] {
        let failure = send(&teams, url, None).await.unwrap_err();
        assert_eq!(failure.text, "the secret of \"webhook\" is no https URL");
    }
}

#[tokio::test]
async fn what_a_webhook_sends_is_signed_so_that_it_verifies() {
    let (server, heard) = heard(|_| Answer::status(204));
    let kind =
        NotifyKind::Webhook { url: format!("{}/in", server.url()), secret: reference(), answers: None };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    send(&Sender::new(&channel(kind)).unwrap(), secret, None).await.unwrap();
    let heard = heard.lock().unwrap();
    let headers = crate::WebhookHeaders {
        id: Some(heard[0].header("webhook-id")),
        timestamp: Some(heard[0].header("webhook-timestamp")),
        signature: Some(heard[0].header("webhook-signature")),
    };
    let secret = crate::WebhookSecret::parse(&Secret::new(secret.into())).unwrap();
    assert_eq!(secret.verify(headers, heard[0].body.as_bytes(), Stamp(1_614_265_330_000)), Ok("msg_1"));
}

#[tokio::test]
async fn slack_is_answered_at_slack_s_own_address_only() {
    let (server, heard) = heard(|_| Answer::status(200));
    let sender = slack(server.url());
    sender.whisper(&format!("{}/actions/1", server.url()), "no").await.unwrap();
    for url in [
        "http://127.0.0.1:1/",
        "https://evil.example/",
        "https://hooks.slack.com.evil.example/",
        "",
        "file:///etc/passwd",
    ] {
        let failure = sender.whisper(url, "no").await.unwrap_err();
        assert!(failure.text.contains("not Slack's"), "{url}: {failure}");
    }
    assert_eq!(heard.lock().unwrap().len(), 1);
}

/// What a mail server offers.
#[derive(Clone, Copy, PartialEq)]
enum Offers {
    /// TLS from the first byte on.
    Implicit,
    StartTls,
    Nothing,
}

/// Takes one mail, as RFC 5321 and RFC 3207 say; returns where, and all that was said to it.
fn mail_server(offers: Offers, certified: &Certified) -> (u16, mpsc::Receiver<Vec<String>>) {
    let chain = CertificateDer::pem_slice_iter(certified.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, said) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        let greeting = b"220 mail.test ESMTP\r\n";
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        if offers == Offers::Implicit {
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // What isn't TLS, or trusts another, gets no further.
            if stream.write_all(greeting).and_then(|()| stream.flush()).is_ok() {
                talk(&mut stream, "250 AUTH PLAIN", &mut all);
            }
        } else {
            let _ = stream.write_all(greeting);
            let offer = if offers == Offers::StartTls { "250 STARTTLS" } else { "250 8BITMIME" };
            if talk(&mut stream, offer, &mut all) {
                talk(&mut rustls::StreamOwned::new(connection, stream), "250 AUTH PLAIN", &mut all);
            }
        }
        let _ = told.send(all);
    });
    (port, said)
}

/// Answers until the end, or until STARTTLS.
fn talk(stream: &mut (impl Read + Write), offer: &str, all: &mut Vec<String>) -> bool {
    let (mut line, mut in_data) = (Vec::new(), false);
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) {
        if byte != [b'\n'] {
            line.push(byte[0]);
            continue;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim_end().to_owned();
        let answer = match text.split(' ').next().unwrap_or_default() {
            "." if in_data => {
                in_data = false;
                "250 taken".to_owned()
            }
            _ if in_data => {
                all.push(text);
                continue;
            }
            "EHLO" => format!("250-mail.test\r\n{offer}"),
            "STARTTLS" => "220 go on".to_owned(),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => {
                in_data = true;
                "354 go on".to_owned()
            }
            "QUIT" => return false,
            _ => "250 so be it".to_owned(),
        };
        let starts = text == "STARTTLS";
        all.push(text);
        let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).and_then(|()| stream.flush());
        if starts {
            return true;
        }
    }
    false
}

async fn mail(port: u16, tls: SmtpTls, ca: &std::path::Path) -> Result<(), Failure> {
    let smtp = Smtp {
        host: "localhost".to_owned(),
        port,
        tls,
        login: Some((reference(), reference())),
        from: "Gatepost <gatepost@example.com>".to_owned(),
        to: vec!["dba@example.com".to_owned()],
    };
    let channel = Notify { ca: Some(ca.to_owned()), ..channel(NotifyKind::Email(smtp)) };
    let letter = Letter::test("c", None, Stamp(0));
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    let secrets = Secrets { first: secret("mailer"), second: secret("pa55") };
    let message =
        Outgoing { letter: &letter, about: None, id: "m1", thread: None, replaces: None, console: None };
    Sender::new(&channel).unwrap().send(&secrets, &message, Stamp(0)).await.map(drop)
}

#[tokio::test]
async fn a_mail_leaves_by_tls_to_a_known_server_or_not_at_all() {
    let authority = Authority::new("mail");
    let certified = authority.issue(&["localhost"]);
    let folder = Scratch::new("notifier");
    let (ca, other) = (
        folder.write("ca.crt", authority.certificate()),
        folder.write("other.crt", Authority::new("other").certificate()),
    );
    for (offers, tls) in [(Offers::StartTls, SmtpTls::StartTls), (Offers::Implicit, SmtpTls::Implicit)] {
        let (port, said) = mail_server(offers, &certified);
        mail(port, tls, &ca).await.unwrap();
        let said = said.recv().unwrap();
        assert!(said.iter().any(|line| line.starts_with("AUTH PLAIN")), "{said:?}");
        assert!(said.iter().any(|line| line == "Subject: A test message of Gatepost"), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("RCPT TO:<dba@example.com>")), "{said:?}");
    }

    // Neither a mail nor a password goes to who offers no TLS, or is somebody else.
    for (offers, tls, ca) in [
        (Offers::Nothing, SmtpTls::StartTls, &ca),
        (Offers::StartTls, SmtpTls::StartTls, &other),
        (Offers::Nothing, SmtpTls::Implicit, &ca),
        (Offers::Implicit, SmtpTls::Implicit, &other),
    ] {
        let (port, said) = mail_server(offers, &certified);
        let failure = mail(port, tls, ca).await.unwrap_err();
        let said = said.recv().unwrap();
        assert!(
            !said.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")),
            "{failure}: {said:?}"
        );
    }
}
