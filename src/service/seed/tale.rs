//! What becomes of one release: its content, its steps and where it stands in the end.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::boards::Card;
use super::cast::{self, MANAGERS, MODELS, NEW_MODEL, REQUESTERS, RETIRED_MODEL};
use super::timetable::Windows;
use super::words;
use crate::domain::lifecycle::Command;
use crate::domain::values::*;

/// Where a release stands in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Open(&'static str),
    Suspended(&'static str),
    Cancelled(&'static str),
    Closed,
    Unsolved(&'static str),
    Reopened(&'static str),
}

impl Ending {
    /// The status that it leads to.
    pub const fn status(self) -> Status {
        match self {
            Self::Open(_) => Status::Open,
            Self::Suspended(_) => Status::Suspended,
            Self::Cancelled(_) => Status::Cancelled,
            Self::Closed | Self::Unsolved(_) => Status::Closed,
            Self::Reopened(_) => Status::Reopened,
        }
    }

    /// True where the release is not finished.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Open(_) | Self::Reopened(_) | Self::Suspended(_))
    }
}

/// Endings that every seeding shows first: every status in the stages of every workflow.
pub const ENDINGS: &[(&str, Ending)] = {
    use Ending::*;
    &[
        ("standard", Open("planning")),
        ("standard", Open("authorization")),
        ("standard", Open("deployment")),
        ("standard", Open("test")),
        ("standard", Open("acceptance")),
        ("standard", Open("closure")),
        ("emergency", Open("authorization")),
        ("emergency", Open("deployment")),
        ("emergency", Open("acceptance")),
        ("emergency", Open("closure")),
        ("minor", Open("planning")),
        ("minor", Open("deployment")),
        ("minor", Open("closure")),
        ("standard", Closed),
        ("emergency", Closed),
        ("minor", Closed),
        ("standard", Unsolved("deployment")),
        ("standard", Unsolved("acceptance")),
        ("emergency", Unsolved("deployment")),
        ("minor", Unsolved("deployment")),
        ("standard", Suspended("planning")),
        ("standard", Suspended("authorization")),
        ("standard", Suspended("deployment")),
        ("emergency", Suspended("deployment")),
        ("minor", Suspended("planning")),
        ("standard", Cancelled("planning")),
        ("standard", Cancelled("authorization")),
        ("standard", Cancelled("deployment")),
        ("emergency", Cancelled("authorization")),
        ("minor", Cancelled("planning")),
        ("standard", Reopened("planning")),
        ("standard", Reopened("authorization")),
        ("standard", Reopened("deployment")),
        ("standard", Reopened("test")),
        ("standard", Reopened("closure")),
        ("emergency", Reopened("authorization")),
        ("emergency", Reopened("deployment")),
        ("minor", Reopened("planning")),
        ("minor", Reopened("deployment")),
    ]
};

/// The ending of a release beyond the first: most are closed, few are emergencies.
pub fn any_ending(rng: &mut StdRng) -> (&'static str, Ending) {
    let wanted: fn(Ending) -> bool = match rng.random_range(0..100) {
        0..58 => |ending| ending == Ending::Closed,
        58..63 => |ending| matches!(ending, Ending::Unsolved(_)),
        63..70 => |ending| matches!(ending, Ending::Cancelled(_)),
        70..75 => |ending| matches!(ending, Ending::Suspended(_)),
        75..79 => |ending| matches!(ending, Ending::Reopened(_)),
        _ => |ending| matches!(ending, Ending::Open(_)),
    };
    let key = match rng.random_range(0..100) {
        0..58 => "standard",
        58..90 => "minor",
        _ => "emergency",
    };
    let fitting: Vec<_> = ENDINGS.iter().filter(|(workflow, ending)| *workflow == key && wanted(*ending)).collect();
    fitting.choose(rng).copied().copied().unwrap_or(ENDINGS[0])
}

/// What is done in one step.
#[derive(Debug, Clone)]
pub enum Act {
    /// Register the release.
    Create,
    /// Describe the plan, with the windows of the round and what it depends on.
    Plan,
    /// Link the changes.
    Link,
    /// Record an outcome for every linked change.
    Outcomes(ChangeOutcome),
    /// Confirm the acceptance criteria.
    Confirm,
    /// Move the deployment end.
    Extend,
    /// Put cards on the boards.
    Board(Vec<Card>),
    /// Finish the open cards of a board.
    Finish(ActivityPhase),
    /// Link the items of a product, with what is installed on them. In small installations alone.
    Equip(usize),
    /// Vote on it. In small installations alone.
    Vote,
    /// Answer its checklists. In small installations alone.
    Answer,
    /// An action of the lifecycle; `release_date` is filled in from the round where `dated`.
    Move { command: Box<Command>, dated: bool },
}

/// One step of a release.
#[derive(Debug, Clone)]
pub struct Step {
    /// Minutes of work since the registration.
    pub minutes: i64,
    /// When; follows from the minutes.
    pub at: Timestamp,
    /// Who does it, by index.
    pub person: usize,
    /// How often the plan was made anew before.
    pub round: usize,
    pub act: Act,
}

/// What becomes of one release.
#[derive(Debug, Clone)]
pub struct Tale {
    pub model: usize,
    /// The executor group at registration.
    pub first_group: usize,
    /// The executor group in the end.
    pub group: usize,
    pub portfolio: usize,
    /// The requester's account, by index; without one an outsider.
    pub account: Option<usize>,
    pub outsider: usize,
    pub contract: Option<usize>,
    pub release_type: Option<ReleaseType>,
    pub impact: Level,
    pub urgency: Level,
    pub risk: Level,
    pub title: String,
    pub version: String,
    pub description: String,
    pub criteria: Vec<String>,
    pub tags: Vec<String>,
    pub custom_fields: serde_json::Map<String, serde_json::Value>,
    pub plan_note: &'static str,
    /// True where the windows are given at registration, and not with the plan.
    pub windows_at_once: bool,
    /// True where the changes are linked at registration.
    pub links_at_once: bool,
    pub needs_change: bool,
    pub windows: Vec<Windows>,
    pub steps: Vec<Step>,
    pub ending: Ending,
    /// True where the release was handed to another group.
    pub moved: bool,
    /// Who must approve it, by index; in small installations alone.
    pub approver: Option<usize>,
    /// True where it has a checklist; in small installations alone.
    pub has_checklist: bool,
    /// Changes and releases that it is connected with, by index.
    pub changes: Vec<usize>,
    pub depends_on: Option<usize>,
}

impl Tale {
    /// When the release was registered.
    pub fn created(&self) -> Timestamp {
        self.steps[0].at
    }

    /// When the first change is linked.
    pub fn links_at(&self) -> Timestamp {
        let link = self.steps.iter().find(|step| matches!(step.act, Act::Link));
        link.filter(|_| !self.links_at_once).unwrap_or(&self.steps[0]).at
    }

    /// When the plan was first described, where it was.
    pub fn planned_at(&self) -> Option<Timestamp> {
        let plan = self.steps.iter().find(|step| matches!(step.act, Act::Plan))?;
        (plan.round == 0).then_some(plan.at)
    }

    /// When the gates on dependencies were first passed, where they were.
    pub fn authorised_at(&self) -> Option<Timestamp> {
        let stage = if MODELS[self.model].workflow == "minor" { "planning" } else { "authorization" };
        let passed = self.steps.iter().find(|step| match &step.act {
            Act::Move { command, .. } => {
                command.action == Action::Advance && command.from_stage.as_deref() == Some(stage)
            }
            _ => false,
        })?;
        Some(passed.at)
    }

    /// The last step.
    pub fn ended(&self) -> Timestamp {
        self.steps[self.steps.len() - 1].at
    }

    /// True where the release was closed as solved and stays so.
    pub fn is_settled(&self) -> bool {
        self.ending == Ending::Closed && self.windows.len() == 1
    }
}

/// The content of a release that is to end so, and who registers it. `old` tells that it ended long ago.
pub fn begin(rng: &mut StdRng, index: usize, key: &'static str, ending: Ending, old: bool) -> (Tale, usize) {
    let fitting: Vec<usize> = (0..MODELS.len())
        .filter(|model| MODELS[*model].workflow == key && *model != NEW_MODEL)
        .filter(|model| *model != RETIRED_MODEL || old)
        .collect();
    let model = fitting[index % fitting.len()];
    let plan = &MODELS[model];
    let group = *plan.groups.choose(rng).unwrap_or(&0);
    let portfolio = match group {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 3,
    };
    let (account, creator) = asked_by(rng, group);
    let levels = [Level::High, Level::Medium, Level::Low];
    let nth = if index < ENDINGS.len() { index } else { rng.random_range(0..9) };
    let emergency = key == "emergency";
    let criteria = words::CRITERIA[portfolio];
    let expected = rng.random_range(0..=3);
    let wanted = rng.random_range(0..=3);
    let tale = Tale {
        model,
        first_group: group,
        group,
        portfolio,
        account,
        outsider: rng.random_range(0..words::OUTSIDERS.len()),
        contract: plan.contracts.choose(rng).copied().filter(|_| rng.random_bool(0.7)),
        release_type: (!emergency && rng.random_bool(0.1))
            .then(|| ReleaseType::ALL.choose(rng).copied().unwrap_or(ReleaseType::Minor))
            .filter(|chosen| *chosen != ReleaseType::Emergency),
        impact: levels[nth / 3 % 3],
        urgency: levels[nth % 3],
        risk: *levels.choose(rng).unwrap_or(&Level::Medium),
        title: String::new(),
        version: String::new(),
        description: words::REASONS.choose(rng).copied().unwrap_or("").into(),
        criteria: criteria.choose_multiple(rng, expected).map(|text| (*text).into()).collect(),
        tags: words::TAGS[portfolio].choose_multiple(rng, wanted).map(|text| (*text).into()).collect(),
        custom_fields: serde_json::Map::new(),
        plan_note: words::PLANS.choose(rng).copied().unwrap_or(""),
        windows_at_once: emergency || rng.random_bool(0.6),
        links_at_once: emergency || rng.random_bool(0.3),
        needs_change: key != "minor" || rng.random_bool(0.4),
        windows: Vec::new(),
        steps: Vec::new(),
        ending,
        moved: false,
        approver: None,
        has_checklist: false,
        changes: Vec::new(),
        depends_on: None,
    };
    (tale, creator)
}

/// Who asks for a release and who registers it: somebody with an account for themselves, or somebody of the team
/// for an outsider.
fn asked_by(rng: &mut StdRng, group: usize) -> (Option<usize>, usize) {
    let requesters = cast::members(REQUESTERS);
    let requester = *requesters.choose(rng).unwrap_or(&requesters[0]);
    let team = cast::members(group);
    match rng.random_range(0..10) {
        0..6 => (Some(requester), requester),
        6 | 7 if cast::permits(group, Permission::Create) => (Some(requester), *team.choose(rng).unwrap_or(&team[0])),
        8 if cast::permits(group, Permission::Create) => (None, *team.choose(rng).unwrap_or(&team[0])),
        9 => (Some(requester), MANAGERS[0]),
        _ => (None, requester),
    }
}
