//! Who may do what, over every operation of the document: an operation that is not in the table fails.

use std::cell::Cell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::published::Contract;
use crate::support::*;

/// What is expected, written down from `domain.md` §3 and §8: for each operation the scope that a personal access
/// token needs, and for each role, in the order of [`Role::ALL`] - admin, manager, viewer, integration, lead,
/// operator, requester, outsider - `+` allowed, `F` may see but not do (403), `N` does not exist for them (404).
///
/// The release was registered by the requester for itself and is executed by the team of the lead.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("create_session", "", "++++++++"),
    ("refresh_session", "", "++++++++"),
    // A personal access token is no session, whatever its scopes.
    ("end_session", "", "++++++++"),
    ("read_me", "read", "++++++++"),
    ("list_tokens", "read", "++++++++"),
    ("create_token", "admin", "++++++++"),
    // The token is the viewer's.
    ("revoke_token", "admin", "+N+NNNNN"),
    ("list_users", "read", "++++++++"),
    ("create_user", "admin", "+FFFFFFF"),
    ("read_user", "read", "++++++++"),
    ("update_user", "admin", "+FFFFFFF"),
    ("delete_user", "admin", "+FFFFFFF"),
    // The account is nobody's of these.
    ("set_password", "admin", "+FFFFFFF"),
    ("list_groups", "read", "++++++++"),
    ("create_group", "admin", "+FFFFFFF"),
    ("read_group", "read", "++++++++"),
    ("update_group", "admin", "+FFFFFFF"),
    ("delete_group", "admin", "+FFFFFFF"),
    ("list_members", "read", "++++++++"),
    ("add_member", "admin", "+FFFFFFF"),
    ("remove_member", "admin", "+FFFFFFF"),
    ("list_units", "read", "++++++++"),
    ("create_unit", "admin", "+FFFFFFF"),
    ("read_unit", "read", "++++++++"),
    ("update_unit", "admin", "+FFFFFFF"),
    ("delete_unit", "admin", "+FFFFFFF"),
    ("list_contracts", "read", "++++++++"),
    ("create_contract", "admin", "+FFFFFFF"),
    ("read_contract", "read", "++++++++"),
    ("update_contract", "admin", "+FFFFFFF"),
    ("delete_contract", "admin", "+FFFFFFF"),
    ("list_justifications", "read", "++++++++"),
    ("create_justification", "catalogue:write", "++FFFFFF"),
    ("read_justification", "read", "++++++++"),
    ("update_justification", "catalogue:write", "++FFFFFF"),
    ("delete_justification", "catalogue:write", "++FFFFFF"),
    ("list_solution_categories", "read", "++++++++"),
    ("create_solution_category", "catalogue:write", "++FFFFFF"),
    ("read_solution_category", "read", "++++++++"),
    ("update_solution_category", "catalogue:write", "++FFFFFF"),
    ("delete_solution_category", "catalogue:write", "++FFFFFF"),
    ("list_checklist_templates", "read", "++++++++"),
    ("create_checklist_template", "catalogue:write", "++FFFFFF"),
    ("read_checklist_template", "read", "++++++++"),
    ("update_checklist_template", "catalogue:write", "++FFFFFF"),
    ("delete_checklist_template", "catalogue:write", "++FFFFFF"),
    ("list_calendars", "read", "++++++++"),
    ("create_calendar", "catalogue:write", "++FFFFFF"),
    ("read_calendar", "read", "++++++++"),
    ("update_calendar", "catalogue:write", "++FFFFFF"),
    ("delete_calendar", "catalogue:write", "++FFFFFF"),
    ("list_portfolios", "read", "++++++++"),
    ("create_portfolio", "catalogue:write", "++FFFFFF"),
    ("read_portfolio", "read", "++++++++"),
    ("update_portfolio", "catalogue:write", "++FFFFFF"),
    ("delete_portfolio", "catalogue:write", "++FFFFFF"),
    ("list_portfolio_models", "read", "++++++++"),
    ("create_model", "catalogue:write", "++FFFFFF"),
    ("list_models", "read", "++++++++"),
    ("read_model", "read", "++++++++"),
    ("update_model", "catalogue:write", "++FFFFFF"),
    ("delete_model", "catalogue:write", "++FFFFFF"),
    ("copy_model", "catalogue:write", "++FFFFFF"),
    ("read_lifecycle", "read", "++++++++"),
    ("list_workflows", "read", "++++++++"),
    ("read_workflow", "read", "++++++++"),
    ("create_workflow", "catalogue:write", "++FFFFFF"),
    ("create_workflow_version", "catalogue:write", "++FFFFFF"),
    ("retire_workflow", "catalogue:write", "++FFFFFF"),
    ("list_changes", "read", "++++++++"),
    ("create_change", "integration:write", "+FF+FFFF"),
    ("read_change", "read", "++++++++"),
    ("update_change", "integration:write", "+FF+FFFF"),
    ("delete_change", "integration:write", "+FF+FFFF"),
    ("upsert_change", "integration:write", "+FF+FFFF"),
    ("list_configuration_items", "read", "++++++++"),
    ("create_configuration_item", "integration:write", "+FF+FFFF"),
    ("read_configuration_item", "read", "++++++++"),
    ("update_configuration_item", "integration:write", "+FF+FFFF"),
    ("delete_configuration_item", "integration:write", "+FF+FFFF"),
    ("upsert_configuration_item", "integration:write", "+FF+FFFF"),
    ("list_relationships", "read", "++++++++"),
    ("create_relationship", "integration:write", "+FF+FFFF"),
    ("read_relationship", "read", "++++++++"),
    ("delete_relationship", "integration:write", "+FF+FFFF"),
    ("import_configuration_items", "integration:write", "+FF+FFFF"),
    ("list_imports", "read", "++++++++"),
    ("read_import", "read", "++++++++"),
    ("cancel_import", "integration:write", "+FF+FFFF"),
    ("list_import_results", "read", "++++++++"),
    ("list_item_history", "read", "++++++++"),
    ("list_item_releases", "read", "++++++++"),
    ("list_release_changes", "read", "+++++N+N"),
    ("link_change", "releases:write", "++FF+NFN"),
    ("read_release_change", "read", "+++++N+N"),
    ("update_release_change", "releases:write", "++FF+NFN"),
    ("unlink_change", "releases:write", "++FF+NFN"),
    ("list_definitive_media", "read", "++++++++"),
    ("create_definitive_medium", "integration:write", "++F+FFFF"),
    ("read_definitive_medium", "read", "++++++++"),
    ("update_definitive_medium", "integration:write", "++F+FFFF"),
    ("delete_definitive_medium", "integration:write", "++F+FFFF"),
    ("upload_medium_content", "integration:write", "++F+FFFF"),
    ("download_medium_content", "read", "++++++++"),
    // `execute` anywhere, or whoever keeps what other tools own.
    ("verify_definitive_medium", "releases:write", "++F+++FF"),
    // A permission of its own. The medium was verified by the operator.
    ("authorise_definitive_medium", "releases:write", "++FF+FFF"),
    ("retire_definitive_medium", "integration:write", "++F+FFFF"),
    ("list_hardware_spares", "read", "++++++++"),
    ("create_hardware_spare", "integration:write", "++F+FFFF"),
    ("read_hardware_spare", "read", "++++++++"),
    ("update_hardware_spare", "integration:write", "++F+FFFF"),
    ("delete_hardware_spare", "integration:write", "++F+FFFF"),
    ("list_release_media", "read", "+++++N+N"),
    ("link_medium", "releases:write", "++FF+NFN"),
    ("read_release_medium", "read", "+++++N+N"),
    ("update_release_medium", "releases:write", "++FF+NFN"),
    ("unlink_medium", "releases:write", "++FF+NFN"),
    ("list_release_spares", "read", "+++++N+N"),
    ("reserve_spare", "releases:write", "++FF+NFN"),
    ("read_release_spare", "read", "+++++N+N"),
    ("update_release_spare", "releases:write", "++FF+NFN"),
    ("free_spare", "releases:write", "++FF+NFN"),
    ("list_change_releases", "read", "++++++++"),
    ("list_release_configuration_items", "read", "+++++N+N"),
    ("link_configuration_item", "releases:write", "++FF+NFN"),
    ("link_configuration_items", "releases:write", "++FF+NFN"),
    ("read_release_configuration_item", "read", "+++++N+N"),
    ("update_release_configuration_item", "releases:write", "++FF+NFN"),
    ("unlink_configuration_item", "releases:write", "++FF+NFN"),
    // Whoever may reopen the release.
    ("revert_configuration_item", "releases:write", "++FF+NFN"),
    ("revert_release", "releases:write", "++FF+NFN"),
    ("list_write_backs", "read", "++++++++"),
    ("read_write_back", "read", "+++++N+N"),
    ("confirm_write_back", "integration:write", "+FF+FNFN"),
    ("refuse_write_back", "integration:write", "+FF+FNFN"),
    ("list_release_roles", "read", "+++++N+N"),
    ("add_release_role", "releases:write", "++FF+NFN"),
    ("read_release_role", "read", "+++++N+N"),
    ("update_release_role", "releases:write", "++FF+NFN"),
    ("remove_release_role", "releases:write", "++FF+NFN"),
    ("list_records", "read", "+++++N+N"),
    ("create_record", "releases:write", "++FF+NFN"),
    ("read_record", "read", "+++++N+N"),
    ("list_shares", "read", "+++++N+N"),
    // To read: the acting requester may as well.
    ("create_share", "releases:write", "++FF+N+N"),
    ("read_share", "read", "+++++N+N"),
    // From read to execute.
    ("update_share", "releases:write", "++FF+NFN"),
    ("delete_share", "releases:write", "++FF+N+N"),
    // Whoever keeps what other tools own writes references.
    ("list_references", "read", "+++++N+N"),
    ("create_reference", "releases:write", "++F++NFN"),
    ("read_reference", "read", "+++++N+N"),
    ("update_reference", "releases:write", "++F++NFN"),
    ("delete_reference", "releases:write", "++F++NFN"),
    // Whoever sees the release.
    ("list_release_comments", "read", "+++++N+N"),
    ("create_release_comment", "releases:write", "+++++N+N"),
    ("read_release_comment", "read", "+++++N+N"),
    ("list_activities", "read", "+++++N+N"),
    ("create_activity", "releases:write", "++FF+NFN"),
    ("read_activity", "read", "+++++N+N"),
    ("update_activity", "releases:write", "++FF+NFN"),
    ("move_activity", "releases:write", "++FF+NFN"),
    ("archive_activity", "releases:write", "++FF+NFN"),
    ("unarchive_activity", "releases:write", "++FF+NFN"),
    ("read_board", "read", "+++++N+N"),
    ("list_time_entries", "read", "+++++N+N"),
    ("add_time_entry", "releases:write", "++FF+NFN"),
    ("read_time_entry", "read", "+++++N+N"),
    ("update_time_entry", "releases:write", "++FF+NFN"),
    ("remove_time_entry", "releases:write", "++FF+NFN"),
    ("list_activity_comments", "read", "+++++N+N"),
    // The requester comments on what is done for them.
    ("add_activity_comment", "releases:write", "++FF+N+N"),
    ("read_activity_comment", "read", "+++++N+N"),
    ("read_approvals", "read", "+++++N+N"),
    ("set_approval_rule", "releases:write", "++FF+NFN"),
    ("list_votes", "read", "+++++N+N"),
    ("read_vote", "read", "+++++N+N"),
    // The rule asks the administrator, the lead and the viewer, and nobody else votes, release manager or not.
    ("cast_vote", "releases:write", "+F+F+NFN"),
    // The vote is the administrator's.
    ("withdraw_vote", "releases:write", "+FFFFNFN"),
    ("list_release_checklists", "read", "+++++N+N"),
    ("add_checklist", "releases:write", "++FF+NFN"),
    ("read_checklist", "read", "+++++N+N"),
    ("update_checklist", "releases:write", "++FF+NFN"),
    ("remove_checklist", "releases:write", "++FF+NFN"),
    ("answer_question", "releases:write", "++FF+NFN"),
    ("list_documents", "read", "+++++N+N"),
    ("upload_document", "releases:write", "++FF+NFN"),
    ("read_document", "read", "+++++N+N"),
    ("update_document", "releases:write", "++FF+NFN"),
    ("delete_document", "releases:write", "++FF+NFN"),
    ("download_document", "read", "+++++N+N"),
    // The action is `suspend`, a permission of the executor group.
    ("create_transition", "releases:write", "++FF+NFN"),
    ("list_transitions", "read", "+++++N+N"),
    ("list_allowed_transitions", "read", "+++++N+N"),
    ("list_releases", "read", "++++++++"),
    ("create_release", "releases:write", "++FF+F+F"),
    ("read_release", "read", "+++++N+N"),
    ("update_release", "releases:write", "++FF+NFN"),
    ("read_impact", "read", "+++++N+N"),
    ("list_history", "read", "+++++N+N"),
    ("verify_history", "read", "+++++N+N"),
    ("list_audit", "admin", "+FFFFFFF"),
    ("verify_audit", "admin", "+FFFFFFF"),
    ("list_checkpoints", "admin", "+FFFFFFF"),
    ("read_audit_keys", "admin", "+FFFFFFF"),
];

fn question() -> Value {
    json!({"key": "smoke", "text": "Did the smoke tests pass?", "kind": "confirm"})
}

const SCOPES: [&str; 5] = ["read", "releases:write", "catalogue:write", "integration:write", "admin"];

/// A request on something made for it alone, and where an administrator sees whether it did anything.
struct Target {
    path: String,
    body: Option<Value>,
    probe: String,
}

struct Ground {
    app: App,
    admin: Client,
    requester: Client,
    viewer: Client,
    counter: Cell<u32>,
}

impl Ground {
    fn new() -> Self {
        let app = App::start();
        let [admin, requester, viewer] = [Role::Admin, Role::Requester, Role::Viewer].map(|role| app.client(role));
        Self { app, admin, requester, viewer, counter: Cell::new(0) }
    }

    fn name(&self) -> String {
        self.counter.set(self.counter.get() + 1);
        format!("made-{}", self.counter.get())
    }

    /// A body that creates a noun.
    fn new_noun(&self, noun: &str) -> Value {
        let name = self.name();
        match noun {
            "user" => {
                json!({"username": name, "name": name, "email": format!("{name}@example.org")})
            }
            "justification" => json!({"description": name, "applies_to": ["suspend"]}),
            "calendar" => {
                json!({"name": name, "time_zone": "UTC", "working_hours": {"monday": [{"start": "09:00", "end": "17:00"}]}})
            }
            "change" => {
                json!({"source": "test", "external_id": name, "title": name, "status": "authorised"})
            }
            "definitive_medium" => json!({"name": name, "version": "1", "kind": "package"}),
            "hardware_spare" => json!({"model": "T7", "serial": name}),
            "configuration_item" => crate::configuration_items::item(&name),
            "checklist_template" => json!({"name": name, "stage": "test", "questions": [question()]}),
            "workflow" => {
                let stage = |key: &str, kind: &str| json!({"key": key, "kind": kind, "responsible": [{"kind": "requester"}], "gates": []});
                let stages = json!([stage("rollout", "deployment"), stage("closure", "closure")]);
                json!({"key": name.replace('-', "_"), "name": name, "return_stage": "rollout", "stages": stages})
            }
            _ => json!({"name": name}),
        }
    }

    fn made(&self, collection: &str, body: &Value) -> String {
        let id = self.admin.post(collection, body).expect(201).id();
        format!("{collection}/{id}")
    }

    fn release(&self) -> String {
        let mut body = new_release();
        body["requester"] = json!({"user_id": self.app.user_id(Role::Requester)});
        let change = self.admin.post("/changes", &self.new_noun("change"));
        body["changes"] = json!([{"change_id": change.expect(201).id()}]);
        let id = self.requester.post("/releases", &body).expect(201).id();
        format!("/releases/{id}")
    }

    /// A closed release that has changed a configuration item: its path, that of the link, and of what is to be told.
    fn closed(&self) -> (String, String, String) {
        let requester = json!({"user_id": self.app.user_id(Role::Requester)});
        let items = json!([{"configuration_item_id": self.app.item()}]);
        let made = self.app.release().with("requester", requester).with("configuration_items", items);
        let release = format!("/releases/{}", made.status("closed").make()["id"].as_str().unwrap());
        let links = self.admin.get(&format!("{release}/configuration-items")).expect(200);
        let link = format!("{release}/configuration-items/{}", links.body["data"][0]["id"].as_str().unwrap());
        let told = self.admin.get(&format!("/write-backs?release={}", release.replace("/releases/", ""))).expect(200);
        let told = format!("/write-backs/{}", told.body["data"][0]["id"].as_str().unwrap());
        (release, link, told)
    }

    /// An activity of a release of its own.
    fn activity(&self) -> String {
        let activities = format!("{}/activities", self.release());
        self.made(&activities, &json!({"phase": "planning", "title": self.name()}))
    }

    /// A release at authorization on which the administrator, the lead and the viewer are asked to vote.
    fn asked(&self) -> String {
        let mut body = new_release();
        body["requester"] = json!({"user_id": self.app.user_id(Role::Requester)});
        body["model_id"] = json!(self.app.model("Emergency"));
        let voters = [Role::Admin, Role::Lead, Role::Viewer].map(|role| json!({"user_id": self.app.user_id(role)}));
        body["approval_rule"] = json!({"kind": "all", "voters": voters});
        let id = self.requester.post("/releases", &body).expect(201).id();
        format!("/releases/{id}/approvals")
    }

    fn first_portfolio(&self) -> String {
        let page = self.admin.get("/portfolios").expect(200);
        format!("/portfolios/{}/models", page.body["data"][0]["id"].as_str().unwrap())
    }

    /// What belongs to a release: its path, a body that creates one, and a patch. `None` for other operations.
    fn part(&self, id: &str) -> Option<(&'static str, Value, Value)> {
        let (_, part) = id.split_once('_').unwrap();
        Some(match part {
            "release_role" | "release_roles" => {
                let body = json!({"role": "informed", "name": "Eva Prado", "email": "eva@example.org"});
                ("roles", body, json!({"text": "By telephone"}))
            }
            "record" | "records" => ("records", json!({"kind": "note", "body": "All is ready"}), Value::Null),
            "share" | "shares" => {
                let user = self.admin.post("/users", &self.new_noun("user")).expect(201).id();
                ("shares", json!({"user_id": user, "level": "read"}), json!({"level": "execute"}))
            }
            "reference" | "references" => {
                let body = json!({"kind": "ticket", "source": "desk", "external_id": self.name(), "title": "Slow"});
                ("references", body, json!({"status": "solved"}))
            }
            "release_comment" | "release_comments" => ("comments", json!({"body": "When is it?"}), Value::Null),
            _ => return None,
        })
    }

    /// A fresh target of the operation.
    fn target(&self, id: &str) -> Target {
        let at = |path: String, body: Option<Value>| Target { probe: path.clone(), path, body };
        let nouns = [
            ("user", "/users"),
            ("group", "/groups"),
            ("unit", "/units"),
            ("contract", "/contracts"),
            ("justification", "/justifications"),
            ("solution_category", "/solution-categories"),
            ("checklist_template", "/checklist-templates"),
            ("calendar", "/calendars"),
            ("portfolio", "/portfolios"),
            ("model", "/models"),
            ("change", "/changes"),
            ("definitive_medium", "/definitive-media"),
            ("hardware_spare", "/hardware-spares"),
            ("configuration_item", "/configuration-items"),
        ];
        let (verb, rest) = id.split_once('_').unwrap();
        if let Some((noun, collection)) = nouns.iter().find(|(noun, _)| *noun == rest) {
            let home = match *noun {
                "model" => self.first_portfolio(),
                _ => (*collection).to_owned(),
            };
            if verb == "create" {
                let probe = format!("{collection}?limit=200");
                return Target { path: home, body: Some(self.new_noun(noun)), probe };
            }
            if ["read", "update", "delete"].contains(&verb) {
                let id = self.admin.post(&home, &self.new_noun(noun)).expect(201).id();
                let text = match *noun {
                    "justification" => json!({"active": false}),
                    "change" => json!({"status": "completed"}),
                    "definitive_medium" | "hardware_spare" => json!({"notes": "Looked at"}),
                    _ => json!({"name": self.name()}),
                };
                return at(format!("{collection}/{id}"), (verb == "update").then_some(text));
            }
        }
        match id {
            "create_session" => at("/auth/login".into(), Some(json!({"username": "admin", "password": PASSWORD}))),
            "refresh_session" => {
                let login = json!({"username": "admin", "password": PASSWORD});
                let granted = self.app.anonymous().post("/auth/login", &login).expect(200);
                at("/auth/refresh".into(), Some(json!({"refresh_token": granted.body["refresh_token"]})))
            }
            "end_session" => Target { path: "/auth/logout".into(), body: None, probe: "/me".into() },
            "read_me" => at("/me".into(), None),
            "list_tokens" => at("/tokens".into(), None),
            "create_token" => at("/tokens".into(), Some(json!({"name": self.name(), "scopes": ["read"]}))),
            "revoke_token" => {
                let body = json!({"name": self.name(), "scopes": ["read"]});
                let id = self.viewer.post("/tokens", &body).expect(201).id();
                Target { path: format!("/tokens/{id}"), body: None, probe: "/tokens".into() }
            }
            "set_password" => {
                let user = self.made("/users", &self.new_noun("user"));
                Target {
                    path: format!("{user}/password"),
                    body: Some(json!({"password": "a long and memorable phrase"})),
                    probe: user,
                }
            }
            "list_members" => at(format!("{}/members", self.made("/groups", &self.new_noun("group"))), None),
            "add_member" => {
                let user = json!({"user_id": self.app.user_id(Role::Outsider)});
                at(format!("{}/members", self.made("/groups", &self.new_noun("group"))), Some(user))
            }
            "remove_member" => {
                let members = format!("{}/members", self.made("/groups", &self.new_noun("group")));
                let user = self.app.user_id(Role::Outsider);
                self.admin.post(&members, &json!({"user_id": user})).expect(201);
                Target { path: format!("{members}/{user}"), body: None, probe: members }
            }
            "list_portfolio_models" => at(self.first_portfolio(), None),
            "copy_model" => {
                let model = self.admin.post(&self.first_portfolio(), &self.new_noun("model")).expect(201).id();
                Target {
                    path: format!("/models/{model}/copy"),
                    body: Some(json!({"name": self.name()})),
                    probe: "/models?limit=200".into(),
                }
            }
            "read_lifecycle" => at("/lifecycle".into(), None),
            "list_workflows" => at("/workflows".into(), None),
            "read_workflow" => {
                let page = self.admin.get("/workflows").expect(200);
                at(format!("/workflows/{}", page.body["data"][0]["id"].as_str().unwrap()), None)
            }
            "create_workflow" => {
                let probe = "/workflows?limit=200".into();
                Target { path: "/workflows".into(), body: Some(self.new_noun("workflow")), probe }
            }
            "create_workflow_version" | "retire_workflow" => {
                let mut body = self.new_noun("workflow");
                let workflow = self.made("/workflows", &body);
                body["name"] = json!("Another");
                body.as_object_mut().unwrap().remove("key");
                let (verb, body) = if verb == "retire" { ("retire", None) } else { ("versions", Some(body)) };
                Target { path: format!("{workflow}/{verb}"), body, probe: "/workflows?limit=200".into() }
            }
            "upsert_change" => Target {
                path: format!("/changes/by-key/test/{}", self.name()),
                body: Some(json!({"title": "Upserted", "status": "authorised"})),
                probe: "/changes?limit=200&q=made".into(),
            },
            "upsert_configuration_item" => Target {
                path: format!("/configuration-items/by-key/test/{}", self.name()),
                body: Some(json!({"name": self.name(), "class": "server", "status": "planned"})),
                probe: "/configuration-items?limit=200&q=made".into(),
            },
            "list_relationships" | "create_relationship" | "read_relationship" | "delete_relationship" => {
                let item = || self.made("/configuration-items", &self.new_noun("configuration_item"));
                let all = format!("{}/relationships", item());
                let target = item().rsplit('/').next().unwrap().to_owned();
                let body = json!({"kind": "runs_on", "target_id": target});
                match verb {
                    "list" => at(all, None),
                    "create" => at(all, Some(body)),
                    _ => at(self.made(&all, &body), None),
                }
            }
            "import_configuration_items" => {
                crate::imports::importing(&self.app).run_due().unwrap();
                Target { path: "/configuration-items/import".into(), body: None, probe: "/imports".into() }
            }
            "list_imports" => at("/imports".into(), None),
            "read_import" | "cancel_import" | "list_import_results" => {
                // There is room for few that wait: what was made before is applied.
                crate::imports::importing(&self.app).run_due().unwrap();
                let made = crate::imports::upload(&self.admin, "", crate::imports::NDJSON, "{}").expect(202).id();
                let import = format!("/imports/{made}");
                match id {
                    "read_import" => at(import, None),
                    "cancel_import" => Target { path: format!("{import}/cancel"), body: None, probe: import },
                    _ => at(format!("{import}/results"), None),
                }
            }
            "list_item_history" | "list_item_releases" => {
                let item = self.made("/configuration-items", &self.new_noun("configuration_item"));
                at(format!("{item}/{}", rest.trim_start_matches("item_")), None)
            }
            "list_releases" => at("/releases".into(), None),
            "create_release" => at("/releases".into(), Some(new_release())),
            "read_release" => at(self.release(), None),
            "update_release" => at(self.release(), Some(json!({"title": "Another"}))),
            "list_release_changes" => at(format!("{}/changes", self.release()), None),
            "link_change" => {
                let change = self.admin.post("/changes", &self.new_noun("change")).expect(201);
                at(format!("{}/changes", self.release()), Some(json!({"change_id": change.id()})))
            }
            "read_release_change" | "update_release_change" | "unlink_change" => {
                let links = format!("{}/changes", self.release());
                let page = self.admin.get(&links).expect(200);
                let body = (verb == "update").then(|| json!({"outcome": "deployed"}));
                at(format!("{links}/{}", page.body["data"][0]["id"].as_str().unwrap()), body)
            }
            "list_definitive_media" => at("/definitive-media".into(), None),
            "upload_medium_content" | "download_medium_content" => {
                let probe = self.made("/definitive-media", &self.new_noun("definitive_medium"));
                let path = format!("{probe}/content");
                if verb == "download" {
                    self.admin.put_form(&path, form(&[], Some(("a.txt", "text/plain", b"content")))).expect(200);
                }
                Target { path, body: None, probe }
            }
            "verify_definitive_medium" | "authorise_definitive_medium" | "retire_definitive_medium" => {
                let mut body = self.new_noun("definitive_medium");
                body["sha256"] = json!("0".repeat(64));
                body["logical_location"] = json!("registry.example.org/payments");
                let probe = self.made("/definitive-media", &body);
                if verb == "authorise" {
                    let operator = self.app.client(Role::Operator);
                    operator.post(&format!("{probe}/verify"), &json!({"sha256": body["sha256"]})).expect(200);
                }
                let verification = (verb == "verify").then(|| json!({"sha256": body["sha256"]}));
                Target { path: format!("{probe}/{verb}"), body: verification, probe }
            }
            "list_release_media"
            | "link_medium"
            | "read_release_medium"
            | "update_release_medium"
            | "unlink_medium"
            | "list_release_spares"
            | "reserve_spare"
            | "read_release_spare"
            | "update_release_spare"
            | "free_spare" => {
                let (noun, field) = match id.contains("spare") {
                    true => ("hardware_spare", "spare_id"),
                    false => ("definitive_medium", "medium_id"),
                };
                let home = nouns.iter().find(|(other, _)| *other == noun).unwrap().1;
                let all = format!("{}{home}", self.release());
                let body = json!({field: self.admin.post(home, &self.new_noun(noun)).expect(201).id()});
                match verb {
                    "list" => at(all, None),
                    "link" | "reserve" => at(all, Some(body)),
                    _ => {
                        let patch = json!({"description": "For the shops"});
                        at(self.made(&all, &body), (verb == "update").then_some(patch))
                    }
                }
            }
            "list_change_releases" => {
                let change = self.admin.post("/changes", &self.new_noun("change")).expect(201);
                at(format!("/changes/{}/releases", change.id()), None)
            }
            "read_impact" => at(format!("{}/impact", self.release()), None),
            "list_release_configuration_items" => at(format!("{}/configuration-items", self.release()), None),
            "link_configuration_item" | "link_configuration_items" => {
                let item = json!({"configuration_item_id": self.app.item()});
                let links = format!("{}/configuration-items", self.release());
                if id.ends_with('s') {
                    let body = json!({"mode": "atomic", "items": [item]});
                    return Target { path: format!("{links}/batch"), body: Some(body), probe: links };
                }
                at(links, Some(item))
            }
            "read_release_configuration_item" | "update_release_configuration_item" | "unlink_configuration_item" => {
                let links = format!("{}/configuration-items", self.release());
                let link = self.made(&links, &json!({"configuration_item_id": self.app.item()}));
                at(link, (verb == "update").then(|| json!({"intended_version": "2.0.0"})))
            }
            "revert_configuration_item" | "revert_release" => {
                let (release, link, _) = self.closed();
                let path = if rest == "release" { format!("{release}/revert") } else { format!("{link}/revert") };
                Target { path, body: Some(json!({"note": "Slow"})), probe: link }
            }
            "list_write_backs" => at("/write-backs".into(), None),
            "read_write_back" => at(self.closed().2, None),
            "confirm_write_back" | "refuse_write_back" => {
                let (.., told) = self.closed();
                let body = if verb == "confirm" { json!({"cmdb_revision": "r1"}) } else { json!({"note": "Locked"}) };
                Target { path: format!("{told}/{verb}"), body: Some(body), probe: told }
            }
            part if self.part(part).is_some() => {
                let (noun, body, patch) = self.part(part).unwrap();
                let all = format!("{}/{noun}", self.release());
                match verb {
                    "list" => at(all, None),
                    "create" | "add" => at(all, Some(body)),
                    _ => {
                        let id = self.admin.post(&all, &body).expect(201).id();
                        at(format!("{all}/{id}"), (verb == "update").then_some(patch))
                    }
                }
            }
            "list_activities" => at(format!("{}/activities", self.release()), None),
            "create_activity" => {
                at(format!("{}/activities", self.release()), Some(json!({"phase": "planning", "title": self.name()})))
            }
            "read_board" => at(format!("{}/boards/planning", self.release()), None),
            "read_activity" | "update_activity" => {
                at(self.activity(), (verb == "update").then(|| json!({"title": "Another"})))
            }
            "move_activity" => {
                let probe = self.activity();
                Target { path: format!("{probe}/move"), body: Some(json!({"status": "done"})), probe }
            }
            "archive_activity" | "unarchive_activity" => {
                let probe = self.activity();
                if verb == "unarchive" {
                    Answer::of(self.admin.request("POST", &format!("{probe}/archive"))).expect(200);
                }
                Target { path: format!("{probe}/{verb}"), body: None, probe }
            }
            "list_time_entries" => at(format!("{}/time-entries", self.activity()), None),
            "add_time_entry" => at(format!("{}/time-entries", self.activity()), Some(json!({"minutes": 5}))),
            "read_time_entry" | "update_time_entry" | "remove_time_entry" => {
                let entries = format!("{}/time-entries", self.activity());
                let entry = self.made(&entries, &json!({"minutes": 5}));
                at(entry, (verb == "update").then(|| json!({"minutes": 6})))
            }
            "list_activity_comments" => at(format!("{}/comments", self.activity()), None),
            "add_activity_comment" => at(format!("{}/comments", self.activity()), Some(json!({"body": "Well done"}))),
            "read_activity_comment" => {
                let comments = format!("{}/comments", self.activity());
                at(self.made(&comments, &json!({"body": "Well done"})), None)
            }
            "read_approvals" => at(self.asked(), None),
            "set_approval_rule" => {
                let approvals = self.asked();
                let voters = [json!({"user_id": self.app.user_id(Role::Lead)})];
                let body = json!({"kind": "any", "voters": voters});
                Target { path: format!("{approvals}/rule"), body: Some(body), probe: approvals }
            }
            "list_votes" => at(format!("{}/votes", self.asked()), None),
            "cast_vote" => at(format!("{}/votes", self.asked()), Some(json!({"decision": "approve"}))),
            "read_vote" | "withdraw_vote" => {
                let votes = format!("{}/votes", self.asked());
                let vote = self.admin.post(&votes, &json!({"decision": "approve"})).expect(201).id();
                let path = format!("{votes}/{vote}");
                match verb {
                    "read" => at(path, None),
                    _ => Target {
                        path: format!("{path}/withdraw"),
                        body: Some(json!({"comment": "In doubt"})),
                        probe: path,
                    },
                }
            }
            "list_release_checklists" => at(format!("{}/checklists", self.release()), None),
            "add_checklist" => {
                let body = json!({"title": "Tests", "stage": "test", "questions": [question()]});
                at(format!("{}/checklists", self.release()), Some(body))
            }
            "read_checklist" | "update_checklist" | "remove_checklist" | "answer_question" => {
                let body = json!({"title": "Tests", "stage": "test", "questions": [question()]});
                let lists = format!("{}/checklists", self.release());
                let path = format!("{lists}/{}", self.admin.post(&lists, &body).expect(201).id());
                match verb {
                    "update" => at(path, Some(json!({"title": "Other"}))),
                    "answer" => Target {
                        path: format!("{path}/answers/smoke"),
                        body: Some(json!({"value": true})),
                        probe: path,
                    },
                    _ => at(path, None),
                }
            }
            "list_documents" | "upload_document" => at(format!("{}/documents", self.release()), None),
            "read_document" | "update_document" | "delete_document" | "download_document" => {
                let documents = format!("{}/documents", self.release());
                let made = self.admin.upload(&documents, &[("class", "general")], "a.txt", b"content").expect(201);
                let content = if id == "download_document" { "/content" } else { "" };
                let body = (verb == "update").then(|| json!({"class": "legal"}));
                at(format!("{documents}/{}{content}", made.id()), body)
            }
            "create_transition" => {
                let release = self.release();
                let justification = self.app.justification("suspend");
                let body = json!({"action": "suspend", "justification_id": justification, "note": "Wait"});
                Target { path: format!("{release}/transitions"), body: Some(body), probe: release }
            }
            "list_transitions" => at(format!("{}/transitions", self.release()), None),
            "list_allowed_transitions" => at(format!("{}/allowed-transitions", self.release()), None),
            "list_history" => at(format!("{}/history", self.release()), None),
            "verify_history" => at(format!("{}/history/verify", self.release()), None),
            "list_audit" => at("/audit".into(), None),
            "verify_audit" => at("/audit/verify".into(), None),
            "list_checkpoints" => at("/audit/checkpoints".into(), None),
            "read_audit_keys" => at("/audit/keys".into(), None),
            list => {
                let found = nouns.iter().find(|(noun, path)| {
                    list == format!("list_{noun}s") || list == format!("list_{}", path[1..].replace('-', "_"))
                });
                at(found.unwrap_or_else(|| panic!("nothing is known of {list}")).1.to_owned(), None)
            }
        }
    }

    fn send(client: &Client, method: &str, target: &Target) -> Answer {
        if method == "POST" && target.path.ends_with("/documents") {
            return client.upload(&target.path, &[("class", "general")], "made.txt", b"content");
        }
        if method == "PUT" && target.path.ends_with("/content") {
            return client.put_form(&target.path, form(&[], Some(("made.txt", "text/plain", b"content"))));
        }
        if target.path.ends_with("/import") {
            return crate::imports::upload(client, "", crate::imports::NDJSON, "{}");
        }
        let mut request = client.request(method, &target.path);
        let guarded = matches!(method, "PATCH" | "DELETE") || target.path.ends_with("/approvals/rule");
        if guarded && !target.path.contains("/members/") {
            request = request.header("If-Match", "*");
        }
        if let Some(body) = &target.body {
            request = request.json(body);
        }
        Answer::of(request)
    }

    /// The length of the audit, and what is stored.
    fn stored(&self, target: &Target) -> (i64, String, String) {
        let audit = self.admin.get("/audit?count=exact&limit=1").expect(200);
        let probe = match target.path.starts_with("/tokens") {
            true => self.viewer.get("/tokens"),
            false if target.path.starts_with("/auth") => self.admin.get("/me"),
            false => self.admin.get(&target.probe),
        };
        let total = audit.body["page"]["total"].as_i64().unwrap();
        (total, probe.header("etag").to_owned(), probe.text)
    }

    /// Demands that a request is refused and stores nothing.
    fn refused(&self, id: &str, method: &str, client: &Client, status: u16, code: &str) {
        let target = self.target(id);
        let before = self.stored(&target);
        let answer = Self::send(client, method, &target);
        let found = (answer.status, answer.body["code"].as_str().unwrap_or(""));
        assert_eq!(found, (status, code), "{id} {} {}", target.path, answer.text);
        if status == 401 {
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{id}");
        }
        if method != "GET" {
            assert_eq!(self.stored(&target), before, "{id} was refused and changed something");
        }
    }

    /// Demands that a request is not refused for who sends it.
    fn allowed(&self, id: &str, method: &str, client: &Client) {
        let target = self.target(id);
        let answer = Self::send(client, method, &target);
        assert!(![401, 403, 404].contains(&answer.status), "{id} {} {}", target.path, answer.text);
    }

    fn token(&self, scopes: &[&str]) -> Client {
        let body = json!({"name": self.name(), "scopes": scopes});
        let made = self.admin.post("/tokens", &body).expect(201);
        self.app.client_with(made.body["token"].as_str().unwrap())
    }
}

#[test]
fn every_operation_of_the_document_is_in_the_table() {
    let documented: BTreeSet<String> = Contract::read().operations().into_iter().map(|o| o.id).collect();
    let listed: BTreeSet<String> = EXPECTED.iter().map(|(id, ..)| (*id).to_owned()).collect();
    assert_eq!(documented, listed);
    assert_eq!(listed.len(), EXPECTED.len(), "an operation is there twice");
}

#[test]
fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let ground = Ground::new();
    let clients: Vec<(Role, Client)> = Role::ALL.into_iter().map(|role| (role, ground.app.client(role))).collect();
    for operation in Contract::read().operations() {
        let row = EXPECTED.iter().find(|(id, ..)| *id == operation.id);
        let (id, _, expected) = row.unwrap_or_else(|| panic!("{} is not in the table", operation.id));
        for ((role, client), expected) in clients.iter().zip(expected.chars()) {
            let client = match *id {
                "end_session" => ground.app.client(*role),
                _ => client.clone(),
            };
            match expected {
                '+' => ground.allowed(id, &operation.method, &client),
                'F' => ground.refused(id, &operation.method, &client, 403, "FORBIDDEN"),
                _ => ground.refused(id, &operation.method, &client, 404, "NOT_FOUND"),
            }
        }
    }
    ground.app.assert_sound();
}

#[test]
fn nobody_without_a_credential_does_anything_but_log_in() {
    let ground = Ground::new();
    let anonymous = ground.app.anonymous();
    for operation in Contract::read().operations() {
        if operation.content["security"] == json!([]) {
            ground.allowed(&operation.id, &operation.method, &anonymous);
        } else {
            ground.refused(&operation.id, &operation.method, &anonymous, 401, "UNAUTHENTICATED");
        }
    }
}

#[test]
fn a_personal_token_does_what_its_scope_covers_and_nothing_else() {
    let ground = Ground::new();
    let only = SCOPES.map(|scope| ground.token(&[scope]));
    let without = SCOPES.map(|scope| {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        ground.token(&others)
    });
    for operation in Contract::read().operations() {
        let (id, scope, _) = EXPECTED.iter().find(|(id, ..)| *id == operation.id).unwrap();
        let Some(index) = SCOPES.iter().position(|other| other == scope) else {
            continue;
        };
        let (status, code) = match *id {
            // Other people's tokens are there for an administrator alone, which this scope makes one.
            "revoke_token" => (404, "NOT_FOUND"),
            _ => (403, "SCOPE_MISSING"),
        };
        ground.refused(id, &operation.method, &without[index], status, code);
        ground.allowed(id, &operation.method, &only[index]);
    }
}

#[test]
fn a_token_stays_within_the_rights_of_its_owner() {
    let app = App::start();
    let made = app.client(Role::Viewer).post("/tokens", &json!({"name": "all", "scopes": SCOPES})).expect(201);
    let token = app.client_with(made.body["token"].as_str().unwrap());
    token.get("/releases").expect(200);
    token.post("/releases", &new_release()).problem(403, "FORBIDDEN");
    token.post("/portfolios", &json!({"name": "Mine"})).problem(403, "FORBIDDEN");
    token.post("/units", &json!({"name": "Mine"})).problem(403, "FORBIDDEN");
    token.get("/audit").problem(403, "FORBIDDEN");
}

#[test]
fn what_a_caller_may_do_now_respects_the_scope_of_the_token() {
    let app = App::start();
    let release = app.release().make();
    let made = app.client(Role::Lead).post("/tokens", &json!({"name": "r", "scopes": ["read"]})).expect(201);
    let token = app.client_with(made.body["token"].as_str().unwrap());
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    assert_eq!(token.get(&path).expect(200).body["allowed_actions"], json!([]));
    assert_ne!(app.client(Role::Lead).get(&path).expect(200).body["allowed_actions"], json!([]));
}
