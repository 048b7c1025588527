//! Documents of releases: what is known of them. Their content is in the store.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, columns};
use super::pages;
use super::releases::move_chain;
use super::schema::documents;
use crate::domain::policy::Visibility;
use crate::domain::values::{DocumentClass, DocumentId, ReleaseId, Timestamp, UserId};

/// A document.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = documents, treat_none_as_default_value = false)]
pub struct DocumentRow {
    /// Identifier.
    pub id: DocumentId,
    /// The release.
    pub release_id: ReleaseId,
    /// What it is for.
    pub class: DocumentClass,
    /// File name.
    pub name: String,
    /// File name as it is searched.
    pub name_folded: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// The version that it is about.
    pub version: Option<String>,
    /// Media type, as it was sent.
    pub media_type: String,
    /// Size of the content.
    pub size_bytes: i64,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
    /// Where the content is in the store.
    pub store_key: String,
    /// Who uploaded it.
    pub uploaded_by: UserId,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Who deleted it.
    pub deleted_by: Option<UserId>,
    /// When its content was taken out of the store.
    pub content_removed_at: Option<Timestamp>,
}

/// The list of documents of a release.
pub const LIST: ListSpec = ListSpec {
    name: "documents",
    from: "documents",
    id: "documents.id",
    filters: &[
        Filter { name: "release_id", kind: Kind::Id, sql: Sql::Column("documents.release_id"), doc: "" },
        Filter {
            name: "deleted",
            kind: Kind::Boolean,
            sql: Sql::Flag { yes: "documents.deleted_at IS NOT NULL", no: "documents.deleted_at IS NULL" },
            doc: "`true`: those that were deleted, in place of those that are there.",
        },
        Filter {
            name: "q",
            kind: Kind::Prefix { max_length: 255 },
            sql: Sql::Search { prefixes: &["documents.name_folded"], number: None },
            doc: "Those whose name starts with this, without regard to case.",
        },
        Filter {
            name: "class",
            kind: Kind::OneOf(DocumentClass::NAMES),
            sql: Sql::Column("documents.class"),
            doc: "Those of one of these classes.",
        },
        Filter {
            name: "uploaded_by",
            kind: Kind::Id,
            sql: Sql::Column("documents.uploaded_by"),
            doc: "Those that one of these users uploaded.",
        },
        Filter {
            name: "created_from",
            kind: Kind::Instant,
            sql: Sql::From("documents.created_at"),
            doc: "Uploaded at this instant or later.",
        },
        Filter {
            name: "created_to",
            kind: Kind::Instant,
            sql: Sql::Before("documents.created_at"),
            doc: "Uploaded before this instant.",
        },
    ],
    sorts: &[
        Sort { name: "created_at", column: "documents.created_at", kind: SortKind::Instant },
        Sort { name: "name", column: "documents.name_folded", kind: SortKind::Text },
        Sort { name: "size_bytes", column: "documents.size_bytes", kind: SortKind::Integer },
    ],
    default_sort: "-created_at",
};

/// Answers a page of documents.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<DocumentRow>, Error> {
    pages::page(connection, documents::all_columns, &LIST, query, &Visibility::Everything, now)
}

/// Finds a document of a release that is not deleted.
pub fn find(connection: &mut AnyConnection, release: ReleaseId, id: DocumentId) -> Result<Option<DocumentRow>, Error> {
    Ok(documents::table
        .find(id)
        .filter(documents::release_id.eq(release))
        .filter(documents::deleted_at.is_null())
        .first(connection)
        .optional()?)
}

/// How many documents of a release are not deleted.
pub fn count(connection: &mut AnyConnection, release: ReleaseId) -> Result<i64, Error> {
    Ok(documents::table
        .filter(documents::release_id.eq(release))
        .filter(documents::deleted_at.is_null())
        .count()
        .get_result(connection)?)
}

/// Stores a document; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, row: &DocumentRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(documents::table).values(row).execute(connection)?;
    move_chain(connection, row.release_id, stamp)
}

/// Stores a changed document over the version before it; [`Error::Stale`] where that is not there.
pub fn update(connection: &mut AnyConnection, row: &DocumentRow, stamp: &Stamp) -> Result<(), Error> {
    let hit =
        diesel::update(of_version!(documents, row.id, row.row_version - 1).filter(documents::deleted_at.is_null()))
            .set((
                documents::class.eq(row.class),
                documents::description.eq(&row.description),
                documents::version.eq(&row.version),
                documents::row_version.eq(row.row_version),
                documents::updated_at.eq(row.updated_at),
                documents::deleted_at.eq(row.deleted_at),
                documents::deleted_by.eq(row.deleted_by),
            ))
            .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, row.release_id, stamp)
}

/// At most so many documents that were deleted at an instant or before, and whose content is still in the store.
pub fn to_collect(
    connection: &mut AnyConnection,
    until: Timestamp,
    rows: i64,
) -> Result<Vec<(DocumentId, String)>, Error> {
    Ok(documents::table
        .filter(documents::deleted_at.is_not_null())
        .filter(documents::deleted_at.le(until))
        .filter(documents::content_removed_at.is_null())
        .order(documents::deleted_at.asc())
        .limit(rows)
        .select((documents::id, documents::store_key))
        .load(connection)?)
}

/// Notes that the content of deleted documents is in the store no more.
pub fn content_removed(connection: &mut AnyConnection, ids: &[DocumentId], now: Timestamp) -> Result<usize, Error> {
    Ok(diesel::update(documents::table.filter(documents::id.eq_any(ids)).filter(documents::deleted_at.is_not_null()))
        .set(documents::content_removed_at.eq(now))
        .execute(connection)?)
}

/// Which of the keys belong to a document whose content should be in the store.
pub fn wanted_keys(connection: &mut AnyConnection, keys: &[String]) -> Result<Vec<String>, Error> {
    let select = Select::new(columns::<Text>("store_key FROM documents WHERE content_removed_at IS NULL AND"))
        .is_among(connection, "store_key", keys);
    Ok(on_either!(connection, own => select.load(own))?)
}

/// What the store should hold of a document of a release: key, size and SHA-256.
pub type Wanted = (DocumentId, ReleaseId, String, i64, String);

/// What the store should hold, at most so many behind an identifier, in order.
pub fn wanted(connection: &mut AnyConnection, after: Option<DocumentId>, rows: i64) -> Result<Vec<Wanted>, Error> {
    let mut query = documents::table
        .filter(documents::content_removed_at.is_null())
        .filter(documents::deleted_at.is_null())
        .select((documents::id, documents::release_id, documents::store_key, documents::size_bytes, documents::sha256))
        .order(documents::id.asc())
        .limit(rows)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(documents::id.gt(after));
    }
    Ok(query.load(connection)?)
}
