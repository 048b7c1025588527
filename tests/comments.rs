//! The discussion of releases: whoever sees a release takes part in it, and nothing is unsaid.

use serde_json::{Value, json};

use crate::refusals::AN_ID;
use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn said(body: &str) -> Value {
    json!({"body": body})
}

#[test]
fn everybody_who_sees_a_release_comments_on_it_in_every_status() {
    let app = App::start();
    for status in ["open", "reopened", "suspended", "cancelled", "closed"] {
        let requester = json!({"user_id": app.user_id(Role::Requester)});
        let release = path(&app.release().with("requester", requester).status(status).make());
        let comments = format!("{release}/comments");
        for role in Role::ALL {
            let answer = app.client(role).post(&comments, &said(role.username()));
            match role {
                Role::Operator | Role::Outsider => answer.problem(404, "NOT_FOUND"),
                _ => answer.expect(201),
            };
        }
        let share = json!({"user_id": app.user_id(Role::Outsider), "level": "read"});
        let manager = app.client(Role::Manager);
        let share = manager.post(&format!("{release}/shares"), &share).expect(201).id();
        app.client(Role::Outsider).post(&comments, &said("outsider")).expect(201);
        manager.delete(&format!("{release}/shares/{share}"), "*").expect(204);
        app.client(Role::Outsider).post(&comments, &said("again")).problem(404, "NOT_FOUND");
        let page = manager.get(&format!("{comments}?sort=created_at")).expect(200);
        let bodies: Vec<&str> =
            page.body["data"].as_array().unwrap().iter().map(|item| item["body"].as_str().unwrap()).collect();
        assert_eq!(bodies, ["admin", "manager", "viewer", "integration", "lead", "requester", "outsider"]);
    }
    app.assert_sound();
}

#[test]
fn a_comment_answers_another_on_the_same_release_and_never_changes() {
    let app = App::start();
    let (lead, viewer) = (app.client(Role::Lead), app.client(Role::Viewer));
    let comments = format!("{}/comments", path(&app.release().make()));
    let question = viewer.post(&comments, &said("When?")).expect(201);
    assert_eq!(question.header("location"), format!("/api/v1{comments}/{}", question.id()));
    app.set_clock("2030-01-07T10:05:00Z");
    let answer = lead.post(&comments, &json!({"body": "Tonight", "reply_to_id": question.id()})).expect(201);
    assert_eq!((&answer.body["reply_to_id"], &answer.body["row_version"]), (&json!(question.id()), &json!(1)));
    let elsewhere = format!("{}/comments", path(&app.release().make()));
    for id in [answer.id().as_str(), AN_ID] {
        lead.post(&elsewhere, &json!({"body": "Where?", "reply_to_id": id}))
            .problem(422, "INVALID_VALUES")
            .faults(&[("/reply_to_id", "UNKNOWN_REFERENCE")]);
    }
    let item = format!("{comments}/{}", question.id());
    viewer.patch(&item, "*", &said("Where?")).problem(405, "METHOD_NOT_ALLOWED");
    let refused = viewer.delete(&item, "*").problem(405, "METHOD_NOT_ALLOWED");
    assert!(refused.header("allow").contains("GET"));
    let bodies = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{comments}?{query}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|item| item["body"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bodies(""), ["Tonight", "When?"]);
    assert_eq!(bodies("sort=created_at"), ["When?", "Tonight"]);
    assert_eq!(bodies(&format!("reply_to={}", question.id())), ["Tonight"]);
    assert_eq!(bodies(&format!("author={}", app.user_id(Role::Viewer))), ["When?"]);
    assert_eq!(bodies("created_from=2030-01-07T10:05:00Z"), ["Tonight"]);
    assert_eq!(bodies("created_to=2030-01-07T10:05:00Z"), ["When?"]);
    let history = lead.get(&format!("{}/history", comments.trim_end_matches("/comments"))).expect(200);
    assert_eq!(history.body["data"][0]["action"], "release.add_comment");
    assert_eq!(history.body["data"][0]["subject_id"], json!(answer.id()));
    app.assert_sound();
}

#[test]
fn a_bad_comment_is_refused_and_names_what_is_wrong() {
    let app = App::start();
    let viewer = app.client(Role::Viewer);
    let comments = format!("{}/comments", path(&app.release().make()));
    for (body, pointer, code) in [
        (json!({}), "/body", "REQUIRED"),
        (said("  "), "/body", "BLANK"),
        (said(&"b".repeat(10_001)), "/body", "TOO_LONG"),
        (said("a\u{0}"), "/body", "INVALID_CHARACTER"),
    ] {
        viewer.post(&comments, &body).problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
    }
    for (body, pointer, code) in [
        (json!({"body": 7}), "/body", "WRONG_TYPE"),
        (json!({"body": "b", "author_id": AN_ID}), "/author_id", "READ_ONLY_FIELD"),
        (json!({"body": "b", "mood": "good"}), "/mood", "UNKNOWN_FIELD"),
    ] {
        viewer.post(&comments, &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
    let first = viewer.post_once(&comments, "c-1", &said("Once")).expect(201);
    assert_eq!(viewer.post_once(&comments, "c-1", &said("Once")).expect(201).text, first.text);
    assert_eq!(viewer.get(&format!("{comments}?count=exact")).expect(200).body["page"]["total"], 1);
}
