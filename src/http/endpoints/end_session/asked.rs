//! What a request for a sign-out says, as far as it can be believed.

use uuid::Uuid;

use crate::{
    app::App,
    clients::Client,
    db::{Outcome, Tx, clients as client_rows, registrations, sessions as session_rows},
    jose::{base64url, from_base64url, verify_own},
    oauth::{Error, Parameters},
};

/// What is believed.
#[derive(Default)]
pub struct Asked {
    pub client: Option<Client>,
    /// That client registered itself: nobody has checked where it leads.
    pub registered_itself: bool,
    /// Under which name the hint's client knows a session.
    pub sid: Option<Uuid>,
    /// That session, live or not.
    pub hinted: Option<Uuid>,
    /// Registered for the client, so the browser may be sent there.
    pub redirect: Option<String>,
}

impl Asked {
    pub async fn read(app: &App, tx: &mut Tx, parameters: &Parameters) -> Outcome<Self> {
        let mut asked = Self::default();
        let mut client_id = parameters.get("client_id").map(str::to_owned);
        if let Some(hint) = parameters.get("id_token_hint") {
            let (audience, sid) = by_hint(app, hint)?;
            // §2: a client_id beside a hint must be the one it was issued to.
            if client_id.as_deref().is_some_and(|client_id| client_id != audience) {
                return Err(Error::invalid_request("client_id is not the client of the id_token_hint").into());
            }
            (client_id, asked.sid) = (Some(audience), Some(sid));
        } else if let (Some(client_id), Some(sid), Some(tag)) =
            (&client_id, parameters.get("sid"), parameters.get("proof"))
        {
            // What a cross-site POST had proved.
            let sid: Uuid = sid.parse().map_err(|_| not_ours())?;
            let tag = from_base64url(tag).ok_or_else(not_ours)?;
            if !app.csrf.verify(&proved(client_id, &sid), &tag) {
                return Err(not_ours().into());
            }
            asked.sid = Some(sid);
        }
        if let Some(sid) = asked.sid {
            asked.hinted = session_rows::resolve(tx, sid).await?.first().copied();
        }
        if let Some(client_id) = &client_id {
            let client = client_rows::find(tx, client_id).await?.map(Client::from_row).transpose()?;
            // A disabled one may do nothing, and so lead nobody anywhere.
            asked.client = client.filter(|client| !client.is_disabled);
            asked.registered_itself = registrations::is_registered(tx, client_id).await?;
        }
        if let Some(uri) = parameters.get("post_logout_redirect_uri") {
            asked.redirect = Some(asked.redirect(uri, client_id.as_deref())?);
        }
        Ok(asked)
    }

    /// §3: exactly one of the registered ones, or nowhere.
    fn redirect(&self, uri: &str, client_id: Option<&str>) -> Result<String, Error> {
        let Some(client) = &self.client else {
            if let Some(id) = client_id {
                return Err(Error::invalid_request("there is no client of this client_id").sent("client_id", id));
            }
            let problem =
                "post_logout_redirect_uri needs id_token_hint or client_id beside it: nothing else says whose it is";
            return Err(Error::invalid_request(problem).sent("post_logout_redirect_uri", uri));
        };
        let registered = &client.metadata.post_logout_redirect_uris;
        if registered.iter().any(|registered| registered == uri) {
            return Ok(uri.to_owned());
        }
        let refused = Error::invalid_request("post_logout_redirect_uri is not one registered for this client");
        Err(refused
            .detail(format!("client {}, registered: {registered:?}", client.id))
            .mend("add it to the client's post_logout_redirect_uris, character by character")
            .sent("post_logout_redirect_uri", uri))
    }

    /// What stands in an address in place of the ID token.
    pub fn proof(&self, app: &App) -> Option<(Uuid, String)> {
        let (client, sid) = (self.client.as_ref()?, self.sid?);
        Some((sid, base64url(&app.csrf.mac(&proved(&client.id, &sid)))))
    }
}

/// The client and `sid` of an ID token of ours. §2: an expired one is still a hint.
fn by_hint(app: &App, hint: &str) -> Result<(String, Uuid), Error> {
    let claims = verify_own(hint, &app.mint.keys.own_jwks(), Some("JWT"))
        .filter(|claims| claims.get("iss").is_some_and(|iss| iss == app.config.issuer.as_str()))
        .ok_or_else(not_ours)?;
    let text = |name: &str| claims.get(name).and_then(|value| value.as_str());
    // Only an ID token says under which sid: other JWTs of ours are no hints.
    let sid = text("sid").and_then(|sid| sid.parse().ok()).ok_or_else(not_ours)?;
    Ok((text("aud").unwrap_or_default().to_owned(), sid))
}

fn not_ours() -> Error {
    Error::invalid_request("id_token_hint is not an ID token of this server")
}

/// That an ID token of this client and `sid` was seen.
fn proved<'a>(client_id: &'a str, sid: &'a Uuid) -> [&'a [u8]; 3] {
    [b"end_session", client_id.as_bytes(), sid.as_bytes()]
}
