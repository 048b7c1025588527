//! What the tools that own configuration items are to be told, and what they answered.

use std::collections::HashMap;

use diesel::prelude::*;

use super::audit::Stamp;
use super::configuration_items::HistoryRow;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::item_links::ROWS_OF_A_STATEMENT;
use super::listing::{Condition, Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue};
use super::nouns::ConfigurationItem;
use super::pages;
use super::releases::move_chain;
use super::schema::{configuration_item_history, configuration_items, releases, write_backs};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// What the tool that owns an item is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = write_backs, treat_none_as_default_value = false)]
pub struct WriteBackRow {
    /// Identifier.
    pub id: WriteBackId,
    /// What it is told.
    pub kind: WriteBackKind,
    /// What it said.
    pub state: WriteBackState,
    /// The release that changed the item, or that was taken back.
    pub release_id: ReleaseId,
    /// The link of the item to the release.
    pub link_id: ItemLinkId,
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
    /// What the item was and is, in its history.
    pub history_id: ItemHistoryId,
    /// The tool.
    pub source: String,
    /// Its own revision of the item.
    pub cmdb_revision: Option<String>,
    /// Why it refused.
    pub note: Option<String>,
    /// When it answered.
    pub answered_at: Option<Timestamp>,
    /// Who answered for it.
    pub answered_by: Option<UserId>,
    /// Rises with every change.
    pub row_version: i64,
    /// When the item changed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The same with its item, what that was and is, and the number of the release.
#[derive(Debug, Clone)]
pub struct WriteBack {
    /// The row.
    pub row: WriteBackRow,
    /// Key of the item in its tool.
    pub external_id: String,
    /// Name of the item.
    pub name: String,
    /// How the item was.
    pub before: Option<ConfigurationItem>,
    /// How it was from then on.
    pub after: ConfigurationItem,
    /// Number of the release.
    pub release_number: i64,
}

type Told = (String, String, Option<Json<ConfigurationItem>>, Json<ConfigurationItem>, i64);

impl From<(WriteBackRow, Told)> for WriteBack {
    fn from((row, (external_id, name, before, after, release_number)): (WriteBackRow, Told)) -> Self {
        Self { row, external_id, name, before: before.map(|json| json.0), after: after.0, release_number }
    }
}

type ToldColumns = (
    configuration_items::external_id,
    configuration_items::name,
    configuration_item_history::before,
    configuration_item_history::after,
    releases::number,
);

const TOLD: ToldColumns = (
    configuration_items::external_id,
    configuration_items::name,
    configuration_item_history::before,
    configuration_item_history::after,
    releases::number,
);

/// The filter that holds whom the caller speaks for; the query itself sets it.
pub const VISIBLE_TO: &str = "visible_to";

/// The list of write-backs.
pub const LIST: ListSpec = ListSpec {
    name: "write_backs",
    from: "write_backs JOIN configuration_items ON configuration_items.id = write_backs.configuration_item_id \
           JOIN configuration_item_history ON configuration_item_history.id = write_backs.history_id \
           JOIN releases ON releases.id = write_backs.release_id",
    id: "write_backs.id",
    filters: &[
        Filter {
            name: VISIBLE_TO,
            kind: Kind::Text { max_length: 40 },
            sql: Sql::Exists(
                "EXISTS (SELECT 1 FROM release_visibility v WHERE v.release_id = write_backs.release_id \
                 AND v.principal IN (",
                "))",
            ),
            doc: "",
        },
        Filter {
            name: "state",
            kind: Kind::OneOf(WriteBackState::NAMES),
            sql: Sql::Column("write_backs.state"),
            doc: "Those in one of these states.",
        },
        Filter {
            name: "kind",
            kind: Kind::OneOf(WriteBackKind::NAMES),
            sql: Sql::Column("write_backs.kind"),
            doc: "Those of one of these kinds.",
        },
        Filter {
            name: "source",
            kind: Kind::Text { max_length: 50 },
            sql: Sql::Column("write_backs.source"),
            doc: "Those for one of these tools.",
        },
        Filter {
            name: "release",
            kind: Kind::Id,
            sql: Sql::Column("write_backs.release_id"),
            doc: "Those of one of these releases.",
        },
        Filter {
            name: "configuration_item",
            kind: Kind::Id,
            sql: Sql::Column("write_backs.configuration_item_id"),
            doc: "Those of one of these configuration items.",
        },
    ],
    sorts: &[Sort { name: "created_at", column: "write_backs.created_at", kind: SortKind::Instant }],
    default_sort: "created_at",
};

/// Answers a page of write-backs of visible releases.
pub fn page(
    connection: &mut AnyConnection,
    query: &ListQuery,
    visibility: &Visibility,
    now: Timestamp,
) -> Result<Rows<WriteBack>, Error> {
    let mut query = query.clone();
    if let Visibility::Of(principals) = visibility
        && let Some(filter) = LIST.filters.iter().position(|filter| filter.name == VISIBLE_TO)
    {
        let values = principals.iter().map(|principal| SqlValue::Text(principal.to_string())).collect();
        query.conditions.push(Condition { filter, values });
    }
    let selection = (write_backs::all_columns, TOLD);
    let Rows { rows, more, total } =
        pages::page::<_, (WriteBackRow, Told)>(connection, selection, &LIST, &query, &Visibility::Everything, now)?;
    Ok(Rows { rows: rows.into_iter().map(WriteBack::from).collect(), more, total })
}

/// Finds a write-back of a visible release.
pub fn find(
    connection: &mut AnyConnection,
    id: WriteBackId,
    visibility: &Visibility,
) -> Result<Option<WriteBack>, Error> {
    let mut select = Select::new((write_backs::all_columns, TOLD))
        .sql(format!(" FROM {} WHERE write_backs.id = ", LIST.from))
        .bind(SqlValue::Text(id.to_string()));
    select.visible(visibility, "write_backs.release_id");
    let row: Option<(WriteBackRow, Told)> = on_either!(connection, own => select.get_result(own).optional())?;
    Ok(row.map(WriteBack::from))
}

/// Stores write-backs beside the states in the history of their items that they tell, oldest first. Those of the same items
/// that nobody answered yet are superseded by them. The chain of the release moves with what else is stored.
pub fn insert(
    connection: &mut AnyConnection,
    mut rows: Vec<(WriteBackRow, HistoryRow)>,
    now: Timestamp,
    _stamp: &Stamp,
) -> Result<(), Error> {
    let newest: HashMap<ConfigurationItemId, WriteBackId> =
        rows.iter().map(|(told, _)| (told.configuration_item_id, told.id)).collect();
    for (told, _) in &mut rows {
        if newest.get(&told.configuration_item_id) != Some(&told.id) {
            told.state = WriteBackState::Superseded;
        }
    }
    let items: Vec<ConfigurationItemId> = newest.into_keys().collect();
    for some in items.chunks(ROWS_OF_A_STATEMENT) {
        diesel::update(
            write_backs::table
                .filter(write_backs::configuration_item_id.eq_any(some.iter().copied()))
                .filter(write_backs::state.eq(WriteBackState::Pending)),
        )
        .set((
            write_backs::state.eq(WriteBackState::Superseded),
            write_backs::row_version.eq(write_backs::row_version + 1),
            write_backs::updated_at.eq(now),
        ))
        .execute(connection)?;
    }
    for some in rows.chunks(ROWS_OF_A_STATEMENT) {
        let states: Vec<&HistoryRow> = some.iter().map(|(_, state)| state).collect();
        let told: Vec<&WriteBackRow> = some.iter().map(|(told, _)| told).collect();
        let (history, table) = (configuration_item_history::table, write_backs::table);
        on_either!(connection, own => diesel::insert_into(history).values(states).execute(own))?;
        on_either!(connection, own => diesel::insert_into(table).values(told).execute(own))?;
    }
    Ok(())
}

/// Stores what the tool answered, over the version before it; [`Error::Stale`] where that is not there.
pub fn update(connection: &mut AnyConnection, row: &WriteBackRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(write_backs, row.id, row.row_version - 1))
        .set((
            write_backs::state.eq(row.state),
            write_backs::cmdb_revision.eq(&row.cmdb_revision),
            write_backs::note.eq(&row.note),
            write_backs::answered_at.eq(row.answered_at),
            write_backs::answered_by.eq(row.answered_by),
            write_backs::row_version.eq(row.row_version),
            write_backs::updated_at.eq(row.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, row.release_id, stamp)
}

/// What closing a release made of the items of its links: the state of each in the history of its item.
pub fn made_by(connection: &mut AnyConnection, release: ReleaseId) -> Result<HashMap<ItemLinkId, HistoryRow>, Error> {
    let rows: Vec<(ItemLinkId, HistoryRow)> = write_backs::table
        .inner_join(configuration_item_history::table)
        .filter(write_backs::release_id.eq(release))
        .filter(write_backs::kind.eq(WriteBackKind::Apply))
        .select((write_backs::link_id, configuration_item_history::all_columns))
        .load(connection)?;
    Ok(rows.into_iter().collect())
}
