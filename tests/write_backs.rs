//! What closing a release does to configuration items, what the tools that own them are told, and taking it back.

use serde_json::{Value, json};

use crate::support::*;

/// A release that stands at closure, with these configuration items.
fn at_closure(app: &App, items: &Value) -> Value {
    let release = app.release().with("configuration_items", items.clone()).at("closure").make();
    record_outcomes(&app.client(Role::Manager), &release);
    release
}

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn close() -> Value {
    json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}})
}

fn act(app: &App, release: &Value, body: &Value) -> Answer {
    app.client(Role::Manager).post(&format!("{}/transitions", path(release)), body)
}

fn item(app: &App, id: &str) -> Value {
    app.client(Role::Admin).get(&format!("/configuration-items/{id}")).expect(200).body
}

/// Version, status and environment of an item.
fn state(app: &App, id: &str) -> [Value; 3] {
    let item = item(app, id);
    [item["version"].clone(), item["status"].clone(), item["environment"].clone()]
}

fn links(app: &App, release: &Value) -> Vec<Value> {
    let page = app.client(Role::Admin).get(&format!("{}/configuration-items", path(release))).expect(200);
    page.body["data"].as_array().unwrap().clone()
}

fn link_path(release: &Value, link: &Value) -> String {
    format!("{}/configuration-items/{}", path(release), link["id"].as_str().unwrap())
}

fn told(app: &App, query: &str) -> Vec<Value> {
    let page = app.client(Role::Integration).get(&format!("/write-backs?{query}")).expect(200);
    page.body["data"].as_array().unwrap().clone()
}

fn reopen(app: &App) -> Value {
    json!({"action": "reopen", "justification_id": app.justification("reopen")})
}

/// Somebody else changes the item.
fn change(app: &App, id: &str, place: &str) {
    let integration = app.client(Role::Integration);
    integration.patch(&format!("/configuration-items/{id}"), "*", &json!({"location": place})).expect(200);
}

const BEFORE: [&str; 3] = ["1.0.0", "in_production", "test"];

#[test]
fn closing_applies_what_is_pending_and_leaves_the_rest_alone() {
    let app = App::start();
    let items: Vec<String> = (0..4).map(|_| app.item()).collect();
    let planned = json!([
        {"configuration_item_id": items[0], "intended_version": "2.0.0", "intended_status": "in_production",
            "intended_environment": "acceptance"},
        {"configuration_item_id": items[1]},
        {"configuration_item_id": items[2], "intended_version": "2.0.0"},
        {"configuration_item_id": items[3], "intended_version": "2.0.0"},
    ]);
    let release = at_closure(&app, &planned);
    let (lead, linked) = (app.client(Role::Lead), links(&app, &release));
    for (link, outcome) in [(2, "failed"), (3, "skipped")] {
        let body = json!({"outcome": outcome, "outcome_note": "Out of reach"});
        lead.patch(&link_path(&release, &linked[link]), "*", &body).expect(200);
    }
    let tally = |count: usize, which: &[usize]| {
        let links: Vec<&Value> = which.iter().map(|index| &linked[*index]["id"]).collect();
        let items: Vec<&String> = which.iter().map(|index| &items[*index]).collect();
        json!({"count": count, "link_ids": links, "configuration_item_ids": items})
    };
    let expected = json!({"applied": tally(2, &[0, 1]), "failed": tally(1, &[2]), "skipped": tally(1, &[3])});
    let allowed = lead.get(&format!("{}/allowed-transitions", path(&release))).expect(200).body;
    assert_eq!(allowed["write_back"], expected);
    let dry = format!("{}/transitions?dry_run=true", path(&release));
    let tried = app.client(Role::Manager).post(&dry, &close()).expect(200).body;
    assert_eq!(tried["write_back"], expected);
    assert_eq!(state(&app, &items[0]), BEFORE);
    let closed = act(&app, &release, &close()).expect(201).body;
    assert_eq!(closed["write_back"], expected);
    assert_eq!(state(&app, &items[0]), ["2.0.0", "in_production", "acceptance"]);
    assert_eq!(state(&app, &items[1]), ["1.0.0", "validating", "production"]);
    assert_eq!(state(&app, &items[2]), BEFORE);
    assert_eq!(state(&app, &items[3]), BEFORE);
    let outcomes: Vec<Value> = links(&app, &release).iter().map(|link| link["outcome"].clone()).collect();
    assert_eq!(outcomes, ["applied", "applied", "failed", "skipped"]);
    assert!(links(&app, &release).iter().all(|link| link["changed_since_linked"] == false));
    let told = told(&app, "state=pending");
    assert_eq!(told.len(), 2);
    let first = told.iter().find(|told| told["configuration_item_id"] == items[0].as_str()).unwrap();
    assert_eq!((&first["kind"], &first["release_key"]), (&json!("apply"), &release["key"]));
    let state = |version: &str, status: &str, environment: &str| json!({"version": version, "status": status, "environment": environment, "serial": null, "location": null});
    assert_eq!(first["before"], state("1.0.0", "in_production", "test"));
    assert_eq!(first["after"], state("2.0.0", "in_production", "acceptance"));
    let history = app.client(Role::Admin).get(&format!("{}/history", path(&release))).expect(200).body;
    let changes = history["data"][0]["changes"].as_array().unwrap();
    let applied = changes.iter().find(|change| change["field"] == "/write_back/applied").unwrap();
    assert_eq!(applied["after"], expected["applied"]["link_ids"]);
    app.assert_sound();
}

#[test]
fn an_item_that_somebody_else_changed_is_not_overwritten_until_the_closer_takes_notice() {
    let app = App::start();
    let item = app.item();
    let release = at_closure(&app, &json!([{"configuration_item_id": item, "intended_version": "2.0.0"}]));
    change(&app, &item, "Porto");
    let refused = act(&app, &release, &close()).problem(422, "GATES_NOT_MET");
    let linked = &links(&app, &release)[0];
    assert_eq!(refused.blockers(), ["CI_CHANGED_SINCE_LINKED"]);
    assert_eq!(refused.body["blockers"][0]["refs"], json!([linked["id"]]));
    let link = link_path(&release, linked);
    let lead = app.client(Role::Lead);
    lead.patch(&link, "*", &json!({"outcome": "skipped", "outcome_note": "Not ours any more"})).expect(200);
    act_dry(&app, &release).expect(200);
    lead.patch(&link, "*", &json!({"outcome": "pending"})).expect(200);
    act_dry(&app, &release).problem(422, "GATES_NOT_MET");
    lead.patch(&link, "*", &json!({"seen_row_version": linked["current_row_version"]})).expect(200);
    act(&app, &release, &close()).expect(201);
    assert_eq!(state(&app, &item)[0], "2.0.0");
    assert_eq!(self::item(&app, &item)["location"], "Porto");
}

fn act_dry(app: &App, release: &Value) -> Answer {
    app.client(Role::Manager).post(&format!("{}/transitions?dry_run=true", path(release)), &close())
}

#[test]
fn a_workflow_without_the_gate_overwrites_nothing_either() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let stage =
        |key: &str, kind: &str| json!({"key": key, "kind": kind, "responsible": [{"kind": "requester"}], "gates": []});
    let stages = json!([stage("rollout", "deployment"), stage("end", "closure")]);
    manager
        .post("/workflows", &json!({"key": "bare", "name": "Bare", "return_stage": "rollout", "stages": stages}))
        .expect(201);
    let model =
        json!({"name": "Bare", "status": "active", "workflow": "bare", "executor_group_id": app.group("Release team")});
    let portfolio = app.named("portfolios", "General");
    let model = manager.post(&format!("/portfolios/{portfolio}/models"), &model).expect(201).id();
    let item = app.item();
    let items = json!([{"configuration_item_id": item}]);
    let release = app
        .release()
        .with("model_id", model)
        .with("changes", json!([]))
        .with("configuration_items", items)
        .at("end")
        .make();
    change(&app, &item, "Porto");
    let mut body = solved(&app);
    body["action"] = json!("close");
    assert_eq!(act(&app, &release, &body).problem(422, "GATES_NOT_MET").blockers(), ["CI_CHANGED_SINCE_LINKED"]);
}

#[test]
fn cancelling_and_closing_as_unsolved_skip_what_is_pending() {
    let app = App::start();
    let (first, second) = (app.item(), app.item());
    let planned = app.release().with("configuration_items", json!([{"configuration_item_id": first}])).make();
    let notes = json!({"justification_id": app.justification("cancel"), "closure_notes": "No more"});
    let with = |action: &str, more: Value| {
        let mut body = notes.clone();
        body["action"] = json!(action);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let cancelled = act(&app, &planned, &with("cancel", json!({}))).expect(201).body;
    assert_eq!(
        (&cancelled["write_back"]["skipped"]["count"], &cancelled["write_back"]["applied"]["count"]),
        (&json!(1), &json!(0))
    );
    let deployed = at_closure(&app, &json!([{"configuration_item_id": second}]));
    act(&app, &deployed, &with("close", json!({"resolution": "unsolved"}))).expect(201);
    for (release, item) in [(&planned, &first), (&deployed, &second)] {
        let link = &links(&app, release)[0];
        assert_eq!(link["outcome"], "skipped");
        assert!(link["outcome_note"].as_str().unwrap().starts_with("The release was"));
        assert_eq!(state(&app, item), BEFORE);
    }
    assert_eq!(told(&app, ""), Vec::<Value>::new());
    app.assert_sound();
}

#[test]
fn reopening_leaves_what_was_applied_and_rework_is_a_new_link() {
    let app = App::start();
    let item = app.item();
    let mut release = at_closure(&app, &json!([{"configuration_item_id": item, "intended_version": "2.0.0"}]));
    act(&app, &release, &close()).expect(201);
    let first = links(&app, &release)[0].clone();
    let reopened = act(&app, &release, &reopen(&app)).expect(201).body;
    assert_eq!(reopened["write_back"]["applied"]["link_ids"], json!([first["id"]]));
    let lead = app.client(Role::Lead);
    let settled = link_path(&release, &first);
    lead.patch(&settled, "*", &json!({"outcome": "pending"})).problem(409, "ALREADY_APPLIED");
    lead.delete(&settled, "*").problem(409, "ALREADY_APPLIED");
    let again = json!({"configuration_item_id": item, "intended_version": "2.0.1"});
    lead.post(&format!("{}/configuration-items", path(&release)), &again).expect(201);
    release = reopened["release"].clone();
    let manager = app.client(Role::Manager);
    carry(&app, &manager, &mut release, "closure");
    record_outcomes(&manager, &release);
    let closed = act(&app, &release, &close()).expect(201).body;
    assert_eq!(closed["write_back"]["applied"]["count"], 1);
    assert_eq!(state(&app, &item)[0], "2.0.1");
    // The whole release is taken back, the last change first.
    let note = json!({"note": "Card payments fail"});
    let done = lead.post(&format!("{}/revert", path(&release)), &note).expect(200).body;
    assert_eq!((&done["done"], &done["refused"]), (&json!(2), &json!(0)));
    assert_eq!(state(&app, &item), BEFORE);
    assert!(links(&app, &release).iter().all(|link| link["outcome"] == "reverted"));
    assert_eq!(told(&app, "state=pending")[0]["after"]["version"], "1.0.0");
    assert_eq!(told(&app, "state=pending").len(), 1);
    lead.post(&format!("{}/revert", path(&release)), &note).problem(409, "NOT_APPLIED");
    app.assert_sound();
}

#[test]
fn a_revert_brings_the_former_state_back_where_nobody_changed_the_item_since() {
    let app = App::start();
    let (kept, moved) = (app.item(), app.item());
    let planned = json!([
        {"configuration_item_id": kept, "intended_version": "2.0.0"},
        {"configuration_item_id": moved, "intended_version": "2.0.0"},
    ]);
    let release = at_closure(&app, &planned);
    let lead = app.client(Role::Lead);
    let note = json!({"note": "Card payments fail"});
    let (whole, linked) = (format!("{}/revert", path(&release)), links(&app, &release));
    lead.post(&whole, &note).problem(409, "STATE_FORBIDS");
    act(&app, &release, &close()).expect(201);
    change(&app, &moved, "Porto");
    let refused = lead.post(&whole, &note).problem(409, "CI_CHANGED_SINCE");
    assert_eq!(refused.body["errors"].as_array().unwrap().len(), 1);
    assert_eq!(state(&app, &kept)[0], "2.0.0", "all or nothing");
    let alone = |index: usize| format!("{}/revert", link_path(&release, &linked[index]));
    lead.post(&alone(1), &note).problem(409, "CI_CHANGED_SINCE");
    lead.post(&alone(0), &json!({})).problem(422, "INVALID_VALUES").faults(&[("/note", "REQUIRED")]);
    let tried = lead.post(&format!("{}?dry_run=true", alone(0)), &note).expect(200);
    assert_eq!((&tried.body["outcome"], &state(&app, &kept)[0]), (&json!("reverted"), &json!("2.0.0")));
    let each = json!({"note": "Card payments fail", "mode": "each"});
    let done = lead.post(&whole, &each).expect(200).body;
    let statuses: Vec<&Value> = done["results"].as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert!(statuses.contains(&&json!(200)) && statuses.contains(&&json!(409)), "{done}");
    assert_eq!(state(&app, &kept), BEFORE);
    assert_eq!(state(&app, &moved)[0], "2.0.0");
    lead.post(&alone(0), &note).problem(409, "NOT_APPLIED");
    let reverts = told(&app, "kind=revert");
    assert_eq!(reverts.len(), 1);
    assert_eq!((&reverts[0]["before"]["version"], &reverts[0]["after"]["version"]), (&json!("2.0.0"), &json!("1.0.0")));
    let history = app.client(Role::Admin).get(&format!("{}/history", path(&release))).expect(200).body;
    assert_eq!(history["data"][0]["action"], "release.revert_configuration_item");
    app.assert_sound();
}

#[test]
fn what_two_releases_did_to_an_item_is_taken_back_in_their_order() {
    let app = App::start();
    let item = app.item();
    let lead = app.client(Role::Lead);
    let releases: Vec<Value> = ["2.0.0", "3.0.0"]
        .into_iter()
        .map(|version| {
            let release = at_closure(&app, &json!([{"configuration_item_id": item, "intended_version": version}]));
            act(&app, &release, &close()).expect(201);
            release
        })
        .collect();
    let note = json!({"note": "Slow"});
    lead.post(&format!("{}/revert", path(&releases[0])), &note).problem(409, "CI_CHANGED_SINCE");
    lead.post(&format!("{}/revert", path(&releases[1])), &note).expect(200);
    assert_eq!(state(&app, &item)[0], "2.0.0");
    lead.post(&format!("{}/revert", path(&releases[0])), &note).expect(200);
    assert_eq!(state(&app, &item), BEFORE);
}

#[test]
fn who_may_not_reopen_a_release_takes_nothing_back() {
    let app = App::start();
    let operators = app.group("Operators");
    let (operator, manager) = (app.client(Role::Operator), app.client(Role::Manager));
    let mut release = app
        .release()
        .with("executor_group_id", operators)
        .with("configuration_items", json!([{"configuration_item_id": app.item()}]))
        .make();
    carry(&app, &manager, &mut release, "closure");
    record_outcomes(&manager, &release);
    act(&app, &release, &close()).expect(201);
    let note = json!({"note": "Slow"});
    operator.post(&format!("{}/revert", path(&release)), &note).problem(403, "FORBIDDEN");
    manager.post(&format!("{}/revert", path(&release)), &note).expect(200);
}

#[test]
fn the_tool_that_owns_an_item_answers_once_while_the_release_is_closed() {
    let app = App::start();
    let (first, second) = (app.item(), app.item());
    let release = at_closure(&app, &json!([{"configuration_item_id": first}, {"configuration_item_id": second}]));
    act(&app, &release, &close()).expect(201);
    let integration = app.client(Role::Integration);
    let id = |item: &str| told(&app, &format!("configuration_item={item}"))[0]["id"].as_str().unwrap().to_owned();
    let (confirm, refuse) =
        (format!("/write-backs/{}/confirm", id(&first)), format!("/write-backs/{}/refuse", id(&second)));
    integration.post(&confirm, &json!({})).problem(422, "INVALID_VALUES").faults(&[("/cmdb_revision", "REQUIRED")]);
    let confirmed = integration.post(&confirm, &json!({"cmdb_revision": "r8"})).expect(200).body;
    assert_eq!(
        (&confirmed["state"], &confirmed["cmdb_revision"], &confirmed["row_version"]),
        (&json!("confirmed"), &json!("r8"), &json!(2))
    );
    assert_eq!(confirmed["answered_by"], app.user_id(Role::Integration).to_string().as_str());
    integration.post(&confirm, &json!({"cmdb_revision": "r8"})).problem(409, "ALREADY_ANSWERED");
    integration.post(&confirm.replace("confirm", "refuse"), &json!({"note": "No"})).problem(409, "ALREADY_ANSWERED");
    act(&app, &release, &reopen(&app)).expect(201);
    integration.post(&refuse, &json!({"note": "Locked"})).problem(409, "STATE_FORBIDS");
    let history = app.client(Role::Admin).get(&format!("{}/history?limit=200", path(&release))).expect(200).body;
    let actions: Vec<&Value> = history["data"].as_array().unwrap().iter().map(|row| &row["action"]).collect();
    assert!(actions.contains(&&json!("release.confirm_write_back")));
    app.assert_sound();
}

#[test]
fn of_an_item_the_latest_write_back_alone_is_to_be_taken_over() {
    let app = App::start();
    let item = app.item();
    let releases: Vec<Value> = ["2.0.0", "3.0.0"]
        .into_iter()
        .map(|version| {
            let release = at_closure(&app, &json!([{"configuration_item_id": item, "intended_version": version}]));
            act(&app, &release, &close()).expect(201);
            release
        })
        .collect();
    let versions =
        |query: &str| -> Vec<Value> { told(&app, query).iter().map(|told| told["after"]["version"].clone()).collect() };
    assert_eq!((versions("state=pending"), versions("state=superseded")), (vec![json!("3.0.0")], vec![json!("2.0.0")]));
    let superseded = told(&app, "state=superseded").remove(0);
    assert_eq!((&superseded["row_version"], &superseded["answered_at"]), (&json!(2), &Value::Null));
    let note = json!({"note": "Slow"});
    let lead = app.client(Role::Lead);
    for release in releases.iter().rev() {
        lead.post(&format!("{}/revert", path(release)), &note).expect(200);
        assert_eq!(told(&app, "state=pending").len(), 1);
    }
    assert_eq!((versions("state=pending"), told(&app, "state=superseded").len()), (vec![json!("1.0.0")], 3));
    // What a tool took over before it was told better is a fact.
    let confirm = format!("/write-backs/{}/confirm", superseded["id"].as_str().unwrap());
    let integration = app.client(Role::Integration);
    let confirmed = integration.post(&confirm, &json!({"cmdb_revision": "r2"})).expect(200).body;
    assert_eq!((&confirmed["state"], &confirmed["row_version"]), (&json!("confirmed"), &json!(3)));
    assert_eq!(versions("state=pending"), ["1.0.0"]);
    app.assert_sound();
}

#[test]
fn write_backs_are_filtered_and_those_of_other_releases_do_not_exist() {
    let app = App::start();
    let (first, second) = (app.item(), app.item());
    let mine = at_closure(&app, &json!([{"configuration_item_id": first}]));
    act(&app, &mine, &close()).expect(201);
    let operators = app.group("Operators");
    let theirs = app
        .release()
        .with("executor_group_id", operators)
        .with("configuration_items", json!([{"configuration_item_id": second}]))
        .status("closed")
        .make();
    for (query, expected) in [
        (format!("release={}", mine["id"].as_str().unwrap()), vec![&first]),
        (format!("configuration_item={second}"), vec![&second]),
        ("source=cmdb".into(), vec![&first, &second]),
        ("source=other".into(), vec![]),
        ("state=confirmed".into(), vec![]),
        ("kind=apply&state=pending".into(), vec![&first, &second]),
        ("kind=revert".into(), vec![]),
    ] {
        let mut found: Vec<String> =
            told(&app, &query).iter().map(|told| told["configuration_item_id"].as_str().unwrap().to_owned()).collect();
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(found, expected, "{query}");
    }
    let operator = app.client(Role::Operator);
    let seen = operator.get("/write-backs?count=exact").expect(200).body;
    assert_eq!((&seen["page"]["total"], &seen["data"][0]["release_id"]), (&json!(1), &theirs["id"]));
    let hidden = told(&app, &format!("configuration_item={first}"))[0]["id"].as_str().unwrap().to_owned();
    operator.get(&format!("/write-backs/{hidden}")).problem(404, "NOT_FOUND");
    operator.get("/write-backs?visible_to=u:x").problem(400, "MALFORMED_REQUEST");
    assert_eq!(app.client(Role::Outsider).get("/write-backs").expect(200).body["data"], json!([]));
}

#[test]
fn an_item_that_releases_changed_is_not_deleted() {
    let app = App::start();
    let item = app.item();
    let release = at_closure(&app, &json!([{"configuration_item_id": item}]));
    let integration = app.client(Role::Integration);
    integration.delete(&format!("/configuration-items/{item}"), "*").problem(409, "IN_USE");
    act(&app, &release, &close()).expect(201);
    integration.delete(&format!("/configuration-items/{item}"), "*").problem(409, "IN_USE");
}

#[test]
fn closing_with_500_items_applies_every_one_of_them() {
    let app = App::start();
    let items: Vec<Value> =
        (0..500).map(|_| json!({"configuration_item_id": app.item(), "intended_version": "2.0.0"})).collect();
    let release = at_closure(&app, &json!(items));
    let closed = act(&app, &release, &close()).expect(201).body;
    assert_eq!(closed["write_back"]["applied"]["count"], 500);
    let count = app.client(Role::Integration).get("/write-backs?state=pending&count=exact").expect(200).body;
    assert_eq!(count["page"]["total"], 500);
    let done = app.client(Role::Lead).post(&format!("{}/revert", path(&release)), &json!({"note": "Slow"})).expect(200);
    assert_eq!(done.body["done"], 500);
    app.assert_sound();
}

#[test]
fn nobody_changes_an_item_between_the_judgement_and_the_closing() {
    let app = App::start();
    for _ in 0..6 {
        let id = app.item();
        let release = at_closure(&app, &json!([{"configuration_item_id": id, "intended_version": "2.0.0"}]));
        let (integration, item) = (app.client(Role::Integration), format!("/configuration-items/{id}"));
        let other =
            std::thread::spawn(move || integration.patch(&item, "*", &json!({"location": "Porto"})).expect(200));
        let closed = act(&app, &release, &close());
        other.join().unwrap();
        let told = told(&app, &format!("configuration_item={id}"));
        match closed.status {
            201 => assert_eq!(told[0]["before"]["location"], Value::Null, "overwritten unseen"),
            _ => assert_eq!((closed.blockers(), told.len()), (vec!["CI_CHANGED_SINCE_LINKED".to_owned()], 0)),
        }
    }
    app.assert_sound();
}
