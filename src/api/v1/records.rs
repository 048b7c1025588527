//! `/releases/{release}/records`: what was done, seen and said.

use actix_web::{get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, Origin, RecordKind, ReleaseRecordId, Timestamp, UserId};
use crate::repository::listing::{ListQuery, SqlValue};
use crate::repository::records::{Entry, LIST};
use crate::repository::releases::ReleaseRef;
use crate::service::records::{self, NewRecord};
use crate::service::{ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_records).service(create_record).service(read_record);
}

impl Checked for NewRecord {
    const READ_ONLY: &'static [&'static str] = &["id", "author_id", "corrected_by_id", "row_version", "created_at"];
}

/// An entry in the records of a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseRecord {
    /// Identifier.
    pub id: ReleaseRecordId,
    /// Kind.
    pub kind: RecordKind,
    /// The installation's own word for what it is about.
    #[schema(max_length = 100, example = "vendor")]
    pub category: Option<String>,
    /// How it came about.
    pub origin: Origin,
    /// Minutes of work.
    #[schema(minimum = 0, maximum = 525600)]
    pub minutes_spent: Option<i64>,
    /// Whom it was with.
    #[schema(max_length = 200, example = "Rui Lima")]
    pub contact: Option<String>,
    /// The words.
    #[schema(max_length = 65000, example = "The vendor confirms the night of the deployment.")]
    pub body: String,
    /// The entry that this one corrects.
    pub corrects_id: Option<ReleaseRecordId>,
    /// The later entry that corrects this one.
    pub corrected_by_id: Option<ReleaseRecordId>,
    /// Who wrote it.
    pub author_id: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Always 1: an entry never changes.
    pub row_version: i64,
}

impl From<Entry> for ReleaseRecord {
    fn from((row, corrected_by_id): Entry) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            category: row.category,
            origin: row.origin,
            minutes_spent: row.minutes_spent,
            contact: row.contact,
            body: row.body,
            corrects_id: row.corrects_id,
            corrected_by_id,
            author_id: row.author_id,
            created_at: row.created_at,
            row_version: 1,
        }
    }
}

fn shown(status: u16, entry: Entry) -> crate::service::Result<Reply> {
    let release = entry.0.release_id;
    Ok(Reply::json(status, &ReleaseRecord::from(entry))?.version(1).about(release))
}

/// List the records of a release
///
/// Newest first, unless sorted otherwise; a release has at most 10 000.
#[utoipa::path(tag = "Records", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseRecord>)))]
#[get("/releases/{release}/records")]
async fn list_records(call: Call) -> Answer {
    let path = call.clone();
    call.list(&LIST, &["release_id"], move |context, query| {
        paging::shown(&path, &page(context, path.id("release", "release")?, &query)?)
    })
    .await
}

/// A page of them, as the list shows it.
pub(super) fn page(
    context: &mut ReadContext<'_>,
    release: ReleaseRef,
    query: &ListQuery,
) -> Result<Page<ReleaseRecord>> {
    let rows = records::list(context, release, query.clone())?;
    Ok(paging::page(&LIST, query, rows, ReleaseRecord::from, |(row, _), _| {
        (SqlValue::Instant(row.created_at), row.id.to_string())
    }))
}

/// Add a record to a release
///
/// Whatever the status of the release. An entry never changes: a correction is an entry of its own, which names in
/// `corrects_id` the one that it corrects.
#[utoipa::path(tag = "Records", params(("release" = String, Path,)), request_body = NewRecord, responses((status = 201, body = ReleaseRecord)))]
#[post("/releases/{release}/records")]
async fn create_record(call: Call, body: Body<Draft<NewRecord>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let entry = records::add(context, path.id("release", "release")?, draft.clone())?;
        let location = format!("{BASE}/releases/{}/records/{}", entry.0.release_id, entry.0.id);
        Ok(shown(201, entry)?.at(location))
    })
    .await
}

/// Read a record of a release
///
/// With what it corrects, and what corrects it.
#[utoipa::path(tag = "Records", params(("release" = String, Path,), ("id" = ReleaseRecordId, Path,)), responses((status = 200, body = ReleaseRecord)))]
#[get("/releases/{release}/records/{id}")]
async fn read_record(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, records::read(context, path.id("release", "release")?, path.id("id", "record")?)?)
    })
    .await
}
