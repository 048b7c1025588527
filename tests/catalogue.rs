//! Justifications, solution categories, portfolios, models and workflows.

use serde_json::{Value, json};

use crate::support::*;

fn names(client: &Client, path: &str) -> Vec<String> {
    let page = client.get(path).expect(200);
    page.body["data"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_first_start_leaves_a_catalogue_that_works() {
    let app = App::start();
    let viewer = app.client(Role::Viewer);
    assert_eq!(names(&viewer, "/portfolios"), ["General"]);
    assert_eq!(names(&viewer, "/models"), ["Emergency", "Minor", "Standard"]);
    assert_eq!(names(&viewer, "/models?is_default=true"), ["Standard"]);
    for wanted in ["suspend", "cancel", "reopen", "send_back", "override"] {
        let page = viewer.get(&format!("/justifications?active=true&applies_to={wanted}")).expect(200);
        let data = page.body["data"].as_array().unwrap();
        assert!(!data.is_empty(), "{wanted}");
        assert!(data.iter().all(|item| item["applies_to"].as_array().unwrap().contains(&json!(wanted))), "{wanted}");
    }
    assert!(!names(&viewer, "/solution-categories").is_empty());
}

#[test]
fn a_justification_has_a_use_and_a_description_of_a_hundred_characters() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let cases = [
        (json!({"description": "x"}), 422, vec![("/applies_to", "REQUIRED")]),
        (json!({"description": "x", "applies_to": []}), 422, vec![("/applies_to", "TOO_SHORT")]),
        (json!({"description": "x", "applies_to": ["fun"]}), 422, vec![("/applies_to/0", "NOT_ALLOWED")]),
        (json!({"description": "", "applies_to": ["cancel"]}), 422, vec![("/description", "TOO_SHORT")]),
        (json!({"description": " ", "applies_to": ["cancel"]}), 422, vec![("/description", "BLANK")]),
        (json!({"description": "é".repeat(101), "applies_to": ["cancel"]}), 422, vec![("/description", "TOO_LONG")]),
        (json!({"description": "x", "applies_to": "cancel"}), 400, vec![("/applies_to", "WRONG_TYPE")]),
    ];
    for (body, status, faults) in cases {
        let code = if status == 400 { "MALFORMED_REQUEST" } else { "INVALID_VALUES" };
        manager.post("/justifications", &body).problem(status, code).faults(&faults);
    }
    manager
        .post("/justifications", &json!({"description": "é".repeat(100), "applies_to": ["cancel", "suspend"]}))
        .expect(201);
}

#[test]
fn there_is_always_exactly_one_default_model_and_it_is_active() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let standard = format!("/models/{}", app.model("Standard"));
    let minor = format!("/models/{}", app.model("Minor"));
    let patch = |path: &str, body: Value| manager.patch(path, "*", &body);
    patch(&standard, json!({"is_default": false}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/is_default", "DEFAULT_MODEL_REQUIRED")]);
    patch(&standard, json!({"status": "retired"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/status", "DEFAULT_MODEL_INACTIVE")]);
    manager.delete(&standard, "*").problem(409, "IN_USE");
    patch(&minor, json!({"is_default": true, "status": "retired"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/status", "DEFAULT_MODEL_INACTIVE")]);
    patch(&minor, json!({"is_default": true})).expect(200);
    assert_eq!(names(&manager, "/models?is_default=true"), ["Minor"]);
    assert_eq!(manager.get(&standard).expect(200).body["row_version"], 2);
    patch(&standard, json!({"status": "retired"})).expect(200);
    let created = app.client(Role::Lead).post("/releases", &new_release()).expect(201);
    assert_eq!(created.body["model_id"], json!(app.model("Minor")));
    let portfolio = app.named("portfolios", "General");
    let other =
        json!({"name": "Another", "status": "active", "is_default": true, "executor_group_id": app.group("Operators")});
    manager.post(&format!("/portfolios/{portfolio}/models"), &other).expect(201);
    assert_eq!(names(&manager, "/models?is_default=true"), ["Another"]);
    app.assert_sound();
}

#[test]
fn a_model_lives_in_its_portfolio_and_names_only_what_exists() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let payments = manager.post("/portfolios", &json!({"name": "Payments"})).expect(201).id();
    let models = format!("/portfolios/{payments}/models");
    let none = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    let mut bad = json!({"name": "Card", "workflow": "nowhere", "executor_group_id": none, "executor_group_ids": [none, none], "contract_ids": [none]});
    manager.post(&models, &bad).problem(422, "INVALID_VALUES").faults(&[
        ("/workflow", "UNKNOWN_REFERENCE"),
        ("/executor_group_id", "UNKNOWN_REFERENCE"),
        ("/executor_group_ids/0", "UNKNOWN_REFERENCE"),
        ("/executor_group_ids/1", "UNKNOWN_REFERENCE"),
        ("/executor_group_ids/1", "REPEATED"),
        ("/contract_ids/0", "UNKNOWN_REFERENCE"),
    ]);
    bad = json!({"name": "Card", "portfolio_id": app.named("portfolios", "General")});
    manager.post(&models, &bad).problem(422, "INVALID_VALUES").faults(&[("/portfolio_id", "NOT_APPLICABLE")]);
    manager.post(&format!("/portfolios/{none}/models"), &json!({"name": "Card"})).problem(404, "NOT_FOUND");
    let card = manager.post(&models, &json!({"name": "Card"})).expect(201);
    assert_eq!((&card.body["status"], &card.body["portfolio_id"]), (&json!("new"), &json!(payments)));
    assert_eq!(names(&manager, &models), ["Card"]);
    assert_eq!(names(&manager, &format!("/models?portfolio={payments}")), ["Card"]);
    assert_eq!(names(&manager, "/models?status=new"), ["Card"]);
    manager.post(&models, &json!({"name": "Card"})).problem(409, "ALREADY_EXISTS");
    // The same name elsewhere is another model.
    let general = app.named("portfolios", "General");
    manager.post(&format!("/portfolios/{general}/models"), &json!({"name": "Card"})).expect(201);
    let path = format!("/models/{}", card.id());
    manager.patch(&path, "*", &json!({"status": "active"})).expect(200);
    manager
        .patch(&path, "*", &json!({"status": "new"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/status", "NOT_NEW_AGAIN")]);
    manager.patch(&path, "*", &json!({"status": "retired"})).expect(200);
    assert_eq!(app.client(Role::Outsider).get(&path).expect(200).body["status"], "retired");
    manager.delete(&format!("/portfolios/{payments}"), "*").problem(409, "IN_USE");
    manager.delete(&path, "*").expect(204);
    manager.delete(&format!("/portfolios/{payments}"), "*").expect(204);
}

#[test]
fn an_inactive_portfolio_starts_no_releases() {
    let app = App::start();
    let path = format!("/portfolios/{}", app.named("portfolios", "General"));
    app.client(Role::Manager).patch(&path, "*", &json!({"active": false})).expect(200);
    let refused = app.client(Role::Lead).post("/releases", &new_release()).problem(422, "INVALID_VALUES");
    refused.faults(&[("/model_id", "PORTFOLIO_NOT_ACTIVE")]);
}

#[test]
fn the_built_in_workflows_have_the_stages_of_the_specification() {
    let app = App::start();
    let viewer = app.client(Role::Viewer);
    let page = viewer.get("/workflows").expect(200);
    let mut found: Vec<(String, Vec<String>)> = page.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|workflow| {
            let stages = workflow["stages"].as_array().unwrap();
            let keys = stages.iter().map(|stage| stage["key"].as_str().unwrap().to_owned()).collect();
            (workflow["key"].as_str().unwrap().to_owned(), keys)
        })
        .collect();
    found.sort();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let expected = [
        ("emergency".to_owned(), words("authorization deployment acceptance closure")),
        ("minor".to_owned(), words("planning deployment closure")),
        ("standard".to_owned(), words("planning authorization deployment test acceptance closure")),
    ];
    assert_eq!(found, expected);
    let lifecycle = viewer.get("/lifecycle").expect(200);
    let known: Vec<&Value> = lifecycle.body["gates"].as_array().unwrap().iter().map(|gate| &gate["gate"]).collect();
    for workflow in page.body["data"].as_array().unwrap() {
        for stage in workflow["stages"].as_array().unwrap() {
            for gate in stage["gates"].as_array().unwrap() {
                assert!(known.contains(&&gate["gate"]), "{gate} is not in the catalogue");
            }
        }
        let read = viewer.get(&format!("/workflows/{}", workflow["id"].as_str().unwrap())).expect(200);
        assert_eq!(&read.body, workflow);
    }
}
