//! `/releases/{release}/documents`: files that belong to a release.

use actix_web::{HttpRequest, delete, get, patch, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::upload::{Sent, Uploaded};
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::values::{DocumentClass, DocumentId, Draft, Timestamp, UserId};
use crate::repository::contents::not_blank;
use crate::repository::documents::{DocumentRow, LIST};
use crate::repository::listing::{ListQuery, SqlValue};
use crate::repository::releases::ReleaseRef;
use crate::service::documents::{self, DocumentFields, NewDocument, NewFile};
use crate::service::{MergePatch, ReadContext, Reply, Result, WriteContext};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_documents)
        .service(upload_document)
        .service(read_document)
        .service(update_document)
        .service(delete_document)
        .service(download_document);
}

/// A document to upload, as the parts of a form.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"class": "evidence", "description": "All tests passed", "version": "4.2.0", "file": "what the tests said"}))]
pub struct DocumentUpload {
    /// What it is for.
    pub class: DocumentClass,
    /// What it is, in words. Empty: nothing is said, as of the other parts that may be left out.
    #[schema(max_length = 2000, nullable = false, example = "")]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub description: Option<String>,
    /// The version that it is about. Evidence that a gate asks for names the version of the release.
    #[schema(max_length = 50, nullable = false, example = "")]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub version: Option<String>,
    /// The SHA-256 of the content, in hexadecimal: other content is refused.
    #[schema(max_length = 64, pattern = "^([0-9A-Fa-f]{64})?$", nullable = false, example = "")]
    #[serde(default)]
    pub sha256: Option<String>,
    /// The file, with its name and its media type. The name is kept as it is: it has 1 to 255 characters (and bytes of
    /// UTF-8), no `/` and `\`, and no control character. The media type begins with `application`, `audio`, `font`,
    /// `image`, `model`, `text` or `video` and is none that browsers run, such as `text/html`, `image/svg+xml` or
    /// `text/javascript`; without one it is `application/octet-stream`.
    #[schema(value_type = String, format = Binary)]
    pub file: String,
}

impl Checked for DocumentUpload {}

impl Uploaded for DocumentUpload {
    const TEXTS: &'static [&'static str] = &["class", "description", "version", "sha256"];

    fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    fn said(&self, file: &NewFile) -> serde_json::Value {
        let Self { class, description, version, .. } = self;
        serde_json::json!([class, file.name, description, version, file.media_type, file.seal.sha256])
    }
}

/// What may be changed of a document.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "All tests passed, at the second try"}))]
pub struct ReleaseDocumentFields {
    /// What it is for.
    pub class: DocumentClass,
    /// What it is, in words.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub description: Option<String>,
    /// The version that it is about.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub version: Option<String>,
}

impl Checked for ReleaseDocumentFields {
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "name",
        "media_type",
        "size_bytes",
        "sha256",
        "uploaded_by",
        "row_version",
        "created_at",
        "updated_at",
        "deleted_at",
        "deleted_by",
    ];
}

/// A document of a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseDocument {
    /// Identifier.
    pub id: DocumentId,
    /// File name.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// What it is for.
    pub class: DocumentClass,
    /// What it is, in words.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// The version that it is about.
    pub version: Option<String>,
    /// Media type, as it was sent.
    pub media_type: String,
    /// Size of the content.
    pub size_bytes: i64,
    /// SHA-256 of the content, in hexadecimal; the ETag of the content too.
    pub sha256: String,
    /// Who uploaded it.
    pub uploaded_by: UserId,
    /// Rises with every change of what is said of it; the content never changes.
    pub row_version: i64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When what is said of it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Who deleted it.
    pub deleted_by: Option<UserId>,
}

impl From<DocumentRow> for ReleaseDocument {
    fn from(row: DocumentRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            class: row.class,
            description: row.description,
            version: row.version,
            media_type: row.media_type,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            uploaded_by: row.uploaded_by,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
            deleted_by: row.deleted_by,
        }
    }
}

fn shown(status: u16, row: DocumentRow) -> Result<Reply> {
    let (release, row_version) = (row.release_id, row.row_version);
    Ok(Reply::json(status, &ReleaseDocument::from(row))?.version(row_version).about(release))
}

fn created(row: DocumentRow) -> Result<Reply> {
    let location = format!("{BASE}/releases/{}/documents/{}", row.release_id, row.id);
    Ok(shown(201, row)?.at(location))
}

fn position(row: &DocumentRow, sort: &str) -> (SqlValue, String) {
    let value = match sort {
        "name" => SqlValue::Text(row.name_folded.clone()),
        "size_bytes" => SqlValue::Integer(row.size_bytes),
        _ => SqlValue::Instant(row.created_at),
    };
    (value, row.id.to_string())
}

/// List the documents of a release
///
/// Those that are there; `deleted=true` lists those that were deleted in their place. A release has at most 500 that
/// are there.
#[utoipa::path(tag = "Documents", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseDocument>)))]
#[get("/releases/{release}/documents")]
async fn list_documents(call: Call) -> Answer {
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
) -> Result<Page<ReleaseDocument>> {
    let rows = documents::list(context, release, query.clone())?;
    Ok(paging::page(&LIST, query, rows, ReleaseDocument::from, position))
}

/// Upload a document
///
/// One file, of 25 MiB at most where the service is not set up otherwise, with what is said of it. An active or
/// suspended release takes every class, a cancelled or closed one `evidence` alone. With the same `Idempotency-Key`
/// belong the same class, description, version, name, media type and content, told by its SHA-256; the boundary may be
/// another. There is no dry run.
#[utoipa::path(
    tag = "Documents",
    params(("release" = String, Path,)),
    request_body(content = DocumentUpload, content_type = "multipart/form-data"),
    responses((status = 201, body = ReleaseDocument))
)]
#[post("/releases/{release}/documents")]
async fn upload_document(call: Call, http: HttpRequest, payload: web::Payload) -> Answer {
    call.upload(
        http,
        payload,
        |context, path| documents::may_upload(context, path.id("release", "release")?),
        store_document,
    )
    .await
}

fn store_document(
    context: &mut WriteContext<'_>,
    path: &Call,
    sent: &Sent<DocumentUpload>,
    key: &str,
) -> Result<Reply> {
    let new = sent.clone().map(|(said, file)| {
        let DocumentUpload { class, description, version, .. } = said;
        NewDocument { class, description, version, file }
    });
    created(documents::add(context, path.id("release", "release")?, &new, key)?)
}

/// Read a document
///
/// What is known of it. Its content is at `…/content`. One that was deleted is found in the list with `deleted=true`,
/// and in the history.
#[utoipa::path(tag = "Documents", params(("release" = String, Path,), ("id" = DocumentId, Path,)), responses((status = 200, body = ReleaseDocument)))]
#[get("/releases/{release}/documents/{id}")]
async fn read_document(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        shown(200, documents::read(context, path.id("release", "release")?, path.id("id", "document")?)?)
    })
    .await
}

/// Update a document
///
/// Its class, its description and its version; name and content never change. Of a cancelled or closed release, only
/// `evidence`, which stays that.
#[utoipa::path(
    tag = "Documents",
    params(("release" = String, Path,), ("id" = DocumentId, Path,)),
    request_body(content = PatchOf<ReleaseDocumentFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseDocument))
)]
#[patch("/releases/{release}/documents/{id}")]
async fn update_document(call: Call, body: Body<MergePatch<ReleaseDocumentFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        let patch = MergePatch { document: patch.document.clone(), parse: fields };
        shown(200, documents::patch(context, path.id("release", "release")?, path.id("id", "document")?, &patch)?)
    })
    .await
}

fn fields(value: serde_json::Value) -> Draft<DocumentFields> {
    crate::api::schema::check_whole::<ReleaseDocumentFields>(value).map(|fields| DocumentFields {
        class: fields.class,
        description: fields.description,
        version: fields.version,
    })
}

/// Delete a document
///
/// What is known of it stays in the history and in the list with `deleted=true`; its content is taken out of the store
/// seven days later. The documents of a cancelled or closed release stay.
#[utoipa::path(tag = "Documents", params(("release" = String, Path,), ("id" = DocumentId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/documents/{id}")]
async fn delete_document(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        documents::remove(context, path.id("release", "release")?, path.id("id", "document")?)?;
        Ok(Reply::empty())
    })
    .await
}

/// Download a document
///
/// Its content, as an attachment, always as `application/octet-stream`; of a `Range` of bytes that part alone. The ETag is the
/// SHA-256. What is asked for in `Accept` counts for nothing.
#[utoipa::path(tag = "Documents", params(("release" = String, Path,), ("id" = DocumentId, Path,)), responses((status = 200)))]
#[get("/releases/{release}/documents/{id}/content")]
async fn download_document(call: Call, http: HttpRequest) -> Answer {
    let path = call.clone();
    call.download(http, move |context| {
        Ok(documents::read(context, path.id("release", "release")?, path.id("id", "document")?)?.into())
    })
    .await
}
