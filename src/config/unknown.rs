//! Refuses what nobody will ask for, and names the nearest thing that is known: a misspelt key must not silently mean
//! its default.

use super::{
    ELSEWHERE, SECTIONS,
    given::{File, Given},
    key::Section,
};
use crate::failure::Stop;

/// Every key of the file and every `MOORING_` variable is known, or the start is refused.
pub fn refuse(given: &Given) -> Result<(), Stop> {
    if let Some(file) = &given.file {
        in_file(file)?;
    }
    given.environment.iter().try_for_each(|(name, value)| in_environment(name, value))
}

fn in_file(file: &File) -> Result<(), Stop> {
    let root = &SECTIONS[0];
    for (name, value) in &file.table {
        if is_key(root, name) {
            continue;
        }
        let Some(section) = SECTIONS.iter().find(|section| !section.name.is_empty() && section.name == name) else {
            let place = file.place(root, None, Some(name));
            let is_table =
                value.is_table() || value.as_array().is_some_and(|rows| rows.iter().all(toml::Value::is_table));
            let known = if is_table { headers() } else { paths() };
            return Err(refusal(&format!("{place}: there is no {name}"), "", name, known));
        };
        let rows: Vec<&toml::Table> = match value {
            toml::Value::Table(table) if !section.repeated => vec![table],
            toml::Value::Array(rows) if section.repeated && rows.iter().all(toml::Value::is_table) => {
                rows.iter().filter_map(toml::Value::as_table).collect()
            }
            _ => {
                let place = file.place(root, None, Some(name));
                return Err(Stop::new(format!("{place}: {name} is not written as a table of its kind"))
                    .mend(format!("write {} and its keys below", section.header())));
            }
        };
        for (row, table) in rows.into_iter().enumerate() {
            if let Some(unknown) = table.keys().find(|key| !is_key(section, key)) {
                let place = file.place(section, section.repeated.then_some(row), Some(unknown));
                let what = format!("{place}: there is no key {}", section.path(unknown));
                return Err(refusal(&what, section.name, unknown, paths()));
            }
        }
    }
    Ok(())
}

fn in_environment(name: &str, value: &str) -> Result<(), Stop> {
    let known = variables();
    if !name.starts_with("MOORING_")
        || known.iter().any(|(_, variable)| variable == name)
        || ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == name)
        || is_service_link(name, value)
    {
        return Ok(());
    }
    if let Some(section) = SECTIONS.iter().find(|section| section.repeated && name.starts_with(&section.variable(""))) {
        let header = section.header();
        return Err(
            Stop::new(format!("there is no variable {name}")).mend(format!("{header} comes from the file only"))
        );
    }
    let elsewhere = ELSEWHERE.iter().map(|(name, _)| (String::new(), (*name).to_owned()));
    Err(refusal(&format!("there is no variable {name}"), "", name, known.into_iter().chain(elsewhere).collect()))
}

/// Kubernetes tells every pod about a service called `mooring` (or `mooring-…`) in variables of these forms; nobody
/// wrote them.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_address)
        || name.split_once("_PORT_").is_some_and(|(_, rest)| {
            let mut parts = rest.split('_');
            parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
                && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
        })
}

fn is_key(section: &Section, name: &str) -> bool {
    let (base, is_tagged) = name.split_once('#').map_or((name, false), |(base, _)| (base, true));
    (section.keys)().iter().any(|key| key.name() == base && (!is_tagged || key.is_localised()))
}

/// Known things, each as (section, whole name).
type Known = Vec<(String, String)>;

fn headers() -> Known {
    SECTIONS.iter().filter(|section| !section.name.is_empty()).map(|s| (String::new(), s.name.to_owned())).collect()
}

fn paths() -> Known {
    let keys = SECTIONS.iter().flat_map(|section| (section.keys)().into_iter().map(move |key| (section, key.name())));
    keys.map(|(section, key)| (section.name.to_owned(), section.path(key))).collect()
}

fn variables() -> Known {
    let sections = SECTIONS.iter().filter(|section| !section.repeated);
    let keys = sections.flat_map(|section| (section.keys)().into_iter().map(move |key| (section, key.name())));
    keys.map(|(section, key)| (section.name.to_owned(), section.variable(key))).collect()
}

fn refusal(what: &str, section: &str, given: &str, known: Known) -> Stop {
    let whole = if section.is_empty() { given.to_lowercase() } else { format!("{section}.{given}").to_lowercase() };
    let nearest = known.into_iter().min_by_key(|(home, name)| {
        let name = name.to_lowercase();
        let last = name.rsplit('.').next().unwrap_or(&name);
        // The right key under another table is nearer than a similar one under this.
        let moved = strsim::damerau_levenshtein(&given.to_lowercase(), last) + usize::from(home != section);
        moved.min(strsim::damerau_levenshtein(&whole, &name))
    });
    match nearest {
        Some((_, name)) => {
            Stop::new(what).mend(format!("the nearest known one is {name}; `mooring docs config` lists all"))
        }
        None => Stop::new(what),
    }
}
