//! A decided change of a release. Its fields are private, and only the decision makes one: no other code can
//! change a status.

use super::facts::Facts;
use super::input::takes_resolution;
use super::lifecycle::Command;
use super::policy::Actor;
use super::release::Release;
use super::values::{Action, Resolution, StageKind, Status, Timestamp};
use super::workflow::Workflow;
use super::worktime;

/// A decided change of a release. Only [`decide`](super::lifecycle::decide) makes one.
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

/// Carries the command out on a copy of the release. Nothing is in the way any more.
pub(super) fn apply(
    release: &Release,
    workflow: &Workflow,
    command: &Command,
    facts: &Facts,
    actor: &Actor,
) -> Transition {
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
            after.deadline = deadline_going_on(release, facts);
            after.suspended_at = None;
        }
        Action::Cancel => {
            after.status = Status::Cancelled;
            after.status_before_suspension = None;
            // The clock that stood still is read at the end: what was left then is left there.
            after.deadline = deadline_going_on(release, facts);
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

/// The deadline where the clock of a suspended release goes on: the first instant at which the working time that was
/// left when it stopped has passed since now; now itself where nothing was left.
fn deadline_going_on(release: &Release, facts: &Facts) -> Option<Timestamp> {
    let (Some(deadline), Some(suspended_at)) = (release.deadline, release.suspended_at) else {
        return release.deadline;
    };
    let worktime = facts.worktime.as_deref();
    let left = worktime::between(worktime, suspended_at, deadline);
    Some(worktime::after(worktime, facts.now, left))
}

fn resolve(after: &mut Release, command: &Command) {
    after.resolution = command.resolution;
    after.release_date = command.release_date;
    after.solution_category_id = command.solution_category_id;
    after.closure_notes.clone_from(&command.closure_notes);
}
