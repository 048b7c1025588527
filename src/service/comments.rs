//! The discussion of releases. A comment never changes: what was said was said.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{record_part, visible, visible_locked};
use super::{Error, ReadContext, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::comments::{self, COMMENTS_MAX, CommentRow};
use crate::repository::contents::not_blank;
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::releases::ReleaseRef;

/// A comment on a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"body": "Can we move this behind the holidays?"}))]
pub struct NewReleaseComment {
    /// The words.
    #[schema(min_length = 1, max_length = 10000)]
    #[validate(custom(function = not_blank))]
    pub body: String,
    /// The comment on the same release that this one answers.
    #[serde(default)]
    pub reply_to_id: Option<ReleaseCommentId>,
}

/// A page of the comments on a visible release.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef, mut query: ListQuery) -> Result<Rows<CommentRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    query.conditions.push(Condition { filter: 0, values: vec![SqlValue::Text(release.id.to_string())] });
    Ok(comments::page(context.connection, &query, context.now)?)
}

/// One comment on a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ReleaseCommentId) -> Result<CommentRow> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    comments::find(context.connection, release.id, id)?.ok_or(Error::NotFound("comment"))
}

/// Adds a comment, whatever the status of the release: everybody who sees it may.
pub fn add(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    draft: Draft<NewReleaseComment>,
) -> Result<CommentRow> {
    let release = visible_locked(context, reference)?;
    let permit = context.authorise(Access::Releases)?;
    // Seeing is all that is asked. What was taken away while the lock was waited for is looked at again.
    visible(context, ReleaseRef::Id(release.id))?;
    let new = draft.map_err(Error::Invalid)?;
    if let Some(id) = new.reply_to_id
        && comments::find(context.connection, release.id, id)?.is_none()
    {
        return Err(Error::Invalid(vec![Fault::unknown("/reply_to_id", "comment")]));
    }
    if comments::count(context.connection, release.id)? >= COMMENTS_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {COMMENTS_MAX} comments.")));
    }
    let after = json!({"body": new.body, "reply_to_id": new.reply_to_id});
    let row = CommentRow {
        id: ReleaseCommentId::new(context.env.new_id(context.now)),
        release_id: release.id,
        reply_to_id: new.reply_to_id,
        author_id: context.actor.user_id,
        body: new.body,
        created_at: context.now,
    };
    let subject = ("comment", row.id.to_string());
    let stamp = record_part(context, permit, &release, subject, "release.add_comment", (None, Some(&after)))?;
    comments::insert(context.connection, &row, &stamp)?;
    Ok(row)
}
