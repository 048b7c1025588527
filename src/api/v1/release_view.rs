//! What belongs to a release, answered with it: `GET /releases/{release}?include=…`.
//!
//! Every part is what its own list answers first, made by what makes that list.

use serde::Serialize;
use utoipa::ToSchema;

use super::activities::{self, Activity};
use super::approvals::{self, Approvals};
use super::changes::{self, ReleaseChange};
use super::checklists::{self, ReleaseChecklist};
use super::comments::{self, ReleaseComment};
use super::documents::{self, ReleaseDocument};
use super::hardware_spares::{self, ReleaseSpare};
use super::item_links::{self, ReleaseConfigurationItem};
use super::medium_links::{self, ReleaseMedium};
use super::records::{self, ReleaseRecord};
use super::references::{self, Reference};
use super::roles::{self, ReleaseRole};
use super::shares::{self, Share};
use crate::api::Call;
use crate::api::paging::Page;
use crate::domain::values::Fault;
use crate::repository::listing::{ListQuery, ListSpec};
use crate::repository::releases::ReleaseRef;
use crate::repository::{
    activities as activity_rows, comments as comment_rows, documents as document_rows, item_links as item_link_rows,
    records as record_rows, references as reference_rows,
};
use crate::service::{ReadContext, Result};

/// The parameter that names the parts.
pub const INCLUDE: &str = "include";

/// What belongs to a release: those parts that `include` names. Of every list it is the first page.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(example = json!({"comments": {
    "data": [{
        "id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f",
        "body": "When is it?",
        "reply_to_id": null,
        "author_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f",
        "created_at": "2030-11-21T09:30:00Z",
        "row_version": 1,
    }],
    "page": {"next_cursor": null, "limit": 200},
}}))]
pub struct Included {
    /// Its activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activities: Option<Page<Activity>>,
    /// The changes that are linked to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Page<ReleaseChange>>,
    /// The configuration items that are linked to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_items: Option<Page<ReleaseConfigurationItem>>,
    /// Who has a role in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Page<ReleaseRole>>,
    /// Its checklists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checklists: Option<Page<ReleaseChecklist>>,
    /// Its approvals, in the last round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// Its records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Page<ReleaseRecord>>,
    /// Its documents that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<Page<ReleaseDocument>>,
    /// Its references.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<Page<Reference>>,
    /// With whom it is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<Page<Share>>,
    /// The comments on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comments: Option<Page<ReleaseComment>>,
    /// The definitive media that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definitive_media: Option<Page<ReleaseMedium>>,
    /// The hardware spares that are or were reserved for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware_spares: Option<Page<ReleaseSpare>>,
}

/// The reading of one release, as its parts are read.
pub struct View<'v, 'c> {
    context: &'v mut ReadContext<'c>,
    call: &'v Call,
    release: ReleaseRef,
}

impl View<'_, '_> {
    fn first_page(&self, spec: &'static ListSpec, list: &str) -> Result<ListQuery> {
        self.call.first_page(spec, list, &["release_id"])
    }
}

/// A part: its name, and what reads it.
pub type Part = (&'static str, fn(&mut View<'_, '_>, &mut Included) -> Result<()>);

/// Every part that can be asked for, by the last segment of its own path, with `_` for `-`.
const PARTS: [Part; 13] = [
    ("activities", |view, included| {
        let query = view.first_page(&activity_rows::LIST, "activities")?;
        included.activities = Some(activities::page(view.context, view.release, &query)?);
        Ok(())
    }),
    ("changes", |view, included| {
        included.changes = Some(changes::all(view.context, view.release)?);
        Ok(())
    }),
    ("configuration_items", |view, included| {
        let query = view.first_page(&item_link_rows::LIST, "configuration-items")?;
        included.configuration_items = Some(item_links::page(view.context, view.release, &query)?);
        Ok(())
    }),
    ("roles", |view, included| {
        included.roles = Some(roles::all(view.context, view.release)?);
        Ok(())
    }),
    ("checklists", |view, included| {
        included.checklists = Some(checklists::all(view.context, view.release)?);
        Ok(())
    }),
    ("approvals", |view, included| {
        included.approvals = Some(approvals::last_round(view.context, view.release)?);
        Ok(())
    }),
    ("records", |view, included| {
        let query = view.first_page(&record_rows::LIST, "records")?;
        included.records = Some(records::page(view.context, view.release, &query)?);
        Ok(())
    }),
    ("documents", |view, included| {
        let query = view.first_page(&document_rows::LIST, "documents")?;
        included.documents = Some(documents::page(view.context, view.release, &query)?);
        Ok(())
    }),
    ("references", |view, included| {
        let query = view.first_page(&reference_rows::LIST, "references")?;
        included.references = Some(references::page(view.context, view.release, &query)?);
        Ok(())
    }),
    ("shares", |view, included| {
        included.shares = Some(shares::all(view.context, view.release)?);
        Ok(())
    }),
    ("comments", |view, included| {
        let query = view.first_page(&comment_rows::LIST, "comments")?;
        included.comments = Some(comments::page(view.context, view.release, &query)?);
        Ok(())
    }),
    ("definitive_media", |view, included| {
        included.definitive_media = Some(medium_links::all(view.context, view.release)?);
        Ok(())
    }),
    ("hardware_spares", |view, included| {
        included.hardware_spares = Some(hardware_spares::all(view.context, view.release)?);
        Ok(())
    }),
];

/// The names of every part.
pub fn parts() -> Vec<&'static str> {
    PARTS.iter().map(|(name, _)| *name).collect()
}

/// The parts that the parameter names, and what is wrong with it.
pub fn wanted(given: Option<&str>) -> (Vec<&'static Part>, Vec<Fault>) {
    let (mut wanted, mut faults): (Vec<&Part>, Vec<Fault>) = (Vec::new(), Vec::new());
    let mut bad = |detail: String| faults.push(Fault::parameter(INCLUDE, "INVALID_PARAMETER", detail));
    for name in given.into_iter().flat_map(|text| text.split(',')) {
        match PARTS.iter().find(|(known, _)| *known == name) {
            None => bad(format!("{} is none of {}.", told(name), parts().join(", "))),
            Some((name, _)) if wanted.iter().any(|(other, _)| other == name) => {
                bad(format!("`{name}` is there twice."))
            }
            Some(part) => wanted.push(part),
        }
    }
    (wanted, faults)
}

/// A name as a fault says it: no longer than is worth reading.
fn told(name: &str) -> String {
    let start: String = name.chars().take(50).collect();
    if start.len() < name.len() { format!("`{start}…`") } else { format!("`{start}`") }
}

/// Reads the parts of a release; none where none is wanted.
pub fn load(
    context: &mut ReadContext<'_>,
    call: &Call,
    release: ReleaseRef,
    wanted: &[&'static Part],
) -> Result<Option<Included>> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut included = Included::default();
    let mut view = View { context, call, release };
    for (_, read) in wanted {
        read(&mut view, &mut included)?;
    }
    Ok(Some(included))
}
