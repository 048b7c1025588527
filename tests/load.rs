//! Callers who write all at once, and remember what they sent and what they were told.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::binary::*;
use crate::support::Client;

/// So many callers write at the same time.
pub const CALLERS: usize = 16;
/// So many releases are written by all of them.
const SHARED_RELEASES: usize = 4;
/// So many changes wait to be linked.
const CHANGES: usize = 6;
/// A caller remembers at most so many releases of its own.
const OWN_RELEASES_MAX: usize = 8;
/// After a failure of the service a caller waits at most so long until it is well again.
const RECOVERY_SECONDS_MAX: u64 = 60;

/// What an answer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub status: u16,
    pub replayed: bool,
    pub location: String,
    pub etag: String,
    pub text: String,
}

impl Told {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// True where the answer does not say whether anything happened.
    pub fn is_failure(&self) -> bool {
        self.status >= 500
    }

    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// One thing that a caller wanted, sent once or - under a key - more often.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Whose request it was: the place in [`World::users`].
    pub user: usize,
    /// Which of the services it went to.
    pub process: usize,
    pub method: &'static str,
    /// Below `/api/v1`.
    pub path: String,
    pub body: Value,
    pub if_match: Option<String>,
    pub key: Option<String>,
    /// The action that history names it by.
    pub action: &'static str,
    /// The release that it is about; `None` for one that is to be made.
    pub release: Option<String>,
    /// The names of the requests that carried it.
    pub request_ids: Vec<String>,
    /// What was answered; `None` where no answer came, or one that leaves the outcome open.
    pub told: Option<Told>,
    /// True where the connection ended before an answer came.
    pub cut: bool,
}

impl Sent {
    /// True where an answer said that it happened.
    pub fn is_acknowledged(&self) -> bool {
        self.told.as_ref().is_some_and(Told::is_success)
    }
}

/// Somebody who calls.
pub struct User {
    pub id: String,
    pub token: String,
}

/// What the callers work on.
pub struct World {
    pub users: Vec<User>,
    changes: Vec<String>,
    justification: String,
    shared: Vec<String>,
}

fn new_release(title: &str) -> Value {
    json!({"title": title, "requester": {"name": "Ana Souza", "email": "ana@example.org"}})
}

/// A name that nothing else in this process has.
fn unique(prefix: &str) -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}", COUNTER.fetch_add(1, Ordering::SeqCst))
}

impl World {
    /// Makes users with tokens, changes and releases for them to share.
    pub fn new(installation: &Installation, admin: &Client) -> Self {
        let group = admin.get("/groups").expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        let mut users = Vec::new();
        for name in ["one", "two", "three"] {
            let user =
                json!({"username": name, "name": name, "email": "x@example.org", "global_role": "release_manager"});
            let id = admin.post("/users", &user).expect(201).id();
            admin.post(&format!("/groups/{group}/members"), &json!({"user_id": id})).expect(201);
            let scopes = ["--scope", "read", "--scope", "releases:write"];
            let command = [&["token", "create", "--user", name, "--name", "load"], &scopes[..]].concat();
            let token = installation.run(&command).expect(0).stdout.trim().to_owned();
            users.push(User { id, token });
        }
        let changes = (0..CHANGES).map(|index| {
            let path = format!("/changes/by-key/load/CHG-{index}");
            admin.put(&path, &json!({"title": "A change", "status": "authorised"})).expect(201).id()
        });
        let changes = changes.collect();
        let shared = (0..SHARED_RELEASES).map(|_| admin.post("/releases", &new_release("Shared")).expect(201).id());
        let shared = shared.collect();
        let justifications = admin.get("/justifications?applies_to=suspend").expect(200);
        let justification = justifications.body["data"][0]["id"].as_str().unwrap().to_owned();
        Self { users, changes, justification, shared }
    }
}

/// Sends it once more, under another request name.
pub fn send(http: &reqwest::blocking::Client, base: &str, world: &World, sent: &mut Sent) -> reqwest::Result<Told> {
    let request_id = unique("load");
    sent.request_ids.push(request_id.clone());
    deliver(http, base, world, sent, &request_id)
}

fn deliver(
    http: &reqwest::blocking::Client,
    base: &str,
    world: &World,
    sent: &Sent,
    request_id: &str,
) -> reqwest::Result<Told> {
    let url = format!("{base}/api/v1{}", sent.path);
    let mut request = http.request(sent.method.parse().unwrap(), url).bearer_auth(&world.users[sent.user].token);
    request = request.header("X-Request-Id", request_id);
    if let Some(version) = &sent.if_match {
        request = request.header("If-Match", version);
    }
    if let Some(key) = &sent.key {
        request = request.header("Idempotency-Key", key);
    }
    if sent.method != "DELETE" {
        request = request.json(&sent.body);
    }
    let response = request.send()?;
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").to_owned()
    };
    let (replayed, location, etag) = (header("idempotent-replayed") == "true", header("location"), header("etag"));
    Ok(Told { status: response.status().as_u16(), replayed, location, etag, text: response.text()? })
}

/// What a caller last saw of a release.
#[derive(Debug, Clone, Default)]
struct Seen {
    row_version: i64,
    suspended: bool,
    /// Links, with their versions.
    links: Vec<(String, i64)>,
}

/// What callers share while they run.
pub struct Run<'r> {
    pub world: &'r World,
    pub http: &'r reqwest::blocking::Client,
    /// Says that it is enough.
    pub stop: &'r AtomicBool,
    pub acknowledged: &'r AtomicUsize,
    pub history: &'r Mutex<Vec<Sent>>,
    /// True where the service is expected to come back by itself: callers wait for it.
    pub recovers: bool,
}

/// One caller, with a memory of its own.
struct Caller {
    rng: StdRng,
    user: usize,
    process: usize,
    own: Vec<String>,
    seen: HashMap<String, Seen>,
}

impl Caller {
    fn new(world: &World, index: usize, process: usize, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(index as u64));
        Self { rng, user: index % world.users.len(), process, own: Vec::new(), seen: HashMap::new() }
    }

    /// Writes until it is enough, or until the service does not answer.
    fn work(&mut self, run: &Run<'_>, base: &str) {
        while !run.stop.load(Ordering::SeqCst) {
            let mut sent = self.next(run.world);
            // Now and then a client is impatient, and sends the same under the same key at the same time.
            let copies = if sent.key.is_some() && self.rng.random_ratio(1, 8) { 2 } else { 1 };
            sent.request_ids = (0..copies).map(|_| unique("load")).collect();
            let answers: Vec<reqwest::Result<Told>> = std::thread::scope(|scope| {
                let (first, others) = sent.request_ids.split_first().unwrap();
                let sent = &sent;
                let others: Vec<_> =
                    others.iter().map(|id| scope.spawn(move || deliver(run.http, base, run.world, sent, id))).collect();
                let first = deliver(run.http, base, run.world, sent, first);
                let others = others.into_iter().map(|thread| thread.join().unwrap());
                std::iter::once(first).chain(others).collect()
            });
            sent.cut = answers.iter().any(Result::is_err);
            let (failures, told): (Vec<Told>, Vec<Told>) =
                answers.into_iter().filter_map(Result::ok).partition(Told::is_failure);
            assert!(failures.iter().all(|told| told.status == 503), "{failures:?}");
            let (cut, failed) = (sent.cut, sent.cut || !failures.is_empty());
            sent.told = outcome(told, failed);
            if sent.is_acknowledged() {
                run.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            self.learn(run, base, &sent);
            run.history.lock().unwrap().push(sent);
            if (cut && !run.recovers) || (failed && !self.wait_until_well(run, base)) {
                return;
            }
        }
    }

    /// Asks until the service answers again; false where it does not come back.
    fn wait_until_well(&self, run: &Run<'_>, base: &str) -> bool {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(RECOVERY_SECONDS_MAX) {
            let request = run.http.get(format!("{base}/api/v1/releases?limit=1"));
            let answer = request.bearer_auth(&run.world.users[self.user].token).send();
            match answer {
                Ok(answer) if answer.status() == 200 => return true,
                Err(_) if !run.recovers => return false,
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// A release to write to, and what this caller knows of it.
    fn some_release(&mut self, world: &World) -> (String, Seen) {
        let shared = self.own.is_empty() || self.rng.random_ratio(1, 2);
        let among = if shared { &world.shared } else { &self.own };
        let release = among[self.rng.random_range(0..among.len())].clone();
        let seen = self.seen.get(&release).cloned().unwrap_or_default();
        (release, seen)
    }

    fn next(&mut self, world: &World) -> Sent {
        let kind = self.rng.random_range(0..100);
        let (release, seen) = self.some_release(world);
        let path = format!("/releases/{release}");
        let mut sent = Sent {
            user: self.user,
            process: self.process,
            method: "POST",
            path: format!("{path}/transitions"),
            body: json!({}),
            if_match: None,
            key: None,
            action: "",
            release: Some(release),
            request_ids: Vec::new(),
            told: None,
            cut: false,
        };
        match kind {
            0..35 => {
                sent.path = "/releases".into();
                sent.body = new_release(&unique("New"));
                (sent.action, sent.release) = ("release.create", None);
            }
            35..55 => {
                (sent.method, sent.path, sent.action) = ("PATCH", path, "release.update");
                sent.body = json!({"title": unique("Changed")});
                let known = seen.row_version > 0 && self.rng.random_ratio(2, 3);
                sent.if_match = Some(if known { format!("\"{}\"", seen.row_version) } else { "*".into() });
            }
            55..75 if seen.suspended => {
                (sent.body, sent.action) = (json!({"action": "reactivate"}), "release.reactivate");
            }
            55..75 => {
                let reason = &world.justification;
                sent.body = json!({"action": "suspend", "justification_id": reason, "note": unique("Wait")});
                sent.action = "release.suspend";
            }
            75..83 => (sent.body, sent.action) = (json!({"action": "capture"}), "release.capture"),
            83..100 if seen.links.is_empty() || kind < 90 => {
                let change = &world.changes[self.rng.random_range(0..world.changes.len())];
                (sent.path, sent.action) = (format!("{path}/changes"), "release.link_change");
                sent.body = json!({"change_id": change});
            }
            _ => {
                let (link, version) = seen.links[self.rng.random_range(0..seen.links.len())].clone();
                sent.path = format!("{path}/changes/{link}");
                sent.if_match = Some(format!("\"{version}\""));
                (sent.method, sent.action) = ("DELETE", "release.unlink_change");
                if kind < 96 {
                    (sent.method, sent.action) = ("PATCH", "release.update_change_link");
                    sent.body = json!({"outcome": "deployed", "outcome_note": unique("Note")});
                }
            }
        }
        let transition = sent.path.ends_with("/transitions");
        if transition && seen.row_version > 0 && self.rng.random_ratio(1, 3) {
            sent.if_match = Some(format!("\"{}\"", seen.row_version));
        }
        if sent.method == "POST" && self.rng.random_ratio(2, 3) {
            sent.key = Some(unique("key"));
        }
        sent
    }

    /// Remembers what an answer showed; after a refusal the caller looks again.
    fn learn(&mut self, run: &Run<'_>, base: &str, sent: &Sent) {
        let Some(told) = &sent.told else { return };
        let body = told.body();
        if !told.is_success() {
            if let Some(release) = &sent.release {
                self.look(run, base, release);
            }
            return;
        }
        let Some(release) = &sent.release else {
            let id = body["id"].as_str().unwrap().to_owned();
            self.seen.insert(id.clone(), Seen { row_version: 1, ..Seen::default() });
            self.own.push(id);
            if self.own.len() > OWN_RELEASES_MAX {
                self.own.remove(0);
            }
            return;
        };
        let seen = self.seen.entry(release.clone()).or_default();
        match sent.action {
            "release.link_change" => seen.links.push((body["id"].as_str().unwrap().to_owned(), 1)),
            "release.update_change_link" => {
                for link in seen.links.iter_mut().filter(|link| sent.path.ends_with(&link.0)) {
                    link.1 += 1;
                }
            }
            "release.unlink_change" => seen.links.retain(|link| !sent.path.ends_with(&link.0)),
            _ => {
                let shown = if sent.action == "release.update" { &body } else { &body["release"] };
                seen.row_version = shown["row_version"].as_i64().unwrap();
                seen.suspended = shown["status"] == "suspended";
            }
        }
    }

    fn look(&mut self, run: &Run<'_>, base: &str, release: &str) {
        let read = |path: String| -> Option<Value> {
            let request = run.http.get(format!("{base}/api/v1{path}"));
            let answer = request.bearer_auth(&run.world.users[self.user].token).send().ok()?;
            serde_json::from_str(&answer.text().ok()?).ok()
        };
        let (Some(shown), Some(links)) =
            (read(format!("/releases/{release}")), read(format!("/releases/{release}/changes")))
        else {
            return;
        };
        let Some(row_version) = shown["row_version"].as_i64() else { return };
        let links = links["data"].as_array().cloned().unwrap_or_default();
        let links =
            links.iter().map(|link| (link["id"].as_str().unwrap().to_owned(), link["row_version"].as_i64().unwrap()));
        let seen = Seen { row_version, suspended: shown["status"] == "suspended", links: links.collect() };
        self.seen.insert(release.to_owned(), seen);
    }
}

/// What the answers to the copies of one request say together. The first success speaks for all; copies under one key
/// must agree.
fn outcome(answers: Vec<Told>, some_failed: bool) -> Option<Told> {
    let successes: Vec<&Told> = answers.iter().filter(|told| told.is_success()).collect();
    if let Some(first) = successes.first() {
        for other in &successes {
            assert_eq!(
                (other.status, &other.text, &other.etag, &other.location),
                (first.status, &first.text, &first.etag, &first.location),
                "two answers under one key"
            );
        }
        let acted = successes.iter().filter(|told| !told.replayed).count();
        assert!(acted == 1 || (acted == 0 && some_failed), "{acted} requests under one key say that they acted");
        return Some((*first).clone());
    }
    // A refusal says that nothing happened only where no copy is still open.
    answers.into_iter().next().filter(|_| !some_failed)
}

/// Lets callers write at the bases, caller by caller in turn, while `meanwhile` does what it does; answers when all
/// have stopped.
pub fn run(run: &Run<'_>, bases: &[String], seed: u64, meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        for index in 0..CALLERS {
            let process = index % bases.len();
            scope.spawn(move || Caller::new(run.world, index, process, seed).work(run, &bases[process]));
        }
        // Whatever becomes of it, the callers must end.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        run.stop.store(true, Ordering::SeqCst);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}

/// An HTTP client for all callers.
pub fn http() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder().timeout(Duration::from_secs(60)).build().unwrap()
}
