//! `cargo +nightly fuzz run backend --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::backend(data));
