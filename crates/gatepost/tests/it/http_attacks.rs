//! Those who speak HTTP to do harm: too slowly, ambiguously, too much, too often; byte by byte over TCP.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::postgres::Version;
use testkit::process::poll;

use crate::http::request;
use crate::signer::Signer;
use crate::stage::{Gate, SOON, Setup, Shop};

/// Longer than the gateway waits for anything here.
const LONG: Duration = Duration::from_secs(60);

fn start(signer: &Signer) -> Gate {
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"".into(),
        issuers: vec![("corp".into(), signer.issuer.clone())],
        sections: "[operators]\nviewer = \"corp:lookers\"\n".into(),
        ..Setup::default()
    };
    setup.start(Shop::new(Version::V15))
}

fn http(gate: &Gate) -> SocketAddr {
    gate.gateway.address("http").unwrap()
}

fn open(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads until the gateway closes; a reset is an end as well, perhaps of an answer that was not read in time.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.get(..3).unwrap().parse().unwrap()).collect()
}

/// Sends bytes, and returns the status of each answer that comes before the gateway closes.
fn answers(to: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = open(to);
    // The gateway may have had enough before.
    let _refused = stream.write_all(bytes);
    statuses(&rest(&mut stream))
}

#[test]
fn whoever_is_slow_is_ended_and_keeps_nobody_waiting() {
    let signer = Signer::start();
    let gate = start(&signer);
    let to = http(&gate);
    let head = format!("POST /backchannel-logout HTTP/1.1\r\nHost: {to}\r\n");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let cases = [
        ("nothing at all", String::new(), vec![]),
        ("half of the headers", head.clone(), vec![]),
        ("a header that never ends", format!("{head}X-A: {}", "a".repeat(3000)), vec![]),
        ("no body", format!("{head}{form}Content-Length: 100\r\n\r\n"), vec![408]),
        ("half of a body", format!("{head}{form}Content-Length: 100\r\n\r\nlogout_token=a"), vec![408]),
        ("half of a chunk", format!("{head}{form}Transfer-Encoding: chunked\r\n\r\n20\r\nlogout"), vec![408]),
        ("a request, and then nothing", format!("GET /healthz HTTP/1.1\r\nHost: {to}\r\n\r\n"), vec![200]),
    ];
    std::thread::scope(|scope| {
        for (what, bytes, expected) in &cases {
            scope.spawn(move || {
                let began = Instant::now();
                assert_eq!(&answers(to, bytes.as_bytes()), expected, "{what}");
                assert!(began.elapsed() < LONG - Duration::from_secs(10), "{what}: {:?}", began.elapsed());
            });
        }
        // A byte now and then is not enough.
        scope.spawn(|| {
            let mut stream = open(to);
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let began = Instant::now();
            let mut bytes = head.bytes().chain(std::iter::repeat(b'a'));
            let mut one = [0];
            while began.elapsed() < LONG {
                if stream.write_all(&[bytes.next().unwrap()]).is_err()
                    || stream.read(&mut one).is_ok_and(|it| it == 0)
                {
                    return;
                }
            }
            panic!("the trickle goes on");
        });
        for _ in 0..5 {
            assert_eq!(request(to, "GET /healthz", &[], "").status, 200);
        }
    });
}

#[test]
fn a_request_that_two_would_read_differently_is_one_or_none() {
    let signer = Signer::start();
    let gate = start(&signer);
    let to = http(&gate);
    // What follows would be the smuggled one: it is never answered.
    let smuggled = format!("GET /healthz HTTP/1.1\r\nHost: {to}\r\nX: y\r\n\r\n");
    let length = smuggled.len();
    let chunked = format!("0\r\n\r\n{smuggled}");
    let whole = chunked.len();
    for (what, headers, body) in [
        (
            "a length and chunks",
            format!("Content-Length: {whole}\r\nTransfer-Encoding: chunked\r\n"),
            &chunked,
        ),
        (
            "chunks and a length",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {whole}\r\n"),
            &chunked,
        ),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), &smuggled),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n"), &smuggled),
        ("a signed length", "Content-Length: +0\r\n".into(), &smuggled),
        ("a length in hexadecimal", "Content-Length: 0x0\r\n".into(), &smuggled),
        ("a negative length", "Content-Length: -1\r\n".into(), &smuggled),
        ("a length beyond all", "Content-Length: 18446744073709551617\r\n".into(), &smuggled),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n".into(), &chunked),
        ("a folded line", "X: y\r\n Transfer-Encoding: chunked\r\n".into(), &chunked),
        ("chunks that are not last", "Transfer-Encoding: chunked, identity\r\n".into(), &chunked),
        ("something like chunks", "Transfer-Encoding: xchunked\r\n".into(), &chunked),
        ("no chunks", "Transfer-Encoding: identity\r\n".into(), &smuggled),
        ("a byte that is none", "X: a\0b\r\n".into(), &smuggled),
        ("a line end alone", "X: a\rTransfer-Encoding: chunked\r\n".into(), &chunked),
    ] {
        let text = format!("POST /backchannel-logout HTTP/1.1\r\nHost: {to}\r\n{headers}\r\n{body}");
        assert_eq!(answers(to, text.as_bytes()), [400], "{what}");
    }
    for (what, body) in [
        ("a size that is none", "zz\r\nabc\r\n0\r\n\r\n"),
        ("a size beyond all", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a signed size", "-1\r\nabc\r\n0\r\n\r\n"),
        ("a chunk that goes on", "3\r\nabcdef\r\n0\r\n\r\n"),
        ("a size without a line end", "3;a\nabc\r\n0\r\n\r\n"),
    ] {
        let head = format!(
            "POST /backchannel-logout HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let statuses = answers(to, format!("{head}{body}{smuggled}").as_bytes());
        assert!(matches!(statuses[..], [400] | []), "{what}: {statuses:?}");
    }
    let old = format!(
        "POST /backchannel-logout HTTP/1.0\r\nHost: {to}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"
    );
    assert_eq!(answers(to, old.as_bytes()), [400], "chunks in HTTP/1.0");
    // Two that are whole are two, and good chunks are good, with nothing read after them.
    let two = format!("{smuggled}{}", smuggled.replace("X: y", "Connection: close"));
    assert_eq!(answers(to, two.as_bytes()), [200, 200]);
    let hosts =
        format!("GET /login HTTP/1.1\r\nHost: {to}\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(answers(to, hosts.as_bytes()), [421], "two hosts");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let signer = Signer::start();
    let gate = start(&signer);
    let to = http(&gate);
    let post = format!(
        "POST /backchannel-logout HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let get = format!("GET /healthz HTTP/1.1\r\nHost: {to}\r\n");
    let large = "a".repeat(100 << 10);
    assert_eq!(answers(to, format!("{get}X: {large}\r\n\r\n").as_bytes()), [431], "a header");
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(answers(to, format!("{get}{many}\r\n").as_bytes()), [431], "many headers");
    let line = format!("GET /{large} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    assert!(matches!(answers(to, line.as_bytes())[..], [414 | 431]), "a path");
    // Of what is announced to be too large not a byte is waited for.
    let announced = format!("{post}Content-Length: 999999999\r\nConnection: close\r\n\r\n");
    assert_eq!(answers(to, announced.as_bytes()), [413]);
    let body = "b".repeat(200 << 10);
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let statuses = answers(to, chunked.as_bytes());
    // The answer is lost where the rest of the body still comes.
    assert!(matches!(statuses[..], [413] | []), "{statuses:?}");
    let before = memory(&gate);
    let mut endless = open(to);
    endless.write_all(format!("{post}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "c".repeat(0x10000));
    let ended = (0..2000).any(|_| endless.write_all(chunk.as_bytes()).is_err());
    assert!(ended, "128 MB were taken");
    assert!(memory(&gate) < before + (32 << 10), "kB: {} {before}", memory(&gate));
    assert_eq!(request(to, "GET /healthz", &[], "").status, 200);
}

/// Returns what the gateway has in memory, in kB.
fn memory(gate: &Gate) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Begins to listen to events; returns the stream once it has its first event, or the status that refuses it.
fn listen(to: SocketAddr, token: &str) -> Result<BufReader<TcpStream>, u16> {
    let mut stream = open(to);
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
    if status != 200 {
        return Err(status);
    }
    while !line.starts_with("event: hello") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
    Ok(stream)
}

#[test]
fn streams_of_events_are_so_many_for_each_and_so_many_in_all() {
    let signer = Signer::start();
    let gate = start(&signer);
    let to = http(&gate);
    let token = |n: usize| signer.access(&format!("p{n}"), &["lookers"], json!({}));
    let first = token(0);
    let mut mine: Vec<_> = (0..8).map(|_| listen(to, &first).unwrap()).collect();
    assert_eq!(listen(to, &first).err(), Some(429), "the ninth of one person");
    // One that has gone makes room for another.
    mine.pop();
    mine.push(poll(SOON, || listen(to, &first).ok()).expect("room"));
    let others: Vec<_> = (1..20)
        .flat_map(|n| {
            let token = token(n);
            (0..8).map(move |_| listen(to, &token).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(others.len(), 152);
    assert_eq!(listen(to, &token(20)).err(), Some(429), "the 161st of all");
    // The rest of the connections is for everything else.
    let bearer = format!("Bearer {first}");
    for _ in 0..20 {
        assert_eq!(request(to, "GET /api/v1/me", &[("Authorization", &bearer)], "").status, 200);
    }
    drop(others);
    assert!(poll(SOON, || listen(to, &token(20)).ok()).is_some());
}

#[test]
fn connections_are_bounded_and_the_local_operator_has_others() {
    let signer = Signer::start();
    let gate = start(&signer);
    let to = http(&gate);
    let sockets = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", gate.gateway.pid())).unwrap();
        let links = descriptors.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
        links.filter(|it| it.to_string_lossy().starts_with("socket:")).count()
    };
    let before = sockets();
    // More than the gateway takes at one time, but not more than the system keeps for it.
    let silent: Vec<_> = (0..320).map(|_| open(to)).collect();
    let full = poll(SOON, || Some(sockets()).filter(|it| *it >= before + 256));
    assert!(full.is_some_and(|it| it <= before + 260), "{full:?} after {before}");
    let ran = gate.run(&["sessions", "list"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(sockets() <= before + 260, "{} after {before}", sockets());
    // Nobody who says nothing keeps others out for long.
    assert_eq!(request(to, "GET /healthz", &[], "").status, 200);
    drop(silent);
}
