//! A release that is not well said is refused, and the answer names what is wrong with it.

use serde_json::{Value, json};

use crate::refusals::{AN_ID, Watched, with};

#[test]
fn a_release_with_malformed_fields_is_a_400_that_names_each() {
    let watched = Watched::start();
    let cases = [
        (with("colour", json!("red")), "/colour", "UNKNOWN_FIELD"),
        (with("status", json!("closed")), "/status", "READ_ONLY_FIELD"),
        (with("title", json!(7)), "/title", "WRONG_TYPE"),
        (with("tags", json!("one")), "/tags", "WRONG_TYPE"),
        (with("tags", json!([1])), "/tags/0", "WRONG_TYPE"),
        (with("notify", json!({"on_closed": "yes"})), "/notify/on_closed", "WRONG_TYPE"),
        (
            with("requester", json!({"name": "A", "email": "a@example.org", "age": 7})),
            "/requester/age",
            "UNKNOWN_FIELD",
        ),
        (with("planning_window", json!("tomorrow")), "/planning_window", "WRONG_TYPE"),
    ];
    for (body, pointer, code) in cases {
        watched.refused(watched.create(&body), 400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
}

#[test]
fn a_release_with_invalid_values_is_a_422_that_names_each() {
    let watched = Watched::start();
    let admin = &watched.admin;
    let portfolio = watched.app.named("portfolios", "General");
    let model = |name: &str, status: &str| {
        let body = json!({"name": name, "status": status});
        admin.post(&format!("/portfolios/{portfolio}/models"), &body).expect(201).id()
    };
    let (new, retired, bare) = (model("New", "new"), model("Retired", "active"), model("Bare", "active"));
    admin.patch(&format!("/models/{retired}"), "*", &json!({"status": "retired"})).expect(200);
    let contract =
        |name: &str, active: bool| admin.post("/contracts", &json!({"name": name, "active": active})).expect(201).id();
    let (sleeping, stranger) = (contract("Sleeping", false), contract("Stranger", true));
    let narrow = json!({
        "name": "Narrow", "status": "active", "contract_ids": [sleeping],
        "executor_group_id": watched.app.group("Release team"), "executor_group_ids": [watched.app.group("Release team")],
    });
    let narrow = admin.post(&format!("/portfolios/{portfolio}/models"), &narrow).expect(201).id();
    let idle = admin.post("/groups", &json!({"name": "Idle", "active": false})).expect(201).id();
    let gone = json!({"username": "gone", "name": "Gone", "email": "gone@example.org", "active": false});
    let gone = admin.post("/users", &gone).expect(201).id();
    let (registered, cancelled) = (watched.app.change("registered"), watched.app.change("cancelled"));
    let window = |start: &str, end: &str| json!({"start": start, "end": end});
    let in_model = |model: &str, field: &str, value: Value| {
        let mut body = with(field, value);
        body["model_id"] = json!(model);
        body
    };
    let cases: Vec<(Value, Vec<(&str, &str)>)> = vec![
        (
            with("planning_window", window("2030-02-01T18:00:00Z", "2030-02-01T09:00:00Z")),
            vec![("/planning_window", "WINDOW_REVERSED")],
        ),
        (
            with("deployment_window", window("2030-02-05T22:00:00Z", "2030-02-05T22:00:00Z")),
            vec![("/deployment_window", "WINDOW_REVERSED")],
        ),
        (
            with("planning_window", window("2030-02-01T09:00:00Z", "2030-02-05T23:00:00Z")),
            vec![("/planning_window/end", "WINDOWS_OVERLAP")],
        ),
        (
            with("planning_window", window("2029-02-01T09:00:00Z", "2029-02-05T23:00:00Z")),
            vec![("/planning_window", "WINDOW_PAST")],
        ),
        (with("planning_window", json!({"start": "2030-02-01T09:00:00Z"})), vec![("/planning_window/end", "REQUIRED")]),
        (
            with("planning_window", window("2030-02-01", "2030-02-05T23:00:00Z")),
            vec![("/planning_window/start", "INVALID_FORMAT")],
        ),
        (with("model_id", json!(new)), vec![("/model_id", "MODEL_NOT_ACTIVE"), ("/executor_group_id", "REQUIRED")]),
        (with("model_id", json!(retired)), vec![("/model_id", "MODEL_NOT_ACTIVE"), ("/executor_group_id", "REQUIRED")]),
        (with("model_id", json!(bare)), vec![("/executor_group_id", "REQUIRED")]),
        (with("model_id", json!(AN_ID)), vec![("/model_id", "UNKNOWN_REFERENCE"), ("/executor_group_id", "REQUIRED")]),
        (with("model_id", json!("standard")), vec![("/model_id", "INVALID_FORMAT"), ("/model_id", "TOO_SHORT")]),
        (with("executor_group_id", json!(AN_ID)), vec![("/executor_group_id", "UNKNOWN_REFERENCE")]),
        (with("executor_group_id", json!(idle)), vec![("/executor_group_id", "GROUP_NOT_ACTIVE")]),
        (
            in_model(&narrow, "executor_group_id", json!(watched.app.group("Operators"))),
            vec![("/executor_group_id", "GROUP_NOT_ALLOWED")],
        ),
        (in_model(&narrow, "contract_id", json!(stranger)), vec![("/contract_id", "CONTRACT_NOT_ALLOWED")]),
        (in_model(&narrow, "contract_id", json!(sleeping)), vec![("/contract_id", "CONTRACT_NOT_ACTIVE")]),
        (with("contract_id", json!(AN_ID)), vec![("/contract_id", "UNKNOWN_REFERENCE")]),
        (with("requester", json!({"user_id": AN_ID})), vec![("/requester/user_id", "UNKNOWN_REFERENCE")]),
        (with("requester", json!({"user_id": gone})), vec![("/requester/user_id", "USER_DISABLED")]),
        (with("requester", json!({})), vec![("/requester/name", "REQUIRED"), ("/requester/email", "REQUIRED")]),
        (
            with("requester", json!({"name": " ", "email": "nobody"})),
            vec![("/requester/name", "BLANK"), ("/requester/email", "INVALID_EMAIL")],
        ),
        (
            with("requester", json!({"name": "A", "email": "a@example.org", "unit_id": AN_ID})),
            vec![("/requester/unit_id", "UNKNOWN_REFERENCE")],
        ),
        (with("changes", json!([{"change_id": registered}])), vec![("/changes/0/change_id", "CHANGE_NOT_LINKABLE")]),
        (
            with("changes", json!([{"change_id": cancelled}, {"change_id": AN_ID}])),
            vec![("/changes/0/change_id", "CHANGE_NOT_LINKABLE"), ("/changes/1/change_id", "UNKNOWN_REFERENCE")],
        ),
        (with("depends_on", json!([AN_ID])), vec![("/depends_on/0", "UNKNOWN_REFERENCE")]),
        (with("tags", json!(["a", "b", "a"])), vec![("/tags/2", "REPEATED")]),
        (with("tags", json!([""])), vec![("/tags/0", "TOO_SHORT")]),
        (with("title", json!("")), vec![("/title", "TOO_SHORT")]),
        (with("title", json!("   ")), vec![("/title", "BLANK")]),
        (with("title", json!("x".repeat(201))), vec![("/title", "TOO_LONG")]),
        (with("title", json!("a\u{0}b")), vec![("/title", "INVALID_CHARACTER")]),
        (with("version", json!("v".repeat(51))), vec![("/version", "TOO_LONG")]),
        (
            with("custom_fields", json!({"a\u{0}": "b\u{0}"})),
            vec![("/custom_fields/a\u{0}", "INVALID_CHARACTER"), ("/custom_fields/a\u{0}", "INVALID_CHARACTER")],
        ),
        (with("type", json!("huge")), vec![("/type", "NOT_ALLOWED")]),
        (with("impact", json!("none")), vec![("/impact", "NOT_ALLOWED")]),
        (
            with("acceptance_criteria", json!([{"text": "x", "confirmed": true}])),
            vec![("/acceptance_criteria/0/confirmed", "NOT_AT_ACCEPTANCE")],
        ),
    ];
    for (body, faults) in cases {
        watched.refused(watched.create(&body), 422, "INVALID_VALUES").faults(&faults);
    }
    watched.app.assert_sound();
}
