//! Where others may find our UDP port.
//!
//! Promises that what is found is whole as soon as somebody outside was asked, or nobody is left who could be; that it is looked
//! anew before NATs forget us, within [`GLANCE`] after our own addresses changed, and when a tracker registered us. What of it is
//! a move is decided in [`super::moves`]. Decides nothing about paths.

use super::{moves::Places, punching::PunchParts};
use crate::{
    client::{ClientStatus, TrackerStatus, addresses::reachable},
    relay::RelayHandle,
    udp::{StunServer, mapping::MappingStatus},
};
use p2p_shared::holepunch::candidate::{Candidate, CandidateKind};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// How often servers are asked; NATs forget a mapping that is not used within half a minute.
const LOOK: Duration = Duration::from_secs(25);
/// How often our own addresses are looked at, which costs a question to the system.
const GLANCE: Duration = Duration::from_secs(3);

/// Where others may find us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// Each once, in an order of its own.
    pub candidates: Arc<[Candidate]>,
    /// A server outside was asked, or there is none to ask: no more is to be expected soon.
    pub is_whole: bool,
    /// How often we had moved.
    pub moves: u64,
}

/// Keeps looking as long as somebody wants to know. When our own addresses are others, connections to relays may hang on one that is gone: they are
/// asked whether they still live.
pub(super) async fn look_around(parts: PunchParts, relays: RelayHandle, found: watch::Sender<Whereabouts>) {
    let mut trackers = parts.client.status();
    let mut own = glance(&parts).await;
    let mut places = Places::default();
    while !found.is_closed() {
        let known = progress(&trackers.borrow_and_update());
        let mut whereabouts = look(&parts).await;
        let has_moved = places.on_look(&whereabouts.candidates, whereabouts.is_whole);
        whereabouts.moves = found.borrow().moves + u64::from(has_moved);
        tracing::debug!(?whereabouts, "where others may find the UDP port");
        found.send_replace(whereabouts);
        // Who registers meanwhile may be asked.
        let more = trackers.wait_for(|status| progress(status) > known);
        tokio::select! {
            more = more => if more.is_err() { return },
            () = moving(&parts, &own) => {},
        }
        let now = glance(&parts).await;
        if now != own {
            tracing::debug!(before = ?own, ?now, "this machine's addresses have changed");
            relays.doubt();
            own = now;
        }
    }
}

/// Waits until our own addresses are others, or it is time for another look anyway.
async fn moving(parts: &PunchParts, own: &[SocketAddr]) {
    let until = Instant::now() + LOOK;
    while Instant::now() < until {
        time::sleep(GLANCE).await;
        if glance(parts).await != own {
            return;
        }
    }
}

/// Our own addresses.
async fn glance(parts: &PunchParts) -> Vec<SocketAddr> {
    let mut own = Vec::new();
    for listen in parts.udp.address().into_iter().flat_map(both_families) {
        own.extend(reachable(listen, &[]).await);
    }
    own
}

/// What makes another look worthwhile: ports that may be asked, and that no tracker is waited for.
fn progress(status: &ClientStatus) -> (usize, bool) {
    let ports = status.trackers.values().map(|tracker| tracker.udp_ports.len());
    (ports.sum(), are_decided(status))
}

/// Whether all trackers, of which there is one at least, have registered us or failed to.
fn are_decided(status: &ClientStatus) -> bool {
    let mut trackers = status.trackers.values();
    let decided = |tracker: &TrackerStatus| tracker.is_registered() || tracker.error.is_some();
    !status.trackers.is_empty() && trackers.all(decided)
}

async fn look(parts: &PunchParts) -> Whereabouts {
    let Some(bound) = parts.udp.address() else {
        return Whereabouts::default();
    };
    let (names, mut servers, are_decided) = {
        let status = parts.client.status();
        let status = status.borrow();
        let servers = status
            .trackers
            .iter()
            .flat_map(|(url, tracker)| StunServer::of_tracker(url, &tracker.udp_ports));
        let servers: Vec<_> = servers.collect();
        let names: Vec<_> = status.trackers.keys().cloned().collect();
        (names, servers, are_decided(&status))
    };
    servers.extend(parts.stun.iter().cloned());
    let is_whole = are_decided || !servers.is_empty();
    let mut candidates = Vec::new();
    for listen in both_families(bound) {
        candidates.extend(reachable(listen, &names).await.into_iter().map(own));
    }
    if let MappingStatus::Mapped(mapped) = &*parts.udp.mapping().borrow() {
        candidates.push(Candidate {
            kind: CandidateKind::Mapped,
            address: mapped.udp,
        });
    }
    let seen = parts.udp.observe(&servers).await;
    candidates.extend(seen.into_iter().flatten().map(|seen| Candidate {
        kind: CandidateKind::Reflexive,
        address: seen.mapped,
    }));
    // Two servers that see the same say it twice.
    candidates.sort_unstable_by_key(|candidate| (candidate.kind as u8, candidate.address));
    candidates.dedup();
    Whereabouts {
        candidates: candidates.into(),
        is_whole,
        moves: 0,
    }
}

/// A socket that is bound to everything is found by IPv4 and by IPv6, if it speaks both.
fn both_families(bound: SocketAddr) -> Vec<SocketAddr> {
    match bound {
        SocketAddr::V6(all) if all.ip().is_unspecified() => {
            vec![bound, (Ipv4Addr::UNSPECIFIED, all.port()).into()]
        }
        _ => vec![SocketAddr::new(bound.ip().to_canonical(), bound.port())],
    }
}

fn own(address: SocketAddr) -> Candidate {
    let kind = match address {
        SocketAddr::V4(_) => CandidateKind::Lan,
        SocketAddr::V6(_) => CandidateKind::Ipv6,
    };
    Candidate { kind, address }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{CallError, TrackerUrl};

    #[test]
    fn a_tracker_is_waited_for_until_it_registered_us_or_failed_to() {
        let mut status = ClientStatus::default();
        assert!(!are_decided(&status), "none is known yet");
        let [one, other] =
            ["http://192.0.2.1", "http://192.0.2.2"].map(|url| url.parse::<TrackerUrl>().unwrap());
        let registered = TrackerStatus {
            token: Some("token".into()),
            udp_ports: vec![1, 2],
            ..TrackerStatus::default()
        };
        let error = CallError::Unreachable {
            tracker: other.clone(),
            reason: "nobody there".to_owned(),
        };
        status.trackers.insert(one, registered);
        status.trackers.insert(other.clone(), TrackerStatus::default());
        assert_eq!(progress(&status), (2, false));
        status.trackers.get_mut(&other).unwrap().error = Some(error);
        assert_eq!(progress(&status), (2, true));
    }
}
