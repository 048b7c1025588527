//! The lifecycle: statuses, actions, the one transition table, and the one decision.
//!
//! [`TABLE`] is the only source of what may happen to a release. It is data: [`decide`], the published
//! `GET /lifecycle`, the request schema of transitions and the tests all read it. A [`Transition`] has
//! private fields; only [`decide`] makes one, and storage takes nothing else, so no other code can
//! change a status.

use serde::Serialize;
use utoipa::ToSchema;

use super::facts::{Ask, Asks};
pub use super::facts::{
    Blocker, Class, Dependency, Evidence, Facts, GroupFact, JustificationFact, LinkedChange, OpenActivities,
    OpenChecklist, OpenPhase, OpenPurchases, PendingItems, Refusal, UserFact,
};
use super::gates::{changed_items, given_up_changes, pending_outcomes};
use super::input::{input_blockers, takes_resolution};
use super::policy::{self, Actor, Right};
use super::release::Release;
use super::standing::{holds, missing_right, needs_on_behalf_of};
pub use super::transition::Transition;
use super::transition::apply;
use super::values::{
    Action, GroupId, JustificationId, JustificationUse, Origin, Resolution, SolutionCategoryId, StageKind, Status,
    Timestamp, UserId,
};
use super::workflow::{Stage, Workflow};
use crate::mutants::mutant;

/// Which stages an action may start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FromStage {
    /// Any.
    Any,
    /// Any but the first.
    NotFirst,
    /// Any but closure.
    NotClosure,
    /// Closure alone.
    Closure,
    /// From the first stage of kind deployment on.
    DeploymentOn,
}

/// The status that an action leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToStatus {
    /// The same as before.
    Same,
    /// The one that the release had before it was suspended.
    BeforeSuspension,
    /// `suspended`.
    Suspended,
    /// `cancelled`.
    Cancelled,
    /// `closed`.
    Closed,
    /// `reopened`.
    Reopened,
}

/// The stage that an action leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToStage {
    /// The same as before.
    Same,
    /// The next one.
    Next,
    /// The one named by `to_stage`, or the workflow's return stage, or the previous one.
    Earlier,
    /// The workflow's return stage.
    Return,
}

/// A field of an action's request body.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Field {
    /// Name of the field.
    pub name: &'static str,
    /// True where the action is refused without it.
    pub required: bool,
}

const fn required(name: &'static str) -> Field {
    Field { name, required: true }
}

const fn optional(name: &'static str) -> Field {
    Field { name, required: false }
}

/// One row of the transition table.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Rule {
    /// The action.
    pub action: Action,
    /// The resolution that selects this row, where an action has more than one.
    pub resolution: Option<Resolution>,
    /// The statuses it starts from.
    pub from_status: &'static [Status],
    /// The stages it starts from.
    pub from_stage: FromStage,
    /// The status it leads to.
    pub to_status: ToStatus,
    /// The stage it leads to.
    pub to_stage: ToStage,
    /// The right it needs.
    pub right: Right,
    /// The use that its justification must allow, where it takes one.
    pub justification: Option<JustificationUse>,
    /// True where the gates of the current stage must pass.
    pub gates: bool,
    /// The fields of its request body, besides `action`.
    pub fields: &'static [Field],
    /// What else it needs, in words.
    pub needs: &'static str,
}

const ACTIVE: &[Status] = &[Status::Open, Status::Reopened];

/// The transition table (`domain.md` §3). `create` is not in it: it has no release to start from.
pub const TABLE: &[Rule] = &[
    Rule {
        action: Action::Advance,
        resolution: None,
        from_status: ACTIVE,
        from_stage: FromStage::NotClosure,
        to_status: ToStatus::Same,
        to_stage: ToStage::Next,
        right: Right::StageResponsible,
        justification: None,
        gates: true,
        fields: &[
            required("from_stage"),
            optional("note"),
            optional("resolution"),
            optional("release_date"),
            optional("solution_category_id"),
            optional("closure_notes"),
            optional("minutes_spent"),
            optional("on_behalf_of"),
        ],
        needs: "`from_stage` is the stage that the caller saw. Leaving acceptance: `resolution` `solved`, \
                `release_date`, `solution_category_id` and `closure_notes`.",
    },
    Rule {
        action: Action::SendBack,
        resolution: None,
        from_status: ACTIVE,
        from_stage: FromStage::NotFirst,
        to_status: ToStatus::Same,
        to_stage: ToStage::Earlier,
        right: Right::StageResponsible,
        justification: Some(JustificationUse::SendBack),
        gates: false,
        fields: &[
            required("from_stage"),
            optional("to_stage"),
            optional("justification_id"),
            optional("note"),
            optional("on_behalf_of"),
        ],
        needs: "A reason: `justification_id` or `note`. At acceptance the resolution `unsolved` is recorded.",
    },
    Rule {
        action: Action::Capture,
        resolution: None,
        from_status: ACTIVE,
        from_stage: FromStage::Any,
        to_status: ToStatus::Same,
        to_stage: ToStage::Same,
        right: Right::Execute,
        justification: None,
        gates: false,
        fields: &[optional("on_behalf_of")],
        needs: "The caller belongs to the executor group and is not the assignee yet.",
    },
    Rule {
        action: Action::Delegate,
        resolution: None,
        from_status: ACTIVE,
        from_stage: FromStage::Any,
        to_status: ToStatus::Same,
        to_stage: ToStage::Same,
        right: Right::Delegate,
        justification: None,
        gates: false,
        fields: &[optional("user_id"), optional("group_id"), optional("note"), optional("on_behalf_of")],
        needs: "A user of the executor group; or a group with an active member who may execute, which clears \
                the assignee; or both, the user belonging to the group.",
    },
    Rule {
        action: Action::Suspend,
        resolution: None,
        from_status: ACTIVE,
        from_stage: FromStage::Any,
        to_status: ToStatus::Suspended,
        to_stage: ToStage::Same,
        right: Right::Suspend,
        justification: Some(JustificationUse::Suspend),
        gates: false,
        fields: &[required("justification_id"), required("note"), optional("on_behalf_of")],
        needs: "An active justification that allows `suspend`, and a text that completes it.",
    },
    Rule {
        action: Action::Reactivate,
        resolution: None,
        from_status: &[Status::Suspended],
        from_stage: FromStage::Any,
        to_status: ToStatus::BeforeSuspension,
        to_stage: ToStage::Same,
        right: Right::Reactivate,
        justification: None,
        gates: false,
        fields: &[optional("note"), optional("on_behalf_of")],
        needs: "Nothing.",
    },
    Rule {
        action: Action::Cancel,
        resolution: None,
        from_status: &[Status::Open, Status::Reopened, Status::Suspended],
        from_stage: FromStage::Any,
        to_status: ToStatus::Cancelled,
        to_stage: ToStage::Same,
        right: Right::Cancel,
        justification: Some(JustificationUse::Cancel),
        gates: false,
        fields: &[required("justification_id"), required("closure_notes"), optional("on_behalf_of")],
        needs: "An active justification that allows `cancel`, and closure notes. From deployment on, an outcome \
                for every linked change.",
    },
    Rule {
        action: Action::Close,
        resolution: None,
        from_status: ACTIVE,
        from_stage: FromStage::Closure,
        to_status: ToStatus::Closed,
        to_stage: ToStage::Same,
        right: Right::ActingRequester,
        justification: None,
        gates: true,
        fields: &[
            optional("note"),
            optional("resolution"),
            optional("release_date"),
            optional("solution_category_id"),
            optional("closure_notes"),
            optional("on_behalf_of"),
        ],
        needs: "A workflow without an acceptance stage takes `resolution` `solved`, `release_date`, \
                `solution_category_id` and `closure_notes` here. Applies every pending configuration item.",
    },
    Rule {
        action: Action::Close,
        resolution: Some(Resolution::Unsolved),
        from_status: ACTIVE,
        from_stage: FromStage::DeploymentOn,
        to_status: ToStatus::Closed,
        to_stage: ToStage::Same,
        right: Right::ReleaseManager,
        justification: Some(JustificationUse::Cancel),
        gates: false,
        fields: &[
            required("resolution"),
            required("justification_id"),
            required("closure_notes"),
            optional("note"),
            optional("on_behalf_of"),
        ],
        needs: "An active justification that allows `cancel`, and closure notes.",
    },
    Rule {
        action: Action::Reopen,
        resolution: None,
        from_status: &[Status::Closed],
        from_stage: FromStage::Any,
        to_status: ToStatus::Reopened,
        to_stage: ToStage::Return,
        right: Right::Reopen,
        justification: Some(JustificationUse::Reopen),
        gates: false,
        fields: &[required("justification_id"), optional("note"), optional("on_behalf_of")],
        needs: "An active justification that allows `reopen`. Resolution, release date, category and notes are \
                cleared, change outcomes return to `pending`. What was written to configuration items stays until it \
                is reverted. No other release under way carries its changes, and a release that gave its licences back \
                needs them free again.",
    },
];

/// The row of the table for an action; `close` has one row more for `unsolved`.
pub fn rule(action: Action, resolution: Option<Resolution>) -> Option<&'static Rule> {
    let rows = || TABLE.iter().filter(move |rule| rule.action == action);
    rows()
        .find(|rule| rule.resolution.is_some() && rule.resolution == resolution)
        .or_else(|| rows().find(|rule| rule.resolution.is_none()))
}

/// A release manager who acts for the requester, and how the requester's word reached them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnBehalfOf {
    /// How the requester's word came.
    pub origin: Origin,
    /// What was said.
    #[schema(min_length = 1, max_length = 2000)]
    pub note: String,
}

/// What a caller asks to happen to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The action.
    pub action: Action,
    /// The stage that the caller saw.
    pub from_stage: Option<String>,
    /// The stage to go back to.
    pub to_stage: Option<String>,
    /// How the release ended.
    pub resolution: Option<Resolution>,
    /// When it really went live.
    pub release_date: Option<Timestamp>,
    /// Category of the solution.
    pub solution_category_id: Option<SolutionCategoryId>,
    /// Closing words.
    pub closure_notes: Option<String>,
    /// Minutes of work that the step took.
    pub minutes_spent: Option<i64>,
    /// The user to hand over to.
    pub user_id: Option<UserId>,
    /// The group to hand over to.
    pub group_id: Option<GroupId>,
    /// The catalogued reason.
    pub justification_id: Option<JustificationId>,
    /// Words that go with it.
    pub note: Option<String>,
    /// A release manager acts for the requester.
    pub on_behalf_of: Option<OnBehalfOf>,
}

impl Command {
    /// The bare action, without any input.
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            from_stage: None,
            to_stage: None,
            resolution: None,
            release_date: None,
            solution_category_id: None,
            closure_notes: None,
            minutes_spent: None,
            user_id: None,
            group_id: None,
            justification_id: None,
            note: None,
            on_behalf_of: None,
        }
    }
}

/// The decision: what becomes of the release, or everything that is in the way.
pub fn decide(
    release: &Release,
    workflow: &Workflow,
    command: &Command,
    facts: &Facts,
    actor: &Actor,
) -> Result<Transition, Refusal> {
    let seen = command.from_stage.as_deref();
    let blockers = match seen.filter(|seen| *seen != release.stage) {
        Some(seen) => stage_changed_blockers(release, workflow, seen, command, facts, actor),
        None => all_blockers(release, workflow, command, facts, actor),
    };
    match Refusal::of(blockers) {
        Some(refusal) => Err(refusal),
        None => Ok(apply(release, workflow, command, facts, actor)),
    }
}

fn all_blockers(
    release: &Release,
    workflow: &Workflow,
    command: &Command,
    facts: &Facts,
    actor: &Actor,
) -> Vec<Blocker> {
    let (action, resolution) = (command.action, command.resolution);
    let mut blockers = standing_blockers(release, workflow, action, resolution, facts, actor);
    blockers.extend(input_blockers(release, workflow, command, facts, actor));
    blockers
}

/// What is in the way of a caller who saw the release at another stage. The right is judged at the stage that
/// they saw: whoever lost a race is told so, and not that somebody else is responsible now.
fn stage_changed_blockers(
    release: &Release,
    workflow: &Workflow,
    seen: &str,
    command: &Command,
    facts: &Facts,
    actor: &Actor,
) -> Vec<Blocker> {
    let mut as_seen = release.clone();
    if workflow.stage(seen).is_some() {
        seen.clone_into(&mut as_seen.stage);
    }
    let mut blockers = all_blockers(&as_seen, workflow, command, facts, actor);
    blockers.retain(|blocker| blocker.class == Class::Right || blocker.code == "STATE_FORBIDS");
    blockers.push(Blocker {
        pointer: Some("/from_stage".into()),
        ..Blocker::new(
            Class::State,
            "STAGE_CHANGED",
            format!("The release stands at `{}`, not at `{seen}`.", release.stage),
        )
    });
    blockers
}

/// What the verdicts on a release as it stands ask about it, besides the release itself, its changes and its
/// dependencies. Gates are judged from some statuses alone.
pub fn asks(release: &Release, workflow: &Workflow) -> Asks {
    let judged = TABLE.iter().any(|rule| rule.gates && rule.from_status.contains(&release.status));
    workflow.stage(&release.stage).filter(|_| judged).map(|stage| asked_at(stage, release)).unwrap_or_default()
}

/// What the verdicts ask before the action, and after it at any stage that it may lead to. After a release is reopened
/// everything about it is asked anew.
pub fn asks_around(release: &Release, workflow: &Workflow, action: Option<Action>) -> Asks {
    let Some(at) = workflow.position(&release.stage) else { return Asks::default() };
    let to_stage = TABLE.iter().find(|rule| Some(rule.action) == action).map_or(ToStage::Same, |rule| rule.to_stage);
    let reached = match to_stage {
        ToStage::Same => at..at + 1,
        ToStage::Next => at..at + 2,
        ToStage::Earlier => 0..at + 1,
        ToStage::Return => 0..0,
    };
    let stages = workflow.stages.iter().skip(reached.start).take(reached.len());
    stages.fold(Asks::default(), |asks, stage| asks | asked_at(stage, release))
}

fn asked_at(stage: &Stage, release: &Release) -> Asks {
    // Closing overwrites nothing that somebody else changed, whatever the gates.
    let at_closing = (stage.kind == StageKind::Closure).then_some(Ask::PendingItems);
    stage.gates.iter().filter_map(|gate| gate.asks(release)).chain(at_closing).collect()
}

/// What is in the way of the action whatever its input: right, status, stage and gates. Empty: the actor
/// may do it now, given the right input. The same function answers `allowed_actions`.
pub fn standing_blockers(
    release: &Release,
    workflow: &Workflow,
    action: Action,
    resolution: Option<Resolution>,
    facts: &Facts,
    actor: &Actor,
) -> Vec<Blocker> {
    let Some(rule) = rule(action, resolution) else {
        return vec![Blocker::new(Class::State, "STATE_FORBIDS", format!("`{action}` does not apply to a release."))];
    };
    let Some(stage) = workflow.stage(&release.stage) else {
        return vec![Blocker::new(Class::State, "STATE_FORBIDS", "The release stands in an unknown stage.")];
    };
    let mut blockers = Vec::new();
    if !holds(rule.right, release, stage, facts, actor) {
        blockers.push(Blocker::new(Class::Right, "FORBIDDEN", missing_right(rule.right)));
    }
    if !rule.from_status.contains(&release.status) && !mutant("status_unchecked") {
        blockers.push(Blocker::new(
            Class::State,
            "STATE_FORBIDS",
            format!("`{action}` does not start from status `{}`.", release.status),
        ));
        return blockers;
    }
    if let Some(blocker) = stage_blocker(rule, workflow, stage) {
        blockers.push(blocker);
        return blockers;
    }
    if rule.gates {
        blockers.extend(stage.gates.iter().flat_map(|gate| gate.judge(release, facts)));
        blockers.extend(asked_everywhere(action, facts, &blockers));
    }
    match action {
        Action::Capture => {
            if release.assignee_id == Some(actor.user_id) {
                blockers.push(Blocker::new(Class::State, "ALREADY_ASSIGNED", "You are the assignee already."));
            }
            if !actor.belongs_to(release.executor_group_id) {
                blockers.push(Blocker::new(
                    Class::Right,
                    "NOT_A_GROUP_MEMBER",
                    "An assignee is always a member of the executor group, and you are not.",
                ));
            }
        }
        Action::Reopen => blockers.extend(facts.held_elsewhere.blockers(&facts.changes)),
        Action::Cancel if workflow.deployment_begun(&release.stage) => {
            blockers.extend(pending_outcomes(facts, "change_outcomes_recorded"));
        }
        Action::Close
            if rule.resolution.is_none()
                && workflow.has_acceptance()
                && release.resolution != Some(Resolution::Solved) =>
        {
            blockers.push(Blocker::new(Class::State, "NOT_ACCEPTED", "The release was not accepted as solved."));
        }
        _ => {}
    }
    blockers
}

/// What keeps a release from going forwards whatever gates its workflow has, beyond what these have found: a change that
/// was given up meanwhile; and at the end an item that somebody else changed, for closing overwrites nothing.
fn asked_everywhere(action: Action, facts: &Facts, found: &[Blocker]) -> Vec<Blocker> {
    let mut more: Vec<Blocker> = given_up_changes(facts).collect();
    if action == Action::Close {
        more.extend(changed_items(facts));
    }
    more.retain(|blocker| !found.contains(blocker));
    more
}

fn stage_blocker(rule: &Rule, workflow: &Workflow, stage: &Stage) -> Option<Blocker> {
    let (code, detail) = match rule.from_stage {
        FromStage::Any => return None,
        FromStage::NotFirst if workflow.first_stage() == stage.key => {
            ("AT_FIRST_STAGE", "There is no stage before this one.".to_owned())
        }
        FromStage::NotClosure if stage.kind == StageKind::Closure => {
            ("AT_LAST_STAGE", "There is no stage after closure; close the release instead.".to_owned())
        }
        FromStage::Closure if stage.kind != StageKind::Closure => {
            ("NOT_AT_CLOSURE", format!("The release stands at `{}`, not at closure.", stage.key))
        }
        FromStage::DeploymentOn if !workflow.deployment_begun(&stage.key) => {
            ("BEFORE_DEPLOYMENT", "A release is closed as unsolved only from deployment on.".to_owned())
        }
        FromStage::NotFirst | FromStage::NotClosure | FromStage::Closure | FromStage::DeploymentOn => return None,
    };
    Some(Blocker::new(Class::State, code, detail))
}

/// Whether an action is open to the actor, with everything that is in the way.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Verdict {
    /// The action.
    pub action: Action,
    /// True where the actor may do it now, given the right input.
    pub allowed: bool,
    /// Everything in the way; empty when allowed.
    pub blockers: Vec<Blocker>,
    /// The fields that the request must carry besides `action`.
    pub required_fields: Vec<&'static str>,
}

/// The verdict on every action, in the order of the table. `close` is open where either of its rows is.
pub fn verdicts(release: &Release, workflow: &Workflow, facts: &Facts, actor: &Actor) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(TABLE.len());
    for rule in TABLE {
        let blockers = standing_blockers(release, workflow, rule.action, rule.resolution, facts, actor);
        let stage = workflow.stage(&release.stage);
        let mut required_fields: Vec<_> = rule.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        if rule.resolution.is_none() && stage.is_some_and(|stage| takes_resolution(rule.action, workflow, stage)) {
            required_fields.extend(["resolution", "release_date", "solution_category_id", "closure_notes"]);
        }
        if stage.is_some_and(|stage| {
            actor.manages_releases() && needs_on_behalf_of(rule.right, release, stage, facts, actor)
        }) {
            required_fields.push("on_behalf_of");
        }
        let verdict = Verdict { action: rule.action, allowed: blockers.is_empty(), blockers, required_fields };
        match verdicts.iter_mut().find(|other| other.action == rule.action) {
            Some(other) if !other.allowed && verdict.allowed => *other = verdict,
            Some(_) => {}
            None => verdicts.push(verdict),
        }
    }
    verdicts
}

/// The actions that the actor may do now.
pub fn allowed_actions(release: &Release, workflow: &Workflow, facts: &Facts, actor: &Actor) -> Vec<Action> {
    // A credential that cannot write releases is allowed nothing, whoever holds it.
    if policy::authorise(actor, policy::Access::Releases).is_err() {
        return Vec::new();
    }
    verdicts(release, workflow, facts, actor)
        .into_iter()
        .filter(|verdict| verdict.allowed)
        .map(|verdict| verdict.action)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::approval::ApprovalFacts;
    use crate::domain::facts::LibraryGaps;
    use crate::domain::gates::{CATALOGUE, Gate};
    use crate::domain::policy::Via;
    use crate::domain::release::{ChainHead, Notify, Requester};
    use crate::domain::values::*;
    use crate::domain::workflow::Responsible;

    const GATES: [Gate; 20] = [
        Gate::WindowsSet,
        Gate::DeploymentNotPast,
        Gate::ChangesLinked { min: 9 },
        Gate::ChangesAuthorised,
        Gate::InsideChangeWindows,
        Gate::DependenciesSolved,
        Gate::AcceptanceCriteriaConfirmed,
        Gate::ChangeOutcomesRecorded,
        Gate::PurchasesFinished,
        Gate::PlanningActivitiesFinished,
        Gate::DeploymentActivitiesFinished,
        Gate::ApprovalsSatisfied { requester_may_approve: false },
        Gate::ChecklistsConfirmed,
        Gate::TestEvidence { where_asked: false },
        Gate::TestEvidence { where_asked: true },
        Gate::MediaAuthorised { where_asked: false },
        Gate::MediaAuthorised { where_asked: true },
        Gate::SparesReserved { where_asked: false },
        Gate::SparesReserved { where_asked: true },
        Gate::ConfigurationItemsUnchanged,
    ];

    fn id<T: std::str::FromStr>(number: u8) -> T
    where
        T::Err: std::fmt::Debug,
    {
        format!("00000000-0000-7000-8000-0000000000{number:02}").parse().unwrap()
    }

    fn now() -> Timestamp {
        "2026-12-01T09:00:00Z".parse().unwrap()
    }

    fn workflow(gate: Gate) -> Workflow {
        let stage =
            |key: &str, kind, gates| Stage { key: key.into(), kind, responsible: vec![Responsible::Requester], gates };
        Workflow {
            id: id(1),
            key: "tried".into(),
            name: "Tried".into(),
            version: 1,
            row_version: 1,
            return_stage: "planning".into(),
            stages: vec![
                stage("planning", StageKind::Planning, vec![gate]),
                stage("deployment", StageKind::Deployment, vec![]),
                stage("closure", StageKind::Closure, vec![]),
            ],
            shared_changes: false,
        }
    }

    fn release(status: Status, stage: &str, asks_for: BTreeSet<AskedFor>) -> Release {
        Release {
            id: id(2),
            number: 1,
            title: "Mail server 5.2".into(),
            description: None,
            version: Some("5.2".into()),
            release_type: ReleaseType::Minor,
            portfolio_id: id(3),
            model_id: id(4),
            workflow_id: id(1),
            requester: Requester {
                user_id: Some(id(5)),
                name: "Ana".into(),
                contact_name: None,
                email: "ana@example.com".into(),
                phone: None,
                extension: None,
                unit_id: None,
                location: None,
                notes: None,
            },
            contract_id: None,
            calendar_id: None,
            executor_group_id: id(6),
            assignee_id: None,
            impact: Level::Low,
            urgency: Level::Low,
            risk: Level::Low,
            acceptance_criteria: Vec::new(),
            status,
            status_before_suspension: (status == Status::Suspended).then_some(Status::Open),
            stage: stage.into(),
            planning_window: None,
            deployment_window: None,
            deadline: None,
            release_date: None,
            resolution: Some(Resolution::Solved),
            solution_category_id: None,
            closure_notes: None,
            reopen_count: 0,
            tags: Vec::new(),
            custom_fields: serde_json::Map::new(),
            notify: Notify::default(),
            asks_for,
            row_version: 1,
            created_at: now(),
            created_by: id(5),
            updated_at: now(),
            closed_at: None,
            cancelled_at: None,
            suspended_at: None,
            chain: ChainHead::default(),
        }
    }

    fn everything_open() -> Facts {
        let phase = || OpenPhase { count: 1, examples: vec![id(10)] };
        let mut library = LibraryGaps::default();
        for gap in Gap::ALL {
            library.note(*gap, 1, "missing".into());
        }
        Facts {
            now: now(),
            worktime: None,
            changes: Vec::new(),
            dependencies: Vec::new(),
            open_purchases: OpenPurchases { count: 1, named: vec![id(11)] },
            pending_items: PendingItems {
                count: 1,
                changed: 1,
                named: vec![(id(12), "cmdb 7".into())],
                not_covered: vec![],
            },
            uses_media: true,
            media: Vec::new(),
            held_elsewhere: super::super::facts::HeldElsewhere::default(),
            shared_to_execute: false,
            activities: OpenActivities { planning: phase(), deployment: phase() },
            approvals: Some(ApprovalFacts { needed: 1, voters: Vec::new() }),
            checklists: ["planning", "deployment", "closure"]
                .map(|stage| OpenChecklist { id: id(13), stage: stage.into(), title: "Backup".into() })
                .to_vec(),
            evidence: Evidence::default(),
            library,
            justification: None,
            solution_category_active: None,
            user: None,
            group: None,
        }
    }

    /// What is left when only what is asked was loaded.
    fn loaded(asks: Asks, all: &Facts) -> Facts {
        let mut facts = all.clone();
        if !asks.has(Ask::Activities) {
            facts.activities = OpenActivities::default();
        }
        if !asks.has(Ask::Approvals) {
            facts.approvals = None;
        }
        if !asks.has(Ask::Checklists) {
            facts.checklists.clear();
        }
        if !asks.has(Ask::Evidence) {
            facts.evidence = Evidence { count: 1, of_this_version: 1 };
        }
        if !asks.has(Ask::Library) {
            facts.library = LibraryGaps::default();
        }
        if !asks.has(Ask::Media) {
            facts.uses_media = false;
        }
        if !asks.has(Ask::PendingItems) {
            facts.pending_items = PendingItems::default();
        }
        if !asks.has(Ask::Purchases) {
            facts.open_purchases = OpenPurchases::default();
        }
        facts
    }

    #[test]
    fn what_is_not_asked_makes_no_difference_to_any_verdict() {
        let actor = Actor {
            user_id: id(5),
            username: "ana".into(),
            global_role: Some(GlobalRole::Admin),
            memberships: Vec::new(),
            scopes: None,
            via: Via::Console,
        };
        let all = everything_open();
        let told = |release: &Release, workflow: &Workflow, facts: &Facts| {
            serde_json::to_value(verdicts(release, workflow, facts, &actor)).unwrap()
        };
        let names: BTreeSet<&str> = GATES.iter().map(|gate| gate.name()).collect();
        assert_eq!(names, CATALOGUE.iter().map(|gate| gate.gate).collect());
        let wants: [BTreeSet<AskedFor>; 2] = [BTreeSet::new(), AskedFor::ALL.iter().copied().collect()];
        for (gate, wanted) in GATES.iter().flat_map(|gate| wants.iter().map(move |wanted| (*gate, wanted))) {
            let workflow = workflow(gate);
            for stage in &workflow.stages {
                for status in Status::ALL {
                    let release = release(*status, &stage.key, wanted.clone());
                    let known = loaded(asks(&release, &workflow), &all);
                    let (found, expected) = (told(&release, &workflow, &known), told(&release, &workflow, &all));
                    assert_eq!(found, expected, "{gate:?} {status} {}", stage.key);
                }
                let before = release(Status::Open, &stage.key, wanted.clone());
                for rule in TABLE {
                    let known = loaded(asks_around(&before, &workflow, Some(rule.action)), &all);
                    let at = |stage: &Stage| workflow.position(&stage.key).unwrap();
                    let is_entered = |entered: &&Stage| match rule.to_stage {
                        ToStage::Same => at(entered) == at(stage),
                        ToStage::Next => at(entered) == at(stage) + 1,
                        ToStage::Earlier => at(entered) < at(stage),
                        // It is asked about anew.
                        ToStage::Return => false,
                    };
                    for entered in workflow.stages.iter().filter(is_entered) {
                        let after = release(Status::Open, &entered.key, wanted.clone());
                        let (found, expected) = (told(&after, &workflow, &known), told(&after, &workflow, &all));
                        assert_eq!(found, expected, "{gate:?} {} to {}", rule.action, entered.key);
                    }
                }
            }
        }
    }
}
