//! Activities: what is to be done in a release, and how its boards stand (`domain.md` §5).

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::Principal;
use super::values::*;
use super::workflow::{Responsible, Workflow};

/// What is due within so many hours is told apart.
pub const DUE_SOON_HOURS: i64 = 24;

/// An item on the checklist of an activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChecklistItem {
    /// Identifier.
    pub id: ChecklistItemId,
    /// What is to be seen to.
    pub text: String,
    /// Whether it is done.
    pub done: bool,
    /// Who did it.
    pub done_by: Option<UserId>,
    /// When it was done.
    pub done_at: Option<Timestamp>,
}

/// The groups that activities of a release may be given to: its executor group, and those responsible for a stage.
pub fn groups_of(executor: GroupId, workflow: &Workflow) -> Vec<GroupId> {
    let mut groups = vec![executor];
    for responsible in workflow.stages.iter().flat_map(|stage| &stage.responsible) {
        if let Responsible::Group { group_id } = responsible
            && !groups.contains(group_id)
        {
            groups.push(*group_id);
        }
    }
    groups
}

/// Who sees the release because of an activity that is given to them.
pub fn principals(assignee: Option<UserId>, group: Option<GroupId>) -> Vec<Principal> {
    assignee.map(Principal::User).into_iter().chain(group.map(Principal::Group)).collect()
}

/// What an activity may be begun by: the board that it is on, where the release stands, and what it depends on.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The board.
    pub phase: ActivityPhase,
    /// The column that it leaves.
    pub from: ActivityStatus,
    /// The column that it enters.
    pub to: ActivityStatus,
}

/// Another activity that stands in the way of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The activity.
    pub id: ActivityId,
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: ActivityStatus,
}

impl Step {
    /// Everything in the way. `depends_on` and `dependents` are direct, and not archived.
    pub fn faults(self, deployment_begun: bool, depends_on: &[Neighbour], dependents: &[Neighbour]) -> Vec<Fault> {
        if self.from == self.to {
            return Vec::new();
        }
        let mut faults = Vec::new();
        let begins = matches!(self.to, ActivityStatus::InProgress | ActivityStatus::Done);
        if begins && self.phase == ActivityPhase::Deployment && !deployment_begun {
            let detail = "A deployment activity begins once the stages before deployment are left.";
            faults.push(Fault::at("/status", "BEFORE_DEPLOYMENT", detail));
        }
        if self.to == ActivityStatus::Done {
            faults.extend(unfinished(depends_on, "/status"));
        }
        if self.from.is_finished() && !self.to.is_finished() {
            let done = dependents.iter().filter(|other| other.status == ActivityStatus::Done);
            faults.extend(done.map(|other| {
                let detail = format!("\"{}\" ({}) depends on this one and is `done`.", other.title, other.id);
                Fault::at("/status", "DEPENDENTS_DONE", detail)
            }));
        }
        faults
    }
}

/// A fault for every activity that is neither done nor skipped.
pub fn unfinished(depends_on: &[Neighbour], pointer: &str) -> Vec<Fault> {
    depends_on
        .iter()
        .filter(|other| !other.status.is_finished())
        .map(|other| {
            let detail =
                format!("\"{}\" ({}) is `{}`; it is done or skipped first.", other.title, other.id, other.status);
            Fault::at(pointer, "DEPENDENCIES_NOT_DONE", detail)
        })
        .collect()
}

/// The way from `start` back to itself over what depends on what, `start` at both ends; `None` where there is none.
/// The shortest one is told.
pub fn circle<N: Copy + Ord + std::hash::Hash>(start: N, edges: &BTreeMap<N, Vec<N>>) -> Option<Vec<N>> {
    let mut came_from: HashMap<N, N> = HashMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for next in edges.get(&node).into_iter().flatten() {
            if *next == start {
                let mut way = vec![start, node];
                let mut at = node;
                while at != start {
                    at = *came_from.get(&at)?;
                    way.push(at);
                }
                if node == start {
                    way.truncate(2);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(*next, node);
                open.push_back(*next);
            }
        }
    }
    None
}

/// What a board knows of one of its cards.
#[derive(Debug, Clone, Copy)]
pub struct CardFacts {
    /// Its column.
    pub status: ActivityStatus,
    /// When it is due.
    pub due_at: Option<Timestamp>,
    /// How long it is to take.
    pub estimated_minutes: Option<i64>,
}

impl CardFacts {
    /// True where it is not finished though it was due.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        !self.status.is_finished() && self.due_at.is_some_and(|due| due < now)
    }
}

/// How far a board has come. Skipped activities are not counted: nobody is going to do them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// What `done` and `all` are measured in.
    pub basis: ProgressBasis,
    /// What is done.
    pub done: i64,
    /// What there is to do in all, done or not.
    pub all: i64,
    /// `done` of `all` in whole percent, rounded down; null where there is nothing to do.
    #[schema(minimum = 0, maximum = 100)]
    pub percent: Option<i64>,
}

/// The counters of a board. Overdue, due within 24 h, on time and finished add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counters {
    /// Not finished, and past their due date.
    pub overdue: i64,
    /// Not finished, and due within 24 hours.
    pub due_within_24_hours: i64,
    /// Not finished, and due later or at no given time.
    pub on_time: i64,
    /// Done or skipped.
    pub finished: i64,
    /// All.
    pub total: i64,
}

/// Progress and counters of a board.
pub fn judge(cards: &[CardFacts], now: Timestamp) -> (Progress, Counters) {
    let mut counters = Counters { total: i64::try_from(cards.len()).unwrap_or(i64::MAX), ..Counters::default() };
    let soon = now.plus(TimeDelta::hours(DUE_SOON_HOURS));
    for card in cards {
        let counter = match card.due_at {
            _ if card.status.is_finished() => &mut counters.finished,
            Some(due) if due < now => &mut counters.overdue,
            Some(due) if due < soon => &mut counters.due_within_24_hours,
            _ => &mut counters.on_time,
        };
        *counter += 1;
    }
    let wanted = || cards.iter().filter(|card| card.status != ActivityStatus::Skipped);
    let estimated = wanted().any(|card| card.estimated_minutes.is_some_and(|minutes| minutes > 0));
    let weight = |card: &CardFacts| if estimated { card.estimated_minutes.unwrap_or(0) } else { 1 };
    let all = wanted().map(weight).sum();
    let done = wanted().filter(|card| card.status == ActivityStatus::Done).map(weight).sum();
    let basis = if estimated { ProgressBasis::Estimate } else { ProgressBasis::Count };
    let percent = (all > 0).then(|| done * 100 / all);
    (Progress { basis, done, all, percent }, counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(status: ActivityStatus, due_at: Option<&str>, estimated_minutes: Option<i64>) -> CardFacts {
        CardFacts { status, due_at: due_at.map(|at| at.parse().unwrap()), estimated_minutes }
    }

    #[test]
    fn progress_is_estimates_of_done_over_all_estimates_and_counts_where_nothing_is_estimated() {
        use ActivityStatus::*;
        let now = "2030-01-07T10:00:00Z".parse().unwrap();
        let progress = |cards: &[CardFacts]| {
            let Progress { basis, done, all, percent } = judge(cards, now).0;
            (basis, done, all, percent)
        };
        assert_eq!(progress(&[]), (ProgressBasis::Count, 0, 0, None));
        assert_eq!(progress(&[card(Skipped, None, Some(5))]), (ProgressBasis::Count, 0, 0, None));
        let counted = [card(Done, None, None), card(Todo, None, None), card(InProgress, None, None)];
        assert_eq!(progress(&counted), (ProgressBasis::Count, 1, 3, Some(33)));
        let estimated = [
            card(Done, None, Some(30)),
            card(Todo, None, Some(90)),
            card(Done, None, None),
            card(Skipped, None, Some(600)),
        ];
        assert_eq!(progress(&estimated), (ProgressBasis::Estimate, 30, 120, Some(25)));
    }

    #[test]
    fn counters_add_up_to_the_total() {
        use ActivityStatus::*;
        let now = "2030-01-07T10:00:00Z".parse().unwrap();
        let cards = [
            card(Todo, Some("2030-01-07T09:59:59Z"), None),
            card(Todo, Some("2030-01-07T10:00:00Z"), None),
            card(InProgress, Some("2030-01-08T09:59:59Z"), None),
            card(InProgress, Some("2030-01-08T10:00:00Z"), None),
            card(Todo, None, None),
            card(Done, Some("2030-01-01T00:00:00Z"), None),
            card(Skipped, None, None),
        ];
        let counters = judge(&cards, now).1;
        let expected = Counters { overdue: 1, due_within_24_hours: 2, on_time: 2, finished: 2, total: 7 };
        assert_eq!(counters, expected);
    }

    #[test]
    fn a_circle_is_told_by_its_way() {
        let edges = |pairs: &[(u8, u8)]| {
            let mut edges: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
            for (from, to) in pairs {
                edges.entry(*from).or_default().push(*to);
            }
            edges
        };
        assert_eq!(circle(1, &edges(&[(1, 2), (1, 3), (2, 4), (3, 4)])), None);
        assert_eq!(circle(1, &edges(&[(1, 1)])), Some(vec![1, 1]));
        assert_eq!(circle(1, &edges(&[(1, 2), (2, 1)])), Some(vec![1, 2, 1]));
        assert_eq!(circle(1, &edges(&[(1, 2), (2, 3), (3, 4), (4, 1), (2, 5), (5, 2)])), Some(vec![1, 2, 3, 4, 1]));
    }

    #[test]
    fn every_step_that_is_too_early_or_too_late_is_named() {
        use ActivityStatus::*;
        let step = |phase, from, to| Step { phase, from, to };
        let other = |status| Neighbour { id: ActivityId::new(uuid::Uuid::nil()), title: "Other".into(), status };
        let codes = |step: Step, begun, depends_on: &[Neighbour], dependents: &[Neighbour]| {
            step.faults(begun, depends_on, dependents).into_iter().map(|fault| fault.code).collect::<Vec<_>>()
        };
        let (planning, deployment) = (ActivityPhase::Planning, ActivityPhase::Deployment);
        assert_eq!(codes(step(planning, Todo, InProgress), false, &[other(Todo)], &[]), [""; 0]);
        assert_eq!(
            codes(step(planning, Todo, Done), false, &[other(Todo), other(Skipped)], &[]),
            ["DEPENDENCIES_NOT_DONE"]
        );
        assert_eq!(codes(step(deployment, Todo, InProgress), false, &[], &[]), ["BEFORE_DEPLOYMENT"]);
        assert_eq!(
            codes(step(deployment, Todo, Done), false, &[other(InProgress)], &[]),
            ["BEFORE_DEPLOYMENT", "DEPENDENCIES_NOT_DONE"]
        );
        assert_eq!(codes(step(deployment, Todo, Skipped), false, &[other(Todo)], &[]), [""; 0]);
        assert_eq!(codes(step(deployment, InProgress, InProgress), false, &[], &[]), [""; 0]);
        assert_eq!(codes(step(planning, Done, Todo), true, &[], &[other(Done), other(Todo)]), ["DEPENDENTS_DONE"]);
        assert_eq!(codes(step(planning, Done, Skipped), true, &[], &[other(Done)]), [""; 0]);
    }
}
