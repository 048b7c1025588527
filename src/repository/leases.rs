//! Leases: work that one of several processes does at a time, and when it was last done.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::Error;
use super::schema::leases;
use crate::domain::values::Timestamp;

/// When a lease may be taken.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The present.
    pub now: Timestamp,
    /// Until when it is taken.
    pub until: Timestamp,
    /// An end later than this is a clock's mistake, and holds nobody off.
    pub until_at_most: Timestamp,
    /// The work is due where it was last done at this instant or before.
    pub done_before: Timestamp,
}

type Row = (Timestamp, Option<Timestamp>);

/// True where nobody holds the lease and its work is due.
pub fn is_due(connection: &mut AnyConnection, name: &str, terms: Terms) -> Result<bool, Error> {
    let row: Option<Row> =
        leases::table.find(name).select((leases::expires_at, leases::done_at)).first(connection).optional()?;
    Ok(row.is_none_or(|(expires_at, done_at)| {
        let free = expires_at <= terms.now || expires_at > terms.until_at_most;
        free && done_at.is_none_or(|at| at <= terms.done_before || at > terms.now)
    }))
}

/// Takes the lease where nobody holds it and its work is due; true where it was taken.
pub fn take(connection: &mut AnyConnection, name: &str, holder: &str, terms: Terms) -> Result<bool, Error> {
    let unheld = (leases::name.eq(name), leases::holder.eq(""), leases::expires_at.eq(terms.now));
    let insert = diesel::insert_into(leases::table).values(unheld);
    match connection {
        AnyConnection::Sqlite(sqlite) => insert.on_conflict_do_nothing().execute(sqlite)?,
        AnyConnection::Postgres(postgres) => insert.on_conflict_do_nothing().execute(postgres)?,
    };
    let free = leases::expires_at.le(terms.now).or(leases::expires_at.gt(terms.until_at_most));
    let not_done = leases::done_at.is_null();
    let done_long_ago = leases::done_at.le(terms.done_before).or(leases::done_at.gt(terms.now));
    let due = not_done.or(done_long_ago.assume_not_null());
    let hit = diesel::update(leases::table.filter(leases::name.eq(name)).filter(free).filter(due))
        .set((leases::holder.eq(holder), leases::expires_at.eq(terms.until)))
        .execute(connection)?;
    Ok(hit == 1)
}

/// Makes the work of a lease due, whenever it was last done; who is at it has lost the lease.
pub fn make_due(connection: &mut AnyConnection, name: &str) -> Result<(), Error> {
    let never: Option<Timestamp> = None;
    diesel::update(leases::table.find(name))
        .set((leases::done_at.eq(never), leases::holder.eq("")))
        .execute(connection)?;
    Ok(())
}

/// Holds the lease longer; false where somebody else has taken it. On PostgreSQL the row stays locked until
/// the transaction ends, so that nobody takes the lease under it.
pub fn extend(connection: &mut AnyConnection, name: &str, holder: &str, until: Timestamp) -> Result<bool, Error> {
    let held = leases::table.filter(leases::name.eq(name)).filter(leases::holder.eq(holder));
    let hit = diesel::update(held).set(leases::expires_at.eq(until)).execute(connection)?;
    Ok(hit == 1)
}

/// Gives the lease back, with the instant at which the work was done where it was.
pub fn give_back(
    connection: &mut AnyConnection,
    name: &str,
    holder: &str,
    now: Timestamp,
    done: bool,
) -> Result<(), Error> {
    let held = leases::table.filter(leases::name.eq(name)).filter(leases::holder.eq(holder));
    let free = (leases::holder.eq(""), leases::expires_at.eq(now));
    if done {
        diesel::update(held).set((free, leases::done_at.eq(now))).execute(connection)?;
    } else {
        diesel::update(held).set(free).execute(connection)?;
    }
    Ok(())
}
