//! Work on a database that may be busy, or gone.
//!
//! A caller waits at most [`POOL_WAIT_MAX_MS`] for a connection. While it waits for an answer, the silence of the
//! database is watched: when nothing at all was heard for a while, somebody asks it anew, on a connection of its
//! own that is open already, and then on a fresh one, for the open one may be all that is lost. A database that is
//! merely slow answers; one that is gone, or whose network swallows everything, does not: then everybody who waits is
//! told at once, and everybody who comes, until it answers again. Connections and threads that hang are left behind
//! with their [`Generation`]: nobody waits for them.
//!
//! Silence counts as far as this process was awake to hear it: on a machine that lets it wait for its turn, what looks
//! like the silence of the database is its own.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak, mpsc};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connection::{self, Limits, Opener, Pool, Purpose, Target};
use super::error::Error;
use super::{Failure, POOL_WAIT_MAX_MS};

/// How often a caller that waits looks at the silence.
const LOOK_EVERY_MS: u64 = 50;
/// After so much silence the database is asked.
const SILENCE_MS_MAX: u64 = 250;
/// It answers within this time, or counts as gone.
const ANSWER_MS_MAX: u64 = 600;
/// Who does not answer within this time on the open line is asked on a fresh one too.
const OPEN_LINE_MS_MAX: u64 = 200;
/// A look that comes later than this counts as if it had come now: the rest of the time the process stood still.
const LATE_LOOK_MS_MAX: u64 = 2 * LOOK_EVERY_MS;
/// A database that is gone is asked again so often.
const ASK_AGAIN_MS: u64 = 250;
/// Asking is given up after this time; libpq's own deadline for connecting is shorter.
const ASKING_MS_MAX: u64 = 3_000;
/// At most so many hang while they ask.
const ASKING_MAX: usize = 8;

/// The connections in use, and the places at them. When the database goes away, a new generation begins.
pub struct Generation {
    /// The connections.
    pub pool: Pool,
    places: Arc<Semaphore>,
}

/// How far a unit of work has come. Who waits for it can give it up until it commits.
#[derive(Debug, Default)]
pub struct Stage(AtomicU8);

const WORKING: u8 = 0;
const COMMITTING: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Stage {
    /// The work begins, or begins again.
    pub fn begin(&self) {
        let _ = self.0.compare_exchange(COMMITTING, WORKING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The work is done and will now be committed; false where nobody waits for it any more.
    pub fn may_commit(&self) -> bool {
        self.0.compare_exchange(WORKING, COMMITTING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// True from the moment when COMMIT may have been sent.
    pub fn is_committing(&self) -> bool {
        self.0.load(Ordering::Acquire) == COMMITTING
    }

    /// True where nobody waits for it any more.
    pub fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Nobody waits any more; false where it may be committed already.
    fn give_up(&self) -> bool {
        self.0.compare_exchange(WORKING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What somebody asks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The line that is open, where one is.
    Open,
    /// A new one.
    Fresh,
}

/// What one who waits has heard, and what not.
#[derive(Debug, Default)]
struct Patience {
    heard_ms: u64,
    silent_ms: u64,
    unanswered_ms: u64,
}

/// What follows from a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wait,
    Ask,
    Away,
}

impl Patience {
    /// A look after so long; `heard_ms` is when the database was last heard, `asked` whether a question has left.
    fn look(&mut self, after: Duration, heard_ms: u64, asked: bool) -> Verdict {
        if heard_ms != self.heard_ms {
            *self = Self { heard_ms, ..Self::default() };
        }
        let awake_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).min(LATE_LOOK_MS_MAX);
        if self.silent_ms < SILENCE_MS_MAX {
            self.silent_ms += awake_ms;
        } else if asked {
            self.unanswered_ms += awake_ms;
        }
        if self.unanswered_ms >= ANSWER_MS_MAX {
            Verdict::Away
        } else if self.silent_ms >= SILENCE_MS_MAX {
            Verdict::Ask
        } else {
            Verdict::Wait
        }
    }
}

/// What was heard of a database that is reached through a network.
struct Pulse {
    origin: Instant,
    heard_ms: AtomicU64,
    is_asking: AtomicBool,
    /// The question has left: a thread has had its turn to ask it.
    asked: AtomicBool,
    asking: AtomicUsize,
    away: AtomicBool,
    /// What is asked on: opening a connection takes a busy server longer than an answer.
    line: Mutex<Option<PgConnection>>,
    line_wanted: AtomicBool,
}

impl Pulse {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            heard_ms: AtomicU64::new(0),
            is_asking: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            asking: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            line: Mutex::new(None),
            line_wanted: AtomicBool::new(false),
        }
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks on the open line, or else on a new one, which then stays open.
    fn ask(&self, url: &str, line: Line) -> bool {
        let open = || self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        let line = if line == Line::Open { open() } else { None };
        let open = line.and_then(|mut line| line.batch_execute("SELECT 1").ok().map(|()| line));
        let line = match open {
            Some(line) => line,
            None => match PgConnection::establish(url) {
                Ok(line) => line,
                // Whoever refuses with a reason is there; one that starts or stops is not, yet or any more.
                Err(error) => {
                    let text = error.to_string();
                    return text.contains("FATAL") && !text.contains("the database system is");
                }
            },
        };
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        true
    }

    fn heard(&self) {
        self.heard_ms.store(self.ms(Instant::now()), Ordering::Release);
    }
}

struct Watched {
    target: Target,
    limits: Limits,
    purpose: Purpose,
    size: u32,
    current: RwLock<Arc<Generation>>,
    /// A file does not go away without an error.
    pulse: Option<Pulse>,
}

/// Why somebody stopped waiting.
enum Stopped {
    Away,
    TooLong,
}

/// The way to the connections of a database.
#[derive(Clone)]
pub struct Vigil(Arc<Watched>);

fn away() -> Error {
    Error::Unavailable("the database does not answer".into())
}

impl Vigil {
    /// Connections are opened when they are first needed, at most `size`.
    pub fn new(target: Target, limits: Limits, purpose: Purpose, size: u32) -> Self {
        let generation = Arc::new(generation(&target, limits, purpose, size));
        let pulse = matches!(target, Target::Postgres(_)).then(Pulse::new);
        Self(Arc::new(Watched { target, limits, purpose, size, current: RwLock::new(generation), pulse }))
    }

    /// The present generation.
    pub fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection of this generation was lost: the others are as likely lost as not, so all are left behind.
    pub fn lost(&self, generation: &Arc<Generation>) {
        self.0.renew(generation);
    }

    /// Runs work on a thread of the blocking pool as soon as there is a connection for it.
    pub async fn attend<T, E>(&self, work: impl FnOnce(&Stage) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        self.0.want_line();
        let (generation, place) = self.place().await?;
        let stage = Arc::new(Stage::default());
        let theirs = Arc::clone(&stage);
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            if theirs.is_given_up() {
                return Err(away().into());
            }
            work(&theirs)
        });
        match self.watch(running, None).await {
            Ok(Ok(result)) => {
                let error = result.as_ref().err().and_then(Failure::database);
                self.0.judge(error);
                result
            }
            Ok(Err(_)) => Err(Error::Other("a unit of work panicked".into()).into()),
            // Nothing is committed behind the back of a caller who was told that nothing happened.
            Err(_) => {
                let given_up = stage.give_up();
                self.lost(&generation);
                Err(if given_up { away() } else { Error::OutcomeUnknown }.into())
            }
        }
    }

    /// A place at the connections, within [`POOL_WAIT_MAX_MS`].
    async fn place(&self) -> Result<(Arc<Generation>, OwnedSemaphorePermit), Error> {
        let until = Instant::now() + Duration::from_millis(POOL_WAIT_MAX_MS);
        loop {
            if self.0.is_away() {
                return Err(away());
            }
            let generation = self.current();
            let places = || Arc::clone(&generation.places);
            if let Ok(place) = places().try_acquire_owned() {
                return Ok((generation, place));
            }
            match self.watch(places().acquire_owned(), Some(until)).await {
                Ok(Ok(place)) => return Ok((generation, place)),
                // A new generation has begun.
                Ok(Err(_)) => {}
                Err(Stopped::Away) => return Err(away()),
                Err(Stopped::TooLong) => {
                    return Err(Error::Busy(format!("no connection became free within {POOL_WAIT_MAX_MS} ms")));
                }
            }
        }
    }

    /// Waits, with an eye on the silence.
    async fn watch<F: Future>(&self, future: F, until: Option<Instant>) -> Result<F::Output, Stopped> {
        if self.0.pulse.is_none() && until.is_none() {
            return Ok(future.await);
        }
        let (mut patience, mut looked) = (self.0.patience(), Instant::now());
        let mut future = pin!(future);
        loop {
            let look = Duration::from_millis(LOOK_EVERY_MS);
            let wait = until.map_or(look, |until| look.min(until.saturating_duration_since(Instant::now())));
            if let Ok(output) = timeout(wait, future.as_mut()).await {
                return Ok(output);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(Stopped::TooLong);
            }
            let after = looked.elapsed();
            looked = Instant::now();
            if self.0.looks_away(&mut patience, after) {
                return Err(Stopped::Away);
            }
        }
    }
}

fn generation(target: &Target, limits: Limits, purpose: Purpose, size: u32) -> Generation {
    let opener = Opener { target: target.clone(), limits, purpose };
    let pool = connection::pool(opener, size, Duration::from_millis(POOL_WAIT_MAX_MS));
    Generation { pool, places: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1))) }
}

impl Watched {
    fn is_away(&self) -> bool {
        self.pulse.as_ref().is_some_and(|pulse| pulse.away.load(Ordering::Acquire))
    }

    /// Begins a new generation, in place of this one.
    fn renew(&self, old: &Arc<Generation>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(old, &current) {
            return;
        }
        let fresh = Arc::new(generation(&self.target, self.limits, self.purpose, self.size));
        let left = std::mem::replace(&mut *current, fresh);
        drop(current);
        // Who waits for a place looks again.
        left.places.close();
        // Taking leave of a server that does not answer may take a while.
        let _ = std::thread::Builder::new().name("slipway-leave".into()).spawn(move || drop(left));
    }

    /// Draws conclusions from how work ended.
    fn judge(self: &Arc<Self>, error: Option<&Error>) {
        let Some(pulse) = &self.pulse else {
            return;
        };
        match error {
            Some(Error::Unavailable(_) | Error::OutcomeUnknown) => {
                self.ask_unless_asked(pulse);
            }
            _ => pulse.heard(),
        }
    }

    /// The patience of one who begins to wait.
    fn patience(&self) -> Patience {
        let heard_ms = self.pulse.as_ref().map_or(0, |pulse| pulse.heard_ms.load(Ordering::Acquire));
        Patience { heard_ms, ..Patience::default() }
    }

    /// True where the database is away, as far as somebody can tell who looks again after so long.
    fn looks_away(self: &Arc<Self>, patience: &mut Patience, after: Duration) -> bool {
        let Some(pulse) = &self.pulse else {
            return false;
        };
        if self.is_away() {
            return true;
        }
        let heard_ms = pulse.heard_ms.load(Ordering::Acquire);
        match patience.look(after, heard_ms, pulse.asked.load(Ordering::Acquire)) {
            Verdict::Wait => false,
            Verdict::Ask => {
                self.ask_unless_asked(pulse);
                false
            }
            Verdict::Away => {
                self.declare_away();
                true
            }
        }
    }

    /// Has the database asked, unless somebody is asking.
    fn ask_unless_asked(self: &Arc<Self>, pulse: &Pulse) {
        if pulse.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let watched = Arc::downgrade(self);
        let started = std::thread::Builder::new().name("slipway-ask".into()).spawn(move || keep_asking(&watched));
        if started.is_err() {
            pulse.is_asking.store(false, Ordering::Release);
        }
    }

    /// Opens the line that is asked on before it is needed.
    fn want_line(self: &Arc<Self>) {
        let (Some(pulse), Target::Postgres(url)) = (&self.pulse, &self.target) else {
            return;
        };
        if pulse.line_wanted.load(Ordering::Relaxed) || pulse.line_wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        let (watched, url) = (Arc::clone(self), connection::with_deadlines(url));
        let _ = std::thread::Builder::new().name("slipway-ask".into()).spawn(move || {
            if let Some(pulse) = &watched.pulse {
                pulse.ask(&url, Line::Open);
            }
        });
    }

    fn declare_away(&self) {
        if self.pulse.as_ref().is_some_and(|pulse| !pulse.away.swap(true, Ordering::AcqRel)) {
            log::error!("the database does not answer: {}", self.target.redacted());
        }
    }

    fn declare_back(&self) {
        let Some(pulse) = &self.pulse else {
            return;
        };
        pulse.heard();
        pulse.asked.store(false, Ordering::Release);
        pulse.is_asking.store(false, Ordering::Release);
        if pulse.away.swap(false, Ordering::AcqRel) {
            log::info!("the database answers again: {}", self.target.redacted());
        }
    }

    /// Asks once, on the open line and, where that stays silent, on a fresh one.
    fn answers(self: &Arc<Self>) -> bool {
        let (reply, answer) = mpsc::channel();
        let mut asked = usize::from(self.ask_apart(Line::Open, &reply));
        let until = Instant::now() + Duration::from_millis(ASKING_MS_MAX);
        let first = answer.recv_timeout(Duration::from_millis(OPEN_LINE_MS_MAX));
        match first {
            Ok(answered) => return answered,
            Err(_) => asked += usize::from(self.ask_apart(Line::Fresh, &reply)),
        }
        for _ in 0..asked {
            match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Asks on a thread that is left behind if it hangs; false where too many hang already.
    fn ask_apart(self: &Arc<Self>, line: Line, reply: &mpsc::Sender<bool>) -> bool {
        let (Some(pulse), Target::Postgres(url)) = (&self.pulse, &self.target) else {
            return reply.send(true).is_ok();
        };
        if pulse.asking.fetch_add(1, Ordering::AcqRel) >= ASKING_MAX {
            pulse.asking.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        let (watched, url, reply) = (Arc::clone(self), connection::with_deadlines(url), reply.clone());
        let asking = std::thread::Builder::new().name("slipway-ask".into()).spawn(move || {
            let Some(pulse) = &watched.pulse else {
                return;
            };
            pulse.asked.store(true, Ordering::Release);
            let answered = pulse.ask(&url, line);
            pulse.asking.fetch_sub(1, Ordering::AcqRel);
            let _ = reply.send(answered);
        });
        if asking.is_err() {
            pulse.asking.fetch_sub(1, Ordering::AcqRel);
        }
        asking.is_ok()
    }
}

/// Asks until the database answers, or nobody wants to know any more.
fn keep_asking(watched: &Weak<Watched>) {
    while let Some(watched) = watched.upgrade() {
        if watched.answers() {
            watched.declare_back();
            return;
        }
        watched.declare_away();
        drop(watched);
        std::thread::sleep(Duration::from_millis(ASK_AGAIN_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(LOOK_EVERY_MS);

    /// How many looks it takes until a database that was never heard counts as away.
    fn looks(after: Duration, asked_from: usize) -> usize {
        let mut patience = Patience::default();
        (1..).find(|look| patience.look(after, 0, *look >= asked_from) == Verdict::Away).unwrap()
    }

    #[test]
    fn a_database_that_is_silent_is_away_within_a_second() {
        let all = LOOK * u32::try_from(looks(LOOK, 0)).unwrap();
        assert!(all < Duration::from_secs(1) && all > Duration::from_millis(800), "{all:?}");
    }

    #[test]
    fn the_time_in_which_the_process_stood_still_is_no_silence() {
        assert!(looks(Duration::from_secs(10), 0) >= 8, "two looks late by seconds prove nothing");
        assert!(looks(LOOK, 100) > 100, "no answer is missed before the question has left");
    }

    #[test]
    fn whoever_was_heard_is_waited_for_anew() {
        let mut patience = Patience::default();
        for _ in 0..16 {
            assert_ne!(patience.look(LOOK, 0, true), Verdict::Away);
        }
        assert_eq!(patience.look(LOOK, 1, true), Verdict::Wait);
    }
}
