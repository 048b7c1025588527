//! The contract: the document that utoipa collects from the operations, finished by rule.
//!
//! What holds for every operation - errors, headers, security, the parameters of lists - is written here once
//! and put into each of them, so that no handler can forget it.

mod bounds;
mod content;
mod imports;
mod links;
mod paths;
mod shapes;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::ToSchema as _;
use utoipa_actix_web::AppExt as _;

pub use self::paths::{methods_of, shadowed, template_of, templates};
pub use self::shapes::patch_schema;
use super::conditions::{CONDITION_LENGTH_MAX, CONDITION_PATTERN};
use super::v1::release_view;
use super::{BASE, v1};
use crate::domain::impact;
use crate::domain::lifecycle::Blocker;
use crate::domain::values::TIMESTAMP_PATTERN;
use crate::error::{FAULT_CODES, PROBLEM_CODES, Problem};
use crate::repository::audit as audit_rows;
use crate::repository::imports as import_rows;
use crate::repository::listing::{ATTRIBUTE_NAME_MAX, ATTRIBUTE_VALUE_MAX, Kind, ListSpec};
use crate::repository::nouns::{
    Calendar, Change, ChecklistTemplate, ConfigurationItem, Contract, DefinitiveMedium, Group, HardwareSpare,
    Justification, Model, Noun, Portfolio, SolutionCategory, Unit, User,
};
use crate::repository::{
    activities, activity_notes, approvals, checkpoints, comments, configuration_items, documents, item_links, records,
    references, relationships, releases, transitions, workflows, write_backs,
};

/// The document, as it is served and committed.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
});

/// Nulls the identifiers that the dry run of a creation or a transition made up.
pub fn without_made_ids(body: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(body) else {
        return body.to_owned();
    };
    let made = if value.get("transition").is_some() { &mut value["transition"] } else { &mut value };
    for name in ["id", "number", "key"] {
        if made.get(name).is_some() {
            made[name] = Value::Null;
        }
    }
    // What is linked along with it.
    let along = value.pointer_mut("/configuration_items_linked/linked").and_then(Value::as_array_mut);
    for made in along.into_iter().flatten() {
        made["id"] = Value::Null;
    }
    value.to_string()
}

/// The lists that take filters, by operation, with the filters that the path fixes.
fn lists() -> Vec<(&'static str, &'static ListSpec, &'static [&'static str])> {
    vec![
        ("list_units", Unit::LIST, &[]),
        ("list_users", User::LIST, &[]),
        ("list_groups", Group::LIST, &[]),
        ("list_contracts", Contract::LIST, &[]),
        ("list_justifications", Justification::LIST, &[]),
        ("list_solution_categories", SolutionCategory::LIST, &[]),
        ("list_checklist_templates", ChecklistTemplate::LIST, &[]),
        ("list_calendars", Calendar::LIST, &[]),
        ("list_portfolios", Portfolio::LIST, &[]),
        ("list_models", Model::LIST, &[]),
        ("list_workflows", &workflows::LIST, &[]),
        ("list_portfolio_models", Model::LIST, &["portfolio"]),
        ("list_changes", Change::LIST, &[]),
        ("list_configuration_items", ConfigurationItem::LIST, &[]),
        ("list_definitive_media", DefinitiveMedium::LIST, &[]),
        ("list_hardware_spares", HardwareSpare::LIST, &[]),
        ("list_release_configuration_items", &item_links::LIST, &["release_id"]),
        ("list_write_backs", &write_backs::LIST, &[write_backs::VISIBLE_TO]),
        ("list_change_releases", &releases::LIST, &["change"]),
        ("list_relationships", &relationships::LIST, &["item_id"]),
        ("list_imports", &import_rows::LIST, &[]),
        ("list_import_results", &import_rows::RESULTS, &["import_id"]),
        ("list_item_history", &configuration_items::HISTORY, &["item_id"]),
        ("list_item_releases", &releases::LIST, &["configuration_item"]),
        ("list_documents", &documents::LIST, &["release_id"]),
        ("list_releases", &releases::LIST, &[]),
        ("list_votes", &approvals::VOTES, &["release_id"]),
        ("list_transitions", &transitions::TRANSITIONS, &["release_id"]),
        ("list_records", &records::LIST, &["release_id"]),
        ("list_references", &references::LIST, &["release_id"]),
        ("list_release_comments", &comments::LIST, &["release_id"]),
        ("list_history", &audit_rows::HISTORY, &["record_type", "record_id"]),
        ("list_audit", &audit_rows::LIST, &[]),
        ("list_checkpoints", &checkpoints::LIST, &[]),
        ("list_activities", &activities::LIST, &["release_id"]),
        ("list_activity_comments", &activity_notes::COMMENTS, &["activity_id"]),
    ]
}

/// The lists that are short enough to be read whole: without a limit they answer all of it.
const WHOLE_LISTS: &[&str] = &[
    "list_release_changes",
    "list_release_roles",
    "list_release_checklists",
    "list_shares",
    "list_time_entries",
    "list_members",
    "list_tokens",
];

fn collected() -> Value {
    let (_, api) = actix_web::App::new()
        .into_utoipa_app()
        .service(utoipa_actix_web::scope(BASE).configure(|config| v1::configure(config)))
        .split_for_parts();
    serde_json::to_value(api).unwrap_or_default()
}

fn document() -> Value {
    let mut document = collected();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Slipway",
        "version": env!("CARGO_PKG_VERSION"),
        "description": description(),
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        "contact": {"name": "Slipway"},
    });
    document["servers"] = json!([{"url": "/", "description": "This server"}]);
    document["tags"] = json!([
        {"name": "Activities", "description": "What is to be done in a release: activities and their boards."},
        {"name": "Approvals", "description": "Who must approve a release, and their votes."},
        {"name": "Audit", "description": "What happened, and the proof of it."},
        {"name": "Catalogue", "description": "Justifications, solution categories, checklist templates, calendars, portfolios and models."},
        {"name": "Changes", "description": "Working copies of changes, and their links to releases."},
        {"name": "Configuration items", "description": "Working copies of what CMDBs own, and what releases do to them."},
        {"name": "Comments", "description": "The discussion of releases."},
        {"name": "Checklists", "description": "What is asked before a stage is left, and the answers."},
        {"name": "Directory", "description": "Users, groups, units and contracts."},
        {"name": "Documents", "description": "Files that belong to releases."},
        {"name": "Identity", "description": "Logging in, tokens, and who I am."},
        {"name": "Library", "description": "The definitive media library and the definitive hardware store, and what releases use of them."},
        {"name": "Lifecycle", "description": "What may happen to releases, and making it happen."},
        {"name": "Records", "description": "What was done, seen and said about releases."},
        {"name": "References", "description": "What other tools hold about releases."},
        {"name": "Releases", "description": "Releases themselves."},
        {"name": "Roles", "description": "Who is responsible, accountable, consulted and informed."},
        {"name": "Shares", "description": "With whom releases are shared."},
    ]);
    add_schemas(&mut document);
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            if let Some(item) = item.as_object_mut() {
                for (method, operation) in item {
                    finish(path, method, operation);
                }
            }
        }
    }
    let mut document = shapes::finish(document);
    links::add(&mut document);
    bounds::complete(&mut document);
    document
}

fn description() -> String {
    let mut text = String::from(
        "ITIL release management: plan, authorise, execute, test, accept and close releases under change management.\n\n\
         Every error is an `application/problem+json` document (RFC 9457) that names every fault of its class at once. \
         Lists are keyset-paged. Changing and deleting need `If-Match`. Every POST takes an `Idempotency-Key`.\n\n\
         ## Problem codes\n\n| Code | Status | Meaning |\n|---|---|---|\n",
    );
    for (code, status, title) in PROBLEM_CODES {
        text.push_str(&format!("| `{code}` | {status} | {title} |\n"));
    }
    text.push_str("\n## Codes of single faults and blockers\n\n| Code | Meaning |\n|---|---|\n");
    for (code, meaning) in FAULT_CODES {
        text.push_str(&format!("| `{code}` | {meaning} |\n"));
    }
    text
}

fn add_schemas(document: &mut Value) {
    let mut more = Vec::new();
    Problem::schemas(&mut more);
    more.push(("Problem".into(), <Problem as utoipa::PartialSchema>::schema()));
    Blocker::schemas(&mut more);
    for (name, schema) in more {
        document["components"]["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token of `POST /api/v1/auth/login`, or a personal access token.",
        }
    });
    document["components"]["headers"] = json!({
        "X-Request-Id": {"description": "Names the request in logs, audit and problems.", "schema": {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9._:-]+$", "example": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}},
        "ETag": {"description": "Version and digest of the representation; `If-Match` compares the part before the dot.", "schema": {"type": "string", "maxLength": 100, "pattern": "^\"[0-9]+\\.[0-9a-f]+\"$", "example": "\"3.2cf24dba5fb0a30e\""}},
        "Location": {"description": "Where the new resource is.", "schema": {"type": "string", "maxLength": 1000, "pattern": "^/", "example": "/api/v1/releases/01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}},
        "Link": {"description": "`rel=\"next\"`: the next page, where there is one.", "schema": {"type": "string", "maxLength": 8000, "pattern": "^<.+>; rel=\"next\"$", "example": "</api/v1/releases?cursor=eyJiIjoi>; rel=\"next\""}},
        "Cache-Control": {"description": "`no-store`, or `private, no-cache` where an ETag serves.", "schema": {"type": "string", "maxLength": 100, "pattern": "^[a-z0-9=, -]+$", "example": "no-store"}},
        "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string", "maxLength": 200, "pattern": "^Bearer ", "example": "Bearer realm=\"slipway\""}},
        "Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 86400}},
        "Idempotent-Replayed": {"description": "`true`: this is the kept answer of the first request with the key.", "schema": {"type": "string", "enum": ["true"]}},
        "Dry-Run": {"description": "`true`: nothing was stored.", "schema": {"type": "string", "enum": ["true"]}},
        "RateLimit": {"description": "What is left of the rate limit, where one is set.", "schema": {"type": "string", "maxLength": 100, "pattern": "^\"[a-z-]+\";r=[0-9]+(;t=[0-9]+)?$", "example": "\"default\";r=599"}},
        "RateLimit-Policy": {"description": "The rate limit, where one is set.", "schema": {"type": "string", "maxLength": 100, "pattern": "^\"[a-z-]+\";q=[0-9]+;w=[0-9]+$", "example": "\"default\";q=600;w=60"}},
        "traceresponse": {"description": "The trace of the request's `traceparent`, with the span of this request (W3C Trace Context).", "schema": {"type": "string", "maxLength": 100, "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
    });
    content::add_headers(&mut document["components"]["headers"]);
    let statuses: Vec<u16> = {
        let mut all: Vec<u16> = PROBLEM_CODES.iter().map(|(_, status, _)| *status).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    for status in statuses {
        document["components"]["responses"][format!("Problem{status}")] = problem_response(status);
    }
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

fn problem_response(status: u16) -> Value {
    let codes: Vec<String> = PROBLEM_CODES
        .iter()
        .filter(|(_, known, _)| *known == status)
        .map(|(code, _, title)| format!("`{code}`: {title}"))
        .collect();
    let mut headers = json!({
        "X-Request-Id": header("X-Request-Id"),
        "Cache-Control": header("Cache-Control"),
        "RateLimit": header("RateLimit"),
        "RateLimit-Policy": header("RateLimit-Policy"),
        "traceresponse": header("traceresponse"),
    });
    if status == 401 {
        headers["WWW-Authenticate"] = header("WWW-Authenticate");
    }
    if status == 416 {
        headers["Content-Range"] = header("Content-Range");
    }
    if status == 429 || status == 503 {
        headers["Retry-After"] = header("Retry-After");
    }
    json!({
        "description": format!("{}.", codes.join("; ")),
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

fn finish(path: &str, method: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let public = matches!(id.as_str(), "create_session" | "refresh_session");
    let has_body = operation.get("requestBody").is_some();
    if id == "import_configuration_items" {
        imports::describe_upload(operation);
    }
    describe(&id, operation);
    operation["security"] = if public { json!([]) } else { json!([{"bearer": []}]) };
    if has_body {
        operation["requestBody"]["required"] = json!(true);
        operation["requestBody"]["description"] = json!(match (id.as_str(), method) {
            ("import_configuration_items", _) => "The rows.",
            (_, "patch") => "A JSON merge patch: what it does not name stays.",
            _ => "The content; unknown fields are refused.",
        });
        make_patch_body(operation);
    }
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut parameters {
        finish_path_parameter(parameter);
    }
    parameters.extend(more_parameters(&id, method, path));
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    let dry_run = takes_dry_run(&id, method);
    let success: Vec<String> =
        operation["responses"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    for status in &success {
        finish_success(&id, method, status, &mut operation["responses"][status.as_str()]);
    }
    if dry_run && success.iter().any(|status| status == "201") {
        operation["responses"]["200"] = json!({
            "description": "A dry run (`dry_run=true`): what would result, with made identifiers null. Nothing was stored.",
            "headers": {
                "X-Request-Id": header("X-Request-Id"),
                "Cache-Control": header("Cache-Control"),
                "Dry-Run": header("Dry-Run"),
                "RateLimit": header("RateLimit"),
                "RateLimit-Policy": header("RateLimit-Policy"),
                "traceresponse": header("traceresponse"),
            },
            "content": {"application/json": {"schema": {"type": "object", "additionalProperties": true}}},
        });
    }
    for status in errors(&id, method, path, has_body, public) {
        operation["responses"][status.to_string()] = json!({"$ref": format!("#/components/responses/Problem{status}")});
    }
    if content::DOWNLOADS.contains(&id.as_str()) {
        content::describe(operation);
    }
    if id == "list_import_results" {
        imports::describe_results(operation);
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        let mut sorted: Vec<(String, Value)> = std::mem::take(responses).into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        responses.extend(sorted);
    }
}

/// Summary and description of operations on reference data, which share their handlers.
fn describe(id: &str, operation: &mut Value) {
    if operation.get("summary").is_some_and(|summary| summary.as_str().is_some_and(|s| !s.is_empty())) {
        return;
    }
    let (verb, noun) = id.split_once('_').unwrap_or((id, "record"));
    let noun = noun.replace('_', " ");
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    let (summary, description) = match verb {
        "list" => (format!("List {noun}"), format!("A page of {noun}, filtered and sorted as the parameters say.")),
        "create" => (format!("Create {article} {noun}"), format!("Stores a new {noun} and answers it whole.")),
        "read" => (format!("Read {article} {noun}"), format!("One {noun}, by identifier.")),
        "update" => (
            format!("Update {article} {noun}"),
            "A JSON merge patch (RFC 7396): null clears, a list replaces. A patch that changes nothing stores nothing."
                .into(),
        ),
        _ => (
            format!("Delete {article} {noun}"),
            format!("Only {article} {noun} that nothing uses is deleted; else 409 says by what it is used."),
        ),
    };
    operation["summary"] = json!(summary);
    operation["description"] = json!(description);
}

fn make_patch_body(operation: &mut Value) {
    let Some(content) = operation["requestBody"]["content"].as_object_mut() else {
        return;
    };
    if let Some(patch) = content.get("application/merge-patch+json").cloned() {
        content.insert("application/json".into(), patch);
    }
}

fn finish_path_parameter(parameter: &mut Value) {
    if parameter["in"] != json!("path") {
        return;
    }
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    parameter["required"] = json!(true);
    if name == "release" {
        parameter["description"] = json!("Identifier of the release, or its key `REL-<number>`.");
        parameter["schema"] = json!({"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^(REL-[0-9]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"});
        parameter["example"] = json!("REL-1");
    } else if parameter.get("description").is_none_or(|d| d.as_str().is_none_or(str::is_empty)) {
        parameter["description"] = match name.as_str() {
            "id" => json!("Identifier."),
            "phase" => json!("The board."),
            "source" => json!("The tool that owns the record."),
            "external_id" => json!("Its key there."),
            "question_key" => json!("Key of the question."),
            _ => json!(format!("Identifier of the {}.", name.trim_end_matches("_id"))),
        };
        if matches!(name.as_str(), "source" | "external_id") {
            let max = if name == "source" { 50 } else { 100 };
            parameter["schema"] = json!({"type": "string", "minLength": 1, "maxLength": max});
        }
    }
}

fn takes_dry_run(id: &str, method: &str) -> bool {
    const NOT: &[&str] = &[
        "create_session",
        "refresh_session",
        "end_session",
        "create_token",
        "set_password",
        "add_member",
        "withdraw_vote",
        "upload_document",
        "import_configuration_items",
    ];
    matches!(method, "post" | "patch") && !NOT.contains(&id)
}

fn takes_key(id: &str, method: &str) -> bool {
    const NOT: &[&str] = &["create_session", "refresh_session", "end_session", "create_token", "set_password"];
    method == "post" && !NOT.contains(&id)
}

/// Operations that need no `If-Match`, and honour one.
fn honours_if_match(id: &str) -> bool {
    const SUCH: &[&str] = &[
        "cancel_import",
        "create_transition",
        "move_activity",
        "archive_activity",
        "unarchive_activity",
        "retire_workflow",
        "upload_medium_content",
        "verify_definitive_medium",
        "authorise_definitive_medium",
        "retire_definitive_medium",
        "confirm_write_back",
        "refuse_write_back",
        "upsert_change",
        "upsert_configuration_item",
    ];
    SUCH.contains(&id)
}

/// True where `If-Match` must be sent.
fn demands_version(id: &str, method: &str) -> bool {
    matches!(method, "patch" | "delete") || id == "set_approval_rule"
}

/// Operations that answer with a result for each of many, and so without a version.
fn answers_many(id: &str) -> bool {
    matches!(id, "link_configuration_items" | "revert_release")
}

fn is_single_read(id: &str) -> bool {
    id.starts_with("read_") && !matches!(id, "read_me" | "read_lifecycle" | "read_impact")
}

fn more_parameters(id: &str, method: &str, _path: &str) -> Vec<Value> {
    let mut more = Vec::new();
    let condition = |name: &str, required: bool, description: &str, example: &str| json!({"name": name, "in": "header", "required": required, "description": description, "schema": {"type": "string", "minLength": 1, "maxLength": CONDITION_LENGTH_MAX, "pattern": CONDITION_PATTERN}, "example": example});
    if let Some((_, spec, fixed)) = lists().into_iter().find(|(operation, ..)| *operation == id) {
        more.extend(list_parameters(spec, fixed));
    }
    if WHOLE_LISTS.contains(&id) {
        more.extend(page_parameters(None));
    }
    if takes_dry_run(id, method) {
        more.push(json!({"name": "dry_run", "in": "query", "required": false, "description": "`true`: the same checks and the same verdict, and nothing is stored.", "schema": {"type": "boolean", "default": false}}));
    }
    if takes_key(id, method) {
        let text = "Makes the request safe to repeat: the same key with the same request answers the first answer again, for 24 h. Visible ASCII.";
        more.push(json!({"name": "Idempotency-Key", "in": "header", "required": false, "description": text, "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}, "example": "close-REL-1"}));
    }
    if demands_version(id, method) {
        more.push(condition(
            "If-Match",
            true,
            "The ETag that the caller saw, its version alone in quotes, or `*` to override.",
            "*",
        ));
    }
    if id == "read_lifecycle" {
        let text = "The workflow to show: its key, for the newest version, or the identifier of a version.";
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 50, "pattern": "^[a-z0-9_-]+$"});
        more.push(json!({"name": "workflow", "in": "query", "required": false, "description": text, "schema": schema, "example": "standard"}));
    }
    if id == "read_release" {
        let text = "What of it is answered along, as `included`.";
        let parts = release_view::parts();
        let schema = json!({"type": "array", "items": {"type": "string", "enum": parts}, "minItems": 1, "maxItems": parts.len(), "uniqueItems": true});
        more.push(json!({"name": release_view::INCLUDE, "in": "query", "required": false, "description": text, "schema": schema, "style": "form", "explode": false, "example": ["comments"]}));
    }
    if id == "read_impact" {
        let depth = json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": impact::DEPTH_MAX, "default": impact::DEPTH_DEFAULT});
        more.push(json!({"name": "depth", "in": "query", "required": false, "description": "How many relationships far.", "schema": depth}));
        let direction = json!({"type": "string", "enum": ["upstream", "downstream", "both"], "default": "both"});
        more.push(json!({"name": "direction", "in": "query", "required": false, "description": "Which way.", "schema": direction}));
    }
    if honours_if_match(id) {
        more.push(condition("If-Match", false, "The ETag that the caller saw; honoured when it is sent.", "*"));
    }
    if is_single_read(id) {
        more.push(condition(
            "If-None-Match",
            false,
            "The ETag that the caller has; 304 where it still holds.",
            "\"3.2cf24dba5fb0a30e\"",
        ));
    }
    more
}

/// How many items, and which; all of them where there is no limit by default.
fn page_parameters(limit_default: Option<i64>) -> [Value; 2] {
    let mut limit = json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": super::paging::LIMIT_MAX});
    let text = match limit_default {
        Some(default) => {
            limit["default"] = json!(default);
            "Items on a page."
        }
        None => "Items on a page; without it, all of them.",
    };
    let cursor = json!({"type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[A-Za-z0-9_-]+$"});
    let behind = "Opens the page behind another; only with the same filters and sort.";
    [
        json!({"name": "limit", "in": "query", "required": false, "description": text, "schema": limit}),
        json!({"name": "cursor", "in": "query", "required": false, "description": behind, "schema": cursor}),
    ]
}

fn list_parameters(spec: &ListSpec, fixed: &[&str]) -> Vec<Value> {
    let query = |name: &str, description: String, schema: Value| json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema});
    let list = |items: Value| json!({"type": "array", "items": items, "minItems": 1, "maxItems": super::paging::FILTER_VALUES_MAX});
    let mut parameters = Vec::new();
    for filter in spec.filters.iter().filter(|filter| !fixed.contains(&filter.name)) {
        let (schema, several) = match filter.kind {
            Kind::Id => (list(json!({"type": "string", "format": "uuid", "maxLength": 36})), true),
            Kind::Text { max_length } => (
                list(json!({"type": "string", "minLength": 1, "maxLength": max_length, "pattern": "^[^,\\x00]+$"})),
                true,
            ),
            Kind::Attribute => {
                let pattern = format!("^[^:,\\x00]{{1,{ATTRIBUTE_NAME_MAX}}}:[^,\\x00]{{1,{ATTRIBUTE_VALUE_MAX}}}$");
                let max_length = ATTRIBUTE_NAME_MAX + 1 + ATTRIBUTE_VALUE_MAX;
                let item = json!({"type": "string", "minLength": 3, "maxLength": max_length, "pattern": pattern, "example": "cpu:8"});
                (list(item), true)
            }
            Kind::OneOf(words) => (list(json!({"type": "string", "enum": words})), true),
            Kind::Integer { min, max } => {
                (list(json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})), true)
            }
            Kind::Boolean => (json!({"type": "boolean"}), false),
            Kind::Instant => {
                (json!({"type": "string", "format": "date-time", "maxLength": 40, "pattern": TIMESTAMP_PATTERN}), false)
            }
            Kind::Prefix { max_length } => {
                (json!({"type": "string", "minLength": 1, "maxLength": max_length, "pattern": "^[^\\x00]+$"}), false)
            }
        };
        let mut parameter = query(filter.name, filter.doc.to_owned(), schema);
        if several {
            parameter["style"] = json!("form");
            parameter["explode"] = json!(false);
        }
        parameters.push(parameter);
    }
    let sorts: Vec<String> =
        spec.sorts.iter().flat_map(|sort| [sort.name.to_owned(), format!("-{}", sort.name)]).collect();
    parameters.push(query(
        "sort",
        "Sort key, with `-` for descending.".into(),
        json!({"type": "string", "enum": sorts, "default": spec.default_sort}),
    ));
    parameters.extend(page_parameters(Some(super::paging::LIMIT_DEFAULT)));
    parameters.push(query(
        "count",
        "`exact` adds how many items there are in all.".into(),
        json!({"type": "string", "enum": ["exact"]}),
    ));
    parameters
}

fn finish_success(id: &str, method: &str, status: &str, response: &mut Value) {
    let text = match (status, method) {
        ("200", "get") => "What was asked for.",
        ("200", _) => "Done.",
        ("201", _) => "Created.",
        ("202", _) => "Taken in; the answer tells where its progress is read.",
        _ => "Done; there is nothing to tell.",
    };
    if response["description"].as_str().is_none_or(str::is_empty) {
        response["description"] = json!(text);
    }
    let mut headers = Map::new();
    let mut add = |name: &str| {
        headers.insert(name.into(), header(name));
    };
    add("X-Request-Id");
    add("Cache-Control");
    add("RateLimit");
    add("RateLimit-Policy");
    add("traceresponse");
    let auth = matches!(id, "create_session" | "refresh_session");
    if matches!(status, "201" | "202") {
        add("Location");
    }
    let versioned = is_single_read(id)
        || (matches!(method, "post" | "patch" | "put")
            && matches!(status, "200" | "201" | "202")
            && !auth
            && !answers_many(id));
    if versioned {
        add("ETag");
    }
    if WHOLE_LISTS.contains(&id) || lists().iter().any(|(operation, ..)| *operation == id) {
        add("Link");
    }
    if takes_key(id, method) {
        add("Idempotent-Replayed");
    }
    if takes_dry_run(id, method) && status == "200" {
        add("Dry-Run");
    }
    response["headers"] = Value::Object(headers);
}

/// The statuses that an operation can answer with besides success.
fn errors(id: &str, method: &str, path: &str, has_body: bool, public: bool) -> Vec<u16> {
    let mut statuses = vec![400, 401, 406, 429, 500, 503];
    if !public {
        statuses.push(403);
    }
    if path.contains('{') && !id.starts_with("upsert_") || id == "read_lifecycle" {
        statuses.push(404);
    }
    if method != "get" {
        statuses.extend([408, 413, 507]);
    }
    if has_body {
        statuses.extend([415, 422]);
    } else if takes_key(id, method) {
        statuses.push(422);
    }
    if !public && method != "get" {
        statuses.push(409);
    }
    if demands_version(id, method) {
        statuses.extend([412, 428]);
    }
    if honours_if_match(id) {
        statuses.push(412);
    }
    if is_single_read(id) {
        statuses.push(304);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}
