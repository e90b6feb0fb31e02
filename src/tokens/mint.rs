//! The mint: makes tokens of every form. It stores nothing.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Keys, Subjects,
    id_token::{self, IdTokenFacts},
    jwt_access_token,
    logout_token::{self, LogoutTokenFacts},
    secret::{self, CodeSecrets, PlainToken, RefreshSecrets, RequestUris, TokenHash},
};
use crate::{
    failure::Broken,
    jose::{Algorithm, MasterSecret, Purpose},
    oauth::client_metadata::AccessTokenFormat,
};

/// What an access token says.
#[derive(Clone, Copy, Debug)]
pub struct AccessTokenFacts<'a> {
    pub id: Uuid,
    pub format: AccessTokenFormat,
    pub algorithm: Algorithm,
    /// The person or visitor, as the client knows them; `None`: the client acts for itself.
    pub subject: Option<&'a str>,
    pub client_id: &'a str,
    pub sid: Uuid,
    pub scope: &'a str,
    pub audience: &'a [String],
    /// The person's, where the scope gives them.
    pub groups: Option<&'a [String]>,
    pub acr: &'a str,
    pub amr: &'a [String],
    pub auth_time: Option<DateTime<Utc>>,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// An access token for its holder, and what to store of it.
pub struct MintedAccessToken {
    pub token: PlainToken,
    /// `None` for a JWT.
    pub hash: Option<TokenHash>,
}

impl MintedAccessToken {
    /// The column's value.
    #[must_use]
    pub fn stored(&self) -> Option<&[u8]> {
        self.hash.as_ref().map(|hash| hash.0.as_slice())
    }
}

/// Makes tokens; one for the server.
pub struct Mint {
    pub(super) issuer: String,
    pub keys: Keys,
    pub codes: CodeSecrets,
    pub refresh: RefreshSecrets,
    pub subjects: Subjects,
    pub request_uris: RequestUris,
}

impl Mint {
    #[must_use]
    pub fn new(issuer: &str, master: &MasterSecret) -> Self {
        Self {
            issuer: issuer.to_owned(),
            keys: Keys::new(master.derive(Purpose::SealSigningKeys)),
            codes: CodeSecrets::new(master.derive(Purpose::AuthorizationCodes)),
            refresh: RefreshSecrets::new(master.derive(Purpose::RefreshTokens)),
            subjects: Subjects::new(master.derive(Purpose::SubjectIdentifiers)),
            request_uris: RequestUris::new(master.derive(Purpose::PushedRequests)),
        }
    }

    pub fn access_token(&self, facts: &AccessTokenFacts<'_>) -> Result<MintedAccessToken, Broken> {
        match facts.format {
            AccessTokenFormat::Opaque => {
                let (token, hash) = secret::access_token(facts.id);
                Ok(MintedAccessToken { token, hash: Some(hash) })
            }
            AccessTokenFormat::Jwt => {
                let key = self.keys.signing(facts.algorithm, facts.issued_at)?;
                let claims = jwt_access_token::claims(&self.issuer, facts);
                Ok(MintedAccessToken {
                    token: PlainToken::new(key.sign(jwt_access_token::JWT_TYPE, &claims)?),
                    hash: None,
                })
            }
        }
    }

    pub fn id_token(&self, algorithm: Algorithm, facts: &IdTokenFacts<'_>) -> Result<String, Broken> {
        let key = self.keys.signing(algorithm, facts.issued_at)?;
        key.sign("JWT", &id_token::claims(&self.issuer, algorithm, facts))
    }

    pub fn logout_token(&self, algorithm: Algorithm, facts: &LogoutTokenFacts<'_>) -> Result<String, Broken> {
        let key = self.keys.signing(algorithm, facts.issued_at)?;
        key.sign(logout_token::JWT_TYPE, &logout_token::claims(&self.issuer, facts))
    }
}
