//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).
//!
//! A hint that names the very session of this browser ends it at once; anything less certain asks the person. Where
//! nobody is signed in there is nothing to ask. So `logout_hint` decides nothing: beside a hint that fits it adds nothing,
//! and without one the person is asked. Whoever wants to be told in the browser is (`signing_out`).

use actix_web::{HttpRequest, HttpResponse, web::Data};
use uuid::Uuid;

use crate::{
    app::App,
    audit::Actor,
    clients::Client,
    db::{
        Outcome, clients as client_rows,
        sessions::{self as session_rows, LiveSession},
    },
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit},
        render::{Page, PageName, answer, views},
        signing_out::{self, Onward},
    },
    jose::{base64url, from_base64url, verify_own},
    oauth::{Error, Parameters, redirect_uri::with_query},
    sessions,
};

const PATH: &str = "/oauth/end_session";

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let answered = match Parameters::parse(request.query_string().as_bytes()) {
        Ok(parameters) => run(&app, &visit, &parameters, false).await,
        Err(error) => Err(error.into()),
    };
    answered.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let parameters = &form.0;
    let answered = if visit.cookie.is_none() && parameters.get("decision").is_none() {
        keep(&app, &visit, parameters).await
    } else {
        run(&app, &visit, parameters, true).await
    };
    answered.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

/// A cross-site POST comes without the `Lax` cookie: a GET of our own brings it. What was asked is kept in its address,
/// save the ID token: whoever posts it does not want it in histories and logs. In its place stands what it proved.
async fn keep(app: &App, visit: &Visit, parameters: &Parameters) -> Outcome<HttpResponse> {
    parameters.refuse_unusable()?;
    let asked = app.db.single(visit.now, &visit.trace, async |tx| understand(app, tx, parameters).await).await?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(client) = &asked.client {
        query.append_pair("client_id", &client.id);
        if let Some(sid) = asked.sid {
            query.append_pair("sid", &sid.to_string());
            query.append_pair("proof", &base64url(&app.csrf.mac(&proof(&client.id, &sid))));
        }
    }
    for name in ["post_logout_redirect_uri", "state", "ui_locales", "logout_hint"] {
        if let Some(value) = parameters.get(name) {
            query.append_pair(name, value);
        }
    }
    Ok(answer::see_other(&format!("{}?{}", app.config.issuer.url(PATH), query.finish())))
}

/// That an ID token of this client and `sid` was seen.
fn proof<'a>(client_id: &'a str, sid: &'a Uuid) -> [&'a [u8]; 3] {
    [b"end_session", client_id.as_bytes(), sid.as_bytes()]
}

/// What the request says, as far as it can be believed.
struct Asked {
    client: Option<Client>,
    /// Under which name the hint's client knows a session.
    sid: Option<Uuid>,
    /// That session.
    hinted: Option<Uuid>,
    /// Registered for the client, so the browser may be sent there.
    redirect: Option<String>,
}

async fn run(app: &App, visit: &Visit, parameters: &Parameters, is_post: bool) -> Outcome<HttpResponse> {
    parameters.refuse_unusable()?;
    let (asked, browser) = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(app, visit, tx).await?;
            Ok::<_, Failure>((understand(app, tx, parameters).await?, browser))
        })
        .await?;
    // What is locked is ended by whoever locked it, and not said to be.
    if let Err(locked) = browser.refuse_locked(app, visit) {
        return Ok(locked);
    }
    let meant = |session: &&LiveSession| session.user_id.is_some() || asked.hinted == Some(session.root_id);
    let Some(session) = browser.session.as_ref().filter(meant) else {
        return Ok(signing_out::nothing_to_end(app, visit, onward(&asked, parameters)));
    };
    if is_post && let Some(decision) = parameters.get("decision") {
        csrf::check(app, session, parameters)?;
        if decision != "sign-out" {
            return Ok(answer::see_other(&app.config.issuer.url("/account")));
        }
    } else if asked.hinted != Some(session.root_id) {
        return Ok(confirm(app, visit, &asked, session, parameters));
    }
    let actor = if session.user_id.is_some() { Actor::User } else { Actor::Visitor };
    let parties = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            sessions::sign_out(tx, session.root_id, "signed_out", actor).await.map_err(Failure::from)
        })
        .await?;
    Ok(signing_out::ended(app, visit, &parties, onward(&asked, parameters)))
}

async fn understand(app: &App, tx: &mut crate::db::Tx, parameters: &Parameters) -> Outcome<Asked> {
    let mut asked = Asked { client: None, sid: None, hinted: None, redirect: None };
    let not_ours = || Error::invalid_request("id_token_hint is not an ID token of this server");
    let mut client_id = parameters.get("client_id").map(str::to_owned);
    if let Some(hint) = parameters.get("id_token_hint") {
        // §2: an expired one is still a hint.
        let claims = verify_own(hint, &app.mint.keys.own_jwks(), Some("JWT"))
            .filter(|claims| claims.get("iss").is_some_and(|iss| iss == app.config.issuer.as_str()))
            .ok_or_else(not_ours)?;
        let text = |name: &str| claims.get(name).and_then(|value| value.as_str());
        let audience = text("aud").unwrap_or_default();
        // §2: a client_id beside a hint must be the one it was issued to.
        if client_id.as_deref().is_some_and(|client_id| client_id != audience) {
            return Err(Error::invalid_request("client_id is not the client of the id_token_hint").into());
        }
        client_id = Some(audience.to_owned());
        // Only an ID token says under which sid: other JWTs of ours are no hints.
        asked.sid = Some(text("sid").and_then(|sid| sid.parse().ok()).ok_or_else(not_ours)?);
    } else if let (Some(client_id), Some(sid), Some(tag)) = (&client_id, parameters.get("sid"), parameters.get("proof"))
    {
        // What a cross-site POST had proved.
        let sid: Uuid = sid.parse().map_err(|_| not_ours())?;
        let tag = from_base64url(tag).ok_or_else(not_ours)?;
        if !app.csrf.verify(&proof(client_id, &sid), &tag) {
            return Err(not_ours().into());
        }
        asked.sid = Some(sid);
    }
    if let Some(sid) = asked.sid {
        asked.hinted = session_rows::resolve(tx, sid).await?.first().copied();
    }
    if let Some(client_id) = client_id {
        let client = client_rows::find(tx, &client_id).await?.map(Client::from_row).transpose()?;
        // A disabled one may do nothing, and so lead nobody anywhere.
        asked.client = client.filter(|client| !client.is_disabled);
    }
    if let Some(uri) = parameters.get("post_logout_redirect_uri") {
        // §3: exactly one of the registered ones, or nowhere.
        let registered = asked.client.as_ref().map(|client| client.metadata.post_logout_redirect_uris.as_slice());
        let registered = registered.unwrap_or_default();
        if !registered.iter().any(|registered| registered == uri) {
            let refused = Error::invalid_request("post_logout_redirect_uri is not one registered for this client");
            return Err(refused.detail(format!("{uri:?} is none of {registered:?}")).into());
        }
        asked.redirect = Some(uri.to_owned());
    }
    Ok(asked)
}

fn confirm(app: &App, visit: &Visit, asked: &Asked, session: &LiveSession, parameters: &Parameters) -> HttpResponse {
    let kept = ["id_token_hint", "sid", "proof", "client_id", "post_logout_redirect_uri", "state"];
    let fields = kept.iter().filter_map(|name| Some(((*name).to_owned(), parameters.get(name)?.to_owned()))).collect();
    let context = views::SignOut {
        action: app.config.issuer.url(PATH),
        csrf: csrf::token(app, session),
        user: Some(csrf::person(session)),
        client: asked.client.as_ref().map(|client| answer::client_view(client, None)),
        fields,
    };
    let page = Page::new(PageName::SignOut)
        .may_lead_elsewhere(asked.redirect.is_some())
        .may_show(context.client.as_ref().and_then(|client| client.logo.as_deref()));
    answer::page(app, visit, page, &context)
}

/// Where it leads when it is done.
fn onward<'a>(asked: &'a Asked, parameters: &Parameters) -> Onward<'a> {
    // §3: `state` is sent back.
    let state: Vec<_> = parameters.get("state").map(|state| ("state", state)).into_iter().collect();
    let uri = asked.redirect.as_ref().map(|uri| with_query(uri, &state));
    Onward { client: asked.client.as_ref(), uri }
}
