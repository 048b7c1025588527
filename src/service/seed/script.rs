//! What is said in each step of a tale, whoever carries it out.

use chrono::TimeDelta;
use serde_json::{Value, json};
use validator::Validate as _;

use super::furnish::Cast;
use super::tale::{Act, Step, Tale};
use super::words;
use crate::domain::approval::{ApprovalRule, Voter};
use crate::domain::checklist::Question;
use crate::domain::lifecycle::Command;
use crate::domain::values::*;
use crate::service::checklists::{NewAnswer, NewChecklist};
use crate::service::release_input::{AcceptanceCriterion, ChangeToLink, NewRelease, NotifyFields, RequesterFields};

/// The registration. `changes` are those that are linked at once.
pub fn new_release(cast: &Cast, tale: &Tale, changes: Vec<ChangeId>) -> Draft<NewRelease> {
    let stored = &cast.stored;
    let windows = tale.windows_at_once.then(|| tale.windows[0]);
    let requester = match tale.account {
        Some(account) => RequesterFields { user_id: Some(stored.people[account]), ..RequesterFields::default() },
        None => {
            let unit_id = stored.units.get(tale.portfolio + 1).copied();
            RequesterFields { unit_id, ..outsider(tale.outsider) }
        }
    };
    checked(NewRelease {
        title: tale.title.clone(),
        description: Some(tale.description.clone()),
        version: Some(tale.version.clone()),
        release_type: tale.release_type,
        model_id: Some(stored.models[tale.model]),
        requester,
        contract_id: tale.contract.map(|index| stored.contracts[index]),
        executor_group_id: Some(stored.groups[tale.first_group]),
        impact: Some(tale.impact),
        urgency: Some(tale.urgency),
        risk: Some(tale.risk),
        acceptance_criteria: tale
            .criteria
            .iter()
            .map(|text| AcceptanceCriterion { text: text.clone(), confirmed: false })
            .collect(),
        planning_window: windows.map(|windows| windows.planning),
        deployment_window: windows.map(|windows| windows.deployment),
        depends_on: Vec::new(),
        tags: tale.tags.clone(),
        custom_fields: tale.custom_fields.clone(),
        notify: NotifyFields {
            on_created: Some(true),
            on_updated: Some(false),
            on_closed: Some(tale.account.is_none()),
        },
        changes: changes.into_iter().map(|change_id| ChangeToLink { change_id }).collect(),
        configuration_items: Vec::new(),
        roles: Vec::new(),
        activities: Vec::new(),
        approval_rule: tale.approver.map(|approver| ApprovalRule {
            kind: ApprovalKind::Any,
            quorum: None,
            percent: None,
            voters: vec![Voter { user_id: Some(stored.people[approver]), group_id: None }],
            requester_may_approve: false,
        }),
        checklists: if tale.has_checklist { vec![checklist()] } else { Vec::new() },
    })
}

/// What is asked after the tests.
fn checklist() -> NewChecklist {
    let question = |key: &str, text: &str, kind| Question {
        key: key.into(),
        text: text.into(),
        kind,
        required: true,
        options: Vec::new(),
        min: None,
        max: None,
    };
    NewChecklist {
        template_id: None,
        title: Some("After the tests".into()),
        stage: Some("test".into()),
        required: None,
        questions: vec![
            question("smoke", "Did the smoke tests pass?", QuestionKind::Confirm),
            question("remarks", "What is there to know for the users?", QuestionKind::Text),
        ],
    }
}

/// What is answered to a question of a checklist.
pub fn answer(question: &Question) -> NewAnswer {
    let value = match question.kind {
        QuestionKind::Confirm => json!(true),
        _ => json!("Nothing beyond the release notes."),
    };
    NewAnswer { value, note: None }
}

/// A requester without an account.
pub fn outsider(index: usize) -> RequesterFields {
    let (name, email) = words::OUTSIDERS[index];
    RequesterFields { name: Some(name.into()), email: Some(email.into()), ..RequesterFields::default() }
}

/// The plan of a step: its words, the windows of its round, and what the release depends on.
pub fn plan(tale: &Tale, nth: usize, depends_on: Option<ReleaseId>) -> Value {
    let windows = tale.windows[tale.steps[nth].round];
    let made = tale.steps[..nth].iter().filter(|step| matches!(step.act, Act::Plan)).count();
    let mut description = format!("{}\n\nPlan: {}", tale.description, tale.plan_note);
    if made > 0 {
        description.push_str(&format!("\n\nPlan revised, revision {}.", made + 1));
    }
    let mut document = json!({
        "description": description,
        "planning_window": windows.planning,
        "deployment_window": windows.deployment,
    });
    if let Some(other) = depends_on {
        document["depends_on"] = json!([other]);
    }
    document
}

/// All acceptance criteria confirmed.
pub fn confirmation(tale: &Tale) -> Value {
    let all: Vec<Value> = tale.criteria.iter().map(|text| json!({"text": text, "confirmed": true})).collect();
    json!({"acceptance_criteria": all})
}

/// A later end of the deployment.
pub fn extension(tale: &Tale, step: &Step) -> Value {
    let window = tale.windows[step.round].deployment;
    json!({
        "deployment_window": {"start": window.start, "end": window.end.plus(TimeDelta::hours(4))},
        "reason": "The last steps need more time than planned.",
    })
}

/// The command of a step that moves the release.
pub fn command(tale: &Tale, step: &Step) -> Option<Command> {
    let Act::Move { command, dated } = &step.act else {
        return None;
    };
    let mut command = (**command).clone();
    if *dated {
        let start = tale.windows[step.round].deployment.start;
        command.release_date = Some(start.plus(TimeDelta::minutes(100)));
    }
    Some(command)
}

/// What is said beside the outcome of a change.
pub const fn outcome_note(outcome: ChangeOutcome) -> Option<&'static str> {
    match outcome {
        ChangeOutcome::Pending | ChangeOutcome::Deployed => None,
        ChangeOutcome::Failed => Some("Stopped at the health check."),
        ChangeOutcome::RolledBack => Some("Taken back within the window."),
    }
}

fn checked(new: NewRelease) -> Draft<NewRelease> {
    match new.validate() {
        Ok(()) => Ok(new),
        Err(error) => Err(vec![Fault::at("", "INVALID_VALUE", error.to_string())]),
    }
}
