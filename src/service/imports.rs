//! Imports of configuration items and relationships: taken in, told of and cancelled. [`super::importing`] applies them.

use std::io::Read;
use std::sync::Arc;

use super::configuration_items::of_item;
use super::setup::{NOBODY, console, console_request};
use super::{Env, Error, ReadContext, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::imports::{self, ImportRow, RESULTS, ResultRow};
use crate::repository::listing::{ListQuery, Rows};
use crate::store::{Seal, fresh_key};

/// An upload has at most so many bytes.
pub const IMPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// An upload has at most so many rows.
pub const IMPORT_ROWS_MAX: i64 = 2_000_000;
/// So many imports wait or are being applied at the same time.
pub const IMPORTS_OPEN_MAX: i64 = 20;
/// What became of the rows of an import is kept so long, unless the settings say otherwise.
pub const RESULTS_KEPT_DAYS: i64 = 30;

/// An upload that is in the store.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// Its format.
    pub format: ImportFormat,
    /// Name of the file, where one is known.
    pub name: Option<String>,
    /// True where every row is judged and none is stored.
    pub dry_run: bool,
    /// Where it is in the store.
    pub key: String,
    /// What came.
    pub seal: Seal,
}

/// Whether the caller, who is answered, may import at all: asked before a byte is read.
pub fn may_import(context: &mut ReadContext<'_>) -> Result<UserId> {
    context.authorise(Access::Integration)?;
    demand_room(context)?;
    Ok(context.actor.user_id)
}

fn demand_room(context: &mut ReadContext<'_>) -> Result<()> {
    if imports::count_open(context.connection)? < IMPORTS_OPEN_MAX {
        return Ok(());
    }
    let detail = format!("{IMPORTS_OPEN_MAX} imports wait or are being applied; cancel one, or wait.");
    Err(Error::conflict("LIMIT_REACHED", detail))
}

/// The key under which an upload is received.
pub fn new_key(env: &Env) -> String {
    fresh_key(env.new_id(env.now()))
}

/// Lets an upload wait for being applied. What is applied is written as by the caller, whose rights are judged now.
pub fn add(context: &mut WriteContext<'_>, new: &NewImport) -> Result<ImportRow> {
    context.authorise(Access::Integration)?;
    demand_room(context)?;
    let row = ImportRow {
        id: ImportId::new(context.env.new_id(context.now)),
        format: new.format,
        name: new.name.clone(),
        dry_run: new.dry_run,
        state: ImportState::Queued,
        detail: None,
        size_bytes: i64::try_from(new.seal.size_bytes).unwrap_or(i64::MAX),
        sha256: new.seal.sha256.clone(),
        store_key: new.key.clone(),
        bytes_done: 0,
        lines_done: 0,
        rows_done: 0,
        created: 0,
        updated: 0,
        unchanged: 0,
        failed: 0,
        actor_id: (context.actor.user_id != NOBODY).then_some(context.actor.user_id),
        actor_name: context.actor.username.clone(),
        via: context.actor.via.to_string(),
        request_id: context.request.id.clone(),
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
        started_at: None,
        finished_at: None,
        content_removed_at: None,
        failures: 0,
        retry_at: None,
        results_expired_at: None,
        results_removed_at: None,
    };
    imports::insert(context.connection, &row)?;
    Ok(row)
}

/// A page of imports.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<Rows<ImportRow>> {
    context.authorise(Access::Read)?;
    Ok(imports::page(context.connection, query, context.now)?)
}

/// An import.
pub fn read(context: &mut ReadContext<'_>, id: ImportId) -> Result<ImportRow> {
    context.authorise(Access::Read)?;
    found(context, id)
}

fn found(context: &mut ReadContext<'_>, id: ImportId) -> Result<ImportRow> {
    imports::find(context.connection, id)?.ok_or(Error::NotFound("import"))
}

/// A page of what became of the rows of an import, as long as that is kept.
pub fn results(context: &mut ReadContext<'_>, id: ImportId, mut query: ListQuery) -> Result<Rows<ResultRow>> {
    if let Some(at) = read(context, id)?.results_expired_at {
        return Err(Error::ResultsExpired(at));
    }
    of_item(&RESULTS, "import_id", id, &mut query);
    Ok(imports::results(context.connection, &query, context.now)?)
}

/// Stops an import. What was applied before stays.
pub fn cancel(context: &mut WriteContext<'_>, id: ImportId) -> Result<ImportRow> {
    let mut row = found(context, id)?;
    context.authorise(Access::Integration)?;
    context.request.if_match.honour(row.row_version)?;
    if row.state.is_over() {
        return Err(Error::conflict("IMPORT_OVER", format!("The import is `{}`.", row.state)));
    }
    row.state = ImportState::Cancelled;
    row.finished_at = Some(context.now);
    row.updated_at = context.now;
    row.row_version += 1;
    // Where it went on meanwhile, this runs again.
    imports::update(context.connection, &row)?;
    Ok(row)
}

/// Forgets what became of the rows of imports that were over at an instant: at most so many rows, an import counting as
/// one. The import itself stays, and says so; answers how many rows were forgotten.
pub fn forget_results(context: &mut WriteContext<'_>, until: Timestamp, rows: i64) -> Result<usize> {
    let (mut left, now) = (rows, context.now);
    while left > 0 {
        let Some(mut row) = imports::to_forget(context.connection, until)? else { break };
        if row.results_expired_at.is_none() {
            row.results_expired_at = Some(now);
            row.updated_at = now;
            row.row_version += 1;
            imports::update(context.connection, &row)?;
        }
        let deleted = imports::delete_results(context.connection, row.id, left)?;
        let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
        if deleted < left {
            imports::results_removed(context.connection, row.id, now)?;
        }
        left -= deleted.max(1);
    }
    Ok(usize::try_from(rows - left).unwrap_or_default())
}

/// Takes a file in on the machine itself, and lets it wait for being applied.
pub fn take_file(
    env: &Arc<Env>,
    source: &mut impl Read,
    (format, name, dry_run): (ImportFormat, Option<String>, bool),
) -> Result<ImportRow> {
    let key = new_key(env);
    let seal = env.store()?.put_from_blocking(&key, source)?;
    let new = NewImport { format, name, dry_run, key, seal };
    env.write_blocking(console_request(console()), move |context| add(context, &new))
}

/// How far an import is, on the machine itself.
pub fn progress_of(env: &Env, id: ImportId) -> Result<ImportRow> {
    let row = env.database.read_blocking::<_, Error>(move |connection| Ok(imports::find(connection, id)?))?;
    row.ok_or(Error::NotFound("import"))
}

/// The first rows that failed, at most so many: the line, the keys that the row names, and what is wrong with it.
pub fn first_failed(env: &Env, id: ImportId, rows: i64) -> Result<Vec<(i64, Option<String>, String)>> {
    let failed =
        env.database.read_blocking::<_, Error>(move |connection| Ok(imports::first_failed(connection, id, rows)?))?;
    Ok(failed.into_iter().map(|row| (row.line, row.record_key, row.errors.unwrap_or_default())).collect())
}
