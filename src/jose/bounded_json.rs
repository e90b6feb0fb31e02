//! JSON of others, read into memory that is bounded by the number of its elements and not only by its length.
//!
//! A document of 64 KiB that is made of the smallest objects takes a hundred times its length once it is parsed. So every value
//! counts while it is read, and reading ends where there are too many.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How the error begins where there are.
pub const TOO_MANY_ELEMENTS: &str = "too many elements";

/// Parses a document of at most `most` values, arrays and objects included.
pub fn parse_bounded(document: &[u8], most: usize) -> serde_json::Result<Value> {
    let left = Cell::new(most);
    let mut reader = serde_json::Deserializer::from_slice(document);
    let value = Counted { left: &left }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// One value, and what may still come.
#[derive(Clone, Copy)]
struct Counted<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom(TOO_MANY_ELEMENTS))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_counts() {
        let document = br#"{"keys":[{"kty":"EC","n":[1,-2,0.5,true,null]},{}]}"#;
        let whole = json!({ "keys": [{ "kty": "EC", "n": [1, -2, 0.5, true, null] }, {}] });
        assert_eq!(parse_bounded(document, 11).unwrap(), whole);
        assert!(parse_bounded(document, 10).unwrap_err().to_string().contains("too many elements"));
    }

    #[test]
    fn the_smallest_elements_end_the_reading() {
        for element in ["{},", r#"{"":0},"#, "[0],", "0,", r#""","#] {
            let document = format!("[{}0]", element.repeat(9000));
            assert!(parse_bounded(document.as_bytes(), 4096).is_err(), "{element}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_the_library_reads(text in r#"[\[\]{},:"a0-9.e\-+ \\u]{0,40}"#) {
            let expected = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(parse_bounded(text.as_bytes(), 1000).ok(), expected);
        }
    }
}
