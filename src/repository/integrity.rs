//! What a database says of its own integrity, and what its rows must say of each other.
//!
//! Every query is one pass by index over its table, and answers at most [`ROWS_NAMED_MAX`] rows: memory stays
//! small however many releases there are.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::AnyConnection;
use super::error::Error;
use super::listing::Select;
use super::schema::release_dependencies;
use crate::domain::values::ReleaseId;

/// At most so many rows are named for each thing that is wrong.
pub const ROWS_NAMED_MAX: usize = 20;
/// Dependencies are read in portions of this many.
const DEPENDENCY_ROWS: i64 = 5000;

fn named(connection: &mut AnyConnection, what: &str, rest: &str) -> Result<Vec<String>, Error> {
    let select = Select::new(diesel::dsl::sql::<Text>(what)).sql(format!(" {rest} LIMIT {ROWS_NAMED_MAX}")).uncached();
    Ok(select.load(connection)?)
}

/// Lets the statements of this transaction take as long as they need.
pub fn take_time(connection: &mut AnyConnection) -> Result<(), Error> {
    if let AnyConnection::Postgres(postgres) = connection {
        diesel::sql_query("SET LOCAL statement_timeout = 0").execute(postgres)?;
        diesel::sql_query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(postgres)?;
    }
    Ok(())
}

/// What the database finds wrong with its own tables and indexes.
pub fn faults(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    match connection {
        AnyConnection::Sqlite(_) => {
            let found = named(connection, "integrity_check", "FROM pragma_integrity_check")?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        }
        AnyConnection::Postgres(_) => {
            let unchecked = named(
                connection,
                "'constraint ' || conname || ' is not validated'",
                "FROM pg_constraint WHERE NOT convalidated",
            )?;
            let invalid = named(
                connection,
                "'index ' || c.relname || ' is not valid'",
                "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid",
            )?;
            let off = named(
                connection,
                "'a trigger of ' || c.relname || ' is off: ' || t.tgname",
                "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
                 WHERE t.tgenabled = 'D' AND c.relnamespace = current_schema()::regnamespace",
            )?;
            Ok(unchecked.into_iter().chain(invalid).chain(off).collect())
        }
    }
}

/// A foreign key of one column.
struct ForeignKey {
    table: String,
    column: String,
    parent: String,
    parent_column: String,
}

fn foreign_keys(connection: &mut AnyConnection) -> Result<Vec<ForeignKey>, Error> {
    let rest = match connection {
        AnyConnection::Sqlite(_) => {
            "FROM (SELECT m.name AS tab, f.\"from\" AS col, f.\"table\" AS ptab, f.\"to\" AS pcol \
             FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table') AS keys"
        }
        AnyConnection::Postgres(_) => {
            "FROM (SELECT c.relname AS tab, a.attname AS col, p.relname AS ptab, b.attname AS pcol \
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid \
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
             JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1] \
             WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace) AS keys"
        }
    };
    type Row = (String, String, String, String);
    let columns = diesel::dsl::sql::<(Text, Text, Text, Text)>("tab, col, ptab, pcol");
    let mut rows: Vec<Row> = Select::new(columns).sql(format!(" {rest}")).load(connection)?;
    rows.sort();
    Ok(rows
        .into_iter()
        .map(|(table, column, parent, parent_column)| ForeignKey { table, column, parent, parent_column })
        .collect())
}

/// The columns of a table's primary key, as one text.
fn row_name(connection: &mut AnyConnection, table: &str) -> Result<String, Error> {
    let rest = match connection {
        AnyConnection::Sqlite(_) => format!("FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"),
        AnyConnection::Postgres(_) => format!(
            "FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
             WHERE i.indisprimary AND i.indrelid = '\"{table}\"'::regclass ORDER BY array_position(i.indkey, a.attnum)"
        ),
    };
    let name = match connection {
        AnyConnection::Sqlite(_) => "name",
        AnyConnection::Postgres(_) => "a.attname",
    };
    let columns = named(connection, name, &rest)?;
    let columns: Vec<String> = columns.iter().map(|column| format!("c.\"{column}\"")).collect();
    Ok(if columns.is_empty() { "'(row)'".into() } else { columns.join(" || ' ' || ") })
}

/// Rows that refer to a row that is not there, on either database whatever let them in; and how many foreign keys
/// were looked at.
pub fn dangling(connection: &mut AnyConnection) -> Result<(Vec<String>, usize), Error> {
    let keys = foreign_keys(connection)?;
    let count = keys.len();
    let mut found = Vec::new();
    for ForeignKey { table, column, parent, parent_column } in keys {
        let row = row_name(connection, &table)?;
        let what = format!(
            "'{table} ' || {row} || ' refers by {column} to {parent} ' || c.\"{column}\" || ', which is not there'"
        );
        let rest = format!(
            "FROM \"{table}\" c WHERE c.\"{column}\" IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM \"{parent}\" p WHERE p.\"{parent_column}\" = c.\"{column}\")"
        );
        found.extend(named(connection, &what, &rest)?);
    }
    Ok((found, count))
}

/// Something that holds of the rows of a sound database.
pub struct RowCheck {
    /// What is looked at.
    pub name: &'static str,
    /// What holds, in words.
    pub holds: &'static str,
    /// Where it does not: what to say of a row, and `FROM … WHERE …`; on SQLite, where it differs, and on both.
    faults: &'static [Fault],
}

struct Fault {
    says: &'static str,
    rest: &'static str,
    /// Instead of `rest` on SQLite; empty where there is nothing to look at.
    on_sqlite: Option<&'static str>,
}

const fn fault(says: &'static str, rest: &'static str) -> Fault {
    Fault { says, rest, on_sqlite: None }
}

/// Everything that is checked of rows by themselves.
pub const ROW_CHECKS: &[RowCheck] = &[
    RowCheck {
        name: "events",
        holds: "one event for every audited change of a release",
        faults: &[
            fault(
                "'release ' || a.record_id || ' row ' || a.seq || ' of the audit is without its event'",
                "FROM audit a WHERE a.record_type = 'release' AND NOT EXISTS (SELECT 1 FROM events e WHERE \
                 e.record_type = a.record_type AND e.record_id = a.record_id AND e.seq = a.seq)",
            ),
            fault(
                "'event ' || e.id || ' of ' || e.record_type || ' ' || e.record_id || ' is without its row of the audit'",
                "FROM events e WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE \
                 a.record_type = e.record_type AND a.record_id = e.record_id AND a.seq = e.seq)",
            ),
        ],
    },
    RowCheck {
        name: "transitions",
        holds: "every release stands where its last transition left it",
        faults: &[
            fault(
                "'release ' || r.id || ' is ' || r.status || ' in ' || r.stage || ', and its last transition left it ' \
                 || t.to_status || ' in ' || t.to_stage",
                "FROM releases r JOIN transitions t ON t.release_id = r.id AND t.seq = (SELECT MAX(l.seq) FROM \
                 transitions l WHERE l.release_id = r.id) WHERE t.to_status <> r.status OR t.to_stage <> r.stage",
            ),
            fault(
                "'transition ' || t.id || ' of release ' || t.release_id || ' is without its row of the audit'",
                "FROM transitions t WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE \
                 a.record_type = 'release' AND a.record_id = t.release_id AND a.seq = t.seq)",
            ),
        ],
    },
    RowCheck {
        name: "counters",
        holds: "reopenings, versions and numbers agree with what was counted",
        faults: &[
            fault(
                "'release ' || r.id || ' counts ' || r.reopen_count || ' reopenings, and has another number of them'",
                "FROM releases r WHERE r.reopen_count <> (SELECT COUNT(*) FROM transitions t \
                 WHERE t.release_id = r.id AND t.action = 'reopen')",
            ),
            fault(
                "'release ' || r.id || ' has version ' || r.row_version || ', and a history of ' || r.audit_seq",
                "FROM releases r WHERE r.row_version < 1 OR r.row_version > r.audit_seq",
            ),
            Fault {
                says: "'the next number is not beyond release ' || r.id || ' with number ' || r.number",
                rest: "FROM releases r WHERE r.number > (SELECT last_value FROM release_number)",
                // SQLite counts on from the highest number there is.
                on_sqlite: Some(""),
            },
        ],
    },
    RowCheck {
        name: "derived rows",
        holds: "tags and visibility agree with their releases",
        faults: &[
            Fault {
                says: "'release ' || r.id || ' has other tags than are indexed for it'",
                rest: "FROM releases r WHERE jsonb_array_length(r.tags::jsonb) <> \
                       (SELECT COUNT(*) FROM release_tags t WHERE t.release_id = r.id)",
                on_sqlite: Some(
                    "FROM releases r WHERE json_array_length(r.tags) <> \
                     (SELECT COUNT(*) FROM release_tags t WHERE t.release_id = r.id)",
                ),
            },
            fault(
                "'release ' || r.id || ' is not visible to who registered it'",
                "FROM releases r WHERE NOT EXISTS (SELECT 1 FROM release_visibility v \
                 WHERE v.release_id = r.id AND v.reason = 'creator')",
            ),
            fault(
                "'release ' || r.id || ' is not visible to its executor group'",
                "FROM releases r WHERE NOT EXISTS (SELECT 1 FROM release_visibility v \
                 WHERE v.release_id = r.id AND v.reason = 'executor_group')",
            ),
        ],
    },
    RowCheck {
        name: "activities",
        holds: "time, comments and tags of activities agree with what is kept of them",
        faults: &[
            fault(
                "'activity ' || a.id || ' tells another time than its entries'",
                "FROM activities a WHERE a.minutes_spent <> (SELECT COALESCE(SUM(e.minutes), 0) \
                 FROM activity_time_entries e WHERE e.activity_id = a.id)",
            ),
            fault(
                "'activity ' || a.id || ' counts ' || a.comment_count || ' comments, and has another number of them'",
                "FROM activities a WHERE a.comment_count <> \
                 (SELECT COUNT(*) FROM activity_comments c WHERE c.activity_id = a.id)",
            ),
            Fault {
                says: "'activity ' || a.id || ' has other tags than are indexed for it'",
                rest: "FROM activities a WHERE jsonb_array_length(a.tags::jsonb) <> \
                       (SELECT COUNT(*) FROM activity_tags t WHERE t.activity_id = a.id)",
                on_sqlite: Some(
                    "FROM activities a WHERE json_array_length(a.tags) <> \
                     (SELECT COUNT(*) FROM activity_tags t WHERE t.activity_id = a.id)",
                ),
            },
            fault(
                "'activity ' || d.activity_id || ' depends on ' || d.depends_on_id || ' of another release'",
                "FROM activity_dependencies d JOIN activities a ON a.id = d.activity_id \
                 JOIN activities t ON t.id = d.depends_on_id \
                 WHERE a.release_id <> d.release_id OR t.release_id <> d.release_id",
            ),
        ],
    },
    RowCheck {
        name: "write-backs",
        holds: "links, write-backs and histories of configuration items agree",
        faults: &[
            fault(
                "'link ' || l.id || ' of release ' || l.release_id || ' is ' || l.outcome || ', and no write-back says so'",
                "FROM release_configuration_items l WHERE l.outcome IN ('applied', 'reverted') AND NOT EXISTS \
                 (SELECT 1 FROM write_backs w WHERE w.link_id = l.id \
                 AND w.kind = CASE l.outcome WHEN 'applied' THEN 'apply' ELSE 'revert' END)",
            ),
            fault(
                "'write-back ' || w.id || ' is of link ' || l.id || ', which is ' || l.outcome",
                "FROM write_backs w JOIN release_configuration_items l ON l.id = w.link_id \
                 WHERE l.outcome NOT IN ('applied', 'reverted')",
            ),
            fault(
                "'write-back ' || w.id || ' is of another release or item than its link ' || l.id",
                "FROM write_backs w JOIN release_configuration_items l ON l.id = w.link_id \
                 WHERE l.release_id <> w.release_id OR l.configuration_item_id <> w.configuration_item_id",
            ),
            fault(
                "'write-back ' || w.id || ' is pending, and a later one of its item is there'",
                "FROM write_backs w JOIN configuration_item_history h ON h.id = w.history_id \
                 WHERE w.state = 'pending' AND EXISTS (SELECT 1 FROM write_backs v \
                 JOIN configuration_item_history k ON k.id = v.history_id \
                 WHERE v.configuration_item_id = w.configuration_item_id AND k.row_version > h.row_version)",
            ),
            fault(
                "'write-back ' || w.id || ' is ' || w.state || ', and when it was answered says something else'",
                "FROM write_backs w WHERE (w.state IN ('confirmed', 'refused')) <> (w.answered_at IS NOT NULL)",
            ),
            fault(
                "'configuration item ' || i.id || ' is at version ' || i.row_version || ', which its history does not know'",
                "FROM configuration_items i WHERE NOT EXISTS (SELECT 1 FROM configuration_item_history h \
                 WHERE h.configuration_item_id = i.id AND h.row_version = i.row_version)",
            ),
        ],
    },
    RowCheck {
        name: "hardware spares",
        holds: "reservations agree with their spares and with the links of their releases",
        faults: &[
            fault(
                "'spare ' || h.id || ' is ' || h.status || ', and reserved for release ' || s.release_id",
                "FROM release_hardware_spares s JOIN hardware_spares h ON h.id = s.spare_id \
                 WHERE s.state = 'reserved' AND h.status <> 'reserved'",
            ),
            fault(
                "'spare ' || h.id || ' is reserved for no release'",
                "FROM hardware_spares h WHERE h.status = 'reserved' AND NOT EXISTS (SELECT 1 \
                 FROM release_hardware_spares s WHERE s.spare_id = h.id AND s.state = 'reserved')",
            ),
            fault(
                "'spare ' || s.spare_id || ' is reserved for release ' || r.id || ', which is ' || r.status",
                "FROM release_hardware_spares s JOIN releases r ON r.id = s.release_id \
                 WHERE s.state = 'reserved' AND r.status IN ('closed', 'cancelled')",
            ),
            fault(
                "'spare ' || s.spare_id || ' is reserved for item ' || s.configuration_item_id || ', which release ' \
                 || s.release_id || ' does not link'",
                "FROM release_hardware_spares s WHERE s.state = 'reserved' AND s.configuration_item_id IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM release_configuration_items l WHERE l.release_id = s.release_id \
                 AND l.configuration_item_id = s.configuration_item_id \
                 AND l.outcome IN ('pending', 'failed', 'skipped'))",
            ),
            fault(
                "'spare ' || s.spare_id || ' is ' || s.state || ' by link ' || l.id || ', which is ' || l.outcome",
                "FROM release_hardware_spares s JOIN release_configuration_items l ON l.id = s.link_id \
                 WHERE l.outcome <> CASE s.state WHEN 'deployed' THEN 'applied' ELSE s.state END",
            ),
        ],
    },
    RowCheck {
        name: "kept answers",
        holds: "every idempotency key has its answer",
        faults: &[
            fault(
                "'key ' || k.key || ' of ' || k.caller || ' has no answer'",
                "FROM idempotency_keys k WHERE k.status = 0",
            ),
            fault(
                "'key ' || k.key || ' of ' || k.caller || ' answers with release ' || k.release_id || ', which is not there'",
                "FROM idempotency_keys k WHERE k.release_id IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.id = k.release_id)",
            ),
        ],
    },
];

/// The rows of which a check does not hold.
pub fn failing(connection: &mut AnyConnection, check: &RowCheck) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for fault in check.faults {
        let rest = match (&*connection, fault.on_sqlite) {
            (AnyConnection::Sqlite(_), Some("")) => continue,
            (AnyConnection::Sqlite(_), Some(rest)) => rest,
            _ => fault.rest,
        };
        found.extend(named(connection, fault.says, rest)?);
    }
    Ok(found)
}

/// Every dependency of a release on another, ordered by both.
pub fn dependencies(connection: &mut AnyConnection) -> Result<Vec<(ReleaseId, ReleaseId)>, Error> {
    let mut all: Vec<(ReleaseId, ReleaseId)> = Vec::new();
    loop {
        let mut query = release_dependencies::table
            .select((release_dependencies::release_id, release_dependencies::depends_on_id))
            .order((release_dependencies::release_id.asc(), release_dependencies::depends_on_id.asc()))
            .limit(DEPENDENCY_ROWS)
            .into_boxed();
        if let Some((release, on)) = all.last() {
            query = query
                .filter(release_dependencies::release_id.ge(*release))
                .filter(release_dependencies::release_id.gt(*release).or(release_dependencies::depends_on_id.gt(*on)));
        }
        let rows: Vec<(ReleaseId, ReleaseId)> = query.load(connection)?;
        if rows.is_empty() {
            return Ok(all);
        }
        all.extend(rows);
    }
}
