//! How many answers that are longer than their requests a network gets. Pure.
//!
//! A table of fixed size, so that no flood of forged sources fills the memory: networks that fall into the same place share a ration.

use std::{
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
};

/// Networks that are told apart: 32 KiB.
const PLACES: u64 = 4096;

/// Milliseconds that an answer costs its network: ten a second.
const COST: u64 = 100;

/// What a network may have saved up: ten answers.
const SAVED: u64 = 10 * COST;

/// The rations.
pub(super) struct Ration<H> {
    /// Until when, in milliseconds, what each got will last.
    lasts_until: Box<[u64]>,
    /// With a secret, so that nobody chooses whom to share a place with.
    hasher: H,
}

impl<H: BuildHasher> Ration<H> {
    pub(super) fn new(hasher: H) -> Self {
        Self {
            lasts_until: vec![0; PLACES as usize].into(),
            hasher,
        }
    }

    /// Whether one more answer may go to this address.
    pub(super) fn take(&mut self, to: IpAddr, now: u64) -> bool {
        let place = (self.hasher.hash_one(network(to)) % PLACES) as usize;
        let lasts_until = self.lasts_until[place].max(now);
        let has_some = lasts_until + COST <= now + SAVED;
        if has_some {
            self.lasts_until[place] = lasts_until + COST;
        }
        has_some
    }
}

/// The network of an address: 256 addresses of IPv4; 2^72 of IPv6, a customer's.
fn network(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            std::net::Ipv4Addr::new(a, b, c, 0).to_ipv6_mapped()
        }
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 72 << 72),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hasher};

    /// Every network in the place of its last bits.
    #[derive(Default)]
    struct Plain(u64);

    impl Hasher for Plain {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0 = bytes.iter().fold(self.0, |sum, byte| sum * 31 + u64::from(*byte));
        }
    }

    fn ration() -> Ration<std::hash::BuildHasherDefault<Plain>> {
        Ration::new(Default::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_gets_ten_at_once_and_then_ten_a_second() {
        let mut ration = ration();
        let at_once = (0..100)
            .filter(|n| ration.take(ip(&format!("192.0.2.{n}")), 5000))
            .count();
        assert_eq!(at_once, 10);
        assert!(ration.take(ip("198.51.100.1"), 5000), "another network");
        assert!(ration.take(ip("192.0.2.1"), 5100) && !ration.take(ip("192.0.2.1"), 5100));
        let later = (0..100).filter(|_| ration.take(ip("192.0.2.1"), 60_000)).count();
        assert_eq!(later, 10, "no more is saved up");
    }

    #[test]
    fn networks_are_those_of_a_customer() {
        for (one, other, are_same) in [
            ("192.0.2.1", "192.0.2.254", true),
            ("192.0.2.1", "::ffff:192.0.2.9", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("2001:db8:0:ff::1", "2001:db8:0:1::2", true),
            ("2001:db8:0:100::1", "2001:db8::1", false),
        ] {
            assert_eq!(network(ip(one)) == network(ip(other)), are_same, "{one} {other}");
        }
    }

    #[test]
    fn the_table_has_its_size_whatever_comes() {
        let mut ration = Ration::new(std::hash::BuildHasherDefault::<DefaultHasher>::default());
        for n in 0..100_000u32 {
            ration.take(IpAddr::from(n.to_be_bytes()), 0);
        }
        assert_eq!(ration.lasts_until.len() as u64, PLACES);
    }
}
