//! Changes by their own key, and their links to releases.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::Error;
use super::journal::Journal;
use super::nouns::{Change, Noun, Record};
use super::releases::move_chain;
use super::schema::{changes, release_changes};
use crate::domain::lifecycle::LinkedChange;
use crate::domain::values::{ChangeId, ChangeLinkId, ChangeOutcome, ChangeStatus, Json, ReleaseId, Timestamp, Window};

/// Finds and locks a change by its own key.
pub fn lock_by_key(
    connection: &mut AnyConnection,
    source: &str,
    external_id: &str,
) -> Result<Option<Record<Change>>, Error> {
    let id: Option<ChangeId> = changes::table
        .filter(changes::source.eq(source))
        .filter(changes::external_id.eq(external_id))
        .select(changes::id)
        .first(connection)
        .optional()?;
    match id {
        Some(id) => Change::lock(connection, id),
        None => Ok(None),
    }
}

/// True where there is any change at all.
pub fn any(connection: &mut AnyConnection) -> Result<bool, Error> {
    let first: Option<ChangeId> = changes::table.select(changes::id).first(connection).optional()?;
    Ok(first.is_some())
}

/// A link of a change to a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_changes, treat_none_as_default_value = false)]
pub struct LinkRow {
    /// Identifier.
    pub id: ChangeLinkId,
    /// The release.
    pub release_id: ReleaseId,
    /// The change.
    pub change_id: ChangeId,
    /// What became of the change in this release.
    pub outcome: ChangeOutcome,
    /// Words that go with it.
    pub outcome_note: Option<String>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A release has at most so many linked changes; the list answers them all.
pub const LINKS_MAX: i64 = 200;

/// A link together with what people and gates want to know of its change.
#[derive(Debug, Clone)]
pub struct Link {
    /// The link.
    pub row: LinkRow,
    /// The tool that owns the change.
    pub source: String,
    /// The change's key there.
    pub external_id: String,
    /// Title of the change.
    pub title: String,
    /// Status of the change.
    pub status: ChangeStatus,
    /// Window of the change.
    pub window: Option<Window>,
}

impl Link {
    /// The link as the gates see it.
    pub fn fact(&self) -> LinkedChange {
        LinkedChange {
            link_id: self.row.id,
            change_id: self.row.change_id,
            label: format!("{} {}", self.source, self.external_id),
            status: self.status,
            window: self.window,
            outcome: self.row.outcome,
        }
    }
}

/// The links of some releases, oldest first.
pub fn links_of(connection: &mut AnyConnection, releases: &[ReleaseId]) -> Result<Vec<Link>, Error> {
    type Row = (LinkRow, (String, String, String, ChangeStatus, Option<Json<Window>>));
    let rows: Vec<Row> = release_changes::table
        .inner_join(changes::table)
        .filter(release_changes::release_id.eq_any(releases))
        .order(release_changes::id.asc())
        .select((
            release_changes::all_columns,
            (changes::source, changes::external_id, changes::title, changes::status, changes::change_window),
        ))
        .load(connection)?;
    Ok(rows
        .into_iter()
        .map(|(row, (source, external_id, title, status, window))| Link {
            row,
            source,
            external_id,
            title,
            status,
            window: window.map(|json| json.0),
        })
        .collect())
}

/// Stores a link; the stamp goes to the release's chain.
pub fn insert_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_changes::table).values(link).execute(connection)?;
    move_chain(connection, link.release_id, stamp)
}

/// Stores links of a release that is just being made, whose chain moves with the release itself.
pub fn insert_first_links(journal: &mut Journal, links: &[LinkRow], _stamp: &Stamp) {
    for link in links {
        journal.link(link.clone());
    }
}

/// Stores a changed link over the version before it; [`Error::Stale`] where that is not there.
pub fn update_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(
        release_changes::table
            .filter(release_changes::id.eq(link.id))
            .filter(release_changes::row_version.eq(link.row_version - 1)),
    )
    .set((
        release_changes::outcome.eq(link.outcome),
        release_changes::outcome_note.eq(&link.outcome_note),
        release_changes::row_version.eq(link.row_version),
        release_changes::updated_at.eq(link.updated_at),
    ))
    .execute(connection)?;
    if hit != 1 {
        return Err(Error::Stale);
    }
    move_chain(connection, link.release_id, stamp)
}

/// Removes a link of this version; [`Error::Stale`] where that is not there.
pub fn delete_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(
        release_changes::table
            .filter(release_changes::id.eq(link.id))
            .filter(release_changes::row_version.eq(link.row_version)),
    )
    .execute(connection)?;
    if hit != 1 {
        return Err(Error::Stale);
    }
    move_chain(connection, link.release_id, stamp)
}

/// Returns the outcomes of every link of a release to `pending`.
pub fn reset_outcomes(
    connection: &mut AnyConnection,
    release: ReleaseId,
    now: Timestamp,
    _stamp: &Stamp,
) -> Result<(), Error> {
    diesel::update(
        release_changes::table
            .filter(release_changes::release_id.eq(release))
            .filter(release_changes::outcome.ne(ChangeOutcome::Pending)),
    )
    .set((
        release_changes::outcome.eq(ChangeOutcome::Pending),
        release_changes::outcome_note.eq(None::<String>),
        release_changes::row_version.eq(release_changes::row_version + 1),
        release_changes::updated_at.eq(now),
    ))
    .execute(connection)?;
    Ok(())
}
