//! Whether somebody proved who they are recently and strongly enough to change what they prove it with.
//!
//! Invariant: a weaker factor, or an old sign-in, never changes a stronger one. Whoever can sign in with a passkey shows it
//! before anything is added, changed or withdrawn; and a passkey that was suspended, because there may be a copy of it, counts
//! until it is withdrawn: whoever has the copy, and the password, is not to get any further by its suspension. Nor by its
//! withdrawal: what was proved before the suspension stays proved with what may have been the copy.

use chrono::{DateTime, TimeDelta, Utc};

use super::passkey::PATIENCE;
pub use crate::db::credentials::Factors;
use crate::{
    db::{
        Tx, credentials,
        sessions::{self, LiveSession},
    },
    failure::Broken,
    oauth::Acr,
    sessions::Proof,
};

/// How old the proof may be.
pub const FRESH: TimeDelta = TimeDelta::minutes(5);

impl Factors {
    /// What it takes to change any of them: the strongest that there is.
    #[must_use]
    pub fn required(&self) -> Required {
        if self.passkeys > 0 {
            Required::Class(Acr::Phr)
        } else if self.suspended {
            Required::RecoveryCode
        } else if self.password && self.totp {
            Required::Class(Acr::Mfa)
        } else {
            Required::Class(Acr::Pwd)
        }
    }

    /// Whether a proof that a session keeps, given at `auth_time`, allows a change at `now`.
    fn allow(&self, acr: &str, amr: &[String], auth_time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        let is_strong = match self.required() {
            Required::Class(class) => acr.parse::<Acr>().is_ok_and(|has| has.satisfies(class)),
            Required::RecoveryCode => Proof::PASSWORD_AND_RECOVERY_CODE.is_of(acr, amr),
        };
        is_strong && auth_time.is_some_and(|at| now - at <= FRESH && credentials::counts(at, self.suspended_at))
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

/// What a change of a factor takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// A proof of this class.
    Class(Acr),
    /// A recovery code, after the password: passkeys are the strongest that they have, and all of those are suspended. Who has
    /// no code needs the operator, who can withdraw them.
    RecoveryCode,
}

impl Required {
    /// The class, or `recovery`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Class(class) => class.as_str(),
            Self::RecoveryCode => "recovery",
        }
    }
}

/// Whether the session's person may change their factors now.
pub async fn may_change_factors(tx: &mut Tx, session: &LiveSession) -> Result<bool, Broken> {
    let Some(user_id) = session.user_id else { return Ok(false) };
    let factors = Factors::load(tx, user_id).await?;
    let is_allowed = factors.allow(&session.acr, &session.amr, session.auth_time, tx.now);
    // A proof by a credential that has died since is none.
    Ok(is_allowed && !sessions::has_lost_proof(tx, session.root_id).await?)
}

/// Whether a change that the session's person was allowed to begin may be finished: they are as strong as it takes by now, and
/// it did not take longer than a ceremony may.
pub async fn may_finish_change(tx: &mut Tx, session: &LiveSession) -> Result<bool, Broken> {
    let Some(user_id) = session.user_id else { return Ok(false) };
    let factors = Factors::load(tx, user_id).await?;
    let is_allowed = factors.allow(&session.acr, &session.amr, session.auth_time, tx.now - PATIENCE);
    Ok(is_allowed && !sessions::has_lost_proof(tx, session.root_id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn allow(factors: Factors, proof: Proof, seconds: i64) -> bool {
        let amr: Vec<String> = proof.amr.iter().map(ToString::to_string).collect();
        factors.allow(proof.acr.as_str(), &amr, Some(now() - TimeDelta::seconds(seconds)), now())
    }

    #[test]
    fn the_strongest_factor_is_asked_for() {
        let of = |passkeys, password, totp| Factors { passkeys, password, totp, ..Factors::default() }.required();
        assert_eq!(of(0, true, false), Required::Class(Acr::Pwd));
        assert_eq!(of(0, true, true), Required::Class(Acr::Mfa));
        assert_eq!(of(1, true, true), Required::Class(Acr::Phr));
        assert_eq!(of(1, false, false), Required::Class(Acr::Phr));
    }

    #[test]
    fn it_is_strong_and_young_or_not_fresh() {
        let password = Factors { password: true, ..Factors::default() };
        let passkey = Factors { passkeys: 1, ..password };
        assert!(allow(passkey, Proof::PASSKEY, 0) && allow(passkey, Proof::HARDWARE_PASSKEY, 300));
        assert!(allow(password, Proof::PASSKEY, 10) && allow(password, Proof::PASSWORD, 300));
        assert!(!allow(passkey, Proof::PASSKEY, 301) && !allow(password, Proof::PASSWORD, 301));
        assert!(!allow(passkey, Proof::PASSWORD_AND_CODE, 0));
        assert!(!allow(passkey, Proof::PASSWORD_AND_RECOVERY_CODE, 0));
        assert!(!password.allow("nonsense", &[], Some(now()), now()));
        assert!(!password.allow("phr", &[], None, now()));
    }

    #[test]
    fn a_suspended_passkey_is_made_up_for_by_another_or_by_a_recovery_code() {
        let ago = |seconds| Some(now() - TimeDelta::seconds(seconds));
        let (password, totp, suspended_at) = (true, true, ago(100));
        let suspended = Factors { password, totp, suspended: true, suspended_at, ..Factors::default() };
        let another = Factors { passkeys: 1, ..suspended };
        assert!(allow(suspended, Proof::PASSWORD_AND_RECOVERY_CODE, 99));
        for weak in [Proof::PASSWORD, Proof::PASSWORD_AND_CODE, Proof::PASSKEY, Proof::HARDWARE_PASSKEY] {
            assert!(!allow(suspended, weak, 0), "{weak:?}");
        }
        assert!(allow(another, Proof::PASSKEY, 99) && !allow(another, Proof::PASSWORD_AND_RECOVERY_CODE, 0));
        // Nor by what was shown before, perhaps by whoever has the copy.
        assert!(!allow(another, Proof::PASSKEY, 100) && !allow(suspended, Proof::PASSWORD_AND_RECOVERY_CODE, 101));
        // That it is withdrawn makes nothing good of before.
        let withdrawn = Factors { suspended: false, ..suspended };
        assert!(allow(withdrawn, Proof::PASSWORD_AND_CODE, 99) && !allow(withdrawn, Proof::PASSKEY, 101));
    }

    #[test]
    fn the_last_way_in_is_not_spared() {
        let of = |passkeys, password| Factors { passkeys, password, ..Factors::default() }.can_spare_a_passkey();
        assert!(of(1, true) && of(2, false) && !of(1, false));
    }
}
