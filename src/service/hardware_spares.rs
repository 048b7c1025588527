//! The definitive hardware store: spares that releases reserve, and deploy when they are closed as solved.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::catalogue::{self, Rules};
use super::linkable_items::refusal;
use super::releases::{active, locked_plan, may_execute, record_part, visible, visible_locked};
use super::rules::unknown;
use super::{Error, MergePatch, ReadContext, Recorded, Result, WriteContext};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::{ChainHead, Release};
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::hardware_spares::{self, LINKS_MAX, Link, LinkRow};
use crate::repository::item_links;
use crate::repository::nouns::{ConfigurationItem, HardwareSpare, Noun, Record};
use crate::repository::releases::ReleaseRef;

impl Rules for HardwareSpare {
    const ACCESS: Access = Access::Library;
    const INSTEAD: &'static str = " Set its status to `retired` instead.";

    fn faults(&self, context: &mut WriteContext<'_>, _: Option<SpareId>, before: Option<&Self>) -> Result<Vec<Fault>> {
        let was = before.map_or(SpareStatus::InStock, |before| before.status);
        let mut faults = Vec::new();
        // What a release keeps or took is what it was when it was chosen.
        if let Some(before) = before.filter(|before| matches!(before.status, SpareStatus::Reserved))
            && (before.model != self.model || before.serial != self.serial || before.status != self.status)
        {
            let detail = "The spare is reserved for a release: model, serial number and status stay as they are.";
            return Err(Error::conflict("SPARE_STATE_FORBIDS", detail));
        }
        let told = self.status == was
            || matches!(
                (was, self.status),
                (SpareStatus::InStock | SpareStatus::Deployed, SpareStatus::Retired)
                    | (SpareStatus::Retired, SpareStatus::InStock)
            );
        if !told {
            let detail = format!("A spare that is `{was}` is not made `{}` by hand.", self.status);
            faults.push(Fault::at("/status", "NOT_APPLICABLE", detail));
        }
        let is_item = matches!(self.status, SpareStatus::Deployed | SpareStatus::Retired);
        if self.configuration_item_id.is_some() && !is_item {
            let detail = "Only what is or was deployed is a configuration item.";
            faults.push(Fault::at("/configuration_item_id", "NOT_APPLICABLE", detail));
        }
        faults.extend(unknown::<ConfigurationItem>(context, self.configuration_item_id, "/configuration_item_id")?);
        Ok(faults)
    }

    fn deletable(&self, _: &mut WriteContext<'_>, _: SpareId) -> Result<()> {
        match self.status {
            SpareStatus::InStock | SpareStatus::Retired => Ok(()),
            status => Err(Error::conflict("IN_USE", format!("The spare is `{status}`."))),
        }
    }
}

/// What a reservation is called in problems.
const LINK: &str = "hardware spare of the release";

/// A spare that a release reserves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"spare_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "description": "For the counter in Lisbon"}))]
pub struct SpareToReserve {
    /// The spare, in stock.
    pub spare_id: SpareId,
    /// The configuration item that it is going to be: one that a pending link of the release is of, and no other spare
    /// is reserved for.
    #[serde(default)]
    pub configuration_item_id: Option<ConfigurationItemId>,
    /// What for.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
}

/// What may be changed of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "For the counter in Lisbon"}))]
pub struct ReservationFields {
    /// The configuration item that it is going to be: one that a pending link of the release is of, and no other spare
    /// is reserved for. Locked after authorization.
    #[serde(default)]
    pub configuration_item_id: Option<ConfigurationItemId>,
    /// What for.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
}

/// The reservations of a visible release.
pub fn links(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Vec<Link>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    Ok(hardware_spares::links_of(context.connection, release.id)?)
}

/// One of them.
pub fn link(context: &mut ReadContext<'_>, reference: ReleaseRef, id: SpareLinkId) -> Result<Link> {
    links(context, reference)?.into_iter().find(|link| link.row.id == id).ok_or(Error::NotFound(LINK))
}

/// Reserves a spare for a release.
pub fn reserve(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<SpareToReserve>) -> Result<Link> {
    let release = visible_locked(context, reference)?;
    let permit = may_execute(context, &release)?;
    active(context, &release)?;
    locked_plan(context, &release, "/spare_id")?;
    let new = draft.map_err(Error::Invalid)?;
    let links = hardware_spares::links_of(context.connection, release.id)?;
    if i64::try_from(links.len()).is_ok_and(|count| count >= LINKS_MAX) {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release reserves at most {LINKS_MAX} spares.")));
    }
    // Locked: of two releases that want it at once, the second sees that it is gone.
    let spare = HardwareSpare::lock(context.connection, new.spare_id)?;
    let item = new.configuration_item_id;
    let mut faults: Vec<Fault> = match &spare {
        Some(spare) => taken(spare).into_iter().collect(),
        None => vec![Fault::unknown("/spare_id", HardwareSpare::RECORD)],
    };
    faults.extend(item_fault(context, &release, &links, (item, None))?);
    let Some(spare) = spare.filter(|_| faults.is_empty()) else {
        return Err(refusal(faults));
    };
    let reserved = HardwareSpare { status: SpareStatus::Reserved, ..spare.content.clone() };
    let spare = catalogue::store_as(context, permit, spare, reserved, "reserve")?.content;
    let row = LinkRow {
        id: SpareLinkId::new(context.env.new_id(context.now)),
        release_id: release.id,
        spare_id: new.spare_id,
        configuration_item_id: item,
        link_id: None,
        description: new.description,
        state: ReservationState::Reserved,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    };
    let after = told(&row);
    let states = (None, Some(&after));
    let stamp = record_part(context, permit, &release, subject(&row), "release.reserve_spare", states)?;
    hardware_spares::insert_link(context.connection, &row, &stamp)?;
    Ok(Link { row, model: spare.model, serial: spare.serial, location: spare.location, status: spare.status })
}

/// Why a spare is not to be had.
fn taken(spare: &Record<HardwareSpare>) -> Option<Fault> {
    let (code, detail) = match spare.content.status {
        SpareStatus::InStock => return None,
        SpareStatus::Reserved => ("SPARE_RESERVED", "The spare is reserved for a release already.".to_owned()),
        status => ("SPARE_STATE_FORBIDS", format!("The spare is `{status}`.")),
    };
    Some(Fault::at("/spare_id", code, detail))
}

/// What is wrong with the item that a spare is going to be: what closing does to an item a pending link of the release
/// says, and one spare becomes it. `but` is the reservation that is changed.
fn item_fault(
    context: &mut WriteContext<'_>,
    release: &Release,
    links: &[Link],
    (item, but): (Option<ConfigurationItemId>, Option<SpareLinkId>),
) -> Result<Option<Fault>> {
    const AT: &str = "/configuration_item_id";
    let Some(item) = item else { return Ok(None) };
    if let Some(fault) = unknown::<ConfigurationItem>(context, Some(item), AT)? {
        return Ok(Some(fault));
    }
    if !item_links::pending(context.connection, release.id)?.contains_key(&item) {
        let detail = "No pending link of the release is of this configuration item. Link it first.";
        return Ok(Some(Fault::at(AT, "CI_NOT_LINKED", detail)));
    }
    let others = links.iter().map(|link| &link.row).filter(|row| Some(row.id) != but);
    let is_another = others
        .into_iter()
        .any(|row| row.state == ReservationState::Reserved && row.configuration_item_id == Some(item));
    let detail = "Another spare is reserved for this configuration item already.";
    Ok(is_another.then(|| Fault::at(AT, "ALREADY_EXISTS", detail)))
}

/// Changes what is said of a reservation.
pub fn patch_link(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: SpareLinkId,
    patch: &MergePatch<ReservationFields>,
) -> Result<Link> {
    let release = visible_locked(context, reference)?;
    let mut link = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    active(context, &release)?;
    let row = &link.row;
    let current = json!({"configuration_item_id": row.configuration_item_id, "description": row.description});
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    if fields.configuration_item_id != link.row.configuration_item_id {
        locked_plan(context, &release, "/configuration_item_id")?;
        holds(&link)?;
        let links = hardware_spares::links_of(context.connection, release.id)?;
        let fault = item_fault(context, &release, &links, (fields.configuration_item_id, Some(id)))?;
        if let Some(fault) = fault {
            return Err(refusal(vec![fault]));
        }
    }
    let before = told(&link.row);
    link.row.configuration_item_id = fields.configuration_item_id;
    link.row.description = fields.description;
    let after = told(&link.row);
    if before == after {
        return Ok(link);
    }
    link.row.row_version += 1;
    link.row.updated_at = context.now;
    let states = (Some(&before), Some(&after));
    let stamp = record_part(context, permit, &release, subject(&link.row), "release.update_reservation", states)?;
    hardware_spares::update_link(context.connection, &link.row, &stamp)?;
    Ok(link)
}

/// Refuses where a reservation does not hold any more.
fn holds(link: &Link) -> Result<()> {
    match link.row.state {
        ReservationState::Reserved => Ok(()),
        state => Err(Error::conflict("SPARE_STATE_FORBIDS", format!("The reservation is `{state}`."))),
    }
}

/// Ends a reservation: the spare is in stock again.
pub fn release_spare(context: &mut WriteContext<'_>, reference: ReleaseRef, id: SpareLinkId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let link = own(context, &release, id)?;
    let permit = may_execute(context, &release)?;
    context.request.if_match.demand(link.row.row_version)?;
    active(context, &release)?;
    locked_plan(context, &release, "")?;
    if matches!(link.row.state, ReservationState::Deployed | ReservationState::Reverted) {
        holds(&link)?;
    }
    if link.row.state == ReservationState::Reserved {
        give_back(context, permit, link.row.spare_id)?;
    }
    let before = told(&link.row);
    let states = (Some(&before), None);
    let stamp = record_part(context, permit, &release, subject(&link.row), "release.free_spare", states)?;
    Ok(hardware_spares::delete_link(context.connection, &link.row, &stamp)?)
}

fn locked(context: &mut WriteContext<'_>, id: SpareId) -> Result<Record<HardwareSpare>> {
    HardwareSpare::lock(context.connection, id)?
        .ok_or_else(|| Error::Internal(format!("the spare {id} is reserved and not there")))
}

fn give_back(context: &mut WriteContext<'_>, permit: Permit, id: SpareId) -> Result<()> {
    let spare = locked(context, id)?;
    let content = HardwareSpare { status: SpareStatus::InStock, ..spare.content.clone() };
    catalogue::store_as(context, permit, spare, content, "free").map(drop)
}

/// The spares that closing a release installs, by the link whose item each becomes.
pub type Installed = HashMap<ItemLinkId, HardwareSpare>;

/// What a transition means for the spares that are reserved for the release: closing as solved deploys them, any other
/// end frees them. Answers those that become an item, and the stamp to store where there were any.
pub fn follow_transition(
    context: &mut WriteContext<'_>,
    permit: Permit,
    (before, after): (&Release, &Release),
    stamp: &Stamp,
) -> Result<(Installed, Option<Stamp>)> {
    let ends = after.status != before.status && matches!(after.status, Status::Closed | Status::Cancelled);
    let mut installed = Installed::new();
    if !ends {
        return Ok((installed, None));
    }
    let reserved = hardware_spares::links_in(context.connection, after.id, ReservationState::Reserved)?;
    if reserved.is_empty() {
        return Ok((installed, None));
    }
    let is_solved = after.status == Status::Closed && after.resolution == Some(Resolution::Solved);
    let pending = item_links::pending(context.connection, after.id)?;
    let (mut deployed, mut released) = (Vec::new(), Vec::new());
    for mut row in reserved {
        row.link_id = row.configuration_item_id.and_then(|item| pending.get(&item).copied());
        // What failed or was skipped is not installed, and its spare not used.
        if !is_solved || row.configuration_item_id.is_some() && row.link_id.is_none() {
            give_back(context, permit, row.spare_id)?;
            row.link_id = None;
            released.push(row);
            continue;
        }
        let spare = locked(context, row.spare_id)?;
        let content = HardwareSpare {
            status: SpareStatus::Deployed,
            configuration_item_id: row.configuration_item_id,
            ..spare.content.clone()
        };
        let spare = catalogue::store_as(context, permit, spare, content, "deploy")?.content;
        installed.extend(row.link_id.map(|link| (link, spare)));
        deployed.push(row);
    }
    let first = settle(context, permit, (after.id, stamp.head()), (deployed, ReservationState::Deployed), None)?;
    let head = first.as_ref().unwrap_or(stamp).head();
    let second = settle(context, permit, (after.id, head), (released, ReservationState::Released), None)?;
    Ok((installed, second.or(first)))
}

/// Notes what became of reservations of a release, and why where somebody said so; answers where its chain ends then.
fn settle(
    context: &mut WriteContext<'_>,
    permit: Permit,
    (release, head): (ReleaseId, &ChainHead),
    (mut links, state): (Vec<LinkRow>, ReservationState),
    note: Option<&str>,
) -> Result<Option<Stamp>> {
    if links.is_empty() {
        return Ok(None);
    }
    let told = |links: &[LinkRow]| -> Value {
        let reservations = links.iter().map(|link| (link.spare_id.to_string(), json!(link.state)));
        json!({"reservations": reservations.collect::<serde_json::Map<String, Value>>()})
    };
    let old = told(&links);
    for link in &mut links {
        link.state = state;
        link.row_version += 1;
        link.updated_at = context.now;
    }
    let mut new = told(&links);
    if let Some(note) = note {
        new["note"] = json!(note);
    }
    let change = Recorded {
        record_type: "release",
        record_id: release.to_string(),
        subject: None,
        action: format!("release.spares_{state}"),
        before: Some(&old),
        after: Some(&new),
        published: true,
    };
    let stamp = context.record(permit, head, change)?;
    for link in &links {
        hardware_spares::store_link(context.connection, link, &stamp)?;
    }
    Ok(Some(stamp))
}

/// A hardware spare that a release had deployed, after that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"spare_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "serial": "T7-000481", "status": "in_stock"}))]
pub struct SpareTakenBack {
    /// The spare.
    pub spare_id: SpareId,
    /// Its serial number.
    #[schema(max_length = 100)]
    pub serial: String,
    /// Its status from then on: `in_stock`, or what somebody made of it since it was deployed.
    pub status: SpareStatus,
}

/// What a release deployed, with the reservations that say so; of one link, or all of it. Locked until the transaction
/// ends, in one order.
pub fn deployed(
    context: &mut WriteContext<'_>,
    release: ReleaseId,
    only: Option<ItemLinkId>,
) -> Result<Vec<(LinkRow, Record<HardwareSpare>)>> {
    let mut links = hardware_spares::links_in(context.connection, release, ReservationState::Deployed)?;
    links.retain(|link| only.is_none() || link.link_id == only);
    links.into_iter().map(|link| locked(context, link.spare_id).map(|spare| (link, spare))).collect()
}

/// Takes back that a release deployed these: a spare is in stock again where it is as the release left it, and nobody
/// reserved it since. The chain of the release goes on; answers where it ends then.
pub fn take_back(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &mut Release,
    deployed: Vec<(LinkRow, Record<HardwareSpare>)>,
    note: &str,
) -> Result<(Vec<SpareTakenBack>, Option<Stamp>)> {
    let (mut told, mut links) = (Vec::with_capacity(deployed.len()), Vec::with_capacity(deployed.len()));
    for (link, mut spare) in deployed {
        let is_left = spare.content.status == SpareStatus::Deployed
            && spare.content.configuration_item_id == link.configuration_item_id
            && !hardware_spares::is_reserved_since(context.connection, &link)?;
        if is_left {
            let content =
                HardwareSpare { status: SpareStatus::InStock, configuration_item_id: None, ..spare.content.clone() };
            spare = catalogue::store_as(context, permit, spare, content, "take_back")?;
        }
        let HardwareSpare { serial, status, .. } = spare.content;
        told.push(SpareTakenBack { spare_id: spare.id, serial, status });
        links.push(link);
    }
    let reverted = (links, ReservationState::Reverted);
    let stamp = settle(context, permit, (release.id, &release.chain), reverted, Some(note))?;
    if let Some(stamp) = &stamp {
        release.chain = stamp.head().clone();
    }
    Ok((told, stamp))
}

/// The state of a reservation that history compares.
fn told(row: &LinkRow) -> Value {
    json!({
        "spare_id": row.spare_id, "configuration_item_id": row.configuration_item_id, "description": row.description,
        "state": row.state,
    })
}

fn subject(row: &LinkRow) -> (&'static str, String) {
    ("spare_link", row.id.to_string())
}

fn own(context: &mut WriteContext<'_>, release: &Release, id: SpareLinkId) -> Result<Link> {
    let links = hardware_spares::links_of(context.connection, release.id)?;
    links.into_iter().find(|link| link.row.id == id).ok_or(Error::NotFound(LINK))
}
