//! Names that no client may give itself: a person who reads them takes the client for this service (RFC 7591 §5).
//!
//! Names are compared as they look: without case, spaces, marks and punctuation, and with one character for all that look
//! alike (Unicode Technical Standard 39 §4). It keeps out what is meant to deceive; the consent page marks every such client
//! all the same.

use unicode_security::confusable_detection::skeleton;

use crate::{oauth::client_metadata::Fault, unicode::nfkc};

/// What this product calls its own pages. A longer name with this in it is refused, too.
const OWN: &str = "Identity Hub";

/// What is reserved at this server.
pub struct ReservedNames {
    own: String,
    /// As they look.
    others: Vec<String>,
}

impl ReservedNames {
    /// `names`: what else nobody may be called, such as this service.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let others = names.chain(["Mooring"]).map(look).filter(|look| !look.is_empty()).collect();
        Self { own: look(OWN), others }
    }

    /// Refuses a name that looks like a reserved one.
    pub fn check(&self, client_name: Option<&str>) -> Result<(), Fault> {
        let Some(name) = client_name.map(look) else { return Ok(()) };
        if name.contains(&self.own) || self.others.contains(&name) {
            return Err(Fault::new("client_name", "is reserved, or looks like a name that is: choose another"));
        }
        Ok(())
    }
}

/// How a text looks, roughly. `I`, `l`, `i` and `1` are one character, as are `O` and `0`.
fn look(text: &str) -> String {
    let composed = nfkc(text);
    let mut look = String::new();
    let mut rest = composed.chars().peekable();
    while let Some(c) = rest.next() {
        // Before a letter it stands for one, at the end of a word it does not.
        if c == '!' && rest.peek().is_some_and(|next| next.is_alphanumeric()) {
            look.push('l');
        } else {
            look.push_str(&letters(c));
        }
    }
    look
}

/// What one character looks like: small Latin letters and digits where it looks like some.
fn letters(c: char) -> String {
    let c = unlisted(c).unwrap_or(c);
    let small = alike(&alike(&c.to_string()));
    if small.is_ascii() {
        return small;
    }
    // Small letters of other scripts look like small Latin capitals: those that look like capitals count as them.
    let capital = alike(&c.to_uppercase().to_string());
    if capital.is_ascii() { capital } else { small }
}

fn alike(text: &str) -> String {
    let small = skeleton(text).collect::<String>().to_lowercase();
    small.chars().filter(|c| c.is_alphanumeric()).map(|c| if c == 'i' { 'l' } else { c }).collect()
}

/// Letters that the table of confusable characters leaves apart from those that they look like.
fn unlisted(c: char) -> Option<char> {
    const SMALL_CAPITALS: &str = "ᴀaʙbᴄcᴅdᴇeꜰfɢgʜhɪlᴊjᴋkʟlᴍmɴnᴏoᴘpꞯqʀrꜱsᴛtᴜuᴠvᴡwʏyᴢzıl丨l亅j";
    const CHEROKEE: &str = "ᏆlᎠdᎬeᎢtᎻhᏴbᎪaᏟcᎫjᏦkᏞlᎷmᏢpᏒrᏚsᏙvᎳwᎩyᏃz";
    // White letters in black circles and squares, and the letters of flags.
    const ENCLOSED: [u32; 3] = ['\u{1f150}' as u32, '\u{1f170}' as u32, '\u{1f1e6}' as u32];
    let mut pairs = SMALL_CAPITALS.chars().chain(CHEROKEE.chars());
    while let (Some(odd), Some(latin)) = (pairs.next(), pairs.next()) {
        if odd == c {
            return Some(latin);
        }
    }
    let place = ENCLOSED.iter().find_map(|first| (c as u32).checked_sub(*first).filter(|place| *place < 26))?;
    Some((b'a' + u8::try_from(place).ok()?) as char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_reserved(name: &str) -> bool {
        ReservedNames::new(["Acme Login", "id.acme.example"].into_iter()).check(Some(name)).is_err()
    }

    #[test]
    fn what_looks_like_a_reserved_name_is_refused() {
        for name in [
            "Identity Hub",
            "identity hub",
            "IDENTITY  HUB",
            "IdentityHub",
            "Identity-Hub.",
            "I d e n t i t y H u b",
            "ldentity Hub",
            "1dentity Hub",
            "lDENTlTY HUB",
            "Идентичность Identity Hub",
            "\u{406}dentity Hub",
            "Identity H\u{1d64b}b".replace('\u{1d64b}', "\u{1d69e}").as_str(),
            "\u{ff29}\u{ff44}entity Hub",
            "Ide\u{301}ntity Hub",
            "Iden\u{200b}tity\u{a0}Hub",
            "The Identity Hub (official)",
            "Mooring",
            "M0oring",
            "Acme Login",
            "ACME LOGIN",
            "\u{410}cme L\u{43e}gin",
            "id.acme.example",
            "ᴵᵈᵉⁿᵗⁱᵗʸ ᴴᵘᵇ",
            "🄸🄳🄴🄽🅃🄸🅃🅈 🄷🅄🄱",
            "🅸🅳🅴🅽🆃🅸🆃🆈 🅷🆄🅱",
            "🅘🅓🅔🅝🅣🅘🅣🅨 🅗🅤🅑",
            "🇮🇩🇪🇳🇹🇮🇹🇾 🇭🇺🇧",
            "Ⓘⓓⓔⓝⓣⓘⓣⓨ Ⓗⓤⓑ",
            "ɪᴅᴇɴᴛɪᴛʏ ʜᴜʙ",
            "Iᴅentity Hub",
            "IDENTITY HUʙ",
            "Identiту Hub",
            "ldentiту Hub",
            "ᏆᎠᎬNᎢᏆᎢY ᎻUᏴ",
            "ɪdᴇntity ʜub",
            "丨dentity Hub",
            "!dentity Hub",
            "ᴍooring",
            "Mᴏᴏʀɪɴɢ",
            "Ⓜooring",
        ] {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        for name in ["Tide Tables", "Mooring Masters", "Acme Login Helper", "Hub", "Identity", "Ключ", "…", ""] {
            assert!(!is_reserved(name), "{name}");
        }
        for name in
            ["Причал и маяк", "Личный кабинет", "Λιμάνι", "港の時刻表", "항구", "مرسى السفن", "Ankerplätze!", "Hub!"]
        {
            assert!(!is_reserved(name), "{name}");
        }
        assert!(ReservedNames::new(["", "…"].into_iter()).check(Some("")).is_ok());
        assert!(ReservedNames::new(std::iter::empty()).check(None).is_ok());
    }
}
