//! Declared users, for tests and demos.

use std::borrow::Cow;

use super::{
    Secret,
    given::Reader,
    key::{Described, Key, Section},
    value::json,
};
use crate::{
    failure::Stop,
    unicode::{is_plain_name, name_key},
};

static USERNAME: Key<String> = Key::required("username", "What the person signs in with.");
static PASSWORD: Key<Secret> =
    Key::required("password", "Hashed when it is applied; never overwrites one that was changed since.");
static ADMIN: Key<bool> = Key::or("admin", "false", "May use the Identity Hub.");
static GROUPS: Key<Vec<String>> = Key::or(
    "groups",
    "",
    "What privileged scopes can ask for (`[[scope]] groups`), and what the scope `groups` gives to clients.",
);

/// A standard claim (OIDC Core §5.1).
struct Claim {
    name: &'static str,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Flag,
    Seconds,
    /// OIDC Core §5.1.1.
    Address,
}

/// The members of `address`.
const ADDRESS: &[&str] = &["formatted", "street_address", "locality", "region", "postal_code", "country"];

const fn text(name: &'static str) -> Claim {
    Claim { name, shape: Shape::Text }
}

static CLAIMS: &[Claim] = &[
    text("name"),
    text("given_name"),
    text("family_name"),
    text("middle_name"),
    text("nickname"),
    text("preferred_username"),
    text("profile"),
    text("picture"),
    text("website"),
    text("email"),
    Claim { name: "email_verified", shape: Shape::Flag },
    text("gender"),
    text("birthdate"),
    text("zoneinfo"),
    text("locale"),
    text("phone_number"),
    Claim { name: "phone_number_verified", shape: Shape::Flag },
    Claim { name: "address", shape: Shape::Address },
    Claim { name: "updated_at", shape: Shape::Seconds },
];

impl Described for Claim {
    fn name(&self) -> &'static str {
        self.name
    }
    fn kind(&self) -> Cow<'static, str> {
        match self.shape {
            Shape::Text => "string",
            Shape::Flag => "boolean",
            Shape::Seconds => "number",
            Shape::Address => "table",
        }
        .into()
    }
    fn default(&self) -> Cow<'static, str> {
        "".into()
    }
    fn doc(&self) -> &'static str {
        match self.shape {
            Shape::Address => {
                "Claim: `formatted`, `street_address`, `locality`, `region`, `postal_code`, `country`, each a string."
            }
            Shape::Seconds => "Claim, in seconds since 1970.",
            _ => "Claim.",
        }
    }
    fn is_localised(&self) -> bool {
        self.shape == Shape::Text
    }
}

pub static SECTION: Section = Section {
    name: "user",
    doc: "A user, for tests and demos, with any standard claim of OpenID Connect.",
    repeated: true,
    keys: || {
        let own: [&dyn Described; 4] = [&USERNAME, &PASSWORD, &ADMIN, &GROUPS];
        own.into_iter().chain(CLAIMS.iter().map(|claim| claim as _)).collect()
    },
};

/// A declared user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub username: String,
    pub password: Secret,
    pub admin: bool,
    pub groups: Vec<String>,
    /// Standard claims by name.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

pub fn read(rows: &[Reader<'_>]) -> Result<Vec<User>, Stop> {
    let mut users: Vec<User> = Vec::with_capacity(rows.len());
    for from in rows {
        let user = one(from)?;
        let same = |other: &User| name_key(&other.username) == name_key(&user.username);
        if users.iter().any(same) {
            return Err(from.wrong(&USERNAME, "another [[user]] above has this name: keep one of them"));
        }
        users.push(user);
    }
    Ok(users)
}

/// What somebody can be called: 1 to 255 bytes, no spaces around it, every character visible ([`is_plain_name`]).
#[must_use]
pub fn is_username(name: &str) -> bool {
    name.trim() == name && (1..=255).contains(&name.len()) && is_plain_name(name) && !name_key(name).is_empty()
}

fn one(from: &Reader<'_>) -> Result<User, Stop> {
    let username = from.get(&USERNAME)?;
    if !username.is_empty() && !is_username(&username) {
        return Err(from.wrong(&USERNAME, "use at most 255 bytes, no spaces around it, no invisible characters"));
    }
    let mut claims = serde_json::Map::new();
    for (name, value) in from.entries() {
        let base = name.split_once('#').map_or(name.as_str(), |(base, _)| base);
        let Some(claim) = CLAIMS.iter().find(|claim| claim.name == base) else { continue };
        claims.insert(name.clone(), claim.read(value).map_err(|mend| from.wrong_entry(name, false, mend))?);
    }
    let (password, admin, groups) = (from.get(&PASSWORD)?, from.get(&ADMIN)?, from.get(&GROUPS)?);
    Ok(User { username, password, admin, groups, claims })
}

impl Claim {
    fn read(&self, value: &toml::Value) -> Result<serde_json::Value, &'static str> {
        let is_shaped = match self.shape {
            // A date without quotes is a date in TOML, and a text in the claim.
            Shape::Text => value.is_str() || value.is_datetime(),
            Shape::Flag => value.is_bool(),
            Shape::Seconds => value.is_integer(),
            Shape::Address => value.as_table().is_some_and(|address| {
                address.iter().all(|(name, part)| ADDRESS.contains(&name.as_str()) && part.is_str())
            }),
        };
        let mend = match self.shape {
            Shape::Text => "expected a string",
            Shape::Flag => "expected true or false",
            Shape::Seconds => "expected seconds since 1970, a number without quotes",
            Shape::Address => {
                "expected a table of strings: formatted, street_address, locality, region, postal_code, country"
            }
        };
        is_shaped.then(|| json(value)).ok_or(mend)
    }
}
