//! What the databases themselves say of their integrity.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::connection::AnyConnection;
use super::error::Error;
use super::listing::Select;

/// Everything that the database finds wrong with itself.
pub fn faults(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    match connection {
        AnyConnection::Sqlite(_) => {
            let found: Vec<String> = Select::new(diesel::dsl::sql::<Text>("integrity_check"))
                .sql(" FROM pragma_integrity_check")
                .load(connection)?;
            let mut faults: Vec<String> = found.into_iter().filter(|line| line != "ok").collect();
            let dangling: Vec<String> = Select::new(diesel::dsl::sql::<Text>(
                "DISTINCT \"table\" || ' refers to a missing row of ' || \"parent\"",
            ))
            .sql(" FROM pragma_foreign_key_check")
            .load(connection)?;
            faults.extend(dangling);
            Ok(faults)
        }
        AnyConnection::Postgres(_) => {
            // Foreign keys hold by themselves on PostgreSQL, unless a constraint was never validated.
            let unchecked: Vec<String> =
                Select::new(diesel::dsl::sql::<Text>("'constraint ' || conname || ' is not validated'"))
                    .sql(" FROM pg_constraint WHERE NOT convalidated")
                    .load(connection)?;
            let invalid: Vec<String> =
                Select::new(diesel::dsl::sql::<Text>("'index ' || c.relname || ' is not valid'"))
                    .sql(" FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid")
                    .load(connection)?;
            Ok(unchecked.into_iter().chain(invalid).collect())
        }
    }
}

/// How many audited changes of releases lack their event.
pub fn changes_without_event(connection: &mut AnyConnection) -> Result<i64, Error> {
    let select = Select::new(diesel::dsl::sql::<BigInt>("COUNT(*)")).sql(
        " FROM audit WHERE record_type = 'release' AND NOT EXISTS (SELECT 1 FROM events WHERE \
         events.record_type = audit.record_type AND events.record_id = audit.record_id AND events.seq = audit.seq)",
    );
    Ok(select.get_result(connection)?)
}
