//! The contract: the committed document is the served one, it is well made, and what the service answers keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::definitive_media::{content_of, medium};
use crate::hardware_spares::spare;
use crate::published::{Contract, Operation, Populated};
use crate::support::*;

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/slipway.v1.json");
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    let renew = "openapi/slipway.v1.json is stale; renew it with: cargo run -- openapi > openapi/slipway.v1.json";
    assert!(committed == *slipway::api::contract::DOCUMENT, "{renew}");
    let served = App::start().anonymous().get("/openapi.json").expect(200);
    assert_eq!(served.header("content-type"), "application/json");
    assert!(served.text == committed, "{renew}");
}

#[test]
fn every_operation_is_named_described_tagged_and_secured() {
    let contract = Contract::read();
    assert_eq!(contract.document["openapi"], "3.1.0");
    let tags: BTreeSet<&str> =
        contract.document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for operation in contract.operations() {
        let (id, content) = (&operation.id, &operation.content);
        assert!(ids.insert(id.clone()), "{id} is there twice");
        let words: Vec<&str> = id.split('_').collect();
        assert!(
            words.len() >= 2
                && words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase()) && !word.is_empty()),
            "{id} is not verb_noun"
        );
        for text in ["summary", "description"] {
            assert!(content[text].as_str().is_some_and(|text| text.len() > 5), "{id} has no {text}");
        }
        let tag = content["tags"][0].as_str().unwrap_or("");
        assert!(tags.contains(tag) && content["tags"].as_array().unwrap().len() == 1, "{id} has the tag {tag}");
        let public = ["create_session", "refresh_session"].contains(&id.as_str());
        let security = if public { json!([]) } else { json!([{"bearer": []}]) };
        assert_eq!(content["security"], security, "{id}");
        for parameter in content["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{id} {name}");
            assert!(parameter["schema"].is_object(), "{id} {name}");
        }
        for (status, response) in content["responses"].as_object().unwrap() {
            let response = contract.resolved(response);
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{id} {status}");
            assert!(response["headers"]["X-Request-Id"].is_object(), "{id} {status}");
            let wanted = match status.parse::<u16>().unwrap() {
                204 | 304 => None,
                200 | 206 if ["download_document", "download_medium_content"].contains(&id.as_str()) => {
                    Some("application/octet-stream")
                }
                200..=202 => Some("application/json"),
                _ => Some("application/problem+json"),
            };
            let media_types: Vec<&str> =
                response["content"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
            // The rows of an import are answered one on each line, too.
            let media_types: Vec<&str> = media_types
                .into_iter()
                .filter(|media_type| id != "list_import_results" || *media_type != crate::imports::NDJSON)
                .collect();
            assert_eq!(media_types, wanted.into_iter().collect::<Vec<_>>(), "{id} {status}");
        }
    }
}

#[test]
fn every_schema_compiles_and_every_example_is_valid_against_its_own_schema() {
    let contract = Contract::read();
    let schemas = contract.document["components"]["schemas"].as_object().unwrap();
    let mut examples = 0;
    for (name, schema) in schemas {
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        contract.faults(&reference, &Value::Null, false);
        if let Some(example) = schema.get("example") {
            assert_eq!(contract.faults(&reference, example, true), [""; 0], "the example of {name}");
            examples += 1;
        }
    }
    assert!(examples > 40, "{examples}");
    for operation in contract.operations() {
        for parameter in operation.content["parameters"].as_array().into_iter().flatten() {
            if let Some(example) = parameter.get("example").or(parameter["schema"]["examples"].get(0)) {
                assert_eq!(contract.faults(&parameter["schema"], example, false), [""; 0], "{}", operation.id);
            }
        }
        for (media_type, body) in operation.content["requestBody"]["content"].as_object().into_iter().flatten() {
            let schema = contract.resolved(&body["schema"]);
            if operation.id == "import_configuration_items" {
                assert!(schema["example"].is_string(), "{media_type}");
                continue;
            }
            assert!(schema["example"].is_object(), "{} has no example for {media_type}", operation.id);
            assert_eq!(
                schema.get("additionalProperties").or(schema.get("oneOf").map(|_| &Value::Bool(false))),
                Some(&json!(false))
            );
        }
    }
}

/// Calls back with every schema below this one that is not a reference, itself included.
fn each_schema(schema: &Value, place: &str, found: &mut impl FnMut(&str, &Value)) {
    if schema.get("$ref").is_some() {
        return;
    }
    found(place, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        each_schema(inner, &format!("{place}/{name}"), found);
    }
    for combination in ["oneOf", "anyOf", "allOf"] {
        for inner in schema[combination].as_array().into_iter().flatten() {
            each_schema(inner, &format!("{place}/{combination}"), found);
        }
    }
    if let Some(items) = schema.get("items") {
        each_schema(items, &format!("{place}/items"), found);
    }
}

#[test]
fn every_schema_parameter_header_and_body_has_an_example_that_fits_it() {
    let contract = Contract::read();
    let mut schemas: Vec<(String, Value)> = Vec::new();
    let mut gather = |place: &str, schema: &Value| schemas.push((place.to_owned(), schema.clone()));
    for (name, schema) in contract.document["components"]["schemas"].as_object().unwrap() {
        each_schema(schema, name, &mut gather);
    }
    let mut examples: Vec<(String, Value, Value)> = Vec::new();
    for (name, header) in contract.document["components"]["headers"].as_object().unwrap() {
        each_schema(&header["schema"], name, &mut gather);
        examples.push((name.clone(), header["schema"].clone(), header["example"].clone()));
    }
    for operation in contract.operations() {
        let id = &operation.id;
        for parameter in operation.content["parameters"].as_array().into_iter().flatten() {
            each_schema(&parameter["schema"], &format!("{id} {}", parameter["name"]), &mut gather);
            // A browser fills its form with the first, and shows the second beside it.
            let (filled, shown) = (parameter.get("example"), parameter["schema"]["examples"].get(0));
            let name = format!("{id} {}", parameter["name"]);
            assert_eq!(
                (filled.is_some(), shown.is_some()),
                match parameter["required"] == true {
                    true => (true, false),
                    false => (false, true),
                },
                "{name}"
            );
            examples.push((name, parameter["schema"].clone(), filled.or(shown).unwrap().clone()));
        }
        let responses = operation.content["responses"].as_object().unwrap().values();
        for holder in responses.map(|response| contract.resolved(response)).chain([&operation.content["requestBody"]]) {
            for body in holder["content"].as_object().into_iter().flat_map(Map::values) {
                assert!(body.get("example").is_some(), "{id} has a body without an example");
                examples.push((id.clone(), body["schema"].clone(), body["example"].clone()));
            }
        }
    }
    for (place, schema) in schemas {
        let example = schema.get("example").or(schema["examples"].get(0));
        let example = example.unwrap_or_else(|| panic!("{place} has no example"));
        examples.push((place, schema.clone(), example.clone()));
    }
    let mut known = BTreeSet::new();
    for (place, schema, example) in examples {
        if known.insert(format!("{schema}{example}")) {
            assert_eq!(contract.faults(&schema, &example, false), [""; 0], "the example of {place}: {example}");
        }
    }
}

#[test]
fn what_is_created_is_linked_to_every_operation_on_it() {
    let contract = Contract::read();
    let operations = contract.operations();
    let links = |id: &str| -> Vec<String> {
        let operation = operations.iter().find(|operation| operation.id == id).unwrap();
        operation.content["responses"]["201"]["links"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    };
    assert_eq!(links("create_unit"), ["read_unit", "delete_unit", "update_unit"]);
    assert_eq!(links("create_model"), ["read_model", "delete_model", "update_model", "copy_model"]);
    assert_eq!(links("create_workflow"), ["read_workflow", "retire_workflow", "create_workflow_version"]);
    assert_eq!(links("create_workflow_version"), ["read_workflow", "retire_workflow", "create_workflow_version"]);
    assert_eq!(links("create_token"), ["revoke_token"]);
    assert_eq!(links("add_member"), ["remove_member"]);
    assert_eq!(links("create_share"), ["read_share", "delete_share", "update_share"]);
    assert_eq!(links("create_record"), ["read_record"]);
    assert_eq!(links("add_time_entry"), ["read_time_entry", "remove_time_entry", "update_time_entry"]);
    assert!(links("create_activity").contains(&"move_activity".to_owned()));
    assert_eq!(links("link_change"), ["read_release_change", "unlink_change", "update_release_change"]);
    assert!(links("create_release").contains(&"create_transition".to_owned()));
}

#[test]
fn no_schema_is_left_that_only_the_generator_understands() {
    let contract = Contract::read();
    let text = contract.document.to_string();
    for leftover in
        ["ResourceOf", "PatchOf", "Page_", "\"content\":{\"type\":\"object\"", "\"$ref\":\"#/components/schemas/\""]
    {
        assert!(!text.contains(leftover), "{leftover}");
    }
    let mut missing = Vec::new();
    find_references(&contract.document, &mut |reference| {
        if contract.document.pointer(reference.trim_start_matches('#')).is_none() {
            missing.push(reference.to_owned());
        }
    });
    assert!(missing.is_empty(), "{missing:?}");
}

fn find_references(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            for (name, item) in fields {
                match item {
                    Value::String(reference) if name == "$ref" => found(reference),
                    other => find_references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_references(item, found)),
        _ => {}
    }
}

#[test]
fn every_read_answers_what_its_schema_says() {
    let contract = Contract::read();
    let populated = Populated::start();
    populated.app.release().status("closed").make();
    populated.app.release().status("suspended").make();
    let admin = populated.app.client(Role::Admin);
    for operation in contract.operations().into_iter().filter(|operation| operation.method == "GET") {
        let path = populated.path(&operation.path);
        let answer = admin.get(&path).expect(200);
        contract.keeps(&operation, &answer);
        if let Some(items) = answer.body["data"].as_array() {
            assert!(!items.is_empty(), "{path} shows nothing");
        }
        let lists = operation.content["parameters"].to_string().contains("\"count\"");
        if lists {
            let counted = admin.get(&format!("{path}?count=exact&limit=1")).expect(200);
            contract.keeps(&operation, &counted);
            assert!(counted.body["page"]["total"].as_i64().unwrap() > 0, "{path}");
        }
        if !answer.header("etag").is_empty() {
            let same = Answer::of(admin.request("GET", &path).header("If-None-Match", answer.header("etag")));
            contract.keeps(&operation, &same.expect(304));
        }
        contract.keeps(&operation, &populated.app.anonymous().get(&path).problem(401, "UNAUTHENTICATED"));
        contract.keeps(&operation, &admin.get(&format!("{path}?colour=red")).problem(400, "MALFORMED_REQUEST"));
        if path != operation.path.trim_start_matches("/api/v1") {
            let nowhere = operation.path.trim_start_matches("/api/v1").replace("{release}", "REL-999");
            let nowhere = nowhere.replace("{id}", "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f");
            contract.keeps(&operation, &admin.get(&nowhere).problem(404, "NOT_FOUND"));
        }
    }
}

/// The body of every POST and PUT: its published example, with identifiers that must exist replaced.
fn body_of(contract: &Contract, operation: &Operation, populated: &Populated) -> Value {
    let schema = contract.resolved(&operation.content["requestBody"]["content"]["application/json"]["schema"]);
    let mut body = schema["example"].clone();
    let app = &populated.app;
    match operation.id.as_str() {
        "add_member" => body["user_id"] = json!(app.user_id(Role::Outsider)),
        "set_approval_rule" => body["voters"] = json!([{"user_id": app.user_id(Role::Admin)}]),
        "create_relationship" => body["target_id"] = json!(app.named("configuration-items", "accounts-2")),
        "link_change" => body["change_id"] = json!(app.change("scheduled")),
        "link_medium" => body["medium_id"] = json!(medium(app, "linked", "draft")),
        "reserve_spare" => {
            let spare = app.client(Role::Admin).post("/hardware-spares", &json!({"model": "T7", "serial": "B-2"}));
            body["spare_id"] = json!(spare.expect(201).id());
        }
        "link_configuration_item" => body["configuration_item_id"] = json!(app.item()),
        "link_configuration_items" => body["items"][0]["configuration_item_id"] = json!(app.item()),
        "create_share" => body["user_id"] = json!(app.user_id(Role::Outsider)),
        "create_session" => body["password"] = json!(PASSWORD),
        "set_password" => body["current_password"] = json!(PASSWORD),
        "refresh_session" => {
            let login = json!({"username": "admin", "password": PASSWORD});
            let granted = app.anonymous().post("/auth/login", &login).expect(200);
            body["refresh_token"] = granted.body["refresh_token"].clone();
        }
        _ => {}
    }
    body
}

#[test]
fn the_example_of_every_write_is_accepted_and_answered_as_documented() {
    let contract = Contract::read();
    let (created, patched) = (Populated::start(), Populated::start());
    let app = &created.app;
    let mut last = Vec::new();
    for operation in contract.operations() {
        let populated = if operation.method == "PATCH" { &patched } else { &created };
        let wanted = match (operation.method.as_str(), operation.id.as_str()) {
            ("POST", "create_session" | "refresh_session" | "withdraw_vote") => 200,
            ("POST", "move_activity" | "archive_activity" | "unarchive_activity") => 200,
            ("POST", "link_configuration_items" | "confirm_write_back") => 200,
            ("PUT", "set_approval_rule" | "answer_question") => 200,
            ("POST", "end_session" | "set_password" | "retire_workflow")
            | (_, "upload_medium_content" | "verify_definitive_medium")
            | (_, "authorise_definitive_medium" | "retire_definitive_medium")
            | ("POST", "revert_configuration_item" | "revert_release" | "refuse_write_back") => {
                last.push(operation);
                continue;
            }
            ("POST" | "PUT", _) => 201,
            ("PATCH", _) => 200,
            _ => continue,
        };
        if operation.id == "import_configuration_items" {
            let admin = app.client(Role::Admin);
            for (media_type, body) in operation.content["requestBody"]["content"].as_object().unwrap() {
                let example = body["schema"]["example"].as_str().unwrap();
                contract.keeps(&operation, &crate::imports::upload(&admin, "", media_type, example).expect(202));
            }
            contract.keeps(&operation, &admin.post("/configuration-items/import", &json!({})).expect(415));
            continue;
        }
        if operation.id == "cancel_import" {
            let admin = app.client(Role::Admin);
            let id = crate::imports::upload(&admin, "", crate::imports::NDJSON, "{}").expect(202).id();
            let send = || Answer::of(admin.request("POST", &format!("/imports/{id}/cancel")));
            contract.keeps(&operation, &send().expect(200));
            contract.keeps(&operation, &send().problem(409, "IMPORT_OVER"));
            continue;
        }
        if operation.id == "upload_document" {
            let (path, admin) = (populated.path(&operation.path), app.client(Role::Admin));
            let parts = [("class", "evidence"), ("description", "All tests passed"), ("version", "4.2.0")];
            let uploaded = admin.upload(&path, &parts, "tests.txt", b"what the tests said").expect(wanted);
            contract.keeps(&operation, &uploaded);
            contract.keeps(&operation, &admin.upload(&path, &[], "../x", b"").problem(422, "INVALID_VALUES"));
            contract.keeps(&operation, &admin.post(&path, &json!({})).problem(415, "UNSUPPORTED_MEDIA_TYPE"));
            continue;
        }
        let path = match operation.id.as_str() {
            // The first one of the list is the last administrator, who stays.
            "update_user" => format!("/users/{}", populated.app.user_id(Role::Lead)),
            _ => populated.path(&operation.path),
        };
        let caller = match operation.id.as_str() {
            // The example advances out of planning, which is the executor group's.
            "create_transition" => {
                let lead = populated.app.client(Role::Lead);
                let open = lead.get("/releases/REL-1/activities?phase=planning&status=todo,in_progress").expect(200);
                for activity in open.body["data"].as_array().unwrap() {
                    let path = format!("/releases/REL-1/activities/{}/move", activity["id"].as_str().unwrap());
                    lead.post(&path, &json!({"status": "skipped"})).expect(200);
                }
                lead
            }
            _ => populated.app.client(Role::Admin),
        };
        if operation.content.get("requestBody").is_none() && operation.id.ends_with("archive_activity") {
            let done = Answer::of(caller.request("POST", &path)).expect(wanted);
            contract.keeps(&operation, &done);
            contract.keeps(&operation, &caller.post(&path, &json!({"colour": 1})).problem(400, "MALFORMED_REQUEST"));
            Answer::of(caller.request("POST", &path.replace("/archive", "/unarchive"))).expect(200);
            continue;
        }
        let body = body_of(&contract, &operation, populated);
        let send = |path: &str| {
            let request = caller.request(&operation.method, path).json(&body);
            let guarded = operation.method == "PATCH" || operation.id == "set_approval_rule";
            Answer::of(if guarded { request.header("If-Match", "*") } else { request })
        };
        let takes_dry_run = operation.content["parameters"].to_string().contains("\"dry_run\"");
        if takes_dry_run {
            let tried = send(&format!("{path}?dry_run=true")).expect(200);
            assert_eq!(tried.header("dry-run"), "true");
            contract.keeps(&operation, &tried);
        }
        contract.keeps(&operation, &send(&path).expect(wanted));
        if operation.method == "PUT" {
            contract.keeps(&operation, &send(&path).expect(200));
        }
        let wrong =
            Answer::of(caller.request(&operation.method, &path).header("If-Match", "*").json(&json!({"colour": 1})));
        contract.keeps(&operation, &wrong);
        assert!([400, 422].contains(&wrong.status), "{} {}", operation.id, wrong.text);
    }
    for operation in last {
        let client = app.client(Role::Viewer);
        let path = format!("/users/{}/password", app.user_id(Role::Viewer));
        let answer = match operation.id.as_str() {
            "set_password" => {
                let login = json!({"username": "viewer", "password": PASSWORD});
                // No password is set for the cast but the administrator's.
                app.anonymous().post("/auth/login", &login).problem(401, "UNAUTHENTICATED");
                app.client(Role::Admin).post(&path, &json!({"password": "a long and memorable phrase"})).expect(204)
            }
            "upload_medium_content" => {
                let content = format!("/definitive-media/{}/content", medium(app, "uploaded", "draft"));
                let file = |content: &[u8]| form(&[], Some(("a.zip", "application/zip", content)));
                let admin = app.client(Role::Admin);
                contract.keeps(&operation, &admin.put(&content, &json!({})).problem(415, "UNSUPPORTED_MEDIA_TYPE"));
                contract.keeps(&operation, &admin.put_form(&content, file(b"x")).problem(422, "INVALID_VALUES"));
                admin.put_form(&content, file(content_of("uploaded").as_bytes())).expect(200)
            }
            "verify_definitive_medium" => {
                let path = format!("/definitive-media/{}/verify", medium(app, "to verify", "draft"));
                let admin = app.client(Role::Admin);
                contract.keeps(&operation, &admin.post(&path, &json!({"colour": 1})).problem(400, "MALFORMED_REQUEST"));
                contract.keeps(
                    &operation,
                    &admin.post(&path, &json!({"sha256": "0".repeat(64)})).problem(422, "INVALID_VALUES"),
                );
                admin.post(&path, &json!({})).expect(200)
            }
            "authorise_definitive_medium" | "retire_definitive_medium" => {
                let path = format!("/definitive-media/{}", medium(app, &operation.id, "verified"));
                let verb = operation.id.split('_').next().unwrap();
                let act = || Answer::of(app.client(Role::Manager).request("POST", &format!("{path}/{verb}")));
                let done = act().expect(200);
                contract.keeps(&operation, &act().problem(409, "MEDIUM_STATE_FORBIDS"));
                done
            }
            "retire_workflow" => {
                let manager = app.client(Role::Manager);
                let operations = contract.operations();
                let create = operations.iter().find(|other| other.id == "create_workflow").unwrap();
                let mut body = body_of(&contract, create, &created);
                body["key"] = json!("retiring");
                let id = manager.post("/workflows", &body).expect(201).id();
                Answer::of(manager.request("POST", &format!("/workflows/{id}/retire"))).expect(200)
            }
            // Then nothing is left to take back; and the tool that owns the item is to be told.
            "revert_configuration_item" => {
                let path = created.path(&operation.path);
                app.client(Role::Manager).post(&path, &json!({"note": "Slow"})).expect(200)
            }
            "revert_release" => {
                let again = json!({"note": "Slow"});
                app.client(Role::Manager).post("/releases/REL-3/revert", &again).problem(409, "NOT_APPLIED")
            }
            "refuse_write_back" => {
                let pending = app.client(Role::Admin).get("/write-backs?state=pending").expect(200);
                let path = format!("/write-backs/{}/refuse", pending.body["data"][0]["id"].as_str().unwrap());
                app.client(Role::Integration).post(&path, &json!({"note": "Locked"})).expect(200)
            }
            _ => Answer::of(client.request("POST", "/auth/logout")).expect(204),
        };
        contract.keeps(&operation, &answer);
    }
}

#[test]
fn every_delete_and_its_refusals_are_answered_as_documented() {
    let contract = Contract::read();
    let populated = Populated::start();
    let admin = populated.app.client(Role::Admin);
    let activity = populated.path("/api/v1/releases/{release}/activities/{id}/time-entries");
    let relationships = populated.path("/api/v1/configuration-items/{id}/relationships");
    let made: BTreeMap<&str, (&str, Value)> = BTreeMap::from([
        ("delete_configuration_item", ("/configuration-items", crate::configuration_items::item("spare"))),
        (
            "delete_relationship",
            (
                relationships.as_str(),
                json!({"kind": "runs_on", "target_id": populated.app.named("configuration-items", "accounts-2")}),
            ),
        ),
        (
            "delete_change",
            ("/changes", json!({"source": "x", "external_id": "1", "title": "t", "status": "registered"})),
        ),
        (
            "delete_calendar",
            (
                "/calendars",
                json!({"name": "Spare", "time_zone": "UTC", "working_hours": {"friday": [{"start": "09:00", "end": "17:00"}]}}),
            ),
        ),
        ("delete_contract", ("/contracts", json!({"name": "Spare"}))),
        ("delete_group", ("/groups", json!({"name": "Spare"}))),
        ("delete_justification", ("/justifications", json!({"description": "Spare", "applies_to": ["cancel"]}))),
        ("delete_portfolio", ("/portfolios", json!({"name": "Spare"}))),
        ("delete_solution_category", ("/solution-categories", json!({"name": "Spare"}))),
        ("delete_unit", ("/units", json!({"name": "Spare"}))),
        ("delete_user", ("/users", json!({"username": "spare", "name": "Spare", "email": "spare@example.org"}))),
        ("revoke_token", ("/tokens", json!({"name": "Spare", "scopes": ["read"]}))),
        ("remove_time_entry", (activity.as_str(), json!({"minutes": 9}))),
        (
            "delete_checklist_template",
            (
                "/checklist-templates",
                json!({"name": "Spare", "stage": "test", "questions": [{"key": "a", "text": "A?", "kind": "text"}]}),
            ),
        ),
        (
            "remove_checklist",
            (
                "/releases/REL-1/checklists",
                json!({"title": "Spare", "stage": "test", "questions": [{"key": "a", "text": "A?", "kind": "text"}]}),
            ),
        ),
        (
            "delete_definitive_medium",
            ("/definitive-media", json!({"name": "Spare", "version": "1", "kind": "document"})),
        ),
        ("delete_hardware_spare", ("/hardware-spares", json!({"model": "T7", "serial": "C-3"}))),
        (
            "unlink_medium",
            ("/releases/REL-1/definitive-media", json!({"medium_id": medium(&populated.app, "unlinked", "draft")})),
        ),
        ("free_spare", ("/releases/REL-1/hardware-spares", json!({"spare_id": spare(&populated.app, "T7")}))),
        (
            "unlink_configuration_item",
            ("/releases/REL-1/configuration-items", json!({"configuration_item_id": populated.app.item()})),
        ),
        ("unlink_change", ("/releases/REL-1/changes", json!({"change_id": populated.app.change("completed")}))),
        (
            "remove_release_role",
            ("/releases/REL-1/roles", json!({"role": "consulted", "user_id": populated.app.user_id(Role::Outsider)})),
        ),
        (
            "delete_share",
            ("/releases/REL-1/shares", json!({"group_id": populated.app.group("Operators"), "level": "execute"})),
        ),
        (
            "delete_reference",
            (
                "/releases/REL-1/references",
                json!({"kind": "build", "source": "ci", "external_id": "77", "title": "Build 77"}),
            ),
        ),
    ]);
    for operation in contract.operations().into_iter().filter(|operation| operation.method == "DELETE") {
        let path = match (operation.id.as_str(), made.get(operation.id.as_str())) {
            (_, Some((collection, body))) => format!("{collection}/{}", admin.post(collection, body).expect(201).id()),
            ("delete_model", _) => {
                let collection = populated.path("/api/v1/portfolios/{id}/models");
                format!("/models/{}", admin.post(&collection, &json!({"name": "Spare"})).expect(201).id())
            }
            ("delete_document", _) => {
                let path = "/releases/REL-1/documents";
                format!("{path}/{}", admin.upload(path, &[("class", "legal")], "spare.txt", b"spare").expect(201).id())
            }
            ("remove_member", _) => {
                let group = populated.app.group("Operators");
                format!("/groups/{group}/members/{}", populated.app.user_id(Role::Operator))
            }
            (id, None) => panic!("nothing is known of {id}"),
        };
        if operation.id != "remove_member" {
            let missing = Answer::of(admin.request("DELETE", &path)).problem(428, "PRECONDITION_REQUIRED");
            contract.keeps(&operation, &missing);
            contract.keeps(&operation, &admin.delete(&path, "\"99\"").problem(412, "PRECONDITION_FAILED"));
        }
        let body = Answer::of(admin.request("DELETE", &path).header("If-Match", "*").json(&json!({})));
        contract.keeps(&operation, &body.problem(400, "MALFORMED_REQUEST"));
        contract.keeps(&operation, &admin.delete(&path, "*").expect(204));
        contract.keeps(&operation, &admin.delete(&path, "*").problem(404, "NOT_FOUND"));
    }
    populated.app.assert_sound();
}

#[test]
fn swagger_ui_shows_the_document_of_this_server() {
    let app = App::start();
    let get = |path: &str| {
        let response = app.anonymous().http.get(format!("{}{path}", app.anonymous().base)).send().unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.text().unwrap())
    };
    let (status, headers, _) = get("/docs");
    assert!([301, 302, 307, 308].contains(&status));
    assert_eq!(headers["location"], "/docs/");
    let (status, headers, page) = get("/docs/");
    assert_eq!(status, 200);
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"));
    let mut assets = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for rest in page.split(attribute).skip(1) {
            assets.push(rest.split('"').next().unwrap().trim_start_matches("./").to_owned());
        }
    }
    assert!(assets.iter().any(|asset| asset.ends_with("swagger-ui-bundle.js")), "{assets:?}");
    for asset in &assets {
        assert!(!asset.contains("://"), "{asset} comes from elsewhere");
        let (status, _, text) = get(&format!("/docs/{asset}"));
        assert_eq!((status, text.is_empty()), (200, false), "{asset}");
    }
    let (_, _, initializer) = get("/docs/swagger-initializer.js");
    assert!(initializer.contains("/api/v1/openapi.json"), "{initializer}");
}
