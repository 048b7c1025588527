//! Links of changes to releases.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::catalogue;
use super::item_links::store_brought;
use super::linkable_items::{Brought, Known};
use super::releases::{locked_plan, standing_conflict, visible_locked};
use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::facts::pending_in;
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::audit::Stamp;
use crate::repository::changes::{self, Carried, LINKS_MAX, Link, LinkRow, OutcomeRow};
use crate::repository::item_links::ItemLink;
use crate::repository::nouns::{Change, Noun, Record};
use crate::repository::releases::ReleaseRef;

/// So many releases are told of with a change.
const OUTCOMES_MAX: i64 = 200;

/// A change, with what became of it in the newest of the visible releases that carry it.
pub fn read_with_outcomes(context: &mut ReadContext<'_>, id: ChangeId) -> Result<(Record<Change>, Vec<OutcomeRow>)> {
    let change = catalogue::read::<Change>(context, id)?;
    let visibility = context.actor.visibility();
    let outcomes = changes::outcomes_of(context.connection, id, &visibility, OUTCOMES_MAX)?;
    Ok((change, outcomes))
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

/// The changes to be linked, or what is wrong with them; locked until the transaction ends, so that of two releases that
/// are about to carry one of them, one sees the other. `pointer` names the list or the field.
pub fn linkable(
    context: &mut WriteContext<'_>,
    ids: &[ChangeId],
    pointer: impl Fn(usize) -> String,
) -> Result<std::result::Result<Vec<Record<Change>>, Vec<Fault>>> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    let mut locked = HashMap::new();
    // In one order, so that nobody waits in a circle.
    for id in ids.iter().collect::<BTreeSet<_>>() {
        locked.insert(*id, Change::lock(context.connection, *id)?);
    }
    for (index, id) in ids.iter().enumerate() {
        let pointer = pointer(index);
        if ids[..index].contains(id) {
            faults.push(Fault::at(pointer, "REPEATED", "The change is in the list more than once."));
            continue;
        }
        match locked.remove(id).flatten() {
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

/// Refuses where another release under way carries one of these changes and has not said what became of it, unless the
/// workflow of the release lets it share them. The changes are locked.
pub(super) fn refuse_shared(
    context: &mut WriteContext<'_>,
    workflow: &Workflow,
    (release, ids): (Option<&Release>, &[ChangeId]),
    pointer: impl Fn(usize) -> String,
) -> Result<()> {
    if workflow.shared_changes || ids.is_empty() {
        return Ok(());
    }
    let visibility = context.actor.visibility();
    let but = release.map(|release| release.id);
    let carried = changes::carried_elsewhere(context.connection, ids, but, &visibility)?;
    let fault = |carried: &Carried| {
        let index = ids.iter().position(|id| *id == carried.change_id).unwrap_or_default();
        let detail = format!("The change is {}.", pending_in(&carried.by()));
        Fault::at(pointer(index), "CHANGE_IN_ANOTHER_RELEASE", detail)
    };
    let faults: Vec<Fault> = carried.iter().map(fault).collect();
    let Some(first) = faults.first() else { return Ok(()) };
    let (code, detail) = (first.code, first.detail.clone());
    Err(match release {
        Some(release) => standing_conflict(context, release, code, detail, faults),
        None => Error::Conflict { code, detail, standing: None, faults },
    })
}

/// Holds the changes of a release until the transaction ends: nobody else is about to carry one of them from here on.
pub(super) fn hold(context: &mut WriteContext<'_>, release: ReleaseId) -> Result<()> {
    let links = changes::links_of(context.connection, &[release])?;
    // In one order, so that nobody waits in a circle.
    for id in links.iter().map(|link| link.row.change_id).collect::<BTreeSet<_>>() {
        Change::lock(context.connection, id)?;
    }
    Ok(())
}

fn writable(context: &mut WriteContext<'_>, release: &Release) -> Result<Permit> {
    super::releases::may_execute(context, release)
}

/// A change that was just linked, with the configuration items that it brought.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The link.
    pub link: Link,
    /// The links of the items that it brought.
    pub items: Vec<ItemLink>,
    /// Those of its items that were linked already, and those that there was no room for.
    pub brought: Brought,
}

/// Links a change, and the configuration items that it is about.
pub fn add_link(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewLink>) -> Result<Linked> {
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
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    refuse_shared(context, &workflow, (Some(&release), &[change_id]), |_| "/change_id".into())?;
    let brought = match change.content.configuration_item_ids.0.as_slice() {
        [] => Brought::default(),
        ids => Known::load(context, Some(release.id), ids, &[])?.bring(ids),
    };
    let row = new_row(context, release.id, change_id);
    let mut after = link_document(&row);
    if !brought.linked.is_empty() {
        after["configuration_items"] = brought.linked.iter().map(|item| json!(item.id)).collect();
    }
    let stamp = record_link(context, permit, &release, &row, "release.link_change", None, Some(&after))?;
    let stamp = reset_votes(context, permit, &release, stamp)?;
    changes::insert_link(context.connection, &row, &stamp)?;
    let items = store_brought(context, release.id, change_id, &brought, &stamp)?;
    Ok(Linked { link: linked(row, &change), items, brought })
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
        has_rollback_plan: change.content.has_rollback_plan(),
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
    if fields.outcome == ChangeOutcome::Pending && link.row.outcome != ChangeOutcome::Pending {
        let (change, workflow) = (link.row.change_id, context.env.workflow(context.connection, release.workflow_id)?);
        Change::lock(context.connection, change)?;
        refuse_shared(context, &workflow, (Some(&release), &[change]), |_| "/outcome".into())?;
    }
    let before = link_document(&link.row);
    let is_open_again = fields.outcome == ChangeOutcome::Pending && link.row.outcome != ChangeOutcome::Pending;
    link.row.outcome = fields.outcome;
    link.row.outcome_note = fields.outcome_note.filter(|_| !is_open_again || patch.names("outcome_note"));
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
