//! `/releases/{release}/impact`: what is reached from the configuration items of a release.

use std::collections::BTreeMap;

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::api::{Answer, Call};
use crate::domain::impact::{DEPTH_DEFAULT, DEPTH_MAX, Direction};
use crate::domain::values::{
    ConfigurationItemId, Environment, Fault, GroupId, ItemStatus, RelationshipKind, ReleaseId, Status, Window,
};
use crate::repository::impact::ItemFact;
use crate::service::impact::{self, Impact, Question};
use crate::service::{Error, Reply};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(read_impact);
}

/// A configuration item, as far as an impact tells it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImpactItem {
    /// Identifier.
    pub id: ConfigurationItemId,
    /// The CMDB that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Name.
    pub name: String,
    /// Class.
    pub class: String,
    /// Where it is used.
    pub environment: Option<Environment>,
    /// Status.
    pub status: ItemStatus,
    /// The group that answers for it.
    pub owner_group_id: Option<GroupId>,
    /// Name of that group.
    #[schema(max_length = 200)]
    pub owner_group_name: Option<String>,
}

impl From<&ItemFact> for ImpactItem {
    fn from(item: &ItemFact) -> Self {
        Self {
            id: item.id,
            source: item.source.clone(),
            external_id: item.external_id.clone(),
            name: item.name.clone(),
            class: item.class.clone(),
            environment: item.environment,
            status: item.status,
            owner_group_id: item.owner_group_id,
            owner_group_name: item.owner_group_name.clone(),
        }
    }
}

/// One place on a path.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PathStep {
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
    /// Its name.
    pub name: String,
    /// The relationship between the place before and this one; null at the beginning.
    pub relationship: Option<RelationshipKind>,
}

/// An item that is reached.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReachedItem {
    /// The item.
    pub item: ImpactItem,
    /// Which way it lies.
    pub direction: Direction,
    /// How many relationships lie between it and an item of the release.
    pub distance: u32,
    /// A shortest path to it, beginning with an item of the release.
    #[schema(max_items = 7)]
    pub path: Vec<PathStep>,
}

/// A group that answers for items that are touched or reached.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImpactGroup {
    /// The group.
    pub group_id: GroupId,
    /// Its name.
    pub name: String,
    /// The items that it answers for.
    #[schema(max_items = 2500)]
    pub configuration_item_ids: Vec<ConfigurationItemId>,
}

/// Another active release that touches any of the items.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImpactRelease {
    /// The release.
    pub release_id: ReleaseId,
    /// Its key.
    pub key: String,
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: Status,
    /// Its stage.
    pub stage: String,
    /// When it is deployed.
    pub deployment_window: Option<Window>,
    /// The items of this impact that it touches.
    #[schema(max_items = 2500)]
    pub configuration_item_ids: Vec<ConfigurationItemId>,
}

/// The impact of a release.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseImpact {
    /// How far it was looked.
    pub depth: u32,
    /// True where there is more than is told here.
    pub truncated: bool,
    /// The items of the release itself, but for those that it leaves out.
    #[schema(max_items = 500)]
    pub own: Vec<ImpactItem>,
    /// What is reached from them: upstream first, nearest first.
    #[schema(max_items = 2000)]
    pub reached: Vec<ReachedItem>,
    /// The groups behind all of them, by name.
    #[schema(max_items = 2500)]
    pub groups: Vec<ImpactGroup>,
    /// The other active releases that the caller sees and that touch any of them, by number.
    #[schema(max_items = 200)]
    pub releases: Vec<ImpactRelease>,
}

fn shown(depth: u32, impact: &Impact) -> ReleaseImpact {
    let item = |id: &ConfigurationItemId| impact.items.get(id).map(ImpactItem::from);
    let name = |id: &ConfigurationItemId| impact.items.get(id).map(|item| item.name.clone()).unwrap_or_default();
    let mut reached = Vec::new();
    for (direction, walk) in &impact.walks {
        for one in walk.reached() {
            let Some(item) = item(&one.item) else { continue };
            let path = walk.path_to(one.item).into_iter().map(|(id, relationship)| PathStep {
                configuration_item_id: id,
                name: name(&id),
                relationship,
            });
            let path = path.collect();
            reached.push(ReachedItem { item, direction: *direction, distance: one.distance, path });
        }
    }
    let mut groups: BTreeMap<(String, GroupId), Vec<ConfigurationItemId>> = BTreeMap::new();
    for item in impact.items.values() {
        if let (Some(group), Some(name)) = (item.owner_group_id, &item.owner_group_name) {
            groups.entry((name.clone(), group)).or_default().push(item.id);
        }
    }
    let group = |((name, group_id), mut ids): ((String, GroupId), Vec<ConfigurationItemId>)| {
        ids.sort_unstable();
        ImpactGroup { group_id, name, configuration_item_ids: ids }
    };
    let releases = impact.releases.iter().map(|(touching, items)| ImpactRelease {
        release_id: touching.release,
        key: format!("REL-{}", touching.number),
        title: touching.title.clone(),
        status: touching.status,
        stage: touching.stage.clone(),
        deployment_window: touching.deployment_window,
        configuration_item_ids: items.clone(),
    });
    ReleaseImpact {
        depth,
        truncated: impact.truncated,
        own: impact.own.iter().filter_map(item).collect(),
        reached,
        groups: groups.into_iter().map(group).collect(),
        releases: releases.collect(),
    }
}

/// Read the impact of a release
///
/// What is reached from its configuration items along relationships: upstream what they need, downstream what needs
/// them, each with a shortest path, the groups that answer for them, and the other active releases that touch them. At
/// most 1000 items each way; `truncated` says where there is more.
#[utoipa::path(tag = "Configuration items", params(("release" = String, Path,)), responses((status = 200, body = ReleaseImpact)))]
#[get("/releases/{release}/impact")]
async fn read_impact(call: Call) -> Answer {
    let path = call.clone();
    call.read(&["depth", "direction"], move |context| {
        let release = path.id("release", "release")?;
        let question = question(&path).map_err(Error::Malformed)?;
        Reply::json(200, &shown(question.depth, &impact::of_release(context, release, question)?))
    })
    .await
}

fn question(call: &Call) -> Result<Question, Vec<Fault>> {
    let mut faults = Vec::new();
    let depth = match call.parameter("depth").map(|text| text.parse::<u32>()) {
        None => DEPTH_DEFAULT,
        Some(Ok(depth)) if (1..=DEPTH_MAX).contains(&depth) => depth,
        Some(_) => {
            let detail = format!("This is an integer from 1 to {DEPTH_MAX}.");
            faults.push(Fault::parameter("depth", "INVALID_PARAMETER", detail));
            DEPTH_DEFAULT
        }
    };
    let direction = match call.parameter("direction").as_deref() {
        None | Some("both") => None,
        Some("upstream") => Some(Direction::Upstream),
        Some("downstream") => Some(Direction::Downstream),
        Some(_) => {
            let detail = "This is `upstream`, `downstream` or `both`.";
            faults.push(Fault::parameter("direction", "INVALID_PARAMETER", detail));
            None
        }
    };
    if faults.is_empty() { Ok(Question { depth, direction }) } else { Err(faults) }
}
