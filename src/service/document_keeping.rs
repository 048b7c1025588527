//! What documents and the store say of each other: what was left over is collected, what is missing is told.
//!
//! An object without a document is what a process left that was killed between the store and the database, or what
//! belongs to an upload that goes on at this moment: it is collected once it is old. A document without its object is
//! a fault, and nothing can be done about it here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::TimeDelta;

use super::doctor::Finding;
use super::leases::Lease;
use super::{Env, Error, Result};
use crate::domain::values::{DocumentId, Timestamp};
use crate::repository::integrity::ROWS_NAMED_MAX;
use crate::repository::{Database, Error as DatabaseError, documents, identity};
use crate::store::{Error as StoreError, Object, Store};

/// The store is looked through so often.
pub const EVERY_HOURS: i64 = 6;
/// What no document has, and what belonged to a deleted one, is kept for so long.
pub const LEFT_OVER_KEPT_DAYS: i64 = 7;
/// A transaction notes the removal of at most so many contents.
pub const ROWS_PER_SWEEP_MAX: i64 = 200;
/// Documents are read in portions of this many.
const ROWS_PER_PORTION: i64 = 1000;
/// A collection ends where so many objects could not be deleted.
const KEPT_MAX: usize = 10;
/// The lease is extended so often while objects are deleted.
const EXTENDED_EVERY: Duration = Duration::from_secs(15);
/// The setting that tells one installation from another.
const INSTALLATION: &str = "installation";

/// Makes sure that the store is this installation's, and nobody else's.
pub fn claim(env: &Arc<Env>) -> Result<()> {
    let known =
        env.database.read_blocking::<_, Error>(|connection| Ok(identity::setting(connection, INSTALLATION)?))?;
    let installation = match known {
        Some(installation) => installation,
        None => {
            let fresh = uuid::Uuid::now_v7().to_string();
            env.database.write_blocking::<_, DatabaseError>(move |connection| {
                match identity::setting(connection, INSTALLATION)? {
                    Some(installation) => Ok(installation),
                    None => identity::insert_setting(connection, INSTALLATION, &fresh).map(|()| fresh.clone()),
                }
            })?
        }
    };
    Ok(env.store()?.claim_blocking(&installation)?)
}

/// What was collected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Contents of documents that were deleted.
    pub deleted: usize,
    /// Objects without a document.
    pub left_over: usize,
    /// Beginnings of objects that were never completed.
    pub unfinished: usize,
}

/// Collects what is over, under a lease; `None` where the lease was lost or the process stops.
pub fn collect(env: &Arc<Env>, lease: &Lease, goes_on: impl Fn() -> bool) -> Result<Option<Collected>> {
    claim(env)?;
    let store = env.store()?;
    let until = env.now().plus(-TimeDelta::days(LEFT_OVER_KEPT_DAYS));
    let mut collected = Collected::default();
    let mut deleting = Deleting { store, lease, extended: Instant::now(), kept: HashSet::new() };
    loop {
        let rows_max = ROWS_PER_SWEEP_MAX + i64::try_from(deleting.kept.len()).unwrap_or_default();
        let mut found = env
            .database
            .read_blocking::<_, Error>(move |connection| Ok(documents::to_collect(connection, until, rows_max)?))?;
        found.retain(|(_, key)| !deleting.kept.contains(key));
        if found.is_empty() {
            break;
        }
        for (_, key) in &found {
            if !deleting.delete(key)? {
                return Ok(None);
            }
        }
        let gone = found.iter().filter(|(_, key)| !deleting.kept.contains(key));
        let ids: Vec<DocumentId> = gone.map(|(id, _)| *id).collect();
        let noted = lease.write(move |context| {
            let now = context.now;
            Ok(documents::content_removed(context.connection, &ids, now)?)
        })?;
        match noted {
            Some(rows) if goes_on() => collected.deleted += rows,
            _ => return Ok(None),
        }
    }
    for portion in store.list_blocking()? {
        let old = portion?.into_iter().filter(|object| is_old(object, until));
        let keys: Vec<String> = old.map(|object| object.key).collect();
        // In a transaction of the lease: who was replaced deletes nothing more.
        let asked = keys.clone();
        let wanted = lease.write(move |context| Ok(documents::wanted_keys(context.connection, &asked)?))?;
        let Some(wanted) = wanted.filter(|_| goes_on()) else {
            return Ok(None);
        };
        for key in keys.iter().filter(|key| !wanted.contains(key)) {
            if !deleting.delete(key)? {
                return Ok(None);
            }
            collected.left_over += usize::from(!deleting.kept.contains(key));
        }
    }
    for file in unfinished(store, env.now())? {
        std::fs::remove_file(&file).map_err(|error| Error::Internal(format!("{}: {error}", file.display())))?;
        collected.unfinished += 1;
    }
    Ok(Some(collected))
}

/// Deletes object after object, and keeps the lease meanwhile.
struct Deleting<'a> {
    store: &'a Store,
    lease: &'a Lease,
    extended: Instant,
    /// What the store did not delete; the next collection tries again.
    kept: HashSet<String>,
}

impl Deleting<'_> {
    /// False where the lease was lost. One object that cannot be deleted does not keep the others; a store that
    /// deletes none does.
    fn delete(&mut self, key: &str) -> Result<bool> {
        if let Err(error) = self.store.delete_blocking(key) {
            if self.kept.len() >= KEPT_MAX {
                return Err(error.into());
            }
            log::warn!("the object {key} cannot be deleted: {error}");
            self.kept.insert(key.to_owned());
        }
        if self.extended.elapsed() < EXTENDED_EVERY {
            return Ok(true);
        }
        self.extended = Instant::now();
        Ok(self.lease.write(|_| Ok(()))?.is_some())
    }
}

fn is_old(object: &Object, until: Timestamp) -> bool {
    Timestamp::new(object.stored_at) <= until
}

/// Files of the store that nobody has written to for the time that what is left over is kept.
fn unfinished(store: &Store, now: Timestamp) -> Result<Vec<std::path::PathBuf>> {
    let kept = Duration::from_secs(LEFT_OVER_KEPT_DAYS.unsigned_abs() * 24 * 3600);
    let until = SystemTime::UNIX_EPOCH + Duration::from_millis(now.unix_millis()) - kept;
    store.unfinished(until).map_err(|error| Error::Internal(format!("the store: {error}")))
}

/// Compares every document with the store: its size and its SHA-256, for which all content is read. Memory grows with the number of objects, some hundred bytes for each.
pub fn examine(database: &Database, store: &Store) -> Result<Finding> {
    let place = store.place().to_string();
    let mut objects: HashMap<String, u64> = HashMap::new();
    let listed = store.list_blocking().and_then(|portions| {
        for portion in portions {
            objects.extend(portion?.into_iter().map(|object| (object.key, object.size_bytes)));
        }
        Ok(())
    });
    if let Err(error) = listed {
        return Ok(Finding::of("documents", &[format!("{place} cannot be looked through: {error}")], ""));
    }
    let (mut faults, mut count, mut after) = (Vec::new(), 0_usize, None);
    loop {
        let rows = database
            .read_blocking::<_, Error>(move |connection| Ok(documents::wanted(connection, after, ROWS_PER_PORTION)?))?;
        let Some((last, ..)) = rows.last() else {
            break;
        };
        after = Some(*last);
        count += rows.len();
        for (id, release, key, size_bytes, sha256) in rows {
            let listed = objects.remove(&key);
            if faults.len() >= ROWS_NAMED_MAX {
                continue;
            }
            // What was uploaded while the store was looked through is asked for by itself.
            let fault = match listed.map_or_else(|| store.size_blocking(&key), Ok) {
                Ok(size) if i64::try_from(size) == Ok(size_bytes) => match store.sha256_blocking(&key) {
                    Ok(found) if found == sha256 => continue,
                    Ok(found) => format!("has the SHA-256 {found} there and not {sha256}"),
                    Err(error) => format!("cannot be read: {error}"),
                },
                Ok(size) => format!("has {size} bytes there and not {size_bytes}"),
                Err(StoreError::Missing) => "is not there".to_owned(),
                Err(error) => format!("cannot be asked for: {error}"),
            };
            faults.push(format!("the content of document {id} of release {release}, {key}, {fault}"));
        }
    }
    let keys: Vec<String> = objects.into_keys().collect();
    let mut left_over = 0;
    for portion in keys.chunks(crate::store::OBJECTS_PER_PORTION) {
        let asked = portion.to_vec();
        let wanted =
            database.read_blocking::<_, Error>(move |connection| Ok(documents::wanted_keys(connection, &asked)?))?;
        left_over += portion.len() - wanted.len();
    }
    let mut seen = format!("{count} documents have their content in {place}");
    if left_over > 0 {
        seen.push_str(&format!(
            "; {left_over} objects belong to none, and are collected {LEFT_OVER_KEPT_DAYS} days after they came"
        ));
    }
    Ok(Finding::of("documents", &faults, seen))
}
