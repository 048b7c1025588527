//! Releases: found only inside a visible scope, changed only by a guarded write.

use std::borrow::Cow;
use std::sync::LazyLock;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::journal::Journal;
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue, columns};
use super::pages::{self, Index};
use super::release_row::{ReleaseRow, ReleaseUpdate};
use super::schema::{release_dependencies, release_tags, release_visibility, releases};
use crate::domain::lifecycle::Transition;
use crate::domain::policy::{Principal, Visibility};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::mutants::mutant;

/// How a release is addressed: by identifier or by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseRef {
    /// By identifier.
    Id(ReleaseId),
    /// By the number in its key.
    Number(i64),
}

impl std::str::FromStr for ReleaseRef {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let digits = text.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("REL-")).and_then(|_| text.get(4..));
        match digits {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() => {
                // A number beyond the range is the key of no release.
                Ok(Self::Number(digits.parse().unwrap_or(-1)))
            }
            _ => text.parse().map(Self::Id),
        }
    }
}

fn by_reference<S>(select: Select<S>, reference: ReleaseRef) -> Select<S> {
    match reference {
        ReleaseRef::Id(id) => select.sql(" FROM releases WHERE id = ").bind(SqlValue::Text(id.to_string())),
        ReleaseRef::Number(number) => select.sql(" FROM releases WHERE number = ").bind(SqlValue::Integer(number)),
    }
}

/// True where there is any release at all.
pub fn any(connection: &mut AnyConnection) -> Result<bool, Error> {
    let first: Option<ReleaseId> = releases::table.select(releases::id).first(connection).optional()?;
    Ok(first.is_some())
}

type AllColumns = diesel::dsl::SqlTypeOf<<releases::table as Table>::AllColumns>;

/// All columns of a release, as text: to quote fifty names takes longer than to find the release.
static ALL_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let statement = diesel::debug_query::<Sqlite, _>(&releases::table.select(releases::all_columns)).to_string();
    let columns = statement.strip_prefix("SELECT ").and_then(|rest| rest.split_once(" FROM "));
    columns.map(|(columns, _)| columns.replace('`', "\"")).unwrap_or(statement)
});

/// The same with the token of [`super::identity::reference_token`].
static ALL_COLUMNS_AND_TOKEN: LazyLock<String> =
    LazyLock::new(|| format!("{}, (SELECT token FROM reference_state)", *ALL_COLUMNS));

/// Finds a visible release, with the token that the state of reference data has in the same instant.
pub fn find(
    connection: &mut AnyConnection,
    reference: ReleaseRef,
    visibility: &Visibility,
) -> Result<Option<(Release, String)>, Error> {
    let selection = columns::<(AllColumns, Text)>(&ALL_COLUMNS_AND_TOKEN);
    let mut select = by_reference(Select::new(selection), reference);
    select.visible(visibility, "releases.id");
    let row: Option<(ReleaseRow, String)> = on_either!(connection, own => select.get_result(own).optional())?;
    Ok(row.map(|(row, token)| (Release::from(row), token)))
}

/// Finds a visible release and locks its row until the transaction ends. Whatever writes to the release or
/// to something that belongs to it comes through here first.
pub fn lock(
    connection: &mut AnyConnection,
    reference: ReleaseRef,
    visibility: &Visibility,
) -> Result<Option<Release>, Error> {
    let mut select = by_reference(Select::new(columns::<AllColumns>(&ALL_COLUMNS)), reference);
    select.visible(visibility, "releases.id");
    if let AnyConnection::Postgres(_) = connection
        && !mutant("transition_unguarded")
    {
        select = select.sql(" FOR NO KEY UPDATE OF releases");
    }
    let row: Option<ReleaseRow> = on_either!(connection, own => select.get_result(own).optional())?;
    Ok(row.map(Release::from))
}

/// Which of the releases are visible, in no order.
pub(super) fn visible_among(
    connection: &mut AnyConnection,
    ids: &[ReleaseId],
    visibility: &Visibility,
) -> Result<Vec<ReleaseId>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut select = Select::new(columns::<Text>("id FROM releases WHERE")).is_among(connection, "id", &ids);
    select.visible(visibility, "releases.id");
    Ok(select.load(connection)?)
}

const fn column(name: &'static str, kind: Kind, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind, sql: Sql::Column(sql), doc }
}

const fn from(name: &'static str, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind: Kind::Instant, sql: Sql::From(sql), doc }
}

const fn from_set(name: &'static str, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind: Kind::Instant, sql: Sql::FromSet(sql), doc }
}

const fn to(name: &'static str, sql: &'static str, doc: &'static str) -> Filter {
    Filter { name, kind: Kind::Instant, sql: Sql::Before(sql), doc }
}

/// The instant of a release, or [`listing::END_OF_TIME`] where it has none; as it stands in the indexes.
macro_rules! or_never {
    ($column:literal) => {
        concat!("coalesce(releases.", $column, ", '9999-12-31 00:00:00')")
    };
}

/// Some voter that the caller speaks for is asked, and four eyes do not keep the caller from voting. `?` is the list
/// of whom the caller speaks for. The status is asked for by exclusion, so that SQLite starts from those who are asked
/// and not from all active releases.
macro_rules! awaits_caller {
    () => {
        "(releases.status NOT IN ('suspended', 'cancelled', 'closed') AND releases.id IN \
         (SELECT v.release_id FROM approval_voters v WHERE v.asked AND v.principal IN (?)) AND NOT EXISTS (SELECT 1 FROM release_approvals a \
         WHERE a.release_id = releases.id AND NOT a.requester_may_approve AND (('u:' || \
         COALESCE(releases.requester_user_id, releases.created_by)) IN (?) \
         OR COALESCE(('u:' || releases.assignee_id) IN (?), FALSE))))"
    };
}
const AWAITS_CALLER: &str = awaits_caller!();
const AWAITS_OTHERS: &str = concat!("NOT ", awaits_caller!());
/// Name of the filter for what waits for the caller's approval.
pub const WAITING_FOR_MY_APPROVAL: &str = "waiting_for_my_approval";

/// The list of releases.
pub const LIST: ListSpec = ListSpec {
    name: "releases",
    from: "releases",
    id: "releases.id",
    filters: &[
        Filter {
            name: "q",
            kind: Kind::Prefix { max_length: 200 },
            sql: Sql::Search {
                prefixes: &["releases.title_folded", "releases.version_folded"],
                number: Some("releases.number"),
            },
            doc: "Those with this key, or whose title or version starts with this, without regard to case.",
        },
        column("status", Kind::OneOf(Status::NAMES), "releases.status", "Those with one of these statuses."),
        column("stage", Kind::Text { max_length: 100 }, "releases.stage", "Those in one of these stages."),
        column(
            "priority",
            Kind::Integer { min: 1, max: 5 },
            "releases.priority",
            "Those with one of these priorities.",
        ),
        column("type", Kind::OneOf(ReleaseType::NAMES), "releases.type", "Those of one of these types."),
        column("portfolio", Kind::Id, "releases.portfolio_id", "Those of one of these portfolios."),
        column("model", Kind::Id, "releases.model_id", "Those of one of these models."),
        column("group", Kind::Id, "releases.executor_group_id", "Those of one of these executor groups."),
        column("assignee", Kind::Id, "releases.assignee_id", "Those assigned to one of these users."),
        column("requester", Kind::Id, "releases.requester_user_id", "Those that one of these users requested."),
        column("unit", Kind::Id, "releases.requester_unit_id", "Those whose requester belongs to one of these units."),
        column("contract", Kind::Id, "releases.contract_id", "Those under one of these contracts."),
        Filter {
            name: "change",
            kind: Kind::Id,
            sql: Sql::Linked { table: "release_changes", column: "change_id" },
            doc: "Those that carry one of these changes.",
        },
        Filter {
            name: "configuration_item",
            kind: Kind::Id,
            sql: Sql::Linked { table: "release_configuration_items", column: "configuration_item_id" },
            doc: "Those that link one of these configuration items.",
        },
        Filter {
            name: "tag",
            kind: Kind::Text { max_length: 50 },
            sql: Sql::Linked { table: "release_tags", column: "tag" },
            doc: "Those with one of these tags.",
        },
        from("created_from", "releases.created_at", "Registered at this instant or later."),
        to("created_to", "releases.created_at", "Registered before this instant."),
        from_set("closed_from", or_never!("closed_at"), "Closed at this instant or later."),
        to("closed_to", or_never!("closed_at"), "Closed before this instant."),
        from("planning_start_from", "releases.planning_start", "Planning starts at this instant or later."),
        to("planning_start_to", "releases.planning_start", "Planning starts before this instant."),
        from("planning_end_from", "releases.planning_end", "Planning ends at this instant or later."),
        to("planning_end_to", "releases.planning_end", "Planning ends before this instant."),
        from_set("deployment_start_from", or_never!("deployment_start"), "Deployment starts at this instant or later."),
        to("deployment_start_to", or_never!("deployment_start"), "Deployment starts before this instant."),
        from("deployment_end_from", "releases.deployment_end", "Deployment ends at this instant or later."),
        to("deployment_end_to", "releases.deployment_end", "Deployment ends before this instant."),
        Filter {
            name: "overdue",
            kind: Kind::Boolean,
            sql: Sql::Flag {
                yes: concat!("(releases.status IN ('open', 'reopened') AND ", or_never!("deadline"), " < ?)"),
                no: "(releases.status NOT IN ('open', 'reopened') OR releases.deadline IS NULL OR releases.deadline >= ?)",
            },
            doc: "Active releases past their deadline, or all others.",
        },
        Filter {
            name: WAITING_FOR_MY_APPROVAL,
            kind: Kind::Boolean,
            sql: Sql::OfCaller {
                among: "release_id FROM approval_voters WHERE asked AND principal IN (",
                yes: AWAITS_CALLER,
                no: AWAITS_OTHERS,
            },
            doc: "Active releases on which the caller is asked to vote now, themselves or for a group of theirs, or \
                  all others.",
        },
    ],
    sorts: &[
        Sort { name: "created_at", column: "releases.created_at", kind: SortKind::Instant },
        Sort { name: "updated_at", column: "releases.updated_at", kind: SortKind::Instant },
        Sort { name: "number", column: "releases.number", kind: SortKind::Integer },
        Sort { name: "priority", column: "releases.priority", kind: SortKind::Integer },
        Sort { name: "title", column: "releases.title_folded", kind: SortKind::Text },
        Sort { name: "deployment_start", column: or_never!("deployment_start"), kind: SortKind::Instant },
        Sort { name: "deadline", column: or_never!("deadline"), kind: SortKind::Instant },
        Sort { name: "closed_at", column: or_never!("closed_at"), kind: SortKind::Instant },
    ],
    default_sort: "-created_at",
};

/// The indexes of the list: of two filters that are given, the one that comes first here finds fewer releases.
const INDEXES: &[Index] = &[
    Index::pair("releases_assignee_id_updated_at_idx", &["assignee"], "updated_at"),
    Index::pair("releases_assignee_id_created_at_idx", &["assignee"], "created_at"),
    Index::pair("releases_requester_user_id_created_at_idx", &["requester"], "created_at"),
    Index::pair("releases_contract_id_created_at_idx", &["contract"], "created_at"),
    Index::pair("releases_requester_unit_id_created_at_idx", &["unit"], "created_at"),
    Index::pair("releases_overdue_idx", &["overdue"], "deadline").only_for("true"),
    Index::pair("releases_stage_created_at_idx", &["stage"], "created_at"),
    Index::pair("releases_executor_group_id_created_at_idx", &["group"], "created_at"),
    Index::pair("releases_model_id_created_at_idx", &["model"], "created_at"),
    Index::pair("releases_portfolio_id_created_at_idx", &["portfolio"], "created_at"),
    Index::pair("releases_status_priority_idx", &["status"], "priority"),
    Index::pair("releases_closed_at_sort_idx", &["status"], "closed_at").only_for("closed").bounded(),
    Index::pair("releases_status_created_at_idx", &["status"], "created_at"),
    Index::pair("releases_priority_created_at_idx", &["priority"], "created_at"),
    Index::pair("releases_type_created_at_idx", &["type"], "created_at"),
    Index::of("releases_planning_start_idx", &["planning_start_from", "planning_start_to"]),
    Index::of("releases_planning_end_idx", &["planning_end_from", "planning_end_to"]),
    Index::of("releases_deployment_end_idx", &["deployment_end_from", "deployment_end_to"]),
    Index::whole("releases_created_at_id_idx", "created_at", &["created_from", "created_to"]),
    Index::whole("releases_updated_at_id_idx", "updated_at", &[]),
    Index::whole("releases.number", "number", &[]),
    Index::whole("releases_priority_id_idx", "priority", &["priority"]),
    Index::whole("releases_title_folded_id_idx", "title", &[]),
    Index::whole(
        "releases_deployment_start_sort_idx",
        "deployment_start",
        &["deployment_start_from", "deployment_start_to"],
    ),
    Index::whole("releases_deadline_sort_idx", "deadline", &[]),
    Index::whole("releases_closed_at_sort_idx", "closed_at", &["closed_from", "closed_to"]),
];

/// The value that a release is sorted by; releases without an instant come as if it were the end of time.
pub fn sort_value(release: &Release, sort: &str) -> SqlValue {
    let or_never = |at: Option<Timestamp>| {
        SqlValue::Instant(at.or_else(|| "9999-12-31T00:00:00Z".parse().ok()).unwrap_or(release.created_at))
    };
    match sort {
        "updated_at" => SqlValue::Instant(release.updated_at),
        "number" => SqlValue::Integer(release.number),
        "priority" => SqlValue::Integer(release.priority()),
        "title" => SqlValue::Text(super::release_row::folded(&release.title)),
        "deployment_start" => or_never(release.deployment_window.map(|window| window.start)),
        "deadline" => or_never(release.deadline),
        "closed_at" => or_never(release.closed_at),
        _ => SqlValue::Instant(release.created_at),
    }
}

/// Answers a page of visible releases, and where it is not empty the token that the state of reference data has in
/// the same instant.
pub fn page(
    connection: &mut AnyConnection,
    query: &ListQuery,
    visibility: &Visibility,
    now: Timestamp,
) -> Result<(Rows<Release>, Option<String>), Error> {
    let selection = columns::<(AllColumns, Text)>(&ALL_COLUMNS_AND_TOKEN);
    let Rows { rows, more, total } =
        pages::page_along::<_, (ReleaseRow, String)>(connection, selection, (&LIST, INDEXES), query, visibility, now)?;
    let mut seen = None;
    let rows = rows
        .into_iter()
        .map(|(row, token)| {
            seen = Some(token);
            Release::from(row)
        })
        .collect();
    Ok((Rows { rows, more, total }, seen))
}

/// Takes the next number. Gaps stay where a transaction is rolled back.
pub fn next_number(connection: &mut AnyConnection) -> Result<i64, Error> {
    let select = match connection {
        AnyConnection::Sqlite(_) => {
            Select::new(columns::<BigInt>("COALESCE(MAX(number), 0) + 1")).sql(" FROM releases")
        }
        AnyConnection::Postgres(_) => Select::new(columns::<BigInt>("nextval('release_number')")).sql(""),
    };
    Ok(on_either!(connection, own => select.get_result(own))?)
}

/// Takes so many numbers at once; answers the first.
pub fn take_numbers(connection: &mut AnyConnection, count: i64) -> Result<i64, Error> {
    let first = next_number(connection)?;
    if let AnyConnection::Postgres(postgres) = connection {
        diesel::sql_query("SELECT setval('release_number', $1)")
            .bind::<BigInt, _>(first + count - 1)
            .execute(postgres)?;
    }
    Ok(first)
}

/// Stores a new release with what it depends on.
pub fn insert(
    journal: &mut Journal,
    release: &Release,
    principals: &[(Principal, &'static str)],
    depends_on: &[ReleaseId],
    stamp: &Stamp,
) {
    journal.release(ReleaseRow::new(release, stamp.head()));
    for row in VisibilityRow::all(release.id, principals) {
        journal.visibility(row);
    }
    for tag in &release.tags {
        journal.tag(TagRow { release_id: release.id, tag: tag.clone() });
    }
    for depends_on_id in depends_on {
        journal.dependency(DependencyRow { release_id: release.id, depends_on_id: *depends_on_id });
    }
}

/// Stores a release whose own fields were patched, over the version before it.
pub fn update(
    connection: &mut AnyConnection,
    journal: &mut Journal,
    before: &Release,
    after: &Release,
    principals: &[(Principal, &'static str)],
    depends_on: Option<&[ReleaseId]>,
    stamp: &Stamp,
) -> Result<(), Error> {
    store(connection, journal, before, after, stamp)?;
    set_principals(connection, journal, before, after, principals)?;
    if before.tags != after.tags {
        diesel::delete(release_tags::table.filter(release_tags::release_id.eq(after.id))).execute(connection)?;
        for tag in &after.tags {
            journal.tag(TagRow { release_id: after.id, tag: tag.clone() });
        }
    }
    if let Some(depends_on) = depends_on {
        diesel::delete(release_dependencies::table.filter(release_dependencies::release_id.eq(after.id)))
            .execute(connection)?;
        for depends_on_id in depends_on {
            journal.dependency(DependencyRow { release_id: after.id, depends_on_id: *depends_on_id });
        }
    }
    Ok(())
}

/// Applies a decided transition. The only way to a new status.
pub fn apply(
    connection: &mut AnyConnection,
    journal: &mut Journal,
    transition: &Transition,
    principals: &[(Principal, &'static str)],
    stamp: &Stamp,
) -> Result<(), Error> {
    store(connection, journal, transition.before(), transition.after(), stamp)?;
    set_principals(connection, journal, transition.before(), transition.after(), principals)?;
    if transition.resets_change_outcomes() {
        super::changes::reset_outcomes(connection, transition.after().id, transition.after().updated_at, stamp)?;
    }
    Ok(())
}

/// The guarded write: it hits only the version and status that were decided on.
fn store(
    connection: &mut AnyConnection,
    journal: &mut Journal,
    before: &Release,
    after: &Release,
    stamp: &Stamp,
) -> Result<(), Error> {
    journal.update(connection, ReleaseUpdate::new(before, after, stamp.head()))
}

/// Moves the end of a release's audit chain, where something that belongs to it was written.
pub fn move_chain(connection: &mut AnyConnection, release: ReleaseId, stamp: &Stamp) -> Result<(), Error> {
    diesel::update(releases::table.find(release))
        .set((releases::audit_seq.eq(stamp.head().length), releases::audit_head.eq(&stamp.head().hash)))
        .execute(connection)?;
    Ok(())
}

/// Who may see a release, and why.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = release_visibility, treat_none_as_default_value = false)]
pub struct VisibilityRow {
    pub(super) release_id: ReleaseId,
    pub(super) principal: String,
    pub(super) reason: Cow<'static, str>,
}

impl VisibilityRow {
    pub(super) fn all(release_id: ReleaseId, principals: &[(Principal, &'static str)]) -> impl Iterator<Item = Self> {
        principals.iter().map(move |(principal, reason)| Self {
            release_id,
            principal: principal.to_string(),
            reason: Cow::Borrowed(reason),
        })
    }

    /// For a reason that names the item that gives the sight.
    pub(super) fn by_item(release_id: ReleaseId, principal: Principal, reason: String) -> Self {
        Self { release_id, principal: principal.to_string(), reason: Cow::Owned(reason) }
    }

    /// Lets the principal see the release from now on.
    pub(super) fn give(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        diesel::insert_into(release_visibility::table).values(self).execute(connection)?;
        Ok(())
    }

    /// Takes away what an item gave.
    pub(super) fn take(connection: &mut AnyConnection, release: ReleaseId, reason: &str) -> Result<(), Error> {
        let given = release_visibility::table
            .filter(release_visibility::release_id.eq(release))
            .filter(release_visibility::reason.eq(reason));
        diesel::delete(given).execute(connection)?;
        Ok(())
    }
}

/// A tag of a release.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = release_tags, treat_none_as_default_value = false)]
pub struct TagRow {
    pub(super) release_id: ReleaseId,
    pub(super) tag: String,
}

/// What a release depends on.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = release_dependencies, treat_none_as_default_value = false)]
pub struct DependencyRow {
    pub(super) release_id: ReleaseId,
    pub(super) depends_on_id: ReleaseId,
}

fn set_principals(
    connection: &mut AnyConnection,
    journal: &mut Journal,
    before: &Release,
    after: &Release,
    principals: &[(Principal, &'static str)],
) -> Result<(), Error> {
    let of = |r: &Release| (r.created_by, r.executor_group_id, r.requester.user_id, r.assignee_id);
    if of(before) == of(after) {
        return Ok(());
    }
    diesel::delete(
        release_visibility::table
            .filter(release_visibility::release_id.eq(after.id))
            .filter(release_visibility::reason.eq_any(["creator", "executor_group", "requester", "assignee", "stage"])),
    )
    .execute(connection)?;
    for row in VisibilityRow::all(after.id, principals) {
        journal.visibility(row);
    }
    Ok(())
}

/// Key of the PostgreSQL advisory lock under which dependencies change.
const DEPENDENCY_LOCK: i64 = 0x5110_DE9E;

/// Lets one transaction at a time change what releases depend on, so that no circle closes between two of them.
/// SQLite has one writer anyway.
pub fn order_dependency_changes(connection: &mut AnyConnection) -> Result<(), Error> {
    if let AnyConnection::Postgres(postgres) = connection {
        diesel::sql_query(format!("SELECT pg_advisory_xact_lock({DEPENDENCY_LOCK})")).execute(postgres)?;
    }
    Ok(())
}

/// True where `from` is reached from one of `starts` by depending, so that the opposite would be a cycle.
pub fn reaches(connection: &mut AnyConnection, starts: &[ReleaseId], from: ReleaseId) -> Result<bool, Error> {
    let Some((first, rest)) = starts.split_first() else {
        return Ok(false);
    };
    // A WITH clause comes first, so the whole of it sits in a sub-select.
    let mut select = Select::new(columns::<BigInt>("COUNT(*)"))
        .sql(" FROM (WITH RECURSIVE reached(id) AS (SELECT id FROM releases WHERE id IN (")
        .bind(SqlValue::Text(first.to_string()));
    for id in rest {
        select = select.sql(", ").bind(SqlValue::Text(id.to_string()));
    }
    let select = select
        .sql(
            ") UNION SELECT d.depends_on_id FROM release_dependencies d JOIN reached ON reached.id = d.release_id) \
             SELECT id FROM reached WHERE id = ",
        )
        .bind(SqlValue::Text(from.to_string()))
        .sql(") AS found")
        .uncached();
    let found: i64 = select.get_result(connection)?;
    Ok(found > 0)
}

/// How many unfinished releases of the group are assigned to the user.
pub fn assigned_in_group(connection: &mut AnyConnection, group: GroupId, user: UserId) -> Result<i64, Error> {
    Ok(releases::table
        .filter(releases::assignee_id.eq(user))
        .filter(releases::executor_group_id.eq(group))
        .filter(releases::status.eq_any([Status::Open, Status::Reopened, Status::Suspended]))
        .count()
        .get_result(connection)?)
}
