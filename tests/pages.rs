//! A list is the same whichever way its rows are found: along an index, from few rows, or once for each value.

use std::collections::HashMap;

use serde_json::{Value, json};
use slipway::service::seed::seed;

use crate::support::*;

/// Enough that a filter can find a small part of them.
const RELEASES: u32 = 1_100;
const NEVER: &str = "9999-12-31T00:00:00Z";

type Meets = Box<dyn Fn(&Value) -> bool>;

fn everything(client: &Client, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}?limit=200{cursor}")).expect(200);
        all.extend(page.body["data"].as_array().unwrap().iter().cloned());
        match page.body["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn is_one_of(field: &'static str, values: &[&str]) -> Meets {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    Box::new(move |release| values.contains(&release[field].to_string().trim_matches('"').to_owned()))
}

/// The value that a release is sorted by.
fn sort_value(release: &Value, sort: &str) -> (i64, String) {
    let text = |value: &Value| value.as_str().unwrap_or(NEVER).to_owned();
    match sort {
        "number" | "priority" => (release[sort].as_i64().unwrap(), String::new()),
        "title" => (0, text(&release["title"]).to_lowercase()),
        "deployment_start" => (0, text(&release["deployment_window"]["start"])),
        "deadline" => (0, text(&release["sla"]["deadline"])),
        _ => (0, text(&release[sort])),
    }
}

/// Instants are written with as many decimals as they need: made comparable as text.
fn comparable((number, text): (i64, String)) -> (i64, String) {
    let padded = text.strip_suffix('Z').map(|head| match head.split_once('.') {
        Some((seconds, decimals)) => format!("{seconds}.{decimals:0<6}"),
        None => format!("{head}.000000"),
    });
    (number, padded.unwrap_or(text))
}

/// Compares the first pages of the list with what the releases themselves say.
fn compare(client: &Client, all: &[Value], filter: &str, meets: &Meets, sort: &str, descending: bool) {
    let mut expected: Vec<&Value> = all.iter().filter(|release| meets(release)).collect();
    expected.sort_by_key(|release| (comparable(sort_value(release, sort)), release["id"].to_string()));
    if descending {
        expected.reverse();
    }
    let name = format!("{filter} sort={}{sort}", if descending { "-" } else { "" });
    let given = format!("/releases?{filter}&sort={}{sort}&limit=30", if descending { "-" } else { "" });
    let mut found: Vec<Value> = Vec::new();
    let mut path = format!("{given}&count=exact");
    for _ in 0..2 {
        let page = client.get(&path).expect(200);
        found.extend(page.body["data"].as_array().unwrap().iter().cloned());
        if !page.body["page"]["total"].is_null() {
            assert_eq!(page.body["page"]["total"], expected.len(), "{name}");
        }
        match page.body["page"]["next_cursor"].as_str() {
            Some(next) => path = format!("{given}&cursor={next}"),
            None => break,
        }
    }
    let keys = |releases: &mut dyn Iterator<Item = &Value>| -> Vec<String> {
        releases.map(|release| release["key"].as_str().unwrap().to_owned()).collect()
    };
    let expected = keys(&mut expected.into_iter().take(60));
    assert_eq!(keys(&mut found.iter()), expected, "{name}");
}

const SORTS: &[&str] =
    &["created_at", "updated_at", "number", "priority", "title", "deployment_start", "deadline", "closed_at"];

#[test]
fn every_filter_in_every_order_answers_what_the_releases_say() {
    let app = App::start();
    let admin = app.client(Role::Admin);
    seed(&app.env, 11, RELEASES).unwrap();
    let all = everything(&admin, "/releases");
    assert_eq!(all.len(), RELEASES as usize);
    let some = |field: &str| -> String {
        let found = all.iter().find_map(|release| release[field].as_str());
        found.unwrap_or_else(|| panic!("no release has {field}")).to_owned()
    };
    let assignee = some("assignee_id");
    let group = some("executor_group_id");
    let portfolio = some("portfolio_id");
    let requester = all.iter().find_map(|release| release["requester"]["user_id"].as_str()).unwrap().to_owned();
    let tag = all.iter().find_map(|release| release["tags"][0].as_str()).unwrap().to_owned();
    let title = all[17]["title"].as_str().unwrap().to_owned();
    let (late, middle) = ("2029-12-20T00:00:00Z", "2029-06-01T00:00:00Z");
    let since = |pointer: &'static str, instant: &'static str| -> Meets {
        Box::new(move |release| release.pointer(pointer).and_then(Value::as_str).is_some_and(|at| at >= instant))
    };
    let before = |pointer: &'static str, instant: &'static str| -> Meets {
        Box::new(move |release| release.pointer(pointer).and_then(Value::as_str).is_some_and(|at| at < instant))
    };
    let both = |one: Meets, other: Meets| -> Meets { Box::new(move |release| one(release) && other(release)) };
    let starts = |prefix: &str| -> Meets {
        let prefix = prefix.to_lowercase();
        Box::new(move |release| {
            ["title", "version"]
                .iter()
                .any(|field| release[*field].as_str().is_some_and(|text| text.to_lowercase().starts_with(&prefix)))
        })
    };
    let cases: Vec<(String, Meets)> = vec![
        (String::new(), Box::new(|_| true)),
        ("status=open".into(), is_one_of("status", &["open"])),
        ("status=closed".into(), is_one_of("status", &["closed"])),
        ("status=reopened,suspended".into(), is_one_of("status", &["reopened", "suspended"])),
        ("stage=planning".into(), is_one_of("stage", &["planning"])),
        (
            "stage=planning,authorization&status=open,reopened".into(),
            both(is_one_of("stage", &["planning", "authorization"]), is_one_of("status", &["open", "reopened"])),
        ),
        ("priority=1".into(), is_one_of("priority", &["1"])),
        ("priority=1,2&status=open".into(), both(is_one_of("priority", &["1", "2"]), is_one_of("status", &["open"]))),
        ("type=emergency,major".into(), is_one_of("type", &["emergency", "major"])),
        (format!("assignee={assignee}"), is_one_of("assignee_id", &[&assignee])),
        (format!("group={group}"), is_one_of("executor_group_id", &[&group])),
        (format!("portfolio={portfolio}"), is_one_of("portfolio_id", &[&portfolio])),
        (
            format!("requester={requester}"),
            Box::new(move |release| release["requester"]["user_id"] == json!(requester)),
        ),
        (format!("tag={tag}"), Box::new(move |release| release["tags"].as_array().unwrap().contains(&json!(tag)))),
        (format!("q={}", title.replace(' ', "%20")), starts(&title)),
        (format!("q={}", &title[..2]), starts(&title[..2])),
        ("overdue=true".into(), Box::new(|release| release["sla"]["overdue"] == true)),
        ("overdue=false".into(), Box::new(|release| release["sla"]["overdue"] == false)),
        (format!("created_from={late}"), since("/created_at", late)),
        (format!("closed_from={late}"), since("/closed_at", late)),
        (
            format!("closed_from={middle}&closed_to={late}&status=closed"),
            both(since("/closed_at", middle), before("/closed_at", late)),
        ),
        (format!("deployment_start_from={late}"), since("/deployment_window/start", late)),
        (format!("deployment_start_to={middle}"), before("/deployment_window/start", middle)),
        (format!("planning_start_from={late}"), since("/planning_window/start", late)),
        (format!("deployment_end_to={middle}"), before("/deployment_window/end", middle)),
    ];
    for (at, (filter, meets)) in cases.iter().enumerate() {
        for (nth, sort) in SORTS.iter().enumerate() {
            compare(&admin, &all, filter, meets, sort, (at + nth) % 2 == 0);
        }
    }
}

#[test]
fn whoever_sees_few_of_many_releases_finds_them_in_every_order() {
    let app = App::start();
    let (admin, outsider) = (app.client(Role::Admin), app.client(Role::Outsider));
    seed(&app.env, 12, RELEASES).unwrap();
    let mut mine = new_release();
    mine["requester"] = json!({"user_id": app.user_id(Role::Outsider)});
    for title in ["Beta", "alpha", "Gamma"] {
        mine["title"] = json!(title);
        admin.post("/releases", &mine).expect(201);
    }
    let all: Vec<Value> = everything(&admin, "/releases")
        .into_iter()
        .filter(|release| release["requester"]["user_id"] == mine["requester"]["user_id"])
        .collect();
    let few: Meets = Box::new(|_| true);
    let open = is_one_of("status", &["open"]);
    let change = app.change("authorised");
    for release in &all[..2] {
        let links = format!("/releases/{}/changes", release["id"].as_str().unwrap());
        let link = admin.post(&links, &json!({"change_id": change})).expect(201).id();
        // Of two releases under way one alone has it pending.
        admin.patch(&format!("{links}/{link}"), "*", &json!({"outcome": "deployed"})).expect(200);
    }
    let carriers: Vec<Value> = all[..2].iter().map(|release| release["key"].clone()).collect();
    let carries: Meets = Box::new(move |release| carriers.contains(&release["key"]));
    for (nth, sort) in SORTS.iter().enumerate() {
        for (client, filter, meets) in [
            (&outsider, "", &few),
            (&outsider, "status=open", &open),
            (&outsider, &format!("change={change}"), &carries),
            (&admin, &format!("change={change}"), &carries),
        ] {
            compare(client, &all, filter, meets, sort, nth % 2 == 0);
        }
    }
    // Somebody else sees none of them, and all pages of nothing are empty.
    let page = app.client(Role::Operator).get("/releases?sort=title&count=exact").expect(200);
    assert_eq!(page.body["page"]["total"], 0);
    assert_eq!(page.body["data"], json!([]));
}

#[test]
fn whoever_sees_much_of_many_releases_finds_it_in_every_order() {
    let app = App::start();
    let (admin, outsider) = (app.client(Role::Admin), app.client(Role::Outsider));
    seed(&app.env, 13, RELEASES).unwrap();
    let mut all = everything(&admin, "/releases");
    let mut groups: HashMap<String, u32> = HashMap::new();
    for release in &all {
        *groups.entry(release["executor_group_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let (group, visible) = groups.into_iter().max_by_key(|(_, releases)| *releases).unwrap();
    assert!(visible > 250, "{visible} of {RELEASES} releases are not so many that they are walked to");
    let member = json!({"user_id": app.user_id(Role::Outsider)});
    admin.post(&format!("/groups/{group}/members"), &member).expect(201);
    all.retain(|release| release["executor_group_id"] == json!(group));
    let cases: [(String, Meets); 6] = [
        (String::new(), Box::new(|_| true)),
        (format!("group={group}"), Box::new(|_| true)),
        ("status=open".into(), is_one_of("status", &["open"])),
        ("status=closed,cancelled".into(), is_one_of("status", &["closed", "cancelled"])),
        ("priority=2".into(), is_one_of("priority", &["2"])),
        ("overdue=false".into(), Box::new(|release| release["sla"]["overdue"] == false)),
    ];
    for (filter, meets) in &cases {
        for (nth, sort) in SORTS.iter().enumerate() {
            compare(&outsider, &all, filter, meets, sort, nth % 2 == 0);
        }
    }
}
