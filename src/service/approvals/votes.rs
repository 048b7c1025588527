//! Casting votes, withdrawing them, and reading them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::{ask_anew, recorded};
use crate::domain::approval::barred;
use crate::domain::policy::{Access, Actor, Denial};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::approvals::{self, ApprovalRow, VOTES_PER_ROUND_MAX, VoteRow, VoterRow};
use crate::repository::contents::not_blank;
use crate::repository::directory;
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::releases::ReleaseRef;
use crate::service::releases::{active, standing_conflict, visible, visible_locked};
use crate::service::{Error, ReadContext, Result, WriteContext};

/// A vote to be cast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"decision": "approve", "comment": "The plan is sound."}))]
pub struct NewVote {
    /// What the vote says.
    pub decision: Decision,
    /// Why; a rejection needs it.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    #[serde(default)]
    pub comment: Option<String>,
    /// The group that the caller votes for. Without it they vote for themselves, or for the one group of theirs that
    /// is asked.
    #[serde(default)]
    pub group_id: Option<GroupId>,
}

/// The withdrawal of a vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"comment": "The window has become doubtful."}))]
pub struct Withdrawal {
    /// Why.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    pub comment: String,
}

fn not_asked() -> Error {
    Error::Forbidden(Denial { code: "FORBIDDEN", detail: "You are not asked to approve this release.".into() })
}

/// Refuses whom four eyes keep from voting.
fn four_eyes(actor: &Actor, release: &Release, row: &ApprovalRow) -> Result<()> {
    if row.requester_may_approve || !barred(release).contains(&actor.user_id) {
        return Ok(());
    }
    let detail = "Requester, acting requester and assignee do not approve their own release, nor for a group.";
    Err(Error::Forbidden(Denial { code: "FOUR_EYES", detail: detail.into() }))
}

/// Demands that the release stands where approvals are asked for.
fn at_approval(context: &mut WriteContext<'_>, release: &Release, row: &ApprovalRow) -> Result<()> {
    active(context, release)?;
    if row.is_open {
        return Ok(());
    }
    let detail = format!("The release stands at `{}`, where no approvals are asked for.", release.stage);
    Err(standing_conflict(context, release, "NOT_AT_APPROVAL", detail, Vec::new()))
}

/// The state of a vote that history compares.
fn vote_document(vote: &VoteRow) -> Value {
    json!({
        "voter": vote.principal,
        "round": vote.round,
        "decision": vote.decision,
        "comment": vote.comment,
        "state": vote.state,
        "withdrawal_comment": vote.withdrawal_comment,
    })
}

/// Casts a vote, in place of the one that the voter gave in this round.
pub fn cast_vote(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<NewVote>) -> Result<VoteRow> {
    let release = visible_locked(context, reference)?;
    let permit = context.authorise(Access::Releases)?;
    let Some(row) = approvals::find(context.connection, release.id)? else {
        return Err(not_asked());
    };
    let voters = approvals::voters(context.connection, release.id)?;
    let voices: Vec<String> = context.actor.voices().map(|voice| voice.to_string()).collect();
    let mut spoken_for: Vec<&VoterRow> =
        voters.iter().map(|voter| &voter.row).filter(|voter| voices.contains(&voter.principal)).collect();
    if let Ok(NewVote { group_id: Some(group), .. }) = &draft {
        spoken_for.retain(|voter| voter.group_id == Some(*group));
    } else if spoken_for.iter().any(|voter| voter.user_id.is_some()) {
        spoken_for.retain(|voter| voter.user_id.is_some());
    }
    if spoken_for.is_empty() {
        return Err(not_asked());
    }
    four_eyes(&context.actor, &release, &row)?;
    at_approval(context, &release, &row)?;
    let new = draft.map_err(Error::Invalid)?;
    let mut faults = Vec::new();
    if new.decision == Decision::Reject && new.comment.is_none() {
        faults.push(Fault::at("/comment", "REQUIRED", "A rejection says why."));
    }
    if spoken_for.len() > 1 {
        let detail = "You may vote for several groups here; say for which.";
        faults.push(Fault::at("/group_id", "REQUIRED", detail));
    }
    Error::unless_none(faults)?;
    let (voter, me) = (spoken_for[0].clone(), context.actor.user_id);
    if let Some(group) = voter.group_id
        && !directory::hold_membership(context.connection, group, me)?
    {
        return Err(not_asked());
    }
    if approvals::vote_count(context.connection, release.id, row.round)? >= VOTES_PER_ROUND_MAX {
        let detail = format!("A round holds at most {VOTES_PER_ROUND_MAX} votes.");
        return Err(Error::conflict("LIMIT_REACHED", detail));
    }
    let now = context.now;
    let vote = VoteRow {
        id: VoteId::new(context.env.new_id(now)),
        release_id: release.id,
        round: row.round,
        principal: voter.principal,
        user_id: me,
        group_id: voter.group_id,
        decision: new.decision,
        comment: new.comment,
        state: VoteState::Standing,
        withdrawn_by: None,
        withdrawal_comment: None,
        row_version: 1,
        cast_at: now,
        updated_at: now,
    };
    let replaced = match voter.vote_id {
        Some(id) => approvals::vote(context.connection, release.id, id)?,
        None => None,
    };
    let (before, after) = (replaced.as_ref().map(vote_document), vote_document(&vote));
    let subject = ("vote", vote.id.to_string());
    let change = recorded(&release, subject, "release.cast_vote", before.as_ref(), Some(&after));
    let stamp = context.record(permit, &release.chain, change)?;
    let replaced = replaced.map(|old| VoteRow {
        state: VoteState::Replaced,
        row_version: old.row_version + 1,
        updated_at: now,
        ..old
    });
    approvals::insert_vote(context.connection, &vote, replaced.as_ref(), &stamp)?;
    ask_anew(context, &release)?;
    Ok(vote)
}

/// Withdraws a vote of the present round: by whoever gave it, or by another who votes for the same group.
pub fn withdraw_vote(
    context: &mut WriteContext<'_>,
    reference: ReleaseRef,
    id: VoteId,
    draft: Draft<Withdrawal>,
) -> Result<VoteRow> {
    let release = visible_locked(context, reference)?;
    let vote = approvals::vote(context.connection, release.id, id)?.ok_or(Error::NotFound("vote"))?;
    let permit = context.authorise(Access::Releases)?;
    let row = approvals::find(context.connection, release.id)?.ok_or(Error::NotFound("vote"))?;
    if vote.user_id != context.actor.user_id {
        if !context.actor.voices().any(|voice| voice.to_string() == vote.principal) {
            let detail = "A vote is withdrawn by whoever gave it, or by another who votes for the same group.";
            return Err(Error::Forbidden(Denial { code: "FORBIDDEN", detail: detail.into() }));
        }
        four_eyes(&context.actor, &release, &row)?;
    }
    at_approval(context, &release, &row)?;
    if vote.round != row.round || vote.state != VoteState::Standing {
        let detail = match vote.state {
            VoteState::Standing => format!("The vote belongs to round {}; this is round {}.", vote.round, row.round),
            state => format!("The vote is `{state}`."),
        };
        return Err(standing_conflict(context, &release, "VOTE_NOT_STANDING", detail, Vec::new()));
    }
    let comment = draft.map_err(Error::Invalid)?.comment;
    let withdrawn = VoteRow {
        state: VoteState::Withdrawn,
        withdrawn_by: Some(context.actor.user_id),
        withdrawal_comment: Some(comment),
        row_version: vote.row_version + 1,
        updated_at: context.now,
        ..vote.clone()
    };
    let (before, after) = (vote_document(&vote), vote_document(&withdrawn));
    let subject = ("vote", vote.id.to_string());
    let change = recorded(&release, subject, "release.withdraw_vote", Some(&before), Some(&after));
    let stamp = context.record(permit, &release.chain, change)?;
    approvals::withdraw_vote(context.connection, &withdrawn, &stamp)?;
    ask_anew(context, &release)?;
    Ok(withdrawn)
}

/// One vote on a visible release.
pub fn vote(context: &mut ReadContext<'_>, reference: ReleaseRef, id: VoteId) -> Result<VoteRow> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    approvals::vote(context.connection, release.id, id)?.ok_or(Error::NotFound("vote"))
}

/// A page of the votes on a visible release, of every round.
pub fn votes(context: &mut ReadContext<'_>, reference: ReleaseRef, query: &ListQuery) -> Result<Rows<VoteRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    let mut query = query.clone();
    query.conditions.push(Condition { filter: 0, values: vec![SqlValue::Text(release.id.to_string())] });
    Ok(approvals::vote_page(context.connection, &query, context.now)?)
}
