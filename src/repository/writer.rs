//! The one fair writer of an embedded SQLite: it groups the commits of concurrent callers.
//!
//! Callers hand over units of work, in order of arrival. The writer runs several of them inside one
//! transaction, each in its own savepoint, and commits once: one wait for the disk acknowledges them
//! all. A unit that refuses, or breaks a constraint, is rolled back alone. After a panic, or any other
//! failure of the database, the whole group is rolled back, the connection dropped, and each unit run
//! once more by itself. No answer leaves before COMMIT. A COMMIT that fails and does not say that nothing was stored
//! is told as it is: whether it was stored is not known, and nothing runs again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::{Connection, SqliteConnection};

use super::connection::{AnyConnection, Limits, Purpose, Target, open};
use super::error::Error;
use super::uncertain;
use crate::mutants::mutant;
use crate::telemetry::metrics;

/// At most so many units share a commit.
pub const GROUP_UNITS_MAX: usize = 64;
/// A group takes no further unit after this long.
pub const GROUP_TIME_MAX_MS: u64 = 20;
/// A group waits for more callers no longer than this, all in all.
pub const PATIENCE_MAX_MS: u64 = 5;
/// At most so many units wait; a further one is refused as busy.
pub const QUEUE_UNITS_MAX: usize = 4096;

/// How a unit of work ended, before anything is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// To be kept.
    Done,
    /// To be rolled back alone: it refused, or broke a constraint.
    Refused,
    /// The database failed under it, or it panicked: nothing on this connection can be trusted.
    Broken,
}

/// A unit of work that can be run more than once, and answers once.
pub trait Unit: Send {
    /// Runs inside an open savepoint.
    fn run(&mut self, connection: &mut AnyConnection) -> Ended;
    /// Sends the result of the last run to the caller.
    fn answer(self: Box<Self>);
    /// Tells the caller that the database failed.
    fn fail(self: Box<Self>, error: Error);
}

/// The way to the writer's thread.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::SyncSender<Box<dyn Unit>>,
}

impl Writer {
    /// Opens the writing connection and starts the thread.
    pub fn start(target: Target, limits: Limits) -> Result<Self, Error> {
        let connection = open_sqlite(&target, limits)?;
        let (queue, arrivals) = mpsc::sync_channel(QUEUE_UNITS_MAX);
        let mut worker = Worker { target, limits, connection: Some(connection), patience: Duration::ZERO };
        std::thread::Builder::new()
            .name("slipway-writer".into())
            .spawn(move || worker.serve(&arrivals))
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { queue })
    }

    /// Hands a unit over; answers at once, the unit answers its caller itself.
    pub fn submit(&self, unit: Box<dyn Unit>) {
        // Counted before it is there: the writer may be faster than this thread.
        metrics().writer_queue.inc();
        let Err(refused) = self.queue.try_send(unit) else {
            return;
        };
        metrics().writer_queue.dec();
        match refused {
            mpsc::TrySendError::Full(unit) => unit.fail(Error::Busy("too many writes are waiting".into())),
            mpsc::TrySendError::Disconnected(unit) => {
                unit.fail(Error::Unavailable("the writer has stopped".into()));
            }
        }
    }
}

fn open_sqlite(target: &Target, limits: Limits) -> Result<AnyConnection, Error> {
    open(target, limits, Purpose::Write)
}

struct Worker {
    target: Target,
    limits: Limits,
    connection: Option<AnyConnection>,
    /// So long the next group waits for more callers.
    patience: Duration,
}

type Manager = AnsiTransactionManager;

impl Worker {
    fn serve(&mut self, arrivals: &mpsc::Receiver<Box<dyn Unit>>) {
        while let Ok(first) = arrivals.recv() {
            metrics().writer_queue.dec();
            let (mut units, committed) = self.group(first, arrivals);
            match committed {
                Ok(()) => units.into_iter().for_each(Unit::answer),
                // A commit is in the log of the file, perhaps whole, when the wait for the disk fails.
                Err(Error::OutcomeUnknown) => units.into_iter().for_each(|unit| unit.fail(Error::OutcomeUnknown)),
                Err(_) if units.len() > 1 => {
                    for unit in units {
                        self.alone(unit);
                    }
                }
                Err(error) => {
                    // A group of one: one more try on a fresh connection, then the truth.
                    if let Some(unit) = units.pop() {
                        log::warn!("a write failed and runs once more: {error}");
                        self.alone(unit);
                    }
                }
            }
        }
    }

    /// Runs units in one transaction until none waits, or a limit is reached; then commits.
    fn group(
        &mut self,
        first: Box<dyn Unit>,
        arrivals: &mpsc::Receiver<Box<dyn Unit>>,
    ) -> (Vec<Box<dyn Unit>>, Result<(), Error>) {
        let started = Instant::now();
        let mut units = vec![first];
        if let Err(error) = self.begin() {
            return (units, Err(error));
        }
        let mut next = 0;
        let mut patience = self.patience;
        loop {
            if let Err(error) = self.run_in_savepoint(units[next].as_mut()) {
                self.connection = None;
                return (units, Err(error));
            }
            next += 1;
            if units.len() >= GROUP_UNITS_MAX || started.elapsed() >= Duration::from_millis(GROUP_TIME_MAX_MS) {
                break;
            }
            let Some(unit) = arrivals.try_recv().ok().or_else(|| self.wait_for_company(&mut patience, arrivals)) else {
                break;
            };
            metrics().writer_queue.dec();
            units.push(unit);
        }
        metrics().writer_group_units.observe(units.len() as f64);
        if mutant("answer_before_commit") {
            units.drain(..).for_each(Unit::answer);
        }
        let (began, committed) = (Instant::now(), self.commit());
        metrics().writer_commit_seconds.observe(began.elapsed().as_secs_f64());
        // Where callers come together, the next group waits for more of them as long as this commit took, all in all:
        // so a wait for the disk is shared by more of them, and nobody waits much longer than twice for it.
        let company = if units.len() > 1 { began.elapsed() } else { Duration::ZERO };
        self.patience = company.min(Duration::from_millis(PATIENCE_MAX_MS));
        (units, committed)
    }

    /// Waits for a further unit, until patience is at an end.
    fn wait_for_company(
        &self,
        patience: &mut Duration,
        arrivals: &mpsc::Receiver<Box<dyn Unit>>,
    ) -> Option<Box<dyn Unit>> {
        if patience.is_zero() {
            return None;
        }
        let began = Instant::now();
        let unit = arrivals.recv_timeout(*patience).ok();
        *patience = patience.saturating_sub(began.elapsed());
        unit
    }

    /// Runs one unit in its own transaction; answers it whatever happens.
    fn alone(&mut self, mut unit: Box<dyn Unit>) {
        let done = self.begin().and_then(|()| self.run_in_savepoint(unit.as_mut())).and_then(|()| self.commit());
        match done {
            Ok(()) => unit.answer(),
            Err(error) => {
                self.connection = None;
                unit.fail(error);
            }
        }
    }

    fn sqlite(&mut self) -> Result<&mut SqliteConnection, Error> {
        if self.connection.is_none() {
            self.connection = Some(open_sqlite(&self.target, self.limits)?);
        }
        match &mut self.connection {
            Some(AnyConnection::Sqlite(sqlite)) => Ok(sqlite),
            _ => Err(Error::Other("the grouped writer is for SQLite".into())),
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        let begun = Manager::begin_transaction_sql(self.sqlite()?, "BEGIN IMMEDIATE").map_err(Error::from);
        if begun.is_err() {
            self.connection = None;
        }
        begun
    }

    fn run_in_savepoint(&mut self, unit: &mut dyn Unit) -> Result<(), Error> {
        let Some(connection) = &mut self.connection else {
            return Err(Error::Unavailable("the connection was lost".into()));
        };
        if mutant("no_savepoint") {
            return match unit.run(connection) {
                Ended::Broken => Err(Error::Other("a unit of work failed".into())),
                Ended::Done | Ended::Refused => Ok(()),
            };
        }
        begin_savepoint(connection)?;
        let ended = catch_unwind(AssertUnwindSafe(|| unit.run(connection))).unwrap_or(Ended::Broken);
        let AnyConnection::Sqlite(sqlite) = connection else {
            return Err(Error::Other("the grouped writer is for SQLite".into()));
        };
        match ended {
            Ended::Done => Manager::commit_transaction(sqlite)?,
            Ended::Refused => Manager::rollback_transaction(sqlite)?,
            Ended::Broken => return Err(Error::Other("a unit of work failed".into())),
        }
        Ok(())
    }

    /// Commits, and makes sure that it did: a caught panic leaves Diesel's depth raised, and then a
    /// commit reports success with nothing durable.
    fn commit(&mut self) -> Result<(), Error> {
        let sqlite = self.sqlite()?;
        let committed = Manager::commit_transaction(sqlite).map_err(|error| uncertain(error.into())).and_then(|()| {
            match Manager::transaction_manager_status_mut(sqlite).transaction_depth() {
                Ok(None) => Ok(()),
                _ if mutant("panic_keeps_transaction") => Ok(()),
                _ => Err(Error::Other("the transaction did not end".into())),
            }
        });
        if committed.is_err() {
            self.connection = None;
        }
        committed
    }
}

fn begin_savepoint(connection: &mut AnyConnection) -> Result<(), Error> {
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            <SqliteConnection as Connection>::TransactionManager::begin_transaction(sqlite)?;
            Ok(())
        }
        AnyConnection::Postgres(_) => Err(Error::Other("the grouped writer is for SQLite".into())),
    }
}
