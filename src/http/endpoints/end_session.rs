//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).
//!
//! A hint that names the very session of this browser ends it at once; anything less certain asks the person. Where
//! nobody is signed in there is nothing to ask.

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
        extract::{Browser, Form, Visit, expired_cookie},
        render::{Page, PageName, answer, views},
    },
    jose::verify_own,
    oauth::{Error, Parameters},
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
    if visit.cookie.is_none() && parameters.get("decision").is_none() {
        // A cross-site POST comes without the Lax cookie: a GET of our own brings it.
        let query = parameters.to_query();
        return answer::see_other(&format!("{}?{query}", app.config.issuer.url(PATH)));
    }
    let answered = run(&app, &visit, parameters, true).await;
    answered.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

/// What the request says, as far as it can be believed.
struct Asked {
    client: Option<Client>,
    /// The session that the hint names.
    hinted: Option<Uuid>,
    /// Registered for the client, so the browser may be sent there.
    redirect: Option<String>,
}

async fn run(app: &App, visit: &Visit, parameters: &Parameters, is_post: bool) -> Outcome<HttpResponse> {
    parameters.refuse_repeated()?;
    let (asked, browser) = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(app, visit, tx).await?;
            Ok::<_, Failure>((understand(app, tx, parameters).await?, browser))
        })
        .await?;
    let Some(session) = browser.session.as_ref().filter(|session| session.user_id.is_some()) else {
        return Ok(signed_out(app, visit, &asked, parameters, false));
    };
    if is_post && let Some(decision) = parameters.get("decision") {
        if !csrf::fits(app, session, parameters) {
            return Err(Error::invalid_request("this form is out of date; please try again").into());
        }
        if decision != "sign-out" {
            return Ok(answer::see_other(&app.config.issuer.url("/account")));
        }
    } else if asked.hinted != Some(session.root_id) {
        return Ok(confirm(app, visit, &asked, session, parameters));
    }
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            sessions::end(tx, session.root_id, "signed_out", Actor::User).await.map_err(Failure::from)
        })
        .await?;
    Ok(signed_out(app, visit, &asked, parameters, true))
}

async fn understand(app: &App, tx: &mut crate::db::Tx, parameters: &Parameters) -> Outcome<Asked> {
    let mut asked = Asked { client: None, hinted: None, redirect: None };
    let mut client_id = parameters.get("client_id").map(str::to_owned);
    if let Some(hint) = parameters.get("id_token_hint") {
        // §2: an expired one is still a hint.
        let claims = verify_own(hint, &app.mint.keys.own_jwks(), Some("JWT"))
            .ok_or_else(|| Error::invalid_request("id_token_hint is not an ID token of this server"))?;
        let text = |name: &str| claims.get(name).and_then(|value| value.as_str());
        let audience = text("aud").unwrap_or_default();
        // §2: a client_id beside a hint must be the one it was issued to.
        if client_id.as_deref().is_some_and(|client_id| client_id != audience) {
            return Err(Error::invalid_request("client_id is not the client of the id_token_hint").into());
        }
        client_id = Some(audience.to_owned());
        if let Some(sid) = text("sid").and_then(|sid| sid.parse().ok()) {
            asked.hinted = session_rows::resolve(tx, sid).await?;
        }
    }
    if let Some(client_id) = client_id {
        asked.client = client_rows::find(tx, &client_id).await?.map(Client::from_row).transpose()?;
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
    let kept = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];
    let fields = kept.iter().filter_map(|name| Some(((*name).to_owned(), parameters.get(name)?.to_owned()))).collect();
    let context = views::SignOut {
        action: app.config.issuer.url(PATH),
        csrf: csrf::token(app, session),
        user: Some(csrf::person(session)),
        client: asked.client.as_ref().map(|client| answer::client_view(client, None)),
        fields,
    };
    let page = Page::new(PageName::SignOut)
        .may_redirect_to(asked.redirect.as_deref())
        .may_show(context.client.as_ref().and_then(|client| client.logo.as_deref()));
    answer::page(app, visit, page, &context)
}

fn signed_out(app: &App, visit: &Visit, asked: &Asked, parameters: &Parameters, ended: bool) -> HttpResponse {
    let mut response = if let Some(uri) = &asked.redirect {
        answer::see_other(&with_state(uri, parameters.get("state")))
    } else {
        let context = views::SignedOut {
            client: asked.client.as_ref().map(|client| answer::client_view(client, None)),
            continue_uri: asked.client.as_ref().and_then(|client| client.metadata.client_uri.clone()),
        };
        answer::page(app, visit, Page::new(PageName::SignedOut), &context)
    };
    if ended && let Err(error) = response.add_cookie(&expired_cookie(app)) {
        tracing::error!(%error, "expired cookie");
    }
    response
}

/// §3: `state` is sent back.
fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else { return uri.to_owned() };
    let separator = if uri.contains('?') { '&' } else { '?' };
    let encoded: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
    format!("{uri}{separator}{encoded}")
}
