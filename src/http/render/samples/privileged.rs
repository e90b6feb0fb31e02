//! On the way to privileged work, and the hub.

use super::*;

pub fn step_up() -> StepUp {
    StepUp {
        action: "/step-up".into(),
        csrf: "c5rf".into(),
        request: "0198c0de".into(),
        client: client(),
        user: alice(),
        scopes: vec![Scope { name: "pay".into(), description: "Move money".into(), offline: false }],
        minutes: Some(15),
        passkey: Some(use_passkey()),
        by_code: Some("/login?request=0198c0de&as=again".into()),
        may_decline: true,
    }
}

pub fn privileged_elsewhere() -> PrivilegedElsewhere {
    PrivilegedElsewhere {
        action: "/privileged-elsewhere".into(),
        csrf: "c5rf".into(),
        request: "0198c0de".into(),
        client: client(),
        user: alice(),
        open: vec![OpenWork {
            device: "Firefox on Linux".into(),
            place: Some("203.0.x.x".into()),
            started_at: moment(-7),
        }],
    }
}

pub fn access() -> Access {
    Access {
        action: "/access".into(),
        csrf: "c5rf".into(),
        request: "0198c0de".into(),
        client: client(),
        scopes: vec![Scope { name: "payments:write".into(), description: "Move money".into(), offline: false }],
        reason: "This can be done only at certain times: Mon-Fri 08:00-18:00 UTC.".into(),
    }
}

pub fn elevation(state: &'static str) -> Elevation {
    Elevation {
        action: "/elevation".into(),
        again: "/elevation?request=0198c0de".into(),
        csrf: "c5rf".into(),
        request: "0198c0de".into(),
        client: client(),
        user: alice(),
        scopes: vec![Scope { name: "payments:write".into(), description: "Move money".into(), offline: false }],
        state,
        error: (state == "ask").then(|| "Please say why you need it.".into()),
        reason: "The harbour dues".into(),
        minutes: 10,
        longest: 15,
        approvers: "some",
        administrators: "nobody",
        emergency: Some("/elevation?request=0198c0de&emergency=yes".into()),
        is_asked: state == "waiting",
        asked_at: Some(moment(-1)),
        expires_at: Some(moment(59)),
        decided_by: (state == "refused").then(|| "bob".into()),
        note: (state == "refused").then(|| "Not on a Sunday".into()),
    }
}

pub fn hub_elevations() -> HubElevations {
    let item = |id: &str, outcome: &'static str, own: bool| HubElevation {
        id: id.into(),
        person: if own { alice() } else { Person { username: "bob".into(), name: None } },
        own,
        client: "Harbour Notes".into(),
        scopes: vec![Scope { name: "payments:write".into(), description: "Move money".into(), offline: false }],
        reason: "The harbour dues of May are to be paid today".into(),
        minutes: 10,
        device: Some("Firefox on Linux".into()),
        place: Some("203.0.x.x".into()),
        asked_at: moment(-4),
        expires_at: moment(56),
        outcome,
        used: true,
        by: Some("carol".into()),
        note: Some("As agreed this morning".into()),
        at: Some(moment(-2)),
    };
    HubElevations {
        pages: vec![HubLink { title: "Elevations", href: "/hub/elevations".into(), current: true }],
        action: "/hub/elevations".into(),
        csrf: "c5rf".into(),
        user: alice(),
        notice: Some("Approved. They can go on now."),
        error: Some("That is not open any more."),
        waiting: vec![item("0198-e1", "", false), item("0198-e2", "", true)],
        reviews: vec![item("0198-e3", "Break-glass", false)],
        settled: vec![item("0198-e4", "Approved, used", false), item("0198-e5", "Refused", true)],
    }
}
