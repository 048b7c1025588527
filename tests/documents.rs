//! Documents of a release: what is taken and what is not, what comes back, and what stays of a deleted one.

use std::io::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway::api::upload::ENVELOPE_BYTES_MAX;
use slipway::domain::documents::DOCUMENTS_MAX;
use slipway::domain::gates::Gate;
use slipway::domain::values::{StageKind, WorkflowId};
use slipway::domain::workflow::BUILT_IN;

use crate::raw::*;
use crate::support::*;

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn documents(release: &Value) -> String {
    format!("/releases/{}/documents", release["id"].as_str().unwrap())
}

/// Content without a pattern that a store could get wrong unnoticed.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ (index / 65_537) as u8).collect()
}

/// The content of a document, with more headers.
fn download(client: &Client, path: &str, headers: &[(&str, &str)]) -> reqwest::blocking::Response {
    let mut request = client.request("GET", path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().unwrap()
}

/// Files below the folder of the store, but for the one that says whose it is.
fn stored_files(app: &App) -> Vec<String> {
    let mut found = Vec::new();
    for shard in std::fs::read_dir(documents_of(&app.database.target)).into_iter().flatten() {
        for file in std::fs::read_dir(shard.unwrap().path()).into_iter().flatten() {
            found.push(file.unwrap().file_name().into_string().unwrap());
        }
    }
    found
}

#[test]
fn a_document_comes_back_as_it_was_sent_whole_and_in_parts() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = documents(&app.release().make());
    // Larger than a part of the store, and no multiple of it.
    let sent = content(3 * 1024 * 1024 + 17);
    let parts = [("class", "package"), ("description", "The new version"), ("version", "4.2.0")];
    let made = lead.send_form(&path, form(&parts, Some(("Übergabe (2).zip", "application/zip", &sent)))).expect(201);
    let document = &made.body;
    assert_eq!(
        (&document["name"], &document["class"], &document["media_type"], &document["version"]),
        (&json!("Übergabe (2).zip"), &json!("package"), &json!("application/zip"), &json!("4.2.0"))
    );
    assert_eq!(document["size_bytes"], sent.len());
    assert_eq!(document["sha256"], sha256(&sent));
    assert_eq!(document["uploaded_by"], app.user_id(Role::Lead).to_string());
    assert_eq!(made.header("location"), format!("/api/v1{path}/{}", made.id()));
    let read = lead.get(&format!("{path}/{}", made.id())).expect(200);
    assert_eq!((&read.body, read.header("etag")), (document, made.header("etag")));

    let at = format!("{path}/{}/content", made.id());
    let whole = download(&lead, &at, &[]);
    assert_eq!(whole.status(), 200);
    let header = |response: &reqwest::blocking::Response, name: &str| {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let tag = format!("\"{}\"", sha256(&sent));
    assert_eq!(header(&whole, "etag"), tag);
    assert_eq!(header(&whole, "content-type"), "application/octet-stream");
    assert_eq!(header(&whole, "x-content-type-options"), "nosniff");
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    assert_eq!(header(&whole, "last-modified"), "Mon, 07 Jan 2030 10:00:00 GMT");
    assert_eq!(header(&whole, "cache-control"), "private, no-cache");
    assert_eq!(
        header(&whole, "content-disposition"),
        "attachment; filename=\"_bergabe (2).zip\"; filename*=UTF-8''%C3%9Cbergabe%20%282%29.zip"
    );
    assert!(whole.bytes().unwrap() == sent);

    let size = sent.len();
    for (range, first, last) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=1000000-2999999".to_owned(), 1_000_000, 2_999_999),
        (format!("bytes={}-", size - 5), size - 5, size - 1),
        ("bytes=-5".to_owned(), size - 5, size - 1),
        (format!("bytes=5-{}", u64::MAX), 5, size - 1),
    ] {
        let part = download(&lead, &at, &[("range", &range)]);
        assert_eq!(part.status(), 206, "{range}");
        assert_eq!(header(&part, "content-range"), format!("bytes {first}-{last}/{size}"));
        assert_eq!(header(&part, "etag"), tag);
        assert!(part.bytes().unwrap() == sent[first..=last], "{range}");
    }
    let beyond = Answer::of(lead.request("GET", &at).header("range", format!("bytes={size}-")));
    assert_eq!(beyond.problem(416, "RANGE_NOT_SATISFIABLE").header("content-range"), format!("bytes */{size}"));
    for odd in ["bytes=0-1,4-5", "lines=1-2", "bytes=x"] {
        assert_eq!(download(&lead, &at, &[("range", odd)]).status(), 200, "{odd}");
    }
    for (condition, status) in [
        (tag.as_str(), 206),
        ("\"another\"", 200),
        ("Mon, 07 Jan 2030 10:00:00 GMT", 206),
        ("Mon, 07 Jan 2030 10:00:01 GMT", 200),
    ] {
        let answer = download(&lead, &at, &[("range", "bytes=0-9"), ("if-range", condition)]);
        assert_eq!(answer.status(), status, "{condition}");
    }
    assert_eq!(download(&lead, &at, &[("if-none-match", &tag)]).status(), 304);
    assert_eq!(download(&lead, &at, &[("if-none-match", "\"another\"")]).status(), 200);
    assert_eq!(download(&lead, &at, &[("if-modified-since", "Mon, 07 Jan 2030 10:00:00 GMT")]).status(), 304);
    assert_eq!(download(&lead, &at, &[("if-modified-since", "Mon, 07 Jan 2030 09:59:59 GMT")]).status(), 200);
    app.assert_sound();
}

#[test]
fn whoever_asks_for_the_head_of_a_content_learns_what_would_come() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let documents = documents(&app.release().make());
    let made = lead.upload(&documents, &[("class", "general")], "plan.txt", b"The plan").expect(201);
    let path = format!("{documents}/{}/content", made.id());
    let whole = download(&lead, &path, &[]);
    // A range is of what is sent (RFC 9110 §14.2).
    for headers in [&[][..], &[("Range", "bytes=0-2")], &[("Range", "bytes=99-")]] {
        let request =
            headers.iter().fold(lead.request("HEAD", &path), |request, (name, value)| request.header(*name, *value));
        let head = Answer::of(request).expect(200);
        assert_eq!((head.header("content-length"), head.text.as_str()), ("8", ""));
        for name in ["etag", "content-type", "content-disposition", "last-modified", "accept-ranges", "cache-control"] {
            assert_eq!(head.header(name).as_bytes(), whole.headers()[name].as_bytes(), "{name}");
        }
    }
    let tag = whole.headers()["etag"].to_str().unwrap();
    Answer::of(lead.request("HEAD", &path).header("If-None-Match", tag)).expect(304);
    app.client(Role::Outsider).request("HEAD", &path).send().map(|answer| assert_eq!(answer.status(), 404)).unwrap();
}

#[test]
fn an_empty_document_is_a_document() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = documents(&app.release().make());
    let made = lead.upload(&path, &[("class", "general")], "empty.txt", b"").expect(201);
    // A form in a browser sends what was left open as an empty part.
    let open = [("class", "general"), ("description", ""), ("version", ""), ("sha256", "")];
    let sent = lead.upload(&path, &open, "open.txt", b"x").expect(201).body;
    assert_eq!((&sent["description"], &sent["version"]), (&Value::Null, &Value::Null));
    lead.upload(&path, &[("class", "")], "open.txt", b"x")
        .problem(422, "INVALID_VALUES")
        .faults(&[("/class", "REQUIRED")]);
    assert_eq!((&made.body["size_bytes"], &made.body["sha256"]), (&json!(0), &json!(sha256(b""))));
    let at = format!("{path}/{}/content", made.id());
    let long = "x".repeat(1001);
    for header in ["Range", "If-Range", "If-Modified-Since"] {
        let refused = Answer::of(lead.request("GET", &at).header(header, &long));
        refused.problem(400, "MALFORMED_REQUEST").faults(&[(header, "INVALID_HEADER")]);
    }
    // It has no part that could be asked for.
    for headers in [&[][..], &[("range", "bytes=0-")]] {
        let whole = download(&lead, &at, headers);
        assert_eq!((whole.status().as_u16(), whole.bytes().unwrap().len()), (200, 0));
    }
    app.assert_sound();
}

#[test]
fn everything_that_is_wrong_with_an_upload_is_told_at_once_and_nothing_is_kept() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = documents(&app.release().make());
    let good = [("class", "general")];
    let long_version = "4".repeat(51);
    lead.upload(&path, &[("class", "odd"), ("version", &long_version), ("sha256", "abc")], "../../etc/passwd", b"x")
        .problem(422, "INVALID_VALUES")
        .faults(&[
            ("/class", "NOT_ALLOWED"),
            ("/version", "TOO_LONG"),
            ("/sha256", "INVALID_FORMAT"),
            ("/file", "INVALID_VALUE"),
        ]);
    lead.send_form(&path, form(&[], None))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/class", "REQUIRED"), ("/file", "REQUIRED")]);
    let long = "a".repeat(256);
    for (name, code) in [
        ("..", "INVALID_VALUE"),
        ("a/b.txt", "INVALID_VALUE"),
        ("..\\x", "INVALID_VALUE"),
        ("", "BLANK"),
        ("  ", "BLANK"),
        ("a\tb", "INVALID_CHARACTER"),
        ("a\u{1}b", "INVALID_CHARACTER"),
        ("a\u{202E}txt.exe", "INVALID_CHARACTER"),
        (long.as_str(), "TOO_LONG"),
    ] {
        let answer = lead.upload(&path, &good, name, b"x").problem(422, "INVALID_VALUES");
        assert_eq!(
            (&answer.body["errors"][0]["pointer"], &answer.body["errors"][0]["code"]),
            (&json!("/file"), &json!(code)),
            "{name:?}"
        );
    }
    for media_type in ["text/html", "image/svg+xml", "text/javascript", "message/rfc822", "x-odd/y"] {
        lead.send_form(&path, form(&good, Some(("a", media_type, b"x"))))
            .problem(422, "INVALID_VALUES")
            .faults(&[("/file", "MEDIA_TYPE_REFUSED")]);
    }
    lead.send_form(&path, form(&good, Some(("a", "nonsense", b"x"))))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/file", "INVALID_FORMAT")]);
    lead.upload(&path, &[("class", "general"), ("description", &"x".repeat(20_000))], "a", b"x")
        .problem(422, "INVALID_VALUES")
        .faults(&[("/description", "TOO_LONG")]);
    let other = sha256(b"other");
    lead.upload(&path, &[("class", "general"), ("sha256", &other)], "a", b"x")
        .problem(422, "INVALID_VALUES")
        .faults(&[("/sha256", "DIGEST_MISMATCH")]);
    let right = sha256(b"x").to_uppercase();
    lead.upload(&path, &[("class", "general"), ("sha256", &right)], "a", b"x").expect(201);

    lead.upload(&path, &[("class", "general"), ("colour", "red"), ("class", "legal")], "a", b"x")
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("/colour", "UNKNOWN_FIELD"), ("/class", "REPEATED")]);
    lead.post(&path, &json!({"class": "general"})).problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let bad = |content_type: &str, body: &str| {
        let request = lead.request("POST", &path).header("content-type", content_type);
        Answer::of(request.body(body.to_owned()))
    };
    bad("multipart/form-data", "x").problem(400, "MALFORMED_REQUEST");
    bad("multipart/mixed; boundary=b", "--b--\r\n").problem(415, "UNSUPPORTED_MEDIA_TYPE");
    for body in ["", "x", "--b\r\n", "--b\r\nContent-Disposition: form-data; name=\"class\"\r\n\r\ngeneral"] {
        bad("multipart/form-data; boundary=b", body).problem(400, "MALFORMED_REQUEST");
    }
    bad("multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--\r\n").problem(400, "MALFORMED_REQUEST");
    Answer::of(lead.request("POST", &format!("{path}?dry_run=true"))).problem(400, "MALFORMED_REQUEST");
    eventually("what was given up is gone", || stored_files(&app).len() == 1);
    app.assert_sound();
}

#[test]
fn a_name_that_is_written_as_rfc_8187_says_is_read_and_judged_too() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = documents(&app.release().make());
    let send = |name: &str| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"class\"\r\n\r\ngeneral\r\n\
             --b\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''{name}\r\n\r\nx\r\n--b--\r\n"
        );
        let request = lead.request("POST", &path).header("content-type", "multipart/form-data; boundary=b");
        Answer::of(request.body(body))
    };
    let made = send("%C3%9Cber%20uns.txt").expect(201);
    assert_eq!(
        (&made.body["name"], &made.body["media_type"]),
        (&json!("Über uns.txt"), &json!("application/octet-stream"))
    );
    send("..%2Fx").problem(422, "INVALID_VALUES").faults(&[("/file", "INVALID_VALUE")]);
    send("a%00b").problem(422, "INVALID_VALUES").faults(&[("/file", "INVALID_CHARACTER")]);
    send("a%0Ab").problem(422, "INVALID_VALUES").faults(&[("/file", "INVALID_CHARACTER")]);
}

fn head(path: &str, token: &str, more: &str) -> String {
    format!(
        "POST /api/v1{path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\
         content-type: multipart/form-data; boundary=b\r\n{more}\r\n\r\n"
    )
}

const FILE_HEAD: &str = "--b\r\nContent-Disposition: form-data; name=\"class\"\r\n\r\ngeneral\r\n\
                         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n";

#[test]
fn an_upload_that_is_too_large_is_refused_before_it_is_read_and_while_it_is() {
    let app = App::start_with(|config| config.document_bytes_max = 1_000_000);
    let lead = app.client(Role::Lead);
    let token = lead.token.clone().unwrap();
    let path = documents(&app.release().make());
    // Nothing of the body is sent, and the answer comes all the same.
    let mut raw = Raw::connect(&app.address);
    let length = format!("content-length: {}", 1_000_000 + ENVELOPE_BYTES_MAX + 1);
    raw.send(head(&path, &token, &length)).expect(413).problem(413, "PAYLOAD_TOO_LARGE");
    // A length that is not said is counted.
    let mut raw = Raw::connect(&app.address);
    raw.send(head(&path, &token, "transfer-encoding: chunked"));
    raw.send(format!("{:x}\r\n{FILE_HEAD}\r\n", FILE_HEAD.len()));
    let chunk = vec![b'x'; 100_000];
    for _ in 0..11 {
        let sent = raw
            .stream
            .write_all(format!("{:x}\r\n", chunk.len()).as_bytes())
            .and_then(|()| raw.stream.write_all(&chunk))
            .and_then(|()| raw.stream.write_all(b"\r\n"));
        if sent.is_err() {
            break;
        }
    }
    raw.expect(413).problem(413, "PAYLOAD_TOO_LARGE");
    let most = content(1_000_000);
    lead.upload(&path, &[("class", "general")], "most.bin", &most).expect(201);
    eventually("what was too large is gone", || stored_files(&app).len() == 1);
    app.assert_sound();
}

#[test]
fn who_may_not_upload_is_told_before_the_file_is_read() {
    let app = App::start();
    let path = documents(&app.release().make());
    let nowhere = "/releases/REL-999/documents".to_owned();
    for (role, path, status, code) in [
        (Role::Outsider, &path, 404, "NOT_FOUND"),
        (Role::Lead, &nowhere, 404, "NOT_FOUND"),
        (Role::Viewer, &path, 403, "FORBIDDEN"),
    ] {
        let mut raw = Raw::connect(&app.address);
        let token = app.client(role).token.unwrap();
        raw.send(head(path, &token, "content-length: 20000000")).expect(status).problem(status, code);
    }
    let mut raw = Raw::connect(&app.address);
    let refused = raw.send(head(&path, "nonsense", "content-length: 20000000")).expect(401);
    refused.problem(401, "UNAUTHENTICATED");
    assert_eq!(stored_files(&app), [""; 0]);
}

#[test]
fn an_upload_whose_sender_goes_away_leaves_nothing() {
    let app = App::start();
    let token = app.client(Role::Lead).token.unwrap();
    let path = documents(&app.release().make());
    {
        let mut raw = Raw::connect(&app.address);
        raw.send(head(&path, &token, "content-length: 5000000")).send(FILE_HEAD).send(content(2_000_000));
        eventually("the upload has begun", || !stored_files(&app).is_empty());
    }
    eventually("it is gone", || stored_files(&app).is_empty());
    let listed = app.client(Role::Lead).get(&path).expect(200);
    assert_eq!(listed.body["data"], json!([]));
    app.assert_sound();
}

#[test]
fn a_line_that_stands_still_is_given_up_and_a_slow_one_is_not() {
    let app = App::start_with(|config| config.body_timeout_ms = 500);
    let token = app.client(Role::Lead).token.unwrap();
    let path = documents(&app.release().make());
    let mut still = Raw::connect(&app.address);
    still.send(head(&path, &token, "content-length: 5000000")).send(FILE_HEAD).send([b'x'; 1000]);
    still.expect(408).problem(408, "REQUEST_TIMEOUT");
    // Longer on its way than any one body may be, and never still.
    let rest = "\r\n--b--\r\n";
    let length = FILE_HEAD.len() + 10 * 70_000 + rest.len();
    let mut slow = Raw::connect(&app.address);
    slow.send(head(&path, &token, &format!("content-length: {length}"))).send(FILE_HEAD);
    for _ in 0..10 {
        slow.send(vec![b'x'; 70_000]);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    slow.send(rest).expect(201);
    eventually("only the one that came is there", || stored_files(&app).len() == 1);
}

#[test]
fn the_same_key_stores_a_document_once_and_belongs_to_its_content() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = documents(&app.release().make());
    let send = |parts: &[(&str, &str)], name: &str, content: &[u8]| {
        let (content_type, body) = form(parts, Some((name, "text/plain", content)));
        let request = lead.request("POST", &path).header("content-type", content_type).header("idempotency-key", "one");
        Answer::of(request.body(body))
    };
    let class = [("class", "general")];
    let first = send(&class, "a.txt", b"content").expect(201);
    // The boundary is another one each time.
    let again = send(&class, "a.txt", b"content").expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    for (parts, name, content) in [
        (&[("class", "legal")][..], "a.txt", &b"content"[..]),
        (&class[..], "b.txt", b"content"),
        (&class[..], "a.txt", b"other"),
        (&[("class", "general"), ("description", "x")][..], "a.txt", b"content"),
    ] {
        send(parts, name, content).problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(lead.get(&path).expect(200).body["data"].as_array().unwrap().len(), 1);
    assert_eq!(stored_files(&app).len(), 1, "what was not needed is gone");
    app.assert_sound();
}

#[test]
fn documents_are_listed_by_filters_and_sorts() {
    let app = App::start();
    let path = documents(&app.release().make());
    app.client(Role::Lead).upload(&path, &[("class", "general")], "Beta.txt", b"22").expect(201);
    app.set_clock("2030-01-08T10:00:00Z");
    app.client(Role::Manager).upload(&path, &[("class", "legal")], "alpha.txt", b"4444").expect(201);
    app.set_clock("2030-01-09T10:00:00Z");
    let lead = app.client(Role::Lead);
    lead.upload(&path, &[("class", "evidence")], "Gamma.txt", b"1").expect(201);
    let names = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{path}{query}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(""), ["Gamma.txt", "alpha.txt", "Beta.txt"]);
    assert_eq!(names("?sort=name"), ["alpha.txt", "Beta.txt", "Gamma.txt"]);
    assert_eq!(names("?sort=-size_bytes"), ["alpha.txt", "Beta.txt", "Gamma.txt"]);
    assert_eq!(names("?sort=created_at"), ["Beta.txt", "alpha.txt", "Gamma.txt"]);
    assert_eq!(names("?class=legal,general&sort=name"), ["alpha.txt", "Beta.txt"]);
    assert_eq!(names("?q=BETA"), ["Beta.txt"]);
    assert_eq!(names(&format!("?uploaded_by={}", app.user_id(Role::Manager))), ["alpha.txt"]);
    assert_eq!(names("?created_from=2030-01-08T10:00:00Z&created_to=2030-01-09T10:00:00Z"), ["alpha.txt"]);
    assert_eq!(names("?deleted=true"), [""; 0]);
    for sort in ["created_at", "-name", "size_bytes"] {
        let mut walked = Vec::new();
        let mut next = format!("{path}?limit=1&sort={sort}");
        loop {
            let page = lead.get(&next).expect(200).body;
            walked.push(page["data"][0]["id"].as_str().unwrap().to_owned());
            let Some(cursor) = page["page"]["next_cursor"].as_str() else { break };
            next = format!("{path}?limit=1&sort={sort}&cursor={cursor}");
        }
        let whole = lead.get(&format!("{path}?sort={sort}")).expect(200);
        let ids: Vec<&str> = whole.body["data"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap()).collect();
        assert_eq!(walked, ids, "{sort}");
    }
    lead.get(&format!("{path}?class=odd&release_id=x"))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("class", "INVALID_PARAMETER"), ("release_id", "UNKNOWN_PARAMETER")]);
}

#[test]
fn what_is_said_of_a_document_changes_under_its_version_and_is_in_the_history() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = documents(&release);
    let made = lead.upload(&path, &[("class", "general"), ("description", "First")], "a.txt", b"x").expect(201);
    let at = format!("{path}/{}", made.id());
    let patch = json!({"class": "test_plan", "description": null, "version": "4.2.0"});
    Answer::of(lead.request("PATCH", &at).json(&patch)).problem(428, "PRECONDITION_REQUIRED");
    lead.patch(&at, "\"7\"", &patch).problem(412, "PRECONDITION_FAILED");
    lead.patch(&at, "*", &json!({"name": "b.txt"}))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("/name", "READ_ONLY_FIELD")]);
    lead.patch(&at, "*", &json!({"class": "odd", "version": "v".repeat(51)}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/class", "NOT_ALLOWED"), ("/version", "TOO_LONG")]);
    let dry = lead.patch(&format!("{at}?dry_run=true"), "*", &patch).expect(200);
    assert_eq!((dry.header("dry-run"), &dry.body["class"]), ("true", &json!("test_plan")));
    let changed = lead.patch(&at, made.header("etag"), &patch).expect(200);
    assert_eq!(changed.body["row_version"], 2);
    assert_eq!((&changed.body["description"], &changed.body["version"]), (&Value::Null, &json!("4.2.0")));
    assert_eq!(lead.patch(&at, "*", &patch).expect(200).body["row_version"], 2, "the same again changes nothing");
    lead.delete(&at, "\"2\"").expect(204);
    let history = lead.get(&format!("/releases/{}/history", release["id"].as_str().unwrap())).expect(200);
    let rows = history.body["data"].as_array().unwrap();
    let actions: Vec<&str> = rows.iter().take(3).map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["release.delete_document", "release.update_document", "release.add_document"]);
    assert!(
        rows[..3].iter().all(|row| row["subject_id"] == made.id() && row["subject_type"] == "document"),
        "{rows:?}"
    );
    assert!(rows[2].to_string().contains(&sha256(b"x")), "the digest is told");
    // The release itself did not change.
    let after = lead.get(&format!("/releases/{}", release["id"].as_str().unwrap())).expect(200);
    assert_eq!(after.body["row_version"], release["row_version"]);
    app.assert_sound();
}

#[test]
fn a_deleted_document_is_a_tombstone() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = documents(&app.release().make());
    let made = lead.upload(&path, &[("class", "general")], "a.txt", b"x").expect(201);
    let kept = lead.upload(&path, &[("class", "general")], "b.txt", b"y").expect(201);
    let at = format!("{path}/{}", made.id());
    lead.delete(&at, "*").expect(204);
    for (method, path) in [("GET", at.clone()), ("GET", format!("{at}/content")), ("DELETE", at.clone())] {
        Answer::of(lead.request(method, &path).header("if-match", "*")).problem(404, "NOT_FOUND");
    }
    lead.patch(&at, "*", &json!({"class": "legal"})).problem(404, "NOT_FOUND");
    let ids = |query: &str| -> Vec<String> {
        let page = lead.get(&format!("{path}{query}")).expect(200);
        page.body["data"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), [kept.id()]);
    assert_eq!(ids("?deleted=false"), [kept.id()]);
    assert_eq!(ids("?deleted=true"), [made.id()]);
    let tombstone = &lead.get(&format!("{path}?deleted=true")).expect(200).body["data"][0];
    assert_eq!(tombstone["deleted_by"], app.user_id(Role::Lead).to_string());
    assert_eq!(tombstone["deleted_at"], NOW);
    app.assert_sound();
}

#[test]
fn a_release_takes_in_each_status_what_the_table_says() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    for (status, takes_all) in
        [("open", true), ("reopened", true), ("suspended", true), ("cancelled", false), ("closed", false)]
    {
        let release = app.release().make();
        let path = documents(&release);
        let early = manager.upload(&path, &[("class", "evidence")], "early.txt", b"x").expect(201);
        let other = manager.upload(&path, &[("class", "legal")], "legal.txt", b"x").expect(201);
        let release = app.release().status(status).make();
        // The documents go along to a release of the status by the database alone: both were written while active.
        let id = release["id"].as_str().unwrap();
        app.database.execute(&format!(
            "UPDATE documents SET release_id = '{id}' WHERE id IN ('{}', '{}')",
            early.id(),
            other.id()
        ));
        let path = documents(&release);
        manager.upload(&path, &[("class", "evidence")], "late.txt", b"x").expect(201);
        let answer = manager.upload(&path, &[("class", "general")], "more.txt", b"x");
        let change = |id: &str, body: Value| manager.patch(&format!("{path}/{id}"), "*", &body);
        if takes_all {
            answer.expect(201);
            change(&other.id(), json!({"description": "x"})).expect(200);
            change(&early.id(), json!({"class": "general"})).expect(200);
            manager.delete(&format!("{path}/{}", other.id()), "*").expect(204);
        } else {
            let refused = answer.problem(409, "STATE_FORBIDS");
            assert_eq!(refused.body["current_status"], status);
            change(&early.id(), json!({"description": "x"})).expect(200);
            change(&early.id(), json!({"class": "general"})).problem(409, "STATE_FORBIDS");
            change(&other.id(), json!({"description": "x"})).problem(409, "STATE_FORBIDS");
            manager.delete(&format!("{path}/{}", early.id()), "*").problem(409, "STATE_FORBIDS");
        }
    }
}

#[test]
fn a_release_has_as_many_documents_as_it_may_and_no_more() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = documents(&release);
    let made = lead.upload(&path, &[("class", "general")], "a.txt", b"x").expect(201);
    let columns = "release_id, class, name, name_folded, media_type, size_bytes, sha256, uploaded_by, row_version, \
                   created_at, updated_at";
    for index in 1..DOCUMENTS_MAX {
        app.database.execute(&format!(
            "INSERT INTO documents (id, store_key, {columns}) SELECT substr(id, 1, 30) || '{index:06}', \
             'x/{index}', {columns} FROM documents WHERE id = '{}'",
            made.id()
        ));
    }
    lead.upload(&path, &[("class", "general")], "more.txt", b"x").problem(409, "LIMIT_REACHED");
    eventually("what was refused is gone", || stored_files(&app).len() == 1);
    lead.delete(&format!("{path}/{}", made.id()), "*").expect(204);
    lead.upload(&path, &[("class", "general")], "more.txt", b"x").expect(201);
}

#[test]
fn a_patch_of_the_version_is_answered_with_what_the_evidence_allows_now() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let mut workflow = BUILT_IN[0].with_id(WorkflowId::new(uuid::Uuid::now_v7()));
    workflow.stages[0].gates = vec![Gate::TestEvidence { where_asked: false }];
    let proved = json!({
        "key": "proved", "name": "Proved", "return_stage": workflow.return_stage, "stages": workflow.stages,
    });
    manager.post("/workflows", &proved).expect(201);
    let (portfolio, team) = (app.named("portfolios", "General"), app.group("Release team"));
    let model = json!({"name": "Proved", "workflow": "proved", "status": "active", "executor_group_id": team});
    let model = manager.post(&format!("/portfolios/{portfolio}/models"), &model).expect(201).id();
    let release = app.release().with("model_id", model).make();
    let proof = [("class", "evidence"), ("version", "5.0.0")];
    manager.upload(&documents(&release), &proof, "tests.txt", b"passed").expect(201);
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let may_advance = |body: &Value| body["allowed_actions"].as_array().unwrap().contains(&json!("advance"));
    assert!(!may_advance(&manager.get(&path).expect(200).body));
    let patched = manager.patch(&path, "*", &json!({"version": "5.0.0"})).expect(200).body;
    assert!(may_advance(&patched));
    let back = manager.patch(&path, "*", &json!({"version": "5.0.1"})).expect(200).body;
    assert!(!may_advance(&back));
}

#[test]
fn a_stage_that_asks_for_test_evidence_is_left_with_a_document_that_names_the_version() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let mut workflow = BUILT_IN[0].with_id(WorkflowId::new(uuid::Uuid::now_v7()));
    let test = workflow.stages.iter_mut().find(|stage| stage.kind == StageKind::Test).unwrap();
    test.gates.retain(|gate| gate.name() != "test_evidence");
    test.gates.push(Gate::TestEvidence { where_asked: false });
    let tested = json!({
        "key": "tested", "name": "Tested", "return_stage": workflow.return_stage, "stages": workflow.stages,
    });
    manager.post("/workflows", &tested).expect(201);
    let portfolio = app.named("portfolios", "General");
    let team = app.group("Release team");
    let model = json!({"name": "Tested", "workflow": "tested", "status": "active", "executor_group_id": team});
    let model = manager.post(&format!("/portfolios/{portfolio}/models"), &model).expect(201).id();
    let release = app.release().with("model_id", model.clone()).at("test").make();
    let id = release["id"].as_str().unwrap();
    let advance = json!({"action": "advance", "from_stage": "test", "on_behalf_of": {"origin": "phone", "note": "x"}});
    let tried = || manager.post(&format!("/releases/{id}/transitions"), &advance);
    let path = documents(&release);
    let blocked = tried().problem(422, "GATES_NOT_MET");
    assert_eq!(blocked.blockers(), ["TEST_EVIDENCE_MISSING"]);
    assert_eq!(blocked.body["blockers"][0]["gate"], "test_evidence");
    let upload = |class: &str, version: &str| {
        manager.upload(&path, &[("class", class), ("version", version)], "tests.txt", b"passed").expect(201)
    };
    upload("general", "4.2.0");
    upload("evidence", "4.1.9");
    assert_eq!(tried().blockers(), ["TEST_EVIDENCE_MISSING"]);
    let proof = upload("evidence", "4.2.0");
    manager.delete(&format!("{path}/{}", proof.id()), "*").expect(204);
    assert_eq!(tried().blockers(), ["TEST_EVIDENCE_MISSING"], "a deleted document proves nothing");
    upload("evidence", "4.2.0");
    assert!(manager.get("/releases?limit=10").expect(200).body["data"][0]["allowed_actions"].is_array());
    tried().expect(201);
    let nameless = app.release().with("model_id", model).with("version", Value::Null).at("test").make();
    let path = format!("/releases/{}/transitions", nameless["id"].as_str().unwrap());
    assert_eq!(manager.post(&path, &advance).problem(422, "GATES_NOT_MET").blockers(), ["TEST_EVIDENCE_MISSING"]);
}
