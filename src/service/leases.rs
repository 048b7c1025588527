//! Work that only one of several processes does at a time.
//!
//! A lease is a row with a holder and an end. Every transaction of the holder extends it first, in the same
//! transaction: a holder that was replaced, because it seemed dead, writes nothing more.

use std::sync::Arc;

use chrono::TimeDelta;

use super::setup::{console, console_request};
use super::{Env, Error, Request, Result, WriteContext};
use crate::repository::leases::{self, Terms};

/// A holder that says nothing for so long is dead: another takes over.
pub const LEASE_SECONDS: i64 = 60;

/// A lease that this process holds.
pub struct Lease {
    env: Arc<Env>,
    name: &'static str,
    holder: String,
}

impl Lease {
    /// Takes the lease, where nobody holds it and its work was not done within the last `every`.
    pub fn take(env: &Arc<Env>, name: &'static str, every: TimeDelta) -> Result<Option<Self>> {
        let now = env.now();
        let terms = Terms {
            now,
            until: now.plus(TimeDelta::seconds(LEASE_SECONDS)),
            until_at_most: now.plus(TimeDelta::seconds(2 * LEASE_SECONDS)),
            done_before: now.plus(-every),
        };
        if !env.database.read_blocking::<_, Error>(|connection| Ok(leases::is_due(connection, name, terms)?))? {
            return Ok(None);
        }
        let holder = format!("{:032x}", rand::random::<u128>());
        let wanted = holder.clone();
        let taken = env
            .database
            .write_blocking::<_, Error>(move |connection| Ok(leases::take(connection, name, &wanted, terms)?))?;
        Ok(taken.then(|| Self { env: Arc::clone(env), name, holder }))
    }

    /// Runs a transaction that only the holder can make, as the machine itself; `None` where the lease was lost.
    /// `work` may run again.
    pub fn write<T, F>(&self, work: F) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Fn(&mut WriteContext<'_>) -> Result<T> + Send + 'static,
    {
        self.write_as(console_request(console()), work)
    }

    /// The same, as somebody else.
    pub fn write_as<T, F>(&self, request: Request, work: F) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Fn(&mut WriteContext<'_>) -> Result<T> + Send + 'static,
    {
        let (name, holder) = (self.name, self.holder.clone());
        self.env.write_blocking(request, move |context| {
            let until = context.now.plus(TimeDelta::seconds(LEASE_SECONDS));
            if !leases::extend(context.connection, name, &holder, until)? {
                return Ok(None);
            }
            work(context).map(Some)
        })
    }

    /// Gives the lease back: the work is done, and due again after its time.
    pub fn done(self) -> Result<()> {
        self.give_back(true)
    }

    /// Gives the lease back with the work not done: anybody may go on with it at once.
    pub fn undone(self) -> Result<()> {
        self.give_back(false)
    }

    fn give_back(self, done: bool) -> Result<()> {
        let (name, holder, now) = (self.name, self.holder, self.env.now());
        self.env
            .database
            .write_blocking::<_, Error>(move |connection| Ok(leases::give_back(connection, name, &holder, now, done)?))
    }
}
