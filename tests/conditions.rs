//! `If-Match` and `If-None-Match` as they are written, and not as somebody may have meant them.

use serde_json::json;

use crate::support::*;

/// A release manager's way to the one release there is.
fn release(app: &App) -> (Client, String) {
    let release = app.release().make();
    (app.client(Role::Admin), format!("/releases/{}", release["key"].as_str().unwrap()))
}

#[test]
fn a_condition_that_is_no_list_of_etags_is_refused() {
    let app = App::start();
    let (admin, path) = release(&app);
    let long = format!("\"{}\"", "1".repeat(1000));
    for text in ["1", "\"1", "W/W/\"1\"", "\"1\"\"", ",", ", ,", "*, \"1\"", "*,", "\"a b\"", long.as_str()] {
        let read = Answer::of(admin.request("GET", &path).header("If-None-Match", text));
        read.problem(400, "MALFORMED_REQUEST").faults(&[("If-None-Match", "INVALID_HEADER")]);
        let patch = admin.request("PATCH", &path).header("If-Match", text).json(&json!({"title": "Other"}));
        Answer::of(patch).problem(400, "MALFORMED_REQUEST").faults(&[("If-Match", "INVALID_HEADER")]);
    }
}

#[test]
fn a_condition_may_come_in_several_lines() {
    let app = App::start();
    let (admin, path) = release(&app);
    let tag = admin.get(&path).expect(200).header("etag").to_owned();
    let lines = |first: &str, second: &str| {
        Answer::of(admin.request("GET", &path).header("If-None-Match", first).header("If-None-Match", second))
    };
    lines("\"0.x\"", &tag).expect(304);
    lines(&format!("W/{tag}"), "\"0.x\"").expect(304);
    lines("\"0.x\"", "\"0.y\"").expect(200);
    let patch = admin.request("PATCH", &path).header("If-Match", "\"999\"").header("If-Match", &tag);
    Answer::of(patch.json(&json!({"title": "Other"}))).expect(200);
}

#[test]
fn a_version_is_written_in_one_way_alone() {
    let app = App::start();
    let (admin, path) = release(&app);
    for title in ["Two", "Three"] {
        admin.patch(&path, "*", &json!({"title": title})).expect(200);
    }
    let patch =
        |tag: &str| Answer::of(admin.request("PATCH", &path).header("If-Match", tag).json(&json!({"title": tag})));
    for tag in ["\"+3\"", "\"03\"", "\"003.abc\"", "\"+3.abc\"", "\"3x\"", "\"0x3\"", "\"٣\""] {
        let answer = patch(tag);
        assert!([400, 412].contains(&answer.status), "{tag}: {}", answer.text);
        assert!(!tag.is_ascii() || answer.status == 412, "{tag}: {}", answer.text);
    }
    patch("\"3\"").expect(200);
}

#[test]
fn empty_elements_of_a_list_are_passed_over() {
    let app = App::start();
    let (admin, path) = release(&app);
    let tag = admin.get(&path).expect(200).header("etag").to_owned();
    for list in [format!(",{tag}"), format!("{tag},"), format!(" , ,\t{tag} ,, \"0.x\",")] {
        Answer::of(admin.request("GET", &path).header("If-None-Match", list)).expect(304);
    }
    let patch = admin.request("PATCH", &path).header("If-Match", ", \"9\",,\"1\",").json(&json!({"title": "Other"}));
    Answer::of(patch).expect(200);
}
