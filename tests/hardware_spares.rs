//! The definitive hardware store: spares, which release gets one, and what becomes of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use serde_json::{Value, json};

use crate::support::*;

static NTH: AtomicU32 = AtomicU32::new(0);

fn nth() -> u32 {
    NTH.fetch_add(1, Ordering::SeqCst)
}

/// A configuration item in stock of nobody; answers its identifier.
pub fn item(app: &App) -> String {
    let key = format!("term-{}", nth());
    let body = json!({"source": "cmdb", "external_id": key, "name": key, "class": "terminal", "status": "planned"});
    app.client(Role::Integration).post("/configuration-items", &body).expect(201).id()
}

/// The identifier at the end of a path.
pub fn id_in(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Plans something for a configuration item in a release.
pub fn plan_item(app: &App, release: &str, item: &str, fields: &[(&str, &str)]) {
    let mut body = json!({"configuration_item_id": item});
    for (name, value) in fields {
        body[*name] = json!(value);
    }
    app.client(Role::Lead).post(&format!("{release}/configuration-items"), &body).expect(201);
}

/// A fresh spare of a model; answers its identifier.
pub fn spare(app: &App, model: &str) -> String {
    let body = json!({"model": model, "serial": format!("{model}-{}", nth()), "location": "Lisbon store, shelf 4"});
    app.client(Role::Integration).post("/hardware-spares", &body).expect(201).id()
}

/// Reserves a fresh spare of a model for a release; answers the reservation.
pub fn reserve(app: &App, release: &str, model: &str, item: Option<&str>) -> Value {
    let body = json!({"spare_id": spare(app, model), "configuration_item_id": item});
    app.client(Role::Lead).post(&format!("{release}/hardware-spares"), &body).expect(201).body
}

fn path_of(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn read(app: &App, spare: &Value) -> Value {
    app.client(Role::Viewer).get(&format!("/hardware-spares/{}", spare.as_str().unwrap())).expect(200).body
}

fn close(app: &App, release: &Value) -> Value {
    let manager = app.client(Role::Manager);
    let mut release = release.clone();
    carry(app, &manager, &mut release, "closure");
    record_outcomes(&manager, &release);
    let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    transition(&manager, &release, &close)
}

#[test]
fn a_spare_is_kept_by_its_serial_number_and_people_say_whether_it_is_retired() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let body = json!({"model": "Terminal T7", "serial": "T7-1", "location": "Lisbon"});
    let made = client.post("/hardware-spares", &body).expect(201);
    assert_eq!((&made.body["status"], &made.body["configuration_item_id"]), (&json!("in_stock"), &Value::Null));
    let path = format!("/hardware-spares/{}", made.id());
    client.post("/hardware-spares", &body).problem(409, "ALREADY_EXISTS").faults(&[("/serial", "ALREADY_EXISTS")]);
    let patch = |body: &Value| client.patch(&path, "*", body);
    for status in ["reserved", "deployed"] {
        patch(&json!({"status": status})).problem(422, "INVALID_VALUES").faults(&[("/status", "NOT_APPLICABLE")]);
        let odd = json!({"model": "T", "serial": status, "status": status});
        client.post("/hardware-spares", &odd).problem(422, "INVALID_VALUES").faults(&[("/status", "NOT_APPLICABLE")]);
    }
    patch(&json!({"configuration_item_id": item(&app)}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/configuration_item_id", "NOT_APPLICABLE")]);
    assert_eq!(patch(&json!({"status": "retired"})).expect(200).body["status"], "retired");
    assert_eq!(patch(&json!({"status": "in_stock"})).expect(200).body["row_version"], 3);
    for (query, count) in [
        ("model=Terminal%20T7", 1),
        ("serial=T7-1", 1),
        ("status=retired", 0),
        ("status=in_stock&location=Lisbon", 1),
        ("q=t7", 1),
        ("q=x", 0),
    ] {
        let page = client.get(&format!("/hardware-spares?{query}")).expect(200);
        assert_eq!(page.body["data"].as_array().unwrap().len(), count, "{query}");
    }
    client.delete(&path, "*").expect(204);
    app.assert_sound();
}

#[test]
fn of_releases_that_want_the_same_spare_exactly_one_gets_it() {
    let app = App::start_with(|config| config.workers = 2);
    let wanted = spare(&app, "T7");
    let releases: Vec<Value> = (0..6).map(|_| app.release().make()).collect();
    let start = Arc::new(Barrier::new(releases.len()));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = releases
            .iter()
            .map(|release| {
                let (start, manager) = (Arc::clone(&start), app.client(Role::Manager));
                let (path, body) = (format!("{}/hardware-spares", path_of(release)), json!({"spare_id": wanted}));
                scope.spawn(move || {
                    start.wait();
                    manager.post(&path, &body)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (got, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((got.len(), others.len()), (1, 5));
    for other in others {
        other.problem(409, "SPARE_RESERVED").faults(&[("/spare_id", "SPARE_RESERVED")]);
    }
    let kept = format!("/hardware-spares/{wanted}");
    let client = app.client(Role::Integration);
    assert_eq!(client.get(&kept).expect(200).body["status"], "reserved");
    client.patch(&kept, "*", &json!({"status": "retired"})).problem(409, "SPARE_STATE_FORBIDS");
    client.patch(&kept, "*", &json!({"serial": "other"})).problem(409, "SPARE_STATE_FORBIDS");
    client.patch(&kept, "*", &json!({"notes": "Dusty"})).expect(200);
    client.delete(&kept, "*").problem(409, "IN_USE");
    app.assert_sound();
}

#[test]
fn a_reservation_is_part_of_the_plan_and_ends_with_it() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let mut release = app.release().make();
    let path = path_of(&release);
    let links = format!("{path}/hardware-spares");
    let made = reserve(&app, &path, "T7", None);
    let own = format!("{links}/{}", made["id"].as_str().unwrap());
    let becomes = item(&app);
    let patched =
        lead.patch(&own, "*", &json!({"configuration_item_id": becomes, "description": "Counter"})).expect(200);
    assert_eq!((&patched.body["configuration_item_id"], &patched.body["state"]), (&json!(becomes), &json!("reserved")));
    let nothing = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    lead.patch(&own, "*", &json!({"configuration_item_id": nothing}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/configuration_item_id", "UNKNOWN_REFERENCE")]);
    lead.post(&links, &json!({"spare_id": nothing, "configuration_item_id": nothing}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/spare_id", "UNKNOWN_REFERENCE"), ("/configuration_item_id", "UNKNOWN_REFERENCE")]);
    assert_eq!(lead.get(&links).expect(200).body["data"], json!([lead.get(&own).expect(200).body]));
    lead.delete(&own, "*").expect(204);
    assert_eq!(read(&app, &made["spare_id"])["status"], "in_stock");
    let again = lead.post(&links, &json!({"spare_id": made["spare_id"]})).expect(201);
    carry(&app, &manager, &mut release, "deployment");
    let own = format!("{links}/{}", again.id());
    lead.delete(&own, "*").problem(409, "LOCKED_AFTER_AUTHORIZATION");
    lead.patch(&own, "*", &json!({"configuration_item_id": becomes})).problem(409, "LOCKED_AFTER_AUTHORIZATION");
    lead.patch(&own, "*", &json!({"description": "Counter 3"})).expect(200);
    record_outcomes(&manager, &release);
    let cancel =
        json!({"action": "cancel", "justification_id": app.justification("cancel"), "closure_notes": "No more"});
    transition(&manager, &release, &cancel);
    assert_eq!(lead.get(&own).expect(200).body["state"], "released");
    assert_eq!(read(&app, &made["spare_id"])["status"], "in_stock");
    lead.post(&links, &json!({"spare_id": made["spare_id"]})).problem(409, "STATE_FORBIDS");
    app.assert_sound();
}

#[test]
fn closing_as_solved_deploys_what_is_reserved_and_says_so_of_its_item() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let release = app.release().make();
    let path = path_of(&release);
    let becomes = item(&app);
    let (known, loose) = (reserve(&app, &path, "T7", Some(&becomes)), reserve(&app, &path, "T8", None));
    let closed = close(&app, &release);
    assert_eq!((&closed["status"], &closed["resolution"]), (&json!("closed"), &json!("solved")));
    let deployed = read(&app, &known["spare_id"]);
    assert_eq!((&deployed["status"], &deployed["configuration_item_id"]), (&json!("deployed"), &json!(becomes)));
    assert_eq!(read(&app, &loose["spare_id"])["status"], "deployed");
    let now = client.get(&format!("/configuration-items/{becomes}")).expect(200).body;
    assert_eq!(
        (&now["status"], &now["serial"], &now["location"]),
        (&json!("in_production"), &deployed["serial"], &json!("Lisbon store, shelf 4"))
    );
    let told = |sql: &str| lines(&mut app.env.database.connect().unwrap(), sql);
    let history = format!(
        "SELECT origin || ' ' || release_id AS line FROM configuration_item_history \
         WHERE configuration_item_id = '{becomes}' AND row_version = 2"
    );
    assert_eq!(told(&history), [format!("release {}", release["id"].as_str().unwrap())]);
    let waiting = format!(
        "SELECT kind || ' ' || state || ' ' || source AS line FROM write_backs WHERE configuration_item_id = '{becomes}'"
    );
    assert_eq!(told(&waiting), ["apply pending cmdb"]);
    client.delete(&format!("/hardware-spares/{}", known["spare_id"].as_str().unwrap()), "*").problem(409, "IN_USE");
    // Which item the other one became is said afterwards.
    let other = json!({"configuration_item_id": item(&app)});
    client.patch(&format!("/hardware-spares/{}", loose["spare_id"].as_str().unwrap()), "*", &other).expect(200);
    // What is deployed stays so when the release is taken up again.
    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
    let reopened = transition(&app.client(Role::Manager), &closed, &reopen);
    let links = format!("{path}/hardware-spares");
    let own = format!("{links}/{}", known["id"].as_str().unwrap());
    let lead = app.client(Role::Lead);
    assert_eq!(lead.get(&own).expect(200).body["state"], "deployed");
    lead.delete(&own, "*").problem(409, "SPARE_STATE_FORBIDS");
    assert_eq!(close(&app, &reopened)["status"], "closed");
    assert_eq!(read(&app, &known["spare_id"])["row_version"], deployed["row_version"]);
    app.assert_sound();
}

#[test]
fn closing_as_unsolved_frees_what_is_reserved_and_touches_no_item() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let mut release = app.release().make();
    let path = path_of(&release);
    let becomes = item(&app);
    let reserved = reserve(&app, &path, "T7", Some(&becomes));
    carry(&app, &manager, &mut release, "deployment");
    let close = json!({
        "action": "close", "resolution": "unsolved", "justification_id": app.justification("cancel"),
        "closure_notes": "It did not start",
    });
    transition(&manager, &release, &close);
    assert_eq!(read(&app, &reserved["spare_id"])["status"], "in_stock");
    let item = manager.get(&format!("/configuration-items/{becomes}")).expect(200).body;
    assert_eq!((&item["status"], &item["row_version"]), (&json!("planned"), &json!(1)));
    let link = manager.get(&format!("{path}/hardware-spares/{}", reserved["id"].as_str().unwrap())).expect(200);
    assert_eq!(link.body["state"], "released");
    app.assert_sound();
}

#[test]
fn a_link_and_a_spare_of_one_closing_make_one_state_that_is_taken_back_as_a_whole() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let mut release = app.release().make();
    let path = path_of(&release);
    let becomes = item(&app);
    let at = format!("/configuration-items/{becomes}");
    let before = manager.get(&at).expect(200).body;
    plan_item(&app, &path, &becomes, &[("intended_status", "validating"), ("intended_version", "7")]);
    reserve(&app, &path, "T7", Some(&becomes));
    carry(&app, &manager, &mut release, "closure");
    record_outcomes(&manager, &release);
    let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    transition(&manager, &release, &close);
    let now = manager.get(&at).expect(200).body;
    assert_eq!((&now["status"], &now["version"]), (&json!("validating"), &json!("7")));
    assert!(now["serial"].is_string() && now["location"].is_string(), "{now}");
    // The link knows the item as the spare left it: nobody changed it since.
    let links = manager.get(&format!("{path}/configuration-items")).expect(200);
    let link = &links.body["data"][0];
    assert_eq!(
        (&link["outcome"], &link["changed_since_linked"], &link["seen_row_version"]),
        (&json!("applied"), &json!(false), &now["row_version"])
    );
    let revert = format!("{path}/configuration-items/{}/revert", link["id"].as_str().unwrap());
    manager.post(&revert, &json!({"note": "The terminal is too slow"})).expect(200);
    let back = manager.get(&at).expect(200).body;
    for field in ["status", "version", "environment", "serial", "location"] {
        assert_eq!(back[field], before[field], "{field} of {back}");
    }
    app.assert_sound();
}
