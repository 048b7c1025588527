//! The records of releases: what was done, seen and said. An entry never changes; a correction is an entry of its own
//! that names the one that it corrects.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{may_execute, record_part, visible, visible_locked};
use super::{Error, ReadContext, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::contents::not_blank;
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::records::{self, Entry, RECORDS_MAX, RecordRow};
use crate::repository::releases::ReleaseRef;

fn other() -> Origin {
    Origin::Other
}

/// An entry for the records of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "communication", "origin": "phone", "category": "vendor", "minutes_spent": 15, "contact": "Rui Lima", "body": "The vendor confirms the night of the deployment."}))]
pub struct NewRecord {
    /// Kind.
    pub kind: RecordKind,
    /// The installation's own word for what it is about.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^,]*$")]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub category: Option<String>,
    /// How it came about.
    #[serde(default = "other")]
    #[schema(default = "other")]
    pub origin: Origin,
    /// Minutes of work, at most a year of them.
    #[schema(minimum = 0, maximum = 525600)]
    #[serde(default)]
    pub minutes_spent: Option<i64>,
    /// Whom it was with.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub contact: Option<String>,
    /// The words.
    #[schema(min_length = 1, max_length = 65000)]
    #[validate(custom(function = not_blank))]
    pub body: String,
    /// The entry of the same release that this one corrects. An entry is corrected once; a correction is corrected in
    /// its turn.
    #[serde(default)]
    pub corrects_id: Option<ReleaseRecordId>,
}

/// A page of the records of a visible release.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef, mut query: ListQuery) -> Result<Rows<Entry>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    query.conditions.push(Condition { filter: 0, values: vec![SqlValue::Text(release.id.to_string())] });
    Ok(records::page(context.connection, &query, context.now)?)
}

/// One entry in the records of a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ReleaseRecordId) -> Result<Entry> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    records::find(context.connection, release.id, id)?.ok_or(Error::NotFound("record"))
}

/// Adds an entry, whatever the status of the release.
pub fn add(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewRecord>) -> Result<Entry> {
    let release = visible_locked(context, reference)?;
    let permit = may_execute(context, &release)?;
    let new = draft.map_err(Error::Invalid)?;
    if let Some(id) = new.corrects_id {
        match records::find(context.connection, release.id, id)? {
            None => return Err(Error::Invalid(vec![Fault::unknown("/corrects_id", "record")])),
            Some((_, Some(later))) => {
                let detail = format!("The entry is corrected already, by {later}; correct that one.");
                let fault = Fault::at("/corrects_id", "ALREADY_EXISTS", detail.clone());
                let faults = vec![fault];
                return Err(Error::Conflict { code: "ALREADY_EXISTS", detail, standing: None, faults });
            }
            Some((_, None)) => {}
        }
    }
    if records::count(context.connection, release.id)? >= RECORDS_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {RECORDS_MAX} records.")));
    }
    let after = json!({
        "kind": new.kind, "category": new.category, "origin": new.origin, "minutes_spent": new.minutes_spent,
        "contact": new.contact, "body": new.body, "corrects_id": new.corrects_id,
    });
    let row = RecordRow {
        id: ReleaseRecordId::new(context.env.new_id(context.now)),
        release_id: release.id,
        kind: new.kind,
        category: new.category,
        origin: new.origin,
        minutes_spent: new.minutes_spent,
        contact: new.contact,
        body: new.body,
        corrects_id: new.corrects_id,
        author_id: context.actor.user_id,
        created_at: context.now,
    };
    let subject = ("record", row.id.to_string());
    let stamp = record_part(context, permit, &release, subject, "release.add_record", (None, Some(&after)))?;
    records::insert(context.connection, &row, &stamp)?;
    Ok((row, None))
}
