//! Applying imports: rows in portions, each in a transaction of its own with how far the import is, so that other
//! writers go on between them, and whoever goes on after a process was killed goes on exactly where it was.
//!
//! One process applies at a time, under a lease. An import that cannot be read on is over as `failed`; what was applied
//! before stays.

use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::TimeDelta;

use super::beat::Beat;
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
use crate::store::Error as StoreError;

/// A transaction applies at most so many rows.
pub const PORTION_ROWS_MAX: usize = 500;
/// Rows of so many bytes are a portion, however few they are.
const PORTION_BYTES_MAX: u64 = 1024 * 1024;
/// A service looks so often whether an import waits.
pub const TICK_MS: u64 = 1000;
/// A portion that the database refuses is tried so often: somebody may have made or deleted what it names meanwhile.
const TRIES_MAX: usize = 3;
/// Rows of a dry run that goes on are read in portions of this many.
const KEYS_PER_PORTION: i64 = 5000;
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
        let next = |env: &Env| env.database.read_blocking::<_, Error>(|c| Ok(imports::next_due(c)?));
        if self.env.store().is_err() || next(&self.env)?.is_none() {
            return Ok(over);
        }
        let Some(lease) = Lease::take(&self.env, IMPORTS, TimeDelta::zero())? else {
            return Ok(over);
        };
        let mut done = Ok(());
        while portions > 0 && self.goes_on() {
            let Some(import) = next(&self.env)? else { break };
            match self.import(&lease, import, &mut portions) {
                Ok(true) => over += 1,
                // Another process goes on with it, or the next call does.
                Ok(false) => break,
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        lease.undone()?;
        done.map(|()| over)
    }

    fn goes_on(&self) -> bool {
        !self.stopping.load(Ordering::SeqCst)
    }

    /// Goes on with an import; true where it is over.
    fn import(&self, lease: &Lease, import: ImportRow, portions: &mut usize) -> Result<bool> {
        let mut import = import;
        let imagined: Arc<RwLock<HashSet<String>>> = Arc::default();
        if import.dry_run && import.rows_done > 0 {
            self.remember_keys(import.id, &imagined)?;
        }
        let mut rows = match self.open(&import) {
            Ok(rows) => rows,
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
            let is_last = portion.is_last;
            match self.write(lease, &import, Arc::new(portion), &imagined)? {
                Ended::Left => return Ok(false),
                Ended::Applied(now, results) => {
                    import = *now;
                    if import.dry_run {
                        let made = results.into_iter().filter(|row| row.outcome == RowOutcome::Created);
                        let keys = made.filter_map(|row| row.record_key);
                        imagined.write().unwrap_or_else(PoisonError::into_inner).extend(keys);
                    }
                }
            }
            if is_last {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open(&self, import: &ImportRow) -> std::result::Result<Rows, Unreadable> {
        let Ok(store) = self.env.store().cloned() else {
            return Err(StoreError::Away("no store is set up".into()).into());
        };
        let found = store.size_blocking(&import.store_key)?;
        if i64::try_from(found) != Ok(import.size_bytes) || store.sha256_blocking(&import.store_key)? != import.sha256 {
            return Err(StoreError::Altered.into());
        }
        let mark = Mark { bytes: u64::try_from(import.bytes_done).unwrap_or_default(), lines: import.lines_done };
        let key = import.store_key.clone();
        Rows::open(import.format, self.forms, mark, move |at| -> Box<dyn Read> {
            Box::new(Upload::new(store.clone(), key.clone(), found, at))
        })
    }

    /// What the rows of a dry run that were judged before would have made.
    fn remember_keys(&self, id: ImportId, imagined: &RwLock<HashSet<String>>) -> Result<()> {
        let mut line = 0;
        loop {
            let keys = self.env.database.read_blocking::<_, Error>(move |connection| {
                Ok(imports::created_keys(connection, id, line, KEYS_PER_PORTION)?)
            })?;
            let Some((last, _)) = keys.last() else { return Ok(()) };
            line = *last;
            let mut imagined = imagined.write().unwrap_or_else(PoisonError::into_inner);
            imagined.extend(keys.into_iter().filter_map(|(_, key)| key));
        }
    }

    /// Ends an import that cannot be read on. A store that is away is tried again.
    fn give_up(&self, lease: &Lease, import: ImportRow, unreadable: Unreadable) -> Result<bool> {
        let detail = match unreadable {
            Unreadable::Store(error @ (StoreError::Missing | StoreError::Altered)) => error.to_string(),
            Unreadable::Store(error) => return Err(error.into()),
            Unreadable::Upload(detail) => detail,
        };
        self.fail(lease, import, detail)
    }

    fn fail(&self, lease: &Lease, import: ImportRow, detail: String) -> Result<bool> {
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
            Err(Error::Repository(DatabaseError::Stale)) | Ok(None) => Ok(false),
            other => other.map(|_| true),
        }
    }

    fn write(
        &self,
        lease: &Lease,
        import: &ImportRow,
        portion: Arc<Portion>,
        imagined: &Arc<RwLock<HashSet<String>>>,
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
