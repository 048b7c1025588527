//! Tells tales without a database: the rows that the use cases would have stored, out of the same functions.
//!
//! The decision, the policy, the snapshots that history compares, the chain and the rows are those of the use cases.
//! What these load - changes, what a release depends on, justifications, people - is known here from the tales.

use std::sync::Arc;

use serde_json::Value;

use super::cast::{self, MODELS, PEOPLE};
use super::changes::ChangePlan;
use super::furnish::Cast;
use super::tale::{Act, Step, Tale};
use super::{read_as, script};
use crate::domain::lifecycle::{self, Command, Dependency, Facts, GroupFact, JustificationFact, UserFact};
use crate::domain::policy::{self, Access, Actor};
use crate::domain::release::{ChainHead, Release, past_window_faults, window_faults};
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::domain::worktime::Worktime;
use crate::repository::audit::Stamp;
use crate::repository::bulk::Batch;
use crate::repository::changes::{Link, LinkRow};
use crate::repository::nouns::{Calendar, Change, Model, Noun, Record, User};
use crate::repository::workflows;
use crate::service::catalogue::{Rules, document};
use crate::service::changes::{fresh, link_change, link_document};
use crate::service::instantiate::Parts;
use crate::service::lifecycle::{action_name, row, tell_command};
use crate::service::release_create::{Birth, References, begin, filled_in, tell_changes};
use crate::service::release_input::ReleaseFields;
use crate::service::release_patch::{editable, patched};
use crate::service::releases::{facts, snapshot};
use crate::service::{Env, Error, MergePatch, Recorded, Result, entry};

/// What tales refer to and what stays as it is while they are told.
pub struct World {
    pub cast: Cast,
    models: Vec<(Arc<Record<Model>>, Arc<Workflow>)>,
    /// The working time of the calendar of each model.
    worktimes: Vec<Option<Arc<Worktime>>>,
    accounts: Vec<User>,
}

impl World {
    /// Loads what the cast only names.
    pub fn load(env: &Env, cast: Cast) -> Result<Self> {
        let (models, worktimes, accounts) = env.database.read_blocking::<_, Error>(|connection| {
            let (mut models, mut worktimes) = (Vec::new(), Vec::new());
            for id in &cast.stored.models {
                let model = Model::find(connection, *id)?.ok_or(Error::NotFound("model"))?;
                let workflow = workflows::newest(connection, &model.content.workflow)?;
                let calendar =
                    model.content.calendar_id.map(|id| Calendar::find(connection, id)).transpose()?.flatten();
                let worktime = calendar.map(|calendar| calendar.content.worktime()).transpose();
                worktimes.push(worktime.map_err(impossible)?.map(Arc::new));
                models.push((Arc::new(model), Arc::new(workflow.ok_or(Error::NotFound("workflow"))?)));
            }
            let mut accounts = Vec::new();
            for id in &cast.stored.people {
                accounts.push(User::find(connection, *id)?.ok_or(Error::NotFound("user"))?.content);
            }
            Ok((models, worktimes, accounts))
        })?;
        Ok(Self { cast, models, worktimes, accounts })
    }
}

/// A release of which everything was told, as later ones see it that depend on it.
struct Told {
    id: ReleaseId,
    number: i64,
    /// Since when it stands how.
    standings: Vec<(Timestamp, Status, Option<Resolution>)>,
}

/// A release while its tale is told.
struct Telling {
    release: Release,
    workflow: Arc<Workflow>,
    /// The state that history compares.
    state: Value,
    depends_on: Vec<ReleaseId>,
    dependency: Option<usize>,
    links: Vec<LinkRow>,
    stamp: Stamp,
}

/// Tells some tales, which may depend on each other, with the changes that they carry.
pub struct Chronicle<'a> {
    world: &'a World,
    env: Env,
    tales: &'a [Tale],
    plans: &'a [ChangePlan],
    references: Vec<References>,
    changes: Vec<Option<ChangeId>>,
    told: Vec<Told>,
    batch: Batch,
}

/// Where in a tale something happens, and who does it.
struct Moment<'m> {
    at: Timestamp,
    actor: &'m Actor,
    request: String,
}

fn impossible(what: impl std::fmt::Debug) -> Error {
    Error::Internal(format!("seeding: {what:?}"))
}

impl<'a> Chronicle<'a> {
    /// `env` gives identifiers and salts, and nothing else.
    pub fn new(world: &'a World, env: Env, tales: &'a [Tale], plans: &'a [ChangePlan]) -> Result<Self> {
        let nobody = filled_in(&script::outsider(0), None).ok_or_else(|| impossible("no requester"))?;
        let references = world
            .models
            .iter()
            .map(|(model, workflow)| References {
                model: Arc::clone(model),
                workflow: Arc::clone(workflow),
                group: world.cast.stored.groups[0],
                requester: nobody.clone(),
                dependencies: Vec::new(),
                changes: Vec::new(),
                approval_rule: None,
                of_model: Parts::default(),
                checklists: Vec::new(),
                items: Vec::new(),
            })
            .collect();
        let (changes, told) = (vec![None; plans.len()], Vec::with_capacity(tales.len()));
        Ok(Self { world, env, tales, plans, references, changes, told, batch: Batch::default() })
    }

    /// Tells everything; the releases are numbered from `first` on, in the order of the tales.
    pub fn tell(mut self, first: i64) -> Result<Batch> {
        for index in 0..self.plans.len() {
            self.tell_change(index)?;
        }
        for (index, number) in (0..self.tales.len()).zip(first..) {
            self.tell_release(index, number).map_err(|error| {
                Error::Internal(format!("seeding stopped at release {number}, {:?}: {error:?}", self.tales[index]))
            })?;
        }
        Ok(self.batch)
    }

    fn append(&mut self, moment: &Moment<'_>, head: &ChainHead, change: Recorded<'_>) -> Result<Stamp> {
        let entry = entry(&self.env, moment.actor, moment.at, &moment.request, change)?;
        Ok(self.batch.append(head, entry))
    }

    fn tell_change(&mut self, index: usize) -> Result<()> {
        let plan = &self.plans[index];
        let actor = &self.world.cast.actors[plan.person];
        policy::authorise(actor, Change::ACCESS)?;
        let mut stored: Option<(Record<Change>, Value, Stamp)> = None;
        for (nth, (at, status)) in plan.news.iter().enumerate() {
            let source_revision = i64::try_from(nth + 1).ok();
            let content = Change { status: *status, source_revision, ..plan.content.clone() };
            let after = document(&content)?;
            let moment = Moment { at: *at, actor, request: format!("seed-{}-{nth}", content.external_id) };
            let (record, before) = match stored.take() {
                None => {
                    let id = ChangeId::new(self.env.new_id(*at));
                    let chain = ChainHead::default();
                    (Record { id, row_version: 1, created_at: *at, updated_at: *at, chain, content }, None)
                }
                Some((record, before, _)) => {
                    let row_version = record.row_version + 1;
                    (Record { row_version, updated_at: *at, content, ..record }, Some(before))
                }
            };
            let change = Recorded {
                record_type: Change::RECORD,
                record_id: record.id.to_string(),
                subject: None,
                action: format!("{}.{}", Change::RECORD, if before.is_some() { "update" } else { "create" }),
                before: before.as_ref(),
                after: Some(&after),
                published: true,
            };
            let stamp = self.append(&moment, &record.chain, change)?;
            stored = Some((Record { chain: stamp.head().clone(), ..record }, after, stamp));
        }
        if let Some((record, _, stamp)) = stored {
            self.changes[index] = Some(record.id);
            self.batch.add_change(record, &stamp);
        }
        Ok(())
    }

    fn tell_release(&mut self, index: usize, number: i64) -> Result<()> {
        let tale = &self.tales[index];
        let mut telling: Option<Telling> = None;
        let mut standings = Vec::new();
        for (nth, step) in tale.steps.iter().enumerate() {
            let actor = &self.world.cast.actors[step.person];
            policy::authorise(actor, Access::Releases)?;
            let moment = Moment { at: step.at, actor, request: format!("seed-{number}-{nth}") };
            let Some(telling) = &mut telling else {
                telling = Some(self.create(tale, number, &moment)?);
                standings.push((step.at, Status::Open, None));
                continue;
            };
            match &step.act {
                Act::Create => return Err(impossible("created twice")),
                Act::Equip(_) => return Err(impossible("items in a large installation")),
                Act::Board(_) | Act::Finish(_) => return Err(impossible("boards are played, not told")),
                Act::Vote | Act::Answer => return Err(impossible("asked in a large installation")),
                Act::Plan => {
                    let other = tale.depends_on.map(|other| self.told[other].id);
                    if other.is_some() {
                        telling.dependency = tale.depends_on;
                    }
                    self.patch(telling, &moment, script::plan(tale, nth, other))?;
                }
                Act::Confirm => self.patch(telling, &moment, script::confirmation(tale))?,
                Act::Extend => self.patch(telling, &moment, script::extension(tale, step))?,
                Act::Link => self.link(telling, &moment, tale)?,
                Act::Outcomes(outcome) => self.outcomes(telling, &moment, *outcome)?,
                Act::Move { .. } => {
                    self.transition(telling, &moment, tale, step)?;
                    standings.push((step.at, telling.release.status, telling.release.resolution));
                }
            }
        }
        let telling = telling.ok_or_else(|| impossible("a tale without a beginning"))?;
        let Telling { release, workflow, depends_on, links, stamp, .. } = telling;
        self.batch.add_release(&release, &release.principals(&workflow), &depends_on, links, &stamp);
        self.told.push(Told { id: release.id, number, standings });
        Ok(())
    }

    fn linked(&self, tale: &Tale, at: Timestamp) -> Result<Vec<ChangeId>> {
        let known = |index: &usize| {
            let linkable = self.status(*index, at).is_some_and(ChangeStatus::is_linkable);
            self.changes[*index].filter(|_| linkable).ok_or_else(|| impossible("a change cannot be linked yet"))
        };
        tale.changes.iter().map(known).collect()
    }

    /// The status of a change at an instant.
    fn status(&self, index: usize, at: Timestamp) -> Option<ChangeStatus> {
        self.plans[index].news.iter().rev().find(|(since, _)| *since <= at).map(|(_, status)| *status)
    }

    fn create(&mut self, tale: &Tale, number: i64, moment: &Moment<'_>) -> Result<Telling> {
        if !moment.actor.may_anywhere(Permission::Create) {
            return Err(impossible("who registers a release may not"));
        }
        let linked = if tale.links_at_once { self.linked(tale, moment.at)? } else { Vec::new() };
        let cast = &self.world.cast;
        let new = script::new_release(cast, tale, linked.clone()).map_err(Error::Invalid)?;
        let account = tale.account.map(|account| &self.world.accounts[account]);
        let found = &mut self.references[tale.model];
        found.group = cast.stored.groups[tale.first_group];
        found.requester = filled_in(&new.requester, account).ok_or_else(|| impossible("no requester"))?;
        let workflow = Arc::clone(&found.workflow);
        let (planning, deployment) = (new.planning_window, new.deployment_window);
        let id = ReleaseId::new(self.env.new_id(moment.at));
        let birth = Birth { id, number, at: moment.at, by: moment.actor.user_id };
        let mut release = begin(new, found, &birth);
        let mut faults = window_faults(planning, deployment);
        faults.extend(past_window_faults(release.release_type, planning, deployment, moment.at));
        Error::unless_none(faults)?;
        let links: Vec<LinkRow> = linked
            .iter()
            .map(|change| fresh(ChangeLinkId::new(self.env.new_id(moment.at)), id, *change, moment.at))
            .collect();
        let state = snapshot(&release, &[])?;
        let mut after = state.clone();
        tell_changes(&mut after, linked);
        let change = of_release(&release, "release.create".into(), None, &after);
        let stamp = self.append(moment, &ChainHead::default(), change)?;
        release.chain = stamp.head().clone();
        Ok(Telling { release, workflow, state, depends_on: Vec::new(), dependency: None, links, stamp })
    }

    fn may_execute(telling: &Telling, moment: &Moment<'_>) -> Result<()> {
        let release = &telling.release;
        if moment.actor.may(Permission::Execute, release.executor_group_id) && release.status.is_active() {
            return Ok(());
        }
        Err(impossible("a release is changed by somebody who may not, or when it may not be"))
    }

    fn patch(&mut self, telling: &mut Telling, moment: &Moment<'_>, document: Value) -> Result<()> {
        let before = &telling.release;
        if document.get("acceptance_criteria").is_none() {
            Self::may_execute(telling, moment)?;
        }
        let patch = MergePatch::<ReleaseFields> { document, parse: read_as };
        let fields = patch.apply(editable(before, &telling.depends_on)?).map_err(Error::Invalid)?;
        Error::unless_none(window_faults(fields.planning_window, fields.deployment_window))?;
        let requester = before.requester.clone();
        let after = patched(moment.actor.user_id, moment.at, before, &fields, requester);
        let mut state = snapshot(&after, &fields.depends_on)?;
        if state == telling.state {
            return Ok(());
        }
        if let Some(reason) = &fields.reason {
            state["reason"] = Value::String(reason.clone());
        }
        let change = of_release(&after, "release.update".into(), Some(&telling.state), &state);
        let stamp = self.append(moment, &before.chain, change)?;
        if fields.reason.is_some() {
            state.as_object_mut().map(|state| state.remove("reason"));
        }
        let row_version = before.row_version + 1;
        telling.release = Release { row_version, updated_at: moment.at, chain: stamp.head().clone(), ..after };
        telling.depends_on = fields.depends_on;
        telling.state = state;
        telling.stamp = stamp;
        Ok(())
    }

    fn link(&mut self, telling: &mut Telling, moment: &Moment<'_>, tale: &Tale) -> Result<()> {
        Self::may_execute(telling, moment)?;
        for change in self.linked(tale, moment.at)? {
            let id = ChangeLinkId::new(self.env.new_id(moment.at));
            let row = fresh(id, telling.release.id, change, moment.at);
            let after = link_document(&row);
            let change = link_change(&row, "release.link_change", None, Some(&after));
            telling.stamp = self.append(moment, &telling.release.chain, change)?;
            telling.release.chain = telling.stamp.head().clone();
            telling.links.push(row);
        }
        Ok(())
    }

    fn outcomes(&mut self, telling: &mut Telling, moment: &Moment<'_>, outcome: ChangeOutcome) -> Result<()> {
        Self::may_execute(telling, moment)?;
        for row in &mut telling.links {
            let before = link_document(row);
            row.outcome = outcome;
            row.outcome_note = script::outcome_note(outcome).map(str::to_owned);
            let after = link_document(row);
            if before == after {
                continue;
            }
            row.row_version += 1;
            row.updated_at = moment.at;
            let change = link_change(row, "release.update_change_link", Some(&before), Some(&after));
            let entry = entry(&self.env, moment.actor, moment.at, &moment.request, change)?;
            telling.stamp = self.batch.append(&telling.release.chain, entry);
            telling.release.chain = telling.stamp.head().clone();
        }
        Ok(())
    }

    fn transition(&mut self, telling: &mut Telling, moment: &Moment<'_>, tale: &Tale, step: &Step) -> Result<()> {
        let command = script::command(tale, step).ok_or_else(|| impossible("a move without a command"))?;
        let facts = self.facts(telling, moment.at, tale, &command);
        let before = &telling.release;
        let transition = lifecycle::decide(before, &telling.workflow, &command, &facts, moment.actor)
            .map_err(|refusal| impossible((&command, refusal)))?;
        let mut state = snapshot(transition.after(), &telling.depends_on)?;
        tell_command(&mut state, &command);
        let change = of_release(before, action_name(&command), Some(&telling.state), &state);
        let stamp = self.append(moment, &before.chain, change)?;
        state.as_object_mut().map(|state| state.remove("transition"));
        let id = TransitionId::new(self.env.new_id(moment.at));
        self.batch.add_transition(row(id, &transition, &stamp, moment.actor.user_id, moment.at), &stamp);
        if transition.resets_change_outcomes() {
            for link in telling.links.iter_mut().filter(|link| link.outcome != ChangeOutcome::Pending) {
                link.outcome = ChangeOutcome::Pending;
                link.outcome_note = None;
                link.row_version += 1;
                link.updated_at = moment.at;
            }
        }
        telling.release = Release { chain: stamp.head().clone(), ..transition.after().clone() };
        telling.state = state;
        telling.stamp = stamp;
        Ok(())
    }

    /// What the use case would have loaded for the command.
    fn facts(&self, telling: &Telling, at: Timestamp, tale: &Tale, command: &Command) -> Facts {
        let links: Vec<Link> = telling
            .links
            .iter()
            .filter_map(|row| {
                let index = self.changes.iter().position(|change| *change == Some(row.change_id))?;
                let content = &self.plans[index].content;
                Some(Link {
                    row: row.clone(),
                    source: content.source.clone(),
                    external_id: content.external_id.clone(),
                    title: content.title.clone(),
                    status: self.status(index, at)?,
                    window: content.window.as_ref().map(|json| json.0),
                    has_rollback_plan: content.has_rollback_plan(),
                })
            })
            .collect();
        let dependency = telling.dependency.map(|index| &self.told[index]).and_then(|other| {
            let (_, status, resolution) = other.standings.iter().rev().find(|(since, ..)| *since <= at)?;
            Some(Dependency {
                release_id: other.id,
                number: other.number,
                status: *status,
                resolution: *resolution,
                visible: true,
            })
        });
        let mut facts = facts(at, links.iter().map(Link::fact).collect(), dependency.into_iter().collect());
        facts.worktime.clone_from(&self.world.worktimes[tale.model]);
        let stored = &self.world.cast.stored;
        facts.justification = command.justification_id.map(|id| JustificationFact {
            active: true,
            applies_to: stored
                .justifications
                .iter()
                .filter(|(_, fitting)| fitting.contains(&id))
                .map(|(used_for, _)| *used_for)
                .collect(),
        });
        facts.solution_category_active = command.solution_category_id.map(|id| stored.categories.contains(&id));
        let group_id = command.group_id.unwrap_or(telling.release.executor_group_id);
        let group = stored.groups.iter().position(|id| *id == group_id);
        facts.user = command.user_id.and_then(|id| stored.people.iter().position(|one| *one == id)).map(|person| {
            let member = group.is_some_and(|group| PEOPLE[person].groups.contains(&group));
            UserFact { active: PEOPLE[person].active, groups: if member { vec![group_id] } else { Vec::new() } }
        });
        facts.group = command.group_id.and(group).map(|group| GroupFact {
            active: true,
            can_execute: cast::permits(group, Permission::Execute) && !cast::members(group).is_empty(),
            allowed_by_model: MODELS[tale.model].groups.contains(&group),
        });
        facts
    }
}

fn of_release<'v>(release: &Release, action: String, before: Option<&'v Value>, after: &'v Value) -> Recorded<'v> {
    Recorded {
        record_type: "release",
        record_id: release.id.to_string(),
        subject: None,
        action,
        before,
        after: Some(after),
        published: true,
    }
}
