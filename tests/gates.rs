//! Every gate of the catalogue by itself: a workflow whose first stage has that gate alone, in the way with its code,
//! and then passed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::definitive_media::{content_of, medium};
use crate::hardware_spares::{id_in, item, plan_item, reserve};
use crate::support::*;

/// A gate, how a release gets into its way, and how out of it.
struct Row {
    gate: &'static str,
    /// Its parameter `min`, where it has one.
    min: Option<u32>,
    /// Kind of the stage that it is tried in.
    kind: &'static str,
    /// The codes of its blockers.
    codes: &'static [&'static str],
    /// What the body of the release has besides what every one has.
    body: fn(&App) -> Value,
    /// What happens before it is blocked.
    spoil: fn(&App, &str),
    /// What lets it pass.
    mend: fn(&App, &str),
}

const ROW: Row =
    Row { gate: "", min: None, kind: "planning", codes: &[], body: |_| json!({}), spoil: |_, _| {}, mend: |_, _| {} };

fn lead(app: &App) -> Client {
    app.client(Role::Lead)
}

fn patch(app: &App, path: &str, body: &Value) {
    lead(app).patch(path, "*", body).expect(200);
}

fn link(app: &App, release: &str, status: &str) {
    let change = app.change(status);
    lead(app).post(&format!("{release}/changes"), &json!({"change_id": change})).expect(201);
}

/// Patches the only change that is linked to the release.
fn patch_change(app: &App, release: &str, body: &Value) {
    let links = lead(app).get(&format!("{release}/changes")).expect(200);
    let change = links.body["data"][0]["change_id"].as_str().unwrap().to_owned();
    app.client(Role::Integration).patch(&format!("/changes/{change}"), "*", body).expect(200);
}

/// Moves every activity of the board to `done`.
fn finish(app: &App, release: &str, phase: &str) {
    let activities = lead(app).get(&format!("{release}/activities?phase={phase}")).expect(200);
    for activity in activities.body["data"].as_array().unwrap() {
        let path = format!("{release}/activities/{}/move", activity["id"].as_str().unwrap());
        lead(app).post(&path, &json!({"status": "done"})).expect(200);
    }
}

/// A rule that asks one account.
fn asks(app: &App, role: Role) -> Value {
    json!({"kind": "any", "voters": [{"user_id": app.user_id(role)}]})
}

fn vote(app: &App, release: &str, decision: &str) {
    let vote = json!({"decision": decision, "comment": "Looked at"});
    app.client(Role::Manager).post(&format!("{release}/approvals/votes"), &vote).expect(201);
}

const ROWS: &[Row] = &[
    Row {
        gate: "windows_set",
        codes: &["PLANNING_WINDOW_MISSING", "DEPLOYMENT_WINDOW_MISSING"],
        body: |_| json!({"planning_window": null, "deployment_window": null}),
        mend: |app, release| {
            let whole = new_release();
            let windows =
                json!({"planning_window": whole["planning_window"], "deployment_window": whole["deployment_window"]});
            patch(app, release, &windows);
        },
        ..ROW
    },
    Row {
        gate: "deployment_not_past",
        codes: &["DEPLOYMENT_PAST"],
        spoil: |app, _| app.set_clock("2030-02-06T03:00:00Z"),
        mend: |app, release| {
            let later = json!({"start": "2030-02-07T22:00:00Z", "end": "2030-02-08T02:00:00Z"});
            patch(app, release, &json!({"deployment_window": later}));
        },
        ..ROW
    },
    Row {
        gate: "changes_linked",
        min: Some(1),
        codes: &["NO_CHANGE_LINKED"],
        mend: |app, release| link(app, release, "assessed"),
        ..ROW
    },
    Row {
        gate: "changes_linked",
        min: Some(2),
        codes: &["TOO_FEW_CHANGES_LINKED"],
        spoil: |app, release| link(app, release, "assessed"),
        mend: |app, release| link(app, release, "assessed"),
        ..ROW
    },
    Row {
        gate: "changes_authorised",
        codes: &["CHANGE_NOT_AUTHORISED"],
        spoil: |app, release| link(app, release, "assessed"),
        mend: |app, release| patch_change(app, release, &json!({"status": "authorised"})),
        ..ROW
    },
    Row {
        gate: "changes_authorised",
        codes: &["CHANGE_CANCELLED"],
        spoil: |app, release| {
            link(app, release, "authorised");
            patch_change(app, release, &json!({"status": "cancelled"}));
        },
        mend: |app, release| patch_change(app, release, &json!({"status": "authorised"})),
        ..ROW
    },
    Row {
        gate: "inside_change_windows",
        codes: &["OUTSIDE_CHANGE_WINDOW"],
        spoil: |app, release| {
            link(app, release, "scheduled");
            let window = json!({"start": "2030-03-01T00:00:00Z", "end": "2030-03-02T00:00:00Z"});
            patch_change(app, release, &json!({"window": window}));
        },
        mend: |app, release| patch_change(app, release, &json!({"window": new_release()["deployment_window"]})),
        ..ROW
    },
    Row {
        gate: "dependencies_solved",
        codes: &["DEPENDENCY_NOT_SOLVED"],
        body: |app| json!({"depends_on": [app.release().make()["id"]]}),
        mend: |app, release| patch(app, release, &json!({"depends_on": []})),
        ..ROW
    },
    Row {
        gate: "acceptance_criteria_confirmed",
        kind: "acceptance",
        codes: &["CRITERION_NOT_CONFIRMED"],
        body: |_| json!({"acceptance_criteria": [{"text": "It works"}]}),
        mend: |app, release| {
            patch(app, release, &json!({"acceptance_criteria": [{"text": "It works", "confirmed": true}]}));
        },
        ..ROW
    },
    Row {
        gate: "change_outcomes_recorded",
        codes: &["CHANGE_OUTCOME_PENDING"],
        spoil: |app, release| link(app, release, "authorised"),
        mend: |app, release| record_outcomes(&lead(app), &lead(app).get(release).expect(200).body),
        ..ROW
    },
    Row {
        gate: "purchases_finished",
        codes: &["PURCHASE_NOT_FINISHED"],
        spoil: |app, release| {
            let order = json!({"kind": "purchase", "source": "erp", "external_id": "PO-1", "title": "Terminals"});
            lead(app).post(&format!("{release}/references"), &order).expect(201);
        },
        mend: |app, release| {
            let orders = lead(app).get(&format!("{release}/references")).expect(200);
            let order = orders.body["data"][0]["id"].as_str().unwrap().to_owned();
            patch(app, &format!("{release}/references/{order}"), &json!({"finished": true}));
        },
        ..ROW
    },
    Row {
        gate: "planning_activities_finished",
        codes: &["PLANNING_ACTIVITIES_OPEN"],
        body: |_| json!({"activities": [{"phase": "planning", "title": "Ask"}, {"phase": "deployment", "title": "Copy"}]}),
        mend: |app, release| finish(app, release, "planning"),
        ..ROW
    },
    Row {
        gate: "deployment_activities_finished",
        kind: "deployment",
        codes: &["DEPLOYMENT_ACTIVITIES_OPEN"],
        body: |_| json!({"activities": [{"phase": "planning", "title": "Ask"}, {"phase": "deployment", "title": "Copy"}]}),
        mend: |app, release| finish(app, release, "deployment"),
        ..ROW
    },
    Row {
        gate: "approvals_satisfied",
        kind: "authorization",
        codes: &["APPROVAL_MISSING"],
        body: |app| json!({"approval_rule": asks(app, Role::Manager)}),
        mend: |app, release| vote(app, release, "approve"),
        ..ROW
    },
    Row {
        gate: "approvals_satisfied",
        kind: "authorization",
        codes: &["APPROVAL_REJECTED"],
        body: |app| json!({"approval_rule": asks(app, Role::Manager)}),
        spoil: |app, release| vote(app, release, "reject"),
        mend: |app, release| vote(app, release, "approve"),
        ..ROW
    },
    // Who asks for a release does not approve it.
    Row {
        gate: "approvals_satisfied",
        kind: "authorization",
        codes: &["NO_ELIGIBLE_APPROVER"],
        body: |app| json!({"approval_rule": asks(app, Role::Lead)}),
        mend: |app, release| {
            let rule = lead(app).request("PUT", &format!("{release}/approvals/rule")).header("If-Match", "*");
            Answer::of(rule.json(&asks(app, Role::Manager))).expect(200);
            vote(app, release, "approve");
        },
        ..ROW
    },
    Row {
        gate: "checklists_confirmed",
        kind: "test",
        codes: &["CHECKLIST_NOT_CONFIRMED"],
        body: |_| {
            json!({"checklists": [{"title": "After the tests", "stage": "test", "questions": [
                {"key": "smoke", "text": "Did the smoke tests pass?", "kind": "confirm"},
            ]}]})
        },
        mend: |app, release| {
            let lists = lead(app).get(&format!("{release}/checklists")).expect(200);
            let list = lists.body["data"][0]["id"].as_str().unwrap().to_owned();
            let answer = format!("{release}/checklists/{list}/answers/smoke");
            lead(app).put(&answer, &json!({"value": true})).expect(200);
        },
        ..ROW
    },
    Row {
        gate: "test_evidence",
        kind: "test",
        codes: &["TEST_EVIDENCE_MISSING"],
        mend: |app, release| {
            let parts = [("class", "evidence"), ("version", "4.2.0")];
            lead(app).upload(&format!("{release}/documents"), &parts, "tests.txt", b"passed").expect(201);
        },
        ..ROW
    },
    Row {
        gate: "media_authorised",
        kind: "authorization",
        codes: &["MEDIUM_MISSING", "MEDIUM_NOT_AUTHORISED", "MEDIUM_VERSION_DIFFERS", "PACKAGE_NOT_IN_LIBRARY"],
        spoil: |app, release| {
            let draft = medium(app, "4.1.0", "draft");
            let [one, two, three] = [(), (), ()].map(|()| item(app));
            plan_item(app, release, &one, &[("intended_version", "4.2.0")]);
            plan_item(app, release, &two, &[("intended_version", "4.2.0"), ("medium_id", draft.as_str())]);
            // Of one that gets no version nothing is asked.
            plan_item(app, release, &three, &[]);
            lead(app).upload(&format!("{release}/documents"), &[("class", "package")], "p.zip", b"other").expect(201);
        },
        mend: |app, release| {
            let good = medium(app, "4.2.0", "authorised");
            let of_release = format!("release_id = '{}' AND intended_version IS NOT NULL", id_in(release));
            let sql = format!("UPDATE release_configuration_items SET medium_id = '{good}' WHERE {of_release}");
            app.database.execute(&sql);
            let documents = format!("{release}/documents");
            let wrong = lead(app).get(&documents).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
            lead(app).delete(&format!("{documents}/{wrong}"), "*").expect(204);
            let content = content_of("4.2.0");
            lead(app).upload(&documents, &[("class", "package")], "p.zip", content.as_bytes()).expect(201);
        },
        ..ROW
    },
    Row {
        gate: "media_authorised",
        kind: "authorization",
        codes: &["MEDIUM_NOT_AUTHORISED"],
        spoil: |app, release| {
            let linked = json!({"medium_id": medium(app, "4.2.0", "verified")});
            lead(app).post(&format!("{release}/definitive-media"), &linked).expect(201);
        },
        mend: |app, release| {
            let links = lead(app).get(&format!("{release}/definitive-media")).expect(200);
            let medium = links.body["data"][0]["medium_id"].as_str().unwrap().to_owned();
            Answer::of(lead(app).request("POST", &format!("/definitive-media/{medium}/authorise"))).expect(200);
        },
        ..ROW
    },
    Row {
        gate: "spares_reserved",
        kind: "authorization",
        codes: &["SPARE_NOT_RESERVED"],
        spoil: |app, release| {
            let (wanted, other) = (item(app), item(app));
            plan_item(app, release, &wanted, &[("spare_model", "T7")]);
            plan_item(app, release, &other, &[]);
            // Of another model, and for another item.
            reserve(app, release, "T8", Some(&wanted));
            reserve(app, release, "T7", Some(&other));
        },
        mend: |app, release| {
            let spares = format!("{release}/hardware-spares");
            let page = lead(app).get(&spares).expect(200);
            let wrong = page.body["data"].as_array().unwrap().iter().find(|spare| spare["model"] == "T8").unwrap();
            let wanted = wrong["configuration_item_id"].as_str().unwrap();
            patch(app, &format!("{spares}/{}", wrong["id"].as_str().unwrap()), &json!({"configuration_item_id": null}));
            reserve(app, release, "T7", Some(wanted));
        },
        ..ROW
    },
    Row {
        gate: "configuration_items_unchanged",
        codes: &["CI_CHANGED_SINCE_LINKED"],
        spoil: |app, release| {
            let (item, links) = (app.item(), format!("{release}/configuration-items"));
            lead(app).post(&links, &json!({"configuration_item_id": item})).expect(201);
            let path = format!("/configuration-items/{item}");
            app.client(Role::Integration).patch(&path, "*", &json!({"location": "Porto"})).expect(200);
        },
        mend: |app, release| {
            let links = lead(app).get(&format!("{release}/configuration-items")).expect(200);
            let link = &links.body["data"][0];
            let path = format!("{release}/configuration-items/{}", link["id"].as_str().unwrap());
            patch(app, &path, &json!({"seen_row_version": link["current_row_version"]}));
        },
        ..ROW
    },
];

#[test]
fn every_gate_of_the_catalogue_is_tried_here() {
    let catalogue = App::start().client(Role::Viewer).get("/lifecycle").expect(200).body["gates"].clone();
    let known: BTreeSet<&str> =
        catalogue.as_array().unwrap().iter().map(|gate| gate["gate"].as_str().unwrap()).collect();
    let tried: BTreeSet<&str> = ROWS.iter().map(|row| row.gate).collect();
    assert_eq!(known, tried, "the catalogue, and what has a row in ROWS");
    for row in ROWS {
        let gate = catalogue.as_array().unwrap().iter().find(|gate| gate["gate"] == row.gate).unwrap();
        for code in row.codes {
            assert!(gate["blocker_codes"].as_array().unwrap().contains(&json!(code)), "{} {code}", row.gate);
        }
        assert_eq!(gate["parameters"].as_array().unwrap().contains(&json!("min")), row.min.is_some(), "{}", row.gate);
    }
    for gate in catalogue.as_array().unwrap() {
        for code in gate["blocker_codes"].as_array().unwrap() {
            let tried = |row: &Row| gate["gate"] == row.gate && row.codes.iter().any(|known| code == known);
            assert!(ROWS.iter().any(tried), "{code} of {} is tried by no row", gate["gate"]);
        }
    }
}

/// A workflow whose first stage has this gate alone, and the model that names it.
fn model_with(app: &App, row: &Row) -> String {
    let manager = app.client(Role::Manager);
    let mut gate = json!({"gate": row.gate});
    if let Some(min) = row.min {
        gate["min"] = json!(min);
    }
    let workflow = json!({"key": "tried", "name": "Tried", "return_stage": "work", "stages": [
        {"key": "work", "kind": row.kind, "responsible": [{"kind": "executor_group"}], "gates": [gate]},
        {"key": "end", "kind": "closure", "responsible": [{"kind": "requester"}], "gates": []},
    ]});
    manager.post("/workflows", &workflow).expect(201);
    let model = json!({"name": "Tried", "status": "active", "workflow": "tried", "executor_group_id": app.group("Release team")});
    let portfolio = app.named("portfolios", "General");
    manager.post(&format!("/portfolios/{portfolio}/models"), &model).expect(201).id()
}

#[test]
fn every_gate_by_itself_is_in_the_way_with_its_code_and_then_passed() {
    for row in ROWS {
        let app = App::start();
        let mut body = new_release();
        body["model_id"] = json!(model_with(&app, row));
        for (name, value) in (row.body)(&app).as_object().unwrap() {
            body[name] = value.clone();
        }
        let release = lead(&app).post("/releases", &body).expect(201).body;
        assert_eq!(release["stage"], "work");
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        (row.spoil)(&app, &path);
        let mut advance = json!({"action": "advance", "from_stage": "work"});
        if row.kind == "acceptance" {
            for (name, value) in solved(&app).as_object().unwrap() {
                advance[name] = value.clone();
            }
        }
        let refused = lead(&app).post(&format!("{path}/transitions"), &advance).problem(422, "GATES_NOT_MET");
        assert_eq!(refused.blockers(), row.codes, "{}", row.gate);
        let verdicts = lead(&app).get(&format!("{path}/allowed-transitions")).expect(200);
        let verdict = verdicts.body["data"].as_array().unwrap().iter().find(|v| v["action"] == "advance").unwrap();
        assert_eq!(verdict["allowed"], false);
        for blocker in verdict["blockers"].as_array().unwrap() {
            assert_eq!(blocker["gate"], row.gate);
        }
        (row.mend)(&app, &path);
        let passed = lead(&app).post(&format!("{path}/transitions"), &advance).expect(201);
        assert_eq!(passed.body["release"]["stage"], "end", "{}", row.gate);
    }
}
