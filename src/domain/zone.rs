//! Time zones as stretches of constant offset, which working time is counted on.
//!
//! The zone database is compiled in. What it says of a zone never changes while a process lives, so each zone is
//! walked through once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// The walk takes steps of so many seconds. Two changes of a zone's offset are days apart, most of them months.
const STEP_SECONDS: i64 = 86_400;
/// From here on no zone changes its offset: the database ends before (2101-01-01).
const UNCHANGING_FROM_SECONDS: i64 = 4_133_980_800;

/// A stretch of time on which the local clock keeps its distance from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its first second since 1970; it ends where the next one starts.
    pub start: i64,
    /// Seconds that the local clock is ahead of UTC.
    pub offset: i64,
}

/// The stretches of a zone from 1970 on, in order; at least one. `None` where there is no zone of that name.
pub fn stretches(name: &str) -> Option<Arc<[Stretch]>> {
    static WALKED: LazyLock<RwLock<HashMap<Tz, Arc<[Stretch]>>>> = LazyLock::new(RwLock::default);
    let zone: Tz = name.parse().ok()?;
    if let Some(known) = WALKED.read().unwrap_or_else(PoisonError::into_inner).get(&zone) {
        return Some(Arc::clone(known));
    }
    let walked: Arc<[Stretch]> = walk(zone).into();
    WALKED.write().unwrap_or_else(PoisonError::into_inner).insert(zone, Arc::clone(&walked));
    Some(walked)
}

fn walk(zone: Tz) -> Vec<Stretch> {
    let mut last = Stretch { start: 0, offset: offset_at(zone, 0) };
    let mut found = vec![last];
    let mut at = 0;
    while at < UNCHANGING_FROM_SECONDS {
        let next = at + STEP_SECONDS;
        if offset_at(zone, next) == last.offset {
            at = next;
            continue;
        }
        // Between these two the offset changes; the second one of them moves onto the change.
        let (mut same, mut other) = (at, next);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if offset_at(zone, middle) == last.offset {
                same = middle;
            } else {
                other = middle;
            }
        }
        last = Stretch { start: other, offset: offset_at(zone, other) };
        found.push(last);
        at = other;
    }
    found
}

fn offset_at(zone: Tz, unix_seconds: i64) -> i64 {
    let at = DateTime::from_timestamp(unix_seconds, 0).map_or(NaiveDateTime::MAX, |at| at.naive_utc());
    i64::from(zone.offset_from_utc_datetime(&at).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    #[test]
    fn a_change_lies_where_the_zone_says() {
        let lisbon = stretches("Europe/Lisbon").unwrap();
        let in_2026: Vec<_> = lisbon.iter().filter(|s| (1_767_225_600..1_798_761_600).contains(&s.start)).collect();
        // 2026-03-29T01:00:00Z and 2026-10-25T01:00:00Z.
        assert_eq!(
            in_2026,
            [&Stretch { start: 1_774_746_000, offset: HOUR }, &Stretch { start: 1_792_890_000, offset: 0 }]
        );
        // Samoa went without 2011-12-30.
        let apia = stretches("Pacific/Apia").unwrap();
        assert!(apia.windows(2).any(|pair| pair[1].offset - pair[0].offset == 24 * HOUR));
        assert_eq!(*stretches("UTC").unwrap(), [Stretch { start: 0, offset: 0 }]);
        assert!(stretches("Mars/Olympus").is_none() && stretches("").is_none() && stretches("europe/lisbon").is_none());
    }

    #[test]
    fn no_zone_changes_its_offset_behind_the_end_of_the_walk() {
        for zone in chrono_tz::TZ_VARIANTS.iter().copied() {
            let last = offset_at(zone, UNCHANGING_FROM_SECONDS - 30 * STEP_SECONDS);
            for years in [0, 1, 10, 100, 1_000, 7_000] {
                for month in 0..12 {
                    let at = UNCHANGING_FROM_SECONDS + (years * 365 + month * 30) * STEP_SECONDS;
                    assert_eq!(offset_at(zone, at), last, "{zone} at {at}");
                }
            }
        }
    }

    #[test]
    fn no_zone_changes_its_offset_twice_in_a_step() {
        let moving = ["Asia/Gaza", "Africa/Casablanca", "Africa/Cairo", "America/Cambridge_Bay", "Antarctica/Troll"];
        for name in moving.into_iter().chain(chrono_tz::TZ_VARIANTS.iter().step_by(29).map(|zone| zone.name())) {
            let stretches = stretches(name).unwrap();
            let shortest = stretches.windows(2).skip(1).map(|pair| pair[1].start - pair[0].start).min();
            assert!(shortest.is_none_or(|seconds| seconds > 2 * STEP_SECONDS), "{name}: {shortest:?}");
        }
    }
}
