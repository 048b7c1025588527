//! The lifecycle: statuses, actions, the one transition table, and the one decision.
//!
//! [`TABLE`] is the only source of what may happen to a release. It is data: [`decide`], the published
//! `GET /lifecycle`, the request schema of transitions and the tests all read it. A [`Transition`] has
//! private fields; only [`decide`] makes one, and storage takes nothing else, so no other code can
//! change a status.

use serde::Serialize;
use utoipa::ToSchema;

use super::gates::pending_outcomes;
use super::policy::{self, Actor, Right};
use super::release::Release;
use super::values::{
    Action, ChangeId, ChangeLinkId, ChangeOutcome, ChangeStatus, Fault, GroupId, JustificationId, JustificationUse,
    Origin, Permission, Place, ReleaseId, Resolution, SolutionCategoryId, StageKind, Status, Timestamp, UserId, Window,
};
use super::workflow::{Responsible, Stage, Workflow};

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
                `solution_category_id` and `closure_notes` here.",
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
                cleared, change outcomes return to `pending`.",
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

/// A linked change, as the gates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedChange {
    /// The link.
    pub link_id: ChangeLinkId,
    /// The change.
    pub change_id: ChangeId,
    /// Source and number, for people.
    pub label: String,
    /// Status in change management.
    pub status: ChangeStatus,
    /// Window granted by change management.
    pub window: Option<Window>,
    /// Outcome in this release.
    pub outcome: ChangeOutcome,
}

/// A release that this one depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The release.
    pub release_id: ReleaseId,
    /// Its number.
    pub number: i64,
    /// Its status.
    pub status: Status,
    /// How it ended.
    pub resolution: Option<Resolution>,
    /// False where the caller may not see it.
    pub visible: bool,
}

impl Dependency {
    /// How it is named to the caller.
    pub fn label(&self) -> String {
        if self.visible { format!("REL-{}", self.number) } else { "A release that you cannot see".into() }
    }
}

/// A justification that a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JustificationFact {
    /// Whether it is in use.
    pub active: bool,
    /// What it may be used for.
    pub applies_to: Vec<JustificationUse>,
}

/// The person that a release is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFact {
    /// Whether the account is active.
    pub active: bool,
    /// The groups that the user belongs to.
    pub groups: Vec<GroupId>,
}

/// The group that a release is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFact {
    /// Whether the group is active.
    pub active: bool,
    /// Whether an active member may execute there.
    pub can_execute: bool,
    /// Whether the release's model allows the group.
    pub allowed_by_model: bool,
}

/// Everything that the decision needs to know besides the release itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The present.
    pub now: Timestamp,
    /// The linked changes.
    pub changes: Vec<LinkedChange>,
    /// The releases that it depends on.
    pub dependencies: Vec<Dependency>,
    /// The justification that the command names, where it exists.
    pub justification: Option<JustificationFact>,
    /// Whether the solution category that the command names is active, where it exists.
    pub solution_category_active: Option<bool>,
    /// The user that the command names, where they exist.
    pub user: Option<UserFact>,
    /// The group that the command names, where it exists.
    pub group: Option<GroupFact>,
}

/// How serious a blocker is; a refusal answers with the first class that has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The caller may not.
    Right,
    /// The state forbids it.
    State,
    /// The input or a gate is in the way.
    Input,
}

/// One thing that is in the way of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Blocker {
    /// UPPER_SNAKE code.
    pub code: &'static str,
    /// What is in the way, in words for a person.
    pub detail: String,
    /// The gate that says so, where it is one.
    pub gate: Option<&'static str>,
    /// JSON pointer to the field of the release, or of the request, that it is about.
    pub pointer: Option<String>,
    /// Identifiers of the records that it is about.
    pub refs: Vec<String>,
    /// How serious it is.
    #[serde(skip)]
    pub class: Class,
}

impl Blocker {
    fn new(class: Class, code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), gate: None, pointer: None, refs: Vec::new(), class }
    }

    fn input(code: &'static str, pointer: &str, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::new(Class::Input, code, detail) }
    }

    /// A blocker that a gate answers with.
    pub fn gate(gate: &'static str, code: &'static str, detail: String, pointer: &str) -> Self {
        Self { gate: Some(gate), ..Self::input(code, pointer, detail) }
    }

    /// A policy's denial as a blocker.
    pub fn denied(denial: &policy::Denial) -> Self {
        Self::new(Class::Right, denial.code, denial.detail.clone())
    }

    /// The same blocker, naming a record.
    #[must_use]
    pub fn about(mut self, id: impl ToString) -> Self {
        self.refs.push(id.to_string());
        self
    }

    /// A fault of the request as a blocker.
    pub fn of_fault(fault: &Fault) -> Self {
        let (Place::Pointer(pointer) | Place::Parameter(pointer)) = &fault.place;
        Self::input(fault.code, pointer, fault.detail.clone())
    }

    /// The blocker as a fault of the request.
    pub fn fault(&self) -> Fault {
        Fault::at(self.pointer.clone().unwrap_or_default(), self.code, self.detail.clone())
    }
}

/// Why an action does not happen: every blocker of the first class that has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The class.
    pub class: Class,
    /// The blockers, at least one.
    pub blockers: Vec<Blocker>,
}

impl Refusal {
    /// The refusal that blockers add up to; `None` where there are none.
    pub fn of(blockers: Vec<Blocker>) -> Option<Self> {
        let class = blockers.iter().map(|blocker| blocker.class).min()?;
        Some(Self { class, blockers: blockers.into_iter().filter(|blocker| blocker.class == class).collect() })
    }
}

/// A decided change of a release. Only [`decide`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    before: Release,
    after: Release,
    command: Command,
    resets_change_outcomes: bool,
}

impl Transition {
    /// The release as it was; its row version and status guard the write.
    pub const fn before(&self) -> &Release {
        &self.before
    }

    /// The release as it will be.
    pub const fn after(&self) -> &Release {
        &self.after
    }

    /// The command that was decided.
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// True where the outcomes of linked changes return to `pending`.
    pub const fn resets_change_outcomes(&self) -> bool {
        self.resets_change_outcomes
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
    if !holds(rule.right, release, stage, actor) {
        blockers.push(Blocker::new(Class::Right, "FORBIDDEN", missing_right(rule.right)));
    }
    if !rule.from_status.contains(&release.status) {
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

/// True where the actor holds the right; a release manager stands in for the requester.
fn holds(right: Right, release: &Release, stage: &Stage, actor: &Actor) -> bool {
    let in_group = |permission| actor.may(permission, release.executor_group_id);
    actor.manages_releases()
        || match right {
            Right::CreateAnywhere => actor.may_anywhere(Permission::Create),
            Right::StageResponsible => stage.responsible.iter().any(|one| is_responsible(one, release, actor)),
            Right::Execute => in_group(Permission::Execute),
            Right::Delegate => in_group(Permission::Delegate),
            Right::Suspend => in_group(Permission::Suspend),
            Right::Reactivate => in_group(Permission::Reactivate),
            Right::Cancel => in_group(Permission::Cancel),
            Right::Reopen => in_group(Permission::Reopen),
            Right::ActingRequester => release.is_requested_by(actor),
            Right::ReleaseManager => false,
        }
}

fn is_responsible(responsible: &Responsible, release: &Release, actor: &Actor) -> bool {
    match responsible {
        Responsible::Requester => release.is_requested_by(actor),
        Responsible::ExecutorGroup => actor.may(Permission::Execute, release.executor_group_id),
        Responsible::Group { group_id } => actor.may(Permission::Execute, *group_id),
    }
}

/// True where the actor can act only in the requester's place, and must say so.
fn needs_on_behalf_of(right: Right, release: &Release, stage: &Stage, actor: &Actor) -> bool {
    match right {
        Right::ActingRequester => !release.is_requested_by(actor),
        Right::StageResponsible => !stage.responsible.iter().any(|one| is_responsible(one, release, actor)),
        _ => false,
    }
}

fn missing_right(right: Right) -> String {
    let permission = match right {
        Right::StageResponsible => return "You are not responsible for the current stage.".into(),
        Right::ActingRequester => return "This is for the requester of the release.".into(),
        Right::ReleaseManager => return "This is for a release manager.".into(),
        Right::CreateAnywhere => return "You do not hold `create` in any group.".into(),
        Right::Execute => Permission::Execute,
        Right::Delegate => Permission::Delegate,
        Right::Suspend => Permission::Suspend,
        Right::Reactivate => Permission::Reactivate,
        Right::Cancel => Permission::Cancel,
        Right::Reopen => Permission::Reopen,
    };
    format!("You do not hold `{permission}` in the executor group.")
}

/// What is wrong with the input of the command.
fn input_blockers(
    release: &Release,
    workflow: &Workflow,
    command: &Command,
    facts: &Facts,
    actor: &Actor,
) -> Vec<Blocker> {
    let (Some(rule), Some(stage)) = (rule(command.action, command.resolution), workflow.stage(&release.stage)) else {
        return Vec::new();
    };
    let mut blockers = Vec::new();
    on_behalf_of_blockers(rule, release, stage, command, actor, &mut blockers);
    justification_blockers(rule, command, facts, &mut blockers);
    match command.action {
        Action::SendBack => send_back_blockers(release, workflow, command, &mut blockers),
        Action::Delegate => delegate_blockers(release, command, facts, &mut blockers),
        Action::Advance | Action::Close if rule.resolution.is_none() => {
            resolution_blockers(takes_resolution(command.action, workflow, stage), command, facts, &mut blockers);
        }
        _ => {}
    }
    blockers
}

fn on_behalf_of_blockers(
    rule: &Rule,
    release: &Release,
    stage: &Stage,
    command: &Command,
    actor: &Actor,
    blockers: &mut Vec<Blocker>,
) {
    match &command.on_behalf_of {
        None if actor.manages_releases() && needs_on_behalf_of(rule.right, release, stage, actor) => {
            blockers.push(Blocker {
                pointer: Some("/on_behalf_of".into()),
                ..Blocker::new(
                    Class::Right,
                    "ON_BEHALF_OF_REQUIRED",
                    "A release manager acts for the requester only with `on_behalf_of`.",
                )
            });
        }
        Some(_) if !actor.manages_releases() => blockers.push(Blocker {
            pointer: Some("/on_behalf_of".into()),
            ..Blocker::new(Class::Right, "FORBIDDEN", "Only a release manager acts on behalf of the requester.")
        }),
        _ => {}
    }
}

fn justification_blockers(rule: &Rule, command: &Command, facts: &Facts, blockers: &mut Vec<Blocker>) {
    let (Some(wanted), Some(_)) = (rule.justification, command.justification_id) else {
        return;
    };
    let pointer = "/justification_id";
    match &facts.justification {
        None => blockers.push(Blocker::input("UNKNOWN_REFERENCE", pointer, "There is no such justification.")),
        Some(fact) => {
            if !fact.active {
                blockers.push(Blocker::input("JUSTIFICATION_INACTIVE", pointer, "The justification is not active."));
            }
            if !fact.applies_to.contains(&wanted) {
                blockers.push(Blocker::input(
                    "JUSTIFICATION_DOES_NOT_APPLY",
                    pointer,
                    format!("The justification does not apply to `{wanted}`."),
                ));
            }
        }
    }
}

fn send_back_blockers(release: &Release, workflow: &Workflow, command: &Command, blockers: &mut Vec<Blocker>) {
    if command.justification_id.is_none() && command.note.is_none() {
        blockers.push(Blocker::input("REASON_REQUIRED", "/note", "A reason is needed: a justification or a note."));
    }
    let Some(to_stage) = &command.to_stage else {
        return;
    };
    let earlier = match (workflow.position(to_stage), workflow.position(&release.stage)) {
        (Some(to), Some(from)) => to < from,
        _ => false,
    };
    if !earlier {
        blockers.push(Blocker::input(
            "NOT_AN_EARLIER_STAGE",
            "/to_stage",
            format!("`{to_stage}` is not a stage before `{}`.", release.stage),
        ));
    }
}

fn delegate_blockers(release: &Release, command: &Command, facts: &Facts, blockers: &mut Vec<Blocker>) {
    let target_group = command.group_id.unwrap_or(release.executor_group_id);
    if command.user_id.is_none() && command.group_id.is_none() {
        blockers.push(Blocker::input("RECIPIENT_REQUIRED", "/user_id", "A user or a group is needed."));
        return;
    }
    if target_group == release.executor_group_id && command.user_id == release.assignee_id {
        blockers.push(Blocker::new(Class::State, "ALREADY_ASSIGNED", "The release is assigned like that already."));
    }
    if command.group_id.is_some() {
        match &facts.group {
            None => blockers.push(Blocker::input("UNKNOWN_REFERENCE", "/group_id", "There is no such group.")),
            Some(group) => {
                if !group.active || !group.can_execute {
                    blockers.push(Blocker::input(
                        "GROUP_CANNOT_EXECUTE",
                        "/group_id",
                        "The group has no active member who may execute.",
                    ));
                }
                if !group.allowed_by_model {
                    blockers.push(Blocker::input(
                        "GROUP_NOT_ALLOWED",
                        "/group_id",
                        "The model of the release does not allow the group.",
                    ));
                }
            }
        }
    }
    if command.user_id.is_some() {
        match &facts.user {
            None => blockers.push(Blocker::input("UNKNOWN_REFERENCE", "/user_id", "There is no such user.")),
            Some(user) => {
                if !user.active {
                    blockers.push(Blocker::input("USER_DISABLED", "/user_id", "The user's account is disabled."));
                }
                if !user.groups.contains(&target_group) {
                    blockers.push(Blocker::input(
                        "NOT_A_GROUP_MEMBER",
                        "/user_id",
                        "The user does not belong to the group.",
                    ));
                }
            }
        }
    }
}

/// True where the resolution and its fields are due: leaving acceptance, or closing without one.
fn takes_resolution(action: Action, workflow: &Workflow, stage: &Stage) -> bool {
    match action {
        Action::Advance => stage.kind == StageKind::Acceptance,
        Action::Close => !workflow.has_acceptance(),
        _ => false,
    }
}

fn resolution_blockers(due: bool, command: &Command, facts: &Facts, blockers: &mut Vec<Blocker>) {
    let given = [
        ("/resolution", command.resolution.is_some()),
        ("/release_date", command.release_date.is_some()),
        ("/solution_category_id", command.solution_category_id.is_some()),
        ("/closure_notes", command.closure_notes.is_some()),
    ];
    for (pointer, given) in given {
        if due && !given {
            blockers.push(Blocker::input("REQUIRED", pointer, "The release is accepted as solved only with this."));
        }
        if !due && given {
            blockers.push(Blocker::input("NOT_APPLICABLE", pointer, "This is not taken here, at this stage."));
        }
    }
    if !due {
        return;
    }
    if command.resolution == Some(Resolution::Unsolved) {
        blockers.push(Blocker::input(
            "RESOLUTION_NOT_SOLVED",
            "/resolution",
            "An unsolved release is sent back, or closed as unsolved; it does not go on.",
        ));
    }
    if command.release_date.is_some_and(|date| date > facts.now) {
        blockers.push(Blocker::input("IN_THE_FUTURE", "/release_date", "The release date lies in the future."));
    }
    if command.solution_category_id.is_some() {
        match facts.solution_category_active {
            None => blockers.push(Blocker::input(
                "UNKNOWN_REFERENCE",
                "/solution_category_id",
                "There is no such solution category.",
            )),
            Some(false) => blockers.push(Blocker::input(
                "SOLUTION_CATEGORY_INACTIVE",
                "/solution_category_id",
                "The solution category is not active.",
            )),
            Some(true) => {}
        }
    }
}

/// Carries the command out on a copy of the release. Nothing is in the way any more.
fn apply(release: &Release, workflow: &Workflow, command: &Command, facts: &Facts, actor: &Actor) -> Transition {
    let now = facts.now;
    let mut after = release.clone();
    after.row_version += 1;
    after.updated_at = now;
    let stage = workflow.stage(&release.stage);
    match command.action {
        Action::Create => {}
        Action::Advance => {
            if let Some(next) = workflow.next_stage(&release.stage) {
                after.stage.clone_from(&next.key);
            }
            if stage.is_some_and(|stage| takes_resolution(command.action, workflow, stage)) {
                resolve(&mut after, command);
            }
        }
        Action::SendBack => {
            let target = command.to_stage.as_deref().or_else(|| workflow.stage_back_from(&release.stage));
            if let Some(target) = target {
                after.stage = target.to_owned();
            }
            if stage.is_some_and(|stage| stage.kind == StageKind::Acceptance) {
                after.resolution = Some(Resolution::Unsolved);
            } else {
                after.resolution = None;
            }
            after.release_date = None;
            after.solution_category_id = None;
            after.closure_notes = None;
        }
        Action::Capture => after.assignee_id = Some(actor.user_id),
        Action::Delegate => {
            after.assignee_id = command.user_id;
            after.executor_group_id = command.group_id.unwrap_or(release.executor_group_id);
        }
        Action::Suspend => {
            after.status_before_suspension = Some(release.status);
            after.status = Status::Suspended;
            after.suspended_at = Some(now);
        }
        Action::Reactivate => {
            after.status = release.status_before_suspension.unwrap_or(Status::Open);
            after.status_before_suspension = None;
            if let (Some(deadline), Some(suspended_at)) = (release.deadline, release.suspended_at) {
                let left = deadline.since(suspended_at).max(chrono::TimeDelta::zero());
                after.deadline = Some(now.plus(left));
            }
            after.suspended_at = None;
        }
        Action::Cancel => {
            after.status = Status::Cancelled;
            after.status_before_suspension = None;
            after.suspended_at = None;
            after.cancelled_at = Some(now);
            after.closure_notes.clone_from(&command.closure_notes);
        }
        Action::Close => {
            after.status = Status::Closed;
            after.closed_at = Some(now);
            if command.resolution == Some(Resolution::Unsolved) {
                after.resolution = command.resolution;
                after.release_date = None;
                after.solution_category_id = None;
                after.closure_notes.clone_from(&command.closure_notes);
            } else if !workflow.has_acceptance() {
                resolve(&mut after, command);
            }
        }
        Action::Reopen => {
            after.status = Status::Reopened;
            after.stage.clone_from(&workflow.return_stage);
            after.reopen_count += 1;
            after.resolution = None;
            after.release_date = None;
            after.solution_category_id = None;
            after.closure_notes = None;
            after.closed_at = None;
            for criterion in &mut after.acceptance_criteria {
                criterion.confirmed_by = None;
                criterion.confirmed_at = None;
            }
        }
    }
    Transition {
        before: release.clone(),
        after,
        command: command.clone(),
        resets_change_outcomes: command.action == Action::Reopen,
    }
}

fn resolve(after: &mut Release, command: &Command) {
    after.resolution = command.resolution;
    after.release_date = command.release_date;
    after.solution_category_id = command.solution_category_id;
    after.closure_notes.clone_from(&command.closure_notes);
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
        if stage.is_some_and(|stage| actor.manages_releases() && needs_on_behalf_of(rule.right, release, stage, actor))
        {
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
