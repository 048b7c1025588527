//! Indexes that are set aside while many rows are loaded, and made again afterwards: sorting all of their entries
//! once takes a fraction of the time of finding the place of each.
//!
//! What is set aside is written down in the same transaction. A loading that is cut off leaves it to the next
//! migration, and until then the database counts as one that has to be migrated.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::connection::AnyConnection;
use super::error::Error;
use super::listing::Select;
use super::schema::set_aside_indexes;

/// So much of an index is sorted at a time on SQLite, on another thread, in KiB.
const SQLITE_SORT_KIB: u32 = 16 * 1024;
/// Memory for sorting an index on PostgreSQL, in KiB.
const POSTGRES_SORT_KIB: u32 = 256 * 1024;

/// The names of what is set aside.
pub fn names(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    let there = match connection {
        AnyConnection::Sqlite(_) => "SELECT COUNT(*) FROM sqlite_master WHERE name = 'set_aside_indexes'",
        AnyConnection::Postgres(_) => "SELECT COUNT(to_regclass('set_aside_indexes'))",
    };
    let there: i64 = Select::new(diesel::dsl::sql::<BigInt>(&format!("({there})"))).get_result(connection)?;
    if there == 0 {
        return Ok(Vec::new());
    }
    Ok(set_aside_indexes::table.select(set_aside_indexes::name).order(set_aside_indexes::name).load(connection)?)
}

/// Drops the indexes of these tables, but those that are to be kept. What is unique stays so: its indexes are not touched.
pub fn set_aside(connection: &mut AnyConnection, tables: &[&str], kept: &[&str]) -> Result<(), Error> {
    let tables = tables.iter().map(|table| format!("'{table}'")).collect::<Vec<_>>().join(", ");
    let rest = match connection {
        // An index of a constraint has no statement.
        AnyConnection::Sqlite(_) => format!(
            "FROM (SELECT name, sql AS statement FROM sqlite_master \
             WHERE type = 'index' AND sql NOT LIKE 'CREATE UNIQUE%' AND tbl_name IN ({tables})) AS indexes"
        ),
        AnyConnection::Postgres(_) => format!(
            "FROM (SELECT c.relname AS name, pg_get_indexdef(c.oid) AS statement \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
             WHERE NOT i.indisunique AND t.relname IN ({tables}) \
             AND t.relnamespace = current_schema()::regnamespace) AS indexes"
        ),
    };
    let columns = diesel::dsl::sql::<(Text, Text)>("name, statement");
    let found: Vec<(String, String)> = Select::new(columns).sql(format!(" {rest}")).uncached().load(connection)?;
    // It begins with a write: on SQLite one that was a read first may be refused without being waited for.
    connection.transaction(|connection| {
        for (name, statement) in found.iter().filter(|(name, _)| !kept.contains(&name.as_str())) {
            let row = (set_aside_indexes::name.eq(name), set_aside_indexes::statement.eq(statement));
            diesel::insert_into(set_aside_indexes::table).values(row).execute(connection)?;
            connection.batch_execute(&format!("DROP INDEX \"{name}\""))?;
        }
        Ok(())
    })
}

/// Makes again what is set aside, each in a transaction of its own; answers the names. Of two at once, one makes it.
pub fn put_back(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    if names(connection)?.is_empty() {
        return Ok(Vec::new());
    }
    let indexes: Vec<(String, String)> = set_aside_indexes::table.order(set_aside_indexes::name).load(connection)?;
    // Of millions of rows the entries are sorted in files.
    connection.batch_execute(&match connection {
        AnyConnection::Sqlite(_) => {
            format!("PRAGMA temp_store = FILE; PRAGMA cache_size = -{SQLITE_SORT_KIB}; PRAGMA threads = 2;")
        }
        AnyConnection::Postgres(_) => {
            format!("SET statement_timeout = 0; SET maintenance_work_mem = '{POSTGRES_SORT_KIB}kB';")
        }
    })?;
    let mut made = Vec::new();
    for (name, statement) in indexes {
        let mine = connection.transaction(|connection| {
            let mine = diesel::delete(set_aside_indexes::table.find(&name)).execute(connection)? == 1;
            if mine {
                connection.batch_execute(&statement)?;
            }
            Ok::<_, Error>(mine)
        })?;
        if mine {
            log::info!("index {name} was made again");
            made.push(name);
        }
    }
    Ok(made)
}
