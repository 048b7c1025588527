//! What documents, definitive media and the store say of each other: what was left over is collected, what is missing is told.
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
use crate::domain::values::Timestamp;
use crate::repository::integrity::ROWS_NAMED_MAX;
use crate::repository::{
    AnyConnection, Database, Error as DatabaseError, definitive_media, documents, identity, imports,
};
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
    /// Uploads of imports that are over.
    pub imported: usize,
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
    let mut deleting = Deleting { env, store, lease, extended: Instant::now(), kept: HashSet::new() };
    let deleted = deleting.over(until, documents::to_collect, documents::content_removed, &goes_on)?;
    // Of an import that is over nothing is read any more.
    let now = env.now();
    let imported = match deleted {
        Some(_) => deleting.over(now, imports::to_collect, imports::content_removed, &goes_on)?,
        None => None,
    };
    let (Some(deleted), Some(imported)) = (deleted, imported) else {
        return Ok(None);
    };
    (collected.deleted, collected.imported) = (deleted, imported);
    for portion in store.list_blocking()? {
        let old = portion?.into_iter().filter(|object| is_old(object, until));
        let keys: Vec<String> = old.map(|object| object.key).collect();
        // In a transaction of the lease: who was replaced deletes nothing more.
        let asked = keys.clone();
        let wanted = lease.write(move |context| Ok(wanted_keys(context.connection, &asked)?))?;
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
    env: &'a Env,
    store: &'a Store,
    lease: &'a Lease,
    extended: Instant,
    /// What the store did not delete; the next collection tries again.
    kept: HashSet<String>,
}

/// Which of the keys belong to something whose content should be in the store.
fn wanted_keys(connection: &mut AnyConnection, keys: &[String]) -> std::result::Result<Vec<String>, DatabaseError> {
    let mut wanted = documents::wanted_keys(connection, keys)?;
    wanted.extend(definitive_media::wanted_keys(connection, keys)?);
    wanted.extend(imports::wanted_keys(connection, keys)?);
    Ok(wanted)
}

/// Finds what is over, at most so many.
type ToCollect<I> = fn(&mut AnyConnection, Timestamp, i64) -> std::result::Result<Vec<(I, String)>, DatabaseError>;
/// Notes that the content is gone.
type Removed<I> = fn(&mut AnyConnection, &[I], Timestamp) -> std::result::Result<usize, DatabaseError>;

impl Deleting<'_> {
    /// Deletes the content of what was over at an instant, and notes it; `None` where the lease was lost or the process
    /// stops.
    fn over<I: Copy + Send + 'static>(
        &mut self,
        until: Timestamp,
        to_collect: ToCollect<I>,
        removed: Removed<I>,
        goes_on: &impl Fn() -> bool,
    ) -> Result<Option<usize>> {
        let mut count = 0;
        loop {
            let rows_max = ROWS_PER_SWEEP_MAX + i64::try_from(self.kept.len()).unwrap_or_default();
            let mut found = self
                .env
                .database
                .read_blocking::<_, Error>(move |connection| Ok(to_collect(connection, until, rows_max)?))?;
            found.retain(|(_, key)| !self.kept.contains(key));
            if found.is_empty() {
                return Ok(Some(count));
            }
            for (_, key) in &found {
                if !self.delete(key)? {
                    return Ok(None);
                }
            }
            let gone = found.iter().filter(|(_, key)| !self.kept.contains(key));
            let ids: Vec<I> = gone.map(|(id, _)| *id).collect();
            let noted = self.lease.write(move |context| {
                let now = context.now;
                Ok(removed(context.connection, &ids, now)?)
            })?;
            match noted {
                Some(rows) if goes_on() => count += rows,
                _ => return Ok(None),
            }
        }
    }

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

/// Compares every document and every medium with the store: its size and its SHA-256, for which all content is read. Memory grows with the number of objects, some hundred bytes for each.
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
    let mut seen = Seen { store, objects, faults: Vec::new(), count: 0 };
    let mut after = None;
    loop {
        let rows = database
            .read_blocking::<_, Error>(move |connection| Ok(documents::wanted(connection, after, ROWS_PER_PORTION)?))?;
        let Some((last, ..)) = rows.last() else {
            break;
        };
        after = Some(*last);
        for (id, release, key, size_bytes, sha256) in rows {
            seen.compare(|| format!("the content of document {id} of release {release}"), (&key, size_bytes, &sha256));
        }
    }
    let count = seen.count;
    let mut after = None;
    loop {
        let rows = database.read_blocking::<_, Error>(move |connection| {
            Ok(definitive_media::wanted(connection, after, ROWS_PER_PORTION)?)
        })?;
        let Some((last, ..)) = rows.last() else {
            break;
        };
        after = Some(*last);
        for (id, key, size_bytes, sha256) in rows {
            let (key, sha256) = (key.unwrap_or_default(), sha256.unwrap_or_default());
            let what = || format!("the content of medium {id}");
            seen.compare(what, (&key, size_bytes.unwrap_or_default(), &sha256));
        }
    }
    let media = seen.count - count;
    let mut after = None;
    loop {
        let rows = database
            .read_blocking::<_, Error>(move |connection| Ok(imports::wanted(connection, after, ROWS_PER_PORTION)?))?;
        let Some((last, ..)) = rows.last() else {
            break;
        };
        after = Some(*last);
        for (id, key, size_bytes, sha256) in rows {
            seen.compare(|| format!("the upload of import {id}"), (&key, size_bytes, &sha256));
        }
    }
    let (uploads, objects, faults) = (seen.count - count - media, seen.objects, seen.faults);
    let keys: Vec<String> = objects.into_keys().collect();
    let mut left_over = 0;
    for portion in keys.chunks(crate::store::OBJECTS_PER_PORTION) {
        let asked = portion.to_vec();
        let wanted = database.read_blocking::<_, Error>(move |connection| Ok(wanted_keys(connection, &asked)?))?;
        left_over += portion.len() - wanted.len();
    }
    let mut seen = format!("{count} documents have their content in {place}");
    if media > 0 {
        seen = format!("{count} documents and {media} definitive media have their content in {place}");
    }
    if uploads > 0 {
        seen.push_str(&format!(", and {uploads} imports that are not over"));
    }
    if left_over > 0 {
        seen.push_str(&format!(
            "; {left_over} objects belong to none, and are collected {LEFT_OVER_KEPT_DAYS} days after they came"
        ));
    }
    Ok(Finding::of("documents", &faults, seen))
}

/// What of the store was compared.
struct Seen<'a> {
    store: &'a Store,
    /// What is in it and was not asked for.
    objects: HashMap<String, u64>,
    faults: Vec<String>,
    count: usize,
}

impl Seen<'_> {
    fn compare(&mut self, what: impl Fn() -> String, (key, size_bytes, sha256): (&str, i64, &str)) {
        self.count += 1;
        let listed = self.objects.remove(key);
        if self.faults.len() >= ROWS_NAMED_MAX {
            return;
        }
        // What was uploaded while the store was looked through is asked for by itself.
        let fault = match listed.map_or_else(|| self.store.size_blocking(key), Ok) {
            Ok(size) if i64::try_from(size) == Ok(size_bytes) => match self.store.sha256_blocking(key) {
                Ok(found) if found == sha256 => return,
                Ok(found) => format!("has the SHA-256 {found} there and not {sha256}"),
                Err(error) => format!("cannot be read: {error}"),
            },
            Ok(size) => format!("has {size} bytes there and not {size_bytes}"),
            Err(StoreError::Missing) => "is not there".to_owned(),
            Err(error) => format!("cannot be asked for: {error}"),
        };
        self.faults.push(format!("{}, {key}, {fault}", what()));
    }
}
