//! What a service does by itself: forgetting what its time is over for, taking checkpoints of the audit, and collecting
//! what is left over in the store of documents.
//!
//! Each is done under a lease, so that of several processes on one database one does it, and in short
//! transactions, so that writers go on. Nothing waits here: [`Keeping::run_due`] does what is due and returns;
//! [`Keeping::start`] calls it again and again on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use chrono::TimeDelta;
use serde_json::json;

use super::beat::Beat;
use super::checkpoints::Walk;
use super::document_keeping::{self, Collected};
use super::identity::{KNOWN_ADDRESS_DAYS, SESSION_DAYS, THROTTLE_WINDOW_MINUTES};
use super::leases::Lease;
use super::{
    Env, Error, IDEMPOTENCY_KEPT_HOURS, Recorded, Result, WriteContext, checkpoint_file, checkpoints, imports,
};
use crate::domain::policy::Access;
use crate::domain::release::ChainHead;
use crate::domain::values::Timestamp;
use crate::repository::leases;
use crate::repository::retention::{self, Sweep};

/// A service looks so often whether something is due.
pub const TICK_SECONDS: u64 = 15;
/// Retention runs so often.
pub const RETENTION_EVERY_MINUTES: i64 = 10;
/// A revoked or expired personal token is kept so long for the record; its history stays for good.
pub const ENDED_TOKEN_KEPT_DAYS: i64 = 90;
/// A transaction forgets at most so many rows.
pub const ROWS_PER_SWEEP_MAX: i64 = 500;
/// A transaction deletes at most so many personal tokens, each with a last line in its history.
pub const TOKENS_PER_SWEEP_MAX: i64 = 50;

/// Name of the lease of retention.
pub const RETENTION: &str = "retention";
/// Name of the lease of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Name of the lease of the collection of documents.
pub const DOCUMENTS: &str = "documents";

/// Name of the lease that says when checkpoints last went over all of history; taken under the one of checkpoints.
pub const ALL_CHECKPOINTS: &str = "checkpoints-whole";

/// What [`Keeping::run_due`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows forgotten, by what they were, where retention was due and this process did it.
    pub forgotten: Option<Vec<(&'static str, usize)>>,
    /// Checkpoints taken, where they were due and this process took them.
    pub checkpoints: Option<usize>,
    /// Checkpoints appended to the checkpoint file.
    pub appended: usize,
    /// What was collected of the store of documents, where that was due and this process did it.
    pub collected: Option<Collected>,
}

/// What this process keeps.
pub struct Keeping {
    env: Arc<Env>,
    checkpoint_file: Option<PathBuf>,
    import_results_days: i64,
    in_file: AtomicI64,
    stopping: Arc<AtomicBool>,
}

impl Keeping {
    /// For a database, with the file that checkpoints are appended to.
    pub fn new(env: Arc<Env>, checkpoint_file: Option<PathBuf>) -> Self {
        Self {
            env,
            checkpoint_file,
            import_results_days: imports::RESULTS_KEPT_DAYS,
            in_file: AtomicI64::new(-1),
            stopping: Arc::default(),
        }
    }

    /// The same, with how many days it is kept what became of the rows of an import that is over.
    #[must_use]
    pub fn with_import_results_days(self, import_results_days: i64) -> Self {
        Self { import_results_days, ..self }
    }

    /// Does what is due, unless another process does it. A failure of one thing does not keep the others.
    pub fn run_due(&self) -> Result<Done> {
        let retention = self.retention();
        let checkpoints = self.checkpoints();
        let appended = self.append();
        let collected = self.documents();
        Ok(Done { forgotten: retention?, checkpoints: checkpoints?, appended: appended?, collected: collected? })
    }

    fn goes_on(&self) -> bool {
        !self.stopping.load(Ordering::SeqCst)
    }

    fn retention(&self) -> Result<Option<Vec<(&'static str, usize)>>> {
        let every = TimeDelta::minutes(RETENTION_EVERY_MINUTES);
        let Some(lease) = Lease::take(&self.env, RETENTION, every)? else {
            return Ok(None);
        };
        let now = self.env.now();
        let sweeps = [
            ("idempotency keys", Sweep::IdempotencyKeys, TimeDelta::hours(IDEMPOTENCY_KEPT_HOURS)),
            // No session lives longer, and a used token is needed as long as its session lives.
            ("refresh tokens", Sweep::RefreshTokens, TimeDelta::days(SESSION_DAYS)),
            ("counters of failed logins", Sweep::LoginFailures, TimeDelta::minutes(THROTTLE_WINDOW_MINUTES)),
            ("known addresses", Sweep::KnownAddresses, TimeDelta::days(KNOWN_ADDRESS_DAYS)),
        ];
        let mut forgotten = Vec::new();
        for (what, sweep, kept) in sweeps {
            let until = now.plus(-kept);
            let rows = self.portions(&lease, ROWS_PER_SWEEP_MAX, move |context| {
                Ok(retention::forget(context.connection, sweep, until, ROWS_PER_SWEEP_MAX)?)
            })?;
            let Some(rows) = rows else {
                lease.undone()?;
                return Ok(None);
            };
            forgotten.push((what, rows));
        }
        let until = now.plus(-TimeDelta::days(ENDED_TOKEN_KEPT_DAYS));
        let Some(rows) = self.portions(&lease, TOKENS_PER_SWEEP_MAX, move |c| delete_tokens(c, until))? else {
            lease.undone()?;
            return Ok(None);
        };
        forgotten.push(("personal tokens", rows));
        let until = now.plus(-TimeDelta::days(self.import_results_days));
        let rows = self.portions(&lease, ROWS_PER_SWEEP_MAX, move |context| {
            imports::forget_results(context, until, ROWS_PER_SWEEP_MAX)
        })?;
        let Some(rows) = rows else {
            lease.undone()?;
            return Ok(None);
        };
        forgotten.push(("results of imports", rows));
        lease.done()?;
        Ok(Some(forgotten))
    }

    /// Runs a transaction after the other until one finds less than it might have; `None` where the lease was lost
    /// or the process stops.
    fn portions(
        &self,
        lease: &Lease,
        rows_max: i64,
        sweep: impl Fn(&mut WriteContext<'_>) -> Result<usize> + Clone + Send + 'static,
    ) -> Result<Option<usize>> {
        let mut all = 0;
        while self.goes_on() {
            let Some(rows) = lease.write(sweep.clone())? else {
                return Ok(None);
            };
            all += rows;
            if i64::try_from(rows).is_ok_and(|rows| rows < rows_max) {
                return Ok(Some(all));
            }
        }
        Ok(None)
    }

    /// Takes checkpoints of what came since the last time and, where that is due too, of all that those before missed;
    /// of a history that none has looked at yet, of all of it first. Under the same lease, so that no two processes
    /// state the same.
    fn checkpoints(&self) -> Result<Option<usize>> {
        let every = TimeDelta::minutes(checkpoints::EVERY_MINUTES);
        let Some(lease) = Lease::take(&self.env, CHECKPOINTS, every)? else {
            return Ok(None);
        };
        let walks = match checkpoints::cover_nothing(&self.env)? {
            true => [Walk::Whole, Walk::Recent],
            false => [Walk::Recent, Walk::Whole],
        };
        let mut all = 0;
        for walk in walks {
            let Some(taken) = self.walk(&lease, walk)? else {
                lease.undone()?;
                return Ok(None);
            };
            all += taken;
        }
        lease.done()?;
        Ok(Some(all))
    }

    /// Takes the checkpoints of one walk; of the one over all of history where that is due.
    fn walk(&self, lease: &Lease, walk: Walk) -> Result<Option<usize>> {
        if walk == Walk::Recent {
            return checkpoints::take(&self.env, lease, walk, || self.goes_on());
        }
        let every = TimeDelta::hours(checkpoints::WHOLE_EVERY_HOURS);
        let Some(whole) = Lease::take(&self.env, ALL_CHECKPOINTS, every)? else {
            return Ok(Some(0));
        };
        let taken = checkpoints::take(&self.env, lease, walk, || self.goes_on())?;
        if taken.is_some() {
            whole.done()?;
        } else {
            whole.undone()?;
        }
        Ok(taken)
    }

    fn documents(&self) -> Result<Option<Collected>> {
        let Ok(store) = self.env.store() else { return Ok(None) };
        if store.awaits_claim() {
            document_keeping::claim(&self.env)?;
        }
        let every = TimeDelta::hours(document_keeping::EVERY_HOURS);
        let Some(lease) = Lease::take(&self.env, DOCUMENTS, every)? else {
            return Ok(None);
        };
        let collected = document_keeping::collect(&self.env, &lease, || self.goes_on());
        match &collected {
            Ok(None) => lease.undone()?,
            // A store that is away, or another's, is tried again when it is due again.
            Ok(Some(_)) | Err(Error::Store(_)) => lease.done()?,
            Err(_) => lease.undone()?,
        }
        collected
    }

    /// Every process keeps its own file up to the database, whoever took the checkpoints.
    fn append(&self) -> Result<usize> {
        let Some(path) = &self.checkpoint_file else {
            return Ok(0);
        };
        let last = self.env.database.read_blocking::<_, Error>(|connection| {
            Ok(crate::repository::checkpoints::last(connection)?.map_or(0, |row| row.seq))
        })?;
        if self.in_file.load(Ordering::SeqCst) == last {
            return Ok(0);
        }
        let appended = checkpoint_file::append(&self.env, path)?;
        self.in_file.store(last, Ordering::SeqCst);
        Ok(appended)
    }

    /// Does what is due, now and again and again, until the value that is answered goes away.
    pub fn start(self) -> std::io::Result<Beat> {
        let stopping = Arc::clone(&self.stopping);
        Beat::start("slipway-keeping", TICK_SECONDS * 1000, stopping, move || self.tick())
    }

    fn tick(&self) {
        match self.run_due() {
            Ok(Done { forgotten, checkpoints, appended, collected }) => {
                for (what, rows) in forgotten.into_iter().flatten().filter(|(_, rows)| *rows > 0) {
                    log::info!("retention: {rows} {what} forgotten");
                }
                if let Some(taken) = checkpoints.filter(|taken| *taken > 0) {
                    log::info!("{taken} checkpoints of the audit taken");
                }
                if appended > 0 {
                    log::info!("{appended} checkpoints appended to the checkpoint file");
                }
                if let Some(collected) = collected.filter(|collected| *collected != Collected::default()) {
                    let Collected { deleted, imported, left_over, unfinished } = collected;
                    log::info!(
                        "documents: {deleted} contents of deleted ones, {imported} uploads of imports, {left_over} \
                         objects and {unfinished} beginnings without one collected"
                    );
                }
            }
            Err(error) => log::warn!("keeping: {error}"),
        }
    }
}

/// Has all of history looked at by the next who keeps: some of it was stored with instants long past.
pub fn history_was_stored(env: &Env) -> Result<()> {
    env.database.write_blocking::<_, Error>(|connection| {
        leases::make_due(connection, CHECKPOINTS)?;
        Ok(leases::make_due(connection, ALL_CHECKPOINTS)?)
    })
}

/// Deletes personal tokens that ended long ago; the history of each ends with that.
fn delete_tokens(context: &mut WriteContext<'_>, until: Timestamp) -> Result<usize> {
    let tokens = retention::ended_tokens(context.connection, until, TOKENS_PER_SWEEP_MAX)?;
    let count = tokens.len();
    for token in tokens {
        let permit = context.authorise(Access::Own)?;
        let before = json!({
            "user_id": token.user_id, "name": token.name, "hint": token.hint,
            "expires_at": token.expires_at, "revoked_at": token.revoked_at,
        });
        let stamp = context.record(
            permit,
            &ChainHead { length: token.audit_seq, hash: token.audit_head },
            Recorded {
                record_type: "personal_token",
                record_id: token.id.to_string(),
                subject: None,
                action: "personal_token.delete".into(),
                before: Some(&before),
                after: None,
                published: false,
            },
        )?;
        retention::delete_token(context.connection, token.id, &stamp)?;
    }
    Ok(count)
}
