//! The schemas of the document: generic types get their fields and the names that people expect.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::header;

/// Properties that are left out where they have nothing to say; every other one of an answer is always there.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "Included",
        &[
            "activities",
            "changes",
            "configuration_items",
            "roles",
            "checklists",
            "approvals",
            "records",
            "documents",
            "references",
            "shares",
            "comments",
            "definitive_media",
            "hardware_spares",
        ],
    ),
    ("PageInfo", &["total", "total_relation"]),
    ("Problem", &["blockers", "current_status", "current_stage", "allowed_actions", "current_row_version"]),
    ("ProblemFault", &["pointer", "parameter"]),
];
pub const AN_ID: &str = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
pub const AN_INSTANT: &str = "2030-11-21T09:30:00Z";

/// The schema of a merge patch: every property optional and, but for objects that are merged, nullable.
pub fn patch_schema(schema: &Value) -> Value {
    let mut patch = schema.clone();
    let Some(object) = patch.as_object_mut() else {
        return patch;
    };
    object.remove("required");
    object.insert("minProperties".into(), json!(1));
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for property in properties.values_mut() {
            if let Some(fields) = property.as_object_mut() {
                fields.remove("default");
            }
            *property = nullable(property.take());
        }
    }
    patch
}

/// The schema of a record as it is shown: identifier, content, version and instants, all of them present.
fn resource_schema(content: &Value) -> Value {
    let mut properties = Map::new();
    properties.insert(
        "id".into(),
        json!({"type": "string", "format": "uuid", "maxLength": 36, "description": "Identifier."}),
    );
    for (name, property) in content["properties"].as_object().into_iter().flatten() {
        let mut property = property.clone();
        if let Some(fields) = property.as_object_mut() {
            fields.remove("default");
        }
        properties.insert(name.clone(), property);
    }
    let text = "Rises with every change; the part of the ETag before the dot.";
    properties
        .insert("row_version".into(), json!({"type": "integer", "format": "int64", "minimum": 1, "description": text}));
    for (name, text) in [("created_at", "When it was made."), ("updated_at", "When it last changed.")] {
        let property = json!({"type": "string", "format": "date-time", "maxLength": 40, "description": text});
        properties.insert(name.into(), property);
    }
    let required: Vec<&String> = properties.keys().collect();
    let example = resource_example(content, &properties);
    json!({
        "type": "object",
        "description": content["description"],
        "required": required,
        "properties": properties,
        "example": example,
    })
}

/// The record that results from the example of its content.
fn resource_example(content: &Value, properties: &Map<String, Value>) -> Value {
    let mut example = Map::new();
    for (name, property) in properties {
        let given = content["example"].get(name);
        let default = content["properties"][name].get("default");
        let value = match (name.as_str(), given.or(default)) {
            (_, Some(value)) => value.clone(),
            ("id" | "portfolio_id", None) => json!(AN_ID),
            ("row_version", None) => json!(1),
            ("created_at" | "updated_at", None) => json!(AN_INSTANT),
            (_, None) if property["type"] == json!("array") => json!([]),
            (_, None) => Value::Null,
        };
        example.insert(name.clone(), value);
    }
    Value::Object(example)
}

fn nullable(mut property: Value) -> Value {
    match property.get("type").cloned() {
        Some(Value::String(kind)) => {
            property["type"] = json!([kind, "null"]);
            return property;
        }
        Some(Value::Array(kinds)) if kinds.contains(&json!("null")) => return property,
        _ => {}
    }
    let has_null = |name: &str| {
        property[name].as_array().is_some_and(|branches| branches.iter().any(|b| b["type"] == json!("null")))
    };
    if has_null("oneOf") || has_null("anyOf") || property.get("type").is_none() && property.get("$ref").is_none() {
        return property;
    }
    let description = property.as_object_mut().and_then(|fields| fields.remove("description"));
    let mut wrapped = json!({"oneOf": [{"type": "null"}, property]});
    if let Some(description) = description {
        wrapped["description"] = description;
    }
    wrapped
}

/// Gives the schemas of generic types their fields, and every schema the name that people expect.
pub fn finish(mut document: Value) -> Value {
    say_not_modified(&mut document);
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let nouns: BTreeSet<String> =
        schemas.keys().filter_map(|name| name.strip_prefix("ResourceOf_")).map(str::to_owned).collect();
    let new_name = |name: &str| renamed(name, &nouns);
    let mut finished: Map<String, Value> = Map::new();
    for (name, schema) in &schemas {
        let shape = if let Some(content) = name.strip_prefix("ResourceOf_") {
            resource_schema(&schemas[content])
        } else if let Some(content) = name.strip_prefix("PatchOf_") {
            patch_shape(&schemas[content])
        } else if let Some(item) = name.strip_prefix("Page_") {
            page_shape(schema, item)
        } else {
            schema.clone()
        };
        finished.insert(new_name(name), shape);
    }
    finished.insert("WindowPatch".into(), partial(&schemas["Window"]));
    document["components"]["schemas"] = Value::Object(finished);
    point(&mut document, &new_name);
    let sent = sent_by_callers(&document);
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        if !sent.contains(name) {
            demand_all(name, schema);
        }
    }
    add_dry_runs(&mut document);
    drop_unused(&mut document);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        let mut sorted: Vec<(String, Value)> = std::mem::take(schemas).into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        schemas.extend(sorted);
    }
    document
}

fn renamed(name: &str, nouns: &BTreeSet<String>) -> String {
    if let Some(item) = name.strip_prefix("Page_") {
        let item = item.strip_prefix("ResourceOf_").unwrap_or(item);
        return format!("{item}Page");
    }
    if let Some(noun) = name.strip_prefix("ResourceOf_") {
        return noun.to_owned();
    }
    if let Some(noun) = name.strip_prefix("PatchOf_") {
        return format!("{}Patch", noun.trim_end_matches("Fields"));
    }
    if nouns.contains(name) {
        return format!("{name}Input");
    }
    name.to_owned()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(_, item)| item.as_object().into_iter().flat_map(Map::values))
}

pub fn operations_mut(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flat_map(Map::values_mut))
}

fn say_not_modified(document: &mut Value) {
    for operation in operations_mut(document) {
        let content = operation["operationId"].as_str().is_some_and(|id| super::content::DOWNLOADS.contains(&id));
        if operation["responses"].get("304").is_some() {
            operation["responses"]["304"] = json!({
                "description": "What the caller has still holds.",
                "headers": {
                    "X-Request-Id": header("X-Request-Id"),
                    "ETag": header(if content { "Content-ETag" } else { "ETag" }),
                    "Cache-Control": header("Cache-Control"),
                    "RateLimit": header("RateLimit"),
                    "RateLimit-Policy": header("RateLimit-Policy"),
                },
            });
        }
    }
}

/// A merge patch as it is published. What a record needs is not cleared: a null there is refused in the whole that
/// results, and the document need not allow it.
fn partial(content: &Value) -> Value {
    let mut patch = patch_schema(content);
    for name in content["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        patch["properties"][name] = content["properties"][name].clone();
    }
    patch
}

/// A merge patch, whose windows are patched in part as well. A key is accepted, but never changes.
fn patch_shape(content: &Value) -> Value {
    let mut patch = partial(content);
    if let Some(example) = patch.get_mut("example").and_then(Value::as_object_mut) {
        example.shift_remove("source");
        example.shift_remove("external_id");
    }
    point(&mut patch, &|name: &str| if name == "Window" { "WindowPatch" } else { name }.to_owned());
    patch
}

/// A page that refers to its items by name.
fn page_shape(page: &Value, item: &str) -> Value {
    let mut page = page.clone();
    page["properties"]["data"]["items"] = json!({"$ref": format!("#/components/schemas/{item}")});
    page
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, item) in fields {
                match item {
                    Value::String(reference) if name == "$ref" => {
                        if let Some(schema) = reference.strip_prefix("#/components/schemas/") {
                            found.insert(schema.to_owned());
                        }
                    }
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The names of the schemas that these lead to, themselves included.
fn reached(document: &Value, mut open: BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop_first() {
        references(&document["components"]["schemas"][&name], &mut open);
        open.retain(|other| !found.contains(other) && *other != name);
        found.insert(name);
    }
    found
}

/// The schemas that bodies of requests are made of.
fn sent_by_callers(document: &Value) -> BTreeSet<String> {
    let mut bodies = BTreeSet::new();
    for operation in operations(document) {
        references(&operation["requestBody"], &mut bodies);
    }
    reached(document, bodies)
}

/// An absent value is null in an answer, never missing: every property is there.
fn demand_all(name: &str, schema: &mut Value) {
    let left_out = LEFT_OUT.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, names)| names);
    let names: Vec<String> = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .filter(|property| !left_out.contains(&property.as_str()))
        .cloned()
        .collect();
    if !names.is_empty() {
        schema["required"] = json!(names);
    }
}

/// What a dry run of a creation answers: the same as the creation, but for the identifiers, which are null.
fn add_dry_runs(document: &mut Value) {
    const MADE: [&str; 3] = ["id", "number", "key"];
    let created: BTreeSet<String> = operations(document)
        .filter(|operation| operation["responses"]["200"]["headers"].get("Dry-Run").is_some())
        .filter_map(|operation| {
            let schema = &operation["responses"]["201"]["content"]["application/json"]["schema"];
            let name = schema["$ref"].as_str()?.rsplit('/').next()?;
            Some(name.to_owned())
        })
        .collect();
    for name in &created {
        let mut schema = document["components"]["schemas"][name].clone();
        let transition = &document["components"]["schemas"]["AppliedTransition"];
        if let Some(inner) = schema["properties"].get_mut("transition") {
            *inner = transition.clone();
            inner["properties"]["id"] = nullable(inner["properties"]["id"].take());
        }
        if let Some(properties) = schema["properties"].as_object_mut() {
            for name in MADE {
                if let Some(property) = properties.get_mut(name) {
                    *property = nullable(property.take());
                }
            }
        }
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("example");
        }
        schema["description"] = json!(format!("What would result: a `{name}` whose made identifiers are null."));
        document["components"]["schemas"][format!("{name}DryRun")] = schema;
    }
    for operation in operations_mut(document) {
        let reference = operation["responses"]["201"]["content"]["application/json"]["schema"]["$ref"]
            .as_str()
            .map(|reference| format!("{reference}DryRun"));
        if let Some(reference) = reference
            && let Some(dry) = operation["responses"].get_mut("200")
            && dry["headers"].get("Dry-Run").is_some()
        {
            dry["content"]["application/json"]["schema"] = json!({"$ref": reference});
        }
    }
}

/// Responses and schemas that no operation leads to are nobody's business.
fn drop_unused(document: &mut Value) {
    let answers = document["paths"].to_string();
    if let Some(responses) = document["components"]["responses"].as_object_mut() {
        responses.retain(|name, _| answers.contains(&format!("#/components/responses/{name}\"")));
    }
    let mut named = BTreeSet::new();
    references(&document["paths"], &mut named);
    references(&document["components"]["responses"], &mut named);
    let used = reached(document, named);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        let kept = std::mem::take(schemas);
        schemas.extend(kept.into_iter().filter(|(name, _)| used.contains(name)));
    }
}

fn point(value: &mut Value, new_name: &impl Fn(&str) -> String) {
    match value {
        Value::Object(fields) => {
            for (name, item) in fields {
                match item {
                    Value::String(reference) if name == "$ref" => {
                        if let Some(schema) = reference.strip_prefix("#/components/schemas/") {
                            *reference = format!("#/components/schemas/{}", new_name(schema));
                        }
                    }
                    other => point(other, new_name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point(item, new_name)),
        _ => {}
    }
}
