//! The impact of a release: what is reached from its configuration items, and who and what lies behind it.

use std::collections::{BTreeMap, HashMap};

use super::releases::visible;
use super::{ReadContext, Result};
use crate::domain::impact::{Direction, Walk};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::impact::{self, ItemFact, RELEASES_MAX, Touching};
use crate::repository::releases::ReleaseRef;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// How far.
    pub depth: u32,
    /// Which way; both where it is `None`.
    pub direction: Option<Direction>,
}

/// What was found.
#[derive(Debug)]
pub struct Impact {
    /// The items of the release itself.
    pub own: Vec<ConfigurationItemId>,
    /// The walks.
    pub walks: Vec<(Direction, Walk)>,
    /// What is told of every item on them.
    pub items: HashMap<ConfigurationItemId, ItemFact>,
    /// Other active releases that touch any of them, each with the items.
    pub releases: Vec<(Touching, Vec<ConfigurationItemId>)>,
    /// True where there is more than is told.
    pub truncated: bool,
}

/// The impact of a visible release: at most two statements for each level, and three besides.
pub fn of_release(context: &mut ReadContext<'_>, reference: ReleaseRef, question: Question) -> Result<Impact> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    let mut own = impact::linked_items(context.connection, release.id)?;
    own.sort_unstable();
    let directions = [Direction::Upstream, Direction::Downstream];
    let mut walks = Vec::new();
    for direction in directions.into_iter().filter(|one| question.direction.is_none_or(|asked| asked == *one)) {
        let mut walk = Walk::from(&own);
        for _ in 0..question.depth {
            if walk.frontier().is_empty() {
                break;
            }
            let (steps, more) = impact::steps(context.connection, walk.frontier(), direction)?;
            walk.step(&steps, more);
        }
        walks.push((direction, walk));
    }
    let mut ids = own.clone();
    ids.extend(walks.iter().flat_map(|(_, walk)| walk.reached().iter().map(|reached| reached.item)));
    ids.sort_unstable();
    ids.dedup();
    let items = impact::items(context.connection, &ids)?.into_iter().map(|item| (item.id, item)).collect();
    let visibility = context.actor.visibility();
    let (touching, more) = impact::touching(context.connection, release.id, &ids, &visibility)?;
    let mut by_number: BTreeMap<i64, (Touching, Vec<ConfigurationItemId>)> = BTreeMap::new();
    for one in touching {
        let item = one.item;
        by_number.entry(one.number).or_insert_with(|| (one, Vec::new())).1.push(item);
    }
    let truncated = more || by_number.len() > RELEASES_MAX || walks.iter().any(|(_, walk)| walk.is_truncated());
    let releases = by_number.into_values().take(RELEASES_MAX).collect();
    Ok(Impact { own, walks, items, releases, truncated })
}
