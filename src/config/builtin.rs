//! What the server declares by itself: the client that the Identity Hub is to this server, and the scopes of its pages and
//! of the admin API. Nobody can declare others of these names.

/// The Identity Hub, as a client of this server.
pub const HUB_CLIENT: &str = "mooring-hub";

/// To decide on other people's elevations.
pub const HUB_ELEVATIONS: &str = "hub:elevations";

/// To see, lock and end everybody's sessions.
pub const HUB_SESSIONS: &str = "hub:sessions";

/// How the names of the hub's scopes begin.
pub const HUB_PREFIX: &str = "hub:";

/// Its scopes, and what people read of them.
pub const HUB_SCOPES: [(&str, &str); 2] = [
    (HUB_ELEVATIONS, "Decide who may do privileged work"),
    (HUB_SESSIONS, "Watch, lock and end the sessions of everybody"),
];
