//! Queries and forms: what is read can be written, and is then read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mooring::oauth::{Parameters, Prompts, Scope, pkce::Challenge};

fuzz_target!(|octets: &[u8]| {
    let Ok(parameters) = Parameters::parse(octets) else { return };
    assert!(Parameters::parse(parameters.to_query().as_bytes()) == Ok(parameters.clone()));
    for (_, value) in parameters.pairs() {
        let _ = (Scope::parse(value), Prompts::parse(Some(value)), Challenge::parse(Some(value), Some("S256")));
    }
});
