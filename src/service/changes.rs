//! Changes by their own key, and their links to releases.

use serde_json::{Value, json};

use super::catalogue::{self, Rules};
use super::releases::{locked_plan, visible_locked};
use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::changes::{self, LINKS_MAX, Link, LinkRow};
use crate::repository::nouns::{Change, Noun, Record};
use crate::repository::releases::ReleaseRef;

/// Stores the working copy of a change under its own key. True where it was new. An older
/// `source_revision` is refused; the same content again changes nothing.
pub fn upsert(
    context: &mut WriteContext<'_>,
    source: &str,
    external_id: &str,
    draft: Draft<Change>,
) -> Result<(Record<Change>, bool)> {
    let permit = context.authorise(Change::ACCESS)?;
    let stored = changes::lock_by_key(context.connection, source, external_id)?;
    let content = match draft {
        Ok(content) => content,
        Err(faults) => return Err(Error::Invalid(faults)),
    };
    let Some(record) = stored else {
        Error::unless_none(content.faults(context, None, None)?)?;
        // Somebody else may store the same key at this moment: then this runs again, and finds it.
        return match catalogue::insert(context, permit, content, &[]) {
            Err(Error::Conflict { code: "ALREADY_EXISTS", .. }) => Err(crate::repository::Error::Stale.into()),
            result => Ok((result?, true)),
        };
    };
    if let (Some(kept), Some(given)) = (record.content.source_revision, content.source_revision)
        && given < kept
    {
        return Err(Error::conflict("OLDER_REVISION", format!("Revision {kept} is stored; {given} is older.")));
    }
    Error::unless_none(content.faults(context, Some(record.id), Some(&record.content))?)?;
    // Without a revision the last one known stays the guard against older ones.
    let content = Change { source_revision: content.source_revision.or(record.content.source_revision), ..content };
    Ok((catalogue::store(context, permit, record, content)?, false))
}

/// A change to be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// The change.
    pub change_id: ChangeId,
}

/// What may be written on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFields {
    /// What became of the change.
    pub outcome: ChangeOutcome,
    /// Words that go with it.
    pub outcome_note: Option<String>,
}

/// The links of a visible release.
pub fn links(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Vec<Link>> {
    context.authorise(Access::Read)?;
    let release = super::releases::visible(context, reference)?;
    Ok(changes::links_of(context.connection, &[release.id])?)
}

/// One link of a visible release.
pub fn link(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ChangeLinkId) -> Result<Link> {
    links(context, reference)?.into_iter().find(|link| link.row.id == id).ok_or(Error::NotFound("change link"))
}

/// The changes to be linked, or what is wrong with them. `pointer` names the list or the field.
pub fn linkable(
    context: &mut WriteContext<'_>,
    ids: &[ChangeId],
    pointer: impl Fn(usize) -> String,
) -> Result<std::result::Result<Vec<Record<Change>>, Vec<Fault>>> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let pointer = pointer(index);
        if ids[..index].contains(id) {
            faults.push(Fault::at(pointer, "REPEATED", "The change is in the list more than once."));
            continue;
        }
        match Change::find(context.connection, *id)? {
            None => faults.push(Fault::unknown(pointer, "change")),
            Some(change) if !change.content.status.is_linkable() => faults.push(Fault::at(
                pointer,
                "CHANGE_NOT_LINKABLE",
                format!("A change that is `{}` cannot be linked.", change.content.status),
            )),
            Some(change) => found.push(change),
        }
    }
    Ok(if faults.is_empty() { Ok(found) } else { Err(faults) })
}

fn writable(context: &mut WriteContext<'_>, release: &Release) -> Result<Permit> {
    super::releases::may_execute(context, release)
}

/// Links a change.
pub fn add_link(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewLink>) -> Result<Link> {
    let release = visible_locked(context, reference)?;
    let permit = writable(context, &release)?;
    super::releases::active(context, &release)?;
    locked_plan(context, &release, "/change_id")?;
    let change_id = draft.map_err(Error::Invalid)?.change_id;
    let links = changes::links_of(context.connection, &[release.id])?;
    if links.iter().any(|link| link.row.change_id == change_id) {
        return Err(Error::conflict("ALREADY_EXISTS", "The change is linked to the release already."));
    }
    if i64::try_from(links.len()).is_ok_and(|count| count >= LINKS_MAX) {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {LINKS_MAX} linked changes.")));
    }
    let change = linkable(context, &[change_id], |_| "/change_id".into())?
        .map_err(Error::Invalid)?
        .pop()
        .ok_or(Error::NotFound("change"))?;
    let row = new_row(context, release.id, change_id);
    let after = link_document(&row);
    let stamp = record_link(context, permit, &release, &row, "release.link_change", None, Some(&after))?;
    let stamp = reset_votes(context, permit, &release, stamp)?;
    changes::insert_link(context.connection, &row, &stamp)?;
    Ok(linked(row, &change))
}

/// Other changes than before are another release to approve.
fn reset_votes(context: &mut WriteContext<'_>, permit: Permit, release: &Release, stamp: Stamp) -> Result<Stamp> {
    let reset = super::approvals::reset_votes(context, permit, release, &stamp, "The linked changes changed.")?;
    Ok(reset.unwrap_or(stamp))
}

/// A fresh link, not stored yet.
pub fn new_row(context: &WriteContext<'_>, release: ReleaseId, change: ChangeId) -> LinkRow {
    fresh(ChangeLinkId::new(context.env.new_id(context.now)), release, change, context.now)
}

/// The row of a fresh link.
pub(super) const fn fresh(id: ChangeLinkId, release: ReleaseId, change: ChangeId, now: Timestamp) -> LinkRow {
    LinkRow {
        id,
        release_id: release,
        change_id: change,
        outcome: ChangeOutcome::Pending,
        outcome_note: None,
        row_version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// A link with its change.
pub fn linked(row: LinkRow, change: &Record<Change>) -> Link {
    Link {
        row,
        source: change.content.source.clone(),
        external_id: change.content.external_id.clone(),
        title: change.content.title.clone(),
        status: change.content.status,
        window: change.content.window.as_ref().map(|json| json.0),
    }
}

/// The state of a link that history compares.
pub(super) fn link_document(row: &LinkRow) -> Value {
    json!({"change_id": row.change_id, "outcome": row.outcome, "outcome_note": row.outcome_note})
}

fn record_link(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    row: &LinkRow,
    action: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<Stamp> {
    context.record(permit, &release.chain, link_change(row, action, before, after))
}

/// A change of a link, in the chain of its release.
pub(super) fn link_change<'v>(
    row: &LinkRow,
    action: &str,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
) -> Recorded<'v> {
    Recorded {
        record_type: "release",
        record_id: row.release_id.to_string(),
        subject: Some(("change_link", row.id.to_string())),
        action: action.into(),
        before,
        after,
        published: true,
    }
}

/// Records what became of a linked change.
pub fn patch_link(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ChangeLinkId,
    patch: &super::MergePatch<LinkFields>,
) -> Result<Link> {
    let release = visible_locked(context, reference)?;
    let mut link = own_link(context, &release, id)?;
    let permit = writable(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    super::releases::active(context, &release)?;
    let current = json!({"outcome": link.row.outcome, "outcome_note": link.row.outcome_note});
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    let before = link_document(&link.row);
    link.row.outcome = fields.outcome;
    link.row.outcome_note = fields.outcome_note;
    let after = link_document(&link.row);
    if before == after {
        return Ok(link);
    }
    link.row.row_version += 1;
    link.row.updated_at = context.now;
    let stamp =
        record_link(context, permit, &release, &link.row, "release.update_change_link", Some(&before), Some(&after))?;
    changes::update_link(context.connection, &link.row, &stamp)?;
    Ok(link)
}

/// Removes a link.
pub fn remove_link(context: &mut WriteContext<'_>, reference: ReleaseRef, id: ChangeLinkId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let link = own_link(context, &release, id)?;
    let permit = writable(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    super::releases::active(context, &release)?;
    locked_plan(context, &release, "")?;
    let before = link_document(&link.row);
    let stamp = record_link(context, permit, &release, &link.row, "release.unlink_change", Some(&before), None)?;
    let stamp = reset_votes(context, permit, &release, stamp)?;
    Ok(changes::delete_link(context.connection, &link.row, &stamp)?)
}

fn own_link(context: &mut WriteContext<'_>, release: &Release, id: ChangeLinkId) -> Result<Link> {
    changes::links_of(context.connection, &[release.id])?
        .into_iter()
        .find(|link| link.row.id == id)
        .ok_or(Error::NotFound("change link"))
}
