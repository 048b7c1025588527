//! Impact: what is reached from the configuration items of a release, and what lies behind it.

use serde_json::{Value, json};

use crate::support::*;

/// Configuration items by name, as the integration makes them.
struct Cmdb<'a> {
    app: &'a App,
    client: Client,
}

impl<'a> Cmdb<'a> {
    fn of(app: &'a App) -> Self {
        Self { app, client: app.client(Role::Integration) }
    }

    fn item(&self, name: &str, group: Option<&str>) -> String {
        let item = json!({
            "source": "cmdb",
            "external_id": name,
            "name": name,
            "class": "server",
            "status": "in_production",
            "environment": "production",
            "owner_group_id": group.map(|group| self.app.group(group)),
        });
        self.client.post("/configuration-items", &item).expect(201).id()
    }

    fn relate(&self, from: &str, kind: &str, to: &str) {
        let path = format!("/configuration-items/{from}/relationships");
        self.client.post(&path, &json!({"kind": kind, "target_id": to})).expect(201);
    }

    fn link(&self, release: &Value, item: &str) {
        let path = format!("/releases/{}/configuration-items", release["id"].as_str().unwrap());
        let manager = self.app.client(Role::Manager);
        manager.post(&path, &json!({"configuration_item_id": item, "intended_version": "2"})).expect(201);
    }
}

fn impact(client: &Client, release: &Value, query: &str) -> Value {
    client.get(&format!("/releases/{}/impact{query}", release["id"].as_str().unwrap())).expect(200).body
}

/// What was reached, as `direction distance name`, in the order of the answer.
fn reached(impact: &Value) -> Vec<String> {
    let all = impact["reached"].as_array().unwrap().iter();
    all.map(|one| {
        let direction = one["direction"].as_str().unwrap();
        format!("{direction} {} {}", one["distance"], one["item"]["name"].as_str().unwrap())
    })
    .collect()
}

#[test]
fn what_items_need_and_what_needs_them_is_told_with_a_path_groups_and_releases() {
    let app = App::start();
    let cmdb = Cmdb::of(&app);
    // shop -> payments -> database -> disk; payments talks to the ledger; a circle leads back from the disk.
    let names = ["shop", "payments", "database", "disk", "ledger", "elsewhere"];
    let [shop, payments, database, disk, ledger, elsewhere] =
        names.map(|name| cmdb.item(name, (name == "shop").then_some("Release team")));
    cmdb.relate(&shop, "depends_on", &payments);
    cmdb.relate(&payments, "runs_on", &database);
    cmdb.relate(&database, "part_of", &disk);
    cmdb.relate(&disk, "depends_on", &shop);
    cmdb.relate(&ledger, "connected_to", &payments);
    let (release, other, third) = (app.release().make(), app.release().make(), app.release().make());
    cmdb.link(&release, &payments);
    cmdb.link(&other, &shop);
    cmdb.link(&third, &elsewhere);
    let manager = app.client(Role::Manager);

    let near = impact(&manager, &release, "?depth=1");
    let mut found = reached(&near);
    found.sort();
    let expected = ["downstream 1 ledger", "downstream 1 shop", "upstream 1 database", "upstream 1 ledger"];
    assert_eq!((found, &near["truncated"]), (expected.map(str::to_owned).to_vec(), &json!(false)));
    assert_eq!(near["own"][0]["name"], "payments");

    let far = impact(&manager, &release, "?depth=3&direction=upstream");
    assert_eq!(far["depth"], 3);
    let last = far["reached"].as_array().unwrap().last().unwrap();
    let path: Vec<(&str, &Value)> = last["path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["name"].as_str().unwrap(), &step["relationship"]))
        .collect();
    let expected = [
        ("payments", &json!(null)),
        ("database", &json!("runs_on")),
        ("disk", &json!("part_of")),
        ("shop", &json!("depends_on")),
    ];
    assert_eq!(path, expected);
    assert_eq!(far["groups"][0]["name"], "Release team");
    assert_eq!(far["groups"][0]["configuration_item_ids"], json!([shop]));
    let releases: Vec<&Value> = far["releases"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(releases, [&other["key"]]);
    assert_eq!(far["releases"][0]["configuration_item_ids"], json!([shop]));

    // Whoever does not see the other release is not told of it; a release without items reaches nothing.
    let share = json!({"user_id": app.user_id(Role::Outsider), "level": "read"});
    manager.post(&format!("/releases/{}/shares", release["id"].as_str().unwrap()), &share).expect(201);
    let outsider = impact(&app.client(Role::Outsider), &release, "?depth=3");
    assert_eq!(outsider["releases"], json!([]));
    assert!(!reached(&outsider).is_empty());
    let nothing = impact(&manager, &app.release().make(), "");
    assert_eq!((&nothing["own"], &nothing["reached"], &nothing["depth"]), (&json!([]), &json!([]), &json!(2)));
    // A release that is over touches nothing any more.
    let cancel = json!({
        "action": "cancel",
        "justification_id": app.justification("cancel"),
        "closure_notes": "No more",
    });
    transition(&manager, &other, &cancel);
    assert_eq!(impact(&manager, &release, "?depth=3")["releases"], json!([]));
}

#[test]
fn an_impact_that_is_asked_for_badly_is_refused_with_every_fault() {
    let app = App::start();
    let release = app.release().make();
    let path = format!("/releases/{}/impact", release["id"].as_str().unwrap());
    let manager = app.client(Role::Manager);
    manager
        .get(&format!("{path}?depth=0&direction=sideways"))
        .problem(400, "MALFORMED_REQUEST")
        .faults(&[("depth", "INVALID_PARAMETER"), ("direction", "INVALID_PARAMETER")]);
    manager.get(&format!("{path}?depth=7")).problem(400, "MALFORMED_REQUEST");
    manager.get(&format!("{path}?deep=1")).problem(400, "MALFORMED_REQUEST").faults(&[("deep", "UNKNOWN_PARAMETER")]);
    app.client(Role::Outsider).get(&path).problem(404, "NOT_FOUND");
}

#[test]
fn an_impact_without_end_says_that_there_is_more() {
    let app = App::start();
    let cmdb = Cmdb::of(&app);
    let hub = cmdb.item("hub", None);
    let release = app.release().make();
    cmdb.link(&release, &hub);
    let mut connection = app.env.database.connect().unwrap();
    let id = |kind: u32, nth: u32| format!("01890a5d-ac96-774b-{kind:04x}-{nth:012x}");
    for nth in 0..1_001 {
        execute(
            &mut connection,
            &format!(
                "INSERT INTO configuration_items SELECT '{0}', row_version, created_at, updated_at, audit_seq, \
                 audit_head, source, 'spoke-{nth}', 'spoke', class, environment, status, version, serial, location, \
                 owner_group_id, attributes, source_revision FROM configuration_items WHERE id = '{hub}'",
                id(1, nth)
            ),
        )
        .unwrap();
        execute(
            &mut connection,
            &format!(
                "INSERT INTO configuration_item_relationships (id, configuration_item_id, kind, target_id, created_at) \
                 VALUES ('{}', '{}', 'depends_on', '{hub}', '2030-01-01 00:00:00')",
                id(2, nth),
                id(1, nth)
            ),
        )
        .unwrap();
    }
    let impact = impact(&app.client(Role::Manager), &release, "?direction=downstream");
    assert_eq!((impact["reached"].as_array().unwrap().len(), &impact["truncated"]), (1000, &json!(true)));
}
