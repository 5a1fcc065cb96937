//! The relay of a tracker: whether this peer is connected to it, and how far it is.

use super::{Check, Examination, Finding};
use crate::{
    client::TrackerUrl,
    relay::{RelayState, RelayStatus},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often to look whether it is connected by now.
const LOOK: Duration = Duration::from_millis(20);

/// Peers that cannot be dialled are met through it.
const ADVICE: &str = "Without a relay only peers are reached that can be connected to directly. Check that WebSockets get through (a proxy in front of the \
     tracker has to pass /relay on, with its upgrade), and what the tracker's log says.";

impl Examination<'_> {
    /// Whether the relay of `tracker` can be used.
    pub(super) async fn relay_of(&self, tracker: &TrackerUrl) -> bool {
        let status = self.with.client.status();
        let address = status
            .borrow()
            .trackers
            .get(tracker)
            .and_then(|tracker| tracker.relay.clone());
        let Some(address) = address else {
            let missing = Finding::failed(
                Check::Relay,
                format!("tracker {tracker} names no relay that can be used"),
            );
            self.tell(missing.of(tracker).advice(ADVICE));
            return false;
        };
        let relay = loop {
            let relays = self.with.relays.status();
            let relay = relays.into_iter().find(|relay| relay.url == address.url);
            if relay.as_ref().is_some_and(is_settled) || Instant::now() >= self.end {
                break relay;
            }
            sleep(LOOK).await;
        };
        let (usable, finding) = judge(relay.as_ref());
        self.tell(finding.of(&address));
        usable
    }
}

/// Whether there is more to be known by waiting.
fn is_settled(relay: &RelayStatus) -> bool {
    match relay.state {
        RelayState::Connected => relay.rtt.is_some(),
        RelayState::GoingAway | RelayState::BackingOff { .. } => true,
        RelayState::Connecting | RelayState::Unregistered => false,
    }
}

fn judge(relay: Option<&RelayStatus>) -> (bool, Finding) {
    let failed = |why: &str| (false, Finding::failed(Check::Relay, why).advice(ADVICE));
    let Some(relay) = relay else {
        return failed("not connected: no answer in time");
    };
    match &relay.state {
        RelayState::Connected => {
            let away = relay
                .rtt
                .map(|rtt| format!(", {:.1} ms away", rtt.as_secs_f64() * 1000.0));
            let message = format!("connected{}", away.unwrap_or_default());
            (true, Finding::ok(Check::Relay, message).latency(relay.rtt))
        }
        RelayState::GoingAway => {
            let why = "connected, but it is about to stop; this peer connects again when it is back";
            (true, Finding::warning(Check::Relay, why))
        }
        RelayState::BackingOff { why } => failed(&format!("not connected: {why}")),
        RelayState::Connecting => failed("not connected: no answer in time"),
        RelayState::Unregistered => failed("not connected: the registration was lost"),
    }
}
