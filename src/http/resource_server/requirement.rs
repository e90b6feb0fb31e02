//! What a route asks of a token: scope, how strongly its person was authenticated, and how long ago (RFC 6750, RFC 9470).

use chrono::TimeDelta;

use super::{AccessToken, Refusal};

/// From weakest to strongest; a stronger class does where a weaker one is asked for. A class that is not here does only
/// where it is asked for by its name.
const CLASSES: [&str; 5] = ["urn:mooring:acr:visitor", "urn:mooring:acr:pwd", "urn:mooring:acr:mfa", "phr", "phrh"];

/// What a request must bring. Made once, as a constant, beside the route that it protects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    scope: &'static str,
    acr: Option<&'static str>,
    max_age: Option<u32>,
}

impl Requirement {
    /// All of these scopes, separated by spaces; none of them: `""`.
    #[must_use]
    pub const fn scope(scope: &'static str) -> Self {
        Self { scope, acr: None, max_age: None }
    }

    /// The person authenticated by this class or a stronger one.
    #[must_use]
    pub const fn acr(self, acr: &'static str) -> Self {
        Self { acr: Some(acr), ..self }
    }

    /// They did so at most so many seconds ago.
    #[must_use]
    pub const fn max_age(self, seconds: u32) -> Self {
        Self { max_age: Some(seconds), ..self }
    }

    /// Refuses a token that is not enough. One whose authentication is too weak is told so before one that lacks a scope: the
    /// client needs a new one either way, and learns all that it has to ask for.
    pub fn check(&self, token: &AccessToken) -> Result<(), Refusal> {
        let lacks = !self.scope.split_whitespace().all(|scope| token.has(scope));
        let weak = self.acr.is_some_and(|acr| !token.acr.as_deref().is_some_and(|own| is_enough(own, acr)));
        let old = self.max_age.is_some_and(|seconds| {
            token.auth_time.is_none_or(|at| token.seen_at - at > TimeDelta::seconds(i64::from(seconds)))
        });
        if weak || old {
            return Err(Refusal::InsufficientUserAuthentication { required: *self, is_weak: weak, lacks });
        }
        if lacks { Err(Refusal::InsufficientScope(self.scope.to_owned())) } else { Ok(()) }
    }

    /// As parameters of a challenge (RFC 9470 §3).
    pub(super) fn parameters(&self, with_scope: bool) -> String {
        let acr = self.acr.map(|acr| format!(", acr_values=\"{acr}\"")).unwrap_or_default();
        let max_age = self.max_age.map(|seconds| format!(", max_age=\"{seconds}\"")).unwrap_or_default();
        let scope = if with_scope { format!(", scope=\"{}\"", self.scope) } else { String::new() };
        [acr, max_age, scope].concat()
    }
}

fn is_enough(own: &str, required: &str) -> bool {
    let rank = |class: &str| CLASSES.iter().position(|other| *other == class);
    own == required || rank(own).zip(rank(required)).is_some_and(|(own, required)| own >= required)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const PAYMENT: Requirement = Requirement::scope("payments:write").acr("phr").max_age(300);

    fn token(scope: &str, acr: Option<&str>, age: Option<i64>) -> AccessToken {
        let now = Clock::default().now();
        let mut token = AccessToken::of(serde_json::Map::new(), now);
        token.scope = scope.split_whitespace().map(str::to_owned).collect();
        token.acr = acr.map(str::to_owned);
        token.auth_time = age.map(|seconds| now - TimeDelta::seconds(seconds));
        token
    }

    #[test]
    fn enough_is_enough() {
        for (acr, age) in [("phr", 0), ("phr", 300), ("phrh", 10), ("phr", -30)] {
            assert!(PAYMENT.check(&token("openid payments:write", Some(acr), Some(age))).is_ok(), "{acr} {age}");
        }
        assert!(Requirement::scope("").check(&token("", None, None)).is_ok());
        assert!(Requirement::scope("a b").check(&token("b c a", None, None)).is_ok());
        let own = Requirement::scope("").acr("urn:example:gold");
        assert!(own.check(&token("", Some("urn:example:gold"), None)).is_ok());
        assert!(own.check(&token("", Some("phrh"), None)).is_err());
    }

    #[test]
    fn each_lack_is_told() {
        let weak = "Bearer error=\"insufficient_user_authentication\", error_description=\"A stronger authentication is \
                    required\", acr_values=\"phr\", max_age=\"300\"";
        let old = weak.replace("A stronger", "A more recent");
        let with_scope = |challenge: &str| format!("{challenge}, scope=\"payments:write\"");
        for (scope, acr, age, challenge) in [
            ("payments:write", Some("urn:mooring:acr:mfa"), Some(0), weak.to_owned()),
            ("payments:write", Some("phr"), Some(301), old.clone()),
            ("payments:write", Some("urn:mooring:acr:pwd"), Some(301), weak.to_owned()),
            ("payments:write", Some("phr"), None, old),
            ("payments:write", None, None, weak.to_owned()),
            ("payments:write", Some("gold"), Some(0), weak.to_owned()),
            ("openid", Some("urn:mooring:acr:pwd"), Some(0), with_scope(weak)),
            ("payments", Some("phr"), Some(0), "Bearer error=\"insufficient_scope\", scope=\"payments:write\"".into()),
        ] {
            let refusal = PAYMENT.check(&token(scope, acr, age)).unwrap_err();
            assert_eq!(refusal.challenge().unwrap(), challenge, "{scope} {acr:?} {age:?}");
        }
    }
}
