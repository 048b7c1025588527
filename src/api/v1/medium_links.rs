//! `/releases/{release}/definitive-media`: the definitive media that a release uses.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, MediumId, MediumKind, MediumLinkId, MediumStatus, Timestamp};
use crate::repository::definitive_media::{LINKS_MAX, Link};
use crate::repository::releases::ReleaseRef;
use crate::service::medium_links::{self, MediumLinkFields, MediumToLink};
use crate::service::{MergePatch, ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_release_media)
        .service(link_medium)
        .service(read_release_medium)
        .service(update_release_medium)
        .service(unlink_medium);
}

const LINK: &str = "definitive medium of the release";

impl Checked for MediumToLink {}

impl Checked for MediumLinkFields {
    const READ_ONLY: &'static [&'static str] =
        &["id", "medium_id", "name", "version", "kind", "status", "sha256", "row_version", "created_at", "updated_at"];
}

/// A definitive medium that a release uses.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseMedium {
    /// Identifier of the link.
    pub id: MediumLinkId,
    /// The medium.
    pub medium_id: MediumId,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is.
    pub kind: MediumKind,
    /// Its status.
    pub status: MediumStatus,
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// What for.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// Rises with every change of the link.
    pub row_version: i64,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When the link last changed.
    pub updated_at: Timestamp,
}

impl From<Link> for ReleaseMedium {
    fn from(link: Link) -> Self {
        let Link { row, name, version, kind, status, sha256 } = link;
        Self {
            id: row.id,
            medium_id: row.medium_id,
            name,
            version,
            kind,
            status,
            sha256,
            description: row.description,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(status: u16, link: Link) -> Result<Reply> {
    let (release, row_version) = (link.row.release_id, link.row.row_version);
    Ok(Reply::json(status, &ReleaseMedium::from(link))?.version(row_version).about(release))
}

/// List the definitive media of a release
///
/// All of them, in the order in which they were linked; a release uses at most 200.
#[utoipa::path(tag = "Library", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseMedium>)))]
#[get("/releases/{release}/definitive-media")]
async fn list_release_media(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| paging::shown(&path, &all(context, path.id("release", "release")?)?)).await
}

/// All of them, as the list shows them.
pub(super) fn all(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Page<ReleaseMedium>> {
    Ok(paging::whole(medium_links::list(context, release)?, LINKS_MAX))
}

/// Link a definitive medium to a release
///
/// The medium must not be retired, and where it has a licence for so many, one must be left, or be the release's already
/// because one of its configuration items names the medium. Locked after authorization; votes are reset.
#[utoipa::path(tag = "Library", params(("release" = String, Path,)), request_body = MediumToLink, responses((status = 201, body = ReleaseMedium)))]
#[post("/releases/{release}/definitive-media")]
async fn link_medium(call: Call, body: Body<Draft<MediumToLink>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let link = medium_links::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/definitive-media/{}", link.row.release_id, link.row.id);
        Ok(shown(201, link)?.at(location))
    })
    .await
}

/// Read a definitive medium of a release
///
/// The link, with what people want to know of its medium.
#[utoipa::path(tag = "Library", params(("release" = String, Path,), ("id" = MediumLinkId, Path,)), responses((status = 200, body = ReleaseMedium)))]
#[get("/releases/{release}/definitive-media/{id}")]
async fn read_release_medium(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, medium_links::read(context, path.id("release", "release")?, path.id("id", LINK)?)?)
    })
    .await
}

/// Update the link of a definitive medium
///
/// What the release uses it for.
#[utoipa::path(
    tag = "Library",
    params(("release" = String, Path,), ("id" = MediumLinkId, Path,)),
    request_body(content = PatchOf<MediumLinkFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseMedium))
)]
#[patch("/releases/{release}/definitive-media/{id}")]
async fn update_release_medium(call: Call, body: Body<MergePatch<MediumLinkFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        shown(200, medium_links::patch(context, path.id("release", "release")?, path.id("id", LINK)?, patch)?)
    })
    .await
}

/// Unlink a definitive medium from a release
///
/// Locked after authorization; votes are reset.
#[utoipa::path(tag = "Library", params(("release" = String, Path,), ("id" = MediumLinkId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/definitive-media/{id}")]
async fn unlink_medium(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        medium_links::remove(context, path.id("release", "release")?, path.id("id", LINK)?)?;
        Ok(Reply::empty())
    })
    .await
}
