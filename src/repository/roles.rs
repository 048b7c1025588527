//! Roles in releases: who is responsible, accountable, consulted and informed.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::{Error, one_row};
use super::journal::Journal;
use super::releases::{VisibilityRow, move_chain};
use super::schema::{release_roles, users};
use crate::domain::policy::Principal;
use crate::domain::values::{ReleaseId, ReleaseRoleId, Responsibility, StageKind, Timestamp, UserId};

/// A role that somebody has in a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_roles, treat_none_as_default_value = false)]
pub struct RoleRow {
    /// Identifier.
    pub id: ReleaseRoleId,
    /// The release.
    pub release_id: ReleaseId,
    /// What they have to do with it.
    pub role: Responsibility,
    /// The phase that it is about; all of them where it is none.
    pub phase: Option<StageKind>,
    /// Their account, where they have one.
    pub user_id: Option<UserId>,
    /// Their name, where they have no account.
    pub name: Option<String>,
    /// Their address, where they have no account.
    pub email: Option<String>,
    /// Words that go with it.
    pub text: Option<String>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl RoleRow {
    /// What the role lets its holder see, where they have an account.
    fn sight(&self) -> Option<VisibilityRow> {
        let principal = Principal::User(self.user_id?);
        Some(VisibilityRow::by_item(self.release_id, principal, self.reason()))
    }

    fn reason(&self) -> String {
        format!("role:{}", self.id)
    }
}

/// A release has at most so many roles; the list answers them all.
pub const ROLES_MAX: i64 = 200;

/// A role with who has it, by name.
#[derive(Debug, Clone)]
pub struct Role {
    /// The role.
    pub row: RoleRow,
    /// Name of who has it.
    pub name: String,
    /// Address of who has it.
    pub email: String,
}

/// The roles of a release, oldest first.
pub fn roles_of(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<Role>, Error> {
    type Row = (RoleRow, Option<String>, Option<String>);
    let rows: Vec<Row> = release_roles::table
        .left_join(users::table)
        .filter(release_roles::release_id.eq(release))
        .order(release_roles::id.asc())
        .select((release_roles::all_columns, users::name.nullable(), users::email.nullable()))
        .load(connection)?;
    let with_name = |(row, name, email): Row| {
        let name = name.or_else(|| row.name.clone()).unwrap_or_default();
        let email = email.or_else(|| row.email.clone()).unwrap_or_default();
        Role { row, name, email }
    };
    Ok(rows.into_iter().map(with_name).collect())
}

/// Stores a role; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, role: &RoleRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_roles::table).values(role).execute(connection)?;
    if let Some(sight) = role.sight() {
        sight.give(connection)?;
    }
    move_chain(connection, role.release_id, stamp)
}

/// Stores roles of a release that is just being made, whose chain moves with the release itself.
pub fn insert_first(journal: &mut Journal, roles: &[RoleRow], _stamp: &Stamp) {
    for role in roles {
        journal.role(role.clone());
        if let Some(sight) = role.sight() {
            journal.visibility(sight);
        }
    }
}

/// Stores a changed role over the version before it; [`Error::Stale`] where that is not there.
pub fn update(connection: &mut AnyConnection, role: &RoleRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_roles, role.id, role.row_version - 1))
        .set((
            release_roles::role.eq(role.role),
            release_roles::phase.eq(role.phase),
            release_roles::user_id.eq(role.user_id),
            release_roles::name.eq(&role.name),
            release_roles::email.eq(&role.email),
            release_roles::text.eq(&role.text),
            release_roles::row_version.eq(role.row_version),
            release_roles::updated_at.eq(role.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    VisibilityRow::take(connection, role.release_id, &role.reason())?;
    if let Some(sight) = role.sight() {
        sight.give(connection)?;
    }
    move_chain(connection, role.release_id, stamp)
}

/// Removes a role of this version; [`Error::Stale`] where that is not there.
pub fn delete(connection: &mut AnyConnection, role: &RoleRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(release_roles, role.id, role.row_version)).execute(connection)?;
    one_row(hit)?;
    VisibilityRow::take(connection, role.release_id, &role.reason())?;
    move_chain(connection, role.release_id, stamp)
}
