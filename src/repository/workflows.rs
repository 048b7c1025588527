//! Workflows, versioned and never changed once stored.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::Error;
use super::schema::workflows;
use crate::domain::values::{Json, Timestamp, WorkflowId};
use crate::domain::workflow::Workflow;

/// Finds a version of a workflow.
pub fn find(connection: &mut AnyConnection, id: WorkflowId) -> Result<Option<Workflow>, Error> {
    let row: Option<Json<Workflow>> =
        workflows::table.find(id).select(workflows::definition).first(connection).optional()?;
    Ok(row.map(|json| json.0))
}

/// The newest version of the workflow with the key.
pub fn newest(connection: &mut AnyConnection, key: &str) -> Result<Option<Workflow>, Error> {
    let row: Option<Json<Workflow>> = workflows::table
        .filter(workflows::key.eq(key))
        .order(workflows::version.desc())
        .select(workflows::definition)
        .first(connection)
        .optional()?;
    Ok(row.map(|json| json.0))
}

/// Every version of every workflow, by key, newest version first.
pub fn all(connection: &mut AnyConnection) -> Result<Vec<Workflow>, Error> {
    let rows: Vec<Json<Workflow>> = workflows::table
        .order((workflows::key.asc(), workflows::version.desc()))
        .select(workflows::definition)
        .load(connection)?;
    Ok(rows.into_iter().map(|json| json.0).collect())
}

/// Stores a version of a workflow.
pub fn insert(connection: &mut AnyConnection, workflow: &Workflow, now: Timestamp) -> Result<(), Error> {
    diesel::insert_into(workflows::table)
        .values((
            workflows::id.eq(workflow.id),
            workflows::key.eq(&workflow.key),
            workflows::version.eq(workflow.version),
            workflows::definition.eq(Json(workflow.clone())),
            workflows::created_at.eq(now),
        ))
        .execute(connection)?;
    Ok(())
}
