//! Sockets, TLS, timers, secrets and upstream logins around a session.
