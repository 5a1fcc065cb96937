//! From a greeted connection to a running session.

use super::{
    actor::PeerSession,
    close::CloseReason,
    farewell::Farewell,
    handle::{About, SessionHandle},
    news::SessionNews,
    state::SessionState,
    tasks::{Ends, Tasks, stream_of},
    traffic::Traffic,
};
use crate::{
    connection::state::{Dialler, SessionId},
    p2p::{greeting::Greeted, shelf::Shelf, wire::Record},
    storage::BufferPool,
};
use actix::StreamHandler;
use p2p_shared::supervision::spawn_life;
use std::{collections::HashMap, net::SocketAddr, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// Reports that wait for the table of connections, before the peer is found to name too much.
const REPORTS: usize = 1024;

/// What every session of a peer works with.
#[derive(Clone)]
pub struct SessionParts {
    /// What is served.
    pub shelf: Arc<dyn Shelf>,
    /// Buffers for chunks that are served. Not those for chunks that come in: peers that read slowly must not keep others
    /// from being fetched from.
    pub serving: BufferPool,
    /// Sessions that are saying goodbye.
    pub goodbyes: TaskTracker,
}

/// A session that was started.
pub struct Started {
    /// The way to it.
    pub session: SessionHandle,
    /// What it reports about the peer.
    pub reports: mpsc::Receiver<SessionNews>,
    /// How it ended, once it did.
    pub closed: oneshot::Receiver<CloseReason>,
}

/// Starts a session over a greeted connection, on the actors' thread.
///
/// # Panics
/// Outside of a `LocalSet` (the thread of a [`system`](p2p_shared::supervision::system)).
pub fn start(greeted: Greeted, session: SessionId, dialler: Dialler, parts: &SessionParts) -> Started {
    let about = Arc::new(About {
        session,
        peer: greeted.remote,
        dialler,
        path: greeted.path,
        address: greeted.address,
        relay: greeted.relay.clone(),
        listen: listening(&greeted.hello.listen, greeted.address),
        agent: greeted.hello.agent.clone(),
    });
    let traffic = Arc::new(Traffic::by(about.path));
    let (tasks, streams) = Tasks::start(greeted, parts, Arc::clone(&traffic));
    let (reports, reported) = mpsc::channel(REPORTS);
    let (closed, on_closed) = oneshot::channel();
    let actor = PeerSession {
        about: Arc::clone(&about),
        state: SessionState::new(tokio::time::Instant::now().into_std()),
        tasks,
        shelf: Arc::clone(&parts.shelf),
        opened: HashMap::new(),
        farewell: Farewell::new(&about, closed),
        reports,
        traffic,
        stalled: streams.stalled,
        owing: streams.owing,
        heard: streams.heard,
        ticked: None,
    };
    let (address, life) = spawn_life(64, |ctx| {
        <PeerSession as StreamHandler<Ends>>::add_stream(stream_of(streams.ends), ctx);
        <PeerSession as StreamHandler<Result<Record, CloseReason>>>::add_stream(
            stream_of(streams.records),
            ctx,
        );
        actor
    });
    // How it ends is told by its farewell; a panic is in the log already.
    drop(life);
    Started {
        session: SessionHandle { address, about },
        reports: reported,
        closed: on_closed,
    }
}

/// Where the peer listens: "here" (an unspecified address) is where we see it.
fn listening(said: &[SocketAddr], seen: Option<SocketAddr>) -> Vec<SocketAddr> {
    let usable = said.iter().filter(|address| address.port() != 0);
    let known = usable.filter_map(|address| match (address.ip().is_unspecified(), seen) {
        (false, _) => Some(*address),
        (true, Some(seen)) => Some(SocketAddr::new(seen.ip(), address.port())),
        (true, None) => None,
    });
    known.collect()
}
