//! A release from planning to closed and reopened, by people with different rights.

use serde_json::json;

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
