//! What a process remembers of accounts and the catalogue never outlives a change of them.

use serde_json::json;

use crate::support::*;

#[test]
fn what_one_process_changes_holds_in_another_from_its_next_request_on() {
    let app = App::start();
    let other = app.beside();
    let admin = app.client(Role::Admin);
    let lead = app.client(Role::Lead);
    let there = other.client_with(lead.token.as_deref().unwrap());
    // Both know the caller and what a release refers to.
    let body = new_release();
    lead.post("/releases", &body).expect(201);
    let made = there.post("/releases", &body).expect(201);
    let manager = other.client_with(app.client(Role::Manager).token.as_deref().unwrap());
    manager.post("/releases", &body).expect(201);

    let group = format!("/groups/{}", app.group("Release team"));
    admin.patch(&group, "*", &json!({"active": false})).expect(200);
    let refused = manager.post("/releases", &body).expect(422);
    refused.faults(&[("/executor_group_id", "GROUP_NOT_ACTIVE")]);
    there.post("/releases", &body).problem(403, "FORBIDDEN");
    admin.patch(&group, "*", &json!({"active": true})).expect(200);
    there.post("/releases", &body).expect(201);

    let member = format!("{group}/members/{}", app.user_id(Role::Lead));
    admin.delete(&member, "*").expect(204);
    there.post("/releases", &body).problem(403, "FORBIDDEN");
    let path = format!("/releases/{}", made.id());
    let seen = there.get(&path).expect(200);
    assert_eq!(seen.body["allowed_actions"], json!([]), "{}", seen.text);

    let user = format!("/users/{}", app.user_id(Role::Lead));
    admin.patch(&user, "*", &json!({"active": false})).expect(200);
    there.get(&path).problem(401, "UNAUTHENTICATED");
    there.get("/releases").problem(401, "UNAUTHENTICATED");
    there.get("/me").problem(401, "UNAUTHENTICATED");
}

#[test]
fn a_revoked_token_is_refused_by_every_process_at_once() {
    let app = App::start();
    let other = app.beside();
    let admin = app.client(Role::Admin);
    let made = admin.post("/tokens", &json!({"name": "script", "scopes": ["read"]})).expect(201);
    let secret = made.body["token"].as_str().unwrap();
    let (here, there) = (app.client_with(secret), other.client_with(secret));
    for client in [&here, &there, &here, &there] {
        client.get("/releases").expect(200);
    }
    admin.delete(&format!("/tokens/{}", made.id()), "*").expect(204);
    there.get("/releases").problem(401, "UNAUTHENTICATED");
    here.get("/releases").problem(401, "UNAUTHENTICATED");
}

#[test]
fn a_credential_ends_in_time_although_it_is_remembered() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let expires_at = "2030-01-07T10:05:00Z";
    let made =
        admin.post("/tokens", &json!({"name": "short", "scopes": ["read"], "expires_at": expires_at})).expect(201);
    let short = app.client_with(made.body["token"].as_str().unwrap());
    short.get("/releases").expect(200);
    app.set_clock("2030-01-07T10:04:59Z");
    short.get("/releases").expect(200);
    app.set_clock(expires_at);
    short.get("/releases").problem(401, "UNAUTHENTICATED");
}

#[test]
fn what_was_undone_is_not_remembered() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let group = format!("/groups/{}", app.group("Release team"));
    let body = new_release();
    admin.post("/releases", &body).expect(201);
    admin.patch(&format!("{group}?dry_run=true"), "*", &json!({"active": false})).expect(200);
    admin.post("/releases", &body).expect(201);
    // Refused in the middle: the name is taken.
    let taken = app.group("Operators");
    let name = admin.get(&format!("/groups/{taken}")).expect(200).body["name"].clone();
    admin.patch(&group, "*", &json!({"active": false, "name": name})).problem(409, "ALREADY_EXISTS");
    admin.post("/releases", &body).expect(201);
}

#[test]
fn whatever_is_remembered_changes_its_token_with_every_change() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let template = json!({"name": "Tests", "stage": "test", "questions": [
        {"key": "smoke", "text": "Did they pass?", "kind": "confirm"},
    ]});
    let calendar = json!({"name": "Office", "time_zone": "Europe/Lisbon", "working_hours": {"monday": [{"start": "09:00", "end": "17:00"}]}});
    admin.post("/checklist-templates", &template).expect(201);
    admin.post("/calendars", &calendar).expect(201);
    admin.post("/units", &json!({"name": "Shops"})).expect(201);
    admin.post("/contracts", &json!({"name": "Support"})).expect(201);
    let models = format!("/portfolios/{}/models", app.named("portfolios", "General"));
    let mut connection = app.env.database.connect().unwrap();
    let mut token = || lines(&mut connection, "SELECT token AS line FROM reference_state");
    for collection in [
        "units",
        "users",
        "groups",
        "contracts",
        "calendars",
        "justifications",
        "solution-categories",
        "portfolios",
        "models",
        "checklist-templates",
    ] {
        let list = if collection == "models" { models.clone() } else { format!("/{collection}") };
        let id = admin.get(&list).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        let before = token();
        let field = if collection == "justifications" { "description" } else { "name" };
        admin.patch(&format!("/{collection}/{id}"), "*", &json!({field: "Renamed"})).expect(200);
        assert_ne!(token(), before, "{collection}");
    }
}
