//! Backup and restore.
//!
//! A backup is one file: an SQLite database, or what `pg_dump` writes. It is written under another name, proved by
//! the [`doctor`], put on the disk and only then given its name. The key file is not in it: a backup
//! alone opens nothing.

mod draft;
mod postgres;
mod sqlite;

use std::path::{Path, PathBuf};

use super::doctor::{Finding, Schema};
use super::keys::Seal;
use super::{Error, doctor};
use crate::repository::{self, AnyConnection, Limits, Target, identity};

/// What a backup or restore works on.
#[derive(Debug, Clone)]
pub struct Place {
    /// The database.
    pub target: Target,
    /// Limits of its connections.
    pub limits: Limits,
    /// The file of the secret that signing keys are sealed under.
    pub key_file: PathBuf,
    /// Where `pg_dump` and `pg_restore` are, where that was said.
    pub programs: Option<PathBuf>,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It cannot be done, or is not done without being told so twice.
    #[error("{0}")]
    Refused(String),
    /// The doctor found faults.
    #[error("not sound")]
    Unsound(Vec<Finding>),
    /// The database failed.
    #[error(transparent)]
    Service(#[from] Error),
}

impl From<repository::Error> for Failure {
    fn from(error: repository::Error) -> Self {
        Self::Service(error.into())
    }
}

/// The result of a backup or restore.
pub type Result<T> = std::result::Result<T, Failure>;

fn refused<T>(reason: impl Into<String>) -> Result<T> {
    Err(Failure::Refused(reason.into()))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::Refused(format!("{path}: {error}"))
}

/// How a key file goes with a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFile {
    /// It opens the signing keys.
    Fits,
    /// It is not there.
    Missing,
    /// It is another one.
    Other,
    /// It cannot be read.
    Unreadable(String),
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its size.
    pub bytes: u64,
    /// What was proved of it.
    pub findings: Vec<Finding>,
    /// False where the database has the schema of another version of slipway: then its rows could not be proved.
    pub proved: bool,
}

/// A backup that was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What was proved of it.
    pub findings: Vec<Finding>,
    /// Names of the migrations that were applied to it.
    pub migrated: Vec<String>,
    /// Whether the key file fits.
    pub key_file: KeyFile,
}

/// Backs the database up into a file, while it is written to.
pub fn backup(place: &Place, file: &Path, force: bool) -> Result<Made> {
    if file.is_dir() {
        return refused(format!("{} is a folder", file.display()));
    }
    if file.exists() && !force {
        return refused(format!("{} is there already; --force replaces it", file.display()));
    }
    // What is no backup - the key file, the checkpoints, the settings - is never replaced by one.
    let is_database = place.target.file().is_some_and(|database| sqlite::belongs_to(file, database));
    let has_content = std::fs::metadata(file).is_ok_and(|there| there.len() > 0);
    if has_content && !is_database && kind_of(file).is_err() {
        return refused(format!("{} is there already, and is no backup", file.display()));
    }
    match &place.target {
        Target::Sqlite(database) => sqlite::backup(database, place.limits, file, force),
        Target::Postgres(url) => postgres::backup(place, url, file, force),
    }
}

/// Restores the database from a file. What was there is replaced only where that is forced, and only once the
/// backup is proved.
pub fn restore(place: &Place, file: &Path, force: bool) -> Result<Restored> {
    match (kind_of(file)?, &place.target) {
        (Kind::Sqlite, Target::Sqlite(database)) => sqlite::restore(place, database, file, force),
        (Kind::Postgres, Target::Postgres(url)) => postgres::restore(place, url, file, force),
        (kind, target) => refused(format!(
            "{} is a backup of {}, and {} is {}; a backup goes back into the kind of database that it is of",
            file.display(),
            kind.name(),
            target.redacted(),
            match target {
                Target::Sqlite(_) => Kind::Sqlite.name(),
                Target::Postgres(_) => Kind::Postgres.name(),
            }
        )),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Tells the kinds of backups apart by how they begin.
fn kind_of(file: &Path) -> Result<Kind> {
    use std::io::Read as _;
    let mut beginning = Vec::new();
    let opened = std::fs::File::open(file).map_err(at(file))?;
    opened.take(16).read_to_end(&mut beginning).map_err(at(file))?;
    if beginning == b"SQLite format 3\0" {
        Ok(Kind::Sqlite)
    } else if beginning.starts_with(b"PGDMP") {
        Ok(Kind::Postgres)
    } else {
        refused(format!(
            "{} is no backup: neither an SQLite database nor a custom-format dump of pg_dump",
            file.display()
        ))
    }
}

/// Refuses the schema of a later version, and what has none.
fn demand_known(applied: Option<&[String]>, file: &Path) -> Result<()> {
    let Some(applied) = applied.filter(|applied| !applied.is_empty()) else {
        return refused(format!("{} holds no database of slipway", file.display()));
    };
    let known = repository::migrations::known_versions()?;
    let unknown: Vec<&str> = applied.iter().filter(|v| !known.contains(v)).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    refused(format!(
        "{} was written by a later version of slipway, with migrations that this one does not know: {}",
        file.display(),
        unknown.join(", ")
    ))
}

/// What was found, where it is nothing but the schema that is not ours.
fn demand_sound(findings: Vec<Finding>) -> Result<Vec<Finding>> {
    if findings.iter().any(|finding| finding.fault.is_some() && finding.check != "migrations") {
        return Err(Failure::Unsound(findings));
    }
    Ok(findings)
}

/// Proves a database, which is migrated up where it is older.
fn prove_migrated(connection: &mut AnyConnection) -> Result<(Vec<Finding>, Vec<String>)> {
    let mut findings = demand_sound(doctor::examine(connection)?)?;
    let mut migrated = Vec::new();
    if !Schema::of(connection)?.is_ours() {
        migrated = repository::migrations::up(connection)?;
        findings = doctor::examine(connection)?;
        if findings.iter().any(|finding| finding.fault.is_some()) {
            return Err(Failure::Unsound(findings));
        }
    }
    Ok((findings, migrated))
}

fn fit_of(connection: &mut AnyConnection, key_file: &Path) -> Result<KeyFile> {
    let rows = identity::signing_keys(connection)?;
    Ok(match Seal::existing(key_file) {
        Err(error) => KeyFile::Unreadable(error.to_string()),
        Ok(None) if rows.is_empty() => KeyFile::Fits,
        Ok(None) => KeyFile::Missing,
        Ok(Some(seal)) if seal.fits(&rows) => KeyFile::Fits,
        Ok(Some(_)) => KeyFile::Other,
    })
}
