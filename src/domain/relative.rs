//! Times that are counted from another one: `T-3d`, `T+90m`, `T-1d4h`, where `T` is the start of a deployment window.
//!
//! ```text
//! relative = "T" [ ("+" / "-") span ]
//! span     = days [hours] [minutes] / hours [minutes] / minutes
//! days     = 1..=999 "d"      hours = 1..=9999 "h"      minutes = 1..=999999 "m"
//! ```
//!
//! Numbers are decimal, without leading zeros. A day is 24 hours, in UTC: neither working hours nor daylight saving
//! matter.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{NotAValue, Timestamp};

/// What is said above, as a regular expression.
pub const RELATIVE_PATTERN: &str = "^T([+-]([1-9][0-9]{0,2}d([1-9][0-9]{0,3}h)?([1-9][0-9]{0,5}m)?|[1-9][0-9]{0,3}h\
                                    ([1-9][0-9]{0,5}m)?|[1-9][0-9]{0,5}m))?$";
/// The longest text of that form.
const LENGTH_MAX: usize = 18;
/// It lies at most so many days before or behind what it is counted from.
pub const REACH_DAYS: i64 = 366;

/// The units in the order in which they are written: letter, minutes, and how many digits come before it at most.
const UNITS: &[(char, i64, usize)] = &[('d', 1440, 3), ('h', 60, 4), ('m', 1, 6)];

/// A time counted from the start of a deployment window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativeTime {
    text: String,
    minutes: i64,
}

impl RelativeTime {
    /// Minutes from the start of the window; negative before it.
    pub const fn minutes(&self) -> i64 {
        self.minutes
    }

    /// True where it is not too far away.
    pub const fn is_in_reach(&self) -> bool {
        self.minutes.abs() <= REACH_DAYS * 1440
    }

    /// The instant, counted from this one; `None` outside of the years of instants.
    pub fn counted_from(&self, start: Timestamp) -> Option<Timestamp> {
        start.moved(TimeDelta::minutes(self.minutes))
    }
}

/// The minutes that a text stands for; `None` where it is not of the form.
fn minutes(text: &str) -> Option<i64> {
    let span = text.strip_prefix('T')?;
    if span.is_empty() {
        return Some(0);
    }
    let (sign, mut rest) = match span.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, span.strip_prefix('-')?),
    };
    let mut sum = 0;
    for (unit, length, digits_max) in UNITS {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let Some(behind) = behind.strip_prefix(*unit) else { continue };
        if number.starts_with('0') || digits > *digits_max {
            return None;
        }
        sum += number.parse::<i64>().ok()? * length;
        rest = behind;
    }
    (rest.is_empty() && sum > 0).then_some(sign * sum)
}

impl FromStr for RelativeTime {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let minutes = minutes(text).ok_or_else(|| NotAValue::new("time such as `T-3d`, `T+90m` or `T`", text))?;
        Ok(Self { text: text.to_owned(), minutes })
    }
}

impl fmt::Display for RelativeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for RelativeTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RelativeTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for RelativeTime {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(LENGTH_MAX))
            .pattern(Some(RELATIVE_PATTERN))
            .examples(["T-3d"])
            .description(Some(
                "A time counted from `T`, the start of the deployment window: `T`, or `T` with a sign and days, hours \
                 and minutes in this order, such as `T-3d`, `T+90m` or `T-1d4h`. A day is 24 hours, in UTC: neither \
                 working hours nor daylight saving matter. At most 366 days away.",
            ))
            .into()
    }
}
impl utoipa::ToSchema for RelativeTime {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_the_form_is_read_and_written_as_it_was() {
        let table = [
            ("T", 0),
            ("T+1m", 1),
            ("T-1m", -1),
            ("T+90m", 90),
            ("T-4h", -240),
            ("T-3d", -4320),
            ("T-1d4h", -1680),
            ("T+2d30m", 2910),
            ("T+1d1h1m", 1501),
            ("T-366d", -527_040),
            ("T+527040m", 527_040),
            ("T+999d9999h999999m", 3_038_499),
        ];
        for (text, minutes) in table {
            let time: RelativeTime = text.parse().unwrap();
            assert_eq!((time.minutes(), time.to_string().as_str()), (minutes, text));
            assert_eq!(json!(time), json!(text));
            assert_eq!(serde_json::from_value::<RelativeTime>(json!(text)).unwrap(), time);
            assert!(text.len() <= LENGTH_MAX, "{text}");
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        let nonsense = [
            "",
            " ",
            "t",
            "t-3d",
            "T ",
            " T",
            "T-",
            "T+",
            "T3d",
            "T-d",
            "T-3",
            "T-3D",
            "T-3w",
            "T-3 d",
            "T--3d",
            "T+-3d",
            "T-0d",
            "T-03d",
            "T-3d0h",
            "T-4h3d",
            "T-1m1h",
            "T-1d1d",
            "T-1.5d",
            "T-3d4h5m6m",
            "T-1000d",
            "T+10000h",
            "T+1000000m",
            "T-3d\n",
            "T-٣d",
            "3d",
            "-3d",
            "2030-01-01T00:00:00Z",
            "T-3dT",
            "T+3d-1h",
        ];
        let schema = json!({"type": "string", "pattern": RELATIVE_PATTERN});
        let published = jsonschema::validator_for(&schema).unwrap();
        for text in nonsense {
            assert!(text.parse::<RelativeTime>().is_err(), "{text:?}");
            assert!(!published.is_valid(&json!(text)), "{text:?} by the pattern that is published");
        }
    }

    #[test]
    fn the_pattern_that_is_published_takes_what_is_read() {
        let schema = json!({"type": "string", "pattern": RELATIVE_PATTERN});
        let published = jsonschema::validator_for(&schema).unwrap();
        for days in ["", "1d", "999d"] {
            for hours in ["", "1h", "9999h"] {
                for minutes in ["", "1m", "999999m"] {
                    for sign in ["+", "-"] {
                        let text = format!("T{sign}{days}{hours}{minutes}");
                        assert_eq!(text.parse::<RelativeTime>().is_ok(), published.is_valid(&json!(text)), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_reach_is_a_year_and_a_day_either_way_and_instants_stay_in_their_years() {
        for (text, expected) in
            [("T-366d", true), ("T-366d1m", false), ("T+8784h", true), ("T+8785h", false), ("T+527041m", false)]
        {
            assert_eq!(text.parse::<RelativeTime>().unwrap().is_in_reach(), expected, "{text}");
        }
        let time = |text: &str| text.parse::<RelativeTime>().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(time("T-1d4h").counted_from(at("2030-03-31T02:30:00Z")), Some(at("2030-03-29T22:30:00Z")));
        assert_eq!(time("T").counted_from(at("2030-03-31T02:30:00Z")), Some(at("2030-03-31T02:30:00Z")));
        assert_eq!(time("T-1m").counted_from(at("1970-01-01T00:00:00Z")), None);
        assert_eq!(time("T+1m").counted_from(at("9999-12-31T23:59:00Z")), None);
    }
}
