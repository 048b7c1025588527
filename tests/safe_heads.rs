//! Headers that keep callers safe, pages of other origins, and proxies that are believed or not.

use serde_json::json;

use crate::published::{Contract, Populated};
use crate::support::*;

fn of_origin(client: &Client, method: &str, path: &str, origin: &str) -> Answer {
    Answer::of(client.request(method, path).header("Origin", origin))
}

fn from_address(client: &Client, path: &str, address: &str) -> Answer {
    Answer::of(client.request("GET", path).header("X-Forwarded-For", address))
}

/// What every answer has, whoever made it.
#[track_caller]
fn assert_safe(answer: &Answer, what: &str) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    assert!(!answer.header("x-request-id").is_empty(), "{what}");
    for name in ["server", "x-powered-by", "strict-transport-security", "access-control-allow-origin"] {
        assert!(!answer.headers.contains_key(name), "{what}: {name}");
    }
    let cache: Vec<_> = answer.headers.get_all("cache-control").iter().collect();
    assert_eq!(cache.len(), 1, "{what}: {cache:?}");
}

#[test]
fn every_answer_has_the_safe_headers_whoever_made_it() {
    let app = App::start();
    let (manager, anonymous) = (app.client(Role::Manager), app.anonymous());
    let release = app.release().make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    for (method, path, status, cache) in [
        ("GET", "/me", 200, "no-store"),
        ("GET", "/releases", 200, "no-store"),
        ("GET", path.as_str(), 200, "private, no-cache"),
        ("GET", "/lifecycle", 200, "no-store"),
        ("GET", "/api/v1/openapi.json", 200, "no-cache"),
        ("GET", "/livez", 200, "no-store"),
        ("HEAD", "/readyz", 200, "no-store"),
        ("GET", "/metrics", 200, "no-store"),
        ("GET", "/docs", 308, "no-cache"),
        ("GET", "/docs/", 200, "no-cache"),
        ("GET", "/docs/nothing.js", 404, "no-store"),
        ("GET", "/nothing", 404, "no-store"),
        ("GET", "/releases/REL-999", 404, "no-store"),
        ("DELETE", "/me", 405, "no-store"),
        ("OPTIONS", "/me", 405, "no-store"),
        ("OPTIONS", "/nothing", 404, "no-store"),
        ("TRACE", "/releases", 405, "no-store"),
        ("MADEUP", "/releases", 405, "no-store"),
        ("POST", "/releases", 400, "no-store"),
        ("PATCH", path.as_str(), 400, "no-store"),
        ("GET", "/releases?limit=0", 400, "no-store"),
    ] {
        let answer = Answer::of(manager.request(method, path)).expect(status);
        assert_safe(&answer, &format!("{method} {path}"));
        assert_eq!(answer.header("cache-control"), cache, "{method} {path}");
    }
    let tag = manager.get(&path).header("etag").to_owned();
    let unchanged = Answer::of(manager.request("GET", &path).header("If-None-Match", tag)).expect(304);
    assert_safe(&unchanged, "304");
    assert_safe(&anonymous.get("/me").expect(401), "401");
    assert_safe(&Answer::of(manager.request("POST", "/releases").body(vec![b' '; 2 << 20])).expect(413), "413");
    assert_safe(
        &Answer::of(manager.request("POST", "/releases").header("content-type", "text/plain").body("x")).expect(415),
        "415",
    );
    assert_safe(&Answer::of(manager.request("GET", "/me").header("Accept", "text/html")).expect(406), "406");
}

#[test]
fn pages_of_configured_origins_may_use_the_interface() {
    let origin = "https://desk.example.org";
    let app = App::start_with(|config| config.cors_origins = vec!["http://localhost:5173".into(), origin.into()]);
    let manager = app.client(Role::Manager);
    for path in ["/me", "/nothing", "/releases?limit=0"] {
        let answer = of_origin(&manager, "GET", path, origin);
        assert_eq!(answer.header("access-control-allow-origin"), origin, "{path}");
        let exposed: Vec<_> = answer.header("access-control-expose-headers").split(", ").collect();
        for name in ["ETag", "Location", "Link", "X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After"] {
            assert!(exposed.contains(&name), "{name} is not in {exposed:?}");
        }
        assert_eq!(answer.header("vary"), "Origin");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    // The answer without an origin is another one: caches must know.
    assert_eq!(manager.get("/me").header("vary"), "Origin");
    let preflight = app
        .anonymous()
        .request("OPTIONS", "/releases")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization, idempotency-key");
    let preflight = Answer::of(preflight).expect(204);
    assert_eq!(preflight.header("access-control-allow-origin"), origin);
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST, PUT, PATCH, DELETE");
    let allowed = preflight.header("access-control-allow-headers").to_ascii_lowercase();
    for name in [
        "authorization",
        "content-type",
        "if-match",
        "if-none-match",
        "idempotency-key",
        "x-request-id",
        "traceparent",
        "last-event-id",
    ] {
        assert!(allowed.split(", ").any(|other| other == name), "{name} is not in {allowed}");
    }
    assert_eq!(preflight.header("access-control-max-age"), "600");
    let vary: Vec<_> = preflight.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(vary, ["Access-Control-Request-Method, Access-Control-Request-Headers", "Origin"]);
}

#[test]
fn pages_of_other_origins_may_not() {
    let configured = App::start_with(|config| config.cors_origins = vec!["https://desk.example.org".into()]);
    let without = App::start();
    for app in [&configured, &without] {
        let anonymous = app.anonymous();
        for origin in [
            "https://evil.example.org",
            "https://desk.example.org.evil.example",
            "http://desk.example.org",
            "https://desk.example.org:8443",
            "https://DESK.example.org",
            "null",
            "*",
            "",
        ] {
            let answer = of_origin(&anonymous, "GET", "/me", origin).expect(401);
            assert_safe(&answer, origin);
            assert!(!answer.headers.contains_key("access-control-expose-headers"));
            let preflight = anonymous.request("OPTIONS", "/releases").header("Origin", origin);
            let preflight = Answer::of(preflight.header("Access-Control-Request-Method", "POST"));
            assert_safe(&preflight.problem(405, "METHOD_NOT_ALLOWED"), origin);
        }
    }
    let twice = configured.anonymous().request("GET", "/me").header("Origin", "https://desk.example.org");
    assert_safe(&Answer::of(twice.header("Origin", "https://evil.example.org")), "two origins");
    let outside = of_origin(&configured.anonymous(), "GET", "/metrics", "https://desk.example.org");
    assert!(!outside.headers.contains_key("access-control-allow-origin"), "only the interface is for pages");
    let plain =
        Answer::of(configured.anonymous().request("OPTIONS", "/me").header("Origin", "https://desk.example.org"));
    plain.problem(405, "METHOD_NOT_ALLOWED");
}

#[test]
fn a_page_can_read_that_it_is_too_fast() {
    let origin = "https://desk.example.org";
    let app = App::start_with(|config| {
        config.cors_origins = vec![origin.into()];
        config.rate_limit = 1;
    });
    let anonymous = app.anonymous();
    of_origin(&anonymous, "GET", "/me", origin).expect(401);
    let limited = of_origin(&anonymous, "GET", "/me", origin).problem(429, "RATE_LIMITED");
    assert_eq!(limited.header("access-control-allow-origin"), origin);
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[test]
fn every_caller_behind_a_trusted_proxy_has_a_bucket_of_its_own() {
    let app = App::start_with(|config| {
        config.rate_limit = 2;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let anonymous = app.anonymous();
    let first = from_address(&anonymous, "/me", "203.0.113.1").expect(401);
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=2;w=60");
    assert_eq!(first.header("ratelimit"), "\"default\";r=1");
    from_address(&anonymous, "/me", "203.0.113.1").expect(401);
    let limited = from_address(&anonymous, "/me", "203.0.113.1").problem(429, "RATE_LIMITED");
    assert!(limited.header("ratelimit").starts_with("\"default\";r=0;t="), "{}", limited.header("ratelimit"));
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // What a caller writes in front does not help; another port is no other caller.
    from_address(&anonymous, "/me", "198.51.100.1, 203.0.113.1").problem(429, "RATE_LIMITED");
    from_address(&anonymous, "/me", "203.0.113.1:4711").problem(429, "RATE_LIMITED");
    let standard = anonymous.request("GET", "/me").header("Forwarded", "for=\"203.0.113.1:80\";proto=https");
    Answer::of(standard).problem(429, "RATE_LIMITED");
    // Others are not touched, and one network of IPv6 is one caller.
    from_address(&anonymous, "/me", "203.0.113.2").expect(401);
    from_address(&anonymous, "/me", "2001:db8:1:2::1").expect(401);
    from_address(&anonymous, "/me", "[2001:db8:1:2::2]:80").expect(401);
    from_address(&anonymous, "/me", "2001:db8:1:2::3").problem(429, "RATE_LIMITED");
    from_address(&anonymous, "/me", "2001:db8:1:3::1").expect(401);
    // Garbage is the proxy's own.
    from_address(&anonymous, "/me", "garbage").expect(401);
    from_address(&anonymous, "/me", "other garbage").expect(401);
    anonymous.get("/me").problem(429, "RATE_LIMITED");
}

#[test]
fn an_address_that_anybody_else_claims_does_not_count() {
    let app = App::start_with(|config| {
        config.rate_limit = 2;
        config.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let anonymous = app.anonymous();
    from_address(&anonymous, "/me", "203.0.113.1").expect(401);
    from_address(&anonymous, "/me", "203.0.113.2").expect(401);
    from_address(&anonymous, "/me", "203.0.113.3").problem(429, "RATE_LIMITED");
    Answer::of(anonymous.request("GET", "/me").header("Forwarded", "for=203.0.113.4")).problem(429, "RATE_LIMITED");
}

#[test]
fn failed_logins_count_for_the_address_that_the_trusted_proxy_tells() {
    let login = |app: &App, address: &str, password: &str| {
        let body = json!({"username": "admin", "password": password});
        Answer::of(app.anonymous().request("POST", "/auth/login").header("X-Forwarded-For", address).json(&body)).status
    };
    let behind = App::start_with(|config| config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]);
    for _ in 0..5 {
        assert_eq!(login(&behind, "203.0.113.1", "wrong wrong wrong"), 401);
    }
    assert_eq!(login(&behind, "203.0.113.1", PASSWORD), 429);
    assert_eq!(login(&behind, "203.0.113.2", PASSWORD), 200);
    let open = App::start();
    for last in 1..=5 {
        assert_eq!(login(&open, &format!("203.0.113.{last}"), "wrong wrong wrong"), 401);
    }
    assert_eq!(login(&open, "203.0.113.9", PASSWORD), 429);
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let populated = Populated::start();
    let client = populated.app.client(Role::Admin);
    let head = |client: &Client, path: &str, etag: &str| {
        let response = client.request("HEAD", path).header("If-None-Match", etag).send().unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        assert_eq!(response.text().unwrap(), "", "{path}");
        (status, headers)
    };
    let of_each = ["date", "x-request-id", "traceresponse", "ratelimit"];
    let lasting = |headers: &reqwest::header::HeaderMap| {
        let mut lasting: Vec<String> = headers
            .iter()
            .filter(|(name, _)| !of_each.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lasting.sort();
        lasting
    };
    let operations = Contract::read().operations();
    let reads = operations.iter().filter(|operation| operation.method == "GET");
    let mut paths: Vec<String> = reads.map(|operation| populated.path(&operation.path)).collect();
    assert!(paths.len() > 20);
    paths.extend(["/openapi.json", "/releases/REL-99", "/releases?limit=0"].map(String::from));
    paths.extend(["/livez", "/readyz", "/docs/", "/nothing", "/auth/login"].map(String::from));
    for path in &paths {
        let got = Answer::of(client.request("GET", path));
        let (status, headers) = head(&client, path, "\"other\"");
        assert_eq!(status, got.status, "{path}");
        assert_eq!(lasting(&headers), lasting(&got.headers), "{path}");
        assert!(headers.contains_key("content-length") || headers.contains_key("transfer-encoding"), "{path}");
    }
    let release = populated.path("/api/v1/releases/{release}");
    let tag = client.get(&release).expect(200).header("etag").to_owned();
    assert_eq!(head(&client, &release, &tag).0, 304);
    assert_eq!(head(&populated.app.anonymous(), &release, &tag).0, 401);
    let (status, headers) = head(&client, "/auth/login", &tag);
    assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "POST"));
    for method in ["PUT", "OPTIONS"] {
        let refused = Answer::of(client.request(method, &release));
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD, PATCH"));
    }
}
