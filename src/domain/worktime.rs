//! Working time on a calendar (`domain.md` §7).
//!
//! An instant is working time where the local clock of the calendar's zone stands inside the working hours of its
//! weekday and the local date is no holiday. So an hour that the clock skips is not worked, and one that it repeats is
//! worked twice, where the working hours hold it.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::values::{Fault, Timestamp};
use super::zone::{self, Stretch};

/// A day has at most so many intervals of working hours.
pub const INTERVALS_PER_DAY_MAX: usize = 10;
/// A calendar has at most so many holidays.
pub const HOLIDAYS_MAX: usize = 1_000;

const DAY_SECONDS: i64 = 86_400;
const MICROS: i64 = 1_000_000;
/// The last microsecond of 9999, which is the last that is kept.
const END_MICROS: i64 = 253_402_300_799_999_999;

/// Working hours of one day, as the local clock shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// When they begin, `HH:MM`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length = 5, example = "09:00")]
    pub start: String,
    /// When they end, `HH:MM`; `24:00` is the end of the day.
    #[schema(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length = 5, example = "18:00")]
    pub end: String,
}

/// Working hours for each day of the week; a day without any is free. Those of a day do not overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"monday": [{"start": "09:00", "end": "18:00"}], "tuesday": [], "wednesday": [], "thursday": [], "friday": [{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}], "saturday": [], "sunday": []}))]
pub struct WorkingHours {
    /// On Mondays.
    #[schema(max_items = 10)]
    pub monday: Vec<Hours>,
    /// On Tuesdays.
    #[schema(max_items = 10)]
    pub tuesday: Vec<Hours>,
    /// On Wednesdays.
    #[schema(max_items = 10)]
    pub wednesday: Vec<Hours>,
    /// On Thursdays.
    #[schema(max_items = 10)]
    pub thursday: Vec<Hours>,
    /// On Fridays.
    #[schema(max_items = 10)]
    pub friday: Vec<Hours>,
    /// On Saturdays.
    #[schema(max_items = 10)]
    pub saturday: Vec<Hours>,
    /// On Sundays.
    #[schema(max_items = 10)]
    pub sunday: Vec<Hours>,
}

impl WorkingHours {
    /// From Monday to Sunday.
    fn days(&self) -> [(&'static str, &[Hours]); 7] {
        [
            ("monday", &self.monday),
            ("tuesday", &self.tuesday),
            ("wednesday", &self.wednesday),
            ("thursday", &self.thursday),
            ("friday", &self.friday),
            ("saturday", &self.saturday),
            ("sunday", &self.sunday),
        ]
    }
}

/// A day on which nobody works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// The local date, from 1970 to 9999.
    #[schema(pattern = "^(19[7-9]|[2-9][0-9]{2})[0-9]-", max_length = 10, example = "2030-12-25")]
    pub date: NaiveDate,
    /// What is celebrated.
    #[schema(min_length = 1, max_length = 100, example = "Christmas Day")]
    pub name: String,
}

/// A span of seconds on the local clock of one day.
type Span = (i64, i64);

/// A calendar, ready to count with. Counting takes some binary searches, wherever the instants lie.
#[derive(Debug, PartialEq, Eq)]
pub struct Worktime {
    /// From Monday to Sunday, each in order.
    week: [Vec<Span>; 7],
    /// Working seconds of the days of a week before each one; the last is the whole week.
    before_weekday: [i64; 8],
    /// The days of holidays, in order, with the working seconds that they and those before them cost.
    holidays: Vec<(i64, i64)>,
    stretches: Arc<[Stretch]>,
    /// Working microseconds before each stretch.
    before_stretch: Vec<i64>,
}

/// Seconds since the day began.
fn clock(text: &str) -> Option<i64> {
    let digits = |part: &str| {
        let ok = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        ok.then(|| part.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let valid = (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0);
    valid.then_some((hours * 60 + minutes) * 60)
}

/// The day of a date, counted from 1970.
fn day_of(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

/// The weekday of a day that is counted from 1970, which began on a Thursday; Monday is 0.
const fn weekday(day: i64) -> usize {
    (day + 3).rem_euclid(7) as usize
}

fn seconds_of(spans: &[Span]) -> i64 {
    spans.iter().map(|(start, end)| end - start).sum()
}

/// Reads the hours of one day, and tells every fault.
fn read_day(name: &str, hours: &[Hours], faults: &mut Vec<Fault>) -> Vec<Span> {
    if hours.len() > INTERVALS_PER_DAY_MAX {
        let detail = format!("A day has at most {INTERVALS_PER_DAY_MAX} intervals.");
        faults.push(Fault::at(format!("/working_hours/{name}"), "TOO_LONG", detail));
    }
    let mut spans: Vec<(i64, i64, usize)> = Vec::with_capacity(hours.len());
    for (index, interval) in hours.iter().enumerate() {
        let pointer = format!("/working_hours/{name}/{index}");
        let (start, end) = (clock(&interval.start).filter(|start| *start < DAY_SECONDS), clock(&interval.end));
        for (field, missing) in [("start", start.is_none()), ("end", end.is_none())] {
            if missing {
                let detail = "A time of day is written `HH:MM`.";
                faults.push(Fault::at(format!("{pointer}/{field}"), "INVALID_FORMAT", detail));
            }
        }
        match (start, end) {
            (Some(start), Some(end)) if start >= end => {
                faults.push(Fault::at(pointer, "HOURS_REVERSED", "Working hours must start before they end."));
            }
            (Some(start), Some(end)) => spans.push((start, end, index)),
            _ => {}
        }
    }
    spans.sort_unstable();
    let mut last_end = 0;
    for (start, end, index) in &spans {
        if *start < last_end {
            let detail = "Working hours of one day do not overlap.";
            faults.push(Fault::at(format!("/working_hours/{name}/{index}"), "HOURS_OVERLAP", detail));
        }
        last_end = last_end.max(*end);
    }
    spans.into_iter().map(|(start, end, _)| (start, end)).collect()
}

/// Reads the holidays as days in order, and tells every fault.
fn read_holidays(holidays: &[Holiday], faults: &mut Vec<Fault>) -> BTreeSet<i64> {
    if holidays.len() > HOLIDAYS_MAX {
        let detail = format!("A calendar has at most {HOLIDAYS_MAX} holidays.");
        faults.push(Fault::at("/holidays", "TOO_LONG", detail));
    }
    let mut days = BTreeSet::new();
    for (index, holiday) in holidays.iter().enumerate() {
        let pointer = format!("/holidays/{index}");
        if holiday.name.trim().is_empty() {
            faults.push(Fault::at(format!("{pointer}/name"), "BLANK", "The text is blank."));
        }
        if !(1970..=9999).contains(&holiday.date.year()) {
            let detail = "A date from 1970 to 9999 is expected.";
            faults.push(Fault::at(format!("{pointer}/date"), "OUT_OF_RANGE", detail));
        } else if !days.insert(day_of(holiday.date)) {
            let detail = format!("{} is in the list more than once.", holiday.date);
            faults.push(Fault::at(format!("{pointer}/date"), "REPEATED", detail));
        }
    }
    days
}

impl Worktime {
    /// Reads a calendar; or every fault of it.
    pub fn new(time_zone: &str, hours: &WorkingHours, holidays: &[Holiday]) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let stretches = zone::stretches(time_zone);
        if stretches.is_none() {
            let detail = "A name of the IANA time zone database is expected, such as `Europe/Lisbon`.";
            faults.push(Fault::at("/time_zone", "UNKNOWN_TIME_ZONE", detail));
        }
        let week = hours.days().map(|(name, hours)| read_day(name, hours, &mut faults));
        if hours.days().iter().all(|(_, hours)| hours.is_empty()) {
            let detail = "A calendar has working hours on at least one day of the week.";
            faults.push(Fault::at("/working_hours", "NO_WORKING_HOURS", detail));
        }
        let days = read_holidays(holidays, &mut faults);
        match stretches {
            Some(stretches) if faults.is_empty() => Ok(Self::ready(week, &days, stretches)),
            _ => Err(faults),
        }
    }

    fn ready(week: [Vec<Span>; 7], days: &BTreeSet<i64>, stretches: Arc<[Stretch]>) -> Self {
        let mut before_weekday = [0; 8];
        for (index, spans) in week.iter().enumerate() {
            before_weekday[index + 1] = before_weekday[index] + seconds_of(spans);
        }
        let mut cost = 0;
        let holidays = days
            .iter()
            .map(|day| {
                cost += seconds_of(&week[weekday(*day)]);
                (*day, cost)
            })
            .collect();
        let mut worktime = Self { week, before_weekday, holidays, stretches, before_stretch: Vec::new() };
        let mut before = 0;
        let mut all = Vec::with_capacity(worktime.stretches.len());
        for (index, stretch) in worktime.stretches.iter().enumerate() {
            all.push(before);
            if let Some(next) = worktime.stretches.get(index + 1) {
                before += worktime.on_stretch(*stretch, next.start * MICROS);
            }
        }
        worktime.before_stretch = all;
        worktime
    }

    /// The span of working time from one instant to another; negative where the second is the earlier one.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> TimeDelta {
        TimeDelta::microseconds(self.before(micros(to)) - self.before(micros(from)))
    }

    /// The first instant at which so much working time has passed since `from`; `from` itself where none is asked
    /// for, and the end of 9999 where there is no such instant before.
    pub fn after(&self, from: Timestamp, span: TimeDelta) -> Timestamp {
        if span <= TimeDelta::zero() {
            return from;
        }
        let wanted = self.before(micros(from)).saturating_add(span.num_microseconds().unwrap_or(i64::MAX));
        // Not enough has passed at the first of these, enough at the second or never.
        let (mut early, mut late) = (micros(from), END_MICROS);
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            if self.before(middle) >= wanted { late = middle } else { early = middle }
        }
        instant(late)
    }

    /// Working microseconds from 1970 to an instant.
    fn before(&self, at: i64) -> i64 {
        let index = self.stretches.partition_point(|stretch| stretch.start * MICROS <= at).saturating_sub(1);
        match (self.stretches.get(index), self.before_stretch.get(index)) {
            (Some(stretch), Some(before)) => before + self.on_stretch(*stretch, at),
            _ => 0,
        }
    }

    /// Working microseconds from the start of a stretch to an instant on it.
    fn on_stretch(&self, stretch: Stretch, at: i64) -> i64 {
        let local = |utc: i64| utc + stretch.offset * MICROS;
        self.on_local_clock(local(at)) - self.on_local_clock(local(stretch.start * MICROS))
    }

    /// Working microseconds before a reading of the local clock, counted from some week before 1970, as if no clock
    /// were ever changed.
    fn on_local_clock(&self, local: i64) -> i64 {
        let (day, within) = (local.div_euclid(DAY_SECONDS * MICROS), local.rem_euclid(DAY_SECONDS * MICROS));
        let (week, weekday) = ((day + 3).div_euclid(7), weekday(day));
        let today: i64 =
            self.week[weekday].iter().map(|(start, end)| (within.min(end * MICROS) - start * MICROS).max(0)).sum();
        let holidays_before = self.holidays.partition_point(|(holiday, _)| *holiday < day);
        let is_holiday = self.holidays.get(holidays_before).is_some_and(|(holiday, _)| *holiday == day);
        let free = holidays_before.checked_sub(1).map_or(0, |last| self.holidays[last].1);
        let days = week * self.before_weekday[7] + self.before_weekday[weekday] - free;
        days * MICROS + if is_holiday { 0 } else { today }
    }
}

/// Microseconds since 1970, inside the years that are kept.
fn micros(at: Timestamp) -> i64 {
    at.naive().and_utc().timestamp_micros().clamp(0, END_MICROS)
}

fn instant(micros: i64) -> Timestamp {
    Timestamp::new(DateTime::from_timestamp_micros(micros).unwrap_or_default())
}

/// The span of working time from one instant to another on a calendar; without one every instant counts.
pub fn between(worktime: Option<&Worktime>, from: Timestamp, to: Timestamp) -> TimeDelta {
    worktime.map_or_else(|| to.since(from), |worktime| worktime.between(from, to))
}

/// The first instant at which so much working time has passed on a calendar; without one every instant counts.
pub fn after(worktime: Option<&Worktime>, from: Timestamp, span: TimeDelta) -> Timestamp {
    match worktime {
        Some(worktime) => worktime.after(from, span),
        None => from.plus(span.max(TimeDelta::zero())).min(instant(END_MICROS)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveTime, Timelike};
    use chrono_tz::Tz;
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn hours(start: &str, end: &str) -> Hours {
        Hours { start: start.into(), end: end.into() }
    }

    fn of_days([monday, tuesday, wednesday, thursday, friday, saturday, sunday]: [Vec<Hours>; 7]) -> WorkingHours {
        WorkingHours { monday, tuesday, wednesday, thursday, friday, saturday, sunday }
    }

    fn office_hours() -> WorkingHours {
        let day = || vec![hours("09:00", "12:00"), hours("13:00", "18:00")];
        of_days([day(), day(), day(), day(), day(), vec![], vec![]])
    }

    fn office(zone: &str) -> Worktime {
        Worktime::new(zone, &office_hours(), &[]).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn minutes(worktime: &Worktime, from: &str, to: &str) -> i64 {
        worktime.between(at(from), at(to)).num_minutes()
    }

    #[test]
    fn a_week_in_an_office_has_forty_hours_wherever_it_starts() {
        let office = office("America/Sao_Paulo");
        for start in ["2030-01-07T00:00:00Z", "2030-01-09T15:30:00Z", "2030-01-12T23:59:00Z"] {
            let end = at(start).plus(TimeDelta::days(7));
            assert_eq!(office.between(at(start), end), TimeDelta::hours(40));
            assert_eq!(office.between(end, at(start)), TimeDelta::hours(-40));
        }
    }

    #[test]
    fn the_clock_stands_still_at_lunch_at_night_and_at_weekends() {
        let office = office("UTC");
        for (from, minutes, to) in [
            ("2030-01-07T09:00:00Z", 180, "2030-01-07T12:00:00Z"),
            ("2030-01-07T09:00:00Z", 181, "2030-01-07T13:01:00Z"),
            ("2030-01-07T09:00:00.25Z", 180, "2030-01-07T13:00:00.25Z"),
            ("2030-01-11T17:30:00Z", 60, "2030-01-14T09:30:00Z"),
            ("2030-01-12T03:00:00.5Z", 1, "2030-01-14T09:01:00Z"),
            ("2030-01-12T03:00:00.5Z", 0, "2030-01-12T03:00:00.5Z"),
        ] {
            let span = TimeDelta::minutes(minutes);
            assert_eq!(office.after(at(from), span), at(to), "{from} + {minutes}");
            assert_eq!(office.between(at(from), at(to)), span);
        }
    }

    #[test]
    fn an_hour_that_is_skipped_is_not_worked_and_one_that_is_repeated_is_worked_twice() {
        let sunday = WorkingHours { sunday: vec![hours("01:00", "05:00")], ..WorkingHours::default() };
        let lisbon = Worktime::new("Europe/Lisbon", &sunday, &[]).unwrap();
        assert_eq!(minutes(&lisbon, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), 180);
        assert_eq!(minutes(&lisbon, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"), 300);
        // Clocks in Sao Paulo went back at midnight: the last hour of Saturday came twice, the first of Sunday did not
        // come at all where they went forward.
        let around = of_days([
            vec![],
            vec![],
            vec![],
            vec![],
            vec![],
            vec![hours("22:00", "24:00")],
            vec![hours("00:00", "02:00")],
        ]);
        let sao_paulo = Worktime::new("America/Sao_Paulo", &around, &[]).unwrap();
        assert_eq!(minutes(&sao_paulo, "2018-02-17T15:00:00Z", "2018-02-18T15:00:00Z"), 300);
        assert_eq!(minutes(&sao_paulo, "2018-11-03T15:00:00Z", "2018-11-04T15:00:00Z"), 180);
        // Samoa went from Thursday 2011-12-29 to Saturday 2011-12-31.
        let every = |_| vec![hours("00:00", "24:00")];
        let friday = WorkingHours { friday: every(()), ..WorkingHours::default() };
        let apia = Worktime::new("Pacific/Apia", &friday, &[]).unwrap();
        assert_eq!(minutes(&apia, "2011-12-28T00:00:00Z", "2012-01-03T00:00:00Z"), 0);
        assert_eq!(minutes(&apia, "2012-01-03T00:00:00Z", "2012-01-10T00:00:00Z"), 1_440);
    }

    #[test]
    fn a_holiday_is_free_from_midnight_to_midnight_of_the_local_clock() {
        let new_year = Holiday { date: NaiveDate::from_ymd_opt(2030, 1, 1).unwrap(), name: "New Year".into() };
        let all_day = |_: usize| vec![hours("00:00", "24:00")];
        let week = of_days(std::array::from_fn(all_day));
        let tokyo = Worktime::new("Asia/Tokyo", &week, &[new_year]).unwrap();
        assert_eq!(minutes(&tokyo, "2029-12-31T14:00:00Z", "2029-12-31T15:00:00Z"), 60);
        assert_eq!(minutes(&tokyo, "2029-12-31T15:00:00Z", "2030-01-01T15:00:00Z"), 0);
        assert_eq!(tokyo.after(at("2029-12-31T15:00:00Z"), TimeDelta::minutes(1)), at("2030-01-01T15:01:00Z"));
    }

    #[test]
    fn every_fault_of_a_calendar_is_told() {
        let week = WorkingHours {
            monday: vec![hours("9:00", "18:00"), hours("18:00", "09:00"), hours("24:00", "+1:00")],
            tuesday: vec![hours("11:00", "24:00"), hours("09:00", "12:00"), hours("12:00", "24:01")],
            wednesday: vec![hours("12:00", "12:00"); 11],
            ..WorkingHours::default()
        };
        let day = |year, name: &str| Holiday { date: NaiveDate::from_ymd_opt(year, 1, 1).unwrap(), name: name.into() };
        let holidays = [day(2030, "New Year"), day(2030, " "), day(1969, "Past")];
        let faults = Worktime::new("Mars/Olympus", &week, &holidays).unwrap_err();
        let mut found: Vec<_> = faults
            .iter()
            .map(|fault| match &fault.place {
                super::super::values::Place::Pointer(pointer) => (pointer.as_str(), fault.code),
                super::super::values::Place::Parameter(name) => (name.as_str(), fault.code),
            })
            .collect();
        found.retain(|(pointer, _)| !pointer.starts_with("/working_hours/wednesday/"));
        assert_eq!(
            found,
            [
                ("/time_zone", "UNKNOWN_TIME_ZONE"),
                ("/working_hours/monday/0/start", "INVALID_FORMAT"),
                ("/working_hours/monday/1", "HOURS_REVERSED"),
                ("/working_hours/monday/2/start", "INVALID_FORMAT"),
                ("/working_hours/monday/2/end", "INVALID_FORMAT"),
                ("/working_hours/tuesday/2/end", "INVALID_FORMAT"),
                ("/working_hours/tuesday/0", "HOURS_OVERLAP"),
                ("/working_hours/wednesday", "TOO_LONG"),
                ("/holidays/1/name", "BLANK"),
                ("/holidays/1/date", "REPEATED"),
                ("/holidays/2/date", "OUT_OF_RANGE"),
            ]
        );
        let none = Worktime::new("UTC", &WorkingHours::default(), &[]).unwrap_err();
        assert_eq!(none[0].code, "NO_WORKING_HOURS");
        let many = Worktime::new("UTC", &office_hours(), &vec![day(2030, "New Year"); 1_001]).unwrap_err();
        assert_eq!(many[0].code, "TOO_LONG");
    }

    /// Counts minute by minute what a clock on the wall would show.
    fn counted(zone: Tz, week: &[Vec<Span>; 7], holidays: &[NaiveDate], from: i64, minutes: i64) -> i64 {
        let works = |minute: i64| {
            let at = DateTime::from_timestamp(from + minute * 60, 0).unwrap().with_timezone(&zone).naive_local();
            let second = i64::from(at.time().num_seconds_from_midnight());
            let spans = &week[at.weekday().num_days_from_monday() as usize];
            !holidays.contains(&at.date()) && spans.iter().any(|(start, end)| (*start..*end).contains(&second))
        };
        (0..minutes).map(|minute| i64::from(works(minute))).sum()
    }

    #[test]
    fn working_time_is_what_counting_minute_by_minute_gives() {
        const ZONES: &[&str] = &[
            "UTC",
            "Europe/Lisbon",
            "America/Sao_Paulo",
            "America/New_York",
            "America/St_Johns",
            "Asia/Kolkata",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Pacific/Kwajalein",
            "Pacific/Chatham",
            "Africa/Casablanca",
            "America/Santiago",
            "Asia/Gaza",
            "Antarctica/Troll",
        ];
        let mut random = StdRng::seed_from_u64(7);
        let mut done = 0;
        for round in 0..450 {
            let zone = ZONES[round % ZONES.len()];
            let mut week: [Vec<Span>; 7] = Default::default();
            let mut given: [Vec<Hours>; 7] = Default::default();
            for day in 0..7 {
                let mut next = 0;
                for _ in 0..random.random_range(0..4) {
                    let (start, length) = (next + random.random_range(0..480), random.random_range(1..600));
                    let end = (start + length).min(1_440);
                    if start >= end {
                        break;
                    }
                    let text = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
                    given[day].push(hours(&text(start), &text(end)));
                    week[day].push((start * 60, end * 60));
                    next = end;
                }
            }
            if week.iter().all(Vec::is_empty) {
                continue;
            }
            let given = of_days(given);
            // Most spans lie where clocks change.
            let first = match random.random_range(0..4) {
                0 => NaiveDate::from_ymd_opt(random.random_range(1971..2100), 1, random.random_range(1..29)).unwrap(),
                _ => {
                    let changes = zone::stretches(zone).unwrap();
                    let change = changes[random.random_range(0..changes.len())].start.max(40 * DAY_SECONDS);
                    let days = random.random_range(0..8);
                    (DateTime::from_timestamp(change, 0).unwrap() - TimeDelta::days(days)).date_naive()
                }
            };
            let midnight = first.and_time(NaiveTime::MIN).and_utc().timestamp();
            let from = midnight + random.random_range(0..1_440) * 60;
            let minutes = random.random_range(0..14 * 1_440);
            let holidays: Vec<Holiday> = (0..random.random_range(0..4))
                .map(|n| Holiday { date: first + Days::new(n * 3 + 1), name: "Free".into() })
                .collect();
            let worktime = Worktime::new(zone, &given, &holidays).unwrap();
            let dates: Vec<NaiveDate> = holidays.iter().map(|holiday| holiday.date).collect();
            let expected = TimeDelta::minutes(counted(zone.parse().unwrap(), &week, &dates, from, minutes));
            let (start, end) = (instant(from * MICROS), instant((from + minutes * 60) * MICROS));
            assert_eq!(worktime.between(start, end), expected, "{zone} from {start} to {end}: {given:?}");
            // The deadline is the first instant that has so much working time before it.
            let deadline = worktime.after(start, expected);
            assert!(deadline <= end.max(start), "{zone} {start} {end} {deadline}");
            assert_eq!(worktime.between(start, deadline), expected, "{zone} {start} {deadline}");
            if expected > TimeDelta::zero() {
                let step = TimeDelta::microseconds(1);
                assert_eq!(worktime.between(start, deadline.plus(-step)), expected - step, "{zone} {start} {deadline}");
            }
            // Spans add up, and lie the other way round backwards.
            let middle = instant((from + random.random_range(0..=minutes * 60)) * MICROS + 123_457);
            assert_eq!(worktime.between(start, middle) + worktime.between(middle, end), expected);
            assert_eq!(worktime.between(end, start), -expected);
            done += 1;
        }
        assert!(done > 400, "{done}");
    }

    #[test]
    fn every_instant_from_1970_to_9999_is_counted() {
        let holidays: Vec<Holiday> = (0..HOLIDAYS_MAX as u64)
            .map(|n| Holiday {
                date: NaiveDate::from_ymd_opt(2090, 1, 1).unwrap() + Days::new(n * 7),
                name: "Free".into(),
            })
            .collect();
        for zone in ["Etc/GMT+12", "Pacific/Kiritimati", "Europe/Lisbon", "America/New_York"] {
            let office = Worktime::new(zone, &office_hours(), &holidays).unwrap();
            let ends = [at("1970-01-01T00:00:00Z"), at("9999-12-31T23:59:59.999999Z")];
            let outside =
                [Timestamp::from_naive(chrono::NaiveDateTime::MIN), Timestamp::from_naive(chrono::NaiveDateTime::MAX)];
            let all = office.between(ends[0], ends[1]);
            // 1000 free days of eight hours; a year has 260 to 262 working days.
            let days = all.num_hours() / 8 + 1_000;
            assert!((8_030 * 260..=8_030 * 262).contains(&days), "{zone} {days}");
            assert_eq!(office.between(outside[0], outside[1]), all);
            assert!(office.after(ends[0], all) <= ends[1]);
            for span in [all + TimeDelta::microseconds(1), TimeDelta::MAX] {
                assert_eq!(office.after(ends[0], span), ends[1]);
                assert_eq!(office.after(outside[1], span), ends[1]);
            }
            for from in ends.iter().chain(&outside) {
                assert_eq!(office.after(*from, TimeDelta::zero()), *from);
                assert_eq!(office.after(*from, TimeDelta::MIN), *from);
            }
            assert_eq!(after(None, ends[1], TimeDelta::days(1)), ends[1]);
        }
    }
}
