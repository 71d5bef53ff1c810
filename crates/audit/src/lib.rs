//! Audit events, their canonical bytes, the hash chain and its verification; no I/O.
