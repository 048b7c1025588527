//! What can go wrong with a database, in the words of this service.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// A failure of the database, or a refusal by it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No connection or lock was to be had in time.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database cannot be reached.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection was lost between COMMIT and its answer.
    #[error("whether the transaction was committed is not known")]
    OutcomeUnknown,
    /// The disk of the database is full.
    #[error("the disk of the database is full")]
    Full,
    /// A unique index refused the write; its name is `table.column`.
    #[error("a record with the same {index} exists")]
    Unique {
        /// Table and columns.
        index: String,
    },
    /// A foreign key refused the write.
    #[error("a record that is referred to does not exist, or is still referred to")]
    ForeignKey,
    /// Concurrent transactions could not be ordered; running again can help.
    #[error("concurrent writes got in each other's way")]
    Serialization,
    /// A guarded write hit nothing: the record changed or went away under it.
    #[error("the record was changed concurrently")]
    Stale,
    /// Anything else.
    #[error("database failure: {0}")]
    Other(String),
}

impl Error {
    /// True for what a caller's own data caused; the transaction around it is sound.
    pub const fn is_constraint(&self) -> bool {
        matches!(self, Self::Unique { .. } | Self::ForeignKey | Self::Stale)
    }

    /// True where the connection cannot be used any more.
    pub const fn is_connection_loss(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// [`Error::Stale`] unless a guarded write has hit the one row that it was made on.
pub fn one_row(hit: usize) -> Result<(), Error> {
    if hit == 1 { Ok(()) } else { Err(Error::Stale) }
}

fn unique_index(info: &dyn DatabaseErrorInformation) -> String {
    if let Some(name) = info.constraint_name() {
        return name.to_owned();
    }
    // SQLite names the columns: "UNIQUE constraint failed: changes.source, changes.external_id".
    let message = info.message();
    message.rsplit(": ").next().unwrap_or(message).to_owned()
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::UniqueViolation => Self::Unique { index: unique_index(info.as_ref()) },
                DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => Self::ForeignKey,
                DatabaseErrorKind::SerializationFailure => Self::Serialization,
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                    Self::Unavailable(info.message().to_owned())
                }
                _ => Self::from_message(info.message()),
            },
            DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            DieselError::BrokenTransactionManager => Self::Unavailable("the transaction was broken".into()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl Error {
    /// Diesel does not pass on the SQLSTATE, so the rest is told apart by the servers' own words.
    fn from_message(message: &str) -> Self {
        let has = |part: &str| message.contains(part);
        if has("deadlock detected") || has("could not serialize") {
            Self::Serialization
        } else if has("lock timeout") || has("statement timeout") || has("database is locked") {
            Self::Busy(message.to_owned())
        } else if has("disk is full") || has("No space left") || has("could not extend file") {
            Self::Full
        } else if has("server closed the connection")
            || has("terminating connection")
            || has("connection to server")
            || has("no connection to the server")
            || has("SSL connection has been closed")
            || has("the database system is")
            || has("could not receive data")
            || has("could not send data")
            || has("SSL SYSCALL error")
            || has("SSL error")
            || has("Connection reset")
            || has("Connection timed out")
            || has("Broken pipe")
            || has("connection not open")
            || has("too many clients")
            || has("remaining connection slots")
        {
            Self::Unavailable(message.to_owned())
        } else {
            Self::Other(message.to_owned())
        }
    }
}

impl From<diesel::ConnectionError> for Error {
    fn from(error: diesel::ConnectionError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
