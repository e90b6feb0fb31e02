//! Which request objects are accepted (RFC 9101).

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static BY_REFERENCE: Key<bool> =
    Key::or("by_reference", "false", "Whether `request_uri` may be other than one of our own (RFC 9126).");
static UNSIGNED: Key<bool> =
    Key::or("unsigned", "false", "Whether `alg` may be `none`, for clients that have not registered another.");

pub static SECTION: Section = Section {
    name: "request_objects",
    doc: "Authorization requests in the form of a JWT.",
    repeated: false,
    keys: || vec![&BY_REFERENCE, &UNSIGNED],
};

/// Which request objects are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestObjects {
    pub by_reference: bool,
    pub unsigned: bool,
}

pub fn read(from: &Reader<'_>) -> Result<RequestObjects, Stop> {
    Ok(RequestObjects { by_reference: from.get(&BY_REFERENCE)?, unsigned: from.get(&UNSIGNED)? })
}
