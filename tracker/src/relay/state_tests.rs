use super::super::{
    counters::Counters,
    outbox::{Hangup, Outbox, Outgoing},
    tunnel::tunnel,
};
use super::*;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use p2p_shared::{
    protocol::{
        relay::{FRAME_COST, MIN_GRANT},
        relay_codec::{IncomingFrame, data_header, decode_frame},
    },
    websocket::{Opcode, Reader, apply_mask, write_head},
};
use std::sync::Arc;

const ANNA: PublicKey = PublicKey([1; 32]);
const BOB: PublicKey = PublicKey([2; 32]);

/// A peer's session and what comes out for it.
struct Side {
    state: SessionState,
    outbox: Outbox,
    outgoing: Outgoing,
    _hangup: Hangup,
}

impl Side {
    fn new(peer: PublicKey, counters: &Arc<Counters>, tunnels: u32) -> Self {
        let (outbox, hangup, outgoing) = Outbox::new(counters);
        let limits = RelayLimits {
            tunnels,
            ..RelayLimits::default()
        };
        Self {
            state: SessionState::new(peer, limits),
            outbox,
            outgoing,
            _hangup: hangup,
        }
    }

    fn says(&mut self, frame: RelayFrame) -> Result<Option<Wish>, EndReason> {
        self.state.on_frame(frame, 0)
    }

    fn sends(&mut self, id: u32, bytes: usize) -> Result<Sent, EndReason> {
        let message = message(TunnelId(id), bytes);
        self.state.on_data(TunnelId(id), bytes, message)
    }

    /// The next thing that the peer is sent, if there is one: a frame, or how many bytes on which leg.
    fn hears(&mut self) -> Option<Result<RelayFrame, (TunnelId, usize)>> {
        let Ok(mut bytes) = self.outgoing.next().now_or_never()??;
        let message = Reader::of_server(100_000).read(&mut bytes).unwrap().unwrap();
        Some(match decode_frame(message.payload()).unwrap() {
            IncomingFrame::Frame(frame) => Ok(frame),
            IncomingFrame::Data { tunnel, bytes } => Err((tunnel, bytes.len())),
        })
    }
}

/// A data message as it comes from a client.
fn message(tunnel: TunnelId, bytes: usize) -> Message {
    let mut payload = [&data_header(tunnel)[..], &vec![7; bytes]].concat();
    apply_mask([1, 2, 3, 4], &mut payload);
    let mut frame = Vec::new();
    write_head(Opcode::Binary, payload.len(), Some([1, 2, 3, 4]), &mut frame);
    frame.extend(payload);
    let mut frame = Bytes::from(frame);
    Reader::of_client(100_000).read(&mut frame).unwrap().unwrap()
}

/// Anna and Bob; she has asked for tunnel 4 and granted 5,000 bytes, he has been asked as 1 and has not answered.
fn asked() -> (Side, Side) {
    let counters = Arc::default();
    let (mut anna, mut bob) = (Side::new(ANNA, &counters, 2), Side::new(BOB, &counters, 2));
    let open = RelayFrame::Open {
        tunnel: TunnelId(4),
        peer: BOB,
        credit: 5000,
    };
    assert!(matches!(anna.says(open), Ok(Some(Wish::Open { .. }))));
    let near = (TunnelId(4), anna.outbox.clone());
    let far = (TunnelId(1), bob.outbox.clone());
    let (near, far) = tunnel(&counters, near, far, 5000).unwrap();
    assert!(anna.state.on_looked_up(TunnelId(4)));
    anna.state.on_introduced(near, None);
    assert!(bob.state.on_offer(far).is_ok_and(|id| id == TunnelId(1)));
    (anna, bob)
}

/// The same when Bob has said yes and granted 1,000.
fn open() -> (Side, Side) {
    let (mut anna, mut bob) = asked();
    let (tunnel, credit) = (TunnelId(1), 1000 + FRAME_COST);
    assert_eq!(bob.says(RelayFrame::Opened { tunnel, credit }), Ok(None));
    let tunnel = TunnelId(4);
    assert_eq!(anna.hears(), Some(Ok(RelayFrame::Opened { tunnel, credit })));
    (anna, bob)
}

#[test]
fn bytes_go_both_ways_under_the_number_of_each_leg() {
    let (mut anna, mut bob) = open();
    assert_eq!(anna.sends(4, 1000), Ok(Sent::Forwarded(1000)));
    assert_eq!(bob.hears(), Some(Err((TunnelId(1), 1000))));
    assert_eq!(bob.sends(1, 70), Ok(Sent::Forwarded(70)));
    assert_eq!(anna.hears(), Some(Err((TunnelId(4), 70))));
}

#[test]
fn more_than_was_granted_is_not_passed_on() {
    let (mut anna, mut bob) = open();
    assert_eq!(anna.sends(4, 1001), Err(EndReason::CreditExceeded));
    assert_eq!(bob.hears(), None);
    let more = RelayFrame::Credit {
        tunnel: TunnelId(1),
        bytes: MIN_GRANT,
    };
    assert_eq!(bob.says(more), Ok(None));
    assert!(matches!(anna.hears(), Some(Ok(RelayFrame::Credit { .. }))));
    assert_eq!(anna.sends(4, 1001), Ok(Sent::Forwarded(1001)));
}

#[test]
fn nothing_is_sent_before_the_answer() {
    let (mut anna, mut bob) = asked();
    assert_eq!(anna.sends(4, 1), Err(EndReason::CreditExceeded));
    assert_eq!(bob.sends(1, 1), Err(EndReason::WrongTunnel));
}

#[test]
fn while_the_other_peer_is_looked_for_a_tunnel_can_be_closed_and_nothing_else() {
    let ask = |id| RelayFrame::Open {
        tunnel: TunnelId(id),
        peer: BOB,
        credit: 0,
    };
    let (mut anna, _bob) = open();
    anna.says(ask(6)).unwrap();
    assert_eq!(anna.sends(6, 1), Err(EndReason::CreditExceeded));
    let (tunnel, bytes, reason) = (TunnelId(6), MIN_GRANT, CloseReason::Done);
    let granted = anna.says(RelayFrame::Credit { tunnel, bytes });
    assert_eq!(granted, Err(EndReason::WrongTunnel));
    assert_eq!(anna.says(RelayFrame::Close { tunnel, reason }), Ok(None));
    assert!(!anna.state.on_looked_up(tunnel), "it is not wanted any more");
}

#[test]
fn grants_that_are_none_are_refused() {
    for bytes in [0, MIN_GRANT - 1, MAX_CREDIT] {
        let (_anna, mut bob) = open();
        let tunnel = TunnelId(1);
        let granted = bob.says(RelayFrame::Credit { tunnel, bytes });
        assert_eq!(granted, Err(EndReason::CreditRefused), "{bytes}");
    }
    let (mut anna, _bob) = open();
    let open = RelayFrame::Open {
        tunnel: TunnelId(6),
        peer: BOB,
        credit: MAX_CREDIT + 1,
    };
    assert_eq!(anna.says(open), Err(EndReason::CreditRefused));
}

#[test]
fn numbers_that_nobody_gave_are_refused_and_those_of_closed_tunnels_ignored() {
    let (mut anna, mut bob) = open();
    for wrong in [6, 3] {
        assert_eq!(anna.sends(wrong, 1), Err(EndReason::WrongTunnel), "{wrong}");
    }
    for taken in [4, 2, 1] {
        let open = RelayFrame::Open {
            tunnel: TunnelId(taken),
            peer: BOB,
            credit: 0,
        };
        assert_eq!(anna.says(open), Err(EndReason::WrongTunnel), "{taken}");
    }
    let (tunnel, reason) = (TunnelId(4), CloseReason::Done);
    assert_eq!(anna.says(RelayFrame::Close { tunnel, reason }), Ok(None));
    assert_eq!(anna.sends(4, 1), Ok(Sent::TooLate));
    assert_eq!(bob.sends(1, 1), Ok(Sent::TooLate), "his bytes crossed the close");
    let tunnel = TunnelId(1);
    assert_eq!(bob.hears(), Some(Ok(RelayFrame::Close { tunnel, reason })));
    assert_eq!(anna.hears(), None, "who closed is not told");
}

#[test]
fn an_answer_is_given_once_and_by_who_was_asked() {
    let (mut anna, mut bob) = open();
    let opened = |tunnel| RelayFrame::Opened {
        tunnel: TunnelId(tunnel),
        credit: 0,
    };
    assert_eq!(anna.says(opened(4)), Err(EndReason::WrongTunnel));
    assert_eq!(bob.says(opened(1)), Err(EndReason::WrongTunnel));
    let (mut anna, mut bob) = asked();
    let (tunnel, reason) = (TunnelId(1), RefuseReason::Offline);
    assert_eq!(bob.says(RelayFrame::Refused { tunnel, reason }), Ok(None));
    let (tunnel, reason) = (TunnelId(4), RefuseReason::Declined);
    assert_eq!(anna.hears(), Some(Ok(RelayFrame::Refused { tunnel, reason })));
    assert_eq!(anna.hears(), None);
}

#[test]
fn a_peer_has_as_many_tunnels_as_it_may_and_those_that_are_over_do_not_count() {
    let (mut anna, mut bob) = open();
    let ask = |id| RelayFrame::Open {
        tunnel: TunnelId(id),
        peer: BOB,
        credit: 0,
    };
    assert!(matches!(anna.says(ask(6)), Ok(Some(Wish::Open { .. }))));
    let (tunnel, reason) = (TunnelId(8), RefuseReason::Busy);
    let busy = Wish::Answer(RelayFrame::Refused { tunnel, reason });
    assert_eq!(anna.says(ask(8)), Ok(Some(busy)));
    bob.state.on_end(EndReason::Silent);
    assert!(matches!(anna.says(ask(10)), Ok(Some(Wish::Open { .. }))));
}

#[test]
fn a_session_that_ends_or_crashes_closes_its_tunnels() {
    for (end, told) in [
        (Some(EndReason::Silent), CloseReason::Gone),
        (Some(EndReason::CreditExceeded), CloseReason::Misbehaved),
        (None, CloseReason::Gone),
    ] {
        let (mut anna, mut bob) = open();
        anna.sends(4, 10).unwrap();
        match end {
            Some(reason) => anna.state.on_end(reason),
            None => drop(anna),
        }
        assert_eq!(
            bob.hears(),
            Some(Err((TunnelId(1), 10))),
            "what was sent arrives first"
        );
        let (tunnel, reason) = (TunnelId(1), told);
        assert_eq!(bob.hears(), Some(Ok(RelayFrame::Close { tunnel, reason })));
    }
}

#[test]
fn nobody_tunnels_or_signals_to_themselves_and_only_the_relay_says_what_relays_say() {
    let (mut anna, _bob) = open();
    let (tunnel, reason) = (TunnelId(6), RefuseReason::Yourself);
    let open = RelayFrame::Open {
        tunnel,
        peer: ANNA,
        credit: 0,
    };
    let refused = Wish::Answer(RelayFrame::Refused { tunnel, reason });
    assert_eq!(anna.says(open), Ok(Some(refused)));
    let bytes = vec![1];
    let signal = anna.says(RelayFrame::Signal { peer: ANNA, bytes });
    let undelivered = Wish::Answer(RelayFrame::Undelivered { peer: ANNA });
    assert_eq!(signal, Ok(Some(undelivered)));
    for frame in [
        RelayFrame::Undelivered { peer: BOB },
        RelayFrame::GoingAway { elsewhere: None },
        RelayFrame::Welcome {
            tunnels: 1,
            waiting: 1,
        },
    ] {
        assert_eq!(anna.says(frame), Err(EndReason::Malformed));
    }
}

#[test]
fn signals_that_come_too_fast_are_not_passed_on() {
    let (mut anna, _bob) = open();
    let signal = || RelayFrame::Signal {
        peer: BOB,
        bytes: vec![1],
    };
    let passed = (0..1000).filter(|_| matches!(anna.says(signal()), Ok(Some(Wish::Signal { .. }))));
    assert_eq!(passed.count() as u64, SIGNALS + 1);
}

#[test]
fn when_the_relay_stops_no_tunnel_begins() {
    let (mut anna, _bob) = open();
    anna.state.on_going_away();
    let (tunnel, reason) = (TunnelId(6), RefuseReason::GoingAway);
    let open = RelayFrame::Open {
        tunnel,
        peer: BOB,
        credit: 0,
    };
    let refused = Wish::Answer(RelayFrame::Refused { tunnel, reason });
    assert_eq!(anna.says(open), Ok(Some(refused)));
    assert!(!anna.state.is_idle());
    let (tunnel, reason) = (TunnelId(4), CloseReason::Done);
    anna.says(RelayFrame::Close { tunnel, reason }).unwrap();
    assert!(anna.state.is_idle());
}

#[test]
fn a_month_that_is_used_up_ends_the_tunnel_for_both() {
    let (mut anna, mut bob) = open();
    anna.state.on_used_up(TunnelId(4));
    let reason = CloseReason::Quota;
    for (side, tunnel) in [(&mut anna, TunnelId(4)), (&mut bob, TunnelId(1))] {
        assert_eq!(side.hears(), Some(Ok(RelayFrame::Close { tunnel, reason })));
    }
}
