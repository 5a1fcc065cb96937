//! One tunnel, and its two ends.
//!
//! Each end is held by the session of the peer that is there; bytes go from one session straight into the other peer's outbox.
//! Whoever drops an end without a word (a session that crashes, too) closes the tunnel, so the other peer always hears of it.

use super::{
    counters::{Counted, Counters},
    credit::{BadGrant, Credit, Exceeded},
    outbox::Outbox,
};
use p2p_shared::{
    protocol::{
        relay::{CloseReason, RefuseReason, RelayFrame, TunnelId},
        relay_codec::data_header,
    },
    websocket::Message,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What both ends share.
struct Tunnel {
    legs: [Leg; 2],
    is_over: AtomicBool,
    _counted: Counted,
}

/// The way to the peer at one end.
struct Leg {
    id: TunnelId,
    outbox: Outbox,
    /// What this peer may send into the tunnel.
    may_send: Credit,
}

/// One end of a tunnel.
pub(super) struct TunnelEnd {
    tunnel: Arc<Tunnel>,
    side: usize,
}

/// Makes a tunnel: the end of who opens it, and that of who is asked. The latter may send `credit` bytes.
pub(super) fn tunnel(
    counters: &Arc<Counters>,
    opener: (TunnelId, Outbox),
    asked: (TunnelId, Outbox),
    credit: u32,
) -> Result<(TunnelEnd, TunnelEnd), BadGrant> {
    let leg = |(id, outbox)| Leg {
        id,
        outbox,
        may_send: Credit::default(),
    };
    let legs = [leg(opener), leg(asked)];
    legs[1].may_send.begin(credit)?;
    let tunnel = Arc::new(Tunnel {
        legs,
        is_over: AtomicBool::new(false),
        _counted: Counted::new(Arc::clone(counters), |counters| &counters.tunnels),
    });
    let end = |side| TunnelEnd {
        tunnel: Arc::clone(&tunnel),
        side,
    };
    Ok((end(0), end(1)))
}

impl TunnelEnd {
    /// The number of the leg to the peer at this end.
    pub(super) fn id(&self) -> TunnelId {
        self.near().id
    }

    /// Whether the tunnel is over, which the peer at this end has been told, or told us.
    pub(super) fn is_over(&self) -> bool {
        self.tunnel.is_over.load(Ordering::Acquire)
    }

    /// The peer at this end says yes, and grants its first credit.
    pub(super) fn accept(&self, credit: u32) -> Result<(), BadGrant> {
        let far = self.far();
        far.may_send.begin(credit)?;
        far.outbox.frame(&RelayFrame::Opened {
            tunnel: far.id,
            credit,
        });
        Ok(())
    }

    /// The peer at this end says no, or cannot be asked.
    pub(super) fn refuse(self, reason: RefuseReason) {
        if !self.tunnel.is_over.swap(true, Ordering::AcqRel) {
            let far = self.far();
            let tunnel = far.id;
            far.outbox.frame(&RelayFrame::Refused { tunnel, reason });
        }
    }

    /// The peer at this end grants more. With so many grants that the other peer has too much waiting, the tunnel ends: a grant that
    /// is not told would leave it standing still, and those of many tunnels told would end the other peer's connection.
    pub(super) fn grant(&self, bytes: u32) -> Result<(), BadGrant> {
        let far = self.far();
        far.may_send.grant(bytes)?;
        let tunnel = far.id;
        if !far.outbox.frame_of_other(&RelayFrame::Credit { tunnel, bytes }) {
            self.close_both(CloseReason::Misbehaved);
        }
        Ok(())
    }

    /// The peer at this end sends `bytes` bytes, in this message: passed on as it is, but for the number of the leg.
    pub(super) fn forward(&self, mut message: Message, bytes: usize) -> Result<(), Exceeded> {
        self.near().may_send.spend(bytes)?;
        let far = self.far();
        let header = data_header(far.id);
        message.payload_mut()[..header.len()].copy_from_slice(&header);
        far.outbox.message(message.into_frame());
        Ok(())
    }

    /// Ends the tunnel; the other peer is told why, after everything that was sent to it.
    pub(super) fn close(&self, reason: CloseReason) {
        if !self.tunnel.is_over.swap(true, Ordering::AcqRel) {
            let far = self.far();
            let tunnel = far.id;
            far.outbox.frame_in_order(&RelayFrame::Close { tunnel, reason });
        }
    }

    /// Ends the tunnel and tells both peers why.
    pub(super) fn close_both(&self, reason: CloseReason) {
        if !self.is_over() {
            let near = self.near();
            let tunnel = near.id;
            near.outbox.frame_in_order(&RelayFrame::Close { tunnel, reason });
            self.close(reason);
        }
    }

    fn near(&self) -> &Leg {
        &self.tunnel.legs[self.side]
    }

    fn far(&self) -> &Leg {
        &self.tunnel.legs[1 - self.side]
    }
}

impl Drop for TunnelEnd {
    fn drop(&mut self) {
        self.close(CloseReason::Gone);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::outbox::Hangup, *};
    use futures_util::FutureExt as _;
    use p2p_shared::protocol::relay::{MAX_CREDIT, MIN_GRANT};

    #[test]
    fn a_flood_of_grants_ends_their_tunnels_and_not_the_connection_of_who_gets_them() {
        let counters = Arc::default();
        let (victim, _hangup, _outgoing): (_, Hangup, _) = Outbox::new(&counters);
        let (flooder, _other, _theirs) = Outbox::new(&counters);
        for n in 0..8 {
            let (near, far) = (
                (TunnelId(2 * n), victim.clone()),
                (TunnelId(2 * n + 1), flooder.clone()),
            );
            let (_near, far) = tunnel(&counters, near, far, 0).unwrap();
            for _ in 0..MAX_CREDIT / MIN_GRANT {
                far.grant(MIN_GRANT).unwrap();
            }
            assert!(far.is_over(), "tunnel {n}");
        }
        assert!(victim.broken().now_or_never().is_none());
    }
}
