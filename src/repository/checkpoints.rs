//! Checkpoints of the audit: which ends of chains were published, and the statements that were signed on them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamp as SqlTimestamp};

use super::connection::AnyConnection;
use super::error::Error;
use super::listing::{ListQuery, ListSpec, Rows, Select, Sort, SortKind, SqlValue};
use super::pages;
use super::schema::{checkpoint_heads, checkpoints};
use crate::domain::policy::Visibility;
use crate::domain::values::{CheckpointId, Timestamp};

/// A signed checkpoint.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = checkpoints)]
pub struct CheckpointRow {
    /// Position among the checkpoints, from 1.
    pub seq: i64,
    /// Identifier.
    pub id: CheckpointId,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// History up to this instant was looked at.
    pub covered_to: Timestamp,
    /// How many ends of chains it states.
    pub heads: i64,
    /// The statement, a compact JWS.
    pub statement: String,
}

/// The end of a chain, as a checkpoint states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Kind of the record.
    pub record_type: String,
    /// The record.
    pub record_id: String,
    /// Number of rows in its chain.
    pub seq: i64,
    /// Hash of the last of them.
    pub hash: String,
}

/// Part of the history, in one of its orders.
#[derive(Debug, Default)]
pub struct Portion {
    /// The ends of chains in it that no checkpoint states yet, by kind and record.
    pub heads: Vec<Head>,
    /// Its last row: where the next portion begins.
    pub end: Option<Position>,
}

/// A place in the history, in one of the orders in which it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// In the order of time: instant and identifier of a row.
    At(Timestamp, String),
    /// Record by record: kind, record, and place in its chain.
    Of(String, String, i64),
}

type PortionRow = (Timestamp, String, String, String, i64, String, bool);

/// Reads so many rows of history behind a place.
pub fn portion(connection: &mut AnyConnection, after: &Position, rows: i64) -> Result<Portion, Error> {
    type Columns = (SqlTimestamp, Text, Text, Text, BigInt, Text, Bool);
    let select = Select::new(diesel::dsl::sql::<Columns>(
        "a.at, a.id, a.record_type, a.record_id, a.seq, a.hash, EXISTS (SELECT 1 FROM checkpoint_heads h \
         WHERE h.record_type = a.record_type AND h.record_id = a.record_id AND h.audit_seq >= a.seq)",
    ));
    let select = match after {
        Position::At(at, id) => select
            .sql(" FROM audit a WHERE a.at >= ")
            .bind(SqlValue::Instant(*at))
            .sql(" AND (a.at > ")
            .bind(SqlValue::Instant(*at))
            .sql(" OR a.id > ")
            .bind(SqlValue::Text(id.clone()))
            .sql(") ORDER BY a.at, a.id"),
        Position::Of(record_type, record_id, seq) => select
            .sql(" FROM audit a WHERE (a.record_type, a.record_id, a.seq) > (")
            .bind(SqlValue::Text(record_type.clone()))
            .sql(", ")
            .bind(SqlValue::Text(record_id.clone()))
            .sql(", ")
            .bind(SqlValue::Integer(*seq))
            .sql(") ORDER BY a.record_type, a.record_id, a.seq"),
    };
    let rows: Vec<PortionRow> = select.sql(" LIMIT ").bind(SqlValue::Integer(rows)).load(connection)?;
    let end = rows.last().map(|(at, id, record_type, record_id, seq, ..)| match after {
        Position::At(..) => Position::At(*at, id.clone()),
        Position::Of(..) => Position::Of(record_type.clone(), record_id.clone(), *seq),
    });
    let mut heads = std::collections::BTreeMap::<(String, String), (i64, String)>::new();
    for (_, _, record_type, record_id, seq, hash, published) in rows {
        let known = heads.get(&(record_type.clone(), record_id.clone()));
        if !published && known.is_none_or(|(other, _)| *other < seq) {
            heads.insert((record_type, record_id), (seq, hash));
        }
    }
    let heads = heads
        .into_iter()
        .map(|((record_type, record_id), (seq, hash))| Head { record_type, record_id, seq, hash })
        .collect();
    Ok(Portion { heads, end })
}

/// Up to when history was looked at by the checkpoints there are.
pub fn covered_to(connection: &mut AnyConnection) -> Result<Option<Timestamp>, Error> {
    Ok(checkpoints::table.select(diesel::dsl::max(checkpoints::covered_to)).first(connection)?)
}

/// The latest checkpoint.
pub fn last(connection: &mut AnyConnection) -> Result<Option<CheckpointRow>, Error> {
    Ok(checkpoints::table.order(checkpoints::seq.desc()).first(connection).optional()?)
}

/// A checkpoint.
pub fn find(connection: &mut AnyConnection, seq: i64) -> Result<Option<CheckpointRow>, Error> {
    Ok(checkpoints::table.find(seq).first(connection).optional()?)
}

/// At most so many checkpoints behind a position, in order.
pub fn after(connection: &mut AnyConnection, seq: i64, rows: i64) -> Result<Vec<CheckpointRow>, Error> {
    Ok(checkpoints::table
        .filter(checkpoints::seq.gt(seq))
        .order(checkpoints::seq.asc())
        .limit(rows)
        .load(connection)?)
}

/// Stores a checkpoint with the ends that it states.
pub fn insert(connection: &mut AnyConnection, row: &CheckpointRow, heads: &[Head]) -> Result<(), Error> {
    diesel::insert_into(checkpoints::table).values(row).execute(connection)?;
    let rows: Vec<_> = heads
        .iter()
        .map(|head| {
            (
                checkpoint_heads::checkpoint.eq(row.seq),
                checkpoint_heads::record_type.eq(&head.record_type),
                checkpoint_heads::record_id.eq(&head.record_id),
                checkpoint_heads::audit_seq.eq(head.seq),
                checkpoint_heads::audit_head.eq(&head.hash),
            )
        })
        .collect();
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            for row in rows {
                diesel::insert_into(checkpoint_heads::table).values(row).execute(sqlite)?;
            }
        }
        AnyConnection::Postgres(postgres) => {
            diesel::insert_into(checkpoint_heads::table).values(rows).execute(postgres)?;
        }
    }
    Ok(())
}

/// The ends that a checkpoint states, by kind and record, each with the hash that the history has at that place.
pub fn heads_of(connection: &mut AnyConnection, seq: i64) -> Result<Vec<(Head, Option<String>)>, Error> {
    type Columns = (Text, Text, BigInt, Text, Nullable<Text>);
    let select = Select::new(diesel::dsl::sql::<Columns>(STATED)).sql(STATED_FROM).sql(" WHERE h.checkpoint = ");
    let select = select.bind(SqlValue::Integer(seq)).sql(" ORDER BY h.record_type, h.record_id");
    stated(connection, select)
}

/// What checkpoints state of one record, in the order of its chain, each with the hash that the history has there.
pub fn heads_of_record(
    connection: &mut AnyConnection,
    record_type: &str,
    record_id: &str,
) -> Result<Vec<(Head, Option<String>)>, Error> {
    type Columns = (Text, Text, BigInt, Text, Nullable<Text>);
    let select = Select::new(diesel::dsl::sql::<Columns>(STATED)).sql(STATED_FROM).sql(" WHERE h.record_type = ");
    let select = select.bind(SqlValue::Text(record_type.to_owned())).sql(" AND h.record_id = ");
    stated(connection, select.bind(SqlValue::Text(record_id.to_owned())).sql(" ORDER BY h.audit_seq"))
}

const STATED: &str = "h.record_type, h.record_id, h.audit_seq, h.audit_head, a.hash";
const STATED_FROM: &str = " FROM checkpoint_heads h LEFT JOIN audit a ON a.record_type = h.record_type \
                           AND a.record_id = h.record_id AND a.seq = h.audit_seq";

type StatedRow = (String, String, i64, String, Option<String>);

fn stated<S>(connection: &mut AnyConnection, select: Select<S>) -> Result<Vec<(Head, Option<String>)>, Error>
where
    Select<S>: for<'q> diesel::query_dsl::LoadQuery<'q, AnyConnection, StatedRow>,
{
    let rows: Vec<StatedRow> = select.load(connection)?;
    Ok(rows
        .into_iter()
        .map(|(record_type, record_id, seq, hash, found)| (Head { record_type, record_id, seq, hash }, found))
        .collect())
}

/// How many rows of history no checkpoint states yet.
pub fn rows_not_covered(connection: &mut AnyConnection) -> Result<i64, Error> {
    let select = Select::new(diesel::dsl::sql::<(BigInt,)>("count(*)")).sql(
        " FROM audit a WHERE NOT EXISTS (SELECT 1 FROM checkpoint_heads h WHERE h.record_type = a.record_type \
         AND h.record_id = a.record_id AND h.audit_seq >= a.seq)",
    );
    let rows: Vec<(i64,)> = select.load(connection)?;
    Ok(rows.first().map_or(0, |row| row.0))
}

/// The list of checkpoints.
pub const LIST: ListSpec = ListSpec {
    name: "checkpoints",
    from: "checkpoints",
    id: "checkpoints.id",
    filters: &[],
    sorts: &[Sort { name: "seq", column: "checkpoints.seq", kind: SortKind::Integer }],
    default_sort: "-seq",
};

/// Answers a page of checkpoints.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<CheckpointRow>, Error> {
    pages::page(connection, checkpoints::all_columns, &LIST, query, &Visibility::Everything, now)
}
