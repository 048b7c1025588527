//! What becomes of each release: which steps it takes, in whose name, and when.
//!
//! A tale is written forwards, in minutes of work since its release was registered, and then hung up by its end:
//! the last step of a finished release lies anywhere in the past, that of a release under way shortly before the
//! present. Windows follow from the steps.

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Weekday};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::cast::{Cast, MANAGERS, MODELS, REQUESTERS, RETIRED_MODEL};
use super::words;
use crate::domain::lifecycle::{Command, OnBehalfOf};
use crate::domain::values::*;
use crate::domain::workflow::{BUILT_IN, Responsible, Stage, Workflow};

/// Minutes of work in a day, from 08:00 to 18:00.
const DAY: i64 = 600;
/// Working days that histories reach back at most.
const DAYS_MAX: usize = 330;
/// Working days before the present on which the last finished releases ended.
const FINISHED_DAYS_MAX: i64 = 265;
/// Releases of the retired model ended at least so many working days ago.
pub const RETIRED_DAYS_MIN: i64 = 150;

/// Working time before the present.
pub struct Worktime {
    pub present: Timestamp,
    /// Working days before the present, the newest first.
    days: Vec<NaiveDate>,
}

impl Worktime {
    pub fn before(present: Timestamp) -> Self {
        let mut day = present.naive().date();
        let mut days = Vec::with_capacity(DAYS_MAX);
        while days.len() < DAYS_MAX {
            let Some(earlier) = day.pred_opt() else { break };
            day = earlier;
            if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
                days.push(day);
            }
        }
        Self { present, days }
    }

    /// The instant so many minutes of work ago.
    fn ago(&self, minutes: i64) -> Timestamp {
        let minutes = minutes.max(1) - 1;
        let index = usize::try_from(minutes / DAY).unwrap_or(0);
        let day = self.days.get(index).or(self.days.last());
        let Some(day) = day else { return self.present };
        let into = DAY - 1 - minutes % DAY;
        at(*day, 8, 0).plus(TimeDelta::minutes(into))
    }
}

fn at(day: NaiveDate, hour: u32, minute: u32) -> Timestamp {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    Timestamp::from_naive(day.and_time(time))
}

fn date(at: Timestamp) -> NaiveDate {
    at.naive().date()
}

/// The next full hour.
fn ceiling(at: Timestamp) -> Timestamp {
    let rest = i64::from(at.naive().minute()) * 60 + i64::from(at.naive().second());
    at.plus(TimeDelta::seconds(3600 - rest))
}

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
    const fn is_under_way(self) -> bool {
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
fn any_ending(rng: &mut StdRng) -> (&'static str, Ending) {
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
    let fitting: Vec<_> = ENDINGS
        .iter()
        .filter(|(workflow, ending)| *workflow == key && wanted(*ending))
        .collect();
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
    /// An action of the lifecycle; `release_date` is filled in from the round where `dated`.
    Move { command: Box<Command>, dated: bool },
}

/// One step of a release.
#[derive(Debug, Clone)]
pub struct Step {
    minutes: i64,
    pub at: Timestamp,
    /// Who does it, by index.
    pub person: usize,
    /// How often the plan was made anew before.
    pub round: usize,
    pub act: Act,
}

/// When a release had its plan, counted in minutes of work since it was registered.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    began: i64,
    planned: Option<i64>,
    authorised: Option<i64>,
    deployed: Option<i64>,
}

/// The windows of a round.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub planning: Window,
    pub deployment: Window,
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
        link.filter(|_| !self.links_at_once)
            .unwrap_or(&self.steps[0])
            .at
    }

    /// When the plan was first described, where it was.
    pub fn planned_at(&self) -> Option<Timestamp> {
        let plan = self
            .steps
            .iter()
            .find(|step| matches!(step.act, Act::Plan))?;
        (plan.round == 0).then_some(plan.at)
    }

    /// When the gates on dependencies were first passed, where they were.
    pub fn authorised_at(&self) -> Option<Timestamp> {
        let stage = if MODELS[self.model].workflow == "minor" {
            "planning"
        } else {
            "authorization"
        };
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

/// Writes the tales.
pub fn tales(rng: &mut StdRng, cast: &Cast, time: &Worktime, count: usize) -> Vec<Tale> {
    (0..count)
        .map(|index| {
            let (workflow, ending) = ENDINGS
                .get(index)
                .copied()
                .unwrap_or_else(|| any_ending(rng));
            Author::new(rng, cast, index, workflow, ending).write(time)
        })
        .collect()
}

struct Author<'a> {
    rng: &'a mut StdRng,
    cast: &'a Cast,
    workflow: Workflow,
    tale: Tale,
    creator: usize,
    worker: Option<usize>,
    lag: i64,
    late: bool,
    minutes: i64,
    stage: String,
    rounds: Vec<Round>,
    quiet: bool,
}

fn workflow(key: &str) -> Workflow {
    let built_in = BUILT_IN
        .iter()
        .find(|one| one.key == key)
        .unwrap_or(&BUILT_IN[0]);
    built_in.with_id(WorkflowId::new(uuid::Uuid::nil()))
}

impl<'a> Author<'a> {
    fn new(
        rng: &'a mut StdRng,
        cast: &'a Cast,
        index: usize,
        key: &'static str,
        ending: Ending,
    ) -> Self {
        let lag = match ending {
            ending if !ending.is_under_way() => rng.random_range(1..FINISHED_DAYS_MAX * DAY),
            Ending::Suspended(_) => rng.random_range(60..20 * DAY),
            _ => rng.random_range(30..5 * DAY),
        };
        let late = ending.is_under_way() && rng.random_bool(0.25);
        let lag = if late { lag + 9 * DAY } else { lag };
        let old = lag > RETIRED_DAYS_MIN * DAY && ending == Ending::Closed;
        let fitting: Vec<usize> = (0..MODELS.len())
            .filter(|model| MODELS[*model].workflow == key && *model != super::cast::NEW_MODEL)
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
        let nth = if index < ENDINGS.len() {
            index
        } else {
            rng.random_range(0..9)
        };
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
            contract: plan
                .contracts
                .choose(rng)
                .copied()
                .filter(|_| rng.random_bool(0.7)),
            release_type: (!emergency && rng.random_bool(0.1))
                .then(|| {
                    ReleaseType::ALL
                        .choose(rng)
                        .copied()
                        .unwrap_or(ReleaseType::Minor)
                })
                .filter(|chosen| *chosen != ReleaseType::Emergency),
            impact: levels[nth / 3 % 3],
            urgency: levels[nth % 3],
            risk: *levels.choose(rng).unwrap_or(&Level::Medium),
            title: String::new(),
            version: String::new(),
            description: words::REASONS.choose(rng).copied().unwrap_or("").into(),
            criteria: criteria
                .choose_multiple(rng, expected)
                .map(|text| (*text).into())
                .collect(),
            tags: words::TAGS[portfolio]
                .choose_multiple(rng, wanted)
                .map(|text| (*text).into())
                .collect(),
            custom_fields: serde_json::Map::new(),
            plan_note: words::PLANS.choose(rng).copied().unwrap_or(""),
            windows_at_once: emergency || rng.random_bool(0.6),
            links_at_once: emergency || rng.random_bool(0.3),
            needs_change: key != "minor" || rng.random_bool(0.4),
            windows: Vec::new(),
            steps: Vec::new(),
            ending,
            moved: false,
            changes: Vec::new(),
            depends_on: None,
        };
        let workflow = workflow(key);
        Self {
            stage: workflow.first_stage().to_owned(),
            quiet: index < ENDINGS.len(),
            rng,
            cast,
            workflow,
            tale,
            creator,
            worker: None,
            lag,
            late,
            minutes: 0,
            rounds: vec![Round::default()],
        }
    }

    fn write(mut self, time: &Worktime) -> Tale {
        self.step(self.creator, Act::Create);
        match self.tale.ending {
            Ending::Open(stage) => self.walk(stage),
            Ending::Suspended(stage) => {
                self.walk(stage);
                self.suspend();
            }
            Ending::Cancelled(stage) => {
                self.walk(stage);
                self.cancel();
            }
            Ending::Closed => {
                self.walk("closure");
                self.close();
                if self.twist(0.06) {
                    self.reopen();
                    self.walk("closure");
                    self.close();
                }
            }
            Ending::Unsolved(stage) => {
                self.walk(stage);
                self.give_up();
            }
            Ending::Reopened(stage) => {
                self.walk("closure");
                self.close();
                self.reopen();
                self.walk(stage);
            }
        }
        self.hang_up(time)
    }

    /// True once in a while, and never among the first releases, which are told straight.
    fn twist(&mut self, probability: f64) -> bool {
        !self.quiet && self.rng.random_bool(probability)
    }

    fn pause(&mut self, from: i64, to: i64) {
        self.minutes += self.rng.random_range(from..to);
    }

    fn words(&mut self, from: &[&'static str]) -> &'static str {
        from.choose(self.rng).copied().unwrap_or("")
    }

    fn step(&mut self, person: usize, act: Act) {
        let round = self.rounds.len() - 1;
        let at = Timestamp::from_naive(chrono::NaiveDateTime::default());
        self.tale.steps.push(Step {
            minutes: self.minutes,
            at,
            person,
            round,
            act,
        });
    }

    fn act(&mut self, person: usize, command: Command) {
        self.step(
            person,
            Act::Move {
                command: Box::new(command),
                dated: false,
            },
        );
    }

    /// Somebody with the permission in the group: its lead, or a release manager where nobody of it holds it.
    fn holder(&mut self, permission: Permission) -> usize {
        if Cast::permits(self.tale.group, permission) {
            Cast::members(self.tale.group)[0]
        } else {
            *MANAGERS.choose(self.rng).unwrap_or(&MANAGERS[0])
        }
    }

    fn worker(&mut self) -> usize {
        if let Some(worker) = self.worker {
            return worker;
        }
        let members = Cast::members(self.tale.group);
        let worker = *members.choose(self.rng).unwrap_or(&members[0]);
        self.pause(15, 400);
        self.act(worker, Command::new(Action::Capture));
        self.worker = Some(worker);
        if self.twist(0.12) {
            self.delegate(worker);
        }
        self.worker.unwrap_or(worker)
    }

    fn delegate(&mut self, worker: usize) {
        let holder = self.holder(Permission::Delegate);
        let others: Vec<usize> = MODELS[self.tale.model]
            .groups
            .iter()
            .copied()
            .filter(|group| *group != self.tale.group)
            .collect();
        self.pause(30, 500);
        let mut command = Command::new(Action::Delegate);
        if let Some(group) = others.choose(self.rng).copied() {
            command.group_id = Some(self.cast.stored.groups[group]);
            command.note = Some("They know this part better.".into());
            self.act(holder, command);
            self.tale.group = group;
            self.tale.moved = true;
            self.worker = None;
            let members = Cast::members(group);
            let next = *members.choose(self.rng).unwrap_or(&members[0]);
            self.pause(15, 300);
            self.act(next, Command::new(Action::Capture));
            self.worker = Some(next);
            return;
        }
        let colleagues: Vec<usize> = Cast::members(self.tale.group)
            .into_iter()
            .filter(|one| *one != worker)
            .collect();
        if let Some(colleague) = colleagues.choose(self.rng).copied() {
            command.user_id = Some(self.cast.stored.people[colleague]);
            command.note = Some("On leave from tomorrow.".into());
            self.act(holder, command);
            self.worker = Some(colleague);
        }
    }

    fn acting_requester(&self) -> usize {
        self.tale.account.unwrap_or(self.creator)
    }

    /// Who signs for the requester: themselves, or a release manager on their behalf.
    fn signs(&mut self, command: &mut Command) -> usize {
        let requester = self.acting_requester();
        if MANAGERS.contains(&requester) || self.rng.random_bool(0.85) {
            return requester;
        }
        let origins = [Origin::Email, Origin::Phone, Origin::Chat, Origin::InPerson];
        command.on_behalf_of = Some(OnBehalfOf {
            origin: *origins.choose(self.rng).unwrap_or(&Origin::Email),
            note: self.words(words::AGREED).into(),
        });
        *MANAGERS.choose(self.rng).unwrap_or(&MANAGERS[0])
    }

    /// Goes forwards to the stage.
    fn walk(&mut self, to: &str) {
        while self.stage != to {
            let Some(stage) = self.workflow.stage(&self.stage).cloned() else {
                return;
            };
            self.prepare(&stage);
            if self.turns_back(&stage) {
                continue;
            }
            self.advance(&stage);
        }
        // What has just begun: somebody has it, the plan is being made.
        if matches!(self.tale.ending, Ending::Open(_)) && self.rng.random_bool(0.7) {
            self.worker();
        }
    }

    /// What is done in a stage before it is left.
    fn prepare(&mut self, stage: &Stage) {
        let round = self.rounds.len() - 1;
        let plans = self.workflow.first_stage() == stage.key;
        if plans && (round > 0 || stage.kind == StageKind::Planning) {
            let worker = self.worker();
            self.pause(30, 900);
            self.step(worker, Act::Plan);
            let linked = self
                .tale
                .steps
                .iter()
                .any(|step| matches!(step.act, Act::Link));
            if self.tale.needs_change && !self.tale.links_at_once && !linked {
                self.pause(5, 120);
                self.step(worker, Act::Link);
            }
            if self.twist(0.06) {
                self.suspend();
                self.reactivate();
            }
        }
        match stage.kind {
            StageKind::Deployment => {
                // The deployment is at night: it is over on a working day after the one of the authorization.
                self.worker();
                self.pause(DAY + 10, DAY + 300);
                if self.twist(0.08) {
                    let holder = self.holder(Permission::ChangeDeadline);
                    self.step(holder, Act::Extend);
                    self.pause(20, 200);
                }
                let worker = self.worker();
                if self.tale.needs_change {
                    self.step(worker, Act::Outcomes(ChangeOutcome::Deployed));
                }
            }
            StageKind::Acceptance => self.confirm(),
            _ => {}
        }
    }

    fn confirm(&mut self) {
        if self.tale.criteria.is_empty() {
            return;
        }
        let requester = self.acting_requester();
        let worker = self.worker();
        let person = if self.rng.random_bool(0.7) {
            requester
        } else {
            worker
        };
        self.pause(30, 400);
        self.step(person, Act::Confirm);
    }

    fn advance(&mut self, stage: &Stage) {
        let Some(next) = self
            .workflow
            .next_stage(&stage.key)
            .map(|next| next.key.clone())
        else {
            return;
        };
        let mut command = Command::new(Action::Advance);
        command.from_stage = Some(stage.key.clone());
        if self.rng.random_bool(0.5) {
            command.note = Some(self.words(words::STEPS).into());
        }
        let by_team = stage.responsible.contains(&Responsible::ExecutorGroup)
            && !(stage.responsible.contains(&Responsible::Requester) && self.rng.random_bool(0.6));
        let person = if by_team {
            let worker = self.worker();
            command.minutes_spent = Some(self.rng.random_range(2..48) * 15);
            worker
        } else {
            self.signs(&mut command)
        };
        let dated = stage.kind == StageKind::Acceptance;
        if dated {
            self.solve(&mut command);
        }
        self.pause(30, 500);
        self.step(
            person,
            Act::Move {
                command: Box::new(command),
                dated,
            },
        );
        let locks = self.workflow.locks_plan(&next) && !self.workflow.locks_plan(&stage.key);
        let now = Some(self.minutes);
        if let Some(round) = self.rounds.last_mut() {
            if stage.kind == StageKind::Planning {
                round.planned = now;
            }
            if locks {
                round.authorised = now;
            }
            if stage.kind == StageKind::Deployment {
                round.deployed = now;
            }
        }
        self.stage = next;
    }

    fn solve(&mut self, command: &mut Command) {
        command.resolution = Some(Resolution::Solved);
        command.solution_category_id = self.cast.stored.categories.choose(self.rng).copied();
        command.closure_notes = Some(self.words(words::SOLVED).into());
    }

    /// Sends the release back once in a while: from authorization as incomplete, from test as failed.
    fn turns_back(&mut self, stage: &Stage) -> bool {
        let back = self.workflow.stage_back_from(&stage.key).map(str::to_owned);
        let wanted = match stage.kind {
            StageKind::Authorization => self.twist(0.08),
            StageKind::Test | StageKind::Acceptance => self.rounds.len() == 1 && self.twist(0.05),
            _ => false,
        };
        let (true, Some(back)) = (wanted, back) else {
            return false;
        };
        let mut command = Command::new(Action::SendBack);
        command.from_stage = Some(stage.key.clone());
        command.note = Some(self.words(words::RETURNS).into());
        command.justification_id = self.reason(JustificationUse::SendBack);
        let person = if stage.responsible.contains(&Responsible::ExecutorGroup) {
            self.worker()
        } else {
            self.signs(&mut command)
        };
        self.pause(30, 300);
        self.act(person, command);
        self.stage = back;
        if stage.kind != StageKind::Authorization {
            self.rounds.push(Round {
                began: self.minutes,
                ..Round::default()
            });
        }
        true
    }

    fn reason(&mut self, wanted: JustificationUse) -> Option<JustificationId> {
        let fitting = self.cast.stored.justifications.get(&wanted)?;
        fitting.choose(self.rng).copied()
    }

    fn suspend(&mut self) {
        let holder = self.holder(Permission::Suspend);
        let mut command = Command::new(Action::Suspend);
        command.justification_id = self.reason(JustificationUse::Suspend);
        command.note = Some(self.words(words::WAITS).into());
        self.pause(20, 500);
        self.act(holder, command);
    }

    fn reactivate(&mut self) {
        let holder = self.holder(Permission::Reactivate);
        self.pause(DAY, 4 * DAY);
        self.act(holder, Command::new(Action::Reactivate));
    }

    fn cancel(&mut self) {
        let begun = self.workflow.deployment_begun(&self.stage);
        if begun && self.tale.needs_change {
            let worker = self.worker();
            self.pause(DAY, DAY + 200);
            self.step(worker, Act::Outcomes(ChangeOutcome::RolledBack));
        }
        let holder = self.holder(Permission::Cancel);
        let mut command = Command::new(Action::Cancel);
        command.justification_id = self.reason(JustificationUse::Cancel);
        command.closure_notes = Some(self.words(words::GIVEN_UP).into());
        self.pause(60, 900);
        self.act(holder, command);
    }

    fn give_up(&mut self) {
        let outcomes = [ChangeOutcome::Failed, ChangeOutcome::RolledBack];
        let outcome = *outcomes.choose(self.rng).unwrap_or(&ChangeOutcome::Failed);
        let worker = self.worker();
        self.pause(DAY, DAY + 200);
        if self.tale.needs_change {
            self.step(worker, Act::Outcomes(outcome));
        }
        let mut command = Command::new(Action::Close);
        command.resolution = Some(Resolution::Unsolved);
        command.justification_id = self.reason(JustificationUse::Cancel);
        command.closure_notes = Some(self.words(words::UNSOLVED).into());
        self.pause(60, 600);
        let manager = *MANAGERS.choose(self.rng).unwrap_or(&MANAGERS[0]);
        self.act(manager, command);
    }

    fn close(&mut self) {
        let mut command = Command::new(Action::Close);
        let dated = !self.workflow.has_acceptance();
        if dated {
            self.confirm();
            self.solve(&mut command);
        }
        let person = self.signs(&mut command);
        self.pause(60, 1200);
        self.step(
            person,
            Act::Move {
                command: Box::new(command),
                dated,
            },
        );
    }

    fn reopen(&mut self) {
        let holder = self.holder(Permission::Reopen);
        let mut command = Command::new(Action::Reopen);
        command.justification_id = self.reason(JustificationUse::Reopen);
        command.note = Some(self.words(words::BACK).into());
        self.pause(DAY, 8 * DAY);
        self.act(holder, command);
        self.stage.clone_from(&self.workflow.return_stage);
        self.rounds.push(Round {
            began: self.minutes,
            ..Round::default()
        });
    }

    /// Gives every step its instant and every round its windows.
    fn hang_up(mut self, time: &Worktime) -> Tale {
        let total = self.minutes + self.lag;
        let instant = |minutes: i64| time.ago(total - minutes);
        for step in &mut self.tale.steps {
            let seconds = TimeDelta::seconds(self.rng.random_range(0..60));
            step.at = instant(step.minutes).plus(seconds);
        }
        let last = self.rounds.len() - 1;
        for (index, round) in self.rounds.iter().enumerate() {
            let goes_on = index == last && self.tale.ending.is_under_way() && !self.late;
            let planning_start = at(date(instant(round.began)), 0, 0).plus(TimeDelta::hours(
                i64::from(instant(round.began).naive().hour()),
            ));
            // Where the plan is not carried out yet, it lies behind the present, or behind the end.
            let behind = if goes_on {
                time.present
            } else {
                instant(self.minutes)
            };
            let first_night = |authorised: i64| at(date(instant(authorised)), 22, 0);
            let (planning_end, start) = match round.authorised {
                Some(authorised) => (
                    ceiling(instant(round.planned.unwrap_or(authorised))),
                    first_night(authorised),
                ),
                None => {
                    let days = self.rng.random_range(1..4);
                    let more = self.rng.random_range(0..20);
                    let planning_end = at(date(behind.plus(TimeDelta::days(days))), 18, 0);
                    (
                        planning_end,
                        planning_end.plus(TimeDelta::hours(4 + 24 * more)),
                    )
                }
            };
            // A late release is over its window now: its night is the first one after the plan.
            let start = if self.late && round.authorised.is_none() {
                planning_end.plus(TimeDelta::hours(4))
            } else {
                start
            };
            let short = start.plus(TimeDelta::hours(self.rng.random_range(4..9)));
            let roll_out = self.rng.random_bool(0.3);
            let end = match (round.authorised, round.deployed) {
                (Some(_), _) if goes_on => {
                    let days = self.rng.random_range(1..9);
                    at(date(time.present.plus(TimeDelta::days(days))), 20, 0)
                }
                (Some(_), Some(deployed)) if roll_out => {
                    at(date(instant(deployed)), 20, 0).max(short)
                }
                _ => short,
            };
            self.tale.windows.push(Windows {
                planning: Window {
                    start: planning_start,
                    end: planning_end,
                },
                deployment: Window { start, end },
            });
        }
        self.tale
    }
}

/// Who asks for a release and who registers it: somebody with an account for themselves, or somebody of the team
/// for an outsider.
fn asked_by(rng: &mut StdRng, group: usize) -> (Option<usize>, usize) {
    let requesters = Cast::members(REQUESTERS);
    let requester = *requesters.choose(rng).unwrap_or(&requesters[0]);
    let team = Cast::members(group);
    match rng.random_range(0..10) {
        0..6 => (Some(requester), requester),
        6 | 7 if Cast::permits(group, Permission::Create) => {
            (Some(requester), *team.choose(rng).unwrap_or(&team[0]))
        }
        8 if Cast::permits(group, Permission::Create) => {
            (None, *team.choose(rng).unwrap_or(&team[0]))
        }
        9 => (Some(requester), MANAGERS[0]),
        _ => (None, requester),
    }
}
