//! The doctor: what a peer finds of the network around it, in words that say what to do.
//!
//! Runs inside a peer, for it asks with what the peer itself uses: its UDP port, its registrations, its relays, its proxy. Promises that
//! everything is asked at the same time and is told as soon as it is known ([`Event::Check`]), that nothing takes longer than [`LIMIT`], and that
//! nothing is changed: no other registration is made, nothing is announced. What follows from what was found is decided in
//! [`verdict`], which is pure.

mod clock;
mod finding;
mod local;
mod relays;
mod trackers;
mod udp;
pub mod verdict;

pub use finding::{Check, Finding, State};
pub use verdict::{Reach, Verdict};

use crate::{
    client::{ClientStatus, TrackerClientHandle, TrackerUrl},
    connection::Policy,
    event::{Event, EventSink},
    operation::DoctorRequest,
    proxy::Proxies,
    relay::RelayHandle,
    udp::{StunServer, UdpHandle},
};
use futures_util::future::join_all;
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, timeout_at};
use verdict::{Found, Standing};

/// How long all of it may take. A person waits.
const LIMIT: Duration = Duration::from_millis(5500);

/// How long registrations are waited for: what is asked by means of them needs the rest.
const REGISTRATIONS: Duration = Duration::from_millis(2500);

/// What the doctor looks at a peer through.
pub(crate) struct Instruments {
    /// Where the listener is bound.
    pub(crate) listen: SocketAddr,
    pub(crate) client: TrackerClientHandle,
    pub(crate) relays: RelayHandle,
    pub(crate) udp: UdpHandle,
    /// STUN servers beside the trackers.
    pub(crate) stun: Vec<StunServer>,
    pub(crate) proxies: Proxies,
    /// How this peer may reach others.
    pub(crate) policy: Policy,
}

/// One examination.
struct Examination<'a> {
    with: &'a Instruments,
    /// Every tracker in use, and those that were named for this.
    trackers: Vec<TrackerUrl>,
    sink: &'a EventSink,
    /// When registrations are no longer waited for.
    registered: Instant,
    /// When nothing is.
    end: Instant,
}

/// Looks at everything; each finding goes to `sink` as it is known.
pub(crate) async fn examine(with: &Instruments, request: &DoctorRequest, sink: &EventSink) -> Verdict {
    let now = Instant::now();
    let examination = Examination {
        with,
        trackers: trackers(&with.client, request),
        sink,
        registered: now + REGISTRATIONS,
        end: now + LIMIT,
    };
    let found = examination.run(request).await;
    verdict::of(&found)
}

/// In the order of their addresses, each once.
fn trackers(client: &TrackerClientHandle, request: &DoctorRequest) -> Vec<TrackerUrl> {
    let mut all = client.configured();
    all.extend(client.status().borrow().trackers.keys().cloned());
    all.extend(request.trackers.iter().cloned());
    all.sort();
    all.dedup();
    all
}

impl Examination<'_> {
    async fn run(&self, request: &DoctorRequest) -> Found {
        let each_tracker = join_all(self.trackers.iter().map(|tracker| async {
            let standing = self.tracker(tracker).await;
            let relay = match standing {
                Standing::Registered => self.relay_of(tracker).await,
                _ => false,
            };
            (standing, relay)
        }));
        let (ipv6, listening, _, trackers, udp) = tokio::join!(
            self.addresses(),
            self.listener(request.daemon_listens),
            self.proxy(),
            each_tracker,
            self.udp()
        );
        Found {
            relay: trackers.iter().any(|(_, relay)| *relay),
            trackers: trackers.into_iter().map(|(standing, _)| standing).collect(),
            nat: udp.nat,
            is_open: listening && udp.is_open,
            is_mapped: udp.is_mapped,
            has_ipv6: ipv6,
            policy: self.with.policy,
        }
    }

    fn tell(&self, finding: Finding) {
        self.sink.send(Event::Check(finding));
    }

    /// Waits until all of `trackers` have said whether this peer is registered there, or no longer.
    async fn settled(&self, trackers: &[TrackerUrl]) -> ClientStatus {
        let mut status = self.with.client.status();
        let said = |status: &ClientStatus, tracker: &TrackerUrl| {
            let known = status.trackers.get(tracker);
            known.is_some_and(|known| known.is_registered() || known.error.is_some())
        };
        let settled = status.wait_for(|status| trackers.iter().all(|tracker| said(status, tracker)));
        // Whether settled or out of patience: what is known now is the answer.
        let _known_by_now = timeout_at(self.registered, settled).await.is_ok();
        status.borrow().clone()
    }
}
