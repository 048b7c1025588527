//! Which definitive media a release uses: part of the plan that is approved, and what a licence is counted by.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::linkable_items::refusal;
use super::releases::{active, locked_plan, may_execute, record_part, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::facts::Licences;
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::definitive_media::{self, LINKS_MAX, Link, LinkRow, Medium, Use};
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
    let mut choices = choices(context, Some(release.id), &[new.medium_id])?;
    if let Some(fault) = choice_fault(choices.get(&new.medium_id), "/medium_id") {
        return Err(refusal(vec![fault]));
    }
    let Some(Choice { medium, .. }) = choices.remove(&new.medium_id) else {
        return Err(Error::Internal("a medium that was chosen is not there".into()));
    };
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

/// A definitive medium that a release is about to use, held until the transaction ends: of two that take its last licence
/// at once, the second sees that it is gone.
#[derive(Debug)]
pub(super) struct Choice {
    medium: Medium,
    /// Its licences, where there are so many and no more, and the release has none of them yet.
    licences: Option<Licences>,
}

/// Those of these media that there are.
pub(super) fn choices(
    context: &mut ReadContext<'_>,
    release: Option<ReleaseId>,
    ids: &[MediumId],
) -> Result<HashMap<MediumId, Choice>> {
    let media = definitive_media::lock_all(context.connection, ids)?;
    let total = |medium: &Medium| medium.record.content.licence.as_ref().and_then(|licence| licence.0.total);
    let limited: Vec<MediumId> =
        media.iter().filter(|medium| total(medium).is_some()).map(|medium| medium.record.id).collect();
    let in_use = definitive_media::in_use(context.connection, &limited, release)?;
    let choice = |medium: Medium| {
        let id = medium.record.id;
        let Use { releases, own } = in_use.get(&id).copied().unwrap_or_default();
        let licences = total(&medium).filter(|_| !own);
        let licences = licences.map(|total| Licences { label: medium.label(), total, in_use: releases });
        (id, Choice { medium, licences })
    };
    Ok(media.into_iter().map(choice).collect())
}

impl Choice {
    /// Says so where every licence is in use elsewhere.
    pub(super) fn taken(&self, pointer: &str) -> Option<Fault> {
        let licences = self.licences.as_ref().filter(|licences| !licences.has_room())?;
        Some(Fault::at(pointer, "NO_LICENCE_LEFT", licences.to_string()))
    }
}

/// Says so where there is no medium of the identifier, or a retired one.
pub(super) fn unusable(choice: Option<&Choice>, pointer: &str) -> Option<Fault> {
    match choice {
        None => Some(Fault::unknown(pointer, DefinitiveMedium::RECORD)),
        Some(choice) if choice.medium.keeping.status == MediumStatus::Retired => {
            Some(Fault::at(pointer, "MEDIUM_RETIRED", "The medium is retired: it is not to be installed any more."))
        }
        Some(_) => None,
    }
}

/// What is wrong with a medium that is chosen.
pub(super) fn choice_fault(choice: Option<&Choice>, pointer: &str) -> Option<Fault> {
    unusable(choice, pointer).or_else(|| choice?.taken(pointer))
}

/// Holds the media that a release links until the transaction ends: nobody else takes a licence of them from here on.
pub(super) fn hold(context: &mut WriteContext<'_>, release: ReleaseId) -> Result<()> {
    let links = definitive_media::links_of(context.connection, release)?;
    let media: Vec<MediumId> = links.iter().map(|link| link.row.medium_id).collect();
    definitive_media::lock_all(context.connection, &media)?;
    Ok(())
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
