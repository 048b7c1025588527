//! One connection type over both databases, and the pool of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::R2D2Connection;
use diesel::{Connection, PgConnection, SqliteConnection};

use super::error::Error;
use crate::mutants::mutant;

pub use self::either::{AnyConnection, MultiBackend};

#[allow(missing_docs)] // of what the derive makes
mod either {
    use diesel::{PgConnection, SqliteConnection};

    /// A connection to either database.
    #[derive(diesel::MultiConnection)]
    pub enum AnyConnection {
        /// Embedded SQLite.
        Sqlite(SqliteConnection),
        /// PostgreSQL.
        Postgres(PgConnection),
    }
}

/// Runs a statement as the database's own: its prepared form is found by its type, without building its text.
macro_rules! on_either {
    ($connection:expr, $own:ident => $run:expr) => {
        match $connection {
            $crate::repository::AnyConnection::Sqlite($own) => $run,
            $crate::repository::AnyConnection::Postgres($own) => $run,
        }
    };
}
pub(super) use on_either;

/// Which database, out of `DATABASE_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file of embedded SQLite.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(String),
}

/// The address of a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(pub String);

impl Target {
    /// Reads `sqlite:FILE`, `postgres://…` or `postgresql://…`; refuses everything else.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains(":memory:") || path.contains(['?', '\0']) {
                return Err(BadTarget("`sqlite:` is followed by the path of a file, such as sqlite:slipway.db".into()));
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(BadTarget("the address starts with `sqlite:` or `postgres://`".into()))
    }

    /// The address without a password, for people.
    pub fn redacted(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                // What follows the last `@` holds no credentials, unless they hide in the query.
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                let host = host.split_once('?').map_or(host, |(host, _)| host);
                if rest.contains('@') { format!("{scheme}://…@{host}") } else { format!("{scheme}://{host}") }
            }
        }
    }

    /// The file, where it is SQLite.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// Limits that hold on every connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest a PostgreSQL statement may run.
    pub statement_timeout_ms: u64,
    /// Longest a PostgreSQL statement waits for a lock, and a SQLite one for the file.
    pub lock_timeout_ms: u64,
}

/// What a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reading; SQLite refuses to write on it.
    Read,
    /// Reading and writing.
    Write,
}

/// Opens a connection and sets it up.
pub fn open(target: &Target, limits: Limits, purpose: Purpose) -> Result<AnyConnection, Error> {
    match target {
        Target::Sqlite(path) => {
            let path = path.to_str().ok_or_else(|| Error::Unavailable("the path is not UTF-8".into()))?;
            if purpose == Purpose::Write {
                // Where that fails, SQLite says why.
                let _ = open_private(path);
            }
            let mut connection = SqliteConnection::establish(path)?;
            // What every writer touches stays in its memory; readers share the system's cache of the file.
            let cache_kib = if purpose == Purpose::Write { 8_192 } else { 4_096 };
            // WAL with FULL: an acknowledged commit survives a loss of power. No memory map: reads are as
            // fast without, and the process stays small. A checkpoint every 16 MiB: the pages that every write
            // touches are copied back once for many writes.
            connection.batch_execute(&format!(
                "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA wal_autocheckpoint = 4096; PRAGMA foreign_keys = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -{cache_kib}; \
                 PRAGMA temp_store = MEMORY; PRAGMA query_only = {};",
                limits.lock_timeout_ms,
                if purpose == Purpose::Read { "ON" } else { "OFF" },
            ))?;
            if mutant("synchronous_off") {
                connection.batch_execute("PRAGMA synchronous = OFF")?;
            }
            if mutant("synchronous_normal") {
                connection.batch_execute("PRAGMA synchronous = NORMAL")?;
            }
            Ok(AnyConnection::Sqlite(connection))
        }
        Target::Postgres(url) => {
            let mut connection = PgConnection::establish(&with_deadlines(url))?;
            // To compile a statement takes longer than any page does.
            connection.batch_execute(&format!(
                "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = 5000; \
                 SET timezone = 'UTC'; SET client_min_messages = warning; SET jit = off;",
                limits.statement_timeout_ms, limits.lock_timeout_ms
            ))?;
            if mutant("synchronous_off") {
                connection.batch_execute("SET synchronous_commit = off")?;
            }
            Ok(AnyConnection::Postgres(connection))
        }
    }
}

/// What libpq is told about a network that swallows packets, where the address does not say otherwise.
const DEADLINES: [(&str, &str); 5] = [
    ("connect_timeout", "2"),
    ("tcp_user_timeout", "3000"),
    ("keepalives_idle", "2"),
    ("keepalives_interval", "1"),
    ("keepalives_count", "3"),
];

/// The address with deadlines: a thread that waits for a server out of reach is freed within seconds.
pub fn with_deadlines(url: &str) -> String {
    let mut address = url.to_owned();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in DEADLINES {
        if !query.split('&').any(|pair| pair.split('=').next() == Some(name)) {
            let separator = if address.contains('?') { '&' } else { '?' };
            address.push_str(&format!("{separator}{name}={value}"));
        }
    }
    address
}

/// Opens a file, or makes it readable by its owner alone. What SQLite puts beside the file of a database is as private.
pub(super) fn open_private(path: impl AsRef<std::path::Path>) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

impl From<diesel::result::ConnectionError> for BadTarget {
    fn from(error: diesel::result::ConnectionError) -> Self {
        Self(error.to_string())
    }
}

/// True where the connection must not be used again: lost, or inside a transaction that nobody ends.
pub fn is_broken(connection: &mut AnyConnection) -> bool {
    match connection {
        AnyConnection::Sqlite(sqlite) => sqlite.is_broken(),
        AnyConnection::Postgres(postgres) => postgres.is_broken(),
    }
}

/// Opens pooled connections of one target.
#[derive(Debug)]
pub struct Opener {
    /// The database.
    pub target: Target,
    /// Limits of every connection.
    pub limits: Limits,
    /// What they are for.
    pub purpose: Purpose,
}

impl r2d2::ManageConnection for Opener {
    type Connection = AnyConnection;
    type Error = Error;

    fn connect(&self) -> Result<AnyConnection, Error> {
        open(&self.target, self.limits, self.purpose)
    }

    fn is_valid(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        match connection {
            AnyConnection::Sqlite(sqlite) => sqlite.ping()?,
            AnyConnection::Postgres(postgres) => postgres.ping()?,
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut AnyConnection) -> bool {
        is_broken(connection)
    }
}

/// A pool of connections.
pub type Pool = r2d2::Pool<Opener>;

/// Builds a pool; connections are opened when they are first needed.
pub fn pool(opener: Opener, size: u32, wait: Duration) -> Pool {
    r2d2::Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .connection_timeout(wait)
        .test_on_check_out(false)
        .max_lifetime(None)
        .error_handler(Box::new(Quiet))
        .build_unchecked(opener)
}

/// The pool's own complaints: every failed attempt reaches a caller anyway.
#[derive(Debug)]
struct Quiet;

impl r2d2::HandleError<Error> for Quiet {
    fn handle_error(&self, error: Error) {
        log::warn!("a connection could not be opened: {error}");
    }
}
