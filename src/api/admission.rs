//! How much work the process takes on at once: what does not fit is refused at once, and cheaply.
//!
//! A request takes a place only once it has arrived whole, so that a slow sender holds none; its place goes with
//! the work, not with the caller: who goes away does not make room for more than the database can do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::values::UserId;
use crate::error::Problem;

/// A body up to this size is always read; of larger ones the process holds [`LARGE_BODIES_BYTES_MAX`] together.
pub const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of large bodies that the process holds at the same time.
pub const LARGE_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Uploads that are taken in at the same time. Each has a place of its own kind: a slow sender keeps none of those
/// that all requests share.
pub const UPLOADS_MAX: usize = 16;
/// Of these, one account has at most so many: nobody alone keeps everybody else from uploading.
pub const UPLOADS_OF_ONE_MAX: usize = 4;
/// Documents that are sent at the same time.
pub const DOWNLOADS_MAX: usize = 256;

/// The places of the process, and the room for bodies.
#[derive(Debug)]
pub struct Admission {
    in_flight_max: usize,
    in_flight: AtomicUsize,
    body_bytes: AtomicUsize,
    /// Whose uploads are on their way.
    uploads: Mutex<Vec<UserId>>,
    downloads: AtomicUsize,
    /// A body arrives within this time.
    pub body_timeout_ms: u64,
    /// A document has at most so many bytes.
    pub document_bytes_max: u64,
}

/// A place; dropping it makes room.
#[derive(Debug)]
pub struct Place(Arc<Admission>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    /// Room for so many requests at once.
    pub const fn new(in_flight_max: usize, body_timeout_ms: u64, document_bytes_max: u64) -> Self {
        Self {
            in_flight_max,
            in_flight: AtomicUsize::new(0),
            body_bytes: AtomicUsize::new(0),
            uploads: Mutex::new(Vec::new()),
            downloads: AtomicUsize::new(0),
            body_timeout_ms,
            document_bytes_max,
        }
    }

    /// How many requests are in work.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// True where no place is free.
    pub fn is_full(&self) -> bool {
        self.in_flight() >= self.in_flight_max
    }

    /// Takes a place, or refuses.
    pub fn enter(self: &Arc<Self>) -> Result<Place, Problem> {
        let one_more = |count: usize| (count < self.in_flight_max).then_some(count + 1);
        match self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(_) => Err(overloaded()),
        }
    }
}

/// Which way a document goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the store, from this caller.
    Up(UserId),
    /// From the store.
    Down,
}

/// A document on its way; dropping it makes room.
#[derive(Debug)]
pub struct Transfer(Arc<Admission>, Way);

impl Admission {
    fn uploads(&self) -> MutexGuard<'_, Vec<UserId>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a document go its way, or refuses.
    pub fn carry(self: &Arc<Self>, way: Way) -> Result<Transfer, Problem> {
        match way {
            Way::Up(caller) => {
                let mut uploads = self.uploads();
                let of_caller = uploads.iter().filter(|other| **other == caller).count();
                if uploads.len() >= UPLOADS_MAX || of_caller >= UPLOADS_OF_ONE_MAX {
                    return Err(overloaded());
                }
                uploads.push(caller);
            }
            Way::Down => {
                let one_more = |count: usize| (count < DOWNLOADS_MAX).then_some(count + 1);
                self.downloads.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).map_err(|_| overloaded())?;
            }
        }
        Ok(Transfer(Arc::clone(self), way))
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        match self.1 {
            Way::Up(caller) => {
                let mut uploads = self.0.uploads();
                if let Some(at) = uploads.iter().position(|other| *other == caller) {
                    uploads.swap_remove(at);
                }
            }
            Way::Down => {
                self.0.downloads.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

/// The refusal of a request for which there is no room.
pub fn overloaded() -> Problem {
    let mut problem = Problem::new("OVERLOADED", "The service has as much to do as it can; try again.");
    problem.retry_after_seconds = Some(1);
    problem
}

/// The room that one body takes while it is read.
#[derive(Debug)]
pub struct BodyRoom<'a> {
    admission: &'a Admission,
    bytes: usize,
}

impl<'a> BodyRoom<'a> {
    /// No room yet.
    pub const fn new(admission: &'a Admission) -> Self {
        Self { admission, bytes: 0 }
    }

    /// Takes room for a body that has grown to so many bytes.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.bytes);
        if bytes <= SMALL_BODY_BYTES_MAX || more == 0 {
            return Ok(());
        }
        let fits = |held: usize| (held + more <= LARGE_BODIES_BYTES_MAX).then_some(held + more);
        self.admission.body_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).map_err(|_| overloaded())?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for BodyRoom<'_> {
    fn drop(&mut self) {
        self.admission.body_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_there_are_and_a_dropped_one_is_free_again() {
        let admission = Arc::new(Admission::new(2, 1, 1));
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err().code, "OVERLOADED");
        assert!(admission.is_full());
        drop(first);
        assert!(admission.enter().is_ok());
    }

    #[test]
    fn large_bodies_share_a_room_and_small_ones_need_none() {
        let admission = Admission::new(1, 1, 1);
        let mut large = BodyRoom::new(&admission);
        large.grow(LARGE_BODIES_BYTES_MAX).unwrap();
        let mut other = BodyRoom::new(&admission);
        other.grow(SMALL_BODY_BYTES_MAX).unwrap();
        assert_eq!(other.grow(SMALL_BODY_BYTES_MAX + 1).unwrap_err().code, "OVERLOADED");
        drop(large);
        other.grow(SMALL_BODY_BYTES_MAX + 1).unwrap();
        drop(other);
        assert_eq!(admission.body_bytes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn uploads_keep_none_of_the_places_that_all_requests_share() {
        let admission = Arc::new(Admission::new(1, 1, 1));
        let callers: Vec<UserId> = (0..6).map(|n| UserId::new(uuid::Uuid::from_u128(n))).collect();
        let mut uploads = Vec::new();
        for caller in &callers[..UPLOADS_MAX / UPLOADS_OF_ONE_MAX] {
            uploads.extend((0..UPLOADS_OF_ONE_MAX).map(|_| admission.carry(Way::Up(*caller)).unwrap()));
        }
        assert_eq!(admission.carry(Way::Up(callers[5])).unwrap_err().code, "OVERLOADED");
        assert!(admission.enter().is_ok() && admission.carry(Way::Down).is_ok());
        uploads.pop();
        // There is room again, but not for somebody who has as much as one may.
        assert_eq!(admission.carry(Way::Up(callers[0])).unwrap_err().code, "OVERLOADED");
        assert!(admission.carry(Way::Up(callers[5])).is_ok());
    }
}
