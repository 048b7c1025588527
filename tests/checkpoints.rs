//! Checkpoints of the audit: what they show that a chain alone does not.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use slipway::domain::values::Timestamp;
use slipway::repository::audit::digest;
use slipway::repository::nouns::Unit;
use slipway::service::checkpoints::{ROWS_MAX, Statement, digest_of};
use slipway::service::doctor::{self, Finding};
use slipway::service::keeping::Keeping;
use slipway::service::keys::verified_checkpoint;
use slipway::service::setup::{console, console_request};
use slipway::service::{Env, catalogue};

use crate::binary::{ADMIN_PASSWORD, Folder, Installation, Service};
use crate::support::*;

fn hours(count: i64) -> String {
    NOW.parse::<Timestamp>().unwrap().plus(TimeDelta::hours(count)).to_string()
}

/// Takes the checkpoints that are due; answers how many.
fn take(app: &App) -> usize {
    let done = Keeping::new(Arc::clone(&app.env), None).run_due().unwrap();
    done.checkpoints.expect("checkpoints are due")
}

fn findings(app: &App, file: Option<&PathBuf>) -> Vec<Finding> {
    doctor::examine_with(&mut app.env.database.connect().unwrap(), file.map(PathBuf::as_path)).unwrap()
}

/// The faults of one check.
fn fault(app: &App, check: &str) -> String {
    let found = findings(app, None).into_iter().find(|finding| finding.check == check);
    found.unwrap().fault.unwrap_or_default()
}

fn rows(app: &App, sql: &str) -> Vec<String> {
    lines(&mut app.env.database.connect().unwrap(), sql)
}

/// A release with a history of at least four rows, some checkpoints, and two rows after the last.
fn release_with_history(app: &App) -> String {
    let manager = app.client(Role::Manager);
    let id = manager.post("/releases", &new_release()).expect(201).id();
    // A token lives ten minutes, less than lies between two checkpoints.
    let patch = |title: &str| {
        app.client(Role::Manager).patch(&format!("/releases/{id}"), "*", &json!({"title": title})).expect(200);
    };
    patch("One");
    patch("Two");
    assert_eq!(take(app), 1);
    app.set_clock(&hours(1));
    patch("Three");
    assert_eq!(take(app), 1);
    id
}

/// Damages a database and sees that both ways of proving name the row.
fn damaged(sql: impl Fn(&App, &str) -> String, row: i64, says: &str) {
    let app = App::start();
    let id = release_with_history(&app);
    app.assert_sound();
    app.database.execute(&sql(&app, &id));
    let told = fault(&app, "checkpoints");
    assert!(told.contains(&format!("release {id} row {row}: {says}")), "{told}");
    // The chains by themselves see nothing: that is what checkpoints are for.
    assert_eq!(fault(&app, "audit chains"), "");
    let admin = app.client(Role::Admin);
    let mut paths = vec!["/audit/verify".to_owned()];
    if !rows(&app, &format!("SELECT id AS line FROM releases WHERE id = '{id}'")).is_empty() {
        paths.push(format!("/releases/{id}/history/verify"));
    }
    for path in paths {
        let proof = admin.get(&path).expect(200);
        assert_eq!(proof.body["valid"], false, "{}", proof.text);
        let bad = &proof.body["first_bad"];
        assert_eq!((&bad["record_id"], &bad["seq"]), (&json!(id), &json!(row)), "{}", proof.text);
    }
}

/// Cuts the last rows off a history, and makes the record say that it ends there.
fn cut(app: &App, id: &str, last: i64) -> String {
    let head = rows(app, &format!("SELECT hash AS line FROM audit WHERE record_id = '{id}' AND seq = {last}"));
    format!(
        "DELETE FROM events WHERE record_id = '{id}' AND seq > {last}; \
         DELETE FROM audit WHERE record_id = '{id}' AND seq > {last}; \
         UPDATE releases SET audit_seq = {last}, row_version = {last}, audit_head = '{}' WHERE id = '{id}'",
        head[0]
    )
}

#[test]
fn a_history_whose_end_was_cut_off_is_named() {
    damaged(|app, id| cut(app, id, 3), 4, "a checkpoint states this row, and it is gone");
    damaged(|app, id| cut(app, id, 2), 3, "a checkpoint states this row, and it is gone");
}

#[test]
fn a_record_that_is_gone_with_its_whole_history_is_named() {
    damaged(
        |_, id| {
            ["release_visibility", "release_tags", "transitions"]
                .map(|table| format!("DELETE FROM {table} WHERE release_id = '{id}'; "))
                .concat()
                + &format!(
                    "DELETE FROM events WHERE record_id = '{id}'; DELETE FROM audit WHERE record_id = '{id}'; \
                     DELETE FROM releases WHERE id = '{id}'"
                )
        },
        3,
        "a checkpoint states this row, and it is gone",
    );
}

/// Writes another title into a row of history, and every hash from there to the end anew.
fn forge(app: &App, id: &str, from: i64) -> String {
    let columns = [
        "record_type",
        "record_id",
        "CAST(seq AS TEXT)",
        "action",
        "subject_type",
        "subject_id",
        "COALESCE(actor_id, '')",
        "actor_name",
        "via",
        "request_id",
        "id",
        "salt",
        "changes",
    ];
    let sql = format!(
        "SELECT {} AS line FROM audit WHERE record_id = '{id}' AND seq >= {from} ORDER BY seq",
        columns.join(" || chr(9) || ")
    );
    let sql = if on_postgres() { sql } else { sql.replace("chr(9)", "char(9)") };
    let admin = app.client(Role::Admin);
    let history = admin.get(&format!("/releases/{id}/history?limit=200")).expect(200);
    let instant = |seq: &str| {
        let all = history.body["data"].as_array().unwrap();
        let seq: i64 = seq.parse().unwrap();
        all.iter().find(|row| row["seq"] == seq).unwrap()["at"].as_str().unwrap().to_owned()
    };
    let mut previous =
        rows(app, &format!("SELECT hash AS line FROM audit WHERE record_id = '{id}' AND seq = {}", from - 1))
            .first()
            .cloned()
            .unwrap_or_default();
    let mut script = String::new();
    let forged = rows(app, &sql);
    for row in &forged {
        let mut parts: Vec<String> = row.split('\t').map(str::to_owned).collect();
        parts[12] = parts[12].replace("Two", "Six");
        let of_changes = digest(&[&parts[11], &parts[12]]);
        let at = instant(&parts[2]);
        let mut hashed: Vec<&str> = vec![&previous];
        hashed.extend(parts[..10].iter().map(String::as_str));
        hashed.extend([at.as_str(), of_changes.as_str()]);
        let hash = digest(&hashed);
        script += &format!(
            "UPDATE audit SET changes = '{}', changes_digest = '{of_changes}', previous_hash = '{previous}', \
             hash = '{hash}' WHERE id = '{}'; ",
            parts[12], parts[10]
        );
        previous = hash;
    }
    script + &format!("UPDATE releases SET audit_head = '{previous}' WHERE id = '{id}'")
}

#[test]
fn a_history_that_was_written_anew_with_good_hashes_is_named() {
    damaged(|app, id| forge(app, id, 3), 3, "a checkpoint states another hash for this row");
}

/// Damages the checkpoints themselves and sees that the checkpoint is named.
fn damaged_checkpoint(sql: impl Fn(&App, &str) -> String, seq: i64, says: &str) {
    let app = App::start();
    let id = release_with_history(&app);
    app.database.execute(&sql(&app, &id));
    let told = fault(&app, "checkpoints");
    assert!(told.contains(&format!("checkpoint {seq} row {seq}: {says}")), "{told}");
    let proof = app.client(Role::Admin).get("/audit/verify").expect(200);
    assert_eq!(proof.body["first_bad"]["record_type"], "checkpoint", "{}", proof.text);
}

#[test]
fn checkpoints_that_were_altered_are_named() {
    damaged_checkpoint(
        |_, id| format!("DELETE FROM checkpoint_heads WHERE record_id = '{id}' AND checkpoint = 2"),
        2,
        "the ends of chains that it states were altered",
    );
    damaged_checkpoint(
        |_, _| "DELETE FROM checkpoint_heads WHERE checkpoint = 1; DELETE FROM checkpoints WHERE seq = 1".into(),
        1,
        "the checkpoint is missing",
    );
    damaged_checkpoint(
        |_, _| "UPDATE checkpoints SET taken_at = '2030-01-01 00:00:00' WHERE seq = 2".into(),
        2,
        "it says something else than what is signed",
    );
    damaged_checkpoint(
        |app, _| {
            let statement = rows(app, "SELECT statement AS line FROM checkpoints WHERE seq = 1").remove(0);
            let (head, signature) = statement.rsplit_once('.').unwrap();
            let other = if signature.starts_with('A') { "B" } else { "A" };
            format!("UPDATE checkpoints SET statement = '{head}.{other}{}' WHERE seq = 1", &signature[1..])
        },
        1,
        "it is not signed by a key of this installation",
    );
}

#[test]
fn a_checkpoint_states_what_moved_since_the_last_and_nothing_else() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let one = manager.post("/releases", &new_release()).expect(201).id();
    let two = manager.post("/releases", &new_release()).expect(201).id();
    assert_eq!(take(&app), 1);
    assert_eq!(take_again(&app, 1), 0, "nothing moved");
    app.client(Role::Manager).patch(&format!("/releases/{one}"), "*", &json!({"title": "Moved"})).expect(200);
    assert_eq!(take_again(&app, 2), 1);
    let stated = |seq: i64| {
        rows(
            &app,
            &format!(
                "SELECT record_id AS line FROM checkpoint_heads WHERE checkpoint = {seq} AND record_type = 'release'"
            ),
        )
    };
    let mut first = stated(1);
    first.sort();
    let mut both = [one.clone(), two];
    both.sort();
    assert_eq!((first, stated(2)), (both.to_vec(), vec![one]));
    app.assert_sound();
}

/// Takes checkpoints so many hours later.
fn take_again(app: &App, hour: i64) -> usize {
    app.set_clock(&hours(hour));
    take(app)
}

#[test]
fn a_write_that_was_dated_earlier_and_committed_later_is_stated_too() {
    let app = App::start();
    app.set_clock(&hours(3));
    app.release().make();
    take(&app);
    // Another process, whose clock is behind, or whose transaction took long.
    app.set_clock(&hours(2));
    let late = app.client(Role::Manager).post("/releases", &new_release()).expect(201).id();
    take_again(&app, 4);
    let stated = rows(&app, &format!("SELECT record_id AS line FROM checkpoint_heads WHERE record_id = '{late}'"));
    assert_eq!(stated, [late]);
}

fn stated(app: &App, id: &str) -> bool {
    !rows(app, &format!("SELECT record_id AS line FROM checkpoint_heads WHERE record_id = '{id}'")).is_empty()
}

#[test]
fn history_with_instants_long_past_is_stated_within_a_day() {
    let app = App::start();
    app.set_clock(&hours(100));
    app.release().make();
    take(&app);
    // A process whose clock is days behind.
    app.set_clock(&hours(1));
    let past = app.client(Role::Manager).post("/releases", &new_release()).expect(201).id();
    take_again(&app, 102);
    assert!(!stated(&app, &past));
    let finding = findings(&app, None).into_iter().find(|finding| finding.check == "checkpoints").unwrap();
    assert!(!finding.seen.contains(" 0 rows of history are in none"), "{}", finding.seen);
    app.set_clock(&hours(125));
    let done = Keeping::new(Arc::clone(&app.env), None).run_due().unwrap();
    assert_eq!(done.checkpoints, Some(1));
    assert!(stated(&app, &past));
    let finding = findings(&app, None).into_iter().find(|finding| finding.check == "checkpoints").unwrap();
    assert!(finding.seen.contains("; 0 rows of history are in none yet"), "{}", finding.seen);
    app.assert_sound();
}

#[test]
fn the_past_that_is_seeded_behind_a_checkpoint_is_stated_at_once() {
    let app = App::start();
    let keeping = Keeping::new(Arc::clone(&app.env), None);
    assert!(keeping.run_due().unwrap().checkpoints.unwrap() > 0);
    slipway::service::seed::seed(&app.env, 1, 5).unwrap();
    assert!(keeping.run_due().unwrap().checkpoints.unwrap() > 0);
    let missing = "SELECT id AS line FROM releases WHERE id NOT IN (SELECT record_id FROM checkpoint_heads)";
    assert!(rows(&app, missing).is_empty());
    app.assert_sound();
}

#[test]
fn a_long_history_is_stated_in_several_checkpoints_each_behind_the_other() {
    let app = App::start();
    app.env
        .write_blocking(console_request(console()), |context| {
            for number in 0..ROWS_MAX * 2 {
                let unit = Unit { name: format!("Unit {number}"), description: None, parent_id: None, active: true };
                catalogue::create(context, Ok(unit))?;
            }
            Ok(())
        })
        .unwrap();
    assert!(take(&app) >= 3);
    app.assert_sound();
    let admin = app.client(Role::Admin);
    let page = admin.get("/audit/checkpoints?sort=seq").expect(200);
    let statements: Vec<Statement> =
        page.body["data"].as_array().unwrap().iter().map(|item| claims(item["statement"].as_str().unwrap())).collect();
    for (index, pair) in page.body["data"].as_array().unwrap().windows(2).enumerate() {
        assert_eq!(statements[index + 1].previous, digest_of(pair[0]["statement"].as_str().unwrap()));
    }
    assert_eq!((statements[0].seq, statements[0].previous.as_str()), (1, ""));
    assert_eq!(admin.get("/audit/verify").expect(200).body["checkpoints"], json!(statements.len()));
}

/// What a statement says, read as anybody reads it.
fn claims(statement: &str) -> Statement {
    use base64::Engine as _;
    let payload = statement.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_checkpoint_covers_no_more_than_what_is_stated_by_then() {
    let app = App::start();
    app.release().make();
    take(&app);
    for (hour, units) in [(3, ROWS_MAX + 500), (6, ROWS_MAX + 500)] {
        app.set_clock(&hours(hour));
        app.env
            .write_blocking(console_request(console()), move |context| {
                for number in 0..units {
                    let name = format!("Unit {hour}-{number}");
                    catalogue::create(context, Ok(Unit { name, description: None, parent_id: None, active: true }))?;
                }
                Ok(())
            })
            .unwrap();
    }
    assert!(take_again(&app, 7) >= 3);
    let admin = app.client(Role::Admin);
    let page = admin.get("/audit/checkpoints?sort=seq").expect(200);
    let covered: Vec<&str> =
        page.body["data"].as_array().unwrap().iter().map(|one| one["covered_to"].as_str().unwrap()).skip(1).collect();
    assert_eq!(covered[0], hours(3), "{covered:?}");
    assert!(covered[1..].iter().all(|at| *at == hours(6)), "{covered:?}");
    app.assert_sound();
}

#[test]
fn of_a_long_past_the_first_checkpoints_state_hardly_a_record_twice() {
    let app = App::start();
    slipway::service::seed::seed(&app.env, 1, 1_200).unwrap();
    let taken = take(&app);
    assert!(taken >= 2);
    // But one whose history lies on both sides of where a checkpoint ends.
    let twice = "SELECT record_id AS line FROM checkpoint_heads GROUP BY record_type, record_id HAVING COUNT(*) > 1";
    assert!(rows(&app, twice).len() < taken);
    let finding = findings(&app, None).into_iter().find(|finding| finding.check == "checkpoints").unwrap();
    assert!(finding.seen.contains("; 0 rows of history are in none yet"), "{}", finding.seen);
    // They say up to when history was looked at, so that the next goes on from there.
    let covered = rows(&app, "SELECT CAST(COUNT(*) AS TEXT) AS line FROM checkpoints WHERE covered_to >= taken_at");
    assert_eq!(covered, ["1"]);
    assert_eq!(take_again(&app, 1), 0, "nothing moved");
}

#[test]
fn the_published_keys_verify_the_statements_and_a_token_is_no_statement() {
    let app = App::start();
    app.release().make();
    take(&app);
    let admin = app.client(Role::Admin);
    let keys = admin.get("/audit/keys").expect(200);
    let key = &keys.body["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["use"]), (&json!("OKP"), &json!("Ed25519"), &json!("sig")));
    let row = slipway::repository::identity::SigningKeyRow {
        kid: key["kid"].as_str().unwrap().into(),
        public_key: key["x"].as_str().unwrap().into(),
        sealed_private_key: String::new(),
        created_at: app.env.now(),
        retired_at: None,
    };
    let page = admin.get("/audit/checkpoints").expect(200);
    let item = &page.body["data"][0];
    let statement = item["statement"].as_str().unwrap();
    let says = verified_checkpoint::<Statement>(std::slice::from_ref(&row), statement).unwrap();
    assert_eq!(json!(says.seq), item["seq"]);
    assert_eq!(json!(says.taken_at), item["taken_at"]);
    let token = admin.token.as_deref().unwrap();
    assert!(verified_checkpoint::<Value>(&[row], token).is_none());
    app.client_with(statement).get("/me").problem(401, "UNAUTHENTICATED");
}

#[test]
fn two_processes_take_one_checkpoint_between_them() {
    let app = App::start();
    app.release().make();
    let process = || {
        Keeping::new(Arc::new(Env::new(app.database.open(), Arc::clone(&app.env.keys), app.env.clock().clone())), None)
    };
    let processes = [process(), process()];
    let taken: Vec<Option<usize>> = std::thread::scope(|scope| {
        let runs: Vec<_> = processes.iter().map(|one| scope.spawn(|| one.run_due().unwrap().checkpoints)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().flatten().sum::<usize>(), 1, "{taken:?}");
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
    assert_eq!(rows(&app, "SELECT CAST(seq AS TEXT) AS line FROM checkpoints"), ["1"]);
}

/// An application that appends its checkpoints to a file.
fn with_file() -> (App, Folder, PathBuf, Keeping) {
    let app = App::start();
    let folder = Folder::new();
    let file = folder.path().join("checkpoints");
    let keeping = Keeping::new(Arc::clone(&app.env), Some(file.clone()));
    (app, folder, file, keeping)
}

#[test]
fn checkpoints_are_appended_to_the_file_once_each() {
    let (app, _folder, file, keeping) = with_file();
    app.release().make();
    assert_eq!(keeping.run_due().unwrap().appended, 1);
    assert_eq!(keeping.run_due().unwrap().appended, 0);
    app.set_clock(&hours(1));
    app.release().make();
    // Another process takes them; every process brings its own file up to the database.
    take(&app);
    assert_eq!(keeping.run_due().unwrap().appended, 1);
    let text = std::fs::read_to_string(&file).unwrap();
    let stored = rows(&app, "SELECT statement AS line FROM checkpoints ORDER BY seq");
    assert_eq!(text.lines().collect::<Vec<_>>(), stored);
    assert!(findings(&app, Some(&file)).iter().all(|finding| finding.fault.is_none()));
    // A process that starts anew goes on where the file ends.
    let anew = Keeping::new(Arc::clone(&app.env), Some(file.clone()));
    assert_eq!(anew.run_due().unwrap().appended, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_line_that_a_dying_process_left_half_is_finished() {
    let (app, _folder, file, keeping) = with_file();
    app.release().make();
    keeping.run_due().unwrap();
    app.set_clock(&hours(1));
    app.release().make();
    keeping.run_due().unwrap();
    let whole = std::fs::read(&file).unwrap();
    for length in [0, 10, whole.len() / 2 + 10, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        Keeping::new(Arc::clone(&app.env), Some(file.clone())).run_due().unwrap();
        assert!(std::fs::read(&file).unwrap() == whole, "{length}");
    }
}

#[test]
fn checkpoints_that_were_all_written_anew_disagree_with_the_file() {
    let (app, _folder, file, keeping) = with_file();
    let id = app.client(Role::Manager).post("/releases", &new_release()).expect(201).id();
    app.client(Role::Manager).patch(&format!("/releases/{id}"), "*", &json!({"title": "Two"})).expect(200);
    keeping.run_due().unwrap();
    let kept = std::fs::read_to_string(&file).unwrap();
    // Somebody with the database and the key file forges the history, and makes the checkpoints anew.
    app.database.execute(&forge(&app, &id, 2));
    app.database.execute("DELETE FROM checkpoint_heads; DELETE FROM checkpoints");
    take_again(&app, 1);
    app.assert_sound();
    let of_file = |app: &App| {
        let all = findings(app, Some(&file));
        all.into_iter().find(|finding| finding.check == "checkpoint file").unwrap().fault.unwrap_or_default()
    };
    assert!(of_file(&app).contains("line 1 of "), "{}", of_file(&app));
    assert!(of_file(&app).contains("for which the database has another"), "{}", of_file(&app));
    // The file is not written over to fit.
    let anew = Keeping::new(Arc::clone(&app.env), Some(file.clone()));
    let error = anew.run_due().unwrap_err().to_string();
    assert!(error.contains("not in the database"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);

    app.database.execute("DELETE FROM checkpoint_heads; DELETE FROM checkpoints");
    app.assert_sound();
    assert!(of_file(&app).contains("which the database does not have"), "{}", of_file(&app));
    app.database.execute("DELETE FROM signing_keys");
    assert!(of_file(&app).contains("is not a checkpoint that a key of this database signed"), "{}", of_file(&app));
}

#[test]
fn a_file_from_which_a_line_was_taken_says_so() {
    let (app, _folder, file, keeping) = with_file();
    for hour in 0..3 {
        app.set_clock(&hours(hour));
        app.release().make();
        keeping.run_due().unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().collect();
    std::fs::write(&file, format!("{}\n{}\n", kept[0], kept[2])).unwrap();
    let all = findings(&app, Some(&file));
    let fault = all.last().unwrap().fault.clone().unwrap_or_default();
    assert!(fault.contains("line 2") && fault.contains("does not follow"), "{fault}");
}

#[test]
fn a_running_service_takes_checkpoints_and_the_doctor_compares_them_with_the_file() {
    let installation = Installation::new();
    let mut command = installation.command(&["serve"]);
    command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD).env("SLIPWAY_CHECKPOINT_FILE", "checkpoints");
    let mut service = Service::start(command);
    let file = installation.folder.path().join("checkpoints");
    let started = std::time::Instant::now();
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "no checkpoint was taken");
        std::thread::yield_now();
    }
    let told = installation.run(&["doctor", "--checkpoint-file", "checkpoints"]).expect(0).stdout;
    assert!(told.contains("ok     checkpoint file: 1 checkpoints of checkpoints are in the database"), "{told}");
    service.kill();
    installation.database.execute("DELETE FROM checkpoint_heads; DELETE FROM checkpoints");
    installation.run(&["doctor"]).expect(0);
    let told = installation.run(&["doctor", "--checkpoint-file", "checkpoints"]).expect(5).stdout;
    assert!(told.contains("FAULT  checkpoint file: line 1 of checkpoints"), "{told}");
    installation.run(&["doctor", "--checkpoint-file", "nowhere"]).failure(2);
}
