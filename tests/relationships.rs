//! Relationships between configuration items: made, listed from both ends, refused and taken away.

use serde_json::{Value, json};
use slipway::repository::relationships::OUTGOING_MAX;

use crate::configuration_items::item;
use crate::support::*;

struct Ground {
    app: App,
    integration: Client,
}

impl Ground {
    fn new() -> Self {
        let app = App::start();
        let integration = app.client(Role::Integration);
        Self { app, integration }
    }

    fn item(&self, name: &str) -> String {
        self.integration.post("/configuration-items", &item(name)).expect(201).id()
    }

    fn relate(&self, from: &str, kind: &str, to: &str) -> Answer {
        let body = json!({"kind": kind, "target_id": to});
        self.integration.post(&format!("/configuration-items/{from}/relationships"), &body)
    }

    /// What the list shows: direction, kind and the name of the other.
    fn seen(&self, item: &str, query: &str) -> Vec<(String, String, String)> {
        let page = self.integration.get(&format!("/configuration-items/{item}/relationships?count=exact{query}"));
        let page = page.expect(200);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows: Vec<_> = page.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (text(&row["direction"]), text(&row["kind"]), text(&row["other"]["name"])))
            .collect();
        assert_eq!(page.body["page"]["total"], rows.len());
        rows
    }
}

fn rows(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

#[test]
fn a_relationship_is_seen_from_both_of_its_items() {
    let ground = Ground::new();
    let [app, database, host] = ["app", "database", "host"].map(|name| ground.item(name));
    let made = ground.relate(&app, "depends_on", &database).expect(201);
    assert_eq!(made.header("location"), format!("/api/v1/configuration-items/{app}/relationships/{}", made.id()));
    assert_eq!(
        (&made.body["direction"], &made.body["configuration_item_id"], &made.body["target_id"]),
        (&json!("outgoing"), &json!(app), &json!(database))
    );
    let other = json!({"id": database, "source": "cmdb", "external_id": "database", "name": "database", "class": "server", "status": "in_production"});
    assert_eq!((&made.body["other"], &made.body["row_version"]), (&other, &json!(1)));
    ground.relate(&database, "runs_on", &host).expect(201);
    ground.relate(&host, "connected_to", &database).expect(201);
    let all = rows(&[
        ("incoming", "depends_on", "app"),
        ("outgoing", "runs_on", "host"),
        ("incoming", "connected_to", "host"),
    ]);
    for query in ["", "&direction=both", "&direction=incoming,outgoing"] {
        assert_eq!(ground.seen(&database, query), all, "{query}");
    }
    assert_eq!(ground.seen(&database, "&direction=outgoing"), all[1..2]);
    assert_eq!(ground.seen(&database, "&direction=incoming&kind=connected_to"), all[2..]);
    assert_eq!(ground.seen(&database, "&kind=part_of"), rows(&[]));
    assert_eq!(ground.seen(&app, "").len(), 1);
    // Page by page, either way.
    for (sort, mut expected) in [("id", all.clone()), ("-id", all.into_iter().rev().collect::<Vec<_>>())] {
        let mut path = format!("/configuration-items/{database}/relationships?limit=1&sort={sort}");
        while !expected.is_empty() {
            let page = ground.integration.get(&path).expect(200);
            assert_eq!(page.body["data"][0]["other"]["name"], json!(expected.remove(0).2));
            path = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        }
        assert_eq!(path, "");
    }
    let from_there = format!("/configuration-items/{database}/relationships/{}", made.id());
    let read = ground.integration.get(&from_there).expect(200);
    assert_eq!((&read.body["direction"], &read.body["other"]["id"]), (&json!("incoming"), &json!(app)));
    let nowhere = format!("/configuration-items/{host}/relationships/{}", made.id());
    ground.integration.get(&nowhere).problem(404, "NOT_FOUND");
    ground.app.assert_sound();
}

#[test]
fn what_is_there_already_leads_to_itself_or_to_nothing_is_refused_and_a_circle_is_not() {
    let ground = Ground::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| ground.item(name));
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        ground.relate(from, "depends_on", to).expect(201);
    }
    ground.relate(&a, "depends_on", &b).problem(409, "ALREADY_EXISTS");
    ground.relate(&b, "depends_on", &a).expect(201);
    ground.relate(&a, "part_of", &b).expect(201);
    ground.relate(&a, "connected_to", &b).expect(201);
    // The same from both sides.
    ground.relate(&b, "connected_to", &a).problem(409, "ALREADY_EXISTS");
    ground.relate(&a, "runs_on", &a).problem(422, "INVALID_VALUES").faults(&[("/target_id", "RELATED_TO_ITSELF")]);
    let nobody = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    ground.relate(&a, "runs_on", nobody).problem(422, "INVALID_VALUES").faults(&[("/target_id", "UNKNOWN_REFERENCE")]);
    ground.relate(nobody, "runs_on", &a).problem(404, "NOT_FOUND");
    ground.relate(&a, "hates", &b).problem(422, "INVALID_VALUES").faults(&[("/kind", "NOT_ALLOWED")]);
    let tried = json!({"kind": "runs_on", "target_id": b});
    let path = format!("/configuration-items/{a}/relationships");
    ground.integration.post(&format!("{path}?dry_run=true"), &tried).expect(200);
    assert_eq!(ground.seen(&a, "&kind=runs_on"), rows(&[]));
}

#[test]
fn both_sides_of_a_connection_at_once_make_one() {
    let ground = Ground::new();
    let (a, b) = (ground.item("a"), ground.item("b"));
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let one = scope.spawn(|| ground.relate(&a, "connected_to", &b).status);
        let other = scope.spawn(|| ground.relate(&b, "connected_to", &a).status);
        vec![one.join().unwrap(), other.join().unwrap()]
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(ground.seen(&a, "").len(), 1);
}

#[test]
fn a_relationship_is_taken_away_from_either_end_and_the_item_that_it_starts_from_tells_of_it() {
    let ground = Ground::new();
    let (a, b) = (ground.item("a"), ground.item("b"));
    let made = ground.relate(&a, "runs_on", &b).expect(201).id();
    let at_b = format!("/configuration-items/{b}/relationships/{made}");
    for item in [&a, &b] {
        ground.integration.delete(&format!("/configuration-items/{item}"), "*").problem(409, "IN_USE");
    }
    Answer::of(ground.integration.request("DELETE", &at_b)).problem(428, "PRECONDITION_REQUIRED");
    ground.integration.delete(&at_b, "\"2\"").problem(412, "PRECONDITION_FAILED");
    ground.integration.delete(&at_b, "\"1\"").expect(204);
    ground.integration.delete(&at_b, "\"1\"").problem(404, "NOT_FOUND");
    let admin = ground.app.client(Role::Admin);
    let audit = admin.get(&format!("/audit?record_id={a}&record_type=configuration_item")).expect(200);
    let told: Vec<(&str, i64)> = audit.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["action"].as_str().unwrap(), row["seq"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("configuration_item.remove_relationship", 3),
            ("configuration_item.add_relationship", 2),
            ("configuration_item.create", 1)
        ]
    );
    // The item itself is as it was, and its version too.
    let read = ground.integration.get(&format!("/configuration-items/{a}")).expect(200);
    assert_eq!(read.body["row_version"], 1);
    ground.integration.patch(&format!("/configuration-items/{a}"), "\"1\"", &json!({"version": "2"})).expect(200);
    ground.integration.delete(&format!("/configuration-items/{b}"), "*").expect(204);
    ground.app.assert_sound();
}

#[test]
fn from_an_item_start_no_more_relationships_than_are_allowed() {
    let ground = Ground::new();
    let (a, last) = (ground.item("a"), ground.item("zzz"));
    let target = |n: i64| format!("01934f2e-7b1a-7c3d-8e4f-{n:012}");
    let mut sql = String::new();
    for n in 0..OUTGOING_MAX {
        sql.push_str(&format!(
            "INSERT INTO configuration_items SELECT '{0}', 1, created_at, updated_at, 1, 'x', 'bulk', '{n}', 'b{n}', class, \
             environment, status, version, serial, location, owner_group_id, attributes, NULL FROM configuration_items \
             WHERE id = '{a}'; INSERT INTO configuration_item_relationships VALUES ('{0}', '{a}', 'runs_on', '{0}', \
             '2030-01-07 10:00:00');",
            target(n)
        ));
    }
    ground.app.database.execute(&sql);
    ground.relate(&a, "runs_on", &last).problem(409, "LIMIT_REACHED");
    // Any number may lead to an item.
    ground.relate(&last, "runs_on", &a).expect(201);
    let gone = format!("/configuration-items/{a}/relationships/{}", target(7));
    ground.integration.delete(&gone, "*").expect(204);
    ground.relate(&a, "runs_on", &last).expect(201);
}
