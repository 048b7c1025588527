//! Releases: create, read, patch, list.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::catalogue::document;
use super::release_input::{AcceptanceCriterion, NewRelease, ReleaseFields, RequesterFields};
use super::rules::{repeated, unknown};
use super::{Error, MergePatch, ReadContext, Recorded, Result, Standing, WriteContext, changes};
use crate::domain::lifecycle::{self, Dependency, Facts};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::{ChainHead, Criterion, Release, Requester, past_window_faults, window_faults};
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::changes::{Link, links_of};
use crate::repository::listing::{ListQuery, Total};
use crate::repository::nouns::{self, Contract, Group, Model, Noun, Portfolio, Record, Unit, User};
use crate::repository::releases::{self, ReleaseRef};
use crate::repository::workflows;

/// A release as it is shown to the caller.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The release.
    pub release: Release,
    /// What it depends on.
    pub depends_on: Vec<ReleaseId>,
    /// What the caller may do now.
    pub allowed_actions: Vec<Action>,
    /// The present.
    pub now: Timestamp,
}

/// What the gates know without a command.
pub fn facts(now: Timestamp, links: &[Link], dependencies: Vec<Dependency>) -> Facts {
    Facts {
        now,
        changes: links.iter().map(Link::fact).collect(),
        dependencies,
        justification: None,
        solution_category_active: None,
        user: None,
        group: None,
    }
}

/// The facts of some releases, in a bounded number of statements.
pub fn load_facts(context: &mut ReadContext<'_>, ids: &[ReleaseId]) -> Result<HashMap<ReleaseId, Facts>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let visibility = context.actor.visibility();
    let links = links_of(context.connection, ids)?;
    let mut dependencies = releases::dependencies_of(context.connection, ids, &visibility)?;
    let now = context.now;
    let mut found: HashMap<ReleaseId, Facts> =
        ids.iter().map(|id| (*id, facts(now, &[], dependencies.remove(id).unwrap_or_default()))).collect();
    for link in &links {
        if let Some(facts) = found.get_mut(&link.row.release_id) {
            facts.changes.push(link.fact());
        }
    }
    Ok(found)
}

/// The release as it is shown to the caller, given its facts.
pub fn show(context: &ReadContext<'_>, release: Release, workflow: &Workflow, facts: &Facts) -> Shown {
    let allowed_actions = lifecycle::allowed_actions(&release, workflow, facts, &context.actor);
    let depends_on = facts.dependencies.iter().map(|dependency| dependency.release_id).collect();
    Shown { release, depends_on, allowed_actions, now: context.now }
}

/// A visible release with its workflow and facts.
pub fn load(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<(Release, Arc<Workflow>, Facts)> {
    let visibility = context.actor.visibility();
    let release = releases::find(context.connection, reference, &visibility)?.ok_or(Error::NotFound("release"))?;
    with_facts(context, release)
}

/// A release with its workflow and facts.
pub fn with_facts(context: &mut ReadContext<'_>, release: Release) -> Result<(Release, Arc<Workflow>, Facts)> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let facts = load_facts(context, &[release.id])?.remove(&release.id);
    let facts = facts.ok_or_else(|| Error::Internal("the facts of a release were not loaded".into()))?;
    Ok((release, workflow, facts))
}

/// Reads a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Shown> {
    context.authorise(Access::Read)?;
    let (release, workflow, facts) = load(context, reference)?;
    Ok(show(context, release, &workflow, &facts))
}

/// A page of visible releases: the rows, whether more follow, and how many there are in all.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<(Vec<Shown>, bool, Option<Total>)> {
    context.authorise(Access::Read)?;
    let visibility = context.actor.visibility();
    let page = releases::page(context.connection, query, &visibility, context.now)?;
    let ids: Vec<ReleaseId> = page.rows.iter().map(|release| release.id).collect();
    let facts = load_facts(context, &ids)?;
    let mut shown = Vec::with_capacity(page.rows.len());
    for release in page.rows {
        let workflow = context.env.workflow(context.connection, release.workflow_id)?;
        if let Some(facts) = facts.get(&release.id) {
            shown.push(show(context, release, &workflow, facts));
        }
    }
    Ok((shown, page.more, page.total))
}

/// A visible release, its row locked until the transaction ends.
pub fn visible_locked(context: &mut WriteContext<'_>, reference: ReleaseRef) -> Result<Release> {
    let visibility = context.actor.visibility();
    releases::lock(context.connection, reference, &visibility)?.ok_or(Error::NotFound("release"))
}

/// The permit of somebody who may work on the release.
pub fn may_execute(context: &WriteContext<'_>, release: &Release) -> Result<Permit> {
    let permit = context.authorise(Access::Releases)?;
    if context.actor.may(Permission::Execute, release.executor_group_id) {
        return Ok(permit);
    }
    Err(forbidden(Permission::Execute))
}

fn forbidden(permission: Permission) -> Error {
    Error::Forbidden(crate::domain::policy::Denial {
        code: "FORBIDDEN",
        detail: format!("You do not hold `{permission}` in the executor group."),
    })
}

/// A conflict, told with where the release stands.
pub fn standing_conflict(
    context: &mut WriteContext<'_>,
    release: &Release,
    code: &'static str,
    detail: String,
    faults: Vec<Fault>,
) -> Error {
    let standing = match with_facts(context, release.clone()) {
        Ok((release, workflow, facts)) => {
            let allowed = lifecycle::allowed_actions(&release, &workflow, &facts, &context.actor);
            Standing::of(&release, allowed)
        }
        Err(error) => return error,
    };
    Error::Conflict { code, detail, standing: Some(standing), faults }
}

/// Demands an active release: what belongs to others is not written.
pub fn active(context: &mut WriteContext<'_>, release: &Release) -> Result<()> {
    if release.status.is_active() {
        return Ok(());
    }
    let detail = format!("A release that is `{}` is not changed.", release.status);
    Err(standing_conflict(context, release, "STATE_FORBIDS", detail, Vec::new()))
}

/// Demands that the plan of the release is not locked by its authorization.
pub fn locked_plan(context: &mut WriteContext<'_>, release: &Release, pointer: &str) -> Result<()> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    if !workflow.locks_plan(&release.stage) {
        return Ok(());
    }
    Err(locked(context, release, vec![pointer.to_owned()]))
}

fn locked(context: &mut WriteContext<'_>, release: &Release, pointers: Vec<String>) -> Error {
    let faults = pointers
        .into_iter()
        .map(|pointer| Fault::at(pointer, "LOCKED_AFTER_AUTHORIZATION", "This was authorised as it is."))
        .collect();
    let detail = "After authorization the plan is what was approved. To change it, send the release back.";
    standing_conflict(context, release, "LOCKED_AFTER_AUTHORIZATION", detail.into(), faults)
}

/// What a creation refers to, found and sound.
struct References {
    model: Record<Model>,
    workflow: Workflow,
    group: GroupId,
    requester: Requester,
    dependencies: Vec<Dependency>,
    changes: Vec<Record<nouns::Change>>,
}

/// Creates a release with everything sent along, all or nothing.
pub fn create(context: &mut WriteContext<'_>, draft: Draft<NewRelease>) -> Result<Shown> {
    let permit = context.authorise(Access::Releases)?;
    if !context.actor.may_anywhere(Permission::Create) {
        return Err(Error::Forbidden(crate::domain::policy::Denial {
            code: "FORBIDDEN",
            detail: "You do not hold `create` in any group.".into(),
        }));
    }
    let new = draft.map_err(Error::Invalid)?;
    let found = references(context, &new)?;
    let now = context.now;
    let model = &found.model.content;
    let release = Release {
        id: ReleaseId::new(context.env.new_id(now)),
        number: releases::next_number(context.connection)?,
        title: new.title,
        description: new.description,
        version: new.version,
        release_type: new.release_type.unwrap_or(model.release_type),
        portfolio_id: model.portfolio_id,
        model_id: found.model.id,
        workflow_id: found.workflow.id,
        requester: found.requester,
        contract_id: new.contract_id,
        executor_group_id: found.group,
        assignee_id: None,
        impact: new.impact.unwrap_or(model.impact),
        urgency: new.urgency.unwrap_or(model.urgency),
        risk: new.risk.unwrap_or(model.risk),
        acceptance_criteria: new
            .acceptance_criteria
            .into_iter()
            .map(|criterion| Criterion { text: criterion.text, confirmed_by: None, confirmed_at: None })
            .collect(),
        status: Status::Open,
        status_before_suspension: None,
        stage: found.workflow.first_stage().to_owned(),
        planning_window: new.planning_window,
        deployment_window: new.deployment_window,
        deadline: new.deployment_window.map(|window| window.end),
        release_date: None,
        resolution: None,
        solution_category_id: None,
        closure_notes: None,
        reopen_count: 0,
        tags: new.tags,
        custom_fields: new.custom_fields,
        notify: new.notify,
        row_version: 1,
        created_at: now,
        created_by: context.actor.user_id,
        updated_at: now,
        closed_at: None,
        cancelled_at: None,
        suspended_at: None,
        chain: ChainHead::default(),
    };
    store_new(context, permit, release, &found.workflow, found.dependencies, &found.changes)
}

fn store_new(
    context: &mut WriteContext<'_>,
    permit: Permit,
    mut release: Release,
    workflow: &Workflow,
    dependencies: Vec<Dependency>,
    linked: &[Record<nouns::Change>],
) -> Result<Shown> {
    let depends_on: Vec<ReleaseId> = dependencies.iter().map(|dependency| dependency.release_id).collect();
    let links: Vec<Link> =
        linked.iter().map(|change| changes::linked(changes::new_row(context, release.id, change.id), change)).collect();
    let mut after = snapshot(&release, &depends_on)?;
    if !links.is_empty() {
        after["changes"] = json!(links.iter().map(|link| link.row.change_id).collect::<Vec<_>>());
    }
    let stamp = context.record(
        permit,
        &ChainHead::default(),
        Recorded {
            record_type: "release",
            record_id: release.id.to_string(),
            subject: None,
            action: "release.create".into(),
            before: None,
            after: Some(&after),
            published: true,
        },
    )?;
    let principals = release.principals(workflow);
    releases::insert(context.connection, &release, &principals, &depends_on, &stamp)?;
    let rows: Vec<_> = links.iter().map(|link| link.row.clone()).collect();
    crate::repository::changes::insert_first_links(context.connection, &rows, &stamp)?;
    release.chain = stamp.head().clone();
    let facts = facts(context.now, &links, dependencies);
    Ok(show(context, release, workflow, &facts))
}

/// The state that history compares: everything but versions and instants of bookkeeping.
pub fn snapshot(release: &Release, depends_on: &[ReleaseId]) -> Result<Value> {
    let mut document = document(release)?;
    document["priority"] = json!(release.priority());
    document["depends_on"] = json!(depends_on);
    Ok(document)
}

fn references(context: &mut WriteContext<'_>, new: &NewRelease) -> Result<References> {
    let mut faults = Vec::new();
    let model = match new.model_id {
        Some(id) => Model::find(context.connection, id)?,
        None => nouns::default_model(context.connection)?,
    };
    if model.is_none() {
        faults.push(Fault::unknown("/model_id", "model"));
    }
    let workflow = match &model {
        Some(model) => model_workflow(context, model, &mut faults)?,
        None => None,
    };
    let group = executor_group(context, new, model.as_ref(), &mut faults)?;
    if let Some(id) = new.contract_id {
        contract_faults(context, id, model.as_ref(), &mut faults)?;
    }
    let requester = requester(context, &new.requester, &mut faults)?;
    faults.extend(window_faults(new.planning_window, new.deployment_window));
    let release_type = new.release_type.or(model.as_ref().map(|model| model.content.release_type));
    if let Some(release_type) = release_type {
        faults.extend(past_window_faults(release_type, new.planning_window, new.deployment_window, context.now));
    }
    faults.extend(criteria_faults(&new.acceptance_criteria));
    faults.extend(repeated(&new.tags, "/tags"));
    let dependencies = dependencies(context, None, &new.depends_on, &mut faults)?;
    let ids: Vec<ChangeId> = new.changes.iter().map(|link| link.change_id).collect();
    let changes = match changes::linkable(context, &ids, |index| format!("/changes/{index}/change_id"))? {
        Ok(changes) => changes,
        Err(more) => {
            faults.extend(more);
            Vec::new()
        }
    };
    match (faults.is_empty(), model, workflow, group, requester) {
        (true, Some(model), Some(workflow), Some(group), Some(requester)) => {
            Ok(References { model, workflow, group, requester, dependencies, changes })
        }
        _ => Err(Error::Invalid(faults)),
    }
}

fn criteria_faults(criteria: &[AcceptanceCriterion]) -> Vec<Fault> {
    criteria
        .iter()
        .enumerate()
        .filter(|(_, criterion)| criterion.confirmed)
        .map(|(index, _)| {
            Fault::at(
                format!("/acceptance_criteria/{index}/confirmed"),
                "NOT_AT_ACCEPTANCE",
                "A criterion is confirmed at acceptance, not at creation.",
            )
        })
        .collect()
}

fn model_workflow(
    context: &mut WriteContext<'_>,
    model: &Record<Model>,
    faults: &mut Vec<Fault>,
) -> Result<Option<Workflow>> {
    if model.content.status != ModelStatus::Active {
        faults.push(Fault::at(
            "/model_id",
            "MODEL_NOT_ACTIVE",
            format!("The model is `{}`; only an active model starts releases.", model.content.status),
        ));
    }
    let portfolio = Portfolio::find(context.connection, model.content.portfolio_id)?;
    if portfolio.is_some_and(|portfolio| !portfolio.content.active) {
        faults.push(Fault::at("/model_id", "PORTFOLIO_NOT_ACTIVE", "The portfolio of the model is not active."));
    }
    Ok(workflows::newest(context.connection, &model.content.workflow)?)
}

fn executor_group(
    context: &mut WriteContext<'_>,
    new: &NewRelease,
    model: Option<&Record<Model>>,
    faults: &mut Vec<Fault>,
) -> Result<Option<GroupId>> {
    let pointer = "/executor_group_id";
    let id = new.executor_group_id.or(model.and_then(|model| model.content.executor_group_id));
    let Some(id) = id else {
        faults.push(Fault::at(pointer, "REQUIRED", "The model has no executor group, so one is needed."));
        return Ok(None);
    };
    match Group::find(context.connection, id)? {
        None => faults.push(Fault::unknown(pointer, "group")),
        Some(group) if !group.content.active => {
            faults.push(Fault::at(pointer, "GROUP_NOT_ACTIVE", "The group is not active."));
        }
        Some(_) => {}
    }
    if model.is_some_and(|model| !model.content.allows_group(id)) {
        faults.push(Fault::at(pointer, "GROUP_NOT_ALLOWED", "The model does not allow the group."));
    }
    Ok(Some(id))
}

fn contract_faults(
    context: &mut WriteContext<'_>,
    id: ContractId,
    model: Option<&Record<Model>>,
    faults: &mut Vec<Fault>,
) -> Result<()> {
    let pointer = "/contract_id";
    match Contract::find(context.connection, id)? {
        None => faults.push(Fault::unknown(pointer, "contract")),
        Some(contract) if !contract.content.active => {
            faults.push(Fault::at(pointer, "CONTRACT_NOT_ACTIVE", "The contract is not active."));
        }
        Some(_) => {}
    }
    let allowed = |model: &Model| model.contract_ids.0.is_empty() || model.contract_ids.0.contains(&id);
    if model.is_some_and(|model| !allowed(&model.content)) {
        faults.push(Fault::at(pointer, "CONTRACT_NOT_ALLOWED", "The model does not name the contract."));
    }
    Ok(())
}

/// The requester; what is not given is filled in from the account, where one is named.
fn requester(
    context: &mut WriteContext<'_>,
    given: &RequesterFields,
    faults: &mut Vec<Fault>,
) -> Result<Option<Requester>> {
    let mut account: Option<User> = None;
    if let Some(id) = given.user_id {
        match User::find(context.connection, id)? {
            None => faults.push(Fault::unknown("/requester/user_id", "user")),
            Some(user) if !user.content.active => {
                faults.push(Fault::at("/requester/user_id", "USER_DISABLED", "The user's account is disabled."));
            }
            Some(user) => account = Some(user.content),
        }
    }
    let account = account.as_ref();
    if given.unit_id.is_some() {
        faults.extend(unknown::<Unit>(context, given.unit_id, "/requester/unit_id")?);
    }
    let name = given.name.clone().or(account.map(|user| user.name.clone()));
    let email = given.email.clone().or(account.map(|user| user.email.clone()));
    for (field, value) in [("name", &name), ("email", &email)] {
        if value.is_none() && given.user_id.is_none() {
            faults.push(Fault::at(
                format!("/requester/{field}"),
                "REQUIRED",
                "A requester without an account needs this.",
            ));
        }
    }
    let (Some(name), Some(email)) = (name, email) else {
        return Ok(None);
    };
    Ok(Some(Requester {
        user_id: given.user_id,
        name,
        contact_name: given.contact_name.clone(),
        email,
        phone: given.phone.clone().or(account.and_then(|user| user.phone.clone())),
        extension: given.extension.clone().or(account.and_then(|user| user.extension.clone())),
        unit_id: given.unit_id.or(account.and_then(|user| user.unit_id)),
        location: given.location.clone().or(account.and_then(|user| user.location.clone())),
        notes: given.notes.clone(),
    }))
}

/// What the release is to depend on: visible releases, and no way round to the release itself.
fn dependencies(
    context: &mut WriteContext<'_>,
    release: Option<&Release>,
    ids: &[ReleaseId],
    faults: &mut Vec<Fault>,
) -> Result<Vec<Dependency>> {
    faults.extend(repeated(ids, "/depends_on"));
    let visibility = context.actor.visibility();
    let mut found = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        match releases::find(context.connection, ReleaseRef::Id(*id), &visibility)? {
            None => faults.push(Fault::unknown(format!("/depends_on/{index}"), "release")),
            Some(other) => found.push(Dependency {
                release_id: other.id,
                number: other.number,
                status: other.status,
                resolution: other.resolution,
                visible: true,
            }),
        }
    }
    if let Some(release) = release {
        for (index, id) in ids.iter().enumerate() {
            if releases::reaches(context.connection, &[*id], release.id)? {
                faults.push(Fault::at(
                    format!("/depends_on/{index}"),
                    "CYCLE",
                    "That release depends on this one, directly or through others.",
                ));
            }
        }
    }
    found.sort_by_key(|dependency| dependency.number);
    Ok(found)
}

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
    let permit = may_patch(context, &before, &workflow, patch)?;
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
    let requester = requester(context, &fields.requester, &mut faults)?;
    let new_dependencies = if dependencies_change {
        dependencies(context, Some(&before), &fields.depends_on, &mut faults)?
    } else {
        facts.dependencies.clone()
    };
    Error::unless_none(faults)?;
    let Some(requester) = requester else {
        return Err(Error::Invalid(Vec::new()));
    };
    let after = patched(context, &before, &fields, requester);
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
    let after =
        Release { row_version: before.row_version + 1, updated_at: context.now, chain: stamp.head().clone(), ..after };
    let depends_on = dependencies_change.then_some(ids.as_slice());
    releases::update(context.connection, &before, &after, &after.principals(&workflow), depends_on, &stamp)?;
    Ok(show(context, after, &workflow, &facts))
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
    patch: &MergePatch<ReleaseFields>,
) -> Result<Permit> {
    let permit = context.authorise(Access::Releases)?;
    if context.actor.may(Permission::Execute, release.executor_group_id) {
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

fn patched(context: &WriteContext<'_>, before: &Release, fields: &ReleaseFields, requester: Requester) -> Release {
    let fields = fields.clone();
    let criteria = fields
        .acceptance_criteria
        .into_iter()
        .map(|criterion| {
            let known = before.acceptance_criteria.iter().find(|c| c.text == criterion.text);
            match (criterion.confirmed, known) {
                (true, Some(known)) if known.confirmed_at.is_some() => known.clone(),
                (true, _) => Criterion {
                    text: criterion.text,
                    confirmed_by: Some(context.actor.user_id),
                    confirmed_at: Some(context.now),
                },
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
