//! Each action of the lifecycle: what it needs, what it does, and everything that can be in its way.

use serde_json::{Value, json};

use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn act(client: &Client, release: &Value, body: &Value) -> Answer {
    client.post(&format!("{}/transitions", path(release)), body)
}

fn advance(from: &str) -> Value {
    json!({"action": "advance", "from_stage": from})
}

/// The same body with other fields besides; null takes one away.
fn with(mut body: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(name);
        } else {
            body[name] = value.clone();
        }
    }
    body
}

fn on_behalf() -> Value {
    json!({"on_behalf_of": {"origin": "phone", "note": "Ana agreed"}})
}

/// A release that the requester asked for.
fn requested(app: &App) -> ReleaseBuilder<'_> {
    app.release().with("requester", json!({"user_id": app.user_id(Role::Requester)}))
}

/// A change with a window.
fn change_with_window(app: &App, status: &str, start: &str, end: &str) -> String {
    let id = app.change(status);
    let window = json!({"window": {"start": start, "end": end}});
    app.client(Role::Integration).patch(&format!("/changes/{id}"), "*", &window).expect(200);
    id
}

fn sorted(mut codes: Vec<String>) -> Vec<String> {
    codes.sort();
    codes
}

#[test]
fn planning_is_left_with_windows_and_a_change() {
    let app = App::start();
    let body = json!({"title": "Bare", "requester": {"name": "Ana", "email": "ana@example.org"}});
    let manager = app.client(Role::Manager);
    let release = manager.post("/releases", &body).expect(201).body;
    let lead = app.client(Role::Lead);
    let refused = act(&lead, &release, &advance("planning")).problem(422, "GATES_NOT_MET");
    let codes = ["DEPLOYMENT_WINDOW_MISSING", "NO_CHANGE_LINKED", "PLANNING_WINDOW_MISSING"];
    assert_eq!(sorted(refused.blockers()), codes);
    assert_eq!(refused.body["current_stage"], "planning");
    let no_change = refused.body["blockers"].as_array().unwrap().iter().find(|b| b["code"] == codes[1]);
    assert_eq!(no_change.unwrap()["gate"], "changes_linked");
    assert_eq!(no_change.unwrap()["pointer"], "/changes");
    // The minor workflow asks for no change.
    let minor = with(body, json!({"model_id": app.model("Minor")}));
    let minor = manager.post("/releases", &minor).expect(201).body;
    let refused = act(&lead, &minor, &advance("planning")).problem(422, "GATES_NOT_MET");
    assert_eq!(sorted(refused.blockers()), [codes[0], codes[2]]);
}

#[test]
fn a_deployment_that_is_past_blocks_all_but_emergencies() {
    let app = App::start();
    let release = app.release().make();
    let late = requested(&app).at("authorization").make();
    let emergency = app.release().with("type", "emergency").make();
    app.set_clock("2030-02-06T02:00:00Z");
    let lead = app.client(Role::Lead);
    let refused = act(&lead, &release, &advance("planning")).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["DEPLOYMENT_PAST"]);
    let requester = app.client(Role::Requester);
    let refused = act(&requester, &late, &advance("authorization")).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["DEPLOYMENT_PAST"]);
    act(&lead, &emergency, &advance("planning")).expect(201);
}

#[test]
fn authorization_lists_everything_that_is_in_the_way_at_once() {
    let app = App::start();
    let other = requested(&app).with("title", "First").make();
    let window = ("2030-03-01T00:00:00Z", "2030-03-02T00:00:00Z");
    let changes = [
        app.change("assessed"),
        app.change("assessed"),
        change_with_window(&app, "scheduled", window.0, window.1),
        app.change("completed"),
    ];
    let links: Vec<Value> = changes.iter().map(|id| json!({"change_id": id})).collect();
    let release = requested(&app)
        .with("changes", json!(links))
        .with("depends_on", json!([other["id"]]))
        .at("authorization")
        .make();
    let requester = app.client(Role::Requester);
    let refused = act(&requester, &release, &advance("authorization")).problem(422, "GATES_NOT_MET");
    let expected = ["CHANGE_NOT_AUTHORISED", "CHANGE_NOT_AUTHORISED", "DEPENDENCY_NOT_SOLVED", "OUTSIDE_CHANGE_WINDOW"];
    assert_eq!(sorted(refused.blockers()), expected);
    let refs: Vec<&Value> =
        refused.body["blockers"].as_array().unwrap().iter().map(|blocker| &blocker["refs"][0]).collect();
    for id in &changes[..3] {
        assert!(refs.contains(&&json!(id)), "{id} is not named");
    }
    assert!(refs.contains(&&other["id"]));
    // The same list is what allowed-transitions tells.
    let verdicts = requester.get(&format!("{}/allowed-transitions", path(&release))).expect(200);
    let verdict = &verdicts.body["data"][0];
    assert_eq!((&verdict["action"], &verdict["allowed"]), (&json!("advance"), &json!(false)));
    assert_eq!(verdict["blockers"], refused.body["blockers"]);
}

#[test]
fn every_authorised_status_and_a_window_that_fits_exactly_pass_authorization() {
    let app = App::start();
    let fits = ("2030-02-05T22:00:00Z", "2030-02-06T02:00:00Z");
    let mut links: Vec<Value> = ["authorised", "scheduled", "implementing", "completed"]
        .iter()
        .map(|status| json!({"change_id": app.change(status)}))
        .collect();
    links.push(json!({"change_id": change_with_window(&app, "authorised", fits.0, fits.1)}));
    let release = requested(&app).with("changes", json!(links)).at("authorization").make();
    act(&app.client(Role::Requester), &release, &advance("authorization")).expect(201);
}

#[test]
fn only_a_dependency_that_is_closed_as_solved_lets_a_release_through() {
    let app = App::start();
    let solved = app.release().status("closed").make();
    let reopened = app.release().status("closed").make();
    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
    transition(&app.client(Role::Lead), &reopened, &reopen);
    let cancelled = app.release().status("cancelled").make();
    let unsolved = app.release().at("deployment").make();
    let close = json!({"action": "close", "resolution": "unsolved", "closure_notes": "It failed",
        "justification_id": app.justification("cancel")});
    transition(&app.client(Role::Manager), &unsolved, &close);
    let ids = json!([solved["id"], reopened["id"], cancelled["id"], unsolved["id"]]);
    let release = requested(&app).with("depends_on", ids).at("authorization").make();
    let requester = app.client(Role::Requester);
    let refused = act(&requester, &release, &advance("authorization")).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["DEPENDENCY_NOT_SOLVED"; 3]);
    let only = json!({"depends_on": [solved["id"]]});
    app.client(Role::Lead).patch(&path(&release), "*", &only).expect(200);
    act(&requester, &release, &advance("authorization")).expect(201);
}

#[test]
fn acceptance_is_left_as_solved_with_all_its_fields_and_criteria() {
    let app = App::start();
    let criteria = json!([{"text": "Fast"}, {"text": "Right"}]);
    let release = requested(&app).with("acceptance_criteria", criteria).at("deployment").make();
    let lead = app.client(Role::Lead);
    // The resolution is taken at acceptance alone.
    let early = with(advance("deployment"), solved(&app));
    act(&lead, &release, &early).problem(422, "INVALID_VALUES").faults(&[
        ("/resolution", "NOT_APPLICABLE"),
        ("/release_date", "NOT_APPLICABLE"),
        ("/solution_category_id", "NOT_APPLICABLE"),
        ("/closure_notes", "NOT_APPLICABLE"),
    ]);
    transition(&lead, &release, &advance("deployment"));
    transition(&lead, &release, &advance("test"));
    let refused = act(&lead, &release, &advance("acceptance")).problem(422, "GATES_NOT_MET");
    let codes = ["CRITERION_NOT_CONFIRMED", "CRITERION_NOT_CONFIRMED", "REQUIRED", "REQUIRED", "REQUIRED", "REQUIRED"];
    assert_eq!(sorted(refused.blockers()), codes);
    let confirmed = json!([{"text": "Fast", "confirmed": true}, {"text": "Right", "confirmed": true}]);
    lead.patch(&path(&release), "*", &json!({"acceptance_criteria": confirmed})).expect(200);
    let full = with(advance("acceptance"), solved(&app));
    let wrong = with(full.clone(), json!({"resolution": "unsolved", "release_date": "2030-01-07T10:00:01Z"}));
    act(&lead, &release, &wrong)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/resolution", "RESOLUTION_NOT_SOLVED"), ("/release_date", "IN_THE_FUTURE")]);
    let nowhere = json!({"solution_category_id": uuid::Uuid::now_v7()});
    act(&lead, &release, &with(full.clone(), nowhere))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/solution_category_id", "UNKNOWN_REFERENCE")]);
    let accepted = transition(&lead, &release, &full);
    assert_eq!(accepted["stage"], "closure");
    for (name, value) in solved(&app).as_object().unwrap() {
        assert_eq!(&accepted[name], value, "{name}");
    }
    let closed_too = with(json!({"action": "close"}), solved(&app));
    act(&app.client(Role::Requester), &accepted, &closed_too).expect(422);
}

#[test]
fn a_workflow_without_acceptance_takes_the_resolution_at_close() {
    let app = App::start();
    let criteria = json!([{"text": "Right"}]);
    let release =
        requested(&app).with("model_id", app.model("Minor")).with("acceptance_criteria", criteria).at("closure").make();
    let requester = app.client(Role::Requester);
    let refused = act(&requester, &release, &json!({"action": "close"})).problem(422, "GATES_NOT_MET");
    let codes = ["CHANGE_OUTCOME_PENDING", "CRITERION_NOT_CONFIRMED", "REQUIRED", "REQUIRED", "REQUIRED", "REQUIRED"];
    assert_eq!(sorted(refused.blockers()), codes);
    record_outcomes(&app.client(Role::Lead), &release);
    let confirmed = json!({"acceptance_criteria": [{"text": "Right", "confirmed": true}]});
    requester.patch(&path(&release), "*", &confirmed).expect(200);
    let closed = transition(&requester, &release, &with(json!({"action": "close"}), solved(&app)));
    assert_eq!((&closed["status"], &closed["resolution"]), (&json!("closed"), &json!("solved")));
    assert_eq!(closed["closed_at"], NOW);
}

#[test]
fn closing_waits_for_every_outcome() {
    let app = App::start();
    let links = json!([{"change_id": app.change("authorised")}, {"change_id": app.change("scheduled")}]);
    let release = requested(&app).with("changes", links).at("closure").make();
    let requester = app.client(Role::Requester);
    let refused = act(&requester, &release, &json!({"action": "close"})).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["CHANGE_OUTCOME_PENDING"; 2]);
    record_outcomes(&app.client(Role::Lead), &release);
    act(&requester, &release, &json!({"action": "close"})).expect(201);
}

#[test]
fn a_release_goes_back_to_the_return_stage_or_to_the_earlier_one_that_is_named() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let back = |from: &str| json!({"action": "send_back", "from_stage": from, "note": "Not yet"});
    let release = app.release().at("test").make();
    assert_eq!(transition(&lead, &release, &back("test"))["stage"], "planning");
    let release = app.release().at("test").make();
    let named = with(back("test"), json!({"to_stage": "authorization"}));
    assert_eq!(transition(&lead, &release, &named)["stage"], "authorization");
    let release = app.release().at("test").make();
    for to in ["test", "closure", "nowhere"] {
        act(&lead, &release, &with(back("test"), json!({"to_stage": to})))
            .problem(422, "INVALID_VALUES")
            .faults(&[("/to_stage", "NOT_AN_EARLIER_STAGE")]);
    }
    act(&lead, &release, &with(back("test"), json!({"note": null})))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/note", "REASON_REQUIRED")]);
    let reason = json!({"note": null, "justification_id": app.justification("send_back")});
    assert_eq!(transition(&lead, &release, &with(back("test"), reason))["stage"], "planning");
    let other = json!({"justification_id": app.justification("reopen")});
    let release = app.release().at("test").make();
    act(&lead, &release, &with(back("test"), other))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "JUSTIFICATION_DOES_NOT_APPLY")]);
    // The return stage of an emergency is authorization.
    let emergency = app.release().with("model_id", app.model("Emergency")).at("acceptance").make();
    assert_eq!(transition(&lead, &emergency, &back("acceptance"))["stage"], "authorization");
}

#[test]
fn sending_back_from_acceptance_records_that_it_is_not_solved() {
    let app = App::start();
    let release = requested(&app).at("acceptance").make();
    let back = json!({"action": "send_back", "from_stage": "acceptance", "to_stage": "test", "note": "It is slow"});
    let sent = transition(&app.client(Role::Requester), &release, &back);
    assert_eq!((&sent["stage"], &sent["resolution"]), (&json!("test"), &json!("unsolved")));
    assert_eq!(sent["status"], "open");
}

#[test]
fn capture_is_for_members_who_do_not_have_it_yet() {
    let app = App::start();
    let release = app.release().make();
    let lead = app.client(Role::Lead);
    let captured = transition(&lead, &release, &json!({"action": "capture"}));
    assert_eq!(captured["assignee_id"], app.user_id(Role::Lead).to_string());
    act(&lead, &release, &json!({"action": "capture"})).problem(409, "ALREADY_ASSIGNED");
    act(&app.client(Role::Manager), &release, &json!({"action": "capture"})).problem(403, "NOT_A_GROUP_MEMBER");
    let taken = transition(&app.client(Role::Admin), &release, &json!({"action": "capture"}));
    assert_eq!(taken["assignee_id"], app.user_id(Role::Admin).to_string());
}

#[test]
fn delegate_hands_over_to_a_user_a_group_or_both() {
    let app = App::start();
    let release = app.release().make();
    let (lead, admin) = (app.client(Role::Lead), app.client(Role::Admin));
    let (lead_id, operator_id) = (app.user_id(Role::Lead).to_string(), app.user_id(Role::Operator).to_string());
    let (operators, requesters) = (app.group("Operators"), app.group("Requesters"));
    let delegate = |fields: Value| with(json!({"action": "delegate"}), fields);
    let refused = |fields: Value, place: &str, code: &str| {
        act(&lead, &release, &delegate(fields)).problem(422, "INVALID_VALUES").faults(&[(place, code)]);
    };
    refused(json!({}), "/user_id", "RECIPIENT_REQUIRED");
    refused(json!({"user_id": operator_id}), "/user_id", "NOT_A_GROUP_MEMBER");
    refused(json!({"user_id": uuid::Uuid::now_v7()}), "/user_id", "UNKNOWN_REFERENCE");
    refused(json!({"group_id": requesters}), "/group_id", "GROUP_CANNOT_EXECUTE");
    refused(json!({"group_id": uuid::Uuid::now_v7()}), "/group_id", "UNKNOWN_REFERENCE");
    refused(json!({"user_id": lead_id, "group_id": operators}), "/user_id", "NOT_A_GROUP_MEMBER");
    let mine = transition(&lead, &release, &delegate(json!({"user_id": lead_id})));
    assert_eq!(mine["assignee_id"], lead_id.as_str());
    act(&lead, &release, &delegate(json!({"user_id": lead_id}))).problem(409, "ALREADY_ASSIGNED");
    // A group alone clears the assignee; the lead does not see the release any more.
    let handed = act(&lead, &release, &delegate(json!({"group_id": operators, "note": "Yours"}))).expect(201);
    assert_eq!(handed.body["release"]["executor_group_id"], operators.as_str());
    assert!(handed.body["release"]["assignee_id"].is_null());
    lead.get(&path(&release)).problem(404, "NOT_FOUND");
    app.client(Role::Operator).get(&path(&release)).expect(200);
    let both = delegate(json!({"group_id": operators, "user_id": operator_id}));
    assert_eq!(transition(&admin, &release, &both)["assignee_id"], operator_id.as_str());
    // A group whose only member is disabled cannot execute, and a disabled user cannot be given anything.
    admin.patch(&format!("/users/{operator_id}"), "*", &json!({"active": false})).expect(200);
    let fresh = app.release().make();
    act(&admin, &fresh, &delegate(json!({"group_id": operators, "user_id": operator_id})))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/group_id", "GROUP_CANNOT_EXECUTE"), ("/user_id", "USER_DISABLED")]);
}

#[test]
fn suspending_needs_a_justification_that_is_meant_for_it_and_a_text() {
    let app = App::start();
    let release = app.release().make();
    let lead = app.client(Role::Lead);
    let good = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Vendor"});
    let bare = json!({"action": "suspend"});
    act(&lead, &release, &bare)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "REQUIRED"), ("/note", "REQUIRED")]);
    act(&lead, &release, &with(good.clone(), json!({"note": "  "})))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/note", "BLANK")]);
    let refused = |id: Value, code: &str| {
        act(&lead, &release, &with(good.clone(), json!({"justification_id": id})))
            .problem(422, "INVALID_VALUES")
            .faults(&[("/justification_id", code)]);
    };
    refused(json!(app.justification("cancel")), "JUSTIFICATION_DOES_NOT_APPLY");
    refused(json!(uuid::Uuid::now_v7()), "UNKNOWN_REFERENCE");
    let admin = app.client(Role::Admin);
    let retired = json!({"description": "Retired", "applies_to": ["suspend"], "active": false});
    let retired = admin.post("/justifications", &retired).expect(201).id();
    refused(json!(retired), "JUSTIFICATION_INACTIVE");
    let suspended = transition(&lead, &release, &good);
    assert_eq!((&suspended["status"], &suspended["suspended_at"]), (&json!("suspended"), &json!(NOW)));
    assert_eq!(suspended["sla"]["paused"], true);
}

#[test]
fn the_clock_stands_still_while_suspended_and_the_rest_is_left_afterwards() {
    let app = App::start();
    let release = app.release().make();
    // Every access token is younger than ten minutes.
    let lead = || app.client(Role::Lead);
    let suspend = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Vendor"});
    // Planned from 1 February 09:00 to 6 February 02:00: 4 days and 17 hours.
    assert_eq!(release["sla"]["term_minutes"], 6780);
    assert_eq!(release["sla"]["deadline"], "2030-02-06T02:00:00Z");
    app.set_clock("2030-02-03T02:00:00Z");
    let suspended = transition(&lead(), &release, &suspend);
    assert_eq!(suspended["sla"]["remaining_minutes"], 3 * 24 * 60);
    app.set_clock("2030-02-13T02:00:00Z");
    let waiting = lead().get(&path(&release)).expect(200).body;
    assert_eq!(waiting["sla"]["remaining_minutes"], 3 * 24 * 60);
    assert_eq!(waiting["sla"]["elapsed_minutes"], 6780 - 3 * 24 * 60);
    assert_eq!(waiting["sla"]["overdue"], false);
    let back = transition(&lead(), &release, &json!({"action": "reactivate", "note": "It came"}));
    assert_eq!((&back["status"], &back["sla"]["paused"]), (&json!("open"), &json!(false)));
    assert!(back["suspended_at"].is_null());
    assert_eq!(back["sla"]["deadline"], "2030-02-16T02:00:00Z");
    // Suspended when it was overdue, nothing is left, and never less than nothing.
    app.set_clock("2030-02-17T00:00:00Z");
    assert_eq!(lead().get(&path(&release)).expect(200).body["sla"]["overdue"], true);
    transition(&lead(), &release, &suspend);
    app.set_clock("2030-02-20T00:00:00Z");
    let back = transition(&lead(), &release, &json!({"action": "reactivate"}));
    assert_eq!(back["sla"]["deadline"], "2030-02-20T00:00:00Z");
    assert_eq!(back["sla"]["remaining_minutes"], 0);
    // Until the windows are patched.
    let window = json!({"deployment_window": {"start": "2030-03-05T22:00:00Z", "end": "2030-03-06T02:00:00Z"}});
    let patched = lead().patch(&path(&release), "*", &window).expect(200).body;
    assert_eq!(patched["sla"]["deadline"], "2030-03-06T02:00:00Z");
}

#[test]
fn reactivating_gives_back_the_status_and_the_stage_from_before() {
    let app = App::start();
    let release = app.release().status("reopened").at("authorization").make();
    let lead = app.client(Role::Lead);
    let suspend = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Vendor"});
    let suspended = transition(&lead, &release, &suspend);
    assert_eq!((&suspended["status"], &suspended["stage"]), (&json!("suspended"), &json!("authorization")));
    let back = transition(&lead, &release, &json!({"action": "reactivate"}));
    assert_eq!((&back["status"], &back["stage"]), (&json!("reopened"), &json!("authorization")));
}

#[test]
fn cancelling_from_deployment_on_needs_outcomes() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let cancel = json!({"action": "cancel", "justification_id": app.justification("cancel"), "closure_notes": "No"});
    for stage in ["planning", "authorization"] {
        let release = app.release().at(stage).make();
        let cancelled = transition(&lead, &release, &cancel);
        assert_eq!((&cancelled["status"], &cancelled["cancelled_at"]), (&json!("cancelled"), &json!(NOW)));
        assert_eq!(cancelled["closure_notes"], "No");
    }
    let release = app.release().at("deployment").make();
    // Gates and missing values are told at once.
    let bare = act(&lead, &release, &json!({"action": "cancel"}))
        .problem(422, "GATES_NOT_MET")
        .faults(&[("/justification_id", "REQUIRED"), ("/closure_notes", "REQUIRED")]);
    assert_eq!(sorted(bare.blockers()), ["CHANGE_OUTCOME_PENDING", "REQUIRED", "REQUIRED"]);
    let refused = act(&lead, &release, &cancel).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["CHANGE_OUTCOME_PENDING"]);
    record_outcomes(&lead, &release);
    act(&lead, &release, &json!({"action": "cancel"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "REQUIRED"), ("/closure_notes", "REQUIRED")]);
    transition(&lead, &release, &cancel);
}

#[test]
fn closing_as_unsolved_is_for_a_release_manager_with_a_reason() {
    let app = App::start();
    let release = requested(&app).at("test").make();
    let close = json!({"action": "close", "resolution": "unsolved", "closure_notes": "It failed",
        "justification_id": app.justification("cancel")});
    for role in [Role::Lead, Role::Requester] {
        act(&app.client(role), &release, &close).problem(403, "FORBIDDEN");
    }
    let manager = app.client(Role::Manager);
    act(&manager, &release, &with(close.clone(), json!({"justification_id": app.justification("suspend")})))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "JUSTIFICATION_DOES_NOT_APPLY")]);
    act(&manager, &release, &json!({"action": "close", "resolution": "unsolved"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "REQUIRED"), ("/closure_notes", "REQUIRED")]);
    let closed = transition(&manager, &release, &close);
    assert_eq!((&closed["status"], &closed["resolution"]), (&json!("closed"), &json!("unsolved")));
    assert_eq!((&closed["stage"], &closed["closure_notes"]), (&json!("test"), &json!("It failed")));
    assert!(closed["release_date"].is_null());
}

#[test]
fn reopening_clears_how_it_ended_and_asks_again() {
    let app = App::start();
    let release = app.release().status("closed").make();
    assert_eq!(release["resolution"], "solved");
    let lead = app.client(Role::Lead);
    act(&lead, &release, &json!({"action": "reopen"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "REQUIRED")]);
    let wrong = json!({"action": "reopen", "justification_id": app.justification("cancel")});
    act(&lead, &release, &wrong)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/justification_id", "JUSTIFICATION_DOES_NOT_APPLY")]);
    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
    let reopened = transition(&lead, &release, &reopen);
    assert_eq!((&reopened["status"], &reopened["stage"]), (&json!("reopened"), &json!("planning")));
    assert_eq!(reopened["reopen_count"], 1);
    for cleared in ["resolution", "release_date", "solution_category_id", "closure_notes", "closed_at"] {
        assert!(reopened[cleared].is_null(), "{cleared}");
    }
    let links = lead.get(&format!("{}/changes", path(&release))).expect(200);
    assert_eq!(links.body["data"][0]["outcome"], "pending");
    // How it ended stays in its history.
    let history = lead.get(&format!("{}/history", path(&release))).expect(200);
    assert!(history.text.contains("All shops pay again"));
}

#[test]
fn a_manager_says_on_whose_behalf_and_that_is_recorded() {
    let app = App::start();
    let release = requested(&app).at("authorization").make();
    let manager = app.client(Role::Manager);
    act(&manager, &release, &advance("authorization")).problem(403, "ON_BEHALF_OF_REQUIRED");
    let lead = app.client(Role::Lead);
    act(&lead, &release, &with(advance("authorization"), on_behalf())).problem(403, "FORBIDDEN");
    let requester = app.client(Role::Requester);
    act(&requester, &release, &with(advance("authorization"), on_behalf())).problem(403, "FORBIDDEN");
    let body = with(with(advance("authorization"), on_behalf()), json!({"note": "By phone"}));
    let applied = act(&manager, &release, &body).expect(201).body["transition"].clone();
    let listed = lead.get(&format!("{}/transitions", path(&release))).expect(200).body["data"][0].clone();
    assert_eq!(listed, applied);
    assert_eq!(listed["on_behalf_of"], on_behalf()["on_behalf_of"]);
    assert_eq!((&listed["action"], &listed["note"]), (&json!("advance"), &json!("By phone")));
    assert_eq!((&listed["from_stage"], &listed["to_stage"]), (&json!("authorization"), &json!("deployment")));
    assert_eq!(listed["actor_id"], app.user_id(Role::Manager).to_string());
    assert_eq!(listed["at"], NOW);
    // The origin is one of a list, and the note is not missing.
    let bad = with(advance("deployment"), json!({"on_behalf_of": {"origin": "pigeon"}}));
    let bad = act(&manager, &release, &bad);
    assert!([400, 422].contains(&bad.status), "{}", bad.text);
}

#[test]
fn after_authorization_every_part_of_the_plan_is_locked_and_named() {
    let app = App::start();
    let other = app.release().make();
    let release = app.release().at("deployment").make();
    let lead = app.client(Role::Lead);
    let patch = json!({
        "title": "Another title",
        "version": "9.9.9",
        "planning_window": {"start": "2030-02-01T10:00:00Z", "end": "2030-02-01T18:00:00Z"},
        "deployment_window": {"start": "2030-02-05T23:00:00Z", "end": "2030-02-06T03:00:00Z"},
        "depends_on": [other["id"]],
    });
    lead.patch(&path(&release), "*", &patch).problem(409, "LOCKED_AFTER_AUTHORIZATION").faults(&[
        ("/version", "LOCKED_AFTER_AUTHORIZATION"),
        ("/planning_window", "LOCKED_AFTER_AUTHORIZATION"),
        ("/deployment_window", "LOCKED_AFTER_AUTHORIZATION"),
        ("/depends_on", "LOCKED_AFTER_AUTHORIZATION"),
    ]);
    let link = json!({"change_id": app.change("authorised")});
    lead.post(&format!("{}/changes", path(&release)), &link).problem(409, "LOCKED_AFTER_AUTHORIZATION");
    let links = lead.get(&format!("{}/changes", path(&release))).expect(200);
    let linked = format!("{}/changes/{}", path(&release), links.body["data"][0]["id"].as_str().unwrap());
    lead.delete(&linked, "*").problem(409, "LOCKED_AFTER_AUTHORIZATION");
    // What is not the plan may change, and outcomes may always be recorded.
    lead.patch(&path(&release), "*", &json!({"title": "Another title"})).expect(200);
    lead.patch(&linked, "*", &json!({"outcome": "failed"})).expect(200);
    // Sent back, the plan is open again.
    let back = json!({"action": "send_back", "from_stage": "deployment", "note": "Replan"});
    transition(&lead, &release, &back);
    lead.patch(&path(&release), "*", &patch).expect(200);
    app.assert_sound();
}

#[test]
fn the_deployment_end_alone_moves_with_its_right_and_a_reason() {
    let app = App::start();
    let release = app.release().at("deployment").make();
    let lead = app.client(Role::Lead);
    let end = json!({"deployment_window": {"start": "2030-02-05T22:00:00Z", "end": "2030-02-06T04:00:00Z"}});
    lead.patch(&path(&release), "*", &end).problem(422, "INVALID_VALUES").faults(&[("/reason", "REQUIRED")]);
    let reasoned = with(end, json!({"reason": "The vendor needs longer"}));
    let moved = lead.patch(&path(&release), "*", &reasoned).expect(200).body;
    assert_eq!(moved["deployment_window"]["end"], "2030-02-06T04:00:00Z");
    assert_eq!(moved["sla"]["deadline"], "2030-02-06T04:00:00Z");
    let history = lead.get(&format!("{}/history", path(&release))).expect(200);
    assert!(history.text.contains("The vendor needs longer"));
    // Who may only execute does not move it.
    let operated = app.release().with("executor_group_id", app.group("Operators")).at("deployment").make();
    let operator = app.client(Role::Operator);
    operator.patch(&path(&operated), "*", &reasoned).problem(403, "FORBIDDEN");
    operator.patch(&path(&operated), "*", &json!({"title": "Mine"})).expect(200);
}

#[test]
fn a_stage_that_changed_under_the_caller_is_a_conflict() {
    let app = App::start();
    let release = app.release().make();
    let lead = app.client(Role::Lead);
    transition(&lead, &release, &advance("planning"));
    for action in ["advance", "send_back"] {
        let late = json!({"action": action, "from_stage": "planning", "note": "Late"});
        let refused = act(&lead, &release, &late).problem(409, "STAGE_CHANGED");
        assert_eq!(refused.body["current_stage"], "authorization");
        assert_eq!(refused.body["errors"][0]["pointer"], "/from_stage");
    }
    // Who never had the right is told that, whatever stage they name.
    let release = requested(&app).make();
    act(&app.client(Role::Requester), &release, &advance("test")).problem(403, "FORBIDDEN");
    act(&app.client(Role::Viewer), &release, &advance("closure")).problem(403, "FORBIDDEN");
}

#[test]
fn if_match_is_honoured_when_it_is_sent() {
    let app = App::start();
    let release = app.release().make();
    let lead = app.client(Role::Lead);
    let url = format!("{}/transitions", path(&release));
    let send = |version: &str| {
        Answer::of(lead.request("POST", &url).header("If-Match", version).json(&json!({"action": "capture"})))
    };
    let stale = send("\"999\"").problem(412, "PRECONDITION_FAILED");
    assert_eq!(stale.body["current_row_version"], release["row_version"]);
    let read = lead.get(&path(&release)).expect(200);
    let applied = send(read.header("etag")).expect(201);
    let version = applied.body["release"]["row_version"].as_i64().unwrap();
    assert_eq!(version, release["row_version"].as_i64().unwrap() + 1);
    assert!(applied.header("etag").starts_with(&format!("\"{version}.")), "{}", applied.header("etag"));
    send(read.header("etag")).problem(412, "PRECONDITION_FAILED");
    // Right comes first, state after.
    let viewer = app.client(Role::Viewer);
    let request = viewer.request("POST", &url).header("If-Match", "\"999\"");
    Answer::of(request.json(&json!({"action": "capture"}))).problem(403, "FORBIDDEN");
    send("*").problem(409, "ALREADY_ASSIGNED");
}

#[test]
fn fields_that_an_action_does_not_take_are_malformed() {
    let app = App::start();
    let release = app.release().make();
    let lead = app.client(Role::Lead);
    let cases = [
        (json!({"action": "capture", "note": "x"}), "/note"),
        (json!({"action": "capture", "bogus": 1}), "/bogus"),
        (with(advance("planning"), json!({"to_stage": "test"})), "/to_stage"),
        (json!({"action": "reactivate", "from_stage": "planning"}), "/from_stage"),
        (
            json!({"action": "delegate", "group_id": app.group("Operators"), "justification_id": app.group("Operators")}),
            "/justification_id",
        ),
    ];
    for (body, pointer) in cases {
        act(&lead, &release, &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, "UNKNOWN_FIELD")]);
    }
    act(&lead, &release, &json!({"action": 7})).problem(400, "MALFORMED_REQUEST");
    act(&lead, &release, &json!([])).problem(400, "MALFORMED_REQUEST");
    for action in ["create", "explode", ""] {
        act(&lead, &release, &json!({"action": action}))
            .problem(422, "INVALID_VALUES")
            .faults(&[("/action", "NOT_ALLOWED")]);
    }
    act(&lead, &release, &json!({})).problem(422, "INVALID_VALUES").faults(&[("/action", "REQUIRED")]);
    act(&lead, &release, &json!({"action": "advance"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/from_stage", "REQUIRED")]);
    let now = lead.get(&path(&release)).expect(200).body;
    assert_eq!(now["row_version"], release["row_version"]);
}

#[test]
fn a_dry_run_says_what_would_be_and_stores_nothing() {
    let app = App::start();
    let release = app.release().make();
    let lead = app.client(Role::Lead);
    let before = lead.get(&path(&release)).expect(200);
    let history = |client: &Client| client.get(&format!("{}/history", path(&release))).expect(200).text;
    let history_before = history(&lead);
    let url = format!("{}/transitions", path(&release));
    let dry = lead.post_once(&format!("{url}?dry_run=true"), "dry-1", &advance("planning")).expect(200);
    assert_eq!(dry.header("dry-run"), "true");
    assert_eq!(dry.header("location"), "");
    assert_eq!(dry.body["release"]["stage"], "authorization");
    assert!(dry.body["transition"]["id"].is_null(), "a made id is null: {}", dry.text);
    let after = lead.get(&path(&release)).expect(200);
    assert_eq!((after.text, history(&lead)), (before.text, history_before));
    assert!(lead.get(&url).expect(200).body["data"].as_array().unwrap().is_empty());
    // The key was ignored: it is free for another request.
    lead.post_once(&url, "dry-1", &json!({"action": "capture"})).expect(201);
    lead.post(&format!("{url}?dry_run=true"), &json!({"action": "capture"})).problem(409, "ALREADY_ASSIGNED");
    app.assert_sound();
}

#[test]
fn nobody_gets_past_the_table_the_gates_and_the_locks() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let cancelled = app.release().status("cancelled").make();
    for action in ["capture", "reactivate", "reopen", "close"] {
        let body = match action {
            "reopen" => json!({"action": action, "justification_id": app.justification("reopen")}),
            "close" => with(json!({"action": action}), on_behalf()),
            _ => json!({"action": action}),
        };
        let refused = act(&admin, &cancelled, &body).problem(409, "STATE_FORBIDS");
        assert_eq!(refused.body["current_status"], "cancelled");
        assert_eq!(refused.body["allowed_actions"], json!([]));
    }
    admin.patch(&path(&cancelled), "*", &json!({"title": "x"})).problem(409, "STATE_FORBIDS");
    let bare = app.release().with("changes", json!([])).make();
    act(&admin, &bare, &advance("planning")).problem(422, "GATES_NOT_MET");
    let locked = app.release().at("deployment").make();
    admin.patch(&path(&locked), "*", &json!({"version": "5"})).problem(409, "LOCKED_AFTER_AUTHORIZATION");
}
