//! Patching a release: who may, what is locked, and what results.

use serde_json::{Value, json};

use super::catalogue::document;
use super::instantiate::custom_fields_faults;
use super::release_create::{dependencies, requester, snapshot};
use super::release_input::{AcceptanceCriterion, ReleaseFields, RequesterFields};
use super::releases::{Shown, active, forbidden, locked, show, standing_conflict, visible_locked, with_facts};
use super::rules::{repeated, unknown};
use super::{Error, MergePatch, Recorded, Result, WriteContext, approvals};
use crate::domain::lifecycle::Facts;
use crate::domain::policy::{Access, Permit};
use crate::domain::release::{Criterion, Release, Requester, window_faults};
use crate::domain::standing;
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::nouns::{Model, Unit};
use crate::repository::releases::{self, ReleaseRef};

/// The fields that a patch may change, as they are now.
pub fn editable(release: &Release, depends_on: &[ReleaseId]) -> Result<Value> {
    let requester = &release.requester;
    document(&ReleaseFields {
        title: release.title.clone(),
        description: release.description.clone(),
        version: release.version.clone(),
        release_type: release.release_type,
        requester: RequesterFields {
            user_id: requester.user_id,
            name: Some(requester.name.clone()),
            contact_name: requester.contact_name.clone(),
            email: Some(requester.email.clone()),
            phone: requester.phone.clone(),
            extension: requester.extension.clone(),
            unit_id: requester.unit_id,
            location: requester.location.clone(),
            notes: requester.notes.clone(),
        },
        impact: release.impact,
        urgency: release.urgency,
        risk: release.risk,
        acceptance_criteria: release
            .acceptance_criteria
            .iter()
            .map(|criterion| AcceptanceCriterion {
                text: criterion.text.clone(),
                confirmed: criterion.confirmed_at.is_some(),
            })
            .collect(),
        planning_window: release.planning_window,
        deployment_window: release.deployment_window,
        depends_on: depends_on.to_vec(),
        tags: release.tags.clone(),
        custom_fields: release.custom_fields.clone(),
        notify: release.notify,
        reason: None,
    })
}

/// Patches a visible release. A patch that changes nothing stores nothing.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    patch: &MergePatch<ReleaseFields>,
) -> Result<Shown> {
    let release = visible_locked(context, reference)?;
    let (before, workflow, facts) = with_facts(context, release)?;
    let permit = may_patch(context, &before, &workflow, &facts, patch)?;
    context.request.if_match.demand(before.row_version)?;
    active(context, &before)?;
    let depends_on: Vec<ReleaseId> = facts.dependencies.iter().map(|d| d.release_id).collect();
    let current = editable(&before, &depends_on)?;
    let fields = match patch.apply(current.clone()) {
        Ok(fields) => fields,
        Err(faults) => {
            // What is locked is refused before what is invalid.
            let touched: Vec<String> = ["version", "planning_window", "deployment_window", "depends_on"]
                .iter()
                .filter(|name| patch.document.get(**name).is_some_and(|new| *new != current[**name]))
                .map(|name| format!("/{name}"))
                .collect();
            return Err(if workflow.locks_plan(&before.stage) && !touched.is_empty() {
                locked(context, &before, touched)
            } else {
                Error::Invalid(faults)
            });
        }
    };
    let dependencies_change = sorted(&fields.depends_on) != sorted(&depends_on);
    let moves_deadline = lock_conflicts(context, &before, &workflow, &fields, dependencies_change)?;
    if moves_deadline && !context.actor.may(Permission::ChangeDeadline, before.executor_group_id) {
        return Err(forbidden(Permission::ChangeDeadline));
    }
    let mut faults = window_faults(fields.planning_window, fields.deployment_window);
    if moves_deadline && fields.reason.is_none() {
        faults.push(Fault::at("/reason", "REQUIRED", "To move the deployment end after authorization, say why."));
    }
    faults.extend(repeated(&fields.tags, "/tags"));
    faults.extend(custom_field_faults(context, &before, &fields)?);
    let requester = patched_requester(context, &before, &fields.requester, &mut faults)?;
    let new_dependencies = if dependencies_change {
        dependencies(context, Some(&before), &facts.dependencies, &fields.depends_on, &mut faults)?
    } else {
        facts.dependencies.clone()
    };
    Error::unless_none(faults)?;
    let Some(requester) = requester else {
        return Err(Error::Invalid(Vec::new()));
    };
    let after = patched(context.actor.user_id, context.now, &before, &fields, requester);
    let ids: Vec<ReleaseId> = new_dependencies.iter().map(|d| d.release_id).collect();
    let (old, mut new) = (snapshot(&before, &depends_on)?, snapshot(&after, &ids)?);
    let facts = Facts { dependencies: new_dependencies, ..facts };
    if old == new {
        return Ok(show(context, before, &workflow, &facts));
    }
    if let Some(reason) = &fields.reason {
        new["reason"] = json!(reason);
    }
    let stamp = context.record(
        permit,
        &before.chain,
        Recorded {
            record_type: "release",
            record_id: before.id.to_string(),
            subject: None,
            action: "release.update".into(),
            before: Some(&old),
            after: Some(&new),
            published: true,
        },
    )?;
    let reset = match material_edit(&before, &after) {
        Some(reason) => approvals::reset_votes(context, permit, &before, &stamp, &reason)?,
        None => None,
    };
    let bars_others = approvals::bars_others(&workflow, &before, &after);
    // Evidence names a version.
    let evidence_differs = before.version != after.version && facts.evidence.count > 0;
    let asked_anew = reset.is_some() || bars_others || evidence_differs;
    let stamp = reset.unwrap_or(stamp);
    let after =
        Release { row_version: before.row_version + 1, updated_at: context.now, chain: stamp.head().clone(), ..after };
    let depends_on = dependencies_change.then_some(ids.as_slice());
    let (connection, journal) = context.ends();
    releases::update(connection, journal, &before, &after, &after.principals(&workflow), depends_on, &stamp)?;
    if asked_anew {
        journal.write(connection)?;
        if bars_others {
            approvals::ask_anew(context, &after)?;
        }
        let (after, workflow, facts) = with_facts(context, after)?;
        return Ok(show(context, after, &workflow, &facts));
    }
    Ok(show(context, after, &workflow, &facts))
}

/// What is wrong with custom fields that change, by the schema that the model has now.
fn custom_field_faults(context: &mut WriteContext<'_>, before: &Release, fields: &ReleaseFields) -> Result<Vec<Fault>> {
    if fields.custom_fields == before.custom_fields {
        return Ok(Vec::new());
    }
    let Some(model) = context.reference::<Model>(before.model_id)? else { return Ok(Vec::new()) };
    custom_fields_faults(context, &model, &fields.custom_fields, "/custom_fields")
}

/// What was voted on and is another now, in words; `None` where the edit is no such thing.
fn material_edit(before: &Release, after: &Release) -> Option<String> {
    let changed: Vec<&str> = [
        ("the version", before.version != after.version),
        ("the planning window", before.planning_window != after.planning_window),
        ("the deployment window", before.deployment_window != after.deployment_window),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(name, _)| name)
    .collect();
    (!changed.is_empty()).then(|| format!("Another than before: {}.", changed.join(", ")))
}

/// The requester as patched. The account fills in what is missing when it is named for the first time, and never
/// again: what was cleared stays cleared, and an account that was disabled since is nobody's obstacle.
fn patched_requester(
    context: &mut WriteContext<'_>,
    before: &Release,
    given: &RequesterFields,
    faults: &mut Vec<Fault>,
) -> Result<Option<Requester>> {
    if given.user_id != before.requester.user_id {
        return requester(context, given, faults);
    }
    if given.unit_id != before.requester.unit_id {
        faults.extend(unknown::<Unit>(context, given.unit_id, "/requester/unit_id")?);
    }
    for (field, missing) in [("name", given.name.is_none()), ("email", given.email.is_none())] {
        if missing {
            faults.push(Fault::at(format!("/requester/{field}"), "REQUIRED", "A requester needs this."));
        }
    }
    let (Some(name), Some(email)) = (given.name.clone(), given.email.clone()) else { return Ok(None) };
    let given = given.clone();
    Ok(Some(Requester {
        user_id: given.user_id,
        name,
        contact_name: given.contact_name,
        email,
        phone: given.phone,
        extension: given.extension,
        unit_id: given.unit_id,
        location: given.location,
        notes: given.notes,
    }))
}

fn sorted(ids: &[ReleaseId]) -> Vec<ReleaseId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

/// Who may patch: those who may execute; the acting requester where only acceptance criteria are concerned,
/// while these are asked for.
fn may_patch(
    context: &mut WriteContext<'_>,
    release: &Release,
    workflow: &Workflow,
    facts: &Facts,
    patch: &MergePatch<ReleaseFields>,
) -> Result<Permit> {
    let permit = context.authorise(Access::Releases)?;
    let stage = workflow.stage(&release.stage);
    if standing::may_execute(release, stage, facts.shared_to_execute, &context.actor) {
        return Ok(permit);
    }
    let only_criteria = patch
        .document
        .as_object()
        .is_some_and(|fields| !fields.is_empty() && fields.keys().all(|name| name == "acceptance_criteria"));
    if only_criteria && release.is_requested_by(&context.actor) && confirms_criteria(workflow, &release.stage) {
        return Ok(permit);
    }
    Err(forbidden(Permission::Execute))
}

/// True in the stage where acceptance criteria are confirmed: acceptance, or closure where there is none.
fn confirms_criteria(workflow: &Workflow, stage: &str) -> bool {
    let wanted = if workflow.has_acceptance() { StageKind::Acceptance } else { StageKind::Closure };
    workflow.stage(stage).is_some_and(|stage| stage.kind == wanted)
}

/// Refuses changes to what is locked. True where the deployment end moves after authorization.
fn lock_conflicts(
    context: &mut WriteContext<'_>,
    before: &Release,
    workflow: &Workflow,
    fields: &ReleaseFields,
    dependencies_change: bool,
) -> Result<bool> {
    let requester_moves = before.requester.user_id.is_some() && before.requester.user_id != fields.requester.user_id;
    if requester_moves {
        let fault = Fault::at("/requester/user_id", "REQUESTER_LOCKED", "The requester's user is set once and stays.");
        let detail = "The requester's user is set once, from none, and never changes.".into();
        return Err(standing_conflict(context, before, "REQUESTER_LOCKED", detail, vec![fault]));
    }
    let confirms = fields.acceptance_criteria.iter().enumerate().find(|(_, criterion)| {
        let was = before.acceptance_criteria.iter().any(|c| c.text == criterion.text && c.confirmed_at.is_some());
        criterion.confirmed && !was
    });
    if let Some((index, _)) = confirms
        && !confirms_criteria(workflow, &before.stage)
    {
        let pointer = format!("/acceptance_criteria/{index}/confirmed");
        let fault = Fault::at(pointer, "NOT_AT_ACCEPTANCE", "Criteria are confirmed at acceptance.");
        let detail = format!("The release stands at `{}`, where criteria are not confirmed.", before.stage);
        return Err(standing_conflict(context, before, "NOT_AT_ACCEPTANCE", detail, vec![fault]));
    }
    if !workflow.locks_plan(&before.stage) {
        return Ok(false);
    }
    let moves_deadline = match (before.deployment_window, fields.deployment_window) {
        (Some(old), Some(new)) => old.start == new.start && old.end != new.end,
        _ => false,
    };
    let changed = [
        ("/version", before.version != fields.version),
        ("/planning_window", before.planning_window != fields.planning_window),
        ("/deployment_window", before.deployment_window != fields.deployment_window && !moves_deadline),
        ("/depends_on", dependencies_change),
    ];
    let pointers: Vec<String> =
        changed.iter().filter(|(_, changed)| *changed).map(|(pointer, _)| (*pointer).to_owned()).collect();
    if pointers.is_empty() { Ok(moves_deadline) } else { Err(locked(context, before, pointers)) }
}

/// The release with the patched fields, at the version before.
pub(super) fn patched(
    by: UserId,
    now: Timestamp,
    before: &Release,
    fields: &ReleaseFields,
    requester: Requester,
) -> Release {
    let fields = fields.clone();
    let criteria = fields
        .acceptance_criteria
        .into_iter()
        .map(|criterion| {
            let known = before.acceptance_criteria.iter().find(|c| c.text == criterion.text);
            match (criterion.confirmed, known) {
                (true, Some(known)) if known.confirmed_at.is_some() => known.clone(),
                (true, _) => Criterion { text: criterion.text, confirmed_by: Some(by), confirmed_at: Some(now) },
                (false, _) => Criterion { text: criterion.text, confirmed_by: None, confirmed_at: None },
            }
        })
        .collect();
    let windows_move =
        before.planning_window != fields.planning_window || before.deployment_window != fields.deployment_window;
    Release {
        title: fields.title,
        description: fields.description,
        version: fields.version,
        release_type: fields.release_type,
        requester,
        impact: fields.impact,
        urgency: fields.urgency,
        risk: fields.risk,
        acceptance_criteria: criteria,
        deadline: if windows_move { fields.deployment_window.map(|window| window.end) } else { before.deadline },
        planning_window: fields.planning_window,
        deployment_window: fields.deployment_window,
        tags: fields.tags,
        custom_fields: fields.custom_fields,
        notify: fields.notify,
        ..before.clone()
    }
}
