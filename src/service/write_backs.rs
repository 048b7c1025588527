//! What the tools that own configuration items are told, and what they answer: each once.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{record_part, standing_conflict, visible_locked};
use super::{Error, ReadContext, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::contents::not_blank;
use crate::repository::listing::{ListQuery, Rows};
use crate::repository::releases::ReleaseRef;
use crate::repository::write_backs::{self, WriteBack, WriteBackRow};

/// The tool took over what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"cmdb_revision": "rev-8812"}))]
pub struct Confirmation {
    /// Its own revision of the item.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub cmdb_revision: String,
}

/// The tool will not take over what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "The item is locked by an audit."}))]
pub struct Rejection {
    /// Why.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    pub note: String,
}

/// A page of the write-backs of visible releases.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<Rows<WriteBack>> {
    context.authorise(Access::Read)?;
    let visibility = context.actor.visibility();
    Ok(write_backs::page(context.connection, query, &visibility, context.now)?)
}

/// A write-back of a visible release.
pub fn read(context: &mut ReadContext<'_>, id: WriteBackId) -> Result<WriteBack> {
    context.authorise(Access::Read)?;
    find(context, id)
}

fn find(context: &mut ReadContext<'_>, id: WriteBackId) -> Result<WriteBack> {
    let visibility = context.actor.visibility();
    write_backs::find(context.connection, id, &visibility)?.ok_or(Error::NotFound("write-back"))
}

/// The tool took it over.
pub fn confirm(context: &mut WriteContext<'_>, id: WriteBackId, draft: Draft<Confirmation>) -> Result<WriteBack> {
    let given = draft.map(|confirmation| Answer {
        state: WriteBackState::Confirmed,
        cmdb_revision: Some(confirmation.cmdb_revision),
        note: None,
    });
    answer(context, id, "release.confirm_write_back", given)
}

/// The tool will not take it over.
pub fn refuse(context: &mut WriteContext<'_>, id: WriteBackId, draft: Draft<Rejection>) -> Result<WriteBack> {
    let given = draft.map(|rejection| Answer {
        state: WriteBackState::Refused,
        cmdb_revision: None,
        note: Some(rejection.note),
    });
    answer(context, id, "release.refuse_write_back", given)
}

/// What a tool says.
struct Answer {
    state: WriteBackState,
    cmdb_revision: Option<String>,
    note: Option<String>,
}

/// A tool answers once, and while the release is closed: one that was reopened may still change the item.
fn answer(
    context: &mut WriteContext<'_>,
    id: WriteBackId,
    action: &'static str,
    given: Draft<Answer>,
) -> Result<WriteBack> {
    let release = find(context, id)?.row.release_id;
    let release = visible_locked(context, ReleaseRef::Id(release))?;
    let permit = context.authorise(Access::Integration)?;
    let mut found = find(context, id)?;
    context.request.if_match.honour(found.row.row_version)?;
    if release.status != Status::Closed {
        let detail =
            format!("What a release changed is answered while it is closed; this one is `{}`.", release.status);
        return Err(standing_conflict(context, &release, "STATE_FORBIDS", detail, Vec::new()));
    }
    if !found.row.state.is_open() {
        let detail = format!("The write-back was answered already: it is `{}`.", found.row.state);
        return Err(standing_conflict(context, &release, "ALREADY_ANSWERED", detail, Vec::new()));
    }
    let Answer { state, cmdb_revision, note } = given.map_err(Error::Invalid)?;
    let before = document(&found.row);
    let row = &mut found.row;
    (row.state, row.cmdb_revision, row.note) = (state, cmdb_revision, note);
    row.answered_at = Some(context.now);
    row.answered_by = Some(context.actor.user_id);
    row.row_version += 1;
    row.updated_at = context.now;
    let after = document(row);
    let (subject, states) = (("write_back", id.to_string()), (Some(&before), Some(&after)));
    let stamp = record_part(context, permit, &release, subject, action, states)?;
    write_backs::update(context.connection, row, &stamp)?;
    Ok(found)
}

/// The state of a write-back that history compares.
fn document(row: &WriteBackRow) -> Value {
    json!({
        "configuration_item_id": row.configuration_item_id, "kind": row.kind, "state": row.state,
        "cmdb_revision": row.cmdb_revision, "note": row.note,
    })
}
