//! Checklists of a release: made from a template or freely, answered, and asked again (`domain.md` §5).
//!
//! Every answer, and every one that it replaces, is in the history of the release under the checklist's identifier.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::catalogue::document;
use super::releases::{active, forbidden, may_execute_in, standing_conflict, visible, visible_locked};
use super::{Error, MergePatch, ReadContext, Recorded, Result, WriteContext};
use crate::domain::checklist::{
    Question, is_confirmed, question_faults, stage_fault, stage_of, stages_from, unusable_template,
};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::audit::Stamp;
use crate::repository::checklists::{self, AnswerRow, CHECKLISTS_MAX, Checklist, ChecklistRow};
use crate::repository::contents::not_blank;
use crate::repository::nouns::{ChecklistTemplate, Model};
use crate::repository::releases::ReleaseRef;

/// A checklist to be made: from a template, or freely with title, stage and questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "title": "Before it goes to the users",
    "stage": "test",
    "questions": [{"key": "backup", "text": "Is there a backup of the database?", "kind": "confirm"}]
}))]
pub struct NewChecklist {
    /// The template; then title, stage and questions are its own, as they are now.
    #[serde(default)]
    pub template_id: Option<ChecklistTemplateId>,
    /// Title, without a template.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub title: Option<String>,
    /// Key or kind of the stage that it is bound to, without a template.
    #[schema(min_length = 1, max_length = 100)]
    #[serde(default)]
    pub stage: Option<String>,
    /// True where the stage is not left before it is confirmed, if the workflow asks for that. Default as the template
    /// says, else true.
    #[serde(default)]
    pub required: Option<bool>,
    /// What is asked, without a template.
    #[schema(max_items = 100)]
    #[serde(default)]
    pub questions: Vec<Question>,
}

impl NewChecklist {
    /// One of a template, as it is.
    pub const fn of(template: ChecklistTemplateId) -> Self {
        Self { template_id: Some(template), title: None, stage: None, required: None, questions: Vec::new() }
    }
}

/// What may be changed of a checklist; stage and questions only before the first answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Before it goes to all users"}))]
pub struct ChecklistFields {
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub title: String,
    /// Key or kind of the stage that it is bound to.
    #[schema(min_length = 1, max_length = 100)]
    pub stage: String,
    /// True where the stage is not left before it is confirmed, if the workflow asks for that.
    pub required: bool,
    /// What is asked.
    #[schema(min_items = 1, max_items = 100)]
    pub questions: Vec<Question>,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"value": true, "note": "Restored on the test system."}))]
pub struct NewAnswer {
    /// The answer: a boolean to confirm, a text, one of the options, or a number, as the question asks.
    #[schema(value_type = AnswerValue)]
    pub value: Value,
    /// Words that go with it.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub note: Option<String>,
}

/// What is answered: a boolean, a text or a number.
pub struct AnswerValue;

impl utoipa::PartialSchema for AnswerValue {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Boolean, Type::Number, Type::String]))
            .description(Some("A boolean, a text or a number, as the question asks."))
            .max_length(Some(crate::domain::checklist::ANSWER_LENGTH_MAX))
            .minimum(Some(-crate::domain::checklist::ANSWER_NUMBER_MAX))
            .maximum(Some(crate::domain::checklist::ANSWER_NUMBER_MAX))
            .examples([json!(true)])
            .into()
    }
}

impl ToSchema for AnswerValue {}

/// The checklists of a visible release, oldest first.
pub fn list(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Vec<Checklist>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    Ok(checklists::of_release(context.connection, release.id)?)
}

/// One checklist of a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, id: ChecklistId) -> Result<Checklist> {
    list(context, reference)?.into_iter().find(|checklist| checklist.row.id == id).ok_or(Error::NotFound("checklist"))
}

fn own(context: &mut WriteContext<'_>, release: &Release, id: ChecklistId) -> Result<Checklist> {
    checklists::of_release(context.connection, release.id)?
        .into_iter()
        .find(|checklist| checklist.row.id == id)
        .ok_or(Error::NotFound("checklist"))
}

/// The permit of somebody who may work on a checklist of the stage; without a stage, on one of any.
fn may_work(
    context: &mut WriteContext<'_>,
    release: &Release,
    workflow: &Workflow,
    stage: Option<&str>,
) -> Result<Permit> {
    let of_stage = workflow.stages.iter().filter(|one| stage.is_none_or(|stage| one.key == stage));
    may_execute_in(context, release, of_stage)
}

/// Whoever is asked does not take the question away: a required checklist that the model gives is removed, made optional
/// or asked otherwise by those alone who may override.
fn may_loosen(context: &mut WriteContext<'_>, release: &Release, row: &ChecklistRow) -> Result<()> {
    let model = context.reference::<Model>(release.model_id)?;
    let is_given = model
        .zip(row.template_id)
        .is_some_and(|(model, template)| model.content.checklist_template_ids.0.contains(&template));
    if row.required && is_given && !context.actor.may(Permission::Override, release.executor_group_id) {
        return Err(forbidden(Permission::Override));
    }
    Ok(())
}

/// The row of a checklist to be made, or what is wrong with it. `base` is the pointer to it.
pub fn new_row(
    context: &mut WriteContext<'_>,
    release: ReleaseId,
    workflow: &Workflow,
    new: &NewChecklist,
    base: &str,
) -> Result<Draft<ChecklistRow>> {
    let mut faults = Vec::new();
    let at = |field: &str| format!("{base}/{field}");
    let given =
        [("title", new.title.is_some()), ("stage", new.stage.is_some()), ("questions", !new.questions.is_empty())];
    let template = match new.template_id {
        Some(id) => match context.reference::<ChecklistTemplate>(id)? {
            None => return Ok(Err(vec![Fault::unknown(at("template_id"), "checklist template")])),
            Some(template) => Some(template.content.clone()),
        },
        None => None,
    };
    for (name, given) in given {
        if template.is_some() && given {
            faults.push(Fault::at(at(name), "NOT_APPLICABLE", "The template says this."));
        }
        if template.is_none() && !given {
            faults.push(Fault::at(at(name), "REQUIRED", "A checklist without a template needs this."));
        }
    }
    if let Some(template) = &template {
        faults.extend(unusable_template(template.active, &template.stage, workflow, &at("template_id")));
    }
    if template.is_none() && !new.questions.is_empty() {
        faults.extend(question_faults(&new.questions, &at("questions")));
    }
    let (title, stage, required, questions) = match template {
        Some(template) => (template.name, template.stage, template.required, template.questions),
        None => (
            new.title.clone().unwrap_or_default(),
            new.stage.clone().unwrap_or_default(),
            true,
            Json(new.questions.clone()),
        ),
    };
    let key = match new.template_id {
        Some(_) => stage_of(workflow, &stage).map(str::to_owned),
        None => known_stage(workflow, &stage, at("stage"), &mut faults),
    };
    let (Some(stage), true) = (key, faults.is_empty()) else {
        return Ok(Err(faults));
    };
    Ok(Ok(ChecklistRow {
        id: ChecklistId::new(context.env.new_id(context.now)),
        release_id: release,
        template_id: new.template_id,
        title,
        stage,
        required: new.required.unwrap_or(required),
        confirmed: is_confirmed(&questions.0, |_| None),
        questions,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    }))
}

fn known_stage(workflow: &Workflow, stage: &str, pointer: String, faults: &mut Vec<Fault>) -> Option<String> {
    if !stage.is_empty() {
        faults.extend(stage_fault(workflow, stage, &pointer));
    }
    stage_of(workflow, stage).map(str::to_owned)
}

/// The state of a checklist that history compares.
pub fn checklist_document(row: &ChecklistRow) -> Value {
    json!({
        "template_id": row.template_id,
        "title": row.title,
        "stage": row.stage,
        "required": row.required,
        "questions": row.questions,
    })
}

fn answer_document(answers: &[AnswerRow], confirmed: bool) -> Value {
    let answers: Map<String, Value> = answers
        .iter()
        .map(|answer| {
            let said = json!({
                "value": answer.value,
                "note": answer.note,
                "answered_by": answer.answered_by,
                "answered_at": answer.answered_at,
            });
            (answer.question_key.clone(), said)
        })
        .collect();
    json!({"answers": answers, "confirmed": confirmed})
}

fn recorded<'v>(row: &ChecklistRow, action: &str, before: Option<&'v Value>, after: Option<&'v Value>) -> Recorded<'v> {
    Recorded {
        record_type: "release",
        record_id: row.release_id.to_string(),
        subject: Some(("checklist", row.id.to_string())),
        action: action.into(),
        before,
        after,
        published: true,
    }
}

/// Adds a checklist.
pub fn add(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewChecklist>) -> Result<Checklist> {
    let release = visible_locked(context, reference)?;
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let wanted = draft.as_ref().ok().and_then(|new| new.stage.as_deref());
    let stage = wanted.and_then(|stage| stage_of(&workflow, stage));
    let mut permit = may_work(context, &release, &workflow, stage)?;
    active(context, &release)?;
    let new = draft.map_err(Error::Invalid)?;
    let row = new_row(context, release.id, &workflow, &new, "")?.map_err(Error::Invalid)?;
    if stage.is_none() {
        // Only the template tells for which stage.
        permit = may_work(context, &release, &workflow, Some(&row.stage))?;
    }
    let stored = checklists::of_release(context.connection, release.id)?;
    if i64::try_from(stored.len()).is_ok_and(|count| count >= CHECKLISTS_MAX) {
        let detail = format!("A release has at most {CHECKLISTS_MAX} checklists.");
        return Err(Error::conflict("LIMIT_REACHED", detail));
    }
    let after = checklist_document(&row);
    let change = recorded(&row, "release.add_checklist", None, Some(&after));
    let stamp = context.record(permit, &release.chain, change)?;
    checklists::insert(context.connection, &row, &stamp)?;
    Ok(Checklist { row, answers: Vec::new() })
}

/// Changes a checklist.
pub fn patch(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ChecklistId,
    patch: &MergePatch<ChecklistFields>,
) -> Result<Checklist> {
    let release = visible_locked(context, reference)?;
    let Checklist { row, answers } = own(context, &release, id)?;
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let permit = may_work(context, &release, &workflow, Some(&row.stage))?;
    context.request.if_match.demand(row.row_version)?;
    active(context, &release)?;
    let current = document(&ChecklistFields {
        title: row.title.clone(),
        stage: row.stage.clone(),
        required: row.required,
        questions: row.questions.0.clone(),
    })?;
    let fields = patch.apply(current).map_err(Error::Invalid)?;
    let mut faults = question_faults(&fields.questions, "/questions");
    let stage = known_stage(&workflow, &fields.stage, "/stage".into(), &mut faults);
    let changed: Vec<Fault> =
        [("/stage", stage.as_ref() != Some(&row.stage)), ("/questions", fields.questions != row.questions.0)]
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(pointer, _)| Fault::at(pointer, "CHECKLIST_ANSWERED", "This was answered as it is."))
            .collect();
    if !answers.is_empty() && !changed.is_empty() {
        let detail = "Stage and questions of a checklist change only before its first answer.".into();
        return Err(standing_conflict(context, &release, "CHECKLIST_ANSWERED", detail, changed));
    }
    Error::unless_none(faults)?;
    if !changed.is_empty() || fields.required != row.required {
        may_loosen(context, &release, &row)?;
    }
    let questions = Json(fields.questions);
    let after = ChecklistRow {
        title: fields.title,
        stage: stage.unwrap_or_else(|| row.stage.clone()),
        required: fields.required,
        confirmed: confirmed(&questions.0, &answers),
        questions,
        row_version: row.row_version + 1,
        updated_at: context.now,
        ..row.clone()
    };
    if after.stage != row.stage {
        may_work(context, &release, &workflow, Some(&after.stage))?;
    }
    let (old, new) = (checklist_document(&row), checklist_document(&after));
    if old == new {
        return Ok(Checklist { row, answers });
    }
    let change = recorded(&row, "release.update_checklist", Some(&old), Some(&new));
    let stamp = context.record(permit, &release.chain, change)?;
    checklists::update(context.connection, &after, &stamp)?;
    Ok(Checklist { row: after, answers })
}

fn confirmed(questions: &[Question], answers: &[AnswerRow]) -> bool {
    is_confirmed(questions, |key| {
        answers.iter().find(|answer| answer.question_key == key).map(|answer| &answer.value.0)
    })
}

/// Removes a checklist that holds no answer: what was answered stays.
pub fn remove(context: &mut WriteContext<'_>, reference: ReleaseRef, id: ChecklistId) -> Result<()> {
    let release = visible_locked(context, reference)?;
    let Checklist { row, answers } = own(context, &release, id)?;
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let permit = may_work(context, &release, &workflow, Some(&row.stage))?;
    may_loosen(context, &release, &row)?;
    context.request.if_match.demand(row.row_version)?;
    active(context, &release)?;
    if !answers.is_empty() {
        let detail = "A checklist that holds answers stays. Make it optional instead.".into();
        return Err(standing_conflict(context, &release, "CHECKLIST_ANSWERED", detail, Vec::new()));
    }
    let before = checklist_document(&row);
    let stamp =
        context.record(permit, &release.chain, recorded(&row, "release.remove_checklist", Some(&before), None))?;
    Ok(checklists::delete(context.connection, &row, &stamp)?)
}

/// Answers a question, or answers it anew. The same answer again changes nothing.
pub fn answer(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: ChecklistId,
    question_key: &str,
    draft: Draft<NewAnswer>,
) -> Result<Checklist> {
    let release = visible_locked(context, reference)?;
    let Checklist { row, mut answers } = own(context, &release, id)?;
    let question = row.questions.0.iter().find(|question| question.key == question_key);
    let question = question.ok_or(Error::NotFound("question"))?;
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let permit = may_work(context, &release, &workflow, Some(&row.stage))?;
    active(context, &release)?;
    let new = draft.map_err(Error::Invalid)?;
    Error::unless_none(question.answer_fault(&new.value).into_iter().collect())?;
    let known = answers.iter().position(|answer| answer.question_key == question_key);
    let same = |answer: &AnswerRow| answer.value.0 == new.value && answer.note == new.note;
    if known.is_some_and(|index| same(&answers[index])) {
        return Ok(Checklist { row, answers });
    }
    let answer = AnswerRow {
        checklist_id: row.id,
        question_key: question_key.to_owned(),
        value: Json(new.value),
        note: new.note,
        answered_by: context.actor.user_id,
        answered_at: context.now,
    };
    let before = known.map_or_else(Vec::new, |index| vec![answers[index].clone()]);
    let before = answer_document(&before, row.confirmed);
    match known {
        Some(index) => answers[index] = answer.clone(),
        None => answers.push(answer.clone()),
    }
    answers.sort_by(|a, b| a.question_key.cmp(&b.question_key));
    let after_row = ChecklistRow {
        confirmed: confirmed(&row.questions.0, &answers),
        row_version: row.row_version + 1,
        updated_at: context.now,
        ..row.clone()
    };
    let after = answer_document(std::slice::from_ref(&answer), after_row.confirmed);
    let change = recorded(&row, "release.answer_question", Some(&before), Some(&after));
    let stamp = context.record(permit, &release.chain, change)?;
    checklists::store_answer(context.connection, &answer, known.is_none(), &stamp)?;
    checklists::update(context.connection, &after_row, &stamp)?;
    Ok(Checklist { row: after_row, answers })
}

/// A reopened release is asked again what was answered from the return stage on. The answers are in its history.
/// Answers the stamp to store where there were any.
pub fn ask_again(
    context: &mut WriteContext<'_>,
    permit: Permit,
    workflow: &Workflow,
    release: &Release,
    stamp: &Stamp,
) -> Result<Option<Stamp>> {
    let stages = stages_from(workflow, &release.stage);
    let mut answered = checklists::of_release(context.connection, release.id)?;
    answered.retain(|checklist| !checklist.answers.is_empty() && stages.contains(&checklist.row.stage));
    let mut last: Option<Stamp> = None;
    let mut cleared = Vec::with_capacity(answered.len());
    for Checklist { row, answers } in &answered {
        let without = confirmed(&row.questions.0, &[]);
        let (before, after) = (answer_document(answers, row.confirmed), answer_document(&[], without));
        let change = recorded(row, "release.ask_checklist_again", Some(&before), Some(&after));
        let head = last.as_ref().unwrap_or(stamp).head().clone();
        last = Some(context.record(permit, &head, change)?);
        cleared.push((row.id, without));
    }
    if let Some(stamp) = &last {
        let now = context.now;
        checklists::clear_answers(context.connection, &cleared, now, stamp)?;
    }
    Ok(last)
}
