//! Verifies a bearer token against an issuer's keys and yields an identity; no I/O, no clock.
