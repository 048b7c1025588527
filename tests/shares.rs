//! Shares: somebody whom a release does not concern sees it or works on it, until the share is taken away.

use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};
use slipway::repository::releases::ReleaseRef;
use slipway::service::setup::{console, console_request};
use slipway::service::{IfMatch, releases, shares};

use crate::raw::eventually;
use crate::refusals::AN_ID;
use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

/// Shares a release with the outsider.
fn with_outsider(app: &App, level: &str) -> Value {
    json!({"user_id": app.user_id(Role::Outsider), "level": level})
}

fn actions(client: &Client, release: &str) -> Vec<String> {
    let actions = client.get(release).expect(200).body["allowed_actions"].clone();
    actions.as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_share_to_read_lets_somebody_see_the_release_and_no_more() {
    let app = App::start();
    let (lead, outsider) = (app.client(Role::Lead), app.client(Role::Outsider));
    let release = path(&app.release().make());
    let shares = format!("{release}/shares");
    outsider.get(&release).problem(404, "NOT_FOUND");
    let share = lead.post(&shares, &with_outsider(&app, "read")).expect(201);
    assert_eq!(share.header("location"), format!("/api/v1{shares}/{}", share.id()));
    assert_eq!(
        (&share.body["group_id"], &share.body["shared_by"], &share.body["row_version"]),
        (&json!(null), &json!(app.user_id(Role::Lead)), &json!(1))
    );
    for part in ["", "/history", "/records", "/shares", "/roles", "/references", "/comments", "/changes"] {
        outsider.get(&format!("{release}{part}")).expect(200);
    }
    assert_eq!(outsider.get("/releases?count=exact").expect(200).body["page"]["total"], 1);
    assert_eq!(actions(&outsider, &release), [""; 0]);
    outsider.post(&format!("{release}/comments"), &json!({"body": "I see"})).expect(201);
    outsider.post(&format!("{release}/records"), &json!({"kind": "note", "body": "x"})).problem(403, "FORBIDDEN");
    outsider.patch(&release, "*", &json!({"title": "Mine"})).problem(403, "FORBIDDEN");
    outsider.post(&format!("{release}/transitions"), &json!({"action": "capture"})).problem(403, "FORBIDDEN");
    outsider.post(&shares, &json!({"group_id": app.group("Operators"), "level": "read"})).problem(403, "FORBIDDEN");
    let item = format!("{shares}/{}", share.id());
    outsider.patch(&item, "*", &json!({"level": "execute"})).problem(403, "FORBIDDEN");
    lead.delete(&item, share.header("etag")).expect(204);
    outsider.get(&release).problem(404, "NOT_FOUND");
    lead.get(&item).problem(404, "NOT_FOUND");
    app.assert_sound();
}

#[test]
fn a_share_with_a_group_is_for_everybody_in_it_as_long_as_it_is_active() {
    let app = App::start();
    let (admin, lead, operator) = (app.client(Role::Admin), app.client(Role::Lead), app.client(Role::Operator));
    let release = path(&app.release().make());
    let group = app.group("Operators");
    let share = json!({"group_id": group, "level": "execute"});
    lead.post(&format!("{release}/shares"), &share).expect(201);
    let note = json!({"kind": "note", "body": "Done"});
    operator.post(&format!("{release}/records"), &note).expect(201);
    app.client(Role::Outsider).get(&release).problem(404, "NOT_FOUND");
    admin.patch(&format!("/groups/{group}"), "*", &json!({"active": false})).expect(200);
    operator.post(&format!("{release}/records"), &note).problem(403, "FORBIDDEN");
    assert_eq!(actions(&operator, &release), [""; 0]);
    admin.delete(&format!("/groups/{group}"), "*").problem(409, "IN_USE");
    admin.patch(&format!("/groups/{group}"), "*", &json!({"active": true})).expect(200);
    operator.post(&format!("{release}/records"), &note).expect(201);
    admin.delete(&format!("/groups/{group}/members/{}", app.user_id(Role::Operator)), "*").expect(204);
    operator.get(&release).problem(404, "NOT_FOUND");
}

#[test]
fn a_share_to_execute_gives_what_execute_in_the_executor_group_gives_wherever_the_release_stands() {
    let app = App::start();
    let (operator, outsider, manager) =
        (app.client(Role::Operator), app.client(Role::Outsider), app.client(Role::Manager));
    let places = [
        ("Standard", "planning", "open"),
        ("Standard", "authorization", "open"),
        ("Standard", "deployment", "open"),
        ("Standard", "test", "open"),
        ("Standard", "acceptance", "open"),
        ("Standard", "closure", "open"),
        ("Emergency", "deployment", "reopened"),
        ("Minor", "deployment", "open"),
        ("Standard", "test", "suspended"),
        ("Standard", "test", "cancelled"),
        ("Standard", "closure", "closed"),
    ];
    for (model, stage, status) in places {
        // The operators hold `execute` and nothing else.
        let release = app
            .release()
            .with("model_id", app.model(model))
            .with("executor_group_id", app.group("Operators"))
            .at(stage)
            .status(status)
            .make();
        let release = path(&release);
        manager.post(&format!("{release}/shares"), &with_outsider(&app, "execute")).expect(201);
        let (of_member, of_share) = (actions(&operator, &release), actions(&outsider, &release));
        // An assignee is always a member of the executor group.
        let without_capture: Vec<String> = of_member.into_iter().filter(|action| action != "capture").collect();
        assert_eq!(of_share, without_capture, "{model} {stage} {status}");
        for client in [&operator, &outsider] {
            client.post(&format!("{release}/records"), &json!({"kind": "note", "body": "x"})).expect(201);
            let active = ["open", "reopened"].contains(&status);
            let patched = client.patch(&release, "*", &json!({"description": client.token}));
            if active {
                patched.expect(200)
            } else {
                patched.problem(409, "STATE_FORBIDS")
            };
        }
    }
    app.assert_sound();
}

#[test]
fn who_works_by_a_share_does_the_work_of_the_group_and_leaves_the_rest() {
    let app = App::start();
    let (lead, outsider) = (app.client(Role::Lead), app.client(Role::Outsider));
    let release = path(&app.release().make());
    lead.post(&format!("{release}/shares"), &with_outsider(&app, "execute")).expect(201);
    outsider.patch(&release, "*", &json!({"title": "Payments 4.2.1"})).expect(200);
    let change = json!({"change_id": app.change("authorised")});
    outsider.post(&format!("{release}/changes"), &change).expect(201);
    let role = json!({"role": "informed", "name": "Eva", "email": "eva@example.org"});
    outsider.post(&format!("{release}/roles"), &role).expect(201);
    let reference = json!({"kind": "build", "source": "ci", "external_id": "7", "title": "Build 7"});
    outsider.post(&format!("{release}/references"), &reference).expect(201);
    let transitions = format!("{release}/transitions");
    outsider.post(&transitions, &json!({"action": "capture"})).problem(403, "NOT_A_GROUP_MEMBER");
    outsider.post(&transitions, &json!({"action": "advance", "from_stage": "planning"})).expect(201);
    // Authorization is the requester's.
    outsider.post(&transitions, &json!({"action": "advance", "from_stage": "authorization"})).problem(403, "FORBIDDEN");
    for (action, body) in [
        ("delegate", json!({"user_id": app.user_id(Role::Lead)})),
        ("suspend", json!({"justification_id": app.justification("suspend"), "note": "Wait"})),
        ("cancel", json!({"justification_id": app.justification("cancel"), "closure_notes": "No"})),
    ] {
        let mut body = body;
        body["action"] = json!(action);
        outsider.post(&transitions, &body).problem(403, "FORBIDDEN");
    }
    // Nor is it handed on.
    for level in ["read", "execute"] {
        let share = json!({"group_id": app.group("Operators"), "level": level});
        outsider.post(&format!("{release}/shares"), &share).problem(403, "FORBIDDEN");
    }
    // Whoever reads everything works only where they are let.
    let viewer = app.client(Role::Viewer);
    viewer.patch(&release, "*", &json!({"title": "Mine"})).problem(403, "FORBIDDEN");
    let share = json!({"user_id": app.user_id(Role::Viewer), "level": "execute"});
    lead.post(&format!("{release}/shares"), &share).expect(201);
    viewer.patch(&release, "*", &json!({"title": "Seen by the viewer"})).expect(200);
    app.assert_sound();
}

#[test]
fn a_share_gives_no_more_than_who_shares_holds() {
    let app = App::start();
    let (lead, requester) = (app.client(Role::Lead), app.client(Role::Requester));
    let by = json!({"user_id": app.user_id(Role::Requester)});
    let release = path(&app.release().with("requester", by).make());
    let shares = format!("{release}/shares");
    requester.post(&shares, &with_outsider(&app, "execute")).problem(403, "FORBIDDEN");
    let share = requester.post(&shares, &with_outsider(&app, "read")).expect(201).id();
    let item = format!("{shares}/{share}");
    requester.patch(&item, "*", &json!({"level": "execute"})).problem(403, "FORBIDDEN");
    let raised = lead.patch(&item, "*", &json!({"level": "execute"})).expect(200);
    assert_eq!((&raised.body["level"], &raised.body["row_version"]), (&json!("execute"), &json!(2)));
    app.client(Role::Outsider).patch(&release, "*", &json!({"title": "Worked on"})).expect(200);
    requester.patch(&item, "*", &json!({"level": "read"})).problem(403, "FORBIDDEN");
    requester.delete(&item, "*").problem(403, "FORBIDDEN");
    assert_eq!(lead.patch(&item, "*", &json!({"level": "execute"})).expect(200).body["row_version"], 2);
    lead.patch(&item, "*", &json!({"level": "read"})).expect(200);
    app.client(Role::Outsider).patch(&release, "*", &json!({"title": "No more"})).problem(403, "FORBIDDEN");
    requester.delete(&item, "*").expect(204);
    let history = lead.get(&format!("{release}/history")).expect(200);
    let told: Vec<&str> =
        history.body["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "release.remove_share",
            "release.update_share",
            "release.update",
            "release.update_share",
            "release.add_share",
            "release.create"
        ]
    );
}

#[test]
fn a_bad_share_is_refused_and_names_what_is_wrong() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let shares = format!("{}/shares", path(&app.release().make()));
    let idle = admin.post("/groups", &json!({"name": "Idle", "active": false})).expect(201).id();
    let gone = json!({"username": "gone", "name": "Gone", "email": "gone@example.org", "active": false});
    let gone = admin.post("/users", &gone).expect(201).id();
    let (lead_id, group) = (app.user_id(Role::Lead), app.group("Operators"));
    for (body, faults) in [
        (json!({"level": "read"}), vec![("/user_id", "RECIPIENT_REQUIRED")]),
        (json!({"level": "read", "user_id": lead_id}), vec![("/user_id", "SHARED_WITH_ONESELF")]),
        (json!({"level": "read", "user_id": gone}), vec![("/user_id", "USER_DISABLED")]),
        (json!({"level": "read", "user_id": AN_ID}), vec![("/user_id", "UNKNOWN_REFERENCE")]),
        (json!({"level": "read", "group_id": idle}), vec![("/group_id", "GROUP_NOT_ACTIVE")]),
        (json!({"level": "read", "group_id": AN_ID}), vec![("/group_id", "UNKNOWN_REFERENCE")]),
        (
            json!({"level": "read", "group_id": group, "user_id": gone}),
            vec![("/group_id", "NOT_APPLICABLE"), ("/user_id", "USER_DISABLED")],
        ),
        (json!({"level": "own", "group_id": group}), vec![("/level", "NOT_ALLOWED")]),
        (json!({"group_id": group}), vec![("/level", "REQUIRED")]),
    ] {
        lead.post(&shares, &body).problem(422, "INVALID_VALUES").faults(&faults);
    }
    for (body, pointer, code) in [
        (json!({"level": 7, "group_id": group}), "/level", "WRONG_TYPE"),
        (json!({"level": "read", "group_id": group, "shared_by": lead_id}), "/shared_by", "READ_ONLY_FIELD"),
        (json!({"level": "read", "group_id": group, "until": NOW}), "/until", "UNKNOWN_FIELD"),
    ] {
        lead.post(&shares, &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
    let share = lead.post(&shares, &with_outsider(&app, "read")).expect(201);
    lead.post(&shares, &with_outsider(&app, "execute")).problem(409, "ALREADY_EXISTS");
    let item = format!("{shares}/{}", share.id());
    lead.patch(&item, "*", &json!({"user_id": lead_id}))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("/user_id", "READ_ONLY_FIELD")]);
    lead.patch(&item, "\"9\"", &json!({"level": "execute"})).problem(412, "PRECONDITION_FAILED");
    Answer::of(lead.request("PATCH", &item).json(&json!({"level": "execute"}))).problem(428, "PRECONDITION_REQUIRED");
    lead.patch(&item, "*", &json!({"level": "own"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/level", "NOT_ALLOWED")]);
    lead.get(&format!("{}/shares/{}", path(&app.release().make()), share.id())).problem(404, "NOT_FOUND");
    let tried = json!({"level": "read", "group_id": group});
    lead.post(&format!("{shares}?dry_run=true"), &tried).expect(200);
    app.client(Role::Operator).get(shares.trim_end_matches("/shares")).problem(404, "NOT_FOUND");
    let first = lead.post_once(&shares, "s-1", &tried).expect(201);
    assert_eq!(lead.post_once(&shares, "s-1", &tried).expect(201).text, first.text);
    assert_eq!(lead.get(&shares).expect(200).body["data"].as_array().unwrap().len(), 2);
    app.assert_sound();
}

#[test]
fn a_release_is_shared_in_every_status() {
    let app = App::start();
    let (lead, outsider) = (app.client(Role::Lead), app.client(Role::Outsider));
    for status in ["open", "reopened", "suspended", "cancelled", "closed"] {
        let release = path(&app.release().status(status).make());
        let share = lead.post(&format!("{release}/shares"), &with_outsider(&app, "read")).expect(201).id();
        outsider.get(&release).expect(200);
        let item = format!("{release}/shares/{share}");
        lead.patch(&item, "*", &json!({"level": "execute"})).expect(200);
        lead.delete(&item, "*").expect(204);
        outsider.get(&release).problem(404, "NOT_FOUND");
    }
}

/// Takes a share away while a write of its holder waits for the same release; answers what the holder is told.
fn taken_away_meanwhile(app: &Arc<App>, release: &Value, method: &'static str, part: &str, body: Value) -> Answer {
    let share = app.client(Role::Lead).post(&format!("{}/shares", path(release)), &with_outsider(app, "execute"));
    let share = share.expect(201).id().parse().unwrap();
    // Logged in before: a login would wait as well.
    let holder = app.client(Role::Outsider);
    let reference = ReleaseRef::Id(release["id"].as_str().unwrap().parse().unwrap());
    let ((locked, is_locked), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel::<()>());
    let (locked, may_go_on) = (Mutex::new(locked), Mutex::new(may_go_on));
    let env = Arc::clone(&app.env);
    let taking = std::thread::spawn(move || {
        let mut request = console_request(console());
        request.if_match = IfMatch::Any;
        env.write_blocking(request, move |context| {
            releases::visible_locked(context, reference)?;
            let _ = locked.lock().unwrap().send(());
            let _ = may_go_on.lock().unwrap().recv();
            shares::remove(context, reference, share)
        })
        .unwrap();
    });
    is_locked.recv().unwrap();
    let url = format!("{}{part}", path(release));
    let writing =
        std::thread::spawn(move || Answer::of(holder.request(method, &url).header("If-Match", "*").json(&body)));
    if on_postgres() {
        let mut connection = app.database.open().connect().unwrap();
        let waiting = "SELECT count(*)::text AS line FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the write of the holder waits", || lines(&mut connection, waiting) != ["0"]);
    }
    go_on.send(()).unwrap();
    taking.join().unwrap();
    writing.join().unwrap()
}

#[test]
fn a_write_that_waits_while_its_share_is_taken_away_is_refused() {
    let app = Arc::new(App::start_with(|config| config.workers = 2));
    let manager = app.client(Role::Manager);
    for (method, part, body) in [
        ("POST", "/records", json!({"kind": "note", "body": "Too late"})),
        ("POST", "/comments", json!({"body": "Too late"})),
        ("PATCH", "", json!({"title": "Too late"})),
        ("POST", "/transitions", json!({"action": "advance", "from_stage": "planning"})),
    ] {
        let release = app.release().make();
        let answer = taken_away_meanwhile(&app, &release, method, part, body);
        assert!([403, 404].contains(&answer.status), "{method} {part}: {}", answer.text);
        let history = manager.get(&format!("{}/history", path(&release))).expect(200);
        assert_eq!(history.body["data"][0]["action"], "release.remove_share", "{method} {part}");
    }
    app.assert_sound();
}

#[test]
fn nothing_that_a_holder_writes_comes_after_the_share_was_taken_away() {
    let app = App::start_with(|config| config.workers = 2);
    let lead = app.client(Role::Lead);
    let release = path(&app.release().make());
    let share = lead.post(&format!("{release}/shares"), &with_outsider(&app, "execute")).expect(201).id();
    let records = format!("{release}/records");
    let (written, first_written) = mpsc::channel();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (outsider, records, written) = (app.client(Role::Outsider), records.clone(), written.clone());
            std::thread::spawn(move || {
                for index in 0..500 {
                    let body = json!({"kind": "note", "body": format!("{index}")});
                    let answer = outsider.post(&records, &body);
                    let _ = written.send(());
                    if answer.status != 201 {
                        assert!([403, 404].contains(&answer.status), "{}", answer.text);
                        return;
                    }
                }
                panic!("the share was never taken away");
            })
        })
        .collect();
    for _ in 0..8 {
        first_written.recv().unwrap();
    }
    lead.delete(&format!("{release}/shares/{share}"), "*").expect(204);
    for writer in writers {
        writer.join().unwrap();
    }
    let history = lead.get(&format!("{release}/history?limit=1")).expect(200);
    assert_eq!(history.body["data"][0]["action"], "release.remove_share");
    assert_eq!(lead.get(&format!("{release}/history/verify")).expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn whoever_may_work_on_the_release_uploads_moves_activities_and_answers_checklists() {
    let app = App::start();
    let operators = app.group("Operators");
    // The operators are responsible for the planning of minor releases here.
    let (team, group) =
        ("{\"kind\":\"executor_group\"}", format!("{{\"kind\":\"group\",\"group_id\":\"{operators}\"}}"));
    let planning = "\"kind\":\"planning\",\"responsible\":[";
    app.database.execute(&format!(
        "UPDATE workflows SET definition = replace(definition, '{planning}{team}', '{planning}{group}') WHERE key = 'minor'"
    ));
    let (lead, operator, outsider) = (app.client(Role::Lead), app.client(Role::Operator), app.client(Role::Outsider));
    let release = path(&app.release().with("model_id", app.model("Minor")).make());
    let shares = format!("{release}/shares");
    let share = lead.post(&shares, &with_outsider(&app, "read")).expect(201).id();
    let activity = lead.post(&format!("{release}/activities"), &json!({"phase": "planning", "title": "Plan"}));
    let activity = format!("{release}/activities/{}", activity.expect(201).id());
    let questions = json!([{"key": "ready", "text": "Ready?", "kind": "confirm"}]);
    let list = json!({"title": "Before", "stage": "planning", "questions": questions});
    let list = lead.post(&format!("{release}/checklists"), &list).expect(201).id();
    let answer = format!("{release}/checklists/{list}/answers/ready");
    let work = |client: &Client| {
        [
            client.upload(&format!("{release}/documents"), &[("class", "general")], "a.txt", b"x"),
            client.patch(&activity, "*", &json!({"title": "Plan it"})),
            client.post(&format!("{activity}/move"), &json!({"status": "in_progress"})),
            client.put(&answer, &json!({"value": true})),
        ]
    };
    for refused in work(&outsider) {
        refused.problem(403, "FORBIDDEN");
    }
    let done = |answers: [Answer; 4]| assert_eq!(answers.map(|answer| answer.status), [201, 200, 200, 200]);
    done(work(&operator));
    lead.patch(&format!("{shares}/{share}"), "*", &json!({"level": "execute"})).expect(200);
    done(work(&outsider));
    app.assert_sound();
}

#[test]
fn an_upload_that_was_taken_is_answered_again_when_the_right_is_gone() {
    let app = App::start();
    let (lead, outsider) = (app.client(Role::Lead), app.client(Role::Outsider));
    let release = path(&app.release().make());
    let share = lead.post(&format!("{release}/shares"), &with_outsider(&app, "execute")).expect(201).id();
    let share = format!("{release}/shares/{share}");
    let send = |key: &str, content: &[u8]| {
        let (content_type, body) = form(&[("class", "general")], Some(("a.txt", "text/plain", content)));
        let request = outsider.request("POST", &format!("{release}/documents")).header("content-type", content_type);
        Answer::of(request.header("idempotency-key", key).body(body))
    };
    let first = send("one", b"x").expect(201);
    lead.patch(&share, "*", &json!({"level": "read"})).expect(200);
    let again = send("one", b"x").expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    send("one", b"other").problem(422, "IDEMPOTENCY_KEY_REUSED");
    send("two", b"x").problem(403, "FORBIDDEN");
    lead.delete(&share, "*").expect(204);
    send("one", b"x").problem(404, "NOT_FOUND");
    app.assert_sound();
}
