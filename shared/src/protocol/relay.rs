//! The frames between a peer and a relay, and the bounds that hold for each of them.
//!
//! Both directions speak the same frames, one a binary WebSocket message, under the subprotocol [`SUBPROTOCOL`]. A variant's
//! position is its type byte: new ones go to the end, none is ever moved. Bytes of a tunnel are no variant but type
//! [`DATA`](super::relay_codec::DATA), a fixed header and then the bytes, so that a relay passes them on without decoding them.
//!
//! **Tunnels.** A tunnel is a duplex of bytes between two peers, through the relay. Each of its two legs has a number of
//! its own: even ones are given by the peer that opens, odd ones by the relay that announces; each is used once
//! on a connection, and those of the peer grow. `Open` says who is wanted (to the relay) or who wants (from the relay); the answer is `Opened` or
//! `Refused`; `Close` ends it, and nothing comes after it.
//!
//! **Credit.** Whoever wants bytes says how many: `Open` and `Opened` with the first grant, `Credit` with each further one. A
//! data frame uses up its bytes and [`FRAME_COST`] more, so that many small frames are no way around the bound. More than was
//! granted is never sent: the relay ends the connection of who does. So the relay never holds more for a tunnel than its
//! reader asked for, and no reader can hold up another one. A grant that would leave more than [`MAX_CREDIT`] open, or one below
//! [`MIN_GRANT`], is a violation, too.
//!
//! **Signals** carry what two peers want to tell each other without a tunnel (candidates for a direct path), sealed for the receiver. They may get
//! lost; one that found nobody is answered by `Undelivered`.
//!
//! The relay ends a connection with a WebSocket close frame whose code says why ([`EndReason`]).

use super::peer::{OutOfBounds, at_most, within};
use crate::id::PublicKey;
use bincode::{Decode, Encode};

/// The WebSocket subprotocol: these frames, in this version.
pub const SUBPROTOCOL: &str = "p2p-relay.1";

/// Bytes in one data frame: large enough that headers and system calls do not count, small enough that tunnels take turns. A little
/// more than 64 KiB, so that a sealed chunk of 256 KiB with its headers is four frames and not four and a tiny one.
pub const MAX_DATA: usize = 64 * 1024 + 64;

/// What a data frame uses up of the credit beside its bytes: its headers (up to 15 bytes), and what it costs to keep it (a place
/// in a queue, and the least that is allocated).
pub const FRAME_COST: u32 = 64;

/// What is granted for one direction of a tunnel to begin with, at most: 10 MiB/s at 100 ms.
pub const FIRST_CREDIT: u32 = 1024 * 1024;

/// What may be granted for one direction of a tunnel at a time, to a sender whose bytes are read as they come: 40 MiB/s at 100 ms.
pub const MAX_CREDIT: u32 = 4 * FIRST_CREDIT;

/// The smallest grant, the first one excepted: a sender is not to be flooded with grants of single bytes.
pub const MIN_GRANT: u32 = 1024;

/// Bytes in a signal: some sixteen candidates, sealed.
pub const MAX_SIGNAL: usize = 4096;

/// Bytes of the URL of another relay.
pub const MAX_URL: usize = 256;

/// One leg of a tunnel, on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TunnelId(pub u32);

impl TunnelId {
    /// Whether the peer's end gave this number, and not the relay.
    pub fn is_of_peer(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

/// A frame that is no data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum RelayFrame {
    /// To the relay: "I want to talk to this peer." From the relay: "this peer wants to talk to you."
    Open {
        /// The new leg.
        tunnel: TunnelId,
        /// The peer at the other end.
        peer: PublicKey,
        /// So much may be sent to who wants it, at most [`MAX_CREDIT`].
        credit: u32,
    },
    /// "Yes."
    Opened {
        /// The leg that was opened.
        tunnel: TunnelId,
        /// So much may be sent to who says yes, at most [`MAX_CREDIT`].
        credit: u32,
    },
    /// "No." The leg is gone.
    Refused {
        /// The leg that was not opened.
        tunnel: TunnelId,
        /// Why.
        reason: RefuseReason,
    },
    /// "You may send me so much more."
    Credit {
        /// On this leg.
        tunnel: TunnelId,
        /// [`MIN_GRANT`] to [`MAX_CREDIT`] bytes.
        bytes: u32,
    },
    /// The tunnel is over; what was sent before has arrived before. The leg is gone.
    Close {
        /// The leg.
        tunnel: TunnelId,
        /// Why.
        reason: CloseReason,
    },
    /// To the relay: "pass this on." From the relay: "this was for you."
    Signal {
        /// The peer at the other end.
        peer: PublicKey,
        /// At most [`MAX_SIGNAL`] bytes, sealed for the receiver.
        bytes: Vec<u8>,
    },
    /// A signal found nobody, or came too fast.
    Undelivered {
        /// Whom it was for.
        peer: PublicKey,
    },
    /// The relay stops: no new tunnels, and the present ones last for some seconds only.
    GoingAway {
        /// Another relay, if this one knows one: a URL of at most [`MAX_URL`] bytes.
        elsewhere: Option<String>,
    },
    /// The relay's first frame.
    Welcome {
        /// How many tunnels this peer may have.
        tunnels: u32,
        /// How many bytes may wait to be read by this peer, over all tunnels. One that lets more wait is gone.
        waiting: u32,
    },
}

/// Why a tunnel was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum RefuseReason {
    /// The peer is not connected to this relay.
    Offline,
    /// A peer does not tunnel to itself.
    Yourself,
    /// One of the two has as many tunnels as it may, or more to do than it manages.
    Busy,
    /// The peer said no.
    Declined,
    /// What this API key may relay in a month is used up.
    Quota,
    /// The relay stops.
    GoingAway,
}

/// Why a tunnel is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum CloseReason {
    /// The other end is through with it.
    Done,
    /// The other end is not connected any more.
    Gone,
    /// The other end broke the rules of the relay.
    Misbehaved,
    /// What this API key may relay in a month is used up.
    Quota,
    /// The relay stops.
    GoingAway,
}

/// Why the relay ends a connection: the code of its WebSocket close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The peer closed it.
    Closed,
    /// The relay stops.
    GoingAway,
    /// Not WebSocket, or no frame of ours: unknown type, cut off, out of bounds, in parts, without mask.
    Malformed,
    /// A text message.
    Text,
    /// A message longer than the longest frame.
    TooLong,
    /// A fault of the relay.
    Fault,
    /// The same peer connected again.
    Replaced,
    /// The peer's registration is over: it registers again, and connects with its new token.
    LeaseOver,
    /// More data than was granted.
    CreditExceeded,
    /// More credit than may be granted, or in too small pieces.
    CreditRefused,
    /// A tunnel number that is not the peer's to give, or was given before.
    WrongTunnel,
    /// The peer does not read what is sent to it.
    Stalled,
    /// Nothing was heard of the peer.
    Silent,
    /// The API key that let the peer in has expired or was revoked.
    KeyOver,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Closed,
        Self::GoingAway,
        Self::Malformed,
        Self::Text,
        Self::TooLong,
        Self::Fault,
        Self::Replaced,
        Self::LeaseOver,
        Self::CreditExceeded,
        Self::CreditRefused,
        Self::WrongTunnel,
        Self::Stalled,
        Self::Silent,
        Self::KeyOver,
    ];

    /// The code: of RFC 6455 section 7.4.1 where one fits, else a private one.
    pub fn code(self) -> u16 {
        match self {
            Self::Closed => 1000,
            Self::GoingAway => 1001,
            Self::Malformed => 1002,
            Self::Text => 1003,
            Self::TooLong => 1009,
            Self::Fault => 1011,
            Self::Replaced => 4000,
            Self::LeaseOver => 4001,
            Self::CreditExceeded => 4002,
            Self::CreditRefused => 4003,
            Self::WrongTunnel => 4004,
            Self::Stalled => 4005,
            Self::Silent => 4006,
            Self::KeyOver => 4007,
        }
    }

    /// The reason with this code.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name under which it is counted and told to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::GoingAway => "going-away",
            Self::Malformed => "malformed",
            Self::Text => "text",
            Self::TooLong => "too-long",
            Self::Fault => "fault",
            Self::Replaced => "replaced",
            Self::LeaseOver => "lease-over",
            Self::CreditExceeded => "credit-exceeded",
            Self::CreditRefused => "credit-refused",
            Self::WrongTunnel => "wrong-tunnel",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
            Self::KeyOver => "key-over",
        }
    }
}

impl RefuseReason {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Yourself => "yourself",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::Quota => "quota",
            Self::GoingAway => "going-away",
        }
    }
}

impl RelayFrame {
    /// Whether every field keeps the bounds of the protocol; holds for what is sent and for what is received. (How large a
    /// grant may be depends on the tunnel: see [`MIN_GRANT`], [`MAX_CREDIT`].)
    pub fn check(&self) -> Result<(), OutOfBounds> {
        match self {
            Self::Signal { bytes, .. } => {
                within("bytes in a signal", bytes.len() as u64, 1, MAX_SIGNAL as u64)
            }
            Self::GoingAway { elsewhere: Some(url) } => {
                at_most("bytes in a relay's URL", url.len() as u64, MAX_URL as u64)
            }
            _ => Ok(()),
        }
    }
}
