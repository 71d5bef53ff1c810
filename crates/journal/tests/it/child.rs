//! A gateway's life in a process of its own, which is this test binary again: killed at any moment, or out of space.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use journal::{Journal, Options};

use crate::bench::{append, open, records, verified};

const DIR: &str = "JOURNAL_TEST_DIR";

/// Not a test of its own: appends for as long as it lives, where the environment says so, and tells what is kept.
#[test]
fn appends_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let options =
        Options { segment_bytes_max: 30_000, sync_interval: Duration::from_millis(2), ..Options::new(dir) };
    let (journal, _) = Journal::open(options, Box::new(|_| {})).unwrap();
    let mut told = std::io::stdout();
    for n in 0u64.. {
        let text = format!("record {n} {}", "x".repeat((n % 700) as usize));
        let kept = journal.append(&audit::Event::GatewayStopped { reason: &text }, crate::bench::at(n));
        match kept.and_then(|seq| journal.write().map(|_| seq)) {
            Ok(seq) => writeln!(told, "kept {seq} {n}").unwrap(),
            Err(error) => writeln!(told, "refused {error}").unwrap(),
        }
    }
}

fn start(wrapped: &mut Command, dir: &Path) -> Child {
    wrapped
        .args(["--exact", "child::appends_until_killed", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(u64, u64)> = Vec::new();
    for lines in [1, 50, 333, 1200, 7] {
        let mut child = start(&mut Command::new(std::env::current_exe().unwrap()), dir.path());
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let kept = |line: String| {
            let (_, rest) = line.split_once("kept ")?;
            let (seq, n) = rest.split_once(' ')?;
            Some((seq.parse().unwrap(), n.parse().unwrap()))
        };
        acknowledged.extend(output.by_ref().filter_map(kept).take(lines));
        child.kill().unwrap();
        // What it still told before it died counts too; a line cut short does not.
        acknowledged.extend(
            output.filter(|line| line.split(' ').count() == 3).filter_map(kept).filter(|(seq, _)| *seq > 0),
        );
        child.wait().unwrap();

        let (journal, recovery) = open(dir.path());
        assert!(recovery.last.0 >= acknowledged.last().unwrap().0);
        append(&journal, "opened");
        journal.close().unwrap();
        verified(dir.path());
        let records = records(dir.path());
        for (seq, n) in &acknowledged {
            let record = records[*seq as usize - 1].as_record();
            let text = std::str::from_utf8(record.payload).unwrap();
            assert!(text.contains(&format!("record {n} ")), "record {seq}: {text}");
        }
    }
}

/// Runs the child with little room: on a small file system of its own, or, where the system forbids that, under a limit on
/// the size of a file, which a write meets in the same way.
fn cramped(dir: &Path) -> Child {
    let test = std::env::current_exe().unwrap();
    let mount = "mount -t tmpfs -o size=256k none \"$1\" && shift && exec \"$@\"";
    let allowed = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, "sh"])
        .arg(dir)
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if allowed {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", mount, "sh"]).arg(dir).arg(test);
        start(&mut command, &dir.join("journal"))
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"]).arg(test);
        start(&mut command, &dir.join("journal"))
    }
}

#[test]
fn a_full_disk_refuses_what_it_cant_keep() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = cramped(dir.path());
    let output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut kept = 0;
    let mut refused = 0;
    for line in output {
        if line.contains("kept ") {
            assert_eq!(refused, 0, "kept again although no space came free");
            kept += 1;
        } else if line.contains("refused ") {
            assert!(line.contains("write failed") || line.contains("new segment failed"), "{line}");
            refused += 1;
        }
        if refused == 100 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(kept > 20, "{kept}");
    assert_eq!(refused, 100);
}
