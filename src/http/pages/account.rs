//! One's own account: sessions, what clients may do, and the ways to end each.

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authentication::freshness::{Factors, Required},
    db::{
        Outcome, Tx, clients as client_rows, consents, credentials, devices, elevation_lists,
        session_clients::FrontChannelParty,
        session_lists::{self, Filter, ListedSession},
        sessions::LiveSession,
        totp, users,
    },
    elevations::Approvers,
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit},
        render::{Moment, Page, PageName, answer, views},
        scope_names::describe,
        signing_out::{self, Onward},
    },
    oauth::{Error, Parameters},
    sessions::{self, Offline},
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let shown = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(&app, &visit, tx).await?;
            let Some((session, user_id)) = browser.signed_in() else { return Ok(None) };
            Ok::<_, Failure>(Some(context(&app, tx, session, user_id, &parameters).await?))
        })
        .await;
    match shown {
        Ok(Some(context)) => answer::page(&app, &visit, Page::new(PageName::Account), &context),
        Ok(None) => answer::see_other(&app.config.issuer.url("/login")),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

async fn context(
    app: &App,
    tx: &mut Tx,
    session: &LiveSession,
    user_id: Uuid,
    parameters: &Parameters,
) -> Outcome<views::Account> {
    let done = parameters.get("done");
    let own = Listed::load(tx, user_id, false, parameters.get("sessions_before")).await?;
    let offline = Listed::load(tx, user_id, true, parameters.get("offline_before")).await?;
    let allowed = consents::load_of_user(tx, user_id).await?;
    let named = own.rows.iter().chain(&offline.rows).flat_map(|row| row.clients.iter().chain(&row.client_id));
    let named = named.chain(allowed.iter().map(|consent| &consent.client_id));
    let named: BTreeSet<&str> = named.map(String::as_str).collect();
    let clients = client_rows::load_shown(tx, &Vec::from_iter(named)).await?;
    let registered = |id: &str| clients.iter().find(|client| client.client_id == id);
    let name_of = |id: &str| registered(id).and_then(|it| it.client_name.clone()).unwrap_or_else(|| id.to_owned());
    let now = tx.now;
    Ok(views::Account {
        user: csrf::person(session),
        csrf: csrf::token(app, session),
        action_base: app.config.issuer.url("/account"),
        notice: done.and_then(notice).map(str::to_owned),
        confirmed: done == Some("confirmed"),
        hub: hub(app, tx, session, user_id).await?,
        factors: factors(app, tx, user_id).await?,
        passkeys: credentials::load_passkeys(tx, user_id)
            .await?
            .into_iter()
            .map(|row| views::AccountPasskey {
                id: row.id.to_string(),
                label: row.name().to_owned(),
                created_at: Moment::new(row.created_at, now),
                last_used_at: row.last_used_at.map(|at| Moment::new(at, now)),
                suspended_at: row.suspended_at.map(|at| Moment::new(at, now)),
                attested: row.attested_at.is_some(),
            })
            .collect(),
        add_passkey: app.passkeys.as_ref().map(|_| views::AddPasskey {
            options: app.config.issuer.url("/passkeys/enrol/options"),
            finish: app.config.issuer.url("/passkeys/enrol"),
            csrf: Some(csrf::token(app, session)),
            token: None,
        }),
        older_sessions: own.older.map(|id| app.config.issuer.url(&format!("/account?sessions_before={id}#sessions"))),
        older_offline: offline.older.map(|id| app.config.issuer.url(&format!("/account?offline_before={id}#offline"))),
        sessions: own
            .rows
            .into_iter()
            .map(|row| views::AccountSession {
                id: row.id.to_string(),
                current: row.id == session.root_id,
                kind: row.kind.clone(),
                device: row.device.clone().unwrap_or_else(|| "Unknown device".to_owned()),
                place: row.place.clone(),
                started_at: Moment::new(row.created_at, now),
                last_seen_at: Moment::new(row.last_seen_at, now),
                expires_at: Moment::new(row.expires_at, now),
                clients: row.clients.iter().map(|id| name_of(id)).collect(),
            })
            .collect(),
        devices: devices(tx, user_id).await?,
        consents: allowed
            .into_iter()
            .map(|row| views::AccountConsent {
                client_name: name_of(&row.client_id),
                open: registered(&row.client_id).and_then(|it| initiation(it.initiate_login_uri.as_deref()?, app)),
                client_id: row.client_id,
                scopes: row.scope.iter().map(|name| describe(app, name).description).collect(),
                granted_at: Moment::new(row.granted_at, now),
            })
            .collect(),
        offline: offline
            .rows
            .into_iter()
            .map(|row| views::AccountOffline {
                id: row.id.to_string(),
                client_name: row.client_id.as_deref().map(name_of).unwrap_or_default(),
                started_at: Moment::new(row.created_at, now),
                expires_at: Moment::new(row.expires_at, now),
            })
            .collect(),
    })
}

/// The browsers that the person has signed in with.
async fn devices(tx: &mut Tx, user_id: Uuid) -> Outcome<Vec<views::AccountDevice>> {
    let here = sessions::find_device(tx, user_id).await?;
    let now = tx.now;
    let rows = devices::load(tx, user_id).await?;
    Ok(rows
        .into_iter()
        .map(|row| views::AccountDevice {
            id: row.id.to_string(),
            label: row.label.unwrap_or_else(|| "Unknown device".to_owned()),
            current: here == Some(row.id),
            known_since: Moment::new(row.created_at, now),
            used_at: Moment::new(row.used_at, now),
        })
        .collect())
}

/// The way to the Identity Hub, for those who may decide there.
async fn hub(app: &App, tx: &mut Tx, session: &LiveSession, user_id: Uuid) -> Outcome<Option<views::AccountHub>> {
    let groups = users::find_groups(tx, user_id).await?;
    if !Approvers::of(&app.config.scopes).include(session.admin_at.is_some(), &groups) {
        return Ok(None);
    }
    let waiting = elevation_lists::count_waiting(tx, user_id).await?;
    Ok(Some(views::AccountHub { href: app.config.issuer.url("/hub"), waiting }))
}

/// A page of the person's live sessions, newest first.
struct Listed {
    rows: Vec<ListedSession>,
    /// The last one, where there are older ones.
    older: Option<Uuid>,
}

impl Listed {
    const PAGE: usize = 100;

    /// Those that are, or are not, offline access; `before`: of the page that the person comes from. What is not an id counts as
    /// left out.
    async fn load(tx: &mut Tx, user_id: Uuid, offline: bool, before: Option<&str>) -> Outcome<Self> {
        let filter = Filter {
            user_id: Some(user_id),
            live_only: true,
            offline: Some(offline),
            before: before.and_then(|id| id.parse().ok()),
            limit: i64::try_from(Self::PAGE + 1).unwrap_or(i64::MAX),
            ..Filter::default()
        };
        let mut rows = session_lists::load(tx, &filter).await?;
        let is_all = rows.len() <= Self::PAGE;
        rows.truncate(Self::PAGE);
        let older = rows.last().filter(|_| !is_all).map(|row| row.id);
        Ok(Self { rows, older })
    }
}

/// What the person signs in with beside passkeys.
async fn factors(app: &App, tx: &mut Tx, user_id: Uuid) -> Outcome<views::AccountFactors> {
    let authenticator = totp::find(tx, user_id).await?;
    let has = Factors::load(tx, user_id).await?;
    let now = tx.now;
    Ok(views::AccountFactors {
        password: app.config.issuer.url("/account/password"),
        has_password: has.password,
        authenticator: app.config.issuer.url("/account/authenticator"),
        authenticator_at: authenticator.map(|it| Moment::new(it.created_at, now)),
        recovery_codes_left: usize::try_from(has.recovery_codes).unwrap_or_default(),
        needs_recovery_code: has.required() == Required::RecoveryCode,
    })
}

/// Where a person begins to sign in at the client: it comes back here with a request of its own (OIDC Core §4).
fn initiation(uri: &str, app: &App) -> Option<String> {
    let mut url = url::Url::parse(uri).ok()?;
    url.query_pairs_mut().append_pair("iss", app.config.issuer.as_str());
    Some(url.into())
}

/// What has just been done, in a sentence. Only known words: the address bar is not a place to put sentences into.
fn notice(done: &str) -> Option<&'static str> {
    match done {
        "end" => Some("That session has ended."),
        "end-others" => Some("All other sessions have ended."),
        "forget-device" => Some("That browser is not known any more."),
        "withdraw" => Some("That access has been withdrawn."),
        "codes-hidden" => Some("Those recovery codes are not shown any more. Make new ones if you have not kept them."),
        "authenticator-removed" => Some("Your authenticator app is removed. Codes are not asked for any more."),
        "password-0" | "password-1" => Some("Your password is changed. It is a weak one: longer would be better."),
        "password-2" => Some("Your password is changed. It is a fair one: a few more words would make it better."),
        "password-3" | "password-4" => Some("Your password is changed. It is a good one."),
        "passkey-added" => Some("Your passkey is ready. Next time it signs you in."),
        "passkey-renamed" => Some("The passkey has its new name."),
        "passkey-removed" => Some("That passkey is removed and signs nobody in any more."),
        "passkey-needed" => Some("That passkey is your only way to sign in. Add another one first."),
        "suspended-first" => Some("Remove the suspended passkey first: without this one you could not any more."),
        _ => None,
    }
}

pub async fn post(app: Data<App>, visit: Visit, action: Path<String>, form: Form) -> HttpResponse {
    match run(&app, &visit, &action, &form.0).await {
        Ok(response) => response,
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

async fn run(app: &App, visit: &Visit, action: &str, form: &Parameters) -> Outcome<HttpResponse> {
    let browser = app
        .db
        .single(visit.now, &visit.trace, async |tx| Browser::find(app, visit, tx).await.map_err(Failure::from))
        .await?;
    let Some((session, user_id)) = browser.signed_in() else {
        return Ok(answer::see_other(&app.config.issuer.url("/login")));
    };
    csrf::check(app, session, form)?;
    let signed_out = app
        .db
        .work(visit.now, &visit.trace, async |tx| match action {
            "end" => end_one(tx, session, user_id, form).await,
            "end-others" => {
                sessions::end_others(tx, user_id, session.root_id, Offline::Stays, Actor::User).await?;
                Ok(None)
            }
            "forget-device" => forget_device(tx, user_id, form).await,
            "withdraw" => withdraw(tx, session, user_id, form).await,
            "sign-out" => Ok(Some(sessions::sign_out(tx, session.root_id, "signed_out", Actor::User).await?)),
            _ => Err(Error::invalid_request("there is no such action").into()),
        })
        .await?;
    Ok(match signed_out {
        None => answer::see_other(&app.config.issuer.url(&format!("/account?done={action}"))),
        Some(parties) => {
            let onward = Onward { uri: Some(app.config.issuer.url("/?done=sign-out")), ..Onward::default() };
            signing_out::ended(app, visit, &parties, onward)
        }
    })
}

/// The parties that the browser is to tell, where the session at hand was ended.
type SignedOut = Option<Vec<FrontChannelParty>>;

/// Ends a session of this person's, offline access included.
async fn end_one(tx: &mut Tx, session: &LiveSession, user_id: Uuid, form: &Parameters) -> Outcome<SignedOut> {
    let id: Uuid = form.require("session")?.parse().map_err(|_| Error::invalid_request("session is not an id"))?;
    let filter = Filter { id: Some(id), user_id: Some(user_id), limit: 1, ..Filter::default() };
    // Somebody else's session looks like none.
    if session_lists::load(tx, &filter).await?.is_empty() {
        return Err(Error::invalid_request("there is no such session").into());
    }
    if id == session.root_id {
        return Ok(Some(sessions::sign_out(tx, id, "ended_by_user", Actor::User).await?));
    }
    sessions::end(tx, id, "ended_by_user", Actor::User).await?;
    Ok(None)
}

/// What is signed in there stays so; the next sign-in there is a stranger's.
async fn forget_device(tx: &mut Tx, user_id: Uuid, form: &Parameters) -> Outcome<SignedOut> {
    let id: Uuid = form.require("device")?.parse().map_err(|_| Error::invalid_request("device is not an id"))?;
    // Somebody else's looks like none. Once is enough: a form sent twice finds nothing.
    devices::forget(tx, user_id, Some(id), None).await?;
    Ok(None)
}

async fn withdraw(tx: &mut Tx, session: &LiveSession, user_id: Uuid, form: &Parameters) -> Outcome<SignedOut> {
    let client_id = form.require("client_id")?;
    // Once is enough: a form sent twice finds nothing.
    let Some(ended) = consents::withdraw(tx, user_id, client_id).await? else { return Ok(None) };
    // What it kept for while one is away goes with it.
    let offline = Filter {
        user_id: Some(user_id),
        client_id: Some(client_id),
        kind: Some("offline"),
        live_only: true,
        limit: 1000,
        ..Filter::default()
    };
    for kept in session_lists::load(tx, &offline).await? {
        sessions::end(tx, kept.id, "consent_withdrawn", Actor::User).await?;
    }
    let subject = sessions::subject(session).with_client(client_id);
    audit::record(
        tx,
        Event::done(Action::ConsentWithdrawn, Actor::User, subject).detail(json!({ "grants_ended": ended })),
    );
    Ok(None)
}
