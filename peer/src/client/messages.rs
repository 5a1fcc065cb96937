//! What the TrackerClient accepts.

use super::{
    CallError, TrackerUrl,
    state::{AnnounceCall, Announcement},
};
use crate::metrics::PunchRounds;
use actix::Message;
use p2p_shared::{
    id::FileHash,
    tracker_api::{AnnounceResponse, HeartbeatResponse, RegisterResponse},
};
use std::{collections::HashMap, net::SocketAddr, sync::Arc};

/// What the trackers shall know. Kept beside the actor, so that a rebuilt one finds it again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) trackers: HashMap<TrackerUrl, Wish>,
    /// The last token of each that turned out to be worth nothing.
    pub(crate) lost: HashMap<TrackerUrl, Arc<str>>,
}

/// What one tracker shall know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Registered there even with nothing to announce.
    pub(crate) configured: bool,
    pub(crate) files: HashMap<FileHash, Arc<Announcement>>,
}

/// Look at [`Wanted`] again, and at the clock.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Reconcile;

/// Say goodbye to every tracker, and nothing more afterwards. Answered when that is done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Leave;

/// What a tracker was told of this peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Where it can be reached.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How its rounds of hole punching had ended until then.
    pub(crate) rounds: PunchRounds,
}

/// A call came back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CallReturned {
    pub(crate) tracker: TrackerUrl,
    pub(crate) outcome: Outcome,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Register {
        epoch: u64,
        /// The addresses that went with it.
        told: Vec<SocketAddr>,
        result: Result<RegisterResponse, CallError>,
    },
    Heartbeat {
        epoch: u64,
        /// What the tracker knows if it was heard.
        told: Known,
        result: Result<HeartbeatResponse, CallError>,
    },
    Announce {
        call: AnnounceCall,
        result: Result<AnnounceResponse, CallError>,
    },
}
