//! When everything happens: working time, the instants of steps and the windows of releases.
//!
//! A tale is hung up by its end: the last step of a finished release lies anywhere in the past, that of a release
//! under way shortly before the present. Windows follow from the steps.

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Weekday};
use rand::Rng;
use rand::rngs::StdRng;

use super::tale::Tale;
use crate::domain::values::{Timestamp, Window};

/// Minutes of work in a day, from 08:00 to 18:00.
pub const DAY: i64 = 600;
/// Working days that histories reach back at most.
pub const DAYS_MAX: usize = 330;

/// Working time before the present.
pub struct Worktime {
    pub present: Timestamp,
    /// Working days before the present, the newest first.
    days: Vec<NaiveDate>,
}

impl Worktime {
    pub fn before(present: Timestamp) -> Self {
        let mut day = present.naive().date();
        let mut days = Vec::with_capacity(DAYS_MAX);
        while days.len() < DAYS_MAX {
            let Some(earlier) = day.pred_opt() else { break };
            day = earlier;
            if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
                days.push(day);
            }
        }
        Self { present, days }
    }

    /// The instant so many minutes of work ago.
    fn ago(&self, minutes: i64) -> Timestamp {
        let minutes = minutes.max(1) - 1;
        let index = usize::try_from(minutes / DAY).unwrap_or(0);
        let day = self.days.get(index).or(self.days.last());
        let Some(day) = day else { return self.present };
        let into = DAY - 1 - minutes % DAY;
        at(*day, 8, 0).plus(TimeDelta::minutes(into))
    }
}

fn at(day: NaiveDate, hour: u32, minute: u32) -> Timestamp {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    Timestamp::from_naive(day.and_time(time))
}

fn date(at: Timestamp) -> NaiveDate {
    at.naive().date()
}

/// The next full hour.
fn ceiling(at: Timestamp) -> Timestamp {
    let rest = i64::from(at.naive().minute()) * 60 + i64::from(at.naive().second());
    at.plus(TimeDelta::seconds(3600 - rest))
}

/// When a release had its plan, counted in minutes of work since it was registered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    pub began: i64,
    pub planned: Option<i64>,
    pub authorised: Option<i64>,
    pub deployed: Option<i64>,
}

/// The windows of a round.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub planning: Window,
    pub deployment: Window,
}

/// A tale whose steps are told in minutes of work since the beginning, before it has instants.
pub struct Draft {
    pub tale: Tale,
    pub rounds: Vec<Round>,
    /// Minutes of work from the registration to the last step.
    pub minutes: i64,
    /// Minutes of work from the last step to the present.
    pub lag: i64,
    /// True where the release is behind its own plan.
    pub late: bool,
}

impl Draft {
    /// Gives every step its instant and every round its windows.
    pub fn hang_up(mut self, rng: &mut StdRng, time: &Worktime) -> Tale {
        let total = self.minutes + self.lag;
        let instant = |minutes: i64| time.ago(total - minutes);
        for step in &mut self.tale.steps {
            let seconds = TimeDelta::seconds(rng.random_range(0..60));
            step.at = instant(step.minutes).plus(seconds);
        }
        let last = self.rounds.len() - 1;
        for (index, round) in self.rounds.iter().enumerate() {
            let goes_on = index == last && self.tale.ending.is_under_way() && !self.late;
            let planning_start = at(date(instant(round.began)), 0, 0)
                .plus(TimeDelta::hours(i64::from(instant(round.began).naive().hour())));
            // Where the plan is not carried out yet, it lies behind the present, or behind the end.
            let behind = if goes_on { time.present } else { instant(self.minutes) };
            let first_night = |authorised: i64| at(date(instant(authorised)), 22, 0);
            let (planning_end, start) = match round.authorised {
                Some(authorised) => (ceiling(instant(round.planned.unwrap_or(authorised))), first_night(authorised)),
                None => {
                    let days = rng.random_range(1..4);
                    let more = rng.random_range(0..20);
                    let planning_end = at(date(behind.plus(TimeDelta::days(days))), 18, 0);
                    (planning_end, planning_end.plus(TimeDelta::hours(4 + 24 * more)))
                }
            };
            // A late release is over its window now: its night is the first one after the plan.
            let start =
                if self.late && round.authorised.is_none() { planning_end.plus(TimeDelta::hours(4)) } else { start };
            let short = start.plus(TimeDelta::hours(rng.random_range(4..9)));
            let roll_out = rng.random_bool(0.3);
            let end = match (round.authorised, round.deployed) {
                (Some(_), _) if goes_on => {
                    let days = rng.random_range(1..9);
                    at(date(time.present.plus(TimeDelta::days(days))), 20, 0)
                }
                (Some(_), Some(deployed)) if roll_out => at(date(instant(deployed)), 20, 0).max(short),
                _ => short,
            };
            self.tale.windows.push(Windows {
                planning: Window { start: planning_start, end: planning_end },
                deployment: Window { start, end },
            });
        }
        self.tale
    }
}
