//! Approvals of releases: the rule, whom it asks, the rounds, and the votes.
//!
//! Every voter of the present rule has a row that says whether they are asked now: what waits for somebody's approval
//! is found by it, whatever the number of releases.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::listing::{Filter, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql, SqlValue, columns};
use super::pages;
use super::releases::move_chain;
use super::schema::{approval_rounds, approval_voters, approval_votes, release_approvals, release_visibility};
use crate::domain::approval::{ApprovalRule, Voter};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// A round holds at most so many votes, those that were replaced or withdrawn among them.
pub const VOTES_PER_ROUND_MAX: i64 = 200;

/// The rule of a release, and where its votes stand.
#[derive(Debug, Clone, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = release_approvals, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct ApprovalRow {
    /// The release.
    pub release_id: ReleaseId,
    /// How many must approve.
    pub kind: ApprovalKind,
    /// How many, with a quorum.
    pub quorum: Option<i64>,
    /// What part, with a percentage.
    pub percent: Option<i64>,
    /// How many that makes.
    pub needed: i64,
    /// Whether four eyes are not needed.
    pub requester_may_approve: bool,
    /// The round of votes; 0 before the first.
    pub round: i64,
    /// Whether the release stands where approvals are asked for.
    pub is_open: bool,
    /// Rises with every change of the rule or the round.
    pub row_version: i64,
    /// When the first rule was set.
    pub created_at: Timestamp,
    /// When rule or round last changed.
    pub updated_at: Timestamp,
}

/// A voter of the present rule.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = approval_voters, treat_none_as_default_value = false)]
pub struct VoterRow {
    /// The release.
    pub release_id: ReleaseId,
    /// `u:ID` or `g:ID`.
    pub principal: String,
    /// Place in the rule.
    pub position: i64,
    /// The user.
    pub user_id: Option<UserId>,
    /// The group.
    pub group_id: Option<GroupId>,
    /// Whether a vote of theirs is waited for now.
    pub asked: bool,
    /// Their vote in the present round.
    pub decision: Option<Decision>,
    /// Who gave it.
    pub voted_by: Option<UserId>,
    /// The vote.
    pub vote_id: Option<VoteId>,
}

impl VoterRow {
    /// The voter as the rule names them.
    pub const fn voter(&self) -> Voter {
        Voter { user_id: self.user_id, group_id: self.group_id }
    }
}

/// A voter of the present rule with name and standing.
#[derive(Debug, Clone)]
pub struct VoterView {
    /// The row.
    pub row: VoterRow,
    /// Name, for people.
    pub name: String,
    /// Where their vote stands.
    pub standing: VoterStanding,
}

/// A round of votes.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = approval_rounds, treat_none_as_default_value = false)]
pub struct RoundRow {
    /// The release.
    pub release_id: ReleaseId,
    /// Its number, counted from 1.
    pub round: i64,
    /// Why it was opened.
    pub cause: RoundCause,
    /// The same in words.
    pub reason: Option<String>,
    /// The rule that held.
    pub rule: Json<ApprovalRule>,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// A vote.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = approval_votes, treat_none_as_default_value = false)]
pub struct VoteRow {
    /// Identifier.
    pub id: VoteId,
    /// The release.
    pub release_id: ReleaseId,
    /// The round.
    pub round: i64,
    /// The voter, `u:ID` or `g:ID`.
    pub principal: String,
    /// Who voted.
    pub user_id: UserId,
    /// For which group.
    pub group_id: Option<GroupId>,
    /// What the vote says.
    pub decision: Decision,
    /// Words that go with it.
    pub comment: Option<String>,
    /// What became of it.
    pub state: VoteState,
    /// Who withdrew it.
    pub withdrawn_by: Option<UserId>,
    /// Why.
    pub withdrawal_comment: Option<String>,
    /// Rises with every change.
    pub row_version: i64,
    /// When.
    pub cast_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Where the vote of the voter `v` stands under the rule `a` of the release `r`. A vote of somebody whom four eyes
/// keep from voting by now does not count.
pub(super) const STANDING: &str = "CASE \
    WHEN v.decision IS NOT NULL AND (a.requester_may_approve OR (v.voted_by <> COALESCE(r.requester_user_id, \
    r.created_by) AND (r.assignee_id IS NULL OR v.voted_by <> r.assignee_id))) \
    THEN CASE v.decision WHEN 'approve' THEN 'approved' ELSE 'rejected' END \
    WHEN v.user_id IS NOT NULL AND NOT a.requester_may_approve AND (v.user_id = COALESCE(r.requester_user_id, \
    r.created_by) OR COALESCE(v.user_id = r.assignee_id, FALSE)) THEN 'barred' \
    WHEN EXISTS (SELECT 1 FROM users u WHERE u.id = v.user_id AND u.active) THEN 'waiting' \
    WHEN EXISTS (SELECT 1 FROM \"groups\" g JOIN group_members m ON m.group_id = g.id \
    JOIN users u ON u.id = m.user_id WHERE g.id = v.group_id AND g.active AND u.active \
    AND g.permissions LIKE '%\"approve\"%' AND (a.requester_may_approve OR (m.user_id <> \
    COALESCE(r.requester_user_id, r.created_by) AND (r.assignee_id IS NULL OR m.user_id <> r.assignee_id)))) \
    THEN 'waiting' ELSE 'ineligible' END";

/// The name of the voter `v`.
pub(super) const NAME: &str = "COALESCE((SELECT u.name FROM users u WHERE u.id = v.user_id), \
    (SELECT g.name FROM \"groups\" g WHERE g.id = v.group_id), '')";

/// The rule of a release, where it has one.
pub fn find(connection: &mut AnyConnection, release: ReleaseId) -> Result<Option<ApprovalRow>, Error> {
    Ok(release_approvals::table.find(release).first(connection).optional()?)
}

/// The voters of the present rule, in its order, with their standing.
pub fn voters(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<VoterView>, Error> {
    type Columns = (Text, BigInt, Nullable<Text>, Nullable<Text>, Bool, Nullable<Text>, Nullable<Text>, Nullable<Text>);
    type Row = (
        (String, i64, Option<UserId>, Option<GroupId>, bool, Option<Decision>, Option<UserId>, Option<VoteId>),
        String,
        VoterStanding,
    );
    let select = Select::new((
        columns::<Columns>(
            "v.principal, v.position, v.user_id, v.group_id, v.asked, v.decision, v.voted_by, v.vote_id",
        ),
        columns::<Text>(NAME),
        columns::<Text>(STANDING),
    ))
    .sql(
        " FROM approval_voters v JOIN release_approvals a ON a.release_id = v.release_id \
         JOIN releases r ON r.id = v.release_id WHERE v.release_id = ",
    )
    .bind(SqlValue::Text(release.to_string()))
    .sql(" ORDER BY v.position");
    let rows: Vec<Row> = on_either!(connection, own => select.load(own))?;
    let view = |(row, name, standing): Row| {
        let (principal, position, user_id, group_id, asked, decision, voted_by, vote_id) = row;
        let release_id = release;
        let row = VoterRow { release_id, principal, position, user_id, group_id, asked, decision, voted_by, vote_id };
        VoterView { row, name, standing }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// A round.
pub fn round(connection: &mut AnyConnection, release: ReleaseId, round: i64) -> Result<Option<RoundRow>, Error> {
    Ok(approval_rounds::table.find((release, round)).first(connection).optional()?)
}

/// The votes of a round, oldest first.
pub fn votes(connection: &mut AnyConnection, release: ReleaseId, round: i64) -> Result<Vec<VoteRow>, Error> {
    Ok(approval_votes::table
        .filter(approval_votes::release_id.eq(release))
        .filter(approval_votes::round.eq(round))
        .order(approval_votes::id.asc())
        .limit(VOTES_PER_ROUND_MAX)
        .load(connection)?)
}

/// A vote of a release.
pub fn vote(connection: &mut AnyConnection, release: ReleaseId, id: VoteId) -> Result<Option<VoteRow>, Error> {
    let found: Option<VoteRow> = approval_votes::table.find(id).first(connection).optional()?;
    Ok(found.filter(|vote| vote.release_id == release))
}

/// How many votes a round holds.
pub fn vote_count(connection: &mut AnyConnection, release: ReleaseId, round: i64) -> Result<i64, Error> {
    Ok(approval_votes::table
        .filter(approval_votes::release_id.eq(release))
        .filter(approval_votes::round.eq(round))
        .count()
        .get_result(connection)?)
}

/// The votes on one release.
pub const VOTES: ListSpec = ListSpec {
    name: "votes",
    from: "approval_votes",
    id: "approval_votes.id",
    filters: &[
        Filter { name: "release_id", kind: Kind::Id, sql: Sql::Column("approval_votes.release_id"), doc: "" },
        Filter {
            name: "round",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            sql: Sql::Column("approval_votes.round"),
            doc: "Those of one of these rounds.",
        },
        Filter {
            name: "state",
            kind: Kind::OneOf(VoteState::NAMES),
            sql: Sql::Column("approval_votes.state"),
            doc: "Those of which this became.",
        },
    ],
    sorts: &[Sort { name: "cast_at", column: "approval_votes.cast_at", kind: SortKind::Instant }],
    default_sort: "-cast_at",
};

/// A page of votes.
pub fn vote_page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<VoteRow>, Error> {
    pages::page(connection, approval_votes::all_columns, &VOTES, query, &Visibility::Everything, now)
}

/// Stores the rule and whom it asks, in place of those before. Whoever is asked sees the release.
pub fn store_rule(
    connection: &mut AnyConnection,
    row: &ApprovalRow,
    voters: &[VoterRow],
    _stamp: &Stamp,
) -> Result<(), Error> {
    #[derive(Insertable)]
    #[diesel(table_name = release_visibility, treat_none_as_default_value = false)]
    struct Seen {
        release_id: ReleaseId,
        principal: String,
        reason: String,
    }
    let release = row.release_id;
    if row.row_version == 1 {
        diesel::insert_into(release_approvals::table).values(row).execute(connection)?;
    } else {
        update(connection, row)?;
        diesel::delete(approval_voters::table.filter(approval_voters::release_id.eq(release))).execute(connection)?;
        diesel::delete(
            release_visibility::table
                .filter(release_visibility::release_id.eq(release))
                .filter(release_visibility::reason.like("approval:%")),
        )
        .execute(connection)?;
    }
    let seen: Vec<Seen> = voters
        .iter()
        .map(|voter| Seen {
            release_id: release,
            principal: voter.principal.clone(),
            reason: format!("approval:{}", voter.principal.get(2..).unwrap_or_default()),
        })
        .collect();
    on_either!(connection, own => {
        diesel::insert_into(approval_voters::table).values(voters).execute(own)?;
        diesel::insert_into(release_visibility::table).values(&seen).execute(own)?
    });
    Ok(())
}

fn update(connection: &mut AnyConnection, row: &ApprovalRow) -> Result<(), Error> {
    let hit = diesel::update(
        release_approvals::table
            .filter(release_approvals::release_id.eq(row.release_id))
            .filter(release_approvals::row_version.eq(row.row_version - 1)),
    )
    .set(row)
    .execute(connection)?;
    one_row(hit)
}

/// Opens a round: nobody has voted in it, and everybody is asked.
pub fn open_round(
    connection: &mut AnyConnection,
    row: &ApprovalRow,
    round: &RoundRow,
    _stamp: &Stamp,
) -> Result<(), Error> {
    update(connection, row)?;
    insert_round(connection, round)?;
    diesel::update(approval_voters::table.filter(approval_voters::release_id.eq(row.release_id)))
        .set((
            approval_voters::asked.eq(true),
            approval_voters::decision.eq(None::<Decision>),
            approval_voters::voted_by.eq(None::<UserId>),
            approval_voters::vote_id.eq(None::<VoteId>),
        ))
        .execute(connection)?;
    Ok(())
}

/// Stores a round whose rule is stored with it.
pub fn insert_round(connection: &mut AnyConnection, round: &RoundRow) -> Result<(), Error> {
    diesel::insert_into(approval_rounds::table).values(round).execute(connection)?;
    Ok(())
}

/// The rule of a round without votes became another one.
pub fn set_round_rule(
    connection: &mut AnyConnection,
    release: ReleaseId,
    round: i64,
    rule: &ApprovalRule,
) -> Result<(), Error> {
    diesel::update(approval_rounds::table.find((release, round)))
        .set(approval_rounds::rule.eq(Json(rule.clone())))
        .execute(connection)?;
    Ok(())
}

/// The release has left the stage that asks: nobody is asked any more.
pub fn close_round(connection: &mut AnyConnection, row: &ApprovalRow, _stamp: &Stamp) -> Result<(), Error> {
    update(connection, row)?;
    diesel::update(
        approval_voters::table.filter(approval_voters::release_id.eq(row.release_id)).filter(approval_voters::asked),
    )
    .set(approval_voters::asked.eq(false))
    .execute(connection)?;
    Ok(())
}

/// Stores a vote in place of the one that the voter had given in the round; the stamp goes to the release's chain.
pub fn insert_vote(
    connection: &mut AnyConnection,
    vote: &VoteRow,
    replaced: Option<&VoteRow>,
    stamp: &Stamp,
) -> Result<(), Error> {
    if let Some(replaced) = replaced {
        update_vote(connection, replaced)?;
    }
    diesel::insert_into(approval_votes::table).values(vote).execute(connection)?;
    set_standing(connection, vote, Some(vote))?;
    move_chain(connection, vote.release_id, stamp)
}

/// Stores a withdrawn vote; the stamp goes to the release's chain.
pub fn withdraw_vote(connection: &mut AnyConnection, vote: &VoteRow, stamp: &Stamp) -> Result<(), Error> {
    update_vote(connection, vote)?;
    set_standing(connection, vote, None)?;
    move_chain(connection, vote.release_id, stamp)
}

fn update_vote(connection: &mut AnyConnection, vote: &VoteRow) -> Result<(), Error> {
    let hit = diesel::update(of_version!(approval_votes, vote.id, vote.row_version - 1))
        .set((
            approval_votes::state.eq(vote.state),
            approval_votes::withdrawn_by.eq(vote.withdrawn_by),
            approval_votes::withdrawal_comment.eq(&vote.withdrawal_comment),
            approval_votes::row_version.eq(vote.row_version),
            approval_votes::updated_at.eq(vote.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)
}

fn set_standing(connection: &mut AnyConnection, of: &VoteRow, vote: Option<&VoteRow>) -> Result<(), Error> {
    diesel::update(approval_voters::table.find((of.release_id, &of.principal)))
        .set((
            approval_voters::decision.eq(vote.map(|vote| vote.decision)),
            approval_voters::voted_by.eq(vote.map(|vote| vote.user_id)),
            approval_voters::vote_id.eq(vote.map(|vote| vote.id)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Asks exactly these voters.
pub fn ask(connection: &mut AnyConnection, release: ReleaseId, asked: &[String]) -> Result<(), Error> {
    diesel::update(
        approval_voters::table
            .filter(approval_voters::release_id.eq(release))
            .filter(approval_voters::asked.ne(approval_voters::principal.eq_any(asked))),
    )
    .set(approval_voters::asked.eq(approval_voters::principal.eq_any(asked)))
    .execute(connection)?;
    Ok(())
}
