//! `cargo +nightly fuzz run querytree --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::querytree(data));
