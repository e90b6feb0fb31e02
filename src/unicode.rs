//! When two texts that people type are the same: passwords (NFC) and names (NFKC, case folded), and which characters a name may
//! have.
//!
//! Not for other texts: what a protocol compares is compared by octets. Invariant: a name that is accepted looks like what it
//! is compared as, as far as single characters go; look-alikes of other scripts are not found here.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizer;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory, WhiteSpace},
};

/// A password as it is hashed: in NFC (RFC 8265 §4.2.2, NIST SP 800-63B-4 §3.1.1.2), so that it is the same whichever keyboard
/// composed it.
#[must_use]
pub fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizer::new_nfc().normalize(text)
}

/// A text without the variants that only look different, such as letters in circles (NFKC, UAX #15).
#[must_use]
pub fn nfkc(text: &str) -> Cow<'_, str> {
    ComposingNormalizer::new_nfkc().normalize(text)
}

/// A name as it is compared: NFKC, case folded (UAX #31 R4 and R5), without spaces around it.
#[must_use]
pub fn name_key(name: &str) -> String {
    let nfkc = ComposingNormalizer::new_nfkc();
    let folded: String = nfkc.normalize(name.trim()).chars().flat_map(folded).collect();
    // Folding can leave a text that is not normalized.
    nfkc.normalize(&folded).trim().to_owned()
}

/// Unicode's full case folding, near enough: what is the same in capitals is the same. Not the dotless i, which is a letter of
/// its own.
fn folded(c: char) -> impl Iterator<Item = char> {
    let capitals = c.to_uppercase().flat_map(char::to_lowercase);
    let dotless = (c == '\u{131}').then_some(c);
    dotless.into_iter().chain(capitals.filter(move |_| dotless.is_none()))
}

/// Whether every character of a name can be seen and leaves the others where they are: no control, format, private or
/// unassigned character, none that fonts ignore, none that turns the direction of writing, and no space but the usual one.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    let (category, ignorable) =
        (CodePointMapData::<GeneralCategory>::new(), CodePointSetData::new::<DefaultIgnorableCodePoint>());
    let (turning, space) = (CodePointSetData::new::<BidiControl>(), CodePointSetData::new::<WhiteSpace>());
    name.chars().all(|c| {
        let is_invisible = matches!(
            category.get(c),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        );
        // U+2800 is a Braille pattern without dots.
        c == ' '
            || !(is_invisible || ignorable.contains(c) || turning.contains(c) || space.contains(c) || c == '\u{2800}')
    })
}

/// A text from a file or standard input without its byte order mark.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The same for the octets of a file, such as a certificate in PEM, whose first line would not be seen behind the mark.
#[must_use]
pub fn octets_without_mark(octets: &[u8]) -> &[u8] {
    octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_other_forms_are_the_same() {
        for (one, other) in [
            ("Alice", " aLICE "),
            ("José", "Jose\u{301}"),
            ("ﬁona", "FIONA"),
            ("ＡＬＩＣＥ", "alice"),
            ("Straße", "STRASSE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Å", "\u{212b}"),
            ("①", "1"),
            ("ǆ", "Ǆ"),
        ] {
            assert_eq!(name_key(one), name_key(other), "{one} {other}");
        }
        // Dotless and dotted are two letters, and so are those of two scripts.
        for (one, other) in [("alı", "ali"), ("alice", "аlice"), ("jose", "josé")] {
            assert_ne!(name_key(one), name_key(other), "{one} {other}");
        }
        for name in ["ﬁona", "Straße", "ǅ", "İ", "Jose\u{301}"] {
            assert_eq!(name_key(&name_key(name)), name_key(name), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_no_name() {
        for name in ["alice", "Alice Tide", "josé", "алиса", "김철수", "علی", "नीला", "a.b-c_d@example.com", "😀"]
        {
            assert!(is_plain_name(name), "{name}");
        }
        for c in [
            '\u{0}',
            '\u{7f}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2028}',
            '\u{2060}',
            '\u{2066}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{a0}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e000}',
            '\u{e0041}',
            '\u{e0100}',
            '\t',
            '\n',
            '\u{85}',
            '\u{378}',
        ] {
            assert!(!is_plain_name(&format!("al{c}ice")), "{c:?}");
        }
    }

    #[test]
    fn a_mark_is_no_part_of_a_text() {
        assert_eq!(without_mark("\u{feff}secret"), "secret");
        assert_eq!(without_mark("se\u{feff}cret"), "se\u{feff}cret");
    }
}
