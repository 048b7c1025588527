//! Workflows: versions that never change once stored, and for each workflow whether it is retired.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Sort, SortKind, Sql};
use super::pages;
use super::schema::{models, workflow_series, workflows};
use crate::domain::policy::Visibility;
use crate::domain::release::ChainHead;
use crate::domain::values::{Json, ModelId, ModelStatus, Timestamp, WorkflowId, WorkflowOrigin};
use crate::domain::workflow::Workflow;

/// There are at most so many workflows.
pub const WORKFLOWS_MAX: i64 = 1_000;
/// A workflow has at most so many versions.
pub const VERSIONS_MAX: i64 = 10_000;

/// The filter of the list that asks for every version and not for the newest alone.
pub const ALL_VERSIONS: &str = "all_versions";

/// The list of workflows.
pub const LIST: ListSpec = ListSpec {
    name: "workflows",
    from: "workflows JOIN workflow_series ON workflow_series.key = workflows.key",
    id: "workflows.id",
    filters: &[
        Filter {
            name: "key",
            kind: Kind::Text { max_length: 50 },
            sql: Sql::Column("workflows.key"),
            doc: "Those with one of these keys.",
        },
        Filter {
            name: "retired",
            kind: Kind::Boolean,
            sql: Sql::Flag { yes: "workflow_series.retired_at IS NOT NULL", no: "workflow_series.retired_at IS NULL" },
            doc: "Only retired ones, or only the others.",
        },
        Filter {
            name: "origin",
            kind: Kind::OneOf(WorkflowOrigin::NAMES),
            sql: Sql::Column("workflows.origin"),
            doc: "Versions that come with the product, or that somebody here made.",
        },
        Filter {
            name: ALL_VERSIONS,
            kind: Kind::Boolean,
            sql: Sql::Flag {
                yes: "1 = 1",
                no: "workflows.version = (SELECT MAX(newer.version) FROM workflows newer WHERE newer.key = workflows.key)",
            },
            doc: "`true`: every version. `false`, as without it: the newest version of each.",
        },
    ],
    sorts: &[
        Sort { name: "key", column: "workflows.key", kind: SortKind::Text },
        Sort { name: "created_at", column: "workflows.created_at", kind: SortKind::Instant },
    ],
    default_sort: "key",
};

/// A stored version of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorkflow {
    /// The version.
    pub workflow: Workflow,
    /// Who made it.
    pub origin: WorkflowOrigin,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When the workflow was retired, with all its versions.
    pub retired_at: Option<Timestamp>,
}

type StoredRow = (Json<Workflow>, WorkflowOrigin, Timestamp, Option<Timestamp>);

impl From<StoredRow> for StoredWorkflow {
    fn from((workflow, origin, created_at, retired_at): StoredRow) -> Self {
        Self { workflow: workflow.0, origin, created_at, retired_at }
    }
}

/// A workflow beyond its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Identifier: that of the first version.
    pub id: WorkflowId,
    /// Key of the workflow.
    pub key: String,
    /// Rises with every version, and when the workflow is retired.
    pub row_version: i64,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
    /// End of its audit chain.
    pub chain: ChainHead,
}

type SeriesRow = (WorkflowId, String, i64, Option<Timestamp>, i64, String);

impl From<SeriesRow> for Series {
    fn from((id, key, row_version, retired_at, length, hash): SeriesRow) -> Self {
        Self { id, key, row_version, retired_at, chain: ChainHead { length, hash } }
    }
}

/// Finds a version of a workflow.
pub fn find(connection: &mut AnyConnection, id: WorkflowId) -> Result<Option<Workflow>, Error> {
    let row: Option<Json<Workflow>> =
        workflows::table.find(id).select(workflows::definition).first(connection).optional()?;
    Ok(row.map(|json| json.0))
}

/// Finds a version of a workflow, with what is known of it.
pub fn find_stored(connection: &mut AnyConnection, id: WorkflowId) -> Result<Option<StoredWorkflow>, Error> {
    let row: Option<StoredRow> = workflows::table
        .inner_join(workflow_series::table.on(workflow_series::key.eq(workflows::key)))
        .filter(workflows::id.eq(id))
        .select((workflows::definition, workflows::origin, workflows::created_at, workflow_series::retired_at))
        .first(connection)
        .optional()?;
    Ok(row.map(StoredWorkflow::from))
}

/// The newest version of the workflow with the key, with what is known of it.
pub fn newest_stored(connection: &mut AnyConnection, key: &str) -> Result<Option<StoredWorkflow>, Error> {
    let row: Option<StoredRow> = workflows::table
        .inner_join(workflow_series::table.on(workflow_series::key.eq(workflows::key)))
        .filter(workflows::key.eq(key))
        .order(workflows::version.desc())
        .select((workflows::definition, workflows::origin, workflows::created_at, workflow_series::retired_at))
        .first(connection)
        .optional()?;
    Ok(row.map(StoredWorkflow::from))
}

/// The newest version of the workflow with the key, retired or not.
pub fn newest(connection: &mut AnyConnection, key: &str) -> Result<Option<Workflow>, Error> {
    let row: Option<Json<Workflow>> = workflows::table
        .filter(workflows::key.eq(key))
        .order(workflows::version.desc())
        .select(workflows::definition)
        .first(connection)
        .optional()?;
    Ok(row.map(|json| json.0))
}

/// The newest version of the workflow with the key, where it starts releases: not of a retired one.
pub fn newest_in_use(connection: &mut AnyConnection, key: &str) -> Result<Option<Workflow>, Error> {
    let found = newest_stored(connection, key)?;
    Ok(found.filter(|found| found.retired_at.is_none()).map(|found| found.workflow))
}

/// A page of versions; the newest of each workflow alone where the query does not say otherwise.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<StoredWorkflow>, Error> {
    let selection = (workflows::definition, workflows::origin, workflows::created_at, workflow_series::retired_at);
    let Rows { rows, more, total } =
        pages::page::<_, StoredRow>(connection, selection, &LIST, query, &Visibility::Everything, now)?;
    Ok(Rows { rows: rows.into_iter().map(StoredWorkflow::from).collect(), more, total })
}

/// Every version that the installation itself made of the workflow with the key.
pub fn built_in_versions(connection: &mut AnyConnection, key: &str) -> Result<Vec<Workflow>, Error> {
    let rows: Vec<Json<Workflow>> = workflows::table
        .filter(workflows::key.eq(key))
        .filter(workflows::origin.eq(WorkflowOrigin::BuiltIn))
        .order(workflows::version.asc())
        .select(workflows::definition)
        .load(connection)?;
    Ok(rows.into_iter().map(|json| json.0).collect())
}

/// The keys that have versions and no series: of an installation from before workflows could be edited.
pub fn keys_without_series(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    Ok(workflows::table
        .left_join(workflow_series::table.on(workflow_series::key.eq(workflows::key)))
        .filter(workflow_series::id.is_null())
        .select(workflows::key)
        .distinct()
        .order(workflows::key.asc())
        .load(connection)?)
}

/// The first version of the workflow with the key.
pub fn first(connection: &mut AnyConnection, key: &str) -> Result<Option<WorkflowId>, Error> {
    Ok(workflows::table
        .filter(workflows::key.eq(key))
        .order(workflows::version.asc())
        .select(workflows::id)
        .first(connection)
        .optional()?)
}

/// How many workflows there are.
pub fn count(connection: &mut AnyConnection) -> Result<i64, Error> {
    Ok(workflow_series::table.count().get_result(connection)?)
}

/// How many versions the workflow with the key has.
pub fn version_count(connection: &mut AnyConnection, key: &str) -> Result<i64, Error> {
    Ok(workflows::table.filter(workflows::key.eq(key)).count().get_result(connection)?)
}

/// Finds and locks a workflow by its key until the transaction ends: it is about to change.
pub fn lock_series(connection: &mut AnyConnection, key: &str) -> Result<Option<Series>, Error> {
    let series = workflow_series::table.filter(workflow_series::key.eq(key));
    let row: Option<SeriesRow> = match connection {
        AnyConnection::Sqlite(sqlite) => series.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => series.for_no_key_update().first(postgres).optional()?,
    };
    Ok(row.map(Series::from))
}

/// Finds a workflow by its key; it stays as it is until the transaction ends.
pub fn hold_series(connection: &mut AnyConnection, key: &str) -> Result<Option<Series>, Error> {
    let series = workflow_series::table.filter(workflow_series::key.eq(key));
    let row: Option<SeriesRow> = match connection {
        AnyConnection::Sqlite(sqlite) => series.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => series.for_share().first(postgres).optional()?,
    };
    Ok(row.map(Series::from))
}

/// Stores a version of a workflow. The stamp is of the workflow's chain, whose end the series keeps.
pub fn insert(
    connection: &mut AnyConnection,
    workflow: &Workflow,
    origin: WorkflowOrigin,
    now: Timestamp,
    _stamp: &Stamp,
) -> Result<(), Error> {
    diesel::insert_into(workflows::table)
        .values((
            workflows::id.eq(workflow.id),
            workflows::key.eq(&workflow.key),
            workflows::version.eq(workflow.version),
            workflows::definition.eq(Json(workflow.clone())),
            workflows::created_at.eq(now),
            workflows::origin.eq(origin),
        ))
        .execute(connection)?;
    Ok(())
}

/// Stores a new series, whose first version is stored.
pub fn insert_series(
    connection: &mut AnyConnection,
    id: WorkflowId,
    key: &str,
    row_version: i64,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::insert_into(workflow_series::table)
        .values((
            workflow_series::id.eq(id),
            workflow_series::key.eq(key),
            workflow_series::row_version.eq(row_version),
            workflow_series::audit_seq.eq(stamp.head().length),
            workflow_series::audit_head.eq(&stamp.head().hash),
        ))
        .execute(connection)?;
    Ok(())
}

/// Stores a changed series over the version before it; [`Error::Stale`] where that is not there.
pub fn update_series(connection: &mut AnyConnection, series: &Series, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(workflow_series, series.id, series.row_version - 1))
        .set((
            workflow_series::row_version.eq(series.row_version),
            workflow_series::retired_at.eq(series.retired_at),
            workflow_series::audit_seq.eq(stamp.head().length),
            workflow_series::audit_head.eq(&stamp.head().hash),
        ))
        .execute(connection)?;
    one_row(hit)
}

/// The active models that name the workflow, by name; at most `limit`.
pub fn active_models(connection: &mut AnyConnection, key: &str, limit: i64) -> Result<Vec<(ModelId, String)>, Error> {
    Ok(models::table
        .filter(models::workflow.eq(key))
        .filter(models::status.eq(ModelStatus::Active))
        .order((models::name.asc(), models::id.asc()))
        .select((models::id, models::name))
        .limit(limit)
        .load(connection)?)
}
