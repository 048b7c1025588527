//! References of releases to what other tools hold.
//!
//! How a thing stands in its own tool may be told in every status of the release, for it moves on by itself; everything
//! else of a reference is written while the release is active.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{active, may_execute, record_part, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::contents::{not_blank, web_address};
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::references::{self, REFERENCES_MAX, ReferenceRow};
use crate::repository::releases::ReleaseRef;

/// A reference to what another tool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "purchase", "source": "erp", "external_id": "PO-2042", "title": "Two card terminals", "url": "https://erp.example.org/PO-2042", "status": "ordered", "finished": false}))]
pub struct NewReference {
    /// Kind.
    pub kind: ReferenceKind,
    /// The tool that holds it.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^,]*$")]
    #[validate(custom(function = not_blank))]
    pub source: String,
    /// Its key there, unique for the kind and the tool in the release.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub external_id: String,
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub title: String,
    /// Where people read it: http or https.
    #[schema(max_length = 2000)]
    #[validate(custom(function = web_address))]
    #[serde(default)]
    pub url: Option<String>,
    /// Its status, in the words of its tool.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub status: Option<String>,
    /// True where it is over there, whatever the tool calls that. While a purchase is not finished, the release does not
    /// leave deployment.
    #[serde(default)]
    #[schema(default = false)]
    pub finished: bool,
}

/// What may be changed of a reference. Its kind, tool and key never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "delivered", "finished": true}))]
pub struct ReferenceFields {
    /// Title; only while the release is active.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub title: String,
    /// Where people read it: http or https; only while the release is active.
    #[schema(max_length = 2000)]
    #[validate(custom(function = web_address))]
    #[serde(default)]
    pub url: Option<String>,
    /// Its status, in the words of its tool.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub status: Option<String>,
    /// True where it is over there, whatever the tool calls that.
    #[serde(default)]
    #[schema(default = false)]
    pub finished: bool,
}

/// A page of the references of a visible release.
pub fn list(context: &mut ReadContext<'_>, release: ReleaseRef, mut query: ListQuery) -> Result<Rows<ReferenceRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, release)?;
    query.conditions.push(Condition { filter: 0, values: vec![SqlValue::Text(release.id.to_string())] });
    Ok(references::page(context.connection, &query, context.now)?)
}

/// One reference of a visible release.
pub fn read(context: &mut ReadContext<'_>, release: ReleaseRef, id: ReleaseReferenceId) -> Result<ReferenceRow> {
    context.authorise(Access::Read)?;
    let release = visible(context, release)?;
    references::find(context.connection, release.id, id)?.ok_or(Error::NotFound("reference"))
}

/// The permit of somebody who may work on the release, or who keeps what other tools own.
fn may_write(context: &mut WriteContext<'_>, release: &Release) -> Result<Permit> {
    if context.actor.global_role == Some(GlobalRole::Integration) {
        return context.authorise(Access::Releases);
    }
    may_execute(context, release)
}

/// Adds a reference.
pub fn add(context: &mut WriteContext<'_>, release: ReleaseRef, draft: Draft<NewReference>) -> Result<ReferenceRow> {
    let release = visible_locked(context, release)?;
    let permit = may_write(context, &release)?;
    active(context, &release)?;
    let new = draft.map_err(Error::Invalid)?;
    if references::is_there(context.connection, release.id, new.kind, &new.source, &new.external_id)? {
        let detail = format!("The release refers to this {} already.", new.kind);
        return Err(Error::conflict("ALREADY_EXISTS", detail));
    }
    if references::count(context.connection, release.id)? >= REFERENCES_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {REFERENCES_MAX} references.")));
    }
    let row = ReferenceRow {
        id: ReleaseReferenceId::new(context.env.new_id(context.now)),
        release_id: release.id,
        kind: new.kind,
        source: new.source,
        external_id: new.external_id,
        title: new.title,
        url: new.url,
        status: new.status,
        finished: new.finished,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    };
    let after = document(&row);
    let stamp = record_part(context, permit, &release, subject(&row), "release.add_reference", (None, Some(&after)))?;
    references::insert(context.connection, &row, &stamp)?;
    Ok(row)
}

/// Changes a reference: how it stands in every status of the release, the rest while it is active.
pub fn patch(
    context: &mut WriteContext<'_>,
    release: ReleaseRef,
    id: ReleaseReferenceId,
    patch: &MergePatch<ReferenceFields>,
) -> Result<ReferenceRow> {
    let release = visible_locked(context, release)?;
    let mut row = own(context, &release, id)?;
    let permit = may_write(context, &release)?;
    context.request.if_match.demand(row.row_version)?;
    let current = json!({"title": row.title, "url": row.url, "status": row.status, "finished": row.finished});
    let differs = |name: &str| patch.document.get(name).is_some_and(|new| *new != current[name]);
    if differs("title") || differs("url") {
        active(context, &release)?;
    }
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    let before = document(&row);
    row.title = fields.title;
    row.url = fields.url;
    row.status = fields.status;
    row.finished = fields.finished;
    let after = document(&row);
    if before == after {
        return Ok(row);
    }
    row.row_version += 1;
    row.updated_at = context.now;
    let states = (Some(&before), Some(&after));
    let stamp = record_part(context, permit, &release, subject(&row), "release.update_reference", states)?;
    references::update(context.connection, &row, &stamp)?;
    Ok(row)
}

/// Removes a reference.
pub fn remove(context: &mut WriteContext<'_>, release: ReleaseRef, id: ReleaseReferenceId) -> Result<()> {
    let release = visible_locked(context, release)?;
    let row = own(context, &release, id)?;
    let permit = may_write(context, &release)?;
    context.request.if_match.demand(row.row_version)?;
    active(context, &release)?;
    let before = document(&row);
    let states = (Some(&before), None);
    let stamp = record_part(context, permit, &release, subject(&row), "release.remove_reference", states)?;
    Ok(references::delete(context.connection, &row, &stamp)?)
}

/// The state of a reference that history compares.
fn document(row: &ReferenceRow) -> Value {
    json!({
        "kind": row.kind, "source": row.source, "external_id": row.external_id, "title": row.title, "url": row.url,
        "status": row.status, "finished": row.finished,
    })
}

fn subject(row: &ReferenceRow) -> (&'static str, String) {
    ("reference", row.id.to_string())
}

fn own(context: &mut WriteContext<'_>, release: &Release, id: ReleaseReferenceId) -> Result<ReferenceRow> {
    references::find(context.connection, release.id, id)?.ok_or(Error::NotFound("reference"))
}
