//! What a frame of a peer means: the decisions of a session.
//!
//! Every tunnel of the peer is in the table from when it asks, or is asked, until it is over. A number beyond those that were
//! given is a violation; one that was given and is gone may have crossed a `Close`, and is ignored.

use super::{
    limits::{Rate, RelayLimits},
    share::Taken,
    tunnel::TunnelEnd,
};
use p2p_shared::{
    id::PublicKey,
    protocol::relay::{CloseReason, EndReason, MAX_CREDIT, RefuseReason, RelayFrame, TunnelId},
    websocket::Message,
};
use std::collections::{HashMap, HashSet};

/// Signals a second that a peer may send: candidates change rarely, and a burst of them goes to each peer of a download.
const SIGNALS: u64 = 50;

/// What a session has to do for its peer that it cannot do by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Find this peer and ask it.
    Open {
        tunnel: TunnelId,
        peer: PublicKey,
        credit: u32,
    },
    /// Pass this on.
    Signal { peer: PublicKey, bytes: Vec<u8> },
    /// Answer.
    Answer(RelayFrame),
}

/// What becomes of bytes that were sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many were passed on.
    Forwarded(usize),
    /// The tunnel was over already.
    TooLate,
}

struct Entry {
    end: TunnelEnd,
    /// The peer has been asked and has not answered.
    is_asked: bool,
    /// That it counts among the tunnels of the peer's key, if the peer opened it.
    _taken: Option<Taken>,
}

/// The tunnels of one peer, and what it did so far.
pub(super) struct SessionState {
    peer: PublicKey,
    limits: RelayLimits,
    tunnels: HashMap<TunnelId, Entry>,
    /// Tunnels that were asked for and are not in the table yet: the other peer is being looked for.
    opening: HashSet<TunnelId>,
    /// The next number that the peer may give.
    next_own: u64,
    /// The next number that the peer may not know yet.
    next_other: u64,
    signals: Rate,
    is_going_away: bool,
}

impl SessionState {
    pub(super) fn new(peer: PublicKey, limits: RelayLimits) -> Self {
        Self {
            peer,
            limits,
            tunnels: HashMap::new(),
            opening: HashSet::new(),
            next_own: 0,
            next_other: 1,
            signals: Rate::new(SIGNALS),
            is_going_away: false,
        }
    }

    /// The peer sent a frame that is no data.
    pub(super) fn on_frame(&mut self, frame: RelayFrame, now: u64) -> Result<Option<Wish>, EndReason> {
        match frame {
            RelayFrame::Open { tunnel, peer, credit } => self.on_open(tunnel, peer, credit).map(Some),
            RelayFrame::Opened { tunnel, credit } => self.on_opened(tunnel, credit).map(|()| None),
            RelayFrame::Refused { tunnel, reason } => self.on_refused(tunnel, reason).map(|()| None),
            RelayFrame::Credit { tunnel, bytes } => self.on_credit(tunnel, bytes).map(|()| None),
            RelayFrame::Close { tunnel, .. } => self.on_close(tunnel).map(|()| None),
            RelayFrame::Signal { peer, bytes } => Ok(Some(self.on_signal(peer, bytes, now))),
            // For the relay alone to say.
            RelayFrame::Undelivered { .. } | RelayFrame::GoingAway { .. } | RelayFrame::Welcome { .. } => {
                Err(EndReason::Malformed)
            }
        }
    }

    /// The peer sent `bytes` bytes on a tunnel.
    pub(super) fn on_data(
        &mut self,
        tunnel: TunnelId,
        bytes: usize,
        message: Message,
    ) -> Result<Sent, EndReason> {
        if self.opening.contains(&tunnel) {
            return Err(EndReason::CreditExceeded);
        }
        let Some(entry) = self.live(tunnel)? else {
            return Ok(Sent::TooLate);
        };
        if entry.is_asked {
            return Err(EndReason::WrongTunnel);
        }
        let sent = entry.end.forward(message, bytes);
        sent.map_err(|_| EndReason::CreditExceeded)?;
        Ok(Sent::Forwarded(bytes))
    }

    /// What the peer may relay this month is used up: the tunnel that it was for ends.
    pub(super) fn on_used_up(&mut self, tunnel: TunnelId) {
        if let Some(entry) = self.tunnels.remove(&tunnel) {
            entry.end.close_both(CloseReason::Quota);
        }
    }

    /// Whoever the peer asked for has been looked for. Whether the peer still wants the tunnel.
    pub(super) fn on_looked_up(&mut self, tunnel: TunnelId) -> bool {
        self.opening.remove(&tunnel)
    }

    /// The other peer is there, and this is the tunnel to it; it counts as `taken`.
    pub(super) fn on_introduced(&mut self, end: TunnelEnd, taken: Option<Taken>) {
        let entry = Entry {
            is_asked: false,
            _taken: taken,
            end,
        };
        self.tunnels.insert(entry.end.id(), entry);
    }

    /// Somebody wants to talk to the peer. An error: it has enough to do.
    pub(super) fn on_offer(&mut self, end: TunnelEnd) -> Result<TunnelId, (TunnelEnd, RefuseReason)> {
        if self.is_going_away {
            return Err((end, RefuseReason::GoingAway));
        }
        if !self.has_room() {
            return Err((end, RefuseReason::Busy));
        }
        let id = end.id();
        self.next_other = self.next_other.max(u64::from(id.0) + 2);
        let entry = Entry {
            is_asked: true,
            _taken: None,
            end,
        };
        self.tunnels.insert(id, entry);
        Ok(id)
    }

    /// The peer could not be asked: it has too much waiting.
    pub(super) fn on_not_asked(&mut self, tunnel: TunnelId) {
        if let Some(entry) = self.tunnels.remove(&tunnel) {
            entry.end.refuse(RefuseReason::Busy);
        }
    }

    /// The relay stops.
    pub(super) fn on_going_away(&mut self) {
        self.is_going_away = true;
    }

    /// Tunnels that the other end closed count no more.
    pub(super) fn forget_what_is_over(&mut self) {
        self.tunnels.retain(|_, entry| !entry.end.is_over());
    }

    /// Whether nothing would be lost if the connection ended.
    pub(super) fn is_idle(&mut self) -> bool {
        self.forget_what_is_over();
        self.tunnels.is_empty() && self.opening.is_empty()
    }

    /// The session is over: so are its tunnels.
    pub(super) fn on_end(&mut self, reason: EndReason) {
        let told = match reason {
            EndReason::GoingAway => CloseReason::GoingAway,
            EndReason::Malformed
            | EndReason::Text
            | EndReason::TooLong
            | EndReason::CreditExceeded
            | EndReason::CreditRefused
            | EndReason::WrongTunnel => CloseReason::Misbehaved,
            _ => CloseReason::Gone,
        };
        for (_, entry) in self.tunnels.drain() {
            match reason {
                EndReason::GoingAway => entry.end.close_both(told),
                _ => entry.end.close(told),
            }
        }
    }

    fn on_open(&mut self, tunnel: TunnelId, peer: PublicKey, credit: u32) -> Result<Wish, EndReason> {
        if !tunnel.is_of_peer() || u64::from(tunnel.0) < self.next_own {
            return Err(EndReason::WrongTunnel);
        }
        if credit > MAX_CREDIT {
            return Err(EndReason::CreditRefused);
        }
        self.next_own = u64::from(tunnel.0) + 2;
        let refused = |reason| Ok(Wish::Answer(RelayFrame::Refused { tunnel, reason }));
        if peer == self.peer {
            return refused(RefuseReason::Yourself);
        }
        if self.is_going_away {
            return refused(RefuseReason::GoingAway);
        }
        if !self.has_room() {
            return refused(RefuseReason::Busy);
        }
        self.opening.insert(tunnel);
        Ok(Wish::Open { tunnel, peer, credit })
    }

    fn on_opened(&mut self, tunnel: TunnelId, credit: u32) -> Result<(), EndReason> {
        let Some(entry) = self.live(tunnel)? else {
            return Ok(());
        };
        if !std::mem::take(&mut entry.is_asked) {
            return Err(EndReason::WrongTunnel);
        }
        entry.end.accept(credit).map_err(|_| EndReason::CreditRefused)
    }

    fn on_refused(&mut self, tunnel: TunnelId, reason: RefuseReason) -> Result<(), EndReason> {
        let Some(entry) = self.live(tunnel)? else {
            return Ok(());
        };
        if !entry.is_asked {
            return Err(EndReason::WrongTunnel);
        }
        let said = match reason {
            RefuseReason::Busy | RefuseReason::GoingAway => reason,
            _ => RefuseReason::Declined,
        };
        if let Some(entry) = self.tunnels.remove(&tunnel) {
            entry.end.refuse(said);
        }
        Ok(())
    }

    fn on_credit(&mut self, tunnel: TunnelId, bytes: u32) -> Result<(), EndReason> {
        match self.live(tunnel)? {
            Some(entry) => entry.end.grant(bytes).map_err(|_| EndReason::CreditRefused),
            None => Ok(()),
        }
    }

    fn on_close(&mut self, tunnel: TunnelId) -> Result<(), EndReason> {
        if self.opening.remove(&tunnel) {
            return Ok(());
        }
        if self.live(tunnel)?.is_some()
            && let Some(entry) = self.tunnels.remove(&tunnel)
        {
            entry.end.close(CloseReason::Done);
        }
        Ok(())
    }

    fn on_signal(&mut self, peer: PublicKey, bytes: Vec<u8>, now: u64) -> Wish {
        if self.signals.try_one(now) && peer != self.peer {
            Wish::Signal { peer, bytes }
        } else {
            Wish::Answer(RelayFrame::Undelivered { peer })
        }
    }

    /// A tunnel that is not over. `None`: it was there once.
    fn live(&mut self, tunnel: TunnelId) -> Result<Option<&mut Entry>, EndReason> {
        if self.tunnels.get(&tunnel).is_some_and(|entry| entry.end.is_over()) {
            self.tunnels.remove(&tunnel);
        }
        let end_of_given = if tunnel.is_of_peer() {
            self.next_own
        } else {
            self.next_other
        };
        match self.tunnels.get_mut(&tunnel) {
            None if u64::from(tunnel.0) >= end_of_given || self.opening.contains(&tunnel) => {
                Err(EndReason::WrongTunnel)
            }
            entry => Ok(entry),
        }
    }

    fn has_room(&mut self) -> bool {
        let most = match self.limits.tunnels {
            0 => usize::MAX,
            most => most as usize,
        };
        let count = |state: &Self| state.tunnels.len() + state.opening.len();
        if count(self) >= most {
            self.forget_what_is_over();
        }
        count(self) < most
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
