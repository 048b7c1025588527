//! The definitive media library: from a draft over what somebody verified to what somebody else authorised.
//!
//! A draft is free. What was verified and is changed is a draft again, and what was authorised never changes: a new
//! version is a new medium. Content is stored like that of documents ([`super::documents`]), and authorising reads it out
//! of the store once more.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::catalogue::{self, Rules};
use super::documents::{NewFile, StoredContent};
use super::{Env, Error, MergePatch, ReadContext, Recorded, Result, WriteContext, already_exists};
use crate::domain::policy::{self, Access, Permit};
use crate::domain::values::*;
use crate::repository::definitive_media::{self, Keeping, Medium, Use};
use crate::repository::listing::{ListQuery, Rows};
use crate::repository::nouns::{DefinitiveMedium, Noun, Record};
use crate::store::Error as StoreError;

/// The name of the noun in audit and problems.
const RECORD: &str = DefinitiveMedium::RECORD;

impl Rules for DefinitiveMedium {
    const ACCESS: Access = Access::Library;
    const INSTEAD: &'static str = " Retire it instead.";

    fn faults(&self, _: &mut WriteContext<'_>, _: Option<MediumId>, _: Option<&Self>) -> Result<Vec<Fault>> {
        Ok(Vec::new())
    }
}

/// A medium as it is shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The medium.
    pub medium: Medium,
    /// How many releases use it.
    pub licences_in_use: i64,
}

fn shown(context: &mut ReadContext<'_>, medium: Medium) -> Result<Shown> {
    let id = medium.record.id;
    let licences_in_use =
        definitive_media::in_use(context.connection, &[id], None)?.remove(&id).unwrap_or_default().releases;
    Ok(Shown { medium, licences_in_use })
}

/// A page of media.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<Rows<Shown>> {
    context.authorise(Access::Read)?;
    let Rows { rows, more, total } = definitive_media::page(context.connection, query, context.now)?;
    let ids: Vec<MediumId> = rows.iter().map(|medium| medium.record.id).collect();
    let in_use: HashMap<MediumId, Use> = definitive_media::in_use(context.connection, &ids, None)?;
    let shown = |medium: Medium| {
        let licences_in_use = in_use.get(&medium.record.id).copied().unwrap_or_default().releases;
        Shown { medium, licences_in_use }
    };
    Ok(Rows { rows: rows.into_iter().map(shown).collect(), more, total })
}

fn find(context: &mut ReadContext<'_>, id: MediumId) -> Result<Medium> {
    definitive_media::find(context.connection, id)?.ok_or(Error::NotFound(RECORD))
}

fn lock(context: &mut WriteContext<'_>, id: MediumId) -> Result<Medium> {
    definitive_media::lock(context.connection, id)?.ok_or(Error::NotFound(RECORD))
}

/// One medium.
pub fn read(context: &mut ReadContext<'_>, id: MediumId) -> Result<Shown> {
    context.authorise(Access::Read)?;
    let medium = find(context, id)?;
    shown(context, medium)
}

/// Creates a medium, as a draft.
pub fn create(context: &mut WriteContext<'_>, draft: Draft<DefinitiveMedium>) -> Result<Shown> {
    let permit = context.authorise(DefinitiveMedium::ACCESS)?;
    let content = draft.map_err(Error::Invalid)?;
    let record = catalogue::insert(context, permit, content, &[("status", json!(MediumStatus::Draft))])?;
    let medium = find(context, record.id)?;
    Ok(Shown { medium, licences_in_use: 0 })
}

/// What is authorised with a medium, as far as two of them differ in it.
fn locked_differences(before: &DefinitiveMedium, after: &DefinitiveMedium) -> Vec<&'static str> {
    [
        ("/name", before.name != after.name),
        ("/version", before.version != after.version),
        ("/kind", before.kind != after.kind),
        ("/physical_location", before.physical_location != after.physical_location),
        ("/logical_location", before.logical_location != after.logical_location),
        ("/sha256", before.sha256 != after.sha256),
    ]
    .into_iter()
    .filter_map(|(pointer, differs)| differs.then_some(pointer))
    .collect()
}

/// Changes what is said of a medium.
pub fn patch(context: &mut WriteContext<'_>, id: MediumId, patch: &MergePatch<DefinitiveMedium>) -> Result<Shown> {
    let before = lock(context, id)?;
    let permit = context.authorise(DefinitiveMedium::ACCESS)?;
    context.request.if_match.demand(before.record.row_version)?;
    let content = patch.apply(catalogue::document(&before.record.content)?).map_err(Error::Invalid)?;
    let locked = locked_differences(&before.record.content, &content);
    let mut after = Medium { record: Record { content, ..before.record.clone() }, ..before.clone() };
    if !locked.is_empty() {
        match before.keeping.status {
            MediumStatus::Draft => {}
            MediumStatus::Verified => {
                // What was verified is another one now.
                after.keeping = Keeping {
                    status: MediumStatus::Draft,
                    verified_at: None,
                    verified_by: None,
                    ..before.keeping.clone()
                };
            }
            status @ (MediumStatus::Authorised | MediumStatus::Retired) => {
                return Err(Error::Conflict {
                    code: "MEDIUM_LOCKED",
                    detail: format!(
                        "The medium is `{status}`: its notes and its licence alone change. A new version is a new medium."
                    ),
                    standing: None,
                    faults: locked.iter().map(|at| Fault::at(*at, "MEDIUM_LOCKED", "This stays as it is.")).collect(),
                });
            }
        }
    }
    let medium = store(context, permit, before, after, "update")?;
    shown(context, medium)
}

/// The state of a medium that history compares.
fn told(medium: &Medium) -> Result<Value> {
    let mut told = catalogue::document(&medium.record.content)?;
    let keeping = &medium.keeping;
    let own = json!({
        "status": keeping.status, "size_bytes": keeping.size_bytes, "media_type": keeping.media_type,
        "file_name": keeping.file_name, "content_sha256": keeping.content_sha256, "stored_at": keeping.stored_at,
        "verified_at": keeping.verified_at, "verified_by": keeping.verified_by,
        "authorised_at": keeping.authorised_at, "authorised_by": keeping.authorised_by,
    });
    for (name, value) in own.as_object().into_iter().flatten() {
        told[name] = value.clone();
    }
    Ok(told)
}

/// Stores what a locked medium became, where that differs from what it was.
fn store(
    context: &mut WriteContext<'_>,
    permit: Permit,
    before: Medium,
    mut after: Medium,
    verb: &str,
) -> Result<Medium> {
    let (old, new) = (told(&before)?, told(&after)?);
    if old == new {
        return Ok(before);
    }
    let change = Recorded {
        record_type: RECORD,
        record_id: before.record.id.to_string(),
        subject: None,
        action: format!("{RECORD}.{verb}"),
        before: Some(&old),
        after: Some(&new),
        published: true,
    };
    let stamp = context.record(permit, &before.record.chain, change)?;
    after.record.row_version += 1;
    after.record.updated_at = context.now;
    after.record.chain = stamp.head().clone();
    definitive_media::store(context.connection, &after, &stamp)
        .map_err(|error| already_exists(error.into(), RECORD))?;
    Ok(after)
}

fn forbidden_by_status(medium: &Medium, what: &str) -> Error {
    let status = medium.keeping.status;
    Error::conflict("MEDIUM_STATE_FORBIDS", format!("The medium is `{status}`: {what}."))
}

/// Whether the caller, who is answered, may store content at all: asked before a byte of it is read.
pub fn may_upload(context: &mut ReadContext<'_>, id: MediumId) -> Result<UserId> {
    find(context, id)?;
    context.authorise(DefinitiveMedium::ACCESS)?;
    Ok(context.actor.user_id)
}

/// Gives a draft the content that is in the store under a key. `stated` is the SHA-256 that came with it and that it has:
/// the medium states it from then on. What nobody stated is stated by nobody: the service does not vouch for what came.
pub fn put_content(
    context: &mut WriteContext<'_>,
    id: MediumId,
    file: &Draft<(bool, NewFile)>,
    key: &str,
) -> Result<Shown> {
    let before = lock(context, id)?;
    let permit = context.authorise(DefinitiveMedium::ACCESS)?;
    context.request.if_match.honour(before.record.row_version)?;
    if before.keeping.status != MediumStatus::Draft {
        return Err(forbidden_by_status(&before, "only a draft takes content"));
    }
    let (is_stated, file) = file.as_ref().map_err(|faults| Error::Invalid(faults.clone()))?;
    let sha256 = &file.seal.sha256;
    if let Some(stated) = before.record.content.sha256.as_ref().filter(|stated| *stated != sha256) {
        let detail = format!("The medium states the SHA-256 {stated}, and the content that came has {sha256}.");
        return Err(Error::Invalid(vec![Fault::at("/file", "DIGEST_MISMATCH", detail)]));
    }
    let mut after = before.clone();
    if *is_stated {
        after.record.content.sha256 = Some(sha256.clone());
    }
    after.keeping = Keeping {
        size_bytes: Some(i64::try_from(file.seal.size_bytes).unwrap_or(i64::MAX)),
        media_type: Some(file.media_type.clone()),
        store_key: Some(key.to_owned()),
        file_name: Some(file.name.clone()),
        content_sha256: Some(sha256.clone()),
        stored_at: Some(context.now),
        ..after.keeping
    };
    let medium = store(context, permit, before, after, "store_content")?;
    shown(context, medium)
}

/// The content of a medium, where it has one.
pub fn content(context: &mut ReadContext<'_>, id: MediumId) -> Result<StoredContent> {
    context.authorise(Access::Read)?;
    let Keeping { size_bytes, store_key, file_name, content_sha256, stored_at, .. } = find(context, id)?.keeping;
    match (size_bytes, store_key, file_name, content_sha256, stored_at) {
        (Some(size_bytes), Some(store_key), Some(name), Some(sha256), Some(stored_at)) => {
            Ok(StoredContent { of: format!("medium {id}"), name, sha256, size_bytes, store_key, stored_at })
        }
        _ => Err(Error::NotFound("content of the medium")),
    }
}

/// Says that a draft is what it claims to be. `computed` is the SHA-256 that the verifier found: of content that lies
/// elsewhere it is needed, for the service cannot read that; where the medium states none, it is what the verifier knows
/// that it must be, and the medium states it from then on.
pub fn verify(context: &mut WriteContext<'_>, id: MediumId, computed: Draft<Option<String>>) -> Result<Shown> {
    let before = lock(context, id)?;
    let permit = policy::may_verify_media(&context.actor)?;
    context.request.if_match.honour(before.record.row_version)?;
    if before.keeping.status != MediumStatus::Draft {
        return Err(forbidden_by_status(&before, "only a draft is verified"));
    }
    let computed = computed.map_err(Error::Invalid)?;
    let content = &before.record.content;
    let mut faults = Vec::new();
    let is_placed = content.physical_location.is_some() || content.logical_location.is_some();
    if before.keeping.store_key.is_none() && !is_placed {
        let detail = "The medium has no content here: upload it, or say where it lies.";
        faults.push(Fault::at("/logical_location", "REQUIRED", detail));
    }
    let stated = content.sha256.clone().or_else(|| computed.clone());
    match &stated {
        None => {
            let detail = "The medium states no SHA-256: say which it must have.";
            faults.push(Fault::at("/sha256", "REQUIRED", detail));
        }
        Some(_) if before.keeping.store_key.is_none() && computed.is_none() => {
            let detail = "The content lies elsewhere: say the SHA-256 that was computed of it there.";
            faults.push(Fault::at("/sha256", "REQUIRED", detail));
        }
        Some(stated) => {
            let found = [&before.keeping.content_sha256, &computed];
            if let Some(other) = found.into_iter().flatten().find(|found| *found != stated) {
                let detail = format!("The SHA-256 must be {stated}, and what was found is {other}.");
                faults.push(Fault::at("/sha256", "DIGEST_MISMATCH", detail));
            }
        }
    }
    Error::unless_none(faults)?;
    let mut after = before.clone();
    after.record.content.sha256 = stated;
    after.keeping.status = MediumStatus::Verified;
    after.keeping.verified_at = Some(context.now);
    after.keeping.verified_by = Some(context.actor.user_id);
    let medium = store(context, permit, before, after, "verify")?;
    shown(context, medium)
}

/// What the store holds of a medium, as it was read before the transaction that authorises.
#[derive(Debug, Clone)]
pub struct Seen {
    key: String,
    sha256: std::result::Result<String, StoreError>,
}

/// The key of what is to be read before a medium is authorised; none where nothing is stored, or the caller may not.
pub fn to_look_at(context: &mut ReadContext<'_>, id: MediumId) -> Result<Option<String>> {
    let keeping = find(context, id)?.keeping;
    policy::may_authorise_media(&context.actor)?;
    Ok(keeping.store_key.filter(|_| keeping.status == MediumStatus::Verified))
}

/// Reads content out of the store, all of it.
pub async fn look(env: &Arc<Env>, key: String) -> Result<Seen> {
    let sha256 = env.store()?.sha256(&key).await;
    Ok(Seen { key, sha256 })
}

/// The same, waiting for it.
pub fn look_blocking(env: &Env, key: String) -> Result<Seen> {
    let sha256 = env.store()?.sha256_blocking(&key);
    Ok(Seen { key, sha256 })
}

/// Says that a verified medium is to be installed.
pub fn authorise(context: &mut WriteContext<'_>, id: MediumId, seen: Option<&Seen>) -> Result<Shown> {
    let before = lock(context, id)?;
    let permit = policy::may_authorise_media(&context.actor)?;
    policy::four_eyes(&context.actor, before.keeping.verified_by)?;
    context.request.if_match.honour(before.record.row_version)?;
    if before.keeping.status != MediumStatus::Verified {
        return Err(forbidden_by_status(&before, "only what was verified is authorised"));
    }
    if let Some(key) = &before.keeping.store_key {
        let seen = seen.filter(|seen| seen.key == *key);
        let seen = seen.ok_or_else(|| Error::conflict("CONCURRENT_CHANGE", "The content has changed meanwhile."))?;
        let sha256 = seen.sha256.clone()?;
        if before.record.content.sha256.as_ref() != Some(&sha256) {
            let detail = format!("The content in the store has the SHA-256 {sha256}.");
            return Err(Error::Invalid(vec![Fault::at("/sha256", "DIGEST_MISMATCH", detail)]));
        }
    }
    let mut after = before.clone();
    after.keeping.status = MediumStatus::Authorised;
    after.keeping.authorised_at = Some(context.now);
    after.keeping.authorised_by = Some(context.actor.user_id);
    let medium = store(context, permit, before, after, "authorise")?;
    shown(context, medium)
}

/// Says that a medium is not to be installed any more.
pub fn retire(context: &mut WriteContext<'_>, id: MediumId) -> Result<Shown> {
    let before = lock(context, id)?;
    let permit = context.authorise(DefinitiveMedium::ACCESS)?;
    context.request.if_match.honour(before.record.row_version)?;
    if before.keeping.status == MediumStatus::Retired {
        return Err(forbidden_by_status(&before, "it was retired before"));
    }
    let mut after = before.clone();
    after.keeping.status = MediumStatus::Retired;
    let medium = store(context, permit, before, after, "retire")?;
    shown(context, medium)
}
