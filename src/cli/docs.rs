//! `mooring docs`: what the program knows about itself, in Markdown.

use std::fmt::Write as _;

use clap::Args;

use super::output;
use crate::{config::Config, failure::Stop};

#[derive(Debug, Args)]
pub(super) struct Docs {
    /// Which part; without one, the list of them
    #[arg(value_parser = DOCS.iter().map(|part| part.name).collect::<Vec<_>>())]
    part: Option<String>,
}

struct Part {
    name: &'static str,
    about: &'static str,
    text: fn() -> String,
}

static DOCS: &[Part] = &[
    Part { name: "config", about: "every key of the configuration", text: Config::reference },
    Part { name: "commands", about: "every command and its options", text: commands },
];

pub(super) fn run(docs: &Docs) -> Result<(), Stop> {
    if let Some(part) = docs.part.as_deref().and_then(|name| DOCS.iter().find(|part| part.name == name)) {
        return output::line((part.text)().trim_end());
    }
    let parts: Vec<_> = DOCS.iter().map(|part| [part.name.to_owned(), part.about.to_owned()]).collect();
    output::table(["PART", "WHAT IT TELLS"], &parts)
}

fn commands() -> String {
    let mut text = String::from("# Commands\n");
    let mut grammar = super::grammar();
    grammar.build();
    describe(&mut text, &grammar);
    text
}

fn describe(text: &mut String, command: &clap::Command) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.clone().render_long_help().to_string();
    // Writing to a `String` does not fail.
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end());
    for inner in command.get_subcommands() {
        describe(text, inner);
    }
}
