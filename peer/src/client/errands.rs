//! The calls that the actor sends its tasks on: each makes one HTTP call and comes back as one [`CallReturned`].

use super::{
    TrackerUrl,
    actor::Parts,
    calls,
    messages::{CallReturned, Known, Outcome},
    state::{AnnounceCall, Announcement},
};
use crate::metrics;
use p2p_shared::tracker_api::{AnnounceRequest, ChunkHashes, FileMetadata, Have, HeartbeatRequest};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// A goodbye is a courtesy: the lease would run out anyway.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn register(parts: Parts, tracker: TrackerUrl, epoch: u64) -> CallReturned {
    let addresses = reachable(&parts, &tracker).await;
    let (told, port) = (addresses.clone(), parts.told.port());
    let result = calls::register(&parts.http, &tracker, &parts.identity, addresses, port).await;
    let outcome = Outcome::Register { epoch, told, result };
    CallReturned { tracker, outcome }
}

/// `told` is what the tracker was told last; of it only what has changed is said again.
pub(super) async fn heartbeat(
    parts: Parts,
    tracker: TrackerUrl,
    epoch: u64,
    token: Arc<str>,
    told: Known,
) -> CallReturned {
    let addresses = reachable(&parts, &tracker).await;
    let rounds = metrics::punch_rounds();
    let news = HeartbeatRequest {
        addresses: (addresses != told.addresses).then(|| addresses.clone()),
        port: None,
        punches: rounds.since(&told.rounds),
    };
    let peer = parts.identity.peer_id();
    let result = calls::heartbeat(&parts.http, &tracker, peer, &token, &news).await;
    let told = Known { addresses, rounds };
    let outcome = Outcome::Heartbeat { epoch, told, result };
    CallReturned { tracker, outcome }
}

/// `file` is none when it is no longer wanted, that is, for a goodbye.
pub(super) async fn announce(
    parts: Parts,
    tracker: TrackerUrl,
    call: AnnounceCall,
    file: Option<Arc<Announcement>>,
) -> CallReturned {
    let request = announcement(&call, file.as_deref());
    let result = calls::announce(&parts.http, &tracker, &call.token, &request).await;
    let outcome = Outcome::Announce { call, result };
    CallReturned { tracker, outcome }
}

/// Takes leave of `tracker`, if it answers soon.
pub(super) async fn leave(parts: Parts, tracker: TrackerUrl, token: Arc<str>) {
    let goodbye = calls::leave(&parts.http, &tracker, parts.identity.peer_id(), &token);
    match tokio::time::timeout(LEAVE_TIMEOUT, goodbye).await {
        Ok(Ok(())) => tracing::debug!(%tracker, "left"),
        Ok(Err(error)) => tracing::debug!(%tracker, %error, "could not say goodbye"),
        Err(_) => tracing::debug!(%tracker, "no time to say goodbye"),
    }
}

async fn reachable(parts: &Parts, tracker: &TrackerUrl) -> Vec<SocketAddr> {
    parts.told.addresses(std::slice::from_ref(tracker)).await
}

fn announcement(call: &AnnounceCall, file: Option<&Announcement>) -> AnnounceRequest {
    let full = call.full_from.zip(file);
    AnnounceRequest {
        hash: call.hash,
        have: file.map_or(Have::Stopped, |_| call.have),
        file: full.map(|(_, file)| FileMetadata::from(&*file.manifest)),
        chunk_hashes: full.and_then(|(first, file)| {
            let hashes = file.hashes.as_ref()?.get(first as usize..)?;
            Some(ChunkHashes::new(first, hashes))
        }),
    }
}
