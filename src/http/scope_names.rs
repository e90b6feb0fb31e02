//! What scopes are called where people read of them.

use super::render::views;
use crate::{
    app::App,
    oauth::{
        resource_uri::consented,
        scope::{GROUPS, OFFLINE_ACCESS},
    },
};

/// A scope by what the configuration calls it, or in our own words, or by its name.
pub fn describe(app: &App, name: &str) -> views::Scope {
    let declared = app.config.scopes.find(name).and_then(|scope| scope.description.clone());
    let standard = || match name {
        "openid" => "Know who you are on this server".to_owned(),
        "profile" => "See your name and profile".to_owned(),
        "email" => "See your email address".to_owned(),
        "address" => "See your postal address".to_owned(),
        "phone" => "See your phone number".to_owned(),
        GROUPS => "See which groups you are in".to_owned(),
        OFFLINE_ACCESS => "Keep access while you are away".to_owned(),
        other => consented(other).map_or_else(|| other.to_owned(), |resource| format!("Use {resource} on your behalf")),
    };
    views::Scope {
        name: name.to_owned(),
        description: declared.unwrap_or_else(standard),
        offline: name == OFFLINE_ACCESS,
    }
}
