//! Session cookies: none is genuine that was not made here.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mooring::{
    jose::{MasterSecret, Purpose},
    sessions::Cookies,
};

static COOKIES: LazyLock<Cookies> = LazyLock::new(|| {
    let master =
        MasterSecret::from_bytes(b"the master secret of the fuzzed cookies").unwrap_or_else(|_| unreachable!());
    Cookies::new(master.derive(Purpose::Cookies), true)
});

fuzz_target!(|text: &str| {
    if let Some(read) = Cookies::parse(text) {
        assert!(!COOKIES.is_genuine(&read, 0));
    }
});
