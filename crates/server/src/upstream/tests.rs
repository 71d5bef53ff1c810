//! Logins to servers that lie.

mod authentication;
mod queries;

use std::future::Future;
use std::time::Duration;

use config::{Host, UpstreamTls};
use testkit::tls::Authority;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use wire::backend::encode as backend;
use wire::error::Severity;
use wire::frame;
use wire::scram::{ChannelBinding, ChooseError, ScramError};
use wire::sqlstate;
use wire::startup::{Packet, Startup, packet};

use super::*;

const PASSWORD: &str = "hunter2";
const LIMIT: Duration = Duration::from_secs(20);

/// The server's end.
struct Server {
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Server {
    async fn startup(&mut self) -> Startup {
        loop {
            if let Some((Packet::Startup(startup), used)) = packet(&self.buf).unwrap() {
                self.buf.drain(..used);
                return startup;
            }
            self.read().await;
        }
    }

    async fn message(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(frame) = frame::next(&self.buf, 1 << 20).unwrap() {
                let (tag, body, used) = (frame.tag, frame.body.to_vec(), frame.raw.len());
                self.buf.drain(..used);
                return (tag, body);
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        assert_ne!(self.stream.read_buf(&mut self.buf).await.unwrap(), 0, "the gateway left");
    }

    /// Sends what may not arrive, because the gateway has left.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    async fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.send(&out).await;
    }

    /// Returns the client's SCRAM nonce.
    async fn scram_nonce(&mut self) -> String {
        let (tag, body) = self.message().await;
        assert_eq!(tag, b'p');
        String::from_utf8(body).unwrap().rsplit_once("r=").unwrap().1.to_owned()
    }

    /// Stays until the gateway goes.
    async fn wait(mut self) {
        let _ = self.stream.read_to_end(&mut self.buf).await;
    }
}

/// Starts a server for one connection.
async fn serve<F>(tls: UpstreamTls, server: impl FnOnce(Server) -> F + Send + 'static) -> Target
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        server(Server { stream, buf: Vec::new() }).await;
    });
    let host = Host::Address(address.ip());
    Target::new(&config::Upstream { host, port: address.port(), database: "shop".into(), tls }).unwrap()
}

async fn log_in_to(target: &Target) -> Result<Upstream, LoginError> {
    let (user, password) = (Secret::new("app".to_owned()), Secret::new(PASSWORD.to_owned()));
    login(target, &user, Some(&password), &[], LIMIT).await
}

/// Returns why a server is refused that says `said` after the StartupMessage; no form of the reason holds the password.
async fn refusal(said: Vec<u8>) -> LoginFault {
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        server.startup().await;
        server.send(&said).await;
        server.wait().await;
    })
    .await;
    fault_of(log_in_to(&target).await)
}

fn fault_of(result: Result<Upstream, LoginError>) -> LoginFault {
    let error = result.err().expect("a refusal");
    for text in [error.to_string(), error.reason(), format!("{error:?}")] {
        assert!(!text.contains(PASSWORD) && !text.contains('\n'), "{text}");
    }
    assert!(!error.neutral().contains("127.0.0.1"));
    error.fault
}

fn said(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn parameter(out: &mut Vec<u8>, name: &str, value: &str) {
    backend::parameter_status(out, name.as_bytes(), value.as_bytes()).unwrap();
}

/// Everything that a good server says after AuthenticationOk.
fn session(out: &mut Vec<u8>) {
    parameter(out, "server_version", "17.2 (Debian 17.2-1)");
    parameter(out, "client_encoding", "UTF8");
    backend::backend_key_data(out, 4711, &[1, 2, 3, 4]).unwrap();
    backend::ready_for_query(out, TransactionStatus::Idle);
}

fn good(out: &mut Vec<u8>) {
    backend::authentication_ok(out);
    session(out);
}

async fn good_login(after: &'static [u8]) -> Upstream {
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        server.startup().await;
        server.say(good).await;
        server.send(after).await;
        server.wait().await;
    })
    .await;
    log_in_to(&target).await.unwrap()
}

#[tokio::test]
async fn the_startup_message_says_who_where_and_how() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        let _ = tell.send(server.startup().await);
        server.say(good).await;
    })
    .await;
    let given = [("application_name".to_owned(), "psql".to_owned())];
    let upstream = login(&target, &Secret::new("app".into()), None, &given, LIMIT).await.unwrap();
    let startup = told.await.unwrap();
    assert_eq!(startup.version, ProtocolVersion::V3_2);
    let pairs: Vec<_> = startup.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        pairs,
        [("user", "app"), ("database", "shop"), ("client_encoding", "UTF8"), ("application_name", "psql")]
    );
    assert_eq!((upstream.version_major, upstream.process_id), (17, 4711));
    assert_eq!(upstream.cancel_key.expose(), &[1, 2, 3, 4]);
    assert_eq!(upstream.version, ProtocolVersion::V3_2);
}

#[tokio::test]
async fn parameters_from_outside_replace_none_of_ours() {
    for names in [
        &["user"][..],
        &["USER"],
        &["Database"],
        &["client_encoding"],
        &["replication"],
        &["_pq_.x"],
        &["a", "A"],
    ] {
        let target = serve(UpstreamTls::Disable, async |server: Server| server.wait().await).await;
        let given: Vec<_> = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let result = login(&target, &Secret::new("app".into()), None, &given, LIMIT).await;
        assert!(matches!(fault_of(result), LoginFault::Parameter(_)), "{names:?}");
    }
    let target = serve(UpstreamTls::Disable, async |server: Server| server.wait().await).await;
    let given = [("search_path".to_owned(), "x".repeat(10_000))];
    let result = login(&target, &Secret::new("app".into()), None, &given, LIMIT).await;
    assert!(matches!(fault_of(result), LoginFault::Encode(_)));
}

#[tokio::test]
async fn what_comes_after_ready_for_query_is_kept() {
    let upstream = good_login(b"").await;
    assert_eq!(upstream.leftover, b"");
    let target = serve(UpstreamTls::Disable, async |mut server: Server| {
        server.startup().await;
        server
            .say(|out| {
                good(out);
                backend::notification_response(out, 1, b"c", b"p").unwrap();
                out.extend(b"N\0\0");
            })
            .await;
    })
    .await;
    assert_eq!(log_in_to(&target).await.unwrap().leftover, b"A\0\0\0\x0c\0\0\0\x01c\0p\0N\0\0");
}

#[tokio::test]
async fn messages_may_arrive_a_byte_at_a_time_and_values_change() {
    let target = serve(UpstreamTls::Disable, async |mut server: Server| {
        server.startup().await;
        let all = said(|out| {
            backend::authentication_ok(out);
            parameter(out, "client_encoding", "LATIN1");
            let notice = ErrorFields::new(Severity::Notice, sqlstate::WARNING, "hello");
            backend::notice_response(out, &notice);
            session(out);
        });
        for byte in all {
            server.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let parameters = log_in_to(&target).await.unwrap().parameters;
    let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_encoding", "server_version"]);
}

#[tokio::test]
async fn only_protocol_3_0_may_be_stepped_down_to() {
    let negotiate = |minor, names: &'static [&'static str]| {
        move |out: &mut Vec<u8>| {
            let version = ProtocolVersion { major: 3, minor };
            backend::negotiate_protocol_version(out, version, names.iter().copied()).unwrap();
        }
    };
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        server.startup().await;
        server.say(negotiate(0, &[])).await;
        server.say(good).await;
    })
    .await;
    assert_eq!(log_in_to(&target).await.unwrap().version, ProtocolVersion::V3_0);

    for (minor, names) in [(1, &[][..]), (2, &[]), (3, &[]), (0, &["_pq_.x"][..])] {
        let fault = refusal(said(negotiate(minor, names))).await;
        assert!(matches!(fault, LoginFault::Negotiation(_)), "3.{minor}: {fault:?}");
    }
    for again in [
        said(|out| [0, 0].map(|minor| negotiate(minor, &[])(out)).into_iter().collect()),
        said(|out| {
            backend::authentication_cleartext_password(out);
            negotiate(0, &[])(out);
        }),
        said(|out| {
            backend::authentication_ok(out);
            negotiate(0, &[])(out);
        }),
    ] {
        assert!(matches!(refusal(again).await, LoginFault::Unexpected { tag: b'v', .. }));
    }
}

#[tokio::test]
async fn a_long_cancel_key_needs_protocol_3_2() {
    let with = |negotiated: bool| {
        said(|out| {
            if negotiated {
                backend::negotiate_protocol_version(out, ProtocolVersion::V3_0, [].into_iter()).unwrap();
            }
            backend::authentication_ok(out);
            backend::backend_key_data(out, 1, &[7; 32]).unwrap();
            parameter(out, "server_version", "18.0");
            parameter(out, "client_encoding", "UTF8");
            backend::ready_for_query(out, TransactionStatus::Idle);
        })
    };
    assert!(matches!(refusal(with(true)).await, LoginFault::CancelKey(32, ProtocolVersion::V3_0)));
    let all = with(false);
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        server.startup().await;
        server.send(&all).await;
    })
    .await;
    assert_eq!(log_in_to(&target).await.unwrap().cancel_key.expose(), &[7; 32]);
}

#[tokio::test]
async fn a_session_that_makes_no_sense_is_refused() {
    let begin = |rest: fn(&mut Vec<u8>)| {
        said(|out| {
            backend::authentication_ok(out);
            rest(out);
            session(out);
        })
    };
    let instead = |rest: fn(&mut Vec<u8>)| {
        said(|out| {
            backend::authentication_ok(out);
            rest(out);
            backend::ready_for_query(out, TransactionStatus::Idle);
        })
    };
    let key = |out: &mut Vec<u8>| backend::backend_key_data(out, 1, &[0; 4]).unwrap();
    assert!(matches!(
        refusal(begin(backend::authentication_ok)).await,
        LoginFault::Unexpected { tag: b'R', .. }
    ));
    assert!(matches!(refusal(begin(key)).await, LoginFault::Unexpected { tag: b'K', .. }), "two keys");
    let row = |out: &mut Vec<u8>| backend::data_row(out, [None]).unwrap();
    assert!(matches!(refusal(begin(row)).await, LoginFault::Unexpected { tag: b'D', .. }));
    let latin = |out: &mut Vec<u8>| parameter(out, "client_encoding", "LATIN1");
    assert!(matches!(refusal(instead(latin)).await, LoginFault::Encoding(e) if e == "LATIN1"));
    assert!(matches!(refusal(instead(|_| ())).await, LoginFault::Encoding(e) if e.is_empty()));
    let utf8 = |out: &mut Vec<u8>| parameter(out, "client_encoding", "UTF8");
    assert!(matches!(refusal(instead(utf8)).await, LoginFault::Missing("server_version")));
    let version = |out: &mut Vec<u8>| {
        parameter(out, "client_encoding", "UTF8");
        parameter(out, "server_version", "hunter2 devel");
    };
    assert!(matches!(refusal(instead(version)).await, LoginFault::Version(v) if v == "*** devel"));
    let no_key = |out: &mut Vec<u8>| {
        parameter(out, "client_encoding", "UTF8");
        parameter(out, "server_version", "16devel");
    };
    assert!(matches!(refusal(instead(no_key)).await, LoginFault::Missing("BackendKeyData")));
    let binary = |out: &mut Vec<u8>| backend::parameter_status(out, b"x", b"\xff").unwrap();
    assert!(matches!(refusal(begin(binary)).await, LoginFault::NotUtf8(_)));
    let open = said(|out| {
        backend::authentication_ok(out);
        backend::ready_for_query(out, TransactionStatus::InTransaction);
    });
    assert!(matches!(refusal(open).await, LoginFault::NotIdle));
}

#[tokio::test]
async fn sizes_and_waits_are_bounded() {
    assert!(matches!(refusal(b"R\0\0\0\x03".to_vec()).await, LoginFault::Frame(_)));
    assert!(matches!(refusal(b"R\xff\xff\xff\xff".to_vec()).await, LoginFault::Frame(_)));
    assert!(matches!(refusal(b"E\x7f\xff\xff\xff".to_vec()).await, LoginFault::Frame(_)));
    let chatter = said(|out| {
        backend::authentication_ok(out);
        while out.len() <= LOGIN_BYTES_MAX {
            parameter(out, &format!("p{}", out.len()), &"x".repeat(1000));
        }
    });
    assert!(matches!(refusal(chatter).await, LoginFault::TooMuch));

    let target = serve(UpstreamTls::Disable, async |server: Server| server.wait().await).await;
    let short = Duration::from_millis(50);
    let result = login(&target, &Secret::new("app".into()), None, &[], short).await;
    assert!(matches!(fault_of(result), LoginFault::TimedOut(limit) if limit == short));
    let target = serve(UpstreamTls::Require, async |server: Server| server.wait().await).await;
    let result = login(&target, &Secret::new("app".into()), None, &[], short).await;
    assert!(matches!(fault_of(result), LoginFault::TimedOut(_)));

    let target = serve(UpstreamTls::Disable, async |mut server: Server| {
        server.startup().await;
        server.send(b"R\0\0").await;
    })
    .await;
    assert!(matches!(fault_of(log_in_to(&target).await), LoginFault::Closed));
}

#[tokio::test]
async fn a_refusal_is_told_without_our_secrets() {
    let target = serve(UpstreamTls::Disable, async |mut server: Server| {
        server.startup().await;
        server.say(backend::authentication_cleartext_password).await;
        let (_, password) = server.message().await;
        assert_eq!(password, b"hunter2\0");
        let text = "no \"app\" by \"hunter2\" here\nFATAL: forged";
        let error = ErrorFields::new(Severity::Fatal, sqlstate::INVALID_PASSWORD, text);
        server.say(|out| backend::error_response(out, &error)).await;
    })
    .await;
    let error = log_in_to(&target).await.err().unwrap();
    assert_eq!(error.sqlstate(), Some(sqlstate::INVALID_PASSWORD));
    let expected = format!(
        "upstream {target}: it refused the login: 28P01 FATAL: no \"***\" by \"***\" here FATAL: forged"
    );
    assert_eq!(error.reason(), expected);
    assert_eq!(error.neutral(), "the database refused the gateway's login");
    fault_of(Err(error));

    for (body, expected) in [
        (&b"SFATAL\0Mno\0\0"[..], "it refused the login: (no SQLSTATE) FATAL: no"),
        (b"\0", "it refused the login: (no SQLSTATE) ERROR: (no message)"),
        (b"Cx'\n;\0Mno\0\0", "it refused the login: (no SQLSTATE) ERROR: no"),
    ] {
        let message = [b"E", &(body.len() as i32 + 4).to_be_bytes()[..], body].concat();
        assert_eq!(refusal(message).await.to_string(), expected);
    }
    assert!(matches!(refusal(b"E\0\0\0\x06Mx".to_vec()).await, LoginFault::Message(_)));
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing() {
    for (answer, refused) in [(&b"N"[..], true), (b"E\0\0\0\x08Mno\0\0", false), (b"x", false)] {
        let target = serve(UpstreamTls::Require, async move |mut server: Server| {
            let mut request = [0; 8];
            server.stream.read_exact(&mut request).await.unwrap();
            server.send(answer).await;
            assert_eq!(server.stream.read_to_end(&mut server.buf).await.unwrap_or(0), 0, "a startup packet");
        })
        .await;
        let fault = fault_of(log_in_to(&target).await);
        let expected = matches!(fault, LoginFault::TlsRefused("require"));
        assert!(if refused { expected } else { matches!(fault, LoginFault::TlsAnswer(_)) }, "{fault:?}");
    }
}

#[tokio::test]
async fn plain_bytes_before_the_handshake_are_never_taken_for_the_server_s() {
    let target = serve(UpstreamTls::Require, async move |mut server: Server| {
        let mut request = [0; 8];
        server.stream.read_exact(&mut request).await.unwrap();
        let slipped = said(good);
        server.send(&[b"S", &slipped[..]].concat()).await;
        let authority = Authority::new("ca");
        let certified = authority.issue(&["127.0.0.1"]);
        let acceptor = tls::acceptor(certified.certificate.as_bytes(), &Secret::new(certified.key)).unwrap();
        assert!(acceptor.accept(server.stream).await.is_err());
    })
    .await;
    assert!(matches!(fault_of(log_in_to(&target).await), LoginFault::Tls(_)));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let host = Host::Address("127.0.0.1".parse().unwrap());
    let upstream = config::Upstream { host, port, database: "d".into(), tls: UpstreamTls::Disable };
    let error = log_in_to(&Target::new(&upstream).unwrap()).await.err().unwrap();
    assert!(matches!(error.fault(), LoginFault::Connect(_)));
    assert!(error.reason().starts_with(&format!("upstream 127.0.0.1:{port}: can't be connected to: ")));
    assert_eq!(error.neutral(), "the database can't be reached");

    let host = Host::Socket("/nonexistent".into());
    let upstream = config::Upstream { host, port, ..upstream };
    let error = log_in_to(&Target::new(&upstream).unwrap()).await.err().unwrap();
    assert!(error.reason().starts_with(&format!("upstream /nonexistent/.s.PGSQL.{port}: can't be")));
}
