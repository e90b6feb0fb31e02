//! `expected/<plan>.toml`: what each module of a plan is expected to end as.
//!
//! PASSED needs no reason; anything else does, by name. A module that is in neither list is not expected at all. Of one
//! that is expected to fail or to warn, the conditions that may are named too: whatever else it complains of counts.

use std::{collections::BTreeMap, fmt::Write, fs, io::ErrorKind, path::PathBuf};

use serde::Deserialize;

use crate::{
    Fallible, here,
    plans::Plan,
    report::Verdict,
    run::{Complaint, Seen},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    #[serde(default)]
    passed: Vec<String>,
    #[serde(default)]
    deviation: Vec<Deviation>,
}

/// What does not end as PASSED, and why that is right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    module: String,
    result: String,
    /// The suite's conditions that may complain.
    #[serde(default)]
    conditions: Vec<String>,
    reason: String,
}

impl Deviation {
    /// Why this cannot be expected of anything.
    fn flaw(&self) -> Option<String> {
        let Self { module, result, .. } = self;
        match result.as_str() {
            _ if self.reason.trim().is_empty() => Some(format!("{module}: {result} is expected without a reason")),
            "REVIEW" | "SKIPPED" => None,
            "FAILED" | "WARNING" if !self.conditions.is_empty() => None,
            "FAILED" | "WARNING" => Some(format!("{module}: {result} is expected without its conditions")),
            _ => Some(format!("{module}: {result} is no way to end")),
        }
    }
}

fn file(name: &str) -> PathBuf {
    here().join(format!("expected/{name}.toml"))
}

impl Expected {
    /// Of a plan that nothing was written down for yet, nothing is expected.
    pub fn read(name: &str) -> Fallible<Self> {
        match fs::read_to_string(file(name)) {
            Ok(text) => toml::from_str(&text).map_err(|error| format!("expected/{name}.toml: {error}").into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Every module with the results it may have, as often as it is in the plan.
    fn results(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut all = BTreeMap::<&str, Vec<&str>>::new();
        for module in &self.passed {
            all.entry(module).or_default().push("PASSED");
        }
        for Deviation { module, result, .. } in &self.deviation {
            all.entry(module).or_default().push(result);
        }
        all
    }

    /// `partly`: only some modules were run.
    pub fn judge(&self, plan: &Plan, seen: &[Seen], partly: bool) -> Verdict {
        let mut objections: Vec<String> = self.deviation.iter().filter_map(Deviation::flaw).collect();
        objections.extend(self.complaints(seen));
        let mut expected = self.results();
        for Seen { module, result, .. } in seen {
            let may = expected.entry(module).or_default();
            if let Some(at) = may.iter().position(|expected| expected == result) {
                may.remove(at);
            } else if may.is_empty() {
                objections.push(format!("{module}: {result}, and is not expected"));
            } else {
                objections.push(format!("{module}: {result} instead of {}", may.remove(0)));
            }
        }
        if !partly {
            let missing = expected.iter().flat_map(|(module, left)| left.iter().map(move |it| (module, it)));
            objections.extend(missing.map(|(module, result)| format!("{module}: did not run; {result} is expected")));
        }
        Verdict::new(plan, seen, objections)
    }

    /// What modules complain of, and is not named.
    fn complaints<'a>(&'a self, seen: &'a [Seen]) -> impl Iterator<Item = String> + 'a {
        seen.iter().filter(|it| it.result != "SKIPPED").flat_map(|Seen { module, complaints, .. }| {
            let named = |condition: &String| {
                self.deviation.iter().any(|it| it.module == *module && it.conditions.contains(condition))
            };
            let unnamed = complaints.iter().filter(move |complaint| !named(&complaint.condition));
            unnamed.map(move |Complaint { result, condition, .. }| format!("{module}: {result} of {condition}"))
        })
    }

    /// Writes down what was seen, with the reasons that there were.
    pub fn record(&self, plan: &Plan, seen: &[Seen]) -> Fallible<Self> {
        let mut now = Self::default();
        for Seen { module, result, complaints, .. } in seen {
            if result == "PASSED" {
                now.passed.push(module.clone());
                continue;
            }
            let known = self.deviation.iter().find(|it| it.module == *module && it.result == *result);
            now.deviation.push(known.cloned().unwrap_or_else(|| Deviation {
                module: module.clone(),
                result: result.clone(),
                conditions: complaints.iter().map(|it| it.condition.clone()).collect(),
                reason: String::new(),
            }));
        }
        let mut text = format!("# {} {}\n\npassed = [\n", plan.suites, plan.variant);
        for module in &now.passed {
            writeln!(text, "    {module:?},")?;
        }
        text.push_str("]\n");
        for Deviation { module, result, conditions, reason } in &now.deviation {
            write!(text, "\n[[deviation]]\nmodule = {module:?}\nresult = {result:?}\n")?;
            if !conditions.is_empty() {
                writeln!(text, "conditions = {conditions:?}")?;
            }
            writeln!(text, "reason = {reason:?}")?;
        }
        fs::write(file(&plan.name), text)?;
        Ok(now)
    }
}
