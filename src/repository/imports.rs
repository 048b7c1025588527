//! Imports: uploads of many configuration items and relationships, how far they are, and what became of every row.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, columns};
use super::pages;
use super::schema::{import_results, imports};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// An import.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = imports, treat_none_as_default_value = false)]
pub struct ImportRow {
    /// Identifier.
    pub id: ImportId,
    /// Format of the upload.
    pub format: ImportFormat,
    /// Name of the file, where one is known.
    pub name: Option<String>,
    /// True where every row is judged and none is stored.
    pub dry_run: bool,
    /// Its state.
    pub state: ImportState,
    /// Why it cannot go on, or why it did not the last time, in words.
    pub detail: Option<String>,
    /// Size of the upload.
    pub size_bytes: i64,
    /// SHA-256 of the upload, in hexadecimal.
    pub sha256: String,
    /// Where the upload is in the store.
    pub store_key: String,
    /// Where the first row begins that was not looked at.
    pub bytes_done: i64,
    /// Lines before that.
    pub lines_done: i64,
    /// Rows that were looked at.
    pub rows_done: i64,
    /// Rows that made a record.
    pub created: i64,
    /// Rows that changed one.
    pub updated: i64,
    /// Rows that said what was there already.
    pub unchanged: i64,
    /// Rows that were refused.
    pub failed: i64,
    /// Who uploaded it; none for the machine itself.
    pub actor_id: Option<UserId>,
    /// Their login name.
    pub actor_name: String,
    /// How they had proved who they are.
    pub via: String,
    /// The request of the upload.
    pub request_id: String,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its first row was looked at.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// When its upload was taken out of the store.
    pub content_removed_at: Option<Timestamp>,
    /// How often in a row it ended with a fault of the service and not of its own.
    pub failures: i64,
    /// It is not gone on with before, where it failed.
    pub retry_at: Option<Timestamp>,
    /// Since when it is not told any more what became of its rows.
    pub results_expired_at: Option<Timestamp>,
    /// When the last of that was deleted.
    pub results_removed_at: Option<Timestamp>,
}

/// What became of a row of an import.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = import_results, treat_none_as_default_value = false)]
pub struct ResultRow {
    /// The import.
    pub import_id: ImportId,
    /// The line on which the row begins, from 1.
    pub line: i64,
    /// What became of it.
    pub outcome: RowOutcome,
    /// What it is a row of, where it says so.
    pub kind: Option<ImportedKind>,
    /// The keys that it names, as text.
    pub record_key: Option<String>,
    /// The record that it made, changed or found.
    pub record_id: Option<String>,
    /// What is wrong with it, as the `errors` of a problem, in JSON.
    pub errors: Option<String>,
}

/// The list of imports.
pub const LIST: ListSpec = ListSpec {
    name: "imports",
    from: "imports",
    id: "imports.id",
    filters: &[
        Filter {
            name: "state",
            kind: Kind::OneOf(ImportState::NAMES),
            sql: Sql::Column("imports.state"),
            doc: "Those in one of these states.",
        },
        Filter {
            name: "actor",
            kind: Kind::Id,
            sql: Sql::Column("imports.actor_id"),
            doc: "Those that one of these users uploaded.",
        },
    ],
    sorts: &[Sort { name: "created_at", column: "imports.created_at", kind: SortKind::Instant }],
    default_sort: "-created_at",
};

/// The list of the rows of an import.
pub const RESULTS: ListSpec = ListSpec {
    name: "import results",
    from: "import_results",
    id: "import_results.import_id",
    filters: &[
        Filter { name: "import_id", kind: Kind::Id, sql: Sql::Column("import_results.import_id"), doc: "" },
        Filter {
            name: "outcome",
            kind: Kind::OneOf(RowOutcome::NAMES),
            sql: Sql::Column("import_results.outcome"),
            doc: "Those with one of these outcomes.",
        },
    ],
    sorts: &[Sort { name: "line", column: "import_results.line", kind: SortKind::Integer }],
    default_sort: "line",
};

/// Answers a page of imports.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<ImportRow>, Error> {
    pages::page(connection, imports::all_columns, &LIST, query, &Visibility::Everything, now)
}

/// Answers a page of the rows of an import.
pub fn results(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<ResultRow>, Error> {
    pages::page(connection, import_results::all_columns, &RESULTS, query, &Visibility::Everything, now)
}

/// Finds an import.
pub fn find(connection: &mut AnyConnection, id: ImportId) -> Result<Option<ImportRow>, Error> {
    Ok(imports::table.find(id).first(connection).optional()?)
}

/// How many imports wait or are being applied.
pub fn count_open(connection: &mut AnyConnection) -> Result<i64, Error> {
    Ok(imports::table
        .filter(imports::state.eq_any([ImportState::Queued, ImportState::Running]))
        .count()
        .get_result(connection)?)
}

/// The import to go on with: the one that was begun, else the one that waits longest. One that failed lets others go
/// first for a while.
pub fn next_due(connection: &mut AnyConnection, now: Timestamp) -> Result<Option<ImportRow>, Error> {
    for state in [ImportState::Running, ImportState::Queued] {
        let found: Option<ImportRow> = imports::table
            .filter(imports::state.eq(state))
            .filter(imports::retry_at.is_null().or(imports::retry_at.le(now).assume_not_null()))
            .order((imports::created_at.asc(), imports::id.asc()))
            .first(connection)
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Stores a new import.
pub fn insert(connection: &mut AnyConnection, row: &ImportRow) -> Result<(), Error> {
    diesel::insert_into(imports::table).values(row).execute(connection)?;
    Ok(())
}

/// Stores how far an import is, over the version before it; [`Error::Stale`] where that is not there: it was
/// cancelled, or another process went on with it.
pub fn update(connection: &mut AnyConnection, row: &ImportRow) -> Result<(), Error> {
    let hit = diesel::update(of_version!(imports, row.id, row.row_version - 1))
        .set((
            (
                imports::state.eq(row.state),
                imports::detail.eq(&row.detail),
                imports::bytes_done.eq(row.bytes_done),
                imports::lines_done.eq(row.lines_done),
                imports::rows_done.eq(row.rows_done),
            ),
            (
                imports::created.eq(row.created),
                imports::updated.eq(row.updated),
                imports::unchanged.eq(row.unchanged),
                imports::failed.eq(row.failed),
            ),
            imports::row_version.eq(row.row_version),
            imports::updated_at.eq(row.updated_at),
            imports::started_at.eq(row.started_at),
            imports::finished_at.eq(row.finished_at),
            imports::failures.eq(row.failures),
            imports::retry_at.eq(row.retry_at),
            imports::results_expired_at.eq(row.results_expired_at),
        ))
        .execute(connection)?;
    one_row(hit)
}

/// Stores what became of rows.
pub fn insert_results(connection: &mut AnyConnection, rows: &Vec<ResultRow>) -> Result<(), Error> {
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            for row in rows {
                diesel::insert_into(import_results::table).values(row).execute(sqlite)?;
            }
        }
        AnyConnection::Postgres(postgres) if !rows.is_empty() => {
            diesel::copy_from(import_results::table).from_insertable(rows).execute(postgres)?;
        }
        AnyConnection::Postgres(_) => {}
    }
    Ok(())
}

/// The lines behind a line whose rows failed, at most so many, in order.
pub fn failed_lines(
    connection: &mut AnyConnection,
    id: ImportId,
    after_line: i64,
    rows: i64,
) -> Result<Vec<i64>, Error> {
    Ok(import_results::table
        .filter(import_results::import_id.eq(id))
        .filter(import_results::outcome.eq(RowOutcome::Failed))
        .filter(import_results::line.gt(after_line))
        .order(import_results::line.asc())
        .limit(rows)
        .select(import_results::line)
        .load(connection)?)
}

/// The first rows of an import that failed, at most so many.
pub fn first_failed(connection: &mut AnyConnection, id: ImportId, rows: i64) -> Result<Vec<ResultRow>, Error> {
    Ok(import_results::table
        .filter(import_results::import_id.eq(id))
        .filter(import_results::outcome.eq(RowOutcome::Failed))
        .order(import_results::line.asc())
        .limit(rows)
        .load(connection)?)
}

/// At most so many imports that were over at an instant or before, and whose upload is still in the store.
pub fn to_collect(
    connection: &mut AnyConnection,
    until: Timestamp,
    rows: i64,
) -> Result<Vec<(ImportId, String)>, Error> {
    Ok(imports::table
        .filter(imports::finished_at.is_not_null())
        .filter(imports::finished_at.le(until))
        .filter(imports::content_removed_at.is_null())
        .order(imports::finished_at.asc())
        .limit(rows)
        .select((imports::id, imports::store_key))
        .load(connection)?)
}

/// Notes that the uploads of imports that are over are in the store no more.
pub fn content_removed(connection: &mut AnyConnection, ids: &[ImportId], now: Timestamp) -> Result<usize, Error> {
    Ok(diesel::update(imports::table.filter(imports::id.eq_any(ids)).filter(imports::finished_at.is_not_null()))
        .set(imports::content_removed_at.eq(now))
        .execute(connection)?)
}

/// An import that was over at an instant or before, and of whose rows something is still stored.
pub fn to_forget(connection: &mut AnyConnection, until: Timestamp) -> Result<Option<ImportRow>, Error> {
    Ok(imports::table
        .filter(imports::finished_at.is_not_null())
        .filter(imports::finished_at.le(until))
        .filter(imports::results_removed_at.is_null())
        .order(imports::finished_at.asc())
        .first(connection)
        .optional()?)
}

/// Deletes what became of at most so many rows of an import; answers of how many.
pub fn delete_results(connection: &mut AnyConnection, id: ImportId, rows: i64) -> Result<usize, Error> {
    let query = diesel::sql_query(
        "DELETE FROM import_results WHERE import_id = $1 AND line IN \
         (SELECT line FROM import_results WHERE import_id = $1 ORDER BY line LIMIT $2)",
    )
    .bind::<Text, _>(id)
    .bind::<BigInt, _>(rows);
    Ok(on_either!(connection, own => query.execute(own))?)
}

/// Notes that nothing is stored any more of what became of the rows of an import.
pub fn results_removed(connection: &mut AnyConnection, id: ImportId, now: Timestamp) -> Result<(), Error> {
    diesel::update(imports::table.find(id)).set(imports::results_removed_at.eq(now)).execute(connection)?;
    Ok(())
}

/// Which of the keys belong to an import whose upload should be in the store.
pub fn wanted_keys(connection: &mut AnyConnection, keys: &[String]) -> Result<Vec<String>, Error> {
    let select = Select::new(columns::<Text>("store_key FROM imports WHERE content_removed_at IS NULL AND")).is_among(
        connection,
        "store_key",
        keys,
    );
    Ok(on_either!(connection, own => select.load(own))?)
}

/// What the store should hold of an import that is not over: key, size and SHA-256.
pub type Wanted = (ImportId, String, i64, String);

/// What the store should hold of imports that are not over, at most so many behind an identifier, in order.
pub fn wanted(connection: &mut AnyConnection, after: Option<ImportId>, rows: i64) -> Result<Vec<Wanted>, Error> {
    let mut query = imports::table
        .filter(imports::state.eq_any([ImportState::Queued, ImportState::Running]))
        .select((imports::id, imports::store_key, imports::size_bytes, imports::sha256))
        .order(imports::id.asc())
        .limit(rows)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(imports::id.gt(after));
    }
    Ok(query.load(connection)?)
}
