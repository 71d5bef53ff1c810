//! SQL text without names: split, classify, utility statements, memo keys; PostgreSQL's grammar inside.
