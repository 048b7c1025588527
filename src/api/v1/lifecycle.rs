//! `/lifecycle` and `/workflows`: the rules, as the service itself reads them.

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::{Answer, Call, paging, paging::Page};
use crate::domain::gates::{CATALOGUE, GateDescription};
use crate::domain::lifecycle::{Rule, TABLE};
use crate::domain::policy::{RIGHTS, Right};
use crate::domain::values::{Action, Status, WorkflowId};
use crate::domain::workflow::Workflow;
use crate::service::{Reply, lifecycle};

/// Registers the operations.
pub fn configure(config: &mut ServiceConfig<'_>) {
    config.service(read_lifecycle).service(list_workflows).service(read_workflow);
}

/// A status.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatusDescription {
    /// The status.
    pub status: Status,
    /// True where the release is under way.
    pub active: bool,
    /// True where nothing leads out of it.
    pub terminal: bool,
}

/// An action and the right that it needs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActionDescription {
    /// The action.
    pub action: Action,
    /// The right that it needs.
    pub right: Right,
}

/// The whole lifecycle.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LifecycleDescription {
    /// The statuses.
    pub statuses: Vec<StatusDescription>,
    /// The actions.
    pub actions: Vec<ActionDescription>,
    /// The transition table.
    pub transitions: Vec<Rule>,
    /// The gate catalogue.
    pub gates: Vec<GateDescription>,
}

/// Read the lifecycle
///
/// Statuses, actions, the transition table, the gate catalogue and required fields: the same data that decides.
#[utoipa::path(tag = "Lifecycle", responses((status = 200, body = LifecycleDescription)))]
#[get("/lifecycle")]
async fn read_lifecycle(call: Call) -> Answer {
    call.read(&[], |context| {
        context.authorise(crate::domain::policy::Access::Read)?;
        let terminal = |status: &Status| !TABLE.iter().any(|rule| rule.from_status.contains(status));
        Reply::json(
            200,
            &LifecycleDescription {
                statuses: Status::ALL
                    .iter()
                    .map(|status| StatusDescription {
                        status: *status,
                        active: status.is_active(),
                        terminal: terminal(status),
                    })
                    .collect(),
                actions: RIGHTS
                    .iter()
                    .map(|(action, right)| ActionDescription { action: *action, right: *right })
                    .collect(),
                transitions: TABLE.to_vec(),
                gates: CATALOGUE.to_vec(),
            },
        )
    })
    .await
}

/// Workflows are read all at once; there are at most so many.
const WORKFLOWS_MAX: i64 = 1000;

/// List the workflows
///
/// Every version of every workflow, by key, newest version first.
#[utoipa::path(tag = "Lifecycle", responses((status = 200, body = Page<Workflow>)))]
#[get("/workflows")]
async fn list_workflows(call: Call) -> Answer {
    call.read(&[], |context| paging::whole(lifecycle::all_workflows(context)?, WORKFLOWS_MAX)).await
}

/// Read one version of a workflow
///
/// A stored version never changes; a release keeps the one it started with.
#[utoipa::path(tag = "Lifecycle", params(("id" = WorkflowId, Path,)), responses((status = 200, body = Workflow)))]
#[get("/workflows/{id}")]
async fn read_workflow(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(crate::domain::policy::Access::Read)?;
        let workflow = lifecycle::workflow(context, path.id("id", "workflow")?)?;
        Ok(Reply::json(200, &workflow)?.version(1))
    })
    .await
}
