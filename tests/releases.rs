//! Releases: creating, patching, reading conditionally.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn what_is_not_given_comes_from_the_model_and_what_is_given_wins() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let portfolio = app.named("portfolios", "General");
    let operators = app.group("Operators");
    let model = json!({
        "name": "Own", "status": "active", "workflow": "minor", "type": "major", "impact": "high", "urgency": "low", "risk": "high",
        "executor_group_id": operators,
    });
    let model = admin.post(&format!("/portfolios/{portfolio}/models"), &model).expect(201).id();
    let smallest =
        json!({"title": "Small", "requester": {"name": "Ana", "email": "ana@example.org"}, "model_id": model});
    let created = lead.post("/releases", &smallest).expect(201);
    let release = &created.body;
    let found: Vec<&Value> = [
        "type",
        "impact",
        "urgency",
        "risk",
        "executor_group_id",
        "model_id",
        "portfolio_id",
        "priority",
        "status",
        "stage",
    ]
    .iter()
    .map(|field| &release[*field])
    .collect();
    let expected = [
        json!("major"),
        json!("high"),
        json!("low"),
        json!("high"),
        json!(operators),
        json!(model),
        json!(portfolio),
        json!(3),
        json!("open"),
        json!("planning"),
    ];
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
    for absent in
        ["description", "version", "contract_id", "assignee_id", "planning_window", "deployment_window", "closed_at"]
    {
        assert!(release.get(absent).is_some_and(Value::is_null), "{absent}");
    }
    for empty in ["acceptance_criteria", "depends_on", "tags"] {
        assert_eq!(release[empty], json!([]), "{empty}");
    }
    assert_eq!(release["notify"], json!({"on_created": false, "on_updated": false, "on_closed": false}));
    assert_eq!(
        release["sla"],
        json!({"calendar_id": null, "term_minutes": null, "elapsed_minutes": null, "remaining_minutes": null, "deadline": null, "paused": false, "overdue": false})
    );
    let mut given = smallest;
    for (field, value) in [
        ("type", json!("minor")),
        ("impact", json!("low")),
        ("urgency", json!("medium")),
        ("risk", json!("low")),
        ("executor_group_id", json!(app.group("Release team"))),
    ] {
        given[field] = value;
    }
    let release = lead.post("/releases", &given).expect(201).body;
    for field in ["type", "impact", "urgency", "risk", "executor_group_id"] {
        assert_eq!(release[field], given[field], "{field}");
    }
    assert_eq!(release["priority"], 4);
    let default = lead.post("/releases", &new_release()).expect(201).body;
    assert_eq!(
        (&default["model_id"], &default["executor_group_id"]),
        (&json!(app.model("Standard")), &json!(app.group("Release team")))
    );
}

#[test]
fn priority_is_the_matrix_of_impact_and_urgency() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let created = lead.post("/releases", &new_release()).expect(201);
    let path = format!("/releases/{}", created.id());
    for (impact, row) in [("high", [1, 2, 3]), ("medium", [2, 3, 4]), ("low", [3, 4, 5])] {
        for (urgency, priority) in ["high", "medium", "low"].into_iter().zip(row) {
            let patched = lead.patch(&path, "*", &json!({"impact": impact, "urgency": urgency})).expect(200);
            assert_eq!(patched.body["priority"], priority);
            let listed = lead.get(&format!("/releases?priority={priority}&count=exact")).expect(200);
            assert_eq!(listed.body["page"]["total"], 1);
        }
    }
}

#[test]
fn a_requester_with_an_account_is_filled_in_from_it() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let unit = admin.post("/units", &json!({"name": "Retail"})).expect(201).id();
    let user = json!({"username": "ana", "name": "Ana", "email": "ana@example.org", "phone": "1", "extension": "2", "location": "Here", "unit_id": unit});
    let user = admin.post("/users", &user).expect(201).id();
    let mut body = new_release();
    body["requester"] = json!({"user_id": user});
    let filled = lead.post("/releases", &body).expect(201).body;
    let expected = json!({"user_id": user, "name": "Ana", "contact_name": null, "email": "ana@example.org", "phone": "1", "extension": "2", "unit_id": unit, "location": "Here", "notes": null});
    assert_eq!(filled["requester"], expected);
    body["requester"] = json!({"user_id": user, "name": "Ana M.", "phone": "9", "notes": "Calls back"});
    let given = lead.post("/releases", &body).expect(201).body;
    let found =
        ["name", "phone", "extension", "notes"].map(|field| given["requester"][field].as_str().unwrap().to_owned());
    assert_eq!(found, ["Ana M.", "9", "2", "Calls back"]);
}

#[test]
fn creation_is_all_or_nothing_and_a_dry_run_is_nothing() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let good = app.change("authorised");
    let mut body = new_release();
    body["changes"] = json!([{"change_id": good}, {"change_id": app.change("registered")}]);
    lead.post("/releases", &body)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/changes/1/change_id", "CHANGE_NOT_LINKABLE")]);
    body["changes"] = json!([{"change_id": good}]);
    let tried = Answer::of(lead.request("POST", "/releases?dry_run=true").header("Idempotency-Key", "k").json(&body))
        .expect(200);
    assert_eq!((tried.header("dry-run"), tried.header("location")), ("true", ""));
    assert!(["id", "number", "key"].iter().all(|field| tried.body[*field].is_null()), "{}", tried.text);
    assert_eq!(tried.body["priority"], 3);
    assert_eq!(lead.get("/releases?count=exact").expect(200).body["page"]["total"], 0);
    let mut bad = body.clone();
    bad["title"] = json!("");
    lead.post("/releases?dry_run=true", &bad).problem(422, "INVALID_VALUES");
    // The key was ignored: the same key now creates.
    let created = lead.post_once("/releases", "k", &body).expect(201);
    assert_eq!(created.header("idempotent-replayed"), "");
    let links = lead.get(&format!("/releases/{}/changes", created.id())).expect(200);
    assert_eq!(links.body["data"].as_array().unwrap().len(), 1);
    let audit = lead.get(&format!("/releases/{}/history", created.id())).expect(200);
    assert_eq!(audit.body["data"].as_array().unwrap().len(), 1);
}

#[test]
fn only_an_emergency_is_registered_after_its_windows() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let mut body = new_release();
    body["planning_window"] = json!({"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"});
    body["deployment_window"] = json!({"start": "2030-01-03T00:00:00Z", "end": "2030-01-04T00:00:00Z"});
    let faults = [("/planning_window", "WINDOW_PAST"), ("/deployment_window", "WINDOW_PAST")];
    lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(&faults);
    body["type"] = json!("emergency");
    lead.post("/releases", &body).expect(201);
    body["type"] = json!("minor");
    // One that has begun and is not over yet is fine, as is an offset.
    body["planning_window"] = json!({"start": "2030-01-01T00:00:00+02:00", "end": "2030-01-07T12:00:01+02:00"});
    body["deployment_window"] = json!({"start": "2030-01-07T10:00:01Z", "end": "2030-01-08T00:00:00Z"});
    let created = lead.post("/releases", &body).expect(201);
    assert_eq!(
        created.body["planning_window"],
        json!({"start": "2029-12-31T22:00:00Z", "end": "2030-01-07T10:00:01Z"})
    );
}

#[test]
fn a_patch_merges_and_null_clears_and_no_difference_is_no_version() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let mut body = new_release();
    body["description"] = json!("Long");
    body["tags"] = json!(["a", "b"]);
    body["custom_fields"] = json!({"keep": 1, "drop": {"deep": true}});
    body["requester"]["phone"] = json!("1");
    let created = lead.post("/releases", &body).expect(201);
    let path = format!("/releases/{}", created.id());
    let patch = json!({
        "title": "New", "description": null, "tags": ["c"], "custom_fields": {"drop": null, "add": [1]},
        "requester": {"phone": null, "contact_name": "Bo"}, "planning_window": {"end": "2030-02-02T00:00:00Z"}, "notify": {"on_closed": true},
    });
    let patched = lead.patch(&path, created.header("etag"), &patch).expect(200);
    let release = &patched.body;
    assert_eq!(
        (&release["title"], &release["description"], &release["tags"]),
        (&json!("New"), &json!(null), &json!(["c"]))
    );
    assert_eq!(release["custom_fields"], json!({"keep": 1, "add": [1]}));
    assert_eq!(
        (&release["requester"]["phone"], &release["requester"]["contact_name"], &release["requester"]["name"]),
        (&json!(null), &json!("Bo"), &json!("Ana Souza"))
    );
    assert_eq!(release["planning_window"], json!({"start": "2030-02-01T09:00:00Z", "end": "2030-02-02T00:00:00Z"}));
    assert_eq!(release["notify"]["on_closed"], true);
    assert_eq!(release["row_version"], 2);
    let history =
        |client: &Client| client.get(&format!("{path}/history")).expect(200).body["data"].as_array().unwrap().len();
    let before = history(&lead);
    let same = lead
        .patch(&path, patched.header("etag"), &json!({"title": "New", "description": null, "tags": ["c"]}))
        .expect(200);
    assert_eq!((same.body["row_version"].as_i64(), history(&lead)), (Some(2), before));
    assert_eq!(same.header("etag"), patched.header("etag"));
    let dry = lead.patch(&format!("{path}?dry_run=true"), "*", &json!({"title": "Dry"})).expect(200);
    assert_eq!((&dry.body["title"], &dry.body["id"]), (&json!("Dry"), &created.body["id"]));
    assert_eq!(lead.get(&path).expect(200).body["title"], "New");
    for field in [
        "status",
        "number",
        "priority",
        "stage",
        "model_id",
        "contract_id",
        "executor_group_id",
        "assignee_id",
        "allowed_actions",
        "row_version",
        "sla",
        "created_by",
        "resolution",
    ] {
        let refused = lead.patch(&path, "*", &json!({field: "x"})).problem(400, "MALFORMED_REQUEST");
        refused.faults(&[(&format!("/{field}"), "READ_ONLY_FIELD")]);
    }
    for (field, code) in
        [("title", "REQUIRED"), ("type", "REQUIRED"), ("impact", "REQUIRED"), ("requester", "REQUIRED")]
    {
        lead.patch(&path, "*", &json!({field: null}))
            .problem(422, "INVALID_VALUES")
            .faults(&[(&format!("/{field}"), code)]);
    }
    lead.patch(&path, "*", &json!({})).problem(400, "MALFORMED_REQUEST").faults(&[("", "EMPTY_PATCH")]);
    let cleared = lead
        .patch(&path, "*", &json!({"planning_window": null, "deployment_window": null, "tags": null}))
        .expect(200)
        .body;
    assert!(
        cleared["planning_window"].is_null() && cleared["sla"]["deadline"].is_null() && cleared["tags"] == json!([])
    );
    app.assert_sound();
}

#[test]
fn the_requesters_user_is_set_once_from_none() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let created = lead.post("/releases", &new_release()).expect(201);
    let path = format!("/releases/{}", created.id());
    let set = |role: Role| json!({"requester": {"user_id": app.user_id(role)}});
    let outsider = app.client(Role::Outsider);
    outsider.get(&path).problem(404, "NOT_FOUND");
    let patched = lead.patch(&path, "*", &set(Role::Outsider)).expect(200);
    assert_eq!(patched.body["requester"]["name"], "Ana Souza");
    outsider.get(&path).expect(200);
    for patch in [set(Role::Requester), json!({"requester": {"user_id": null}})] {
        lead.patch(&path, "*", &patch)
            .problem(409, "REQUESTER_LOCKED")
            .faults(&[("/requester/user_id", "REQUESTER_LOCKED")]);
    }
    lead.patch(&path, "*", &json!({"requester": {"phone": "5"}})).expect(200);
}

#[test]
fn dependencies_never_go_round() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let make = || lead.post("/releases", &new_release()).expect(201).id();
    let (a, b, c) = (make(), make(), make());
    let on = |id: &str, others: Value| lead.patch(&format!("/releases/{id}"), "*", &json!({"depends_on": others}));
    on(&a, json!([b])).expect(200);
    on(&b, json!([c])).expect(200);
    for (id, other) in [(&c, &a), (&c, &b), (&b, &a), (&a, &a)] {
        on(id, json!([other])).problem(422, "INVALID_VALUES").faults(&[("/depends_on/0", "CYCLE")]);
    }
    on(&c, json!([AN_ID])).problem(422, "INVALID_VALUES").faults(&[("/depends_on/0", "UNKNOWN_REFERENCE")]);
    on(&a, json!([b, b])).problem(422, "INVALID_VALUES").faults(&[("/depends_on/1", "REPEATED")]);
    on(&a, json!([c, b])).expect(200);
    assert_eq!(on(&a, json!(null)).expect(200).body["depends_on"], json!([]));
    on(&c, json!([a])).expect(200);
}

const AN_ID: &str = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";

#[test]
fn an_etag_names_version_and_body_and_a_304_hides_no_change() {
    let app = App::start();
    let (lead, viewer) = (app.client(Role::Lead), app.client(Role::Viewer));
    let created = lead.post("/releases", &new_release()).expect(201);
    let path = created.header("location").to_owned();
    let read = lead.get(&path).expect(200);
    assert_eq!(read.header("etag"), created.header("etag"));
    assert!(read.header("etag").starts_with("\"1."));
    assert_eq!(read.header("cache-control"), "private, no-cache");
    let again = |client: &Client, tag: &str| Answer::of(client.request("GET", &path).header("If-None-Match", tag));
    for tag in [
        read.header("etag").to_owned(),
        format!("W/{}", read.header("etag")),
        format!("\"x\", {}", read.header("etag")),
        "*".into(),
    ] {
        let same = again(&lead, &tag).expect(304);
        assert_eq!((same.text.as_str(), same.header("etag")), ("", read.header("etag")));
    }
    for tag in ["\"1\"", "\"2.x\""] {
        again(&lead, tag).expect(200);
    }
    again(&lead, "x").problem(400, "MALFORMED_REQUEST").faults(&[("If-None-Match", "INVALID_HEADER")]);
    // What another caller may do is another body.
    again(&viewer, read.header("etag")).expect(200);
    lead.patch(&path, read.header("etag"), &json!({"title": "Other"})).expect(200);
    again(&lead, read.header("etag")).expect(200);
    lead.patch(&path, "\"2\"", &json!({"title": "Third"})).expect(200);
    assert_eq!(lead.get("/releases").expect(200).header("cache-control"), "no-store");
}

#[test]
fn a_release_is_never_deleted() {
    let app = App::start();
    let release = app.release().make();
    let path = format!("/releases/{}", release["key"].as_str().unwrap());
    app.client(Role::Admin).delete(&path, "*").problem(405, "METHOD_NOT_ALLOWED");
}

#[test]
fn an_account_fills_in_the_requester_once_and_is_no_obstacle_when_it_is_disabled() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let user = app.user_id(Role::Requester);
    admin.patch(&format!("/users/{user}"), "*", &json!({"phone": "555"})).expect(200);
    let mut body = new_release();
    body["requester"] = json!({"user_id": user});
    let created = lead.post("/releases", &body).expect(201);
    assert_eq!(created.body["requester"]["phone"], "555");
    let path = format!("/releases/{}", created.id());
    let cleared = lead.patch(&path, "*", &json!({"requester": {"phone": null}})).expect(200);
    assert!(cleared.body["requester"]["phone"].is_null());
    admin.patch(&format!("/users/{user}"), "*", &json!({"active": false})).expect(200);
    let patched = lead.patch(&path, "*", &json!({"title": "Another title"})).expect(200);
    assert_eq!(patched.body["title"], "Another title");
    assert!(patched.body["requester"]["phone"].is_null());
}

#[test]
fn a_dependency_that_a_caller_cannot_see_stays_beside_those_that_they_add() {
    let app = App::start();
    let (manager, operator) = (app.client(Role::Manager), app.client(Role::Operator));
    let hidden = app.release().make();
    let operators = app.group("Operators");
    let mine =
        app.release().with("executor_group_id", operators.clone()).with("depends_on", json!([hidden["id"]])).make();
    let other = app.release().with("executor_group_id", operators).make();
    let path = format!("/releases/{}", mine["id"].as_str().unwrap());
    let both = json!({"depends_on": [hidden["id"], other["id"]]});
    let patched = operator.patch(&path, "*", &both).expect(200);
    assert_eq!(patched.body["depends_on"].as_array().unwrap().len(), 2);
    assert_eq!(manager.get(&path).expect(200).body["depends_on"].as_array().unwrap().len(), 2);
}
