//! What privileged scopes demand of whoever asks for them: the scope table of the configuration, read for one request.

use chrono::TimeDelta;

use crate::{
    config,
    oauth::{Acr, Scope},
};

/// What the privileged scopes of a request demand together: of each part, the strictest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The privileged scopes.
    pub scope: Vec<String>,
    pub acr: Acr,
    /// How old the proof may be when the code is issued.
    pub max_age: TimeDelta,
    /// How long the privileged session may live.
    pub duration: TimeDelta,
    /// Whether a second person must agree.
    pub four_eyes: bool,
    /// Whether the person can go on without them.
    pub break_glass: bool,
    /// Who may ask, from where and when: what each scope says holds.
    pub access: Vec<config::Access>,
}

impl Demand {
    /// `None`: nothing of the scope is privileged.
    #[must_use]
    pub fn of(scope: &Scope, declared: &[config::Scope]) -> Option<Self> {
        let mut demand: Option<Self> = None;
        for declared in declared.iter().filter(|declared| scope.contains(&declared.name)) {
            let Some(privileged) = &declared.privileged else { continue };
            let one = Self {
                scope: vec![declared.name.clone()],
                acr: privileged.acr.class(),
                max_age: privileged.max_age,
                duration: privileged.duration,
                four_eyes: privileged.approval == config::Approval::FourEyes,
                break_glass: privileged.break_glass || privileged.approval == config::Approval::None,
                access: vec![privileged.access.clone()],
            };
            demand = Some(match demand {
                None => one,
                Some(so_far) => so_far.and(one),
            });
        }
        demand
    }

    fn and(mut self, other: Self) -> Self {
        self.scope.extend(other.scope);
        self.access.extend(other.access);
        Self {
            scope: self.scope,
            acr: self.acr.max(other.acr),
            max_age: self.max_age.min(other.max_age),
            duration: self.duration.min(other.duration),
            four_eyes: self.four_eyes || other.four_eyes,
            break_glass: self.break_glass && other.break_glass,
            access: self.access,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Access, Approval, Privileged, StepUpAcr};

    fn declared(name: &str, acr: StepUpAcr, minutes: (i64, i64), approval: Approval) -> config::Scope {
        let (max_age, duration) = (TimeDelta::minutes(minutes.0), TimeDelta::minutes(minutes.1));
        let privileged =
            Some(Privileged { acr, max_age, duration, approval, break_glass: false, access: Access::default() });
        config::Scope { name: name.into(), description: None, privileged }
    }

    #[test]
    fn of_each_part_the_strictest() {
        let table = [
            declared("pay", StepUpAcr::Phr, (5, 15), Approval::None),
            declared("see", StepUpAcr::Mfa, (1, 60), Approval::FourEyes),
            config::Scope { name: "read".into(), description: None, privileged: None },
        ];
        let of = |scope: &str| Demand::of(&Scope::parse(scope).unwrap(), &table);
        assert_eq!(of("openid read unknown"), None);
        let both = of("openid pay read see").unwrap();
        assert_eq!(both.scope, ["pay", "see"]);
        assert_eq!((both.acr, both.four_eyes), (Acr::Phr, true));
        assert!(!both.break_glass && both.access.len() == 2);
        assert_eq!((both.max_age, both.duration), (TimeDelta::minutes(1), TimeDelta::minutes(15)));
        assert_eq!(of("see").unwrap().acr, Acr::Mfa);
    }
}
