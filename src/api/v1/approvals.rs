//! `/releases/{release}/approvals`: the rule, the votes, and what they add up to.

use actix_web::{get, post, put};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, paging, paging::Page};
use crate::domain::approval::{ApprovalRule, Tally};
use crate::domain::lifecycle::Blocker;
use crate::domain::policy::Access;
use crate::domain::values::*;
use crate::repository::approvals::{VOTES, VoteRow};
use crate::repository::listing::SqlValue;
use crate::repository::releases::ReleaseRef;
use crate::service::approvals::{self, NewVote, Shown, ShownVoter, Withdrawal};
use crate::service::{Error, ReadContext, Reply, Result};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(read_approvals)
        .service(set_approval_rule)
        .service(list_votes)
        .service(cast_vote)
        .service(read_vote)
        .service(withdraw_vote);
}

impl Checked for ApprovalRule {}

impl Checked for NewVote {
    const READ_ONLY: &'static [&'static str] =
        &["id", "round", "user_id", "state", "withdrawn_by", "row_version", "cast_at", "updated_at"];
}

impl Checked for Withdrawal {}

/// A voter of the rule, and where their vote stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApprovalVoter {
    /// The user; null where it is a group.
    pub user_id: Option<UserId>,
    /// The group; null where it is a user.
    pub group_id: Option<GroupId>,
    /// Name.
    pub name: String,
    /// Where their vote stands in this round.
    pub standing: VoterStanding,
    /// The vote that counts, or would count but for four eyes.
    pub vote_id: Option<VoteId>,
    /// True where this caller may vote for them now.
    pub can_vote: bool,
}

impl From<ShownVoter> for ApprovalVoter {
    fn from(voter: ShownVoter) -> Self {
        Self {
            user_id: voter.row.user_id,
            group_id: voter.row.group_id,
            name: voter.fact.name,
            standing: voter.fact.standing,
            vote_id: voter.row.vote_id,
            can_vote: voter.can_vote,
        }
    }
}

/// A vote.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Vote {
    /// Identifier.
    pub id: VoteId,
    /// The round that it belongs to; it counts in that alone.
    pub round: i64,
    /// Who voted.
    pub user_id: UserId,
    /// The group that they voted for; null where for themselves.
    pub group_id: Option<GroupId>,
    /// What the vote says.
    pub decision: Decision,
    /// Words that go with it.
    pub comment: Option<String>,
    /// What became of it.
    pub state: VoteState,
    /// Who withdrew it.
    pub withdrawn_by: Option<UserId>,
    /// Why it was withdrawn.
    pub withdrawal_comment: Option<String>,
    /// Rises with every change of the vote.
    pub row_version: i64,
    /// When it was cast.
    pub cast_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<VoteRow> for Vote {
    fn from(row: VoteRow) -> Self {
        Self {
            id: row.id,
            round: row.round,
            user_id: row.user_id,
            group_id: row.group_id,
            decision: row.decision,
            comment: row.comment,
            state: row.state,
            withdrawn_by: row.withdrawn_by,
            withdrawal_comment: row.withdrawal_comment,
            row_version: row.row_version,
            cast_at: row.cast_at,
            updated_at: row.updated_at,
        }
    }
}

/// The approvals of a release, in one round.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Approvals {
    /// The release.
    pub release_id: ReleaseId,
    /// The rule; null where nobody must approve.
    pub rule: Option<ApprovalRule>,
    /// The round that is shown; 0 before the first.
    pub round: i64,
    /// The last round, whose votes count.
    pub last_round: i64,
    /// True where votes are asked for in this round now.
    pub open: bool,
    /// Why the round was opened.
    pub cause: Option<RoundCause>,
    /// The same in words, where votes were reset.
    pub reason: Option<String>,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// True where enough approve; without a rule it is.
    pub satisfied: bool,
    /// What the votes add up to; null without a rule.
    pub tally: Option<Tally>,
    /// What is missing, as the gate says it; empty where enough approve.
    pub missing: Vec<Blocker>,
    /// Whom the rule asks, in its order.
    pub voters: Vec<ApprovalVoter>,
    /// The votes of the round, oldest first, those that were replaced or withdrawn among them.
    pub votes: Vec<Vote>,
    /// Rises with every change of rule or round; 0 before the first rule.
    pub row_version: i64,
}

impl From<Shown> for Approvals {
    fn from(shown: Shown) -> Self {
        let tally = shown.facts.as_ref().map(|facts| facts.tally());
        let missing = shown.facts.as_ref().map(|facts| facts.blockers("approvals_satisfied")).unwrap_or_default();
        let round = shown.round.as_ref();
        Self {
            release_id: shown.release,
            round: round.map_or(0, |round| round.round),
            last_round: shown.last_round,
            open: shown.open,
            cause: round.map(|round| round.cause),
            reason: round.and_then(|round| round.reason.clone()),
            opened_at: round.map(|round| round.opened_at),
            satisfied: tally.is_none_or(|tally| tally.satisfied),
            tally,
            missing,
            rule: shown.rule,
            voters: shown.voters.into_iter().map(ApprovalVoter::from).collect(),
            votes: shown.votes.into_iter().map(Vote::from).collect(),
            row_version: shown.row_version,
        }
    }
}

/// The approvals of a release in its last round, as they are read.
pub(super) fn last_round(context: &mut ReadContext<'_>, release: ReleaseRef) -> Result<Approvals> {
    Ok(approvals::read(context, release, None)?.into())
}

fn shown(approvals: Shown) -> Result<Reply> {
    let (release, row_version) = (approvals.release, approvals.row_version);
    Ok(Reply::json(200, &Approvals::from(approvals))?.version(row_version).about(release))
}

fn vote_shown(status: u16, row: VoteRow) -> Result<Reply> {
    let (release, row_version) = (row.release_id, row.row_version);
    Ok(Reply::json(status, &Vote::from(row))?.version(row_version).about(release))
}

/// Read the approvals of a release
///
/// The rule, whom it asks, their votes, whether they are enough, and what is missing. Votes belong to a round: one is
/// opened whenever the release comes to a stage that asks for approvals, and whenever windows, version, change links
/// or the rule change while there are votes. Only the last round counts; `round` shows an earlier one.
#[utoipa::path(
    tag = "Approvals",
    params(
        ("release" = String, Path,),
        ("round" = Option<i64>, Query, description = "An earlier round; without it the last one.", minimum = 1)
    ),
    responses((status = 200, body = Approvals))
)]
#[get("/releases/{release}/approvals")]
async fn read_approvals(call: Call) -> Answer {
    let path = call.clone();
    call.read(&["round"], move |context| {
        context.authorise(Access::Read)?;
        let round = match path.parameter("round").map(|text| text.parse::<i64>()) {
            None => None,
            Some(Ok(round)) if round >= 1 => Some(round),
            Some(_) => {
                let detail = "This is the number of a round, from 1 on.";
                return Err(Error::Malformed(vec![Fault::parameter("round", "INVALID_PARAMETER", detail)]));
            }
        };
        shown(approvals::read(context, path.id("release", "release")?, round)?)
    })
    .await
}

/// Set the approval rule of a release
///
/// In place of the one before; a rule is never taken away. Whoever it asks sees the release. Locked after
/// authorization. Where votes were given under the rule before, a new round is opened. Before the first rule the
/// version is 0: `If-Match: "0"`.
#[utoipa::path(
    tag = "Approvals",
    params(("release" = String, Path,)),
    request_body = ApprovalRule,
    responses((status = 200, body = Approvals))
)]
#[put("/releases/{release}/approvals/rule")]
async fn set_approval_rule(call: Call, body: Body<Draft<ApprovalRule>>) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, draft| {
        shown(approvals::set_rule(context, path.id("release", "release")?, draft.clone())?)
    })
    .await
}

/// List the votes on a release
///
/// Of every round, newest first.
#[utoipa::path(tag = "Approvals", params(("release" = String, Path,)), responses((status = 200, body = Page<Vote>)))]
#[get("/releases/{release}/approvals/votes")]
async fn list_votes(call: Call) -> Answer {
    let path = call.clone();
    call.list(&VOTES, &["release_id"], move |context, query| {
        context.authorise(Access::Read)?;
        let rows = approvals::votes(context, path.id("release", "release")?, &query)?;
        paging::reply(&path, &VOTES, &query, rows, Vote::from, |row, _| {
            (SqlValue::Instant(row.cast_at), row.id.to_string())
        })
    })
    .await
}

/// Vote on a release
///
/// By somebody whom the rule asks: a named user, or a member of a named group who holds `approve` there. Possible while
/// the release is active and stands at a stage that asks for approvals. Voting again changes the vote; a rejection says
/// why. Requester, acting requester and assignee do not vote unless the rule allows it: 403 `FOUR_EYES`.
#[utoipa::path(tag = "Approvals", params(("release" = String, Path,)), request_body = NewVote, responses((status = 201, body = Vote)))]
#[post("/releases/{release}/approvals/votes")]
async fn cast_vote(call: Call, body: Body<Draft<NewVote>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let release: ReleaseRef = path.id("release", "release")?;
        let vote = approvals::cast_vote(context, release, draft.clone())?;
        let location = format!("{BASE}/releases/{}/approvals/votes/{}", vote.release_id, vote.id);
        Ok(vote_shown(201, vote)?.at(location))
    })
    .await
}

/// Read a vote
///
/// Of whichever round.
#[utoipa::path(tag = "Approvals", params(("release" = String, Path,), ("id" = VoteId, Path,)), responses((status = 200, body = Vote)))]
#[get("/releases/{release}/approvals/votes/{id}")]
async fn read_vote(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| {
        context.authorise(Access::Read)?;
        vote_shown(200, approvals::vote(context, path.id("release", "release")?, path.id("id", "vote")?)?)
    })
    .await
}

/// Withdraw a vote
///
/// By whoever gave it, or by another who votes for the same group, while the round is open. The vote stays readable,
/// and the voter is asked again.
#[utoipa::path(
    tag = "Approvals",
    params(("release" = String, Path,), ("id" = VoteId, Path,)),
    request_body = Withdrawal,
    responses((status = 200, body = Vote))
)]
#[post("/releases/{release}/approvals/votes/{id}/withdraw")]
async fn withdraw_vote(call: Call, body: Body<Draft<Withdrawal>>) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, draft| {
        let release: ReleaseRef = path.id("release", "release")?;
        vote_shown(200, approvals::withdraw_vote(context, release, path.id("id", "vote")?, draft.clone())?)
    })
    .await
}
