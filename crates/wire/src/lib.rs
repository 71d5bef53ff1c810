//! PostgreSQL protocol 3.0 and 3.2: bytes to messages and back; no I/O, no policy.
