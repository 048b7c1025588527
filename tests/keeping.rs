//! What a service does by itself: retention, and the leases under which it happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::json;
use slipway::domain::values::Timestamp;
use slipway::service::Env;
use slipway::service::keeping::{Done, Keeping, ROWS_PER_SWEEP_MAX};
use slipway::service::leases::{LEASE_SECONDS, Lease};

use crate::support::*;

fn keeping(app: &App) -> Keeping {
    Keeping::new(Arc::clone(&app.env), None)
}

/// What was forgotten of a kind.
fn forgotten(done: &Done, what: &str) -> usize {
    let all = done.forgotten.as_ref().expect("retention was due");
    all.iter().find(|(name, _)| *name == what).unwrap_or_else(|| panic!("no {what}")).1
}

fn count(app: &App, table: &str) -> i64 {
    let sql = format!("SELECT CAST(COUNT(*) AS TEXT) AS line FROM {table}");
    lines(&mut app.env.database.connect().unwrap(), &sql)[0].parse().unwrap()
}

fn after(span: TimeDelta) -> String {
    NOW.parse::<Timestamp>().unwrap().plus(span).to_string()
}

/// A second process on the same database, with the same clock.
fn another_process(app: &App) -> Arc<Env> {
    Arc::new(Env::new(app.database.open(), Arc::clone(&app.env.keys), app.env.clock().clone()))
}

#[test]
fn a_kept_answer_is_replayed_for_a_day_and_forgotten_then() {
    let app = App::start();
    let create = |key: &str| app.client(Role::Manager).post_once("/releases", key, &new_release()).expect(201);
    let first = create("one");
    app.set_clock(&after(TimeDelta::hours(24) - TimeDelta::seconds(1)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "idempotency keys"), 0);
    assert_eq!(create("one").header("idempotent-replayed"), "true");
    app.set_clock(&after(TimeDelta::hours(24)));
    create("another");
    app.set_clock(&after(TimeDelta::hours(25)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "idempotency keys"), 1);
    assert_eq!(count(&app, "idempotency_keys"), 1);
    let anew = create("one");
    assert_eq!(anew.header("idempotent-replayed"), "");
    assert_ne!(anew.id(), first.id());
    assert_eq!(create("another").header("idempotent-replayed"), "true");
}

#[test]
fn refresh_tokens_are_forgotten_when_no_session_that_had_them_can_live() {
    let app = App::start();
    let login = json!({"username": "admin", "password": PASSWORD});
    let pair = app.anonymous().post("/auth/login", &login).expect(200);
    let before = count(&app, "refresh_tokens");
    app.set_clock(&after(TimeDelta::days(30) - TimeDelta::seconds(1)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "refresh tokens"), 0);
    let refresh = json!({"refresh_token": pair.body["refresh_token"]});
    app.anonymous().post("/auth/refresh", &refresh).expect(200);
    // A used one is still known: it gives the session up.
    app.anonymous().post("/auth/refresh", &refresh).problem(401, "UNAUTHENTICATED");
    app.set_clock(&after(TimeDelta::days(30) + TimeDelta::minutes(10)));
    let gone = forgotten(&keeping(&app).run_due().unwrap(), "refresh tokens");
    assert_eq!((gone, count(&app, "refresh_tokens")), (usize::try_from(before).unwrap(), 1));
    app.anonymous().post("/auth/refresh", &refresh).problem(401, "UNAUTHENTICATED");
    app.assert_sound();
}

#[test]
fn failed_logins_are_forgotten_with_their_window_and_known_addresses_after_ninety_days() {
    let app = App::start();
    let login = |password: &str| {
        app.anonymous().post("/auth/login", &json!({"username": "admin", "password": password})).status
    };
    assert_eq!((login(PASSWORD), login("wrong")), (200, 401));
    let all = count(&app, "login_throttle");
    app.set_clock(&after(TimeDelta::minutes(14)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "counters of failed logins"), 0);
    app.set_clock(&after(TimeDelta::minutes(30)));
    let done = keeping(&app).run_due().unwrap();
    assert_eq!(i64::try_from(forgotten(&done, "counters of failed logins")).unwrap(), all - 1);
    assert_eq!(forgotten(&done, "known addresses"), 0);
    app.set_clock(&after(TimeDelta::days(90)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "known addresses"), 1);
    assert_eq!(count(&app, "login_throttle"), 0);
}

#[test]
fn an_ended_token_is_kept_for_ninety_days_and_its_history_for_good() {
    let app = App::start();
    let viewer = app.client(Role::Viewer);
    let make = |name: &str, end: Option<String>| {
        viewer.post("/tokens", &json!({"name": name, "scopes": ["read"], "expires_at": end})).expect(201).id()
    };
    let (lives, revoked) = (make("lives", None), make("revoked", None));
    let expired = make("expired", Some(after(TimeDelta::days(1))));
    viewer.delete(&format!("/tokens/{revoked}"), "*").expect(204);

    app.set_clock(&after(TimeDelta::days(90) - TimeDelta::seconds(1)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "personal tokens"), 0);
    app.set_clock(&after(TimeDelta::days(91)));
    assert_eq!(forgotten(&keeping(&app).run_due().unwrap(), "personal tokens"), 2);
    let left = lines(&mut app.env.database.connect().unwrap(), "SELECT id AS line FROM personal_tokens");
    assert_eq!(left, [lives]);
    app.set_clock(NOW);
    let admin = app.client(Role::Admin);
    for id in [revoked, expired] {
        let rows = admin.get(&format!("/audit?record_type=personal_token&record_id={id}")).expect(200);
        let actions: Vec<&str> =
            rows.body["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
        assert_eq!(actions.first(), Some(&"personal_token.delete"), "{}", rows.text);
        assert_eq!(rows.body["data"][0]["actor_name"], "console");
    }
    assert_eq!(admin.get("/audit/verify").expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn more_rows_than_a_transaction_takes_are_all_forgotten() {
    let app = App::start();
    let rows = ROWS_PER_SWEEP_MAX * 2 + 7;
    let values: Vec<String> =
        (0..rows).map(|n| format!("('caller', 'key-{n}', 'f', 201, '{{}}', '2030-01-01 00:00:00.{n:06}')")).collect();
    for values in values.chunks(100) {
        let columns = "caller, key, fingerprint, status, body, created_at";
        app.database.execute(&format!("INSERT INTO idempotency_keys ({columns}) VALUES {}", values.join(", ")));
    }
    let done = keeping(&app).run_due().unwrap();
    assert_eq!(i64::try_from(forgotten(&done, "idempotency keys")).unwrap(), rows);
    assert_eq!(count(&app, "idempotency_keys"), 0);
}

#[test]
fn retention_is_due_again_after_ten_minutes() {
    let app = App::start();
    let keeping = keeping(&app);
    assert!(keeping.run_due().unwrap().forgotten.is_some());
    assert_eq!(keeping.run_due().unwrap(), Done::default());
    app.set_clock(&after(TimeDelta::minutes(10) - TimeDelta::seconds(1)));
    assert!(keeping.run_due().unwrap().forgotten.is_none());
    app.set_clock(&after(TimeDelta::minutes(10)));
    assert!(keeping.run_due().unwrap().forgotten.is_some());
}

#[test]
fn of_several_processes_one_does_the_work() {
    let app = App::start();
    let processes: Vec<Keeping> = (0..4).map(|_| Keeping::new(another_process(&app), None)).collect();
    let done: Vec<Done> = std::thread::scope(|scope| {
        let runs: Vec<_> = processes.iter().map(|keeping| scope.spawn(|| keeping.run_due().unwrap())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|done| done.forgotten.is_some()).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|done| done.checkpoints.is_some()).count(), 1, "{done:?}");
    app.assert_sound();
}

#[test]
fn when_the_holder_of_a_lease_dies_another_takes_over_and_the_dead_writes_no_more() {
    let app = App::start();
    let take = |env: &Arc<Env>| Lease::take(env, "work", TimeDelta::minutes(5)).unwrap();
    let other = another_process(&app);
    let dead = take(&app.env).expect("nobody holds it");
    assert!(take(&other).is_none());
    app.set_clock(&after(TimeDelta::seconds(LEASE_SECONDS - 1)));
    assert!(take(&other).is_none());
    // A sign of life makes it longer.
    assert_eq!(dead.write(|_| Ok(1)).unwrap(), Some(1));
    app.set_clock(&after(TimeDelta::seconds(2 * LEASE_SECONDS - 2)));
    assert!(take(&other).is_none());
    app.set_clock(&after(TimeDelta::seconds(2 * LEASE_SECONDS)));
    let alive = take(&other).expect("the holder is dead");
    assert_eq!(dead.write(|_| Ok(2)).unwrap(), None);
    assert_eq!(alive.write(|_| Ok(3)).unwrap(), Some(3));
    // What the dead one says at last changes nothing.
    dead.done().unwrap();
    assert_eq!(alive.write(|_| Ok(4)).unwrap(), Some(4));
    alive.done().unwrap();
    assert!(take(&app.env).is_none(), "it is done");
    app.set_clock(&after(TimeDelta::minutes(20)));
    let again = take(&app.env).expect("it is due again");
    again.undone().unwrap();
    assert!(take(&other).is_some(), "it was given back undone");
}

#[test]
fn a_lease_of_a_clock_that_was_wrong_holds_nobody_off() {
    let app = App::start();
    app.set_clock("2099-01-01T00:00:00Z");
    let wrong = Lease::take(&app.env, "work", TimeDelta::minutes(5)).unwrap();
    assert!(wrong.is_some());
    app.set_clock(NOW);
    let right = Lease::take(&app.env, "work", TimeDelta::minutes(5)).unwrap().expect("nobody can hold it so long");
    right.done().unwrap();
    assert!(Lease::take(&app.env, "work", TimeDelta::minutes(5)).unwrap().is_none());
}

#[test]
fn what_runs_by_itself_stops_at_once_when_the_service_ends() {
    let app = App::start();
    let keeper = keeping(&app).start().unwrap();
    let started = Instant::now();
    while count(&app, "leases WHERE done_at IS NOT NULL") < 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing runs");
        std::thread::yield_now();
    }
    let stopping = Instant::now();
    drop(keeper);
    assert!(stopping.elapsed() < Duration::from_secs(5));
}
