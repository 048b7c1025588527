//! Approvals of a release: who is asked, their votes, and when these are asked for anew (`domain.md` §5).
//!
//! Votes belong to a round. A round is opened whenever the release comes to a stage that asks for approvals, and
//! whenever [`reset_votes`] is called; only the votes of the last round count, and earlier ones stay readable.

mod votes;

use serde_json::{Value, json};

pub use self::votes::{NewVote, Withdrawal, cast_vote, vote, votes, withdraw_vote};
use super::releases::{active, forbidden, locked_plan, may_execute, visible, visible_locked};
use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::approval::{ApprovalFacts, ApprovalRule, VoterFact, barred};
use crate::domain::policy::{Access, Permit, Principal};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::approvals::{self, ApprovalRow, RoundRow, VoteRow, VoterRow, VoterView};
use crate::repository::audit::Stamp;
use crate::repository::nouns::{Group, Model, Noun, User};
use crate::repository::releases::ReleaseRef;

/// A voter, as shown.
#[derive(Debug, Clone)]
pub struct ShownVoter {
    /// The voter.
    pub row: VoterRow,
    /// Name and standing.
    pub fact: VoterFact,
    /// Whether this caller may vote for them now.
    pub can_vote: bool,
}

/// A round of votes, as shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The release.
    pub release: ReleaseId,
    /// The rule that holds in the round, where there is one.
    pub rule: Option<ApprovalRule>,
    /// The round that is shown, where one was opened.
    pub round: Option<RoundRow>,
    /// Number of the last round; 0 before the first.
    pub last_round: i64,
    /// Whether votes are asked for in it now.
    pub open: bool,
    /// Whom the rule asks, and where they stand.
    pub voters: Vec<ShownVoter>,
    /// The votes of the round, oldest first.
    pub votes: Vec<VoteRow>,
    /// What the gate makes of it.
    pub facts: Option<ApprovalFacts>,
    /// Version of rule and round; 0 before the first rule.
    pub row_version: i64,
}

/// The approvals of a visible release: the last round, or an earlier one.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef, round: Option<i64>) -> Result<Shown> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    show(context, &release, round)
}

fn show(context: &mut ReadContext<'_>, release: &Release, wanted: Option<i64>) -> Result<Shown> {
    let missing = || Error::NotFound("approval round");
    let Some(row) = approvals::find(context.connection, release.id)? else {
        return match wanted {
            Some(_) => Err(missing()),
            None => Ok(Shown {
                release: release.id,
                rule: None,
                round: None,
                last_round: 0,
                open: false,
                voters: Vec::new(),
                votes: Vec::new(),
                facts: None,
                row_version: 0,
            }),
        };
    };
    let number = wanted.unwrap_or(row.round);
    let is_last = number == row.round;
    let round = approvals::round(context.connection, release.id, number)?;
    if round.is_none() && wanted.is_some() {
        return Err(missing());
    }
    let votes = match round {
        Some(_) => approvals::votes(context.connection, release.id, number)?,
        None => Vec::new(),
    };
    let open = is_last && row.is_open && release.status.is_active();
    let (rule, voters) = match &round {
        Some(round) if !is_last => (round.rule.0.clone(), earlier_voters(context, round, &votes)?),
        _ => {
            let found = approvals::voters(context.connection, release.id)?;
            (rule_of(&row, found.iter().map(|voter| &voter.row)), found)
        }
    };
    let kept_out = !row.requester_may_approve && barred(release).contains(&context.actor.user_id);
    let voices: Vec<String> = context.actor.voices().map(|voice| voice.to_string()).collect();
    let facts = ApprovalFacts { needed: rule.needed(), voters: voters.iter().map(fact).collect() };
    let voters = voters
        .into_iter()
        .map(|voter| ShownVoter {
            can_vote: open && !kept_out && voices.contains(&voter.row.principal),
            fact: fact(&voter),
            row: voter.row,
        })
        .collect();
    Ok(Shown {
        release: release.id,
        rule: Some(rule),
        round,
        last_round: row.round,
        open,
        voters,
        votes,
        facts: Some(facts),
        row_version: row.row_version,
    })
}

fn fact(voter: &VoterView) -> VoterFact {
    VoterFact { principal: voter.row.principal.clone(), name: voter.name.clone(), standing: voter.standing }
}

/// The rule as its rows say it.
fn rule_of<'r>(row: &ApprovalRow, voters: impl Iterator<Item = &'r VoterRow>) -> ApprovalRule {
    ApprovalRule {
        kind: row.kind,
        quorum: row.quorum,
        percent: row.percent,
        voters: voters.map(VoterRow::voter).collect(),
        requester_may_approve: row.requester_may_approve,
    }
}

/// The voters of a round that is over, with the votes that stood when it ended.
fn earlier_voters(context: &mut ReadContext<'_>, round: &RoundRow, votes: &[VoteRow]) -> Result<Vec<VoterView>> {
    let rows = voter_rows(round.release_id, &round.rule.0, false);
    let mut voters = Vec::with_capacity(rows.len());
    for mut row in rows {
        let vote = votes.iter().find(|vote| vote.principal == row.principal && vote.state == VoteState::Standing);
        row.decision = vote.map(|vote| vote.decision);
        row.voted_by = vote.map(|vote| vote.user_id);
        row.vote_id = vote.map(|vote| vote.id);
        let standing = match row.decision {
            Some(Decision::Approve) => VoterStanding::Approved,
            Some(Decision::Reject) => VoterStanding::Rejected,
            None => VoterStanding::Waiting,
        };
        let name = match (row.user_id, row.group_id) {
            (Some(user), _) => context.reference::<User>(user)?.map(|user| user.content.name.clone()),
            (_, Some(group)) => context.reference::<Group>(group)?.map(|group| group.content.name.clone()),
            _ => None,
        };
        voters.push(VoterView { row, name: name.unwrap_or_default(), standing });
    }
    Ok(voters)
}

fn voter_rows(release: ReleaseId, rule: &ApprovalRule, asked: bool) -> Vec<VoterRow> {
    let rows = rule.voters.iter().zip(0..).filter_map(|(voter, position)| {
        Some(VoterRow {
            release_id: release,
            principal: voter.principal()?.to_string(),
            position,
            user_id: voter.user_id,
            group_id: voter.group_id,
            asked,
            decision: None,
            voted_by: None,
            vote_id: None,
        })
    });
    rows.collect()
}

/// What is wrong with a rule, and with whom it names. `base` is the pointer to it.
pub fn rule_faults(
    context: &mut WriteContext<'_>,
    rule: &ApprovalRule,
    workflow: &Workflow,
    base: &str,
) -> Result<Vec<Fault>> {
    let mut faults = rule.faults(base);
    if !workflow.ever_asks_approvals() {
        // A rule that nobody ever asks about would be a promise without an effect.
        let detail = "No stage of the release's workflow asks for approvals.";
        faults.push(Fault::at(base, "NOT_APPLICABLE", detail));
    }
    if rule.requester_may_approve && !workflow.lets_requester_approve() {
        let detail = "The release's workflow asks for four eyes: neither requester nor assignee approves.";
        faults.push(Fault::at(format!("{base}/requester_may_approve"), "FOUR_EYES_NEEDED", detail));
    }
    for (index, voter) in rule.voters.iter().enumerate() {
        let at = |name: &str| format!("{base}/voters/{index}/{name}");
        match voter.principal() {
            Some(Principal::User(id)) => match context.reference::<User>(id)? {
                None => faults.push(Fault::unknown(at("user_id"), "user")),
                Some(user) if !user.content.active => {
                    faults.push(Fault::at(at("user_id"), "USER_DISABLED", "The user's account is disabled."));
                }
                Some(_) => {}
            },
            Some(Principal::Group(id)) => match context.reference::<Group>(id)? {
                None => faults.push(Fault::unknown(at("group_id"), Group::RECORD)),
                Some(group) if !group.content.active => {
                    faults.push(Fault::at(at("group_id"), "GROUP_NOT_ACTIVE", "The group is not active."));
                }
                Some(group) if !group.content.permissions.0.contains(&Permission::Approve) => {
                    let detail = "The members of the group do not hold `approve`.";
                    faults.push(Fault::at(at("group_id"), "GROUP_CANNOT_APPROVE", detail));
                }
                Some(_) => {}
            },
            None => {}
        }
    }
    Ok(faults)
}

/// Whoever is asked about does not choose who is asked: a rule that the model gives, and one that is being voted on, is
/// replaced by those alone who may override.
pub fn may_replace_rule(context: &WriteContext<'_>, group: GroupId) -> Result<()> {
    if context.actor.may(Permission::Override, group) { Ok(()) } else { Err(forbidden(Permission::Override)) }
}

/// Stores the rule of a release that was just made and stored.
pub fn store_first_rule(
    context: &mut WriteContext<'_>,
    release: &Release,
    workflow: &Workflow,
    rule: &ApprovalRule,
    stamp: &Stamp,
) -> Result<()> {
    let is_open = workflow.asks_approvals(&release.stage);
    let row = new_row(release.id, rule, is_open, context.now);
    approvals::store_rule(context.connection, &row, &voter_rows(release.id, rule, is_open), stamp)?;
    if is_open {
        let round = round_row(&row, RoundCause::Entered, None, rule.clone(), context.now);
        approvals::insert_round(context.connection, &round)?;
    }
    Ok(())
}

fn new_row(release: ReleaseId, rule: &ApprovalRule, is_open: bool, now: Timestamp) -> ApprovalRow {
    ApprovalRow {
        release_id: release,
        kind: rule.kind,
        quorum: rule.quorum,
        percent: rule.percent,
        needed: i64::try_from(rule.needed()).unwrap_or(i64::MAX),
        requester_may_approve: rule.requester_may_approve,
        round: i64::from(is_open),
        is_open,
        row_version: 1,
        created_at: now,
        updated_at: now,
    }
}

fn round_row(
    row: &ApprovalRow,
    cause: RoundCause,
    reason: Option<&str>,
    rule: ApprovalRule,
    now: Timestamp,
) -> RoundRow {
    RoundRow {
        release_id: row.release_id,
        round: row.round,
        cause,
        reason: reason.map(str::to_owned),
        rule: Json(rule),
        opened_at: now,
    }
}

fn recorded<'v>(
    release: &Release,
    subject: (&'static str, String),
    action: &str,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
) -> Recorded<'v> {
    Recorded {
        record_type: "release",
        record_id: release.id.to_string(),
        subject: Some(subject),
        action: action.into(),
        before,
        after,
        published: true,
    }
}

fn of_rule(release: &Release) -> (&'static str, String) {
    ("approvals", release.id.to_string())
}

/// Sets the rule of a release, in place of the one before. Votes that were given under that one do not count.
pub fn set_rule(context: &mut WriteContext<'_>, reference: ReleaseRef, draft: Draft<ApprovalRule>) -> Result<Shown> {
    let release = visible_locked(context, reference)?;
    let permit = may_execute(context, &release)?;
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let model = context.reference::<Model>(release.model_id)?;
    let is_given = model.is_some_and(|model| model.content.approval_rule.is_some());
    if is_given || workflow.asks_approvals(&release.stage) {
        may_replace_rule(context, release.executor_group_id)?;
    }
    let stored = approvals::find(context.connection, release.id)?;
    context.request.if_match.demand(stored.as_ref().map_or(0, |row| row.row_version))?;
    active(context, &release)?;
    locked_plan(context, &release, "")?;
    let rule = draft.map_err(Error::Invalid)?;
    Error::unless_none(rule_faults(context, &rule, &workflow, "")?)?;
    let after = json!({"approval_rule": rule});
    let Some(row) = stored else {
        let change = recorded(&release, of_rule(&release), "release.set_approval_rule", None, Some(&after));
        let stamp = context.record(permit, &release.chain, change)?;
        store_first_rule(context, &release, &workflow, &rule, &stamp)?;
        crate::repository::releases::move_chain(context.connection, release.id, &stamp)?;
        return show(context, &release, None);
    };
    let voters = approvals::voters(context.connection, release.id)?;
    let before = json!({"approval_rule": rule_of(&row, voters.iter().map(|voter| &voter.row))});
    if before == after {
        return show(context, &release, None);
    }
    let change = recorded(&release, of_rule(&release), "release.set_approval_rule", Some(&before), Some(&after));
    let mut stamp = context.record(permit, &release.chain, change)?;
    let reset = row.is_open && voters.iter().any(|voter| voter.row.vote_id.is_some());
    let now = context.now;
    let next = ApprovalRow {
        round: row.round + i64::from(reset),
        is_open: row.is_open,
        row_version: row.row_version + 1,
        created_at: row.created_at,
        ..new_row(release.id, &rule, row.is_open, now)
    };
    let round = round_row(&next, RoundCause::RuleChanged, Some("The approval rule changed."), rule.clone(), now);
    if reset {
        stamp = record_reset(context, permit, &release, &row, &voters, &round, &stamp)?;
    }
    approvals::store_rule(context.connection, &next, &voter_rows(release.id, &rule, row.is_open), &stamp)?;
    if reset {
        approvals::insert_round(context.connection, &round)?;
    } else if row.is_open {
        approvals::set_round_rule(context.connection, release.id, row.round, &rule)?;
    }
    crate::repository::releases::move_chain(context.connection, release.id, &stamp)?;
    show(context, &release, None)
}

/// History names the votes that do not count any more, and why.
fn record_reset(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    row: &ApprovalRow,
    voters: &[VoterView],
    round: &RoundRow,
    head: &Stamp,
) -> Result<Stamp> {
    let votes: Vec<Value> = voters
        .iter()
        .filter(|voter| voter.row.vote_id.is_some())
        .map(|voter| json!({"vote_id": voter.row.vote_id, "voter": voter.name, "decision": voter.row.decision}))
        .collect();
    let before = json!({"round": row.round, "votes": votes});
    let after = json!({"round": round.round, "votes": [], "cause": round.cause, "reason": round.reason});
    let change = recorded(release, of_rule(release), "release.reset_votes", Some(&before), Some(&after));
    context.record(permit, head.head(), change)
}

/// What was voted on has changed: the votes of the round do not count any more, and everybody is asked anew. Whatever
/// changes windows, version, change links or CI links calls this with the stamp of its own record, and stores the
/// stamp that it answers. `None` where there is nothing to reset.
pub fn reset_votes(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    stamp: &Stamp,
    reason: &str,
) -> Result<Option<Stamp>> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    if !workflow.asks_approvals(&release.stage) {
        // Entering such a stage opens a round anyway.
        return Ok(None);
    }
    let Some(row) = approvals::find(context.connection, release.id)?.filter(|row| row.is_open) else {
        return Ok(None);
    };
    let voters = approvals::voters(context.connection, release.id)?;
    if voters.iter().all(|voter| voter.row.vote_id.is_none()) {
        return Ok(None);
    }
    let next =
        ApprovalRow { round: row.round + 1, row_version: row.row_version + 1, updated_at: context.now, ..row.clone() };
    let rule = rule_of(&row, voters.iter().map(|voter| &voter.row));
    let round = round_row(&next, RoundCause::MaterialEdit, Some(reason), rule, context.now);
    let stamp = record_reset(context, permit, release, &row, &voters, &round, stamp)?;
    approvals::open_round(context.connection, &next, &round, &stamp)?;
    Ok(Some(stamp))
}

/// True where a release in this state is asked about, be it suspended meanwhile.
fn asks(workflow: &Workflow, release: &Release) -> bool {
    (release.status.is_active() || release.status == Status::Suspended) && workflow.asks_approvals(&release.stage)
}

/// What a transition means for the votes: coming to a stage that asks for approvals opens a round, leaving it ends
/// the asking. Answers the stamp to store where a round was opened.
pub fn follow_transition(
    context: &mut WriteContext<'_>,
    permit: Permit,
    workflow: &Workflow,
    (before, after): (&Release, &Release),
    stamp: &Stamp,
) -> Result<Option<Stamp>> {
    let (asked, asks) = (asks(workflow, before), asks(workflow, after));
    let enters = asks && (!asked || before.stage != after.stage);
    if !enters && asked == asks {
        return Ok(None);
    }
    let Some(row) = approvals::find(context.connection, after.id)? else {
        return Ok(None);
    };
    let now = context.now;
    let next = ApprovalRow { is_open: asks, row_version: row.row_version + 1, updated_at: now, ..row.clone() };
    if !enters {
        approvals::close_round(context.connection, &next, stamp)?;
        return Ok(None);
    }
    let next = ApprovalRow { round: row.round + 1, ..next };
    let voters = approvals::voters(context.connection, after.id)?;
    let rule = rule_of(&row, voters.iter().map(|voter| &voter.row));
    let round = round_row(&next, RoundCause::Entered, None, rule, now);
    let (old, new) = (json!({"round": row.round}), json!({"round": next.round, "cause": round.cause}));
    let change = recorded(after, of_rule(after), "release.open_approval_round", Some(&old), Some(&new));
    let stamp = context.record(permit, stamp.head(), change)?;
    approvals::open_round(context.connection, &next, &round, &stamp)?;
    Ok(Some(stamp))
}

/// Requester or assignee of a release are others than before: who may vote, and whose vote counts, is judged anew.
/// The release is stored.
pub fn ask_anew(context: &mut WriteContext<'_>, release: &Release) -> Result<()> {
    let voters = approvals::voters(context.connection, release.id)?;
    let Some(row) = approvals::find(context.connection, release.id)?.filter(|row| row.is_open) else {
        return Ok(());
    };
    let needed = usize::try_from(row.needed).unwrap_or(usize::MAX);
    let facts = ApprovalFacts { needed, voters: voters.iter().map(fact).collect() };
    let asked: Vec<String> = if facts.tally().satisfied {
        Vec::new()
    } else {
        let voted = [VoterStanding::Approved, VoterStanding::Rejected];
        let open = voters.into_iter().filter(|voter| !voted.contains(&voter.standing));
        open.map(|voter| voter.row.principal).collect()
    };
    Ok(approvals::ask(context.connection, release.id, &asked)?)
}

/// True where four eyes keep somebody else than before from voting, and votes are asked for.
pub fn bars_others(workflow: &Workflow, before: &Release, after: &Release) -> bool {
    asks(workflow, after) && barred(before) != barred(after)
}
