//! The first start: what every installation begins with.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::distr::{Alphanumeric, SampleString};

use super::identity::{Credentials, PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, hash_password};
use super::{Caller, Env, Error, IfMatch, Request, Result, WriteContext, catalogue, groups, users, workflows};
use crate::domain::policy::{Actor, Via};
use crate::domain::values::*;
use crate::repository::identity;
use crate::repository::nouns::{Group, Justification, Model, Portfolio, SolutionCategory, User};

/// Name of the first administrator.
pub const ADMIN: &str = "admin";
const DONE: &str = "first_start";

/// Whom the machine itself acts as: nobody's account.
pub const NOBODY: UserId = UserId::new(uuid::Uuid::nil());

/// The actor of the machine itself: every right, no account.
pub fn console() -> Actor {
    Actor {
        user_id: NOBODY,
        username: "console".into(),
        global_role: Some(GlobalRole::Admin),
        memberships: Vec::new(),
        scopes: None,
        via: Via::Console,
    }
}

/// A request that comes from the machine itself.
pub fn console_request(actor: Actor) -> Request {
    Request {
        id: "console".into(),
        credentials: Credentials::Console(actor),
        address: "console".into(),
        idempotency_key: None,
        fingerprint: String::new(),
        if_match: IfMatch::Any,
        dry_run: false,
        trace: None,
        caller: Caller::default(),
    }
}

/// The first administrator's password, where the first start has just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstStart {
    /// It happened before.
    Before,
    /// The password was configured.
    Configured,
    /// The password was made up: to be shown once.
    MadeUp(String),
}

/// Two processes that start at the same time may be in each other's way so often.
const RENEWAL_TRIES_MAX: usize = 5;

/// Does what a first start does, once, and what every start does: the workflows that come with the product are brought
/// up to date. Two processes at the same time do it once between them.
pub fn first_start(env: &Arc<Env>, configured: Option<&str>) -> Result<FirstStart> {
    let first = install(env, configured)?;
    renew_workflows(env)?;
    Ok(first)
}

fn renew_workflows(env: &Arc<Env>) -> Result<()> {
    for _ in 0..RENEWAL_TRIES_MAX {
        if !env.database.read_blocking(workflows::outdated)? {
            return Ok(());
        }
        match env.write_blocking(console_request(console()), workflows::renew_built_in) {
            // Another process does the same at this moment; what is left to do shows.
            Err(Error::Conflict { .. } | Error::Repository(crate::repository::Error::Unique { .. })) => {}
            result => return result.map(drop),
        }
    }
    Err(Error::Internal("the workflows that come with the product cannot be renewed".into()))
}

fn install(env: &Arc<Env>, configured: Option<&str>) -> Result<FirstStart> {
    let done = env.database.read_blocking::<_, Error>(|connection| Ok(identity::setting(connection, DONE)?))?;
    if done.is_some() {
        return Ok(FirstStart::Before);
    }
    if let Some(password) = configured
        && !(PASSWORD_LENGTH_MIN..=PASSWORD_LENGTH_MAX).contains(&password.chars().count())
    {
        return Err(Error::Unusable(format!(
            "SLIPWAY_ADMIN_PASSWORD has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )));
    }
    let password = configured.map_or_else(|| Alphanumeric.sample_string(&mut rand::rng(), 20), str::to_owned);
    let hash = hash_password(&password)?;
    let made = env.write_blocking(console_request(console()), move |context| {
        if identity::setting(context.connection, DONE)?.is_some() {
            return Ok(false);
        }
        let now = context.now.to_string();
        identity::insert_setting(context.connection, DONE, &now)?;
        furnish(context, &hash)?;
        Ok(true)
    });
    match made {
        Ok(false) | Err(Error::Repository(crate::repository::Error::Unique { .. })) => Ok(FirstStart::Before),
        Ok(true) if configured.is_some() => Ok(FirstStart::Configured),
        Ok(true) => Ok(FirstStart::MadeUp(password)),
        Err(error) => Err(error),
    }
}

fn furnish(context: &mut WriteContext<'_>, password_hash: &str) -> Result<()> {
    workflows::renew_built_in(context)?;
    let admin = catalogue::create(
        context,
        Ok(User {
            username: ADMIN.into(),
            name: "Administrator".into(),
            email: "admin@localhost.localdomain".into(),
            phone: None,
            extension: None,
            unit_id: None,
            location: None,
            global_role: Some(GlobalRole::Admin),
            active: true,
        }),
    )?;
    users::set_password(context, admin.id, password_hash, None)?;
    let team = catalogue::create(
        context,
        Ok(Group {
            name: "Release team".into(),
            description: Some("Plans and deploys releases.".into()),
            active: true,
            permissions: Json(Permission::ALL.iter().copied().collect()),
        }),
    )?;
    groups::add_member(context, team.id, Ok(admin.id))?;
    let portfolio = catalogue::create(
        context,
        Ok(Portfolio {
            name: "General".into(),
            description: Some("Releases of every kind.".into()),
            icon: None,
            parent_id: None,
            active: true,
        }),
    )?;
    let models = [
        ("Standard", "standard", ReleaseType::Significant, true),
        ("Emergency", "emergency", ReleaseType::Emergency, false),
        ("Minor", "minor", ReleaseType::Minor, false),
    ];
    for (name, workflow, release_type, is_default) in models {
        let urgent = release_type == ReleaseType::Emergency;
        catalogue::create(
            context,
            Ok(Model {
                portfolio_id: portfolio.id,
                name: name.into(),
                description: None,
                icon: None,
                status: ModelStatus::Active,
                is_default,
                workflow: workflow.into(),
                executor_group_id: Some(team.id),
                executor_group_ids: Json::default(),
                contract_ids: Json::default(),
                release_type,
                impact: if urgent { Level::High } else { Level::Medium },
                urgency: if urgent { Level::High } else { Level::Medium },
                risk: Level::Medium,
                calendar_id: None,
                approval_rule: None,
                activity_templates: Json::default(),
                checklist_template_ids: Json::default(),
                custom_fields_schema: None,
                notify: Json::default(),
                asks_for: Json::default(),
            }),
        )?;
    }
    for (description, uses) in JUSTIFICATIONS {
        catalogue::create(
            context,
            Ok(Justification {
                description: (*description).into(),
                active: true,
                applies_to: Json(uses.iter().copied().collect::<BTreeSet<_>>()),
            }),
        )?;
    }
    for name in ["Planned improvement", "Correction of a fault", "Security update", "Replacement", "Withdrawal"] {
        catalogue::create(context, Ok(SolutionCategory { name: name.into(), description: None, active: true }))?;
    }
    Ok(())
}

const JUSTIFICATIONS: &[(&str, &[JustificationUse])] = &[
    ("Waiting for a vendor", &[JustificationUse::Suspend]),
    ("Waiting for the requester", &[JustificationUse::Suspend]),
    ("Resources not available", &[JustificationUse::Suspend, JustificationUse::SendBack]),
    ("No longer needed", &[JustificationUse::Cancel]),
    ("Replaced by another release", &[JustificationUse::Cancel]),
    ("Could not be completed", &[JustificationUse::Cancel]),
    ("Fault found after closing", &[JustificationUse::Reopen]),
    ("Closed by mistake", &[JustificationUse::Reopen]),
    ("Plan incomplete", &[JustificationUse::SendBack]),
    ("Tests failed", &[JustificationUse::SendBack]),
    ("Business need outweighs the risk", &[JustificationUse::Override]),
];
