//! Carries the tales out: every step through the use case that a handler calls, by somebody who may, at its instant.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use validator::Validate as _;

use super::cast::{MANAGERS, RETIRED_MODEL};
use super::changes::ChangePlan;
use super::furnish::Cast;
use super::tale::{Act, Step, Tale};
use super::{read_as, words};
use crate::domain::release::Notify;
use crate::domain::values::*;
use crate::repository::nouns::Model;
use crate::repository::releases::ReleaseRef;
use crate::service::lifecycle::{Wanted, transition};
use crate::service::release_input::{AcceptanceCriterion, ChangeToLink, NewRelease, RequesterFields};
use crate::service::setup::console_request;
use crate::service::{Env, Error, IfMatch, MergePatch, Result, WriteContext, catalogue, changes, releases};

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// A change has another status: its index, and which piece of its news.
    News(usize, usize),
    /// A release takes a step: its index, and which.
    Step(usize, usize),
    /// A model is retired.
    Retire,
}

/// The stage on which everything happens, and what has happened so far.
pub struct Play<'a> {
    pub env: &'a Arc<Env>,
    pub cast: &'a Cast,
    pub tales: &'a [Arc<Tale>],
    pub plans: &'a [ChangePlan],
    pub releases: Vec<Option<ReleaseId>>,
    pub changes: Vec<Option<ChangeId>>,
    pub turns: usize,
}

fn missing(what: &str) -> Error {
    Error::Internal(format!("seeding: {what} is not there yet"))
}

impl Play<'_> {
    /// Takes one turn.
    pub fn take(&mut self, at: Timestamp, turn: Turn) -> Result<()> {
        self.turns += 1;
        let told = match turn {
            Turn::News(plan, news) => self.news(at, plan, news),
            Turn::Step(tale, step) => self.step(at, tale, step),
            Turn::Retire => self.retire(at),
        };
        told.map_err(|error| match error {
            Error::Repository(_) => error,
            other => Error::Internal(format!("seeding stopped at {turn:?}, {at}: {other:?}")),
        })
    }

    fn by<T: Send + 'static>(
        &self,
        at: Timestamp,
        person: usize,
        work: impl Fn(&mut WriteContext<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.env.clock().set(at);
        let mut request = console_request(self.cast.actors[person].clone());
        request.id = format!("seed-{}", self.turns);
        self.env.write_blocking(request, work)
    }

    fn news(&mut self, at: Timestamp, index: usize, news: usize) -> Result<()> {
        let plan = &self.plans[index];
        let mut content = plan.content.clone();
        content.status = plan.news[news].1;
        content.source_revision = i64::try_from(news + 1).ok();
        let (record, _) = self.by(at, plan.person, move |context| {
            let draft = Ok(content.clone());
            changes::upsert(context, &content.source, &content.external_id, draft)
        })?;
        self.changes[index] = Some(record.id);
        Ok(())
    }

    fn retire(&self, at: Timestamp) -> Result<()> {
        let model = self.cast.stored.models[RETIRED_MODEL];
        self.by(at, MANAGERS[0], move |context| {
            let patch = MergePatch { document: json!({"status": "retired"}), parse: read_as::<Model> };
            catalogue::patch(context, model, &IfMatch::Any, &patch).map(|_| ())
        })
    }

    fn step(&mut self, at: Timestamp, index: usize, nth: usize) -> Result<()> {
        let tale = Arc::clone(&self.tales[index]);
        let step = tale.steps[nth].clone();
        if matches!(step.act, Act::Create) {
            let new = self.new_release(&tale)?;
            let shown = self.by(at, step.person, move |context| releases::create(context, checked(new.clone())))?;
            self.releases[index] = Some(shown.release.id);
            return Ok(());
        }
        let release = self.releases[index].ok_or_else(|| missing("a release"))?;
        let reference = ReleaseRef::Id(release);
        let person = step.person;
        match &step.act {
            Act::Create => Ok(()),
            Act::Plan => {
                let document = self.plan(&tale, nth)?;
                self.by(at, person, move |context| patch(context, reference, document.clone()))
            }
            Act::Link => {
                let ids = self.linked(&tale)?;
                self.by(at, person, move |context| {
                    for change_id in &ids {
                        let link = changes::NewLink { change_id: *change_id };
                        changes::add_link(context, reference, Ok(link))?;
                    }
                    Ok(())
                })
            }
            Act::Outcomes(outcome) => {
                let outcome = *outcome;
                self.by(at, person, move |context| outcomes(context, reference, outcome))
            }
            Act::Confirm => {
                let all: Vec<Value> =
                    tale.criteria.iter().map(|text| json!({"text": text, "confirmed": true})).collect();
                self.by(at, person, move |context| patch(context, reference, json!({"acceptance_criteria": all})))
            }
            Act::Extend => {
                let window = tale.windows[step.round].deployment;
                let document = json!({
                    "deployment_window": {
                        "start": window.start,
                        "end": window.end.plus(TimeDelta::hours(4)),
                    },
                    "reason": "The last steps need more time than planned.",
                });
                self.by(at, person, move |context| patch(context, reference, document.clone()))
            }
            Act::Move { .. } => self.transition(at, &tale, &step, reference),
        }
    }

    fn transition(&self, at: Timestamp, tale: &Tale, step: &Step, reference: ReleaseRef) -> Result<()> {
        let Act::Move { command, dated } = &step.act else {
            return Ok(());
        };
        let mut command = (**command).clone();
        if *dated {
            let start = tale.windows[step.round].deployment.start;
            command.release_date = Some(start.plus(TimeDelta::minutes(100)));
        }
        self.by(at, step.person, move |context| {
            let wanted =
                Wanted { action: Some(command.action), resolution: command.resolution, command: Ok(command.clone()) };
            transition(context, reference, &wanted).map(|_| ())
        })
    }

    fn linked(&self, tale: &Tale) -> Result<Vec<ChangeId>> {
        tale.changes.iter().map(|index| self.changes[*index].ok_or_else(|| missing("a change"))).collect()
    }

    fn new_release(&self, tale: &Tale) -> Result<NewRelease> {
        let stored = &self.cast.stored;
        let windows = tale.windows_at_once.then(|| tale.windows[0]);
        let (name, email) = words::OUTSIDERS[tale.outsider];
        let requester = match tale.account {
            Some(account) => RequesterFields { user_id: Some(stored.people[account]), ..RequesterFields::default() },
            None => RequesterFields {
                name: Some(name.into()),
                email: Some(email.into()),
                unit_id: stored.units.get(tale.portfolio + 1).copied(),
                ..RequesterFields::default()
            },
        };
        let changes = if tale.links_at_once { self.linked(tale)? } else { Vec::new() };
        Ok(NewRelease {
            title: tale.title.clone(),
            description: Some(tale.description.clone()),
            version: Some(tale.version.clone()),
            release_type: tale.release_type,
            model_id: Some(stored.models[tale.model]),
            requester,
            contract_id: tale.contract.map(|index| stored.contracts[index]),
            executor_group_id: Some(stored.groups[tale.first_group]),
            impact: Some(tale.impact),
            urgency: Some(tale.urgency),
            risk: Some(tale.risk),
            acceptance_criteria: tale
                .criteria
                .iter()
                .map(|text| AcceptanceCriterion { text: text.clone(), confirmed: false })
                .collect(),
            planning_window: windows.map(|windows| windows.planning),
            deployment_window: windows.map(|windows| windows.deployment),
            depends_on: Vec::new(),
            tags: tale.tags.clone(),
            custom_fields: tale.custom_fields.clone(),
            notify: Notify { on_created: true, on_updated: false, on_closed: tale.account.is_none() },
            changes: changes.into_iter().map(|change_id| ChangeToLink { change_id }).collect(),
        })
    }

    /// The plan of a step: its words, the windows of its round, and what the release depends on.
    fn plan(&self, tale: &Tale, nth: usize) -> Result<Value> {
        let windows = tale.windows[tale.steps[nth].round];
        let made = tale.steps[..nth].iter().filter(|step| matches!(step.act, Act::Plan)).count();
        let mut description = format!("{}\n\nPlan: {}", tale.description, tale.plan_note);
        if made > 0 {
            description.push_str(&format!("\n\nPlan revised, revision {}.", made + 1));
        }
        let mut document = json!({
            "description": description,
            "planning_window": windows.planning,
            "deployment_window": windows.deployment,
        });
        if let Some(other) = tale.depends_on {
            let other = self.releases[other].ok_or_else(|| missing("a release"))?;
            document["depends_on"] = json!([other]);
        }
        Ok(document)
    }
}

fn checked(new: NewRelease) -> Draft<NewRelease> {
    match new.validate() {
        Ok(()) => Ok(new),
        Err(error) => Err(vec![Fault::at("", "INVALID_VALUE", error.to_string())]),
    }
}

fn patch(context: &mut WriteContext<'_>, reference: ReleaseRef, document: Value) -> Result<()> {
    let patch = MergePatch { document, parse: read_as };
    releases::patch(context, reference, &patch).map(|_| ())
}

fn outcomes(context: &mut WriteContext<'_>, reference: ReleaseRef, outcome: ChangeOutcome) -> Result<()> {
    let note = match outcome {
        ChangeOutcome::Pending => return Ok(()),
        ChangeOutcome::Deployed => None,
        ChangeOutcome::Failed => Some("Stopped at the health check."),
        ChangeOutcome::RolledBack => Some("Taken back within the window."),
    };
    for link in changes::links(context, reference)? {
        let patch = MergePatch {
            document: json!({"outcome": outcome, "outcome_note": note}),
            parse: |value| {
                #[derive(serde::Deserialize)]
                struct Given {
                    outcome: ChangeOutcome,
                    outcome_note: Option<String>,
                }
                let given: Given = serde_json::from_value(value)
                    .map_err(|error| vec![Fault::at("", "INVALID_VALUE", error.to_string())])?;
                Ok(changes::LinkFields { outcome: given.outcome, outcome_note: given.outcome_note })
            },
        };
        changes::patch_link(context, reference, link.row.id, &patch)?;
    }
    Ok(())
}
