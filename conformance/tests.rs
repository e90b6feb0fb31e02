//! What can be known without a suite: that the files fit together, and that nothing is let through.

use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::{
    Arguments,
    expected::Expected,
    plans::{self, Places, Plan},
    run::{Complaint, Seen},
    suite::Suite,
};

fn places() -> Places {
    Places { issuer: "https://op.example".to_owned(), suite: "https://suite.example".to_owned() }
}

fn seen(module: &str, result: &str, complaints: &[&str]) -> Seen {
    let complaint = |condition: &&str| Complaint {
        result: "FAILURE".to_owned(),
        condition: (*condition).to_owned(),
        said: String::new(),
    };
    Seen {
        module: module.to_owned(),
        result: result.to_owned(),
        id: String::new(),
        took: Duration::ZERO,
        complaints: complaints.iter().map(complaint).collect(),
    }
}

#[test]
fn every_plan_can_be_given_to_the_suite_and_judged() {
    for plan in plans::chosen(&[]).unwrap() {
        let configuration = plan.configuration(&places()).unwrap_or_else(|error| panic!("{}: {error}", plan.name));
        let text = configuration.to_string();
        assert!(!text.contains("{issuer}") && !text.contains("{suite}"), "{text}");
        assert_eq!(configuration["server"]["discoveryUrl"], "https://op.example/.well-known/openid-configuration");
        let overrides = configuration["override"].as_object().unwrap().values().map(|it| &it["browser"]);
        for entry in overrides.chain([&configuration["browser"]]).flat_map(|it| it.as_array().unwrap()) {
            assert!(entry["tasks"].as_array().unwrap().iter().all(|task| task["task"].is_string()), "{entry}");
        }
        let expected = Expected::read(&plan.name).unwrap();
        let verdict = expected.judge(&plan, &[], true);
        assert!(verdict.is_as_expected(), "{}: {:?}", plan.name, verdict.objections());
        let nothing_ran = expected.judge(&plan, &[], false);
        assert!(!nothing_ran.is_as_expected(), "{}: nothing is expected of it", plan.name);
    }
}

#[test]
fn nothing_is_let_through() {
    let plan: Plan = serde_json::from_value(json!({ "name": "p", "plan": "p", "configurations": [] })).unwrap();
    let expected = |deviation: Value| -> Expected {
        serde_json::from_value(json!({ "passed": ["a"], "deviation": [deviation] })).unwrap()
    };
    let reason = "because";
    let review = expected(json!({ "module": "b", "result": "REVIEW", "reason": reason }));
    let failed = expected(json!({ "module": "b", "result": "FAILED", "conditions": ["C"], "reason": reason }));
    let (a, b) = (seen("a", "PASSED", &[]), seen("b", "REVIEW", &[]));
    assert!(review.judge(&plan, &[a.clone(), b.clone()], false).is_as_expected());
    assert!(failed.judge(&plan, &[a.clone(), seen("b", "FAILED", &["C"])], false).is_as_expected());
    for (expected, seen) in [
        (&review, vec![a.clone()]),
        (&review, vec![a.clone(), b.clone(), b.clone()]),
        (&review, vec![a.clone(), b.clone(), seen("c", "PASSED", &[])]),
        (&review, vec![seen("a", "WARNING", &["C"]), b.clone()]),
        (&review, vec![seen("a", "PASSED", &["C"]), b]),
        (&review, vec![a.clone(), seen("b", "PASSED", &[])]),
        (&failed, vec![a.clone(), seen("b", "FAILED", &["C", "D"])]),
    ] {
        assert!(!expected.judge(&plan, &seen, false).is_as_expected(), "{seen:?}");
    }
    for deviation in [
        json!({ "module": "b", "result": "REVIEW", "reason": " " }),
        json!({ "module": "b", "result": "FAILED", "reason": reason }),
        json!({ "module": "b", "result": "INTERRUPTED", "conditions": ["C"], "reason": reason }),
    ] {
        let result = deviation["result"].as_str().unwrap().to_owned();
        let verdict = expected(deviation).judge(&plan, &[a.clone(), seen("b", &result, &[])], false);
        assert!(!verdict.is_as_expected(), "{result}");
    }
}

#[tokio::test]
async fn a_module_that_has_ended_is_judged_by_its_record() {
    let server = MockServer::start().await;
    let says = |status: &str, result: &str| {
        ResponseTemplate::new(200).set_body_json(json!({ "status": status, "result": result }))
    };
    Mock::given(path("/api/plan")).respond_with(says("", "")).mount(&server).await;
    let info = || Mock::given(path("/api/info/m"));
    info().respond_with(says("WAITING", "UNKNOWN")).up_to_n_times(2).mount(&server).await;
    info().respond_with(says("FINISHED", "PASSED")).mount(&server).await;
    let suite = Suite::connect(&Arguments::parse_from(["conformance", "--suite", &server.uri()])).await.unwrap();
    let ended = suite.ended("m").await.unwrap();
    assert_eq!((ended.status.as_str(), ended.result.as_deref()), ("FINISHED", Some("PASSED")));
}
