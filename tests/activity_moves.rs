//! Cards on the move: one order for all, nobody lost or doubled, and nothing too early.

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};

use crate::support::*;

/// So many callers move cards at the same time.
const MOVERS: usize = 8;
/// Each moves so many cards.
const MOVES: usize = 15;

fn activities_of(release: &Value) -> String {
    format!("/releases/{}/activities", release["id"].as_str().unwrap())
}

fn card(client: &Client, release: &Value, phase: &str, title: &str) -> String {
    client.post(&activities_of(release), &json!({"phase": phase, "title": title})).expect(201).id()
}

fn go(client: &Client, release: &Value, id: &str, status: &str, after: Option<&str>) -> Answer {
    client.post(&format!("{}/{id}/move", activities_of(release)), &json!({"status": status, "after_id": after}))
}

/// The titles on a board, column by column.
fn board(client: &Client, release: &Value, phase: &str) -> Vec<Vec<String>> {
    let path = format!("/releases/{}/boards/{phase}", release["id"].as_str().unwrap());
    let board = client.get(&path).expect(200).body;
    let title = |card: &Value| card["title"].as_str().unwrap().to_owned();
    let columns = board["columns"].as_array().unwrap();
    columns.iter().map(|column| column["cards"].as_array().unwrap().iter().map(title).collect()).collect()
}

#[test]
fn a_card_goes_behind_another_or_to_the_head_and_staying_is_nothing() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let [a, b, c] = ["A", "B", "C"].map(|title| card(&lead, &release, "planning", title));
    let todo = |expected: &[&str]| assert_eq!(board(&lead, &release, "planning")[0], expected);
    todo(&["A", "B", "C"]);
    go(&lead, &release, &c, "todo", None).expect(200);
    todo(&["C", "A", "B"]);
    let moved = go(&lead, &release, &c, "todo", Some(&a)).expect(200);
    todo(&["A", "C", "B"]);
    assert_eq!(moved.body["row_version"], 3);
    let stayed = go(&lead, &release, &c, "todo", Some(&a)).expect(200);
    assert_eq!((&stayed.body, stayed.header("etag")), (&moved.body, moved.header("etag")));
    let begun = go(&lead, &release, &b, "in_progress", None).expect(200);
    assert_eq!((&begun.body["started_at"], &begun.body["finished_at"]), (&json!(NOW), &json!(null)));
    let done = go(&lead, &release, &b, "done", None).expect(200);
    assert_eq!(done.body["finished_at"], NOW);
    let again = go(&lead, &release, &b, "todo", Some(&c)).expect(200);
    assert_eq!((&again.body["started_at"], &again.body["finished_at"]), (&json!(null), &json!(null)));
    todo(&["A", "C", "B"]);

    go(&lead, &release, &b, "in_progress", Some(&a))
        .problem(409, "NOT_IN_COLUMN")
        .faults(&[("/after_id", "NOT_IN_COLUMN")]);
    let nobody = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    go(&lead, &release, &b, "todo", Some(nobody))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/after_id", "UNKNOWN_REFERENCE")]);
    go(&lead, &release, &b, "todo", Some(&b)).problem(422, "INVALID_VALUES").faults(&[("/after_id", "INVALID_VALUE")]);
    go(&lead, &release, nobody, "todo", None).problem(404, "NOT_FOUND");
    let path = format!("{}/{b}/move", activities_of(&release));
    let stale = lead.request("POST", &path).header("If-Match", "\"1\"").json(&json!({"status": "done"}));
    Answer::of(stale).problem(412, "PRECONDITION_FAILED");
    let tried = lead.post(&format!("{path}?dry_run=true"), &json!({"status": "done"})).expect(200);
    assert_eq!((&tried.body["id"], &tried.body["status"]), (&json!(b), &json!("done")));
    todo(&["A", "C", "B"]);
    // A repeated key moves once.
    let first = lead.post_once(&path, "once", &json!({"status": "todo"})).expect(200);
    let second = lead.post_once(&path, "once", &json!({"status": "todo"})).expect(200);
    assert_eq!((first.text, second.header("idempotent-replayed")), (second.text.clone(), "true"));
    app.assert_sound();
}

#[test]
fn what_is_archived_is_on_no_board_and_comes_back_at_the_end() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let [a, b, _] = ["A", "B", "C"].map(|title| card(&lead, &release, "planning", title));
    let path = format!("{}/{a}", activities_of(&release));
    let act = |what: &str| Answer::of(lead.request("POST", &format!("{path}/{what}")));
    let archived = act("archive").expect(200);
    assert_eq!((&archived.body["archived_at"], &archived.body["row_version"]), (&json!(NOW), &json!(2)));
    assert_eq!(act("archive").expect(200).body["row_version"], 2);
    assert_eq!(board(&lead, &release, "planning")[0], ["B", "C"]);
    go(&lead, &release, &a, "done", None).problem(409, "ACTIVITY_ARCHIVED");
    lead.patch(&path, "*", &json!({"title": "Z"})).problem(409, "ACTIVITY_ARCHIVED");
    go(&lead, &release, &b, "todo", Some(&a)).problem(409, "NOT_IN_COLUMN");
    lead.get(&path).expect(200);
    act("unarchive").expect(200);
    assert_eq!(board(&lead, &release, "planning")[0], ["B", "C", "A"]);
    Answer::of(lead.request("DELETE", &path).header("If-Match", "*")).problem(405, "METHOD_NOT_ALLOWED");
}

#[test]
fn deployment_activities_begin_once_the_stages_before_deployment_are_left() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    for (model, before, deployment) in
        [("Standard", &["planning", "authorization"][..], "deployment"), ("Minor", &["planning"], "deployment")]
    {
        for stage in before {
            let release = app.release().with("model_id", app.model(model)).at(stage).make();
            let id = card(&manager, &release, "deployment", "Install");
            for status in ["in_progress", "done"] {
                let refused = go(&manager, &release, &id, status, None).problem(409, "BEFORE_DEPLOYMENT");
                assert_eq!(refused.body["current_stage"], *stage);
            }
            go(&manager, &release, &id, "skipped", None).expect(200);
            go(&manager, &release, &id, "todo", None).expect(200);
        }
        let release = app.release().with("model_id", app.model(model)).at(deployment).make();
        let (one, two) =
            (card(&manager, &release, "deployment", "Install"), card(&manager, &release, "deployment", "Look"));
        go(&manager, &release, &one, "in_progress", None).expect(200);
        go(&manager, &release, &two, "in_progress", None).expect(200);
        // Sent back, what was begun stays begun, and may change its place but go no further.
        let back = json!({"action": "send_back", "from_stage": "deployment", "note": "No", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
        transition(&manager, &release, &back);
        go(&manager, &release, &one, "in_progress", None).expect(200);
        go(&manager, &release, &one, "done", None).problem(409, "BEFORE_DEPLOYMENT");
    }
}

#[test]
fn nothing_is_done_before_what_it_depends_on_and_nothing_undone_behind_what_is_done() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let path = activities_of(&release);
    let [a, b] = ["A", "B"].map(|title| card(&lead, &release, "planning", title));
    let c = json!({"phase": "planning", "title": "C", "depends_on": [a, b]});
    let c = lead.post(&path, &c).expect(201).id();
    go(&lead, &release, &c, "in_progress", None).expect(200);
    let refused = go(&lead, &release, &c, "done", None).problem(409, "DEPENDENCIES_NOT_DONE");
    let told: Vec<&str> =
        refused.body["errors"].as_array().unwrap().iter().map(|fault| fault["detail"].as_str().unwrap()).collect();
    assert!(told.len() == 2 && told[0].contains(&a) && told[1].contains(&b), "{told:?}");
    go(&lead, &release, &a, "done", None).expect(200);
    go(&lead, &release, &c, "done", None).problem(409, "DEPENDENCIES_NOT_DONE");
    go(&lead, &release, &b, "skipped", None).expect(200);
    go(&lead, &release, &c, "done", None).expect(200);
    let refused = go(&lead, &release, &a, "todo", None).problem(409, "DEPENDENTS_DONE");
    assert!(refused.text.contains(&c), "{}", refused.text);
    // What is done does not come to depend on what is not.
    let d = card(&lead, &release, "planning", "D");
    let late = lead.patch(&format!("{path}/{c}"), "*", &json!({"depends_on": [a, b, d]}));
    late.problem(422, "INVALID_VALUES").faults(&[("/depends_on/2", "DEPENDENCIES_NOT_DONE")]);
    // Archived, it counts for nothing; and it does not come back where it would break what holds.
    let archive = |id: &str, what: &str| Answer::of(lead.request("POST", &format!("{path}/{id}/{what}")));
    archive(&c, "archive").expect(200);
    go(&lead, &release, &a, "todo", None).expect(200);
    archive(&c, "unarchive").problem(409, "DEPENDENCIES_NOT_DONE");
    archive(&a, "archive").expect(200);
    archive(&c, "unarchive").expect(200);
    archive(&a, "unarchive").problem(409, "DEPENDENTS_DONE");
    app.assert_sound();
}

#[test]
fn movers_at_the_same_time_keep_one_order_and_lose_and_double_nobody() {
    let app = App::start_with(|config| config.workers = 2);
    let lead = app.client(Role::Lead);
    let mut body = new_release();
    let planned: Vec<Value> = (0..24).map(|nth| json!({"phase": "planning", "title": format!("{nth:02}")})).collect();
    body["activities"] = json!(planned);
    let release = Arc::new(lead.post("/releases", &body).expect(201).body);
    let list = lead.get(&activities_of(&release)).expect(200).body["data"].clone();
    let ids: Arc<Vec<String>> =
        Arc::new(list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect());
    let start = Arc::new(Barrier::new(MOVERS));
    let threads: Vec<_> = (0..MOVERS)
        .map(|mover| {
            let (release, ids, start) = (Arc::clone(&release), Arc::clone(&ids), Arc::clone(&start));
            let client = lead.clone();
            std::thread::spawn(move || {
                start.wait();
                let mut moved = 0;
                for turn in 0..MOVES {
                    // All of them crowd around the same few cards.
                    let at = (mover * 7 + turn * 5) % ids.len();
                    let behind = (mover + turn) % 4;
                    let status = ["todo", "in_progress", "done", "todo"][(mover + turn * 3) % 4];
                    let after = (behind != at && turn % 3 != 0).then(|| ids[behind].as_str());
                    let answer = go(&client, &release, &ids[at], status, after);
                    match answer.status {
                        200 => moved += 1,
                        _ => drop(answer.problem(409, "NOT_IN_COLUMN")),
                    }
                }
                moved
            })
        })
        .collect();
    let moved: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(moved > MOVERS, "{moved}");
    let mut all = board(&lead, &release, "planning").concat();
    // The list has the same order.
    let listed = lead.get(&format!("{}?limit=200", activities_of(&release))).expect(200);
    let titles: Vec<&str> =
        listed.body["data"].as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap()).collect();
    assert_eq!(all, titles);
    let positions: Vec<&str> =
        listed.body["data"].as_array().unwrap().iter().map(|one| one["position"].as_str().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    all.sort();
    assert_eq!(all, (0..24).map(|nth| format!("{nth:02}")).collect::<Vec<_>>());
    let verified = lead.get(&format!("/releases/{}/history/verify", release["id"].as_str().unwrap())).expect(200);
    assert_eq!(verified.body["valid"], true);
    app.assert_sound();
}

#[test]
fn a_move_writes_few_rows_and_keys_stay_short_however_often_cards_are_put_in_the_same_place() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let release = app.release().make();
    let ids: Vec<String> = (0..12).map(|nth| card(&lead, &release, "planning", &format!("{nth:02}"))).collect();
    let positions = || {
        let list = lead.get(&format!("{}?limit=200&sort=created_at", activities_of(&release))).expect(200);
        let of = |one: &Value| one["position"].as_str().unwrap().to_owned();
        list.body["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let mut order: Vec<usize> = (0..12).collect();
    let mut before = positions();
    let mut swept = 0;
    for turn in 0..120 {
        // The last card, always behind the first.
        let moved = order.pop().unwrap();
        order.insert(1, moved);
        go(&lead, &release, &ids[moved], "todo", Some(&ids[order[0]])).expect(200);
        let after = positions();
        let written = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert!(written <= 5, "{written} cards were written in turn {turn}");
        swept += usize::from(written > 1);
        before = after;
    }
    assert!(swept > 0, "no key has become long: {before:?}");
    assert!(before.iter().all(|position| position.len() < 30), "{before:?}");
    let expected: Vec<String> = order.iter().map(|nth| format!("{nth:02}")).collect();
    assert_eq!(board(&lead, &release, "planning")[0], expected);
}
