//! The definitive hardware store: spares that releases reserve, and deploy when they are closed as solved.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::catalogue::{self, Rules};
use super::releases::{active, locked_plan, may_execute, record_part, visible, visible_locked};
use super::rules::unknown;
use super::{Error, MergePatch, ReadContext, Recorded, Result, WriteContext, configuration_items};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::hardware_spares::{self, LINKS_MAX, Link, LinkRow};
use crate::repository::nouns::{ConfigurationItem, HardwareSpare, Noun, Record};
use crate::repository::releases::ReleaseRef;

impl Rules for HardwareSpare {
    const ACCESS: Access = Access::Library;

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
    /// The configuration item that it is going to be.
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
    /// The configuration item that it is going to be. Locked after authorization.
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
    let mut faults: Vec<Fault> = match &spare {
        Some(_) => Vec::new(),
        None => vec![Fault::unknown("/spare_id", HardwareSpare::RECORD)],
    };
    let item = new.configuration_item_id;
    faults.extend(unknown::<ConfigurationItem>(context, item, "/configuration_item_id")?);
    let Some(spare) = spare.filter(|_| faults.is_empty()) else {
        return Err(Error::Invalid(faults));
    };
    free(&spare)?;
    let reserved = HardwareSpare { status: SpareStatus::Reserved, ..spare.content.clone() };
    let spare = catalogue::store_as(context, permit, spare, reserved, "reserve")?.content;
    let row = LinkRow {
        id: SpareLinkId::new(context.env.new_id(context.now)),
        release_id: release.id,
        spare_id: new.spare_id,
        configuration_item_id: item,
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

/// Refuses a spare that is not to be had.
fn free(spare: &Record<HardwareSpare>) -> Result<()> {
    let (code, detail) = match spare.content.status {
        SpareStatus::InStock => return Ok(()),
        SpareStatus::Reserved => ("SPARE_RESERVED", "The spare is reserved for a release already.".to_owned()),
        status => ("SPARE_STATE_FORBIDS", format!("The spare is `{status}`.")),
    };
    let faults = vec![Fault::at("/spare_id", code, &detail)];
    Err(Error::Conflict { code, detail, standing: None, faults })
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
        let item = fields.configuration_item_id;
        Error::unless_none(
            unknown::<ConfigurationItem>(context, item, "/configuration_item_id")?.into_iter().collect(),
        )?;
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
    if link.row.state == ReservationState::Deployed {
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

/// What a transition means for the spares that are reserved for the release: closing as solved deploys them, any other
/// end frees them. Answers the stamp to store where there were any.
pub fn follow_transition(
    context: &mut WriteContext<'_>,
    permit: Permit,
    (before, after): (&Release, &Release),
    stamp: &Stamp,
) -> Result<Option<Stamp>> {
    match (after.status, after.resolution) {
        (status, _) if status == before.status => Ok(None),
        (Status::Closed, Some(Resolution::Solved)) => deploy_reserved(context, permit, after, stamp),
        (Status::Closed | Status::Cancelled, _) => free_reserved(context, permit, after, stamp),
        _ => Ok(None),
    }
}

/// Deploys what is reserved for a release, and says so of the configuration items that it becomes.
fn deploy_reserved(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    stamp: &Stamp,
) -> Result<Option<Stamp>> {
    let links = hardware_spares::reserved_for(context.connection, release.id)?;
    for link in &links {
        let spare = locked(context, link.spare_id)?;
        let content = HardwareSpare {
            status: SpareStatus::Deployed,
            configuration_item_id: link.configuration_item_id,
            ..spare.content.clone()
        };
        let spare = catalogue::store_as(context, permit, spare, content, "deploy")?.content;
        if let Some(item) = link.configuration_item_id {
            become_item(context, permit, release.id, &spare, item)?;
        }
    }
    settle(context, permit, release, &links, ReservationState::Deployed, stamp)
}

/// Frees what is reserved for a release.
fn free_reserved(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    stamp: &Stamp,
) -> Result<Option<Stamp>> {
    let links = hardware_spares::reserved_for(context.connection, release.id)?;
    for link in &links {
        give_back(context, permit, link.spare_id)?;
    }
    settle(context, permit, release, &links, ReservationState::Released, stamp)
}

/// Notes what became of the reservations of a release, behind a stamp of its chain.
fn settle(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    links: &[LinkRow],
    state: ReservationState,
    stamp: &Stamp,
) -> Result<Option<Stamp>> {
    if links.is_empty() {
        return Ok(None);
    }
    let told = |state: ReservationState| -> Value {
        let reservations = links.iter().map(|link| (link.spare_id.to_string(), json!(state)));
        json!({"reservations": reservations.collect::<serde_json::Map<String, Value>>()})
    };
    let (old, new) = (told(ReservationState::Reserved), told(state));
    let change = Recorded {
        record_type: "release",
        record_id: release.id.to_string(),
        subject: None,
        action: format!("release.spares_{state}"),
        before: Some(&old),
        after: Some(&new),
        published: true,
    };
    let stamp = context.record(permit, stamp.head(), change)?;
    let now = context.now;
    hardware_spares::settle(context.connection, release.id, state, now, &stamp)?;
    Ok(Some(stamp))
}

/// Says of a configuration item that a spare is it now. What a link of the release just said of its status holds.
fn become_item(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: ReleaseId,
    spare: &HardwareSpare,
    id: ConfigurationItemId,
) -> Result<()> {
    let now = context.now;
    let record = ConfigurationItem::lock(context.connection, id)?
        .ok_or_else(|| Error::Internal(format!("the configuration item {id} is named and not there")))?;
    let is_told = hardware_spares::is_applied_now(context.connection, (release, id), now)?;
    let before = record.content.clone();
    let content = ConfigurationItem {
        serial: Some(spare.serial.clone()),
        location: spare.location.clone().or_else(|| before.location.clone()),
        status: if is_told { before.status } else { ItemStatus::InProduction },
        ..before.clone()
    };
    if content == before {
        return Ok(());
    }
    let (old, new) = (catalogue::document(&before)?, catalogue::document(&content)?);
    let change = Recorded {
        record_type: ConfigurationItem::RECORD,
        record_id: id.to_string(),
        subject: None,
        action: format!("{}.deploy_spare", ConfigurationItem::RECORD),
        before: Some(&old),
        after: Some(&new),
        published: true,
    };
    let stamp = context.record(permit, &record.chain, change)?;
    let stored =
        Record { row_version: record.row_version + 1, updated_at: now, chain: stamp.head().clone(), content, ..record };
    ConfigurationItem::update(context.connection, &stored, &stamp)?;
    let versions = (stored.row_version - 1, stored.row_version);
    hardware_spares::known_to_links(context.connection, (release, id), versions, &stamp)?;
    let origin = (ItemOrigin::Release, Some(release));
    let history = configuration_items::remember(context, &stored, Some(&before), origin, &stamp)?;
    let write_back = WriteBackId::new(context.env.new_id(now));
    let told = (release, id, stored.content.source.as_str());
    Ok(hardware_spares::insert_write_back(context.connection, (write_back, history), told, now, &stamp)?)
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
