//! Applying imports: rows in portions, each in a transaction of its own with how far the import is, so that other
//! writers go on between them, and whoever goes on after a process was killed goes on exactly where it was.
//!
//! One process applies at a time, under a lease. An import that cannot be read on is over as `failed`; what was applied
//! before stays. One that ends with a fault of the service is tried again, later each time, and lets others go first; in
//! the end it is over as `failed` too.

use std::collections::HashSet;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::TimeDelta;

use super::beat::Beat;
use super::import_imagined::Imagined;
use super::import_portion::apply;
use super::import_rows::{Content, Forms, Mark, Row, Rows, Unreadable, Upload};
use super::imports::IMPORT_ROWS_MAX;
use super::leases::Lease;
use super::setup::{NOBODY, console_request};
use super::{Env, Error, Request, Result, WriteContext};
use crate::domain::policy::{Actor, Via};
use crate::domain::values::*;
use crate::repository::imports::{self, ImportRow, ResultRow};
use crate::repository::nouns::Keyed as _;
use crate::repository::{Error as DatabaseError, Failure as _};
use crate::store::{Error as StoreError, Store};

/// A transaction applies at most so many rows.
pub const PORTION_ROWS_MAX: usize = 500;
/// Rows of so many bytes are a portion, however few they are.
const PORTION_BYTES_MAX: u64 = 1024 * 1024;
/// A service looks so often whether an import waits.
pub const TICK_MS: u64 = 1000;
/// A portion that the database refuses is tried so often: somebody may have made or deleted what it names meanwhile.
const TRIES_MAX: usize = 3;
/// The rows of a dry run that failed are read in portions of this many when it goes on.
const LINES_PER_PORTION: i64 = 5000;
/// After each failure in a row, but for the last, an import is not gone on with for so long.
const WAITS_SECONDS: [i64; 4] = [10, 60, 600, 3600];
/// After so many failures in a row an import is over.
pub const FAILURES_MAX: usize = WAITS_SECONDS.len() + 1;
/// Name of the lease.
pub const IMPORTS: &str = "imports";

/// What applies the imports of this process.
pub struct Importing {
    env: Arc<Env>,
    forms: Forms,
    stopping: Arc<AtomicBool>,
}

/// Rows to be applied together.
struct Portion {
    rows: Vec<Row>,
    end: Mark,
    is_last: bool,
}

/// How far an import went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    /// To its end.
    Over,
    /// Until it failed: others go first.
    Waits,
    /// Another process goes on with it, or the next call does.
    Left,
}

/// How a portion ended.
enum Ended {
    /// There is more.
    Applied(Box<ImportRow>, Vec<ResultRow>),
    /// The lease was lost, or the import cancelled.
    Left,
}

impl Importing {
    /// For a database, with how rows are judged.
    pub fn new(env: Arc<Env>, forms: Forms) -> Self {
        Self { env, forms, stopping: Arc::default() }
    }

    /// Applies whatever waits, unless another process does; answers how many imports came to their end.
    pub fn run_due(&self) -> Result<usize> {
        self.run_portions(usize::MAX)
    }

    /// The same, but no more than so many portions.
    pub fn run_portions(&self, mut portions: usize) -> Result<usize> {
        let mut over = 0;
        let next = |env: &Env| {
            let now = env.now();
            env.database.read_blocking::<_, Error>(move |c| Ok(imports::next_due(c, now)?))
        };
        if self.env.store().is_err() || next(&self.env)?.is_none() {
            return Ok(over);
        }
        let Some(lease) = Lease::take(&self.env, IMPORTS, TimeDelta::zero())? else {
            return Ok(over);
        };
        let mut done = Ok(());
        while portions > 0 && self.goes_on() {
            let import = match next(&self.env) {
                Ok(Some(import)) => import,
                Ok(None) => break,
                Err(error) => {
                    done = Err(error);
                    break;
                }
            };
            let id = import.id;
            let tried = catch_unwind(AssertUnwindSafe(|| self.import(&lease, import, &mut portions)))
                .unwrap_or_else(|_| Err(Error::Internal("applying it panicked".into())))
                .or_else(|error| self.note_failure(&lease, id, &error));
            match tried {
                Ok(Went::Over) => over += 1,
                Ok(Went::Waits) => {}
                Ok(Went::Left) => break,
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        lease.undone()?;
        done.map(|()| over)
    }

    /// Counts a failure of an import: others go first for a while, and in the end it is over. Where the database is away
    /// nothing can be counted.
    fn note_failure(&self, lease: &Lease, id: ImportId, error: &Error) -> Result<Went> {
        log::warn!("import {id}: {error}");
        let why = match error {
            Error::Store(_) => "the store of documents is not available, or does not give the upload",
            _ => "there was a fault of the service, which its log tells more of",
        };
        let noted = lease.write(move |context| {
            let Some(import) = imports::find(context.connection, id)?.filter(|import| !import.state.is_over()) else {
                return Ok(Went::Waits);
            };
            let failures = import.failures + 1;
            let wait = usize::try_from(import.failures).ok().and_then(|nth| WAITS_SECONDS.get(nth));
            let mut row = ImportRow { failures, ..advanced(context, &import) };
            row.retry_at = wait.map(|seconds| context.now.plus(TimeDelta::seconds(*seconds)));
            row.detail = Some(match &row.retry_at {
                Some(at) => format!("It could not be gone on with: {why}. It is tried again at {at}."),
                None => format!("It could not be gone on with {failures} times in a row: {why}."),
            });
            if row.retry_at.is_none() {
                row.state = ImportState::Failed;
                row.finished_at = Some(context.now);
            }
            imports::update(context.connection, &row)?;
            Ok(if row.state.is_over() { Went::Over } else { Went::Waits })
        })?;
        Ok(noted.unwrap_or(Went::Left))
    }

    fn goes_on(&self) -> bool {
        !self.stopping.load(Ordering::SeqCst)
    }

    /// Goes on with an import.
    fn import(&self, lease: &Lease, import: ImportRow, portions: &mut usize) -> Result<Went> {
        let mut import = import;
        let opened = self.open(&import).and_then(|size| {
            let mark = Mark { bytes: u64::try_from(import.bytes_done).unwrap_or_default(), lines: import.lines_done };
            let is_judged = import.dry_run && import.rows_done > 0;
            let judged = is_judged.then(|| self.rows(&import, size, Mark::default())).transpose()?;
            Ok((self.rows(&import, size, mark)?, judged))
        });
        let (mut rows, judged) = match opened {
            Ok(opened) => opened,
            Err(unreadable) => return self.give_up(lease, import, unreadable),
        };
        let imagined = match judged.map_or_else(|| Ok(Ok(Imagined::default())), |rows| self.recall(&import, rows))? {
            Ok(imagined) => Arc::new(RwLock::new(imagined)),
            Err(unreadable) => return self.give_up(lease, import, unreadable),
        };
        let mut ahead = None;
        while *portions > 0 && self.goes_on() {
            *portions -= 1;
            let portion = match next_portion(&mut rows, &mut ahead) {
                Ok(portion) => portion,
                Err(unreadable) => return self.give_up(lease, import, unreadable),
            };
            let many = i64::try_from(portion.rows.len()).unwrap_or(i64::MAX);
            if import.rows_done.saturating_add(many) > IMPORT_ROWS_MAX {
                let detail = format!("an upload has at most {IMPORT_ROWS_MAX} rows");
                return self.give_up(lease, import, Unreadable::Upload(detail));
            }
            let portion = Arc::new(portion);
            match self.write(lease, &import, Arc::clone(&portion), &imagined)? {
                Ended::Left => return Ok(Went::Left),
                Ended::Applied(now, results) => {
                    import = *now;
                    if import.dry_run {
                        let mut imagined = imagined.write().unwrap_or_else(PoisonError::into_inner);
                        let judged = portion.rows.iter().zip(results);
                        for (row, _) in judged.filter(|(_, result)| result.outcome != RowOutcome::Failed) {
                            imagined.learn(row)?;
                        }
                    }
                }
            }
            if portion.is_last {
                return Ok(Went::Over);
            }
        }
        Ok(Went::Left)
    }

    /// Makes sure that the upload is in the store as it came; answers its size.
    fn open(&self, import: &ImportRow) -> std::result::Result<u64, Unreadable> {
        let store = self.store()?;
        let found = store.size_blocking(&import.store_key)?;
        if i64::try_from(found) != Ok(import.size_bytes) || store.sha256_blocking(&import.store_key)? != import.sha256 {
            return Err(StoreError::Altered.into());
        }
        Ok(found)
    }

    fn store(&self) -> std::result::Result<Store, StoreError> {
        self.env.store().cloned().map_err(|_| StoreError::Away("no store is set up".into()))
    }

    /// The rows of an upload of a size behind a place.
    fn rows(&self, import: &ImportRow, size: u64, mark: Mark) -> std::result::Result<Rows, Unreadable> {
        let (store, key) = (self.store()?, import.store_key.clone());
        Rows::open(import.format, self.forms, mark, move |at| -> Box<dyn Read> {
            Box::new(Upload::new(store.clone(), key.clone(), size, at))
        })
    }

    /// What the rows of a dry run that were judged before would have stored.
    fn recall(&self, import: &ImportRow, mut rows: Rows) -> Result<std::result::Result<Imagined, Unreadable>> {
        let (id, done) = (import.id, u64::try_from(import.bytes_done).unwrap_or_default());
        let (mut imagined, mut failed, mut more) = (Imagined::default(), Vec::new().into_iter().peekable(), true);
        while rows.mark.bytes < done {
            let row = match rows.read_next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(unreadable) => return Ok(Err(unreadable)),
            };
            while failed.next_if(|line| *line < row.line).is_some() {}
            if more && failed.peek().is_none() {
                let before = row.line - 1;
                let lines = self.env.database.read_blocking::<_, Error>(move |connection| {
                    Ok(imports::failed_lines(connection, id, before, LINES_PER_PORTION)?)
                })?;
                more = !lines.is_empty();
                failed = lines.into_iter().peekable();
            }
            if failed.peek() != Some(&row.line) {
                imagined.learn(&row)?;
            }
        }
        Ok(Ok(imagined))
    }

    /// Ends an import that cannot be read on. A store that is away is tried again.
    fn give_up(&self, lease: &Lease, import: ImportRow, unreadable: Unreadable) -> Result<Went> {
        let detail = match unreadable {
            Unreadable::Store(error @ (StoreError::Missing | StoreError::Altered)) => error.to_string(),
            Unreadable::Store(error) => return Err(error.into()),
            Unreadable::Upload(detail) => detail,
        };
        self.fail(lease, import, detail)
    }

    fn fail(&self, lease: &Lease, import: ImportRow, detail: String) -> Result<Went> {
        let written = lease.write(move |context| {
            let row = ImportRow {
                state: ImportState::Failed,
                detail: Some(detail.chars().take(1000).collect()),
                finished_at: Some(context.now),
                ..advanced(context, &import)
            };
            Ok(imports::update(context.connection, &row)?)
        });
        match written {
            Err(Error::Repository(DatabaseError::Stale)) | Ok(None) => Ok(Went::Left),
            other => other.map(|_| Went::Over),
        }
    }

    fn write(
        &self,
        lease: &Lease,
        import: &ImportRow,
        portion: Arc<Portion>,
        imagined: &Arc<RwLock<Imagined>>,
    ) -> Result<Ended> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (import, portion, imagined) = (import.clone(), Arc::clone(&portion), Arc::clone(imagined));
            let before = import.clone();
            let written = lease.write_as(as_uploader(&import), move |context| {
                let imagined = imagined.read().unwrap_or_else(PoisonError::into_inner);
                let results = apply(context, &import, &portion.rows, &imagined)?;
                let row = progress(context, &import, &portion, &results);
                imports::update(context.connection, &row)?;
                Ok((row, results))
            });
            match written {
                Ok(None) => return Ok(Ended::Left),
                Ok(Some((row, results))) => return Ok(Ended::Applied(Box::new(row), results)),
                Err(error) if error.database().is_some_and(DatabaseError::is_constraint) => {
                    let id = before.id;
                    let now = self.env.database.read_blocking::<_, Error>(move |c| Ok(imports::find(c, id)?))?;
                    if now.is_none_or(|now| now.row_version != before.row_version) {
                        return Ok(Ended::Left);
                    }
                    if tries >= TRIES_MAX {
                        log::error!("import {id} from line {}: {error}", before.lines_done + 1);
                        self.fail(lease, before, "the database refused its rows again and again".into())?;
                        return Ok(Ended::Left);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies what waits, now and again and again, until the value that is answered goes away.
    pub fn start(self) -> std::io::Result<Beat> {
        let stopping = Arc::clone(&self.stopping);
        Beat::start("slipway-imports", TICK_MS, stopping, move || {
            if let Err(error) = self.run_due() {
                log::warn!("imports: {error}");
            }
        })
    }
}

/// The same import, changed now.
fn advanced(context: &WriteContext<'_>, import: &ImportRow) -> ImportRow {
    ImportRow {
        row_version: import.row_version + 1,
        updated_at: context.now,
        started_at: import.started_at.or(Some(context.now)),
        ..import.clone()
    }
}

fn progress(context: &WriteContext<'_>, import: &ImportRow, portion: &Portion, results: &[ResultRow]) -> ImportRow {
    let count = |outcome: RowOutcome| {
        i64::try_from(results.iter().filter(|row| row.outcome == outcome).count()).unwrap_or(i64::MAX)
    };
    ImportRow {
        state: if portion.is_last { ImportState::Completed } else { ImportState::Running },
        bytes_done: i64::try_from(portion.end.bytes).unwrap_or(i64::MAX),
        lines_done: portion.end.lines,
        rows_done: import.rows_done + i64::try_from(results.len()).unwrap_or_default(),
        created: import.created + count(RowOutcome::Created),
        updated: import.updated + count(RowOutcome::Updated),
        unchanged: import.unchanged + count(RowOutcome::Unchanged),
        failed: import.failed + count(RowOutcome::Failed),
        finished_at: portion.is_last.then_some(context.now),
        detail: None,
        failures: 0,
        retry_at: None,
        ..advanced(context, import)
    }
}

/// A row that was read and belongs to the next portion, with where it ends.
type Ahead = Option<(Row, Mark)>;

/// The rows that are applied together: an item is named by one of them at most.
fn next_portion(rows: &mut Rows, ahead: &mut Ahead) -> std::result::Result<Portion, Unreadable> {
    let (mut taken, mut named, mut end) = (Vec::new(), HashSet::new(), rows.mark);
    let mut begun = None;
    loop {
        let (row, mark) = match ahead.take() {
            Some(ahead) => ahead,
            None => {
                let before = rows.mark;
                match rows.read_next()? {
                    Some(row) => {
                        begun.get_or_insert(before);
                        (row, rows.mark)
                    }
                    None => return Ok(Portion { rows: taken, end: rows.mark, is_last: true }),
                }
            }
        };
        let is_new = match &row.content {
            Ok(Content::Item(item)) => {
                let (source, external_id) = item.key();
                named.insert((source.to_owned(), external_id.to_owned()))
            }
            _ => true,
        };
        let bytes = mark.bytes.saturating_sub(begun.unwrap_or(mark).bytes);
        if !is_new || taken.len() >= PORTION_ROWS_MAX || (bytes > PORTION_BYTES_MAX && !taken.is_empty()) {
            *ahead = Some((row, mark));
            return Ok(Portion { rows: taken, end, is_last: false });
        }
        end = mark;
        taken.push(row);
    }
}

/// What is applied is written as by the person who uploaded it, whose rights were judged then.
fn as_uploader(import: &ImportRow) -> Request {
    let actor = Actor {
        user_id: import.actor_id.unwrap_or(NOBODY),
        username: import.actor_name.clone(),
        global_role: Some(GlobalRole::Integration),
        memberships: Vec::new(),
        scopes: None,
        via: import.via.parse().unwrap_or(Via::Console),
    };
    Request { id: import.request_id.clone(), ..console_request(actor) }
}
