//! Imports: what rows become, one after the other, and what is left when something goes wrong in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use slipway::api::v1::imports::FORMS;
use slipway::domain::values::Timestamp;
use slipway::service::importing::{FAILURES_MAX, Importing, PORTION_ROWS_MAX};
use slipway::service::imports::{IMPORTS_OPEN_MAX, RESULTS_KEPT_DAYS};
use slipway::service::keeping::Keeping;

use crate::support::*;

pub const NDJSON: &str = "application/x-ndjson";

/// Sends an upload.
pub fn upload(client: &Client, query: &str, media_type: &str, body: impl Into<String>) -> Answer {
    let path = format!("/configuration-items/import{query}");
    Answer::of(client.request("POST", &path).header("content-type", media_type).body(body.into()))
}

pub fn importing(app: &App) -> Importing {
    Importing::new(Arc::clone(&app.env), FORMS)
}

/// Sends an upload, has it applied, and answers the import as it is then.
fn imported(app: &App, query: &str, media_type: &str, body: impl Into<String>) -> Value {
    let client = app.client(Role::Integration);
    let id = upload(&client, query, media_type, body).expect(202).id();
    assert_eq!(importing(app).run_due().unwrap(), 1);
    client.get(&format!("/imports/{id}")).expect(200).body
}

fn counts(import: &Value) -> [i64; 4] {
    ["created", "updated", "unchanged", "failed"].map(|name| import[name].as_i64().unwrap())
}

fn results(app: &App, import: &Value, query: &str) -> Vec<Value> {
    let path = format!("/imports/{}/results?{query}", import["id"].as_str().unwrap());
    app.client(Role::Viewer).get(&path).expect(200).body["data"].as_array().unwrap().clone()
}

fn item(key: &str) -> Value {
    json!({"type": "configuration_item", "source": "cmdb", "external_id": key, "name": key, "class": "server", "status": "planned"})
}

fn related(from: &str, kind: &str, to: &str) -> Value {
    json!({"type": "relationship", "source": "cmdb", "external_id": from, "kind": kind, "target_source": "cmdb", "target_external_id": to})
}

fn lines_of(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn count(app: &App, table: &str) -> i64 {
    let sql = format!("SELECT CAST(COUNT(*) AS TEXT) AS line FROM {table}");
    lines(&mut app.env.database.connect().unwrap(), &sql)[0].parse().unwrap()
}

#[test]
fn an_upload_is_taken_in_applied_and_told_row_by_row() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let body = lines_of(&[item("a"), item("b"), related("a", "runs_on", "b"), related("a", "runs_on", "z")]);
    let taken = upload(&integration, "", NDJSON, body.clone()).expect(202);
    let path = format!("/imports/{}", taken.id());
    assert_eq!(taken.header("location"), format!("/api/v1{path}"));
    assert_eq!((&taken.body["state"], &taken.body["size_bytes"]), (&json!("queued"), &json!(body.len())));
    assert_eq!(count(&app, "configuration_items"), 0);
    assert_eq!(importing(&app).run_due().unwrap(), 1);
    let import = integration.get(&path).expect(200).body;
    assert_eq!((&import["state"], &import["bytes_done"]), (&json!("completed"), &json!(body.len())));
    assert_eq!((counts(&import), &import["rows_done"]), ([3, 0, 0, 1], &json!(4)));
    assert_eq!(import["actor_name"], "integration");
    let rows = results(&app, &import, "");
    assert_eq!(rows[0]["record_key"], "cmdb/a");
    assert_eq!((&rows[2]["kind"], &rows[2]["record_key"]), (&json!("relationship"), &json!("cmdb/a runs_on cmdb/b")));
    let error = &rows[3]["errors"][0];
    assert_eq!((&error["pointer"], &error["code"]), (&json!("/target_external_id"), &json!("UNKNOWN_REFERENCE")));
    assert_eq!(results(&app, &import, "outcome=failed").len(), 1);
    // The item, its history and its audit tell of the import and of who uploaded it.
    let id = rows[0]["record_id"].as_str().unwrap();
    let history = integration.get(&format!("/configuration-items/{id}/history?origin=import")).expect(200);
    assert_eq!(history.body["data"][0]["import_id"], import["id"]);
    assert_eq!(history.body["data"][0]["actor_id"], app.user_id(Role::Integration).to_string());
    let audit = app.client(Role::Admin).get(&format!("/audit?record_id={id}")).expect(200);
    let actions: Vec<&Value> = audit.body["data"].as_array().unwrap().iter().map(|row| &row["action"]).collect();
    assert_eq!(actions.len(), 2);
    assert!(actions.contains(&&json!("configuration_item.add_relationships")));
    for row in audit.body["data"].as_array().unwrap() {
        assert_eq!(row["actor_name"], "integration");
        assert_eq!(row["request_id"], taken.header("x-request-id"));
    }
    app.assert_sound();
}

#[test]
fn the_same_upload_again_changes_nothing() {
    let app = App::start();
    let rows = [item("a"), item("b"), related("a", "connected_to", "b"), related("b", "depends_on", "a")];
    assert_eq!(counts(&imported(&app, "", NDJSON, lines_of(&rows))), [4, 0, 0, 0]);
    let stored = |app: &App| {
        ["configuration_items", "configuration_item_history", "configuration_item_relationships", "events"]
            .map(|table| count(app, table))
    };
    let before = stored(&app);
    let mut again = rows.to_vec();
    again.push(related("b", "connected_to", "a"));
    assert_eq!(counts(&imported(&app, "", NDJSON, lines_of(&again))), [0, 0, 5, 0]);
    assert_eq!(stored(&app), before);
    let mut other = item("a");
    other["version"] = json!("2");
    assert_eq!(counts(&imported(&app, "", NDJSON, lines_of(&[other.clone(), other]))), [0, 1, 1, 0]);
    let item = app.client(Role::Viewer).get("/configuration-items?external_id=a").expect(200).body["data"][0].clone();
    assert_eq!((&item["row_version"], &item["version"]), (&json!(2), &json!("2")));
    app.assert_sound();
}

#[test]
fn a_bad_row_fails_alone_and_names_all_that_is_wrong() {
    let app = App::start();
    let mut odd = item("odd");
    odd["status"] = json!("gone");
    odd["class"] = json!("");
    let mut group = item("group");
    group["owner_group_id"] = json!("01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f");
    let mut large = item("large");
    large["attributes"] = json!({"list": vec![0; 1000]});
    let mut colour = item("colour");
    colour["colour"] = json!("red");
    let mut kind = item("kind");
    kind["type"] = json!("car");
    let mut revised = item("revised");
    revised["source_revision"] = json!(7);
    let mut older = revised.clone();
    older["source_revision"] = json!(6);
    let long = format!("{{\"type\": \"{}\"}}", "x".repeat(300 * 1024));
    let cases: Vec<(String, Vec<(&str, &str)>)> = vec![
        (item("first").to_string(), vec![]),
        (odd.to_string(), vec![("/class", "TOO_SHORT"), ("/status", "NOT_ALLOWED")]),
        (group.to_string(), vec![("/owner_group_id", "UNKNOWN_REFERENCE")]),
        (large.to_string(), vec![("/attributes", "ATTRIBUTES_TOO_LARGE")]),
        (colour.to_string(), vec![("/colour", "UNKNOWN_FIELD")]),
        (kind.to_string(), vec![("/type", "NOT_ALLOWED")]),
        (json!({"source": "cmdb", "external_id": "x"}).to_string(), vec![("/type", "REQUIRED")]),
        ("{".into(), vec![("", "INVALID_JSON")]),
        ("[1]".into(), vec![("", "WRONG_TYPE")]),
        ("{\"type\": 1, \"type\": 2}".into(), vec![("/type", "REPEATED")]),
        (long, vec![("", "TOO_LONG")]),
        (revised.to_string(), vec![]),
        (older.to_string(), vec![("/source_revision", "OLDER_REVISION")]),
        (related("first", "runs_on", "first").to_string(), vec![("/target_external_id", "RELATED_TO_ITSELF")]),
        (
            related("nobody", "runs_on", "none").to_string(),
            vec![("/external_id", "UNKNOWN_REFERENCE"), ("/target_external_id", "UNKNOWN_REFERENCE")],
        ),
        // What comes later is not there yet.
        (related("first", "runs_on", "last").to_string(), vec![("/target_external_id", "UNKNOWN_REFERENCE")]),
        (item("last").to_string(), vec![]),
    ];
    let body: String = cases.iter().map(|(line, _)| format!("{line}\n\n")).collect();
    let import = imported(&app, "", NDJSON, body.trim_end());
    let rows = results(&app, &import, "");
    assert_eq!(rows.len(), cases.len(), "{rows:#?}");
    for (index, (row, (line, expected))) in rows.iter().zip(&cases).enumerate() {
        let line: String = line.chars().take(200).collect();
        assert_eq!(row["line"], 2 * index + 1, "{line}");
        let mut found: Vec<(&str, &str)> = row["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, *expected, "{line}");
        assert_eq!(row["outcome"] == "failed", !expected.is_empty(), "{line}");
    }
    assert_eq!(counts(&import), [3, 0, 0, cases.len() as i64 - 3]);
    assert_eq!(count(&app, "configuration_items"), 3);
    app.assert_sound();
}

#[test]
fn csv_says_items_and_relationships_in_the_words_of_its_header() {
    let app = App::start();
    let items = "\u{feff}external_id,source,name,class,status,version,source_revision,attributes.cpu,attributes.note\r\n\
                 a,cmdb,\"Server, first\",server,planned,,7,8,\"two\nlines\"\r\n\
                 b,cmdb,b,server,planned,1.0,,,\r\n\
                 c,cmdb,c,server,planned,,x,,\r\n\
                 d,cmdb,d,server,planned,,,,,more\r\n";
    let import = imported(&app, "", "text/csv; charset=utf-8", items);
    assert_eq!(counts(&import), [2, 0, 0, 2], "{import}");
    let rows = results(&app, &import, "");
    let told: Vec<(i64, &str, &str)> = rows
        .iter()
        .map(|row| {
            let code = row["errors"][0]["code"].as_str().unwrap_or("");
            (row["line"].as_i64().unwrap(), row["outcome"].as_str().unwrap(), code)
        })
        .collect();
    assert_eq!(
        told,
        [(2, "created", ""), (4, "created", ""), (5, "failed", "WRONG_TYPE"), (6, "failed", "INVALID_CSV")]
    );
    let item = app.client(Role::Viewer).get("/configuration-items?external_id=a").expect(200).body["data"][0].clone();
    assert_eq!((&item["name"], &item["version"]), (&json!("Server, first"), &Value::Null));
    assert_eq!(
        (&item["attributes"], &item["source_revision"]),
        (&json!({"cpu": "8", "note": "two\nlines"}), &json!(7))
    );
    let related =
        "source,external_id,kind,target_source,target_external_id\ncmdb,a,runs_on,cmdb,b\ncmdb,a,near,cmdb,b\n";
    assert_eq!(counts(&imported(&app, "", "text/csv", related)), [1, 0, 0, 1]);
    let both = "type,source,external_id,name,class,status,kind,target_source,target_external_id\n\
                configuration_item,cmdb,e,e,server,planned,,,\nrelationship,cmdb,e,,,,part_of,cmdb,a\n";
    assert_eq!(counts(&imported(&app, "", "text/csv", both)), [2, 0, 0, 0]);
    for (body, detail) in [
        ("source,colour\ncmdb,red\n", "colour"),
        ("source,source\ncmdb,cmdb\n", "more than once"),
        (&format!("source,external_id,name\ncmdb,x,\"{}", "x".repeat(300 * 1024)), "quotes"),
    ] {
        let import = imported(&app, "", "text/csv", body);
        assert_eq!(import["state"], "failed");
        assert!(import["detail"].as_str().unwrap().contains(detail), "{import}");
    }
    app.assert_sound();
}

#[test]
fn csv_that_is_cut_off_or_put_together_says_so_and_keeps_its_lines_apart() {
    let app = App::start();
    let header = "source,external_id,name,class,status,location";
    let told = |body: &str| -> Vec<(i64, String, String)> {
        let import = imported(&app, "", "text/csv", body.to_owned());
        assert_eq!(import["state"], "completed", "{import}");
        let rows = results(&app, &import, "");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| (row["line"].as_i64().unwrap(), text(&row["outcome"]), text(&row["errors"][0]["code"])))
            .collect()
    };
    let row = |line: i64, outcome: &str, code: &str| (line, outcome.to_owned(), code.to_owned());
    // Too few cells are no empty ones, and a quote without its end does not swallow what follows unseen.
    let short = format!("{header}\ncmdb,a,a,server,planned,x\ncmdb,b,b,server,planned\n");
    assert_eq!(told(&short), [row(2, "created", ""), row(3, "failed", "INVALID_CSV")]);
    let open = format!("{header}\ncmdb,c,c,server,planned,x\ncmdb,d,d,server,planned,\"x\ncmdb,e,e,server,planned,y\n");
    assert_eq!(told(&open), [row(2, "created", ""), row(3, "failed", "INVALID_CSV")]);
    // Ends of lines of every kind, in one upload.
    let mixed = format!("{header}\ncmdb,f,f,server,planned,\r\ncmdb,g,g,server,planned,\rcmdb,h,h,server,planned,\n");
    let found = told(&mixed);
    assert!(found.iter().all(|(_, outcome, _)| outcome == "created") && found.len() == 3, "{found:?}");
    assert!(found.is_sorted_by(|one, next| one.0 < next.0), "{found:?}");
    app.assert_sound();
}

#[test]
fn a_dry_run_judges_every_row_as_if_those_before_it_had_been_stored_and_stores_none() {
    let app = App::start();
    let mut rows: Vec<Value> = (0..PORTION_ROWS_MAX).map(|n| item(&format!("i{n}"))).collect();
    rows.extend([related("i0", "runs_on", "i1"), related("i0", "runs_on", "z"), item("last")]);
    rows.extend([related("last", "part_of", "i7"), related("last", "part_of", "i7"), json!({"type": "car"})]);
    let tried = imported(&app, "?dry_run=true", NDJSON, lines_of(&rows));
    assert_eq!((&tried["dry_run"], &tried["state"]), (&json!(true), &json!("completed")));
    assert_eq!(count(&app, "configuration_items"), 0);
    assert_eq!(count(&app, "configuration_item_history"), 0);
    let done = imported(&app, "", NDJSON, lines_of(&rows));
    assert_eq!(counts(&done), [503, 0, 1, 2]);
    assert_eq!(counts(&tried), counts(&done), "{tried}");
    let failed = |import: &Value| -> Vec<Value> {
        results(&app, import, "outcome=failed&limit=200").iter().map(|row| row["errors"].clone()).collect()
    };
    assert_eq!(failed(&tried), failed(&done));
    // Nothing of what is there is changed by a dry run either.
    let mut other = item("i0");
    other["name"] = json!("Other");
    assert_eq!(counts(&imported(&app, "?dry_run=true", NDJSON, lines_of(&[other]))), [0, 1, 0, 0]);
    let item = app.client(Role::Viewer).get("/configuration-items?external_id=i0").expect(200).body["data"][0].clone();
    assert_eq!(item["name"], "i0");
    app.assert_sound();
}

/// The outcome and the faults of each row.
fn verdicts(app: &App, import: &Value) -> Vec<Value> {
    results(app, import, "limit=200")
        .iter()
        .map(|row| json!([row["line"], row["outcome"], row["record_key"], row["errors"]]))
        .collect()
}

/// Rows that name the same keys again and again, as they are, otherwise, and with revisions.
fn repeated() -> Vec<Value> {
    let with = |key: &str, field: &str, value: Value| {
        let mut row = item(key);
        row[field] = value;
        row
    };
    let revised = |key: &str, revision: i64, version: &str| {
        let mut row = with(key, "version", json!(version));
        row["source_revision"] = json!(revision);
        row
    };
    vec![
        item("new"),
        item("new"),
        with("new", "version", json!("2")),
        with("new", "version", json!("2")),
        item("new"),
        // Of what was there before the upload.
        item("old"),
        with("old", "version", json!("7")),
        with("old", "version", json!("7")),
        item("old"),
        // Revisions.
        revised("kept", 4, "1"),
        revised("kept", 5, "1"),
        revised("kept", 5, "1"),
        revised("kept", 5, "2"),
        with("kept", "version", json!("3")),
        with("kept", "version", json!("3")),
        revised("kept", 6, "3"),
        revised("fresh", 1, "1"),
        revised("fresh", 1, "2"),
        revised("fresh", 0, "1"),
        revised("fresh", 2, "2"),
        // A row that is refused has no consequence.
        with("bad", "status", json!("gone")),
        item("bad"),
        with("bad", "attributes", json!({"b": 1, "a": {"d": 2, "c": 3}})),
        with("bad", "attributes", json!({"a": {"c": 3, "d": 2}, "b": 1})),
        // Relationships between what is new, what was there, and what is not.
        related("new", "runs_on", "old"),
        related("new", "runs_on", "old"),
        related("fresh", "connected_to", "new"),
        related("new", "connected_to", "fresh"),
        related("old", "depends_on", "kept"),
        related("kept", "depends_on", "old"),
        related("new", "runs_on", "none"),
        related("none", "runs_on", "none"),
        item("none"),
        related("new", "runs_on", "none"),
    ]
}

#[test]
fn a_dry_run_gives_every_row_the_verdict_of_the_real_run_whatever_it_repeats() {
    let app = App::start();
    let mut kept = item("kept");
    kept["source_revision"] = json!(5);
    kept["version"] = json!("1");
    let before = [item("old"), kept, related("kept", "depends_on", "old")];
    assert_eq!(counts(&imported(&app, "", NDJSON, lines_of(&before))), [3, 0, 0, 0]);
    let body = lines_of(&repeated());
    let tried = imported(&app, "?dry_run=true", NDJSON, body.clone());
    // The same, gone on with after each portion by a process that remembers nothing.
    let integration = app.client(Role::Integration);
    let path = format!("/imports/{}", upload(&integration, "?dry_run=true", NDJSON, body.clone()).expect(202).id());
    let mut portions = 0;
    while integration.get(&path).expect(200).body["state"] != "completed" {
        importing(&app).run_portions(1).unwrap();
        portions += 1;
    }
    assert!(portions > 5, "{portions}");
    let resumed = integration.get(&path).expect(200).body;
    let done = imported(&app, "", NDJSON, body);
    assert_eq!(verdicts(&app, &tried), verdicts(&app, &done));
    assert_eq!(verdicts(&app, &resumed), verdicts(&app, &done));
    assert_eq!((counts(&tried), counts(&resumed)), (counts(&done), counts(&done)));
    let outcomes = |import: &Value| {
        results(&app, import, "limit=200").iter().map(|row| row["outcome"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        outcomes(&done)[..12],
        [
            "created",
            "unchanged",
            "updated",
            "unchanged",
            "updated",
            "unchanged",
            "updated",
            "unchanged",
            "updated",
            "failed",
            "unchanged",
            "unchanged"
        ]
    );
    let code = |line: usize| results(&app, &done, "limit=200")[line - 1]["errors"][0]["code"].clone();
    assert_eq!((code(10), code(13)), (json!("OLDER_REVISION"), json!("SAME_REVISION")));
    app.assert_sound();
}

/// The instant so long after the present of the tests.
fn after(span: TimeDelta) -> String {
    NOW.parse::<Timestamp>().unwrap().plus(span).to_string()
}

#[test]
fn an_import_that_fails_again_and_again_lets_others_go_first_and_is_over_in_the_end() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    imported(&app, "", NDJSON, lines_of(&[item("odd")]));
    // What is stored of this item cannot be read: whoever takes up the import fails.
    app.database.execute("UPDATE configuration_items SET status = 'nowhere' WHERE external_id = 'odd'");
    let failing = upload(&integration, "", NDJSON, lines_of(&[item("odd")])).expect(202).id();
    let behind = upload(&integration, "", NDJSON, lines_of(&[item("even")])).expect(202).id();
    let read = |id: &str| integration.get(&format!("/imports/{id}")).expect(200).body;
    assert_eq!(importing(&app).run_due().unwrap(), 1);
    assert_eq!(read(&behind)["state"], "completed");
    let import = read(&failing);
    assert_eq!((&import["state"], &import["failures"]), (&json!("queued"), &json!(1)));
    assert_eq!(import["retry_at"], after(TimeDelta::seconds(10)));
    assert!(import["detail"].as_str().unwrap().contains("tried again"), "{import}");
    // Before its time nothing happens.
    assert_eq!(importing(&app).run_due().unwrap(), 0);
    assert_eq!(read(&failing), import);
    let mut now = 10;
    for failures in 2..FAILURES_MAX {
        app.set_clock(&after(TimeDelta::seconds(now)));
        assert_eq!(importing(&app).run_due().unwrap(), 0);
        let import = app.client(Role::Integration).get(&format!("/imports/{failing}")).expect(200).body;
        assert_eq!(import["failures"], failures);
        let retry = import["retry_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
        now = retry.since(NOW.parse::<Timestamp>().unwrap()).num_seconds();
    }
    app.set_clock(&after(TimeDelta::seconds(now)));
    assert_eq!(importing(&app).run_due().unwrap(), 1);
    let import = app.client(Role::Integration).get(&format!("/imports/{failing}")).expect(200).body;
    assert_eq!((&import["state"], &import["retry_at"]), (&json!("failed"), &Value::Null));
    assert_eq!(import["failures"], FAILURES_MAX);
    assert!(import["detail"].as_str().unwrap().contains("5 times in a row"), "{import}");
    assert!(!import["finished_at"].is_null());
    app.database.execute("UPDATE configuration_items SET status = 'planned' WHERE external_id = 'odd'");
    app.assert_sound();
}

#[test]
fn an_import_that_failed_goes_on_where_it_was_once_it_can() {
    let app = App::start();
    imported(&app, "", NDJSON, lines_of(&[item("i999")]));
    app.database.execute("UPDATE configuration_items SET status = 'nowhere' WHERE external_id = 'i999'");
    let path =
        format!("/imports/{}", upload(&app.client(Role::Integration), "", NDJSON, lines_of(&many())).expect(202).id());
    assert_eq!(importing(&app).run_due().unwrap(), 0);
    let import = app.client(Role::Viewer).get(&path).expect(200).body;
    assert_eq!(
        (&import["state"], &import["rows_done"], &import["failures"]),
        (&json!("running"), &json!(1000), &json!(1))
    );
    app.database.execute("UPDATE configuration_items SET status = 'planned' WHERE external_id = 'i999'");
    app.set_clock(&after(TimeDelta::seconds(10)));
    assert_eq!(importing(&app).run_due().unwrap(), 1);
    let import = app.client(Role::Viewer).get(&path).expect(200).body;
    assert_eq!(
        (&import["state"], &import["failures"], &import["detail"]),
        (&json!("completed"), &json!(0), &Value::Null)
    );
    assert_eq!(counts(&import), [1699, 0, 1, 1]);
    app.assert_sound();
}

#[test]
fn what_became_of_the_rows_is_kept_for_a_time_and_the_import_itself_for_good() {
    let app = App::start();
    let old = imported(&app, "", NDJSON, lines_of(&many()));
    let days = TimeDelta::days(RESULTS_KEPT_DAYS);
    app.set_clock(&after(TimeDelta::days(1)));
    let young = imported(&app, "", NDJSON, lines_of(&[item("young")]));
    let kept = |days: i64| {
        let keeping = Keeping::new(Arc::clone(&app.env), None).with_import_results_days(days);
        let forgotten = keeping.run_due().unwrap().forgotten.unwrap();
        forgotten.iter().find(|(what, _)| *what == "results of imports").unwrap().1
    };
    app.set_clock(&after(days - TimeDelta::seconds(1)));
    assert_eq!(kept(RESULTS_KEPT_DAYS), 0);
    assert_eq!(results(&app, &old, "").len(), 50);
    app.set_clock(&after(days + TimeDelta::minutes(10)));
    assert_eq!(kept(RESULTS_KEPT_DAYS), 1701);
    assert_eq!(count(&app, "import_results"), 1);
    let viewer = app.client(Role::Viewer);
    let path = format!("/imports/{}", old["id"].as_str().unwrap());
    for query in ["", "?format=ndjson", "?outcome=failed"] {
        let refused = viewer.get(&format!("{path}/results{query}")).problem(404, "RESULTS_EXPIRED");
        assert!(refused.body["detail"].as_str().unwrap().contains("was kept until"), "{query}");
    }
    let import = viewer.get(&path).expect(200).body;
    assert_eq!(counts(&import), counts(&old));
    assert_eq!(import["results_expired_at"], after(days + TimeDelta::minutes(10)));
    assert_eq!(import["row_version"].as_i64(), old["row_version"].as_i64().map(|version| version + 1));
    assert_eq!((results(&app, &young, "").len(), &young["results_expired_at"]), (1, &Value::Null));
    // The house may be set up to keep it for less.
    app.set_clock(&after(days + TimeDelta::minutes(20)));
    assert_eq!(kept(1), 1);
    assert_eq!(count(&app, "import_results"), 0);
    app.set_clock(&after(days + TimeDelta::minutes(30)));
    assert_eq!(kept(1), 0);
    app.assert_sound();
}

/// Rows of three portions and a bit: items, and what they are to each other.
fn many() -> Vec<Value> {
    let mut rows: Vec<Value> = (0..1000).map(|n| item(&format!("i{n}"))).collect();
    rows.extend((0..700).map(|n| related(&format!("i{n}"), "depends_on", &format!("i{}", n * 7 % 999 + 1))));
    rows.insert(600, json!({"type": "car"}));
    rows
}

#[test]
fn an_import_goes_on_exactly_where_it_was() {
    for (format, csv) in [(NDJSON, false), ("text/csv", true)] {
        let app = App::start();
        let integration = app.client(Role::Integration);
        let body = match csv {
            false => lines_of(&many()),
            true => {
                let columns = [
                    "type",
                    "source",
                    "external_id",
                    "name",
                    "class",
                    "status",
                    "kind",
                    "target_source",
                    "target_external_id",
                ];
                let cells = |row: &Value| columns.map(|column| row[column].as_str().unwrap_or("").to_owned()).join(",");
                let rows: Vec<String> = many().iter().map(cells).collect();
                format!("{}\n{}\n", columns.join(","), rows.join("\n"))
            }
        };
        let path = format!("/imports/{}", upload(&integration, "", format, body.clone()).expect(202).id());
        let mut seen = Vec::new();
        for _ in 0..10 {
            // Another process each time: nothing is remembered but what is stored.
            importing(&app).run_portions(1).unwrap();
            let import = integration.get(&path).expect(200).body;
            seen.push(import["rows_done"].as_i64().unwrap());
            // Others write meanwhile, and what the import did is whole.
            let other = json!({"name": "other", "class": "x", "status": "planned"});
            integration.put(&format!("/configuration-items/by-key/other/{}", seen.len()), &other).expect(201);
            app.assert_sound();
            if import["state"] == "completed" {
                break;
            }
        }
        assert_eq!(seen, [500, 1000, 1500, 1701], "{format}");
        let import = integration.get(&path).expect(200).body;
        assert_eq!(counts(&import), [1700, 0, 0, 1], "{format}");
        assert_eq!(import["bytes_done"], body.len());
        assert_eq!(count(&app, "configuration_items WHERE source = 'cmdb'"), 1000);
        assert_eq!(count(&app, "configuration_item_relationships"), 700);
        assert_eq!(count(&app, "import_results"), 1701);
    }
}

#[test]
fn a_dry_run_that_goes_on_remembers_what_it_saw() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let id = upload(&integration, "?dry_run=true", NDJSON, lines_of(&many())).expect(202).id();
    for _ in 0..4 {
        importing(&app).run_portions(1).unwrap();
    }
    let import = integration.get(&format!("/imports/{id}")).expect(200).body;
    assert_eq!((&import["state"], counts(&import)), (&json!("completed"), [1700, 0, 0, 1]));
}

#[test]
fn a_cancelled_import_stays_where_it_was() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let path = format!("/imports/{}", upload(&integration, "", NDJSON, lines_of(&many())).expect(202).id());
    let cancel = |client: &Client, query: &str| Answer::of(client.request("POST", &format!("{path}/cancel{query}")));
    importing(&app).run_portions(1).unwrap();
    assert_eq!(integration.get(&path).expect(200).body["state"], "running");
    cancel(&app.client(Role::Manager), "").problem(403, "FORBIDDEN");
    cancel(&integration, "?dry_run=true").expect(200);
    assert_eq!(cancel(&integration, "").expect(200).body["state"], "cancelled");
    cancel(&integration, "").problem(409, "IMPORT_OVER");
    assert_eq!(importing(&app).run_due().unwrap(), 0);
    assert_eq!(count(&app, "configuration_items"), 500);
    app.assert_sound();
}

#[test]
fn what_is_no_import_is_refused_before_anything_is_kept() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let row = item("a").to_string();
    upload(&integration, "", "application/json", row.clone()).problem(415, "UNSUPPORTED_MEDIA_TYPE");
    upload(&integration, "", "text/csv; charset=latin1", row.clone()).problem(415, "UNSUPPORTED_MEDIA_TYPE");
    upload(&integration, "", NDJSON, "").problem(400, "MALFORMED_REQUEST").faults(&[("", "EMPTY_BODY")]);
    upload(&integration, "?colour=red", NDJSON, row.clone()).problem(400, "MALFORMED_REQUEST");
    upload(&app.client(Role::Manager), "", NDJSON, row.clone()).problem(403, "FORBIDDEN");
    upload(&app.anonymous(), "", NDJSON, row.clone()).problem(401, "UNAUTHENTICATED");
    let large = Answer::of(
        integration.request("POST", "/configuration-items/import").header("content-type", NDJSON).body(vec![
            b'\n';
            64 * 1024
                * 1024
                + 1
        ]),
    );
    let large = large.problem(413, "PAYLOAD_TOO_LARGE");
    let detail = large.body["detail"].as_str().unwrap();
    assert!(detail.contains("67108864 bytes") && detail.contains("slipway import"), "{detail}");
    assert_eq!(count(&app, "imports"), 0);
    // The same key is the same import.
    let send = |row: &str| {
        let request = integration.request("POST", "/configuration-items/import").header("content-type", NDJSON);
        Answer::of(request.header("Idempotency-Key", "one").body(row.to_owned()))
    };
    let first = send(&row).expect(202);
    let second = send(&row).expect(202);
    assert_eq!((second.id(), second.header("idempotent-replayed")), (first.id(), "true"));
    send(&item("b").to_string()).problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(count(&app, "imports"), 1);
    for _ in 1..IMPORTS_OPEN_MAX {
        upload(&integration, "", NDJSON, row.clone()).expect(202);
    }
    upload(&integration, "", NDJSON, row).problem(409, "LIMIT_REACHED");
    app.assert_sound();
}

#[test]
fn the_rows_of_an_import_are_paged_or_sent_all_as_lines() {
    let app = App::start();
    let import = imported(&app, "", NDJSON, lines_of(&many()));
    let path = format!("/imports/{}/results", import["id"].as_str().unwrap());
    let viewer = app.client(Role::Viewer);
    let sent = |request: reqwest::blocking::RequestBuilder| -> Vec<Value> {
        let response = request.send().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], NDJSON);
        response.text().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = sent(viewer.request("GET", &path).header("accept", NDJSON));
    let numbers: Vec<i64> = all.iter().map(|row| row["line"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=1701).collect::<Vec<_>>());
    let failed = sent(viewer.request("GET", &format!("{path}?format=ndjson&outcome=failed")));
    assert_eq!(failed.len(), 1);
    let mut paged = Vec::new();
    let mut next = format!("{path}?limit=200&format=json");
    while !next.is_empty() {
        let page = viewer.get(&next).expect(200);
        paged.extend(page.body["data"].as_array().unwrap().iter().cloned());
        next = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    assert_eq!(paged, all);
    viewer
        .get(&format!("{path}?format=xml"))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("format", "INVALID_PARAMETER")]);
    let nothing = "/imports/01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f/results?format=ndjson";
    viewer.get(nothing).problem(404, "NOT_FOUND");
    let outcomes: BTreeMap<String, usize> = all.iter().fold(BTreeMap::new(), |mut seen, row| {
        *seen.entry(row["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
        seen
    });
    assert_eq!(outcomes, BTreeMap::from([("created".into(), 1700), ("failed".into(), 1)]));
}

#[test]
fn the_upload_of_an_import_is_in_the_store_until_the_import_is_over() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let key = |id: &str| {
        let sql = format!("SELECT store_key AS line FROM imports WHERE id = '{id}'");
        lines(&mut app.env.database.connect().unwrap(), &sql)[0].clone()
    };
    let done = upload(&integration, "", NDJSON, item("a").to_string()).expect(202).id();
    assert_eq!(importing(&app).run_due().unwrap(), 1);
    let waiting = upload(&integration, "", NDJSON, item("b").to_string()).expect(202).id();
    let store = app.env.store().unwrap();
    let collected = Keeping::new(Arc::clone(&app.env), None).run_due().unwrap().collected.unwrap();
    assert_eq!((collected.imported, collected.left_over), (1, 0));
    assert!(store.size_blocking(&key(&done)).is_err());
    assert!(store.size_blocking(&key(&waiting)).is_ok());
    app.assert_sound();
    // An upload that is gone before its time is a fault, and the import says so.
    store.delete_blocking(&key(&waiting)).unwrap();
    let fault = slipway::service::document_keeping::examine(&app.env.database, store).unwrap().fault.unwrap();
    assert!(fault.contains(&waiting), "{fault}");
    assert_eq!(importing(&app).run_due().unwrap(), 1);
    let import = integration.get(&format!("/imports/{waiting}")).expect(200).body;
    assert_eq!(import["state"], "failed");
    app.assert_sound();
}

#[test]
fn of_two_processes_one_applies_and_no_row_is_applied_twice() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let id = upload(&integration, "", NDJSON, lines_of(&many())).expect(202).id();
    let ended: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(|| importing(&app).run_due().unwrap())).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(ended <= 1);
    importing(&app).run_due().unwrap();
    let import = integration.get(&format!("/imports/{id}")).expect(200).body;
    assert_eq!((&import["state"], counts(&import)), (&json!("completed"), [1700, 0, 0, 1]));
    app.assert_sound();
}
