//! Configuration items of releases: what a release is going to do to each of them, one at a time or many at once.
//!
//! The plan is locked after authorization; what became of it, and that a change of the item by somebody else was taken
//! notice of, may always be written while the release is active.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::approvals::reset_votes;
use super::linkable_items::{Brought, Known, refusal};
use super::medium_links::{choices, unusable};
use super::releases::{
    active, locked, locked_plan, may_execute, record_part, standing_conflict, visible, visible_locked,
};
use super::{Error, MergePatch, ReadContext, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::contents::not_blank;
use crate::repository::hardware_spares;
use crate::repository::item_links::{self, ItemLink, ItemLinkRow, ItemState};
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::releases::ReleaseRef;

/// Why votes are asked for anew.
const MATERIAL: &str = "The linked configuration items changed.";

/// What is going to be done to an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    description: Option<String>,
    intended_version: Option<String>,
    intended_status: Option<ItemStatus>,
    intended_environment: Option<Environment>,
    medium_id: Option<MediumId>,
    spare_model: Option<String>,
}

/// The fields of a plan, as they are named.
const PLAN_FIELDS: &[&str] =
    &["description", "intended_version", "intended_status", "intended_environment", "medium_id", "spare_model"];

impl Plan {
    fn of(row: &ItemLinkRow) -> Self {
        Self {
            description: row.description.clone(),
            intended_version: row.intended_version.clone(),
            intended_status: row.intended_status,
            intended_environment: row.intended_environment,
            medium_id: row.medium_id,
            spare_model: row.spare_model.clone(),
        }
    }
}

macro_rules! link_input {
    ($(#[$meta:meta])* $name:ident { $($(#[$own_meta:meta])* $own:ident: $kind:ty,)* }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            $($(#[$own_meta])* pub $own: $kind,)*
            /// What is going to be done. Locked after authorization, as all of the plan is.
            #[schema(max_length = 2000)]
            #[serde(default)]
            pub description: Option<String>,
            /// The version that the item is to have; without it the version stays.
            #[schema(min_length = 1, max_length = 50)]
            #[validate(custom(function = not_blank))]
            #[serde(default)]
            pub intended_version: Option<String>,
            /// The status that it is to have; without it `validating`.
            #[serde(default)]
            pub intended_status: Option<ItemStatus>,
            /// Where it is to be used; without it `production`.
            #[serde(default)]
            pub intended_environment: Option<Environment>,
            /// The definitive medium that is installed, not a retired one. The release uses a licence of it.
            #[serde(default)]
            pub medium_id: Option<MediumId>,
            /// The model of the hardware spare that it needs.
            #[schema(min_length = 1, max_length = 100)]
            #[validate(custom(function = not_blank))]
            #[serde(default)]
            pub spare_model: Option<String>,
        }

        impl $name {
            pub(super) fn plan(&self) -> Plan {
                Plan {
                    description: self.description.clone(),
                    intended_version: self.intended_version.clone(),
                    intended_status: self.intended_status,
                    intended_environment: self.intended_environment,
                    medium_id: self.medium_id,
                    spare_model: self.spare_model.clone(),
                }
            }
        }
    };
}

link_input! {
    /// A configuration item to be linked, and what is going to be done to it. While its outcome is `pending`, closing as
    /// solved applies it.
    #[schema(example = json!({"configuration_item_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "description": "Payments service of the shops", "intended_version": "4.2.0", "intended_status": "in_production"}))]
    NewItemLink {
        /// The item, which no pending link of the release is of yet.
        configuration_item_id: ConfigurationItemId,
    }
}

link_input! {
    /// What may be changed of a link. An applied one does not change any more.
    #[schema(example = json!({"outcome": "failed", "outcome_note": "The device was out of reach."}))]
    ItemLinkFields {
        /// What became of it. That it was applied or reverted is the server's to say.
        outcome: ItemDecision,
        /// Words that go with it; needed where it failed or was skipped.
        #[schema(max_length = 2000)]
        #[serde(default)]
        outcome_note: Option<String>,
        /// The version of the item that the plan was made on. Setting the present one says that what somebody else
        /// changed was taken notice of; no other one is taken.
        #[schema(minimum = 1)]
        seen_row_version: i64,
    }
}

/// Whether many are stored together or each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchMode {
    /// All or nothing.
    Atomic,
    /// Each by itself.
    Each,
}

/// Configuration items to be linked at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mode": "each", "items": [{"configuration_item_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "intended_version": "4.2.0"}]}))]
pub struct ItemLinkBatch {
    /// `atomic`: all or nothing. `each`: each by itself, with a result of its own.
    pub mode: BatchMode,
    /// The items.
    #[schema(min_items = 1, max_items = 200)]
    #[validate(nested)]
    pub items: Vec<NewItemLink>,
}

/// What became of one of many: the link, or what is wrong.
pub type Outcome = std::result::Result<ItemLink, Vec<Fault>>;

/// A page of the links of a visible release.
pub fn list(context: &mut ReadContext<'_>, release: ReleaseRef, mut query: ListQuery) -> Result<Rows<ItemLink>> {
    context.authorise(Access::Read)?;
    let release = visible(context, release)?;
    query.conditions.push(Condition { filter: 0, values: vec![SqlValue::Text(release.id.to_string())] });
    Ok(item_links::page(context.connection, &query, context.now)?)
}

/// One link of a visible release.
pub fn read(context: &mut ReadContext<'_>, release: ReleaseRef, id: ItemLinkId) -> Result<ItemLink> {
    context.authorise(Access::Read)?;
    let release = visible(context, release)?;
    item_links::find(context.connection, release.id, id)?.ok_or(Error::NotFound("configuration item link"))
}

/// The row of a fresh link.
pub(super) fn fresh(
    context: &ReadContext<'_>,
    release: ReleaseId,
    item: &ItemState,
    change_id: Option<ChangeId>,
    plan: Plan,
) -> ItemLinkRow {
    ItemLinkRow {
        id: ItemLinkId::new(context.env.new_id(context.now)),
        release_id: release,
        configuration_item_id: item.id,
        change_id,
        description: plan.description,
        intended_version: plan.intended_version,
        intended_status: plan.intended_status,
        intended_environment: plan.intended_environment,
        medium_id: plan.medium_id,
        spare_model: plan.spare_model,
        outcome: ItemOutcome::Pending,
        outcome_note: None,
        seen_row_version: item.row_version,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    }
}

/// Links an item.
pub fn add(context: &mut WriteContext<'_>, release: ReleaseRef, draft: Draft<NewItemLink>) -> Result<ItemLink> {
    let (release, permit) = open_plan(context, release, "/configuration_item_id")?;
    let new = draft.map_err(Error::Invalid)?;
    let mut outcomes = link(context, permit, release, (BatchMode::Atomic, &[new]), |_| String::new())?;
    outcomes.pop().and_then(std::result::Result::ok).ok_or(Error::NotFound("configuration item"))
}

/// Links many items; answers what became of each. `atomic` refuses all where one is refused.
pub fn add_all(
    context: &mut WriteContext<'_>,
    release: ReleaseRef,
    draft: Draft<ItemLinkBatch>,
) -> Result<(ReleaseId, Vec<Outcome>)> {
    let (release, permit) = open_plan(context, release, "/items")?;
    let batch = draft.map_err(Error::Invalid)?;
    let id = release.id;
    let outcomes = link(context, permit, release, (batch.mode, &batch.items), |index| format!("/items/{index}"))?;
    Ok((id, outcomes))
}

/// The release, where the caller may work on it and its plan is not locked.
fn open_plan(context: &mut WriteContext<'_>, release: ReleaseRef, pointer: &str) -> Result<(Release, Permit)> {
    let release = visible_locked(context, release)?;
    let permit = may_execute(context, &release)?;
    active(context, &release)?;
    locked_plan(context, &release, pointer)?;
    Ok((release, permit))
}

fn link(
    context: &mut WriteContext<'_>,
    permit: Permit,
    mut release: Release,
    (mode, new): (BatchMode, &[NewItemLink]),
    pointer: impl Fn(usize) -> String,
) -> Result<Vec<Outcome>> {
    let items: Vec<_> = new.iter().map(|link| link.configuration_item_id).collect();
    let media: Vec<_> = new.iter().filter_map(|link| link.medium_id).collect();
    let mut known = Known::load(context, Some(release.id), &items, &media)?;
    let judged: Vec<Draft<ItemState>> =
        new.iter().enumerate().map(|(index, link)| known.judge(link, &pointer(index))).collect();
    if mode == BatchMode::Atomic && judged.iter().any(std::result::Result::is_err) {
        return Err(refusal(judged.into_iter().filter_map(std::result::Result::err).flatten().collect()));
    }
    let (mut outcomes, mut rows, mut last) = (Vec::with_capacity(new.len()), Vec::new(), None);
    for (link, judged) in new.iter().zip(judged) {
        let item = match judged {
            Ok(item) => item,
            Err(faults) => {
                outcomes.push(Err(faults));
                continue;
            }
        };
        let row = fresh(context, release.id, &item, None, link.plan());
        let after = document(&row);
        let states = (None, Some(&after));
        let stamp = record_part(context, permit, &release, subject(row.id), "release.link_configuration_item", states)?;
        release.chain = stamp.head().clone();
        last = Some(stamp);
        rows.push(row.clone());
        outcomes.push(Ok(ItemLink { row, item }));
    }
    if let Some(stamp) = last {
        let stamp = reset_votes(context, permit, &release, &stamp, MATERIAL)?.unwrap_or(stamp);
        item_links::insert(context.connection, release.id, &rows, &stamp)?;
    }
    Ok(outcomes)
}

/// Stores what a change brought along with the change's own record in the history; the chain moves with that.
pub(super) fn store_brought(
    context: &mut WriteContext<'_>,
    release: ReleaseId,
    change: ChangeId,
    brought: &Brought,
    stamp: &Stamp,
) -> Result<Vec<ItemLink>> {
    let links: Vec<ItemLink> = brought
        .linked
        .iter()
        .map(|item| ItemLink { row: fresh(context, release, item, Some(change), Plan::default()), item: item.clone() })
        .collect();
    let rows: Vec<ItemLinkRow> = links.iter().map(|link| link.row.clone()).collect();
    item_links::insert_first(context.connection, &rows, stamp)?;
    Ok(links)
}

/// Changes a link: its plan until it is authorised, what became of it while the release is active.
pub fn patch(
    context: &mut WriteContext<'_>,
    release: ReleaseRef,
    id: ItemLinkId,
    patch: &MergePatch<ItemLinkFields>,
) -> Result<ItemLink> {
    let release = visible_locked(context, release)?;
    let mut link = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    active(context, &release)?;
    unsettled(context, &release, &link.row)?;
    let current = current(&link.row);
    let touched = |name: &&&str| patch.document.get(**name).is_some_and(|new| *new != current[**name]);
    let plan: Vec<String> = PLAN_FIELDS.iter().filter(touched).map(|name| format!("/{name}")).collect();
    if !plan.is_empty() && context.env.workflow(context.connection, release.workflow_id)?.locks_plan(&release.stage) {
        return Err(locked(context, &release, plan));
    }
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    refuse_second(context, &link.row, &fields)?;
    let faults = faults(context, &link, &fields, patch.names("seen_row_version"))?;
    if !faults.is_empty() {
        return Err(refusal(faults));
    }
    let (before, old_plan) = (document(&link.row), Plan::of(&link.row));
    let is_open_again = fields.outcome == ItemDecision::Pending && link.row.outcome != ItemOutcome::Pending;
    put(&mut link.row, fields);
    if is_open_again && !patch.names("outcome_note") {
        link.row.outcome_note = None;
    }
    let after = document(&link.row);
    if before == after {
        return Ok(link);
    }
    link.row.row_version += 1;
    link.row.updated_at = context.now;
    let (subject, states) = (subject(id), (Some(&before), Some(&after)));
    let mut stamp = record_part(context, permit, &release, subject, "release.update_configuration_item_link", states)?;
    if Plan::of(&link.row) != old_plan {
        stamp = reset_votes(context, permit, &release, &stamp, MATERIAL)?.unwrap_or(stamp);
    }
    item_links::update(context.connection, &link.row, &stamp)?;
    Ok(link)
}

/// What is wrong with the fields of a link, beyond their shape.
fn faults(
    context: &mut ReadContext<'_>,
    link: &ItemLink,
    fields: &ItemLinkFields,
    says_seen: bool,
) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    if let Some(medium) = fields.medium_id {
        let is_another = link.row.medium_id != Some(medium);
        let is_open = fields.outcome == ItemDecision::Pending;
        let is_taken = is_open && (is_another || link.row.outcome != ItemOutcome::Pending);
        if is_another || is_taken {
            let choices = choices(context, Some(link.row.release_id), &[medium])?;
            let choice = choices.get(&medium);
            // One that was retired after it was chosen is told as a warning, and is in the way of nothing that is said.
            faults.extend(if is_another { unusable(choice, "/medium_id") } else { None });
            faults.extend(choice.filter(|_| is_taken).and_then(|choice| choice.taken("/medium_id")));
        }
    }
    let says_why = fields.outcome_note.as_deref().is_some_and(|note| !note.trim().is_empty());
    if fields.outcome != ItemDecision::Pending && !says_why {
        faults.push(Fault::at("/outcome_note", "REQUIRED", "What failed or was skipped needs a reason."));
    }
    let present = link.item.row_version;
    if says_seen && fields.seen_row_version != present {
        let detail = format!("The configuration item is at version {present} now.");
        faults.push(Fault::at("/seen_row_version", "NOT_THE_PRESENT_VERSION", detail));
    }
    Ok(faults)
}

/// Refuses a second pending link of the same item.
fn refuse_second(context: &mut ReadContext<'_>, row: &ItemLinkRow, fields: &ItemLinkFields) -> Result<()> {
    if row.outcome == ItemOutcome::Pending || fields.outcome != ItemDecision::Pending {
        return Ok(());
    }
    if is_another_pending(context, row)? {
        let detail = "Another pending link of the release is of this configuration item.";
        return Err(refusal(vec![Fault::at("/outcome", "ALREADY_EXISTS", detail)]));
    }
    Ok(())
}

/// True where another pending link of the release is of the same item.
fn is_another_pending(context: &mut ReadContext<'_>, row: &ItemLinkRow) -> Result<bool> {
    let pending = item_links::pending(context.connection, row.release_id)?;
    Ok(pending.get(&row.configuration_item_id).is_some_and(|other| *other != row.id))
}

fn put(row: &mut ItemLinkRow, fields: ItemLinkFields) {
    let plan = fields.plan();
    row.description = plan.description;
    row.intended_version = plan.intended_version;
    row.intended_status = plan.intended_status;
    row.intended_environment = plan.intended_environment;
    row.medium_id = plan.medium_id;
    row.spare_model = plan.spare_model;
    row.outcome = fields.outcome.into();
    row.outcome_note = fields.outcome_note;
    row.seen_row_version = fields.seen_row_version;
}

/// Removes a link.
pub fn remove(context: &mut WriteContext<'_>, release: ReleaseRef, id: ItemLinkId) -> Result<()> {
    let release = visible_locked(context, release)?;
    let link = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    active(context, &release)?;
    unsettled(context, &release, &link.row)?;
    locked_plan(context, &release, "")?;
    let item = link.row.configuration_item_id;
    if hardware_spares::is_reserved_for_item(context.connection, release.id, item)?
        && !is_another_pending(context, &link.row)?
    {
        let detail = "A spare that is reserved for the release is going to be this configuration item. Free it first.";
        return Err(standing_conflict(context, &release, "IN_USE", detail.into(), Vec::new()));
    }
    let before = document(&link.row);
    let states = (Some(&before), None);
    let stamp = record_part(context, permit, &release, subject(id), "release.unlink_configuration_item", states)?;
    let stamp = reset_votes(context, permit, &release, &stamp, MATERIAL)?.unwrap_or(stamp);
    Ok(item_links::delete(context.connection, &link.row, &stamp)?)
}

/// Demands that the server has not done to the item what the link says.
fn unsettled(context: &mut WriteContext<'_>, release: &Release, row: &ItemLinkRow) -> Result<()> {
    if row.outcome.is_open() {
        return Ok(());
    }
    let detail = format!("The link is `{}` and stays so. What is to be done besides is a new link.", row.outcome);
    Err(standing_conflict(context, release, "ALREADY_APPLIED", detail, Vec::new()))
}

pub(super) fn own(context: &mut WriteContext<'_>, release: &Release, id: ItemLinkId) -> Result<ItemLink> {
    item_links::find(context.connection, release.id, id)?.ok_or(Error::NotFound("configuration item link"))
}

/// What a patch changes, as it stands.
fn current(row: &ItemLinkRow) -> Value {
    let mut current = document(row);
    if let Some(fields) = current.as_object_mut() {
        fields.remove("configuration_item_id");
        fields.remove("change_id");
    }
    current
}

/// The state of a link that history compares.
pub(super) fn document(row: &ItemLinkRow) -> Value {
    json!({
        "configuration_item_id": row.configuration_item_id, "change_id": row.change_id,
        "description": row.description, "intended_version": row.intended_version,
        "intended_status": row.intended_status, "intended_environment": row.intended_environment,
        "medium_id": row.medium_id, "spare_model": row.spare_model, "outcome": row.outcome,
        "outcome_note": row.outcome_note, "seen_row_version": row.seen_row_version,
    })
}

pub(super) fn subject(id: ItemLinkId) -> (&'static str, String) {
    ("configuration_item_link", id.to_string())
}
