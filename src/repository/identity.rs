//! Sessions, personal tokens, signing keys, the login throttle, and the actor behind a credential.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::schema::{
    group_members, groups, login_throttle, personal_tokens, reference_state, refresh_tokens, sessions, settings,
    signing_keys, users,
};
use crate::domain::policy::Membership;
use crate::domain::release::ChainHead;
use crate::domain::values::{GlobalRole, GroupId, Json, Permission, SessionId, Timestamp, TokenId, TokenScope, UserId};

/// An account, with its groups, as an actor needs it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Login name.
    pub username: String,
    /// Right over the whole installation.
    pub global_role: Option<GlobalRole>,
    /// False where the account is disabled.
    pub active: bool,
    /// Active groups, with what they permit.
    pub memberships: Vec<Membership>,
}

/// The token that stands for the state of accounts, groups, revocations and the catalogue.
pub fn reference_token(connection: &mut AnyConnection) -> Result<String, Error> {
    Ok(on_either!(connection, own => reference_state::table.select(reference_state::token).first(own))?)
}

type AccountRow = (String, Option<GlobalRole>, bool, Option<GroupId>, Option<Json<BTreeSet<Permission>>>, Option<bool>);

/// The columns of an [`AccountRow`].
#[diesel::dsl::auto_type]
fn account_columns() -> _ {
    (
        users::username,
        users::global_role,
        users::active,
        groups::id.nullable(),
        groups::permissions.nullable(),
        groups::active.nullable(),
    )
}

fn account_of(rows: Vec<AccountRow>) -> Option<Account> {
    let (username, global_role, active, ..) = rows.first()?.clone();
    let memberships = rows
        .into_iter()
        .filter_map(|(_, _, _, group_id, permissions, group_active)| {
            let permissions = if group_active? { permissions?.0.into_iter().collect() } else { Vec::new() };
            Some(Membership { group_id: group_id?, permissions })
        })
        .collect();
    Some(Account { username, global_role, active, memberships })
}

/// The account with its groups, in one statement.
pub fn account(connection: &mut AnyConnection, user: UserId) -> Result<Option<Account>, Error> {
    let rows: Vec<AccountRow> = users::table
        .left_join(group_members::table.inner_join(groups::table))
        .filter(users::id.eq(user))
        .select(account_columns())
        .load(connection)?;
    Ok(account_of(rows))
}

/// The account behind a session and the end of the session, where it belongs to the user and is not revoked or over.
pub fn session_account(
    connection: &mut AnyConnection,
    session: SessionId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<(Account, Timestamp)>, Error> {
    let rows: Vec<(AccountRow, Timestamp)> = users::table
        .inner_join(sessions::table)
        .left_join(group_members::table.inner_join(groups::table))
        .filter(sessions::id.eq(session))
        .filter(users::id.eq(user))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .select((account_columns(), sessions::expires_at))
        .load(connection)?;
    let ends_at = rows.first().map(|(_, ends_at)| *ends_at);
    Ok(account_of(rows.into_iter().map(|(row, _)| row).collect()).zip(ends_at))
}

/// A session.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    /// Identifier.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Length of its audit chain.
    pub audit_seq: i64,
    /// End of its audit chain.
    pub audit_head: String,
}

impl SessionRow {
    /// End of its audit chain.
    pub fn chain(&self) -> ChainHead {
        ChainHead { length: self.audit_seq, hash: self.audit_head.clone() }
    }
}

/// Stores a new session.
pub fn insert_session(connection: &mut AnyConnection, session: &SessionRow, stamp: &Stamp) -> Result<(), Error> {
    let row = SessionRow { audit_seq: stamp.head().length, audit_head: stamp.head().hash.clone(), ..session.clone() };
    diesel::insert_into(sessions::table).values(&row).execute(connection)?;
    Ok(())
}

/// Finds and locks a session.
pub fn lock_session(connection: &mut AnyConnection, id: SessionId) -> Result<Option<SessionRow>, Error> {
    let row = match connection {
        AnyConnection::Sqlite(sqlite) => sessions::table.find(id).first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => sessions::table.find(id).for_update().first(postgres).optional()?,
    };
    Ok(row)
}

/// Marks a session as revoked, or leaves it as it is, and moves the end of its chain.
pub fn update_session(
    connection: &mut AnyConnection,
    id: SessionId,
    revoked_at: Option<Timestamp>,
    stamp: &Stamp,
) -> Result<(), Error> {
    diesel::update(sessions::table.find(id))
        .set((
            sessions::revoked_at.eq(revoked_at),
            sessions::audit_seq.eq(stamp.head().length),
            sessions::audit_head.eq(&stamp.head().hash),
        ))
        .execute(connection)?;
    Ok(())
}

/// Finds and locks the user's sessions that are neither revoked nor over, the oldest first.
pub fn live_sessions(connection: &mut AnyConnection, user: UserId, now: Timestamp) -> Result<Vec<SessionRow>, Error> {
    let live = sessions::table
        .filter(sessions::user_id.eq(user))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .order(sessions::id.asc());
    Ok(match connection {
        AnyConnection::Sqlite(sqlite) => live.load(sqlite)?,
        AnyConnection::Postgres(postgres) => live.for_update().load(postgres)?,
    })
}

/// Revokes the user's live sessions up to this one, but for the one that is kept, in one statement.
pub fn revoke_sessions(
    connection: &mut AnyConnection,
    user: UserId,
    (until, kept): (SessionId, Option<SessionId>),
    now: Timestamp,
    _stamp: &Stamp,
) -> Result<(), Error> {
    let nobody = SessionId::new(uuid::Uuid::nil());
    let live = sessions::table
        .filter(sessions::user_id.eq(user))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .filter(sessions::id.le(until))
        .filter(sessions::id.ne(kept.unwrap_or(nobody)));
    diesel::update(live).set(sessions::revoked_at.eq(now)).execute(connection)?;
    Ok(())
}

/// A refresh token: its session, and when it was used.
pub type RefreshRow = (SessionId, Option<Timestamp>);

/// Finds a refresh token by its hash.
pub fn find_refresh(connection: &mut AnyConnection, hash: &str) -> Result<Option<RefreshRow>, Error> {
    Ok(refresh_tokens::table
        .find(hash)
        .select((refresh_tokens::session_id, refresh_tokens::used_at))
        .first(connection)
        .optional()?)
}

/// Stores a new refresh token.
pub fn insert_refresh(
    connection: &mut AnyConnection,
    hash: &str,
    session: SessionId,
    now: Timestamp,
) -> Result<(), Error> {
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::hash.eq(hash),
            refresh_tokens::session_id.eq(session),
            refresh_tokens::created_at.eq(now),
        ))
        .execute(connection)?;
    Ok(())
}

/// Marks a refresh token as used; [`Error::Stale`] where it was used already.
pub fn use_refresh(connection: &mut AnyConnection, hash: &str, now: Timestamp) -> Result<(), Error> {
    let hit = diesel::update(
        refresh_tokens::table.filter(refresh_tokens::hash.eq(hash)).filter(refresh_tokens::used_at.is_null()),
    )
    .set(refresh_tokens::used_at.eq(now))
    .execute(connection)?;
    one_row(hit)
}

/// A personal access token; of its secret only the SHA-256 is kept.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = personal_tokens)]
pub struct TokenRow {
    /// Identifier.
    pub id: TokenId,
    /// Whose it is.
    pub user_id: UserId,
    /// Name for people.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal.
    pub hash: String,
    /// The last four characters of the secret.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Json<Vec<TokenScope>>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Length of its audit chain.
    pub audit_seq: i64,
    /// End of its audit chain.
    pub audit_head: String,
}

/// Stores a new token.
pub fn insert_token(connection: &mut AnyConnection, token: &TokenRow, stamp: &Stamp) -> Result<(), Error> {
    let row = TokenRow { audit_seq: stamp.head().length, audit_head: stamp.head().hash.clone(), ..token.clone() };
    diesel::insert_into(personal_tokens::table).values(&row).execute(connection)?;
    Ok(())
}

/// A user has at most so many tokens that are not revoked.
pub const TOKENS_PER_USER_MAX: i64 = 100;

/// The tokens of a user that are not revoked, newest first.
pub fn tokens_of(connection: &mut AnyConnection, user: UserId) -> Result<Vec<TokenRow>, Error> {
    Ok(personal_tokens::table
        .filter(personal_tokens::user_id.eq(user))
        .filter(personal_tokens::revoked_at.is_null())
        .order(personal_tokens::id.desc())
        .limit(TOKENS_PER_USER_MAX)
        .load(connection)?)
}

/// Finds and locks a token.
pub fn find_token(connection: &mut AnyConnection, id: TokenId) -> Result<Option<TokenRow>, Error> {
    Ok(match connection {
        AnyConnection::Sqlite(sqlite) => personal_tokens::table.find(id).first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => personal_tokens::table.find(id).for_update().first(postgres).optional()?,
    })
}

/// Finds a token by the hash of its secret.
pub fn token_by_hash(connection: &mut AnyConnection, hash: &str) -> Result<Option<TokenRow>, Error> {
    Ok(personal_tokens::table.filter(personal_tokens::hash.eq(hash)).first(connection).optional()?)
}

/// Revokes a token; [`Error::Stale`] where it was revoked already.
pub fn revoke_token(connection: &mut AnyConnection, id: TokenId, now: Timestamp, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(
        personal_tokens::table.filter(personal_tokens::id.eq(id)).filter(personal_tokens::revoked_at.is_null()),
    )
    .set((
        personal_tokens::revoked_at.eq(now),
        personal_tokens::row_version.eq(personal_tokens::row_version + 1),
        personal_tokens::audit_seq.eq(stamp.head().length),
        personal_tokens::audit_head.eq(&stamp.head().hash),
    ))
    .execute(connection)?;
    one_row(hit)
}

/// Notes when a token was last used. Bookkeeping, not history.
pub fn touch_token(connection: &mut AnyConnection, id: TokenId, now: Timestamp) -> Result<(), Error> {
    diesel::update(personal_tokens::table.find(id)).set(personal_tokens::last_used_at.eq(now)).execute(connection)?;
    Ok(())
}

/// A signing key; the private half is sealed under the key file.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = signing_keys)]
pub struct SigningKeyRow {
    /// Key id, as in the header of tokens.
    pub kid: String,
    /// Public key, base64.
    pub public_key: String,
    /// Sealed private key, base64.
    pub sealed_private_key: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped signing.
    pub retired_at: Option<Timestamp>,
}

/// Every signing key, newest first.
pub fn signing_keys(connection: &mut AnyConnection) -> Result<Vec<SigningKeyRow>, Error> {
    Ok(signing_keys::table.order(signing_keys::created_at.desc()).load(connection)?)
}

/// Stores the first signing key, unless another process was first.
pub fn insert_first_signing_key(connection: &mut AnyConnection, key: &SigningKeyRow) -> Result<(), Error> {
    if let AnyConnection::Postgres(postgres) = connection {
        // Two first starts at once take turns; reading goes on.
        diesel::sql_query("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE").execute(postgres)?;
    }
    if signing_keys(connection)?.is_empty() {
        diesel::insert_into(signing_keys::table).values(key).execute(connection)?;
    }
    Ok(())
}

/// Failures counted under a key since the start of its window.
pub fn throttle(connection: &mut AnyConnection, key: &str) -> Result<Option<(i64, Timestamp)>, Error> {
    Ok(login_throttle::table
        .find(key)
        .select((login_throttle::failures, login_throttle::window_started_at))
        .first(connection)
        .optional()?)
}

/// Sets what is counted under a key.
pub fn set_throttle(
    connection: &mut AnyConnection,
    key: &str,
    failures: i64,
    window_started_at: Timestamp,
) -> Result<(), Error> {
    let row = (
        login_throttle::key.eq(key),
        login_throttle::failures.eq(failures),
        login_throttle::window_started_at.eq(window_started_at),
    );
    let counted = (login_throttle::failures.eq(failures), login_throttle::window_started_at.eq(window_started_at));
    let insert = diesel::insert_into(login_throttle::table).values(row);
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            insert.on_conflict(login_throttle::key).do_update().set(counted).execute(sqlite)?
        }
        AnyConnection::Postgres(postgres) => {
            insert.on_conflict(login_throttle::key).do_update().set(counted).execute(postgres)?
        }
    };
    Ok(())
}

/// Counts one more under a key. A window that started at `over` or before is over: a new one starts now. Of failures
/// counted at the same time none is lost.
pub fn count_throttle(connection: &mut AnyConnection, key: &str, now: Timestamp, over: Timestamp) -> Result<(), Error> {
    let ended = login_throttle::table.find(key).filter(login_throttle::window_started_at.le(over));
    diesel::delete(ended).execute(connection)?;
    let first =
        (login_throttle::key.eq(key), login_throttle::failures.eq(1), login_throttle::window_started_at.eq(now));
    let insert = diesel::insert_into(login_throttle::table).values(first);
    let one_more = login_throttle::failures.eq(login_throttle::failures + 1);
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            insert.on_conflict(login_throttle::key).do_update().set(one_more).execute(sqlite)?
        }
        AnyConnection::Postgres(postgres) => {
            insert.on_conflict(login_throttle::key).do_update().set(one_more).execute(postgres)?
        }
    };
    Ok(())
}

/// Forgets what is counted under a key.
pub fn clear_throttle(connection: &mut AnyConnection, key: &str) -> Result<(), Error> {
    diesel::delete(login_throttle::table.find(key)).execute(connection)?;
    Ok(())
}

/// A setting of the installation itself.
pub fn setting(connection: &mut AnyConnection, key: &str) -> Result<Option<String>, Error> {
    Ok(settings::table.find(key).select(settings::value).first(connection).optional()?)
}

/// Stores a setting for the first time; a unique violation where somebody else was first.
pub fn insert_setting(connection: &mut AnyConnection, key: &str, value: &str) -> Result<(), Error> {
    diesel::insert_into(settings::table)
        .values((settings::key.eq(key), settings::value.eq(value)))
        .execute(connection)?;
    Ok(())
}
