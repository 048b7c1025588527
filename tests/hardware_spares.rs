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
    plan_item(&app, &path, &becomes, &[]);
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
    plan_item(&app, &path, &becomes, &[("intended_status", "in_production")]);
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
    plan_item(&app, &path, &becomes, &[]);
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
    let reserved = reserve(&app, &path, "T7", Some(&becomes));
    carry(&app, &manager, &mut release, "closure");
    record_outcomes(&manager, &release);
    let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    transition(&manager, &release, &close);
    let now = manager.get(&at).expect(200).body;
    assert_eq!((&now["status"], &now["version"]), (&json!("validating"), &json!("7")));
    assert!(now["serial"].is_string() && now["location"].is_string(), "{now}");
    assert_eq!(now["row_version"], 2);
    let told = manager.get(&format!("/write-backs?configuration_item={becomes}")).expect(200).body["data"].clone();
    assert_eq!((told.as_array().unwrap().len(), &told[0]["after"]["serial"]), (1, &now["serial"]));
    assert_eq!(
        told[0]["link_id"],
        manager.get(&format!("{path}/configuration-items")).expect(200).body["data"][0]["id"]
    );
    // Nobody changed it since.
    let links = manager.get(&format!("{path}/configuration-items")).expect(200);
    let link = &links.body["data"][0];
    assert_eq!(
        (&link["outcome"], &link["changed_since_linked"], &link["seen_row_version"]),
        (&json!("applied"), &json!(false), &now["row_version"])
    );
    let revert = format!("{path}/configuration-items/{}/revert", link["id"].as_str().unwrap());
    let answer = manager.post(&revert, &json!({"note": "The terminal is too slow"})).expect(200).body;
    let expected = json!({"spare_id": reserved["spare_id"], "serial": reserved["serial"], "status": "in_stock"});
    assert_eq!(answer["spare"], expected);
    let free = read(&app, &reserved["spare_id"]);
    assert_eq!((&free["status"], &free["configuration_item_id"]), (&json!("in_stock"), &Value::Null));
    let own = format!("{path}/hardware-spares/{}", reserved["id"].as_str().unwrap());
    assert_eq!(manager.get(&own).expect(200).body["state"], "reverted");
    let back = manager.get(&at).expect(200).body;
    for field in ["status", "version", "environment", "serial", "location"] {
        assert_eq!(back[field], before[field], "{field} of {back}");
    }
    app.assert_sound();
}

#[test]
fn a_spare_is_reserved_for_an_item_that_a_pending_link_of_the_release_is_of() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = path_of(&app.release().make());
    let (spares, becomes) = (format!("{path}/hardware-spares"), item(&app));
    let not_linked = |answer: Answer| {
        answer.problem(422, "INVALID_VALUES").faults(&[("/configuration_item_id", "CI_NOT_LINKED")]);
    };
    let body = json!({"spare_id": spare(&app, "T7"), "configuration_item_id": becomes});
    not_linked(lead.post(&spares, &body));
    let loose = reserve(&app, &path, "T7", None);
    let own = format!("{spares}/{}", loose["id"].as_str().unwrap());
    not_linked(lead.patch(&own, "*", &json!({"configuration_item_id": becomes})));
    let links = format!("{path}/configuration-items");
    let link = format!("{links}/{}", lead.post(&links, &json!({"configuration_item_id": becomes})).expect(201).id());
    let outcome = |outcome: &str| {
        lead.patch(&link, "*", &json!({"outcome": outcome, "outcome_note": "Out of reach"})).expect(200);
    };
    outcome("failed");
    not_linked(lead.post(&spares, &body));
    outcome("pending");
    let made = lead.post(&spares, &body).expect(201).id();
    lead.delete(&link, "*").problem(409, "IN_USE");
    lead.delete(&format!("{spares}/{made}"), "*").expect(204);
    lead.delete(&link, "*").expect(204);
    app.assert_sound();
}

#[test]
fn for_an_item_a_release_reserves_one_spare() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = path_of(&app.release().make());
    let (spares, becomes) = (format!("{path}/hardware-spares"), item(&app));
    plan_item(&app, &path, &becomes, &[]);
    let first = reserve(&app, &path, "T7", Some(&becomes));
    let body = json!({"spare_id": spare(&app, "T7"), "configuration_item_id": becomes});
    let second = lead.post(&spares, &body).problem(409, "ALREADY_EXISTS");
    second.faults(&[("/configuration_item_id", "ALREADY_EXISTS")]);
    // All that the state forbids is told at once.
    let taken = json!({"spare_id": first["spare_id"], "configuration_item_id": becomes});
    let refused = lead.post(&spares, &taken).problem(409, "SPARE_RESERVED");
    refused.faults(&[("/spare_id", "SPARE_RESERVED"), ("/configuration_item_id", "ALREADY_EXISTS")]);
    let loose = reserve(&app, &path, "T7", None);
    let own = format!("{spares}/{}", loose["id"].as_str().unwrap());
    lead.patch(&own, "*", &json!({"configuration_item_id": becomes})).problem(409, "ALREADY_EXISTS");
    let of_first = format!("{spares}/{}", first["id"].as_str().unwrap());
    lead.patch(&of_first, "*", &json!({"configuration_item_id": becomes, "description": "Counter"})).expect(200);
    lead.patch(&of_first, "*", &json!({"configuration_item_id": null})).expect(200);
    lead.patch(&own, "*", &json!({"configuration_item_id": becomes})).expect(200);
    app.assert_sound();
}

#[test]
fn the_spare_of_an_item_that_failed_is_given_back_at_closing() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = path_of(&release);
    let (works, fails) = (item(&app), item(&app));
    plan_item(&app, &path, &works, &[]);
    plan_item(&app, &path, &fails, &[]);
    let (kept, back) = (reserve(&app, &path, "T7", Some(&works)), reserve(&app, &path, "T7", Some(&fails)));
    let links = lead.get(&format!("{path}/configuration-items?configuration_item={fails}")).expect(200);
    let link = format!("{path}/configuration-items/{}", links.body["data"][0]["id"].as_str().unwrap());
    lead.patch(&link, "*", &json!({"outcome": "failed", "outcome_note": "Broken socket"})).expect(200);
    close(&app, &release);
    assert_eq!(read(&app, &kept["spare_id"])["status"], "deployed");
    assert_eq!(read(&app, &back["spare_id"])["status"], "in_stock");
    let page = lead.get(&format!("{path}/hardware-spares")).expect(200);
    let states: Vec<&Value> = page.body["data"].as_array().unwrap().iter().map(|spare| &spare["state"]).collect();
    assert_eq!(states, ["deployed", "released"]);
    let untouched = lead.get(&format!("/configuration-items/{fails}")).expect(200).body;
    assert_eq!((&untouched["serial"], &untouched["row_version"]), (&Value::Null, &json!(1)));
    app.assert_sound();
}

#[test]
fn taking_a_release_back_returns_its_spares_unless_somebody_made_something_else_of_them() {
    let app = App::start();
    let (manager, client) = (app.client(Role::Manager), app.client(Role::Integration));
    let release = app.release().make();
    let path = path_of(&release);
    let items = [item(&app), item(&app)];
    items.iter().for_each(|item| plan_item(&app, &path, item, &[]));
    let [first, second] = [0, 1].map(|nth: usize| reserve(&app, &path, "T7", Some(&items[nth])));
    let loose = reserve(&app, &path, "T8", None);
    close(&app, &release);
    client
        .patch(
            &format!("/hardware-spares/{}", second["spare_id"].as_str().unwrap()),
            "*",
            &json!({"status": "retired"}),
        )
        .expect(200);
    let revert = format!("{path}/revert");
    let done = manager.post(&revert, &json!({"note": "Too slow"})).expect(200).body;
    let told = |reserved: &Value, status: &str| json!({"spare_id": reserved["spare_id"], "serial": reserved["serial"], "status": status});
    assert_eq!((&done["done"], &done["spares"]), (&json!(2), &json!([told(&loose, "in_stock")])));
    for (item, expected) in items.iter().zip([told(&first, "in_stock"), told(&second, "retired")]) {
        let results = done["results"].as_array().unwrap();
        let of_item = results.iter().find(|result| result["link"]["configuration_item_id"] == item.as_str()).unwrap();
        assert_eq!(of_item["link"]["spare"], expected);
    }
    assert_eq!(read(&app, &first["spare_id"])["status"], "in_stock");
    assert_eq!(read(&app, &second["spare_id"])["status"], "retired");
    manager.post(&revert, &json!({"note": "Too slow"})).problem(409, "NOT_APPLIED");
    // What came back is to be had again.
    let other = path_of(&app.release().make());
    let body = json!({"spare_id": first["spare_id"]});
    app.client(Role::Lead).post(&format!("{other}/hardware-spares"), &body).expect(201);
    app.assert_sound();
}

#[test]
fn releases_that_close_at_once_over_the_same_items_do_not_wait_for_each_other_in_a_circle() {
    let app = App::start_with(|config| config.workers = 2);
    let manager = app.client(Role::Manager);
    for _ in 0..3 {
        let items = [item(&app), item(&app)];
        let releases: Vec<Value> = [[0, 1], [1, 0]]
            .iter()
            .map(|order| {
                let mut release = app.release().make();
                let path = path_of(&release);
                for nth in order {
                    plan_item(&app, &path, &items[*nth], &[]);
                    reserve(&app, &path, "T7", Some(&items[*nth]));
                }
                carry(&app, &manager, &mut release, "closure");
                record_outcomes(&manager, &release);
                release
            })
            .collect();
        let start = Arc::new(Barrier::new(releases.len()));
        let mut answers: Vec<Answer> = std::thread::scope(|scope| {
            let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
            let threads: Vec<_> = releases
                .iter()
                .map(|release| {
                    let (start, manager, close) = (Arc::clone(&start), manager.clone(), close.clone());
                    let path = format!("{}/transitions", path_of(release));
                    scope.spawn(move || {
                        start.wait();
                        manager.post(&path, &close)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        answers.sort_by_key(|answer| answer.status);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [201, 422], "{}", answers[1].text);
        assert_eq!(answers[1].blockers(), ["CI_CHANGED_SINCE_LINKED"]);
    }
    app.assert_sound();
}
