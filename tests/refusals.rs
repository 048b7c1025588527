//! Bad input gets a 4xx problem document that names the faults, and nothing is stored.

use serde_json::{Value, json};

use crate::support::*;

pub const AN_ID: &str = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";

/// A running service that is watched: a refusal must store nothing.
pub struct Watched {
    pub app: App,
    pub admin: Client,
    pub lead: Client,
}

impl Watched {
    pub fn start() -> Self {
        let app = App::start();
        let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
        Self { app, admin, lead }
    }

    fn stored(&self) -> (Value, Value, Value) {
        let total = |path: &str| self.admin.get(path).expect(200).body["page"]["total"].clone();
        (
            total("/releases?count=exact&limit=1"),
            total("/audit?count=exact&limit=1"),
            total("/changes?count=exact&limit=1"),
        )
    }

    /// Sends a request that must be refused like this, and leave everything as it was.
    #[track_caller]
    pub fn refused(&self, request: reqwest::blocking::RequestBuilder, status: u16, code: &str) -> Answer {
        let before = self.stored();
        let answer = Answer::of(request).problem(status, code);
        assert_eq!(self.stored(), before, "{}", answer.text);
        answer
    }

    fn raw(&self, path: &str, body: impl Into<Vec<u8>>) -> reqwest::blocking::RequestBuilder {
        self.lead.request("POST", path).header("content-type", "application/json").body(body.into())
    }

    pub fn create(&self, body: &Value) -> reqwest::blocking::RequestBuilder {
        self.lead.request("POST", "/releases").json(body)
    }
}

/// The body of a release with this field.
pub fn with(field: &str, value: Value) -> Value {
    let mut body = new_release();
    body[field] = value;
    body
}

#[test]
fn several_faults_are_all_named_at_once_and_the_first_class_answers() {
    let watched = Watched::start();
    let mut body = json!({
        "requester": {"name": "Ana", "email": "ana@example.org"}, "title": "", "type": "huge",
        "planning_window": {"start": "2030-02-01T18:00:00Z", "end": "not a time"},
    });
    watched.refused(watched.create(&body), 422, "INVALID_VALUES").faults(&[
        ("/title", "TOO_SHORT"),
        ("/type", "NOT_ALLOWED"),
        ("/planning_window/end", "INVALID_FORMAT"),
    ]);
    body["colour"] = json!("red");
    body["version"] = json!(1);
    watched
        .refused(watched.create(&body), 400, "MALFORMED_REQUEST")
        .faults(&[("/colour", "UNKNOWN_FIELD"), ("/version", "WRONG_TYPE")]);
    let request = watched.admin.request("GET", "/releases?limit=0&colour=red&status=closd&status=open&sort=size");
    watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[
        ("limit", "INVALID_PARAMETER"),
        ("colour", "UNKNOWN_PARAMETER"),
        ("status", "INVALID_PARAMETER"),
        ("status", "REPEATED_PARAMETER"),
        ("sort", "INVALID_PARAMETER"),
    ]);
}

#[test]
fn a_body_that_is_no_json_is_refused_whatever_is_wrong_with_it() {
    let watched = Watched::start();
    let deep = |depth: usize| format!("{{\"custom_fields\": {}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let mut invalid_utf8 = br#"{"title": ""#.to_vec();
    invalid_utf8.extend([0xff, 0xfe, b'"', b'}']);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "EMPTY_BODY"),
        (b" \n\t ".to_vec(), "EMPTY_BODY"),
        (b"{".to_vec(), "INVALID_JSON"),
        (b"{\"title\": }".to_vec(), "INVALID_JSON"),
        (b"{\"title\": \"a\",}".to_vec(), "INVALID_JSON"),
        (b"{} {}".to_vec(), "INVALID_JSON"),
        (b"title=a".to_vec(), "INVALID_JSON"),
        (b"\xef\xbb\xbf{}".to_vec(), "INVALID_JSON"),
        (b"{\"title\": \"\\ud800\"}".to_vec(), "INVALID_JSON"),
        (b"{\"title\": \"a\nb\"}".to_vec(), "INVALID_JSON"),
        (b"{\"title\": NaN}".to_vec(), "INVALID_JSON"),
        (b"{\"custom_fields\": {\"a\": 1e400}}".to_vec(), "INVALID_JSON"),
        (invalid_utf8, "INVALID_JSON"),
        (deep(1000).into_bytes(), "TOO_DEEP"),
        (deep(65).into_bytes(), "TOO_DEEP"),
        ("[".repeat(100_000).into_bytes(), "TOO_DEEP"),
        (b"[]".to_vec(), "WRONG_TYPE"),
        (b"[{}]".to_vec(), "WRONG_TYPE"),
        (b"\"text\"".to_vec(), "WRONG_TYPE"),
        (b"17".to_vec(), "WRONG_TYPE"),
        (b"null".to_vec(), "WRONG_TYPE"),
    ];
    for path in ["/releases", "/units", "/changes"] {
        for (body, code) in &cases {
            watched.refused(watched.raw(path, body.clone()), 400, "MALFORMED_REQUEST").faults(&[("", code)]);
        }
    }
    let patch = watched.admin.request("PATCH", &format!("/units/{AN_ID}")).header("If-Match", "*").json(&json!({}));
    watched.refused(patch, 400, "MALFORMED_REQUEST").faults(&[("", "EMPTY_PATCH")]);
    let delete = watched.admin.request("DELETE", &format!("/units/{AN_ID}")).header("If-Match", "*").body("{}");
    watched.refused(delete, 400, "MALFORMED_REQUEST").faults(&[("", "UNEXPECTED_BODY")]);
}

#[test]
fn a_key_that_an_object_names_twice_is_refused_and_every_one_is_named() {
    let watched = Watched::start();
    let body = r#"{"title": "One", "requester": {"name": "A", "email": "a@example.org", "name": "B"},
        "acceptance_criteria": [{"text": "x"}, {"text": "y", "text": "z", "confirmed": false}],
        "nothing": 1, "ti\u0074le": "Two", "custom_fields": {"a/b": "1", "a/b": "1"}}"#;
    watched.refused(watched.raw("/releases", body), 400, "MALFORMED_REQUEST").faults(&[
        ("/requester/name", "REPEATED"),
        ("/acceptance_criteria/1/text", "REPEATED"),
        ("/title", "REPEATED"),
        ("/custom_fields/a~1b", "REPEATED"),
    ]);
    let login = watched.app.anonymous().request("POST", "/auth/login").header("content-type", "application/json");
    let twice = r#"{"username": "admin", "password": "x", "username": "lead"}"#;
    Answer::of(login.body(twice)).problem(400, "MALFORMED_REQUEST").faults(&[("/username", "REPEATED")]);
}

#[test]
fn a_problem_lists_a_thousand_faults_and_says_that_there_are_more() {
    let watched = Watched::start();
    let body: serde_json::Map<String, Value> = (0..5000).map(|n| (format!("f{n}"), json!(1))).collect();
    let problem = watched.refused(watched.create(&Value::Object(body)), 400, "MALFORMED_REQUEST");
    assert_eq!(problem.body["errors"].as_array().unwrap().len(), 1000);
    assert_eq!(problem.body["detail"], "There are more than 1000 faults in the request.");
}

#[test]
fn an_instant_before_1970_is_named_by_its_field() {
    let watched = Watched::start();
    let body = with("planning_window", json!({"start": "0294-04-11T06:41:02Z", "end": "2030-02-01T18:00:00Z"}));
    watched
        .refused(watched.create(&body), 422, "INVALID_VALUES")
        .faults(&[("/planning_window/start", "INVALID_FORMAT")]);
}

#[test]
fn a_token_is_not_named_by_white_space() {
    let watched = Watched::start();
    let request = watched.admin.request("POST", "/tokens").json(&json!({"name": " \t", "scopes": ["read"]}));
    watched.refused(request, 422, "INVALID_VALUES").faults(&[("/name", "BLANK")]);
}

#[test]
fn a_body_beyond_its_limits_is_refused() {
    let watched = Watched::start();
    let large = vec![b' '; 10 * 1024 * 1024];
    watched.refused(watched.raw("/releases", large), 413, "PAYLOAD_TOO_LARGE");
    let chunked = reqwest::blocking::Body::new(std::io::Cursor::new(vec![b' '; 2 * 1024 * 1024]));
    let request = watched.lead.request("POST", "/releases").header("content-type", "application/json").body(chunked);
    watched.refused(request, 413, "PAYLOAD_TOO_LARGE");
    watched.refused(watched.create(&with("description", json!("x".repeat(65_001)))), 422, "INVALID_VALUES");
    watched.create(&with("description", json!("x".repeat(65_000)))).send().unwrap();
}

#[test]
fn a_number_beyond_its_range_is_refused() {
    let watched = Watched::start();
    let change = |revision: &str| {
        format!(
            r#"{{"source": "t", "external_id": "1", "title": "T", "status": "registered", "source_revision": {revision}}}"#
        )
    };
    for revision in ["-1", "9007199254740992", "9223372036854775808", "1e300", "-1e300"] {
        let body = change(revision);
        let request = watched.admin.request("POST", "/changes").header("content-type", "application/json").body(body);
        watched.refused(request, 422, "INVALID_VALUES").faults(&[("/source_revision", "OUT_OF_RANGE")]);
    }
    let request =
        watched.admin.request("POST", "/changes").header("content-type", "application/json").body(change("1.5"));
    watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[("/source_revision", "WRONG_TYPE")]);
    for limit in ["0", "-1", "201", "100000", "99999999999999999999", "1.5", "x", ""] {
        let request = watched.admin.request("GET", &format!("/releases?limit={limit}"));
        watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[("limit", "INVALID_PARAMETER")]);
    }
}

#[test]
fn a_bad_parameter_is_named() {
    let watched = Watched::start();
    let cases = [
        ("/releases?colour=red", "colour", "UNKNOWN_PARAMETER"),
        ("/releases?limit=5&limit=6", "limit", "REPEATED_PARAMETER"),
        ("/releases?status=", "status", "INVALID_PARAMETER"),
        ("/releases?status=open,", "status", "INVALID_PARAMETER"),
        ("/releases?status=OPEN", "status", "INVALID_PARAMETER"),
        ("/releases?priority=6", "priority", "INVALID_PARAMETER"),
        ("/releases?priority=99999999999999999999", "priority", "INVALID_PARAMETER"),
        ("/releases?model=standard", "model", "INVALID_PARAMETER"),
        ("/releases?overdue=1", "overdue", "INVALID_PARAMETER"),
        ("/releases?created_from=2030-01-01", "created_from", "INVALID_PARAMETER"),
        ("/releases?created_from=2030-01-01T00:00:00", "created_from", "INVALID_PARAMETER"),
        ("/releases?count=all", "count", "INVALID_PARAMETER"),
        ("/releases?sort=colour", "sort", "INVALID_PARAMETER"),
        ("/releases?sort=priority,number", "sort", "INVALID_PARAMETER"),
        ("/releases?cursor=AAAA", "cursor", "INVALID_CURSOR"),
        ("/releases?q=%00", "q", "INVALID_CHARACTER"),
        ("/releases?q=%FF", "", "INVALID_PARAMETER"),
        ("/releases?q=%zz", "", "INVALID_PARAMETER"),
        ("/releases?q=%2", "", "INVALID_PARAMETER"),
        ("/releases/REL-1?limit=5", "limit", "UNKNOWN_PARAMETER"),
        ("/me?colour=red", "colour", "UNKNOWN_PARAMETER"),
        ("/lifecycle?x", "x", "UNKNOWN_PARAMETER"),
    ];
    for (path, parameter, code) in cases {
        let answer = watched.refused(watched.admin.request("GET", path), 400, "MALFORMED_REQUEST");
        answer.faults(&[(parameter, code)]);
    }
    let many = vec!["open"; 51].join(",");
    watched.refused(watched.admin.request("GET", &format!("/releases?status={many}")), 400, "MALFORMED_REQUEST");
    for value in ["1", "yes", "TRUE", ""] {
        let request = watched.lead.request("POST", &format!("/releases?dry_run={value}")).json(&new_release());
        watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[("dry_run", "INVALID_PARAMETER")]);
    }
}

#[test]
fn a_cursor_opens_only_the_list_filter_and_sort_that_it_was_made_for() {
    let watched = Watched::start();
    for _ in 0..3 {
        watched.app.release().make();
    }
    let first = watched.admin.get("/releases?limit=1").expect(200);
    let cursor = first.body["page"]["next_cursor"].as_str().unwrap().to_owned();
    watched.admin.get(&format!("/releases?limit=2&cursor={cursor}")).expect(200);
    let mut damaged = cursor.clone();
    damaged.replace_range(3..4, if &cursor[3..4] == "A" { "B" } else { "A" });
    let paths = [
        format!("/changes?cursor={cursor}"),
        format!("/releases?status=open&cursor={cursor}"),
        format!("/releases?sort=priority&cursor={cursor}"),
        format!("/releases?sort=created_at&cursor={cursor}"),
        format!("/releases?cursor={damaged}"),
        format!("/releases?cursor={}", &cursor[..cursor.len() - 4]),
        format!("/releases?cursor={}", "A".repeat(5000)),
        "/releases?cursor=".into(),
    ];
    for path in paths {
        let answer = watched.refused(watched.admin.request("GET", &path), 400, "MALFORMED_REQUEST");
        answer.faults(&[("cursor", "INVALID_CURSOR")]);
    }
}

#[test]
fn a_path_that_is_none_of_ours_is_a_404_and_a_wrong_method_a_405_with_allow() {
    let watched = Watched::start();
    for path in [
        "/nothing",
        "/releases/REL-1/nothing",
        "/releases/REL-1/changes/x/y",
        "/releases/",
        "//releases",
        "/changes/by-key/a",
    ] {
        watched.refused(watched.admin.request("GET", path), 404, "NOT_FOUND");
    }
    for id in [
        "REL-99",
        "REL-0",
        "REL-99999999999999999999",
        "REL-",
        "REL--1",
        "rel-x",
        "7",
        "%00",
        "%FF",
        "%2F",
        "a%00b",
        AN_ID,
        "💥",
    ] {
        watched.refused(watched.admin.request("GET", &format!("/releases/{id}")), 404, "NOT_FOUND");
        watched.refused(watched.admin.request("GET", &format!("/units/{id}")), 404, "NOT_FOUND");
    }
    let cases = [
        ("PUT", "/releases", "GET, HEAD, POST"),
        ("DELETE", "/releases/REL-1", "GET, HEAD, PATCH"),
        ("POST", "/me", "GET, HEAD"),
        ("GET", "/auth/login", "POST"),
        ("PATCH", "/lifecycle", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("GET", "/changes/by-key/a/b", "PUT"),
        ("TRACE", "/me", "GET, HEAD"),
        ("PATCH", "/configuration-items/import", "POST"),
        ("GET", "/configuration-items/import", "POST"),
        ("DELETE", "/releases/REL-1/configuration-items/batch", "POST"),
    ];
    for (method, path, allow) in cases {
        let answer = watched.refused(watched.admin.request(method, path), 405, "METHOD_NOT_ALLOWED");
        let mut allowed: Vec<&str> = answer.header("allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(", "), allow, "{method} {path}");
    }
}

#[test]
fn media_types_are_judged() {
    let watched = Watched::start();
    for media_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonx",
        "",
    ] {
        let request = watched.lead.request("POST", "/releases").header("content-type", media_type);
        watched.refused(request.body(new_release().to_string()), 415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let request = watched.lead.request("POST", "/releases").body(new_release().to_string());
    watched.refused(request, 415, "UNSUPPORTED_MEDIA_TYPE");
    for accept in ["text/html", "application/xml", "application/json;q=0", "image/*"] {
        watched.refused(watched.admin.request("GET", "/me").header("accept", accept), 406, "NOT_ACCEPTABLE");
        let request = watched.create(&new_release()).header("accept", accept);
        watched.refused(request, 406, "NOT_ACCEPTABLE");
    }
    for accept in ["*/*", "application/*", "text/html, application/json;q=0.1", "application/JSON"] {
        Answer::of(watched.admin.request("GET", "/me").header("accept", accept)).expect(200);
    }
    let patch = json!({"title": "Other"}).to_string();
    let release = watched.app.release().make();
    for charset in ["latin1", "\"iso-8859-1\"", "UTF-16", "utf-8; charset=latin1", "", "\"utf-8", "utf8"] {
        let media_type = format!("application/json; version=1;charset={charset}");
        let request = watched.lead.request("POST", "/releases").header("content-type", media_type);
        watched.refused(request.body(new_release().to_string()), 415, "UNSUPPORTED_MEDIA_TYPE");
    }
    for media_type in [
        "application/json",
        "application/merge-patch+json",
        "application/json; charset=utf-8",
        "Application/JSON;CharSet=\"UTF-8\"",
        "application/json; x=\"latin1\" ; charset=Utf-8",
    ] {
        let path = format!("/releases/{}", release["key"].as_str().unwrap());
        let request = watched.lead.request("PATCH", &path).header("If-Match", "*").header("content-type", media_type);
        Answer::of(request.body(patch.clone())).expect(200);
    }
}

#[test]
fn a_bad_header_is_named() {
    let watched = Watched::start();
    for key in ["two words", "tab\there", "", &"k".repeat(256)] {
        let request = watched.create(&new_release()).header("Idempotency-Key", key);
        watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[("Idempotency-Key", "INVALID_HEADER")]);
    }
    let request = watched.create(&new_release()).header("Idempotency-Key", "schlüssel".as_bytes());
    watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[("Idempotency-Key", "INVALID_HEADER")]);
    let release = watched.app.release().make();
    let path = format!("/releases/{}", release["key"].as_str().unwrap());
    for tag in ["1", "\"1", "1\"", "\"1\", 2", "x"] {
        let request = watched.lead.request("PATCH", &path).header("If-Match", tag).json(&json!({"title": "Other"}));
        watched.refused(request, 400, "MALFORMED_REQUEST").faults(&[("If-Match", "INVALID_HEADER")]);
    }
    for tag in ["\"\"", "\"x\"", "\"99\"", "\"99.0123456789abcdef\"", "W/\"1\"", "\"-1\"", "\"99999999999999999999\""] {
        let request = watched.lead.request("PATCH", &path).header("If-Match", tag).json(&json!({"title": "Other"}));
        let answer = watched.refused(request, 412, "PRECONDITION_FAILED");
        assert_eq!(answer.body["current_row_version"], 1);
    }
    let request = watched.lead.request("PATCH", &path).json(&json!({"title": "Other"}));
    watched.refused(request, 428, "PRECONDITION_REQUIRED");
}

#[test]
fn the_name_of_a_request_is_echoed_where_it_is_safe_and_replaced_where_not() {
    let app = App::start();
    let named = |id: &str| Answer::of(app.anonymous().request("GET", "/me").header("X-Request-Id", id));
    for id in ["a", "build-7.3:x_Y", &"i".repeat(128)] {
        assert_eq!(named(id).header("x-request-id"), id);
    }
    for id in ["two words", "a\"b", "", "<script>", &"i".repeat(129)] {
        let given = named(id).header("x-request-id").to_owned();
        assert_ne!(given, id);
        assert_eq!(given.len(), 36);
    }
}

#[test]
fn a_stale_etag_a_reused_key_and_a_forbidden_action_change_nothing() {
    let watched = Watched::start();
    let created = Answer::of(watched.create(&new_release()).header("Idempotency-Key", "k1")).expect(201);
    let path = format!("/releases/{}", created.id());
    let stale = created.header("etag").to_owned();
    watched.lead.patch(&path, &stale, &json!({"title": "Second"})).expect(200);
    let request = watched.lead.request("PATCH", &path).header("If-Match", &stale).json(&json!({"title": "Third"}));
    let refused = watched.refused(request, 412, "PRECONDITION_FAILED");
    assert_eq!(refused.body["current_row_version"], 2);
    let request = watched.create(&with("title", json!("Other"))).header("Idempotency-Key", "k1");
    watched.refused(request, 422, "IDEMPOTENCY_KEY_REUSED");
    let before = watched.stored();
    let replayed = Answer::of(watched.create(&new_release()).header("Idempotency-Key", "k1")).expect(201);
    assert_eq!((replayed.header("idempotent-replayed"), &replayed.text), ("true", &created.text));
    assert_eq!(watched.stored(), before);
    for action in [
        json!({"action": "reactivate"}),
        json!({"action": "reopen", "justification_id": watched.app.justification("reopen")}),
    ] {
        let request = watched.lead.request("POST", &format!("{path}/transitions")).json(&action);
        let refused = watched.refused(request, 409, "STATE_FORBIDS");
        assert_eq!(
            (&refused.body["current_status"], &refused.body["current_stage"]),
            (&json!("open"), &json!("planning"))
        );
        assert!(refused.body["allowed_actions"].as_array().unwrap().contains(&json!("capture")));
    }
    assert_eq!(watched.lead.get(&path).expect(200).body["title"], "Second");
}

#[test]
fn checks_go_from_who_to_what_and_the_first_class_answers() {
    let watched = Watched::start();
    let release = watched.app.release().at("deployment").make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let nowhere = format!("/releases/{AN_ID}");
    let malformed = json!({"colour": "red", "version": "9", "title": ""});
    let patch = |client: &Client, path: &str, tag: Option<&str>, body: &Value| {
        let request = client.request("PATCH", path).json(body);
        match tag {
            Some(tag) => request.header("If-Match", tag),
            None => request,
        }
    };
    let (viewer, anonymous, outsider) =
        (watched.app.client(Role::Viewer), watched.app.anonymous(), watched.app.client(Role::Outsider));
    watched.refused(patch(&anonymous, &nowhere, None, &malformed), 401, "UNAUTHENTICATED");
    let text = anonymous.request("PATCH", &nowhere).header("content-type", "text/plain").body("x");
    watched.refused(text, 401, "UNAUTHENTICATED");
    watched.refused(patch(&viewer, &nowhere, None, &malformed), 400, "MALFORMED_REQUEST");
    let invalid = json!({"version": "9", "title": ""});
    watched.refused(patch(&viewer, &nowhere, None, &invalid), 404, "NOT_FOUND");
    watched.refused(patch(&outsider, &path, None, &invalid), 404, "NOT_FOUND");
    watched.refused(patch(&viewer, &path, None, &invalid), 403, "FORBIDDEN");
    watched.refused(patch(&watched.lead, &path, None, &invalid), 428, "PRECONDITION_REQUIRED");
    watched.refused(patch(&watched.lead, &path, Some("\"1\""), &invalid), 412, "PRECONDITION_FAILED");
    let locked = json!({"version": "9", "tags": ["a", "a"]});
    watched
        .refused(patch(&watched.lead, &path, Some("*"), &locked), 409, "LOCKED_AFTER_AUTHORIZATION")
        .faults(&[("/version", "LOCKED_AFTER_AUTHORIZATION")]);
    let twice = json!({"tags": ["a", "a"]});
    watched
        .refused(patch(&watched.lead, &path, Some("*"), &twice), 422, "INVALID_VALUES")
        .faults(&[("/tags/1", "REPEATED")]);
}
