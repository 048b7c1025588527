//! JSON, read strictly: an object that names a key twice is refused.
//!
//! RFC 8259 leaves open which of the two counts. A caller and whoever stands between may have read another one than
//! the service would.

use std::cell::RefCell;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::domain::values::Fault;

/// Up to here every integer has a float of its own.
const INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// Pointers to repeated keys have at most so many bytes together; the keys behind that are not named.
const POINTERS_BYTES_MAX: usize = 256 * 1024;

/// Reads a value, once, with every key that is there more than once.
pub fn parse(bytes: &[u8]) -> Result<Value, Vec<Fault>> {
    let repeated = Repeated::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { repeated: &repeated, place: None }.deserialize(&mut reader);
    let value = read
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| vec![Fault::at("", "INVALID_JSON", format!("The body is not JSON: {error}."))])?;
    let faults = repeated.faults.into_inner();
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}

#[derive(Default)]
struct Repeated {
    faults: RefCell<Vec<Fault>>,
    pointer_bytes: RefCell<usize>,
}

impl Repeated {
    fn note(&self, object: Option<&Place<'_>>, key: &str) {
        let mut bytes = self.pointer_bytes.borrow_mut();
        if *bytes > POINTERS_BYTES_MAX {
            return;
        }
        let mut pointer = String::new();
        Place { parent: object, step: Step::Key(key) }.write(&mut pointer);
        *bytes += pointer.len();
        let fault = Fault::at(&pointer, "REPEATED", "The object names this key more than once.");
        self.faults.borrow_mut().push(fault);
    }
}

/// Where a value stands; written out only where something is wrong there.
struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

impl Place<'_> {
    fn write(&self, pointer: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(pointer);
        }
        pointer.push('/');
        match self.step {
            Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'p> {
    repeated: &'p Repeated,
    place: Option<&'p Place<'p>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // `8.0` is an integer to a schema, and so it is here.
        if value.fract() == 0.0 && value.abs() <= INTEGER_MAX {
            return Ok(Value::Number((value as i64).into()));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let place = Place { parent: self.place, step: Step::Index(values.len()) };
            match items.next_element_seed(Strict { place: Some(&place), ..self })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = Place { parent: self.place, step: Step::Key(&key) };
            let value = entries.next_value_seed(Strict { place: Some(&place), ..self })?;
            match object.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(value);
                }
                Entry::Occupied(taken) => self.repeated.note(self.place, taken.key()),
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        let faults = parse(text.as_bytes()).unwrap_err();
        faults
            .into_iter()
            .map(|fault| match fault.place {
                crate::domain::values::Place::Pointer(pointer) => pointer,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_value_is_read_as_it_is_always_read() {
        for text in [
            "null",
            "true",
            "18446744073709551615",
            "-9223372036854775808",
            "1e308",
            "0.1",
            "123456789012345678901234567890",
            "\"a\\u00e9\\n\"",
            "[]",
            "{}",
            "[1,[2,{\"b\":null,\"a\":[{}]}],\"x\"]",
        ] {
            let usual: Value = serde_json::from_str(text).unwrap();
            let strict = parse(text.as_bytes()).unwrap();
            assert_eq!(strict.to_string(), usual.to_string());
        }
        for (text, integer) in [("-0", "0"), ("8054.0", "8054"), ("-1e3", "-1000")] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), integer);
        }
        for text in ["", "{", "{}x", "{\"a\":1,}", "1e400", "\"\\ud800\"", "nul", "[1 2]"] {
            let usual = serde_json::from_str::<Value>(text).unwrap_err().to_string();
            let strict = parse(text.as_bytes()).unwrap_err();
            assert_eq!(strict[0].detail, format!("The body is not JSON: {usual}."), "{text}");
        }
    }

    #[test]
    fn repeated_keys_are_all_named_at_any_depth() {
        assert_eq!(pointers(r#"{"a":1,"a":1}"#), ["/a"]);
        assert_eq!(pointers(r#"{"a":{"b":1,"b":2},"c":[0,{"d/~":1,"d/~":1}],"a":3}"#), ["/a/b", "/c/1/d~1~0", "/a"]);
        assert_eq!(pointers(r#"[{"":1,"":2}]"#), ["/0/"]);
        assert_eq!(pointers(r#"{"a":1,"\u0061":1}"#), ["/a"], "the same key in other letters");
    }

    #[test]
    fn pointers_do_not_grow_without_end() {
        let twice = "\"a\":1,".repeat(100_000);
        let text = format!("{{\"{}\":{{{}\"a\":1}}}}", "k".repeat(200_000), twice);
        let bytes: usize = pointers(&text).iter().map(String::len).sum();
        assert!(bytes < 2 * (POINTERS_BYTES_MAX + 200_000), "{bytes}");
    }
}
