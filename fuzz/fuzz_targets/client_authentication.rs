//! The `Authorization` header and the form beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mooring::{
    clients::authenticate::{Request, read},
    oauth::Parameters,
};

fuzz_target!(|input: (&str, &[u8])| {
    let Ok(parameters) = Parameters::parse(input.1) else { return };
    let _ = read(&Request { authorization: Some(input.0), parameters: &parameters });
});
