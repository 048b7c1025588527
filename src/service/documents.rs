//! Documents of releases. The content goes to the store first and the row after it, in one transaction: what is
//! left over where one of both fails is collected by [`super::document_keeping`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::releases::{standing_conflict, visible, visible_locked};
use super::{Env, Error, MergePatch, ReadContext, Recorded, Reply, Request, Result, WriteContext};
use crate::domain::documents::{DOCUMENTS_MAX, may_be_deleted, may_be_written};
use crate::domain::gates::Gate;
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::definitive_media;
use crate::repository::documents::{self, DocumentRow};
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::release_row::folded;
use crate::repository::releases::ReleaseRef;
use crate::store::{Error as StoreError, Receiving, Seal, fresh_key};

/// A file that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// What came.
    pub seal: Seal,
}

/// Content that is in the store, with what is to be known of it to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContent {
    /// What it is the content of, for the log.
    pub of: String,
    /// File name.
    pub name: String,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
    /// Size.
    pub size_bytes: i64,
    /// Where it is in the store.
    pub store_key: String,
    /// When it came.
    pub stored_at: Timestamp,
}

impl From<DocumentRow> for StoredContent {
    fn from(row: DocumentRow) -> Self {
        Self {
            of: format!("document {}", row.id),
            name: row.name,
            sha256: row.sha256,
            size_bytes: row.size_bytes,
            store_key: row.store_key,
            stored_at: row.created_at,
        }
    }
}

/// What a caller says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDocument {
    /// What it is for.
    pub class: DocumentClass,
    /// What it is, in words.
    pub description: Option<String>,
    /// The version that it is about.
    pub version: Option<String>,
    /// The file.
    pub file: NewFile,
}

/// What may be changed of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFields {
    /// What it is for.
    pub class: DocumentClass,
    /// What it is, in words.
    pub description: Option<String>,
    /// The version that it is about.
    pub version: Option<String>,
}

/// A page of the documents of a visible release: those that are there, unless the deleted ones are asked for.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef, mut query: ListQuery) -> Result<Rows<DocumentRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    let position = |name: &str| documents::LIST.filters.iter().position(|filter| filter.name == name);
    let (Some(of_release), Some(deleted)) = (position("release_id"), position("deleted")) else {
        return Err(Error::Internal("the list of documents lacks a filter".into()));
    };
    if !query.conditions.iter().any(|condition| condition.filter == deleted) {
        query.conditions.push(Condition { filter: deleted, values: vec![SqlValue::Boolean(false)] });
    }
    query.conditions.push(Condition { filter: of_release, values: vec![SqlValue::Text(release.id.to_string())] });
    Ok(documents::page(context.connection, &query, context.now)?)
}

/// A document of a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: DocumentId) -> Result<DocumentRow> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    documents::find(context.connection, release.id, id)?.ok_or(Error::NotFound("document"))
}

/// Whether the caller, who is answered, may upload to the release at all: asked before a byte of the file is read.
pub fn may_upload(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<UserId> {
    let release = visible(context, reference)?;
    match super::releases::may_execute(context, &release) {
        // What was done once is answered again, whatever became of the right since. Whether this is the same request is
        // known when the file has come.
        Err(Error::Forbidden(_)) if super::is_key_kept(context)? => Ok(context.actor.user_id),
        judged => judged.map(|_| context.actor.user_id),
    }
}

/// The key under which a file is received.
pub fn new_key(env: &Env) -> String {
    fresh_key(env.new_id(env.now()))
}

/// Completes the object of new content, and stores what has it: a document, or a medium. Where that is refused, or was
/// done before, the object goes again.
pub async fn upload(
    env: Arc<Env>,
    request: Request,
    (key, receiving): (String, Receiving),
    store_row: impl Fn(&mut WriteContext<'_>, &str) -> Result<Reply> + Send + 'static,
) -> Result<Reply> {
    let store = env.store()?.clone();
    receiving.complete().await?;
    let written = key.clone();
    let result = env.write(request, move |context| store_row(context, &written)).await;
    let unneeded = match &result {
        Ok(reply) => reply.replayed,
        // Whether a transaction that the database failed under was committed is not always known: then the object
        // stays, and is collected where nothing has it.
        Err(error) => super::repository_error(error).is_none_or(crate::repository::Error::is_constraint),
    };
    if unneeded && let Err(error) = store.delete(&key).await {
        log::warn!("the object {key} is left over until it is collected: {error}");
    }
    result
}

/// Stores a document whose content is in the store.
pub fn add(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    draft: &Draft<NewDocument>,
    key: &str,
) -> Result<DocumentRow> {
    let release = visible_locked(context, reference)?;
    let permit = super::releases::may_execute(context, &release)?;
    // Of what nothing sensible was said, it is said that first where the release takes nothing but evidence.
    if let Ok(new) = draft {
        writable(context, &release, new.class)?;
        if new.class == DocumentClass::Package {
            of_library(context, &release, &new.file.seal.sha256, "/file")?;
        }
    }
    let new = draft.as_ref().map_err(|faults| Error::Invalid(faults.clone()))?;
    if documents::count(context.connection, release.id)? >= DOCUMENTS_MAX {
        return Err(Error::conflict("LIMIT_REACHED", format!("A release has at most {DOCUMENTS_MAX} documents.")));
    }
    let row = DocumentRow {
        id: DocumentId::new(context.env.new_id(context.now)),
        release_id: release.id,
        class: new.class,
        name: new.file.name.clone(),
        name_folded: folded(&new.file.name),
        description: new.description.clone(),
        version: new.version.clone(),
        media_type: new.file.media_type.clone(),
        size_bytes: i64::try_from(new.file.seal.size_bytes).unwrap_or(i64::MAX),
        sha256: new.file.seal.sha256.clone(),
        store_key: key.to_owned(),
        uploaded_by: context.actor.user_id,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
        deleted_at: None,
        deleted_by: None,
        content_removed_at: None,
    };
    let stamp = record(context, permit, &release, &row, "release.add_document", None, Some(&told(&row)))?;
    documents::insert(context.connection, &row, &stamp)?;
    Ok(row)
}

/// Changes what is said of a document.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: DocumentId,
    patch: &MergePatch<DocumentFields>,
) -> Result<DocumentRow> {
    let release = visible_locked(context, reference)?;
    let mut row = documents::find(context.connection, release.id, id)?.ok_or(Error::NotFound("document"))?;
    let permit = super::releases::may_execute(context, &release)?;
    context.request.if_match.demand(row.row_version)?;
    writable(context, &release, row.class)?;
    let before = told(&row);
    let current = json!({"class": row.class, "description": row.description, "version": row.version});
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    // Evidence of a finished release stays evidence.
    writable(context, &release, fields.class)?;
    if fields.class == DocumentClass::Package && row.class != DocumentClass::Package {
        of_library(context, &release, &row.sha256, "/class")?;
    }
    row.class = fields.class;
    row.description = fields.description;
    row.version = fields.version;
    let after = told(&row);
    if before == after {
        return Ok(row);
    }
    row.row_version += 1;
    row.updated_at = context.now;
    let stamp = record(context, permit, &release, &row, "release.update_document", Some(&before), Some(&after))?;
    documents::update(context.connection, &row, &stamp)?;
    Ok(row)
}

/// Deletes a document: its row stays as a tombstone, and its content is taken out of the store later.
pub fn remove(context: &mut WriteContext<'_>, reference: ReleaseRef, id: DocumentId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let mut row = documents::find(context.connection, release.id, id)?.ok_or(Error::NotFound("document"))?;
    let permit = super::releases::may_execute(context, &release)?;
    context.request.if_match.demand(row.row_version)?;
    if !may_be_deleted(release.status) {
        let detail = format!("The documents of a release that is `{}` stay.", release.status);
        return Err(standing_conflict(context, &release, "STATE_FORBIDS", detail, Vec::new()));
    }
    let before = told(&row);
    row.row_version += 1;
    row.updated_at = context.now;
    row.deleted_at = Some(context.now);
    row.deleted_by = Some(context.actor.user_id);
    let stamp = record(context, permit, &release, &row, "release.delete_document", Some(&before), None)?;
    Ok(documents::update(context.connection, &row, &stamp)?)
}

fn writable(context: &mut WriteContext<'_>, release: &Release, class: DocumentClass) -> Result<()> {
    if may_be_written(class, release.status) {
        return Ok(());
    }
    let detail = format!("A release that is `{}` takes documents of class `evidence` alone.", release.status);
    Err(standing_conflict(context, release, "STATE_FORBIDS", detail, Vec::new()))
}

/// Demands of a package that comes after the packages of the release were compared with the library that it is one of
/// those that were: the gate of the library is not passed again.
fn of_library(context: &mut WriteContext<'_>, release: &Release, sha256: &str, pointer: &str) -> Result<()> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let compares = |gate: &Gate| matches!(gate, Gate::MediaAuthorised { .. }) && gate.asks(release).is_some();
    let mut left = workflow.stages.iter().take_while(|stage| stage.key != release.stage);
    if !workflow.locks_plan(&release.stage) || !left.any(|stage| stage.gates.iter().any(compares)) {
        return Ok(());
    }
    if definitive_media::is_of_release(context.connection, release.id, sha256)? {
        return Ok(());
    }
    let detail = "The packages of the release were compared with its definitive media when it was authorised, and this \
                  one has the SHA-256 of none of them. Send the release back to bring it in.";
    let faults =
        vec![Fault::at(pointer, "PACKAGE_NOT_IN_LIBRARY", "No definitive medium of the release is this file.")];
    Err(standing_conflict(context, release, "LOCKED_AFTER_AUTHORIZATION", detail.into(), faults))
}

/// The state of a document that history compares: everything but its content.
fn told(row: &DocumentRow) -> Value {
    json!({
        "class": row.class, "name": row.name, "description": row.description, "version": row.version,
        "media_type": row.media_type, "size_bytes": row.size_bytes, "sha256": row.sha256,
    })
}

fn record(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    row: &DocumentRow,
    action: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<crate::repository::audit::Stamp> {
    let change = Recorded {
        record_type: "release",
        record_id: row.release_id.to_string(),
        subject: Some(("document", row.id.to_string())),
        action: action.into(),
        before,
        after,
        published: true,
    };
    context.record(permit, &release.chain, change)
}

/// Opens content, or a range of it.
pub async fn content(env: &Env, stored: &StoredContent, range: std::ops::Range<u64>) -> Result<crate::store::Chunks> {
    let size_bytes = u64::try_from(stored.size_bytes).unwrap_or_default();
    match env.store()?.read(&stored.store_key, (size_bytes, &stored.sha256), range).await {
        Err(StoreError::Missing) => {
            log::error!("the content of {} is not in the store, under {}", stored.of, stored.store_key);
            Err(StoreError::Missing.into())
        }
        result => Ok(result?),
    }
}
