//! Configuration items: their content, and every state that they had.

use std::collections::{BTreeSet, HashSet};

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::contents::not_blank;
use super::error::Error;
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue, columns};
use super::nouns::{Head, Record};
use super::pages;
use super::releases::visible_among;
use super::schema::{configuration_item_history, configuration_items};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// The working copy of a configuration item that a CMDB owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = configuration_items, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"source": "cmdb", "external_id": "srv-0042", "name": "payments-db-1", "class": "database", "environment": "production", "status": "in_production", "version": "16.4", "attributes": {"cpu": 8}}))]
pub struct ConfigurationItem {
    /// The CMDB that owns it.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    pub source: String,
    /// Its key there, unique in that CMDB.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub external_id: String,
    /// Name.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// Class, in the words of its CMDB.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    pub class: String,
    /// Where it is used.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// Status.
    pub status: ItemStatus,
    /// The version that is installed.
    #[schema(min_length = 1, max_length = 50)]
    #[serde(default)]
    pub version: Option<String>,
    /// Serial number.
    #[schema(min_length = 1, max_length = 100)]
    #[serde(default)]
    pub serial: Option<String>,
    /// Where it stands.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub location: Option<String>,
    /// The group that answers for it.
    #[serde(default)]
    pub owner_group_id: Option<GroupId>,
    /// What else its CMDB knows of it.
    #[schema(value_type = Attributes)]
    #[serde(default)]
    pub attributes: Json<serde_json::Map<String, serde_json::Value>>,
    /// Monotonic revision in its CMDB; an older one is refused, and the same one with other content.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub source_revision: Option<i64>,
}

/// What a CMDB knows of an item besides: any JSON object of at most 200 members. What it holds in all is bounded by
/// [`crate::domain::custom_fields::attributes_fault`].
pub struct Attributes;

impl utoipa::PartialSchema for Attributes {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .description(Some(
                "What else its CMDB knows of it: any JSON object of at most 200 members, with at most 1000 values in \
                 all, those inside of others among them, and 64 KiB, written without white space. A number is a value, \
                 and comes back as that however it was written; what must keep its writing is text.",
            ))
            .max_properties(Some(200))
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for Attributes {}

/// Finds and locks items by their keys until the transaction ends, in one statement and in one order for everybody.
pub fn lock_by_keys(
    connection: &mut AnyConnection,
    keys: &BTreeSet<(String, String)>,
) -> Result<Vec<Record<ConfigurationItem>>, Error> {
    use configuration_items as i;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let select = Select::new((
        (i::id, i::row_version, i::created_at, i::updated_at, i::audit_seq, i::audit_head),
        (
            i::source,
            i::external_id,
            i::name,
            i::class,
            i::environment,
            i::status,
            i::version,
            i::serial,
            i::location,
            i::owner_group_id,
            i::attributes,
            i::source_revision,
        ),
    ));
    let keys = SqlValue::Text(serde_json::json!(keys).to_string());
    let select = match connection {
        AnyConnection::Sqlite(_) => select.sql(" FROM json_each(").bind(keys).sql(
            ") k CROSS JOIN configuration_items ON configuration_items.source = k.value ->> 0 \
             AND configuration_items.external_id = k.value ->> 1",
        ),
        AnyConnection::Postgres(_) => select.sql(" FROM json_array_elements((").bind(keys).sql(
            ")::json) k (pair) JOIN configuration_items ON configuration_items.source = k.pair ->> 0 \
             AND configuration_items.external_id = k.pair ->> 1 \
             ORDER BY configuration_items.id FOR NO KEY UPDATE OF configuration_items",
        ),
    };
    let rows: Vec<(Head<ConfigurationItemId>, ConfigurationItem)> = on_either!(connection, own => select.load(own))?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// Which of the groups exist.
pub fn existing_groups(connection: &mut AnyConnection, ids: &BTreeSet<GroupId>) -> Result<HashSet<GroupId>, Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let select = Select::new(columns::<Text>("id FROM groups WHERE")).is_among(connection, "id", &ids);
    let rows: Vec<GroupId> = on_either!(connection, own => select.load(own))?;
    Ok(rows.into_iter().collect())
}

/// A state in the history of a configuration item.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = configuration_item_history, treat_none_as_default_value = false)]
pub struct HistoryRow {
    /// Identifier.
    pub id: ItemHistoryId,
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
    /// Its version from then on.
    pub row_version: i64,
    /// Where the state came from.
    pub origin: ItemOrigin,
    /// The release that brought it, or that was taken back.
    pub release_id: Option<ReleaseId>,
    /// The import that brought it.
    pub import_id: Option<ImportId>,
    /// Who wrote it.
    pub actor_id: Option<UserId>,
    /// Their name at that time.
    pub actor_name: String,
    /// The request.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// How the item was; `None` where it was new.
    pub before: Option<Json<ConfigurationItem>>,
    /// How it was from then on.
    pub after: Json<ConfigurationItem>,
}

/// The list of states of an item.
pub const HISTORY: ListSpec = ListSpec {
    name: "configuration item history",
    from: "configuration_item_history",
    id: "configuration_item_history.id",
    filters: &[
        Filter {
            name: "item_id",
            kind: Kind::Id,
            sql: Sql::Column("configuration_item_history.configuration_item_id"),
            doc: "",
        },
        Filter {
            name: "origin",
            kind: Kind::OneOf(ItemOrigin::NAMES),
            sql: Sql::Column("configuration_item_history.origin"),
            doc: "Those that came from one of these.",
        },
    ],
    sorts: &[Sort {
        name: "item_row_version",
        column: "configuration_item_history.row_version",
        kind: SortKind::Integer,
    }],
    default_sort: "-item_row_version",
};

/// Answers a page of the states of an item, without the releases that are not visible.
pub fn history(
    connection: &mut AnyConnection,
    query: &ListQuery,
    visibility: &Visibility,
    now: Timestamp,
) -> Result<Rows<HistoryRow>, Error> {
    let columns = configuration_item_history::all_columns;
    let mut page: Rows<HistoryRow> = pages::page(connection, columns, &HISTORY, query, &Visibility::Everything, now)?;
    let named: Vec<ReleaseId> = page.rows.iter().filter_map(|row| row.release_id).collect();
    let visible = visible_among(connection, &named, visibility)?;
    for row in &mut page.rows {
        row.release_id = row.release_id.filter(|id| visible.contains(id));
    }
    Ok(page)
}

/// Stores a state of an item, beside the item itself.
pub fn insert_history(connection: &mut AnyConnection, row: &HistoryRow, _stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(configuration_item_history::table).values(row).execute(connection)?;
    Ok(())
}

/// Removes the history of an item that is deleted: the audit keeps what it was.
pub fn delete_history(connection: &mut AnyConnection, id: ConfigurationItemId) -> Result<(), Error> {
    let of_item = configuration_item_history::configuration_item_id.eq(id);
    diesel::delete(configuration_item_history::table.filter(of_item)).execute(connection)?;
    Ok(())
}
