//! JSON, read strictly: an object that names a key twice is refused, and so is a number that would come back as another
//! one.
//!
//! RFC 8259 leaves open which of the two counts, and how precise numbers are. A caller and whoever stands between may
//! have read another one than the service would.

use std::cell::{Cell, RefCell};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::domain::values::Fault;

/// Up to here every integer has a float of its own.
const INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// Every number that is written with so many characters or fewer, and without an exponent, is kept.
const DIGITS_KEPT: usize = 15;

/// Pointers to what is wrong have at most so many bytes together; what is behind that is not named.
const POINTERS_BYTES_MAX: usize = 256 * 1024;

/// Reads a value, once, with every key that is there more than once and every number that would be another one.
pub fn parse(bytes: &[u8]) -> Result<Value, Vec<Fault>> {
    let found = Found { lost: lost_numbers(bytes), ..Found::default() };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { found: &found, place: None }.deserialize(&mut reader);
    let value = read
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| vec![Fault::at("", "INVALID_JSON", format!("The body is not JSON: {error}."))])?;
    let faults = found.faults.into_inner();
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}

/// What is found while a value is read.
#[derive(Default)]
struct Found {
    faults: RefCell<Vec<Fault>>,
    pointer_bytes: Cell<usize>,
    /// How many numbers have come.
    numbers: Cell<usize>,
    /// Which of the numbers would be others, in order.
    lost: Vec<usize>,
}

impl Found {
    fn note_repeated(&self, object: Option<&Place<'_>>, key: &str) {
        let place = Place { parent: object, step: Step::Key(key) };
        self.note(Some(&place), "REPEATED", "The object names this key more than once.");
    }

    /// Counts a number.
    fn count(&self, place: Option<&Place<'_>>) {
        let nth = self.numbers.replace(self.numbers.get() + 1);
        if self.lost.binary_search(&nth).is_ok() {
            let detail = "The number would come back as another one: send it as text, or with fewer digits.";
            self.note(place, "NUMBER_NOT_KEPT", detail);
        }
    }

    fn note(&self, place: Option<&Place<'_>>, code: &'static str, detail: &str) {
        if self.pointer_bytes.get() > POINTERS_BYTES_MAX {
            return;
        }
        let mut pointer = String::new();
        if let Some(place) = place {
            place.write(&mut pointer);
        }
        self.pointer_bytes.set(self.pointer_bytes.get() + pointer.len());
        self.faults.borrow_mut().push(Fault::at(&pointer, code, detail));
    }
}

/// Which numbers of a text, counted from the first, would be others once they are read.
fn lost_numbers(bytes: &[u8]) -> Vec<usize> {
    let (mut lost, mut count, mut at) = (Vec::new(), 0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = bytes[at..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |length| at + length);
                let literal = std::str::from_utf8(&bytes[at..end]).unwrap_or_default();
                if !is_kept(literal) {
                    lost.push(count);
                }
                count += 1;
                at = end;
            }
            _ => at += 1,
        }
    }
    lost
}

/// True where a number has the same value once it is read, however it is written then. What is no number is not told
/// here.
fn is_kept(literal: &str) -> bool {
    if literal.len() <= DIGITS_KEPT && !literal.contains(['e', 'E']) {
        return true;
    }
    match serde_json::from_str::<Number>(literal) {
        Ok(read) => Decimal::of(literal) == Decimal::of(&read.to_string()),
        Err(_) => true,
    }
}

/// The value of a number: its digits without zeros around them, and how many places the last of them stands from the
/// point.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(literal: &str) -> Option<Self> {
        let (is_negative, rest) = literal.strip_prefix('-').map_or((false, literal), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{fraction}");
        let mut exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.ends_with('0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        let digits = digits.trim_start_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Some(Self { is_negative: is_negative && !is_zero, digits, exponent: if is_zero { 0 } else { exponent } })
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
    found: &'p Found,
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
        self.found.count(self.place);
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.found.count(self.place);
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.found.count(self.place);
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
                Entry::Occupied(taken) => self.found.note_repeated(self.place, taken.key()),
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
            "1e23",
            "-0.1e-3",
            "12345678901234567890",
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
    fn numbers_that_would_be_others_are_all_named() {
        let odd =
            r#"{"a": 123456789012345678901, "b": [1, 0.12345678901234567890], "c\\\"1": {"d": 1e-400}, "e": 1.10}"#;
        assert_eq!(pointers(odd), ["/a", "/b/1", "/c\\\"1/d"]);
        assert_eq!(pointers("100000000000000000001"), [""]);
        for kept in ["18446744073709551615", "-0.0", "1.10", "100e-2", "1E+22", "0.1000000000000000000000", "2.5e300"] {
            assert!(parse(kept.as_bytes()).is_ok(), "{kept}");
        }
    }

    #[test]
    fn pointers_do_not_grow_without_end() {
        let twice = "\"a\":1,".repeat(100_000);
        let text = format!("{{\"{}\":{{{}\"a\":1}}}}", "k".repeat(200_000), twice);
        let bytes: usize = pointers(&text).iter().map(String::len).sum();
        assert!(bytes < 2 * (POINTERS_BYTES_MAX + 200_000), "{bytes}");
    }
}
