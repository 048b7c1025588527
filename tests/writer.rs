//! Writing under concurrency: whatever becomes of one caller's unit of work, every other one is durable exactly once.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use slipway::repository::{AnyConnection, Database, Error, Failure, Limits, Target, migrations, plan_by_values};

use crate::support::*;

/// Why a unit of these tests did not write.
#[derive(Debug)]
enum Refusal {
    /// It did not want to.
    Own(usize),
    /// The database refused or failed.
    Database(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl Failure for Refusal {
    fn database(&self) -> Option<&Error> {
        match self {
            Self::Own(_) => None,
            Self::Database(error) => Some(error),
        }
    }
}

/// What becomes of a unit, after it wrote a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// Panics.
    Panics,
    /// Panics inside a transaction of its own, and catches that.
    SwallowsPanic,
    /// Writes a key that is there already.
    BreaksConstraint,
    /// Refers to a row that is not there.
    BreaksForeignKey,
    /// Answers with a refusal of its own.
    Refuses,
    /// Fails with an error of the database that is no constraint.
    Fails,
    /// Runs into such an error, and keeps it to itself.
    SwallowsFailure,
}

use Fate::*;

/// Writes the row of unit `index` in three steps, then meets its fate.
fn unit(connection: &mut AnyConnection, index: usize, fate: Fate) -> Result<usize, Refusal> {
    execute(connection, &format!("INSERT INTO written (key) VALUES ('unit {index}')"))?;
    match fate {
        Done => {}
        Panics => panic!("unit {index} panics; this is part of the test"),
        SwallowsPanic => {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _: Result<(), Error> = nested(connection, |_| panic!("part of the test"));
            }));
            assert!(caught.is_err());
        }
        BreaksConstraint => execute(connection, "INSERT INTO written (key) VALUES ('taken')")?,
        BreaksForeignKey => execute(connection, "INSERT INTO child (key) VALUES ('nobody')")?,
        Refuses => return Err(Refusal::Own(index)),
        Fails => execute(connection, "INSERT INTO no_such_table (key) VALUES ('x')")?,
        SwallowsFailure => {
            let failed = execute(connection, "INSERT INTO no_such_table (key) VALUES ('x')");
            assert!(failed.is_err());
        }
    }
    execute(connection, &format!("INSERT INTO steps (unit) VALUES ({index})"))?;
    Ok(index)
}

/// A database with tables to write to, and the connections that concurrent callers need.
fn database() -> (TestDatabase, Database) {
    let made = TestDatabase::empty();
    let limits = Limits { statement_timeout_ms: 30_000, lock_timeout_ms: 20_000 };
    let database = Database::open(made.target.clone(), limits, 16).unwrap();
    let mut connection = database.connect().unwrap();
    migrations::up(&mut connection).unwrap();
    let tables = "CREATE TABLE written (key TEXT NOT NULL PRIMARY KEY); \
                  CREATE TABLE steps (unit BIGINT NOT NULL); \
                  CREATE TABLE child (key TEXT NOT NULL REFERENCES written (key)); \
                  INSERT INTO written (key) VALUES ('taken');";
    execute(&mut connection, tables).unwrap();
    (made, database)
}

/// What is stored, read on a connection of its own: the keys, and the units whose last step is there.
fn stored(database: &Database) -> (Vec<String>, Vec<String>) {
    let mut connection = database.connect().unwrap();
    let keys = "SELECT key AS line FROM written WHERE key <> 'taken'";
    let steps = "SELECT 'unit ' || unit AS line FROM steps";
    let [mut keys, mut steps] = [keys, steps].map(|sql| lines(&mut connection, sql));
    keys.sort();
    steps.sort();
    (keys, steps)
}

/// Checks that every caller got its own answer, and that exactly the acknowledged units are stored, once.
fn assert_each_for_itself(database: &Database, fates: &[Fate], answers: Vec<Result<usize, Refusal>>) {
    let mut acknowledged = Vec::new();
    for (index, (fate, answer)) in fates.iter().zip(answers).enumerate() {
        match (fate, &answer) {
            (Done, Ok(own)) => {
                assert_eq!(*own, index, "the answer of another caller");
                acknowledged.push(format!("unit {index}"));
            }
            (BreaksConstraint, Err(Refusal::Database(Error::Unique { .. })))
            | (BreaksForeignKey, Err(Refusal::Database(Error::ForeignKey)))
            | (Panics | Fails | SwallowsPanic, Err(Refusal::Database(Error::Other(_)))) => {}
            (Refuses, Err(Refusal::Own(own))) => assert_eq!(*own, index),
            // SQLite undoes the failed statement alone; PostgreSQL lets nothing more happen in the transaction.
            (SwallowsFailure, Ok(_)) if !on_postgres() => {
                acknowledged.push(format!("unit {index}"));
            }
            (SwallowsFailure, Err(Refusal::Database(_))) if on_postgres() => {}
            _ => panic!("unit {index}, which {fate:?}, was answered with {answer:?}"),
        }
    }
    acknowledged.sort();
    let (keys, steps) = stored(database);
    assert_eq!(keys, acknowledged);
    assert_eq!(steps, acknowledged);
}

/// Units of every fate, the harmful ones among many that do nothing wrong.
fn mixture(count: usize) -> Vec<Fate> {
    (0..count)
        .map(|index| match index % 11 {
            2 => BreaksConstraint,
            4 => Panics,
            5 => Refuses,
            7 => Fails,
            8 if index > 11 => SwallowsPanic,
            8 => BreaksForeignKey,
            10 => SwallowsFailure,
            _ => Done,
        })
        .collect()
}

/// Runs one unit per fate from as many threads at once.
fn run_at_once(database: &Database, fates: &[Fate]) -> Vec<Result<usize, Refusal>> {
    let start = Arc::new(Barrier::new(fates.len()));
    let threads: Vec<_> = fates
        .iter()
        .enumerate()
        .map(|(index, fate)| {
            let (database, start, fate) = (database.clone(), Arc::clone(&start), *fate);
            std::thread::spawn(move || {
                start.wait();
                database.write_blocking(move |connection| unit(connection, index, fate))
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn concurrent_units_of_every_fate_do_not_touch_each_other() {
    let (_made, database) = database();
    let fates = mixture(if on_postgres() { 16 } else { 66 });
    let answers = run_at_once(&database, &fates);
    assert_each_for_itself(&database, &fates, answers);
    // And the next ones find everything in order.
    let next = database.write_blocking(|connection| unit(connection, 1000, Done));
    assert_eq!(next.unwrap(), 1000);
}

#[test]
fn a_unit_of_each_fate_alone_leaves_the_next_one_unharmed() {
    let (_made, database) = database();
    let fates = [
        Done,
        Panics,
        Done,
        SwallowsPanic,
        Done,
        BreaksConstraint,
        Done,
        BreaksForeignKey,
        Done,
        Refuses,
        Done,
        Fails,
        Done,
        SwallowsFailure,
        Done,
    ];
    let answers = fates
        .iter()
        .enumerate()
        .map(|(index, fate)| {
            let fate = *fate;
            database.write_blocking(move |connection| unit(connection, index, fate))
        })
        .collect();
    assert_each_for_itself(&database, &fates, answers);
}

/// How many transactions the write-ahead log of a SQLite file holds: frames that end one carry the size of the file.
fn commits_in_log(file: &Path) -> usize {
    let Ok(log) = std::fs::read(format!("{}-wal", file.display())) else {
        return 0;
    };
    if log.is_empty() {
        return 0;
    }
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let (page_size, salt) = (number(8) as usize, (number(16), number(20)));
    let frames = (32..log.len()).step_by(24 + page_size);
    let of_this_log = frames.filter(|at| (number(at + 8), number(at + 12)) == salt);
    of_this_log.filter(|at| number(at + 4) != 0).count()
}

type Writing = Pin<Box<dyn Future<Output = Result<usize, Refusal>>>>;

/// Queues units behind one that holds the writer, so that they wait together; answers what each was told.
fn run_queued(database: &Database, fates: &[Fate]) -> Vec<Result<usize, Refusal>> {
    let (entered, has_entered) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let holder = database.clone();
    let holder = std::thread::spawn(move || {
        holder.write_blocking(move |_| -> Result<(), Refusal> {
            let _ = entered.send(());
            let _ = gate.lock().unwrap().recv();
            Ok(())
        })
    });
    has_entered.recv().unwrap();
    // The first poll of a write hands its unit over; nothing runs before the gate opens.
    let mut waiting: Vec<Writing> = fates
        .iter()
        .enumerate()
        .map(|(index, fate)| {
            let (database, fate) = (database.clone(), *fate);
            let write = async move { database.write(move |connection| unit(connection, index, fate)).await };
            let mut write: Writing = Box::pin(write);
            assert!(matches!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
            write
        })
        .collect();
    // Open for good: a group that is run again runs its first unit again as well.
    drop(open);
    holder.join().unwrap().unwrap();
    let system = actix_web::rt::System::new();
    waiting.drain(..).map(|write| system.block_on(write)).collect()
}

#[test]
fn units_that_wait_together_share_commits_and_each_is_answered_for_itself() {
    if on_postgres() {
        return; // PostgreSQL groups commits by itself.
    }
    let (_made, database) = database();
    let Target::Sqlite(file) = database.target() else { unreachable!() };
    let before = commits_in_log(file);
    let answers = run_queued(&database, &[Done; 30]);
    let commits = commits_in_log(file) - before;
    assert!((1..30).contains(&commits), "{commits} commits for 30 units");
    assert_each_for_itself(&database, &[Done; 30], answers);
}

#[test]
fn refusals_and_broken_constraints_do_not_break_up_a_group() {
    if on_postgres() {
        return;
    }
    let (_made, database) = database();
    let Target::Sqlite(file) = database.target() else { unreachable!() };
    let fates: Vec<Fate> = (0..30)
        .map(|index| match index % 10 {
            3 => BreaksConstraint,
            5 => BreaksForeignKey,
            7 => Refuses,
            _ => Done,
        })
        .collect();
    let before = commits_in_log(file);
    let answers = run_queued(&database, &fates);
    let commits = commits_in_log(file) - before;
    assert!((1..21).contains(&commits), "{commits} commits for 21 units that wrote");
    assert_each_for_itself(&database, &fates, answers);
}

#[test]
fn a_group_with_broken_members_is_run_again_one_by_one() {
    if on_postgres() {
        return;
    }
    let (_made, database) = database();
    let fates = mixture(64);
    let answers = run_queued(&database, &fates);
    assert_each_for_itself(&database, &fates, answers);
    // A broken member last, first, and alone in a group.
    for fates in [vec![Done, Done, Panics], vec![SwallowsPanic, Done, Done], vec![Fails]] {
        let offset: Vec<Fate> = fates;
        let (_made, database) = self::database();
        let answers = run_queued(&database, &offset);
        assert_each_for_itself(&database, &offset, answers);
    }
}

#[test]
fn a_caller_that_goes_away_does_not_undo_what_was_committed() {
    let (_made, database) = database();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let system = actix_web::rt::System::new();
    let (done, is_done) = mpsc::channel();
    system.block_on(async {
        let write = database.write(move |connection| {
            counted.fetch_add(1, Ordering::SeqCst);
            let result = unit(connection, 0, Done);
            let _ = done.send(());
            result
        });
        let mut write = Box::pin(write);
        let first = std::future::poll_fn(|context| Poll::Ready(write.as_mut().poll(context)));
        let _ = first.await;
        drop(write);
    });
    is_done.recv().unwrap();
    // The writer is fair: what comes later is committed later.
    if !on_postgres() {
        database.write_blocking(|connection| unit(connection, 1, Done)).unwrap();
        assert_eq!(stored(&database).0, ["unit 0", "unit 1"]);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn concurrent_transactions_that_deadlock_are_run_again() {
    let (_made, database) = database();
    let seed = "INSERT INTO steps (unit) VALUES (1); INSERT INTO steps (unit) VALUES (2);";
    execute(&mut database.connect().unwrap(), seed).unwrap();
    // On PostgreSQL both hold one row before either asks for the other one.
    let met = Arc::new(Barrier::new(2));
    let threads: Vec<_> = [(1, 2), (2, 1)]
        .into_iter()
        .map(|(first, second)| {
            let (database, met) = (database.clone(), Arc::clone(&met));
            std::thread::spawn(move || {
                let tried = AtomicUsize::new(0);
                database.write_blocking(move |connection| -> Result<(), Error> {
                    let touch = |row: i32| format!("UPDATE steps SET unit = unit WHERE unit = {row}");
                    execute(connection, &touch(first))?;
                    if on_postgres() && tried.fetch_add(1, Ordering::SeqCst) == 0 {
                        met.wait();
                    }
                    execute(connection, &touch(second))?;
                    execute(connection, &format!("INSERT INTO written (key) VALUES ('{first}')"))
                })
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(stored(&database).0, ["1", "2"]);
}

#[test]
fn on_postgres_the_statements_of_a_request_that_writes_are_planned_once_and_others_as_it_likes() {
    if !on_postgres() {
        return;
    }
    let (_made, database) = database();
    const MODE: &str = "SELECT current_setting('plan_cache_mode') AS line";
    let runtime = actix_web::rt::System::new();
    let of_request = || runtime.block_on(database.write(|connection| Ok::<_, Error>(lines(connection, MODE)))).unwrap();
    let others = [
        database.read_blocking(|connection| Ok::<_, Error>(lines(connection, MODE))).unwrap(),
        database.write_blocking(|connection| Ok::<_, Error>(lines(connection, MODE))).unwrap(),
    ];
    assert_eq!(of_request(), ["force_generic_plan"]);
    assert_eq!(others, [["auto"], ["auto"]]);
    let deleting = |connection: &mut AnyConnection| {
        plan_by_values(connection)?;
        Ok::<_, Error>(lines(connection, MODE))
    };
    assert_eq!(actix_web::rt::System::new().block_on(database.write(deleting)).unwrap(), ["force_custom_plan"]);
    // The connections are the same, and nothing stays on them.
    let after = database.read_blocking(|connection| Ok::<_, Error>(lines(connection, MODE))).unwrap();
    assert_eq!(after, ["auto"]);
}
