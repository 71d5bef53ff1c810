//! The fuzz targets on generated inputs: seeds, and seeds with bytes changed, cut, doubled and spliced, from a fixed
//! start. `FUZZ_ITERATIONS` says how many for each target; a finding is printed and becomes a test of its crate.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: what fails here fails it"
)]

use std::path::{Path, PathBuf};
use std::{env, fs, panic};

use fuzz::TARGETS;
use model::Oid;
use wire::backend;
use wire::error::{ErrorFields, Severity};
use wire::frontend::{Target, encode};
use wire::startup::ProtocolVersion;

#[test]
fn targets_hold_on_generated_inputs() {
    let iterations = env::var("FUZZ_ITERATIONS").map_or(5_000, |text| text.parse().expect("a number"));
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for number in 0..seeds.len() + iterations {
            let input = seeds.get(number).cloned().unwrap_or_else(|| mutate(&seeds, &mut random));
            let outcome = panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name}, input {number}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

/// xorshift64*, so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % limit.max(1)
    }
}

fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const ODD: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\'', b'"', b'\\', b'$', b'(', b'{', b';'];
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        let to = at + random.below((input.len() + 1 - at).min(64));
        match random.below(7) {
            0 if at < input.len() => input[at] = ODD[random.below(ODD.len())],
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => input.truncate(at),
            3 => drop(input.drain(at..to)),
            4 => {
                let piece = input[at..to].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.insert(at, ODD[random.below(ODD.len())]),
        }
    }
    input
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "frontend" => client_messages(),
        "backend" => server_messages(),
        "startup" => beginnings(),
        "sql" => lines("../crates/sql/testdata"),
        "querytree" => lines("../crates/querytree/testdata/trees"),
        other => panic!("{other} has no seeds"),
    }
}

fn client_messages() -> Vec<Vec<u8>> {
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    vec![
        write(&|out| encode::query(out, b"SELECT 1").unwrap()),
        write(&|out| encode::parse(out, b"s", b"SELECT $1", [Oid(23), Oid(0)]).unwrap()),
        write(&|out| encode::bind(out, b"p", b"s", [0, 1], [Some(&b"x"[..]), None], [1]).unwrap()),
        write(&|out| {
            encode::describe(out, Target::Statement, b"s").unwrap();
            encode::execute(out, b"p", 10).unwrap();
            encode::close(out, Target::Portal, b"p").unwrap();
            encode::flush(out);
            encode::sync(out);
        }),
        write(&|out| {
            encode::copy_data(out, b"1\tone\n").unwrap();
            encode::copy_done(out);
            encode::copy_fail(out, b"no").unwrap();
            encode::terminate(out);
        }),
        write(&|out| encode::password(out, b"secret").unwrap()),
        write(&|out| encode::sasl_initial_response(out, b"SCRAM-SHA-256", Some(b"n,,n=,r=abc")).unwrap()),
    ]
}

fn server_messages() -> Vec<Vec<u8>> {
    let column = backend::Field {
        name: b"id",
        table_oid: Oid(16384),
        attnum: 1,
        type_oid: Oid(23),
        typlen: 4,
        typmod: -1,
        format: 0,
    };
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    vec![
        write(&|out| backend::encode::row_description(out, [column, column]).unwrap()),
        write(&|out| backend::encode::data_row(out, [Some(&b"1"[..]), None, Some(b"")]).unwrap()),
        write(&|out| {
            backend::encode::command_complete(out, b"SELECT 1").unwrap();
            backend::encode::ready_for_query(out, backend::TransactionStatus::Idle);
        }),
        write(&|out| {
            let fields = ErrorFields::new(Severity::Error, wire::sqlstate::SYNTAX_ERROR, "no").hint("so");
            backend::encode::error_response(out, &fields);
            backend::encode::notice_response(out, &fields.detail("d").position(3));
        }),
        write(&|out| {
            backend::encode::parameter_status(out, b"TimeZone", b"UTC").unwrap();
            backend::encode::backend_key_data(out, 1, b"1234").unwrap();
            backend::encode::notification_response(out, 1, b"channel", b"payload").unwrap();
            backend::encode::parameter_description(out, [Oid(25)]).unwrap();
        }),
        write(&|out| backend::encode::authentication_sasl(out, ["SCRAM-SHA-256", "OAUTHBEARER"]).unwrap()),
    ]
}

fn beginnings() -> Vec<Vec<u8>> {
    let start = |parameters: &[(&str, &str)]| {
        let mut out = Vec::new();
        encode::startup(&mut out, ProtocolVersion::V3_2, parameters.iter().copied()).unwrap();
        out
    };
    let mut ssl = Vec::new();
    encode::ssl_request(&mut ssl);
    let mut cancel = Vec::new();
    encode::cancel_request(&mut cancel, 1, b"1234").unwrap();
    vec![
        start(&[("user", "a"), ("database", "b")]),
        start(&[("user", "a"), ("options", "-c search_path=a\\ b --work-mem=1MB"), ("_pq_.x", "y")]),
        ssl,
        cancel,
        b"n,,\x01auth=Bearer abc.def.ghi\x01\x01".to_vec(),
        b"n,a=user,\x01host=h\x01port=1\x01auth=\x01\x01".to_vec(),
    ]
}

/// The lines of a crate's test data: statements or trees among others that are none.
fn lines(folder: &str) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut paths);
    paths.sort();
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    let lines = texts.flat_map(|text| text.lines().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
    lines.filter(|line| line.len() > 8).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}
