//! The end of a process, with clients of every kind at the other end.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::binary::*;
use crate::raw::{Raw, eventually};

/// What must have ended by then has been forgotten.
const LATE: Duration = Duration::from_secs(20);

fn serve(installation: &Installation, drain_seconds: u64, grace_seconds: u64) -> Service {
    let mut command = installation.command(&["serve"]);
    command
        .env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD)
        .env("SLIPWAY_DRAIN_SECONDS", drain_seconds.to_string())
        .env("SLIPWAY_SHUTDOWN_GRACE_SECONDS", grace_seconds.to_string());
    Service::start(command)
}

fn refuses(service: &Service) -> bool {
    TcpStream::connect(&service.address).is_err()
}

/// How many requests the service is answering.
fn in_flight(service: &Service) -> usize {
    let metrics = reqwest::blocking::get(format!("http://{}/metrics", service.address)).unwrap().text().unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix("slipway_http_requests_in_flight "));
    value.and_then(|value| value.parse().ok()).unwrap()
}

const LOGIN_HEAD: &str = "POST /api/v1/auth/login HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n";

#[test]
fn told_to_end_it_turns_readiness_red_serves_on_and_then_ends_well() {
    for signal in ["TERM", "INT"] {
        let installation = Installation::new();
        let mut service = serve(&installation, 2, 10);
        let mut kept = Raw::connect(&service.address);
        assert!(!kept.get("/readyz").expect(200).closes());
        service.signal(signal);
        eventually("readiness is red", || {
            Raw::connect(&service.address).get("/readyz").answer().is_some_and(|answer| answer.status == 503)
        });
        // Still serving, old connections and new ones; each is told to go elsewhere with its next request.
        assert!(kept.get("/api/v1/openapi.json").expect(200).closes());
        kept.expect_closed();
        let mut fresh = Raw::connect(&service.address);
        assert!(fresh.get("/livez").expect(200).closes());
        eventually("nobody is let in any more", || refuses(&service));
        assert_eq!(service.ended(LATE), Some(0), "{signal}");
    }
}

#[test]
fn what_is_in_flight_is_finished() {
    let installation = Installation::new();
    let mut service = serve(&installation, 0, 20);
    let body = format!("{{\"username\":\"admin\",\"password\":\"{ADMIN_PASSWORD}\"}}");
    let (first, rest) = body.split_at(10);
    let mut uploading = Raw::connect(&service.address);
    uploading.send(format!("{LOGIN_HEAD}content-length: {}\r\n\r\n{first}", body.len()));
    // Beside the request that asks.
    eventually("the half request is in flight", || in_flight(&service) == 2);
    service.signal("TERM");
    eventually("nobody is let in any more", || refuses(&service));
    uploading.send(rest);
    let answer = uploading.expect(200);
    assert!(answer.body["access_token"].is_string() && answer.closes());
    uploading.expect_closed();
    assert_eq!(service.ended(LATE), Some(0));
}

#[test]
fn clients_that_stall_do_not_keep_it_from_ending() {
    let installation = Installation::new();
    let mut service = serve(&installation, 0, 1);
    let mut stalled: Vec<Raw> = (0..40).map(|_| Raw::connect(&service.address)).collect();
    for (index, raw) in stalled.iter_mut().enumerate() {
        match index % 5 {
            0 => {}
            1 => {
                raw.get("/livez").expect(200);
            }
            2 => {
                raw.send("GET /livez HTTP/1.1\r\nhost");
            }
            3 => {
                raw.send(LOGIN_HEAD).send("content-length: 50\r\n\r\n{");
            }
            _ => {
                // Asks for much, and reads nothing of it.
                raw.stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                for _ in 0..500 {
                    let request = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: test\r\n\r\n";
                    if (&raw.stream).write_all(request.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        }
    }
    service.signal("TERM");
    assert_eq!(service.ended(Duration::from_secs(10)), Some(0));
}

#[test]
fn idle_connections_do_not_make_it_wait() {
    let installation = Installation::new();
    let mut service = serve(&installation, 0, 600);
    let mut idle: Vec<Raw> = (0..10).map(|_| Raw::connect(&service.address)).collect();
    for raw in &mut idle {
        raw.get("/livez").expect(200);
    }
    let mut half = Raw::connect(&service.address);
    half.send("GET /livez HTTP/1.1\r\nhost");
    service.signal("TERM");
    assert_eq!(service.ended(LATE), Some(0));
}

#[test]
fn told_twice_it_ends_at_once() {
    let installation = Installation::new();
    let mut service = serve(&installation, 600, 600);
    let mut uploading = Raw::connect(&service.address);
    uploading.send(LOGIN_HEAD).send("content-length: 50\r\n\r\n{");
    // Who serves listens to signals.
    Raw::connect(&service.address).get("/livez").expect(200);
    service.signal("TERM");
    eventually("readiness is red", || Raw::connect(&service.address).get("/readyz").expect_any() == 503);
    service.signal("TERM");
    assert_eq!(service.ended(LATE), Some(0));
}

#[test]
fn a_write_that_hangs_in_the_database_does_not_keep_it_from_ending() {
    let installation = Installation::new();
    let mut command = installation.command(&["serve"]);
    command
        .env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD)
        .env("SLIPWAY_LOCK_TIMEOUT_MS", "600000")
        .env("SLIPWAY_STATEMENT_TIMEOUT_MS", "600000")
        .env("SLIPWAY_SHUTDOWN_GRACE_SECONDS", "1");
    let mut service = Service::start(command);
    let admin = service.session("admin", ADMIN_PASSWORD);
    let mut connection = installation.database.open().connect().unwrap();
    let lock = if crate::support::on_postgres() { "BEGIN; LOCK TABLE releases" } else { "BEGIN IMMEDIATE" };
    crate::support::execute(&mut connection, lock).unwrap();
    let (token, body) = (admin.token.unwrap(), crate::support::new_release().to_string());
    let mut hanging = Raw::connect(&service.address);
    hanging.send(format!(
        "POST /api/v1/releases HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ));
    Raw::connect(&service.address).get("/livez").expect(200);
    service.signal("TERM");
    assert_eq!(service.ended(LATE), Some(0));
}
