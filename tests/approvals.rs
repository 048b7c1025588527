//! Approvals: who votes, what the votes add up to, and when they are asked for anew.

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use slipway::service::seed::seed;

use crate::support::*;

/// A release of the requester at authorization, with a rule over these voters.
fn asked(app: &App, rule: &Value) -> Value {
    let mut release = app
        .release()
        .with("requester", json!({"user_id": app.user_id(Role::Requester)}))
        .with("approval_rule", rule.clone())
        .make();
    carry(app, &app.client(Role::Manager), &mut release, "authorization");
    release
}

fn path(release: &Value) -> String {
    format!("/releases/{}", release["id"].as_str().unwrap())
}

fn users(app: &App, roles: &[Role]) -> Value {
    roles.iter().map(|role| json!({"user_id": app.user_id(*role)})).collect()
}

fn approve() -> Value {
    json!({"decision": "approve"})
}

#[test]
fn what_waits_for_me_is_found_among_many_in_every_order() {
    let app = App::start();
    seed(&app.env, 12, 1_001).unwrap();
    let [manager, outsider] = [Role::Manager, Role::Outsider].map(|role| app.client(role));
    let rule = json!({"kind": "all", "voters": users(&app, &[Role::Outsider, Role::Lead])});
    let releases: Vec<Value> = (0..5).map(|_| asked(&app, &rule)).collect();
    // One was voted on, one is suspended, and of one the voter becomes the assignee: four eyes.
    outsider.post(&format!("{}/approvals/votes", path(&releases[0])), &approve()).expect(201);
    let reason = app.justification("suspend");
    transition(&manager, &releases[1], &json!({"action": "suspend", "justification_id": reason, "note": "Waiting"}));
    let members = format!("/groups/{}/members", app.group("Release team"));
    app.client(Role::Admin).post(&members, &json!({"user_id": app.user_id(Role::Outsider)})).expect(201);
    transition(&outsider, &releases[2], &json!({"action": "capture"}));
    for sort in ["created_at", "updated_at", "number", "priority", "title", "deadline"] {
        for (direction, newest_first) in [("", false), ("-", true)] {
            let page =
                outsider.get(&format!("/releases?waiting_for_my_approval=true&sort={direction}{sort}&count=exact"));
            let page = page.expect(200);
            assert_eq!(page.body["page"]["total"], 2, "{direction}{sort}");
            let found: Vec<&Value> = page.body["data"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
            let mut expected = vec![&releases[3]["id"], &releases[4]["id"]];
            if newest_first {
                expected.reverse();
            }
            assert_eq!(found, expected, "{direction}{sort}");
        }
    }
    let total = |path: &str| outsider.get(path).expect(200).body["page"]["total"].as_i64().unwrap();
    let others = total("/releases?waiting_for_my_approval=false&limit=1&count=exact");
    assert_eq!(others, total("/releases?limit=1&count=exact") - 2);
    app.assert_sound();
}

fn reject() -> Value {
    json!({"decision": "reject", "comment": "The window is too short"})
}

fn advance(client: &Client, release: &Value) -> Answer {
    let body = json!({
        "action": "advance",
        "from_stage": "authorization",
        "on_behalf_of": {"origin": "phone", "note": "Agreed"},
    });
    client.post(&format!("{}/transitions", path(release)), &body)
}

fn standings(approvals: &Answer) -> Vec<String> {
    let voters = approvals.body["voters"].as_array().unwrap();
    voters.iter().map(|voter| voter["standing"].as_str().unwrap().to_owned()).collect()
}

fn waiting(client: &Client) -> usize {
    let page = client.get("/releases?waiting_for_my_approval=true").expect(200);
    page.body["data"].as_array().unwrap().len()
}

#[test]
fn a_release_does_not_leave_authorization_before_enough_approve() {
    let app = App::start();
    let rule = json!({"kind": "all", "voters": users(&app, &[Role::Lead, Role::Outsider])});
    let release = asked(&app, &rule);
    let votes = format!("{}/approvals/votes", path(&release));
    let [manager, lead, outsider] = [Role::Manager, Role::Lead, Role::Outsider].map(|role| app.client(role));
    let refused = advance(&manager, &release).problem(422, "GATES_NOT_MET");
    assert_eq!(refused.blockers(), ["APPROVAL_MISSING"]);
    assert_eq!(refused.body["blockers"][0]["refs"].as_array().unwrap().len(), 2, "{}", refused.text);
    // Whoever is asked sees the release, and finds it.
    assert_eq!((waiting(&lead), waiting(&outsider), waiting(&manager)), (1, 1, 0));
    let others = manager.get("/releases?waiting_for_my_approval=false").expect(200);
    assert_eq!(others.body["data"].as_array().unwrap().len(), 1);
    outsider.get(&path(&release)).expect(200);

    lead.post(&votes, &approve()).expect(201);
    assert_eq!((waiting(&lead), waiting(&outsider)), (0, 1));
    outsider
        .post(&votes, &json!({"decision": "reject"}))
        .problem(422, "INVALID_VALUES")
        .faults(&[("/comment", "REQUIRED")]);
    let vote = outsider.post(&votes, &reject()).expect(201);
    assert_eq!(vote.header("location"), format!("/api/v1{votes}/{}", vote.id()));
    assert_eq!(advance(&manager, &release).problem(422, "GATES_NOT_MET").blockers(), ["APPROVAL_REJECTED"]);
    let shown = manager.get(&format!("{}/approvals", path(&release))).expect(200);
    assert_eq!(standings(&shown), ["approved", "rejected"]);
    assert_eq!(
        (&shown.body["satisfied"], &shown.body["round"], &shown.body["open"]),
        (&json!(false), &json!(1), &json!(true))
    );

    // A vote is changed by voting again; the first one stays readable.
    outsider.post(&votes, &approve()).expect(201);
    assert_eq!(outsider.get(&format!("{votes}/{}", vote.id())).expect(200).body["state"], "replaced");
    assert_eq!(manager.get(&format!("{votes}?count=exact")).expect(200).body["page"]["total"], 3);
    assert_eq!((waiting(&lead), waiting(&outsider)), (0, 0));
    advance(&manager, &release).expect(201);
    lead.post(&votes, &approve()).problem(409, "NOT_AT_APPROVAL");
    let history = manager.get(&format!("{}/history", path(&release))).expect(200).text;
    assert!(history.contains("release.cast_vote") && history.contains("release.open_approval_round"));
    assert_eq!(manager.get(&format!("{}/history/verify", path(&release))).expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn nobody_votes_who_was_not_asked_and_nobody_on_their_own_release() {
    let app = App::start();
    let team = app.group("Release team");
    let admin = app.client(Role::Admin);
    admin.post(&format!("/groups/{team}/members"), &json!({"user_id": app.user_id(Role::Requester)})).expect(201);
    let mut voters = users(&app, &[Role::Requester]);
    voters.as_array_mut().unwrap().push(json!({"group_id": team}));
    let release = asked(&app, &json!({"kind": "any", "voters": voters}));
    let votes = format!("{}/approvals/votes", path(&release));
    // The manager holds every right, and is not asked.
    app.client(Role::Manager).post(&votes, &approve()).problem(403, "FORBIDDEN");
    app.client(Role::Viewer).post(&votes, &approve()).problem(403, "FORBIDDEN");
    let requester = app.client(Role::Requester);
    requester.post(&votes, &approve()).problem(403, "FOUR_EYES");
    requester.post(&votes, &json!({"decision": "approve", "group_id": team})).problem(403, "FOUR_EYES");
    requester
        .post(&votes, &json!({"decision": "approve", "group_id": app.group("Operators")}))
        .problem(403, "FORBIDDEN");
    assert_eq!(waiting(&requester), 0);
    // The assignee does not vote either, and a vote of theirs from before does not count any more.
    let lead = app.client(Role::Lead);
    lead.post(&votes, &approve()).expect(201);
    let approvals = format!("{}/approvals", path(&release));
    assert_eq!(lead.get(&approvals).expect(200).body["satisfied"], true);
    let url = format!("{}/transitions", path(&release));
    lead.post(&url, &json!({"action": "capture"})).expect(201);
    lead.post(&votes, &approve()).problem(403, "FOUR_EYES");
    let shown = lead.get(&approvals).expect(200);
    assert_eq!((standings(&shown), &shown.body["satisfied"]), (vec!["barred".into(), "waiting".into()], &json!(false)));
    assert_eq!(
        advance(&app.client(Role::Manager), &release).problem(422, "GATES_NOT_MET").blockers(),
        ["APPROVAL_MISSING"]
    );
    assert_eq!((waiting(&lead), waiting(&admin)), (0, 1));
    admin.post(&votes, &approve()).expect(201);
    advance(&app.client(Role::Manager), &release).expect(201);
    app.assert_sound();
}

#[test]
fn the_rule_lets_the_requester_approve_only_where_the_workflow_does_and_too_few_voters_are_told() {
    let app = App::start();
    let rule = json!({"kind": "any", "voters": users(&app, &[Role::Requester])});
    let release = asked(&app, &rule);
    let manager = app.client(Role::Manager);
    assert_eq!(advance(&manager, &release).problem(422, "GATES_NOT_MET").blockers(), ["NO_ELIGIBLE_APPROVER"]);
    let rule = json!({"kind": "any", "voters": users(&app, &[Role::Requester]), "requester_may_approve": true});
    let url = format!("{}/approvals/rule", path(&release));
    manager.put(&url, &rule).problem(428, "PRECONDITION_REQUIRED");
    let put = |url: &str, version: &str, rule: &Value| {
        Answer::of(manager.request("PUT", url).header("If-Match", version).json(rule))
    };
    put(&url, "\"99\"", &rule).problem(412, "PRECONDITION_FAILED");
    put(&url, "*", &rule).problem(422, "INVALID_VALUES").faults(&[("/requester_may_approve", "FOUR_EYES_NEEDED")]);

    let lax = json!({"key": "lax", "name": "Lax", "return_stage": "authorization", "stages": [
        {"key": "authorization", "kind": "authorization", "responsible": [{"kind": "requester"}],
            "gates": [{"gate": "approvals_satisfied", "requester_may_approve": true}]},
        {"key": "closure", "kind": "closure", "responsible": [{"kind": "requester"}], "gates": []},
    ]});
    manager.post("/workflows", &lax).expect(201);
    let team = app.group("Release team");
    let model = json!({"name": "Lax", "workflow": "lax", "status": "active", "executor_group_id": team});
    let model = manager.post(&format!("/portfolios/{}/models", app.named("portfolios", "General")), &model).expect(201);
    let mut body = new_release();
    body["model_id"] = json!(model.id());
    body["requester"] = json!({"user_id": app.user_id(Role::Requester)});
    let release = manager.post("/releases", &body).expect(201).body;
    let url = format!("{}/approvals/rule", path(&release));
    put(&url, "*", &rule).expect(200);
    app.client(Role::Requester).post(&format!("{}/approvals/votes", path(&release)), &approve()).expect(201);
    advance(&manager, &release).expect(201);
    put(&url, "*", &rule).problem(409, "LOCKED_AFTER_AUTHORIZATION");
}

#[test]
fn whoever_is_asked_about_does_not_choose_who_is_asked() {
    let app = App::start();
    let (admin, manager) = (app.client(Role::Admin), app.client(Role::Manager));
    let crew = json!({"name": "Crew", "permissions": ["create", "execute"]});
    let crew = admin.post("/groups", &crew).expect(201).id();
    admin.post(&format!("/groups/{crew}/members"), &json!({"user_id": app.user_id(Role::Outsider)})).expect(201);
    let member = app.client(Role::Outsider);
    let boss = json!({"kind": "all", "voters": users(&app, &[Role::Admin])});
    let own = json!({"kind": "any", "voters": users(&app, &[Role::Viewer])});
    let models = format!("/portfolios/{}/models", app.named("portfolios", "General"));
    let model = |name: &str, rule: &Value| {
        let model = json!({
            "name": name, "workflow": "emergency", "type": "emergency", "status": "active", "executor_group_id": crew,
            "approval_rule": rule,
        });
        manager.post(&models, &model).expect(201).id()
    };
    let replace = |client: &Client, release: &str, rule: &Value| {
        let url = format!("{release}/approvals/rule");
        Answer::of(client.request("PUT", &url).header("If-Match", "*").json(rule))
    };

    // The rule of the model holds, whatever is sent along or put in its place.
    let mut body = new_release();
    body["model_id"] = json!(model("Ruled", &boss));
    let release = format!("/releases/{}", member.post("/releases", &body).expect(201).id());
    replace(&member, &release, &own).problem(403, "FORBIDDEN");
    body["approval_rule"] = own.clone();
    let refused = member.post("/releases", &body).problem(403, "FORBIDDEN");
    assert!(refused.text.contains("`override`"), "{}", refused.text);
    let shown = member.get(&format!("{release}/approvals")).expect(200);
    assert_eq!(shown.body["rule"]["voters"][0]["user_id"], app.user_id(Role::Admin).to_string());
    replace(&manager, &release, &own).expect(200);

    // Without one the team asks whom it wants; not any more once they are being asked.
    body["model_id"] = json!(model("Free", &Value::Null));
    let release = format!("/releases/{}", member.post("/releases", &body).expect(201).id());
    replace(&member, &release, &boss).problem(403, "FORBIDDEN");
    let mut planned = app.release().with("executor_group_id", crew.clone()).make();
    let release = path(&planned);
    replace(&member, &release, &own).expect(200);
    carry(&app, &manager, &mut planned, "authorization");
    replace(&member, &release, &boss).problem(403, "FORBIDDEN");
    app.assert_sound();
}

#[test]
fn a_rule_that_cannot_be_is_refused_whole() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let one = users(&app, &[Role::Lead]);
    let nobody = json!([{"user_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}]);
    let cases = [
        (json!({"kind": "percent", "percent": 0, "voters": one}), "/approval_rule/percent", "OUT_OF_RANGE"),
        (json!({"kind": "percent", "percent": 101, "voters": one}), "/approval_rule/percent", "OUT_OF_RANGE"),
        (json!({"kind": "quorum", "quorum": 2, "voters": one}), "/approval_rule/quorum", "MORE_THAN_VOTERS"),
        (json!({"kind": "quorum", "voters": one}), "/approval_rule/quorum", "REQUIRED"),
        (json!({"kind": "all", "voters": []}), "/approval_rule/voters", "TOO_SHORT"),
        (json!({"kind": "all", "voters": nobody}), "/approval_rule/voters/0/user_id", "UNKNOWN_REFERENCE"),
        (
            json!({"kind": "all", "voters": [{"group_id": app.group("Operators")}]}),
            "/approval_rule/voters/0/group_id",
            "GROUP_CANNOT_APPROVE",
        ),
    ];
    for (rule, pointer, code) in cases {
        let mut body = new_release();
        body["approval_rule"] = rule;
        lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(&[(pointer, code)]);
    }
    // Nobody would ever ask about a rule of a release whose workflow has no authorization.
    let mut body = new_release();
    body["model_id"] = json!(app.model("Minor"));
    body["approval_rule"] = json!({"kind": "any", "voters": one});
    lead.post("/releases", &body).problem(422, "INVALID_VALUES").faults(&[("/approval_rule", "NOT_APPLICABLE")]);
    assert_eq!(lead.get("/releases").expect(200).body["data"], json!([]));
}

#[test]
fn a_material_edit_resets_the_votes_and_earlier_rounds_stay_readable() {
    let app = App::start();
    let rule = json!({"kind": "any", "voters": users(&app, &[Role::Admin])});
    let release = asked(&app, &rule);
    let (path, manager, admin) = (path(&release), app.client(Role::Manager), app.client(Role::Admin));
    let (approvals, votes) = (format!("{path}/approvals"), format!("{path}/approvals/votes"));
    let round = || manager.get(&approvals).expect(200).body["round"].clone();
    // Without a vote there is nothing to reset, and a title is not what was voted on.
    manager.patch(&path, "*", &json!({"version": "4.2.1"})).expect(200);
    admin.post(&votes, &approve()).expect(201);
    manager.patch(&path, "*", &json!({"title": "Payments 4.2.1"})).expect(200);
    assert_eq!(round(), 1);
    let patched = manager.patch(&path, "*", &json!({"version": "4.2.2"})).expect(200);
    assert!(!patched.body["allowed_actions"].to_string().contains("advance"), "{}", patched.text);
    let shown = manager.get(&approvals).expect(200);
    assert_eq!((&shown.body["round"], &shown.body["cause"]), (&json!(2), &json!("material_edit")), "{}", shown.text);
    assert!(shown.body["reason"].as_str().unwrap().contains("the version"), "{}", shown.text);
    assert_eq!((shown.body["votes"].clone(), standings(&shown)), (json!([]), vec!["waiting".to_owned()]));
    assert_eq!(waiting(&admin), 1);
    let first = manager.get(&format!("{approvals}?round=1")).expect(200);
    assert_eq!((standings(&first), &first.body["open"]), (vec!["approved".to_owned()], &json!(false)));
    manager.get(&format!("{approvals}?round=9")).problem(404, "NOT_FOUND");
    manager.get(&format!("{approvals}?round=zero")).problem(400, "MALFORMED_REQUEST");
    assert!(manager.get(&format!("{path}/history")).expect(200).text.contains("release.reset_votes"));
    // Linking and unlinking a change, and moving a window, do the same.
    admin.post(&votes, &approve()).expect(201);
    let link = manager.post(&format!("{path}/changes"), &json!({"change_id": app.change("authorised")})).expect(201);
    assert_eq!(round(), 3);
    admin.post(&votes, &approve()).expect(201);
    manager.delete(&format!("{path}/changes/{}", link.id()), "*").expect(204);
    assert_eq!(round(), 4);
    admin.post(&votes, &approve()).expect(201);
    let window = json!({"start": "2030-02-05T22:00:00Z", "end": "2030-02-06T03:00:00Z"});
    manager.patch(&path, "*", &json!({"deployment_window": window})).expect(200);
    assert_eq!(round(), 5);
    assert_eq!(manager.get(&format!("{path}/history/verify")).expect(200).body["valid"], true);
    app.assert_sound();
}

#[test]
fn coming_to_authorization_again_asks_again() {
    let app = App::start();
    let rule = json!({"kind": "any", "voters": users(&app, &[Role::Admin])});
    let mut release = asked(&app, &rule);
    let (path, manager, admin) = (path(&release), app.client(Role::Manager), app.client(Role::Admin));
    admin.post(&format!("{path}/approvals/votes"), &approve()).expect(201);
    let back = json!({"action": "send_back", "from_stage": "authorization", "note": "Not yet", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    release = transition(&manager, &release, &back);
    let at_planning = manager.get(&format!("{path}/approvals")).expect(200);
    assert_eq!((&at_planning.body["round"], &at_planning.body["open"]), (&json!(1), &json!(false)));
    admin.post(&format!("{path}/approvals/votes"), &approve()).problem(409, "NOT_AT_APPROVAL");
    assert_eq!(waiting(&admin), 0);
    let body =
        json!({"action": "advance", "from_stage": "planning", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    release = transition(&manager, &release, &body);
    assert!(!release["allowed_actions"].to_string().contains("advance"), "{release}");
    let again = manager.get(&format!("{path}/approvals")).expect(200);
    assert_eq!((&again.body["round"], &again.body["cause"]), (&json!(2), &json!("entered")));
    assert_eq!(waiting(&admin), 1);
    // A suspended release asks nobody, and goes on asking afterwards.
    let suspend = json!({"action": "suspend", "justification_id": app.justification("suspend"), "note": "Wait"});
    release = transition(&manager, &release, &suspend);
    assert_eq!(waiting(&admin), 0);
    admin.post(&format!("{path}/approvals/votes"), &approve()).problem(409, "STATE_FORBIDS");
    release = transition(&manager, &release, &json!({"action": "reactivate"}));
    assert_eq!(waiting(&admin), 1);
    admin.post(&format!("{path}/approvals/votes"), &approve()).expect(201);
    advance(&manager, &release).expect(201);
    app.assert_sound();
}

#[test]
fn a_vote_is_withdrawn_by_whoever_gave_it_and_says_why() {
    let app = App::start();
    let rule = json!({"kind": "any", "voters": users(&app, &[Role::Lead, Role::Admin])});
    let release = asked(&app, &rule);
    let votes = format!("{}/approvals/votes", path(&release));
    let (lead, admin) = (app.client(Role::Lead), app.client(Role::Admin));
    let vote = format!("{votes}/{}", lead.post(&votes, &approve()).expect(201).id());
    let withdraw = format!("{vote}/withdraw");
    admin.post(&withdraw, &json!({"comment": "In doubt"})).problem(403, "FORBIDDEN");
    lead.post(&withdraw, &json!({})).problem(422, "INVALID_VALUES").faults(&[("/comment", "REQUIRED")]);
    let withdrawn = lead.post(&withdraw, &json!({"comment": "In doubt"})).expect(200);
    assert_eq!(
        (&withdrawn.body["state"], &withdrawn.body["withdrawal_comment"]),
        (&json!("withdrawn"), &json!("In doubt"))
    );
    lead.post(&withdraw, &json!({"comment": "In doubt"})).problem(409, "VOTE_NOT_STANDING");
    assert_eq!(
        advance(&app.client(Role::Manager), &release).problem(422, "GATES_NOT_MET").blockers(),
        ["APPROVAL_MISSING"]
    );
    assert_eq!((waiting(&lead), waiting(&admin)), (1, 1));
    app.assert_sound();
}

/// Does two things at once; answers what each was told.
fn both(one: impl Fn() -> Answer + Send + 'static, other: impl Fn() -> Answer + Send + 'static) -> (Answer, Answer) {
    let start = Arc::new(Barrier::new(2));
    let beside = Arc::clone(&start);
    let thread = std::thread::spawn(move || {
        beside.wait();
        other()
    });
    start.wait();
    let answer = one();
    (answer, thread.join().unwrap())
}

#[test]
fn two_approvers_at_once_fill_a_quorum_between_them() {
    let app = App::start_with(|config| config.workers = 2);
    for _ in 0..5 {
        let rule =
            json!({"kind": "quorum", "quorum": 2, "voters": users(&app, &[Role::Lead, Role::Admin, Role::Viewer])});
        let release = asked(&app, &rule);
        let votes = format!("{}/approvals/votes", path(&release));
        let (lead, admin, url) = (app.client(Role::Lead), app.client(Role::Admin), votes.clone());
        let (one, other) = both(move || lead.post(&votes, &approve()), move || admin.post(&url, &approve()));
        assert_eq!((one.status, other.status), (201, 201), "{} {}", one.text, other.text);
        let manager = app.client(Role::Manager);
        let shown = manager.get(&format!("{}/approvals", path(&release))).expect(200);
        assert_eq!((&shown.body["satisfied"], &shown.body["tally"]["approvals"]), (&json!(true), &json!(2)));
        assert_eq!(waiting(&app.client(Role::Viewer)), 0);
        assert_eq!(manager.get(&format!("{}/history/verify", path(&release))).expect(200).body["valid"], true);
    }
    app.assert_sound();
}

#[test]
fn a_vote_and_a_material_edit_at_once_leave_no_vote_on_what_was_not_seen() {
    let app = App::start_with(|config| config.workers = 2);
    for _ in 0..5 {
        let rule = json!({"kind": "any", "voters": users(&app, &[Role::Admin])});
        let release = asked(&app, &rule);
        let (path, manager, admin) = (path(&release), app.client(Role::Manager), app.client(Role::Admin));
        let (votes, url) = (format!("{path}/approvals/votes"), path.clone());
        let (voted, edited) = both(
            move || admin.post(&votes, &approve()),
            move || manager.patch(&url, "*", &json!({"version": "4.3.0"})),
        );
        voted.expect(201);
        edited.expect(200);
        // Whoever came first: a vote before the edit is reset, one after it counts in the same round.
        let manager = app.client(Role::Manager);
        let shown = manager.get(&format!("{path}/approvals")).expect(200);
        let (round, satisfied) = (shown.body["round"].as_i64().unwrap(), shown.body["satisfied"] == true);
        assert_eq!(satisfied, round == 1, "{}", shown.text);
        assert_eq!(manager.get(&format!("{path}/history/verify")).expect(200).body["valid"], true);
    }
    app.assert_sound();
}

#[test]
fn a_release_does_not_advance_on_votes_that_are_being_reset() {
    let app = App::start_with(|config| config.workers = 2);
    for _ in 0..5 {
        let rule = json!({"kind": "any", "voters": users(&app, &[Role::Admin])});
        let release = asked(&app, &rule);
        let (path, manager) = (path(&release), app.client(Role::Manager));
        app.client(Role::Admin).post(&format!("{path}/approvals/votes"), &approve()).expect(201);
        let (url, editor) = (path.clone(), manager.clone());
        let (advanced, edited) =
            both(move || advance(&manager, &release), move || editor.patch(&url, "*", &json!({"version": "4.3.0"})));
        match (advanced.status, edited.status) {
            (201, 409) => assert_eq!(edited.body["code"], "LOCKED_AFTER_AUTHORIZATION"),
            (422, 200) => assert_eq!(advanced.blockers(), ["APPROVAL_MISSING"]),
            _ => panic!("{} {}", advanced.text, edited.text),
        }
    }
    app.assert_sound();
}
