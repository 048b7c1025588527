//! Whether the database answers and is migrated: what a balancer asks every second.
//!
//! The question is asked on a connection of its own, by a thread of its own: a busy pool does not turn the answer,
//! a database that hangs holds up no request, and however many ask, one question is under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::repository::{AnyConnection, Database, migrations};

/// Who asks waits at most so long for the database.
pub const WAIT_MAX_MS: u64 = 1000;
/// An answer holds for so long.
const HOLDS_MS: u64 = 500;
/// A question without an answer is asked anew, on a new connection, after so long.
const ANEW_AFTER_MS: u64 = 5000;
/// At most so many questions wait for an answer that may never come.
const UNANSWERED_MAX: usize = 4;

/// What the database said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It answers, and every migration is applied.
    Ready,
    /// It answers, and migrations are pending.
    Pending,
    /// It does not answer, or not in time.
    Away,
}

#[derive(Default)]
struct State {
    /// The connection, while nobody uses it.
    connection: Option<AnyConnection>,
    asked_at: Option<Instant>,
    unanswered: usize,
}

/// Asks the database how it stands.
pub struct Readiness {
    database: Database,
    state: Mutex<State>,
    answer: watch::Sender<Option<(Instant, Standing)>>,
}

impl Readiness {
    /// Nothing has been asked yet.
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(Self { database, state: Mutex::default(), answer: watch::Sender::new(None) })
    }

    /// How the database stands; answers within [`WAIT_MAX_MS`].
    pub async fn standing(self: &Arc<Self>) -> Standing {
        let mut answers = self.answer.subscribe();
        if let Some((at, standing)) = *answers.borrow_and_update()
            && at.elapsed() < Duration::from_millis(HOLDS_MS)
        {
            return standing;
        }
        self.ask();
        match tokio::time::timeout(Duration::from_millis(WAIT_MAX_MS), answers.changed()).await {
            Ok(Ok(())) => answers.borrow().map_or(Standing::Away, |(_, standing)| standing),
            _ => Standing::Away,
        }
    }

    /// Asks, unless somebody is asking.
    fn ask(self: &Arc<Self>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = state.asked_at.is_some_and(|at| at.elapsed() < Duration::from_millis(ANEW_AFTER_MS));
        if state.unanswered > 0 && (recent || state.unanswered >= UNANSWERED_MAX) {
            return;
        }
        let connection = state.connection.take();
        let asker = Arc::clone(self);
        let asked = std::thread::Builder::new().name("slipway-readiness".into()).spawn(move || {
            let (connection, standing) = look(&asker.database, connection);
            let mut state = asker.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.unanswered -= 1;
            if connection.is_some() {
                state.connection = connection;
            }
            asker.answer.send_replace(Some((Instant::now(), standing)));
        });
        match asked {
            Ok(_) => {
                state.unanswered += 1;
                state.asked_at = Some(Instant::now());
            }
            Err(error) => log::error!("whether the database is ready was not asked: {error}"),
        }
    }
}

/// Looks at the database, on the connection that is there or on a new one.
fn look(database: &Database, connection: Option<AnyConnection>) -> (Option<AnyConnection>, Standing) {
    let had_one = connection.is_some();
    let opened = connection.map_or_else(|| database.connect_to_read(), Ok);
    let looked = opened.and_then(|mut connection| {
        let steps = migrations::status(&mut connection)?;
        Ok((connection, steps.iter().all(|step| step.applied)))
    });
    match looked {
        Ok((connection, true)) => (Some(connection), Standing::Ready),
        Ok((connection, false)) => (Some(connection), Standing::Pending),
        // The kept connection may be all that was lost.
        Err(_) if had_one => look(database, None),
        Err(error) => {
            log::warn!("not ready, the database does not answer: {error}");
            (None, Standing::Away)
        }
    }
}
