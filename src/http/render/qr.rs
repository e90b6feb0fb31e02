//! A text as a QR code, for a page to draw as inline SVG: two paths, no style and no script, so that the strict policy of
//! the pages holds, and no address that could be logged or kept.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use serde::Serialize;

/// Modules of white on each side that a reader needs to find it (ISO/IEC 18004 §5.3.8).
const QUIET: i32 = 4;

/// What a template draws: dark on white whatever the colours of the page. It says what was encoded, so it has no `Debug`.
#[derive(Clone, Serialize)]
pub struct Qr {
    /// Modules on a side, the quiet zone included: the side of the view box.
    pub size: i32,
    /// The dark modules, as the data of an SVG path.
    pub path: String,
}

impl Qr {
    /// `None`: the text is too long for any (2331 octets).
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        // Medium: what a screen reflects, or a finger hides, can be made up for.
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
        let mut path = String::new();
        for y in 0..code.size() {
            let mut x = 0;
            while x < code.size() {
                let from = x;
                // There is nothing dark beyond the edge.
                while code.get_module(x, y) {
                    x += 1;
                }
                let run = x - from;
                if run > 0 {
                    // Writing to a `String` does not fail.
                    let _ = write!(path, "M{} {}h{run}v1h-{run}z", from + QUIET, y + QUIET);
                } else {
                    x += 1;
                }
            }
        }
        Some(Self { size: code.size() + 2 * QUIET, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_where_it_belongs() {
        let text = "otpauth://totp/Mooring:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Mooring";
        let (drawn, code) = (Qr::of(text).unwrap(), QrCode::encode_text(text, QrCodeEcc::Medium).unwrap());
        let side = usize::try_from(drawn.size).unwrap();
        let mut dark = vec![vec![false; side]; side];
        for run in drawn.path.split_terminator('z') {
            let (at, rest) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (length, back) = rest.split_once("v1h-").unwrap();
            assert_eq!(length, back);
            let (x, y, length): (usize, usize, usize) =
                (x.parse().unwrap(), y.parse().unwrap(), length.parse().unwrap());
            dark[y][x..x + length].fill(true);
        }
        for (y, row) in (0..).zip(&dark) {
            for (x, is_dark) in (0..).zip(row) {
                assert_eq!(*is_dark, code.get_module(x - QUIET, y - QUIET), "{x} {y}");
            }
        }
        // A finder pattern in three corners, behind the quiet zone.
        assert!(drawn.path.starts_with("M4 4h7v1h-7z"), "{}", drawn.path);
        assert_eq!(drawn.size, code.size() + 8);
    }

    #[test]
    fn what_no_code_can_hold_is_none() {
        assert!(Qr::of(&"x".repeat(2331)).is_some());
        assert!(Qr::of(&"x".repeat(2332)).is_none());
    }
}
