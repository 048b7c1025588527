//! The rate limit of this process: a token bucket for each caller.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::domain::values::UserId;
use crate::service::Env;
use crate::service::identity::Credentials;

/// The limiter forgets idle callers when it knows more than this.
const CALLERS_MAX: usize = 100_000;
/// How many it knows is looked at once in so many requests: to count them takes every lock of the table.
const REQUESTS_PER_LOOK: u32 = 1024;
/// One network of IPv6 is one caller: whoever has an address there has all of them.
const NETWORK_V6_BITS: u32 = 64;

/// What has a bucket of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bucket {
    User(UserId),
    Token(String),
    Address(IpAddr),
}

impl Bucket {
    fn of(credentials: &Credentials, address: IpAddr, path: &str, env: &Env) -> Self {
        match credentials {
            // Whoever logs in is nobody yet.
            _ if path.starts_with("/api/v1/auth/") => Self::of_address(address),
            Credentials::Session { user, .. } => Self::User(*user),
            // A personal token counts for itself only once it was found good: made-up ones share their address's.
            Credentials::Personal { hash } if env.knows_token(hash) => Self::Token(hash.clone()),
            _ => Self::of_address(address),
        }
    }

    fn of_address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & (u128::MAX << (Ipv6Addr::BITS - NETWORK_V6_BITS));
                IpAddr::V6(Ipv6Addr::from(network))
            }
        })
    }
}

/// What a request took from its bucket: what is left, or how many seconds to wait.
pub type Taken = Result<u32, u64>;

type Limiter = RateLimiter<Bucket, DashMapStateStore<Bucket>, DefaultClock, StateInformationMiddleware>;

/// The rate limit of this process.
pub struct RateLimit {
    /// Requests per minute and caller.
    pub per_minute: u32,
    limiter: Limiter,
    requests: AtomicU32,
}

impl RateLimit {
    /// A limit; none for 0.
    pub fn new(per_minute: u32) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute)?);
        let limiter = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Some(Self { per_minute, limiter, requests: AtomicU32::new(0) })
    }

    /// Takes one request out of the bucket of its caller.
    pub fn take(&self, credentials: &Credentials, address: IpAddr, path: &str, env: &Env) -> Taken {
        let looks = self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(REQUESTS_PER_LOOK);
        if looks && self.limiter.len() > CALLERS_MAX {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(&Bucket::of(credentials, address, path, env)) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(wait) => Err(wait.wait_time_from(DefaultClock::default().now()).as_secs() + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let bucket = |address: &str| Bucket::of_address(address.parse().unwrap());
        assert_eq!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:3::1"));
        assert_ne!(bucket("192.0.2.1"), bucket("192.0.2.2"));
    }
}
