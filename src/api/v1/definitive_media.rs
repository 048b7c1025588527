//! `/definitive-media`: the definitive media library.

use actix_web::{HttpRequest, delete, get, patch, post, put, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::upload::{Sent, Uploaded};
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{Draft, Json, MediumId, MediumKind, MediumStatus, Timestamp, UserId};
use crate::repository::definitive_media::{Licence, Medium};
use crate::repository::listing::SqlValue;
use crate::repository::nouns::{DefinitiveMedium, Noun};
use crate::service::definitive_media::{self, Shown};
use crate::service::documents::NewFile;
use crate::service::{MergePatch, Reply, Result, WriteContext, catalogue};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_definitive_media)
        .service(create_definitive_medium)
        .service(read_definitive_medium)
        .service(update_definitive_medium)
        .service(delete_definitive_medium)
        .service(upload_medium_content)
        .service(download_medium_content)
        .service(verify_definitive_medium)
        .service(authorise_definitive_medium)
        .service(retire_definitive_medium);
}

const RECORD: &str = DefinitiveMedium::RECORD;

impl Checked for DefinitiveMedium {
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "status",
        "licences_in_use",
        "file_name",
        "size_bytes",
        "media_type",
        "content_sha256",
        "stored_at",
        "verified_at",
        "verified_by",
        "authorised_at",
        "authorised_by",
        "row_version",
        "created_at",
        "updated_at",
    ];
}

/// A definitive medium as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LibraryMedium {
    /// Identifier.
    pub id: MediumId,
    /// Name; unique together with version and kind.
    pub name: String,
    /// Version.
    pub version: String,
    /// What it is.
    pub kind: MediumKind,
    /// Where it lies, where that is a place that one can go to.
    pub physical_location: Option<String>,
    /// Where it lies in a registry, a repository or a share.
    pub logical_location: Option<String>,
    /// The SHA-256 that the content must have, in lower-case hexadecimal, as it was stated.
    pub sha256: Option<String>,
    /// The right to use it.
    pub licence: Option<Licence>,
    /// What else is to be known.
    pub notes: Option<String>,
    /// Status.
    pub status: MediumStatus,
    /// How many releases use it: those that are linked to it but for the cancelled and those that were closed as unsolved,
    /// and those that name it at a configuration item, unless that failed, was skipped or was reverted.
    pub licences_in_use: i64,
    /// File name of the content, where it is stored here.
    pub file_name: Option<String>,
    /// Size of the content.
    pub size_bytes: Option<i64>,
    /// Media type of the content, as it was sent.
    pub media_type: Option<String>,
    /// SHA-256 of the content as it came.
    pub content_sha256: Option<String>,
    /// When the content came.
    pub stored_at: Option<Timestamp>,
    /// When it was verified.
    pub verified_at: Option<Timestamp>,
    /// Who verified it.
    pub verified_by: Option<UserId>,
    /// When it was authorised.
    pub authorised_at: Option<Timestamp>,
    /// Who authorised it.
    pub authorised_by: Option<UserId>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<Shown> for LibraryMedium {
    fn from(Shown { medium: Medium { record, keeping }, licences_in_use }: Shown) -> Self {
        let content = record.content;
        Self {
            id: record.id,
            name: content.name,
            version: content.version,
            kind: content.kind,
            physical_location: content.physical_location,
            logical_location: content.logical_location,
            sha256: content.sha256,
            licence: content.licence.map(|Json(licence)| licence),
            notes: content.notes,
            status: keeping.status,
            licences_in_use,
            file_name: keeping.file_name,
            size_bytes: keeping.size_bytes,
            media_type: keeping.media_type,
            content_sha256: keeping.content_sha256,
            stored_at: keeping.stored_at,
            verified_at: keeping.verified_at,
            verified_by: keeping.verified_by,
            authorised_at: keeping.authorised_at,
            authorised_by: keeping.authorised_by,
            row_version: record.row_version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn answered(status: u16, shown: Shown) -> Result<Reply> {
    let row_version = shown.medium.record.row_version;
    Ok(Reply::json(status, &LibraryMedium::from(shown))?.version(row_version))
}

fn position(shown: &Shown, sort: &str) -> (SqlValue, String) {
    let record = &shown.medium.record;
    let value = match sort {
        "created_at" => SqlValue::Instant(record.created_at),
        _ => SqlValue::Text(record.content.name.clone()),
    };
    (value, record.id.to_string())
}

/// List definitive media
///
/// By name. Those of a release are at `/releases/{release}/definitive-media`.
#[utoipa::path(tag = "Library", responses((status = 200, body = Page<LibraryMedium>)))]
#[get("/definitive-media")]
async fn list_definitive_media(call: Call) -> Answer {
    let link = call.clone();
    call.list(DefinitiveMedium::LIST, &[], move |context, query| {
        let rows = definitive_media::list(context, &query)?;
        paging::reply(&link, DefinitiveMedium::LIST, &query, rows, LibraryMedium::from, position)
    })
    .await
}

/// Create a definitive medium
///
/// As a draft. Its content is uploaded to `…/content`, or lies where it says; then it is verified and authorised.
#[utoipa::path(tag = "Library", request_body = DefinitiveMedium, responses((status = 201, body = LibraryMedium)))]
#[post("/definitive-media")]
async fn create_definitive_medium(call: Call, body: Body<Draft<DefinitiveMedium>>) -> Answer {
    call.write(&["dry_run"], body, |context, draft| {
        let shown = definitive_media::create(context, draft.clone())?;
        let location = format!("{BASE}/definitive-media/{}", shown.medium.record.id);
        Ok(answered(201, shown)?.at(location))
    })
    .await
}

/// Read a definitive medium
///
/// What is said of it. Its content, where it is stored here, is at `…/content`.
#[utoipa::path(tag = "Library", params(("id" = MediumId, Path,)), responses((status = 200, body = LibraryMedium)))]
#[get("/definitive-media/{id}")]
async fn read_definitive_medium(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        answered(200, definitive_media::read(context, path.id("id", RECORD)?)?)
    })
    .await
}

/// Update a definitive medium
///
/// Of one that is authorised or retired, notes and licence alone: a new version is a new medium. One that was verified
/// is a draft again when anything else of it changes.
#[utoipa::path(
    tag = "Library",
    params(("id" = MediumId, Path,)),
    request_body(content = PatchOf<DefinitiveMedium>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = LibraryMedium))
)]
#[patch("/definitive-media/{id}")]
async fn update_definitive_medium(call: Call, body: Body<MergePatch<DefinitiveMedium>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        answered(200, definitive_media::patch(context, path.id("id", RECORD)?, patch)?)
    })
    .await
}

/// Delete a definitive medium
///
/// Only one that no release names is deleted; else 409 says by what it is used. Its content is taken out of the store
/// later.
#[utoipa::path(tag = "Library", params(("id" = MediumId, Path,)), responses((status = 204)))]
#[delete("/definitive-media/{id}")]
async fn delete_definitive_medium(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        let id = path.id("id", RECORD)?;
        let if_match = context.request.if_match.clone();
        catalogue::delete::<DefinitiveMedium>(context, id, &if_match)?;
        Ok(Reply::empty())
    })
    .await
}

/// The content of a medium to upload, as the parts of a form.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"file": "what is installed"}))]
pub struct MediumUpload {
    /// The SHA-256 of the content, in hexadecimal: other content is refused. Empty: nothing is said.
    #[schema(max_length = 64, pattern = "^([0-9A-Fa-f]{64})?$", nullable = false, example = "")]
    #[serde(default)]
    pub sha256: Option<String>,
    /// The file, with its name and its media type, as they are taken of documents.
    #[schema(value_type = String, format = Binary)]
    pub file: String,
}

impl Checked for MediumUpload {}

impl Uploaded for MediumUpload {
    const TEXTS: &'static [&'static str] = &["sha256"];

    fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    fn said(&self, file: &NewFile) -> serde_json::Value {
        serde_json::json!([file.name, file.media_type, file.seal.sha256])
    }
}

/// Upload the content of a definitive medium
///
/// One file, as large as a document may be, in place of what was there before. A draft alone takes content, and where
/// the medium states a SHA-256, content of that alone; where it states none, it states the one of the part `sha256` from
/// then on. What nobody stated is seen in `content_sha256` alone, and does not make it verified. There is no dry run.
/// `If-Match` is honoured where it is sent.
#[utoipa::path(
    tag = "Library",
    params(("id" = MediumId, Path,)),
    request_body(content = MediumUpload, content_type = "multipart/form-data"),
    responses((status = 200, body = LibraryMedium))
)]
#[put("/definitive-media/{id}/content")]
async fn upload_medium_content(call: Call, http: HttpRequest, payload: web::Payload) -> Answer {
    call.upload(
        http,
        payload,
        |context, path| definitive_media::may_upload(context, path.id("id", RECORD)?),
        store_content,
    )
    .await
}

fn store_content(context: &mut WriteContext<'_>, path: &Call, sent: &Sent<MediumUpload>, key: &str) -> Result<Reply> {
    let file = sent.clone().map(|(said, file)| (said.sha256.is_some(), file));
    answered(200, definitive_media::put_content(context, path.id("id", RECORD)?, &file, key)?)
}

/// Download the content of a definitive medium
///
/// As an attachment, always as `application/octet-stream`; of a `Range` of bytes that part alone. The ETag is the
/// SHA-256. Where the content lies elsewhere, there is none here. What is asked for in `Accept` counts for nothing.
#[utoipa::path(tag = "Library", params(("id" = MediumId, Path,)), responses((status = 200)))]
#[get("/definitive-media/{id}/content")]
async fn download_medium_content(call: Call, http: HttpRequest) -> Answer {
    let path = call.clone();
    call.download(http, move |context| definitive_media::content(context, path.id("id", RECORD)?)).await
}

/// What somebody found who looked whether a medium is what it says.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}))]
pub struct MediumVerification {
    /// The SHA-256 that they computed, in lower-case hexadecimal: it must be that of the medium. Needed where the medium
    /// states none, and where its content lies elsewhere.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    #[serde(default)]
    pub sha256: Option<String>,
}

impl Checked for MediumVerification {}

/// Verify a definitive medium
///
/// Says that a draft is what it claims to be. It has content here or says where it lies, and somebody has stated its
/// SHA-256: content that is here must have it, and of content that lies elsewhere the caller says what they computed.
#[utoipa::path(
    tag = "Library",
    params(("id" = MediumId, Path,)),
    request_body = MediumVerification,
    responses((status = 200, body = LibraryMedium))
)]
#[post("/definitive-media/{id}/verify")]
async fn verify_definitive_medium(call: Call, body: Body<Draft<MediumVerification>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let computed = draft.clone().map(|verification| verification.sha256);
        answered(200, definitive_media::verify(context, path.id("id", RECORD)?, computed)?)
    })
    .await
}

/// Authorise a definitive medium
///
/// Says that what was verified is to be installed; from then on it never changes. Who verified it does not authorise it.
/// The content, where it is stored here, is read once more and compared with the SHA-256.
#[utoipa::path(tag = "Library", params(("id" = MediumId, Path,)), responses((status = 200, body = LibraryMedium)))]
#[post("/definitive-media/{id}/authorise")]
async fn authorise_definitive_medium(call: Call, body: NoBody) -> Answer {
    let (path, looking) = (call.clone(), call.clone());
    let key = call.look_up(move |context| definitive_media::to_look_at(context, looking.id("id", RECORD)?)).await?;
    let seen = match key {
        Some(key) => Some(definitive_media::look(call.env(), key).await?),
        None => None,
    };
    call.write(&["dry_run"], body, move |context, _| {
        answered(200, definitive_media::authorise(context, path.id("id", RECORD)?, seen.as_ref())?)
    })
    .await
}

/// Retire a definitive medium
///
/// It is not to be installed any more; releases that use it are told so by their gates.
#[utoipa::path(tag = "Library", params(("id" = MediumId, Path,)), responses((status = 200, body = LibraryMedium)))]
#[post("/definitive-media/{id}/retire")]
async fn retire_definitive_medium(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, _| {
        answered(200, definitive_media::retire(context, path.id("id", RECORD)?)?)
    })
    .await
}
