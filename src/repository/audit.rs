//! Audit rows, hash-chained per record, and the event rows that go with them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use sha2::{Digest, Sha256};

use super::connection::AnyConnection;
use super::error::Error;
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue};
use super::pages;
use super::schema::{audit, audit_tombstones, events};
use crate::domain::policy::Visibility;
use crate::domain::release::ChainHead;
use crate::domain::values::{AuditId, EventId, Timestamp, UserId};
use crate::mutants::mutant;

/// An audit row.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = audit, treat_none_as_default_value = false)]
pub struct AuditRow {
    /// Identifier.
    pub id: AuditId,
    /// Kind of the record whose chain it belongs to.
    pub record_type: String,
    /// Identifier of that record.
    pub record_id: String,
    /// Position in the chain, from 1.
    pub seq: i64,
    /// What happened, as `noun.verb`.
    pub action: String,
    /// Kind of what was changed, where it belongs to the record.
    pub subject_type: String,
    /// Identifier of what was changed.
    pub subject_id: String,
    /// Who did it.
    pub actor_id: Option<UserId>,
    /// Their login name at that time.
    pub actor_name: String,
    /// How they had proved who they are.
    pub via: String,
    /// The request in which it happened.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// JSON list of `{field, before, after}`.
    pub changes: String,
    /// Random text that the digest is salted with.
    pub salt: String,
    /// Digest of salt and changes; the chain hashes this, so that the changes stay erasable.
    pub changes_digest: String,
    /// Hash of the row before; empty for the first.
    pub previous_hash: String,
    /// Hash of this row.
    pub hash: String,
}

/// What is to be written of a change, without its place in the chain.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Identifier of the audit row.
    pub id: AuditId,
    /// Identifier of the event row; `None` for what is of no interest outside.
    pub event_id: Option<EventId>,
    /// Kind of the record.
    pub record_type: &'static str,
    /// Identifier of the record.
    pub record_id: String,
    /// What happened, as `noun.verb`.
    pub action: String,
    /// Kind of what was changed.
    pub subject_type: &'static str,
    /// Identifier of what was changed.
    pub subject_id: String,
    /// Who did it.
    pub actor_id: Option<UserId>,
    /// Their login name.
    pub actor_name: String,
    /// How they proved who they are.
    pub via: String,
    /// The request.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// JSON list of `{field, before, after}`.
    pub changes: String,
    /// Random text.
    pub salt: String,
}

/// An event row. What changed is in the audit row of the same record and sequence.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub struct EventRow {
    id: EventId,
    record_type: String,
    record_id: String,
    seq: i64,
    type_: String,
    at: Timestamp,
}

/// Proof that an audit row is in the journal; every function that stores a record takes one. It carries the
/// new end of the record's chain.
#[derive(Debug)]
pub struct Stamp {
    head: ChainHead,
}

impl Stamp {
    /// The new end of the chain.
    pub const fn head(&self) -> &ChainHead {
        &self.head
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 over the parts, each preceded by its length, in hexadecimal.
pub fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize())
}

impl AuditRow {
    fn computed_hash(&self) -> String {
        digest(&[
            &self.previous_hash,
            &self.record_type,
            &self.record_id,
            &self.seq.to_string(),
            &self.action,
            &self.subject_type,
            &self.subject_id,
            &self.actor_id.map(|id| id.to_string()).unwrap_or_default(),
            &self.actor_name,
            &self.via,
            &self.request_id,
            &self.at.to_string(),
            &self.changes_digest,
        ])
    }
}

/// Makes the audit row behind `head`, and the event row that goes with it.
pub(super) fn chained(head: &ChainHead, entry: Entry) -> (AuditRow, Option<EventRow>, Stamp) {
    let event_id = entry.event_id;
    let mut row = AuditRow {
        id: entry.id,
        record_type: entry.record_type.into(),
        record_id: entry.record_id,
        seq: head.length + 1,
        action: entry.action,
        subject_type: entry.subject_type.into(),
        subject_id: entry.subject_id,
        actor_id: entry.actor_id,
        actor_name: entry.actor_name,
        via: entry.via,
        request_id: entry.request_id,
        at: entry.at,
        changes_digest: digest(&[&entry.salt, &entry.changes]),
        changes: entry.changes,
        salt: entry.salt,
        previous_hash: head.hash.clone(),
        hash: String::new(),
    };
    row.hash = row.computed_hash();
    let event = event_id.map(|id| EventRow {
        id,
        record_type: row.record_type.clone(),
        record_id: row.record_id.clone(),
        seq: row.seq,
        type_: row.action.clone(),
        at: row.at,
    });
    let stamp = Stamp { head: ChainHead { length: row.seq, hash: row.hash.clone() } };
    (row, event, stamp)
}

/// Keeps the end of the chain of a record that is deleted, so that its history stays provable.
pub fn bury(connection: &mut AnyConnection, record_type: &str, record_id: &str, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(audit_tombstones::table)
        .values((
            audit_tombstones::record_type.eq(record_type),
            audit_tombstones::record_id.eq(record_id),
            audit_tombstones::audit_seq.eq(stamp.head.length),
            audit_tombstones::audit_head.eq(&stamp.head.hash),
        ))
        .execute(connection)?;
    Ok(())
}

/// The list of audit rows.
pub const LIST: ListSpec = ListSpec {
    name: "audit",
    from: "audit",
    id: "audit.id",
    filters: &[
        Filter {
            name: "record_type",
            kind: Kind::OneOf(RECORD_TYPES),
            sql: Sql::Column("audit.record_type"),
            doc: "Kind of the record.",
        },
        Filter { name: "record_id", kind: Kind::Id, sql: Sql::Column("audit.record_id"), doc: "The record." },
        Filter { name: "actor", kind: Kind::Id, sql: Sql::Column("audit.actor_id"), doc: "Who did it." },
        Filter {
            name: "action",
            kind: Kind::Text { max_length: 100 },
            sql: Sql::Column("audit.action"),
            doc: "What happened, as `noun.verb`.",
        },
        Filter {
            name: "request_id",
            kind: Kind::Text { max_length: 128 },
            sql: Sql::Column("audit.request_id"),
            doc: "The request in which it happened.",
        },
        Filter { name: "at_from", kind: Kind::Instant, sql: Sql::From("audit.at"), doc: "At this instant or later." },
        Filter { name: "at_to", kind: Kind::Instant, sql: Sql::Before("audit.at"), doc: "Before this instant." },
    ],
    sorts: &[Sort { name: "at", column: "audit.at", kind: SortKind::Instant }],
    default_sort: "-at",
};

/// The history of one record: the same rows, in the order of its chain.
pub const HISTORY: ListSpec = ListSpec {
    name: "history",
    from: "audit",
    id: "audit.id",
    filters: &[
        Filter {
            name: "record_type",
            kind: Kind::Text { max_length: 50 },
            sql: Sql::Column("audit.record_type"),
            doc: "",
        },
        Filter { name: "record_id", kind: Kind::Text { max_length: 50 }, sql: Sql::Column("audit.record_id"), doc: "" },
    ],
    sorts: &[Sort { name: "seq", column: "audit.seq", kind: SortKind::Integer }],
    default_sort: "-seq",
};

/// Answers a page of either list.
pub fn page(
    connection: &mut AnyConnection,
    spec: &ListSpec,
    query: &ListQuery,
    now: Timestamp,
) -> Result<Rows<AuditRow>, Error> {
    pages::page(connection, audit::all_columns, spec, query, &Visibility::Everything, now)
}

/// The kinds of records that have a chain of their own.
pub const RECORD_TYPES: &[&str] = &[
    "release",
    "unit",
    "user",
    "group",
    "contract",
    "calendar",
    "justification",
    "solution_category",
    "portfolio",
    "model",
    "workflow",
    "change",
    "configuration_item",
    "definitive_medium",
    "hardware_spare",
    "session",
    "personal_token",
];

/// The table that keeps the records of a kind.
fn table_of(record_type: &str) -> Option<&'static str> {
    Some(match record_type {
        "release" => "releases",
        "unit" => "units",
        "user" => "users",
        "group" => "groups",
        "contract" => "contracts",
        "calendar" => "calendars",
        "justification" => "justifications",
        "solution_category" => "solution_categories",
        "portfolio" => "portfolios",
        "model" => "models",
        "workflow" => "workflow_series",
        "change" => "changes",
        "configuration_item" => "configuration_items",
        "definitive_medium" => "definitive_media",
        "hardware_spare" => "hardware_spares",
        "session" => "sessions",
        "personal_token" => "personal_tokens",
        _ => return None,
    })
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Kind of the record.
    pub record_type: String,
    /// The record.
    pub record_id: String,
    /// Position of the first row that is wrong or missing.
    pub seq: i64,
    /// What is wrong, in words.
    pub reason: &'static str,
}

/// The result of walking chains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Rows walked.
    pub rows: i64,
    /// Chains walked.
    pub chains: i64,
    /// End of the last chain walked.
    pub head: Option<String>,
    /// The first fault.
    pub first_bad: Option<BadRow>,
}

/// Rows are read in portions of this many.
const WALK_ROWS: i64 = 1000;

/// Walks the chain of one record and compares its end with what the record says.
pub fn verify_record(
    connection: &mut AnyConnection,
    record_type: &str,
    record_id: &str,
    expected: &ChainHead,
) -> Result<Proof, Error> {
    let mut walk = Walk::default();
    let mut after = 0;
    loop {
        let rows: Vec<AuditRow> = audit::table
            .filter(audit::record_type.eq(record_type))
            .filter(audit::record_id.eq(record_id))
            .filter(audit::seq.gt(after))
            .order(audit::seq.asc())
            .limit(WALK_ROWS)
            .load(connection)?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        rows.iter().for_each(|row| walk.step(row));
    }
    if walk.proof.rows == 0 {
        walk.record = Some((record_type.to_owned(), record_id.to_owned()));
    }
    walk.end(Some(expected));
    Ok(walk.proof)
}

/// Walks every chain and compares every end with its record, or the tombstone of a deleted one.
pub fn verify_all(connection: &mut AnyConnection) -> Result<Proof, Error> {
    let mut walk = Walk::default();
    for record_type in RECORD_TYPES {
        let mut after = (String::new(), 0_i64);
        loop {
            let rows: Vec<AuditRow> = audit::table
                .filter(audit::record_type.eq(*record_type))
                .filter(audit::record_id.ge(&after.0))
                .filter(audit::record_id.gt(&after.0).or(audit::seq.gt(after.1)))
                .order((audit::record_id.asc(), audit::seq.asc()))
                .limit(WALK_ROWS)
                .load(connection)?;
            let Some(last) = rows.last() else { break };
            let portion_from = rows[0].record_id.clone();
            after = (last.record_id.clone(), last.seq);
            let heads = heads_between(connection, record_type, &portion_from, &after.0)?;
            for row in &rows {
                if walk.record.as_ref().is_some_and(|(t, id)| t != record_type || *id != row.record_id) {
                    walk.finish_record();
                }
                if walk.expected.is_none() {
                    walk.expected = Some(heads.get(&row.record_id).cloned().unwrap_or_default());
                }
                walk.step(row);
            }
        }
        if walk.record.is_some() {
            walk.finish_record();
        }
        if walk.proof.first_bad.is_none() {
            walk.proof.first_bad = record_without_rows(connection, record_type)?;
        }
    }
    Ok(walk.proof)
}

type Heads = std::collections::HashMap<String, ChainHead>;

fn heads_between(connection: &mut AnyConnection, record_type: &str, from: &str, to: &str) -> Result<Heads, Error> {
    let Some(table) = table_of(record_type) else {
        return Ok(Heads::new());
    };
    let mut heads = Heads::new();
    let tombstones = format!("audit_tombstones WHERE record_type = '{record_type}' AND record_id");
    for (id, rest) in [("id", format!("{table} WHERE id")), ("record_id", tombstones)] {
        let columns = format!("{id}, audit_seq, audit_head");
        let select = Select::new(diesel::dsl::sql::<(Text, BigInt, Text)>(&columns))
            .sql(format!(" FROM {rest} >= "))
            .bind(SqlValue::Text(from.to_owned()))
            .sql(format!(" AND {id} <= "))
            .bind(SqlValue::Text(to.to_owned()));
        let rows: Vec<(String, i64, String)> = select.load(connection)?;
        heads.extend(rows.into_iter().map(|(id, length, hash)| (id, ChainHead { length, hash })));
    }
    Ok(heads)
}

/// A record whose whole history is gone.
fn record_without_rows(connection: &mut AnyConnection, record_type: &str) -> Result<Option<BadRow>, Error> {
    let Some(table) = table_of(record_type) else {
        return Ok(None);
    };
    let select = Select::new(diesel::dsl::sql::<Text>("id"))
        .sql(format!(" FROM {table} WHERE NOT EXISTS (SELECT 1 FROM audit WHERE audit.record_type = "))
        .bind(SqlValue::Text(record_type.to_owned()))
        .sql(format!(" AND audit.record_id = {table}.id) LIMIT 1"));
    let id: Option<String> = select.get_result(connection).optional()?;
    Ok(id.map(|record_id| BadRow {
        record_type: record_type.to_owned(),
        record_id,
        seq: 1,
        reason: "the record has no history",
    }))
}

#[derive(Default)]
struct Walk {
    proof: Proof,
    record: Option<(String, String)>,
    expected: Option<ChainHead>,
    previous: ChainHead,
}

impl Walk {
    fn step(&mut self, row: &AuditRow) {
        if self.record.is_none() {
            self.record = Some((row.record_type.clone(), row.record_id.clone()));
            self.previous = ChainHead::default();
            self.proof.chains += 1;
        }
        self.proof.rows += 1;
        if row.seq != self.previous.length + 1 {
            self.bad(self.previous.length + 1, "a row is missing");
        } else if row.previous_hash != self.previous.hash {
            self.bad(row.seq, "the row does not follow the one before");
        } else if row.changes_digest != digest(&[&row.salt, &row.changes]) {
            self.bad(row.seq, "the changes of the row were altered");
        } else if row.hash != row.computed_hash() && !mutant("chain_unchecked") {
            self.bad(row.seq, "the row was altered");
        }
        self.previous = ChainHead { length: row.seq, hash: row.hash.clone() };
    }

    fn finish_record(&mut self) {
        let expected = self.expected.take();
        self.end(expected.as_ref());
        self.record = None;
    }

    fn end(&mut self, expected: Option<&ChainHead>) {
        self.proof.head = Some(self.previous.hash.clone()).filter(|hash| !hash.is_empty());
        if expected.is_some_and(|expected| *expected != self.previous) {
            let missing = expected.is_some_and(|expected| expected.length > self.previous.length);
            if missing {
                self.bad(self.previous.length + 1, "rows at the end are missing");
            } else {
                self.bad(self.previous.length, "the chain does not end where its record says");
            }
        }
    }

    fn bad(&mut self, seq: i64, reason: &'static str) {
        if self.proof.first_bad.is_none()
            && let Some((record_type, record_id)) = self.record.clone()
        {
            self.proof.first_bad = Some(BadRow { record_type, record_id, seq, reason });
        }
    }
}
