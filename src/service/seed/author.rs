//! Writes the tales: which steps each release takes, and in whose name, by the rules of its workflow.

use chrono::TimeDelta;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::cast::{self, MANAGERS, MODELS, PEOPLE};
use super::furnish::Cast;
use super::tale::{self, Act, ENDINGS, Ending, Step, Tale};
use super::timetable::{DAY, Draft, Round, Worktime};
use super::words;
use crate::domain::lifecycle::{Command, OnBehalfOf};
use crate::domain::values::*;
use crate::domain::workflow::{BUILT_IN, Responsible, Stage, Workflow};

/// Working days before the present on which the last finished releases ended.
const FINISHED_DAYS_MAX: i64 = 265;
/// Releases of the retired model ended at least so many working days ago.
const RETIRED_DAYS_MIN: i64 = 150;

/// Writes the tales.
pub fn tales(rng: &mut StdRng, cast: &Cast, time: &Worktime, count: usize) -> Vec<Tale> {
    let mut tales: Vec<Tale> = (0..count).map(|index| tale(rng, cast, time, index)).collect();
    for (index, tale) in tales.iter_mut().enumerate() {
        ask(index, tale);
    }
    tales
}

/// Every second release that is authorised is approved by somebody, and every second one that is tested has a
/// checklist: a vote and answers come before the stage is left.
fn ask(index: usize, tale: &mut Tale) {
    let key = MODELS[tale.model].workflow;
    let requester = tale.account.unwrap_or(tale.steps[0].person);
    let works = |one: usize| PEOPLE[one].groups.iter().any(|group| MODELS[tale.model].groups.contains(group));
    let approver = MANAGERS.iter().copied().find(|one| *one != requester && !works(*one));
    tale.approver = approver.filter(|_| key != "minor" && index % 2 == 1);
    tale.has_checklist = key == "standard" && index % 2 == 1;
    let mut nth = 1;
    while nth < tale.steps.len() {
        let step = &tale.steps[nth];
        let leaves = match &step.act {
            Act::Move { command, .. } if command.action == Action::Advance => command.from_stage.as_deref(),
            _ => None,
        };
        let asked = match (leaves, tale.approver) {
            (Some("authorization"), Some(approver)) => Some((approver, Act::Vote)),
            (Some("test"), _) if tale.has_checklist => Some((step.person, Act::Answer)),
            _ => None,
        };
        if let Some((person, act)) = asked {
            let earlier = step.at.plus(-TimeDelta::minutes(5));
            let at = earlier.max(tale.steps[nth - 1].at);
            let asked = Step { minutes: step.minutes, at, person, round: step.round, act };
            tale.steps.insert(nth, asked);
            nth += 1;
        }
        nth += 1;
    }
}

/// Writes one tale: the first ones end in every way that there is.
pub fn tale(rng: &mut StdRng, cast: &Cast, time: &Worktime, index: usize) -> Tale {
    let (workflow, ending) = ENDINGS.get(index).copied().unwrap_or_else(|| tale::any_ending(rng));
    Author::new(rng, cast, index, workflow, ending).write(time)
}

/// Writes one tale, forwards.
struct Author<'a> {
    rng: &'a mut StdRng,
    cast: &'a Cast,
    workflow: Workflow,
    tale: Tale,
    /// Who registers the release.
    creator: usize,
    /// Who has it, once somebody has.
    worker: Option<usize>,
    lag: i64,
    late: bool,
    /// Minutes of work since the registration, so far.
    minutes: i64,
    stage: String,
    rounds: Vec<Round>,
    /// True where nothing unforeseen happens.
    quiet: bool,
}

fn workflow(key: &str) -> Workflow {
    let built_in = BUILT_IN.iter().find(|one| one.key == key).unwrap_or(&BUILT_IN[0]);
    built_in.with_id(WorkflowId::new(uuid::Uuid::nil()))
}

impl<'a> Author<'a> {
    fn new(rng: &'a mut StdRng, cast: &'a Cast, index: usize, key: &'static str, ending: Ending) -> Self {
        let lag = match ending {
            ending if !ending.is_under_way() => rng.random_range(1..FINISHED_DAYS_MAX * DAY),
            Ending::Suspended(_) => rng.random_range(60..20 * DAY),
            _ => rng.random_range(30..5 * DAY),
        };
        let late = ending.is_under_way() && rng.random_bool(0.25);
        let lag = if late { lag + 9 * DAY } else { lag };
        let old = lag > RETIRED_DAYS_MIN * DAY && ending == Ending::Closed;
        let (tale, creator) = tale::begin(rng, index, key, ending, old);
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
        let draft =
            Draft { tale: self.tale, rounds: self.rounds, minutes: self.minutes, lag: self.lag, late: self.late };
        draft.hang_up(self.rng, time)
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
        self.tale.steps.push(Step { minutes: self.minutes, at, person, round, act });
    }

    fn act(&mut self, person: usize, command: Command) {
        self.step(person, Act::Move { command: Box::new(command), dated: false });
    }

    /// Somebody with the permission in the group: its lead, or a release manager where nobody of it holds it.
    fn holder(&mut self, permission: Permission) -> usize {
        if cast::permits(self.tale.group, permission) {
            cast::members(self.tale.group)[0]
        } else {
            *MANAGERS.choose(self.rng).unwrap_or(&MANAGERS[0])
        }
    }

    fn worker(&mut self) -> usize {
        if let Some(worker) = self.worker {
            return worker;
        }
        let members = cast::members(self.tale.group);
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
        let others: Vec<usize> =
            MODELS[self.tale.model].groups.iter().copied().filter(|group| *group != self.tale.group).collect();
        self.pause(30, 500);
        let mut command = Command::new(Action::Delegate);
        if let Some(group) = others.choose(self.rng).copied() {
            command.group_id = Some(self.cast.stored.groups[group]);
            command.note = Some("They know this part better.".into());
            self.act(holder, command);
            self.tale.group = group;
            self.tale.moved = true;
            self.worker = None;
            let members = cast::members(group);
            let next = *members.choose(self.rng).unwrap_or(&members[0]);
            self.pause(15, 300);
            self.act(next, Command::new(Action::Capture));
            self.worker = Some(next);
            return;
        }
        let colleagues: Vec<usize> = cast::members(self.tale.group).into_iter().filter(|one| *one != worker).collect();
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
            let linked = self.tale.steps.iter().any(|step| matches!(step.act, Act::Link));
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
        let person = if self.rng.random_bool(0.7) { requester } else { worker };
        self.pause(30, 400);
        self.step(person, Act::Confirm);
    }

    fn advance(&mut self, stage: &Stage) {
        let Some(next) = self.workflow.next_stage(&stage.key).map(|next| next.key.clone()) else {
            return;
        };
        let mut command = Command::new(Action::Advance);
        command.from_stage = Some(stage.key.clone());
        let by_team = stage.responsible.contains(&Responsible::ExecutorGroup)
            && !(stage.responsible.contains(&Responsible::Requester) && self.rng.random_bool(0.6));
        if self.rng.random_bool(0.5) {
            let said = if by_team { words::STEPS } else { words::SIGNED };
            command.note = Some(self.words(said).into());
        }
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
        self.step(person, Act::Move { command: Box::new(command), dated });
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
            self.rounds.push(Round { began: self.minutes, ..Round::default() });
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
        self.step(person, Act::Move { command: Box::new(command), dated });
    }

    fn reopen(&mut self) {
        let holder = self.holder(Permission::Reopen);
        let mut command = Command::new(Action::Reopen);
        command.justification_id = self.reason(JustificationUse::Reopen);
        command.note = Some(self.words(words::BACK).into());
        self.pause(DAY, 8 * DAY);
        self.act(holder, command);
        self.stage.clone_from(&self.workflow.return_stage);
        self.rounds.push(Round { began: self.minutes, ..Round::default() });
    }
}
