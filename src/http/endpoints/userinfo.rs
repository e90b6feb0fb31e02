//! Userinfo (OIDC Core §5.3): one statement finds the token with the person.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};

use crate::{
    app::App,
    clients::scope::registered,
    db::{Outcome, access_tokens},
    engine::resource,
    failure::{Broken, Failure},
    http::{
        cors,
        extract::{BadBody, Body, Visit},
        render::json,
    },
    oauth::{ClaimsRequest, ClientMetadata, Error, Parameters, Scope, claims, scope::OPENID},
    tokens::Presented,
};

pub async fn userinfo(app: Data<App>, visit: Visit, request: HttpRequest, body: Result<Body, BadBody>) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(bad) => return cors::unread(&app, &visit, &bad).await,
    };
    match run(&app, &visit, &request, &body.0).await {
        Ok((client, mut response)) => {
            cors::allow_client(&visit, Some(&client), &mut response);
            cors::log_unread(&app, &visit, client.client_id.as_deref(), &response);
            response
        }
        Err(failure) => {
            let mut response = json::bearer_failure(&visit, &failure);
            cors::allow_known_origin(&app, &visit, &mut response).await;
            cors::log_unread(&app, &visit, None, &response);
            response
        }
    }
}

async fn run(app: &App, visit: &Visit, request: &HttpRequest, body: &[u8]) -> Outcome<(ClientMetadata, HttpResponse)> {
    let token = bearer(visit, request, body)?;
    let invalid = || Error::invalid_token("the access token is not valid (any more)");
    let presented = Presented::read(&token, &app.mint.keys).ok_or_else(invalid)?;
    let live = app
        .db
        .read(visit.now, &visit.trace, async |tx| {
            access_tokens::find_live(tx, presented.id).await.map_err(Failure::from)
        })
        .await?
        .filter(|row| presented.is_genuine(row))
        .ok_or_else(invalid)?;
    // RFC 9068 §4, RFC 8707 §2: a token that the client wanted for an API alone is not good here.
    if !live.audience.iter().any(|audience| audience == app.config.issuer.as_str()) {
        let hint =
            "the access token is for an API only: ask for openid, and leave resource out or name the issuer with it";
        return Err(Error::invalid_token(hint).into());
    }
    resource::admit(OPENID, &live.scope)?;
    let who = app.mint.subjects.who(live.user_id, &live.session_kind, live.session_id);
    let who = who.ok_or_else(|| Error::invalid_token("the access token speaks of nobody"))?;
    let requested: Option<ClaimsRequest> = live.claims.map(serde_json::from_value).transpose().map_err(Broken::new)?;
    let person = claims::of_person(live.username.as_deref(), live.user_claims.as_ref(), live.groups.as_deref());
    let client = live.client_metadata.ok_or_else(|| Broken::new("an access token of no client"))?;
    let client = client.into_inner()?;
    // What was taken out of the client's registration since is not released any more.
    let registered = registered(&client);
    let scope = Scope::parse(&live.scope)?.intersection(&registered);
    let requested = requested.unwrap_or_default().restricted_to(&registered);
    let mut claims = claims::release(&person, &scope, &requested.userinfo);
    claims.insert("sub".into(), app.mint.subjects.of(&client, who).into());
    let response = match client.userinfo_signed_response_alg {
        None => json::private(StatusCode::OK, &claims),
        // OIDC Core §5.3.2: for a client that is registered for it.
        Some(algorithm) => {
            let jwt = app.mint.userinfo(algorithm.into(), &live.token_client_id, claims, visit.now)?;
            json::signed("application/jwt", jwt)
        }
    };
    Ok((client, response))
}

/// The token, from the header or the form body, in one place only (RFC 6750 §2).
fn bearer(visit: &Visit, request: &HttpRequest, body: &[u8]) -> Result<String, Failure> {
    let from_header = match visit.authorization.as_deref().map(|header| header.split_once(' ').unwrap_or((header, "")))
    {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        _ => None,
    };
    // Two headers, as RFC 9110 §5.3 puts them together: no token has a comma (RFC 6750 §2.1).
    if from_header.as_ref().is_some_and(|token| token.contains(',')) {
        return Err(Error::invalid_request("the request authenticates in more than one way").into());
    }
    let is_form =
        actix_web::HttpMessage::content_type(request).eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let from_body = if is_form && !body.is_empty() {
        let parameters = Parameters::parse(body)?;
        parameters.refuse_unusable()?;
        parameters.get("access_token").map(str::to_owned)
    } else {
        None
    };
    match (from_header, from_body) {
        (Some(_), Some(_)) => Err(Error::invalid_request("the access token is sent in more than one way").into()),
        (Some(token), None) | (None, Some(token)) if !token.is_empty() => Ok(token),
        // RFC 6750 §3.1: no token, no error code.
        _ => Err(Error::invalid_token("").into()),
    }
}
