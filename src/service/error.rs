//! Why a use case did not happen. `crate::error` turns each into a status, a code and a problem document.

use crate::domain::lifecycle::Refusal;
use crate::domain::policy::Denial;
use crate::domain::release::Release;
use crate::domain::values::{Action, Fault, Status, Timestamp};
use crate::repository::{self, Failure};

use super::Reply;

/// Where a release stands, told along with a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: Status,
    /// Its stage.
    pub stage: String,
    /// What the caller may do now.
    pub allowed_actions: Vec<Action>,
}

impl Standing {
    /// Where the release stands.
    pub fn of(release: &Release, allowed_actions: Vec<Action>) -> Self {
        Self { status: release.status, stage: release.stage.clone(), allowed_actions }
    }
}

/// A refusal of a use case, or a failure under it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No valid credential came with the request.
    #[error("not authenticated: {0}")]
    Unauthenticated(&'static str),
    /// The request is not well-formed.
    #[error("malformed request")]
    Malformed(Vec<Fault>),
    /// What is addressed does not exist for this caller.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What became of the rows of an import was forgotten at this instant, as its time was over.
    #[error("the results of the import were kept until {0}")]
    ResultsExpired(Timestamp),
    /// The caller may not.
    #[error("forbidden: {}", .0.detail)]
    Forbidden(Denial),
    /// `If-Match` is missing.
    #[error("a precondition is required")]
    PreconditionRequired,
    /// `If-Match` names another version than this.
    #[error("the current version is {0}")]
    PreconditionFailed(i64),
    /// The state forbids it.
    #[error("conflict: {detail}")]
    Conflict {
        /// UPPER_SNAKE code.
        code: &'static str,
        /// What is in the way.
        detail: String,
        /// Where the release stands, where one is concerned.
        standing: Option<Standing>,
        /// The fields that are concerned.
        faults: Vec<Fault>,
    },
    /// Values are not valid.
    #[error("invalid values")]
    Invalid(Vec<Fault>),
    /// The lifecycle refuses.
    #[error("the lifecycle refuses")]
    Refused {
        /// The refusal, with its blockers.
        refusal: Refusal,
        /// Where the release stands.
        standing: Standing,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Too many attempts.
    #[error("too many attempts; again in {retry_after_seconds} s")]
    Throttled {
        /// How long to wait.
        retry_after_seconds: u64,
    },
    /// The database failed or refused.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// What the operator of the machine gave the service cannot be used: a file, or a setting.
    #[error("{0}")]
    Unusable(String),
    /// The store of documents failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Something that cannot be; the cause is logged and not told.
    #[error("internal failure: {0}")]
    Internal(String),
    /// Not an error: a dry run that would have succeeded. Being an error, it undoes everything.
    #[error("dry run")]
    DryRun(Box<Reply>),
}

impl Error {
    /// A conflict without further particulars.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into(), standing: None, faults: Vec::new() }
    }

    /// Invalid, where there are faults.
    pub fn unless_none(faults: Vec<Fault>) -> Result<()> {
        if faults.is_empty() { Ok(()) } else { Err(Self::Invalid(faults)) }
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Self::Forbidden(denial)
    }
}

impl Failure for Error {
    fn database(&self) -> Option<&repository::Error> {
        match self {
            Self::Repository(error) => Some(error),
            _ => None,
        }
    }
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;
