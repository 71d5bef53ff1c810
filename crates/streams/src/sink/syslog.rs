//! Syslog: RFC 5424, framed by octet counting over TLS (RFC 5425), or over TCP on loopback (RFC 6587 section 3.4.1).
//!
//! Nothing is answered there. Events count as arrived when the connection was still open a while after they were sent; after a loss of the
//! connection those that don't count are sent again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::Time;
use config::SyslogTls;
use futures_util::FutureExt as _;
use model::Secret;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Settled;
use crate::item::Mark;
use crate::{Failure, Item, tls};

/// How long a connection must have stayed open after an event was sent.
const SURE: Duration = Duration::from_secs(2);
/// Facility "log audit" (RFC 5424 table 1).
const FACILITY: u8 = 13;
/// RFC 5424 table 2.
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Wire for T {}

/// An open connection.
pub(crate) struct Syslog {
    wire: Box<dyn Wire>,
    host: String,
    /// What was sent and when, oldest first.
    unsure: VecDeque<(Instant, Mark)>,
}

impl Syslog {
    pub(crate) async fn connect(
        (host, port): (&str, u16),
        secrecy: SyslogTls,
        ca: Option<&Path>,
        own: Option<(&Path, Secret<String>)>,
    ) -> Result<Self, Failure> {
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| Failure::of(&format!("{host}:{port}"), &error))?;
        let _ = stream.set_nodelay(true);
        let wire: Box<dyn Wire> = match secrecy {
            SyslogTls::None => Box::new(stream),
            SyslogTls::Tls => {
                let own = own.as_ref().map(|(path, key)| (*path, key));
                let connector = TlsConnector::from(Arc::new(tls::client(ca, own)?));
                let name = ServerName::try_from(host.to_owned()).map_err(|_| {
                    Failure::new(format!("\"{host}\" is no name that a certificate could have"))
                })?;
                let secured = connector.connect(name, stream).await;
                Box::new(secured.map_err(|error| Failure::of(&format!("TLS with {host}:{port}"), &error))?)
            }
        };
        Ok(Self { wire, host: this_host(), unsure: VecDeque::new() })
    }

    pub(crate) async fn take(&mut self, items: &[Item]) -> Result<(), Failure> {
        let mut buffer = Vec::new();
        for item in items {
            let message = message(item, &self.host);
            buffer.extend_from_slice(format!("{} ", message.len()).as_bytes());
            buffer.extend_from_slice(message.as_bytes());
        }
        let lost = |error: std::io::Error| Failure::of("the connection is lost", &error);
        self.wire.write_all(&buffer).await.map_err(lost)?;
        self.wire.flush().await.map_err(lost)?;
        if let Some(last) = items.last() {
            self.unsure.push_back((Instant::now(), last.mark));
        }
        Ok(())
    }

    pub(crate) fn settle(&mut self) -> Result<Settled, Failure> {
        let mut byte = [0; 64];
        // A server says nothing; the end of what it says is the end of the connection.
        match self.wire.read(&mut byte).now_or_never() {
            Some(Ok(0)) => return Err(Failure::new("the server has closed the connection")),
            Some(Err(error)) => return Err(Failure::of("the connection is lost", &error)),
            Some(Ok(_)) | None => {}
        }
        let mut sure = None;
        while let Some((at, mark)) = self.unsure.front() {
            if at.elapsed() < SURE {
                break;
            }
            sure = Some(*mark);
            self.unsure.pop_front();
        }
        Ok(if self.unsure.is_empty() { Settled::All } else { Settled::Through(sure) })
    }
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`.
fn message(item: &Item, host: &str) -> String {
    // What was refused or stopped should be found without reading the text.
    let refused =
        ["incident", "authentication_failed", "control_refused", "policy_refused", "limit_exceeded"];
    let denied = item.event == "statement" && item.line.contains("\"verdict\":\"deny\"");
    let severity = if denied || refused.contains(&&*item.event) { WARNING } else { INFORMATIONAL };
    let priority = FACILITY * 8 + severity;
    let (time, process) = (shown(item.time), std::process::id());
    // RFC 5424 section 6.2.7: a MSGID has at most 32 characters.
    let event: String = item.event.chars().filter(char::is_ascii_graphic).take(32).collect();
    format!("<{priority}>1 {time} {host} gatepost {process} {event} - {}", item.line)
}

fn shown(time: Time) -> String {
    time.to_string()
}

/// The machine's name as a HOSTNAME, or "-" where it has none.
fn this_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::{Hash, Seq};

    #[test]
    fn a_message_is_what_rfc_5424_says() {
        let mark = Mark { seq: Seq(7), hash: Hash([0; 32]) };
        let item = |event: &str, line: &str| Item {
            mark,
            time: Time(1_700_000_000_000_001_000),
            event: event.to_owned(),
            line: line.to_owned(),
        };
        let process = std::process::id();
        assert_eq!(
            message(&item("statement", "{\"seq\":7}"), "gw1"),
            format!("<110>1 2023-11-14T22:13:20.000001Z gw1 gatepost {process} statement - {{\"seq\":7}}")
        );
        assert!(message(&item("incident", "{}"), "-").starts_with("<108>1 "));
        assert!(message(&item("statement", "{\"verdict\":\"deny\"}"), "-").starts_with("<108>1 "));
    }
}
