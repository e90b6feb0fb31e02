//! The Identity Hub.

use serde::Serialize;

use super::{super::Moment, Person, Scope};

/// A page of the hub, in its navigation.
#[derive(Clone, Debug, Serialize)]
pub struct HubLink {
    pub title: &'static str,
    pub href: String,
    pub current: bool,
}

/// `hub/closed.html`.
#[derive(Clone, Debug, Serialize)]
pub struct HubClosed {
    pub title: &'static str,
    pub why: String,
    pub again: String,
}

/// `hub/elevations.html`: posts `csrf`, `elevation`, `note`, `decision` = `approve`, `refuse` or `review`.
#[derive(Clone, Serialize)]
pub struct HubElevations {
    pub pages: Vec<HubLink>,
    pub action: String,
    pub csrf: String,
    pub user: Person,
    pub notice: Option<&'static str>,
    pub error: Option<&'static str>,
    pub waiting: Vec<HubElevation>,
    pub reviews: Vec<HubElevation>,
    pub settled: Vec<HubElevation>,
}

/// Privileged work that somebody asked for.
#[derive(Clone, Debug, Serialize)]
pub struct HubElevation {
    pub id: String,
    /// Who.
    pub person: Person,
    /// It is the reader's own.
    pub own: bool,
    /// In which client.
    pub client: String,
    pub scopes: Vec<Scope>,
    pub reason: String,
    pub minutes: i32,
    /// From where.
    pub device: Option<String>,
    pub place: Option<String>,
    pub asked_at: Moment,
    pub expires_at: Moment,
    /// What became of it.
    pub outcome: &'static str,
    pub used: bool,
    /// Who decided or reviewed, what they said, and when.
    pub by: Option<String>,
    pub note: Option<String>,
    pub at: Option<Moment>,
}
