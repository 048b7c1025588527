//! History of a release, and the audit of everything.

use actix_web::get;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Operations;
use crate::api::{Answer, Call, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{AuditId, CheckpointId, Timestamp, UserId};
use crate::repository::audit::{AuditRow, BadRow, HISTORY, LIST, Proof};
use crate::repository::checkpoints::{CheckpointRow, LIST as CHECKPOINTS};
use crate::repository::identity::SigningKeyRow;
use crate::repository::listing::SqlValue;
use crate::service::{Reply, audit, checkpoints};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_history).service(verify_history).service(list_audit).service(verify_audit);
    config.service(list_checkpoints).service(read_audit_keys);
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
    /// Number of checkpoints.
    pub checkpoints: i64,
    /// The first row that is wrong; where a checkpoint itself is, its kind is `checkpoint`.
    pub first_bad: Option<FirstBad>,
}

/// A signed statement on the ends of the chains that moved since the one before.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checkpoint {
    /// Identifier.
    pub id: CheckpointId,
    /// Position among the checkpoints, from 1.
    pub seq: i64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// History up to this instant was looked at.
    pub covered_to: Timestamp,
    /// How many ends of chains it states.
    pub heads: i64,
    /// A compact JWS (RFC 7515) of type `slipway-checkpoint+jwt`, signed with EdDSA: `seq`, `taken_at`, `covered_to`
    /// and `heads` as above, `heads_digest`, and `previous`, the digest of the statement before.
    pub statement: String,
    /// Always 1: a checkpoint never changes.
    pub row_version: i64,
}

impl From<CheckpointRow> for Checkpoint {
    fn from(row: CheckpointRow) -> Self {
        let CheckpointRow { seq, id, taken_at, covered_to, heads, statement } = row;
        Self { id, seq, taken_at, covered_to, heads, statement, row_version: 1 }
    }
}

/// A public key, as a JSON Web Key (RFC 7517, RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicKey {
    /// Kind of key: `OKP`.
    pub kty: &'static str,
    /// Curve: `Ed25519`.
    pub crv: &'static str,
    /// Algorithm: `EdDSA`.
    pub alg: &'static str,
    /// What it is for: `sig`, signatures.
    #[serde(rename = "use")]
    pub purpose: &'static str,
    /// Names the key in the header of what it signed.
    pub kid: String,
    /// The public key, base64url.
    pub x: String,
}

/// The public keys of the installation, as a JSON Web Key Set.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicKeys {
    /// The keys, newest first.
    pub keys: Vec<PublicKey>,
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
/// Walks every hash chain, compares each end with its record, and every checkpoint with the chains. For
/// administrators.
#[utoipa::path(tag = "Audit", responses((status = 200, body = AuditProof)))]
#[get("/audit/verify")]
async fn verify_audit(call: Call) -> Answer {
    call.read(&[], |context| {
        let (Proof { rows, chains, first_bad, .. }, checkpoints) = audit::verify(context)?;
        let valid = first_bad.is_none();
        let first_bad = first_bad.map(FirstBad::from);
        Reply::json(200, &AuditProof { valid, length: rows, chains, checkpoints, first_bad })
    })
    .await
}

/// List the checkpoints of the audit
///
/// Signed statements on the ends of the hash chains, newest first. For administrators.
#[utoipa::path(tag = "Audit", responses((status = 200, body = Page<Checkpoint>)))]
#[get("/audit/checkpoints")]
async fn list_checkpoints(call: Call) -> Answer {
    let link = call.clone();
    call.list(&CHECKPOINTS, &[], move |context, query| {
        let rows = checkpoints::list(context, &query)?;
        paging::reply(&link, &CHECKPOINTS, &query, rows, Checkpoint::from, |row, _| {
            (SqlValue::Integer(row.seq), row.id.to_string())
        })
    })
    .await
}

/// Read the public keys of the audit
///
/// The keys that verify the statements of checkpoints. Whoever keeps a checkpoint file keeps them with it. For
/// administrators.
#[utoipa::path(tag = "Audit", responses((status = 200, body = PublicKeys)))]
#[get("/audit/keys")]
async fn read_audit_keys(call: Call) -> Answer {
    call.read(&[], |context| {
        let rows = checkpoints::keys(context)?;
        // Keys are only ever added, so that their number is a version.
        let version = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let key = |row: SigningKeyRow| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            purpose: "sig",
            kid: row.kid,
            x: row.public_key,
        };
        let keys = PublicKeys { keys: rows.into_iter().map(key).collect() };
        Ok(Reply::json(200, &keys)?.version(version))
    })
    .await
}
