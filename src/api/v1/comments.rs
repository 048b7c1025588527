//! `/releases/{release}/comments`: the discussion of a release.

use actix_web::{get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, ReleaseCommentId, Timestamp, UserId};
use crate::repository::comments::{CommentRow, LIST};
use crate::repository::listing::{ListQuery, SqlValue};
use crate::repository::releases::ReleaseRef;
use crate::service::comments::{self, NewReleaseComment};
use crate::service::{ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_release_comments).service(create_release_comment).service(read_release_comment);
}

impl Checked for NewReleaseComment {
    const READ_ONLY: &'static [&'static str] = &["id", "author_id", "row_version", "created_at"];
}

/// A comment on a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseComment {
    /// Identifier.
    pub id: ReleaseCommentId,
    /// The words.
    #[schema(max_length = 10000, example = "Can we move this behind the holidays?")]
    pub body: String,
    /// The comment that this one answers.
    pub reply_to_id: Option<ReleaseCommentId>,
    /// Who wrote it.
    pub author_id: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Always 1: a comment never changes.
    pub row_version: i64,
}

impl From<CommentRow> for ReleaseComment {
    fn from(row: CommentRow) -> Self {
        Self {
            id: row.id,
            body: row.body,
            reply_to_id: row.reply_to_id,
            author_id: row.author_id,
            created_at: row.created_at,
            row_version: 1,
        }
    }
}

fn shown(status: u16, row: CommentRow) -> crate::service::Result<Reply> {
    let release = row.release_id;
    Ok(Reply::json(status, &ReleaseComment::from(row))?.version(1).about(release))
}

/// List the comments on a release
///
/// Newest first, unless sorted otherwise; a release has at most 10 000.
#[utoipa::path(tag = "Comments", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseComment>)))]
#[get("/releases/{release}/comments")]
async fn list_release_comments(call: Call) -> Answer {
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
) -> Result<Page<ReleaseComment>> {
    let rows = comments::list(context, release, query.clone())?;
    Ok(paging::page(&LIST, query, rows, ReleaseComment::from, |row, _| {
        (SqlValue::Instant(row.created_at), row.id.to_string())
    }))
}

/// Comment on a release
///
/// Everybody who sees the release may, whatever its status. A comment never changes; it can be answered.
#[utoipa::path(tag = "Comments", params(("release" = String, Path,)), request_body = NewReleaseComment, responses((status = 201, body = ReleaseComment)))]
#[post("/releases/{release}/comments")]
async fn create_release_comment(call: Call, body: Body<Draft<NewReleaseComment>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let row = comments::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/comments/{}", row.release_id, row.id);
        Ok(shown(201, row)?.at(location))
    })
    .await
}

/// Read a comment on a release
///
/// As it was written.
#[utoipa::path(tag = "Comments", params(("release" = String, Path,), ("id" = ReleaseCommentId, Path,)), responses((status = 200, body = ReleaseComment)))]
#[get("/releases/{release}/comments/{id}")]
async fn read_release_comment(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, comments::read(context, path.id("release", "release")?, path.id("id", "comment")?)?)
    })
    .await
}
