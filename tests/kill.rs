//! The service is killed in the middle of concurrent writers and started again on the same database.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::binary::*;

const WRITERS: usize = 64;
/// The service is killed once it has acknowledged so many writes.
const ACKNOWLEDGED_BEFORE_KILL: usize = 200;
const CREATE: &str = "/api/v1/releases";

/// What became of the creates: of the acknowledged ones the body, of the others only the title.
#[derive(Default)]
struct Sent {
    acknowledged: HashMap<String, Value>,
    unanswered: Vec<String>,
}

fn body(title: &str) -> Value {
    json!({"title": title, "requester": {"name": "Ana Souza", "email": "ana@example.org"}})
}

fn create(
    http: &reqwest::blocking::Client,
    base: &str,
    token: &str,
    title: &str,
) -> reqwest::Result<(u16, bool, String)> {
    let request = http.post(format!("{base}{CREATE}")).bearer_auth(token).header("Idempotency-Key", title);
    let response = request.json(&body(title)).send()?;
    let replayed = response.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    Ok((response.status().as_u16(), replayed, response.text()?))
}

#[test]
fn after_a_kill_every_acknowledged_write_is_there_and_every_other_all_or_nothing() {
    let installation = Installation::new();
    let mut service = installation.serve();
    let token = service.session("admin", ADMIN_PASSWORD).token.unwrap();
    let base = format!("http://{}", service.address);
    let http = reqwest::blocking::Client::new();
    let sent = Mutex::new(Sent::default());
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (sent, acknowledged, http, base, token) = (&sent, &acknowledged, &http, &base, &token);
            scope.spawn(move || {
                for write in 0.. {
                    let title = format!("writer-{writer}-write-{write}");
                    match create(http, base, token, &title) {
                        Ok((status, _, text)) => {
                            assert_eq!(status, 201, "{text}");
                            let body = serde_json::from_str(&text).unwrap();
                            sent.lock().unwrap().acknowledged.insert(title, body);
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(_) => {
                            sent.lock().unwrap().unanswered.push(title);
                            break;
                        }
                    }
                }
            });
        }
        while acknowledged.load(Ordering::SeqCst) < ACKNOWLEDGED_BEFORE_KILL {
            std::thread::yield_now();
        }
        service.kill();
    });
    let sent = sent.into_inner().unwrap();
    assert_eq!(sent.unanswered.len(), WRITERS);

    let service = installation.serve();
    let doctor = installation.run(&["doctor"]).expect(0);
    assert!(doctor.stdout.lines().all(|line| line.starts_with("ok ")), "{}", doctor.stdout);
    let admin = service.session("admin", ADMIN_PASSWORD);
    let stored = everything(&admin, "/releases");
    let by_title: HashMap<&str, &Value> =
        stored.iter().map(|release| (release["title"].as_str().unwrap(), release)).collect();
    assert_eq!(by_title.len(), stored.len(), "a write happened twice");
    for (title, release) in &sent.acknowledged {
        assert_eq!(by_title.get(title.as_str()).map(|stored| &stored["id"]), Some(&release["id"]), "{title}");
    }
    let others = stored.iter().filter(|release| !sent.acknowledged.contains_key(release["title"].as_str().unwrap()));
    for other in others {
        assert!(sent.unanswered.iter().any(|title| other["title"] == *title), "{other}");
    }
    // Whole: every release has its chain, every chain its release, and (the doctor has seen it) every row its event.
    let rows = everything(&admin, "/audit?record_type=release");
    let mut with_history: Vec<&str> = rows.iter().map(|row| row["record_id"].as_str().unwrap()).collect();
    let mut there: Vec<&str> = stored.iter().map(|release| release["id"].as_str().unwrap()).collect();
    with_history.sort_unstable();
    there.sort_unstable();
    assert_eq!(with_history, there);

    // The same request under the same key: the answer from before, or - where nothing was stored - the first.
    let base = format!("http://{}", service.address);
    let token = admin.token.as_deref().unwrap();
    for (title, release) in sent.acknowledged.iter().take(50) {
        let (status, replayed, text) = create(&http, &base, token, title).unwrap();
        assert_eq!((status, replayed), (201, true), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *release);
    }
    for title in &sent.unanswered {
        let (status, replayed, text) = create(&http, &base, token, title).unwrap();
        assert_eq!(status, 201, "{text}");
        // A server of its own may still have been committing when the list was read.
        assert!(replayed || !by_title.contains_key(title.as_str()), "{text}");
    }
    assert_eq!(everything(&admin, "/releases").len(), sent.acknowledged.len() + WRITERS);
    installation.run(&["doctor"]).expect(0);
}

/// Every item of a list, page by page.
fn everything(client: &crate::support::Client, path: &str) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}{separator}limit=200{cursor}")).expect(200);
        items.extend(page.body["data"].as_array().unwrap().iter().cloned());
        match page.body["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}
