//! What closing a release does to its configuration items, in the transaction that closes it; and taking it back.
//!
//! Closing as solved applies every pending link: the item gets what was intended, its history a state that names the
//! release, and the tool that owns it is told. `failed` and `skipped` ones are left alone. A revert gives the item what
//! its history says it had before, where nobody changed it since.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::Validate;

use super::catalogue::document;
use super::configuration_items::state;
use super::hardware_spares::{self, Installed, SpareTakenBack};
use super::item_links::{own, subject};
use super::releases::{forbidden, record_part, standing_conflict, visible_locked};
use super::{Error, ReadContext, Recorded, Result, WriteContext, item_links::document as link_document};
use crate::domain::lifecycle::Transition;
use crate::domain::policy::{Access, Permit};
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::audit::Stamp;
use crate::repository::configuration_items::HistoryRow;
use crate::repository::contents::not_blank;
use crate::repository::item_links::{self, ItemLink, ItemLinkRow, ItemState};
use crate::repository::nouns::{ConfigurationItem, Noun, Record};
use crate::repository::releases::{ReleaseRef, move_chain};
use crate::repository::write_backs::{self, WriteBackRow};

/// Links with the same outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutcomeTally {
    /// How many there are.
    pub count: usize,
    /// The links.
    #[schema(max_items = 500)]
    pub link_ids: Vec<ItemLinkId>,
    /// Their configuration items, in the same order.
    #[schema(max_items = 500)]
    pub configuration_item_ids: Vec<ConfigurationItemId>,
}

impl OutcomeTally {
    fn add(&mut self, link: ItemLinkId, item: ConfigurationItemId) {
        self.count += 1;
        self.link_ids.push(link);
        self.configuration_item_ids.push(item);
    }
}

/// What becomes of the configuration items of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct WriteBackSummary {
    /// Closing as solved: those that it changes. Reopening: those that stay changed.
    pub applied: OutcomeTally,
    /// Those that failed, and are left alone.
    pub failed: OutcomeTally,
    /// Those that are left out, and left alone.
    pub skipped: OutcomeTally,
}

impl WriteBackSummary {
    /// True where there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.applied.count + self.failed.count + self.skipped.count == 0
    }

    /// How history tells it.
    pub(super) fn document(&self) -> Value {
        let links = |tally: &OutcomeTally| json!(tally.link_ids);
        json!({"applied": links(&self.applied), "failed": links(&self.failed), "skipped": links(&self.skipped)})
    }

    /// The tally of the links of a release, where pending and applied ones count as these; `None` counts nowhere.
    fn of(
        context: &mut ReadContext<'_>,
        release: ReleaseId,
        (pending, applied): (Option<ItemOutcome>, Option<ItemOutcome>),
    ) -> Result<Self> {
        let mut summary = Self::default();
        for (link, item, outcome) in item_links::standings(context.connection, release)? {
            let becomes = match outcome {
                ItemOutcome::Pending => pending,
                ItemOutcome::Applied => applied,
                other => Some(other),
            };
            match becomes {
                Some(ItemOutcome::Applied) => summary.applied.add(link, item),
                Some(ItemOutcome::Failed) => summary.failed.add(link, item),
                Some(ItemOutcome::Skipped) => summary.skipped.add(link, item),
                _ => {}
            }
        }
        Ok(summary)
    }
}

/// What closing a release under way as solved would do.
pub fn foreseen(context: &mut ReadContext<'_>, release: &Release) -> Result<Option<WriteBackSummary>> {
    if !release.status.is_active() {
        return Ok(None);
    }
    WriteBackSummary::of(context, release.id, (Some(ItemOutcome::Applied), None)).map(Some)
}

/// What a transition does to the items, before it is stored; `None` where it has nothing to do with them.
pub(super) fn follow_transition(
    context: &mut ReadContext<'_>,
    transition: &Transition,
) -> Result<Option<WriteBackSummary>> {
    let becomes = match effect(transition) {
        Effect::None => return Ok(None),
        Effect::Applies => (Some(ItemOutcome::Applied), None),
        Effect::Skips(_) => (Some(ItemOutcome::Skipped), None),
        Effect::Leaves => (None, Some(ItemOutcome::Applied)),
    };
    WriteBackSummary::of(context, transition.before().id, becomes).map(Some)
}

/// What a transition does to the items of a release.
enum Effect {
    /// It has nothing to do with them.
    None,
    /// What is pending is applied.
    Applies,
    /// What is pending is left out, for this reason.
    Skips(&'static str),
    /// What was applied stays so.
    Leaves,
}

fn effect(transition: &Transition) -> Effect {
    let command = transition.command();
    match command.action {
        Action::Close if command.resolution == Some(Resolution::Unsolved) => {
            Effect::Skips("The release was closed as unsolved.")
        }
        Action::Close => Effect::Applies,
        Action::Cancel => Effect::Skips("The release was cancelled."),
        Action::Reopen => Effect::Leaves,
        _ => Effect::None,
    }
}

/// Stores what a transition does to the items. `items` are those of the pending links, locked before anything was asked
/// about them; `installed` are the spares that become some of them. The history of the release tells it with the transition
/// itself, whose stamp this is.
pub(super) fn store(
    context: &mut WriteContext<'_>,
    permit: Permit,
    transition: &Transition,
    items: Vec<Record<ConfigurationItem>>,
    installed: &Installed,
    stamp: &Stamp,
) -> Result<()> {
    let release = transition.before();
    match effect(transition) {
        Effect::Skips(reason) => {
            let now = context.now;
            Ok(item_links::skip_pending(context.connection, release.id, reason, now, stamp)?)
        }
        Effect::Applies if !items.is_empty() => apply(context, permit, release, (items, installed), stamp),
        Effect::Applies | Effect::Leaves | Effect::None => Ok(()),
    }
}

fn apply(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    (items, installed): (Vec<Record<ConfigurationItem>>, &Installed),
    stamp: &Stamp,
) -> Result<()> {
    let links = item_links::with_outcome(context.connection, release.id, ItemOutcome::Pending)?;
    let mut items: HashMap<ConfigurationItemId, Record<ConfigurationItem>> =
        items.into_iter().map(|item| (item.id, item)).collect();
    let mut told = Vec::with_capacity(links.len());
    for ItemLink { mut row, .. } in links {
        let Some(item) = items.remove(&row.configuration_item_id) else {
            return Err(Error::Internal(format!("the configuration item of link {} was not locked", row.id)));
        };
        let spare = installed.get(&row.id);
        let content = ConfigurationItem {
            serial: spare.map(|spare| spare.serial.clone()).or_else(|| item.content.serial.clone()),
            location: spare.and_then(|spare| spare.location.clone()).or_else(|| item.content.location.clone()),
            version: row.intended_version.clone().or_else(|| item.content.version.clone()),
            status: row.intended_status.unwrap_or(ItemStatus::Validating),
            environment: Some(row.intended_environment.unwrap_or(Environment::Production)),
            ..item.content.clone()
        };
        let (stored, tells) = write(context, permit, release, (item, content), (&row, WriteBackKind::Apply))?;
        told.push(tells);
        row.outcome = ItemOutcome::Applied;
        row.seen_row_version = stored.row_version;
        row.row_version += 1;
        row.updated_at = context.now;
        item_links::store(context.connection, &row, stamp)?;
    }
    let now = context.now;
    Ok(write_backs::insert(context.connection, told, now, stamp)?)
}

/// Stores the content that a release gives an item, or takes back; answers the item after it, and what is to be stored of
/// it in its history and for the tool that owns it.
fn write(
    context: &mut WriteContext<'_>,
    permit: Permit,
    release: &Release,
    (item, content): (Record<ConfigurationItem>, ConfigurationItem),
    (link, kind): (&ItemLinkRow, WriteBackKind),
) -> Result<(Record<ConfigurationItem>, (WriteBackRow, HistoryRow))> {
    let (origin, action) = match kind {
        WriteBackKind::Apply => (ItemOrigin::Release, "configuration_item.write_back"),
        WriteBackKind::Revert => (ItemOrigin::Revert, "configuration_item.revert"),
    };
    let (before, mut after) = (document(&item.content)?, document(&content)?);
    after["release_id"] = json!(release.id);
    let stamp = context.record(
        permit,
        &item.chain,
        Recorded {
            record_type: ConfigurationItem::RECORD,
            record_id: item.id.to_string(),
            subject: None,
            action: action.into(),
            before: Some(&before),
            after: Some(&after),
            published: true,
        },
    )?;
    let chain = stamp.head().clone();
    let row_version = item.row_version + 1;
    let stored =
        Record { id: item.id, row_version, created_at: item.created_at, updated_at: context.now, chain, content };
    ConfigurationItem::update(context.connection, &stored, &stamp)?;
    let history = state(context, &stored, Some(&item.content), (origin, Some(release.id), None));
    let told = WriteBackRow {
        id: WriteBackId::new(context.env.new_id(context.now)),
        kind,
        state: WriteBackState::Pending,
        release_id: release.id,
        link_id: link.id,
        configuration_item_id: item.id,
        history_id: history.id,
        source: stored.content.source.clone(),
        cmdb_revision: None,
        note: None,
        answered_at: None,
        answered_by: None,
        row_version: 1,
        created_at: context.now,
        updated_at: context.now,
    };
    Ok((stored, (told, history)))
}

/// Why something is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "Card payments fail in two shops."}))]
pub struct Revert {
    /// Why.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    pub note: String,
}

/// Why everything that a release did is taken back, and whether all together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "Card payments fail in two shops.", "mode": "atomic"}))]
pub struct RevertAll {
    /// Why.
    #[schema(min_length = 1, max_length = 2000)]
    #[validate(custom(function = not_blank))]
    pub note: String,
    /// `atomic`: all or nothing. `each`: each by itself, so that those are taken back that nobody changed since.
    #[serde(default = "atomic")]
    pub mode: super::item_links::BatchMode,
}

const fn atomic() -> super::item_links::BatchMode {
    super::item_links::BatchMode::Atomic
}

/// A link that was taken back.
#[derive(Debug, Clone)]
pub struct TakenBack {
    /// The link.
    pub link: ItemLink,
    /// The spare that its item had become.
    pub spare: Option<SpareTakenBack>,
}

/// What became of the revert of one link.
pub type Reverted = std::result::Result<TakenBack, (ItemLink, Fault)>;

/// What became of the revert of a release.
#[derive(Debug)]
pub struct AllReverted {
    /// Its links.
    pub links: Vec<Reverted>,
    /// The spares that became no configuration item.
    pub spares: Vec<SpareTakenBack>,
}

/// Takes back what a release did to one item.
pub fn revert(
    context: &mut WriteContext<'_>,
    release: ReleaseRef,
    id: ItemLinkId,
    draft: Draft<Revert>,
) -> Result<TakenBack> {
    let (release, permit) = closed(context, release)?;
    let link = own(context, &release, id)?;
    allowed(context, &release)?;
    if link.row.outcome != ItemOutcome::Applied {
        let detail = format!("The link is `{}`: there is nothing to take back.", link.row.outcome);
        return Err(standing_conflict(context, &release, "NOT_APPLIED", detail, Vec::new()));
    }
    let note = draft.map_err(Error::Invalid)?.note;
    let mut reverted = take_back(context, permit, release, Some(id), (&note, true))?;
    match reverted.links.pop() {
        Some(Ok(taken)) => Ok(taken),
        _ => Err(Error::Internal("a revert had no result".into())),
    }
}

/// Takes back everything that a release did.
pub fn revert_all(
    context: &mut WriteContext<'_>,
    release: ReleaseRef,
    draft: Draft<RevertAll>,
) -> Result<(ReleaseId, AllReverted)> {
    let (release, permit) = closed(context, release)?;
    allowed(context, &release)?;
    let RevertAll { note, mode } = draft.map_err(Error::Invalid)?;
    let id = release.id;
    let together = mode == super::item_links::BatchMode::Atomic;
    let reverted = take_back(context, permit, release, None, (&note, together))?;
    Ok((id, reverted))
}

/// A visible release, for a caller who may write releases.
fn closed(context: &mut WriteContext<'_>, release: ReleaseRef) -> Result<(Release, Permit)> {
    let release = visible_locked(context, release)?;
    let permit = context.authorise(Access::Releases)?;
    Ok((release, permit))
}

/// Demands somebody who may reopen the release, and that it is closed.
fn allowed(context: &mut WriteContext<'_>, release: &Release) -> Result<()> {
    if !context.actor.may(Permission::Reopen, release.executor_group_id) {
        return Err(forbidden(Permission::Reopen));
    }
    if release.status != Status::Closed {
        let detail = format!("Only a closed release is taken back; this one is `{}`.", release.status);
        return Err(standing_conflict(context, release, "STATE_FORBIDS", detail, Vec::new()));
    }
    Ok(())
}

fn take_back(
    context: &mut WriteContext<'_>,
    permit: Permit,
    mut release: Release,
    only: Option<ItemLinkId>,
    (note, together): (&str, bool),
) -> Result<AllReverted> {
    let items = item_links::lock_items(context.connection, release.id, ItemOutcome::Applied)?;
    let mut items: HashMap<_, _> = items.into_iter().map(|item| (item.id, item)).collect();
    let mut spares = hardware_spares::deployed(context, release.id, only)?;
    let mut links = item_links::with_outcome(context.connection, release.id, ItemOutcome::Applied)?;
    links.retain(|link| only.is_none_or(|only| link.row.id == only));
    // The last one is taken back first: then its item is again as the one before had left it.
    links.sort_by_key(|link| (link.row.seen_row_version, link.row.id));
    if links.is_empty() && spares.is_empty() {
        let detail = "Nothing is as the release made it: there is nothing to take back.".into();
        return Err(standing_conflict(context, &release, "NOT_APPLIED", detail, Vec::new()));
    }
    let past = write_backs::made_by(context.connection, release.id)?;
    let (mut results, mut told, mut last) = (Vec::with_capacity(links.len()), Vec::new(), None);
    while let Some(mut link) = links.pop() {
        let Some(item) = items.get(&link.row.configuration_item_id).cloned() else {
            return Err(Error::Internal(format!("the configuration item of link {} was not locked", link.row.id)));
        };
        if item.row_version != link.row.seen_row_version {
            let fault = changed_since(&link, only.is_some());
            results.push(Err((link, fault)));
            continue;
        }
        let made = past.get(&link.row.id);
        let Some((made, was)) = made.and_then(|made| Some((made, &made.before.as_ref()?.0))) else {
            return Err(Error::Internal(format!("the history of link {} is not there", link.row.id)));
        };
        let content = ConfigurationItem {
            version: was.version.clone(),
            status: was.status,
            environment: was.environment,
            serial: was.serial.clone(),
            location: was.location.clone(),
            ..item.content.clone()
        };
        let (stored, tells) = write(context, permit, &release, (item, content), (&link.row, WriteBackKind::Revert))?;
        told.push(tells);
        let before = link_document(&link.row);
        link.row.outcome = ItemOutcome::Reverted;
        link.row.seen_row_version = stored.row_version;
        link.row.row_version += 1;
        link.row.updated_at = context.now;
        let mut after = link_document(&link.row);
        after["note"] = json!(note);
        let states = (Some(&before), Some(&after));
        let action = "release.revert_configuration_item";
        let stamp = record_part(context, permit, &release, subject(link.row.id), action, states)?;
        release.chain = stamp.head().clone();
        item_links::store(context.connection, &link.row, &stamp)?;
        let own = spares.extract_if(.., |(row, _)| row.link_id == Some(link.row.id)).collect();
        let (spare, moved) = hardware_spares::take_back(context, permit, &mut release, own, note)?;
        let stamp = moved.unwrap_or(stamp);
        // The item is again as another link had left it, of this release or of one before.
        let again = (made.row_version - 1, stored.row_version);
        item_links::see_again(context.connection, stored.id, again, &stamp)?;
        for other in links.iter_mut().filter(|other| other.row.configuration_item_id == stored.id) {
            if other.row.seen_row_version == again.0 {
                other.row.seen_row_version = again.1;
            }
        }
        link.item = ItemState {
            version: stored.content.version.clone(),
            status: stored.content.status,
            environment: stored.content.environment,
            row_version: stored.row_version,
            ..link.item
        };
        items.insert(stored.id, stored);
        last = Some(stamp);
        results.push(Ok(TakenBack { link, spare: spare.into_iter().next() }));
    }
    let refused: Vec<Fault> =
        results.iter().filter_map(|result| result.as_ref().err()).map(|(_, fault)| fault.clone()).collect();
    if together && !refused.is_empty() {
        let detail = match refused.as_slice() {
            [only] => only.detail.clone(),
            all => format!("{} configuration items were changed since the release did.", all.len()),
        };
        return Err(standing_conflict(context, &release, "CI_CHANGED_SINCE", detail, refused));
    }
    // The others that are left became an item whose revert was refused.
    let loose = spares.into_iter().filter(|(row, _)| row.link_id.is_none()).collect();
    let (spares, moved) = hardware_spares::take_back(context, permit, &mut release, loose, note)?;
    if let Some(stamp) = moved.or(last) {
        let now = context.now;
        write_backs::insert(context.connection, told, now, &stamp)?;
        move_chain(context.connection, release.id, &stamp)?;
    }
    Ok(AllReverted { links: results, spares })
}

fn changed_since(link: &ItemLink, alone: bool) -> Fault {
    let pointer = if alone { String::new() } else { format!("/configuration_items/{}", link.row.id) };
    let label = link.item.label();
    Fault::at(pointer, "CI_CHANGED_SINCE", format!("The configuration item {label} was changed since the release did."))
}
