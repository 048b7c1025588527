//! What is noted on activities: time spent, and comments.

use diesel::prelude::*;
use diesel::sql_types::{Text, Timestamp as SqlTimestamp};

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Sort, SortKind, Sql, columns};
use super::pages;
use super::releases::move_chain;
use super::schema::{activities, activity_comments, activity_time_entries, users};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// An activity has at most so many time entries; the list answers them all.
pub const TIME_ENTRIES_MAX: i64 = 200;
/// An activity has at most so many comments.
pub const COMMENTS_MAX: i64 = 5_000;

/// Time spent on an activity.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = activity_time_entries, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct TimeEntryRow {
    /// Identifier.
    pub id: TimeEntryId,
    /// The activity.
    pub activity_id: ActivityId,
    /// Who spent it.
    pub user_id: UserId,
    /// How long.
    pub minutes: i64,
    /// From when on.
    pub started_at: Option<Timestamp>,
    /// What was done.
    pub note: Option<String>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was noted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The time entries of an activity, oldest first.
pub fn time_entries(connection: &mut AnyConnection, activity: ActivityId) -> Result<Vec<TimeEntryRow>, Error> {
    Ok(activity_time_entries::table
        .filter(activity_time_entries::activity_id.eq(activity))
        .order(activity_time_entries::id.asc())
        .load(connection)?)
}

/// Adds to the time spent on an activity; the stamp goes to the chain of its release.
fn add_minutes(
    connection: &mut AnyConnection,
    release: ReleaseId,
    activity: ActivityId,
    minutes: i64,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::update(activities::table.find(activity))
        .set(activities::minutes_spent.eq(activities::minutes_spent + minutes))
        .execute(connection)?;
    move_chain(connection, release, stamp)
}

/// Stores a time entry.
pub fn insert_time_entry(
    connection: &mut AnyConnection,
    release: ReleaseId,
    entry: &TimeEntryRow,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::insert_into(activity_time_entries::table).values(entry).execute(connection)?;
    add_minutes(connection, release, entry.activity_id, entry.minutes, stamp)
}

/// Stores a corrected time entry over the version before it; [`Error::Stale`] where that is not there.
pub fn update_time_entry(
    connection: &mut AnyConnection,
    release: ReleaseId,
    before: &TimeEntryRow,
    after: &TimeEntryRow,
    stamp: &Stamp,
) -> Result<(), Error> {
    let hit = diesel::update(of_version!(activity_time_entries, after.id, before.row_version))
        .set(after)
        .execute(connection)?;
    one_row(hit)?;
    add_minutes(connection, release, after.activity_id, after.minutes - before.minutes, stamp)
}

/// Removes a time entry of this version; [`Error::Stale`] where that is not there.
pub fn delete_time_entry(
    connection: &mut AnyConnection,
    release: ReleaseId,
    entry: &TimeEntryRow,
    stamp: &Stamp,
) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(activity_time_entries, entry.id, entry.row_version)).execute(connection)?;
    one_row(hit)?;
    add_minutes(connection, release, entry.activity_id, -entry.minutes, stamp)
}

/// A comment on an activity, with the name of who wrote it.
#[derive(Debug, Clone, Queryable)]
pub struct Comment {
    /// Identifier.
    pub id: ActivityCommentId,
    /// The activity.
    pub activity_id: ActivityId,
    /// Who wrote it.
    pub author_id: UserId,
    /// Their name.
    pub author_name: String,
    /// What they wrote.
    pub body: String,
    /// When.
    pub created_at: Timestamp,
}

/// The comments on one activity.
pub const COMMENTS: ListSpec = ListSpec {
    name: "activity_comments",
    from: "activity_comments JOIN users ON users.id = activity_comments.author_id",
    id: "activity_comments.id",
    filters: &[Filter {
        name: "activity_id",
        kind: Kind::Id,
        sql: Sql::Column("activity_comments.activity_id"),
        doc: "",
    }],
    sorts: &[Sort { name: "created_at", column: "activity_comments.created_at", kind: SortKind::Instant }],
    default_sort: "-created_at",
};

/// Answers a page of comments.
pub fn comments(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<Comment>, Error> {
    let selection = columns::<(Text, Text, Text, Text, Text, SqlTimestamp)>(
        "activity_comments.id, activity_comments.activity_id, activity_comments.author_id, users.name, \
         activity_comments.body, activity_comments.created_at",
    );
    pages::page(connection, selection, &COMMENTS, query, &Visibility::Everything, now)
}

/// Finds a comment on an activity.
pub fn comment(
    connection: &mut AnyConnection,
    activity: ActivityId,
    id: ActivityCommentId,
) -> Result<Option<Comment>, Error> {
    Ok(activity_comments::table
        .inner_join(users::table)
        .filter(activity_comments::id.eq(id))
        .filter(activity_comments::activity_id.eq(activity))
        .select((
            activity_comments::id,
            activity_comments::activity_id,
            activity_comments::author_id,
            users::name,
            activity_comments::body,
            activity_comments::created_at,
        ))
        .first(connection)
        .optional()?)
}

/// Appends a comment; the stamp goes to the chain of the release.
pub fn insert_comment(
    connection: &mut AnyConnection,
    release: ReleaseId,
    comment: &Comment,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::insert_into(activity_comments::table)
        .values((
            activity_comments::id.eq(comment.id),
            activity_comments::activity_id.eq(comment.activity_id),
            activity_comments::author_id.eq(comment.author_id),
            activity_comments::body.eq(&comment.body),
            activity_comments::created_at.eq(comment.created_at),
        ))
        .execute(connection)?;
    diesel::update(activities::table.find(comment.activity_id))
        .set(activities::comment_count.eq(activities::comment_count + 1))
        .execute(connection)?;
    move_chain(connection, release, stamp)
}
