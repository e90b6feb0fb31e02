//! The `prompt` parameter (OIDC Core §3.1.2.1): what the person must, or must not, be shown.

use super::Error;

/// A value of `prompt`. `create` is not known here: there is no sign-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// Show nothing; answer with an error instead.
    None,
    /// Authenticate again.
    Login,
    /// Ask for consent again.
    Consent,
    /// Let the person choose who to be.
    SelectAccount,
}

impl Prompt {
    /// Every value, as discovery announces them.
    pub const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

/// The prompts of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts(Vec<Prompt>);

impl Prompts {
    /// Reads the parameter: values separated by spaces, `none` only alone.
    pub fn parse(parameter: Option<&str>) -> Result<Self, Error> {
        let mut prompts = Vec::new();
        for name in parameter.unwrap_or_default().split(' ').filter(|name| !name.is_empty()) {
            let prompt = Prompt::ALL.into_iter().find(|prompt| prompt.as_str() == name);
            let prompt = prompt
                .ok_or_else(|| Error::invalid_request("prompt has a value that is not in prompt_values_supported"))?;
            if !prompts.contains(&prompt) {
                prompts.push(prompt);
            }
        }
        if prompts.len() > 1 && prompts.contains(&Prompt::None) {
            return Err(Error::invalid_request("prompt=none must not be combined with another value"));
        }
        Ok(Self(prompts))
    }

    pub fn contains(&self, prompt: Prompt) -> bool {
        self.0.contains(&prompt)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let prompts = Prompts::parse(Some("login  consent login")).unwrap();
        assert!(prompts.contains(Prompt::Login) && prompts.contains(Prompt::Consent));
        assert!(!prompts.contains(Prompt::None) && !prompts.contains(Prompt::SelectAccount));
        assert!(Prompts::parse(Some("none")).unwrap().contains(Prompt::None));
        assert!(Prompts::parse(Some("select_account")).unwrap().contains(Prompt::SelectAccount));
        assert!(Prompts::parse(None).unwrap().is_empty());
    }

    #[test]
    fn none_stands_alone_and_unknown_values_are_refused() {
        for bad in ["none login", "consent none", "create", "Login", "login,consent", "login\tconsent"] {
            assert!(Prompts::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
