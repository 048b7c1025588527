//! What the decision knows besides the release itself, and what it answers with: blockers.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::approval::ApprovalFacts;
use super::policy;
use super::values::*;
use super::worktime::Worktime;

/// A linked change, as the gates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedChange {
    /// The link.
    pub link_id: ChangeLinkId,
    /// The change.
    pub change_id: ChangeId,
    /// Source and number, for people.
    pub label: String,
    /// Status in change management.
    pub status: ChangeStatus,
    /// Window granted by change management.
    pub window: Option<Window>,
    /// Outcome in this release.
    pub outcome: ChangeOutcome,
    /// True where it says how it is taken back.
    pub has_rollback_plan: bool,
}

/// A release that this one depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The release.
    pub release_id: ReleaseId,
    /// Its number.
    pub number: i64,
    /// Its status.
    pub status: Status,
    /// How it ended.
    pub resolution: Option<Resolution>,
    /// False where the caller may not see it.
    pub visible: bool,
}

impl Dependency {
    /// How it is named to the caller.
    pub fn label(&self) -> String {
        if self.visible { format!("REL-{}", self.number) } else { "A release that you cannot see".into() }
    }
}

/// Purchases that are not finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenPurchases {
    /// How many there are.
    pub count: usize,
    /// The first of them, at most [`OpenPurchases::NAMED_MAX`].
    pub named: Vec<ReleaseReferenceId>,
}

impl OpenPurchases {
    /// So many are named at most.
    pub const NAMED_MAX: usize = 20;
}

/// Activities of one phase that are neither done nor skipped nor archived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenPhase {
    /// How many there are.
    pub count: i64,
    /// The first of them.
    pub examples: Vec<ActivityId>,
}

/// Activities that are neither done nor skipped nor archived, by phase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenActivities {
    /// Of the planning board.
    pub planning: OpenPhase,
    /// Of the deployment board.
    pub deployment: OpenPhase,
}

impl OpenActivities {
    /// Those of a phase.
    pub const fn of(&mut self, phase: ActivityPhase) -> &mut OpenPhase {
        match phase {
            ActivityPhase::Planning => &mut self.planning,
            ActivityPhase::Deployment => &mut self.deployment,
        }
    }
}

/// The configuration items that closing a release as solved would change, as the gates see them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingItems {
    /// How many there are.
    pub count: usize,
    /// How many of them somebody else changed since they were linked.
    pub changed: usize,
    /// The links of the first of those, with source and key for people; at most [`PendingItems::NAMED_MAX`].
    pub named: Vec<(ItemLinkId, String)>,
    /// The links of those that no linked change names, with the change that brought each, linked or not. Known of a
    /// release that is loaded by itself, as all of the following is.
    pub not_covered: Vec<(ItemLinkId, Option<ChangeId>)>,
}

impl PendingItems {
    /// So many are named at most.
    pub const NAMED_MAX: usize = 20;
}

/// A definitive medium of a release, as far as something should be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtfulMedium {
    /// What names it.
    pub by: MediumUse,
    /// The link that names it.
    pub link: String,
    /// Name and version, for people.
    pub label: String,
    /// Status in the library.
    pub status: MediumStatus,
    /// When the right to use it ends.
    pub licence_expires_at: Option<Timestamp>,
}

/// What of a release names a definitive medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediumUse {
    /// The link of a configuration item that is pending.
    ConfigurationItem,
    /// A link of its own.
    DefinitiveMedium,
}

impl MediumUse {
    /// The field of the release that it belongs to.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::ConfigurationItem => "/configuration_items",
            Self::DefinitiveMedium => "/definitive_media",
        }
    }
}

/// What a closed release would have again once it is reopened, and others hold meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldElsewhere {
    /// Its changes that another release under way carries, each with that release as the caller may know it.
    pub changes: Vec<(ChangeId, String)>,
    /// Its definitive media whose licences are all in use.
    pub licences: Vec<(MediumId, Licences)>,
}

impl HeldElsewhere {
    /// A blocker for each; the changes are named as the release links them.
    pub fn blockers(&self, linked: &[LinkedChange]) -> impl Iterator<Item = Blocker> {
        let change = |(id, by): &(ChangeId, String)| {
            let label = linked.iter().find(|change| change.change_id == *id).map_or("", |change| &change.label);
            let detail = format!("The change {label} is {}.", pending_in(by));
            Blocker::state("CHANGE_IN_ANOTHER_RELEASE", "/changes", detail).about(id)
        };
        let licence = |(id, licences): &(MediumId, Licences)| {
            Blocker::state("NO_LICENCE_LEFT", "/definitive_media", licences.to_string()).about(id)
        };
        self.changes.iter().map(change).chain(self.licences.iter().map(licence))
    }
}

/// Where a change is pending, in words for a person.
pub fn pending_in(by: &str) -> String {
    format!("pending in {by}, which is under way")
}

/// The licences of a definitive medium, and how many releases have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licences {
    /// Name and version of the medium.
    pub label: String,
    /// How many there are.
    pub total: i64,
    /// How many releases use it.
    pub in_use: i64,
}

impl Licences {
    /// True where there is one for another release.
    pub const fn has_room(&self) -> bool {
        self.in_use < self.total
    }
}

impl std::fmt::Display for Licences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Of {} licences of {} {} are in use.", self.total, self.label, self.in_use)
    }
}

/// Evidence among the documents of a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How many documents there are of this class.
    pub count: i64,
    /// How many of them name the version of the release.
    pub of_this_version: i64,
}

/// Gaps of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// How many there are.
    pub count: i64,
    /// What the first of them are about: links, or documents.
    pub named: Vec<String>,
}

/// What a release lacks of the library; nothing where no gate of its stage asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibraryGaps(pub Vec<(Gap, Gaps)>);

impl LibraryGaps {
    /// So many of a kind are named at most.
    pub const NAMED_MAX: usize = 20;

    /// Those of a kind, where there are any.
    pub fn of(&self, kind: Gap) -> Option<&Gaps> {
        self.0.iter().find(|(other, _)| *other == kind).map(|(_, gaps)| gaps)
    }

    /// Adds one of so many of a kind.
    pub fn note(&mut self, kind: Gap, count: i64, about: String) {
        match self.0.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, gaps)) => gaps.named.push(about),
            None => self.0.push((kind, Gaps { count, named: vec![about] })),
        }
    }
}

/// A justification that a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JustificationFact {
    /// Whether it is in use.
    pub active: bool,
    /// What it may be used for.
    pub applies_to: Vec<JustificationUse>,
}

/// The person that a release is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFact {
    /// Whether the account is active.
    pub active: bool,
    /// The groups that the user belongs to.
    pub groups: Vec<GroupId>,
}

/// The group that a release is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFact {
    /// Whether the group is active.
    pub active: bool,
    /// Whether an active member may execute there.
    pub can_execute: bool,
    /// Whether the release's model allows the group.
    pub allowed_by_model: bool,
}

/// A required checklist that is not confirmed, as the gates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenChecklist {
    /// The checklist.
    pub id: ChecklistId,
    /// Key of the stage that it is bound to.
    pub stage: String,
    /// Its title.
    pub title: String,
}

/// What a decision, or a warning, may ask about a release besides the release itself, its changes and its dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// [`Facts::activities`].
    Activities,
    /// [`Facts::approvals`].
    Approvals,
    /// [`Facts::checklists`].
    Checklists,
    /// [`Facts::evidence`].
    Evidence,
    /// [`Facts::library`].
    Library,
    /// [`Facts::uses_media`].
    Media,
    /// [`Facts::pending_items`].
    PendingItems,
    /// [`Facts::open_purchases`].
    Purchases,
}

/// A set of [`Ask`]: what is not in it need not be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks(u16);

impl Asks {
    /// True where it is asked.
    pub const fn has(self, ask: Ask) -> bool {
        self.0 & (1 << ask as u16) != 0
    }

    /// Those of a list.
    pub fn of(asks: &[Ask]) -> Self {
        asks.iter().copied().collect()
    }
}

impl FromIterator<Ask> for Asks {
    fn from_iter<I: IntoIterator<Item = Ask>>(asks: I) -> Self {
        Self(asks.into_iter().fold(0, |all, ask| all | 1 << ask as u16))
    }
}

impl std::ops::BitOr for Asks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Everything that the decision needs to know besides the release itself. What nobody asks ([`Asks`]) is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The present.
    pub now: Timestamp,
    /// The working time of the release's calendar; `None` where every minute counts.
    pub worktime: Option<Arc<Worktime>>,
    /// The linked changes.
    pub changes: Vec<LinkedChange>,
    /// The releases that it depends on.
    pub dependencies: Vec<Dependency>,
    /// The linked purchases that are not finished.
    pub open_purchases: OpenPurchases,
    /// The configuration items that closing it as solved would change.
    pub pending_items: PendingItems,
    /// Whether it links definitive media.
    pub uses_media: bool,
    /// Its definitive media that are retired, or licensed. Known of a release that is loaded by itself.
    pub media: Vec<DoubtfulMedium>,
    /// Of a closed release, what stands in the way of having it open again.
    pub held_elsewhere: HeldElsewhere,
    /// Whether the release is shared with the actor, or with a group of theirs, to work on it.
    pub shared_to_execute: bool,
    /// The activities that are not finished.
    pub activities: OpenActivities,
    /// The votes, where the release has a rule and stands where approvals are asked for.
    pub approvals: Option<ApprovalFacts>,
    /// The required checklists that are not confirmed, of every stage.
    pub checklists: Vec<OpenChecklist>,
    /// Evidence among its documents.
    pub evidence: Evidence,
    /// What it lacks of the definitive media library and the definitive hardware store.
    pub library: LibraryGaps,
    /// The justification that the command names, where it exists.
    pub justification: Option<JustificationFact>,
    /// Whether the solution category that the command names is active, where it exists.
    pub solution_category_active: Option<bool>,
    /// The user that the command names, where they exist.
    pub user: Option<UserFact>,
    /// The group that the command names, where it exists.
    pub group: Option<GroupFact>,
}

/// How serious a blocker is; a refusal answers with the first class that has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The caller may not.
    Right,
    /// The state forbids it.
    State,
    /// The input or a gate is in the way.
    Input,
}

/// One thing that is in the way of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Blocker {
    /// UPPER_SNAKE code.
    pub code: &'static str,
    /// What is in the way, in words for a person.
    pub detail: String,
    /// The gate that says so, where it is one.
    pub gate: Option<&'static str>,
    /// JSON pointer to the field of the release, or of the request, that it is about.
    pub pointer: Option<String>,
    /// Identifiers of the records that it is about.
    pub refs: Vec<String>,
    /// How serious it is.
    #[serde(skip)]
    pub class: Class,
}

impl Blocker {
    pub(super) fn new(class: Class, code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), gate: None, pointer: None, refs: Vec::new(), class }
    }

    fn state(code: &'static str, pointer: &str, detail: String) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::new(Class::State, code, detail) }
    }

    pub(super) fn input(code: &'static str, pointer: &str, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::new(Class::Input, code, detail) }
    }

    /// A blocker that a gate answers with.
    pub fn gate(gate: &'static str, code: &'static str, detail: String, pointer: &str) -> Self {
        Self { gate: Some(gate), ..Self::input(code, pointer, detail) }
    }

    /// A policy's denial as a blocker.
    pub fn denied(denial: &policy::Denial) -> Self {
        Self::new(Class::Right, denial.code, denial.detail.clone())
    }

    /// The same blocker, naming a record.
    #[must_use]
    pub fn about(mut self, id: impl ToString) -> Self {
        self.refs.push(id.to_string());
        self
    }

    /// A fault of the request as a blocker.
    pub fn of_fault(fault: &Fault) -> Self {
        let (Place::Pointer(pointer) | Place::Parameter(pointer)) = &fault.place;
        Self::input(fault.code, pointer, fault.detail.clone())
    }

    /// The blocker as a fault of the request.
    pub fn fault(&self) -> Fault {
        Fault::at(self.pointer.clone().unwrap_or_default(), self.code, self.detail.clone())
    }
}

/// Why an action does not happen: every blocker of the first class that has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The class.
    pub class: Class,
    /// The blockers, at least one.
    pub blockers: Vec<Blocker>,
}

impl Refusal {
    /// The refusal that blockers add up to; `None` where there are none.
    pub fn of(blockers: Vec<Blocker>) -> Option<Self> {
        let class = blockers.iter().map(|blocker| blocker.class).min()?;
        Some(Self { class, blockers: blockers.into_iter().filter(|blocker| blocker.class == class).collect() })
    }
}
