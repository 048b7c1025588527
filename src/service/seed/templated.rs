//! The model whose releases begin with everything: activities, checklists and who approves.

use serde_json::json;

use crate::domain::activity_template::{ActivityTemplate, TemplateItem};
use crate::domain::approval::{ApprovalRule, Voter};
use crate::domain::checklist::Question;
use crate::domain::release::Notify;
use crate::domain::values::*;
use crate::repository::nouns::{ChecklistTemplate, Model};
use crate::service::{Error, Result, WriteContext, catalogue};

/// A card: key, phase, title, kind, minutes, from when to when, what is on its list, and what it depends on.
type Plan = (
    &'static str,
    ActivityPhase,
    &'static str,
    ActivityKind,
    i64,
    [&'static str; 2],
    &'static [&'static str],
    &'static [&'static str],
);

use ActivityPhase::{Deployment, Planning};

const CARDS: &[Plan] = &[
    (
        "window",
        Planning,
        "Agree on the window with the business",
        ActivityKind::Communication,
        60,
        ["T-14d", "T-7d"],
        &[],
        &[],
    ),
    (
        "runbook",
        Planning,
        "Write the runbook",
        ActivityKind::Task,
        180,
        ["T-10d", "T-3d"],
        &["Steps", "The way back"],
        &[],
    ),
    ("way_back", Planning, "Rehearse the way back", ActivityKind::Rollback, 120, ["T-3d", "T-1d"], &[], &["runbook"]),
    (
        "backup",
        Deployment,
        "Take a backup",
        ActivityKind::Task,
        30,
        ["T-1h", "T"],
        &["It can be restored"],
        &["way_back"],
    ),
    (
        "install",
        Deployment,
        "Install on all nodes",
        ActivityKind::Rollout,
        90,
        ["T", "T+2h"],
        &[],
        &["backup", "window"],
    ),
    ("smoke", Deployment, "Run the smoke tests", ActivityKind::Test, 40, ["T+2h", "T+2h40m"], &[], &["install"]),
];

/// A checklist: name, stage, and what is asked, each with its key.
type List = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const LISTS: &[List] = &[
    (
        "Ready to deploy",
        "deployment",
        &[("backup", "Is there a backup that can be restored?"), ("told", "Does the service desk know?")],
    ),
    ("After the tests", "test", &[("smoke", "Did the smoke tests pass?"), ("logs", "Are the logs clean?")]),
];

fn template(plan: &Plan) -> Result<ActivityTemplate> {
    let (key, phase, title, kind, minutes, times, items, depends_on) = *plan;
    let time = |text: &str| text.parse().map(Some).map_err(|error| Error::Internal(format!("{error}")));
    let [start, due] = times;
    Ok(ActivityTemplate {
        key: key.into(),
        phase,
        title: title.into(),
        description: None,
        kind,
        group_id: None,
        technical_guidelines: None,
        scheduled_start: time(start)?,
        due_at: time(due)?,
        estimated_minutes: Some(minutes),
        checklist: items.iter().map(|text| TemplateItem { text: (*text).into() }).collect(),
        tags: Vec::new(),
        depends_on: depends_on.iter().map(|key| (*key).into()).collect(),
    })
}

fn checklists(context: &mut WriteContext<'_>) -> Result<Vec<ChecklistTemplateId>> {
    let mut ids = Vec::new();
    for (name, stage, questions) in LISTS {
        let questions = questions.iter().map(|(key, text)| Question {
            key: (*key).into(),
            text: (*text).into(),
            kind: QuestionKind::Confirm,
            required: true,
            options: Vec::new(),
            min: None,
            max: None,
        });
        let content = ChecklistTemplate {
            name: (*name).into(),
            description: None,
            active: true,
            stage: (*stage).into(),
            required: true,
            questions: Json(questions.collect()),
        };
        ids.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(ids)
}

/// Stores the model, with the templates of its checklists: executed by one group, approved by another.
pub fn model(
    context: &mut WriteContext<'_>,
    portfolio: PortfolioId,
    executor: GroupId,
    approvers: GroupId,
) -> Result<ModelId> {
    let schema = json!({
        "type": "object",
        "properties": {"cost_centre": {"type": "string", "pattern": "^CC-[0-9]{4}$"}},
    });
    let content = Model {
        portfolio_id: portfolio,
        name: "Prepared release".into(),
        description: Some("Begins with its boards, its checklists and its approval.".into()),
        icon: Some("clipboard-list".into()),
        status: ModelStatus::Active,
        is_default: false,
        workflow: "standard".into(),
        executor_group_id: Some(executor),
        executor_group_ids: Json::default(),
        contract_ids: Json::default(),
        release_type: ReleaseType::Significant,
        impact: Level::Medium,
        urgency: Level::Medium,
        risk: Level::Medium,
        calendar_id: None,
        approval_rule: Some(Json(ApprovalRule {
            kind: ApprovalKind::Any,
            quorum: None,
            percent: None,
            voters: vec![Voter { user_id: None, group_id: Some(approvers) }],
            requester_may_approve: false,
        })),
        activity_templates: Json(CARDS.iter().map(template).collect::<Result<_>>()?),
        checklist_template_ids: Json(checklists(context)?),
        custom_fields_schema: schema.as_object().cloned().map(Json),
        notify: Json(Notify { on_created: true, on_updated: false, on_closed: true }),
        asks_for: Json::default(),
    };
    Ok(catalogue::create(context, Ok(content))?.id)
}
