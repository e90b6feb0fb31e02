//! A password that somebody chooses: judged by the rules, looked up among the stolen ones, hashed. Shared by the pages where
//! people choose one; not for the one that signs in.

use serde_json::Value;

use crate::{
    app::App,
    authentication::password_rules::{self, Context, Strength, Unfit},
    failure::Broken,
    oauth::Parameters,
};

/// A password that may be set.
pub struct Chosen {
    pub phc: String,
    pub strength: Strength,
}

/// Judges `password` and `password_again` of a form. `alone`: the account has nothing else that is asked for beside it. `Err`:
/// what is wrong, in a person's words.
pub async fn choose(
    app: &App,
    form: &Parameters,
    username: &str,
    claims: &Value,
    alone: bool,
) -> Result<Result<Chosen, String>, Broken> {
    let password = form.get("password").unwrap_or_default();
    if form.get("password_again") != Some(password) {
        return Ok(Err("The two passwords are not the same.".to_owned()));
    }
    let claim = |name: &str| claims.get(name).and_then(Value::as_str);
    let service = [app.config.pages.name.as_str(), app.config.issuer.host()];
    let context = Context { username, email: claim("email"), name: claim("name"), service };
    let strength = match password_rules::judge(password, &context, password_rules::least(alone)) {
        Ok(strength) => strength,
        Err(unfit) => return Ok(Err(unfit.said())),
    };
    let url = app.config.passwords.breach_check_url.as_deref();
    if password_rules::is_breached(&app.outbound, url, password).await {
        return Ok(Err(Unfit::Breached.said()));
    }
    Ok(Ok(Chosen { phc: app.passwords.hash(password.to_owned()).await?, strength }))
}
