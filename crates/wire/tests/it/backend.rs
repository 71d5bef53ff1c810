//! What a server sends: encode, then parse, is what it was; and what is not a message is refused.

use model::Oid;
use proptest::prelude::*;
use wire::backend::{
    self, Authentication, BackendKeyData, CommandComplete, CopyResponse, DataRow, Field,
    NegotiateProtocolVersion, NotificationResponse, ParameterDescription, ParameterStatus, ReadyForQuery,
    RowDescription, TransactionStatus, encode, tag,
};
use wire::error::{ErrorFields, Severity};
use wire::sqlstate;
use wire::startup::ProtocolVersion;
use wire::{EncodeError, MessageError};

use crate::{c_string, only_frame, values};

type Column = (Vec<u8>, u32, i16, u32, i16, i32, i16);

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let column =
        (c_string(), any::<u32>(), any::<i16>(), any::<u32>(), any::<i16>(), any::<i32>(), 0..=1_i16);
    proptest::collection::vec(column, 0..12)
}

fn field((name, table, attnum, type_oid, typlen, typmod, format): &Column) -> Field<'_> {
    Field {
        name,
        table_oid: Oid(*table),
        attnum: *attnum,
        type_oid: Oid(*type_oid),
        typlen: *typlen,
        typmod: *typmod,
        format: *format,
    }
}

type Encode = fn(&mut Vec<u8>);

proptest! {
    #[test]
    fn row_description(columns in columns()) {
        let mut out = Vec::new();
        encode::row_description(&mut out, columns.iter().map(field)).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::ROW_DESCRIPTION);
        let parsed = RowDescription::parse(frame.body).unwrap();
        prop_assert_eq!(parsed.len(), columns.len());
        prop_assert!(parsed.iter().eq(columns.iter().map(field)));
    }

    #[test]
    fn data_row(columns in values()) {
        let mut out = Vec::new();
        let borrowed = columns.iter().map(Option::as_deref);
        encode::data_row(&mut out, borrowed.clone()).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::DATA_ROW);
        let parsed = DataRow::parse(frame.body).unwrap();
        prop_assert_eq!(parsed.len(), columns.len());
        prop_assert!(parsed.iter().eq(borrowed.clone()));
        // ranges are of the body, and the length is right before each
        for (range, value) in parsed.ranges().zip(borrowed) {
            prop_assert_eq!(range.clone().map(|range| &frame.body[range]), value);
            if let Some(range) = range {
                let length = i32::from_be_bytes(frame.body[range.start - 4..range.start].try_into().unwrap());
                prop_assert_eq!(length as usize, range.len());
            }
        }
        prop_assert_eq!(parsed.ranges().count(), columns.len());
    }

    #[test]
    fn parameter_description(types in proptest::collection::vec(any::<u32>(), 0..20)) {
        let mut out = Vec::new();
        encode::parameter_description(&mut out, types.iter().copied().map(Oid)).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::PARAMETER_DESCRIPTION);
        prop_assert!(ParameterDescription::parse(frame.body).unwrap().param_types.iter().map(|o| o.0).eq(types));
    }

    #[test]
    fn texts(one in c_string(), two in c_string(), process_id in any::<i32>()) {
        let mut out = Vec::new();
        encode::parameter_status(&mut out, &one, &two).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::PARAMETER_STATUS);
        prop_assert_eq!(ParameterStatus::parse(frame.body).unwrap(), ParameterStatus { name: &one, value: &two });

        let mut out = Vec::new();
        encode::notification_response(&mut out, process_id, &one, &two).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::NOTIFICATION_RESPONSE);
        let expected = NotificationResponse { process_id, channel: &one, payload: &two };
        prop_assert_eq!(NotificationResponse::parse(frame.body).unwrap(), expected);

        let mut out = Vec::new();
        encode::command_complete(&mut out, &one).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::COMMAND_COMPLETE);
        prop_assert_eq!(CommandComplete::parse(frame.body).unwrap().tag, &one);
    }

    #[test]
    fn error_and_notice(message in c_string(), detail in c_string(), hint in c_string(), position in any::<usize>()) {
        let fields = ErrorFields::new(Severity::Error, sqlstate::SYNTAX_ERROR, &message)
            .detail(&detail).hint(&hint).position(position);
        let mut out = Vec::new();
        encode::error_response(&mut out, &fields);
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::ERROR_RESPONSE);
        prop_assert_eq!(&ErrorFields::parse(frame.body).unwrap(), &fields);

        let mut out = Vec::new();
        encode::notice_response(&mut out, &fields);
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::NOTICE_RESPONSE);
        prop_assert_eq!(&ErrorFields::parse(frame.body).unwrap(), &fields);
    }

    #[test]
    fn copy(columns in proptest::collection::vec(0..=1_i16, 0..20), data in proptest::collection::vec(any::<u8>(), 0..40)) {
        for (tag, encoded) in [
            (tag::COPY_IN_RESPONSE, { let mut out = Vec::new(); encode::copy_in_response(&mut out, 1, columns.iter().copied()).unwrap(); out }),
            (tag::COPY_OUT_RESPONSE, { let mut out = Vec::new(); encode::copy_out_response(&mut out, 1, columns.iter().copied()).unwrap(); out }),
        ] {
            let frame = only_frame(&encoded);
            prop_assert_eq!(frame.tag, tag);
            let parsed = CopyResponse::parse(frame.body).unwrap();
            prop_assert_eq!(parsed.format, 1);
            prop_assert!(parsed.columns.iter().eq(columns.iter().copied()));
        }
        let mut out = Vec::new();
        encode::copy_data(&mut out, &data).unwrap();
        prop_assert_eq!(only_frame(&out).body, &data);
    }

    #[test]
    fn backend_key_data(process_id in any::<i32>(), key in proptest::collection::vec(any::<u8>(), 4..=256)) {
        let mut out = Vec::new();
        encode::backend_key_data(&mut out, process_id, &key).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::BACKEND_KEY_DATA);
        let parsed = BackendKeyData::parse(frame.body).unwrap();
        prop_assert_eq!((parsed.process_id, parsed.key), (process_id, &key[..]));
    }

    #[test]
    fn negotiate_protocol_version(minor in any::<u16>(), names in proptest::collection::vec("_pq_\\.[a-z]{0,8}", 0..5)) {
        let version = ProtocolVersion { major: 3, minor };
        let mut out = Vec::new();
        encode::negotiate_protocol_version(&mut out, version, names.iter().map(String::as_str)).unwrap();
        let frame = only_frame(&out);
        prop_assert_eq!(frame.tag, tag::NEGOTIATE_PROTOCOL_VERSION);
        let parsed = NegotiateProtocolVersion::parse(frame.body).unwrap();
        prop_assert_eq!(parsed.version, version);
        prop_assert!(parsed.unrecognized.iter().copied().eq(names.iter().map(String::as_bytes)));
    }

    #[test]
    fn sasl(names in proptest::collection::vec("[A-Z0-9-]{1,20}", 1..4), data in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut out = Vec::new();
        encode::authentication_sasl(&mut out, names.iter().map(String::as_str)).unwrap();
        let Authentication::Sasl { mechanisms } = Authentication::parse(only_frame(&out).body).unwrap() else {
            panic!("not SASL")
        };
        prop_assert!(mechanisms.iter().eq(names.iter().map(String::as_bytes)));

        let mut out = Vec::new();
        encode::authentication_sasl_continue(&mut out, &data).unwrap();
        prop_assert_eq!(Authentication::parse(only_frame(&out).body).unwrap(), Authentication::SaslContinue(&data));

        let mut out = Vec::new();
        encode::authentication_sasl_final(&mut out, &data).unwrap();
        prop_assert_eq!(Authentication::parse(only_frame(&out).body).unwrap(), Authentication::SaslFinal(&data));
    }
}

#[test]
fn authentication_requests() {
    #[track_caller]
    fn check(encode: impl FnOnce(&mut Vec<u8>), expected: Authentication<'_>) {
        let mut out = Vec::new();
        encode(&mut out);
        let frame = only_frame(&out);
        assert_eq!(frame.tag, tag::AUTHENTICATION);
        assert_eq!(Authentication::parse(frame.body), Ok(expected));
    }
    check(encode::authentication_ok, Authentication::Ok);
    check(encode::authentication_cleartext_password, Authentication::CleartextPassword);
    check(
        |out| encode::authentication_md5_password(out, [1, 2, 3, 4]),
        Authentication::Md5 { salt: [1, 2, 3, 4] },
    );
    // Kerberos V5, GSSAPI, its continuation, SSPI, and one to come, with whatever is in them
    for other in [2_i32, 7, 8, 9, 99, -1] {
        let mut body = other.to_be_bytes().to_vec();
        body.extend(b"token");
        assert_eq!(Authentication::parse(&body), Ok(Authentication::Other(other)));
    }
}

#[test]
fn malformed_authentication_is_refused() {
    for body in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\0x",
        b"\0\0\0\x03x",
        b"\0\0\0\x05\x01\x02\x03",
        b"\0\0\0\x05\x01\x02\x03\x04\x05",
        b"\0\0\0\x0a",
        b"\0\0\0\x0a\0",
        b"\0\0\0\x0aSCRAM",
        b"\0\0\0\x0aSCRAM\0",
        b"\0\0\0\x0aSCRAM\0\0x",
    ] {
        assert!(Authentication::parse(body).is_err(), "{}", body.escape_ascii());
    }
    let mut out = Vec::new();
    assert_eq!(encode::authentication_sasl(&mut out, []), Err(EncodeError::Empty { field: "mechanism" }));
    assert_eq!(encode::authentication_sasl(&mut out, [""]), Err(EncodeError::Empty { field: "mechanism" }));
    assert!(out.is_empty());
}

#[test]
fn messages_without_fields() {
    let encoders: [(u8, Encode); 7] = [
        (tag::PARSE_COMPLETE, encode::parse_complete),
        (tag::BIND_COMPLETE, encode::bind_complete),
        (tag::CLOSE_COMPLETE, encode::close_complete),
        (tag::NO_DATA, encode::no_data),
        (tag::PORTAL_SUSPENDED, encode::portal_suspended),
        (tag::EMPTY_QUERY_RESPONSE, encode::empty_query_response),
        (tag::COPY_DONE, encode::copy_done),
    ];
    for (tag, encode) in encoders {
        let mut out = Vec::new();
        encode(&mut out);
        assert_eq!(out, [tag, 0, 0, 0, 4]);
        assert_eq!(backend::parse_empty(tag, only_frame(&out).body), Ok(()));
        assert!(backend::parse_empty(tag, b"x").is_err());
    }
}

#[test]
fn ready_for_query_has_three_states() {
    for status in [TransactionStatus::Idle, TransactionStatus::InTransaction, TransactionStatus::Failed] {
        let mut out = Vec::new();
        encode::ready_for_query(&mut out, status);
        assert_eq!(ReadyForQuery::parse(only_frame(&out).body), Ok(ReadyForQuery { status }));
    }
    for bad in [&b""[..], b"X", b"i", b"II", b"\0"] {
        assert!(ReadyForQuery::parse(bad).is_err());
    }
}

#[test]
fn command_tags_that_count_rows() {
    let check = |tag: &str, rows| {
        let body = format!("{tag}\0");
        let complete = CommandComplete::parse(body.as_bytes()).unwrap();
        assert_eq!((complete.tag_str(), complete.rows()), (Some(tag), rows));
    };
    check("SELECT 5", Some(5));
    check("INSERT 0 7", Some(7));
    check("COPY 0", Some(0));
    check("MERGE 18446744073709551615", Some(u64::MAX));
    check("MERGE 18446744073709551616", None);
    check("CREATE TABLE", None);
    check("BEGIN", None);
    check("", None);
    check("SELECT +5", None);
    check("SELECT -5", None);
    check("SELECT ", None);
    assert_eq!(CommandComplete::parse(b"\xff 1\0").unwrap().rows(), None);
}

#[test]
fn data_row_is_checked_to_its_last_byte() {
    #[track_caller]
    fn check(body: &[u8], expected: MessageError) {
        assert_eq!(DataRow::parse(body), Err(expected));
    }
    let truncated = MessageError::Truncated { message: "DataRow" };
    let length = |value| MessageError::Length { message: "DataRow", field: "value length", value };
    check(b"", truncated);
    check(b"\0", truncated);
    check(b"\0\x01", truncated);
    check(b"\0\x01\0\0\0\x02a", truncated);
    check(b"\0\x01\x7f\xff\xff\xff", truncated);
    check(b"\xff\xff\xff\xff\xff\xff", truncated);
    check(b"\0\x01\xff\xff\xff\xfe", length(-2));
    check(b"\0\x01\x80\0\0\0", length(i64::from(i32::MIN)));
    check(b"\0\0x", MessageError::Trailing { message: "DataRow", bytes: 1 });
    check(b"\0\x01\xff\xff\xff\xff\0", MessageError::Trailing { message: "DataRow", bytes: 1 });
    assert!(DataRow::parse(b"\0\0").unwrap().is_empty());
}

#[test]
fn row_description_is_checked_to_its_last_byte() {
    let good = b"\0\x01name\0\0\0\x40\x01\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    assert_eq!(
        RowDescription::parse(good).unwrap().iter().next(),
        Some(Field {
            name: b"name",
            table_oid: Oid(16385),
            attnum: 2,
            type_oid: Oid(25),
            typlen: -1,
            typmod: -1,
            format: 0
        })
    );
    for cut in 0..good.len() {
        assert!(RowDescription::parse(&good[..cut]).is_err(), "cut at {cut}");
    }
    assert!(RowDescription::parse(&[&good[..], b"x"].concat()).is_err());
    let mut third_format = good.to_vec();
    *third_format.last_mut().unwrap() = 2;
    assert_eq!(RowDescription::parse(&third_format).err(), Some(MessageError::Format(2)));
}

#[test]
fn copy_response_formats_are_checked() {
    assert_eq!(CopyResponse::parse(b"\x02\0\0"), Err(MessageError::Format(2)));
    assert_eq!(CopyResponse::parse(b"\x01\0\x01\0\x02"), Err(MessageError::Format(2)));
    assert_eq!(CopyResponse::parse(b"\0\0\x01\0\x01"), Err(MessageError::Format(1)));
    assert!(CopyResponse::parse(b"\0\0\x02\0\0").is_err());
    assert!(CopyResponse::parse(b"\0\0\0\0").is_err());
}

#[test]
fn keys_and_negotiation_are_checked() {
    for (bytes, good) in [(3, false), (4, true), (256, true), (257, false)] {
        let mut body = vec![0, 0, 0, 1];
        body.extend(vec![7; bytes]);
        assert_eq!(BackendKeyData::parse(&body).is_ok(), good);
        let mut out = Vec::new();
        assert_eq!(encode::backend_key_data(&mut out, 1, &vec![7; bytes]).is_ok(), good);
    }
    for bad in [
        &b""[..],
        b"\0\x02\0\0\0\0\0\0",
        b"\0\x03\0\0\xff\xff\xff\xff",
        b"\0\x03\0\0\x7f\xff\xff\xff",
        b"\0\x03\0\0\0\0\0\x01",
        b"\0\x03\0\0\0\0\0\x01other\0",
        b"\0\x03\0\0\0\0\0\0x",
    ] {
        assert!(NegotiateProtocolVersion::parse(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn nul_is_refused_wherever_it_would_end_a_string() {
    let nul = b"a\0b";
    let mut out = Vec::new();
    assert!(encode::parameter_status(&mut out, nul, b"").is_err());
    assert!(encode::parameter_status(&mut out, b"", nul).is_err());
    assert!(encode::command_complete(&mut out, nul).is_err());
    assert!(encode::notification_response(&mut out, 1, nul, b"").is_err());
    assert!(encode::notification_response(&mut out, 1, b"", nul).is_err());
    assert!(encode::negotiate_protocol_version(&mut out, ProtocolVersion::V3_2, ["_pq_.a\0"]).is_err());
    assert!(encode::authentication_sasl(&mut out, ["A\0B"]).is_err());
    let column = (nul.to_vec(), 0, 0, 0, 0, 0, 0);
    assert!(encode::row_description(&mut out, [field(&column)]).is_err());
    assert!(encode::data_row(&mut out, std::iter::repeat_n(None, 65_536)).is_err());
    assert!(out.is_empty(), "a failed message left bytes behind");
}
