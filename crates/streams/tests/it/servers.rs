//! Syslog over TLS and NATS JetStream.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use config::{NatsLogin, StreamKind, SyslogTls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testkit::nats::Nats;
use testkit::process::poll;
use testkit::tls::{Authority, Certified};

use crate::bench::{Around, Bench, SOON, numbers, stream};

/// A syslog server over TLS that reads frames, and closes the first connection after one.
fn syslog_server(certified: &Certified) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (kept, config) = (heard.clone(), server_config(certified));
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            while let Some(message) = frame(&mut stream) {
                kept.lock().unwrap().push(message);
                if nth == 0 {
                    break;
                }
            }
        }
    });
    (port, heard)
}

fn server_config(certified: &Certified) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain =
        CertificateDer::pem_slice_iter(certified.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// RFC 6587 section 3.4.1: the length in bytes, a space, the message.
fn frame(stream: &mut impl std::io::Read) -> Option<String> {
    let mut length = 0;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        match byte[0] {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).ok()?;
    Some(String::from_utf8(message).unwrap())
}

#[test]
fn syslog_over_tls_is_framed_and_a_lost_connection_loses_nothing() {
    let authority = Authority::new("streams");
    let certified = authority.issue(&["localhost"]);
    let (port, heard) = syslog_server(&certified);
    let bench = Bench::new("syslog", Around::default());
    let ca = bench.scratch.write("ca.pem", authority.certificate());
    let kind = StreamKind::Syslog { host: "localhost".to_owned(), port, tls: SyslogTls::Tls, client: None };
    bench.records(3);
    let secured = config::Stream { required: false, ca: Some(ca), ..stream(kind.clone()) };
    let running = bench.run(secured);
    // The server went away after the first of them.
    bench.hears("failed true 1: ");
    let bodies = || {
        heard.lock().unwrap().iter().map(|it| it.split_once(" - ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    poll(SOON, || (bodies().len() >= 4).then_some(())).unwrap();
    bench.records(1);
    running.finish();
    poll(SOON, || (bodies().len() >= 5).then_some(())).unwrap();
    assert_eq!(numbers(&bodies().join("\n")), [1, 1, 2, 3, 4]);
    let first = heard.lock().unwrap()[0].clone();
    assert!(first.starts_with("<108>1 2") && first.contains(" gatepost "), "{first}");

    // A server that proves nothing gets nothing.
    let (port, heard) = syslog_server(&certified);
    let kind = StreamKind::Syslog { host: "localhost".to_owned(), port, tls: SyslogTls::Tls, client: None };
    let bench = Bench::new("syslogca", Around::default());
    bench.records(1);
    let running = bench.run(stream(kind));
    bench.hears("TLS with localhost");
    running.stop_at_once();
    assert_eq!(heard.lock().unwrap().len(), 0);
}

#[test]
fn jetstream_confirms_each_event_and_leaves_out_what_it_has() {
    let bench = Bench::new("nats", Around::default());
    let folder = bench.path("nats");
    let server = Nats::start(&folder);
    let port = server.port();
    let jetstream = |url: String| async move {
        jetstream::new(async_nats::ConnectOptions::new().connect(url).await.unwrap())
    };
    let kind =
        StreamKind::Nats { url: server.url(), subject: "audit.shop".to_owned(), login: NatsLogin::None };
    bench.records(600);

    // Nobody takes the subject in.
    let waiting = config::Stream { timeout: Duration::from_secs(2), ..stream(kind) };
    let running = bench.run(waiting.clone());
    bench.hears("no stream has confirmed what was published to \"audit.shop\"");
    bench.runtime.block_on(async {
        let context = jetstream(server.url()).await;
        let taken =
            Config { name: "AUDIT".to_owned(), subjects: vec!["audit.>".to_owned()], ..Config::default() };
        context.create_stream(taken).await.unwrap();
    });
    bench.hears("recovered");
    poll(SOON, || (bench.standing().position == 600).then_some(())).unwrap();

    // It goes away, and comes back with what it had.
    server.kill();
    bench.records(3);
    bench.hears("failed true 601: ");
    let server = poll(SOON, || Nats::listen(&folder, port)).unwrap();
    running.finish();
    assert_eq!(bench.standing().position, 603);

    // All of it again, as after a lost position.
    std::fs::remove_file(bench.path("state/streams/out.json")).unwrap();
    bench.run(waiting).finish();
    let (count, last) = bench.runtime.block_on(async {
        let context = jetstream(server.url()).await;
        let mut stream = context.get_stream("AUDIT").await.unwrap();
        let count = stream.info().await.unwrap().state.messages;
        (count, stream.get_raw_message(count).await.unwrap())
    });
    assert_eq!(count, 603);
    assert_eq!(numbers(std::str::from_utf8(&last.payload).unwrap()), [603]);
    assert_eq!(last.headers.get("Gatepost-Event").unwrap().as_str(), "policy_refused");
}
