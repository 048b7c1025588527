//! The boards of seeded releases: which cards there are, and when they are done.

use chrono::TimeDelta;
use rand::Rng;
use rand::rngs::StdRng;

use super::cast::MODELS;
use super::tale::{Act, Step, Tale};
use crate::domain::values::*;
use crate::repository::listing::ListQuery;
use crate::repository::releases::ReleaseRef;
use crate::service::activity_input::{ChecklistItemFields, Move, NewActivity, NewComment, TimeEntryFields};
use crate::service::{Result, WriteContext, activities, activity_notes};

/// A card to be put on a board.
#[derive(Debug, Clone)]
pub struct Card {
    pub phase: ActivityPhase,
    pub title: &'static str,
    pub kind: ActivityKind,
    pub minutes: i64,
    pub checklist: &'static [&'static str],
    /// True where it depends on the card before it.
    pub follows: bool,
}

type Plan = (&'static str, ActivityKind, i64, &'static [&'static str]);

/// What prepares a release.
const PLANNING: &[Plan] = &[
    ("Agree on the window with the business", ActivityKind::Communication, 60, &["Shops", "Contact centre"]),
    ("Write the runbook", ActivityKind::Task, 180, &["Steps", "Checks", "The way back"]),
    ("Rehearse the way back", ActivityKind::Rollback, 120, &[]),
    ("Tell the service desk", ActivityKind::Communication, 30, &[]),
    ("Train the first line", ActivityKind::Training, 90, &["Early shift", "Late shift"]),
];

/// What carries it out.
const DEPLOYMENT: &[Plan] = &[
    ("Take a backup", ActivityKind::Task, 30, &["It can be restored"]),
    ("Install on the first node", ActivityKind::Rollout, 45, &[]),
    ("Look at the health checks", ActivityKind::Validation, 20, &["Errors", "Latency"]),
    ("Install on the other nodes", ActivityKind::Rollout, 90, &[]),
    ("Run the smoke tests", ActivityKind::Test, 40, &[]),
];

/// The last cards are due so many hours behind the window that they belong to.
const GRACE_HOURS: i64 = 2;

fn cards(rng: &mut StdRng, phase: ActivityPhase, plans: &[Plan]) -> Vec<Card> {
    let count = rng.random_range(1..=plans.len());
    let linked = rng.random_bool(0.5);
    let card = |(index, (title, kind, minutes, checklist)): (usize, &Plan)| Card {
        phase,
        title,
        kind: *kind,
        minutes: *minutes,
        checklist,
        follows: linked && index > 0,
    };
    plans.iter().take(count).enumerate().map(card).collect()
}

/// Gives the releases boards: the first of the team who takes one over puts the cards on them, and they are finished
/// before the stage is left that asks for it.
pub fn furnish(rng: &mut StdRng, tales: &mut [Tale]) {
    for tale in tales {
        let taken = tale.steps.iter().position(|step| is(step, Action::Capture, None));
        let Some(taken) = taken.filter(|_| rng.random_bool(0.8)) else { continue };
        // A stage that was left before anybody took the release over asks for nothing any more.
        let planned = tale.steps[..taken].iter().all(|step| !is(step, Action::Advance, None));
        let planned = planned && MODELS[tale.model].workflow != "emergency";
        let planned = planned && tale.steps[taken..].iter().any(|step| matches!(step.act, Act::Plan));
        let mut all = if planned { cards(rng, ActivityPhase::Planning, PLANNING) } else { Vec::new() };
        all.extend(cards(rng, ActivityPhase::Deployment, DEPLOYMENT));
        let steps = std::mem::take(&mut tale.steps);
        for (index, step) in steps.into_iter().enumerate() {
            for (stage, phase) in [("planning", ActivityPhase::Planning), ("deployment", ActivityPhase::Deployment)] {
                if index > taken && is(&step, Action::Advance, Some(stage)) {
                    tale.steps.push(Step { act: Act::Finish(phase), ..step.clone() });
                }
            }
            let board = (index == taken).then(|| Step { act: Act::Board(all.clone()), ..step.clone() });
            tale.steps.push(step);
            tale.steps.extend(board);
        }
    }
}

fn is(step: &Step, action: Action, stage: Option<&str>) -> bool {
    matches!(&step.act, Act::Move { command, .. } if command.action == action
        && stage.is_none_or(|stage| command.from_stage.as_deref() == Some(stage)))
}

/// Puts the cards on the boards, for whoever does it.
pub fn put(context: &mut WriteContext<'_>, reference: ReleaseRef, cards: &[Card]) -> Result<()> {
    let release = crate::service::releases::visible(context, reference)?;
    let mut last: Option<ActivityId> = None;
    for card in cards {
        let window = match card.phase {
            ActivityPhase::Planning => release.planning_window,
            ActivityPhase::Deployment => release.deployment_window,
        };
        let checklist = card.checklist.iter();
        let new = NewActivity {
            phase: card.phase,
            depends_on: last.filter(|_| card.follows).into_iter().collect(),
            title: card.title.into(),
            description: None,
            kind: card.kind,
            assignee_id: Some(context.actor.user_id),
            group_id: Some(release.executor_group_id),
            technical_guidelines: None,
            scheduled_start: window.map(|window| window.start),
            due_at: window.map(|window| window.end.plus(TimeDelta::hours(GRACE_HOURS))),
            estimated_minutes: Some(card.minutes),
            checklist: checklist
                .map(|text| ChecklistItemFields { id: None, text: (*text).into(), done: false })
                .collect(),
            tags: Vec::new(),
        };
        last = Some(activities::create(context, reference, Ok(new))?.row.id);
        // What was appended is found by the next one, which comes behind it and may depend on it.
        let (connection, journal) = context.ends();
        journal.write(connection)?;
    }
    Ok(())
}

/// Finishes what is open on a board, with the time that it took.
pub fn finish(context: &mut WriteContext<'_>, reference: ReleaseRef, phase: ActivityPhase) -> Result<()> {
    let query = ListQuery {
        conditions: Vec::new(),
        sort: 0,
        descending: false,
        after: None,
        limit: 200,
        count: false,
        path: String::new(),
    };
    let rows = activities::list(context, reference, query)?.rows;
    let open = rows.into_iter().map(|shown| shown.row).filter(|row| row.phase == phase && !row.status.is_finished());
    for (index, row) in open.enumerate() {
        let minutes = row.estimated_minutes.unwrap_or(30);
        let entry = TimeEntryFields { minutes, started_at: None, note: None };
        activity_notes::add_time_entry(context, reference, row.id, Ok(entry))?;
        if index == 0 {
            let comment = NewComment { body: "Went as planned.".into() };
            activity_notes::add_comment(context, reference, row.id, Ok(comment))?;
        }
        let to = Move { status: ActivityStatus::Done, after_id: None };
        activities::move_to(context, reference, row.id, Ok(to))?;
    }
    Ok(())
}
