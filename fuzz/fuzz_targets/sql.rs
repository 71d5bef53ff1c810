//! `cargo +nightly fuzz run sql --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::sql(data));
