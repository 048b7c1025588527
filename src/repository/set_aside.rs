//! Indexes that are set aside while many rows are loaded, and made again afterwards: sorting all of their entries
//! once takes a fraction of the time of finding the place of each.
//!
//! What is set aside is written down in the same transaction. A loading that is cut off leaves it to the next
//! migration, and until then the database counts as one that has to be migrated.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::AnyConnection;
use super::error::Error;
use super::listing::Select;
use super::schema::set_aside_indexes;

/// Memory for sorting the entries of an index, in KiB. On SQLite so much is sorted at a time, on another thread.
const SORT_KIB: [u32; 2] = [16 * 1024, 256 * 1024];

/// The names of what is set aside.
pub fn names(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    Ok(set_aside_indexes::table.select(set_aside_indexes::name).order(set_aside_indexes::name).load(connection)?)
}

/// Drops the indexes of these tables, but what a constraint stands on and those that are to be kept.
pub fn set_aside(connection: &mut AnyConnection, tables: &[&str], kept: &[&str]) -> Result<(), Error> {
    let tables = tables.iter().map(|table| format!("'{table}'")).collect::<Vec<_>>().join(", ");
    let rest = match connection {
        // An index of a constraint has no statement.
        AnyConnection::Sqlite(_) => format!(
            "FROM (SELECT name, sql AS statement FROM sqlite_master \
             WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({tables})) AS indexes"
        ),
        AnyConnection::Postgres(_) => format!(
            "FROM (SELECT c.relname AS name, pg_get_indexdef(c.oid) AS statement \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
             WHERE t.relname IN ({tables}) AND t.relnamespace = current_schema()::regnamespace \
             AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid)) AS indexes"
        ),
    };
    connection.transaction(|connection| {
        let columns = diesel::dsl::sql::<(Text, Text)>("name, statement");
        let found: Vec<(String, String)> = Select::new(columns).sql(format!(" {rest}")).uncached().load(connection)?;
        for (name, statement) in found.iter().filter(|(name, _)| !kept.contains(&name.as_str())) {
            let row = (set_aside_indexes::name.eq(name), set_aside_indexes::statement.eq(statement));
            diesel::insert_into(set_aside_indexes::table).values(row).execute(connection)?;
            connection.batch_execute(&format!("DROP INDEX \"{name}\""))?;
        }
        Ok(())
    })
}

/// Makes again what is set aside, each in a transaction of its own; answers the names.
pub fn put_back(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    let indexes: Vec<(String, String)> = set_aside_indexes::table.order(set_aside_indexes::name).load(connection)?;
    if indexes.is_empty() {
        return Ok(Vec::new());
    }
    // Of millions of rows the entries are sorted in files.
    connection.batch_execute(&match connection {
        AnyConnection::Sqlite(_) => {
            format!("PRAGMA temp_store = FILE; PRAGMA cache_size = -{}; PRAGMA threads = 2;", SORT_KIB[0])
        }
        AnyConnection::Postgres(_) => {
            format!("SET statement_timeout = 0; SET maintenance_work_mem = '{}kB';", SORT_KIB[1])
        }
    })?;
    for (name, statement) in &indexes {
        connection.transaction(|connection| {
            connection.batch_execute(statement)?;
            diesel::delete(set_aside_indexes::table.find(name)).execute(connection)?;
            Ok::<_, Error>(())
        })?;
    }
    Ok(indexes.into_iter().map(|(name, _)| name).collect())
}
