//! Tokens: their secrets, their forms, and the look-up that answers whether one is live.
//!
//! An opaque token is `prefix_` and base64url of its row's id and its secret, so it is found by primary key and compared
//! in constant time. Not for the decision to issue one: that is `grants`' and `authorize`'s.

mod audience;
mod id_token;
mod jwt_access_token;
mod keys;
mod logout_token;
mod mint;
mod present;
mod secret;
mod signed_answer;
mod subject;

pub use audience::{Audience, Audiences, not_for_visitors};
pub use id_token::{Authentication, IdTokenFacts};
pub use keys::{JWKS_MAX_AGE, Keys, PUBLISHED_WITHIN, Retirement, generate_missing, retire, rotate};
pub use logout_token::LogoutTokenFacts;
pub use mint::{AccessTokenFacts, Mint, MintedAccessToken};
pub use present::Presented;
pub use secret::{CodeSecrets, PlainToken, REQUEST_URI, RefreshSecrets, RefreshToken, RequestUris, ResetLinks};
pub use signed_answer::INTROSPECTION_TYPE;
pub use subject::Subjects;
