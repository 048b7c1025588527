//! The definitive media library: what is said of media, what the server keeps of them, and which releases use them.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::contents::not_blank;
use super::error::{Error, one_row};
use super::listing::{ListQuery, Rows, Select, SqlValue, columns};
use super::nouns::{Head, Noun, Record};
use super::pages;
use super::releases::move_chain;
use super::schema::{definitive_media, release_definitive_media};
use crate::domain::facts::{DoubtfulMedium, Licences, MediumUse};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// The right to use a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "vault:payments/oracle", "holder": "Example Bank", "total": 20, "expires_at": "2031-12-31T00:00:00Z"}))]
pub struct Licence {
    /// Where its key is kept; not the key itself.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub key: Option<String>,
    /// Who holds it.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub holder: Option<String>,
    /// So many releases may use it; as many as like without one.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    #[serde(default)]
    pub total: Option<i64>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// A definitive medium: the authorised master copy of something that is installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = definitive_media, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "payments", "version": "4.2.0", "kind": "container_image", "logical_location": "registry.example.org/payments:4.2.0"}))]
pub struct DefinitiveMedium {
    /// Name; unique together with version and kind.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// Version.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    pub version: String,
    /// What it is.
    pub kind: MediumKind,
    /// Where it lies, where that is a place that one can go to.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub physical_location: Option<String>,
    /// Where it lies in a registry, a repository or a share.
    #[schema(min_length = 1, max_length = 2000)]
    #[serde(default)]
    pub logical_location: Option<String>,
    /// SHA-256 that the content must have, in lower-case hexadecimal. Nothing is verified before somebody stated it.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    #[serde(default)]
    pub sha256: Option<String>,
    /// The right to use it.
    #[schema(value_type = Option<Licence>)]
    #[serde(default)]
    pub licence: Option<Json<Licence>>,
    /// What else is to be known.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub notes: Option<String>,
}

/// What the server alone says of a medium.
#[derive(Debug, Clone, PartialEq, Queryable, AsChangeset)]
#[diesel(table_name = definitive_media, treat_none_as_null = true)]
pub struct Keeping {
    /// Status.
    pub status: MediumStatus,
    /// Size of the content, where it is stored here.
    pub size_bytes: Option<i64>,
    /// Media type of the content, as it was sent.
    pub media_type: Option<String>,
    /// Where the content is in the store.
    pub store_key: Option<String>,
    /// File name of the content.
    pub file_name: Option<String>,
    /// SHA-256 of the content as it came.
    pub content_sha256: Option<String>,
    /// When the content came.
    pub stored_at: Option<Timestamp>,
    /// When it was verified.
    pub verified_at: Option<Timestamp>,
    /// Who verified it.
    pub verified_by: Option<UserId>,
    /// When it was authorised.
    pub authorised_at: Option<Timestamp>,
    /// Who authorised it.
    pub authorised_by: Option<UserId>,
}

/// A medium with what the server says of it.
#[derive(Debug, Clone)]
pub struct Medium {
    /// The record.
    pub record: Record<DefinitiveMedium>,
    /// What the server says.
    pub keeping: Keeping,
}

impl Medium {
    /// Name and version, for people.
    pub fn label(&self) -> String {
        let DefinitiveMedium { name, version, .. } = &self.record.content;
        format!("{name} {version}")
    }
}

/// Columns of the table, each list of them once.
macro_rules! columns_of {
    ($name:ident: $kind:ident = $($column:ident),*) => {
        type $kind = ($(definitive_media::$column,)*);
        const $name: $kind = ($(definitive_media::$column,)*);
    };
}

columns_of!(HEAD: HeadColumns = id, row_version, created_at, updated_at, audit_seq, audit_head);
columns_of!(
    CONTENT: ContentColumns = name, version, kind, physical_location, logical_location, sha256, licence, notes
);
columns_of!(
    KEEPING: KeepingColumns = status, size_bytes, media_type, store_key, file_name, content_sha256, stored_at,
    verified_at, verified_by, authorised_at, authorised_by
);

type Row = (Head<MediumId>, DefinitiveMedium, Keeping);

fn medium((head, content, keeping): Row) -> Medium {
    Medium { record: Record::from((head, content)), keeping }
}

/// A page of media.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<Medium>, Error> {
    let selection = (HEAD, CONTENT, KEEPING);
    let list = DefinitiveMedium::LIST;
    let found = pages::page::<_, Row>(connection, selection, list, query, &Visibility::Everything, now)?;
    Ok(Rows { rows: found.rows.into_iter().map(medium).collect(), more: found.more, total: found.total })
}

/// Finds a medium.
pub fn find(connection: &mut AnyConnection, id: MediumId) -> Result<Option<Medium>, Error> {
    let row: Option<Row> =
        definitive_media::table.find(id).select((HEAD, CONTENT, KEEPING)).first(connection).optional()?;
    Ok(row.map(medium))
}

/// The same, and holds it until the transaction ends.
pub fn lock(connection: &mut AnyConnection, id: MediumId) -> Result<Option<Medium>, Error> {
    Ok(lock_all(connection, &[id])?.pop())
}

/// Holds those of these media that there are until the transaction ends; in one order, so that nobody waits in a circle.
pub fn lock_all(connection: &mut AnyConnection, ids: &[MediumId]) -> Result<Vec<Medium>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let media = definitive_media::table
        .filter(definitive_media::id.eq_any(ids.iter().copied()))
        .order(definitive_media::id.asc())
        .select((HEAD, CONTENT, KEEPING));
    let rows: Vec<Row> = match connection {
        AnyConnection::Postgres(postgres) => media.for_no_key_update().load(postgres)?,
        connection @ AnyConnection::Sqlite(_) => media.load(connection)?,
    };
    Ok(rows.into_iter().map(medium).collect())
}

/// Stores a medium over the version before it; [`Error::Stale`] where that is not there.
pub fn store(connection: &mut AnyConnection, medium: &Medium, stamp: &Stamp) -> Result<(), Error> {
    let record = &medium.record;
    let hit = diesel::update(of_version!(definitive_media, record.id, record.row_version - 1))
        .set((
            definitive_media::row_version.eq(record.row_version),
            definitive_media::updated_at.eq(record.updated_at),
            definitive_media::audit_seq.eq(stamp.head().length),
            definitive_media::audit_head.eq(&stamp.head().hash),
            &record.content,
            &medium.keeping,
        ))
        .execute(connection)?;
    one_row(hit)
}

/// Goes on with `(SELECT medium_id, release_id …)`: which releases use which media, of those media or of those releases. A
/// release uses a medium that it links unless it was cancelled or closed as unsolved; and one that the link of a
/// configuration item names while that is pending, and where it was applied until the item gets another medium.
fn uses<S>(select: Select<S>, connection: &AnyConnection, (column, ids): (&str, &[String])) -> Select<S> {
    // Joined in this order: SQLite goes on from the few links.
    select
        .sql(
            "(SELECT k.medium_id, k.release_id FROM release_definitive_media k CROSS JOIN releases r \
             WHERE r.id = k.release_id AND r.status <> 'cancelled' \
             AND (r.status <> 'closed' OR r.resolution = 'solved') AND",
        )
        .is_among(connection, &format!("k.{column}"), ids)
        .sql(
            " UNION SELECT l.medium_id, l.release_id FROM release_configuration_items l \
             WHERE l.medium_id IS NOT NULL AND (l.outcome = 'pending' OR (l.outcome = 'applied' AND NOT EXISTS \
             (SELECT 1 FROM release_configuration_items o WHERE o.configuration_item_id = l.configuration_item_id \
             AND o.outcome = 'applied' AND o.medium_id <> l.medium_id AND o.updated_at > l.updated_at))) AND",
        )
        .is_among(connection, &format!("l.{column}"), ids)
        .sql(")")
}

/// How many releases use a medium, and whether the one that is asked for is among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// How many.
    pub releases: i64,
    /// True where the release that is asked for does.
    pub own: bool,
}

/// How many releases use each of these media; nothing of those that none uses.
pub fn in_use(
    connection: &mut AnyConnection,
    ids: &[MediumId],
    release: Option<ReleaseId>,
) -> Result<HashMap<MediumId, Use>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let select =
        Select::new(columns::<(Text, BigInt, BigInt)>("u.medium_id, COUNT(*), COUNT(CASE WHEN u.release_id = "))
            .bind(SqlValue::Text(release.map(|release| release.to_string()).unwrap_or_default()))
            .sql(" THEN 1 END) FROM ");
    let select = uses(select, connection, ("medium_id", &ids)).sql(" u GROUP BY u.medium_id");
    let rows: Vec<(MediumId, i64, i64)> = on_either!(connection, own => select.load(own))?;
    Ok(rows.into_iter().map(|(id, releases, own)| (id, Use { releases, own: own > 0 })).collect())
}

/// Which of the media that these releases link, and do not use, have no licence left for them. Each of the releases gave
/// its licences back when it was closed as unsolved; what an item that was applied names it still uses.
pub fn licences_gone(
    connection: &mut AnyConnection,
    releases: &[ReleaseId],
) -> Result<Vec<(ReleaseId, MediumId, Licences)>, Error> {
    type Linked = (ReleaseId, MediumId, String, String, Json<Licence>);
    let texts: Vec<String> = releases.iter().map(ToString::to_string).collect();
    let select = Select::new(columns::<(Text, Text, Text, Text, Text)>(
        "k.release_id, k.medium_id, m.name, m.version, m.licence FROM release_definitive_media k \
         JOIN definitive_media m ON m.id = k.medium_id LEFT JOIN ",
    ));
    let select = uses(select, connection, ("release_id", &texts))
        .sql(
            " u ON u.release_id = k.release_id AND u.medium_id = k.medium_id \
             WHERE m.licence IS NOT NULL AND u.medium_id IS NULL AND",
        )
        .is_among(connection, "k.release_id", &texts)
        .sql(" ORDER BY k.id");
    let linked: Vec<Linked> = on_either!(connection, own => select.load(own))?;
    let media: Vec<MediumId> = linked.iter().map(|(_, medium, ..)| *medium).collect();
    let in_use = in_use(connection, &media, None)?;
    let judged = linked.into_iter().filter_map(|(release, medium, name, version, licence)| {
        let in_use = in_use.get(&medium).copied().unwrap_or_default().releases;
        let licences = Licences { label: format!("{name} {version}"), total: licence.0.total?, in_use };
        (!licences.has_room()).then_some((release, medium, licences))
    });
    Ok(judged.collect())
}

/// The media that a release names and that are retired or licensed: those of its pending items, and those that it links.
pub fn doubtful(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<DoubtfulMedium>, Error> {
    type Named = (String, String, String, String, MediumStatus, Option<Json<Licence>>);
    let id = SqlValue::Text(release.to_string());
    let select = Select::new(columns::<(Text, Text, Text, Text, Text, Nullable<Text>)>(
        "'item' AS by_what, l.id AS link_id, m.name, m.version, m.status, m.licence \
         FROM release_configuration_items l JOIN definitive_media m ON m.id = l.medium_id \
         WHERE l.outcome = 'pending' AND (m.status = 'retired' OR m.licence IS NOT NULL) AND l.release_id = ",
    ))
    .bind(id.clone())
    .sql(
        " UNION ALL SELECT 'medium', k.id, m.name, m.version, m.status, m.licence FROM release_definitive_media k \
         JOIN definitive_media m ON m.id = k.medium_id \
         WHERE (m.status = 'retired' OR m.licence IS NOT NULL) AND k.release_id = ",
    )
    .bind(id)
    .sql(" ORDER BY by_what, link_id");
    let rows: Vec<Named> = on_either!(connection, own => select.load(own))?;
    let doubtful = |(by, link, name, version, status, licence): Named| DoubtfulMedium {
        by: if by == "item" { MediumUse::ConfigurationItem } else { MediumUse::DefinitiveMedium },
        link,
        label: format!("{name} {version}"),
        status,
        licence_expires_at: licence.and_then(|licence| licence.0.expires_at),
    };
    Ok(rows.into_iter().map(doubtful).collect())
}

/// True where a medium of this digest is one of the release's: linked, or named by an item that is pending or applied.
pub fn is_of_release(connection: &mut AnyConnection, release: ReleaseId, sha256: &str) -> Result<bool, Error> {
    let release = SqlValue::Text(release.to_string());
    let select = Select::new(columns::<BigInt>(
        "COUNT(*) FROM definitive_media m WHERE m.id IN \
         (SELECT k.medium_id FROM release_definitive_media k WHERE k.release_id = ",
    ))
    .bind(release.clone())
    .sql(
        " UNION SELECT l.medium_id FROM release_configuration_items l \
         WHERE l.outcome IN ('pending', 'applied') AND l.release_id = ",
    )
    .bind(release)
    .sql(") AND m.sha256 = ")
    .bind(SqlValue::Text(sha256.to_owned()));
    let count: Vec<i64> = on_either!(connection, own => select.load(own))?;
    Ok(count.first().is_some_and(|count| *count > 0))
}

/// Which of the keys belong to the content of a medium.
pub fn wanted_keys(connection: &mut AnyConnection, keys: &[String]) -> Result<Vec<String>, Error> {
    let select =
        Select::new(columns::<Text>("store_key FROM definitive_media WHERE")).is_among(connection, "store_key", keys);
    Ok(on_either!(connection, own => select.load(own))?)
}

/// What the store should hold of a medium: key, size and SHA-256.
pub type Wanted = (MediumId, Option<String>, Option<i64>, Option<String>);

/// What the store should hold, at most so many behind an identifier, in order.
pub fn wanted(connection: &mut AnyConnection, after: Option<MediumId>, rows: i64) -> Result<Vec<Wanted>, Error> {
    let mut query = definitive_media::table
        .filter(definitive_media::store_key.is_not_null())
        .select((
            definitive_media::id,
            definitive_media::store_key,
            definitive_media::size_bytes,
            definitive_media::content_sha256,
        ))
        .order(definitive_media::id.asc())
        .limit(rows)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(definitive_media::id.gt(after));
    }
    Ok(query.load(connection)?)
}

/// A release uses at most so many media; the list answers them all.
pub const LINKS_MAX: i64 = 200;

/// That a release uses a medium.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_definitive_media, treat_none_as_default_value = false)]
pub struct LinkRow {
    /// Identifier.
    pub id: MediumLinkId,
    /// The release.
    pub release_id: ReleaseId,
    /// The medium.
    pub medium_id: MediumId,
    /// What for.
    pub description: Option<String>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When the link last changed.
    pub updated_at: Timestamp,
}

/// A link together with what people want to know of its medium.
#[derive(Debug, Clone)]
pub struct Link {
    /// The link.
    pub row: LinkRow,
    /// Name of the medium.
    pub name: String,
    /// Version of the medium.
    pub version: String,
    /// Kind of the medium.
    pub kind: MediumKind,
    /// Status of the medium.
    pub status: MediumStatus,
    /// SHA-256 of the medium.
    pub sha256: Option<String>,
}

/// The media of a release, oldest link first.
pub fn links_of(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<Link>, Error> {
    type Row = (LinkRow, (String, String, MediumKind, MediumStatus, Option<String>));
    let rows: Vec<Row> = release_definitive_media::table
        .inner_join(definitive_media::table)
        .filter(release_definitive_media::release_id.eq(release))
        .order(release_definitive_media::id.asc())
        .select((
            release_definitive_media::all_columns,
            (
                definitive_media::name,
                definitive_media::version,
                definitive_media::kind,
                definitive_media::status,
                definitive_media::sha256,
            ),
        ))
        .load(connection)?;
    let link = |(row, (name, version, kind, status, sha256))| Link { row, name, version, kind, status, sha256 };
    Ok(rows.into_iter().map(link).collect())
}

/// Stores a link; the stamp goes to the release's chain.
pub fn insert_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_definitive_media::table).values(link).execute(connection)?;
    move_chain(connection, link.release_id, stamp)
}

/// Stores a changed link over the version before it; [`Error::Stale`] where that is not there.
pub fn update_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_definitive_media, link.id, link.row_version - 1))
        .set((
            release_definitive_media::description.eq(&link.description),
            release_definitive_media::row_version.eq(link.row_version),
            release_definitive_media::updated_at.eq(link.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, link.release_id, stamp)
}

/// Removes a link of this version; [`Error::Stale`] where that is not there.
pub fn delete_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(release_definitive_media, link.id, link.row_version)).execute(connection)?;
    one_row(hit)?;
    move_chain(connection, link.release_id, stamp)
}
