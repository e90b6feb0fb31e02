//! Discovery (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).

use actix_web::{
    HttpResponse,
    http::header,
    web::{Bytes, Data},
};

use crate::{
    authorize::RESPONSE_MODES,
    clients::authenticate,
    config::{Config, Policy},
    grants::GRANTS,
    http::cors,
    jose::Algorithm,
    oauth::{
        Acr,
        client_metadata::CLIENT_SIGNATURES,
        metadata::{Endpoints, Provider, document},
        scope::{STANDARD_SCOPES, is_standard},
    },
};

/// The document, made once.
pub struct Discovery(Bytes);

impl Discovery {
    pub fn new(config: &Config) -> Self {
        let standard = STANDARD_SCOPES.iter().map(|scope| scope.name);
        let declared = config.scopes.iter().map(|scope| scope.name.as_str()).filter(|name| !is_standard(name));
        let scopes: Vec<_> = standard.chain(declared).collect();
        let grant_types: Vec<_> = GRANTS.iter().map(|grant| grant.name).collect();
        let methods: Vec<_> = authenticate::method_names().collect();
        let own = ["sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "azp", "sid", "nonce", "at_hash"];
        let of_scopes = STANDARD_SCOPES.iter().flat_map(|scope| scope.claims.iter().copied());
        let claims: Vec<_> = own.into_iter().chain(of_scopes.filter(|claim| !own.contains(claim))).collect();
        let response_modes = RESPONSE_MODES.map(|(name, _)| name);
        let unsigned = config.request_objects.unsigned.then_some("none");
        let request_object_algorithms: Vec<_> = CLIENT_SIGNATURES.iter().copied().chain(unsigned).collect();
        let document = document(&Provider {
            issuer: config.issuer.as_str(),
            endpoints: Endpoints {
                authorization: "/oauth/authorize",
                pushed_authorization_request: "/oauth/par",
                token: "/oauth/token",
                userinfo: "/oauth/userinfo",
                jwks: "/oauth/jwks",
                introspection: "/oauth/introspect",
                revocation: "/oauth/revoke",
                end_session: "/oauth/end_session",
                registration: (config.registration.policy != Policy::Off).then_some("/oauth/register"),
            },
            scopes: &scopes,
            grant_types: &grant_types,
            client_authentication_methods: &methods,
            client_assertion_algorithms: CLIENT_SIGNATURES,
            id_token_algorithms: &Algorithm::ALL.map(Algorithm::as_str),
            response_modes: &response_modes,
            response_algorithms: &Algorithm::ALL.map(Algorithm::as_str),
            request_object_algorithms: &request_object_algorithms,
            request_by_reference: config.request_objects.by_reference,
            acr_values: &Acr::ALL.map(Acr::as_str),
            claims: &claims,
            ui_locales: &["en"],
        });
        Self(Bytes::from(document.to_string()))
    }
}

pub async fn discovery(document: Data<Discovery>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header(cors::EVERYONE)
        .body(document.0.clone())
}
