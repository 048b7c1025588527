//! `/releases/{release}/configuration-items`: what a release does to configuration items, and taking it back.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::values::*;
use crate::error::ProblemFault;
use crate::repository::item_links::{ItemLink, LIST};
use crate::repository::listing::{ListQuery, SqlValue};
use crate::repository::releases::ReleaseRef;
use crate::service::hardware_spares::SpareTakenBack;
use crate::service::item_links::{self, ItemLinkBatch, ItemLinkFields, NewItemLink, Outcome};
use crate::service::linkable_items::is_conflict;
use crate::service::write_back::{self, Revert, RevertAll, Reverted, TakenBack};
use crate::service::{MergePatch, ReadContext, Reply, Result};

/// Registers the operations. Those of many come before those that take an identifier in the same place.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_release_configuration_items)
        .service(link_configuration_item)
        .service(link_configuration_items)
        .service(read_release_configuration_item)
        .service(update_release_configuration_item)
        .service(unlink_configuration_item)
        .service(revert_configuration_item)
        .service(revert_release);
}

impl Checked for NewItemLink {}
impl Checked for ItemLinkBatch {}
impl Checked for Revert {}
impl Checked for RevertAll {}

impl Checked for ItemLinkFields {
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "configuration_item_id",
        "change_id",
        "source",
        "external_id",
        "name",
        "class",
        "current_version",
        "current_status",
        "current_environment",
        "current_row_version",
        "changed_since_linked",
        "spare",
        "row_version",
        "created_at",
        "updated_at",
    ];
}

/// A configuration item that is linked to a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseConfigurationItem {
    /// Identifier of the link.
    pub id: ItemLinkId,
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
    /// The change that brought it.
    pub change_id: Option<ChangeId>,
    /// The CMDB that owns the item.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// The version that it has now.
    #[schema(max_length = 50, example = "4.1.7")]
    pub current_version: Option<String>,
    /// Its status now.
    pub current_status: ItemStatus,
    /// Where it is used now.
    pub current_environment: Option<Environment>,
    /// Its row version now: what `seen_row_version` is set to where a change by somebody else was taken notice of.
    #[schema(minimum = 1)]
    pub current_row_version: i64,
    /// True where somebody else changed the item since it was linked or, once applied, since then.
    pub changed_since_linked: bool,
    /// What is going to be done.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// The version that it is to have.
    #[schema(max_length = 50, example = "4.2.0")]
    pub intended_version: Option<String>,
    /// The status that it is to have; else `validating`.
    pub intended_status: Option<ItemStatus>,
    /// Where it is to be used; else `production`.
    pub intended_environment: Option<Environment>,
    /// The definitive medium that is installed.
    pub medium_id: Option<MediumId>,
    /// The model of the hardware spare that it needs.
    #[schema(max_length = 100, example = "Switch 48p")]
    pub spare_model: Option<String>,
    /// What became of it.
    pub outcome: ItemOutcome,
    /// Words that go with the outcome.
    pub outcome_note: Option<String>,
    /// The version of the item that the plan was made on; once applied, the one that applying made.
    #[schema(minimum = 1)]
    pub seen_row_version: i64,
    /// Rises with every change of the link.
    pub row_version: i64,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When the link last changed.
    pub updated_at: Timestamp,
    /// In the answer to a revert: the hardware spare that the item had become.
    pub spare: Option<SpareTakenBack>,
}

impl From<ItemLink> for ReleaseConfigurationItem {
    fn from(link: ItemLink) -> Self {
        let changed_since_linked = link.is_changed();
        let ItemLink { row, item } = link;
        Self {
            id: row.id,
            configuration_item_id: row.configuration_item_id,
            change_id: row.change_id,
            source: item.source,
            external_id: item.external_id,
            name: item.name,
            class: item.class,
            current_version: item.version,
            current_status: item.status,
            current_environment: item.environment,
            current_row_version: item.row_version,
            changed_since_linked,
            description: row.description,
            intended_version: row.intended_version,
            intended_status: row.intended_status,
            intended_environment: row.intended_environment,
            medium_id: row.medium_id,
            spare_model: row.spare_model,
            outcome: row.outcome,
            outcome_note: row.outcome_note,
            seen_row_version: row.seen_row_version,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            spare: None,
        }
    }
}

impl From<TakenBack> for ReleaseConfigurationItem {
    fn from(taken: TakenBack) -> Self {
        Self { spare: taken.spare, ..taken.link.into() }
    }
}

/// What became of one of many.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ItemLinkResult {
    /// The status that it would have had by itself: 201 linked or 200 taken back, 409 forbidden by the state, 422 not
    /// valid.
    #[schema(minimum = 200, maximum = 422)]
    pub status: u16,
    /// The link; null where there is none, and where a dry run would have made it.
    pub link: Option<ReleaseConfigurationItem>,
    /// What is wrong; empty where nothing is.
    pub errors: Vec<ProblemFault>,
}

/// What became of each of many, in the order of the request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ItemLinkResults {
    /// How many were done.
    pub done: usize,
    /// How many were refused.
    pub refused: usize,
    /// A result for each.
    #[schema(max_items = 500)]
    pub results: Vec<ItemLinkResult>,
}

impl ItemLinkResults {
    fn of(results: Vec<ItemLinkResult>) -> Self {
        let done = results.iter().filter(|result| result.status < 400).count();
        Self { done, refused: results.len() - done, results }
    }
}

/// What became of each link of a release that is taken back, and of the rest.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RevertResults {
    /// How many links were taken back.
    pub done: usize,
    /// How many were refused.
    pub refused: usize,
    /// A result for each.
    #[schema(max_items = 500)]
    pub results: Vec<ItemLinkResult>,
    /// The hardware spares that the release deployed and that became no configuration item.
    #[schema(max_items = 200)]
    pub spares: Vec<SpareTakenBack>,
}

impl From<Outcome> for ItemLinkResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(link) => Self { status: 201, link: Some(link.into()), errors: Vec::new() },
            Err(faults) => {
                let status = if faults.iter().any(is_conflict) { 409 } else { 422 };
                Self { status, link: None, errors: faults.iter().map(ProblemFault::from).collect() }
            }
        }
    }
}

impl ItemLinkResult {
    fn reverted(outcome: Reverted) -> Self {
        match outcome {
            Ok(taken) => Self { status: 200, link: Some(taken.into()), errors: Vec::new() },
            Err((link, fault)) => {
                Self { status: 409, link: Some(link.into()), errors: vec![ProblemFault::from(&fault)] }
            }
        }
    }
}

fn shown(status: u16, link: ItemLink) -> Result<Reply> {
    shown_of(status, TakenBack { link, spare: None })
}

fn shown_of(status: u16, taken: TakenBack) -> Result<Reply> {
    let (release, row_version) = (taken.link.row.release_id, taken.link.row.row_version);
    Ok(Reply::json(status, &ReleaseConfigurationItem::from(taken))?.version(row_version).about(release))
}

/// List the configuration items of a release
///
/// In the order in which they were linked, with how each item stands now; a release has at most 500.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseConfigurationItem>)))]
#[get("/releases/{release}/configuration-items")]
async fn list_release_configuration_items(call: Call) -> Answer {
    let path = call.clone();
    call.list(&LIST, &["release_id"], move |context, query| {
        paging::shown(&path, &page(context, path.id("release", "release")?, &query)?)
    })
    .await
}

/// A page of them, as the list shows it.
pub(super) fn page(
    context: &mut ReadContext<'_>,
    release: ReleaseRef,
    query: &ListQuery,
) -> Result<Page<ReleaseConfigurationItem>> {
    let rows = item_links::list(context, release, query.clone())?;
    Ok(paging::page(&LIST, query, rows, ReleaseConfigurationItem::from, |link, _| {
        (SqlValue::Instant(link.row.created_at), link.row.id.to_string())
    }))
}

/// Link a configuration item to a release
///
/// With what is going to be done to it: closing as solved gives it the intended version, status and environment. Of an
/// item a release has one pending link. Locked after authorization; a release has at most 500.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,)), request_body = NewItemLink, responses((status = 201, body = ReleaseConfigurationItem)))]
#[post("/releases/{release}/configuration-items")]
async fn link_configuration_item(call: Call, body: Body<Draft<NewItemLink>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let link = item_links::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/configuration-items/{}", link.row.release_id, link.row.id);
        Ok(shown(201, link)?.at(location))
    })
    .await
}

/// Link many configuration items to a release
///
/// Up to 200. `atomic`: all or nothing. `each`: each by itself, with a result for each.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,)), request_body = ItemLinkBatch, responses((status = 200, body = ItemLinkResults)))]
#[post("/releases/{release}/configuration-items/batch")]
async fn link_configuration_items(call: Call, body: Body<Draft<ItemLinkBatch>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let (release, outcomes) = item_links::add_all(context, path.id("release", "release")?, draft.clone())?;
        let mut results: Vec<_> = outcomes.into_iter().map(ItemLinkResult::from).collect();
        if context.request.dry_run {
            results.iter_mut().for_each(|result| result.link = None);
        }
        Ok(Reply::json(200, &ItemLinkResults::of(results))?.about(release))
    })
    .await
}

/// Read a configuration item of a release
///
/// The link, with how its item stands now.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,), ("id" = ItemLinkId, Path,)), responses((status = 200, body = ReleaseConfigurationItem)))]
#[get("/releases/{release}/configuration-items/{id}")]
async fn read_release_configuration_item(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(crate::domain::policy::Access::Read)?;
        let id = path.id("id", "configuration item link")?;
        shown(200, item_links::read(context, path.id("release", "release")?, id)?)
    })
    .await
}

/// Change a configuration item of a release
///
/// The plan until it is authorised; what became of it, and that a change by somebody else was taken notice of, while the
/// release is active. That it was applied or reverted is the server's to say, and then the link does not change any more.
#[utoipa::path(
    tag = "Configuration items",
    params(("release" = String, Path,), ("id" = ItemLinkId, Path,)),
    request_body(content = PatchOf<ItemLinkFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseConfigurationItem))
)]
#[patch("/releases/{release}/configuration-items/{id}")]
async fn update_release_configuration_item(call: Call, body: Body<MergePatch<ItemLinkFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        let id = path.id("id", "configuration item link")?;
        shown(200, item_links::patch(context, path.id("release", "release")?, id, patch)?)
    })
    .await
}

/// Unlink a configuration item from a release
///
/// Locked after authorization. What was applied stays.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,), ("id" = ItemLinkId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/configuration-items/{id}")]
async fn unlink_configuration_item(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        let id = path.id("id", "configuration item link")?;
        item_links::remove(context, path.id("release", "release")?, id)?;
        Ok(Reply::empty())
    })
    .await
}

/// Take back what a release did to a configuration item
///
/// Of a closed release, by somebody who may reopen it: version, status, environment, serial number and location go back
/// to what the history of the item says was before. Refused where somebody changed the item since. The hardware spare that
/// the item had become is in stock again, unless somebody made something else of it since: the answer tells.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,), ("id" = ItemLinkId, Path,)), request_body = Revert, responses((status = 200, body = ReleaseConfigurationItem)))]
#[post("/releases/{release}/configuration-items/{id}/revert")]
async fn revert_configuration_item(call: Call, body: Body<Draft<Revert>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let id = path.id("id", "configuration item link")?;
        shown_of(200, write_back::revert(context, path.id("release", "release")?, id, draft.clone())?)
    })
    .await
}

/// Take back everything that a release did to configuration items
///
/// Of a closed release, by somebody who may reopen it, with a result for each applied link. `atomic`, as without it: all
/// or nothing, refused with every item that somebody changed since. `each`: those that nobody changed since. Hardware spares
/// that the release deployed are in stock again with the items that they had become, and those that became none by
/// themselves.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,)), request_body = RevertAll, responses((status = 200, body = RevertResults)))]
#[post("/releases/{release}/revert")]
async fn revert_release(call: Call, body: Body<Draft<RevertAll>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let (release, reverted) = write_back::revert_all(context, path.id("release", "release")?, draft.clone())?;
        let results = reverted.links.into_iter().map(ItemLinkResult::reverted).collect();
        let ItemLinkResults { done, refused, results } = ItemLinkResults::of(results);
        Ok(Reply::json(200, &RevertResults { done, refused, results, spares: reverted.spares })?.about(release))
    })
    .await
}
