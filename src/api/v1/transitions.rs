//! `/releases/{release}/transitions` and what is allowed: the lifecycle at work.

use std::sync::{Arc, LazyLock};

use actix_web::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};
use validator::Validate;

use super::Operations;
use super::releases::Release;
use crate::api::body::FromBody;
use crate::api::schema::{self, Checked, Compiled};
use crate::api::{Answer, BASE, Body, Call, outcome, paging, paging::Page};
use crate::domain::lifecycle::{Command, OnBehalfOf, Rule, TABLE, Verdict};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::domain::warnings::Warning;
use crate::repository::contents::not_blank;
use crate::repository::listing::SqlValue;
use crate::repository::transitions::{TRANSITIONS, TransitionRow};
use crate::service::Reply;
use crate::service::lifecycle::{self, Allowed, Wanted};
use crate::service::write_back::WriteBackSummary;
use crate::telemetry::metrics;

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(create_transition).service(list_transitions).service(list_allowed_transitions);
}

/// Every field that an action can take; which ones, the transition table says.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct TransitionFields {
    /// The action.
    pub action: Action,
    /// The stage that the caller saw; another one now is a conflict.
    #[schema(min_length = 1, max_length = 100)]
    pub from_stage: Option<String>,
    /// An earlier stage to go back to; default the workflow's return stage, else the previous one.
    #[schema(min_length = 1, max_length = 100)]
    pub to_stage: Option<String>,
    /// How the release ended.
    pub resolution: Option<Resolution>,
    /// When it really went live.
    pub release_date: Option<Timestamp>,
    /// Category of the solution.
    pub solution_category_id: Option<SolutionCategoryId>,
    /// Closing words.
    #[schema(min_length = 1, max_length = 10000)]
    #[validate(custom(function = not_blank))]
    pub closure_notes: Option<String>,
    /// Minutes of work that the step took.
    #[schema(minimum = 0, maximum = 1000000)]
    pub minutes_spent: Option<i64>,
    /// The user to hand over to.
    pub user_id: Option<UserId>,
    /// The group to hand over to.
    pub group_id: Option<GroupId>,
    /// The catalogued reason.
    pub justification_id: Option<JustificationId>,
    /// Words that go with it.
    #[schema(min_length = 1, max_length = 10000)]
    #[validate(custom(function = not_blank))]
    pub note: Option<String>,
    /// A release manager acts for the requester.
    pub on_behalf_of: Option<OnBehalfOf>,
}

impl Checked for TransitionFields {}

/// One action of the lifecycle with its fields: one alternative for each row of the transition table.
#[derive(Debug, Clone)]
pub struct TransitionRequest(Wanted);

/// The JSON schema of one row's request, out of the table and the fields.
fn rule_schema(rule: &Rule, fields: &Map<String, Value>) -> Value {
    let mut properties = Map::new();
    properties.insert("action".into(), json!({"type": "string", "enum": [rule.action], "description": "The action."}));
    for field in rule.fields {
        let mut property = fields.get(field.name).cloned().unwrap_or_else(|| json!({}));
        if field.name == "resolution" {
            let allowed: Vec<Resolution> = match (rule.action, rule.resolution) {
                (_, Some(only)) => vec![only],
                (Action::Close, None) => vec![Resolution::Solved],
                _ => Resolution::ALL.to_vec(),
            };
            property = json!({"type": "string", "enum": allowed, "description": "How the release ended."});
        } else if field.required {
            property = without_null(property);
        }
        properties.insert(field.name.into(), property);
    }
    let mut required = vec!["action"];
    required.extend(rule.fields.iter().filter(|field| field.required).map(|field| field.name));
    let title = match rule.resolution {
        Some(resolution) => format!("{} ({resolution})", rule.action),
        None => rule.action.to_string(),
    };
    let mut schema = json!({
        "type": "object",
        "title": title,
        "description": rule.needs,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    // Of other rows any value of each field goes with every other.
    match rule.action {
        Action::Advance => schema["example"] = json!({"action": "advance", "from_stage": "planning"}),
        Action::SendBack => {
            let back = json!({"action": "send_back", "from_stage": "test", "to_stage": "planning", "note": "Card payments fail"});
            schema["example"] = back;
        }
        _ => {}
    }
    schema
}

/// A required field is not null.
fn without_null(mut property: Value) -> Value {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            property["type"] = only.clone();
        }
    }
    if let Some(Value::Array(branches)) = property.get("oneOf") {
        let rest: Vec<Value> =
            branches.iter().filter(|branch| branch.get("type") != Some(&json!("null"))).cloned().collect();
        if let [only] = rest.as_slice() {
            let mut only = only.clone();
            if let (Some(description), Some(object)) = (property.get("description"), only.as_object_mut()) {
                object.insert("description".into(), description.clone());
            }
            return only;
        }
    }
    property
}

fn field_schemas() -> Map<String, Value> {
    let schema = serde_json::to_value(TransitionFields::schema()).unwrap_or_default();
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The compiled schema of every row of the table, in its order: compiling one costs more than a whole request.
static VALIDATORS: LazyLock<Vec<Arc<Option<Compiled>>>> = LazyLock::new(|| {
    let fields = field_schemas();
    let components = schema::document_of::<TransitionFields>(false)["components"].clone();
    TABLE
        .iter()
        .map(|rule| {
            let mut document = rule_schema(rule, &fields);
            document["components"] = components.clone();
            schema::compile(document)
        })
        .collect()
});

impl PartialSchema for TransitionRequest {
    fn schema() -> RefOr<Schema> {
        let fields = field_schemas();
        let schema = json!({
            "description": "One action of the lifecycle, with its fields.",
            "oneOf": TABLE.iter().map(|rule| rule_schema(rule, &fields)).collect::<Vec<_>>(),
            "example": {"action": "advance", "from_stage": "planning"},
        });
        serde_json::from_value(schema).unwrap_or_else(|_| TransitionFields::schema())
    }
}

impl ToSchema for TransitionRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TransitionFields::schemas(schemas);
    }
}

impl FromBody for TransitionRequest {
    fn from_body(value: Value) -> Result<Self, Vec<Fault>> {
        let Some(object) = value.as_object() else {
            return Err(vec![Fault::at("", "WRONG_TYPE", "The body is an object.")]);
        };
        let action = match object.get("action") {
            None => {
                return Ok(faulty(None, Fault::at("/action", "REQUIRED", "An action is needed.")));
            }
            Some(Value::String(action)) => action.clone(),
            Some(_) => {
                return Err(vec![Fault::at("/action", "WRONG_TYPE", "The action is text.")]);
            }
        };
        let unsolved = object.get("resolution") == Some(&json!("unsolved"));
        let resolution = unsolved.then_some(Resolution::Unsolved);
        let action = match action.parse::<Action>() {
            Ok(action) if TABLE.iter().any(|rule| rule.action == action) => action,
            _ => {
                let mut names: Vec<_> = TABLE.iter().map(|rule| rule.action.as_str()).collect();
                names.dedup();
                let detail = format!("The action is one of {}.", names.join(", "));
                return Ok(faulty(None, Fault::at("/action", "NOT_ALLOWED", detail)));
            }
        };
        let Some(rule) = crate::domain::lifecycle::rule(action, resolution) else {
            return Ok(faulty(None, Fault::at("/action", "NOT_ALLOWED", "There is no such action.")));
        };
        let row = TABLE.iter().position(|row| (row.action, row.resolution) == (rule.action, rule.resolution));
        let Some(validator) = row.and_then(|row| VALIDATORS.get(row)) else {
            return Ok(faulty(None, Fault::at("/action", "NOT_ALLOWED", "There is no such action.")));
        };
        let (malformed, invalid) = schema::faults_of(validator, &value, &[]);
        if !malformed.is_empty() {
            return Err(malformed);
        }
        let command =
            if invalid.is_empty() { schema::check::<TransitionFields>(value)?.map(command) } else { Err(invalid) };
        Ok(Self(Wanted { action: Some(action), resolution, command }))
    }
}

fn faulty(action: Option<Action>, fault: Fault) -> TransitionRequest {
    TransitionRequest(Wanted { action, resolution: None, command: Err(vec![fault]) })
}

fn command(fields: TransitionFields) -> Command {
    Command {
        action: fields.action,
        from_stage: fields.from_stage,
        to_stage: fields.to_stage,
        resolution: fields.resolution,
        release_date: fields.release_date,
        solution_category_id: fields.solution_category_id,
        closure_notes: fields.closure_notes,
        minutes_spent: fields.minutes_spent,
        user_id: fields.user_id,
        group_id: fields.group_id,
        justification_id: fields.justification_id,
        note: fields.note,
        on_behalf_of: fields.on_behalf_of,
    }
}

/// An applied transition.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AppliedTransition {
    /// Identifier.
    pub id: TransitionId,
    /// The action.
    pub action: Action,
    /// Status before.
    pub from_status: Status,
    /// Status after.
    pub to_status: Status,
    /// Stage before.
    pub from_stage: String,
    /// Stage after.
    pub to_stage: String,
    /// The catalogued reason.
    pub justification_id: Option<JustificationId>,
    /// Words that went with it.
    pub note: Option<String>,
    /// How the release ended.
    pub resolution: Option<Resolution>,
    /// When it really went live.
    pub release_date: Option<Timestamp>,
    /// Category of the solution.
    pub solution_category_id: Option<SolutionCategoryId>,
    /// Closing words.
    pub closure_notes: Option<String>,
    /// Minutes of work that the step took.
    pub minutes_spent: Option<i64>,
    /// The user that it was handed to.
    pub user_id: Option<UserId>,
    /// The group that it was handed to.
    pub group_id: Option<GroupId>,
    /// On whose behalf a release manager acted.
    pub on_behalf_of: Option<OnBehalfOf>,
    /// Who did it.
    pub actor_id: UserId,
    /// When.
    pub at: Timestamp,
    /// Always 1: an applied transition never changes.
    pub row_version: i64,
}

impl From<TransitionRow> for AppliedTransition {
    fn from(row: TransitionRow) -> Self {
        let given = |name: &str| row.details.0.get(name).cloned().unwrap_or(Value::Null);
        fn read<T: serde::de::DeserializeOwned>(value: Value) -> Option<T> {
            serde_json::from_value(value).ok()
        }
        Self {
            id: row.id,
            action: row.action,
            from_status: row.from_status,
            to_status: row.to_status,
            from_stage: row.from_stage.clone(),
            to_stage: row.to_stage.clone(),
            justification_id: row.justification_id,
            note: read(given("note")),
            resolution: read(given("resolution")),
            release_date: read(given("release_date")),
            solution_category_id: row.solution_category_id,
            closure_notes: read(given("closure_notes")),
            minutes_spent: read(given("minutes_spent")),
            user_id: read(given("user_id")),
            group_id: read(given("group_id")),
            on_behalf_of: read(given("on_behalf_of")),
            actor_id: row.actor_id,
            at: row.at,
            row_version: 1,
        }
    }
}

/// A transition, and the release after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransitionResult {
    /// The transition.
    pub transition: AppliedTransition,
    /// The release after it.
    pub release: Release,
    /// What became of its configuration items, where the action is `close`, `cancel` or `reopen`; else null.
    pub write_back: Option<WriteBackSummary>,
}

/// Do one action of the lifecycle
///
/// Advance, send back, capture, delegate, suspend, reactivate, cancel, close or reopen a release. A refusal names
/// every blocker of the first class that has any: right (403), state (409), input and gates (422). `If-Match` is
/// honoured when it is sent. Of callers racing, exactly one wins.
#[utoipa::path(tag = "Lifecycle", params(("release" = String, Path,)), request_body = TransitionRequest, responses((status = 201, body = TransitionResult)))]
#[post("/releases/{release}/transitions")]
async fn create_transition(call: Call, body: Body<TransitionRequest>) -> Answer {
    let path = call.clone();
    let action = body.content().and_then(|request| request.0.action);
    let answer = call.write(&["dry_run"], body, move |context, request| {
        let applied = lifecycle::transition(context, path.id("release", "release")?, &request.0)?;
        let (id, row_version) = (applied.shown.release.id, applied.shown.release.row_version);
        let result = TransitionResult {
            transition: AppliedTransition::from(applied.transition),
            release: Release::from(applied.shown),
            write_back: applied.write_back,
        };
        let location = format!("{BASE}/releases/{id}/transitions");
        Ok(Reply::json(201, &result)?.version(row_version).at(location).about(id))
    });
    let answer = answer.await;
    if let Some(action) = action {
        metrics().count_transition(action, outcome(&answer));
    }
    answer
}

/// List the transitions of a release
///
/// Those applied, newest first.
#[utoipa::path(tag = "Lifecycle", params(("release" = String, Path,)), responses((status = 200, body = Page<AppliedTransition>)))]
#[get("/releases/{release}/transitions")]
async fn list_transitions(call: Call) -> Answer {
    let path = call.clone();
    call.list(&TRANSITIONS, &["release_id"], move |context, query| {
        context.authorise(Access::Read)?;
        let rows = lifecycle::transitions(context, path.id("release", "release")?, query.clone())?;
        paging::reply(&path, &TRANSITIONS, &query, rows, AppliedTransition::from, |row, _| {
            (SqlValue::Integer(row.seq), row.id.to_string())
        })
    })
    .await
}

/// What the caller may do with a release.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllowedTransitions {
    /// Every action, in the order of the table.
    pub data: Vec<Verdict>,
    /// Status of the release.
    pub status: Status,
    /// Stage of the release.
    pub stage: String,
    /// What closing as solved would do to its configuration items; null where it is not under way.
    pub write_back: Option<WriteBackSummary>,
    /// What does not stand in the way, and should be known.
    #[schema(max_items = 10)]
    pub warnings: Vec<Warning>,
}

/// Tell what is allowed
///
/// For every action: whether the caller may do it now, given the right input, and every blocker that is in the way.
#[utoipa::path(tag = "Lifecycle", params(("release" = String, Path,)), responses((status = 200, body = AllowedTransitions)))]
#[get("/releases/{release}/allowed-transitions")]
async fn list_allowed_transitions(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let Allowed { release, verdicts: data, write_back, warnings } =
            lifecycle::allowed_transitions(context, path.id("release", "release")?)?;
        let (status, stage) = (release.status, release.stage);
        Reply::json(200, &AllowedTransitions { data, status, stage, write_back, warnings })
    })
    .await
}
