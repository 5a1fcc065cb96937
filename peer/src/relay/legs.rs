//! The tunnels of one connection, by number.
//!
//! Promises that a number of ours is given once, that what all tunnels together may let wait stays within what the relay keeps,
//! and that a connection that is over ends them all and gets no new one.

use super::{
    credit::Budget,
    tunnel::{Pipe, TunnelEnd},
};
use p2p_shared::protocol::relay::TunnelId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The table.
pub(super) struct Legs(Mutex<Table>);

struct Table {
    pipes: HashMap<TunnelId, Arc<Pipe>>,
    /// The next number that is ours to give; none when all are given.
    next: Option<u32>,
    budget: Budget,
    /// How many there may be.
    most: usize,
    /// No new ones, and why.
    is_closed: bool,
}

/// Why there is no new tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLeg {
    /// There are as many as may be.
    Full,
    /// The connection is over.
    Closed,
}

/// A new tunnel.
pub(super) struct Leg {
    pub(super) id: TunnelId,
    pub(super) pipe: Arc<Pipe>,
}

impl Legs {
    /// None yet, and none may be before [`Self::welcome`].
    pub(super) fn new() -> Self {
        Self(Mutex::new(Table {
            pipes: HashMap::new(),
            next: Some(0),
            budget: Budget::of(0, 0),
            most: 0,
            is_closed: false,
        }))
    }

    /// The relay allows so many tunnels (0: any number), and keeps so many bytes. `false`: it has said so before.
    pub(super) fn welcome(&self, tunnels: u32, waiting: u32) -> bool {
        let mut table = self.lock();
        if table.most > 0 {
            return false;
        }
        table.budget = Budget::of(waiting, tunnels);
        table.most = if tunnels == 0 {
            usize::MAX
        } else {
            tunnels as usize
        };
        true
    }

    /// A tunnel that this side asks for.
    pub(super) fn ask(&self) -> Result<Leg, NoLeg> {
        let mut table = self.lock();
        let id = table.next.ok_or(NoLeg::Closed)?;
        let leg = table.begin(TunnelId(id))?;
        table.next = id.checked_add(2);
        Ok(leg)
    }

    /// A tunnel that the other side asks for.
    pub(super) fn offer(&self, id: TunnelId) -> Result<Leg, NoLeg> {
        self.lock().begin(id)
    }

    pub(super) fn find(&self, id: TunnelId) -> Option<Arc<Pipe>> {
        self.lock().pipes.get(&id).cloned()
    }

    /// The tunnel is over. None: it was before.
    pub(super) fn remove(&self, id: TunnelId) -> Option<Arc<Pipe>> {
        self.lock().pipes.remove(&id)
    }

    /// A window is worth `more`: what there is room for.
    pub(super) fn widen(&self, more: u32) -> Option<u32> {
        self.lock().budget.widen(more)
    }

    /// What came on a tunnel is read or dropped.
    pub(super) fn give_back(&self, window: u32) {
        self.lock().budget.give_back(window);
    }

    /// The connection is over.
    pub(super) fn close(&self) {
        let mut table = self.lock();
        table.is_closed = true;
        let pipes: Vec<_> = table.pipes.drain().map(|(_, pipe)| pipe).collect();
        drop(table);
        pipes.iter().for_each(|pipe| pipe.end(TunnelEnd::Lost));
    }

    /// Whether the connection is over.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(super) fn len(&self) -> usize {
        self.lock().pipes.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn begin(&mut self, id: TunnelId) -> Result<Leg, NoLeg> {
        if self.is_closed {
            return Err(NoLeg::Closed);
        }
        if self.pipes.len() >= self.most || self.pipes.contains_key(&id) {
            return Err(NoLeg::Full);
        }
        let window = self.budget.take().ok_or(NoLeg::Full)?;
        let pipe = Arc::new(Pipe::asked(window));
        self.pipes.insert(id, Arc::clone(&pipe));
        Ok(Leg { id, pipe })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_ours_are_even_and_grow() {
        let legs = Legs::new();
        legs.welcome(64, 16 << 20);
        let ids: Vec<u32> = (0..3).map(|_| legs.ask().unwrap().id.0).collect();
        assert_eq!(ids, [0, 2, 4]);
        legs.remove(TunnelId(4));
        assert_eq!(legs.ask().unwrap().id, TunnelId(6));
    }

    #[test]
    fn there_are_no_more_tunnels_than_the_relay_allows_and_none_before_it_said_so() {
        let legs = Legs::new();
        assert_eq!(legs.ask().err(), Some(NoLeg::Full));
        assert!(legs.welcome(2, 16 << 20));
        assert!(!legs.welcome(64, 16 << 20), "what holds was said once");
        let first = legs.ask().unwrap();
        legs.offer(TunnelId(1)).unwrap();
        assert_eq!(legs.ask().err(), Some(NoLeg::Full));
        legs.remove(first.id);
        assert_eq!(
            legs.offer(TunnelId(1)).err(),
            Some(NoLeg::Full),
            "that number is taken"
        );
        assert!(legs.offer(TunnelId(3)).is_ok());
    }

    #[test]
    fn a_connection_that_is_over_gets_no_new_tunnel() {
        let legs = Legs::new();
        legs.welcome(0, 16 << 20);
        legs.ask().unwrap();
        legs.close();
        assert_eq!(legs.ask().err(), Some(NoLeg::Closed));
        assert_eq!(legs.len(), 0);
    }
}
