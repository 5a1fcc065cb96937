//! What happened in the registry, for those who watch. Pure.
//!
//! Kept only while somebody watches, and in bounds: whoever watches begins anew where there was no room.

use crate::events::event::Event;
use p2p_shared::id::{FileHash, PeerId};

/// Events of one moment: a burst of registrations after a restart fits, the end of a million leases at once does not.
const ROOM: usize = 8192;

/// What happened and was not told yet.
#[derive(Default)]
pub(super) struct News {
    events: Vec<Event>,
    lost: u64,
    is_wanted: bool,
}

impl News {
    pub(super) fn online(&mut self, peer_id: PeerId) {
        self.add(Event::PeerOnline { peer_id });
    }

    pub(super) fn offline(&mut self, peer_id: PeerId) {
        self.add(Event::PeerOffline { peer_id });
    }

    pub(super) fn announced(&mut self, hash: FileHash, size: u64) {
        self.add(Event::FileAnnounced { hash, size });
    }

    pub(super) fn removed(&mut self, hash: FileHash) {
        self.add(Event::FileRemoved { hash });
    }

    fn add(&mut self, event: Event) {
        match (self.is_wanted, self.events.len() < ROOM) {
            (false, _) => {}
            (true, true) => self.events.push(event),
            (true, false) => self.lost += 1,
        }
    }

    /// What happened, with the swarms that changed, and how much of it was dropped.
    pub(super) fn take(&mut self, swarms: Vec<(FileHash, (u32, u32))>, is_wanted: bool) -> (Vec<Event>, u64) {
        for (hash, (seeders, leechers)) in swarms {
            self.add(Event::Swarm {
                hash,
                seeders,
                leechers,
            });
        }
        self.is_wanted = is_wanted;
        (std::mem::take(&mut self.events), std::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileHash = FileHash([1; 32]);

    #[test]
    fn nothing_is_kept_while_nobody_watches() {
        let mut news = News::default();
        news.removed(FILE);
        assert_eq!(news.take(vec![(FILE, (1, 0))], true), (vec![], 0));
        news.removed(FILE);
        assert_eq!(
            news.take(vec![], false),
            (vec![Event::FileRemoved { hash: FILE }], 0)
        );
        news.removed(FILE);
        assert_eq!(news.take(vec![], true), (vec![], 0));
    }

    #[test]
    fn a_flood_is_counted_where_there_is_no_room() {
        let mut news = News::default();
        news.take(vec![], true);
        for _ in 0..ROOM + 5 {
            news.removed(FILE);
        }
        let (events, lost) = news.take(vec![], true);
        assert_eq!((events.len(), lost), (ROOM, 5));
        assert_eq!(news.take(vec![], true), (vec![], 0));
    }
}
