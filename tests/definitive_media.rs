//! The definitive media library: from a draft to what is installed, its content, its licences, and what stays out.

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::raw::eventually;
use crate::support::*;

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a medium of this version holds.
pub fn content_of(version: &str) -> String {
    format!("the package of {version}")
}

/// A medium named `payments`, carried to a status: uploaded by an integration, verified by an operator and authorised by
/// the lead. Answers its identifier.
pub fn medium(app: &App, version: &str, status: &str) -> String {
    let integration = app.client(Role::Integration);
    let digest = sha256(content_of(version).as_bytes());
    let body = json!({"name": "payments", "version": version, "kind": "package", "sha256": digest});
    let id = integration.post("/definitive-media", &body).expect(201).id();
    let path = format!("/definitive-media/{id}");
    put(&integration, &path, content_of(version).as_bytes()).expect(200);
    if status != "draft" {
        app.client(Role::Operator).post(&format!("{path}/verify"), &json!({})).expect(200);
    }
    if status == "authorised" {
        act(&app.client(Role::Lead), &path, "authorise").expect(200);
    }
    id
}

fn put(client: &Client, path: &str, content: &[u8]) -> Answer {
    client.put_form(&format!("{path}/content"), form(&[], Some(("payments.zip", "application/zip", content))))
}

fn act(client: &Client, path: &str, action: &str) -> Answer {
    Answer::of(client.request("POST", &format!("{path}/{action}")))
}

fn new_medium(name: &str) -> Value {
    json!({"name": name, "version": "4.2.0", "kind": "package"})
}

/// Files below the folder of the store, but for the one that says whose it is.
fn stored_files(app: &App) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for shard in std::fs::read_dir(documents_of(&app.database.target)).into_iter().flatten() {
        for file in std::fs::read_dir(shard.unwrap().path()).into_iter().flatten() {
            found.push(file.unwrap().path());
        }
    }
    found
}

#[test]
fn a_medium_is_verified_by_one_and_authorised_by_another_and_then_never_changes() {
    let app = App::start();
    let (integration, operator, lead) =
        (app.client(Role::Integration), app.client(Role::Operator), app.client(Role::Lead));
    let mut body = new_medium("payments");
    body["licence"] = json!({"key": "vault:payments", "holder": "Example Bank", "total": 3});
    let made = integration.post("/definitive-media", &body).expect(201);
    assert_eq!((&made.body["status"], &made.body["sha256"]), (&json!("draft"), &Value::Null));
    let path = format!("/definitive-media/{}", made.id());
    assert_eq!(made.header("location"), format!("/api/v1{path}"));
    integration.post("/definitive-media", &body).problem(409, "ALREADY_EXISTS");
    integration.get(&format!("{path}/content")).problem(404, "NOT_FOUND");
    act(&lead, &path, "authorise").problem(409, "MEDIUM_STATE_FORBIDS");

    let content = content_of("4.2.0");
    let stored = put(&integration, &path, content.as_bytes()).expect(200);
    // What came is seen, and nobody has said yet that it should be that.
    let digest = json!(sha256(content.as_bytes()));
    assert_eq!((&stored.body["sha256"], &stored.body["content_sha256"]), (&Value::Null, &digest));
    let verify = |body: Value| operator.post(&format!("{path}/verify"), &body);
    verify(json!({})).problem(422, "INVALID_VALUES").faults(&[("/sha256", "REQUIRED")]);
    assert_eq!(stored.body["size_bytes"], content.len());
    assert_eq!(
        (&stored.body["file_name"], &stored.body["media_type"]),
        (&json!("payments.zip"), &json!("application/zip"))
    );
    operator
        .post(&format!("{path}/verify"), &json!({"sha256": "0".repeat(64)}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/sha256", "DIGEST_MISMATCH")]);
    let verified = operator.post(&format!("{path}/verify"), &json!({"sha256": sha256(content.as_bytes())})).expect(200);
    assert_eq!((&verified.body["status"], &verified.body["sha256"]), (&json!("verified"), &digest));
    assert_eq!(verified.body["verified_by"], app.user_id(Role::Operator).to_string());
    operator.post(&format!("{path}/verify"), &json!({})).problem(409, "MEDIUM_STATE_FORBIDS");
    put(&integration, &path, b"more").problem(409, "MEDIUM_STATE_FORBIDS");
    // Authorising is a permission of its own.
    act(&operator, &path, "authorise").problem(403, "FORBIDDEN");
    let stale = lead.request("POST", &format!("{path}/authorise")).header("If-Match", "\"1\"");
    Answer::of(stale).problem(412, "PRECONDITION_FAILED");
    let tried = act(&lead, &path, "authorise?dry_run=true").expect(200);
    assert_eq!((&tried.body["status"], tried.header("dry-run")), (&json!("authorised"), "true"));
    let authorised = act(&lead, &path, "authorise").expect(200);
    assert_eq!(authorised.body["authorised_by"], app.user_id(Role::Lead).to_string());
    act(&lead, &path, "authorise").problem(409, "MEDIUM_STATE_FORBIDS");

    for (field, value) in [
        ("name", json!("other")),
        ("version", json!("5")),
        ("kind", json!("firmware")),
        ("sha256", Value::Null),
        ("physical_location", json!("Safe 2")),
        ("logical_location", json!("registry.example.org/x")),
    ] {
        let pointer = format!("/{field}");
        integration
            .patch(&path, "*", &json!({field: value, "notes": "x"}))
            .problem(409, "MEDIUM_LOCKED")
            .faults(&[(&pointer, "MEDIUM_LOCKED")]);
    }
    integration.patch(&path, "*", &json!({"status": "draft"})).problem(400, "MALFORMED_REQUEST");
    let patched = integration.patch(&path, "*", &json!({"notes": "Looked at", "licence": {"total": 5}})).expect(200);
    assert_eq!(
        (&patched.body["status"], &patched.body["licence"]["total"], &patched.body["licence"]["holder"]),
        (&json!("authorised"), &json!(5), &json!("Example Bank"))
    );
    let retired = act(&integration, &path, "retire").expect(200);
    assert_eq!(retired.body["status"], "retired");
    act(&integration, &path, "retire").problem(409, "MEDIUM_STATE_FORBIDS");
    let audit = app.client(Role::Admin).get(&format!("/audit?record_type=definitive_medium&record_id={}", made.id()));
    let actions: Vec<Value> =
        audit.expect(200).body["data"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    let expected = ["retire", "update", "authorise", "verify", "store_content", "create"];
    assert_eq!(actions, expected.map(|verb| json!(format!("definitive_medium.{verb}"))));
    app.assert_sound();
}

#[test]
fn whoever_verified_a_medium_does_not_authorise_it_whatever_their_rights() {
    let app = App::start();
    for role in [Role::Admin, Role::Manager, Role::Lead] {
        let client = app.client(role);
        let id = medium(&app, role.username(), "draft");
        let path = format!("/definitive-media/{id}");
        client.post(&format!("{path}/verify"), &json!({})).expect(200);
        act(&client, &path, "authorise").problem(403, "FOUR_EYES");
        assert_eq!(client.get(&path).expect(200).body["status"], "verified");
    }
}

#[test]
fn the_content_of_a_medium_comes_back_whole_and_in_parts() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let made = client.post("/definitive-media", &new_medium("payments")).expect(201);
    let path = format!("/definitive-media/{}", made.id());
    // Larger than a part of the store.
    let sent: Vec<u8> = (0..1_000_003_usize).map(|index| (index % 251) as u8).collect();
    put(&client, &path, &sent).expect(200);
    let at = format!("{path}/content");
    let get = |headers: &[(&str, &str)]| {
        let request = app.client(Role::Outsider).request("GET", &at);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().unwrap()
    };
    let whole = get(&[]);
    let tag = format!("\"{}\"", sha256(&sent));
    assert_eq!((whole.status().as_u16(), whole.headers()["etag"].to_str().unwrap()), (200, tag.as_str()));
    assert_eq!(whole.headers()["content-disposition"], "attachment; filename=\"payments.zip\"");
    assert!(whole.bytes().unwrap() == sent);
    let part = get(&[("range", "bytes=1000-1999"), ("if-range", &tag)]);
    assert_eq!(part.status(), 206);
    assert!(part.bytes().unwrap() == sent[1000..2000]);
    assert_eq!(get(&[("if-none-match", &tag)]).status(), 304);
    assert_eq!(get(&[("range", "bytes=1000003-")]).status(), 416);
    app.assert_sound();
}

#[test]
fn content_that_is_not_what_was_stated_is_refused_and_not_kept() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let mut body = new_medium("payments");
    body["sha256"] = json!(sha256(b"right"));
    let path = format!("/definitive-media/{}", client.post("/definitive-media", &body).expect(201).id());
    put(&client, &path, b"wrong").problem(422, "INVALID_VALUES").faults(&[("/file", "DIGEST_MISMATCH")]);
    let stated = form(&[("sha256", &sha256(b"other"))], Some(("a.zip", "application/zip", b"right")));
    let refused = client.put_form(&format!("{path}/content"), stated);
    refused.problem(422, "INVALID_VALUES").faults(&[("/sha256", "DIGEST_MISMATCH")]);
    client
        .put_form(&format!("{path}/content"), form(&[("colour", "red")], Some(("a.zip", "application/zip", b"right"))))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("/colour", "UNKNOWN_FIELD")]);
    eventually("nothing of it is kept", || stored_files(&app).is_empty());
    put(&client, &path, b"right").expect(200);
    for bad in ["x".repeat(64), "A".repeat(64), "0".repeat(63)] {
        client.patch(&path, "*", &json!({"sha256": bad})).problem(422, "INVALID_VALUES");
    }
    // Another content than what is stored is announced, and not verified before it is there.
    client.patch(&path, "*", &json!({"sha256": sha256(b"newer")})).expect(200);
    client
        .post(&format!("{path}/verify"), &json!({}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/sha256", "DIGEST_MISMATCH")]);
    let stale = client.request("PUT", &format!("{path}/content")).header("If-Match", "\"1\"");
    let (kind, form) = form(&[], Some(("a.zip", "application/zip", b"newer")));
    Answer::of(stale.header("content-type", kind).body(form)).problem(412, "PRECONDITION_FAILED");
    let replaced = put(&client, &path, b"newer").expect(200);
    assert_eq!(replaced.body["content_sha256"], sha256(b"newer"));
    app.assert_sound();
}

#[test]
fn a_digest_that_comes_with_the_content_is_stated_from_then_on() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let made = client.post("/definitive-media", &new_medium("payments")).expect(201);
    let path = format!("/definitive-media/{}", made.id());
    // Without one, content is put in place of other content freely: nobody has stated anything.
    put(&client, &path, b"first").expect(200);
    put(&client, &path, b"second").expect(200);
    let sent = form(&[("sha256", &sha256(b"third").to_uppercase())], Some(("a.zip", "application/zip", b"third")));
    let stored = client.put_form(&format!("{path}/content"), sent).expect(200);
    assert_eq!(stored.body["sha256"], sha256(b"third"));
    put(&client, &path, b"fourth").problem(422, "INVALID_VALUES").faults(&[("/file", "DIGEST_MISMATCH")]);
    client.post(&format!("{path}/verify"), &json!({})).expect(200);
    act(&app.client(Role::Lead), &path, "authorise").expect(200);
    app.assert_sound();
}

#[test]
fn what_was_altered_in_the_store_is_not_authorised() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let id = medium(&app, "4.2.0", "verified");
    let path = format!("/definitive-media/{id}");
    let file = stored_files(&app).pop().unwrap();
    let kept = std::fs::read(&file).unwrap();
    let mut altered = kept.clone();
    altered[0] ^= 1;
    std::fs::write(&file, altered).unwrap();
    act(&lead, &path, "authorise").problem(422, "INVALID_VALUES").faults(&[("/sha256", "DIGEST_MISMATCH")]);
    let doctor = || {
        let store = app.env.store().unwrap();
        slipway::service::document_keeping::examine(&app.env.database, store).unwrap().fault.unwrap_or_default()
    };
    assert!(doctor().contains(&format!("medium {id}")), "{}", doctor());
    std::fs::remove_file(&file).unwrap();
    act(&lead, &path, "authorise").problem(404, "CONTENT_MISSING");
    assert!(doctor().contains("is not there"), "{}", doctor());
    assert_eq!(lead.get(&path).expect(200).body["status"], "verified");
    std::fs::write(&file, kept).unwrap();
    act(&lead, &path, "authorise").expect(200);
    app.assert_sound();
}

#[test]
fn a_medium_that_lies_elsewhere_says_where_and_what_it_is() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let path = format!("/definitive-media/{}", client.post("/definitive-media", &new_medium("x")).expect(201).id());
    let verify = || client.post(&format!("{path}/verify"), &json!({"sha256": sha256(b"on a shelf")}));
    let nothing = || client.post(&format!("{path}/verify"), &json!({}));
    nothing().problem(422, "INVALID_VALUES").faults(&[("/logical_location", "REQUIRED"), ("/sha256", "REQUIRED")]);
    client.patch(&path, "*", &json!({"physical_location": "Safe 2, shelf 4"})).expect(200);
    nothing().problem(422, "INVALID_VALUES").faults(&[("/sha256", "REQUIRED")]);
    client.patch(&path, "*", &json!({"sha256": sha256(b"on a shelf")})).expect(200);
    // The service cannot read what lies elsewhere: somebody did, and says what they found.
    nothing().problem(422, "INVALID_VALUES").faults(&[("/sha256", "REQUIRED")]);
    client
        .post(&format!("{path}/verify"), &json!({"sha256": sha256(b"in the cellar")}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/sha256", "DIGEST_MISMATCH")]);
    verify().expect(200);
    // What was verified and changes is looked at again; what is only noted is not.
    let noted = client.patch(&path, "*", &json!({"notes": "Dusty"})).expect(200);
    assert_eq!(noted.body["status"], "verified");
    let moved = client.patch(&path, "*", &json!({"physical_location": "Safe 3"})).expect(200);
    assert_eq!((&moved.body["status"], &moved.body["verified_by"]), (&json!("draft"), &Value::Null));
    verify().expect(200);
    assert_eq!(act(&app.client(Role::Lead), &path, "authorise").expect(200).body["status"], "authorised");
    app.assert_sound();
}

#[test]
fn media_are_filtered_and_sorted() {
    let app = App::start();
    let client = app.client(Role::Integration);
    let old = medium(&app, "4.1.0", "authorised");
    let new = medium(&app, "4.2.0", "draft");
    let mut firmware = new_medium("router");
    firmware["kind"] = json!("firmware");
    let router = client.post("/definitive-media", &firmware).expect(201).id();
    let digest = sha256(content_of("4.1.0").as_bytes());
    for (query, expected) in [
        ("kind=firmware", vec![&router]),
        ("status=authorised", vec![&old]),
        ("status=draft&q=PAY", vec![&new]),
        ("version=4.1.0", vec![&old]),
        (&format!("sha256={digest}"), vec![&old]),
        ("sort=-name&limit=1", vec![&router]),
        ("sort=created_at", vec![&old, &new, &router]),
    ] {
        let page = client.get(&format!("/definitive-media?{query}")).expect(200);
        let mut found: Vec<&str> =
            page.body["data"].as_array().unwrap().iter().map(|medium| medium["id"].as_str().unwrap()).collect();
        let mut expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn a_medium_that_a_release_uses_is_not_deleted_and_of_one_that_is_the_content_is_collected() {
    let app = App::start();
    let (lead, client) = (app.client(Role::Lead), app.client(Role::Integration));
    let (used, idle) = (medium(&app, "4.2.0", "authorised"), medium(&app, "4.1.0", "draft"));
    let release = app.release().make();
    let links = format!("/releases/{}/definitive-media", release["id"].as_str().unwrap());
    let link = lead.post(&links, &json!({"medium_id": used, "description": "For the shops"})).expect(201);
    client.delete(&format!("/definitive-media/{used}"), "*").problem(409, "IN_USE");
    client.delete(&format!("/definitive-media/{idle}"), "*").expect(204);
    assert_eq!(stored_files(&app).len(), 2);
    // By the clock of the service what is in the store came long ago.
    slipway::service::keeping::Keeping::new(Arc::clone(&app.env), None).run_due().unwrap();
    assert_eq!(stored_files(&app).len(), 1);
    app.assert_sound();
    lead.get(&format!("/definitive-media/{used}/content")).expect(200);
    lead.delete(&format!("{links}/{}", link.id()), "*").expect(204);
    client.delete(&format!("/definitive-media/{used}"), "*").expect(204);
    app.assert_sound();
}

#[test]
fn a_release_links_media_while_its_plan_is_open_and_votes_begin_anew() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let voters = json!([{"user_id": app.user_id(Role::Lead)}]);
    let release = app.release().with("approval_rule", json!({"kind": "all", "voters": voters}));
    let release = release.at("authorization").make();
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let links = format!("{path}/definitive-media");
    lead.post(&format!("{path}/approvals/votes"), &json!({"decision": "approve"})).expect(201);
    let round = || lead.get(&format!("{path}/approvals")).expect(200).body["round"].clone();
    let first = round();
    let id = medium(&app, "4.2.0", "authorised");
    let tried = lead.post(&format!("{links}?dry_run=true"), &json!({"medium_id": id})).expect(200);
    assert_eq!(tried.body["id"], Value::Null);
    let link = lead.post(&links, &json!({"medium_id": id})).expect(201);
    assert_eq!((&link.body["name"], &link.body["status"]), (&json!("payments"), &json!("authorised")));
    assert_ne!(round(), first);
    lead.post(&links, &json!({"medium_id": id})).problem(409, "ALREADY_EXISTS");
    let nothing = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";
    lead.post(&links, &json!({"medium_id": nothing}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/medium_id", "UNKNOWN_REFERENCE")]);
    let retired = medium(&app, "4.0.0", "draft");
    act(&manager, &format!("/definitive-media/{retired}"), "retire").expect(200);
    lead.post(&links, &json!({"medium_id": retired}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/medium_id", "MEDIUM_RETIRED")]);
    let own = format!("{links}/{}", link.id());
    let said = lead.patch(&own, link.header("etag"), &json!({"description": "For the shops"})).expect(200);
    assert_eq!((&said.body["row_version"], &said.body["description"]), (&json!(2), &json!("For the shops")));
    lead.patch(&own, link.header("etag"), &json!({"description": "x"})).problem(412, "PRECONDITION_FAILED");
    assert_eq!(lead.get(&own).expect(200).body, said.body);
    assert_eq!(lead.get(&links).expect(200).body["data"], json!([said.body]));
    let included = lead.get(&format!("{path}?include=definitive_media,hardware_spares")).expect(200).body;
    assert_eq!(included["included"]["definitive_media"]["data"][0]["medium_id"], id);
    let mut release = lead.get(&path).expect(200).body;
    lead.post(&format!("{path}/approvals/votes"), &json!({"decision": "approve"})).expect(201);
    carry(&app, &manager, &mut release, "deployment");
    lead.delete(&own, "*").problem(409, "LOCKED_AFTER_AUTHORIZATION");
    lead.post(&links, &json!({"medium_id": medium(&app, "5", "draft")})).problem(409, "LOCKED_AFTER_AUTHORIZATION");
    lead.patch(&own, "*", &json!({"description": Value::Null})).expect(200);
    let history = lead.get(&format!("{path}/history?limit=200")).expect(200).text;
    for action in ["release.link_medium", "release.update_medium_link"] {
        assert!(history.contains(action), "{action}");
    }
    app.assert_sound();
}

#[test]
fn the_last_licence_goes_to_one_release_and_comes_back_from_one_that_is_given_up() {
    let app = App::start_with(|config| config.workers = 2);
    let client = app.client(Role::Integration);
    let mut body = new_medium("database");
    (body["kind"], body["licence"]) = (json!("licence"), json!({"total": 2}));
    let id = client.post("/definitive-media", &body).expect(201).id();
    let in_use = || client.get(&format!("/definitive-media/{id}")).expect(200).body["licences_in_use"].clone();
    let releases: Vec<Value> = (0..4).map(|_| app.release().make()).collect();
    let start = Arc::new(Barrier::new(releases.len()));
    let answers: Vec<(String, Answer)> = std::thread::scope(|scope| {
        let threads: Vec<_> = releases
            .iter()
            .map(|release| {
                let (start, manager, id) = (Arc::clone(&start), app.client(Role::Manager), id.clone());
                let release = release["id"].as_str().unwrap().to_owned();
                scope.spawn(move || {
                    start.wait();
                    let links = format!("/releases/{release}/definitive-media");
                    (release, manager.post(&links, &json!({"medium_id": id})))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (linked, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.status == 201);
    assert_eq!((linked.len(), refused.len(), in_use()), (2, 2, json!(2)));
    for (_, answer) in &refused {
        answer.clone().problem(409, "NO_LICENCE_LEFT").faults(&[("/medium_id", "NO_LICENCE_LEFT")]);
    }
    let manager = app.client(Role::Manager);
    let cancel =
        json!({"action": "cancel", "justification_id": app.justification("cancel"), "closure_notes": "No more"});
    manager.post(&format!("/releases/{}/transitions", linked[0].0), &cancel).expect(201);
    assert_eq!(in_use(), json!(1));
    let links = format!("/releases/{}/definitive-media", refused[0].0);
    manager.post(&links, &json!({"medium_id": id})).expect(201);
    manager
        .post(&format!("/releases/{}/definitive-media", refused[1].0), &json!({"medium_id": id}))
        .problem(409, "NO_LICENCE_LEFT");
    app.assert_sound();
}

#[test]
fn a_release_that_gave_its_licence_back_is_not_reopened_without_one() {
    let app = App::start();
    let (client, manager) = (app.client(Role::Integration), app.client(Role::Manager));
    let mut body = new_medium("database");
    (body["kind"], body["licence"]) = (json!("licence"), json!({"total": 1}));
    let id = client.post("/definitive-media", &body).expect(201).id();
    let link = |release: &Value| {
        let links = format!("/releases/{}/definitive-media", release["id"].as_str().unwrap());
        manager.post(&links, &json!({"medium_id": id}))
    };
    let mut given_up = app.release().make();
    link(&given_up).expect(201);
    carry(&app, &manager, &mut given_up, "deployment");
    let close = json!({
        "action": "close", "resolution": "unsolved", "justification_id": app.justification("cancel"),
        "closure_notes": "It did not start",
    });
    transition(&manager, &given_up, &close);
    assert_eq!(verdict(&manager, &given_up, "reopen"), (true, vec![]));
    let other = app.release().make();
    link(&other).expect(201);
    let reopen = json!({"action": "reopen", "justification_id": app.justification("reopen")});
    let again = || manager.post(&format!("/releases/{}/transitions", given_up["id"].as_str().unwrap()), &reopen);
    again().problem(409, "NO_LICENCE_LEFT").faults(&[("/definitive_media", "NO_LICENCE_LEFT")]);
    assert_eq!(verdict(&manager, &given_up, "reopen"), (false, vec!["NO_LICENCE_LEFT".into()]));
    client.patch(&format!("/definitive-media/{id}"), "*", &json!({"licence": {"total": 2}})).expect(200);
    again().expect(201);
    assert_eq!(client.get(&format!("/definitive-media/{id}")).expect(200).body["licences_in_use"], 2);
    app.assert_sound();
}

#[test]
fn the_gates_of_the_library_stand_in_the_built_in_workflows_and_ask_where_they_are_asked() {
    let app = App::start();
    let (admin, lead) = (app.client(Role::Admin), app.client(Role::Lead));
    for workflow in ["standard", "emergency"] {
        let stages =
            admin.get(&format!("/lifecycle?workflow={workflow}")).expect(200).body["workflow"]["stages"].clone();
        let stage = stages.as_array().unwrap().iter().find(|stage| stage["key"] == "authorization").unwrap().clone();
        for gate in ["media_authorised", "spares_reserved"] {
            assert!(stage["gates"].as_array().unwrap().contains(&json!({"gate": gate, "where_asked": true})), "{gate}");
        }
    }
    // Where nothing is asked for, nothing is in the way.
    let draft = medium(&app, "4.2.0", "draft");
    let made = app.release().make();
    let link = |release: &Value| {
        let links = format!("/releases/{}/definitive-media", release["id"].as_str().unwrap());
        lead.post(&links, &json!({"medium_id": draft})).expect(201);
    };
    link(&made);
    let mut free = made;
    carry(&app, &app.client(Role::Manager), &mut free, "deployment");
    let model = admin.get(&format!("/models/{}", app.model("Standard"))).expect(200);
    let asks = json!({"asks_for": ["definitive_media", "hardware_spares"]});
    admin.patch(&format!("/models/{}", model.id()), "*", &asks).expect(200);
    let asked = app.release().make();
    link(&asked);
    let mut asked = asked;
    carry(&app, &app.client(Role::Manager), &mut asked, "authorization");
    let path = format!("/releases/{}", asked["id"].as_str().unwrap());
    let advance = json!({
        "action": "advance", "from_stage": "authorization", "on_behalf_of": {"origin": "phone", "note": "Agreed"},
    });
    let refused = app.client(Role::Manager).post(&format!("{path}/transitions"), &advance);
    let refused = refused.problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["MEDIUM_NOT_AUTHORISED"]);
    assert_eq!(refused.body["blockers"][0]["refs"].as_array().unwrap().len(), 1);
}

#[test]
fn an_item_that_names_a_medium_takes_a_licence_of_it_as_the_release_itself_would() {
    let app = App::start();
    let (client, manager) = (app.client(Role::Integration), app.client(Role::Manager));
    let mut body = new_medium("database");
    (body["kind"], body["licence"]) = (json!("licence"), json!({"total": 1}));
    let id = client.post("/definitive-media", &body).expect(201).id();
    let in_use = || client.get(&format!("/definitive-media/{id}")).expect(200).body["licences_in_use"].clone();
    let links = |release: &Value, of: &str| format!("/releases/{}/{of}", release["id"].as_str().unwrap());
    let of_item = || json!({"configuration_item_id": app.item(), "medium_id": id});
    let (first, other) = (app.release().make(), app.release().make());
    let items = links(&first, "configuration-items");
    let taken = manager.post(&items, &of_item()).expect(201).id();
    // A release needs one licence, however often it names the medium.
    manager.post(&items, &of_item()).expect(201);
    let own = manager.post(&links(&first, "definitive-media"), &json!({"medium_id": id})).expect(201).id();
    assert_eq!(in_use(), json!(1));
    // Nobody else gets one, on whichever way.
    let refused = manager.post(&links(&other, "configuration-items"), &of_item()).problem(409, "NO_LICENCE_LEFT");
    refused.faults(&[("/medium_id", "NO_LICENCE_LEFT")]);
    manager.post(&links(&other, "definitive-media"), &json!({"medium_id": id})).problem(409, "NO_LICENCE_LEFT");
    let mut body = new_release();
    body["configuration_items"] = json!([of_item()]);
    let refused = manager.post("/releases", &body).problem(409, "NO_LICENCE_LEFT");
    refused.faults(&[("/configuration_items/0/medium_id", "NO_LICENCE_LEFT")]);
    let batch = json!({"mode": "each", "items": [of_item(), {"configuration_item_id": app.item()}]});
    let results = manager.post(&format!("{}/batch", links(&other, "configuration-items")), &batch).expect(200).body;
    let statuses: Vec<&Value> = results["results"].as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [&json!(409), &json!(201)]);
    let plain = manager.get(&links(&other, "configuration-items")).expect(200).body["data"][0]["id"].clone();
    let plain = format!("{}/{}", links(&other, "configuration-items"), plain.as_str().unwrap());
    manager.patch(&plain, "*", &json!({"medium_id": id})).problem(409, "NO_LICENCE_LEFT");
    // One that is not going to be installed needs none, and gets none when it is again.
    manager.patch(&plain, "*", &json!({"outcome": "failed", "outcome_note": "No", "medium_id": id})).expect(200);
    assert_eq!(in_use(), json!(1));
    manager
        .patch(&plain, "*", &json!({"outcome": "pending"}))
        .problem(409, "NO_LICENCE_LEFT")
        .faults(&[("/medium_id", "NO_LICENCE_LEFT")]);
    // Whoever has one already may name the medium once more, though there are more in use than there are by now.
    client.patch(&format!("/definitive-media/{id}"), "*", &json!({"licence": {"total": 0}})).expect(200);
    let more = manager.post(&items, &of_item()).expect(201).id();
    manager.delete(&format!("{items}/{more}"), "*").expect(204);
    client.patch(&format!("/definitive-media/{id}"), "*", &json!({"licence": {"total": 1}})).expect(200);
    // It is free once nothing of the release names the medium any more.
    manager.delete(&format!("{}/{own}", links(&first, "definitive-media")), "*").expect(204);
    manager.delete(&format!("{items}/{taken}"), "*").expect(204);
    assert_eq!(in_use(), json!(1));
    let left = manager.get(&items).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    manager.patch(&format!("{items}/{left}"), "*", &json!({"outcome": "skipped", "outcome_note": "No"})).expect(200);
    assert_eq!(in_use(), json!(0));
    manager.patch(&plain, "*", &json!({"outcome": "pending"})).expect(200);
    assert_eq!(in_use(), json!(1));
    app.assert_sound();
}

#[test]
fn a_release_tells_of_media_that_were_retired_and_of_licences_that_end_too_early() {
    let app = App::start();
    let (client, lead) = (app.client(Role::Integration), app.client(Role::Lead));
    let release = format!("/releases/{}", app.release().make()["id"].as_str().unwrap());
    let (retired, licensed) = (medium(&app, "4.0.0", "draft"), medium(&app, "4.1.0", "draft"));
    let link = |medium: &str| {
        lead.post(&format!("{release}/definitive-media"), &json!({"medium_id": medium})).expect(201).id()
    };
    let (of_retired, of_licensed) = (link(&retired), link(&licensed));
    let item = json!({"configuration_item_id": app.item(), "medium_id": licensed});
    let of_item = lead.post(&format!("{release}/configuration-items"), &item).expect(201).id();
    let told = |code: &str| {
        let warnings = lead.get(&release).expect(200).body["warnings"].clone();
        warnings.as_array().unwrap().iter().find(|warning| warning["code"] == code).cloned().unwrap_or_default()
    };
    assert_eq!((told("MEDIUM_RETIRED"), told("LICENCE_EXPIRED")), (Value::Null, Value::Null));
    act(&client, &format!("/definitive-media/{retired}"), "retire").expect(200);
    let warning = told("MEDIUM_RETIRED");
    assert_eq!((&warning["refs"], &warning["pointer"]), (&json!([of_retired]), &json!("/definitive_media")));
    let until = |at: &str| {
        let licence = json!({"licence": {"expires_at": at}});
        client.patch(&format!("/definitive-media/{licensed}"), "*", &licence).expect(200);
    };
    // The deployment lasts until 02:00 of the 6th.
    until("2030-02-06T02:00:00Z");
    assert_eq!(told("LICENCE_EXPIRED"), Value::Null);
    until("2030-02-06T01:59:59Z");
    let warning = told("LICENCE_EXPIRED");
    assert_eq!(warning["refs"], json!([of_item, of_licensed]));
    assert_eq!(
        warning["detail"],
        "The licence of 1 definitive medium ends before the deployment is over: payments 4.1.0."
    );
}

#[test]
fn a_package_that_comes_after_the_authorisation_is_one_of_those_that_were_authorised() {
    let app = App::start();
    let (admin, lead, manager) = (app.client(Role::Admin), app.client(Role::Lead), app.client(Role::Manager));
    let asks = json!({"asks_for": ["definitive_media"]});
    let mut free = app.release().make();
    admin.patch(&format!("/models/{}", app.model("Standard")), "*", &asks).expect(200);
    let mut asked = app.release().make();
    let path = format!("/releases/{}", asked["id"].as_str().unwrap());
    let good = medium(&app, "4.2.0", "authorised");
    lead.post(&format!("{path}/definitive-media"), &json!({"medium_id": good})).expect(201);
    let upload = |release: &Value, class: &str, content: &str| {
        let documents = format!("/releases/{}/documents", release["id"].as_str().unwrap());
        lead.upload(&documents, &[("class", class)], "p.zip", content.as_bytes())
    };
    carry(&app, &manager, &mut asked, "deployment");
    carry(&app, &manager, &mut free, "deployment");
    let refused = upload(&asked, "package", "another one").problem(409, "LOCKED_AFTER_AUTHORIZATION");
    refused.faults(&[("/file", "PACKAGE_NOT_IN_LIBRARY")]);
    let other = upload(&asked, "general", "another one").expect(201).id();
    lead.patch(&format!("{path}/documents/{other}"), "*", &json!({"class": "package"}))
        .problem(409, "LOCKED_AFTER_AUTHORIZATION")
        .faults(&[("/class", "PACKAGE_NOT_IN_LIBRARY")]);
    let same = upload(&asked, "package", &content_of("4.2.0")).expect(201).id();
    lead.patch(&format!("{path}/documents/{same}"), "*", &json!({"description": "As authorised"})).expect(200);
    // Where the model does not ask for the library nothing was compared.
    upload(&free, "package", "another one").expect(201);
    // What is sent back is compared again.
    let back =
        json!({"action": "send_back", "from_stage": "deployment", "note": "Another package", "to_stage": "planning"});
    let back = transition(&manager, &asked, &back);
    lead.patch(&format!("{path}/documents/{other}"), "*", &json!({"class": "package"})).expect(200);
    let mut back = back;
    carry(&app, &manager, &mut back, "authorization");
    assert_eq!(verdict(&manager, &back, "advance"), (false, vec!["PACKAGE_NOT_IN_LIBRARY".into()]));
}

#[test]
fn what_was_installed_has_its_licence_until_the_item_gets_another_medium_or_its_former_state() {
    let app = App::start();
    let (client, manager) = (app.client(Role::Integration), app.client(Role::Manager));
    let licensed = |name: &str| {
        let mut body = new_medium(name);
        (body["kind"], body["licence"]) = (json!("licence"), json!({"total": 1}));
        client.post("/definitive-media", &body).expect(201).id()
    };
    let (old, new) = (licensed("database 1"), licensed("database 2"));
    let in_use = || {
        [&old, &new].map(|id| {
            client.get(&format!("/definitive-media/{id}")).expect(200).body["licences_in_use"].as_i64().unwrap()
        })
    };
    let item = app.item();
    let of = |medium: &str| json!([{"configuration_item_id": item, "medium_id": medium}]);
    app.release().with("configuration_items", of(&old)).status("closed").make();
    assert_eq!(in_use(), [1, 0]);
    let upgrade = app.release().with("configuration_items", of(&new)).make();
    assert_eq!(in_use(), [1, 1]);
    let mut upgrade = upgrade;
    carry(&app, &manager, &mut upgrade, "closure");
    record_outcomes(&manager, &upgrade);
    app.set_clock("2030-01-07T10:00:01Z");
    let close = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    transition(&manager, &upgrade, &close);
    assert_eq!(in_use(), [0, 1]);
    let revert = format!("/releases/{}/revert", upgrade["id"].as_str().unwrap());
    manager.post(&revert, &json!({"note": "It is slow"})).expect(200);
    assert_eq!(in_use(), [1, 0]);
    app.assert_sound();
}

#[test]
fn the_last_licence_goes_to_one_release_whichever_way_it_is_taken() {
    let app = App::start_with(|config| config.workers = 2);
    let client = app.client(Role::Integration);
    let mut body = new_medium("database");
    (body["kind"], body["licence"]) = (json!("licence"), json!({"total": 1}));
    let id = client.post("/definitive-media", &body).expect(201).id();
    let release = || app.release().make()["id"].as_str().unwrap().to_owned();
    let medium = json!({"medium_id": id});
    let item = || json!({"medium_id": id, "configuration_item_id": app.item()});
    // Linked, named by an item, named by an item that is linked already, and by one of a new release.
    let planned = release();
    let links = format!("/releases/{planned}/configuration-items");
    let plain = app.client(Role::Manager).post(&links, &json!({"configuration_item_id": app.item()})).expect(201).id();
    let mut created = new_release();
    created["configuration_items"] = json!([item()]);
    let attempts = [
        ("POST", format!("/releases/{}/definitive-media", release()), medium.clone()),
        ("POST", format!("/releases/{}/configuration-items", release()), item()),
        ("PATCH", format!("{links}/{plain}"), medium.clone()),
        ("POST", "/releases".into(), created),
    ];
    let start = Arc::new(Barrier::new(attempts.len()));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = attempts
            .iter()
            .map(|(method, path, body)| {
                let (start, manager) = (Arc::clone(&start), app.client(Role::Manager));
                scope.spawn(move || {
                    start.wait();
                    match *method {
                        "POST" => manager.post(path, body),
                        _ => manager.patch(path, "*", body),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let taken = answers.iter().filter(|answer| matches!(answer.status, 200 | 201)).count();
    assert_eq!(taken, 1);
    for refused in answers.into_iter().filter(|answer| !matches!(answer.status, 200 | 201)) {
        refused.problem(409, "NO_LICENCE_LEFT");
    }
    assert_eq!(client.get(&format!("/definitive-media/{id}")).expect(200).body["licences_in_use"], 1);
    app.assert_sound();
}
