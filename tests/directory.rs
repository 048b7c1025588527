//! Users, groups with members, units and contracts.

use serde_json::{Value, json};

use crate::support::*;

/// The named field of every item of a list.
fn column(client: &Client, path: &str, field: &str) -> Vec<String> {
    let page = client.get(path).expect(200);
    page.body["data"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

fn history_length(client: &Client, record: &str) -> i64 {
    let page = client.get(&format!("/audit?record_id={record}&count=exact")).expect(200);
    page.body["page"]["total"].as_i64().unwrap()
}

#[test]
fn every_noun_is_created_read_listed_patched_and_deleted_alike() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let portfolio = app.named("portfolios", "General");
    let models = format!("/portfolios/{portfolio}/models");
    let cases: Vec<(&str, &str, Value, Value, &str)> = vec![
        ("/units", "/units", json!({"name": "New one"}), json!({"description": "D", "active": false}), "name"),
        ("/contracts", "/contracts", json!({"name": "New one"}), json!({"description": "D", "active": false}), "name"),
        ("/groups", "/groups", json!({"name": "New one"}), json!({"permissions": ["approve", "create"]}), "name"),
        (
            "/users",
            "/users",
            json!({"username": "new.one", "name": "N", "email": "n@example.org"}),
            json!({"phone": "5", "location": "Here"}),
            "username",
        ),
        (
            "/justifications",
            "/justifications",
            json!({"description": "New one", "applies_to": ["cancel"]}),
            json!({"applies_to": ["suspend", "cancel"]}),
            "description",
        ),
        (
            "/solution-categories",
            "/solution-categories",
            json!({"name": "New one"}),
            json!({"description": "D"}),
            "name",
        ),
        (
            "/calendars",
            "/calendars",
            json!({"name": "New one", "time_zone": "UTC", "working_hours": {"monday": [{"start": "09:00", "end": "17:00"}]}}),
            json!({"time_zone": "Asia/Tokyo", "active": false}),
            "name",
        ),
        ("/portfolios", "/portfolios", json!({"name": "New one"}), json!({"icon": "i", "active": false}), "name"),
        (&models, "/models", json!({"name": "New one"}), json!({"status": "active", "impact": "high"}), "name"),
        (
            "/changes",
            "/changes",
            json!({"source": "s", "external_id": "New one", "title": "T", "status": "assessed"}),
            json!({"status": "rejected", "risk": "high"}),
            "external_id",
        ),
    ];
    for (home, collection, body, patch, name) in cases {
        let created = admin.post(home, &body).expect(201);
        let path = format!("{collection}/{}", created.id());
        assert_eq!(created.header("location"), format!("/api/v1{path}"));
        assert!(created.header("etag").starts_with("\"1."), "{collection}");
        let read = admin.get(&path).expect(200);
        // A change that is read alone tells what became of it, too.
        let mut found = read.body.clone();
        let outcomes = found.as_object_mut().unwrap().remove("outcomes");
        assert_eq!((&found, outcomes), (&created.body, (collection == "/changes").then(|| json!([]))));
        assert_eq!(read.header("etag") == created.header("etag"), collection != "/changes");
        let text = body[name].as_str().unwrap();
        let start: String = text.chars().take(4).collect::<String>().to_uppercase().replace(' ', "%20");
        assert_eq!(column(&admin, &format!("{collection}?q={start}"), name), [text], "{collection}");
        admin.post(home, &body).problem(409, "ALREADY_EXISTS");
        let patched = admin.patch(&path, created.header("etag"), &patch).expect(200);
        for (field, value) in patch.as_object().unwrap() {
            let (mut found, mut wanted) = (patched.body[field].clone(), value.clone());
            for list in [&mut found, &mut wanted] {
                if let Some(items) = list.as_array_mut() {
                    items.sort_by_key(ToString::to_string);
                }
            }
            assert_eq!(found, wanted, "{collection} {field}");
        }
        assert_eq!(patched.body["row_version"], 2);
        let length = history_length(&admin, &created.id());
        let same = admin.patch(&path, patched.header("etag"), &patch).expect(200);
        assert_eq!((same.header("etag"), history_length(&admin, &created.id())), (patched.header("etag"), length));
        admin.patch(&path, created.header("etag"), &patch).problem(412, "PRECONDITION_FAILED");
        admin
            .patch(&path, "*", &json!({name: null}))
            .problem(422, "INVALID_VALUES")
            .faults(&[(&format!("/{name}"), "REQUIRED")]);
        admin
            .patch(&path, "*", &json!({"id": "x"}))
            .problem(400, "MALFORMED_REQUEST")
            .faults(&[("/id", "READ_ONLY_FIELD")]);
        let dry = admin.patch(&format!("{path}?dry_run=true"), "*", &json!({name: "dry.run"}));
        assert!(dry.status == 200 || dry.body["code"] == "KEY_LOCKED", "{}", dry.text);
        admin.delete(&path, created.header("etag")).problem(412, "PRECONDITION_FAILED");
        admin.delete(&path, patched.header("etag")).expect(204);
        admin.get(&path).problem(404, "NOT_FOUND");
        // Its history outlives it, and its name is free again.
        assert_eq!(history_length(&admin, &created.id()), length + 1);
        admin.post(home, &body).expect(201);
    }
    app.assert_sound();
}

#[test]
fn lists_are_filtered_and_sorted() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let made = |path: &str, body: Value| admin.post(path, &body).expect(201).id();
    let retail = made("/units", json!({"name": "Retail"}));
    made("/units", json!({"name": "Branches", "parent_id": retail}));
    made("/units", json!({"name": "Closed", "active": false}));
    let team = app.group("Release team");
    made("/users", json!({"username": "zoe", "name": "Z", "email": "z@example.org", "unit_id": retail}));
    made("/users", json!({"username": "old", "name": "O", "email": "o@example.org", "active": false}));
    made("/contracts", json!({"name": "Ended", "active": false}));
    made("/contracts", json!({"name": "Running"}));
    let idle = made("/groups", json!({"name": "Idle", "active": false}));
    admin.post(&format!("/groups/{idle}/members"), &json!({"user_id": app.user_id(Role::Lead)})).expect(201);
    let lead = app.user_id(Role::Lead);
    let cases: Vec<(String, &str, Vec<&str>)> = vec![
        ("/units".into(), "name", vec!["Branches", "Closed", "Retail"]),
        ("/units?sort=-name".into(), "name", vec!["Retail", "Closed", "Branches"]),
        ("/units?sort=created_at".into(), "name", vec!["Retail", "Branches", "Closed"]),
        ("/units?active=true".into(), "name", vec!["Branches", "Retail"]),
        ("/units?active=false".into(), "name", vec!["Closed"]),
        (format!("/units?parent={retail}"), "name", vec!["Branches"]),
        ("/users?active=false".into(), "username", vec!["old"]),
        (format!("/users?unit={retail}"), "username", vec!["zoe"]),
        ("/users?global_role=viewer,integration".into(), "username", vec!["integration", "viewer"]),
        (format!("/users?group={team}"), "username", vec!["admin", "lead"]),
        ("/contracts?active=true".into(), "name", vec!["Running"]),
        ("/contracts?active=false".into(), "name", vec!["Ended"]),
        ("/groups?active=false".into(), "name", vec!["Idle"]),
        (format!("/groups?member={lead}"), "name", vec!["Idle", "Release team"]),
    ];
    for (path, field, expected) in cases {
        assert_eq!(column(&admin, &path, field), expected, "{path}");
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut walked = Vec::new();
        let mut next = format!("{path}{joint}limit=1");
        loop {
            walked.extend(column(&admin, &next, field));
            let link = admin.get(&next).expect(200).header("link").to_owned();
            match link.strip_prefix('<').and_then(|rest| rest.split('>').next()) {
                Some(address) => next = address.to_owned(),
                None => break,
            }
        }
        assert_eq!(walked, expected, "{path} page by page");
    }
}

#[test]
fn units_and_portfolios_are_trees_without_circles() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    for collection in ["/units", "/portfolios"] {
        let make = |name: &str, parent: Option<&str>| {
            admin.post(collection, &json!({"name": name, "parent_id": parent})).expect(201).id()
        };
        let a = make("A", None);
        let b = make("B", Some(&a));
        let c = make("C", Some(&b));
        let put =
            |id: &str, parent: &str| admin.patch(&format!("{collection}/{id}"), "*", &json!({"parent_id": parent}));
        for (id, parent) in [(&a, &a), (&a, &b), (&a, &c), (&b, &c)] {
            put(id, parent).problem(422, "INVALID_VALUES").faults(&[("/parent_id", "CYCLE")]);
        }
        put(&c, AN_ID).problem(422, "INVALID_VALUES").faults(&[("/parent_id", "UNKNOWN_REFERENCE")]);
        put(&c, &a).expect(200);
        admin.delete(&format!("{collection}/{a}"), "*").problem(409, "IN_USE");
        admin.patch(&format!("{collection}/{c}"), "*", &json!({"parent_id": null})).expect(200);
        admin.delete(&format!("{collection}/{b}"), "*").expect(204);
        admin.delete(&format!("{collection}/{a}"), "*").expect(204);
    }
}

const AN_ID: &str = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";

#[test]
fn what_is_in_use_is_not_deleted_and_the_answer_says_by_what() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let made = |path: &str, body: Value| admin.post(path, &body).expect(201).id();
    let unit = made("/units", json!({"name": "Retail"}));
    let contract = made("/contracts", json!({"name": "Operations", "unit_ids": [unit]}));
    app.release()
        .with("contract_id", contract.clone())
        .with("requester", json!({"name": "Ana", "email": "ana@example.org", "unit_id": unit}))
        .make();
    app.release().with("requester", json!({"user_id": app.user_id(Role::Outsider)})).status("cancelled").make();
    let cases = [
        (format!("/units/{unit}"), vec!["contract", "release"]),
        (format!("/contracts/{contract}"), vec!["release"]),
        (format!("/groups/{}", app.group("Release team")), vec!["member", "model", "release"]),
        (format!("/groups/{}", app.group("Operators")), vec!["member"]),
        (format!("/users/{}", app.user_id(Role::Outsider)), vec!["release"]),
        (format!("/users/{}", app.user_id(Role::Manager)), vec!["release", "transition", "session"]),
        (format!("/portfolios/{}", app.named("portfolios", "General")), vec!["model", "release"]),
        (format!("/justifications/{}", app.justification("cancel")), vec!["transition"]),
    ];
    for (path, users) in cases {
        let before = admin.get(&path).expect(200);
        let refused = admin.delete(&path, "*").problem(409, "IN_USE");
        for user in users {
            assert!(refused.body["detail"].as_str().unwrap().contains(user), "{path} {user}: {}", refused.text);
        }
        assert_eq!(admin.get(&path).expect(200).text, before.text);
    }
    // It is deactivated instead.
    admin.patch(&format!("/units/{unit}"), "*", &json!({"active": false})).expect(200);
}

#[test]
fn the_last_administrator_stays() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let path = format!("/users/{}", app.user_id(Role::Admin));
    for patch in [json!({"active": false}), json!({"global_role": null}), json!({"global_role": "viewer"})] {
        admin.patch(&path, "*", &patch).problem(409, "LAST_ADMIN");
    }
    let second = json!({"username": "second", "name": "S", "email": "s@example.org", "global_role": "admin"});
    let second = admin.post("/users", &second).expect(201).id();
    let other = format!("/users/{second}");
    admin.patch(&other, "*", &json!({"active": false})).expect(200);
    admin.patch(&path, "*", &json!({"global_role": null})).problem(409, "LAST_ADMIN");
    admin.patch(&other, "*", &json!({"active": true})).expect(200);
    admin.patch(&path, "*", &json!({"global_role": null})).expect(200);
    // The right is gone with the same token.
    admin.patch(&path, "*", &json!({"global_role": "admin"})).problem(403, "FORBIDDEN");
}

#[test]
fn members_come_and_go_and_their_rights_with_them() {
    let app = App::start();
    let (admin, outsider) = (app.client(Role::Admin), app.client(Role::Outsider));
    let user = app.user_id(Role::Outsider);
    let group = app.group("Requesters");
    let members = format!("/groups/{group}/members");
    outsider.post("/releases", &new_release()).problem(403, "FORBIDDEN");
    let added = admin.post(&members, &json!({"user_id": user})).expect(201);
    assert_eq!(added.header("location"), format!("/api/v1{members}/{user}"));
    assert_eq!((&added.body["username"], &added.body["since"]), (&json!("outsider"), &json!(NOW)));
    assert_eq!(column(&admin, &members, "username"), ["outsider", "requester"]);
    admin.post(&members, &json!({"user_id": user})).problem(409, "ALREADY_EXISTS");
    admin
        .post(&members, &json!({"user_id": AN_ID}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/user_id", "UNKNOWN_REFERENCE")]);
    admin.post(&format!("/groups/{AN_ID}/members"), &json!({"user_id": user})).problem(404, "NOT_FOUND");
    assert_eq!(outsider.get("/me").expect(200).body["groups"][0]["permissions"], json!(["create"]));
    outsider.post("/releases", &new_release()).expect(201);
    admin.patch(&format!("/groups/{group}"), "*", &json!({"active": false})).expect(200);
    outsider.post("/releases", &new_release()).problem(403, "FORBIDDEN");
    admin.patch(&format!("/groups/{group}"), "*", &json!({"active": true})).expect(200);
    admin.delete(&format!("{members}/{user}"), "*").expect(204);
    admin.delete(&format!("{members}/{user}"), "*").problem(404, "NOT_FOUND");
    outsider.post("/releases", &new_release()).problem(403, "FORBIDDEN");

    // An assignee is always a member of the executor group.
    let release = app.release().make();
    transition(&app.client(Role::Lead), &release, &json!({"action": "capture"}));
    let member = format!("/groups/{}/members/{}", app.group("Release team"), app.user_id(Role::Lead));
    admin.delete(&member, "*").problem(409, "IN_USE");
    app.assert_sound();
}

#[test]
fn a_password_is_changed_with_the_present_one_and_ends_the_other_sessions() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let viewer = app.user_id(Role::Viewer);
    let path = format!("/users/{viewer}/password");
    let (first, second, third) = ("the first long phrase", "the second long phrase", "the third long phrase");
    let old = app.client(Role::Viewer);
    admin.post(&path, &json!({"password": first})).expect(204);
    old.get("/me").problem(401, "UNAUTHENTICATED");
    let login =
        |password: &str| app.anonymous().post("/auth/login", &json!({"username": "viewer", "password": password}));
    let granted = login(first).expect(200);
    let own = app.client_with(granted.body["access_token"].as_str().unwrap());
    let other = app.client_with(login(first).expect(200).body["access_token"].as_str().unwrap());
    own.post(&path, &json!({"password": second}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/current_password", "WRONG_PASSWORD")]);
    own.post(&path, &json!({"password": second, "current_password": "wrong"})).problem(422, "INVALID_VALUES");
    own.post(&path, &json!({"password": "short", "current_password": first}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/password", "TOO_SHORT")]);
    other.get("/me").expect(200);
    own.post(&path, &json!({"password": second, "current_password": first})).expect(204);
    own.get("/me").expect(200);
    other.get("/me").problem(401, "UNAUTHENTICATED");
    login(first).problem(401, "UNAUTHENTICATED");
    login(second).expect(200);
    app.client(Role::Manager).post(&path, &json!({"password": third})).problem(403, "FORBIDDEN");
    let audit = admin.get(&format!("/audit?record_id={viewer}")).expect(200);
    assert!(!audit.text.contains("phrase") && audit.text.contains("user.set_password"));
}
