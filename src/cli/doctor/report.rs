//! What `doctor` found, as text for people or as JSON for programs.

use std::fmt::Display;

use serde::Serialize;

use super::super::output;
use crate::failure::Stop;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    /// It works and could be better.
    Note,
    Failed,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    outcome: Outcome,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Every finding so far. Text is printed as it is found, JSON at the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    as_json: bool,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(as_json: bool) -> Self {
        Self { as_json, findings: Vec::new() }
    }

    pub(super) fn ok(&mut self, what: impl Display) -> Result<(), Stop> {
        self.add(Finding { outcome: Outcome::Ok, what: what.to_string(), hint: None })
    }

    pub(super) fn note(&mut self, what: impl Display, hint: &str) -> Result<(), Stop> {
        self.add(Finding { outcome: Outcome::Note, what: what.to_string(), hint: Some(hint.to_owned()) })
    }

    pub(super) fn failed(&mut self, what: impl Display, hint: &str) -> Result<(), Stop> {
        self.add(Finding { outcome: Outcome::Failed, what: what.to_string(), hint: Some(hint.to_owned()) })
    }

    /// A `Stop` brings its own words and its own hint.
    pub(super) fn stopped(&mut self, what: &str, stop: &Stop) -> Result<(), Stop> {
        let text = stop.to_string();
        let mut lines = text.strip_prefix("mooring: ").unwrap_or(&text).lines();
        let reason = lines.next().unwrap_or_default();
        let hint: Vec<&str> = lines.map(str::trim).collect();
        let hint = Some(hint.join(" ")).filter(|hint| !hint.is_empty());
        self.add(Finding { outcome: Outcome::Failed, what: format!("{what}: {reason}"), hint })
    }

    fn add(&mut self, finding: Finding) -> Result<(), Stop> {
        if !self.as_json {
            let mark = match finding.outcome {
                Outcome::Ok => "ok     ",
                Outcome::Note => "note   ",
                Outcome::Failed => "FAILED ",
            };
            let hint = finding.hint.as_ref().map(|hint| format!("\n        {hint}")).unwrap_or_default();
            output::line(&format!("{mark} {}{hint}", finding.what))?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Prints the JSON if it was asked for. Fails when a check failed.
    pub(super) fn verdict(self) -> Result<(), Stop> {
        if self.as_json {
            output::json(&self.findings)?;
        }
        match self.findings.iter().filter(|finding| finding.outcome == Outcome::Failed).count() {
            0 => Ok(()),
            1 => Err(Stop::new("1 check failed")),
            more => Err(Stop::new(format_args!("{more} checks failed"))),
        }
    }
}
