//! Who and what an installation consists of before its first release: people, groups, units, contracts,
//! the catalogue.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::policy::{Actor, Via};
use crate::domain::values::*;
use crate::repository::identity;
use crate::repository::nouns::{
    Contract, Group, Justification, Model, Portfolio, SolutionCategory, Unit, User,
};
use crate::service::{Env, Error, IfMatch, MergePatch, Result, WriteContext, catalogue, groups};

use super::read_as;
use GlobalRole::{Admin, Integration, ReleaseManager, Viewer};
use Permission::{
    Approve, Cancel, ChangeDeadline, Create, Delegate, Execute, Override, Reactivate, Reopen,
    Suspend,
};

/// A group: name, what it does, what its members may do with its releases.
pub const GROUPS: &[(&str, &str, &[Permission])] = &[
    (
        "Payments delivery",
        "Plans and deploys everything that moves money.",
        Permission::ALL,
    ),
    (
        "Digital channels",
        "Mobile, web and content.",
        &[
            Create,
            Execute,
            Delegate,
            Suspend,
            Reactivate,
            Cancel,
            Reopen,
            Approve,
            ChangeDeadline,
        ],
    ),
    (
        "Infrastructure operations",
        "Servers, storage, databases and the platform.",
        &[
            Create,
            Execute,
            Delegate,
            Suspend,
            Reactivate,
            ChangeDeadline,
        ],
    ),
    (
        "Network operations",
        "Routers, switches, firewalls and lines.",
        &[Execute],
    ),
    (
        "Business requesters",
        "People of the business who ask for releases and accept them.",
        &[Create],
    ),
    (
        "Change advisory board",
        "Votes on releases and lifts freezes.",
        &[Approve, Override],
    ),
];

/// Index of the group that asks for releases.
pub const REQUESTERS: usize = 4;

/// Organisational units: name, the unit above by index.
const UNITS: &[(&str, Option<usize>)] = &[
    ("Meridian Bank", None),
    ("Retail banking", Some(0)),
    ("Cards and payments", Some(1)),
    ("Branches", Some(1)),
    ("Corporate banking", Some(0)),
    ("Risk and compliance", Some(0)),
    ("Technology", Some(0)),
    ("Digital products", Some(6)),
    ("Infrastructure", Some(6)),
    ("Service management", Some(6)),
];

/// Somebody of the installation.
pub struct Person {
    pub username: &'static str,
    name: &'static str,
    role: Option<GlobalRole>,
    pub groups: &'static [usize],
    unit: usize,
    pub active: bool,
}

const fn person(
    username: &'static str,
    name: &'static str,
    role: Option<GlobalRole>,
    groups: &'static [usize],
    unit: usize,
) -> Person {
    Person {
        username,
        name,
        role,
        groups,
        unit,
        active: true,
    }
}

/// The people. The first of a group leads it.
pub const PEOPLE: &[Person] = &[
    person("helena.brandt", "Helena Brandt", Some(Admin), &[], 9),
    person(
        "tomas.ferreira",
        "Tomás Ferreira",
        Some(ReleaseManager),
        &[5],
        9,
    ),
    person(
        "ingrid.solberg",
        "Ingrid Solberg",
        Some(ReleaseManager),
        &[5],
        9,
    ),
    person("priya.nair", "Priya Nair", Some(Viewer), &[], 5),
    person("lucas.moreau", "Lucas Moreau", Some(Viewer), &[], 5),
    person(
        "jira-connector",
        "Jira connector",
        Some(Integration),
        &[],
        9,
    ),
    person(
        "servicenow-connector",
        "ServiceNow connector",
        Some(Integration),
        &[],
        9,
    ),
    person("ana.souza", "Ana Souza", None, &[0, 5], 2),
    person("david.okafor", "David Okafor", None, &[0], 2),
    person("mei.tanaka", "Mei Tanaka", None, &[0], 2),
    person("carlos.vega", "Carlos Vega", None, &[1, 5], 7),
    person("sofia.lindqvist", "Sofia Lindqvist", None, &[1], 7),
    person("jan.novak", "Jan Novák", None, &[1], 7),
    person("amara.diallo", "Amara Diallo", None, &[1], 7),
    person("erik.johansson", "Erik Johansson", None, &[2], 8),
    person("fatima.zahra", "Fatima Zahra", None, &[2], 8),
    person("george.papadakis", "George Papadakis", None, &[2, 3], 8),
    person("olga.petrova", "Olga Petrova", None, &[3], 8),
    person("samuel.adeyemi", "Samuel Adeyemi", None, &[3], 8),
    person("beatriz.costa", "Beatriz Costa", None, &[4], 1),
    person("henry.walsh", "Henry Walsh", None, &[4], 3),
    person("noor.haddad", "Noor Haddad", None, &[4], 4),
    person("paulo.mendes", "Paulo Mendes", None, &[4], 2),
    Person {
        active: false,
        ..person("rosa.keller", "Rosa Keller", None, &[0], 2)
    },
    person("victor.lange", "Victor Lange", None, &[], 0),
];

/// The release managers, by index.
pub const MANAGERS: &[usize] = &[1, 2];
/// Who keeps the working copies of changes in order, by tool.
pub const TOOLS: &[(&str, usize)] = &[("jira", 5), ("servicenow", 6)];

/// Contracts: name, what it is about, groups, units.
const CONTRACTS: &[(&str, &str, &[usize], &[usize])] = &[
    (
        "Core banking support",
        "Vendor support of the payment platform.",
        &[0],
        &[2],
    ),
    (
        "Mobile development",
        "Development and maintenance of the apps.",
        &[1],
        &[7],
    ),
    (
        "Data centre services",
        "Housing, hardware and remote hands.",
        &[2, 3],
        &[8],
    ),
    (
        "Network lines",
        "Lines and managed routers of all sites.",
        &[3],
        &[3, 8],
    ),
];

const PORTFOLIOS: &[(&str, &str, &str, Option<usize>)] = &[
    (
        "Payments",
        "Everything that moves money.",
        "credit-card",
        None,
    ),
    (
        "Digital channels",
        "What customers see and touch.",
        "smartphone",
        None,
    ),
    (
        "Infrastructure",
        "What everything else runs on.",
        "server",
        None,
    ),
    ("Networks", "What connects the sites.", "network", Some(2)),
];

/// A release model.
pub struct ModelPlan {
    portfolio: usize,
    name: &'static str,
    pub workflow: &'static str,
    release_type: ReleaseType,
    /// The executor groups that are allowed; the first is the default.
    pub groups: &'static [usize],
    pub contracts: &'static [usize],
    status: ModelStatus,
}

const fn model(
    portfolio: usize,
    name: &'static str,
    workflow: &'static str,
    release_type: ReleaseType,
    groups: &'static [usize],
    contracts: &'static [usize],
) -> ModelPlan {
    ModelPlan {
        portfolio,
        name,
        workflow,
        release_type,
        groups,
        contracts,
        status: ModelStatus::Active,
    }
}

/// The models.
pub const MODELS: &[ModelPlan] = &[
    model(
        0,
        "Quarterly payments release",
        "standard",
        ReleaseType::Major,
        &[0],
        &[0],
    ),
    model(
        0,
        "Payments maintenance",
        "minor",
        ReleaseType::Minor,
        &[0],
        &[0],
    ),
    model(
        0,
        "Emergency fix",
        "emergency",
        ReleaseType::Emergency,
        &[0, 1],
        &[],
    ),
    model(
        1,
        "App and web release",
        "standard",
        ReleaseType::Significant,
        &[1],
        &[1],
    ),
    model(
        1,
        "Content and configuration",
        "minor",
        ReleaseType::Minor,
        &[1],
        &[],
    ),
    ModelPlan {
        status: ModelStatus::New,
        ..model(
            1,
            "Open banking partner release",
            "standard",
            ReleaseType::Significant,
            &[1, 0],
            &[],
        )
    },
    model(
        2,
        "Platform upgrade",
        "standard",
        ReleaseType::Major,
        &[2],
        &[2],
    ),
    model(
        2,
        "Monthly patching",
        "minor",
        ReleaseType::Minor,
        &[2, 3],
        &[],
    ),
    model(
        3,
        "Network change bundle",
        "standard",
        ReleaseType::Significant,
        &[3],
        &[2, 3],
    ),
    model(
        3,
        "Branch router refresh",
        "standard",
        ReleaseType::Significant,
        &[3],
        &[3],
    ),
];

/// Index of the model that is retired in the course of time.
pub const RETIRED_MODEL: usize = 9;
/// Index of the model that is not in use yet.
pub const NEW_MODEL: usize = 5;

const JUSTIFICATIONS: &[(&str, JustificationUse)] = &[
    (
        "Change freeze at the end of the quarter",
        JustificationUse::Suspend,
    ),
    (
        "Vendor patch announced but not delivered",
        JustificationUse::Suspend,
    ),
    ("Test environment occupied", JustificationUse::Suspend),
    ("Budget withdrawn", JustificationUse::Cancel),
    ("Scope moved to the next release", JustificationUse::Cancel),
    ("Rolled back in production", JustificationUse::Cancel),
    ("Regression reported by users", JustificationUse::Reopen),
    (
        "Deployment incomplete at some sites",
        JustificationUse::Reopen,
    ),
    ("Rollback plan missing", JustificationUse::SendBack),
    ("Regression tests failed", JustificationUse::SendBack),
    ("Deadline set by the regulator", JustificationUse::Override),
];

const CATEGORIES: &[(&str, &str)] = &[
    ("New function", "Something that users could not do before."),
    ("Capacity", "More of the same: throughput, storage, lines."),
    (
        "End of support",
        "What is replaced was no longer supported.",
    ),
];

/// What the first transaction has stored.
#[derive(Debug, Clone)]
pub struct Stored {
    pub people: Vec<UserId>,
    pub groups: Vec<GroupId>,
    pub units: Vec<UnitId>,
    pub contracts: Vec<ContractId>,
    pub models: Vec<ModelId>,
    pub portfolios: usize,
    pub justifications: BTreeMap<JustificationUse, Vec<JustificationId>>,
    pub categories: Vec<SolutionCategoryId>,
}

/// The stored installation, with the actors that its people are.
pub struct Cast {
    pub stored: Stored,
    pub actors: Vec<Actor>,
}

impl Cast {
    /// Loads the actors as a credential of each would be authenticated.
    pub fn load(env: &Env, stored: Stored) -> Result<Self> {
        let actors = env.database.read_blocking::<_, Error>(|connection| {
            let mut actors = Vec::with_capacity(stored.people.len());
            for id in &stored.people {
                let account = identity::account(connection, *id)?.ok_or(Error::NotFound("user"))?;
                actors.push(Actor {
                    user_id: *id,
                    username: account.username,
                    global_role: account.global_role,
                    memberships: account.memberships,
                    scopes: None,
                    via: Via::Console,
                });
            }
            Ok(actors)
        })?;
        Ok(Self { stored, actors })
    }

    /// The active members of a group, its lead first.
    pub fn members(group: usize) -> Vec<usize> {
        (0..PEOPLE.len())
            .filter(|index| PEOPLE[*index].active && PEOPLE[*index].groups.contains(&group))
            .collect()
    }

    /// True where the group gives its members the permission.
    pub fn permits(group: usize, permission: Permission) -> bool {
        GROUPS[group].2.contains(&permission)
    }
}

/// Stores the directory and the catalogue, as the machine's own actor.
pub fn furnish(context: &mut WriteContext<'_>) -> Result<Stored> {
    let units = units(context)?;
    let groups = all_groups(context)?;
    let people = people(context, &units, &groups)?;
    let contracts = contracts(context, &units, &groups)?;
    let portfolios = portfolios(context)?;
    let models = models(context, &portfolios, &groups, &contracts)?;
    let mut justifications: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (description, used_for) in JUSTIFICATIONS {
        let content = Justification {
            description: (*description).into(),
            active: true,
            applies_to: Json([*used_for].into()),
        };
        let id = catalogue::create(context, Ok(content))?.id;
        justifications.entry(*used_for).or_default().push(id);
    }
    let mut categories = Vec::new();
    for (name, description) in CATEGORIES {
        let content = SolutionCategory {
            name: (*name).into(),
            description: Some((*description).into()),
            active: true,
        };
        categories.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(Stored {
        people,
        groups,
        units,
        contracts,
        models,
        portfolios: portfolios.len(),
        justifications,
        categories,
    })
}

fn units(context: &mut WriteContext<'_>) -> Result<Vec<UnitId>> {
    let mut units: Vec<UnitId> = Vec::new();
    for (name, parent) in UNITS {
        let content = Unit {
            name: (*name).into(),
            description: None,
            parent_id: parent.map(|index| units[index]),
            active: true,
        };
        units.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(units)
}

fn all_groups(context: &mut WriteContext<'_>) -> Result<Vec<GroupId>> {
    let mut groups = Vec::new();
    for (name, description, permissions) in GROUPS {
        let content = Group {
            name: (*name).into(),
            description: Some((*description).into()),
            active: true,
            permissions: Json(permissions.iter().copied().collect()),
        };
        groups.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(groups)
}

fn people(
    context: &mut WriteContext<'_>,
    units: &[UnitId],
    all_groups: &[GroupId],
) -> Result<Vec<UserId>> {
    let mut people = Vec::new();
    for (index, person) in PEOPLE.iter().enumerate() {
        let content = User {
            username: person.username.into(),
            name: person.name.into(),
            email: format!("{}@meridian.example", person.username),
            phone: Some(format!("+351 210 000 {:03}", 100 + index)),
            extension: Some(format!("{}", 4100 + index)),
            unit_id: Some(units[person.unit]),
            location: Some(["Lisbon", "Porto", "Madrid"][index % 3].into()),
            global_role: person.role,
            active: true,
        };
        let id = catalogue::create(context, Ok(content))?.id;
        for group in person.groups {
            groups::add_member(context, all_groups[*group], Ok(id))?;
        }
        if !person.active {
            let leaves = MergePatch {
                document: json!({"active": false}),
                parse: read_as::<User>,
            };
            catalogue::patch(context, id, &IfMatch::Any, &leaves)?;
        }
        people.push(id);
    }
    Ok(people)
}

fn contracts(
    context: &mut WriteContext<'_>,
    units: &[UnitId],
    groups: &[GroupId],
) -> Result<Vec<ContractId>> {
    let mut contracts = Vec::new();
    for (name, description, for_groups, for_units) in CONTRACTS {
        let content = Contract {
            name: (*name).into(),
            description: Some((*description).into()),
            active: true,
            group_ids: Json(for_groups.iter().map(|index| groups[*index]).collect()),
            unit_ids: Json(for_units.iter().map(|index| units[*index]).collect()),
        };
        contracts.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(contracts)
}

fn portfolios(context: &mut WriteContext<'_>) -> Result<Vec<PortfolioId>> {
    let mut portfolios: Vec<PortfolioId> = Vec::new();
    for (name, description, icon, parent) in PORTFOLIOS {
        let content = Portfolio {
            name: (*name).into(),
            description: Some((*description).into()),
            icon: Some((*icon).into()),
            parent_id: parent.map(|index| portfolios[index]),
            active: true,
        };
        portfolios.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(portfolios)
}

fn models(
    context: &mut WriteContext<'_>,
    portfolios: &[PortfolioId],
    groups: &[GroupId],
    contracts: &[ContractId],
) -> Result<Vec<ModelId>> {
    let mut models = Vec::new();
    for plan in MODELS {
        let level = match plan.release_type {
            ReleaseType::Minor => Level::Low,
            ReleaseType::Significant => Level::Medium,
            ReleaseType::Major | ReleaseType::Emergency => Level::High,
        };
        let content = Model {
            portfolio_id: portfolios[plan.portfolio],
            name: plan.name.into(),
            description: None,
            icon: None,
            status: plan.status,
            is_default: false,
            workflow: plan.workflow.into(),
            executor_group_id: Some(groups[plan.groups[0]]),
            executor_group_ids: Json(plan.groups.iter().map(|index| groups[*index]).collect()),
            contract_ids: Json(
                plan.contracts
                    .iter()
                    .map(|index| contracts[*index])
                    .collect(),
            ),
            release_type: plan.release_type,
            impact: level,
            urgency: if plan.workflow == "emergency" {
                Level::High
            } else {
                Level::Medium
            },
            risk: level,
        };
        models.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(models)
}
