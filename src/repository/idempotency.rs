//! Kept answers of requests with an `Idempotency-Key`.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::Error;
use super::schema::idempotency_keys::{self, dsl};
use crate::domain::values::{ReleaseId, Timestamp};
use crate::mutants::mutant;

/// A key, claimed or answered.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = idempotency_keys)]
pub struct KeptAnswer {
    /// Who sent it.
    pub caller: String,
    /// The key.
    pub key: String,
    /// Digest of method, path, query and body.
    pub fingerprint: String,
    /// HTTP status of the answer.
    pub status: i64,
    /// Its `Location`.
    pub location: Option<String>,
    /// Version behind its `ETag`.
    pub row_version: Option<i64>,
    /// The release that it is about; a replay checks that it is visible.
    pub release_id: Option<ReleaseId>,
    /// The body.
    pub body: String,
    /// When it was kept.
    pub created_at: Timestamp,
}

/// Claims the key for this transaction, or answers what was kept under it. A concurrent claim waits here
/// for the other transaction, so that one acts and the other repeats its answer.
pub fn claim(connection: &mut AnyConnection, claim: &KeptAnswer) -> Result<Option<KeptAnswer>, Error> {
    if mutant("key_stored_after_commit") {
        return Ok(dsl::idempotency_keys.find((&claim.caller, &claim.key)).first(connection).optional()?);
    }
    let claimed = match connection {
        AnyConnection::Sqlite(sqlite) => {
            diesel::insert_into(dsl::idempotency_keys).values(claim).on_conflict_do_nothing().execute(sqlite)?
        }
        AnyConnection::Postgres(postgres) => {
            diesel::insert_into(dsl::idempotency_keys).values(claim).on_conflict_do_nothing().execute(postgres)?
        }
    };
    if claimed == 1 {
        return Ok(None);
    }
    let kept = dsl::idempotency_keys.find((&claim.caller, &claim.key)).first(connection)?;
    Ok(Some(kept))
}

/// Keeps the answer under the claimed key.
pub fn keep(connection: &mut AnyConnection, answer: &KeptAnswer) -> Result<(), Error> {
    if mutant("key_stored_after_commit") {
        diesel::insert_into(dsl::idempotency_keys).values(answer).execute(connection)?;
        return Ok(());
    }
    diesel::update(dsl::idempotency_keys.find((&answer.caller, &answer.key)))
        .set((
            dsl::status.eq(answer.status),
            dsl::location.eq(&answer.location),
            dsl::row_version.eq(answer.row_version),
            dsl::release_id.eq(answer.release_id),
            dsl::body.eq(&answer.body),
        ))
        .execute(connection)?;
    Ok(())
}

/// Forgets a key whose time is over, so that it can be used again.
pub fn forget(connection: &mut AnyConnection, caller: &str, key: &str) -> Result<(), Error> {
    diesel::delete(dsl::idempotency_keys.find((caller, key))).execute(connection)?;
    Ok(())
}
