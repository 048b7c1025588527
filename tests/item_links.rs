//! Configuration items of releases: what is going to be done to them, one at a time and many at once.

use serde_json::{Value, json};

use crate::support::*;

/// A release of the lead's team, with an authorised change.
fn release(app: &App) -> String {
    format!("/releases/{}", app.release().make()["id"].as_str().unwrap())
}

fn links(release: &str) -> String {
    format!("{release}/configuration-items")
}

fn actions(app: &App, release: &str) -> Vec<String> {
    let history = app.client(Role::Admin).get(&format!("{release}/history?limit=200")).expect(200);
    let rows = history.body["data"].as_array().unwrap().clone();
    rows.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

/// Somebody else changes the item.
fn change(app: &App, item: &str) {
    let integration = app.client(Role::Integration);
    let path = format!("/configuration-items/{item}");
    let place = integration.get(&path).expect(200).body["row_version"].to_string();
    integration.patch(&path, "*", &json!({"location": format!("Rack {place}")})).expect(200);
}

#[test]
fn a_configuration_item_is_linked_read_changed_and_unlinked_with_its_history() {
    let app = App::start();
    let (lead, release, item) = (app.client(Role::Lead), release(&app), app.item());
    let body = json!({
        "configuration_item_id": item, "description": "Both nodes", "intended_version": "2.0.0",
        "intended_status": "in_production", "intended_environment": "acceptance", "spare_model": "Switch 48p",
    });
    let made = lead.post(&links(&release), &body).expect(201);
    let path = format!("{}/{}", links(&release), made.id());
    assert_eq!(made.header("location"), format!("/api/v1{path}"));
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&made.body[name], value, "{name}");
    }
    let stands = json!({
        "source": "cmdb", "class": "service", "current_version": "1.0.0", "current_status": "in_production",
        "current_environment": "test", "current_row_version": 1, "seen_row_version": 1, "changed_since_linked": false,
        "outcome": "pending", "outcome_note": null, "change_id": null, "medium_id": null, "row_version": 1,
    });
    for (name, value) in stands.as_object().unwrap() {
        assert_eq!(&made.body[name], value, "{name}");
    }
    assert_eq!(lead.get(&path).expect(200).body, made.body);
    let patch = json!({"intended_version": null, "description": "One node"});
    lead.patch(&path, "\"7\"", &patch).problem(412, "PRECONDITION_FAILED");
    let changed = lead.patch(&path, made.header("etag"), &patch).expect(200);
    assert_eq!((&changed.body["intended_version"], &changed.body["row_version"]), (&Value::Null, &json!(2)));
    let same = lead.patch(&path, "*", &patch).expect(200);
    assert_eq!(same.body, changed.body);
    lead.delete(&path, "*").expect(204);
    lead.get(&path).problem(404, "NOT_FOUND");
    assert_eq!(
        actions(&app, &release)[..3],
        [
            "release.unlink_configuration_item",
            "release.update_configuration_item_link",
            "release.link_configuration_item"
        ]
    );
    app.assert_sound();
}

#[test]
fn of_an_item_a_release_has_one_pending_link() {
    let app = App::start();
    let (lead, release, item) = (app.client(Role::Lead), release(&app), app.item());
    let body = json!({"configuration_item_id": item});
    let first = lead.post(&links(&release), &body).expect(201).id();
    let twice = lead.post(&links(&release), &body).problem(409, "ALREADY_EXISTS");
    twice.faults(&[("/configuration_item_id", "ALREADY_EXISTS")]);
    let path = format!("{}/{first}", links(&release));
    let failed = json!({"outcome": "failed", "outcome_note": "Out of reach"});
    lead.patch(&path, "*", &failed).expect(200);
    lead.post(&links(&release), &body).expect(201);
    lead.patch(&path, "*", &json!({"outcome": "pending"})).problem(409, "ALREADY_EXISTS");
    lead.patch(&path, "*", &json!({"outcome": "skipped"})).expect(200);
    // A model is as long as that of a spare may be.
    let long = json!({"configuration_item_id": app.item(), "spare_model": "x".repeat(101)});
    lead.post(&links(&release), &long).problem(422, "INVALID_VALUES").faults(&[("/spare_model", "TOO_LONG")]);
}

#[test]
fn what_is_not_there_is_named() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let nowhere = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    let body = json!({"configuration_item_id": nowhere, "medium_id": nowhere});
    let refused = lead.post(&links(&release), &body).problem(422, "INVALID_VALUES");
    refused.faults(&[("/configuration_item_id", "UNKNOWN_REFERENCE"), ("/medium_id", "UNKNOWN_REFERENCE")]);
    let made = lead.post(&links(&release), &json!({"configuration_item_id": app.item()})).expect(201);
    let path = format!("{}/{}", links(&release), made.id());
    let patch = json!({"medium_id": nowhere, "outcome": "failed", "outcome_note": "  ", "seen_row_version": 9});
    lead.patch(&path, "*", &patch).problem(422, "INVALID_VALUES").faults(&[
        ("/medium_id", "UNKNOWN_REFERENCE"),
        ("/outcome_note", "REQUIRED"),
        ("/seen_row_version", "NOT_THE_PRESENT_VERSION"),
    ]);
    for said in ["applied", "reverted"] {
        let refused = lead.patch(&path, "*", &json!({"outcome": said})).problem(422, "INVALID_VALUES");
        refused.faults(&[("/outcome", "NOT_ALLOWED")]);
    }
    lead.patch(&path, "*", &json!({"source": "x"})).problem(400, "MALFORMED_REQUEST");
}

#[test]
fn a_change_of_the_item_by_somebody_else_is_shown_and_taken_notice_of() {
    let app = App::start();
    let (lead, release, item) = (app.client(Role::Lead), release(&app), app.item());
    let made = lead.post(&links(&release), &json!({"configuration_item_id": item})).expect(201);
    let path = format!("{}/{}", links(&release), made.id());
    change(&app, &item);
    let seen = lead.get(&path).expect(200).body;
    assert_eq!((&seen["changed_since_linked"], &seen["current_row_version"]), (&json!(true), &json!(2)));
    lead.patch(&path, "*", &json!({"seen_row_version": 1})).problem(422, "INVALID_VALUES");
    let noticed = lead.patch(&path, "*", &json!({"seen_row_version": 2})).expect(200).body;
    assert_eq!(noticed["changed_since_linked"], false);
}

#[test]
fn the_plan_is_locked_after_authorization_and_what_became_of_it_is_not() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let mut made = app.release().with("configuration_items", json!([{"configuration_item_id": app.item()}])).make();
    let release = format!("/releases/{}", made["id"].as_str().unwrap());
    let link = lead.get(&links(&release)).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("{}/{link}", links(&release));
    carry(&app, &manager, &mut made, "deployment");
    let patch = json!({"intended_version": "2.0.0", "description": "x", "outcome": "failed"});
    let locked = lead.patch(&path, "*", &patch).problem(409, "LOCKED_AFTER_AUTHORIZATION");
    locked
        .faults(&[("/description", "LOCKED_AFTER_AUTHORIZATION"), ("/intended_version", "LOCKED_AFTER_AUTHORIZATION")]);
    lead.delete(&path, "*").problem(409, "LOCKED_AFTER_AUTHORIZATION");
    let more = json!({"configuration_item_id": app.item()});
    lead.post(&links(&release), &more).problem(409, "LOCKED_AFTER_AUTHORIZATION");
    let batch = json!({"mode": "each", "items": [more]});
    lead.post(&format!("{}/batch", links(&release)), &batch).problem(409, "LOCKED_AFTER_AUTHORIZATION");
    lead.patch(&path, "*", &json!({"outcome": "failed", "outcome_note": "Out of reach"})).expect(200);
    let suspend = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Wait"});
    transition(&manager, &made, &suspend);
    lead.patch(&path, "*", &json!({"outcome": "pending"})).problem(409, "STATE_FORBIDS");
}

#[test]
fn other_items_than_before_are_another_release_to_approve() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let rule =
        json!({"kind": "all", "voters": [{"user_id": app.user_id(Role::Admin)}, {"user_id": app.user_id(Role::Lead)}]});
    let mut made = app.release().with("approval_rule", rule).make();
    carry(&app, &manager, &mut made, "authorization");
    let release = format!("/releases/{}", made["id"].as_str().unwrap());
    let vote = || lead.post(&format!("{release}/approvals/votes"), &json!({"decision": "approve"})).expect(201);
    let round = || lead.get(&format!("{release}/approvals")).expect(200).body["round"].clone();
    vote();
    let first = round();
    let path = format!(
        "{}/{}",
        links(&release),
        lead.post(&links(&release), &json!({"configuration_item_id": app.item()})).expect(201).id()
    );
    let second = round();
    assert_ne!(first, second);
    vote();
    lead.patch(&path, "*", &json!({"outcome": "skipped", "outcome_note": "Not now"})).expect(200);
    assert_eq!(round(), second, "what became of it is no other plan");
    lead.patch(&path, "*", &json!({"intended_version": "2.0.0"})).expect(200);
    assert_ne!(round(), second);
}

#[test]
fn the_list_is_filtered_and_paged() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let items: Vec<String> = (0..3).map(|_| app.item()).collect();
    for item in &items {
        lead.post(&links(&release), &json!({"configuration_item_id": item})).expect(201);
    }
    let all = lead.get(&format!("{}?count=exact", links(&release))).expect(200).body;
    assert_eq!(all["page"]["total"], 3);
    let path = format!("{}/{}", links(&release), all["data"][1]["id"].as_str().unwrap());
    lead.patch(&path, "*", &json!({"outcome": "skipped", "outcome_note": "Later"})).expect(200);
    let found = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{}?{query}", links(&release))).expect(200).body;
        let ids = page["data"].as_array().unwrap().iter();
        ids.map(|link| link["configuration_item_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("outcome=skipped"), [items[1].clone()]);
    assert_eq!(found("outcome=pending"), [items[0].clone(), items[2].clone()]);
    assert_eq!(found(&format!("configuration_item={}", items[2])), [items[2].clone()]);
    let first = lead.get(&format!("{}?limit=2", links(&release))).expect(200).body;
    let cursor = first["page"]["next_cursor"].as_str().unwrap();
    assert_eq!(found(&format!("limit=2&cursor={cursor}")), [items[2].clone()]);
}

#[test]
fn many_are_linked_each_by_itself_or_all_together() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let (first, second) = (app.item(), app.item());
    let nowhere = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    let batch = format!("{}/batch", links(&release));
    let item = |id: &str| json!({"configuration_item_id": id, "intended_version": "2.0.0"});
    let items = json!([item(&first), item(nowhere), item(&first), item(&second)]);
    let refused = lead.post(&batch, &json!({"mode": "atomic", "items": items})).problem(409, "ALREADY_EXISTS");
    refused.faults(&[("/items/2/configuration_item_id", "ALREADY_EXISTS")]);
    let two = json!([item(&first), item(nowhere)]);
    let refused = lead.post(&batch, &json!({"mode": "atomic", "items": two})).problem(422, "INVALID_VALUES");
    refused.faults(&[("/items/1/configuration_item_id", "UNKNOWN_REFERENCE")]);
    let total = || lead.get(&format!("{}?count=exact", links(&release))).expect(200).body["page"]["total"].clone();
    assert_eq!(total(), 0);
    let tried = lead.post(&format!("{batch}?dry_run=true"), &json!({"mode": "each", "items": items})).expect(200).body;
    assert_eq!((&tried["done"], &tried["results"][0]["link"], total()), (&json!(2), &Value::Null, json!(0)));
    let done = lead.post(&batch, &json!({"mode": "each", "items": items})).expect(200).body;
    assert_eq!((&done["done"], &done["refused"]), (&json!(2), &json!(2)));
    let results = done["results"].as_array().unwrap();
    let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [&json!(201), &json!(422), &json!(409), &json!(201)]);
    assert_eq!(results[3]["link"]["configuration_item_id"], second.as_str());
    assert_eq!(results[1]["errors"][0]["pointer"], "/items/1/configuration_item_id");
    assert_eq!(total(), 2);
    lead.post(&batch, &json!({"mode": "each", "items": []})).problem(422, "INVALID_VALUES");
    app.assert_sound();
}

#[test]
fn a_release_has_at_most_500_links() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let batch = format!("{}/batch", links(&release));
    let mut made = 0;
    for portion in [200, 200, 100] {
        let items: Vec<Value> = (0..portion).map(|_| json!({"configuration_item_id": app.item()})).collect();
        made += lead.post(&batch, &json!({"mode": "each", "items": items})).expect(200).body["done"].as_u64().unwrap();
    }
    assert_eq!(made, 500);
    lead.post(&links(&release), &json!({"configuration_item_id": app.item()})).problem(409, "LIMIT_REACHED");
    let (change, item) = (app.change("authorised"), app.item());
    let integration = app.client(Role::Integration);
    integration.patch(&format!("/changes/{change}"), "*", &json!({"configuration_item_ids": [item]})).expect(200);
    let linked = lead.post(&format!("{release}/changes"), &json!({"change_id": change})).expect(201).body;
    assert_eq!(linked["configuration_items_linked"], json!({"linked": [], "already_linked": [], "over_limit": [item]}));
}

#[test]
fn linking_a_change_brings_its_items_and_says_so() {
    let app = App::start();
    let (lead, release, change) = (app.client(Role::Lead), release(&app), app.change("authorised"));
    let items: Vec<String> = (0..3).map(|_| app.item()).collect();
    let integration = app.client(Role::Integration);
    integration.patch(&format!("/changes/{change}"), "*", &json!({"configuration_item_ids": items})).expect(200);
    lead.post(&links(&release), &json!({"configuration_item_id": items[1]})).expect(201);
    let body = json!({"change_id": change});
    let tried = lead.post(&format!("{release}/changes?dry_run=true"), &body).expect(200).body;
    assert_eq!(
        tried["configuration_items_linked"]["linked"][0],
        json!({"id": null, "configuration_item_id": items[0]})
    );
    let linked = lead.post(&format!("{release}/changes"), &body).expect(201);
    let brought = &linked.body["configuration_items_linked"];
    assert_eq!(brought["already_linked"], json!([items[1]]));
    let new: Vec<&Value> =
        brought["linked"].as_array().unwrap().iter().map(|item| &item["configuration_item_id"]).collect();
    assert_eq!(new, [&json!(items[0]), &json!(items[2])]);
    let first = format!("{}/{}", links(&release), brought["linked"][0]["id"].as_str().unwrap());
    assert_eq!(lead.get(&first).expect(200).body["change_id"], change.as_str());
    let link = format!("{release}/changes/{}", linked.id());
    assert_eq!(lead.get(&link).expect(200).body["configuration_items_linked"], Value::Null);
    assert_eq!(lead.get(&format!("{}?count=exact", links(&release))).expect(200).body["page"]["total"], 3);
    app.assert_sound();
}

#[test]
fn a_release_is_registered_with_its_items_and_those_of_its_changes_or_not_at_all() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let (own, brought, change) = (app.item(), app.item(), app.change("authorised"));
    let integration = app.client(Role::Integration);
    integration
        .patch(&format!("/changes/{change}"), "*", &json!({"configuration_item_ids": [brought, own]}))
        .expect(200);
    let mut body = new_release();
    body["changes"] = json!([{"change_id": change}]);
    let nowhere = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    body["configuration_items"] = json!([{"configuration_item_id": own}, {"configuration_item_id": nowhere}]);
    let refused = manager.post("/releases", &body).problem(422, "INVALID_VALUES");
    refused.faults(&[("/configuration_items/1/configuration_item_id", "UNKNOWN_REFERENCE")]);
    body["configuration_items"] = json!([{"configuration_item_id": own, "intended_version": "2.0.0"}]);
    let id = manager.post("/releases", &body).expect(201).id();
    let view = manager.get(&format!("/releases/{id}?include=configuration_items")).expect(200).body;
    let included = view["included"]["configuration_items"]["data"].as_array().unwrap();
    let told: Vec<_> =
        included.iter().map(|link| (link["configuration_item_id"].clone(), link["change_id"].clone())).collect();
    assert_eq!(told, [(json!(own), Value::Null), (json!(brought), json!(change))]);
    app.assert_sound();
}

#[test]
fn items_that_no_change_names_and_changes_without_a_way_back_are_told() {
    let app = App::start();
    let (lead, release, item) = (app.client(Role::Lead), release(&app), app.item());
    let links_of = lead.get(&format!("{release}/changes")).expect(200).body;
    let change = &links_of["data"][0];
    let warnings = || lead.get(&format!("{release}/allowed-transitions")).expect(200).body["warnings"].clone();
    assert_eq!(warnings()[0]["code"], "NO_ROLLBACK_PLAN");
    assert_eq!(warnings()[0]["refs"], json!([change["id"]]));
    let link = lead.post(&links(&release), &json!({"configuration_item_id": item})).expect(201).id();
    let told = warnings();
    assert_eq!((&told[0]["code"], &told[0]["refs"]), (&json!("CI_NOT_COVERED"), &json!([link])));
    assert_eq!(lead.get(&release).expect(200).body["warnings"], told);
    let named = json!({"configuration_item_ids": [item], "rollback_plan": "Put 1.0.0 back"});
    let path = format!("/changes/{}", change["change_id"].as_str().unwrap());
    app.client(Role::Integration).patch(&path, "*", &named).expect(200);
    assert_eq!(warnings(), json!([]));
}

#[test]
fn a_reason_goes_with_the_outcome_that_it_was_given_for() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let made = lead.post(&links(&release), &json!({"configuration_item_id": app.item()})).expect(201).id();
    let change = lead.get(&format!("{release}/changes")).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    for path in [format!("{}/{made}", links(&release)), format!("{release}/changes/{change}")] {
        let say = |body: &Value| lead.patch(&path, "*", body).expect(200).body["outcome_note"].clone();
        assert_eq!(say(&json!({"outcome": "failed", "outcome_note": "Out of reach"})), "Out of reach");
        assert_eq!(say(&json!({"outcome": "pending"})), Value::Null);
        say(&json!({"outcome": "failed", "outcome_note": "Out of reach"}));
        assert_eq!(say(&json!({"outcome": "pending", "outcome_note": "Once more"})), "Once more");
        assert_eq!(say(&json!({"outcome": "pending"})), "Once more");
    }
}

#[test]
fn a_retired_medium_is_not_chosen_and_one_that_was_is_told() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let medium = crate::definitive_media::medium(&app, "2.0.0", "draft");
    let (first, second) = (app.item(), app.item());
    let chosen = json!({"configuration_item_id": first, "medium_id": medium});
    let link = lead.post(&links(&release), &chosen).expect(201).id();
    let other = lead.post(&links(&release), &json!({"configuration_item_id": second})).expect(201).id();
    let retire = format!("/definitive-media/{medium}/retire");
    Answer::of(app.client(Role::Integration).request("POST", &retire)).expect(200);
    let fresh = json!({"configuration_item_id": app.item(), "medium_id": medium});
    lead.post(&links(&release), &fresh).problem(422, "INVALID_VALUES").faults(&[("/medium_id", "MEDIUM_RETIRED")]);
    let path = |id: &str| format!("{}/{id}", links(&release));
    lead.patch(&path(&other), "*", &json!({"medium_id": medium}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/medium_id", "MEDIUM_RETIRED")]);
    let mut body = new_release();
    body["configuration_items"] = json!([fresh]);
    let refused = app.client(Role::Manager).post("/releases", &body).problem(422, "INVALID_VALUES");
    refused.faults(&[("/configuration_items/0/medium_id", "MEDIUM_RETIRED")]);
    // The link that has it goes on, and the release tells.
    lead.patch(&path(&link), "*", &json!({"description": "Both nodes"})).expect(200);
    let warnings = lead.get(&release).expect(200).body["warnings"].clone();
    let told = warnings.as_array().unwrap().iter().find(|warning| warning["code"] == "MEDIUM_RETIRED").unwrap();
    assert_eq!((&told["refs"], &told["pointer"]), (&json!([link]), &json!("/configuration_items")));
}

#[test]
fn the_items_that_an_unlinked_change_leaves_behind_are_told() {
    let app = App::start();
    let (lead, release) = (app.client(Role::Lead), release(&app));
    let (items, change) = ([app.item(), app.item()], app.change("authorised"));
    let named = json!({"configuration_item_ids": items, "rollback_plan": "Put 1.0.0 back"});
    app.client(Role::Integration).patch(&format!("/changes/{change}"), "*", &named).expect(200);
    let linked = lead.post(&format!("{release}/changes"), &json!({"change_id": change})).expect(201);
    lead.delete(&format!("{release}/changes/{}", linked.id()), "*").expect(204);
    let warnings = lead.get(&release).expect(200).body["warnings"].clone();
    assert_eq!(warnings[0]["code"], "CI_NOT_COVERED");
    let brought = linked.body["configuration_items_linked"]["linked"].as_array().unwrap();
    let left: Vec<&Value> = brought.iter().map(|link| &link["id"]).collect();
    assert_eq!(warnings[0]["refs"], json!(left));
    assert_eq!(
        warnings[0]["detail"],
        "No linked change names 2 of the configuration items. 2 of them were brought by changes that are not linked any more."
    );
}
