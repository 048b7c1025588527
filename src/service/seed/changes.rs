//! The changes that releases carry: which release carries which, and how each goes through its own tool.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::cast::TOOLS;
use super::tale::Tale;
use super::words;
use crate::domain::values::*;
use crate::repository::nouns::Change;

/// At least so many changes are made for releases that are played one by one.
pub const CHANGES: usize = 80;
/// So many of them belong to no release.
const UNLINKED: &[ChangeStatus] = &[
    ChangeStatus::Registered,
    ChangeStatus::Registered,
    ChangeStatus::Assessed,
    ChangeStatus::Authorised,
    ChangeStatus::Scheduled,
    ChangeStatus::Rejected,
    ChangeStatus::Rejected,
    ChangeStatus::Cancelled,
];

/// A change and its way: when its tool told which status.
pub struct ChangePlan {
    pub content: Change,
    pub news: Vec<(Timestamp, ChangeStatus)>,
    /// Who tells it, by index.
    pub person: usize,
}

impl ChangePlan {
    fn new(rng: &mut StdRng, index: usize, title: String, window: Option<Window>) -> Self {
        let (source, person) = TOOLS[index % TOOLS.len()];
        let number = 1000 + index * 7;
        let (external_id, url) = if source == "jira" {
            let key = format!("CHG-{number}");
            let url = format!("https://jira.meridian.example/browse/{key}");
            (key, url)
        } else {
            let key = format!("CHG{:07}", 30_000 + number);
            let url = format!("https://servicenow.meridian.example/change/{key}");
            (key, url)
        };
        Self {
            content: Change {
                source: source.into(),
                external_id,
                title,
                status: ChangeStatus::Registered,
                window: window.map(Json),
                risk: Level::ALL.choose(rng).copied(),
                rollback_plan: words::PLANS.choose(rng).map(|text| (*text).into()),
                url: Some(url),
                source_revision: Some(1),
                configuration_item_ids: Json::default(),
            },
            news: Vec::new(),
            person,
        }
    }
}

/// Makes at least `count` changes, the first of them named as the `first`, and tells the releases which are theirs. A
/// release takes over the change of one that is over; under way each has a change of its own.
pub fn changes(
    rng: &mut StdRng,
    tales: &mut [Tale],
    present: Timestamp,
    first: usize,
    count: usize,
) -> Vec<ChangePlan> {
    let mut carriers: Vec<usize> = (0..tales.len()).filter(|index| tales[*index].needs_change).collect();
    carriers.sort_by_key(|index| (tales[*index].links_at(), *index));
    let wanted = count.saturating_sub(UNLINKED.len()).min(carriers.len());
    let mut carried_by: Vec<Vec<usize>> = Vec::with_capacity(count);
    // When each change is free again: never before its release is over.
    let mut free: BTreeSet<(Timestamp, usize)> = BTreeSet::new();
    for carrier in carriers {
        let tale = &tales[carrier];
        let earliest = free.first().copied().filter(|(since, _)| *since < tale.links_at());
        let index = match earliest.filter(|_| carried_by.len() >= wanted) {
            Some(place) => {
                free.remove(&place);
                place.1
            }
            None => {
                carried_by.push(Vec::new());
                carried_by.len() - 1
            }
        };
        carried_by[index].push(carrier);
        if !tale.ending.is_under_way() {
            free.insert((tale.ended(), index));
        }
    }
    let mut plans = Vec::with_capacity(count);
    for (index, carried_by) in carried_by.iter().enumerate() {
        plans.push(carried(rng, tales, first + index, carried_by, present));
        for carrier in carried_by {
            tales[*carrier].changes.push(index);
        }
    }
    let all = count.max(plans.len() + UNLINKED.len());
    while plans.len() < all {
        let last = UNLINKED[plans.len() % UNLINKED.len()];
        plans.push(unlinked(rng, first + plans.len(), last, present));
    }
    plans
}

/// A change that releases carry: authorised before the first of them links it.
fn carried(rng: &mut StdRng, tales: &[Tale], index: usize, carried_by: &[usize], present: Timestamp) -> ChangePlan {
    let carriers = || carried_by.iter().map(|carrier| &tales[*carrier]);
    let windows = || carriers().flat_map(|tale| tale.windows.iter().map(|all| all.deployment));
    let starts = windows().map(|window| window.start).min().unwrap_or(present);
    let ends = windows().map(|window| window.end).max().unwrap_or(present);
    let window = rng
        .random_bool(0.7)
        .then(|| Window { start: starts.plus(-TimeDelta::hours(2)), end: ends.plus(TimeDelta::hours(4)) });
    let title = carriers().next().map_or_else(String::new, |tale| tale.title.clone());
    let mut plan = ChangePlan::new(rng, index, format!("Deploy {title}"), window);
    let linked = carriers().map(Tale::links_at).min().unwrap_or(present);
    let mut before = |from: i64, to: i64| linked.plus(-TimeDelta::minutes(rng.random_range(from..to)));
    plan.news = vec![(before(4000, 9000), ChangeStatus::Registered), (before(1500, 3900), ChangeStatus::Assessed)];
    let authorised = before(20, 1400);
    // Where no release has got so far, change management may still be thinking.
    let awaited = carriers().all(|tale| tale.authorised_at().is_none());
    if awaited && rng.random_bool(0.5) {
        return plan;
    }
    plan.news.push((authorised, ChangeStatus::Authorised));
    let over = carriers().map(Tale::ended).max().unwrap_or(present).max(ends);
    let scheduled = authorised.plus(TimeDelta::minutes(rng.random_range(30..600)));
    plan.news.push((scheduled, ChangeStatus::Scheduled));
    plan.news.push((starts.max(scheduled.plus(TimeDelta::minutes(5))), ChangeStatus::Implementing));
    plan.news.push((over.plus(TimeDelta::hours(3)), ChangeStatus::Completed));
    plan.news.retain(|(at, _)| *at < present);
    plan
}

/// A change without a release.
fn unlinked(rng: &mut StdRng, index: usize, last: ChangeStatus, present: Timestamp) -> ChangePlan {
    let portfolio = words::PRODUCTS[index % words::PRODUCTS.len()];
    let (product, features) = portfolio.choose(rng).copied().unwrap_or(("Service", &["update"]));
    let feature = features.choose(rng).copied().unwrap_or("update");
    let mut plan = ChangePlan::new(rng, index, format!("{product}: {feature}"), None);
    let path: &[ChangeStatus] = match last {
        ChangeStatus::Registered => &[],
        ChangeStatus::Scheduled => &[ChangeStatus::Assessed, ChangeStatus::Authorised],
        ChangeStatus::Assessed | ChangeStatus::Cancelled => &[],
        _ => &[ChangeStatus::Assessed],
    };
    let mut at = present.plus(-TimeDelta::minutes(rng.random_range(30_000..90_000)));
    plan.news.push((at, ChangeStatus::Registered));
    for status in path.iter().chain((last != ChangeStatus::Registered).then_some(&last)) {
        at = at.plus(TimeDelta::minutes(rng.random_range(600..9000)));
        plan.news.push((at, *status));
    }
    plan
}
