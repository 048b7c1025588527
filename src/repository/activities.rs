//! Activities of releases: rows, lists, the order of their columns, and what they depend on.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::AnyConnection;
use super::error::{Error, one_row};
use super::journal::Journal;
use super::listing::{Filter, Ids, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue};
use super::pages;
use super::release_row::folded;
use super::releases::{VisibilityRow, move_chain};
use super::schema::{activities, activity_dependencies, activity_tags, group_members, release_visibility, users};
use crate::domain::activity::{ChecklistItem, Neighbour, principals};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// A release has at most so many activities that are not archived.
pub const ACTIVITIES_MAX: i64 = 1_000;
/// A release has at most so many activities, archived ones included.
pub const ACTIVITIES_WITH_ARCHIVED_MAX: i64 = 5_000;
/// A gate names at most so many open activities of a release.
pub const OPEN_NAMED_MAX: usize = 20;

/// An activity.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = activities, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct ActivityRow {
    /// Identifier.
    pub id: ActivityId,
    /// The release.
    pub release_id: ReleaseId,
    /// The board.
    pub phase: ActivityPhase,
    /// The column.
    pub status: ActivityStatus,
    /// Sorts the activities of the release by board, column and place in it.
    pub position: String,
    /// Title.
    pub title: String,
    /// Title, as it is searched.
    pub title_folded: String,
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
    /// How long it is to take.
    pub estimated_minutes: Option<i64>,
    /// The sum of its time entries.
    pub minutes_spent: i64,
    /// The number of its comments.
    pub comment_count: i64,
    /// Its checklist.
    pub checklist: Json<Vec<ChecklistItem>>,
    /// How many items of its checklist are done.
    pub checklist_done: i64,
    /// How many items its checklist has.
    pub checklist_total: i64,
    /// Tags.
    pub tags: Json<Vec<String>>,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it was done or skipped.
    pub finished_at: Option<Timestamp>,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: UserId,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What may be said of an activity, and is kept as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
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
    /// How long it is to take.
    pub estimated_minutes: Option<i64>,
    /// Its checklist.
    pub checklist: Vec<ChecklistItem>,
    /// Tags.
    pub tags: Vec<String>,
}

fn counted(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

impl ActivityRow {
    /// A fresh activity, not stored yet.
    pub fn fresh(
        id: ActivityId,
        release_id: ReleaseId,
        phase: ActivityPhase,
        key: &str,
        content: Content,
        (created_by, now): (UserId, Timestamp),
    ) -> Self {
        let status = ActivityStatus::Todo;
        let empty = Self {
            id,
            release_id,
            phase,
            status,
            position: position(phase, status, key),
            title: String::new(),
            title_folded: String::new(),
            description: None,
            kind: content.kind,
            assignee_id: None,
            group_id: None,
            technical_guidelines: None,
            scheduled_start: None,
            due_at: None,
            estimated_minutes: None,
            minutes_spent: 0,
            comment_count: 0,
            checklist: Json(Vec::new()),
            checklist_done: 0,
            checklist_total: 0,
            tags: Json(Vec::new()),
            started_at: None,
            finished_at: None,
            archived_at: None,
            row_version: 1,
            created_at: now,
            created_by,
            updated_at: now,
        };
        empty.with(content)
    }

    /// The same activity with other content.
    #[must_use]
    pub fn with(self, content: Content) -> Self {
        Self {
            title_folded: folded(&content.title),
            title: content.title,
            description: content.description,
            kind: content.kind,
            assignee_id: content.assignee_id,
            group_id: content.group_id,
            technical_guidelines: content.technical_guidelines,
            scheduled_start: content.scheduled_start,
            due_at: content.due_at,
            estimated_minutes: content.estimated_minutes,
            checklist_done: counted(content.checklist.iter().filter(|item| item.done).count()),
            checklist_total: counted(content.checklist.len()),
            checklist: Json(content.checklist),
            tags: Json(content.tags),
            ..self
        }
    }

    /// The same activity in a column, under a key.
    #[must_use]
    pub fn placed(self, status: ActivityStatus, key: &str) -> Self {
        Self { status, position: position(self.phase, status, key), ..self }
    }

    /// Why a release is visible to whom the activity is given.
    fn visibility(&self) -> Vec<VisibilityRow> {
        let principals =
            if self.archived_at.is_none() { principals(self.assignee_id, self.group_id) } else { Vec::new() };
        let reason = format!("activity:{}", self.id);
        principals
            .into_iter()
            .map(|principal| VisibilityRow::by_item(self.release_id, principal, reason.clone()))
            .collect()
    }
}

/// The order over a whole release: planning before deployment, columns from left to right, then the key.
fn position(phase: ActivityPhase, status: ActivityStatus, key: &str) -> String {
    let board = match phase {
        ActivityPhase::Planning => '1',
        ActivityPhase::Deployment => '2',
    };
    let column = match status {
        ActivityStatus::Todo => '1',
        ActivityStatus::InProgress => '2',
        ActivityStatus::Done => '3',
        ActivityStatus::Skipped => '4',
    };
    format!("{board}{column}{key}")
}

/// The key within its column.
fn key_of(position: &str) -> &str {
    position.get(2..).unwrap_or_default()
}

/// A tag of an activity.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = activity_tags, treat_none_as_default_value = false)]
pub struct TagRow {
    activity_id: ActivityId,
    tag: String,
}

/// What an activity depends on.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = activity_dependencies, treat_none_as_default_value = false)]
pub struct DependencyRow {
    activity_id: ActivityId,
    depends_on_id: ActivityId,
    release_id: ReleaseId,
}

const fn column(name: &'static str, kind: Kind, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind, sql: Sql::Column(sql), doc }
}

const fn from(name: &'static str, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind: Kind::Instant, sql: Sql::From(sql), doc }
}

const fn to(name: &'static str, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind: Kind::Instant, sql: Sql::Before(sql), doc }
}

/// The activities of one release.
pub const LIST: ListSpec = ListSpec {
    name: "activities",
    from: "activities",
    id: "activities.id",
    filters: &[
        column("release_id", Kind::Id, "activities.release_id", ""),
        Filter {
            name: "archived",
            kind: Kind::Boolean,
            sql: Sql::Flag { yes: "activities.archived_at IS NOT NULL", no: "activities.archived_at IS NULL" },
            doc: "Those that are archived, or those that are not. Without it, those that are not.",
        },
        Filter {
            name: "q",
            kind: Kind::Prefix { max_length: 200 },
            sql: Sql::Search { prefixes: &["activities.title_folded"], number: None },
            doc: "Those whose title starts with this, without regard to case.",
        },
        column("phase", Kind::OneOf(ActivityPhase::NAMES), "activities.phase", "Those on one of these boards."),
        column("status", Kind::OneOf(ActivityStatus::NAMES), "activities.status", "Those in one of these columns."),
        column("kind", Kind::OneOf(ActivityKind::NAMES), "activities.kind", "Those of one of these kinds."),
        column("assignee", Kind::Id, "activities.assignee_id", "Those that one of these users is to do."),
        column("group", Kind::Id, "activities.group_id", "Those that one of these groups is to do."),
        Filter {
            name: "tag",
            kind: Kind::Text { max_length: 50 },
            sql: Sql::Exists(
                "EXISTS (SELECT 1 FROM activity_tags t WHERE t.activity_id = activities.id AND t.tag IN (",
                "))",
            ),
            doc: "Those with one of these tags.",
        },
        Filter {
            name: "overdue",
            kind: Kind::Boolean,
            sql: Sql::Flag {
                yes: "(activities.due_at < ? AND activities.status IN ('todo', 'in_progress'))",
                no: "(activities.due_at IS NULL OR activities.due_at >= ? OR activities.status IN ('done', 'skipped'))",
            },
            doc: "Those that are not finished and past their due date, or all others.",
        },
        from("due_from", "activities.due_at", "Due at this instant or later."),
        to("due_to", "activities.due_at", "Due before this instant."),
        from("scheduled_from", "activities.scheduled_start", "Scheduled to begin at this instant or later."),
        to("scheduled_to", "activities.scheduled_start", "Scheduled to begin before this instant."),
    ],
    sorts: &[
        Sort { name: "position", column: "activities.position", kind: SortKind::Text },
        Sort { name: "due_at", column: "coalesce(activities.due_at, '9999-12-31 00:00:00')", kind: SortKind::Instant },
        Sort {
            name: "scheduled_start",
            column: "coalesce(activities.scheduled_start, '9999-12-31 00:00:00')",
            kind: SortKind::Instant,
        },
        Sort { name: "created_at", column: "activities.created_at", kind: SortKind::Instant },
    ],
    default_sort: "position",
};

/// The value that an activity is sorted by; those without an instant come as if it were the end of time.
pub fn sort_value(row: &ActivityRow, sort: &str) -> SqlValue {
    let or_never = |at: Option<Timestamp>| {
        SqlValue::Instant(at.or_else(|| "9999-12-31T00:00:00Z".parse().ok()).unwrap_or(row.created_at))
    };
    match sort {
        "due_at" => or_never(row.due_at),
        "scheduled_start" => or_never(row.scheduled_start),
        "created_at" => SqlValue::Instant(row.created_at),
        _ => SqlValue::Text(row.position.clone()),
    }
}

/// Answers a page of activities.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<ActivityRow>, Error> {
    pages::page(connection, activities::all_columns, &LIST, query, &Visibility::Everything, now)
}

/// Finds an activity of a release.
pub fn find(connection: &mut AnyConnection, release: ReleaseId, id: ActivityId) -> Result<Option<ActivityRow>, Error> {
    let found = activities::table.filter(activities::id.eq(id)).filter(activities::release_id.eq(release));
    Ok(found.first(connection).optional()?)
}

/// Which of these are activities of the release, and whether each is archived.
pub fn among(
    connection: &mut AnyConnection,
    release: ReleaseId,
    ids: &[ActivityId],
) -> Result<HashMap<ActivityId, (Neighbour, bool)>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(ActivityId, String, ActivityStatus, Option<Timestamp>)> = activities::table
        .filter(activities::release_id.eq(release))
        .filter(activities::id.eq_any(ids))
        .select((activities::id, activities::title, activities::status, activities::archived_at))
        .load(connection)?;
    Ok(rows
        .into_iter()
        .map(|(id, title, status, archived_at)| (id, (Neighbour { id, title, status }, archived_at.is_some())))
        .collect())
}

/// How many activities a release has: not archived, and in all.
pub fn counts(connection: &mut AnyConnection, release: ReleaseId) -> Result<(i64, i64), Error> {
    let of_release = activities::table.filter(activities::release_id.eq(release));
    let current = of_release.filter(activities::archived_at.is_null()).count().get_result(connection)?;
    Ok((current, of_release.count().get_result(connection)?))
}

/// The cards of a column, in order: their identifiers and keys.
pub fn cards_of_column(
    connection: &mut AnyConnection,
    release: ReleaseId,
    phase: ActivityPhase,
    status: ActivityStatus,
) -> Result<Vec<(ActivityId, String)>, Error> {
    let rows: Vec<(ActivityId, String)> = activities::table
        .filter(activities::release_id.eq(release))
        .filter(activities::archived_at.is_null())
        .filter(activities::phase.eq(phase))
        .filter(activities::status.eq(status))
        .order(activities::position.asc())
        .select((activities::id, activities::position))
        .load(connection)?;
    Ok(rows.into_iter().map(|(id, position)| (id, key_of(&position).to_owned())).collect())
}

/// Stores new activities, which depend on what is given with each. The chain moves with the stamp where they are
/// added, and with the release itself where that is just being made.
pub fn insert(journal: &mut Journal, rows: &[(ActivityRow, Vec<ActivityId>)], _stamp: &Stamp) {
    for (row, _) in rows {
        journal.activity(row.clone());
    }
    for (row, depends_on) in rows {
        for visibility in row.visibility() {
            journal.visibility(visibility);
        }
        for tag in &row.tags.0 {
            journal.activity_tag(TagRow { activity_id: row.id, tag: tag.clone() });
        }
        for depends_on_id in depends_on {
            journal.activity_dependency(dependency(row, *depends_on_id));
        }
    }
}

const fn dependency(row: &ActivityRow, depends_on_id: ActivityId) -> DependencyRow {
    DependencyRow { activity_id: row.id, depends_on_id, release_id: row.release_id }
}

/// Stores a changed activity over the version before it, with what it depends on where that changes;
/// [`Error::Stale`] where that version is not there. `swept` gives other cards of its column new keys.
pub fn update(
    connection: &mut AnyConnection,
    journal: &mut Journal,
    before: &ActivityRow,
    after: &ActivityRow,
    depends_on: Option<&[ActivityId]>,
    swept: &[(ActivityId, String)],
    stamp: &Stamp,
) -> Result<(), Error> {
    let hit = diesel::update(of_version!(activities, after.id, before.row_version)).set(after).execute(connection)?;
    one_row(hit)?;
    write_keys(connection, after, swept)?;
    let (old, new) = (before.visibility(), after.visibility());
    if principals(before.assignee_id, before.group_id) != principals(after.assignee_id, after.group_id)
        || old.len() != new.len()
    {
        for row in &old {
            diesel::delete(
                release_visibility::table
                    .filter(release_visibility::release_id.eq(row.release_id))
                    .filter(release_visibility::principal.eq(&row.principal))
                    .filter(release_visibility::reason.eq(&row.reason)),
            )
            .execute(connection)?;
        }
        for row in new {
            journal.visibility(row);
        }
    }
    if before.tags != after.tags {
        diesel::delete(activity_tags::table.filter(activity_tags::activity_id.eq(after.id))).execute(connection)?;
        for tag in &after.tags.0 {
            journal.activity_tag(TagRow { activity_id: after.id, tag: tag.clone() });
        }
    }
    if let Some(depends_on) = depends_on {
        diesel::delete(activity_dependencies::table.filter(activity_dependencies::activity_id.eq(after.id)))
            .execute(connection)?;
        for depends_on_id in depends_on {
            journal.activity_dependency(dependency(after, *depends_on_id));
        }
    }
    move_chain(connection, after.release_id, stamp)
}

/// Gives cards of the column that an activity is in new keys, and moves the chain of its release.
pub fn set_keys(
    connection: &mut AnyConnection,
    beside: &ActivityRow,
    swept: &[(ActivityId, String)],
    stamp: &Stamp,
) -> Result<(), Error> {
    write_keys(connection, beside, swept)?;
    move_chain(connection, beside.release_id, stamp)
}

fn write_keys(
    connection: &mut AnyConnection,
    beside: &ActivityRow,
    swept: &[(ActivityId, String)],
) -> Result<(), Error> {
    for (id, key) in swept {
        diesel::update(activities::table.filter(activities::id.eq(id)))
            .set(activities::position.eq(position(beside.phase, beside.status, key)))
            .execute(connection)?;
    }
    Ok(())
}

/// What activities depend on, by activity, oldest first.
pub fn depends_on(
    connection: &mut AnyConnection,
    ids: &[ActivityId],
) -> Result<HashMap<ActivityId, Vec<ActivityId>>, Error> {
    let mut found: HashMap<ActivityId, Vec<ActivityId>> = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let rows: Vec<(ActivityId, ActivityId)> = activity_dependencies::table
        .filter(activity_dependencies::activity_id.eq_any(ids))
        .order((activity_dependencies::activity_id.asc(), activity_dependencies::depends_on_id.asc()))
        .select((activity_dependencies::activity_id, activity_dependencies::depends_on_id))
        .load(connection)?;
    for (activity, depends_on) in rows {
        found.entry(activity).or_default().push(depends_on);
    }
    Ok(found)
}

/// Everything that depends on something in a release, archived or not.
pub fn edges(
    connection: &mut AnyConnection,
    release: ReleaseId,
) -> Result<BTreeMap<ActivityId, Vec<ActivityId>>, Error> {
    let rows: Vec<(ActivityId, ActivityId)> = activity_dependencies::table
        .filter(activity_dependencies::release_id.eq(release))
        .select((activity_dependencies::activity_id, activity_dependencies::depends_on_id))
        .load(connection)?;
    let mut found: BTreeMap<ActivityId, Vec<ActivityId>> = BTreeMap::new();
    for (activity, depends_on) in rows {
        found.entry(activity).or_default().push(depends_on);
    }
    Ok(found)
}

/// The activities that depend on this one, and are not archived.
pub fn dependents(connection: &mut AnyConnection, id: ActivityId) -> Result<Vec<Neighbour>, Error> {
    let rows: Vec<(ActivityId, String, ActivityStatus)> = activities::table
        .filter(
            activities::id.eq_any(
                activity_dependencies::table
                    .filter(activity_dependencies::depends_on_id.eq(id))
                    .select(activity_dependencies::activity_id),
            ),
        )
        .filter(activities::archived_at.is_null())
        .order(activities::id.asc())
        .select((activities::id, activities::title, activities::status))
        .load(connection)?;
    Ok(rows.into_iter().map(|(id, title, status)| Neighbour { id, title, status }).collect())
}

/// Who may be given an activity: which of the users there are, whether each is active, and the memberships that they
/// have among the groups.
pub fn candidates(
    connection: &mut AnyConnection,
    ids: &[UserId],
    groups: &[GroupId],
) -> Result<HashMap<UserId, (bool, Vec<GroupId>)>, Error> {
    let mut found: HashMap<UserId, (bool, Vec<GroupId>)> = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let rows: Vec<(UserId, bool, Option<GroupId>)> = users::table
        .left_join(group_members::table)
        .filter(users::id.eq_any(ids))
        .select((users::id, users::active, group_members::group_id.nullable()))
        .load(connection)?;
    for (user, active, group) in rows {
        let (_, of_user) = found.entry(user).or_insert((active, Vec::new()));
        of_user.extend(group.filter(|group| groups.contains(group)));
    }
    Ok(found)
}

/// Continues the statement that reads the surroundings of releases with their open activities: for each release and
/// phase how many there are, and the first few of them; of a page of releases the first one alone. Nobody is told there
/// which they are, and to number each would take longer than all the rest.
pub(super) fn open_ones<S>(select: Select<S>, connection: &AnyConnection, releases: &Ids<'_>) -> Select<S> {
    const OPEN: &str = " AND a.archived_at IS NULL AND a.status IN ('todo', 'in_progress')";
    let of_releases = |select: Select<S>| releases.from(select, connection, "activities a", "a.release_id").sql(OPEN);
    if releases.count() > 1 {
        let select = select
            .sql(" UNION ALL SELECT 'activity', a.release_id, MIN(a.id), NULL, a.phase, '', NULL, NULL, COUNT(*)");
        return of_releases(select).sql(" GROUP BY a.release_id, a.phase");
    }
    let select = select.sql(
        " UNION ALL SELECT 'activity', o.release_id, o.id, NULL, o.phase, '', NULL, NULL, o.total FROM \
         (SELECT a.release_id, a.id, a.phase, COUNT(*) OVER (PARTITION BY a.release_id, a.phase) AS total, \
         ROW_NUMBER() OVER (PARTITION BY a.release_id, a.phase ORDER BY a.id) AS nth",
    );
    of_releases(select).sql(format!(") o WHERE o.nth <= {OPEN_NAMED_MAX}"))
}
