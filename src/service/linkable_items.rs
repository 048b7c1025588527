//! What a release may link of configuration items: whether a new link may be, and what a change brings along.

use std::collections::HashMap;

use super::item_links::{NewItemLink, Plan, fresh};
use super::medium_links::{Choice, choice_fault, choices};
use super::{Error, ReadContext, Result};
use crate::domain::values::*;
use crate::repository::item_links::{self, ITEM_LINKS_MAX, ItemLinkRow, ItemState};
use crate::repository::nouns::{Change, Record};

/// What new links are judged by, and what earlier ones of the same request add to it.
pub(super) struct Known {
    /// How many links the release has.
    count: usize,
    /// The items that a link of the release is of, and whether one is pending.
    linked: HashMap<ConfigurationItemId, bool>,
    states: HashMap<ConfigurationItemId, ItemState>,
    media: HashMap<MediumId, Choice>,
}

impl Known {
    /// Loads what is needed to judge links of these items; of a release that is not stored yet without it.
    pub(super) fn load(
        context: &mut ReadContext<'_>,
        release: Option<ReleaseId>,
        items: &[ConfigurationItemId],
        media: &[MediumId],
    ) -> Result<Self> {
        let standings = match release {
            Some(release) => item_links::standings(context.connection, release)?,
            None => Vec::new(),
        };
        let mut linked = HashMap::new();
        for (_, item, outcome) in &standings {
            *linked.entry(*item).or_insert(false) |= *outcome == ItemOutcome::Pending;
        }
        Ok(Self {
            count: standings.len(),
            linked,
            states: item_links::states_of(context.connection, items)?,
            media: choices(context, release, media)?,
        })
    }

    /// The item of a new link, or what is wrong with it.
    pub(super) fn judge(&mut self, new: &NewItemLink, pointer: &str) -> Draft<ItemState> {
        let mut faults = Vec::new();
        let item = new.configuration_item_id;
        let at = |field: &str| format!("{pointer}/{field}");
        let state = self.states.get(&item).cloned();
        match &state {
            None => faults.push(Fault::unknown(at("configuration_item_id"), "configuration item")),
            Some(_) if self.linked.get(&item) == Some(&true) => faults.push(Fault::at(
                at("configuration_item_id"),
                "ALREADY_EXISTS",
                "A pending link of the release is of this configuration item already.",
            )),
            Some(_) if self.count >= ITEM_LINKS_MAX => faults.push(Fault::at(
                at("configuration_item_id"),
                "LIMIT_REACHED",
                format!("A release has at most {ITEM_LINKS_MAX} links of configuration items."),
            )),
            Some(_) => {}
        }
        if let Some(medium) = new.medium_id {
            faults.extend(choice_fault(self.media.get(&medium), &at("medium_id")));
        }
        match state {
            Some(state) if faults.is_empty() => {
                self.count += 1;
                self.linked.insert(item, true);
                Ok(state)
            }
            _ => Err(faults),
        }
    }

    /// What a change brings: the items that no link of the release is of yet, as far as there is room.
    pub(super) fn bring(&mut self, items: &[ConfigurationItemId]) -> Brought {
        let mut brought = Brought::default();
        for item in items {
            if self.linked.contains_key(item) {
                brought.already_linked.push(*item);
            } else if self.count >= ITEM_LINKS_MAX {
                brought.over_limit.push(*item);
            } else if let Some(state) = self.states.get(item) {
                self.count += 1;
                self.linked.insert(*item, true);
                brought.linked.push(state.clone());
            }
        }
        brought
    }
}

/// What a change brings along.
#[derive(Debug, Clone, Default)]
pub struct Brought {
    /// The items that are linked because of it.
    pub linked: Vec<ItemState>,
    /// Those that a link of the release is of already.
    pub already_linked: Vec<ConfigurationItemId>,
    /// Those that there is no room for.
    pub over_limit: Vec<ConfigurationItemId>,
}

/// The refusal that faults add up to: what the state forbids comes before what is not valid.
pub(super) fn refusal(faults: Vec<Fault>) -> Error {
    let (forbidden, invalid): (Vec<Fault>, Vec<Fault>) = faults.into_iter().partition(is_conflict);
    match forbidden.first() {
        Some(first) => {
            let (code, detail) = (first.code, first.detail.clone());
            Error::Conflict { code, detail, standing: None, faults: forbidden }
        }
        None => Error::Invalid(invalid),
    }
}

/// True where the state forbids it, and not the value.
pub fn is_conflict(fault: &Fault) -> bool {
    ["ALREADY_EXISTS", "LIMIT_REACHED", "NO_LICENCE_LEFT", "SPARE_RESERVED", "SPARE_STATE_FORBIDS"]
        .contains(&fault.code)
}

/// An item that a new release is going to change.
#[derive(Debug, Clone)]
pub(super) struct FirstLink {
    item: ItemState,
    change_id: Option<ChangeId>,
    plan: Plan,
}

impl FirstLink {
    /// Its row, once the release has an identifier.
    pub(super) fn row(&self, context: &ReadContext<'_>, release: ReleaseId) -> ItemLinkRow {
        fresh(context, release, &self.item, self.change_id, self.plan.clone())
    }
}

/// The items that a new release is going to change: those that are sent along, and those that its changes bring. All of
/// them or none: there is no room for more than a release may have. [`Error::Conflict`] where a licence is missing.
pub(super) fn first_links(
    context: &mut ReadContext<'_>,
    new: &[NewItemLink],
    changes: &[Record<Change>],
) -> Result<Draft<Vec<FirstLink>>> {
    let of_changes = changes.iter().flat_map(|change| change.content.configuration_item_ids.0.iter().copied());
    let items: Vec<_> = new.iter().map(|link| link.configuration_item_id).chain(of_changes).collect();
    if items.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let media: Vec<_> = new.iter().filter_map(|link| link.medium_id).collect();
    let mut known = Known::load(context, None, &items, &media)?;
    let (mut links, mut faults) = (Vec::new(), Vec::new());
    for (index, link) in new.iter().enumerate() {
        match known.judge(link, &format!("/configuration_items/{index}")) {
            Ok(item) => links.push(FirstLink { item, change_id: None, plan: link.plan() }),
            Err(more) => faults.extend(more),
        }
    }
    for (index, change) in changes.iter().enumerate() {
        let brought = known.bring(&change.content.configuration_item_ids.0);
        if !brought.over_limit.is_empty() {
            let detail = format!("With the configuration items of this change there are more than {ITEM_LINKS_MAX}.");
            faults.push(Fault::at(format!("/changes/{index}/change_id"), "LIMIT_REACHED", detail));
        }
        let change_id = Some(change.id);
        links.extend(brought.linked.into_iter().map(|item| FirstLink { item, change_id, plan: Plan::default() }));
    }
    // What others hold is in the way first, as with changes.
    let taken: Vec<Fault> = faults.iter().filter(|fault| fault.code == "NO_LICENCE_LEFT").cloned().collect();
    if !taken.is_empty() {
        return Err(refusal(taken));
    }
    Ok(if faults.is_empty() { Ok(links) } else { Err(faults) })
}
