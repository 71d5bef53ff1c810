//! What a client sends: encode, then parse, is what it was; and what is not a message is refused.

use model::Oid;
use proptest::prelude::*;
use wire::frontend::{
    self, Bind, Close, CopyData, CopyFail, Describe, Execute, Parse, PasswordMessage, Query,
    SaslInitialResponse, SaslResponse, Target, encode, tag,
};
use wire::startup::{self, Packet, ProtocolVersion};
use wire::{EncodeError, MessageError};

use crate::{c_string, only_frame, values};

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Statement), Just(Target::Portal)]
}

fn formats() -> impl Strategy<Value = Vec<i16>> {
    proptest::collection::vec(0..=1_i16, 0..20)
}

type Encode = fn(&mut Vec<u8>);

proptest! {
    #[test]
    fn query(text in c_string()) {
        let mut out = Vec::new();
        encode::query(&mut out, &text).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::QUERY);
        prop_assert_eq!(Query::parse(frame.body).unwrap().text, &text);
    }

    #[test]
    fn parse(name in c_string(), text in c_string(), types in proptest::collection::vec(any::<u32>(), 0..20)) {
        let mut out = Vec::new();
        encode::parse(&mut out, &name, &text, types.iter().copied().map(Oid)).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::PARSE);
        let parsed = Parse::parse(frame.body).unwrap();
        prop_assert_eq!((parsed.statement, parsed.query), (&name[..], &text[..]));
        prop_assert_eq!(parsed.param_types.len(), types.len());
        prop_assert!(parsed.param_types.iter().map(|oid| oid.0).eq(types));
    }

    #[test]
    fn bind(portal in c_string(), name in c_string(), params in values(), one in 0..=1_i16, how in 0..3, results in formats()) {
        let formats = match how { 0 => vec![], 1 => vec![one], _ => vec![one; params.len()] };
        let mut out = Vec::new();
        let borrowed = params.iter().map(Option::as_deref);
        encode::bind(&mut out, &portal, &name, formats.iter().copied(), borrowed.clone(), results.iter().copied()).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::BIND);
        let parsed = Bind::parse(frame.body).unwrap();
        prop_assert_eq!((parsed.portal, parsed.statement), (&portal[..], &name[..]));
        prop_assert!(parsed.param_formats.iter().eq(formats));
        prop_assert_eq!(parsed.params.len(), params.len());
        prop_assert!(parsed.params.iter().eq(borrowed));
        prop_assert!(parsed.result_formats.iter().eq(results));
        let expected = if how == 0 { 0 } else { one };
        prop_assert!((0..params.len()).all(|i| parsed.param_formats.of(i) == Some(expected)));
    }

    #[test]
    fn describe_and_close(target in target(), name in c_string()) {
        let mut out = Vec::new();
        encode::describe(&mut out, target, &name).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::DESCRIBE);
        prop_assert_eq!(Describe::parse(frame.body).unwrap(), Describe { target, name: &name });

        let mut out = Vec::new();
        encode::close(&mut out, target, &name).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::CLOSE);
        prop_assert_eq!(Close::parse(frame.body).unwrap(), Close { target, name: &name });
    }

    #[test]
    fn execute(portal in c_string(), max_rows in any::<i32>()) {
        let mut out = Vec::new();
        encode::execute(&mut out, &portal, max_rows).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::EXECUTE);
        prop_assert_eq!(Execute::parse(frame.body).unwrap(), Execute { portal: &portal, max_rows });
    }

    #[test]
    fn copy(data in proptest::collection::vec(any::<u8>(), 0..100), reason in c_string()) {
        let mut out = Vec::new();
        encode::copy_data(&mut out, &data).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::COPY_DATA);
        prop_assert_eq!(CopyData::parse(frame.body).data, &data);

        let mut out = Vec::new();
        encode::copy_fail(&mut out, &reason).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::COPY_FAIL);
        prop_assert_eq!(CopyFail::parse(frame.body).unwrap().reason, &reason);
    }

    #[test]
    fn authentication(
        text in c_string(),
        data in proptest::collection::vec(any::<u8>(), 0..100),
        response in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        let mut out = Vec::new();
        encode::password(&mut out, &text).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::PASSWORD);
        prop_assert_eq!(PasswordMessage::parse(frame.body).unwrap().password, &text);

        let mut out = Vec::new();
        encode::sasl_initial_response(&mut out, &text, response.as_deref()).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::PASSWORD);
        let parsed = SaslInitialResponse::parse(frame.body).unwrap();
        prop_assert_eq!((parsed.mechanism, parsed.response), (&text[..], response.as_deref()));

        let mut out = Vec::new();
        encode::sasl_response(&mut out, &data).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::PASSWORD);
        prop_assert_eq!(SaslResponse::parse(frame.body).data, &data);
    }

    #[test]
    fn cancel_request(process_id in any::<i32>(), key in proptest::collection::vec(any::<u8>(), 4..=256)) {
        let mut out = Vec::new();
        encode::cancel_request(&mut out, process_id, &key).unwrap();
        let bytes = out.len();
        prop_assert_eq!(startup::packet(&out), Ok(Some((Packet::CancelRequest { process_id, key }, bytes))));
    }

    #[test]
    fn startup_message(minor in any::<u16>(), others in proptest::collection::btree_map("[a-z]{1,8}|_pq_\\.[a-z]{1,4}", "[^\\x00]{0,20}", 0..8)) {
        let mut others = others;
        others.insert("user".to_owned(), "someone".to_owned());
        let version = ProtocolVersion { major: 3, minor };
        let mut out = Vec::new();
        encode::startup(&mut out, version, others.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
        let Ok(Some((Packet::Startup(parsed), bytes))) = startup::packet(&out) else { panic!("no startup: {out:?}") };
        prop_assert_eq!((parsed.version, bytes), (version, out.len()));
        let (protocol, plain): (Vec<_>, Vec<_>) = others.into_iter().partition(|(n, _)| n.starts_with("_pq_."));
        prop_assert_eq!(parsed.parameters, plain);
        prop_assert_eq!(parsed.protocol_parameters, protocol);
    }
}

#[test]
fn messages_without_fields() {
    let encoders: [(u8, Encode); 4] = [
        (tag::FLUSH, encode::flush),
        (tag::SYNC, encode::sync),
        (tag::TERMINATE, encode::terminate),
        (tag::COPY_DONE, encode::copy_done),
    ];
    for (tag, encode) in encoders {
        let mut out = Vec::new();
        encode(&mut out);
        assert_eq!(out, [tag, 0, 0, 0, 4]);
        assert_eq!(frontend::parse_empty(tag, only_frame(&out).body), Ok(()));
        assert!(matches!(frontend::parse_empty(tag, b"\0"), Err(MessageError::Trailing { bytes: 1, .. })));
    }
    for (encode, packet) in
        [(encode::ssl_request as Encode, Packet::SslRequest), (encode::gssenc_request, Packet::GssEncRequest)]
    {
        let mut out = Vec::new();
        encode(&mut out);
        assert_eq!(startup::packet(&out), Ok(Some((packet, 8))));
    }
}

#[test]
fn nul_is_refused_wherever_it_would_end_a_string() {
    let nul = b"a\0b";
    let none = || std::iter::empty();
    let mut out = Vec::new();
    assert!(encode::query(&mut out, nul).is_err());
    assert!(encode::parse(&mut out, nul, b"", []).is_err());
    assert!(encode::parse(&mut out, b"", nul, []).is_err());
    assert!(encode::bind(&mut out, nul, b"", none(), [], none()).is_err());
    assert!(encode::bind(&mut out, b"", nul, none(), [], none()).is_err());
    assert!(encode::describe(&mut out, Target::Portal, nul).is_err());
    assert!(encode::close(&mut out, Target::Statement, nul).is_err());
    assert!(encode::execute(&mut out, nul, 0).is_err());
    assert!(encode::copy_fail(&mut out, nul).is_err());
    assert!(encode::password(&mut out, nul).is_err());
    assert!(encode::sasl_initial_response(&mut out, nul, None).is_err());
    assert!(encode::startup(&mut out, ProtocolVersion::V3_0, [("user", "a\0options\0-c x=y")]).is_err());
    assert!(encode::startup(&mut out, ProtocolVersion::V3_0, [("us\0er", "a")]).is_err());
    assert!(encode::startup(&mut out, ProtocolVersion::V3_0, [("", "a")]).is_err());
    assert!(out.is_empty(), "a failed message left bytes behind");
}

#[test]
fn packets_over_the_limits_are_not_written() {
    let mut out = b"before".to_vec();
    // 4 of version, 5 of "user" with its NUL, 2 of NULs
    let user = "u".repeat(startup::MAX_STARTUP_PACKET_LENGTH - 4 - 5 - 2);
    encode::startup(&mut out, ProtocolVersion::V3_0, [("user", user.as_str())]).unwrap();
    assert!(startup::packet(&out[6..]).unwrap().is_some());
    out.truncate(6);
    let longer = format!("{user}u");
    assert!(matches!(
        encode::startup(&mut out, ProtocolVersion::V3_0, [("user", longer.as_str())]),
        Err(EncodeError::TooMany { .. })
    ));
    for len in [0, 3, 257] {
        assert!(encode::cancel_request(&mut out, 1, &vec![1; len]).is_err());
    }
    assert!(encode::parse(&mut out, b"", b"", std::iter::repeat_n(Oid(1), 65_536)).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn query_is_one_string() {
    assert_eq!(Query::parse(b"select 1\0").unwrap().text, b"select 1");
    assert_eq!(Query::parse(b"select 1"), Err(MessageError::Unterminated { message: "Query" }));
    assert_eq!(Query::parse(b""), Err(MessageError::Unterminated { message: "Query" }));
    assert_eq!(
        Query::parse(b"select 1\0; drop table t\0"),
        Err(MessageError::Trailing { message: "Query", bytes: 15 })
    );
    assert_eq!(Query::parse(b"a\0\0"), Err(MessageError::Trailing { message: "Query", bytes: 1 }));
}

#[test]
fn parse_counts_its_types() {
    assert_eq!(Parse::parse(b"s\0q\0\0\x01\0\0\0\x17").unwrap().param_types.len(), 1);
    for short in
        [&b"s\0q\0"[..], b"s\0q\0\0", b"s\0q\0\0\x01", b"s\0q\0\0\x01\0\0\0", b"s\0q\0\xff\xff\0\0\0\x17"]
    {
        assert_eq!(Parse::parse(short), Err(MessageError::Truncated { message: "Parse" }));
    }
    assert!(matches!(Parse::parse(b"s\0q\0\0\0\0"), Err(MessageError::Trailing { bytes: 1, .. })));
    assert!(matches!(Parse::parse(b"s\0q"), Err(MessageError::Unterminated { .. })));
}

#[test]
fn bind_is_checked_to_its_last_byte() {
    #[track_caller]
    fn check(rest: &[u8], expected: MessageError) {
        let mut body = b"p\0s\0".to_vec();
        body.extend(rest);
        assert_eq!(Bind::parse(&body), Err(expected));
    }
    let truncated = MessageError::Truncated { message: "Bind" };
    let length = |value| MessageError::Length { message: "Bind", field: "value length", value };
    check(b"", truncated);
    check(b"\0\0\0\x01\0\0\0\x05abcd", truncated);
    check(b"\0\0\0\x01\x7f\xff\xff\xff\0\0", truncated);
    check(b"\0\0\0\x02\0\0\0\x01a\0\0", truncated);
    check(b"\0\0\xff\xff\0\0", truncated);
    check(b"\xff\xff\0\0\0\0", truncated);
    check(b"\0\0\0\x01\xff\xff\xff\xfe\0\0", length(-2));
    check(b"\0\0\0\x01\x80\0\0\0\0\0", length(i64::from(i32::MIN)));
    check(b"\0\0\0\0\0\0x", MessageError::Trailing { message: "Bind", bytes: 1 });
    check(b"\0\x01\0\x02\0\0\0\0", MessageError::Format(2));
    check(b"\0\0\0\0\0\x01\xff\xff", MessageError::Format(-1));
    check(b"\0\x02\0\0\0\x01\0\x01\xff\xff\xff\xff\0\0", MessageError::FormatCount { formats: 2, params: 1 });
    check(b"\0\x02\0\0\0\0\0\0\0\0", MessageError::FormatCount { formats: 2, params: 0 });
    // one format for no parameter is what PostgreSQL takes too
    assert!(Bind::parse(b"\0\0\0\x01\0\x01\0\0\0\0").is_ok());
}

#[test]
fn formats_apply_as_the_manual_says() {
    let none = Bind::parse(b"\0\0\0\0\0\0\0\0").unwrap().result_formats;
    assert_eq!((none.of(0), none.of(9)), (Some(0), Some(0)));
    let one = Bind::parse(b"\0\0\0\0\0\0\0\x01\0\x01").unwrap().result_formats;
    assert_eq!((one.of(0), one.of(9)), (Some(1), Some(1)));
    let two = Bind::parse(b"\0\0\0\0\0\0\0\x02\0\x01\0\0").unwrap().result_formats;
    assert_eq!((two.of(0), two.of(1), two.of(2)), (Some(1), Some(0), None));
}

#[test]
fn describe_and_close_know_two_targets() {
    assert_eq!(Describe::parse(b"X\0"), Err(MessageError::Subtype { message: "Describe", value: b'X' }));
    assert_eq!(Close::parse(b"s\0"), Err(MessageError::Subtype { message: "Close", value: b's' }));
    assert_eq!(Close::parse(b""), Err(MessageError::Truncated { message: "Close" }));
    assert!(matches!(Close::parse(b"Sa\0b\0"), Err(MessageError::Trailing { bytes: 2, .. })));
}

#[test]
fn sasl_initial_response_length_is_checked() {
    for (body, good) in [
        (&b"M\0\xff\xff\xff\xff"[..], true),
        (b"M\0\0\0\0\0", true),
        (b"M\0\0\0\0\x01x", true),
        (b"M\0\0\0\0\x02x", false),
        (b"M\0\0\0\0\x01xy", false),
        (b"M\0\xff\xff\xff\xfe", false),
        (b"M\0", false),
        (b"M", false),
    ] {
        assert_eq!(SaslInitialResponse::parse(body).is_ok(), good, "{}", body.escape_ascii());
    }
    assert_eq!(SaslInitialResponse::parse(b"M\0\xff\xff\xff\xff").ok().unwrap().response, None);
    assert_eq!(SaslInitialResponse::parse(b"M\0\0\0\0\0").ok().unwrap().response, Some(&b""[..]));
}

#[test]
fn unknown_tags_have_neither_name_nor_size() {
    for tag in 0..=255 {
        assert_eq!(frontend::name(tag).is_some(), frontend::bytes_max(tag).is_some());
        assert_eq!(frontend::name(tag).is_some(), b"BCDEFHPQSXcdfp".contains(&tag));
    }
}
