//! Processes of their own: killed in the middle, on a disk that is full, and two at once.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use approval::{Number, Stamp};
use store::{Location, RequestFilter, Store};

use crate::ask;
use crate::sqlite::at;

/// Says to [`writes_until_it_ends`] where to write.
const STORE: &str = "GATEPOST_TEST_STORE";

/// Opens requests for ever, if it is told where, and says each number when it is acknowledged. Otherwise nothing: only
/// other tests have use for it.
#[tokio::test]
async fn writes_until_it_ends() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = Store::open(at(Path::new(&path))).await.unwrap();
    loop {
        match store.open_request(&ask("SELECT 1"), "child", Stamp(1), Stamp(2)).await {
            Ok(request) => println!("number {}", request.number),
            Err(error) => {
                println!("error {error}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
}

struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        // Over the limit of a file's size the kernel sends a signal, unless it is ignored; a full disk sends none.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(program)
            .args(["crash::writes_until_it_ends", "--exact", "--nocapture"])
            .env(STORE, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that begins so, without that.
    fn next(&mut self, word: &str) -> Option<String> {
        self.lines.find_map(|line| Some(line.ok()?.split_once(word)?.1.to_owned()))
    }

    fn numbers(&mut self, many: usize) -> Vec<u64> {
        (0..many).map(|_| self.next("number ").unwrap().parse().unwrap()).collect()
    }

    fn limit_files(&self, bytes: &str) {
        let fsize = format!("--fsize={bytes}:unlimited");
        let pid = self.child.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, &fsize]).status().unwrap().success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn numbers(location: Location) -> BTreeSet<u64> {
    let store = Store::open(location).await.unwrap();
    let mut all = BTreeSet::new();
    let mut before = None;
    loop {
        let page = store.requests(&RequestFilter { before, ..RequestFilter::default() }).await.unwrap();
        let Some(last) = page.last() else { return all };
        before = Some(Number(last.request.number.0));
        all.extend(page.iter().map(|kept| kept.request.number.0));
    }
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acknowledged = BTreeSet::new();
    for round in 1..=4 {
        let mut writer = Writer::start(&path);
        acknowledged.extend(writer.numbers(round * 7));
        writer.child.kill().unwrap();
        while let Some(number) = writer.next("number ") {
            // A line that was cut is no acknowledgement.
            acknowledged
                .extend(number.parse::<u64>().ok().filter(|number| acknowledged.last() < Some(number)));
        }
        writer.child.wait().unwrap();
        let there = numbers(at(&path)).await;
        assert!(acknowledged.is_subset(&there), "{acknowledged:?} {there:?}");
    }
}

#[tokio::test]
async fn two_processes_never_give_the_same_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (mut one, mut two) = (Writer::start(&path), Writer::start(&path));
    let given: Vec<_> = one.numbers(40).into_iter().chain(two.numbers(40)).collect();
    let distinct: BTreeSet<_> = given.iter().copied().collect();
    assert_eq!(given.len(), distinct.len());
    drop((one, two));
    assert!(distinct.is_subset(&numbers(at(&path)).await));
}

#[tokio::test]
async fn a_full_disk_is_said_and_heals_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut writer = Writer::start(&path);
    let mut acknowledged: BTreeSet<_> = writer.numbers(5).into_iter().collect();
    writer.limit_files("16384");
    let error = loop {
        let line = writer.lines.next().unwrap().unwrap();
        match line.split_once(' ') {
            Some(("number", number)) => _ = acknowledged.insert(number.parse().unwrap()),
            Some(("error", error)) => break error.to_owned(),
            _ => {}
        }
    };
    assert!(error.contains("store.db"), "{error}");
    writer.limit_files("unlimited");
    acknowledged.extend(writer.numbers(5));
    drop(writer);
    assert!(acknowledged.is_subset(&numbers(at(&path)).await));
}
