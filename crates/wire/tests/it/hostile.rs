//! Any bytes at all: no view panics, and a view that accepts a body has accounted for every byte of it.

use proptest::prelude::*;
use wire::backend::{
    Authentication, BackendKeyData, CommandComplete, CopyResponse, DataRow, NegotiateProtocolVersion,
    NotificationResponse, ParameterDescription, ParameterStatus, ReadyForQuery, RowDescription,
};
use wire::error::ErrorFields;
use wire::frontend::{
    self, Bind, Close, CopyFail, Describe, Execute, Parse, PasswordMessage, Query, SaslInitialResponse,
    encode,
};
use wire::{backend, frame, oauthbearer, startup};

/// Bytes as a protocol has them: many zeros and small counts.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(0_u8),
        2 => Just(0xff_u8),
        2 => 1..8_u8,
        2 => prop_oneof![Just(b'S'), Just(b'P'), Just(b'I'), Just(b'_'), Just(1_u8)],
        1 => any::<u8>(),
    ];
    proptest::collection::vec(byte, 0..60)
}

/// Writes what was parsed again; the bytes must be the same, or the view has overlooked some.
fn again(body: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    assert_eq!(frame::next(&out, usize::MAX).unwrap().unwrap().body, body);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn frontend_views_account_for_every_byte(body in body()) {
        let b = &body[..];
        if let Ok(v) = Query::parse(b) { again(b, |o| encode::query(o, v.text).unwrap()); }
        if let Ok(v) = Parse::parse(b) { again(b, |o| encode::parse(o, v.statement, v.query, v.param_types.iter()).unwrap()); }
        if let Ok(v) = Bind::parse(b) {
            again(b, |o| encode::bind(o, v.portal, v.statement, v.param_formats, v.params, v.result_formats).unwrap());
        }
        if let Ok(v) = Describe::parse(b) { again(b, |o| encode::describe(o, v.target, v.name).unwrap()); }
        if let Ok(v) = Close::parse(b) { again(b, |o| encode::close(o, v.target, v.name).unwrap()); }
        if let Ok(v) = Execute::parse(b) { again(b, |o| encode::execute(o, v.portal, v.max_rows).unwrap()); }
        if let Ok(v) = CopyFail::parse(b) { again(b, |o| encode::copy_fail(o, v.reason).unwrap()); }
        if let Ok(v) = PasswordMessage::parse(b) { again(b, |o| encode::password(o, v.password).unwrap()); }
        if let Ok(v) = SaslInitialResponse::parse(b) {
            again(b, |o| encode::sasl_initial_response(o, v.mechanism, v.response).unwrap());
        }
        for tag in 0..=255 { let _ = frontend::parse_empty(tag, b); }
    }

    #[test]
    fn backend_views_account_for_every_byte(body in body()) {
        use backend::encode;
        let b = &body[..];
        if let Ok(v) = RowDescription::parse(b) { again(b, |o| encode::row_description(o, v).unwrap()); }
        if let Ok(v) = DataRow::parse(b) { again(b, |o| encode::data_row(o, v).unwrap()); }
        if let Ok(v) = ParameterDescription::parse(b) {
            again(b, |o| encode::parameter_description(o, v.param_types.iter()).unwrap());
        }
        if let Ok(v) = CommandComplete::parse(b) { again(b, |o| encode::command_complete(o, v.tag).unwrap()); }
        if let Ok(v) = ReadyForQuery::parse(b) { again(b, |o| encode::ready_for_query(o, v.status)); }
        if let Ok(v) = ParameterStatus::parse(b) { again(b, |o| encode::parameter_status(o, v.name, v.value).unwrap()); }
        if let Ok(v) = BackendKeyData::parse(b) { again(b, |o| encode::backend_key_data(o, v.process_id, v.key).unwrap()); }
        if let Ok(v) = NotificationResponse::parse(b) {
            again(b, |o| encode::notification_response(o, v.process_id, v.channel, v.payload).unwrap());
        }
        if let Ok(v) = CopyResponse::parse(b) { again(b, |o| encode::copy_in_response(o, v.format, v.columns).unwrap()); }
        if let Ok(v) = ErrorFields::parse(b) { again(b, |o| encode::error_response(o, &v)); }
        let _ = Authentication::parse(b);
        let _ = NegotiateProtocolVersion::parse(b);
        let _ = oauthbearer::parse_initial(b);
        let _ = startup::packet(b);
    }

    #[test]
    fn startup_packets_of_any_bytes(body in body()) {
        let mut packet = (body.len() as i32 + 8).to_be_bytes().to_vec();
        packet.extend([0, 3, 0, 0]);
        packet.extend(&body);
        if let Ok(Some((startup::Packet::Startup(parsed), bytes))) = startup::packet(&packet) {
            prop_assert_eq!(bytes, packet.len());
            prop_assert!(!parsed.user().is_empty());
        }
    }

    #[test]
    fn options_of_any_text(text in "[-c=\\\\ ab]{0,20}|\\PC{0,20}") {
        for (name, _) in startup::options(&text).unwrap_or_default() {
            prop_assert!(!name.is_empty() && !name.contains('='));
        }
    }
}
