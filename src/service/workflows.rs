//! Workflows: proposed, judged, stored as versions that never change, retired; and those that come with the product.
//!
//! A new version is made from the newest one, which the caller names: of two who edit at the same time, the second is
//! told that there is a newer version. A retired workflow starts no releases and is named by no active model; releases
//! that run keep the version that they started with, whatever becomes of the workflow.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::ChainHead;
use crate::domain::values::{Fault, Permission, Timestamp, WorkflowId, WorkflowOrigin};
use crate::domain::workflow::{BUILT_IN, Stage, Workflow};
use crate::domain::workflow_draft::{NewWorkflow, NewWorkflowVersion};
use crate::repository::audit::Stamp;
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::nouns::{Group, Noun};
use crate::repository::workflows::{self, ALL_VERSIONS, LIST, Series, StoredWorkflow, VERSIONS_MAX, WORKFLOWS_MAX};
use crate::repository::{AnyConnection, Error as DatabaseError};

/// The name of the noun in audit and problems.
const RECORD: &str = "workflow";
/// So many models are named when a workflow cannot be retired.
const MODELS_NAMED_MAX: i64 = 20;

/// A proposal: its content as far as it can be read, and what its schema finds wrong with it.
#[derive(Debug, Clone)]
pub struct Proposed<T> {
    /// The content.
    pub content: Option<T>,
    /// What is wrong with it so far.
    pub faults: Vec<Fault>,
}

/// A page of workflows: the newest version of each, or every version.
pub fn list(context: &mut ReadContext<'_>, mut query: ListQuery) -> Result<Rows<StoredWorkflow>> {
    context.authorise(Access::Read)?;
    if let Some(filter) = LIST.filters.iter().position(|filter| filter.name == ALL_VERSIONS)
        && !query.conditions.iter().any(|condition| condition.filter == filter)
    {
        query.conditions.push(Condition { filter, values: vec![SqlValue::Boolean(false)] });
    }
    Ok(workflows::page(context.connection, &query, context.now)?)
}

/// One version of a workflow.
pub fn read(context: &mut ReadContext<'_>, id: WorkflowId) -> Result<StoredWorkflow> {
    context.authorise(Access::Read)?;
    workflows::find_stored(context.connection, id)?.ok_or(Error::NotFound(RECORD))
}

/// A workflow by its key, in its newest version, or one version by its identifier.
pub fn named(context: &mut ReadContext<'_>, name: &str) -> Result<StoredWorkflow> {
    context.authorise(Access::Read)?;
    let found = match name.parse() {
        Ok(id) => workflows::find_stored(context.connection, id)?,
        Err(_) => workflows::newest_stored(context.connection, name)?,
    };
    found.ok_or(Error::NotFound(RECORD))
}

/// Creates a workflow, as its first version.
pub fn create(context: &mut WriteContext<'_>, proposed: Proposed<NewWorkflow>) -> Result<StoredWorkflow> {
    let permit = context.authorise(Access::Catalogue)?;
    let Proposed { content, faults } = proposed;
    let (key, version) = content.map(<(String, NewWorkflowVersion)>::from).unzip();
    let (version, stages) = judged(context, Proposed { content: version, faults })?;
    let key = key.unwrap_or_default();
    if workflows::newest(context.connection, &key)?.is_some() {
        return Err(key_is_taken());
    }
    if workflows::count(context.connection)? >= WORKFLOWS_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("There are at most {WORKFLOWS_MAX} workflows.")));
    }
    let id = WorkflowId::new(context.env.new_id(context.now));
    let workflow = whole(id, key, 1, version, stages);
    begin(context, permit, workflow, WorkflowOrigin::User)
}

/// Makes a new version out of the newest one.
pub fn add_version(
    context: &mut WriteContext<'_>,
    from: WorkflowId,
    proposed: Proposed<NewWorkflowVersion>,
) -> Result<StoredWorkflow> {
    let from = workflows::find(context.connection, from)?.ok_or(Error::NotFound(RECORD))?;
    let permit = context.authorise(Access::Catalogue)?;
    let (series, newest) = lock(context, &from.key)?;
    if series.retired_at.is_some() {
        return Err(Error::conflict("WORKFLOW_RETIRED", "A retired workflow gets no new version."));
    }
    if newest.id != from.id {
        let detail =
            format!("Version {} is the newest, {}; this is version {}.", newest.version, newest.id, from.version);
        return Err(Error::conflict("NOT_THE_NEWEST_VERSION", detail));
    }
    if workflows::version_count(context.connection, &from.key)? >= VERSIONS_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A workflow has at most {VERSIONS_MAX} versions.")));
    }
    let (version, stages) = judged(context, proposed)?;
    let id = WorkflowId::new(context.env.new_id(context.now));
    let workflow = whole(id, newest.key.clone(), newest.version + 1, version, stages);
    if workflow.says_the_same(&newest) {
        let detail = format!("Version {} says the same already.", newest.version);
        return Err(Error::conflict("ALREADY_EXISTS", detail));
    }
    go_on(context, permit, series, &newest, workflow, WorkflowOrigin::User)
}

/// Retires a workflow with all its versions, where no active model names it.
pub fn retire(context: &mut WriteContext<'_>, id: WorkflowId) -> Result<StoredWorkflow> {
    let found = workflows::find_stored(context.connection, id)?.ok_or(Error::NotFound(RECORD))?;
    let permit = context.authorise(Access::Catalogue)?;
    let (mut series, _) = lock(context, &found.workflow.key)?;
    context.request.if_match.honour(row_version(series.retired_at))?;
    if series.retired_at.is_some() {
        return Err(Error::conflict("WORKFLOW_RETIRED", "The workflow is retired already."));
    }
    let using = workflows::active_models(context.connection, &series.key, MODELS_NAMED_MAX)?;
    if !using.is_empty() {
        let names: Vec<String> = using.iter().map(|(_, name)| format!("\"{name}\"")).collect();
        let faults = using.iter().map(|(id, name)| {
            Fault::at("", "IN_USE", format!("The active model \"{name}\" ({id}) starts its releases with it."))
        });
        return Err(Error::Conflict {
            code: "IN_USE",
            detail: format!("Active models start their releases with it: {}. Give them another one.", names.join(", ")),
            standing: None,
            faults: faults.collect(),
        });
    }
    series.retired_at = Some(context.now);
    series.row_version += 1;
    let (before, after) = (json!({"retired_at": null}), json!({"retired_at": context.now}));
    let stamp = record(context, permit, &series, "workflow.retire", (Some(&before), &after))?;
    workflows::update_series(context.connection, &series, &stamp)?;
    Ok(StoredWorkflow { retired_at: series.retired_at, ..found })
}

/// The version behind the `ETag` of a version of a workflow: it never changes but by being retired.
pub const fn row_version(retired_at: Option<Timestamp>) -> i64 {
    if retired_at.is_some() { 2 } else { 1 }
}

/// Brings the workflows that come with the product up to date, where nobody here has edited or retired them. True where
/// there was anything to do. Two processes at once do it once between them.
pub fn renew_built_in(context: &mut WriteContext<'_>) -> Result<bool> {
    let permit = context.authorise(Access::Catalogue)?;
    let mut renewed = false;
    // An installation from before workflows could be edited: their history begins now.
    for key in workflows::keys_without_series(context.connection)? {
        let newest = workflows::newest(context.connection, &key)?;
        let id = workflows::first(context.connection, &key)?;
        if let (Some(newest), Some(id)) = (newest, id) {
            let series = Series { id, key, row_version: 1, retired_at: None, chain: ChainHead::default() };
            let after = document(&newest);
            let stamp = record(context, permit, &series, "workflow.create", (None, &after))?;
            workflows::insert_series(context.connection, id, &series.key, series.row_version, &stamp)?;
            renewed = true;
        }
    }
    for built_in in BUILT_IN {
        let now = context.now;
        let offered = built_in.with_id(WorkflowId::new(context.env.new_id(now)));
        let Some(series) = workflows::lock_series(context.connection, built_in.key)? else {
            begin(context, permit, offered, WorkflowOrigin::BuiltIn)?;
            renewed = true;
            continue;
        };
        let newest = workflows::newest_stored(context.connection, built_in.key)?.ok_or_else(|| without(&series.key))?;
        if series.retired_at.is_some() || newest.origin != WorkflowOrigin::BuiltIn {
            continue;
        }
        if is_news(context.connection, &offered)? {
            let workflow = Workflow { version: newest.workflow.version + 1, ..offered };
            go_on(context, permit, series, &newest.workflow, workflow, WorkflowOrigin::BuiltIn)?;
            renewed = true;
        }
    }
    Ok(renewed)
}

/// True where the workflows that come with the product may have to be brought up to date.
pub fn outdated(connection: &mut AnyConnection) -> Result<bool> {
    if !workflows::keys_without_series(connection)?.is_empty() {
        return Ok(true);
    }
    for built_in in BUILT_IN {
        let news = match workflows::newest_stored(connection, built_in.key)? {
            None => true,
            Some(newest) if newest.retired_at.is_some() || newest.origin != WorkflowOrigin::BuiltIn => false,
            Some(newest) => is_news(connection, &built_in.with_id(newest.workflow.id))?,
        };
        if news {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True where the product never said this before: an older process beside a newer one takes nothing back.
fn is_news(connection: &mut AnyConnection, offered: &Workflow) -> Result<bool> {
    let known = workflows::built_in_versions(connection, &offered.key)?;
    Ok(!known.iter().any(|known| known.says_the_same(offered)))
}

fn key_is_taken() -> Error {
    let fault = Fault::at("/key", "ALREADY_EXISTS", "Another workflow has this already.");
    let detail = "Another workflow has the same key.".into();
    Error::Conflict { code: "ALREADY_EXISTS", detail, standing: None, faults: vec![fault] }
}

fn without(key: &str) -> Error {
    Error::Internal(format!("the workflow {key} has no version"))
}

/// The workflow, locked until the transaction ends, and its newest version.
fn lock(context: &mut WriteContext<'_>, key: &str) -> Result<(Series, Workflow)> {
    let series = workflows::lock_series(context.connection, key)?.ok_or(Error::NotFound(RECORD))?;
    let newest = workflows::newest(context.connection, key)?.ok_or_else(|| without(key))?;
    Ok((series, newest))
}

fn whole(id: WorkflowId, key: String, version: i64, new: NewWorkflowVersion, stages: Vec<Stage>) -> Workflow {
    let NewWorkflowVersion { name, return_stage, shared_changes, .. } = new;
    Workflow { id, key, name, version, row_version: 1, return_stage, stages, shared_changes }
}

/// The content of a proposal with its stages, or everything that is wrong with it: by its schema, by itself, and with
/// the groups that it names.
fn judged(
    context: &mut WriteContext<'_>,
    proposed: Proposed<NewWorkflowVersion>,
) -> Result<(NewWorkflowVersion, Vec<Stage>)> {
    let Proposed { content, mut faults } = proposed;
    let Some(content) = content else { return Err(Error::Invalid(faults)) };
    let (stages, more) = content.judge();
    // Of one place the schema has the first word.
    let told: HashSet<_> = faults.iter().map(|fault| fault.place.clone()).collect();
    faults.extend(more.into_iter().filter(|fault| !told.contains(&fault.place)));
    faults.extend(group_faults(context, &content)?);
    if faults.is_empty() { Ok((content, stages)) } else { Err(Error::Invalid(faults)) }
}

fn group_faults(context: &mut WriteContext<'_>, content: &NewWorkflowVersion) -> Result<Vec<Fault>> {
    let mut named = content.named_groups();
    // Locked, so that none is deleted meanwhile; in one order, so that nobody waits in a circle.
    named.sort_unstable();
    let mut faults = Vec::new();
    for (id, pointer) in named {
        match Group::lock(context.connection, id)? {
            None => faults.push(Fault::unknown(pointer, Group::RECORD)),
            Some(group) if !group.content.active => {
                faults.push(Fault::at(pointer, "GROUP_NOT_ACTIVE", "The group is not active."));
            }
            Some(group) if !group.content.permissions.0.contains(&Permission::Execute) => {
                let detail = "The group does not hold `execute`, so that nobody in it could leave the stage.";
                faults.push(Fault::at(pointer, "GROUP_CANNOT_EXECUTE", detail));
            }
            Some(_) => {}
        }
    }
    Ok(faults)
}

/// What history keeps of a version.
fn document(workflow: &Workflow) -> Value {
    json!({
        "key": workflow.key,
        "name": workflow.name,
        "version": workflow.version,
        "return_stage": workflow.return_stage,
        "stages": workflow.stages,
        "shared_changes": workflow.shared_changes,
    })
}

fn record(
    context: &mut WriteContext<'_>,
    permit: Permit,
    series: &Series,
    action: &str,
    (before, after): (Option<&Value>, &Value),
) -> Result<Stamp> {
    let change = Recorded {
        record_type: RECORD,
        record_id: series.id.to_string(),
        subject: None,
        action: action.into(),
        before,
        after: Some(after),
        published: true,
    };
    context.record(permit, &series.chain, change)
}

/// Stores the first version of a workflow.
fn begin(
    context: &mut WriteContext<'_>,
    permit: Permit,
    workflow: Workflow,
    origin: WorkflowOrigin,
) -> Result<StoredWorkflow> {
    let series = Series {
        id: workflow.id,
        key: workflow.key.clone(),
        row_version: 1,
        retired_at: None,
        chain: ChainHead::default(),
    };
    let after = document(&workflow);
    let stamp = record(context, permit, &series, "workflow.create", (None, &after))?;
    let now = context.now;
    let stored = workflows::insert(context.connection, &workflow, origin, now, &stamp)
        .and_then(|()| workflows::insert_series(context.connection, series.id, &series.key, 1, &stamp));
    stored.map_err(|error| match error {
        DatabaseError::Unique { .. } => key_is_taken(),
        other => other.into(),
    })?;
    Ok(StoredWorkflow { workflow, origin, created_at: now, retired_at: None })
}

/// Stores the next version of a locked workflow.
fn go_on(
    context: &mut WriteContext<'_>,
    permit: Permit,
    mut series: Series,
    newest: &Workflow,
    workflow: Workflow,
    origin: WorkflowOrigin,
) -> Result<StoredWorkflow> {
    let (before, after) = (document(newest), document(&workflow));
    let stamp = record(context, permit, &series, "workflow.add_version", (Some(&before), &after))?;
    let now = context.now;
    workflows::insert(context.connection, &workflow, origin, now, &stamp)?;
    series.row_version += 1;
    workflows::update_series(context.connection, &series, &stamp)?;
    Ok(StoredWorkflow { workflow, origin, created_at: now, retired_at: None })
}
