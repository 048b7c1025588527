//! The records of releases: entries are added and corrected by further entries, and never changed.

use serde_json::{Value, json};

use crate::refusals::AN_ID;
use crate::support::*;

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn note(body: &str) -> Value {
    json!({"kind": "note", "body": body})
}

#[test]
fn an_entry_is_kept_as_it_was_said_and_never_changes() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let records = format!("{}/records", path(&app.release().make()));
    let body = json!({
        "kind": "communication", "category": "vendor", "origin": "phone", "minutes_spent": 15, "contact": "Rui Lima",
        "body": "They come at ten.",
    });
    let made = lead.post(&records, &body).expect(201);
    assert_eq!(made.header("location"), format!("/api/v1{records}/{}", made.id()));
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&made.body[field], value, "{field}");
    }
    assert_eq!(made.body["author_id"], json!(app.user_id(Role::Lead)));
    assert_eq!((&made.body["created_at"], &made.body["corrected_by_id"]), (&json!(NOW), &json!(null)));
    let plain = lead.post(&records, &note("All is ready")).expect(201);
    assert_eq!((&plain.body["origin"], &plain.body["minutes_spent"]), (&json!("other"), &json!(null)));
    let item = format!("{records}/{}", made.id());
    for answer in [
        lead.patch(&item, "*", &json!({"body": "They come at nine."})),
        lead.delete(&item, "*"),
        lead.put(&item, &body),
    ] {
        let refused = answer.problem(405, "METHOD_NOT_ALLOWED");
        assert!(refused.header("allow").contains("GET") && !refused.header("allow").contains("PATCH"));
    }
    assert_eq!(lead.get(&item).expect(200).text, made.text);
    app.assert_sound();
}

#[test]
fn a_correction_names_what_it_corrects_once_and_in_the_same_release() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = path(&app.release().make());
    let records = format!("{release}/records");
    let wrong = lead.post(&records, &note("At nine")).expect(201).id();
    let mut corrected = note("At ten");
    corrected["corrects_id"] = json!(wrong);
    let right = lead.post(&records, &corrected).expect(201);
    assert_eq!(right.body["corrects_id"], json!(wrong));
    assert_eq!(lead.get(&format!("{records}/{wrong}")).expect(200).body["corrected_by_id"], json!(right.id()));
    let refused =
        lead.post(&records, &corrected).problem(409, "ALREADY_EXISTS").faults(&[("/corrects_id", "ALREADY_EXISTS")]);
    assert!(refused.body["detail"].as_str().unwrap().contains(&right.id()), "{}", refused.text);
    corrected["corrects_id"] = json!(right.id());
    let last = lead.post(&records, &corrected).expect(201);
    let elsewhere = lead.post(&format!("{}/records", path(&app.release().make())), &note("Other")).expect(201).id();
    for id in [elsewhere.as_str(), AN_ID] {
        corrected["corrects_id"] = json!(id);
        lead.post(&records, &corrected).problem(422, "INVALID_VALUES").faults(&[("/corrects_id", "UNKNOWN_REFERENCE")]);
    }
    let ids = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{records}?sort=created_at&{query}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("corrected=true"), [wrong, right.id()]);
    assert_eq!(ids("corrected=false"), [last.id()]);
    app.assert_sound();
}

#[test]
fn records_are_written_in_every_status_by_those_who_may_execute() {
    let app = App::start();
    let (lead, viewer) = (app.client(Role::Lead), app.client(Role::Viewer));
    for status in ["open", "reopened", "suspended", "cancelled", "closed"] {
        let records = format!("{}/records", path(&app.release().status(status).make()));
        lead.post(&records, &note("Still")).expect(201);
        viewer.post(&records, &note("Not I")).problem(403, "FORBIDDEN");
        assert_eq!(viewer.get(&records).expect(200).body["data"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn records_are_filtered_sorted_and_walked_page_by_page() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let release = path(&app.release().make());
    let records = format!("{release}/records");
    // Of another release: never found.
    lead.post(&format!("{}/records", path(&app.release().make())), &note("Elsewhere")).expect(201);
    let rows = [
        (&lead, "note", "other", "vendor", "2030-01-07T10:00:00Z"),
        (&lead, "execution", "email", "vendor", "2030-01-07T10:03:00Z"),
        (&manager, "execution", "chat", "network", "2030-01-07T10:06:00Z"),
        (&lead, "occurrence", "automation", "network", "2030-01-07T10:06:00Z"),
    ];
    for (index, (client, kind, origin, category, at)) in rows.iter().enumerate() {
        app.set_clock(at);
        let body = json!({"kind": kind, "origin": origin, "category": category, "body": format!("{index}")});
        client.post(&records, &body).expect(201);
    }
    let bodies = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{records}?{query}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|item| item["body"].as_str().unwrap().to_owned()).collect()
    };
    let author = app.user_id(Role::Manager);
    let cases: [(&str, &[&str]); 9] = [
        ("", &["3", "2", "1", "0"]),
        ("sort=created_at", &["0", "1", "2", "3"]),
        ("kind=execution", &["2", "1"]),
        ("kind=execution,note", &["2", "1", "0"]),
        ("origin=email,chat", &["2", "1"]),
        ("category=network", &["3", "2"]),
        (&format!("author={author}"), &["2"]),
        ("created_from=2030-01-07T10:03:00Z&created_to=2030-01-07T10:06:00Z", &["1"]),
        ("category=vendor&kind=note", &["0"]),
    ];
    for (query, expected) in cases {
        assert_eq!(bodies(query), expected, "{query}");
    }
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = lead.get(&format!("{records}?limit=1&count=exact{cursor}")).expect(200);
        assert_eq!(page.body["page"]["total"], 4);
        walked.push(page.body["data"][0]["body"].as_str().unwrap().to_owned());
        match page.body["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(walked, ["3", "2", "1", "0"]);
    let first = lead.get(&format!("{records}?limit=1")).expect(200);
    let cursor = first.body["page"]["next_cursor"].as_str().unwrap();
    for elsewhere in [format!("{records}?kind=note"), format!("{}/records?", path(&app.release().make()))] {
        lead.get(&format!("{elsewhere}&cursor={cursor}")).problem(400, "MALFORMED_REQUEST");
    }
    for (query, parameter) in [
        ("kind=rumour", "kind"),
        ("author=me", "author"),
        ("created_from=today", "created_from"),
        ("sort=body", "sort"),
        ("release_id=x", "release_id"),
        ("limit=201", "limit"),
    ] {
        let refused = lead.get(&format!("{records}?{query}")).problem(400, "MALFORMED_REQUEST");
        assert_eq!(refused.body["errors"][0]["parameter"], parameter);
    }
}

#[test]
fn a_bad_entry_is_refused_and_names_what_is_wrong() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let records = format!("{}/records", path(&app.release().make()));
    let with = |field: &str, value: Value| {
        let mut body = note("All is ready");
        body[field] = value;
        body
    };
    for (body, pointer, code) in [
        (with("kind", json!("rumour")), "/kind", "NOT_ALLOWED"),
        (with("origin", json!("pigeon")), "/origin", "NOT_ALLOWED"),
        (with("body", json!(" \n")), "/body", "BLANK"),
        (with("body", json!("")), "/body", "TOO_SHORT"),
        (with("body", json!("b".repeat(65_001))), "/body", "TOO_LONG"),
        (with("body", json!("a\u{0}b")), "/body", "INVALID_CHARACTER"),
        (with("category", json!("a,b")), "/category", "INVALID_FORMAT"),
        (with("category", json!("c".repeat(101))), "/category", "TOO_LONG"),
        (with("contact", json!("c".repeat(201))), "/contact", "TOO_LONG"),
        (with("minutes_spent", json!(-1)), "/minutes_spent", "OUT_OF_RANGE"),
        (with("minutes_spent", json!(525_601)), "/minutes_spent", "OUT_OF_RANGE"),
        (with("corrects_id", json!("that one")), "/corrects_id", "TOO_SHORT"),
    ] {
        let refused = lead.post(&records, &body).problem(422, "INVALID_VALUES");
        assert_eq!(
            (&refused.body["errors"][0]["pointer"], &refused.body["errors"][0]["code"]),
            (&json!(pointer), &json!(code))
        );
    }
    for (body, pointer, code) in [
        (with("author_id", json!(AN_ID)), "/author_id", "READ_ONLY_FIELD"),
        (with("created_at", json!(NOW)), "/created_at", "READ_ONLY_FIELD"),
        (with("minutes_spent", json!("15")), "/minutes_spent", "WRONG_TYPE"),
        (with("colour", json!("red")), "/colour", "UNKNOWN_FIELD"),
    ] {
        lead.post(&records, &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
    assert_eq!(lead.get(&format!("{records}?count=exact")).expect(200).body["page"]["total"], 0);
    let tried = lead.post(&format!("{records}?dry_run=true"), &note("Trial")).expect(200);
    assert_eq!(tried.body["id"], json!(null));
    let first = lead.post_once(&records, "note-1", &note("Once")).expect(201);
    assert_eq!(lead.post_once(&records, "note-1", &note("Once")).expect(201).text, first.text);
    lead.post_once(&records, "note-1", &note("Twice")).problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(lead.get(&format!("{records}?count=exact")).expect(200).body["page"]["total"], 1);
}
