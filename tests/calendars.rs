//! Calendars, and the clock of releases on their working time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::*;

const OFFICE: [(&str, &str); 2] = [("09:00", "13:00"), ("14:00", "18:00")];

fn hours(spans: &[(&str, &str)]) -> Value {
    spans.iter().map(|(start, end)| json!({"start": start, "end": end})).collect()
}

/// Office hours from Monday to Friday: eight hours a day.
fn office(name: &str, time_zone: &str) -> Value {
    let day = hours(&OFFICE);
    json!({
        "name": name,
        "time_zone": time_zone,
        "working_hours": {"monday": day, "tuesday": day, "wednesday": day, "thursday": day, "friday": day},
    })
}

/// An installation whose default model counts on a calendar.
struct Ground {
    app: App,
    calendar: String,
}

impl Ground {
    fn on(body: &Value) -> Self {
        let app = App::start();
        let manager = app.client(Role::Manager);
        let calendar = manager.post("/calendars", body).expect(201).id();
        let model = format!("/models/{}", app.model("Standard"));
        let patched = manager.patch(&model, "*", &json!({"calendar_id": calendar})).expect(200);
        assert_eq!(patched.body["calendar_id"], json!(calendar));
        Self { app, calendar }
    }

    /// A release with its windows, registered at `now`.
    fn release(&self, now: &str, planning: (&str, &str), deployment: (&str, &str)) -> Value {
        self.app.set_clock(now);
        let window = |(start, end): (&str, &str)| json!({"start": start, "end": end});
        let release = self.app.release().with("planning_window", window(planning));
        release.with("deployment_window", window(deployment)).make()
    }

    fn act(&self, release: &Value, now: &str, body: &Value) -> Value {
        self.app.set_clock(now);
        transition(&self.app.client(Role::Lead), release, body)["sla"].clone()
    }

    fn suspend(&self, release: &Value, now: &str) -> Value {
        let id = self.app.justification("suspend");
        self.act(release, now, &json!({"action": "suspend", "justification_id": id, "note": "Wait"}))
    }

    fn reactivate(&self, release: &Value, now: &str) -> Value {
        self.act(release, now, &json!({"action": "reactivate"}))
    }

    fn read(&self, release: &Value, now: &str) -> Value {
        self.app.set_clock(now);
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        self.app.client(Role::Lead).get(&path).expect(200).body["sla"].clone()
    }

    fn patch(&self, release: &Value, body: &Value) -> Value {
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        self.app.client(Role::Lead).patch(&path, "*", body).expect(200).body["sla"].clone()
    }
}

#[track_caller]
fn assert_minutes(sla: &Value, term: i64, elapsed: i64, remaining: i64) {
    let found = ["term_minutes", "elapsed_minutes", "remaining_minutes"].map(|name| sla[name].as_i64());
    assert_eq!(found, [Some(term), Some(elapsed), Some(remaining)], "{sla}");
}

#[test]
fn a_release_takes_the_calendar_of_its_model_and_keeps_it() {
    let ground = Ground::on(&office("Lisbon", "Europe/Lisbon"));
    let (app, manager) = (&ground.app, ground.app.client(Role::Manager));
    let lead = app.client(Role::Lead);
    // The default body: planned from Friday 09:00 to Wednesday 02:00.
    let release = lead.post("/releases", &new_release()).expect(201).body;
    assert_eq!(release["sla"]["calendar_id"], json!(ground.calendar));
    assert_eq!(release["sla"]["deadline"], "2030-02-06T02:00:00Z");
    assert_minutes(&release["sla"], 3 * 480, 0, 3 * 480);
    let read = lead.get(&format!("/releases/{}", release["id"].as_str().unwrap())).expect(200);
    assert_eq!(read.body, release);
    let dry = lead.post("/releases?dry_run=true", &new_release()).expect(200);
    assert_eq!(dry.body["sla"], release["sla"]);
    // Without windows only the calendar is known.
    let mut bare = new_release();
    bare.as_object_mut().unwrap().retain(|name, _| !name.ends_with("window"));
    let bare = lead.post("/releases", &bare).expect(201).body;
    let nothing = json!({"calendar_id": ground.calendar, "term_minutes": null, "elapsed_minutes": null,
        "remaining_minutes": null, "deadline": null, "paused": false, "overdue": false});
    assert_eq!(bare["sla"], nothing);
    // Another calendar of the model, or none, is for new releases.
    let model = format!("/models/{}", app.model("Standard"));
    manager.patch(&model, "*", &json!({"calendar_id": null})).expect(200);
    let every_minute = lead.post("/releases", &new_release()).expect(201).body;
    assert!(every_minute["sla"]["calendar_id"].is_null());
    assert_eq!(every_minute["sla"]["term_minutes"], 6780);
    let read = lead.get(&format!("/releases/{}", release["id"].as_str().unwrap())).expect(200);
    assert_eq!(read.body["sla"], release["sla"]);
    // It is never written from outside.
    let refused = lead.patch(&format!("/releases/{}", release["id"].as_str().unwrap()), "*", &json!({"sla": {}}));
    refused.problem(400, "MALFORMED_REQUEST").faults(&[("/sla", "READ_ONLY_FIELD")]);
    let history = lead.get(&format!("/releases/{}/history", release["id"].as_str().unwrap())).expect(200);
    assert!(history.text.contains(&ground.calendar), "{}", history.text);
    app.assert_sound();
}

#[test]
fn a_list_of_releases_counts_each_on_its_own_calendar() {
    let ground = Ground::on(&office("Lisbon", "Europe/Lisbon"));
    let (app, manager) = (&ground.app, ground.app.client(Role::Manager));
    let model = format!("/models/{}", app.model("Standard"));
    let lead = app.client(Role::Lead);
    let mut expected = Vec::new();
    for zone in ["Asia/Tokyo", "America/New_York", "Etc/UTC"] {
        let calendar = manager.post("/calendars", &office(zone, zone)).expect(201).id();
        manager.patch(&model, "*", &json!({"calendar_id": calendar})).expect(200);
        for _ in 0..3 {
            lead.post("/releases", &new_release()).expect(201);
            expected.push(json!(calendar));
        }
    }
    manager.patch(&model, "*", &json!({"calendar_id": null})).expect(200);
    lead.post("/releases", &new_release()).expect(201);
    expected.push(Value::Null);
    // Twice: read, and remembered.
    for _ in 0..2 {
        let page = lead.get("/releases?sort=number").expect(200);
        let releases = page.body["data"].as_array().unwrap();
        let found: Vec<Value> = releases.iter().map(|release| release["sla"]["calendar_id"].clone()).collect();
        assert_eq!(found, expected);
        for release in releases {
            let alone = lead.get(&format!("/releases/{}", release["id"].as_str().unwrap())).expect(200);
            // A list does not look for what is worth a warning.
            let mut found = alone.body.clone();
            assert_eq!((found["warnings"].take(), &release["warnings"]), (json!([]), &Value::Null));
            assert_eq!(&found, release);
        }
    }
}

#[test]
fn a_suspension_across_a_weekend_leaves_the_working_time_that_was_left() {
    let ground = Ground::on(&office("UTC office", "UTC"));
    // From Monday 2030-01-14 09:00 to Friday 2030-01-18 18:00: forty hours.
    let release = ground.release(
        "2030-01-14T09:00:00Z",
        ("2030-01-14T09:00:00Z", "2030-01-17T18:00:00Z"),
        ("2030-01-18T09:00:00Z", "2030-01-18T18:00:00Z"),
    );
    assert_minutes(&release["sla"], 2_400, 0, 2_400);
    // Nights and lunch count nowhere.
    assert_minutes(&ground.read(&release, "2030-01-14T13:30:00Z"), 2_400, 240, 2_160);
    assert_minutes(&ground.read(&release, "2030-01-15T03:00:00Z"), 2_400, 480, 1_920);
    // Suspended on Friday at 16:00, two hours are left; back on Saturday, they are over on Monday at 11:00.
    let paused = ground.suspend(&release, "2030-01-18T16:00:00Z");
    assert_eq!(paused["paused"], true);
    assert_minutes(&paused, 2_400, 2_280, 120);
    let waiting = ground.read(&release, "2030-01-19T12:00:00Z");
    assert_minutes(&waiting, 2_400, 2_280, 120);
    assert_eq!((&waiting["overdue"], &waiting["deadline"]), (&json!(false), &json!("2030-01-18T18:00:00Z")));
    let back = ground.reactivate(&release, "2030-01-19T15:00:00.25Z");
    assert_eq!((&back["deadline"], &back["paused"]), (&json!("2030-01-21T11:00:00Z"), &json!(false)));
    assert_minutes(&back, 2_400, 2_280, 120);
    // In the middle of working hours the lunch lies between.
    ground.suspend(&release, "2030-01-21T10:00:00Z");
    let back = ground.reactivate(&release, "2030-01-22T12:30:00Z");
    assert_eq!(back["deadline"], "2030-01-22T14:30:00Z");
    assert_eq!(ground.read(&release, "2030-01-22T14:30:00Z")["overdue"], false);
    let late = ground.read(&release, "2030-01-22T15:00:00Z");
    assert_eq!(late["overdue"], true);
    assert_minutes(&late, 2_400, 2_430, 0);
    // What is over when it stops is over when it goes on: never less than nothing, nor more.
    ground.suspend(&release, "2030-01-22T16:00:00Z");
    let back = ground.reactivate(&release, "2030-01-26T03:00:00Z");
    assert_eq!(back["deadline"], "2030-01-26T03:00:00Z");
    assert_minutes(&back, 2_400, 2_400, 0);
    // Until a window is patched.
    let window = json!({"deployment_window": {"start": "2030-02-04T09:00:00Z", "end": "2030-02-04T22:00:00Z"}});
    let patched = ground.patch(&release, &window);
    assert_eq!((&patched["deadline"], &patched["overdue"]), (&json!("2030-02-04T22:00:00Z"), &json!(false)));
    assert_minutes(&patched, 16 * 480, 16 * 480 - 6 * 480, 6 * 480);
    // A patch of anything else moves nothing.
    ground.suspend(&release, "2030-01-28T09:00:00Z");
    ground.reactivate(&release, "2030-01-29T09:00:00Z");
    let patched = ground.patch(&release, &json!({"title": "Another"}));
    assert_eq!(patched["deadline"], "2030-02-05T18:00:00Z");
    ground.app.assert_sound();
}

#[test]
fn working_time_respects_daylight_saving() {
    // One day and night around the clock, and the hours in which clocks change.
    let night = |zone: &str| {
        let day = hours(&[("00:00", "06:00")]);
        json!({"name": zone, "time_zone": zone, "working_hours": {"monday": day, "tuesday": day, "wednesday": day,
            "thursday": day, "friday": day, "saturday": day, "sunday": day}})
    };
    // In Lisbon the night of 2030-03-31 has five hours, that of 2030-10-27 has seven.
    let ground = Ground::on(&night("Europe/Lisbon"));
    let spring = ground.release(
        "2030-03-29T12:00:00Z",
        ("2030-03-30T00:00:00Z", "2030-03-30T12:00:00Z"),
        ("2030-03-30T12:00:00Z", "2030-04-01T05:00:00Z"),
    );
    assert_minutes(&spring["sla"], 360 + 300 + 360, 0, 1_020);
    ground.suspend(&spring, "2030-03-30T03:00:00Z");
    // Fourteen hours are left; back on the evening before, five of them are worked in the short night.
    let back = ground.reactivate(&spring, "2030-03-30T22:00:00Z");
    assert_eq!(back["deadline"], "2030-04-02T02:00:00Z", "{back}");
    assert_minutes(&back, 1_020, 180, 840);
    let autumn = || {
        ground.release(
            "2030-10-25T12:00:00Z",
            ("2030-10-25T23:00:00Z", "2030-10-26T12:00:00Z"),
            ("2030-10-26T12:00:00Z", "2030-10-27T06:00:00Z"),
        )
    };
    let (runs, stops) = (autumn(), autumn());
    assert_minutes(&runs["sla"], 360 + 420, 0, 780);
    ground.suspend(&stops, "2030-10-26T23:00:00Z");
    // Half past one comes twice; the second is an hour of work later.
    assert_minutes(&ground.read(&runs, "2030-10-27T00:30:00Z"), 780, 450, 330);
    let back = ground.reactivate(&stops, "2030-10-27T00:30:00Z");
    assert_eq!(back["deadline"], "2030-10-28T01:30:00Z", "{back}");
    assert_minutes(&ground.read(&runs, "2030-10-27T01:30:00Z"), 780, 510, 270);

    // New York: 2030-03-10 and 2030-11-03 at two.
    let ground = Ground::on(&night("America/New_York"));
    let spring = ground.release(
        "2030-03-08T12:00:00Z",
        ("2030-03-09T05:00:00Z", "2030-03-09T12:00:00Z"),
        ("2030-03-09T12:00:00Z", "2030-03-10T10:00:00Z"),
    );
    assert_minutes(&spring["sla"], 360 + 300, 0, 660);
    let autumn = ground.release(
        "2030-11-01T12:00:00Z",
        ("2030-11-02T04:00:00Z", "2030-11-02T12:00:00Z"),
        ("2030-11-02T12:00:00Z", "2030-11-03T11:00:00Z"),
    );
    assert_minutes(&autumn["sla"], 360 + 420, 0, 780);
}

#[test]
fn a_time_zone_that_gave_up_daylight_saving_is_counted_as_it_was_and_as_it_is() {
    // Until 2019 clocks in Sao Paulo went forward at midnight of a Sunday in November, and back in February.
    let around = json!({"name": "Weekends", "time_zone": "America/Sao_Paulo", "working_hours": {
        "saturday": hours(&[("22:00", "24:00")]), "sunday": hours(&[("00:00", "02:00")])}});
    let ground = Ground::on(&around);
    let weekend = |planning: (&str, &str), deployment: (&str, &str)| {
        let mut body = new_release();
        body["type"] = json!("emergency");
        body["planning_window"] = json!({"start": planning.0, "end": planning.1});
        body["deployment_window"] = json!({"start": deployment.0, "end": deployment.1});
        ground.app.client(Role::Lead).post("/releases", &body).expect(201).body["sla"]["term_minutes"].as_i64()
    };
    let forward =
        weekend(("2018-11-03T12:00:00Z", "2018-11-03T13:00:00Z"), ("2018-11-03T13:00:00Z", "2018-11-04T12:00:00Z"));
    let back =
        weekend(("2018-02-17T12:00:00Z", "2018-02-17T13:00:00Z"), ("2018-02-17T13:00:00Z", "2018-02-18T12:00:00Z"));
    let today =
        weekend(("2030-11-02T12:00:00Z", "2030-11-02T13:00:00Z"), ("2030-11-02T13:00:00Z", "2030-11-03T12:00:00Z"));
    assert_eq!((forward, back, today), (Some(180), Some(300), Some(240)));
}

#[test]
fn a_release_that_ended_reads_the_clock_at_its_end() {
    let ground = Ground::on(&office("UTC office", "UTC"));
    let plan = || {
        ground.release(
            "2030-01-14T08:00:00Z",
            ("2030-01-14T09:00:00Z", "2030-01-17T18:00:00Z"),
            ("2030-01-18T09:00:00Z", "2030-01-18T18:00:00Z"),
        )
    };
    let cancel = |release: &Value, now: &str| {
        let id = ground.app.justification("cancel");
        ground.act(release, now, &json!({"action": "cancel", "justification_id": id, "closure_notes": "No more"}))
    };
    let closed = ground.app.release().status("closed").make();
    let (active, suspended) = (plan(), plan());
    ground.suspend(&suspended, "2030-01-15T11:00:00Z");
    assert_minutes(&cancel(&active, "2030-01-15T11:00:00Z"), 2_400, 600, 1_800);
    // The suspension before the end counts as little as any other.
    let ended = cancel(&suspended, "2030-01-29T11:00:00Z");
    assert_minutes(&ended, 2_400, 600, 1_800);
    assert_eq!((&ended["paused"], &ended["overdue"]), (&json!(false), &json!(false)));
    for release in [&active, &suspended] {
        assert_minutes(&ground.read(release, "2030-03-01T11:00:00Z"), 2_400, 600, 1_800);
    }
    assert_eq!(ground.read(&closed, "2030-06-01T11:00:00Z"), closed["sla"]);
    ground.app.assert_sound();
}

#[test]
fn a_changed_calendar_counts_from_the_next_request_on_and_moves_no_deadline() {
    let ground = Ground::on(&office("UTC office", "UTC"));
    let (app, other) = (&ground.app, ground.app.beside());
    let release = ground.release(
        "2030-01-14T09:00:00Z",
        ("2030-01-14T09:00:00Z", "2030-01-17T18:00:00Z"),
        ("2030-01-18T09:00:00Z", "2030-01-18T18:00:00Z"),
    );
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let calendar = format!("/calendars/{}", ground.calendar);
    other.set_clock("2030-01-14T09:00:00Z");
    let there = || other.client_with(app.client(Role::Lead).token.as_deref().unwrap());
    assert_minutes(&there().get(&path).expect(200).body["sla"], 2_400, 0, 2_400);
    let holiday = json!({"holidays": [{"date": "2030-01-16", "name": "Founder's day"}]});
    app.client(Role::Manager).patch(&calendar, "*", &holiday).expect(200);
    for client in [app.client(Role::Lead), there()] {
        let sla = client.get(&path).expect(200).body["sla"].clone();
        assert_minutes(&sla, 1_920, 0, 1_920);
        assert_eq!(sla["deadline"], "2030-01-18T18:00:00Z");
        assert_eq!(client.get("/releases").expect(200).body["data"][0]["sla"], sla);
    }
    // Suspended under one content and reactivated under another: what is left is counted on the present one.
    ground.suspend(&release, "2030-01-15T09:00:00Z");
    let shorter = json!({"holidays": [], "working_hours": {"friday": [{"start": "09:00", "end": "12:00"}]}});
    app.client(Role::Manager).patch(&calendar, "*", &shorter).expect(200);
    // Tuesday, Wednesday, Thursday and three hours; a dry run tells the same and changes nothing for anybody.
    let sla = ground.read(&release, "2030-01-16T09:00:00Z");
    assert_minutes(&sla, 4 * 480 + 180, 480, 3 * 480 + 180);
    let dry = json!({"time_zone": "Asia/Tokyo"});
    app.client(Role::Manager).patch(&format!("{calendar}?dry_run=true"), "*", &dry).expect(200);
    assert_eq!(ground.read(&release, "2030-01-16T09:00:00Z"), sla);
    let back = ground.reactivate(&release, "2030-01-21T09:00:00Z");
    assert_eq!(back["deadline"], "2030-01-24T12:00:00Z");
    // A day is freed by an empty list; the others stay.
    let free = app.client(Role::Manager).patch(&calendar, "*", &json!({"working_hours": {"friday": []}})).expect(200);
    assert_eq!(free.body["working_hours"]["friday"], json!([]));
    assert_eq!(free.body["working_hours"]["monday"], hours(&OFFICE));
}

#[test]
fn a_calendar_in_use_is_deactivated_and_not_deleted() {
    let ground = Ground::on(&office("Lisbon", "Europe/Lisbon"));
    let (app, manager) = (&ground.app, ground.app.client(Role::Manager));
    let path = format!("/calendars/{}", ground.calendar);
    let refused = manager.delete(&path, "*").problem(409, "IN_USE");
    assert!(refused.body["detail"].as_str().unwrap().contains("1 model"), "{}", refused.text);
    let release = app.client(Role::Lead).post("/releases", &new_release()).expect(201).body;
    let model = format!("/models/{}", app.model("Standard"));
    manager.patch(&path, "*", &json!({"active": false})).expect(200);
    // Those that have it keep it, and count on it.
    let later = app.client(Role::Lead).post("/releases", &new_release()).expect(201).body;
    assert_eq!(later["sla"], release["sla"]);
    manager.patch(&model, "*", &json!({"description": "Still the same calendar"})).expect(200);
    // Nobody chooses it any more.
    let minor = format!("/models/{}", app.model("Minor"));
    let refused = manager.patch(&minor, "*", &json!({"calendar_id": ground.calendar}));
    refused.problem(422, "INVALID_VALUES").faults(&[("/calendar_id", "CALENDAR_NOT_ACTIVE")]);
    let nowhere = json!({"calendar_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"});
    let refused = manager.patch(&minor, "*", &nowhere);
    refused.problem(422, "INVALID_VALUES").faults(&[("/calendar_id", "UNKNOWN_REFERENCE")]);
    // The model lets go of it, the releases do not.
    manager.patch(&model, "*", &json!({"calendar_id": null})).expect(200);
    let refused = manager.delete(&path, "*").problem(409, "IN_USE");
    assert!(refused.body["detail"].as_str().unwrap().contains("2 releases"), "{}", refused.text);
    let spare = manager.post("/calendars", &office("Spare", "UTC")).expect(201).id();
    manager.delete(&format!("/calendars/{spare}"), "*").expect(204);
    manager.get(&format!("/calendars/{spare}")).problem(404, "NOT_FOUND");
    let active = manager.get("/calendars?active=false").expect(200);
    assert_eq!(active.body["data"].as_array().unwrap().len(), 1);
    app.assert_sound();
}

/// A body, the status of its refusal, and the faults.
type Case = (Value, u16, Vec<(&'static str, &'static str)>);

#[test]
fn what_is_no_calendar_is_refused_with_every_fault() {
    let app = App::start();
    let manager = app.client(Role::Manager);
    let with = |changes: Value| {
        let mut body = office("Office", "Europe/Lisbon");
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let on_monday = |spans: &[(&str, &str)]| with(json!({"working_hours": {"monday": hours(spans)}}));
    let christmas = json!({"date": "2030-12-25", "name": "Christmas Day"});
    let cases: Vec<Case> = vec![
        (json!({}), 422, vec![("/name", "REQUIRED"), ("/time_zone", "REQUIRED"), ("/working_hours", "REQUIRED")]),
        (with(json!({"time_zone": "Mars/Olympus"})), 422, vec![("/time_zone", "UNKNOWN_TIME_ZONE")]),
        (with(json!({"time_zone": "europe/lisbon"})), 422, vec![("/time_zone", "UNKNOWN_TIME_ZONE")]),
        (with(json!({"time_zone": "../etc/passwd"})), 422, vec![("/time_zone", "UNKNOWN_TIME_ZONE")]),
        (with(json!({"time_zone": ""})), 422, vec![("/time_zone", "TOO_SHORT")]),
        (with(json!({"time_zone": "x".repeat(65)})), 422, vec![("/time_zone", "TOO_LONG")]),
        (with(json!({"time_zone": 1})), 400, vec![("/time_zone", "WRONG_TYPE")]),
        (with(json!({"name": " "})), 422, vec![("/name", "BLANK")]),
        (with(json!({"working_hours": {}})), 422, vec![("/working_hours", "NO_WORKING_HOURS")]),
        (on_monday(&[]), 422, vec![("/working_hours", "NO_WORKING_HOURS")]),
        (with(json!({"working_hours": []})), 400, vec![("/working_hours", "WRONG_TYPE")]),
        (with(json!({"working_hours": null})), 400, vec![("/working_hours", "WRONG_TYPE")]),
        (with(json!({"working_hours": {"holiday": []}})), 400, vec![("/working_hours/holiday", "UNKNOWN_FIELD")]),
        (on_monday(&[("18:00", "09:00")]), 422, vec![("/working_hours/monday/0", "HOURS_REVERSED")]),
        (on_monday(&[("09:00", "09:00")]), 422, vec![("/working_hours/monday/0", "HOURS_REVERSED")]),
        (
            on_monday(&[("12:00", "18:00"), ("08:00", "12:01"), ("18:00", "24:00")]),
            422,
            vec![("/working_hours/monday/0", "HOURS_OVERLAP")],
        ),
        (on_monday(&[("09:00", "24:01")]), 422, vec![("/working_hours/monday/0/end", "INVALID_FORMAT")]),
        (on_monday(&[("24:00", "24:00")]), 422, vec![("/working_hours/monday/0/start", "INVALID_FORMAT")]),
        (
            on_monday(&[("9:00", "18:60")]),
            422,
            vec![
                ("/working_hours/monday/0/start", "INVALID_FORMAT"),
                ("/working_hours/monday/0/end", "INVALID_FORMAT"),
            ],
        ),
        (on_monday(&[("09:00", "10:00"); 11]), 422, vec![("/working_hours/monday", "TOO_LONG")]),
        (
            with(json!({"working_hours": {"monday": [{"start": "09:00"}]}})),
            422,
            vec![("/working_hours/monday/0/end", "REQUIRED")],
        ),
        (with(json!({"holidays": [christmas, christmas]})), 422, vec![("/holidays/1/date", "REPEATED")]),
        (
            with(json!({"holidays": [{"date": "2030-02-30", "name": "None"}]})),
            422,
            vec![("/holidays/0/date", "INVALID_FORMAT")],
        ),
        (
            with(json!({"holidays": [{"date": "1969-12-31", "name": "Past"}]})),
            422,
            vec![("/holidays/0/date", "INVALID_FORMAT")],
        ),
        (with(json!({"holidays": [{"date": "2030-12-25", "name": " "}]})), 422, vec![("/holidays/0/name", "BLANK")]),
        (with(json!({"holidays": vec![christmas.clone(); 1_001]})), 422, vec![("/holidays", "TOO_LONG")]),
        (with(json!({"active": "no"})), 400, vec![("/active", "WRONG_TYPE")]),
        (with(json!({"timezone": "UTC"})), 400, vec![("/timezone", "UNKNOWN_FIELD")]),
        // All that is wrong with what it means is told at once.
        (
            json!({
                "name": "All wrong",
                "time_zone": "Lisbon",
                "working_hours": {
                    "tuesday": hours(&[("10:00", "09:00")]),
                    "sunday": hours(&[("00:00", "12:00"), ("11:59", "24:00")]),
                },
                "holidays": [christmas, {"date": "2030-01-01", "name": "New Year"}, christmas],
            }),
            422,
            vec![
                ("/time_zone", "UNKNOWN_TIME_ZONE"),
                ("/working_hours/tuesday/0", "HOURS_REVERSED"),
                ("/working_hours/sunday/1", "HOURS_OVERLAP"),
                ("/holidays/2/date", "REPEATED"),
            ],
        ),
    ];
    for (body, status, faults) in cases {
        let code = if status == 400 { "MALFORMED_REQUEST" } else { "INVALID_VALUES" };
        manager.post("/calendars", &body).problem(status, code).faults(&faults);
    }
    assert_eq!(manager.get("/calendars").expect(200).body["data"], json!([]));
    // A patch is judged with what it leads to.
    let made = manager.post("/calendars", &office("Office", "Europe/Lisbon")).expect(201);
    let path = format!("/calendars/{}", made.id());
    let patch = json!({"time_zone": "Nowhere", "holidays": [christmas, christmas]});
    let refused = manager.patch(&path, "*", &patch).problem(422, "INVALID_VALUES");
    refused.faults(&[("/time_zone", "UNKNOWN_TIME_ZONE"), ("/holidays/1/date", "REPEATED")]);
    let none = json!({"monday": [], "tuesday": [], "wednesday": [], "thursday": [], "friday": []});
    let refused = manager.patch(&path, "*", &json!({"working_hours": none})).problem(422, "INVALID_VALUES");
    refused.faults(&[("/working_hours", "NO_WORKING_HOURS")]);
    assert_eq!(manager.get(&path).expect(200).body, made.body);
}

#[test]
fn windows_at_the_ends_of_time_are_counted_at_once() {
    let mut body = office("Everything", "Pacific/Kiritimati");
    let days = (0..1_000).map(|n| {
        let date = chrono::NaiveDate::from_ymd_opt(2031, 1, 1).unwrap() + chrono::Days::new(n * 3);
        json!({"date": date, "name": "Free"})
    });
    body["holidays"] = days.collect();
    let ground = Ground::on(&body);
    let began = Instant::now();
    let release = ground.release(
        "2030-01-14T09:00:00.000001Z",
        ("1970-01-01T00:00:00Z", "2030-01-17T18:00:00Z"),
        ("2030-01-18T09:00:00Z", "9999-12-31T23:59:59.999999Z"),
    );
    assert!(release["sla"]["remaining_minutes"].as_i64().unwrap() > 900_000_000, "{}", release["sla"]);
    ground.suspend(&release, "2030-01-15T09:00:00.5Z");
    // What is left does not fit into time any more.
    let back = ground.reactivate(&release, "2031-01-15T09:00:00.5Z");
    assert_eq!(back["deadline"], "9999-12-31T23:59:59.999999Z");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    ground.app.assert_sound();
}
