//! The release as a row, and back.

use std::collections::BTreeSet;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use super::schema::releases;
use crate::domain::release::{ChainHead, Criterion, Notify, Release, Requester};
use crate::domain::values::*;
use crate::mutants::mutant;

/// What is kept of the requester besides the columns that are filtered on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequesterDetails {
    name: String,
    contact_name: Option<String>,
    email: String,
    phone: Option<String>,
    extension: Option<String>,
    location: Option<String>,
    notes: Option<String>,
}

type CustomFields = serde_json::Map<String, serde_json::Value>;

/// A row of `releases`, in the order of the columns.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = releases, treat_none_as_default_value = false)]
pub struct ReleaseRow {
    pub(super) id: ReleaseId,
    pub(super) number: i64,
    title: String,
    title_folded: String,
    description: Option<String>,
    version: Option<String>,
    version_folded: Option<String>,
    type_: ReleaseType,
    portfolio_id: PortfolioId,
    model_id: ModelId,
    workflow_id: WorkflowId,
    requester: Json<RequesterDetails>,
    requester_user_id: Option<UserId>,
    requester_unit_id: Option<UnitId>,
    contract_id: Option<ContractId>,
    executor_group_id: GroupId,
    assignee_id: Option<UserId>,
    impact: Level,
    urgency: Level,
    risk: Level,
    priority: i64,
    acceptance_criteria: Json<Vec<Criterion>>,
    status: Status,
    status_before_suspension: Option<Status>,
    stage: String,
    planning_start: Option<Timestamp>,
    planning_end: Option<Timestamp>,
    deployment_start: Option<Timestamp>,
    deployment_end: Option<Timestamp>,
    deadline: Option<Timestamp>,
    release_date: Option<Timestamp>,
    resolution: Option<Resolution>,
    solution_category_id: Option<SolutionCategoryId>,
    closure_notes: Option<String>,
    reopen_count: i64,
    tags: Json<Vec<String>>,
    custom_fields: Json<CustomFields>,
    notify: Json<Notify>,
    row_version: i64,
    created_at: Timestamp,
    created_by: UserId,
    updated_at: Timestamp,
    closed_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
    audit_seq: i64,
    audit_head: String,
    calendar_id: Option<CalendarId>,
    asks_for: Json<BTreeSet<AskedFor>>,
}

/// Text as it is searched: without regard to case.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

impl ReleaseRow {
    /// The row of a release whose chain ends at `head`.
    pub fn new(release: &Release, head: &ChainHead) -> Self {
        let release = release.clone();
        Self {
            id: release.id,
            number: release.number,
            title_folded: folded(&release.title),
            description: release.description,
            version_folded: release.version.as_deref().map(folded),
            version: release.version,
            type_: release.release_type,
            portfolio_id: release.portfolio_id,
            model_id: release.model_id,
            workflow_id: release.workflow_id,
            requester_user_id: release.requester.user_id,
            requester_unit_id: release.requester.unit_id,
            requester: Json(RequesterDetails {
                name: release.requester.name,
                contact_name: release.requester.contact_name,
                email: release.requester.email,
                phone: release.requester.phone,
                extension: release.requester.extension,
                location: release.requester.location,
                notes: release.requester.notes,
            }),
            contract_id: release.contract_id,
            executor_group_id: release.executor_group_id,
            assignee_id: release.assignee_id,
            priority: crate::domain::release::priority(release.impact, release.urgency),
            impact: release.impact,
            urgency: release.urgency,
            risk: release.risk,
            acceptance_criteria: Json(release.acceptance_criteria),
            status: release.status,
            status_before_suspension: release.status_before_suspension,
            stage: release.stage,
            planning_start: release.planning_window.map(|window| window.start),
            planning_end: release.planning_window.map(|window| window.end),
            deployment_start: release.deployment_window.map(|window| window.start),
            deployment_end: release.deployment_window.map(|window| window.end),
            deadline: release.deadline,
            release_date: release.release_date,
            resolution: release.resolution,
            solution_category_id: release.solution_category_id,
            closure_notes: release.closure_notes,
            reopen_count: release.reopen_count,
            tags: Json(release.tags),
            custom_fields: Json(release.custom_fields),
            notify: Json(release.notify),
            row_version: release.row_version,
            created_at: release.created_at,
            created_by: release.created_by,
            updated_at: release.updated_at,
            closed_at: release.closed_at,
            cancelled_at: release.cancelled_at,
            suspended_at: release.suspended_at,
            audit_seq: head.length,
            audit_head: head.hash.clone(),
            calendar_id: release.calendar_id,
            asks_for: Json(release.asks_for),
            title: release.title,
        }
    }
}

impl From<ReleaseRow> for Release {
    fn from(row: ReleaseRow) -> Self {
        let requester = row.requester.0;
        Self {
            id: row.id,
            number: row.number,
            title: row.title,
            description: row.description,
            version: row.version,
            release_type: row.type_,
            portfolio_id: row.portfolio_id,
            model_id: row.model_id,
            workflow_id: row.workflow_id,
            requester: Requester {
                user_id: row.requester_user_id,
                name: requester.name,
                contact_name: requester.contact_name,
                email: requester.email,
                phone: requester.phone,
                extension: requester.extension,
                unit_id: row.requester_unit_id,
                location: requester.location,
                notes: requester.notes,
            },
            contract_id: row.contract_id,
            calendar_id: row.calendar_id,
            executor_group_id: row.executor_group_id,
            assignee_id: row.assignee_id,
            impact: row.impact,
            urgency: row.urgency,
            risk: row.risk,
            acceptance_criteria: row.acceptance_criteria.0,
            status: row.status,
            status_before_suspension: row.status_before_suspension,
            stage: row.stage,
            planning_window: Window::from_ends(row.planning_start, row.planning_end),
            deployment_window: Window::from_ends(row.deployment_start, row.deployment_end),
            deadline: row.deadline,
            release_date: row.release_date,
            resolution: row.resolution,
            solution_category_id: row.solution_category_id,
            closure_notes: row.closure_notes,
            reopen_count: row.reopen_count,
            tags: row.tags.0,
            custom_fields: row.custom_fields.0,
            notify: row.notify.0,
            asks_for: row.asks_for.0,
            row_version: row.row_version,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            closed_at: row.closed_at,
            cancelled_at: row.cancelled_at,
            suspended_at: row.suspended_at,
            chain: ChainHead { length: row.audit_seq, hash: row.audit_head },
        }
    }
}

/// Columns that indexes are over, in groups that change together. Those of a group are written only where one of
/// them changes: SQLite writes every index over a column that a statement names, whether it changes or not. The few
/// groups keep the statement to few shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Touched {
    names: bool,
    state: bool,
    rank: bool,
    executor: bool,
    requester: bool,
    plan: bool,
    end: bool,
}

/// The guarded update of a release: it hits only the version and status that were decided on.
#[derive(Debug, Clone)]
pub struct ReleaseUpdate {
    before_version: i64,
    before_status: Status,
    touched: Touched,
    row: ReleaseRow,
}

impl ReleaseUpdate {
    /// The update from one state of a release to another, whose chain then ends at `head`.
    pub fn new(before: &Release, after: &Release, head: &ChainHead) -> Self {
        let touched = Touched {
            names: before.title != after.title || before.version != after.version,
            state: before.status != after.status || before.stage != after.stage,
            rank: before.priority() != after.priority() || before.release_type != after.release_type,
            executor: before.executor_group_id != after.executor_group_id || before.assignee_id != after.assignee_id,
            requester: before.requester.user_id != after.requester.user_id
                || before.requester.unit_id != after.requester.unit_id,
            plan: before.planning_window != after.planning_window
                || before.deployment_window != after.deployment_window
                || before.deadline != after.deadline,
            end: before.closed_at != after.closed_at || before.solution_category_id != after.solution_category_id,
        };
        let row = ReleaseRow::new(after, head);
        Self { before_version: before.row_version, before_status: before.status, touched, row }
    }
}

macro_rules! guarded_update {
    ($database:ty, always ($($always:ident),*), $($group:ident ($($column:ident),*)),*) => {
        impl QueryFragment<$database> for ReleaseUpdate {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $database>) -> QueryResult<()> {
                out.push_sql("UPDATE releases SET audit_head = ");
                out.push_bind_param::<diesel::sql_types::Text, _>(&self.row.audit_head)?;
                $(guarded_update!(@set out, self, $always);)*
                $(if self.touched.$group {
                    $(guarded_update!(@set out, self, $column);)*
                })*
                out.push_sql(" WHERE id = ");
                out.push_bind_param::<diesel::sql_types::Text, _>(&self.row.id)?;
                if mutant("transition_unguarded") {
                    return Ok(());
                }
                out.push_sql(" AND row_version = ");
                out.push_bind_param::<diesel::sql_types::BigInt, _>(&self.before_version)?;
                out.push_sql(" AND status = ");
                out.push_bind_param::<diesel::sql_types::Text, _>(&self.before_status)
            }
        }
    };
    (@set $out:ident, $update:ident, $column:ident) => {
        $out.push_sql(", ");
        $out.push_identifier(<releases::$column as Column>::NAME)?;
        $out.push_sql(" = ");
        $out.push_bind_param::<<releases::$column as Expression>::SqlType, _>(&$update.row.$column)?;
    };
    ($($database:ty),*) => {$(
        guarded_update!(
            $database,
            always (
                description, requester, impact, urgency, risk, acceptance_criteria, status_before_suspension,
                release_date, resolution, closure_notes, reopen_count, tags, custom_fields, notify, row_version,
                updated_at, cancelled_at, suspended_at, audit_seq
            ),
            names (title, title_folded, version, version_folded),
            state (status, stage),
            rank (priority, type_),
            executor (executor_group_id, assignee_id),
            requester (requester_user_id, requester_unit_id),
            plan (planning_start, planning_end, deployment_start, deployment_end, deadline),
            end (closed_at, solution_category_id)
        );
    )*};
}

guarded_update!(Sqlite, Pg);

impl QueryId for ReleaseUpdate {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for &ReleaseUpdate {}
