//! `prompt` (OIDC Core §3.1.2.1).

use super::{Asked, AuthorizationRequest};
use crate::{failure::Failure, oauth::Prompts};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    request.prompts = Prompts::parse(asked.parameters.get("prompt"))?;
    request.login_hint = asked.parameters.get("login_hint").map(str::to_owned);
    Ok(())
}
