//! What is particular to each noun of the directory and the catalogue (`domain.md` §8).

use std::collections::{BTreeSet, HashSet};
use std::fmt::Display;
use std::hash::Hash;

use super::catalogue::Rules;
use super::{Error, Result, WriteContext, identity};
use crate::domain::checklist::question_faults;
use crate::domain::policy::{Access, Permit};
use crate::domain::values::*;
use crate::repository::directory;
use crate::repository::nouns::{
    Calendar, Change, ChecklistTemplate, ConfigurationItem, Contract, Group, Justification, Noun, Portfolio,
    SolutionCategory, Unit, User,
};

/// A fault where the noun that is referred to does not exist.
pub fn unknown<N: Noun>(context: &mut WriteContext<'_>, id: Option<N::Id>, pointer: &str) -> Result<Option<Fault>> {
    let Some(id) = id else { return Ok(None) };
    let found = N::find(context.connection, id)?.is_some();
    Ok((!found).then(|| Fault::unknown(pointer, N::RECORD)))
}

/// Faults for what a list names more than once, or what does not exist.
pub fn unknown_in_list<N: Noun>(context: &mut WriteContext<'_>, ids: &[N::Id], pointer: &str) -> Result<Vec<Fault>>
where
    N::Id: Eq + Hash,
{
    let mut faults = repeated(ids, pointer);
    for (index, id) in ids.iter().enumerate() {
        faults.extend(unknown::<N>(context, Some(*id), &format!("{pointer}/{index}"))?);
    }
    Ok(faults)
}

/// Locks what a record begins to name where no foreign key does, so that none of it is deleted meanwhile; in one order, so
/// that nobody waits in a circle.
pub fn hold_new<N: Noun>(
    context: &mut WriteContext<'_>,
    named: &BTreeSet<N::Id>,
    before: &BTreeSet<N::Id>,
) -> Result<()>
where
    N::Id: Ord,
{
    for id in named.difference(before) {
        N::lock(context.connection, *id)?;
    }
    Ok(())
}

/// A fault for every value that a list holds more than once.
pub fn repeated<T: Eq + Hash + Display>(values: &[T], pointer: &str) -> Vec<Fault> {
    let mut seen = HashSet::new();
    values
        .iter()
        .enumerate()
        .filter(|(_, value)| !seen.insert(*value))
        .map(|(index, value)| {
            Fault::at(format!("{pointer}/{index}"), "REPEATED", format!("{value} is in the list more than once."))
        })
        .collect()
}

/// A tree is at most so deep.
const TREE_DEPTH_MAX: usize = 32;

/// Climbs from a parent to the root; a fault where that leads to the record itself, or too far.
fn tree_fault<N: Noun>(
    context: &mut WriteContext<'_>,
    id: Option<N::Id>,
    parent: Option<N::Id>,
    parent_of: impl Fn(&N) -> Option<N::Id>,
) -> Result<Option<Fault>> {
    let mut next = parent;
    for depth in 0..=TREE_DEPTH_MAX {
        let Some(current) = next else { return Ok(None) };
        if id == Some(current) {
            return Ok(Some(Fault::at("/parent_id", "CYCLE", "This would put the record below itself.")));
        }
        // Locked on the way up: of two moves that would close a circle between them, one sees the other.
        match N::lock(context.connection, current)? {
            Some(record) => next = parent_of(&record.content),
            None if depth == 0 => return Ok(Some(Fault::unknown("/parent_id", N::RECORD))),
            None => return Ok(None),
        }
    }
    Ok(Some(Fault::at("/parent_id", "TOO_DEEP", format!("The tree is at most {TREE_DEPTH_MAX} levels deep."))))
}

impl Rules for Unit {
    const ACCESS: Access = Access::Directory;

    fn faults(&self, context: &mut WriteContext<'_>, id: Option<UnitId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(tree_fault::<Self>(context, id, self.parent_id, |unit| unit.parent_id)?.into_iter().collect())
    }
}

impl Rules for User {
    const ACCESS: Access = Access::Directory;

    fn faults(&self, context: &mut WriteContext<'_>, id: Option<UserId>, before: Option<&Self>) -> Result<Vec<Fault>> {
        if let (Some(id), Some(before)) = (id, before)
            && !self.is_active_admin()
        {
            before.unless_last_admin(context, id)?;
        }
        Ok(unknown::<Unit>(context, self.unit_id, "/unit_id")?.into_iter().collect())
    }

    fn before_store(&self, context: &mut WriteContext<'_>, _: Permit, id: UserId) -> Result<()> {
        // Sessions end with the account, and do not come back with it.
        if self.active { Ok(()) } else { identity::end_sessions(context, id, None) }
    }

    fn deletable(&self, context: &mut WriteContext<'_>, id: UserId) -> Result<()> {
        if context.actor.user_id == id {
            return Err(Error::conflict("IN_USE", "You cannot delete your own account."));
        }
        // Whoever deletes another may be losing the role at this moment.
        self.unless_last_admin(context, id)
    }
}

impl User {
    fn is_active_admin(&self) -> bool {
        self.active && self.global_role == Some(GlobalRole::Admin)
    }

    /// Refuses where nobody else is an active administrator.
    fn unless_last_admin(&self, context: &mut WriteContext<'_>, id: UserId) -> Result<()> {
        if self.is_active_admin() && directory::others_with_role(context.connection, GlobalRole::Admin, id)? == 0 {
            return Err(Error::conflict("LAST_ADMIN", "This is the last active administrator."));
        }
        Ok(())
    }
}

impl Rules for Group {
    const ACCESS: Access = Access::Directory;

    fn faults(&self, _: &mut WriteContext<'_>, _: Option<GroupId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(Vec::new())
    }
}

impl Rules for Contract {
    const ACCESS: Access = Access::Directory;

    fn faults(
        &self,
        context: &mut WriteContext<'_>,
        _: Option<ContractId>,
        before: Option<&Self>,
    ) -> Result<Vec<Fault>> {
        let groups = |contract: &Self| contract.group_ids.0.iter().copied().collect();
        let units = |contract: &Self| contract.unit_ids.0.iter().copied().collect();
        hold_new::<Group>(context, &groups(self), &before.map(groups).unwrap_or_default())?;
        hold_new::<Unit>(context, &units(self), &before.map(units).unwrap_or_default())?;
        let mut faults = unknown_in_list::<Group>(context, &self.group_ids.0, "/group_ids")?;
        faults.extend(unknown_in_list::<Unit>(context, &self.unit_ids.0, "/unit_ids")?);
        Ok(faults)
    }
}

impl Rules for Calendar {
    const ACCESS: Access = Access::Catalogue;

    fn faults(&self, _: &mut WriteContext<'_>, _: Option<CalendarId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(self.worktime().err().unwrap_or_default())
    }
}

impl Rules for Justification {
    const ACCESS: Access = Access::Catalogue;

    fn faults(&self, _: &mut WriteContext<'_>, _: Option<JustificationId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(Vec::new())
    }
}

impl Rules for SolutionCategory {
    const ACCESS: Access = Access::Catalogue;

    fn faults(&self, _: &mut WriteContext<'_>, _: Option<SolutionCategoryId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(Vec::new())
    }
}

impl Rules for ChecklistTemplate {
    const ACCESS: Access = Access::Catalogue;

    fn faults(&self, _: &mut WriteContext<'_>, _: Option<ChecklistTemplateId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(question_faults(&self.questions.0, "/questions"))
    }
}

impl Rules for Portfolio {
    const ACCESS: Access = Access::Catalogue;

    fn faults(&self, context: &mut WriteContext<'_>, id: Option<PortfolioId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(tree_fault::<Self>(context, id, self.parent_id, |portfolio| portfolio.parent_id)?.into_iter().collect())
    }
}

impl Rules for Change {
    const ACCESS: Access = Access::Integration;
    const INSTEAD: &'static str = "";

    fn faults(&self, context: &mut WriteContext<'_>, _: Option<ChangeId>, before: Option<&Self>) -> Result<Vec<Fault>> {
        let items = |change: &Self| change.configuration_item_ids.0.iter().copied().collect();
        hold_new::<ConfigurationItem>(context, &items(self), &before.map(items).unwrap_or_default())?;
        let mut faults =
            unknown_in_list::<ConfigurationItem>(context, &self.configuration_item_ids.0, "/configuration_item_ids")?;
        if self.window.as_ref().is_some_and(|window| window.0.start >= window.0.end) {
            faults.push(Fault::at("/window", "WINDOW_REVERSED", "The window must start before it ends."));
        }
        super::keyed::demand_same_key(before, self)?;
        Ok(faults)
    }
}
