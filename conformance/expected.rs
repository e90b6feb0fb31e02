//! `expected/<plan>.toml`: what each module of a plan is expected to end as.
//!
//! PASSED needs no reason; anything else does, by name. A module that is in neither list is not expected at all.

use std::{collections::BTreeMap, fmt::Write, fs, io::ErrorKind, path::PathBuf};

use serde::Deserialize;

use crate::{Fallible, here, plans::Plan, report::Verdict, run::Seen};

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
    reason: String,
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
        let mut objections: Vec<String> = self
            .deviation
            .iter()
            .filter(|it| it.reason.trim().is_empty())
            .map(|it| format!("{}: {} is expected without a reason", it.module, it.result))
            .collect();
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

    /// Writes down what was seen, with the reasons that there were.
    pub fn record(&self, plan: &Plan, seen: &[Seen]) -> Fallible<Self> {
        let mut now = Self::default();
        for Seen { module, result, .. } in seen {
            if result == "PASSED" {
                now.passed.push(module.clone());
                continue;
            }
            let known = self.deviation.iter().find(|it| it.module == *module && it.result == *result);
            now.deviation.push(known.cloned().unwrap_or_else(|| Deviation {
                module: module.clone(),
                result: result.clone(),
                reason: String::new(),
            }));
        }
        let mut text = format!("# {} {}\n\npassed = [\n", plan.suites, plan.variant);
        for module in &now.passed {
            writeln!(text, "    {module:?},")?;
        }
        text.push_str("]\n");
        for Deviation { module, result, reason } in &now.deviation {
            write!(text, "\n[[deviation]]\nmodule = {module:?}\nresult = {result:?}\nreason = {reason:?}\n")?;
        }
        fs::write(file(&plan.name), text)?;
        Ok(now)
    }
}
