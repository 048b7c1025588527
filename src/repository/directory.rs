//! What the directory keeps besides its nouns: members of groups, and passwords.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::Error;
use super::nouns::Group;
use super::schema::{group_members, groups, passwords, users};
use crate::domain::values::{GlobalRole, GroupId, Timestamp, UserId};
use crate::mutants::mutant;

/// A member of a group.
#[derive(Debug, Clone, Queryable)]
pub struct Member {
    /// The user.
    pub user_id: UserId,
    /// Login name.
    pub username: String,
    /// Name for people.
    pub name: String,
    /// Whether the account is active.
    pub active: bool,
    /// Since when they belong to the group.
    pub since: Timestamp,
}

/// A group has at most so many members; the list answers them all.
pub const MEMBERS_MAX: i64 = 1000;

/// The members of a group, by login name.
pub fn members(connection: &mut AnyConnection, group: GroupId) -> Result<Vec<Member>, Error> {
    Ok(group_members::table
        .inner_join(users::table)
        .filter(group_members::group_id.eq(group))
        .order(users::username.asc())
        .limit(MEMBERS_MAX)
        .select((users::id, users::username, users::name, users::active, group_members::since))
        .load(connection)?)
}

/// How many members the group has.
pub fn member_count(connection: &mut AnyConnection, group: GroupId) -> Result<i64, Error> {
    Ok(group_members::table.filter(group_members::group_id.eq(group)).count().get_result(connection)?)
}

/// True where the user belongs to the group.
pub fn is_member(connection: &mut AnyConnection, group: GroupId, user: UserId) -> Result<bool, Error> {
    let found: Option<UserId> =
        group_members::table.find((group, user)).select(group_members::user_id).first(connection).optional()?;
    Ok(found.is_some())
}

/// The groups that the user belongs to.
pub fn groups_of(connection: &mut AnyConnection, user: UserId) -> Result<Vec<(GroupId, Group)>, Error> {
    Ok(group_members::table
        .inner_join(groups::table)
        .filter(group_members::user_id.eq(user))
        .order(groups::name.asc())
        .select((groups::id, (groups::name, groups::description, groups::active, groups::permissions)))
        .load(connection)?)
}

fn touch(connection: &mut AnyConnection, group: GroupId, stamp: &Stamp) -> Result<(), Error> {
    diesel::update(groups::table.find(group))
        .set((groups::audit_seq.eq(stamp.head().length), groups::audit_head.eq(&stamp.head().hash)))
        .execute(connection)?;
    Ok(())
}

/// Adds a member.
pub fn add_member(
    connection: &mut AnyConnection,
    group: GroupId,
    user: UserId,
    since: Timestamp,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::insert_into(group_members::table)
        .values((group_members::group_id.eq(group), group_members::user_id.eq(user), group_members::since.eq(since)))
        .execute(connection)?;
    touch(connection, group, stamp)
}

/// Removes a member.
pub fn remove_member(connection: &mut AnyConnection, group: GroupId, user: UserId, stamp: &Stamp) -> Result<(), Error> {
    diesel::delete(group_members::table.find((group, user))).execute(connection)?;
    touch(connection, group, stamp)
}

/// The user's account as logging in needs it: identifier, whether active, hash of the password.
pub fn account(
    connection: &mut AnyConnection,
    username: &str,
) -> Result<Option<(UserId, bool, Option<String>)>, Error> {
    Ok(users::table
        .left_join(passwords::table)
        .filter(users::username.eq(username))
        .select((users::id, users::active, passwords::hash.nullable()))
        .first(connection)
        .optional()?)
}

/// The hash of the user's password.
pub fn password_hash(connection: &mut AnyConnection, user: UserId) -> Result<Option<String>, Error> {
    Ok(passwords::table.find(user).select(passwords::hash).first(connection).optional()?)
}

/// Sets the user's password; the stamp goes to the user's chain.
pub fn set_password(
    connection: &mut AnyConnection,
    user: UserId,
    hash: &str,
    now: Timestamp,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::delete(passwords::table.find(user)).execute(connection)?;
    diesel::insert_into(passwords::table)
        .values((passwords::user_id.eq(user), passwords::hash.eq(hash), passwords::changed_at.eq(now)))
        .execute(connection)?;
    diesel::update(users::table.find(user))
        .set((users::audit_seq.eq(stamp.head().length), users::audit_head.eq(&stamp.head().hash)))
        .execute(connection)?;
    Ok(())
}

/// How many active users hold the global role, besides the given one.
pub fn others_with_role(connection: &mut AnyConnection, role: GlobalRole, but: UserId) -> Result<i64, Error> {
    let holders = users::table
        .filter(users::global_role.eq(role))
        .filter(users::active.eq(true))
        .order(users::id.asc())
        .select(users::id);
    // Locked until the transaction ends: of two who give the role up at once, one sees the other.
    let holders: Vec<UserId> = match connection {
        AnyConnection::Sqlite(sqlite) => holders.load(sqlite)?,
        AnyConnection::Postgres(postgres) if mutant("last_admin_unlocked") => holders.load(postgres)?,
        AnyConnection::Postgres(postgres) => holders.for_no_key_update().load(postgres)?,
    };
    Ok(i64::try_from(holders.iter().filter(|id| **id != but).count()).unwrap_or(i64::MAX))
}

/// True where the user belongs to the group; nobody else's transaction can rely on it until this one ends.
pub fn lock_membership(connection: &mut AnyConnection, group: GroupId, user: UserId) -> Result<bool, Error> {
    let membership = group_members::table.find((group, user)).select(group_members::user_id);
    let found: Option<UserId> = match connection {
        AnyConnection::Sqlite(sqlite) => membership.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => membership.for_update().first(postgres).optional()?,
    };
    Ok(found.is_some())
}

/// True where the user belongs to the group, and will until the transaction ends.
pub fn hold_membership(connection: &mut AnyConnection, group: GroupId, user: UserId) -> Result<bool, Error> {
    let membership = group_members::table.find((group, user)).select(group_members::user_id);
    let found: Option<UserId> = match connection {
        AnyConnection::Sqlite(sqlite) => membership.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) if mutant("membership_unheld") => membership.first(postgres).optional()?,
        AnyConnection::Postgres(postgres) => membership.for_share().first(postgres).optional()?,
    };
    Ok(found.is_some())
}

/// True where an active member of the group may execute there.
pub fn can_execute(connection: &mut AnyConnection, group: GroupId) -> Result<bool, Error> {
    let member: Option<UserId> = group_members::table
        .inner_join(users::table)
        .inner_join(groups::table)
        .filter(group_members::group_id.eq(group))
        .filter(users::active.eq(true))
        .filter(groups::permissions.like("%\"execute\"%"))
        .select(users::id)
        .first(connection)
        .optional()?;
    Ok(member.is_some())
}
