//! Releases from planning to closed and reopened, by people with different rights.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::definitive_media::medium;
use crate::hardware_spares::{plan_item, reserve};
use crate::support::*;

#[test]
fn a_release_goes_from_planning_to_closed_and_is_reopened() {
    let app = App::start();
    let (lead, requester) = (app.client(Role::Lead), app.client(Role::Requester));
    let change = app.change("authorised");
    let mut body = new_release();
    body["requester"] = json!({"user_id": app.user_id(Role::Requester)});
    body["acceptance_criteria"] = json!([{"text": "Card payments work"}]);
    body["changes"] = json!([{"change_id": change}]);
    let created = requester.post("/releases", &body).expect(201);
    let release = created.body.clone();
    assert_eq!((release["status"].as_str(), release["stage"].as_str()), (Some("open"), Some("planning")));
    assert_eq!(release["requester"]["email"], "requester@example.org");
    assert_eq!(created.header("location"), format!("/api/v1/releases/{}", created.id()));

    let advance = |from: &str| json!({"action": "advance", "from_stage": from});
    requester.post("/releases/REL-1/transitions", &advance("planning")).problem(403, "FORBIDDEN");
    transition(&lead, &release, &json!({"action": "capture"}));
    transition(&lead, &release, &advance("planning"));
    lead.post("/releases/REL-1/transitions", &advance("authorization")).problem(403, "FORBIDDEN");
    transition(&requester, &release, &advance("authorization"));
    transition(&lead, &release, &advance("deployment"));
    transition(&lead, &release, &advance("test"));

    let mut accept = advance("acceptance");
    for (name, value) in solved(&app).as_object().unwrap() {
        accept[name] = value.clone();
    }
    let refused = requester.post("/releases/REL-1/transitions", &accept).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["CRITERION_NOT_CONFIRMED"]);
    let confirmed = json!({"acceptance_criteria": [{"text": "Card payments work", "confirmed": true}]});
    requester.patch("/releases/REL-1", "*", &confirmed).expect(200);
    transition(&requester, &release, &accept);

    let refused =
        requester.post("/releases/REL-1/transitions", &json!({"action": "close"})).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["CHANGE_OUTCOME_PENDING"]);
    record_outcomes(&lead, &release);
    let closed = transition(&requester, &release, &json!({"action": "close"}));
    assert_eq!((closed["status"].as_str(), closed["resolution"].as_str()), (Some("closed"), Some("solved")));

    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen"), "note": "It came back"});
    let reopened = transition(&lead, &release, &reopen);
    assert_eq!((reopened["status"].as_str(), reopened["stage"].as_str()), (Some("reopened"), Some("planning")));
    assert_eq!(reopened["reopen_count"], 1);
    assert!(reopened["resolution"].is_null() && reopened["closed_at"].is_null());
    let links = lead.get("/releases/REL-1/changes").expect(200);
    assert_eq!(links.body["data"][0]["outcome"], "pending");

    let proof = lead.get("/releases/REL-1/history/verify").expect(200);
    assert_eq!(proof.body["valid"], true, "{}", proof.text);
    assert_eq!(lead.get("/releases/REL-1/transitions").expect(200).body["data"].as_array().unwrap().len(), 8);
    app.assert_sound();
}

/// Tries to leave the stage and is told what is in the way; remembers which gates that was.
fn blocked(client: &Client, path: &str, action: &Value, codes: &[&str], gates: &mut BTreeSet<String>) {
    let refused = client.post(&format!("{path}/transitions"), action).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), codes, "{}", refused.text);
    for blocker in refused.body["blockers"].as_array().unwrap() {
        assert!(blocker["detail"].as_str().unwrap().ends_with('.'), "{blocker}");
        gates.insert(blocker["gate"].as_str().unwrap().to_owned());
    }
}

fn go_on(client: &Client, path: &str, action: &Value, stage: &str) {
    let done = client.post(&format!("{path}/transitions"), action).expect(201);
    assert_eq!(done.body["release"]["stage"], stage);
}

fn advance(from: &str) -> Value {
    json!({"action": "advance", "from_stage": from})
}

/// Finishes the activities of a board in the order in which they depend on each other.
fn work_off(client: &Client, path: &str, phase: &str) {
    let board = client.get(&format!("{path}/boards/{phase}")).expect(200);
    for card in board.body["columns"][0]["cards"].as_array().unwrap() {
        let id = card["id"].as_str().unwrap();
        client.post(&format!("{path}/activities/{id}/move"), &json!({"status": "done"})).expect(200);
    }
    let board = client.get(&format!("{path}/boards/{phase}")).expect(200);
    assert_eq!(board.body["progress"]["percent"], 100, "{}", board.text);
}

/// A model of the standard workflow that plans the work, asks an approver, and asks for test evidence, authorised
/// media and reserved spares.
fn model(app: &App, approver: &str) -> String {
    let manager = app.client(Role::Manager);
    let checklist = json!({"name": "After the tests", "stage": "test", "questions": [
        {"key": "smoke", "text": "Did the smoke tests pass?", "kind": "confirm"},
    ]});
    let checklist = manager.post("/checklist-templates", &checklist).expect(201).id();
    let model = json!({
        "name": "Quarterly", "status": "active", "workflow": "standard", "executor_group_id": app.group("Release team"),
        "approval_rule": {"kind": "any", "voters": [{"user_id": approver}]},
        "activity_templates": [
            {"key": "shops", "phase": "planning", "title": "Tell the shops", "due_at": "T-1d"},
            {"key": "backup", "phase": "deployment", "title": "Take a backup", "scheduled_start": "T-1h"},
            {"key": "rollout", "phase": "deployment", "title": "Install", "depends_on": ["backup"]},
        ],
        "checklist_template_ids": [checklist],
        "asks_for": ["test_evidence", "definitive_media", "hardware_spares"],
    });
    manager.post(&format!("/portfolios/{}/models", app.named("portfolios", "General")), &model).expect(201).id()
}

#[test]
fn three_users_carry_a_release_of_a_model_to_its_end_and_every_gate_is_in_the_way_once() {
    let app = App::start();
    // The approver has an account without any right, but is asked.
    let clients = || [Role::Requester, Role::Lead, Role::Outsider, Role::Integration].map(|role| app.client(role));
    let [requester, lead, ..] = clients();
    let model = model(&app, &app.user_id(Role::Outsider).to_string());
    let other = requester.post("/releases", &new_release()).expect(201).id();

    let release = requester
        .post(
            "/releases",
            &json!({
                "title": "Payments 4.2",
                "version": "4.2.0",
                "model_id": model,
                "requester": {"user_id": app.user_id(Role::Requester)},
                "acceptance_criteria": [{"text": "Cards are taken in every shop"}],
                "depends_on": [other],
            }),
        )
        .expect(201);
    let path = format!("/releases/{}", release.id());
    let mut gates = BTreeSet::new();

    // Planning is the team's.
    requester.post(&format!("{path}/transitions"), &advance("planning")).problem(403, "FORBIDDEN");
    let codes =
        ["PLANNING_WINDOW_MISSING", "DEPLOYMENT_WINDOW_MISSING", "NO_CHANGE_LINKED", "PLANNING_ACTIVITIES_OPEN"];
    blocked(&lead, &path, &advance("planning"), &codes, &mut gates);
    let mut windows = json!({
        "planning_window": {"start": "2030-01-08T09:00:00Z", "end": "2030-01-08T18:00:00Z"},
        "deployment_window": {"start": "2030-01-09T22:00:00Z", "end": "2030-01-10T02:00:00Z"},
    });
    lead.patch(&path, "*", &windows).expect(200);
    let change = app.change("assessed");
    lead.post(&format!("{path}/changes"), &json!({"change_id": change})).expect(201);
    let (item, links) = (app.item(), format!("{path}/configuration-items"));
    let link = json!({"configuration_item_id": item, "intended_version": "4.2.0"});
    let link = format!("{links}/{}", lead.post(&links, &link).expect(201).id());
    work_off(&lead, &path, "planning");
    app.set_clock("2030-01-10T03:00:00Z");
    let [requester, lead, approver, tool] = clients();
    blocked(&lead, &path, &advance("planning"), &["DEPLOYMENT_PAST"], &mut gates);
    windows["planning_window"] = json!({"start": "2030-01-10T09:00:00Z", "end": "2030-01-10T18:00:00Z"});
    windows["deployment_window"] = json!({"start": "2030-01-11T22:00:00Z", "end": "2030-01-12T02:00:00Z"});
    lead.patch(&path, "*", &windows).expect(200);
    go_on(&lead, &path, &advance("planning"), "authorization");

    // Authorization is the requester's, who asks the approver; the team does not authorise its own work.
    let elsewhere = json!({"window": {"start": "2030-03-01T00:00:00Z", "end": "2030-03-02T00:00:00Z"}});
    tool.patch(&format!("/changes/{change}"), "*", &elsewhere).expect(200);
    lead.post(&format!("{path}/transitions"), &advance("authorization")).problem(403, "FORBIDDEN");
    let (package, terminal) = (medium(&app, "4.2.0", "verified"), app.item());
    lead.post(&format!("{path}/definitive-media"), &json!({"medium_id": package})).expect(201);
    lead.patch(&link, "*", &json!({"medium_id": package})).expect(200);
    plan_item(&app, &path, &terminal, &[("spare_model", "T7")]);
    let codes = [
        "APPROVAL_MISSING",
        "CHANGE_NOT_AUTHORISED",
        "OUTSIDE_CHANGE_WINDOW",
        "DEPENDENCY_NOT_SOLVED",
        "MEDIUM_NOT_AUTHORISED",
        "SPARE_NOT_RESERVED",
    ];
    blocked(&requester, &path, &advance("authorization"), &codes, &mut gates);
    let votes = format!("{path}/approvals/votes");
    let vote = json!({"decision": "approve", "comment": "The shops are ready"});
    requester.post(&votes, &vote).problem(403, "FORBIDDEN");
    lead.post(&votes, &vote).problem(403, "FORBIDDEN");
    let waiting = approver.get("/releases?waiting_for_my_approval=true").expect(200);
    assert_eq!(waiting.body["data"][0]["id"], release.body["id"]);
    approver.patch(&path, "*", &json!({"title": "Mine"})).problem(403, "FORBIDDEN");
    approver.post(&votes, &vote).expect(201);
    let authorised = json!({"status": "authorised", "window": windows["deployment_window"]});
    tool.patch(&format!("/changes/{change}"), "*", &authorised).expect(200);
    lead.patch(&path, "*", &json!({"depends_on": []})).expect(200);
    Answer::of(lead.request("POST", &format!("/definitive-media/{package}/authorise"))).expect(200);
    reserve(&app, &path, "T7", Some(&terminal));
    go_on(&requester, &path, &advance("authorization"), "deployment");

    // Deployment and its test are the team's.
    let order = json!({"kind": "purchase", "source": "erp", "external_id": "PO-1", "title": "Terminals"});
    let order = lead.post(&format!("{path}/references"), &order).expect(201).id();
    requester.post(&format!("{path}/transitions"), &advance("deployment")).problem(403, "FORBIDDEN");
    let codes = ["DEPLOYMENT_ACTIVITIES_OPEN", "PURCHASE_NOT_FINISHED"];
    blocked(&lead, &path, &advance("deployment"), &codes, &mut gates);
    work_off(&lead, &path, "deployment");
    lead.patch(&format!("{path}/references/{order}"), "*", &json!({"finished": true})).expect(200);
    go_on(&lead, &path, &advance("deployment"), "test");
    let codes = ["CHECKLIST_NOT_CONFIRMED", "TEST_EVIDENCE_MISSING"];
    blocked(&lead, &path, &advance("test"), &codes, &mut gates);
    let lists = lead.get(&format!("{path}/checklists")).expect(200);
    let answer = format!("{path}/checklists/{}/answers/smoke", lists.body["data"][0]["id"].as_str().unwrap());
    requester.put(&answer, &json!({"value": true})).problem(403, "FORBIDDEN");
    lead.put(&answer, &json!({"value": true})).expect(200);
    let evidence = [("class", "evidence"), ("version", "4.2.0")];
    lead.upload(&format!("{path}/documents"), &evidence, "tests.txt", b"412 passed").expect(201);
    go_on(&lead, &path, &advance("test"), "acceptance");

    // The requester accepts and closes.
    let mut accept = advance("acceptance");
    for (name, value) in solved(&app).as_object().unwrap() {
        accept[name] = value.clone();
    }
    blocked(&requester, &path, &accept, &["CRITERION_NOT_CONFIRMED"], &mut gates);
    let criteria = json!({"acceptance_criteria": [{"text": "Cards are taken in every shop", "confirmed": true}]});
    lead.patch(&path, "*", &criteria).expect(200);
    go_on(&requester, &path, &accept, "closure");
    let close = json!({"action": "close"});
    lead.post(&format!("{path}/transitions"), &close).problem(403, "FORBIDDEN");
    // Somebody has moved what the release is about: that is not overwritten unseen.
    tool.patch(&format!("/configuration-items/{item}"), "*", &json!({"location": "Porto"})).expect(200);
    let codes = ["CHANGE_OUTCOME_PENDING", "CI_CHANGED_SINCE_LINKED"];
    blocked(&requester, &path, &close, &codes, &mut gates);
    record_outcomes(&lead, &lead.get(&path).expect(200).body);
    let present = lead.get(&link).expect(200).body["current_row_version"].clone();
    lead.patch(&link, "*", &json!({"seen_row_version": present})).expect(200);
    let closed = requester.post(&format!("{path}/transitions"), &close).expect(201);
    assert_eq!(closed.body["release"]["status"], "closed");

    let lifecycle = lead.get("/lifecycle?workflow=standard").expect(200);
    let stages = lifecycle.body["workflow"]["stages"].as_array().unwrap();
    let all = stages.iter().flat_map(|stage| stage["gates"].as_array().unwrap());
    let all: BTreeSet<String> = all.map(|gate| gate["gate"].as_str().unwrap().to_owned()).collect();
    assert_eq!(gates, all, "the gates that were in the way, and those of the workflow");
    assert_eq!(lead.get(&format!("{path}/history/verify")).expect(200).body["valid"], true);
    app.assert_sound();
}
