//! What the suite's browser does on our pages. The configurations name tasks; the suite wants each spelt out.

use serde_json::{Map, Value};

use crate::Fallible;

/// Puts the tasks of the table `task` where their names stand in `browser` and `override`, and takes the table out.
pub fn spell_out(configuration: &mut Map<String, Value>) -> Fallible<()> {
    let Some(Value::Object(tasks)) = configuration.remove("task") else { return Ok(()) };
    if let Some(entries) = configuration.get_mut("browser") {
        spell(entries, &tasks)?;
    }
    let modules = configuration.get_mut("override").and_then(Value::as_object_mut);
    for (_, module) in modules.into_iter().flatten() {
        if let Some(entries) = module.get_mut("browser") {
            spell(entries, &tasks)?;
        }
    }
    Ok(())
}

/// Each entry says at which address it begins, and which tasks follow.
fn spell(entries: &mut Value, tasks: &Map<String, Value>) -> Fallible<()> {
    for entry in entries.as_array_mut().into_iter().flatten() {
        for task in entry.get_mut("tasks").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(name) = task.as_str() else { continue };
            let mut whole = tasks.get(name).cloned().ok_or_else(|| format!("no [task.{name}]"))?;
            whole["task"] = name.into();
            *task = whole;
        }
    }
    Ok(())
}
