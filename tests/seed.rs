//! `slipway seed`: a believable installation, the same for the same number.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway::domain::policy::Visibility;
use slipway::domain::release::Release;
use slipway::domain::values::Timestamp;
use slipway::repository::releases::{ReleaseRef, find};
use slipway::repository::{audit, migrations};
use slipway::service::env::Clock;
use slipway::service::seed::{Means, ONE_BY_ONE_RELEASES_MAX, Seeding, seed};
use slipway::service::setup::first_start;
use slipway::service::{Env, Error, document_keeping};
use slipway::store::{Place, Store};

use crate::support::*;

/// The stages of the three built-in workflows (`domain.md` §3).
const STAGES: &[(&str, &[&str])] = &[
    ("standard", &["planning", "authorization", "deployment", "test", "acceptance", "closure"]),
    ("emergency", &["authorization", "deployment", "acceptance", "closure"]),
    ("minor", &["planning", "deployment", "closure"]),
];

/// How many records a list holds.
fn total(client: &Client, path: &str) -> i64 {
    let separator = if path.contains('?') { '&' } else { '?' };
    let page = client.get(&format!("{path}{separator}limit=1&count=exact")).expect(200);
    page.body["page"]["total"].as_i64().unwrap()
}

/// Every record of a list.
fn everything(client: &Client, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}?limit=200{cursor}")).expect(200);
        all.extend(page.body["data"].as_array().unwrap().iter().cloned());
        match page.body["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn values(records: &[Value], field: &str) -> BTreeSet<String> {
    records.iter().map(|record| record[field].to_string().trim_matches('"').to_owned()).collect()
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn an_installation_is_seeded_with_all_that_is_promised() {
    const PROMISED: &[(&str, i64)] =
        &[("/groups", 6), ("/users", 25), ("/portfolios", 4), ("/models", 11), ("/changes", 91), ("/releases", 300)];
    let app = App::start();
    let admin = app.client(Role::Admin);
    let before: Vec<i64> = PROMISED.iter().map(|(path, _)| total(&admin, path)).collect();
    let told = seed(&app.env, 1, 300).unwrap();
    for ((path, promised), before) in PROMISED.iter().zip(before) {
        assert_eq!(total(&admin, path) - before, *promised, "{path}");
    }
    assert!(total(&admin, "/units") > 0 && total(&admin, "/contracts") > 0);
    assert!(told.contains("slipway user set-password"), "{told}");

    let releases = everything(&admin, "/releases");
    assert_eq!(values(&releases, "status"), set(&["open", "suspended", "cancelled", "closed", "reopened"]));
    assert_eq!(values(&releases, "type"), set(&["minor", "major", "significant", "emergency"]));
    assert_eq!(values(&releases, "priority"), set(&["1", "2", "3", "4", "5"]));
    assert_eq!(values(&releases, "resolution"), set(&["null", "solved", "unsolved"]));
    let workflows = everything_of_one_page(&admin, "/workflows");
    for (key, stages) in STAGES {
        let workflow = workflows.iter().find(|workflow| workflow["key"] == *key).unwrap();
        let open: Vec<Value> = releases
            .iter()
            .filter(|release| release["workflow_id"] == workflow["id"] && release["status"] == "open")
            .cloned()
            .collect();
        assert_eq!(values(&open, "stage"), set(stages), "{key}");
    }
    let mut activities = Vec::new();
    for release in releases.iter().take(60) {
        activities.extend(everything(&admin, &format!("/releases/{}/activities", release["key"].as_str().unwrap())));
    }
    assert_eq!(values(&activities, "phase"), set(&["planning", "deployment"]));
    assert!(values(&activities, "status").is_superset(&set(&["todo", "done"])), "{}", activities.len());
    assert!(activities.iter().any(|one| one["minutes_spent"].as_i64() > Some(0) && one["comment_count"] == 1));
    assert!(activities.iter().any(|one| !one["depends_on"].as_array().unwrap().is_empty()));
    let users = everything(&admin, "/users");
    let roles = set(&["null", "admin", "release_manager", "viewer", "integration"]);
    assert_eq!(values(&users, "global_role"), roles);
    assert_eq!(values(&users, "active"), set(&["true", "false"]));
    assert_eq!(values(&everything(&admin, "/changes"), "source"), set(&["jira", "servicenow"]));

    let now = NOW.parse::<Timestamp>().unwrap();
    let instant = |value: &Value| value.as_str().map(|text| text.parse::<Timestamp>().unwrap());
    assert!(releases.iter().all(|release| instant(&release["updated_at"]).unwrap() < now));
    assert!(releases.iter().any(|release| instant(&release["deployment_window"]["start"]) > Some(now)));
    assert!(releases.iter().any(|release| !release["depends_on"].as_array().unwrap().is_empty()));
    assert!(releases.iter().any(|release| release["reopen_count"] == 1 && release["status"] == "closed"));
    let first = admin.get("/releases?status=open&sort=number&limit=200").expect(200).body["data"].clone();
    let with_folder = first.as_array().unwrap().iter().map(|one| format!("/releases/{}", one["key"].as_str().unwrap()));
    let with_folder = with_folder.into_iter().find(|one| total(&admin, &format!("{one}/records")) > 0).unwrap();
    for part in ["roles", "records", "shares", "references", "comments", "documents"] {
        assert!(!everything_of_one_page(&admin, &format!("{with_folder}/{part}")).is_empty(), "{part}");
    }
    let store = app.env.store().unwrap();
    let found = document_keeping::examine(&app.env.database, store).unwrap();
    assert_eq!(found.fault, None, "{}", found.seen);
    // What is told of a document is what is sent of it.
    for document in everything_of_one_page(&admin, &format!("{with_folder}/documents")) {
        let path = format!("{with_folder}/documents/{}/content", document["id"].as_str().unwrap());
        let sent = admin.request("GET", &path).send().unwrap().bytes().unwrap();
        let digest: String = Sha256::digest(&sent).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((json!(sent.len()), json!(digest)), (document["size_bytes"].clone(), document["sha256"].clone()));
    }
    let items = everything(&admin, "/configuration-items");
    assert_eq!(items.len(), 31);
    assert_eq!(values(&items, "environment"), set(&["development", "test", "acceptance", "production"]));
    assert!(values(&items, "class").len() >= 8 && values(&items, "status").len() >= 5, "{items:?}");
    let media = everything(&admin, "/definitive-media");
    assert!(values(&media, "status").contains("authorised"), "{media:?}");
    let stored = media
        .iter()
        .filter(|medium| medium["status"] == "authorised")
        .all(|medium| medium["sha256"] == medium["content_sha256"] && medium["verified_by"] != medium["authorised_by"]);
    assert!(stored, "{media:?}");
    let spares = everything(&admin, "/hardware-spares");
    assert!(values(&spares, "status").is_superset(&set(&["in_stock", "retired"])), "{spares:?}");
    let told = everything(&admin, "/write-backs");
    assert_eq!(values(&told, "state"), set(&["confirmed", "pending"]));
    // What was closed is in the items, and their history names the release.
    let told = &told[0];
    let path = format!("/configuration-items/{}", told["configuration_item_id"].as_str().unwrap());
    let item = admin.get(&path).expect(200).body;
    assert_ne!(item["version"], "1.0.0");
    let history = everything_of_one_page(&admin, &format!("{path}/history"));
    assert_eq!(history[0]["release_id"], told["release_id"]);
    let reaches = |release: &Value| {
        let impact = admin.get(&format!("/releases/{}/impact", release["key"].as_str().unwrap())).expect(200);
        !impact.body["reached"].as_array().unwrap().is_empty()
    };
    assert!(releases.iter().filter(|release| release["status"] == "open").any(reaches));
    let overdue = total(&admin, "/releases?overdue=true");
    assert!(overdue > 0 && overdue < 100, "{overdue}");

    // One model gives its releases everything at once.
    let mut body = new_release();
    body["model_id"] = json!(app.model("Prepared release"));
    let made = format!("/releases/{}", admin.post("/releases", &body).expect(201).id());
    let activities = everything(&admin, &format!("{made}/activities"));
    assert_eq!(values(&activities, "phase"), set(&["planning", "deployment"]));
    assert!(activities.iter().all(|one| instant(&one["due_at"]) >= instant(&one["scheduled_start"])));
    let checklists = everything_of_one_page(&admin, &format!("{made}/checklists"));
    assert_eq!(values(&checklists, "stage"), set(&["deployment", "test"]));
    assert_eq!(admin.get(&format!("{made}/approvals")).expect(200).body["rule"]["kind"], "any");
    app.assert_sound();
}

fn everything_of_one_page(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).expect(200).body["data"].as_array().unwrap().clone()
}

#[test]
fn seeded_people_act_in_their_own_name_and_cannot_log_in_without_a_password() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    seed(&app.env, 5, 40).unwrap();
    let users = everything(&admin, "/users");
    let closed = admin.get("/releases?status=closed&limit=1").expect(200).body["data"][0].clone();
    let history = everything(&admin, &format!("/releases/{}/history", closed["key"].as_str().unwrap()));
    assert!(history.len() > 5, "{history:?}");
    for entry in &history {
        let actor = users.iter().find(|user| user["id"] == entry["actor_id"]).unwrap();
        assert_eq!(actor["username"], entry["actor_name"]);
    }
    let actors = values(&history, "actor_name");
    assert!(actors.len() > 1, "{actors:?}");
    let login = json!({"username": "ana.souza", "password": PASSWORD});
    app.anonymous().post("/auth/login", &login).expect(401);
}

#[test]
fn an_installation_is_seeded_once() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    seed(&app.env, 3, 5).unwrap();
    let (rows, releases) = (total(&admin, "/audit"), everything(&admin, "/releases"));
    for rng_seed in [3, 4] {
        let refusal = seed(&app.env, rng_seed, 5).unwrap_err();
        assert!(refusal.to_string().contains("was seeded before, with --rng-seed 3"), "{refusal}");
    }
    assert_eq!(total(&admin, "/audit"), rows);
    assert_eq!(everything(&admin, "/releases"), releases);
    app.assert_sound();
}

#[test]
fn an_installation_in_use_is_not_seeded() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    app.change("registered");
    let rows = total(&admin, "/audit");
    let refusal = seed(&app.env, 3, 5).unwrap_err();
    assert!(refusal.to_string().contains("holds releases or changes already"), "{refusal}");
    assert_eq!(total(&admin, "/audit"), rows);
}

#[test]
fn a_name_that_is_taken_stops_the_seeding_before_it_stores_anything() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let group = json!({"name": "Change advisory board", "permissions": ["approve"]});
    admin.post("/groups", &group).expect(201);
    let rows = total(&admin, "/audit");
    assert!(matches!(seed(&app.env, 3, 5), Err(Error::Conflict { code: "ALREADY_EXISTS", .. })));
    assert_eq!((total(&admin, "/audit"), total(&admin, "/units")), (rows, 0));
}

/// Seeds an empty database, its first start included; answers the releases and how many audit rows there are.
fn seeded(app: &App, rng_seed: u64, at: &str, count: u32) -> (Vec<Release>, i64) {
    let database = TestDatabase::empty();
    let opened = database.open();
    migrations::up(&mut opened.connect().unwrap()).unwrap();
    let clock = Clock::standing_at(at.parse().unwrap());
    let store = Store::new(Place::Folder(documents_of(&database.target)), Vec::new());
    let env = Env::new(opened.clone(), Arc::clone(&app.env.keys), clock).with_store(store);
    let seeding = Seeding::new(&env, rng_seed);
    first_start(seeding.env(), Some(PASSWORD)).unwrap();
    seeding.fill(count, &mut |_| {}).unwrap();
    let mut connection = opened.connect().unwrap();
    let releases = (1..=i64::from(count))
        .map(|number| find(&mut connection, ReleaseRef::Number(number), &Visibility::Everything).unwrap().unwrap().0)
        .collect();
    (releases, audit::verify_all(&mut connection).unwrap().rows)
}

#[test]
fn the_same_number_gives_the_same_content_all_day_and_another_number_another() {
    let app = App::start();
    // A release holds its identifiers, its instants and the end of its chain, so all of its history.
    let first = seeded(&app, 7, "2030-01-07T00:00:00Z", 45);
    assert_eq!(first, seeded(&app, 7, "2030-01-07T23:59:59Z", 45));
    let other = seeded(&app, 8, "2030-01-07T10:00:00Z", 45);
    let titles = |releases: &[Release]| releases.iter().map(|one| one.title.clone()).collect::<Vec<_>>();
    assert_ne!(titles(&first.0), titles(&other.0));
}

/// A document with every identifier and digest replaced by when it first appeared in it, so that documents of two
/// installations can be compared.
fn masked(document: &Value) -> String {
    let text = document.to_string();
    let mut seen: Vec<&str> = Vec::new();
    let mut result = String::new();
    let mut rest = text.as_str();
    let is_made = |word: &str| match word.len() {
        36 => word.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        }),
        64 => word.bytes().all(|b| b.is_ascii_hexdigit()),
        _ => false,
    };
    while let Some((before, tail)) = rest.split_once('"') {
        let (word, tail) = tail.split_once('"').unwrap_or((tail, ""));
        result.push_str(before);
        if is_made(word) {
            let nth = seen.iter().position(|one| *one == word).unwrap_or_else(|| {
                seen.push(word);
                seen.len() - 1
            });
            result.push_str(&format!("#{nth}"));
        } else if word.starts_with("seed-") {
            result.push_str("(request)");
        } else {
            result.push_str(&format!("'{word}'"));
        }
        rest = tail;
    }
    result + rest
}

/// Everything that the service tells of a release, identifiers aside.
fn told(client: &Client, key: &str) -> Vec<String> {
    ["", "/history?limit=200", "/transitions?limit=200", "/changes", "/allowed-transitions", "/history/verify"]
        .iter()
        .map(|what| masked(&client.get(&format!("/releases/{key}{what}")).expect(200).body))
        .collect()
}

#[test]
fn what_is_stored_in_bulk_is_what_the_use_cases_store() {
    const COUNT: u32 = 90;
    let (played, bulk) = (App::start(), App::start());
    for (app, means) in [(&played, Means::OneByOne), (&bulk, Means::InBulk)] {
        Seeding::new(&app.env, 11).fill_large(COUNT, means, &mut |_| {}).unwrap();
    }
    let (one, other) = (played.client(Role::Admin), bulk.client(Role::Admin));
    for number in 1..=COUNT {
        let key = format!("REL-{number}");
        assert_eq!(told(&one, &key), told(&other, &key), "{key}");
    }
    for list in ["/changes", "/users", "/groups", "/models"] {
        let all = |client| everything(client, list).iter().map(masked).collect::<BTreeSet<_>>();
        assert_eq!(all(&one), all(&other), "{list}");
    }
    assert_eq!(total(&one, "/audit"), total(&other, "/audit"));
    played.assert_sound();
    bulk.assert_sound();
}

#[test]
fn a_large_installation_is_seeded_in_bulk_and_lived_in() {
    const COUNT: u32 = 1_200;
    const { assert!(COUNT > ONE_BY_ONE_RELEASES_MAX) };
    let app = App::start();
    let admin = app.client(Role::Admin);
    let mut heard = Vec::new();
    let text = Seeding::new(&app.env, 5).fill(COUNT, &mut |stored| heard.push(stored)).unwrap();
    assert!(text.contains("1200 releases"), "{text}");
    assert!(heard.is_sorted() && heard.last() == Some(&1_200), "{heard:?}");
    assert_eq!(total(&admin, "/releases"), i64::from(COUNT));
    app.assert_sound();
    assert_no_table_is_known_to_be_empty(&app.database);
    // Numbers follow the registration.
    let by_number: Vec<Value> = everything(&admin, "/releases")
        .into_iter()
        .map(|release| json!([release["created_at"], release["number"]]))
        .collect();
    let numbers: Vec<i64> = by_number.iter().map(|pair| pair[1].as_i64().unwrap()).collect();
    let instants: Vec<&str> = by_number.iter().map(|pair| pair[0].as_str().unwrap()).collect();
    assert!(instants.is_sorted_by(|a, b| a >= b), "newest first");
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>().len(), 1_200);
    assert!(numbers[0] > 1_100 && numbers[1_199] < 100, "{} … {}", numbers[0], numbers[1_199]);
    // What was stored in bulk goes on like any other release, and the next one gets the next number.
    let open = admin.get("/releases?status=open&limit=1").expect(200).body["data"][0].clone();
    let key = open["key"].as_str().unwrap();
    let reason = app.justification("cancel");
    let cancel = json!({"action": "cancel", "justification_id": reason, "closure_notes": "No longer needed."});
    let transitions = format!("/releases/{key}/transitions");
    let verdicts = admin.get(&format!("/releases/{key}/allowed-transitions")).expect(200);
    let cancels = verdicts.body["data"].as_array().unwrap().iter().find(|one| one["action"] == "cancel").unwrap();
    let expected = if cancels["allowed"] == true { 201 } else { 422 };
    admin.post(&transitions, &cancel).expect(expected);
    let new = json!({"title": "The next one", "requester": {"name": "Ana", "email": "ana@example.org"}});
    assert_eq!(admin.post("/releases", &new).expect(201).body["number"], COUNT + 1);
    app.assert_sound();
}

#[test]
fn a_large_installation_follows_from_its_number_too() {
    let app = App::start();
    let first = seeded(&app, 7, "2030-01-07T00:00:00Z", 1_001);
    assert_eq!(first, seeded(&app, 7, "2030-01-07T23:59:59Z", 1_001));
}
