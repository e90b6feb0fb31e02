//! Times of the week, in UTC: `Mon-Fri 08:00-18:00`.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::value::Value;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTES_A_DAY: u32 = 24 * 60;

/// One or more windows of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours(Vec<Window>);

/// The same minutes on some days.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// Days counted from Monday; the second may come before the first, around the end of the week.
    days: (usize, usize),
    /// Minutes of the day; the second is not in it.
    minutes: (u32, u32),
}

impl Hours {
    /// Whether this instant is in one of the windows.
    #[must_use]
    pub fn include(&self, at: DateTime<Utc>) -> bool {
        let day = at.weekday().num_days_from_monday() as usize;
        let minute = at.hour() * 60 + at.minute();
        self.0.iter().any(|window| window.has_day(day) && (window.minutes.0..window.minutes.1).contains(&minute))
    }
}

impl Window {
    fn has_day(&self, day: usize) -> bool {
        let (first, last) = self.days;
        if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last }
    }

    fn parse(text: &str) -> Option<Self> {
        let (days, minutes) = text.split_once(' ')?;
        let day = |name: &str| DAYS.iter().position(|day| *day == name);
        let days = match days.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(days)?, day(days)?),
        };
        let (from, to) = minutes.split_once('-')?;
        let minutes = (minute_of_day(from)?, minute_of_day(to)?);
        (minutes.0 < minutes.1).then_some(Self { days, minutes })
    }
}

/// `08:00`, up to `24:00`.
fn minute_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse::<u32>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= MINUTES_A_DAY).then_some(at)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Window { days: (first, last), minutes: (from, to) }) in self.0.iter().enumerate() {
            let day = |day: usize| DAYS.get(day).copied().unwrap_or_default();
            f.write_str(if index > 0 { ", " } else { "" })?;
            f.write_str(day(*first))?;
            if first != last {
                write!(f, "-{}", day(*last))?;
            }
            write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        }
        f.write_str(" UTC")
    }
}

impl Value for Hours {
    fn kind() -> Cow<'static, str> {
        "times of the week".into()
    }
    fn expected() -> Cow<'static, str> {
        "days and times in UTC, as in \"Mon-Fri 08:00-18:00\" or \"Mon-Thu 08:00-18:00, Fri 08:00-15:00\"; no other time \
         zone, and over midnight two windows (\"Mon 22:00-24:00, Tue 00:00-06:00\")"
            .into()
    }
    fn of_text(text: &str) -> Option<Self> {
        // Said or not, it is UTC.
        let text = text.strip_suffix(" UTC").unwrap_or(text);
        text.split(", ").map(Window::parse).collect::<Option<Vec<_>>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn hours(text: &str) -> Hours {
        Hours::of_text(text).unwrap_or_else(|| panic!("{text}"))
    }

    /// The day of May 2026 on which the week begins is the 4th.
    fn at(day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 5, 4 + day, hour, minute, 59).unwrap()
    }

    #[test]
    fn a_window_has_its_first_minute_and_not_its_last() {
        let office = hours("Mon-Fri 08:00-18:00");
        assert!(office.include(at(0, 8, 0)) && office.include(at(4, 17, 59)));
        assert!(!office.include(at(0, 7, 59)) && !office.include(at(0, 18, 0)) && !office.include(at(5, 12, 0)));
    }

    #[test]
    fn days_go_around_the_end_of_the_week() {
        let duty = hours("Sat-Mon 00:00-24:00");
        assert!([5, 6, 0].iter().all(|day| duty.include(at(*day, 23, 59))));
        assert!((1..5).all(|day| !duty.include(at(day, 12, 0))));
        assert!(hours("Wed 10:00-10:01").include(at(2, 10, 0)));
    }

    #[test]
    fn windows_add_up_and_print_as_they_are_read() {
        for text in ["Mon-Fri 08:00-18:00", "Mon 22:00-24:00, Tue 00:00-06:00"] {
            assert_eq!(hours(text).to_string(), format!("{text} UTC"));
            assert_eq!(hours(&format!("{text} UTC")), hours(text));
        }
        let night = hours("Mon 22:00-24:00, Tue 00:00-06:00");
        assert!(night.include(at(0, 23, 0)) && night.include(at(1, 5, 59)) && !night.include(at(1, 6, 0)));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "Mon-Fri",
            "08:00-18:00",
            "mon-fri 08:00-18:00",
            "Mon-Fri 8:00-18:00",
            "Mon-Fri 08:00-24:01",
            "Mon-Fri 08:60-18:00",
            "Mon-Fri 18:00-08:00",
            "Mon-Fri 08:00-08:00",
            "Mon-Fri 08:00-18:00 Europe/Oslo",
            "Mon-Fri  08:00-18:00",
            "Mon,Tue 08:00-18:00",
            "Mon-Fri 08:00-18:00,",
            "Mon-Fri 08:00-18:00, ",
            "Mon-Fri-Sat 08:00-18:00",
            "Mon-Fri +8:00-18:00",
            "Mon-Fri 08:00 - 18:00",
            "Mon-Fri 08:00-18:00 UTC UTC",
        ] {
            assert_eq!(Hours::of_text(wrong), None, "{wrong}");
        }
    }
}
