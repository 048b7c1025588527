//! `/configuration-items`: working copies of what CMDBs own.

use actix_web::{delete, get, patch, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use super::audit::FieldChange;
use super::releases::Release;
use crate::api::reference::{self, PatchOf, Resource, ResourceOf, reference_resource};
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::configuration_items::{Attributes, HISTORY, HistoryRow};
use crate::repository::contents::not_blank;
use crate::repository::listing::SqlValue;
use crate::repository::nouns::{ConfigurationItem, Noun};
use crate::repository::releases::LIST;
use crate::service::audit::differences;
use crate::service::{MergePatch, Reply, catalogue, configuration_items};

reference_resource!(
    ConfigurationItem,
    ConfigurationItemId,
    "Configuration items",
    "/configuration-items",
    "/configuration-items/{id}",
    list_configuration_items,
    read_configuration_item,
    update_configuration_item,
    delete_configuration_item,
    create_configuration_item
);

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_configuration_items)
        .service(create_configuration_item)
        .service(read_configuration_item)
        .service(update_configuration_item)
        .service(delete_configuration_item)
        .service(upsert_configuration_item)
        .service(list_item_history)
        .service(list_item_releases);
}

/// A configuration item without its key, which the path names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "payments-db-1", "class": "database", "environment": "production", "status": "in_production", "version": "16.4", "attributes": {"cpu": 8}, "source_revision": 7}))]
pub struct ConfigurationItemContent {
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
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Monotonic revision in its CMDB; an older one is refused, and the same one with other content.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub source_revision: Option<i64>,
}

impl Checked for ConfigurationItemContent {}

/// Create or replace the working copy of a configuration item
///
/// Addressed by the CMDB that owns it and its key there. The same content again changes nothing: 200, and no new
/// version. An older `source_revision` is refused, and the stored one with other content. What the CMDB does not say is
/// not kept from before: the item is replaced whole. `If-Match` is honoured where it is sent; an item that is not there
/// yet is at version 0.
#[utoipa::path(
    tag = "Configuration items",
    params(("source" = String, Path, max_length = 50), ("external_id" = String, Path, max_length = 100)),
    request_body = ConfigurationItemContent,
    responses((status = 200, body = ResourceOf<ConfigurationItem>), (status = 201, body = ResourceOf<ConfigurationItem>))
)]
#[put("/configuration-items/by-key/{source}/{external_id}")]
async fn upsert_configuration_item(call: Call, body: Body<Draft<ConfigurationItemContent>>) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, draft| {
        reference::upserted::<ConfigurationItem, _>(context, &path, "/configuration-items", draft.clone())
    })
    .await
}

/// A state of a configuration item, and what made it another one than before.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemHistoryEntry {
    /// Identifier.
    pub id: ItemHistoryId,
    /// The `row_version` of the item from then on.
    pub item_row_version: i64,
    /// Where the state came from.
    pub origin: ItemOrigin,
    /// The release that brought it, or that was taken back, where the caller may see it.
    pub release_id: Option<ReleaseId>,
    /// The import that brought it.
    pub import_id: Option<ImportId>,
    /// Who wrote it; null for the machine itself.
    pub actor_id: Option<UserId>,
    /// Their login name at that time.
    pub actor_name: String,
    /// The request in which it happened.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// Every field that changed.
    #[schema(value_type = Vec<FieldChange>)]
    pub changes: Vec<serde_json::Value>,
    /// Always 1: a row of history never changes.
    pub row_version: i64,
}

impl From<HistoryRow> for ItemHistoryEntry {
    fn from(row: HistoryRow) -> Self {
        let state = |item: &ConfigurationItem| serde_json::to_value(item).unwrap_or_default();
        let (before, after) = (row.before.map(|item| state(&item.0)), state(&row.after.0));
        Self {
            id: row.id,
            item_row_version: row.row_version,
            origin: row.origin,
            release_id: row.release_id,
            import_id: row.import_id,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            request_id: row.request_id,
            at: row.at,
            changes: differences(before.as_ref(), Some(&after)).into_iter().map(|one| serde_json::json!(one)).collect(),
            row_version: 1,
        }
    }
}

/// Read the history of a configuration item
///
/// Every state that it had, newest first, with where it came from and what changed, field by field.
#[utoipa::path(tag = "Configuration items", params(("id" = ConfigurationItemId, Path,)), responses((status = 200, body = Page<ItemHistoryEntry>)))]
#[get("/configuration-items/{id}/history")]
async fn list_item_history(call: Call) -> Answer {
    let path = call.clone();
    call.list(&HISTORY, &["item_id"], move |context, query| {
        context.authorise(Access::Read)?;
        let rows = configuration_items::history(context, path.id("id", ConfigurationItem::RECORD)?, query.clone())?;
        paging::reply(&path, &HISTORY, &query, rows, ItemHistoryEntry::from, |row, _| {
            (SqlValue::Integer(row.row_version), row.id.to_string())
        })
    })
    .await
}

/// List the releases of a configuration item
///
/// Those that link it and that the caller may see.
#[utoipa::path(tag = "Configuration items", params(("id" = ConfigurationItemId, Path,)), responses((status = 200, body = Page<Release>)))]
#[get("/configuration-items/{id}/releases")]
async fn list_item_releases(call: Call) -> Answer {
    let path = call.clone();
    call.list(&LIST, &["configuration_item"], move |context, query| {
        context.authorise(Access::Read)?;
        let item = catalogue::read::<ConfigurationItem>(context, path.id("id", ConfigurationItem::RECORD)?)?;
        let mut restricted = query.clone();
        configuration_items::of_item(&LIST, "configuration_item", item.id, &mut restricted);
        super::releases::page(context, &path, &query, &restricted)
    })
    .await
}
