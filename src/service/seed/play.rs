//! Carries the tales out: every step through the use case that a handler calls, by somebody who may, at its instant.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cast::{MANAGERS, RETIRED_MODEL};
use super::changes::ChangePlan;
use super::estate::Estate;
use super::furnish::Cast;
use super::tale::{Act, Step, Tale};
use super::{boards, read_as, script};
use crate::domain::values::*;
use crate::repository::nouns::Model;
use crate::repository::releases::ReleaseRef;
use crate::service::approvals::NewVote;
use crate::service::lifecycle::{Wanted, transition};
use crate::service::setup::console_request;
use crate::service::{
    Env, Error, IfMatch, MergePatch, Result, WriteContext, approvals, catalogue, changes, checklists, keyed, releases,
};

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
    /// What the releases of a small installation are about.
    pub estate: Option<&'a Estate>,
    pub tales: &'a [Arc<Tale>],
    pub plans: &'a [ChangePlan],
    pub releases: Vec<Option<ReleaseId>>,
    pub changes: Vec<Option<ChangeId>>,
    pub turns: usize,
}

pub fn missing(what: &str) -> Error {
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

    pub fn by<T: Send + 'static>(
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
            keyed::upsert(context, (&content.source, &content.external_id), draft)
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
            let linked = if tale.links_at_once { self.linked(&tale)? } else { Vec::new() };
            let new = script::new_release(self.cast, &tale, linked);
            let shown = self.by(at, step.person, move |context| releases::create(context, new.clone()))?;
            self.releases[index] = Some(shown.release.id);
            return Ok(());
        }
        let release = self.releases[index].ok_or_else(|| missing("a release"))?;
        let reference = ReleaseRef::Id(release);
        let person = step.person;
        match &step.act {
            Act::Create => Ok(()),
            Act::Plan => {
                let other = tale.depends_on.map(|other| self.releases[other].ok_or_else(|| missing("a release")));
                let document = script::plan(&tale, nth, other.transpose()?);
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
                let document = script::confirmation(&tale);
                self.by(at, person, move |context| patch(context, reference, document.clone()))
            }
            Act::Extend => {
                let document = script::extension(&tale, &step);
                self.by(at, person, move |context| patch(context, reference, document.clone()))
            }
            Act::Board(cards) => {
                let cards = cards.clone();
                self.by(at, person, move |context| boards::put(context, reference, &cards))
            }
            Act::Finish(phase) => {
                let phase = *phase;
                self.by(at, person, move |context| boards::finish(context, reference, phase))
            }
            Act::Equip(carried) => self.equip(at, person, reference, (&tale, *carried)),
            Act::Vote => self.by(at, person, move |context| {
                let comment = Some("The plan is sound.".into());
                let vote = NewVote { decision: Decision::Approve, comment, group_id: None };
                approvals::cast_vote(context, reference, Ok(vote)).map(|_| ())
            }),
            Act::Answer => self.by(at, person, move |context| answers(context, reference)),
            Act::Move { .. } => self.transition(at, &tale, &step, reference),
        }
    }

    fn transition(&self, at: Timestamp, tale: &Tale, step: &Step, reference: ReleaseRef) -> Result<()> {
        let Some(command) = script::command(tale, step) else {
            return Ok(());
        };
        self.by(at, step.person, move |context| {
            let wanted =
                Wanted { action: Some(command.action), resolution: command.resolution, command: Ok(command.clone()) };
            transition(context, reference, &wanted).map(|_| ())
        })
    }

    fn linked(&self, tale: &Tale) -> Result<Vec<ChangeId>> {
        tale.changes.iter().map(|index| self.changes[*index].ok_or_else(|| missing("a change"))).collect()
    }
}

fn patch(context: &mut WriteContext<'_>, reference: ReleaseRef, document: Value) -> Result<()> {
    let patch = MergePatch { document, parse: read_as };
    releases::patch(context, reference, &patch).map(|_| ())
}

fn answers(context: &mut WriteContext<'_>, reference: ReleaseRef) -> Result<()> {
    for checklist in checklists::list(context, reference)? {
        for question in &checklist.row.questions.0 {
            let answer = Ok(script::answer(question));
            checklists::answer(context, reference, checklist.row.id, &question.key, answer)?;
        }
    }
    Ok(())
}

fn outcomes(context: &mut WriteContext<'_>, reference: ReleaseRef, outcome: ChangeOutcome) -> Result<()> {
    let note = script::outcome_note(outcome);
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
