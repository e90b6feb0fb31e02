//! Client metadata: what is accepted can be kept, and is accepted again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mooring::oauth::ClientMetadata;

fuzz_target!(|text: &str| {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let Ok(read) = ClientMetadata::from_json(&json) else { return };
    let kept = serde_json::to_value(&read).unwrap_or_default();
    assert!(ClientMetadata::from_json(&kept) == Ok(read));
});
