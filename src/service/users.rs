//! What users have besides their record: passwords, and themselves.

use serde_json::json;

use super::{Error, ReadContext, Recorded, Result, WriteContext, identity};
use crate::domain::policy::{Access, Via};
use crate::domain::values::{Fault, GroupId, UserId};
use crate::mutants::mutant;
use crate::repository::directory;
use crate::repository::nouns::{Group, Noun, Record, User};

/// A user's record, and the groups that they belong to.
pub type Me = (Record<User>, Vec<(GroupId, Group)>);

/// The caller's record and groups.
pub fn me(context: &mut ReadContext<'_>) -> Result<Me> {
    let id = identity::me(context)?;
    let user = User::find(context.connection, id)?.ok_or(Error::NotFound("user"))?;
    let groups = directory::groups_of(context.connection, id)?;
    Ok((user, groups))
}

/// What is needed to judge a change of password: the stored hash where it is the caller's own.
pub fn own_password_hash(context: &mut ReadContext<'_>, user: UserId) -> Result<Option<String>> {
    User::find(context.connection, user)?.ok_or(Error::NotFound("user"))?;
    if context.actor.user_id != user {
        context.authorise(Access::Directory)?;
        return Ok(None);
    }
    context.authorise(Access::Own)?;
    Ok(directory::password_hash(context.connection, user)?)
}

/// Sets a user's password and ends their other sessions. `verified` is the hash that the caller's present password
/// was found to match; only an administrator may do without, and only for somebody else.
pub fn set_password(context: &mut WriteContext<'_>, user: UserId, hash: &str, verified: Option<&str>) -> Result<()> {
    let record = User::lock(context.connection, user)?.ok_or(Error::NotFound("user"))?;
    let own = context.actor.user_id == user && context.actor.via != Via::Console;
    let permit = context.authorise(if own { Access::Own } else { Access::Directory })?;
    // What was verified must still hold: of two changes from the same password one is too late.
    let stored = directory::password_hash(context.connection, user)?;
    let still = stored.as_deref() == verified || mutant("stale_password_accepted");
    if own && (verified.is_none() || !still) {
        return Err(Error::Invalid(vec![Fault::at(
            "/current_password",
            "WRONG_PASSWORD",
            "This is not the present password.",
        )]));
    }
    let after = json!({"password": "changed"});
    let stamp = context.record(
        permit,
        &record.chain,
        Recorded {
            record_type: User::RECORD,
            record_id: user.to_string(),
            subject: None,
            action: "user.set_password".into(),
            before: None,
            after: Some(&after),
            published: false,
        },
    )?;
    let now = context.now;
    directory::set_password(context.connection, user, hash, now, &stamp)?;
    let kept = match context.actor.via {
        Via::Session(id) if own => Some(id),
        _ => None,
    };
    identity::end_sessions(context, user, kept)
}

/// The user with the login name.
pub fn by_name(context: &mut ReadContext<'_>, username: &str) -> Result<UserId> {
    context.authorise(Access::Read)?;
    let account = directory::account(context.connection, username)?;
    account.map(|(id, ..)| id).ok_or(Error::NotFound("user"))
}
