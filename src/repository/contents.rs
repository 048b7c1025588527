//! The content of every noun of reference data: the row in the table, the body of a request, and the middle of a
//! response, all in one structure.

use std::collections::BTreeSet;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::schema::*;
use crate::domain::activity_template::ActivityTemplate;
use crate::domain::approval::ApprovalRule;
use crate::domain::checklist::Question;
use crate::domain::custom_fields::Fields;
use crate::domain::release::Notify;
use crate::domain::values::*;
use crate::domain::worktime::{Holiday, WorkingHours, Worktime};

fn yes() -> bool {
    true
}

/// A text that people are to read holds more than white space.
pub fn not_blank(text: &str) -> Result<(), validator::ValidationError> {
    if text.trim().is_empty() {
        return Err(validator::ValidationError::new("BLANK").with_message("The text is blank.".into()));
    }
    Ok(())
}

/// An address that a browser may follow.
pub fn web_address(text: &str) -> Result<(), validator::ValidationError> {
    let ok = text.starts_with("https://") || text.starts_with("http://");
    if ok && validator::ValidateUrl::validate_url(&text) {
        return Ok(());
    }
    Err(validator::ValidationError::new("INVALID_URL").with_message("An http or https address is needed.".into()))
}

/// An organisational unit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = units, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Retail banking", "description": "Branches and online", "active": true}))]
pub struct Unit {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it does.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// The unit that it belongs to.
    #[serde(default)]
    pub parent_id: Option<UnitId>,
    /// False where it is no longer to be chosen.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
}

/// Somebody who may log in, or be named.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ana.souza", "name": "Ana Souza", "email": "ana@example.org", "global_role": null}))]
pub struct User {
    /// Login name: lower-case letters, digits, `.`, `_`, `-` and `@`; unique.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9._@-]*$")]
    pub username: String,
    /// Name for people.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// E-mail address.
    #[schema(min_length = 3, max_length = 254)]
    #[validate(email(code = "INVALID_EMAIL", message = "This is not an e-mail address."))]
    pub email: String,
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
    /// Where they sit.
    #[schema(max_length = 200)]
    #[serde(default)]
    pub location: Option<String>,
    /// Right over the whole installation.
    #[serde(default)]
    pub global_role: Option<GlobalRole>,
    /// False where the account is disabled: refused at once, whatever token it holds.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
}

/// A group of users; its members hold its permissions over the releases of the group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = groups, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Payments team", "permissions": ["create", "execute", "delegate"]}))]
pub struct Group {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it does.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// False where it is no longer to be chosen.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
    /// What its members may do with the releases of the group.
    #[schema(value_type = Vec<Permission>, max_items = 11)]
    #[serde(default)]
    pub permissions: Json<BTreeSet<Permission>>,
}

/// A contract, with the groups and units that it covers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = contracts, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Operations 2027", "group_ids": [], "unit_ids": []}))]
pub struct Contract {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it is about.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// False where it is no longer to be chosen.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
    /// The groups that it covers.
    #[schema(value_type = Vec<GroupId>, max_items = 200)]
    #[serde(default)]
    pub group_ids: Json<Vec<GroupId>>,
    /// The units that it covers.
    #[schema(value_type = Vec<UnitId>, max_items = 200)]
    #[serde(default)]
    pub unit_ids: Json<Vec<UnitId>>,
}

/// Working time: the hours of each weekday on the clock of a time zone, less the holidays.
///
/// Whoever counts on a calendar counts on what it holds at that moment: a change of it moves what was used of the
/// time of every release that has it, and what is left. Deadlines that are set stay.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = calendars, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Lisbon office",
    "time_zone": "Europe/Lisbon",
    "working_hours": {
        "monday": [{"start": "09:00", "end": "13:00"}, {"start": "14:00", "end": "18:00"}],
        "friday": [{"start": "09:00", "end": "15:00"}]
    },
    "holidays": [{"date": "2030-12-25", "name": "Christmas Day"}]
}))]
pub struct Calendar {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// Name of a zone in the IANA time zone database, such as `Europe/Lisbon`. Its daylight saving time is respected.
    #[schema(min_length = 1, max_length = 64, example = "Europe/Lisbon")]
    pub time_zone: String,
    /// When work is done; at least one day of the week has hours.
    #[schema(value_type = WorkingHours)]
    pub working_hours: Json<WorkingHours>,
    /// The days on which nobody works, each once.
    #[schema(value_type = Vec<Holiday>, max_items = 1000)]
    #[serde(default)]
    pub holidays: Json<Vec<Holiday>>,
    /// False where it is no longer to be chosen; the models and releases that have it keep it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
}

impl Calendar {
    /// The calendar, ready to count with; or every fault of it.
    pub fn worktime(&self) -> Result<Worktime, Vec<Fault>> {
        Worktime::new(&self.time_zone, &self.working_hours.0, &self.holidays.0)
    }
}

/// A catalogued reason.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = justifications, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "The supplier is late", "applies_to": ["suspend"]}))]
pub struct Justification {
    /// The reason, unique.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub description: String,
    /// False where it is no longer to be used.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
    /// What it may be used for.
    #[schema(value_type = Vec<JustificationUse>, min_items = 1, max_items = 5)]
    pub applies_to: Json<BTreeSet<JustificationUse>>,
}

/// A category of solution, given at acceptance.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = solution_categories, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Replaced component"}))]
pub struct SolutionCategory {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// When it is to be used.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// False where it is no longer to be used.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
}

/// A catalogue of release models; portfolios form a tree.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = portfolios, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Payments", "description": "Everything that moves money", "icon": "credit-card"}))]
pub struct Portfolio {
    /// Name, unique.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it holds.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// Name of an icon, for screens.
    #[schema(max_length = 100)]
    #[serde(default)]
    pub icon: Option<String>,
    /// The portfolio above it.
    #[serde(default)]
    pub parent_id: Option<PortfolioId>,
    /// False where its models are no longer to be chosen.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
}

/// A template of checklists: what is asked before a release leaves a stage.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = checklist_templates, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Before it goes to the users",
    "stage": "test",
    "questions": [{"key": "backup", "text": "Is there a backup of the database?", "kind": "confirm"}]
}))]
pub struct ChecklistTemplate {
    /// Name, unique; the title of its checklists.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// When it is to be used.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// False where it is no longer to be used.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
    /// Key or kind of the stage that its checklists are bound to.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub stage: String,
    /// True where the stage is not left before its checklists are confirmed, if the workflow asks for that.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub required: bool,
    /// What is asked. A change is for checklists made from then on.
    #[schema(value_type = Vec<Question>, min_items = 1, max_items = 100)]
    pub questions: Json<Vec<Question>>,
}

fn from_path() -> PortfolioId {
    PortfolioId::new(uuid::Uuid::nil())
}

fn standard() -> String {
    "standard".into()
}

fn medium() -> Level {
    Level::Medium
}

fn active_model() -> ModelStatus {
    ModelStatus::New
}

fn minor() -> ReleaseType {
    ReleaseType::Minor
}

/// A release model: a template inside a portfolio, with what its releases start with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = models, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Quarterly release", "status": "active", "workflow": "standard", "type": "major", "impact": "medium", "urgency": "medium", "risk": "low", "notify": {"on_created": true, "on_updated": false, "on_closed": true}}))]
pub struct Model {
    /// The portfolio; at creation the one of the path.
    #[serde(default = "from_path")]
    pub portfolio_id: PortfolioId,
    /// Name, unique in its portfolio.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub description: Option<String>,
    /// Name of an icon, for screens.
    #[schema(max_length = 100)]
    #[serde(default)]
    pub icon: Option<String>,
    /// Only active models start releases. From `new` it goes to `active` and then to `retired`, and no other way.
    #[serde(default = "active_model")]
    #[schema(default = "new")]
    pub status: ModelStatus,
    /// True for the one model that serves releases that name none. Setting it takes it from the other.
    #[serde(default)]
    #[schema(default = false)]
    pub is_default: bool,
    /// Key of the workflow; a release starts with its newest version.
    #[serde(default = "standard")]
    #[schema(min_length = 1, max_length = 100, default = "standard")]
    pub workflow: String,
    /// Executor group of releases that name none.
    #[serde(default)]
    pub executor_group_id: Option<GroupId>,
    /// The executor groups that are allowed; empty: every group.
    #[schema(value_type = Vec<GroupId>, max_items = 200)]
    #[serde(default)]
    pub executor_group_ids: Json<Vec<GroupId>>,
    /// The contracts that are allowed; empty: every contract.
    #[schema(value_type = Vec<ContractId>, max_items = 200)]
    #[serde(default)]
    pub contract_ids: Json<Vec<ContractId>>,
    /// Type of releases that name none.
    #[serde(rename = "type", default = "minor")]
    #[schema(default = "minor")]
    #[diesel(column_name = type_)]
    pub release_type: ReleaseType,
    /// Impact of releases that name none.
    #[serde(default = "medium")]
    #[schema(default = "medium")]
    pub impact: Level,
    /// Urgency of releases that name none.
    #[serde(default = "medium")]
    #[schema(default = "medium")]
    pub urgency: Level,
    /// Risk of releases that name none.
    #[serde(default = "medium")]
    #[schema(default = "medium")]
    pub risk: Level,
    /// The calendar that the working time of its releases is counted on; every minute counts without one. A release
    /// keeps the one that it was registered with.
    #[serde(default)]
    pub calendar_id: Option<CalendarId>,
    /// Who must approve releases that are registered without a rule of their own.
    #[schema(value_type = Option<ApprovalRule>)]
    #[serde(default)]
    pub approval_rule: Option<Json<ApprovalRule>>,
    /// The activities that its releases begin with, in the order of their columns; at most 128 KiB together, written as
    /// JSON without white space.
    #[schema(value_type = Vec<ActivityTemplate>, max_items = 200)]
    #[serde(default)]
    pub activity_templates: Json<Vec<ActivityTemplate>>,
    /// The templates of the checklists that its releases begin with, each bound to a stage of the workflow.
    #[schema(value_type = Vec<ChecklistTemplateId>, max_items = 30)]
    #[serde(default)]
    pub checklist_template_ids: Json<Vec<ChecklistTemplateId>>,
    /// What the custom fields of its releases must be, when they are given; without it they may be anything.
    #[schema(value_type = Option<CustomFieldsSchema>)]
    #[serde(default)]
    pub custom_fields_schema: Option<Json<Fields>>,
    /// What is mailed to the requester, where the registration does not say it.
    #[schema(value_type = Notify)]
    #[serde(default)]
    pub notify: Json<Notify>,
    /// What is asked for of its releases, where a gate of the workflow asks only where asked. A release keeps what it
    /// was registered with.
    #[schema(value_type = Vec<AskedFor>, max_items = 10)]
    #[serde(default)]
    pub asks_for: Json<BTreeSet<AskedFor>>,
}

/// A JSON Schema of draft 2020-12 for the custom fields of releases, as [`FieldsSchema`](crate::domain::custom_fields::FieldsSchema) takes it.
pub struct CustomFieldsSchema;

impl utoipa::PartialSchema for CustomFieldsSchema {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .description(Some(
                "A JSON Schema of draft 2020-12 for the custom fields of releases: `\"type\": \"object\"`, at most 32 KiB, \
                 nested at most 32 levels deep, at most 50 patterns of a kind that takes linear time (no looking \
                 around, no references back), and `$ref` to places of itself alone, never round in a circle \
                 and, written out, within 4096 objects and 100 levels. A merge \
                 patch is merged into it like into everything else: a keyword that is to go is sent as null.",
            ))
            .max_properties(Some(200))
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(true)))
            .examples([serde_json::json!({
                "type": "object",
                "required": ["cost_centre"],
                "properties": {"cost_centre": {"type": "string", "pattern": "^CC-[0-9]{4}$"}},
                "additionalProperties": false
            })])
            .into()
    }
}

impl ToSchema for CustomFieldsSchema {}

impl Model {
    /// True where releases of the model may be executed by the group.
    pub fn allows_group(&self, group: GroupId) -> bool {
        self.executor_group_ids.0.is_empty()
            || self.executor_group_ids.0.contains(&group)
            || self.executor_group_id == Some(group)
    }

    /// The groups that releases of the model may be executed by; `None` for every group.
    pub fn allowed_groups(&self) -> Option<Vec<GroupId>> {
        if self.executor_group_ids.0.is_empty() {
            return None;
        }
        let mut groups = self.executor_group_ids.0.clone();
        groups.extend(self.executor_group_id);
        Some(groups)
    }
}

/// The working copy of a change that another tool owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = changes, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"source": "jira", "external_id": "CHG-1042", "title": "Payments 4.2", "status": "authorised", "risk": "low", "url": "https://jira.example.org/browse/CHG-1042"}))]
pub struct Change {
    /// The tool that owns it.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    pub source: String,
    /// Its key there, unique in that tool.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub external_id: String,
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub title: String,
    /// Status there.
    pub status: ChangeStatus,
    /// The window that change management grants.
    #[serde(default)]
    #[schema(value_type = Option<Window>)]
    #[diesel(column_name = change_window)]
    pub window: Option<Json<Window>>,
    /// Risk.
    #[serde(default)]
    pub risk: Option<Level>,
    /// How it is taken back.
    #[schema(max_length = 65000)]
    #[serde(default)]
    pub rollback_plan: Option<String>,
    /// Where people read it.
    #[schema(max_length = 2000)]
    #[validate(custom(function = web_address))]
    #[serde(default)]
    pub url: Option<String>,
    /// Monotonic revision in its own tool; an older one is refused, and the same one with other content.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub source_revision: Option<i64>,
    /// The configuration items that it is about. Linking the change to a release brings them along.
    #[schema(value_type = Vec<ConfigurationItemId>, max_items = 200)]
    #[serde(default)]
    pub configuration_item_ids: Json<Vec<ConfigurationItemId>>,
}

impl Change {
    /// True where it says how it is taken back.
    pub fn has_rollback_plan(&self) -> bool {
        self.rollback_plan.as_deref().is_some_and(|plan| !plan.is_empty())
    }
}
