//! The records of releases: what was done, seen and said. Entries are only added.

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue, columns};
use super::pages;
use super::releases::move_chain;
use super::schema::release_records;
use crate::domain::policy::Visibility;
use crate::domain::values::{Origin, RecordKind, ReleaseId, ReleaseRecordId, Timestamp, UserId};

/// An entry in the records of a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_records, treat_none_as_default_value = false)]
pub struct RecordRow {
    /// Identifier.
    pub id: ReleaseRecordId,
    /// The release.
    pub release_id: ReleaseId,
    /// Kind.
    pub kind: RecordKind,
    /// The installation's own word for what it is about.
    pub category: Option<String>,
    /// How it came about.
    pub origin: Origin,
    /// Minutes of work.
    pub minutes_spent: Option<i64>,
    /// Whom it was with.
    pub contact: Option<String>,
    /// The words.
    pub body: String,
    /// The entry that this one corrects.
    pub corrects_id: Option<ReleaseRecordId>,
    /// Who wrote it.
    pub author_id: UserId,
    /// When.
    pub created_at: Timestamp,
}

/// A release has at most so many entries.
pub const RECORDS_MAX: i64 = 10_000;

/// The records of one release.
pub const LIST: ListSpec = ListSpec {
    name: "records",
    from: "release_records",
    id: "release_records.id",
    filters: &[
        Filter { name: "release_id", kind: Kind::Id, sql: Sql::Column("release_records.release_id"), doc: "" },
        Filter {
            name: "kind",
            kind: Kind::OneOf(RecordKind::NAMES),
            sql: Sql::Column("release_records.kind"),
            doc: "Those of one of these kinds.",
        },
        Filter {
            name: "origin",
            kind: Kind::OneOf(Origin::NAMES),
            sql: Sql::Column("release_records.origin"),
            doc: "Those that came about in one of these ways.",
        },
        Filter {
            name: "category",
            kind: Kind::Text { max_length: 100 },
            sql: Sql::Column("release_records.category"),
            doc: "Those of one of these categories.",
        },
        Filter {
            name: "author",
            kind: Kind::Id,
            sql: Sql::Column("release_records.author_id"),
            doc: "Those that one of these users wrote.",
        },
        Filter {
            name: "corrected",
            kind: Kind::Boolean,
            sql: Sql::Flag {
                yes: "EXISTS (SELECT 1 FROM release_records c WHERE c.corrects_id = release_records.id)",
                no: "NOT EXISTS (SELECT 1 FROM release_records c WHERE c.corrects_id = release_records.id)",
            },
            doc: "Those that a later entry corrects, or those that still hold.",
        },
        Filter {
            name: "created_from",
            kind: Kind::Instant,
            sql: Sql::From("release_records.created_at"),
            doc: "Written at this instant or later.",
        },
        Filter {
            name: "created_to",
            kind: Kind::Instant,
            sql: Sql::Before("release_records.created_at"),
            doc: "Written before this instant.",
        },
    ],
    sorts: &[Sort { name: "created_at", column: "release_records.created_at", kind: SortKind::Instant }],
    default_sort: "-created_at",
};

/// The entry that corrects the one selected, where there is one.
const CORRECTED_BY: &str = "(SELECT c.id FROM release_records c WHERE c.corrects_id = release_records.id)";

/// An entry, and the one that corrects it.
pub type Entry = (RecordRow, Option<ReleaseRecordId>);

/// Answers a page of records.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<Entry>, Error> {
    let selection = (release_records::all_columns, columns::<Nullable<Text>>(CORRECTED_BY));
    pages::page(connection, selection, &LIST, query, &Visibility::Everything, now)
}

/// Finds an entry of a release.
pub fn find(connection: &mut AnyConnection, release: ReleaseId, id: ReleaseRecordId) -> Result<Option<Entry>, Error> {
    let selection = (release_records::all_columns, columns::<Nullable<Text>>(CORRECTED_BY));
    let select = Select::new(selection)
        .sql(" FROM release_records WHERE release_records.release_id = ")
        .bind(SqlValue::Text(release.to_string()))
        .sql(" AND release_records.id = ")
        .bind(SqlValue::Text(id.to_string()));
    Ok(on_either!(connection, own => select.get_result(own).optional())?)
}

/// How many entries a release has.
pub fn count(connection: &mut AnyConnection, release: ReleaseId) -> Result<i64, Error> {
    Ok(release_records::table.filter(release_records::release_id.eq(release)).count().get_result(connection)?)
}

/// Stores an entry; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, record: &RecordRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_records::table).values(record).execute(connection)?;
    move_chain(connection, record.release_id, stamp)
}
