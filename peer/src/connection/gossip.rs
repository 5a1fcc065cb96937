//! Peers that peers name: who is told of whom, and what is believed.
//!
//! Promises that only peers which are connected now are named, only to peers of the same file, at most [`MAX_HINTS`] at a
//! time and not more often than [`EVERY`], and that looking for them costs little however much peers talk about; and that what others
//! name is a hint for files that are wanted here, of addresses that can be dialled, as often as an honest peer names it. (Whoever is
//! dialled proves its key.)

use super::{
    hint::Hint,
    peers::Named,
    state::{Action, Connections, SessionId},
};
use p2p_shared::{
    id::FileHash,
    protocol::{MAX_HINT_ADDRESSES, MAX_HINTS, PeerHint},
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// How often a peer is told of others. A peer that comes hears of them at once.
pub const EVERY: Duration = Duration::from_secs(60);
/// How often it is looked who is to be told.
const LOOK: Duration = Duration::from_secs(1);
/// What others name more often than this is not looked at.
const NOT_MORE_OFTEN: Duration = Duration::from_secs(5);

/// Whom to tell of whom.
#[derive(Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Over which session.
    pub session: SessionId,
    /// Of which file.
    pub file: FileHash,
    /// Who shares it, and where.
    pub peers: Vec<PeerHint>,
}

impl Connections {
    /// Who is to be told of whom now.
    pub fn introductions(&mut self, now: Instant) -> Vec<Introduction> {
        if !is_due(self.introduced, LOOK, now) {
            return Vec::new();
        }
        self.introduced = Some(now);
        let sharers = self.sharers();
        let due: Vec<_> = self
            .sessions
            .iter()
            .filter(|(session, kept)| is_due(kept.told, EVERY, now) && self.is_current(**session))
            .collect();
        let mut introductions = Vec::new();
        for (session, kept) in due {
            for file in &kept.attached {
                let others = sharers.get(file).into_iter().flatten();
                let others = others.filter(|other| **other != *session);
                let peers: Vec<_> = others
                    .filter_map(|other| self.hint_of(*other))
                    .take(MAX_HINTS)
                    .collect();
                if !peers.is_empty() {
                    introductions.push(Introduction {
                        session: *session,
                        file: *file,
                        peers,
                    });
                }
            }
        }
        for introduction in &introductions {
            if let Some(kept) = self.sessions.get_mut(&introduction.session) {
                kept.told = Some(now);
            }
        }
        introductions
    }

    /// The sessions in use, one a peer, whose peers say where they listen, by the files that they talk about.
    fn sharers(&self) -> HashMap<FileHash, Vec<SessionId>> {
        let mut sharers: HashMap<_, Vec<_>> = HashMap::new();
        let listening = self.sessions.iter().filter(|(_, kept)| !kept.listen.is_empty());
        for (session, kept) in listening.filter(|(session, _)| self.is_current(**session)) {
            for file in &kept.attached {
                let of_file = sharers.entry(*file).or_default();
                // One more than is named: nobody is told of itself.
                if of_file.len() <= MAX_HINTS {
                    of_file.push(*session);
                }
            }
        }
        sharers
    }

    fn hint_of(&self, session: SessionId) -> Option<PeerHint> {
        self.sessions.get(&session).map(|kept| PeerHint {
            key: kept.key,
            addresses: kept.listen.iter().copied().take(MAX_HINT_ADDRESSES).collect(),
        })
    }

    /// The peer of `session` names others who share `file`.
    pub fn on_named(
        &mut self,
        session: SessionId,
        file: FileHash,
        peers: Vec<PeerHint>,
        now: Instant,
    ) -> Vec<Action> {
        let wanted = self.wanted.contains_key(&file);
        let Some(kept) = self.sessions.get_mut(&session).filter(|_| wanted) else {
            return Vec::new();
        };
        if !is_due(kept.named, NOT_MORE_OFTEN, now) {
            return Vec::new();
        }
        kept.named = Some(now);
        let hints = peers.into_iter().filter_map(|peer| {
            let addresses: Vec<_> = peer.addresses.into_iter().filter(can_be_dialled).collect();
            (!addresses.is_empty()).then_some(Hint {
                key: peer.key,
                addresses,
                relays: Vec::new(),
            })
        });
        self.take_hints(file, hints, Named::Peer, now)
    }
}

fn is_due(last: Option<Instant>, every: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= every)
}

/// Addresses of one host; whether it is reachable shows when it is dialled.
fn can_be_dialled(address: &SocketAddr) -> bool {
    let one_host = match address.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    one_host && address.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{
            path::Attempt,
            policy::Policy,
            state::{Dialler, Limits, NewSession},
        },
        event::PathKind,
    };

    use p2p_shared::id::PublicKey;

    const FILE: FileHash = FileHash([1; 32]);

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// Sessions 1, 2, 3 with peers of the same number, listening at that port.
    fn table(now: Instant) -> Connections {
        let mut table = Connections::new(key(9), Limits::default(), Policy::Auto, 0);
        for n in 1..=3 {
            let new = NewSession {
                session: SessionId(u64::from(n)),
                key: key(n),
                dialler: Dialler::Them,
                path: PathKind::Direct,
                listen: vec![address(u16::from(n))],
            };
            table.on_session(new, now);
        }
        table
    }

    #[test]
    fn peers_of_the_same_file_are_told_of_each_other_once_a_minute() {
        let now = Instant::now();
        let mut table = table(now);
        table.on_attached(SessionId(1), FILE);
        table.on_attached(SessionId(2), FILE);
        let introductions = table.introductions(now);
        let told: Vec<_> = introductions
            .iter()
            .map(|told| (told.session.0, told.peers[0].key))
            .collect();
        assert_eq!(told, [(1, key(2)), (2, key(1))]);
        assert_eq!(introductions[0].peers[0].addresses, [address(2)]);
        assert_eq!(table.introductions(now + Duration::from_secs(59)), []);
        assert_eq!(table.introductions(now + EVERY).len(), 2);
    }

    #[test]
    fn who_is_to_be_told_of_whom_is_looked_at_once_a_second() {
        let now = Instant::now();
        let mut table = table(now);
        assert_eq!(table.introductions(now), []);
        table.on_attached(SessionId(1), FILE);
        table.on_attached(SessionId(2), FILE);
        assert_eq!(table.introductions(now + Duration::from_millis(900)), []);
        assert_eq!(table.introductions(now + LOOK).len(), 2);
    }

    #[test]
    fn a_peer_that_detached_is_named_no_more() {
        let now = Instant::now();
        let mut table = table(now);
        table.on_attached(SessionId(1), FILE);
        table.on_attached(SessionId(2), FILE);
        table.on_detached(SessionId(2), &FILE);
        assert_eq!(table.introductions(now), []);
    }

    #[test]
    fn who_is_named_is_dialled_if_the_file_is_wanted_and_the_address_is_one() {
        let now = Instant::now();
        let mut table = table(now);
        let hint = |n, addresses: &[&str]| PeerHint {
            key: key(n),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let hints = vec![
            hint(20, &["0.0.0.0:1", "224.0.0.1:1", "192.0.2.7:0"]),
            hint(21, &["192.0.2.7:5", "[ff02::1]:5"]),
        ];
        assert_eq!(
            table.on_named(SessionId(1), FILE, hints.clone(), now),
            [],
            "not wanted"
        );
        table.want(FILE, Policy::Auto, [], now);
        let actions = table.on_named(SessionId(1), FILE, hints, now);
        let (key, addresses) = (key(21), vec!["192.0.2.7:5".parse().unwrap()]);
        let (attempt, relays, policy, not_before) = (Attempt::Dial, Vec::new(), Policy::Auto, None);
        assert_eq!(
            actions,
            [Action::Try {
                attempt,
                key,
                addresses,
                relays,
                policy,
                not_before
            }]
        );
    }

    #[test]
    fn who_names_others_all_the_time_is_not_listened_to() {
        let now = Instant::now();
        let mut table = table(now);
        table.want(FILE, Policy::Auto, [], now);
        let hint = |n| PeerHint {
            key: key(n),
            addresses: vec![address(7)],
        };
        assert_eq!(table.on_named(SessionId(1), FILE, vec![hint(20)], now).len(), 1);
        assert_eq!(table.on_named(SessionId(1), FILE, vec![hint(21)], now), []);
        assert_eq!(table.on_named(SessionId(2), FILE, vec![hint(22)], now).len(), 1);
        let later = now + NOT_MORE_OFTEN;
        assert_eq!(table.on_named(SessionId(1), FILE, vec![hint(21)], later).len(), 1);
    }
}
