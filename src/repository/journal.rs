//! What a use case writes besides records that are read again in the same transaction: it is collected, and written
//! at the end of the transaction.
//!
//! On PostgreSQL, a network away, all of it is one statement; on SQLite it is one statement after the other.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};

use super::activities::{self, ActivityRow};
use super::audit::{self, AuditRow, Entry, EventRow, Stamp};
use super::changes::LinkRow;
use super::connection::AnyConnection;
use super::error::Error;
use super::idempotency::KeptAnswer;
use super::release_row::{ReleaseRow, ReleaseUpdate};
use super::releases::{DependencyRow, TagRow, VisibilityRow};
use super::roles::RoleRow;
use super::schema;
use super::transitions::TransitionRow;
use crate::domain::release::ChainHead;
use crate::mutants::mutant;

/// One row to be written.
enum Row {
    Release(Box<ReleaseRow>),
    Visibility(VisibilityRow),
    Tag(TagRow),
    Dependency(DependencyRow),
    Link(LinkRow),
    Role(Box<RoleRow>),
    Activity(Box<ActivityRow>),
    ActivityTag(activities::TagRow),
    ActivityDependency(activities::DependencyRow),
    Audit(Box<AuditRow>),
    Event(EventRow),
    Transition(Box<TransitionRow>),
    Answer(Box<KeptAnswer>),
}

/// Statements of more rows than this are not kept prepared: they take too many shapes.
const PREPARED_ROWS_MAX: usize = 12;

/// One statement of PostgreSQL takes at most so many rows: its parameters are numbered with 16 bits.
const STATEMENT_ROWS_MAX: usize = 200;

/// What is to be written at the end of the transaction.
#[derive(Default)]
pub struct Journal {
    rows: Vec<Row>,
    update: Option<Box<ReleaseUpdate>>,
}

impl Journal {
    /// Appends an audit row behind `head`, and the event row that goes with it.
    pub fn append(&mut self, head: &ChainHead, entry: Entry) -> Stamp {
        let (audit, event, stamp) = audit::chained(head, entry);
        let audit = if mutant("audit_outside_transaction") { late(audit) } else { Some(audit) };
        self.rows.extend(audit.map(|audit| Row::Audit(Box::new(audit))));
        self.rows.extend(event.filter(|_| !mutant("event_dropped")).map(Row::Event));
        stamp
    }

    /// Keeps an answer under its key.
    pub fn keep(&mut self, answer: KeptAnswer) {
        self.rows.push(Row::Answer(Box::new(answer)));
    }

    pub(super) fn release(&mut self, row: ReleaseRow) {
        self.rows.push(Row::Release(Box::new(row)));
    }

    pub(super) fn visibility(&mut self, row: VisibilityRow) {
        self.rows.push(Row::Visibility(row));
    }

    pub(super) fn tag(&mut self, row: TagRow) {
        self.rows.push(Row::Tag(row));
    }

    pub(super) fn dependency(&mut self, row: DependencyRow) {
        self.rows.push(Row::Dependency(row));
    }

    pub(super) fn link(&mut self, row: LinkRow) {
        self.rows.push(Row::Link(row));
    }

    pub(super) fn role(&mut self, row: RoleRow) {
        self.rows.push(Row::Role(Box::new(row)));
    }

    pub(super) fn activity(&mut self, row: ActivityRow) {
        self.rows.push(Row::Activity(Box::new(row)));
    }

    pub(super) fn activity_tag(&mut self, row: activities::TagRow) {
        self.rows.push(Row::ActivityTag(row));
    }

    pub(super) fn activity_dependency(&mut self, row: activities::DependencyRow) {
        self.rows.push(Row::ActivityDependency(row));
    }

    pub(super) fn transition(&mut self, row: TransitionRow) {
        self.rows.push(Row::Transition(Box::new(row)));
    }

    /// Takes the guarded update of a release; one before it is written first.
    pub(super) fn update(&mut self, connection: &mut AnyConnection, update: ReleaseUpdate) -> Result<(), Error> {
        if self.update.is_some() {
            self.write(connection)?;
        }
        self.update = Some(Box::new(update));
        Ok(())
    }

    /// Writes what was collected. [`Error::Stale`] where a guarded update hits nothing, or another transaction kept
    /// an answer under the same key first.
    pub fn write(&mut self, connection: &mut AnyConnection) -> Result<(), Error> {
        let (rows, update) = (std::mem::take(&mut self.rows), self.update.take());
        let written = match connection {
            AnyConnection::Sqlite(sqlite) => one_by_one(sqlite, &rows, update.as_deref()),
            AnyConnection::Postgres(postgres) => all_at_once(postgres, rows, update.as_deref()),
        };
        written.map_err(|error| match error {
            Error::Unique { index } if index.starts_with("idempotency_keys") => Error::Stale,
            other => other,
        })
    }
}

/// The mutant `audit_outside_transaction`: the row that was to be written the last time.
fn late(row: AuditRow) -> Option<AuditRow> {
    thread_local!(static LATE: std::cell::RefCell<Option<AuditRow>> = const { std::cell::RefCell::new(None) });
    LATE.replace(Some(row))
}

fn one_by_one(sqlite: &mut SqliteConnection, rows: &[Row], update: Option<&ReleaseUpdate>) -> Result<(), Error> {
    if let Some(update) = update
        && update.execute(sqlite)? != 1
    {
        return Err(Error::Stale);
    }
    for row in rows {
        match row {
            Row::Release(row) => diesel::insert_into(schema::releases::table).values(&**row).execute(sqlite)?,
            Row::Visibility(row) => {
                diesel::insert_into(schema::release_visibility::table).values(row).execute(sqlite)?
            }
            Row::Tag(row) => diesel::insert_into(schema::release_tags::table).values(row).execute(sqlite)?,
            Row::Dependency(row) => {
                diesel::insert_into(schema::release_dependencies::table).values(row).execute(sqlite)?
            }
            Row::Link(row) => diesel::insert_into(schema::release_changes::table).values(row).execute(sqlite)?,
            Row::Role(row) => diesel::insert_into(schema::release_roles::table).values(&**row).execute(sqlite)?,
            Row::Activity(row) => diesel::insert_into(schema::activities::table).values(&**row).execute(sqlite)?,
            Row::ActivityTag(row) => diesel::insert_into(schema::activity_tags::table).values(row).execute(sqlite)?,
            Row::ActivityDependency(row) => {
                diesel::insert_into(schema::activity_dependencies::table).values(row).execute(sqlite)?
            }
            Row::Audit(row) => diesel::insert_into(schema::audit::table).values(&**row).execute(sqlite)?,
            Row::Event(row) => diesel::insert_into(schema::events::table).values(row).execute(sqlite)?,
            Row::Transition(row) => diesel::insert_into(schema::transitions::table).values(&**row).execute(sqlite)?,
            Row::Answer(row) => diesel::insert_into(schema::idempotency_keys::table).values(&**row).execute(sqlite)?,
        };
    }
    Ok(())
}

type Fragment<'r> = Box<dyn QueryFragment<Pg> + 'r>;

fn all_at_once(postgres: &mut PgConnection, rows: Vec<Row>, update: Option<&ReleaseUpdate>) -> Result<(), Error> {
    let rows = if rows.len() > STATEMENT_ROWS_MAX { copy_history(postgres, rows)? } else { rows };
    let rows = rows.as_slice();
    // The guarded update goes with the last rows.
    let (before, rows) = match rows.len().checked_sub(1).map(|last| last / STATEMENT_ROWS_MAX * STATEMENT_ROWS_MAX) {
        Some(start) => rows.split_at(start),
        None => (rows, rows),
    };
    for portion in before.chunks(STATEMENT_ROWS_MAX) {
        together(postgres, portion, None)?;
    }
    together(postgres, rows, update)
}

/// Copies in the history of many records; answers the other rows.
fn copy_history(postgres: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Row>, Error> {
    let (mut audit, mut events, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        match row {
            Row::Audit(row) => audit.push(*row),
            Row::Event(row) => events.push(row),
            other => others.push(other),
        }
    }
    diesel::copy_from(schema::audit::table).from_insertable(&audit).execute(postgres)?;
    if !events.is_empty() {
        diesel::copy_from(schema::events::table).from_insertable(&events).execute(postgres)?;
    }
    Ok(others)
}

fn together(postgres: &mut PgConnection, rows: &[Row], update: Option<&ReleaseUpdate>) -> Result<(), Error> {
    let mut parts: Vec<Fragment<'_>> = rows
        .iter()
        .map(|row| -> Fragment<'_> {
            match row {
                Row::Release(row) => Box::new(diesel::insert_into(schema::releases::table).values(&**row)),
                Row::Visibility(row) => Box::new(diesel::insert_into(schema::release_visibility::table).values(row)),
                Row::Tag(row) => Box::new(diesel::insert_into(schema::release_tags::table).values(row)),
                Row::Dependency(row) => Box::new(diesel::insert_into(schema::release_dependencies::table).values(row)),
                Row::Link(row) => Box::new(diesel::insert_into(schema::release_changes::table).values(row)),
                Row::Role(row) => Box::new(diesel::insert_into(schema::release_roles::table).values(&**row)),
                Row::Activity(row) => Box::new(diesel::insert_into(schema::activities::table).values(&**row)),
                Row::ActivityTag(row) => Box::new(diesel::insert_into(schema::activity_tags::table).values(row)),
                Row::ActivityDependency(row) => {
                    Box::new(diesel::insert_into(schema::activity_dependencies::table).values(row))
                }
                Row::Audit(row) => Box::new(diesel::insert_into(schema::audit::table).values(&**row)),
                Row::Event(row) => Box::new(diesel::insert_into(schema::events::table).values(row)),
                Row::Transition(row) => Box::new(diesel::insert_into(schema::transitions::table).values(&**row)),
                Row::Answer(row) => Box::new(diesel::insert_into(schema::idempotency_keys::table).values(&**row)),
            }
        })
        .collect();
    parts.extend(update.map(|update| Box::new(update) as Fragment<'_>));
    let Some(last) = parts.pop() else { return Ok(()) };
    let written = Together { first: parts, last }.execute(postgres)?;
    // Foreign keys are judged at the end of the statement, so the order of its parts does not matter.
    if update.is_some() && written != 1 { Err(Error::Stale) } else { Ok(()) }
}

/// Several statements as one; its count is that of the last.
struct Together<'r> {
    first: Vec<Fragment<'r>>,
    last: Fragment<'r>,
}

impl QueryFragment<Pg> for Together<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if self.first.len() >= PREPARED_ROWS_MAX {
            out.unsafe_to_cache_prepared();
        }
        for (index, part) in self.first.iter().enumerate() {
            out.push_sql(if index == 0 { "WITH w" } else { ", w" });
            out.push_sql(&index.to_string());
            out.push_sql(" AS (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(")");
        }
        out.push_sql(" ");
        self.last.walk_ast(out)
    }
}

impl QueryId for Together<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for Together<'_> {}
