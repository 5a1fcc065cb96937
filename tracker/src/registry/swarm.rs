//! The online peers of one file: who holds all of it, who a part.
//!
//! A peer is in exactly one of the two sets or in neither. Knows peers by their place in the registry only; whether
//! one of them is still online is the registry's to say.

use indexmap::IndexSet;

/// Where the registry keeps a peer.
pub(crate) type PeerSlot = u32;

/// How much of a file a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// All of it.
    Seeder,
    /// Part of it, or nothing yet.
    Leecher,
}

impl Role {
    /// The role of somebody who does or does not hold the whole file.
    pub(crate) fn of(seeder: bool) -> Self {
        if seeder { Self::Seeder } else { Self::Leecher }
    }

    /// Whether it holds the whole file.
    pub(crate) fn is_seeder(self) -> bool {
        self == Self::Seeder
    }
}

/// The members of one file's swarm. Joining, leaving and reaching any member take constant time.
#[derive(Debug, Default)]
pub(crate) struct Swarm {
    seeders: IndexSet<PeerSlot>,
    leechers: IndexSet<PeerSlot>,
}

impl Swarm {
    /// Puts a peer into the swarm, or into its other set.
    pub(crate) fn join(&mut self, peer: PeerSlot, role: Role) {
        let (into, from) = match role {
            Role::Seeder => (&mut self.seeders, &mut self.leechers),
            Role::Leecher => (&mut self.leechers, &mut self.seeders),
        };
        from.swap_remove(&peer);
        into.insert(peer);
    }

    /// Takes a peer out, if it is in.
    pub(crate) fn leave(&mut self, peer: PeerSlot) {
        self.seeders.swap_remove(&peer);
        self.leechers.swap_remove(&peer);
    }

    /// What a peer is here, if it is here.
    pub(crate) fn role(&self, peer: PeerSlot) -> Option<Role> {
        if self.seeders.contains(&peer) {
            Some(Role::Seeder)
        } else {
            self.leechers.contains(&peer).then_some(Role::Leecher)
        }
    }

    /// How many hold all of the file.
    pub(crate) fn seeders(&self) -> u32 {
        self.seeders.len() as u32
    }

    /// How many hold part of it.
    pub(crate) fn leechers(&self) -> u32 {
        self.leechers.len() as u32
    }

    /// Whether nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.seeders.is_empty() && self.leechers.is_empty()
    }

    /// The member of a kind at a place, in no particular order.
    pub(crate) fn at(&self, role: Role, place: usize) -> Option<PeerSlot> {
        let set = match role {
            Role::Seeder => &self.seeders,
            Role::Leecher => &self.leechers,
        };
        set.get_index(place).copied()
    }

    /// Everybody.
    pub(crate) fn members(&self) -> impl Iterator<Item = PeerSlot> + '_ {
        self.seeders.iter().chain(&self.leechers).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_finishes_moves_from_the_leechers_to_the_seeders() {
        let mut swarm = Swarm::default();
        swarm.join(3, Role::Leecher);
        assert_eq!((swarm.role(3), swarm.leechers()), (Some(Role::Leecher), 1));
        swarm.join(3, Role::Seeder);
        assert_eq!(
            (swarm.role(3), swarm.seeders(), swarm.leechers()),
            (Some(Role::Seeder), 1, 0)
        );
    }

    #[test]
    fn joining_twice_counts_once() {
        let mut swarm = Swarm::default();
        swarm.join(3, Role::Seeder);
        swarm.join(3, Role::Seeder);
        assert_eq!(swarm.seeders(), 1);
    }

    #[test]
    fn who_left_is_gone_and_the_others_stay() {
        let mut swarm = Swarm::default();
        for peer in 0..5 {
            swarm.join(
                peer,
                if peer % 2 == 0 {
                    Role::Seeder
                } else {
                    Role::Leecher
                },
            );
        }
        swarm.leave(2);
        swarm.leave(2);
        let mut members: Vec<_> = swarm.members().collect();
        members.sort_unstable();
        assert_eq!(members, [0, 1, 3, 4]);
        assert!(!swarm.is_empty());
    }
}
