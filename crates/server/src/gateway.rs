//! What all sessions of a gateway share: databases and their policies, issuers, the journal, orders.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use audit::Event;
use identity::Verified;
use journal::Journal;
use oidc::{CodeFlow, Issuers};
use policy::Bundle;
use store::Store;
use tokio::sync::{Semaphore, watch};

use crate::cancel::CancelRegistry;
use crate::desk::Desk;
use crate::kept::Kept;
use crate::legacy::Accounts;
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::outgoing::Outgoing;
use crate::preview::Previews;
use crate::recorder::Recorder;
use crate::roles::Roles;
use crate::rotation::{Certificate, MaskKeys};
use crate::shell::Order;
use crate::traces::Traces;
use crate::trust::{Entry, Refused, Trust};
use crate::upstream::Target;
use crate::views::Views;

/// A database that is served.
pub(crate) struct Served {
    pub(crate) config: config::Database,
    pub(crate) target: Arc<Target>,
    pub(crate) database: Arc<session::Database>,
    bundle: ArcSwap<Bundle>,
    /// At most one login at a time reads the catalog.
    pub(crate) catalog: tokio::sync::Mutex<()>,
    /// The roles of its sessions, where each has its own.
    pub(crate) roles: Option<Arc<Roles>>,
    changes: watch::Sender<()>,
    /// What has been said of this database once and for all.
    told: parking_lot::Mutex<HashSet<String>>,
}

impl Served {
    pub(crate) fn new(
        config: config::Database,
        target: Arc<Target>,
        database: session::Database,
        bundle: Bundle,
        roles: Option<Arc<Roles>>,
    ) -> Self {
        Self {
            config,
            target,
            roles,
            changes: watch::Sender::new(()),
            database: Arc::new(database),
            bundle: ArcSwap::from_pointee(bundle),
            catalog: tokio::sync::Mutex::new(()),
            told: parking_lot::Mutex::default(),
        }
    }

    /// Whether it is the first time that this is to be said.
    pub(crate) fn tell_once(&self, what: String) -> bool {
        self.told.lock().insert(what)
    }

    /// Returns the bundle that decides now.
    pub(crate) fn bundle(&self) -> Arc<Bundle> {
        self.bundle.load_full()
    }

    /// Puts another bundle in force.
    pub(crate) fn replace(&self, bundle: Bundle) {
        self.bundle.store(Arc::new(bundle));
        self.changes.send_replace(());
    }

    /// Tells when another bundle is in force.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// What a reload of the configuration changes.
pub(crate) struct Live {
    /// As it is in the file now. Of what a reload can't change, [`Gateway::config`] tells.
    pub(crate) config: config::Config,
    /// Whose tokens are believed.
    pub(crate) issuers: Issuers,
    /// The same for those who administer the gateway, whose tokens may have to name another audience.
    pub(crate) operators: Issuers,
    /// How people log in with a browser, if they do.
    pub(crate) login: Option<Arc<CodeFlow>>,
}

/// What is written of what happens: the journal and how far it has come, what is counted, spans.
pub(crate) type Told = ((Arc<Journal>, watch::Receiver<Kept>, Outgoing), Arc<Metrics>, Option<Arc<Traces>>);

/// See the module.
pub(crate) struct Gateway {
    /// As it was at the start.
    pub(crate) config: config::Config,
    /// Where it is read again from.
    pub(crate) source: PathBuf,
    pub(crate) databases: HashMap<String, Arc<Served>>,
    /// What was read last, whatever became of it.
    pub(crate) read: parking_lot::Mutex<config::Config>,
    /// One reload at a time.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    live: ArcSwap<Live>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) cancels: Arc<CancelRegistry>,
    pub(crate) tls: Option<Certificate>,
    pub(crate) mask_keys: MaskKeys,
    pub(crate) accounts: Accounts,
    /// What is shared with other gateways.
    pub(crate) store: Store,
    /// Where approvals are asked for and decided.
    pub(crate) desk: Arc<Desk>,
    /// Who is told of them.
    pub(crate) notices: Arc<Notices>,
    /// What approvers were shown of requests.
    pub(crate) previews: Arc<Previews>,
    pub(crate) connections: Arc<Semaphore>,
    /// Permits to read something large: fewer than there are processors, so that one is left for everybody else.
    pub(crate) large: Arc<Semaphore>,
    journal: Arc<Journal>,
    kept: watch::Receiver<Kept>,
    pub(crate) outgoing: Outgoing,
    /// What records sessions, if they are recorded.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// What is counted for monitoring.
    pub(crate) metrics: Arc<Metrics>,
    /// What is told to a collector of spans, if there is one.
    pub(crate) traces: Option<Arc<Traces>>,
    /// What operators are shown.
    pub(crate) views: Views,
    pub(crate) started: SystemTime,
    orders: watch::Sender<Option<Order>>,
}

impl Gateway {
    pub(crate) fn new(
        (config, source): (config::Config, PathBuf),
        databases: HashMap<String, Arc<Served>>,
        (live, trust): (Live, Trust),
        (tls, mask_keys): (Option<Certificate>, MaskKeys),
        accounts: Accounts,
        (store, desk, notices): (Store, Arc<Desk>, Arc<Notices>),
        ((journal, kept, outgoing), metrics, traces): Told,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let connections = Arc::new(Semaphore::new(config.limits.connections_max as usize));
        let views = Views::new(&config.journal.path, journal.appended(), &config.index);
        Self {
            read: parking_lot::Mutex::new(config.clone()),
            reloading: tokio::sync::Mutex::new(()),
            config,
            source,
            databases,
            live: ArcSwap::from_pointee(live),
            trust: Arc::new(trust),
            cancels: Arc::default(),
            tls,
            accounts,
            store,
            desk,
            notices,
            mask_keys,
            recorder: None,
            previews: Arc::default(),
            connections,
            large: Arc::new(Semaphore::new(processors.saturating_sub(1).max(1))),
            journal,
            kept,
            outgoing,
            metrics,
            traces,
            views,
            started: SystemTime::now(),
            orders: watch::Sender::new(None),
        }
    }

    /// Returns what is in force of what can change.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Puts another configuration in force, as far as it can change.
    pub(crate) fn go_live(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// Notes whose a session is, if they may come in.
    pub(crate) fn identify(&self, entry: &Entry, verified: &Verified) -> Result<(), Refused> {
        self.trust.identify(entry, verified, SystemTime::now())
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn kept(&self) -> watch::Receiver<Kept> {
        self.kept.clone()
    }

    /// Tells every session, those to come included.
    pub(crate) fn order(&self, order: Order) {
        self.orders.send_replace(Some(order));
    }

    /// Whether sessions are asked to end, since the gateway does.
    pub(crate) fn is_draining(&self) -> bool {
        self.orders.borrow().is_some()
    }

    /// Resolves with the order that is in force, or the next one.
    pub(crate) fn orders(&self) -> Pin<Box<dyn Future<Output = Order> + Send>> {
        let mut orders = self.orders.subscribe();
        Box::pin(async move {
            loop {
                if let Some(order) = orders.borrow_and_update().clone() {
                    return order;
                }
                if orders.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        })
    }

    /// Resolves with the order after a drain: the end.
    pub(crate) fn orders_after_drain(&self) -> Pin<Box<dyn Future<Output = Order> + Send>> {
        let mut orders = self.orders.subscribe();
        Box::pin(async move {
            loop {
                if let Some(order @ Order::End(_)) = orders.borrow_and_update().clone() {
                    return order;
                }
                if orders.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        })
    }

    /// Records something that is about no session; failure is the caller's to judge.
    pub(crate) fn record(&self, event: &Event<'_>) -> Result<(), journal::JournalError> {
        self.journal.append(event, SystemTime::now())?;
        self.journal.write().map(drop)
    }
}
