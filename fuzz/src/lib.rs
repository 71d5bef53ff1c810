//! What hostile bytes reach first, as functions that take any bytes and panic where a promise is broken.
//!
//! Not crashing is the least of it: what is read must be written back as the same bytes, and what is read of a part must
//! not be taken back when the rest comes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "to panic is how a fuzz target says what it found"
)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

use querytree::ServerVersion;
use sql::shape::Shaper;
use sql::{Limits, Strings};
use wire::backend::{self, tag as from_server};
use wire::error::ErrorFields;
use wire::frame::{self, Frame};
use wire::frontend::{self, tag as from_client};
use wire::startup::{Packet, ProtocolVersion};

/// The longest message that the walks below look at.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("frontend", frontend),
    ("backend", backend),
    ("startup", startup),
    ("sql", sql),
    ("querytree", querytree),
];

/// A client's stream: every message that is understood is one that we would have written the same way.
pub fn frontend(data: &[u8]) {
    walk(data, |frame| {
        let mut out = Vec::new();
        let body = frame.body;
        let understood = match frame.tag {
            from_client::QUERY => frontend::Query::parse(body)
                .is_ok_and(|it| frontend::encode::query(&mut out, it.text).is_ok()),
            from_client::PARSE => frontend::Parse::parse(body).is_ok_and(|it| {
                frontend::encode::parse(&mut out, it.statement, it.query, it.param_types.iter()).is_ok()
            }),
            from_client::BIND => frontend::Bind::parse(body).is_ok_and(|it| {
                let (formats, results) = (it.param_formats, it.result_formats);
                let params = it.params.iter();
                frontend::encode::bind(&mut out, it.portal, it.statement, formats, params, results).is_ok()
            }),
            from_client::DESCRIBE => frontend::Describe::parse(body)
                .is_ok_and(|it| frontend::encode::describe(&mut out, it.target, it.name).is_ok()),
            from_client::CLOSE => frontend::Close::parse(body)
                .is_ok_and(|it| frontend::encode::close(&mut out, it.target, it.name).is_ok()),
            from_client::EXECUTE => frontend::Execute::parse(body)
                .is_ok_and(|it| frontend::encode::execute(&mut out, it.portal, it.max_rows).is_ok()),
            from_client::COPY_DATA => {
                frontend::encode::copy_data(&mut out, frontend::CopyData::parse(body).data).is_ok()
            }
            from_client::COPY_FAIL => frontend::CopyFail::parse(body)
                .is_ok_and(|it| frontend::encode::copy_fail(&mut out, it.reason).is_ok()),
            from_client::PASSWORD => {
                let _ = frontend::SaslInitialResponse::parse(body);
                frontend::PasswordMessage::parse(body)
                    .is_ok_and(|it| frontend::encode::password(&mut out, it.password).is_ok())
            }
            other => {
                let _ = frontend::parse_empty(other, body);
                false
            }
        };
        assert!(!understood || out == frame.raw, "{frame:?} is written otherwise than it was read");
    });
}

/// A server's stream: as [`frontend`], for what is masked, filtered or looked at.
pub fn backend(data: &[u8]) {
    walk(data, |frame| {
        let mut out = Vec::new();
        let body = frame.body;
        let understood = match frame.tag {
            from_server::ROW_DESCRIPTION => backend::RowDescription::parse(body)
                .is_ok_and(|it| backend::encode::row_description(&mut out, it.iter()).is_ok()),
            from_server::DATA_ROW => backend::DataRow::parse(body).is_ok_and(|it| {
                assert_eq!(it.len(), it.iter().count());
                assert!(it.ranges().flatten().all(|range| body.get(range).is_some()));
                backend::encode::data_row(&mut out, it.iter()).is_ok()
            }),
            from_server::PARAMETER_DESCRIPTION => {
                backend::ParameterDescription::parse(body).is_ok_and(|it| {
                    backend::encode::parameter_description(&mut out, it.param_types.iter()).is_ok()
                })
            }
            from_server::COMMAND_COMPLETE => backend::CommandComplete::parse(body).is_ok_and(|it| {
                let _ = it.rows();
                backend::encode::command_complete(&mut out, it.tag).is_ok()
            }),
            from_server::READY_FOR_QUERY => backend::ReadyForQuery::parse(body).is_ok_and(|it| {
                backend::encode::ready_for_query(&mut out, it.status);
                true
            }),
            from_server::PARAMETER_STATUS => backend::ParameterStatus::parse(body)
                .is_ok_and(|it| backend::encode::parameter_status(&mut out, it.name, it.value).is_ok()),
            from_server::NOTIFICATION_RESPONSE => {
                backend::NotificationResponse::parse(body).is_ok_and(|it| {
                    backend::encode::notification_response(&mut out, it.process_id, it.channel, it.payload)
                        .is_ok()
                })
            }
            from_server::BACKEND_KEY_DATA => backend::BackendKeyData::parse(body)
                .is_ok_and(|it| backend::encode::backend_key_data(&mut out, it.process_id, it.key).is_ok()),
            from_server::ERROR_RESPONSE | from_server::NOTICE_RESPONSE => {
                fields(frame);
                false
            }
            from_server::AUTHENTICATION => {
                if let Ok(backend::Authentication::Sasl { mechanisms }) = backend::Authentication::parse(body)
                {
                    assert!(mechanisms.iter().count() > 0);
                }
                false
            }
            from_server::COPY_IN_RESPONSE | from_server::COPY_OUT_RESPONSE => {
                let _ = backend::CopyResponse::parse(body);
                false
            }
            from_server::NEGOTIATE_PROTOCOL_VERSION => {
                let _ = backend::NegotiateProtocolVersion::parse(body);
                false
            }
            other => {
                let _ = backend::parse_empty(other, body);
                false
            }
        };
        assert!(!understood || out == frame.raw, "{frame:?} is written otherwise than it was read");
    });
}

/// Errors and notices may repeat a field; once read, writing and reading them changes nothing.
fn fields(frame: Frame<'_>) {
    let Ok(fields) = ErrorFields::parse(frame.body) else { return };
    let _ = (fields.is_fatal(), fields.sqlstate());
    let mut out = Vec::new();
    backend::encode::error_response(&mut out, &fields);
    let again = frame::next(&out, usize::MAX).unwrap().expect("a whole message");
    assert!(ErrorFields::parse(again.body).is_ok_and(|again| again == fields), "{frame:?}");
}

fn walk(data: &[u8], mut look: impl FnMut(Frame<'_>)) {
    let mut rest = data;
    while let Ok(Some(frame)) = frame::next(rest, MESSAGE_BYTES_MAX) {
        // Of a part there is either nothing yet, or it would have been an error.
        assert_eq!(frame::next(&rest[..frame.raw.len() - 1], MESSAGE_BYTES_MAX), Ok(None));
        look(frame);
        rest = &rest[frame.raw.len()..];
    }
}

/// What a connection begins with, and the texts inside.
pub fn startup(data: &[u8]) {
    if let Ok(Some((packet, used))) = wire::startup::packet(data) {
        assert!(used <= data.len());
        // Nothing after the packet can change it.
        assert!(
            wire::startup::packet(&data[..used]).is_ok_and(|again| again == Some((packet.clone(), used)))
        );
        if let Packet::Startup(startup) = packet {
            assert!(!startup.user().is_empty());
            assert!(startup.negotiated_version() <= ProtocolVersion::V3_2);
            let _ = wire::startup::options(startup.parameter("options").unwrap_or_default());
        }
    }
    let _ = wire::startup::is_tls_client_hello(data);
    let _ = wire::oauthbearer::parse_initial(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = wire::startup::options(text);
    }
}

/// SQL text: whatever is found in it lies in it.
pub fn sql(data: &[u8]) {
    for strings in [Strings::Standard, Strings::Escaping] {
        // Memory used before leaves nothing behind.
        let (mut fresh, mut used) = (Shaper::default(), Shaper::default());
        used.shape(b"SELECT ((((1 IN (1, 2, 'x", strings);
        assert_eq!(fresh.shape(data, strings), used.shape(data, strings));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        on_large_stack(text, |text| {
            let Ok(statements) = sql::parse(text, Limits::default()) else { return };
            let mut end = 0;
            for statement in &statements {
                let range = statement.range.clone();
                assert!(end <= range.start && range.start < range.end, "{range:?} after {end}");
                assert!(text.get(range.clone()).is_some(), "{range:?}");
                assert!(statement.secrets.iter().all(|secret| text.get(secret.clone()).is_some()));
                end = range.end;
            }
        });
    }
}

/// A server's tree, which quotes identifiers that clients chose.
pub fn querytree(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        on_large_stack(text, |text| {
            for version in ServerVersion::ALL {
                let _ = querytree::read(text, version);
            }
        });
    }
}

type Job = (String, fn(&str));

/// Runs `check` on a thread with the stack that the gateway gives its own; panics if it does.
fn on_large_stack(text: &str, check: fn(&str)) {
    static WORKER: LazyLock<Mutex<(Sender<Job>, Receiver<()>)>> = LazyLock::new(|| {
        let (jobs, queue) = channel::<Job>();
        let (done, waiting) = channel();
        let work = move || {
            for (text, check) in queue {
                check(&text);
                let _ = done.send(());
            }
        };
        thread::Builder::new().stack_size(sql::STACK_BYTES).spawn(work).expect("a thread");
        Mutex::new((jobs, waiting))
    });
    let worker = WORKER.lock().expect("no earlier panic");
    worker.0.send((text.to_owned(), check)).expect("no earlier panic");
    worker.1.recv().unwrap_or_else(|_| panic!("the check panicked on {text:?}"));
}
