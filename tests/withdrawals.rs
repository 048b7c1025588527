//! Rights that are taken away while they are being used: whoever comes first wins, and nobody acts on a right that is
//! gone.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::*;

/// Every race is run so often, each side being first by turns.
const RACES: usize = 4;

type Sending = Box<dyn FnOnce() -> Answer + Send>;

/// Lets two requests meet: neither gets past writing its history (PostgreSQL) or to the writer (SQLite) before both
/// are under way, and have looked at all that they decide on. Answers what each was told.
fn meet(app: &App, [first, second]: [Sending; 2]) -> [Answer; 2] {
    std::thread::scope(|scope| {
        if !on_postgres() {
            let (entered, has_entered) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let gate = std::sync::Mutex::new(gate);
            let database = app.env.database.clone();
            let holder = scope.spawn(move || {
                database.write_blocking::<(), slipway::repository::Error>(move |_| {
                    let _ = entered.send(());
                    let _ = gate.lock().unwrap().recv();
                    Ok(())
                })
            });
            has_entered.recv().unwrap();
            let [first, second] = [scope.spawn(first), scope.spawn(second)];
            drop(open);
            holder.join().unwrap().unwrap();
            return [first.join().unwrap(), second.join().unwrap()];
        }
        let mut held = app.env.database.connect().unwrap();
        execute(&mut held, "BEGIN; LOCK TABLE audit IN SHARE MODE").unwrap();
        let first = scope.spawn(first);
        wait_for_waiting(app, 1);
        let second = scope.spawn(second);
        wait_for_waiting(app, 2);
        execute(&mut held, "COMMIT").unwrap();
        [first.join().unwrap(), second.join().unwrap()]
    })
}

/// Waits until so many transactions wait for one another.
fn wait_for_waiting(app: &App, count: usize) {
    let mut connection = app.env.database.connect().unwrap();
    let waiting = "SELECT pid || '' AS line FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let started = Instant::now();
    while lines(&mut connection, waiting).len() < count {
        assert!(started.elapsed() < Duration::from_secs(30), "{count} requests do not come to the lock");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Does it both ways round, so that each is first by turns; answers in the order of the arguments.
fn meet_in_turn(app: &App, race: usize, [one, other]: [Sending; 2]) -> [Answer; 2] {
    if race.is_multiple_of(2) {
        return meet(app, [one, other]);
    }
    let [other, one] = meet(app, [other, one]);
    [one, other]
}

fn app() -> App {
    App::start_with(|config| config.workers = 2)
}

fn patching(client: Client, path: String, body: Value) -> Sending {
    Box::new(move || client.patch(&path, "*", &body))
}

fn posting(client: Client, path: String, body: Value) -> Sending {
    Box::new(move || client.post(&path, &body))
}

fn active_admins(app: &App) -> usize {
    let mut connection = app.env.database.connect().unwrap();
    let active = if on_postgres() { "active" } else { "active = 1" };
    lines(&mut connection, &format!("SELECT id AS line FROM users WHERE global_role = 'admin' AND {active}")).len()
}

/// Exactly one of the two did what it wanted; the other one was refused for a reason that stands.
fn exactly_one(answers: &[Answer; 2]) -> usize {
    let done: Vec<usize> = (0..2).filter(|at| answers[*at].status < 300).collect();
    assert_eq!(done.len(), 1, "{} and {}", answers[0].text, answers[1].text);
    let refused = &answers[1 - done[0]];
    assert!(matches!(refused.status, 401 | 403 | 404 | 409 | 422), "{}", refused.text);
    done[0]
}

#[test]
fn of_two_administrators_who_dismiss_each_other_one_stays() {
    let app = app();
    let both = [Role::Admin, Role::Manager];
    let paths = both.map(|role| format!("/users/{}", app.user_id(role)));
    let give = json!({"global_role": "admin", "active": true});
    app.client(Role::Admin).patch(&paths[1], "*", &give).expect(200);
    let ways = [json!({"global_role": "viewer"}), json!({"active": false}), json!({"global_role": null})];
    for race in 0..RACES {
        let way = |at: usize| ways[(race + at) % ways.len()].clone();
        let [one, other] = both.map(|role| app.client(role));
        let sent = [patching(one, paths[1].clone(), way(0)), patching(other, paths[0].clone(), way(1))];
        let winner = exactly_one(&meet_in_turn(&app, race, sent));
        assert_eq!(active_admins(&app), 1);
        app.client(both[winner]).patch(&paths[1 - winner], "*", &give).expect(200);
    }
    app.assert_sound();
}

#[test]
fn the_last_other_administrator_is_not_deleted_while_the_role_is_given_up() {
    let app = app();
    let own = format!("/users/{}", app.user_id(Role::Admin));
    for race in 0..RACES {
        let admin = app.client(Role::Admin);
        let spare =
            json!({"username": format!("spare{race}"), "name": "S", "email": "s@example.org", "global_role": "admin"});
        let spare = admin.post("/users", &spare).expect(201).id();
        let (deleting, path) = (admin.clone(), format!("/users/{spare}"));
        let delete: Sending = Box::new(move || deleting.delete(&path, "*"));
        let sent = [patching(admin, own.clone(), json!({"global_role": null})), delete];
        let gave_up = exactly_one(&meet_in_turn(&app, race, sent)) == 0;
        assert_eq!(active_admins(&app), 1);
        if gave_up {
            app.database
                .execute(&format!("UPDATE users SET global_role = 'admin' WHERE id = '{}'", app.user_id(Role::Admin)));
            app.database.execute(&format!("UPDATE users SET global_role = NULL WHERE id = '{spare}'"));
        }
    }
    app.assert_sound();
}

/// Races a way to become the assignee against the removal from the group.
fn assigned_or_removed(body: &Value, by: Role) {
    let app = app();
    let (admin, lead) = (app.client(Role::Admin), app.user_id(Role::Lead));
    let members = format!("/groups/{}/members", app.group("Release team"));
    for race in 0..RACES {
        let release = app.release().make();
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        let (removing, member) = (admin.clone(), format!("{members}/{lead}"));
        let remove: Sending = Box::new(move || removing.delete(&member, "*"));
        let mut body = body.clone();
        if body["action"] == "delegate" {
            body["user_id"] = json!(lead);
        }
        let sent = [posting(app.client(by), format!("{path}/transitions"), body), remove];
        let answers = meet_in_turn(&app, race, sent);
        let now = admin.get(&path).expect(200);
        if exactly_one(&answers) == 0 {
            assert_eq!(answers[1].body["code"], "IN_USE", "{}", answers[1].text);
            assert_eq!(now.body["assignee_id"], json!(lead));
            // Off with it, for the next race.
            let cancel =
                json!({"action": "cancel", "justification_id": app.justification("cancel"), "closure_notes": "-"});
            transition(&app.client(Role::Manager), &release, &cancel);
        } else {
            assert_eq!(now.body["assignee_id"], Value::Null, "{}", now.text);
            admin.post(&members, &json!({"user_id": lead})).expect(201);
        }
    }
    app.assert_sound();
}

#[test]
fn nobody_captures_a_release_of_a_group_that_they_are_being_removed_from() {
    assigned_or_removed(&json!({"action": "capture"}), Role::Lead);
}

#[test]
fn nobody_is_delegated_a_release_of_a_group_that_they_are_being_removed_from() {
    assigned_or_removed(&json!({"action": "delegate"}), Role::Manager);
}

/// Passwords of the race with this number: the old and the new one.
fn passwords(race: usize) -> [String; 2] {
    [race, race + 1].map(|number| format!("the long phrase number {number}"))
}

fn login_body(password: &str) -> Value {
    json!({"username": "viewer", "password": password})
}

/// No token of the pair opens anything.
fn is_dead(app: &App, pair: &Value) {
    app.client_with(pair["access_token"].as_str().unwrap()).get("/me").problem(401, "UNAUTHENTICATED");
    let refresh = json!({"refresh_token": pair["refresh_token"]});
    app.anonymous().post("/auth/refresh", &refresh).problem(401, "UNAUTHENTICATED");
}

#[test]
fn a_login_with_the_old_password_leaves_no_session_behind_its_change() {
    let app = app();
    let (admin, viewer) = (app.client(Role::Admin), app.user_id(Role::Viewer));
    let change = format!("/users/{viewer}/password");
    admin.post(&change, &json!({"password": passwords(0)[0]})).expect(204);
    for race in 0..RACES {
        let [old, new] = passwords(race);
        let sent = [
            posting(app.anonymous(), "/auth/login".into(), login_body(&old)),
            posting(admin.clone(), change.clone(), json!({"password": new})),
        ];
        let [login, changed] = meet_in_turn(&app, race, sent);
        changed.expect(204);
        match login.status {
            200 => is_dead(&app, &login.body),
            status => assert_eq!(status, 401, "{}", login.text),
        }
        app.anonymous().post("/auth/login", &login_body(&new)).expect(200);
    }
    app.assert_sound();
}

#[test]
fn a_refresh_leaves_no_session_behind_a_change_of_the_password() {
    let app = app();
    let (admin, viewer) = (app.client(Role::Admin), app.user_id(Role::Viewer));
    let change = format!("/users/{viewer}/password");
    admin.post(&change, &json!({"password": passwords(0)[0]})).expect(204);
    for race in 0..RACES {
        let [old, new] = passwords(race);
        let pair = app.anonymous().post("/auth/login", &login_body(&old)).expect(200).body;
        let refresh = json!({"refresh_token": pair["refresh_token"]});
        let sent = [
            posting(app.anonymous(), "/auth/refresh".into(), refresh),
            posting(admin.clone(), change.clone(), json!({"password": new})),
        ];
        let [refreshed, changed] = meet_in_turn(&app, race, sent);
        changed.expect(204);
        is_dead(&app, &pair);
        match refreshed.status {
            200 => is_dead(&app, &refreshed.body),
            status => assert_eq!(status, 401, "{}", refreshed.text),
        }
    }
    app.assert_sound();
}

#[test]
fn of_two_changes_from_the_same_password_one_is_too_late() {
    let app = app();
    let (admin, viewer) = (app.client(Role::Admin), app.user_id(Role::Viewer));
    let path = format!("/users/{viewer}/password");
    for race in 0..RACES {
        let [old, _] = passwords(race);
        admin.post(&path, &json!({"password": old})).expect(204);
        // From two sessions: whoever stole the password has one as well. Or twice from the same.
        let session = || {
            let pair = app.anonymous().post("/auth/login", &login_body(&old)).expect(200).body;
            app.client_with(pair["access_token"].as_str().unwrap())
        };
        let one = session();
        let other = if race < RACES / 2 { session() } else { one.clone() };
        let wanted = [format!("{old}, mine"), format!("{old}, theirs")];
        let sent = [(one, &wanted[0]), (other, &wanted[1])]
            .map(|(client, new)| posting(client, path.clone(), json!({"password": new, "current_password": old})));
        let winner = exactly_one(&meet_in_turn(&app, race, sent));
        app.anonymous().post("/auth/login", &login_body(&wanted[winner])).expect(200);
        app.anonymous().post("/auth/login", &login_body(&wanted[1 - winner])).problem(401, "UNAUTHENTICATED");
    }
    app.assert_sound();
}
