//! A client that sends whatever bytes it is told to and shows every message that comes back.
//!
//! Blocking, with a limit on each wait. Knows the protocol's start (TLS, authentication) and nothing of what follows.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Secret;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use wire::backend::{
    Authentication, BackendKeyData, DataRow, NegotiateProtocolVersion, ParameterStatus, tag,
};
use wire::error::ErrorFields;
use wire::frontend::encode;
use wire::startup::ProtocolVersion;
use wire::{frame, scram};

use crate::tls::{Certified, showing, trusting};

/// How long a message may take before a test is stuck.
const WAIT: Duration = Duration::from_secs(30);

/// A message from the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The message type; see [`tag`].
    pub tag: u8,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Message {
    /// Returns the type's name in PostgreSQL's manual.
    pub fn name(&self) -> &'static str {
        wire::backend::name(self.tag).unwrap_or("unknown message")
    }

    /// Returns the fields of an ErrorResponse or NoticeResponse.
    ///
    /// # Panics
    /// It is neither.
    pub fn fields(&self) -> ErrorFields {
        assert!(
            matches!(self.tag, tag::ERROR_RESPONSE | tag::NOTICE_RESPONSE),
            "{} has no fields",
            self.name()
        );
        ErrorFields::parse(&self.body).expect("error fields")
    }

    /// Returns a field of an ErrorResponse or NoticeResponse as text; empty if it isn't there.
    pub fn field(&self, code: u8) -> String {
        self.fields().get(code).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    /// Returns the values of a DataRow as text.
    pub fn values(&self) -> Vec<Option<String>> {
        let row = DataRow::parse(&self.body).expect("a DataRow");
        row.iter().map(|value| value.map(|text| String::from_utf8_lossy(text).into_owned())).collect()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name(), String::from_utf8_lossy(&self.body))
    }
}

/// Why there is no session.
#[derive(Debug)]
pub enum Refused {
    /// The connection failed or was closed.
    Io(io::Error),
    /// The server said no: its ErrorResponse.
    Error(Message),
}

impl Refused {
    /// Returns the server's SQLSTATE; empty if it gave none.
    pub fn sqlstate(&self) -> String {
        match self {
            Self::Io(_) => String::new(),
            Self::Error(message) => message.field(b'C'),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Clone)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone)]
enum Tls {
    Off,
    /// After SSLRequest.
    Negotiated(Arc<ClientConfig>),
    /// From the first byte, as `sslnegotiation=direct`.
    Direct(Arc<ClientConfig>),
}

/// How to connect.
#[derive(Clone)]
pub struct Connect {
    target: Target,
    tls: Tls,
    host: String,
    version: ProtocolVersion,
    parameters: Vec<(String, String)>,
    password: Option<String>,
}

impl Connect {
    /// Connects to a TCP address.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::new(Target::Tcp(address))
    }

    /// Connects to a socket file.
    pub fn unix(path: PathBuf) -> Self {
        Self::new(Target::Unix(path))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            tls: Tls::Off,
            host: "localhost".into(),
            version: ProtocolVersion::V3_0,
            parameters: Vec::new(),
            password: None,
        }
    }

    /// Sets the user.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.parameter("user", user)
    }

    /// Sets the database.
    #[must_use]
    pub fn database(self, database: &str) -> Self {
        self.parameter("database", database)
    }

    /// Adds a startup parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Sets the password, which is also the bearer token where the server asks for OAUTHBEARER only.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the protocol version that is asked for.
    #[must_use]
    pub const fn version(mut self, version: ProtocolVersion) -> Self {
        self.version = version;
        self
    }

    /// Uses TLS after an SSLRequest, trusting the authority whose PEM is given, and only `localhost`.
    #[must_use]
    pub fn tls(mut self, authority: &str) -> Self {
        self.tls = Tls::Negotiated(trusting(authority));
        self
    }

    /// Uses TLS as [`tls`](Self::tls) does, and shows a certificate.
    #[must_use]
    pub fn certificate(mut self, authority: &str, certified: &Certified) -> Self {
        self.tls = Tls::Negotiated(showing(authority, certified));
        self
    }

    /// Uses TLS from the first byte (PostgreSQL 17 and later).
    #[must_use]
    pub fn direct_tls(mut self, authority: &str) -> Self {
        self.tls = Tls::Direct(trusting(authority));
        self
    }

    /// Connects and starts a session, up to the first ReadyForQuery.
    ///
    /// # Panics
    /// The server says no, or does nothing for long.
    pub fn open(&self) -> Raw {
        match self.try_open() {
            Ok(raw) => raw,
            Err(Refused::Error(message)) => panic!("refused: {message:?}"),
            Err(Refused::Io(error)) => panic!("can't connect: {error}"),
        }
    }

    /// Connects and starts a session, up to the first ReadyForQuery.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn try_open(&self) -> Result<Raw, Refused> {
        let mut raw = self.stream()?;
        let mut packet = Vec::new();
        let parameters = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        encode::startup(&mut packet, self.version, parameters).expect("a startup packet");
        raw.try_send(&packet)?;
        let user = self.parameters.iter().find(|(name, _)| name == "user").map_or("", |(_, user)| user);
        raw.authenticate(user, self.password.as_deref().unwrap_or_default())?;
        raw.settle()?;
        Ok(raw)
    }

    /// Connects, with TLS if so told, and sends nothing more.
    ///
    /// # Errors
    /// The connection fails, or the server refuses TLS.
    pub fn stream(&self) -> io::Result<Raw> {
        let mut tcp = match &self.target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(WAIT))?;
                return Ok(Raw::new(Stream::Unix(stream)));
            }
            Target::Tcp(address) => TcpStream::connect(address)?,
        };
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(WAIT))?;
        let config = match &self.tls {
            Tls::Off => return Ok(Raw::new(Stream::Tcp(tcp))),
            Tls::Direct(config) => config,
            Tls::Negotiated(config) => {
                let mut packet = Vec::new();
                encode::ssl_request(&mut packet);
                tcp.write_all(&packet)?;
                let mut answer = [0];
                tcp.read_exact(&mut answer)?;
                if answer != *b"S" {
                    return Err(io::Error::other("server has no TLS"));
                }
                config
            }
        };
        let name = ServerName::try_from(self.host.clone()).expect("a host name");
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Raw::new(Stream::Tls(Box::new(StreamOwned::new(session, tcp)))))
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection.
pub struct Raw {
    stream: Stream,
    received: Vec<u8>,
    read: usize,
    /// What the server reported by ParameterStatus before the first ReadyForQuery.
    pub parameters: BTreeMap<String, String>,
    /// From BackendKeyData; 0 before it.
    pub process_id: i32,
    /// From BackendKeyData; empty before it.
    pub key: Vec<u8>,
    /// The version that the server answered with, if it didn't take the one asked for.
    pub negotiated: Option<ProtocolVersion>,
}

impl Raw {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            read: 0,
            parameters: BTreeMap::new(),
            process_id: 0,
            key: Vec::new(),
            negotiated: None,
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the connection");
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Returns the next message; `None` if the server closed the connection.
    ///
    /// # Panics
    /// Nothing comes for long, or what comes is no message.
    pub fn receive(&mut self) -> Option<Message> {
        self.try_receive().unwrap_or_else(|error| panic!("no message: {error}"))
    }

    /// Returns the next message; `None` if the server closed the connection, reset included.
    ///
    /// # Errors
    /// Nothing comes for long, or what comes is no message.
    pub fn try_receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            let next = frame::next(&self.received[self.read..], usize::MAX).map_err(io::Error::other)?;
            if let Some(frame) = next {
                let message = Message { tag: frame.tag, body: frame.body.to_vec() };
                self.read += frame.raw.len();
                return Ok(Some(message));
            }
            self.received.drain(..self.read);
            self.read = 0;
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> io::Result<bool> {
        let start = self.received.len();
        self.received.resize(start + 64 * 1024, 0);
        let result = self.stream.read(&mut self.received[start..]);
        self.received.truncate(start + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(count) => Ok(count > 0),
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Ok(false)
                }
                _ => Err(error),
            },
        }
    }

    /// Returns the messages up to and with the first of that type, or up to the end of the connection.
    pub fn until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.receive() {
            let last = message.tag == tag;
            messages.push(message);
            if last {
                break;
            }
        }
        messages
    }

    /// Sends a simple Query and returns the messages up to ReadyForQuery.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        let mut bytes = Vec::new();
        encode::query(&mut bytes, sql.as_bytes()).expect("no NUL");
        self.send(&bytes);
        self.until(tag::READY_FOR_QUERY)
    }

    /// Sends a simple Query and returns its rows: `|` between values, a newline between rows, NULL as nothing.
    ///
    /// # Panics
    /// The server answers with an error.
    pub fn rows(&mut self, sql: &str) -> String {
        let messages = self.query(sql);
        if let Some(error) = messages.iter().find(|message| message.tag == tag::ERROR_RESPONSE) {
            panic!("{error:?} from {sql}");
        }
        let rows = messages.iter().filter(|message| message.tag == tag::DATA_ROW);
        let lines = rows
            .map(|row| row.values().into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Sends a simple Query and returns the bytes of its answer, ReadyForQuery included, looking at headers only.
    ///
    /// # Panics
    /// The connection ends first.
    pub fn count(&mut self, sql: &str) -> u64 {
        let mut bytes = Vec::new();
        encode::query(&mut bytes, sql.as_bytes()).expect("no NUL");
        self.send(&bytes);
        let (mut total, mut skip, mut last) = (0, 0, false);
        loop {
            let here = skip.min(self.received.len() - self.read);
            self.read += here;
            skip -= here;
            if skip == 0 {
                if last {
                    return total;
                }
                if let Some(header) = frame::header(&self.received[self.read..]).expect("a message") {
                    total += header.len as u64;
                    skip = header.len;
                    last = header.tag == tag::READY_FOR_QUERY;
                    continue;
                }
            }
            self.received.drain(..self.read);
            self.read = 0;
            assert!(self.fill().expect("the connection"), "connection closed");
        }
    }

    /// Closes our sending side, as a client that is gone.
    pub fn hang_up(&mut self) {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tls(stream) => stream.sock.shutdown(Shutdown::Both),
        };
    }

    fn next_at_start(&mut self) -> Result<Message, Refused> {
        match self.try_receive()? {
            Some(message) if message.tag == tag::ERROR_RESPONSE => Err(Refused::Error(message)),
            Some(message) => Ok(message),
            None => Err(Refused::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn authenticate(&mut self, user: &str, password: &str) -> Result<(), Refused> {
        let password = Secret::new(password.to_owned());
        let mut client = None;
        loop {
            let message = self.next_at_start()?;
            if message.tag == tag::NEGOTIATE_PROTOCOL_VERSION {
                let answer = NegotiateProtocolVersion::parse(&message.body).map_err(io::Error::other)?;
                self.negotiated = Some(answer.version);
                continue;
            }
            assert_eq!(message.tag, tag::AUTHENTICATION, "in authentication: {message:?}");
            let mut out = Vec::new();
            match Authentication::parse(&message.body).map_err(io::Error::other)? {
                Authentication::Ok => return Ok(()),
                Authentication::CleartextPassword => {
                    encode::password(&mut out, password.expose().as_bytes()).map_err(io::Error::other)?;
                }
                Authentication::Md5 { salt } => {
                    let digest = wire::md5::password(user, &password, salt);
                    encode::password(&mut out, digest.expose().as_bytes()).map_err(io::Error::other)?;
                }
                Authentication::Sasl { mechanisms } => {
                    client = start_sasl(&mut out, mechanisms, &password).map_err(io::Error::other)?;
                }
                Authentication::SaslContinue(data) => {
                    let answer = match &mut client {
                        Some(client) => client.respond(data).map_err(io::Error::other)?,
                        // RFC 7628: the server's error document is answered with a dummy, to get the ErrorResponse.
                        None => vec![1],
                    };
                    encode::sasl_response(&mut out, &answer).map_err(io::Error::other)?;
                }
                Authentication::SaslFinal(data) => {
                    client.as_mut().expect("SCRAM").verify(data).map_err(io::Error::other)?;
                    continue;
                }
                Authentication::Other(code) => panic!("authentication request {code}"),
            }
            self.try_send(&out)?;
        }
    }

    /// Reads up to the first ReadyForQuery.
    fn settle(&mut self) -> Result<(), Refused> {
        loop {
            let message = self.next_at_start()?;
            match message.tag {
                tag::READY_FOR_QUERY => return Ok(()),
                tag::PARAMETER_STATUS => {
                    let status = ParameterStatus::parse(&message.body).map_err(io::Error::other)?;
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    self.parameters.insert(text(status.name), text(status.value));
                }
                tag::BACKEND_KEY_DATA => {
                    let data = BackendKeyData::parse(&message.body).map_err(io::Error::other)?;
                    self.process_id = data.process_id;
                    self.key = data.key.to_vec();
                }
                _ => {}
            }
        }
    }
}

/// Answers AuthenticationSASL: by SCRAM if it is offered, else by OAUTHBEARER with the password as the token.
fn start_sasl(
    out: &mut Vec<u8>,
    mechanisms: wire::backend::Mechanisms<'_>,
    password: &Secret<String>,
) -> Result<Option<scram::Client>, Box<dyn std::error::Error + Send + Sync>> {
    if mechanisms.iter().any(|name| name == scram::SCRAM_SHA_256.as_bytes()) {
        let only = [scram::SCRAM_SHA_256.as_bytes()];
        let choice =
            scram::choose_mechanism(only, scram::ChannelBinding::Plaintext, scram::Requirement::Prefer)?;
        let client = scram::Client::new(password, choice);
        encode::sasl_initial_response(out, client.mechanism().as_bytes(), Some(client.initial_response()))?;
        return Ok(Some(client));
    }
    let initial = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", password.expose());
    encode::sasl_initial_response(out, wire::oauthbearer::OAUTHBEARER.as_bytes(), Some(initial.as_bytes()))?;
    Ok(None)
}
