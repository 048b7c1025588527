//! References of releases to what other tools hold, and the gate that waits for purchases.

use serde_json::{Value, json};

use crate::refusals::AN_ID;
use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn purchase(key: &str) -> Value {
    json!({
        "kind": "purchase", "source": "erp", "external_id": key, "title": "Two card terminals",
        "url": "https://erp.example.org/PO", "status": "ordered",
    })
}

#[test]
fn a_purchase_that_is_not_finished_keeps_the_release_in_deployment_in_every_workflow() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    for (model, first) in [("Standard", "planning"), ("Emergency", "authorization"), ("Minor", "planning")] {
        let mut release = app.release().with("model_id", app.model(model)).at(first).make();
        let references = format!("{}/references", path(&release));
        let mut ids: Vec<String> =
            ["PO-1", "PO-2"].iter().map(|key| lead.post(&references, &purchase(key)).expect(201).id()).collect();
        let finished =
            json!({"kind": "purchase", "source": "erp", "external_id": "PO-3", "title": "Old", "finished": true});
        lead.post(&references, &finished).expect(201);
        // Of all kinds, only purchases are waited for; and only in deployment.
        let ticket = json!({"kind": "ticket", "source": "erp", "external_id": "PO-1", "title": "Open"});
        lead.post(&references, &ticket).expect(201);
        carry(&app, &manager, &mut release, "deployment");
        let transitions = format!("{}/transitions", path(&release));
        let advance = json!({"action": "advance", "from_stage": "deployment"});
        let refused = lead.post(&transitions, &advance).problem(422, "GATES_NOT_MET");
        assert_eq!(refused.blockers(), ["PURCHASE_NOT_FINISHED"], "{model}");
        let blocker = &refused.body["blockers"][0];
        assert_eq!(blocker["detail"], "2 linked purchases are not finished.");
        assert_eq!((&blocker["gate"], &blocker["pointer"]), (&json!("purchases_finished"), &json!("/references")));
        ids.sort();
        assert_eq!(blocker["refs"], json!(ids));
        assert!(!refused.body["allowed_actions"].as_array().unwrap().contains(&json!("advance")));
        let listed = lead.get("/releases?status=open&sort=-number&limit=1").expect(200).body["data"][0].clone();
        assert!(!listed["allowed_actions"].as_array().unwrap().contains(&json!("advance")));
        lead.patch(&format!("{references}/{}", ids[0]), "*", &json!({"finished": true})).expect(200);
        let refused = lead.post(&transitions, &advance).problem(422, "GATES_NOT_MET");
        assert_eq!(refused.body["blockers"][0]["detail"], "A linked purchase is not finished.");
        assert_eq!(refused.body["blockers"][0]["refs"], json!([ids[1]]));
        lead.delete(&format!("{references}/{}", ids[1]), "*").expect(204);
        lead.post(&transitions, &advance).expect(201);
    }
    app.assert_sound();
}

#[test]
fn a_blocker_names_twenty_purchases_and_counts_them_all() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().at("deployment").make();
    let references = format!("{}/references", path(&release));
    for index in 0..23 {
        lead.post(&references, &purchase(&format!("PO-{index}"))).expect(201);
    }
    let verdicts = lead.get(&format!("{}/allowed-transitions", path(&release))).expect(200);
    let advance = verdicts.body["data"].as_array().unwrap().iter().find(|one| one["action"] == "advance").unwrap();
    assert_eq!(advance["blockers"].as_array().unwrap().len(), 1);
    assert_eq!(advance["blockers"][0]["detail"], "23 linked purchases are not finished.");
    assert_eq!(advance["blockers"][0]["refs"].as_array().unwrap().len(), 20);
}

#[test]
fn how_a_thing_stands_is_told_in_every_status_and_the_rest_while_the_release_is_active() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let integration = app.client(Role::Integration);
    for (status, active) in
        [("open", true), ("reopened", true), ("suspended", false), ("cancelled", false), ("closed", false)]
    {
        let mut release = app.release().make();
        let references = format!("{}/references", path(&release));
        let made = integration
            .post(&references, &json!({"kind": "incident", "source": "desk", "external_id": "I-1", "title": "Down"}));
        let item = format!("{references}/{}", made.expect(201).id());
        let manager = app.client(Role::Manager);
        match status {
            "suspended" => {
                let reason = app.justification("suspend");
                let body = json!({"action": "suspend", "justification_id": reason, "note": "Wait"});
                release = transition(&manager, &release, &body);
            }
            "cancelled" => {
                let reason = app.justification("cancel");
                let body = json!({"action": "cancel", "justification_id": reason, "closure_notes": "No more"});
                release = transition(&manager, &release, &body);
            }
            "closed" | "reopened" => {
                carry(&app, &manager, &mut release, "closure");
                record_outcomes(&manager, &release);
                let body = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
                release = transition(&manager, &release, &body);
                if status == "reopened" {
                    let body = json!({"action": "reopen", "justification_id": app.justification("reopen")});
                    release = transition(&manager, &release, &body);
                }
            }
            _ => {}
        }
        assert_eq!(release["status"], status);
        let told = lead.patch(&item, "*", &json!({"status": "in work"})).expect(200);
        assert_eq!((&told.body["status"], &told.body["finished"]), (&json!("in work"), &json!(false)));
        let told = integration.patch(&item, "*", &json!({"status": "solved", "finished": true, "title": "Down"}));
        assert_eq!(told.expect(200).body["row_version"], 3);
        let answers = [
            (integration.patch(&item, "*", &json!({"title": "Up"})), 200),
            (lead.patch(&item, "*", &json!({"url": "https://desk.example.org/I-1", "status": "x"})), 200),
            (lead.post(&references, &purchase("PO-1")), 201),
            (integration.delete(&item, "*"), 204),
        ];
        for (answer, expected) in answers {
            if active {
                answer.expect(expected)
            } else {
                answer.problem(409, "STATE_FORBIDS")
            };
        }
    }
    app.assert_sound();
}

#[test]
fn a_reference_is_there_once_for_each_kind_and_its_key_never_changes() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = path(&app.release().make());
    let references = format!("{release}/references");
    let made = lead.post(&references, &purchase("PO-1")).expect(201);
    assert_eq!(made.header("location"), format!("/api/v1{references}/{}", made.id()));
    assert_eq!((&made.body["finished"], &made.body["row_version"]), (&json!(false), &json!(1)));
    lead.post(&references, &purchase("PO-1")).problem(409, "ALREADY_EXISTS");
    let mut other = purchase("PO-1");
    other["kind"] = json!("project");
    lead.post(&references, &other).expect(201);
    lead.post(&format!("{}/references", path(&app.release().make())), &purchase("PO-1")).expect(201);
    let item = format!("{references}/{}", made.id());
    for field in ["kind", "source", "external_id"] {
        let mut patch = json!({});
        patch[field] = json!("project");
        lead.patch(&item, "*", &patch)
            .problem(400, "MALFORMED_REQUEST")
            .faults(&[(&format!("/{field}"), "READ_ONLY_FIELD")]);
    }
    let changed = lead.patch(&item, made.header("etag"), &json!({"url": null, "status": null})).expect(200);
    assert_eq!((&changed.body["url"], &changed.body["status"]), (&json!(null), &json!(null)));
    lead.patch(&item, made.header("etag"), &json!({"status": "x"})).problem(412, "PRECONDITION_FAILED");
    Answer::of(lead.request("DELETE", &item)).problem(428, "PRECONDITION_REQUIRED");
    assert_eq!(lead.patch(&item, "*", &json!({"url": null})).expect(200).body["row_version"], 2);
    lead.get(&format!("{references}/{AN_ID}")).problem(404, "NOT_FOUND");
    let history = lead.get(&format!("{release}/history")).expect(200);
    assert_eq!(history.body["data"][0]["action"], "release.update_reference");
    assert_eq!(history.body["data"][0]["subject_type"], "reference");
    assert_eq!(lead.get(&release).expect(200).body["row_version"], 1);
    app.assert_sound();
}

#[test]
fn references_are_filtered_and_walked_page_by_page() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let references = format!("{}/references", path(&app.release().make()));
    for (kind, source, key, finished) in [
        ("problem", "desk", "P-1", true),
        ("ticket", "desk", "T-1", false),
        ("build", "ci", "77", true),
        ("knowledge", "wiki", "77", false),
    ] {
        let body = json!({"kind": kind, "source": source, "external_id": key, "title": key, "finished": finished});
        lead.post(&references, &body).expect(201);
    }
    let kinds = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{references}?{query}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
    };
    let cases: [(&str, &[&str]); 7] = [
        ("", &["problem", "ticket", "build", "knowledge"]),
        ("sort=-created_at", &["knowledge", "build", "ticket", "problem"]),
        ("kind=build,ticket", &["ticket", "build"]),
        ("source=desk", &["problem", "ticket"]),
        ("external_id=77&source=ci", &["build"]),
        ("finished=true", &["problem", "build"]),
        ("finished=false", &["ticket", "knowledge"]),
    ];
    for (query, expected) in cases {
        assert_eq!(kinds(query), expected, "{query}");
    }
    let first = lead.get(&format!("{references}?limit=3&count=exact")).expect(200);
    assert_eq!(first.body["page"]["total"], 4);
    let cursor = first.body["page"]["next_cursor"].as_str().unwrap();
    assert_eq!(kinds(&format!("limit=3&count=exact&cursor={cursor}")), ["knowledge"]);
    lead.get(&format!("{references}?kind=rumour")).problem(400, "MALFORMED_REQUEST");
}

#[test]
fn a_bad_reference_is_refused_and_names_what_is_wrong() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let references = format!("{}/references", path(&app.release().make()));
    let with = |field: &str, value: Value| {
        let mut body = purchase("PO-1");
        body[field] = value;
        body
    };
    for (field, value, code) in [
        ("kind", json!("rumour"), "NOT_ALLOWED"),
        ("source", json!(" "), "BLANK"),
        ("source", json!("s".repeat(51)), "TOO_LONG"),
        ("source", json!("a,b"), "INVALID_FORMAT"),
        ("external_id", json!(""), "TOO_SHORT"),
        ("external_id", json!("k".repeat(101)), "TOO_LONG"),
        ("title", json!("t\u{0}"), "INVALID_CHARACTER"),
        ("title", json!("t".repeat(201)), "TOO_LONG"),
        ("url", json!("javascript:alert(1)"), "INVALID_URL"),
        ("url", json!("ftp://example.org/x"), "INVALID_URL"),
        ("url", json!("https://"), "INVALID_URL"),
        ("status", json!("  "), "BLANK"),
        ("status", json!("s".repeat(51)), "TOO_LONG"),
    ] {
        let refused = lead.post(&references, &with(field, value)).problem(422, "INVALID_VALUES");
        let fault = &refused.body["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!(format!("/{field}")), &json!(code)));
    }
    for (body, pointer, code) in [
        (with("finished", json!("yes")), "/finished", "WRONG_TYPE"),
        (with("finished", json!(null)), "/finished", "WRONG_TYPE"),
        (with("row_version", json!(1)), "/row_version", "READ_ONLY_FIELD"),
        (with("price", json!(7)), "/price", "UNKNOWN_FIELD"),
    ] {
        lead.post(&references, &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
    assert_eq!(lead.get(&format!("{references}?count=exact")).expect(200).body["page"]["total"], 0);
    let tried = lead.post(&format!("{references}?dry_run=true"), &purchase("PO-1")).expect(200);
    assert_eq!(tried.body["id"], json!(null));
    let first = lead.post_once(&references, "r-1", &purchase("PO-1")).expect(201);
    assert_eq!(lead.post_once(&references, "r-1", &purchase("PO-1")).expect(201).text, first.text);
    let item = format!("{references}/{}", first.id());
    for (patch, pointer, code) in [
        (json!({"title": ""}), "/title", "TOO_SHORT"),
        (json!({"url": "x"}), "/url", "INVALID_URL"),
        (json!({"status": " "}), "/status", "BLANK"),
    ] {
        lead.patch(&item, "*", &patch).problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
    }
    lead.patch(&item, "*", &json!({})).problem(400, "MALFORMED_REQUEST");
}
