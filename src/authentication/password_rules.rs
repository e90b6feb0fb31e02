//! Which passwords people may choose: NIST SP 800-63B-4 §3.1.1.2, and docs/decisions/0013.
//!
//! Length, and no password that many people have. Nothing is asked of what it is made of, nothing expires, nothing is cut
//! off. The strength that is shown is an estimate, not a rule.

use tokio::sync::Semaphore;
use zxcvbn::{Entropy, matching::patterns::MatchPattern, zxcvbn};

use super::password::MAX_LENGTH;
use crate::{failure::Broken, jose::sha1_hex, outbound::Outbound};

/// Characters of a password that opens the account by itself.
pub const ALONE: usize = 15;
/// … of one that something else is asked for beside.
pub const BESIDE: usize = 8;

/// How long one has to be; `alone`: it opens the account by itself.
#[must_use]
pub fn least(alone: bool) -> usize {
    if alone { ALONE } else { BESIDE }
}

/// Longer ones are estimated by their beginning: the cost of the estimate grows with a high power of the length.
const ESTIMATED: usize = 48;
/// Signs that stand for a letter, as the estimator knows them. It tries every combination of readings.
const SIGNS: [(char, &str); 12] = [
    ('a', "4@"),
    ('b', "8"),
    ('c', "({[<"),
    ('e', "3"),
    ('g', "69"),
    ('i', "1!|"),
    ('l', "1|7"),
    ('o', "0"),
    ('s', "$5"),
    ('t', "+7"),
    ('x', "%"),
    ('z', "2"),
];
/// So many combinations are tried; beyond that, signs that are no digits are read as their letters first.
const MOST_READINGS: usize = 16;
/// How many are estimated at once, and how many may wait.
static ESTIMATES: Semaphore = Semaphore::const_new(2);
static WAITING: Semaphore = Semaphore::const_new(64);
/// The least score of an administrator's password.
const STRONG: u8 = 3;
/// What is guessed sooner is not worth the name.
const GUESSED_AT_ONCE: u64 = 1_000_000;

/// Whole passwords that are in everybody's list, as far as the estimator's own list has not got them.
const BLOCKED: &str = include_str!("blocked_passwords.txt");

/// Whose password it is to be, and where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    pub username: &'a str,
    pub email: Option<&'a str>,
    pub name: Option<&'a str>,
    /// What the service is called, and its host.
    pub service: [&'a str; 2],
}

/// Why a password cannot be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    TooShort {
        least: usize,
        advice: String,
    },
    TooLong,
    /// Everybody's.
    TooCommon {
        advice: String,
    },
    /// An administrator's, and soon guessed.
    TooWeak {
        advice: String,
    },
    /// The person's name, or the service's.
    TooPersonal,
    /// In somebody's list of stolen ones.
    Breached,
}

impl Unfit {
    /// In a person's words.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::TooShort { least, advice } => {
                let asked = format!("Please choose a password of at least {least} characters.");
                format!("{asked} A few unrelated words make a good one. {advice}").trim_end().to_owned()
            }
            Self::TooLong => format!("Please choose a shorter password: at most {MAX_LENGTH} bytes."),
            Self::TooCommon { advice } => {
                format!("Many people have this password, and it is tried first. {advice}").trim_end().to_owned()
            }
            Self::TooWeak { advice } => {
                let asked = "This password is too weak for an administrator. A few unrelated words make a good one.";
                format!("{asked} {advice}").trim_end().to_owned()
            }
            Self::TooPersonal => {
                "Please choose a password that is not your name or address, or this service's.".to_owned()
            }
            Self::Breached => {
                "This password is in a list of stolen ones. Please choose another, and do not use it elsewhere."
                    .to_owned()
            }
        }
    }
}

/// How hard a password is to guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strength {
    /// From 0 (at once) to 4 (not in this world).
    pub score: u8,
    /// The estimator's words on what would make it better; none where it is good.
    pub advice: String,
}

impl Strength {
    /// In a person's words.
    #[must_use]
    pub fn said(&self) -> &'static str {
        match self.score {
            0 => "very weak",
            1 => "weak",
            2 => "fair",
            3 => "good",
            _ => "strong",
        }
    }
}

/// What is asked of a password.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// [`ALONE`] or [`BESIDE`].
    pub least: usize,
    /// It is an administrator's: a weak one is refused.
    pub strong: bool,
}

/// Evaluates a password that a person chooses, beside the threads that answer requests: the estimate takes milliseconds.
pub async fn judge_apart(
    password: &str,
    context: &Context<'_>,
    asked: Asked,
) -> Result<Result<Strength, Unfit>, Broken> {
    let waiting = WAITING.try_acquire().map_err(|_| Broken::unavailable("too many passwords are being estimated"))?;
    let permit = ESTIMATES.acquire().await.map_err(Broken::new)?;
    let (password, words) = (password.to_owned(), context.words());
    let judged = tokio::task::spawn_blocking(move || judge_by(&password, &words, asked)).await.map_err(Broken::new);
    drop((permit, waiting));
    judged
}

/// The same at once, for commands and at the start.
pub fn judge(password: &str, context: &Context<'_>, least: usize) -> Result<Strength, Unfit> {
    judge_by(password, &context.words(), Asked { least, strong: false })
}

fn judge_by(password: &str, words: &[String], Asked { least, strong }: Asked) -> Result<Strength, Unfit> {
    if password.len() > MAX_LENGTH {
        return Err(Unfit::TooLong);
    }
    let known: Vec<&str> = words.iter().map(String::as_str).collect();
    let estimate = zxcvbn(&estimated(password), &known);
    let advice = advice(&estimate);
    if password.chars().count() < least {
        return Err(Unfit::TooShort { least, advice });
    }
    if is_personal(password, words) {
        return Err(Unfit::TooPersonal);
    }
    if is_blocked(password) || is_one_guess(&estimate) {
        return Err(Unfit::TooCommon { advice });
    }
    let score = u8::from(estimate.score());
    if strong && score < STRONG {
        return Err(Unfit::TooWeak { advice });
    }
    Ok(Strength { score, advice })
}

/// Asks whoever keeps a list of stolen passwords, by the first five digits of the password's SHA-1: they learn that it is one
/// of some hundred thousand. No answer is no objection, but is logged.
pub async fn is_breached(outbound: &Outbound, url: Option<&str>, password: &str) -> bool {
    let Some(url) = url else { return false };
    let hash = sha1_hex(password.as_bytes());
    let (prefix, rest) = hash.split_at(5);
    match outbound.get_text(&format!("{}/{prefix}", url.trim_end_matches('/')), "text/plain").await {
        Ok(list) => list.lines().any(|line| {
            let (suffix, count) = line.trim().split_once(':').unwrap_or((line.trim(), "1"));
            // Lists are padded with entries that nobody ever had.
            suffix.eq_ignore_ascii_case(rest) && count.trim() != "0"
        }),
        Err(why) => {
            tracing::warn!(%why, "stolen passwords could not be looked up: the password is taken");
            false
        }
    }
}

impl Context<'_> {
    /// Everything that the person or the service is called, folded.
    fn words(&self) -> Vec<String> {
        let local = self.email.and_then(|email| email.split('@').next());
        let whole = [Some(self.username), self.email, local, self.name, Some(self.service[0]), Some(self.service[1])];
        let parts = self.name.into_iter().flat_map(str::split_whitespace);
        let mut words: Vec<String> = whole.into_iter().flatten().chain(parts).map(folded).collect();
        words.retain(|word| word.chars().count() >= 3);
        words.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        words
    }
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The whole of it, not a part (§3.1.1.2): what the person or the service is called, with nothing but digits and signs about
/// it, once or several times.
fn is_personal(password: &str, words: &[String]) -> bool {
    let mut left = folded(password);
    let before = left.len();
    for word in words {
        left = left.replace(word.as_str(), "");
    }
    left.len() < before && !left.chars().any(char::is_alphabetic)
}

fn is_blocked(password: &str) -> bool {
    let folded = folded(password);
    let bare: String = folded.chars().filter(|c| c.is_alphanumeric()).collect();
    BLOCKED.split_whitespace().any(|blocked| blocked == folded || blocked == bare)
}

/// The part of a password that is estimated, in at most [`ESTIMATED`] characters and few readings.
fn estimated(password: &str) -> String {
    let beginning: String = password.chars().take(ESTIMATED).collect();
    if readings(&beginning) <= MOST_READINGS {
        return beginning;
    }
    let letter = |sign: char| SIGNS.iter().find(|(_, signs)| !sign.is_ascii_digit() && signs.contains(sign));
    beginning.chars().map(|c| letter(c).map_or(c, |(letter, _)| *letter)).collect()
}

/// How many combinations of readings its signs have.
fn readings(text: &str) -> usize {
    SIGNS.iter().map(|(_, signs)| signs.chars().filter(|sign| text.contains(*sign)).count().max(1)).product()
}

/// The whole of it is one entry of a list, one walk over the keyboard, one thing repeated.
fn is_one_guess(estimate: &Entropy) -> bool {
    let [only] = estimate.sequence() else { return false };
    !matches!(only.pattern, MatchPattern::BruteForce) && estimate.guesses() < GUESSED_AT_ONCE
}

fn advice(estimate: &Entropy) -> String {
    let Some(feedback) = estimate.feedback() else { return String::new() };
    let warning = feedback.warning().map(|warning| warning.to_string());
    let first = feedback.suggestions().first().map(ToString::to_string);
    warning.into_iter().chain(first).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::hostile;

    const ALICE: Context<'_> = Context {
        username: "alice",
        email: Some("alice.tide@example.com"),
        name: Some("Alice Tide"),
        service: ["Mooring", "id.example"],
    };

    #[test]
    fn length_is_all_that_is_asked_of_it() {
        let judged = |password: &str, least| judge(password, &ALICE, least);
        assert_eq!(judged("kelp gull 9 oak", ALONE).map(|it| it.score >= 3), Ok(true));
        assert!(matches!(judged("kelp gull 9 oa", ALONE), Err(Unfit::TooShort { least: 15, .. })));
        assert!(judged("kelpgull", BESIDE).is_ok());
        assert!(matches!(judged("kelpgul", BESIDE), Err(Unfit::TooShort { least: 8, .. })));
        // Characters, not octets.
        assert!(judged("пляжморечайкаиё", ALONE).is_ok());
        for plain in
            ["lower case letters only", "ALL THE LETTERS BIG", "  spaces around it  ", &"long words ".repeat(20)]
        {
            assert!(judged(plain, ALONE).is_ok(), "{plain}");
        }
        assert_eq!(judged(&"x y".repeat(400), ALONE), Err(Unfit::TooLong));
    }

    #[test]
    fn whatever_is_weak_gets_advice() {
        let weak = judge("password1234567", &ALICE, ALONE).unwrap();
        assert!(weak.score < 2 && weak.advice.contains("Add another word or two."), "{weak:?}");
        let strong = judge("kelp gull over the quay", &ALICE, ALONE).unwrap();
        assert_eq!((strong.said(), strong.advice.as_str()), ("strong", ""));
        let short = judge("password12", &ALICE, ALONE).unwrap_err().said();
        assert!(short.contains("at least 15") && short.contains("Add another word or two."), "{short}");
        let short = judge("xK7#pQ2!vR9", &ALICE, ALONE).unwrap_err().said();
        assert!(short.ends_with("make a good one."), "{short}");
    }

    /// The estimator's time grows with the length and, by products, with the signs that it can read as letters.
    #[test]
    fn the_cost_of_an_estimate_is_bounded() {
        for dear in ["4@8({[<369!|10$+7%2".repeat(60), "1|!".repeat(40), "9".repeat(1024)] {
            let estimated = estimated(&dear);
            assert!(estimated.chars().count() <= ESTIMATED && readings(&estimated) <= MOST_READINGS, "{estimated}");
        }
        assert_eq!(readings("4@8({[<369!|10$+7%2"), 288);
        // Few signs are left to the estimator, which knows such passwords.
        assert_eq!(estimated("P@$$w0rd{1}"), "P@$$w0rd{1}");
        assert!(matches!(judge("p@ssw0rd", &ALICE, BESIDE), Err(Unfit::TooCommon { .. })));
    }

    #[test]
    fn an_administrator_takes_a_strong_one() {
        let judged = |password: &str, strong| judge_by(password, &ALICE.words(), Asked { least: ALONE, strong });
        for weak in ["password1234567", "qwertyuiop12345"] {
            assert!(matches!(judged(weak, true), Err(Unfit::TooWeak { .. })), "{weak}");
            assert!(judged(weak, false).is_ok(), "{weak}");
        }
        assert!(judged("kelp gull over the quay", true).is_ok());
        let said = judged("password1234567", true).unwrap_err().said();
        assert!(said.contains("for an administrator") && said.contains("Add another word or two."), "{said}");
    }

    #[test]
    fn what_everybody_has_is_refused() {
        for common in [
            "password123",
            "Password1!",
            "iloveyou123",
            "qwertyuiop",
            "1q2w3e4r5t",
            "aaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "123456789012345",
            "passwordpassword",
            "changemechangeme",
        ] {
            assert!(matches!(judge(common, &ALICE, BESIDE), Err(Unfit::TooCommon { .. })), "{common}");
        }
        let said = judge("qwertyuiop", &ALICE, BESIDE).unwrap_err().said();
        assert!(said.starts_with("Many people have this password") && said.len() > 60, "{said}");
    }

    #[test]
    fn what_somebody_is_called_is_refused() {
        for personal in [
            "alicealice",
            "Alice-Tide-2026!",
            "alice.tide@example.com",
            "mooring123",
            "id.example/alice",
            "tidemooring",
        ] {
            assert_eq!(judge(personal, &ALICE, BESIDE), Err(Unfit::TooPersonal), "{personal}");
        }
        // A part of it may be.
        assert!(judge("alice has a little boat", &ALICE, ALONE).is_ok());
        assert!(judge("12345-kelp-67890", &Context::default(), ALONE).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_is_judged(text in hostile::text(), least in 0..20_usize) {
            if judge(&text, &ALICE, least).is_ok() {
                prop_assert!(text.chars().count() >= least && text.len() <= MAX_LENGTH);
            }
        }
    }
}
