//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).
//!
//! A hint that names the very session of this browser ends it at once; anything less certain asks the person. Where
//! nobody is signed in there is nothing to ask: a hint then ends what its client has in the session that it names
//! (`remote`). So `logout_hint` decides nothing: beside a hint that fits it adds nothing, and without one the person is
//! asked. Whoever wants to be told in the browser is (`signing_out`). A client that registered itself leads nobody anywhere
//! without a hint, unless the person agrees.

mod asked;
mod remote;

use actix_web::{HttpRequest, HttpResponse, web::Data};

use self::asked::Asked;

use crate::{
    app::App,
    audit::Actor,
    db::{Outcome, sessions::LiveSession},
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit},
        render::{Page, PageName, answer, views},
        signing_out::{self, Onward},
    },
    oauth::{Parameters, redirect_uri::with_query},
    sessions,
};

const PATH: &str = "/oauth/end_session";

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let answered = match Parameters::parse(request.query_string().as_bytes()) {
        Ok(parameters) => match remote::refuse_secrets_in_address(&parameters) {
            Ok(()) if remote::has_basic(&visit) && !visit.accepts.pages => {
                return remote::by_client(&app, &visit, &parameters).await;
            }
            Ok(()) => run(&app, &visit, &parameters, false).await,
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    };
    answered.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let parameters = &form.0;
    if remote::is_authenticated(&visit, parameters) {
        return remote::by_client(&app, &visit, parameters).await;
    }
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
    let asked = app.db.single(visit.now, &visit.trace, async |tx| Asked::read(app, tx, parameters).await).await?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(client) = &asked.client {
        query.append_pair("client_id", &client.id);
        if let Some((sid, proof)) = asked.proof(app) {
            query.append_pair("sid", &sid.to_string());
            query.append_pair("proof", &proof);
        }
    }
    for name in ["post_logout_redirect_uri", "state", "ui_locales", "logout_hint"] {
        if let Some(value) = parameters.get(name) {
            query.append_pair(name, value);
        }
    }
    Ok(answer::see_other(&format!("{}?{}", app.config.issuer.url(PATH), query.finish())))
}

async fn run(app: &App, visit: &Visit, parameters: &Parameters, is_post: bool) -> Outcome<HttpResponse> {
    parameters.refuse_unusable()?;
    let (asked, browser) = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(app, visit, tx).await?;
            Ok::<_, Failure>((Asked::read(app, tx, parameters).await?, browser))
        })
        .await?;
    // What is locked is ended by whoever locked it, and not said to be.
    if let Err(locked) = browser.refuse_locked(app, visit) {
        return Ok(locked);
    }
    let meant = |session: &&LiveSession| session.user_id.is_some() || asked.hinted == Some(session.root_id);
    let Some(session) = browser.session.as_ref().filter(meant) else {
        return remote::by_hint(app, visit, &asked, parameters).await;
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
    // Whoever is not led on by a hint has just been asked.
    let onward = Onward { asks: false, ..onward(&asked, parameters) };
    Ok(signing_out::ended(app, visit, &parties, onward))
}

fn confirm(app: &App, visit: &Visit, asked: &Asked, session: &LiveSession, parameters: &Parameters) -> HttpResponse {
    let kept = ["id_token_hint", "sid", "proof", "client_id", "post_logout_redirect_uri", "state"];
    let fields = kept.iter().filter_map(|name| Some(((*name).to_owned(), parameters.get(name)?.to_owned()))).collect();
    let client = asked.client.as_ref().map(|client| {
        if asked.registered_itself {
            answer::unverified_view(client, asked.redirect.as_deref())
        } else {
            answer::client_view(client, None)
        }
    });
    let context = views::SignOut {
        action: app.config.issuer.url(PATH),
        csrf: csrf::token(app, session),
        user: Some(csrf::person(session)),
        client,
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
    // Anybody can name a client that anybody can register, so its word needs an ID token beside it.
    let is_vouched_for = !asked.registered_itself || asked.sid.is_some();
    let asks = uri.is_some() && !is_vouched_for;
    Onward { client: asked.client.as_ref().filter(|_| is_vouched_for || asks), uri, asks }
}
