//! The vocabulary of the CMDB, the definitive media library and the definitive hardware store (`domain.md` §9).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::values::{NotAValue, text_enum};

text_enum! {
    /// Where a configuration item is used.
    Environment, "environment" {
        /// Where it is made.
        Development = "development",
        /// Where it is tested.
        Test = "test",
        /// Where its users accept it.
        Acceptance = "acceptance",
        /// Where it is of use.
        Production = "production",
    }
}

text_enum! {
    /// Status of a configuration item.
    ItemStatus, "status of a configuration item" {
        /// Not there yet.
        Planned = "planned",
        /// Being made.
        InDevelopment = "in_development",
        /// Being accepted.
        InAcceptance = "in_acceptance",
        /// In use.
        InProduction = "in_production",
        /// Just changed by a release, and watched.
        Validating = "validating",
        /// Being mended.
        InMaintenance = "in_maintenance",
        /// No longer used.
        Retired = "retired",
    }
}

text_enum! {
    /// What one configuration item is to another, its target.
    RelationshipKind, "kind of relationship" {
        /// It needs the target.
        DependsOn = "depends_on",
        /// The target carries it.
        RunsOn = "runs_on",
        /// The target contains it.
        PartOf = "part_of",
        /// They talk to each other.
        ConnectedTo = "connected_to",
    }
}

impl RelationshipKind {
    /// True where it says the same from both sides.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::ConnectedTo)
    }
}

text_enum! {
    /// Which way a relationship leads, as one of its items sees it.
    RelationshipDirection, "direction of a relationship" {
        /// It starts from the item.
        Outgoing = "outgoing",
        /// It leads to the item.
        Incoming = "incoming",
    }
}

text_enum! {
    /// Where a state of a configuration item came from.
    ItemOrigin, "origin of a state" {
        /// Somebody, or another tool, wrote it.
        User = "user",
        /// An import.
        Import = "import",
        /// The closing of a release.
        Release = "release",
        /// A revert of what a release did.
        Revert = "revert",
    }
}

text_enum! {
    /// What became of what a release was going to do to a configuration item.
    ItemOutcome, "outcome of a configuration item" {
        /// Not known yet: closing as solved applies it.
        Pending = "pending",
        /// Applied by closing.
        Applied = "applied",
        /// It failed.
        Failed = "failed",
        /// It was left out.
        Skipped = "skipped",
        /// It was applied, and taken back.
        Reverted = "reverted",
    }
}

text_enum! {
    /// What the tool that owns a configuration item is told.
    WriteBackKind, "kind of write-back" {
        /// What a release changed.
        Apply = "apply",
        /// That it was taken back.
        Revert = "revert",
    }
}

text_enum! {
    /// Whether the tool that owns a configuration item took over what it was told.
    WriteBackState, "state of a write-back" {
        /// It did not answer yet.
        Pending = "pending",
        /// It did.
        Confirmed = "confirmed",
        /// It will not.
        Refused = "refused",
        /// It did not answer before a later write-back of the same item, which it is told instead.
        Superseded = "superseded",
    }
}

impl WriteBackState {
    /// True where the tool may still answer: what it took over before it was told better is a fact all the same.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Superseded)
    }
}

text_enum! {
    /// Format of an import.
    ImportFormat, "format of an import" {
        /// One JSON object on each line.
        Ndjson = "ndjson",
        /// Comma-separated values with a header (RFC 4180).
        Csv = "csv",
    }
}

text_enum! {
    /// State of an import.
    ImportState, "state of an import" {
        /// Stored, not begun.
        Queued = "queued",
        /// Being applied.
        Running = "running",
        /// Every row was looked at.
        Completed = "completed",
        /// It cannot go on; what was applied before stays.
        Failed = "failed",
        /// Somebody stopped it; what was applied before stays.
        Cancelled = "cancelled",
    }
}

impl ImportState {
    /// True where no further row is looked at.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

text_enum! {
    /// What a row of an import is about.
    ImportedKind, "type of a row" {
        /// An item.
        ConfigurationItem = "configuration_item",
        /// A relationship of an item to another.
        Relationship = "relationship",
    }
}

text_enum! {
    /// What became of a row of an import.
    RowOutcome, "outcome of a row" {
        /// A new record.
        Created = "created",
        /// A record that is another one now.
        Updated = "updated",
        /// The record was like this already.
        Unchanged = "unchanged",
        /// Refused; its errors say why.
        Failed = "failed",
    }
}

text_enum! {
    /// Kind of a definitive medium.
    MediumKind, "kind of medium" {
        /// A package that is installed.
        Package = "package",
        /// An image that containers are started from.
        ContainerImage = "container_image",
        /// Software of a device.
        Firmware = "firmware",
        /// A document.
        Document = "document",
        /// A licence.
        Licence = "licence",
    }
}

text_enum! {
    /// Status of a definitive medium.
    MediumStatus, "status of a medium" {
        /// Being prepared.
        Draft = "draft",
        /// Somebody looked whether it is what it says.
        Verified = "verified",
        /// It may be installed.
        Authorised = "authorised",
        /// No longer to be installed.
        Retired = "retired",
    }
}

text_enum! {
    /// Status of a hardware spare.
    SpareStatus, "status of a spare" {
        /// Free to be reserved.
        InStock = "in_stock",
        /// Kept for a release.
        Reserved = "reserved",
        /// In use.
        Deployed = "deployed",
        /// No longer used.
        Retired = "retired",
    }
}

text_enum! {
    /// What became of the reservation of a spare.
    ReservationState, "state of a reservation" {
        /// It holds.
        Reserved = "reserved",
        /// The spare was given back.
        Released = "released",
        /// Closing the release deployed the spare.
        Deployed = "deployed",
        /// The spare was deployed, and that was taken back.
        Reverted = "reverted",
    }
}

text_enum! {
    /// Something that a release lacks of the definitive media library, or of the definitive hardware store.
    Gap, "gap" {
        /// A configuration item gets a version, and its link names no medium.
        MediumMissing = "medium_missing",
        /// A medium is not authorised.
        MediumNotAuthorised = "medium_not_authorised",
        /// A medium has another version than is intended.
        MediumVersionDiffers = "medium_version_differs",
        /// A package is no medium of the release.
        PackageNotInLibrary = "package_not_in_library",
        /// A configuration item needs a spare, and none is reserved.
        SpareNotReserved = "spare_not_reserved",
    }
}

impl ItemOutcome {
    /// True where people may still say what became of it: the item was not changed by the server.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Failed | Self::Skipped)
    }
}

text_enum! {
    /// What people say of what a release was going to do to a configuration item; the rest is the server's to say.
    ItemDecision, "decision on a configuration item" {
        /// Closing as solved applies it.
        Pending = "pending",
        /// It failed.
        Failed = "failed",
        /// It was left out.
        Skipped = "skipped",
    }
}

impl From<ItemDecision> for ItemOutcome {
    fn from(decision: ItemDecision) -> Self {
        match decision {
            ItemDecision::Pending => Self::Pending,
            ItemDecision::Failed => Self::Failed,
            ItemDecision::Skipped => Self::Skipped,
        }
    }
}
