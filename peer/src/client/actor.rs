//! The TrackerClient actor: carries out what [`TrackerState`] decides, one HTTP call a task, and publishes how each
//! tracker stands.

use super::{
    CallError, TrackerUrl,
    addresses::Told,
    errands,
    http::Http,
    messages::{CallReturned, Known, Leave, Outcome, Reconcile, Wanted},
    state::{Action, AnnounceCall, Lease, TrackerState},
    status::ClientStatus,
};
use crate::relay::RelayAddress;
use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, ResponseFuture, SpawnHandle,
    WrapFuture as _,
};
use p2p_shared::{crypto::identity::Identity, id::FileHash};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Registers with trackers, keeps the registrations, announces. Its durable state is [`Wanted`], which outlives it.
pub(crate) struct TrackerClient {
    parts: Parts,
    trackers: BTreeMap<TrackerUrl, TrackerState>,
    /// What each was told last.
    told: HashMap<TrackerUrl, Known>,
    timer: Option<SpawnHandle>,
    /// Said goodbye: nothing is told any more.
    left: bool,
}

/// What the client works with; kept by its factory to build the next one.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) identity: Arc<Identity>,
    pub(crate) http: Http,
    /// Where others are told that this peer is.
    pub(crate) told: Told,
    pub(crate) wanted: watch::Receiver<Wanted>,
    pub(crate) status: watch::Sender<ClientStatus>,
}

impl TrackerClient {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            trackers: BTreeMap::new(),
            told: HashMap::new(),
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
            if let Some(lost) = wanted.lost.get(tracker) {
                state.on_lost(now, lost);
            }
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
            actix_rt::spawn(errands::leave(self.parts.clone(), tracker.clone(), token));
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
            Action::Register { epoch } => self.send_on(errands::register(parts, tracker, epoch), ctx),
            Action::Heartbeat { epoch, token } => {
                let told = self.told.get(&tracker).cloned().unwrap_or_default();
                self.send_on(errands::heartbeat(parts, tracker, epoch, token, told), ctx);
            }
            Action::Announce(call) => {
                let files = wanted.trackers.get(&tracker).map(|wish| &wish.files);
                let file = files.and_then(|files| files.get(&call.hash)).cloned();
                self.send_on(errands::announce(parts, tracker, call, file), ctx);
            }
        }
    }

    fn send_on(&self, errand: impl Future<Output = CallReturned> + 'static, ctx: &mut Context<Self>) {
        ctx.spawn(
            errand
                .into_actor(self)
                .map(|returned, _, ctx| ctx.notify(returned)),
        );
    }

    fn on_returned(&mut self, tracker: &TrackerUrl, outcome: Outcome) {
        let (now, chance) = (Instant::now(), chance());
        let Some(state) = self.trackers.get_mut(tracker) else {
            return;
        };
        match outcome {
            Outcome::Register { epoch, told, result } => match result {
                Ok(answer) => {
                    let length = seconds(answer.lease);
                    let relay = relay_of(tracker, answer.relay_url.as_deref());
                    let token = answer.token.into();
                    state.on_registered(now, epoch, Lease { token, length });
                    self.told.entry(tracker.clone()).or_default().addresses = told;
                    self.publish(tracker, |status| {
                        status.observed = Some(answer.observed_address);
                        status.relay = relay;
                        status.udp_ports = answer.udp_ports;
                        status.error = None;
                        status.announced.clear();
                    });
                }
                Err(error) => self.on_failed(tracker, epoch, error),
            },
            Outcome::Heartbeat { epoch, told, result } => match result {
                Ok(answer) => {
                    state.on_heartbeat(now, epoch, seconds(answer.lease));
                    self.told.insert(tracker.clone(), told);
                    self.publish(tracker, |status| status.error = None);
                }
                Err(error) => self.on_failed(tracker, epoch, error),
            },
            Outcome::Announce { call, result } => match result {
                Ok(answer) => {
                    state.on_announced(now, &call, answer, chance);
                    self.publish_announced(tracker, &call);
                }
                Err(error) => {
                    state.on_announce_failed(now, &call, &error, chance);
                    self.on_announcement_failed(tracker, call.hash, error);
                }
            },
        }
    }

    /// Registering failed, or a heartbeat.
    fn on_failed(&mut self, tracker: &TrackerUrl, epoch: u64, error: CallError) {
        tracing::warn!(%tracker, %error, "tracker call failed");
        if let Some(state) = self.trackers.get_mut(tracker) {
            state.on_failed(Instant::now(), epoch, &error, chance());
        }
        self.publish(tracker, |status| status.error = Some(error));
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

/// The relay that a tracker names. One that cannot be it is worth a word: peers that need it will not find this one.
fn relay_of(tracker: &TrackerUrl, said: Option<&str>) -> Option<RelayAddress> {
    let address = RelayAddress::of(said, tracker);
    address
        .inspect_err(|error| tracing::warn!(%tracker, %error, "the tracker names no relay that can be used"))
        .ok()
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
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
            Some(errands::leave(parts.clone(), tracker, token))
        });
        let goodbyes: Vec<_> = goodbyes.collect();
        Box::pin(async move {
            futures_util::future::join_all(goodbyes).await;
        })
    }
}
