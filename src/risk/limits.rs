//! How much of what is admitted, and how soon there is room again.

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    SignIn,
    ClientSecret,
    /// An initial access token, or a registration access token.
    RegistrationToken,
    /// The code after a password.
    SecondFactor,
    /// The code behind a link that sets another password.
    LinkCode,
    /// No guess, but a mail to somebody.
    PasswordReset,
}

/// How many times as much as a source (an IPv4 address, a /64) the networks around it have: the source itself, its /56, which one
/// household gets, and its /48, which one site gets.
pub const WIDENING: [u8; 3] = [1, 2, 6];

/// A leaky bucket: it holds so many at once, and loses so many a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    pub size: f64,
    pub leak: f64,
}

const fn limit(size: f64, leak: f64) -> Limit {
    Limit { size, leak }
}

impl Limit {
    /// The same for a wider network, in which there are more people.
    fn times(self, factor: f64) -> Self {
        Self { size: self.size * factor, leak: self.leak * factor }
    }

    /// Of one source, then of the /56 and the /48 that it is in.
    #[must_use]
    pub fn widening(self) -> [Self; 3] {
        WIDENING.map(|factor| self.times(f64::from(factor)))
    }
}

impl Attempt {
    /// Its name in the log, and part of the keys of its buckets.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::ClientSecret => "client-secret",
            Self::RegistrationToken => "registration-token",
            Self::SecondFactor => "second-factor",
            Self::LinkCode => "link-code",
            Self::PasswordReset => "password-reset",
        }
    }

    /// At one account from one source; also at one account from one known device. Passwords: at one name, whoever has it.
    pub(super) fn of_pair(self) -> Limit {
        match self {
            // People mistype: ten at once, then one every 30 s.
            Self::SignIn | Self::SecondFactor | Self::LinkCode => limit(10.0, 1.0 / 30.0),
            Self::ClientSecret | Self::RegistrationToken => limit(10.0, 1.0 / 10.0),
            Self::PasswordReset => limit(5.0, 1.0 / 300.0),
        }
    }

    /// From one source, at whatever account.
    pub(super) fn of_source(self) -> Limit {
        match self {
            // Many people share an address. Only failures stay in the bucket.
            Self::SignIn => limit(40.0, 0.5),
            // Who comes here knows a password; the account's own bucket is what holds.
            Self::SecondFactor | Self::LinkCode => limit(100.0, 0.5),
            Self::ClientSecret | Self::RegistrationToken => limit(60.0, 1.0),
            Self::PasswordReset => limit(30.0, 1.0 / 10.0),
        }
    }

    /// At one account, from wherever it comes.
    pub(super) fn of_account(self) -> Option<Limit> {
        match self {
            // How many mails a mailbox gets is for the job to count: a bucket here would let strangers keep its owner out.
            // A link holds five codes, and dies of them.
            Self::SignIn | Self::ClientSecret | Self::RegistrationToken | Self::PasswordReset | Self::LinkCode => None,
            // A code has six digits, and who guesses at it knows the password: 288 guesses a day are one in a thousand. Whoever
            // is kept out by it has something to change.
            Self::SecondFactor => Some(limit(15.0, 1.0 / 300.0)),
        }
    }

    /// NIST SP 800-63B-4 §3.2.2: no more than 100 failures in a row at one account. Then one an hour, until a success empties
    /// the bucket: nobody is disabled by what strangers do.
    pub(super) fn in_a_row(self) -> Option<Limit> {
        match self {
            Self::SignIn | Self::SecondFactor | Self::LinkCode => Some(limit(100.0, 1.0 / 3600.0)),
            Self::ClientSecret | Self::RegistrationToken | Self::PasswordReset => None,
        }
    }
}

/// Of what strangers have us remember, from one source. A crowd behind one address passes; somebody who fills the disk does
/// not.
pub(super) const STRANGERS: Limit = limit(1000.0, 10.0);
/// The same from the browsers that a person has signed in with.
pub(super) const KNOWN: Limit = limit(200.0, 1.0);
/// Requests for reset links from the browsers that a person has signed in with, whoever is named.
pub(super) const KNOWN_RESETS: Limit = limit(10.0, 1.0 / 10.0);
/// Events that say the same: a page that is opened again says nothing new.
pub(super) const REPEATS: Limit = limit(1.0, 1.0 / 60.0);
/// Events that one session makes by opening pages.
pub(super) const RECORDS: Limit = limit(60.0, 1.0 / 60.0);
/// Of one person who chooses a password: nobody needs more than a few tries, and one in ten seconds is a person's pace.
pub(super) const CHOICES: Limit = limit(20.0, 1.0 / 10.0);
/// Of one client that has shown who it is: it asks for all its people from one place.
pub(super) const PUSHES: Limit = limit(5000.0, 200.0);
/// Of one resource server: what it reports is kept for ever.
pub(super) const REPORTS: Limit = limit(2000.0, 100.0);
/// Answers with one passkey that were wrong. Only who has seen the passkey knows its id, which is random.
pub(super) const WRONG_PASSKEYS: Limit = limit(20.0, 1.0);
/// Mails to one person about guesses at their account.
pub(super) const WARNINGS: Limit = limit(1.0, 1.0 / 86400.0);
