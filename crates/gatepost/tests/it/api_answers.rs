//! Real answers of the HTTP API, and what the gateway says of them in `docs/reference/openapi.json`: every route is asked with success and
//! in vain, and its description is read strictly, so that a member that isn't described, or one that is missing, fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Map, Value, json};
use testkit::client::Raw;
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::flight::{Flight, sqlstate};
use crate::http::request;
use crate::signer::Signer;
use crate::stage::{Gate, SOON, Setup, Shop, copy_folder, repository};

const OPERATORS: &str = "[operators]\noperator = \"corp:ops\"\nauditor = \"corp:auditors\"\nviewer = \"corp:lookers\"\n\
                         approver = [\"corp:support-leads\", \"corp:oncall\"]\n";
/// What is open on purpose: a record as the journal has it, this description itself, and what bundles and rules say in words of their own.
const OPEN: [&str; 6] = [
    "AuditDetail.record",
    "Explained.decision.approvers[].members",
    "Explained.decision.parts[].help",
    "Explained.decision.parts[].mask",
    "Explained.decision.parts[].rules[].terms",
    "get /api/v1/openapi.json",
];

/// The gateway's API, as it describes itself.
struct Api<'a> {
    gate: &'a Gate,
    signer: &'a Signer,
    document: Value,
    /// The schemas, with nothing allowed that they don't name.
    schemas: Value,
    /// Whether an operation was asked with success, and in vain.
    asked: RefCell<BTreeMap<String, BTreeSet<bool>>>,
}

fn description() -> Value {
    let text = fs::read_to_string(repository("docs/reference/openapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Lets objects have no members but those that are named. What several schemas describe together is closed as a whole.
fn close(schema: &mut Value, whole: bool) {
    let Some(schema) = schema.as_object_mut() else { return };
    let named = schema.contains_key("properties");
    let together = ["oneOf", "anyOf", "allOf", "$ref"];
    let composed = together.iter().any(|key| schema.contains_key(*key));
    for (key, below) in schema.iter_mut() {
        match key.as_str() {
            "properties" => below.as_object_mut().unwrap().values_mut().for_each(|it| close(it, true)),
            "items" | "additionalProperties" => close(below, true),
            "oneOf" | "anyOf" | "allOf" => {
                below.as_array_mut().unwrap().iter_mut().for_each(|it| close(it, whole && !named));
            }
            _ => {}
        }
    }
    if whole && named && !schema.contains_key("additionalProperties") {
        let key = if composed { "unevaluatedProperties" } else { "additionalProperties" };
        schema.insert(key.to_owned(), false.into());
    }
}

/// Returns where a schema lets through whatever comes.
fn open(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let Some(schema) = schema.as_object() else {
        found.insert(path.to_owned());
        return;
    };
    let says = ["type", "$ref", "oneOf", "anyOf", "allOf", "enum", "const"];
    let any = !says.iter().any(|key| schema.contains_key(*key));
    let object = schema.get("type").is_some_and(|it| *it == "object" || it[0] == "object");
    let shaped = ["properties", "additionalProperties", "oneOf", "anyOf", "allOf", "$ref"];
    let map = schema.get("additionalProperties").is_some_and(|it| *it == true || *it == json!({}));
    if any || map || (object && !shaped.iter().any(|key| schema.contains_key(*key))) {
        found.insert(path.to_owned());
    }
    for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        open(below, &format!("{path}.{name}"), found);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get(key).filter(|it| it.is_object() && !map) {
            open(below, &format!("{path}[]"), found);
        }
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        for below in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            open(below, path, found);
        }
    }
}

impl<'a> Api<'a> {
    fn new(gate: &'a Gate, signer: &'a Signer) -> Self {
        let document = description();
        let mut schemas = document["components"]["schemas"].clone();
        schemas.as_object_mut().unwrap().values_mut().for_each(|schema| close(schema, true));
        Self { gate, signer, document, schemas, asked: RefCell::default() }
    }

    fn http(&self) -> SocketAddr {
        self.gate.gateway.address("http").unwrap()
    }

    fn token(&self, subject: &str) -> String {
        let group = match subject {
            "ann" | "amy" => "support-agents",
            "lee" | "liv" => "support-leads",
            "ona" => "oncall",
            "olaf" => "ops",
            "aud" => "auditors",
            "vera" => "lookers",
            other => panic!("{other}"),
        };
        self.signer.access(subject, &[group], json!({ "name": subject.to_uppercase() }))
    }

    fn connect(&self, subject: &str) -> Raw {
        self.gate.connect_with(&self.token(subject)).user(subject).open()
    }

    #[track_caller]
    fn fits(&self, what: &str, schema: &Value, value: &Value) {
        let mut schema = schema.as_object().unwrap_or_else(|| panic!("{what} is not described")).clone();
        schema.insert("components".to_owned(), json!({ "schemas": self.schemas }));
        let schema = Value::Object(schema);
        let validator =
            jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{what}: {error}"));
        let wrong: Vec<_> =
            validator.iter_errors(value).map(|it| format!("{} {it}", it.instance_path())).collect();
        assert!(wrong.is_empty(), "{what}: {wrong:#?}\n{value:#}");
    }

    /// Asks, and holds the answer against its description. `line` is `GET /api/v1/audit/{seq}`, with `at` what stands for its parameters, and
    /// perhaps a query.
    #[track_caller]
    fn ask(&self, subject: &str, line: &str, at: &[&str], body: &Value) -> (u16, Value) {
        let bearer =
            if subject.is_empty() { String::new() } else { format!("Bearer {}", self.token(subject)) };
        let (verb, target) = line.split_once(' ').unwrap();
        let path = target.split('?').next().unwrap();
        let operation = &self.document["paths"][path][verb.to_lowercase()];
        let mut real = target.to_owned();
        for parameter in at {
            let (from, to) = (real.find('{').unwrap(), real.find('}').unwrap());
            real.replace_range(from..=to, parameter);
        }
        let mut headers = vec![("Content-Type", "application/json")];
        if !bearer.is_empty() {
            headers.push(("Authorization", bearer.as_str()));
        }
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = request(self.http(), &format!("{verb} {real}"), &headers, &text);
        let good = answer.status == 200;
        let what = format!("{line} {at:?} as {subject:?}: {}", answer.status);
        let content = &operation["responses"][if good { "200" } else { "default" }]["content"];
        assert!(answer.head.contains("content-type: application/json"), "{what}: {}", answer.head);
        self.fits(&what, &content["application/json"]["schema"], &answer.json());
        if good && !body.is_null() {
            let described = &operation["requestBody"]["content"]["application/json"]["schema"];
            self.fits(&format!("what is sent with {what}"), described, body);
        }
        if !subject.is_empty() {
            self.asked.borrow_mut().entry(format!("{verb} {path}")).or_default().insert(good);
        }
        (answer.status, answer.json())
    }

    #[track_caller]
    fn get(&self, subject: &str, path: &str, at: &[&str]) -> Value {
        let (status, value) = self.ask(subject, &format!("GET /api/v1{path}"), at, &Value::Null);
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    #[track_caller]
    fn post(&self, subject: &str, path: &str, at: &[&str], body: Value) -> Value {
        let (status, value) = self.ask(subject, &format!("POST /api/v1{path}"), at, &body);
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    #[track_caller]
    fn refused(&self, expected: u16, subject: &str, line: &str, at: &[&str], body: Value) {
        let (verb, path) = line.split_once(' ').unwrap();
        let (status, value) = self.ask(subject, &format!("{verb} /api/v1{path}"), at, &body);
        assert_eq!(status, expected, "{line}: {value}");
        assert!(value["error"].as_str().is_some_and(|it| !it.is_empty()), "{line}: {value}");
    }

    /// Sends what will be held, and returns the request's number.
    fn held(&self, raw: &mut Raw, sql: &str, values: &[&str], number: u64) -> String {
        Flight::default().parse("", sql).bind("", values, 0).describe_portal().execute().sync().to(raw);
        let so_far = usize::try_from(number).unwrap();
        let requests = self.gate.events("approval_requested", so_far);
        assert!(requests.iter().any(|it| it["approval"] == number), "{requests:#?}");
        number.to_string()
    }
}

fn start(signer: &Signer) -> Gate {
    let policy = Scratch::new("policy");
    copy_folder(&repository("examples/shop/policy/shop"), policy.path());
    let bundle = fs::read_to_string(policy.path().join("bundle.toml")).unwrap();
    let lead = "quorum = 1, hold = \"10m\"";
    assert!(bundle.contains(lead));
    policy.write(
        "bundle.toml",
        bundle.replace(lead, &format!("{lead}, count_rows = \"3s\", break_glass = \"oncall\"")),
    );
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"\npublic_url = \"http://localhost:9\"\n".to_owned(),
        issuers: vec![("corp".to_owned(), signer.issuer.clone())],
        sections: OPERATORS.to_owned(),
        policy: policy.path().to_owned(),
        ..Setup::default()
    };
    setup.start(Shop::new(Version::V15))
}

#[test]
fn every_answer_is_what_the_api_s_description_says() {
    let signer = Signer::start();
    let gate = start(&signer);
    let api = Api::new(&gate, &signer);
    let events = listen(&api);
    let mut ann = api.connect("ann");
    let acted = act(&mut ann);
    let waiting = approvals(&api, &mut ann);
    sessions(&api);
    audit(&api, &acted);
    people_data_and_policy(&api);
    delegations(&api);
    oneself(&api);
    kills(&api);
    drop(waiting);
    let bundle = gate.policy().join("bundle.toml");
    let text = fs::read_to_string(&bundle).unwrap().replace("version = \"1\"", "version = \"2\"");
    fs::write(bundle, text).unwrap();
    gate.events("policy_loaded", 2);
    told(&api, events);

    let mut described = BTreeMap::new();
    for (path, operations) in api.document["paths"].as_object().unwrap() {
        for verb in operations.as_object().unwrap().keys() {
            let line = format!("{} {path}", verb.to_uppercase());
            let at = vec!["none"; path.matches('{').count()];
            assert_eq!(api.ask("", &line, &at, &json!({})).0, 401, "{line} without a token");
            described.insert(line, BTreeSet::from([false, true]));
        }
    }
    assert_eq!(*api.asked.borrow(), described, "each is asked with success and in vain");
}

/// Does what an agent does, and returns the texts.
fn act(ann: &mut Raw) -> [&'static str; 4] {
    let texts = [
        "SELECT id, email FROM customers WHERE id = 1",
        "UPDATE tickets SET status = 'open' WHERE id = 1",
        "SELECT ssn FROM customers WHERE ssn = '219-09-9999'",
        "SELECT 1/(id - id) FROM orders WHERE id = 1",
    ];
    let states = texts.map(|sql| sqlstate(&ann.query(sql)));
    assert_eq!(states, ["", "", "42501", "22012"]);
    texts
}

fn approvals(api: &Api<'_>, ann: &mut Raw) -> Raw {
    let one = api.held(ann, "DELETE FROM tickets WHERE id = $1 -- \u{202e}odd\u{202c}", &["7"], 1);
    let open = api.get("lee", "/approvals?state=open,approved&database=shop&limit=1", &[]);
    assert_eq!((&open["open"], &open["items"][0]["number"]), (&json!(1), &json!(1)));
    api.get("ann", "/approvals", &[]);
    api.refused(400, "lee", "GET /approvals?state=lost", &[], Value::Null);
    let shown = api.get("lee", "/approvals/{number}", &[&one]);
    assert!(shown["marked"] == true && shown["may"]["approve"]["ok"] == true, "{shown:#}");
    assert_eq!(shown["request"]["statement"]["parameters"][0]["value"], json!({ "text": "7" }));
    api.get("ann", "/approvals/{number}", &[&one]);
    api.refused(404, "amy", "GET /approvals/{number}", &[&one], Value::Null);
    assert!(!api.get("lee", "/approvals/{number}/plan", &[&one])["lines"].as_array().unwrap().is_empty());
    api.refused(404, "lee", "GET /approvals/{number}/plan", &["99"], Value::Null);
    let counted = api.post("lee", "/approvals/{number}/count-rows", &[&one], json!({}));
    assert_eq!(counted["relations"][0]["deleted"], 1, "{counted:#}");
    api.refused(403, "ann", "POST /approvals/{number}/count-rows", &[&one], json!({}));
    api.refused(403, "ann", "POST /approvals/{number}/{act}", &[&one, "approve"], json!({}));
    api.refused(404, "lee", "POST /approvals/{number}/{act}", &[&one, "shrug"], json!({}));
    api.refused(422, "lee", "POST /approvals/{number}/{act}", &[&one, "approve"], json!({ "why": "x" }));
    let decided = json!({ "reason": "it is a duplicate" });
    api.post("lee", "/approvals/{number}/{act}", &[&one, "approve"], decided.clone());
    assert_eq!(sqlstate(&ann.until(wire::backend::tag::READY_FOR_QUERY)), "");
    api.refused(409, "liv", "POST /approvals/{number}/{act}", &[&one, "approve"], decided.clone());

    let two = api.held(ann, "DELETE FROM tickets WHERE id = $1", &["8"], 2);
    api.post("ona", "/approvals/{number}/{act}", &[&two, "break-glass"], json!({ "reason": "night" }));
    ann.until(wire::backend::tag::READY_FOR_QUERY);
    assert_eq!(api.get("lee", "/approvals?review_due=true", &[])["items"][0]["review"], "due");
    api.post("lee", "/approvals/{number}/{act}", &[&two, "review"], json!({ "reason": "so be it" }));
    let three = api.held(ann, "DELETE FROM tickets WHERE id = $1", &["9"], 3);
    let shown = api.get("lee", "/approvals/{number}", &[&three]);
    assert!(!shown["approved_before"].as_array().unwrap().is_empty(), "{shown:#}");
    assert!(!shown["session_so_far"].as_array().unwrap().is_empty(), "{shown:#}");
    api.post("liv", "/approvals/{number}/{act}", &[&three, "deny"], json!({ "reason": "no" }));
    assert_ne!(sqlstate(&ann.until(wire::backend::tag::READY_FOR_QUERY)), "");

    let before = |sql: &str| json!({ "database": "shop", "sql": sql, "pattern": true, "uses": 2, "for_seconds": 60, "purpose": "clean\u{200b}ing" });
    let asked = api.post("amy", "/approvals", &[], before("DELETE FROM tickets WHERE id = 10"));
    assert_eq!(
        (&asked["request"]["wait"], &asked["request"]["purpose"]),
        (&json!("before"), &json!("clean\u{200b}ing"))
    );
    let four = asked["request"]["number"].to_string();
    api.refused(422, "amy", "POST /approvals", &[], before("SELECT id FROM orders"));
    api.refused(422, "amy", "POST /approvals", &[], json!({ "database": "shop" }));
    api.post("amy", "/approvals/{number}/{act}", &[&four, "withdraw"], json!({}));
    let all = api.get("aud", "/approvals?limit=2", &[]);
    assert_eq!(all["next"], 3);
    api.get("aud", "/approvals?limit=2&before=3", &[]);

    let mut amy = api.connect("amy");
    api.held(&mut amy, "DELETE FROM tickets WHERE id = $1", &["11"], 5);
    amy
}

fn sessions(api: &Api<'_>) {
    let all = api.get("aud", "/sessions", &[]);
    let states: BTreeSet<_> =
        all.as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["held", "idle"]), "{all:#}");
    api.get("vera", "/sessions", &[]);
    api.refused(403, "ann", "GET /sessions", &[], Value::Null);
    let refused_and_running =
        |it: &Value| it["refused"].as_array().is_some_and(|it| !it.is_empty()) && it["sessions"]["held"] == 1;
    let overview = poll(SOON, || Some(api.get("aud", "/overview", &[])).filter(refused_and_running));
    assert!(overview.is_some(), "{:#}", api.get("aud", "/overview", &[]));
    api.get("vera", "/overview", &[]);
    api.refused(403, "ann", "GET /overview", &[], Value::Null);
    assert_eq!(api.get("vera", "/health", &[])["ready"], true);
    api.refused(403, "ann", "GET /health", &[], Value::Null);
}

/// Every record there is, whatever happened.
fn audit(api: &Api<'_>, acted: &[&str]) {
    let (mut before, mut kinds, mut texts) = (String::new(), BTreeSet::new(), BTreeSet::new());
    loop {
        let page = api.get("aud", &format!("/audit?limit=40{before}"), &[]);
        for item in page["items"].as_array().unwrap() {
            let record = api.get("aud", "/audit/{seq}", &[&item["seq"].to_string()]);
            kinds.insert(item["event"].as_str().unwrap().to_owned());
            texts.extend(record["record"]["text"].as_str().map(str::to_owned));
        }
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert!(acted.iter().all(|text| texts.contains(*text)), "{texts:?}");
    for kind in ["statement", "session_started", "approval_requested", "approval_voted", "policy_loaded"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
    api.refused(400, "aud", "GET /audit?since=yesterday", &[], Value::Null);
    api.refused(403, "vera", "GET /audit", &[], Value::Null);
    api.refused(404, "aud", "GET /audit/{seq}", &["999999"], Value::Null);
}

fn people_data_and_policy(api: &Api<'_>) {
    let seen = |it: &Value| it["items"].as_array().is_some_and(|items| items.len() > 1);
    let people = poll(SOON, || Some(api.get("aud", "/identities", &[])).filter(seen)).unwrap();
    let first = api.get("aud", "/identities?limit=1", &[]);
    let next = first["next"].as_str().unwrap().to_owned();
    let second = api.get("aud", &format!("/identities?limit=1&after={next}"), &[]);
    assert_ne!(first["items"][0]["identity"], second["items"][0]["identity"], "{people:#}");
    api.refused(400, "aud", "GET /identities?after=3", &[], Value::Null);
    let ann = api.get("aud", "/identities/{issuer}/{subject}", &["corp", "ann"]);
    assert!(["uses", "refused", "may"].iter().all(|it| !ann[*it].as_array().unwrap().is_empty()), "{ann:#}");
    api.refused(404, "aud", "GET /identities/{issuer}/{subject}", &["corp", "nobody"], Value::Null);
    api.get("vera", "/data", &[]);
    api.refused(403, "ann", "GET /data", &[], Value::Null);
    let data = api.get("vera", "/data/{database}?tagged=true", &["shop"]);
    assert!(
        data["items"][0]["columns"].as_array().unwrap().iter().any(|it| it["mask"] == "email"),
        "{data:#}"
    );
    api.refused(404, "vera", "GET /data/{database}", &["none"], Value::Null);
    api.get("vera", "/policy", &[]);
    api.refused(403, "ann", "GET /policy", &[], Value::Null);
    let policy = api.get("vera", "/policy/{database}", &["shop"]);
    assert_eq!(policy["approvers"].as_array().unwrap().len(), 2);
    api.refused(404, "vera", "GET /policy/{database}", &["none"], Value::Null);
    let explained: Vec<_> = [
        "SELECT id, email FROM customers ORDER BY id LIMIT 1",
        "DELETE FROM tickets",
        "SELECT 1; SELECT lower(name) FROM customer_orders; UPDATE tickets SET status = 'open'",
        "SELECT * FROM nowhere",
        "SELECT FROM WHERE",
        "LISTEN x",
        "DROP TABLE tickets",
        "TABLE pg_authid",
        "EXECUTE p",
        "",
    ]
    .into_iter()
    .map(|sql| {
        let asked = json!({ "sql": sql, "identity": "corp:ann" });
        api.post("aud", "/policy/{database}/explain", &["shop"], asked)["status"].as_str().unwrap().to_owned()
    })
    .collect();
    assert_eq!(BTreeSet::from_iter(explained), ["understood", "error", "unknown"].map(String::from).into());
    api.refused(400, "aud", "POST /policy/{database}/explain", &["shop"], json!({ "sql": "SELECT 1" }));
    assert_eq!(api.post("aud", "/policy/{database}/test", &["shop"], json!({}))["passed"], true);
    api.refused(404, "aud", "POST /policy/{database}/test", &["none"], json!({}));
}

fn delegations(api: &Api<'_>) {
    let until = |text: &str| json!({ "to": "corp:liv", "groups": ["support-leads"], "until": text, "reason": "away" });
    let overview = api.get("vera", "/overview", &[]);
    let year: u32 = overview["at"].as_str().and_then(|at| at.get(..4)).unwrap().parse().unwrap();
    let made = api.post("lee", "/delegations", &[], until(&format!("{}-01-31T18:00:00Z", year + 1)));
    api.refused(400, "lee", "POST /delegations", &[], until("soon"));
    assert_eq!(api.get("lee", "/delegations", &[])["items"][0]["id"], made["id"]);
    api.refused(403, "vera", "GET /delegations", &[], Value::Null);
    let (id, end) = (made["id"].as_str().unwrap(), "DELETE /api/v1/delegations/{id}");
    api.refused(403, "ann", "DELETE /delegations/{id}", &[id], Value::Null);
    assert_eq!(api.ask("lee", end, &[id], &Value::Null).0, 200);
    api.refused(404, "lee", "DELETE /delegations/{id}", &["none"], Value::Null);
}

fn oneself(api: &Api<'_>) {
    assert_eq!(api.get("ann", "/me", &[])["roles"], json!([]));
    assert_eq!(api.get("olaf", "/me", &[])["roles"], json!(["viewer", "auditor", "operator"]));
    assert_eq!(api.get("ann", "/openapi.json", &[]), api.document);
    // Whoever is somebody may ask for these two, and nobody else.
    let bearer = "Bearer made-up";
    for path in ["/api/v1/me", "/api/v1/openapi.json"] {
        let answer = request(api.http(), &format!("GET {path}"), &[("Authorization", bearer)], "");
        assert_eq!(answer.status, 401);
        let schema = &api.document["paths"][path]["get"]["responses"]["default"]["content"]["application/json"]
            ["schema"];
        api.fits(path, schema, &answer.json());
        api.asked.borrow_mut().entry(format!("GET {path}")).or_default().insert(false);
    }
}

fn kills(api: &Api<'_>) {
    let live = api.get("olaf", "/sessions", &[]);
    let idle =
        live.as_array().unwrap().iter().find(|it| it["state"] == "idle").unwrap()["id"].as_str().unwrap();
    let killed = api.post("olaf", "/sessions/{id}/kill", &[idle], json!({ "reason": "drill" }));
    assert_eq!(killed["sessions"], json!([idle]));
    api.refused(403, "aud", "POST /sessions/{id}/kill", &[idle], json!({}));
    let amy = json!({ "kind": "identity", "value": "corp:amy", "how": { "reason": "drill", "block_for_seconds": 600 } });
    let killed = api.post("olaf", "/sessions/kill", &[], amy);
    assert!(killed["sessions"].as_array().unwrap().len() == 1 && !killed["block"].is_null(), "{killed:#}");
    let for_good =
        json!({ "kind": "group", "value": "corp:strangers", "how": { "block_until_removed": true } });
    api.post("olaf", "/sessions/kill", &[], for_good);
    api.refused(400, "olaf", "POST /sessions/kill", &[], json!({ "kind": "identity", "value": "" }));
    let blocks = api.get("vera", "/blocks", &[]);
    assert_eq!(blocks.as_array().unwrap().len(), 2);
    api.refused(403, "ann", "GET /blocks", &[], Value::Null);
    let (id, lift) = (blocks[0]["id"].as_str().unwrap(), "DELETE /api/v1/blocks/{id}");
    assert_eq!(api.ask("olaf", lift, &[id], &Value::Null).0, 200);
    api.refused(404, "olaf", "DELETE /blocks/{id}", &[id], Value::Null);
}

fn listen(api: &Api<'_>) -> BufReader<TcpStream> {
    api.refused(403, "ann", "GET /events", &[], Value::Null);
    let mut stream = TcpStream::connect(api.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (host, token) = (api.http(), api.token("vera"));
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    BufReader::new(stream)
}

/// Holds all that was told against the description.
fn told(api: &Api<'_>, events: BufReader<TcpStream>) {
    let content = &api.document["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"];
    let schema = &content["text/event-stream"]["x-gatepost-data"];
    let wanted = ["session", "activity", "refused", "approval", "delegations", "policy"];
    let mut missing = BTreeSet::from(wanted);
    let mut name = String::new();
    for line in events.lines().map_while(Result::ok) {
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ")
            && !matches!(name.as_str(), "hello" | "beat" | "resync" | "bye")
        {
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["event"], name.as_str());
            api.fits(&format!("the event {name}"), schema, &data);
            missing.remove(name.as_str());
        }
        if missing.is_empty() {
            api.asked.borrow_mut().entry("GET /api/v1/events".to_owned()).or_default().insert(true);
            return;
        }
    }
    panic!("nothing was told of {missing:?}");
}

#[test]
fn the_api_s_description_leaves_nothing_open() {
    let document = description();
    let mut found = BTreeSet::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        open(schema, name, &mut found);
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (verb, operation) in operations.as_object().unwrap() {
            let none = Map::new();
            for content in operation["responses"]["200"]["content"].as_object().unwrap_or(&none).values() {
                open(&content["schema"], &format!("{verb} {path}"), &mut found);
            }
        }
    }
    // Of statements of a text as of the whole.
    found.retain(|path| !path.starts_with("ExplainedStatement."));
    let expected: BTreeSet<String> = OPEN.into_iter().map(str::to_owned).collect();
    assert_eq!(found, expected);

    let mut strict = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    close(&mut strict, true);
    let validator = jsonschema::draft202012::new(&strict).unwrap();
    assert!(validator.is_valid(&json!({ "a": "b" })) && !validator.is_valid(&json!({ "a": "b", "c": 1 })));
}
