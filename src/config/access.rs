//! Who may ask for a privileged scope, from where and when: keys of `[[scope]]`.

use ipnet::IpNet;

use super::{
    given::Reader,
    hours::Hours,
    key::{Described, Key},
};
use crate::failure::Stop;

static ADMINISTRATORS: Key<bool> = Key::or("administrators", "false", "Only administrators may have it.");
static GROUPS: Key<Vec<String>> =
    Key::optional("groups", "anybody", "Only people in any of these groups (`[[user]] groups`) may have it.");
static NETWORKS: Key<Vec<IpNet>> =
    Key::optional("networks", "anywhere", "It is given only to browsers in these networks.");
static HOURS: Key<Hours> =
    Key::optional("hours", "always", "It is given only at these times, in UTC, as in `Mon-Fri 08:00-18:00`.");
static KNOWN_DEVICE: Key<bool> = Key::or(
    "known_device",
    "false",
    "It is given only to a browser that the person has signed in with before, in another session, an hour ago or earlier. A \
     cookie says so.",
);

/// What a person must be, and where and when they ask. Every demand that is made must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub administrators: bool,
    /// Any of them; empty: no group is needed.
    pub groups: Vec<String>,
    /// Any of them; empty: from anywhere.
    pub networks: Vec<IpNet>,
    pub hours: Option<Hours>,
    pub known_device: bool,
}

pub(super) fn keys() -> [&'static dyn Described; 5] {
    [&ADMINISTRATORS, &GROUPS, &NETWORKS, &HOURS, &KNOWN_DEVICE]
}

pub(super) fn read(from: &Reader<'_>) -> Result<Access, Stop> {
    let (groups, networks) = (from.find(&GROUPS)?, from.find(&NETWORKS)?);
    // An empty list would be read as "nobody" by one and as "everybody" by another.
    if groups.as_ref().is_some_and(Vec::is_empty) {
        return Err(from.wrong(&GROUPS, "name a group, or leave it out: then no group is needed"));
    }
    if networks.as_ref().is_some_and(Vec::is_empty) {
        return Err(from.wrong(&NETWORKS, "name a network, or leave it out: then it is given anywhere"));
    }
    Ok(Access {
        administrators: from.get(&ADMINISTRATORS)?,
        groups: groups.unwrap_or_default(),
        networks: networks.unwrap_or_default(),
        hours: from.find(&HOURS)?,
        known_device: from.get(&KNOWN_DEVICE)?,
    })
}
