//! What a value may look like, in the file and in a variable, and how a person is told what was expected.
//!
//! Not for rules that need another key: those are with the section they belong to.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use chrono::TimeDelta;
use ipnet::IpNet;

use super::Secret;

/// Longer than any sensible duration, and far from the limits of the calendar.
const LONGEST: TimeDelta = TimeDelta::days(36_500);

/// A type that can stand in the configuration.
pub trait Value: Sized {
    /// Never repeat what was given: it is, or contains, a secret.
    const SECRET: bool = false;
    /// An empty variable is an empty list; for anything else it counts as not set.
    const LIST: bool = false;

    /// For the reference: "duration".
    fn kind() -> Cow<'static, str>;
    /// For whoever got it wrong: `a number and a unit, as in "30m"`.
    fn expected() -> Cow<'static, str>;
    /// From a variable, or from a string in the file.
    fn of_text(text: &str) -> Option<Self>;
    /// From the file.
    fn of_toml(value: &toml::Value) -> Option<Self> {
        value.as_str().and_then(Self::of_text)
    }
}

impl Value for String {
    fn kind() -> Cow<'static, str> {
        "string".into()
    }
    fn expected() -> Cow<'static, str> {
        "a text that is not empty".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| text.to_owned())
    }
}

impl Value for PathBuf {
    fn kind() -> Cow<'static, str> {
        "path".into()
    }
    fn expected() -> Cow<'static, str> {
        "a path; a relative one starts at the working directory".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }
}

impl Value for Secret {
    const SECRET: bool = true;
    fn kind() -> Cow<'static, str> {
        "secret".into()
    }
    fn expected() -> Cow<'static, str> {
        "a text that is not empty".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::new(text))
    }
}

impl Value for bool {
    fn kind() -> Cow<'static, str> {
        "boolean".into()
    }
    fn expected() -> Cow<'static, str> {
        "true or false".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn of_toml(value: &toml::Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Value for NonZeroU32 {
    fn kind() -> Cow<'static, str> {
        "number".into()
    }
    fn expected() -> Cow<'static, str> {
        "a whole number of at least 1".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn of_toml(value: &toml::Value) -> Option<Self> {
        value.as_integer().and_then(|number| u32::try_from(number).ok()).and_then(Self::new)
    }
}

impl Value for NonZeroUsize {
    fn kind() -> Cow<'static, str> {
        NonZeroU32::kind()
    }
    fn expected() -> Cow<'static, str> {
        NonZeroU32::expected()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn of_toml(value: &toml::Value) -> Option<Self> {
        value.as_integer().and_then(|number| usize::try_from(number).ok()).and_then(Self::new)
    }
}

impl Value for TimeDelta {
    fn kind() -> Cow<'static, str> {
        "duration".into()
    }
    fn expected() -> Cow<'static, str> {
        r#"a number and a unit in quotes, as in "500ms", "60s", "30m", "12h", "90d" or "7y""#.into()
    }
    fn of_text(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(unit_at)?;
        let number = number.parse().ok()?;
        let duration = match unit {
            "ms" => Self::try_milliseconds(number),
            "s" => Self::try_seconds(number),
            "m" => Self::try_minutes(number),
            "h" => Self::try_hours(number),
            "d" => Self::try_days(number),
            "y" => Self::try_days(number.checked_mul(365)?),
            _ => None,
        }?;
        (duration <= LONGEST).then_some(duration)
    }
}

impl Value for SocketAddr {
    fn kind() -> Cow<'static, str> {
        "address:port".into()
    }
    fn expected() -> Cow<'static, str> {
        "an IP address and a port, as in 127.0.0.1:8080 or [::1]:8080".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for IpNet {
    fn kind() -> Cow<'static, str> {
        "network".into()
    }
    fn expected() -> Cow<'static, str> {
        "a network in CIDR notation, as in 10.0.0.0/8".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Self::from))
    }
}

/// Something that can be switched off by the word `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T: Value> Value for OrOff<T> {
    fn kind() -> Cow<'static, str> {
        format!("{} or `off`", T::kind()).into()
    }
    fn expected() -> Cow<'static, str> {
        format!("{}, or off", T::expected()).into()
    }
    fn of_text(text: &str) -> Option<Self> {
        if text == "off" { Some(Self(None)) } else { T::of_text(text).map(|value| Self(Some(value))) }
    }
}

impl<T: Value> Value for Vec<T> {
    const LIST: bool = true;
    fn kind() -> Cow<'static, str> {
        format!("list of {}s", T::kind()).into()
    }
    fn expected() -> Cow<'static, str> {
        format!("a list (in a variable: separated by commas), each {}", T::expected()).into()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::of_text).collect()
    }
    fn of_toml(value: &toml::Value) -> Option<Self> {
        value.as_array()?.iter().map(T::of_toml).collect()
    }
}

/// One of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// Every word, in the order in which they are named to people.
    const WORDS: &'static [(&'static str, Self)];
}

impl<W: Word> Value for W {
    fn kind() -> Cow<'static, str> {
        let words = W::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>();
        words.join(", ").into()
    }
    fn expected() -> Cow<'static, str> {
        let words = W::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>();
        format!("one of {}", words.join(", ")).into()
    }
    fn of_text(text: &str) -> Option<Self> {
        W::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}

/// The same value in JSON; dates become text.
pub fn json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => table.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
    }
}

/// A duration in the words of the configuration.
pub fn spoken(duration: TimeDelta) -> String {
    let milliseconds = duration.num_milliseconds();
    let units = [("y", 31_536_000_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    match units.iter().find(|(_, size)| milliseconds >= *size && milliseconds % size == 0) {
        Some((unit, size)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let of = TimeDelta::of_text;
        assert_eq!(of("500ms"), Some(TimeDelta::milliseconds(500)));
        assert_eq!(of("60s"), Some(TimeDelta::seconds(60)));
        assert_eq!(of("30m"), Some(TimeDelta::minutes(30)));
        assert_eq!(of("12h"), Some(TimeDelta::hours(12)));
        assert_eq!(of("90d"), Some(TimeDelta::days(90)));
        assert_eq!(of("7y"), Some(TimeDelta::days(2555)));
        assert_eq!(of("0s"), Some(TimeDelta::zero()));
        for wrong in ["", "30", "s", "-1s", "1.5h", "1h30m", " 1s", "1 s", "1w", "99999999999999999999s", "36501d"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(TimeDelta::of_toml(&toml::Value::Integer(30)), None);
        for text in ["500ms", "60001ms", "90s", "30m", "12h", "90d"] {
            assert_eq!(spoken(of(text).unwrap()), text);
        }
    }

    #[test]
    fn networks_and_single_addresses() {
        let nets = Vec::<IpNet>::of_text("10.0.0.0/8, ::1,127.0.0.1").unwrap();
        assert_eq!(nets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128", "127.0.0.1/32"]);
        assert_eq!(Vec::<IpNet>::of_text(""), Some(vec![]));
        assert_eq!(Vec::<IpNet>::of_text("10.0.0.0/8, nonsense"), None);
        assert_eq!(Vec::<IpNet>::of_toml(&toml::Value::from("10.0.0.0/8")), None);
    }

    #[test]
    fn types_are_those_of_toml() {
        assert_eq!(NonZeroU32::of_toml(&toml::Value::from(2)).map(NonZeroU32::get), Some(2));
        for wrong in [toml::Value::from("2"), 0.into(), (-1).into(), i64::MAX.into()] {
            assert_eq!(NonZeroU32::of_toml(&wrong), None);
        }
        assert_eq!(bool::of_toml(&"true".into()), None);
        assert_eq!(bool::of_text("true"), Some(true));
        assert_eq!(String::of_toml(&toml::Value::from(5)), None);
    }

    #[test]
    fn off_is_a_word() {
        assert_eq!(OrOff::<SocketAddr>::of_text("off"), Some(OrOff(None)));
        assert_eq!(OrOff::<SocketAddr>::of_text("[::1]:9"), Some(OrOff(Some("[::1]:9".parse().unwrap()))));
        assert_eq!(OrOff::<SocketAddr>::of_text("localhost:9"), None);
    }
}
