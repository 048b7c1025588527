//! Changes by their own key, and their links to releases.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::journal::Journal;
use super::listing::{Columns, Select, SqlValue, columns};
use super::nouns::{Change, Record};
use super::releases::{move_chain, visible_among};
use super::schema::{changes, release_changes, releases};
use crate::domain::lifecycle::LinkedChange;
use crate::domain::policy::Visibility;
use crate::domain::release::ChainHead;
use crate::domain::values::{
    ChangeId, ChangeLinkId, ChangeOutcome, ChangeStatus, ConfigurationItemId, Json, Level, ReleaseId, Status,
    Timestamp, Window,
};

/// True where there is any change at all.
pub fn any(connection: &mut AnyConnection) -> Result<bool, Error> {
    let first: Option<ChangeId> = changes::table.select(changes::id).first(connection).optional()?;
    Ok(first.is_some())
}

/// The working copy of a change with the end of its chain, as one of many that are stored at once.
#[derive(Debug, Insertable)]
#[diesel(table_name = changes, treat_none_as_default_value = false)]
pub(super) struct ChangeRow {
    id: ChangeId,
    row_version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    audit_seq: i64,
    audit_head: String,
    source: String,
    external_id: String,
    title: String,
    status: ChangeStatus,
    change_window: Option<Json<Window>>,
    risk: Option<Level>,
    rollback_plan: Option<String>,
    url: Option<String>,
    source_revision: Option<i64>,
    configuration_item_ids: Json<Vec<ConfigurationItemId>>,
}

impl ChangeRow {
    pub(super) fn new(record: Record<Change>, stamp: &Stamp) -> Self {
        let Record { id, row_version, created_at, updated_at, content, chain: _ } = record;
        let ChainHead { length: audit_seq, hash: audit_head } = stamp.head().clone();
        let Change {
            source,
            external_id,
            title,
            status,
            window: change_window,
            risk,
            rollback_plan,
            url,
            source_revision,
            configuration_item_ids,
        } = content;
        Self {
            id,
            row_version,
            created_at,
            updated_at,
            audit_seq,
            audit_head,
            source,
            external_id,
            title,
            status,
            change_window,
            risk,
            rollback_plan,
            url,
            source_revision,
            configuration_item_ids,
        }
    }
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
    /// True where it says how it is taken back.
    pub has_rollback_plan: bool,
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
            has_rollback_plan: self.has_rollback_plan,
        }
    }
}

/// The links of some releases, oldest first.
pub fn links_of(connection: &mut AnyConnection, releases: &[ReleaseId]) -> Result<Vec<Link>, Error> {
    type Row = (LinkRow, (String, String, String, ChangeStatus, Option<Json<Window>>, Option<bool>));
    let rows: Vec<Row> = release_changes::table
        .inner_join(changes::table)
        .filter(release_changes::release_id.eq_any(releases))
        .order(release_changes::id.asc())
        .select((
            release_changes::all_columns,
            (
                changes::source,
                changes::external_id,
                changes::title,
                changes::status,
                changes::change_window,
                changes::rollback_plan.ne(""),
            ),
        ))
        .load(connection)?;
    Ok(rows
        .into_iter()
        .map(|(row, (source, external_id, title, status, window, has_rollback_plan))| Link {
            row,
            source,
            external_id,
            title,
            status,
            window: window.map(|json| json.0),
            has_rollback_plan: has_rollback_plan.unwrap_or(false),
        })
        .collect())
}

/// The configuration items that the changes of a release are about.
pub(super) fn item_ids(
    connection: &mut AnyConnection,
    release: ReleaseId,
) -> Result<HashSet<ConfigurationItemId>, Error> {
    let lists: Vec<Json<Vec<ConfigurationItemId>>> = release_changes::table
        .inner_join(changes::table)
        .filter(release_changes::release_id.eq(release))
        .select(changes::configuration_item_ids)
        .load(connection)?;
    Ok(lists.into_iter().flat_map(|list| list.0).collect())
}

/// Where a change is carried: the change, the release and its number, and whether the caller sees that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The change.
    pub change_id: ChangeId,
    /// The number of the release, where the caller may see it.
    pub number: Option<i64>,
}

impl Carried {
    /// The release, as the caller may know it.
    pub fn by(&self) -> String {
        self.number.map_or_else(|| "a release that you cannot see".into(), |number| format!("REL-{number}"))
    }
}

/// Which of these changes another release under way carries without having said what became of them, each with the first
/// of such releases. Whoever is about to carry one has its row locked.
pub fn carried_elsewhere(
    connection: &mut AnyConnection,
    ids: &[ChangeId],
    but: Option<ReleaseId>,
    visibility: &Visibility,
) -> Result<Vec<Carried>, Error> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let select = Select::new(columns(
        "x.by_id, x.change_id, x.by_id, x.number FROM (SELECT other.change_id, r.id AS by_id, r.number, \
         ROW_NUMBER() OVER (PARTITION BY other.change_id ORDER BY r.number) AS nth \
         FROM release_changes other CROSS JOIN releases r WHERE",
    ));
    let found = carriers(connection, select, ("other.change_id", &ids), but, visibility)?;
    Ok(found.into_iter().map(|(_, carried)| carried).collect())
}

/// Which changes of these releases, none of them under way, another release carries like that; each with the release
/// that links it.
pub fn taken_meanwhile(
    connection: &mut AnyConnection,
    releases: &[ReleaseId],
    visibility: &Visibility,
) -> Result<Vec<(ReleaseId, Carried)>, Error> {
    let ids: Vec<String> = releases.iter().map(ToString::to_string).collect();
    let select = Select::new(columns(
        "x.release_id, x.change_id, x.by_id, x.number FROM (SELECT own.release_id, other.change_id, r.id AS by_id, \
         r.number, ROW_NUMBER() OVER (PARTITION BY own.release_id, other.change_id ORDER BY r.number) AS nth \
         FROM release_changes own CROSS JOIN release_changes other CROSS JOIN releases r \
         WHERE other.change_id = own.change_id AND",
    ));
    carriers(connection, select, ("own.release_id", &ids), None, visibility)
}

/// Goes on with the first release `r` that is under way and carries the link `other` as pending, where a column is among
/// identifiers. The tables are joined in their order: SQLite goes on from the few links, and not from all releases under
/// way.
fn carriers(
    connection: &mut AnyConnection,
    select: Select<Columns<(Text, Text, Text, BigInt)>>,
    (column, ids): (&str, &[String]),
    but: Option<ReleaseId>,
    visibility: &Visibility,
) -> Result<Vec<(ReleaseId, Carried)>, Error> {
    let mut select = select
        .sql(
            " r.id = other.release_id AND other.outcome = 'pending' \
             AND r.status IN ('open', 'reopened', 'suspended') AND",
        )
        .is_among(connection, column, ids);
    if let Some(but) = but {
        select = select.sql(" AND r.id <> ").bind(SqlValue::Text(but.to_string()));
    }
    let select = select.sql(") x WHERE x.nth = 1 ORDER BY x.change_id");
    let found: Vec<(ReleaseId, ChangeId, ReleaseId, i64)> = on_either!(connection, own => select.load(own))?;
    let carrying: Vec<ReleaseId> = found.iter().map(|(_, _, by, _)| *by).collect();
    let visible = visible_among(connection, &carrying, visibility)?;
    let carried = |(release, change_id, by, number)| {
        (release, Carried { change_id, number: Some(number).filter(|_| visible.contains(&by)) })
    };
    Ok(found.into_iter().map(carried).collect())
}

/// What became of a change in a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The release.
    pub release_id: ReleaseId,
    /// Its number.
    pub number: i64,
    /// Its status.
    pub status: Status,
    /// What became of the change there.
    pub outcome: ChangeOutcome,
    /// Words that go with it.
    pub outcome_note: Option<String>,
}

/// What became of a change in each visible release that carries it; the newest first, at most `limit`.
pub fn outcomes_of(
    connection: &mut AnyConnection,
    change: ChangeId,
    visibility: &Visibility,
    limit: i64,
) -> Result<Vec<OutcomeRow>, Error> {
    type Row = (ReleaseId, i64, Status, ChangeOutcome, Option<String>);
    let selection =
        (releases::id, releases::number, releases::status, release_changes::outcome, release_changes::outcome_note);
    let mut select = Select::new(selection)
        .sql(
            " FROM release_changes JOIN releases ON releases.id = release_changes.release_id \
             WHERE release_changes.change_id = ",
        )
        .bind(SqlValue::Text(change.to_string()));
    select.visible(visibility, "releases.id");
    let select = select.sql(" ORDER BY releases.number DESC LIMIT ").bind(SqlValue::Integer(limit));
    let rows: Vec<Row> = on_either!(connection, own => select.load(own))?;
    Ok(rows
        .into_iter()
        .map(|(release_id, number, status, outcome, outcome_note)| OutcomeRow {
            release_id,
            number,
            status,
            outcome,
            outcome_note,
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
    let hit = diesel::update(of_version!(release_changes, link.id, link.row_version - 1))
        .set((
            release_changes::outcome.eq(link.outcome),
            release_changes::outcome_note.eq(&link.outcome_note),
            release_changes::row_version.eq(link.row_version),
            release_changes::updated_at.eq(link.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, link.release_id, stamp)
}

/// Removes a link of this version; [`Error::Stale`] where that is not there.
pub fn delete_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(release_changes, link.id, link.row_version)).execute(connection)?;
    one_row(hit)?;
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
