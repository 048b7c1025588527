//! The transitions that were applied to releases.

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::Error;
use super::journal::Journal;
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Sort, SortKind, Sql};
use super::pages;
use super::schema::transitions;
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// An applied transition.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = transitions, treat_none_as_default_value = false)]
pub struct TransitionRow {
    /// Identifier.
    pub id: TransitionId,
    /// The release.
    pub release_id: ReleaseId,
    /// Position in the release's audit chain.
    pub seq: i64,
    /// The action.
    pub action: Action,
    /// Status before.
    pub from_status: Status,
    /// Status after.
    pub to_status: Status,
    /// Stage before.
    pub from_stage: String,
    /// Stage after.
    pub to_stage: String,
    /// The catalogued reason.
    pub justification_id: Option<JustificationId>,
    /// Category of the solution.
    pub solution_category_id: Option<SolutionCategoryId>,
    /// What else the caller gave, as JSON.
    pub details: Json<serde_json::Map<String, serde_json::Value>>,
    /// Who did it.
    pub actor_id: UserId,
    /// When.
    pub at: Timestamp,
}

/// Stores an applied transition.
pub fn insert(journal: &mut Journal, row: &TransitionRow, _stamp: &Stamp) {
    journal.transition(row.clone());
}

/// The transitions of one release.
pub const TRANSITIONS: ListSpec = ListSpec {
    name: "transitions",
    from: "transitions",
    id: "transitions.id",
    filters: &[Filter { name: "release_id", kind: Kind::Id, sql: Sql::Column("transitions.release_id"), doc: "" }],
    sorts: &[Sort { name: "seq", column: "transitions.seq", kind: SortKind::Integer }],
    default_sort: "-seq",
};

/// Answers a page of transitions.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<TransitionRow>, Error> {
    pages::page(connection, transitions::all_columns, &TRANSITIONS, query, &Visibility::Everything, now)
}
