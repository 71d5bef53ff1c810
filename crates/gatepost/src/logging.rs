//! Where log lines go: standard error, as text or JSON, filtered by `RUST_LOG`. Knows no event.
//!
//! SECURITY: of other crates nothing below `info` is logged, whatever `RUST_LOG` says: what they tell of their work at finer levels is not known to be
//! without values and secrets. Of our own, texts are fixed and fields are chosen, at every level.

use std::io::{self, IsTerminal as _};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use crate::failure::Failure;

/// Our own crates that log.
const OWN: [&str; 8] = ["console", "gatepost", "journal", "oidc", "otlp", "server", "store", "streams"];

/// Whether each line is to be JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// An object on each line.
    Json,
}

/// Starts the log. `RUST_LOG` says what is in it; without it, everything from `info` up.
pub(crate) fn start(format: LogFormat) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text)
            .map_err(|error| Failure::usage(format!("RUST_LOG=\"{text}\" is no filter: {error}")))?,
        _ => EnvFilter::new("info"),
    };
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let started = match format {
        LogFormat::Text => {
            let lines = fmt::layer().with_writer(io::stderr).with_ansi(colour);
            registry().with(lines).with(filter).with(filter_fn(is_ours_or_told)).try_init()
        }
        LogFormat::Json => json(filter, io::stderr).try_init(),
    };
    started.map_err(|error| Failure::new(format!("can't start the log: {error}")))?;
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// Whether standard error takes nothing but objects.
pub(crate) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    registry().with(lines.with_writer(writer)).with(filter).with(filter_fn(is_ours_or_told))
}

/// Whether something may be logged by where it comes from.
fn is_ours_or_told(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || OWN.contains(&of)
}

/// Says where a thread has panicked, and not with which words: the standard library quotes strings in them, which may be anybody's.
fn panicked(info: &PanicHookInfo<'_>) {
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(at, "a defect: a thread has panicked");
}

#[cfg(test)]
mod tests {
    use super::{OWN, json, panicked};
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::fmt::MakeWriter;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn lines(filter: &str, log: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        tracing::subscriber::with_default(json(EnvFilter::new(filter), kept.clone()), log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    #[test]
    fn no_value_breaks_its_line_and_each_has_the_same_members() {
        let hostile = "a\n{\"level\":\"ERROR\"}\r\n\u{1b}[31m\"\\\u{2028}\u{0}\u{202e}é";
        let lines = lines("trace", || {
            tracing::info!(reason = hostile, error = %hostile, path = ?hostile, "{hostile}");
            tracing::trace!(count = 3_u64, is = true, "nothing");
        });
        let [first, second] = lines.as_slice() else { panic!("{lines:#?}") };
        for member in ["reason", "error", "message"] {
            assert_eq!(first[member], hostile, "{member}");
        }
        for line in &lines {
            let time = line["timestamp"].as_str().unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
            assert_eq!(line["target"], "gatepost::logging::tests");
        }
        assert_eq!((&first["level"], &second["level"]), (&"INFO".into(), &"TRACE".into()));
        assert_eq!((&second["count"], &second["is"]), (&3.into(), &true.into()));
    }

    #[test]
    fn others_tell_nothing_of_their_work_whatever_is_asked_for() {
        let lines = lines("trace,hyper=trace", || {
            tracing::debug!(target: "hyper::proto", "no");
            tracing::trace!(target: "sqlx::query", "no");
            tracing::debug!(target: "serverless", "no");
            tracing::info!(target: "sqlx::postgres::notice", "yes");
            tracing::trace!(target: "server::shell", "yes");
        });
        let said: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(said, ["yes", "yes"]);
    }

    #[test]
    fn a_panic_is_told_without_its_words() {
        let before = std::panic::take_hook();
        let lines = lines("info", || {
            std::panic::set_hook(Box::new(panicked));
            let caught = std::panic::catch_unwind(|| panic!("canary"));
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        let [line] = lines.as_slice() else { panic!("{lines:#?}") };
        assert!(line["at"].as_str().unwrap().contains("logging.rs:"), "{line}");
        assert!(!line.to_string().contains("canary"), "{line}");
    }

    #[test]
    fn every_crate_that_logs_is_known_to_be_ours() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let logs = |folder: &std::fs::DirEntry| {
            let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
            manifest.lines().any(|line| line.starts_with("tracing."))
        };
        let found = std::fs::read_dir(crates).unwrap().map(Result::unwrap).filter(logs);
        let mut found: Vec<_> = found.map(|it| it.file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, OWN);
    }
}
