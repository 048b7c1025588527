//! Activities that a release is created with: all or nothing, depending on each other by names in the request.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::activities::{Candidates, checklist, cycle, document, schedule_fault};
use super::activity_input::PlannedActivity;
use super::rules::repeated;
use super::{Result, WriteContext};
use crate::domain::activity::circle;
use crate::domain::lifecycle::OpenActivities;
use crate::domain::rank::first_keys;
use crate::domain::values::*;
use crate::repository::activities::{ActivityRow, OPEN_NAMED_MAX};

/// Where each `ref` stands in the list.
fn places(planned: &[PlannedActivity]) -> HashMap<&str, usize> {
    let named = planned.iter().enumerate().filter_map(|(index, one)| Some((one.reference.as_deref()?, index)));
    // Of several of one name the first counts; that there are several is a fault of its own.
    named.rev().collect()
}

/// Where activities stand in a body, and by which of their fields they are named there.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// The pointer to their list.
    pub list: &'static str,
    /// The field that names them.
    pub by: &'static str,
}

/// Those that are sent along with a release.
pub const SENT_ALONG: Named = Named { list: "/activities", by: "ref" };

/// What is wrong with the activities of a release to be; they may depend on those of the model. Without `groups` nobody
/// knows whom they may be given to.
pub fn planned_faults(
    context: &mut WriteContext<'_>,
    planned: &[PlannedActivity],
    of_model: &[PlannedActivity],
    groups: Option<&[GroupId]>,
    named: Named,
) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    if planned.is_empty() {
        return Ok(faults);
    }
    let places = places(planned);
    let users: Vec<UserId> = planned.iter().filter_map(|one| one.assignee_id).collect();
    let candidates = groups.map(|groups| Candidates::load(context, groups.to_vec(), &users)).transpose()?;
    let model_places = self::places(of_model);
    let mut edges: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, one) in planned.iter().enumerate() {
        let at = format!("{}/{index}", named.list);
        if let Some(name) = &one.reference
            && places.get(name.as_str()) != Some(&index)
        {
            faults.push(Fault::at(format!("{at}/{}", named.by), "REPEATED", "Another activity has this name."));
        }
        faults.extend(schedule_fault(one.scheduled_start, one.due_at, &at));
        faults.extend(repeated(&one.tags, &format!("{at}/tags")));
        faults.extend(repeated(&one.depends_on, &format!("{at}/depends_on")));
        if let Some(candidates) = &candidates {
            faults.extend(candidates.faults(one.assignee_id, one.group_id, &at));
        }
        checklist(context, &[], &one.checklist, &at, &mut faults);
        for (nth, name) in one.depends_on.iter().enumerate() {
            match places.get(name.as_str()) {
                Some(other) => edges.entry(index).or_default().push(*other),
                None if model_places.contains_key(name.as_str()) => {}
                None => faults.push(Fault::unknown(format!("{at}/depends_on/{nth}"), "activity in this request")),
            }
        }
    }
    let mut told: Vec<usize> = Vec::new();
    for index in 0..planned.len() {
        // Each circle is named once, where it is met first.
        let Some(way) = circle(index, &edges).filter(|way| !way.iter().any(|one| told.contains(one))) else { continue };
        let name = |at: &usize| planned[*at].title.clone();
        let pointer = format!("{}/{index}/depends_on", named.list);
        let labels: Vec<String> =
            way.iter().map(|at| planned[*at].reference.clone().unwrap_or_else(|| at.to_string())).collect();
        let titles: HashMap<String, String> = labels.iter().cloned().zip(way.iter().map(name)).collect();
        faults.push(cycle(pointer, &labels, |label| titles.get(label).cloned().unwrap_or_default()));
        told.extend(way);
    }
    Ok(faults)
}

/// The rows of the activities of a release that is just being made, each with what it depends on: those of its model,
/// then those that are sent along.
pub fn planned(
    context: &WriteContext<'_>,
    release: ReleaseId,
    of_model: &[PlannedActivity],
    sent_along: &[PlannedActivity],
) -> Vec<(ActivityRow, Vec<ActivityId>)> {
    let (first, rest) = (places(of_model), places(sent_along));
    let all = || of_model.iter().chain(sent_along);
    let by = (context.actor.user_id, context.now);
    let ids: Vec<ActivityId> = all().map(|_| ActivityId::new(context.env.new_id(context.now))).collect();
    let mut keys = [first_keys(ids.len()), first_keys(ids.len())];
    all()
        .zip(&ids)
        .enumerate()
        .map(|(index, (one, id))| {
            let [planning, deployment] = &mut keys;
            let keys = if one.phase == ActivityPhase::Planning { planning } else { deployment };
            let key = keys.next().unwrap_or_default();
            let checklist = checklist(context, &[], &one.checklist, "", &mut Vec::new());
            let row = ActivityRow::fresh(*id, release, one.phase, &key, one.content(checklist), by);
            let place = |name: &String| {
                let own = rest.get(name.as_str()).filter(|_| index >= of_model.len());
                own.map(|place| of_model.len() + place).or_else(|| first.get(name.as_str()).copied())
            };
            let mut depends_on: Vec<ActivityId> =
                one.depends_on.iter().filter_map(|name| ids.get(place(name)?).copied()).collect();
            depends_on.sort_unstable();
            (row, depends_on)
        })
        .collect()
}

/// The history of a creation tells the activities that were there at once; so do the facts of its gates.
pub fn tell_activities(after: &mut Value, rows: &[(ActivityRow, Vec<ActivityId>)]) -> OpenActivities {
    let mut open = OpenActivities::default();
    if rows.is_empty() {
        return open;
    }
    let documents: Vec<Value> = rows
        .iter()
        .map(|(row, depends_on)| {
            let mut whole = document(row, depends_on);
            whole["id"] = json!(row.id);
            if let Some(fields) = whole.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            whole
        })
        .collect();
    after["activities"] = json!(documents);
    for (row, _) in rows {
        let phase = open.of(row.phase);
        phase.count += 1;
        if phase.examples.len() < OPEN_NAMED_MAX {
            phase.examples.push(row.id);
        }
    }
    open
}
