//! Odd input at every operation of the document: whatever comes, it is never the service that fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::published::{Contract, Operation, Populated};
use crate::support::*;

/// Values that fit almost nowhere.
fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("\u{1b}[31m\u{7f}\r\n\t"),
        json!("\u{202e}💥é\u{301}ß\u{fffd}\u{10ffff}"),
        json!("'; DROP TABLE releases; --"),
        json!("%s%n{{7*7}}${jndi:x}"),
        json!("x".repeat(70_000)),
        json!("01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"),
        json!("99999-12-31T23:59:60+25:00"),
        json!("0000-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59.999999999Z"),
        json!([]),
        json!([null]),
        json!(vec!["x"; 300]),
        json!({}),
        json!({"": {"a": [1, {"b": null}]}}),
        json!({"start": "9999-12-31T23:59:59Z", "end": "0000-01-01T00:00:00Z"}),
    ]
}

const ODD_TEXTS: &[&str] = &[
    "",
    "0",
    "-1",
    "1e400",
    "NaN",
    "%00",
    "%FF%FE",
    "%ED%A0%80",
    "%2F..%2F..",
    "..",
    "%25",
    "'",
    "\"",
    "%F0%9F%92%A5",
    ",",
    "*",
    "REL-",
    "REL-9223372036854775807",
    "REL-9223372036854775808",
    "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f",
    "01934f2e7b1a7c3d8e4f5a6b7c8d9e0f",
    "{01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f}",
    "9999-12-31T23:59:59Z",
    "-9999-01-01T00:00:00Z",
    "true",
    "null",
    "%0d%0aX-Injected:1",
    "a%00b",
    "%25s",
    "_",
    "%5C",
];

const ODD_BODIES: &[&str] = &[
    "",
    " ",
    "null",
    "true",
    "17",
    "-0",
    "1e400",
    "\"text\"",
    "[]",
    "[[]]",
    "{}",
    "{",
    "}",
    "{\"a\":1,\"a\":2}",
    "{\"\":null}",
    "\"\\ud800\"",
    "{\"title\": \"\\ud800\\u0041\"}",
    "{\"title\": \"\\udc00\"}",
    "{\"\\u0000\": 1}",
    "\u{feff}{}",
    "{} {}",
    "{\"__proto__\": {}}",
    "{\"action\": \"advance\"}",
    "{\"action\": null}",
    "{\"action\": \"create\"}",
    "{\"action\": {}}",
    "nul",
    "0x10",
    "01",
    "1.",
    "{\"a\":1e400}",
    "{\"limit\":-1E-400}",
];

struct Ground {
    populated: Populated,
    contract: Contract,
    client: Client,
    sent: AtomicUsize,
}

impl Ground {
    /// Sends a request. The status must be one that the document knows, and none of the service's own failures.
    fn send(&self, operation: &Operation, request: reqwest::blocking::RequestBuilder, what: &str) {
        let request = match operation.method.as_str() {
            "PATCH" | "DELETE" => request.header("If-Match", "*"),
            _ => request,
        };
        let answer = Answer::of(request);
        self.sent.fetch_add(1, Ordering::Relaxed);
        let id = &operation.id;
        assert!(answer.status < 500, "{id} {what}: {}", answer.text);
        let documented = operation.content["responses"].get(answer.status.to_string()).is_some();
        assert!(documented || [404, 405].contains(&answer.status), "{id} {what}: {} is not documented", answer.status);
    }

    fn bodies(&self, operation: &Operation) {
        let Some(body) = operation.content.get("requestBody") else {
            return;
        };
        let schema = self.contract.resolved(&body["content"]["application/json"]["schema"]);
        let path = self.populated.path(&operation.path);
        let post = |text: String, what: &str| {
            let request = self.client.request(&operation.method, &path);
            self.send(operation, request.header("content-type", "application/json").body(text), what);
        };
        for text in ODD_BODIES {
            post((*text).to_owned(), text);
        }
        let example = &schema["example"];
        let mut properties: Vec<&String> =
            schema["properties"].as_object().into_iter().flat_map(|p| p.keys()).collect();
        for rule in schema["oneOf"].as_array().into_iter().flatten() {
            properties.extend(rule["properties"].as_object().into_iter().flat_map(|p| p.keys()));
        }
        properties.sort_unstable();
        properties.dedup();
        for property in properties {
            for value in odd_values() {
                let mut body = example.clone();
                body[property] = value;
                let text = body.to_string();
                let what = format!("{property}: {}", text.chars().take(200).collect::<String>());
                post(text, &what);
            }
        }
    }

    fn parameters(&self, operation: &Operation) {
        let path = self.populated.path(&operation.path);
        let template = operation.path.trim_start_matches("/api/v1");
        let call = |path: &str| {
            let request = self.client.request(&operation.method, path);
            self.send(operation, request, path);
        };
        for parameter in operation.content["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            for odd in ODD_TEXTS {
                match parameter["in"].as_str().unwrap() {
                    "query" => call(&format!("{path}?{name}={odd}")),
                    "path" if !odd.is_empty() && *odd != ".." => {
                        let odd = template.replace(&format!("{{{name}}}"), odd);
                        let known =
                            odd.replace("{release}", "REL-1").replace("{source}", "test").replace("{external_id}", "1");
                        call(&known.replace("{id}", "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f").replace("{user_id}", "x"));
                    }
                    "header" => {
                        let request = self.client.request(&operation.method, &path).header(name, *odd);
                        let answer = Answer::of(request);
                        assert!(answer.status < 500, "{} {name}: {odd}", operation.id);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn hunt(part: usize, parts: usize) {
    let populated = Populated::start();
    let client = populated.app.client(Role::Admin);
    let ground = Ground { client, contract: Contract::read(), populated, sent: AtomicUsize::new(0) };
    for (index, operation) in ground.contract.operations().iter().enumerate() {
        // Logging in is throttled, and logging out ends the hunt.
        if index % parts == part && operation.id != "end_session" {
            ground.parameters(operation);
            ground.bodies(operation);
        }
    }
    assert!(ground.sent.load(Ordering::Relaxed) > 1000, "hardly anything was sent");
    ground.populated.app.assert_sound();
}

#[test]
fn odd_input_never_makes_the_service_fail_first_half() {
    hunt(0, 2);
}

#[test]
fn odd_input_never_makes_the_service_fail_second_half() {
    hunt(1, 2);
}
