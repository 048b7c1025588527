//! The lifecycle enumerated: status x stage x action x caller, against the specification written down as data.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::*;

/// A kind of caller; the release belongs to the Release team unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// A release manager who belongs to the executor group.
    Admin,
    /// A release manager who belongs to no group.
    Manager,
    /// Reads everything.
    Viewer,
    /// Reads everything.
    Integration,
    /// Holds every permission in the executor group.
    Lead,
    /// Holds `execute` alone, in the executor group of the releases of the Operators.
    Operator,
    /// Requested the release.
    Requester,
    /// Has nothing to do with it.
    Outsider,
}

use Caller::*;

const CALLERS: [Caller; 8] = [Admin, Manager, Viewer, Integration, Lead, Operator, Requester, Outsider];

impl Caller {
    const fn role(self) -> Role {
        match self {
            Admin => Role::Admin,
            Manager => Role::Manager,
            Viewer => Role::Viewer,
            Integration => Role::Integration,
            Lead => Role::Lead,
            Operator => Role::Operator,
            Requester => Role::Requester,
            Outsider => Role::Outsider,
        }
    }
}

/// Whose the release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ownership {
    /// Executed by the Release team, requested by the requester, who has an account.
    Requested,
    /// Executed by the Release team, for somebody without an account: the manager who created it signs.
    Created,
    /// Executed by the Operators, requested by the requester.
    Operated,
}

use Ownership::*;

/// Model, return stage, and stages with who is responsible: `g`roup, acting `r`equester.
type WorkflowRow = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The stages of the three workflows.
const WORKFLOWS: &[WorkflowRow] = &[
    (
        "Standard",
        "planning",
        &[
            ("planning", "g"),
            ("authorization", "r"),
            ("deployment", "g"),
            ("test", "g"),
            ("acceptance", "gr"),
            ("closure", "r"),
        ],
    ),
    (
        "Emergency",
        "authorization",
        &[("authorization", "r"), ("deployment", "g"), ("acceptance", "gr"), ("closure", "r")],
    ),
    ("Minor", "planning", &[("planning", "g"), ("deployment", "g"), ("closure", "r")]),
];

const STATUSES: [&str; 5] = ["open", "reopened", "suspended", "cancelled", "closed"];

/// The action table: name, statuses it starts from, what its right is.
/// Rights: `stage` its responsible, `sign` the acting requester, `manage` a release manager, else a permission.
const ACTIONS: &[(&str, &[&str], &str)] = &[
    ("advance", &["open", "reopened"], "stage"),
    ("send_back", &["open", "reopened"], "stage"),
    ("capture", &["open", "reopened"], "execute"),
    ("delegate", &["open", "reopened"], "delegate"),
    ("suspend", &["open", "reopened"], "suspend"),
    ("reactivate", &["suspended"], "reactivate"),
    ("cancel", &["open", "reopened", "suspended"], "cancel"),
    ("close", &["open", "reopened"], "sign"),
    ("close unsolved", &["open", "reopened"], "manage"),
    ("reopen", &["closed"], "reopen"),
];

/// Who does not see the release at all.
fn sees(caller: Caller, ownership: Ownership) -> bool {
    match caller {
        Admin | Manager | Viewer | Integration => true,
        Lead => ownership != Operated,
        Operator => ownership == Operated,
        Requester => ownership != Created,
        Outsider => false,
    }
}

/// Whether the caller holds the permission in the executor group, by membership alone.
fn member_may(caller: Caller, ownership: Ownership, permission: &str) -> bool {
    match (caller, ownership) {
        (Lead | Admin, Requested | Created) => true,
        (Operator, Operated) => permission == "execute",
        _ => false,
    }
}

fn signs(caller: Caller, ownership: Ownership) -> bool {
    match ownership {
        Requested | Operated => caller == Requester,
        Created => caller == Manager,
    }
}

fn responsible(caller: Caller, ownership: Ownership, who: &str) -> bool {
    (who.contains('g') && member_may(caller, ownership, "execute")) || (who.contains('r') && signs(caller, ownership))
}

/// Where a release stands.
struct Place<'a> {
    stages: &'a [(&'a str, &'a str)],
    at: usize,
    status: &'a str,
    ownership: Ownership,
}

/// What the specification says of a well-formed command: status and code of the answer.
fn expected(place: &Place<'_>, action: &str, from: &[&str], right: &str, caller: Caller) -> (u16, &'static str) {
    let Place { stages, at, status, ownership } = place;
    let (stage, who) = stages[*at];
    let from_deployment = !["planning", "authorization"].contains(&stage);
    if !sees(caller, *ownership) {
        return (404, "NOT_FOUND");
    }
    let manages = matches!(caller, Admin | Manager);
    let holds = manages
        || match right {
            "stage" => responsible(caller, *ownership, who),
            "sign" => signs(caller, *ownership),
            "manage" => false,
            permission => member_may(caller, *ownership, permission),
        };
    if !holds {
        return (403, "FORBIDDEN");
    }
    if !from.contains(status) {
        return (409, "STATE_FORBIDS");
    }
    // An assignee is always a member of the executor group: the manager is not.
    if action == "capture" && !member_may(caller, *ownership, "execute") {
        return (403, "NOT_A_GROUP_MEMBER");
    }
    match action {
        "advance" if stage == "closure" => (409, "AT_LAST_STAGE"),
        "send_back" if *at == 0 => (409, "AT_FIRST_STAGE"),
        "close" if stage != "closure" => (409, "NOT_AT_CLOSURE"),
        "close unsolved" if !from_deployment => (409, "BEFORE_DEPLOYMENT"),
        _ => (200, ""),
    }
}

/// A well-formed command.
struct Commands {
    suspend: String,
    cancel: String,
    reopen: String,
    solved: Value,
    /// A member of the executor group, to delegate to.
    member: String,
}

impl Commands {
    fn body(&self, action: &str, place: &Place<'_>, right: &str, caller: Caller) -> Value {
        let (stage, who) = place.stages[place.at];
        let has_acceptance = place.stages.iter().any(|(stage, _)| *stage == "acceptance");
        let mut body = match action {
            "advance" => json!({"action": "advance", "from_stage": stage}),
            "send_back" => json!({"action": "send_back", "from_stage": stage, "note": "Not yet"}),
            "delegate" => json!({"action": "delegate", "user_id": self.member}),
            "suspend" => {
                json!({"action": "suspend", "justification_id": self.suspend, "note": "Vendor"})
            }
            "cancel" => {
                json!({"action": "cancel", "justification_id": self.cancel, "closure_notes": "No more"})
            }
            "close unsolved" => json!({"action": "close", "resolution": "unsolved",
                "justification_id": self.cancel, "closure_notes": "It failed"}),
            "reopen" => json!({"action": "reopen", "justification_id": self.reopen}),
            other => json!({"action": other}),
        };
        let resolves = match action {
            "advance" => stage == "acceptance",
            "close" => !has_acceptance,
            _ => false,
        };
        if resolves {
            for (name, value) in self.solved.as_object().unwrap() {
                body[name] = value.clone();
            }
        }
        // A release manager who acts for the requester, or in place of the responsible, says so.
        let stands_in = match right {
            "stage" => !responsible(caller, place.ownership, who),
            "sign" => !signs(caller, place.ownership),
            _ => false,
        };
        if matches!(caller, Admin | Manager) && stands_in {
            body["on_behalf_of"] = json!({"origin": "phone", "note": "Agreed"});
        }
        body
    }
}

/// Every place in which a release of the workflow can be: cancelled anywhere, closed at closure.
fn places<'a>(stages: &'a [(&'a str, &'a str)], return_stage: &str, ownership: Ownership) -> Vec<Place<'a>> {
    let first_again = stages.iter().position(|(stage, _)| *stage == return_stage).unwrap();
    let mut places = Vec::new();
    for status in STATUSES {
        for at in 0..stages.len() {
            let possible = match status {
                "closed" => at + 1 == stages.len(),
                // Whose the release is makes a difference by stage; one stage shows that it does in every status.
                "reopened" | "suspended" | "cancelled" if ownership != Requested => at + 2 == stages.len(),
                "reopened" => at >= first_again,
                _ => true,
            };
            if possible {
                places.push(Place { stages, at, status, ownership });
            }
        }
    }
    places
}

fn enumerate(model: &str, ownership: Ownership) {
    let app = App::start();
    let (_, return_stage, stages) = WORKFLOWS.iter().find(|(name, ..)| *name == model).unwrap();
    let clients: Vec<(Caller, Client)> =
        CALLERS.into_iter().map(|caller| (caller, app.client(caller.role()))).collect();
    let model_id = app.model(model);
    let requester = app.user_id(Role::Requester).to_string();
    let operators = app.group("Operators");
    let member = match ownership {
        Operated => app.user_id(Role::Operator),
        _ => app.user_id(Role::Lead),
    };
    let commands = Commands {
        suspend: app.justification("suspend"),
        cancel: app.justification("cancel"),
        reopen: app.justification("reopen"),
        solved: solved(&app),
        member: member.to_string(),
    };
    let manager = app.client(Role::Manager);
    let mut judged = 0;
    for place in places(stages, return_stage, ownership) {
        let mut builder =
            app.release().with("model_id", model_id.clone()).at(place.stages[place.at].0).status(match place.status {
                // The outcomes of its changes are recorded before it is suspended.
                "suspended" => "open",
                other => other,
            });
        if ownership != Created {
            builder = builder.with("requester", json!({"user_id": requester}));
        }
        if ownership == Operated {
            builder = builder.with("executor_group_id", operators.clone());
        }
        let release = builder.make();
        let path = format!("/releases/{}", release["id"].as_str().unwrap());
        if ["open", "reopened"].contains(&place.status) {
            record_outcomes(&manager, &release);
        }
        if place.status == "suspended" {
            record_outcomes(&manager, &release);
            let body = commands.body("suspend", &place, "suspend", Manager);
            transition(&manager, &release, &body);
        }
        let row_version = manager.get(&path).expect(200).body["row_version"].clone();
        for (caller, client) in &clients {
            judged += judge(&place, &path, *caller, client, &commands);
        }
        let after = manager.get(&path).expect(200).body["row_version"].clone();
        assert_eq!(after, row_version, "a dry run changed the release");
    }
    assert!(judged > 0);
}

/// Compares dry run, `allowed-transitions` and `allowed_actions` of one caller with the specification.
fn judge(place: &Place<'_>, path: &str, caller: Caller, client: &Client, commands: &Commands) -> usize {
    let mut allowed = BTreeSet::new();
    for (action, from, right) in ACTIONS {
        let body = commands.body(action, place, right, caller);
        let wanted = expected(place, action, from, right, caller);
        let answer = client.post(&format!("{path}/transitions?dry_run=true"), &body);
        let found = (answer.status, answer.body["code"].as_str().unwrap_or(""));
        assert_eq!(
            found, wanted,
            "{caller:?} {action} at {} {} ({:?}): {}",
            place.status, place.stages[place.at].0, place.ownership, answer.text
        );
        if wanted.0 == 200 {
            allowed.insert(action.split(' ').next().unwrap());
        }
        if wanted.0 == 409 {
            assert_eq!(answer.body["current_status"], place.status);
            assert_eq!(answer.body["current_stage"], place.stages[place.at].0);
        }
    }
    if !sees(caller, place.ownership) {
        client.get(path).problem(404, "NOT_FOUND");
        client.get(&format!("{path}/allowed-transitions")).problem(404, "NOT_FOUND");
        return ACTIONS.len();
    }
    let read = client.get(path).expect(200);
    let actions = read.body["allowed_actions"].as_array().unwrap();
    let told: BTreeSet<&str> = actions.iter().map(|action| action.as_str().unwrap()).collect();
    assert_eq!(told, allowed, "{caller:?} at {} {}", place.status, place.stages[place.at].0);
    let verdicts = client.get(&format!("{path}/allowed-transitions")).expect(200);
    for verdict in verdicts.body["data"].as_array().unwrap() {
        let open = allowed.contains(verdict["action"].as_str().unwrap());
        assert_eq!(verdict["allowed"], open, "{caller:?}: {verdict}");
        assert_eq!(verdict["blockers"].as_array().unwrap().is_empty(), open, "{verdict}");
    }
    assert_eq!(verdicts.body["data"].as_array().unwrap().len(), 9);
    ACTIONS.len()
}

#[test]
fn the_standard_lifecycle_allows_what_the_specification_allows() {
    enumerate("Standard", Requested);
}

#[test]
fn the_standard_lifecycle_of_a_requester_without_an_account_is_signed_by_the_creator() {
    enumerate("Standard", Created);
}

#[test]
fn the_standard_lifecycle_of_a_group_that_may_only_execute_needs_others_for_the_rest() {
    enumerate("Standard", Operated);
}

#[test]
fn the_emergency_lifecycle_allows_what_the_specification_allows() {
    enumerate("Emergency", Requested);
}

#[test]
fn the_minor_lifecycle_allows_what_the_specification_allows() {
    enumerate("Minor", Requested);
}
