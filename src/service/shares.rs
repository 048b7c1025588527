//! Shares: somebody whom a release does not concern by itself sees it, or works on it as well.
//!
//! A share gives no more than who shares it holds: to let somebody work on a release needs `execute` in its executor
//! group. Who works on it by a share does not share it on, so what is taken away is gone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{forbidden, record_part, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::nouns::{Group, User};
use crate::repository::releases::ReleaseRef;
use crate::repository::shares::{self, SHARES_MAX, ShareRow};

/// With whom a release is to be shared, a user or a group, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "level": "read"}))]
pub struct NewShare {
    /// The user.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// The group: everybody in it.
    #[serde(default)]
    pub group_id: Option<GroupId>,
    /// What it allows.
    pub level: ShareLevel,
}

/// What may be changed of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"level": "execute"}))]
pub struct ShareFields {
    /// What it allows.
    pub level: ShareLevel,
}

/// The shares of a visible release, oldest first.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Vec<ShareRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    Ok(shares::shares_of(context.connection, release.id)?)
}

/// One share of a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ReleaseShareId) -> Result<ShareRow> {
    list(context, reference)?.into_iter().find(|share| share.id == id).ok_or(Error::NotFound("share"))
}

/// The permit of somebody who may give and take shares of these levels.
fn may_share(context: &WriteContext<'_>, release: &Release, levels: &[ShareLevel]) -> Result<Permit> {
    let permit = context.authorise(Access::Releases)?;
    let executes = context.actor.may(Permission::Execute, release.executor_group_id);
    let only_reads = levels.iter().all(|level| *level == ShareLevel::Read);
    if executes || only_reads && release.is_requested_by(&context.actor) {
        return Ok(permit);
    }
    Err(forbidden(Permission::Execute))
}

/// Shares a release, whatever its status.
pub fn add(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewShare>) -> Result<ShareRow> {
    let release = visible_locked(context, reference)?;
    let level = draft.as_ref().map_or(ShareLevel::Read, |new| new.level);
    let permit = may_share(context, &release, &[level])?;
    let new = draft.map_err(Error::Invalid)?;
    let others = shares::shares_of(context.connection, release.id)?;
    let recipient = (new.user_id, new.group_id);
    if others.iter().any(|other| (other.user_id, other.group_id) == recipient) {
        return Err(Error::conflict("ALREADY_EXISTS", "The release is shared with them already; change that share."));
    }
    if i64::try_from(others.len()).is_ok_and(|count| count >= SHARES_MAX) {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {SHARES_MAX} shares.")));
    }
    Error::unless_none(recipient_faults(context, &new)?)?;
    let row = ShareRow {
        id: ReleaseShareId::new(context.env.new_id(context.now)),
        release_id: release.id,
        user_id: new.user_id,
        group_id: new.group_id,
        level: new.level,
        shared_by: context.actor.user_id,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    };
    let after = document(&row);
    let stamp = record_part(context, permit, &release, subject(&row), "release.add_share", (None, Some(&after)))?;
    shares::insert(context.connection, &row, &stamp)?;
    Ok(row)
}

fn recipient_faults(context: &mut WriteContext<'_>, new: &NewShare) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    if new.user_id.is_none() && new.group_id.is_none() {
        faults.push(Fault::at("/user_id", "RECIPIENT_REQUIRED", "A user or a group is needed."));
    }
    if new.user_id.is_some() && new.group_id.is_some() {
        faults.push(Fault::at("/group_id", "NOT_APPLICABLE", "A share is with a user or with a group, not with both."));
    }
    if let Some(id) = new.user_id {
        if id == context.actor.user_id {
            faults.push(Fault::at("/user_id", "SHARED_WITH_ONESELF", "You cannot share a release with yourself."));
        }
        match context.reference::<User>(id)? {
            None => faults.push(Fault::unknown("/user_id", "user")),
            Some(user) if !user.content.active => {
                faults.push(Fault::at("/user_id", "USER_DISABLED", "The user's account is disabled."));
            }
            Some(_) => {}
        }
    }
    if let Some(id) = new.group_id {
        match context.reference::<Group>(id)? {
            None => faults.push(Fault::unknown("/group_id", "group")),
            Some(group) if !group.content.active => {
                faults.push(Fault::at("/group_id", "GROUP_NOT_ACTIVE", "The group is not active."));
            }
            Some(_) => {}
        }
    }
    Ok(faults)
}

/// Changes what a share allows.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ReleaseShareId,
    patch: &MergePatch<ShareFields>,
) -> Result<ShareRow> {
    let release = visible_locked(context, reference)?;
    let mut share = own(context, &release, id)?;
    let wanted = patch.document.get("level").and_then(Value::as_str).and_then(|level| level.parse().ok());
    let permit = may_share(context, &release, &[share.level, wanted.unwrap_or(share.level)])?;
    context.request.if_match.demand(share.row_version)?;
    let fields = patch.apply(json!({"level": share.level})).map_err(Error::Invalid)?;
    if fields.level == share.level {
        return Ok(share);
    }
    let before = document(&share);
    share.level = fields.level;
    share.row_version += 1;
    share.updated_at = context.now;
    let after = document(&share);
    let states = (Some(&before), Some(&after));
    let stamp = record_part(context, permit, &release, subject(&share), "release.update_share", states)?;
    shares::update(context.connection, &share, &stamp)?;
    Ok(share)
}

/// Takes a share away, with everything that it allowed.
pub fn remove(context: &mut WriteContext<'_>, reference: ReleaseRef, id: ReleaseShareId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let share = own(context, &release, id)?;
    let permit = may_share(context, &release, &[share.level])?;
    context.request.if_match.demand(share.row_version)?;
    let before = document(&share);
    let states = (Some(&before), None);
    let stamp = record_part(context, permit, &release, subject(&share), "release.remove_share", states)?;
    Ok(shares::delete(context.connection, &share, &stamp)?)
}

/// The state of a share that history compares.
fn document(row: &ShareRow) -> Value {
    json!({"user_id": row.user_id, "group_id": row.group_id, "level": row.level})
}

fn subject(row: &ShareRow) -> (&'static str, String) {
    ("share", row.id.to_string())
}

fn own(context: &mut WriteContext<'_>, release: &Release, id: ReleaseShareId) -> Result<ShareRow> {
    let all = shares::shares_of(context.connection, release.id)?;
    all.into_iter().find(|share| share.id == id).ok_or(Error::NotFound("share"))
}
