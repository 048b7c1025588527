//! References of releases to what other tools hold: problems, incidents, tickets, purchases and the like.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Sort, SortKind, Sql};
use super::pages;
use super::releases::move_chain;
use super::schema::release_references;
use crate::domain::policy::Visibility;
use crate::domain::values::{ReferenceKind, ReleaseId, ReleaseReferenceId, Timestamp};

/// A reference of a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_references, treat_none_as_default_value = false)]
pub struct ReferenceRow {
    /// Identifier.
    pub id: ReleaseReferenceId,
    /// The release.
    pub release_id: ReleaseId,
    /// Kind.
    pub kind: ReferenceKind,
    /// The tool that holds it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Title.
    pub title: String,
    /// Where people read it.
    pub url: Option<String>,
    /// Its status, in the words of its tool.
    pub status: Option<String>,
    /// True where it is over.
    pub finished: bool,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A release has at most so many references.
pub const REFERENCES_MAX: i64 = 1_000;

/// The references of one release.
pub const LIST: ListSpec = ListSpec {
    name: "references",
    from: "release_references",
    id: "release_references.id",
    filters: &[
        Filter { name: "release_id", kind: Kind::Id, sql: Sql::Column("release_references.release_id"), doc: "" },
        Filter {
            name: "kind",
            kind: Kind::OneOf(ReferenceKind::NAMES),
            sql: Sql::Column("release_references.kind"),
            doc: "Those of one of these kinds.",
        },
        Filter {
            name: "source",
            kind: Kind::Text { max_length: 50 },
            sql: Sql::Column("release_references.source"),
            doc: "Those that one of these tools holds.",
        },
        Filter {
            name: "external_id",
            kind: Kind::Text { max_length: 100 },
            sql: Sql::Column("release_references.external_id"),
            doc: "Those with one of these keys.",
        },
        Filter {
            name: "finished",
            kind: Kind::Boolean,
            sql: Sql::Column("release_references.finished"),
            doc: "Those that are over, or the others.",
        },
    ],
    sorts: &[Sort { name: "created_at", column: "release_references.created_at", kind: SortKind::Instant }],
    default_sort: "created_at",
};

/// Answers a page of references.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<ReferenceRow>, Error> {
    pages::page(connection, release_references::all_columns, &LIST, query, &Visibility::Everything, now)
}

/// Finds a reference of a release.
pub fn find(
    connection: &mut AnyConnection,
    release: ReleaseId,
    id: ReleaseReferenceId,
) -> Result<Option<ReferenceRow>, Error> {
    Ok(release_references::table
        .filter(release_references::release_id.eq(release))
        .filter(release_references::id.eq(id))
        .first(connection)
        .optional()?)
}

/// True where the release has a reference of this kind to the same.
pub fn is_there(
    connection: &mut AnyConnection,
    release: ReleaseId,
    kind: ReferenceKind,
    source: &str,
    external_id: &str,
) -> Result<bool, Error> {
    let found: Option<ReleaseReferenceId> = release_references::table
        .filter(release_references::release_id.eq(release))
        .filter(release_references::kind.eq(kind))
        .filter(release_references::source.eq(source))
        .filter(release_references::external_id.eq(external_id))
        .select(release_references::id)
        .first(connection)
        .optional()?;
    Ok(found.is_some())
}

/// How many references a release has.
pub fn count(connection: &mut AnyConnection, release: ReleaseId) -> Result<i64, Error> {
    Ok(release_references::table.filter(release_references::release_id.eq(release)).count().get_result(connection)?)
}

/// Stores a reference; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, reference: &ReferenceRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_references::table).values(reference).execute(connection)?;
    move_chain(connection, reference.release_id, stamp)
}

/// Stores a changed reference over the version before it; [`Error::Stale`] where that is not there.
pub fn update(connection: &mut AnyConnection, reference: &ReferenceRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_references, reference.id, reference.row_version - 1))
        .set((
            release_references::title.eq(&reference.title),
            release_references::url.eq(&reference.url),
            release_references::status.eq(&reference.status),
            release_references::finished.eq(reference.finished),
            release_references::row_version.eq(reference.row_version),
            release_references::updated_at.eq(reference.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, reference.release_id, stamp)
}

/// Removes a reference of this version; [`Error::Stale`] where that is not there.
pub fn delete(connection: &mut AnyConnection, reference: &ReferenceRow, stamp: &Stamp) -> Result<(), Error> {
    let hit =
        diesel::delete(of_version!(release_references, reference.id, reference.row_version)).execute(connection)?;
    one_row(hit)?;
    move_chain(connection, reference.release_id, stamp)
}
