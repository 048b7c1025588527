//! Probes, metrics, log lines, traces: what operators see of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway::repository::{Database, Limits, Target, migrations};
use slipway::service::readiness::{Readiness, Standing, WAIT_MAX_MS};

use crate::binary::{ADMIN_PASSWORD, Installation, Service};
use crate::support::*;

/// What is waited for is there within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tries until something holds.
#[track_caller]
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_running_service_is_alive_and_ready() {
    let app = App::start();
    let anonymous = app.anonymous();
    let alive = anonymous.get("/livez").expect(200);
    assert_eq!(alive.body, json!({"status": "alive"}));
    let ready = anonymous.get("/readyz").expect(200);
    let checks = json!({"database": "ok", "migrations": "ok", "drain": "ok"});
    assert_eq!(ready.body, json!({"status": "ready", "checks": checks}));
    for path in ["/livez", "/readyz"] {
        let head = Answer::of(anonymous.request("HEAD", path)).expect(200);
        assert_eq!((head.text.as_str(), head.header("cache-control")), ("", "no-store"));
        let refused = anonymous.post(path, &json!({})).problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
}

#[test]
fn a_service_whose_migrations_are_pending_is_not_ready_and_says_so() {
    let app = App::start();
    let anonymous = app.anonymous();
    anonymous.get("/readyz").expect(200);
    let mut connection = app.env.database.connect().unwrap();
    migrations::down(&mut connection, 1).unwrap();
    let red = until("readiness turns red", || Some(anonymous.get("/readyz")).filter(|answer| answer.status != 200));
    let red = red.problem(503, "NOT_READY").faults(&[("/checks/migrations", "MIGRATIONS_PENDING")]);
    assert_eq!(red.header("retry-after"), "1");
    anonymous.get("/livez").expect(200);
    migrations::up(&mut connection).unwrap();
    until("readiness turns green", || Some(anonymous.get("/readyz")).filter(|answer| answer.status == 200));
}

#[test]
fn readiness_is_answered_in_time_by_few_connections_though_the_database_hangs() {
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in silent.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            kept.push(stream);
        }
    });
    let target = Target::Postgres(format!("postgres://nobody@{address}/nothing"));
    let limits = Limits { statement_timeout_ms: 1000, lock_timeout_ms: 1000 };
    let readiness = Readiness::new(Database::open(target, limits, 2).unwrap());
    actix_web::rt::System::new().block_on(async {
        let started = Instant::now();
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let readiness = Arc::clone(&readiness);
                actix_web::rt::spawn(async move { readiness.standing().await })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), Standing::Away);
        }
        // The promise is a time: generous enough for a busy machine.
        assert!(started.elapsed() < Duration::from_millis(WAIT_MAX_MS) + Duration::from_secs(4));
    });
    assert!(taken.load(Ordering::SeqCst) <= 2, "{taken:?}");
}

#[test]
fn a_database_that_is_not_there_is_away_and_one_that_is_ready() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let limits = Limits { statement_timeout_ms: 1000, lock_timeout_ms: 1000 };
    let database = Database::open(Target::Postgres(format!("postgres://nobody@{gone}/nothing")), limits, 2).unwrap();
    let away = Readiness::new(database);
    let app = App::start();
    let here = Readiness::new(app.env.database.clone());
    actix_web::rt::System::new().block_on(async {
        assert_eq!(away.standing().await, Standing::Away);
        assert_eq!(here.standing().await, Standing::Ready);
    });
}

/// The samples of a scrape: name with labels, and value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {series}");
    }
    samples
}

/// A real service, its metrics on an address of their own, and its log in a file.
struct Watched {
    service: Service,
    metrics: String,
    log: std::path::PathBuf,
    installation: Installation,
}

impl Watched {
    fn start(settings: &[(&str, &str)]) -> Self {
        let installation = Installation::new();
        let log = installation.folder.path().join("log");
        let mut command = installation.command(&["serve"]);
        command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD).env("SLIPWAY_METRICS_LISTEN", "127.0.0.1:0");
        for (name, value) in settings {
            command.env(name, value);
        }
        let service = Service::start_with_log(command, Stdio::from(std::fs::File::create(&log).unwrap()));
        let metrics = service.printed.iter().find_map(|line| line.strip_prefix("Metrics")).unwrap().trim().to_owned();
        Self { service, metrics, log, installation }
    }

    fn scrape(&self) -> BTreeMap<String, f64> {
        let response = reqwest::blocking::get(&self.metrics).unwrap();
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        samples(&response.text().unwrap())
    }

    /// Every line of the log so far, each of which must be one JSON object.
    fn lines(&self) -> Vec<Value> {
        lines_of(&self.log)
    }

    /// The line of a request, once it is there.
    fn line(&self, id: &str) -> Value {
        until(&format!("the line of {id}"), || {
            self.lines().into_iter().find(|line| line["request_id"] == id && line["target"] == "slipway::request")
        })
    }
}

fn lines_of(log: &Path) -> Vec<Value> {
    let bytes = std::fs::read(log).unwrap();
    let text = String::from_utf8(bytes).expect("the log is UTF-8");
    // What is written at this moment may be half there.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(value.is_object(), "{line:?}");
            value
        })
        .collect()
}

/// Sends bytes as they are, and answers what comes back until the connection is closed.
fn send_raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn everything_that_happens_is_counted() {
    let watched = Watched::start(&[("SLIPWAY_RATE_LIMIT", "1000")]);
    let admin = watched.service.session("admin", ADMIN_PASSWORD);
    let release = admin.post_once("/releases", "once", &new_release()).expect(201);
    admin.post_once("/releases", "once", &new_release()).expect(201);
    let transitions = format!("/releases/{}/transitions", release.id());
    admin.post(&transitions, &json!({"action": "capture"})).expect(201);
    admin.post(&format!("{transitions}?dry_run=true"), &json!({"action": "advance", "from_stage": "planning"}));
    admin.post(&transitions, &json!({"action": "advance", "from_stage": "planning"})).problem(422, "GATES_NOT_MET");
    admin.get("/releases/REL-999").problem(404, "NOT_FOUND");
    let seen = watched.scrape();
    let value = |series: &str| *seen.get(series).unwrap_or_else(|| panic!("{series} is not in {:#?}", seen.keys()));
    let count = |route: &str, method: &str, status: &str| {
        value(&format!(
            "slipway_http_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        ))
    };
    assert_eq!(count("/api/v1/releases", "POST", "2xx"), 2.0);
    assert_eq!(count("/api/v1/releases/{release}", "GET", "4xx"), 1.0);
    assert_eq!(count("/api/v1/releases/{release}/transitions", "POST", "2xx"), 1.0);
    assert_eq!(count("/api/v1/releases/{release}/transitions", "POST", "4xx"), 2.0);
    assert_eq!(count("/api/v1/auth/login", "POST", "2xx"), 1.0);
    assert_eq!(value("slipway_idempotent_replays_total"), 1.0);
    assert_eq!(value("slipway_transitions_total{action=\"create\",outcome=\"applied\"}"), 1.0);
    assert_eq!(value("slipway_transitions_total{action=\"create\",outcome=\"replayed\"}"), 1.0);
    assert_eq!(value("slipway_transitions_total{action=\"capture\",outcome=\"applied\"}"), 1.0);
    assert_eq!(value("slipway_transitions_total{action=\"advance\",outcome=\"refused\"}"), 2.0);
    assert_eq!(value("slipway_transitions_total{action=\"reopen\",outcome=\"applied\"}"), 0.0);
    // The scrape itself is in flight.
    assert_eq!(value("slipway_http_requests_in_flight"), 1.0);
    assert!(value("slipway_pool_wait_seconds_count") >= 1.0);
    assert!(value("slipway_pool_connections{state=\"idle\"}") >= 1.0);
    assert_eq!(value("slipway_writer_queue_units"), 0.0);
    if !on_postgres() {
        assert!(value("slipway_writer_group_units_count") >= 4.0);
        assert!(value("slipway_writer_commit_seconds_sum") > 0.0);
    }
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_start_time_seconds") > 1.7e9);
    assert!(seen.contains_key("process_cpu_seconds_total"));
    assert_eq!(value(&format!("slipway_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
}

#[test]
fn refused_requests_are_counted_by_what_refused_them() {
    let watched = Watched::start(&[("SLIPWAY_RATE_LIMIT", "8")]);
    let anonymous = watched.service.client(None);
    let wrong = json!({"username": "admin", "password": "not the password"});
    for _ in 0..5 {
        anonymous.post("/auth/login", &wrong).expect(401);
    }
    anonymous.post("/auth/login", &wrong).problem(429, "LOGIN_THROTTLED");
    until("the limit is reached", || (anonymous.get("/me").status == 429).then_some(()));
    // What watches is let through all the same.
    anonymous.get("/livez").expect(200);
    anonymous.get("/readyz").expect(200);
    let seen = watched.scrape();
    assert_eq!(seen["slipway_requests_throttled_total{by=\"login\"}"], 1.0);
    assert!(seen["slipway_requests_throttled_total{by=\"rate_limit\"}"] >= 1.0);
    assert_eq!(seen["slipway_requests_shed_total"], 0.0);
}

#[test]
fn there_are_no_more_series_whatever_paths_and_methods_are_asked_for() {
    let watched = Watched::start(&[("RUST_LOG", "warn")]);
    let anonymous = watched.service.client(None);
    let odd = |number: usize, method: &str| {
        let random = uuid::Uuid::now_v7();
        let path = match number % 5 {
            0 => format!("/api/v1/{random}"),
            1 => format!("/api/v1/releases/{random}"),
            2 => format!("/api/v1/releases/{random}/transitions?x={random}"),
            3 => format!("/docs/{random}"),
            _ => format!("/api/v1/releases/{random}/{random}"),
        };
        let request = anonymous.http.request(method.parse().unwrap(), format!("{}{path}", anonymous.base));
        assert!(request.send().unwrap().status().is_client_error());
    };
    let round = |count: usize| {
        for number in 0..count {
            odd(number, ["GET", "POST", "DELETE", "OPTIONS"][number / 5 % 4]);
            if number % 10 < 5 {
                odd(number, &format!("X{}", uuid::Uuid::now_v7().simple()));
            }
        }
    };
    round(40);
    let before: BTreeSet<String> = watched.scrape().into_keys().collect();
    round(2000);
    let after: BTreeSet<String> = watched.scrape().into_keys().collect();
    let more: Vec<_> = after.difference(&before).filter(|series| !series.contains("route=\"/metrics\"")).collect();
    assert!(more.is_empty(), "{more:#?}");
    assert!(after.iter().any(|series| series.contains("route=\"unmatched\"") && series.contains("method=\"other\"")));
}

#[test]
fn metrics_are_for_their_own_address_or_for_this_machine_alone() {
    let on_loopback = App::start();
    let anonymous = on_loopback.anonymous();
    let shown = anonymous.get("/metrics").expect(200);
    assert!(shown.text.contains("# TYPE slipway_http_request_duration_seconds histogram"), "{}", shown.text);
    for header in [
        "X-Forwarded-For",
        "Forwarded",
        "Via",
        "X-Real-IP",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
    ] {
        Answer::of(anonymous.request("GET", "/metrics").header(header, "203.0.113.9")).problem(404, "NOT_FOUND");
    }
    let elsewhere = App::start_with(|config| config.listen = "0.0.0.0:1".parse().unwrap());
    elsewhere.anonymous().get("/metrics").problem(404, "NOT_FOUND");
    let apart = Watched::start(&[]);
    apart.service.client(None).get("/metrics").problem(404, "NOT_FOUND");
    let base = apart.metrics.trim_end_matches("/metrics").to_owned();
    let metrics = Client { base, ..apart.service.client(None) };
    metrics.get("/metrics").expect(200);
    for path in ["/me", "/docs/", "/livez", "/api/v1/openapi.json"] {
        metrics.get(path).problem(404, "NOT_FOUND");
    }
}

#[test]
fn a_request_is_one_line_with_fields() {
    let watched = Watched::start(&[("SLIPWAY_TRUSTED_PROXIES", "127.0.0.1")]);
    let admin = watched.service.session("admin", ADMIN_PASSWORD);
    let me = admin.get("/me").expect(200);
    let request = admin.request("GET", "/releases/REL-1?limit=1").header("X-Request-Id", "line-1");
    let request = request.header("X-Forwarded-For", "198.51.100.7, 203.0.113.9");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    Answer::of(request.header("traceparent", parent)).expect(400);
    let line = watched.line("line-1");
    let expected = json!({
        "level": "info",
        "message": "request",
        "method": "GET",
        "route": "/api/v1/releases/{release}",
        "path": "/api/v1/releases/REL-1",
        "status": 400,
        "code": "MALFORMED_REQUEST",
        "actor": me.body["id"],
        "peer": "203.0.113.9",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
    assert!(line["via"].as_str().unwrap().starts_with("session:"), "{line}");
    assert!(line["duration_us"].as_u64().unwrap() > 0 && line["bytes"].as_u64().unwrap() > 0, "{line}");
    assert!(line["span_id"] != "00f067aa0ba902b7" && line["span_id"].as_str().unwrap().len() == 16, "{line}");
    assert!(chrono::DateTime::parse_from_rfc3339(line["at"].as_str().unwrap()).is_ok(), "{line}");
    // A personal token is told by its identifier; a stranger not at all.
    let token = admin.post("/tokens", &json!({"name": "script", "scopes": ["read"]})).expect(201);
    let script = watched.service.client(token.body["token"].as_str());
    Answer::of(script.request("GET", "/me").header("X-Request-Id", "line-2")).expect(200);
    assert_eq!(watched.line("line-2")["via"], format!("token:{}", token.id()));
    let stranger = watched.service.client(Some("made up"));
    Answer::of(stranger.request("GET", "/me").header("X-Request-Id", "line-3")).expect(401);
    let line = watched.line("line-3");
    assert!(line["actor"].is_null() && line["code"] == "UNAUTHENTICATED", "{line}");
    // What the framework refuses by itself has its line as well.
    for (id, method, path, status) in [
        ("line-4", "GET", "/api/v1/nothing", 404),
        ("line-5", "TRACE", "/api/v1/me", 405),
        ("line-6", "GET", "/x/y", 404),
    ] {
        let request = stranger.http.request(method.parse().unwrap(), format!("{}{path}", stranger.base));
        Answer::of(request.header("X-Request-Id", id)).expect(status);
        assert_eq!(watched.line(id)["status"], status);
    }
}

#[test]
fn the_log_is_one_parsable_line_for_each_event_whatever_comes() {
    let watched = Watched::start(&[("RUST_LOG", "trace")]);
    let address = watched.service.address.clone();
    let heads: &[&[u8]] = &[
        b"GET /api/v1/\x1b[31mred HTTP/1.1\r\n",
        b"GET /api/v1/%0d%0a%1b[2J%00%ff%fe HTTP/1.1\r\n",
        b"GET /api/v1/\"}{\"level\":\"error\"} HTTP/1.1\r\n",
        b"GET /api/v1/\xff\xfe\x80 HTTP/1.1\r\n",
        b"GET /api/v1/\xe2\x80\xae\xe2\x80\xa8 HTTP/1.1\r\n",
        b"G\x00T / HTTP/1.1\r\n",
        b"G'{}$!T /api/v1/me HTTP/1.1\r\n",
        b"GET /api/v1/me?\xff\x1b=\r HTTP/1.1\r\n",
        b"\xff\xff\xff\xff\r\n",
        b"GET http://[::1/ HTTP/1.1\r\n",
        b"GET /api/v1/me HTTP/9.9\r\n",
    ];
    let fields: &[&[u8]] = &[
        b"X-Request-Id: a\x1b[31mb\r\n",
        b"X-Request-Id: \xff\xfe\r\n",
        b"User-Agent: \"\\\x80\xe2\x80\xa8\r\n",
        b"traceparent: 00-\xff\r\n",
        b"X-Forwarded-For: \x1b[2J, \"\r\n",
        b"Authorization: Bearer \x80\"\r\n",
        b": nothing\r\n",
    ];
    let mut sent = 0;
    for head in heads {
        for field in fields {
            let request = [head, b"Host: x\r\nConnection: close\r\n".as_slice(), field, b"\r\n"].concat();
            let answer = send_raw(&address, &request);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
            sent += 1;
        }
    }
    let long = "x".repeat(20_000);
    watched.service.client(None).get(&format!("/releases/{long}")).expect(401);
    Answer::of(watched.service.client(None).request("GET", "/me").header("X-Request-Id", "last")).expect(401);
    watched.line("last");
    let lines = watched.lines();
    assert!(lines.iter().filter(|line| line["target"] == "slipway::request").count() > 8, "of {sent} requests");
    for line in &lines {
        for field in ["at", "level", "target", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
}

#[test]
fn no_secret_is_ever_logged() {
    let watched = Watched::start(&[("RUST_LOG", "trace")]);
    let anonymous = watched.service.client(None);
    let admin = watched.service.session("admin", ADMIN_PASSWORD);
    let mut secrets = vec![ADMIN_PASSWORD.to_owned(), admin.token.clone().unwrap()];
    // What is right.
    let login = anonymous.post("/auth/login", &json!({"username": "admin", "password": ADMIN_PASSWORD})).expect(200);
    let refresh = login.body["refresh_token"].as_str().unwrap().to_owned();
    let again = anonymous.post("/auth/refresh", &json!({"refresh_token": refresh})).expect(200);
    anonymous.post("/auth/refresh", &json!({"refresh_token": refresh})).expect(401);
    let token = admin.post("/tokens", &json!({"name": "script", "scopes": ["read"]})).expect(201);
    let personal = token.body["token"].as_str().unwrap().to_owned();
    watched.service.client(Some(&personal)).get("/me").expect(200);
    for body in [&login.body, &again.body] {
        secrets.extend(["access_token", "refresh_token"].map(|name| body[name].as_str().unwrap().to_owned()));
    }
    // What is wrong, misplaced or malformed.
    let sentinel = |name: &str| format!("SENTINEL-{name}-7f3a");
    anonymous.post("/auth/login", &json!({"username": "admin", "password": sentinel("password")})).expect(401);
    anonymous.post("/auth/login", &json!({"username": "admin", "pasword": sentinel("field")}));
    anonymous.post("/auth/refresh", &json!({"refresh_token": sentinel("refresh")}));
    anonymous.get(&format!("/releases?q={}&token={}", sentinel("query"), sentinel("token")));
    watched.service.client(Some(&sentinel("bearer"))).get("/me").expect(401);
    watched.service.client(Some(&format!("slp_{}", sentinel("personal")))).get("/me").expect(401);
    Answer::of(anonymous.request("GET", "/me").header("Authorization", format!("Basic {}", sentinel("basic"))))
        .expect(401);
    Answer::of(anonymous.request("GET", "/me").header("Cookie", format!("session={}", sentinel("cookie")))).expect(401);
    anonymous.get(&format!("/tokens/{personal}"));
    admin.get(&format!("/releases/{personal}"));
    admin.post("/tokens", &json!({"name": sentinel("bad"), "scopes": [sentinel("scope")]}));
    send_raw(
        &watched.service.address,
        format!("GET /api/v1/me HTTP/1.1\r\nAuthorization: Bearer {}\r\nbad header\r\n\r\n", sentinel("broken"))
            .as_bytes(),
    );
    send_raw(
        &watched.service.address,
        format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{{\"username\": \"admin\", \"password\": \"{}\"}}", sentinel("cut")).as_bytes(),
    );
    Answer::of(anonymous.request("GET", "/me").header("X-Request-Id", "last")).expect(401);
    watched.line("last");
    let log = std::fs::read_to_string(&watched.log).unwrap();
    secrets.extend([refresh, personal.clone(), personal["slp_".len()..].to_owned()]);
    // Neither whole nor the part that proves: the signature of a token is behind its last dot.
    let parts: Vec<String> = secrets.iter().filter_map(|secret| Some(secret.rsplit_once('.')?.1.to_owned())).collect();
    for secret in secrets.iter().chain(&parts) {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
    }
    let told = log.lines().find(|line| line.contains("SENTINEL"));
    assert!(told.is_none(), "{told:?}");
    drop(watched.installation);
}

#[test]
fn a_valid_trace_goes_on_and_another_is_not_there() {
    let app = App::start();
    let anonymous = app.anonymous();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = Answer::of(anonymous.request("GET", "/me").header("traceparent", parent)).expect(401);
    let response = answer.header("traceresponse");
    assert!(response.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && response.ends_with("-01"), "{response}");
    assert!(!response.contains("00f067aa0ba902b7") && response.len() == parent.len(), "{response}");
    let again = Answer::of(anonymous.request("GET", "/me").header("traceparent", parent));
    assert_ne!(again.header("traceresponse"), response, "every request is a span of its own");
    let without = anonymous.get("/me");
    assert_eq!(without.header("traceresponse"), "");
    for bad in ["garbage", &parent.to_uppercase(), &parent.replace("4bf9", "0000x"), &parent[..54]] {
        let answer = Answer::of(anonymous.request("GET", "/me").header("traceparent", bad)).expect(401);
        assert_eq!(answer.header("traceresponse"), "", "{bad}");
    }
    let two = anonymous.request("GET", "/me").header("traceparent", parent).header("traceparent", parent);
    assert_eq!(Answer::of(two).header("traceresponse"), "");
}
