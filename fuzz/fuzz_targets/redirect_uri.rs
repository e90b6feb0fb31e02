//! Redirect URIs: whatever is trusted carries an answer without a line break or a fragment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mooring::oauth::TrustedRedirectUri;

fuzz_target!(|input: (&str, &str)| {
    let registered = [input.0.to_owned()];
    let Ok(trusted) = TrustedRedirectUri::trust(Some(input.1), &registered, false) else { return };
    let answer = trusted.with_query(&[("code", "a&b=c#d")]);
    assert!(answer.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#'), "{answer}");
});
