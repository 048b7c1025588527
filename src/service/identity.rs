//! Who the caller is: credentials, login, refresh with rotation and reuse detection, logout.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::keys::{ACCESS_TOKEN_SECONDS, Claims, ISSUER};
use super::reference::{Credential, Known};
use super::{Env, Error, ReadContext, Recorded, Reply, Request, Result, WriteContext, tokens};
use crate::domain::policy::{Access, Actor, Via};
use crate::domain::release::ChainHead;
use crate::domain::values::{SessionId, Timestamp, UserId};
use crate::mutants::mutant;
use crate::repository::audit::digest;
use crate::repository::identity::{self, Account, SessionRow};
use crate::repository::nouns::{Noun, User};
use crate::repository::{AnyConnection, directory};

/// A session lives at most so long without a new login.
pub const SESSION_DAYS: i64 = 30;
/// A user has at most so many sessions at a time; one more login ends the oldest.
pub const SESSIONS_PER_USER_MAX: usize = 100;
/// Failed logins are counted over windows of this length.
pub const THROTTLE_WINDOW_MINUTES: i64 = 15;
/// Failures per account and address before both together are refused.
pub const FAILURES_PER_PAIR_MAX: i64 = 5;
/// Failures per address.
pub const FAILURES_PER_ADDRESS_MAX: i64 = 50;
/// Failures per account, from addresses that never logged in to it.
pub const FAILURES_PER_ACCOUNT_MAX: i64 = 100;
/// A known address of an account is remembered so long.
pub const KNOWN_ADDRESS_DAYS: i64 = 90;
/// Passwords are hashed by at most so many threads at once.
const HASHERS_MAX: usize = 2;
/// A password has at least so many characters.
pub const PASSWORD_LENGTH_MIN: usize = 12;
/// A password has at most so many characters.
pub const PASSWORD_LENGTH_MAX: usize = 256;

/// What came in `Authorization`, verified as far as that goes without the database.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nothing.
    Missing,
    /// Something that proves nothing.
    Invalid,
    /// An access token with a good signature and good claims.
    Session {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// A personal access token, well-formed.
    Personal {
        /// SHA-256 of it.
        hash: String,
    },
    /// Somebody on the machine itself.
    Console(Actor),
}

impl Credentials {
    /// Reads the value of `Authorization`.
    pub fn parse(header: Option<&str>, env: &Env) -> Self {
        let Some(header) = header else {
            return Self::Missing;
        };
        let Some((scheme, token)) = header.split_once(' ') else {
            return Self::Invalid;
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::Invalid;
        }
        let token = token.trim();
        if token.starts_with(tokens::PREFIX) {
            return if tokens::is_well_formed(token) {
                Self::Personal { hash: digest(&[token]) }
            } else {
                Self::Invalid
            };
        }
        match env.keys.verify(token, env.now()) {
            Some(claims) => Self::Session { user: claims.sub, session: claims.sid },
            None => Self::Invalid,
        }
    }

    /// Whose it is, where the credential itself tells.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::Session { user, .. } => Some(*user),
            Self::Missing | Self::Invalid | Self::Personal { .. } | Self::Console(_) => None,
        }
    }

    /// What the rate limit counts by: the credential, or nothing.
    pub fn caller(&self) -> Option<String> {
        match self {
            Self::Session { user, .. } => Some(user.to_string()),
            Self::Personal { hash } => Some(hash.clone()),
            Self::Missing | Self::Invalid | Self::Console(_) => None,
        }
    }
}

/// The last use of a token is noted no more often than this.
pub const LAST_USED_EVERY_SECONDS: i64 = 60;

/// The actor behind the credential, as things stand in the database under this token of its reference state.
pub fn authenticate(
    connection: &mut AnyConnection,
    env: &Env,
    credentials: &Credentials,
    token: &str,
    now: Timestamp,
) -> Result<Arc<Actor>> {
    const REFUSED: Error = Error::Unauthenticated("The credential is not valid, or not any more.");
    let credential = Credential::of(credentials);
    if let Some(actor) = credential.as_ref().and_then(|credential| env.reference.actor(token, credential, now)) {
        return Ok(actor);
    }
    let (user_id, account, ends_at, scopes, via) = match credentials {
        Credentials::Missing => return Err(Error::Unauthenticated("A bearer token is needed.")),
        Credentials::Invalid => return Err(REFUSED),
        Credentials::Console(actor) => return Ok(Arc::new(actor.clone())),
        Credentials::Session { user, session } => {
            let (account, ends_at) = identity::session_account(connection, *session, *user, now)?.ok_or(REFUSED)?;
            (*user, Some(account), Some(ends_at), None, Via::Session(*session))
        }
        Credentials::Personal { hash } => {
            let token = identity::token_by_hash(connection, hash)?.ok_or(REFUSED)?;
            if token.revoked_at.is_some() || token.expires_at.is_some_and(|end| end <= now) {
                return Err(REFUSED);
            }
            let account = identity::account(connection, token.user_id)?;
            (token.user_id, account, token.expires_at, Some(token.scopes.0), Via::Token(token.id))
        }
    };
    let Account { username, global_role, memberships, .. } = account.filter(|account| account.active).ok_or(REFUSED)?;
    let actor = Arc::new(Actor { user_id, username, global_role, memberships, scopes, via });
    if let Some(credential) = credential {
        env.reference.remember_actor(token, credential, Known { actor: Arc::clone(&actor), ends_at });
    }
    Ok(actor)
}

impl Env {
    /// Notes the use of a personal token, at most once a minute, apart from the request itself.
    pub async fn note_token_use(&self, hash: String) {
        let now = self.now();
        let due = self
            .database
            .read::<_, Error>(move |connection| {
                let token = identity::token_by_hash(connection, &hash)?;
                Ok(token.filter(|token| {
                    token.revoked_at.is_none()
                        && token.last_used_at.is_none_or(|at| now.since(at).num_seconds() >= LAST_USED_EVERY_SECONDS)
                }))
            })
            .await;
        if let Ok(Some(token)) = due {
            let noted = self
                .database
                .write::<_, Error>(move |connection| Ok(identity::touch_token(connection, token.id, now)?))
                .await;
            if let Err(error) = noted {
                log::warn!("the use of a token was not noted: {error}");
            }
        }
    }
}

/// At most so many wait for a thread that hashes.
const HASHERS_WAITING_MAX: usize = 64;

static HASHERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(HASHERS_MAX)));
static HASHERS_WAITING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(HASHERS_WAITING_MAX));

/// A place among the few that hash at the same time. The thread that hashes has a share in it: a caller who goes away
/// does not make room for more than that.
type HashingPlace = Arc<OwnedSemaphorePermit>;

/// Takes a place; too many who wait for one are told to come back.
async fn hasher() -> Result<HashingPlace> {
    let busy = || Error::Repository(crate::repository::Error::Busy("too many passwords are being checked".into()));
    let _waiting = HASHERS_WAITING.try_acquire().map_err(|_| busy())?;
    Arc::clone(&HASHERS).acquire_owned().await.map(Arc::new).map_err(|_| busy())
}

/// Runs slow hashing on a thread of its own, so that it holds up no query.
async fn apart<T: Send + 'static>(place: &HashingPlace, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let internal = |what: &str| Error::Internal(format!("password hashing: {what}"));
    let (reply, answer) = oneshot::channel();
    let place = Arc::clone(place);
    std::thread::Builder::new()
        .name("slipway-hasher".into())
        .spawn(move || {
            let _ = reply.send(work());
            drop(place);
        })
        .map_err(|error| internal(&error.to_string()))?;
    answer.await.map_err(|_| internal("no answer"))
}

/// Hashes a password with argon2id.
pub fn hash_password(password: &str) -> Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Error::Internal(format!("password hashing: {error}")))
}

/// Hashes a password apart from other work.
pub async fn hash_password_apart(password: String) -> Result<String> {
    apart(&hasher().await?, move || hash_password(&password)).await?
}

fn password_matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// True where the password is the user's.
pub async fn password_is(password: String, hash: String) -> Result<bool> {
    apart(&hasher().await?, move || password_matches(&password, &hash)).await
}

/// A hash that no password has: an unknown user takes as long as a known one.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash_password(&format!("{:x}", rand::random::<u128>())).unwrap_or_default());

/// Tokens handed to somebody who logged in.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Short-lived access token.
    pub access_token: String,
    /// Its life in seconds.
    pub expires_in: i64,
    /// Single-use token for the next pair.
    pub refresh_token: String,
}

const WRONG: Error = Error::Unauthenticated("The user name or the password is wrong.");

/// A new refresh token and its hash.
fn new_refresh_token() -> (String, String) {
    let token = format!("slr_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let hash = digest(&[&token]);
    (token, hash)
}

fn grant(env: &Env, user: UserId, session: SessionId, refresh_token: String, now: Timestamp) -> Result<Granted> {
    let iat = now.unix_seconds();
    let claims = Claims {
        iss: ISSUER.into(),
        aud: ISSUER.into(),
        sub: user,
        sid: session,
        exp: iat + ACCESS_TOKEN_SECONDS,
        iat,
        jti: env.new_id(now).to_string(),
    };
    Ok(Granted { access_token: env.keys.sign(&claims)?, expires_in: ACCESS_TOKEN_SECONDS, refresh_token })
}

struct ThrottleKeys {
    pair: String,
    address: String,
    account: String,
    known: String,
}

impl ThrottleKeys {
    fn new(username: &str, address: &str) -> Self {
        // Account names are hashed: what people type into the wrong field is not kept.
        let account = &digest(&[username])[..32];
        Self {
            pair: format!("pair:{account}:{address}"),
            address: format!("address:{address}"),
            account: format!("account:{account}"),
            known: format!("known:{account}:{address}"),
        }
    }

    fn wait(&self, connection: &mut AnyConnection, now: Timestamp) -> Result<Option<u64>> {
        let window = TimeDelta::minutes(THROTTLE_WINDOW_MINUTES);
        let since = now.plus(-TimeDelta::days(KNOWN_ADDRESS_DAYS));
        let known = identity::throttle(connection, &self.known)?.is_some_and(|(_, at)| at > since);
        let limits = [
            (&self.pair, FAILURES_PER_PAIR_MAX),
            (&self.address, if known { i64::MAX } else { FAILURES_PER_ADDRESS_MAX }),
            (&self.account, if known { i64::MAX } else { FAILURES_PER_ACCOUNT_MAX }),
        ];
        let mut longest = None;
        for (key, limit) in limits {
            let Some((failures, started)) = identity::throttle(connection, key)? else {
                continue;
            };
            let left = started.plus(window).since(now).num_seconds();
            if failures >= limit && left > 0 && !mutant("throttle_off") {
                longest = longest.max(Some(u64::try_from(left).unwrap_or(1)));
            }
        }
        Ok(longest)
    }

    fn count_failure(&self, connection: &mut AnyConnection, now: Timestamp) -> Result<()> {
        let over = now.plus(-TimeDelta::minutes(THROTTLE_WINDOW_MINUTES));
        for key in [&self.pair, &self.address, &self.account] {
            identity::count_throttle(connection, key, now, over)?;
        }
        Ok(())
    }

    fn forgive(&self, connection: &mut AnyConnection, now: Timestamp) -> Result<()> {
        identity::clear_throttle(connection, &self.pair)?;
        Ok(identity::set_throttle(connection, &self.known, 0, now)?)
    }
}

/// Logs in by password.
pub async fn login(env: &Arc<Env>, request: Request, username: String, password: String) -> Result<Granted> {
    let now = env.now();
    let keys = Arc::new(ThrottleKeys::new(&username, &request.address));
    // The place is held from the look at the counters until the failure is counted: guesses sent all at once are
    // judged one after the other.
    let place = hasher().await?;
    let known = {
        let (keys, username) = (Arc::clone(&keys), username.clone());
        env.database
            .read::<_, Error>(move |connection| {
                if let Some(retry_after_seconds) = keys.wait(connection, now)? {
                    return Err(Error::Throttled { retry_after_seconds });
                }
                Ok(directory::account(connection, &username)?)
            })
            .await?
    };
    let (user, hash) = match &known {
        Some((user, true, Some(hash))) => (Some(*user), hash.clone()),
        _ => (None, NOBODY.clone()),
    };
    let verified = hash.clone();
    let matches = apart(&place, move || password_matches(&password, &hash)).await?;
    let (Some(user), true) = (user, matches) else {
        env.database.write::<_, Error>(move |connection| keys.count_failure(connection, now)).await?;
        return Err(WRONG);
    };
    let session = SessionId::new(env.new_id(now));
    let (refresh_token, refresh_hash) = new_refresh_token();
    let actor = Actor {
        user_id: user,
        username,
        global_role: None,
        memberships: Vec::new(),
        scopes: None,
        via: Via::Session(session),
    };
    let row = SessionRow {
        id: session,
        user_id: user,
        created_at: now,
        expires_at: now.plus(TimeDelta::days(SESSION_DAYS)),
        revoked_at: None,
        audit_seq: 0,
        audit_head: String::new(),
    };
    let request = Request { credentials: Credentials::Console(actor), idempotency_key: None, ..request };
    env.write(request, move |context| {
        // What was verified must still hold: a password changed meanwhile gives no session to the old one.
        let account = User::lock(context.connection, user)?.filter(|account| account.content.active);
        let hash = directory::password_hash(context.connection, user)?;
        let still = hash.as_deref() == Some(verified.as_str()) || mutant("stale_password_accepted");
        if account.is_none() || !still {
            return Err(WRONG);
        }
        keys.forgive(context.connection, now)?;
        make_room(context, user)?;
        let stamp = record(context, session, &ChainHead::default(), "session.login")?;
        identity::insert_session(context.connection, &row, &stamp)?;
        identity::insert_refresh(context.connection, &refresh_hash, session, now)?;
        Ok(Reply::empty())
    })
    .await?;
    grant(env, user, session, refresh_token, now)
}

fn record(
    context: &mut WriteContext<'_>,
    session: SessionId,
    head: &ChainHead,
    action: &str,
) -> Result<crate::repository::audit::Stamp> {
    let permit = context.authorise(Access::Own)?;
    let after = json!({"address": context.request.address});
    context.record(
        permit,
        head,
        Recorded {
            record_type: "session",
            record_id: session.to_string(),
            subject: None,
            action: action.into(),
            before: None,
            after: Some(&after),
            published: false,
        },
    )
}

/// Exchanges a refresh token for a new pair. One that was used before gives the whole session up: somebody
/// else may have it.
pub async fn refresh(env: &Arc<Env>, request: Request, token: String) -> Result<Granted> {
    const REFUSED: Error = Error::Unauthenticated("The refresh token is not valid, or not any more.");
    let now = env.now();
    let used = digest(&[&token]);
    let (new_token, new_hash) = new_refresh_token();
    let found = {
        let used = used.clone();
        env.database
            .read::<_, Error>(move |connection| {
                let Some((session, _)) = identity::find_refresh(connection, &used)? else {
                    return Ok(None);
                };
                Ok(identity::lock_session(connection, session)?)
            })
            .await?
    };
    let Some(session) = found else {
        return Err(REFUSED);
    };
    let account_of = session.user_id;
    let account = env.database.read::<_, Error>(move |c| Ok(identity::account(c, account_of)?)).await?;
    let Some(account) = account else {
        return Err(REFUSED);
    };
    let actor = Actor {
        user_id: session.user_id,
        username: account.username.clone(),
        global_role: None,
        memberships: Vec::new(),
        scopes: None,
        via: Via::Session(session.id),
    };
    let request = Request { credentials: Credentials::Console(actor), idempotency_key: None, ..request };
    let id = session.id;
    let active = account.active;
    // The refusal is an answer and not an error here: what it revokes must be committed.
    let reply = env
        .write(request, move |context| {
            let Some(session) = identity::lock_session(context.connection, id)? else {
                return Err(REFUSED);
            };
            let reused = identity::find_refresh(context.connection, &used)?.is_none_or(|(_, at)| at.is_some());
            if session.revoked_at.is_some() || session.expires_at <= now || !active {
                return Err(REFUSED);
            }
            if reused {
                let stamp = record(context, id, &session.chain(), "session.reuse_detected")?;
                identity::update_session(context.connection, id, Some(now), &stamp)?;
                return Reply::json(401, &json!(null));
            }
            identity::use_refresh(context.connection, &used, now)?;
            identity::insert_refresh(context.connection, &new_hash, id, now)?;
            let stamp = record(context, id, &session.chain(), "session.refresh")?;
            identity::update_session(context.connection, id, None, &stamp)?;
            Ok(Reply::empty())
        })
        .await?;
    if reply.status == 401 {
        log::warn!("a refresh token was used twice; session {id} is revoked");
        return Err(REFUSED);
    }
    grant(env, session.user_id, id, new_token, now)
}

/// Ends the caller's session: its access and refresh tokens are refused from now on.
pub fn logout(context: &mut WriteContext<'_>) -> Result<()> {
    let Via::Session(id) = context.actor.via else {
        return Err(Error::conflict("NOT_A_SESSION", "A personal access token is revoked, not logged out."));
    };
    let session = identity::lock_session(context.connection, id)?.ok_or(Error::NotFound("session"))?;
    let stamp = record(context, id, &session.chain(), "session.logout")?;
    let now = context.now;
    Ok(identity::update_session(context.connection, id, Some(now), &stamp)?)
}

/// Ends every session of a user, but for the one given.
pub fn end_sessions(context: &mut WriteContext<'_>, user: UserId, but: Option<SessionId>) -> Result<()> {
    let now = context.now;
    let live = identity::live_sessions(context.connection, user, now)?;
    let ended: Vec<SessionRow> = live.into_iter().filter(|session| Some(session.id) != but).collect();
    revoke(context, &ended, but)
}

/// Ends sessions of one user, which are locked: the live ones up to the last of these, but for the one kept. However
/// many there are, it is one statement and one line of history, in the chain of the last.
fn revoke(context: &mut WriteContext<'_>, ended: &[SessionRow], kept: Option<SessionId>) -> Result<()> {
    let Some(last) = ended.last() else {
        return Ok(());
    };
    let permit = context.authorise(Access::Own)?;
    let after = json!({
        "address": context.request.address, "user_id": last.user_id, "sessions_ended": ended.len(),
    });
    let stamp = context.record(
        permit,
        &last.chain(),
        Recorded {
            record_type: "session",
            record_id: last.id.to_string(),
            subject: None,
            action: "session.revoke".into(),
            before: None,
            after: Some(&after),
            published: false,
        },
    )?;
    let now = context.now;
    identity::update_session(context.connection, last.id, Some(now), &stamp)?;
    Ok(identity::revoke_sessions(context.connection, last.user_id, (last.id, kept), now, &stamp)?)
}

/// Makes room for one more session: the oldest ends where there are as many as there may be.
fn make_room(context: &mut WriteContext<'_>, user: UserId) -> Result<()> {
    let now = context.now;
    let mut live = identity::live_sessions(context.connection, user, now)?;
    live.truncate((live.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX));
    revoke(context, &live, None)
}

/// The caller's own account.
pub fn me(context: &mut ReadContext<'_>) -> Result<UserId> {
    context.authorise(Access::Read)?;
    Ok(context.actor.user_id)
}
