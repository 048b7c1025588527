//! Roles in releases: who is responsible, accountable, consulted and informed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{active, may_execute, record_part, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::contents::not_blank;
use crate::repository::nouns::User;
use crate::repository::releases::ReleaseRef;
use crate::repository::roles::{self, ROLES_MAX, Role, RoleRow};

/// A role in a release, of an account (`user_id`) or of somebody else (`name` and `email`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "consulted", "phase": "deployment", "name": "Rui Lima", "email": "rui@example.org", "text": "Knows the card terminals"}))]
pub struct RoleFields {
    /// What they have to do with the release.
    pub role: Responsibility,
    /// The phase that it is about; without one the role is for all phases.
    #[serde(default)]
    pub phase: Option<StageKind>,
    /// Their account: they see the release.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Their name, where they have no account.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub name: Option<String>,
    /// Their e-mail address, where they have no account.
    #[schema(min_length = 3, max_length = 254)]
    #[validate(email(code = "INVALID_EMAIL", message = "This is not an e-mail address."))]
    #[serde(default)]
    pub email: Option<String>,
    /// Words that go with it.
    #[schema(min_length = 1, max_length = 180)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub text: Option<String>,
}

impl RoleFields {
    fn of(row: &RoleRow) -> Self {
        Self {
            role: row.role,
            phase: row.phase,
            user_id: row.user_id,
            name: row.name.clone(),
            email: row.email.clone(),
            text: row.text.clone(),
        }
    }

    /// True where both are the same role of the same person in the same phase.
    fn same_as(&self, other: &Self) -> bool {
        let person = |one: &Self| (one.user_id, one.email.as_deref().map(str::to_lowercase));
        (self.role, self.phase) == (other.role, other.phase) && person(self) == person(other)
    }
}

/// The roles of a visible release, oldest first.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Vec<Role>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    Ok(roles::roles_of(context.connection, release.id)?)
}

/// One role in a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ReleaseRoleId) -> Result<Role> {
    list(context, reference)?.into_iter().find(|role| role.row.id == id).ok_or(Error::NotFound("role"))
}

/// Name and address.
type Person = (String, String);

/// What is wrong with who has the role, and their account where they have one. `known` is who has it already.
fn person(
    context: &mut WriteContext<'_>,
    fields: &RoleFields,
    known: Option<UserId>,
    at: &str,
) -> Result<(Vec<Fault>, Option<Person>)> {
    let mut faults = Vec::new();
    let given = [("name", fields.name.is_some()), ("email", fields.email.is_some())];
    let Some(id) = fields.user_id else {
        let missing = given.iter().filter(|(_, given)| !given);
        faults.extend(missing.map(|(field, _)| {
            Fault::at(format!("{at}/{field}"), "REQUIRED", "Somebody without an account is named, with an address.")
        }));
        return Ok((faults, fields.name.clone().zip(fields.email.clone())));
    };
    let named = given.iter().filter(|(_, given)| *given);
    faults.extend(named.map(|(field, _)| {
        Fault::at(format!("{at}/{field}"), "NOT_APPLICABLE", "This comes from the account, where there is one.")
    }));
    let user = context.reference::<User>(id)?;
    match &user {
        None => faults.push(Fault::unknown(format!("{at}/user_id"), "user")),
        Some(user) if !user.content.active && known != Some(id) => {
            faults.push(Fault::at(format!("{at}/user_id"), "USER_DISABLED", "The user's account is disabled."));
        }
        Some(_) => {}
    }
    Ok((faults, user.map(|user| (user.content.name.clone(), user.content.email.clone()))))
}

/// What is wrong with the roles that a new release comes with.
pub(super) fn first_faults(context: &mut WriteContext<'_>, given: &[RoleFields]) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (index, fields) in given.iter().enumerate() {
        let at = format!("/roles/{index}");
        faults.extend(person(context, fields, None, &at)?.0);
        if given[..index].iter().any(|other| other.same_as(fields)) {
            faults.push(Fault::at(at, "REPEATED", "They have this role in this phase already."));
        }
    }
    Ok(faults)
}

/// A fresh role, not stored yet.
pub(super) fn fresh(context: &WriteContext<'_>, release: ReleaseId, fields: RoleFields) -> RoleRow {
    RoleRow {
        id: ReleaseRoleId::new(context.env.new_id(context.now)),
        release_id: release,
        role: fields.role,
        phase: fields.phase,
        user_id: fields.user_id,
        name: fields.name,
        email: fields.email,
        text: fields.text,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    }
}

/// The state of a role that history compares.
pub(super) fn document(row: &RoleRow) -> Value {
    json!({
        "role": row.role, "phase": row.phase, "user_id": row.user_id, "name": row.name, "email": row.email,
        "text": row.text,
    })
}

fn unless_repeated(others: &[Role], id: Option<ReleaseRoleId>, fields: &RoleFields) -> Result<()> {
    let others = others.iter().filter(|other| Some(other.row.id) != id);
    if others.map(|other| RoleFields::of(&other.row)).any(|other| other.same_as(fields)) {
        return Err(Error::conflict("ALREADY_EXISTS", "They have this role in this phase already."));
    }
    Ok(())
}

/// Gives somebody a role in a release.
pub fn add(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<RoleFields>) -> Result<Role> {
    let release = visible_locked(context, reference)?;
    let permit = may_execute(context, &release)?;
    active(context, &release)?;
    let fields = draft.map_err(Error::Invalid)?;
    let others = roles::roles_of(context.connection, release.id)?;
    unless_repeated(&others, None, &fields)?;
    if i64::try_from(others.len()).is_ok_and(|count| count >= ROLES_MAX) {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {ROLES_MAX} roles.")));
    }
    let (faults, named) = person(context, &fields, None, "")?;
    Error::unless_none(faults)?;
    let row = fresh(context, release.id, fields);
    let after = document(&row);
    let stamp = record_part(context, permit, &release, subject(&row), "release.add_role", (None, Some(&after)))?;
    roles::insert(context.connection, &row, &stamp)?;
    Ok(shown(row, named))
}

/// Changes a role, or who has it.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ReleaseRoleId,
    patch: &MergePatch<RoleFields>,
) -> Result<Role> {
    let release = visible_locked(context, reference)?;
    let (mut role, others) = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(role.row.row_version)?;
    active(context, &release)?;
    let current = super::catalogue::document(&RoleFields::of(&role.row))?;
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    unless_repeated(&others, Some(id), &fields)?;
    let (faults, named) = person(context, &fields, role.row.user_id, "")?;
    Error::unless_none(faults)?;
    let before = document(&role.row);
    let kept = (role.row.id, role.row.row_version, role.row.created_at);
    let fresh = fresh(context, release.id, fields);
    let after = document(&fresh);
    if before == after {
        return Ok(role);
    }
    role.row = RoleRow { id: kept.0, row_version: kept.1 + 1, created_at: kept.2, ..fresh };
    let states = (Some(&before), Some(&after));
    let stamp = record_part(context, permit, &release, subject(&role.row), "release.update_role", states)?;
    roles::update(context.connection, &role.row, &stamp)?;
    Ok(shown(role.row, named))
}

/// Takes a role away.
pub fn remove(context: &mut WriteContext<'_>, reference: ReleaseRef, id: ReleaseRoleId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let (role, _) = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(role.row.row_version)?;
    active(context, &release)?;
    let before = document(&role.row);
    let states = (Some(&before), None);
    let stamp = record_part(context, permit, &release, subject(&role.row), "release.remove_role", states)?;
    Ok(roles::delete(context.connection, &role.row, &stamp)?)
}

fn subject(row: &RoleRow) -> (&'static str, String) {
    ("role", row.id.to_string())
}

fn shown(row: RoleRow, named: Option<(String, String)>) -> Role {
    let (name, email) = named.unwrap_or_default();
    Role { row, name, email }
}

/// A role of the release, and all of its roles.
fn own(context: &mut WriteContext<'_>, release: &Release, id: ReleaseRoleId) -> Result<(Role, Vec<Role>)> {
    let all = roles::roles_of(context.connection, release.id)?;
    let role = all.iter().find(|role| role.row.id == id).cloned();
    Ok((role.ok_or(Error::NotFound("role"))?, all))
}
