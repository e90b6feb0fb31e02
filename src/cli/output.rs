//! What commands print. A reader that has seen enough (`| head`) closes the pipe: that is no failure.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Stop;

/// Prints a text and a line end.
pub(super) fn line(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints a value as JSON, for people and programs.
pub(super) fn json(value: &impl Serialize) -> Result<(), Stop> {
    line(&serde_json::to_string_pretty(value).map_err(Stop::new)?)
}

/// Prints rows under headings, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), Stop> {
    let mut widths = headings.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&headings.map(str::to_owned)).chain(rows) {
        let mut laid = String::new();
        for (width, cell) in widths.iter().zip(row) {
            laid.push_str(cell);
            laid.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(laid.trim_end());
        text.push('\n');
    }
    line(text.trim_end())
}

fn written(outcome: io::Result<()>) -> Result<(), Stop> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::new(format_args!("writing to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
