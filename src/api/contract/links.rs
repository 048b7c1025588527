//! Links of the document: from what was created to what can be done with it.

use serde_json::{Map, Value, json};

/// An operation, as far as links need it.
struct Place {
    path: String,
    id: String,
    takes_version: bool,
}

/// Puts a link from every creation to every operation on what it created.
pub fn add(document: &mut Value) {
    let places: Vec<Place> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(path, item)| {
            item.as_object().into_iter().flat_map(Map::values).map(move |operation| (path, operation))
        })
        .map(|(path, operation)| Place {
            path: path.clone(),
            id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
            takes_version: operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == json!("If-Match"))),
        })
        .collect();
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let created = item_path(path, operation["operationId"].as_str().unwrap_or_default());
            let Some(response) = operation["responses"].get_mut("201") else {
                continue;
            };
            let links: Map<String, Value> =
                places.iter().filter_map(|place| Some((place.id.clone(), link(path, &created, place)?))).collect();
            if !links.is_empty() {
                response["links"] = Value::Object(links);
            }
        }
    }
}

/// Where what an operation creates is found: below its own path, but for the few that are not.
fn item_path(path: &str, id: &str) -> String {
    match id {
        "create_model" => "/api/v1/models/".into(),
        "create_workflow_version" => "/api/v1/workflows/".into(),
        "upsert_change" => "/api/v1/changes/".into(),
        "upsert_configuration_item" => "/api/v1/configuration-items/".into(),
        _ => format!("{path}/"),
    }
}

fn link(path: &str, created: &str, place: &Place) -> Option<Value> {
    let rest = place.path.strip_prefix(created)?.strip_prefix('{')?;
    let (own, rest) = rest.split_once('}')?;
    // What is created below it in turn has a name that is not known yet.
    if rest.contains('{') {
        return None;
    }
    let source = if own == "user_id" { "user_id" } else { "id" };
    let mut parameters = Map::new();
    for name in path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name) {
        if created.contains(&format!("{{{name}}}")) {
            parameters.insert(format!("path.{name}"), json!(format!("$request.path.{name}")));
        }
    }
    parameters.insert(format!("path.{own}"), json!(format!("$response.body#/{source}")));
    if place.takes_version {
        parameters.insert("header.If-Match".into(), json!("$response.header.ETag"));
    }
    Some(json!({
        "operationId": place.id,
        "description": format!("`{}` on what was created.", place.id),
        "parameters": parameters,
    }))
}
