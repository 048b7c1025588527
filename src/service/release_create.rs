//! Creating a release with everything that is sent along, all or nothing (`domain.md` §4).

use std::sync::Arc;

use serde_json::{Value, json};

use super::catalogue::document;
use super::checklists::NewChecklist;
use super::instantiate::{self, Parts};
use super::item_links;
use super::linkable_items::{self, FirstLink};
use super::release_input::{AcceptanceCriterion, NewRelease, RequesterFields};
use super::releases::{Shown, facts, show, with_facts};
use super::rules::{repeated, unknown};
use super::{Error, Recorded, Result, WriteContext, activities, activity_plan, approvals, changes, checklists, roles};
use crate::domain::activity::groups_of;
use crate::domain::approval::ApprovalRule;
use crate::domain::lifecycle::{Dependency, Facts};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::{ChainHead, Criterion, Release, Requester, past_window_faults, window_faults};
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::activities::ActivityRow;
use crate::repository::changes::Link;
use crate::repository::checklists::ChecklistRow;
use crate::repository::nouns::{self, Contract, Group, Model, Portfolio, Record, Unit, User};
use crate::repository::releases::{self, ReleaseRef};
use crate::repository::roles::RoleRow;

/// What a creation refers to, found and sound.
pub(super) struct References {
    pub(super) model: Arc<Record<Model>>,
    pub(super) workflow: Arc<Workflow>,
    pub(super) group: GroupId,
    pub(super) requester: Requester,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) changes: Vec<Record<nouns::Change>>,
    pub(super) approval_rule: Option<ApprovalRule>,
    pub(super) of_model: Parts,
    pub(super) checklists: Vec<NewChecklist>,
    pub(super) items: Vec<FirstLink>,
}

/// What the server gives a new release.
pub(super) struct Birth {
    pub(super) id: ReleaseId,
    pub(super) number: i64,
    pub(super) at: Timestamp,
    pub(super) by: UserId,
}

/// What a new release holds from its beginning, ready to be stored.
struct Inside<'c> {
    roles: &'c [RoleRow],
    activities: &'c [(ActivityRow, Vec<ActivityId>)],
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
    let birth = Birth {
        id: ReleaseId::new(context.env.new_id(context.now)),
        number: releases::next_number(context.connection)?,
        at: context.now,
        by: context.actor.user_id,
    };
    let first_roles = new.roles.clone();
    let planned = activities::planned(context, birth.id, &found.of_model.activities, &new.activities);
    let release = begin(new, &found, &birth);
    let first_roles: Vec<RoleRow> =
        first_roles.into_iter().map(|fields| roles::fresh(context, release.id, fields)).collect();
    let inside = Inside { roles: &first_roles, activities: &planned };
    store_new(context, permit, release, found, &inside)
}

/// The new release: open, at the first stage. What is not given comes from the model.
pub(super) fn begin(new: NewRelease, found: &References, birth: &Birth) -> Release {
    let model = &found.model.content;
    Release {
        id: birth.id,
        number: birth.number,
        title: new.title,
        description: new.description,
        version: new.version,
        release_type: new.release_type.unwrap_or(model.release_type),
        portfolio_id: model.portfolio_id,
        model_id: found.model.id,
        workflow_id: found.workflow.id,
        requester: found.requester.clone(),
        contract_id: new.contract_id,
        calendar_id: model.calendar_id,
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
        notify: new.notify.or(model.notify.0),
        asks_for: model.asks_for.0.clone(),
        row_version: 1,
        created_at: birth.at,
        created_by: birth.by,
        updated_at: birth.at,
        closed_at: None,
        cancelled_at: None,
        suspended_at: None,
        chain: ChainHead::default(),
    }
}

fn store_new(
    context: &mut WriteContext<'_>,
    permit: Permit,
    mut release: Release,
    found: References,
    inside: &Inside<'_>,
) -> Result<Shown> {
    let References { workflow, dependencies, changes: linked, approval_rule, of_model, checklists: new, items, .. } =
        found;
    let workflow = &*workflow;
    let depends_on: Vec<ReleaseId> = dependencies.iter().map(|dependency| dependency.release_id).collect();
    let links: Vec<Link> =
        linked.iter().map(|change| changes::linked(changes::new_row(context, release.id, change.id), change)).collect();
    let mut after = snapshot(&release, &depends_on)?;
    tell_changes(&mut after, links.iter().map(|link| link.row.change_id).collect());
    if !inside.roles.is_empty() {
        after["roles"] = inside.roles.iter().map(roles::document).collect();
    }
    let open = activities::tell_activities(&mut after, inside.activities);
    let mut lists = checklist_rows(context, release.id, workflow, &of_model.checklists)?.map_err(Error::Invalid)?;
    lists.extend(checklist_rows(context, release.id, workflow, &new)?.map_err(Error::Invalid)?);
    let items: Vec<_> = items.iter().map(|item| item.row(context, release.id)).collect();
    if !items.is_empty() {
        after["configuration_items"] = items.iter().map(item_links::document).collect();
    }
    if let Some(rule) = &approval_rule {
        after["approval_rule"] = json!(rule);
    }
    if !lists.is_empty() {
        after["checklists"] = lists.iter().map(checklists::checklist_document).collect();
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
    releases::insert(&mut context.journal, &release, &principals, &depends_on, &stamp);
    let rows: Vec<_> = links.iter().map(|link| link.row.clone()).collect();
    crate::repository::changes::insert_first_links(&mut context.journal, &rows, &stamp);
    crate::repository::roles::insert_first(&mut context.journal, inside.roles, &stamp);
    crate::repository::activities::insert(&mut context.journal, inside.activities, &stamp);
    release.chain = stamp.head().clone();
    if approval_rule.is_some() || !lists.is_empty() || !items.is_empty() {
        let (connection, journal) = context.ends();
        journal.write(connection)?;
        crate::repository::item_links::insert_first(connection, &items, &stamp)?;
        if !lists.is_empty() {
            crate::repository::checklists::insert_first(connection, &lists, &stamp)?;
        }
        if let Some(rule) = &approval_rule {
            approvals::store_first_rule(context, &release, workflow, rule, &stamp)?;
        }
        let (release, workflow, facts) = with_facts(context, release)?;
        return Ok(show(context, release, &workflow, &facts));
    }
    let facts = facts(context.now, links.iter().map(Link::fact).collect(), dependencies);
    let worktime = context.worktime(release.calendar_id)?;
    let facts = Facts { activities: open, worktime, ..facts };
    Ok(show(context, release, workflow, &facts))
}

/// The rows of the checklists that are sent along, or what is wrong with them.
fn checklist_rows(
    context: &mut WriteContext<'_>,
    release: ReleaseId,
    workflow: &Workflow,
    new: &[NewChecklist],
) -> Result<Draft<Vec<ChecklistRow>>> {
    let (mut rows, mut faults) = (Vec::with_capacity(new.len()), Vec::new());
    for (index, new) in new.iter().enumerate() {
        match checklists::new_row(context, release, workflow, new, &format!("/checklists/{index}"))? {
            Ok(row) => rows.push(row),
            Err(more) => faults.extend(more),
        }
    }
    Ok(if faults.is_empty() { Ok(rows) } else { Err(faults) })
}

/// The history of a creation names the changes that were linked at once.
pub(super) fn tell_changes(after: &mut Value, linked: Vec<ChangeId>) {
    if !linked.is_empty() {
        after["changes"] = json!(linked);
    }
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
        Some(id) => context.reference::<Model>(id)?,
        None => context.default_model()?,
    };
    if model.is_none() {
        faults.push(Fault::unknown("/model_id", "model"));
    }
    let workflow = match &model {
        Some(model) => model_workflow(context, model, &mut faults)?,
        None => None,
    };
    let group = executor_group(context, new, model.as_deref(), &mut faults)?;
    if let Some(id) = new.contract_id {
        contract_faults(context, id, model.as_deref(), &mut faults)?;
    }
    let requester = requester(context, &new.requester, &mut faults)?;
    faults.extend(window_faults(new.planning_window, new.deployment_window));
    let release_type = new.release_type.or(model.as_ref().map(|model| model.content.release_type));
    if let Some(release_type) = release_type {
        faults.extend(past_window_faults(release_type, new.planning_window, new.deployment_window, context.now));
    }
    faults.extend(criteria_faults(&new.acceptance_criteria));
    faults.extend(repeated(&new.tags, "/tags"));
    let dependencies = dependencies(context, None, &[], &new.depends_on, &mut faults)?;
    let ids: Vec<ChangeId> = new.changes.iter().map(|link| link.change_id).collect();
    let carried = match changes::linkable(context, &ids, |index| format!("/changes/{index}/change_id"))? {
        Ok(changes) => changes,
        Err(more) => {
            faults.extend(more);
            Vec::new()
        }
    };
    if let Some(workflow) = &workflow {
        changes::refuse_shared(context, workflow, (None, &ids), |index| format!("/changes/{index}/change_id"))?;
    }
    let items = linkable_items::first_links(context, &new.configuration_items, &carried)?.unwrap_or_else(|more| {
        faults.extend(more);
        Vec::new()
    });
    faults.extend(roles::first_faults(context, &new.roles)?);
    let groups = group.zip(workflow.as_deref()).map(|(group, workflow)| groups_of(group, workflow));
    let (of_model, more) = match &model {
        Some(model) => instantiate::parts(context, model, new, workflow.as_deref(), groups.as_deref())?,
        None => (Parts::default(), Vec::new()),
    };
    faults.extend(more);
    let (own, sent_along) = (&new.activities, activity_plan::SENT_ALONG);
    faults.extend(activities::planned_faults(context, own, &of_model.activities, groups.as_deref(), sent_along)?);
    if let Some(workflow) = &workflow {
        if let Some(rule) = &new.approval_rule {
            if let (Some(model), Some(group)) = (&model, group)
                && model.content.approval_rule.is_some()
            {
                approvals::may_replace_rule(context, group)?;
            }
            faults.extend(approvals::rule_faults(context, rule, workflow, "/approval_rule")?);
        }
        // Made only to be judged: the release that they belong to has no identifier yet.
        let nowhere = ReleaseId::new(uuid::Uuid::nil());
        faults.extend(checklist_rows(context, nowhere, workflow, &new.checklists)?.err().unwrap_or_default());
        let stale = checklist_rows(context, nowhere, workflow, &of_model.checklists)?.err().unwrap_or_default();
        faults.extend(stale.iter().map(instantiate::checklist_fault));
    }
    match (faults.is_empty(), model, workflow, group, requester) {
        (true, Some(model), Some(workflow), Some(group), Some(requester)) => {
            let of_rule = || model.content.approval_rule.as_ref().map(|rule| rule.0.clone());
            let (approval_rule, checklists) = (new.approval_rule.clone().or_else(of_rule), new.checklists.clone());
            Ok(References {
                model,
                workflow,
                group,
                requester,
                dependencies,
                changes: carried,
                approval_rule,
                of_model,
                checklists,
                items,
            })
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
) -> Result<Option<Arc<Workflow>>> {
    if model.content.status != ModelStatus::Active {
        faults.push(Fault::at(
            "/model_id",
            "MODEL_NOT_ACTIVE",
            format!("The model is `{}`; only an active model starts releases.", model.content.status),
        ));
    }
    let portfolio = context.reference::<Portfolio>(model.content.portfolio_id)?;
    if portfolio.is_some_and(|portfolio| !portfolio.content.active) {
        faults.push(Fault::at("/model_id", "PORTFOLIO_NOT_ACTIVE", "The portfolio of the model is not active."));
    }
    let workflow = context.newest_workflow(&model.content.workflow)?;
    if workflow.is_none() {
        faults.push(Fault::at("/model_id", "WORKFLOW_RETIRED", "The workflow of the model is retired."));
    }
    Ok(workflow)
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
    match context.reference::<Group>(id)? {
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
    match context.reference::<Contract>(id)? {
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
pub(super) fn requester(
    context: &mut WriteContext<'_>,
    given: &RequesterFields,
    faults: &mut Vec<Fault>,
) -> Result<Option<Requester>> {
    let mut account: Option<Arc<Record<User>>> = None;
    if let Some(id) = given.user_id {
        match context.reference::<User>(id)? {
            None => faults.push(Fault::unknown("/requester/user_id", "user")),
            Some(user) if !user.content.active => {
                faults.push(Fault::at("/requester/user_id", "USER_DISABLED", "The user's account is disabled."));
            }
            Some(user) => account = Some(user),
        }
    }
    if given.unit_id.is_some() {
        faults.extend(unknown::<Unit>(context, given.unit_id, "/requester/unit_id")?);
    }
    for (field, value) in [("name", &given.name), ("email", &given.email)] {
        if value.is_none() && given.user_id.is_none() {
            faults.push(Fault::at(
                format!("/requester/{field}"),
                "REQUIRED",
                "A requester without an account needs this.",
            ));
        }
    }
    Ok(filled_in(given, account.as_deref().map(|account| &account.content)))
}

/// The requester, with what is not given filled in from the account. `None` without a name or an address.
pub(super) fn filled_in(given: &RequesterFields, account: Option<&User>) -> Option<Requester> {
    let name = given.name.clone().or(account.map(|user| user.name.clone()))?;
    let email = given.email.clone().or(account.map(|user| user.email.clone()))?;
    Some(Requester {
        user_id: given.user_id,
        name,
        contact_name: given.contact_name.clone(),
        email,
        phone: given.phone.clone().or(account.and_then(|user| user.phone.clone())),
        extension: given.extension.clone().or(account.and_then(|user| user.extension.clone())),
        unit_id: given.unit_id.or(account.and_then(|user| user.unit_id)),
        location: given.location.clone().or(account.and_then(|user| user.location.clone())),
        notes: given.notes.clone(),
    })
}

/// What the release is to depend on: visible releases, and no way round to the release itself.
pub(super) fn dependencies(
    context: &mut WriteContext<'_>,
    release: Option<&Release>,
    known: &[Dependency],
    ids: &[ReleaseId],
    faults: &mut Vec<Fault>,
) -> Result<Vec<Dependency>> {
    faults.extend(repeated(ids, "/depends_on"));
    let visibility = context.actor.visibility();
    let mut found = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        // What it depends on already stays, whether this caller can see it or not.
        if let Some(dependency) = known.iter().find(|dependency| dependency.release_id == *id) {
            found.push(dependency.clone());
            continue;
        }
        match releases::find(context.connection, ReleaseRef::Id(*id), &visibility)? {
            None => faults.push(Fault::unknown(format!("/depends_on/{index}"), "release")),
            Some((other, _)) => found.push(Dependency {
                release_id: other.id,
                number: other.number,
                status: other.status,
                resolution: other.resolution,
                visible: true,
            }),
        }
    }
    if let Some(release) = release {
        releases::order_dependency_changes(context.connection)?;
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
