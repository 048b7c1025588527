//! Boards of releases: activities as cards.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp as SqlTimestamp};

use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::listing::{Select, SqlValue, columns};
use crate::domain::values::*;

/// A card of a board: what a board shows of an activity.
#[derive(Debug, Clone, Queryable)]
pub struct Card {
    /// The activity.
    pub id: ActivityId,
    /// Its column.
    pub status: ActivityStatus,
    /// Sorts the cards of a column.
    pub position: String,
    /// Its title.
    pub title: String,
    /// Its kind.
    pub kind: ActivityKind,
    /// The user who is to do it.
    pub assignee_id: Option<UserId>,
    /// Their name.
    pub assignee_name: Option<String>,
    /// The group that is to do it.
    pub group_id: Option<GroupId>,
    /// Its name.
    pub group_name: Option<String>,
    /// When it is to begin.
    pub scheduled_start: Option<Timestamp>,
    /// When it is to be finished.
    pub due_at: Option<Timestamp>,
    /// How long it is to take.
    pub estimated_minutes: Option<i64>,
    /// The sum of its time entries.
    pub minutes_spent: i64,
    /// The number of its comments.
    pub comment_count: i64,
    /// Items of its checklist that are done.
    pub checklist_done: i64,
    /// Items of its checklist.
    pub checklist_total: i64,
    /// Tags.
    pub tags: Json<Vec<String>>,
    /// Activities that it depends on and that are not finished.
    pub waiting_for: i64,
    /// Version of the activity.
    pub row_version: i64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

type CardColumns = (
    Text,
    Text,
    Text,
    Text,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<SqlTimestamp>,
    Nullable<SqlTimestamp>,
    Nullable<BigInt>,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Text,
    BigInt,
    BigInt,
    SqlTimestamp,
);

/// The cards of a board, column by column, in order: one statement, whatever there is on them. What a card waits for is
/// looked up card by card and one by one, each by its key: of a join a planner that knows little of the tables may begin
/// at the wrong end.
pub fn board(connection: &mut AnyConnection, release: ReleaseId, phase: ActivityPhase) -> Result<Vec<Card>, Error> {
    let select = Select::new(columns::<CardColumns>(
        "a.id, a.status, a.position, a.title, a.kind, a.assignee_id, u.name, a.group_id, g.name, a.scheduled_start, \
         a.due_at, a.estimated_minutes, a.minutes_spent, a.comment_count, a.checklist_done, a.checklist_total, a.tags, \
         (SELECT COUNT(*) FROM activity_dependencies d WHERE d.activity_id = a.id AND (SELECT t.archived_at IS NULL \
         AND t.status IN ('todo', 'in_progress') FROM activities t WHERE t.id = d.depends_on_id)), \
         a.row_version, a.updated_at FROM activities a \
         LEFT JOIN users u ON u.id = a.assignee_id LEFT JOIN \"groups\" g ON g.id = a.group_id \
         WHERE a.archived_at IS NULL AND a.release_id =",
    ))
    .sql(" ")
    .bind(SqlValue::Text(release.to_string()))
    .sql(" AND a.phase = ")
    .bind(SqlValue::Text(phase.to_string()))
    .sql(" ORDER BY a.position");
    Ok(on_either!(connection, own => select.load(own))?)
}
