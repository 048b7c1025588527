//! Rows whose time is over, taken away in portions by an index of their own.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamp as SqlTimestamp};

use super::audit::{self, Stamp};
use super::connection::AnyConnection;
use super::error::Error;
use super::identity::TokenRow;
use super::schema::personal_tokens;
use crate::domain::values::{Timestamp, TokenId};

/// Kinds of rows that are simply forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Answers kept under idempotency keys, by when they were kept.
    IdempotencyKeys,
    /// Refresh tokens, by when they were made.
    RefreshTokens,
    /// Counters of failed logins, by the start of their window.
    LoginFailures,
    /// Addresses that an account is known from, by the last login.
    KnownAddresses,
}

impl Sweep {
    // `$1` is the instant and `$2` the size of the portion, on both databases. The conditions of the login
    // throttle are those of its partial indexes, word for word.
    const fn statement(self) -> &'static str {
        match self {
            Self::IdempotencyKeys => {
                "DELETE FROM idempotency_keys WHERE (caller, key) IN (SELECT caller, key FROM idempotency_keys \
                 WHERE created_at <= $1 ORDER BY created_at LIMIT $2)"
            }
            Self::RefreshTokens => {
                "DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens \
                 WHERE created_at <= $1 ORDER BY created_at LIMIT $2)"
            }
            Self::LoginFailures => {
                "DELETE FROM login_throttle WHERE key IN (SELECT key FROM login_throttle \
                 WHERE substr(key, 1, 6) <> 'known:' AND window_started_at <= $1 ORDER BY window_started_at LIMIT $2)"
            }
            Self::KnownAddresses => {
                "DELETE FROM login_throttle WHERE key IN (SELECT key FROM login_throttle \
                 WHERE substr(key, 1, 6) = 'known:' AND window_started_at <= $1 ORDER BY window_started_at LIMIT $2)"
            }
        }
    }
}

/// Forgets at most so many rows of an instant or before; answers how many.
pub fn forget(connection: &mut AnyConnection, sweep: Sweep, until: Timestamp, rows: i64) -> Result<usize, Error> {
    let query = diesel::sql_query(sweep.statement()).bind::<SqlTimestamp, _>(until).bind::<BigInt, _>(rows);
    Ok(match connection {
        AnyConnection::Sqlite(sqlite) => query.execute(sqlite)?,
        AnyConnection::Postgres(postgres) => query.execute(postgres)?,
    })
}

/// Finds and locks at most so many personal tokens that ended, by revocation or expiry, at an instant or before.
pub fn ended_tokens(connection: &mut AnyConnection, until: Timestamp, rows: i64) -> Result<Vec<TokenRow>, Error> {
    let revoked = personal_tokens::table
        .filter(personal_tokens::revoked_at.le(until))
        .order(personal_tokens::revoked_at.asc())
        .limit(rows);
    let mut found: Vec<TokenRow> = match connection {
        AnyConnection::Sqlite(sqlite) => revoked.load(sqlite)?,
        AnyConnection::Postgres(postgres) => revoked.for_update().load(postgres)?,
    };
    let expired = personal_tokens::table
        .filter(personal_tokens::expires_at.le(until))
        .filter(personal_tokens::revoked_at.is_null().or(personal_tokens::revoked_at.gt(until).assume_not_null()))
        .order(personal_tokens::expires_at.asc())
        .limit(rows - i64::try_from(found.len()).unwrap_or(rows));
    found.extend(match connection {
        AnyConnection::Sqlite(sqlite) => expired.load::<TokenRow>(sqlite)?,
        AnyConnection::Postgres(postgres) => expired.for_update().load::<TokenRow>(postgres)?,
    });
    Ok(found)
}

/// Deletes a personal token; the end of its history is kept.
pub fn delete_token(connection: &mut AnyConnection, id: TokenId, stamp: &Stamp) -> Result<(), Error> {
    audit::bury(connection, "personal_token", &id.to_string(), stamp)?;
    diesel::delete(personal_tokens::table.find(id)).execute(connection)?;
    Ok(())
}
