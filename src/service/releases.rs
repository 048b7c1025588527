//! Releases: read, list, and what every use case on one begins with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

pub use super::release_create::{create, snapshot};
pub use super::release_patch::patch;
use super::{Error, ReadContext, Recorded, Result, Standing, WriteContext};
use crate::domain::facts::{Ask, Asks, HeldElsewhere, LibraryGaps};
use crate::domain::lifecycle::{
    self, Dependency, Evidence, Facts, LinkedChange, OpenActivities, OpenPurchases, PendingItems,
};
use crate::domain::policy::{Access, Actor, Permit};
use crate::domain::release::Release;
use crate::domain::standing;
use crate::domain::values::*;
use crate::domain::warnings::{Warning, warnings};
use crate::domain::workflow::{Stage, Workflow};
use crate::domain::worktime::Worktime;
use crate::repository::audit::Stamp;
use crate::repository::listing::{ListQuery, SqlValue, Total};
use crate::repository::releases::{self, ReleaseRef, WAITING_FOR_MY_APPROVAL};
use crate::repository::shares;
use crate::repository::surroundings::{Surroundings, library_gaps, surroundings};
use crate::repository::{changes, definitive_media, item_links};

/// A release as it is shown to the caller.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The release.
    pub release: Release,
    /// What it depends on.
    pub depends_on: Vec<ReleaseId>,
    /// What the caller may do now.
    pub allowed_actions: Vec<Action>,
    /// The present.
    pub now: Timestamp,
    /// The working time of its calendar.
    pub worktime: Option<Arc<Worktime>>,
    /// What should be known of it; `None` where it is one of many.
    pub warnings: Option<Vec<Warning>>,
}

/// What the gates know without a command.
pub fn facts(now: Timestamp, changes: Vec<LinkedChange>, dependencies: Vec<Dependency>) -> Facts {
    Facts {
        now,
        worktime: None,
        changes,
        dependencies,
        approvals: None,
        checklists: Vec::new(),
        evidence: Evidence::default(),
        library: LibraryGaps::default(),
        activities: OpenActivities::default(),
        open_purchases: OpenPurchases::default(),
        pending_items: PendingItems::default(),
        uses_media: false,
        media: Vec::new(),
        held_elsewhere: HeldElsewhere::default(),
        shared_to_execute: false,
        justification: None,
        solution_category_active: None,
        user: None,
        group: None,
    }
}

/// The facts of some releases, in a bounded number of statements: what the verdicts on each ask, and these besides.
fn load_facts(context: &mut ReadContext<'_>, releases: &[Release], besides: Asks) -> Result<HashMap<ReleaseId, Facts>> {
    if releases.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<ReleaseId> = releases.iter().map(|release| release.id).collect();
    let (mut asked, mut asking_library) = (besides, Vec::new());
    for release in releases {
        let workflow = context.env.workflow(context.connection, release.workflow_id)?;
        let asks = lifecycle::asks(release, &workflow);
        if (asks | besides).has(Ask::Library) {
            asking_library.push(release.id);
        }
        asked = asked | asks;
    }
    let visibility = context.actor.visibility();
    let found = surroundings(context.connection, &ids, asked, &visibility, &context.actor)?;
    let mut held = held_elsewhere(context, releases)?;
    let mut library = match asking_library.as_slice() {
        [] => HashMap::new(),
        asking => library_gaps(context.connection, asking)?,
    };
    let mut facts = |id: ReleaseId, around: Surroundings| Facts {
        library: library.remove(&id).unwrap_or_default(),
        approvals: around.approvals,
        checklists: around.checklists,
        evidence: around.evidence,
        activities: around.open_activities,
        open_purchases: around.open_purchases,
        pending_items: around.pending_items,
        uses_media: around.uses_media,
        held_elsewhere: held.remove(&id).unwrap_or_default(),
        shared_to_execute: around.shared_to_execute,
        ..facts(context.now, around.changes, around.dependencies)
    };
    Ok(found.into_iter().map(|(id, around)| (id, facts(id, around))).collect())
}

/// What closed releases would have again once they are reopened, and others hold meanwhile.
fn held_elsewhere(context: &mut ReadContext<'_>, releases: &[Release]) -> Result<HashMap<ReleaseId, HeldElsewhere>> {
    let (mut carrying, mut unsolved) = (Vec::new(), Vec::new());
    for release in releases.iter().filter(|release| release.status == Status::Closed) {
        // Its outcomes are pending again, unless its workflow lets it share them.
        if !context.env.workflow(context.connection, release.workflow_id)?.shared_changes {
            carrying.push(release.id);
        }
        // One that was solved has its licences still.
        if release.resolution == Some(Resolution::Unsolved) {
            unsolved.push(release.id);
        }
    }
    let mut held: HashMap<ReleaseId, HeldElsewhere> = HashMap::new();
    if !carrying.is_empty() {
        let visibility = context.actor.visibility();
        for (release, carried) in changes::taken_meanwhile(context.connection, &carrying, &visibility)? {
            held.entry(release).or_default().changes.push((carried.change_id, carried.by()));
        }
    }
    if !unsolved.is_empty() {
        for (release, medium, licences) in definitive_media::licences_gone(context.connection, &unsolved)? {
            held.entry(release).or_default().licences.push((medium, licences));
        }
    }
    Ok(held)
}

/// The release as it is shown to the caller, given its facts.
pub fn show(context: &ReadContext<'_>, release: Release, workflow: &Workflow, facts: &Facts) -> Shown {
    let allowed_actions = lifecycle::allowed_actions(&release, workflow, facts, &context.actor);
    let depends_on = facts.dependencies.iter().map(|dependency| dependency.release_id).collect();
    let warnings = Some(warnings(&release, facts));
    Shown { release, depends_on, allowed_actions, now: context.now, worktime: facts.worktime.clone(), warnings }
}

/// A visible release with its workflow and facts.
pub fn load(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<(Release, Arc<Workflow>, Facts)> {
    let release = visible(context, reference)?;
    with_facts(context, release)
}

/// A visible release.
pub fn visible(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Release> {
    let visibility = context.actor.visibility();
    let (release, token) =
        releases::find(context.connection, reference, &visibility)?.ok_or(Error::NotFound("release"))?;
    context.witness(token);
    Ok(release)
}

/// What the warnings of a release under way ask about it.
const WARNED: [Ask; 2] = [Ask::PendingItems, Ask::Media];

/// A release with its workflow and facts, as it stands.
pub fn with_facts(context: &mut ReadContext<'_>, release: Release) -> Result<(Release, Arc<Workflow>, Facts)> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let besides = if release.status.is_active() { Asks::of(&WARNED) } else { Asks::default() };
    facts_besides(context, release, workflow, besides)
}

/// A release with its workflow and facts, as it stands and as it is to stand after the action.
pub(super) fn with_facts_around(
    context: &mut ReadContext<'_>,
    release: Release,
    action: Option<Action>,
) -> Result<(Release, Arc<Workflow>, Facts)> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    let besides = lifecycle::asks_around(&release, &workflow, action) | Asks::of(&WARNED);
    facts_besides(context, release, workflow, besides)
}

fn facts_besides(
    context: &mut ReadContext<'_>,
    release: Release,
    workflow: Arc<Workflow>,
    besides: Asks,
) -> Result<(Release, Arc<Workflow>, Facts)> {
    let facts = load_facts(context, std::slice::from_ref(&release), besides)?.remove(&release.id);
    let mut facts = facts.ok_or_else(|| Error::Internal("the facts of a release were not loaded".into()))?;
    facts.worktime = context.worktime(release.calendar_id)?;
    if facts.pending_items.count > 0 {
        item_links::tell(context.connection, release.id, &mut facts.pending_items)?;
    }
    if facts.uses_media || facts.pending_items.count > 0 {
        facts.media = definitive_media::doubtful(context.connection, release.id)?;
    }
    Ok((release, workflow, facts))
}

/// Reads a visible release.
pub fn read(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Shown> {
    context.authorise(Access::Read)?;
    let (release, workflow, facts) = load(context, reference)?;
    Ok(show(context, release, &workflow, &facts))
}

/// A page of visible releases: the rows, whether more follow, and how many there are in all.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<(Vec<Shown>, bool, Option<Total>)> {
    context.authorise(Access::Read)?;
    let visibility = context.actor.visibility();
    let query = for_caller(query, &context.actor);
    let (page, token) = releases::page(context.connection, &query, &visibility, context.now)?;
    if let Some(token) = token {
        context.witness(token);
    }
    let mut facts = load_facts(context, &page.rows, Asks::default())?;
    let calendars: HashSet<CalendarId> = page.rows.iter().filter_map(|release| release.calendar_id).collect();
    let worktimes = context.worktimes(&calendars.into_iter().collect::<Vec<_>>())?;
    let mut shown = Vec::with_capacity(page.rows.len());
    for release in page.rows {
        let workflow = context.env.workflow(context.connection, release.workflow_id)?;
        if let Some(facts) = facts.get_mut(&release.id) {
            facts.worktime = release.calendar_id.and_then(|id| worktimes.get(&id).cloned());
            shown.push(Shown { warnings: None, ..show(context, release, &workflow, facts) });
        }
    }
    Ok((shown, page.more, page.total))
}

/// The query with whom the caller speaks for, where it asks for that.
fn for_caller(query: &ListQuery, actor: &Actor) -> ListQuery {
    let mut query = query.clone();
    for condition in &mut query.conditions {
        if releases::LIST.filters[condition.filter].name == WAITING_FOR_MY_APPROVAL {
            condition.values.extend(actor.voices().map(|voice| SqlValue::Text(voice.to_string())));
        }
    }
    query
}

/// A visible release, its row locked until the transaction ends.
pub fn visible_locked(context: &mut WriteContext<'_>, reference: ReleaseRef) -> Result<Release> {
    let visibility = context.actor.visibility();
    releases::lock(context.connection, reference, &visibility)?.ok_or(Error::NotFound("release"))
}

/// The permit of somebody who may work on the release as it stands. What writes has its row locked: a share that is
/// taken away at this moment counts no more.
pub fn may_execute(context: &mut ReadContext<'_>, release: &Release) -> Result<Permit> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    may_execute_in(context, release, workflow.stage(&release.stage))
}

/// The same for what belongs to these stages of the release, wherever it stands.
pub(super) fn may_execute_in<'s>(
    context: &mut ReadContext<'_>,
    release: &Release,
    stages: impl IntoIterator<Item = &'s Stage> + Clone,
) -> Result<Permit> {
    let permit = context.authorise(Access::Releases)?;
    let actor = Arc::clone(&context.actor);
    if standing::may_execute(release, stages.clone(), false, &actor) {
        return Ok(permit);
    }
    let shared = shares::is_shared_to_execute(context.connection, release.id, &actor)?;
    if standing::may_execute(release, stages, shared, &actor) {
        Ok(permit)
    } else {
        Err(forbidden(Permission::Execute))
    }
}

pub(super) fn forbidden(permission: Permission) -> Error {
    Error::Forbidden(crate::domain::policy::Denial {
        code: "FORBIDDEN",
        detail: format!("You do not hold `{permission}` in the executor group."),
    })
}

/// Records a change of something that belongs to a release, in the release's chain.
pub(super) fn record_part(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    subject: (&'static str, String),
    action: &str,
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<Stamp> {
    let change = Recorded {
        record_type: "release",
        record_id: release.id.to_string(),
        subject: Some(subject),
        action: action.into(),
        before,
        after,
        published: true,
    };
    context.record(permit, &release.chain, change)
}

/// A conflict, told with where the release stands.
pub fn standing_conflict(
    context: &mut WriteContext<'_>,
    release: &Release,
    code: &'static str,
    detail: String,
    faults: Vec<Fault>,
) -> Error {
    let standing = match with_facts(context, release.clone()) {
        Ok((release, workflow, facts)) => {
            let allowed = lifecycle::allowed_actions(&release, &workflow, &facts, &context.actor);
            Standing::of(&release, allowed)
        }
        Err(error) => return error,
    };
    Error::Conflict { code, detail, standing: Some(standing), faults }
}

/// Demands an active release: what belongs to others is not written.
pub fn active(context: &mut WriteContext<'_>, release: &Release) -> Result<()> {
    if release.status.is_active() {
        return Ok(());
    }
    let detail = format!("A release that is `{}` is not changed.", release.status);
    Err(standing_conflict(context, release, "STATE_FORBIDS", detail, Vec::new()))
}

/// Demands that the plan of the release is not locked by its authorization.
pub fn locked_plan(context: &mut WriteContext<'_>, release: &Release, pointer: &str) -> Result<()> {
    let workflow = context.env.workflow(context.connection, release.workflow_id)?;
    if !workflow.locks_plan(&release.stage) {
        return Ok(());
    }
    Err(locked(context, release, vec![pointer.to_owned()]))
}

pub(super) fn locked(context: &mut WriteContext<'_>, release: &Release, pointers: Vec<String>) -> Error {
    let faults = pointers
        .into_iter()
        .map(|pointer| Fault::at(pointer, "LOCKED_AFTER_AUTHORIZATION", "This was authorised as it is."))
        .collect();
    let detail = "After authorization the plan is what was approved. To change it, send the release back.";
    standing_conflict(context, release, "LOCKED_AFTER_AUTHORIZATION", detail.into(), faults)
}
