//! The report: a table, memory, and the goals.

use std::collections::{BTreeMap, BTreeSet};

use crate::installation::Kind;
use crate::measure::Sample;
use crate::pgbench::Mean;
use crate::work::Work;

/// The goals of 16 callers, by kind of work: requests a second.
const GOALS: &[(&str, f64)] = &[("read", 6_100.0), ("list", 2_700.0), ("create", 3_400.0), ("update", 4_500.0)];
const GOAL_CALLERS: usize = 16;
/// A read reaches at least this part of what a bare handler reaches.
const READ_OF_BARE_MIN: f64 = 0.4;
/// Reads and writes reach at least this part of what pgbench reaches with the same statements.
const OF_PGBENCH_MIN: f64 = 0.5;
/// A board of as many activities as there may be is answered within so many milliseconds.
const BOARD_MS_MAX: f64 = 30.0;
/// Impact is answered within so many milliseconds.
const IMPACT_MS_MAX: f64 = 50.0;
/// Among 100 times as many releases everything takes at most so many times as long at the 99th percentile.
const GROWTH_MAX: f64 = 2.0;

/// What one row is about. Bare handlers have no database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub database: &'static str,
    pub releases: u32,
    pub callers: usize,
    /// Position in the order of the plan.
    pub order: usize,
    pub label: String,
}

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    rows: BTreeMap<Row, (Work, Sample)>,
    pgbench: BTreeMap<Row, Mean>,
    memory: Vec<String>,
}

impl Report {
    pub fn add(&mut self, row: Row, work: Work, sample: Sample) -> Result<(), String> {
        if let Some((_, known)) = self.rows.get_mut(&row) {
            return known.add(&sample);
        }
        self.rows.insert(row, (work, sample));
        Ok(())
    }

    /// Adds a round of pgbench beside a row: requests a second.
    pub fn add_pgbench(&mut self, row: &Row, reached: f64) {
        self.pgbench.entry(row.clone()).or_default().add(reached);
    }

    pub fn remember_memory(&mut self, kind: &Kind, (now, most): (u64, u64)) {
        let (database, releases) = (kind.database(), kind.releases);
        self.memory.push(format!("{database}, {releases} releases: {now} MiB resident, {most} MiB at most"));
    }

    /// What went wrong; a run with any of it is not reported.
    pub fn failures(&self) -> Vec<String> {
        let mut told = Vec::new();
        for (row, (_, sample)) in &self.rows {
            let name = format!("{} {} {} callers, {}", row.database, row.releases, row.callers, row.label);
            for failure in &sample.failures {
                told.push(format!("{name}: {} failed, such as: {failure}", sample.failed));
            }
            if sample.requests() == 0 && sample.failures.is_empty() {
                told.push(format!("{name}: not one request was answered"));
            }
        }
        told
    }

    fn bare(&self, callers: usize, work: Work) -> Option<f64> {
        let label = work.bare()?.label();
        let found = self.rows.iter().find(|(row, _)| row.callers == callers && row.label == label);
        found.map(|(_, (_, sample))| sample.per_second())
    }

    pub fn print(&self) {
        println!(
            "| database | releases | callers | work | requests/s | p50 ms | p99 ms | of bare | pgbench/s | of pgbench | \
             µs CPU service | µs CPU database |\n|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|"
        );
        for (row, (work, sample)) in &self.rows {
            let each = |time: std::time::Duration| time.as_micros() as f64 / sample.requests().max(1) as f64;
            let ms = |quantile: f64| sample.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
            let ratio = self.bare(row.callers, *work).map(|bare| sample.per_second() / bare);
            let releases = if row.releases == 0 { String::new() } else { row.releases.to_string() };
            println!(
                "| {} | {releases} | {} | {} | {:.0} | {:.2} | {:.2} | {} | {} | {:.0} | {:.0} |",
                row.database,
                row.callers,
                row.label,
                sample.per_second(),
                ms(0.5),
                ms(0.99),
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
                match self.pgbench.get(row).map(Mean::value) {
                    Some(reached) => format!("{reached:.0} | {:.2}", sample.per_second() / reached.max(1.0)),
                    None => " | ".to_owned(),
                },
                each(sample.server),
                each(sample.backends),
            );
        }
        println!();
        for line in &self.memory {
            println!("{line}");
        }
        println!();
        self.print_goals();
    }

    fn print_goals(&self) {
        let told = |met: bool| if met { "met" } else { "NOT met" };
        for (row, (work, sample)) in &self.rows {
            let name = format!("{} {}, {} callers, {}", row.database, row.releases, row.callers, row.label);
            let kind = if matches!(work, Work::List(_)) { "list" } else { work.name() };
            let goal = GOALS.iter().find(|(name, _)| *name == kind && !matches!(work, Work::CreateWithoutKey));
            if let Some((_, goal)) = goal.filter(|_| row.callers == GOAL_CALLERS) {
                let reached = sample.per_second();
                println!("{}: {name}: {reached:.0} of {goal:.0} requests a second", told(reached >= *goal));
            }
            let within = match work {
                Work::Board => Some(BOARD_MS_MAX),
                Work::Impact => Some(IMPACT_MS_MAX),
                _ => None,
            };
            if let Some(max) = within.filter(|_| row.callers == 1) {
                let reached = sample.latency_us.value_at_quantile(0.99) as f64 / 1000.0;
                println!("{}: {name}: p99 {reached:.1} ms, goal {max}", told(reached <= max));
            }
            if let (Work::Read, Some(bare)) = (work, self.bare(row.callers, *work)) {
                let ratio = sample.per_second() / bare;
                println!("{}: {name}: {ratio:.2} of bare, goal {READ_OF_BARE_MIN}", told(ratio >= READ_OF_BARE_MIN));
            }
            let of_pgbench = self.pgbench.get(row).map(|mean| sample.per_second() / mean.value().max(1.0));
            if let (Some(ratio), Work::Read | Work::Create | Work::SuspendAndReactivate) = (of_pgbench, work) {
                println!("{}: {name}: {ratio:.2} of pgbench, goal {OF_PGBENCH_MIN}", told(ratio >= OF_PGBENCH_MIN));
            }
        }
        self.print_growth();
    }

    /// How the service slows down as the installation grows: each kind of work at every size.
    fn print_growth(&self) {
        let of_service = self.rows.iter().filter(|(_, (work, _))| !work.is_bare());
        let labels: BTreeSet<(usize, &str)> = of_service.map(|(row, _)| (row.order, row.label.as_str())).collect();
        for (_, label) in labels {
            let rows: Vec<(&Row, &Sample)> = self
                .rows
                .iter()
                .filter(|(row, _)| row.label == label)
                .map(|(row, (_, sample))| (row, sample))
                .collect();
            for (small, before) in &rows {
                let bigger = rows.iter().filter(|(row, _)| {
                    (row.database, row.callers) == (small.database, small.callers) && row.releases > small.releases
                });
                for (big, after) in bigger {
                    let at = |sample: &Sample, quantile| sample.latency_us.value_at_quantile(quantile).max(1) as f64;
                    let of = |quantile| at(after, quantile) / at(before, quantile);
                    let (growth, half) = (of(0.99), of(0.5));
                    let told = if growth <= GROWTH_MAX { "met" } else { "NOT met" };
                    println!(
                        "{told}: {}, {} callers, {label}: p99 among {} is {growth:.1} times that among {}, p50 \
                         {half:.1} times, goal {GROWTH_MAX}",
                        small.database, small.callers, big.releases, small.releases
                    );
                }
            }
        }
    }
}
