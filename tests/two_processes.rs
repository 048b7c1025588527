//! Two processes on one PostgreSQL share nothing but it.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::*;
use crate::raw::{PATIENCE, Raw, eventually};
use crate::support::{Client, on_postgres};

fn body(title: &str) -> Value {
    json!({"title": title, "requester": {"name": "Ana Souza", "email": "ana@example.org"}})
}

fn at(service: &Service, client: &Client) -> Client {
    Client { base: format!("http://{}", service.address), ..client.clone() }
}

#[test]
fn what_one_process_writes_the_other_one_knows_at_once() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::new();
    let (first, second) = (installation.serve(), installation.serve());
    // A login at one is a login at the other, until it ends at either.
    let one = first.session("admin", ADMIN_PASSWORD);
    let other = at(&second, &one);
    other.get("/me").expect(200);
    for turn in 0..20 {
        let (writes, reads) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let release = writes.post("/releases", &body(&format!("turn {turn}"))).expect(201);
        let path = format!("/releases/{}", release.id());
        assert_eq!(reads.get(&path).expect(200).body, release.body);
        // A version that was seen here is stale once the other side wrote.
        let seen = reads.get(&path).expect(200).header("etag").to_owned();
        writes.patch(&path, &seen, &json!({"description": "changed"})).expect(200);
        reads.patch(&path, &seen, &json!({"description": "lost"})).problem(412, "PRECONDITION_FAILED");
        assert_eq!(reads.get(&path).expect(200).body["description"], "changed");
        // A key that was used there is used here.
        let key = format!("turn-{turn}");
        let made = writes.post_once("/releases", &key, &body("once")).expect(201);
        let again = reads.post_once("/releases", &key, &body("once")).expect(201);
        assert_eq!((again.id(), again.header("idempotent-replayed")), (made.id(), "true"));
        reads.post_once("/releases", &key, &body("twice")).problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    // A personal token of one is good at the other, until it is revoked at either.
    let token = json!({"name": "script", "scopes": ["read"]});
    let token = one.post("/tokens", &token).expect(201);
    let secret = token.body["token"].as_str().or(token.body["secret"].as_str()).unwrap().to_owned();
    let (script, script_at_other) = (first.client(Some(&secret)), second.client(Some(&secret)));
    script.get("/releases").expect(200);
    script_at_other.get("/releases").expect(200);
    other.delete(&format!("/tokens/{}", token.id()), "*").expect(204);
    script.get("/releases").problem(401, "UNAUTHENTICATED");
    script_at_other.get("/releases").problem(401, "UNAUTHENTICATED");
    // A refresh token is used once, wherever.
    let (_, session) = first.login("admin", ADMIN_PASSWORD);
    let refresh = json!({"refresh_token": session["refresh_token"]});
    let renewed = second.client(None).post("/auth/refresh", &refresh).expect(200);
    first.client(Some(renewed.body["access_token"].as_str().unwrap())).get("/me").expect(200);
    first.client(None).post("/auth/refresh", &refresh).problem(401, "UNAUTHENTICATED");
    // Using it again ended the session everywhere.
    second.client(Some(renewed.body["access_token"].as_str().unwrap())).get("/me").problem(401, "UNAUTHENTICATED");
    installation.run(&["doctor"]).expect(0);
}

#[test]
fn of_writers_who_race_at_both_processes_one_wins() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::new();
    let (first, second) = (installation.serve(), installation.serve());
    let one = first.session("admin", ADMIN_PASSWORD);
    let clients = [one.clone(), at(&second, &one)];
    for round in 0..10 {
        let key = format!("round-{round}");
        let answers: Vec<_> = std::thread::scope(|scope| {
            let sent: Vec<_> = (0..8)
                .map(|caller| {
                    let (client, key) = (&clients[caller % 2], &key);
                    scope.spawn(move || client.post_once("/releases", key, &body(key)).expect(201).id())
                })
                .collect();
            sent.into_iter().map(|sent| sent.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().collect::<HashSet<_>>().len(), 1, "{answers:?}");
        let path = format!("/releases/{}", answers[0]);
        let seen = one.get(&path).expect(200).header("etag").to_owned();
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for caller in 0..8 {
                let (client, path, seen, won) = (&clients[caller % 2], &path, &seen, &won);
                scope.spawn(move || {
                    let answer = client.patch(path, seen, &json!({"description": format!("by {caller}")}));
                    match answer.status {
                        200 => drop(won.fetch_add(1, Ordering::SeqCst)),
                        _ => assert!([409, 412].contains(&answer.status), "{}", answer.text),
                    }
                });
            }
        });
        assert_eq!(won.load(Ordering::SeqCst), 1);
    }
    installation.run(&["doctor"]).expect(0);
}

/// A process that drains for a moment when it is told to end.
fn draining(installation: &Installation) -> Service {
    let mut command = installation.command(&["serve"]);
    command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD).env("SLIPWAY_DRAIN_SECONDS", "3");
    Service::start(command)
}

/// A connection to a process that is ready, as a balancer makes one; nothing where none is just now.
fn balanced(addresses: &Mutex<Vec<String>>) -> Option<Raw> {
    let addresses = addresses.lock().unwrap().clone();
    addresses.iter().find_map(|address| {
        let mut raw = Raw::try_connect(address)?;
        if raw.get("/readyz").expect_any() != 200 {
            return None;
        }
        Raw::try_connect(address)
    })
}

/// Sends one request, which must be answered. The client leaves a connection when it is told to.
fn send(addresses: &Mutex<Vec<String>>, connection: &mut Option<Raw>, token: &str, title: &str) {
    let until = Instant::now() + PATIENCE;
    let mut raw = loop {
        // Nobody sends on a connection that was closed while it lay idle.
        if let Some(raw) = connection.take().filter(Raw::is_open).or_else(|| balanced(addresses)) {
            break raw;
        }
        assert!(Instant::now() < until, "nobody is ready");
        std::thread::sleep(Duration::from_millis(5));
    };
    let body = body(title).to_string();
    raw.send(format!(
        "POST /api/v1/releases HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = raw.answer().unwrap_or_else(|| panic!("{title}: no answer"));
    assert_eq!(answer.status, 201, "{answer:?}");
    if !answer.closes() {
        *connection = Some(raw);
    }
}

#[test]
fn rolling_both_processes_under_load_loses_no_request() {
    if !on_postgres() {
        return;
    }
    let installation = Installation::new();
    let mut services = [draining(&installation), draining(&installation)];
    let token = services[0].session("admin", ADMIN_PASSWORD).token.unwrap();
    let addresses = Mutex::new(services.iter().map(|service| service.address.clone()).collect::<Vec<_>>());
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (addresses, over, sent, token) = (&addresses, &over, &sent, &token);
            scope.spawn(move || {
                let mut connection = None;
                for write in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    send(addresses, &mut connection, token, &format!("{writer}-{write}"));
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let more = |count: usize| {
            let from = sent.load(Ordering::SeqCst);
            eventually("requests are answered", || sent.load(Ordering::SeqCst) >= from + count);
        };
        for index in [0, 1] {
            more(50);
            services[index].signal("TERM");
            assert_eq!(services[index].ended(PATIENCE), Some(0));
            more(50);
            services[index] = draining(&installation);
            addresses.lock().unwrap()[index].clone_from(&services[index].address);
        }
        more(50);
        over.store(true, Ordering::SeqCst);
    });
    let admin = services[0].client(Some(&token));
    let (mut stored, mut cursor) = (0, String::new());
    loop {
        let page = admin.get(&format!("/releases?limit=200{cursor}")).expect(200).body;
        stored += page["data"].as_array().unwrap().len();
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(stored, sent.load(Ordering::SeqCst));
    installation.run(&["doctor"]).expect(0);
}
