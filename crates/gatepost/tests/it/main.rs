//! The binary from outside: exit status, standard output and standard error; and as a gateway between stock clients and
//! PostgreSQL, whole.

#![cfg(test)]

mod api_answers;
mod approvals;
mod archives;
mod asked_before;
mod attacks;
mod audit_trail;
mod browser;
mod cli;
mod clients;
mod confidential;
mod console_api;
mod edges;
mod evidence;
mod explain;
mod extremes;
mod flight;
mod flow;
mod grants;
mod held_drivers;
mod held_kinds;
mod held_roles;
mod holds;
mod http;
mod http_attacks;
mod identities;
mod introspection;
mod journal;
mod kinds;
mod limits;
mod logins;
mod logs;
mod memory;
mod names;
mod notifications;
mod outgoing;
mod passthrough;
mod policy;
mod policy_change;
mod preview;
mod proof;
mod quotas;
mod recordings;
mod reference;
mod replay;
mod roles;
mod rotation;
#[path = "../../../replay/tests/it/sample.rs"]
mod sample;
mod session;
mod signed_trail;
#[cfg(test)]
mod signer;
mod stage;
mod store;
mod support;
mod telemetry;
mod tokens;
mod told;
mod told_again;
mod traces;
mod traffic;
mod transparency;
mod traps;
mod trust;
mod twins;
mod upstream;
mod vault;
mod views;
mod visitor;
mod waiting_mode;
mod withdrawal;
mod written_back;
