//! What is noted on activities: time spent, and comments.

use serde_json::{Value, json};

use super::activities::{current, own, workable};
use super::activity_input::{NewComment, TimeEntryFields};
use super::releases::{active, may_execute, record_part, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::activities::ActivityRow;
use crate::repository::activity_notes::{self as notes, COMMENTS_MAX, Comment, TIME_ENTRIES_MAX, TimeEntryRow};
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::nouns::User;
use crate::repository::releases::ReleaseRef;

/// A time entry of an activity, with the release.
pub type Noted<T> = (ReleaseId, T);

/// The time entries of an activity of a visible release.
pub fn time_entries(
    context: &mut ReadContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
) -> Result<Vec<TimeEntryRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    own(context, &release, activity)?;
    Ok(notes::time_entries(context.connection, activity)?)
}

/// One time entry.
pub fn time_entry(
    context: &mut ReadContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
    id: TimeEntryId,
) -> Result<TimeEntryRow> {
    let entries = time_entries(context, reference, activity)?;
    entries.into_iter().find(|entry| entry.id == id).ok_or(Error::NotFound("time entry"))
}

fn entry_document(entry: &TimeEntryRow) -> Value {
    json!({
        "activity_id": entry.activity_id,
        "user_id": entry.user_id,
        "minutes": entry.minutes,
        "started_at": entry.started_at,
        "note": entry.note,
    })
}

fn entry_faults(fields: &TimeEntryFields, now: Timestamp) -> Result<()> {
    match fields.started_at {
        Some(at) if at > now => {
            let detail = "Time that was spent did not begin in the future.";
            Err(Error::Invalid(vec![Fault::at("/started_at", "IN_THE_FUTURE", detail)]))
        }
        _ => Ok(()),
    }
}

/// Notes time that the caller spent on an activity.
pub fn add_time_entry(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
    draft: Draft<TimeEntryFields>,
) -> Result<Noted<TimeEntryRow>> {
    let (release, row, permit) = workable(context, reference, activity)?;
    active(context, &release)?;
    current(context, &release, &row)?;
    let entries = notes::time_entries(context.connection, activity)?;
    if i64::try_from(entries.len()).is_ok_and(|count| count >= TIME_ENTRIES_MAX) {
        let detail = format!("An activity has at most {TIME_ENTRIES_MAX} time entries.");
        return Err(Error::conflict("LIMIT_REACHED", detail));
    }
    let fields = draft.map_err(Error::Invalid)?;
    entry_faults(&fields, context.now)?;
    let entry = TimeEntryRow {
        id: TimeEntryId::new(context.env.new_id(context.now)),
        activity_id: activity,
        user_id: context.actor.user_id,
        minutes: fields.minutes,
        started_at: fields.started_at,
        note: fields.note,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    };
    let after = entry_document(&entry);
    let subject = ("time_entry", entry.id.to_string());
    let stamp = record_part(context, permit, &release, subject, "release.add_time_entry", (None, Some(&after)))?;
    notes::insert_time_entry(context.connection, release.id, &entry, &stamp)?;
    Ok((release.id, entry))
}

/// A time entry to be corrected or removed.
fn own_entry(context: &mut WriteContext<'_>, activity: ActivityId, id: TimeEntryId) -> Result<TimeEntryRow> {
    let entries = notes::time_entries(context.connection, activity)?;
    entries.into_iter().find(|entry| entry.id == id).ok_or(Error::NotFound("time entry"))
}

/// Corrects a time entry.
pub fn patch_time_entry(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    (activity, id): (ActivityId, TimeEntryId),
    patch: &MergePatch<TimeEntryFields>,
) -> Result<Noted<TimeEntryRow>> {
    let release = visible_locked(context, reference)?;
    let row = own(context, &release, activity)?;
    let entry = own_entry(context, activity, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(entry.row_version)?;
    active(context, &release)?;
    current(context, &release, &row)?;
    let given = json!({"minutes": entry.minutes, "started_at": entry.started_at, "note": entry.note});
    let fields = patch.apply(given).map_err(Error::Invalid)?;
    if fields.started_at != entry.started_at {
        entry_faults(&fields, context.now)?;
    }
    let after = TimeEntryRow {
        minutes: fields.minutes,
        started_at: fields.started_at,
        note: fields.note,
        row_version: entry.row_version + 1,
        updated_at: context.now,
        ..entry.clone()
    };
    let (old, new) = (entry_document(&entry), entry_document(&after));
    if old == new {
        return Ok((release.id, entry));
    }
    let subject = ("time_entry", id.to_string());
    let stamp = record_part(context, permit, &release, subject, "release.update_time_entry", (Some(&old), Some(&new)))?;
    notes::update_time_entry(context.connection, release.id, &entry, &after, &stamp)?;
    Ok((release.id, after))
}

/// Removes a time entry; the history keeps it.
pub fn remove_time_entry(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
    id: TimeEntryId,
) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let row = own(context, &release, activity)?;
    let entry = own_entry(context, activity, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(entry.row_version)?;
    active(context, &release)?;
    current(context, &release, &row)?;
    let before = entry_document(&entry);
    let subject = ("time_entry", id.to_string());
    let stamp = record_part(context, permit, &release, subject, "release.remove_time_entry", (Some(&before), None))?;
    Ok(notes::delete_time_entry(context.connection, release.id, &entry, &stamp)?)
}

/// A page of the comments on an activity of a visible release.
pub fn comments(
    context: &mut ReadContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
    mut query: ListQuery,
) -> Result<Rows<Comment>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    own(context, &release, activity)?;
    query.conditions = vec![Condition { filter: 0, values: vec![SqlValue::Text(activity.to_string())] }];
    Ok(notes::comments(context.connection, &query, context.now)?)
}

/// One comment.
pub fn comment(
    context: &mut ReadContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
    id: ActivityCommentId,
) -> Result<Comment> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    own(context, &release, activity)?;
    notes::comment(context.connection, activity, id)?.ok_or(Error::NotFound("comment"))
}

/// Who may comment: whoever may work on the activity, whoever it is given to, and the acting requester.
fn may_comment(context: &mut WriteContext<'_>, release: &Release, row: &ActivityRow) -> Result<Permit> {
    let permit = context.authorise(Access::Releases)?;
    let actor = &context.actor;
    let given = row.assignee_id == Some(actor.user_id) || row.group_id.is_some_and(|group| actor.belongs_to(group));
    if given || release.is_requested_by(actor) { Ok(permit) } else { may_execute(context, release) }
}

/// Appends a comment, whatever the status of the release.
pub fn add_comment(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    activity: ActivityId,
    draft: Draft<NewComment>,
) -> Result<Noted<Comment>> {
    let release = visible_locked(context, reference)?;
    let row = own(context, &release, activity)?;
    let permit = may_comment(context, &release, &row)?;
    if row.comment_count >= COMMENTS_MAX {
        let detail = format!("An activity has at most {COMMENTS_MAX} comments.");
        return Err(Error::conflict("LIMIT_REACHED", detail));
    }
    let new = draft.map_err(Error::Invalid)?;
    let author = context.actor.user_id;
    let author = context.reference::<User>(author)?.ok_or(Error::NotFound("user"))?;
    let comment = Comment {
        id: ActivityCommentId::new(context.env.new_id(context.now)),
        activity_id: activity,
        author_id: author.id,
        author_name: author.content.name.clone(),
        body: new.body,
        created_at: context.now,
    };
    let after = json!({"activity_id": activity, "body": comment.body});
    let subject = ("activity_comment", comment.id.to_string());
    let stamp = record_part(context, permit, &release, subject, "release.comment_activity", (None, Some(&after)))?;
    notes::insert_comment(context.connection, release.id, &comment, &stamp)?;
    Ok((release.id, comment))
}
