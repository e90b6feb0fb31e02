//! `mooring user`: people, added and disabled by hand, and what they may.

mod facts;

use std::io::Read as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Opened, open::opened, operator, output};
use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    authentication::{
        ceremony,
        password_rules::{self, ALONE, BESIDE, Context},
    },
    config::{self, Config, is_username},
    db::{
        Trace, Tx,
        credentials::{self, Factors},
        privileged_sessions,
        users::{self, User as Person},
    },
    failure::{Broken, Stop},
    notices::{self, Message},
    sessions,
    unicode::{name_key, nfc, without_mark},
};

/// Longer passwords are not looked at when somebody signs in.
const LONGEST_PASSWORD: usize = 1024;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Add somebody who can sign in
    Add {
        /// What they sign in with
        name: String,
        /// What they are called, for the claim `name`
        #[arg(long = "name", value_name = "FULL NAME")]
        called: Option<String>,
        /// Their address, for the claim `email`
        #[arg(long)]
        email: Option<String>,
        /// The address is known to be theirs: the claim `email_verified` is true
        #[arg(long, requires = "email")]
        email_verified: bool,
        /// Make them an administrator
        #[arg(long)]
        admin: bool,
        /// Put them into this group, which privileged scopes can ask for and clients can see; may be said more than once
        #[arg(long = "group", value_name = "GROUP", value_parser = group)]
        groups: Vec<String>,
        /// Read the password from standard input: its first line
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List everybody
    List(facts::List),
    /// Print what there is to know of somebody
    Show(facts::Show),
    /// Change somebody's address or full name
    Set(facts::Set),
    /// Give somebody another password, and end everything of theirs; what else they prove themselves with stays
    Password {
        /// What they sign in with
        name: String,
        /// Read the password from standard input: its first line
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Print somebody's groups, which privileged scopes can ask for and clients can see, and change them
    Groups(Groups),
    /// Make somebody an administrator, or no longer one
    Admin(Admin),
    /// Withdraw passkeys of somebody who cannot do so: they have no other, and no recovery code
    ForgetPasskeys {
        /// What they sign in with
        name: String,
        /// Those that were suspended, because there may be a copy of them
        #[arg(long, required_unless_present = "all", conflicts_with = "all")]
        suspended: bool,
        /// All of them: what they are on is lost
        #[arg(long)]
        all: bool,
    },
    /// Disable somebody, and end everything of theirs
    Disable {
        /// What they sign in with
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Groups {
    /// What they sign in with
    name: String,
    /// Put them into this group; may be said more than once
    #[arg(long, value_name = "GROUP", value_parser = group)]
    add: Vec<String>,
    /// Take them out of this group, and end their privileged sessions; may be said more than once
    #[arg(long, value_name = "GROUP", value_parser = group)]
    remove: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Admin {
    /// What they sign in with
    name: String,
    /// Make them one
    #[arg(long, required_unless_present = "revoke", conflicts_with = "revoke")]
    grant: bool,
    /// Make them one no longer, and end their privileged sessions
    #[arg(long)]
    revoke: bool,
}

fn group(name: &str) -> Result<String, &'static str> {
    let is_one = name.trim() == name && !name.is_empty() && !name.chars().any(char::is_control);
    if is_one { Ok(name.to_owned()) } else { Err("a group has a name without control characters, no spaces around it") }
}

pub(super) async fn run(config: Config, command: &User) -> Result<(), Stop> {
    match command {
        User::Add { name, called, email, email_verified, admin, groups, password_stdin: _ } => {
            if !is_username(name) {
                return Err(Stop::usage("a name has 1 to 255 bytes, no spaces around it, no invisible characters"));
            }
            let password = password()?;
            let mut claims = serde_json::Map::new();
            for (claim, value) in [("name", called), ("email", email)] {
                if let Some(value) = value {
                    claims.insert(claim.to_owned(), json!(value));
                }
            }
            // Not said is not denied: relying parties are told `false`, and a link for a forgotten password still goes there.
            if *email_verified {
                claims.insert("email_verified".to_owned(), json!(true));
            }
            let new = New { name, claims: Value::Object(claims), admin: *admin, groups, password };
            opened(config, async |opened| add(opened, new).await).await
        }
        User::List(what) => opened(config, async |opened| facts::list(opened, what).await).await,
        User::Show(what) => opened(config, async |opened| facts::show(opened, what).await).await,
        User::Set(what) => opened(config, async |opened| facts::set(opened, what).await).await,
        User::Password { name, password_stdin: _ } => {
            let password = password()?;
            opened(config, async |opened| change_password(opened, name, password).await).await
        }
        User::Groups(what) => match what.add.iter().find(|group| what.remove.contains(group)) {
            Some(both) => Err(Stop::usage(format_args!("{both} cannot be added and removed at once"))),
            None => opened(config, async |opened| change_groups(opened, what).await).await,
        },
        User::Admin(what) => opened(config, async |opened| change_admin(opened, what).await).await,
        User::ForgetPasskeys { name, suspended: _, all } => {
            opened(config, async |opened| forget_passkeys(opened, name, *all).await).await
        }
        User::Disable { name } => opened(config, async |opened| disable(opened, name).await).await,
    }
}

/// The first line of standard input.
fn password() -> Result<String, Stop> {
    let mut text = String::new();
    let most = u64::try_from(LONGEST_PASSWORD).unwrap_or(u64::MAX) + 6;
    std::io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| Stop::new(format_args!("reading the password from stdin: {error}")))?;
    let password = without_mark(&text).lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(
            Stop::new("there is no password on stdin").mend("as in: mooring user … alice --password-stdin < file")
        );
    }
    if password.chars().count() < BESIDE {
        return Err(Stop::new(format_args!("the password is shorter than {BESIDE} characters"))
            .mend("choose a longer one: NIST SP 800-63B-4 wants 15 where nothing else is asked for"));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Stop::new(format_args!("the password is longer than {LONGEST_PASSWORD} bytes")));
    }
    Ok(password.to_owned())
}

/// Somebody about to be added.
struct New<'a> {
    name: &'a str,
    claims: Value,
    admin: bool,
    groups: &'a [String],
    password: String,
}

async fn add(opened: &Opened, new: New<'_>) -> Result<(), Stop> {
    let app = &opened.app;
    let New { name, claims, admin, groups, password } = new;
    let phc = hash(app, name, &claims, password).await?;
    let user = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<Option<Person>, Broken> {
            let Some(user) = users::insert(tx, name, &claims, admin).await? else { return Ok(None) };
            users::set_password(tx, user.id, &phc, None).await?;
            users::set_groups(tx, user.id, groups).await?;
            let detail = json!({ "admin": admin, "groups": groups });
            audit::record(tx, event(Action::UserAdded, &user).detail(detail));
            Ok(Some(user))
        })
        .await?;
    match user {
        Some(user) => output::line(&format!("added {} ({})", user.username, user.id)),
        None => Err(Stop::new(format_args!("there is a user {name} already"))),
    }
}

/// The hash of a password that an operator chose for somebody.
async fn hash(app: &App, username: &str, claims: &Value, password: String) -> Result<String, Stop> {
    let service = [app.config.pages.name.as_str(), app.config.issuer.host()];
    let claim = |name| claims.get(name).and_then(Value::as_str);
    let context = Context { username, email: claim("email"), name: claim("name"), service };
    if let Err(unfit) = password_rules::judge(&nfc(&password), &context, ALONE) {
        // Whoever has a shell here knows why; the person chooses another one by the rules.
        eprintln!("mooring: a weak password: {}", unfit.said());
    }
    Ok(app.passwords.hash(password).await?)
}

/// For who cannot help themselves: they have forgotten it and have no address, or nothing is left to sign in with.
async fn change_password(opened: &Opened, name: &str, password: String) -> Result<(), Stop> {
    let app = &opened.app;
    let now = app.clock.now();
    let user = app.db.single(now, &Trace::default(), async |tx| find(tx, name).await).await?;
    let phc = hash(app, &user.username, &user.claims, password).await?;
    let ended = app
        .db
        .work(now, &operator::trace(), async |tx| -> Result<usize, Stop> {
            users::set_password(tx, user.id, &phc, None).await?;
            app.sources.forget_failures(tx, user.id, &user.username, &user.claims).await?;
            let ended = sessions::end_all_of_user(tx, user.id, "ended_by_operator", Actor::Operator).await?;
            audit::record(tx, event(Action::PasswordChanged, &user).detail(json!({ "sessions_ended": ended })));
            notices::tell(tx, user.id, &Message::PasswordChanged).await?;
            Ok(ended)
        })
        .await?;
    output::line(&format!("{name} has another password; sessions ended: {ended}"))
}

async fn change_groups(opened: &Opened, what: &Groups) -> Result<(), Stop> {
    let Groups { name, add, remove } = what;
    let app = &opened.app;
    if !(add.is_empty() && remove.is_empty()) {
        refuse_declared(&app.config, name, "groups")?;
    }
    let (groups, ended) = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<_, Stop> {
            let user = find(tx, name).await?;
            privileged_sessions::lock_person(tx, user.id).await?;
            let mut groups = users::find_groups(tx, user.id).await?;
            for absent in remove.iter().filter(|group| !groups.contains(group)) {
                eprintln!("mooring: {name} was not in {absent}");
            }
            groups.retain(|group| !remove.contains(group));
            for group in add {
                if !groups.contains(group) {
                    groups.push(group.clone());
                }
            }
            let ended = sessions::set_groups(tx, user.id, &groups, Actor::Operator).await?;
            if let Some(ended) = ended {
                let detail = json!({ "changed": ["groups"], "groups": groups, "sessions_ended": ended });
                audit::record(tx, event(Action::UserChanged, &user).detail(detail));
            }
            Ok((groups, ended))
        })
        .await?;
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
    match ended {
        Some(ended) => output::line(&format!("groups of {name}: {groups}; privileged sessions ended: {ended}")),
        None => output::line(&format!("groups of {name}: {groups}")),
    }
}

async fn change_admin(opened: &Opened, what: &Admin) -> Result<(), Stop> {
    let Admin { name, grant, revoke: _ } = what;
    let app = &opened.app;
    refuse_declared(&app.config, name, "admin")?;
    let (ended, is_one_left) = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<_, Stop> {
            let user = find(tx, name).await?;
            let ended = sessions::set_admin(tx, user.id, *grant, Actor::Operator).await?;
            if let Some(ended) = ended {
                let detail = json!({ "changed": ["admin"], "admin": grant, "sessions_ended": ended });
                audit::record(tx, event(Action::UserChanged, &user).detail(detail));
            }
            Ok((ended, users::an_admin_exists(tx).await?))
        })
        .await?;
    if !is_one_left {
        eprintln!("mooring: there is no administrator left: the next start of the server prints a set-up link");
    }
    output::line(&match (ended, grant) {
        (Some(_), true) => format!("{name} is an administrator now"),
        (Some(ended), false) => format!("{name} is no administrator any more; privileged sessions ended: {ended}"),
        (None, true) => format!("{name} was an administrator already"),
        (None, false) => format!("{name} was no administrator"),
    })
}

/// What is declared is applied at every start, and would undo the change.
fn refuse_declared(config: &Config, name: &str, key: &str) -> Result<(), Stop> {
    let is_declared = |user: &config::User| name_key(&user.username) == name_key(name);
    if !config.users.iter().any(is_declared) {
        return Ok(());
    }
    Err(Stop::new(format_args!("{name} is declared in the configuration"))
        .mend(format_args!("set `{key}` of this [[user]] there, and restart the server")))
}

/// They can change what they sign in with again, with what they have left: the operator knows who they are.
async fn forget_passkeys(opened: &Opened, name: &str, all: bool) -> Result<(), Stop> {
    let app = &opened.app;
    let (forgotten, left) = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<_, Stop> {
            let user = find(tx, name).await?;
            credentials::lock_person(tx, user.id).await?;
            let mut passkeys = credentials::load_passkeys(tx, user.id).await?;
            passkeys.retain(|passkey| all || passkey.suspended_at.is_some());
            for passkey in &passkeys {
                let detail =
                    json!({ "credential": passkey.id, "kind": "passkey", "suspended_at": passkey.suspended_at });
                let event = event(Action::CredentialRemoved, &user).detail(detail);
                ceremony::withdraw(tx, passkey, Actor::Operator, event).await?;
            }
            Ok((passkeys.len(), Factors::load(tx, user.id).await?))
        })
        .await?;
    if !left.password && left.passkeys == 0 {
        eprintln!("mooring: {name} has nothing left to sign in with");
    }
    let which = if all { "passkeys" } else { "suspended passkeys" };
    output::line(&format!("{which} of {name} withdrawn: {forgotten}"))
}

async fn disable(opened: &Opened, name: &str) -> Result<(), Stop> {
    let app = &opened.app;
    let ended = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<usize, Stop> {
            let user = find(tx, name).await?;
            if users::disable(tx, user.id).await? {
                audit::record(tx, event(Action::UserDisabled, &user));
            }
            // Also of one who was disabled before: what was not ended then is now.
            Ok(sessions::end_all_of_user(tx, user.id, "user_disabled", Actor::Operator).await?)
        })
        .await?;
    output::line(&format!("disabled {name}; sessions ended: {ended}"))
}

/// The person of that name, or a `Stop`.
pub(super) async fn find(tx: &mut Tx, name: &str) -> Result<Person, Stop> {
    users::find_by_username(tx, name).await?.ok_or_else(|| Stop::new(format_args!("there is no user {name}")))
}

fn event(action: Action, user: &Person) -> Event {
    Event::done(action, Actor::Operator, Subject { user_id: Some(user.id), ..Subject::default() })
}
