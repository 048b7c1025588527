//! `/changes` and `/releases/{release}/changes`: working copies of changes, and their links.

use actix_web::{delete, get, patch, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use crate::api::reference::{self, PatchOf, Resource, ResourceOf, reference_resource};
use crate::api::schema::Checked;
use crate::api::v1::releases::Release;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{
    ChangeId, ChangeLinkId, ChangeOutcome, ChangeStatus, ConfigurationItemId, Draft, ItemLinkId, Level, ReleaseId,
    Status, Timestamp, Window,
};
use crate::repository::changes::{LINKS_MAX, Link, OutcomeRow};
use crate::repository::item_links::ItemLink;
use crate::repository::listing::{Condition, Rows, SqlValue};
use crate::repository::nouns::{Change, Noun, Record};
use crate::repository::releases::{self as release_rows, ReleaseRef};
use crate::service::changes::{LinkFields, Linked, NewLink};
use crate::service::release_input::ChangeToLink;
use crate::service::{MergePatch, ReadContext, Reply, Result, catalogue, changes, releases};

reference_resource!(
    Change,
    ChangeId,
    "Changes",
    "/changes",
    "/changes/{id}",
    list_changes,
    _,
    update_change,
    delete_change,
    create_change
);

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_changes)
        .service(create_change)
        .service(read_change)
        .service(list_change_releases)
        .service(update_change)
        .service(delete_change)
        .service(upsert_change)
        .service(list_release_changes)
        .service(link_change)
        .service(read_release_change)
        .service(update_release_change)
        .service(unlink_change);
}

/// What became of a change in a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangeOutcomeInRelease {
    /// The release.
    pub release_id: ReleaseId,
    /// Its key.
    #[schema(max_length = 100, example = "REL-1")]
    pub release_key: String,
    /// Its status.
    pub release_status: Status,
    /// What became of the change there.
    pub outcome: ChangeOutcome,
    /// Words that go with it.
    pub outcome_note: Option<String>,
}

impl From<OutcomeRow> for ChangeOutcomeInRelease {
    fn from(row: OutcomeRow) -> Self {
        Self {
            release_id: row.release_id,
            release_key: format!("REL-{}", row.number),
            release_status: row.status,
            outcome: row.outcome,
            outcome_note: row.outcome_note,
        }
    }
}

/// A change, with what became of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangeWithOutcomes {
    /// Identifier.
    pub id: ChangeId,
    /// The tool that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Title.
    pub title: String,
    /// Status there.
    pub status: ChangeStatus,
    /// The window that change management grants.
    pub window: Option<Window>,
    /// Risk.
    pub risk: Option<Level>,
    /// How it is taken back.
    pub rollback_plan: Option<String>,
    /// Where people read it.
    pub url: Option<String>,
    /// Monotonic revision in its own tool.
    pub source_revision: Option<i64>,
    /// The configuration items that it is about.
    #[schema(max_items = 200)]
    pub configuration_item_ids: Vec<ConfigurationItemId>,
    /// What became of it in each release that carries it and that the caller may see: the newest 200.
    #[schema(max_items = 200)]
    pub outcomes: Vec<ChangeOutcomeInRelease>,
    /// Rises with every change; the part of the ETag before the dot.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<(Record<Change>, Vec<OutcomeRow>)> for ChangeWithOutcomes {
    fn from((record, outcomes): (Record<Change>, Vec<OutcomeRow>)) -> Self {
        let Record { id, row_version, created_at, updated_at, content, .. } = record;
        Self {
            id,
            source: content.source,
            external_id: content.external_id,
            title: content.title,
            status: content.status,
            window: content.window.map(|json| json.0),
            risk: content.risk,
            rollback_plan: content.rollback_plan,
            url: content.url,
            source_revision: content.source_revision,
            configuration_item_ids: content.configuration_item_ids.0,
            outcomes: outcomes.into_iter().map(ChangeOutcomeInRelease::from).collect(),
            row_version,
            created_at,
            updated_at,
        }
    }
}

/// Read a change
///
/// With what became of it in the releases that carry it, as far as the caller may see these.
#[utoipa::path(tag = "Changes", params(("id" = ChangeId, Path,)), responses((status = 200, body = ChangeWithOutcomes)))]
#[get("/changes/{id}")]
async fn read_change(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        let id = path.id("id", Change::RECORD);
        context.authorise(Access::Read)?;
        let change = ChangeWithOutcomes::from(changes::read_with_outcomes(context, id?)?);
        Ok(Reply::json(200, &change)?.version(change.row_version))
    })
    .await
}

/// List the releases of a change
///
/// Those that carry it and that the caller may see, as `GET /releases?change=` lists them.
#[utoipa::path(tag = "Changes", params(("id" = ChangeId, Path,)), responses((status = 200, body = Page<Release>)))]
#[get("/changes/{id}/releases")]
async fn list_change_releases(call: Call) -> Answer {
    let path = call.clone();
    call.list(&release_rows::LIST, &["change"], move |context, mut query| {
        context.authorise(Access::Read)?;
        let change = catalogue::read::<Change>(context, path.id("id", Change::RECORD)?)?;
        let filter = release_rows::LIST.filters.iter().position(|filter| filter.name == "change").unwrap_or_default();
        query.conditions.push(Condition { filter, values: vec![SqlValue::Text(change.id.to_string())] });
        let (shown, more, total) = releases::list(context, &query)?;
        let rows = Rows { rows: shown, more, total };
        paging::reply(&path, &release_rows::LIST, &query, rows, Release::from, |shown, sort| {
            (release_rows::sort_value(&shown.release, sort), shown.release.id.to_string())
        })
    })
    .await
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
    /// Monotonic revision in its own tool; an older one is refused, and the same one with other content.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub source_revision: Option<i64>,
    /// The configuration items that it is about. Linking the change to a release brings them along.
    #[serde(default)]
    #[schema(max_items = 200)]
    pub configuration_item_ids: Vec<ConfigurationItemId>,
}

impl Checked for ChangeContent {}

/// Create or replace the working copy of a change
///
/// Addressed by the tool that owns it and its key there. The same content again changes nothing: 200, and no new
/// version. An older `source_revision` is refused, and the stored one with other content. `If-Match` is honoured where
/// it is sent; a change that is not there yet is at version 0.
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
        reference::upserted::<Change, _>(context, &path, "/changes", draft.clone())
    })
    .await
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
    /// What became of its configuration items, where it was just linked; else null.
    pub configuration_items_linked: Option<LinkedItems>,
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
            configuration_items_linked: None,
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
        "configuration_items_linked",
    ];
}

/// A configuration item that a change brought along.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LinkedItem {
    /// Identifier of the link; null in a dry run.
    pub id: Option<ItemLinkId>,
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
}

/// The configuration items of a change that was just linked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LinkedItems {
    /// Those that were linked because of it.
    #[schema(max_items = 200)]
    pub linked: Vec<LinkedItem>,
    /// Those that were linked already.
    #[schema(max_items = 200)]
    pub already_linked: Vec<ConfigurationItemId>,
    /// Those that there was no room for: a release has at most 500.
    #[schema(max_items = 200)]
    pub over_limit: Vec<ConfigurationItemId>,
}

impl From<&Linked> for LinkedItems {
    fn from(linked: &Linked) -> Self {
        let item = |link: &ItemLink| LinkedItem {
            id: Some(link.row.id),
            configuration_item_id: link.row.configuration_item_id,
        };
        Self {
            linked: linked.items.iter().map(item).collect(),
            already_linked: linked.brought.already_linked.clone(),
            over_limit: linked.brought.over_limit.clone(),
        }
    }
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
/// The change must be neither `registered` nor `cancelled`, and not pending in another release under way, unless the
/// workflow shares changes. The configuration items that it is about are linked with it. Locked after authorization.
#[utoipa::path(tag = "Changes", params(("release" = String, Path,)), request_body = ChangeToLink, responses((status = 201, body = ReleaseChange)))]
#[post("/releases/{release}/changes")]
async fn link_change(call: Call, body: Body<Draft<ChangeToLink>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let release: ReleaseRef = path.id("release", "release")?;
        let draft = draft.clone().map(|link| NewLink { change_id: link.change_id });
        let linked = changes::add_link(context, release, draft)?;
        let items = LinkedItems::from(&linked);
        let row = linked.link.row.clone();
        let shown = ReleaseChange { configuration_items_linked: Some(items), ..ReleaseChange::from(linked.link) };
        let location = format!("{BASE}/releases/{}/changes/{}", row.release_id, row.id);
        Ok(Reply::json(201, &shown)?.version(row.row_version).about(row.release_id).at(location))
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
/// Locked after authorization. The configuration items that came with it stay linked, and are then told as covered by no
/// change; those that are not meant are unlinked for themselves.
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
