//! Models in full: what they say, what is wrong with what they say, copies, and the releases that are made from them.

use serde_json::{Value, json};

use crate::support::*;

const NONE: &str = "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f";

fn models(app: &App) -> String {
    format!("/portfolios/{}/models", app.named("portfolios", "General"))
}

fn template(app: &App, name: &str, stage: &str) -> String {
    let body = json!({"name": name, "stage": stage, "questions": [
        {"key": "smoke", "text": "Did the smoke tests pass?", "kind": "confirm"},
    ]});
    app.client(Role::Manager).post("/checklist-templates", &body).expect(201).id()
}

/// A user who may approve, besides those of the roles.
fn approver(app: &App) -> String {
    let body = json!({"username": "rui.lima", "name": "Rui Lima", "email": "rui@example.org"});
    app.client(Role::Admin).post("/users", &body).expect(201).id()
}

/// A model that says everything.
fn whole(app: &App) -> Value {
    json!({
        "name": "Quarterly", "description": "Four times a year", "icon": "calendar", "status": "active",
        "workflow": "standard", "executor_group_id": app.group("Release team"), "type": "major",
        "impact": "high", "urgency": "low", "risk": "high",
        "approval_rule": {"kind": "all", "voters": [{"user_id": approver(app)}, {"group_id": app.group("Release team")}]},
        "activity_templates": [
            {"key": "shops", "phase": "planning", "title": "Tell the shops", "kind": "communication",
                "scheduled_start": "T-3d", "due_at": "T-1d4h", "estimated_minutes": 30, "tags": ["payments"],
                "checklist": [{"text": "North"}, {"text": "South"}]},
            {"key": "rollout", "phase": "deployment", "title": "Install", "kind": "rollout", "scheduled_start": "T",
                "due_at": "T+90m", "group_id": app.group("Release team"), "technical_guidelines": "Runbook 12",
                "description": "On all nodes", "depends_on": ["backup", "shops"]},
            {"key": "backup", "phase": "deployment", "title": "Take a backup", "scheduled_start": "T-1h"},
        ],
        "checklist_template_ids": [template(app, "After the tests", "test"), template(app, "Before it goes", "planning")],
        "custom_fields_schema": {
            "type": "object", "required": ["cost_centre"], "additionalProperties": false,
            "properties": {
                "cost_centre": {"type": "string", "pattern": "^CC-[0-9]{4}$"},
                "sites": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            },
        },
        "notify": {"on_created": true, "on_updated": false, "on_closed": true},
        "asks_for": ["test_evidence"],
    })
}

fn made(app: &App) -> Answer {
    app.client(Role::Manager).post(&models(app), &whole(app)).expect(201)
}

/// The body of a release of the model.
fn of_model(model: &str) -> Value {
    let mut body = new_release();
    body["model_id"] = json!(model);
    body["custom_fields"] = json!({"cost_centre": "CC-4711"});
    body
}

fn register(app: &App, body: &Value) -> Value {
    app.client(Role::Lead).post("/releases", body).expect(201).body
}

fn part(app: &App, release: &Value, part: &str) -> Value {
    let path = format!("/releases/{}/{part}", release["id"].as_str().unwrap());
    app.client(Role::Lead).get(&path).expect(200).body
}

/// The cards of a board in `todo`, in order.
fn cards(app: &App, release: &Value, phase: &str) -> Vec<Value> {
    let board = part(app, release, &format!("boards/{phase}"));
    board["columns"][0]["cards"].as_array().unwrap().clone()
}

fn titles(all: &[Value]) -> Vec<&str> {
    all.iter().map(|one| one["title"].as_str().unwrap()).collect()
}

#[test]
fn a_model_keeps_everything_that_it_says_and_a_patch_changes_what_it_names() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let said = whole(&app);
    let created = manager.post(&models(&app), &said).expect(201);
    let path = format!("/models/{}", created.id());
    let read = app.client(Role::Outsider).get(&path).expect(200).body;
    assert_eq!(read, created.body);
    for (name, value) in said.as_object().unwrap() {
        match name.as_str() {
            "activity_templates" => {
                for (kept, said) in read[name].as_array().unwrap().iter().zip(value.as_array().unwrap()) {
                    for (field, value) in said.as_object().unwrap() {
                        assert_eq!(&kept[field], value, "{field}");
                    }
                }
            }
            "approval_rule" => assert_eq!(read[name]["kind"], "all"),
            _ => assert_eq!(&read[name], value, "{name}"),
        }
    }
    assert_eq!(read["activity_templates"][2]["due_at"], Value::Null);
    assert_eq!(read["activity_templates"][2]["kind"], "task");

    // The same again changes nothing.
    let same = manager.patch(&path, "*", &json!({"activity_templates": said["activity_templates"]})).expect(200);
    assert_eq!(same.body["row_version"], 1);
    let fewer = json!({
        "activity_templates": [], "checklist_template_ids": [], "approval_rule": null, "custom_fields_schema": null,
        "notify": {"on_closed": false}, "asks_for": null,
    });
    let after = manager.patch(&path, "\"1\"", &fewer).expect(200).body;
    assert_eq!(after["row_version"], 2);
    for name in ["activity_templates", "checklist_template_ids", "asks_for"] {
        assert_eq!(after[name], json!([]), "{name}");
    }
    assert_eq!((&after["approval_rule"], &after["custom_fields_schema"]), (&Value::Null, &Value::Null));
    assert_eq!(after["notify"], json!({"on_created": true, "on_updated": false, "on_closed": false}));
    manager.patch(&path, "\"1\"", &fewer).problem(412, "PRECONDITION_FAILED");

    // A model that says little has nothing of it.
    let plain = manager.post(&models(&app), &json!({"name": "Plain"})).expect(201).body;
    assert_eq!(plain["notify"], json!({"on_created": false, "on_updated": false, "on_closed": false}));
    assert_eq!((&plain["activity_templates"], &plain["approval_rule"]), (&json!([]), &Value::Null));
    app.assert_sound();
}

#[test]
fn everything_that_is_wrong_with_what_a_model_says_is_named() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let path = format!("/models/{}", manager.post(&models(&app), &json!({"name": "Tried"})).expect(201).id());
    let one = |more: Value| {
        let mut template = json!({"key": "a", "phase": "planning", "title": "A"});
        for (name, value) in more.as_object().unwrap() {
            template[name] = value.clone();
        }
        json!({"activity_templates": [template]})
    };
    let chain = |edges: &[(&str, &[&str])]| {
        let template =
            |(key, on): &(&str, &[&str])| json!({"key": key, "phase": "planning", "title": key, "depends_on": on});
        json!({"activity_templates": edges.iter().map(template).collect::<Vec<_>>()})
    };
    let inactive = template(&app, "Of old", "test");
    let there = template(&app, "Of now", "test");
    let nowhere = template(&app, "Of another workflow", "pilot");
    manager.patch(&format!("/checklist-templates/{inactive}"), "*", &json!({"active": false})).expect(200);
    let operators = app.group("Operators");
    let cases = [
        // Activity templates.
        (one(json!({"key": "A"})), vec![("/activity_templates/0/key", "INVALID_FORMAT")]),
        (one(json!({"title": " "})), vec![("/activity_templates/0/title", "BLANK")]),
        (one(json!({"checklist": [{"text": " "}]})), vec![("/activity_templates/0/checklist/0/text", "BLANK")]),
        (one(json!({"tags": ["x", "x"]})), vec![("/activity_templates/0/tags/1", "REPEATED")]),
        (one(json!({"estimated_minutes": 0})), vec![("/activity_templates/0/estimated_minutes", "OUT_OF_RANGE")]),
        (one(json!({"group_id": NONE})), vec![("/activity_templates/0/group_id", "UNKNOWN_REFERENCE")]),
        (one(json!({"scheduled_start": "T-3"})), vec![("/activity_templates/0/scheduled_start", "INVALID_FORMAT")]),
        (one(json!({"due_at": "tomorrow"})), vec![("/activity_templates/0/due_at", "INVALID_FORMAT")]),
        (
            one(json!({"scheduled_start": "T-367d", "due_at": "T+9999h"})),
            vec![
                ("/activity_templates/0/scheduled_start", "SCHEDULE_OUT_OF_REACH"),
                ("/activity_templates/0/due_at", "SCHEDULE_OUT_OF_REACH"),
            ],
        ),
        (
            one(json!({"scheduled_start": "T-1h", "due_at": "T-61m"})),
            vec![("/activity_templates/0/due_at", "DUE_BEFORE_START")],
        ),
        (chain(&[("a", &[]), ("a", &[])]), vec![("/activity_templates/1/key", "REPEATED")]),
        (chain(&[("a", &["a"])]), vec![("/activity_templates/0/depends_on", "CYCLE")]),
        (
            chain(&[("a", &["b", "b", "no"]), ("b", &[])]),
            vec![
                ("/activity_templates/0/depends_on/1", "REPEATED"),
                ("/activity_templates/0/depends_on/2", "UNKNOWN_REFERENCE"),
            ],
        ),
        (chain(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])]), vec![("/activity_templates/0/depends_on", "CYCLE")]),
        // Approval rule.
        (
            json!({"approval_rule": {"kind": "quorum", "voters": [{"user_id": NONE}, {}]}}),
            vec![
                ("/approval_rule/quorum", "REQUIRED"),
                ("/approval_rule/voters/0/user_id", "UNKNOWN_REFERENCE"),
                ("/approval_rule/voters/1", "REQUIRED"),
            ],
        ),
        (
            json!({"approval_rule": {"kind": "percent", "percent": 101, "voters": [{"group_id": operators}]}}),
            vec![("/approval_rule/percent", "OUT_OF_RANGE")],
        ),
        (
            json!({"approval_rule": {"kind": "any", "voters": [{"group_id": operators}]}}),
            vec![("/approval_rule/voters/0/group_id", "GROUP_CANNOT_APPROVE")],
        ),
        (
            json!({"workflow": "minor", "approval_rule": {"kind": "any", "voters": [{"group_id": app.group("Release team")}]}}),
            vec![("/approval_rule", "NOT_APPLICABLE")],
        ),
        // Checklist templates.
        (
            json!({"checklist_template_ids": [there, there, NONE, inactive, nowhere]}),
            vec![
                ("/checklist_template_ids/1", "REPEATED"),
                ("/checklist_template_ids/2", "UNKNOWN_REFERENCE"),
                ("/checklist_template_ids/3", "TEMPLATE_NOT_ACTIVE"),
                ("/checklist_template_ids/4", "UNKNOWN_STAGE"),
            ],
        ),
        (
            json!({"workflow": "minor", "checklist_template_ids": [there]}),
            vec![("/checklist_template_ids/0", "UNKNOWN_STAGE")],
        ),
        // The schema of custom fields.
        (json!({"custom_fields_schema": {"type": "array"}}), vec![("/custom_fields_schema/type", "INVALID_SCHEMA")]),
        (
            json!({"custom_fields_schema": {"type": "object", "properties": {
                "a/b": {"type": "text"}, "c": {"$ref": "https://example.org/c.json"}, "d": {"pattern": "(?=a)"},
            }}}),
            vec![
                ("/custom_fields_schema/properties/a~1b/type", "INVALID_SCHEMA"),
                ("/custom_fields_schema/properties/c/$ref", "REMOTE_REFERENCE"),
                ("/custom_fields_schema/properties/d/pattern", "INVALID_SCHEMA"),
            ],
        ),
        (
            json!({"custom_fields_schema": {"type": "object", "properties": {"a": {"$ref": "#"}}}}),
            vec![("/custom_fields_schema/properties/a/$ref", "CYCLE")],
        ),
        (
            json!({"custom_fields_schema": {"type": "object", "title": "x".repeat(40_000)}}),
            vec![("/custom_fields_schema", "SCHEMA_TOO_LARGE")],
        ),
        // The rest.
        (json!({"asks_for": ["coffee"]}), vec![("/asks_for/0", "NOT_ALLOWED")]),
    ];
    for (body, faults) in &cases {
        manager.patch(&path, "*", body).problem(422, "INVALID_VALUES").faults(faults);
        let mut whole = body.clone();
        whole["name"] = json!("Another");
        manager.post(&models(&app), &whole).problem(422, "INVALID_VALUES").faults(faults);
    }
    for (body, pointer, code) in [
        (one(json!({"assignee_id": NONE})), "/activity_templates/0/assignee_id", "UNKNOWN_FIELD"),
        (json!({"notify": {"on_lunch": true}}), "/notify/on_lunch", "UNKNOWN_FIELD"),
        (json!({"custom_fields_schema": true}), "/custom_fields_schema", "WRONG_TYPE"),
        (json!({"activity_templates": "many"}), "/activity_templates", "WRONG_TYPE"),
    ] {
        manager.patch(&path, "*", &body).problem(400, "MALFORMED_REQUEST").faults(&[(pointer, code)]);
    }
    let many: Vec<Value> =
        (0..201).map(|n| json!({"key": format!("k{n}"), "phase": "planning", "title": "One of many"})).collect();
    let too_many = manager.patch(&path, "*", &json!({"activity_templates": many})).problem(422, "INVALID_VALUES");
    too_many.faults(&[("/activity_templates", "TOO_LONG")]);
    manager.patch(&path, "*", &json!({"activity_templates": many[..200]})).expect(200);
    // A circle is told by its way.
    let circle = manager.patch(&path, "*", &chain(&[("a", &["b"]), ("b", &["a"])])).problem(422, "INVALID_VALUES");
    assert!(circle.body["errors"][0]["detail"].as_str().unwrap().contains("\"a\" (a) → \"b\" (b) → \"a\" (a)"));
    assert_eq!(manager.get(&path).expect(200).body["row_version"], 2);
}

#[test]
fn a_template_goes_to_a_group_that_releases_of_the_model_can_have() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let (team, operators) = (app.group("Release team"), app.group("Operators"));
    let mut model = json!({
        "name": "Narrow", "status": "active", "executor_group_id": team, "executor_group_ids": [team],
        "activity_templates": [{"key": "a", "phase": "planning", "title": "A", "group_id": operators}],
    });
    let refused = [("/activity_templates/0/group_id", "NOT_A_GROUP_OF_THE_RELEASE")];
    manager.post(&models(&app), &model).problem(422, "INVALID_VALUES").faults(&refused);
    model["executor_group_ids"] = json!([team, operators]);
    let made = manager.post(&models(&app), &model).expect(201);
    let path = format!("/models/{}", made.id());
    manager.patch(&path, "*", &json!({"executor_group_ids": [team]})).problem(422, "INVALID_VALUES").faults(&refused);
    // A release of the other group has no activity for this one, and is not made.
    let mut body = of_model(&made.id());
    let refused = app.client(Role::Lead).post("/releases", &body).problem(422, "INVALID_VALUES");
    let refused = refused.faults(&[("/model_id", "NOT_A_GROUP_OF_THE_RELEASE")]);
    assert!(refused.body["errors"][0]["detail"].as_str().unwrap().contains("`a`"));
    body["executor_group_id"] = json!(operators);
    app.client(Role::Manager).post("/releases", &body).expect(201);
    // Responsible for a stage will do as well.
    let workflow = json!({"key": "watched", "name": "Watched", "return_stage": "rollout", "stages": [
        {"key": "rollout", "kind": "deployment", "responsible": [{"kind": "group", "group_id": operators}], "gates": []},
        {"key": "closure", "kind": "closure", "responsible": [{"kind": "requester"}], "gates": []},
    ]});
    manager.post("/workflows", &workflow).expect(201);
    manager.patch(&path, "*", &json!({"executor_group_ids": [team], "workflow": "watched"})).expect(200);
    register(&app, &of_model(&made.id()));
}

#[test]
fn a_post_of_ten_lines_gives_boards_checklists_and_approval() {
    let app = App::start();
    let model = made(&app);
    let release = register(&app, &of_model(&model.id()));
    assert_eq!(release["type"], "major");
    assert_eq!(release["notify"], json!({"on_created": true, "on_updated": false, "on_closed": true}));
    assert_eq!(release["asks_for"], json!(["test_evidence"]));
    assert_eq!(release["row_version"], 1);

    let (planning, deployment) = (cards(&app, &release, "planning"), cards(&app, &release, "deployment"));
    assert_eq!((titles(&planning), titles(&deployment)), (vec!["Tell the shops"], vec!["Install", "Take a backup"]));
    let activities = part(&app, &release, "activities");
    let activity = |title: &str| {
        let all = activities["data"].as_array().unwrap();
        all.iter().find(|one| one["title"] == title).unwrap_or_else(|| panic!("no {title}")).clone()
    };
    let (shops, install, backup) = (activity("Tell the shops"), activity("Install"), activity("Take a backup"));
    // The deployment window starts on 2030-02-05 at 22:00.
    assert_eq!(
        (&shops["scheduled_start"], &shops["due_at"]),
        (&json!("2030-02-02T22:00:00Z"), &json!("2030-02-04T18:00:00Z"))
    );
    assert_eq!(
        (&install["scheduled_start"], &install["due_at"]),
        (&json!("2030-02-05T22:00:00Z"), &json!("2030-02-05T23:30:00Z"))
    );
    assert_eq!((&backup["scheduled_start"], &backup["due_at"]), (&json!("2030-02-05T21:00:00Z"), &Value::Null));
    assert_eq!(
        (&shops["kind"], &shops["estimated_minutes"], &shops["tags"]),
        (&json!("communication"), &json!(30), &json!(["payments"]))
    );
    assert_eq!(
        shops["checklist"].as_array().unwrap().iter().map(|item| &item["text"]).collect::<Vec<_>>(),
        ["North", "South"]
    );
    assert_eq!(install["group_id"], json!(app.group("Release team")));
    assert_eq!(
        (&install["technical_guidelines"], &install["description"]),
        (&json!("Runbook 12"), &json!("On all nodes"))
    );
    let mut on = [shops["id"].as_str().unwrap(), backup["id"].as_str().unwrap()];
    on.sort_unstable();
    assert_eq!(install["depends_on"], json!(on));
    assert_eq!(shops["status"], "todo");

    let checklists = part(&app, &release, "checklists");
    let told: Vec<_> = checklists["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["title"], &one["stage"], &one["confirmed"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("After the tests"), &json!("test"), &json!(false)),
            (&json!("Before it goes"), &json!("planning"), &json!(false))
        ]
    );
    let approvals = part(&app, &release, "approvals");
    assert_eq!((&approvals["rule"]["kind"], approvals["voters"].as_array().unwrap().len()), (&json!("all"), 2));

    // Its gates know of all of it.
    let lead = app.client(Role::Lead);
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let change = app.change("authorised");
    lead.post(&format!("{path}/changes"), &json!({"change_id": change})).expect(201);
    let advance = json!({"action": "advance", "from_stage": "planning"});
    let refused = lead.post(&format!("{path}/transitions"), &advance).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["PLANNING_ACTIVITIES_OPEN"]);
    // One entry of the history tells all that was made.
    let history = lead.get(&format!("{path}/history?limit=200")).expect(200).body;
    let created: Vec<_> =
        history["data"].as_array().unwrap().iter().filter(|row| row["action"] == "release.create").collect();
    assert_eq!(created.len(), 1);
    for name in ["activities", "checklists", "approval_rule", "asks_for"] {
        let told = created[0]["changes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|change| change["field"].as_str().unwrap().starts_with(&format!("/{name}")));
        assert!(told, "{name} in {}", created[0]);
    }
    app.assert_sound();
}

#[test]
fn what_is_sent_along_is_added_to_what_the_model_gives_and_wins_where_there_is_one_of_a_kind() {
    let app = App::start();
    let model = made(&app);
    let mut body = of_model(&model.id());
    body["notify"] = json!({"on_created": false, "on_closed": null});
    body["type"] = json!("minor");
    body["approval_rule"] = json!({"kind": "any", "voters": [{"group_id": app.group("Release team")}]});
    body["activities"] = json!([
        // A `ref` that is a key of the model as well is one's own.
        {"ref": "shops", "phase": "planning", "title": "Ask the shops"},
        {"phase": "planning", "title": "Own", "depends_on": ["shops", "backup"]},
    ]);
    body["checklists"] =
        json!([{"title": "Own", "stage": "test", "questions": [{"key": "q", "text": "Well?", "kind": "text"}]}]);
    body["roles"] = json!([{"role": "informed", "name": "Eva Prado", "email": "eva@example.org"}]);
    let release = register(&app, &body);
    assert_eq!(release["type"], "minor");
    // Of the flags, what was said wins, and the rest is the model's.
    assert_eq!(release["notify"], json!({"on_created": false, "on_updated": false, "on_closed": true}));
    assert_eq!(titles(&cards(&app, &release, "planning")), ["Tell the shops", "Ask the shops", "Own"]);
    assert_eq!(titles(&cards(&app, &release, "deployment")), ["Install", "Take a backup"]);
    let activities = part(&app, &release, "activities");
    let all = activities["data"].as_array().unwrap();
    let id = |title: &str| all.iter().find(|one| one["title"] == title).unwrap()["id"].as_str().unwrap().to_owned();
    let own = all.iter().find(|one| one["title"] == "Own").unwrap();
    let mut on = [id("Ask the shops"), id("Take a backup")];
    on.sort_unstable();
    assert_eq!(own["depends_on"], json!(on));
    let checklists = part(&app, &release, "checklists");
    assert_eq!(titles(checklists["data"].as_array().unwrap()), ["After the tests", "Before it goes", "Own"]);
    assert_eq!(part(&app, &release, "approvals")["rule"]["kind"], "any");

    // There are not more than a release may have, with those of the model.
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"phase": "planning", "title": format!("Card {n}")})).collect()
    };
    let lead = app.client(Role::Lead);
    body["activities"] = json!(many(998));
    let list = body["checklists"][0].clone();
    body["checklists"] = json!(vec![list.clone(); 29]);
    lead.post("/releases", &body)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/activities", "LIMIT_REACHED"), ("/checklists", "LIMIT_REACHED")]);
    body["activities"] = json!([{"phase": "planning", "title": "x", "depends_on": ["nothing"]}]);
    body["checklists"] = json!(vec![list; 28]);
    let refused = lead.post("/releases", &body).problem(422, "INVALID_VALUES");
    refused.faults(&[("/activities/0/depends_on/0", "UNKNOWN_REFERENCE")]);
}

#[test]
fn without_a_deployment_window_the_times_of_the_templates_stay_null() {
    let app = App::start();
    let model = made(&app);
    let mut body = of_model(&model.id());
    body.as_object_mut().unwrap().remove("deployment_window");
    let release = register(&app, &body);
    for card in part(&app, &release, "activities")["data"].as_array().unwrap() {
        assert_eq!((&card["scheduled_start"], &card["due_at"]), (&Value::Null, &Value::Null), "{card}");
    }
    // And a window that is set, or moved, moves none of them.
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let window = json!({"deployment_window": new_release()["deployment_window"]});
    app.client(Role::Lead).patch(&path, "*", &window).expect(200);
    assert_eq!(part(&app, &release, "activities")["data"][0]["due_at"], Value::Null);
    // Instants end with the year 9999.
    body["deployment_window"] = json!({"start": "9999-12-31T23:00:00Z", "end": "9999-12-31T23:30:00Z"});
    let refused = app.client(Role::Lead).post("/releases", &body).problem(422, "INVALID_VALUES");
    refused.faults(&[("/deployment_window/start", "SCHEDULE_OUT_OF_REACH")]);
}

#[test]
fn custom_fields_are_as_the_schema_of_the_model_says() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let model = made(&app);
    let mut body = of_model(&model.id());
    let cases = [
        (json!({}), vec![("/custom_fields/cost_centre", "REQUIRED")]),
        (json!({"cost_centre": "4711"}), vec![("/custom_fields/cost_centre", "CUSTOM_FIELD_INVALID")]),
        (
            json!({"cost_centre": 4711, "a/b": 1, "sites": [{"name": "North"}, {}]}),
            vec![
                ("/custom_fields/cost_centre", "CUSTOM_FIELD_INVALID"),
                ("/custom_fields/a~1b", "CUSTOM_FIELD_UNKNOWN"),
                ("/custom_fields/sites/1/name", "REQUIRED"),
            ],
        ),
    ];
    for (fields, faults) in &cases {
        body["custom_fields"] = fields.clone();
        lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(faults);
    }
    let release = register(&app, &of_model(&model.id()));
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let patch = |fields: Value| lead.patch(&path, "*", &json!({"custom_fields": fields}));
    patch(json!({"cost_centre": null}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/custom_fields/cost_centre", "REQUIRED")]);
    patch(json!({"extra": 1}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/custom_fields/extra", "CUSTOM_FIELD_UNKNOWN")]);
    patch(json!({"sites": [{"name": "North"}]})).expect(200);

    // Another schema is for what is said from then on; what does not change is not judged again.
    let model_path = format!("/models/{}", model.id());
    let stricter = json!({"custom_fields_schema": {"required": ["cost_centre", "owner"], "properties": {"owner": {"type": "string"}}}});
    manager.patch(&model_path, "*", &stricter).expect(200);
    lead.patch(&path, "*", &json!({"title": "Another"})).expect(200);
    patch(json!({"cost_centre": "CC-4711"})).expect(200);
    patch(json!({"cost_centre": "CC-4712"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/custom_fields/owner", "REQUIRED")]);
    patch(json!({"cost_centre": "CC-4712", "owner": "Ana"})).expect(200);
    // Without a schema they may be anything.
    manager.patch(&model_path, "*", &json!({"custom_fields_schema": null})).expect(200);
    patch(json!({"whatever": [1, {"a": null}]})).expect(200);
}

#[test]
fn what_a_model_asks_for_is_asked_for_where_its_workflow_asks_only_where_asked() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let team = app.group("Release team");
    let body = json!({"name": "Proved", "status": "active", "executor_group_id": team, "asks_for": ["test_evidence", "test_evidence"]});
    let model = manager.post(&models(&app), &body).expect(201);
    assert_eq!(model.body["asks_for"], json!(["test_evidence"]));
    // That evidence will have to name a version is told while one can be given.
    let nameless = app.release().with("model_id", model.id()).with("version", Value::Null).make();
    let nameless = format!("/releases/{}", nameless["id"].as_str().unwrap());
    let told = || {
        let warnings = manager.get(&nameless).expect(200).body["warnings"].clone();
        warnings.as_array().unwrap().iter().any(|warning| warning["code"] == "VERSION_MISSING")
    };
    assert!(told());
    manager.patch(&nameless, "*", &json!({"version": "4.2.0"})).expect(200);
    assert!(!told());
    let release = app.release().with("model_id", model.id()).at("test").make();
    let advance = json!({"action": "advance", "from_stage": "test", "on_behalf_of": {"origin": "phone", "note": "x"}});
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let refused = manager.post(&format!("{path}/transitions"), &advance).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["TEST_EVIDENCE_MISSING"]);
    // The release keeps what it was registered with, and does not take it from a caller.
    manager.patch(&format!("/models/{}", model.id()), "*", &json!({"asks_for": []})).expect(200);
    manager.post(&format!("{path}/transitions"), &advance).problem(422, "GATES_NOT_MET");
    let taken_back = manager.patch(&path, "*", &json!({"asks_for": []})).problem(400, "MALFORMED_REQUEST");
    taken_back.faults(&[("/asks_for", "READ_ONLY_FIELD")]);
    manager
        .upload(&format!("{path}/documents"), &[("class", "evidence"), ("version", "4.2.0")], "t.txt", b"passed")
        .expect(201);
    manager.post(&format!("{path}/transitions"), &advance).expect(201);
    // Nobody asks the others.
    let other = app.release().with("model_id", model.id()).at("acceptance").make();
    assert_eq!(other["asks_for"], json!([]));
    assert_eq!(app.release().at("acceptance").make()["asks_for"], json!([]));
    // A workflow of one's own says whether it asks always, and only this gate can be asked so.
    let gate = |gate: &str| {
        json!({"key": format!("w_{gate}"), "name": "W", "return_stage": "trial", "stages": [
            {"key": "trial", "kind": "test", "responsible": [{"kind": "requester"}], "gates": [{"gate": gate, "where_asked": true}]},
            {"key": "closure", "kind": "closure", "responsible": [{"kind": "requester"}], "gates": []},
        ]})
    };
    let made = manager.post("/workflows", &gate("test_evidence")).expect(201);
    assert_eq!(made.body["stages"][0]["gates"], json!([{"gate": "test_evidence", "where_asked": true}]));
    manager
        .post("/workflows", &gate("windows_set"))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/stages/0/gates/0/where_asked", "NOT_APPLICABLE")]);
}

#[test]
fn where_something_of_the_model_does_not_hold_any_more_nothing_of_the_release_is_made() {
    let app = App::start();
    let (lead, manager, admin) = (app.client(Role::Lead), app.client(Role::Manager), app.client(Role::Admin));
    let model = made(&app);
    let list = model.body["checklist_template_ids"][0].as_str().unwrap().to_owned();
    manager.patch(&format!("/checklist-templates/{list}"), "*", &json!({"active": false})).expect(200);
    let stored = || {
        let total = lead.get("/releases?count=exact").expect(200).body["page"]["total"].clone();
        (total, admin.get("/audit?limit=1&sort=-at").expect(200).body["data"][0]["id"].clone())
    };
    let before = stored();
    let refused = lead.post_once("/releases", "once", &of_model(&model.id())).problem(422, "INVALID_VALUES");
    refused.faults(&[("/model_id", "TEMPLATE_NOT_ACTIVE")]);
    assert_eq!(stored(), before);
    // The model can be renamed all the same, and mended; the same key then makes the release.
    let path = format!("/models/{}", model.id());
    manager.patch(&path, "*", &json!({"description": "Every quarter"})).expect(200);
    let rest = json!({"checklist_template_ids": [model.body["checklist_template_ids"][1]]});
    manager.patch(&path, "*", &rest).expect(200);
    let made = lead.post_once("/releases", "once", &of_model(&model.id())).expect(201);
    assert_eq!(part(&app, &made.body, "checklists")["data"].as_array().unwrap().len(), 1);
    // Once more under the same key is the same release.
    assert_eq!(lead.post_once("/releases", "once", &of_model(&model.id())).expect(201).id(), made.id());
    // A voter who has left does not keep anybody from registering a release; the approvals say who cannot vote.
    let voter = model.body["approval_rule"]["voters"][0]["user_id"].as_str().unwrap().to_owned();
    admin.patch(&format!("/users/{voter}"), "*", &json!({"active": false})).expect(200);
    let release = register(&app, &of_model(&model.id()));
    assert_eq!(part(&app, &release, "approvals")["voters"][0]["standing"], "ineligible");
    app.assert_sound();
}

#[test]
fn a_schema_that_is_not_taken_any_more_is_a_fault_of_the_model() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let model = made(&app).id();
    let release = register(&app, &of_model(&model));
    app.database.execute(&format!(
        "UPDATE models SET row_version = row_version + 1, custom_fields_schema = '{{\"type\":\"nothing\"}}' WHERE id = '{model}'"
    ));
    let other = app.beside();
    let lead_there = other.client(Role::Lead);
    lead_there
        .post("/releases", &of_model(&model))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/model_id", "INVALID_SCHEMA")]);
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    lead_there
        .patch(&path, "*", &json!({"custom_fields": {"cost_centre": "CC-0001"}}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/custom_fields", "INVALID_SCHEMA")]);
    lead.patch(&path, "*", &json!({"title": "Another title"})).expect(200);
}

#[test]
fn custom_fields_have_an_end_with_a_schema_and_without_one() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let model = made(&app).id();
    let too_large = [json!({"x": vec![1; 400_000]}), json!({"x": "x".repeat(70_000)})];
    for fields in &too_large {
        for body in [of_model(&model), new_release()] {
            let mut body = body;
            body["custom_fields"] = fields.clone();
            let refused = lead.post("/releases", &body).problem(422, "INVALID_VALUES");
            refused.faults(&[("/custom_fields", "CUSTOM_FIELDS_TOO_LARGE")]);
        }
        let release = app.release().make();
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        lead.patch(&path, "*", &json!({"custom_fields": fields}))
            .problem(422, "INVALID_VALUES")
            .faults(&[("/custom_fields", "CUSTOM_FIELDS_TOO_LARGE")]);
    }
}

#[test]
fn what_a_model_begins_to_name_is_not_deleted_meanwhile() {
    let app = App::start();
    let (admin, manager) = (app.client(Role::Admin), app.client(Role::Manager));
    let model = format!("/models/{}", made(&app).id());
    for round in 0..24 {
        let name = format!("Raced {round}");
        let (path, patch) = match round % 4 {
            0 => {
                let list = template(&app, &name, "test");
                (format!("/checklist-templates/{list}"), json!({"checklist_template_ids": [list]}))
            }
            1 => {
                let group = admin.post("/groups", &json!({"name": name})).expect(201).id();
                (format!("/groups/{group}"), json!({"executor_group_ids": [app.group("Release team"), group]}))
            }
            2 => {
                let contract = admin.post("/contracts", &json!({"name": name})).expect(201).id();
                (format!("/contracts/{contract}"), json!({"contract_ids": [contract]}))
            }
            _ => {
                let group = json!({"name": name, "permissions": ["approve"]});
                let group = admin.post("/groups", &group).expect(201).id();
                let rule = json!({"kind": "any", "voters": [{"group_id": group}]});
                (format!("/groups/{group}"), json!({"approval_rule": rule}))
            }
        };
        let (named, deleted) = std::thread::scope(|scope| {
            let deleted = scope.spawn(|| admin.delete(&path, "*").status);
            (manager.patch(&model, "*", &patch).status, deleted.join().unwrap())
        });
        assert!(matches!((named, deleted), (200, 409) | (422, 204)), "{path}: {named} {deleted}");
    }
    app.assert_sound();
}

#[test]
fn the_templates_of_a_model_have_an_end_together() {
    let app = App::start();
    let mut body = whole(&app);
    for one in body["activity_templates"].as_array_mut().unwrap() {
        one["description"] = json!("d".repeat(60_000));
    }
    let refused = app.client(Role::Manager).post(&models(&app), &body).problem(422, "INVALID_VALUES");
    refused.faults(&[("/activity_templates", "TEMPLATES_TOO_LARGE")]);
}

#[test]
fn a_dry_run_makes_nothing_of_what_the_model_gives() {
    let app = App::start();
    let (lead, manager) = (app.client(Role::Lead), app.client(Role::Manager));
    let model = made(&app);
    let tried = lead.post("/releases?dry_run=true", &of_model(&model.id())).expect(200);
    assert_eq!((tried.header("dry-run"), &tried.body["id"]), ("true", &Value::Null));
    assert_eq!(tried.body["asks_for"], json!(["test_evidence"]));
    assert_eq!(lead.get("/releases?count=exact").expect(200).body["page"]["total"], 0);
    let mut body = of_model(&model.id());
    body["custom_fields"] = json!({});
    lead.post("/releases?dry_run=true", &body)
        .problem(422, "INVALID_VALUES")
        .faults(&[("/custom_fields/cost_centre", "REQUIRED")]);
    let path = format!("/models/{}/copy", model.id());
    let copied = manager.post(&format!("{path}?dry_run=true"), &json!({"name": "Copy"})).expect(200);
    assert_eq!((&copied.body["id"], &copied.body["status"]), (&Value::Null, &json!("new")));
    assert!(copied.header("location").is_empty());
    manager.post(&path, &json!({"name": "Copy"})).expect(201);
    app.assert_sound();
}

#[test]
fn releases_keep_what_their_model_was_when_they_were_made() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let model = made(&app);
    let old = register(&app, &of_model(&model.id()));
    let gone = json!({"activity_templates": [], "checklist_template_ids": [], "approval_rule": null, "workflow": "minor", "notify": null, "asks_for": []});
    manager.patch(&format!("/models/{}", model.id()), "*", &gone).expect(200);
    let new = register(&app, &of_model(&model.id()));
    assert_ne!(old["workflow_id"], new["workflow_id"]);
    assert!(cards(&app, &new, "planning").is_empty());
    let kept = app.client(Role::Lead).get(&format!("/releases/{}", old["id"].as_str().unwrap())).expect(200).body;
    assert_eq!((&kept["workflow_id"], &kept["asks_for"]), (&old["workflow_id"], &json!(["test_evidence"])));
    assert_eq!(titles(&cards(&app, &old, "planning")), ["Tell the shops"]);
    assert_eq!(part(&app, &old, "checklists")["data"].as_array().unwrap().len(), 2);
    assert_eq!(part(&app, &old, "approvals")["rule"]["kind"], "all");
}

#[test]
fn a_model_goes_from_new_to_active_to_retired_and_no_other_way() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    manager
        .post(&models(&app), &json!({"name": "Dead", "status": "retired"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/status", "NOT_THE_NEXT_STATUS")]);
    let path = format!("/models/{}", manager.post(&models(&app), &json!({"name": "Card"})).expect(201).id());
    let to = |status: &str| manager.patch(&path, "*", &json!({"status": status}));
    to("retired").problem(422, "INVALID_VALUES").faults(&[("/status", "NOT_THE_NEXT_STATUS")]);
    to("active").expect(200);
    to("new").problem(422, "INVALID_VALUES").faults(&[("/status", "NOT_NEW_AGAIN")]);
    to("retired").expect(200);
    to("retired").expect(200);
    to("new").problem(422, "INVALID_VALUES").faults(&[("/status", "NOT_NEW_AGAIN")]);
    to("active").problem(422, "INVALID_VALUES").faults(&[("/status", "NOT_THE_NEXT_STATUS")]);
    assert_eq!(manager.get(&path).expect(200).body["row_version"], 3);
    let model = path.trim_start_matches("/models/");
    app.client(Role::Lead)
        .post("/releases", &of_model(model))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/executor_group_id", "REQUIRED"), ("/model_id", "MODEL_NOT_ACTIVE")]);
}

#[test]
fn a_copy_says_what_its_model_says_and_begins_as_new() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let model = made(&app);
    manager.patch(&format!("/models/{}", model.id()), "*", &json!({"is_default": true})).expect(200);
    let path = format!("/models/{}/copy", model.id());
    let copy = manager.post_once(&path, "copy", &json!({"name": "Half-yearly"})).expect(201);
    assert_eq!(copy.header("location"), format!("/api/v1/models/{}", copy.id()));
    assert!(copy.header("etag").starts_with("\"1."));
    assert_eq!(manager.get(&format!("/models/{}", copy.id())).expect(200).body, copy.body);
    for (name, value) in model.body.as_object().unwrap() {
        match name.as_str() {
            "id" | "created_at" | "updated_at" => {}
            "name" => assert_eq!(copy.body[name], "Half-yearly"),
            "status" => assert_eq!(copy.body[name], "new"),
            "is_default" => assert_eq!(copy.body[name], false),
            _ => assert_eq!(&copy.body[name], value, "{name}"),
        }
    }
    let again = manager.post_once(&path, "copy", &json!({"name": "Half-yearly"})).expect(201);
    assert_eq!((again.header("idempotent-replayed"), again.id()), ("true", copy.id()));
    manager.post(&path, &json!({"name": "Half-yearly"})).problem(409, "ALREADY_EXISTS");
    let elsewhere = manager.post("/portfolios", &json!({"name": "Elsewhere"})).expect(201).id();
    let moved = manager.post(&path, &json!({"name": "Half-yearly", "portfolio_id": elsewhere})).expect(201);
    assert_eq!(moved.body["portfolio_id"], json!(elsewhere));
    manager.post(&path, &json!({"name": " "})).problem(422, "INVALID_VALUES").faults(&[("/name", "BLANK")]);
    manager
        .post(&path, &json!({"name": "x", "portfolio_id": NONE}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/portfolio_id", "UNKNOWN_REFERENCE")]);
    manager.post(&path, &json!({"name": "x", "status": "active"})).problem(400, "MALFORMED_REQUEST");
    manager.post(&format!("/models/{NONE}/copy"), &json!({"name": "x"})).problem(404, "NOT_FOUND");

    // A retired model is copied whatever has become of what it names; the copy is judged when it becomes active.
    manager.patch(&format!("/models/{}", app.model("Standard")), "*", &json!({"is_default": true})).expect(200);
    manager.patch(&format!("/models/{}", model.id()), "*", &json!({"status": "retired"})).expect(200);
    let list = model.body["checklist_template_ids"][0].as_str().unwrap();
    manager.patch(&format!("/checklist-templates/{list}"), "*", &json!({"active": false})).expect(200);
    let revived = manager.post(&path, &json!({"name": "Once more"})).expect(201);
    let revived = format!("/models/{}", revived.id());
    manager
        .patch(&revived, "*", &json!({"status": "active"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/checklist_template_ids/0", "TEMPLATE_NOT_ACTIVE")]);
    manager.patch(&revived, "*", &json!({"status": "active", "checklist_template_ids": []})).expect(200);
    app.assert_sound();
}

#[test]
fn what_a_model_names_is_in_use() {
    let app = App::start();
    let (admin, manager) = (app.client(Role::Admin), app.client(Role::Manager));
    let crew = json!({"name": "Crew", "permissions": ["execute", "approve"]});
    let crew = admin.post("/groups", &crew).expect(201).id();
    let voters = admin.post("/groups", &json!({"name": "Voters", "permissions": ["approve"]})).expect(201).id();
    let mut body = whole(&app);
    body["approval_rule"]["voters"][1]["group_id"] = json!(voters);
    body["activity_templates"][1]["group_id"] = json!(crew);
    let model = manager.post(&models(&app), &body).expect(201);
    let list = body["checklist_template_ids"][0].as_str().unwrap();
    let user = body["approval_rule"]["voters"][0]["user_id"].as_str().unwrap();
    let named = [
        format!("/groups/{crew}"),
        format!("/groups/{voters}"),
        format!("/users/{user}"),
        format!("/checklist-templates/{list}"),
    ];
    for path in &named {
        let refused = admin.delete(path, "*").problem(409, "IN_USE");
        assert!(refused.body["detail"].as_str().unwrap().contains("1 model"), "{}", refused.text);
    }
    manager.delete(&format!("/models/{}", model.id()), "*").expect(204);
    for path in &named {
        admin.delete(path, "*").expect(204);
    }
}
