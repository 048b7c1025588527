//! Shares: with whom a release is shared besides those whom it concerns by itself.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::listing::{Select, SqlValue, columns};
use super::releases::{VisibilityRow, move_chain};
use super::schema::release_shares;
use crate::domain::policy::{Actor, Principal};
use crate::domain::values::{GroupId, ReleaseId, ReleaseShareId, ShareLevel, Timestamp, UserId};

/// A share of a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_shares, treat_none_as_default_value = false)]
pub struct ShareRow {
    /// Identifier.
    pub id: ReleaseShareId,
    /// The release.
    pub release_id: ReleaseId,
    /// The user that it is shared with; else it is a group.
    pub user_id: Option<UserId>,
    /// The group that it is shared with.
    pub group_id: Option<GroupId>,
    /// What it allows.
    pub level: ShareLevel,
    /// Who shared it.
    pub shared_by: UserId,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was shared.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl ShareRow {
    fn reason(&self) -> String {
        format!("share:{}", self.id)
    }
}

/// A release has at most so many shares; the list answers them all.
pub const SHARES_MAX: i64 = 200;

/// The shares of a release, oldest first.
pub fn shares_of(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<ShareRow>, Error> {
    Ok(release_shares::table
        .filter(release_shares::release_id.eq(release))
        .order(release_shares::id.asc())
        .load(connection)?)
}

/// Shares `s`, each with its group `g`.
pub(super) const WITH_GROUPS: &str = "release_shares s LEFT JOIN groups g ON g.id = s.group_id";

/// Goes on with the condition of the shares, [`WITH_GROUPS`], by which the actor may work on a release. A group that is
/// not active lets nobody work.
pub(super) fn to_execute<S>(select: Select<S>, connection: &AnyConnection, actor: &Actor) -> Select<S> {
    let groups: Vec<String> = actor.memberships.iter().map(|one| one.group_id.to_string()).collect();
    select
        .sql(" AND s.level = 'execute' AND (s.user_id = ")
        .bind(SqlValue::Text(actor.user_id.to_string()))
        .sql(" OR (g.active AND")
        .is_among(connection, "s.group_id", &groups)
        .sql("))")
}

/// True where the release is shared with the actor, or with a group of theirs, to work on it.
pub fn is_shared_to_execute(connection: &mut AnyConnection, release: ReleaseId, actor: &Actor) -> Result<bool, Error> {
    let select = Select::new(columns::<BigInt>("COUNT(*)")).sql(format!(" FROM {WITH_GROUPS} WHERE s.release_id = "));
    let select = to_execute(select.bind(SqlValue::Text(release.to_string())), connection, actor);
    let count: i64 = on_either!(connection, own => select.get_result(own))?;
    Ok(count > 0)
}

/// Stores a share; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, share: &ShareRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_shares::table).values(share).execute(connection)?;
    let principals = [share.user_id.map(Principal::User), share.group_id.map(Principal::Group)];
    for principal in principals.into_iter().flatten() {
        VisibilityRow::by_item(share.release_id, principal, share.reason()).give(connection)?;
    }
    move_chain(connection, share.release_id, stamp)
}

/// Stores a share of another level over the version before it; [`Error::Stale`] where that is not there.
pub fn update(connection: &mut AnyConnection, share: &ShareRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_shares, share.id, share.row_version - 1))
        .set((
            release_shares::level.eq(share.level),
            release_shares::row_version.eq(share.row_version),
            release_shares::updated_at.eq(share.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, share.release_id, stamp)
}

/// Removes a share of this version; [`Error::Stale`] where that is not there.
pub fn delete(connection: &mut AnyConnection, share: &ShareRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(release_shares, share.id, share.row_version)).execute(connection)?;
    one_row(hit)?;
    VisibilityRow::take(connection, share.release_id, &share.reason())?;
    move_chain(connection, share.release_id, stamp)
}
