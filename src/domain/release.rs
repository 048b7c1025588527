//! The release and its invariants (`domain.md` §2, §6 and §7).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::{Actor, Principal};
use super::values::{
    AskedFor, CalendarId, ContractId, Fault, GroupId, Level, ModelId, PortfolioId, ReleaseId, ReleaseType, Resolution,
    SolutionCategoryId, Status, Timestamp, UnitId, UserId, Window, WorkflowId,
};
use super::workflow::{Stage, Workflow};
use super::worktime::{self, Worktime};

/// Who asked for the release. Name and e-mail are required; given a user, the rest is filled in from the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Requester {
    /// The requester's account, where there is one.
    pub user_id: Option<UserId>,
    /// Name.
    pub name: String,
    /// Name of a contact, where it is somebody else.
    pub contact_name: Option<String>,
    /// E-mail address.
    pub email: String,
    /// Telephone number.
    pub phone: Option<String>,
    /// Telephone extension.
    pub extension: Option<String>,
    /// Organisational unit.
    pub unit_id: Option<UnitId>,
    /// Where the requester sits.
    pub location: Option<String>,
    /// Notes.
    pub notes: Option<String>,
}

/// What the users expect of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Criterion {
    /// The expectation.
    pub text: String,
    /// Who confirmed it.
    pub confirmed_by: Option<UserId>,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
}

/// What is mailed to the requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// When the release is created.
    pub on_created: bool,
    /// When it is updated.
    pub on_updated: bool,
    /// When it is closed.
    pub on_closed: bool,
}

/// The end of a record's audit chain, as kept on the record itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainHead {
    /// Number of rows in the chain.
    pub length: i64,
    /// Hash of the last row, in hexadecimal; empty for an empty chain.
    pub hash: String,
}

/// A release, whole. Serialised, it is what its history compares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Release {
    /// Identifier.
    pub id: ReleaseId,
    /// Number, unique; the key is `REL-<number>`.
    pub number: i64,
    /// Title, 1..=200 characters.
    pub title: String,
    /// Description, up to 65 000 characters.
    pub description: Option<String>,
    /// The version that is released, up to 50 characters.
    pub version: Option<String>,
    /// Kind of release.
    #[serde(rename = "type")]
    pub release_type: ReleaseType,
    /// Portfolio of the model.
    pub portfolio_id: PortfolioId,
    /// Model that the release was made from.
    pub model_id: ModelId,
    /// The version of the workflow that the release started with.
    pub workflow_id: WorkflowId,
    /// Who asked for it.
    pub requester: Requester,
    /// Contract.
    pub contract_id: Option<ContractId>,
    /// The calendar that its working time is counted on; every minute counts without one.
    pub calendar_id: Option<CalendarId>,
    /// The group that executes it.
    pub executor_group_id: GroupId,
    /// The member of that group who has it.
    pub assignee_id: Option<UserId>,
    /// Impact.
    pub impact: Level,
    /// Urgency.
    pub urgency: Level,
    /// Risk.
    pub risk: Level,
    /// What the users expect.
    pub acceptance_criteria: Vec<Criterion>,
    /// Status.
    pub status: Status,
    /// Status before the suspension, while suspended.
    pub status_before_suspension: Option<Status>,
    /// Key of the current stage.
    pub stage: String,
    /// When it is planned.
    pub planning_window: Option<Window>,
    /// When it is deployed.
    pub deployment_window: Option<Window>,
    /// When the work must be done; moved on by suspensions.
    pub deadline: Option<Timestamp>,
    /// When it really went live.
    pub release_date: Option<Timestamp>,
    /// How it ended.
    pub resolution: Option<Resolution>,
    /// Category of the solution.
    pub solution_category_id: Option<SolutionCategoryId>,
    /// Closing words.
    pub closure_notes: Option<String>,
    /// How often it was reopened.
    pub reopen_count: i64,
    /// Tags.
    pub tags: Vec<String>,
    /// Fields of the installation's own.
    pub custom_fields: serde_json::Map<String, serde_json::Value>,
    /// What is mailed to the requester.
    pub notify: Notify,
    /// What its model asked for when it was registered, besides what every release of the workflow needs.
    pub asks_for: BTreeSet<AskedFor>,
    /// Rises with every change of the release's own fields.
    #[serde(skip)]
    pub row_version: i64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: UserId,
    /// When its own fields last changed.
    #[serde(skip)]
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// When it was suspended, while suspended.
    pub suspended_at: Option<Timestamp>,
    /// End of its audit chain.
    #[serde(skip)]
    pub chain: ChainHead,
}

/// How long the work may take, and has taken, in working minutes of the calendar as it is now.
///
/// The clock stands still while the release is suspended, and after it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sla {
    /// The calendar that working time is counted on; null counts every minute.
    pub calendar_id: Option<CalendarId>,
    /// Working minutes from planning start to deployment end.
    pub term_minutes: Option<i64>,
    /// Working minutes used.
    pub elapsed_minutes: Option<i64>,
    /// Working minutes left, never below zero.
    pub remaining_minutes: Option<i64>,
    /// When the work must be done: the deployment end; after a suspension the first instant at which the working
    /// time that was left has passed, until a window is patched.
    pub deadline: Option<Timestamp>,
    /// True while the clock stands still.
    pub paused: bool,
    /// True for an active release past its deadline.
    pub overdue: bool,
}

/// Priority from 1 (highest) to 5, out of impact and urgency (`domain.md` §6).
pub const fn priority(impact: Level, urgency: Level) -> i64 {
    (match impact {
        Level::High => 1,
        Level::Medium => 2,
        Level::Low => 3,
    }) + (match urgency {
        Level::High => 0,
        Level::Medium => 1,
        Level::Low => 2,
    })
}

impl Release {
    /// The key that people use.
    pub fn key(&self) -> String {
        format!("REL-{}", self.number)
    }

    /// Priority from 1 (highest) to 5.
    pub const fn priority(&self) -> i64 {
        priority(self.impact, self.urgency)
    }

    /// The user who signs for the requester: the requester's account, or the creator where there is none.
    pub fn acting_requester(&self) -> UserId {
        self.requester.user_id.unwrap_or(self.created_by)
    }

    /// True where the actor is the acting requester.
    pub fn is_requested_by(&self, actor: &Actor) -> bool {
        self.acting_requester() == actor.user_id
    }

    /// The clock of the release, read at `now`, on the working time of its calendar.
    pub fn sla(&self, now: Timestamp, worktime: Option<&Worktime>) -> Sla {
        let paused = self.status == Status::Suspended;
        let mut sla = Sla {
            calendar_id: self.calendar_id,
            term_minutes: None,
            elapsed_minutes: None,
            remaining_minutes: None,
            deadline: None,
            paused,
            overdue: false,
        };
        // The deployment alone has a deadline; how long the work may take, both windows tell.
        let Some(deadline) = self.deadline else {
            return sla;
        };
        let read_at = match self.status {
            Status::Suspended => self.suspended_at,
            Status::Closed => self.closed_at,
            Status::Cancelled => self.cancelled_at,
            Status::Open | Status::Reopened => None,
        }
        .unwrap_or(now);
        if let (Some(planning), Some(deployment)) = (self.planning_window, self.deployment_window) {
            let term = worktime::between(worktime, planning.start, deployment.end).num_minutes();
            let left = worktime::between(worktime, read_at, deadline).num_minutes();
            sla.term_minutes = Some(term);
            sla.elapsed_minutes = Some((term - left).max(0));
            sla.remaining_minutes = Some(left.clamp(0, term.max(0)));
        }
        sla.deadline = Some(deadline);
        sla.overdue = self.status.is_active() && deadline < now;
        sla
    }

    /// Everybody to whom the release is visible by its own fields, with the reason.
    pub fn principals(&self, workflow: &Workflow) -> Vec<(Principal, &'static str)> {
        let mut all = vec![
            (Principal::User(self.created_by), "creator"),
            (Principal::Group(self.executor_group_id), "executor_group"),
        ];
        all.extend(self.requester.user_id.map(|id| (Principal::User(id), "requester")));
        all.extend(self.assignee_id.map(|id| (Principal::User(id), "assignee")));
        let named = workflow.stages.iter().flat_map(Stage::named_groups);
        all.extend(named.map(|group| (Principal::Group(group), "stage")));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The faults of the two windows: each must start before it ends, and planning must end before deployment starts.
pub fn window_faults(planning: Option<Window>, deployment: Option<Window>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, window) in [("planning_window", planning), ("deployment_window", deployment)] {
        if window.is_some_and(|window| window.start >= window.end) {
            faults.push(Fault::at(format!("/{name}"), "WINDOW_REVERSED", "The window must start before it ends."));
        }
    }
    if let (Some(planning), Some(deployment)) = (planning, deployment)
        && planning.end > deployment.start
    {
        faults.push(Fault::at(
            "/planning_window/end",
            "WINDOWS_OVERLAP",
            "The planning window must end no later than the deployment window starts.",
        ));
    }
    faults
}

/// The faults of windows given at creation: neither may lie wholly in the past, except in an emergency.
pub fn past_window_faults(
    release_type: ReleaseType,
    planning: Option<Window>,
    deployment: Option<Window>,
    now: Timestamp,
) -> Vec<Fault> {
    if release_type == ReleaseType::Emergency {
        return Vec::new();
    }
    [("planning_window", planning), ("deployment_window", deployment)]
        .into_iter()
        .filter(|(_, window)| window.is_some_and(|window| window.is_past(now)))
        .map(|(name, _)| Fault::at(format!("/{name}"), "WINDOW_PAST", "The window lies wholly in the past."))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_follows_the_matrix() {
        use Level::{High, Low, Medium};
        let matrix = [(High, [1, 2, 3]), (Medium, [2, 3, 4]), (Low, [3, 4, 5])];
        for (impact, row) in matrix {
            assert_eq!([High, Medium, Low].map(|urgency| priority(impact, urgency)), row);
        }
    }

    fn window(start: &str, end: &str) -> Option<Window> {
        Some(Window { start: start.parse().unwrap(), end: end.parse().unwrap() })
    }

    #[test]
    fn windows_must_run_forwards_and_one_after_the_other() {
        let planning = window("2026-12-01T09:00:00Z", "2026-12-01T18:00:00Z");
        let deployment = window("2026-12-01T18:00:00Z", "2026-12-02T02:00:00Z");
        assert!(window_faults(planning, deployment).is_empty());
        let codes = |p, d| window_faults(p, d).into_iter().map(|fault| fault.code).collect::<Vec<_>>();
        assert_eq!(codes(deployment, planning), ["WINDOWS_OVERLAP"]);
        let reversed = window("2026-12-03T00:00:00Z", "2026-12-03T00:00:00Z");
        assert_eq!(codes(planning, reversed), ["WINDOW_REVERSED"]);
    }

    #[test]
    fn only_an_emergency_may_be_registered_after_its_windows() {
        let past = window("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(past_window_faults(ReleaseType::Minor, past, None, now).len(), 1);
        assert!(past_window_faults(ReleaseType::Emergency, past, past, now).is_empty());
    }
}
