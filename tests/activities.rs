//! Activities: added, patched, filtered, commented on; gates, rights and visibility.

use serde_json::{Value, json};

use crate::support::*;

fn activities_of(release: &Value) -> String {
    format!("/releases/{}/activities", release["id"].as_str().unwrap())
}

fn board_of(release: &Value, phase: &str) -> String {
    format!("/releases/{}/boards/{phase}", release["id"].as_str().unwrap())
}

fn add(client: &Client, release: &Value, body: Value) -> Answer {
    client.post(&activities_of(release), &body).expect(201)
}

fn card(client: &Client, release: &Value, phase: &str, title: &str) -> String {
    add(client, release, json!({"phase": phase, "title": title})).id()
}

fn to(client: &Client, release: &Value, id: &str, status: &str) -> Answer {
    client.post(&format!("{}/{id}/move", activities_of(release)), &json!({"status": status}))
}

fn titles(answer: &Answer) -> Vec<String> {
    let data = answer.body["data"].as_array().unwrap();
    data.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

/// A body, the status of its answer, and the faults that are told.
type Case = (Value, u16, Vec<(&'static str, &'static str)>);

#[test]
fn an_activity_has_a_version_of_its_own_and_its_history_is_in_the_releases_chain() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let lead_id = app.user_id(Role::Lead).to_string();
    let body = json!({
        "phase": "planning", "title": "Agree on the window", "description": "With all shops", "kind": "communication",
        "assignee_id": lead_id, "group_id": app.group("Release team"), "technical_guidelines": "Runbook 12",
        "scheduled_start": "2030-01-08T09:00:00Z", "due_at": "2030-01-09T09:00:00Z", "estimated_minutes": 90,
        "checklist": [{"text": "The shops know"}, {"text": "The desk knows", "done": true}], "tags": ["shops"],
    });
    let made = add(&lead, &release, body.clone());
    let path = format!("{}/{}", activities_of(&release), made.id());
    assert_eq!(made.header("location"), format!("/api/v1{path}"));
    for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "checklist") {
        assert_eq!(made.body[field], *value, "{field}");
    }
    assert_eq!((&made.body["status"], &made.body["row_version"]), (&json!("todo"), &json!(1)));
    let items = made.body["checklist"].as_array().unwrap().clone();
    assert_eq!((&items[0]["done"], &items[0]["done_by"]), (&json!(false), &json!(null)));
    assert_eq!((&items[1]["done_by"], &items[1]["done_at"]), (&json!(lead_id), &json!(NOW)));
    let read = lead.get(&path).expect(200);
    assert_eq!((&read.body, read.header("etag")), (&made.body, made.header("etag")));

    Answer::of(lead.request("PATCH", &path).json(&json!({"title": "X"}))).problem(428, "PRECONDITION_REQUIRED");
    // The items keep their identity; the new one gets one.
    let checklist = json!([
        {"id": items[1]["id"], "text": "The desk knows it all", "done": true},
        {"text": "The vendor knows"},
    ]);
    let patched = lead.patch(&path, read.header("etag"), &json!({"checklist": checklist, "due_at": null})).expect(200);
    assert_eq!((&patched.body["row_version"], &patched.body["due_at"]), (&json!(2), &json!(null)));
    assert_eq!(patched.body["checklist"][0]["id"], items[1]["id"]);
    assert_eq!(patched.body["checklist"][0]["done_at"], NOW);
    lead.patch(&path, read.header("etag"), &json!({"title": "Late"})).problem(412, "PRECONDITION_FAILED");
    let same = lead.patch(&path, "*", &json!({"kind": "communication", "tags": ["shops"]})).expect(200);
    assert_eq!(same.body["row_version"], 2);
    // The release keeps its own version.
    let whole = format!("/releases/{}", release["id"].as_str().unwrap());
    assert_eq!(lead.get(&whole).expect(200).body["row_version"], release["row_version"]);
    let history = lead.get(&format!("{whole}/history")).expect(200);
    let row = &history.body["data"][0];
    assert_eq!((&row["action"], &row["subject_type"]), (&json!("release.update_activity"), &json!("activity")));
    assert_eq!(lead.get(&format!("{whole}/history/verify")).expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn an_activity_that_is_not_well_said_is_refused_with_every_fault() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let (release, other) = (app.release().make(), app.release().make());
    let path = activities_of(&release);
    let stranger = card(&lead, &other, "planning", "Elsewhere");
    let nobody = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    let cases: Vec<Case> = vec![
        (json!({"status": "done"}), 400, vec![("/status", "READ_ONLY_FIELD")]),
        (json!({"colour": "red"}), 400, vec![("/colour", "UNKNOWN_FIELD")]),
        (json!({"estimated_minutes": "long"}), 400, vec![("/estimated_minutes", "WRONG_TYPE")]),
        (json!({"title": "  "}), 422, vec![("/title", "BLANK")]),
        (json!({"phase": "test"}), 422, vec![("/phase", "NOT_ALLOWED")]),
        (json!({"estimated_minutes": 0}), 422, vec![("/estimated_minutes", "OUT_OF_RANGE")]),
        (
            json!({"due_at": "2030-01-01T00:00:00Z", "scheduled_start": "2030-01-02T00:00:00Z", "tags": ["a", "a"]}),
            422,
            vec![("/due_at", "DUE_BEFORE_START"), ("/tags/1", "REPEATED")],
        ),
        (json!({"group_id": app.group("Operators")}), 422, vec![("/group_id", "NOT_A_GROUP_OF_THE_RELEASE")]),
        (json!({"assignee_id": app.user_id(Role::Operator)}), 422, vec![("/assignee_id", "NOT_A_GROUP_MEMBER")]),
        (json!({"assignee_id": nobody}), 422, vec![("/assignee_id", "UNKNOWN_REFERENCE")]),
        (
            json!({"depends_on": [stranger, nobody]}),
            422,
            vec![("/depends_on/0", "UNKNOWN_REFERENCE"), ("/depends_on/1", "UNKNOWN_REFERENCE")],
        ),
        (json!({"checklist": [{"id": nobody, "text": "What?"}]}), 422, vec![("/checklist/0/id", "UNKNOWN_REFERENCE")]),
    ];
    for (odd, status, faults) in cases {
        let mut body = json!({"phase": "planning", "title": "Odd"});
        for (field, value) in odd.as_object().unwrap() {
            body[field] = value.clone();
        }
        let code = if status == 400 { "MALFORMED_REQUEST" } else { "INVALID_VALUES" };
        lead.post(&path, &body).problem(status, code).faults(&faults);
    }
    assert_eq!(lead.get(&path).expect(200).body["data"], json!([]));
    lead.get(&format!("{path}/{stranger}")).problem(404, "NOT_FOUND");
    let dry = lead.post(&format!("{path}?dry_run=true"), &json!({"phase": "planning", "title": "Try"})).expect(200);
    assert_eq!((&dry.body["id"], &dry.body["title"]), (&json!(null), &json!("Try")));
    assert_eq!(lead.get(&path).expect(200).body["data"], json!([]));
}

#[test]
fn what_depends_on_what_never_goes_round_and_the_circle_is_named_by_its_way() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = activities_of(&release);
    let a = card(&lead, &release, "planning", "Ask");
    // Across the boards.
    let b = add(&lead, &release, json!({"phase": "deployment", "title": "Build", "depends_on": [a]})).id();
    let c = add(&lead, &release, json!({"phase": "planning", "title": "Copy", "depends_on": [b]})).id();
    let refused = lead.patch(&format!("{path}/{a}"), "*", &json!({"depends_on": [c]}));
    let refused = refused.problem(422, "INVALID_VALUES").faults(&[("/depends_on/0", "CYCLE")]);
    let told = refused.body["errors"][0]["detail"].as_str().unwrap();
    let way = format!("\"Ask\" ({a}) → \"Copy\" ({c}) → \"Build\" ({b}) → \"Ask\" ({a})");
    assert!(told.contains(&way), "{told}");
    let own = lead.patch(&format!("{path}/{a}"), "*", &json!({"depends_on": [a]}));
    own.problem(422, "INVALID_VALUES").faults(&[("/depends_on/0", "CYCLE")]);
    // Nothing comes to depend on what is archived; what does already, stays.
    Answer::of(lead.request("POST", &format!("{path}/{b}/archive"))).expect(200);
    let late = lead.post(&path, &json!({"phase": "planning", "title": "Late", "depends_on": [b]}));
    late.problem(422, "INVALID_VALUES").faults(&[("/depends_on/0", "ACTIVITY_ARCHIVED")]);
    let kept = lead.patch(&format!("{path}/{c}"), "*", &json!({"depends_on": [b, a]})).expect(200);
    assert_eq!(kept.body["depends_on"].as_array().unwrap().len(), 2);
    // The archived one is part of a circle all the same: it may come back.
    let round = lead.patch(&format!("{path}/{a}"), "*", &json!({"depends_on": [c]}));
    round.problem(422, "INVALID_VALUES");
    app.assert_sound();
}

#[test]
fn whoever_an_activity_is_given_to_sees_the_release_while_it_is_theirs() {
    let app = App::start();
    let operators = app.group("Operators");
    // The operators are responsible for the deployment of minor releases here.
    let (team, group) =
        ("{\"kind\":\"executor_group\"}", format!("{{\"kind\":\"group\",\"group_id\":\"{operators}\"}}"));
    let deployment = "\"kind\":\"deployment\",\"responsible\":[";
    app.database.execute(&format!(
        "UPDATE workflows SET definition = replace(definition, '{deployment}{team}', '{deployment}{group}') WHERE key = 'minor'"
    ));
    let (lead, operator) = (app.client(Role::Lead), app.client(Role::Operator));
    let release = app.release().with("model_id", app.model("Minor")).make();
    let path = activities_of(&release);
    let whole = format!("/releases/{}", release["id"].as_str().unwrap());
    // They see it because of their stage; they may work on it while that stage is current.
    operator.get(&whole).expect(200);
    let body = json!({"phase": "deployment", "title": "Install", "group_id": operators});
    operator.post(&path, &body).problem(403, "FORBIDDEN");
    let given = add(&lead, &release, body).id();
    // Whom it is given to comments on it.
    operator.post(&format!("{path}/{given}/comments"), &json!({"body": "On Saturday?"})).expect(201);
    to(&operator, &release, &given, "skipped").problem(403, "FORBIDDEN");
    transition(&lead, &release, &json!({"action": "advance", "from_stage": "planning"}));
    to(&operator, &release, &given, "in_progress").expect(200);

    // An assignee of the executor group who leaves it still sees what they were given, until it is taken from them.
    let helper = json!({"username": "helper", "name": "Helper", "email": "helper@example.org"});
    let admin = app.client(Role::Admin);
    let helper = admin.post("/users", &helper).expect(201).id();
    let members = format!("/groups/{}/members", app.group("Release team"));
    admin.post(&members, &json!({"user_id": helper})).expect(201);
    let theirs = add(&lead, &release, json!({"phase": "deployment", "title": "Help", "assignee_id": helper})).id();
    admin.delete(&format!("{members}/{helper}"), "*").expect(204);
    let login = json!({"password": "a long and memorable phrase"});
    admin.post(&format!("/users/{helper}/password"), &login).expect(204);
    let login = json!({"username": "helper", "password": "a long and memorable phrase"});
    let token = app.anonymous().post("/auth/login", &login).expect(200).body["access_token"].clone();
    let client = app.client_with(token.as_str().unwrap());
    client.get(&whole).expect(200);
    assert_eq!(client.get("/releases").expect(200).body["data"].as_array().unwrap().len(), 1);
    let one = format!("{path}/{theirs}");
    Answer::of(lead.request("POST", &format!("{one}/archive"))).expect(200);
    client.get(&whole).problem(404, "NOT_FOUND");
    Answer::of(lead.request("POST", &format!("{one}/unarchive"))).expect(200);
    client.get(&whole).expect(200);
    // It stays theirs as long as nobody says otherwise.
    lead.patch(&one, "*", &json!({"title": "Help out"})).expect(200);
    lead.patch(&one, "*", &json!({"assignee_id": null})).expect(200);
    client.get(&whole).problem(404, "NOT_FOUND");
    app.assert_sound();
}

#[test]
fn activities_are_filtered_and_sorted() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = activities_of(&release);
    let (team, me) = (app.group("Release team"), app.user_id(Role::Lead).to_string());
    add(&lead, &release, json!({"phase": "deployment", "title": "Install", "kind": "rollout", "tags": ["a", "b_c"]}));
    let due = json!({"phase": "planning", "title": "Ask all", "due_at": "2030-01-06T00:00:00Z", "assignee_id": me});
    let ask = add(&lead, &release, due).id();
    add(
        &lead,
        &release,
        json!({"phase": "planning", "title": "Échelle", "scheduled_start": "2030-01-20T00:00:00Z", "group_id": team,
               "due_at": "2030-01-21T00:00:00Z", "tags": ["bxc"]}),
    );
    let gone = card(&lead, &release, "planning", "Gone");
    Answer::of(lead.request("POST", &format!("{path}/{gone}/archive"))).expect(200);
    let cases: Vec<(String, Vec<&str>)> = vec![
        (String::new(), vec!["Ask all", "Échelle", "Install"]),
        ("archived=true".into(), vec!["Gone"]),
        ("archived=false&phase=planning".into(), vec!["Ask all", "Échelle"]),
        ("phase=deployment".into(), vec!["Install"]),
        ("kind=rollout,test".into(), vec!["Install"]),
        (format!("assignee={me}"), vec!["Ask all"]),
        (format!("group={team}"), vec!["Échelle"]),
        ("overdue=true".into(), vec!["Ask all"]),
        ("overdue=false".into(), vec!["Échelle", "Install"]),
        ("due_from=2030-01-06T00:00:00Z&due_to=2030-01-21T00:00:00Z".into(), vec!["Ask all"]),
        ("scheduled_from=2030-01-20T00:00:00Z".into(), vec!["Échelle"]),
        ("scheduled_to=2030-01-20T00:00:00Z".into(), vec![]),
        ("tag=b_c".into(), vec!["Install"]),
        ("tag=a,bxc".into(), vec!["Échelle", "Install"]),
        ("q=%C3%89CH".into(), vec!["Échelle"]),
        ("sort=due_at".into(), vec!["Ask all", "Échelle", "Install"]),
        ("sort=-scheduled_start&phase=planning".into(), vec!["Ask all", "Échelle"]),
    ];
    for (query, expected) in &cases {
        assert_eq!(titles(&lead.get(&format!("{path}?{query}")).expect(200)), *expected, "{query}");
    }
    // Page by page, each is seen once.
    for sort in ["position", "-position", "due_at", "-scheduled_start", "created_at"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = lead.get(&format!("{path}?limit=1&sort={sort}{cursor}")).expect(200);
            seen.extend(titles(&page));
            match page.body["page"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        seen.sort();
        assert_eq!(seen, ["Ask all", "Install", "Échelle"], "{sort}");
    }
    to(&lead, &release, &ask, "done").expect(200);
    assert_eq!(titles(&lead.get(&format!("{path}?overdue=true")).expect(200)), [""; 0]);
    assert_eq!(titles(&lead.get(&format!("{path}?status=done,skipped")).expect(200)), ["Ask all"]);
    lead.get(&format!("{path}?colour=red&status=open")).problem(400, "MALFORMED_REQUEST");
}

#[test]
fn time_is_noted_corrected_and_removed_and_the_sum_follows() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let id = card(&lead, &release, "planning", "Ask");
    let path = format!("{}/{id}", activities_of(&release));
    let entries = format!("{path}/time-entries");
    let spent = || lead.get(&path).expect(200).body["minutes_spent"].clone();
    let first = lead.post(&entries, &json!({"minutes": 45, "started_at": NOW, "note": "Called"})).expect(201);
    assert_eq!(first.header("location"), format!("/api/v1{entries}/{}", first.id()));
    assert_eq!(first.body["user_id"], app.user_id(Role::Lead).to_string());
    lead.post(&entries, &json!({"minutes": 15})).expect(201);
    assert_eq!(spent(), 60);
    let one = format!("{entries}/{}", first.id());
    assert_eq!(lead.get(&one).expect(200).body, first.body);
    let corrected = lead.patch(&one, first.header("etag"), &json!({"minutes": 30})).expect(200);
    assert_eq!((&corrected.body["row_version"], spent()), (&json!(2), json!(45)));
    lead.delete(&one, first.header("etag")).problem(412, "PRECONDITION_FAILED");
    lead.delete(&one, "*").expect(204);
    assert_eq!(spent(), 15);
    for (body, pointer, code) in [
        (json!({"minutes": 0}), "/minutes", "OUT_OF_RANGE"),
        (json!({"minutes": 1441}), "/minutes", "OUT_OF_RANGE"),
        (json!({"minutes": 5, "started_at": "2031-01-01T00:00:00Z"}), "/started_at", "IN_THE_FUTURE"),
    ] {
        lead.post(&entries, &body).problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
    }
    // Time does not make a new version of the activity, and is in the history.
    assert_eq!(lead.get(&path).expect(200).body["row_version"], 1);
    let history = lead.get(&format!("/releases/{}/history", release["id"].as_str().unwrap())).expect(200);
    assert_eq!(history.body["data"][0]["action"], "release.remove_time_entry");
    app.assert_sound();
}

#[test]
fn an_activity_is_written_while_its_release_is_active_and_commented_on_always() {
    let app = App::start();
    let (lead, viewer) = (app.client(Role::Lead), app.client(Role::Viewer));
    let planned = json!([{"phase": "deployment", "title": "Install"}, {"phase": "planning", "title": "Ask"}]);
    for status in ["suspended", "cancelled", "closed", "reopened"] {
        let release = app.release().make();
        let ids: Vec<String> =
            planned.as_array().unwrap().iter().map(|body| add(&lead, &release, body.clone()).id()).collect();
        for id in &ids {
            to(&lead, &release, id, "skipped").expect(200);
        }
        let manager = app.client(Role::Manager);
        let mut release = manager.get(&format!("/releases/{}", release["id"].as_str().unwrap())).expect(200).body;
        match status {
            "closed" | "reopened" => {
                carry(&app, &manager, &mut release, "closure");
                record_outcomes(&manager, &release);
                let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
                release = transition(&manager, &release, &close);
                if status == "reopened" {
                    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
                    release = transition(&manager, &release, &reopen);
                }
            }
            "suspended" => {
                let body =
                    json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Wait"});
                release = transition(&manager, &release, &body);
            }
            _ => {
                let body =
                    json!({"action": "cancel", "justification_id": app.justification("cancel"), "closure_notes": "No"});
                release = transition(&manager, &release, &body);
            }
        }
        let path = activities_of(&release);
        let one = format!("{path}/{}", ids[1]);
        let writes = [
            lead.post(&path, &json!({"phase": "planning", "title": "More"})),
            lead.patch(&one, "*", &json!({"title": "Other"})),
            to(&lead, &release, &ids[1], "todo"),
            lead.post(&format!("{one}/time-entries"), &json!({"minutes": 1})),
            Answer::of(lead.request("POST", &format!("{one}/archive"))),
        ];
        for answer in writes {
            if status == "reopened" {
                assert!(answer.status < 300, "{}", answer.text);
            } else {
                let refused = answer.problem(409, "STATE_FORBIDS");
                assert_eq!(refused.body["current_status"], status);
            }
        }
        let comments = format!("{one}/comments");
        let said = lead.post(&comments, &json!({"body": "So be it."})).expect(201);
        assert_eq!(said.body["author_name"], "The lead");
        assert_eq!(lead.get(&format!("{comments}/{}", said.id())).expect(200).body, said.body);
        viewer.post(&comments, &json!({"body": "Me too."})).problem(403, "FORBIDDEN");
        lead.post(&comments, &json!({"body": " "})).problem(422, "INVALID_VALUES").faults(&[("/body", "BLANK")]);
        assert_eq!(viewer.get(&comments).expect(200).body["data"].as_array().unwrap().len(), 1);
        assert_eq!(lead.get(&one).expect(200).body["comment_count"], 1);
    }
    app.assert_sound();
}

#[test]
fn a_release_is_created_with_its_activities_all_or_nothing() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let mut body = new_release();
    body["activities"] = json!([
        {"ref": "ask", "phase": "planning", "title": "Ask", "assignee_id": app.user_id(Role::Lead)},
        {"phase": "planning", "title": "Book", "checklist": [{"text": "Paid"}], "tags": ["shops"]},
        {"ref": "install", "phase": "deployment", "title": "Install", "depends_on": ["ask"], "estimated_minutes": 30},
        {"phase": "deployment", "title": "Look", "depends_on": ["install", "ask"]},
    ]);
    let release = lead.post("/releases", &body).expect(201).body;
    let list = lead.get(&activities_of(&release)).expect(200);
    assert_eq!(titles(&list), ["Ask", "Book", "Install", "Look"]);
    let data = list.body["data"].as_array().unwrap();
    assert_eq!(data[2]["depends_on"], json!([data[0]["id"]]));
    assert_eq!(data[3]["depends_on"].as_array().unwrap().len(), 2);
    let history = lead.get(&format!("/releases/{}/history", release["id"].as_str().unwrap())).expect(200);
    assert_eq!(history.body["data"].as_array().unwrap().len(), 1);
    assert!(history.text.contains("\"Install\"") && history.text.contains("/activities"), "{}", history.text);
    // What it answers knows of them: planning is not left with open activities.
    assert!(!release["allowed_actions"].as_array().unwrap().contains(&json!("advance")));

    let before = lead.get("/releases?count=exact").expect(200).body["page"]["total"].clone();
    body["activities"] = json!([
        {"ref": "a", "phase": "planning", "title": "A", "depends_on": ["b"]},
        {"ref": "b", "phase": "planning", "title": "B", "depends_on": ["c"]},
        {"ref": "c", "phase": "planning", "title": "C", "depends_on": ["a", "z"]},
        {"ref": "c", "phase": "planning", "title": "  "},
    ]);
    lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(&[("/activities/3/title", "BLANK")]);
    body["activities"][3] = json!({"ref": "c", "phase": "planning", "title": "D", "group_id": app.group("Operators"),
                                   "tags": ["x", "x"], "due_at": "2030-01-01T00:00:00Z", "scheduled_start": NOW});
    let refused = lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(&[
        ("/activities/0/depends_on", "CYCLE"),
        ("/activities/2/depends_on/1", "UNKNOWN_REFERENCE"),
        ("/activities/3/due_at", "DUE_BEFORE_START"),
        ("/activities/3/group_id", "NOT_A_GROUP_OF_THE_RELEASE"),
        ("/activities/3/ref", "REPEATED"),
        ("/activities/3/tags/1", "REPEATED"),
    ]);
    assert!(refused.text.contains("\\\"A\\\" (a) → \\\"B\\\" (b) → \\\"C\\\" (c) → \\\"A\\\" (a)"), "{}", refused.text);
    assert_eq!(lead.get("/releases?count=exact").expect(200).body["page"]["total"], before);
    app.assert_sound();
}

#[test]
fn open_activities_keep_a_release_from_leaving_planning_and_deployment() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let cases = [
        ("Standard", "planning", "planning"),
        ("Standard", "deployment", "deployment"),
        ("Emergency", "authorization", "planning"),
        ("Emergency", "deployment", "deployment"),
        ("Minor", "planning", "planning"),
        ("Minor", "deployment", "deployment"),
    ];
    for (model, stage, phase) in cases {
        let release = app.release().with("model_id", app.model(model)).at(stage).make();
        let other = if phase == "planning" { "deployment" } else { "planning" };
        card(&manager, &release, other, "Of the other board");
        let mut ids: Vec<String> = (0..23).map(|nth| card(&manager, &release, phase, &format!("No. {nth}"))).collect();
        Answer::of(manager.request("POST", &format!("{}/{}/archive", activities_of(&release), ids.pop().unwrap())))
            .expect(200);
        let whole = format!("/releases/{}", release["id"].as_str().unwrap());
        let on_behalf_of = json!({"origin": "phone", "note": "Agreed"});
        let advance = json!({"action": "advance", "from_stage": stage, "on_behalf_of": on_behalf_of});
        let refused = manager.post(&format!("{whole}/transitions"), &advance).problem(422, "GATES_NOT_MET");
        let code = format!("{}_ACTIVITIES_OPEN", phase.to_uppercase());
        assert_eq!(refused.blockers(), [code.as_str()], "{model} {stage}");
        let blocker = &refused.body["blockers"][0];
        assert_eq!(blocker["gate"], format!("{phase}_activities_finished"));
        assert!(blocker["detail"].as_str().unwrap().starts_with("22 "), "{blocker}");
        assert_eq!(blocker["refs"].as_array().unwrap().len(), 20);
        let listed = manager.get("/releases?limit=200").expect(200);
        let found = listed.body["data"].as_array().unwrap().iter().find(|one| one["id"] == release["id"]).unwrap();
        assert!(!found["allowed_actions"].as_array().unwrap().contains(&json!("advance")));
        for (nth, id) in ids.iter().enumerate() {
            to(&manager, &release, id, if nth % 2 == 0 { "done" } else { "skipped" }).expect(200);
        }
        manager.post(&format!("{whole}/transitions"), &advance).expect(201);
    }
    app.assert_sound();
}

#[test]
fn a_board_tells_columns_progress_and_what_is_late() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = board_of(&release, "planning");
    let empty = lead.get(&path).expect(200);
    let columns: Vec<&Value> = empty.body["columns"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(columns, ["todo", "in_progress", "done", "skipped"]);
    assert_eq!(empty.body["progress"], json!({"basis": "count", "done": 0, "all": 0, "percent": null}));
    let due = |title: &str, due: &str, minutes: Option<i64>| {
        let body = json!({"phase": "planning", "title": title, "due_at": due, "estimated_minutes": minutes});
        add(&lead, &release, body).id()
    };
    let late = due("Late", "2030-01-07T09:00:00Z", None);
    due("Soon", "2030-01-08T09:00:00Z", None);
    let later = due("Later", "2030-01-09T09:00:00Z", None);
    card(&lead, &release, "deployment", "Elsewhere");
    let progress = |expected: Value| assert_eq!(lead.get(&path).expect(200).body["progress"], expected);
    progress(json!({"basis": "count", "done": 0, "all": 3, "percent": 0}));
    let board = lead.get(&path).expect(200).body;
    let counters = json!({"overdue": 1, "due_within_24_hours": 1, "on_time": 1, "finished": 0, "total": 3});
    assert_eq!(board["counters"], counters);
    to(&lead, &release, &late, "done").expect(200);
    progress(json!({"basis": "count", "done": 1, "all": 3, "percent": 33}));
    lead.patch(&format!("{}/{late}", activities_of(&release)), "*", &json!({"estimated_minutes": 30})).expect(200);
    lead.patch(
        &format!("{}/{later}", activities_of(&release)),
        "*",
        &json!({"estimated_minutes": 90, "depends_on": [late]}),
    )
    .expect(200);
    progress(json!({"basis": "estimate", "done": 30, "all": 120, "percent": 25}));
    let body = json!({"phase": "planning", "title": "Waits", "depends_on": [later, late],
                      "assignee_id": app.user_id(Role::Lead), "group_id": app.group("Release team")});
    let waits = add(&lead, &release, body).id();
    lead.post(&format!("{}/{waits}/comments", activities_of(&release)), &json!({"body": "Hm"})).expect(201);
    let board = lead.get(&path).expect(200);
    let todo = board.body["columns"][0]["cards"].as_array().unwrap();
    let card = &todo[2];
    assert_eq!((&card["title"], &card["waiting_for"], &card["comment_count"]), (&json!("Waits"), &json!(1), &json!(1)));
    assert_eq!((&card["assignee_name"], &card["group_name"]), (&json!("The lead"), &json!("Release team")));
    assert!(card.get("description").is_none());
    let same = Answer::of(lead.request("GET", &path).header("If-None-Match", board.header("etag")));
    same.expect(304);
    lead.get(&board_of(&release, "closure")).problem(404, "NOT_FOUND");
}

#[test]
fn a_release_has_a_thousand_activities_at_most_and_its_board_tells_them_all() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let mut body = new_release();
    let all: Vec<Value> = (0..1_000)
        .map(|nth| {
            json!({"ref": nth.to_string(), "phase": "planning", "title": format!("No. {nth}"),
            "depends_on": if nth > 0 { vec![(nth - 1).to_string()] } else { vec![] }})
        })
        .collect();
    body["activities"] = json!(all);
    let release = lead.post("/releases", &body).expect(201).body;
    let board = lead.get(&board_of(&release, "planning")).expect(200);
    let cards = board.body["columns"][0]["cards"].as_array().unwrap();
    let told: Vec<&str> = cards.iter().map(|card| card["title"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..1_000).map(|nth| format!("No. {nth}")).collect();
    assert_eq!(told, expected);
    assert_eq!((&cards[0]["waiting_for"], &cards[999]["waiting_for"]), (&json!(0), &json!(1)));
    let path = activities_of(&release);
    let one_more = json!({"phase": "planning", "title": "One more"});
    lead.post(&path, &one_more).problem(409, "LIMIT_REACHED");
    // A circle through all of them is found, and named.
    let (first, last) = (cards[0]["id"].as_str().unwrap(), cards[999]["id"].as_str().unwrap());
    let round = lead.patch(&format!("{path}/{first}"), "*", &json!({"depends_on": [last]}));
    round.problem(422, "INVALID_VALUES").faults(&[("/depends_on/0", "CYCLE")]);
    Answer::of(lead.request("POST", &format!("{path}/{last}/archive"))).expect(200);
    lead.post(&path, &one_more).expect(201);
    Answer::of(lead.request("POST", &format!("{path}/{last}/unarchive"))).problem(409, "LIMIT_REACHED");
    app.assert_sound();
}
