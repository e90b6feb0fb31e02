//! Whether a JWT is of now: `exp`, `nbf` and `iat` (RFC 7519 §4.1.4 to §4.1.6). How long it may be good at most, and
//! whether one of them has to be there, is for whoever reads it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// By how much two clocks may disagree.
pub const SKEW_SECONDS: i64 = 10;

/// Why a JWT is not of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untimely {
    NotANumber,
    Expired,
    NotYet,
}

impl Untimely {
    /// As it is told to a client; `what` names the JWT.
    pub fn said_of(self, what: &str) -> String {
        match self {
            Self::NotANumber => format!("exp, nbf and iat of {what} must be numbers"),
            Self::Expired => format!("{what} has expired"),
            Self::NotYet => format!("nbf or iat of {what} is in the future"),
        }
    }
}

/// Judges those of the three that are there, and gives `exp`.
pub(super) fn check_times(claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<Option<i64>, Untimely> {
    let now = now.timestamp();
    let expires = numeric_date(claims, "exp")?;
    if expires.is_some_and(|at| at <= now - SKEW_SECONDS) {
        return Err(Untimely::Expired);
    }
    for name in ["nbf", "iat"] {
        if numeric_date(claims, name)?.is_some_and(|at| at > now + SKEW_SECONDS) {
            return Err(Untimely::NotYet);
        }
    }
    Ok(expires)
}

/// A NumericDate in whole seconds (RFC 7519 §2: a JSON number, which may have a fraction).
fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Untimely> {
    claims
        .get(name)
        .map(|value| value.as_i64().or_else(|| value.as_f64().and_then(whole_seconds)).ok_or(Untimely::NotANumber))
        .transpose()
}

/// Nothing beyond the year 9999: no clock says so, and the arithmetic stays far from its ends.
fn whole_seconds(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "cutting off the fraction is meant, and the range is checked")]
    (0.0..253_402_300_800.0).contains(&seconds).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn outcome(claims: &Value) -> Result<Option<i64>, Untimely> {
        check_times(claims.as_object().unwrap(), DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn what_is_there_is_judged_within_ten_seconds() {
        for (claims, expected) in [
            (json!({}), Ok(None)),
            (json!({ "exp": NOW - 9, "nbf": NOW + 10, "iat": NOW + 10 }), Ok(Some(NOW - 9))),
            (json!({ "exp": 1_800_000_060.9 }), Ok(Some(NOW + 60))),
            (json!({ "exp": NOW - 10 }), Err(Untimely::Expired)),
            (json!({ "exp": i64::MIN }), Err(Untimely::Expired)),
            (json!({ "nbf": NOW + 11 }), Err(Untimely::NotYet)),
            (json!({ "iat": i64::MAX }), Err(Untimely::NotYet)),
            (json!({ "exp": null }), Err(Untimely::NotANumber)),
            (json!({ "exp": "1800000060" }), Err(Untimely::NotANumber)),
            (json!({ "exp": u64::MAX }), Err(Untimely::NotANumber)),
            (json!({ "iat": 1e300 }), Err(Untimely::NotANumber)),
            (json!({ "nbf": -0.5 }), Err(Untimely::NotANumber)),
        ] {
            assert_eq!(outcome(&claims), expected, "{claims}");
        }
    }
}
