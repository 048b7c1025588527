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
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
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
}
