//! The service is killed in the middle of concurrent writers and started again on the same database, over and over:
//! what was acknowledged is there, everything else is there whole or not at all, and keys replay.
//!
//! `SLIPWAY_KILL_ROUNDS` says how often (3 by default).

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::binary::*;
use crate::cluster::Cluster;
use crate::history::{Stored, Tally, connect};
use crate::load::{Run, Sent, World, http, run, send};
use crate::support::on_postgres;

/// Kills in each of these tests, where nothing else is said.
const ROUNDS: usize = 3;
/// A database lives through so many kills; then comes a new one.
const ROUNDS_PER_DATABASE: usize = 10;
/// The kill comes when so many writes at most are acknowledged since the start.
const ACKNOWLEDGED_MAX: usize = 120;
/// So many acknowledged writes of a round at most are sent again after it.
const REPLAYS_MAX: usize = 20;
/// Whoever goes on acknowledges so many more writes.
const ACKNOWLEDGED_AFTER: usize = 30;
/// A round in which nothing is acknowledged for so long has failed.
const STANDSTILL_SECONDS_MAX: u64 = 120;

fn rounds() -> usize {
    std::env::var("SLIPWAY_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap())
}

/// What was counted over all rounds.
#[derive(Debug, Default)]
struct Counts {
    kills: usize,
    kills_while_starting: usize,
    tally: Tally,
    replays: usize,
    open_replayed: usize,
    open_acted_now: usize,
    open_refused_now: usize,
    slowest_start_ms: u128,
}

/// One database, the service on it, and everything that was sent to it.
struct Life {
    installation: Installation,
    world: World,
    http: reqwest::blocking::Client,
    history: Vec<Sent>,
    rng: StdRng,
    counts: Counts,
}

impl Life {
    fn begin(installation: Installation, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut counts = Counts::default();
        // The first start may be cut off as well; the one that comes through finishes it.
        kill_while_starting(&installation, &mut rng, &mut counts);
        let service = start(&installation, &mut counts);
        let admin = service.session("admin", ADMIN_PASSWORD);
        let world = World::new(&installation, &admin);
        drop(service);
        Self { installation, world, http: http(), history: Vec::new(), rng, counts }
    }

    /// Lets callers write there; `meanwhile` is told how many writes are acknowledged so far.
    fn under_load(&mut self, bases: &[String], recovers: bool, meanwhile: impl FnOnce(&AtomicUsize)) {
        let (stop, acknowledged, history) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
        let seed = self.rng.random();
        let callers = Run {
            world: &self.world,
            http: &self.http,
            stop: &stop,
            acknowledged: &acknowledged,
            history: &history,
            recovers,
        };
        run(&callers, bases, seed, || meanwhile(&acknowledged));
        self.history.extend(history.into_inner().unwrap());
    }

    /// Compares what is stored with what was told, sends what has a key again, and compares once more.
    fn judge(&mut self, service: &Service, since: usize) {
        let stored = self.compare();
        let base = base(service);
        let again: Vec<usize> = (since..self.history.len()).filter(|at| self.history[*at].key.is_some()).collect();
        let (acknowledged, open): (Vec<usize>, Vec<usize>) = again
            .into_iter()
            .filter(|at| !refused(&self.history[*at]))
            .partition(|at| self.history[*at].is_acknowledged());
        for at in acknowledged.into_iter().take(REPLAYS_MAX) {
            let sent = &mut self.history[at];
            let first = sent.told.clone().unwrap();
            let told = send(&self.http, &base, &self.world, sent).unwrap();
            assert!(told.replayed, "{sent:?} was answered with {told:?}");
            assert_eq!(
                (told.status, &told.text, &told.location, &told.etag),
                (first.status, &first.text, &first.location, &first.etag)
            );
            self.counts.replays += 1;
        }
        for at in open {
            let sent = &mut self.history[at];
            let done = stored.has_effect(sent);
            let told = send(&self.http, &base, &self.world, sent).unwrap();
            assert!(!told.is_failure(), "{told:?}");
            assert_eq!(told.replayed, done, "{sent:?} was answered with {told:?}");
            match (done, told.is_success()) {
                (true, _) => self.counts.open_replayed += 1,
                (false, true) => self.counts.open_acted_now += 1,
                (false, false) => self.counts.open_refused_now += 1,
            }
            sent.told = Some(told);
        }
        self.compare();
    }

    fn compare(&mut self) -> Stored {
        let stored = Stored::read(&self.installation.database.target);
        let mut faults = Vec::new();
        self.counts.tally = stored.compare(&self.world, &self.history, &mut faults);
        let mut connection = connect(&self.installation.database.target);
        let findings = slipway::service::doctor::examine(&mut connection).unwrap();
        faults.extend(findings.into_iter().filter_map(|finding| finding.fault));
        assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), faults.iter().take(20).collect::<Vec<_>>());
        stored
    }
}

fn refused(sent: &Sent) -> bool {
    sent.told.as_ref().is_some_and(|told| !told.is_success())
}

/// Starts it, and notes how long that took.
fn start(installation: &Installation, counts: &mut Counts) -> Service {
    let started = Instant::now();
    let service = installation.serve();
    counts.slowest_start_ms = counts.slowest_start_ms.max(started.elapsed().as_millis());
    service
}

/// Starts it, and kills it somewhere on the way.
fn kill_while_starting(installation: &Installation, rng: &mut StdRng, counts: &mut Counts) {
    let mut command: Command = installation.command(&["serve"]);
    command.env("SLIPWAY_LISTEN", "127.0.0.1:0").env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_micros(rng.random_range(0..150_000)));
    let _ = child.kill();
    let _ = child.wait();
    counts.kills_while_starting += 1;
}

/// Waits until so many writes are acknowledged, and then a moment that hits every step of a write.
fn wait_for(acknowledged: &AtomicUsize, wanted: usize, rng: &mut StdRng) {
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < wanted {
        let now = acknowledged.load(Ordering::SeqCst);
        if now > seen {
            (seen, moved) = (now, Instant::now());
        }
        let still = moved.elapsed() < Duration::from_secs(STANDSTILL_SECONDS_MAX);
        assert!(still, "the callers get nowhere beyond {seen} of {wanted}");
        std::thread::sleep(Duration::from_micros(200));
    }
    std::thread::sleep(Duration::from_micros(rng.random_range(0..5_000)));
}

/// Says what was counted, to whom it may concern (`--nocapture`).
fn tell(name: &str, seed: u64, lives: &[Life]) {
    let sum = |of: fn(&Counts) -> usize| lives.iter().map(|life| of(&life.counts)).sum::<usize>();
    let database = if on_postgres() { "PostgreSQL" } else { "SQLite" };
    let slowest = lives.iter().map(|life| life.counts.slowest_start_ms).max().unwrap_or(0);
    eprintln!(
        "{name} on {database}, seed {seed}: {} kills and {} while starting; {} acknowledged, all there once; {} refused, \
         none there; {} unanswered without a key done and {} not; {} replays of acknowledged writes the same; of those \
         left open under a key {} were done and replayed, {} acted now, {} were refused now; slowest start {slowest} ms",
        sum(|c| c.kills),
        sum(|c| c.kills_while_starting),
        sum(|c| c.tally.acknowledged),
        sum(|c| c.tally.refused),
        sum(|c| c.tally.open_and_done),
        sum(|c| c.tally.open_and_not_done),
        sum(|c| c.replays),
        sum(|c| c.open_replayed),
        sum(|c| c.open_acted_now),
        sum(|c| c.open_refused_now),
    );
}

/// Lives through all rounds, each ended by `round`, which leaves a running service behind.
fn live(name: &str, install: impl Fn() -> Installation, round: impl Fn(&mut Life) -> Service) {
    let seed: u64 = rand::random();
    eprintln!("{name}: seed {seed}");
    let mut lives: Vec<Life> = Vec::new();
    for number in 0..rounds() {
        if number % ROUNDS_PER_DATABASE == 0 {
            lives.push(Life::begin(install(), seed.wrapping_add(number as u64)));
        }
        let life = lives.last_mut().unwrap();
        let since = life.history.len();
        let service = round(life);
        life.judge(&service, since);
    }
    tell(name, seed, &lives);
}

fn base(service: &Service) -> String {
    format!("http://{}", service.address)
}

#[test]
fn after_a_kill_every_acknowledged_write_is_there_every_other_all_or_nothing_and_keys_replay() {
    live("kill", Installation::new, |life| {
        let mut service = start(&life.installation, &mut life.counts);
        let (wanted, mut rng) = (life.rng.random_range(0..ACKNOWLEDGED_MAX), StdRng::seed_from_u64(life.rng.random()));
        life.under_load(&[base(&service)], false, |acknowledged| {
            wait_for(acknowledged, wanted, &mut rng);
            service.kill();
        });
        life.counts.kills += 1;
        if rng.random_ratio(1, 4) {
            kill_while_starting(&life.installation, &mut rng, &mut life.counts);
        }
        start(&life.installation, &mut life.counts)
    });
}

#[test]
fn of_two_processes_on_one_postgresql_the_other_goes_on_when_one_is_killed() {
    if !on_postgres() {
        return; // One process serves a SQLite file.
    }
    live("one of two killed", Installation::new, |life| {
        let (mut one, other) =
            (start(&life.installation, &mut life.counts), start(&life.installation, &mut life.counts));
        let (wanted, mut rng) = (life.rng.random_range(0..ACKNOWLEDGED_MAX), StdRng::seed_from_u64(life.rng.random()));
        let since = life.history.len();
        life.under_load(&[base(&one), base(&other)], false, |acknowledged| {
            wait_for(acknowledged, wanted, &mut rng);
            one.kill();
            let then = acknowledged.load(Ordering::SeqCst);
            wait_for(acknowledged, then + ACKNOWLEDGED_AFTER, &mut rng);
        });
        life.counts.kills += 1;
        let unanswered = life.history[since..].iter().find(|sent| sent.process == 1 && sent.cut);
        assert!(unanswered.is_none(), "the other one did not answer {unanswered:?}");
        other
    });
}

#[test]
fn when_postgresql_itself_goes_down_under_load_nothing_is_lost_and_nothing_happens_twice() {
    if !on_postgres() {
        return;
    }
    let Some(cluster) = Cluster::start() else {
        eprintln!("\n*** SKIPPED: there is no PostgreSQL server to start under /usr/lib/postgresql ***\n");
        return;
    };
    let made = AtomicUsize::new(0);
    let install = || cluster.installation(&format!("slipway_{}", made.fetch_add(1, Ordering::SeqCst)));
    let down = AtomicUsize::new(0);
    live("PostgreSQL down", install, |life| {
        let service = start(&life.installation, &mut life.counts);
        let (wanted, mut rng) = (life.rng.random_range(0..ACKNOWLEDGED_MAX), StdRng::seed_from_u64(life.rng.random()));
        life.under_load(&[base(&service)], true, |acknowledged| {
            wait_for(acknowledged, wanted, &mut rng);
            // By turns the whole server, and the connections alone.
            match down.fetch_add(1, Ordering::SeqCst) % 2 {
                0 => cluster.crash(),
                _ => cluster.end_connections(),
            }
            let then = acknowledged.load(Ordering::SeqCst);
            wait_for(acknowledged, then + ACKNOWLEDGED_AFTER, &mut rng);
        });
        life.counts.kills += 1;
        service
    });
}
