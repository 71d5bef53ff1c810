//! The server against real PostgreSQL servers.

mod upstream;
