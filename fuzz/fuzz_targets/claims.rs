//! The `claims` parameter: what is read can be kept, and is then read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mooring::oauth::ClaimsRequest;

fuzz_target!(|text: &str| {
    let Ok(read) = ClaimsRequest::parse(text) else { return };
    let _ = read.scopes();
    let kept = serde_json::to_string(&read).unwrap_or_default();
    assert!(ClaimsRequest::parse(&kept).is_ok_and(|again| again == read) || kept.len() > text.len());
});
