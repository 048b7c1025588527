//! `/workflows`: the steps that releases go through, as versioned data.

use actix_web::{get, post};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Operations;
use crate::api::body::FromBody;
use crate::api::schema::{self, Checked};
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Fault, Timestamp, WorkflowId, WorkflowOrigin};
use crate::domain::workflow::Stage;
use crate::domain::workflow_draft::{NewWorkflow, NewWorkflowVersion};
use crate::repository::listing::SqlValue;
use crate::repository::workflows::{LIST, StoredWorkflow};
use crate::service::workflows::{self, Proposed, row_version};
use crate::service::{self, Reply};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_workflows)
        .service(create_workflow)
        .service(read_workflow)
        .service(create_workflow_version)
        .service(retire_workflow);
}

impl Checked for NewWorkflow {}
impl Checked for NewWorkflowVersion {}

impl<T: Checked> FromBody for Proposed<T> {
    /// What can be read of it is kept beside its faults: the rest of what is wrong is told with them.
    fn from_body(value: Value) -> Result<Self, Vec<Fault>> {
        Ok(match schema::check::<T>(value.clone())? {
            Ok(content) => Self { content: Some(content), faults: Vec::new() },
            Err(faults) => Self { content: serde_json::from_value(value).ok(), faults },
        })
    }
}

/// One version of a workflow. A release keeps the version that it started with.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub struct WorkflowVersion {
    /// Identifier of this version.
    pub id: WorkflowId,
    /// Key of the workflow, the same for all its versions.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Version, counted from 1. New releases start with the newest.
    #[schema(minimum = 1)]
    pub version: i64,
    /// 1, and 2 once the workflow is retired: a stored version does not change otherwise.
    #[schema(minimum = 1, maximum = 2)]
    pub row_version: i64,
    /// The stage that a reopened release returns to, and a release sent back without a named stage.
    pub return_stage: String,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// True where its releases may carry a change that another release under way carries as well.
    pub shared_changes: bool,
    /// Who made this version. One that comes with the product is renewed with it as long as nobody here has edited or
    /// retired the workflow.
    pub origin: WorkflowOrigin,
    /// When this version was stored.
    pub created_at: Timestamp,
    /// When the workflow was retired, with all its versions: it starts no releases, and those that run go on.
    pub retired_at: Option<Timestamp>,
}

impl From<StoredWorkflow> for WorkflowVersion {
    fn from(stored: StoredWorkflow) -> Self {
        let StoredWorkflow { workflow, origin, created_at, retired_at } = stored;
        Self {
            id: workflow.id,
            key: workflow.key,
            name: workflow.name,
            version: workflow.version,
            row_version: row_version(retired_at),
            return_stage: workflow.return_stage,
            stages: workflow.stages,
            shared_changes: workflow.shared_changes,
            origin,
            created_at,
            retired_at,
        }
    }
}

fn shown(status: u16, stored: StoredWorkflow) -> service::Result<Reply> {
    let row_version = row_version(stored.retired_at);
    Ok(Reply::json(status, &WorkflowVersion::from(stored))?.version(row_version))
}

fn position(stored: &StoredWorkflow, sort: &str) -> (SqlValue, String) {
    let value = match sort {
        "created_at" => SqlValue::Instant(stored.created_at),
        _ => SqlValue::Text(stored.workflow.key.clone()),
    };
    (value, stored.workflow.id.to_string())
}

/// List the workflows
///
/// The newest version of each; every version with `all_versions=true`.
#[utoipa::path(tag = "Lifecycle", responses((status = 200, body = Page<WorkflowVersion>)))]
#[get("/workflows")]
async fn list_workflows(call: Call) -> Answer {
    let link = call.clone();
    call.list(&LIST, &[], move |context, query| {
        let rows = workflows::list(context, query.clone())?;
        paging::reply(&link, &LIST, &query, rows, WorkflowVersion::from, position)
    })
    .await
}

/// Create a workflow
///
/// Ordered stages with who is responsible for each and the gates to leave it, and the stage to return to. Every fault
/// is named at once. A model starts its releases with it by its key.
#[utoipa::path(tag = "Lifecycle", request_body = NewWorkflow, responses((status = 201, body = WorkflowVersion)))]
#[post("/workflows")]
async fn create_workflow(call: Call, body: Body<Proposed<NewWorkflow>>) -> Answer {
    call.write(&["dry_run"], body, |context, proposed| {
        let stored = workflows::create(context, proposed.clone())?;
        let location = format!("{BASE}/workflows/{}", stored.workflow.id);
        Ok(shown(201, stored)?.at(location))
    })
    .await
}

/// Read one version of a workflow
///
/// A stored version never changes; a release keeps the one it started with.
#[utoipa::path(tag = "Lifecycle", params(("id" = WorkflowId, Path,)), responses((status = 200, body = WorkflowVersion)))]
#[get("/workflows/{id}")]
async fn read_workflow(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, workflows::read(context, path.id("id", "workflow")?)?)
    })
    .await
}

/// Make a new version of a workflow
///
/// The path names the version that it is made from, which must be the newest: else somebody was faster, and 409
/// `NOT_THE_NEWEST_VERSION` says which is. New releases start with the new version; those that run keep theirs.
#[utoipa::path(
    tag = "Lifecycle",
    params(("id" = WorkflowId, Path,)),
    request_body = NewWorkflowVersion,
    responses((status = 201, body = WorkflowVersion))
)]
#[post("/workflows/{id}/versions")]
async fn create_workflow_version(call: Call, body: Body<Proposed<NewWorkflowVersion>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, proposed| {
        let stored = workflows::add_version(context, path.id("id", "workflow")?, proposed.clone())?;
        let location = format!("{BASE}/workflows/{}", stored.workflow.id);
        Ok(shown(201, stored)?.at(location))
    })
    .await
}

/// Retire a workflow
///
/// With all its versions, for good, whichever of them the path names. It starts no more releases, and no active model
/// may name it: 409 names those that do. Releases that run go on.
#[utoipa::path(tag = "Lifecycle", params(("id" = WorkflowId, Path,)), responses((status = 200, body = WorkflowVersion)))]
#[post("/workflows/{id}/retire")]
async fn retire_workflow(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, _| {
        shown(200, workflows::retire(context, path.id("id", "workflow")?)?)
    })
    .await
}
