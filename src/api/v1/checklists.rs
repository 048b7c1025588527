//! `/releases/{release}/checklists`: what is asked before a stage is left, and the answers.

use actix_web::{delete, get, patch, post, put};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::checklist::Question;
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::checklists::{AnswerRow, CHECKLISTS_MAX, Checklist};
use crate::repository::releases::ReleaseRef;
use crate::service::checklists::{self, AnswerValue, ChecklistFields, NewAnswer, NewChecklist};
use crate::service::{MergePatch, ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_release_checklists)
        .service(add_checklist)
        .service(read_checklist)
        .service(update_checklist)
        .service(remove_checklist)
        .service(answer_question);
}

const READ_ONLY: &[&str] = &["id", "template_id", "confirmed", "answers", "row_version", "created_at", "updated_at"];

impl Checked for NewChecklist {
    const READ_ONLY: &'static [&'static str] = READ_ONLY;
}

impl Checked for ChecklistFields {
    const READ_ONLY: &'static [&'static str] = READ_ONLY;
}

impl Checked for NewAnswer {
    const READ_ONLY: &'static [&'static str] = &["question_key", "answered_by", "answered_at"];
}

/// The answer to a question.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"question_key": "backup", "value": true, "note": null, "answered_by": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f", "answered_at": "2030-11-21T09:30:00Z"}))]
pub struct ChecklistAnswer {
    /// Key of the question.
    pub question_key: String,
    /// The answer.
    #[schema(value_type = AnswerValue)]
    pub value: serde_json::Value,
    /// Words that go with it.
    pub note: Option<String>,
    /// Who answered.
    pub answered_by: UserId,
    /// When.
    pub answered_at: Timestamp,
}

impl From<AnswerRow> for ChecklistAnswer {
    fn from(row: AnswerRow) -> Self {
        Self {
            question_key: row.question_key,
            value: row.value.0,
            note: row.note,
            answered_by: row.answered_by,
            answered_at: row.answered_at,
        }
    }
}

/// A checklist of a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseChecklist {
    /// Identifier.
    pub id: ChecklistId,
    /// The template that it was made from.
    pub template_id: Option<ChecklistTemplateId>,
    /// Title.
    pub title: String,
    /// Key of the stage that it is bound to.
    pub stage: String,
    /// True where the stage is not left before it is confirmed, if the workflow asks for that.
    pub required: bool,
    /// What is asked.
    #[schema(max_items = 100)]
    pub questions: Vec<Question>,
    /// What was answered, by key of the question.
    #[schema(max_items = 100)]
    pub answers: Vec<ChecklistAnswer>,
    /// True where every required question is answered, and nothing that was to be confirmed was denied.
    pub confirmed: bool,
    /// Rises with every change of the checklist or of an answer.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<Checklist> for ReleaseChecklist {
    fn from(Checklist { row, answers }: Checklist) -> Self {
        Self {
            id: row.id,
            template_id: row.template_id,
            title: row.title,
            stage: row.stage,
            required: row.required,
            questions: row.questions.0,
            answers: answers.into_iter().map(ChecklistAnswer::from).collect(),
            confirmed: row.confirmed,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn shown(status: u16, checklist: Checklist) -> Result<Reply> {
    let (release, row_version) = (checklist.row.release_id, checklist.row.row_version);
    Ok(Reply::json(status, &ReleaseChecklist::from(checklist))?.version(row_version).about(release))
}

/// List the checklists of a release
///
/// All of them, oldest first, with their answers; a release has at most 30.
#[utoipa::path(tag = "Checklists", params(("release" = String, Path,)), responses((status = 200, body = Page<ReleaseChecklist>)))]
#[get("/releases/{release}/checklists")]
async fn list_release_checklists(call: Call) -> Answer {
    let path = call.clone();
    let place = |item: &ReleaseChecklist| item.id.to_string();
    call.whole(place, false, move |context| all(context, path.id("release", "release")?)).await
}

/// All of them, as the list shows them.
pub(super) fn all(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Page<ReleaseChecklist>> {
    Ok(paging::whole(checklists::list(context, release)?, CHECKLISTS_MAX))
}

/// Add a checklist to a release
///
/// From an active template, or freely with title, stage and questions. It is bound to the stage with that key, else to
/// the first of that kind.
#[utoipa::path(tag = "Checklists", params(("release" = String, Path,)), request_body = NewChecklist, responses((status = 201, body = ReleaseChecklist)))]
#[post("/releases/{release}/checklists")]
async fn add_checklist(call: Call, body: Body<Draft<NewChecklist>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let release: ReleaseRef = path.id("release", "release")?;
        let checklist = checklists::add(context, release, draft.clone())?;
        let location = format!("{BASE}/releases/{}/checklists/{}", checklist.row.release_id, checklist.row.id);
        Ok(shown(201, checklist)?.at(location))
    })
    .await
}

/// Read a checklist of a release
///
/// With its answers. Earlier answers are in the history of the release, under the identifier of the checklist.
#[utoipa::path(tag = "Checklists", params(("release" = String, Path,), ("id" = ChecklistId, Path,)), responses((status = 200, body = ReleaseChecklist)))]
#[get("/releases/{release}/checklists/{id}")]
async fn read_checklist(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        shown(200, checklists::read(context, path.id("release", "release")?, path.id("id", "checklist")?)?)
    })
    .await
}

/// Update a checklist of a release
///
/// Stage and questions change only before the first answer.
#[utoipa::path(
    tag = "Checklists",
    params(("release" = String, Path,), ("id" = ChecklistId, Path,)),
    request_body(content = PatchOf<ChecklistFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ReleaseChecklist))
)]
#[patch("/releases/{release}/checklists/{id}")]
async fn update_checklist(call: Call, body: Body<MergePatch<ChecklistFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        let release: ReleaseRef = path.id("release", "release")?;
        shown(200, checklists::patch(context, release, path.id("id", "checklist")?, patch)?)
    })
    .await
}

/// Remove a checklist from a release
///
/// Only one without answers: what was answered stays.
#[utoipa::path(tag = "Checklists", params(("release" = String, Path,), ("id" = ChecklistId, Path,)), responses((status = 204)))]
#[delete("/releases/{release}/checklists/{id}")]
async fn remove_checklist(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        checklists::remove(context, path.id("release", "release")?, path.id("id", "checklist")?)?;
        Ok(Reply::empty())
    })
    .await
}

/// Answer a question of a checklist
///
/// Or answer it anew. The answer carries who and when; the one before is in the history of the release, as
/// `release.answer_question` under the identifier of the checklist. An answer of another kind than is asked for is a
/// 422 that says what is expected. The whole checklist is the answer.
#[utoipa::path(
    tag = "Checklists",
    params(("release" = String, Path,), ("id" = ChecklistId, Path,), ("question_key" = String, Path, max_length = 50)),
    request_body = NewAnswer,
    responses((status = 200, body = ReleaseChecklist))
)]
#[put("/releases/{release}/checklists/{id}/answers/{question_key}")]
async fn answer_question(call: Call, body: Body<Draft<NewAnswer>>) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, draft| {
        let release: ReleaseRef = path.id("release", "release")?;
        let (id, key) = (path.id("id", "checklist")?, path.segment("question_key"));
        shown(200, checklists::answer(context, release, id, &key, draft.clone())?)
    })
    .await
}
