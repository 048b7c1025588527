//! Workflows as data: ordered stages with their responsible and their gates (`domain.md` §3).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::gates::Gate;
use super::values::{GroupId, StageKind, WorkflowId};

/// Who is responsible for a stage, and so may move a release out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Responsible {
    /// The acting requester.
    Requester,
    /// Whoever may execute in the release's executor group.
    ExecutorGroup,
    /// Whoever may execute in the named group.
    Group {
        /// The group.
        group_id: GroupId,
    },
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// Key of the stage, unique in its workflow.
    pub key: String,
    /// Kind of the stage.
    pub kind: StageKind,
    /// Who may move a release out of it: any of these.
    pub responsible: Vec<Responsible>,
    /// What must hold before a release leaves it forwards: all of these.
    pub gates: Vec<Gate>,
}

impl Stage {
    /// The groups that it names as responsible.
    pub fn named_groups(&self) -> impl Iterator<Item = GroupId> {
        self.responsible.iter().filter_map(|responsible| match responsible {
            Responsible::Group { group_id } => Some(*group_id),
            Responsible::Requester | Responsible::ExecutorGroup => None,
        })
    }
}

const fn first_version() -> i64 {
    1
}

/// One version of a workflow. A release keeps the version that it started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Workflow {
    /// Identifier of this version.
    pub id: WorkflowId,
    /// Key of the workflow, the same for all its versions.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Version, counted from 1.
    pub version: i64,
    /// Always 1: a stored version never changes. Kept with it since before workflows could be retired.
    #[serde(default = "first_version")]
    pub row_version: i64,
    /// The stage that a reopened release returns to, and a release sent back without a named stage.
    pub return_stage: String,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// True where its releases may carry a change that another release under way carries as well. Versions from before
    /// this was asked do not say so.
    #[serde(default)]
    pub shared_changes: bool,
}

impl Workflow {
    /// True where the other one says the same, whatever its version.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.key, &self.name, &self.return_stage, &self.stages, self.shared_changes)
            == (&other.key, &other.name, &other.return_stage, &other.stages, other.shared_changes)
    }

    /// Position of the stage, counted from 0.
    pub fn position(&self, stage: &str) -> Option<usize> {
        self.stages.iter().position(|s| s.key == stage)
    }

    /// The stage with the key.
    pub fn stage(&self, key: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.key == key)
    }

    /// Key of the stage in which every release starts.
    pub fn first_stage(&self) -> &str {
        self.stages.first().map_or("", |stage| stage.key.as_str())
    }

    /// The stage after the given one; `None` at the end.
    pub fn next_stage(&self, stage: &str) -> Option<&Stage> {
        self.stages.get(self.position(stage)? + 1)
    }

    /// True where the release takes its resolution at acceptance and not at close.
    pub fn has_acceptance(&self) -> bool {
        self.stages.iter().any(|stage| stage.kind == StageKind::Acceptance)
    }

    /// True where the plan of a release in this stage is locked: the stage lies after the one that
    /// authorises, which is planning where nothing does.
    pub fn locks_plan(&self, stage: &str) -> bool {
        let kinds = || self.stages.iter().map(|s| s.kind);
        let last_free = kinds()
            .rposition(|kind| kind == StageKind::Authorization)
            .or_else(|| kinds().rposition(|kind| kind == StageKind::Planning));
        match (self.position(stage), last_free) {
            (Some(position), Some(last_free)) => position > last_free,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// True where approvals are asked for in this stage.
    pub fn asks_approvals(&self, stage: &str) -> bool {
        self.stage(stage).is_some_and(|stage| stage.gates.iter().any(asks_approvals))
    }

    /// True where a rule may let requester, acting requester and assignee vote too.
    pub fn lets_requester_approve(&self) -> bool {
        let lets = |gate: &Gate| matches!(gate, Gate::ApprovalsSatisfied { requester_may_approve: true });
        self.stages.iter().any(|stage| stage.gates.iter().any(lets))
    }

    /// True where approvals are asked for in any stage.
    pub fn ever_asks_approvals(&self) -> bool {
        self.stages.iter().any(|stage| stage.gates.iter().any(asks_approvals))
    }

    /// True from the first stage of kind deployment on.
    pub fn deployment_begun(&self, stage: &str) -> bool {
        let first = self.stages.iter().position(|s| s.kind >= StageKind::Deployment);
        matches!((self.position(stage), first), (Some(position), Some(first)) if position >= first)
    }

    /// The stage that `send_back` goes to when none is named: the return stage where it lies before,
    /// else the previous one; `None` in the first stage.
    pub fn stage_back_from(&self, stage: &str) -> Option<&str> {
        let position = self.position(stage)?;
        let back = match self.position(&self.return_stage) {
            Some(returns) if returns < position => returns,
            _ => position.checked_sub(1)?,
        };
        self.stages.get(back).map(|stage| stage.key.as_str())
    }
}

const fn asks_approvals(gate: &Gate) -> bool {
    matches!(gate, Gate::ApprovalsSatisfied { .. })
}

/// The content of a built-in workflow, before it is stored under an identifier.
pub struct BuiltIn {
    /// Key of the workflow.
    pub key: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Where reopened releases return to.
    pub return_stage: &'static str,
    /// The stages, in order; the stage's key is the name of its kind.
    pub stages: &'static [(StageKind, &'static [Responsible], &'static [Gate])],
}

impl BuiltIn {
    /// The workflow under its identifier, as version 1.
    pub fn with_id(&self, id: WorkflowId) -> Workflow {
        Workflow {
            id,
            key: self.key.into(),
            name: self.name.into(),
            version: 1,
            row_version: 1,
            return_stage: self.return_stage.into(),
            stages: self
                .stages
                .iter()
                .map(|(kind, responsible, gates)| Stage {
                    key: kind.as_str().into(),
                    kind: *kind,
                    responsible: responsible.to_vec(),
                    gates: gates.to_vec(),
                })
                .collect(),
            shared_changes: false,
        }
    }
}

const TEAM: &[Responsible] = &[Responsible::ExecutorGroup];
const REQUESTER: &[Responsible] = &[Responsible::Requester];
const EITHER: &[Responsible] = &[Responsible::Requester, Responsible::ExecutorGroup];

/// The three workflows that every installation starts with.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        key: "standard",
        name: "Standard",
        return_stage: "planning",
        stages: &[
            (
                StageKind::Planning,
                TEAM,
                &[
                    Gate::WindowsSet,
                    Gate::DeploymentNotPast,
                    Gate::ChangesLinked { min: 1 },
                    Gate::PlanningActivitiesFinished,
                ],
            ),
            (
                StageKind::Authorization,
                REQUESTER,
                &[
                    Gate::ApprovalsSatisfied { requester_may_approve: false },
                    Gate::ChangesAuthorised,
                    Gate::InsideChangeWindows,
                    Gate::DependenciesSolved,
                    Gate::DeploymentNotPast,
                    Gate::MediaAuthorised { where_asked: true },
                    Gate::SparesReserved { where_asked: true },
                ],
            ),
            (StageKind::Deployment, TEAM, &[Gate::DeploymentActivitiesFinished, Gate::PurchasesFinished]),
            (StageKind::Test, TEAM, &[Gate::ChecklistsConfirmed, Gate::TestEvidence { where_asked: true }]),
            (StageKind::Acceptance, EITHER, &[Gate::AcceptanceCriteriaConfirmed]),
            (StageKind::Closure, REQUESTER, &[Gate::ChangeOutcomesRecorded, Gate::ConfigurationItemsUnchanged]),
        ],
    },
    BuiltIn {
        key: "emergency",
        name: "Emergency",
        return_stage: "authorization",
        stages: &[
            (
                StageKind::Authorization,
                REQUESTER,
                &[
                    Gate::WindowsSet,
                    Gate::DeploymentNotPast,
                    Gate::ChangesLinked { min: 1 },
                    Gate::PlanningActivitiesFinished,
                    Gate::ApprovalsSatisfied { requester_may_approve: false },
                    Gate::ChangesAuthorised,
                    Gate::InsideChangeWindows,
                    Gate::DependenciesSolved,
                    Gate::MediaAuthorised { where_asked: true },
                    Gate::SparesReserved { where_asked: true },
                ],
            ),
            (StageKind::Deployment, TEAM, &[Gate::DeploymentActivitiesFinished, Gate::PurchasesFinished]),
            (StageKind::Acceptance, EITHER, &[Gate::AcceptanceCriteriaConfirmed]),
            (StageKind::Closure, REQUESTER, &[Gate::ChangeOutcomesRecorded, Gate::ConfigurationItemsUnchanged]),
        ],
    },
    BuiltIn {
        key: "minor",
        name: "Minor",
        return_stage: "planning",
        stages: &[
            (
                StageKind::Planning,
                TEAM,
                &[
                    Gate::WindowsSet,
                    Gate::DeploymentNotPast,
                    Gate::DependenciesSolved,
                    Gate::PlanningActivitiesFinished,
                ],
            ),
            (StageKind::Deployment, TEAM, &[Gate::DeploymentActivitiesFinished, Gate::PurchasesFinished]),
            (
                StageKind::Closure,
                REQUESTER,
                &[Gate::AcceptanceCriteriaConfirmed, Gate::ChangeOutcomesRecorded, Gate::ConfigurationItemsUnchanged],
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(key: &str) -> Workflow {
        let id = WorkflowId::new(uuid::Uuid::nil());
        BUILT_IN.iter().find(|workflow| workflow.key == key).unwrap().with_id(id)
    }

    #[test]
    fn every_built_in_workflow_ends_with_its_only_closure_and_returns_to_one_of_its_stages() {
        for workflow in BUILT_IN {
            let workflow = workflow.with_id(WorkflowId::new(uuid::Uuid::nil()));
            let closures = workflow.stages.iter().filter(|s| s.kind == StageKind::Closure).count();
            assert_eq!(closures, 1);
            assert_eq!(workflow.stages.last().unwrap().kind, StageKind::Closure);
            assert!(workflow.position(&workflow.return_stage).is_some());
        }
    }

    #[test]
    fn the_plan_locks_behind_the_stage_that_authorises() {
        let standard = built_in("standard");
        let locked: Vec<bool> = standard.stages.iter().map(|s| standard.locks_plan(&s.key)).collect();
        assert_eq!(locked, [false, false, true, true, true, true]);
        let minor = built_in("minor");
        let locked: Vec<bool> = minor.stages.iter().map(|s| minor.locks_plan(&s.key)).collect();
        assert_eq!(locked, [false, true, true]);
        let emergency = built_in("emergency");
        let locked: Vec<bool> = emergency.stages.iter().map(|s| emergency.locks_plan(&s.key)).collect();
        assert_eq!(locked, [false, true, true, true]);
    }

    #[test]
    fn a_release_goes_back_to_the_return_stage_or_else_to_the_previous_one() {
        let standard = built_in("standard");
        assert_eq!(standard.stage_back_from("planning"), None);
        assert_eq!(standard.stage_back_from("test"), Some("planning"));
        let emergency = built_in("emergency");
        assert_eq!(emergency.stage_back_from("authorization"), None);
        assert_eq!(emergency.stage_back_from("closure"), Some("authorization"));
    }
}
