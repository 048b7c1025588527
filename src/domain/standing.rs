//! Whether an actor holds the right that an action on this release needs (`domain.md` §3, "Who may do what").

use super::facts::Facts;
use super::policy::{Actor, Right};
use super::release::Release;
use super::values::Permission;
use super::workflow::{Responsible, Stage};

/// True where the actor may work on the release: by `execute` in its executor group or in a group that one of these
/// stages names, or because it is shared with them for that. The one rule for everything that work is done on: of the
/// release and its activities the stage is the current one, of a checklist its own.
pub fn may_execute<'s>(
    release: &Release,
    stages: impl IntoIterator<Item = &'s Stage>,
    shared_to_execute: bool,
    actor: &Actor,
) -> bool {
    executes(release, shared_to_execute, actor)
        || stages.into_iter().flat_map(Stage::named_groups).any(|group| actor.may(Permission::Execute, group))
}

/// True where the actor belongs to those who carry the release out, whatever stage it stands in.
fn executes(release: &Release, shared_to_execute: bool, actor: &Actor) -> bool {
    actor.may(Permission::Execute, release.executor_group_id) || shared_to_execute
}

/// True where the actor holds the right; a release manager stands in for the requester.
pub(super) fn holds(right: Right, release: &Release, stage: &Stage, facts: &Facts, actor: &Actor) -> bool {
    let in_group = |permission| actor.may(permission, release.executor_group_id);
    actor.manages_releases()
        || match right {
            Right::CreateAnywhere => actor.may_anywhere(Permission::Create),
            Right::StageResponsible => stage.responsible.iter().any(|one| is_responsible(one, release, facts, actor)),
            Right::Execute => may_execute(release, Some(stage), facts.shared_to_execute, actor),
            Right::Delegate => in_group(Permission::Delegate),
            Right::Suspend => in_group(Permission::Suspend),
            Right::Reactivate => in_group(Permission::Reactivate),
            Right::Cancel => in_group(Permission::Cancel),
            Right::Reopen => in_group(Permission::Reopen),
            Right::ActingRequester => release.is_requested_by(actor),
            Right::ReleaseManager => false,
        }
}

fn is_responsible(responsible: &Responsible, release: &Release, facts: &Facts, actor: &Actor) -> bool {
    match responsible {
        Responsible::Requester => release.is_requested_by(actor),
        Responsible::ExecutorGroup => executes(release, facts.shared_to_execute, actor),
        Responsible::Group { group_id } => actor.may(Permission::Execute, *group_id),
    }
}

/// True where the actor can act only in the requester's place, and must say so.
pub(super) fn needs_on_behalf_of(right: Right, release: &Release, stage: &Stage, facts: &Facts, actor: &Actor) -> bool {
    match right {
        Right::ActingRequester => !release.is_requested_by(actor),
        Right::StageResponsible => !stage.responsible.iter().any(|one| is_responsible(one, release, facts, actor)),
        _ => false,
    }
}

pub(super) fn missing_right(right: Right) -> String {
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
