//! `/write-backs`: what the tools that own configuration items are to be told.

use actix_web::{get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, Body, Call, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::listing::SqlValue;
use crate::repository::nouns::ConfigurationItem;
use crate::repository::write_backs::{LIST, VISIBLE_TO, WriteBack as Row};
use crate::service::write_backs::{self, Confirmation, Rejection};
use crate::service::{Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_write_backs).service(read_write_back).service(confirm_write_back).service(refuse_write_back);
}

impl Checked for Confirmation {}
impl Checked for Rejection {}

/// What of an item a release changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WrittenState {
    /// The version that is installed.
    pub version: Option<String>,
    /// Status.
    pub status: ItemStatus,
    /// Where it is used.
    pub environment: Option<Environment>,
    /// Serial number.
    #[schema(max_length = 100, example = "SN-0042")]
    pub serial: Option<String>,
    /// Where it stands.
    pub location: Option<String>,
}

impl From<ConfigurationItem> for WrittenState {
    fn from(item: ConfigurationItem) -> Self {
        Self {
            version: item.version,
            status: item.status,
            environment: item.environment,
            serial: item.serial,
            location: item.location,
        }
    }
}

/// What the tool that owns a configuration item is to be told.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WriteBack {
    /// Identifier.
    pub id: WriteBackId,
    /// `apply`: a release changed the item. `revert`: that was taken back.
    pub kind: WriteBackKind,
    /// What the tool said. `superseded`: it did not answer before a later write-back of the same item, and is to take over
    /// that one alone; what it took over before may still be confirmed.
    pub state: WriteBackState,
    /// The release.
    pub release_id: ReleaseId,
    /// Its key.
    #[schema(max_length = 100, example = "REL-1")]
    pub release_key: String,
    /// The link of the item to the release.
    pub link_id: ItemLinkId,
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
    /// The tool that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// How it was; null where it was new.
    pub before: Option<WrittenState>,
    /// How it was from then on.
    pub after: WrittenState,
    /// The tool's own revision of the item, once confirmed.
    #[schema(max_length = 100, example = "rev-8812")]
    pub cmdb_revision: Option<String>,
    /// Why the tool refused it.
    pub note: Option<String>,
    /// When the tool answered.
    pub answered_at: Option<Timestamp>,
    /// Who answered for it.
    pub answered_by: Option<UserId>,
    /// Rises with every change.
    pub row_version: i64,
    /// When the item changed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<Row> for WriteBack {
    fn from(told: Row) -> Self {
        let Row { row, external_id, name, before, after, release_number } = told;
        Self {
            id: row.id,
            kind: row.kind,
            state: row.state,
            release_id: row.release_id,
            release_key: format!("REL-{release_number}"),
            link_id: row.link_id,
            configuration_item_id: row.configuration_item_id,
            source: row.source,
            external_id,
            name,
            before: before.map(WrittenState::from),
            after: after.into(),
            cmdb_revision: row.cmdb_revision,
            note: row.note,
            answered_at: row.answered_at,
            answered_by: row.answered_by,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(told: Row) -> Result<Reply> {
    let (release, row_version) = (told.row.release_id, told.row.row_version);
    Ok(Reply::json(200, &WriteBack::from(told))?.version(row_version).about(release))
}

/// List the write-backs
///
/// What closing releases, and taking it back, did to configuration items: what the tools that own them are to be told,
/// oldest first. Of an item at most the latest is `pending`. Of releases that the caller may see.
#[utoipa::path(tag = "Configuration items", responses((status = 200, body = Page<WriteBack>)))]
#[get("/write-backs")]
async fn list_write_backs(call: Call) -> Answer {
    let link = call.clone();
    call.list(&LIST, &[VISIBLE_TO], move |context, query| {
        let rows = write_backs::list(context, &query)?;
        paging::reply(&link, &LIST, &query, rows, WriteBack::from, |told, _| {
            (SqlValue::Instant(told.row.created_at), told.row.id.to_string())
        })
    })
    .await
}

/// Read a write-back
///
/// With what the item was and is.
#[utoipa::path(tag = "Configuration items", params(("id" = WriteBackId, Path,)), responses((status = 200, body = WriteBack)))]
#[get("/write-backs/{id}")]
async fn read_write_back(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(write_backs::read(context, path.id("id", "write-back")?)?)
    })
    .await
}

/// Confirm a write-back
///
/// The tool that owns the item took it over, with its own revision. Once, while the release is closed.
#[utoipa::path(tag = "Configuration items", params(("id" = WriteBackId, Path,)), request_body = Confirmation, responses((status = 200, body = WriteBack)))]
#[post("/write-backs/{id}/confirm")]
async fn confirm_write_back(call: Call, body: Body<Draft<Confirmation>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        shown(write_backs::confirm(context, path.id("id", "write-back")?, draft.clone())?)
    })
    .await
}

/// Refuse a write-back
///
/// The tool that owns the item will not take it over. Once, while the release is closed.
#[utoipa::path(tag = "Configuration items", params(("id" = WriteBackId, Path,)), request_body = Rejection, responses((status = 200, body = WriteBack)))]
#[post("/write-backs/{id}/refuse")]
async fn refuse_write_back(call: Call, body: Body<Draft<Rejection>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        shown(write_backs::refuse(context, path.id("id", "write-back")?, draft.clone())?)
    })
    .await
}
