//! Backup and restore of an SQLite file.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::draft::{BESIDE, Draft, same_place, sync_folder, with_ending};
use super::{Failure, Made, Place, Restored, Result, at, demand_known, demand_sound, fit_of, prove_migrated, refused};
use crate::repository::{self, Limits, backup as database, migrations};
use crate::service::doctor::{self, Schema};

/// True where the file is the database, or belongs to it.
pub fn belongs_to(file: &Path, target: &Path) -> bool {
    same_place(file, target)
        || BESIDE.iter().chain(&[".lock"]).any(|ending| same_place(file, &with_ending(target, ending)))
}

pub fn backup(target: &Path, limits: Limits, file: &Path, force: bool) -> Result<Made> {
    if !target.is_file() {
        return Err(repository::Error::Unavailable(format!("there is no database at {}", target.display())).into());
    }
    if belongs_to(file, target) {
        return refused(format!("{} belongs to the database itself", file.display()));
    }
    let draft = Draft::beside(file)?;
    database::copy_sqlite(target, draft.path(), limits)?;
    let mut copy = database::open_copy(draft.path())?;
    if migrations::applied_versions(&mut copy)?.is_none_or(|applied| applied.is_empty()) {
        return refused(format!("{} holds no database of slipway", target.display()));
    }
    let proved = Schema::of(&mut copy)?.is_ours();
    let findings = demand_sound(doctor::examine(&mut copy)?)?;
    drop(copy);
    let bytes = draft.publish(file, force)?;
    Ok(Made { bytes, findings, proved })
}

fn has_data(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

pub fn restore(place: &Place, target: &Path, file: &Path, force: bool) -> Result<Restored> {
    if belongs_to(file, target) {
        return refused(format!("{} belongs to the database itself", file.display()));
    }
    let _lock = migrations::lock_file(&place.target)?;
    let leftover = BESIDE.iter().map(|ending| with_ending(target, ending)).find(|path| has_data(path));
    if !force && has_data(target) {
        return refused(format!("{} is there already; --force replaces it", target.display()));
    }
    if let Some(leftover) = leftover.filter(|_| !force) {
        return refused(format!("{} is left of a database; --force gives it up", leftover.display()));
    }
    let draft = Draft::beside(target)?;
    let mut from = File::open(file).map_err(at(file))?;
    let mut into = OpenOptions::new().write(true).open(draft.path()).map_err(at(draft.path()))?;
    std::io::copy(&mut from, &mut into).map_err(at(draft.path()))?;
    drop(into);
    let mut copy = database::open_copy(draft.path()).map_err(|error| damaged(file, &error))?;
    let applied = migrations::applied_versions(&mut copy).map_err(|error| damaged(file, &error))?;
    demand_known(applied.as_deref(), file)?;
    let (findings, migrated) = prove_migrated(&mut copy)?;
    let key_file = fit_of(&mut copy, &place.key_file)?;
    drop(copy);
    make_way(target, draft.path())?;
    draft.publish(target, true)?;
    Ok(Restored { findings, migrated, key_file })
}

fn damaged(file: &Path, error: &repository::Error) -> Failure {
    Failure::Refused(format!("{} is damaged: {error}", file.display()))
}

/// Sees to it that nothing of the old database is taken for part of the new one: SQLite would replay the old log
/// into the new file. The old database stays whole until the new one takes its name.
fn make_way(target: &Path, draft: &Path) -> Result<()> {
    if has_data(target) {
        keep_owner(target, draft)?;
        match database::fold_log(target) {
            Ok(()) => {}
            Err(error @ repository::Error::Busy(_)) => return Err(error.into()),
            // A database that cannot be opened is replaced, which is what its backup is for.
            Err(error) => log::warn!("{} is replaced as it is: {error}", target.display()),
        }
    }
    let mut gone = false;
    for ending in BESIDE {
        let path = with_ending(target, ending);
        if path.exists() {
            std::fs::remove_file(&path).map_err(at(&path))?;
            gone = true;
        }
    }
    if gone { sync_folder(target) } else { Ok(()) }
}

/// Gives the new file the owner and the rights of the one that it replaces.
fn keep_owner(target: &Path, draft: &Path) -> Result<()> {
    let old = std::fs::metadata(target).map_err(at(target))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let new = std::fs::metadata(draft).map_err(at(draft))?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::chown(draft, Some(old.uid()), Some(old.gid())).map_err(at(draft))?;
        }
    }
    std::fs::set_permissions(draft, old.permissions()).map_err(at(draft))
}
