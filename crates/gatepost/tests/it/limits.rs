//! What one client, or one server, can do to a gateway that others use: nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use testkit::client::{Raw, Refused};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;
use wire::frontend::encode;
use wire::startup::ProtocolVersion;

use crate::flight::{Flight, sqlstate};
use crate::flow::wait_until_blocked;
use crate::stage::{Gate, LOGIN, SOON, Setup, Shop, token};

#[test]
fn what_is_over_a_limit_is_refused_and_what_is_under_it_passes() {
    let sections = "[limits]\nstatement_bytes_max = \"64 KiB\"\nmessage_bytes_max = \"256 KiB\"\n\
                    statements_max = 20\nprepared_statements_max = 5\n";
    let setup = Setup { sections: sections.into(), ..Setup::default() };
    let gate = setup.start(Shop::new(Version::V18));
    let mut raw = gate.open("support-agent");
    let long = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes));
    assert_eq!(raw.rows(&long(60_000)).len(), 60_000);
    assert_eq!(sqlstate(&raw.query(&long(70_000))), "54000");
    let by_parse = Flight::default().run("", &long(70_000)).sync().answered(&mut raw);
    assert_eq!(sqlstate(&by_parse), "54000");
    let value = "v".repeat(200_000);
    let pass = |size: usize| {
        Flight::default()
            .parse("", "SELECT length($1::text)")
            .bind("", &[value.get(..size).unwrap()], 0)
            .execute()
            .sync()
    };
    assert_eq!(sqlstate(&pass(200_000).answered(&mut raw)), "");
    let value = "v".repeat(300_000);
    let over = Flight::default().parse("", "SELECT length($1::text)").bind("", &[&value], 0).execute().sync();
    assert_eq!(sqlstate(&over.answered(&mut raw)), "54000");
    assert_eq!(sqlstate(&raw.query(&"SELECT 1;".repeat(21))), "54000");
    assert_eq!(sqlstate(&raw.query(&"SELECT 1;".repeat(20))), "");
    let many = (0..6).fold(Flight::default(), |flight, n| flight.parse(&format!("p{n}"), "SELECT 1")).sync();
    assert_eq!(sqlstate(&many.answered(&mut raw)), "54000");
    assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
    let records = gate.audit(&["--event", "statement", "--verdict", "deny"]);
    assert!(
        !records.is_empty() && records.iter().all(|record| record["sqlstate"] == "54000"),
        "{records:#?}"
    );
}

/// Reads to the end of a connection, which must come soon.
fn drained(mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}"),
    }
    bytes
}

#[test]
fn garbage_before_a_startup_packet_ends_its_own_connection_only() {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    let mut startup = Vec::new();
    let parameters = [("user", "support-agent"), ("database", "shop")];
    encode::startup(&mut startup, ProtocolVersion::V3_0, parameters).unwrap();
    let mut ssl = Vec::new();
    encode::ssl_request(&mut ssl);
    let packet = |length: u32, rest: &[u8]| [&length.to_be_bytes()[..], rest].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("zero", vec![0; 64]),
        ("length 0", packet(0, &[0; 4])),
        ("length 7", packet(7, &[0; 3])),
        ("a huge length", packet(0x7fff_ffff, &[0; 16])),
        ("a negative length", packet(0xffff_ffff, &[0; 16])),
        ("length over the limit", packet(10_001, &[0; 16])),
        ("protocol 2", packet(8, &[0, 2, 0, 0])),
        ("protocol 4", packet(9, &[0, 4, 0, 0, 0])),
        ("no user", packet(9, &[0, 3, 0, 0, 0])),
        ("no end", packet(8 + 5, b"\0\x03\0\0user\0")),
        ("bytes after the end", packet(8 + 10, b"\0\x03\0\0user\0a\0\0xx")),
        ("a cancel without a key", packet(12, &[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1])),
        (
            "SSLRequest with the startup packet behind it in the clear",
            [ssl.clone(), startup.clone()].concat(),
        ),
        ("an alert", vec![21, 3, 3, 0, 2, 2, 40]),
        ("a TLS record of garbage", [vec![22, 3, 1, 2, 0], vec![0xff; 512]].concat()),
    ];
    for (what, bytes) in cases {
        let mut stream = TcpStream::connect(gate.gateway.postgres()).unwrap();
        // The gateway may close before all is written.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = drained(stream);
        assert_ne!(
            answer.first(),
            Some(&b'R'),
            "{what}: a session began: {:?}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(raw.rows("SELECT 1"), "1", "{what}");
    }
    // SSLRequest is answered once; PostgreSQL 15 to 18 take the second for a protocol they don't know.
    let gate = Setup { tls: false, ..Setup::default() }.start(Shop::new(Version::V15));
    let mut stream = TcpStream::connect(gate.gateway.postgres()).unwrap();
    stream.write_all(&[ssl.clone(), ssl].concat()).unwrap();
    let answer = drained(stream);
    assert!(answer.starts_with(b"NE") && !answer[1..].contains(&b'N'), "{answer:?}");
}

fn started(gate: &Gate) -> Raw {
    let mut raw = gate.connect_with("").stream().unwrap();
    let mut bytes = Vec::new();
    encode::startup(&mut bytes, ProtocolVersion::V3_0, [("user", "x"), ("database", "shop")]).unwrap();
    raw.send(&bytes);
    assert_eq!(raw.receive().unwrap().tag, tag::AUTHENTICATION);
    raw
}

#[test]
fn nothing_but_the_credential_is_taken_before_authentication_is_over() {
    let gate = Gate::new(Version::V15);
    gate.shop.sql(&format!("CREATE TABLE marks (mark text); GRANT ALL ON marks TO {LOGIN}"));
    let insert = Flight::default().query("INSERT INTO marks VALUES ('early')").bytes();
    let mut credential = Vec::new();
    encode::password(&mut credential, token("admin").as_bytes()).unwrap();
    let mut startup = Vec::new();
    encode::startup(&mut startup, ProtocolVersion::V3_0, [("user", "x"), ("database", "shop")]).unwrap();
    for (what, bytes) in [
        ("a second startup", startup.clone()),
        ("a query in its place", insert.clone()),
        ("a query behind it", [credential.clone(), insert.clone()].concat()),
        ("the credential twice", [credential.clone(), credential.clone()].concat()),
    ] {
        let mut raw = started(&gate);
        raw.send(&bytes);
        let messages = raw.until(tag::READY_FOR_QUERY);
        assert_eq!(sqlstate(&messages), "08P01", "{what}: {messages:?}");
        assert_eq!(messages.len(), 1, "{what}: {messages:?}");
    }
    // While the token is checked and the server is logged in to, too.
    let mut raw = started(&gate);
    raw.send(&credential);
    let _ = raw.try_send(&insert);
    let messages = raw.until(tag::READY_FOR_QUERY);
    let outcome = sqlstate(&messages);
    assert!(
        outcome == "08P01" || messages.last().is_some_and(|last| last.tag == tag::READY_FOR_QUERY),
        "{messages:?}"
    );
    if outcome.is_empty() {
        // It came when the session had begun, and is a statement like any other.
        raw.until(tag::READY_FOR_QUERY);
        assert_eq!(gate.shop.sql("SELECT count(*) FROM marks"), "1");
    } else {
        assert_eq!(gate.shop.sql("SELECT count(*) FROM marks"), "0");
    }
}

#[test]
fn a_startup_packet_inside_a_session_ends_it_as_an_unknown_message_does() {
    let gate = Gate::new(Version::V15);
    let mut startup = Vec::new();
    encode::startup(&mut startup, ProtocolVersion::V3_0, [("user", "x"), ("database", "shop")]).unwrap();
    // Read as a message its type is 0 and its length some thousands; PostgreSQL looks at the type first
    // (SocketBackend, tcop/postgres.c), and waits for nothing.
    for connect in [gate.shop.bare(), gate.connect("support-agent")] {
        let mut raw = connect.open();
        raw.send(&startup);
        let messages = raw.until(tag::READY_FOR_QUERY);
        assert_eq!(sqlstate(&messages), "08P01", "{messages:?}");
        assert_eq!(messages[0].field(b'S'), "FATAL");
    }
}

#[test]
fn authentication_has_a_deadline_wherever_it_stands() {
    let sections = "[limits]\nauthentication_timeout = \"1s\"\n".to_owned();
    let gate = Setup { sections, ..Setup::default() }.start(Shop::new(Version::V15));
    let silent = || TcpStream::connect(gate.gateway.postgres()).unwrap();
    let mut half = silent();
    half.write_all(&[0, 0, 0]).unwrap();
    let mut handshake = silent();
    let mut ssl = Vec::new();
    encode::ssl_request(&mut ssl);
    handshake.write_all(&ssl).unwrap();
    let began = Instant::now();
    for stream in [silent(), half, handshake] {
        let said = drained(stream);
        assert!(said.len() <= 1, "{said:?}");
    }
    let mut without_password = started(&gate);
    without_password.until(tag::READY_FOR_QUERY);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    let reasons = gate.events("authentication_failed", 1);
    assert_eq!(reasons[0]["reason"], "authentication took too long");
}

#[test]
fn clients_that_are_stuck_delay_nobody() {
    // A server that takes connections and never says anything.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hole.local_addr().unwrap().port();
    let shop = Shop::new(Version::V15);
    let second = format!(
        "[[database]]\nname = \"hole\"\nupstream = \"postgres://127.0.0.1:{port}/hole?sslmode=disable\"\npolicy = \"hole\"\n\
         login = {{ kind = \"static\", user = \"env:SHOP_USER\", password = \"env:SHOP_PASSWORD\" }}\n\
         [limits]\nconnect_timeout = \"5m\"\nauthentication_timeout = \"5m\"\n"
    );
    let setup = Setup { sections: second, ..Setup::default() };
    let home = testkit::scratch::Scratch::new("gatepost");
    home.write("hole/bundle.toml", "name = \"hole\"\nversion = \"1\"\n");
    home.write("hole/all.cedar", "permit (principal, action, resource);\n");
    let gate = setup.start_in(home, shop);

    let mut silent: Vec<TcpStream> = Vec::new();
    let mut waiting: Vec<Raw> = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(gate.gateway.postgres()).unwrap());
        waiting.push(started(&gate));
        let mut raw = gate.connect_with("").stream().unwrap();
        let mut bytes = Vec::new();
        encode::startup(&mut bytes, ProtocolVersion::V3_0, [("user", "x"), ("database", "hole")]).unwrap();
        raw.send(&bytes);
        raw.receive().unwrap();
        bytes.clear();
        encode::password(&mut bytes, token("admin").as_bytes()).unwrap();
        raw.send(&bytes);
        waiting.push(raw);
    }
    // Sessions that run something, and one that doesn't read what it asked for.
    for _ in 0..5 {
        let mut raw = gate.open("admin");
        Flight::default().query("SELECT pg_sleep(600)").to(&mut raw);
        waiting.push(raw);
    }
    let mut raw = gate.open("admin");
    Flight::default().query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)").to(&mut raw);
    wait_until_blocked(&gate.shop, raw.process_id);
    waiting.push(raw);

    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(gate.open("support-agent").rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    drop((silent, waiting, hole));
}

#[test]
fn clients_beyond_the_limit_are_told_so_and_places_become_free() {
    let sections = "[limits]\nconnections_max = 3\n".to_owned();
    let gate = Setup { sections, ..Setup::default() }.start(Shop::new(Version::V15));
    let mut sessions: Vec<Raw> = (0..3).map(|_| gate.open("support-agent")).collect();
    let plain =
        testkit::client::Connect::tcp(gate.gateway.postgres()).user("x").database("shop").password("x");
    match plain.try_open() {
        Err(Refused::Error(message)) => assert_eq!(message.field(b'C'), "53300"),
        Err(Refused::Io(error)) => panic!("no word of why: {error}"),
        Ok(_) => panic!("a fourth got in"),
    }
    assert_eq!(sessions[0].rows("SELECT 1"), "1");
    sessions.pop().unwrap().hang_up();
    poll(SOON, || gate.connect("support-agent").try_open().ok()).expect("a place is free");
}

#[test]
fn messages_that_pass_for_nothing_else_are_refused() {
    let gate = Gate::new(Version::V15);
    // FunctionCall of pg_backend_pid().
    let call = {
        let body = [&2026_u32.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0]].concat();
        [&b"F"[..], &(body.len() as u32 + 4).to_be_bytes(), &body].concat()
    };
    let mut raw = gate.open("admin");
    raw.send(&call);
    let messages = raw.until(tag::READY_FOR_QUERY);
    assert_eq!(sqlstate(&messages), "0A000", "{messages:?}");
    assert!(!messages.iter().any(|message| message.tag == b'V'), "{messages:?}");
    for (what, bytes) in [
        ("an unknown type", b"~\0\0\0\x04".to_vec()),
        ("a length of 3", b"Q\0\0\0\x03".to_vec()),
        ("a negative length", b"Q\xff\xff\xff\xff".to_vec()),
        ("more than is ever taken", b"Q\x7f\xff\xff\xff".to_vec()),
        ("a query without its end", b"Q\0\0\0\x0cSELECT 1".to_vec()),
    ] {
        let mut raw = gate.open("admin");
        raw.send(&bytes);
        let messages = raw.until(tag::READY_FOR_QUERY);
        let state = sqlstate(&messages);
        assert!(["08P01", "54000", "0A000"].contains(&state.as_str()), "{what}: {messages:?}");
    }
    for (name, value) in [
        ("replication", "database"),
        ("options", "-c role=postgres"),
        ("options", "-c session_preload_libraries=x"),
        ("session_authorization", "postgres"),
        ("client_encoding", "SJIS"),
        ("standard_conforming_strings", "off"),
    ] {
        let refused = gate.connect("admin").parameter(name, value).try_open().err().expect("a refusal");
        assert_eq!(refused.sqlstate(), "22023", "{name}={value}");
    }
}
