//! Use cases: authorise, load, decide, store, record - one transaction each.
//!
//! [`Env::read`] and [`Env::write`] are the only ways in. Both authenticate the caller on the connection
//! they run on; `write` adds idempotency and the transaction. A [`WriteContext`] is the only thing that can
//! [`record`](WriteContext::record) a change, and the repository stores nothing without the stamp that
//! recording gives: audit, event and idempotency rows are there by construction.

pub mod audit;
pub mod catalogue;
pub mod changes;
pub mod doctor;
pub mod env;
pub mod error;
pub mod groups;
pub mod identity;
pub mod keys;
pub mod lifecycle;
pub mod release_create;
pub mod release_input;
pub mod release_patch;
pub mod releases;
pub mod rules;
pub mod seed;
pub mod setup;
pub mod tokens;
pub mod users;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::Value;

use crate::domain::policy::{self, Access, Actor, Permit, Via};
use crate::domain::release::ChainHead;
use crate::domain::values::{AuditId, Draft, EventId, Fault, ReleaseId, Timestamp};
use crate::repository::AnyConnection;
use crate::repository::audit::{Entry, Stamp};
use crate::repository::idempotency::{self, KeptAnswer};

pub use self::env::Env;
pub use self::error::{Error, Result, Standing};
use self::identity::Credentials;

/// Answers under an idempotency key are kept for so long.
pub const IDEMPOTENCY_KEPT_HOURS: i64 = 24;

/// What a request brings along besides its parameters and body.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names the request in logs, audit and problems.
    pub id: String,
    /// The credential, verified as far as that goes without the database.
    pub credentials: Credentials,
    /// The network address that it came from.
    pub address: String,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Digest of method, path, query and body.
    pub fingerprint: String,
    /// `If-Match`.
    pub if_match: IfMatch,
    /// `dry_run=true`.
    pub dry_run: bool,
}

/// The versions that `If-Match` allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// The header is missing.
    Missing,
    /// `*`: the caller's explicit override.
    Any,
    /// These versions.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Demands that the header is there and allows the version.
    pub fn demand(&self, row_version: i64) -> Result<()> {
        match self {
            Self::Missing => Err(Error::PreconditionRequired),
            _ => self.honour(row_version),
        }
    }

    /// Where the header is there, demands that it allows the version.
    pub fn honour(&self, row_version: i64) -> Result<()> {
        match self {
            Self::Versions(versions) if !versions.contains(&row_version) => Err(Error::PreconditionFailed(row_version)),
            _ => Ok(()),
        }
    }
}

/// A JSON merge patch (RFC 7396), with the way to read the merged whole.
#[derive(Debug, Clone)]
pub struct MergePatch<T> {
    /// The patch, an object.
    pub document: Value,
    /// Checks and types the merged whole.
    pub parse: fn(Value) -> Draft<T>,
}

impl<T> MergePatch<T> {
    /// The whole that results from the current one.
    pub fn apply(&self, mut current: Value) -> Draft<T> {
        merge(&mut current, &self.document);
        (self.parse)(current)
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

/// What a use case answers, as plain data: it is kept under an idempotency key as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Where the new resource is.
    pub location: Option<String>,
    /// Version of the resource, for the `ETag`.
    pub row_version: Option<i64>,
    /// The release that it is about: a replay checks that it is still visible.
    pub release_id: Option<ReleaseId>,
    /// The body, JSON; empty for none.
    pub body: String,
    /// `Link` to the next page.
    pub next: Option<String>,
    /// True for the repetition of a kept answer.
    pub replayed: bool,
    /// True for the answer of a dry run.
    pub dry_run: bool,
}

impl Reply {
    /// An answer with a body.
    pub fn json(status: u16, body: &impl serde::Serialize) -> Result<Self> {
        let body = serde_json::to_string(body).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self {
            status,
            location: None,
            row_version: None,
            release_id: None,
            body,
            next: None,
            replayed: false,
            dry_run: false,
        })
    }

    /// An answer without a body.
    pub const fn empty() -> Self {
        Self {
            status: 204,
            location: None,
            row_version: None,
            release_id: None,
            body: String::new(),
            next: None,
            replayed: false,
            dry_run: false,
        }
    }

    /// The same answer with the version behind its `ETag`.
    #[must_use]
    pub const fn version(mut self, row_version: i64) -> Self {
        self.row_version = Some(row_version);
        self
    }

    /// The same answer with where the new resource is.
    #[must_use]
    pub fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// The same answer, about a release.
    #[must_use]
    pub const fn about(mut self, release: ReleaseId) -> Self {
        self.release_id = Some(release);
        self
    }
}

/// A use case that reads: the connection, who asks, and when.
pub struct ReadContext<'c> {
    /// The connection.
    pub connection: &'c mut AnyConnection,
    /// Who asks.
    pub actor: Actor,
    /// The present, the same throughout the use case.
    pub now: Timestamp,
    /// What the process shares.
    pub env: &'c Env,
    /// The request.
    pub request: &'c Request,
}

impl ReadContext<'_> {
    /// Judges an access outside the lifecycle.
    pub fn authorise(&self, access: Access) -> Result<Permit> {
        Ok(policy::authorise(&self.actor, access)?)
    }
}

/// A use case that writes, inside its transaction.
pub struct WriteContext<'c>(ReadContext<'c>);

impl<'c> Deref for WriteContext<'c> {
    type Target = ReadContext<'c>;

    fn deref(&self) -> &ReadContext<'c> {
        &self.0
    }
}

impl<'c> DerefMut for WriteContext<'c> {
    fn deref_mut(&mut self) -> &mut ReadContext<'c> {
        &mut self.0
    }
}

/// A change to be recorded.
#[derive(Debug)]
pub struct Recorded<'v> {
    /// Kind of the record whose chain it goes to.
    pub record_type: &'static str,
    /// Identifier of that record.
    pub record_id: String,
    /// Kind and identifier of what was changed, where it only belongs to the record.
    pub subject: Option<(&'static str, String)>,
    /// What happened, as `noun.verb`.
    pub action: String,
    /// How it was.
    pub before: Option<&'v Value>,
    /// How it is now.
    pub after: Option<&'v Value>,
    /// False where it is of no interest outside: no event.
    pub published: bool,
}

impl WriteContext<'_> {
    /// Appends the audit row and the event row of a change. The stamp lets the change be stored.
    pub fn record(&mut self, _permit: Permit, head: &ChainHead, change: Recorded<'_>) -> Result<Stamp> {
        let entry = entry(self.env, &self.actor, self.now, &self.request.id, change)?;
        Ok(crate::repository::audit::append(self.connection, head, entry)?)
    }
}

/// What is written of a change, but for its place in the chain.
fn entry(env: &Env, actor: &Actor, now: Timestamp, request_id: &str, change: Recorded<'_>) -> Result<Entry> {
    let changes = audit::differences(change.before, change.after);
    let changes = serde_json::to_string(&changes).map_err(|error| Error::Internal(error.to_string()))?;
    let (subject_type, subject_id) = change.subject.unwrap_or_else(|| (change.record_type, change.record_id.clone()));
    Ok(Entry {
        id: AuditId::new(env.new_id(now)),
        event_id: change.published.then(|| EventId::new(env.new_id(now))),
        record_type: change.record_type,
        record_id: change.record_id,
        action: change.action,
        subject_type,
        subject_id,
        actor_id: (actor.user_id != setup::NOBODY).then_some(actor.user_id),
        actor_name: actor.username.clone(),
        via: match actor.via {
            Via::Session(id) => format!("session:{id}"),
            Via::Token(id) => format!("token:{id}"),
            Via::Console => "console".into(),
        },
        request_id: request_id.to_owned(),
        at: now,
        changes,
        salt: env.new_salt(),
    })
}

impl Env {
    /// Runs a use case that reads.
    pub async fn read<T, F>(self: &Arc<Self>, request: Request, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut ReadContext<'_>) -> Result<T> + Send + 'static,
    {
        let env = Arc::clone(self);
        self.database.read(move |connection| env.read_on(connection, &request, &work)).await
    }

    fn read_on<T>(
        &self,
        connection: &mut AnyConnection,
        request: &Request,
        work: &impl Fn(&mut ReadContext<'_>) -> Result<T>,
    ) -> Result<T> {
        let now = self.now();
        let actor = identity::authenticate(connection, &request.credentials, now)?;
        work(&mut ReadContext { connection, actor, now, env: self, request })
    }

    /// Runs a use case that writes, in one transaction with its idempotency key. `work` may run again.
    pub async fn write<F>(self: &Arc<Self>, request: Request, work: F) -> Result<Reply>
    where
        F: Fn(&mut WriteContext<'_>) -> Result<Reply> + Send + 'static,
    {
        let env = Arc::clone(self);
        let result = self.database.write(move |connection| env.write_on(connection, &request, &work)).await;
        undone_dry_run(result)
    }

    /// Runs a use case that writes on the calling thread, for the command line.
    pub fn write_blocking<T, F>(self: &Arc<Self>, request: Request, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut WriteContext<'_>) -> Result<T> + Send + 'static,
    {
        let env = Arc::clone(self);
        self.database.write_blocking(move |connection| {
            let now = env.now();
            let actor = identity::authenticate(connection, &request.credentials, now)?;
            work(&mut WriteContext(ReadContext { connection, actor, now, env: &env, request: &request }))
        })
    }

    fn write_on(
        &self,
        connection: &mut AnyConnection,
        request: &Request,
        work: &impl Fn(&mut WriteContext<'_>) -> Result<Reply>,
    ) -> Result<Reply> {
        let now = self.now();
        let actor = identity::authenticate(connection, &request.credentials, now)?;
        let mut context = WriteContext(ReadContext { connection, actor, now, env: self, request });
        if request.dry_run {
            let mut reply = work(&mut context)?;
            reply.dry_run = true;
            return Err(Error::DryRun(Box::new(reply)));
        }
        let Some(key) = &request.idempotency_key else {
            return work(&mut context);
        };
        let mut claim = KeptAnswer {
            caller: context.actor.user_id.to_string(),
            key: key.clone(),
            fingerprint: request.fingerprint.clone(),
            status: 0,
            location: None,
            row_version: None,
            release_id: None,
            body: String::new(),
            created_at: now,
        };
        if let Some(kept) = idempotency::claim(context.connection, &claim)? {
            if kept.created_at > now.plus(-TimeDelta::hours(IDEMPOTENCY_KEPT_HOURS)) {
                return replay(&mut context, kept);
            }
            idempotency::forget(context.connection, &claim.caller, key)?;
            if let Some(kept) = idempotency::claim(context.connection, &claim)? {
                return replay(&mut context, kept);
            }
        }
        let reply = work(&mut context)?;
        claim.status = i64::from(reply.status);
        claim.location.clone_from(&reply.location);
        claim.row_version = reply.row_version;
        claim.release_id = reply.release_id;
        claim.body.clone_from(&reply.body);
        idempotency::keep(context.connection, &claim)?;
        Ok(reply)
    }
}

fn undone_dry_run(result: Result<Reply>) -> Result<Reply> {
    match result {
        Err(Error::DryRun(reply)) => Ok(*reply),
        other => other,
    }
}

fn replay(context: &mut WriteContext<'_>, kept: KeptAnswer) -> Result<Reply> {
    if kept.fingerprint != context.request.fingerprint {
        return Err(Error::KeyReused);
    }
    if let Some(release) = kept.release_id {
        let visibility = context.actor.visibility();
        let reference = crate::repository::releases::ReleaseRef::Id(release);
        if crate::repository::releases::find(context.connection, reference, &visibility)?.is_none() {
            return Err(Error::NotFound("release"));
        }
    }
    Ok(Reply {
        status: u16::try_from(kept.status).unwrap_or(200),
        location: kept.location,
        row_version: kept.row_version,
        release_id: kept.release_id,
        body: kept.body,
        next: None,
        replayed: true,
        dry_run: false,
    })
}

/// A unique index that refused a write, as a conflict that names the fields.
pub fn already_exists(error: Error, what: &'static str) -> Error {
    let Error::Repository(crate::repository::Error::Unique { index }) = &error else {
        return error;
    };
    if index.ends_with("is_default") {
        // Two models became the default at once: run again, the later one takes it from the earlier.
        return crate::repository::Error::Stale.into();
    }
    let columns: Vec<String> =
        index.split(", ").map(|column| column.rsplit('.').next().unwrap_or(column).to_owned()).collect();
    let fields = columns.join(" and ");
    Error::Conflict {
        code: "ALREADY_EXISTS",
        detail: format!("Another {what} has the same {fields}."),
        standing: None,
        faults: columns
            .iter()
            .map(|column| {
                Fault::at(format!("/{column}"), "ALREADY_EXISTS", format!("Another {what} has this already."))
            })
            .collect(),
    }
}
