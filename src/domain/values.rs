//! The vocabulary of values: typed identifiers, instants, enumerations, JSON columns and faults.
//!
//! Everything here can only hold a valid value: it is parsed at the edge and trusted behind it.
//! The two Diesel derives (`AsExpression`, `FromSqlRow`) are the only trace of storage in `domain/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::cmdb::*;
pub use super::fault::{Draft, Fault, Place};
pub use super::ids::*;
pub use super::instant::{TIMESTAMP_PATTERN, Timestamp, Window};

/// The text given is not one of the values of the type.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{given}` is not a valid {expected}")]
pub struct NotAValue {
    /// What was expected, in words.
    pub expected: &'static str,
    /// What was given, shortened to 100 characters.
    pub given: String,
}

impl NotAValue {
    pub(super) fn new(expected: &'static str, given: &str) -> Self {
        Self { expected, given: given.chars().take(100).collect() }
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use serde_as_text;

macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $text:tt,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[derive(utoipa::ToSchema)]
        #[derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Every value as text, in the order of declaration.
            pub const NAMES: &'static [&'static str] = &[$($text,)*];

            /// The value as it is written in JSON, SQL and documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = NotAValue;

            fn from_str(text: &str) -> Result<Self, NotAValue> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(NotAValue::new($what, text)),
                }
            }
        }
    };
}

pub(super) use text_enum;

text_enum! {
    /// Status of a release. Only a transition changes it.
    Status, "status" {
        /// Under way, never closed before.
        Open = "open",
        /// Stopped for a while; its clock stands still.
        Suspended = "suspended",
        /// Given up. Terminal.
        Cancelled = "cancelled",
        /// Finished, solved or not.
        Closed = "closed",
        /// Under way again after having been closed.
        Reopened = "reopened",
    }
}

impl Status {
    /// Active means `open` or `reopened`.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Open | Self::Reopened)
    }
}

text_enum! {
    /// Kind of release.
    ReleaseType, "release type" {
        /// Small, well-known, low risk.
        Minor = "minor",
        /// Large.
        Major = "major",
        /// Of significant reach.
        Significant = "significant",
        /// Must be done at once; exempt from the rules against windows in the past.
        Emergency = "emergency",
    }
}

text_enum! {
    /// A level of impact, urgency or risk.
    Level, "level" {
        /// Low.
        Low = "low",
        /// Medium.
        Medium = "medium",
        /// High.
        High = "high",
    }
}

text_enum! {
    /// How a release ended.
    Resolution, "resolution" {
        /// Accepted: the release did what it promised.
        Solved = "solved",
        /// It did not.
        Unsolved = "unsolved",
    }
}

text_enum! {
    /// Kind of a workflow stage; the kinds are ordered as they are declared.
    StageKind, "stage kind" {
        /// The plan is made.
        Planning = "planning",
        /// The plan is authorised.
        Authorization = "authorization",
        /// The plan is carried out.
        Deployment = "deployment",
        /// The result is tested.
        Test = "test",
        /// The users accept the result.
        Acceptance = "acceptance",
        /// Loose ends are tied up.
        Closure = "closure",
    }
}

text_enum! {
    /// Who can be responsible for a stage.
    ResponsibleKind, "kind of responsible" {
        /// The acting requester.
        Requester = "requester",
        /// Whoever may execute in the release's executor group.
        ExecutorGroup = "executor_group",
        /// Whoever may execute in a named group.
        Group = "group",
    }
}

text_enum! {
    /// Who made a version of a workflow.
    WorkflowOrigin, "origin of a workflow" {
        /// The installation itself: it comes with the product, and is renewed with it.
        BuiltIn = "built_in",
        /// Somebody here.
        User = "user",
    }
}

text_enum! {
    /// An action of the lifecycle.
    Action, "action" {
        /// Register the release.
        Create = "create",
        /// Leave the stage forwards.
        Advance = "advance",
        /// Go back to an earlier stage.
        SendBack = "send_back",
        /// Take the release for myself.
        Capture = "capture",
        /// Hand it to another person or group.
        Delegate = "delegate",
        /// Stop it for a while.
        Suspend = "suspend",
        /// Go on after a suspension.
        Reactivate = "reactivate",
        /// Give it up for good.
        Cancel = "cancel",
        /// Finish it.
        Close = "close",
        /// Take it up again after it was closed.
        Reopen = "reopen",
    }
}

text_enum! {
    /// What a justification may be used for.
    JustificationUse, "use of a justification" {
        /// To suspend.
        Suspend = "suspend",
        /// To cancel, or to close as unsolved.
        Cancel = "cancel",
        /// To reopen.
        Reopen = "reopen",
        /// To send back.
        SendBack = "send_back",
        /// To override a freeze or a conflict.
        Override = "override",
    }
}

text_enum! {
    /// A right that a group gives its members over the releases of that group.
    Permission, "permission" {
        /// Register releases.
        Create = "create",
        /// Work on releases.
        Execute = "execute",
        /// Hand releases to another person or group.
        Delegate = "delegate",
        /// Suspend releases.
        Suspend = "suspend",
        /// Reactivate suspended releases.
        Reactivate = "reactivate",
        /// Cancel releases.
        Cancel = "cancel",
        /// Reopen closed releases.
        Reopen = "reopen",
        /// Vote on approvals.
        Approve = "approve",
        /// Move the deployment end after authorization.
        ChangeDeadline = "change_deadline",
        /// Override freezes and conflicts.
        Override = "override",
        /// Authorise definitive media.
        AuthoriseMedia = "authorise_media",
    }
}

text_enum! {
    /// A right over the whole installation.
    GlobalRole, "global role" {
        /// Everything, and the directory.
        Admin = "admin",
        /// Every release, and the catalogue.
        ReleaseManager = "release_manager",
        /// Reads every release.
        Viewer = "viewer",
        /// Keeps the working copies of other tools; reads every release.
        Integration = "integration",
    }
}

text_enum! {
    /// What a personal access token may be used for, always within its owner's own rights.
    TokenScope, "token scope" {
        /// Read everything that the owner may read.
        Read = "read",
        /// Write releases and what belongs to them.
        ReleasesWrite = "releases:write",
        /// Write the catalogue.
        CatalogueWrite = "catalogue:write",
        /// Write the working copies of other tools.
        IntegrationWrite = "integration:write",
        /// Write the directory; read the audit.
        Admin = "admin",
    }
}

text_enum! {
    /// Status of a release model. Only active models start releases.
    ModelStatus, "model status" {
        /// Being prepared.
        New = "new",
        /// In use.
        Active = "active",
        /// No longer used; stays readable.
        Retired = "retired",
    }
}

text_enum! {
    /// What a model asks for of its releases, besides what every release of the workflow needs.
    AskedFor, "thing that is asked for" {
        /// A document of class `evidence` that names the version, where the gate `test_evidence` asks only where asked.
        TestEvidence = "test_evidence",
        /// Authorised definitive media for what is installed, where the gate `media_authorised` asks only where asked.
        DefinitiveMedia = "definitive_media",
        /// Reserved hardware spares, where the gate `spares_reserved` asks only where asked.
        HardwareSpares = "hardware_spares",
    }
}

text_enum! {
    /// How many of the voters must approve, and so what a rejection does.
    ApprovalKind, "kind of approval rule" {
        /// One of them. A rejection blocks only where everybody rejects.
        Any = "any",
        /// Every one. One rejection blocks.
        All = "all",
        /// So many. Rejections block once the others no longer suffice.
        Quorum = "quorum",
        /// Such a part, rounded up. Rejections block once the others no longer suffice.
        Percent = "percent",
    }
}

text_enum! {
    /// What a vote says.
    Decision, "decision" {
        /// The release may go on.
        Approve = "approve",
        /// It may not.
        Reject = "reject",
    }
}

text_enum! {
    /// What became of a vote.
    VoteState, "state of a vote" {
        /// It counts, as long as its round does.
        Standing = "standing",
        /// The same voter voted again.
        Replaced = "replaced",
        /// It was withdrawn.
        Withdrawn = "withdrawn",
    }
}

text_enum! {
    /// Where a voter stands in a round of votes.
    VoterStanding, "standing of a voter" {
        /// Asked, without a vote that counts.
        Waiting = "waiting",
        /// Approves.
        Approved = "approved",
        /// Rejects.
        Rejected = "rejected",
        /// Kept from voting by four eyes.
        Barred = "barred",
        /// Cannot vote: a disabled account, or a group without anybody who may.
        Ineligible = "ineligible",
    }
}

text_enum! {
    /// Why a round of votes was opened.
    RoundCause, "cause of a round" {
        /// The release came to a stage that asks for approvals, or the rule was set there.
        Entered = "entered",
        /// The rule became another one while there were votes.
        RuleChanged = "rule_changed",
        /// What was voted on changed: windows, version or change links.
        MaterialEdit = "material_edit",
    }
}

text_enum! {
    /// What the answer to a question of a checklist is.
    QuestionKind, "kind of question" {
        /// `true` or `false`; `true` is needed.
        Confirm = "confirm",
        /// Words.
        Text = "text",
        /// One of the options.
        Choice = "choice",
        /// A number.
        Number = "number",
    }
}

text_enum! {
    /// Status of a change in its own tool.
    ChangeStatus, "change status" {
        /// Registered; cannot be linked yet.
        Registered = "registered",
        /// Assessed.
        Assessed = "assessed",
        /// Authorised.
        Authorised = "authorised",
        /// Scheduled.
        Scheduled = "scheduled",
        /// Being implemented.
        Implementing = "implementing",
        /// Completed.
        Completed = "completed",
        /// Cancelled; cannot be linked.
        Cancelled = "cancelled",
        /// Rejected.
        Rejected = "rejected",
    }
}

impl ChangeStatus {
    /// True where change management lets the change be carried out.
    pub const fn is_authorised(self) -> bool {
        matches!(self, Self::Authorised | Self::Scheduled | Self::Implementing | Self::Completed)
    }

    /// True where it will not be carried out.
    pub const fn is_given_up(self) -> bool {
        matches!(self, Self::Cancelled | Self::Rejected)
    }

    /// True where the change may be linked to a release.
    pub const fn is_linkable(self) -> bool {
        !matches!(self, Self::Registered | Self::Cancelled)
    }
}

text_enum! {
    /// What a document is for.
    DocumentClass, "class of documents" {
        /// Anything.
        General = "general",
        /// Contracts, consents, licences.
        Legal = "legal",
        /// What is deployed.
        Package = "package",
        /// Proof of what was tested, done or agreed.
        Evidence = "evidence",
        /// How it is taken back.
        RollbackPlan = "rollback_plan",
        /// How it is tested.
        TestPlan = "test_plan",
    }
}

text_enum! {
    /// What became of a change in a release.
    ChangeOutcome, "change outcome" {
        /// Not known yet.
        Pending = "pending",
        /// Deployed.
        Deployed = "deployed",
        /// Failed.
        Failed = "failed",
        /// Rolled back.
        RolledBack = "rolled_back",
    }
}

text_enum! {
    /// The board that an activity is on.
    ActivityPhase, "phase of activities" {
        /// What prepares the release.
        Planning = "planning",
        /// What carries it out.
        Deployment = "deployment",
    }
}

text_enum! {
    /// Status of an activity: the column of its board, in order.
    ActivityStatus, "status of an activity" {
        /// Not begun.
        Todo = "todo",
        /// Begun.
        InProgress = "in_progress",
        /// Finished.
        Done = "done",
        /// Not going to be done.
        Skipped = "skipped",
    }
}

impl ActivityStatus {
    /// True where nothing is left to do.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

text_enum! {
    /// Kind of an activity.
    ActivityKind, "kind of activity" {
        /// Any work.
        Task = "task",
        /// Brings the release out.
        Rollout = "rollout",
        /// Takes it back.
        Rollback = "rollback",
        /// Looks whether all is well.
        Validation = "validation",
        /// Tests.
        Test = "test",
        /// Tells people.
        Communication = "communication",
        /// Teaches people.
        Training = "training",
    }
}

text_enum! {
    /// What progress is measured in.
    ProgressBasis, "basis of progress" {
        /// The estimated minutes; activities without an estimate count as none.
        Estimate = "estimate",
        /// The number of activities: none of them is estimated.
        Count = "count",
    }
}

text_enum! {
    /// How the word of somebody came, or how a record came about.
    Origin, "origin" {
        /// By e-mail.
        Email = "email",
        /// By telephone.
        Phone = "phone",
        /// By chat.
        Chat = "chat",
        /// Face to face.
        InPerson = "in_person",
        /// By a machine.
        Automation = "automation",
        /// Otherwise.
        Other = "other",
    }
}

text_enum! {
    /// What somebody has to do with a release, or with one phase of it.
    Responsibility, "role" {
        /// Does the work.
        Responsible = "responsible",
        /// Answers for it.
        Accountable = "accountable",
        /// Is asked before.
        Consulted = "consulted",
        /// Is told.
        Informed = "informed",
    }
}

text_enum! {
    /// Kind of an entry in the records of a release.
    RecordKind, "kind of record" {
        /// Something worth keeping.
        Note = "note",
        /// Something that was done.
        Execution = "execution",
        /// Something that happened.
        Occurrence = "occurrence",
        /// Something that was said to somebody, or by somebody.
        Communication = "communication",
    }
}

text_enum! {
    /// What a share of a release allows.
    ShareLevel, "level of a share" {
        /// See the release, and comment on it.
        Read = "read",
        /// Work on the release as well, as a member of its executor group who holds `execute`.
        Execute = "execute",
    }
}

text_enum! {
    /// Kind of what a reference leads to.
    ReferenceKind, "kind of reference" {
        /// A problem.
        Problem = "problem",
        /// An incident.
        Incident = "incident",
        /// A ticket.
        Ticket = "ticket",
        /// An article of the knowledge base.
        Knowledge = "knowledge",
        /// A project.
        Project = "project",
        /// A purchase. While one is not finished, the release does not leave deployment.
        Purchase = "purchase",
        /// A build.
        Build = "build",
        /// A deployment.
        Deployment = "deployment",
    }
}
/// A value kept as JSON text in one column.
#[derive(Debug, Clone, PartialEq, Eq, Default, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json<T: fmt::Debug>(pub T);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_enumeration_reads_what_it_writes() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().unwrap(), *status);
        }
        assert!("OPEN".parse::<Status>().is_err());
    }
}
