//! Who and what an installation consists of before its first release, as data: people, groups, units,
//! contracts, the catalogue.

use crate::domain::values::*;
use GlobalRole::{Admin, Integration, ReleaseManager, Viewer};
use Permission::{Approve, Cancel, ChangeDeadline, Create, Delegate, Execute, Override, Reactivate, Reopen, Suspend};

/// A group: name, what it does, what its members may do with its releases.
pub const GROUPS: &[(&str, &str, &[Permission])] = &[
    ("Payments delivery", "Plans and deploys everything that moves money.", Permission::ALL),
    (
        "Digital channels",
        "Mobile, web and content.",
        &[Create, Execute, Delegate, Suspend, Reactivate, Cancel, Reopen, Approve, ChangeDeadline],
    ),
    (
        "Infrastructure operations",
        "Servers, storage, databases and the platform.",
        &[Create, Execute, Delegate, Suspend, Reactivate, ChangeDeadline],
    ),
    ("Network operations", "Routers, switches, firewalls and lines.", &[Execute]),
    ("Business requesters", "People of the business who ask for releases and accept them.", &[Create]),
    ("Change advisory board", "Votes on releases and lifts freezes.", &[Approve, Override]),
];

/// Index of the group that asks for releases.
pub const REQUESTERS: usize = 4;

/// Index of the group that votes on releases.
pub const APPROVERS: usize = 5;
/// Indexes of the group that executes releases of the model with templates, and of its portfolio.
pub const TEMPLATED_GROUP: usize = 1;
pub const TEMPLATED_PORTFOLIO: usize = 1;

/// Organisational units: name, the unit above by index.
pub const UNITS: &[(&str, Option<usize>)] = &[
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
    pub name: &'static str,
    pub role: Option<GlobalRole>,
    pub groups: &'static [usize],
    pub unit: usize,
    pub active: bool,
}

const fn person(
    username: &'static str,
    name: &'static str,
    role: Option<GlobalRole>,
    groups: &'static [usize],
    unit: usize,
) -> Person {
    Person { username, name, role, groups, unit, active: true }
}

/// The people. The first of a group leads it.
pub const PEOPLE: &[Person] = &[
    person("helena.brandt", "Helena Brandt", Some(Admin), &[], 9),
    person("tomas.ferreira", "Tomás Ferreira", Some(ReleaseManager), &[5], 9),
    person("ingrid.solberg", "Ingrid Solberg", Some(ReleaseManager), &[5], 9),
    person("priya.nair", "Priya Nair", Some(Viewer), &[], 5),
    person("lucas.moreau", "Lucas Moreau", Some(Viewer), &[], 5),
    person("jira-connector", "Jira connector", Some(Integration), &[], 9),
    person("servicenow-connector", "ServiceNow connector", Some(Integration), &[], 9),
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
    Person { active: false, ..person("rosa.keller", "Rosa Keller", None, &[0], 2) },
    person("victor.lange", "Victor Lange", None, &[], 0),
];

/// The release managers, by index.
pub const MANAGERS: &[usize] = &[1, 2];
/// Who keeps the working copies of changes in order, by tool.
pub const TOOLS: &[(&str, usize)] = &[("jira", 5), ("servicenow", 6)];

/// Contracts: name, what it is about, groups, units.
pub const CONTRACTS: &[(&str, &str, &[usize], &[usize])] = &[
    ("Core banking support", "Vendor support of the payment platform.", &[0], &[2]),
    ("Mobile development", "Development and maintenance of the apps.", &[1], &[7]),
    ("Data centre services", "Housing, hardware and remote hands.", &[2, 3], &[8]),
    ("Network lines", "Lines and managed routers of all sites.", &[3], &[3, 8]),
];

pub const PORTFOLIOS: &[(&str, &str, &str, Option<usize>)] = &[
    ("Payments", "Everything that moves money.", "credit-card", None),
    ("Digital channels", "What customers see and touch.", "smartphone", None),
    ("Infrastructure", "What everything else runs on.", "server", None),
    ("Networks", "What connects the sites.", "network", Some(2)),
];

/// A calendar of working time.
pub struct CalendarPlan {
    pub name: &'static str,
    pub description: &'static str,
    pub time_zone: &'static str,
    /// The hours of a day, and on how many days from Monday on.
    pub hours: &'static [(&'static str, &'static str)],
    pub days: usize,
    /// Holidays that come every year: month, day, name.
    pub holidays: &'static [(u32, u32, &'static str)],
}

/// The calendars.
pub const CALENDARS: &[CalendarPlan] = &[
    CalendarPlan {
        name: "Lisbon office",
        description: "Office hours of the teams in Portugal.",
        time_zone: "Europe/Lisbon",
        hours: &[("09:00", "13:00"), ("14:00", "18:00")],
        days: 5,
        holidays: PORTUGUESE_HOLIDAYS,
    },
    CalendarPlan {
        name: "São Paulo operations",
        description: "Three shifts, every day.",
        time_zone: "America/Sao_Paulo",
        hours: &[("00:00", "08:00"), ("08:00", "16:00"), ("16:00", "24:00")],
        days: 7,
        holidays: &[],
    },
    CalendarPlan {
        name: "Branches in Portugal",
        description: "While customers may come in.",
        time_zone: "Europe/Lisbon",
        hours: &[("08:30", "15:00")],
        days: 5,
        holidays: PORTUGUESE_HOLIDAYS,
    },
];

const PORTUGUESE_HOLIDAYS: &[(u32, u32, &str)] = &[
    (1, 1, "Ano Novo"),
    (4, 25, "Dia da Liberdade"),
    (5, 1, "Dia do Trabalhador"),
    (6, 10, "Dia de Portugal"),
    (8, 15, "Assunção de Nossa Senhora"),
    (10, 5, "Implantação da República"),
    (11, 1, "Todos os Santos"),
    (12, 1, "Restauração da Independência"),
    (12, 8, "Imaculada Conceição"),
    (12, 25, "Natal"),
];

/// A release model.
pub struct ModelPlan {
    pub portfolio: usize,
    pub name: &'static str,
    pub workflow: &'static str,
    pub release_type: ReleaseType,
    /// The executor groups that are allowed; the first is the default.
    pub groups: &'static [usize],
    pub contracts: &'static [usize],
    pub calendar: Option<usize>,
    pub status: ModelStatus,
}

impl ModelPlan {
    const fn on(self, calendar: usize) -> Self {
        Self { calendar: Some(calendar), ..self }
    }
}

const fn model(
    portfolio: usize,
    name: &'static str,
    workflow: &'static str,
    release_type: ReleaseType,
    groups: &'static [usize],
    contracts: &'static [usize],
) -> ModelPlan {
    let (calendar, status) = (None, ModelStatus::Active);
    ModelPlan { portfolio, name, workflow, release_type, groups, contracts, calendar, status }
}

/// The models.
pub const MODELS: &[ModelPlan] = &[
    model(0, "Quarterly payments release", "standard", ReleaseType::Major, &[0], &[0]).on(0),
    model(0, "Payments maintenance", "minor", ReleaseType::Minor, &[0], &[0]).on(0),
    model(0, "Emergency fix", "emergency", ReleaseType::Emergency, &[0, 1], &[]),
    model(1, "App and web release", "standard", ReleaseType::Significant, &[1], &[1]).on(0),
    model(1, "Content and configuration", "minor", ReleaseType::Minor, &[1], &[]).on(0),
    ModelPlan {
        status: ModelStatus::New,
        ..model(1, "Open banking partner release", "standard", ReleaseType::Significant, &[1, 0], &[])
    },
    model(2, "Platform upgrade", "standard", ReleaseType::Major, &[2], &[2]).on(1),
    model(2, "Monthly patching", "minor", ReleaseType::Minor, &[2, 3], &[]).on(1),
    model(3, "Network change bundle", "standard", ReleaseType::Significant, &[3], &[2, 3]).on(1),
    model(3, "Branch router refresh", "standard", ReleaseType::Significant, &[3], &[3]).on(2),
];

/// Index of the model that is retired in the course of time.
pub const RETIRED_MODEL: usize = 9;
/// Index of the model that is not in use yet.
pub const NEW_MODEL: usize = 5;

pub const JUSTIFICATIONS: &[(&str, JustificationUse)] = &[
    ("Change freeze at the end of the quarter", JustificationUse::Suspend),
    ("Vendor patch announced but not delivered", JustificationUse::Suspend),
    ("Test environment occupied", JustificationUse::Suspend),
    ("Budget withdrawn", JustificationUse::Cancel),
    ("Scope moved to the next release", JustificationUse::Cancel),
    ("Rolled back in production", JustificationUse::Cancel),
    ("Regression reported by users", JustificationUse::Reopen),
    ("Deployment incomplete at some sites", JustificationUse::Reopen),
    ("Rollback plan missing", JustificationUse::SendBack),
    ("Regression tests failed", JustificationUse::SendBack),
    ("Deadline set by the regulator", JustificationUse::Override),
];

pub const CATEGORIES: &[(&str, &str)] = &[
    ("New function", "Something that users could not do before."),
    ("Capacity", "More of the same: throughput, storage, lines."),
    ("End of support", "What is replaced was no longer supported."),
];

/// The active members of a group, its lead first.
pub fn members(group: usize) -> Vec<usize> {
    (0..PEOPLE.len()).filter(|index| PEOPLE[*index].active && PEOPLE[*index].groups.contains(&group)).collect()
}

/// True where the group gives its members the permission.
pub fn permits(group: usize, permission: Permission) -> bool {
    GROUPS[group].2.contains(&permission)
}
