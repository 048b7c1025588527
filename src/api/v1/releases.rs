//! `/releases`: list, create, read, patch.

use std::collections::BTreeSet;

use actix_web::{get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::v1::release_view::{self, INCLUDE, Included};
use crate::api::{Answer, BASE, Body, Call, outcome, paging, paging::Page};
use crate::domain::release::{Criterion, Notify, Requester, Sla};
use crate::domain::values::*;
use crate::domain::warnings::Warning;
use crate::repository::listing::{ListQuery, Rows};
use crate::repository::releases::{self as rows, LIST, ReleaseRef};
use crate::service::release_input::{CustomFields, NewRelease, ReleaseFields, Tag};
use crate::service::releases::{self, Shown};
use crate::service::{self, MergePatch, ReadContext, Reply};
use crate::telemetry::metrics;

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_releases).service(create_release).service(read_release).service(update_release);
}

const READ_ONLY: &[&str] = &[
    "id",
    "number",
    "key",
    "portfolio_id",
    "model_id",
    "workflow_id",
    "contract_id",
    "executor_group_id",
    "assignee_id",
    "priority",
    "status",
    "stage",
    "release_date",
    "resolution",
    "solution_category_id",
    "closure_notes",
    "sla",
    "reopen_count",
    "asks_for",
    "allowed_actions",
    "included",
    "warnings",
    "row_version",
    "created_at",
    "created_by",
    "updated_at",
    "closed_at",
    "cancelled_at",
    "suspended_at",
];

impl Checked for NewRelease {
    const READ_ONLY: &'static [&'static str] = READ_ONLY;
}

impl Checked for ReleaseFields {
    const READ_ONLY: &'static [&'static str] = READ_ONLY;
}

/// A release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Release {
    /// Identifier.
    pub id: ReleaseId,
    /// The key that people use, `REL-<number>`. Every path takes it in place of the identifier.
    pub key: String,
    /// Number, unique.
    pub number: i64,
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// The version that is released.
    pub version: Option<String>,
    /// Kind of release.
    #[serde(rename = "type")]
    pub release_type: ReleaseType,
    /// Portfolio of the model.
    pub portfolio_id: PortfolioId,
    /// Model that it was made from.
    pub model_id: ModelId,
    /// The version of the workflow that it started with.
    pub workflow_id: WorkflowId,
    /// Who asked for it.
    pub requester: Requester,
    /// Contract.
    pub contract_id: Option<ContractId>,
    /// The group that executes it.
    pub executor_group_id: GroupId,
    /// The member of that group who has it.
    pub assignee_id: Option<UserId>,
    /// Impact.
    pub impact: Level,
    /// Urgency.
    pub urgency: Level,
    /// Risk.
    pub risk: Level,
    /// What the users expect.
    pub acceptance_criteria: Vec<Criterion>,
    /// Priority from 1 (highest) to 5, out of impact and urgency.
    #[schema(minimum = 1, maximum = 5)]
    pub priority: i64,
    /// Status; only a transition changes it.
    pub status: Status,
    /// Key of the workflow's current stage.
    pub stage: String,
    /// When it is planned.
    pub planning_window: Option<Window>,
    /// When it is deployed.
    pub deployment_window: Option<Window>,
    /// When it really went live.
    pub release_date: Option<Timestamp>,
    /// How it ended.
    pub resolution: Option<Resolution>,
    /// Category of the solution.
    pub solution_category_id: Option<SolutionCategoryId>,
    /// Closing words.
    pub closure_notes: Option<String>,
    /// Releases that must be closed as solved before this one leaves authorization.
    pub depends_on: Vec<ReleaseId>,
    /// The clock.
    pub sla: Sla,
    /// How often it was reopened.
    pub reopen_count: i64,
    /// Tags.
    #[schema(value_type = Vec<Tag>)]
    pub tags: Vec<String>,
    /// Fields of the installation's own.
    #[schema(value_type = CustomFields)]
    pub custom_fields: serde_json::Map<String, serde_json::Value>,
    /// What is mailed to the requester.
    pub notify: Notify,
    /// What its model asked for when it was registered, besides what every release of the workflow needs.
    #[schema(value_type = Vec<AskedFor>, max_items = 10)]
    pub asks_for: BTreeSet<AskedFor>,
    /// What this caller may do now.
    pub allowed_actions: Vec<Action>,
    /// What belongs to it, where `include` asks for it when the release is read; else null.
    pub included: Option<Included>,
    /// What does not stand in the way and should be known; null where the release is one of a list.
    #[schema(max_items = 10)]
    pub warnings: Option<Vec<Warning>>,
    /// Rises with every change of the release's own fields; the part of the ETag before the dot.
    pub row_version: i64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: UserId,
    /// When its own fields last changed.
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// When it was suspended, while suspended.
    pub suspended_at: Option<Timestamp>,
}

impl From<Shown> for Release {
    fn from(shown: Shown) -> Self {
        let Shown { release, depends_on, allowed_actions, now, worktime, warnings } = shown;
        Self {
            id: release.id,
            key: release.key(),
            number: release.number,
            priority: release.priority(),
            sla: release.sla(now, worktime.as_deref()),
            title: release.title,
            description: release.description,
            version: release.version,
            release_type: release.release_type,
            portfolio_id: release.portfolio_id,
            model_id: release.model_id,
            workflow_id: release.workflow_id,
            requester: release.requester,
            contract_id: release.contract_id,
            executor_group_id: release.executor_group_id,
            assignee_id: release.assignee_id,
            impact: release.impact,
            urgency: release.urgency,
            risk: release.risk,
            acceptance_criteria: release.acceptance_criteria,
            status: release.status,
            stage: release.stage,
            planning_window: release.planning_window,
            deployment_window: release.deployment_window,
            release_date: release.release_date,
            resolution: release.resolution,
            solution_category_id: release.solution_category_id,
            closure_notes: release.closure_notes,
            depends_on,
            reopen_count: release.reopen_count,
            tags: release.tags,
            custom_fields: release.custom_fields,
            notify: release.notify,
            asks_for: release.asks_for,
            allowed_actions,
            included: None,
            warnings,
            row_version: release.row_version,
            created_at: release.created_at,
            created_by: release.created_by,
            updated_at: release.updated_at,
            closed_at: release.closed_at,
            cancelled_at: release.cancelled_at,
            suspended_at: release.suspended_at,
        }
    }
}

fn answered(status: u16, shown: Shown) -> service::Result<Reply> {
    let (id, row_version) = (shown.release.id, shown.release.row_version);
    Ok(Reply::json(status, &Release::from(shown))?.version(row_version).about(id))
}

/// List releases
///
/// Those that the caller may see. Several filters are joined by and, several values of one by or.
#[utoipa::path(tag = "Releases", responses((status = 200, body = Page<Release>)))]
#[get("/releases")]
async fn list_releases(call: Call) -> Answer {
    let link = call.clone();
    call.list(&LIST, &[], move |context, query| page(context, &link, &query, &query)).await
}

/// The page of a list of releases: `query` as the caller asks it, and `restricted` by what the path says besides.
pub(super) fn page(
    context: &mut ReadContext<'_>,
    call: &Call,
    query: &ListQuery,
    restricted: &ListQuery,
) -> service::Result<Reply> {
    let (shown, more, total) = releases::list(context, restricted)?;
    paging::reply(call, &LIST, query, Rows { rows: shown, more, total }, Release::from, |shown, sort| {
        (rows::sort_value(&shown.release, sort), shown.release.id.to_string())
    })
}

/// Create a release
///
/// With everything that is sent along, all or nothing. What is not given comes from the model; the activities and
/// checklists of the model are made besides those that are sent along. The new release is `open`, at the first stage of
/// its workflow.
#[utoipa::path(tag = "Releases", request_body = NewRelease, responses((status = 201, body = Release)))]
#[post("/releases")]
async fn create_release(call: Call, body: Body<Draft<NewRelease>>) -> Answer {
    let answer = call.write(&["dry_run"], body, |context, draft| {
        let shown = releases::create(context, draft.clone())?;
        let location = format!("{BASE}/releases/{}", shown.release.id);
        Ok(answered(201, shown)?.at(location))
    });
    let answer = answer.await;
    metrics().count_transition(Action::Create, outcome(&answer));
    answer
}

/// Read a release
///
/// By identifier or by key. `include` names what is answered with it out of what belongs to it, in the same few
/// statements however much that is: of every list its first page, of 200 items at most, with the cursor that goes on in
/// that list. That is called as the release was: by the identifier, or by the key.
#[utoipa::path(tag = "Releases", params(("release" = String, Path,)), responses((status = 200, body = Release)))]
#[get("/releases/{release}")]
async fn read_release(call: Call) -> Answer {
    let path = call.clone();
    let (wanted, faults) = release_view::wanted(call.parameter(INCLUDE).as_deref());
    call.read_unless(faults, &[INCLUDE], move |context| {
        let id: ReleaseRef = path.id("release", "release")?;
        let shown = releases::read(context, id)?;
        let (id, row_version) = (shown.release.id, shown.release.row_version);
        let mut release = Release::from(shown);
        release.included = release_view::load(context, &path, ReleaseRef::Id(id), &wanted)?;
        Ok(Reply::json(200, &release)?.version(row_version).about(id))
    })
    .await
}

/// Update a release
///
/// A JSON merge patch. Only an active release is changed, and after authorization its plan is locked. Group and
/// assignee change by `capture` and `delegate`, the status by transitions.
#[utoipa::path(
    tag = "Releases",
    params(("release" = String, Path,)),
    request_body(content = PatchOf<ReleaseFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = Release))
)]
#[patch("/releases/{release}")]
async fn update_release(call: Call, body: Body<MergePatch<ReleaseFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        answered(200, releases::patch(context, path.id("release", "release")?, patch)?)
    })
    .await
}
