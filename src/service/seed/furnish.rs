//! Stores what an installation consists of before its first release.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde_json::json;

use super::cast::{
    APPROVERS, CALENDARS, CATEGORIES, CONTRACTS, GROUPS, JUSTIFICATIONS, MODELS, PEOPLE, PORTFOLIOS, TEMPLATED_GROUP,
    TEMPLATED_PORTFOLIO, UNITS,
};
use super::{read_as, templated};
use crate::domain::policy::{Actor, Via};
use crate::domain::values::*;
use crate::domain::worktime::{Holiday, Hours, WorkingHours};
use crate::repository::identity;
use crate::repository::nouns::{
    Calendar, Contract, Group, Justification, Model, Portfolio, SolutionCategory, Unit, User,
};
use crate::service::{Env, Error, IfMatch, MergePatch, Result, WriteContext, catalogue, groups};

/// What the first transaction has stored.
#[derive(Debug, Clone)]
pub struct Stored {
    pub people: Vec<UserId>,
    pub groups: Vec<GroupId>,
    pub units: Vec<UnitId>,
    pub contracts: Vec<ContractId>,
    pub calendars: Vec<CalendarId>,
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
}

/// Stores the directory and the catalogue, as the machine's own actor.
pub fn furnish(context: &mut WriteContext<'_>) -> Result<Stored> {
    let units = units(context)?;
    let groups = all_groups(context)?;
    let people = people(context, &units, &groups)?;
    let contracts = contracts(context, &units, &groups)?;
    let portfolios = portfolios(context)?;
    let calendars = calendars(context)?;
    let mut models = models(context, &portfolios, &groups, &contracts, &calendars)?;
    // Behind those that the tales are of.
    models.push(templated::model(
        context,
        portfolios[TEMPLATED_PORTFOLIO],
        groups[TEMPLATED_GROUP],
        groups[APPROVERS],
    )?);
    let mut justifications: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (description, used_for) in JUSTIFICATIONS {
        let content =
            Justification { description: (*description).into(), active: true, applies_to: Json([*used_for].into()) };
        let id = catalogue::create(context, Ok(content))?.id;
        justifications.entry(*used_for).or_default().push(id);
    }
    let mut categories = Vec::new();
    for (name, description) in CATEGORIES {
        let content = SolutionCategory { name: (*name).into(), description: Some((*description).into()), active: true };
        categories.push(catalogue::create(context, Ok(content))?.id);
    }
    let portfolios = portfolios.len();
    Ok(Stored { people, groups, units, contracts, calendars, models, portfolios, justifications, categories })
}

fn units(context: &mut WriteContext<'_>) -> Result<Vec<UnitId>> {
    let mut units: Vec<UnitId> = Vec::new();
    for (name, parent) in UNITS {
        let content =
            Unit { name: (*name).into(), description: None, parent_id: parent.map(|index| units[index]), active: true };
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

fn people(context: &mut WriteContext<'_>, units: &[UnitId], all_groups: &[GroupId]) -> Result<Vec<UserId>> {
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
            let leaves = MergePatch { document: json!({"active": false}), parse: read_as::<User> };
            catalogue::patch(context, id, &IfMatch::Any, &leaves)?;
        }
        people.push(id);
    }
    Ok(people)
}

fn contracts(context: &mut WriteContext<'_>, units: &[UnitId], groups: &[GroupId]) -> Result<Vec<ContractId>> {
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

/// Their holidays reach from the beginning of the installation to the year behind the next.
fn calendars(context: &mut WriteContext<'_>) -> Result<Vec<CalendarId>> {
    let first_year = context.now.naive().year();
    let mut calendars = Vec::new();
    for plan in CALENDARS {
        let on = |day: usize| -> Vec<Hours> {
            let hours = plan.hours.iter().filter(|_| day < plan.days);
            hours.map(|(start, end)| Hours { start: (*start).into(), end: (*end).into() }).collect()
        };
        let [monday, tuesday, wednesday, thursday, friday, saturday, sunday] = std::array::from_fn(on);
        let holidays = (first_year..first_year + 4).flat_map(|year| {
            plan.holidays.iter().filter_map(move |(month, day, name)| {
                let date = NaiveDate::from_ymd_opt(year, *month, *day)?;
                Some(Holiday { date, name: (*name).into() })
            })
        });
        let content = Calendar {
            name: plan.name.into(),
            description: Some(plan.description.into()),
            time_zone: plan.time_zone.into(),
            working_hours: Json(WorkingHours { monday, tuesday, wednesday, thursday, friday, saturday, sunday }),
            holidays: Json(holidays.collect()),
            active: true,
        };
        calendars.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(calendars)
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
    calendars: &[CalendarId],
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
            contract_ids: Json(plan.contracts.iter().map(|index| contracts[*index]).collect()),
            release_type: plan.release_type,
            impact: level,
            urgency: if plan.workflow == "emergency" { Level::High } else { Level::Medium },
            risk: level,
            calendar_id: plan.calendar.map(|index| calendars[index]),
            approval_rule: None,
            activity_templates: Json::default(),
            checklist_template_ids: Json::default(),
            custom_fields_schema: None,
            notify: Json::default(),
            asks_for: Json::default(),
        };
        models.push(catalogue::create(context, Ok(content))?.id);
    }
    Ok(models)
}
