//! What scopes are called where people read of them.

use super::render::views;
use crate::{app::App, oauth::scope::OFFLINE_ACCESS};

/// A scope by what the configuration calls it, or in our own words, or by its name.
pub fn describe(app: &App, name: &str) -> views::Scope {
    let declared = app.config.scopes.find(name).and_then(|scope| scope.description.clone());
    let standard = match name {
        "openid" => "Know who you are on this server",
        "profile" => "See your name and profile",
        "email" => "See your email address",
        "address" => "See your postal address",
        "phone" => "See your phone number",
        OFFLINE_ACCESS => "Keep access while you are away",
        other => other,
    };
    views::Scope {
        name: name.to_owned(),
        description: declared.unwrap_or_else(|| standard.to_owned()),
        offline: name == OFFLINE_ACCESS,
    }
}
