//! Kept answers of requests with an `Idempotency-Key`.

use diesel::prelude::*;

use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::schema::idempotency_keys::{self, dsl};
use super::schema::reference_state;
use crate::domain::values::{ReleaseId, Timestamp};

/// A key with its answer.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = idempotency_keys, treat_none_as_default_value = false)]
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

/// The answer kept under a caller's key.
pub fn find(connection: &mut AnyConnection, caller: &str, key: &str) -> Result<Option<KeptAnswer>, Error> {
    Ok(on_either!(connection, own => dsl::idempotency_keys.find((caller, key)).first(own).optional())?)
}

/// The same together with the token of [`super::identity::reference_token`], in one statement.
pub fn find_with_reference_token(
    connection: &mut AnyConnection,
    caller: &str,
    key: &str,
) -> Result<(String, Option<KeptAnswer>), Error> {
    Ok(on_either!(connection, own => reference_state::table
        .left_join(dsl::idempotency_keys.on(dsl::caller.eq(caller).and(dsl::key.eq(key))))
        .select((reference_state::token, idempotency_keys::all_columns.nullable()))
        .first(own))?)
}

/// Forgets a key whose time is over, so that it can be used again.
pub fn forget(connection: &mut AnyConnection, caller: &str, key: &str) -> Result<(), Error> {
    diesel::delete(dsl::idempotency_keys.find((caller, key))).execute(connection)?;
    Ok(())
}
