//! The master secret and what is derived from it; randomness, hashes, comparison.
//!
//! One key per [`Purpose`], by HKDF (RFC 5869), so that what leaks for one purpose tells nothing of another. The
//! master secret is kept only as HKDF's input; neither it nor a derived key has a `Debug` that shows it. Replicas
//! that share the master secret derive the same keys.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    constant_time, digest,
    hkdf::{HKDF_SHA256, Prk, Salt},
    hmac, rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::failure::{Broken, Stop};

const NONCE: usize = 12;
const TAG: usize = 16;

/// What a derived key is for. The names go into the derivation: renaming one makes everything made with it unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    SealSigningKeys,
    AuthorizationCodes,
    RefreshTokens,
    CsrfTokens,
    SourceHashes,
    SubjectIdentifiers,
    Cookies,
    Pagination,
    DeclaredPasswords,
    RegistrationTokens,
    PushedRequests,
    PasswordResets,
    TotpSecrets,
    RecoveryCodes,
    PasskeyQuestions,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::SealSigningKeys => "seal-signing-keys",
            Self::AuthorizationCodes => "authorization-codes",
            Self::RefreshTokens => "refresh-tokens",
            Self::CsrfTokens => "csrf-tokens",
            Self::SourceHashes => "source-hashes",
            Self::SubjectIdentifiers => "subject-identifiers",
            Self::Cookies => "cookies",
            Self::Pagination => "pagination",
            Self::DeclaredPasswords => "declared-passwords",
            Self::RegistrationTokens => "registration-tokens",
            Self::PushedRequests => "pushed-requests",
            Self::PasswordResets => "password-resets",
            Self::TotpSecrets => "totp-secrets",
            Self::RecoveryCodes => "recovery-codes",
            Self::PasskeyQuestions => "passkey-questions",
        }
    }
}

/// The one secret of an installation.
#[derive(Clone)]
pub struct MasterSecret(Prk);

impl MasterSecret {
    /// At least so many octets, white space around them not counted.
    pub const MIN_LENGTH: usize = 32;

    /// Takes the octets as they are, but for white space around them: an editor's last newline must not make another
    /// secret of the same text.
    pub fn from_bytes(secret: &[u8]) -> Result<Self, Stop> {
        let secret = secret.trim_ascii();
        let repeats_one_octet = secret.windows(2).all(|pair| pair[0] == pair[1]);
        if secret.len() < Self::MIN_LENGTH || repeats_one_octet {
            return Err(Stop::new(format!(
                "the master secret is too weak: it needs {} random bytes",
                Self::MIN_LENGTH
            ))
            .mend("make one with `openssl rand -base64 32` and set secrets.master_file or MOORING_SECRETS__MASTER"));
        }
        Ok(Self(Salt::new(HKDF_SHA256, b"mooring").extract(secret)))
    }

    /// A new one as text: 256 random bits.
    pub fn generate() -> String {
        base64url(&random_bytes::<32>())
    }

    pub fn derive(&self, purpose: Purpose) -> Key256 {
        // Two keys from one purpose, because HMAC and AES must not share one (NIST SP 800-57 part 1 §5.2).
        let mac = self.expand(&[b"mooring/", purpose.as_str().as_bytes()]);
        let seal = self.expand(&[b"mooring/", purpose.as_str().as_bytes(), b"/aes-256-gcm"]);
        let Ok(seal) = RandomizedNonceKey::new(&AES_256_GCM, &seal) else {
            unreachable!("32 octets are a key of AES-256-GCM");
        };
        Key256 { mac: hmac::Key::new(hmac::HMAC_SHA256, &mac), seal }
    }

    /// Tells one master secret from another without revealing either: to be stored beside what is sealed.
    pub fn id(&self) -> String {
        base64url(&self.expand(&[b"mooring/id"])[..9])
    }

    fn expand(&self, info: &[&[u8]]) -> [u8; 32] {
        let mut okm = [0; 32];
        let filled = self.0.expand(info, HKDF_SHA256.hmac_algorithm()).and_then(|expansion| expansion.fill(&mut okm));
        // Going on would mean a key of zeroes.
        assert!(filled.is_ok(), "HKDF-SHA256 gives 32 octets (RFC 5869 §2.3: up to 255 times 32)");
        okm
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret(…)")
    }
}

/// A key for one purpose: it authenticates ([`Key256::mac`]) and it seals ([`Key256::seal`]).
pub struct Key256 {
    mac: hmac::Key,
    seal: RandomizedNonceKey,
}

impl Key256 {
    /// HMAC-SHA256 over the parts, each with its length, so that no two lists of parts give the same input.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        array_of(context.sign().as_ref())
    }

    /// Whether `tag` is the [`Key256::mac`] of the parts; takes the same time wherever they differ.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        constant_time_eq(&self.mac(parts), tag)
    }

    /// AES-256-GCM with a random nonce: nonce ‖ ciphertext ‖ tag. `aad` must be given again to open it.
    ///
    /// A key may seal 2³² times (NIST SP 800-38D §8.3).
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut sealed = vec![0; NONCE];
        sealed.extend_from_slice(plain);
        let (nonce, tag) = self
            .seal
            .seal_in_place_separate_tag(Aad::from(aad), &mut sealed[NONCE..])
            .map_err(|_| Broken::new("sealing failed"))?;
        sealed[..NONCE].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Fails when the master secret is another, or when `sealed` or `aad` was changed.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let unreadable =
            || Broken::new("what was sealed does not open: it was changed, or the master secret is another");
        if sealed.len() < NONCE + TAG {
            return Err(unreadable());
        }
        let (nonce, sealed) = sealed.split_at(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| unreadable())?;
        let mut text = sealed.to_vec();
        let length = self.seal.open_in_place(nonce, Aad::from(aad), &mut text).map_err(|_| unreadable())?.len();
        text.truncate(length);
        Ok(text)
    }
}

impl fmt::Debug for Key256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key256(…)")
    }
}

/// Plain SHA-256 of the parts one after the other. Of two parts at most one may vary in length; where more do, use
/// [`Key256::mac`].
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    array_of(context.finish().as_ref())
}

/// SHA-1 in upper-case hex: what lists of stolen passwords are sorted by. Not for anything that has to be secure.
#[must_use]
pub fn sha1_hex(text: &[u8]) -> String {
    use std::fmt::Write;
    let hashed = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text);
    hashed.as_ref().iter().fold(String::with_capacity(40), |mut hex, octet| {
        let _ = write!(hex, "{octet:02X}");
        hex
    })
}

/// From the system's generator.
///
/// # Panics
/// When there is no randomness to be had: nothing that needs it may go on.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    assert!(rand::fill(&mut bytes).is_ok(), "the random generator failed");
    bytes
}

/// Whether the two are equal, in a time that tells only whether their lengths are.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Base64url without padding (RFC 7515 §2).
pub fn base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The reverse of [`base64url`]. Padding, other alphabets and non-zero trailing bits are refused, so that no two
/// texts stand for the same octets.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn array_of(octets: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(octets);
    array
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn key(purpose: Purpose) -> Key256 {
        MasterSecret::from_bytes(TEXT).unwrap().derive(purpose)
    }

    fn hex(octets: &[u8]) -> String {
        use std::fmt::Write;
        octets.iter().fold(String::new(), |mut text, octet| {
            write!(text, "{octet:02x}").unwrap();
            text
        })
    }

    /// Computed with another implementation of HKDF (Python's hmac): every replica and every later version must
    /// derive the same.
    #[test]
    fn derivation_is_stable() {
        let secret = MasterSecret::from_bytes(TEXT).unwrap();
        assert_eq!(
            hex(&secret.expand(&[b"mooring/", b"refresh-tokens"])),
            "1aaba16344954665866c71df6b01158480aa13d92cb4c974b5c52e15c1eedda3"
        );
        assert_eq!(
            hex(&secret.derive(Purpose::RefreshTokens).mac(&[b"ab", b"c"])),
            "740c5604871b7385d3477e2eb54385f7443a6262e126cf4871f8e669b4a2499c"
        );
    }

    #[test]
    fn every_purpose_has_its_own_key() {
        let tags: std::collections::HashSet<_> = [
            Purpose::SealSigningKeys,
            Purpose::RefreshTokens,
            Purpose::CsrfTokens,
            Purpose::SourceHashes,
            Purpose::SubjectIdentifiers,
            Purpose::Cookies,
            Purpose::Pagination,
            Purpose::AuthorizationCodes,
            Purpose::DeclaredPasswords,
            Purpose::RegistrationTokens,
            Purpose::PasswordResets,
            Purpose::TotpSecrets,
            Purpose::RecoveryCodes,
            Purpose::PasskeyQuestions,
        ]
        .map(|purpose| key(purpose).mac(&[b"same"]))
        .into_iter()
        .collect();
        assert_eq!(tags.len(), 14);
    }

    #[test]
    fn short_or_monotonous_master_secrets_are_refused() {
        for weak in [&b""[..], b"short", &TEXT[1..], &[b'a'; 64], b"                                        "] {
            assert!(MasterSecret::from_bytes(weak).is_err(), "{weak:?}");
        }
        assert!(MasterSecret::from_bytes(MasterSecret::generate().as_bytes()).is_ok());
    }

    #[test]
    fn white_space_around_the_master_secret_does_not_count() {
        let bare = MasterSecret::from_bytes(TEXT).unwrap();
        let saved = MasterSecret::from_bytes(&[TEXT, b"\r\n"].concat()).unwrap();
        assert_eq!(bare.id(), saved.id());
        assert_ne!(bare.id(), MasterSecret::from_bytes(MasterSecret::generate().as_bytes()).unwrap().id());
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = MasterSecret::from_bytes(TEXT).unwrap();
        assert_eq!(format!("{secret:?} {:?}", secret.derive(Purpose::Cookies)), "MasterSecret(…) Key256(…)");
    }

    #[test]
    fn another_purpose_or_context_does_not_open() {
        let sealed = key(Purpose::SealSigningKeys).seal(b"kid", b"plain").unwrap();
        assert_eq!(key(Purpose::SealSigningKeys).open(b"kid", &sealed).unwrap(), b"plain");
        assert!(key(Purpose::SealSigningKeys).open(b"other", &sealed).is_err());
        assert!(key(Purpose::Cookies).open(b"kid", &sealed).is_err());
        assert!(key(Purpose::SealSigningKeys).open(b"kid", b"").is_err());
    }

    #[test]
    fn the_same_text_is_never_sealed_alike() {
        let key = key(Purpose::SealSigningKeys);
        assert_ne!(key.seal(b"", b"plain").unwrap(), key.seal(b"", b"plain").unwrap());
    }

    #[test]
    fn keys_are_shared_between_threads() {
        fn shareable<T: Send + Sync>() {}
        shareable::<MasterSecret>();
        shareable::<Key256>();
    }

    #[test]
    fn sha256_of_nist() {
        assert_eq!(hex(&sha256(&[b"a", b"bc"])), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn sha1_of_nist() {
        assert_eq!(sha1_hex(b"abc"), "A9993E364706816ABA3E25717850C26C9CD0D89D");
    }

    #[test]
    fn base64url_is_canonical() {
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
        assert_eq!(from_base64url("-_8"), Some(vec![0xfb, 0xff]));
        for other in ["-_8=", "+/8", "-_9", "-_8\n", "-"] {
            assert_eq!(from_base64url(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_what_was_changed_does_not(
            aad in any::<Vec<u8>>(), plain in any::<Vec<u8>>(), position in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let key = key(Purpose::SealSigningKeys);
            let mut sealed = key.seal(&aad, &plain).unwrap();
            prop_assert_eq!(key.open(&aad, &sealed).unwrap(), plain);
            let index = position.index(sealed.len());
            sealed[index] ^= 1 << bit;
            prop_assert!(key.open(&aad, &sealed).is_err());
        }

        #[test]
        fn parts_are_unambiguous(a in any::<Vec<u8>>(), b in any::<Vec<u8>>(), c in any::<Vec<u8>>()) {
            let key = key(Purpose::CsrfTokens);
            let joined = [a.as_slice(), b.as_slice()].concat();
            prop_assert_ne!(key.mac(&[&a, &b]), key.mac(&[&joined]));
            prop_assert_eq!(key.mac(&[&a, &b]) == key.mac(&[&a, &c]), b == c);
            prop_assert!(key.verify(&[&a, &b], &key.mac(&[&a, &b])));
        }
    }
}
