//! Changes: working copies by their own key, and links to releases with their outcome.

use serde_json::{Value, json};

use crate::support::*;

const KEY: &str = "/changes/by-key/jira/CHG-1";

fn audit_length(app: &App) -> i64 {
    app.client(Role::Admin).get("/audit?count=exact&limit=1").expect(200).body["page"]["total"].as_i64().unwrap()
}

#[test]
fn an_upsert_creates_then_replaces_and_no_difference_is_nothing() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let mut content = json!({"title": "Payments", "status": "assessed", "risk": "low", "source_revision": 7});
    let created = integration.put(KEY, &content).expect(201);
    let path = format!("/changes/{}", created.id());
    assert_eq!(created.header("location"), format!("/api/v1{path}"));
    assert_eq!((&created.body["source"], &created.body["external_id"]), (&json!("jira"), &json!("CHG-1")));
    app.client(Role::Admin);
    let admin = app.client(Role::Admin);
    let length = || admin.get("/audit?count=exact&limit=1").expect(200).body["page"]["total"].clone();
    let before = length();
    let same = integration.put(KEY, &content).expect(200);
    assert_eq!((same.header("etag"), &same.body, length()), (created.header("etag"), &created.body, before));
    content = json!({"title": "Payments", "status": "authorised", "source_revision": 8});
    let replaced = integration.put(KEY, &content).expect(200);
    assert_eq!((&replaced.body["row_version"], &replaced.body["risk"]), (&json!(2), &json!(null)));
    content["source_revision"] = json!(7);
    integration.put(KEY, &content).problem(409, "OLDER_REVISION");
    let mut read = integration.get(&path).expect(200).body;
    assert_eq!(read.as_object_mut().unwrap().remove("outcomes"), Some(json!([])));
    assert_eq!(read, replaced.body);
    content["source_revision"] = json!(8);
    integration.put(KEY, &content).expect(200);
    assert!(audit_length(&app) > 0);
    app.assert_sound();
}

#[test]
fn the_key_in_the_path_may_be_any_text() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let content = json!({"title": "T", "status": "assessed"});
    for (path, key) in [
        ("A%20B", "A B"),
        ("caf%C3%A9", "café"),
        ("A%2FB", "A/B"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("a%2Bc", "a+c"),
        ("a%252F", "a%2F"),
        ("x:y;z", "x:y;z"),
    ] {
        let made = integration.put(&format!("/changes/by-key/tool/{path}"), &content).expect(201);
        assert_eq!(made.body["external_id"], key);
        integration.put(&format!("/changes/by-key/tool/{path}"), &content).expect(200);
    }
    let long = "k".repeat(101);
    for (path, parameter) in [
        ("tool/%20", "external_id"),
        ("%20/k", "source"),
        (&format!("tool/{long}"), "external_id"),
        ("tool/a%00b", "external_id"),
        ("tool/a%FFb", "external_id"),
    ] {
        let refused = integration.put(&format!("/changes/by-key/{path}"), &content).problem(400, "MALFORMED_REQUEST");
        refused.faults(&[(parameter, "INVALID_PARAMETER")]);
    }
}

#[test]
fn what_holds_of_a_created_change_holds_of_an_upserted_one() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let cases = [
        (json!({"title": "  "}), "/title", "BLANK"),
        (json!({"url": "javascript:alert(1)"}), "/url", "INVALID_URL"),
        (json!({"url": "ftp://example.org/x"}), "/url", "INVALID_URL"),
        (json!({"status": "done"}), "/status", "NOT_ALLOWED"),
        (json!({"risk": "none"}), "/risk", "NOT_ALLOWED"),
        (
            json!({"window": {"start": "2030-02-02T00:00:00Z", "end": "2030-02-01T00:00:00Z"}}),
            "/window",
            "WINDOW_REVERSED",
        ),
        (json!({"source_revision": -1}), "/source_revision", "OUT_OF_RANGE"),
    ];
    for (odd, pointer, code) in cases {
        let mut content = json!({"title": "T", "status": "assessed"});
        for (field, value) in odd.as_object().unwrap() {
            content[field] = value.clone();
        }
        integration.put(KEY, &content).problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
        content["source"] = json!("jira");
        content["external_id"] = json!("CHG-1");
        integration.post("/changes", &content).problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
        integration.put(KEY, &content).problem(400, "MALFORMED_REQUEST");
    }
    assert_eq!(integration.get("/changes?count=exact").expect(200).body["page"]["total"], 0);
}

#[test]
fn the_key_of_a_change_never_changes() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let path = format!("/changes/{}", app.change("assessed"));
    for patch in [json!({"source": "other"}), json!({"external_id": "other"})] {
        integration.patch(&path, "*", &patch).problem(409, "KEY_LOCKED");
    }
    integration.patch(&path, "*", &json!({"source": "test", "title": "Other"})).expect(200);
}

#[test]
fn changes_are_filtered() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let make = |source: &str, key: &str, status: &str, risk: Value| {
        let body = json!({"source": source, "external_id": key, "title": key, "status": status, "risk": risk});
        integration.post("/changes", &body).expect(201).id()
    };
    make("jira", "A-1", "authorised", json!("low"));
    make("jira", "A-2", "registered", json!("high"));
    make("snow", "A-1", "completed", json!(null));
    let cases: [(&str, &[&str]); 7] = [
        ("source=jira", &["jira A-1", "jira A-2"]),
        ("external_id=A-1", &["jira A-1", "snow A-1"]),
        ("source=jira&external_id=A-1", &["jira A-1"]),
        ("status=registered,completed", &["jira A-2", "snow A-1"]),
        ("risk=high", &["jira A-2"]),
        ("q=a-2", &["jira A-2"]),
        ("sort=-external_id&source=jira", &["jira A-1", "jira A-2"]),
    ];
    for (query, expected) in cases {
        let page = integration.get(&format!("/changes?{query}")).expect(200);
        let text =
            |item: &Value| format!("{} {}", item["source"].as_str().unwrap(), item["external_id"].as_str().unwrap());
        let mut found: Vec<String> = page.body["data"].as_array().unwrap().iter().map(text).collect();
        found.sort();
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn only_a_change_that_is_neither_registered_nor_cancelled_is_linked() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = lead.post("/releases", &new_release()).expect(201);
    let links = format!("/releases/{}/changes", release.id());
    for status in ["registered", "cancelled"] {
        let refused = lead.post(&links, &json!({"change_id": app.change(status)})).problem(422, "INVALID_VALUES");
        refused.faults(&[("/change_id", "CHANGE_NOT_LINKABLE")]);
    }
    for status in ["assessed", "authorised", "scheduled", "implementing", "completed", "rejected"] {
        let change = app.change(status);
        let link = lead.post(&links, &json!({"change_id": change})).expect(201);
        assert_eq!(link.header("location"), format!("/api/v1{links}/{}", link.id()));
        assert_eq!(
            (&link.body["status"], &link.body["outcome"], &link.body["row_version"]),
            (&json!(status), &json!("pending"), &json!(1))
        );
        lead.post(&links, &json!({"change_id": change})).problem(409, "ALREADY_EXISTS");
        app.client(Role::Integration).delete(&format!("/changes/{change}"), "*").problem(409, "IN_USE");
    }
    lead.post(&links, &json!({"change_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/change_id", "UNKNOWN_REFERENCE")]);
    assert_eq!(lead.get(&links).expect(200).body["data"].as_array().unwrap().len(), 6);
    // Links have versions of their own: the release's stays.
    assert_eq!(lead.get(&format!("/releases/{}", release.id())).expect(200).body["row_version"], 1);
}

#[test]
fn an_outcome_is_recorded_with_its_own_version_and_stays_in_the_history() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let other = app.release().make();
    let path = |release: &Value| format!("/releases/{}", release["id"].as_str().unwrap());
    let links = format!("{}/changes", path(&release));
    let id = lead.get(&links).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    let link = format!("{links}/{id}");
    let read = lead.get(&link).expect(200);
    Answer::of(lead.request("PATCH", &link).json(&json!({"outcome": "failed"}))).problem(428, "PRECONDITION_REQUIRED");
    let failed =
        lead.patch(&link, read.header("etag"), &json!({"outcome": "failed", "outcome_note": "No disk"})).expect(200);
    assert_eq!(
        (&failed.body["outcome"], &failed.body["outcome_note"], &failed.body["row_version"]),
        (&json!("failed"), &json!("No disk"), &json!(2))
    );
    lead.patch(&link, read.header("etag"), &json!({"outcome": "deployed"})).problem(412, "PRECONDITION_FAILED");
    let same = lead.patch(&link, "*", &json!({"outcome": "failed"})).expect(200);
    assert_eq!(same.body["row_version"], 2);
    for outcome in ["rolled_back", "deployed", "pending"] {
        lead.patch(&link, "*", &json!({"outcome": outcome})).expect(200);
    }
    lead.patch(&link, "*", &json!({"outcome": "lost"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/outcome", "NOT_ALLOWED")]);
    lead.patch(&link, "*", &json!({"status": "authorised"}))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("/status", "READ_ONLY_FIELD")]);
    lead.get(&format!("{}/changes/{id}", path(&other))).problem(404, "NOT_FOUND");
    let history = lead.get(&format!("{}/history", path(&release))).expect(200);
    let actions: Vec<&str> =
        history.body["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "release.update_change_link",
            "release.update_change_link",
            "release.update_change_link",
            "release.update_change_link",
            "release.create"
        ]
    );
    assert_eq!(lead.get(&format!("{}/history/verify", path(&release))).expect(200).body["valid"], true);
    lead.delete(&link, "*").expect(204);
    lead.get(&link).problem(404, "NOT_FOUND");
    app.assert_sound();
}

#[test]
fn links_are_locked_after_authorization_and_outcomes_are_not() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    for (stage, locked) in [("planning", false), ("authorization", false), ("deployment", true), ("closure", true)] {
        let spare = app.change("authorised");
        let release = app.release().at(stage).make();
        let links = format!("/releases/{}/changes", release["id"].as_str().unwrap());
        let id = lead.get(&links).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        lead.patch(&format!("{links}/{id}"), "*", &json!({"outcome": "deployed"})).expect(200);
        let (added, removed) =
            (lead.post(&links, &json!({"change_id": spare})), lead.delete(&format!("{links}/{id}"), "*"));
        if locked {
            let added = added.problem(409, "LOCKED_AFTER_AUTHORIZATION");
            assert_eq!((&added.body["current_status"], &added.body["current_stage"]), (&json!("open"), &json!(stage)));
            removed.problem(409, "LOCKED_AFTER_AUTHORIZATION");
        } else {
            added.expect(201);
            removed.expect(204);
        }
    }
    let spare = app.change("authorised");
    for status in ["suspended", "cancelled", "closed"] {
        let release = app.release().status(status).make();
        let links = format!("/releases/{}/changes", release["id"].as_str().unwrap());
        let id = lead.get(&links).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        lead.patch(&format!("{links}/{id}"), "*", &json!({"outcome": "failed"})).problem(409, "STATE_FORBIDS");
        lead.post(&links, &json!({"change_id": spare})).problem(409, "STATE_FORBIDS");
        lead.delete(&format!("{links}/{id}"), "*").problem(409, "STATE_FORBIDS");
    }
}

#[test]
fn the_last_known_revision_guards_even_after_an_upsert_without_one() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let path = "/changes/by-key/test/CHG-1";
    let with = |revision: i64| json!({"title": "A change", "status": "assessed", "source_revision": revision});
    integration.put(path, &with(9)).expect(201);
    integration.put(path, &json!({"title": "Renamed", "status": "assessed"})).expect(200);
    integration.put(path, &with(7)).problem(409, "OLDER_REVISION");
    // It is the revision of what was there before.
    integration.put(path, &with(9)).problem(409, "SAME_REVISION");
    assert_eq!(integration.put(path, &with(10)).expect(200).body["source_revision"], 10);
}

#[test]
fn a_change_is_pending_in_one_release_under_way_unless_the_workflow_shares_changes() {
    let app = App::start();
    let (lead, operator) = (app.client(Role::Lead), app.client(Role::Operator));
    let change = app.change("authorised");
    let link = json!({"change_id": change});
    let first = app.release().with("changes", json!([link])).make();
    let other = app.release().make();
    let links = |release: &Value| format!("/releases/{}/changes", release["id"].as_str().unwrap());
    let refused = lead.post(&links(&other), &link).problem(409, "CHANGE_IN_ANOTHER_RELEASE");
    refused.clone().faults(&[("/change_id", "CHANGE_IN_ANOTHER_RELEASE")]);
    assert!(refused.body["detail"].as_str().unwrap().contains(first["key"].as_str().unwrap()));
    let mut body = new_release();
    body["changes"] = json!([link]);
    lead.post("/releases", &body)
        .problem(409, "CHANGE_IN_ANOTHER_RELEASE")
        .faults(&[("/changes/0/change_id", "CHANGE_IN_ANOTHER_RELEASE")]);
    // The other release is not told to whom it does not exist for.
    let theirs = app.release().with("executor_group_id", app.group("Operators")).make();
    let refused = operator.post(&links(&theirs), &link).problem(409, "CHANGE_IN_ANOTHER_RELEASE");
    assert!(!refused.body["detail"].as_str().unwrap().contains("REL-"));
    // Once its outcome is known it is free; and it does not become pending again beside another one.
    let page = lead.get(&links(&first)).expect(200).body;
    let own = format!("{}/{}", links(&first), page["data"][0]["id"].as_str().unwrap());
    lead.patch(&own, "*", &json!({"outcome": "rolled_back"})).expect(200);
    lead.post(&links(&other), &link).expect(201);
    lead.patch(&own, "*", &json!({"outcome": "pending"})).problem(409, "CHANGE_IN_ANOTHER_RELEASE");
    // A workflow may say otherwise.
    let manager = app.client(Role::Manager);
    let stage = |key: &str, kind: &str| json!({"key": key, "kind": kind, "responsible": [{"kind": "executor_group"}], "gates": []});
    let stages = json!([stage("rollout", "deployment"), stage("end", "closure")]);
    let workflow = json!({"key": "sharing", "name": "Sharing", "return_stage": "rollout", "stages": stages, "shared_changes": true});
    assert_eq!(manager.post("/workflows", &workflow).expect(201).body["shared_changes"], true);
    assert_eq!(manager.get("/lifecycle?workflow=standard").expect(200).body["workflow"]["shared_changes"], false);
    let model = json!({"name": "Sharing", "status": "active", "workflow": "sharing", "executor_group_id": app.group("Release team")});
    let portfolio = app.named("portfolios", "General");
    let model = manager.post(&format!("/portfolios/{portfolio}/models"), &model).expect(201).id();
    app.release().with("model_id", model).with("changes", json!([link])).at("rollout").make();
}

#[test]
fn reopening_does_not_make_a_change_pending_twice() {
    let app = App::start();
    let change = app.change("authorised");
    let link = json!([{"change_id": change}]);
    let closed = app.release().with("changes", link.clone()).status("closed").make();
    let manager = app.client(Role::Manager);
    assert_eq!(verdict(&manager, &closed, "reopen"), (true, vec![]));
    let other = app.release().with("changes", link).make();
    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
    let path = format!("/releases/{}/transitions", closed["id"].as_str().unwrap());
    let refused = manager.post(&path, &reopen).problem(409, "CHANGE_IN_ANOTHER_RELEASE");
    refused.clone().faults(&[("/changes", "CHANGE_IN_ANOTHER_RELEASE")]);
    assert_eq!(refused.body["blockers"][0]["refs"], json!([change]));
    // It is said beforehand, and before anything else that is wrong.
    manager.post(&path, &json!({"action": "reopen"})).problem(409, "CHANGE_IN_ANOTHER_RELEASE");
    assert_eq!(verdict(&manager, &closed, "reopen"), (false, vec!["CHANGE_IN_ANOTHER_RELEASE".into()]));
    let shown = manager.get(&format!("/releases/{}", closed["id"].as_str().unwrap())).expect(200).body;
    assert_eq!(shown["allowed_actions"], json!([]));
    let listed = manager.get("/releases?status=closed").expect(200).body;
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["allowed_actions"]), (1, &json!([])));
    record_outcomes(&manager, &other);
    assert_eq!(verdict(&manager, &closed, "reopen"), (true, vec![]));
    manager.post(&path, &reopen).expect(201);
    app.assert_sound();
}

#[test]
fn what_stands_against_reopening_is_known_once_a_release_is_closed() {
    let app = App::start();
    let (manager, change) = (app.client(Role::Manager), app.change("authorised"));
    let link = json!([{"change_id": change}]);
    let closing = app.release().with("changes", link.clone()).at("closure").make();
    record_outcomes(&manager, &closing);
    let theirs = app.release().with("changes", link).with("executor_group_id", app.group("Operators")).make();
    let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    let closed = transition(&manager, &closing, &close);
    let path = format!("/releases/{}", closed["id"].as_str().unwrap());
    assert_eq!(closed["allowed_actions"], json!([]));
    assert_eq!(manager.get(&path).expect(200).body["allowed_actions"], json!([]));
    // Who carries it is told to those alone who may see that release.
    let detail = |role: Role| {
        let verdicts = app.client(role).get(&format!("{path}/allowed-transitions")).expect(200).body["data"].clone();
        let reopen = verdicts.as_array().unwrap().iter().find(|verdict| verdict["action"] == "reopen").unwrap().clone();
        let blockers = reopen["blockers"].as_array().unwrap().clone();
        let held = blockers.iter().find(|blocker| blocker["code"] == "CHANGE_IN_ANOTHER_RELEASE").unwrap();
        held["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail(Role::Manager).contains(theirs["key"].as_str().unwrap()));
    assert!(!detail(Role::Lead).contains("REL-"), "{}", detail(Role::Lead));
}

#[test]
fn of_two_releases_that_link_a_change_at_once_one_wins() {
    let app = App::start();
    let change = app.change("authorised");
    let paths: Vec<String> =
        (0..4).map(|_| format!("/releases/{}/changes", app.release().make()["id"].as_str().unwrap())).collect();
    let linkers: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let (lead, body) = (app.client(Role::Lead), json!({"change_id": change}));
            std::thread::spawn(move || lead.post(&path, &body).status)
        })
        .collect();
    let mut statuses: Vec<u16> = linkers.into_iter().map(|linker| linker.join().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
}

#[test]
fn a_change_that_was_given_up_meanwhile_is_in_the_way_at_every_stage() {
    let app = App::start();
    let (lead, integration) = (app.client(Role::Lead), app.client(Role::Integration));
    for stage in ["planning", "deployment", "test", "closure"] {
        let change = app.change("authorised");
        let release = app.release().with("changes", json!([{"change_id": change}])).at(stage).make();
        integration.patch(&format!("/changes/{change}"), "*", &json!({"status": "cancelled"})).expect(200);
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        let codes = || -> Vec<Value> {
            let verdicts = lead.get(&format!("{path}/allowed-transitions")).expect(200).body;
            let action = if stage == "closure" { "close" } else { "advance" };
            let verdict = verdicts["data"].as_array().unwrap().iter().find(|verdict| verdict["action"] == action);
            let blockers = verdict.unwrap()["blockers"].as_array().unwrap();
            blockers.iter().map(|blocker| blocker["code"].clone()).collect()
        };
        assert!(codes().contains(&json!("CHANGE_CANCELLED")), "{stage} {:?}", codes());
        record_outcomes(&lead, &release);
        assert!(!codes().contains(&json!("CHANGE_CANCELLED")), "{stage}");
    }
}

#[test]
fn a_change_tells_its_releases_and_what_became_of_it_there() {
    let app = App::start();
    let change = app.change("authorised");
    let link = json!([{"change_id": change}]);
    let closed = app.release().with("changes", link.clone()).status("closed").make();
    let theirs = app.release().with("changes", link).with("executor_group_id", app.group("Operators")).make();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let told = |client: &Client| client.get(&format!("/changes/{change}")).expect(200).body["outcomes"].clone();
    let of = |release: &Value, outcome: &str, status: &str| json!({"release_id": release["id"], "release_key": release["key"], "release_status": status, "outcome": outcome, "outcome_note": null});
    assert_eq!(told(&admin), json!([of(&theirs, "pending", "open"), of(&closed, "deployed", "closed")]));
    assert_eq!(told(&lead), json!([of(&closed, "deployed", "closed")]));
    let releases = |client: &Client, query: &str| -> Vec<Value> {
        let page = client.get(&format!("/changes/{change}/releases?{query}")).expect(200).body;
        page["data"].as_array().unwrap().iter().map(|release| release["key"].clone()).collect()
    };
    assert_eq!(releases(&admin, ""), [theirs["key"].clone(), closed["key"].clone()]);
    assert_eq!(releases(&admin, "status=closed"), [closed["key"].clone()]);
    assert_eq!(releases(&lead, "count=exact"), [closed["key"].clone()]);
    admin.get(&format!("/changes/{change}/releases?change={change}")).problem(400, "MALFORMED_REQUEST");
    admin.get("/changes/01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f/releases").problem(404, "NOT_FOUND");
}
