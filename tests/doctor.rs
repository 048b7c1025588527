//! Proofs that are taken while others write.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::*;

/// So many proofs are taken.
const PROOFS: usize = 40;

#[test]
fn a_proof_taken_while_others_write_finds_nothing_wrong() {
    let app = App::start();
    let release = app.release().make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (client, path, stop) = (app.client(Role::Manager), &path, &stop);
            scope.spawn(move || {
                for write in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let title = format!("Title {writer} {write}");
                    client.patch(path, "*", &json!({"title": title})).expect(200);
                }
            });
        }
        let admin = app.client(Role::Admin);
        let mut wrong = Vec::new();
        for _ in 0..PROOFS {
            for path in [format!("{path}/history/verify"), "/audit/verify".to_owned()] {
                let proof = admin.get(&path);
                if proof.body["valid"] != true {
                    wrong.push(proof.text);
                }
            }
            let findings = slipway::service::doctor::examine(&mut app.env.database.connect().unwrap());
            let faults = findings.unwrap().into_iter().filter_map(|finding| finding.fault);
            wrong.extend(faults);
        }
        stop.store(true, Ordering::SeqCst);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
    app.assert_sound();
}

/// Damages a sound database, and sees that the check, and no other, names what is wrong.
fn damaged(check: &str, names: &[&str], sql: &str) {
    let app = App::start();
    let one = app.release().with("tags", json!(["payments"])).at("deployment").make();
    let two = app.release().make();
    let id = |release: &serde_json::Value| release["id"].as_str().unwrap().to_owned();
    app.client(Role::Manager).post_once("/releases", "the-key", &new_release()).expect(201);
    let card = json!({"phase": "planning", "title": "Ask", "tags": ["shops"]});
    let activities = format!("/releases/{}/activities", id(&two));
    let card = app.client(Role::Manager).post(&activities, &card).expect(201).id();
    damage(&app, &[("ONE", &id(&one)), ("TWO", &id(&two)), ("CARD", &card)], (check, names, sql));
}

/// The same of what releases did and are going to do to configuration items: `DONE` is closed, over `ITEM` by `LINK`, which
/// `USED` became; `NEXT` is going to make `KEPT` of `ITEM` by `PLAN`. `LOOSE` is a spare in stock.
fn damaged_items(check: &str, names: &[&str], sql: &str) {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let item = app.item();
    let planned = || {
        let release = app.release().with("configuration_items", json!([{"configuration_item_id": item}])).make();
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        let spare = crate::hardware_spares::reserve(&app, &path, "T7", Some(&item));
        let link = lead.get(&format!("{path}/configuration-items")).expect(200).body["data"][0]["id"].clone();
        (release, spare["spare_id"].as_str().unwrap().to_owned(), link.as_str().unwrap().to_owned())
    };
    let (mut done, used, link) = planned();
    carry(&app, &manager, &mut done, "closure");
    record_outcomes(&manager, &done);
    transition(&manager, &done, &json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}}));
    let (next, kept, plan) = planned();
    let loose = crate::hardware_spares::spare(&app, "T8");
    let told = manager.get("/write-backs").expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    let [done, next] = [done, next].map(|release| release["id"].as_str().unwrap().to_owned());
    let ids = [
        ("DONE", done.as_str()),
        ("NEXT", next.as_str()),
        ("ITEM", item.as_str()),
        ("LINK", link.as_str()),
        ("PLAN", plan.as_str()),
        ("USED", used.as_str()),
        ("KEPT", kept.as_str()),
        ("LOOSE", loose.as_str()),
        ("TOLD", told.as_str()),
    ];
    damage(&app, &ids, (check, names, sql));
}

/// Damages a sound database; in names and statement the words stand for identifiers.
fn damage(app: &App, ids: &[(&str, &str)], (check, names, sql): (&str, &[&str], &str)) {
    app.assert_sound();
    let unguarded = match on_postgres() {
        true => "SET session_replication_role = replica; ",
        false => "PRAGMA foreign_keys = OFF; ",
    };
    let fill = |text: &str| ids.iter().fold(text.to_owned(), |text, (word, id)| text.replace(word, id));
    app.database.execute(&format!("{unguarded}{}", fill(sql)));
    let findings = slipway::service::doctor::examine(&mut app.env.database.connect().unwrap()).unwrap();
    let faults: Vec<_> = findings.into_iter().filter(|finding| finding.fault.is_some()).collect();
    let found = faults.iter().find(|finding| finding.check == check);
    let told = found.and_then(|finding| finding.fault.clone()).unwrap_or_else(|| panic!("{check}: {faults:?}"));
    for name in names {
        assert!(told.contains(&fill(name)), "{name}: {told}");
    }
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn a_row_that_refers_to_nothing_is_named_with_its_column() {
    damaged(
        "foreign keys",
        &["releases TWO refers by portfolio_id to portfolios nowhere, which is not there"],
        "UPDATE releases SET portfolio_id = 'nowhere' WHERE id = 'TWO'",
    );
    damaged(
        "foreign keys",
        &["release_tags nothing lost refers by release_id to releases nothing"],
        "INSERT INTO release_tags (release_id, tag) VALUES ('nothing', 'lost')",
    );
}

#[test]
fn an_event_without_its_change_and_a_change_without_its_event_are_named() {
    damaged(
        "events",
        &["release ONE row 2 of the audit is without its event"],
        "DELETE FROM events WHERE record_id = 'ONE' AND seq = 2",
    );
    damaged(
        "events",
        &["event lost of release TWO is without its row of the audit"],
        "INSERT INTO events (id, record_type, record_id, seq, type, at) \
         VALUES ('lost', 'release', 'TWO', 99, 'release.update', '2030-01-01 00:00:00')",
    );
}

#[test]
fn a_release_that_stands_where_no_transition_left_it_is_named() {
    damaged(
        "transitions",
        &["release ONE is open in closure", "left it open in deployment"],
        "UPDATE releases SET stage = 'closure' WHERE id = 'ONE'",
    );
    damaged(
        "transitions",
        &["of release ONE is without its row of the audit"],
        "UPDATE transitions SET seq = 77 WHERE release_id = 'ONE' AND seq = (SELECT MAX(seq) FROM transitions \
         WHERE release_id = 'ONE')",
    );
}

#[test]
fn counters_that_disagree_with_what_was_counted_are_named() {
    damaged("counters", &["release TWO counts 3 reopenings"], "UPDATE releases SET reopen_count = 3 WHERE id = 'TWO'");
    damaged("counters", &["release TWO has version 99"], "UPDATE releases SET row_version = 99 WHERE id = 'TWO'");
    if on_postgres() {
        damaged("counters", &["the next number is not beyond"], "SELECT setval('release_number', 1)");
    }
}

#[test]
fn rows_that_were_derived_and_do_not_fit_any_more_are_named() {
    damaged("derived rows", &["release ONE has other tags"], "DELETE FROM release_tags WHERE release_id = 'ONE'");
    damaged(
        "derived rows",
        &["release TWO is not visible to who registered it", "release TWO is not visible to its executor group"],
        "DELETE FROM release_visibility WHERE release_id = 'TWO'",
    );
}

#[test]
fn activities_that_tell_other_sums_than_their_entries_are_named() {
    let broken = |says: &str, sql: &str| damaged("activities", &[&format!("activity CARD {says}")], sql);
    broken("tells another time", "UPDATE activities SET minutes_spent = 5 WHERE id = 'CARD'");
    broken("counts 2 comments", "UPDATE activities SET comment_count = 2 WHERE id = 'CARD'");
    broken("has other tags", "DELETE FROM activity_tags WHERE activity_id = 'CARD'");
    broken(
        "depends on CARD of another release",
        "INSERT INTO activity_dependencies (activity_id, depends_on_id, release_id) VALUES ('CARD', 'CARD', 'ONE')",
    );
}

#[test]
fn links_write_backs_and_histories_that_disagree_are_named() {
    let broken = |says: &str, sql: &str| damaged_items("write-backs", &[says], sql);
    broken("link LINK of release DONE is applied, and no write-back says so", "DELETE FROM write_backs");
    broken(
        "write-back TOLD is of link PLAN, which is pending",
        "UPDATE release_configuration_items SET release_id = 'DONE' WHERE id = 'PLAN'; \
         UPDATE release_configuration_items SET release_id = 'NEXT', outcome = 'skipped' WHERE id = 'LINK'; \
         UPDATE release_hardware_spares SET link_id = NULL; UPDATE write_backs SET link_id = 'PLAN'",
    );
    broken(
        "write-back TOLD is of another release or item than its link LINK",
        "UPDATE write_backs SET release_id = 'NEXT'",
    );
    broken(
        "write-back TOLD is confirmed, and when it was answered says something else",
        "UPDATE write_backs SET state = 'confirmed'",
    );
    broken(
        "write-back TOLD is pending, and a later one of its item is there",
        "INSERT INTO configuration_item_history (id, configuration_item_id, row_version, origin, actor_name, request_id, \
         at, after) SELECT 'later', configuration_item_id, 3, origin, actor_name, request_id, at, after \
         FROM configuration_item_history WHERE row_version = 2; \
         INSERT INTO write_backs (id, kind, state, release_id, link_id, configuration_item_id, history_id, source, \
         row_version, created_at, updated_at) SELECT 'more', kind, state, release_id, link_id, configuration_item_id, \
         'later', source, 1, created_at, updated_at FROM write_backs",
    );
    broken(
        "configuration item ITEM is at version 2, which its history does not know",
        "UPDATE configuration_item_history SET row_version = 9 WHERE row_version = 2",
    );
}

#[test]
fn reservations_that_disagree_with_spares_and_links_are_named() {
    let broken = |names: &[&str], sql: &str| damaged_items("hardware spares", names, sql);
    broken(
        &["spare KEPT is in_stock, and reserved for release NEXT"],
        "UPDATE hardware_spares SET status = 'in_stock' WHERE id = 'KEPT'",
    );
    broken(
        &["spare LOOSE is reserved for no release"],
        "UPDATE hardware_spares SET status = 'reserved' WHERE id = 'LOOSE'",
    );
    broken(
        &[
            "spare KEPT is reserved for release DONE, which is closed",
            "for item ITEM, which release DONE does not link",
        ],
        "UPDATE release_hardware_spares SET release_id = 'DONE' WHERE spare_id = 'KEPT'",
    );
    broken(
        &["spare USED is reverted by link LINK, which is applied"],
        "UPDATE release_hardware_spares SET state = 'reverted' WHERE spare_id = 'USED'",
    );
}

#[test]
fn a_key_without_its_answer_is_named() {
    damaged("kept answers", &["key the-key of "], "UPDATE idempotency_keys SET status = 0 WHERE key = 'the-key'");
    damaged(
        "kept answers",
        &["key the-key of ", "answers with release nowhere"],
        "UPDATE idempotency_keys SET release_id = 'nowhere' WHERE key = 'the-key'",
    );
}

#[test]
fn releases_that_depend_on_each_other_in_a_circle_are_named() {
    damaged(
        "dependencies",
        &["ONE depends on ", "TWO"],
        "INSERT INTO release_dependencies (release_id, depends_on_id) VALUES ('ONE', 'TWO'); \
         INSERT INTO release_dependencies (release_id, depends_on_id) VALUES ('TWO', 'ONE')",
    );
}

#[test]
fn migrations_that_are_pending_or_unknown_are_named() {
    damaged(
        "migrations",
        &["of a later version of slipway: 29990101000001"],
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000001')",
    );
    damaged(
        "migrations",
        &["pending: 2026-11-21-000002_keeping"],
        "DELETE FROM __diesel_schema_migrations WHERE version = '20261121000002'",
    );
}

#[test]
fn an_index_that_is_broken_is_named() {
    let app = App::start();
    app.release().make();
    let slipway::repository::Target::Sqlite(file) = &app.database.target else {
        drop(app);
        return damaged(
            "integrity",
            &["index releases_priority_id_idx is not valid"],
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'releases_priority_id_idx'::regclass",
        );
    };
    let mut connection = app.env.database.connect().unwrap();
    execute(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let root = "SELECT CAST(rootpage AS TEXT) AS line FROM sqlite_master WHERE name = 'releases_priority_id_idx'";
    let page: usize = lines(&mut connection, root)[0].parse().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let copy = crate::binary::Folder::new();
    bytes[(page - 1) * 4096 + 16..page * 4096].fill(0);
    let broken = copy.path().join("broken.db");
    std::fs::write(&broken, bytes).unwrap();
    let mut connection = slipway::repository::backup::open_copy(&broken).unwrap();
    let findings = slipway::service::doctor::examine(&mut connection).unwrap();
    let told = findings.iter().find(|finding| finding.check == "integrity").unwrap().fault.clone().unwrap_or_default();
    assert!(told.contains("releases_priority_id_idx") || told.contains(&format!("page {page}")), "{told}");
}
