//! The way to the relays: which there are, tunnels through them, signals.

use super::{
    RelayAddress, RelayUrl,
    actor::{Parts, RelaySession},
    dial::Dialler,
    legs::NoLeg,
    link::Link,
    messages::{RelayNews, RelayState, RelayStatus, Standing, Wish},
    places::Places,
    tunnel::{Tunnel, TunnelEnd},
};
use crate::client::TrackerClientHandle;
use actix_rt::ArbiterHandle;
use p2p_shared::{
    id::PublicKey,
    protocol::relay::{MAX_SIGNAL, RefuseReason, RelayFrame},
    supervision::{ChildSpec, Handle, Life, Restart, supervise},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// How long a tunnel may take to be opened, the connection to its relay included.
const LIMIT: Duration = Duration::from_secs(10);
/// Relays in use at a time, beside the home relays. Who has few peers behind many relays is not one of ours.
const FOREIGN: usize = 64;

/// The way to the relays. Clones lead to the same ones.
#[derive(Clone)]
pub struct RelayHandle(Arc<Relays>);

pub(super) struct Relays {
    pub(super) client: TrackerClientHandle,
    pub(super) dialler: Arc<Dialler>,
    pub(super) news: mpsc::Sender<RelayNews>,
    pub(super) strangers: Places,
    /// Connections that are saying goodbye.
    pub(super) goodbyes: TaskTracker,
    /// Where actors are started.
    pub(super) actors: ArbiterHandle,
    /// Not shared with any actor; the lock is held for a look at the map only.
    pub(super) sessions: Mutex<Sessions>,
}

#[derive(Default)]
pub(super) struct Sessions {
    of: HashMap<RelayUrl, Session>,
    /// No new ones.
    is_stopped: bool,
}

/// One relay in use.
struct Session {
    handle: Handle<RelaySession>,
    life: Life,
    wish: watch::Sender<Wish>,
    standing: watch::Receiver<Standing>,
}

/// Why there is no tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The relay is not connected.
    #[error("the relay {url} cannot be reached: {why}")]
    Unreachable {
        /// Which relay.
        url: String,
        /// Why not.
        why: String,
    },
    /// The relay, or the other peer, said no; or it ended before it began.
    #[error("{0}")]
    Ended(#[from] TunnelEnd),
    /// There are as many tunnels through this relay as may be, or it takes no new ones.
    #[error("no more tunnels through this relay")]
    Full,
    /// No answer.
    #[error("no answer within {} s", LIMIT.as_secs())]
    TimedOut,
    /// More relays are in use than may be.
    #[error("too many relays are in use")]
    Crowded,
    /// The program ends.
    #[error("the peer is stopping")]
    Stopping,
}

/// Why a signal was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// The relay is not connected.
    #[error("{0}")]
    NotSent(#[from] OpenError),
    /// Nothing, or more than a signal may have.
    #[error("a signal of {0} bytes, not 1 to {MAX_SIGNAL}")]
    Length(usize),
    /// Too much waits to be sent there.
    #[error("too much waits to be sent to this relay")]
    Busy,
}

impl RelayHandle {
    pub(super) fn new(relays: Relays) -> Self {
        Self(Arc::new(relays))
    }

    /// Opens a tunnel to `peer`, which has to be connected to the relay. Connects to the relay if it is not.
    ///
    /// # Errors
    /// Within 10 s, if there is none by then.
    pub async fn open(&self, at: &RelayAddress, peer: PublicKey) -> Result<Tunnel, OpenError> {
        let opening = async {
            let link = self.link(at).await?;
            let asked = link.ask(peer);
            let tunnel = asked.map_err(|why| match why {
                NoLeg::Full => OpenError::Full,
                NoLeg::Closed => TunnelEnd::Lost.into(),
            })?;
            tunnel.opened().await?;
            Ok(tunnel)
        };
        timeout(LIMIT, opening).await.unwrap_or(Err(OpenError::TimedOut))
    }

    /// Says something to `peer` without a tunnel: 1 to [`MAX_SIGNAL`] bytes, sealed. Connects to the relay if it is not. It may get
    /// lost; if nobody is there, that is news.
    pub async fn signal(
        &self,
        at: &RelayAddress,
        peer: PublicKey,
        sealed: Vec<u8>,
    ) -> Result<(), SignalError> {
        if sealed.is_empty() || sealed.len() > MAX_SIGNAL {
            return Err(SignalError::Length(sealed.len()));
        }
        let link = timeout(LIMIT, self.link(at)).await;
        let link = link.unwrap_or(Err(OpenError::TimedOut))?;
        let bytes = sealed;
        if link.try_tell(&RelayFrame::Signal { peer, bytes }) {
            Ok(())
        } else {
            Err(SignalError::Busy)
        }
    }

    /// This machine's addresses have changed: every relay is asked whether it still hears us, and left if it does not answer soon. Its session connects
    /// again.
    pub fn doubt(&self) {
        for session in self.lock().of.values() {
            if let Some(link) = session.standing.borrow().live() {
                link.doubt();
            }
        }
    }

    /// How every relay in use stands, in the order of their addresses.
    pub fn status(&self) -> Vec<RelayStatus> {
        let sessions = self.lock();
        let alive = sessions
            .of
            .iter()
            .filter(|(_, session)| !session.handle.is_over());
        let mut all: Vec<_> = alive.map(|(url, session)| session.status(url)).collect();
        all.sort_by(|one, other| one.url.cmp(&other.url));
        all
    }

    /// Keeps exactly these relays connected; others while they are used.
    pub(super) async fn keep(&self, homes: &[RelayAddress]) {
        for home in homes {
            let session = self.session(home, true).await;
            if let Err(error) = session {
                tracing::debug!(relay = %home, %error, "a home relay is not kept");
            }
        }
        for (url, session) in &self.lock().of {
            if !homes.iter().any(|home| home.url == *url) {
                session
                    .wish
                    .send_if_modified(|wish| std::mem::take(&mut wish.is_home));
            }
        }
    }

    /// Disconnects from all relays, which ends all tunnels, and connects to none again. Returns when the relays were told, or cannot
    /// be in time.
    pub async fn stop(&self, within: Duration) {
        let sessions: Vec<_> = {
            let mut sessions = self.lock();
            sessions.is_stopped = true;
            sessions.of.drain().map(|(_, session)| session).collect()
        };
        let stops = sessions.into_iter().map(|session| session.life.stop(within));
        for outcome in futures_util::future::join_all(stops).await {
            tracing::debug!(?outcome, "a relay's session ended");
        }
        self.0.goodbyes.close();
        // Too late for a goodbye: the relay finds out.
        timeout(within, self.0.goodbyes.wait()).await.ok();
    }

    /// The connection to a relay, made if there is none.
    async fn link(&self, at: &RelayAddress) -> Result<Arc<Link>, OpenError> {
        let found = self.link_of_session(at).await;
        match found {
            // A session that ended just then, because nobody had used it: there will be another one.
            Err(OpenError::Stopping) => self.link_of_session(at).await,
            found => found,
        }
    }

    async fn link_of_session(&self, at: &RelayAddress) -> Result<Arc<Link>, OpenError> {
        let (wish, mut standing) = self.session(at, false).await?;
        let _waiting = Waiting::new(wish);
        let failures = standing.borrow().failures;
        let deadline = Instant::now() + LIMIT;
        let settled = standing.wait_for(|standing| {
            standing.live().is_some() || standing.failures > failures || standing.hopeless(deadline).is_some()
        });
        let standing = settled.await.map_err(|_| OpenError::Stopping)?;
        match (standing.live(), &standing.state) {
            (Some(_), RelayState::GoingAway) => Err(TunnelEnd::Refused(RefuseReason::GoingAway).into()),
            (Some(link), _) => Ok(link),
            (None, state) => Err(OpenError::Unreachable {
                url: at.url.to_string(),
                why: match state {
                    RelayState::BackingOff { why } => why.clone(),
                    _ => "not connected".to_owned(),
                },
            }),
        }
    }

    /// The session with a relay, started if there is none; kept connected from now on, if it `is_home`.
    async fn session(
        &self,
        at: &RelayAddress,
        is_home: bool,
    ) -> Result<(watch::Sender<Wish>, watch::Receiver<Standing>), OpenError> {
        let (relays, at) = (self.clone(), at.clone());
        let (tell, told) = oneshot::channel();
        // On the actors' thread, which is why there is one start at a time.
        self.0.actors.spawn_fn(move || {
            // Nobody waits any more: the session ends by itself when nobody uses it.
            tell.send(relays.session_here(&at, is_home)).ok();
        });
        told.await.unwrap_or(Err(OpenError::Stopping))
    }

    fn session_here(
        &self,
        at: &RelayAddress,
        is_home: bool,
    ) -> Result<(watch::Sender<Wish>, watch::Receiver<Standing>), OpenError> {
        let mut sessions = self.lock();
        if sessions.is_stopped {
            return Err(OpenError::Stopping);
        }
        sessions.of.retain(|_, session| !session.handle.is_over());
        let foreign = sessions
            .of
            .values()
            .filter(|session| !session.wish.borrow().is_home);
        if !is_home && !sessions.of.contains_key(&at.url) && foreign.count() >= FOREIGN {
            return Err(OpenError::Crowded);
        }
        let session = sessions.of.entry(at.url.clone());
        let session = session.or_insert_with(|| self.start(at.url.clone()));
        session.wish.send_modify(|wish| {
            if !wish.trackers.contains(&at.tracker) {
                wish.trackers.push(at.tracker.clone());
            }
            wish.is_home |= is_home;
        });
        Ok((session.wish.clone(), session.standing.clone()))
    }

    fn start(&self, url: RelayUrl) -> Session {
        let (wish, wished) = watch::channel(Wish::default());
        let (publish, standing) = watch::channel(Standing {
            state: RelayState::Unregistered,
            link: None,
            failures: 0,
            paused: None,
        });
        let relays = &self.0;
        let parts = Parts {
            url,
            wish: wished,
            standing: publish,
            client: relays.client.clone(),
            dialler: Arc::clone(&relays.dialler),
            news: relays.news.clone(),
            strangers: relays.strangers.clone(),
            goodbyes: relays.goodbyes.clone(),
        };
        let spec = ChildSpec::new("RelaySession", move |_| RelaySession::new(parts.clone()));
        let (handle, life) = supervise(spec.restart(Restart::Transient));
        Session {
            handle,
            life,
            wish,
            standing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // A panic in between leaves a map that is still a map.
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayHandle")
    }
}

impl Session {
    fn status(&self, url: &RelayUrl) -> RelayStatus {
        let standing = self.standing.borrow();
        let link = standing.link.as_ref();
        let (received, sent) = link.map_or((0, 0), |link| link.bytes());
        RelayStatus {
            url: url.clone(),
            is_home: self.wish.borrow().is_home,
            // One that is over and that the session has not heard of is about to be made anew.
            state: match link {
                Some(link) if link.is_over() => RelayState::Connecting,
                _ => standing.state.clone(),
            },
            rtt: link.and_then(|link| link.rtt()),
            tunnels: link.map_or(0, |link| link.tunnels()),
            received,
            sent,
        }
    }
}

/// Somebody waits for a relay to be connected.
struct Waiting(watch::Sender<Wish>);

impl Waiting {
    fn new(wish: watch::Sender<Wish>) -> Self {
        wish.send_modify(|wish| wish.waiting += 1);
        Self(wish)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0
            .send_modify(|wish| wish.waiting = wish.waiting.saturating_sub(1));
    }
}
