//! Diesel, and nothing but Diesel: connections, `read`, `write`, the schema, and one file per noun.
//!
//! Functions that write take a [`Stamp`](audit::Stamp), which only appending an audit row makes: nothing
//! is stored without its history.

/// The row with this identifier, where it still is of this version: what a guarded write is made on.
macro_rules! of_version {
    ($table:ident, $id:expr, $version:expr) => {
        $table::table.filter($table::id.eq($id)).filter($table::row_version.eq($version))
    };
}

pub mod activities;
pub mod activity_notes;
pub mod approvals;
pub mod audit;
pub mod backup;
pub mod boards;
pub mod bulk;
pub mod changes;
pub mod checklists;
pub mod checkpoints;
pub mod comments;
pub mod configuration_items;
pub mod connection;
pub mod contents;
pub mod definitive_media;
pub mod directory;
pub mod documents;
pub mod error;
pub mod hardware_spares;
pub mod idempotency;
pub mod identity;
pub mod impact;
pub mod imports;
pub mod integrity;
pub mod item_links;
pub mod item_portion;
pub mod journal;
pub mod leases;
pub mod listing;
pub mod migrations;
pub mod nouns;
pub mod pages;
pub mod records;
pub mod references;
pub mod relationships;
pub mod release_row;
pub mod releases;
pub mod retention;
pub mod roles;
pub mod schema;
pub mod set_aside;
pub mod shares;
pub mod surroundings;
pub mod transitions;
pub mod types;
pub mod vigil;
pub mod workflows;
pub mod write_backs;
pub mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager as _};
use tokio::sync::oneshot;

pub use self::connection::{AnyConnection, Limits, Target};
use self::connection::{Opener, Purpose};
pub use self::error::Error;
use self::vigil::{Generation, Stage, Vigil};
use self::writer::{Ended, Unit, Writer};
use crate::mutants::mutant;
use crate::telemetry::metrics;

/// A read or write is tried at most so often when concurrent transactions get in each other's way.
pub const ATTEMPTS_MAX: u32 = 5;
/// A caller waits at most so long for a connection.
pub const POOL_WAIT_MAX_MS: u64 = 500;

/// An error of a use case, seen from the database: whether the database failed under it.
pub trait Failure: From<Error> + Send + 'static {
    /// The failure of the database, where that is what it is.
    fn database(&self) -> Option<&Error>;
}

impl Failure for Error {
    fn database(&self) -> Option<&Error> {
        Some(self)
    }
}

/// The database: how use cases read and write.
#[derive(Clone)]
pub struct Database {
    target: Target,
    limits: Limits,
    vigil: Vigil,
    writer: Option<Writer>,
}

impl Database {
    /// Opens the database. SQLite gets its writer; PostgreSQL connections are opened when needed.
    pub fn open(target: Target, limits: Limits, pool_size: u32) -> Result<Self, Error> {
        let writer = match &target {
            Target::Sqlite(_) => Some(Writer::start(target.clone(), limits)?),
            Target::Postgres(_) => None,
        };
        let purpose = if writer.is_some() { Purpose::Read } else { Purpose::Write };
        let vigil = Vigil::new(target.clone(), limits, purpose, pool_size);
        Ok(Self { target, limits, vigil, writer })
    }

    /// Which database it is.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The limits of every connection.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Opens a connection of its own, outside the pool, for migrations and checks.
    pub fn connect(&self) -> Result<AnyConnection, Error> {
        connection::open(&self.target, self.limits, Purpose::Write)
    }

    /// Opens a connection of its own, outside the pool, that only looks.
    pub fn connect_to_read(&self) -> Result<AnyConnection, Error> {
        connection::open(&self.target, self.limits, Purpose::Read)
    }

    /// Open connections of the pool: in use, and idle.
    pub fn pool_connections(&self) -> (u32, u32) {
        let state = self.vigil.current().pool.state();
        (state.connections.saturating_sub(state.idle_connections), state.idle_connections)
    }

    fn checkout(&self) -> Result<(Arc<Generation>, r2d2::PooledConnection<Opener>), Error> {
        let started = Instant::now();
        let generation = self.vigil.current();
        let connection = generation.pool.get();
        metrics().pool_wait_seconds.observe(started.elapsed().as_secs_f64());
        match connection {
            Ok(connection) => Ok((generation, connection)),
            Err(error) if generation.pool.state().connections == 0 => Err(Error::Unavailable(error.to_string())),
            Err(error) => Err(Error::Busy(error.to_string())),
        }
    }

    /// Reads, on the calling thread. A lost connection is replaced once.
    pub fn read_blocking<T, E: Failure>(&self, work: impl Fn(&mut AnyConnection) -> Result<T, E>) -> Result<T, E> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (generation, mut connection) = self.checkout()?;
            match work(&mut connection) {
                Err(error) if error.database().is_some_and(Error::is_connection_loss) => {
                    drop(connection);
                    self.vigil.lost(&generation);
                    if tries > 1 {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Reads, on a thread of the blocking pool.
    pub async fn read<T, E>(&self, work: impl Fn(&mut AnyConnection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        let database = self.clone();
        self.vigil.attend(move |_| database.read_blocking(work)).await
    }

    /// Writes in one transaction, on the calling thread. `work` may run more than once.
    pub fn write_blocking<T, E>(
        &self,
        work: impl Fn(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        match &self.writer {
            Some(writer) => {
                let (reply, answer) = oneshot::channel();
                writer.submit(Box::new(Job { work, result: None, reply }));
                answer.blocking_recv().unwrap_or_else(|_| Err(lost_writer().into()))
            }
            None => self.write_postgres(BEGIN, &work, &Stage::default()),
        }
    }

    /// Writes in one transaction. `work` may run more than once; when this answers, it is durable.
    pub async fn write<T, E>(&self, work: impl Fn(&mut AnyConnection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        match &self.writer {
            Some(writer) => {
                let (reply, answer) = oneshot::channel();
                writer.submit(Box::new(Job { work, result: None, reply }));
                answer.await.unwrap_or_else(|_| Err(lost_writer().into()))
            }
            None => {
                let database = self.clone();
                self.vigil.attend(move |stage| database.write_postgres(BEGIN_PLANNED, &work, stage)).await
            }
        }
    }

    /// A connection that is lost before COMMIT was sent took nothing with it that anybody was told of: the work runs
    /// once more. Whether a COMMIT that was not answered has happened is not known, and is said so.
    fn write_postgres<T, E: Failure>(
        &self,
        begin: &str,
        work: &impl Fn(&mut AnyConnection) -> Result<T, E>,
        stage: &Stage,
    ) -> Result<T, E> {
        let (mut tries, mut losses) = (0, 0);
        loop {
            tries += 1;
            stage.begin();
            let (generation, mut connection) = self.checkout()?;
            let result = catch_unwind(AssertUnwindSafe(|| {
                in_transaction(&mut connection, begin, |connection| {
                    let done = work(connection).map_err(Aborted::Work)?;
                    if !stage.may_commit() {
                        return Err(Aborted::Work(Error::Unavailable("nobody waits any more".into()).into()));
                    }
                    Ok(done)
                })
            }));
            let result = match result {
                // A panic caught inside the unit leaves Diesel's depth raised: it reports success, and nothing
                // is durable. The pool drops such a connection.
                Ok(Ok(_)) if connection::is_broken(&mut connection) && !mutant("panic_keeps_transaction") => {
                    Err(Error::Other("the transaction did not end".into()).into())
                }
                Ok(Err(Aborted::Database(error))) if stage.is_committing() => Err(uncertain(error.into()).into()),
                Ok(result) => result.map_err(Aborted::into_failure),
                Err(_) => Err(Error::Other("a unit of work panicked".into()).into()),
            };
            match result {
                Err(error) if matches!(error.database(), Some(Error::Unavailable(_) | Error::OutcomeUnknown)) => {
                    drop(connection);
                    self.vigil.lost(&generation);
                    losses += 1;
                    let again = losses == 1 && !stage.is_committing() && !stage.is_given_up();
                    if !again {
                        return Err(error);
                    }
                }
                Err(error)
                    if tries < ATTEMPTS_MAX
                        && matches!(error.database(), Some(Error::Serialization | Error::Stale)) => {}
                result => return result,
            }
        }
    }
}

/// How a transaction of PostgreSQL begins that may go over much.
const BEGIN: &str = "BEGIN";
/// How the transaction of a request begins, which finds its rows by their keys: the plan of a statement serves whatever
/// values are bound. Left to itself, PostgreSQL plans some of them anew each time, which takes longer than to run them.
const BEGIN_PLANNED: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan";

/// Lets PostgreSQL plan the rest of this transaction by the values that are bound: for what looks by them for rows that
/// may be most of a table or none, as whoever deletes what others refer to.
pub fn plan_by_values(connection: &mut AnyConnection) -> Result<(), Error> {
    if let AnyConnection::Postgres(postgres) = connection {
        postgres.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan")?;
    }
    Ok(())
}

/// Runs a transaction of PostgreSQL that begins with these words.
fn in_transaction<T, E: Failure>(
    connection: &mut AnyConnection,
    begin: &str,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, Aborted<E>>,
) -> Result<T, Aborted<E>> {
    type Manager = <AnyConnection as Connection>::TransactionManager;
    if let AnyConnection::Postgres(postgres) = connection
        && let Err(error) = AnsiTransactionManager::begin_transaction_sql(postgres, begin)
    {
        // Part of it may have happened, of which Diesel knows nothing.
        let _ = postgres.batch_execute("ROLLBACK");
        return Err(error.into());
    }
    match work(connection) {
        Ok(done) => {
            Manager::commit_transaction(connection)?;
            Ok(done)
        }
        Err(error) => match Manager::rollback_transaction(connection) {
            Ok(()) | Err(diesel::result::Error::BrokenTransactionManager) => Err(error),
            Err(failed) => Err(failed.into()),
        },
    }
}

/// Reads inside one snapshot: what others commit meanwhile is not seen.
pub fn on_snapshot<T, E: Failure>(
    connection: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
) -> Result<T, E> {
    let read = connection.transaction(|connection| {
        if let AnyConnection::Postgres(postgres) = connection {
            // SQLite reads a snapshot in every transaction.
            postgres.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
        }
        work(connection).map_err(Aborted::Work)
    });
    read.map_err(Aborted::into_failure)
}

fn lost_writer() -> Error {
    Error::Unavailable("the writer has stopped".into())
}

/// What a failure of COMMIT means: where the database gave no reason, it may have committed all the same. A full disk
/// and a lock are reasons: nothing was stored.
fn uncertain(error: Error) -> Error {
    match error {
        Error::Unavailable(cause) | Error::Other(cause) => {
            log::error!("no answer to COMMIT: {cause}");
            Error::OutcomeUnknown
        }
        refused => refused,
    }
}

/// Why a PostgreSQL transaction was rolled back.
enum Aborted<E> {
    Work(E),
    Database(diesel::result::Error),
}

impl<E: Failure> Aborted<E> {
    fn into_failure(self) -> E {
        match self {
            Self::Work(error) => error,
            Self::Database(error) => Error::from(error).into(),
        }
    }
}

impl<E> From<diesel::result::Error> for Aborted<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

/// A use case as a unit of work of the grouped writer.
struct Job<F, T, E> {
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Unit for Job<F, T, E>
where
    F: Fn(&mut AnyConnection) -> Result<T, E> + Send,
    T: Send,
    E: Failure,
{
    fn run(&mut self, connection: &mut AnyConnection) -> Ended {
        let result = (self.work)(connection);
        let ended = match &result {
            Ok(_) => Ended::Done,
            Err(error) if error.database().is_none_or(Error::is_constraint) => Ended::Refused,
            Err(_) => Ended::Broken,
        };
        self.result = Some(result);
        ended
    }

    fn answer(self: Box<Self>) {
        let result = self.result.unwrap_or_else(|| Err(Error::Other("a unit of work did not run".into()).into()));
        // A caller that went away does not undo what was committed.
        let _ = self.reply.send(result);
    }

    fn fail(self: Box<Self>, error: Error) {
        let result = match self.result {
            Some(Err(own)) if own.database().is_some_and(|e| !e.is_constraint()) => Err(own),
            _ => Err(error.into()),
        };
        let _ = self.reply.send(result);
    }
}
