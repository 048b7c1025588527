//! History of a release, and the audit of everything.

use actix_web::get;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::{Answer, Call, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{AuditId, Timestamp, UserId};
use crate::repository::audit::{AuditRow, BadRow, HISTORY, LIST, Proof};
use crate::repository::listing::SqlValue;
use crate::service::{Reply, audit};

/// Registers the operations.
pub fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_history).service(verify_history).service(list_audit).service(verify_audit);
}

/// A field that changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldChange {
    /// JSON pointer to the field.
    pub field: String,
    /// How it was.
    pub before: Value,
    /// How it is since.
    pub after: Value,
}

/// A row of history.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    /// Identifier.
    pub id: AuditId,
    /// Position in the chain of its record, from 1.
    pub seq: i64,
    /// Kind of the record whose chain it belongs to.
    pub record_type: String,
    /// That record.
    pub record_id: String,
    /// What happened, as `noun.verb`.
    pub action: String,
    /// Kind of what was changed, where it belongs to the record.
    pub subject_type: String,
    /// What was changed.
    pub subject_id: String,
    /// Who did it; null for the machine itself.
    pub actor_id: Option<UserId>,
    /// Their login name at that time.
    pub actor_name: String,
    /// How they had proved who they are.
    pub via: String,
    /// The request in which it happened.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// Every field that changed.
    #[schema(value_type = Vec<FieldChange>)]
    pub changes: Value,
    /// Hash of the row before; empty for the first.
    pub previous_hash: String,
    /// Hash of this row.
    pub hash: String,
    /// Always 1: a row of history never changes.
    pub row_version: i64,
}

impl From<AuditRow> for HistoryEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            seq: row.seq,
            record_type: row.record_type,
            record_id: row.record_id,
            action: row.action,
            subject_type: row.subject_type,
            subject_id: row.subject_id,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            via: row.via,
            request_id: row.request_id,
            at: row.at,
            changes: serde_json::from_str(&row.changes).unwrap_or(Value::Null),
            previous_hash: row.previous_hash,
            hash: row.hash,
            row_version: 1,
        }
    }
}

/// The first row that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct FirstBad {
    /// Kind of the record.
    pub record_type: String,
    /// The record.
    pub record_id: String,
    /// Position in its chain.
    pub seq: i64,
    /// What is wrong, in words.
    pub reason: &'static str,
}

impl From<BadRow> for FirstBad {
    fn from(bad: BadRow) -> Self {
        Self { record_type: bad.record_type, record_id: bad.record_id, seq: bad.seq, reason: bad.reason }
    }
}

/// The proof of one chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChainProof {
    /// True where every row is there, in order and unaltered.
    pub valid: bool,
    /// Number of rows.
    pub length: i64,
    /// Hash of the last row.
    pub head: Option<String>,
    /// The first row that is wrong.
    pub first_bad: Option<FirstBad>,
}

/// The proof of every chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditProof {
    /// True where every row of every chain is there, in order and unaltered.
    pub valid: bool,
    /// Number of rows.
    pub length: i64,
    /// Number of chains.
    pub chains: i64,
    /// The first row that is wrong.
    pub first_bad: Option<FirstBad>,
}

fn entry_position(row: &AuditRow, sort: &str) -> (SqlValue, String) {
    let value = if sort == "seq" { SqlValue::Integer(row.seq) } else { SqlValue::Instant(row.at) };
    (value, row.id.to_string())
}

/// Read the history of a release
///
/// Every change of the release and of what belongs to it, newest first, field by field.
#[utoipa::path(tag = "Audit", params(("release" = String, Path,)), responses((status = 200, body = Page<HistoryEntry>)))]
#[get("/releases/{release}/history")]
async fn list_history(call: Call) -> Answer {
    let path = call.clone();
    call.list(&HISTORY, &["record_type", "record_id"], move |context, query| {
        context.authorise(Access::Read)?;
        let rows = audit::history(context, path.id("release", "release")?, query.clone())?;
        paging::reply(&path, &HISTORY, &query, rows, HistoryEntry::from, entry_position)
    })
    .await
}

/// Prove the history of a release
///
/// Walks its hash chain and compares the end with the release.
#[utoipa::path(tag = "Audit", params(("release" = String, Path,)), responses((status = 200, body = ChainProof)))]
#[get("/releases/{release}/history/verify")]
async fn verify_history(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let Proof { rows, head, first_bad, .. } = audit::verify_history(context, path.id("release", "release")?)?;
        let proof =
            ChainProof { valid: first_bad.is_none(), length: rows, head, first_bad: first_bad.map(FirstBad::from) };
        Reply::json(200, &proof)
    })
    .await
}

/// List the audit
///
/// Every change of every record, newest first. For administrators.
#[utoipa::path(tag = "Audit", responses((status = 200, body = Page<HistoryEntry>)))]
#[get("/audit")]
async fn list_audit(call: Call) -> Answer {
    let link = call.clone();
    call.list(&LIST, &[], move |context, query| {
        let rows = audit::list(context, &query)?;
        paging::reply(&link, &LIST, &query, rows, HistoryEntry::from, entry_position)
    })
    .await
}

/// Prove the audit
///
/// Walks every hash chain and compares each end with its record. For administrators.
#[utoipa::path(tag = "Audit", responses((status = 200, body = AuditProof)))]
#[get("/audit/verify")]
async fn verify_audit(call: Call) -> Answer {
    call.read(&[], |context| {
        let Proof { rows, chains, first_bad, .. } = audit::verify(context)?;
        let proof =
            AuditProof { valid: first_bad.is_none(), length: rows, chains, first_bad: first_bad.map(FirstBad::from) };
        Reply::json(200, &proof)
    })
    .await
}
