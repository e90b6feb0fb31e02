//! The set of templates: embedded, and overridden file by file from a folder of the operator's.
//!
//! Read once, at start: a template that does not parse, or asks for what its page is not given, stops the program there,
//! naming file and line, rather than meeting a person who wants to sign in. An operator's template can change what a page
//! says and looks like, not what it may do: the headers are not its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use actix_web::web;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, escape_formatter,
    syntax::SyntaxConfig, value::Serde,
};
use serde::Serialize;
use url::Url;

use super::{
    policy::{ISSUER_REFERRER, OWN_REFERRER, Script, picture_source},
    samples,
};
use crate::{
    config::Config,
    failure::{Broken, Stop},
    http::assets::Assets,
    notices::mail::Letters,
    unicode::without_mark,
};

/// The pages there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageName {
    Login,
    Consent,
    SelectAccount,
    StepUp,
    PrivilegedElsewhere,
    Account,
    Error,
    SignOut,
    SignedOut,
    SigningOut,
    SetUp,
    SecondFactor,
    Authenticator,
    RecoveryCodes,
    ChangePassword,
    ResetPassword,
    FormPost,
    Welcome,
    OtherAddress,
    Crowded,
    Access,
    Elevation,
    HubClosed,
    HubElevations,
    DemoHome,
    DemoSignedIn,
}

impl PageName {
    /// The file that a page is rendered from.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Login => "login.html",
            Self::Consent => "consent.html",
            Self::SelectAccount => "select_account.html",
            Self::StepUp => "step_up.html",
            Self::PrivilegedElsewhere => "privileged_elsewhere.html",
            Self::Account => "account.html",
            Self::Error => "error.html",
            Self::SignOut => "sign_out.html",
            Self::SignedOut => "signed_out.html",
            Self::SigningOut => "signing_out.html",
            Self::SetUp => "set_up.html",
            Self::SecondFactor => "second_factor.html",
            Self::Authenticator => "authenticator.html",
            Self::RecoveryCodes => "recovery_codes.html",
            Self::ChangePassword => "change_password.html",
            Self::ResetPassword => "reset_password.html",
            Self::FormPost => "form_post.html",
            Self::Welcome => "welcome.html",
            Self::OtherAddress => "other_address.html",
            Self::Crowded => "crowded.html",
            Self::Access => "access.html",
            Self::Elevation => "elevation.html",
            Self::HubClosed => "hub/closed.html",
            Self::HubElevations => "hub/elevations.html",
            Self::DemoHome => "demo/home.html",
            Self::DemoSignedIn => "demo/signed_in.html",
        }
    }

    /// What the page's script may do; every other page may run none.
    pub(super) fn script(self) -> Script {
        match self {
            Self::FormPost | Self::SigningOut | Self::ChangePassword | Self::ResetPassword | Self::RecoveryCodes => {
                Script::Runs
            }
            // Passkeys are asked for by script, which calls this server; and so is what became of what one waits for.
            Self::Login | Self::Crowded | Self::StepUp | Self::Account | Self::SetUp | Self::Elevation => Script::Calls,
            _ => Script::None,
        }
    }

    /// What the page lets the browser tell others of where it comes from.
    pub(super) fn referrer_policy(self) -> &'static str {
        match self {
            Self::FormPost => ISSUER_REFERRER,
            _ => OWN_REFERRER,
        }
    }
}

macro_rules! embedded {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_str!(concat!("../../../templates/", $file)))),*]
    };
}

const EMBEDDED: [(&str, &str); 33] = embedded![
    "base.html",
    "_mark.html",
    "_cancel.html",
    "_client.html",
    "_passkey.html",
    "_time.html",
    "login.html",
    "consent.html",
    "select_account.html",
    "step_up.html",
    "privileged_elsewhere.html",
    "account.html",
    "error.html",
    "sign_out.html",
    "signed_out.html",
    "signing_out.html",
    "set_up.html",
    "second_factor.html",
    "authenticator.html",
    "recovery_codes.html",
    "change_password.html",
    "reset_password.html",
    "form_post.html",
    "welcome.html",
    "other_address.html",
    "crowded.html",
    "access.html",
    "elevation.html",
    "hub/_nav.html",
    "hub/closed.html",
    "hub/elevations.html",
    "demo/home.html",
    "demo/signed_in.html",
];

/// What every page knows about the server it belongs to.
#[derive(Clone, Debug, Serialize)]
pub struct Site {
    /// The name shown to people.
    pub name: String,
    /// The path of the issuer, without a trailing slash: empty, or `/auth`.
    pub base: String,
    /// The issuer, as in discovery.
    pub issuer: String,
}

impl Site {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            name: config.pages.name.clone(),
            base: config.issuer.path().to_owned(),
            issuer: config.issuer.as_str().to_owned(),
        }
    }
}

/// All templates, parsed.
pub struct Templates {
    environment: Environment<'static>,
    assets: web::Data<Assets>,
}

impl Templates {
    /// The embedded set; a file of the same name in `overrides` wins, and may extend or include further `.html` files
    /// that lie beside it. They are tried with an example of every page.
    pub fn new(overrides: Option<&Path>, site: Site) -> Result<Self, Stop> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(Stop::new)?);
        environment.set_formatter(format);
        environment.add_test("weblink", is_weblink);
        environment.add_test("picture", is_picture);
        for (name, source) in EMBEDDED {
            environment.add_template(name, source).map_err(|error| unparsable(name, &error))?;
        }
        if let Some(folder) = overrides {
            add_overrides(&mut environment, folder)?;
        }
        let assets = web::Data::new(Assets::new(overrides.map(|folder| folder.join("assets")).as_deref())?);
        environment.add_global("site", Value::from(Serde(&site)));
        let (known, base) = (assets.clone(), site.base);
        environment.add_function("asset", move |name: &str| {
            known
                .address(&base, name)
                .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("there is no asset {name}")))
        });
        let templates = Self { environment, assets };
        if let Some(folder) = overrides {
            templates.try_out(folder)?;
        }
        Ok(templates)
    }

    /// Renders an example of every page: a template that asks for what a page is not given would fail whoever meets it.
    fn try_out(&self, folder: &Path) -> Result<(), Stop> {
        samples::all().iter().try_for_each(|(page, context)| {
            let rendered = self.environment.get_template(page.file()).and_then(|template| template.render(context));
            rendered.map(drop).map_err(|error| unrenderable(folder, *page, &error))
        })
    }

    /// The files that the pages load, for the route that serves them.
    #[must_use]
    pub fn assets(&self) -> web::Data<Assets> {
        self.assets.clone()
    }

    /// The page as HTML.
    pub fn render(&self, name: PageName, context: &impl Serialize) -> Result<String, Broken> {
        self.environment
            .get_template(name.file())
            .and_then(|template| template.render(Value::from(Serde(context))))
            // The message names file, line and the missing name, never a value of the context.
            .map_err(|error| Broken::new(format!("a page could not be rendered: {error}")))
    }
}

/// The files of a folder that replace nothing: most likely their names are misspelt.
pub fn strangers(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).map_err(|error| unreadable(&inner, &error))? {
            let path = entry.map_err(|error| unreadable(&inner, &error))?.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            // Hidden ones belong to whoever keeps the folder: version control, or a mounted volume.
            if path.file_name().is_some_and(|own| own.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            if path.is_dir() {
                // What is in there is for pages to load, whatever it is called.
                if name != "assets" {
                    folders.push(path);
                }
            } else if !is_ours(&name) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether it has the name of one of ours, or of a part of pages as ours have them.
fn is_ours(name: &str) -> bool {
    let is_partial = !name.contains('/') && name.starts_with('_') && is_page(Path::new(name));
    is_partial || EMBEDDED.iter().any(|(known, _)| *known == name) || Letters::files().any(|known| known == name)
}

fn is_page(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "html")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Stop {
    Stop::new(format!("cannot read the templates in {}: {error}", path.display()))
        .mend("name a folder of readable UTF-8 files, or remove the setting to use the built-in pages")
}

fn unrenderable(folder: &Path, page: PageName, error: &Error) -> Stop {
    // What went wrong within an included template is told by the innermost.
    let mut inner = error;
    while let Some(deeper) = std::error::Error::source(inner).and_then(|source| source.downcast_ref()) {
        inner = deeper;
    }
    let name = inner.name().unwrap_or(page.file());
    let own = folder.join(name);
    let file = if own.is_file() { own.display().to_string() } else { name.to_owned() };
    let line = inner.line().unwrap_or(1);
    let detail = inner.detail().map_or_else(|| inner.kind().to_string(), ToOwned::to_owned);
    Stop::new(format!("the page {} cannot be made of the template {file}: line {line}: {detail}", page.file()))
        .mend("mend that line: a page is given what the built-in template of its name uses, and nothing else")
}

fn add_overrides(environment: &mut Environment<'static>, folder: &Path) -> Result<(), Stop> {
    let mut names: Vec<String> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let name = entry.map_err(|error| unreadable(folder, &error))?.file_name().to_string_lossy().into_owned();
        if is_page(Path::new(&name)) && !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let path = folder.join(&name);
        if path.is_file() {
            let source = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            environment
                .add_template_owned(name, without_mark(&source).to_owned())
                .map_err(|error| unparsable(&path.display().to_string(), &error))?;
        }
    }
    Ok(())
}

fn unparsable(file: &str, error: &Error) -> Stop {
    let line = error.line().unwrap_or(1);
    let detail = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    Stop::new(format!("the template {file} does not parse: line {line}: {detail}"))
        .mend("mend that line, or remove the file to use the built-in page")
}

/// Escapes as the library does, save that text without any character of HTML's syntax is written as it is: the
/// library also writes every `/` as an entity, which makes the addresses in a page's source unreadable.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if *state.auto_escape() == AutoEscape::Html && !text.contains(['<', '>', '&', '"', '\'']) => {
            out.write_str(text).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    }
}

/// A link that a client's registration may put on a page: the scheme decides whether it is a place or a program.
fn is_weblink(value: &Value) -> bool {
    has_scheme(value, &["https", "http"])
}

/// A picture that the policy of our pages lets the browser load.
fn is_picture(value: &Value) -> bool {
    value.as_str().and_then(picture_source).is_some()
}

fn has_scheme(value: &Value, schemes: &[&str]) -> bool {
    value.as_str().and_then(|text| Url::parse(text).ok()).is_some_and(|url| schemes.contains(&url.scheme()))
}
