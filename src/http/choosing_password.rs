//! A password that somebody chooses: held against the rules, looked up among the stolen ones, hashed. Shared by the pages where
//! people choose one; not for the one that signs in.

use serde_json::Value;

use super::extract::Visit;
use crate::{
    app::App,
    authentication::{
        Caller,
        password_rules::{self, Asked, Context, Strength, Unfit},
    },
    db::{Outcome, Tx},
    failure::Failure,
    oauth::Parameters,
    unicode::nfc,
};

/// A password that may be set.
pub struct Chosen {
    pub phc: String,
    pub strength: Strength,
}

/// Whose password it is to be.
pub struct Chooser<'a> {
    /// Tells one person's tries from another's: an id, or the link that they came by.
    pub key: &'a str,
    pub username: &'a str,
    pub claims: &'a Value,
    /// The account has nothing else that is asked for beside it.
    pub alone: bool,
    /// It is the first administrator's.
    pub administrator: bool,
}

/// Evaluates `password` and `password_again` of a form. `Err`: what is wrong, in a person's words.
pub async fn choose(
    app: &App,
    visit: &Visit,
    form: &Parameters,
    chooser: &Chooser<'_>,
) -> Outcome<Result<Chosen, String>> {
    let password = form.get("password").unwrap_or_default();
    if form.get("password_again") != Some(password) {
        return Ok(Err("The two passwords are not the same.".to_owned()));
    }
    // The estimate, the look-up and the hash cost time: one person gets so much of it.
    let count = async |tx: &mut Tx| app.sources.count_choice(tx, chooser.key).await.map_err(Failure::from);
    let gate = app.db.work(visit.now, &visit.trace, count).await?;
    gate.or_later("too many passwords were tried; please wait a moment")?;
    let password = nfc(password);
    let claim = |name: &str| chooser.claims.get(name).and_then(Value::as_str);
    let service = [app.config.pages.name.as_str(), app.config.issuer.host()];
    let context = Context { username: chooser.username, email: claim("email"), name: claim("name"), service };
    let asked = Asked { least: password_rules::least(chooser.alone), strong: chooser.administrator };
    let strength = match password_rules::judge_apart(&password, &context, asked).await? {
        Ok(strength) => strength,
        Err(unfit) => return Ok(Err(unfit.said())),
    };
    let url = app.config.passwords.breach_check_url.as_deref();
    if password_rules::is_breached(&app.outbound, url, &password).await {
        return Ok(Err(Unfit::Breached.said()));
    }
    // In turn with those who sign in: whoever chooses again and again waits longest.
    let _turn = app.passwords.turn(Caller::stranger(b"choosing", chooser.username)).await?;
    Ok(Ok(Chosen { phc: app.passwords.hash(password.into_owned()).await?, strength }))
}
