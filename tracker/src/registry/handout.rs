//! Which peers of a swarm are told to whom.
//!
//! A seeder needs nobody else's chunks, so it is told leechers only. A leecher is told half seeders and half leechers,
//! as far as there are enough of either: seeders have everything, and leechers share the load among themselves.
//! Each asker gets another random choice, so that a large swarm stays one piece and no peer is told to everybody.
//! Pure: the randomness is an argument.

use super::swarm::{PeerSlot, Role, Swarm};

/// Most peers of one hand-out: what a downloader can make use of, and 10 KiB of JSON.
pub(crate) const MAX_HANDOUT: usize = 200;

/// Chooses at most `limit` members for an asker who is `asker` in this swarm. `offer` turns a member into what is
/// handed out, or refuses it (it is the asker, its lease ran out, the asker cannot reach it).
pub(crate) fn choose<T>(
    swarm: &Swarm,
    asker: Option<Role>,
    limit: usize,
    random: u64,
    mut offer: impl FnMut(PeerSlot, Role) -> Option<T>,
) -> Vec<T> {
    let limit = limit.min(MAX_HANDOUT);
    let seeders = swarm.seeders() as usize;
    let leechers = swarm.leechers() as usize;
    let (first, second) = split(random);
    let mut seeder_walk = Walk::new(if asker == Some(Role::Seeder) { 0 } else { seeders }, first);
    let mut leecher_walk = Walk::new(leechers, second);
    let mut take = |walk: &mut Walk, role, count| -> Vec<T> {
        walk.filter_map(|place| offer(swarm.at(role, place)?, role))
            .take(count)
            .collect()
    };

    let mut chosen = take(&mut seeder_walk, Role::Seeder, limit.div_ceil(2));
    let room = limit - chosen.len();
    chosen.extend(take(&mut leecher_walk, Role::Leecher, room));
    let room = limit - chosen.len();
    chosen.extend(take(&mut seeder_walk, Role::Seeder, room));
    chosen
}

/// Two independent halves of one random number.
fn split(random: u64) -> (u64, u64) {
    (random >> 32, random & 0xffff_ffff)
}

/// Every place below `count` once, in an order that `random` decides: a stride without a common divisor with `count`.
/// Takes no memory, and costs only what is looked at.
struct Walk {
    place: usize,
    stride: usize,
    count: usize,
    left: usize,
}

impl Walk {
    fn new(count: usize, random: u64) -> Self {
        let random = random as usize;
        let mut stride = 1 + (random >> 16) % count.max(1);
        while gcd(stride, count) > 1 {
            stride += 1;
        }
        Self {
            place: random % count.max(1),
            stride,
            count,
            left: count,
        }
    }
}

impl Iterator for Walk {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        self.place = (self.place + self.stride) % self.count;
        Some(place)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn swarm(seeders: u32, leechers: u32) -> Swarm {
        let mut swarm = Swarm::default();
        for peer in 0..seeders {
            swarm.join(peer, Role::Seeder);
        }
        for peer in seeders..seeders + leechers {
            swarm.join(peer, Role::Leecher);
        }
        swarm
    }

    fn everyone(peer: PeerSlot, role: Role) -> Option<(PeerSlot, Role)> {
        Some((peer, role))
    }

    #[test]
    fn a_seeder_is_told_leechers_only() {
        let told = choose(&swarm(10, 3), Some(Role::Seeder), 50, 7, everyone);
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|(_, role)| *role == Role::Leecher));
    }

    #[test]
    fn a_leecher_is_told_both_kinds_by_halves() {
        let told = choose(&swarm(100, 100), Some(Role::Leecher), 50, 7, everyone);
        let seeders = told.iter().filter(|(_, role)| *role == Role::Seeder).count();
        assert_eq!((told.len(), seeders), (50, 25));
    }

    #[test]
    fn the_other_kind_fills_up_where_one_is_short() {
        assert_eq!(choose(&swarm(100, 2), None, 50, 7, everyone).len(), 50);
        assert_eq!(choose(&swarm(2, 100), None, 50, 7, everyone).len(), 50);
    }

    #[test]
    fn who_is_refused_is_replaced_by_another() {
        let told = choose(&swarm(100, 0), None, 10, 7, |peer, _| {
            (peer >= 50).then_some(peer)
        });
        assert_eq!(told.len(), 10);
        assert!(told.iter().all(|peer| *peer >= 50));
    }

    #[test]
    fn everybody_is_told_about_equally_often() {
        let swarm = swarm(40, 0);
        let mut told = [0_u32; 40];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            for (peer, _) in choose(&swarm, None, 4, random.rotate_left(17), everyone) {
                told[peer as usize] += 1;
            }
        }
        // 2,000 expected each, standard deviation 42.
        assert!(
            told.iter().all(|times| (1_700..2_300).contains(times)),
            "{told:?}"
        );
    }

    proptest! {
        #[test]
        fn nobody_is_told_twice_and_nobody_is_forgotten(
            seeders in 0_u32..60, leechers in 0_u32..60, limit in 0_usize..300, random: u64,
        ) {
            let told = choose(&swarm(seeders, leechers), None, limit, random, everyone);
            let distinct: HashSet<_> = told.iter().map(|(peer, _)| *peer).collect();
            prop_assert_eq!(distinct.len(), told.len());
            prop_assert_eq!(told.len(), limit.min(MAX_HANDOUT).min((seeders + leechers) as usize));
        }

        #[test]
        fn a_walk_visits_every_place_once(count in 1_usize..500, random: u64) {
            let visited: HashSet<_> = Walk::new(count, random).collect();
            prop_assert_eq!(visited.len(), count);
            prop_assert_eq!(Walk::new(count, random).count(), count);
        }
    }
}
