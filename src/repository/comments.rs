//! The discussion of releases. Comments are only added.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::Error;
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Sort, SortKind, Sql};
use super::pages;
use super::releases::move_chain;
use super::schema::release_comments;
use crate::domain::policy::Visibility;
use crate::domain::values::{ReleaseCommentId, ReleaseId, Timestamp, UserId};

/// A comment on a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_comments, treat_none_as_default_value = false)]
pub struct CommentRow {
    /// Identifier.
    pub id: ReleaseCommentId,
    /// The release.
    pub release_id: ReleaseId,
    /// The comment that this one answers.
    pub reply_to_id: Option<ReleaseCommentId>,
    /// Who wrote it.
    pub author_id: UserId,
    /// The words.
    pub body: String,
    /// When.
    pub created_at: Timestamp,
}

/// A release has at most so many comments.
pub const COMMENTS_MAX: i64 = 10_000;

/// The comments on one release.
pub const LIST: ListSpec = ListSpec {
    name: "comments",
    from: "release_comments",
    id: "release_comments.id",
    filters: &[
        Filter { name: "release_id", kind: Kind::Id, sql: Sql::Column("release_comments.release_id"), doc: "" },
        Filter {
            name: "author",
            kind: Kind::Id,
            sql: Sql::Column("release_comments.author_id"),
            doc: "Those that one of these users wrote.",
        },
        Filter {
            name: "reply_to",
            kind: Kind::Id,
            sql: Sql::Column("release_comments.reply_to_id"),
            doc: "Those that answer one of these comments.",
        },
        Filter {
            name: "created_from",
            kind: Kind::Instant,
            sql: Sql::From("release_comments.created_at"),
            doc: "Written at this instant or later.",
        },
        Filter {
            name: "created_to",
            kind: Kind::Instant,
            sql: Sql::Before("release_comments.created_at"),
            doc: "Written before this instant.",
        },
    ],
    sorts: &[Sort { name: "created_at", column: "release_comments.created_at", kind: SortKind::Instant }],
    default_sort: "-created_at",
};

/// Answers a page of comments.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<CommentRow>, Error> {
    pages::page(connection, release_comments::all_columns, &LIST, query, &Visibility::Everything, now)
}

/// Finds a comment on a release.
pub fn find(
    connection: &mut AnyConnection,
    release: ReleaseId,
    id: ReleaseCommentId,
) -> Result<Option<CommentRow>, Error> {
    Ok(release_comments::table
        .filter(release_comments::release_id.eq(release))
        .filter(release_comments::id.eq(id))
        .first(connection)
        .optional()?)
}

/// How many comments a release has.
pub fn count(connection: &mut AnyConnection, release: ReleaseId) -> Result<i64, Error> {
    Ok(release_comments::table.filter(release_comments::release_id.eq(release)).count().get_result(connection)?)
}

/// Stores a comment; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, comment: &CommentRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_comments::table).values(comment).execute(connection)?;
    move_chain(connection, comment.release_id, stamp)
}
