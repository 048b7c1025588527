//! Relationships between configuration items, as either of the two sees them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamp as SqlTimestamp};
use serde_json::json;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue, columns};
use super::pages;
use super::schema::{configuration_item_relationships as relationships, configuration_items};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// An item has at most so many relationships that start from it, as far as they are made one at a time.
pub const OUTGOING_MAX: i64 = 1000;

/// A relationship of a configuration item to its target.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = relationships, treat_none_as_default_value = false)]
pub struct RelationshipRow {
    /// Identifier.
    pub id: RelationshipId,
    /// The item that it starts from.
    pub configuration_item_id: ConfigurationItemId,
    /// What the item is to its target.
    pub kind: RelationshipKind,
    /// The target.
    pub target_id: ConfigurationItemId,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A relationship as one of its two items sees it, with what people want to know of the other.
#[derive(Debug, Clone, Queryable)]
pub struct Neighbour {
    /// Identifier of the relationship.
    pub id: RelationshipId,
    /// The item that sees it.
    pub item_id: ConfigurationItemId,
    /// Which of the two it starts from.
    pub direction: RelationshipDirection,
    /// What the one that it starts from is to the other.
    pub kind: RelationshipKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// The other item.
    pub other_id: ConfigurationItemId,
    /// The CMDB that owns the other.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Its status.
    pub status: ItemStatus,
}

type NeighbourTypes = (Text, Text, Text, Text, SqlTimestamp, Text, Text, Text, Text, Text, Text);
const NEIGHBOUR: &str = "r.id, r.item_id, r.direction, r.kind, r.created_at, other.id, other.source, \
                         other.external_id, other.name, other.class, other.status";
const SEEN: &str = "(SELECT id, configuration_item_id AS item_id, 'outgoing' AS direction, kind, target_id AS other_id, \
                    created_at FROM configuration_item_relationships UNION ALL SELECT id, target_id, 'incoming', kind, \
                    configuration_item_id, created_at FROM configuration_item_relationships) r \
                    JOIN configuration_items other ON other.id = r.other_id";

/// Word for the relationships of both directions.
pub const BOTH: &str = "both";

/// The list of relationships of an item.
pub const LIST: ListSpec = ListSpec {
    name: "relationships",
    from: SEEN,
    id: "r.id",
    filters: &[
        Filter { name: "item_id", kind: Kind::Id, sql: Sql::Column("r.item_id"), doc: "" },
        Filter {
            name: "direction",
            kind: Kind::OneOf(&["outgoing", "incoming", BOTH]),
            sql: Sql::Column("r.direction"),
            doc: "Those that start from the item, or those that lead to it; without it, and with `both`, all.",
        },
        Filter {
            name: "kind",
            kind: Kind::OneOf(RelationshipKind::NAMES),
            sql: Sql::Column("r.kind"),
            doc: "Those of one of these kinds.",
        },
    ],
    sorts: &[Sort { name: "id", column: "r.id", kind: SortKind::Text }],
    default_sort: "id",
};

/// Answers a page of the relationships of an item.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<Neighbour>, Error> {
    pages::page(connection, columns::<NeighbourTypes>(NEIGHBOUR), &LIST, query, &Visibility::Everything, now)
}

/// Finds a relationship as one of its two items sees it.
pub fn find(
    connection: &mut AnyConnection,
    item: ConfigurationItemId,
    id: RelationshipId,
) -> Result<Option<Neighbour>, Error> {
    let select = Select::new(columns::<NeighbourTypes>(NEIGHBOUR))
        .sql(format!(" FROM {SEEN} WHERE r.id = "))
        .bind(SqlValue::Text(id.to_string()))
        .sql(" AND r.item_id = ")
        .bind(SqlValue::Text(item.to_string()));
    Ok(on_either!(connection, own => select.get_result(own).optional())?)
}

/// How many relationships start from an item, counted no further than [`OUTGOING_MAX`].
pub fn count_outgoing(connection: &mut AnyConnection, item: ConfigurationItemId) -> Result<i64, Error> {
    let select = Select::new(columns::<BigInt>("COUNT(*)"))
        .sql(" FROM (SELECT 1 FROM configuration_item_relationships WHERE configuration_item_id = ")
        .bind(SqlValue::Text(item.to_string()))
        .sql(format!(" LIMIT {OUTGOING_MAX}) AS counted"));
    Ok(on_either!(connection, own => select.get_result(own))?)
}

/// What is known of a relationship besides its identifier.
pub type Ends = (ConfigurationItemId, RelationshipKind, ConfigurationItemId);

/// The relationships that start from the first and lead to the second of each of these pairs, whatever their kinds.
pub fn between(
    connection: &mut AnyConnection,
    pairs: &BTreeSet<(ConfigurationItemId, ConfigurationItemId)>,
) -> Result<BTreeMap<Ends, RelationshipId>, Error> {
    if pairs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let pairs = json!(pairs).to_string();
    let select = Select::new(columns::<(Text, Text, Text, Text)>("r.configuration_item_id, r.kind, r.target_id, r.id"));
    let select = match connection {
        AnyConnection::Sqlite(_) => select.sql(" FROM json_each(").bind(SqlValue::Text(pairs)).sql(
            ") p CROSS JOIN configuration_item_relationships r ON r.configuration_item_id = p.value ->> 0 \
                 AND r.target_id = p.value ->> 1",
        ),
        AnyConnection::Postgres(_) => select.sql(" FROM json_array_elements((").bind(SqlValue::Text(pairs)).sql(
            ")::json) p (pair) JOIN configuration_item_relationships r ON r.configuration_item_id = p.pair ->> 0 \
                 AND r.target_id = p.pair ->> 1",
        ),
    };
    type Row = (ConfigurationItemId, RelationshipKind, ConfigurationItemId, RelationshipId);
    let rows: Vec<Row> = on_either!(connection, own => select.load(own))?;
    Ok(rows.into_iter().map(|(item, kind, target, id)| ((item, kind, target), id)).collect())
}

/// Stores a relationship; the stamp goes to the chain of the item that it starts from.
pub fn insert(connection: &mut AnyConnection, row: &RelationshipRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(relationships::table).values(row).execute(connection)?;
    move_chain(connection, row.configuration_item_id, stamp)
}

/// Removes a relationship; [`Error::Stale`] where it is not there any more.
pub fn delete(
    connection: &mut AnyConnection,
    id: RelationshipId,
    item: ConfigurationItemId,
    stamp: &Stamp,
) -> Result<(), Error> {
    let hit = diesel::delete(relationships::table.find(id)).execute(connection)?;
    one_row(hit)?;
    move_chain(connection, item, stamp)
}

fn move_chain(connection: &mut AnyConnection, item: ConfigurationItemId, stamp: &Stamp) -> Result<(), Error> {
    diesel::update(configuration_items::table.find(item))
        .set((
            configuration_items::audit_seq.eq(stamp.head().length),
            configuration_items::audit_head.eq(&stamp.head().hash),
        ))
        .execute(connection)?;
    Ok(())
}
