//! An answer to an authorization request: parameters for a place that is trusted with them.

use super::{Carrier, ResponseMode};
use crate::oauth::TrustedRedirectUri;

/// It exists only once the redirect URI has been found among the client's.
#[derive(Clone)]
pub struct Response {
    pub redirect_uri: TrustedRedirectUri,
    pub mode: ResponseMode,
    pub parameters: Vec<(&'static str, String)>,
}

impl Response {
    /// The URL of an answer in the query (OAuth 2.1 §4.1.2), or of an error in the fragment.
    #[must_use]
    pub fn location(&self) -> String {
        let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match self.mode.carrier {
            Carrier::Fragment => self.redirect_uri.with_fragment(&parameters),
            Carrier::Query | Carrier::FormPost => self.redirect_uri.with_query(&parameters),
        }
    }

    /// The same answer as one parameter, this JWT of all the others: none of them stands beside it (JARM §2.3,
    /// RFC 9207 §2.4).
    #[must_use]
    pub fn sealed(&self, jwt: String) -> Self {
        Self { parameters: vec![("response", jwt)], ..self.clone() }
    }
}
