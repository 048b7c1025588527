//! The gate catalogue: what may be asked before a release leaves a stage forwards (`domain.md` §3).
//!
//! A gate is one small function over loaded facts. The catalogue is closed: a workflow can name
//! nothing else, and `GET /lifecycle` publishes it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lifecycle::{Blocker, Facts, OpenPhase};
use super::release::Release;
use super::values::{AskedFor, ChangeOutcome, ReleaseType, Resolution, Status};

/// A gate, with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "gate")]
pub enum Gate {
    /// Both windows are set.
    WindowsSet,
    /// The deployment window is not over; releases of type `emergency` are exempt.
    DeploymentNotPast,
    /// At least so many changes are linked.
    ChangesLinked {
        /// How many.
        min: u32,
    },
    /// Every linked change is authorised by change management.
    ChangesAuthorised,
    /// The deployment lies inside the window of every linked change that has one.
    InsideChangeWindows,
    /// Every release that this one depends on is closed as solved.
    DependenciesSolved,
    /// Every acceptance criterion is confirmed.
    AcceptanceCriteriaConfirmed,
    /// No linked change has the outcome `pending`.
    ChangeOutcomesRecorded,
    /// Every linked purchase is finished.
    PurchasesFinished,
    /// Every planning activity is done or skipped.
    PlanningActivitiesFinished,
    /// Every deployment activity is done or skipped.
    DeploymentActivitiesFinished,
    /// Enough of those who are asked approve.
    ApprovalsSatisfied {
        /// True where a rule may let requester, acting requester and assignee vote too. Else four eyes are needed.
        #[serde(default)]
        requester_may_approve: bool,
    },
    /// Every required checklist of the stage is confirmed.
    ChecklistsConfirmed,
    /// A document of class `evidence` names the version of the release.
    TestEvidence {
        /// True where only a release whose model asks for it needs one.
        #[serde(default)]
        where_asked: bool,
    },
}

/// One line of the published catalogue.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GateDescription {
    /// Name of the gate, as workflows and blockers write it.
    pub gate: &'static str,
    /// What it asks.
    pub description: &'static str,
    /// Names of its parameters.
    pub parameters: &'static [&'static str],
    /// Codes of the blockers it answers with.
    pub blocker_codes: &'static [&'static str],
}

/// The catalogue, as published.
pub const CATALOGUE: &[GateDescription] = &[
    GateDescription {
        gate: "windows_set",
        description: "Both the planning and the deployment window are set.",
        parameters: &[],
        blocker_codes: &["PLANNING_WINDOW_MISSING", "DEPLOYMENT_WINDOW_MISSING"],
    },
    GateDescription {
        gate: "deployment_not_past",
        description: "The deployment window is not over. Releases of type `emergency` are exempt.",
        parameters: &[],
        blocker_codes: &["DEPLOYMENT_PAST"],
    },
    GateDescription {
        gate: "changes_linked",
        description: "At least `min` changes are linked; 1 to 100.",
        parameters: &["min"],
        blocker_codes: &["NO_CHANGE_LINKED", "TOO_FEW_CHANGES_LINKED"],
    },
    GateDescription {
        gate: "changes_authorised",
        description: "Every linked change is `authorised`, `scheduled`, `implementing` or `completed`.",
        parameters: &[],
        blocker_codes: &["CHANGE_NOT_AUTHORISED"],
    },
    GateDescription {
        gate: "inside_change_windows",
        description: "The deployment window lies inside the window of every linked change that has one.",
        parameters: &[],
        blocker_codes: &["OUTSIDE_CHANGE_WINDOW"],
    },
    GateDescription {
        gate: "dependencies_solved",
        description: "Every release that this one depends on is closed as solved.",
        parameters: &[],
        blocker_codes: &["DEPENDENCY_NOT_SOLVED"],
    },
    GateDescription {
        gate: "acceptance_criteria_confirmed",
        description: "Every acceptance criterion is confirmed.",
        parameters: &[],
        blocker_codes: &["CRITERION_NOT_CONFIRMED"],
    },
    GateDescription {
        gate: "change_outcomes_recorded",
        description: "Every linked change has an outcome other than `pending`.",
        parameters: &[],
        blocker_codes: &["CHANGE_OUTCOME_PENDING"],
    },
    GateDescription {
        gate: "purchases_finished",
        description: "Every reference of kind `purchase` is `finished`.",
        parameters: &[],
        blocker_codes: &["PURCHASE_NOT_FINISHED"],
    },
    GateDescription {
        gate: "planning_activities_finished",
        description: "Every activity of the planning board is done or skipped; archived ones do not count.",
        parameters: &[],
        blocker_codes: &["PLANNING_ACTIVITIES_OPEN"],
    },
    GateDescription {
        gate: "deployment_activities_finished",
        description: "Every activity of the deployment board is done or skipped; archived ones do not count.",
        parameters: &[],
        blocker_codes: &["DEPLOYMENT_ACTIVITIES_OPEN"],
    },
    GateDescription {
        gate: "approvals_satisfied",
        description: "Enough of those whom the approval rule asks approve. Without a rule it is satisfied. With \
                      `requester_may_approve: true`, a rule may let requester and assignee vote too.",
        parameters: &["requester_may_approve"],
        blocker_codes: &["APPROVAL_MISSING", "APPROVAL_REJECTED", "NO_ELIGIBLE_APPROVER"],
    },
    GateDescription {
        gate: "checklists_confirmed",
        description: "Every required checklist of the stage is confirmed.",
        parameters: &[],
        blocker_codes: &["CHECKLIST_NOT_CONFIRMED"],
    },
    GateDescription {
        gate: "test_evidence",
        description: "A document of class `evidence` names the version of the release. With `where_asked: true`, only \
                      where the release `asks_for` it.",
        parameters: &["where_asked"],
        blocker_codes: &["TEST_EVIDENCE_MISSING"],
    },
];

/// A blocker names at most so many records; its detail counts all of them.
pub const REFS_MAX: usize = 20;

impl Gate {
    /// Name of the gate in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WindowsSet => "windows_set",
            Self::DeploymentNotPast => "deployment_not_past",
            Self::ChangesLinked { .. } => "changes_linked",
            Self::ChangesAuthorised => "changes_authorised",
            Self::InsideChangeWindows => "inside_change_windows",
            Self::DependenciesSolved => "dependencies_solved",
            Self::AcceptanceCriteriaConfirmed => "acceptance_criteria_confirmed",
            Self::ChangeOutcomesRecorded => "change_outcomes_recorded",
            Self::PurchasesFinished => "purchases_finished",
            Self::PlanningActivitiesFinished => "planning_activities_finished",
            Self::DeploymentActivitiesFinished => "deployment_activities_finished",
            Self::ApprovalsSatisfied { .. } => "approvals_satisfied",
            Self::ChecklistsConfirmed => "checklists_confirmed",
            Self::TestEvidence { .. } => "test_evidence",
        }
    }

    /// Everything that keeps the release from passing; empty when it passes.
    pub fn judge(self, release: &Release, facts: &Facts) -> Vec<Blocker> {
        let block = |code, detail: String, pointer: &str| Blocker::gate(self.name(), code, detail, pointer);
        match self {
            Self::WindowsSet => {
                let mut blockers = Vec::new();
                if release.planning_window.is_none() {
                    blockers.push(block(
                        "PLANNING_WINDOW_MISSING",
                        "The planning window is not set.".into(),
                        "/planning_window",
                    ));
                }
                if release.deployment_window.is_none() {
                    blockers.push(block(
                        "DEPLOYMENT_WINDOW_MISSING",
                        "The deployment window is not set.".into(),
                        "/deployment_window",
                    ));
                }
                blockers
            }
            Self::DeploymentNotPast => match release.deployment_window {
                Some(window) if release.release_type != ReleaseType::Emergency && window.is_past(facts.now) => {
                    vec![block(
                        "DEPLOYMENT_PAST",
                        format!("The deployment window ended at {}.", window.end),
                        "/deployment_window",
                    )]
                }
                _ => Vec::new(),
            },
            Self::ChangesLinked { min } => {
                let linked = facts.changes.len();
                if linked >= min as usize {
                    return Vec::new();
                }
                let (code, detail) = if linked == 0 {
                    ("NO_CHANGE_LINKED", "No change is linked to the release.".to_owned())
                } else {
                    ("TOO_FEW_CHANGES_LINKED", format!("{linked} changes are linked; {min} are needed."))
                };
                vec![block(code, detail, "/changes")]
            }
            Self::ChangesAuthorised => facts
                .changes
                .iter()
                .filter(|change| !change.status.is_authorised())
                .map(|change| {
                    block(
                        "CHANGE_NOT_AUTHORISED",
                        format!("Change {} is `{}`.", change.label, change.status),
                        "/changes",
                    )
                    .about(change.change_id)
                })
                .collect(),
            Self::InsideChangeWindows => {
                let Some(deployment) = release.deployment_window else {
                    return Vec::new();
                };
                facts
                    .changes
                    .iter()
                    .filter_map(|change| Some((change, change.window?)))
                    .filter(|(_, window)| !window.contains(&deployment))
                    .map(|(change, window)| {
                        block(
                            "OUTSIDE_CHANGE_WINDOW",
                            format!(
                                "The deployment window is not inside the window of change {}, {} to {}.",
                                change.label, window.start, window.end
                            ),
                            "/deployment_window",
                        )
                        .about(change.change_id)
                    })
                    .collect()
            }
            Self::DependenciesSolved => facts
                .dependencies
                .iter()
                .filter(|d| !(d.status == Status::Closed && d.resolution == Some(Resolution::Solved)))
                .map(|dependency| {
                    let blocker = block(
                        "DEPENDENCY_NOT_SOLVED",
                        format!(
                            "{} is `{}`; it must be closed as solved first.",
                            dependency.label(),
                            dependency.status
                        ),
                        "/depends_on",
                    );
                    if dependency.visible { blocker.about(dependency.release_id) } else { blocker }
                })
                .collect(),
            Self::AcceptanceCriteriaConfirmed => release
                .acceptance_criteria
                .iter()
                .enumerate()
                .filter(|(_, criterion)| criterion.confirmed_at.is_none())
                .map(|(index, criterion)| {
                    block(
                        "CRITERION_NOT_CONFIRMED",
                        format!("The acceptance criterion \"{}\" is not confirmed.", criterion.text),
                        &format!("/acceptance_criteria/{index}"),
                    )
                })
                .collect(),
            Self::ChangeOutcomesRecorded => pending_outcomes(facts, self.name()),
            Self::PurchasesFinished => {
                let open = &facts.open_purchases;
                let detail = match open.count {
                    0 => return Vec::new(),
                    1 => "A linked purchase is not finished.".to_owned(),
                    count => format!("{count} linked purchases are not finished."),
                };
                let blocker = block("PURCHASE_NOT_FINISHED", detail, "/references");
                vec![open.named.iter().fold(blocker, Blocker::about)]
            }
            Self::PlanningActivitiesFinished => {
                open_activities(&facts.activities.planning, self.name(), "PLANNING_ACTIVITIES_OPEN", "planning")
            }
            Self::DeploymentActivitiesFinished => {
                open_activities(&facts.activities.deployment, self.name(), "DEPLOYMENT_ACTIVITIES_OPEN", "deployment")
            }
            Self::ApprovalsSatisfied { .. } => {
                facts.approvals.as_ref().map_or_else(Vec::new, |approvals| approvals.blockers(self.name()))
            }
            Self::ChecklistsConfirmed => open_checklists(release, facts, self.name()),
            Self::TestEvidence { where_asked: true } if !release.asks_for.contains(&AskedFor::TestEvidence) => {
                Vec::new()
            }
            Self::TestEvidence { .. } if facts.evidence.of_this_version > 0 => Vec::new(),
            Self::TestEvidence { .. } => {
                let detail = match (&release.version, facts.evidence.count) {
                    (None, _) => "The release has no version that evidence could name.".into(),
                    (Some(version), 0) => format!("No document of class `evidence` names version {version}."),
                    (Some(version), count) => {
                        format!("Of {count} documents of class `evidence` none names version {version}.")
                    }
                };
                vec![block("TEST_EVIDENCE_MISSING", detail, "/documents")]
            }
        }
    }
}

/// A blocker that counts the open activities of a phase and names the first of them.
fn open_activities(open: &OpenPhase, gate: &'static str, code: &'static str, phase: &str) -> Vec<Blocker> {
    let detail = match open.count {
        0 => return Vec::new(),
        1 => format!("1 {phase} activity is neither done nor skipped."),
        count => format!("{count} {phase} activities are neither done nor skipped."),
    };
    let blocker = Blocker::gate(gate, code, detail, "/activities");
    vec![open.examples.iter().fold(blocker, |blocker, activity| blocker.about(activity))]
}

/// The blocker of the required checklists of the stage that are not confirmed.
fn open_checklists(release: &Release, facts: &Facts, gate: &'static str) -> Vec<Blocker> {
    let open = || facts.checklists.iter().filter(|checklist| checklist.stage == release.stage);
    let Some(first) = open().next() else {
        return Vec::new();
    };
    let detail = match open().count() {
        1 => format!("The checklist \"{}\" is not confirmed.", first.title),
        count => format!("{count} checklists are not confirmed, \"{}\" the first of them.", first.title),
    };
    let blocker = Blocker::gate(gate, "CHECKLIST_NOT_CONFIRMED", detail, "/checklists");
    vec![open().take(REFS_MAX).fold(blocker, |blocker, checklist| blocker.about(checklist.id))]
}

/// A blocker for every linked change without an outcome.
pub fn pending_outcomes(facts: &Facts, gate: &'static str) -> Vec<Blocker> {
    facts
        .changes
        .iter()
        .filter(|change| change.outcome == ChangeOutcome::Pending)
        .map(|change| {
            Blocker::gate(
                gate,
                "CHANGE_OUTCOME_PENDING",
                format!("The outcome of change {} is not recorded.", change.label),
                "/changes",
            )
            .about(change.link_id)
        })
        .collect()
}
