//! Throwaway PostgreSQL clusters, OpenID providers and wire transcripts for tests.
