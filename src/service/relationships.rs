//! Relationships between configuration items. They belong to the item that they start from: its history tells of
//! them. Items may depend on each other in a circle; on itself, none does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::catalogue;
use super::configuration_items::of_item;
use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::ChainHead;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::listing::{ListQuery, Rows, SqlValue};
use crate::repository::nouns::{ConfigurationItem, Noun, Record};
use crate::repository::relationships::{self, BOTH, LIST, Neighbour, OUTGOING_MAX, RelationshipRow};

/// A relationship of an item to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "runs_on", "target_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}))]
pub struct NewRelationship {
    /// What the item is to its target.
    pub kind: RelationshipKind,
    /// The target.
    pub target_id: ConfigurationItemId,
}

/// A page of the relationships of an item.
pub fn list(context: &mut ReadContext<'_>, id: ConfigurationItemId, mut query: ListQuery) -> Result<Rows<Neighbour>> {
    catalogue::read::<ConfigurationItem>(context, id)?;
    // Only the direction has this word.
    query.conditions.retain(|condition| !condition.values.contains(&SqlValue::Text(BOTH.into())));
    of_item(&LIST, "item_id", id, &mut query);
    Ok(relationships::page(context.connection, &query, context.now)?)
}

/// A relationship, as the item sees it.
pub fn read(context: &mut ReadContext<'_>, item: ConfigurationItemId, id: RelationshipId) -> Result<Neighbour> {
    catalogue::read::<ConfigurationItem>(context, item)?;
    found(context, item, id)
}

fn found(context: &mut ReadContext<'_>, item: ConfigurationItemId, id: RelationshipId) -> Result<Neighbour> {
    relationships::find(context.connection, item, id)?.ok_or(Error::NotFound("relationship"))
}

type Locked = Option<Record<ConfigurationItem>>;

/// Locks two items, in one order for everybody.
fn lock_both(
    context: &mut WriteContext<'_>,
    one: ConfigurationItemId,
    other: ConfigurationItemId,
) -> Result<(Locked, Locked)> {
    let first = ConfigurationItem::lock(context.connection, one.min(other))?;
    let second = ConfigurationItem::lock(context.connection, one.max(other))?;
    Ok(if one <= other { (first, second) } else { (second, first) })
}

/// The fault of a relationship that would lead from an item to itself.
pub fn self_fault(pointer: &str) -> Fault {
    Fault::at(pointer, "RELATED_TO_ITSELF", "An item has no relationship to itself.")
}

/// The pairs of items between which a relationship of this kind would be the same as one that is to be made.
pub fn same_pairs(
    kind: RelationshipKind,
    item: ConfigurationItemId,
    target: ConfigurationItemId,
) -> Vec<(ConfigurationItemId, ConfigurationItemId)> {
    let reverse = kind.is_symmetric().then_some((target, item));
    std::iter::once((item, target)).chain(reverse).collect()
}

/// Relates an item to another.
pub fn add(
    context: &mut WriteContext<'_>,
    id: ConfigurationItemId,
    draft: Draft<NewRelationship>,
) -> Result<Neighbour> {
    let target_id = draft.as_ref().map_or(id, |new| new.target_id);
    let (item, target) = lock_both(context, id, target_id)?;
    let item = item.ok_or(Error::NotFound(ConfigurationItem::RECORD))?;
    let permit = context.authorise(Access::Integration)?;
    let new = draft.map_err(Error::Invalid)?;
    if new.target_id == id {
        return Err(Error::Invalid(vec![self_fault("/target_id")]));
    }
    if target.is_none() {
        return Err(Error::Invalid(vec![Fault::unknown("/target_id", "configuration item")]));
    }
    let pairs = same_pairs(new.kind, id, new.target_id);
    let known = relationships::between(context.connection, &pairs.iter().copied().collect::<BTreeSet<_>>())?;
    if pairs.iter().any(|(from, to)| known.contains_key(&(*from, new.kind, *to))) {
        return Err(Error::conflict("ALREADY_EXISTS", "The items have this relationship already."));
    }
    if relationships::count_outgoing(context.connection, id)? >= OUTGOING_MAX {
        let detail = format!("At most {OUTGOING_MAX} relationships start from an item.");
        return Err(Error::conflict("LIMIT_REACHED", detail));
    }
    let row = RelationshipRow {
        id: RelationshipId::new(context.env.new_id(context.now)),
        configuration_item_id: id,
        kind: new.kind,
        target_id: new.target_id,
        created_at: context.now,
    };
    let after = document(&row);
    let stamp =
        record(context, permit, &item.chain, &row, ("configuration_item.add_relationship", None, Some(&after)))?;
    relationships::insert(context.connection, &row, &stamp)?;
    found(context, id, row.id)
}

/// Takes a relationship away, from whichever of its two items it is seen.
pub fn remove(context: &mut WriteContext<'_>, item: ConfigurationItemId, id: RelationshipId) -> Result<()> {
    catalogue::find::<ConfigurationItem>(context, item)?;
    let seen = found(context, item, id)?;
    let permit = context.authorise(Access::Integration)?;
    // A relationship never changes, so its version is always the first.
    context.request.if_match.demand(1)?;
    let (from, to) = match seen.direction {
        RelationshipDirection::Outgoing => (item, seen.other_id),
        RelationshipDirection::Incoming => (seen.other_id, item),
    };
    let start = ConfigurationItem::lock(context.connection, from)?.ok_or(Error::NotFound("relationship"))?;
    let row = RelationshipRow {
        id,
        configuration_item_id: from,
        kind: seen.kind,
        target_id: to,
        created_at: seen.created_at,
    };
    let before = document(&row);
    let told = ("configuration_item.remove_relationship", Some(&before), None);
    let stamp = record(context, permit, &start.chain, &row, told)?;
    Ok(relationships::delete(context.connection, id, from, &stamp)?)
}

/// The state of a relationship that history compares.
pub fn document(row: &RelationshipRow) -> Value {
    json!({"kind": row.kind, "target_id": row.target_id})
}

fn record(
    context: &mut WriteContext<'_>,
    permit: Permit,
    chain: &ChainHead,
    row: &RelationshipRow,
    (action, before, after): (&str, Option<&Value>, Option<&Value>),
) -> Result<Stamp> {
    let change = Recorded {
        record_type: ConfigurationItem::RECORD,
        record_id: row.configuration_item_id.to_string(),
        subject: Some(("relationship", row.id.to_string())),
        action: action.into(),
        before,
        after,
        published: true,
    };
    context.record(permit, chain, change)
}
