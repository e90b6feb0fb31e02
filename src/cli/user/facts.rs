//! `mooring user list`, `show` and `set`: who there is, and what is said of them.

use clap::Args;
use serde_json::{Value, json};

use super::{event, find, refuse_declared};
use crate::{
    audit::{self, Action},
    cli::{Opened, operator, output},
    db::{
        Trace,
        credentials::Factors,
        user_lists::{self, ListedUser},
        users,
    },
    failure::Stop,
    notices::mail::is_address,
};

/// So many are read at once.
const BATCH: i64 = 500;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// What they sign in with
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// What they sign in with
    name: String,
    /// Their address, for the claim `email`; links for a forgotten password that went to the one before are dead
    #[arg(long, value_parser = address)]
    email: Option<String>,
    /// Forget their address
    #[arg(long, conflicts_with_all = ["email", "email_verified"])]
    no_email: bool,
    /// The address is known to be theirs: the claim `email_verified` is true
    #[arg(long)]
    email_verified: bool,
    /// What they are called, for the claim `name`
    #[arg(long = "name", value_name = "FULL NAME")]
    called: Option<String>,
}

fn address(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if is_address(text) { Ok(text.to_owned()) } else { Err("this is no address that mail can be sent to") }
}

pub(super) async fn list(opened: &Opened, what: &List) -> Result<(), Stop> {
    let app = &opened.app;
    let mut all: Vec<ListedUser> = Vec::new();
    loop {
        let after = all.last().map(|user| users::username_key(&user.username)).unwrap_or_default();
        let load = async |tx: &mut _| user_lists::load(tx, &after, BATCH).await;
        let found = app.db.single(app.clock.now(), &Trace::default(), load).await?;
        let is_last = i64::try_from(found.len()).is_ok_and(|count| count < BATCH);
        all.extend(found);
        if is_last {
            break;
        }
    }
    if what.json {
        return output::json(&all);
    }
    let cells: Vec<_> = all.iter().map(cells).collect();
    output::table(["USERNAME", "NAME", "EMAIL", "MAY", "STATE"], &cells)
}

fn cells(user: &ListedUser) -> [String; 5] {
    let admin = user.admin.then_some("administrator".to_owned());
    let may: Vec<String> = admin.into_iter().chain(user.groups.iter().cloned()).collect();
    [
        user.username.clone(),
        user.name.clone().unwrap_or_default(),
        user.email.clone().unwrap_or_default(),
        may.join(", "),
        user.disabled_at.map_or_else(String::new, |_| "disabled".to_owned()),
    ]
}

pub(super) async fn show(opened: &Opened, what: &Show) -> Result<(), Stop> {
    let app = &opened.app;
    let (user, factors) = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| -> Result<_, Stop> {
            let id = find(tx, &what.name).await?.id;
            let gone = || Stop::new(format_args!("there is no user {}", what.name));
            Ok((user_lists::find(tx, id).await?.ok_or_else(gone)?, Factors::load(tx, id).await?))
        })
        .await?;
    if what.json {
        let mut shown = serde_json::to_value(&user).map_err(Stop::new)?;
        shown["password"] = json!(factors.password);
        shown["passkeys"] = json!(factors.passkeys);
        shown["authenticator"] = json!(factors.totp);
        shown["recovery_codes"] = json!(factors.recovery_codes);
        return output::json(&shown);
    }
    let verified = match user.email_verified {
        Some(true) => " (verified)",
        Some(false) => " (not verified)",
        None => "",
    };
    let yes = |so: bool| if so { "yes" } else { "no" };
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let lines = [
        format!("username: {}", user.username),
        format!("id: {}", user.id),
        format!("name: {}", or_none(user.name.as_deref().unwrap_or_default())),
        format!("email: {}{verified}", or_none(user.email.as_deref().unwrap_or_default())),
        format!("administrator: {}", yes(user.admin)),
        format!("groups: {}", or_none(&user.groups.join(", "))),
        format!("password: {}", yes(factors.password)),
        format!("passkeys: {}{}", factors.passkeys, if factors.suspended { " (and one suspended)" } else { "" }),
        format!("authenticator app: {}", yes(factors.totp)),
        format!("recovery codes: {}", factors.recovery_codes),
        format!("declared: {}", yes(user.declared)),
        format!("created: {}", user.created_at.to_rfc3339()),
        format!("disabled: {}", user.disabled_at.map_or_else(|| "no".to_owned(), |at| at.to_rfc3339())),
    ];
    output::line(&lines.join("\n"))
}

pub(super) async fn set(opened: &Opened, what: &Set) -> Result<(), Stop> {
    let Set { name, email, no_email, email_verified, called } = what;
    if email.is_none() && called.is_none() && !no_email && !email_verified {
        return Err(Stop::usage("say what: --email ADDRESS, --email-verified, --no-email or --name FULL NAME"));
    }
    let app = &opened.app;
    refuse_declared(&app.config, name, "email")?;
    let changed = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<_, Stop> {
            let user = find(tx, name).await?;
            let claims = match &user.claims {
                Value::Object(claims) => claims.clone(),
                _ => serde_json::Map::new(),
            };
            let mut new = claims.clone();
            if *no_email || email.as_deref().is_some_and(|email| claims.get("email") != Some(&json!(email))) {
                // Of another address nobody knows anything.
                new.remove("email");
                new.remove("email_verified");
            }
            for (claim, value) in [("email", email), ("name", called)] {
                if let Some(value) = value {
                    new.insert(claim.to_owned(), json!(value));
                }
            }
            if *email_verified {
                if !new.contains_key("email") {
                    return Err(Stop::new(format_args!("{name} has no address that could be verified")));
                }
                new.insert("email_verified".to_owned(), json!(true));
            }
            let names = ["email", "email_verified", "name"].into_iter();
            let changed: Vec<&str> = names.filter(|claim| claims.get(*claim) != new.get(*claim)).collect();
            if !changed.is_empty() {
                users::set_claims(tx, user.id, &Value::Object(new)).await?;
                audit::record(tx, event(Action::UserChanged, &user).detail(json!({ "changed": changed })));
            }
            Ok::<_, Stop>(changed)
        })
        .await?;
    match changed.as_slice() {
        [] => output::line(&format!("{name} is as they were")),
        changed => output::line(&format!("changed of {name}: {}", changed.join(", "))),
    }
}
