//! One connection as a state machine: no I/O, no clock, no async.
