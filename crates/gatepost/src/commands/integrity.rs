//! `gatepost audit verify`, `prove` and `keygen`: what the audit trail's signatures and hashes say, by its files and public keys alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::{Anchor, Seq, Start};
use checkpoint::{Note, Trust, VerifierKey};
use config::{Key, SecretRef};
use journal::examine::{Examination, Expected, examine};
use journal::proof::{Proof, Proved, prove, prove_consistency};
use serde_json::Value;

use crate::args;
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

/// A record that a running gateway is just writing looks unfinished; that passes.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

pub(crate) fn verify(config: Option<&Path>, asked: args::Verify) -> Result<Status, Failure> {
    let args::Verify { journals, keys, checkpoints, anchors, retained, proof, format } = asked;
    let mut trust = keys.iter().map(|text| read_keys(text)).collect::<Result<Vec<_>, _>>()?.concat();
    if let Some(proof) = proof {
        return verify_proof(&proof, &Trust::new(trust), format);
    }
    let mut dirs = journals;
    if dirs.is_empty() {
        let config = settings::load(config)?;
        if trust.is_empty() {
            trust = configured_keys(&config)?;
        }
        dirs.push(config.journal.path);
    }
    let expected = Expected {
        start: if retained { Start::Retained } else { Start::Genesis },
        anchors: anchors.iter().map(|text| anchor(text)).collect::<Result<_, _>>()?,
        checkpoints: checkpoints
            .iter()
            .map(|path| read_checkpoints(path))
            .collect::<Result<Vec<_>, _>>()?
            .concat(),
        trust: Trust::new(trust),
    };
    if dirs.len() > 1 && !expected.anchors.is_empty() {
        return Err(Failure::usage("--anchor is of one journal; give one --journal with it".to_owned()));
    }
    let mut all = Vec::new();
    for dir in &dirs {
        let mut found = examined(dir, &expected)?;
        for _ in 1..TRIES {
            if found.torn.is_none() {
                break;
            }
            std::thread::sleep(BETWEEN_TRIES);
            found = examined(dir, &expected)?;
        }
        all.push((dir, Standing::of(&found, &expected), found));
    }
    let status = match all.iter().any(|(_, standing, _)| standing.is_bad()) {
        true => Status::CheckFailed,
        false => Status::Success,
    };
    show(&all, &expected, format)?;
    Ok(status)
}

fn examined(dir: &Path, expected: &Expected) -> Result<Examination, Failure> {
    examine(dir, expected.clone()).map_err(|error| Failure::of(&error))
}

/// How a journal stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Whole,
    /// Whole, but for a record at its end that is being written, or never was.
    Unfinished,
    /// Whole, and of no key that was given.
    Unsigned,
    Damaged,
}

impl Standing {
    fn of(found: &Examination, expected: &Expected) -> Self {
        if !found.is_whole() {
            Self::Damaged
        // SECURITY: whoever asks for signatures by a key is not told that all is well where there are none.
        } else if !expected.trust.is_empty() && found.signed.is_none() {
            Self::Unsigned
        } else if found.torn.is_some() {
            Self::Unfinished
        } else {
            Self::Whole
        }
    }

    const fn is_bad(self) -> bool {
        matches!(self, Self::Unsigned | Self::Damaged)
    }

    fn cell(self) -> Cell {
        match self {
            Self::Whole => Cell::toned(Tone::Good, "whole"),
            Self::Unfinished => Cell::toned(Tone::Warning, "unfinished"),
            Self::Unsigned => Cell::toned(Tone::Bad, "unsigned"),
            Self::Damaged => Cell::toned(Tone::Bad, "damaged"),
        }
    }
}

fn facts(
    dir: &Path,
    standing: Standing,
    found: &Examination,
    expected: &Expected,
) -> Vec<(&'static str, Cell)> {
    let Examination { journal, first, head, records, segments, bytes, times, clock_steps, .. } = found;
    let Examination {
        findings,
        more_findings,
        torn,
        holes,
        checkpoints,
        strange,
        stranger,
        signed,
        keys,
        ..
    } = found;
    let or_null = |text: Option<String>| text.map_or(Value::Null, Value::from);
    let told = torn.iter().chain(findings).map(ToString::to_string);
    let mut told: Vec<String> = if standing == Standing::Whole { Vec::new() } else { told.collect() };
    if *more_findings > 0 {
        told.push(format!("and {more_findings} more"));
    }
    if standing == Standing::Unsigned {
        told.push("no checkpoint is signed by a key that was given".to_owned());
    }
    let is_good = !expected.trust.is_empty();
    let covered = signed.map(|(record, size)| format!("records 1 to {size}, by checkpoint record {record}"));
    let unsigned = signed.map(|(_, size)| head.seq.0.saturating_sub(size));
    let holes =
        holes.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from} to {to}") });
    let mut facts = vec![
        ("standing", standing.cell()),
        ("folder", Cell::new(dir.display().to_string())),
        ("journal", Cell::new(or_null(journal.map(|journal| journal.to_string())))),
        ("records", Cell::new(*records)),
        ("segments", Cell::new(*segments)),
        ("bytes", Cell::new(*bytes)),
        ("first", Cell::new(first.0)),
        ("last", Cell::new(head.seq.0)),
        ("from", Cell::new(or_null(times.map(|(from, _)| from.to_string())))),
        ("until", Cell::new(or_null(times.map(|(_, until)| until.to_string())))),
        ("clock_steps", Cell::new(*clock_steps)),
        ("checkpoints", Cell::new(*checkpoints)),
    ];
    facts.push((
        "signed",
        match covered {
            Some(covered) => Cell::toned(Tone::Good, covered),
            None if is_good => Cell::toned(Tone::Bad, "nothing"),
            None => Cell::toned(Tone::Warning, "not checked: give --key"),
        },
    ));
    facts.push(("not_yet_signed", Cell::new(unsigned.map_or(Value::Null, Value::from))));
    facts.push(("keys", Cell::new(Value::from(keys.clone()))));
    if *strange > 0 && is_good {
        let by = stranger.clone().unwrap_or_default();
        facts.push((
            "other_signers",
            Cell::toned(
                Tone::Warning,
                format!("{strange} checkpoints by keys that were not given, the last by {by}"),
            ),
        ));
    }
    facts.push(("missing", Cell::new(Value::from(holes.collect::<Vec<_>>()))));
    facts.push((
        "found",
        match told.first() {
            None => Cell::new(Value::Null),
            Some(first) => {
                Cell::toned(if standing.is_bad() { Tone::Bad } else { Tone::Warning }, first.clone())
            }
        },
    ));
    facts.push(("findings", Cell::new(Value::from(told))));
    facts.push(("anchor", Cell::new(format!("{}:{}", head.seq, head.hash))));
    facts
}

fn show(
    all: &[(&PathBuf, Standing, Examination)],
    expected: &Expected,
    format: Format,
) -> Result<(), Failure> {
    let mut out = Out::new();
    let facts = all.iter().map(|(dir, standing, found)| facts(dir, *standing, found, expected));
    match format {
        Format::Table => {
            for (at, facts) in facts.enumerate() {
                if at > 0 {
                    out.line("")?;
                }
                let rows = facts.into_iter().flat_map(|(name, cell)| lines(name, cell)).collect::<Vec<_>>();
                out.table(Format::Table, &["fact", "value"], &rows)?;
            }
            Ok(())
        }
        Format::Json => {
            let mut names = Vec::new();
            let mut rows = Vec::new();
            for facts in facts {
                // One that not every journal has is about people's reading.
                let facts = facts.into_iter().filter(|(name, _)| *name != "other_signers");
                let (these, cells): (Vec<_>, Vec<_>) = facts.unzip();
                names = these;
                rows.push(cells);
            }
            out.table(Format::Json, &names, &rows)
        }
    }
}

/// A fact as lines of a table: none where it says nothing, one for each of several.
fn lines(name: &str, cell: Cell) -> Vec<Vec<Cell>> {
    match cell.value() {
        Value::Null => Vec::new(),
        Value::Array(_) if name == "findings" => {
            let items = cell.value().as_array().cloned().unwrap_or_default();
            // The first is told above.
            items
                .into_iter()
                .skip(1)
                .map(|item| vec![Cell::new("found"), Cell::toned(Tone::Bad, item)])
                .collect()
        }
        Value::Array(items) => {
            items.iter().map(|item| vec![Cell::new(name), Cell::new(item.clone())]).collect()
        }
        _ => vec![vec![Cell::new(name), cell]],
    }
}

fn anchor(text: &str) -> Result<Anchor, Failure> {
    let read = || {
        let (seq, hash) = text.split_once(':')?;
        Some(Anchor { seq: Seq(seq.parse().ok()?), hash: hash.parse().ok()? })
    };
    read().ok_or_else(|| {
        Failure::usage(format!(
            "--anchor \"{text}\" must be a record's number, a colon and 64 hexadecimal digits"
        ))
    })
}

fn can_t_read(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::caused(&format!("can't read \"{path}\""), error)
}

/// Reads a key, or a file of keys.
fn read_keys(text: &str) -> Result<Vec<VerifierKey>, Failure> {
    if let Ok(key) = text.parse() {
        return Ok(vec![key]);
    }
    let path = Path::new(text);
    let lines = fs::read_to_string(path).map_err(can_t_read(path))?;
    let keys =
        lines.lines().filter(|line| !line.trim().is_empty()).map(str::parse).collect::<Result<Vec<_>, _>>();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        _ => Err(Failure::usage(format!(
            "--key \"{text}\" is neither a public key, NAME+ID+KEY, nor a file of such lines"
        ))),
    }
}

/// The public keys that the configuration leads to; none where it leads to none.
fn configured_keys(config: &config::Config) -> Result<Vec<VerifierKey>, Failure> {
    let signing = &config.journal.signing;
    let mut keys = Vec::new();
    for signer in [Some(&signing.signer), signing.previous.as_ref()].into_iter().flatten() {
        let private = match &signer.key {
            Key::Own => config.state.join(config::OWN_KEY_FILE),
            Key::Private(SecretRef::File(path)) => path.clone(),
            Key::Private(_) => continue,
            Key::Command { public_key, command: _ } => {
                keys.extend(read_keys(public_key)?);
                continue;
            }
        };
        let public = server::signing::public_path(&private);
        if public.exists() {
            keys.extend(read_keys(&public.display().to_string())?);
        }
    }
    Ok(keys)
}

/// Reads the notes of a file, one after another.
fn read_checkpoints(path: &Path) -> Result<Vec<Note>, Failure> {
    let text = fs::read_to_string(path).map_err(can_t_read(path))?;
    let mut notes = Vec::new();
    let mut note = String::new();
    // A note ends with its signatures, and the next begins where a line is none.
    let mut signed = false;
    for line in text.split_inclusive('\n') {
        let is_signature = line.starts_with('\u{2014}');
        if signed && !is_signature {
            notes.push(std::mem::take(&mut note));
            signed = false;
            if line.trim().is_empty() {
                continue;
            }
        }
        signed = signed || is_signature;
        note.push_str(line);
    }
    if !note.trim().is_empty() {
        notes.push(note);
    }
    let parsed = notes.iter().map(|note| Note::parse(note)).collect::<Result<Vec<_>, _>>();
    parsed.map_err(|error| Failure::usage(format!("\"{}\": {error}", path.display())))
}

fn verify_proof(path: &Path, trust: &Trust, format: Format) -> Result<Status, Failure> {
    let document = fs::read_to_string(path).map_err(can_t_read(path))?;
    let mut out = Out::new();
    let (status, facts) = match Proof::verify(&document, trust) {
        Ok(Proved::Record { origin, seq, time, payload, size }) => (
            Status::Success,
            vec![
                ("standing", Cell::toned(Tone::Good, "proven")),
                ("journal", Cell::new(origin)),
                ("record", Cell::new(seq.0)),
                ("time", Cell::new(time.to_string())),
                ("signed", Cell::new(format!("with {size} records"))),
                ("payload", Cell::new(payload)),
            ],
        ),
        Ok(Proved::Consistency { origin, from, to }) => (
            Status::Success,
            vec![
                ("standing", Cell::toned(Tone::Good, "proven")),
                ("journal", Cell::new(origin)),
                ("from", Cell::new(from)),
                ("to", Cell::new(to)),
            ],
        ),
        Err(error) => (
            Status::CheckFailed,
            vec![
                ("standing", Cell::toned(Tone::Bad, "not proven")),
                ("found", Cell::toned(Tone::Bad, error.to_string())),
            ],
        ),
    };
    match format {
        Format::Table => {
            let rows = facts.into_iter().map(|(name, cell)| vec![Cell::new(name), cell]).collect::<Vec<_>>();
            out.table(Format::Table, &["fact", "value"], &rows)?;
        }
        Format::Json => {
            let (names, cells): (Vec<_>, Vec<_>) = facts.into_iter().unzip();
            out.table(Format::Json, &names, &[cells])?;
        }
    }
    Ok(status)
}

pub(crate) fn run_prove(dir: &Path, asked: &args::Prove) -> Result<Status, Failure> {
    let args::Prove { journal: _, id, from, to, out } = asked;
    let proof = match (id, from) {
        (Some(id), _) => prove(dir, Seq(*id)),
        (None, Some(from)) => prove_consistency(dir, *from, *to),
        (None, None) => return Err(Failure::usage("say which record, or --from".to_owned())),
    };
    let document = proof.map_err(|error| Failure::of(&error))?.to_json() + "\n";
    match out {
        None => {
            let mut out = Out::new();
            out.text(&document)?;
            out.flush()?;
        }
        Some(path) => {
            let written = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .and_then(|mut file| file.write_all(document.as_bytes()));
            written
                .map_err(|error| Failure::caused(&format!("can't write \"{}\"", path.display()), error))?;
        }
    }
    Ok(Status::Success)
}

pub(crate) fn keygen(asked: &args::Keygen) -> Result<Status, Failure> {
    let args::Keygen { name, out, public_key } = asked;
    let public = match (out, public_key) {
        (Some(out), _) => server::signing::make_key(out, name).map_err(|error| Failure::of(&error))?,
        (None, Some(path)) => {
            let pem = fs::read_to_string(path).map_err(can_t_read(path))?;
            VerifierKey::from_pem(name, &pem).map_err(|error| Failure::of(&error))?
        }
        (None, None) => return Err(Failure::usage("say where to write the key, with --out".to_owned())),
    };
    let mut out = Out::new();
    out.line(&public.to_string())?;
    out.flush()?;
    Ok(Status::Success)
}

#[cfg(test)]
mod tests {
    use super::anchor;

    #[test]
    fn an_anchor_is_a_number_and_a_hash() {
        assert!(anchor(&format!("7:{}", "ab".repeat(32))).is_ok());
        for text in ["7", "7:ab", ":", "x:00"] {
            assert!(anchor(text).is_err(), "{text}");
        }
    }
}
