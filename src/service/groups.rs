//! Members of groups.

use serde_json::json;

use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::values::{Fault, GroupId, UserId};
use crate::repository::directory::{self, MEMBERS_MAX, Member};
use crate::repository::nouns::{Group, Noun, User};
use crate::repository::plan_by_values;

/// The members of a group.
pub fn members(context: &mut ReadContext<'_>, group: GroupId) -> Result<Vec<Member>> {
    context.authorise(Access::Read)?;
    Group::find(context.connection, group)?.ok_or(Error::NotFound("group"))?;
    Ok(directory::members(context.connection, group)?)
}

/// Adds a member; the whole list is the answer.
pub fn add_member(context: &mut WriteContext<'_>, group: GroupId, user: Result<UserId>) -> Result<Member> {
    let record = Group::lock(context.connection, group)?.ok_or(Error::NotFound("group"))?;
    let permit = context.authorise(Access::Directory)?;
    let user_id = user?;
    let Some(user) = User::find(context.connection, user_id)? else {
        return Err(Error::Invalid(vec![Fault::unknown("/user_id", "user")]));
    };
    if directory::is_member(context.connection, group, user_id)? {
        return Err(Error::conflict("ALREADY_EXISTS", "The user belongs to the group already."));
    }
    if directory::member_count(context.connection, group)? >= MEMBERS_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A group has at most {MEMBERS_MAX} members.")));
    }
    let after = json!({"user_id": user_id, "username": user.content.username});
    let stamp = context.record(
        permit,
        &record.chain,
        Recorded {
            record_type: Group::RECORD,
            record_id: group.to_string(),
            subject: Some(("user", user_id.to_string())),
            action: "group.add_member".into(),
            before: None,
            after: Some(&after),
            published: true,
        },
    )?;
    let now = context.now;
    directory::add_member(context.connection, group, user_id, now, &stamp)?;
    Ok(Member {
        user_id,
        username: user.content.username,
        name: user.content.name,
        active: user.content.active,
        since: now,
    })
}

/// Removes a member. Releases assigned to them in this group must be handed over first.
pub fn remove_member(context: &mut WriteContext<'_>, group: GroupId, user: UserId) -> Result<()> {
    let record = Group::lock(context.connection, group)?.ok_or(Error::NotFound("group"))?;
    if !directory::lock_membership(context.connection, group, user)? {
        return Err(Error::NotFound("member"));
    }
    let permit = context.authorise(Access::Directory)?;
    // A membership never changes, so its version is always the first.
    context.request.if_match.demand(1)?;
    plan_by_values(context.connection)?;
    let assigned = crate::repository::releases::assigned_in_group(context.connection, group, user)?;
    if assigned > 0 {
        return Err(Error::conflict(
            "IN_USE",
            format!("{assigned} unfinished releases of the group are assigned to the user. Delegate them first."),
        ));
    }
    let before = json!({"user_id": user});
    let stamp = context.record(
        permit,
        &record.chain,
        Recorded {
            record_type: Group::RECORD,
            record_id: group.to_string(),
            subject: Some(("user", user.to_string())),
            action: "group.remove_member".into(),
            before: Some(&before),
            after: None,
            published: true,
        },
    )?;
    Ok(directory::remove_member(context.connection, group, user, &stamp)?)
}
