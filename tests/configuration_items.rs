//! Configuration items: upserted under their own key, listed, and with every state that they had.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::*;

const KEY: &str = "/configuration-items/by-key/cmdb/srv-1";

pub fn item(name: &str) -> Value {
    json!({"source": "cmdb", "external_id": name, "name": name, "class": "server", "status": "in_production"})
}

fn audit_length(app: &App) -> Value {
    app.client(Role::Admin).get("/audit?count=exact&limit=1").expect(200).body["page"]["total"].clone()
}

#[test]
fn an_upsert_creates_then_replaces_and_no_difference_is_nothing() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let mut content = json!({
        "name": "db-1", "class": "database", "status": "planned", "version": "1", "attributes": {"cpu": 8},
        "source_revision": 7,
    });
    let created = integration.put(KEY, &content).expect(201);
    let path = format!("/configuration-items/{}", created.id());
    assert_eq!(created.header("location"), format!("/api/v1{path}"));
    assert_eq!((&created.body["source"], &created.body["external_id"]), (&json!("cmdb"), &json!("srv-1")));
    let before = audit_length(&app);
    let same = integration.put(KEY, &content).expect(200);
    assert_eq!((same.header("etag"), &same.body), (created.header("etag"), &created.body));
    app.client(Role::Admin);
    content["status"] = json!("in_production");
    content["source_revision"] = json!(8);
    content.as_object_mut().unwrap().remove("version");
    let replaced = integration.put(KEY, &content).expect(200);
    assert_eq!((&replaced.body["row_version"], &replaced.body["version"]), (&json!(2), &json!(null)));
    content["source_revision"] = json!(7);
    integration.put(KEY, &content).problem(409, "OLDER_REVISION");
    // Without a revision the last one known stays.
    content.as_object_mut().unwrap().remove("source_revision");
    assert_eq!(integration.put(KEY, &content).expect(200).text, replaced.text);
    assert!(audit_length(&app).as_i64() > before.as_i64());
    integration.patch(&path, "*", &json!({"source": "other"})).problem(409, "KEY_LOCKED");
    app.assert_sound();
}

#[test]
fn a_revision_is_given_once_and_what_was_changed_here_since_is_not_undone_by_it() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let content = |version: &str, revision: Value| json!({"name": "db-1", "class": "database", "status": "planned", "version": version, "source_revision": revision});
    let made = integration.put(KEY, &content("1", json!(7))).expect(201);
    let refused = integration.put(KEY, &content("2", json!(7))).problem(409, "SAME_REVISION");
    assert!(refused.body["detail"].as_str().unwrap().contains("Revision 7"), "{}", refused.text);
    assert_eq!(integration.put(KEY, &content("1", json!(7))).expect(200).text, made.text);
    // Whoever changed it here - somebody, or the closing of a release - did so on this revision.
    let path = format!("/configuration-items/{}", made.id());
    integration.patch(&path, "*", &json!({"version": "1.5"})).expect(200);
    integration.put(KEY, &content("1", json!(7))).problem(409, "SAME_REVISION");
    assert_eq!(integration.put(KEY, &content("1.5", json!(8))).expect(200).body["source_revision"], 8);
    assert_eq!(integration.put(KEY, &content("2", Value::Null)).expect(200).body["source_revision"], 8);
    app.assert_sound();
}

#[test]
fn an_upsert_honours_the_version_that_it_was_made_on() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    for (path, content) in [
        (KEY, json!({"name": "db-1", "class": "database", "status": "planned"})),
        ("/changes/by-key/jira/CHG-1", json!({"title": "db-1", "status": "assessed"})),
    ] {
        let field = if path == KEY { "name" } else { "title" };
        let put = |if_match: &str, text: &str| {
            let mut content = content.clone();
            content[field] = json!(text);
            Answer::of(integration.request("PUT", path).header("If-Match", if_match).json(&content))
        };
        // What is not there yet is at version 0.
        put("\"1\"", "a").problem(412, "PRECONDITION_FAILED");
        let made = put("\"0\"", "a").expect(201);
        let next = put(made.header("etag"), "b").expect(200);
        let stale = put(made.header("etag"), "c").problem(412, "PRECONDITION_FAILED");
        assert_eq!(stale.body["current_row_version"], 2);
        put("\"0\"", "c").problem(412, "PRECONDITION_FAILED");
        assert_eq!(put("\"1\", \"2\"", "b").expect(200).text, next.text);
        assert_eq!(put("*", "d").expect(200).body["row_version"], 3);
        // Who may not is told that first, and what is not valid comes last.
        let mut bad = content.clone();
        bad[field] = json!("");
        Answer::of(integration.request("PUT", path).header("If-Match", "\"1\"").json(&bad))
            .problem(412, "PRECONDITION_FAILED");
        let viewer = app.client(Role::Viewer);
        Answer::of(viewer.request("PUT", path).header("If-Match", "\"1\"").json(&content)).problem(403, "FORBIDDEN");
    }
    app.assert_sound();
}

#[test]
fn a_number_that_would_come_back_as_another_one_is_refused() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let send = |method: &str, path: &str, body: String| {
        Answer::of(integration.request(method, path).header("content-type", "application/json").body(body))
    };
    let with = |attributes: &str| {
        format!("{{\"name\": \"a\", \"class\": \"b\", \"status\": \"planned\", \"attributes\": {attributes}}}")
    };
    let odd = with("{\"a\": 123456789012345678901234, \"b\": [1, {\"c\": 0.12345678901234567891}], \"d\": 1e-400}");
    send("PUT", KEY, odd).problem(400, "MALFORMED_REQUEST").faults(&[
        ("/attributes/a", "NUMBER_NOT_KEPT"),
        ("/attributes/b/1/c", "NUMBER_NOT_KEPT"),
        ("/attributes/d", "NUMBER_NOT_KEPT"),
    ]);
    let numbers =
        "{\"a\":12345678901234567890,\"b\":-9007199254740993,\"c\":0.1234567890123456,\"d\":1.7976931348623157e+308}";
    let made = send("PUT", KEY, with(numbers)).expect(201);
    assert!(made.text.contains(&format!("\"attributes\":{numbers}")), "{}", made.text);
    assert_eq!(send("PUT", KEY, with(numbers)).expect(200).text, made.text);
    // A number is a value: how it was written is not kept, and what must be is text.
    let path = format!("/configuration-items/{}", made.id());
    let patch = |body: &str| {
        let request = integration.request("PATCH", &path).header("if-match", "*");
        Answer::of(request.header("content-type", "application/merge-patch+json").body(body.to_owned()))
    };
    let patched = patch("{\"attributes\": {\"a\": 1.10, \"b\": \"1.10\"}}").expect(200);
    assert_eq!((&patched.body["attributes"]["a"], &patched.body["attributes"]["b"]), (&json!(1.1), &json!("1.10")));
    patch("{\"attributes\": {\"a\": 98765432109876543210987}}")
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("/attributes/a", "NUMBER_NOT_KEPT")]);
    // In an import the row alone.
    let row = |key: &str, number: &str| {
        format!(
            "{{\"type\": \"configuration_item\", \"source\": \"cmdb\", \"external_id\": \"{key}\", \"name\": \"a\", \"class\": \"b\", \"status\": \"planned\", \"attributes\": {{\"n\": {number}}}}}\n"
        )
    };
    let body = row("x", "98765432109876543210987") + &row("y", "2.5");
    let id = crate::imports::upload(&integration, "", crate::imports::NDJSON, body).expect(202).id();
    crate::imports::importing(&app).run_due().unwrap();
    let told = integration.get(&format!("/imports/{id}/results")).expect(200).body["data"].clone();
    assert_eq!((&told[0]["errors"][0]["code"], &told[1]["outcome"]), (&json!("NUMBER_NOT_KEPT"), &json!("created")));
    app.assert_sound();
}

#[test]
fn an_upsert_names_every_fault_of_path_and_content() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let content = json!({"name": "db-1", "class": "database", "status": "planned"});
    for (path, parameter) in [("tool/%20", "external_id"), ("%20/k", "source"), ("tool/a%00b", "external_id")] {
        let refused = integration.put(&format!("/configuration-items/by-key/{path}"), &content);
        refused.problem(400, "MALFORMED_REQUEST").faults(&[(parameter, "INVALID_PARAMETER")]);
    }
    let blank = json!({"name": " ", "class": "", "status": "planned"});
    let faults = [("/name", "BLANK"), ("/class", "TOO_SHORT")];
    integration.put(KEY, &blank).problem(422, "INVALID_VALUES").faults(&faults);
    let odd = json!({"name": "", "class": "", "status": "gone", "environment": "moon", "source_revision": -1});
    integration.put(KEY, &odd).problem(422, "INVALID_VALUES").faults(&[
        ("/name", "TOO_SHORT"),
        ("/class", "TOO_SHORT"),
        ("/status", "NOT_ALLOWED"),
        ("/environment", "NOT_ALLOWED"),
        ("/source_revision", "OUT_OF_RANGE"),
    ]);
    let mut content = content;
    content["owner_group_id"] = json!("01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f");
    content["attributes"] = json!({"list": vec![0; 1000]});
    integration
        .put(KEY, &content)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/owner_group_id", "UNKNOWN_REFERENCE"), ("/attributes", "ATTRIBUTES_TOO_LARGE")]);
    content["source"] = json!("cmdb");
    integration.put(KEY, &content).problem(400, "MALFORMED_REQUEST").faults(&[("/source", "UNKNOWN_FIELD")]);
}

#[test]
fn attributes_have_the_bounds_of_custom_fields() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let with = |attributes: Value| {
        let mut body = item("attributes");
        body["attributes"] = attributes;
        integration.post("/configuration-items?dry_run=true", &body)
    };
    let members = |count: usize| (0..count).map(|n| (format!("a{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    with(json!(members(200))).expect(200);
    with(json!(members(201))).problem(422, "INVALID_VALUES").faults(&[("/attributes", "TOO_LONG")]);
    with(json!({"list": vec![0; 999]})).expect(200);
    with(json!({"list": vec![0; 1000]}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/attributes", "ATTRIBUTES_TOO_LARGE")]);
    with(json!({"text": "x".repeat(64 * 1024 - 11)})).expect(200);
    let faults = [("/attributes", "ATTRIBUTES_TOO_LARGE")];
    with(json!({"text": "x".repeat(64 * 1024 - 10)})).problem(422, "INVALID_VALUES").faults(&faults);
}

#[test]
fn of_two_upserts_of_a_new_key_at_once_one_creates() {
    let app = App::start();
    let content = json!({"name": "db-1", "class": "database", "status": "planned"});
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || {
            let client = app.client(Role::Integration);
            let content = &content;
            move || client.put(KEY, content).status
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(send())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
}

/// Items that differ in everything that lists ask for.
fn varied(app: &App) -> Vec<Value> {
    let integration = app.client(Role::Integration);
    let groups = [app.group("Release team"), app.group("Operators")];
    (0..60_usize)
        .map(|n| {
            let body = json!({
                "source": (["cmdb", "cloud", "net"][n % 3]),
                "external_id": format!("key-{}", n / 3),
                "name": format!("{}-{}", ["db", "Web", "lb", "dbx"][n % 4], n / 8),
                "class": (["server", "database", "balancer"][n / 7 % 3]),
                "environment": ([json!("production"), json!("test"), Value::Null][n / 5 % 3]),
                "status": (["in_production", "planned", "retired", "validating"][n / 3 % 4]),
                "version": ([json!("1.0"), json!("1.0.1"), Value::Null, json!("v2")][n / 2 % 4]),
                "serial": (if n % 6 == 0 { Value::Null } else { json!(format!("SN{}", n / 2)) }),
                "location": ([json!("Berlin, hall 2"), json!("Lyon"), Value::Null][n / 13 % 3]),
                "owner_group_id": ([json!(groups[0]), json!(groups[1]), Value::Null][n / 11 % 3]),
                "attributes": ([
                    json!({"cpu": 8, "rack": "r7"}), json!({"cpu": "8", "rack": "r8"}), json!({"cpu": 16}), json!({}),
                    json!({"rack": "r7", "cpu": {"cores": 8}}),
                ][n / 2 % 5]),
            });
            integration.post("/configuration-items", &body).expect(201).body
        })
        .collect()
}

#[test]
fn every_filter_answers_exactly_the_items_that_a_plain_computation_finds() {
    let app = App::start();
    let all = varied(&app);
    let viewer = app.client(Role::Viewer);
    let (team, operators) = (app.group("Release team"), app.group("Operators"));
    let cases: Vec<(String, &str, Vec<String>)> = [
        ("source", "cmdb,net"),
        ("source", "nowhere"),
        ("external_id", "key-3,key-5"),
        ("class", "server,balancer"),
        ("class", "Server"),
        ("environment", "production"),
        ("environment", "test,acceptance"),
        ("status", "planned,retired"),
        ("version", "1.0"),
        ("version", "1.0,v2"),
        ("serial", "SN3,SN4"),
        ("location", "Lyon,Paris"),
    ]
    .into_iter()
    .map(|(field, values)| (format!("{field}={values}"), field, values.split(',').map(str::to_owned).collect()))
    .chain([
        (format!("owner_group={team}"), "owner_group_id", vec![team.clone()]),
        (format!("owner_group={team},{operators}"), "owner_group_id", vec![team, operators]),
    ])
    .collect();
    let names = |items: &mut dyn Iterator<Item = &Value>, sort: &str, descending: bool| -> Vec<String> {
        let mut keys: Vec<(String, String)> = items
            .map(|item| (item[sort].as_str().unwrap().to_owned(), item["id"].as_str().unwrap().to_owned()))
            .collect();
        keys.sort();
        if descending {
            keys.reverse();
        }
        keys.into_iter().map(|(_, id)| id).collect()
    };
    let compare = |query: &str, meets: &dyn Fn(&Value) -> bool| {
        for (sort, descending) in [("name", false), ("name", true), ("created_at", false)] {
            let expected = names(&mut all.iter().filter(|item| meets(item)), sort, descending);
            let sign = if descending { "-" } else { "" };
            let given = format!("/configuration-items?{query}&sort={sign}{sort}&limit=7&count=exact");
            let (mut found, mut path) = (Vec::new(), given.clone());
            loop {
                let page = viewer.get(&path).expect(200);
                assert_eq!(page.body["page"]["total"], expected.len(), "{given}");
                found
                    .extend(page.body["data"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()));
                match page.body["page"]["next_cursor"].as_str() {
                    Some(next) => path = format!("{given}&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(found, expected, "{given}");
        }
    };
    let among = |field: &str, values: &[String], item: &Value| {
        item[field].as_str().is_some_and(|value| values.iter().any(|wanted| wanted == value))
    };
    for (query, field, values) in &cases {
        compare(query, &|item| among(field, values, item));
    }
    let written = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (query, asked) in [
        ("attribute=cpu:8", &[("cpu", ["8", "8"])] as &[_]),
        ("attribute=cpu:8,cpu:16", &[("cpu", ["8", "16"])]),
        ("attribute=cpu:8,rack:r7", &[("cpu", ["8", "8"]), ("rack", ["r7", "r7"])]),
        ("attribute=rack:r8,cpu:16,cpu:8,rack:r7", &[("cpu", ["8", "16"]), ("rack", ["r7", "r8"])]),
        ("attribute=cpu:32", &[("cpu", ["32", "32"])]),
    ] {
        let has = |item: &Value| {
            asked.iter().all(|(name, values)| {
                item["attributes"].get(name).is_some_and(|value| values.contains(&written(value).as_str()))
            })
        };
        compare(query, &has);
        compare(&format!("{query}&class=server&q=db"), &|item| {
            has(item) && item["class"] == "server" && item["name"].as_str().unwrap().starts_with("db")
        });
    }
    // Two together are joined by and.
    for pair in cases.windows(2).filter(|pair| pair[0].1 != pair[1].1) {
        compare(&format!("{}&{}", pair[0].0, pair[1].0), &|item| {
            pair.iter().all(|(_, field, values)| among(field, values, item))
        });
    }
    for q in ["db", "WEB-", "dbx-0", "b"] {
        compare(&format!("q={q}"), &|item| {
            item["name"].as_str().unwrap().to_ascii_lowercase().starts_with(&q.to_ascii_lowercase())
        });
    }
}

#[test]
fn attributes_are_found_as_they_are_written_and_as_they_are_now() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let odd = json!({
        "whole": 8, "half": 0.5, "ten": 10.0, "tiny": 1e-300, "large": 18_446_744_073_709_551_615_u64, "below": -7,
        "on": true, "off": false, "nothing": null, "empty": "", "list": [8], "inside": {"cpu": 8},
        "a.b": "dot", "a\"b": "quote", "back\\slash": "back", "größe": "ß", "url": "http://srv:80/a?b=c", "$": "money",
        "line\nbreak": "two\nlines", "[0]": "bracket", "c.d": 1.5, "e\"f": 8, "g\\h": -1e-7, "ı": 3, "": 4, "i\nj": 5, "[1]": 6, "n".repeat(100): "longest name", "n".repeat(101): "too long",
        "text": "t".repeat(200), "more": "t".repeat(201), "true": "true",
    });
    let mut one = item("one");
    one["attributes"] = odd.clone();
    let path = format!("/configuration-items/{}", integration.post("/configuration-items", &one).expect(201).id());
    integration.post("/configuration-items", &item("other")).expect(201);
    let found = |name: &str, value: &str| -> usize {
        let asked = slipway::api::paging::encode_query([("attribute", format!("{name}:{value}").as_str())].into_iter());
        let page = integration.get(&format!("/configuration-items?{asked}&count=exact")).expect(200);
        let items = page.body["data"].as_array().unwrap();
        assert!(items.iter().all(|item| item["name"] == "one"), "{name}: {}", page.text);
        assert_eq!(page.body["page"]["total"], items.len());
        items.len()
    };
    let is_found = [
        "whole",
        "half",
        "ten",
        "tiny",
        "large",
        "below",
        "on",
        "off",
        "a.b",
        "a\"b",
        "back\\slash",
        "größe",
        "url",
        "$",
        "line\nbreak",
        "[0]",
        "c.d",
        "e\"f",
        "g\\h",
        "ı",
        "i\nj",
        "[1]",
        "text",
        "true",
        &"n".repeat(100),
    ]
    .map(str::to_owned);
    let stored = integration.get(&path).expect(200).body["attributes"].clone();
    assert_eq!((&stored["ten"], &stored["text"]), (&json!(10), &odd["text"]));
    for name in &is_found {
        let value = &stored[name];
        let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(found(name, &written), 1, "{name}: {written}");
        assert_eq!(
            found(name, &format!("{written}0").chars().take(200).collect::<String>()),
            usize::from(name == "text")
        );
    }
    for (name, value) in [
        ("nothing", "null"),
        ("list", "[8]"),
        ("cpu", "8"),
        ("inside", "{\"cpu\":8}"),
        ("more", "t"),
        ("whole", "8.0"),
        ("ten", "10.0"),
        ("Whole", "8"),
        ("on", "1"),
    ] {
        assert_eq!(found(name, value), 0, "{name}: {value}");
    }

    // Whatever changes them is followed.
    integration.patch(&path, "*", &json!({"attributes": {"whole": 9, "on": null}})).expect(200);
    assert_eq!([found("whole", "8"), found("whole", "9"), found("on", "true"), found("half", "0.5")], [0, 1, 0, 1]);
    let mut content = one.clone();
    for field in ["source", "external_id"] {
        content.as_object_mut().unwrap().remove(field);
    }
    content["attributes"] = json!({"whole": 10});
    integration.put("/configuration-items/by-key/cmdb/one", &content).expect(200);
    assert_eq!([found("whole", "9"), found("whole", "10"), found("half", "0.5")], [0, 1, 0]);
    for (attributes, expected) in [(json!({"whole": 11, "rack": "r7"}), [0, 1, 1]), (json!({"whole": 10}), [1, 0, 0])] {
        one["attributes"] = attributes;
        one["type"] = json!("configuration_item");
        let taken = crate::imports::upload(&integration, "", "application/x-ndjson", format!("{one}\n")).expect(202);
        assert_eq!(crate::imports::importing(&app).run_due().unwrap(), 1);
        assert_eq!(integration.get(&format!("/imports/{}", taken.id())).expect(200).body["state"], "completed");
        assert_eq!([found("whole", "10"), found("whole", "11"), found("rack", "r7")], expected);
    }
    integration.delete(&path, "*").expect(204);
    assert_eq!(found("whole", "10"), 0);

    let long = |name: usize, value: usize| format!("attribute={}:{}", "n".repeat(name), "v".repeat(value));
    for query in [
        "attribute=cpu",
        "attribute=:8",
        "attribute=cpu:",
        "attribute=cpu:8,",
        "attribute=",
        &long(101, 1),
        &long(1, 201),
    ] {
        let refused = integration.get(&format!("/configuration-items?{query}")).problem(400, "MALFORMED_REQUEST");
        let fault = &refused.body["errors"][0];
        assert_eq!(
            (&fault["parameter"], &fault["code"]),
            (&json!("attribute"), &json!("INVALID_PARAMETER")),
            "{fault}"
        );
    }
    app.assert_sound();
}

/// The plan of a query, as text.
fn plan(app: &App, sql: &str) -> String {
    let mut connection = app.env.database.connect().unwrap();
    if on_postgres() {
        use diesel::prelude::*;
        #[derive(QueryableByName)]
        struct Step {
            #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
            step: String,
        }
        let slipway::repository::AnyConnection::Postgres(postgres) = &mut connection else { unreachable!() };
        let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN {sql}")).load(postgres).unwrap();
        return steps.into_iter().map(|step| format!("{}\n", step.step)).collect();
    }
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = diesel::sql_types::Text)]
        detail: String,
    }
    let slipway::repository::AnyConnection::Sqlite(sqlite) = &mut connection else { unreachable!() };
    let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(sqlite).unwrap();
    steps.into_iter().map(|step| format!("{}\n", step.detail)).collect()
}

/// Fills the table past the service: `n` counts from 1 to this.
fn fill(app: &App, rows: u32) {
    let numbers = match on_postgres() {
        true => format!("generate_series(1, {rows}) AS c (n)"),
        false => format!(
            "(WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c) c"
        ),
    };
    let digits = if on_postgres() { "lpad(n::text, 12, '0')" } else { "substr('000000000000' || n, -12)" };
    let group = app.group("Release team");
    app.database.execute(&format!(
        "INSERT INTO configuration_items SELECT '01934f2e-7b1a-7c3d-8e4f-' || {digits}, 1, '2030-01-07 10:00:00', \
         '2030-01-07 10:00:00', 1, 'head', 'cmdb', 'key-' || n, 'name-' || n, 'class-' || (n % 50), \
         CASE n % 4 WHEN 0 THEN 'test' ELSE 'production' END, CASE n % 40 WHEN 0 THEN 'planned' ELSE 'in_production' END, \
         '1.' || (n % 300), 'SN-' || n, NULL, CASE n % 100 WHEN 0 THEN '{group}' END, \
         '{{\"rack\":\"r' || (n % 1000) || '\",\"site\":' || (n % 4) || '}}', NULL FROM {numbers}"
    ));
    app.database.execute(if on_postgres() { "ANALYZE configuration_items" } else { "SELECT 1" });
}

#[test]
fn among_a_hundred_thousand_items_every_filter_goes_by_an_index() {
    let app = App::start();
    fill(&app, 100_000);
    let group = app.group("Release team");
    // PostgreSQL may walk the names in order past those that do not begin so.
    for (condition, index) in [
        ("source IN ('cmdb') AND external_id IN ('key-7')".to_owned(), "external_id"),
        ("external_id IN ('key-7')".into(), "configuration_items_external_id_name_id_idx"),
        ("class IN ('class-7')".into(), "configuration_items_class_name_id_idx"),
        ("status IN ('planned')".into(), "configuration_items_status_name_id_idx"),
        ("version IN ('1.7')".into(), "configuration_items_version_name_id_idx"),
        ("serial IN ('SN-7')".into(), "configuration_items_serial_name_id_idx"),
        (format!("owner_group_id IN ('{group}')"), "configuration_items_owner_group_id_name_id_idx"),
        (
            "(lower(name) >= 'name-77' AND lower(name) < 'name-77\u{10FFFF}')".into(),
            if on_postgres() { "Index" } else { "configuration_items_q_idx" },
        ),
    ] {
        let sql =
            format!("SELECT * FROM configuration_items WHERE 1 = 1 AND {condition} ORDER BY name ASC, id ASC LIMIT 51");
        let plan = plan(&app, &sql);
        assert!(plan.contains(index) || plan.contains("source_external_id"), "{condition}\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{condition}\n{plan}");
    }
    let by_attribute = "SELECT configuration_item_id FROM configuration_item_attributes WHERE name = 'rack' AND \
                        value IN ('r7') LIMIT 2001";
    let plan = plan(&app, by_attribute);
    assert!(plan.contains("configuration_item_attributes_name_value_item_id_idx"), "{plan}");
    let viewer = app.client(Role::Viewer);
    // Few have the first, and many the second; both have the third.
    for (query, sort, remainder, divisor) in [
        ("attribute=rack:r7", "name", 7, 1000),
        ("attribute=site:2", "name", 2, 4),
        ("attribute=site:2", "-name", 2, 4),
        ("attribute=site:2,rack:r6", "-name", 6, 1000),
        ("attribute=site:2,rack:r7", "name", 0, 0),
    ] {
        let mut expected: Vec<String> =
            (1..=100_000).filter(|n| divisor > 0 && n % divisor == remainder).map(|n| format!("name-{n}")).collect();
        expected.sort();
        if sort.starts_with('-') {
            expected.reverse();
        }
        let page = viewer.get(&format!("/configuration-items?{query}&sort={sort}&count=exact")).expect(200);
        let names: Vec<&str> =
            page.body["data"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected[..expected.len().min(50)], "{query}");
        assert_eq!(page.body["page"]["total"], expected.len(), "{query}");
    }
    for query in
        ["class=class-7", "environment=test", "status=planned", "q=name-77", "version=1.7,1.8", "sort=-created_at"]
    {
        let page = viewer.get(&format!("/configuration-items?{query}")).expect(200);
        assert_eq!(page.body["data"].as_array().unwrap().len(), 50, "{query}");
    }
}

#[test]
fn the_history_of_an_item_tells_every_state_newest_first_and_what_changed() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let path =
        format!("/configuration-items/{}", integration.post("/configuration-items", &item("db-1")).expect(201).id());
    integration.patch(&path, "*", &json!({"version": "2", "attributes": {"cpu": 8}})).expect(200);
    integration.patch(&path, "*", &json!({"version": "2"})).expect(200);
    integration.patch(&path, "*", &json!({"attributes": {"cpu": 16}, "status": "in_maintenance"})).expect(200);
    let history = app.client(Role::Outsider).get(&format!("{path}/history?count=exact")).expect(200);
    assert_eq!(history.body["page"]["total"], 3);
    let states = history.body["data"].as_array().unwrap();
    assert_eq!(states[0]["item_row_version"], 3);
    assert_eq!(
        states[0]["changes"],
        json!([
            {"field": "/status", "before": "in_production", "after": "in_maintenance"},
            {"field": "/attributes/cpu", "before": 8, "after": 16},
        ])
    );
    assert_eq!(states[0]["actor_id"], app.user_id(Role::Integration).to_string());
    assert_eq!((&states[2]["item_row_version"], &states[2]["origin"]), (&json!(1), &json!("user")));
    let named: BTreeSet<&str> =
        states[2]["changes"].as_array().unwrap().iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert_eq!(named, BTreeSet::from(["/source", "/external_id", "/name", "/class", "/status"]));
    let first = integration.get(&format!("{path}/history?limit=1")).expect(200);
    let next = first.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(integration.get(&next).expect(200).body["data"][0]["item_row_version"], 2);
    for (query, count) in [("origin=user", 3), ("origin=import,release", 0)] {
        let page = integration.get(&format!("{path}/history?{query}&count=exact")).expect(200);
        assert_eq!(page.body["page"]["total"], count, "{query}");
    }
    integration.get("/configuration-items/01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f/history").problem(404, "NOT_FOUND");
}

/// Links an item to a release, past the service.
pub fn link(app: &App, release: &str, item: &str) {
    let id = uuid::Uuid::now_v7();
    app.database.execute(&format!(
        "INSERT INTO release_configuration_items (id, release_id, configuration_item_id, outcome, seen_row_version, \
         row_version, created_at, updated_at) VALUES ('{id}', '{release}', '{item}', 'pending', 1, 1, \
         '2030-01-07 10:00:00', '2030-01-07 10:00:00')"
    ));
}

#[test]
fn the_releases_of_an_item_are_those_that_link_it_and_that_the_caller_sees() {
    let app = App::start();
    let integration = app.client(Role::Integration);
    let made = |name: &str| integration.post("/configuration-items", &item(name)).expect(201).id();
    let (one, other) = (made("one"), made("other"));
    let id = |release: &Value| release["id"].as_str().unwrap().to_owned();
    let ours = app.release().make();
    let theirs = app.release().with("executor_group_id", app.group("Operators")).make();
    app.release().make();
    for (release, item) in [(&ours, &one), (&theirs, &one), (&theirs, &other)] {
        link(&app, &id(release), item);
    }
    let ids = |role: Role, path: &str| -> BTreeSet<String> {
        let page = app.client(role).get(path).expect(200);
        let ids: BTreeSet<String> = page.body["data"].as_array().unwrap().iter().map(id).collect();
        assert_eq!(page.body["page"]["total"], ids.len(), "{path}");
        ids
    };
    let set = |releases: &[&Value]| -> BTreeSet<String> { releases.iter().map(|release| id(release)).collect() };
    for (role, item, expected) in [
        (Role::Manager, &one, set(&[&ours, &theirs])),
        (Role::Manager, &other, set(&[&theirs])),
        (Role::Lead, &one, set(&[&ours])),
        (Role::Lead, &other, set(&[])),
        (Role::Operator, &one, set(&[&theirs])),
        (Role::Outsider, &one, set(&[])),
    ] {
        for path in [
            format!("/configuration-items/{item}/releases?count=exact"),
            format!("/releases?configuration_item={item}&count=exact"),
            format!("/configuration-items/{item}/releases?count=exact&status=open&sort=number"),
        ] {
            assert_eq!(ids(role, &path), expected, "{role:?} {path}");
        }
    }
    assert_eq!(ids(Role::Manager, &format!("/configuration-items/{one}/releases?count=exact&status=closed")).len(), 0);
    let refused = integration.get(&format!("/configuration-items/{one}/releases?configuration_item={other}"));
    refused.problem(400, "MALFORMED_REQUEST").faults(&[("configuration_item", "UNKNOWN_PARAMETER")]);
    // A release in the history that the caller does not see is not named.
    app.database.execute(&format!(
        "INSERT INTO configuration_item_history SELECT '{}', configuration_item_id, 2, 'release', '{}', NULL, NULL, \
         'x', 'x', at, after, after FROM configuration_item_history WHERE configuration_item_id = '{one}'",
        uuid::Uuid::now_v7(),
        id(&theirs)
    ));
    for (role, expected) in [(Role::Manager, json!(id(&theirs))), (Role::Lead, Value::Null)] {
        let page = app.client(role).get(&format!("/configuration-items/{one}/history?origin=release")).expect(200);
        assert_eq!(page.body["data"][0]["release_id"], expected, "{role:?}");
    }
}
