//! `/changes` and `/releases/{release}/changes`: working copies of changes, and their links.

use actix_web::{delete, get, patch, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::reference::{self, PatchOf, Resource, ResourceOf, reference_resource};
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{
    ChangeId, ChangeLinkId, ChangeOutcome, ChangeStatus, Draft, Fault, Level, Timestamp, Window,
};
use crate::repository::changes::{LINKS_MAX, Link};
use crate::repository::nouns::{Change, Noun};
use crate::repository::releases::ReleaseRef;
use crate::service::changes::{LinkFields, NewLink};
use crate::service::release_input::ChangeToLink;
use crate::service::{Error, MergePatch, ReadContext, Reply, Result, catalogue, changes};

reference_resource!(
    Change,
    ChangeId,
    "Changes",
    "/changes",
    "/changes/{id}",
    list_changes,
    read_change,
    update_change,
    delete_change,
    create_change
);

/// Registers the operations.
pub fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_changes)
        .service(create_change)
        .service(read_change)
        .service(update_change)
        .service(delete_change)
        .service(upsert_change)
        .service(list_release_changes)
        .service(link_change)
        .service(read_release_change)
        .service(update_release_change)
        .service(unlink_change);
}

/// A change without its key, which the path names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Payments 4.2", "status": "authorised", "source_revision": 7}))]
pub struct ChangeContent {
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    /// Status there.
    pub status: ChangeStatus,
    /// The window that change management grants.
    #[serde(default)]
    pub window: Option<Window>,
    /// Risk.
    #[serde(default)]
    pub risk: Option<Level>,
    /// How it is taken back.
    #[schema(max_length = 65000)]
    #[serde(default)]
    pub rollback_plan: Option<String>,
    /// Where people read it.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub url: Option<String>,
    /// Monotonic revision in its own tool; an older one is refused.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub source_revision: Option<i64>,
}

impl Checked for ChangeContent {}

/// Create or replace the working copy of a change
///
/// Addressed by the tool that owns it and its key there. The same content again changes nothing: 200, and no new
/// version. An older `source_revision` is refused.
#[utoipa::path(
    tag = "Changes",
    params(("source" = String, Path, max_length = 50), ("external_id" = String, Path, max_length = 100)),
    request_body = ChangeContent,
    responses((status = 200, body = ResourceOf<Change>), (status = 201, body = ResourceOf<Change>))
)]
#[put("/changes/by-key/{source}/{external_id}")]
async fn upsert_change(call: Call, body: Body<Draft<ChangeContent>>) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, draft| {
        let (source, external_id) = (path.segment("source"), path.segment("external_id"));
        let mut faults = Vec::new();
        for (name, value, max) in [("source", &source, 50), ("external_id", &external_id, 100)] {
            // The router puts U+FFFD in place of what is no UTF-8.
            let odd = value.contains(['\0', char::REPLACEMENT_CHARACTER]);
            if value.trim().is_empty() || value.chars().count() > max || odd {
                faults.push(Fault::parameter(
                    name,
                    "INVALID_PARAMETER",
                    format!("This has 1 to {max} characters of UTF-8, none of them NUL."),
                ));
            }
        }
        if !faults.is_empty() {
            return Err(Error::Malformed(faults));
        }
        let draft = draft.clone().and_then(|content| with_key(&content, &source, &external_id));
        let (record, new) = changes::upsert(context, &source, &external_id, draft)?;
        let location = format!("{BASE}/changes/{}", record.id);
        let reply = reference::shown(if new { 201 } else { 200 }, record)?;
        Ok(if new { reply.at(location) } else { reply })
    })
    .await
}

/// The whole change: what holds of a created one holds of an upserted one too.
fn with_key(content: &ChangeContent, source: &str, external_id: &str) -> Draft<Change> {
    let mut whole = serde_json::to_value(content).unwrap_or_default();
    whole["source"] = source.into();
    whole["external_id"] = external_id.into();
    crate::api::schema::check_whole(whole)
}

/// A change that is linked to a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseChange {
    /// Identifier of the link.
    pub id: ChangeLinkId,
    /// The change.
    pub change_id: ChangeId,
    /// The tool that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Its title.
    pub title: String,
    /// Its status there.
    pub status: ChangeStatus,
    /// The window that change management grants.
    pub window: Option<Window>,
    /// What became of it in this release.
    pub outcome: ChangeOutcome,
    /// Words that go with the outcome.
    pub outcome_note: Option<String>,
    /// Rises with every change of the link.
    pub row_version: i64,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When the link last changed.
    pub updated_at: Timestamp,
}

impl From<Link> for ReleaseChange {
    fn from(link: Link) -> Self {
        Self {
            id: link.row.id,
            change_id: link.row.change_id,
            source: link.source,
            external_id: link.external_id,
            title: link.title,
            status: link.status,
            window: link.window,
            outcome: link.row.outcome,
            outcome_note: link.row.outcome_note,
            row_version: link.row.row_version,
            created_at: link.row.created_at,
            updated_at: link.row.updated_at,
        }
    }
}

impl Checked for ChangeToLink {}

/// What became of a linked change.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"outcome": "deployed"}))]
pub struct ReleaseChangeFields {
    /// The outcome.
    pub outcome: ChangeOutcome,
    /// Words that go with it.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub outcome_note: Option<String>,
}

impl Checked for ReleaseChangeFields {
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "change_id",
        "source",
        "external_id",
        "title",
        "status",
        "window",
        "row_version",
        "created_at",
        "updated_at",
    ];
}

fn link_shown(status: u16, link: Link) -> crate::service::Result<Reply> {
    let (release, row_version) = (link.row.release_id, link.row.row_version);
    Ok(Reply::json(status, &ReleaseChange::from(link))?.version(row_version).about(release))
}

/// List the changes of a release
///
/// All of them, in the order in which they were linked; a release has at most 200.
#[utoipa::path(tag = "Changes", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseChange>)))]
#[get("/releases/{release}/changes")]
async fn list_release_changes(call: Call) -> Answer {
    let path = call.clone();
    let place = |item: &ReleaseChange| item.id.to_string();
    call.whole(place, false, move |context| all(context, path.id("release", "release")?)).await
}

/// All of them, as the list shows them.
pub(super) fn all(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Page<ReleaseChange>> {
    Ok(paging::whole(changes::links(context, release)?, LINKS_MAX))
}

/// Link a change to a release
///
/// The change must be neither `registered` nor `cancelled`. Locked after authorization.
#[utoipa::path(tag = "Changes", params(("release" = String, Path,)), request_body = ChangeToLink, responses((status = 201, body = ReleaseChange)))]
#[post("/releases/{release}/changes")]
async fn link_change(call: Call, body: Body<Draft<ChangeToLink>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let release: ReleaseRef = path.id("release", "release")?;
        let draft = draft.clone().map(|link| NewLink { change_id: link.change_id });
        let link = changes::add_link(context, release, draft)?;
        let location = format!("{BASE}/releases/{}/changes/{}", link.row.release_id, link.row.id);
        Ok(link_shown(201, link)?.at(location))
    })
    .await
}

/// Read a linked change
///
/// The link, with what people want to know of its change.
#[utoipa::path(tag = "Changes", params(("release" = String, Path,), ("id" = ChangeLinkId, Path,)), responses((status = 200, body = ReleaseChange)))]
#[get("/releases/{release}/changes/{id}")]
async fn read_release_change(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let link = changes::link(context, path.id("release", "release")?, path.id("id", "change link")?)?;
        link_shown(200, link)
    })
    .await
}

/// Record the outcome of a linked change
///
/// At any stage of an active release.
#[utoipa::path(
    tag = "Changes",
    params(("release" = String, Path,), ("id" = ChangeLinkId, Path,)),
    request_body(content = PatchOf<ReleaseChangeFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseChange))
)]
#[patch("/releases/{release}/changes/{id}")]
async fn update_release_change(call: Call, body: Body<MergePatch<ReleaseChangeFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        let patch = MergePatch { document: patch.document.clone(), parse: link_fields };
        let link = changes::patch_link(context, path.id("release", "release")?, path.id("id", "change link")?, &patch)?;
        link_shown(200, link)
    })
    .await
}

fn link_fields(value: serde_json::Value) -> Draft<LinkFields> {
    crate::api::schema::check_whole::<ReleaseChangeFields>(value)
        .map(|fields| LinkFields { outcome: fields.outcome, outcome_note: fields.outcome_note })
}

/// Unlink a change from a release
///
/// Locked after authorization.
#[utoipa::path(tag = "Changes", params(("release" = String, Path,), ("id" = ChangeLinkId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/changes/{id}")]
async fn unlink_change(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        changes::remove_link(context, path.id("release", "release")?, path.id("id", "change link")?)?;
        Ok(Reply::empty())
    })
    .await
}
