//! Instants in UTC, and windows between two of them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{NotAValue, serde_as_text};

/// An instant in UTC, cut to microseconds, between 1970 and 9999.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = diesel::sql_types::Timestamp)]
pub struct Timestamp(NaiveDateTime);

impl Timestamp {
    /// Cuts to microseconds.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self::from_naive(at.naive_utc())
    }

    /// Reads naive UTC, as databases keep it; cuts to microseconds.
    pub fn from_naive(at: NaiveDateTime) -> Self {
        // A leap second is folded into the last microsecond before it: not every database can keep one.
        Self(at.with_nanosecond(at.nanosecond().min(999_999_999) / 1000 * 1000).unwrap_or(at))
    }

    /// Naive UTC, as databases keep it.
    pub const fn naive(&self) -> &NaiveDateTime {
        &self.0
    }

    /// This instant moved by a span; saturates at the ends of time.
    pub fn plus(self, span: TimeDelta) -> Self {
        self.0.checked_add_signed(span).map_or(self, Self)
    }

    /// This instant moved by a span; `None` outside of the years of instants.
    pub fn moved(self, span: TimeDelta) -> Option<Self> {
        self.0.checked_add_signed(span).filter(|at| (1970..=9999).contains(&at.year())).map(Self)
    }

    /// Whole minutes from `earlier` to this instant; negative when it lies before.
    pub fn minutes_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).num_minutes()
    }

    /// The span from `earlier` to this instant.
    pub fn since(self, earlier: Self) -> TimeDelta {
        self.0 - earlier.0
    }

    /// Seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.0.and_utc().timestamp()
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.0.and_utc().timestamp_millis()).unwrap_or(0)
    }

    /// `YYYY-MM-DD`, the separator, `HH:MM:SS`, and milliseconds or microseconds where there are any. `None` where the
    /// year has not four digits.
    pub fn written(self, separator: u8) -> Option<Written> {
        let year = u32::try_from(self.0.year()).ok().filter(|year| *year <= 9999)?;
        let mut written = Written { bytes: *b"0000-00-00 00:00:00.000000", length: Written::WHOLE };
        let bytes = &mut written.bytes;
        bytes[10] = separator;
        let micros = self.0.nanosecond() / 1000;
        let fields = [
            (0..4, year),
            (5..7, self.0.month()),
            (8..10, self.0.day()),
            (11..13, self.0.hour()),
            (14..16, self.0.minute()),
            (17..19, self.0.second()),
            (20..26, micros),
        ];
        for (place, mut number) in fields {
            for byte in bytes[place].iter_mut().rev() {
                *byte = b"0123456789"[(number % 10) as usize];
                number /= 10;
            }
        }
        if micros > 0 {
            written.length = if micros.is_multiple_of(1000) { Written::MILLIS } else { Written::MICROS };
        }
        Some(written)
    }
}

/// An instant as text.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    bytes: [u8; Self::MICROS],
    length: usize,
}

impl Written {
    const WHOLE: usize = 19;
    const MILLIS: usize = 23;
    const MICROS: usize = 26;

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.written(b'T') {
            Some(written) => {
                f.write_str(written.as_str())?;
                f.write_str("Z")
            }
            None => f.write_str(&self.0.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| Self::new(at.with_timezone(&Utc)))
            .filter(|at| (1970..=9999).contains(&at.0.year()))
            .ok_or_else(|| NotAValue::new("RFC 3339 date-time between 1970 and 9999", text))
    }
}

serde_as_text!(Timestamp);

/// The years of an instant: those that both databases keep and sort.
pub const TIMESTAMP_PATTERN: &str = "^(19[7-9]|[2-9][0-9]{2})[0-9]-";

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .max_length(Some(40))
            .pattern(Some(TIMESTAMP_PATTERN))
            .description(Some("An instant from 1970 to 9999: RFC 3339 with an offset; shown in UTC."))
            .into()
    }
}
impl utoipa::ToSchema for Timestamp {}

/// A span of time with both ends: `start < end`, checked where it is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"start": "2027-03-06T22:00:00Z", "end": "2027-03-07T02:00:00Z"}))]
pub struct Window {
    /// First instant of the window.
    pub start: Timestamp,
    /// The window ends just before this instant.
    pub end: Timestamp,
}

impl Window {
    /// Both ends or nothing.
    pub fn from_ends(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<Self> {
        Some(Self { start: start?, end: end? })
    }

    /// True where the window is over at `now`.
    pub fn is_past(&self, now: Timestamp) -> bool {
        self.end <= now
    }

    /// True where `inner` lies wholly inside this window.
    pub fn contains(&self, inner: &Self) -> bool {
        self.start <= inner.start && inner.end <= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_cut_to_microseconds_and_written_in_utc() {
        let at: Timestamp = "2026-12-05T22:00:00.123456789+02:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-12-05T20:00:00.123456Z");
        assert_eq!("2026-12-31T23:59:60Z".parse::<Timestamp>().unwrap().to_string(), "2026-12-31T23:59:59.999999Z");
        assert_eq!("2026-12-05T20:00:00Z".parse::<Timestamp>().unwrap().to_string(), "2026-12-05T20:00:00Z");
    }

    #[test]
    fn an_instant_outside_the_bounds_is_refused() {
        for text in ["1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01", "now"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_is_written_as_chrono_writes_it() {
        let seconds = [0, 59, 86_399, 951_782_400, 1_709_210_096, 4_102_444_799, 253_402_300_799];
        for (seconds, micros) in
            seconds.into_iter().flat_map(|at| [0, 1, 1_000, 20_300, 999_000, 999_999].map(|us| (at, us)))
        {
            let at = DateTime::from_timestamp(seconds, micros * 1000).unwrap();
            let instant = Timestamp::new(at);
            assert_eq!(instant.to_string(), at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            let kept = at.naive_utc().format("%F %T%.f").to_string();
            assert_eq!(instant.written(b' ').unwrap().as_str(), kept);
        }
    }
}
