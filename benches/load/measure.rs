//! Measures one kind of work for a while, with a number of callers at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::LocalSet;

use crate::client::Connection;
use crate::installation::Fixture;
use crate::work::{Caller, Work};

/// What happens first is not measured: connections, caches, the server's threads, the plans that each backend of a database
/// makes of each statement.
const WARM_UP_MS: u64 = 1000;
/// The longest time that is told apart.
const LATENCY_MAX_US: u64 = 120_000_000;
/// So many failures are kept to be shown.
const FAILURES_SHOWN_MAX: usize = 3;

/// What was measured.
pub struct Sample {
    pub latency_us: Histogram<u64>,
    pub elapsed: Duration,
    /// Processor time of the server, and of the backends of its database.
    pub server: Duration,
    pub backends: Duration,
    /// Everything that was not as it should be; a sample with failures is not reported.
    pub failures: Vec<String>,
    pub failed: usize,
}

impl Sample {
    pub fn new() -> Result<Self, String> {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).map_err(|error| error.to_string())?;
        let zero = Duration::ZERO;
        Ok(Self { latency_us, elapsed: zero, server: zero, backends: zero, failures: Vec::new(), failed: 0 })
    }

    /// Adds another round of the same.
    pub fn add(&mut self, other: &Self) -> Result<(), String> {
        self.latency_us.add(&other.latency_us).map_err(|error| error.to_string())?;
        self.elapsed += other.elapsed;
        self.server += other.server;
        self.backends += other.backends;
        self.failed += other.failed;
        self.failures.extend(other.failures.iter().cloned());
        self.failures.truncate(FAILURES_SHOWN_MAX);
        Ok(())
    }

    pub fn requests(&self) -> u64 {
        self.latency_us.len()
    }

    pub fn per_second(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// Measures the work. `cost` answers the processor time of the server and of its database's backends.
pub fn measure(
    work: Work,
    fixture: &Rc<Fixture>,
    callers: usize,
    slice: Duration,
    cost: &mut dyn FnMut() -> (Duration, Duration),
) -> Result<Sample, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let phase = Rc::new(Cell::new(Phase::WarmUp));
    let sample = Rc::new(RefCell::new(Sample::new()?));
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let address = if work.is_bare() { fixture.bare } else { fixture.address };
        let mut tasks = Vec::new();
        for index in 0..callers {
            let connection = Connection::open(address).await?;
            let (phase, sample, fixture) = (Rc::clone(&phase), Rc::clone(&sample), Rc::clone(fixture));
            tasks.push(tokio::task::spawn_local(async move {
                let mut caller = Caller::new(&fixture, index, callers);
                call(&mut caller, work, connection, &phase, &sample).await;
            }));
        }
        tokio::time::sleep(Duration::from_millis(WARM_UP_MS)).await;
        let (before, started) = (cost(), Instant::now());
        phase.set(Phase::Measured);
        tokio::time::sleep(slice).await;
        phase.set(Phase::Over);
        let (elapsed, after) = (started.elapsed(), cost());
        for task in tasks {
            task.await.map_err(|error| error.to_string())?;
        }
        let mut sample = sample.borrow_mut();
        sample.elapsed = elapsed;
        sample.server = after.0.saturating_sub(before.0);
        sample.backends = after.1.saturating_sub(before.1);
        Ok::<_, String>(())
    })?;
    Ok(std::mem::replace(&mut *sample.borrow_mut(), Sample::new()?))
}

/// One caller's loop: the next request leaves when the last one is answered.
async fn call(
    caller: &mut Caller<'_>,
    work: Work,
    mut connection: Connection,
    phase: &Cell<Phase>,
    sample: &RefCell<Sample>,
) {
    let fail = |error: String| {
        let mut sample = sample.borrow_mut();
        sample.failed += 1;
        if sample.failures.len() < FAILURES_SHOWN_MAX {
            sample.failures.push(error);
        }
    };
    while phase.get() != Phase::Over {
        let started = Instant::now();
        let done = caller.act(work, &mut connection).await;
        let took = started.elapsed();
        match done {
            Err(error) => {
                fail(error);
                // A connection in an unknown state, a release in an unknown version: this caller is done.
                return;
            }
            Ok(()) if phase.get() == Phase::Measured => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_MAX_US);
                sample.borrow_mut().latency_us.saturating_record(micros);
            }
            Ok(()) => {}
        }
    }
    if let Err(error) = caller.finish(work, &mut connection).await {
        fail(error);
    }
}
