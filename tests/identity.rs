//! Logging in, refreshing, logging out; personal access tokens; the login throttle.

use serde_json::{Value, json};
use slipway::domain::values::UserId;
use slipway::service::identity::SESSIONS_PER_USER_MAX;

use crate::support::*;

fn login(app: &App) -> Value {
    app.anonymous().post("/auth/login", &json!({"username": "admin", "password": PASSWORD})).expect(200).body
}

fn text<'v>(body: &'v Value, name: &str) -> &'v str {
    body[name].as_str().unwrap()
}

#[test]
fn a_login_gives_a_token_of_ten_minutes_that_opens_the_service() {
    let app = App::start();
    let pair = login(&app);
    assert_eq!((pair["token_type"].as_str(), pair["expires_in"].as_i64()), (Some("Bearer"), Some(600)));
    let me = app.client_with(text(&pair, "access_token")).get("/me").expect(200);
    assert_eq!(me.body["username"], "admin");
    assert_eq!(me.body["global_role"], "admin");
    app.set_clock("2030-01-07T10:09:59Z");
    app.client_with(text(&pair, "access_token")).get("/me").expect(200);
    app.set_clock("2030-01-07T10:10:00Z");
    app.client_with(text(&pair, "access_token")).get("/me").problem(401, "UNAUTHENTICATED");
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_refused_in_the_same_words() {
    let app = App::start();
    let anonymous = app.anonymous();
    let attempt = |username: &str| {
        let body = json!({"username": username, "password": "not the password"});
        anonymous.post("/auth/login", &body).problem(401, "UNAUTHENTICATED")
    };
    let (known, unknown) = (attempt("admin"), attempt("nobody"));
    assert_eq!(known.body["detail"], unknown.body["detail"]);
    assert!(!known.header("www-authenticate").is_empty());
    // Somebody without a password cannot log in either.
    assert_eq!(attempt("lead").body["detail"], known.body["detail"]);
}

#[test]
fn failed_logins_are_throttled_per_account_and_address_for_a_while() {
    let app = App::start();
    let anonymous = app.anonymous();
    let wrong = json!({"username": "admin", "password": "not the password"});
    for _ in 0..5 {
        anonymous.post("/auth/login", &wrong).problem(401, "UNAUTHENTICATED");
    }
    let right = json!({"username": "admin", "password": PASSWORD});
    let throttled = anonymous.post("/auth/login", &right).problem(429, "LOGIN_THROTTLED");
    let wait: i64 = throttled.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&wait));
    anonymous.post("/auth/login", &json!({"username": "manager", "password": "x"})).problem(401, "UNAUTHENTICATED");
    app.set_clock("2030-01-07T10:15:00Z");
    anonymous.post("/auth/login", &right).expect(200);
}

#[test]
fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    let app = App::start();
    let anonymous = app.anonymous();
    let first = login(&app);
    let refresh =
        |pair: &Value| anonymous.post("/auth/refresh", &json!({"refresh_token": text(pair, "refresh_token")}));
    let second = refresh(&first).expect(200).body;
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    app.client_with(text(&second, "access_token")).get("/me").expect(200);
    refresh(&first).problem(401, "UNAUTHENTICATED");
    refresh(&second).problem(401, "UNAUTHENTICATED");
    app.client_with(text(&second, "access_token")).get("/me").problem(401, "UNAUTHENTICATED");
    anonymous.post("/auth/refresh", &json!({"refresh_token": "slr_nothing"})).problem(401, "UNAUTHENTICATED");
    app.assert_sound();
}

#[test]
fn parallel_uses_of_one_refresh_token_give_at_most_one_pair() {
    let app = App::start();
    let pair = login(&app);
    let body = json!({"refresh_token": text(&pair, "refresh_token")});
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (client, body) = (app.anonymous(), &body);
                scope.spawn(move || client.post("/auth/refresh", body).status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 401)), "{answers:?}");
}

#[test]
fn logging_out_ends_the_session_at_once() {
    let app = App::start();
    let pair = login(&app);
    let client = app.client_with(text(&pair, "access_token"));
    client.post("/auth/logout", &json!({})).problem(400, "MALFORMED_REQUEST");
    Answer::of(client.request("POST", "/auth/logout")).expect(204);
    client.get("/me").problem(401, "UNAUTHENTICATED");
    let body = json!({"refresh_token": text(&pair, "refresh_token")});
    app.anonymous().post("/auth/refresh", &body).problem(401, "UNAUTHENTICATED");
    app.assert_sound();
}

#[test]
fn a_disabled_user_is_refused_at_once_whatever_they_hold() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    let token = lead.post("/tokens", &json!({"name": "t", "scopes": ["read"]})).expect(201);
    let by_token = app.client_with(text(&token.body, "token"));
    by_token.get("/me").expect(200);
    admin.patch(&format!("/users/{}", app.user_id(Role::Lead)), "*", &json!({"active": false})).expect(200);
    lead.get("/me").problem(401, "UNAUTHENTICATED");
    by_token.get("/me").problem(401, "UNAUTHENTICATED");
}

#[test]
fn a_personal_token_is_shown_once_and_works_within_its_scopes_until_it_is_revoked() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let created = lead.post("/tokens", &json!({"name": "export", "scopes": ["read"]})).expect(201);
    let secret = text(&created.body, "token").to_owned();
    assert!(secret.starts_with("slp_"));
    let listed = lead.get("/tokens").expect(200);
    assert!(!listed.text.contains(&secret));
    assert_eq!(listed.body["data"][0]["hint"], secret[secret.len() - 4..]);

    let by_token = app.client_with(&secret);
    by_token.get("/releases").expect(200);
    by_token.post("/releases", &new_release()).problem(403, "SCOPE_MISSING");
    by_token.post("/tokens", &json!({"name": "more", "scopes": ["admin"]})).problem(403, "SCOPE_MISSING");

    let writer = lead.post("/tokens", &json!({"name": "ci", "scopes": ["read", "releases:write"]})).expect(201);
    app.client_with(text(&writer.body, "token")).post("/releases", &new_release()).expect(201);

    lead.delete(&format!("/tokens/{}", created.id()), "\"1\"").expect(204);
    by_token.get("/releases").problem(401, "UNAUTHENTICATED");
    lead.delete(&format!("/tokens/{}", created.id()), "\"1\"").problem(404, "NOT_FOUND");
    app.client(Role::Outsider).delete(&format!("/tokens/{}", writer.id()), "*").problem(404, "NOT_FOUND");
    app.client(Role::Admin).delete(&format!("/tokens/{}", writer.id()), "*").expect(204);
    app.assert_sound();
}

#[test]
fn a_personal_token_ends_when_it_was_said_to() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let past = json!({"name": "t", "scopes": ["read"], "expires_at": "2030-01-07T10:00:00Z"});
    lead.post("/tokens", &past).problem(422, "INVALID_VALUES").faults(&[("/expires_at", "IN_THE_PAST")]);
    let body = json!({"name": "t", "scopes": ["read"], "expires_at": "2030-01-08T00:00:00+02:00"});
    let token = lead.post("/tokens", &body).expect(201);
    assert_eq!(token.body["expires_at"], "2030-01-07T22:00:00Z");
    let by_token = app.client_with(text(&token.body, "token"));
    app.set_clock("2030-01-07T21:59:59Z");
    by_token.get("/me").expect(200);
    app.set_clock("2030-01-07T22:00:00Z");
    by_token.get("/me").problem(401, "UNAUTHENTICATED");
}

#[test]
fn the_answer_with_a_secret_is_not_kept_under_an_idempotency_key() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let body = json!({"name": "t", "scopes": ["read"]});
    let first = lead.post_once("/tokens", "key-1", &body).expect(201);
    let second = lead.post_once("/tokens", "key-1", &body).expect(201);
    assert_ne!(first.body["token"], second.body["token"]);
    assert_eq!(second.header("idempotent-replayed"), "");
}

#[test]
fn a_password_is_changed_with_the_present_one_or_by_an_administrator() {
    let app = App::start();
    let pair = login(&app);
    let admin = app.client_with(text(&pair, "access_token"));
    let path = format!("/users/{}/password", app.user_id(Role::Admin));
    let new = "another long and memorable phrase";
    admin
        .post(&path, &json!({"password": new}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/current_password", "WRONG_PASSWORD")]);
    admin
        .post(&path, &json!({"password": "short"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/password", "TOO_SHORT")]);
    let other = login(&app);
    admin.post(&path, &json!({"password": new, "current_password": PASSWORD})).expect(204);
    admin.get("/me").expect(200);
    app.client_with(text(&other, "access_token")).get("/me").problem(401, "UNAUTHENTICATED");
    let anonymous = app.anonymous();
    anonymous.post("/auth/login", &json!({"username": "admin", "password": PASSWORD})).problem(401, "UNAUTHENTICATED");
    anonymous.post("/auth/login", &json!({"username": "admin", "password": new})).expect(200);

    let of_lead = format!("/users/{}/password", app.user_id(Role::Lead));
    app.client(Role::Operator).post(&of_lead, &json!({"password": new})).problem(403, "FORBIDDEN");
    admin.post(&of_lead, &json!({"password": new})).expect(204);
    anonymous.post("/auth/login", &json!({"username": "lead", "password": new})).expect(200);
    app.assert_sound();
}

#[test]
fn the_audit_tells_who_logged_in_and_holds_no_secret() {
    let app = App::start();
    let pair = login(&app);
    let admin = app.client_with(text(&pair, "access_token"));
    let token = admin.post("/tokens", &json!({"name": "t", "scopes": ["read"]})).expect(201);
    let audit = admin.get("/audit?limit=200").expect(200);
    for secret in [text(&pair, "access_token"), text(&pair, "refresh_token"), text(&token.body, "token"), PASSWORD] {
        assert!(!audit.text.contains(secret));
    }
    let actions: Vec<_> = audit.body["data"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert!(actions.contains(&json!("session.login")) && actions.contains(&json!("personal_token.create")));
}

#[test]
fn the_rate_limit_counts_per_caller_and_says_what_is_left() {
    let app = App::start_with(|config| config.rate_limit = 5);
    let lead = app.client(Role::Lead);
    let first = lead.get("/me").expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=5;w=60");
    assert_eq!(first.header("ratelimit"), "\"default\";r=4");
    for _ in 0..4 {
        lead.get("/me").expect(200);
    }
    let limited = lead.get("/me").problem(429, "RATE_LIMITED");
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
    app.client(Role::Operator).get("/me").expect(200);
}

/// So many live sessions of a user, as an earlier version let them come together.
fn open_sessions(app: &App, user: UserId, count: usize) {
    let sessions: Vec<String> = (0..count)
        .map(|_| {
            let id = uuid::Uuid::now_v7();
            format!("('{id}', '{user}', '2030-01-07 09:00:00', '2030-02-01 09:00:00', NULL, 0, '')")
        })
        .collect();
    for part in sessions.chunks(500) {
        app.database.execute(&format!("INSERT INTO sessions VALUES {}", part.join(", ")));
    }
}

fn live_sessions(app: &App, user: UserId) -> Vec<String> {
    let sql = format!("SELECT id AS line FROM sessions WHERE revoked_at IS NULL AND user_id = '{user}' ORDER BY id");
    lines(&mut app.database.open().connect().unwrap(), &sql)
}

/// What history says of the end of a user's sessions.
fn ends(admin: &Client) -> Vec<Value> {
    let page = admin.get("/audit?action=session.revoke").expect(200).body;
    page["data"].as_array().unwrap().iter().map(|row| row["changes"].clone()).collect()
}

#[test]
fn an_account_with_thousands_of_sessions_is_disabled_at_once() {
    let app = App::start();
    let user = app.user_id(Role::Lead);
    let lead = app.client(Role::Lead);
    open_sessions(&app, user, 2000);
    let admin = app.client(Role::Admin);
    admin.patch(&format!("/users/{user}"), "*", &json!({"active": false})).expect(200);
    lead.get("/me").problem(401, "UNAUTHENTICATED");
    assert!(live_sessions(&app, user).is_empty());
    let ends = ends(&admin);
    assert_eq!(ends.len(), 1, "{ends:?}");
    let told = ends[0].as_array().unwrap().iter().find(|change| change["field"] == "/sessions_ended");
    assert_eq!(told.unwrap_or_else(|| panic!("{ends:?}"))["after"], 2001);
}

#[test]
fn a_new_password_ends_thousands_of_sessions_but_for_the_callers_own() {
    let app = App::start();
    let user = app.user_id(Role::Admin);
    open_sessions(&app, user, SESSIONS_PER_USER_MAX - 1);
    let admin = app.client_with(text(&login(&app), "access_token"));
    open_sessions(&app, user, 2000);
    let path = format!("/users/{user}/password");
    let change = json!({"current_password": PASSWORD, "password": "another long and memorable phrase"});
    admin.post(&path, &change).expect(204);
    admin.get("/me").expect(200);
    assert_eq!(live_sessions(&app, user).len(), 1);
    assert_eq!(ends(&admin).len(), 1);
}

#[test]
fn beyond_the_sessions_that_a_user_may_have_the_oldest_ends() {
    let app = App::start();
    let user = app.user_id(Role::Admin);
    open_sessions(&app, user, SESSIONS_PER_USER_MAX + 20);
    let before = live_sessions(&app, user);
    let token = text(&login(&app), "access_token").to_owned();
    let after = live_sessions(&app, user);
    assert_eq!(after.len(), SESSIONS_PER_USER_MAX);
    let newest: Vec<&String> = before.iter().rev().take(SESSIONS_PER_USER_MAX - 1).collect();
    assert!(newest.into_iter().all(|session| after.contains(session)));
    app.client_with(&token).get("/me").expect(200);
    login(&app);
    assert_eq!(live_sessions(&app, user).len(), SESSIONS_PER_USER_MAX);
}
