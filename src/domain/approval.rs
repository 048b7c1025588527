//! Approvals: the rule of a release, who is asked, and what their votes add up to (`domain.md` §5).
//!
//! One number decides: how many voters must approve, out of all that the rule names. What a rejection does follows
//! from it - see [`ApprovalKind`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::lifecycle::Blocker;
use super::policy::Principal;
use super::release::Release;
use super::values::{ApprovalKind, Fault, GroupId, UserId, VoterStanding};

/// A rule names at most so many voters; a committee is one group.
pub const VOTERS_MAX: usize = 20;

/// A blocker names at most so many voters in words; it refers to all of them.
const NAMES_MAX: usize = 10;

/// One voter of a rule: a user, or a group for which any of its members who hold `approve` there votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Voter {
    /// The user; null where it is a group.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// The group; null where it is a user. It is one voter, however many members it has.
    #[serde(default)]
    pub group_id: Option<GroupId>,
}

impl Voter {
    /// Whom the voter stands for; `None` where it names nobody, or two.
    pub const fn principal(&self) -> Option<Principal> {
        match (self.user_id, self.group_id) {
            (Some(user), None) => Some(Principal::User(user)),
            (None, Some(group)) => Some(Principal::Group(group)),
            _ => None,
        }
    }
}

/// Who must approve a release before it leaves the stage that asks for approvals.
///
/// So many of the voters must approve: one for `any`, every one for `all`, `quorum` of them, or `percent` of them,
/// rounded up. A rejection is a vote that does not approve. It blocks as soon as too few voters are left to approve:
/// at once with `all`; with `quorum` and `percent` once the others no longer suffice; with `any` only where everybody
/// rejects. Whoever rejected may vote again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "kind": "quorum",
    "quorum": 1,
    "voters": [{"user_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"}]
}))]
pub struct ApprovalRule {
    /// How many of the voters must approve.
    pub kind: ApprovalKind,
    /// How many must approve, with the kind `quorum` alone: at least 1, at most as many as there are voters.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 20)]
    pub quorum: Option<i64>,
    /// What part of the voters must approve, rounded up, with the kind `percent` alone.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub percent: Option<i64>,
    /// Who is asked: each names a user or a group, and is there once.
    #[schema(min_items = 1, max_items = 20)]
    pub voters: Vec<Voter>,
    /// True where requester, acting requester and assignee may vote too. Else four eyes are needed. Only where the gate of
    /// the workflow says `requester_may_approve`.
    #[serde(default)]
    #[schema(default = false)]
    pub requester_may_approve: bool,
}

impl ApprovalRule {
    /// What is wrong with the rule itself. `base` is the pointer to it.
    pub fn faults(&self, base: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let parts = [
            ("quorum", ApprovalKind::Quorum, self.quorum, VOTERS_MAX.min(self.voters.len()), "MORE_THAN_VOTERS"),
            ("percent", ApprovalKind::Percent, self.percent, 100, "OUT_OF_RANGE"),
        ];
        for (name, kind, given, most, above) in parts {
            let pointer = format!("{base}/{name}");
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            match given {
                None if self.kind == kind => {
                    faults.push(Fault::at(pointer, "REQUIRED", format!("A rule of the kind `{kind}` needs this.")));
                }
                Some(_) if self.kind != kind => {
                    let detail = format!("A rule of the kind `{}` does not take this.", self.kind);
                    faults.push(Fault::at(pointer, "NOT_APPLICABLE", detail));
                }
                Some(number) if !(1..=most).contains(&number) => {
                    let code = if number > most { above } else { "OUT_OF_RANGE" };
                    faults.push(Fault::at(pointer, code, format!("This is 1 to {most} here.")));
                }
                _ => {}
            }
        }
        if self.voters.is_empty() {
            faults.push(Fault::at(format!("{base}/voters"), "TOO_SHORT", "Somebody must be asked."));
        }
        if self.voters.len() > VOTERS_MAX {
            let detail = format!("A rule names at most {VOTERS_MAX} voters.");
            faults.push(Fault::at(format!("{base}/voters"), "TOO_LONG", detail));
        }
        for (index, voter) in self.voters.iter().enumerate() {
            let pointer = format!("{base}/voters/{index}");
            if voter.principal().is_none() {
                let code =
                    if voter.user_id.is_none() && voter.group_id.is_none() { "REQUIRED" } else { "NOT_APPLICABLE" };
                faults.push(Fault::at(pointer, code, "A voter is a user or a group, and not both."));
            } else if self.voters[..index].contains(voter) {
                faults.push(Fault::at(pointer, "REPEATED", "The voter is in the list more than once."));
            }
        }
        faults
    }

    /// How many voters must approve.
    pub fn needed(&self) -> usize {
        let all = self.voters.len();
        let share = |part: Option<i64>| usize::try_from(part.unwrap_or(1)).unwrap_or(1);
        match self.kind {
            ApprovalKind::Any => 1,
            ApprovalKind::All => all,
            ApprovalKind::Quorum => share(self.quorum),
            ApprovalKind::Percent => (all * share(self.percent)).div_ceil(100).max(1),
        }
    }
}

/// Those whom four eyes keep from voting: requester, acting requester and assignee.
pub fn barred(release: &Release) -> Vec<UserId> {
    let mut barred = vec![release.acting_requester()];
    barred.extend(release.assignee_id);
    barred
}

/// A voter, with where their vote stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterFact {
    /// The user or the group, as `u:ID` or `g:ID`.
    pub principal: String,
    /// Name, for people.
    pub name: String,
    /// Where their vote stands.
    pub standing: VoterStanding,
}

impl VoterFact {
    /// The identifier of the user or group.
    fn id(&self) -> &str {
        self.principal.get(2..).unwrap_or_default()
    }
}

/// The round of votes that is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalFacts {
    /// How many must approve.
    pub needed: usize,
    /// Everybody who is asked, at most [`VOTERS_MAX`].
    pub voters: Vec<VoterFact>,
}

/// What votes add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tally {
    /// How many voters must approve.
    pub needed: usize,
    /// How many approve.
    pub approvals: usize,
    /// How many reject.
    pub rejections: usize,
    /// How many may still vote and have not.
    pub waiting: usize,
    /// True where enough approve.
    pub satisfied: bool,
}

impl Tally {
    /// Counts the votes.
    pub fn of(needed: usize, standings: impl Iterator<Item = VoterStanding>) -> Self {
        let mut tally = Self { needed, approvals: 0, rejections: 0, waiting: 0, satisfied: false };
        for standing in standings {
            match standing {
                VoterStanding::Approved => tally.approvals += 1,
                VoterStanding::Rejected => tally.rejections += 1,
                VoterStanding::Waiting => tally.waiting += 1,
                VoterStanding::Barred | VoterStanding::Ineligible => {}
            }
        }
        tally.satisfied = tally.approvals >= needed;
        tally
    }

    /// True where fewer voters have voted or may vote than must approve.
    pub const fn lacks_voters(&self) -> bool {
        self.approvals + self.rejections + self.waiting < self.needed
    }

    /// True where so many reject that the others do not suffice.
    pub const fn is_rejected(&self) -> bool {
        self.rejections > 0 && self.approvals + self.waiting < self.needed
    }
}

impl ApprovalFacts {
    /// What the votes add up to.
    pub fn tally(&self) -> Tally {
        Tally::of(self.needed, self.voters.iter().map(|voter| voter.standing))
    }

    /// Everything that keeps the votes from being enough; empty where they are.
    pub fn blockers(&self, gate: &'static str) -> Vec<Blocker> {
        let tally = self.tally();
        if tally.satisfied {
            return Vec::new();
        }
        let block = |code, detail: String, standing: &[VoterStanding]| {
            let blocker = Blocker::gate(gate, code, detail, "/approvals");
            self.standing(standing).fold(blocker, |blocker, voter| blocker.about(voter.id()))
        };
        let names = |standing: &[VoterStanding]| {
            let names: Vec<&str> = self.standing(standing).map(|voter| voter.name.as_str()).collect();
            match names.get(..NAMES_MAX) {
                Some(first) if names.len() > NAMES_MAX => {
                    format!("{} and {} more", first.join(", "), names.len() - NAMES_MAX)
                }
                _ => names.join(", "),
            }
        };
        let Tally { needed, approvals, rejections, waiting, .. } = tally;
        let mut blockers = Vec::new();
        if tally.is_rejected() {
            let rejected = [VoterStanding::Rejected];
            let detail = format!(
                "{rejections} of {} voters reject, and {needed} must approve: {}.",
                self.voters.len(),
                names(&rejected)
            );
            blockers.push(block("APPROVAL_REJECTED", detail, &rejected));
        }
        if tally.lacks_voters() {
            let unable = [VoterStanding::Barred, VoterStanding::Ineligible];
            let detail = format!(
                "{needed} must approve, and only {} can: {} cannot vote.",
                approvals + rejections + waiting,
                names(&unable)
            );
            blockers.push(block("NO_ELIGIBLE_APPROVER", detail, &unable));
        }
        if waiting > 0 {
            let asked = [VoterStanding::Waiting];
            let detail = format!("{approvals} of {needed} approvals are there; asked are {}.", names(&asked));
            blockers.push(block("APPROVAL_MISSING", detail, &asked));
        }
        blockers
    }

    fn standing<'f>(&'f self, standing: &[VoterStanding]) -> impl Iterator<Item = &'f VoterFact> {
        let standing = standing.to_vec();
        self.voters.iter().filter(move |voter| standing.contains(&voter.standing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: ApprovalKind, number: Option<i64>, voters: u128) -> ApprovalRule {
        let voter = |index| Voter { user_id: Some(UserId::new(uuid::Uuid::from_u128(index))), group_id: None };
        ApprovalRule {
            kind,
            quorum: number.filter(|_| kind == ApprovalKind::Quorum),
            percent: number.filter(|_| kind == ApprovalKind::Percent),
            voters: (0..voters).map(voter).collect(),
            requester_may_approve: false,
        }
    }

    /// `a`pproved, `r`ejected, `w`aiting, `b`arred, `i`neligible.
    fn facts(rule: &ApprovalRule, standings: &str) -> ApprovalFacts {
        assert_eq!(rule.voters.len(), standings.len());
        let standing = |letter| match letter {
            'a' => VoterStanding::Approved,
            'r' => VoterStanding::Rejected,
            'w' => VoterStanding::Waiting,
            'b' => VoterStanding::Barred,
            _ => VoterStanding::Ineligible,
        };
        let voters = standings.chars().enumerate().map(|(index, letter)| VoterFact {
            principal: format!("u:{index}"),
            name: format!("Voter {index}"),
            standing: standing(letter),
        });
        ApprovalFacts { needed: rule.needed(), voters: voters.collect() }
    }

    #[test]
    fn every_rule_treats_approvals_rejections_and_missing_voters_as_it_says() {
        use ApprovalKind::{All, Any, Percent, Quorum};
        const MISSING: &str = "APPROVAL_MISSING";
        const REJECTED: &str = "APPROVAL_REJECTED";
        const NOBODY: &str = "NO_ELIGIBLE_APPROVER";
        type Row = (ApprovalKind, Option<i64>, &'static str, &'static [&'static str]);
        let table: &[Row] = &[
            // One approval satisfies `any`, whoever rejects; only everybody's rejection blocks.
            (Any, None, "www", &[MISSING]),
            (Any, None, "aww", &[]),
            (Any, None, "arr", &[]),
            (Any, None, "rww", &[MISSING]),
            (Any, None, "rrr", &[REJECTED]),
            (Any, None, "rbi", &[REJECTED]),
            (Any, None, "bi", &[NOBODY]),
            // One rejection blocks `all`.
            (All, None, "aaa", &[]),
            (All, None, "aaw", &[MISSING]),
            (All, None, "aar", &[REJECTED]),
            (All, None, "arw", &[REJECTED, MISSING]),
            (All, None, "aab", &[NOBODY]),
            (All, None, "awi", &[NOBODY, MISSING]),
            (All, None, "ari", &[REJECTED, NOBODY]),
            // A quorum is out of reach once the others no longer suffice.
            (Quorum, Some(2), "aww", &[MISSING]),
            (Quorum, Some(2), "aaw", &[]),
            (Quorum, Some(2), "aar", &[]),
            (Quorum, Some(2), "arw", &[MISSING]),
            (Quorum, Some(2), "arr", &[REJECTED]),
            (Quorum, Some(2), "rrw", &[REJECTED, MISSING]),
            (Quorum, Some(2), "ari", &[REJECTED]),
            (Quorum, Some(2), "abi", &[NOBODY]),
            (Quorum, Some(2), "wbb", &[NOBODY, MISSING]),
            // Percents are rounded up: half of three is two, and one percent is one.
            (Percent, Some(50), "aww", &[MISSING]),
            (Percent, Some(50), "aaw", &[]),
            (Percent, Some(50), "arr", &[REJECTED]),
            (Percent, Some(34), "aww", &[MISSING]),
            (Percent, Some(33), "aww", &[]),
            (Percent, Some(1), "arrrr", &[]),
            (Percent, Some(100), "aaaar", &[REJECTED]),
            (Percent, Some(100), "aaaaa", &[]),
        ];
        for (kind, number, standings, expected) in table {
            let rule = rule(*kind, *number, standings.len() as u128);
            let facts = facts(&rule, standings);
            let codes: Vec<&str> = facts.blockers("approvals_satisfied").iter().map(|blocker| blocker.code).collect();
            assert_eq!(codes, *expected, "{kind} {number:?} {standings}");
            assert_eq!(facts.tally().satisfied, expected.is_empty(), "{kind} {number:?} {standings}");
        }
    }

    #[test]
    fn a_blocker_names_those_whom_it_is_about() {
        let rule = rule(ApprovalKind::All, None, 3);
        let blockers = facts(&rule, "arw").blockers("approvals_satisfied");
        assert_eq!((blockers[0].refs.clone(), blockers[1].refs.clone()), (vec!["1".into()], vec!["2".into()]));
        assert!(blockers[1].detail.contains("Voter 2"), "{}", blockers[1].detail);
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused_with_every_fault() {
        use ApprovalKind::{Any, Percent, Quorum};
        let codes = |rule: &ApprovalRule| rule.faults("").into_iter().map(|fault| fault.code).collect::<Vec<_>>();
        for (kind, number) in [(Quorum, 1), (Quorum, 3), (Percent, 1), (Percent, 100)] {
            assert!(codes(&rule(kind, Some(number), 3)).is_empty(), "{kind} {number}");
        }
        for (kind, number) in [(Quorum, 0), (Quorum, -1), (Percent, 0), (Percent, 101)] {
            assert_eq!(codes(&rule(kind, Some(number), 3)), ["OUT_OF_RANGE"], "{kind} {number}");
        }
        assert_eq!(codes(&rule(Quorum, Some(4), 3)), ["MORE_THAN_VOTERS"]);
        assert_eq!(codes(&rule(Quorum, None, 3)), ["REQUIRED"]);
        assert_eq!(codes(&ApprovalRule { percent: Some(5), ..rule(Any, None, 3) }), ["NOT_APPLICABLE"]);
        assert_eq!(codes(&rule(Any, None, 0)), ["TOO_SHORT"]);
        assert_eq!(codes(&rule(Any, None, 21)), ["TOO_LONG"]);
        let mut odd = rule(Any, None, 2);
        odd.voters.push(odd.voters[0]);
        odd.voters.push(Voter { user_id: None, group_id: None });
        assert_eq!(codes(&odd), ["REPEATED", "REQUIRED"]);
    }
}
