//! What an API asks for when a token is not enough (RFC 9470 §3, RFC 6750 §3.1), read from its challenge: an application
//! need not know which of its calls need what.

/// The authorization that would be enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    pub acr_values: Option<String>,
    pub max_age: Option<String>,
    pub scope: Option<String>,
}

impl StepUp {
    /// What a `WWW-Authenticate` asks for, if a new authorization would help.
    #[must_use]
    pub fn asked(challenge: &str) -> Option<Self> {
        let (scheme, parameters) = challenge.split_once(' ')?;
        let parameters = scheme.eq_ignore_ascii_case("Bearer").then(|| read(parameters))?;
        let get = |name: &str| parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        // A token that was refreshed after the privileged session lacks the scope, though its person was strong enough once.
        ["insufficient_user_authentication", "insufficient_scope"].contains(&get("error")?.as_str()).then(|| Self {
            acr_values: get("acr_values"),
            max_age: get("max_age"),
            scope: get("scope"),
        })
    }
}

/// Names and quoted values (RFC 9110 §11.2), as far as they can be read.
fn read(parameters: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = parameters;
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        found.push((name.trim_matches([',', ' ']).to_ascii_lowercase(), value.to_owned()));
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_new_authorization_mends_is_asked() {
        let asked = StepUp::asked(
            "Bearer error=\"insufficient_user_authentication\", error_description=\"A more recent one, please\", \
             acr_values=\"phr phrh\", max_age=\"300\", scope=\"payments:write\"",
        );
        let some = |text: &str| Some(text.to_owned());
        let expected = StepUp { acr_values: some("phr phrh"), max_age: some("300"), scope: some("payments:write") };
        assert_eq!(asked, Some(expected));
        assert_eq!(StepUp::asked("bearer error=\"insufficient_user_authentication\""), Some(StepUp::default()));
        assert_eq!(
            StepUp::asked("Bearer error=\"insufficient_scope\", scope=\"payments:write\""),
            Some(StepUp { scope: some("payments:write"), ..StepUp::default() })
        );
        for other in [
            "Bearer",
            "Bearer error=\"invalid_token\"",
            "Basic error=\"insufficient_user_authentication\"",
            "Bearer error=\"insufficient_user_authentication",
            "",
        ] {
            assert_eq!(StepUp::asked(other), None, "{other}");
        }
    }
}
