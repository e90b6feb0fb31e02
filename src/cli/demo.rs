//! `mooring demo`.

use super::Cli;
use crate::failure::Stop;

pub async fn run(_cli: &Cli) -> Result<(), Stop> {
    Err(Stop::new("the demo is not built in yet"))
}
