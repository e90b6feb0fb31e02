//! Who may ask for a privileged scope, from where and when: a judgement over facts that were looked up before.
//!
//! Not for how strongly the person proved who they are, nor for who else must agree. Every demand that is made must be met;
//! what is not known counts as not met.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::config::Access;

/// What is so of the person and their browser at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub administrator: bool,
    pub groups: &'a [String],
    /// `None`: a proxy did not tell in a way that can be believed.
    pub address: Option<IpAddr>,
    /// The person has signed in in this browser before: in another session, an hour ago or earlier.
    pub known_device: bool,
    pub now: DateTime<Utc>,
}

/// Which demand is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotAdministrator,
    /// In none of these.
    NotInGroup(Vec<String>),
    Network,
    /// Only at these times.
    Hours(String),
    UnknownDevice,
}

impl Refusal {
    /// The stable code, for the audit trail.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotAdministrator => "not_administrator",
            Self::NotInGroup(_) => "not_in_group",
            Self::Network => "network",
            Self::Hours(_) => "hours",
            Self::UnknownDevice => "unknown_device",
        }
    }

    /// Why, for the person who asked, and what they can do about it.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotAdministrator => "Only administrators of this server may do this, and you are not one.".to_owned(),
            Self::NotInGroup(groups) => {
                let named = groups.join(", ");
                format!("Only people in certain groups may do this ({named}), and you are in none of them.")
            }
            Self::Network => {
                "This can be done only from certain networks, and you are connected from another one.".to_owned()
            }
            Self::Hours(hours) => format!("This can be done only at certain times: {hours}."),
            Self::UnknownDevice => {
                "This can be done only from a browser that you have signed in with before. Use one that you have; or sign \
                 out, and sign in with this one again an hour after the first time."
                    .to_owned()
            }
        }
    }
}

/// Judges. The first demand that is not met is the answer.
pub fn judge(access: &Access, of: &Circumstances<'_>) -> Result<(), Refusal> {
    judge_person(access, of.administrator, of.groups, of.now)?;
    // An IPv4 address may arrive in the form of an IPv6 one.
    let address = of.address.map(|address| address.to_canonical());
    let is_in = |network: &IpNet| address.is_some_and(|address| network.contains(&address));
    if !access.networks.is_empty() && !access.networks.iter().any(is_in) {
        return Err(Refusal::Network);
    }
    if access.known_device && !of.known_device {
        return Err(Refusal::UnknownDevice);
    }
    Ok(())
}

/// Judges what is so of a person by whatever they come: all but what is asked of their browser. For work that goes on without
/// one, with a token.
pub fn judge_person(
    access: &Access,
    administrator: bool,
    groups: &[String],
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    if access.administrators && !administrator {
        return Err(Refusal::NotAdministrator);
    }
    if !access.groups.is_empty() && !access.groups.iter().any(|group| groups.contains(group)) {
        return Err(Refusal::NotInGroup(access.groups.clone()));
    }
    match access.hours.as_ref().filter(|hours| !hours.include(now)) {
        Some(hours) => Err(Refusal::Hours(hours.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::config::{Config, Sources};

    fn access(keys: &str) -> Access {
        let name = format!("mooring-access-{}-{}.toml", std::process::id(), keys.len());
        let file = std::env::temp_dir().join(name);
        let text = format!("issuer = 'http://localhost:1'\n[[scope]]\nname = 'p'\nprivileged = true\n{keys}");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Sources { file: Some(file.clone()), environment: vec![] });
        std::fs::remove_file(file).unwrap();
        config.unwrap().scopes[0].clone().privileged.unwrap().access
    }

    fn circumstances(groups: &[String]) -> Circumstances<'_> {
        Circumstances {
            administrator: false,
            groups,
            address: "10.1.2.3".parse().ok(),
            known_device: false,
            // A Monday.
            now: Utc.with_ymd_and_hms(2026, 5, 4, 9, 0, 0).unwrap(),
        }
    }

    #[test]
    fn nothing_is_demanded_by_default() {
        assert_eq!(judge(&Access::default(), &circumstances(&[])), Ok(()));
    }

    #[test]
    fn each_demand_refuses_by_its_name() {
        let ops = ["ops".to_owned()];
        let nobody = circumstances(&[]);
        let refused = |keys: &str, of: &Circumstances<'_>| judge(&access(keys), of).unwrap_err().as_str();
        assert_eq!(refused("administrators = true", &nobody), "not_administrator");
        assert_eq!(judge(&access("administrators = true"), &Circumstances { administrator: true, ..nobody }), Ok(()));
        // Being an administrator is not being in a group.
        assert_eq!(refused("groups = ['ops']", &Circumstances { administrator: true, ..nobody }), "not_in_group");
        assert_eq!(refused("groups = ['Ops', 'op']", &circumstances(&ops)), "not_in_group");
        assert_eq!(judge(&access("groups = ['duty', 'ops']"), &circumstances(&ops)), Ok(()));
        assert_eq!(refused("networks = ['10.2.0.0/16']", &nobody), "network");
        let mapped = Circumstances { address: "::ffff:10.1.2.3".parse().ok(), ..nobody };
        assert_eq!(judge(&access("networks = ['fd00::/8', '10.1.0.0/16']"), &mapped), Ok(()));
        assert_eq!(refused("networks = ['::/0']", &mapped), "network");
        assert_eq!(refused("hours = 'Tue-Sun 00:00-24:00'", &nobody), "hours");
        assert_eq!(judge(&access("hours = 'Mon 09:00-09:01'"), &nobody), Ok(()));
        assert_eq!(refused("known_device = true", &nobody), "unknown_device");
    }

    #[test]
    fn one_demand_does_not_stand_for_another() {
        let ops = ["ops".to_owned()];
        let all = access("groups = ['ops']\nnetworks = ['10.0.0.0/8']\nknown_device = true");
        let good = Circumstances { known_device: true, ..circumstances(&ops) };
        assert_eq!(judge(&all, &good), Ok(()));
        for bad in [
            Circumstances { known_device: false, ..good },
            Circumstances { groups: &[], ..good },
            Circumstances { address: "192.0.2.1".parse().ok(), ..good },
            Circumstances { address: None, ..good },
        ] {
            assert!(judge(&all, &bad).is_err());
        }
    }

    #[test]
    fn every_refusal_says_why() {
        for refusal in [
            Refusal::NotAdministrator,
            Refusal::NotInGroup(vec!["ops".into(), "duty".into()]),
            Refusal::Network,
            Refusal::Hours("Mon 08:00-09:00 UTC".into()),
            Refusal::UnknownDevice,
        ] {
            assert!(refusal.sentence().ends_with('.') && refusal.sentence().len() > 40, "{refusal:?}");
        }
    }
}
