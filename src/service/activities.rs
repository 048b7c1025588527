//! Activities of a release: added, patched, moved on their boards, archived (`domain.md` §5).

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::activity_input::{ActivityFields, ChecklistItemFields, DEPENDS_ON_MAX, Move, NewActivity};
pub use super::activity_plan::{planned, planned_faults, tell_activities};
use super::releases::{active, may_execute, record_part, standing_conflict, visible, visible_locked};
use super::rules::repeated;
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::activity::{
    self, CardFacts, ChecklistItem, Counters, Progress, Step, circle, groups_of, unfinished,
};
use crate::domain::policy::{Access, Permit};
use crate::domain::rank::place;
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::activities::{
    self, ACTIVITIES_MAX, ACTIVITIES_WITH_ARCHIVED_MAX, ActivityRow, LIST, cards_of_column,
};
use crate::repository::audit::Stamp;
use crate::repository::boards::{self, Card};
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::releases::ReleaseRef;

/// An activity as it is shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The activity.
    pub row: ActivityRow,
    /// What it depends on.
    pub depends_on: Vec<ActivityId>,
    /// The present.
    pub now: Timestamp,
}

/// A board of a release.
#[derive(Debug)]
pub struct Board {
    /// The release.
    pub release: Release,
    /// Its cards, column by column, in order.
    pub cards: Vec<Card>,
    /// How far it has come.
    pub progress: Progress,
    /// What is late, and what is not.
    pub counters: Counters,
    /// The present.
    pub now: Timestamp,
}

/// A page of the activities of a visible release; archived ones only where they are asked for.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef, mut query: ListQuery) -> Result<Rows<Shown>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    let position = |name: &str| LIST.filters.iter().position(|filter| filter.name == name).unwrap_or_default();
    let archived = position("archived");
    if !query.conditions.iter().any(|condition| condition.filter == archived) {
        query.conditions.push(Condition { filter: archived, values: vec![SqlValue::Boolean(false)] });
    }
    let id = SqlValue::Text(release.id.to_string());
    query.conditions.push(Condition { filter: position("release_id"), values: vec![id] });
    let Rows { rows, more, total } = activities::page(context.connection, &query, context.now)?;
    let ids: Vec<ActivityId> = rows.iter().map(|row| row.id).collect();
    let mut depends_on = activities::depends_on(context.connection, &ids)?;
    let now = context.now;
    let rows = rows
        .into_iter()
        .map(|row| Shown { depends_on: depends_on.remove(&row.id).unwrap_or_default(), row, now })
        .collect();
    Ok(Rows { rows, more, total })
}

/// One activity of a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ActivityId) -> Result<Shown> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    let row = own(context, &release, id)?;
    shown(context, row)
}

/// A board of a visible release: two statements, whatever there is on it.
pub fn board(context: &mut ReadContext<'_>, reference: ReleaseRef, phase: ActivityPhase) -> Result<Board> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    let cards = boards::board(context.connection, release.id, phase)?;
    let facts: Vec<CardFacts> = cards
        .iter()
        .map(|card| CardFacts { status: card.status, due_at: card.due_at, estimated_minutes: card.estimated_minutes })
        .collect();
    let (progress, counters) = activity::judge(&facts, context.now);
    Ok(Board { release, cards, progress, counters, now: context.now })
}

/// An activity of the release.
pub(super) fn own(context: &mut ReadContext<'_>, release: &Release, id: ActivityId) -> Result<ActivityRow> {
    activities::find(context.connection, release.id, id)?.ok_or(Error::NotFound("activity"))
}

fn shown(context: &mut ReadContext<'_>, row: ActivityRow) -> Result<Shown> {
    let depends_on = activities::depends_on(context.connection, &[row.id])?.remove(&row.id).unwrap_or_default();
    Ok(Shown { row, depends_on, now: context.now })
}

/// An activity of a release that is locked, and the permit of somebody who may work on it.
pub(super) fn workable(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
) -> Result<(Release, ActivityRow, Permit)> {
    let release = visible_locked(context, reference)?;
    let row = own(context, &release, activity)?;
    let permit = may_execute(context, &release)?;
    Ok((release, row, permit))
}

/// Demands an activity that is not archived.
pub(super) fn current(context: &mut WriteContext<'_>, release: &Release, row: &ActivityRow) -> Result<()> {
    if row.archived_at.is_none() {
        return Ok(());
    }
    let detail = "An archived activity is not changed. Unarchive it first.".into();
    Err(standing_conflict(context, release, "ACTIVITY_ARCHIVED", detail, Vec::new()))
}

/// The state of an activity that history compares.
pub(super) fn document(row: &ActivityRow, depends_on: &[ActivityId]) -> Value {
    json!({
        "phase": row.phase,
        "status": row.status,
        "title": row.title,
        "description": row.description,
        "kind": row.kind,
        "assignee_id": row.assignee_id,
        "group_id": row.group_id,
        "technical_guidelines": row.technical_guidelines,
        "scheduled_start": row.scheduled_start,
        "due_at": row.due_at,
        "estimated_minutes": row.estimated_minutes,
        "checklist": row.checklist.0,
        "depends_on": depends_on,
        "tags": row.tags.0,
        "archived": row.archived_at.is_some(),
    })
}

fn record(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    (action, id): (&str, ActivityId),
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<Stamp> {
    record_part(context, permit, release, ("activity", id.to_string()), action, (before, after))
}

/// Who may be given activities of a release.
pub(super) struct Candidates {
    groups: Vec<GroupId>,
    users: HashMap<UserId, (bool, Vec<GroupId>)>,
}

impl Candidates {
    /// Those among the users that belong to one of the groups.
    pub(super) fn load(context: &mut WriteContext<'_>, groups: Vec<GroupId>, users: &[UserId]) -> Result<Self> {
        let users = activities::candidates(context.connection, users, &groups)?;
        Ok(Self { groups, users })
    }

    /// What is wrong with giving an activity to these; `at` is the pointer to it.
    pub(super) fn faults(&self, assignee: Option<UserId>, group: Option<GroupId>, at: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let of_release = group.is_none_or(|group| self.groups.contains(&group));
        if !of_release {
            faults.push(Fault::at(
                format!("{at}/group_id"),
                "NOT_A_GROUP_OF_THE_RELEASE",
                "The group is neither the executor group of the release nor responsible for a stage of its workflow.",
            ));
        }
        let Some(assignee) = assignee else { return faults };
        let pointer = format!("{at}/assignee_id");
        match self.users.get(&assignee) {
            None => faults.push(Fault::unknown(pointer, "user")),
            Some((false, _)) => faults.push(Fault::at(pointer, "USER_DISABLED", "The user's account is disabled.")),
            Some((true, groups)) => {
                let member = group.map_or(!groups.is_empty(), |group| groups.contains(&group));
                if of_release && !member {
                    let detail = "The user does not belong to the group, or to no group of the release.";
                    faults.push(Fault::at(pointer, "NOT_A_GROUP_MEMBER", detail));
                }
            }
        }
        faults
    }
}

/// A fault where it is due before it starts.
pub(super) fn schedule_fault(start: Option<Timestamp>, due: Option<Timestamp>, at: &str) -> Option<Fault> {
    let reversed = matches!((start, due), (Some(start), Some(due)) if due < start);
    reversed.then(|| Fault::at(format!("{at}/due_at"), "DUE_BEFORE_START", "It is due before it starts."))
}

/// The checklist that results from what was given, and what is wrong with it.
pub(super) fn checklist(
    context: &WriteContext<'_>,
    before: &[ChecklistItem],
    given: &[ChecklistItemFields],
    at: &str,
    faults: &mut Vec<Fault>,
) -> Vec<ChecklistItem> {
    let mut items: Vec<ChecklistItem> = Vec::with_capacity(given.len());
    for (index, fields) in given.iter().enumerate() {
        let known = match fields.id {
            None => None,
            Some(id) => {
                let pointer = format!("{at}/checklist/{index}/id");
                if items.iter().any(|item| item.id == id) {
                    faults.push(Fault::at(&pointer, "REPEATED", "The item is in the list more than once."));
                }
                let known = before.iter().find(|item| item.id == id);
                if known.is_none() {
                    faults.push(Fault::unknown(pointer, "item on the checklist"));
                }
                known
            }
        };
        let was_done = known.filter(|item| item.done);
        let (done_by, done_at) = match (fields.done, was_done) {
            (false, _) => (None, None),
            (true, Some(item)) => (item.done_by, item.done_at),
            (true, None) => (Some(context.actor.user_id), Some(context.now)),
        };
        let id = known.map_or_else(|| ChecklistItemId::new(context.env.new_id(context.now)), |item| item.id);
        items.push(ChecklistItem { id, text: fields.text.clone(), done: fields.done, done_by, done_at });
    }
    items
}

fn dependency_pointer(index: usize) -> String {
    format!("/depends_on/{index}")
}

/// What is wrong with what an activity is to depend on. `known` is what it depends on already.
fn dependency_faults(
    context: &mut WriteContext<'_>,
    release: &Release,
    row: &ActivityRow,
    known: &[ActivityId],
    wanted: &[ActivityId],
) -> Result<Vec<Fault>> {
    let mut faults = repeated(wanted, "/depends_on");
    let found = activities::among(context.connection, release.id, wanted)?;
    for (index, id) in wanted.iter().enumerate() {
        let pointer = dependency_pointer(index);
        match found.get(id) {
            _ if *id == row.id => {}
            None => faults.push(Fault::unknown(pointer, "activity in this release")),
            Some(_) if known.contains(id) => {}
            Some((_, true)) => {
                faults.push(Fault::at(
                    pointer,
                    "ACTIVITY_ARCHIVED",
                    "Nothing comes to depend on an archived activity.",
                ));
            }
            Some((other, false)) if row.status == ActivityStatus::Done => {
                faults.extend(unfinished(std::slice::from_ref(other), &pointer));
            }
            Some(_) => {}
        }
    }
    let mut edges = if known == wanted { BTreeMap::new() } else { activities::edges(context.connection, release.id)? };
    for (index, id) in wanted.iter().enumerate().filter(|(_, id)| !known.contains(id)) {
        edges.insert(row.id, vec![*id]);
        let Some(way) = circle(row.id, &edges) else { continue };
        let titles = activities::among(context.connection, release.id, &way)?;
        faults.push(cycle(dependency_pointer(index), &way, |id| {
            titles.get(id).map_or_else(|| row.title.clone(), |(other, _)| other.title.clone())
        }));
    }
    Ok(faults)
}

/// Of a longer circle only so many activities are named.
const CIRCLE_NAMED_MAX: usize = 12;

/// A circle, named by its way.
pub(super) fn cycle<N: std::fmt::Display>(pointer: String, way: &[N], title: impl Fn(&N) -> String) -> Fault {
    let named = |ids: &[N]| ids.iter().map(|id| format!("\"{}\" ({id})", title(id))).collect::<Vec<_>>();
    let way = match way.len().checked_sub(CIRCLE_NAMED_MAX) {
        None | Some(0) => named(way),
        Some(left_out) => {
            let (first, rest) = way.split_at(CIRCLE_NAMED_MAX - 2);
            let mut told = named(first);
            told.push(format!("{left_out} others"));
            told.extend(named(rest.split_at(left_out).1));
            told
        }
    };
    Fault::at(pointer, "CYCLE", format!("It would go round in a circle: {}.", way.join(" → ")))
}

/// Demands room for one more activity.
fn room(context: &mut WriteContext<'_>, release: &Release) -> Result<()> {
    let (current, all) = activities::counts(context.connection, release.id)?;
    if current >= ACTIVITIES_MAX || all >= ACTIVITIES_WITH_ARCHIVED_MAX {
        let detail = format!(
            "A release has at most {ACTIVITIES_MAX} activities, and at most {ACTIVITIES_WITH_ARCHIVED_MAX} with \
             those that are archived."
        );
        return Err(Error::conflict("LIMIT_REACHED", detail));
    }
    Ok(())
}

/// Adds an activity, at the end of the column `todo`.
pub fn create(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewActivity>) -> Result<Shown> {
    let release = visible_locked(context, reference)?;
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let permit = may_execute(context, &release)?;
    active(context, &release)?;
    room(context, &release)?;
    let new = draft.map_err(Error::Invalid)?;
    let mut faults: Vec<Fault> = schedule_fault(new.scheduled_start, new.due_at, "").into_iter().collect();
    let users: Vec<UserId> = new.assignee_id.into_iter().collect();
    let candidates = Candidates::load(context, groups_of(release.executor_group_id, &workflow), &users)?;
    faults.extend(candidates.faults(new.assignee_id, new.group_id, ""));
    faults.extend(repeated(&new.tags, "/tags"));
    let checklist = checklist(context, &[], &new.checklist, "", &mut faults);
    let column = cards_of_column(context.connection, release.id, new.phase, ActivityStatus::Todo)?;
    let keys: Vec<&str> = column.iter().map(|(_, key)| key.as_str()).collect();
    let placed = place(&keys, keys.len());
    let id = ActivityId::new(context.env.new_id(context.now));
    let by = (context.actor.user_id, context.now);
    let row = ActivityRow::fresh(id, release.id, new.phase, &placed.key, new.content(checklist), by);
    faults.extend(dependency_faults(context, &release, &row, &[], &new.depends_on)?);
    Error::unless_none(faults)?;
    let after = document(&row, &new.depends_on);
    let stamp = record(context, permit, &release, ("release.create_activity", id), None, Some(&after))?;
    activities::insert(&mut context.journal, &[(row.clone(), new.depends_on.clone())], &stamp);
    let swept = swept(&column, placed.swept);
    activities::set_keys(context.connection, &row, &swept, &stamp)?;
    Ok(Shown { row, depends_on: sorted(new.depends_on), now: context.now })
}

fn swept(column: &[(ActivityId, String)], swept: Vec<(usize, String)>) -> Vec<(ActivityId, String)> {
    swept.into_iter().filter_map(|(at, key)| Some((column.get(at)?.0, key))).collect()
}

fn sorted(mut ids: Vec<ActivityId>) -> Vec<ActivityId> {
    ids.sort_unstable();
    ids
}

/// The fields that a patch may change, as they are now.
fn editable(row: &ActivityRow, depends_on: &[ActivityId]) -> Result<Value> {
    let fields = ActivityFields {
        depends_on: depends_on.to_vec(),
        title: row.title.clone(),
        description: row.description.clone(),
        kind: row.kind,
        assignee_id: row.assignee_id,
        group_id: row.group_id,
        technical_guidelines: row.technical_guidelines.clone(),
        scheduled_start: row.scheduled_start,
        due_at: row.due_at,
        estimated_minutes: row.estimated_minutes,
        checklist: row
            .checklist
            .0
            .iter()
            .map(|item| ChecklistItemFields { id: Some(item.id), text: item.text.clone(), done: item.done })
            .collect(),
        tags: row.tags.0.clone(),
    };
    super::catalogue::document(&fields)
}

/// Patches an activity. A patch that changes nothing stores nothing.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ActivityId,
    patch: &MergePatch<ActivityFields>,
) -> Result<Shown> {
    let (release, row, permit) = workable(context, reference, id)?;
    context.request.if_match.demand(row.row_version)?;
    active(context, &release)?;
    current(context, &release, &row)?;
    let Shown { row, depends_on, now } = shown(context, row)?;
    let fields = patch.apply(editable(&row, &depends_on)?).map_err(Error::Invalid)?;
    let mut faults: Vec<Fault> = schedule_fault(fields.scheduled_start, fields.due_at, "").into_iter().collect();
    // Whoever has it already stays, though they may have left the group since.
    if (fields.assignee_id, fields.group_id) != (row.assignee_id, row.group_id) {
        let users: Vec<UserId> = fields.assignee_id.into_iter().collect();
        let workflow = context.env.workflow(context.connection, release.workflow_id)?;
        let candidates = Candidates::load(context, groups_of(release.executor_group_id, &workflow), &users)?;
        faults.extend(candidates.faults(fields.assignee_id, fields.group_id, ""));
    }
    faults.extend(repeated(&fields.tags, "/tags"));
    let checklist = checklist(context, &row.checklist.0, &fields.checklist, "", &mut faults);
    let wanted = sorted(fields.depends_on.clone());
    let dependencies_change = wanted != depends_on;
    if dependencies_change {
        faults.extend(dependency_faults(context, &release, &row, &depends_on, &fields.depends_on)?);
    }
    Error::unless_none(faults)?;
    let after = row.clone().with(fields.content(checklist));
    if after == row && !dependencies_change {
        return Ok(Shown { row, depends_on, now });
    }
    let (old, new) = (document(&row, &depends_on), document(&after, &wanted));
    let stamp = record(context, permit, &release, ("release.update_activity", id), Some(&old), Some(&new))?;
    let after = changed(after, context.now);
    let depends_on = dependencies_change.then_some(wanted.as_slice());
    let (connection, journal) = context.ends();
    activities::update(connection, journal, &row, &after, depends_on, &[], &stamp)?;
    Ok(Shown { row: after, depends_on: wanted, now })
}

fn changed(row: ActivityRow, now: Timestamp) -> ActivityRow {
    ActivityRow { row_version: row.row_version + 1, updated_at: now, ..row }
}

/// Everything that is in the way of a step of the activity, as a refusal.
fn demand_step(context: &mut WriteContext<'_>, release: &Release, shown: &Shown, step: Step) -> Result<()> {
    if step.from == step.to {
        return Ok(());
    }
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let neighbours = activities::among(context.connection, release.id, &shown.depends_on)?;
    let depends_on: Vec<_> = sorted(shown.depends_on.clone())
        .iter()
        .filter_map(|id| neighbours.get(id))
        .filter(|(_, archived)| !archived)
        .map(|(other, _)| other.clone())
        .collect();
    let dependents = activities::dependents(context.connection, shown.row.id)?;
    let faults = step.faults(workflow.deployment_begun(&release.stage), &depends_on, &dependents);
    let Some(first) = faults.first() else { return Ok(()) };
    let (code, detail) = (first.code, first.detail.clone());
    Err(standing_conflict(context, release, code, detail, faults))
}

/// Moves a card within its column or to another one. A move to where the card is stores nothing.
pub fn move_to(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ActivityId,
    draft: Draft<Move>,
) -> Result<Shown> {
    let (release, row, permit) = workable(context, reference, id)?;
    context.request.if_match.honour(row.row_version)?;
    active(context, &release)?;
    current(context, &release, &row)?;
    let Move { status, after_id } = draft.map_err(Error::Invalid)?;
    let before = shown(context, row)?;
    let row = &before.row;
    demand_step(context, &release, &before, Step { phase: row.phase, from: row.status, to: status })?;
    let mut column = cards_of_column(context.connection, release.id, row.phase, status)?;
    let was_at = column.iter().position(|(card, _)| *card == id);
    if let Some(at) = was_at {
        column.remove(at);
    }
    let index = place_behind(context, &release, id, after_id, &column)?;
    if row.status == status && was_at == Some(index) {
        return Ok(before);
    }
    let keys: Vec<&str> = column.iter().map(|(_, key)| key.as_str()).collect();
    let placed = place(&keys, index);
    let after = changed(begun_or_finished(row.clone().placed(status, &placed.key), context.now), context.now);
    let old = document(row, &before.depends_on);
    let mut new = document(&after, &before.depends_on);
    new["after_id"] = json!(after_id);
    let stamp = record(context, permit, &release, ("release.move_activity", id), Some(&old), Some(&new))?;
    let swept = swept(&column, placed.swept);
    let (connection, journal) = context.ends();
    activities::update(connection, journal, row, &after, None, &swept, &stamp)?;
    Ok(Shown { row: after, ..before })
}

/// The index in a column behind a card of it.
fn place_behind(
    context: &mut WriteContext<'_>,
    release: &Release,
    id: ActivityId,
    after_id: Option<ActivityId>,
    column: &[(ActivityId, String)],
) -> Result<usize> {
    let Some(after) = after_id else { return Ok(0) };
    if let Some(at) = column.iter().position(|(card, _)| *card == after) {
        return Ok(at + 1);
    }
    if after == id {
        let detail = "A card does not come behind itself.";
        return Err(Error::Invalid(vec![Fault::at("/after_id", "INVALID_VALUE", detail)]));
    }
    if !activities::among(context.connection, release.id, &[after])?.contains_key(&after) {
        return Err(Error::Invalid(vec![Fault::unknown("/after_id", "activity in this release")]));
    }
    let detail = "The card that it is to come behind is in another column now, or archived. Read the board again.";
    let faults = vec![Fault::at("/after_id", "NOT_IN_COLUMN", "This card is not in the column.")];
    Err(standing_conflict(context, release, "NOT_IN_COLUMN", detail.into(), faults))
}

fn begun_or_finished(row: ActivityRow, now: Timestamp) -> ActivityRow {
    match row.status {
        ActivityStatus::Todo => ActivityRow { started_at: None, finished_at: None, ..row },
        ActivityStatus::InProgress => {
            ActivityRow { started_at: row.started_at.or(Some(now)), finished_at: None, ..row }
        }
        ActivityStatus::Done | ActivityStatus::Skipped => {
            ActivityRow { finished_at: row.finished_at.or(Some(now)), ..row }
        }
    }
}

/// Takes an activity off its board, where it counts no more. It keeps its history, its time entries and comments.
pub fn archive(context: &mut WriteContext<'_>, reference: ReleaseRef, id: ActivityId) -> Result<Shown> {
    let (release, row, permit) = workable(context, reference, id)?;
    context.request.if_match.honour(row.row_version)?;
    active(context, &release)?;
    let before = shown(context, row)?;
    if before.row.archived_at.is_some() {
        return Ok(before);
    }
    let after = changed(ActivityRow { archived_at: Some(context.now), ..before.row.clone() }, context.now);
    store_archived(context, permit, &release, "release.archive_activity", before, after, &[])
}

/// Puts an archived activity back on its board, at the end of its column.
pub fn unarchive(context: &mut WriteContext<'_>, reference: ReleaseRef, id: ActivityId) -> Result<Shown> {
    let (release, row, permit) = workable(context, reference, id)?;
    context.request.if_match.honour(row.row_version)?;
    active(context, &release)?;
    let before = shown(context, row)?;
    if before.row.archived_at.is_none() {
        return Ok(before);
    }
    let (current, _) = activities::counts(context.connection, release.id)?;
    if current >= ACTIVITIES_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {ACTIVITIES_MAX} activities.")));
    }
    // Being back must not make true what no move may: what is done depends on what is not.
    let (phase, status) = (before.row.phase, before.row.status);
    let steps = match status {
        ActivityStatus::Done => Some((ActivityStatus::Skipped, ActivityStatus::Done)),
        ActivityStatus::Todo | ActivityStatus::InProgress => Some((ActivityStatus::Skipped, ActivityStatus::Todo)),
        ActivityStatus::Skipped => None,
    };
    if let Some((from, to)) = steps {
        // It was begun when it could be; only what it depends on, and what depends on it, is asked.
        let step = Step { phase: ActivityPhase::Planning, from, to };
        demand_step(context, &release, &before, step)?;
    }
    let column = cards_of_column(context.connection, release.id, phase, status)?;
    let keys: Vec<&str> = column.iter().map(|(_, key)| key.as_str()).collect();
    let placed = place(&keys, keys.len());
    let after = ActivityRow { archived_at: None, ..before.row.clone() }.placed(status, &placed.key);
    let after = changed(after, context.now);
    let swept = swept(&column, placed.swept);
    store_archived(context, permit, &release, "release.unarchive_activity", before, after, &swept)
}

fn store_archived(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    action: &str,
    before: Shown,
    after: ActivityRow,
    swept: &[(ActivityId, String)],
) -> Result<Shown> {
    let (old, new) = (document(&before.row, &before.depends_on), document(&after, &before.depends_on));
    let stamp = record(context, permit, release, (action, after.id), Some(&old), Some(&new))?;
    let (connection, journal) = context.ends();
    activities::update(connection, journal, &before.row, &after, None, swept, &stamp)?;
    Ok(Shown { row: after, ..before })
}

const _: () = assert!(DEPENDS_ON_MAX == 20, "the schemas say the same");
