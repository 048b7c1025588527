//! `/lifecycle`: the rules, as the service itself reads them.

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use super::workflows::WorkflowVersion;
use crate::api::{Answer, Call};
use crate::domain::gates::{CATALOGUE, GateDescription};
use crate::domain::lifecycle::{Rule, TABLE};
use crate::domain::policy::{RIGHTS, Right};
use crate::domain::values::{Action, Status};
use crate::service::{Reply, workflows};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(read_lifecycle);
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
    /// The workflow that `workflow` asks for: stages, who is responsible, gates; null where it asks for none.
    pub workflow: Option<WorkflowVersion>,
}

/// Read the lifecycle
///
/// Statuses, actions, the transition table, the gate catalogue and required fields: the same data that decides. With
/// `workflow` the stages of that workflow too.
#[utoipa::path(tag = "Lifecycle", responses((status = 200, body = LifecycleDescription)))]
#[get("/lifecycle")]
async fn read_lifecycle(call: Call) -> Answer {
    let asked = call.parameter("workflow");
    call.read(&["workflow"], move |context| {
        context.authorise(crate::domain::policy::Access::Read)?;
        let workflow = asked.as_deref().map(|name| workflows::named(context, name)).transpose()?;
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
                workflow: workflow.map(WorkflowVersion::from),
            },
        )
    })
    .await
}
