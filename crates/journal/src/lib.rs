//! Append-only segments of audit records on disk: group commit, recovery, reading, queries.
