//! Large installations: releases in the order of their registration, block by block, told without a database and
//! stored many at once.
//!
//! Every tale follows from the number of the seeding and its own index, so that it can be written twice: once to
//! learn when the release is registered, and once more when its block's turn has come. So memory holds a few blocks,
//! whatever the number of releases. Blocks are told on every core and stored in their order; on PostgreSQL
//! by as many connections, of which each has its own blocks.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::changes::{ChangePlan, changes};
use super::chronicle::{Chronicle, World};
use super::furnish::Cast;
use super::tale::Tale;
use super::timetable::Worktime;
use super::{Seeding, author, connect, name};
use crate::domain::values::{Status, Timestamp};
use crate::repository::bulk::{Batch, Loading};
use crate::repository::releases::take_numbers;
use crate::service::env::Clock;
use crate::service::setup::{console, console_request};
use crate::service::{Env, Error, Result};

/// So many releases are told and stored together; changes and dependencies stay within them.
pub const BLOCK_RELEASES: usize = 500;
/// At least so many changes are made for them.
const BLOCK_CHANGES: usize = 40;
/// Each block has so many numbers for its changes: one for each release, and some that belong to none.
const BLOCK_CHANGE_NUMBERS: usize = BLOCK_RELEASES + BLOCK_CHANGES;
/// So many told blocks wait for being stored, for each thread that tells.
const BLOCKS_WAITING_MAX: usize = 1;

/// Spreads numbers that are close together (splitmix64).
fn mixed(rng_seed: u64, purpose: u64, index: usize) -> u64 {
    let mut mixed = rng_seed ^ purpose.rotate_left(32) ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

const OF_TALES: u64 = 1;
const OF_BLOCKS: u64 = 2;
const OF_IDENTIFIERS: u64 = 3;

/// Releases in the order of their registration, as far as they are known before their tales are told.
pub struct Order {
    rng_seed: u64,
    present: Timestamp,
    time: Worktime,
    indexes: Vec<u32>,
    /// How many end in which status.
    pub endings: Vec<(Status, usize)>,
}

impl Order {
    /// Writes every tale once, and keeps of it when it begins.
    pub fn new(rng_seed: u64, present: Timestamp, cast: &Cast, count: u32) -> Self {
        let time = Worktime::before(present);
        let mut endings: Vec<_> = Status::ALL.iter().map(|status| (*status, 0)).collect();
        let writers = cores();
        let written = |writer| {
            let indexes = (0..count).skip(writer).step_by(writers);
            let tales = indexes.map(|index| (index, tale(rng_seed, cast, &time, index)));
            tales.map(|(index, tale)| (tale.created(), index, tale.ending.status())).collect()
        };
        let written: Vec<Vec<(Timestamp, u32, Status)>> = std::thread::scope(|scope| {
            let written = &written;
            let parts: Vec<_> = (0..writers).map(|writer| scope.spawn(move || written(writer))).collect();
            parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let mut begun: Vec<(Timestamp, u32)> = Vec::new();
        for (created, index, ends) in written.into_iter().flatten() {
            if let Some((_, count)) = endings.iter_mut().find(|(status, _)| *status == ends) {
                *count += 1;
            }
            begun.push((created, index));
        }
        begun.sort_unstable();
        let indexes = begun.into_iter().map(|(_, index)| index).collect();
        Self { rng_seed, present, time, indexes, endings }
    }

    pub fn blocks(&self) -> usize {
        self.indexes.len().div_ceil(BLOCK_RELEASES)
    }

    /// The tales of a block, in the order of their registration, and the changes that they carry.
    pub fn block(&self, cast: &Cast, block: usize) -> (Vec<Tale>, Vec<ChangePlan>) {
        let indexes = self.indexes.chunks(BLOCK_RELEASES).nth(block).unwrap_or(&[]);
        let mut tales: Vec<Tale> = indexes.iter().map(|index| tale(self.rng_seed, cast, &self.time, *index)).collect();
        let mut rng = StdRng::seed_from_u64(mixed(self.rng_seed, OF_BLOCKS, block));
        name(&mut rng, &mut tales);
        connect(&mut rng, &mut tales);
        let plans = changes(&mut rng, &mut tales, self.present, block * BLOCK_CHANGE_NUMBERS, BLOCK_CHANGES);
        (tales, plans)
    }

    /// The rows of a block. `first` is the number of the first release of all.
    fn batch(&self, world: &World, env: &Env, block: usize, first: i64) -> Result<Batch> {
        let (tales, plans) = self.block(&world.cast, block);
        let number = i64::try_from(block * BLOCK_RELEASES).unwrap_or(i64::MAX).saturating_add(first);
        let rng_seed = mixed(self.rng_seed, OF_IDENTIFIERS, block);
        let clock = Clock::standing_at(self.present);
        let env = Env::seeded(env.database.clone(), Arc::clone(&env.keys), clock, rng_seed);
        Chronicle::new(world, env, &tales, &plans)?.tell(number)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn tale(rng_seed: u64, cast: &Cast, time: &Worktime, index: u32) -> Tale {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let mut rng = StdRng::seed_from_u64(mixed(rng_seed, OF_TALES, index));
    author::tale(&mut rng, cast, time, index)
}

/// Tells and stores the releases; `progress` hears how many are stored. Answers how many changes were.
pub fn fill(seeding: &Seeding, world: &World, order: &Order, progress: &mut dyn FnMut(usize)) -> Result<usize> {
    let env = seeding.env();
    let count = i64::try_from(order.indexes.len()).unwrap_or(i64::MAX);
    let first =
        env.write_blocking(console_request(console()), move |context| Ok(take_numbers(context.connection, count)?))?;
    let tellers = cores();
    let mut loading = Loading::begin(env.database.target(), env.database.limits(), tellers)?;
    let changes = std::thread::scope(|scope| -> Result<usize> {
        let told = (0..tellers).map(|teller| {
            let (told, waiting) = mpsc::sync_channel(BLOCKS_WAITING_MAX);
            scope.spawn(move || {
                for block in (teller..order.blocks()).step_by(tellers) {
                    // Nobody listens any more where storing has failed.
                    if told.send(order.batch(world, env, block, first)).is_err() {
                        return;
                    }
                }
            });
            waiting
        });
        // Each loader stores what its tellers tell, in their order.
        let loaders = loading.loaders.len();
        let mut waiting: Vec<Vec<mpsc::Receiver<Result<Batch>>>> = (0..loaders).map(|_| Vec::new()).collect();
        told.enumerate().for_each(|(teller, told)| waiting[teller % loaders].push(told));
        let (done, stored) = mpsc::sync_channel(tellers);
        for (loader, told) in loading.loaders.iter_mut().zip(waiting) {
            let done = done.clone();
            scope.spawn(move || {
                // A teller that has told everything is gone; so is whoever hears of it, where another loader failed.
                for batch in told.iter().cycle().map_while(|told| told.recv().ok()) {
                    let stored = batch.and_then(|batch| {
                        loader.store(&batch)?;
                        Ok((batch.releases(), batch.changes()))
                    });
                    if stored.is_err() | done.send(stored).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let (mut releases, mut changes) = (0, 0);
        for block in stored {
            let (more, more_changes) = block?;
            releases += more;
            changes += more_changes;
            progress(releases);
        }
        if releases < order.indexes.len() {
            return Err(Error::Internal("seeding: a thread that tells has stopped".into()));
        }
        Ok(changes)
    })?;
    loading.finish()?;
    Ok(changes)
}
