//! Typed identifiers: UUIDs that are not taken for one another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{NotAValue, serde_as_text};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        ///
        /// A UUIDv7, written as lower-case hyphenated text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Wraps an identifier that the server made.
            pub const fn new(id: uuid::Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAValue;

            fn from_str(text: &str) -> Result<Self, NotAValue> {
                match uuid::Uuid::try_parse(text) {
                    Ok(id) if text.len() == 36 => Ok(Self(id)),
                    _ => Err(NotAValue::new("identifier", text)),
                }
            }
        }

        serde_as_text!($name);

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                        utoipa::openapi::KnownFormat::Uuid,
                    )))
                    .min_length(Some(36))
                    .max_length(Some(36))
                    .description(Some("Identifier: a UUID in its text form."))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    )*};
}
ids! {
    /// A person or machine that may log in.
    UserId;
    /// A group of users with permissions.
    GroupId;
    /// An organisational unit.
    UnitId;
    /// A contract.
    ContractId;
    /// A calendar of working time.
    CalendarId;
    /// A catalogued reason.
    JustificationId;
    /// A category of solution, given at acceptance.
    SolutionCategoryId;
    /// A catalogue of release models.
    PortfolioId;
    /// A release model.
    ModelId;
    /// One version of a workflow.
    WorkflowId;
    /// A release.
    ReleaseId;
    /// The working copy of a change.
    ChangeId;
    /// The link of a change to a release.
    ChangeLinkId;
    /// An activity of a release.
    ActivityId;
    /// An item on the checklist of an activity.
    ChecklistItemId;
    /// A stretch of time spent on an activity.
    TimeEntryId;
    /// A comment on an activity.
    ActivityCommentId;
    /// An applied transition.
    TransitionId;
    /// A personal access token.
    TokenId;
    /// A login session.
    SessionId;
    /// An audit row.
    AuditId;
    /// An event row.
    EventId;
    /// A checkpoint of the audit.
    CheckpointId;
    /// A role that somebody has in a release.
    ReleaseRoleId;
    /// An entry in the records of a release.
    ReleaseRecordId;
    /// A share of a release.
    ReleaseShareId;
    /// A reference of a release to what another tool holds.
    ReleaseReferenceId;
    /// A comment on a release.
    ReleaseCommentId;
    /// A vote on the approval of a release.
    VoteId;
    /// A template of checklists.
    ChecklistTemplateId;
    /// A checklist of a release.
    ChecklistId;
    /// A document of a release.
    DocumentId;
    /// The working copy of a configuration item.
    ConfigurationItemId;
    /// A relationship between two configuration items.
    RelationshipId;
    /// A state in the history of a configuration item.
    ItemHistoryId;
    /// An import of configuration items.
    ImportId;
    /// The link of a configuration item to a release.
    ItemLinkId;
    /// What the tool that owns a configuration item is to be told.
    WriteBackId;
    /// A definitive medium.
    MediumId;
    /// The link of a definitive medium to a release.
    MediumLinkId;
    /// A hardware spare.
    SpareId;
    /// The reservation of a hardware spare for a release.
    SpareLinkId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_in_its_hyphenated_form_only() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(text.parse::<UserId>().unwrap().to_string(), text);
        for bad in ["", "x", "01890a5dac96774bbcceb302099a8057", "{01890a5d-ac96-774b-bcce-b302099a8057}"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad}");
        }
    }
}
