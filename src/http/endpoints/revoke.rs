//! Token revocation (RFC 7009). A refresh token ends its family; an access token ends alone.

use actix_web::{HttpResponse, http::StatusCode, web::Data};

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    clients::Client,
    db::{Outcome, access_tokens, grants},
    failure::Failure,
    http::{
        client_call::{audiences, authenticator, credentials},
        cors,
        extract::{BadBody, Form, Visit},
        render::json,
    },
    sessions,
    tokens::{Presented, RefreshSecrets},
};

pub async fn revoke(app: Data<App>, visit: Visit, form: Result<Form, BadBody>) -> HttpResponse {
    let form = match form {
        Ok(form) => form,
        Err(bad) => return cors::unread(&app, &visit, &bad).await,
    };
    // §2.2: an invalid token is no error; it is as revoked as can be.
    let answered = run(&app, &visit, &form).await;
    let answered = answered.map(|client| (client, json::private(StatusCode::OK, &serde_json::json!({}))));
    cors::answer(&app, &visit, &form.0, answered).await
}

async fn run(app: &App, visit: &Visit, form: &Form) -> Outcome<Client> {
    let credentials = credentials(app, visit, &form.0).await?;
    let token = form.0.require("token")?;
    let audiences = audiences(app, "/oauth/revoke");
    let audiences = audiences.each_ref().map(String::as_str);
    let authenticator = authenticator(app, visit, &audiences);
    if let Some(presented) = RefreshSecrets::parse(token) {
        return revoke_family(app, visit, &authenticator, &credentials, &presented).await;
    }
    let presented = Presented::read(token, &app.mint.keys);
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let id = presented.as_ref().map(|presented| presented.id);
            access_tokens::find_live_with_caller(tx, &credentials.client_id, id).await.map_err(Failure::from)
        })
        .await?;
    let (row, token) = found.map_or((None, None), |(row, token)| (Some(row), token));
    let client = authenticator.authenticate(&credentials, row).await?;
    // §2.1: only the client it was issued to.
    let own = token
        .zip(presented)
        .filter(|(token, presented)| presented.is_genuine(token) && token.token_client_id == client.id);
    if let Some((token, _)) = own {
        app.db
            .work(visit.now, &visit.trace, async |tx| {
                if access_tokens::revoke(tx, token.id).await? {
                    let subject = Subject {
                        session_id: Some(token.session_id),
                        session_kind: Some(token.session_kind.clone()),
                        user_id: token.user_id,
                        client_id: Some(client.id.clone()),
                    };
                    audit::record(tx, Event::done(Action::TokenRevoked, Actor::Client, subject));
                }
                Ok::<_, Failure>(())
            })
            .await?;
    }
    Ok(client)
}

async fn revoke_family(
    app: &App,
    visit: &Visit,
    authenticator: &crate::clients::authenticate::Authenticator<'_>,
    credentials: &crate::clients::authenticate::Credentials,
    presented: &crate::tokens::RefreshToken,
) -> Outcome<Client> {
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            grants::find_refresh_with_client(tx, &credentials.client_id, Some(presented.grant_id))
                .await
                .map_err(Failure::from)
        })
        .await?;
    let (row, state) = found.map_or((None, None), |(row, state)| (Some(row), state));
    let client = authenticator.authenticate(credentials, row).await?;
    let own = state.filter(|state| state.client_id == client.id && app.mint.refresh.is_genuine(presented, &state.seed));
    if let Some(state) = own {
        app.db
            .work(visit.now, &visit.trace, async |tx| {
                if sessions::end_family(tx, state.grant_id, "revoked", Actor::Client).await? {
                    let subject = Subject {
                        session_id: Some(state.session_id),
                        session_kind: Some(state.session_kind.clone()),
                        user_id: state.user_id,
                        client_id: Some(client.id.clone()),
                    };
                    audit::record(tx, Event::done(Action::GrantRevoked, Actor::Client, subject).reason("revoked"));
                }
                Ok::<_, Failure>(())
            })
            .await?;
    }
    Ok(client)
}
