//! Which definitive media a release uses: part of the plan that is approved, and what a licence is counted by.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::releases::{active, locked_plan, may_execute, record_part, standing_conflict, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::definitive_media::{self, LINKS_MAX, Link, LinkRow, Medium};
use crate::repository::nouns::{DefinitiveMedium, Noun};
use crate::repository::releases::ReleaseRef;

/// What a link is called in problems.
const LINK: &str = "definitive medium of the release";

/// A medium that a release is going to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"medium_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "description": "For the shops"}))]
pub struct MediumToLink {
    /// The medium, not retired.
    pub medium_id: MediumId,
    /// What for.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
}

/// What may be changed of the link of a medium.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "For the shops"}))]
pub struct MediumLinkFields {
    /// What for.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
}

/// The media of a visible release.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Vec<Link>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    Ok(definitive_media::links_of(context.connection, release.id)?)
}

/// One of them.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: MediumLinkId) -> Result<Link> {
    list(context, reference)?.into_iter().find(|link| link.row.id == id).ok_or(Error::NotFound(LINK))
}

/// Links a medium to a release.
pub fn add(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<MediumToLink>) -> Result<Link> {
    let release = visible_locked(context, reference)?;
    let permit = may_execute(context, &release)?;
    active(context, &release)?;
    locked_plan(context, &release, "/medium_id")?;
    let new = draft.map_err(Error::Invalid)?;
    let links = definitive_media::links_of(context.connection, release.id)?;
    if links.iter().any(|link| link.row.medium_id == new.medium_id) {
        return Err(Error::conflict("ALREADY_EXISTS", "The release uses the medium already."));
    }
    if i64::try_from(links.len()).is_ok_and(|count| count >= LINKS_MAX) {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release uses at most {LINKS_MAX} definitive media.")));
    }
    // Locked: of two that take the last licence at once, the second sees that it is gone.
    let medium = definitive_media::lock(context.connection, new.medium_id)?;
    let medium = medium.ok_or_else(|| Error::Invalid(vec![Fault::unknown("/medium_id", DefinitiveMedium::RECORD)]))?;
    if medium.keeping.status == MediumStatus::Retired {
        return Err(Error::Invalid(vec![retired("/medium_id")]));
    }
    take_licence(context, &medium)?;
    let row = LinkRow {
        id: MediumLinkId::new(context.env.new_id(context.now)),
        release_id: release.id,
        medium_id: new.medium_id,
        description: new.description,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    };
    let after = document(&row);
    let states = (None, Some(&after));
    let stamp = record_part(context, permit, &release, subject(&row), "release.link_medium", states)?;
    let stamp = reset_votes(context, permit, &release, stamp)?;
    definitive_media::insert_link(context.connection, &row, &stamp)?;
    let content = medium.record.content;
    Ok(Link {
        row,
        name: content.name,
        version: content.version,
        kind: content.kind,
        status: medium.keeping.status,
        sha256: content.sha256,
    })
}

/// A retired medium is chosen.
pub(super) fn retired(pointer: impl Into<String>) -> Fault {
    Fault::at(pointer, "MEDIUM_RETIRED", "The medium is retired: it is not to be installed any more.")
}

/// Refuses where every licence of a locked medium is in use.
fn take_licence(context: &mut WriteContext<'_>, medium: &Medium) -> Result<()> {
    let Some(detail) = no_licence(context, medium)? else { return Ok(()) };
    let faults = vec![Fault::at("/medium_id", "NO_LICENCE_LEFT", &detail)];
    Err(Error::Conflict { code: "NO_LICENCE_LEFT", detail, standing: None, faults })
}

/// Says so where every licence of a locked medium is in use.
fn no_licence(context: &mut WriteContext<'_>, medium: &Medium) -> Result<Option<String>> {
    let content = &medium.record.content;
    let Some(total) = content.licence.as_ref().and_then(|licence| licence.0.total) else {
        return Ok(None);
    };
    let id = medium.record.id;
    let in_use = definitive_media::in_use(context.connection, &[id])?.remove(&id).unwrap_or(0);
    let (name, version) = (&content.name, &content.version);
    Ok((in_use >= total).then(|| format!("Of {total} licences of {name} {version} {in_use} are in use.")))
}

/// Refuses to reopen a release that gave its licences back, where one of them is in use elsewhere now.
pub(super) fn refuse_overbooked_again(context: &mut WriteContext<'_>, release: &Release) -> Result<()> {
    if release.resolution != Some(Resolution::Unsolved) {
        return Ok(());
    }
    let mut media: Vec<MediumId> =
        definitive_media::links_of(context.connection, release.id)?.iter().map(|link| link.row.medium_id).collect();
    // In one order, so that nobody waits in a circle.
    media.sort_unstable();
    let mut faults = Vec::new();
    for id in media {
        if let Some(medium) = definitive_media::lock(context.connection, id)? {
            let detail = no_licence(context, &medium)?;
            faults.extend(detail.map(|detail| Fault::at("/definitive_media", "NO_LICENCE_LEFT", detail)));
        }
    }
    let Some(first) = faults.first() else { return Ok(()) };
    let (code, detail) = (first.code, first.detail.clone());
    Err(standing_conflict(context, release, code, detail, faults))
}

/// Other media than before are another release to approve.
fn reset_votes(context: &mut WriteContext<'_>, permit: Permit, release: &Release, stamp: Stamp) -> Result<Stamp> {
    let reset = super::approvals::reset_votes(context, permit, release, &stamp, "The definitive media changed.")?;
    Ok(reset.unwrap_or(stamp))
}

/// Changes what is said of a link.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: MediumLinkId,
    patch: &MergePatch<MediumLinkFields>,
) -> Result<Link> {
    let release = visible_locked(context, reference)?;
    let mut link = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    active(context, &release)?;
    let fields = patch.apply(json!({"description": link.row.description})).map_err(Error::Invalid)?;
    let before = document(&link.row);
    link.row.description = fields.description;
    let after = document(&link.row);
    if before == after {
        return Ok(link);
    }
    link.row.row_version += 1;
    link.row.updated_at = context.now;
    let states = (Some(&before), Some(&after));
    let stamp = record_part(context, permit, &release, subject(&link.row), "release.update_medium_link", states)?;
    definitive_media::update_link(context.connection, &link.row, &stamp)?;
    Ok(link)
}

/// Removes a link.
pub fn remove(context: &mut WriteContext<'_>, reference: ReleaseRef, id: MediumLinkId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let link = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    active(context, &release)?;
    locked_plan(context, &release, "")?;
    let before = document(&link.row);
    let states = (Some(&before), None);
    let stamp = record_part(context, permit, &release, subject(&link.row), "release.unlink_medium", states)?;
    let stamp = reset_votes(context, permit, &release, stamp)?;
    Ok(definitive_media::delete_link(context.connection, &link.row, &stamp)?)
}

/// The state of a link that history compares.
fn document(row: &LinkRow) -> Value {
    json!({"medium_id": row.medium_id, "description": row.description})
}

fn subject(row: &LinkRow) -> (&'static str, String) {
    ("medium_link", row.id.to_string())
}

fn own(context: &mut WriteContext<'_>, release: &Release, id: MediumLinkId) -> Result<Link> {
    let links = definitive_media::links_of(context.connection, release.id)?;
    links.into_iter().find(|link| link.row.id == id).ok_or(Error::NotFound(LINK))
}
