//! A believable installation: people, catalogue, changes and releases with their histories.
//!
//! Everything is stored by the use cases that the handlers call, as people who may do it, so every rule has been
//! asked and every audit row and event is there. What happens follows from a number: words, instants, identifiers
//! and salts. First it is decided what becomes of every release ([`author`], [`timetable`]) and change
//! ([`changes`]), then all steps are taken in the order of their instants ([`play`]).
//!
//! Of many releases the same tales are told without a database ([`chronicle`]), by the functions that the use cases
//! are made of, and stored many at once ([`bulk`]).

mod author;
mod boards;
mod bulk;
mod cast;
mod changes;
mod chronicle;
mod estate;
mod folder;
mod furnish;
mod play;
mod script;
mod tale;
mod templated;
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
use self::changes::{CHANGES, ChangePlan};
use self::chronicle::World;
use self::estate::Estate;
use self::furnish::Cast;
use self::play::{Play, Turn};
use self::tale::Tale;
use self::timetable::Worktime;
use super::env::Clock;
use super::setup::{console, console_request};
use super::{Env, Error, Result};
use super::{document_keeping, keeping};
use crate::domain::values::*;
use crate::domain::workflow::BUILT_IN;
use crate::repository::{self, identity};

/// The setting that tells that an installation was seeded, and with which number.
const DONE: &str = "seed";
/// The installation begins so many days before the present.
const BEGINNING_DAYS: i64 = 480;
/// A model is retired so many days before the present.
const RETIRED_DAYS: i64 = 120;

/// Up to so many releases are played one by one by the use cases; more are stored in bulk.
pub const ONE_BY_ONE_RELEASES_MAX: u32 = 1_000;

/// How releases are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Each step by its use case.
    OneByOne,
    /// Whole histories, many at once.
    InBulk,
}

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
    Seeding::new(env, rng_seed).fill(releases, &mut |_| {})
}

impl Seeding {
    /// On the database of a process, with its clock at the beginning of the installation.
    pub fn new(env: &Env, rng_seed: u64) -> Self {
        let midnight = env.now().naive().date().and_time(NaiveTime::MIN);
        let present = Timestamp::from_naive(midnight);
        let beginning = present.plus(-TimeDelta::days(BEGINNING_DAYS));
        let clock = Clock::standing_at(beginning);
        let store = env.store().ok().cloned();
        let env = Env::seeded(env.database.clone(), Arc::clone(&env.keys), clock, rng_seed);
        let env = match store {
            Some(store) => env.with_store(store),
            None => env,
        };
        Self { env: Arc::new(env), present, rng_seed }
    }

    /// Where a first start happens that is to belong to what follows from the number.
    pub const fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// Fills the installation; refuses one that holds releases or changes, or was seeded before. `progress` hears
    /// how many releases are stored, where there are many.
    pub fn fill(&self, releases: u32, progress: &mut dyn FnMut(usize)) -> Result<String> {
        let told = if releases > ONE_BY_ONE_RELEASES_MAX {
            self.fill_large(releases, Means::InBulk, progress)
        } else {
            self.fill_small(releases)
        }?;
        // Checkpoints may have gone past the instants of these histories.
        keeping::history_was_stored(&self.env)?;
        Ok(told)
    }

    fn fill_small(&self, releases: u32) -> Result<String> {
        // Before anything is stored: some releases get documents.
        document_keeping::claim(&self.env)?;
        let cast = self.furnish()?;
        let estate = estate::furnish(&self.env, &cast)?;
        let mut rng = StdRng::seed_from_u64(self.rng_seed);
        let time = Worktime::before(self.present);
        let count = usize::try_from(releases).unwrap_or(usize::MAX);
        let mut tales = author::tales(&mut rng, &cast, &time, count);
        tales.sort_by_key(Tale::created);
        name(&mut rng, &mut tales);
        connect(&mut rng, &mut tales);
        let plans = changes::changes(&mut rng, &mut tales, self.present, 0, CHANGES);
        boards::furnish(&mut rng, &mut tales);
        estate::carry(&mut tales);
        let counted = |status: &Status| tales.iter().filter(|tale| tale.ending.status() == *status).count();
        let endings: Vec<_> = Status::ALL.iter().map(|status| (*status, counted(status))).collect();
        let retirement = (self.present.plus(-TimeDelta::days(RETIRED_DAYS)), Turn::Retire);
        let releases = self.play(&cast, Some(&estate), tales, &plans, vec![retirement])?;
        folder::fill(&self.env, &cast, self.present, &releases)?;
        let (confirmed, pending) = estate::confirm(&self.env, &cast, self.present)?;
        let told = format!("{estate}; {confirmed} write-backs are confirmed by the CMDB, {pending} wait for it.");
        Ok(format!("{}\n{told}", self.summary(&cast, &endings, plans.len())))
    }

    /// Fills the installation with the tales of a large one; what results is the same by either means.
    pub fn fill_large(&self, releases: u32, means: Means, progress: &mut dyn FnMut(usize)) -> Result<String> {
        let cast = self.furnish()?;
        let order = bulk::Order::new(self.rng_seed, self.present, &cast, releases);
        let retirement = (self.present.plus(-TimeDelta::days(RETIRED_DAYS)), Turn::Retire);
        let mut changes = 0;
        if means == Means::OneByOne {
            for block in 0..order.blocks() {
                let (tales, plans) = order.block(&cast, block);
                changes += plans.len();
                self.play(&cast, None, tales, &plans, if block == 0 { vec![retirement] } else { Vec::new() })?;
            }
            return Ok(self.summary(&cast, &order.endings, changes));
        }
        // What is stored in bulk does not ask whether its model is still in use.
        self.play(&cast, None, Vec::new(), &[], vec![retirement])?;
        let world = World::load(&self.env, cast)?;
        let changes = bulk::fill(self, &world, &order, progress)?;
        Ok(self.summary(&world.cast, &order.endings, changes))
    }

    /// Takes all steps in the order of their instants; answers the releases, as their tales are ordered.
    fn play(
        &self,
        cast: &Cast,
        estate: Option<&Estate>,
        tales: Vec<Tale>,
        plans: &[ChangePlan],
        mut turns: Vec<(Timestamp, Turn)>,
    ) -> Result<Vec<Option<ReleaseId>>> {
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
            cast,
            estate,
            releases: vec![None; tales.len()],
            changes: vec![None; plans.len()],
            tales: &tales,
            plans,
            turns: 0,
        };
        for (at, turn) in turns {
            play.take(at, turn)?;
        }
        Ok(play.releases)
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
            // The tales go by what the product says; what was edited here may say otherwise.
            for built_in in BUILT_IN {
                let stored = repository::workflows::newest_in_use(context.connection, built_in.key)?;
                if !stored.is_some_and(|stored| stored.says_the_same(&built_in.with_id(stored.id))) {
                    let key = built_in.key;
                    return Err(refused(format!(
                        "the workflow `{key}` was edited or retired here; seed another database"
                    )));
                }
            }
            identity::insert_setting(context.connection, DONE, &rng_seed.to_string())?;
            furnish::furnish(context)
        })?;
        Cast::load(&self.env, stored)
    }

    fn summary(&self, cast: &Cast, endings: &[(Status, usize)], changes: usize) -> String {
        let stored = &cast.stored;
        let mut lines = vec![format!(
            "Seeded with --rng-seed {}: {} units, {} contracts, {} groups, {} users, {} portfolios, {} calendars, \
             {} models, {changes} changes, {} releases.",
            self.rng_seed,
            stored.units.len(),
            stored.contracts.len(),
            stored.groups.len(),
            stored.people.len(),
            stored.portfolios,
            stored.calendars.len(),
            stored.models.len(),
            endings.iter().map(|(_, count)| count).sum::<usize>(),
        )];
        let counts: Vec<String> = endings.iter().map(|(status, count)| format!("{count} {status}")).collect();
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
