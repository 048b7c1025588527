//! `/releases/{release}/activities` and `/releases/{release}/boards`: what is to be done, and how far it has come.

use actix_web::{get, patch, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::reference::PatchOf;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::activity::{CardFacts, ChecklistItem, Counters, Progress};
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::activities::{LIST, sort_value};
use crate::repository::boards::Card;
use crate::repository::listing::ListQuery;
use crate::repository::releases::ReleaseRef;
use crate::service::activities::{self, Board, Shown};
use crate::service::activity_input::{ActivityFields, Move, NewActivity};
use crate::service::release_input::Tag;
use crate::service::{self, MergePatch, ReadContext, Reply};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_activities)
        .service(create_activity)
        .service(read_activity)
        .service(update_activity)
        .service(move_activity)
        .service(archive_activity)
        .service(unarchive_activity)
        .service(read_board);
}

const READ_ONLY: &[&str] = &[
    "id",
    "release_id",
    "phase",
    "status",
    "position",
    "minutes_spent",
    "comment_count",
    "overdue",
    "done_by",
    "done_at",
    "started_at",
    "finished_at",
    "archived_at",
    "row_version",
    "created_at",
    "created_by",
    "updated_at",
];

impl Checked for NewActivity {
    const READ_ONLY: &'static [&'static str] = READ_ONLY;
}

impl Checked for ActivityFields {
    const READ_ONLY: &'static [&'static str] = READ_ONLY;
}

impl Checked for Move {}

/// An activity of a release: a card on one of its boards.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Activity {
    /// Identifier.
    pub id: ActivityId,
    /// The release.
    pub release_id: ReleaseId,
    /// The board.
    pub phase: ActivityPhase,
    /// The column; only `move` changes it.
    pub status: ActivityStatus,
    /// Sorts the activities of a release by board, column and place in it. Opaque; it may change by itself when other
    /// cards of the column are moved.
    pub position: String,
    /// Title.
    pub title: String,
    /// What is to be done.
    pub description: Option<String>,
    /// Kind.
    pub kind: ActivityKind,
    /// The user who is to do it.
    pub assignee_id: Option<UserId>,
    /// The group that is to do it.
    pub group_id: Option<GroupId>,
    /// How it is to be done.
    pub technical_guidelines: Option<String>,
    /// When it is to begin.
    pub scheduled_start: Option<Timestamp>,
    /// When it is to be finished.
    pub due_at: Option<Timestamp>,
    /// True where it is not finished though it was due.
    pub overdue: bool,
    /// How long it is to take.
    pub estimated_minutes: Option<i64>,
    /// The sum of its time entries.
    pub minutes_spent: i64,
    /// Its checklist.
    pub checklist: Vec<ChecklistItem>,
    /// Activities that are done or skipped before this one is done.
    pub depends_on: Vec<ActivityId>,
    /// Tags.
    #[schema(value_type = Vec<Tag>)]
    pub tags: Vec<String>,
    /// The number of its comments.
    pub comment_count: i64,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it was done or skipped.
    pub finished_at: Option<Timestamp>,
    /// When it was archived; what is archived counts nowhere.
    pub archived_at: Option<Timestamp>,
    /// Rises with every change of its own fields, its column or its place.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: UserId,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<Shown> for Activity {
    fn from(shown: Shown) -> Self {
        let Shown { row, depends_on, now } = shown;
        let facts = CardFacts { status: row.status, due_at: row.due_at, estimated_minutes: row.estimated_minutes };
        Self {
            overdue: row.archived_at.is_none() && facts.is_overdue(now),
            id: row.id,
            release_id: row.release_id,
            phase: row.phase,
            status: row.status,
            position: row.position,
            title: row.title,
            description: row.description,
            kind: row.kind,
            assignee_id: row.assignee_id,
            group_id: row.group_id,
            technical_guidelines: row.technical_guidelines,
            scheduled_start: row.scheduled_start,
            due_at: row.due_at,
            estimated_minutes: row.estimated_minutes,
            minutes_spent: row.minutes_spent,
            checklist: row.checklist.0,
            depends_on,
            tags: row.tags.0,
            comment_count: row.comment_count,
            started_at: row.started_at,
            finished_at: row.finished_at,
            archived_at: row.archived_at,
            row_version: row.row_version,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
        }
    }
}

fn answered(status: u16, shown: Shown) -> service::Result<Reply> {
    let (release, row_version) = (shown.row.release_id, shown.row.row_version);
    Ok(Reply::json(status, &Activity::from(shown))?.version(row_version).about(release))
}

/// List the activities of a release
///
/// Of both boards, and without those that are archived unless these are asked for. A release has at most 1 000 activities
/// that are not archived, and 5 000 with those that are.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,)), responses((status = 200, body = Page<Activity>)))]
#[get("/releases/{release}/activities")]
async fn list_activities(call: Call) -> Answer {
    let path = call.clone();
    call.list(&LIST, &["release_id"], move |context, query| {
        paging::shown(&path, &page(context, path.id("release", "release")?, &query)?)
    })
    .await
}

/// A page of them, as the list shows it.
pub(super) fn page(
    context: &mut ReadContext<'_>,
    release: ReleaseRef,
    query: &ListQuery,
) -> service::Result<Page<Activity>> {
    let rows = activities::list(context, release, query.clone())?;
    Ok(paging::page(&LIST, query, rows, Activity::from, |shown, sort| {
        (sort_value(&shown.row, sort), shown.row.id.to_string())
    }))
}

/// Add an activity to a release
///
/// It begins as `todo`, at the end of that column. Deployment activities may be planned at any time.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,)), request_body = NewActivity, responses((status = 201, body = Activity)))]
#[post("/releases/{release}/activities")]
async fn create_activity(call: Call, body: Body<Draft<NewActivity>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let reference: ReleaseRef = path.id("release", "release")?;
        let shown = activities::create(context, reference, draft.clone())?;
        let location = format!("{BASE}/releases/{}/activities/{}", shown.row.release_id, shown.row.id);
        Ok(answered(201, shown)?.at(location))
    })
    .await
}

/// Read an activity
///
/// Archived or not.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,), ("id" = ActivityId, Path,)), responses((status = 200, body = Activity)))]
#[get("/releases/{release}/activities/{id}")]
async fn read_activity(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        answered(200, activities::read(context, path.id("release", "release")?, path.id("id", "activity")?)?)
    })
    .await
}

/// Update an activity
///
/// A JSON merge patch. The checklist is replaced as a whole; items keep their identity by their `id`. The column
/// changes by `move`.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,)),
    request_body(content = PatchOf<ActivityFields>, content_type = "application/merge-patch+json"),
    responses((status = 200, body = Activity))
)]
#[patch("/releases/{release}/activities/{id}")]
async fn update_activity(call: Call, body: Body<MergePatch<ActivityFields>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, patch| {
        answered(200, activities::patch(context, path.id("release", "release")?, path.id("id", "activity")?, patch)?)
    })
    .await
}

/// Move an activity on its board
///
/// Within its column or to another one, behind a card of that column or to its head. A deployment activity begins once
/// the stages before deployment are left; nothing is done before what it depends on is done or skipped.
#[utoipa::path(
    tag = "Activities",
    params(("release" = String, Path,), ("id" = ActivityId, Path,)),
    request_body = Move,
    responses((status = 200, body = Activity))
)]
#[post("/releases/{release}/activities/{id}/move")]
async fn move_activity(call: Call, body: Body<Draft<Move>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let (release, id) = (path.id("release", "release")?, path.id("id", "activity")?);
        answered(200, activities::move_to(context, release, id, draft.clone())?)
    })
    .await
}

/// Archive an activity
///
/// It leaves its board and counts nowhere, neither for gates nor for what depends on it. It keeps its history.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,), ("id" = ActivityId, Path,)), responses((status = 200, body = Activity)))]
#[post("/releases/{release}/activities/{id}/archive")]
async fn archive_activity(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, _| {
        answered(200, activities::archive(context, path.id("release", "release")?, path.id("id", "activity")?)?)
    })
    .await
}

/// Unarchive an activity
///
/// It comes back to the end of its column.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,), ("id" = ActivityId, Path,)), responses((status = 200, body = Activity)))]
#[post("/releases/{release}/activities/{id}/unarchive")]
async fn unarchive_activity(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, _| {
        answered(200, activities::unarchive(context, path.id("release", "release")?, path.id("id", "activity")?)?)
    })
    .await
}

/// An activity as its board shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityCard {
    /// Identifier of the activity.
    pub id: ActivityId,
    /// Title.
    pub title: String,
    /// Kind.
    pub kind: ActivityKind,
    /// The user who is to do it.
    pub assignee_id: Option<UserId>,
    /// Their name.
    pub assignee_name: Option<String>,
    /// The group that is to do it.
    pub group_id: Option<GroupId>,
    /// Its name.
    pub group_name: Option<String>,
    /// When it is to begin.
    pub scheduled_start: Option<Timestamp>,
    /// When it is to be finished.
    pub due_at: Option<Timestamp>,
    /// True where it is not finished though it was due.
    pub overdue: bool,
    /// How long it is to take.
    pub estimated_minutes: Option<i64>,
    /// The sum of its time entries.
    pub minutes_spent: i64,
    /// Items of its checklist that are done.
    pub checklist_done: i64,
    /// Items of its checklist.
    pub checklist_total: i64,
    /// The number of its comments.
    pub comment_count: i64,
    /// How many activities that it depends on are neither done nor skipped.
    pub waiting_for: i64,
    /// Tags.
    #[schema(value_type = Vec<Tag>)]
    pub tags: Vec<String>,
    /// Version of the activity.
    pub row_version: i64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A column of a board.
#[derive(Debug, Serialize, ToSchema)]
pub struct BoardColumn {
    /// The status of its cards.
    pub status: ActivityStatus,
    /// The cards, in order.
    pub cards: Vec<ActivityCard>,
}

/// A board of a release.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityBoard {
    /// The release.
    pub release_id: ReleaseId,
    /// The phase.
    pub phase: ActivityPhase,
    /// The columns, in order.
    pub columns: Vec<BoardColumn>,
    /// How far it has come.
    pub progress: Progress,
    /// What is late, and what is not.
    pub counters: Counters,
    /// Rises with every change of the release and of what belongs to it.
    pub row_version: i64,
}

fn board_shown(board: Board, phase: ActivityPhase) -> ActivityBoard {
    let now = board.now;
    let mut columns: Vec<BoardColumn> =
        ActivityStatus::ALL.iter().map(|status| BoardColumn { status: *status, cards: Vec::new() }).collect();
    for card in board.cards {
        if let Some(column) = columns.iter_mut().find(|column| column.status == card.status) {
            column.cards.push(card_shown(card, now));
        }
    }
    ActivityBoard {
        release_id: board.release.id,
        phase,
        columns,
        progress: board.progress,
        counters: board.counters,
        row_version: board.release.chain.length,
    }
}

fn card_shown(card: Card, now: Timestamp) -> ActivityCard {
    let facts = CardFacts { status: card.status, due_at: card.due_at, estimated_minutes: card.estimated_minutes };
    ActivityCard {
        overdue: facts.is_overdue(now),
        id: card.id,
        title: card.title,
        kind: card.kind,
        assignee_id: card.assignee_id,
        assignee_name: card.assignee_name,
        group_id: card.group_id,
        group_name: card.group_name,
        scheduled_start: card.scheduled_start,
        due_at: card.due_at,
        estimated_minutes: card.estimated_minutes,
        minutes_spent: card.minutes_spent,
        checklist_done: card.checklist_done,
        checklist_total: card.checklist_total,
        comment_count: card.comment_count,
        waiting_for: card.waiting_for,
        tags: card.tags.0,
        row_version: card.row_version,
        updated_at: card.updated_at,
    }
}

/// Read a board of a release
///
/// Its columns with their cards in order, how far it has come, and what is late. Two statements, whatever there is on it.
#[utoipa::path(tag = "Activities", params(("release" = String, Path,), ("phase" = ActivityPhase, Path,)), responses((status = 200, body = ActivityBoard)))]
#[get("/releases/{release}/boards/{phase}")]
async fn read_board(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        let reference: ReleaseRef = path.id("release", "release")?;
        let phase: ActivityPhase = path.id("phase", "board")?;
        let board = activities::board(context, reference, phase)?;
        let (release, row_version) = (board.release.id, board.release.chain.length);
        Ok(Reply::json(200, &board_shown(board, phase))?.version(row_version).about(release))
    })
    .await
}
