//! Checklists of releases, and the answers to their questions.

use std::collections::HashMap;

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::releases::move_chain;
use super::schema::{checklist_answers, release_checklists};
use crate::domain::checklist::Question;
use crate::domain::values::{ChecklistId, ChecklistTemplateId, Json, ReleaseId, Timestamp, UserId};

/// A release has at most so many checklists; the list answers them all.
pub const CHECKLISTS_MAX: i64 = 30;

/// A checklist of a release.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = release_checklists, treat_none_as_default_value = false)]
pub struct ChecklistRow {
    /// Identifier.
    pub id: ChecklistId,
    /// The release.
    pub release_id: ReleaseId,
    /// The template that it was made from.
    pub template_id: Option<ChecklistTemplateId>,
    /// Title.
    pub title: String,
    /// Key of the stage that it is bound to.
    pub stage: String,
    /// Whether the stage waits for it.
    pub required: bool,
    /// What is asked.
    pub questions: Json<Vec<Question>>,
    /// Whether it is confirmed.
    pub confirmed: bool,
    /// Rises with every change of the checklist or an answer.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The answer to one question.
#[derive(Debug, Clone, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = checklist_answers, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct AnswerRow {
    /// The checklist.
    pub checklist_id: ChecklistId,
    /// Key of the question.
    pub question_key: String,
    /// The answer.
    pub value: Json<serde_json::Value>,
    /// Words that go with it.
    pub note: Option<String>,
    /// Who answered.
    pub answered_by: UserId,
    /// When.
    pub answered_at: Timestamp,
}

/// A checklist with its answers.
#[derive(Debug, Clone)]
pub struct Checklist {
    /// The checklist.
    pub row: ChecklistRow,
    /// The answers, by key of the question.
    pub answers: Vec<AnswerRow>,
}

impl Checklist {
    /// The answer to a question.
    pub fn answer(&self, key: &str) -> Option<&AnswerRow> {
        self.answers.iter().find(|answer| answer.question_key == key)
    }
}

/// The checklists of a release, oldest first.
pub fn of_release(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<Checklist>, Error> {
    let rows: Vec<ChecklistRow> = release_checklists::table
        .filter(release_checklists::release_id.eq(release))
        .order(release_checklists::id.asc())
        .load(connection)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let answers: Vec<AnswerRow> = checklist_answers::table
        .inner_join(release_checklists::table)
        .filter(release_checklists::release_id.eq(release))
        .order((checklist_answers::checklist_id.asc(), checklist_answers::question_key.asc()))
        .select(checklist_answers::all_columns)
        .load(connection)?;
    let mut by_checklist: HashMap<ChecklistId, Vec<AnswerRow>> = HashMap::new();
    for answer in answers {
        by_checklist.entry(answer.checklist_id).or_default().push(answer);
    }
    Ok(rows
        .into_iter()
        .map(|row| Checklist { answers: by_checklist.remove(&row.id).unwrap_or_default(), row })
        .collect())
}

/// Stores checklists of a release that is being made, whose chain moves with the release itself.
pub fn insert_first(connection: &mut AnyConnection, rows: &[ChecklistRow], _stamp: &Stamp) -> Result<(), Error> {
    on_either!(connection, own => diesel::insert_into(release_checklists::table).values(rows).execute(own))?;
    Ok(())
}

/// Stores a checklist; the stamp goes to the release's chain.
pub fn insert(connection: &mut AnyConnection, row: &ChecklistRow, stamp: &Stamp) -> Result<(), Error> {
    diesel::insert_into(release_checklists::table).values(row).execute(connection)?;
    move_chain(connection, row.release_id, stamp)
}

/// Stores a changed checklist over the version before it; [`Error::Stale`] where that is not there.
pub fn update(connection: &mut AnyConnection, row: &ChecklistRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_checklists, row.id, row.row_version - 1))
        .set((
            release_checklists::title.eq(&row.title),
            release_checklists::stage.eq(&row.stage),
            release_checklists::required.eq(row.required),
            release_checklists::questions.eq(&row.questions),
            release_checklists::confirmed.eq(row.confirmed),
            release_checklists::row_version.eq(row.row_version),
            release_checklists::updated_at.eq(row.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)?;
    move_chain(connection, row.release_id, stamp)
}

/// Removes a checklist without answers; [`Error::Stale`] where this version is not there.
pub fn delete(connection: &mut AnyConnection, row: &ChecklistRow, stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::delete(of_version!(release_checklists, row.id, row.row_version)).execute(connection)?;
    one_row(hit)?;
    move_chain(connection, row.release_id, stamp)
}

/// Stores an answer, in place of the one before.
pub fn store_answer(
    connection: &mut AnyConnection,
    answer: &AnswerRow,
    is_new: bool,
    _stamp: &Stamp,
) -> Result<(), Error> {
    if is_new {
        diesel::insert_into(checklist_answers::table).values(answer).execute(connection)?;
    } else {
        diesel::update(checklist_answers::table.find((answer.checklist_id, &answer.question_key)))
            .set(answer)
            .execute(connection)?;
    }
    Ok(())
}

/// Asks checklists again: their answers go, and each is confirmed as far as it is without any.
pub fn clear_answers(
    connection: &mut AnyConnection,
    checklists: &[(ChecklistId, bool)],
    now: Timestamp,
    _stamp: &Stamp,
) -> Result<(), Error> {
    let ids: Vec<ChecklistId> = checklists.iter().map(|(id, _)| *id).collect();
    diesel::delete(checklist_answers::table.filter(checklist_answers::checklist_id.eq_any(&ids)))
        .execute(connection)?;
    for confirmed in [false, true] {
        let ids: Vec<ChecklistId> =
            checklists.iter().filter(|(_, without)| *without == confirmed).map(|(id, _)| *id).collect();
        if ids.is_empty() {
            continue;
        }
        diesel::update(release_checklists::table.filter(release_checklists::id.eq_any(&ids)))
            .set((
                release_checklists::confirmed.eq(confirmed),
                release_checklists::row_version.eq(release_checklists::row_version + 1),
                release_checklists::updated_at.eq(now),
            ))
            .execute(connection)?;
    }
    Ok(())
}
