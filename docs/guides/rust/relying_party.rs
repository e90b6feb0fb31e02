//! A relying party of Mooring with the crate `openidconnect`: all of an application but its web framework.

use std::{collections::HashMap, error::Error, future::Future, pin::Pin};

use openidconnect::{
    AccessToken, AccessTokenHash, AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndSessionUrl,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, LogoutRequest, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, ProviderMetadataWithLogout,
    RedirectUrl, RefreshToken, Scope, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreUserInfoClaims},
};
use url::Url;

pub type Refused = Box<dyn Error + Send + Sync>;

pub struct RelyingParty {
    http: Http,
    issuer: String,
    client: CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>,
    end_session: EndSessionUrl,
}

/// A sign-in on its way. It is kept for the browser that began it, under a cookie, until the answer comes.
pub struct Attempt {
    state: CsrfToken,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

/// Somebody who is signed in at the application.
pub struct Visit {
    pub id_token: CoreIdToken,
    pub access_token: AccessToken,
    pub refresh_token: RefreshToken,
    pub person: CoreUserInfoClaims,
}

impl RelyingParty {
    /// Reads the discovery document and the keys; once, at the start. Without a secret it is a public client.
    pub async fn discover(
        http: reqwest::Client,
        issuer: &str,
        client_id: &str,
        secret: Option<&str>,
        redirect_uri: &str,
    ) -> Result<Self, Refused> {
        let http = Http(http);
        let metadata = ProviderMetadataWithLogout::discover_async(IssuerUrl::new(issuer.into())?, &http).await?;
        let end_session = metadata.additional_metadata().end_session_endpoint.clone();
        let client = CoreClient::from_provider_metadata(
            metadata,
            ClientId::new(client_id.into()),
            secret.map(|secret| ClientSecret::new(secret.into())),
        )
        .set_redirect_uri(RedirectUrl::new(redirect_uri.into())?);
        let end_session = end_session.ok_or("no end_session_endpoint")?;
        Ok(Self { http, issuer: issuer.into(), client, end_session })
    }

    /// Where to send the browser.
    pub fn begin(&self) -> (Url, Attempt) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = self
            .client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.into())))
            .set_pkce_challenge(challenge)
            .url();
        (url, Attempt { state, nonce, verifier })
    }

    /// What the browser brought back to the redirect URI.
    pub async fn finish(&self, attempt: Attempt, answer: &HashMap<String, String>) -> Result<Visit, Refused> {
        // RFC 9207: the answer is from the server that was asked.
        if answer.get("state") != Some(attempt.state.secret()) || answer.get("iss") != Some(&self.issuer) {
            return Err("the answer is to another question".into());
        }
        if let Some(error) = answer.get("error") {
            return Err(error.as_str().into());
        }
        let code = AuthorizationCode::new(answer.get("code").ok_or("no code")?.clone());
        let tokens =
            self.client.exchange_code(code)?.set_pkce_verifier(attempt.verifier).request_async(&self.http).await?;
        let id_token = tokens.id_token().ok_or("no ID token")?;
        // Signature, issuer, audience, times and nonce.
        let verifier = self.client.id_token_verifier();
        let claims = id_token.claims(&verifier, &attempt.nonce)?;
        let (alg, key) = (id_token.signing_alg()?, id_token.signing_key(&verifier)?);
        let at_hash = AccessTokenHash::from_token(tokens.access_token(), alg, key)?;
        if claims.access_token_hash() != Some(&at_hash) {
            return Err("the ID token is not for this access token".into());
        }
        // The ID token says who signed in and how (sub, sid, acr, auth_time); name and email are userinfo's to tell.
        let person = self
            .client
            .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))?
            .request_async(&self.http)
            .await?;
        Ok(Visit {
            id_token: id_token.clone(),
            access_token: tokens.access_token().clone(),
            refresh_token: tokens.refresh_token().ok_or("no refresh token: is it in grant_types?")?.clone(),
            person,
        })
    }

    /// New tokens. Refused when the session at Mooring is over, and then the visit is over, too.
    pub async fn refresh(&self, visit: &mut Visit) -> Result<(), Refused> {
        let tokens = self.client.exchange_refresh_token(&visit.refresh_token)?.request_async(&self.http).await?;
        visit.access_token = tokens.access_token().clone();
        if let Some(successor) = tokens.refresh_token() {
            visit.refresh_token = successor.clone();
        }
        if let Some(id_token) = tokens.id_token() {
            visit.id_token = id_token.clone();
        }
        Ok(())
    }

    /// What an application does with its access token: here it asks for userinfo.
    pub async fn userinfo(&self, visit: &Visit) -> Result<CoreUserInfoClaims, Refused> {
        Ok(self.client.user_info(visit.access_token.clone(), None)?.request_async(&self.http).await?)
    }

    /// Where to send the browser that wants to be signed out, and where it comes back to.
    pub fn sign_out(&self, visit: &Visit, back: &str) -> Result<Url, Refused> {
        Ok(LogoutRequest::from(self.end_session.clone())
            .set_id_token_hint(&visit.id_token)
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(back.into())?)
            .http_get_url())
    }
}

/// For a reqwest other than the one that openidconnect's feature `reqwest` brings. It must not follow redirects.
pub struct Http(pub reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, reqwest::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into()?).await?;
            let mut response = HttpResponse::new(Vec::new());
            *response.status_mut() = answer.status();
            response.headers_mut().clone_from(answer.headers());
            *response.body_mut() = answer.bytes().await?.to_vec();
            Ok(response)
        })
    }
}
