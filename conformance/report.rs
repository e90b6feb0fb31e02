//! What a person reads while it runs, and what is saved for later.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{plans::Plan, run::Seen};

/// How a plan went.
pub struct Verdict {
    plan: String,
    /// How many modules ended as what.
    counts: BTreeMap<String, usize>,
    /// Where it differs from what is expected.
    objections: Vec<String>,
}

impl Verdict {
    pub fn new(plan: &Plan, seen: &[Seen], objections: Vec<String>) -> Self {
        let mut counts = BTreeMap::new();
        for Seen { result, .. } in seen {
            *counts.entry(result.clone()).or_default() += 1;
        }
        Self { plan: plan.name.clone(), counts, objections }
    }

    pub fn is_as_expected(&self) -> bool {
        self.objections.is_empty()
    }

    #[cfg(test)]
    pub fn objections(&self) -> &[String] {
        &self.objections
    }

    fn line(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(result, count)| format!("{count} {result}")).collect();
        let verdict = if self.is_as_expected() { "as expected" } else { "NOT as expected" };
        format!("{:<40} {:<42} {verdict}", self.plan, counts.join(", "))
    }
}

pub fn begin(plan: &Plan, page: &str) {
    println!("\n== {}: {} {}\n   {page}", plan.name, plan.suites, plan.variant);
}

pub fn module(seen: &Seen) {
    println!("   {:<12} {:<70} {:>4} s  {}", seen.result, seen.module, seen.took.as_secs(), seen.id);
    for complaint in &seen.complaints {
        println!("                {complaint}");
    }
}

pub fn end(verdict: &Verdict) {
    println!("   {}", verdict.line());
    for objection in &verdict.objections {
        println!("   ! {objection}");
    }
}

pub fn summary(verdicts: &[Verdict]) {
    println!();
    for verdict in verdicts {
        println!("{}", verdict.line());
    }
}

/// The record of a plan, beside the suite's own.
pub fn saved(plan: &Plan, seen: &[Seen], verdict: &Verdict) -> Value {
    let modules: Vec<Value> = seen
        .iter()
        .map(|it| {
            json!({
                "module": it.module,
                "result": it.result,
                "id": it.id,
                "seconds": it.took.as_secs(),
                "complaints": it.complaints.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "plan": plan.suites,
        "variant": plan.variant,
        "modules": modules,
        "counts": verdict.counts,
        "objections": verdict.objections,
    })
}
