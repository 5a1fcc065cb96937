//! How many requests a second an address, and the holders of a key, may make: the generic cell rate algorithm of `governor`.
//!
//! Addresses are counted in a table of fixed size, so that a flood from a million of them takes no memory: each has one of eight
//! places, chosen by a secret hash, and a newcomer takes the place of who has had the longest rest. So nobody is refused because of
//! others; who has more addresses than there are places gets more than one address would.

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Groups of places. With [`PLACES`] that is 65,536 addresses in 1.1 MiB.
const GROUPS: usize = 8192;

/// Places of a group.
const PLACES: usize = 8;

/// Seconds' worth of requests that may come at once: a peer that starts announces what it shares.
const BURST: u32 = 2;

/// Time since the limiter was made.
#[derive(Debug, Clone)]
pub(crate) struct SinceStart(Instant);

impl Clock for SinceStart {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

fn since_start() -> SinceStart {
    SinceStart(Instant::now())
}

fn quota(rate: NonZeroU32) -> Quota {
    Quota::per_second(rate).allow_burst(rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1)))
}

/// Limits what comes from each address.
pub(crate) struct AddressLimiter<C: Clock = SinceStart> {
    limiter: RateLimiter<u64, Table, C, NoOpMiddleware<C::Instant>>,
    /// With a secret, so that nobody chooses whom to share a group with.
    hasher: RandomState,
}

impl AddressLimiter {
    /// So many requests a second from each address.
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self::with_clock(rate, since_start())
    }
}

impl<C: Clock> AddressLimiter<C> {
    fn with_clock(rate: NonZeroU32, clock: C) -> Self {
        Self {
            limiter: RateLimiter::new(quota(rate), Table::default(), clock),
            hasher: RandomState::new(),
        }
    }

    /// Counts one request. An error says how long to wait with the next one.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let key = self.hasher.hash_one(network(address));
        let checked = self.limiter.check_key(&key);
        checked.map_err(|until| wait(&until, self.limiter.clock()))
    }
}

fn wait<C: Clock>(until: &NotUntil<C::Instant>, clock: &C) -> Duration
where
    C::Instant: Reference,
{
    until.wait_time_from(clock.now())
}

/// What counts as one address: of IPv6 a /64, which is what one host has to choose from.
fn network(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64),
    }
}

/// One address, and until when what it took lasts.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// 0: nobody's.
    key: u64,
    until: Nanos,
}

struct Table {
    groups: Box<[Mutex<[Place; PLACES]>]>,
}

impl Default for Table {
    fn default() -> Self {
        let groups = (0..GROUPS).map(|_| Mutex::default()).collect();
        Self { groups }
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let group = &self.groups[*key as usize % GROUPS];
        let mut places = group.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (*key).max(1);
        if let Some(place) = places.iter_mut().find(|place| place.key == key) {
            let (answer, until) = measure(Some(place.until))?;
            place.until = until;
            return Ok(answer);
        }
        let (answer, until) = measure(None)?;
        if let Some(place) = places.iter_mut().min_by_key(|place| place.until) {
            *place = Place { key, until };
        }
        Ok(answer)
    }
}

/// Limits what comes under one key.
pub(crate) type KeyLimiter =
    RateLimiter<NotKeyed, InMemoryState, SinceStart, NoOpMiddleware<<SinceStart as Clock>::Instant>>;

/// So many requests a second under one key.
pub(crate) fn for_key(rate: NonZeroU32) -> KeyLimiter {
    RateLimiter::new(quota(rate), InMemoryState::default(), since_start())
}

/// Counts one request. An error says how long to wait with the next one.
pub(crate) fn check_key(limiter: &KeyLimiter) -> Result<(), Duration> {
    limiter.check().map_err(|until| wait(&until, limiter.clock()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    /// A clock that stands until it is moved, in milliseconds.
    #[derive(Clone, Default)]
    struct Hand(Arc<AtomicU64>);

    impl Clock for Hand {
        type Instant = Duration;

        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Relaxed))
        }
    }

    fn limiter(rate: u32) -> (AddressLimiter<Hand>, Hand) {
        let clock = Hand::default();
        let limiter = AddressLimiter::with_clock(NonZeroU32::new(rate).unwrap(), clock.clone());
        (limiter, clock)
    }

    fn passed(limiter: &AddressLimiter<Hand>, address: &str, tries: u32) -> usize {
        let address = address.parse().unwrap();
        (0..tries).filter(|_| limiter.check(address).is_ok()).count()
    }

    #[test]
    fn an_address_gets_its_burst_then_its_rate_and_is_told_how_long_to_wait() {
        let (limiter, clock) = limiter(10);
        assert_eq!(passed(&limiter, "203.0.113.7", 100), 20);
        let wait = limiter.check("203.0.113.7".parse().unwrap()).unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_millis(100),
            "{wait:?}"
        );
        clock.0.store(1000, Relaxed);
        assert_eq!(passed(&limiter, "203.0.113.7", 100), 10);
    }

    #[test]
    fn others_have_their_own_and_a_64_of_ipv6_is_one() {
        let (limiter, _) = limiter(10);
        assert_eq!(passed(&limiter, "203.0.113.7", 30), 20);
        assert_eq!(passed(&limiter, "203.0.113.8", 30), 20);
        assert_eq!(passed(&limiter, "::ffff:203.0.113.7", 30), 0);
        assert_eq!(passed(&limiter, "2001:db8::1", 15), 15);
        assert_eq!(passed(&limiter, "2001:db8::ffff:0:0:1", 15), 5);
        assert_eq!(passed(&limiter, "2001:db8:0:1::1", 15), 15);
    }

    #[test]
    fn a_million_addresses_take_no_memory_and_refuse_nobody_else() {
        let (limiter, _) = limiter(10);
        for address in 0..1_000_000u32 {
            assert_eq!(limiter.check(IpAddr::V4((0x0a00_0000 + address).into())), Ok(()));
        }
        // All that it holds: the groups, each with its places in itself.
        let table = limiter.limiter.into_state_store();
        let bytes = std::mem::size_of_val(&*table.groups);
        assert!(bytes < 2 << 20, "{bytes}");
        let taken = table.groups.iter().map(|group| {
            let places = group.lock().unwrap();
            places.iter().filter(|place| place.key != 0).count()
        });
        assert_eq!(taken.sum::<usize>(), GROUPS * PLACES);
    }

    #[test]
    fn who_is_over_the_limit_keeps_the_place_that_says_so() {
        let (limiter, _) = limiter(10);
        passed(&limiter, "203.0.113.7", 20);
        for address in 0..100_000u32 {
            limiter.check(IpAddr::V4((0x0a00_0000 + address).into())).ok();
        }
        assert_eq!(passed(&limiter, "203.0.113.7", 1), 0);
    }
}
