//! One conversation: a client, a session, the model server and a journal, with every byte and every acknowledgement in
//! the test's hands. Asserts the promises after each step.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use approval::Answer;
use identity::{IssuerRules, KeySet, KeySetLimits};
use model::{ClientAddr, Method, SessionId};
use policy::Bundle;
use recording::{Entry, What};
use serde_json::Value;
use session::{
    Credential, Database, Discovery, Durability, Effect, Input, Keep, Limits, MaskKeys, Now, Opening, Outbox,
    Recorder, Session, Settings, Taken, Ticket, UpstreamReady,
};
use wire::frontend::{Target, encode};
use wire::scram::ChannelBinding;
use wire::startup::{ProtocolVersion, Startup};

use crate::approvals::Approvals;
use crate::client::{Client, Expect};
use crate::rng::Rng;
use crate::server::{Server, Stamp};
use crate::statements::{self, Does, spec};

/// What the token in `testdata` says: from then, for 900 seconds.
const ISSUED: Duration = Duration::from_secs(1_800_000_000);

struct Record {
    ticket: Ticket,
    keep: Keep,
    /// Of a statement that was let through.
    text: Option<String>,
    on_disk_asked: bool,
    /// The journal failed before it was acknowledged as strongly as asked.
    lost: bool,
    spent: bool,
}

/// See the module.
pub(crate) struct Harness {
    pub(crate) session: Session,
    out: Outbox,
    beginning: Instant,
    pub(crate) elapsed: Duration,
    /// What bundle a is in this conversation.
    first: usize,
    /// Cancel requests on their way, and how many results the server had begun when they were made.
    cancels: VecDeque<u64>,
    /// Another than the first has been in force.
    pub(crate) changed_policy: bool,
    pub(crate) bundle: usize,
    pub(crate) database: Arc<Database>,
    records: Vec<Record>,
    /// Records before this one have left the process, or are on disk.
    pub(crate) written: usize,
    pub(crate) durable: usize,
    /// Statements that ran, and that were refused, by the audit.
    pub(crate) refused: usize,
    pub(crate) ran: usize,
    pub(crate) server: Server,
    delivered: u64,
    pub(crate) client: Client,
    /// Sent by the client and not yet delivered.
    pub(crate) outgoing: Vec<u8>,
    pub(crate) closes: usize,
    pub(crate) approvals: Approvals,
    pub(crate) story: VecDeque<String>,
    extended_copy: bool,
    gone: bool,
    /// What the client got since it was logged in, and how much of that the tape has told.
    received: Vec<u8>,
    taped: usize,
    logged_in: bool,
    /// Statements by the tape, and by the audit.
    sent: Vec<(u64, String)>,
    recorded: Vec<(u64, String)>,
}

/// The third is the first with limits, the fourth the first with approvers.
static BUNDLES: LazyLock<[Arc<Bundle>; 4]> = LazyLock::new(|| {
    ["a", "b", "limited", "held"].map(|name| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/testdata").join(name);
        Arc::new(policy::load(&dir, "sim").unwrap_or_else(|error| panic!("{error:#?}")))
    })
});

fn verified(now: SystemTime) -> identity::Verified {
    static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
        KeySet::parse(include_bytes!("testdata/keys.json"), KeySetLimits::default()).unwrap()
    });
    let rules = IssuerRules::new("sim", "https://issuer.example", vec!["gatepost".to_owned()]);
    identity::verify(include_str!("testdata/token.txt").trim(), &rules, &KEYS, Method::Token, now).unwrap()
}

impl Harness {
    /// A session that is logged in, under bundle a.
    pub(crate) fn new(rng: Rng) -> Self {
        Self::under(0, rng)
    }

    /// A session that is logged in, under bundle a with limits, at a server that takes its time.
    pub(crate) fn limited(rng: Rng) -> Self {
        Self::under(2, rng)
    }

    /// A session that is logged in, under bundle a where changes and customers need approval.
    pub(crate) fn held(rng: Rng) -> Self {
        Self::under(3, rng)
    }

    /// Likewise, of a client that doesn't wait.
    pub(crate) fn held_async(rng: Rng) -> Self {
        let options = ("options".to_owned(), "-c gatepost.approval=async".to_owned());
        Self::connected(3, rng, vec![options])
    }

    /// Whether bundle a is the one in which something needs approval.
    pub(crate) fn holds(&self) -> bool {
        self.first == 3
    }

    fn under(first: usize, rng: Rng) -> Self {
        Self::connected(first, rng, Vec::new())
    }

    fn connected(first: usize, rng: Rng, options: Vec<(String, String)>) -> Self {
        let beginning = Instant::now();
        let settings = Settings {
            name: "sim".to_owned(),
            enforce: true,
            mask: true,
            durability: Durability::Written,
            limits: Limits::default(),
            mask_keys: MaskKeys::default(),
        };
        let database = Arc::new(Database::new(settings));
        let startup = Startup {
            version: ProtocolVersion::V3_0,
            parameters: vec![
                ("user".to_owned(), "agent".to_owned()),
                ("database".to_owned(), "sim".to_owned()),
            ]
            .into_iter()
            .chain(options)
            .collect(),
            protocol_parameters: Vec::new(),
        };
        let opening = Opening {
            id: SessionId(7),
            client: ClientAddr("127.0.0.1:40000".parse().unwrap()),
            tls: None,
            startup,
            method: Method::Token,
            discovery: Discovery::default(),
            sample: None,
            recorder: Some(Recorder { journal: "j".to_owned(), gateway: "g".to_owned() }),
            channel_binding: ChannelBinding::Plaintext,
            target: Some((database.clone(), BUNDLES[first].clone())),
        };
        let mut out = Outbox::default();
        let session = Session::new(opening, &mut out);
        let mut harness = Self {
            session,
            out,
            beginning,
            elapsed: Duration::ZERO,
            first,
            cancels: VecDeque::new(),
            changed_policy: false,
            bundle: 0,
            database,
            records: Vec::new(),
            written: 0,
            durable: 0,
            refused: 0,
            ran: 0,
            server: Server::new(rng),
            delivered: 0,
            client: Client::default(),
            outgoing: Vec::new(),
            closes: 0,
            approvals: Approvals::default(),
            story: VecDeque::new(),
            extended_copy: false,
            gone: false,
            received: Vec::new(),
            taped: 0,
            logged_in: false,
            sent: Vec::new(),
            recorded: Vec::new(),
        };
        harness.server.slow = first == 2;
        harness.refresh_catalog();
        harness.log_in();
        harness
    }

    fn log_in(&mut self) {
        self.collect();
        let mut password = Vec::new();
        encode::password(&mut password, b"a token").unwrap();
        self.handle(Input::ClientBytes(&password));
        let expires = self.beginning + Duration::from_secs(900);
        let verified = verified(SystemTime::UNIX_EPOCH + ISSUED + Duration::from_secs(1));
        self.handle(Input::CredentialVerified(Ok(Credential { verified: Box::new(verified), expires })));
        self.handle(Input::UpstreamReady(Box::new(UpstreamReady {
            parameters: vec![("client_encoding".to_owned(), "UTF8".to_owned())],
            process_id: 1,
            cancel_key: vec![1, 2, 3, 4],
            version_major: 15,
            name_scope: "agent".to_owned(),
            alike_since: None,
            catalog: Arc::new(statements::catalog()),
        })));
        assert!(self.session.is_running(), "login");
        self.acknowledge_all();
    }

    /// The shell has read the catalog again.
    pub(crate) fn refresh_catalog(&mut self) {
        let taken = self.beginning + self.elapsed;
        self.database.set_catalog(Arc::new(statements::catalog()), self.database.epoch(), taken);
    }

    pub(crate) fn tell(&mut self, line: impl Into<String>) {
        if self.story.len() >= 90 {
            self.story.pop_front();
        }
        self.story.push_back(line.into());
    }

    /// One turn of the session, and what came of it.
    pub(crate) fn handle(&mut self, input: Input<'_>) {
        let now = Now {
            monotonic: self.beginning + self.elapsed,
            wall: SystemTime::UNIX_EPOCH + ISSUED + self.elapsed,
        };
        self.session.handle(now, input, &mut self.out);
        self.collect();
    }

    fn collect(&mut self) {
        let held = self.approvals.holds();
        for effect in std::mem::take(&mut self.out.effects) {
            match effect {
                Effect::AppendAudit { ticket, keep, event } => self.append(ticket, keep, event.payload()),
                Effect::Close => self.closes += 1,
                Effect::AskApproval { asked, ask } => {
                    self.tell(format!("  asked {asked}: {:?}", ask.statement.text));
                    self.approvals.ask(asked, *ask);
                }
                Effect::WithdrawApproval { asked, why } => {
                    self.tell(format!("  withdrawn {asked}: {why:?}"));
                    self.approvals.withdraw(asked, why);
                }
                Effect::CancelUpstream => self.cancels.push_back(self.server.results),
                Effect::VerifyCredential { .. }
                | Effect::VerifyCertificate
                | Effect::FindVerifier
                | Effect::ForgetVerifier
                | Effect::Interrupt
                | Effect::Trace(_)
                | Effect::Connect { .. }
                | Effect::AccountEnds { .. } => {}
            }
        }
        assert!(self.closes <= 1, "closed twice");
        let bytes = self.out.upstream.as_slice().to_vec();
        self.out.upstream.consume(bytes.len());
        if held && self.approvals.holds() && self.closes == 0 {
            assert!(
                bytes.is_empty(),
                "P5: something goes upstream while a statement is held: {}",
                shown(&bytes)
            );
        }
        if !bytes.is_empty() {
            let stamp = Stamp {
                bundle: self.bundle,
                written: self.written,
                durable: self.durable,
                delivered: self.delivered,
            };
            self.tell(format!("  gateway -> server {}", shown(&bytes)));
            self.server.receive(&bytes, stamp);
        }
        let bytes = std::mem::take(&mut self.out.client);
        self.check_tape(&bytes);
        if !bytes.is_empty() {
            self.tell(format!("  gateway -> client {}", shown(&bytes)));
            self.client.receive(&bytes);
        }
    }

    /// P8: what is recorded is what the client got, byte for byte, and the statements are those of the audit.
    fn check_tape(&mut self, bytes: &[u8]) {
        if self.logged_in {
            self.received.extend_from_slice(bytes);
        }
        self.logged_in |= self.session.is_running();
        let Some(Taken { opening, entries, must }) = self.session.take_tape() else {
            assert!(self.closes == 0 || self.taped == self.received.len() || !self.logged_in, "P8: not told");
            return;
        };
        assert!(!must && (opening.is_some() == self.sent.is_empty() || self.taped > 0 || opening.is_none()));
        for Entry { statement, what, .. } in entries {
            match what {
                What::Received(bytes) => {
                    let expected = self.received.get(self.taped..self.taped + bytes.len());
                    assert_eq!(expected, Some(&bytes[..]), "P8: other bytes were recorded");
                    self.taped += bytes.len();
                    let known = statement == 0 || self.sent.iter().any(|(number, _)| *number == statement);
                    assert!(known, "P8: of statement {statement}, which nobody sent: {}", shown(&bytes));
                }
                What::Sent(sent) => self.sent.push((statement, sent.text)),
                What::Cut { .. } => panic!("P8: cut"),
                _ => {}
            }
        }
        assert_eq!(self.sent, self.recorded, "P8: other statements are recorded than audited");
        assert!(self.closes == 0 || self.taped == self.received.len(), "P8: the end is missing");
    }

    fn append(&mut self, ticket: Ticket, keep: Keep, payload: &[u8]) {
        let event: Value = serde_json::from_slice(payload).expect("an event is JSON");
        let is_statement = event["event"] == "statement";
        if is_statement {
            let text = event["text"].as_str().unwrap().to_owned();
            self.recorded.push((event["statement"].as_u64().unwrap(), text));
        }
        let refused = !event["sqlstate"].is_null();
        if is_statement && refused {
            self.refused += 1;
        }
        if event["event"] == "incident" {
            panic!("an incident: {event}");
        }
        // What the server would not parse is recorded without a decision on it: no evidence for anything that runs.
        let undecided = event["decision"]["kind"] == "" && event["text"] != "";
        let text =
            (is_statement && !refused && !undecided).then(|| event["text"].as_str().unwrap().to_owned());
        self.tell(format!("  record {keep:?} {} {}", event["event"], event["text"]));
        if let Some(spec) = text.as_deref().and_then(spec) {
            let bundle = ["a", "b"][self.bundle];
            assert!(
                spec.allowed[self.bundle],
                "P1: {:?} was allowed under bundle {bundle}: {event}",
                spec.text
            );
        }
        let on_disk_asked = keep == Keep::Durable;
        self.records.push(Record { ticket, keep, text, on_disk_asked, lost: false, spent: false });
    }

    /// Records that are not acknowledged yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.records.len() - self.written
    }

    pub(crate) fn undurable(&self) -> usize {
        self.records.len() - self.durable
    }

    /// The journal has written so many more records.
    pub(crate) fn acknowledge_written(&mut self, count: usize) {
        self.written = (self.written + count).min(self.records.len());
        if let Some(ticket) = self.written.checked_sub(1).map(|last| self.records[last].ticket) {
            self.handle(Input::Written(ticket));
        }
    }

    /// So many more are on disk.
    pub(crate) fn acknowledge_durable(&mut self, count: usize) {
        self.durable = (self.durable + count).min(self.records.len());
        self.written = self.written.max(self.durable);
        if let Some(ticket) = self.durable.checked_sub(1).map(|last| self.records[last].ticket) {
            self.handle(Input::Durable(ticket));
        }
    }

    pub(crate) fn acknowledge_all(&mut self) {
        while self.undurable() > 0 {
            self.acknowledge_durable(self.undurable());
        }
    }

    /// The journal can't be written: what isn't acknowledged is lost.
    pub(crate) fn fail_journal(&mut self) {
        self.tell("journal fails");
        let (written, durable) = (self.written, self.durable);
        for (i, record) in self.records.iter_mut().enumerate() {
            record.lost |= i >= if record.keep == Keep::Durable { durable } else { written };
        }
        self.handle(Input::JournalFailed("disk full".to_owned()));
    }

    pub(crate) fn change_policy(&mut self, bundle: usize) {
        self.tell(format!("policy {}", ["a", "b"][bundle]));
        self.bundle = bundle;
        self.changed_policy |= bundle != 0;
        self.approvals.given_up();
        let bundle = if bundle == 0 { self.first } else { bundle };
        self.handle(Input::PolicyChanged(BUNDLES[bundle].clone()));
    }

    /// What approvers say reaches the session.
    pub(crate) fn answer(&mut self, answer: Option<(u64, Answer)>) -> bool {
        let Some((asked, answer)) = answer else { return false };
        self.tell(format!("answer to {asked}: {answer:?}"));
        self.handle(Input::Approval { asked, answer: Box::new(answer) });
        true
    }

    /// Approvers agree.
    pub(crate) fn grant(&mut self) {
        let answer = self.approvals.grant();
        assert!(self.answer(answer), "nothing was asked");
    }

    /// The client is told that it waits.
    pub(crate) fn tell_waiting(&mut self) {
        let answer = self.approvals.waiting();
        assert!(self.answer(answer), "nothing was asked");
    }

    /// Delivers so many bytes of the client's.
    pub(crate) fn deliver_client(&mut self, count: usize) {
        let count = count.min(self.outgoing.len());
        if count > 0 && self.session.wants_client() {
            let bytes: Vec<u8> = self.outgoing.drain(..count).collect();
            self.handle(Input::ClientBytes(&bytes));
        }
    }

    /// Delivers so many bytes of the server's.
    pub(crate) fn deliver_server(&mut self, count: usize) {
        let count = count.min(self.server.output.len());
        if count > 0 && self.session.wants_upstream() {
            let bytes: Vec<u8> = self.server.output.drain(..count).collect();
            self.delivered += bytes.len() as u64;
            self.handle(Input::UpstreamBytes(&bytes));
        }
    }

    /// A cancel request reaches the server.
    pub(crate) fn deliver_cancel(&mut self) -> bool {
        let Some(results) = self.cancels.pop_front() else { return false };
        self.tell("the server is told to cancel");
        if !self.session.is_closed() {
            self.server.cancel(results);
        }
        self.handle(Input::CancelSent);
        true
    }

    /// Time passes, and the session is told if it waited for that.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.elapsed += time;
        if self.session.deadline().is_some_and(|due| due <= self.beginning + self.elapsed) {
            self.tell("deadline");
            self.handle(Input::Deadline);
        }
    }

    /// The server handles one message; what it was made to run must have been decided and recorded.
    pub(crate) fn step_server(&mut self) -> bool {
        let moved = self.server.step();
        for ran in std::mem::take(&mut self.server.ran) {
            self.ran += 1;
            self.tell(format!("server runs {:?}", ran.text));
            if self.first == 3 && ran.stamp.bundle == 0 {
                self.approvals.check(&ran, &hex::encode(BUNDLES[3].hash()));
            }
            // P1
            for spec in &ran.effective {
                assert!(
                    spec.allowed[ran.stamp.bundle],
                    "P1: {:?} ({:?}) was forwarded under bundle {}",
                    ran.text,
                    spec.text,
                    ["a", "b"][ran.stamp.bundle]
                );
            }
            // P2
            let write = ran.effective.iter().any(|spec| spec.write);
            let stamp = ran.stamp;
            let found = self.records.iter_mut().enumerate().find(|(i, record)| {
                !record.spent
                    && !record.lost
                    && record.text.as_deref().is_some_and(|text| statements::bare(text) == ran.text)
                    && *i < if write { stamp.durable } else { stamp.written }
                    && (!write || record.on_disk_asked)
            });
            let (_, record) = found.unwrap_or_else(|| panic!("P2: {:?} was forwarded unrecorded", ran.text));
            record.spent = true;
        }
        moved
    }

    // What a client can say.

    pub(crate) fn query(&mut self, text: &str) {
        self.tell(format!("client: Query {text:?}"));
        encode::query(&mut self.outgoing, text.as_bytes()).unwrap();
        let parts: Vec<&str> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
        let statements = parts.len().max(1);
        self.client.holding |=
            parts.iter().any(|part| spec(part).is_some_and(|spec| spec.does == Does::CopyIn))
                && !self.client.is_skipping();
        self.extended_copy = false;
        self.client.sent(Expect::Query { statements, done: 0, failed: false });
    }

    pub(crate) fn parse(&mut self, name: &str, text: &str) {
        self.tell(format!("client: Parse {name:?} {text:?}"));
        encode::parse(&mut self.outgoing, name.as_bytes(), text.as_bytes(), []).unwrap();
        self.client.sent(Expect::Parse);
    }

    pub(crate) fn bind(&mut self, portal: &str, statement: &str, params: usize) {
        self.bind_values(portal, statement, &vec!["1"; params]);
    }

    pub(crate) fn bind_values(&mut self, portal: &str, statement: &str, params: &[&str]) {
        self.tell(format!("client: Bind {portal:?} {statement:?} {params:?}"));
        let values = params.iter().map(|value| Some(value.as_bytes()));
        encode::bind(&mut self.outgoing, portal.as_bytes(), statement.as_bytes(), [], values, []).unwrap();
        self.client.sent(Expect::Bind);
    }

    pub(crate) fn describe(&mut self, target: Target, name: &str) {
        self.tell(format!("client: Describe {target:?} {name:?}"));
        encode::describe(&mut self.outgoing, target, name.as_bytes()).unwrap();
        self.client.sent(match target {
            Target::Statement => Expect::DescribeStatement,
            Target::Portal => Expect::DescribePortal,
        });
    }

    pub(crate) fn execute(&mut self, portal: &str, max_rows: i32) {
        self.tell(format!("client: Execute {portal:?} {max_rows}"));
        encode::execute(&mut self.outgoing, portal.as_bytes(), max_rows).unwrap();
        self.client.sent(Expect::Execute);
    }

    /// Executes COPY FROM STDIN, after which nothing may be sent until it is answered.
    pub(crate) fn execute_copy(&mut self, portal: &str) {
        self.execute(portal, 0);
        self.flush();
        self.extended_copy = true;
        self.client.holding = !self.client.is_skipping();
    }

    pub(crate) fn close(&mut self, target: Target, name: &str) {
        self.tell(format!("client: Close {target:?} {name:?}"));
        encode::close(&mut self.outgoing, target, name.as_bytes()).unwrap();
        self.client.sent(Expect::Close);
    }

    pub(crate) fn sync(&mut self) {
        self.tell("client: Sync");
        encode::sync(&mut self.outgoing);
        self.client.sent(Expect::Sync);
    }

    pub(crate) fn flush(&mut self) {
        self.tell("client: Flush");
        encode::flush(&mut self.outgoing);
    }

    pub(crate) fn copy_data(&mut self) {
        self.tell("client: CopyData");
        encode::copy_data(&mut self.outgoing, b"1\t2\t3\n").unwrap();
    }

    pub(crate) fn copy_end(&mut self, well: bool) {
        self.tell(format!("client: end of COPY, well: {well}"));
        if well {
            encode::copy_done(&mut self.outgoing);
        } else {
            encode::copy_fail(&mut self.outgoing, b"no").unwrap();
        }
        self.client.copying = false;
        if self.extended_copy {
            self.sync();
        }
    }

    /// Parse, Bind, Execute of the unnamed statement.
    pub(crate) fn unnamed(&mut self, text: &str) {
        self.parse("", text);
        self.bind("", "", spec(text).map_or(0, |spec| spec.params));
        self.execute("", 0);
    }

    /// Moves everything on that can be moved on, but acknowledges nothing.
    pub(crate) fn run_without_journal(&mut self) {
        loop {
            let before = self.mark();
            self.deliver_client(usize::MAX);
            while self.step_server() {}
            self.deliver_server(usize::MAX);
            self.deliver_cancel();
            if self.mark() == before {
                break;
            }
        }
    }

    fn mark(&self) -> (usize, usize, u64, usize, usize, bool) {
        (
            self.outgoing.len(),
            self.records.len(),
            self.delivered,
            self.client.heard.len(),
            self.client.expects.len(),
            self.server.at_rest(),
        )
    }

    /// Delivers and acknowledges everything until nothing moves.
    pub(crate) fn run(&mut self) {
        loop {
            let before = (self.mark(), self.durable);
            self.run_without_journal();
            self.acknowledge_all();
            if (self.mark(), self.durable) == before {
                break;
            }
        }
    }

    /// The client's connection breaks: nothing more comes from it, and nothing need be answered.
    pub(crate) fn client_leaves(&mut self) {
        self.tell("client leaves");
        self.gone = true;
        self.outgoing.clear();
        self.handle(Input::ClientClosed);
    }

    pub(crate) fn has_left(&self) -> bool {
        self.gone
    }

    /// As [`Self::run`], with approvers who agree to everything.
    pub(crate) fn run_approved(&mut self) {
        self.run();
        while self.approvals.pending.is_some() {
            self.grant();
            self.run();
        }
    }

    /// Lets everything come to its end: the client ends what it has begun, and all that it asked must be answered.
    pub(crate) fn settle(&mut self) {
        self.run_approved();
        assert!(!self.gone || self.session.is_closed(), "the session outlives its client");
        // A script may have more than one.
        while !self.session.is_closed() && self.client.copying {
            self.copy_end(true);
            self.run_approved();
        }
        if !self.session.is_closed() {
            assert!(!self.client.holding, "no answer to COPY");
            self.sync();
            self.run_approved();
        }
        if self.session.is_closed() {
            assert!(!self.approvals.holds(), "a request outlives its session");
            assert_eq!(self.closes, 1, "the shell isn't told to close");
            return;
        }
        assert!(self.client.expects.is_empty(), "never answered: {:?}", self.client.expects);
        assert!(self.client.is_between_messages(), "the last message isn't whole");
        assert_eq!(self.client.status, self.server.status.as_byte(), "the client's transaction status");
        assert!(self.outgoing.is_empty() && self.server.at_rest() && self.server.output.is_empty());
    }
}

/// Types of the messages.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    while let Ok(Some(frame)) = wire::frame::next(rest, usize::MAX) {
        out.push(char::from(frame.tag));
        if matches!(frame.tag, b'Q' | b'P' | b'B' | b'E' | b'C') {
            let text: String =
                String::from_utf8_lossy(frame.body).chars().filter(|c| !c.is_control()).take(50).collect();
            out.push_str(&format!("({text}) "));
        }
        rest = &rest[frame.raw.len()..];
    }
    if !rest.is_empty() {
        out.push_str(&format!("+{}", rest.len()));
    }
    out
}
