//! The thread that reads the journal as it is written, and adds up what it says.
//!
//! Not on the way of any statement: it reads files that are written anyway, and when it is late, counts are late.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use audit::Time;
use journal::search::Follower;

use super::Views;
use super::live::LiveKind;
use crate::gateway::Gateway;

/// How often it looks whether something was written.
const PAUSE: Duration = Duration::from_millis(50);
/// How often activity is told.
const ACTIVITY: Duration = Duration::from_secs(1);
/// At the start, it reads what was written since then,
const REBUILT: Duration = Duration::from_secs(24 * 3600);
/// but about so much at most: some hundred thousand statements, and some seconds.
const REBUILT_BYTES: u64 = 512 << 20;
/// Records that are taken in before others may look at the counts.
const BATCH: usize = 64;
/// After an error, until it is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(30);

/// Starts the thread. It ends with the gateway.
///
/// # Errors
/// The operating system gives no thread.
pub(crate) fn watch(gateway: &Arc<Gateway>) -> std::io::Result<()> {
    let gateway = Arc::downgrade(gateway);
    std::thread::Builder::new().name("views".to_owned()).spawn(move || run(&gateway)).map(drop)
}

fn run(gateway: &Weak<Gateway>) {
    let mut follower: Option<Follower> = None;
    let mut told = Instant::now();
    loop {
        let Some(gateway) = gateway.upgrade() else { return };
        let views = &gateway.views;
        let pause = match step(views, &mut follower, &gateway) {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::error!(
                    error = oidc::chain(&error),
                    "the audit journal can't be read: what the console counts stands still"
                );
                AFTER_ERROR
            }
        };
        if told.elapsed() >= ACTIVITY {
            told = Instant::now();
            let mut observed = views.observed.lock();
            let statements = observed.activity();
            if statements > 0 && observed.caught_up {
                views.live.tell(LiveKind::Activity { statements });
            }
        }
        drop(gateway);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

/// Takes in what there is of records, but not too many; true if there may be more.
fn step(
    views: &Views,
    follower: &mut Option<Follower>,
    gateway: &Gateway,
) -> Result<bool, journal::reader::ReadError> {
    let follower = match follower {
        Some(follower) => follower,
        None => {
            let since = SystemTime::now().checked_sub(REBUILT).unwrap_or(SystemTime::UNIX_EPOCH);
            follower.insert(Follower::new(views.index.clone(), Time::from(since), REBUILT_BYTES)?)
        }
    };
    // Without a look at the disk where nothing was written.
    if follower.position() > gateway.journal().written() {
        views.observed.lock().caught_up = true;
        return Ok(false);
    }
    let mut observed = views.observed.lock();
    let live = observed.caught_up.then_some(&views.live);
    for _ in 0..BATCH {
        if !follower.read(|record, view| observed.take(record, view, live))? {
            observed.caught_up = true;
            return Ok(false);
        }
    }
    Ok(true)
}
