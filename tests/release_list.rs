//! The list of releases: every filter, every sort, and who sees what.

use serde_json::{Value, json};

use crate::support::*;

const BY_REQUESTER: &str = "2030-01-07T10:0";

/// Nine releases, each of which differs from the others; told apart by the first word of their titles.
struct Nine {
    app: App,
    contract: String,
    unit: String,
    change: String,
    portfolio: String,
    model: String,
}

impl Nine {
    fn start() -> Self {
        let app = App::start();
        let admin = app.client(Role::Admin);
        let manager = app.client(Role::Manager);
        let made = |path: &str, body: Value| admin.post(path, &body).expect(201).id();
        let contract = made("/contracts", json!({"name": "Operations"}));
        let unit = made("/units", json!({"name": "Retail"}));
        let portfolio = made("/portfolios", json!({"name": "Payments"}));
        let team = app.group("Release team");
        let card = json!({"name": "Card", "status": "active", "type": "major", "executor_group_id": team});
        let model = made(&format!("/portfolios/{portfolio}/models"), card);
        let change = app.change("authorised");
        let at = |second: u32| app.set_clock(&format!("2030-01-07T10:00:{second:02}Z"));
        let later = |days: &str, hours: (&str, &str)| json!({"start": format!("2030-{days}T{}:00:00Z", hours.0), "end": format!("2030-{days}T{}:00:00Z", hours.1)});

        at(1);
        let mut body = new_release();
        body["title"] = json!("Alpha one");
        body["version"] = json!("1.0.0");
        body["impact"] = json!("high");
        body["urgency"] = json!("high");
        body["tags"] = json!(["red"]);
        body["requester"] = json!({"user_id": app.user_id(Role::Requester)});
        let alpha = manager.post("/releases", &body).expect(201).body;
        transition(&app.client(Role::Lead), &alpha, &json!({"action": "capture"}));
        at(2);
        app.release()
            .with("title", "Beta two")
            .with("impact", "high")
            .with("urgency", "high")
            .with("model_id", app.model("Emergency"))
            .at("authorization")
            .with("tags", json!(["red", "blue"]))
            .with("contract_id", contract.clone())
            .with("changes", json!([{"change_id": change}]))
            .with("requester", json!({"name": "Ana", "email": "ana@example.org", "unit_id": unit}))
            .make();
        at(3);
        app.release()
            .with("title", "alphabet three")
            .with("model_id", app.model("Minor"))
            .with("executor_group_id", app.group("Operators"))
            .with("impact", "low")
            .with("urgency", "low")
            .with("planning_window", later("03-01", ("09", "10")))
            .with("deployment_window", later("03-02", ("09", "10")))
            .make();
        at(4);
        app.release().with("title", "Delta four").status("suspended").make();
        at(5);
        app.release().with("title", "Epsilon five").status("closed").make();
        at(6);
        app.release().with("title", "Zeta six").status("cancelled").make();
        at(7);
        let mut bare = new_release();
        bare["title"] = json!("Eta seven");
        bare["version"] = json!(null);
        for window in ["planning_window", "deployment_window"] {
            bare.as_object_mut().unwrap().remove(window);
        }
        manager.post("/releases", &bare).expect(201);
        at(8);
        let mut body = new_release();
        body["title"] = json!("Theta eight");
        body["model_id"] = json!(model);
        body.as_object_mut().unwrap().remove("planning_window");
        manager.post("/releases", &body).expect(201);
        at(9);
        app.release().with("title", "Iota nine").with("version", "9.9").status("reopened").make();
        Self { app, contract, unit, change, portfolio, model }
    }

    fn titles(answer: &Answer) -> Vec<String> {
        let data = answer.body["data"].as_array().unwrap();
        let first = |item: &Value| item["title"].as_str().unwrap().split(' ').next().unwrap().to_lowercase();
        data.iter().map(first).collect()
    }
}

const ALL: [&str; 9] = ["alpha", "beta", "alphabet", "delta", "epsilon", "zeta", "eta", "theta", "iota"];

#[test]
fn every_filter_answers_exactly_what_it_says() {
    let nine = Nine::start();
    let app = &nine.app;
    let id = |role: Role| app.user_id(role).to_string();
    let others = |not: &[&str]| ALL.into_iter().filter(|name| !not.contains(name)).collect::<Vec<_>>();
    let (general, emergency, minor) = (app.named("portfolios", "General"), app.model("Emergency"), app.model("Minor"));
    let cases: Vec<(String, Vec<&str>)> = vec![
        (String::new(), ALL.to_vec()),
        ("status=open".into(), vec!["alpha", "beta", "alphabet", "eta", "theta"]),
        ("status=suspended".into(), vec!["delta"]),
        ("status=closed,cancelled".into(), vec!["epsilon", "zeta"]),
        ("status=reopened".into(), vec!["iota"]),
        ("stage=authorization".into(), vec!["beta"]),
        ("stage=closure".into(), vec!["epsilon"]),
        ("stage=planning,authorization".into(), others(&["epsilon"])),
        ("stage=nowhere".into(), vec![]),
        ("priority=1".into(), vec!["alpha", "beta"]),
        ("priority=5".into(), vec!["alphabet"]),
        ("priority=1,5".into(), vec!["alpha", "beta", "alphabet"]),
        ("type=emergency".into(), vec!["beta"]),
        ("type=minor,major".into(), vec!["alphabet", "theta"]),
        (format!("portfolio={}", nine.portfolio), vec!["theta"]),
        (format!("portfolio={general}"), others(&["theta"])),
        (format!("model={}", nine.model), vec!["theta"]),
        (format!("model={emergency},{minor}"), vec!["beta", "alphabet"]),
        (format!("group={}", app.group("Operators")), vec!["alphabet"]),
        (format!("group={}", app.group("Requesters")), vec![]),
        (format!("assignee={}", id(Role::Lead)), vec!["alpha"]),
        (format!("assignee={}", id(Role::Manager)), vec![]),
        (format!("requester={}", id(Role::Requester)), vec!["alpha"]),
        (format!("unit={}", nine.unit), vec!["beta"]),
        (format!("contract={}", nine.contract), vec!["beta"]),
        (format!("change={}", nine.change), vec!["beta"]),
        ("tag=red".into(), vec!["alpha", "beta"]),
        ("tag=blue,green".into(), vec!["beta"]),
        ("tag=Red".into(), vec![]),
        (format!("created_from={BY_REQUESTER}0:08Z"), vec!["theta", "iota"]),
        (format!("created_to={BY_REQUESTER}0:02Z"), vec!["alpha"]),
        (format!("created_from={BY_REQUESTER}0:02Z&created_to={BY_REQUESTER}0:04Z"), vec!["beta", "alphabet"]),
        ("created_from=2030-01-07T12:00:08%2B02:00".into(), vec!["theta", "iota"]),
        (format!("closed_from={BY_REQUESTER}0:05Z"), vec!["epsilon"]),
        (format!("closed_from={BY_REQUESTER}0:06Z"), vec![]),
        (format!("closed_to={BY_REQUESTER}0:06Z"), vec!["epsilon"]),
        (format!("closed_to={BY_REQUESTER}0:05Z"), vec![]),
        ("planning_start_from=2030-02-01T09:00:01Z".into(), vec!["alphabet"]),
        ("planning_start_from=2030-02-01T09:00:00Z".into(), others(&["eta", "theta"])),
        ("planning_start_to=2030-03-01T09:00:00Z".into(), others(&["eta", "theta", "alphabet"])),
        ("planning_end_from=2030-03-01T10:00:00Z".into(), vec!["alphabet"]),
        ("planning_end_to=2030-03-01T10:00:00Z".into(), others(&["eta", "theta", "alphabet"])),
        ("deployment_start_from=2030-03-02T09:00:00Z".into(), vec!["alphabet"]),
        ("deployment_start_to=2030-03-02T09:00:00Z".into(), others(&["eta", "alphabet"])),
        ("deployment_end_from=2030-02-06T02:00:00Z".into(), others(&["eta"])),
        ("deployment_end_to=2030-02-06T02:00:00Z".into(), vec![]),
        ("deployment_end_to=2030-02-06T02:00:01Z".into(), others(&["eta", "alphabet"])),
        ("overdue=true".into(), vec![]),
        ("overdue=false".into(), ALL.to_vec()),
        ("q=REL-3".into(), vec!["alphabet"]),
        ("q=rel-3".into(), vec!["alphabet"]),
        ("q=REL-33".into(), vec![]),
        ("q=alpha".into(), vec!["alpha", "alphabet"]),
        ("q=ALPHA%20".into(), vec!["alpha"]),
        ("q=lpha".into(), vec![]),
        ("q=1.0".into(), vec!["alpha"]),
        ("q=9.9".into(), vec!["iota"]),
        ("q=%25".into(), vec![]),
        ("q=_lpha".into(), vec![]),
        ("status=open&tag=red&type=emergency".into(), vec!["beta"]),
        ("status=open&tag=red&type=minor".into(), vec![]),
    ];
    let manager = app.client(Role::Manager);
    for (query, expected) in cases {
        let answer = manager.get(&format!("/releases?limit=200&count=exact&sort=number&{query}")).expect(200);
        assert_eq!(Nine::titles(&answer), expected, "{query}");
        assert_eq!(answer.body["page"]["total"], expected.len(), "{query}");
        assert_eq!(answer.body["page"]["total_relation"], "eq");
    }
}

#[test]
fn overdue_is_an_active_release_past_its_deadline_in_the_field_and_in_the_filter() {
    let nine = Nine::start();
    nine.app.set_clock("2030-02-06T02:00:00Z");
    let at_the_deadline = nine.app.client(Role::Manager).get("/releases?overdue=true").expect(200);
    assert_eq!(Nine::titles(&at_the_deadline), [""; 0]);
    nine.app.set_clock("2030-02-06T02:00:01Z");
    let manager = nine.app.client(Role::Manager);
    for overdue in [true, false] {
        let answer = manager.get(&format!("/releases?sort=number&overdue={overdue}")).expect(200);
        for release in answer.body["data"].as_array().unwrap() {
            assert_eq!(release["sla"]["overdue"], overdue, "{}", release["title"]);
        }
        if overdue {
            assert_eq!(Nine::titles(&answer), ["alpha", "beta", "theta", "iota"]);
        }
    }
}

#[test]
fn every_sort_orders_in_both_directions_and_is_walked_page_by_page() {
    let nine = Nine::start();
    let manager = nine.app.client(Role::Manager);
    let all = manager.get("/releases?limit=200").expect(200).body["data"].as_array().unwrap().clone();
    let never = json!("9999");
    let key = |sort: &str, release: &Value| -> Value {
        let value = match sort {
            "title" => json!(release["title"].as_str().unwrap().to_lowercase()),
            "deployment_start" => release["deployment_window"]["start"].clone(),
            "deadline" => release["sla"]["deadline"].clone(),
            field => release[field].clone(),
        };
        if value.is_null() { never.clone() } else { value }
    };
    for sort in ["created_at", "updated_at", "number", "priority", "title", "deployment_start", "deadline", "closed_at"]
    {
        for descending in [false, true] {
            let mut expected: Vec<(Value, String)> =
                all.iter().map(|release| (key(sort, release), release["id"].as_str().unwrap().to_owned())).collect();
            expected.sort_by(|a, b| {
                let order = match (&a.0, &b.0) {
                    (Value::Number(a), Value::Number(b)) => a.as_i64().cmp(&b.as_i64()),
                    (a, b) => a.as_str().cmp(&b.as_str()),
                };
                let order = order.then(a.1.cmp(&b.1));
                if descending { order.reverse() } else { order }
            });
            let mut walked = Vec::new();
            let mut path = format!("/releases?limit=2&sort={}{sort}", if descending { "-" } else { "" });
            loop {
                let page = manager.get(&path).expect(200);
                assert_eq!(page.body["page"]["limit"], 2);
                let data = page.body["data"].as_array().unwrap();
                walked.extend(
                    data.iter().map(|release| (key(sort, release), release["id"].as_str().unwrap().to_owned())),
                );
                let link = page.header("link").to_owned();
                assert_eq!(link.is_empty(), page.body["page"]["next_cursor"].is_null());
                let Some(next) = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) else {
                    break;
                };
                assert!(next.contains(page.body["page"]["next_cursor"].as_str().unwrap()));
                path = next.to_owned();
                assert!(walked.len() <= all.len(), "the walk goes round");
            }
            assert_eq!(walked, expected, "sort={sort} descending={descending}");
        }
    }
}

#[test]
fn a_row_that_is_there_throughout_a_walk_is_seen_exactly_once() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let made: Vec<String> = (0..6).map(|_| manager.post("/releases", &new_release()).expect(201).id()).collect();
    let mut seen = Vec::new();
    let mut path = "/releases?limit=2&sort=title".to_owned();
    for round in 0..10 {
        let page = manager.get(&path).expect(200);
        seen.extend(
            page.body["data"].as_array().unwrap().iter().map(|release| release["id"].as_str().unwrap().to_owned()),
        );
        let mut before = new_release();
        before["title"] = json!(format!("Aaa {round}"));
        manager.post("/releases", &before).expect(201);
        match page.body["page"]["next_cursor"].as_str() {
            Some(cursor) => path = format!("/releases?limit=2&sort=title&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(made.iter().filter(|id| seen.iter().filter(|other| other == id).count() == 1).count(), 6);
}

#[test]
fn each_role_sees_what_concerns_it_and_the_rest_does_not_exist() {
    let app = App::start();
    let (lead, requester, manager) = (app.client(Role::Lead), app.client(Role::Requester), app.client(Role::Manager));
    let operators = app.group("Operators");
    let make = |client: &Client, title: &str, group: Option<&str>, for_user: Option<Role>| {
        let mut body = new_release();
        body["title"] = json!(title);
        if let Some(group) = group {
            body["executor_group_id"] = json!(group);
        }
        if let Some(role) = for_user {
            body["requester"] = json!({"user_id": app.user_id(role)});
        }
        client.post("/releases", &body).expect(201).body
    };
    make(&manager, "team", None, None);
    make(&requester, "created", None, None);
    make(&manager, "requested", None, Some(Role::Outsider));
    let handed = make(&lead, "operated", Some(&operators), None);
    make(&manager, "other", Some(&operators), Some(Role::Requester));
    let assigned = json!({"action": "delegate", "user_id": app.user_id(Role::Operator)});
    transition(&manager, &handed, &assigned);
    let everything = ["team", "created", "requested", "operated", "other"];
    let expected: [(Role, &[&str]); 8] = [
        (Role::Admin, &everything),
        (Role::Manager, &everything),
        (Role::Viewer, &everything),
        (Role::Integration, &everything),
        (Role::Lead, &["team", "created", "requested", "operated"]),
        (Role::Operator, &["operated", "other"]),
        (Role::Requester, &["created", "other"]),
        (Role::Outsider, &["requested"]),
    ];
    let all = manager.get("/releases?sort=number").expect(200).body["data"].as_array().unwrap().clone();
    for (role, titles) in expected {
        let client = app.client(role);
        let page = client.get("/releases?sort=number&count=exact").expect(200);
        assert_eq!(Nine::titles(&page), titles, "{role:?}");
        assert_eq!(page.body["page"]["total"], titles.len(), "{role:?}");
        for release in &all {
            let (id, key) = (release["id"].as_str().unwrap(), release["key"].as_str().unwrap());
            let sees = titles.contains(&release["title"].as_str().unwrap());
            for name in [id, key, &key.to_lowercase()] {
                for rest in ["", "/history", "/history/verify", "/transitions", "/allowed-transitions", "/changes"] {
                    let answer = client.get(&format!("/releases/{name}{rest}"));
                    assert_eq!(answer.status, if sees { 200 } else { 404 }, "{role:?} {name}{rest}");
                }
            }
            let found = client.get(&format!("/releases?q={key}&count=exact")).expect(200);
            assert_eq!(found.body["page"]["total"], i64::from(sees), "{role:?} {key}");
            // Nothing tells that it is there: not even as something to depend on.
            if role == Role::Lead && !sees {
                let mut body = new_release();
                body["depends_on"] = json!([id]);
                client
                    .post("/releases", &body)
                    .problem(422, "INVALID_VALUES")
                    .faults(&[("/depends_on/0", "UNKNOWN_REFERENCE")]);
            }
        }
    }
}
