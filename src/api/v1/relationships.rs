//! `/configuration-items/{id}/relationships`: what items are to each other.

use actix_web::{delete, get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{
    ConfigurationItemId, Draft, ItemStatus, RelationshipDirection, RelationshipId, RelationshipKind, Timestamp,
};
use crate::repository::listing::SqlValue;
use crate::repository::nouns::{ConfigurationItem, Noun};
use crate::repository::relationships::{LIST, Neighbour};
use crate::service::relationships::{self, NewRelationship};
use crate::service::{Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_relationships)
        .service(create_relationship)
        .service(read_relationship)
        .service(delete_relationship);
}

impl Checked for NewRelationship {
    const READ_ONLY: &'static [&'static str] = &["id", "direction", "other", "row_version", "created_at"];
}

/// What people want to know of an item that is only mentioned.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConfigurationItemSummary {
    /// Identifier.
    pub id: ConfigurationItemId,
    /// The CMDB that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Name.
    pub name: String,
    /// Class.
    #[schema(max_length = 50)]
    pub class: String,
    /// Status.
    pub status: ItemStatus,
}

/// A relationship between two configuration items, as one of them sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Relationship {
    /// Identifier.
    pub id: RelationshipId,
    /// Whether it starts from the item of the path or leads to it.
    pub direction: RelationshipDirection,
    /// What the item that it starts from is to the other one.
    pub kind: RelationshipKind,
    /// The item that it starts from.
    pub configuration_item_id: ConfigurationItemId,
    /// The item that it leads to.
    pub target_id: ConfigurationItemId,
    /// The one of the two that the path does not name.
    pub other: ConfigurationItemSummary,
    /// Always 1: a relationship never changes.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<Neighbour> for Relationship {
    fn from(row: Neighbour) -> Self {
        let (configuration_item_id, target_id) = match row.direction {
            RelationshipDirection::Outgoing => (row.item_id, row.other_id),
            RelationshipDirection::Incoming => (row.other_id, row.item_id),
        };
        Self {
            id: row.id,
            direction: row.direction,
            kind: row.kind,
            configuration_item_id,
            target_id,
            other: ConfigurationItemSummary {
                id: row.other_id,
                source: row.source,
                external_id: row.external_id,
                name: row.name,
                class: row.class,
                status: row.status,
            },
            row_version: 1,
            created_at: row.created_at,
        }
    }
}

fn shown(status: u16, row: Neighbour) -> Result<Reply> {
    Ok(Reply::json(status, &Relationship::from(row))?.version(1))
}

/// List the relationships of a configuration item
///
/// Those that start from it and those that lead to it, in the order in which they were made, each with the other item.
#[utoipa::path(tag = "Configuration items", params(("id" = ConfigurationItemId, Path,)), responses((status = 200, body = Page<Relationship>)))]
#[get("/configuration-items/{id}/relationships")]
async fn list_relationships(call: Call) -> Answer {
    let path = call.clone();
    call.list(&LIST, &["item_id"], move |context, query| {
        context.authorise(Access::Read)?;
        let rows = relationships::list(context, path.id("id", ConfigurationItem::RECORD)?, query.clone())?;
        paging::reply(&path, &LIST, &query, rows, Relationship::from, |row, _| {
            (SqlValue::Text(row.id.to_string()), row.id.to_string())
        })
    })
    .await
}

/// Relate a configuration item to another
///
/// It starts from the item of the path. Two items have one relationship of a kind; `connected_to` is the same from both
/// sides. Circles are taken, but no item is related to itself. At most 1000 start from an item.
#[utoipa::path(
    tag = "Configuration items",
    params(("id" = ConfigurationItemId, Path,)),
    request_body = NewRelationship,
    responses((status = 201, body = Relationship))
)]
#[post("/configuration-items/{id}/relationships")]
async fn create_relationship(call: Call, body: Body<Draft<NewRelationship>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let id = path.id("id", ConfigurationItem::RECORD)?;
        let row = relationships::add(context, id, draft.clone())?;
        let location = format!("{BASE}/configuration-items/{id}/relationships/{}", row.id);
        Ok(shown(201, row)?.at(location))
    })
    .await
}

/// Read a relationship of a configuration item
///
/// As the item sees it, with the other one.
#[utoipa::path(
    tag = "Configuration items",
    params(("id" = ConfigurationItemId, Path,), ("relationship_id" = RelationshipId, Path,)),
    responses((status = 200, body = Relationship))
)]
#[get("/configuration-items/{id}/relationships/{relationship_id}")]
async fn read_relationship(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let item = path.id("id", ConfigurationItem::RECORD)?;
        shown(200, relationships::read(context, item, path.id("relationship_id", "relationship")?)?)
    })
    .await
}

/// Take a relationship away
///
/// Whichever of its two items the path names. A relationship never changes, so its version is always 1.
#[utoipa::path(
    tag = "Configuration items",
    params(("id" = ConfigurationItemId, Path,), ("relationship_id" = RelationshipId, Path,)),
    responses((status = 204))
)]
#[delete("/configuration-items/{id}/relationships/{relationship_id}")]
async fn delete_relationship(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        let item = path.id("id", ConfigurationItem::RECORD)?;
        relationships::remove(context, item, path.id("relationship_id", "relationship")?)?;
        Ok(Reply::empty())
    })
    .await
}
