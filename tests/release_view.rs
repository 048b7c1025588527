//! The release view: a release with what belongs to it, in one answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use serde_json::{Value, json};

use crate::support::*;

const PARTS: [&str; 13] = [
    "activities",
    "changes",
    "configuration_items",
    "roles",
    "checklists",
    "approvals",
    "records",
    "documents",
    "references",
    "shares",
    "comments",
    "definitive_media",
    "hardware_spares",
];

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn everything(path: &str) -> String {
    format!("{path}?include={}", PARTS.join(","))
}

/// A release that somebody must approve.
fn release(app: &App) -> Value {
    let voters = json!([{"user_id": app.user_id(Role::Lead)}, {"user_id": app.user_id(Role::Manager)}]);
    app.release().with("approval_rule", json!({"kind": "all", "voters": voters})).make()
}

/// Adds one more of everything that a release holds.
fn add_one_of_each(app: &App, path: &str, nth: usize) {
    let lead = app.client(Role::Lead);
    let activity =
        json!({"phase": "deployment", "title": format!("Install {nth}"), "checklist": [{"text": "It runs"}]});
    let question = json!({"key": "backup", "text": "Is there a backup?", "kind": "confirm"});
    let readers = json!({"name": format!("Readers {nth}"), "permissions": []});
    let group = app.client(Role::Admin).post("/groups", &readers).expect(201).id();
    for (part, body) in [
        ("activities", activity),
        ("changes", json!({"change_id": app.change("authorised")})),
        ("configuration-items", json!({"configuration_item_id": app.item()})),
        ("roles", json!({"role": "informed", "name": format!("Eva {nth}"), "email": format!("eva{nth}@example.org")})),
        ("checklists", json!({"title": format!("Tests {nth}"), "stage": "test", "questions": [question]})),
        ("records", json!({"kind": "note", "body": "All is ready"})),
        ("references", json!({"kind": "ticket", "source": "desk", "external_id": format!("T-{nth}"), "title": "Slow"})),
        ("shares", json!({"group_id": group, "level": "read"})),
        ("comments", json!({"body": "When is it?"})),
    ] {
        lead.post(&format!("{path}/{part}"), &body).expect(201);
    }
    let integration = app.client(Role::Integration);
    let medium = json!({"name": format!("payments-{nth}"), "version": "4.2.0", "kind": "package"});
    let medium = integration.post("/definitive-media", &medium).expect(201).id();
    lead.post(&format!("{path}/definitive-media"), &json!({"medium_id": medium})).expect(201);
    let spare = json!({"model": "Terminal T7", "serial": format!("T7-{nth}")});
    let spare = integration.post("/hardware-spares", &spare).expect(201).id();
    lead.post(&format!("{path}/hardware-spares"), &json!({"spare_id": spare})).expect(201);
    let name = format!("plan-{nth}.txt");
    lead.upload(&format!("{path}/documents"), &[("class", "general")], &name, b"The plan").expect(201);
}

#[test]
fn every_part_is_what_its_own_list_answers_first() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let path = path(&release(&app));
    for nth in 0..2 {
        add_one_of_each(&app, &path, nth);
    }
    let plain = admin.get(&path).expect(200).body;
    assert_eq!(plain["included"], Value::Null);
    let lists: BTreeMap<&str, Value> = PARTS
        .into_iter()
        .map(|part| {
            let paged = matches!(
                part,
                "activities" | "configuration_items" | "records" | "documents" | "references" | "comments"
            );
            let longest = if paged { "?limit=200" } else { "" };
            let list = admin.get(&format!("{path}/{}{longest}", part.replace('_', "-"))).expect(200).body;
            assert!(part == "approvals" || list["data"].as_array().unwrap().len() >= 2, "{part}");
            (part, list)
        })
        .collect();
    for part in PARTS {
        let mut view = admin.get(&format!("{path}?include={part}")).expect(200).body;
        assert_eq!(view["included"].take(), json!({part: lists[part]}));
        assert_eq!(view, plain, "{part}");
    }
    let mut view = admin.get(&everything(&path)).expect(200).body;
    assert_eq!(view["included"].take(), json!(lists));
    assert_eq!(view, plain);
}

#[test]
fn a_cursor_of_the_view_goes_on_in_the_list() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let made = release(&app);
    let key = format!("/releases/{}", made["key"].as_str().unwrap());
    for nth in 0..201 {
        lead.post(&format!("{key}/comments"), &json!({"body": format!("{nth}")})).expect(201);
    }
    for path in [path(&made), key] {
        let page = lead.get(&format!("{path}?include=comments")).expect(200).body["included"]["comments"].take();
        assert_eq!((page["data"].as_array().unwrap().len(), &page["page"]["limit"]), (200, &json!(200)));
        let cursor = page["page"]["next_cursor"].as_str().unwrap();
        let rest = lead.get(&format!("{path}/comments?limit=200&cursor={cursor}")).expect(200).body;
        assert_eq!((rest["data"].as_array().unwrap().len(), &rest["page"]["next_cursor"]), (1, &Value::Null));
        let rest = rest["data"][0]["body"].as_str().unwrap();
        assert!(page["data"].as_array().unwrap().iter().all(|comment| comment["body"] != rest));
    }
}

#[test]
fn a_part_that_is_none_or_is_there_twice_is_named() {
    let app = App::start();
    let (admin, path) = (app.client(Role::Admin), path(&release(&app)));
    for (given, named) in [
        ("history", vec!["`history` is none of activities,"]),
        ("", vec!["`` is none of"]),
        ("roles,", vec!["`` is none of"]),
        ("Roles", vec!["`Roles` is none of"]),
        ("roles,shares,roles", vec!["`roles` is there twice."]),
        ("roles,x,y,roles", vec!["`x` is none of", "`y` is none of", "`roles` is there twice."]),
    ] {
        let refused = admin.get(&format!("{path}?include={given}")).problem(400, "MALFORMED_REQUEST");
        let errors = refused.body["errors"].as_array().unwrap();
        assert_eq!(errors.len(), named.len(), "{given}");
        for (error, named) in errors.iter().zip(named) {
            assert_eq!((&error["parameter"], &error["code"]), (&json!("include"), &json!("INVALID_PARAMETER")));
            assert!(error["detail"].as_str().unwrap().starts_with(named), "{given}: {error}");
        }
    }
    let both = admin.get(&format!("{path}?include=x&colour=red")).problem(400, "MALFORMED_REQUEST");
    both.faults(&[("include", "INVALID_PARAMETER"), ("colour", "UNKNOWN_PARAMETER")]);
    let twice = admin.get(&format!("{path}?include=roles&include=shares")).problem(400, "MALFORMED_REQUEST");
    twice.faults(&[("include", "REPEATED_PARAMETER")]);
    let long = admin.get(&format!("{path}?include={}", "x".repeat(5_000))).problem(400, "MALFORMED_REQUEST");
    assert!(long.text.len() < 1_000, "{}", long.text);
    app.anonymous().get(&format!("{path}?include=x")).problem(401, "UNAUTHENTICATED");
}

#[test]
fn who_does_not_see_the_release_sees_nothing_of_it() {
    let app = App::start();
    let path = path(&release(&app));
    app.client(Role::Outsider).get(&everything(&path)).problem(404, "NOT_FOUND");
    let share = json!({"user_id": app.user_id(Role::Outsider), "level": "read"});
    app.client(Role::Lead).post(&format!("{path}/shares"), &share).expect(201);
    let outsider = app.client(Role::Outsider);
    let view = outsider.get(&everything(&path)).expect(200).body;
    assert_eq!(view["included"]["approvals"], outsider.get(&format!("{path}/approvals")).expect(200).body);
    app.client(Role::Admin).get(&everything("/releases/REL-999")).problem(404, "NOT_FOUND");
}

#[test]
fn the_view_holds_as_long_as_nothing_in_it_changes() {
    let app = App::start();
    let (lead, path) = (app.client(Role::Lead), path(&release(&app)));
    let view = everything(&path);
    let unless = |tag: &str| Answer::of(lead.request("GET", &view).header("If-None-Match", tag));
    let first = lead.get(&view).expect(200);
    let tag = first.header("etag").to_owned();
    assert_ne!(tag, lead.get(&path).expect(200).header("etag"));
    assert_eq!(unless(&tag).expect(304).text, "");
    // The release stays as it is, and so does its version; what was read along does not.
    lead.post(&format!("{path}/comments"), &json!({"body": "When is it?"})).expect(201);
    let second = unless(&tag).expect(200);
    assert_ne!(second.header("etag"), tag);
    assert_eq!(second.body["row_version"], first.body["row_version"]);
    let head = Answer::of(lead.request("HEAD", &view)).expect(200);
    assert_eq!((head.header("etag"), head.text.as_str()), (second.header("etag"), ""));
    // What is read along is no part of what is changed.
    let change = json!({"included": null});
    lead.patch(&path, "*", &change).problem(400, "MALFORMED_REQUEST").faults(&[("/included", "READ_ONLY_FIELD")]);
}

/// Statements by the address of their database, since the counting began.
static STATEMENTS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

struct Counter {
    database: String,
}

impl Instrumentation for Counter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => url.clone_into(&mut self.database),
            InstrumentationEvent::StartQuery { .. } => {
                let mut counted = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner);
                *counted.entry(self.database.clone()).or_default() += 1;
            }
            _ => {}
        }
    }
}

/// Counts the statements of all connections that are opened from now on.
fn count_statements() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        set_default_instrumentation(|| Some(Box::new(Counter { database: String::new() }))).unwrap();
    });
}

/// The least that one of a few calls took: what a process does beside them is not theirs.
fn statements_of(app: &App, call: impl Fn()) -> usize {
    let name = match &app.database.target {
        slipway::repository::Target::Sqlite(file) => file.display().to_string(),
        slipway::repository::Target::Postgres(url) => url.clone(),
    };
    let count = || -> usize {
        let counted = STATEMENTS.lock().unwrap();
        counted.iter().filter(|(database, _)| database.starts_with(&name)).map(|(_, count)| count).sum()
    };
    let mut least = usize::MAX;
    for _ in 0..5 {
        let before = count();
        call();
        least = least.min(count() - before);
    }
    least
}

#[test]
fn the_view_takes_the_same_few_statements_whatever_there_is_in_it() {
    count_statements();
    let app = App::start();
    let admin = app.client(Role::Admin);
    let made = release(&app);
    let path = path(&made);
    let view = || drop(admin.get(&everything(&path)).expect(200));
    add_one_of_each(&app, &path, 0);
    let of_one = statements_of(&app, view);
    for nth in 1..8 {
        add_one_of_each(&app, &path, nth);
        app.release().make();
    }
    let of_eight = statements_of(&app, view);
    assert_eq!(of_one, of_eight);
    let alone = statements_of(&app, || drop(admin.get(&path).expect(200)));
    assert!(alone > 0 && of_eight > alone && of_eight <= 40, "{alone} alone, {of_eight} with everything");
}
