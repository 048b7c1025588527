//! A believable installation: people, catalogue, changes and releases with their histories.
//!
//! Everything is stored by the use cases that the handlers call, as people who may do it, so every rule has been
//! asked and every audit row and event is there. What happens follows from a number: words, instants, identifiers
//! and salts. First it is decided what becomes of every release ([`author`], [`timetable`]) and change
//! ([`changes`]), then all steps are taken in the order of their instants ([`play`]).

mod author;
mod cast;
mod changes;
mod furnish;
mod play;
mod tale;
mod timetable;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{NaiveTime, TimeDelta};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use validator::Validate;

use self::cast::{MODELS, PEOPLE};
use self::furnish::Cast;
use self::play::{Play, Turn};
use self::tale::Tale;
use self::timetable::Worktime;
use super::env::Clock;
use super::setup::{console, console_request};
use super::{Env, Error, Result};
use crate::domain::values::*;
use crate::repository::{self, identity};

/// The setting that tells that an installation was seeded, and with which number.
const DONE: &str = "seed";
/// The installation begins so many days before the present.
const BEGINNING_DAYS: i64 = 480;
/// A model is retired so many days before the present.
const RETIRED_DAYS: i64 = 120;

/// A seeding: an environment whose identifiers follow from a number, and whose clock is moved along.
///
/// Its present is the last midnight in UTC, so that the same number gives the same content all day.
pub struct Seeding {
    env: Arc<Env>,
    present: Timestamp,
    rng_seed: u64,
}

/// Fills an installation on which the first start has happened; answers what to tell.
pub fn seed(env: &Arc<Env>, rng_seed: u64, releases: u32) -> Result<String> {
    Seeding::new(env, rng_seed).fill(releases)
}

impl Seeding {
    /// On the database of a process, with its clock at the beginning of the installation.
    pub fn new(env: &Env, rng_seed: u64) -> Self {
        let midnight = env.now().naive().date().and_time(NaiveTime::MIN);
        let present = Timestamp::from_naive(midnight);
        let beginning = present.plus(-TimeDelta::days(BEGINNING_DAYS));
        let clock = Clock::standing_at(beginning);
        let env = Env::seeded(env.database.clone(), Arc::clone(&env.keys), clock, rng_seed);
        Self { env: Arc::new(env), present, rng_seed }
    }

    /// Where a first start happens that is to belong to what follows from the number.
    pub const fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// Fills the installation; refuses one that holds releases or changes, or was seeded before.
    pub fn fill(&self, releases: u32) -> Result<String> {
        let cast = self.furnish()?;
        let mut rng = StdRng::seed_from_u64(self.rng_seed);
        let time = Worktime::before(self.present);
        let count = usize::try_from(releases).unwrap_or(usize::MAX);
        let mut tales = author::tales(&mut rng, &cast, &time, count);
        tales.sort_by_key(Tale::created);
        name(&mut rng, &mut tales);
        connect(&mut rng, &mut tales);
        let plans = changes::changes(&mut rng, &mut tales, self.present);
        let mut turns = vec![(self.present.plus(-TimeDelta::days(RETIRED_DAYS)), Turn::Retire)];
        for (index, plan) in plans.iter().enumerate() {
            let news = plan.news.iter().enumerate();
            turns.extend(news.map(|(nth, (at, _))| (*at, Turn::News(index, nth))));
        }
        for (index, tale) in tales.iter().enumerate() {
            let steps = tale.steps.iter().enumerate();
            turns.extend(steps.map(|(nth, step)| (step.at, Turn::Step(index, nth))));
        }
        turns.sort_by_key(|(at, _)| *at);
        let tales: Vec<Arc<Tale>> = tales.into_iter().map(Arc::new).collect();
        let mut play = Play {
            env: &self.env,
            cast: &cast,
            releases: vec![None; tales.len()],
            changes: vec![None; plans.len()],
            tales: &tales,
            plans: &plans,
            turns: 0,
        };
        for (at, turn) in turns {
            play.take(at, turn)?;
        }
        Ok(self.summary(&cast, &tales, plans.len()))
    }

    /// Marks the installation and stores what it begins with, in one transaction.
    fn furnish(&self) -> Result<Cast> {
        let rng_seed = self.rng_seed;
        let stored = self.env.write_blocking(console_request(console()), move |context| {
            if let Some(number) = identity::setting(context.connection, DONE)? {
                return Err(refused(format!(
                    "this installation was seeded before, with --rng-seed {number}; seed another database"
                )));
            }
            if repository::changes::any(context.connection)? || repository::releases::any(context.connection)? {
                return Err(refused("this installation holds releases or changes already; seed an empty one".into()));
            }
            identity::insert_setting(context.connection, DONE, &rng_seed.to_string())?;
            furnish::furnish(context)
        })?;
        Cast::load(&self.env, stored)
    }

    fn summary(&self, cast: &Cast, tales: &[Arc<Tale>], changes: usize) -> String {
        let stored = &cast.stored;
        let mut lines = vec![format!(
            "Seeded with --rng-seed {}: {} units, {} contracts, {} groups, {} users, {} portfolios, {} models, \
             {changes} changes, {} releases.",
            self.rng_seed,
            stored.units.len(),
            stored.contracts.len(),
            stored.groups.len(),
            stored.people.len(),
            stored.portfolios,
            stored.models.len(),
            tales.len(),
        )];
        let counts: Vec<String> = Status::ALL
            .iter()
            .map(|status| {
                let count = tales.iter().filter(|tale| tale.ending.status() == *status).count();
                format!("{count} {status}")
            })
            .collect();
        lines.push(format!("Releases: {}.", counts.join(", ")));
        lines.push("No seeded user has a password. To log in as one of them, set it first:".into());
        lines.push(format!("  slipway user set-password {}", PEOPLE[cast::MANAGERS[0]].username));
        let names: Vec<&str> = PEOPLE.iter().filter(|one| one.active).map(|one| one.username).collect();
        lines.push(format!("Users: {}.", names.join(", ")));
        lines.join("\n")
    }
}

fn refused(detail: String) -> Error {
    Error::conflict("ALREADY_EXISTS", detail)
}

/// Reads the merged whole of a patch.
fn read_as<T: serde::de::DeserializeOwned + Validate>(value: Value) -> Draft<T> {
    let fault = |detail: String| vec![Fault::at("", "INVALID_VALUE", detail)];
    let content: T = serde_json::from_value(value).map_err(|error| fault(error.to_string()))?;
    match content.validate() {
        Ok(()) => Ok(content),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// Names the releases, in the order of their registration: versions of a product rise.
fn name(rng: &mut StdRng, tales: &mut [Tale]) {
    let mut versions: HashMap<&str, (u32, u32, u32)> = HashMap::new();
    for tale in tales {
        let products = words::PRODUCTS[tale.portfolio];
        let (product, features) = products.choose(rng).copied().unwrap_or(products[0]);
        let feature = features.choose(rng).copied().unwrap_or(features[0]);
        let first = (rng.random_range(1..6), rng.random_range(0..9), 0);
        let (major, minor, fix) = versions.entry(product).or_insert(first);
        match MODELS[tale.model].workflow {
            "standard" if rng.random_bool(0.2) => (*major, *minor, *fix) = (*major + 1, 0, 0),
            "standard" => (*minor, *fix) = (*minor + 1, 0),
            _ => *fix += 1,
        }
        tale.version = format!("{major}.{minor}.{fix}");
        tale.title = format!("{product} {}: {feature}", tale.version);
        if rng.random_bool(0.4) {
            let cost_centre = format!("CC-{}", rng.random_range(4100..4190));
            tale.custom_fields.insert("cost_centre".into(), json!(cost_centre));
        }
    }
}

/// Lets some releases depend on earlier ones of the same group. What has passed authorization depends on what was
/// closed by then; what has not may still wait.
fn connect(rng: &mut StdRng, tales: &mut [Tale]) {
    for index in 1..tales.len() {
        let tale = &tales[index];
        let Some(planned) = tale.planned_at() else {
            continue;
        };
        if tale.moved || !rng.random_bool(0.2) {
            continue;
        }
        let authorised = tale.authorised_at();
        let fitting: Vec<usize> = (0..index)
            .filter(|other| {
                let other = &tales[*other];
                let ready = match authorised {
                    Some(at) => other.is_settled() && other.ended() < at,
                    None => true,
                };
                ready && !other.moved && other.group == tale.group && other.created() < planned
            })
            .collect();
        // The latest ones are the likely ones.
        let latest = &fitting[fitting.len().saturating_sub(5)..];
        let chosen = latest.choose(rng).copied();
        tales[index].depends_on = chosen;
    }
}
