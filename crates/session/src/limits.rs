//! A limit on everything that a client or an upstream can make grow.

/// Bounds of one session. Sizes are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Text of one Query or Parse message.
    pub statement_bytes_max: usize,
    /// Any other client message but CopyData, which is streamed.
    pub message_bytes_max: usize,
    /// Statements in one Query message.
    pub statements_max: usize,
    /// Prepared statements, and likewise portals, that one session may hold.
    pub prepared_max: usize,
    /// A query tree as the server prints it.
    pub tree_bytes_max: usize,
    /// A DataRow or CopyData message that has to be buffered whole because a value in it is masked, and any
    /// upstream message other than DataRow and CopyData.
    pub upstream_message_bytes_max: usize,
    /// Result bytes waiting for a slow client before reading from the upstream stops.
    pub client_backlog_bytes_max: usize,
    /// Request bytes waiting for a slow upstream, or for a decision, before reading from the client stops.
    pub upstream_backlog_bytes_max: usize,
    /// Of one statement's text, and likewise of one parameter, in the audit record; the rest is kept as length and digest.
    pub recorded_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement_bytes_max: 1 << 20,
            message_bytes_max: 16 << 20,
            statements_max: 10_000,
            prepared_max: 10_000,
            tree_bytes_max: 32 << 20,
            upstream_message_bytes_max: 64 << 20,
            client_backlog_bytes_max: 256 << 10,
            upstream_backlog_bytes_max: 256 << 10,
            recorded_bytes_max: 64 << 10,
        }
    }
}
