//! What a caller may say of a release: when creating it, and when patching it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::activity_input::PlannedActivity;
use super::checklists::NewChecklist;
use super::item_links::NewItemLink;
use super::roles::RoleFields;
use crate::domain::approval::ApprovalRule;
use crate::domain::release::Notify;
use crate::domain::values::*;
use crate::repository::contents::not_blank;

/// Who asks for the release. Without `user_id`, name and e-mail are needed; with it, what is missing is filled
/// in from the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ana Souza", "email": "ana@example.org"}))]
pub struct RequesterFields {
    /// The requester's account, where there is one. Set once, from none.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Name.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub name: Option<String>,
    /// Name of a contact, where it is somebody else.
    #[schema(max_length = 200)]
    #[serde(default)]
    pub contact_name: Option<String>,
    /// E-mail address.
    #[schema(min_length = 3, max_length = 254)]
    #[validate(email(code = "INVALID_EMAIL", message = "This is not an e-mail address."))]
    #[serde(default)]
    pub email: Option<String>,
    /// Telephone number.
    #[schema(max_length = 50)]
    #[serde(default)]
    pub phone: Option<String>,
    /// Telephone extension.
    #[schema(max_length = 20)]
    #[serde(default)]
    pub extension: Option<String>,
    /// Organisational unit.
    #[serde(default)]
    pub unit_id: Option<UnitId>,
    /// Where the requester sits.
    #[schema(max_length = 200)]
    #[serde(default)]
    pub location: Option<String>,
    /// Notes.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub notes: Option<String>,
}

/// What the users expect of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceCriterion {
    /// The expectation.
    #[schema(min_length = 1, max_length = 1000)]
    #[validate(custom(function = not_blank))]
    pub text: String,
    /// True confirms it, at acceptance; who and when is noted by the server.
    #[serde(default)]
    #[schema(default = false)]
    pub confirmed: bool,
}

/// A change to be linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"change_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}))]
pub struct ChangeToLink {
    /// The change, neither `registered` nor `cancelled`.
    pub change_id: ChangeId,
}

/// What is mailed to the requester; what is not said comes from the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"on_created": true}))]
pub struct NotifyFields {
    /// When the release is created.
    pub on_created: Option<bool>,
    /// When it is updated.
    pub on_updated: Option<bool>,
    /// When it is closed.
    pub on_closed: Option<bool>,
}

impl NotifyFields {
    /// What was said, and the rest as the model says.
    pub fn or(self, model: Notify) -> Notify {
        Notify {
            on_created: self.on_created.unwrap_or(model.on_created),
            on_updated: self.on_updated.unwrap_or(model.on_updated),
            on_closed: self.on_closed.unwrap_or(model.on_closed),
        }
    }
}

/// A release to be registered. What is not given comes from the model.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "title": "Payments 4.2",
    "version": "4.2.0",
    "impact": "high",
    "urgency": "medium",
    "requester": {"name": "Ana Souza", "email": "ana@example.org"},
    "planning_window": {"start": "2030-12-01T09:00:00Z", "end": "2030-12-01T18:00:00Z"},
    "deployment_window": {"start": "2030-12-05T22:00:00Z", "end": "2030-12-06T02:00:00Z"},
    "acceptance_criteria": [{"text": "Card payments work in all shops"}],
    "tags": ["payments"]
}))]
pub struct NewRelease {
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub title: String,
    /// Description.
    #[schema(max_length = 65000)]
    #[serde(default)]
    pub description: Option<String>,
    /// The version that is released.
    #[schema(max_length = 50)]
    #[serde(default)]
    pub version: Option<String>,
    /// Kind of release; default from the model.
    #[serde(default, rename = "type")]
    pub release_type: Option<ReleaseType>,
    /// An active model; without it the default model serves.
    #[serde(default)]
    pub model_id: Option<ModelId>,
    /// Who asks for it.
    #[validate(nested)]
    pub requester: RequesterFields,
    /// One of the model's contracts, where the model names any.
    #[serde(default)]
    pub contract_id: Option<ContractId>,
    /// The group that executes it; default from the model.
    #[serde(default)]
    pub executor_group_id: Option<GroupId>,
    /// Impact; default from the model.
    #[serde(default)]
    pub impact: Option<Level>,
    /// Urgency; default from the model.
    #[serde(default)]
    pub urgency: Option<Level>,
    /// Risk; default from the model.
    #[serde(default)]
    pub risk: Option<Level>,
    /// What the users expect.
    #[schema(max_items = 100)]
    #[validate(nested)]
    #[serde(default)]
    pub acceptance_criteria: Vec<AcceptanceCriterion>,
    /// When it is planned.
    #[serde(default)]
    pub planning_window: Option<Window>,
    /// When it is deployed.
    #[serde(default)]
    pub deployment_window: Option<Window>,
    /// Releases that must be closed as solved before this one leaves authorization.
    #[schema(max_items = 50)]
    #[serde(default)]
    pub depends_on: Vec<ReleaseId>,
    /// Tags, each of 1..=50 characters.
    #[schema(max_items = 50, value_type = Vec<Tag>)]
    #[serde(default)]
    pub tags: Vec<String>,
    /// Fields of the installation's own, as the model's `custom_fields_schema` says where it has one.
    #[schema(value_type = CustomFields)]
    #[serde(default)]
    pub custom_fields: serde_json::Map<String, serde_json::Value>,
    /// What is mailed to the requester; what is not said comes from the model.
    #[serde(default)]
    pub notify: NotifyFields,
    /// Changes to be linked.
    #[schema(max_items = 200)]
    #[serde(default)]
    pub changes: Vec<ChangeToLink>,
    /// Configuration items to be linked, besides those that the changes bring.
    #[schema(max_items = 500)]
    #[validate(nested)]
    #[serde(default)]
    pub configuration_items: Vec<NewItemLink>,
    /// Who is responsible, accountable, consulted and informed.
    #[schema(max_items = 200)]
    #[validate(nested)]
    #[serde(default)]
    pub roles: Vec<RoleFields>,
    /// Activities besides those of the model, in the order of their columns, behind the model's. They depend on each
    /// other by their `ref`, and on those of the model by the `key` of its templates; a `ref` of the request goes first.
    #[schema(max_items = 1000)]
    #[validate(nested)]
    #[serde(default)]
    pub activities: Vec<PlannedActivity>,
    /// Who must approve it; default from the model.
    #[serde(default)]
    pub approval_rule: Option<ApprovalRule>,
    /// Checklists to be made besides those of the model.
    #[schema(max_items = 30)]
    #[validate(nested)]
    #[serde(default)]
    pub checklists: Vec<NewChecklist>,
}

/// The fields of a release that a patch may change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Payments 4.2.1", "urgency": "high", "tags": ["payments", "pci"]}))]
pub struct ReleaseFields {
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub title: String,
    /// Description.
    #[schema(max_length = 65000)]
    #[serde(default)]
    pub description: Option<String>,
    /// The version that is released. Locked after authorization.
    #[schema(max_length = 50)]
    #[serde(default)]
    pub version: Option<String>,
    /// Kind of release.
    #[serde(rename = "type")]
    pub release_type: ReleaseType,
    /// Who asks for it.
    #[validate(nested)]
    pub requester: RequesterFields,
    /// Impact.
    pub impact: Level,
    /// Urgency.
    pub urgency: Level,
    /// Risk.
    pub risk: Level,
    /// What the users expect, as a whole.
    #[schema(max_items = 100)]
    #[validate(nested)]
    #[serde(default)]
    pub acceptance_criteria: Vec<AcceptanceCriterion>,
    /// When it is planned. Locked after authorization.
    #[serde(default)]
    pub planning_window: Option<Window>,
    /// When it is deployed. Locked after authorization; its end alone may move, with `change_deadline` and a reason.
    #[serde(default)]
    pub deployment_window: Option<Window>,
    /// Releases that must be closed as solved before this one leaves authorization. Locked after authorization.
    #[schema(max_items = 50)]
    #[serde(default)]
    pub depends_on: Vec<ReleaseId>,
    /// Tags, as a whole, each of 1..=50 characters.
    #[schema(max_items = 50, value_type = Vec<Tag>)]
    #[serde(default)]
    pub tags: Vec<String>,
    /// Fields of the installation's own, as the model's `custom_fields_schema` says now where it has one; what does not
    /// change is not judged again.
    #[schema(value_type = CustomFields)]
    #[serde(default)]
    pub custom_fields: serde_json::Map<String, serde_json::Value>,
    /// What is mailed to the requester.
    #[serde(default)]
    pub notify: Notify,
    /// Why, for the history; needed to move the deployment end after authorization. Not a field of the release.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A tag, 1..=50 characters, none of them a comma: filters take several tags with commas between them.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 50, pattern = "^[^,]*$")]
pub struct Tag(#[allow(dead_code)] String);

/// Fields of the installation's own: any JSON object of at most 200 members.
pub struct CustomFields;

impl utoipa::PartialSchema for CustomFields {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .description(Some(
                "Fields of the installation's own: any JSON object of at most 200 members, with at most 1000 values \
                 in all, those inside of others among them, and 64 KiB, written without white space.",
            ))
            .max_properties(Some(200))
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for CustomFields {}
