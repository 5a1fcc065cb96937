//! Which peer is connected, and where. Pure.

use p2p_shared::id::PublicKey;
use std::collections::HashMap;

/// Tells the connections of a peer apart; a later one has a higher number.
pub(crate) type ConnectionNumber = u64;

/// The connections, `L` being the way to one.
pub(super) struct Routes<L> {
    connections: HashMap<PublicKey, (ConnectionNumber, L)>,
}

impl<L> Default for Routes<L> {
    fn default() -> Self {
        Self {
            connections: HashMap::new(),
        }
    }
}

impl<L> Routes<L> {
    /// A peer is connected. Gives back the connection that counts no more, if there is one: an earlier one, or this one when a
    /// later one is here already.
    pub(super) fn join(&mut self, peer: PublicKey, number: ConnectionNumber, link: L) -> Option<L> {
        match self.connections.get(&peer) {
            Some((present, _)) if *present > number => Some(link),
            present => {
                let is_again = present.is_some_and(|(present, _)| *present == number);
                let before = self.connections.insert(peer, (number, link));
                before.map(|(_, link)| link).filter(|_| !is_again)
            }
        }
    }

    /// A connection is over.
    pub(super) fn leave(&mut self, peer: &PublicKey, number: ConnectionNumber) {
        if self
            .connections
            .get(peer)
            .is_some_and(|(present, _)| *present == number)
        {
            self.connections.remove(peer);
        }
    }

    /// The way to a peer, if it is connected.
    pub(super) fn find(&self, peer: &PublicKey) -> Option<&L> {
        self.connections.get(peer).map(|(_, link)| link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PublicKey = PublicKey([1; 32]);

    #[test]
    fn a_later_connection_replaces_an_earlier_one_whichever_is_told_first() {
        let mut routes = Routes::default();
        assert_eq!(routes.join(PEER, 1, "first"), None);
        assert_eq!(routes.join(PEER, 3, "third"), Some("first"));
        assert_eq!(routes.join(PEER, 2, "second"), Some("second"));
        assert_eq!(routes.find(&PEER), Some(&"third"));
        assert_eq!(routes.join(PEER, 3, "third again"), None);
    }

    #[test]
    fn the_end_of_a_replaced_connection_does_not_end_the_present_one() {
        let mut routes = Routes::default();
        routes.join(PEER, 1, "first");
        routes.join(PEER, 2, "second");
        routes.leave(&PEER, 1);
        assert_eq!(routes.find(&PEER), Some(&"second"));
        routes.leave(&PEER, 2);
        assert_eq!(routes.find(&PEER), None);
    }
}
