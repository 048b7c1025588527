//! `/hardware-spares` and `/releases/{release}/hardware-spares`: the definitive hardware store, and what of it releases
//! reserve.

use actix_web::{delete, get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::{self, PatchOf, Resource, ResourceOf, reference_resource};
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{
    ConfigurationItemId, Draft, ReservationState, SpareId, SpareLinkId, SpareStatus, Timestamp,
};
use crate::repository::hardware_spares::{LINKS_MAX, Link};
use crate::repository::nouns::{HardwareSpare, Noun};
use crate::repository::releases::ReleaseRef;
use crate::service::hardware_spares::{self, ReservationFields, SpareToReserve};
use crate::service::{MergePatch, ReadContext, Reply, Result, catalogue};

reference_resource!(
    HardwareSpare,
    SpareId,
    "Library",
    "/hardware-spares",
    "/hardware-spares/{id}",
    list_hardware_spares,
    read_hardware_spare,
    update_hardware_spare,
    delete_hardware_spare,
    create_hardware_spare
);

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_hardware_spares)
        .service(create_hardware_spare)
        .service(read_hardware_spare)
        .service(update_hardware_spare)
        .service(delete_hardware_spare)
        .service(list_release_spares)
        .service(reserve_spare)
        .service(read_release_spare)
        .service(update_release_spare)
        .service(free_spare);
}

const LINK: &str = "hardware spare of the release";

impl Checked for SpareToReserve {}

impl Checked for ReservationFields {
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "spare_id",
        "model",
        "serial",
        "location",
        "status",
        "state",
        "row_version",
        "created_at",
        "updated_at",
    ];
}

/// The reservation of a hardware spare for a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseSpare {
    /// Identifier of the reservation.
    pub id: SpareLinkId,
    /// The spare.
    pub spare_id: SpareId,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Where it is.
    pub location: Option<String>,
    /// Its status.
    pub status: SpareStatus,
    /// The configuration item that it is going to be.
    pub configuration_item_id: Option<ConfigurationItemId>,
    /// What for.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// What became of the reservation.
    pub state: ReservationState,
    /// Rises with every change of the reservation.
    pub row_version: i64,
    /// When it was reserved.
    pub created_at: Timestamp,
    /// When the reservation last changed.
    pub updated_at: Timestamp,
}

impl From<Link> for ReleaseSpare {
    fn from(link: Link) -> Self {
        let Link { row, model, serial, location, status } = link;
        Self {
            id: row.id,
            spare_id: row.spare_id,
            model,
            serial,
            location,
            status,
            configuration_item_id: row.configuration_item_id,
            description: row.description,
            state: row.state,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(status: u16, link: Link) -> Result<Reply> {
    let (release, row_version) = (link.row.release_id, link.row.row_version);
    Ok(Reply::json(status, &ReleaseSpare::from(link))?.version(row_version).about(release))
}

/// List the hardware spares of a release
///
/// What is or was reserved for it, in the order in which it was; a release reserves at most 200.
#[utoipa::path(tag = "Library", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseSpare>)))]
#[get("/releases/{release}/hardware-spares")]
async fn list_release_spares(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| paging::shown(&path, &all(context, path.id("release", "release")?)?)).await
}

/// All of them, as the list shows them.
pub(super) fn all(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Page<ReleaseSpare>> {
    Ok(paging::whole(hardware_spares::links(context, release)?, LINKS_MAX))
}

/// Reserve a hardware spare for a release
///
/// One that is in stock; of two releases that want it exactly one gets it. The configuration item that it is going to be is
/// one that a pending link of the release is of. Closing the release as solved deploys the spare, and gives the item its
/// serial number and location with what the link intends; where the link failed or was skipped, the spare is in stock again.
/// Locked after authorization.
#[utoipa::path(tag = "Library", params(("release" = String, Path,)), request_body = SpareToReserve, responses((status = 201, body = ReleaseSpare)))]
#[post("/releases/{release}/hardware-spares")]
async fn reserve_spare(call: Call, body: Body<Draft<SpareToReserve>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let link = hardware_spares::reserve(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/hardware-spares/{}", link.row.release_id, link.row.id);
        Ok(shown(201, link)?.at(location))
    })
    .await
}

/// Read a hardware spare of a release
///
/// The reservation, with what people want to know of its spare.
#[utoipa::path(tag = "Library", params(("release" = String, Path,), ("id" = SpareLinkId, Path,)), responses((status = 200, body = ReleaseSpare)))]
#[get("/releases/{release}/hardware-spares/{id}")]
async fn read_release_spare(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, hardware_spares::link(context, path.id("release", "release")?, path.id("id", LINK)?)?)
    })
    .await
}

/// Update the reservation of a hardware spare
///
/// What it is for. The configuration item that it is going to be is locked after authorization.
#[utoipa::path(
    tag = "Library",
    params(("release" = String, Path,), ("id" = SpareLinkId, Path,)),
    request_body(content = PatchOf<ReservationFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseSpare))
)]
#[patch("/releases/{release}/hardware-spares/{id}")]
async fn update_release_spare(call: Call, body: Body<MergePatch<ReservationFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        shown(200, hardware_spares::patch_link(context, path.id("release", "release")?, path.id("id", LINK)?, patch)?)
    })
    .await
}

/// Free a hardware spare
///
/// Its reservation ends, and it is in stock again. Locked after authorization.
#[utoipa::path(tag = "Library", params(("release" = String, Path,), ("id" = SpareLinkId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/hardware-spares/{id}")]
async fn free_spare(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        hardware_spares::release_spare(context, path.id("release", "release")?, path.id("id", LINK)?)?;
        Ok(Reply::empty())
    })
    .await
}
