//! What monitoring reads: counters, and what is so at the moment. Knows no HTTP.

use std::collections::BTreeMap;
use std::time::SystemTime;

use store::{RequestFilter, Standing};

use super::{Control, State};
use crate::metrics::Page;

/// What a session may be at, and `unknown` for one that did not say in time.
const STATES: [&str; 9] = [
    "authenticating",
    "connecting",
    "idle",
    "idle in transaction",
    "idle in failed transaction",
    "deciding",
    "held",
    "running",
    "unknown",
];

impl Control {
    /// Whether whoever reads numbers must do so over the local socket.
    pub fn metrics_are_local(&self) -> bool {
        self.gateway.config.telemetry.metrics == config::Metrics::Local
    }

    /// Writes the gateway's numbers in the text format of Prometheus, version 0.0.4. `event_streams`: how many look on over HTTP.
    ///
    /// SECURITY: no identity, no text and nothing that a client made up is in it; of databases only those that are configured.
    pub async fn metrics(&self, event_streams: usize) -> String {
        let mut page = Page::default();
        let gateway = &self.gateway;
        let version = env!("CARGO_PKG_VERSION");
        page.family("gatepost_build_info", "gauge", "Always 1; its label tells the version.");
        page.sample("gatepost_build_info", &[("version", version)], 1);
        page.gauge(
            "gatepost_ready",
            "1: clients are welcome; 0: they should be sent elsewhere.",
            Some(u8::from(self.not_ready().is_none())),
        );
        let started = gateway.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.gauge(
            "process_start_time_seconds",
            "When the gateway was started, in seconds since 1970.",
            Some(started.as_secs_f64()),
        );
        let memory = tokio::task::spawn_blocking(resident).await.ok().flatten();
        page.gauge("process_resident_memory_bytes", "Memory that the process has.", memory);
        self.statement_metrics(&mut page);
        gateway.metrics.write(&mut page);
        self.span_metrics(&mut page);
        self.session_metrics(&mut page).await;
        self.journal_metrics(&mut page).await;
        self.store_metrics(&mut page).await;
        gateway.outgoing.write(&mut page, gateway.journal().appended());
        page.gauge(
            "gatepost_event_streams",
            "Streams of events that are open over HTTP.",
            Some(event_streams),
        );
        page.finish()
    }

    fn served_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.gateway.databases.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn statement_metrics(&self, page: &mut Page) {
        let databases = self.served_names();
        let (tally, failing) = {
            let observed = self.gateway.views.observed.lock();
            let failing: Vec<_> = databases.iter().map(|it| observed.upstream(it).failing).collect();
            (observed.tally(), failing)
        };
        tally.write(page, &databases, self.gateway.metrics.unrecorded_total());
        let name = "gatepost_upstream_failing";
        page.family(name, "gauge", "1: the last login to the database failed that is known of.");
        for (database, failing) in databases.iter().zip(failing) {
            page.sample(name, &[("database", database)], u8::from(failing));
        }
    }

    fn span_metrics(&self, page: &mut Page) {
        let none = otlp::Counts::default();
        let counts = self.gateway.traces.as_ref().map_or(&none, |traces| traces.counts());
        page.counter("gatepost_spans_sent_total", "Spans that the collector has taken.", counts.sent());
        let name = "gatepost_spans_dropped_total";
        page.family(name, "counter", "Spans that no collector has, by why.");
        for (reason, count) in [
            ("queue_full", counts.queue_full()),
            ("undelivered", counts.undelivered()),
            ("rejected", counts.rejected()),
        ] {
            page.sample(name, &[("reason", reason)], count);
        }
        page.gauge("gatepost_spans_queued", "Spans that wait to be sent.", Some(counts.queued()));
    }

    async fn session_metrics(&self, page: &mut Page) {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for database in self.served_names() {
            counts.extend(STATES.map(|state| ((database, state), 0)));
        }
        for session in self.sessions().await {
            let state = match session.activity.map(|activity| activity.state) {
                Some(State::Ended) => continue,
                Some(state) => state.as_str(),
                None => "unknown",
            };
            // Who is nobody yet may have asked for anything.
            let known = self.gateway.databases.get_key_value(&session.database);
            *counts.entry((known.map_or("", |it| it.0), state)).or_default() += 1;
        }
        let name = "gatepost_sessions";
        page.family(
            name,
            "gauge",
            "Sessions, by database and what they are at; without a database those that asked for one that is not served.",
        );
        for ((database, state), count) in counts {
            page.sample(name, &[("database", database), ("state", state)], count);
        }
        let most = self.gateway.config.limits.connections_max as usize;
        let used = most.saturating_sub(self.gateway.connections.available_permits());
        page.gauge("gatepost_connections", "Connections of PostgreSQL clients that are open.", Some(used));
        page.gauge("gatepost_connections_max", "How many may be: limits.connections_max.", Some(most));
    }

    async fn journal_metrics(&self, page: &mut Page) {
        let journal = self.gateway.journal();
        // In this order, so that no lag is negative.
        let (durable, written) = (journal.durable().0, journal.written().0);
        let appended = journal.appended().0;
        let failures = self.gateway.kept().borrow().failures;
        let health = self.journal_health().await;
        let name = "gatepost_journal_sequence";
        page.family(
            name,
            "gauge",
            "The number of the journal's last record that was appended, that has left the process, and that is on disk.",
        );
        for (stage, seq) in [("appended", appended), ("written", written), ("durable", durable)] {
            page.sample(name, &[("stage", stage)], seq);
        }
        page.gauge(
            "gatepost_journal_lag_records",
            "Records that are appended and not on disk yet.",
            Some(appended.saturating_sub(durable)),
        );
        page.gauge(
            "gatepost_journal_uncounted_records",
            "Records that the counts of statements, logins, errors and incidents don't have yet.",
            Some(health.views_lag),
        );
        let index = self.index_health();
        page.gauge(
            "gatepost_index_behind_records",
            "Records that the index of the journal doesn't have yet.",
            index.as_ref().map(|index| index.behind),
        );
        page.gauge(
            "gatepost_index_faulted",
            "1: the index of the journal can't be kept up to date at present; searches read the journal.",
            index.map(|index| u8::from(index.fault.is_some())),
        );
        page.gauge(
            "gatepost_journal_faulted",
            "1: records can't be kept at present, and statements are refused.",
            Some(u8::from(health.fault.is_some())),
        );
        page.gauge(
            "gatepost_journal_unsigned_records",
            "Records that are on disk and covered by no signed checkpoint yet.",
            Some(durable.saturating_sub(journal.signed().0)),
        );
        page.gauge(
            "gatepost_journal_signing_faulted",
            "1: the last checkpoint could not be signed.",
            Some(u8::from(journal.signing_fault().is_some())),
        );
        page.counter(
            "gatepost_journal_failures_total",
            "How often the journal could not be brought to disk.",
            failures,
        );
        page.counter(
            "gatepost_journal_unrecorded_total",
            "Turns of sessions that were refused because their record could not be kept.",
            self.gateway.metrics.unrecorded_total(),
        );
        page.gauge(
            "gatepost_journal_disk_free_bytes",
            "Bytes that are free where the journal is.",
            health.disk_free,
        );
    }

    async fn store_metrics(&self, page: &mut Page) {
        let store = &self.gateway.store;
        let open = RequestFilter { states: [Standing::Open].into(), ..RequestFilter::default() };
        let due = RequestFilter { review_due: true, ..RequestFilter::default() };
        let (open, due, health) =
            tokio::join!(store.count_requests(&open), store.count_requests(&due), self.store_health());
        page.gauge(
            "gatepost_store_up",
            "0: the store does not answer, and statements that need approval are refused. What comes from it is left out then.",
            Some(u8::from(health.fault.is_none())),
        );
        page.gauge(
            "gatepost_approvals_open",
            "Requests for approval that wait, of all gateways with the same store.",
            open.ok(),
        );
        page.gauge(
            "gatepost_approvals_review_due",
            "Break-glasses that nobody has reviewed, likewise.",
            due.ok(),
        );
        page.gauge(
            "gatepost_outbox_messages",
            "Messages to approvers that wait to be sent, likewise.",
            health.outbox,
        );
        page.gauge(
            "gatepost_store_gateways",
            "Gateways that have shown signs of life in the store.",
            health.gateways,
        );
    }
}

/// Returns the memory of this process that is in RAM, in bytes: `VmRSS` of proc_pid_status(5), which is in KiB.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}
