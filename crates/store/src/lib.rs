//! What gateways share and must not forget: requests for approval, delegations, people seen, browser sessions, notifications to be
//! sent, and which gateways live.
//!
//! Dumb and strict: documents with a few columns to find them by, numbers given once, compare-and-swap. In SQLite, or in PostgreSQL
//! where there are several gateways. Knows no rule of approvals, no policy, no configuration file; has no clock.

#[macro_use]
mod store;

mod change;
mod delegations;
mod error;
mod instances;
mod location;
mod logins;
mod outbox;
mod people;
mod postgres;
mod requests;
mod retention;
mod sqlite;

pub use change::Change;
pub use error::StoreError;
pub use instances::Beat;
pub use location::{Location, Password, Postgres, Tls};
pub use logins::BrowserSession;
pub use outbox::{Delivery, Message, MessageId};
pub use people::Person;
pub use requests::{Kept, RequestFilter, Standing};
pub use retention::{Keep, Swept};
pub use store::{Health, Probe, Store, probe};
