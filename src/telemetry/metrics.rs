//! What Prometheus reads. Every series is known beforehand or bounded by a table: whatever callers send, there are
//! never more.
//!
//! Where requests pass, a metric is a handle that was looked up once: counting is an atomic addition, and no label
//! is looked up.

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    TextEncoder,
};

use crate::domain::values::Action;

/// Upper bounds of the buckets of a request's time, in seconds.
const REQUEST_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds of the buckets of a wait for a connection, in seconds; longer than the last one nobody waits.
const POOL_WAIT_SECONDS: &[f64] = &[0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];
/// Upper bounds of the buckets of a commit's time, in seconds.
const COMMIT_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
/// Upper bounds of the buckets of how many writes share a commit.
const GROUP_UNITS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// The metrics of the process.
pub fn metrics() -> &'static Metrics {
    // Names and labels are constants: a bad one ends every start and every test.
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new().expect("the metrics are well-formed"));
    &METRICS
}

/// How a call for a transition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It would have been applied.
    DryRun,
    /// It had been applied before, under the same idempotency key.
    Replayed,
    /// It was refused: not allowed, not the time, not valid.
    Refused,
    /// The service failed, or had no room.
    Failed,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Applied, Self::DryRun, Self::Replayed, Self::Refused, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::DryRun => "dry_run",
            Self::Replayed => "replayed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Everything that is measured.
pub struct Metrics {
    registry: Registry,
    request_seconds: HistogramVec,
    /// Requests that are being answered now.
    pub in_flight: IntGauge,
    /// Requests whose caller went away before there was an answer.
    pub abandoned: IntCounter,
    /// Requests refused because the service was full (503).
    pub shed: IntCounter,
    /// Requests refused by the rate limit (429).
    pub rate_limited: IntCounter,
    /// Logins refused after too many failures (429).
    pub logins_throttled: IntCounter,
    /// Answers that were kept under an idempotency key and given again.
    pub idempotent_replays: IntCounter,
    /// Time that a unit of work waited for a database connection.
    pub pool_wait_seconds: Histogram,
    pool_connections: IntGaugeVec,
    /// Writes that wait for the writer of SQLite.
    pub writer_queue: IntGauge,
    /// Writes that shared one commit of SQLite.
    pub writer_group_units: Histogram,
    /// Time of a commit of SQLite: the wait for the disk.
    pub writer_commit_seconds: Histogram,
    transitions: Vec<[IntCounter; Outcome::ALL.len()]>,
}

impl Metrics {
    fn new() -> Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build =
            IntGaugeVec::new(Opts::new("slipway_build_info", "Always 1; the labels tell the build."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register(&registry, build)?;
        let counter = |name, help| register(&registry, IntCounter::new(name, help)?);
        let gauge = |name, help| register(&registry, IntGauge::new(name, help)?);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            register(&registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
        };
        let throttled = IntCounterVec::new(
            Opts::new("slipway_requests_throttled_total", "Requests refused with 429, by what refused them."),
            &["by"],
        )?;
        let throttled = register(&registry, throttled)?;
        let transitions = IntCounterVec::new(
            Opts::new("slipway_transitions_total", "Calls for transitions, by action and outcome."),
            &["action", "outcome"],
        )?;
        let transitions = register(&registry, transitions)?;
        let request_seconds = HistogramVec::new(
            HistogramOpts::new(
                "slipway_http_request_duration_seconds",
                "Time until an answer was ready, by route template, method and class of status.",
            )
            .buckets(REQUEST_SECONDS.to_vec()),
            &["route", "method", "status"],
        )?;
        let pool_connections = IntGaugeVec::new(
            Opts::new("slipway_pool_connections", "Open connections of the pool, by whether they are in use."),
            &["state"],
        )?;
        Ok(Self {
            request_seconds: register(&registry, request_seconds)?,
            in_flight: gauge("slipway_http_requests_in_flight", "Requests that are being answered now.")?,
            abandoned: counter(
                "slipway_http_requests_abandoned_total",
                "Requests whose caller went away before there was an answer.",
            )?,
            shed: counter("slipway_requests_shed_total", "Requests refused with 503 because the service was full.")?,
            rate_limited: throttled.with_label_values(&["rate_limit"]),
            logins_throttled: throttled.with_label_values(&["login"]),
            idempotent_replays: counter(
                "slipway_idempotent_replays_total",
                "Answers given again for a repeated idempotency key.",
            )?,
            pool_wait_seconds: histogram(
                "slipway_pool_wait_seconds",
                "Time that a unit of work waited for a connection of the pool.",
                POOL_WAIT_SECONDS,
            )?,
            pool_connections: register(&registry, pool_connections)?,
            writer_queue: gauge("slipway_writer_queue_units", "Writes that wait for the writer of SQLite.")?,
            writer_group_units: histogram(
                "slipway_writer_group_units",
                "Writes that shared one commit of SQLite.",
                GROUP_UNITS,
            )?,
            writer_commit_seconds: histogram(
                "slipway_writer_commit_seconds",
                "Time of one commit of SQLite, the wait for the disk in it.",
                COMMIT_SECONDS,
            )?,
            transitions: Action::ALL
                .iter()
                .map(|action| {
                    Outcome::ALL.map(|outcome| transitions.with_label_values(&[action.as_str(), outcome.as_str()]))
                })
                .collect(),
            registry,
        })
    }

    /// The time of requests of one route, method and class of status. Looked up once and kept: a new combination of
    /// labels is a new series.
    pub fn request_seconds(&self, route: &str, method: &str, class: &str) -> Histogram {
        self.request_seconds.with_label_values(&[route, method, class])
    }

    /// Counts how a call for a transition ended.
    pub fn count_transition(&self, action: Action, outcome: Outcome) {
        // In the order of declaration, both.
        if let Some(counters) = self.transitions.get(action as usize) {
            counters[outcome as usize].inc();
        }
    }

    /// Everything in the text format of Prometheus. `in_use` and `idle` are connections of the pool at this moment.
    pub fn text(&self, in_use: u32, idle: u32) -> Result<String> {
        self.pool_connections.with_label_values(&["in_use"]).set(in_use.into());
        self.pool_connections.with_label_values(&["idle"]).set(idle.into());
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_and_outcome_counts_for_itself() {
        for action in Action::ALL {
            for outcome in Outcome::ALL {
                assert_eq!(Action::ALL[*action as usize], *action);
                assert_eq!(Outcome::ALL[outcome as usize], outcome);
                metrics().count_transition(*action, outcome);
            }
        }
        let text = metrics().text(3, 1).unwrap();
        for line in [
            "slipway_transitions_total{action=\"advance\",outcome=\"applied\"} 1",
            "slipway_pool_connections{state=\"in_use\"} 3",
            "slipway_pool_connections{state=\"idle\"} 1",
            "slipway_http_requests_in_flight 0",
            "slipway_requests_throttled_total{by=\"rate_limit\"} 0",
            "process_start_time_seconds ",
            "slipway_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
