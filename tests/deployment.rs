//! What runs the service elsewhere: its health as seen from outside, secrets in files, image, compose file and unit.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use slipway::config::{IN_FILES, SETTINGS};

use crate::binary::*;

/// Answers one request with these bytes, and tells the request.
fn answering(listener: TcpListener, answer: &'static [u8]) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(answer).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    })
}

fn health(listen: &str, more: &[&str]) -> Command {
    let folder = Folder::new();
    let mut command = binary(folder.path(), &[&["health"], more].concat());
    command.current_dir("/").env("SLIPWAY_LISTEN", listen);
    command
}

#[test]
fn health_is_0_where_the_service_is_ready_and_1_where_it_is_not() {
    for (arguments, path) in [(&[][..], "/readyz"), (&["--live"][..], "/livez")] {
        for (answer, code) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], 0),
            (&b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"[..], 1),
            (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], 1),
            (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], 1),
            (&b""[..], 1),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            // A service that listens everywhere is asked on loopback.
            let listen = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
            let asked = answering(listener, answer);
            let run = finish(health(&listen, arguments), "").expect(code);
            assert!(asked.join().unwrap().starts_with(&format!("GET {path} HTTP/1.1\r\n")));
            assert_eq!(run.stderr.is_empty(), code == 0, "{run:?}");
        }
    }
}

#[test]
fn health_is_1_where_nothing_listens_or_nothing_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    // Connected by the kernel, and never accepted.
    finish(health(&listen, &[]), "").failure(1);
    drop(listener);
    finish(health(&listen, &[]), "").failure(1);
}

#[test]
fn a_secret_may_be_the_content_of_a_file() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let url = file("url", "postgres://joe:hunter2@db.example.org/slipway\n");
    let password = file("password", "correct horse battery staple\r\n");
    let print = || {
        let mut command = binary(folder.path(), &["config", "print"]);
        command.env_remove("DATABASE_URL").env("DATABASE_URL_FILE", &url);
        command.env_remove("SLIPWAY_ADMIN_PASSWORD").env("SLIPWAY_ADMIN_PASSWORD_FILE", &password);
        command
    };
    let printed = finish(print(), "").expect(0).stdout;
    assert!(printed.contains("db.example.org/slipway") && printed.contains("(set)"), "{printed}");
    assert!(!printed.contains("hunter2") && !printed.contains("horse"), "{printed}");

    let mut twice = print();
    twice.env("SLIPWAY_ADMIN_PASSWORD", "another one altogether");
    assert!(finish(twice, "").failure(3).contains("both"));
    let mut nowhere = print();
    nowhere.env("DATABASE_URL_FILE", folder.path().join("nowhere"));
    assert!(finish(nowhere, "").failure(3).contains("DATABASE_URL_FILE"));
}

#[test]
fn image_compose_file_and_unit_name_only_settings_that_there_are() {
    let known = |name: &str| {
        let plain = name.strip_suffix("_FILE").filter(|plain| IN_FILES.contains(plain)).unwrap_or(name);
        SETTINGS.iter().any(|setting| setting.variable == plain)
    };
    let mut named = 0;
    for file in ["Dockerfile", "deploy/compose.yaml", "deploy/slipway.service"] {
        let text = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for word in words.filter(|word| word.starts_with("SLIPWAY_") || word.starts_with("DATABASE_URL")) {
            assert!(known(word), "{file} names {word}");
            named += 1;
        }
    }
    assert!(named >= 5, "{named}");
}
