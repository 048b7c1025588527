//! `/releases/{release}/shares`: with whom a release is shared.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, GroupId, ReleaseShareId, ShareLevel, Timestamp, UserId};
use crate::repository::releases::ReleaseRef;
use crate::repository::shares::{SHARES_MAX, ShareRow};
use crate::service::shares::{self, NewShare, ShareFields};
use crate::service::{MergePatch, ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_shares).service(create_share).service(read_share).service(update_share).service(delete_share);
}

impl Checked for NewShare {
    const READ_ONLY: &'static [&'static str] = &["id", "shared_by", "row_version", "created_at", "updated_at"];
}

impl Checked for ShareFields {
    const READ_ONLY: &'static [&'static str] =
        &["id", "user_id", "group_id", "shared_by", "row_version", "created_at", "updated_at"];
}

/// A share of a release, with a user or with a group.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Share {
    /// Identifier.
    pub id: ReleaseShareId,
    /// The user that it is with.
    pub user_id: Option<UserId>,
    /// The group that it is with.
    pub group_id: Option<GroupId>,
    /// What it allows.
    pub level: ShareLevel,
    /// Who shared the release.
    pub shared_by: UserId,
    /// Rises with every change of the share.
    pub row_version: i64,
    /// When it was shared.
    pub created_at: Timestamp,
    /// When the share last changed.
    pub updated_at: Timestamp,
}

impl From<ShareRow> for Share {
    fn from(row: ShareRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            group_id: row.group_id,
            level: row.level,
            shared_by: row.shared_by,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(status: u16, row: ShareRow) -> crate::service::Result<Reply> {
    let (release, row_version) = (row.release_id, row.row_version);
    Ok(Reply::json(status, &Share::from(row))?.version(row_version).about(release))
}

/// List the shares of a release
///
/// All of them, in the order in which they were made; a release has at most 200.
#[utoipa::path(tag = "Shares", params(("release" = String, Path,)), responses((status = 200, body = Page<Share>)))]
#[get("/releases/{release}/shares")]
async fn list_shares(call: Call) -> Answer {
    let path = call.clone();
    let place = |item: &Share| item.id.to_string();
    call.whole(place, false, move |context| all(context, path.id("release", "release")?)).await
}

/// All of them, as the list shows them.
pub(super) fn all(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Page<Share>> {
    Ok(paging::whole(shares::list(context, release)?, SHARES_MAX))
}

/// Share a release
///
/// With a user or with a group, whatever the status of the release. `read`: they see it and comment on it; for this the
/// acting requester may share it as well. `execute`: they work on it like a member of its executor group who holds
/// `execute`; only somebody who holds that may share it so. A share does not let its holder share the release on.
#[utoipa::path(tag = "Shares", params(("release" = String, Path,)), request_body = NewShare, responses((status = 201, body = Share)))]
#[post("/releases/{release}/shares")]
async fn create_share(call: Call, body: Body<Draft<NewShare>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let row = shares::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/shares/{}", row.release_id, row.id);
        Ok(shown(201, row)?.at(location))
    })
    .await
}

/// Read a share of a release
///
/// With whom it is, and what it allows.
#[utoipa::path(tag = "Shares", params(("release" = String, Path,), ("id" = ReleaseShareId, Path,)), responses((status = 200, body = Share)))]
#[get("/releases/{release}/shares/{id}")]
async fn read_share(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, shares::read(context, path.id("release", "release")?, path.id("id", "share")?)?)
    })
    .await
}

/// Change what a share allows
///
/// Needs the right for the level of before and for the new one. Whatever the status of the release.
#[utoipa::path(
    tag = "Shares",
    params(("release" = String, Path,), ("id" = ReleaseShareId, Path,)),
    request_body(content = PatchOf<ShareFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = Share))
)]
#[patch("/releases/{release}/shares/{id}")]
async fn update_share(call: Call, body: Body<MergePatch<ShareFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        shown(200, shares::patch(context, path.id("release", "release")?, path.id("id", "share")?, patch)?)
    })
    .await
}

/// Take a share away
///
/// What it allowed ends at once. Whatever the status of the release.
#[utoipa::path(tag = "Shares", params(("release" = String, Path,), ("id" = ReleaseShareId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/shares/{id}")]
async fn delete_share(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        shares::remove(context, path.id("release", "release")?, path.id("id", "share")?)?;
        Ok(Reply::empty())
    })
    .await
}
