//! Impact: what is reached from the configuration items of a release, upstream and downstream (`domain.md` §9).
//!
//! Upstream of an item is what it needs: the targets of its relationships. Downstream is what needs it. Items that
//! are connected reach each other both ways. The walk goes level by level, so that the path to an item is a shortest
//! one, and cycles end by themselves.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::values::{ConfigurationItemId, RelationshipKind};

/// A walk goes at most so deep.
pub const DEPTH_MAX: u32 = 6;
/// How deep it goes when nothing is said.
pub const DEPTH_DEFAULT: u32 = 2;
/// So many items are reached at most, in each direction.
pub const REACHED_MAX: usize = 1000;
/// So many relationships are looked at on each level, at most.
pub const STEPS_MAX: usize = 10_000;

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To what an item needs.
    Upstream,
    /// To what needs an item.
    Downstream,
}

/// A relationship, as a walk goes along it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The item that the walk comes from.
    pub from: ConfigurationItemId,
    /// The item that it leads to.
    pub to: ConfigurationItemId,
    /// The relationship between them.
    pub kind: RelationshipKind,
}

/// How an item was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The item.
    pub item: ConfigurationItemId,
    /// The item before it on the path.
    pub from: ConfigurationItemId,
    /// The relationship that leads from that one to this one.
    pub kind: RelationshipKind,
    /// How many relationships lie between it and an item of the release.
    pub distance: u32,
}

/// A walk in one direction.
#[derive(Debug, Clone)]
pub struct Walk {
    seen: HashMap<ConfigurationItemId, usize>,
    reached: Vec<Reached>,
    frontier: Vec<ConfigurationItemId>,
    distance: u32,
    truncated: bool,
}

impl Walk {
    /// A walk that starts from these items.
    pub fn from(start: &[ConfigurationItemId]) -> Self {
        let mut frontier = start.to_vec();
        frontier.sort_unstable();
        frontier.dedup();
        let seen = frontier.iter().map(|item| (*item, usize::MAX)).collect();
        Self { seen, reached: Vec::new(), frontier, distance: 0, truncated: false }
    }

    /// The items from which the next level is looked for; empty at the end.
    pub fn frontier(&self) -> &[ConfigurationItemId] {
        &self.frontier
    }

    /// Goes one level further along these relationships, all of which start from the frontier. `more`: there are others
    /// that were not looked at.
    pub fn step(&mut self, steps: &[Step], more: bool) {
        self.truncated |= more;
        self.distance += 1;
        self.frontier.clear();
        for step in steps {
            if self.seen.contains_key(&step.to) {
                continue;
            }
            if self.reached.len() >= REACHED_MAX {
                self.truncated = true;
                break;
            }
            self.seen.insert(step.to, self.reached.len());
            self.reached.push(Reached { item: step.to, from: step.from, kind: step.kind, distance: self.distance });
            self.frontier.push(step.to);
        }
        if self.reached.len() >= REACHED_MAX {
            // Whatever lies behind is not looked at.
            self.truncated |= !self.frontier.is_empty();
            self.frontier.clear();
        }
    }

    /// True where there is more than was reached.
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// What was reached, nearest first.
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }

    /// The items on the path to this one, and the relationship that leads to each: from an item of the release, which
    /// comes first and without one, to the item itself.
    pub fn path_to(&self, item: ConfigurationItemId) -> Vec<(ConfigurationItemId, Option<RelationshipKind>)> {
        let mut path = Vec::new();
        let mut current = item;
        while let Some(reached) = self.seen.get(&current).and_then(|index| self.reached.get(*index)) {
            path.push((current, Some(reached.kind)));
            current = reached.from;
        }
        path.push((current, None));
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u128) -> ConfigurationItemId {
        ConfigurationItemId::new(uuid::Uuid::from_u128(number))
    }

    fn needs(from: u128, to: u128) -> Step {
        Step { from: item(from), to: item(to), kind: RelationshipKind::DependsOn }
    }

    #[test]
    fn the_path_to_an_item_is_a_shortest_one_and_circles_end() {
        let mut walk = Walk::from(&[item(1), item(1)]);
        assert_eq!(walk.frontier(), [item(1)]);
        walk.step(&[needs(1, 2), needs(1, 3)], false);
        walk.step(&[needs(2, 4), needs(3, 4), needs(3, 1), needs(2, 3)], false);
        walk.step(&[needs(4, 2), needs(4, 4)], false);
        assert!(walk.frontier().is_empty() && !walk.is_truncated());
        let found: Vec<_> = walk.reached().iter().map(|reached| (reached.item, reached.distance)).collect();
        assert_eq!(found, [(item(2), 1), (item(3), 1), (item(4), 2)]);
        let kind = Some(RelationshipKind::DependsOn);
        assert_eq!(walk.path_to(item(4)), [(item(1), None), (item(2), kind), (item(4), kind)]);
        assert_eq!(walk.path_to(item(1)), [(item(1), None)]);
    }

    #[test]
    fn a_walk_that_stops_says_so() {
        let mut walk = Walk::from(&[item(0)]);
        let steps: Vec<Step> = (1..=REACHED_MAX as u128 + 1).map(|to| needs(0, to)).collect();
        walk.step(&steps, false);
        assert_eq!((walk.reached().len(), walk.is_truncated(), walk.frontier().len()), (REACHED_MAX, true, 0));
        let mut walk = Walk::from(&[item(0)]);
        walk.step(&[needs(0, 1)], true);
        assert!(walk.is_truncated());
    }
}
