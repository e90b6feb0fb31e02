//! An instant as a page shows it: exact for machines, relative for people.
//!
//! Without JavaScript the reader's time zone is unknown, so text is relative ("5 minutes ago") as long as that says
//! something, and a date in UTC beyond.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// One instant, written for a `<time>` element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// RFC 3339, for the `datetime` attribute.
    iso: String,
    /// What stands on the page.
    text: String,
    /// Date and time in UTC, for whoever wants to know exactly.
    exact: String,
}

impl Moment {
    /// `at` as seen from `now`, the instant of the request.
    #[must_use]
    pub fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            iso: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            text: relative(at, now),
            exact: at.format("%-d %B %Y, %H:%M UTC").to_string(),
        }
    }
}

fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = (at - now).num_seconds();
    let seconds = distance.unsigned_abs();
    if seconds < MINUTE {
        return if distance > 0 { "in less than a minute" } else { "just now" }.to_owned();
    }
    // What has gone by is counted in full; what is to come is the nearest, so that twelve hours are twelve when a second of
    // them has gone.
    let in_units = |unit| if distance > 0 { (seconds + unit / 2) / unit } else { seconds / unit };
    let amount = if in_units(MINUTE) < 60 {
        counted(in_units(MINUTE), "minute")
    } else if in_units(HOUR) < 24 {
        counted(in_units(HOUR), "hour")
    } else if in_units(DAY) < 100 {
        counted(in_units(DAY), "day")
    } else {
        return at.format("on %-d %B %Y").to_string();
    };
    if distance > 0 { format!("in {amount}") } else { format!("{amount} ago") }
}

fn counted(amount: u64, unit: &str) -> String {
    if amount == 1 { format!("1 {unit}") } else { format!("{amount} {unit}s") }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone};

    use super::*;

    #[test]
    fn text_is_relative_while_that_says_something() {
        let now = Utc.with_ymd_and_hms(2026, 5, 3, 14, 5, 0).unwrap();
        for (seconds, text) in [
            (0, "just now"),
            (-59, "just now"),
            (30, "in less than a minute"),
            (-60, "1 minute ago"),
            (59 * 60, "in 59 minutes"),
            (-3600, "1 hour ago"),
            (12 * 3600, "in 12 hours"),
            (-86_400, "1 day ago"),
            (12 * 3600 - 1, "in 12 hours"),
            (15 * 60 - 2, "in 15 minutes"),
            (3600 - 1, "in 1 hour"),
            (1 - 3600, "59 minutes ago"),
            (86_400 - 1, "in 1 day"),
            (1 - 86_400, "23 hours ago"),
            (90 * 86_400, "in 90 days"),
            (90 * 86_400 - 1, "in 90 days"),
            (-100 * 86_400, "on 23 January 2026"),
            (-400 * 86_400, "on 29 March 2025"),
        ] {
            assert_eq!(Moment::new(now + TimeDelta::seconds(seconds), now).text, text);
        }
        let shown = Moment::new(now, now);
        assert_eq!(shown.iso, "2026-05-03T14:05:00Z");
        assert_eq!(shown.exact, "3 May 2026, 14:05 UTC");
    }
}
