//! What a process remembers of accounts, groups and the catalogue, so that a request does not ask for it again.
//!
//! The database keeps one token for the state of all of it, and changes the token in the transaction that changes
//! anything (`reference_state`). A use case reads the token first, and what is remembered under another token is
//! not used: every process sees a change with the first request behind its commit. A token never comes back, so
//! what was read inside a transaction that is rolled back is never found again.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::identity::Credentials;
use super::{Error, ReadContext, Result};
use crate::domain::custom_fields::FieldsSchema;
use crate::domain::policy::Actor;
use crate::domain::values::{CalendarId, Fault, SessionId, Timestamp, UserId};
use crate::domain::workflow::Workflow;
use crate::domain::worktime::Worktime;
use crate::repository::nouns::{self, Model, Noun, Record};
use crate::repository::workflows;

/// So many actors are remembered; then all are forgotten.
const ACTORS_MAX: usize = 10_000;
/// So many records are remembered; then all are forgotten.
const RECORDS_MAX: usize = 10_000;

/// A schema for custom fields that is ready, or what is wrong with it.
pub type SchemaOrFaults = std::result::Result<FieldsSchema, Vec<Fault>>;

/// What an actor is remembered by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A session of a user.
    Session(UserId, SessionId),
    /// The hash of a personal access token.
    Personal(String),
}

impl Credential {
    /// The credential, where an actor can be remembered by it.
    pub fn of(credentials: &Credentials) -> Option<Self> {
        match credentials {
            Credentials::Session { user, session } => Some(Self::Session(*user, *session)),
            Credentials::Personal { hash } => Some(Self::Personal(hash.clone())),
            Credentials::Missing | Credentials::Invalid | Credentials::Console(_) => None,
        }
    }
}

/// An actor, and when their credential ends.
#[derive(Debug, Clone)]
pub struct Known {
    /// The actor.
    pub actor: Arc<Actor>,
    /// When the credential ends.
    pub ends_at: Option<Timestamp>,
}

type Found = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
struct Remembered {
    token: Arc<str>,
    actors: HashMap<Credential, Known>,
    records: HashMap<(&'static str, String), Found>,
}

/// What the process remembers.
#[derive(Default)]
pub struct Reference(RwLock<Remembered>);

impl Reference {
    /// The actor behind a credential as of a state, where the credential has not ended.
    pub fn actor(&self, token: &str, credential: &Credential, now: Timestamp) -> Option<Arc<Actor>> {
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if *remembered.token != *token {
            return None;
        }
        let known = remembered.actors.get(credential)?;
        known.ends_at.is_none_or(|end| end > now).then(|| Arc::clone(&known.actor))
    }

    /// The actor behind a credential as last known, and the state that this is as of.
    pub fn last_known(&self, credentials: &Credentials, now: Timestamp) -> Option<(Arc<str>, Arc<Actor>)> {
        let credential = Credential::of(credentials)?;
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.actors.get(&credential)?;
        let lives = known.ends_at.is_none_or(|end| end > now);
        lives.then(|| (Arc::clone(&remembered.token), Arc::clone(&known.actor)))
    }

    /// Remembers an actor, as of a state that was read before the actor was.
    pub fn remember_actor(&self, token: &str, credential: Credential, known: Known) {
        let mut remembered = self.at(token);
        if remembered.actors.len() >= ACTORS_MAX {
            remembered.actors.clear();
        }
        remembered.actors.insert(credential, known);
    }

    fn record(&self, token: &str, key: &(&'static str, String)) -> Option<Found> {
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if *remembered.token == *token { remembered.records.get(key).cloned() } else { None }
    }

    fn remember_record(&self, token: &str, key: (&'static str, String), found: Found) {
        let mut remembered = self.at(token);
        if remembered.records.len() >= RECORDS_MAX {
            remembered.records.clear();
        }
        remembered.records.insert(key, found);
    }

    fn at(&self, token: &str) -> std::sync::RwLockWriteGuard<'_, Remembered> {
        let mut remembered = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if *remembered.token != *token {
            *remembered = Remembered { token: Arc::from(token), ..Remembered::default() };
        }
        remembered
    }
}

impl ReadContext<'_> {
    /// Finds something of the catalogue or the directory, remembered or read. A use case that changes any of it
    /// reads for itself.
    fn remembered<T: Send + Sync + 'static>(
        &mut self,
        kind: &'static str,
        id: String,
        read: impl FnOnce(&mut Self) -> Result<Option<T>>,
    ) -> Result<Option<Arc<T>>> {
        let Some(token) = self.reference_token.clone() else {
            return Ok(read(self)?.map(Arc::new));
        };
        let key = (kind, id);
        if let Some(found) = self.env.reference.record(&token, &key) {
            return Ok(found.downcast().ok());
        }
        let found = read(self)?.map(Arc::new);
        if let Some(found) = &found {
            self.env.reference.remember_record(&token, key, Arc::clone(found) as Found);
        }
        Ok(found)
    }

    /// A record of reference data.
    pub fn reference<N: Noun>(&mut self, id: N::Id) -> Result<Option<Arc<Record<N>>>> {
        self.remembered(N::RECORD, id.to_string(), |context| Ok(N::find(context.connection, id)?))
    }

    /// The model that serves releases that name none.
    pub fn default_model(&mut self) -> Result<Option<Arc<Record<Model>>>> {
        self.remembered("default model", String::new(), |context| Ok(nouns::default_model(context.connection)?))
    }

    /// The newest version of the workflow with the key, unless it is retired.
    pub fn newest_workflow(&mut self, key: &str) -> Result<Option<Arc<Workflow>>> {
        self.remembered("newest workflow", key.to_owned(), |context| {
            Ok(workflows::newest_in_use(context.connection, key)?)
        })
    }

    /// What the custom fields of the model's releases must be, ready to be asked; none where they may be anything. What
    /// is wrong with the schema, where it is not taken any more.
    pub fn custom_fields_schema(&mut self, model: &Record<Model>) -> Result<Option<Arc<SchemaOrFaults>>> {
        let Some(schema) = &model.content.custom_fields_schema else { return Ok(None) };
        let version = format!("{} {}", model.id, model.row_version);
        self.remembered("custom fields", version, |_| {
            // It was sound when it was stored; a later version of the product may be stricter.
            Ok(Some(FieldsSchema::new(&schema.0)))
        })
    }

    /// The working time of a calendar; none without a calendar.
    pub fn worktime(&mut self, id: Option<CalendarId>) -> Result<Option<Arc<Worktime>>> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.worktimes(&[id])?.remove(&id))
    }

    /// The working time of some calendars, remembered ready to count with; those not known yet are read at once.
    pub fn worktimes(&mut self, ids: &[CalendarId]) -> Result<HashMap<CalendarId, Arc<Worktime>>> {
        const KIND: &str = "worktime";
        let token = self.reference_token.clone();
        let mut all = HashMap::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            let known = token.as_ref().and_then(|token| self.env.reference.record(token, &(KIND, id.to_string())));
            match known.and_then(|found| found.downcast::<Worktime>().ok()) {
                Some(known) => drop(all.insert(*id, known)),
                None => missing.push(*id),
            }
        }
        if missing.is_empty() {
            return Ok(all);
        }
        for (id, calendar) in nouns::calendars(self.connection, &missing)? {
            // It was sound when it was stored.
            let worktime =
                calendar.worktime().map_err(|faults| Error::Internal(format!("calendar {id}: {faults:?}")))?;
            let worktime = Arc::new(worktime);
            if let Some(token) = &token {
                self.env.reference.remember_record(token, (KIND, id.to_string()), Arc::clone(&worktime) as Found);
            }
            all.insert(id, worktime);
        }
        Ok(all)
    }
}
