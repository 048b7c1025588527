//! Callers racing for the same release: exactly one wins, and nothing happens twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use slipway::domain::policy::{Access, Visibility};
use slipway::domain::release::Release;
use slipway::domain::values::Status;
use slipway::repository;
use slipway::repository::nouns::{Group, Noun as _};
use slipway::repository::releases::{self, ReleaseRef};
use slipway::service::setup::{console, console_request};
use slipway::service::{Error, Recorded};

use crate::support::*;

/// So many callers race.
const CALLERS: usize = 16;

/// Does the same thing from many threads at once; answers what each was told.
fn race(count: usize, work: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Vec<Answer> {
    let (work, start) = (Arc::new(work), Arc::new(Barrier::new(count)));
    let threads: Vec<_> = (0..count)
        .map(|index| {
            let (work, start) = (Arc::clone(&work), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                work(index)
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// How many answers have each status, lowest first.
fn statuses(answers: &[Answer]) -> Vec<(u16, usize)> {
    let all: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    all.into_iter().map(|status| (status, count(status))).collect()
}

/// A service whose database gives every racer a connection.
fn app() -> App {
    App::start_with(|config| config.workers = 2)
}

fn applied(client: &Client, path: &str) -> Vec<Value> {
    client.get(&format!("{path}/transitions")).expect(200).body["data"].as_array().unwrap().clone()
}

/// Races one action on a release; one caller wins, the others are told that the state forbids it.
fn one_wins(app: &App, release: &Value, body: Value, code: &str) {
    let manager = app.client(Role::Manager);
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let before = manager.get(&path).expect(200).body["row_version"].as_i64().unwrap();
    let rows = applied(&manager, &path).len();
    let (client, url) = (app.client(Role::Admin), format!("{path}/transitions"));
    let sent = body.clone();
    let answers = race(CALLERS, move |_| client.post(&url, &sent));
    assert_eq!(statuses(&answers), [(201, 1), (409, CALLERS - 1)], "{body}");
    for loser in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!(loser.body["code"], code, "{}", loser.text);
    }
    let after = manager.get(&path).expect(200).body["row_version"].as_i64().unwrap();
    assert_eq!(after, before + 1);
    assert_eq!(applied(&manager, &path).len(), rows + 1);
    let proof = manager.get(&format!("{path}/history/verify")).expect(200);
    assert_eq!(proof.body["valid"], true, "{}", proof.text);
}

#[test]
fn of_callers_racing_to_advance_exactly_one_wins() {
    let app = app();
    let release = app.release().make();
    one_wins(&app, &release, json!({"action": "advance", "from_stage": "planning"}), "STAGE_CHANGED");
    app.assert_sound();
}

#[test]
fn of_callers_racing_to_capture_exactly_one_wins() {
    let app = app();
    let release = app.release().make();
    one_wins(&app, &release, json!({"action": "capture"}), "ALREADY_ASSIGNED");
    app.assert_sound();
}

#[test]
fn of_callers_racing_to_suspend_and_reactivate_exactly_one_wins() {
    let app = app();
    let release = app.release().make();
    let suspend = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Wait"});
    one_wins(&app, &release, suspend, "STATE_FORBIDS");
    one_wins(&app, &release, json!({"action": "reactivate"}), "STATE_FORBIDS");
    app.assert_sound();
}

#[test]
fn of_callers_racing_to_close_and_reopen_exactly_one_wins() {
    let app = app();
    let release = app.release().at("closure").make();
    record_outcomes(&app.client(Role::Manager), &release);
    let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    one_wins(&app, &release, close, "STATE_FORBIDS");
    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
    one_wins(&app, &release, reopen, "STATE_FORBIDS");
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    assert_eq!(app.client(Role::Manager).get(&path).expect(200).body["reopen_count"], 1);
    app.assert_sound();
}

#[test]
fn of_different_actions_that_exclude_each_other_exactly_one_happens() {
    let app = app();
    let release = app.release().make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let bodies = [
        json!({"action": "cancel", "justification_id": app.justification("cancel"), "closure_notes": "No more"}),
        json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Wait"}),
        json!({"action": "advance", "from_stage": "planning"}),
    ];
    let (client, url) = (app.client(Role::Lead), format!("{path}/transitions"));
    let version = format!("\"{}\"", release["row_version"]);
    let answers = race(CALLERS, move |index| {
        let request = client.request("POST", &url).header("If-Match", &version);
        Answer::of(request.json(&bodies[index % bodies.len()]))
    });
    assert_eq!(statuses(&answers), [(201, 1), (412, CALLERS - 1)]);
    assert_eq!(applied(&app.client(Role::Manager), &path).len(), 1);
    app.assert_sound();
}

#[test]
fn parallel_duplicates_under_one_key_have_one_effect_and_one_answer() {
    let app = app();
    let release = app.release().make();
    let path = format!("/releases/{}/transitions", release["id"].as_str().unwrap());
    let body = json!({"action": "advance", "from_stage": "planning"});
    let (client, url, sent) = (app.client(Role::Lead), path.clone(), body.clone());
    let answers = race(CALLERS, move |_| client.post_once(&url, "advance-1", &sent));
    assert_eq!(statuses(&answers), [(201, CALLERS)]);
    let replayed = |answer: &&Answer| answer.header("idempotent-replayed") == "true";
    assert_eq!(answers.iter().filter(replayed).count(), CALLERS - 1);
    for answer in &answers {
        assert_eq!(answer.text, answers[0].text);
        for header in ["location", "etag"] {
            assert_eq!(answer.header(header), answers[0].header(header));
        }
    }
    let lead = app.client(Role::Lead);
    assert_eq!(lead.get(&path).expect(200).body["data"].as_array().unwrap().len(), 1);
    // Another request under the key is refused, and has no effect.
    let other = json!({"action": "capture"});
    lead.post_once(&path, "advance-1", &other).problem(422, "IDEMPOTENCY_KEY_REUSED");
    let elsewhere = format!("{path}?dry_run=false");
    lead.post_once(&elsewhere, "advance-1", &body).problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(lead.get(&path).expect(200).body["data"].as_array().unwrap().len(), 1);
    // The key is the caller's own: another one is told what is, and not what was.
    let admin = app.client(Role::Admin);
    admin.post_once(&path, "advance-1", &body).problem(409, "STAGE_CHANGED");
    app.assert_sound();
}

#[test]
fn parallel_duplicates_of_a_creation_make_one_release() {
    let app = app();
    let (client, body) = (app.client(Role::Requester), new_release());
    let answers = race(CALLERS, move |_| client.post_once("/releases", "new-1", &body));
    assert_eq!(statuses(&answers), [(201, CALLERS)]);
    let ids: BTreeSet<String> = answers.iter().map(Answer::id).collect();
    assert_eq!(ids.len(), 1);
    let list = app.client(Role::Manager).get("/releases?count=exact").expect(200);
    assert_eq!(list.body["page"]["total"], 1);
    app.assert_sound();
}

#[test]
fn a_write_decided_on_a_state_that_is_gone_does_not_happen() {
    let app = app();
    let release = app.release().make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let id = release["id"].as_str().unwrap().parse().unwrap();
    // As if it had been read without a lock, and somebody else had been faster.
    let ways: [fn(&mut Release); 2] = [|seen| seen.row_version -= 1, |seen| seen.status = Status::Suspended];
    for seen_as in ways {
        let written = app.env.write_blocking(console_request(console()), move |context| {
            let permit = context.authorise(Access::Releases)?;
            let found = releases::lock(context.connection, ReleaseRef::Id(id), &Visibility::Everything)?;
            let mut seen = found.unwrap();
            seen_as(&mut seen);
            let decided = Release { title: "Decided".into(), row_version: seen.row_version + 1, ..seen.clone() };
            let change = Recorded {
                record_type: "release",
                record_id: seen.id.to_string(),
                subject: None,
                action: "release.update".into(),
                before: None,
                after: None,
                published: true,
            };
            let stamp = context.record(permit, &seen.chain, change)?;
            let (connection, journal) = context.ends();
            Ok(releases::update(connection, journal, &seen, &decided, &[], None, &stamp)?)
        });
        assert!(matches!(written, Err(Error::Repository(repository::Error::Stale))), "{written:?}");
    }
    assert_eq!(app.client(Role::Manager).get(&path).expect(200).body["title"], release["title"]);
    app.assert_sound();
}

#[test]
fn of_two_patches_of_the_same_version_one_is_stale() {
    let app = app();
    let release = app.release().make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let version = format!("\"{}\"", release["row_version"]);
    let (client, url) = (app.client(Role::Lead), path.clone());
    let answers = race(2, move |index| client.patch(&url, &version, &json!({"title": format!("Title {index}")})));
    assert_eq!(statuses(&answers), [(200, 1), (412, 1)]);
    let won = answers.iter().find(|answer| answer.status == 200).unwrap();
    let now = app.client(Role::Lead).get(&path).expect(200);
    assert_eq!(now.body["title"], won.body["title"]);
    assert_eq!(now.body["row_version"], release["row_version"].as_i64().unwrap() + 1);
    app.assert_sound();
}

#[test]
fn concurrent_creations_get_numbers_of_their_own() {
    let app = app();
    let (client, body) = (app.client(Role::Requester), new_release());
    let answers = race(CALLERS, move |_| client.post("/releases", &body));
    assert_eq!(statuses(&answers), [(201, CALLERS)]);
    let distinct = |field: &str| -> usize {
        let values = answers.iter().map(|answer| answer.body[field].to_string());
        values.collect::<BTreeSet<String>>().len()
    };
    for field in ["id", "number", "key"] {
        assert_eq!(distinct(field), CALLERS, "{field}");
    }
    let list = app.client(Role::Manager).get("/releases?count=exact").expect(200);
    assert_eq!(list.body["page"]["total"], CALLERS);
    app.assert_sound();
}

#[test]
fn the_same_change_is_linked_once_by_many() {
    let app = app();
    let release = app.release().with("changes", json!([])).make();
    let path = format!("/releases/{}/changes", release["id"].as_str().unwrap());
    let body = json!({"change_id": app.change("authorised")});
    let (client, url) = (app.client(Role::Lead), path.clone());
    let answers = race(CALLERS, move |_| client.post(&url, &body));
    assert_eq!(statuses(&answers), [(201, 1), (409, CALLERS - 1)]);
    let links = app.client(Role::Lead).get(&path).expect(200);
    assert_eq!(links.body["data"].as_array().unwrap().len(), 1);
    app.assert_sound();
}

#[test]
fn parallel_upserts_of_a_new_key_make_one_change_and_refuse_nobody() {
    let app = App::start();
    let body = json!({"title": "A change", "status": "authorised"});
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|_| {
                let (client, body) = (app.client(Role::Integration), &body);
                scope.spawn(move || client.put("/changes/by-key/test/CHG-77", body).status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 201)), "{answers:?}");
}

#[test]
fn parallel_guesses_are_throttled_like_those_one_after_the_other() {
    let app = App::start();
    let wrong = json!({"username": "admin", "password": "not the password"});
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24)
            .map(|_| {
                let (client, wrong) = (app.anonymous(), &wrong);
                scope.spawn(move || client.post("/auth/login", wrong).status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let judged = answers.iter().filter(|status| **status == 401).count();
    assert!((5..=6).contains(&judged), "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 401 | 429)), "{answers:?}");
}

#[test]
fn parallel_logins_with_the_right_password_all_succeed() {
    let app = App::start();
    let right = json!({"username": "admin", "password": PASSWORD});
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (client, right) = (app.anonymous(), &right);
            scope.spawn(move || client.post("/auth/login", right).expect(200));
        }
    });
    app.assert_sound();
}

#[test]
fn parallel_dependencies_never_close_a_circle_and_nobody_waits_for_the_other() {
    let app = App::start();
    let ring: Vec<String> = (0..6).map(|_| app.release().make()["id"].as_str().unwrap().to_owned()).collect();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ring.len())
            .map(|at| {
                let (client, ring) = (app.client(Role::Manager), &ring);
                scope.spawn(move || {
                    let body = json!({"depends_on": [ring[(at + 1) % ring.len()]]});
                    client.patch(&format!("/releases/{}", ring[at]), "*", &body).status
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), ring.len() - 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 422)), "{answers:?}");
    app.assert_sound();
}

#[test]
fn who_changes_a_record_does_not_wait_for_those_who_refer_to_it() {
    if !on_postgres() {
        return;
    }
    let app = App::start();
    let mut referring = app.env.database.connect().unwrap();
    let group = lines(&mut referring, "SELECT id AS line FROM groups")[0].clone();
    // What the foreign key of a row that refers to the group takes.
    execute(&mut referring, "BEGIN").unwrap();
    execute(&mut referring, &format!("SELECT 1 FROM groups WHERE id = '{group}' FOR KEY SHARE")).unwrap();
    let found = app.env.database.write_blocking(move |connection| {
        execute(connection, "SET LOCAL lock_timeout = '5s'")?;
        Group::lock(connection, group.parse().unwrap())
    });
    assert!(found.unwrap().is_some());
    execute(&mut referring, "COMMIT").unwrap();
}
