//! Migrations: twin pairs, one folder per database, in the binary.

use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::sql_types::{BigInt, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::{AnyConnection, Target, open_private};
use super::error::Error;
use super::listing::Select;
use super::set_aside;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The table that the versions of applied migrations are kept in.
pub const TABLE: &str = "__diesel_schema_migrations";

/// Key of the PostgreSQL advisory lock that a migration holds, and a loading.
pub(super) const ADVISORY_LOCK: i64 = 0x5110_3A7E;

/// What the name of a step begins with that makes an index which a loading has left.
const INDEX: &str = "index ";

/// A migration, and whether it has been applied; or an index that a loading has left to be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Name, which starts with its version.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
}

impl Step {
    /// Whether it makes an index, without which everything is found, if slowly.
    pub fn is_index(&self) -> bool {
        self.name.starts_with(INDEX)
    }
}

fn failure(error: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::Other(format!("migration: {error}"))
}

/// Every migration, oldest first, and the indexes that a loading has left to be made again. Reads only: a database
/// without any is left without any.
pub fn status(connection: &mut AnyConnection) -> Result<Vec<Step>, Error> {
    let mut steps = all(connection)?;
    let left = set_aside::names(connection)?.into_iter();
    steps.extend(left.map(|name| Step { name: format!("{INDEX}{name}"), applied: false }));
    Ok(steps)
}

/// Every migration, oldest first.
fn all(connection: &mut AnyConnection) -> Result<Vec<Step>, Error> {
    fn steps<DB: diesel::backend::Backend>(
        source: &EmbeddedMigrations,
        applied: &[String],
    ) -> Result<Vec<Step>, Error> {
        let mut all: Vec<Box<dyn Migration<DB>>> = source.migrations().map_err(|e| failure(e.as_ref()))?;
        all.sort_by_key(|migration| migration.name().to_string());
        Ok(all
            .iter()
            .map(|migration| Step {
                name: migration.name().to_string(),
                applied: applied.contains(&migration.name().version().to_string()),
            })
            .collect())
    }
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            let applied = sqlite.applied_migrations().map_err(|e| failure(e.as_ref()))?;
            let applied: Vec<_> = applied.iter().map(ToString::to_string).collect();
            steps::<diesel::sqlite::Sqlite>(&SQLITE, &applied)
        }
        AnyConnection::Postgres(postgres) => {
            let applied = postgres.applied_migrations().map_err(|e| failure(e.as_ref()))?;
            let applied: Vec<_> = applied.iter().map(ToString::to_string).collect();
            steps::<diesel::pg::Pg>(&POSTGRES, &applied)
        }
    }
}

/// The versions of the migrations that this build knows.
pub fn known_versions() -> Result<Vec<String>, Error> {
    let all: Vec<Box<dyn Migration<diesel::sqlite::Sqlite>>> =
        SQLITE.migrations().map_err(|error| failure(error.as_ref()))?;
    Ok(all.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// The versions that a database says were applied; `None` where it was never migrated. Reads only.
pub fn applied_versions(connection: &mut AnyConnection) -> Result<Option<Vec<String>>, Error> {
    let there = match connection {
        AnyConnection::Sqlite(_) => format!("SELECT COUNT(*) FROM sqlite_master WHERE name = '{TABLE}'"),
        AnyConnection::Postgres(_) => format!("SELECT COUNT(to_regclass('{TABLE}'))"),
    };
    let there: i64 = Select::new(diesel::dsl::sql::<BigInt>(&format!("({there})"))).get_result(connection)?;
    if there == 0 {
        return Ok(None);
    }
    let versions = Select::new(diesel::dsl::sql::<Text>("version"));
    Ok(Some(versions.sql(format!(" FROM {TABLE} ORDER BY version")).load(connection)?))
}

/// The versions that a database says were applied and this build does not know: a later build was there.
pub fn unknown_versions(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    let known = known_versions()?;
    let applied = applied_versions(connection)?.unwrap_or_default();
    Ok(applied.into_iter().filter(|version| !known.contains(version)).collect())
}

/// Applies what is pending, and makes the indexes again that a loading has left; answers the names. Two at once: one
/// waits for the other.
pub fn up(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    exclusively(connection, |connection| {
        // Before the migrations, which know of every index.
        let made_again = set_aside::put_back(connection)?.into_iter();
        let mut names: Vec<String> = made_again.map(|name| format!("{INDEX}{name}")).collect();
        let applied = match connection {
            AnyConnection::Sqlite(sqlite) => sqlite.run_pending_migrations(SQLITE),
            AnyConnection::Postgres(postgres) => postgres.run_pending_migrations(POSTGRES),
        };
        names.extend(applied.map_err(|e| failure(e.as_ref()))?.iter().map(ToString::to_string));
        Ok(names)
    })
}

/// Takes the last `count` migrations back; answers the names.
pub fn down(connection: &mut AnyConnection, count: usize) -> Result<Vec<String>, Error> {
    exclusively(connection, |connection| {
        // What a migration takes back has to be there.
        set_aside::put_back(connection)?;
        let mut names = Vec::new();
        for _ in 0..count {
            let reverted = match connection {
                AnyConnection::Sqlite(sqlite) => {
                    if sqlite.applied_migrations().map_err(|e| failure(e.as_ref()))?.is_empty() {
                        break;
                    }
                    sqlite.revert_last_migration(SQLITE)
                }
                AnyConnection::Postgres(postgres) => {
                    if postgres.applied_migrations().map_err(|e| failure(e.as_ref()))?.is_empty() {
                        break;
                    }
                    postgres.revert_last_migration(POSTGRES)
                }
            };
            names.push(reverted.map_err(|e| failure(e.as_ref()))?.to_string());
        }
        Ok(names)
    })
}

/// Runs alone among all that migrate the same database. On SQLite the caller holds the lock of the file.
fn exclusively<T>(
    connection: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    if let AnyConnection::Postgres(postgres) = connection {
        postgres.batch_execute(&format!(
            "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({ADVISORY_LOCK});"
        ))?;
    }
    let result = work(connection);
    if let AnyConnection::Postgres(postgres) = connection {
        postgres.batch_execute(&format!("SELECT pg_advisory_unlock({ADVISORY_LOCK});"))?;
    }
    result
}

/// A lock on the file of an embedded database, held as long as the value lives.
#[derive(Debug)]
pub struct FileLock {
    _file: std::fs::File,
}

/// Locks the file of an embedded database for one process; `None` for PostgreSQL, which needs no such thing.
pub fn lock_file(target: &Target) -> Result<Option<FileLock>, Error> {
    let Some(path) = target.file() else {
        return Ok(None);
    };
    let unusable = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", path.display()));
    // One file has one lock, whatever way leads to it; a file that is not there yet has no way of its own.
    if !path.exists() {
        open_private(path).map_err(unusable)?;
    }
    let mut lock_path = std::fs::canonicalize(path).map_err(unusable)?.into_os_string();
    lock_path.push(".lock");
    let file = open_private(&lock_path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::Busy(format!("another process serves or migrates {}", path.display())))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(Error::Unavailable(error.to_string())),
    }
}
