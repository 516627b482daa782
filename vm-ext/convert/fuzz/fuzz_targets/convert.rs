#![no_main]
//! `cargo +nightly fuzz run convert` in this folder's parent.

#[path = "../body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
