//! `/releases/{release}/references`: what other tools hold about a release.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, ReferenceKind, ReleaseReferenceId, Timestamp};
use crate::repository::listing::{ListQuery, SqlValue};
use crate::repository::references::{LIST, ReferenceRow};
use crate::repository::releases::ReleaseRef;
use crate::service::references::{self, NewReference, ReferenceFields};
use crate::service::{MergePatch, ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_references)
        .service(create_reference)
        .service(read_reference)
        .service(update_reference)
        .service(delete_reference);
}

impl Checked for NewReference {}

impl Checked for ReferenceFields {
    const READ_ONLY: &'static [&'static str] =
        &["id", "kind", "source", "external_id", "row_version", "created_at", "updated_at"];
}

/// A reference of a release to what another tool holds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Reference {
    /// Identifier.
    pub id: ReleaseReferenceId,
    /// Kind.
    pub kind: ReferenceKind,
    /// The tool that holds it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Title.
    pub title: String,
    /// Where people read it.
    pub url: Option<String>,
    /// Its status, in the words of its tool.
    #[schema(max_length = 50, example = "ordered")]
    pub status: Option<String>,
    /// True where it is over there. While a purchase is not finished, the release does not leave deployment.
    pub finished: bool,
    /// Rises with every change of the reference.
    pub row_version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the reference last changed.
    pub updated_at: Timestamp,
}

impl From<ReferenceRow> for Reference {
    fn from(row: ReferenceRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            source: row.source,
            external_id: row.external_id,
            title: row.title,
            url: row.url,
            status: row.status,
            finished: row.finished,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(status: u16, row: ReferenceRow) -> crate::service::Result<Reply> {
    let (release, row_version) = (row.release_id, row.row_version);
    Ok(Reply::json(status, &Reference::from(row))?.version(row_version).about(release))
}

/// List the references of a release
///
/// In the order in which they were added; a release has at most 1000.
#[utoipa::path(tag = "References", params(("release" = String, Path,)), responses((status = 200, body = Page<Reference>)))]
#[get("/releases/{release}/references")]
async fn list_references(call: Call) -> Answer {
    let path = call.clone();
    call.list(&LIST, &["release_id"], move |context, query| {
        paging::shown(&path, &page(context, path.id("release", "release")?, &query)?)
    })
    .await
}

/// A page of them, as the list shows it.
pub(super) fn page(context: &mut ReadContext<'_>, release: ReleaseRef, query: &ListQuery) -> Result<Page<Reference>> {
    let rows = references::list(context, release, query.clone())?;
    Ok(paging::page(&LIST, query, rows, Reference::from, |row, _| {
        (SqlValue::Instant(row.created_at), row.id.to_string())
    }))
}

/// Add a reference to a release
///
/// To a problem, an incident, a ticket, a purchase and the like, by the tool that holds it and its key there. While the
/// release is active. Somebody with the global role `integration` may as well.
#[utoipa::path(tag = "References", params(("release" = String, Path,)), request_body = NewReference, responses((status = 201, body = Reference)))]
#[post("/releases/{release}/references")]
async fn create_reference(call: Call, body: Body<Draft<NewReference>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let row = references::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/references/{}", row.release_id, row.id);
        Ok(shown(201, row)?.at(location))
    })
    .await
}

/// Read a reference of a release
///
/// With how it stands in its own tool, as far as that was told.
#[utoipa::path(tag = "References", params(("release" = String, Path,), ("id" = ReleaseReferenceId, Path,)), responses((status = 200, body = Reference)))]
#[get("/releases/{release}/references/{id}")]
async fn read_reference(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, references::read(context, path.id("release", "release")?, path.id("id", "reference")?)?)
    })
    .await
}

/// Change a reference of a release
///
/// `status` and `finished` whatever the status of the release; the rest while it is active. Kind, tool and key never
/// change.
#[utoipa::path(
    tag = "References",
    params(("release" = String, Path,), ("id" = ReleaseReferenceId, Path,)),
    request_body(content = PatchOf<ReferenceFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = Reference))
)]
#[patch("/releases/{release}/references/{id}")]
async fn update_reference(call: Call, body: Body<MergePatch<ReferenceFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        shown(200, references::patch(context, path.id("release", "release")?, path.id("id", "reference")?, patch)?)
    })
    .await
}

/// Remove a reference of a release
///
/// While the release is active.
#[utoipa::path(tag = "References", params(("release" = String, Path,), ("id" = ReleaseReferenceId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/references/{id}")]
async fn delete_reference(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        references::remove(context, path.id("release", "release")?, path.id("id", "reference")?)?;
        Ok(Reply::empty())
    })
    .await
}
