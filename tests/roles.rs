//! Roles in releases: an account sees the release by it, and everybody is told who it is.

use serde_json::{Value, json};

use crate::refusals::AN_ID;
use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn eva() -> Value {
    json!({"role": "consulted", "phase": "test", "name": "Eva Prado", "email": "eva@example.org", "text": "Card terminals"})
}

#[test]
fn a_user_sees_a_release_from_the_role_on_until_it_goes_to_somebody_else_or_ends() {
    let app = App::start();
    let (lead, outsider) = (app.client(Role::Lead), app.client(Role::Outsider));
    let release = path(&app.release().make());
    let roles = format!("{release}/roles");
    outsider.get(&release).problem(404, "NOT_FOUND");
    let body = json!({"role": "informed", "user_id": app.user_id(Role::Outsider)});
    let informed = lead.post(&roles, &body).expect(201);
    assert_eq!(informed.header("location"), format!("/api/v1{roles}/{}", informed.id()));
    assert_eq!(
        (&informed.body["name"], &informed.body["email"], &informed.body["phase"], &informed.body["row_version"]),
        (&json!("The outsider"), &json!("outsider@example.org"), &json!(null), &json!(1))
    );
    let both = json!({"role": "consulted", "user_id": app.user_id(Role::Outsider)});
    let consulted = lead.post(&roles, &both).expect(201);
    outsider.get(&release).expect(200);
    assert_eq!(outsider.get("/releases").expect(200).body["data"].as_array().unwrap().len(), 1);
    // Seeing is all that a role gives.
    outsider.post(&roles, &eva()).problem(403, "FORBIDDEN");
    assert_eq!(outsider.get(&release).expect(200).body["allowed_actions"], json!([]));
    lead.delete(&format!("{roles}/{}", consulted.id()), "*").expect(204);
    outsider.get(&release).expect(200);
    let item = format!("{roles}/{}", informed.id());
    let handed = json!({"user_id": app.user_id(Role::Operator), "text": "In place of the other"});
    let handed = lead.patch(&item, informed.header("etag"), &handed).expect(200);
    assert_eq!((&handed.body["name"], &handed.body["row_version"]), (&json!("The operator"), &json!(2)));
    outsider.get(&release).problem(404, "NOT_FOUND");
    app.client(Role::Operator).get(&release).expect(200);
    let named = json!({"user_id": null, "name": "Eva Prado", "email": "eva@example.org"});
    lead.patch(&item, "*", &named).expect(200);
    app.client(Role::Operator).get(&release).problem(404, "NOT_FOUND");
    assert_eq!(lead.get(&item).expect(200).body["user_id"], json!(null));
    // The release's own version stays, and its history tells everything.
    assert_eq!(lead.get(&release).expect(200).body["row_version"], 1);
    let history = lead.get(&format!("{release}/history")).expect(200);
    let told: Vec<&str> =
        history.body["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "release.update_role",
            "release.update_role",
            "release.remove_role",
            "release.add_role",
            "release.add_role",
            "release.create"
        ]
    );
    app.assert_sound();
}

#[test]
fn a_release_is_registered_with_its_roles_or_not_at_all() {
    let app = App::start();
    let (lead, outsider) = (app.client(Role::Lead), app.client(Role::Outsider));
    let mut body = new_release();
    body["roles"] = json!([
        {"role": "accountable", "user_id": app.user_id(Role::Outsider), "phase": "deployment"},
        eva(),
    ]);
    let release = lead.post("/releases", &body).expect(201).body;
    outsider.get(&path(&release)).expect(200);
    let all = lead.get(&format!("{}/roles", path(&release))).expect(200).body["data"].clone();
    assert_eq!((&all[0]["role"], &all[1]["email"]), (&json!("accountable"), &json!("eva@example.org")));
    assert_eq!(lead.get(&format!("{}/history/verify", path(&release))).expect(200).body["valid"], true);
    let count = || lead.get("/releases?count=exact&limit=1").expect(200).body["page"]["total"].clone();
    let before = count();
    let gone = json!({"username": "gone", "name": "Gone", "email": "gone@example.org", "active": false});
    let gone = app.client(Role::Admin).post("/users", &gone).expect(201).id();
    let mut shouted = eva();
    shouted["email"] = json!("EVA@example.org");
    body["roles"] = json!([
        {"role": "informed"},
        {"role": "informed", "user_id": AN_ID},
        {"role": "informed", "user_id": gone, "name": "Gone"},
        eva(),
        shouted,
    ]);
    lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(&[
        ("/roles/0/name", "REQUIRED"),
        ("/roles/0/email", "REQUIRED"),
        ("/roles/1/user_id", "UNKNOWN_REFERENCE"),
        ("/roles/2/name", "NOT_APPLICABLE"),
        ("/roles/2/user_id", "USER_DISABLED"),
        ("/roles/4", "REPEATED"),
    ]);
    body["roles"] = json!([{"role": "informed", "name": "Eva", "email": "eva", "text": "x".repeat(181)}]);
    lead.post("/releases", &body)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/roles/0/email", "INVALID_EMAIL"), ("/roles/0/text", "TOO_LONG")]);
    assert_eq!(count(), before);
    // As many as there may be: more rows than one statement takes.
    let many: Vec<Value> = (0..200)
        .map(|index| json!({"role": "informed", "name": "Eva", "email": format!("eva{index}@example.org")}))
        .collect();
    body["roles"] = json!(many);
    let release = lead.post("/releases", &body).expect(201).body;
    let roles = format!("{}/roles", path(&release));
    assert_eq!(lead.get(&roles).expect(200).body["data"].as_array().unwrap().len(), 200);
    lead.post(&roles, &eva()).problem(409, "LIMIT_REACHED");
    app.assert_sound();
}

#[test]
fn a_bad_role_is_refused_and_names_what_is_wrong() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = path(&app.release().make());
    let roles = format!("{release}/roles");
    let first = lead.post(&roles, &eva()).expect(201);
    let with = |field: &str, value: Value| {
        let mut body = eva();
        body[field] = value;
        body
    };
    for (body, pointer, code) in [
        (with("role", json!("boss")), "/role", "NOT_ALLOWED"),
        (with("role", json!(null)), "/role", "REQUIRED"),
        (with("phase", json!("lunch")), "/phase", "NOT_ALLOWED"),
        (with("name", json!("  ")), "/name", "BLANK"),
        (with("name", json!("n".repeat(201))), "/name", "TOO_LONG"),
        (with("name", json!("E\u{0}va")), "/name", "INVALID_CHARACTER"),
        (with("email", json!("eva at example")), "/email", "INVALID_EMAIL"),
        (with("text", json!("")), "/text", "TOO_SHORT"),
        (with("text", json!("t".repeat(181))), "/text", "TOO_LONG"),
    ] {
        // A null where a value is needed has the wrong type before it is missing.
        let refused = lead.post(&roles, &body);
        if body["role"].is_null() {
            refused.problem(400, "MALFORMED_REQUEST");
            continue;
        }
        refused.problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
    }
    for (body, pointer, code) in [
        (with("colour", json!("red")), "/colour", "UNKNOWN_FIELD"),
        (with("row_version", json!(7)), "/row_version", "READ_ONLY_FIELD"),
        (with("text", json!(7)), "/text", "WRONG_TYPE"),
    ] {
        lead.post(&roles, &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
    lead.post(&roles, &eva()).problem(409, "ALREADY_EXISTS");
    let second = lead.post(&roles, &with("phase", json!("closure"))).expect(201);
    let item = format!("{roles}/{}", second.id());
    lead.patch(&item, "*", &json!({"phase": "test"})).problem(409, "ALREADY_EXISTS");
    lead.patch(&item, "*", &json!({"name": null})).problem(422, "INVALID_VALUES").faults(&[("/name", "REQUIRED")]);
    lead.patch(&item, "\"7\"", &json!({"text": "x"})).problem(412, "PRECONDITION_FAILED");
    Answer::of(lead.request("PATCH", &item).json(&json!({"text": "x"}))).problem(428, "PRECONDITION_REQUIRED");
    Answer::of(lead.request("DELETE", &item)).problem(428, "PRECONDITION_REQUIRED");
    assert_eq!(lead.patch(&item, "*", &json!({"name": "Eva Prado"})).expect(200).body["row_version"], 1);
    let other = path(&app.release().make());
    lead.get(&format!("{other}/roles/{}", first.id())).problem(404, "NOT_FOUND");
    lead.get(&format!("{roles}/nonsense")).problem(404, "NOT_FOUND");
    let tried = lead.post(&format!("{roles}?dry_run=true"), &with("phase", json!(null))).expect(200);
    assert_eq!(tried.body["id"], json!(null));
    assert_eq!(lead.get(&roles).expect(200).body["data"].as_array().unwrap().len(), 2);
    app.assert_sound();
}

#[test]
fn roles_are_written_while_the_release_is_active_alone() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    for (status, active) in
        [("open", true), ("reopened", true), ("suspended", false), ("cancelled", false), ("closed", false)]
    {
        let release = app.release().with("roles", json!([eva()])).status(status).make();
        let roles = format!("{}/roles", path(&release));
        let id = lead.get(&roles).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        let item = format!("{roles}/{id}");
        let answers = [
            lead.post(&roles, &json!({"role": "informed", "name": "A", "email": "a@example.org"})),
            lead.patch(&item, "*", &json!({"text": "Other words"})),
            lead.delete(&item, "*"),
        ];
        for (answer, expected) in answers.into_iter().zip([201, 200, 204]) {
            if active {
                answer.expect(expected);
            } else {
                let refused = answer.problem(409, "STATE_FORBIDS");
                assert_eq!(refused.body["current_status"], status);
            }
        }
    }
}

#[test]
fn a_repeated_role_under_one_key_is_given_once() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let roles = format!("{}/roles", path(&app.release().make()));
    let first = lead.post_once(&roles, "role-1", &eva()).expect(201);
    let again = lead.post_once(&roles, "role-1", &eva()).expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.text), ("true", &first.text));
    assert_eq!(lead.get(&roles).expect(200).body["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_user_with_a_role_is_in_use() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let user = json!({"username": "rui", "name": "Rui", "email": "rui@example.org"});
    let user = admin.post("/users", &user).expect(201).id();
    let roles = format!("{}/roles", path(&app.release().make()));
    let role = lead.post(&roles, &json!({"role": "informed", "user_id": user})).expect(201).id();
    let refused = admin.delete(&format!("/users/{user}"), "*").problem(409, "IN_USE");
    assert!(refused.body["detail"].as_str().unwrap().contains("1 role"), "{}", refused.text);
    lead.delete(&format!("{roles}/{role}"), "*").expect(204);
    admin.delete(&format!("/users/{user}"), "*").expect(204);
}

#[test]
fn a_list_that_is_read_whole_is_cut_into_pages_where_a_limit_is_given() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = path(&app.release().make());
    let roles = format!("{release}/roles");
    let reader = |nth: usize| json!({"role": "informed", "name": "A reader", "email": format!("r{nth}@example.org")});
    let ids: Vec<String> = (0..5).map(|nth| lead.post(&roles, &reader(nth)).expect(201).id()).collect();
    let of = |page: &Answer| -> Vec<String> {
        let data = page.body["data"].as_array().unwrap();
        data.iter().map(|role| role["id"].as_str().unwrap().to_owned()).collect()
    };
    let whole = lead.get(&roles).expect(200);
    assert_eq!((of(&whole), &whole.body["page"]), (ids.clone(), &json!({"next_cursor": null, "limit": 200})));
    let first = lead.get(&format!("{roles}?limit=2")).expect(200);
    assert_eq!((of(&first), &first.body["page"]["limit"]), (ids[..2].to_vec(), &json!(2)));
    let cursor = first.body["page"]["next_cursor"].as_str().unwrap();
    assert!(first.header("link").contains(&format!("cursor={cursor}")), "{}", first.header("link"));
    // The last of the page before goes meanwhile; nothing else is missed or seen twice.
    lead.delete(&format!("{roles}/{}", ids[1]), "*").expect(204);
    let second = lead.get(&format!("{roles}?limit=2&cursor={cursor}")).expect(200);
    assert_eq!(of(&second), ids[2..4]);
    let cursor = second.body["page"]["next_cursor"].as_str().unwrap();
    let last = lead.get(&format!("{roles}?limit=2&cursor={cursor}")).expect(200);
    assert_eq!((of(&last), &last.body["page"]["next_cursor"]), (ids[4..].to_vec(), &json!(null)));
    let elsewhere = format!("{release}/shares?cursor={cursor}");
    lead.get(&elsewhere).problem(400, "MALFORMED_REQUEST").faults(&[("cursor", "INVALID_CURSOR")]);
    lead.get(&format!("{roles}?limit=0&cursor=x&sort=id")).problem(400, "MALFORMED_REQUEST").faults(&[
        ("sort", "UNKNOWN_PARAMETER"),
        ("limit", "INVALID_PARAMETER"),
        ("cursor", "INVALID_CURSOR"),
    ]);
}

#[test]
fn tokens_fall_and_members_rise_from_page_to_page() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let collect = |path: &str, field: &str| -> Vec<String> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("{path}?limit=1{cursor}")).expect(200).body;
            all.extend(page["data"].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()));
            match page["page"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    };
    for name in ["one", "two", "three"] {
        admin.post("/tokens", &json!({"name": name, "scopes": ["read"], "expires_at": null})).expect(201);
    }
    assert_eq!(collect("/tokens", "name"), ["three", "two", "one"]);
    let members = format!("/groups/{}/members", app.group("Release team"));
    let whole = admin.get(&members).expect(200).body["data"].as_array().unwrap().len();
    let found = collect(&members, "username");
    assert!(found.is_sorted() && found.len() == whole && whole > 1, "{found:?}");
}
