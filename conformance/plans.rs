//! `plans.toml`: which plans there are, and the configurations that they are given.

use std::fs;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Fallible, browser, here};

/// What the configurations call `{issuer}` and `{suite}`.
pub struct Places {
    pub issuer: String,
    pub suite: String,
}

impl Places {
    pub fn put(&self, text: &str) -> String {
        text.replace("{issuer}", &self.issuer).replace("{suite}", &self.suite)
    }
}

/// A plan with its variant and what it is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Ours, and that of its file in `expected/`.
    pub name: String,
    /// The suite's.
    #[serde(rename = "plan")]
    pub suites: String,
    #[serde(default)]
    pub variant: Value,
    /// Files of `plans/`, without `.toml`; a later one adds to an earlier one.
    configurations: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plans {
    plan: Vec<Plan>,
}

/// The plans of these names, or all.
pub fn chosen(names: &[String]) -> Fallible<Vec<Plan>> {
    let Plans { plan: all } = toml::from_str(&fs::read_to_string(here().join("plans.toml"))?)
        .map_err(|error| format!("plans.toml: {error}"))?;
    if names.is_empty() {
        return Ok(all);
    }
    let known: Vec<&str> = all.iter().map(|plan| plan.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no plan {unknown}; there are: {}", known.join(", ")).into());
    }
    Ok(all.iter().filter(|plan| names.contains(&plan.name)).cloned().collect())
}

impl Plan {
    /// The JSON that the suite is given.
    pub fn configuration(&self, places: &Places) -> Fallible<Value> {
        let mut whole = Value::Object(Map::new());
        for name in &self.configurations {
            let text = fs::read_to_string(here().join(format!("plans/{name}.toml")))
                .map_err(|error| format!("plans/{name}.toml: {error}"))?;
            let part = toml::from_str(&places.put(&text)).map_err(|error| format!("plans/{name}.toml: {error}"))?;
            merge(&mut whole, part);
        }
        let Value::Object(mut whole) = whole else { return Err("a configuration is a table".into()) };
        whole.insert("description".to_owned(), format!("Mooring, {}", self.name).into());
        browser::spell_out(&mut whole)?;
        Ok(Value::Object(whole))
    }
}

/// Tables member by member; anything else is replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
