//! `/users`, `/groups`, `/units`, `/contracts`: the directory, written by administrators.

use actix_web::{delete, get, patch, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use crate::api::reference::{self, PatchOf, Resource, ResourceOf, reference_resource};
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{ContractId, Draft, GroupId, Timestamp, UnitId, UserId};
use crate::error::Problem;
use crate::repository::directory::{MEMBERS_MAX, Member};
use crate::repository::nouns::{Contract, Group, Noun, Unit, User};
use crate::service::identity::{hash_password_apart, password_is};
use crate::service::{self, MergePatch, Reply, catalogue, groups, users};

reference_resource!(
    User,
    UserId,
    "Directory",
    "/users",
    "/users/{id}",
    list_users,
    read_user,
    update_user,
    delete_user,
    create_user
);
reference_resource!(
    Group,
    GroupId,
    "Directory",
    "/groups",
    "/groups/{id}",
    list_groups,
    read_group,
    update_group,
    delete_group,
    create_group
);
reference_resource!(
    Unit,
    UnitId,
    "Directory",
    "/units",
    "/units/{id}",
    list_units,
    read_unit,
    update_unit,
    delete_unit,
    create_unit
);
reference_resource!(
    Contract,
    ContractId,
    "Directory",
    "/contracts",
    "/contracts/{id}",
    list_contracts,
    read_contract,
    update_contract,
    delete_contract,
    create_contract
);

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_users)
        .service(create_user)
        .service(read_user)
        .service(update_user)
        .service(delete_user)
        .service(set_password)
        .service(list_groups)
        .service(create_group)
        .service(read_group)
        .service(update_group)
        .service(delete_group)
        .service(list_members)
        .service(add_member)
        .service(remove_member)
        .service(list_units)
        .service(create_unit)
        .service(read_unit)
        .service(update_unit)
        .service(delete_unit)
        .service(list_contracts)
        .service(create_contract)
        .service(read_contract)
        .service(update_contract)
        .service(delete_contract);
}

/// A new password.
#[derive(Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "a long and memorable phrase"}))]
pub struct NewPassword {
    /// The new password.
    #[schema(min_length = 12, max_length = 256, format = Password)]
    pub password: String,
    /// The present password; needed to change one's own.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    #[serde(default)]
    pub current_password: Option<String>,
}

impl Checked for NewPassword {}

/// Set a user's password
///
/// An administrator sets anybody's; everybody changes their own with the present one. The user's other sessions end.
#[utoipa::path(tag = "Directory", params(("id" = UserId, Path,)), request_body = NewPassword, responses((status = 204)))]
#[post("/users/{id}/password")]
async fn set_password(call: Call, body: Body<Draft<NewPassword>>) -> Answer {
    let (draft, _) = match body.into_parts() {
        Ok(parts) => parts,
        Err(problem) => return Err(call.refuse(problem).await),
    };
    let path = call.clone();
    let (env, request, place) = match call.clone().unbound().await {
        Ok(parts) => parts,
        Err(problem) => return Err(call.refuse(problem).await),
    };
    // Hashing is slow and happens apart, between a look at the account and the write.
    let look = {
        let path = path.clone();
        move |context: &mut service::ReadContext<'_>| {
            let user = path.id("id", "user")?;
            users::own_password_hash(context, user)
        }
    };
    let stored = env.read(request.clone(), look).await.map_err(Problem::from)?;
    let new = draft.map_err(|faults| Problem::from(service::Error::Invalid(faults)))?;
    let verified = match (stored, new.current_password) {
        (Some(hash), Some(current)) => password_is(current, hash.clone()).await.map_err(Problem::from)?.then_some(hash),
        _ => None,
    };
    let hash = hash_password_apart(new.password).await.map_err(Problem::from)?;
    // The write takes a place of its own.
    drop(place);
    call.without_key()
        .write(&[], Body::given(()), move |context, ()| {
            let user = path.id("id", "user")?;
            users::set_password(context, user, &hash, verified.as_deref())?;
            Ok(Reply::empty())
        })
        .await
}

/// A user to be added to a group.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}))]
pub struct NewMember {
    /// The user.
    pub user_id: UserId,
}

impl Checked for NewMember {}

/// A member of a group.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GroupMember {
    /// The user.
    pub user_id: UserId,
    /// Login name.
    pub username: String,
    /// Name for people.
    pub name: String,
    /// False where the account is disabled.
    pub active: bool,
    /// Since when they belong to the group.
    pub since: Timestamp,
    /// Always 1: a membership never changes, it ends.
    pub row_version: i64,
}

impl From<Member> for GroupMember {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user_id,
            username: member.username,
            name: member.name,
            active: member.active,
            since: member.since,
            row_version: 1,
        }
    }
}

/// List the members of a group
///
/// All of them, by login name; a group has at most 1000.
#[utoipa::path(tag = "Directory", params(("id" = GroupId, Path,)), responses((status = 200, body = Page<GroupMember>)))]
#[get("/groups/{id}/members")]
async fn list_members(call: Call) -> Answer {
    let path = call.clone();
    call.whole(
        |member: &GroupMember| member.username.clone(),
        false,
        move |context| {
            context.authorise(Access::Read)?;
            Ok(paging::whole(groups::members(context, path.id("id", "group")?)?, MEMBERS_MAX))
        },
    )
    .await
}

/// Add a member to a group
///
/// The user holds the group's permissions from now on, and sees its releases.
#[utoipa::path(tag = "Directory", params(("id" = GroupId, Path,)), request_body = NewMember, responses((status = 201, body = GroupMember)))]
#[post("/groups/{id}/members")]
async fn add_member(call: Call, body: Body<Draft<NewMember>>) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, draft| {
        let group: GroupId = path.id("id", "group")?;
        let user = draft.clone().map(|member| member.user_id).map_err(service::Error::Invalid);
        let member = groups::add_member(context, group, user)?;
        let location = format!("{BASE}/groups/{group}/members/{}", member.user_id);
        Ok(Reply::json(201, &GroupMember::from(member))?.version(1).at(location))
    })
    .await
}

/// Remove a member from a group
///
/// Refused while unfinished releases of the group are assigned to the user.
#[utoipa::path(tag = "Directory", params(("id" = GroupId, Path,), ("user_id" = UserId, Path,)), responses((status = 204)))]
#[delete("/groups/{id}/members/{user_id}")]
async fn remove_member(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        groups::remove_member(context, path.id("id", "group")?, path.id("user_id", "member")?)?;
        Ok(Reply::empty())
    })
    .await
}
