//! Checklists: templates, answers, the gate, and what a reopened release is asked again.

use serde_json::{Value, json};

use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn questions() -> Value {
    json!([
        {"key": "smoke", "text": "Did the smoke tests pass?", "kind": "confirm"},
        {"key": "load", "text": "How many requests per second?", "kind": "number", "min": 0, "max": 10000},
        {"key": "colour", "text": "Which side is live?", "kind": "choice", "options": ["blue", "green"]},
        {"key": "remarks", "text": "Anything else?", "kind": "text", "required": false},
    ])
}

fn free() -> Value {
    json!({"title": "After the tests", "stage": "test", "questions": questions()})
}

fn answer(client: &Client, list: &str, key: &str, value: impl Into<Value>) -> Answer {
    client.put(&format!("{list}/answers/{key}"), &json!({"value": value.into()}))
}

fn fill(client: &Client, list: &str) -> Answer {
    answer(client, list, "smoke", true).expect(200);
    answer(client, list, "load", 1200.5).expect(200);
    answer(client, list, "colour", "green").expect(200)
}

#[test]
fn a_stage_is_not_left_before_its_required_checklists_are_confirmed() {
    let app = App::start();
    let (manager, lead) = (app.client(Role::Manager), app.client(Role::Lead));
    let mut optional = free();
    optional["required"] = json!(false);
    let mut release = app.release().with("checklists", json!([free(), optional])).at("test").make();
    let lists = format!("{}/checklists", path(&release));
    let page = lead.get(&lists).expect(200);
    assert_eq!(page.body["data"].as_array().unwrap().len(), 2);
    let list = format!("{lists}/{}", page.body["data"][0]["id"].as_str().unwrap());
    let url = format!("{}/transitions", path(&release));
    let advance = json!({"action": "advance", "from_stage": "test"});
    let refused = lead.post(&url, &advance).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["CHECKLIST_NOT_CONFIRMED"]);
    assert_eq!(refused.body["blockers"][0]["refs"], json!([page.body["data"][0]["id"]]));
    let filled = fill(&lead, &list);
    assert_eq!(
        (&filled.body["confirmed"], &filled.body["answers"][0]["answered_by"]),
        (&json!(true), &json!(app.user_id(Role::Lead)))
    );
    // What is denied is not confirmed; an answer may change, and history keeps each.
    assert_eq!(answer(&lead, &list, "smoke", false).expect(200).body["confirmed"], false);
    assert_eq!(lead.post(&url, &advance).problem(422, "GATES_NOT_MET").blockers(), ["CHECKLIST_NOT_CONFIRMED"]);
    let row_version = answer(&lead, &list, "smoke", true).expect(200).body["row_version"].clone();
    assert_eq!(answer(&lead, &list, "smoke", true).expect(200).body["row_version"], row_version);
    let history = lead.get(&format!("{}/history", path(&release))).expect(200);
    let answers =
        history.body["data"].as_array().unwrap().iter().filter(|row| row["action"] == "release.answer_question");
    assert_eq!(answers.count(), 5);
    carry(&app, &manager, &mut release, "acceptance");
    app.assert_sound();
}

#[test]
fn an_answer_of_the_wrong_kind_is_told_what_is_expected() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().with("checklists", json!([free()])).make();
    let lists = format!("{}/checklists", path(&release));
    let list = format!("{lists}/{}", lead.get(&lists).expect(200).body["data"][0]["id"].as_str().unwrap());
    let cases = [
        ("smoke", json!("yes"), "WRONG_TYPE", "`true` or `false`"),
        ("load", json!("many"), "WRONG_TYPE", "from 0 to 10000"),
        ("load", json!(10001), "OUT_OF_RANGE", "from 0 to 10000"),
        ("colour", json!("red"), "NOT_ALLOWED", "blue, green"),
        ("colour", json!(true), "WRONG_TYPE", "blue, green"),
        ("remarks", json!(" "), "BLANK", "1 to 4000"),
    ];
    for (key, value, code, expected) in cases {
        let refused = answer(&lead, &list, key, value).problem(422, "INVALID_VALUES").faults(&[("/value", code)]);
        assert!(refused.text.contains(expected), "{}", refused.text);
    }
    answer(&lead, &list, "smoke", json!([true])).problem(400, "MALFORMED_REQUEST");
    answer(&lead, &list, "nothing", true).problem(404, "NOT_FOUND");
    assert_eq!(lead.get(&list).expect(200).body["answers"], json!([]));
}

#[test]
fn a_checklist_comes_from_an_active_template_and_keeps_its_questions() {
    let app = App::start();
    let (manager, lead) = (app.client(Role::Manager), app.client(Role::Lead));
    let template = json!({"name": "Tests", "stage": "test", "questions": questions()});
    let made = manager.post("/checklist-templates", &template).expect(201);
    let release = app.release().make();
    let lists = format!("{}/checklists", path(&release));
    let list = lead.post(&lists, &json!({"template_id": made.id()})).expect(201);
    assert_eq!(
        (&list.body["title"], &list.body["stage"], &list.body["required"]),
        (&json!("Tests"), &json!("test"), &json!(true))
    );
    let both = lead.post(&lists, &json!({"template_id": made.id(), "title": "Mine"}));
    both.problem(422, "INVALID_VALUES").faults(&[("/title", "NOT_APPLICABLE")]);
    let item = format!("/checklist-templates/{}", made.id());
    manager.delete(&item, "*").problem(409, "IN_USE");
    manager
        .patch(&item, "*", &json!({"active": false, "questions": [{"key": "a", "text": "A?", "kind": "text"}]}))
        .expect(200);
    lead.post(&lists, &json!({"template_id": made.id()}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/template_id", "TEMPLATE_NOT_ACTIVE")]);
    let kept = lead.get(&format!("{lists}/{}", list.id())).expect(200);
    assert_eq!(kept.body["questions"].as_array().unwrap().len(), 4);
    let twice = json!({"name": "Twice", "stage": "test", "questions": [{"key": "a", "text": "A?", "kind": "choice"}, {"key": "a", "text": "B?", "kind": "text", "min": 1}]});
    manager.post("/checklist-templates", &twice).problem(422, "INVALID_VALUES").faults(&[
        ("/questions/0/options", "REQUIRED"),
        ("/questions/1/key", "REPEATED"),
        ("/questions/1/min", "NOT_APPLICABLE"),
    ]);
    app.assert_sound();
}

#[test]
fn a_checklist_with_answers_keeps_its_questions_and_is_not_removed() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let lists = format!("{}/checklists", path(&release));
    let list = format!("{lists}/{}", lead.post(&lists, &free()).expect(201).id());
    let changed =
        json!({"title": "Tests", "stage": "acceptance", "questions": [{"key": "a", "text": "A?", "kind": "text"}]});
    lead.patch(&list, "\"9\"", &changed).problem(412, "PRECONDITION_FAILED");
    lead.patch(&list, "\"1\"", &json!({"stage": "nowhere"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/stage", "UNKNOWN_STAGE")]);
    assert_eq!(lead.patch(&list, "\"1\"", &changed).expect(200).body["stage"], "acceptance");
    answer(&lead, &list, "a", "Yes").expect(200);
    lead.patch(&list, "*", &json!({"questions": questions()})).problem(409, "CHECKLIST_ANSWERED");
    lead.delete(&list, "*").problem(409, "CHECKLIST_ANSWERED");
    lead.patch(&list, "*", &json!({"title": "Other", "required": false})).expect(200);
    let spare = format!("{lists}/{}", lead.post(&lists, &free()).expect(201).id());
    lead.delete(&spare, "*").expect(204);
    lead.get(&spare).problem(404, "NOT_FOUND");
    let suspend = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Wait"});
    transition(&lead, &release, &suspend);
    answer(&lead, &list, "a", "No").problem(409, "STATE_FORBIDS");
    lead.post(&lists, &free()).problem(409, "STATE_FORBIDS");
    app.assert_sound();
}

#[test]
fn a_release_is_created_with_its_checklists_or_not_at_all() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let mut body = new_release();
    body["checklists"] = json!([free(), {"title": "Tests", "stage": "nowhere", "questions": questions()}, {"title": "No questions", "stage": "test"}]);
    lead.post("/releases", &body)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/checklists/1/stage", "UNKNOWN_STAGE"), ("/checklists/2/questions", "REQUIRED")]);
    assert_eq!(lead.get("/releases").expect(200).body["data"], json!([]));
}

#[test]
fn a_reopened_release_is_asked_again_from_the_return_stage_on() {
    let app = App::start();
    let (manager, lead) = (app.client(Role::Manager), app.client(Role::Lead));
    let mut release = app.release().with("checklists", json!([free()])).at("test").make();
    let lists = format!("{}/checklists", path(&release));
    let list = format!("{lists}/{}", lead.get(&lists).expect(200).body["data"][0]["id"].as_str().unwrap());
    fill(&lead, &list);
    carry(&app, &manager, &mut release, "closure");
    record_outcomes(&manager, &release);
    release = transition(
        &manager,
        &release,
        &json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}}),
    );
    answer(&lead, &list, "smoke", false).problem(409, "STATE_FORBIDS");
    release =
        transition(&manager, &release, &json!({"action": "reopen", "justification_id": app.justification("reopen")}));
    let again = lead.get(&list).expect(200);
    assert_eq!((&again.body["answers"], &again.body["confirmed"]), (&json!([]), &json!(false)));
    let history = lead.get(&format!("{}/history", path(&release))).expect(200);
    let kept = history.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["action"] == "release.ask_checklist_again")
        .unwrap();
    assert!(kept.to_string().contains("green"), "{kept}");
    carry(&app, &manager, &mut release, "test");
    let refused =
        lead.post(&format!("{}/transitions", path(&release)), &json!({"action": "advance", "from_stage": "test"}));
    assert_eq!(refused.problem(422, "GATES_NOT_MET").blockers(), ["CHECKLIST_NOT_CONFIRMED"]);
    assert_eq!(manager.get(&format!("{}/history/verify", path(&release))).expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn whoever_is_asked_does_not_take_away_what_the_model_asks() {
    let app = App::start();
    let (admin, manager) = (app.client(Role::Admin), app.client(Role::Manager));
    let crew = admin.post("/groups", &json!({"name": "Crew", "permissions": ["create", "execute"]})).expect(201).id();
    admin.post(&format!("/groups/{crew}/members"), &json!({"user_id": app.user_id(Role::Outsider)})).expect(201);
    let member = app.client(Role::Outsider);
    let template = json!({"name": "After the tests", "stage": "test", "questions": questions()});
    let template = manager.post("/checklist-templates", &template).expect(201).id();
    let model = json!({
        "name": "Checked", "workflow": "standard", "status": "active", "executor_group_id": crew,
        "checklist_template_ids": [template],
    });
    let model = manager.post(&format!("/portfolios/{}/models", app.named("portfolios", "General")), &model).expect(201);
    let mut body = new_release();
    body["model_id"] = json!(model.id());
    body["checklists"] = json!([free()]);
    let lists = format!("/releases/{}/checklists", member.post("/releases", &body).expect(201).id());
    let page = member.get(&lists).expect(200);
    let (of_model, own): (Vec<&Value>, Vec<&Value>) =
        page.body["data"].as_array().unwrap().iter().partition(|list| list["template_id"] == json!(template));
    let (of_model, own) = (of_model[0]["id"].as_str().unwrap(), own[0]["id"].as_str().unwrap());
    let loosened = [json!({"required": false}), json!({"stage": "closure"}), json!({"questions": [questions()[0]]})];
    for patch in &loosened {
        member.patch(&format!("{lists}/{of_model}"), "*", patch).problem(403, "FORBIDDEN");
        member.patch(&format!("{lists}/{own}"), "*", patch).expect(200);
    }
    member.delete(&format!("{lists}/{of_model}"), "*").problem(403, "FORBIDDEN");
    member.delete(&format!("{lists}/{own}"), "*").expect(204);
    member.patch(&format!("{lists}/{of_model}"), "*", &json!({"title": "After all tests"})).expect(200);
    manager.patch(&format!("{lists}/{of_model}"), "*", &loosened[0]).expect(200);
    member.delete(&format!("{lists}/{of_model}"), "*").expect(204);
    app.assert_sound();
}
