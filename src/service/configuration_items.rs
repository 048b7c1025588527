//! Configuration items: working copies by their own key, with every state that they had.

use std::fmt::Display;

use super::catalogue::{self, Rules};
use super::keyed::demand_same_key;
use super::rules::unknown;
use super::setup::NOBODY;
use super::{ReadContext, Result, WriteContext};
use crate::domain::custom_fields::attributes_fault;
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::configuration_items::{self, HISTORY, HistoryRow};
use crate::repository::listing::{Condition, ListQuery, ListSpec, Rows, SqlValue};
use crate::repository::nouns::{ConfigurationItem, Group, Noun, Record};

impl Rules for ConfigurationItem {
    const ACCESS: Access = Access::Integration;
    const INSTEAD: &'static str = " Set its status to `retired` instead.";

    fn faults(
        &self,
        context: &mut WriteContext<'_>,
        _: Option<ConfigurationItemId>,
        before: Option<&Self>,
    ) -> Result<Vec<Fault>> {
        demand_same_key(before, self)?;
        let mut faults: Vec<Fault> = attributes_fault(&self.attributes.0).into_iter().collect();
        faults.extend(unknown::<Group>(context, self.owner_group_id, "/owner_group_id")?);
        Ok(faults)
    }

    fn after_store(
        context: &mut WriteContext<'_>,
        record: &Record<Self>,
        before: Option<&Self>,
        stamp: &Stamp,
    ) -> Result<()> {
        let row = state(context, record, before, (ItemOrigin::User, None, None));
        Ok(configuration_items::insert_history(context.connection, &row, stamp)?)
    }

    fn deletable(&self, context: &mut WriteContext<'_>, id: ConfigurationItemId) -> Result<()> {
        // Of an item that is used somewhere the history stays, for the item does.
        if Self::uses(context.connection, id)?.is_empty() {
            configuration_items::delete_history(context.connection, id)?;
        }
        Ok(())
    }
}

/// A page of the states that an item had.
pub fn history(
    context: &mut ReadContext<'_>,
    id: ConfigurationItemId,
    mut query: ListQuery,
) -> Result<Rows<HistoryRow>> {
    catalogue::read::<ConfigurationItem>(context, id)?;
    of_item(&HISTORY, "item_id", id, &mut query);
    let visibility = context.actor.visibility();
    Ok(configuration_items::history(context.connection, &query, &visibility, context.now)?)
}

/// Restricts a list to what belongs to something.
pub fn of_item(spec: &ListSpec, filter: &str, id: impl Display, query: &mut ListQuery) {
    let position = spec.filters.iter().position(|other| other.name == filter).unwrap_or_default();
    query.conditions.push(Condition { filter: position, values: vec![SqlValue::Text(id.to_string())] });
}

/// The state that an item was just given, with where it came from: the release or the import.
pub fn state(
    context: &ReadContext<'_>,
    record: &Record<ConfigurationItem>,
    before: Option<&ConfigurationItem>,
    (origin, release_id, import_id): (ItemOrigin, Option<ReleaseId>, Option<ImportId>),
) -> HistoryRow {
    HistoryRow {
        id: ItemHistoryId::new(context.env.new_id(context.now)),
        configuration_item_id: record.id,
        row_version: record.row_version,
        origin,
        release_id,
        import_id,
        actor_id: (context.actor.user_id != NOBODY).then_some(context.actor.user_id),
        actor_name: context.actor.username.clone(),
        request_id: context.request.id.clone(),
        at: context.now,
        before: before.cloned().map(Json),
        after: Json(record.content.clone()),
    }
}
