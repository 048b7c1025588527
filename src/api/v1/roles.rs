//! `/releases/{release}/roles`: who is responsible, accountable, consulted and informed.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, ReleaseRoleId, Responsibility, StageKind, Timestamp, UserId};
use crate::repository::releases::ReleaseRef;
use crate::repository::roles::{ROLES_MAX, Role};
use crate::service::roles::{self, RoleFields};
use crate::service::{MergePatch, ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_release_roles)
        .service(add_release_role)
        .service(read_release_role)
        .service(update_release_role)
        .service(remove_release_role);
}

impl Checked for RoleFields {}

/// A role that somebody has in a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseRole {
    /// Identifier.
    pub id: ReleaseRoleId,
    /// What they have to do with the release.
    pub role: Responsibility,
    /// The phase that it is about; null for all phases.
    pub phase: Option<StageKind>,
    /// Their account, where they have one.
    pub user_id: Option<UserId>,
    /// Their name; that of the account, where there is one.
    pub name: String,
    /// Their e-mail address; that of the account, where there is one.
    pub email: String,
    /// Words that go with it.
    #[schema(max_length = 180)]
    pub text: Option<String>,
    /// Rises with every change of the role.
    pub row_version: i64,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<Role> for ReleaseRole {
    fn from(role: Role) -> Self {
        let Role { row, name, email } = role;
        Self {
            id: row.id,
            role: row.role,
            phase: row.phase,
            user_id: row.user_id,
            name,
            email,
            text: row.text,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(status: u16, role: Role) -> crate::service::Result<Reply> {
    let (release, row_version) = (role.row.release_id, role.row.row_version);
    Ok(Reply::json(status, &ReleaseRole::from(role))?.version(row_version).about(release))
}

/// List the roles in a release
///
/// All of them, in the order in which they were given; a release has at most 200.
#[utoipa::path(tag = "Roles", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseRole>)))]
#[get("/releases/{release}/roles")]
async fn list_release_roles(call: Call) -> Answer {
    let path = call.clone();
    let place = |item: &ReleaseRole| item.id.to_string();
    call.whole(place, false, move |context| all(context, path.id("release", "release")?)).await
}

/// All of them, as the list shows them.
pub(super) fn all(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Page<ReleaseRole>> {
    Ok(paging::whole(roles::list(context, release)?, ROLES_MAX))
}

/// Give somebody a role in a release
///
/// An account, which sees the release from then on, or somebody by name and e-mail address. While the release is active.
#[utoipa::path(tag = "Roles", params(("release" = String, Path,)), request_body = RoleFields, responses((status = 201, body = ReleaseRole)))]
#[post("/releases/{release}/roles")]
async fn add_release_role(call: Call, body: Body<Draft<RoleFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let role = roles::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/roles/{}", role.row.release_id, role.row.id);
        Ok(shown(201, role)?.at(location))
    })
    .await
}

/// Read a role in a release
///
/// With the name and the address of who has it.
#[utoipa::path(tag = "Roles", params(("release" = String, Path,), ("id" = ReleaseRoleId, Path,)), responses((status = 200, body = ReleaseRole)))]
#[get("/releases/{release}/roles/{id}")]
async fn read_release_role(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, roles::read(context, path.id("release", "release")?, path.id("id", "role")?)?)
    })
    .await
}

/// Change a role in a release
///
/// A JSON merge patch. To give it to an account, clear `name` and `email`. While the release is active.
#[utoipa::path(
    tag = "Roles",
    params(("release" = String, Path,), ("id" = ReleaseRoleId, Path,)),
    request_body(content = PatchOf<RoleFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseRole))
)]
#[patch("/releases/{release}/roles/{id}")]
async fn update_release_role(call: Call, body: Body<MergePatch<RoleFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        shown(200, roles::patch(context, path.id("release", "release")?, path.id("id", "role")?, patch)?)
    })
    .await
}

/// Take a role in a release away
///
/// Whoever saw the release by it alone sees it no more. While the release is active.
#[utoipa::path(tag = "Roles", params(("release" = String, Path,), ("id" = ReleaseRoleId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/roles/{id}")]
async fn remove_release_role(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        roles::remove(context, path.id("release", "release")?, path.id("id", "role")?)?;
        Ok(Reply::empty())
    })
    .await
}
