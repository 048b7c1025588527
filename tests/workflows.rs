//! Workflows as data: proposed, judged, versioned, retired, renewed with the product; and who works in their stages.

use serde_json::{Value, json};
use slipway::service::setup::first_start;

use crate::support::*;

const NONE: &str = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";

fn stage(key: &str, kind: &str, responsible: Value) -> Value {
    json!({"key": key, "kind": kind, "responsible": [responsible], "gates": []})
}

fn team() -> Value {
    json!({"kind": "executor_group"})
}

fn requester() -> Value {
    json!({"kind": "requester"})
}

/// Two stages: a rollout and the closure.
fn short(key: &str) -> Value {
    json!({"key": key, "name": "Short", "return_stage": "rollout", "stages": [
        stage("rollout", "deployment", team()),
        stage("closure", "closure", requester()),
    ]})
}

/// The same as a version: without its key.
fn version_of(workflow: &Value) -> Value {
    let mut version = workflow.clone();
    version.as_object_mut().unwrap().remove("key");
    version
}

/// An active model of the Release team with this workflow.
fn model(app: &App, workflow: &str) -> String {
    let portfolio = app.named("portfolios", "General");
    let body = json!({"name": workflow, "status": "active", "workflow": workflow, "executor_group_id": app.group("Release team")});
    app.client(Role::Manager).post(&format!("/portfolios/{portfolio}/models"), &body).expect(201).id()
}

fn keys(page: &Value) -> Vec<(String, i64)> {
    let data = page["data"].as_array().unwrap();
    data.iter().map(|one| (one["key"].as_str().unwrap().to_owned(), one["version"].as_i64().unwrap())).collect()
}

fn keyed(all: &[(&str, i64)]) -> Vec<(String, i64)> {
    all.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect()
}

#[test]
fn a_workflow_is_created_gets_versions_and_is_listed_in_its_newest() {
    let app = App::start();
    let (manager, viewer) = (app.client(Role::Manager), app.client(Role::Viewer));
    let first = manager.post("/workflows", &short("express")).expect(201);
    assert_eq!(first.header("location"), format!("/api/v1/workflows/{}", first.id()));
    assert_eq!((&first.body["version"], &first.body["origin"]), (&json!(1), &json!("user")));
    assert_eq!((&first.body["row_version"], &first.body["retired_at"]), (&json!(1), &Value::Null));
    assert_eq!(viewer.get(&format!("/workflows/{}", first.id())).expect(200).body, first.body);
    manager.post("/workflows", &short("express")).problem(409, "ALREADY_EXISTS").faults(&[("/key", "ALREADY_EXISTS")]);

    let mut next = short("express");
    next["stages"][0]["gates"] = json!([{"gate": "changes_linked", "min": 2}]);
    let versions = format!("/workflows/{}/versions", first.id());
    let tried = manager.post(&format!("{versions}?dry_run=true"), &version_of(&next)).expect(200);
    assert_eq!((&tried.body["version"], &tried.body["id"]), (&json!(2), &Value::Null));
    let second = manager.post(&versions, &version_of(&next)).expect(201);
    assert_eq!((&second.body["key"], &second.body["version"]), (&json!("express"), &json!(2)));
    // Whoever still looks at the first version was too slow, and is told so before the faults of what they sent.
    let late = manager.post(&versions, &json!({"name": "Late"})).problem(409, "NOT_THE_NEWEST_VERSION");
    assert!(late.body["detail"].as_str().unwrap().contains(&second.id()), "{}", late.text);
    manager.post(&format!("/workflows/{}/versions", second.id()), &version_of(&next)).problem(409, "ALREADY_EXISTS");
    manager.post(&format!("/workflows/{NONE}/versions"), &version_of(&next)).problem(404, "NOT_FOUND");
    // The first version is as it was.
    assert_eq!(viewer.get(&format!("/workflows/{}", first.id())).expect(200).body, first.body);

    let all = [("emergency", 1), ("express", 2), ("minor", 1), ("standard", 1)];
    assert_eq!(keys(&viewer.get("/workflows").expect(200).body), keyed(&all));
    assert_eq!(keys(&viewer.get("/workflows?all_versions=false").expect(200).body), keyed(&all));
    let of_one = viewer.get("/workflows?key=express&all_versions=true&sort=-key").expect(200);
    assert_eq!(keys(&of_one.body), keyed(&[("express", 2), ("express", 1)]));
    assert_eq!(keys(&viewer.get("/workflows?origin=user").expect(200).body), keyed(&[("express", 2)]));
    // Page by page, each once.
    let page = viewer.get("/workflows?all_versions=true&limit=3").expect(200);
    let cursor = page.body["page"]["next_cursor"].as_str().unwrap();
    let rest = viewer.get(&format!("/workflows?all_versions=true&limit=3&cursor={cursor}")).expect(200);
    assert_eq!(keys(&page.body).len() + keys(&rest.body).len(), 5);
    viewer.get(&format!("/workflows?limit=3&cursor={cursor}")).problem(400, "MALFORMED_REQUEST");
    assert_eq!(viewer.get("/workflows?count=exact&limit=1").expect(200).body["page"]["total"], 4);

    let audit =
        app.client(Role::Admin).get(&format!("/audit?record_type=workflow&record_id={}", first.id())).expect(200);
    let actions: Vec<&str> =
        audit.body["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["workflow.add_version", "workflow.create"]);
    assert_eq!(app.client(Role::Admin).get("/audit/verify").expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn the_lifecycle_shows_any_workflow_by_key_and_by_version() {
    let app = App::start();
    let (manager, viewer) = (app.client(Role::Manager), app.client(Role::Viewer));
    assert_eq!(viewer.get("/lifecycle").expect(200).body["workflow"], Value::Null);
    let first = manager.post("/workflows", &short("express")).expect(201);
    let mut next = version_of(&short("express"));
    next["name"] = json!("Shorter");
    let second = manager.post(&format!("/workflows/{}/versions", first.id()), &next).expect(201);
    let shown = |name: &str| viewer.get(&format!("/lifecycle?workflow={name}")).expect(200).body["workflow"].clone();
    assert_eq!(shown("express"), second.body);
    assert_eq!(shown(&second.id()), second.body);
    assert_eq!(shown(&first.id()), first.body);
    assert_eq!(shown("standard")["stages"][0]["responsible"], json!([{"kind": "executor_group"}]));
    viewer.get("/lifecycle?workflow=nowhere").problem(404, "NOT_FOUND");
    viewer.get(&format!("/lifecycle?workflow={NONE}")).problem(404, "NOT_FOUND");
    viewer.get("/lifecycle?stage=planning").problem(400, "MALFORMED_REQUEST");
}

#[test]
fn everything_that_is_wrong_with_a_workflow_is_named_at_once() {
    let app = App::start();
    let (admin, manager) = (app.client(Role::Admin), app.client(Role::Manager));
    let others = [Role::Lead, Role::Viewer, Role::Integration, Role::Outsider].map(|role| app.client(role));
    let inactive =
        admin.post("/groups", &json!({"name": "Former", "active": false, "permissions": ["execute"]})).expect(201).id();
    let readers = admin.post("/groups", &json!({"name": "Readers"})).expect(201).id();
    let total =
        || admin.get("/audit?record_type=workflow&count=exact&limit=1").expect(200).body["page"]["total"].clone();
    let before = total();
    let group = |id: &str| json!({"kind": "group", "group_id": id});
    let body = json!({"key": "Bad Key", "name": " ", "return_stage": "nowhere", "stages": [
        {"key": "a", "kind": "deployment", "responsible": [], "gates": [
            {"gate": "made_up"}, {"gate": "changes_linked"}, {"gate": "windows_set", "min": 3}, {"gate": "windows_set"}]},
        {"key": "a", "kind": "planning", "responsible": [
            {"kind": "group"}, {"kind": "requester", "group_id": inactive}, group(NONE), group(&inactive), team(), team(),
            group(&readers), group("zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz")],
            "gates": [{"gate": "changes_linked", "min": 101}]},
        stage("c", "closure", requester()),
        stage("d", "closure", requester()),
        stage("e", "test", requester()),
        {"kind": "party", "responsible": [{"kind": "anybody"}], "gates": []},
    ]});
    let faults = [
        ("/key", "INVALID_FORMAT"),
        ("/name", "BLANK"),
        ("/return_stage", "UNKNOWN_REFERENCE"),
        ("/stages/0/responsible", "TOO_SHORT"),
        ("/stages/0/gates/0/gate", "UNKNOWN_GATE"),
        ("/stages/0/gates/1/min", "REQUIRED"),
        ("/stages/0/gates/2/min", "NOT_APPLICABLE"),
        ("/stages/0/gates/3", "REPEATED"),
        ("/stages/1/key", "REPEATED"),
        ("/stages/1/kind", "STAGE_OUT_OF_ORDER"),
        ("/stages/1/responsible/0/group_id", "REQUIRED"),
        ("/stages/1/responsible/1/group_id", "NOT_APPLICABLE"),
        ("/stages/1/responsible/2/group_id", "UNKNOWN_REFERENCE"),
        ("/stages/1/responsible/3/group_id", "GROUP_NOT_ACTIVE"),
        ("/stages/1/responsible/5", "REPEATED"),
        ("/stages/1/responsible/6/group_id", "GROUP_CANNOT_EXECUTE"),
        ("/stages/1/responsible/7/group_id", "INVALID_FORMAT"),
        ("/stages/1/gates/0/min", "OUT_OF_RANGE"),
        ("/stages/3/kind", "CLOSURE_REPEATED"),
        ("/stages/4", "STAGE_UNREACHABLE"),
        ("/stages/5/key", "REQUIRED"),
        ("/stages/5/kind", "NOT_ALLOWED"),
        ("/stages/5/responsible/0/kind", "NOT_ALLOWED"),
    ];
    let answer = manager.post("/workflows", &body).problem(422, "INVALID_VALUES").faults(&faults);
    assert!(answer.text.contains("`purchases_finished`"), "the catalogue is named: {}", answer.text);
    // The next version of one is judged in the same way.
    let standard = app.client(Role::Viewer).get("/workflows?key=standard").expect(200).body["data"][0]["id"].clone();
    let versions = format!("/workflows/{}/versions", standard.as_str().unwrap());
    manager.post(&versions, &version_of(&body)).problem(422, "INVALID_VALUES").faults(&faults[1..]);

    let cases: [(Value, &[(&str, &str)]); 6] = [
        (json!([]), &[("/stages", "TOO_SHORT"), ("/return_stage", "UNKNOWN_REFERENCE")]),
        (json!([stage("rollout", "deployment", team())]), &[("/stages", "CLOSURE_MISSING")]),
        (json!([stage("rollout", "closure", team())]), &[("/return_stage", "RETURN_STAGE_NOT_BEFORE_CLOSURE")]),
        (
            json!([stage("closure", "closure", team()), stage("rollout", "deployment", team())]),
            &[("/stages/1", "STAGE_UNREACHABLE"), ("/return_stage", "RETURN_STAGE_NOT_BEFORE_CLOSURE")],
        ),
        (
            json!([
                stage("rollout", "deployment", team()),
                stage("late", "authorization", team()),
                stage("closure", "closure", team())
            ]),
            &[("/stages/1/kind", "STAGE_OUT_OF_ORDER")],
        ),
        (
            Value::Array(
                (0..20)
                    .map(|at| stage(&format!("s{at}"), "deployment", team()))
                    .chain([stage("rollout", "closure", team())])
                    .collect(),
            ),
            &[("/stages", "TOO_LONG"), ("/return_stage", "RETURN_STAGE_NOT_BEFORE_CLOSURE")],
        ),
    ];
    for (stages, faults) in cases {
        let mut body = short("tried");
        body["stages"] = stages;
        manager.post("/workflows", &body).problem(422, "INVALID_VALUES").faults(faults);
    }
    manager.post("/workflows", &json!({})).problem(422, "INVALID_VALUES").faults(&[
        ("/key", "REQUIRED"),
        ("/name", "REQUIRED"),
        ("/return_stage", "REQUIRED"),
        ("/stages", "REQUIRED"),
    ]);
    let mut body = short("tried");
    body["stages"][0]["colour"] = json!("red");
    body["stages"][0]["gates"] = json!([{"gate": "changes_linked", "max": 1}, {"gate": "changes_linked", "min": "1"}]);
    body["version"] = json!(3);
    manager.post("/workflows", &body).problem(400, "MALFORMED_REQUEST").faults(&[
        ("/stages/0/colour", "UNKNOWN_FIELD"),
        ("/stages/0/gates/0/max", "UNKNOWN_FIELD"),
        ("/stages/0/gates/1/min", "WRONG_TYPE"),
        ("/version", "UNKNOWN_FIELD"),
    ]);
    for other in others {
        other.post("/workflows", &short("tried")).problem(403, "FORBIDDEN");
    }
    assert_eq!(total(), before, "something was stored");
}

#[test]
fn a_running_release_keeps_its_version_and_a_new_one_starts_with_the_newest() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let first = manager.post("/workflows", &short("express")).expect(201);
    let model_id = model(&app, "express");
    let running = app.release().with("model_id", model_id.clone()).at("rollout").make();
    assert_eq!(running["workflow_id"], first.body["id"]);
    let mut next = version_of(&short("express"));
    next["stages"].as_array_mut().unwrap().insert(1, stage("trial", "test", team()));
    let second = manager.post(&format!("/workflows/{}/versions", first.id()), &next).expect(201);
    let started = app.release().with("model_id", model_id).at("rollout").make();
    assert_eq!(started["workflow_id"], second.body["id"]);
    let lead = app.client(Role::Lead);
    let advance = json!({"action": "advance", "from_stage": "rollout"});
    assert_eq!(transition(&lead, &running, &advance)["stage"], "closure");
    assert_eq!(transition(&lead, &started, &advance)["stage"], "trial");
    let read = lead.get(&format!("/releases/{}", running["id"].as_str().unwrap())).expect(200);
    assert_eq!(read.body["workflow_id"], first.body["id"]);
}

#[test]
fn a_retired_workflow_starts_nothing_is_named_by_no_model_and_lets_what_runs_go_on() {
    let app = App::start();
    let (manager, lead) = (app.client(Role::Manager), app.client(Role::Lead));
    let first = manager.post("/workflows", &short("express")).expect(201);
    let mut next = version_of(&short("express"));
    next["name"] = json!("Shorter");
    let second = manager.post(&format!("/workflows/{}/versions", first.id()), &next).expect(201);
    let model_id = model(&app, "express");
    let running = app.release().with("model_id", model_id.clone()).at("rollout").make();
    let retire = format!("/workflows/{}/retire", first.id());
    let send = |client: &Client, path: &str| Answer::of(client.request("POST", path));
    let refused = send(&manager, &retire).problem(409, "IN_USE");
    assert!(refused.body["detail"].as_str().unwrap().contains("\"express\""), "{}", refused.text);
    assert!(refused.body["errors"][0]["detail"].as_str().unwrap().contains(&model_id), "{}", refused.text);
    let path = format!("/models/{model_id}");
    manager.patch(&path, "*", &json!({"status": "retired"})).expect(200);
    send(&lead, &retire).problem(403, "FORBIDDEN");
    let stale = manager.request("POST", &retire).header("If-Match", "\"7\"");
    Answer::of(stale).problem(412, "PRECONDITION_FAILED");
    send(&manager, &format!("{retire}?dry_run=true")).expect(200);
    let retired = send(&manager, &retire).expect(200);
    assert_eq!((&retired.body["retired_at"], &retired.body["row_version"]), (&json!(NOW), &json!(2)));
    send(&manager, &retire).problem(409, "WORKFLOW_RETIRED");
    // With all its versions, and out of the way of nobody who asks for it.
    assert_eq!(manager.get(&format!("/workflows/{}", second.id())).expect(200).body["retired_at"], json!(NOW));
    assert_eq!(keys(&manager.get("/workflows?retired=true").expect(200).body), keyed(&[("express", 2)]));
    assert_eq!(keys(&manager.get("/workflows?retired=false").expect(200).body).len(), 3);
    let versions = format!("/workflows/{}/versions", second.id());
    manager.post(&versions, &version_of(&short("express"))).problem(409, "WORKFLOW_RETIRED");
    manager.post("/workflows", &short("express")).problem(409, "ALREADY_EXISTS");

    let retired_workflow = [("/workflow", "WORKFLOW_RETIRED")];
    let portfolio = app.named("portfolios", "General");
    for status in ["new", "active"] {
        let body = json!({"name": "Another", "workflow": "express", "status": status});
        let models = format!("/portfolios/{portfolio}/models");
        manager.post(&models, &body).problem(422, "INVALID_VALUES").faults(&retired_workflow);
    }
    // What names it already and starts nothing is kept up, and copied; the copy starts releases with another one alone.
    manager.patch(&path, "*", &json!({"description": "Of old"})).expect(200);
    let copy = manager.post(&format!("{path}/copy"), &json!({"name": "Of new"})).expect(201);
    let copy = format!("/models/{}", copy.id());
    manager.patch(&copy, "*", &json!({"status": "active"})).problem(422, "INVALID_VALUES").faults(&retired_workflow);
    manager.patch(&copy, "*", &json!({"status": "active", "workflow": "minor"})).expect(200);
    manager.patch(&copy, "*", &json!({"workflow": "express"})).problem(422, "INVALID_VALUES").faults(&retired_workflow);
    let advance = json!({"action": "advance", "from_stage": "rollout"});
    assert_eq!(transition(&lead, &running, &advance)["stage"], "closure");
    app.assert_sound();
}

/// Prepared and tried out by the Operators, rolled out by the executor group.
fn with_operators(app: &App) -> Value {
    let operators = json!({"kind": "group", "group_id": app.group("Operators")});
    json!({"key": "staged", "name": "Staged", "return_stage": "rollout", "stages": [
        stage("prepare", "planning", operators.clone()),
        stage("rollout", "deployment", team()),
        stage("trial", "test", operators),
        stage("closure", "closure", requester()),
    ]})
}

fn actions(client: &Client, path: &str) -> Vec<String> {
    let read = client.get(path).expect(200);
    read.body["allowed_actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn three_users_carry_a_release_through_the_stages_of_their_groups() {
    let app = App::start();
    let [manager, lead, operator, requester] =
        [Role::Manager, Role::Lead, Role::Operator, Role::Requester].map(|role| app.client(role));
    manager.post("/workflows", &with_operators(&app)).expect(201);
    let mut body = new_release();
    body["model_id"] = json!(model(&app, "staged"));
    body["requester"] = json!({"user_id": app.user_id(Role::Requester)});
    let release = requester.post("/releases", &body).expect(201).body;
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let transitions = format!("{path}/transitions");
    let advance = |from: &str| json!({"action": "advance", "from_stage": from});
    let has = |client: &Client, action: &str| actions(client, &path).contains(&action.to_owned());

    // Preparing is the Operators', who work on the release like its executor group.
    app.client(Role::Outsider).get(&path).problem(404, "NOT_FOUND");
    assert_eq!([has(&operator, "advance"), has(&lead, "advance"), has(&requester, "advance")], [true, false, false]);
    lead.post(&transitions, &advance("prepare")).problem(403, "FORBIDDEN");
    requester.post(&transitions, &advance("prepare")).problem(403, "FORBIDDEN");
    work(&app, &operator, &path, true);
    work(&app, &lead, &path, true);
    work(&app, &requester, &path, false);
    // An assignee belongs to the executor group.
    operator.post(&transitions, &json!({"action": "capture"})).problem(403, "NOT_A_GROUP_MEMBER");
    operator
        .post(&transitions, &json!({"action": "send_back", "from_stage": "prepare", "note": "?"}))
        .problem(409, "AT_FIRST_STAGE");
    operator.post(&transitions, &advance("prepare")).expect(201);

    // Rolling out is the executor group's: the Operators see it, and wait.
    assert_eq!(actions(&operator, &path), [""; 0]);
    operator.post(&transitions, &advance("rollout")).problem(403, "FORBIDDEN");
    work(&app, &operator, &path, false);
    work(&app, &lead, &path, true);
    lead.post(&transitions, &advance("rollout")).expect(201);

    // The trial is the Operators' again, who send it back.
    assert_eq!([has(&operator, "send_back"), has(&lead, "send_back")], [true, false]);
    let back = json!({"action": "send_back", "from_stage": "trial", "note": "It does not start"});
    lead.post(&transitions, &back).problem(403, "FORBIDDEN");
    let sent = operator.post(&transitions, &back).expect(201);
    assert_eq!(sent.body["release"]["stage"], "rollout");
    lead.post(&transitions, &advance("rollout")).expect(201);

    // A release manager executes everywhere, and may say for whom.
    let mut stands_in = advance("trial");
    stands_in["on_behalf_of"] = json!({"origin": "phone", "note": "The operators agree"});
    let done = manager.post(&transitions, &stands_in).expect(201);
    assert_eq!(done.body["transition"]["on_behalf_of"]["origin"], "phone", "{}", done.text);

    // Closing is the requester's.
    work(&app, &operator, &path, false);
    record_outcomes(&lead, &release);
    let mut close = json!({"action": "close"});
    for (name, value) in solved(&app).as_object().unwrap() {
        close[name] = value.clone();
    }
    operator.post(&transitions, &close).problem(403, "FORBIDDEN");
    requester.post(&transitions, &close).expect(201);
    // It stays visible to the group, by the stages alone.
    operator.get(&path).expect(200);
    let mut connection = app.env.database.connect().unwrap();
    let reasons =
        format!("SELECT reason AS line FROM release_visibility WHERE principal = 'g:{}'", app.group("Operators"));
    assert_eq!(lines(&mut connection, &reasons), ["stage"]);
    app.assert_sound();
}

/// Tries everything that whoever executes may do on an active release; all of it is allowed, or none.
fn work(app: &App, client: &Client, path: &str, allowed: bool) {
    let judge = |answer: Answer, status: u16| {
        if allowed {
            answer.expect(status)
        } else {
            answer.problem(403, "FORBIDDEN")
        };
    };
    judge(client.patch(path, "*", &json!({"description": "Prepared"})), 200);
    judge(client.post(&format!("{path}/records"), &json!({"kind": "note", "body": "Done"})), 201);
    let role =
        json!({"role": "informed", "name": "Eva Prado", "email": format!("{}@example.org", uuid::Uuid::now_v7())});
    judge(client.post(&format!("{path}/roles"), &role), 201);
    let ticket = json!({"kind": "ticket", "source": "desk", "external_id": uuid::Uuid::now_v7(), "title": "Slow"});
    judge(client.post(&format!("{path}/references"), &ticket), 201);
    let stage = app.client(Role::Admin).get(path).expect(200).body["stage"].clone();
    if stage == "prepare" {
        let change = app.change("authorised");
        judge(client.post(&format!("{path}/changes"), &json!({"change_id": change})), 201);
    }
}

#[test]
fn a_group_that_a_workflow_names_is_not_deleted() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let night = admin.post("/groups", &json!({"name": "Night shift", "permissions": ["execute"]})).expect(201).id();
    let mut workflow = short("express");
    workflow["stages"][0]["responsible"] = json!([{"kind": "group", "group_id": night}]);
    admin.post("/workflows", &workflow).expect(201);
    let refused = admin.delete(&format!("/groups/{night}"), "*").problem(409, "IN_USE");
    assert!(refused.text.contains("1 workflow"), "{}", refused.text);
}

#[test]
fn of_two_who_edit_a_workflow_at_once_one_makes_the_next_version() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let first = manager.post("/workflows", &short("express")).expect(201).id();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let edits: Vec<_> = (0..8)
            .map(|at| {
                let (manager, first) = (manager.clone(), first.clone());
                scope.spawn(move || {
                    let mut next = version_of(&short("express"));
                    next["name"] = json!(format!("Edit {at}"));
                    manager.post(&format!("/workflows/{first}/versions"), &next)
                })
            })
            .collect();
        edits.into_iter().map(|edit| edit.join().unwrap()).collect()
    });
    let (made, late): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1);
    for answer in late {
        answer.problem(409, "NOT_THE_NEWEST_VERSION");
    }
    app.assert_sound();
}

/// The stored definition of the only version of a built-in workflow.
fn definition(app: &App, key: &str) -> Value {
    let mut connection = app.env.database.connect().unwrap();
    let stored = lines(&mut connection, &format!("SELECT definition AS line FROM workflows WHERE key = '{key}'"));
    serde_json::from_str(&stored[0]).unwrap()
}

/// Makes it another one, past the service.
fn redefine(app: &App, key: &str, definition: &Value) {
    let text = definition.to_string().replace('\'', "''");
    app.database.execute(&format!("UPDATE workflows SET definition = '{text}' WHERE key = '{key}'"));
}

/// Makes the built-in workflows older ones, which asked for less.
fn age(app: &App) {
    for key in ["minor", "standard", "emergency"] {
        let mut older = definition(app, key);
        older["stages"][0]["gates"] = json!([]);
        redefine(app, key, &older);
    }
}

/// Makes the installation one from before workflows could be edited.
fn forget_series(app: &App) {
    app.database.execute(
        "DELETE FROM workflow_series; DELETE FROM audit WHERE record_type = 'workflow'; \
         DELETE FROM events WHERE record_type = 'workflow'",
    );
}

#[test]
fn an_older_installation_gets_the_workflows_of_today_and_what_runs_keeps_its_own() {
    let app = App::start();
    age(&app);
    let (manager, lead) = (app.client(Role::Manager), app.client(Role::Lead));
    let minor = app.model("Minor");
    let bare = json!({"title": "Bare", "model_id": minor, "requester": {"name": "Ana", "email": "ana@example.org"}});
    let running = lead.post("/releases", &bare).expect(201).body;
    forget_series(&app);
    app.assert_sound();
    first_start(&app.env, None).unwrap();

    let newest = manager.get("/workflows?key=minor").expect(200).body["data"][0].clone();
    assert_eq!((&newest["version"], &newest["origin"]), (&json!(2), &json!("built_in")));
    let today = |key: &str| {
        let built_in = slipway::domain::workflow::BUILT_IN.iter().find(|workflow| workflow.key == key).unwrap();
        let id = slipway::domain::values::WorkflowId::new(uuid::Uuid::nil());
        serde_json::to_value(built_in.with_id(id)).unwrap()["stages"].clone()
    };
    assert_eq!(newest["stages"], today("minor"));
    assert_eq!(keys(&manager.get("/workflows?all_versions=true").expect(200).body).len(), 6);
    let started = lead.post("/releases", &bare).expect(201).body;
    assert_eq!(started["workflow_id"], newest["id"]);
    assert_ne!(running["workflow_id"], newest["id"]);
    let advance = json!({"action": "advance", "from_stage": "planning"});
    let path = format!("/releases/{}/transitions", started["id"].as_str().unwrap());
    lead.post(&path, &advance).problem(422, "GATES_NOT_MET");
    assert_eq!(transition(&lead, &running, &advance)["stage"], "deployment");

    let id = running["workflow_id"].as_str().unwrap();
    let audit = app.client(Role::Admin).get(&format!("/audit?record_type=workflow&record_id={id}")).expect(200);
    let told: Vec<(&str, &str)> = audit.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["action"].as_str().unwrap(), row["actor_name"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("workflow.add_version", "console"), ("workflow.create", "console")]);
    // Once, however often it starts.
    first_start(&app.env, None).unwrap();
    assert_eq!(keys(&manager.get("/workflows?all_versions=true").expect(200).body).len(), 6);
    app.assert_sound();
}

#[test]
fn processes_that_start_at_once_renew_the_workflows_once_between_them() {
    let app = App::start();
    age(&app);
    forget_series(&app);
    let beside = on_postgres().then(|| app.beside());
    let envs = [Some(&app), beside.as_ref()];
    std::thread::scope(|scope| {
        for env in envs.into_iter().flatten().flat_map(|app| [&app.env; 3]) {
            scope.spawn(move || first_start(env, None).unwrap());
        }
    });
    let all = app.client(Role::Viewer).get("/workflows?all_versions=true").expect(200);
    assert_eq!(keys(&all.body).len(), 6, "{}", all.text);
    app.assert_sound();
}

#[test]
fn what_somebody_here_edited_or_retired_is_not_renewed() {
    let app = App::start();
    age(&app);
    forget_series(&app);
    first_start(&app.env, None).unwrap();
    let manager = app.client(Role::Manager);
    let newest = |key: &str| manager.get(&format!("/workflows?key={key}")).expect(200).body["data"][0].clone();
    // One is edited, one retired; one was renewed by a later product, beside which this one is old.
    let standard = newest("standard");
    let versions = format!("/workflows/{}/versions", standard["id"].as_str().unwrap());
    let edited = json!({"name": "Ours", "return_stage": "planning", "stages": standard["stages"]});
    manager.post(&versions, &edited).expect(201);
    manager.patch(&format!("/models/{}", app.model("Emergency")), "*", &json!({"status": "retired"})).expect(200);
    let emergency = newest("emergency");
    let retire = manager.request("POST", &format!("/workflows/{}/retire", emergency["id"].as_str().unwrap()));
    Answer::of(retire).expect(200);
    for key in ["standard", "emergency"] {
        app.database.execute(&format!(
            "UPDATE workflows SET definition = replace(definition, '\"kind\":\"deployment\"', '\"kind\":\"test\"') \
             WHERE key = '{key}' AND origin = 'built_in'"
        ));
    }
    app.database.execute(
        "INSERT INTO workflows (id, key, version, definition, created_at, origin) \
         SELECT '01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f', key, 3, replace(replace(definition, '\"version\":2', '\"version\":3'), \
         '\"name\":\"Minor\"', '\"name\":\"Minor, later\"'), created_at, origin FROM workflows WHERE key = 'minor' AND version = 2",
    );
    first_start(&app.env, None).unwrap();
    assert_eq!((&newest("standard")["name"], &newest("standard")["version"]), (&json!("Ours"), &json!(3)));
    assert_eq!(newest("emergency")["version"], 2);
    assert_eq!((&newest("minor")["name"], &newest("minor")["version"]), (&json!("Minor, later"), &json!(3)));
}
