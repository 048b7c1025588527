//! The definitive hardware store: spares, and which release each is reserved for.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::contents::not_blank;
use super::error::{Error, one_row};
use super::releases::move_chain;
use super::schema::{hardware_spares, release_hardware_spares};
use crate::domain::values::*;

const fn in_stock() -> SpareStatus {
    SpareStatus::InStock
}

/// An approved spare of hardware.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset,
)]
#[diesel(table_name = hardware_spares, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "Terminal T7", "serial": "T7-000481", "location": "Lisbon store, shelf 4"}))]
pub struct HardwareSpare {
    /// Model.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub model: String,
    /// Serial number, unique.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub serial: String,
    /// Where it is.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default)]
    pub location: Option<String>,
    /// What else is to be known.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub notes: Option<String>,
    /// Status. A release that takes it makes it `reserved`, and `deployed` when it is closed as solved; `retired` and
    /// `in_stock` are for people to say.
    #[serde(default = "in_stock")]
    #[schema(default = "in_stock")]
    pub status: SpareStatus,
    /// The configuration item that it became. Closing the release that reserved it says that; only of what is `deployed`
    /// or was is it anything.
    #[serde(default)]
    pub configuration_item_id: Option<ConfigurationItemId>,
}

/// A release reserves at most so many spares; the list answers them all.
pub const LINKS_MAX: i64 = 200;

/// The reservation of a spare for a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_hardware_spares, treat_none_as_default_value = false)]
pub struct LinkRow {
    /// Identifier.
    pub id: SpareLinkId,
    /// The release.
    pub release_id: ReleaseId,
    /// The spare.
    pub spare_id: SpareId,
    /// The configuration item that it is going to be.
    pub configuration_item_id: Option<ConfigurationItemId>,
    /// The link of the item whose applying made the spare the item.
    pub link_id: Option<ItemLinkId>,
    /// What for.
    pub description: Option<String>,
    /// What became of it.
    pub state: ReservationState,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was reserved.
    pub created_at: Timestamp,
    /// When the reservation last changed.
    pub updated_at: Timestamp,
}

/// A reservation together with what people want to know of its spare.
#[derive(Debug, Clone)]
pub struct Link {
    /// The reservation.
    pub row: LinkRow,
    /// Model of the spare.
    pub model: String,
    /// Serial number of the spare.
    pub serial: String,
    /// Where the spare is.
    pub location: Option<String>,
    /// Status of the spare.
    pub status: SpareStatus,
}

/// The reservations of a release, oldest first.
pub fn links_of(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<Link>, Error> {
    type Row = (LinkRow, (String, String, Option<String>, SpareStatus));
    let rows: Vec<Row> = release_hardware_spares::table
        .inner_join(hardware_spares::table)
        .filter(release_hardware_spares::release_id.eq(release))
        .order(release_hardware_spares::id.asc())
        .select((
            release_hardware_spares::all_columns,
            (hardware_spares::model, hardware_spares::serial, hardware_spares::location, hardware_spares::status),
        ))
        .load(connection)?;
    let link = |(row, (model, serial, location, status))| Link { row, model, serial, location, status };
    Ok(rows.into_iter().map(link).collect())
}

/// The reservations of a release in a state, by spare.
pub fn links_in(
    connection: &mut AnyConnection,
    release: ReleaseId,
    state: ReservationState,
) -> Result<Vec<LinkRow>, Error> {
    Ok(release_hardware_spares::table
        .filter(release_hardware_spares::release_id.eq(release))
        .filter(release_hardware_spares::state.eq(state))
        .order(release_hardware_spares::spare_id.asc())
        .load(connection)?)
}

/// True where a spare that is reserved for the release is going to be the item.
pub fn is_reserved_for_item(
    connection: &mut AnyConnection,
    release: ReleaseId,
    item: ConfigurationItemId,
) -> Result<bool, Error> {
    Ok(links_in(connection, release, ReservationState::Reserved)?
        .iter()
        .any(|link| link.configuration_item_id == Some(item)))
}

/// True where the spare was reserved again after this reservation.
pub fn is_reserved_since(connection: &mut AnyConnection, link: &LinkRow) -> Result<bool, Error> {
    let later = release_hardware_spares::table
        .filter(release_hardware_spares::spare_id.eq(link.spare_id))
        .filter(release_hardware_spares::id.gt(link.id));
    let count: i64 = later.count().get_result(connection)?;
    Ok(count > 0)
}

/// Stores a reservation; the stamp goes to the release's chain.
pub fn insert_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_hardware_spares::table).values(link).execute(connection)?;
    move_chain(connection, link.release_id, stamp)
}

/// Stores a changed reservation over the version before it; [`Error::Stale`] where that is not there. The chain of its
/// release moves with what else is stored.
pub fn store_link(connection: &mut AnyConnection, link: &LinkRow, _stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_hardware_spares, link.id, link.row_version - 1))
        .set((
            release_hardware_spares::configuration_item_id.eq(link.configuration_item_id),
            release_hardware_spares::link_id.eq(link.link_id),
            release_hardware_spares::description.eq(&link.description),
            release_hardware_spares::state.eq(link.state),
            release_hardware_spares::row_version.eq(link.row_version),
            release_hardware_spares::updated_at.eq(link.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)
}

/// The same; the stamp goes to the release's chain.
pub fn update_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    store_link(connection, link, stamp)?;
    move_chain(connection, link.release_id, stamp)
}

/// Removes a reservation of this version; [`Error::Stale`] where that is not there.
pub fn delete_link(connection: &mut AnyConnection, link: &LinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(release_hardware_spares, link.id, link.row_version)).execute(connection)?;
    one_row(hit)?;
    move_chain(connection, link.release_id, stamp)
}
