//! Whether somebody proved who they are recently and strongly enough to change what they prove it with.
//!
//! Invariant: a weaker factor, or an old sign-in, never changes a stronger one. Whoever can sign in with a passkey shows it
//! before anything is added, changed or withdrawn.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::passkey::PATIENCE;
use crate::{
    db::{Tx, credentials, sessions::LiveSession},
    failure::Broken,
    oauth::Acr,
};

/// How old the proof may be.
pub const FRESH: TimeDelta = TimeDelta::minutes(5);

/// What a person can prove themselves with at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    pub passkeys: i64,
    pub password: bool,
    pub totp: bool,
    pub recovery_codes: i64,
}

impl Factors {
    pub async fn load(tx: &mut Tx, user_id: Uuid) -> Result<Self, Broken> {
        let mut factors = Self::default();
        for (kind, count) in credentials::count_usable(tx, user_id).await? {
            match kind.as_str() {
                "passkey" => factors.passkeys = count,
                "password" => factors.password = count > 0,
                "totp" => factors.totp = count > 0,
                "recovery" => factors.recovery_codes = count,
                _ => {}
            }
        }
        Ok(factors)
    }

    /// The strongest that they can show.
    #[must_use]
    pub fn strongest(&self) -> Acr {
        if self.passkeys > 0 {
            Acr::Phr
        } else if self.password && self.totp {
            Acr::Mfa
        } else {
            Acr::Pwd
        }
    }

    /// Whether something other than the password is asked for, or can be, to sign in.
    #[must_use]
    pub fn has_another(&self) -> bool {
        self.totp || self.passkeys > 0
    }

    /// Whether they could still sign in with a passkey fewer.
    #[must_use]
    pub fn can_spare_a_passkey(&self) -> bool {
        self.password || self.passkeys > 1
    }
}

/// Whether a proof of class `acr`, given at `auth_time`, allows a change at `now` where `required` can be shown.
#[must_use]
pub fn is_fresh(acr: &str, auth_time: Option<DateTime<Utc>>, required: Acr, now: DateTime<Utc>) -> bool {
    let strong = acr.parse::<Acr>().is_ok_and(|has| has.satisfies(required));
    strong && auth_time.is_some_and(|at| now - at <= FRESH)
}

/// Whether the session's person may change their factors now.
pub async fn may_change_factors(tx: &mut Tx, session: &LiveSession) -> Result<bool, Broken> {
    let Some(user_id) = session.user_id else { return Ok(false) };
    let factors = Factors::load(tx, user_id).await?;
    Ok(is_fresh(&session.acr, session.auth_time, factors.strongest(), tx.now))
}

/// Whether a change that the session's person was allowed to begin may be finished: they are as strong as it takes by now, and
/// it did not take longer than a ceremony may.
pub async fn may_finish_change(tx: &mut Tx, session: &LiveSession) -> Result<bool, Broken> {
    let Some(user_id) = session.user_id else { return Ok(false) };
    let factors = Factors::load(tx, user_id).await?;
    Ok(is_fresh(&session.acr, session.auth_time, factors.strongest(), tx.now - PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_factor_is_asked_for() {
        let of = |passkeys, password, totp| Factors { passkeys, password, totp, recovery_codes: 0 }.strongest();
        assert_eq!(of(0, true, false), Acr::Pwd);
        assert_eq!(of(0, true, true), Acr::Mfa);
        assert_eq!(of(1, true, true), Acr::Phr);
        assert_eq!(of(1, false, false), Acr::Phr);
    }

    #[test]
    fn it_is_strong_and_young_or_not_fresh() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let fresh = |acr, seconds, required| is_fresh(acr, Some(now - TimeDelta::seconds(seconds)), required, now);
        assert!(fresh("phr", 0, Acr::Phr) && fresh("phrh", 300, Acr::Phr) && fresh("phr", 10, Acr::Pwd));
        assert!(!fresh("phr", 301, Acr::Phr) && !fresh("urn:mooring:acr:pwd", 301, Acr::Pwd));
        assert!(!fresh("urn:mooring:acr:mfa", 0, Acr::Phr) && !fresh("nonsense", 0, Acr::Pwd));
        assert!(!is_fresh("phr", None, Acr::Pwd, now));
    }

    #[test]
    fn the_last_way_in_is_not_spared() {
        let of = |passkeys, password| Factors { passkeys, password, ..Factors::default() }.can_spare_a_passkey();
        assert!(of(1, true) && of(2, false) && !of(1, false));
    }
}
