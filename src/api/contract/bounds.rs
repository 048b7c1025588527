//! What every schema of the document says besides its fields: bounds, the form of its texts, an example.
//!
//! Written here once, by the name of the property, so that no answer is left without an end. Nothing here is
//! checked at run time: what a request may hold is said where its type is, and text with NUL is refused everywhere.

use serde_json::{Map, Value, json};

use super::shapes::{AN_ID, AN_INSTANT};
use crate::api::body::BODY_BYTES_MAX;
use crate::api::paging::LIMIT_MAX;
use crate::domain::rank::RANK_LENGTH_MAX;
use crate::error::{ERRORS_MAX, PROBLEM_CODES};
use crate::repository::directory::MEMBERS_MAX;

/// What every reader of JSON holds exactly.
const INTEGER_MAX: i64 = 9_007_199_254_740_991;
/// The head of a request has at most so many bytes, and so has what is taken out of it.
const HEAD_BYTES_MAX: usize = 131_072;
/// Text without NUL, which a database cannot keep.
pub const TEXT: &str = "^[^\\x00]*$";
/// The same, with more than white space.
const WORDS: &str = "^[^\\x00]*[^\\s\\x00][^\\x00]*$";

/// Texts by the name of their property: how long at most, and an example.
const TEXTS: &[(&str, usize, &str)] = &[
    ("access_token", 4096, "eyJ…"),
    ("action", 100, "release.advance"),
    ("actor_name", 200, "Ana Souza"),
    ("alg", 10, "EdDSA"),
    ("blocker_codes", 64, "NO_CHANGE_LINKED"),
    ("body", 65_000, "The vendor confirms"),
    ("calendar_id", 50, AN_ID),
    ("category", 100, "vendor"),
    ("assignee_name", 200, "Ana Souza"),
    ("author_name", 200, "Ana Souza"),
    ("body", 10_000, "The shops agree."),
    ("class", 50, "server"),
    ("closure_notes", 65_000, "All shops pay again"),
    ("code", 64, "NO_CHANGE_LINKED"),
    ("contact", 200, "Rui Lima"),
    ("comment", 2000, "The plan is sound."),
    ("contact_name", 200, "Rui Lima"),
    ("content_sha256", 64, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    ("crv", 20, "Ed25519"),
    ("current_password", 256, "the password of before"),
    ("current_stage", 100, "planning"),
    ("cursor", 4096, "eyJiIjoi"),
    ("description", 65_000, "New card processor"),
    ("detail", 4000, "No change is linked to the release."),
    ("email", 254, "ana@example.org"),
    ("extension", 20, "17"),
    ("external_id", 100, "CHG-1042"),
    ("field", 2 * BODY_BYTES_MAX, "/title"),
    ("file", 1 << 30, "what the tests said"),
    ("file_name", 255, "payments-4.2.0.zip"),
    ("from_stage", 100, "planning"),
    ("gate", 64, "changes_linked"),
    ("group_name", 200, "Payments delivery"),
    ("hash", 64, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    ("head", 64, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    ("holder", 200, "Example Bank"),
    ("hint", 4, "0a4b"),
    ("icon", 100, "credit-card"),
    ("instance", HEAD_BYTES_MAX, "/api/v1/releases/REL-1"),
    ("key", 100, "standard"),
    ("kid", 64, "c3d5c81808be3405"),
    ("kty", 10, "OKP"),
    ("location", 200, "Lisbon"),
    ("logical_location", 2000, "registry.example.org/payments:4.2.0"),
    ("media_type", 200, "text/plain"),
    ("model", 100, "Terminal T7"),
    ("name", 200, "Payments"),
    ("needs", 500, "justification"),
    ("next_cursor", 4096, "eyJiIjoi"),
    ("note", 10_000, "Waiting for the vendor"),
    ("notes", 2000, "Prefers the telephone"),
    ("outcome_note", 2000, "On all nodes"),
    ("parameter", HEAD_BYTES_MAX, "limit"),
    ("parameters", 64, "min"),
    ("password", 256, "a long and memorable phrase"),
    ("phone", 50, "+351 210 000 000"),
    ("physical_location", 200, "Safe 2, shelf 4"),
    ("pointer", 2 * BODY_BYTES_MAX, "/title"),
    ("position", 2 + RANK_LENGTH_MAX, "11bV000"),
    ("previous_hash", 64, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    ("q", 200, "pay"),
    ("reason", 500, "The row was altered."),
    ("question_key", 50, "backup"),
    ("record_id", 50, AN_ID),
    ("record_type", 50, "release"),
    ("refresh_token", 200, "slr_…"),
    ("refs", 50, AN_ID),
    ("request_id", 128, AN_ID),
    ("required_fields", 64, "from_stage"),
    ("return_stage", 100, "planning"),
    ("rollback_plan", 65_000, "Put version 4.1 back"),
    ("serial", 100, "T7-000481"),
    ("sha256", 64, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    ("source", 50, "servicedesk"),
    ("stage", 100, "planning"),
    ("statement", 4096, "eyJ…"),
    ("subject_id", 50, AN_ID),
    ("subject_type", 50, "release"),
    ("tag", 50, "payments"),
    ("tags", 50, "payments"),
    ("technical_guidelines", 65_000, "Runbook 12, chapters 3 to 5"),
    ("text", 1000, "Card payments work"),
    ("title", 200, "Payments 4.2"),
    ("to_stage", 100, "authorization"),
    ("token", 100, "slp_…"),
    ("token_type", 20, "Bearer"),
    ("total_relation", 10, "eq"),
    ("type", 100, "urn:slipway:problem:GATES_NOT_MET"),
    ("url", 2000, "https://desk.example.org/CHG-1042"),
    ("use", 10, "sig"),
    ("username", 64, "ana.souza"),
    ("version", 50, "4.2.0"),
    ("via", 50, "session"),
    ("withdrawal_comment", 2000, "The window has become doubtful."),
    ("workflow", 100, "standard"),
    ("x", 64, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
];

/// Lists of answers by the name of their property: how many items at most.
const LISTS: &[(&str, usize)] = &[
    ("acceptance_criteria", 100),
    ("actions", 20),
    ("allowed_actions", 20),
    ("blocker_codes", 20),
    ("blockers", 2000),
    ("depends_on", 50),
    ("cards", 1000),
    ("checklist", 100),
    ("columns", 4),
    ("errors", ERRORS_MAX),
    ("fields", 20),
    ("from_status", 10),
    ("gates", 50),
    ("keys", 100),
    ("parameters", 20),
    ("missing", 5),
    ("options", 50),
    ("permissions", 11),
    ("refs", 1000),
    ("required_fields", 20),
    ("responsible", 20),
    ("scopes", 5),
    ("stages", 100),
    ("statuses", 10),
    ("tags", 50),
    ("transitions", 100),
    ("voters", 20),
    ("votes", 200),
    // A body of the largest size changes so many fields at most, and joins so many groups.
    ("changes", BODY_BYTES_MAX),
    ("groups", BODY_BYTES_MAX),
];

/// Completes the whole document.
pub fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let known = Known { schemas: &schemas };
    let mut completed = schemas.clone();
    for (name, schema) in &mut completed {
        // A release is answered without what belongs to it, but where that is asked for.
        if let Some(included) = schema.pointer_mut("/properties/included") {
            included["example"] = Value::Null;
        }
        known.schema(schema, name, name);
    }
    // Examples are taken from schemas that have theirs already.
    let known = Known { schemas: &completed };
    if let Some(headers) = document["components"]["headers"].as_object_mut() {
        for (name, header) in headers {
            known.schema(&mut header["schema"], name, "");
            header["example"] = known.example(&header["schema"], name);
        }
    }
    if let Some(responses) = document["components"]["responses"].as_object_mut() {
        for (name, response) in responses {
            let status = name.trim_start_matches("Problem").parse::<u16>().unwrap_or_default();
            for content in contents(response) {
                content["example"] = problem(status);
            }
        }
    }
    for operation in super::shapes::operations_mut(document) {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            if let Some(example) = parameter.get("example").cloned() {
                parameter["schema"]["example"] = example;
            }
            known.schema(&mut parameter["schema"], &name, "");
            if parameter.get("example").is_none() {
                parameter["example"] = known.example(&parameter["schema"], &name);
            }
            if parameter["required"] != json!(true) {
                show_and_do_not_fill(parameter);
            }
        }
        if let Some(body) = operation.get_mut("requestBody") {
            for content in contents(body) {
                content["example"] = known.example(&content["schema"], "");
            }
        }
        let included = operation["operationId"] == json!("read_release");
        for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            for content in contents(response) {
                content["example"] = known.example(&content["schema"], "");
                if included {
                    content["example"]["included"] = known.example(&component("Included"), "");
                }
            }
        }
    }
    document["components"]["schemas"] = Value::Object(completed);
}

/// Says the example of what may be left out where it is read, and not where forms are filled with it: whoever tries an
/// operation in the browser sends what they wrote, and not a key or a cursor of somebody else.
fn show_and_do_not_fill(place: &mut Value) {
    let example = place.as_object_mut().and_then(|place| place.shift_remove("example"));
    let schema = if place.get("schema").is_some() { &mut place["schema"] } else { place };
    let own = schema.as_object_mut().and_then(|schema| schema.shift_remove("example"));
    if let Some(example) = example.or(own) {
        schema["examples"] = json!([example]);
    }
}

fn component(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn contents(holder: &mut Value) -> impl Iterator<Item = &mut Value> {
    holder.get_mut("content").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
}

/// A problem of this status.
fn problem(status: u16) -> Value {
    let (code, _, title) =
        PROBLEM_CODES.iter().find(|(_, known, _)| *known == status).copied().unwrap_or(("INTERNAL", 500, ""));
    json!({
        "type": format!("urn:slipway:problem:{code}"),
        "title": title,
        "status": status,
        "detail": format!("{title}."),
        "instance": "/api/v1/releases/REL-1",
        "code": code,
        "request_id": AN_ID,
        "errors": [],
    })
}

fn is(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == kind,
        Value::Array(kinds) => kinds.iter().any(|other| other == kind),
        _ => false,
    }
}

struct Known<'d> {
    schemas: &'d Map<String, Value>,
}

impl Known<'_> {
    /// Completes a schema: `name` is that of the property, `owner` that of the component that it is part of.
    fn schema(&self, schema: &mut Value, name: &str, owner: &str) {
        if !schema.is_object() || schema.get("$ref").is_some() {
            return;
        }
        for (property, inner) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            self.schema(inner, property, owner);
        }
        for place in ["oneOf", "anyOf", "allOf"] {
            for branch in schema.get_mut(place).and_then(Value::as_array_mut).into_iter().flatten() {
                self.schema(branch, name, owner);
            }
        }
        if let Some(items) = schema.get_mut("items") {
            self.schema(items, name, owner);
        }
        if is(schema, "string") {
            text(schema, name);
        }
        if is(schema, "integer") {
            integer(schema);
        }
        if is(schema, "number") {
            number(schema);
        }
        if is(schema, "array") && schema.get("maxItems").is_none() {
            let page = match owner {
                "GroupMemberPage" => MEMBERS_MAX,
                _ => LIMIT_MAX,
            };
            let bound = LISTS.iter().find(|(known, _)| *known == name).map(|(_, bound)| json!(bound));
            if let Some(bound) = bound.or_else(|| (name == "data").then(|| json!(page))) {
                schema["maxItems"] = bound;
            }
        }
        if schema.get("example").is_none() {
            schema["example"] = self.example(schema, name);
        }
    }

    /// An example of what a schema describes.
    fn example(&self, schema: &Value, name: &str) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.schemas.get(name).map_or(Value::Null, |schema| self.example(schema, name));
        }
        if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
            return example.clone();
        }
        if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
            return value.clone();
        }
        if let Some(value) = schema["enum"].get(0) {
            return value.clone();
        }
        for place in ["oneOf", "anyOf", "allOf"] {
            let mut branches = schema[place].as_array().into_iter().flatten();
            if let Some(branch) = branches.find(|branch| branch["type"] != json!("null")) {
                return self.example(branch, name);
            }
        }
        if is(schema, "object") {
            let properties = schema["properties"].as_object().into_iter().flatten();
            return properties.map(|(name, inner)| (name.clone(), self.example(inner, name))).collect();
        }
        if is(schema, "array") {
            return json!([self.example(&schema["items"], name)]);
        }
        if is(schema, "integer") {
            return schema.get("minimum").cloned().unwrap_or(json!(1));
        }
        if is(schema, "boolean") {
            return json!(true);
        }
        if is(schema, "number") {
            return schema.get("minimum").cloned().unwrap_or(json!(1));
        }
        if is(schema, "string") {
            return match schema["format"].as_str() {
                Some("date-time") => json!(AN_INSTANT),
                Some("uuid") => json!(AN_ID),
                _ => TEXTS.iter().find(|(known, ..)| *known == name).map_or(json!("text"), |(.., text)| json!(text)),
            };
        }
        Value::Null
    }
}

fn text(schema: &mut Value, name: &str) {
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        return;
    }
    if schema.get("maxLength").is_none()
        && let Some((_, bound, _)) = TEXTS.iter().find(|(known, ..)| *known == name)
    {
        schema["maxLength"] = json!(bound);
    }
    if schema["pattern"] == json!("^[^,]*$") {
        schema["pattern"] = json!("^[^,\\x00]*$");
    }
    if schema.get("format").is_some() || schema.get("pattern").is_some() {
        return;
    }
    match name {
        "email" => schema["format"] = json!("email"),
        // What was sent is named as it was sent, be it with NUL.
        "detail" | "parameter" => schema["pattern"] = json!("^[\\s\\S]*$"),
        "pointer" | "field" => schema["pattern"] = json!("^(/[\\s\\S]*)?$"),
        "url" => schema["pattern"] = json!("^https?://[^\\s\\x00]+$"),
        _ if schema["minLength"].as_u64().is_some_and(|least| least > 0) => schema["pattern"] = json!(WORDS),
        _ => schema["pattern"] = json!(TEXT),
    }
}

fn number(schema: &mut Value) {
    for (place, value) in [("minimum", json!(-INTEGER_MAX)), ("maximum", json!(INTEGER_MAX))] {
        if schema.get(place).is_none() {
            schema[place] = value;
        }
    }
}

fn integer(schema: &mut Value) {
    let int32 = schema["format"] == json!("int32");
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        return;
    }
    for (place, value) in [
        ("format", json!("int64")),
        ("minimum", json!(0)),
        ("maximum", if int32 { json!(i32::MAX) } else { json!(INTEGER_MAX) }),
    ] {
        if schema.get(place).is_none() {
            schema[place] = value;
        }
    }
}
