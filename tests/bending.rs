//! What clients and load can do to the service: it bends, and serves the others.

use std::io::{ErrorKind, Write as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use slipway::repository::Error;

use crate::raw::{PATIENCE, Raw, eventually};
use crate::support::*;

/// A deadline that a test waits out.
const SHORT_MS: u64 = 300;

fn probe(app: &App, path: &str) -> u16 {
    reqwest::blocking::get(format!("http://{}{path}", app.address)).unwrap().status().as_u16()
}

/// Keeps every writer waiting until the value is dropped.
struct HeldWrites {
    _open: mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl HeldWrites {
    fn hold(app: &App) -> Self {
        let (database, (open, gate), (entered, has_entered)) =
            (app.env.database.clone(), mpsc::channel(), mpsc::channel());
        let gate = std::sync::Mutex::new(gate);
        let thread = std::thread::spawn(move || {
            let held = database.write_blocking(move |connection| -> Result<(), Error> {
                if on_postgres() {
                    let lock = "SET LOCAL idle_in_transaction_session_timeout = 0; \
                                LOCK TABLE releases IN ACCESS EXCLUSIVE MODE";
                    execute(connection, lock)?;
                }
                let _ = entered.send(());
                let _ = gate.lock().unwrap().recv();
                Ok(())
            });
            held.unwrap();
        });
        has_entered.recv().unwrap();
        Self { _open: open, thread: Some(thread) }
    }

    fn release(mut self) {
        let thread = self.thread.take();
        drop(self);
        thread.unwrap().join().unwrap();
    }
}

#[test]
fn what_does_not_fit_is_refused_at_once_while_probes_are_answered_and_all_is_well_after_it() {
    let app = App::start_with(|config| config.max_in_flight = 3);
    let manager = app.client(Role::Manager);
    let held = HeldWrites::hold(&app);
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let manager = manager.clone();
            // Who looks whether all places are taken may take the last one.
            std::thread::spawn(move || {
                eventually("a place is free", || match manager.post("/releases", &new_release()) {
                    refused if refused.status == 503 => false,
                    answer => answer.expect(201).status == 201,
                });
            })
        })
        .collect();
    let me = || manager.get("/me");
    eventually("the service is full", || me().status == 503);
    for _ in 0..20 {
        let refused = me().problem(503, "OVERLOADED");
        assert_eq!(refused.header("retry-after"), "1");
        // With a body as well, and the connection stays.
        let refused = manager.post("/releases", &new_release()).problem(503, "OVERLOADED");
        assert_ne!(refused.header("connection"), "close");
        assert_eq!((probe(&app, "/livez"), probe(&app, "/readyz")), (200, 200));
    }
    held.release();
    for writer in writers {
        writer.join().unwrap();
    }
    me().expect(200);
    app.assert_sound();
}

#[test]
fn a_caller_that_goes_away_makes_no_room_before_its_work_is_over() {
    let app = App::start_with(|config| config.max_in_flight = 2);
    let manager = app.client(Role::Manager);
    let held = HeldWrites::hold(&app);
    let body = new_release().to_string();
    let token = manager.token.clone().unwrap();
    let mut gone = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(&app.address);
        raw.send(format!(
            "POST /api/v1/releases HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        gone.push(raw);
    }
    // An answer to a later request: by then both have been taken up.
    assert_eq!(probe(&app, "/livez"), 200);
    eventually("the service is full", || manager.get("/me").status == 503);
    drop(gone);
    for _ in 0..20 {
        manager.get("/me").problem(503, "OVERLOADED");
    }
    held.release();
    eventually("there is room again", || manager.get("/me").status == 200);
}

#[test]
fn who_sends_slowly_holds_no_place() {
    let app = App::start_with(|config| config.max_in_flight = 1);
    let mut slow: Vec<Raw> = (0..20).map(|_| Raw::connect(&app.address)).collect();
    for raw in &mut slow {
        raw.send(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
             content-length: 50\r\n\r\n{\"username\":",
        );
    }
    let viewer = app.client(Role::Viewer);
    for _ in 0..20 {
        viewer.get("/me").expect(200);
    }
}

#[test]
fn a_slow_head_ends_its_connection_when_it_is_fresh_and_when_it_was_used_before() {
    let app = App::start_with(|config| config.head_timeout_ms = SHORT_MS);
    let mut fresh = Raw::connect(&app.address);
    let mut used = Raw::connect(&app.address);
    used.get("/livez").expect(200);
    for raw in [&mut fresh, &mut used] {
        raw.send("GET /livez HTTP/1.1\r\nhost: te");
        let answer = raw.expect(408).problem(408, "REQUEST_TIMEOUT");
        assert!(answer.closes());
        raw.expect_closed();
    }
    // Byte by byte is no faster.
    let mut trickling = Raw::connect(&app.address);
    let began = Instant::now();
    let mut cut = false;
    for byte in b"GET /livez HTTP/1.1\r\nhost: test\r\nx-a: ".iter().chain(std::iter::repeat(&b'a')) {
        if trickling.stream.write_all(&[*byte]).is_err() {
            cut = true;
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(cut);
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    let app = App::start_with(|config| config.keep_alive_ms = SHORT_MS);
    let mut fresh = Raw::connect(&app.address);
    let mut used = Raw::connect(&app.address);
    used.get("/livez").expect(200);
    used.get("/livez").expect(200);
    fresh.expect_closed();
    used.expect_closed();
}

#[test]
fn a_slow_body_is_answered_with_408_and_its_connection_ends() {
    let app = App::start_with(|config| {
        config.body_timeout_ms = SHORT_MS;
        config.head_timeout_ms = SHORT_MS;
        config.keep_alive_ms = SHORT_MS;
    });
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
    for framing in ["content-length: 50\r\n\r\n{\"user", "transfer-encoding: chunked\r\n\r\n6\r\n{\"user\r\n"] {
        for used_before in [false, true] {
            let mut raw = Raw::connect(&app.address);
            if used_before {
                raw.get("/livez").expect(200);
            }
            raw.send(head).send(framing);
            let answer = raw.expect(408).problem(408, "REQUEST_TIMEOUT");
            assert!(answer.closes(), "{answer:?}");
            raw.expect_closed();
        }
    }
    // What is wrong with a body waits until the caller is known: 401 comes before 408.
    let mut raw = Raw::connect(&app.address);
    raw.send(
        "POST /api/v1/releases HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    );
    raw.expect(401).problem(401, "UNAUTHENTICATED");
}

#[test]
fn who_does_not_read_the_answers_loses_the_connection() {
    let app = App::start_with(|config| config.write_timeout_ms = SHORT_MS);
    let raw = Raw::connect(&app.address);
    raw.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let request = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: test\r\n\r\n";
    let until = Instant::now() + PATIENCE;
    loop {
        match (&raw.stream).write(request.as_bytes()) {
            Ok(_) => {}
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(error) => {
                assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()), "{error}");
                break;
            }
        }
        assert!(Instant::now() < until, "the connection is still there");
    }
    assert_eq!(probe(&app, "/livez"), 200);
}

#[test]
fn a_slow_reader_that_goes_on_reading_gets_everything() {
    let app = App::start_with(|config| config.write_timeout_ms = 5_000);
    let mut raw = Raw::connect(&app.address);
    for _ in 0..20 {
        raw.get("/api/v1/openapi.json");
    }
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(30));
        assert!(raw.expect(200).body["openapi"].is_string());
    }
}

#[test]
fn five_hundred_stalled_connections_keep_nobody_else_from_being_served() {
    rlimit::increase_nofile_limit(8192).unwrap();
    let app = App::start();
    let mut stalled: Vec<Raw> = (0..500).map(|_| Raw::connect(&app.address)).collect();
    for (index, raw) in stalled.iter_mut().enumerate() {
        match index % 3 {
            0 => raw.send("GET /livez HTTP/1.1\r\nhost"),
            1 => raw.send("POST /api/v1/auth/login HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n{"),
            _ => raw,
        };
    }
    let viewer = app.client(Role::Viewer);
    for _ in 0..50 {
        viewer.get("/me").expect(200);
    }
}

#[test]
fn beyond_the_wanted_connections_only_probes_are_answered() {
    let app = App::start_with(|config| config.max_connections = 3);
    let mut wanted: Vec<Raw> = (0..3).map(|_| Raw::connect(&app.address)).collect();
    for raw in &mut wanted {
        raw.get("/livez").expect(200);
    }
    let mut surplus = Raw::connect(&app.address);
    let answer = surplus.get("/api/v1/openapi.json").expect(503).problem(503, "OVERLOADED");
    assert!(answer.closes() && answer.head.contains("retry-after: 1"), "{answer:?}");
    surplus.expect_closed();
    Raw::connect(&app.address).get("/livez").expect(200);
    wanted[0].get("/api/v1/openapi.json").expect(200);
    drop(wanted);
    eventually("there is room again", || {
        Raw::connect(&app.address).get("/api/v1/openapi.json").answer().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn what_is_no_http_is_answered_with_a_problem_document() {
    let app = App::start();
    let large = format!("GET /livez HTTP/1.1\r\nhost: test\r\nx-large: {}", "a".repeat(300_000));
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(300_000));
    let target = format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "a".repeat(70_000));
    let query = format!("\r\nGET /livez?{} HTTP/1.1\r\nhost: test\r\n\r\n", "a".repeat(65_600));
    let both = "POST /api/v1/auth/login HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n";
    let cases: [(&str, u16, &str); 11] = [
        ("NONSENSE\r\n\r\n", 400, "MALFORMED_REQUEST"),
        ("GET /livez HTTP/9.9\r\n\r\n", 400, "MALFORMED_REQUEST"),
        ("GET /livez HTTP/1.1\r\n\r\n", 400, "MALFORMED_REQUEST"),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400, "MALFORMED_REQUEST"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n", 400, "MALFORMED_REQUEST"),
        ("POST /livez HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n", 400, "MALFORMED_REQUEST"),
        (both, 400, "MALFORMED_REQUEST"),
        (&large, 431, "HEAD_TOO_LARGE"),
        (&long, 431, "HEAD_TOO_LARGE"),
        (&target, 414, "URI_TOO_LONG"),
        (&query, 414, "URI_TOO_LONG"),
    ];
    for (request, status, code) in cases {
        for used_before in [false, true] {
            let mut raw = Raw::connect(&app.address);
            if used_before {
                raw.get("/livez").expect(200);
            }
            // The server may close before it has read all.
            let _ = raw.stream.write_all(request.as_bytes());
            let answer = raw.answer().unwrap_or_else(|| panic!("no answer to {:.40}", request));
            assert!(answer.problem(status, code).closes());
            raw.expect_closed();
        }
    }
    app.client(Role::Viewer).get("/me").expect(200);
}

#[test]
fn nothing_behind_the_last_request_of_a_connection_is_acted_upon() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let token = admin.token.clone().unwrap();
    let post = |version: &str, more: &str| {
        let body = new_release().to_string();
        format!(
            "POST /api/v1/releases {version}\r\nhost: test\r\nauthorization: Bearer {token}\r\n{more}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let close = "connection: close\r\n";
    let next = post("HTTP/1.1", "");
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: test\r\n{more}\r\n");
    let chunked = format!(
        "POST /api/v1/releases HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n{close}\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    );
    let cases: Vec<(&str, String, Vec<u16>, usize)> = vec![
        ("a write", post("HTTP/1.1", close), vec![201], 1),
        ("a write in HTTP/1.0", post("HTTP/1.0", ""), vec![201], 1),
        ("a write in small letters", post("HTTP/1.1", "Connection: keep-alive, CLOSE\r\n"), vec![201], 1),
        ("a refused write in chunks", chunked, vec![422], 0),
        ("an answer at once", get("/livez", close), vec![200], 0),
        ("nothing there", get("/nothing", close), vec![404], 0),
        ("a read", get("/api/v1/lifecycle", close), vec![401], 0),
        ("behind others", get("/livez", "") + &next + &post("HTTP/1.1", close), vec![200, 201, 201], 2),
    ];
    let stored = || admin.get("/releases?count=exact").expect(200).body["page"]["total"].as_u64().unwrap() as usize;
    for (what, request, statuses, writes) in cases {
        for behind in [next.repeat(3), "garbage\r\n\r\n".into(), format!("\r\n\r\n{next}"), "{}".into()] {
            let before = stored();
            let mut raw = Raw::connect(&app.address);
            raw.send(request.clone() + &behind);
            let mut last = None;
            for status in &statuses {
                last = Some(raw.expect(*status));
            }
            // HTTP/1.0 closes without saying so.
            assert!(last.unwrap().closes() || request.contains("HTTP/1.0"), "{what}");
            raw.expect_closed();
            assert_eq!(stored() - before, writes, "{what}, behind it {behind:.20}");
        }
    }
    // What comes apart, later, is not read either.
    let mut raw = Raw::connect(&app.address);
    raw.send(post("HTTP/1.1", close)).expect(201);
    let before = stored();
    let _ = raw.stream.write_all(next.as_bytes());
    raw.expect_closed();
    assert_eq!(stored(), before);
    app.assert_sound();
}

#[test]
fn bodies_keep_within_their_limits_however_they_are_framed() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    let token = admin.token.clone().unwrap();
    let head = format!(
        "POST /api/v1/releases HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    );
    // Declared too large: refused without reading.
    let mut raw = Raw::connect(&app.address);
    raw.send(format!("{head}content-length: 1048577\r\n\r\n")).expect(413).problem(413, "PAYLOAD_TOO_LARGE");
    // Grown too large, in chunks.
    let mut raw = Raw::connect(&app.address);
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n"));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        let _ = raw.stream.write_all(chunk.as_bytes());
    }
    raw.expect(413).problem(413, "PAYLOAD_TOO_LARGE");
    // A body in chunks that fits is taken.
    let body = new_release().to_string();
    let mut raw = Raw::connect(&app.address);
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).expect(201);
    // A chunk that is none: where the body ends cannot be known, so the connection does.
    let mut raw = Raw::connect(&app.address);
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n{body}\r\n"));
    if let Some(answer) = raw.answer() {
        answer.problem(400, "MALFORMED_REQUEST");
    }
    raw.expect_closed();
    // Shorter than declared, and over.
    let mut raw = Raw::connect(&app.address);
    raw.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len() + 10));
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    if let Some(answer) = raw.answer() {
        answer.problem(400, "MALFORMED_REQUEST");
    }
    // Longer than declared: what follows is no request.
    let mut raw = Raw::connect(&app.address);
    raw.send(format!("{head}content-length: {}\r\n\r\n{body}garbage\r\n\r\n", body.len())).expect(201);
    // Nothing is unpacked, so nothing can burst.
    for encoding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x"] {
        let request = admin.request("POST", "/releases").header("content-encoding", encoding);
        let packed = vec![0x1f_u8, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
        let answer = Answer::of(request.header("content-type", "application/json").body(packed));
        answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let deep = format!("{{\"title\": {}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let request = admin.request("POST", "/releases").header("content-type", "application/json").body(deep);
    Answer::of(request).problem(400, "MALFORMED_REQUEST").faults(&[("", "TOO_DEEP")]);
    let long = json!({"title": "x".repeat(1_000_000), "requester": {"name": "A", "email": "a@example.org"}});
    admin.post("/releases", &long).problem(422, "INVALID_VALUES");
    app.assert_sound();
}

/// Holds every pooled connection until the answered sender is dropped. As requests do, or past them.
fn hold_connections(app: &App, as_requests: bool) -> mpsc::Sender<()> {
    let (open, gate) = mpsc::channel::<()>();
    let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
    let (entered, has_entered) = mpsc::channel();
    for _ in 0..4 {
        let (database, gate, entered) = (app.env.database.clone(), gate.clone(), entered.clone());
        let work = move |_: &mut slipway::repository::AnyConnection| -> Result<(), Error> {
            let _ = entered.send(());
            let _ = gate.lock().unwrap().recv();
            Ok(())
        };
        std::thread::spawn(move || {
            if as_requests {
                actix_web::rt::System::new().block_on(database.read(work)).unwrap();
            } else {
                database.read_blocking(work).unwrap();
            }
        });
    }
    for _ in 0..4 {
        has_entered.recv().unwrap();
    }
    open
}

#[test]
fn nobody_waits_long_for_a_connection_of_the_database() {
    let app = App::start();
    let viewer = app.client(Role::Viewer);
    viewer.get("/me").expect(200);
    for as_requests in [true, false] {
        let open = hold_connections(&app, as_requests);
        let began = Instant::now();
        let waiting: Vec<_> = (0..12)
            .map(|_| {
                let viewer = viewer.clone();
                std::thread::spawn(move || viewer.get("/me").problem(503, "BUSY"))
            })
            .collect();
        for refused in waiting {
            assert_eq!(refused.join().unwrap().header("retry-after"), "1");
        }
        // Half a second each, at the same time and not one after the other.
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(probe(&app, "/livez"), 200);
        drop(open);
        eventually("connections are free again", || viewer.get("/me").status == 200);
    }
}
