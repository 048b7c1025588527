//! Transitions: one action of the lifecycle, decided and applied.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::releases::{Shown, load, show, snapshot, visible, visible_locked, with_facts, with_facts_around};
use super::write_back::{self, WriteBackSummary};
use super::{
    Error, ReadContext, Recorded, Result, Standing, WriteContext, approvals, changes, checklists, hardware_spares,
    medium_links,
};
use crate::domain::lifecycle::{
    self, Blocker, Class, Command, Facts, GroupFact, JustificationFact, Refusal, UserFact, Verdict,
};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::domain::warnings::{Warning, warnings};
use crate::domain::workflow::Workflow;
use crate::repository::audit::Stamp;
use crate::repository::directory;
use crate::repository::item_links;
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::nouns::{ConfigurationItem, Group, Justification, Model, Noun, Record, SolutionCategory, User};
use crate::repository::releases::{self, ReleaseRef};
use crate::repository::transitions::{self, TransitionRow};

/// What a caller wants to happen: the command, or what is wrong with it and the action that was meant.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The action.
    pub action: Option<Action>,
    /// The resolution, where it selects a row of the table of its own.
    pub resolution: Option<Resolution>,
    /// The command.
    pub command: Draft<Command>,
}

/// An applied transition, and the release after it.
#[derive(Debug)]
pub struct Applied {
    /// The transition.
    pub transition: TransitionRow,
    /// The release.
    pub shown: Shown,
    /// What became of its configuration items, where the action has to do with them.
    pub write_back: Option<WriteBackSummary>,
}

/// Decides and applies one action.
pub fn transition(context: &mut WriteContext<'_>, reference: ReleaseRef, wanted: &Wanted) -> Result<Applied> {
    let release = visible_locked(context, reference)?;
    let permit = context.authorise(Access::Releases)?;
    let pending = if closes_as_solved(wanted) && release.status.is_active() {
        // Before anything is asked about them: nobody changes them from here on.
        item_links::lock_items(context.connection, release.id, ItemOutcome::Pending)?
    } else {
        Vec::new()
    };
    if wanted.action == Some(Action::Reopen) && release.status == Status::Closed {
        // So is what it would have again: no other release takes it from here on.
        changes::hold(context, release.id)?;
        medium_links::hold(context, release.id)?;
    }
    let (release, workflow, base) = with_facts_around(context, release, wanted.action)?;
    let command = match &wanted.command {
        Ok(command) => command,
        Err(faults) => {
            return Err(faulty(context, &release, &workflow, &base, wanted, faults));
        }
    };
    let facts = command_facts(context, &release, command, base)?;
    if command.action == Action::Capture {
        // Whoever is being removed from the group at this moment does not become the assignee.
        let (group, user) = (release.executor_group_id, context.actor.user_id);
        if !directory::hold_membership(context.connection, group, user)? {
            Arc::make_mut(&mut context.actor).memberships.retain(|membership| membership.group_id != group);
        }
    }
    let decided = lifecycle::decide(&release, &workflow, command, &facts, &context.actor);
    if decided.as_ref().err().is_none_or(|refusal| refusal.class != Class::Right) {
        context.request.if_match.honour(release.row_version)?;
    }
    let transition = match decided {
        Ok(transition) => transition,
        Err(refusal) => return Err(refused(context, &release, &workflow, &facts, refusal)),
    };
    let what = Carried { transition: &transition, pending };
    let (row, write_back, asked_anew) = apply(context, permit, what, &facts, &workflow)?;
    let after = transition.after().clone();
    if asked_anew {
        let (after, workflow, facts) = with_facts(context, after)?;
        return Ok(Applied { transition: row, shown: show(context, after, &workflow, &facts), write_back });
    }
    Ok(Applied { transition: row, shown: show(context, after, &workflow, &facts), write_back })
}

/// A decided transition with the locked items that it changes.
struct Carried<'t> {
    transition: &'t lifecycle::Transition,
    pending: Vec<Record<ConfigurationItem>>,
}

fn closes_as_solved(wanted: &Wanted) -> bool {
    wanted.action == Some(Action::Close) && wanted.resolution != Some(Resolution::Unsolved)
}

/// The refusal of a command that is not even well said: right and state come before its faults, and gates beside
/// them.
fn faulty(
    context: &WriteContext<'_>,
    release: &Release,
    workflow: &Workflow,
    facts: &Facts,
    wanted: &Wanted,
    faults: &[Fault],
) -> Error {
    let Some(action) = wanted.action else {
        return Error::Invalid(faults.to_vec());
    };
    let (resolution, actor) = (wanted.resolution, &context.actor);
    let mut blockers = lifecycle::standing_blockers(release, workflow, action, resolution, facts, actor);
    if blockers.is_empty() {
        return Error::Invalid(faults.to_vec());
    }
    blockers.extend(faults.iter().map(Blocker::of_fault));
    match Refusal::of(blockers) {
        Some(refusal) => refused(context, release, workflow, facts, refusal),
        None => Error::Invalid(faults.to_vec()),
    }
}

fn refused(
    context: &WriteContext<'_>,
    release: &Release,
    workflow: &Workflow,
    facts: &Facts,
    refusal: Refusal,
) -> Error {
    let allowed = lifecycle::allowed_actions(release, workflow, facts, &context.actor);
    Error::Refused { refusal, standing: Standing::of(release, allowed) }
}

/// Loads what the command names.
fn command_facts(
    context: &mut WriteContext<'_>,
    release: &Release,
    command: &Command,
    mut facts: Facts,
) -> Result<Facts> {
    if let Some(id) = command.justification_id {
        facts.justification = context.reference::<Justification>(id)?.map(|record| JustificationFact {
            active: record.content.active,
            applies_to: record.content.applies_to.0.iter().copied().collect(),
        });
    }
    if let Some(id) = command.solution_category_id {
        facts.solution_category_active = context.reference::<SolutionCategory>(id)?.map(|record| record.content.active);
    }
    if let Some(id) = command.user_id {
        facts.user = match User::find(context.connection, id)? {
            Some(user) => {
                let group = command.group_id.unwrap_or(release.executor_group_id);
                let member = directory::hold_membership(context.connection, group, id)?;
                let groups = if member { vec![group] } else { Vec::new() };
                Some(UserFact { active: user.content.active, groups })
            }
            None => None,
        };
    }
    if let Some(id) = command.group_id {
        facts.group = match Group::find(context.connection, id)? {
            Some(group) => {
                let model = Model::find(context.connection, release.model_id)?;
                Some(GroupFact {
                    active: group.content.active,
                    can_execute: directory::can_execute(context.connection, id)?,
                    allowed_by_model: model.is_none_or(|model| model.content.allows_group(id)),
                })
            }
            None => None,
        };
    }
    Ok(facts)
}

/// Stores a decided transition with everything that follows from it. True where votes or checklists are asked for
/// anew, the release is reopened, or it is closed and others may now take from it, so that what was known of it is not so
/// any more; then all of it is written already.
fn apply(
    context: &mut WriteContext<'_>,
    permit: Permit,
    Carried { transition, pending }: Carried<'_>,
    facts: &Facts,
    workflow: &Workflow,
) -> Result<(TransitionRow, Option<WriteBackSummary>, bool)> {
    let (before, after) = (transition.before(), transition.after());
    let depends_on: Vec<ReleaseId> = facts.dependencies.iter().map(|d| d.release_id).collect();
    let old = snapshot(before, &depends_on)?;
    let mut new = snapshot(after, &depends_on)?;
    tell_command(&mut new, transition.command());
    let items = write_back::follow_transition(context, transition)?;
    if let Some(summary) = items.as_ref().filter(|summary| !summary.is_empty()) {
        new["write_back"] = summary.document();
    }
    let stamp = context.record(
        permit,
        &before.chain,
        Recorded {
            record_type: "release",
            record_id: before.id.to_string(),
            subject: None,
            action: action_name(transition.command()),
            before: Some(&old),
            after: Some(&new),
            published: true,
        },
    )?;
    let id = TransitionId::new(context.env.new_id(context.now));
    let row = row(id, transition, &stamp, context.actor.user_id, context.now);
    transitions::insert(&mut context.journal, &row, &stamp);
    let (installed, mut last) = hardware_spares::follow_transition(context, permit, (before, after), &stamp)?;
    write_back::store(context, permit, transition, pending, &installed, &stamp)?;
    let reopened = transition.command().action == Action::Reopen;
    if reopened {
        last = checklists::ask_again(context, permit, workflow, after, last.as_ref().unwrap_or(&stamp))?.or(last);
    }
    let opened = {
        let head = last.as_ref().unwrap_or(&stamp);
        approvals::follow_transition(context, permit, workflow, (before, after), head)?
    };
    let last = opened.or(last);
    let bars_others = approvals::bars_others(workflow, before, after);
    // While it was under way, what others hold of it was not loaded; nor, while it was closed, what gates ask.
    let held = after.status == Status::Closed && (!facts.changes.is_empty() || facts.uses_media);
    let asked_anew = last.is_some() || bars_others || held || reopened;
    let stamp = last.unwrap_or(stamp);
    let (connection, journal) = context.ends();
    releases::apply(connection, journal, transition, &after.principals(workflow), &stamp)?;
    if asked_anew {
        journal.write(connection)?;
    }
    if bars_others {
        approvals::ask_anew(context, after)?;
    }
    Ok((row, items, asked_anew))
}

/// How history names the command.
pub(super) fn action_name(command: &Command) -> String {
    format!("release.{}", command.action)
}

/// History keeps what the caller gave beside what became of the release.
pub(super) fn tell_command(after: &mut Value, command: &Command) {
    after["transition"] = Value::Object(details(command));
}

/// The row of an applied transition.
pub(super) fn row(
    id: TransitionId,
    transition: &lifecycle::Transition,
    stamp: &Stamp,
    by: UserId,
    at: Timestamp,
) -> TransitionRow {
    let (before, after, command) = (transition.before(), transition.after(), transition.command());
    TransitionRow {
        id,
        release_id: before.id,
        seq: stamp.head().length,
        action: command.action,
        from_status: before.status,
        to_status: after.status,
        from_stage: before.stage.clone(),
        to_stage: after.stage.clone(),
        justification_id: command.justification_id,
        solution_category_id: command.solution_category_id,
        details: Json(details(command)),
        actor_id: by,
        at,
    }
}

/// What the caller gave besides the action, without what was not given.
fn details(command: &Command) -> Map<String, Value> {
    let given = json!({
        "to_stage": command.to_stage,
        "resolution": command.resolution,
        "release_date": command.release_date,
        "solution_category_id": command.solution_category_id,
        "closure_notes": command.closure_notes,
        "minutes_spent": command.minutes_spent,
        "user_id": command.user_id,
        "group_id": command.group_id,
        "justification_id": command.justification_id,
        "note": command.note,
        "on_behalf_of": command.on_behalf_of,
    });
    let Value::Object(given) = given else {
        return Map::new();
    };
    given.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// What may be done with a release now, and what follows.
#[derive(Debug)]
pub struct Allowed {
    /// The release.
    pub release: Release,
    /// The verdict on every action.
    pub verdicts: Vec<Verdict>,
    /// What closing as solved would do to its configuration items, where it is under way.
    pub write_back: Option<WriteBackSummary>,
    /// What does not stand in the way, and should be known.
    pub warnings: Vec<Warning>,
}

/// The verdict on every action of a visible release.
pub fn allowed_transitions(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Allowed> {
    context.authorise(Access::Read)?;
    let (release, workflow, facts) = load(context, reference)?;
    let mut verdicts = lifecycle::verdicts(&release, &workflow, &facts, &context.actor);
    if let Err(denial) = crate::domain::policy::authorise(&context.actor, Access::Releases) {
        for verdict in &mut verdicts {
            verdict.allowed = false;
            verdict.blockers.insert(0, lifecycle::Blocker::denied(&denial));
        }
    }
    let write_back = write_back::foreseen(context, &release)?;
    let warnings = warnings(&release, &facts);
    Ok(Allowed { release, verdicts, write_back, warnings })
}

/// A page of the applied transitions of a visible release, newest first.
pub fn transitions(
    context: &mut ReadContext<'_>,
    reference: ReleaseRef,
    mut query: ListQuery,
) -> Result<Rows<TransitionRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    query.conditions = vec![Condition { filter: 0, values: vec![SqlValue::Text(release.id.to_string())] }];
    Ok(transitions::page(context.connection, &query, context.now)?)
}
