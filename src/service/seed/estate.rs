//! What a small installation runs on: configuration items and how they hang together, the definitive media that some
//! releases install, spare hardware, and what the CMDB said of what closed releases changed.
//!
//! Of a product one release that was closed and one later that is under way are about its items, so that no two of them
//! ever get in each other's way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use serde_json::json;

use super::cast::{MANAGERS, TOOLS};
use super::furnish::Cast;
use super::play::{Play, missing};
use super::tale::{Act, Ending, Step, Tale};
use crate::domain::values::*;
use crate::repository::definitive_media::Licence;
use crate::repository::listing::ListQuery;
use crate::repository::nouns::{ConfigurationItem, DefinitiveMedium, HardwareSpare};
use crate::repository::releases::ReleaseRef;
use crate::service::documents::{self, NewFile};
use crate::service::hardware_spares::{self, SpareToReserve};
use crate::service::item_links::{self, NewItemLink};
use crate::service::medium_links::{self, MediumToLink};
use crate::service::relationships::{self, NewRelationship};
use crate::service::setup::console_request;
use crate::service::write_backs::{self, Confirmation};
use crate::service::{Env, Request, Result, WriteContext, catalogue, definitive_media, keyed};
use Environment::{Acceptance, Development, Production, Test};
use ItemStatus::{InAcceptance, InDevelopment, InMaintenance, InProduction, Planned, Retired};
use RelationshipKind::{ConnectedTo, DependsOn, PartOf, RunsOn};

/// The CMDB that owns all items.
const SOURCE: &str = "cmdb";

/// An item: key, name, class, environment, status, owner group by index.
type Thing = (&'static str, &'static str, &'static str, Environment, ItemStatus, usize);

const THINGS: &[Thing] = &[
    ("APP-1001", "Instant payments hub", "application", Production, InProduction, 0),
    ("APP-1002", "Card authorisation", "application", Production, InProduction, 0),
    ("APP-1003", "Payment gateway", "application", Production, InProduction, 0),
    ("APP-1103", "Payment gateway, acceptance", "application", Acceptance, InAcceptance, 0),
    ("APP-1203", "Payment gateway, test", "application", Test, InDevelopment, 0),
    ("APP-1004", "Settlement engine", "application", Production, InProduction, 0),
    ("APP-1005", "Fraud scoring", "application", Production, InProduction, 0),
    ("APP-1006", "Direct debit engine", "application", Production, InProduction, 0),
    ("APP-2001", "Mobile app", "application", Production, InProduction, 1),
    ("APP-2002", "Web banking", "application", Production, InProduction, 1),
    ("APP-2102", "Web banking, acceptance", "application", Acceptance, InAcceptance, 1),
    ("APP-2003", "Customer portal", "application", Production, InProduction, 1),
    ("APP-2004", "Public web site", "application", Production, InProduction, 1),
    ("APP-2005", "Onboarding journey", "application", Production, InProduction, 1),
    ("APP-2205", "Onboarding journey, development", "application", Development, InDevelopment, 1),
    ("PLT-3001", "Container platform", "platform", Production, InProduction, 2),
    ("DBC-3002", "Database cluster", "database", Production, InProduction, 2),
    ("DBC-3102", "Database cluster, acceptance", "database", Acceptance, InAcceptance, 2),
    ("SRV-3003", "lnx-pay-01", "server", Production, InProduction, 2),
    ("SRV-3004", "lnx-pay-02", "server", Production, InProduction, 2),
    ("SRV-3005", "lnx-pay-03", "server", Production, Planned, 2),
    ("SRV-3006", "win-branch-01", "server", Production, InProduction, 2),
    ("SRV-3007", "win-print-01", "server", Production, Retired, 2),
    ("STO-3008", "Storage array", "storage", Production, InProduction, 2),
    ("MON-3009", "Monitoring", "application", Production, InProduction, 2),
    ("NET-4001", "Core switch Lisbon", "switch", Production, InProduction, 3),
    ("NET-4002", "Core switch Porto", "switch", Production, InProduction, 3),
    ("NET-4003", "Branch router Lisbon 1", "router", Production, InProduction, 3),
    ("NET-4004", "Branch router Porto 1", "router", Production, InMaintenance, 3),
    ("NET-4005", "Perimeter firewall", "firewall", Production, InProduction, 3),
    ("NET-4006", "Wireless network", "wireless", Production, InProduction, 3),
];

const RELATIONSHIPS: &[(&str, RelationshipKind, &str)] = &[
    ("APP-1001", DependsOn, "APP-1004"),
    ("APP-1001", DependsOn, "APP-1005"),
    ("APP-1001", RunsOn, "PLT-3001"),
    ("APP-1002", DependsOn, "APP-1005"),
    ("APP-1002", RunsOn, "SRV-3003"),
    ("APP-1003", DependsOn, "APP-1001"),
    ("APP-1003", DependsOn, "APP-1002"),
    ("APP-1003", RunsOn, "PLT-3001"),
    ("APP-1004", DependsOn, "DBC-3002"),
    ("APP-1004", RunsOn, "SRV-3003"),
    ("APP-1005", RunsOn, "PLT-3001"),
    ("APP-1006", DependsOn, "APP-1004"),
    ("APP-1006", RunsOn, "SRV-3004"),
    ("APP-1103", DependsOn, "DBC-3102"),
    ("APP-2001", DependsOn, "APP-1003"),
    ("APP-2002", DependsOn, "APP-1003"),
    ("APP-2002", DependsOn, "APP-1006"),
    ("APP-2102", DependsOn, "APP-1103"),
    ("APP-2003", DependsOn, "APP-2005"),
    ("APP-2003", RunsOn, "PLT-3001"),
    ("APP-2005", DependsOn, "DBC-3002"),
    ("DBC-3002", RunsOn, "STO-3008"),
    ("PLT-3001", RunsOn, "STO-3008"),
    ("SRV-3003", PartOf, "PLT-3001"),
    ("SRV-3004", PartOf, "PLT-3001"),
    ("SRV-3003", ConnectedTo, "NET-4001"),
    ("SRV-3004", ConnectedTo, "NET-4002"),
    ("NET-4001", ConnectedTo, "NET-4002"),
    ("NET-4001", ConnectedTo, "NET-4005"),
    ("NET-4003", ConnectedTo, "NET-4001"),
    ("NET-4004", ConnectedTo, "NET-4002"),
    ("NET-4006", ConnectedTo, "NET-4001"),
    ("SRV-3006", ConnectedTo, "NET-4003"),
];

/// What the releases of a product install, and on which items.
const CARRIED: &[(&str, MediumKind, &[&str])] = &[
    ("Instant payments hub", MediumKind::ContainerImage, &["APP-1001"]),
    ("Card authorisation", MediumKind::Package, &["APP-1002"]),
    ("Payment gateway", MediumKind::ContainerImage, &["APP-1003", "APP-1103"]),
    ("Settlement engine", MediumKind::Package, &["APP-1004"]),
    ("Fraud scoring", MediumKind::ContainerImage, &["APP-1005"]),
    ("Direct debit engine", MediumKind::Package, &["APP-1006"]),
    ("Mobile app", MediumKind::Package, &["APP-2001"]),
    ("Web banking", MediumKind::Package, &["APP-2002", "APP-2102"]),
    ("Customer portal", MediumKind::ContainerImage, &["APP-2003"]),
    ("Public web site", MediumKind::Package, &["APP-2004"]),
    ("Onboarding journey", MediumKind::Package, &["APP-2005", "APP-2205"]),
    ("Container platform", MediumKind::Package, &["PLT-3001"]),
    ("Database cluster", MediumKind::Package, &["DBC-3002", "DBC-3102"]),
    ("Linux servers", MediumKind::Package, &["SRV-3003", "SRV-3004"]),
    ("Windows servers", MediumKind::Package, &["SRV-3006"]),
    ("Storage array", MediumKind::Firmware, &["STO-3008"]),
    ("Monitoring", MediumKind::Package, &["MON-3009"]),
    ("Core switches", MediumKind::Firmware, &["NET-4001", "NET-4002"]),
    ("Branch routers", MediumKind::Firmware, &["NET-4003", "NET-4004"]),
    ("Perimeter firewall", MediumKind::Firmware, &["NET-4005"]),
    ("Wireless network", MediumKind::Firmware, &["NET-4006"]),
];

/// Spare hardware: model, serial number, status, and the product whose next release reserves it.
const SPARES: &[(&str, &str, SpareStatus, Option<&str>)] = &[
    ("Branch router R4", "R4-000117", SpareStatus::InStock, Some("Branch routers")),
    ("Branch router R4", "R4-000118", SpareStatus::InStock, None),
    ("Line card 100G", "LC-77310", SpareStatus::InStock, Some("Core switches")),
    ("Firewall node F2", "F2-0042", SpareStatus::InStock, Some("Perimeter firewall")),
    ("Branch router R2", "R2-004711", SpareStatus::Retired, None),
];

/// What is stored of all that.
pub struct Estate {
    items: BTreeMap<&'static str, ConfigurationItemId>,
    /// By the product whose next release reserves it.
    spares: BTreeMap<&'static str, SpareId>,
}

impl fmt::Display for Estate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CMDB: {} configuration items, {} relationships, {} hardware spares",
            THINGS.len(),
            RELATIONSHIPS.len(),
            SPARES.len()
        )
    }
}

/// Who keeps the items, the media and the spares in order, by index.
const KEEPER: usize = TOOLS[1].1;

fn keepers(cast: &Cast, id: &str) -> Request {
    Request { id: id.into(), ..console_request(cast.actors[KEEPER].clone()) }
}

/// Stores items, relationships and spares, as the connector of a tool would.
pub fn furnish(env: &Arc<Env>, cast: &Cast) -> Result<Estate> {
    let groups = cast.stored.groups.clone();
    env.write_blocking(keepers(cast, "seed-estate"), move |context| {
        let mut items = BTreeMap::new();
        for thing in THINGS {
            let content = item(thing, &groups);
            let (record, _) = keyed::upsert(context, (SOURCE, thing.0), Ok(content))?;
            items.insert(thing.0, record.id);
        }
        for (from, kind, to) in RELATIONSHIPS {
            let (Some(item), Some(target)) = (items.get(from), items.get(to)) else {
                return Err(missing("an item"));
            };
            let new = NewRelationship { kind: *kind, target_id: *target };
            relationships::add(context, *item, Ok(new))?;
        }
        let mut spares = BTreeMap::new();
        for (model, serial, status, product) in SPARES {
            let content = HardwareSpare {
                model: (*model).into(),
                serial: (*serial).into(),
                location: Some("Lisbon store".into()),
                notes: None,
                status: *status,
                configuration_item_id: None,
            };
            let id = catalogue::create(context, Ok(content))?.id;
            if let Some(product) = product {
                spares.insert(*product, id);
            }
        }
        Ok(Estate { items, spares })
    })
}

fn item(thing: &Thing, groups: &[GroupId]) -> ConfigurationItem {
    let (key, name, class, environment, status, group) = *thing;
    let is_hardware = !matches!(class, "application" | "platform" | "database");
    ConfigurationItem {
        source: SOURCE.into(),
        external_id: key.into(),
        name: name.into(),
        class: class.into(),
        environment: Some(environment),
        status,
        version: (status != Planned).then(|| "1.0.0".into()),
        serial: is_hardware.then(|| format!("MB-{}", &key[4..])),
        location: is_hardware.then(|| "Lisbon data centre".into()),
        owner_group_id: groups.get(group).copied(),
        attributes: Json(
            json!({"criticality": if environment == Production { 1 } else { 3 }})
                .as_object()
                .cloned()
                .unwrap_or_default(),
        ),
        source_revision: Some(1),
    }
}

/// Lets the first closed release of every product, and its last that is under way, be about the items of the product:
/// right after the plan was described, while it is open.
pub fn carry(tales: &mut [Tale]) {
    for (index, (product, ..)) in CARRIED.iter().enumerate() {
        let planned = |tale: &Tale| tale.planned_at().is_some() && tale.title.starts_with(product);
        let closed = tales.iter().position(|tale| planned(tale) && tale.is_settled());
        let since = closed.map(|closed| tales[closed].ended());
        let open = tales.iter().rposition(|tale| {
            let is_open = matches!(tale.ending, Ending::Open(_) | Ending::Suspended(_));
            is_open && planned(tale) && since.is_none_or(|since| tale.planned_at() > Some(since))
        });
        for tale in closed.into_iter().chain(open) {
            let tale = &mut tales[tale];
            if let Some(nth) = tale.steps.iter().position(|step| matches!(step.act, Act::Plan)) {
                let plan = &tale.steps[nth];
                let at = plan.at.plus(TimeDelta::seconds(1));
                let step = Step { at, act: Act::Equip(index), ..plan.clone() };
                tale.steps.insert(nth + 1, step);
            }
        }
    }
}

impl Play<'_> {
    /// Links the items of a product to a release, with the medium that is installed on them, and a spare where one is
    /// kept for it.
    pub fn equip(
        &self,
        at: Timestamp,
        person: usize,
        reference: ReleaseRef,
        (tale, index): (&Tale, usize),
    ) -> Result<()> {
        let estate = self.estate.ok_or_else(|| missing("the estate"))?;
        let (product, kind, keys) = CARRIED[index];
        let medium_id = self.medium(at, tale, (product, kind))?;
        for thing in THINGS.iter().filter(|thing| keys.contains(&thing.0)) {
            let id = *estate.items.get(thing.0).ok_or_else(|| missing("an item"))?;
            let new = NewItemLink {
                configuration_item_id: id,
                description: Some(format!("{product} {} by the runbook", tale.version)),
                intended_version: Some(tale.version.clone()),
                intended_status: (thing.3 != Production).then_some(thing.4),
                intended_environment: Some(thing.3),
                medium_id: Some(medium_id),
                spare_model: None,
            };
            self.by(at, person, move |context| item_links::add(context, reference, Ok(new.clone())).map(drop))?;
        }
        self.by(at, person, move |context| {
            let new = MediumToLink { medium_id, description: None };
            medium_links::add(context, reference, Ok(new)).map(drop)
        })?;
        let spare = estate.spares.get(product).filter(|_| tale.ending.is_under_way());
        spare.map_or(Ok(()), |spare| {
            let description = Some("In case one does not come up again.".into());
            let new = SpareToReserve { spare_id: *spare, configuration_item_id: None, description };
            self.by(at, person, move |context| hardware_spares::reserve(context, reference, Ok(new.clone())).map(drop))
        })
    }

    /// The medium of a release: stored by the connector, verified by one release manager and authorised by the other,
    /// unless the release is still being planned.
    fn medium(&self, at: Timestamp, tale: &Tale, (product, kind): (&str, MediumKind)) -> Result<MediumId> {
        let licence = (product == "Database cluster").then(|| {
            Json(Licence {
                key: Some("vault:database/cluster".into()),
                holder: Some("Meridian Bank".into()),
                total: Some(20),
                expires_at: None,
            })
        });
        let content = DefinitiveMedium {
            name: product.into(),
            version: tale.version.clone(),
            kind,
            physical_location: None,
            logical_location: None,
            sha256: None,
            licence,
            notes: None,
        };
        let made = self.by(at, KEEPER, move |context| definitive_media::create(context, Ok(content.clone())))?;
        let id = made.medium.record.id;
        let key = documents::new_key(self.env);
        let words = format!("{}\n{}\n", tale.title, tale.description);
        let seal = self.env.store()?.put_blocking(&key, Bytes::from(words))?;
        let name = format!("{}-{}.bin", product.to_lowercase().replace(' ', "-"), tale.version);
        // The connector states the digest that the vendor published.
        let file = (true, NewFile { name, media_type: "application/octet-stream".into(), seal });
        let stored_at = key.clone();
        self.by(at, KEEPER, move |context| {
            definitive_media::put_content(context, id, &Ok(file.clone()), &stored_at).map(drop)
        })?;
        self.by(at, MANAGERS[0], move |context| definitive_media::verify(context, id, Ok(None)).map(drop))?;
        if matches!(tale.ending, Ending::Open("planning") | Ending::Suspended("planning")) {
            return Ok(id);
        }
        let seen = definitive_media::look_blocking(self.env, key)?;
        self.by(at, MANAGERS[1], move |context| definitive_media::authorise(context, id, Some(&seen)).map(drop))?;
        Ok(id)
    }
}

/// Lets the CMDB take over every second of the changes that it was told of; the others wait. Answers how many it took
/// over, and how many wait.
pub fn confirm(env: &Arc<Env>, cast: &Cast, present: Timestamp) -> Result<(usize, usize)> {
    env.clock().set(present);
    env.write_blocking(keepers(cast, "seed-write-backs"), |context: &mut WriteContext<'_>| {
        let query = ListQuery {
            conditions: Vec::new(),
            sort: 0,
            descending: false,
            after: None,
            limit: 200,
            count: false,
            path: String::new(),
        };
        let told = write_backs::list(context, &query)?.rows;
        let mut confirmed = 0;
        for write_back in told.iter().step_by(2) {
            let answer = Confirmation { cmdb_revision: format!("rev-{}", 8800 + confirmed) };
            write_backs::confirm(context, write_back.row.id, Ok(answer))?;
            confirmed += 1;
        }
        Ok((confirmed, told.len() - confirmed))
    })
}
