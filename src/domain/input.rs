//! What is wrong with the input of a command.

use super::facts::{Blocker, Class, Facts};
use super::lifecycle::{Command, Rule, rule};
use super::policy::Actor;
use super::release::Release;
use super::standing::needs_on_behalf_of;
use super::values::{Action, Resolution, StageKind};
use super::workflow::{Stage, Workflow};

/// What is wrong with the input of the command.
pub(super) fn input_blockers(
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
    on_behalf_of_blockers((rule, release, stage), command, facts, actor, &mut blockers);
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
    (rule, release, stage): (&Rule, &Release, &Stage),
    command: &Command,
    facts: &Facts,
    actor: &Actor,
    blockers: &mut Vec<Blocker>,
) {
    match &command.on_behalf_of {
        None if actor.manages_releases() && needs_on_behalf_of(rule.right, release, stage, facts, actor) => {
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
pub(super) fn takes_resolution(action: Action, workflow: &Workflow, stage: &Stage) -> bool {
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
