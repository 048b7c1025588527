//! Use cases: authorise, load, decide, store, record - one transaction each.
//!
//! [`Env::read`] and [`Env::write`] are the only ways in. Both authenticate the caller on the connection
//! they run on; `write` adds idempotency and the transaction. A [`WriteContext`] is the only thing that can
//! [`record`](WriteContext::record) a change, and the repository stores nothing without the stamp that
//! recording gives: audit, event and idempotency rows are there by construction.

pub mod activities;
pub mod activity_input;
pub mod activity_notes;
pub mod activity_plan;
pub mod approvals;
pub mod audit;
pub mod backup;
pub mod beat;
pub mod catalogue;
pub mod changes;
pub mod checklists;
pub mod checkpoint_file;
pub mod checkpoints;
pub mod comments;
pub mod configuration_items;
pub mod definitive_media;
pub mod doctor;
pub mod document_keeping;
pub mod documents;
pub mod env;
pub mod error;
pub mod groups;
pub mod hardware_spares;
pub mod identity;
pub mod impact;
pub mod import_imagined;
pub mod import_portion;
pub mod import_rows;
pub mod importing;
pub mod imports;
pub mod instantiate;
pub mod item_links;
pub mod keeping;
pub mod keyed;
pub mod keys;
pub mod leases;
pub mod lifecycle;
pub mod linkable_items;
pub mod medium_links;
pub mod models;
pub mod readiness;
pub mod records;
pub mod reference;
pub mod references;
pub mod relationships;
pub mod release_create;
pub mod release_input;
pub mod release_patch;
pub mod releases;
pub mod roles;
pub mod rules;
pub mod seed;
pub mod setup;
pub mod shares;
pub mod tokens;
pub mod users;
pub mod workflows;
pub mod write_back;
pub mod write_backs;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use chrono::TimeDelta;
use serde_json::Value;

use crate::domain::policy::{self, Access, Actor, Permit, Via};
use crate::domain::release::ChainHead;
use crate::domain::values::{AuditId, Draft, EventId, Fault, ReleaseId, Timestamp, UserId};
use crate::mutants::mutant;
use crate::repository::audit::{Entry, Stamp};
use crate::repository::idempotency::{self, KeptAnswer};
use crate::repository::identity::reference_token as reference_token_now;
use crate::repository::journal::Journal;
use crate::repository::{AnyConnection, Error as DatabaseError, Failure};
use crate::telemetry::trace::Trace;

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
    /// The trace that the caller began, for whatever is called because of the request.
    pub trace: Option<Trace>,
    /// Who the caller turned out to be.
    pub caller: Caller,
}

/// Who a request turned out to be from, once the database has said so; told to the log.
pub type Caller = Arc<OnceLock<(UserId, Via)>>;

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
            Self::Versions(versions) if !versions.contains(&row_version) && !mutant("stale_if_match_accepted") => {
                Err(Error::PreconditionFailed(row_version))
            }
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
    /// True where it says something of a field.
    pub fn names(&self, field: &str) -> bool {
        self.document.get(field).is_some()
    }

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
    pub actor: Arc<Actor>,
    /// The state of reference data that this use case goes by; `None` once it changes any of it itself.
    pub reference_token: Option<Arc<str>>,
    /// A token read beside other rows; see [`ReadContext::witness`].
    witnessed: Option<String>,
    /// The present, the same throughout the use case.
    pub now: Timestamp,
    /// What the process shares.
    pub env: &'c Env,
    /// The request.
    pub request: &'c Request,
}

impl ReadContext<'_> {
    /// Notes the token that the state of reference data had in the instant of a read: where it is the one that the
    /// actor is remembered under, nothing needs to be asked for the actor.
    pub fn witness(&mut self, token: String) {
        self.witnessed.get_or_insert(token);
    }

    /// Judges an access outside the lifecycle.
    pub fn authorise(&self, access: Access) -> Result<Permit> {
        Ok(policy::authorise(&self.actor, access)?)
    }
}

/// A use case that writes, inside its transaction.
pub struct WriteContext<'c> {
    read: ReadContext<'c>,
    /// What is written at the end of the transaction.
    pub journal: Journal,
}

impl<'c> Deref for WriteContext<'c> {
    type Target = ReadContext<'c>;

    fn deref(&self) -> &ReadContext<'c> {
        &self.read
    }
}

impl<'c> DerefMut for WriteContext<'c> {
    fn deref_mut(&mut self) -> &mut ReadContext<'c> {
        &mut self.read
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
    /// Writes what the journal collected: the last thing that a use case does.
    fn finish(&mut self) -> Result<()> {
        Ok(self.journal.write(self.read.connection)?)
    }

    /// The connection and the journal, for a write that needs both.
    pub fn ends(&mut self) -> (&mut AnyConnection, &mut Journal) {
        (self.read.connection, &mut self.journal)
    }

    /// Appends the audit row and the event row of a change. The stamp lets the change be stored.
    pub fn record(&mut self, _permit: Permit, head: &ChainHead, change: Recorded<'_>) -> Result<Stamp> {
        if change.record_type != "release" {
            // What this use case reads from here on may not be there for anybody else, ever.
            self.reference_token = None;
        }
        let entry = entry(self.env, &self.actor, self.now, &self.request.id, change)?;
        Ok(self.journal.append(head, entry))
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
        via: actor.via.to_string(),
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
        // With the actor as last known; what comes out is kept only where the state turns out to be the same.
        if let Some((known, actor)) = self.reference.last_known(&request.credentials, now) {
            let (caller, reference_token) = ((actor.user_id, actor.via), Some(Arc::clone(&known)));
            let mut context =
                ReadContext { connection, actor, reference_token, witnessed: None, now, env: self, request };
            let result = work(&mut context);
            let witnessed = context.witnessed.take();
            if result.as_ref().is_err_and(|error| error.database().is_some()) {
                return result;
            }
            let token = witnessed.map_or_else(|| reference_token_now(connection), Ok)?;
            if *token == *known {
                let _ = request.caller.set(caller);
                return result;
            }
        }
        let token: Arc<str> = reference_token_now(connection)?.into();
        let actor = identity::authenticate(connection, self, &request.credentials, &token, now)?;
        let _ = request.caller.set((actor.user_id, actor.via));
        let reference_token = Some(token);
        work(&mut ReadContext { connection, actor, reference_token, witnessed: None, now, env: self, request })
    }

    /// Runs a use case that writes, in one transaction with its idempotency key. `work` may run again.
    pub async fn write<F>(self: &Arc<Self>, request: Request, work: F) -> Result<Reply>
    where
        F: Fn(&mut WriteContext<'_>) -> Result<Reply> + Send + 'static,
    {
        let env = Arc::clone(self);
        let again = request.idempotency_key.is_some().then(|| request.clone());
        let result = self.database.write(move |connection| env.write_on(connection, &request, &work)).await;
        match (result, again) {
            (Err(Error::DryRun(reply)), _) => Ok(*reply),
            // The same request may have been under way, and changed what this one was refused for.
            (Err(refusal), Some(request)) if refusal.database().is_none_or(DatabaseError::is_constraint) => {
                let kept = self.read(request, kept_reply).await;
                kept.ok().flatten().ok_or(refusal)
            }
            (result, _) => result,
        }
    }

    /// Runs a use case that writes on the calling thread, for the command line.
    pub fn write_blocking<T, F>(self: &Arc<Self>, request: Request, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut WriteContext<'_>) -> Result<T> + Send + 'static,
    {
        let env = Arc::clone(self);
        self.database.write_blocking(move |connection| {
            let token = reference_token_now(connection)?;
            let mut context = env.write_context(connection, &request, token)?;
            let result = work(&mut context)?;
            context.finish()?;
            Ok(result)
        })
    }

    fn write_context<'c>(
        &'c self,
        connection: &'c mut AnyConnection,
        request: &'c Request,
        token: String,
    ) -> Result<WriteContext<'c>> {
        let (now, token) = (self.now(), Arc::from(token));
        let actor = identity::authenticate(connection, self, &request.credentials, &token, now)?;
        let _ = request.caller.set((actor.user_id, actor.via));
        let reference_token = Some(token);
        let read = ReadContext { connection, actor, reference_token, witnessed: None, now, env: self, request };
        Ok(WriteContext { read, journal: Journal::default() })
    }

    fn write_on(
        &self,
        connection: &mut AnyConnection,
        request: &Request,
        work: &impl Fn(&mut WriteContext<'_>) -> Result<Reply>,
    ) -> Result<Reply> {
        let key = request.idempotency_key.as_deref().filter(|_| !request.dry_run);
        // Whose key it is, as far as the credential alone tells.
        let caller = request.credentials.user().map(|user| user.to_string());
        let (token, early) = match (key, &caller) {
            (Some(key), Some(caller)) => idempotency::find_with_reference_token(connection, caller, key)?,
            _ => (reference_token_now(connection)?, None),
        };
        let mut context = self.write_context(connection, request, token)?;
        if request.dry_run {
            let mut reply = work(&mut context)?;
            reply.dry_run = true;
            if mutant("dry_run_stored") {
                context.finish()?;
                return Ok(reply);
            }
            return Err(Error::DryRun(Box::new(reply)));
        }
        let Some(key) = key else {
            let reply = work(&mut context)?;
            context.finish()?;
            return Ok(reply);
        };
        let user = context.actor.user_id.to_string();
        let kept = match caller {
            Some(caller) if caller == user => early,
            _ => idempotency::find(context.connection, &user, key)?,
        };
        if let Some(kept) = kept {
            if is_kept_at(&kept, context.now) {
                return replay(&mut context, kept);
            }
            idempotency::forget(context.connection, &user, key)?;
        }
        let reply = work(&mut context)?;
        let answer = KeptAnswer {
            caller: user,
            key: key.to_owned(),
            fingerprint: request.fingerprint.clone(),
            status: i64::from(reply.status),
            location: reply.location.clone(),
            row_version: reply.row_version,
            release_id: reply.release_id,
            body: reply.body.clone(),
            created_at: context.now,
        };
        if mutant("key_stored_after_commit") {
            self.keep_later(answer);
        } else {
            context.journal.keep(answer);
        }
        context.finish()?;
        Ok(reply)
    }

    /// The mutant `key_stored_after_commit`: keeps the answer in a transaction of its own.
    fn keep_later(&self, answer: KeptAnswer) {
        let database = self.database.clone();
        std::thread::spawn(move || {
            database.write_blocking::<_, DatabaseError>(move |connection| {
                let mut journal = Journal::default();
                journal.keep(answer.clone());
                journal.write(connection)
            })
        });
    }
}

fn is_kept_at(kept: &KeptAnswer, now: Timestamp) -> bool {
    kept.created_at > now.plus(-TimeDelta::hours(IDEMPOTENCY_KEPT_HOURS))
}

/// The answer kept under the key of the request, where there is one.
fn kept_answer(context: &mut ReadContext<'_>) -> Result<Option<KeptAnswer>> {
    let Some(key) = &context.request.idempotency_key else { return Ok(None) };
    let kept = idempotency::find(context.connection, &context.actor.user_id.to_string(), key)?;
    Ok(kept.filter(|kept| is_kept_at(kept, context.now)))
}

fn kept_reply(context: &mut ReadContext<'_>) -> Result<Option<Reply>> {
    kept_answer(context)?.map(|kept| replay(context, kept)).transpose()
}

/// Whether something was answered under the key of the request; not whether it was the same request.
fn is_key_kept(context: &mut ReadContext<'_>) -> Result<bool> {
    Ok(kept_answer(context)?.is_some())
}

fn replay(context: &mut ReadContext<'_>, kept: KeptAnswer) -> Result<Reply> {
    if kept.fingerprint != context.request.fingerprint && !mutant("fingerprint_unchecked") {
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

/// The failure of the database, where an error is one.
pub(crate) fn repository_error(error: &Error) -> Option<&DatabaseError> {
    crate::repository::Failure::database(error)
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
    let (fields, what) = (columns.join(" and "), what.replace('_', " "));
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
