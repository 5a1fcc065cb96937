//! The TrackerClient actor: carries out what [`TrackerState`] decides, one HTTP call a task, and publishes how each
//! tracker stands.

use super::{
    CallError, TrackerUrl, addresses, calls,
    http::Http,
    messages::{CallReturned, Leave, Outcome, Reconcile, Wanted},
    state::{Action, AnnounceCall, Announcement, Lease, TrackerState},
    status::ClientStatus,
};
use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, ResponseFuture, SpawnHandle,
    WrapFuture as _,
};
use p2p_shared::{
    crypto::identity::Identity,
    id::FileHash,
    tracker_api::{AnnounceRequest, ChunkHashes, FileMetadata, Have},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A goodbye is a courtesy: the lease would run out anyway.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Registers with trackers, keeps the registrations, announces. Its durable state is [`Wanted`], which outlives it.
pub(crate) struct TrackerClient {
    parts: Parts,
    trackers: BTreeMap<TrackerUrl, TrackerState>,
    timer: Option<SpawnHandle>,
    /// Said goodbye: nothing is told any more.
    left: bool,
}

/// What the client works with; kept by its factory to build the next one.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) identity: Arc<Identity>,
    pub(crate) http: Http,
    /// Where the listener is bound.
    pub(crate) listen: SocketAddr,
    pub(crate) wanted: watch::Receiver<Wanted>,
    pub(crate) status: watch::Sender<ClientStatus>,
}

impl TrackerClient {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            trackers: BTreeMap::new(),
            timer: None,
            left: false,
        }
    }

    /// Takes up trackers that are wanted, forgets those that are not, makes the calls that are due, sets the timer.
    fn reconcile(&mut self, ctx: &mut Context<Self>) {
        if self.left {
            return;
        }
        let now = Instant::now();
        let receiver = self.parts.wanted.clone();
        let wanted = receiver.borrow();
        for tracker in wanted.trackers.keys() {
            if !self.trackers.contains_key(tracker) {
                self.trackers.insert(tracker.clone(), TrackerState::new(now));
                self.publish(tracker, |_| ());
            }
        }
        for tracker in self.unwanted(&wanted) {
            self.forget(&tracker);
        }
        let mut calls = Vec::new();
        for (tracker, state) in &mut self.trackers {
            let files = wanted.trackers.get(tracker).map(|wish| &wish.files);
            let Some(files) = files else { continue };
            calls.extend(
                state
                    .poll(now, files)
                    .into_iter()
                    .map(|action| (tracker.clone(), action)),
            );
        }
        for (tracker, action) in calls {
            self.carry_out(tracker, action, &wanted, ctx);
        }
        self.set_timer(now, ctx);
    }

    fn unwanted(&self, wanted: &Wanted) -> Vec<TrackerUrl> {
        let needed = |tracker: &TrackerUrl| {
            let wish = wanted.trackers.get(tracker);
            wish.is_some_and(|wish| wish.configured || !wish.files.is_empty())
        };
        self.trackers
            .keys()
            .filter(|tracker| !needed(tracker))
            .cloned()
            .collect()
    }

    fn forget(&mut self, tracker: &TrackerUrl) {
        let token = self
            .trackers
            .remove(tracker)
            .and_then(|state| state.token().cloned());
        self.parts.status.send_modify(|status| {
            status.trackers.remove(tracker);
        });
        if let Some(token) = token {
            actix_rt::spawn(leave(self.parts.clone(), tracker.clone(), token));
        }
    }

    fn set_timer(&mut self, now: Instant, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let next = self.trackers.values().filter_map(TrackerState::next_wake).min();
        self.timer = next.map(|at| ctx.notify_later(Reconcile, at.saturating_duration_since(now)));
    }

    fn carry_out(&self, tracker: TrackerUrl, action: Action, wanted: &Wanted, ctx: &mut Context<Self>) {
        let parts = self.parts.clone();
        match action {
            Action::Register { epoch } => {
                let call = async move {
                    let addresses = addresses::reachable(parts.listen, std::slice::from_ref(&tracker)).await;
                    let port = parts.listen.port();
                    let result =
                        calls::register(&parts.http, &tracker, &parts.identity, addresses, port).await;
                    CallReturned {
                        tracker,
                        outcome: Outcome::Register { epoch, result },
                    }
                };
                self.start(call, ctx);
            }
            Action::Heartbeat { epoch, token } => {
                let call = async move {
                    let addresses = addresses::reachable(parts.listen, std::slice::from_ref(&tracker)).await;
                    let peer = parts.identity.peer_id();
                    let result = calls::heartbeat(&parts.http, &tracker, peer, &token, Some(addresses)).await;
                    CallReturned {
                        tracker,
                        outcome: Outcome::Heartbeat { epoch, result },
                    }
                };
                self.start(call, ctx);
            }
            Action::Announce(call) => {
                let files = wanted.trackers.get(&tracker).map(|wish| &wish.files);
                let file = files.and_then(|files| files.get(&call.hash)).cloned();
                let call = async move {
                    let request = announcement(&call, file.as_deref());
                    let result = calls::announce(&parts.http, &tracker, &call.token, &request).await;
                    CallReturned {
                        tracker,
                        outcome: Outcome::Announce { call, result },
                    }
                };
                self.start(call, ctx);
            }
        }
    }

    fn start(&self, call: impl Future<Output = CallReturned> + 'static, ctx: &mut Context<Self>) {
        ctx.spawn(call.into_actor(self).map(|returned, _, ctx| ctx.notify(returned)));
    }

    fn on_returned(&mut self, tracker: &TrackerUrl, outcome: Outcome) {
        let (now, chance) = (Instant::now(), chance());
        let Some(state) = self.trackers.get_mut(tracker) else {
            return;
        };
        match outcome {
            Outcome::Register {
                epoch,
                result: Ok(answer),
            } => {
                let lease = Lease {
                    token: answer.token.into(),
                    length: Duration::from_secs(answer.lease.into()),
                };
                state.on_registered(now, epoch, lease);
                self.publish(tracker, |status| {
                    status.observed = Some(answer.observed_address);
                    status.error = None;
                    status.announced.clear();
                });
            }
            Outcome::Heartbeat {
                epoch,
                result: Ok(answer),
            } => {
                state.on_heartbeat(now, epoch, Duration::from_secs(answer.lease.into()));
                self.publish(tracker, |status| status.error = None);
            }
            Outcome::Register {
                epoch,
                result: Err(error),
            }
            | Outcome::Heartbeat {
                epoch,
                result: Err(error),
            } => {
                tracing::warn!(%tracker, %error, "tracker call failed");
                state.on_failed(now, epoch, &error, chance);
                self.publish(tracker, |status| status.error = Some(error));
            }
            Outcome::Announce {
                call,
                result: Ok(answer),
            } => {
                state.on_announced(now, &call, answer, chance);
                self.publish_announced(tracker, &call);
            }
            Outcome::Announce {
                call,
                result: Err(error),
            } => {
                state.on_announce_failed(now, &call, &error, chance);
                self.on_announcement_failed(tracker, call.hash, error);
            }
        }
    }

    fn on_announcement_failed(&self, tracker: &TrackerUrl, hash: FileHash, error: CallError) {
        if error.is_file_unknown() || error.is_registration_lost() {
            // Part of the conversation: it is told again, in full or under a new registration.
            tracing::debug!(%tracker, file = %hash, %error, "announcement is repeated");
            return self.publish(tracker, |status| {
                status.announced.remove(&hash);
            });
        }
        tracing::warn!(%tracker, file = %hash, %error, "announcement failed");
        self.publish(tracker, |status| {
            status.announced.remove(&hash);
            status.refused.insert(hash, error);
        });
    }

    fn publish_announced(&self, tracker: &TrackerUrl, call: &AnnounceCall) {
        let known = self
            .trackers
            .get(tracker)
            .is_some_and(|state| state.is_announced(&call.hash, call.have));
        self.publish(tracker, |status| {
            status.refused.remove(&call.hash);
            match known {
                true => status.announced.insert(call.hash),
                false => status.announced.remove(&call.hash),
            };
        });
    }

    /// Changes what is published about `tracker`, with the token that is held now.
    fn publish(&self, tracker: &TrackerUrl, change: impl FnOnce(&mut super::TrackerStatus)) {
        let token = self
            .trackers
            .get(tracker)
            .and_then(|state| state.token().cloned());
        self.parts.status.send_modify(|status| {
            let status = status.trackers.entry(tracker.clone()).or_default();
            status.token = token;
            change(status);
        });
    }
}

/// The body of an announcement. `file` is none when it is no longer wanted, that is, for a goodbye.
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

async fn leave(parts: Parts, tracker: TrackerUrl, token: Arc<str>) {
    let goodbye = calls::leave(&parts.http, &tracker, parts.identity.peer_id(), &token);
    match tokio::time::timeout(LEAVE_TIMEOUT, goodbye).await {
        Ok(Ok(())) => tracing::debug!(%tracker, "left"),
        Ok(Err(error)) => tracing::debug!(%tracker, %error, "could not say goodbye"),
        Err(_) => tracing::debug!(%tracker, "no time to say goodbye"),
    }
}

/// Any random number.
fn chance() -> u32 {
    // Without randomness from the system peers come back together, which is no harm to this one.
    getrandom::u32().unwrap_or_default()
}

impl Actor for TrackerClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let mut wanted = self.parts.wanted.clone();
        wanted.mark_changed();
        let address = ctx.address().downgrade();
        // Ends with the actor, or when nobody is left who could want something.
        let watcher = async move {
            while wanted.changed().await.is_ok() {
                let Some(address) = address.upgrade() else { return };
                if address.send(Reconcile).await.is_err() {
                    return;
                }
            }
        };
        ctx.spawn(watcher.into_actor(self));
    }
}

impl Handler<Reconcile> for TrackerClient {
    type Result = ();

    fn handle(&mut self, _: Reconcile, ctx: &mut Context<Self>) {
        fail::fail_point!("TrackerClient::Reconcile");
        self.reconcile(ctx);
    }
}

impl Handler<CallReturned> for TrackerClient {
    type Result = ();

    fn handle(&mut self, returned: CallReturned, ctx: &mut Context<Self>) {
        fail::fail_point!("TrackerClient::CallReturned");
        self.on_returned(&returned.tracker, returned.outcome);
        self.reconcile(ctx);
    }
}

impl Handler<Leave> for TrackerClient {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Context<Self>) -> Self::Result {
        fail::fail_point!("TrackerClient::Leave");
        self.left = true;
        let parts = self.parts.clone();
        let trackers = std::mem::take(&mut self.trackers);
        let goodbyes = trackers.into_iter().filter_map(|(tracker, state)| {
            let token = state.token()?.clone();
            Some(leave(parts.clone(), tracker, token))
        });
        let goodbyes: Vec<_> = goodbyes.collect();
        Box::pin(async move {
            futures_util::future::join_all(goodbyes).await;
        })
    }
}
