//! What a backup and its restore need of the databases themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::bulk::ANALYZE_FILLED;
use super::connection::{AnyConnection, Limits};
use super::error::Error;
use super::listing::Select;

/// The schema that tables are set aside in while a PostgreSQL database is restored over.
pub const ASIDE: &str = "slipway_replaced";

fn establish(file: &Path) -> Result<SqliteConnection, Error> {
    let path = file.to_str().ok_or_else(|| Error::Unavailable("the path is not UTF-8".into()))?;
    Ok(SqliteConnection::establish(path)?)
}

/// Copies an SQLite database, as it is at one instant, into an empty file, while others read and write.
pub fn copy_sqlite(from: &Path, into: &Path, limits: Limits) -> Result<(), Error> {
    let into = into.to_str().ok_or_else(|| Error::Unavailable("the path is not UTF-8".into()))?;
    let mut connection = establish(from)?;
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = {}; PRAGMA cache_size = -8192;", limits.lock_timeout_ms))?;
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(into).execute(&mut connection)?;
    Ok(())
}

/// Opens an SQLite file that is nobody's but ours, and that is to stay one file: no write-ahead log.
pub fn open_copy(file: &Path) -> Result<AnyConnection, Error> {
    let mut connection = establish(file)?;
    connection.batch_execute(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(AnyConnection::Sqlite(connection))
}

/// Folds the write-ahead log of an SQLite database into its file. [`Error::Busy`] where somebody has it open.
pub fn fold_log(file: &Path) -> Result<(), Error> {
    let mut connection = AnyConnection::Sqlite(establish(file)?);
    connection.batch_execute("PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE;")?;
    let mode: String = Select::new(diesel::dsl::sql::<Text>("journal_mode"))
        .sql(" FROM pragma_journal_mode")
        .get_result(&mut connection)?;
    if mode == "delete" { Ok(()) } else { Err(Error::Busy("another process has the database open".into())) }
}

fn number(connection: &mut AnyConnection, what: &str) -> Result<i64, Error> {
    Ok(Select::new(diesel::dsl::sql::<BigInt>(what)).get_result(connection)?)
}

/// Lets other sessions of PostgreSQL read the snapshot of this transaction, by the name that is answered.
pub fn export_snapshot(connection: &mut AnyConnection) -> Result<String, Error> {
    Ok(Select::new(diesel::dsl::sql::<Text>("pg_export_snapshot()")).get_result(connection)?)
}

/// The major version of a PostgreSQL server.
pub fn server_major(connection: &mut AnyConnection) -> Result<i64, Error> {
    number(connection, "current_setting('server_version_num')::bigint / 10000")
}

/// A client that has gone counts until its server process has noticed: that is waited for, this long.
const LEAVE_TAKEN: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const LEAVE_LOOKED_AT: Duration = Duration::from_millis(20);

/// How many others are connected to a PostgreSQL database, and stay.
pub fn other_sessions(connection: &mut AnyConnection) -> Result<i64, Error> {
    let begun = Instant::now();
    loop {
        // The server's own workers are nobody.
        let others = number(
            connection,
            "COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND usename IS NOT NULL",
        )?;
        if others == 0 || begun.elapsed() >= LEAVE_TAKEN {
            return Ok(others);
        }
        std::thread::sleep(LEAVE_LOOKED_AT);
    }
}

/// The tables, views, sequences and functions of a schema of PostgreSQL that stand by themselves, as `KIND "name"`.
fn relations(connection: &mut AnyConnection, schema: &str) -> Result<Vec<(String, String)>, Error> {
    let columns = diesel::dsl::sql::<(Text, Text)>(
        "CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
         WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, quote_ident(c.relname)",
    );
    let rest = format!(
        " FROM pg_class c WHERE c.relnamespace = {schema}::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
         AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') \
         AND c.relkind = 'S' AND d.refclassid = 'pg_class'::regclass) ORDER BY c.relname"
    );
    let mut found: Vec<(String, String)> = Select::new(columns).sql(rest).uncached().load(connection)?;
    // Behind the tables, whose triggers call them.
    let functions = diesel::dsl::sql::<(Text, Text)>(
        "'FUNCTION', quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')'",
    );
    let rest = format!(
        " FROM pg_proc p WHERE p.pronamespace = {schema}::regnamespace AND p.prokind = 'f' \
         AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 2"
    );
    let more: Vec<(String, String)> = Select::new(functions).sql(rest).uncached().load(connection)?;
    found.extend(more);
    Ok(found)
}

/// True where a PostgreSQL database has nothing in its schema.
pub fn is_empty(connection: &mut AnyConnection) -> Result<bool, Error> {
    Ok(relations(connection, "current_schema()")?.is_empty())
}

/// True where tables were set aside and are still there.
pub fn has_set_aside(connection: &mut AnyConnection) -> Result<bool, Error> {
    Ok(number(connection, &format!("COUNT(to_regnamespace('{ASIDE}'))"))? > 0)
}

fn current_schema(connection: &mut AnyConnection) -> Result<String, Error> {
    Ok(Select::new(diesel::dsl::sql::<Text>("quote_ident(current_schema())")).get_result(connection)?)
}

/// Moves everything in the schema of a PostgreSQL database into another schema, in one transaction.
pub fn set_aside(connection: &mut AnyConnection) -> Result<(), Error> {
    connection.transaction(|connection| {
        let relations = relations(connection, "current_schema()")?;
        connection.batch_execute(&format!("CREATE SCHEMA {ASIDE}"))?;
        for (kind, name) in relations {
            connection.batch_execute(&format!("ALTER {kind} {name} SET SCHEMA {ASIDE}"))?;
        }
        Ok(())
    })
}

/// Drops what is in the schema of a PostgreSQL database, and moves back what was set aside, in one transaction.
pub fn put_back(connection: &mut AnyConnection) -> Result<(), Error> {
    connection.transaction(|connection| {
        for (kind, name) in relations(connection, "current_schema()")? {
            connection.batch_execute(&format!("DROP {kind} IF EXISTS {name} CASCADE"))?;
        }
        if has_set_aside(connection)? {
            let home = current_schema(connection)?;
            for (kind, name) in relations(connection, &format!("'{ASIDE}'"))? {
                connection.batch_execute(&format!("ALTER {kind} {ASIDE}.{name} SET SCHEMA {home}"))?;
            }
            connection.batch_execute(&format!("DROP SCHEMA {ASIDE}"))?;
        }
        Ok(())
    })
}

/// Gives up what was set aside, and lets the planner know what is there now.
pub fn settle(connection: &mut AnyConnection) -> Result<(), Error> {
    Ok(connection.batch_execute(&format!(
        "SET statement_timeout = 0; DROP SCHEMA IF EXISTS {ASIDE} CASCADE; {ANALYZE_FILLED}"
    ))?)
}
