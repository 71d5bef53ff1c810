//! Openings of every order and splitting, against real sockets.

use testkit::tls::{Authority, trusting};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};
use wire::frontend;

use super::*;

const SSL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const GSS: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];
/// How long an answer may take before a test has failed.
const STUCK: std::time::Duration = std::time::Duration::from_secs(20);
const ELSEWHERE: &str = "192.0.2.7:1234";

struct Gateway {
    authority: Authority,
    acceptor: TlsAcceptor,
}

type Outcome = JoinHandle<Result<Negotiated, AcceptError>>;

impl Gateway {
    fn new() -> Self {
        let authority = Authority::new("test");
        let server = authority.issue(&["localhost"]);
        let acceptor = tls::acceptor(server.certificate.as_bytes(), &Secret::new(server.key)).unwrap();
        Self { authority, acceptor }
    }

    /// Connects with and without TLS offered, as if from `from` if that is given.
    async fn connect(&self, tls: bool, from: Option<&str>, plain: PlainText) -> (TcpStream, Outcome) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (server, address) = listener.accept().await.unwrap();
        let address = ClientAddr(from.map_or(address, |from| from.parse().unwrap()));
        let acceptor = tls.then(|| self.acceptor.clone());
        let outcome =
            tokio::spawn(async move { negotiate_with(server, address, acceptor.as_ref(), plain).await });
        (client, outcome)
    }

    async fn local(&self) -> (TcpStream, Outcome) {
        self.connect(true, None, PlainText::OnLoopback).await
    }

    async fn handshake(&self, tcp: TcpStream, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        let mut config = (*trusting(self.authority.certificate())).clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        connector.connect("localhost".try_into().unwrap(), tcp).await
    }
}

fn startup(minor: u16, extra: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let parameters = [("user", "u")].into_iter().chain(extra.iter().copied());
    frontend::encode::startup(&mut out, ProtocolVersion { major: 3, minor }, parameters).unwrap();
    out
}

fn cancel(process_id: i32, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::encode::cancel_request(&mut out, process_id, key).unwrap();
    out
}

async fn opened(outcome: Outcome) -> Opened {
    match outcome.await.unwrap().unwrap_or_else(|error| panic!("{error:?}")) {
        Negotiated::Session(opened) => *opened,
        Negotiated::Cancel { .. } => panic!("a cancel"),
    }
}

async fn fault(outcome: Outcome) -> AcceptError {
    outcome.await.unwrap().err().expect("an error")
}

async fn byte(stream: &mut (impl AsyncRead + Unpin)) -> u8 {
    timeout(STUCK, stream.read_u8()).await.expect("a byte").unwrap()
}

/// Reads to the end, which may be a reset.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = timeout(STUCK, stream.read_to_end(&mut out)).await.expect("an end");
    out
}

fn sqlstate_of(message: &[u8]) -> (String, bool) {
    let frame = wire::frame::next(message, 10_000).unwrap().expect("a whole message");
    assert_eq!((frame.tag, frame.raw.len()), (b'E', message.len()), "one ErrorResponse and nothing else");
    let error = ErrorFields::parse(frame.body).unwrap();
    (error.sqlstate().unwrap().as_str().to_owned(), error.is_fatal())
}

#[tokio::test]
async fn plain_startup_arrives_a_byte_at_a_time() {
    let (mut client, outcome) = Gateway::new().local().await;
    for byte in startup(0, &[("database", "d")]) {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let opened = opened(outcome).await;
    assert_eq!((opened.startup.user(), opened.startup.database()), ("u", "d"));
    assert_eq!((opened.version, opened.tls), (ProtocolVersion::V3_0, None));
    assert!(matches!(opened.stream, ClientStream::Plain(_)));
}

#[tokio::test]
async fn what_follows_the_startup_message_is_left_unread() {
    let gateway = Gateway::new();
    for tls in [false, true] {
        let (mut tcp, outcome) = gateway.local().await;
        let bytes = [startup(0, &[]), b"p\0\0\0\x05\0".to_vec()].concat();
        let mut opened = if tls {
            tcp.write_all(SSL).await.unwrap();
            assert_eq!(byte(&mut tcp).await, b'S');
            let mut client = gateway.handshake(tcp, &[]).await.unwrap();
            client.write_all(&bytes).await.unwrap();
            client.flush().await.unwrap();
            opened(outcome).await
        } else {
            tcp.write_all(&bytes).await.unwrap();
            opened(outcome).await
        };
        let mut message = [0; 6];
        opened.stream.read_exact(&mut message).await.unwrap();
        assert_eq!(&message, b"p\0\0\0\x05\0");
    }
}

#[tokio::test]
async fn ssl_request_is_followed_by_tls() {
    let gateway = Gateway::new();
    for gss_first in [false, true] {
        let (mut tcp, outcome) = gateway.local().await;
        if gss_first {
            tcp.write_all(GSS).await.unwrap();
            assert_eq!(byte(&mut tcp).await, b'N');
        }
        for part in SSL.chunks(1) {
            tcp.write_all(part).await.unwrap();
        }
        assert_eq!(byte(&mut tcp).await, b'S');
        // libpq before 17 names no protocol after SSLRequest
        let mut client = gateway.handshake(tcp, &[]).await.unwrap();
        client.write_all(&startup(2, &[])).await.unwrap();
        client.flush().await.unwrap();
        let opened = opened(outcome).await;
        assert_eq!(opened.tls.as_deref(), Some("TLSv1.3 TLS_AES_256_GCM_SHA384"));
        assert_eq!(opened.version, ProtocolVersion::V3_2);
    }
}

#[tokio::test]
async fn without_tls_each_request_is_refused_once_and_plain_text_goes_on() {
    let gateway = Gateway::new();
    for order in [[SSL, GSS], [GSS, SSL]] {
        let (mut client, outcome) = gateway.connect(false, None, PlainText::OnLoopback).await;
        for request in order {
            client.write_all(request).await.unwrap();
            assert_eq!(byte(&mut client).await, b'N');
        }
        client.write_all(&startup(0, &[])).await.unwrap();
        assert_eq!(opened(outcome).await.startup.user(), "u");
    }
}

#[tokio::test]
async fn a_second_request_is_no_protocol_version() {
    let gateway = Gateway::new();
    for request in [SSL, GSS] {
        let (mut client, outcome) = gateway.connect(false, None, PlainText::OnLoopback).await;
        client.write_all(request).await.unwrap();
        assert_eq!(byte(&mut client).await, b'N');
        client.write_all(request).await.unwrap();
        assert_eq!(sqlstate_of(&rest(&mut client).await), ("0A000".to_owned(), true));
        assert!(matches!(fault(outcome).await, AcceptError::Startup(StartupError::Version(_))));
    }
}

#[tokio::test]
async fn no_request_may_come_inside_tls() {
    let gateway = Gateway::new();
    for request in [SSL, GSS] {
        let (mut tcp, outcome) = gateway.local().await;
        tcp.write_all(SSL).await.unwrap();
        assert_eq!(byte(&mut tcp).await, b'S');
        let mut client = gateway.handshake(tcp, &[]).await.unwrap();
        client.write_all(request).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(sqlstate_of(&rest(&mut client).await), ("0A000".to_owned(), true));
        assert!(matches!(fault(outcome).await, AcceptError::Startup(StartupError::Version(_))));
    }
}

#[tokio::test]
async fn plain_bytes_slipped_in_before_the_handshake_never_count_as_tls() {
    let gateway = Gateway::new();
    for slipped in [startup(0, &[]), cancel(1, b"1234"), vec![0]] {
        let (mut tcp, outcome) = gateway.local().await;
        tcp.write_all(&[SSL, &slipped].concat()).await.unwrap();
        assert_eq!(byte(&mut tcp).await, b'S');
        assert!(gateway.handshake(tcp, &[]).await.is_err());
        assert!(matches!(fault(outcome).await, AcceptError::Tls(_)));
    }
}

#[tokio::test]
async fn direct_tls_must_name_its_protocol() {
    let gateway = Gateway::new();
    let (tcp, outcome) = gateway.local().await;
    let mut client = gateway.handshake(tcp, &[b"postgresql"]).await.unwrap();
    client.write_all(&startup(0, &[])).await.unwrap();
    client.flush().await.unwrap();
    assert!(opened(outcome).await.tls.is_some());

    let (tcp, outcome) = gateway.local().await;
    let mut client = gateway.handshake(tcp, &[]).await.unwrap();
    let _ = client.write_all(&startup(0, &[])).await;
    assert_eq!(rest(&mut client).await, b"");
    assert!(matches!(fault(outcome).await, AcceptError::NoProtocolName));

    let (tcp, outcome) = gateway.local().await;
    assert!(gateway.handshake(tcp, &[b"h2", b"http/1.1"]).await.is_err());
    assert!(matches!(fault(outcome).await, AcceptError::Tls(_)));

    let (tcp, outcome) = gateway.connect(false, None, PlainText::OnLoopback).await;
    assert!(gateway.handshake(tcp, &[b"postgresql"]).await.is_err());
    assert!(matches!(fault(outcome).await, AcceptError::TlsNotOffered));
}

#[tokio::test]
async fn cancel_requests_are_read_in_plain_text_and_tls_and_never_answered() {
    let gateway = Gateway::new();
    for tls in [false, true] {
        let (mut tcp, outcome) = gateway.connect(true, Some(ELSEWHERE), PlainText::OnLoopback).await;
        let request = cancel(-7, &[9; 32]);
        let (negotiated, answer) = if tls {
            tcp.write_all(SSL).await.unwrap();
            assert_eq!(byte(&mut tcp).await, b'S');
            let mut client = gateway.handshake(tcp, &[]).await.unwrap();
            client.write_all(&request).await.unwrap();
            client.flush().await.unwrap();
            (read_cancel(outcome).await, rest(&mut client).await)
        } else {
            tcp.write_all(&request).await.unwrap();
            (read_cancel(outcome).await, rest(&mut tcp).await)
        };
        assert_eq!(negotiated, (-7, vec![9; 32]));
        assert_eq!(answer, b"");
    }
}

async fn read_cancel(outcome: Outcome) -> (i32, Vec<u8>) {
    match outcome.await.unwrap().unwrap_or_else(|error| panic!("{error:?}")) {
        Negotiated::Cancel { process_id, key, stream: _ } => (process_id, key.expose().clone()),
        Negotiated::Session(_) => panic!("a session"),
    }
}

#[tokio::test]
async fn what_is_no_postgresql_client_gets_no_answer() {
    let gateway = Gateway::new();
    let short_key = [&[0, 0, 0, 15, 4, 210, 22, 46][..], &[0; 7]].concat();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 7], &[0xff, 0xff, 0xff, 0xff], &short_key] {
        let (mut client, outcome) = gateway.local().await;
        client.write_all(bytes).await.unwrap();
        assert_eq!(rest(&mut client).await, b"");
        let fault = fault(outcome).await;
        assert!(
            matches!(fault, AcceptError::Startup(StartupError::Length(_) | StartupError::CancelKey(3))),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn malformed_startup_messages_are_refused_as_postgresql_does() {
    let gateway = Gateway::new();
    for (body, expected) in [
        (&b"\0\x02\0\0user\0u\0\0"[..], "0A000"),
        (b"\0\x03\0\0user\0u\0", "08P01"),
        (b"\0\x03\0\0user\0u\0USER\0v\0\0", "08P01"),
        (b"\0\x03\0\0\0", "28000"),
    ] {
        let (mut client, outcome) = gateway.local().await;
        client.write_all(&[&(body.len() as u32 + 4).to_be_bytes(), body].concat()).await.unwrap();
        assert_eq!(sqlstate_of(&rest(&mut client).await), (expected.to_owned(), true));
        assert!(matches!(fault(outcome).await, AcceptError::Startup(_)));
    }
}

#[tokio::test]
async fn versions_and_extensions_that_are_not_known_are_negotiated() {
    let gateway = Gateway::new();
    let (mut client, outcome) = gateway.local().await;
    client.write_all(&startup(9999, &[("_pq_.test", "1")])).await.unwrap();
    let mut opened = opened(outcome).await;
    assert_eq!(opened.version, ProtocolVersion::V3_2);
    opened.stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, b"v\0\0\0\x16\0\x03\0\x02\0\0\0\x01_pq_.test\0");

    for minor in [0, 2] {
        let (mut client, outcome) = gateway.local().await;
        client.write_all(&startup(minor, &[])).await.unwrap();
        drop(super::tests::opened(outcome).await);
        assert_eq!(rest(&mut client).await, b"", "3.{minor} needs no negotiation");
    }
}

#[tokio::test]
async fn other_hosts_must_use_tls() {
    let gateway = Gateway::new();
    for first in [&b""[..], GSS] {
        let (mut client, outcome) = gateway.connect(true, Some(ELSEWHERE), PlainText::OnLoopback).await;
        if !first.is_empty() {
            client.write_all(first).await.unwrap();
            assert_eq!(byte(&mut client).await, b'N');
        }
        client.write_all(&startup(9999, &[])).await.unwrap();
        assert_eq!(sqlstate_of(&rest(&mut client).await), ("28000".to_owned(), true));
        assert!(matches!(fault(outcome).await, AcceptError::PlainText));
    }

    let (mut tcp, outcome) = gateway.connect(true, Some(ELSEWHERE), PlainText::OnLoopback).await;
    tcp.write_all(SSL).await.unwrap();
    assert_eq!(byte(&mut tcp).await, b'S');
    let mut client = gateway.handshake(tcp, &[]).await.unwrap();
    client.write_all(&startup(0, &[])).await.unwrap();
    client.flush().await.unwrap();
    assert!(opened(outcome).await.tls.is_some());

    let (mut client, outcome) = gateway.connect(true, Some(ELSEWHERE), PlainText::FromAnywhere).await;
    client.write_all(&startup(0, &[])).await.unwrap();
    assert_eq!(opened(outcome).await.client.to_string(), ELSEWHERE);

    let (mut client, outcome) =
        gateway.connect(true, Some("[::ffff:127.0.0.1]:5"), PlainText::OnLoopback).await;
    client.write_all(&startup(0, &[])).await.unwrap();
    assert!(opened(outcome).await.tls.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_is_no_fault() {
    let gateway = Gateway::new();
    for bytes in [&b""[..], &[0, 0], &SSL[..6], &startup(0, &[])[..9]] {
        let (mut client, outcome) = gateway.local().await;
        client.write_all(bytes).await.unwrap();
        drop(client);
        assert!(matches!(fault(outcome).await, AcceptError::Closed));
    }
}

#[tokio::test]
async fn plain_text_after_tls_was_agreed_is_refused() {
    let (mut client, outcome) = Gateway::new().local().await;
    client.write_all(SSL).await.unwrap();
    assert_eq!(byte(&mut client).await, b'S');
    client.write_all(&startup(0, &[])).await.unwrap();
    assert!(matches!(fault(outcome).await, AcceptError::Tls(_)));
}
