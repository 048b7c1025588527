//! Checkpoints of the audit: signed statements on the ends of the chains that moved since the last one.
//!
//! A chain is proof against a change in its middle, but not against somebody who cuts its end off and moves the
//! end that the record names, or who takes the whole record away. A checkpoint states, for every chain that has
//! grown, how long it was and which hash it ended with. Each states the digest of the one before, so that none is
//! taken out unseen; and it is signed, so that nobody without the key file makes another.
//!
//! A statement is a compact JWS (RFC 7515, EdDSA) of type [`CHECKPOINT_TYPE`](super::keys::CHECKPOINT_TYPE).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::keys::{ISSUER, verified_checkpoint};
use super::leases::Lease;
use super::{Env, Error, ReadContext, Result};
use crate::domain::policy::Access;
use crate::domain::values::{CheckpointId, Timestamp};
use crate::repository::AnyConnection;
use crate::repository::audit::{BadRow, digest};
use crate::repository::checkpoints::{self, CheckpointRow, Head, Portion, Position};
use crate::repository::identity::{self, SigningKeyRow};
use crate::repository::listing::{ListQuery, Rows};

/// A checkpoint is taken so often, where history went on.
pub const EVERY_MINUTES: i64 = 60;
/// History is looked at in portions of at most so many rows.
pub const ROWS_MAX: i64 = 1000;
/// A checkpoint states at most so many ends; the next goes on.
pub const STATED_MAX: usize = 1000;
/// The longest rest between two portions.
const REST_MAX: Duration = Duration::from_millis(100);
/// A write that took so long to commit is still found: so much of what was looked at is looked at again.
pub const OVERLAP_MINUTES: i64 = 120;
/// All of history is looked at again so often, record by record: what was stored with an instant long past - by a
/// clock that was wrong, or as the past of an installation - lies where checkpoints have been already.
pub const WHOLE_EVERY_HOURS: i64 = 24;
/// The lease is held longer where so much time has passed.
const HOLD_AFTER: Duration = Duration::from_secs(15);
/// Checkpoints are proved in portions of this many.
const PROOF_ROWS: i64 = 100;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Always [`ISSUER`].
    pub iss: String,
    /// Position among the checkpoints, from 1.
    pub seq: i64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// History up to this instant was looked at.
    pub covered_to: Timestamp,
    /// How many ends it states.
    pub heads: i64,
    /// Digest of the ends, by kind and record: kind, record, length and hash of each.
    pub heads_digest: String,
    /// Digest of the statement before; empty for the first.
    pub previous: String,
}

/// Digest of a signed statement, as the next one names it.
pub fn digest_of(signed: &str) -> String {
    digest(&[signed])
}

fn digest_of_heads<'h>(heads: impl Iterator<Item = &'h Head>) -> String {
    let parts: Vec<(&Head, String)> = heads.map(|head| (head, head.seq.to_string())).collect();
    let parts: Vec<&str> = parts
        .iter()
        .flat_map(|(head, seq)| [head.record_type.as_str(), head.record_id.as_str(), seq.as_str(), head.hash.as_str()])
        .collect();
    digest(&parts)
}

/// How much of history is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// What came since the last time, in the order of time.
    Recent,
    /// All of it, record by record, whatever its instants say.
    Whole,
}

/// Takes checkpoints until all that the walk goes over is looked at; answers how many, or `None` where the lease was
/// lost or the process stops. Between two portions it rests as long as it worked, up to [`REST_MAX`].
pub fn take(env: &Env, lease: &Lease, walk: Walk, go_on: impl Fn() -> bool) -> Result<Option<usize>> {
    let covered = env.database.read_blocking::<_, Error>(|c| Ok(checkpoints::covered_to(c)?))?;
    // A clock that was ahead for a while does not hide what came behind it.
    let begun = env.now();
    let overlap = TimeDelta::minutes(OVERLAP_MINUTES);
    let mut position = match walk {
        Walk::Recent => Position::At(covered.map_or_else(beginning, |at| at.min(begun).plus(-overlap)), String::new()),
        Walk::Whole => Position::Of(String::new(), String::new(), 0),
    };
    let (mut taken, mut held) = (0, Instant::now());
    // The ends that are to be stated next, and up to when history was looked at with them.
    let mut unstated: BTreeMap<(String, String), (i64, String)> = BTreeMap::new();
    let mut covered_to = covered.unwrap_or_else(beginning);
    loop {
        let portion_begun = Instant::now();
        if held.elapsed() >= HOLD_AFTER {
            held = Instant::now();
            if lease.write(|_| Ok(()))?.is_none() {
                return Ok(None);
            }
        }
        if !go_on() {
            return Ok(None);
        }
        // What was read is committed and never changes, so that nobody has to wait while it is gathered.
        let after = position.clone();
        let Portion { heads, end } = env
            .database
            .read_blocking::<_, Error>(move |connection| Ok(checkpoints::portion(connection, &after, ROWS_MAX)?))?;
        let full = unstated.len() + heads.len() > STATED_MAX;
        if (full || end.is_none()) && !unstated.is_empty() {
            if end.is_none() && walk == Walk::Whole {
                // What came since it began lies behind its beginning.
                covered_to = begun;
            }
            if state(lease, std::mem::take(&mut unstated), covered_to)?.is_none() {
                return Ok(None);
            }
            taken += 1;
        }
        let Some(end) = end else {
            return Ok(Some(taken));
        };
        for Head { record_type, record_id, seq, hash } in heads {
            let stated = unstated.entry((record_type, record_id)).or_default();
            if stated.0 < seq {
                *stated = (seq, hash);
            }
        }
        if let Position::At(at, _) = &end {
            covered_to = (*at).min(begun);
        }
        position = end;
        std::thread::sleep(portion_begun.elapsed().min(REST_MAX));
    }
}

/// Signs and stores a checkpoint of these ends; `None` where the lease was lost.
fn state(lease: &Lease, heads: BTreeMap<(String, String), (i64, String)>, covered_to: Timestamp) -> Result<Option<()>> {
    let heads: Vec<Head> = heads
        .into_iter()
        .map(|((record_type, record_id), (seq, hash))| Head { record_type, record_id, seq, hash })
        .collect();
    lease.write(move |context| {
        let (now, id) = (context.now, context.env.new_id(context.now));
        let last = checkpoints::last(context.connection)?;
        let statement = Statement {
            iss: ISSUER.into(),
            seq: last.as_ref().map_or(0, |last| last.seq) + 1,
            taken_at: now,
            covered_to,
            heads: i64::try_from(heads.len()).unwrap_or(i64::MAX),
            heads_digest: digest_of_heads(heads.iter()),
            previous: last.map(|last| digest_of(&last.statement)).unwrap_or_default(),
        };
        let row = CheckpointRow {
            seq: statement.seq,
            id: CheckpointId::new(id),
            taken_at: now,
            covered_to,
            heads: statement.heads,
            statement: context.env.keys.sign_checkpoint(&statement)?,
        };
        Ok(checkpoints::insert(context.connection, &row, &heads)?)
    })
}

/// True where no checkpoint says yet up to when history was looked at.
pub fn cover_nothing(env: &Env) -> Result<bool> {
    let covered = env.database.read_blocking::<_, Error>(|c| Ok(checkpoints::covered_to(c)?))?;
    Ok(covered.is_none_or(|at| at <= beginning()))
}

fn beginning() -> Timestamp {
    Timestamp::new(chrono::DateTime::UNIX_EPOCH)
}

/// What was found when the checkpoints were proved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Checkpoints walked.
    pub checkpoints: i64,
    /// Ends of chains compared with the history.
    pub heads: i64,
    /// The first fault.
    pub first_bad: Option<BadRow>,
}

fn bad_checkpoint(seq: i64, reason: &'static str) -> Option<BadRow> {
    Some(BadRow { record_type: "checkpoint".into(), record_id: seq.to_string(), seq, reason })
}

fn disagreement(heads: &[(Head, Option<String>)]) -> Option<BadRow> {
    let (head, found) = heads.iter().find(|(head, found)| found.as_ref() != Some(&head.hash))?;
    let reason = match found {
        None => "a checkpoint states this row, and it is gone",
        Some(_) => "a checkpoint states another hash for this row",
    };
    Some(BadRow { record_type: head.record_type.clone(), record_id: head.record_id.clone(), seq: head.seq, reason })
}

/// What is wrong with a checkpoint by itself and behind the one before.
fn fault_of(
    keys: &[SigningKeyRow],
    row: &CheckpointRow,
    heads: &[(Head, Option<String>)],
    previous: Option<&CheckpointRow>,
) -> Option<&'static str> {
    let Some(says) = verified_checkpoint::<Statement>(keys, &row.statement) else {
        return Some("it is not signed by a key of this installation");
    };
    let columns = (row.seq, row.taken_at, row.covered_to, row.heads);
    if (says.seq, says.taken_at, says.covered_to, says.heads) != columns {
        return Some("it says something else than what is signed");
    }
    if says.previous != previous.map(|row| digest_of(&row.statement)).unwrap_or_default() {
        return Some("it does not follow the one before");
    }
    if says.heads_digest != digest_of_heads(heads.iter().map(|(head, _)| head)) {
        return Some("the ends of chains that it states were altered");
    }
    None
}

/// Walks every checkpoint: signature, order, and what each states against the history as it is.
pub fn prove(connection: &mut AnyConnection) -> Result<Proof> {
    let keys = identity::signing_keys(connection)?;
    let mut proof = Proof::default();
    let mut previous: Option<CheckpointRow> = None;
    loop {
        let after = previous.as_ref().map_or(0, |row| row.seq);
        let rows = checkpoints::after(connection, after, PROOF_ROWS)?;
        if rows.is_empty() {
            return Ok(proof);
        }
        for row in rows {
            let expected = previous.as_ref().map_or(0, |row| row.seq) + 1;
            if row.seq != expected {
                proof.first_bad = bad_checkpoint(expected, "the checkpoint is missing");
                return Ok(proof);
            }
            let heads = checkpoints::heads_of(connection, row.seq)?;
            proof.checkpoints += 1;
            proof.heads += i64::try_from(heads.len()).unwrap_or(0);
            // A record is named before a checkpoint: it says more.
            proof.first_bad = disagreement(&heads)
                .or_else(|| fault_of(&keys, &row, &heads, previous.as_ref()).and_then(|r| bad_checkpoint(row.seq, r)));
            if proof.first_bad.is_some() {
                return Ok(proof);
            }
            previous = Some(row);
        }
    }
}

/// What checkpoints state of one record that its history does not bear out.
pub fn disagreement_on(connection: &mut AnyConnection, record_type: &str, record_id: &str) -> Result<Option<BadRow>> {
    Ok(disagreement(&checkpoints::heads_of_record(connection, record_type, record_id)?))
}

/// A page of the checkpoints.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<Rows<CheckpointRow>> {
    context.authorise(Access::Audit)?;
    Ok(checkpoints::page(context.connection, query, context.now)?)
}

/// The keys that checkpoints are signed with, newest first.
pub fn keys(context: &mut ReadContext<'_>) -> Result<Vec<SigningKeyRow>> {
    context.authorise(Access::Audit)?;
    Ok(identity::signing_keys(context.connection)?)
}
