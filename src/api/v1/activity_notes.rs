//! `/releases/{release}/activities/{id}/time-entries` and `…/comments`: what is noted on activities.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::activity_notes::{COMMENTS, Comment, TIME_ENTRIES_MAX, TimeEntryRow};
use crate::repository::listing::SqlValue;
use crate::service::activity_input::{NewComment, TimeEntryFields};
use crate::service::activity_notes::{self as notes, Noted};
use crate::service::{self, MergePatch, Reply};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_time_entries)
        .service(add_time_entry)
        .service(read_time_entry)
        .service(update_time_entry)
        .service(remove_time_entry)
        .service(list_activity_comments)
        .service(add_activity_comment)
        .service(read_activity_comment);
}

impl Checked for TimeEntryFields {
    const READ_ONLY: &'static [&'static str] =
        &["id", "activity_id", "user_id", "row_version", "created_at", "updated_at"];
}

impl Checked for NewComment {
    const READ_ONLY: &'static [&'static str] =
        &["id", "activity_id", "author_id", "author_name", "row_version", "created_at"];
}

/// Time that somebody spent on an activity.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimeEntry {
    /// Identifier.
    pub id: TimeEntryId,
    /// The activity.
    pub activity_id: ActivityId,
    /// Who spent it.
    pub user_id: UserId,
    /// How long.
    pub minutes: i64,
    /// From when on.
    pub started_at: Option<Timestamp>,
    /// What was done.
    pub note: Option<String>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was noted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<TimeEntryRow> for TimeEntry {
    fn from(row: TimeEntryRow) -> Self {
        Self {
            id: row.id,
            activity_id: row.activity_id,
            user_id: row.user_id,
            minutes: row.minutes,
            started_at: row.started_at,
            note: row.note,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn entry_shown(status: u16, entry: TimeEntryRow) -> service::Result<Reply> {
    let row_version = entry.row_version;
    Ok(Reply::json(status, &TimeEntry::from(entry))?.version(row_version))
}

/// List the time entries of an activity
///
/// All of them, oldest first; an activity has at most 200.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,), ("id" = ActivityId, Path,)), responses((status = 200, body = Page<TimeEntry>)))]
#[get("/releases/{release}/activities/{id}/time-entries")]
async fn list_time_entries(call: Call) -> Answer {
    let path = call.clone();
    call.whole(
        |entry: &TimeEntry| entry.id.to_string(),
        false,
        move |context| {
            context.authorise(Access::Read)?;
            let entries = notes::time_entries(context, path.id("release", "release")?, path.id("id", "activity")?)?;
            Ok(paging::whole(entries, TIME_ENTRIES_MAX))
        },
    )
    .await
}

/// Note time spent on an activity
///
/// Time of the caller's own.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,)),
    request_body = TimeEntryFields,
    responses((status = 201, body = TimeEntry))
)]
#[post("/releases/{release}/activities/{id}/time-entries")]
async fn add_time_entry(call: Call, body: Body<Draft<TimeEntryFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let (release, activity) = (path.id("release", "release")?, path.id("id", "activity")?);
        let (release, entry): Noted<_> = notes::add_time_entry(context, release, activity, draft.clone())?;
        let location = format!("{BASE}/releases/{release}/activities/{activity}/time-entries/{}", entry.id);
        Ok(entry_shown(201, entry)?.about(release).at(location))
    })
    .await
}

/// Read a time entry
///
/// One of an activity.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,), ("entry_id" = TimeEntryId, Path,)),
    responses((status = 200, body = TimeEntry))
)]
#[get("/releases/{release}/activities/{id}/time-entries/{entry_id}")]
async fn read_time_entry(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let (release, activity) = (path.id("release", "release")?, path.id("id", "activity")?);
        entry_shown(200, notes::time_entry(context, release, activity, path.id("entry_id", "time entry")?)?)
    })
    .await
}

/// Correct a time entry
///
/// A JSON merge patch. Whose time it is stays.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,), ("entry_id" = TimeEntryId, Path,)),
    request_body(content = PatchOf<TimeEntryFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = TimeEntry))
)]
#[patch("/releases/{release}/activities/{id}/time-entries/{entry_id}")]
async fn update_time_entry(call: Call, body: Body<MergePatch<TimeEntryFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        let place = (path.id("id", "activity")?, path.id("entry_id", "time entry")?);
        let (release, entry) = notes::patch_time_entry(context, path.id("release", "release")?, place, patch)?;
        Ok(entry_shown(200, entry)?.about(release))
    })
    .await
}

/// Remove a time entry
///
/// The history of the release keeps it.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,), ("entry_id" = TimeEntryId, Path,)),
    responses((status = 204))
)]
#[delete("/releases/{release}/activities/{id}/time-entries/{entry_id}")]
async fn remove_time_entry(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        let (release, activity) = (path.id("release", "release")?, path.id("id", "activity")?);
        notes::remove_time_entry(context, release, activity, path.id("entry_id", "time entry")?)?;
        Ok(Reply::empty())
    })
    .await
}

/// A comment on an activity. It never changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActivityComment {
    /// Identifier.
    pub id: ActivityCommentId,
    /// The activity.
    pub activity_id: ActivityId,
    /// Who wrote it.
    pub author_id: UserId,
    /// Their name.
    pub author_name: String,
    /// What they wrote.
    pub body: String,
    /// Always 1.
    pub row_version: i64,
    /// When it was written.
    pub created_at: Timestamp,
}

impl From<Comment> for ActivityComment {
    fn from(comment: Comment) -> Self {
        Self {
            id: comment.id,
            activity_id: comment.activity_id,
            author_id: comment.author_id,
            author_name: comment.author_name,
            body: comment.body,
            row_version: 1,
            created_at: comment.created_at,
        }
    }
}

/// List the comments on an activity
///
/// Newest first, unless another order is asked for.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,), ("id" = ActivityId, Path,)), responses((status = 200, body = Page<ActivityComment>)))]
#[get("/releases/{release}/activities/{id}/comments")]
async fn list_activity_comments(call: Call) -> Answer {
    let path = call.clone();
    call.list(&COMMENTS, &["activity_id"], move |context, query| {
        context.authorise(Access::Read)?;
        let (release, activity) = (path.id("release", "release")?, path.id("id", "activity")?);
        let rows = notes::comments(context, release, activity, query.clone())?;
        paging::reply(&path, &COMMENTS, &query, rows, ActivityComment::from, |comment, _| {
            (SqlValue::Instant(comment.created_at), comment.id.to_string())
        })
    })
    .await
}

/// Comment on an activity
///
/// In every status of the release: for those who may work on the activity, those whom it is given to, and the acting
/// requester.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,)),
    request_body = NewComment,
    responses((status = 201, body = ActivityComment))
)]
#[post("/releases/{release}/activities/{id}/comments")]
async fn add_activity_comment(call: Call, body: Body<Draft<NewComment>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let (release, activity) = (path.id("release", "release")?, path.id("id", "activity")?);
        let (release, comment): Noted<_> = notes::add_comment(context, release, activity, draft.clone())?;
        let location = format!("{BASE}/releases/{release}/activities/{activity}/comments/{}", comment.id);
        let reply = Reply::json(201, &ActivityComment::from(comment))?;
        Ok(reply.version(1).about(release).at(location))
    })
    .await
}

/// Read a comment on an activity
///
/// One of them.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,), ("comment_id" = ActivityCommentId, Path,)),
    responses((status = 200, body = ActivityComment))
)]
#[get("/releases/{release}/activities/{id}/comments/{comment_id}")]
async fn read_activity_comment(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let (release, activity) = (path.id("release", "release")?, path.id("id", "activity")?);
        let comment = notes::comment(context, release, activity, path.id("comment_id", "comment")?)?;
        Ok(Reply::json(200, &ActivityComment::from(comment))?.version(1))
    })
    .await
}
