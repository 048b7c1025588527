//! The gate catalogue: what may be asked before a release leaves a stage forwards (`domain.md` §3).
//!
//! A gate is one small function over loaded facts. The catalogue is closed: a workflow can name
//! nothing else, and `GET /lifecycle` publishes it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::{Ask, LibraryGaps};
use super::lifecycle::{Blocker, Facts, LinkedChange, OpenPhase, PendingItems};
use super::release::Release;
use super::values::{AskedFor, ChangeOutcome, Gap, ReleaseType, Resolution, Status};

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
    /// What is installed comes from authorised definitive media.
    MediaAuthorised {
        /// True where only a release whose model asks for it needs that.
        #[serde(default)]
        where_asked: bool,
    },
    /// Every spare that is needed is reserved.
    SparesReserved {
        /// True where only a release whose model asks for it needs that.
        #[serde(default)]
        where_asked: bool,
    },
    /// No configuration item was changed by somebody else since it was linked.
    ConfigurationItemsUnchanged,
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
        description: "Every linked change is `authorised`, `scheduled`, `implementing` or `completed`. In every \
                      workflow a linked change that was cancelled or rejected and has no outcome keeps a release from \
                      going on and from being closed as solved.",
        parameters: &[],
        blocker_codes: &["CHANGE_NOT_AUTHORISED", "CHANGE_CANCELLED"],
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
    GateDescription {
        gate: "media_authorised",
        description: "Every linked configuration item that gets a version names an authorised definitive medium of that \
                      version, every linked medium is authorised, and every document of class `package` has the SHA-256 \
                      of one of them. With `where_asked: true`, only where the release `asks_for` `definitive_media`.",
        parameters: &["where_asked"],
        blocker_codes: &["MEDIUM_MISSING", "MEDIUM_NOT_AUTHORISED", "MEDIUM_VERSION_DIFFERS", "PACKAGE_NOT_IN_LIBRARY"],
    },
    GateDescription {
        gate: "spares_reserved",
        description: "For every linked configuration item that needs a spare, one of that model is reserved. With \
                      `where_asked: true`, only where the release `asks_for` `hardware_spares`.",
        parameters: &["where_asked"],
        blocker_codes: &["SPARE_NOT_RESERVED"],
    },
    GateDescription {
        gate: "configuration_items_unchanged",
        description: "No configuration item whose link is `pending` was changed by somebody else since it was linked. \
                      Closing as solved asks for this in every workflow.",
        parameters: &[],
        blocker_codes: &["CI_CHANGED_SINCE_LINKED"],
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
            Self::ConfigurationItemsUnchanged => "configuration_items_unchanged",
            Self::MediaAuthorised { .. } => "media_authorised",
            Self::SparesReserved { .. } => "spares_reserved",
        }
    }

    /// What it asks about the release besides the release itself, its changes and its dependencies: this is loaded for
    /// such a gate alone.
    pub fn asks(self, release: &Release) -> Option<Ask> {
        let where_due = |where_asked: bool, by, ask| (!where_asked || release.asks_for.contains(&by)).then_some(ask);
        match self {
            Self::WindowsSet
            | Self::DeploymentNotPast
            | Self::ChangesLinked { .. }
            | Self::ChangesAuthorised
            | Self::InsideChangeWindows
            | Self::DependenciesSolved
            | Self::AcceptanceCriteriaConfirmed
            | Self::ChangeOutcomesRecorded => None,
            Self::PurchasesFinished => Some(Ask::Purchases),
            Self::PlanningActivitiesFinished | Self::DeploymentActivitiesFinished => Some(Ask::Activities),
            Self::ApprovalsSatisfied { .. } => Some(Ask::Approvals),
            Self::ChecklistsConfirmed => Some(Ask::Checklists),
            Self::TestEvidence { where_asked } => where_due(where_asked, AskedFor::TestEvidence, Ask::Evidence),
            Self::MediaAuthorised { where_asked } => where_due(where_asked, AskedFor::DefinitiveMedia, Ask::Library),
            Self::SparesReserved { where_asked } => where_due(where_asked, AskedFor::HardwareSpares, Ask::Library),
            Self::ConfigurationItemsUnchanged => Some(Ask::PendingItems),
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
                .map(|change| unauthorised(change, self.name()))
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
            Self::TestEvidence { .. } if self.asks(release).is_none() || facts.evidence.of_this_version > 0 => {
                Vec::new()
            }
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
            Self::MediaAuthorised { .. } | Self::SparesReserved { .. } if self.asks(release).is_none() => Vec::new(),
            Self::MediaAuthorised { .. } => gaps(&facts.library, self.name(), MEDIA_GAPS),
            Self::SparesReserved { .. } => gaps(&facts.library, self.name(), SPARE_GAPS),
            Self::ConfigurationItemsUnchanged => changed_items(facts),
        }
    }
}

/// What can be wrong with the media of a release: code, where, and in words for one of them and for several.
const MEDIA_GAPS: &[(Gap, &str, &str, [&str; 2])] = &[
    (
        Gap::MediumMissing,
        "MEDIUM_MISSING",
        "/configuration_items",
        [
            "configuration item gets a version and names no definitive medium",
            "configuration items get a version and name no definitive medium",
        ],
    ),
    (
        Gap::MediumNotAuthorised,
        "MEDIUM_NOT_AUTHORISED",
        "/definitive_media",
        ["definitive medium is not authorised", "definitive media are not authorised"],
    ),
    (
        Gap::MediumVersionDiffers,
        "MEDIUM_VERSION_DIFFERS",
        "/configuration_items",
        [
            "configuration item gets another version than that of its definitive medium",
            "configuration items get other versions than those of their definitive media",
        ],
    ),
    (
        Gap::PackageNotInLibrary,
        "PACKAGE_NOT_IN_LIBRARY",
        "/documents",
        [
            "package has the SHA-256 of no definitive medium of the release",
            "packages have the SHA-256 of no definitive medium of the release",
        ],
    ),
];
/// What can be wrong with the spares of a release.
const SPARE_GAPS: &[(Gap, &str, &str, [&str; 2])] = &[(
    Gap::SpareNotReserved,
    "SPARE_NOT_RESERVED",
    "/hardware_spares",
    [
        "configuration item needs a spare that is not reserved for it",
        "configuration items need spares that are not reserved for them",
    ],
)];

/// A blocker for each kind of gap, which counts them and names the first.
fn gaps(found: &LibraryGaps, gate: &'static str, kinds: &[(Gap, &'static str, &str, [&str; 2])]) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for (kind, code, pointer, [one, several]) in kinds {
        let Some(gaps) = found.of(*kind) else { continue };
        let words = if gaps.count == 1 { one } else { several };
        let blocker = Blocker::gate(gate, code, format!("{} {words}.", gaps.count), pointer);
        blockers.push(gaps.named.iter().fold(blocker, Blocker::about));
    }
    blockers
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

/// The blocker of a linked change that change management does not allow, or no more.
fn unauthorised(change: &LinkedChange, gate: &'static str) -> Blocker {
    let code = if change.status.is_given_up() { "CHANGE_CANCELLED" } else { "CHANGE_NOT_AUTHORISED" };
    let detail = format!("Change {} is `{}`.", change.label, change.status);
    Blocker::gate(gate, code, detail, "/changes").about(change.change_id)
}

/// A blocker for every linked change that its tool gave up, and of which nothing is said here.
pub fn given_up_changes(facts: &Facts) -> impl Iterator<Item = Blocker> {
    let given_up = |change: &&LinkedChange| change.outcome == ChangeOutcome::Pending && change.status.is_given_up();
    facts.changes.iter().filter(given_up).map(|change| unauthorised(change, Gate::ChangesAuthorised.name()))
}

/// A blocker that counts the items that somebody else changed since they were linked, and names the first of them.
pub fn changed_items(facts: &Facts) -> Vec<Blocker> {
    let PendingItems { changed, named, .. } = &facts.pending_items;
    let labels: Vec<&str> = named.iter().map(|(_, label)| label.as_str()).collect();
    let detail = match (changed, labels.first()) {
        (0, _) => return Vec::new(),
        (1, Some(only)) => format!("The configuration item {only} was changed since it was linked."),
        (count, _) => {
            let more = if *count > labels.len() { ", and more" } else { "" };
            format!("{count} configuration items were changed since they were linked: {}{more}.", labels.join(", "))
        }
    };
    let gate = Gate::ConfigurationItemsUnchanged.name();
    let blocker = Blocker::gate(gate, "CI_CHANGED_SINCE_LINKED", detail, "/configuration_items");
    vec![named.iter().fold(blocker, |blocker, (link, _)| blocker.about(link))]
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
