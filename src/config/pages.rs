//! How the pages people see can be made one's own.

use std::path::PathBuf;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static TEMPLATES: Key<PathBuf> = Key::optional(
    "templates",
    "the built-in ones",
    "A folder whose files go before the built-in templates of the same name.",
);
static NAME: Key<String> = Key::or("name", "Mooring", "What the service is called on its pages.");

pub static SECTION: Section =
    Section { name: "pages", doc: "The pages people see.", repeated: false, keys: || vec![&TEMPLATES, &NAME] };

/// The pages people see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    pub templates: Option<PathBuf>,
    pub name: String,
}

pub fn read(from: &Reader<'_>) -> Result<Pages, Stop> {
    Ok(Pages { templates: from.find(&TEMPLATES)?, name: from.get(&NAME)? })
}
