//! Approvers are told where they are, and what they say there counts: from a held statement to a message, and back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use approval::Who;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use store::{Location, Store};
use testkit::client::Message;
use testkit::http::{Answer, Request, Server};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;

use crate::http;
use crate::stage::{Gate, SOON, Setup, Shop};

const SIGNING: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const OUT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const IN: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl2LaLaSwA";
const DELETE: &str = "DELETE FROM tickets WHERE id = 1";

/// Whoever is told: Slack, Teams and webhooks over HTTP.
pub(crate) struct Outside {
    pub(crate) server: Server,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl Outside {
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let server = Server::start(move |request| {
            let mut kept = kept.lock().unwrap();
            kept.push(request.clone());
            let before = kept.iter().filter(|it: &&Request| it.path == request.path).count();
            drop(kept);
            answer(request, before)
        });
        Self { server, heard }
    }

    /// Waits for the `nth` request to a path, from 1.
    #[track_caller]
    pub(crate) fn wait(&self, path: &str, nth: usize) -> Request {
        let found = poll(SOON, || {
            self.heard.lock().unwrap().iter().filter(|it| it.path == path).nth(nth - 1).cloned()
        });
        found.unwrap_or_else(|| panic!("{path} was not asked {nth} times: {:#?}", self.heard.lock().unwrap()))
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|it| it.path == path).count()
    }
}

pub(crate) fn works(request: &Request, _before: usize) -> Answer {
    if request.path.starts_with("/api/") {
        return Answer::json(&json!({"ok": true, "channel": "C1", "ts": "17.5"}));
    }
    Answer::status(202)
}

/// A mail server that takes one mail after another, without TLS.
fn mail_server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mails = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&mails);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut writer = stream.try_clone().unwrap();
            let _ = writer.write_all(b"220 mail.test ESMTP\r\n");
            let (mut mail, mut in_data) = (String::new(), false);
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let answer = match line.split(' ').next().unwrap_or_default() {
                    "." if in_data => {
                        kept.lock().unwrap().push(std::mem::take(&mut mail));
                        in_data = false;
                        "250 taken"
                    }
                    _ if in_data => {
                        mail += &line;
                        mail.push('\n');
                        continue;
                    }
                    "DATA" => {
                        in_data = true;
                        "354 go on"
                    }
                    "QUIT" => "221 bye",
                    _ => "250 mail.test",
                };
                let _ = writer.write_all(format!("{answer}\r\n").as_bytes());
            }
        }
    });
    (address, mails)
}

pub(crate) fn gate(outside: &Outside, more: &str) -> Gate {
    let url = outside.server.url();
    let sections = format!(
        "[operators]\napprover = \"corp:support-leads\"\n\
         [[notify]]\nname = \"oncall\"\nkind = \"slack\"\nstatement = \"full\"\ntoken = \"env:SLACK_TOKEN\"\nchannel = \"C1\"\napi = \"{url}/api\"\n\
         signing_secret = \"env:SLACK_SIGNING\"\nworkspace = \"T1\"\npeople = {{ U1 = \"corp:lead\", U2 = \"corp:stranger\" }}\n\
         [[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{url}/hook\"\nsecret = \"env:HOOK_OUT\"\ninbound_secret = \"env:HOOK_IN\"\n\
         people = {{ \"lead@example.com\" = \"corp:lead\" }}\n{more}"
    );
    let environment = environment(outside).map(|(name, value)| (name.to_owned(), value)).into();
    let listen_keys = "http = \"127.0.0.1:0\"".to_owned();
    Setup { tls: false, listen_keys, sections, environment, ..Setup::default() }
        .start(Shop::new(Version::V15))
}

/// Where the channels' secrets are.
pub(crate) fn environment(outside: &Outside) -> [(&'static str, String); 5] {
    [
        ("SLACK_TOKEN", "xoxb-1".to_owned()),
        ("SLACK_SIGNING", SIGNING.to_owned()),
        ("HOOK_OUT", OUT.to_owned()),
        ("HOOK_IN", IN.to_owned()),
        ("TEAMS", format!("{}/teams", outside.server.url())),
    ]
}

/// Sends a statement, which is held.
fn send(gate: &Gate, sql: &str) -> std::thread::JoinHandle<Vec<Message>> {
    let mut raw = gate.open("support-agent");
    let sql = sql.to_owned();
    std::thread::spawn(move || raw.query(&sql))
}

fn ended(messages: &[Message], with: u8) -> bool {
    messages.iter().any(|message| message.tag == with)
}

/// Notes that a lead has logged in, as the console does.
fn log_in(home: &Path, at: SystemTime) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(Location::Sqlite(home.join("data/state/store.db"))).await.unwrap();
        let who: Who =
            serde_json::from_value(json!({"issuer": "corp", "subject": "lead", "groups": ["support-leads"]}))
                .unwrap();
        store.seen(&who, None, at.into()).await.unwrap();
    });
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Presses a button as Slack tells it, signed for that time; returns the status.
fn press(
    gate: &Gate,
    outside: &Outside,
    (user, action, value): (&str, &str, &str),
    time: u64,
    key: &str,
) -> u16 {
    let payload = json!({
        "type": "block_actions", "user": {"id": user, "team_id": "T1"},
        "actions": [{"action_id": action, "value": value, "action_ts": format!("{time}.{user}")}],
        "state": {"values": {format!("gatepost.reason.{}", value.split(':').next().unwrap()): {"gatepost.reason": {"value": "as agreed"}}}},
        "response_url": format!("{}/respond", outside.server.url()),
    });
    let encoded: String = payload.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("payload={encoded}");
    let signature: String =
        mac(key.as_bytes(), &format!("v0:{time}:{body}")).iter().map(|byte| format!("{byte:02x}")).collect();
    let (time, signature) = (time.to_string(), format!("v0={signature}"));
    let headers = [
        ("X-Slack-Request-Timestamp", time.as_str()),
        ("X-Slack-Signature", signature.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let address = gate.gateway.address("http").unwrap();
    http::request(address, "POST /notify/slack/oncall", &headers, &body).status
}

fn webhook(gate: &Gate, id: &str, time: u64, key: &str, body: &Value) -> u16 {
    let body = body.to_string();
    let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
    let signature = format!("v1,{}", STANDARD.encode(mac(&key, &format!("{id}.{time}.{body}"))));
    let time = time.to_string();
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", signature.as_str()),
        ("Content-Type", "application/json"),
    ];
    let address = gate.gateway.address("http").unwrap();
    http::request(address, "POST /notify/webhook/hook", &headers, &body).status
}

/// Returns the value of the button of that name, if the message has it.
fn button(request: &Request, action: &str) -> Option<String> {
    let message: Value = serde_json::from_str(&request.body).unwrap();
    let blocks = message["blocks"].as_array().unwrap().clone();
    let elements = blocks.iter().filter_map(|block| block["elements"].as_array()).flatten();
    let found = elements.into_iter().find(|element| element["action_id"] == action);
    found.map(|button| button["value"].as_str().unwrap().to_owned())
}

fn reasons(gate: &Gate, count: usize) -> Vec<String> {
    let events = gate.events("notify_call_refused", count);
    events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_button_in_slack_lets_a_held_statement_go_on_and_no_forged_old_or_strange_one_does() {
    let outside = Outside::start(works);
    let (mail, mails) = mail_server();
    let gate = gate(
        &outside,
        &format!(
            "[[notify]]\nname = \"teams\"\nkind = \"teams\"\nwebhook = \"env:TEAMS\"\n\
             [[notify]]\nname = \"mail\"\nkind = \"email\"\nhost = \"{mail}\"\ntls = \"none\"\nfrom = \"gatepost@example.com\"\nto = \"lead@example.com\"\n"
        ),
    );
    let waiting = send(&gate, DELETE);
    let posted = outside.wait("/api/chat.postMessage", 1);
    assert!(posted.body.contains(DELETE), "{}", posted.body);
    let value = button(&posted, "gatepost.approve").unwrap();
    let now = seconds();
    // Nobody gets further who is not Slack, not now, not known, or has never logged in.
    let approve =
        |user, time, key: &str| press(&gate, &outside, (user, "gatepost.approve", &value), time, key);
    assert_eq!(approve("U1", now, "another secret"), 401);
    assert_eq!(approve("U1", now - 400, SIGNING), 401);
    assert_eq!(approve("U9", now, SIGNING), 200);
    assert_eq!(approve("U1", now, SIGNING), 200);
    assert_eq!(approve("U1", now, SIGNING), 409, "the same call again");
    log_in(gate.gateway.home(), SystemTime::now() - Duration::from_secs(25 * 3600));
    assert_eq!(approve("U1", now + 1, SIGNING), 200);
    log_in(gate.gateway.home(), SystemTime::now());
    // Another request's button, as an old message has it where the store is a new one.
    let other = format!("{}:{}", value.split(':').next().unwrap(), "ab".repeat(32));
    assert_eq!(press(&gate, &outside, ("U1", "gatepost.approve", &other), now, SIGNING), 200);
    let expected =
        ["forged", "old", "unknown_person", "not_seen", "replayed", "login_too_old", "other_request"];
    assert_eq!(reasons(&gate, expected.len()), expected);
    assert!(!waiting.is_finished());
    // What Teams and mail have is a link at most, and nothing of the statement.
    let (card, letter) =
        (outside.wait("/teams", 1), poll(SOON, || mails.lock().unwrap().first().cloned()).unwrap());
    assert!(!card.body.contains("id = 1") && !letter.contains("id = 1"));
    assert!(letter.contains("waits for approval"), "{letter}");

    assert_eq!(approve("U1", now + 2, SIGNING), 200);
    let answer = waiting.join().unwrap();
    assert!(ended(&answer, tag::COMMAND_COMPLETE), "{answer:?}");
    let update = outside.wait("/api/chat.update", 1);
    assert!(update.body.contains("is approved") && update.body.contains("17.5"), "{}", update.body);
    assert_eq!(button(&update, "gatepost.approve"), None);
    let voted = gate.events("approval_voted", 1);
    assert_eq!((voted[0]["via"].as_str(), voted[0]["reason"].as_str()), (Some("slack"), Some("as agreed")));
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets WHERE id = 1"), "0");
    assert!(!gate.gateway.log().contains("DELETE FROM"), "no statement is in the log");
}

#[test]
fn what_is_too_long_for_slack_is_denied_there_but_not_approved_and_the_agent_is_told_why() {
    let outside = Outside::start(works);
    let gate = gate(&outside, "");
    log_in(gate.gateway.home(), SystemTime::now());
    let waiting = send(&gate, &format!("{DELETE} /* {} */", "long ".repeat(800)));
    let posted = outside.wait("/api/chat.postMessage", 1);
    assert_eq!(button(&posted, "gatepost.approve"), None);
    let event: Value = serde_json::from_str(&outside.wait("/hook", 1).body).unwrap();
    let value = format!("{}:{}", event["data"]["number"], event["data"]["binding"].as_str().unwrap());
    assert_eq!(press(&gate, &outside, ("U1", "gatepost.approve", &value), seconds(), SIGNING), 200);
    assert!(outside.wait("/respond", 1).body.contains("too long to be shown whole"));
    assert_eq!(reasons(&gate, 1), ["not_shown_whole"]);
    assert_eq!(press(&gate, &outside, ("U1", "gatepost.deny", &value), seconds(), SIGNING), 200);
    let answer = waiting.join().unwrap();
    let error = answer.iter().find(|message| message.tag == tag::ERROR_RESPONSE).unwrap();
    assert!(format!("{error:?}").contains("as agreed"), "{error:?}");
}

#[test]
fn a_webhook_that_was_down_gets_each_event_with_one_id_and_one_that_comes_back_decides() {
    let outside = Outside::start(|request, before| match request.path.as_str() {
        "/hook" if before == 1 => Answer::status(503),
        _ => works(request, before),
    });
    let gate = gate(&outside, "");
    log_in(gate.gateway.home(), SystemTime::now());
    let waiting = send(&gate, DELETE);
    let (first, second) = (outside.wait("/hook", 1), outside.wait("/hook", 2));
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let event: Value = serde_json::from_str(&second.body).unwrap();
    assert_eq!(event["type"], "approval.opened");
    assert!(event["data"]["statement"].is_null(), "no statement leaves by it");
    let told = gate.events("notified", 2);
    let hook = told.iter().find(|event| event["channel"] == "hook").unwrap();
    assert_eq!((hook["attempts"].as_u64(), hook["what"].as_str()), (Some(2), Some("opened")));

    let (number, binding) = (&event["data"]["number"], &event["data"]["binding"]);
    let decision = |person: &str| {
        json!({"type": "approval.decision", "data": {
            "number": number, "binding": binding, "decision": "approve", "person": person, "reason": "ticket 12"}})
    };
    let now = seconds();
    // Signed with the secret of what goes out, old, of nobody, or twice.
    assert_eq!(webhook(&gate, "a", now, OUT, &decision("lead@example.com")), 401);
    assert_eq!(webhook(&gate, "a", now - 400, IN, &decision("lead@example.com")), 401);
    assert_eq!(webhook(&gate, "a", now, IN, &decision("mallory@example.com")), 403);
    assert_eq!(webhook(&gate, "a", now, IN, &decision("lead@example.com")), 409);
    assert_eq!(reasons(&gate, 4), ["forged", "old", "unknown_person", "replayed"]);
    assert!(!waiting.is_finished());
    assert_eq!(webhook(&gate, "b", now, IN, &decision("lead@example.com")), 200);
    assert!(ended(&waiting.join().unwrap(), tag::COMMAND_COMPLETE));
    let decided: Value = serde_json::from_str(&outside.wait("/hook", 3).body).unwrap();
    assert_eq!((&decided["type"], &decided["data"]["state"] == "open"), (&json!("approval.decided"), false));
    assert_eq!(outside.count("/hook"), 3);
}

#[test]
fn notify_test_sends_by_each_channel_and_says_what_to_mend() {
    let outside = Outside::start(|request, before| match request.path.as_str() {
        "/api/chat.postMessage" => Answer::json(&json!({"ok": false, "error": "not_in_channel"})),
        _ => works(request, before),
    });
    let gate = gate(&outside, "");
    let environment = [("SLACK_TOKEN", "t"), ("SLACK_SIGNING", SIGNING), ("HOOK_OUT", OUT), ("HOOK_IN", IN)];
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::stage::binary());
        command.args(arguments).envs(environment).current_dir(gate.gateway.home());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, printed) = run(&["notify", "test"]);
    assert_eq!(status, Some(1), "{printed}");
    assert!(printed.contains("the id of a channel that the bot was invited to"), "{printed}");
    let (status, printed) = run(&["notify", "test", "hook"]);
    assert_eq!(status, Some(0), "{printed}");
    assert!(outside.wait("/hook", 1).body.contains("gatepost.test"));
    assert_eq!(run(&["notify", "test", "nothing"]).0, Some(2));
}
