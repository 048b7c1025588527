//! The published document as tests use it: its operations, and whether an answer keeps what it promises.

use serde_json::{Value, json};

use crate::support::*;

/// The document, with its schemas made strict: a field that is not documented is a fault too.
pub struct Contract {
    pub document: Value,
    strict: Value,
}

/// One operation of the document.
#[derive(Clone)]
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    pub content: Value,
}

impl Contract {
    pub fn read() -> Self {
        let document: Value = serde_json::from_str(&slipway::api::contract::DOCUMENT).unwrap();
        let mut strict = document["components"].clone();
        close_objects(&mut strict["schemas"]);
        Self { document, strict }
    }

    pub fn operations(&self) -> Vec<Operation> {
        let mut found = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, content) in item.as_object().unwrap() {
                found.push(Operation {
                    id: content["operationId"].as_str().unwrap_or("").to_owned(),
                    method: method.to_ascii_uppercase(),
                    path: path.clone(),
                    content: content.clone(),
                });
            }
        }
        found
    }

    /// What a `$ref` leads to, or the value itself.
    pub fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// The faults of a value against a schema.
    pub fn faults(&self, schema: &Value, value: &Value, strict: bool) -> Vec<String> {
        let mut whole = schema.clone();
        whole["components"] = if strict { self.strict.clone() } else { self.document["components"].clone() };
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&whole)
            .unwrap_or_else(|error| panic!("{schema} does not compile: {error}"));
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect()
    }

    /// Demands that an answer is one that the document promises of the operation.
    #[track_caller]
    pub fn keeps(&self, operation: &Operation, answer: &Answer) {
        let of = format!("{} answered {} {}", operation.id, answer.status, answer.text);
        let documented = operation.content["responses"].get(answer.status.to_string());
        let response = self.resolved(documented.unwrap_or_else(|| panic!("not documented: {of}")));
        let headers = response["headers"].as_object().cloned().unwrap_or_default();
        for (name, documented_by_us) in [
            ("etag", "ETag"),
            ("location", "Location"),
            ("link", "Link"),
            ("www-authenticate", "WWW-Authenticate"),
            ("retry-after", "Retry-After"),
            ("dry-run", "Dry-Run"),
            ("idempotent-replayed", "Idempotent-Replayed"),
            ("cache-control", "Cache-Control"),
            ("x-request-id", "X-Request-Id"),
        ] {
            let there = answer.headers.contains_key(name);
            assert!(!there || headers.contains_key(documented_by_us), "{documented_by_us} is not documented: {of}");
        }
        for always in ["X-Request-Id", "Cache-Control", "Location", "WWW-Authenticate"] {
            assert!(!headers.contains_key(always) || answer.headers.contains_key(always), "{always} is missing: {of}");
        }
        let dry_run = answer.headers.contains_key("dry-run");
        if headers.contains_key("ETag") && !dry_run {
            assert!(answer.headers.contains_key("etag"), "ETag is missing: {of}");
        }
        match response.get("content") {
            None => assert!(answer.text.is_empty(), "a body that is not documented: {of}"),
            Some(content) => {
                let media_type = answer.header("content-type");
                let schema = &content[media_type]["schema"];
                assert!(schema.is_object(), "{media_type} is not documented: {of}");
                if schema["format"] == "binary" {
                    return;
                }
                let faults = self.faults(schema, &answer.body, true);
                assert!(faults.is_empty(), "{faults:#?}\n{of}");
            }
        }
    }
}

fn close_objects(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("type") == Some(&json!("object"))
                && fields.contains_key("properties")
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".into(), json!(false));
            }
            fields.values_mut().for_each(close_objects);
        }
        Value::Array(items) => items.iter_mut().for_each(close_objects),
        _ => {}
    }
}

/// An installation in which every collection holds something, with a release `REL-1`.
pub struct Populated {
    pub app: App,
}

impl Populated {
    pub fn start() -> Self {
        let app = App::start();
        let admin = app.client(Role::Admin);
        admin.post("/units", &json!({"name": "Retail"})).expect(201);
        admin.post("/contracts", &json!({"name": "Operations"})).expect(201);
        let hours = json!({"monday": [{"start": "09:00", "end": "17:00"}]});
        let calendar = json!({"name": "Mondays", "time_zone": "Asia/Tokyo", "working_hours": hours});
        admin.post("/calendars", &calendar).expect(201);
        let mut body = new_release();
        body["requester"] = json!({"user_id": app.user_id(Role::Requester)});
        body["acceptance_criteria"] = json!([{"text": "It works"}]);
        body["changes"] = json!([{"change_id": app.change("authorised")}]);
        body["custom_fields"] = json!({"cost_centre": 42});
        body["tags"] = json!(["payments"]);
        let release = app.client(Role::Requester).post("/releases", &body).expect(201).body;
        let lead = app.client(Role::Lead);
        let activities = "/releases/REL-1/activities";
        let first = json!({
            "phase": "planning", "title": "Agree on the window", "checklist": [{"text": "The shops know"}],
            "assignee_id": app.user_id(Role::Lead), "group_id": app.group("Release team"), "estimated_minutes": 30,
            "tags": ["payments"],
        });
        let first = lead.post(activities, &first).expect(201).id();
        let second = json!({"phase": "deployment", "title": "Install", "depends_on": [first]});
        let second = lead.post(activities, &second).expect(201).id();
        for id in [first, second] {
            lead.post(&format!("{activities}/{id}/time-entries"), &json!({"minutes": 5})).expect(201);
            lead.post(&format!("{activities}/{id}/comments"), &json!({"body": "Called them"})).expect(201);
        }
        transition(&lead, &release, &json!({"action": "capture"}));
        for (part, body) in [
            ("roles", json!({"role": "informed", "name": "Eva Prado", "email": "eva@example.org"})),
            ("records", json!({"kind": "note", "body": "All is ready"})),
            ("shares", json!({"user_id": app.user_id(Role::Operator), "level": "read"})),
            ("references", json!({"kind": "ticket", "source": "desk", "external_id": "T-1", "title": "Slow"})),
            ("comments", json!({"body": "When is it?"})),
        ] {
            admin.post(&format!("/releases/REL-1/{part}"), &body).expect(201);
        }
        for name in ["plan.txt", "rollback.txt", "tests.txt"] {
            admin.upload("/releases/REL-1/documents", &[("class", "general")], name, b"The plan").expect(201);
        }
        for (path, own, body) in [
            ("definitive-media", "medium_id", json!({"name": "Agent", "version": "1", "kind": "package"})),
            ("definitive-media", "medium_id", json!({"name": "Monitor", "version": "1", "kind": "package"})),
            ("hardware-spares", "spare_id", json!({"model": "T7", "serial": "A-1"})),
            ("hardware-spares", "spare_id", json!({"model": "T7", "serial": "Z-9"})),
        ] {
            let id = admin.post(&format!("/{path}"), &body).expect(201).id();
            match body["name"].as_str().or(body["serial"].as_str()) {
                Some("Agent") => {
                    let file = form(&[], Some(("agent.zip", "application/zip", b"an agent")));
                    admin.put_form(&format!("/{path}/{id}/content"), file).expect(200);
                }
                Some("Monitor" | "Z-9") => {
                    admin.post(&format!("/releases/REL-1/{path}"), &json!({own: id})).expect(201);
                }
                _ => {}
            }
        }
        for client in [Role::Admin, Role::Viewer].map(|role| app.client(role)) {
            client.post("/tokens", &json!({"name": "script", "scopes": ["read"]})).expect(201);
        }
        let question = json!({"key": "backup", "text": "Is there a backup?", "kind": "confirm"});
        let checklist = json!({"title": "Tests", "stage": "test", "questions": [question]});
        admin
            .post("/checklist-templates", &json!({"name": "Tests", "stage": "test", "questions": [question]}))
            .expect(201);
        let list = admin.post("/releases/REL-1/checklists", &checklist).expect(201).id();
        admin.put(&format!("/releases/REL-1/checklists/{list}/answers/backup"), &json!({"value": true})).expect(200);
        admin.post("/releases/REL-1/checklists", &checklist).expect(201);
        // A second release stands where approvals are asked for.
        let mut body = new_release();
        body["model_id"] = json!(app.model("Emergency"));
        body["requester"] = json!({"user_id": app.user_id(Role::Requester)});
        body["approval_rule"] = json!({"kind": "all", "voters": [
            {"user_id": app.user_id(Role::Admin)},
            {"group_id": app.group("Release team")},
        ]});
        app.client(Role::Requester).post("/releases", &body).expect(201);
        admin
            .post("/releases/REL-2/approvals/votes", &json!({"decision": "reject", "comment": "Too late"}))
            .expect(201);
        admin.post("/releases/REL-2/approvals/votes", &json!({"decision": "approve"})).expect(201);
        // A third one was closed: what it changed is to be told.
        let changed = app.item();
        let links = json!([{"configuration_item_id": changed, "intended_version": "4.2.0"}]);
        app.release().with("configuration_items", links).status("closed").make();
        admin.post("/releases/REL-1/configuration-items", &json!({"configuration_item_id": changed})).expect(201);
        let item =
            |name: &str| admin.post("/configuration-items", &crate::configuration_items::item(name)).expect(201).id();
        // Their list begins with it.
        let (first, second) = (item("Accounts-1"), item("Accounts-2"));
        let relationship = json!({"kind": "connected_to", "target_id": second});
        admin.post(&format!("/configuration-items/{first}/relationships"), &relationship).expect(201);
        crate::configuration_items::link(&app, release["id"].as_str().unwrap(), &first);
        // One import is over, and one waits.
        let row = "{\"type\": \"car\"}";
        crate::imports::upload(&admin, "", crate::imports::NDJSON, row).expect(202);
        crate::imports::importing(&app).run_due().unwrap();
        slipway::service::keeping::Keeping::new(std::sync::Arc::clone(&app.env), None).run_due().unwrap();
        Self { app }
    }

    /// The path of an operation with identifiers that are there, as far as lists tell them.
    pub fn path(&self, template: &str) -> String {
        let path = template.trim_start_matches("/api/v1").replace(
            "{release}",
            match template {
                asked if asked.contains("/approvals") => "REL-2",
                closed if closed.ends_with("/revert") => "REL-3",
                _ => "REL-1",
            },
        );
        let path = path.replace("by-key/{source}/{external_id}", "by-key/test/CHG-1");
        let path = path.replace("{phase}", "planning");
        match path.split_once("/{id}") {
            Some((collection, rest)) => {
                // The first activities are those with comments and time.
                let sort = if collection.ends_with("/activities") { "?sort=created_at" } else { "" };
                let page = self.app.client(Role::Admin).get(&format!("{collection}{sort}")).expect(200);
                let id =
                    page.body["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{collection} is empty")).to_owned();
                let member = self.app.user_id(Role::Lead).to_string();
                let path = format!(
                    "{collection}/{id}{}",
                    rest.replace("{user_id}", &member).replace("{question_key}", "backup")
                );
                match path.split_once("/{") {
                    Some((below, _)) => {
                        let page = self.app.client(Role::Admin).get(below).expect(200);
                        let id = page.body["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{below} is empty"));
                        format!("{below}/{id}")
                    }
                    None => path,
                }
            }
            None => path,
        }
    }
}
