//! Reads PostgreSQL's own rewritten query tree into what a statement touches; no names, no I/O.
