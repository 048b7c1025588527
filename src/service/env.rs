//! What the process shares: the database, the clock, identifiers, keys and the cache of workflows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

use super::keys::Keys;
use super::reference::Reference;
use super::{Error, Result};
use crate::domain::values::{Timestamp, WorkflowId};
use crate::domain::workflow::Workflow;
use crate::repository::{AnyConnection, Database, workflows};
use crate::store::Store;

/// Where the present comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine.
    #[default]
    System,
    /// A value that somebody sets, in microseconds since 1970: seeds and tests.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at an instant until it is moved.
    pub fn standing_at(at: Timestamp) -> Self {
        Self::Set(Arc::new(AtomicI64::new(at.naive().and_utc().timestamp_micros())))
    }

    /// Moves a set clock.
    pub fn set(&self, at: Timestamp) {
        if let Self::Set(micros) = self {
            micros.store(at.naive().and_utc().timestamp_micros(), Ordering::SeqCst);
        }
    }

    fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::new(Utc::now()),
            Self::Set(micros) => {
                Timestamp::new(DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default())
            }
        }
    }
}

/// Where identifiers and salts come from.
enum Randomness {
    System,
    Seeded(Box<Mutex<Sequence>>),
}

/// Randomness that follows from a number. Identifiers of one millisecond keep the order that they were made in.
struct Sequence {
    rng: StdRng,
    millis: u64,
    made_in_millis: u16,
}

impl Sequence {
    fn new(rng_seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(rng_seed), millis: 0, made_in_millis: 0 }
    }

    fn next_id(&mut self, millis: u64) -> Uuid {
        if self.millis != millis {
            self.millis = millis;
            self.made_in_millis = 0;
        }
        let mut bytes = [0_u8; 10];
        self.rng.fill_bytes(&mut bytes);
        // The first twelve bits behind the instant are a counter (RFC 9562, section 6.2).
        bytes[..2].copy_from_slice(&self.made_in_millis.to_be_bytes());
        self.made_in_millis = self.made_in_millis.wrapping_add(1);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// What the process shares.
pub struct Env {
    /// The database.
    pub database: Database,
    /// The keys that tokens are signed with.
    pub keys: Arc<Keys>,
    /// What is remembered of accounts, groups and the catalogue.
    pub reference: Reference,
    store: Option<Store>,
    clock: Clock,
    randomness: Randomness,
    workflows: RwLock<HashMap<WorkflowId, Arc<Workflow>>>,
    tokens_used: RwLock<HashMap<String, Timestamp>>,
}

/// The use of so many personal tokens is remembered; then all are forgotten.
const TOKENS_REMEMBERED_MAX: usize = 10_000;

impl Env {
    /// On the machine's clock, with the machine's randomness.
    pub fn new(database: Database, keys: impl Into<Arc<Keys>>, clock: Clock) -> Self {
        Self {
            database,
            keys: keys.into(),
            reference: Reference::default(),
            store: None,
            clock,
            randomness: Randomness::System,
            workflows: RwLock::default(),
            tokens_used: RwLock::default(),
        }
    }

    /// The same with identifiers that follow from a number, on a clock that somebody sets.
    pub fn seeded(database: Database, keys: impl Into<Arc<Keys>>, clock: Clock, rng_seed: u64) -> Self {
        Self {
            randomness: Randomness::Seeded(Box::new(Mutex::new(Sequence::new(rng_seed)))),
            ..Self::new(database, keys, clock)
        }
    }

    /// The same with a place for the content of documents.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        Self { store: Some(store), ..self }
    }

    /// The place for the content of documents.
    pub fn store(&self) -> Result<&Store> {
        self.store.as_ref().ok_or_else(|| Error::Internal("no store of documents is set up".into()))
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A new UUIDv7.
    pub fn new_id(&self, now: Timestamp) -> Uuid {
        match &self.randomness {
            Randomness::System => Uuid::now_v7(),
            Randomness::Seeded(sequence) => {
                sequence.lock().unwrap_or_else(PoisonError::into_inner).next_id(now.unix_millis())
            }
        }
    }

    /// Random text that a digest is salted with.
    pub fn new_salt(&self) -> String {
        let random = match &self.randomness {
            Randomness::System => rand::random::<u128>(),
            Randomness::Seeded(sequence) => {
                let mut sequence = sequence.lock().unwrap_or_else(PoisonError::into_inner);
                (u128::from(sequence.rng.next_u64()) << 64) | u128::from(sequence.rng.next_u64())
            }
        };
        format!("{random:032x}")
    }

    /// True where a personal token, named by its hash, was found good by this process.
    pub fn knows_token(&self, hash: &str) -> bool {
        self.tokens_used.read().unwrap_or_else(PoisonError::into_inner).contains_key(hash)
    }

    /// Remembers the use of a good personal token; true where its last use is to be noted again.
    pub fn remember_token(&self, hash: &str, now: Timestamp, every_seconds: i64) -> bool {
        let mut used = self.tokens_used.write().unwrap_or_else(PoisonError::into_inner);
        let due = used.get(hash).is_none_or(|at| now.since(*at).num_seconds() >= every_seconds);
        if due {
            if used.len() >= TOKENS_REMEMBERED_MAX {
                used.clear();
            }
            used.insert(hash.to_owned(), now);
        }
        due
    }

    /// A version of a workflow. Stored versions never change, so each is read once.
    pub fn workflow(&self, connection: &mut AnyConnection, id: WorkflowId) -> Result<Arc<Workflow>> {
        if let Some(workflow) = self.workflows.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Arc::clone(workflow));
        }
        let workflow = workflows::find(connection, id)?
            .map(Arc::new)
            .ok_or_else(|| Error::Internal(format!("workflow {id} is not stored")))?;
        self.workflows.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&workflow));
        Ok(workflow)
    }
}
